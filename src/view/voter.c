/*
 * What a voter promises. Each promise and vote is on disk before it is given (5.9).
 *
 * An acknowledged heartbeat promises more: no promise to another ballot until the leader's lease,
 * which the acknowledgement is part of, has certainly ended. That is in memory only; so after a
 * boot a voter sits out for as long as such a promise can last.
 */
#include "view/internal.h"

void voter_put_promise(struct view_core *core)
{
    uint8_t data[8 + KITH_NODE_ID_BYTES];
    if (MUTANT(VIEW_FORGET_PROMISE))
        return;
    put_le64(data, core->promised.round);
    memcpy(data + 8, core->promised.node.bytes, KITH_NODE_ID_BYTES);
    view_put(core, "vp", 2, data, sizeof(data));
}

static void put_accepted(struct view_core *core)
{
    uint8_t data[16 + KITH_NODE_ID_BYTES + VIEW_RECORD_BYTES_MAX];
    if (MUTANT(VIEW_FORGET_PROMISE))
        return;
    put_le64(data, core->accepted_epoch);
    put_le64(data + 8, core->accepted.round);
    memcpy(data + 16, core->accepted.node.bytes, KITH_NODE_ID_BYTES);
    memcpy(data + 16 + KITH_NODE_ID_BYTES, core->accepted_bytes, core->accepted_len);
    view_put(core, "va", 2, data, 16 + KITH_NODE_ID_BYTES + core->accepted_len);
}

void voter_forget_accepted(struct view_core *core)
{
    if (core->accepted_epoch == 0)
        return;
    core->accepted_epoch = 0;
    core->accepted_len = 0;
    view_put(core, "va", 2, NULL, 0);
}

static bool only_voter(const struct view_core *core)
{
    return core->decided.voters_n == 1 && voter_self(core, &core->decided);
}

/* Does an acknowledged heartbeat forbid to promise @ballot? The leader itself, in the boot that has
 * the lease, may go on with a higher ballot: what it granted it still knows. */
static bool lease_forbids(const struct view_core *core,
                          const struct boot_id *from,
                          const struct view_ballot *ballot)
{
    if (core->now_ms >= core->no_promise_until_ms || MUTANT(VIEW_NO_PROMISE_HOLD))
        return false;
    return memcmp(&ballot->node, &core->lease_ballot.node, sizeof(ballot->node)) != 0 ||
           from->boot_no != core->lease_boot ||
           memcmp(&from->node, &ballot->node, sizeof(ballot->node)) != 0;
}

/* START with a view. */
void voter_start(struct view_core *core)
{
    uint64_t until_ms = lease_lessor_until_ms(core->now_ms, LEADER_LEASE_MS);

    if (only_voter(core)) {
        /* Nobody else can lead, so there is nothing to wait for; but which leases the former boot
         * granted is forgotten (hole 39). */
        if (!MUTANT(VIEW_ONLY_VOTER_FORGETS_LEASES))
            core->inherit_until_ms = until_ms;
        core->candidate_at_ms = core->now_ms;
        return;
    }
    if (!MUTANT(VIEW_NO_SITOUT))
        core->sitout_until_ms = until_ms;
    core->candidate_at_ms = until_ms + view_random_ms(core, 0, CANDIDATE_MAX_MS - CANDIDATE_MIN_MS);
}

static void nack(struct view_core *core, const struct kith_node_id *to)
{
    struct view_msg *m = view_msg_new(core, VMSG_NACK);
    m->epoch = core->decided.placement.epoch;
    m->ballot = core->promised;
    view_send_durable(core, to);
}

/* Is @epoch the next one here, and may we vote on it? Else says what is known. */
static bool next_here(struct view_core *core, const struct boot_id *from, uint64_t epoch)
{
    uint64_t known = core->decided.placement.epoch;
    if (known == 0 || !core->config.eligible)
        return false;
    if (epoch <= known) {
        learn_push(core, &from->node);
        return false;
    }
    if (epoch > known + 1) {
        learn_fetch(core, &from->node);
        return false;
    }
    if (core->learned.placement.epoch >= epoch)
        return false; /* decided already, and on its way to the disk */
    if (!voter_self(core, &core->decided) || !peer_votes(core, &core->decided, &from->node))
        return false;
    return core->now_ms >= core->sitout_until_ms || only_voter(core);
}

