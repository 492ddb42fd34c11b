/*
 * Suzuki-Kasami among the participants of one mutex, with what real networks need: requests that
 * are sent again, a copy of the token in transit until its arrival is known, transfer numbers,
 * generations, and a holder that is frozen while a generation begins.
 *
 * The token is at one participant at most. Who passes it on keeps a copy only to send it again and
 * never uses that itself.
 */
#include <stdio.h>

#include "mutex/internal.h"

/* ---- requests ---- */

static bool needs_queue(const struct mutex_core *core, const struct mutex *m)
{
    uint32_t listed = 0;
    for (uint32_t i = 0; i < m->parts_n; i++)
        listed += m->parts[i].listed;
    return listed > core->config.participants_token_max;
}

static bool any_waits(const struct mutex *m, bool (*what)(const struct waiter *w))
{
    list_for_each (it, &m->waiting) {
        if (what(container_of(it, struct waiter, link)))
            return true;
    }
    return false;
}

static bool is_shared(const struct waiter *w)
{
    return w->shared;
}

static bool is_try(const struct waiter *w)
{
    return w->try_only;
}

static void doubt(struct mutex_core *core, struct mutex *m)
{
    uint8_t flags = m->lost ? MSG_LOST : 0;
    uint64_t unanswered = core->now_ms - m->answered_ms;
    const struct boot_id *home = home_of(core, m->slot);

    if (!m->queue && (needs_queue(core, m) || any_waits(m, is_shared)))
        flags |= MSG_QUEUE;
    if (home == NULL)
        return;
    m->lost = false;
    msg_send(core, m, home,
             (struct mutex_msg){.type = MSG_DOUBT,
                                .flags = flags,
                                .a = core->now_ms - m->req_since_ms,
                                .b = unanswered},
             NULL);
}

static void send_requests(struct mutex_core *core, struct mutex *m)
{
    bool again = m->req_sent_n > 0;
    struct mutex_msg msg = {.type = MSG_REQ, .flags = again ? MSG_AGAIN : 0, .a = m->n};

    if (any_waits(m, is_try))
        msg.flags |= MSG_TRY | MSG_AGAIN;
    if (!needs_queue(core, m)) {
        for (uint32_t i = 0; i < m->parts_n; i++) {
            if (m->parts[i].joined != m->joined)
                msg_send(core, m, &m->parts[i].boot, msg, NULL);
        }
    }
    /* From the second time on the home knows that somebody waits, and looks who is over. */
    if (again || needs_queue(core, m) || any_waits(m, is_shared) || m->lost)
        doubt(core, m);
    if (m->req_sent_n % 4 == 3)
        record_refresh(core, m);
    m->req_sent_n++;
    m->req_next_ms = core->now_ms + m->req_backoff_ms;
    m->req_backoff_ms = (uint32_t)min_u64(m->req_backoff_ms * 3 / 2, REQ_RESEND_MAX_MS);
}

static void request_begin(struct mutex_core *core, struct mutex *m)
{
    struct part *self = part_find(m, m->joined);
    m->want = true;
    m->n++;
    if (self != NULL)
        self->rn = m->n;
    m->req_sent_n = 0;
    m->req_backoff_ms = REQ_RESEND_MS;
    m->req_since_ms = m->answered_ms = core->now_ms;
    m->req_next_ms = core->now_ms + REQ_RESEND_MS;
}

void token_want(struct mutex_core *core, struct mutex *m)
{
    if (m->state != IN || m->queue || m->token || m->waiting_n == 0)
        return;
    if (m->want) {
        if (any_waits(m, is_try) && core->now_ms + REQ_RESEND_MS > m->req_next_ms)
            m->req_next_ms = core->now_ms;
        return;
    }
    request_begin(core, m);
    send_requests(core, m);
}

/* ---- entering and leaving ---- */

static bool others_wait(struct mutex *m)
{
    if (m->q_n > 0)
        return true;
    for (uint32_t i = 0; i < m->parts_n; i++) {
        if (m->parts[i].rn > m->parts[i].ln && m->parts[i].joined != m->joined)
            return true;
    }
    return false;
}

void token_enter(struct mutex_core *core, struct mutex *m)
{
    if (!m->token || m->frozen || m->passing || m->held_n > 0 || m->waiting_n == 0)
        return;
    if (!MUTANT(MUTEX_NO_LEASE_CHECK) && !lease_valid(core, m))
        return;
    if (m->ctr >= UINT32_MAX - 1) { /* the fence would not grow: a new generation */
        m->lost = true;
        doubt(core, m);
        return;
    }
    m->want = false;
    m->ctr++;
    local_grant(core, container_of(m->waiting.next, struct waiter, link),
                (uint64_t)m->token_gen << 32 | m->ctr);
    if (m->burst_n++ == 0)
        m->burst_ms = core->now_ms;
}

bool token_queued(const struct mutex *m, uint32_t joined)
{
    for (uint32_t i = 0; i < m->q_n; i++) {
        if (m->q[i] == joined)
            return true;
    }
    return false;
}

