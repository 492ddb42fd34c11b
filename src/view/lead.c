/*
 * Candidate and leader: phase 1 once, then one proposal after the other, and the leader's lease.
 *
 * The lease is what a majority of the voters acknowledged, counted from when the heartbeat was
 * sent. While a change of voters is under way it must come from both sets (hole 38): whoever is
 * elected by either of them finds one of those who acknowledged it.
 */
#include "view/internal.h"

static bool majority(const bool *of, uint32_t voters_n)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < voters_n; i++)
        n += of[i];
    return n > voters_n / 2;
}

static bool only_voter(const struct view_core *core)
{
    return core->decided.voters_n == 1 && voter_self(core, &core->decided);
}

/* ---- the lease ---- */

/* When the newest heartbeat was sent that most voters of @record acknowledged, each that or a later
 * one. 0: most have acknowledged none. */
static uint64_t acked_ms(const struct view_core *core, const struct view_record *record)
{
    uint64_t times[VIEW_VOTERS_MAX];

    for (uint32_t i = 0; i < record->voters_n; i++) {
        const struct view_voter *voter = &record->voters[i];
        uint64_t t = core->self_hb_t;
        if (!view_is_self(core, &voter->node)) {
            const struct vpeer *peer = peer_look(core, &voter->node);
            t = peer_votes_as(core, peer, voter) ? peer->hb_t : 0;
        }
        uint32_t at = i;
        for (; at > 0 && times[at - 1] < t; at--)
            times[at] = times[at - 1];
        times[at] = t;
    }
    return times[record->voters_n / 2];
}

bool lead_answered_since(const struct view_core *core,
                         const struct view_record *record,
                         uint64_t since_ms)
{
    return acked_ms(core, record) >= since_ms;
}

uint64_t lead_until_of_ms(const struct view_core *core, const struct view_record *record)
{
    uint64_t t = acked_ms(core, record);
    return t == 0 ? 0 : lease_lessee_until_ms(t, LEADER_LEASE_MS);
}

uint64_t lead_until_ms(const struct view_core *core)
{
    if (core->role != VIEW_LEADER)
        return 0;
    uint64_t until = lead_until_of_ms(core, &core->decided);
    if (MUTANT(VIEW_NO_JOINT_LEASE))
        return until;
    if (core->proposing) {
        uint64_t other = lead_until_of_ms(core, &core->proposal);
        until = other < until ? other : until;
    }
    if (core->old_voters_on) {
        uint64_t other = lead_until_of_ms(core, &core->old);
        until = other < until ? other : until;
    }
    return until;
}

uint64_t view_leader_until_ms(const struct view_core *core)
{
    return lead_until_ms(core);
}

bool lead_may_grant(const struct view_core *core)
{
    return core->role == VIEW_LEADER && !core->inherited && lead_until_ms(core) > core->now_ms;
}

/* ---- sending to voters ---- */

static void send_voters(struct view_core *core, const struct view_record *record, bool self)
{
    for (uint32_t i = 0; i < record->voters_n; i++) {
        if (self || !view_is_self(core, &record->voters[i].node))
            view_send(core, &record->voters[i].node);
    }
}

static void send_prepare(struct view_core *core, bool to_self_only)
{
    struct view_msg *m = view_msg_new(core, VMSG_PREPARE);
    m->flags = core->pre ? VFLAG_PRE : 0;
    m->epoch = core->decided.placement.epoch + 1;
    m->ballot = core->ballot;
    if (to_self_only)
        view_send(core, &core->config.self.node);
    else
        send_voters(core, &core->decided, core->pre || core->role == VIEW_LEADER);
}

static void send_accept(struct view_core *core)
{
    struct view_msg *m = view_msg_new(core, VMSG_ACCEPT);
    m->epoch = core->proposal.placement.epoch;
    m->ballot = core->ballot;
    m->record = core->proposal_bytes;
    m->record_len = core->proposal_len;
    for (uint32_t i = 0; i < core->decided.voters_n; i++) {
        if (!core->accepts[i])
            view_send(core, &core->decided.voters[i].node);
    }
}

