/*
 * The next record: the decided one and all that has come up since, in one go. The leader looks ten
 * times a second at most, and proposes if anything differs.
 */
#include "view/internal.h"

static struct vpeer *peer_of(struct view_core *core, const struct placement_keeper *keeper)
{
    return peer_find(core, &keeper->boot.node);
}

/* A newer boot, or its good-bye: its lease is over, whatever the clocks say. */
static bool dead_for_certain(struct view_core *core, const struct placement_keeper *keeper)
{
    if (view_is_self(core, &keeper->boot.node))
        return keeper->boot.boot_no != core->config.self.boot_no;
    const struct vpeer *peer = peer_of(core, keeper);
    return peer != NULL &&
           (peer->boot.boot_no > keeper->boot.boot_no || peer->left_boot >= keeper->boot.boot_no);
}

bool plan_leaving(struct view_core *core, const struct placement_keeper *keeper)
{
    if (view_is_self(core, &keeper->boot.node))
        return core->leaving;
    const struct vpeer *peer = peer_of(core, keeper);
    return peer != NULL && peer->leaving && peer->boot.boot_no == keeper->boot.boot_no;
}

static bool used(const struct placement *p, uint32_t member_id, bool chosen_too)
{
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        if (placement_config_has(&p->slots[i].active, member_id) ||
            (chosen_too && placement_config_has(&p->slots[i].chosen, member_id)))
            return true;
    }
    return false;
}

/* Who ceases to be a keeper is waited for before its slots are copied elsewhere; and who does so
 * again and again is held down longer each time. */
static void lost(struct view_core *core, const struct placement_keeper *keeper, bool suspected)
{
    struct vpeer *peer = peer_of(core, keeper);
    if (peer == NULL)
        return;
    peer->lost_ms = core->now_ms;
    if (!suspected)
        return;
    bool calm = peer->excluded_ms == 0 || core->now_ms - peer->excluded_ms > HOLD_RESET_MS;
    peer->hold_ms = calm ? HOLD_FIRST_MS : 2 * peer->hold_ms;
    if (peer->hold_ms > HOLD_MAX_MS)
        peer->hold_ms = HOLD_MAX_MS;
    peer->excluded_ms = core->now_ms;
    peer->hold_until_ms = core->now_ms + peer->hold_ms;
}

static void plan_ends(struct view_core *core, struct view_record *next)
{
    uint32_t out[PLACEMENT_MEMBERS_MAX];
    uint32_t out_n = watch_exclude(core, out);

    for (uint32_t i = 0; i < next->placement.keepers_n; i++) {
        struct placement_keeper *keeper = &next->placement.keepers[i];
        if (!placement_keeper_over(keeper) && dead_for_certain(core, keeper)) {
            const struct vpeer *peer = peer_of(core, keeper);
            if (MUTANT(VIEW_SAME_MEMBER_AFTER_RESTART) && peer != NULL &&
                peer->boot.boot_no > keeper->boot.boot_no) {
                keeper->boot = peer->boot;
                continue;
            }
            if (keeper->state == KEEPER_ACTIVE)
                lost(core, keeper, false);
            keeper->state = KEEPER_DIED;
        }
        /* Nobody is granted anything while it is excluded: the last lease has ended (hole 8). */
        if (keeper->state == KEEPER_EXCLUDED &&
            core->now_ms >= grant_until_ms(core, keeper->member_id))
            keeper->state = KEEPER_ENDED;
        for (uint32_t j = 0; j < out_n; j++) {
            if (out[j] != keeper->member_id || keeper->state != KEEPER_ACTIVE)
                continue;
            keeper->state = MUTANT(VIEW_NO_LEASE_WAIT) ? KEEPER_ENDED : KEEPER_EXCLUDED;
            core->stats.exclusions++;
            lost(core, keeper, true);
        }
    }
}

