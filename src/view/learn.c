/*
 * Decided records: on disk before they count here, then told to those who should know. Only the
 * newest matters; who missed some takes it as it is. Another chain is never taken.
 */
#include "view/internal.h"

static bool chain_none(const uint8_t *chain)
{
    static const uint8_t none[VIEW_CLUSTER_BYTES];
    return memcmp(chain, none, sizeof(none)) == 0;
}

bool learn_same_chain(const struct view_core *core, const uint8_t *chain)
{
    return !view_has(core) || chain_none(chain) ||
           memcmp(chain, core->decided.chain, VIEW_CLUSTER_BYTES) == 0;
}

static bool same_voters(const struct view_record *a, const struct view_record *b)
{
    return a->voters_n == b->voters_n &&
           memcmp(a->voters, b->voters, a->voters_n * sizeof(a->voters[0])) == 0;
}

static bool is_record(const uint8_t *ours, size_t ours_len, const uint8_t *data, size_t len)
{
    return ours_len == len && memcmp(ours, data, len) == 0;
}

bool learn_record(struct view_core *core, const uint8_t *data, size_t len)
{
    static _Thread_local struct view_record record;

    /* A record is heard of from many: what is here already is not read again. */
    if ((view_has(core) && is_record(core->decided_bytes, core->decided_len, data, len)) ||
        (core->learned.placement.epoch != 0 &&
         is_record(core->learned_bytes, core->learned_len, data, len)))
        return false;
    if (view_record_decode(&record, data, len) != 0) {
        core->stats.bad_messages++;
        return false;
    }
    uint64_t epoch = record.placement.epoch;
    if (memcmp(record.cluster_id, core->config.cluster_id, VIEW_CLUSTER_BYTES) != 0 ||
        !learn_same_chain(core, record.chain) ||
        (epoch == core->decided.placement.epoch + 1 && view_has(core) &&
         memcmp(record.prev_hash, core->decided_hash, VIEW_HASH_BYTES) != 0)) {
        core->stats.other_chain++;
        return false;
    }
    if (epoch <= core->decided.placement.epoch || epoch <= core->learned.placement.epoch)
        return false;
    core->learned = record;
    memcpy(core->learned_bytes, data, len);
    core->learned_len = len;
    view_put(core, "vr", 2, data, len);
    voter_forget_accepted(core);
    core->learned_token = core->config.eligible ? view_token(core) : 0;
    return true;
}

static void ack(struct view_core *core, const struct kith_node_id *to)
{
    struct view_msg *m = view_msg_new(core, VMSG_DECIDED_ACK);
    m->epoch = core->decided.placement.epoch;
    view_send_durable(core, to);
}

/* The first record, by who minted it: nobody leads yet who would say it. */
static void tell_keepers(struct view_core *core)
{
    const struct placement *p = &core->decided.placement;
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        if (!view_is_self(core, &p->keepers[i].boot.node))
            learn_push(core, &p->keepers[i].boot.node);
    }
}

static void install(struct view_core *core)
{
    bool had = view_has(core);
    core->minted = core->minted && !had;
    bool changed = had && !same_voters(&core->decided, &core->learned);
    core->old = core->decided;
    core->decided = core->learned;
    core->decided_checked = false;
    memcpy(core->decided_bytes, core->learned_bytes, core->learned_len);
    core->decided_len = core->learned_len;
    view_record_hash(core->decided_bytes, core->decided_len, core->decided_hash);
    core->learned.placement.epoch = 0;
    core->stats.records_learned++;
    view_act(core, VIEW_CHANGED)->placement = &core->decided.placement;
    grant_installed(core);
    peer_of_record(core);
    if (core->config.eligible) {
        lead_installed(core, changed);
        if (core->minted)
            tell_keepers(core);
        static const struct kith_node_id nobody;
        if (memcmp(&core->learned_from, &nobody, sizeof(nobody)) != 0)
            ack(core, &core->learned_from);
        if (core->leader.round != 0 && !view_is_self(core, &core->leader.node) &&
            memcmp(&core->learned_from, &core->leader.node, sizeof(nobody)) != 0)
            ack(core, &core->leader.node);
        core->learned_from = nobody;
    }
}

void learn_persisted(struct view_core *core)
{
    if (core->learned.placement.epoch != 0 && core->persisted >= core->learned_token)
        install(core);
}

void learn_leader(struct view_core *core, const struct view_ballot *ballot)
{
    int order = view_ballot_compare(ballot, &core->leader);
    if (ballot->round == 0)
        return;
    if (core->role == VIEW_LEADER && view_ballot_compare(ballot, &core->ballot) > 0)
        lead_outbid(core, ballot);
    if (order < 0)
        return;
    if (order > 0 && core->role == VIEW_CANDIDATE && view_ballot_compare(ballot, &core->ballot) > 0)
        core->role = VIEW_FOLLOWER;
    if (order > 0) {
        core->leader = *ballot;
        if (ballot->round > core->round_seen)
            core->round_seen = ballot->round; /* our own is to be the higher one */
        core->ask_at_ms = core->now_ms;
        for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++)
            learn_ready(core, i, 0);
    }
}

