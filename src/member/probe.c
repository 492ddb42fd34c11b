/*
 * SWIM's echo round: each interval one node, in a random order that visits all before it starts
 * again; direct first, then through k others. Local health stretches interval and timeout.
 */
#include "member/internal.h"

/* Places looked at for one target when many are suspect. */
#define SKIP_MAX 16

void health_add(struct member_core *core, int delta)
{
    if (core->config.lifeguard_off)
        return;
    int64_t health = (int64_t)core->health + delta;
    if (health < 0)
        health = 0;
    if (health > (int64_t)core->config.health_max)
        health = (int64_t)core->config.health_max;
    core->health = (uint32_t)health;
}

uint32_t probe_seq(struct member_core *core, uint32_t low)
{
    core->seq += 0x100;
    return core->seq | low;
}

void probe_sample_rtt(struct member_core *core, struct mnode *node, uint64_t sent_us)
{
    uint64_t took = core->now_us > sent_us ? core->now_us - sent_us : 0;
    uint32_t sample = took < 60 * 1000 * 1000 ? (uint32_t)took : 60 * 1000 * 1000;
    uint32_t *srtt = &node->pub.rtt_us;
    tally_add(&core->rtts, (uint64_t)sample * 1000);
    *srtt = *srtt == UINT32_MAX ? sample : *srtt - *srtt / 8 + sample / 8;
    core->srtt_us = core->srtt_us == 0 ? sample : core->srtt_us - core->srtt_us / 8 + sample / 8;
}

static uint64_t scale(const struct member_core *core)
{
    return core->health + 1;
}

/* clamp(4 x srtt, min, max); of one never heard from the mean of all stands in, at first max. */
static uint64_t timeout_ms(const struct member_core *core, const struct mnode *target)
{
    uint64_t max_ms = core->config.probe_timeout_max_ms;
    uint32_t srtt_us = target->pub.rtt_us;
    if (srtt_us == UINT32_MAX)
        return max_ms;
    if (srtt_us < core->srtt_us)
        srtt_us = core->srtt_us;
    uint64_t wait_ms = ((uint64_t)srtt_us * 4 + 999) / 1000;
    if (wait_ms < core->config.probe_timeout_min_ms)
        wait_ms = core->config.probe_timeout_min_ms;
    return wait_ms < max_ms ? wait_ms : max_ms;
}

void probe_ping(struct member_core *core, struct mnode *target, uint32_t seq)
{
    struct packet packet;
    if (!packet_begin(core, &packet, &target->pub.id))
        return;
    packet_put_seq(core, &packet, MSG_PING, seq);
    /* Buddy system (Lifeguard IV-C): a suspect is told with the very echo it has to answer. */
    if (!core->config.lifeguard_off)
        suspect_tell(core, &packet, target);
    packet_send(core, &packet);
}

void probe_start(struct member_core *core)
{
    if (!core->started || core->leaving || core->config.detector_echo || core_alone(core) ||
        heap_contains(&core->probe_timer.at))
        return;
    core->probe.phase = PROBE_IDLE;
    /* At a random moment of the interval: a cluster that starts at once must not echo at once. */
    core_timer_set(core, &core->probe_timer,
                   core->now_ms + rng_below(&core->rng, core->config.probe_interval_ms));
}

static void shuffle(struct member_core *core)
{
    for (size_t i = core->here_n; i > 1; i--) {
        size_t j = (size_t)rng_below(&core->rng, i);
        struct mnode *node = core->here[i - 1];
        core->here[i - 1] = core->here[j];
        core->here[j] = node;
        core->here[i - 1]->here_at = (uint32_t)i;
        core->here[j]->here_at = (uint32_t)j + 1;
    }
    core->here_cursor = 0;
}

