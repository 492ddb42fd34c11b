/*
 * Queue mode: the home of the record keeps a queue of all acquires and grants each its place with
 * a fence, as many at once as readers or permits allow. What it keeps is in memory only: a fresh
 * home begins a generation and is told by all participants what they hold.
 */
#include "mutex/internal.h"

#define PLACE_RESEND_MS 300

/* ---- the participant ---- */

static void
say(struct mutex_core *core, struct mutex *m, struct waiter *w, const struct boot_id *home)
{
    bool rel = w->state == WAITER_RELEASES;
    bool again = w->backoff_ms != 0;
    uint8_t flags = (uint8_t)((w->shared ? MSG_SHARED : 0) | (w->try_only ? MSG_TRY : 0) |
                              (again ? MSG_AGAIN : 0));

    if (again)
        core->stats.resent++;
    w->backoff_ms =
        again ? (uint32_t)min_u64(w->backoff_ms * 2, REQ_RESEND_MAX_MS) : PLACE_RESEND_MS;
    w->next_ms = core->now_ms + w->backoff_ms;
    if (home != NULL)
        msg_send(core, m, home,
                 (struct mutex_msg){.type = rel ? MSG_QREL : MSG_QREQ, .flags = flags, .a = w->rid},
                 NULL);
}

void queue_tick(struct mutex_core *core, struct mutex *m)
{
    const struct boot_id *home = home_of(core, m->slot);

    list_for_each (it, &m->releasing) {
        struct waiter *w = container_of(it, struct waiter, link);
        if (core->now_ms >= w->next_ms)
            say(core, m, w, home);
    }
    if (!m->queue || m->state != IN || !lease_valid(core, m))
        return;
    list_for_each (it, &m->waiting) {
        struct waiter *w = container_of(it, struct waiter, link);
        if (core->now_ms >= w->next_ms) {
            if (w->next_ms == 0)
                w->backoff_ms = 0;
            say(core, m, w, home);
        }
    }
}

static void recv_granted(struct mutex_core *core,
                         struct mutex *m,
                         const struct boot_id *from,
                         const struct mutex_msg *msg)
{
    struct waiter *w = local_by_rid(&m->held, msg->a);
    bool ours = m->state == IN && msg->to_joined == m->joined && msg->gen == m->gen && m->queue;

    if (w == NULL && ours) {
        w = local_by_rid(&m->waiting, msg->a);
        if (w != NULL && !lease_valid(core, m))
            return; /* it comes again */
        if (w != NULL)
            local_grant(core, w, msg->b);
    }
    if (msg->gen > m->gen)
        record_refresh(core, m);
    else if (w != NULL && ours)
        msg_send(core, m, from, (struct mutex_msg){.type = MSG_QTOOK, .a = msg->a, .b = w->fence},
                 NULL);
    else if (w == NULL && local_by_rid(&m->waiting, msg->a) == NULL) /* never used again */
        msg_send(core, m, from, (struct mutex_msg){.type = MSG_QREL, .a = msg->a}, NULL);
}

static void recv_ack(struct mutex_core *core, struct mutex *m, const struct mutex_msg *msg)
{
    struct waiter *w = local_by_rid(&m->releasing, msg->a);
    if (w != NULL) {
        if ((msg->flags & MSG_AGAIN) != 0)
            local_spend(core, w);
        return;
    }
    w = local_by_rid(&m->waiting, msg->a);
    if (w == NULL || (msg->flags & MSG_BUSY) == 0)
        return;
    w->next_ms = 0; /* the home keeps nothing of it */
    if (msg->b != 0)
        local_end(core, w, KITH_E_LIMIT, "%u already wait for the mutex '%s', its limit; try later",
                  (unsigned)MUTEX_QUEUE_MAX, m->name);
    else
        local_end(core, w, KITH_E_AGAIN, "the mutex '%s' is not free", m->name);
}

/* ---- the home ---- */

static struct place *place_find(struct home *h, const struct boot_id *boot, uint64_t rid)
{
    for (uint32_t i = 0; i < h->places_n; i++) {
        if (h->places[i].rid == rid && boot_id_equal(&h->places[i].boot, boot))
            return &h->places[i];
    }
    return NULL;
}

