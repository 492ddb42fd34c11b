/*
 * The home of a record: the node that is home of the record's slot. It begins a generation when a
 * token may be lost, when the mutex is to work by a queue, or by force:
 *
 *   WANTS   waits until nobody's lease may still run whom the view has excluded; then writes
 *           generation + 1 with all whose lease is not over
 *   ASKS    RECOVER to all of these, and a report of all of them: never of fewer. If the lease of
 * one ends meanwhile, the generation is given up for the next GRANTS  a token is made at one of
 * them (where somebody is inside, if so), or the queue is complete
 *
 * The home knows of a mutex by those who wait for it: nobody waits, nothing is recovered.
 */
#include <stdio.h>

#include "mutex/internal.h"

#define OVER_LOOK_MS 250

/* ---- who it is ---- */

bool home_is_self(const struct mutex_core *core, uint32_t slot)
{
    const struct placement_slot *s = &core->placement.slots[slot];
    if (core->self_member == 0 || core->now_ms >= core->lease_until_ms ||
        s->active.replicas_n == 0 || s->active.replicas[0] != core->self_member)
        return false;
    return s->chosen.slot_epoch == 0 || s->chosen.replicas_n == 0 ||
           s->chosen.replicas[0] == core->self_member || MUTANT(MUTEX_NO_GRACE);
}

const struct boot_id *home_of(const struct mutex_core *core, uint32_t slot)
{
    const struct placement_keeper *home = placement_home(&core->placement, slot);
    return home != NULL ? &home->boot : NULL;
}

struct home *home_make(struct mutex_core *core, struct mutex *m)
{
    if (m->home == NULL) {
        m->home = core_calloc(1, sizeof(*m->home));
        if (m->home != NULL)
            m->home->next_ms = core->now_ms + OVER_LOOK_MS;
    }
    return m->home;
}

void home_free(struct mutex *m)
{
    if (m->home == NULL)
        return;
    core_free(m->home->places);
    core_free(m->home);
    m->home = NULL;
}

/* ---- a generation is wanted ---- */

void home_want(struct mutex_core *core, struct mutex *m)
{
    struct home *h = m->home;
    if (h == NULL || h->state != HOME_IDLE)
        return;
    h->state = HOME_WANTS;
    h->next_ms = core->now_ms;
    m->want_read = true;
    core->stats.recoveries++;
}

static void broken(struct mutex_core *core, struct mutex *m, int code, const char *text)
{
    struct home *h = m->home;
    if (h->breaker.ask == 0)
        return;
    msg_send(core, m, &h->breaker.boot,
             (struct mutex_msg){.type = MSG_BROKEN, .a = h->breaker.ask, .b = (uint64_t)-code},
             text);
    h->breaker.ask = 0;
}

static void ready_to_write(struct mutex_core *core, struct mutex *m)
{
    struct home *h = m->home;
    h->next_ms = core->now_ms + OVER_LOOK_MS;
    if (m->ask != 0)
        return;
    if (m->want_read || !m->fresh) {
        m->want_read = true;
        record_work(core, m);
        return;
    }
    if (m->version == 0) { /* nobody takes part: there is nothing to recover */
        broken(core, m, KITH_E_NOT_FOUND, "nobody uses the mutex");
        h->state = HOME_IDLE;
        return;
    }
    for (uint32_t i = 0; i < m->parts_n; i++) {
        if (m->parts[i].listed && life_of(core, m, &m->parts[i]) == LIFE_RUNS_OUT)
            return;
    }
    record_recover(core, m);
}

static void ask_all(struct mutex_core *core, struct mutex *m)
{
    struct home *h = m->home;
    uint8_t flags = (uint8_t)((m->rec_queue ? MSG_QUEUE : 0) | (h->force ? MSG_FORCE : 0));
    for (uint32_t i = 0; i < m->parts_n; i++) {
        const struct part *p = &m->parts[i];
        if (p->asked && !p->reported)
            msg_send(core, m, &p->boot,
                     (struct mutex_msg){.type = MSG_RECOVER,
                                        .flags = flags,
                                        .gen = m->rec_gen,
                                        .to_joined = p->joined,
                                        .c = p->boot.boot_no},
                     NULL);
    }
    h->next_ms = core->now_ms + HOME_RESEND_MS;
}

void home_begun(struct mutex_core *core, struct mutex *m)
{
    struct home *h = m->home;
    if (h == NULL || h->state != HOME_WANTS)
        return;
    h->state = HOME_ASKS;
    h->gen = m->rec_gen;
    h->serves = false;
    h->places_n = 0;
    h->ctr = 0;
    for (uint32_t i = 0; i < m->parts_n; i++) {
        struct part *p = &m->parts[i];
        p->asked = p->listed;
        p->reported = p->held = p->wants = false;
        p->done = 0;
    }
    ask_all(core, m);
    mutex_touch(core, m);
}

/* ---- all have reported ---- */