/* Whom nothing names any more; and who leaves, once nothing needs it. */
static void plan_forget(struct view_core *core, struct view_record *next)
{
    struct placement *p = &next->placement;
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        const struct placement_keeper keeper = p->keepers[i];
        bool gone = placement_keeper_over(&keeper) && !used(p, keeper.member_id, true);
        if (keeper.state == KEEPER_ACTIVE && plan_leaving(core, &keeper) &&
            !used(p, keeper.member_id, true) && voter_place(next, &keeper.boot.node) < 0)
            gone = true;
        if (!gone)
            p->keepers[n++] = keeper;
    }
    if (n < p->keepers_n)
        memset(&p->keepers[n], 0, (p->keepers_n - n) * sizeof(p->keepers[0]));
    p->keepers_n = n;
}

static uint32_t active_n(const struct placement *p)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->keepers_n; i++)
        n += p->keepers[i].state == KEEPER_ACTIVE;
    return n;
}

static bool slots_wait_for(const struct placement *p, const uint8_t *disk_id)
{
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        const struct placement_keeper *keeper = &p->keepers[i];
        if (placement_keeper_over(keeper) && used(p, keeper->member_id, false) &&
            memcmp(keeper->disk_id, disk_id, PLACEMENT_DISK_BYTES) == 0)
            return true;
    }
    return false;
}

static void admit(struct view_core *core,
                  struct view_record *next,
                  const struct boot_id *boot,
                  const uint8_t *disk_id)
{
    struct placement *p = &next->placement;
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        const struct placement_keeper *keeper = &p->keepers[i];
        if (!placement_keeper_over(keeper) &&
            memcmp(&keeper->boot.node, &boot->node, sizeof(boot->node)) == 0)
            return; /* is one, or its lease may run */
    }
    if (active_n(p) >= PLACEMENT_KEEPERS_MAX)
        return; /* an edge, until a place is free */
    if (p->keepers_n >= PLACEMENT_MEMBERS_MAX) {
        core->stats.table_full++;
        return;
    }
    struct placement_keeper *keeper = &p->keepers[p->keepers_n++];
    *keeper = (struct placement_keeper){.member_id = next->next_member_id++, .boot = *boot};
    memcpy(keeper->disk_id, disk_id, PLACEMENT_DISK_BYTES);
}

static void plan_joins(struct view_core *core, struct view_record *next)
{
    if (!core->leaving)
        admit(core, next, &core->config.self, core->disk_id);
    for (size_t i = 0; i < core->peers_n; i++) {
        struct vpeer *peer = &core->peers[i];
        bool asks = peer->asked_ms != 0 && core->now_ms - peer->asked_ms < JOINER_MS;
        if (peer->boot.boot_no == 0 || !asks || !peer->hello || peer->refused || peer->leaving ||
            peer->full || peer->left_boot >= peer->boot.boot_no)
            continue;
        bool wanted = slots_wait_for(&next->placement, peer->disk_id);
        if (core->now_ms < peer->hold_until_ms && !wanted)
            continue;
        admit(core, next, &peer->boot, peer->disk_id);
        peer->lost_ms = 0;
    }
}

/* ---- voters ---- */

/* May it become a voter: well, here for long enough, with a known disk. */
static bool fit(struct view_core *core, const struct placement_keeper *keeper, uint64_t age_ms)
{
    if (keeper->state != KEEPER_ACTIVE || plan_leaving(core, keeper))
        return false;
    if (view_is_self(core, &keeper->boot.node))
        return !core->disk_full;
    const struct vpeer *peer = peer_of(core, keeper);
    return peer != NULL && peer->hello && !peer->refused && !peer->full && peer->asked_ms != 0 &&
           core->now_ms - peer->asked_ms < JOINER_MS && core->now_ms - peer->here_ms >= age_ms &&
           memcmp(peer->disk_id, keeper->disk_id, PLACEMENT_DISK_BYTES) == 0;
}