static void send_hb(struct view_core *core)
{
    const struct view_record *sets[] = {&core->decided, core->proposing ? &core->proposal : NULL,
                                        core->old_voters_on ? &core->old : NULL,
                                        core->want_on ? &core->want : NULL};
    struct kith_node_id sent[4 * VIEW_VOTERS_MAX];
    size_t sent_n = 0;

    struct view_msg *m = view_msg_new(core, VMSG_HB);
    m->epoch = core->decided.placement.epoch;
    m->ballot = core->ballot;
    m->t = core->now_ms;
    for (size_t s = 0; s < 4; s++) {
        for (uint32_t i = 0; sets[s] != NULL && i < sets[s]->voters_n; i++) {
            const struct kith_node_id *node = &sets[s]->voters[i].node;
            bool again = false;
            for (size_t j = 0; j < sent_n; j++)
                again = again || memcmp(&sent[j], node, sizeof(*node)) == 0;
            if (!again) {
                sent[sent_n++] = *node;
                view_send(core, node);
            }
        }
    }
}

/* ---- candidate ---- */

void lead_expect_leader(struct view_core *core)
{
    core->candidate_at_ms = core->now_ms + view_random_ms(core, CANDIDATE_MIN_MS, CANDIDATE_MAX_MS);
}

/* The leader is gone by @from_ms: one voter after the other asks, so that they do not outbid each
 * other. */
void lead_expect_in_turn(struct view_core *core, uint64_t from_ms)
{
    uint64_t turn = 0;
    for (uint32_t i = 0; i < core->decided.voters_n; i++) {
        const struct kith_node_id *node = &core->decided.voters[i].node;
        if (view_is_self(core, node))
            break;
        turn += memcmp(node, &core->lease_ballot.node, sizeof(*node)) != 0;
    }
    core->candidate_at_ms = from_ms + turn * TURN_MS + view_random_ms(core, 0, TURN_MS);
}

static void clear_promises(struct view_core *core)
{
    memset(core->promises, 0, sizeof(core->promises));
    core->best = (struct view_ballot){0};
    core->best_len = 0;
    core->early_seen = false;
}

static void next_ballot(struct view_core *core)
{
    uint64_t round =
        core->promised.round > core->round_seen ? core->promised.round : core->round_seen;
    core->ballot.round = round + 1;
    core->ballot.node = core->config.self.node;
    clear_promises(core);
}

static void candidate_start(struct view_core *core)
{
    lead_expect_leader(core);
    if (core->disk_full || core->left)
        return;
    if (voter_unanswered(core)) {
        core->candidate_at_ms = core->answer_until_ms;
        return;
    }
    if (voter_holds(core)) {
        /* Nor will the others, who hold it for about as long. */
        lead_expect_in_turn(core, core->no_promise_until_ms);
        return;
    }
    /* Whether it would be promised it asks soon again: that disturbs nobody. */
    bool again = core->role == VIEW_CANDIDATE && core->unheard_ms != 0;
    uint64_t most_ms = again ? 2 * core->unheard_ms : PRE_RETRY_MS;
    core->unheard_ms = most_ms < CANDIDATE_MAX_MS ? most_ms : CANDIDATE_MAX_MS;
    if (!only_voter(core))
        core->candidate_at_ms =
            core->now_ms + view_random_ms(core, core->unheard_ms / 2, core->unheard_ms);
    core->role = VIEW_CANDIDATE;
    core->pre = !only_voter(core);
    core->stats.elections++;
    next_ballot(core);
    send_prepare(core, !core->pre);
}

void lead_step_down(struct view_core *core)
{
    bool led = core->role == VIEW_LEADER;
    core->role = VIEW_FOLLOWER;
    core->proposing = false;
    core->inherited = false;
    core->old_voters_on = false;
    core->want_on = false;
    core->prepared = false;
    if (led)
        voter_led(core);
    lead_expect_leader(core);
}

static void start_proposal(struct view_core *core)
{
    memset(core->accepts, 0, sizeof(core->accepts));
    core->proposing = true;
    core->proposed_ms = core->resent_ms = core->now_ms;
    send_accept(core);
}