static struct mnode *next_target(struct member_core *core)
{
    /*
     * When a whole room went dark, those already accused can wait: who is well must be heard, or
     * our own score never falls and we may confirm nothing.
     */
    bool skip = !core->config.lifeguard_off && core->here_n > 8 &&
                core->alive_n - 1 < core->here_n - core->here_n / 4;
    struct mnode *node = NULL;
    for (int i = 0; i < SKIP_MAX; i++) {
        if (core->here_cursor >= core->here_n)
            shuffle(core);
        node = core->here[core->here_cursor++];
        if (!skip || node->suspicion == NULL)
            break;
    }
    return node;
}

static void send_direct(struct member_core *core)
{
    struct probe *probe = &core->probe;
    uint64_t wait_ms = timeout_ms(core, probe->target) * scale(core);
    probe->phase = PROBE_DIRECT;
    probe->nacks = 0;
    probe->relays_n = 0;
    probe->sent_us = core->now_us;
    probe->round_end_ms = core->now_ms + core->config.probe_interval_ms * scale(core);
    probe_ping(core, probe->target, probe->seq);
    core_timer_set(core, &core->probe_timer, core->now_ms + wait_ms);
}

static void begin_round(struct member_core *core)
{
    struct probe *probe = &core->probe;
    if (core_alone(core))
        return;
    probe->target = next_target(core);
    probe->seq = probe_seq(core, SEQ_PROBE);
    probe->resent = false;
    core->stats.probes++;
    send_direct(core);
}

/* No answer in time: through k others, and once more directly should the first have been lost. */
static void go_indirect(struct member_core *core)
{
    struct probe *probe = &core->probe;
    struct mnode *relays[PROBE_RELAYS_MAX];
    uint64_t left_ms = probe->round_end_ms - core->now_ms;
    size_t n = table_random_n(core, relays, core->config.indirect_k, probe->target, NULL, false);
    struct msg msg = {.type = MSG_PING_REQ, .seq = probe->seq, .id = probe->target->pub.id};
    if (!core->config.lifeguard_off) {
        /* Early enough for a nack to be here in time (Lifeguard IV-A: at 80 %). */
        msg.value = left_ms * 4 / 5;
        probe->relays_n = (uint32_t)n;
    }
    for (size_t i = 0; i < n; i++) {
        struct packet packet;
        probe->relays[i] = relays[i]->pub.id;
        probe->relay_answered[i] = false;
        if (!packet_begin(core, &packet, &relays[i]->pub.id))
            break;
        packet_put(core, &packet, &msg);
        packet_send(core, &packet);
        core->stats.indirect_probes++;
    }
    probe->phase = PROBE_INDIRECT;
    probe->resent = true;
    probe_ping(core, probe->target, probe->seq);
    core_timer_set(core, &core->probe_timer, probe->round_end_ms);
}

/* ... or they are gone as well: one of them is looked at next. */
static void look_at_silent_relay(struct member_core *core)
{
    const struct probe *probe = &core->probe;
    for (uint32_t i = 0; i < probe->relays_n; i++) {
        struct mnode *node = table_find(core, &probe->relays[i]);
        if (probe->relay_answered[i] || node == NULL || node->pub.status != KITH_STATUS_ALIVE)
            continue;
        table_probe_next(core, node);
        return;
    }
}

static void round_failed(struct member_core *core)
{
    struct probe *probe = &core->probe;
    struct mnode *target = probe->target;
    uint32_t missing = probe->relays_n - probe->nacks;
    core->stats.probe_failures++;
    probe->phase = PROBE_IDLE;
    probe->target = NULL;
    /* Relays that did not even say no: perhaps it is us who hear nothing. */
    health_add(core, (int)missing);
    suspect_own(core, target);
    look_at_silent_relay(core);
}

void probe_timer(struct member_core *core)
{
    struct probe *probe = &core->probe;
    switch (probe->phase) {
    case PROBE_IDLE:
        begin_round(core);
        return;
    case PROBE_DIRECT:
        go_indirect(core);
        return;
    case PROBE_INDIRECT:
        round_failed(core);
        begin_round(core);
        return;
    }
}

