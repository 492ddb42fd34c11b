/*
 * Suspicion (SWIM 4.2, Lifeguard IV-B): a suspect has time to refute; each further accuser shortens
 * it, from max to min. Local health (Lifeguard IV-A) keeps a sick node from being judge.
 */
#include "core/mutant.h"
#include "member/internal.h"

static bool accused_by(const struct suspicion *suspicion, uint64_t token)
{
    for (uint8_t i = 0; i < suspicion->accusers_n; i++)
        if (suspicion->accusers[i] == token)
            return true;
    return false;
}

/* True if @token is a new accuser. A confirmation counts once per accuser (protocols 5.3). */
static bool add_accuser(struct suspicion *suspicion, uint64_t token)
{
    if (suspicion->accusers_n == MEMBER_ACCUSERS_MAX || accused_by(suspicion, token))
        return false;
    suspicion->accusers[suspicion->accusers_n++] = token;
    return true;
}

static uint32_t confirmations(const struct suspicion *suspicion)
{
    return suspicion->accusers_n > 0 ? suspicion->accusers_n - 1u : 0;
}

static void arm(struct member_core *core, struct suspicion *suspicion)
{
    uint64_t min_ms;
    uint64_t max_ms;
    uint32_t k;
    params_suspicion(core, &min_ms, &max_ms, &k);
    uint64_t wait_ms = params_suspicion_ms(min_ms, max_ms, k, confirmations(suspicion));
    uint64_t due_ms = suspicion->started_ms + wait_ms;
    if (due_ms < core->now_ms)
        due_ms = core->now_ms;
    core_timer_set(core, &suspicion->node->timer, due_ms);
}

void suspect_end(struct member_core *core, struct mnode *node)
{
    core_timer_stop(core, &node->timer);
    if (node->suspicion == NULL)
        return;
    list_remove(&node->suspicion->link);
    core_free(node->suspicion);
    node->suspicion = NULL;
}

/* consul#5567: a sick moment of the network must not make everybody suspect at once. */
static bool within_rate(struct member_core *core)
{
    if (core->now_ms - core->suspicion_second >= 1000) {
        core->suspicion_second = core->now_ms;
        core->suspicions_in_second = 0;
    }
    if (core->suspicions_in_second >= SUSPICIONS_PER_S) {
        core->stats.suspicions_held++;
        return false;
    }
    core->suspicions_in_second++;
    return true;
}

static bool begin(struct member_core *core, struct mnode *node, uint64_t n, const char *reason)
{
    if (!within_rate(core))
        return false;
    struct suspicion *suspicion = core_calloc(1, sizeof(*suspicion));
    if (suspicion == NULL) {
        core->error = KITH_E_MEMORY;
        return false;
    }
    suspicion->node = node;
    suspicion->started_ms = core->now_ms;
    node->pub.incarnation = n;
    table_set_status(core, node, KITH_STATUS_SUSPECT);
    node->suspicion = suspicion;
    list_append(&core->suspects, &suspicion->link);
    core->stats.suspicions++;
    news_told(core, node, MEMBER_SUSPECT, reason);
    return true;
}

void suspect_claim(struct member_core *core,
                   struct mnode *node,
                   uint64_t n,
                   const uint64_t *accusers,
                   size_t accusers_n)
{
    if (node == core->self || node->remembered || n < node->pub.incarnation || node->here_at == 0 ||
        core->config.detector_echo)
        return;
    bool news = false;
    if (node->pub.status == KITH_STATUS_ALIVE) {
        if (!begin(core, node, n, "another node gets no answer from it"))
            return;
        news = true;
    } else if (n > node->pub.incarnation) {
        /* It had refuted what we knew, and is accused anew. */
        node->pub.incarnation = n;
        node->suspicion->accusers_n = 0;
        node->suspicion->by_self = false;
        node->suspicion->last_chance = false;
        node->suspicion->started_ms = core->now_ms;
        news = true;
    }
    for (size_t i = 0; i < accusers_n; i++)
        if (accusers[i] != id_token(&node->pub.id))
            news = add_accuser(node->suspicion, accusers[i]) || news;
    if (!news)
        return;
    arm(core, node->suspicion);
    gossip_queue(core, node, GOSSIP_STATUS);
}