void lead_propose(struct view_core *core, const struct view_record *record)
{
    core->proposal = *record;
    core->proposal_len = view_record_encode(record, core->proposal_bytes);
    start_proposal(core);
}

/* A majority promised: what any of them voted for goes first, with our ballot. */
static void prepared(struct view_core *core)
{
    core->prepared = true;
    core->proposing = false;
    core->inherited = false;
    if (core->best_len == 0)
        return;
    int r = view_record_decode(&core->proposal, core->best_bytes, core->best_len);
    assert(r == 0); /* voters check what they vote for, and so did we when it came */
    (void)r;
    memcpy(core->proposal_bytes, core->best_bytes, core->best_len);
    core->proposal_len = core->best_len;
    core->inherited = true;
    start_proposal(core);
}

static void won(struct view_core *core)
{
    core->role = VIEW_LEADER;
    core->stats.elections_won++;
    core->elected_ms = core->lease_seen_ms = core->now_ms;
    core->hb_at_ms = core->now_ms;
    core->self_hb_t = 0;
    core->settled = true;
    core->old_voters_on = false;
    core->want_on = false;
    core->want_ms = 0;
    core->backoff_ms = 0;
    core->minted = false;
    watch_beat_soon(core); /* those that do not vote hear of it, too */
    core->durable_asked = 0;
    /* A leader gave its lease back early: what it granted may still run. */
    uint64_t until_ms = lease_lessor_until_ms(core->now_ms, LEADER_LEASE_MS);
    if (core->early_seen && until_ms > core->inherit_until_ms)
        core->inherit_until_ms = until_ms;
    memset(core->reports, 0, sizeof(core->reports));
    memset(core->ready, 0, sizeof(core->ready));
    memset(core->slot_dead_ms, 0, sizeof(core->slot_dead_ms));
    memset(core->slot_active_ms, 0, sizeof(core->slot_active_ms));
    for (size_t i = 0; i < core->peers_n; i++) {
        core->peers[i].hb_t = 0;
        core->peers[i].asked_ms = 0;
        core->peers[i].lost_ms = 0;
    }
    learn_leader(core, &core->ballot);
    prepared(core);
}

static void note_accepted(struct view_core *core, const struct view_msg *m)
{
    static _Thread_local struct view_record record;
    if (m->record_len == 0 || view_ballot_compare(&m->accepted, &core->best) <= 0)
        return;
    if (view_record_decode(&record, m->record, m->record_len) != 0 ||
        record.placement.epoch != m->epoch) {
        core->stats.bad_messages++;
        return;
    }
    core->best = m->accepted;
    core->best_len = m->record_len;
    memcpy(core->best_bytes, m->record, m->record_len);
}

void lead_on_promise(struct view_core *core, const struct boot_id *from, const struct view_msg *m)
{
    bool pre = (m->flags & VFLAG_PRE) != 0;
    bool waits = core->role == VIEW_CANDIDATE || (core->role == VIEW_LEADER && !core->prepared);
    int at = voter_place(&core->decided, &from->node);

    if (!waits || at < 0 || pre != core->pre || m->epoch != core->decided.placement.epoch + 1 ||
        view_ballot_compare(&m->ballot, &core->ballot) != 0 ||
        !peer_votes(core, &core->decided, &from->node))
        return;
    bool again = core->promises[at];
    core->promises[at] = true;
    core->early_seen = core->early_seen || (m->flags & VFLAG_EARLY) != 0;
    if (!pre)
        note_accepted(core, m);
    /* Our own promise is on disk before others see the ballot: no boot uses one twice. */
    if (!pre && !again && view_is_self(core, &from->node))
        send_prepare(core, false);
    if (!majority(core->promises, core->decided.voters_n))
        return;
    if (core->role == VIEW_LEADER) {
        learn_leader(core, &core->ballot);
        prepared(core);
    } else if (pre) {
        core->pre = false;
        core->unheard_ms = 0;
        lead_expect_leader(core);
        clear_promises(core);
        send_prepare(core, true);
    } else {
        won(core);
    }
}