static bool add_voter(struct view_core *core, struct view_record *next, uint64_t age_ms)
{
    const struct placement *p = &next->placement;
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        const struct placement_keeper *keeper = &p->keepers[i];
        if (!fit(core, keeper, age_ms) || voter_place(next, &keeper->boot.node) >= 0)
            continue;
        struct view_voter *voter = &next->voters[next->voters_n++];
        voter->node = keeper->boot.node;
        memcpy(voter->disk_id, keeper->disk_id, PLACEMENT_DISK_BYTES);
        return true;
    }
    return false;
}

static void drop_voter(struct view_record *next, uint32_t at)
{
    next->voters_n--;
    for (uint32_t i = at; i < next->voters_n; i++)
        next->voters[i] = next->voters[i + 1];
    memset(&next->voters[next->voters_n], 0, sizeof(next->voters[0]));
}

static const struct placement_keeper *keeper_of_voter(const struct placement *p,
                                                      const struct view_voter *voter)
{
    for (uint32_t i = p->keepers_n; i > 0; i--) {
        const struct placement_keeper *keeper = &p->keepers[i - 1];
        if (keeper->state == KEEPER_ACTIVE &&
            memcmp(&keeper->boot.node, &voter->node, sizeof(voter->node)) == 0)
            return keeper;
    }
    return NULL;
}

/* Its disk is gone, it leaves, or it has been away for long: 2, 1, ... 0: it stays. */
static bool voter_goes(struct view_core *core,
                       const struct view_record *next,
                       const struct view_voter *voter,
                       bool *leaves_out)
{
    const struct placement_keeper *keeper = keeper_of_voter(&next->placement, voter);
    const struct vpeer *peer = peer_find(core, &voter->node);

    *leaves_out = (keeper != NULL && plan_leaving(core, keeper)) ||
                  (keeper == NULL && peer != NULL && peer->left_boot >= peer->boot.boot_no);
    if (peer_has_another_disk(core, &voter->node, voter->disk_id) || *leaves_out)
        return true;
    if (view_is_self(core, &voter->node))
        return false;
    uint64_t heard =
        peer != NULL && peer->heard_ms > core->elected_ms ? peer->heard_ms : core->elected_ms;
    return core->now_ms - heard >= core->config.replace_ms;
}

/* Was it heard of late? A keeper that runs says something each 500 ms. */
static bool speaks(struct view_core *core, const struct placement_keeper *keeper)
{
    const struct vpeer *peer = peer_of(core, keeper);
    return view_is_self(core, &keeper->boot.node) || MUTANT(VIEW_SILENT_VOTER) ||
           (peer != NULL && core->now_ms - peer->heard_ms <= SILENT_MS);
}

/* Fewer than three again, because somebody leaves: one that stays, and is there: with it alone
 * goes all that can be decided. */
static void shrink(struct view_core *core, struct view_record *next)
{
    const struct placement *p = &next->placement;
    const struct placement_keeper *best = NULL;
    unsigned best_rank = 0;
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        const struct placement_keeper *keeper = &p->keepers[i];
        if (!fit(core, keeper, 0))
            continue;
        bool self = view_is_self(core, &keeper->boot.node);
        bool votes = voter_place(next, &keeper->boot.node) >= 0;
        unsigned rank = (speaks(core, keeper) ? 2u : 0u) + (votes ? 1u : 0u);
        if (best == NULL || self || rank > best_rank) {
            best = keeper;
            best_rank = rank;
        }
        if (self)
            break;
    }
    if (best == NULL)
        return;
    memset(next->voters, 0, sizeof(next->voters));
    next->voters_n = 1;
    next->voters[0].node = best->boot.node;
    memcpy(next->voters[0].disk_id, best->disk_id, PLACEMENT_DISK_BYTES);
}