void voter_on_prepare(struct view_core *core, const struct boot_id *from, const struct view_msg *m)
{
    bool pre = (m->flags & VFLAG_PRE) != 0;

    if (!next_here(core, from, m->epoch) || core->disk_full)
        return;
    /* A lease that we acknowledged may still run. */
    if (lease_forbids(core, from, &m->ballot))
        return;
    if (view_ballot_compare(&m->ballot, &core->promised) < 0) {
        nack(core, &from->node);
        return;
    }
    if (!pre && view_ballot_compare(&m->ballot, &core->promised) > 0) {
        core->promised = m->ballot;
        voter_put_promise(core);
    }
    struct view_msg *promise = view_msg_new(core, VMSG_PROMISE);
    promise->flags = (uint8_t)((pre ? VFLAG_PRE : 0) | (core->early ? VFLAG_EARLY : 0));
    promise->epoch = m->epoch;
    promise->ballot = m->ballot;
    if (core->accepted_epoch == m->epoch) {
        promise->accepted = core->accepted;
        promise->record = core->accepted_bytes;
        promise->record_len = core->accepted_len;
    }
    view_send_durable(core, &from->node);
}

void voter_on_accept(struct view_core *core, const struct boot_id *from, const struct view_msg *m)
{
    struct view_record record;

    if (!next_here(core, from, m->epoch))
        return;
    if (view_ballot_compare(&m->ballot, &core->promised) < 0) {
        nack(core, &from->node);
        return;
    }
    if (view_record_decode(&record, m->record, m->record_len) != 0 ||
        record.placement.epoch != m->epoch ||
        memcmp(record.prev_hash, core->decided_hash, VIEW_HASH_BYTES) != 0 ||
        memcmp(record.chain, core->decided.chain, VIEW_CLUSTER_BYTES) != 0) {
        core->stats.bad_messages++;
        return;
    }
    if (view_ballot_compare(&m->ballot, &core->promised) > 0) {
        core->promised = m->ballot;
        voter_put_promise(core);
    }
    if (core->accepted_epoch != m->epoch || view_ballot_compare(&core->accepted, &m->ballot) != 0) {
        core->accepted_epoch = m->epoch;
        core->accepted = m->ballot;
        core->accepted_len = m->record_len;
        memcpy(core->accepted_bytes, m->record, m->record_len);
        put_accepted(core);
    }
    struct view_msg *accepted = view_msg_new(core, VMSG_ACCEPTED);
    accepted->epoch = m->epoch;
    accepted->ballot = m->ballot;
    view_send_durable(core, &from->node);
}

/*
 * Also acknowledged by who is to become a voter: the leader proposes it only once it has a lease
 * from the new majority too.
 */
void voter_on_hb(struct view_core *core, const struct boot_id *from, const struct view_msg *m)
{
    uint64_t known = core->decided.placement.epoch;

    if (known == 0 || !core->config.eligible)
        return;
    if (m->epoch > known)
        learn_fetch(core, &from->node);
    else if (m->epoch < known)
        learn_push(core, &from->node);
    if (view_ballot_compare(&m->ballot, &core->promised) < 0) {
        nack(core, &from->node);
        return;
    }
    if (core->now_ms < core->sitout_until_ms && !only_voter(core))
        return;
    if (lease_forbids(core, from, &m->ballot))
        return;
    if (view_ballot_compare(&m->ballot, &core->promised) > 0) {
        if (core->disk_full)
            return;
        core->promised = m->ballot;
        voter_put_promise(core);
    }
    core->lease_ballot = m->ballot;
    core->lease_boot = from->boot_no;
    core->no_promise_until_ms = lease_lessor_until_ms(core->now_ms, LEADER_LEASE_MS);
    core->early = false;
    learn_leader(core, &m->ballot);
    struct view_msg *ack = view_msg_new(core, VMSG_HB_ACK);
    ack->epoch = m->epoch;
    ack->ballot = m->ballot;
    ack->t = m->t;
    view_send_durable(core, &from->node);
}

/* The leader gave its lease back. What it granted under it may still run, which whoever is promised
 * next is told. */
void voter_on_resign(struct view_core *core, const struct boot_id *from, const struct view_msg *m)
{
    (void)from;
    if (core->no_promise_until_ms <= core->now_ms ||
        view_ballot_compare(&m->ballot, &core->lease_ballot) != 0)
        return;
    core->no_promise_until_ms = 0;
    core->early = true;
    core->candidate_at_ms = core->now_ms + view_random_ms(core, 0, 300);
}