void lead_outbid(struct view_core *core, const struct view_ballot *ballot)
{
    if (ballot->round > core->round_seen)
        core->round_seen = ballot->round;
    /* Whoever is elected against us is so only after our lease. */
    if (lead_until_ms(core) <= core->now_ms) {
        lead_resign(core);
    } else if (core->now_ms - core->raised_ms > RESEND_MS && core->settled) {
        core->raised_ms = core->now_ms;
        core->prepared = false;
        core->pre = false;
        next_ballot(core);
        send_prepare(core, true);
    }
}

void lead_on_nack(struct view_core *core, const struct boot_id *from, const struct view_msg *m)
{
    (void)from;
    if (m->ballot.round > core->round_seen)
        core->round_seen = m->ballot.round;
    if (core->role == VIEW_FOLLOWER || view_ballot_compare(&m->ballot, &core->ballot) <= 0)
        return;
    if (core->role == VIEW_LEADER) {
        lead_outbid(core, &m->ballot);
        return;
    }
    core->role = VIEW_FOLLOWER;
    if (core->pre) { /* asked with too low a number */
        core->candidate_at_ms = core->now_ms + view_random_ms(core, 0, PRE_RETRY_MS);
        return;
    }
    core->backoff_ms = core->backoff_ms == 0 ? CANDIDATE_MIN_MS : 2 * core->backoff_ms;
    if (core->backoff_ms > BACKOFF_MAX_MS)
        core->backoff_ms = BACKOFF_MAX_MS;
    core->candidate_at_ms =
        core->now_ms + view_random_ms(core, core->backoff_ms / 2, core->backoff_ms);
}

/* ---- leader ---- */

void lead_on_hb_ack(struct view_core *core, const struct boot_id *from, const struct view_msg *m)
{
    if (core->role != VIEW_LEADER || view_ballot_compare(&m->ballot, &core->ballot) != 0 ||
        m->t > core->now_ms || m->t < core->elected_ms)
        return;
    uint64_t t = MUTANT(VIEW_LEASE_FROM_REPLY) ? core->now_ms : m->t;
    if (core->want_on && t >= core->want_ms)
        core->plan_at_ms = core->now_ms; /* it may be what is waited for */
    if (view_is_self(core, &from->node)) {
        if (t > core->self_hb_t)
            core->self_hb_t = t;
        return;
    }
    struct vpeer *peer = peer_find(core, &from->node);
    if (peer != NULL && peer->boot.boot_no == from->boot_no && t > peer->hb_t)
        peer->hb_t = t;
}

void lead_on_accepted(struct view_core *core, const struct boot_id *from, const struct view_msg *m)
{
    int at = voter_place(&core->decided, &from->node);

    if (core->role != VIEW_LEADER || !core->proposing || at < 0 ||
        m->epoch != core->proposal.placement.epoch ||
        view_ballot_compare(&m->ballot, &core->ballot) != 0 ||
        !peer_votes(core, &core->decided, &from->node))
        return;
    core->accepts[at] = true;
    if (!majority(core->accepts, core->decided.voters_n) ||
        core->learned.placement.epoch >= core->proposal.placement.epoch)
        return;
    if (learn_record(core, core->proposal_bytes, core->proposal_len))
        core->stats.records_decided++;
}

void lead_resign(struct view_core *core)
{
    struct view_ballot ballot = core->ballot;
    lead_step_down(core);
    core->lease_until_ms = 0;
    struct view_msg *m = view_msg_new(core, VMSG_RESIGN);
    m->ballot = ballot;
    send_voters(core, &core->decided, false);
}

/* Have most of the voters the decided record on disk, as far as is known? */
static bool known_by_majority(struct view_core *core)
{
    bool acks[VIEW_VOTERS_MAX] = {false};

    for (uint32_t i = 0; i < core->decided.voters_n; i++) {
        const struct kith_node_id *node = &core->decided.voters[i].node;
        const struct vpeer *peer = peer_find(core, node);
        acks[i] = view_is_self(core, node) ||
                  (peer != NULL && peer->decided_ack >= core->decided.placement.epoch);
    }
    return majority(acks, core->decided.voters_n);
}