static void send_grant(struct mutex_core *core, struct mutex *m)
{
    struct home *h = m->home;
    const struct part *to = part_find(m, h->granted_to);
    h->next_ms = core->now_ms + HOME_RESEND_MS;
    if (to == NULL)
        return;
    struct mutex_msg msg = {.type = MSG_GRANT,
                            .name = m->name,
                            .name_len = m->name_len,
                            .gen = m->rec_gen,
                            .joined = m->joined,
                            .to_joined = to->joined};
    struct sending s = msg_begin(core, &to->boot, &msg);
    s.bad |= mutex_msg_parts(s.buf, (uint16_t)m->parts_n);
    for (uint32_t i = 0; i < m->parts_n; i++) {
        const struct part *p = &m->parts[i];
        s.bad |= mutex_msg_part(s.buf, &(struct mutex_msg_part){.boot = p->boot,
                                                                .joined = p->joined,
                                                                .member_id = p->member_id,
                                                                .epoch = p->epoch,
                                                                .ln = p->done});
    }
    s.bad |= mutex_msg_u16(s.buf, 0);
    s.bad |= mutex_msg_u16(s.buf, 0);
    s.bad |= mutex_msg_text(s.buf, NULL, 0);
    msg_end(core, &s, &to->boot);
}

static void complete(struct mutex_core *core, struct mutex *m)
{
    struct home *h = m->home;
    const struct part *first = NULL, *wants = NULL, *inside = NULL;

    h->to_queue = false;
    h->force = false;
    broken(core, m, 0, NULL);
    if (m->rec_queue) {
        h->state = HOME_IDLE;
        h->serves = true;
        h->slot_epoch = core->home_epoch[m->slot];
        queue_serve(core, m);
        return;
    }
    for (uint32_t i = 0; i < m->parts_n; i++) {
        const struct part *p = &m->parts[i];
        if (!p->asked)
            continue;
        if (first == NULL)
            first = p;
        if (wants == NULL && p->wants)
            wants = p;
        if (p->held)
            inside = p;
    }
    const struct part *to = inside != NULL ? inside : wants != NULL ? wants : first;
    if (to == NULL) {
        h->state = HOME_IDLE;
        return;
    }
    h->state = HOME_GRANTS;
    h->granted_to = to->joined;
    core->stats.grants++;
    send_grant(core, m);
}

static uint32_t asked_n(const struct mutex *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->parts_n; i++)
        n += m->parts[i].asked;
    return n;
}

static bool all_reported(struct mutex *m)
{
    uint32_t missing = 0;
    for (uint32_t i = 0; i < m->parts_n; i++)
        missing += m->parts[i].asked && !m->parts[i].reported;
    return missing <= (MUTANT(MUTEX_SOME_REPORTS) && m->parts_n > 1 ? 1u : 0u);
}

static void recv_report(struct mutex_core *core, struct mutex *m, struct mutex_msg *msg)
{
    struct home *h = m->home;
    if (h == NULL || h->state != HOME_ASKS || msg->gen != m->rec_gen)
        return;
    struct part *p = part_find(m, msg->joined);
    if (p == NULL || !p->asked)
        return;
    if (m->rec_queue) {
        if (!p->reported && queue_adopt(core, m, p->joined, msg) != 0)
            return; /* memory: it reports again */
    }
    p->reported = true;
    p->held = msg->holds_n > 0;
    p->wants = (msg->flags & MSG_WANTS) != 0;
    p->done = (uint32_t)msg->b;
    if (msg->a > p->rn && msg->a <= UINT32_MAX)
        p->rn = (uint32_t)msg->a;
    if (all_reported(m))
        complete(core, m);
}

/* ---- doubts ---- */

/* Is somebody's lease over whom the record lists? */
static bool somebody_over(struct mutex_core *core, struct mutex *m)
{
    for (uint32_t i = 0; i < m->parts_n; i++) {
        if (m->parts[i].listed && life_of(core, m, &m->parts[i]) != LIFE_LIVE)
            return true;
    }
    return false;
}

void home_doubt(struct mutex_core *core, struct mutex *m, uint64_t unanswered_ms, uint8_t flags)
{
    struct home *h = home_is_self(core, m->slot) ? home_make(core, m) : NULL;
    if (h == NULL)
        return;
    h->wanted_ms = core->now_ms;
    if (!m->fresh || m->version == 0 || core->now_ms >= m->read_ms + REFRESH_MS)
        record_refresh(core, m);
    if ((flags & MSG_QUEUE) != 0 && !m->rec_queue && m->version != 0) {
        h->to_queue = true;
        home_want(core, m);
    }
    if ((flags & MSG_LOST) != 0 || unanswered_ms >= DOUBT_MS)
        home_want(core, m);
    mutex_touch(core, m);
}

static void recv_doubt(struct mutex_core *core,
                       struct mutex *m,
                       const struct boot_id *from,
                       const struct mutex_msg *msg)
{
    struct mutex_msg_part of = {
        .joined = msg->joined, .member_id = msg->member_id, .epoch = msg->epoch};
    (void)part_hear(core, m, from, &of);
    uint8_t flags = msg->flags;
    if (m->version != 0 &&
        msg->gen != m->rec_gen) { /* of another generation: nothing of this one */
        flags &= (uint8_t)~MSG_LOST;
        if (msg->gen < m->rec_gen)
            msg_send(core, m, from, (struct mutex_msg){.type = MSG_NEWER, .gen = m->rec_gen}, NULL);
        home_doubt(core, m, 0, flags);
        return;
    }
    home_doubt(core, m, msg->b, flags);
}