/* What is filled here, to who leads now. */
void learn_ready(struct view_core *core, uint32_t slot, uint8_t flags)
{
    const struct vready *ready = &core->own_ready[slot];
    bool filled = ready->slot_epoch != 0 &&
                  ready->slot_epoch == core->decided.placement.slots[slot].chosen.slot_epoch;
    if (core->leader.round == 0 || (!filled && flags == 0))
        return;
    struct view_msg *m = view_msg_new(core, VMSG_READY);
    m->flags = flags;
    m->number = slot;
    m->slot_epoch = ready->slot_epoch;
    m->ids_n = ready->released_n;
    memcpy(m->ids, ready->released, ready->released_n * sizeof(m->ids[0]));
    view_send(core, &core->leader.node);
}

void learn_on_decided(struct view_core *core, const struct boot_id *from, const struct view_msg *m)
{
    if (m->record_len == 0)
        return;
    learn_leader(core, &m->ballot);
    if (learn_record(core, m->record, m->record_len))
        core->learned_from = from->node;
    if (core->config.eligible && core->learned.placement.epoch == 0)
        ack(core, &from->node); /* else once it is on disk */
}

void learn_push(struct view_core *core, const struct kith_node_id *to)
{
    struct view_msg *m = view_msg_new(core, VMSG_DECIDED);
    m->ballot = core->leader;
    m->record = core->decided_bytes;
    m->record_len = core->decided_len;
    view_send(core, to);
}

static void subscribe(struct view_core *core, const struct kith_node_id *node)
{
    struct vsubscriber *oldest = &core->subscribers[0];
    for (size_t i = 0; i < VIEW_SUBSCRIBERS_MAX; i++) {
        struct vsubscriber *it = &core->subscribers[i];
        if (it->at_ms != 0 && memcmp(&it->node, node, sizeof(*node)) == 0) {
            oldest = it;
            break;
        }
        if (it->at_ms < oldest->at_ms)
            oldest = it;
    }
    oldest->node = *node;
    oldest->at_ms = core->now_ms + 1;
}

void learn_on_fetch(struct view_core *core, const struct boot_id *from, const struct view_msg *m)
{
    if (!view_has(core))
        return;
    if (m->flags & VFLAG_EDGE)
        subscribe(core, &from->node);
    if (m->epoch < core->decided.placement.epoch) {
        learn_push(core, &from->node);
        return;
    }
    struct view_msg *beat = view_msg_new(core, VMSG_BEAT);
    beat->epoch = core->decided.placement.epoch;
    beat->ballot = core->leader;
    view_send(core, &from->node);
}

void learn_on_beat(struct view_core *core, const struct view_msg *m)
{
    learn_leader(core, &m->ballot);
    if (m->epoch > core->decided.placement.epoch && core->fetch_at_ms > core->now_ms + 50)
        core->fetch_at_ms = core->now_ms + 50;
}

void learn_fetch(struct view_core *core, const struct kith_node_id *from)
{
    struct view_msg *m = view_msg_new(core, VMSG_FETCH);
    m->epoch = core->decided.placement.epoch;
    m->flags = core->config.eligible ? 0 : VFLAG_EDGE;
    view_send(core, from);
}

/* The leader tells all that may keep; every node those that asked it. */
void learn_publish(struct view_core *core)
{
    if (core->role == VIEW_LEADER) {
        for (size_t i = 0; i < core->peers_n; i++) {
            const struct vpeer *peer = &core->peers[i];
            if (peer->boot.boot_no != 0 && peer->eligible && (peer->up || peer->linked))
                learn_push(core, &peer->boot.node);
        }
    }
    for (size_t i = 0; i < VIEW_SUBSCRIBERS_MAX; i++) {
        const struct vsubscriber *it = &core->subscribers[i];
        if (it->at_ms != 0 && core->now_ms - it->at_ms < SUBSCRIBED_MS)
            learn_push(core, &it->node);
    }
}

/* One peer after the other is asked for news. */
void learn_run(struct view_core *core)
{
    if (core->now_ms < core->fetch_at_ms)
        return;
    bool calm = core->lease_until_ms > core->now_ms;
    core->fetch_at_ms = core->now_ms + (!core->config.eligible ? EDGE_FETCH_MS
                                        : calm                 ? FETCH_CALM_MS
                                                               : FETCH_MS);
    for (size_t tries = 0; tries < core->peers_n; tries++) {
        const struct vpeer *peer = &core->peers[core->fetch_turn++ % core->peers_n];
        if (peer->boot.boot_no != 0 && peer->eligible && (peer->up || peer->linked)) {
            learn_fetch(core, &peer->boot.node);
            return;
        }
    }
}