static void check_settled(struct view_core *core)
{
    if (core->role != VIEW_LEADER || core->settled || !known_by_majority(core))
        return;
    core->settled = true;
    core->old_voters_on = false;
    learn_publish(core);
    if (!voter_self(core, &core->decided)) {
        lead_resign(core);
        return;
    }
    /* Phase 1 again, as nobody of the new voters need have promised us. */
    core->pre = false;
    clear_promises(core);
    core->resent_ms = core->now_ms;
    send_prepare(core, false);
}

void lead_on_decided_ack(struct view_core *core,
                         const struct boot_id *from,
                         const struct view_msg *m)
{
    struct vpeer *peer = peer_find(core, &from->node);
    if (peer == NULL || peer->boot.boot_no != from->boot_no)
        return;
    if (m->epoch > peer->decided_ack)
        peer->decided_ack = m->epoch;
    if (core->minted && core->role == VIEW_FOLLOWER && known_by_majority(core))
        core->candidate_at_ms = core->now_ms;
    check_settled(core);
}

/* core->old is the record before. */
void lead_installed(struct view_core *core, bool voters_changed)
{
    bool ours = core->role == VIEW_LEADER && core->proposing &&
                core->proposal_len == core->decided_len &&
                memcmp(core->proposal_bytes, core->decided_bytes, core->decided_len) == 0;
    if (!ours) {
        if (core->role != VIEW_FOLLOWER)
            lead_step_down(core);
        else
            lead_expect_leader(core);
        /* The only voter need not ask anybody. */
        if (only_voter(core))
            core->candidate_at_ms = core->now_ms;
        learn_publish(core);
        return;
    }
    core->proposing = false;
    core->inherited = false;
    core->want_on = false;
    if (!voters_changed) {
        learn_publish(core);
        return;
    }
    core->settled = false;
    core->prepared = false;
    core->old_voters_on = true;
    core->resent_ms = core->now_ms;
    for (uint32_t i = 0; i < core->decided.voters_n; i++) {
        if (!view_is_self(core, &core->decided.voters[i].node))
            learn_push(core, &core->decided.voters[i].node);
    }
    check_settled(core);
}

static void resend(struct view_core *core)
{
    if (core->now_ms - core->resent_ms < RESEND_MS)
        return;
    core->resent_ms = core->now_ms;
    if (!core->settled) {
        for (uint32_t i = 0; i < core->decided.voters_n; i++) {
            if (!view_is_self(core, &core->decided.voters[i].node))
                learn_push(core, &core->decided.voters[i].node);
        }
        check_settled(core);
        return;
    }
    int self = voter_place(&core->decided, &core->config.self.node);
    if (!core->prepared)
        send_prepare(core, self >= 0 && !core->promises[self]);
    else if (core->proposing)
        send_accept(core);
}

void lead_run(struct view_core *core)
{
    if (!core->config.eligible || !view_has(core))
        return;
    if (core->role != VIEW_LEADER) {
        if (voter_self(core, &core->decided) && core->now_ms >= core->candidate_at_ms)
            candidate_start(core);
        return;
    }
    if (core->now_ms >= core->hb_at_ms) {
        core->hb_at_ms = core->now_ms + HB_MS;
        send_hb(core);
    }
    resend(core);
    if (core->role != VIEW_LEADER)
        return;
    if (lead_until_ms(core) > core->now_ms) {
        core->lease_seen_ms = core->now_ms;
    } else if (core->now_ms - core->lease_seen_ms > 2 * LEADER_LEASE_MS) {
        lead_resign(core); /* heard by no majority: let others try, and ask before we do */
        return;
    }
    if (core->prepared && core->settled && !core->proposing && core->learned.placement.epoch == 0 &&
        core->now_ms >= core->plan_at_ms && core->now_ms - core->proposed_ms >= PROPOSE_MS) {
        plan_run(core);
        core->plan_at_ms = plan_again_ms(core);
    }
}

enum view_role view_role(const struct view_core *core)
{
    if (!view_has(core))
        return VIEW_NO_VIEW;
    if (core->role == VIEW_LEADER)
        return VIEW_LEADER;
    if (!core->config.eligible || !voter_self(core, &core->decided))
        return VIEW_EDGE;
    if (core->sitout || voter_unanswered(core))
        return VIEW_SITOUT;
    return core->role;
}
