/*
 * detector = echo: the classic one. Every peer is echoed each interval and has failed if no answer
 * came within the limit. The echo is repeated meanwhile, so that one lost datagram fails nobody.
 *
 * Each node judges for itself: FAILED from others makes us echo at once and wait the limit, because
 * there is no suspicion here in which a node could refute. SUSPECT is not used.
 */
#include "member/internal.h"

/* Repeats within the limit. */
#define RESENDS 8

static uint64_t resend_ms(const struct member_core *core)
{
    uint64_t every = core->config.echo_limit_ms / RESENDS;
    return every > 0 ? every : 1;
}

static void send(struct member_core *core, struct mnode *node)
{
    uint64_t fail_ms = node->echo_sent_ms + core->config.echo_limit_ms;
    probe_ping(core, node, node->echo_seq);
    node->echo_resend_ms = core->now_ms + resend_ms(core);
    core_timer_set(core, &node->timer,
                   node->echo_resend_ms < fail_ms ? node->echo_resend_ms : fail_ms);
}

void echo_now(struct member_core *core, struct mnode *node)
{
    if (node->here_at == 0 || node->echo_sent_ms != 0 || core->leaving)
        return;
    node->echo_seq = probe_seq(core, SEQ_PROBE);
    node->echo_sent_ms = core->now_ms > 0 ? core->now_ms : 1;
    node->echo_sent_us = core->now_us;
    core->stats.probes++;
    send(core, node);
}

/* Spread over the interval, so that peers are not echoed all at once. */
void echo_add(struct member_core *core, struct mnode *node)
{
    node->echo_sent_ms = 0;
    core_timer_set(core, &node->timer,
                   core->now_ms + rng_below(&core->rng, core->config.echo_interval_ms));
}

void echo_timer(struct member_core *core, struct mnode *node)
{
    if (core->leaving)
        return;
    if (node->echo_sent_ms == 0) {
        echo_now(core, node);
        return;
    }
    if (core->now_ms < node->echo_sent_ms + core->config.echo_limit_ms) {
        send(core, node);
        return;
    }
    core->stats.probe_failures++;
    suspect_failed(
        core, node, node->pub.incarnation,
        core_text(core, "no answer to an echo within %u ms", core->config.echo_limit_ms));
}

void echo_on_ack(struct member_core *core, struct mnode *from, uint32_t seq)
{
    if (from->echo_sent_ms == 0 || from->echo_seq != seq || from->here_at == 0)
        return;
    if (core->now_ms < from->echo_sent_ms + resend_ms(core))
        probe_sample_rtt(core, from, from->echo_sent_us);
    uint64_t next_ms = from->echo_sent_ms + core->config.echo_interval_ms;
    from->echo_sent_ms = 0;
    core_timer_set(core, &from->timer, next_ms > core->now_ms ? next_ms : core->now_ms);
}

void echo_shift(struct member_core *core, uint64_t lag_ms)
{
    for (size_t i = 0; i < core->here_n; i++) {
        struct mnode *node = core->here[i];
        if (node->echo_sent_ms == 0)
            continue;
        node->echo_sent_ms += lag_ms;
        if (node->echo_sent_ms > core->now_ms)
            node->echo_sent_ms = core->now_ms;
        send(core, node);
    }
}
