/*
 * A message that came: is it for this cluster, chain and boot, and who has to do with it.
 */
#include "view/internal.h"

static void dispatch_keeper(struct view_core *core,
                            const struct boot_id *from,
                            struct vpeer *peer,
                            const struct view_msg *m)
{
    switch (m->type) {
    case VMSG_ASK:
        if (peer != NULL)
            grant_on_ask(core, peer, m);
        return;
    case VMSG_GRANT:
        grant_on_grant(core, from, m);
        return;
    case VMSG_BEAT:
        learn_on_beat(core, m);
        return;
    case VMSG_READY: {
        uint32_t slot = m->number;
        if (slot >= PLACEMENT_SLOTS || core->role != VIEW_LEADER)
            return;
        if (m->flags & VFLAG_DURABLE) {
            core->durable_asked |= UINT64_C(1) << slot;
            return;
        }
        const struct placement_config *chosen = &core->decided.placement.slots[slot].chosen;
        const struct placement_keeper *home = keeper_active_of(&core->decided.placement, from);
        if (chosen->slot_epoch != m->slot_epoch || home == NULL || chosen->slot_epoch == 0 ||
            home->member_id != chosen->replicas[0])
            return;
        struct vready *ready = &core->ready[slot];
        ready->slot_epoch = m->slot_epoch;
        ready->released_n = m->ids_n < PLACEMENT_REPLICAS_MAX ? m->ids_n : PLACEMENT_REPLICAS_MAX;
        memcpy(ready->released, m->ids, ready->released_n * sizeof(m->ids[0]));
        return;
    }
    default:
        return;
    }
}

static void dispatch(struct view_core *core,
                     const struct boot_id *from,
                     struct vpeer *peer,
                     const struct view_msg *m)
{
    switch (m->type) {
    case VMSG_HELLO:
        if (peer != NULL)
            peer_on_hello(core, peer, m);
        return;
    case VMSG_REFUSE:
        peer_on_refuse(core, m);
        return;
    case VMSG_MINT_ASK:
        if (peer != NULL)
            mint_on_ask(core, peer, m);
        return;
    case VMSG_MINT_OK:
        if (peer != NULL)
            mint_on_ok(core, peer, m);
        return;
    case VMSG_PREPARE:
        voter_on_prepare(core, from, m);
        return;
    case VMSG_PROMISE:
        lead_on_promise(core, from, m);
        return;
    case VMSG_NACK:
        lead_on_nack(core, from, m);
        return;
    case VMSG_ACCEPT:
        voter_on_accept(core, from, m);
        return;
    case VMSG_ACCEPTED:
        lead_on_accepted(core, from, m);
        return;
    case VMSG_DECIDED:
        learn_on_decided(core, from, m);
        return;
    case VMSG_DECIDED_ACK:
        lead_on_decided_ack(core, from, m);
        return;
    case VMSG_FETCH:
        learn_on_fetch(core, from, m);
        return;
    case VMSG_HB:
        voter_on_hb(core, from, m);
        return;
    case VMSG_HB_ACK:
        lead_on_hb_ack(core, from, m);
        return;
    case VMSG_RESIGN:
        voter_on_resign(core, from, m);
        return;
    default:
        dispatch_keeper(core, from, peer, m);
    }
}

/* Nothing that could make the leader propose something. */
static bool
of_every_day(const struct view_core *core, const struct vpeer *peer, const struct view_msg *m)
{
    switch (m->type) {
    case VMSG_HB:
    case VMSG_HB_ACK:
    case VMSG_BEAT:
    case VMSG_FETCH:
    case VMSG_GRANT:
        return true;
    case VMSG_ASK:
        return peer != NULL && m->ids_n == 0 && peer->asked_ms != 0 &&
               peer->leaving == ((m->flags & VFLAG_LEAVING) != 0) &&
               peer->full == ((m->flags & VFLAG_FULL) != 0) &&
               keeper_active_of(&core->decided.placement, &peer->boot) != NULL;
    default:
        return false;
    }
}

int view_receive(struct view_core *core,
                 const struct boot_id *from,
                 const uint8_t *data,
                 size_t len)
{
    struct view_msg m;
    int r = view_msg_decode(&m, data, len);
    if (r != 0) {
        core->stats.bad_messages++;
        return r;
    }
    bool self = view_is_self(core, &from->node);
    struct vpeer *peer = NULL;
    if (!self) {
        core->stats.messages_in++;
        core->stats.bytes_in += len;
        if (memcmp(m.cluster_id, core->config.cluster_id, VIEW_CLUSTER_BYTES) != 0) {
            core->stats.other_chain++;
            return 0;
        }
        peer = peer_find(core, &from->node);
        if (peer != NULL && from->boot_no < peer->boot.boot_no)
            return 0; /* of a boot that is no more */
        if (peer != NULL || m.type == VMSG_HELLO)
            peer = view_peer_get(core, from);
        if (peer != NULL)
            peer->heard_ms = core->now_ms;
        if (!learn_same_chain(core, m.chain)) {
            core->stats.other_chain++;
            struct view_action *action = view_act(core, VIEW_REFUSED);
            action->to = from->node;
            action->text = "belongs to another chain of views, which is never merged with ours; "
                           "start it with an empty data directory to have it join";
            return 0;
        }
    }
    if (!of_every_day(core, peer, &m))
        core->plan_at_ms = core->now_ms;
    dispatch(core, from, peer, &m);
    return 0;
}
