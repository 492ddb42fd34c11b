/*
 * What a voter promises. Each promise and vote is on disk before it is given (5.9).
 *
 * An acknowledged heartbeat promises more: no promise to another ballot until the leader's lease,
 * which the acknowledgement is part of, has certainly ended. That is in memory only. But what is
 * acknowledged was promised before, on disk, and nobody else is promised meanwhile; so after a boot
 * a voter behaves as if it had just acknowledged whom it last promised. It sits out for all others,
 * votes for that leader at once, and one that never promised anything has nothing to wait for.
 *
 * What an old copy of the disk says is less than was promised, and the only voter asks nobody. So
 * after its boot it leads once a keeper of its record has answered that it knows of nothing newer
 * (whoever has seen the disk in a later boot refuses it, peers.c), or after as long as a lease that
 * it does not know of may run; alone in its record it has nobody to wait for.
 *
 * A leader that is certainly dead (a newer boot of its node, or its good-bye) needs no waiting
 * either. What it granted to keepers may still run; whoever is promised next is told so, and holds
 * every keeper for leased as long.
 */
#include "view/internal.h"

static void put_promise(struct view_core *core)
{
    uint8_t data[16 + KITH_NODE_ID_BYTES];
    if (MUTANT(VIEW_FORGET_PROMISE))
        return;
    put_le64(data, core->promised.round);
    memcpy(data + 8, core->promised.node.bytes, KITH_NODE_ID_BYTES);
    put_le64(data + 8 + KITH_NODE_ID_BYTES, core->promised_boot);
    view_put(core, "vp", 2, data, sizeof(data));
}

/* A ballot is of one boot. */
static void promise(struct view_core *core, const struct view_ballot *ballot, uint64_t boot_no)
{
    if (view_ballot_compare(ballot, &core->promised) == 0 && core->promised_boot == boot_no)
        return;
    core->promised = *ballot;
    core->promised_boot = boot_no;
    put_promise(core);
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

bool voter_holds(const struct view_core *core)
{
    return lease_forbids(core, &core->config.self,
                         &(struct view_ballot){.node = core->config.self.node});
}

bool voter_unanswered(const struct view_core *core)
{
    return core->now_ms < core->answer_until_ms && only_voter(core);
}

/* START with a view. */
void voter_start(struct view_core *core)
{
    uint64_t until_ms = lease_lessor_until_ms(core->now_ms, LEADER_LEASE_MS);
    bool self = view_is_self(core, &core->promised.node);

    lead_expect_leader(core);
    if (only_voter(core)) {
        core->candidate_at_ms = core->now_ms;
        if (peer_keeper_named(core) && !MUTANT(VIEW_ONLY_VOTER_TRUSTS_DISK))
            core->answer_until_ms = until_ms;
    }
    if (core->promised.round == 0)
        return;
    /* Which leases a former boot granted as a leader is forgotten (hole 39). */
    if (!only_voter(core) || !MUTANT(VIEW_ONLY_VOTER_FORGETS_LEASES))
        core->early_until_ms = until_ms;
    if (self || MUTANT(VIEW_NO_SITOUT))
        return;
    core->lease_ballot = core->promised;
    core->lease_boot = core->promised_boot;
    core->no_promise_until_ms = until_ms;
    core->sitout = true;
}

/* The lease that was acknowledged is over before its time. */
static void lease_over(struct view_core *core)
{
    if (core->no_promise_until_ms > core->early_until_ms)
        core->early_until_ms = core->no_promise_until_ms;
    core->no_promise_until_ms = 0;
    core->sitout = false;
}

/* This node led and leads no more. */
void voter_led(struct view_core *core)
{
    if (core->no_promise_until_ms > core->now_ms && view_is_self(core, &core->lease_ballot.node))
        lease_over(core);
}

/* Is the leader whose lease was acknowledged certainly dead? */
void voter_run(struct view_core *core)
{
    if (voter_unanswered(core) && peer_keeper_answered(core)) {
        core->answer_until_ms = 0;
        core->candidate_at_ms = core->now_ms;
    }
    if (core->now_ms >= core->no_promise_until_ms) {
        core->sitout = false;
        return;
    }
    const struct vpeer *peer = peer_look(core, &core->lease_ballot.node);
    if (peer != NULL &&
        (peer->boot.boot_no > core->lease_boot || peer->left_boot >= core->lease_boot)) {
        lease_over(core);
        lead_expect_in_turn(core, core->now_ms);
    }
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
    return voter_self(core, &core->decided) && peer_votes(core, &core->decided, &from->node);
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
    if (!pre)
        promise(core, &m->ballot, from->boot_no);
    struct view_msg *answer = view_msg_new(core, VMSG_PROMISE);
    answer->flags = pre ? VFLAG_PRE : 0;
    if (core->now_ms < core->early_until_ms && !MUTANT(VIEW_NO_EARLY))
        answer->flags |= VFLAG_EARLY;
    answer->epoch = m->epoch;
    answer->ballot = m->ballot;
    if (core->accepted_epoch == m->epoch) {
        answer->accepted = core->accepted;
        answer->record = core->accepted_bytes;
        answer->record_len = core->accepted_len;
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
    promise(core, &m->ballot, from->boot_no);
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
    if (lease_forbids(core, from, &m->ballot))
        return;
    if (core->disk_full && view_ballot_compare(&m->ballot, &core->promised) > 0)
        return;
    promise(core, &m->ballot, from->boot_no);
    core->sitout = false;
    core->lease_ballot = m->ballot;
    core->lease_boot = from->boot_no;
    core->no_promise_until_ms = lease_lessor_until_ms(core->now_ms, LEADER_LEASE_MS);
    if (!view_is_self(core, &from->node))
        lead_expect_leader(core);
    learn_leader(core, &m->ballot);
    struct view_msg *ack = view_msg_new(core, VMSG_HB_ACK);
    ack->epoch = m->epoch;
    ack->ballot = m->ballot;
    ack->t = m->t;
    view_send_durable(core, &from->node);
    if (view_is_self(core, &from->node))
        return;
    /* Awake anyway: one turn, and one write to the leader, for all that is soon due. */
    if (core->ask_at_ms < core->now_ms + HB_MS / 2)
        core->ask_at_ms = core->now_ms;
    watch_beat_soon(core);
}

/* The leader gave its lease back. */
void voter_on_resign(struct view_core *core, const struct boot_id *from, const struct view_msg *m)
{
    if (core->no_promise_until_ms > core->now_ms && from->boot_no == core->lease_boot &&
        view_ballot_compare(&m->ballot, &core->lease_ballot) == 0) {
        lease_over(core);
        lead_expect_in_turn(core, core->now_ms);
    }
}