bool token_queue(struct mutex *m, uint32_t joined)
{
    if (m->q_n == m->q_cap) {
        uint32_t cap = m->q_cap == 0 ? 8 : m->q_cap * 2;
        uint32_t *q = core_realloc(m->q, cap * sizeof(*q));
        if (q == NULL)
            return false;
        m->q = q;
        m->q_cap = cap;
    }
    m->q[m->q_n++] = joined;
    return true;
}

static uint32_t q_pop(struct mutex *m)
{
    uint32_t first = m->q[0];
    m->q_n--;
    memmove(m->q, m->q + 1, m->q_n * sizeof(*m->q));
    return first;
}

/* Encodes TOK or GRANT to @to with the participants known here; the queue only for a TOK. */
static void token_message(
    struct mutex_core *core, struct mutex *m, struct buf *out, struct mutex_msg msg, int *bad)
{
    (void)core;
    msg.name = m->name;
    msg.name_len = m->name_len;
    msg.joined = m->joined;
    msg.member_id = m->member_id;
    msg.epoch = m->epoch;
    *bad |= mutex_msg_head(out, &msg) | mutex_msg_parts(out, (uint16_t)m->parts_n);
    for (uint32_t i = 0; i < m->parts_n; i++) {
        const struct part *p = &m->parts[i];
        *bad |= mutex_msg_part(out, &(struct mutex_msg_part){.boot = p->boot,
                                                             .joined = p->joined,
                                                             .member_id = p->member_id,
                                                             .epoch = p->epoch,
                                                             .ln = p->ln});
    }
    *bad |= mutex_msg_u16(out, (uint16_t)m->q_n);
    for (uint32_t i = 0; i < m->q_n; i++)
        *bad |= mutex_msg_u32(out, m->q[i]);
    *bad |= mutex_msg_u16(out, 0);
    *bad |= mutex_msg_u16(out, 0);
}

void token_stays(struct mutex *m)
{
    if (!m->passing)
        return;
    m->passing = false;
    list_remove(&m->passing_link);
}

static void pass_or_enter(struct mutex_core *core, struct mutex *m)
{
    token_pass(core, m);
    if (m->token)
        token_enter(core, m);
}

void token_pass_due(struct mutex_core *core)
{
    list_for_each_safe (it, &core->passing)
        pass_or_enter(core, container_of(it, struct mutex, passing_link));
}

void token_tack_later(struct mutex_core *core,
                      struct mutex *m,
                      const struct boot_id *to,
                      uint32_t joined,
                      uint32_t gen,
                      int64_t x)
{
    m->tack.due_ms = core->now_ms + TACK_MS;
    m->tack.to = *to;
    m->tack.joined = joined;
    m->tack.gen = gen;
    m->tack.x = x;
    mutex_touch(core, m);
}

void token_tack(struct mutex_core *core, struct mutex *m)
{
    if (m->tack.due_ms == 0)
        return;
    m->tack.due_ms = 0;
    msg_send(core, m, &m->tack.to,
             (struct mutex_msg){.type = MSG_TACK,
                                .gen = m->tack.gen,
                                .to_joined = m->tack.joined,
                                .a = (uint64_t)m->tack.x},
             NULL);
}

void token_pass(struct mutex_core *core, struct mutex *m)
{
    token_stays(m);
    if (!m->token || m->held_n > 0 || m->frozen)
        return;
    for (uint32_t i = 0; i < m->parts_n; i++) {
        const struct part *p = &m->parts[i];
        if (p->rn > p->ln && p->joined != m->joined && !token_queued(m, p->joined))
            (void)token_queue(m, p->joined);
    }
    struct part *to = NULL;
    while (m->q_n > 0 && to == NULL) {
        to = part_find(m, q_pop(m));
        if (to != NULL && (to->joined == m->joined || life_of(core, m, to) == LIFE_OVER))
            to = NULL;
    }
    if (to == NULL)
        return;
    if (m->waiting_n > 0 && !m->want) { /* we stand at its end ourselves: no request is needed */
        request_begin(core, m);
        (void)token_queue(m, m->joined);
    }
    int bad = 0;
    m->transit_msg.len = 0;
    token_message(core, m, &m->transit_msg,
                  (struct mutex_msg){.type = MSG_TOK,
                                     .gen = m->token_gen,
                                     .to_joined = to->joined,
                                     .a = (uint64_t)(m->lx + 1),
                                     .b = m->ctr},
                  &bad);
    if (bad != 0)
        return; /* it stays, and is passed on at the next occasion */
    if (m->tack.due_ms != 0 && m->tack.joined == to->joined)
        m->tack.due_ms = 0;
    m->lx++;
    m->token = false;
    m->transit = true;
    m->transit_to = to->boot;
    m->transit_joined = to->joined;
    m->transit_x = m->lx;
    m->transit_since_ms = core->now_ms;
    m->transit_next_ms = core->now_ms + TOK_RESEND_MS;
    msg_bytes(core, &m->transit_to, &m->transit_msg);
    core->stats.tokens_passed++;
    mutex_touch(core, m);
}