static void place_remove(struct home *h, uint32_t at)
{
    h->places_n--;
    memmove(&h->places[at], &h->places[at + 1], (h->places_n - at) * sizeof(*h->places));
}

static struct place *place_add(struct home *h, const struct place *place, uint32_t at)
{
    if (h->places_n == h->places_cap) {
        uint32_t cap = h->places_cap == 0 ? 8 : h->places_cap * 2;
        struct place *places = core_realloc(h->places, cap * sizeof(*places));
        if (places == NULL)
            return NULL;
        h->places = places;
        h->places_cap = cap;
    }
    memmove(&h->places[at + 1], &h->places[at], (h->places_n - at) * sizeof(*h->places));
    h->places[at] = *place;
    h->places_n++;
    return &h->places[at];
}

/* Of a report: what its sender holds. In the order of fences, which is that of entering. */
int queue_adopt(struct mutex_core *core, struct mutex *m, uint32_t joined, struct mutex_msg *report)
{
    struct home *h = m->home;
    const struct part *p = part_find(m, joined);
    (void)core;
    for (struct mutex_msg_hold hold; mutex_msg_next_hold(report, &hold);) {
        if (place_find(h, &p->boot, hold.rid) != NULL)
            continue;
        uint32_t at = 0;
        while (at < h->places_n && h->places[at].granted && h->places[at].fence < hold.fence)
            at++;
        if (place_add(h,
                      &(struct place){.boot = p->boot,
                                      .joined = joined,
                                      .rid = hold.rid,
                                      .fence = hold.fence,
                                      .shared = (hold.flags & HOLD_SHARED) != 0,
                                      .granted = true,
                                      .taken = true},
                      at) == NULL)
            return KITH_E_MEMORY;
    }
    return 0;
}

/* Places of those whose lease is over, or who have joined anew since. */
void queue_drop_over(struct mutex_core *core, struct mutex *m)
{
    struct home *h = m->home;
    for (uint32_t i = 0; i < h->places_n;) {
        const struct part *p = part_find(m, h->places[i].joined);
        bool over = p == NULL ? m->fresh && h->places[i].joined <= m->joins
                              : life_of(core, m, p) == LIFE_OVER;
        if (over)
            place_remove(h, i);
        else
            i++;
    }
}

static void send_granted(struct mutex_core *core, struct mutex *m, struct place *place)
{
    place->next_ms = core->now_ms + PLACE_RESEND_MS;
    msg_send(core, m, &place->boot,
             (struct mutex_msg){.type = MSG_QGRANT,
                                .gen = m->home->gen,
                                .to_joined = place->joined,
                                .a = place->rid,
                                .b = place->fence},
             NULL);
}

/* May the place at @at be granted, with all before it granted? */
static bool may_grant(const struct mutex *m, uint32_t at)
{
    const struct home *h = m->home;
    if (m->permits > 1)
        return at < m->permits;
    if (at == 0)
        return true;
    return h->places[at].shared && h->places[at - 1].shared && h->places[0].shared;
}

void queue_serve(struct mutex_core *core, struct mutex *m)
{
    struct home *h = m->home;
    if (!h->serves || h->state != HOME_IDLE || h->gen != m->rec_gen || !home_is_self(core, m->slot))
        return;
    uint32_t at = 0;
    for (; at < h->places_n && h->places[at].granted; at++) {
        struct place *place = &h->places[at];
        if (!place->taken && core->now_ms >= place->next_ms)
            send_granted(core, m, place);
        if (!place->taken)
            h->next_ms = min_u64(h->next_ms, place->next_ms);
    }
    for (; at < h->places_n && may_grant(m, at); at++) {
        if (h->ctr >= UINT32_MAX - 1) {
            home_want(core, m);
            return;
        }
        struct place *place = &h->places[at];
        place->granted = true;
        place->fence = (uint64_t)h->gen << 32 | ++h->ctr;
        core->stats.grants++;
        send_granted(core, m, place);
        h->next_ms = min_u64(h->next_ms, place->next_ms);
    }
}