static void round_ended(struct member_core *core)
{
    core->probe.phase = PROBE_IDLE;
    core->probe.target = NULL;
    uint64_t next_ms = core->probe.round_end_ms;
    core_timer_set(core, &core->probe_timer, next_ms > core->now_ms ? next_ms : core->now_ms);
}

/* The node is here no more: nothing is to be waited for. */
void probe_forget(struct member_core *core, const struct mnode *node)
{
    if (core->probe.target != node || core->probe.phase == PROBE_IDLE)
        return;
    round_ended(core);
    if (core_alone(core))
        core_timer_stop(core, &core->probe_timer);
}

void probe_lag(struct member_core *core)
{
    if (core->probe.phase == PROBE_IDLE || core->leaving)
        return;
    core->probe.resent = true;
    send_direct(core);
}

void probe_on_ack(struct member_core *core, struct mnode *from, uint32_t seq, bool relayed)
{
    struct probe *probe = &core->probe;
    if ((seq & 0xff) == SEQ_PROBE) {
        if (probe->phase == PROBE_IDLE || probe->seq != seq || (!relayed && probe->target != from))
            return;
        if (!relayed && !probe->resent)
            probe_sample_rtt(core, probe->target, probe->sent_us);
        health_add(core, -1);
        round_ended(core);
        return;
    }
    /* The answer to an echo we sent for somebody else. */
    if (core->relays == NULL || relayed)
        return;
    struct relay *relay = &core->relays[seq & 0xff];
    if (!relay->used || relay->seq != seq || !id_equal(&relay->target, &from->pub.id))
        return;
    struct packet packet;
    if (packet_begin(core, &packet, &relay->origin)) {
        packet_put_seq(core, &packet, MSG_RELAY_ACK, relay->origin_seq);
        packet_send(core, &packet);
    }
    core_timer_stop(core, &relay->timer);
    relay->used = false;
}

void probe_on_nack(struct member_core *core, const struct kith_node_id *from, uint32_t seq)
{
    struct probe *probe = &core->probe;
    if (probe->phase != PROBE_INDIRECT || probe->seq != seq)
        return;
    for (uint32_t i = 0; i < probe->relays_n; i++) {
        if (probe->relay_answered[i] || !id_equal(&probe->relays[i], from))
            continue;
        probe->relay_answered[i] = true;
        probe->nacks++;
        return;
    }
}

void probe_on_request(struct member_core *core,
                      const struct kith_node_id *from,
                      const struct msg *request)
{
    struct mnode *target = table_find(core, &request->id);
    if (target == NULL || target->here_at == 0 || core->leaving)
        return;
    if (core->relays == NULL) {
        core->relays = core_calloc(MEMBER_RELAYS_MAX, sizeof(*core->relays));
        if (core->relays == NULL) {
            core->error = KITH_E_MEMORY;
            return;
        }
    }
    uint32_t place = core->relay_next;
    core->relay_next = (place + 1) % MEMBER_RELAYS_MAX;
    struct relay *relay = &core->relays[place];
    if (relay->used)
        return; /* all are under way: the asker has others */
    relay->used = true;
    relay->timer.kind = TIMER_RELAY;
    relay->origin = *from;
    relay->target = request->id;
    relay->origin_seq = request->seq;
    relay->seq = probe_seq(core, place);
    uint64_t wait_ms = request->value != 0 ? request->value : core->config.probe_interval_ms;
    uint64_t most_ms = (uint64_t)core->config.probe_interval_ms * (core->config.health_max + 1);
    core_timer_set(core, &relay->timer, core->now_ms + (wait_ms < most_ms ? wait_ms : most_ms));
    probe_ping(core, target, relay->seq);
}

void probe_relay_timer(struct member_core *core, struct relay *relay)
{
    relay->used = false;
    if (core->config.lifeguard_off)
        return;
    struct packet packet;
    if (packet_begin(core, &packet, &relay->origin)) {
        packet_put_seq(core, &packet, MSG_NACK, relay->origin_seq);
        packet_send(core, &packet);
    }
}