void token_left(struct mutex_core *core, struct mutex *m)
{
    struct part *self = part_find(m, m->joined);

    if (m->held_n > 0)
        return;
    if (m->frozen) { /* the generation that begins finds nobody inside */
        m->token = m->frozen = false;
        token_want(core, m);
        mutex_touch(core, m);
        return;
    }
    if (self != NULL)
        self->ln = m->n;
    if (!others_wait(m)) {
        m->burst_n = 0;
        token_enter(core, m);
        return;
    }
    bool more =
        m->burst_n < core->config.handoff_n && core->now_ms < m->burst_ms + core->config.handoff_ms;
    if (m->waiting_n > 0 && more) {
        core->stats.handed_off++;
        token_enter(core, m);
        if (m->held_n > 0)
            return;
    }
    if (!core->config.pass_at_tick) {
        pass_or_enter(core, m);
    } else if (!m->passing) {
        m->passing = true;
        list_append(&core->passing, &m->passing_link);
    }
}

/* ---- tokens made, dropped, carried into a generation ---- */

void token_arrived(struct mutex_core *core, struct mutex *m)
{
    token_stays(m);
    m->token = true;
    m->frozen = false;
    m->burst_n = 0;
    m->transit = false;
    token_enter(core, m);
    if (m->held_n > 0)
        return;
    struct part *self = part_find(m, m->joined);
    if (self != NULL && m->waiting_n == 0)
        self->ln = m->n;
    if (m->waiting_n == 0)
        m->want = false;
    token_pass(core, m);
}

void token_make(struct mutex_core *core, struct mutex *m)
{
    m->token_gen = m->gen;
    m->lx = 0;
    m->ctr = 0;
    m->q_n = 0;
    token_arrived(core, m);
}

void token_drop(struct mutex_core *core, struct mutex *m)
{
    if (m->token || m->transit)
        m->lost = true;
    token_stays(m);
    m->token = m->frozen = m->transit = false;
    m->q_n = 0;
    mutex_touch(core, m);
}

/* A generation begins: everything of older ones is void, but who is inside stays inside. */
void token_adopt(struct mutex_core *core, struct mutex *m, uint32_t gen, bool queue, bool force)
{
    list_for_each_safe (it, &m->held) {
        if (force)
            local_lose(core, container_of(it, struct waiter, link), "it was broken by force");
    }
    token_stays(m);
    queue = queue || m->queue; /* never back, while we take part */
    bool inside = !m->queue && m->token && m->held_n > 0;
    m->frozen = inside && !queue && !MUTANT(MUTEX_NO_FREEZE);
    m->token = inside && !queue;
    m->transit = false;
    m->gen = m->token_gen = gen;
    m->lx = -1;
    m->q_n = 0;
    m->queue = queue;
    m->lost = m->unverified = m->token_due = false;
    m->answered_ms = core->now_ms;
    if (queue)
        m->want = false;
    if (m->want) { /* the request goes on in the new generation */
        m->req_backoff_ms = REQ_RESEND_MS;
        m->req_next_ms = core->now_ms + REQ_RESEND_MS;
    }
    list_for_each (it, &m->waiting)
        container_of(it, struct waiter, link)->next_ms = 0;
    list_for_each (it, &m->releasing)
        container_of(it, struct waiter, link)->next_ms = core->now_ms;
    token_want(core, m);
    queue_tick(core, m);
    mutex_touch(core, m);
}

/* ---- time ---- */

void token_tick(struct mutex_core *core, struct mutex *m)
{
    if (core->now_ms >= m->tack.due_ms)
        token_tack(core, m);
    if (m->state != IN) {
        if (m->lost && m->waiting_n == 0)
            m->lost = false;
        return;
    }
    if (m->waiting_n == 0)
        m->want = false;
    token_enter(core, m);
    if (m->want && core->now_ms >= m->req_next_ms) {
        core->stats.resent++;
        send_requests(core, m);
    }
    if (!m->queue && m->waiting_n > 0 && !m->want)
        token_want(core, m);
    if (m->token && m->held_n == 0)
        token_pass(core, m);
    if (m->transit && core->now_ms >= m->transit_next_ms) {
        core->stats.resent++;
        msg_bytes(core, &m->transit_to, &m->transit_msg);
        m->transit_next_ms = core->now_ms + TOK_RESEND_MS;
        const struct part *to = part_find(m, m->transit_joined);
        if (core->now_ms >= m->transit_since_ms + 4 * (uint64_t)TOK_RESEND_MS) {
            record_refresh(core, m);
            m->transit_next_ms = core->now_ms + 1000;
            if (to == NULL || life_of(core, m, to) == LIFE_OVER) { /* it will never be taken */
                m->transit = false;
                m->lost = true;
            }
        }
    }
    if (m->lost && !m->want) {
        m->req_since_ms = m->answered_ms = core->now_ms;
        doubt(core, m);
    }
}
