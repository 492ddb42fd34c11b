/*
 * Leases of keepers: asked for every 750 ms, granted by the leader out of its own (5.2, nested).
 * A grant is part of what remains of the leader's, so that it has ended when another can lead.
 */
#include "view/internal.h"

/* ---- the leader's side ---- */

static struct vgrant *grant_find(struct view_core *core, uint32_t member_id)
{
    struct vgrant *oldest = &core->grants[0];
    for (size_t i = 0; i < PLACEMENT_MEMBERS_MAX; i++) {
        struct vgrant *grant = &core->grants[i];
        if (grant->member_id == member_id)
            return grant;
        if (grant->until_ms < oldest->until_ms)
            oldest = grant;
    }
    if (oldest->until_ms > core->now_ms)
        return NULL; /* each may still run; there are at most as many as members */
    oldest->member_id = member_id;
    oldest->until_ms = 0;
    return oldest;
}

uint64_t grant_until_ms(const struct view_core *core, uint32_t member_id)
{
    uint64_t until = core->inherit_until_ms;
    for (size_t i = 0; i < PLACEMENT_MEMBERS_MAX; i++) {
        if (core->grants[i].member_id == member_id && core->grants[i].until_ms > until)
            until = core->grants[i].until_ms;
    }
    return until;
}

/* Is it a keeper by what is decided, and by what is being decided? */
static const struct placement_keeper *may_have(const struct view_core *core,
                                               const struct boot_id *boot)
{
    const struct placement_keeper *keeper = keeper_active_of(&core->decided.placement, boot);
    if (keeper == NULL || !core->proposing)
        return keeper;
    const struct placement_keeper *then =
        placement_keeper_find(&core->proposal.placement, keeper->member_id);
    return then != NULL && then->state == KEEPER_ACTIVE ? keeper : NULL;
}

static uint32_t grant_ms(struct view_core *core, const struct boot_id *boot)
{
    if (!lead_may_grant(core))
        return 0;
    const struct placement_keeper *keeper = may_have(core, boot);
    if (keeper == NULL)
        return 0;
    uint64_t duration = lease_nested_ms(lead_until_ms(core), core->now_ms);
    if (duration > KEEPER_LEASE_MS || MUTANT(VIEW_NO_NESTING))
        duration = KEEPER_LEASE_MS;
    struct vgrant *grant = grant_find(core, keeper->member_id);
    if (grant == NULL)
        return 0;
    uint64_t until = lease_lessor_until_ms(core->now_ms, duration);
    if (until > grant->until_ms)
        grant->until_ms = until;
    core->stats.grants++;
    return (uint32_t)duration;
}

/* To the newest ASK of its boot. */
static void answer(struct view_core *core, struct vpeer *peer)
{
    const struct placement_keeper *keeper = keeper_active_of(&core->decided.placement, &peer->boot);
    uint32_t duration = grant_ms(core, &peer->boot);
    peer->ask_waits = keeper != NULL && duration == 0;
    core->asks_wait = core->asks_wait || peer->ask_waits;
    struct view_msg *grant = view_msg_new(core, VMSG_GRANT);
    grant->epoch = core->decided.placement.epoch;
    grant->ballot = core->ballot;
    grant->t = peer->ask_t;
    grant->boot = peer->boot.boot_no;
    grant->number = duration;
    if (keeper != NULL && duration > 0)
        grant->ids[grant->ids_n++] = keeper->member_id;
    view_send(core, &peer->boot.node);
}

void grant_on_ask(struct view_core *core, struct vpeer *peer, const struct view_msg *m)
{
    if (m->boot != peer->boot.boot_no)
        return;
    if (core->role != VIEW_LEADER) {
        struct view_msg *beat = view_msg_new(core, VMSG_BEAT);
        beat->epoch = core->decided.placement.epoch;
        beat->ballot = core->leader;
        view_send(core, &peer->boot.node);
        return;
    }
    if (peer->asked_ms == 0 || core->now_ms - peer->asked_ms > JOINER_MS)
        peer->here_ms = core->now_ms;
    peer->asked_ms = core->now_ms;
    peer->leaving = (m->flags & VFLAG_LEAVING) != 0;
    peer->full = (m->flags & VFLAG_FULL) != 0;
    const struct placement_keeper *keeper = keeper_active_of(&core->decided.placement, &peer->boot);
    if (keeper != NULL)
        watch_report(core, keeper->member_id, m->ids, m->ids_n);
    peer->ask_t = m->t;
    answer(core, peer);
    if (m->epoch < core->decided.placement.epoch)
        learn_push(core, &peer->boot.node);
}