static void plan_voters(struct view_core *core, struct view_record *next)
{
    uint32_t keepers = active_n(&next->placement);
    uint32_t want = keepers < 3 ? 1 : keepers < 7 ? 3 : 5;

    /* One that goes, one that comes: most of the old stay. */
    for (uint32_t i = 0; i < next->voters_n; i++) {
        bool leaves;
        struct view_voter gone = next->voters[i];
        if (!voter_goes(core, next, &gone, &leaves))
            continue;
        drop_voter(next, i);
        if (add_voter(core, next, 0))
            return;
        /* Nobody to come. */
        memmove(&next->voters[i + 1], &next->voters[i],
                (next->voters_n - i) * sizeof(next->voters[0]));
        next->voters[i] = gone;
        next->voters_n++;
        if (leaves) {
            shrink(core, next);
            return;
        }
    }
    if (next->voters_n >= want)
        return;
    struct view_voter before[VIEW_VOTERS_MAX];
    uint32_t before_n = next->voters_n;
    memcpy(before, next->voters, sizeof(before));
    uint64_t age_ms = before_n < 3 ? core->config.settle_ms : core->config.grow_ms;
    uint32_t to = before_n < 3 ? 3 : 5;
    while (next->voters_n < to) {
        if (!add_voter(core, next, age_ms)) {
            memcpy(next->voters, before, sizeof(before));
            next->voters_n = before_n;
            return;
        }
    }
}

/* ---- all together ---- */

static bool same_voters(const struct view_record *a, const struct view_record *b)
{
    return a->voters_n == b->voters_n && memcmp(a->voters, b->voters, sizeof(a->voters)) == 0;
}

/*
 * New voters are proposed once most of them have acknowledged a heartbeat that was sent since they
 * are wanted: what they granted before may be of somebody who died since.
 */
static void warm_voters(struct view_core *core, struct view_record *next)
{
    core->want_on = !same_voters(next, &core->decided);
    if (!core->want_on) {
        core->want_ms = 0;
        return;
    }
    if (core->want_ms == 0 || !same_voters(next, &core->want)) {
        core->want_ms = core->now_ms;
        core->hb_at_ms = core->now_ms;
    }
    core->want = *next;
    bool here = lead_answered_since(core, next, core->want_ms) || MUTANT(VIEW_SILENT_VOTER);
    if ((here && lead_until_of_ms(core, next) > core->now_ms) || MUTANT(VIEW_NO_JOINT_LEASE))
        return;
    memcpy(next->voters, core->decided.voters, sizeof(next->voters));
    next->voters_n = core->decided.voters_n;
}

void plan_run(struct view_core *core)
{
    struct view_record *next = &core->next;
    uint8_t bytes[VIEW_RECORD_BYTES_MAX];

    *next = core->decided;
    plan_ends(core, next);
    plan_joins(core, next);
    plan_voters(core, next);
    warm_voters(core, next);
    plan_slots(core, next);
    plan_forget(core, next);
    next->durable_slots |= core->durable_asked;
    size_t len = view_record_encode(next, bytes);
    if (len == core->decided_len && memcmp(bytes, core->decided_bytes, len) == 0)
        return;
    next->placement.epoch++;
    memcpy(next->prev_hash, core->decided_hash, VIEW_HASH_BYTES);
    lead_propose(core, next);
}

static bool in_motion(const struct view_core *core)
{
    const struct placement *p = &core->decided.placement;
    bool moves = core->want_on || core->proposing || !core->settled || watch_any_report(core);

    for (uint32_t i = 0; i < p->keepers_n && !moves; i++)
        moves = p->keepers[i].state != KEEPER_ACTIVE;
    for (uint32_t i = 0; i < PLACEMENT_SLOTS && !moves; i++)
        moves = p->slots[i].chosen.slot_epoch != 0;
    return moves;
}

uint64_t plan_again_ms(const struct view_core *core)
{
    const struct placement *p = &core->decided.placement;
    uint64_t at_ms = core->now_ms + (in_motion(core) ? PROPOSE_MS : CALM_MS);

    /* Whom the leader itself does not hear. */
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        const struct vpeer *peer = peer_look(core, &p->keepers[i].boot.node);
        uint64_t silent_ms = peer != NULL ? peer->heard_ms + core->config.beat_missed_ms + 1 : 0;
        if (silent_ms > core->now_ms && silent_ms < at_ms)
            at_ms = silent_ms;
    }
    return at_ms;
}