/* ---- time, and what the view or a session says ---- */

static bool asked_ended(struct mutex_core *core, struct mutex *m)
{
    bool ended = false;
    for (uint32_t i = 0; i < m->parts_n; i++) {
        struct part *p = &m->parts[i];
        if (!p->asked || life_of(core, m, p) == LIFE_LIVE)
            continue;
        if (MUTANT(MUTEX_SHRINKING_SET))
            p->asked = false;
        else
            ended = true;
    }
    return ended;
}

static void give_up(struct mutex_core *core, struct mutex *m)
{
    m->home->state = HOME_IDLE;
    home_want(core, m);
}

static void look_for_over(struct mutex_core *core, struct mutex *m)
{
    struct home *h = m->home;
    h->next_ms = core->now_ms + OVER_LOOK_MS;
    if (h->places_n > 0)
        queue_drop_over(core, m);
    bool wanted = core->now_ms < h->wanted_ms + 2 * (uint64_t)REQ_RESEND_MAX_MS;
    if (wanted && m->version != 0 && m->fresh &&
        (m->rec_queue ? !h->serves : somebody_over(core, m)))
        home_want(core, m);
    else if (!wanted && h->places_n == 0)
        h->next_ms = core->now_ms + core->config.idle_ms;
}

void home_step(struct mutex_core *core, struct mutex *m)
{
    struct home *h = m->home;
    if (!home_is_self(core, m->slot)) {
        if (core->home_epoch[m->slot] == 0) {
            broken(core, m, KITH_E_AGAIN, "the home of the mutex has changed; try again");
            home_free(m);
        } else {
            h->next_ms = core->now_ms + OVER_LOOK_MS; /* without a lease: nothing is decided */
        }
        return;
    }
    if (h->serves && h->slot_epoch != core->home_epoch[m->slot])
        h->serves = false;
    switch (h->state) {
    case HOME_IDLE:
        if (core->now_ms >= h->next_ms || (m->rec_queue && !h->serves) ||
            h->over_ms != core->placement.epoch) {
            h->over_ms = core->placement.epoch;
            look_for_over(core, m);
        }
        break;
    case HOME_WANTS:
        if (core->now_ms >= h->next_ms || (m->ask == 0 && m->fresh && !m->want_read))
            ready_to_write(core, m);
        break;
    case HOME_ASKS:
        /* Who has joined anew since, or left, has nothing of former generations. If nobody is left
         * of those who were asked, those who are there now are asked in the next one. */
        if (asked_ended(core, m) || asked_n(m) == 0) {
            give_up(core, m);
        } else if (all_reported(m)) {
            complete(core, m);
        } else if (core->now_ms >= h->next_ms) {
            ask_all(core, m);
        }
        break;
    case HOME_GRANTS: {
        const struct part *to = part_find(m, h->granted_to);
        if (to == NULL || !to->listed || life_of(core, m, to) != LIFE_LIVE)
            give_up(core, m);
        else if (core->now_ms >= h->next_ms)
            send_grant(core, m);
        break;
    }
    }
    if (m->home != NULL && m->home->serves && m->home->state == HOME_IDLE)
        queue_serve(core, m);
    mutex_touch(core, m);
}

/* ---- messages ---- */

static void recv_break(struct mutex_core *core,
                       struct mutex *m,
                       const struct boot_id *from,
                       const struct mutex_msg *msg)
{
    struct home *h = home_is_self(core, m->slot) ? home_make(core, m) : NULL;
    if (h == NULL)
        return;
    if (h->breaker.ask == msg->a && boot_id_equal(&h->breaker.boot, from))
        return; /* it is asked again while we are at it */
    if (h->breaker.ask != 0) {
        msg_send(core, m, from,
                 (struct mutex_msg){.type = MSG_BROKEN, .a = msg->a, .b = -KITH_E_BUSY},
                 "somebody else is breaking it; see who holds it now");
        return;
    }
    h->breaker.boot = *from;
    h->breaker.ask = msg->a;
    h->force = true;
    if (h->state != HOME_IDLE)
        h->state = HOME_IDLE; /* what was begun without force begins again */
    home_want(core, m);
    record_work(core, m);
    mutex_touch(core, m);
}

void home_recv(struct mutex_core *core,
               struct mutex *m,
               const struct boot_id *from,
               struct mutex_msg *msg)
{
    switch (msg->type) {
    case MSG_DOUBT:
        recv_doubt(core, m, from, msg);
        break;
    case MSG_REPORT:
        recv_report(core, m, msg);
        break;
    case MSG_GACK:
        if (m->home != NULL && m->home->state == HOME_GRANTS && msg->gen == m->rec_gen &&
            msg->joined == m->home->granted_to)
            m->home->state = HOME_IDLE;
        break;
    default:
        recv_break(core, m, from, msg);
        break;
    }
    mutex_touch(core, m);
}