static void answer(struct mutex_core *core,
                   struct mutex *m,
                   const struct boot_id *to,
                   const struct mutex_msg *of,
                   uint8_t flags,
                   uint64_t b)
{
    msg_send(
        core, m, to,
        (struct mutex_msg){.type = MSG_QACK, .flags = flags, .gen = of->gen, .a = of->a, .b = b},
        NULL);
}

static void recv_qreq(struct mutex_core *core,
                      struct mutex *m,
                      const struct boot_id *from,
                      const struct mutex_msg *msg)
{
    struct home *h = home_is_self(core, m->slot) ? home_make(core, m) : NULL;
    if (h == NULL)
        return;
    h->wanted_ms = core->now_ms;
    if (m->version == 0 || !m->fresh || msg->gen > m->rec_gen || !m->rec_queue) {
        record_refresh(core, m);
        return;
    }
    if (msg->gen < m->rec_gen) {
        msg_send(core, m, from, (struct mutex_msg){.type = MSG_NEWER, .gen = m->rec_gen}, NULL);
        return;
    }
    if (!h->serves && h->state != HOME_ASKS) {
        home_want(core, m);
        record_work(core, m);
        return;
    }
    struct mutex_msg_part of = {
        .joined = msg->joined, .member_id = msg->member_id, .epoch = msg->epoch};
    if (part_hear(core, m, from, &of) == NULL) {
        record_refresh(core, m);
        return;
    }
    for (uint32_t i = 0; i < h->places_n;) { /* of an earlier joining: that is over */
        if (h->places[i].joined < msg->joined && boot_id_equal(&h->places[i].boot, from))
            place_remove(h, i);
        else
            i++;
    }
    struct place *place = place_find(h, from, msg->a);
    if (place != NULL) {
        if (place->granted) {
            send_granted(core, m, place);
        } else if ((msg->flags & MSG_TRY) != 0 && h->serves && h->state == HOME_IDLE) {
            /* It came while all were asked what they hold, when nobody could say. */
            place_remove(h, (uint32_t)(place - h->places));
            answer(core, m, from, msg, MSG_BUSY, 0);
        }
        return;
    }
    if (h->places_n >= MUTEX_QUEUE_MAX) {
        answer(core, m, from, msg, MSG_BUSY, 1);
        return;
    }
    struct place fresh = {.boot = *from,
                          .joined = msg->joined,
                          .rid = msg->a,
                          .shared = (msg->flags & MSG_SHARED) != 0};
    if (place_add(h, &fresh, h->places_n) == NULL)
        return;
    queue_drop_over(core, m);
    queue_serve(core, m);
    if ((msg->flags & MSG_TRY) != 0 && h->serves && h->places_n > 0 &&
        !h->places[h->places_n - 1].granted) {
        place_remove(h, h->places_n - 1);
        answer(core, m, from, msg, MSG_BUSY, 0);
    }
}

static void recv_qrel(struct mutex_core *core,
                      struct mutex *m,
                      const struct boot_id *from,
                      const struct mutex_msg *msg)
{
    struct home *h = m->home;
    if (!home_is_self(core, m->slot) || (h != NULL && h->state == HOME_ASKS))
        return; /* not yet: it comes again */
    struct place *place = h != NULL ? place_find(h, from, msg->a) : NULL;
    if (place != NULL) {
        place_remove(h, (uint32_t)(place - h->places));
        queue_serve(core, m);
    }
    answer(core, m, from, msg, MSG_AGAIN, 0);
}

void queue_recv(struct mutex_core *core,
                struct mutex *m,
                const struct boot_id *from,
                struct mutex_msg *msg)
{
    struct place *place;
    switch (msg->type) {
    case MSG_QREQ:
        recv_qreq(core, m, from, msg);
        break;
    case MSG_QGRANT:
        recv_granted(core, m, from, msg);
        break;
    case MSG_QTOOK:
        place = m->home != NULL ? place_find(m->home, from, msg->a) : NULL;
        if (place != NULL && place->fence == msg->b) /* not of a request that came late again */
            place->taken = true;
        break;
    case MSG_QREL:
        recv_qrel(core, m, from, msg);
        break;
    default:
        recv_ack(core, m, msg);
        break;
    }
    mutex_touch(core, m);
}
