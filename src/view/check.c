/*
 * view_check(): the invariants of docs/protocols/view.md that one node can see.
 */
#include "view/internal.h"

static void check_record(const struct view_core *core)
{
    uint8_t bytes[VIEW_RECORD_BYTES_MAX];
    const struct placement *p = &core->decided.placement;

    assert(core->decided.voters_n % 2 == 1);
    assert(core->decided.voters_n <= VIEW_VOTERS_MAX);
    assert(p->keepers_n <= PLACEMENT_MEMBERS_MAX);
    size_t len = view_record_encode(&core->decided, bytes);
    assert(len == core->decided_len);
    assert(memcmp(bytes, core->decided_bytes, len) == 0);
    uint32_t active = 0;
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        active += p->keepers[i].state == KEEPER_ACTIVE;
        assert(p->keepers[i].member_id < core->decided.next_member_id);
    }
    assert(active <= PLACEMENT_KEEPERS_MAX);
}

static void check_rest(const struct view_core *core)
{
    assert(core->persisted <= core->token);
    assert(core->held_n <= VIEW_HELD_MAX);
    assert(core->peers_n <= VIEW_PEERS_MAX);
    if (core->decided.placement.epoch == 0) {
        assert(core->role == VIEW_FOLLOWER);
        return;
    }
    /* A vote is for the next epoch only, and never above what was promised. */
    if (core->accepted_epoch != 0 && core->started) {
        assert(core->accepted_epoch > core->decided.placement.epoch);
        assert(view_ballot_compare(&core->accepted, &core->promised) <= 0 ||
               MUTANT(VIEW_FORGET_PROMISE));
    }
    if (core->role == VIEW_LEADER && core->proposing)
        assert(core->proposal.placement.epoch > core->decided.placement.epoch);
    assert(!core->inherited || core->proposing);
    /* Who is no keeper has no lease. */
    bool keeper = keeper_active_of(&core->decided.placement, &core->config.self) != NULL;
    assert(keeper || core->lease_until_ms == 0);
}

void view_check(const struct view_core *core)
{
    if (core->decided.placement.epoch != 0)
        check_record(core);
    check_rest(core);
}

void view_check_step(struct view_core *core)
{
    if (core->decided.placement.epoch != 0 && !core->decided_checked)
        check_record(core);
    core->decided_checked = true;
    check_rest(core);
}
