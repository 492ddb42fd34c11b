/*
 * What the view can do now, and what force may lose: for errors and for `kith view`.
 */
#include "view/internal.h"

static bool heard(const struct view_core *core, const struct kith_node_id *node)
{
    const struct vpeer *peer = peer_look(core, node);
    return view_is_self(core, node) ||
           (peer != NULL && peer->heard_ms != 0 && core->now_ms - peer->heard_ms < HEARD_MS);
}

static bool heard_boot(const struct view_core *core, const struct boot_id *boot)
{
    const struct vpeer *peer = peer_look(core, &boot->node);
    if (view_is_self(core, &boot->node))
        return boot->boot_no == core->config.self.boot_no;
    return heard(core, &boot->node) && peer->boot.boot_no == boot->boot_no;
}

static void
named(const struct view_core *core, const struct kith_node_id *node, struct view_peer_name *out)
{
    const struct vpeer *peer = peer_look(core, node);
    memset(out, 0, sizeof(*out));
    out->id = *node;
    if (view_is_self(core, node))
        memcpy(out->name, core->config.name, sizeof(out->name));
    else if (peer != NULL)
        memcpy(out->name, peer->name, sizeof(out->name));
}

static uint32_t least_copies(const struct placement *p, struct view_quorum *q)
{
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        const struct placement_slot *slot = &p->slots[i];
        uint32_t live = 0;
        for (uint8_t r = 0; r < slot->active.replicas_n; r++) {
            const struct placement_keeper *keeper =
                placement_keeper_find(p, slot->active.replicas[r]);
            live += keeper != NULL && keeper->state == KEEPER_ACTIVE;
        }
        q->slots_unavailable_n += live == 0;
        q->slots_moving_n += slot->chosen.slot_epoch != 0;
        least = live < least ? live : least;
    }
    return least;
}

bool view_has_quorum(const struct view_core *core, uint64_t now_ms)
{
    if (core->decided.placement.epoch == 0)
        return false;
    if (core->role == VIEW_LEADER)
        return lead_until_ms(core) > now_ms;
    return (core->leader_heard_ms != 0 && now_ms - core->leader_heard_ms < LEADER_LEASE_MS) ||
           core->lease_until_ms > now_ms;
}

void view_quorum(const struct view_core *core, uint64_t now_ms, struct view_quorum *quorum_out)
{
    struct view_quorum *q = quorum_out;
    const struct placement *p = &core->decided.placement;

    memset(q, 0, sizeof(*q));
    q->epoch = p->epoch;
    if (p->epoch == 0)
        return;
    q->voters_n = core->decided.voters_n;
    memcpy(q->voters, core->decided.voters, sizeof(q->voters));
    for (uint32_t i = 0; i < q->voters_n; i++) {
        if (!heard(core, &q->voters[i].node))
            named(core, &q->voters[i].node, &q->missing[q->missing_n++]);
    }
    q->leader_known = core->leader.round != 0;
    if (q->leader_known)
        named(core, &core->leader.node, &q->leader);
    q->have = view_has_quorum(core, now_ms);
    for (uint32_t i = 0; i < p->keepers_n; i++)
        q->keepers_n += p->keepers[i].state == KEEPER_ACTIVE;
    uint32_t copies = least_copies(p, q);
    uint32_t live = q->voters_n - q->missing_n;
    uint32_t need = q->voters_n / 2 + 1;
    uint32_t spare = live > need ? live - need : 0;
    if (copies == 0 || copies - 1 < spare)
        spare = copies == 0 ? 0 : copies - 1;
    q->failures_tolerated = q->have ? spare : 0;
}

int view_force_loss(const struct view_core *core, uint64_t now_ms, struct view_force_loss *loss_out)
{
    struct view_force_loss *loss = loss_out;
    const struct placement *p = &core->decided.placement;

    (void)now_ms;
    memset(loss, 0, sizeof(*loss));
    if (!core->config.eligible)
        return kith_fail_with(KITH_E_INVALID, "a program keeps no shared state; ask an agent");
    if (!view_has(core))
        return kith_fail_with(KITH_E_NO_CLUSTER,
                              "this node knows no view; there is nothing to force");
    loss->epoch = p->epoch;
    for (uint32_t i = 0; i < core->decided.voters_n; i++) {
        const struct kith_node_id *node = &core->decided.voters[i].node;
        if (!heard(core, node))
            named(core, node, &loss->voters[loss->voters_n++]);
    }
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        if (p->keepers[i].state == KEEPER_ACTIVE && !heard_boot(core, &p->keepers[i].boot))
            named(core, &p->keepers[i].boot.node, &loss->keepers[loss->keepers_n++]);
    }
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        const struct placement_config *active = &p->slots[i].active;
        uint32_t here = 0;
        for (uint8_t r = 0; r < active->replicas_n; r++) {
            const struct placement_keeper *keeper = placement_keeper_find(p, active->replicas[r]);
            here +=
                keeper != NULL && keeper->state == KEEPER_ACTIVE && heard_boot(core, &keeper->boot);
        }
        loss->slots_lost_n += here == 0;
        loss->slots_fewer_n += here > 0 && here < active->replicas_n;
    }
    return 0;
}