/* A keeper that asked before there was a lease to grant from need not ask again. */
static void answer_waiting(struct view_core *core)
{
    for (size_t i = 0; i < core->peers_n; i++) {
        struct vpeer *peer = &core->peers[i];
        if (peer->ask_waits && core->now_ms - peer->asked_ms < ASK_MS &&
            may_have(core, &peer->boot) != NULL)
            answer(core, peer);
        peer->ask_waits = false;
    }
    core->asks_wait = false;
}

/* ---- the keeper's side ---- */

void grant_on_grant(struct view_core *core, const struct boot_id *from, const struct view_msg *m)
{
    (void)from;
    learn_leader(core, &m->ballot);
    core->leader_heard_ms = core->now_ms;
    if (m->epoch > core->decided.placement.epoch)
        core->fetch_at_ms = core->now_ms;
    if (m->boot != core->config.self.boot_no || m->t > core->now_ms || m->t < core->start_ms ||
        m->number == 0 || m->number > KEEPER_LEASE_MS || m->ids_n != 1)
        return;
    /* A keeper that was excluded and taken in again is another member. Who does not know that yet
     * has an old view, and the lease is none for what that says. */
    const struct placement_keeper *self = keeper_self(core);
    if (self == NULL || (self->member_id != m->ids[0] && !MUTANT(VIEW_LEASE_OF_ANY_MEMBER)))
        return;
    uint64_t sent_ms = MUTANT(VIEW_LEASE_FROM_REPLY) ? core->now_ms : m->t;
    uint64_t until = lease_lessee_until_ms(sent_ms, m->number);
    if (until > core->lease_until_ms)
        core->lease_until_ms = until;
}

void grant_ask(struct view_core *core)
{
    struct view_msg *m = view_msg_new(core, VMSG_ASK);
    m->flags = (uint8_t)((core->leaving ? VFLAG_LEAVING : 0) | (core->disk_full ? VFLAG_FULL : 0));
    m->epoch = core->decided.placement.epoch;
    m->t = core->now_ms;
    m->boot = core->config.self.boot_no;
    m->ids_n = watch_missing(core, m->ids);
    core->missing_told = m->ids_n;
    view_send_durable(core, &core->leader.node);
}

/* What is decided takes away at once what it takes away. */
void grant_installed(struct view_core *core)
{
    if (keeper_self(core) == NULL)
        core->lease_until_ms = 0;
    else if (core->lease_until_ms <= core->now_ms)
        core->ask_at_ms = core->now_ms;
}

void grant_run(struct view_core *core)
{
    if (core->config.eligible && view_has(core) && core->now_ms >= core->ask_at_ms) {
        bool without = keeper_self(core) != NULL && core->lease_until_ms <= core->now_ms;
        core->ask_at_ms = core->now_ms + (without ? UNLEASED_ASK_MS : ASK_MS);
        if (core->leader.round != 0 && !view_is_self(core, &core->leader.node))
            grant_ask(core);
    }
    /* The leader's own is the leader's lease: one clock, nothing to nest. */
    bool may_grant = lead_may_grant(core);
    if (may_grant && core->asks_wait)
        answer_waiting(core);
    if (may_grant && may_have(core, &core->config.self) != NULL) {
        uint64_t until = lead_until_ms(core);
        if (until > core->now_ms + KEEPER_LEASE_MS)
            until = core->now_ms + KEEPER_LEASE_MS;
        /* In steps, as each is told to all that read under it. */
        if (until >= core->lease_until_ms + HB_MS || core->lease_until_ms <= core->now_ms)
            core->lease_until_ms = until;
        core->leader_heard_ms = core->now_ms;
    }
}