void suspect_own(struct member_core *core, struct mnode *node)
{
    if (node->here_at == 0)
        return;
    if (node->pub.status == KITH_STATUS_ALIVE) {
        if (!begin(core, node, node->pub.incarnation,
                   "no answer to an echo, direct or through others")) {
            table_probe_next(core, node); /* held back, not acquitted */
            return;
        }
    } else if (!core->config.lifeguard_off && core->health >= HEALTH_NO_CONFIRM) {
        return; /* too sick to confirm what others say */
    }
    struct suspicion *suspicion = node->suspicion;
    suspicion->by_self = true;
    if (!add_accuser(suspicion, id_token(&core->config.self)))
        return;
    arm(core, suspicion);
    gossip_queue(core, node, GOSSIP_STATUS);
    /* Lifeguard's buddy: the suspect hears of it from us first, and can refute. */
    if (!core->config.lifeguard_off)
        probe_ping(core, node, probe_seq(core, SEQ_PROBE));
}

void suspect_failed(struct member_core *core, struct mnode *node, uint64_t n, const char *reason)
{
    if (n > node->pub.incarnation)
        node->pub.incarnation = n;
    table_set_status(core, node, KITH_STATUS_FAILED);
    core->stats.failures++;
    news_told(core, node, MEMBER_FAILED, reason);
    gossip_queue(core, node, GOSSIP_STATUS);
}

static bool may_not_confirm(const struct member_core *core, const struct suspicion *suspicion)
{
    uint64_t hold_ms = (uint64_t)core_n(core) * core_n(core) * CONFIRM_HOLD_MS;
    if (hold_ms > CONFIRM_HOLD_MAX_MS)
        hold_ms = CONFIRM_HOLD_MAX_MS;
    return !MUTANT(MEMBER_SICK_JUDGES) && core->health >= HEALTH_NO_CONFIRM &&
           core->now_ms - suspicion->started_ms < hold_ms;
}

void suspect_expired(struct member_core *core, struct mnode *node)
{
    struct suspicion *suspicion = node->suspicion;
    uint64_t min_ms;
    uint64_t max_ms;
    uint32_t k;
    params_suspicion(core, &min_ms, &max_ms, &k);
    if (!core->config.lifeguard_off) {
        if (may_not_confirm(core, suspicion)) {
            suspicion->last_chance = false;
            core_timer_set(core, &node->timer, core->now_ms + min_ms / 2);
            return;
        }
        bool confirmed = k > 0 && confirmations(suspicion) >= k;
        if (!confirmed && !suspicion->last_chance) {
            /* Few accuse it: its refutation may just have missed us. Ask it once more. */
            suspicion->last_chance = true;
            probe_ping(core, node, probe_seq(core, SEQ_PROBE));
            core_timer_set(core, &node->timer,
                           core->now_ms +
                               (uint64_t)core->config.probe_timeout_max_ms * (core->health + 1));
            return;
        }
    }
    unsigned accusers = suspicion->accusers_n;
    suspect_failed(core, node, node->pub.incarnation,
                   core_text(core, "no answer to echoes for %llu ms, missed by %u node%s",
                             (unsigned long long)(core->now_ms - suspicion->started_ms),
                             accusers > 0 ? accusers : 1, accusers > 1 ? "s" : ""));
}

void suspect_shift(struct member_core *core, uint64_t lag_ms)
{
    list_for_each (it, &core->suspects) {
        struct suspicion *suspicion = container_of(it, struct suspicion, link);
        suspicion->started_ms += lag_ms;
        if (suspicion->started_ms > core->now_ms)
            suspicion->started_ms = core->now_ms;
        suspicion->last_chance = false;
        arm(core, suspicion);
        /* At the very least what waits in our sockets is read first. */
        if (suspicion->node->timer.at.key < core->now_ms + core->config.probe_interval_ms)
            core_timer_set(core, &suspicion->node->timer,
                           core->now_ms + core->config.probe_interval_ms);
    }
}

bool suspect_tell(struct member_core *core, struct packet *packet, struct mnode *node)
{
    if (node->pub.status != KITH_STATUS_SUSPECT && node->pub.status != KITH_STATUS_FAILED)
        return false;
    if (node->remembered)
        return false;
    struct msg msg;
    gossip_msg_of(core, node, &msg);
    return packet_put(core, packet, &msg);
}
