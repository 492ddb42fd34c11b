/*
 * Owners and waiters of this node. A waiter is one acquire: it waits, holds, and (in queue mode)
 * releases until the home knows.
 */
#include <stdarg.h>
#include <stdio.h>

#include "mutex/internal.h"

/* ---- the end of waits ---- */

static void tell(struct mutex_core *core, struct waiter *w, enum tell what)
{
    if (w->tell == TELL_NOTHING)
        list_append(&core->tells, &w->tell_link);
    w->tell = what;
}

static void leave_list(struct mutex_core *core, struct waiter *w)
{
    struct mutex *m = w->mutex;
    list_remove(&w->link);
    if (w->state == WAITER_WAITS)
        m->waiting_n--;
    else if (w->state == WAITER_HOLDS)
        m->held_n--;
    else if (w->state == WAITER_RELEASES)
        m->releasing_n--;
    heap_remove(&core->deadlines, &w->deadline);
}

/* To be reused at the next step. */
void local_spend(struct mutex_core *core, struct waiter *w)
{
    leave_list(core, w);
    if (w->id != 0)
        (void)map64_remove(&core->waiters, w->id);
    w->state = WAITER_SPENT;
    list_append(&core->spent, &w->link);
}

void local_recycle(struct mutex_core *core)
{
    list_for_each_safe (it, &core->spent) {
        struct waiter *w = container_of(it, struct waiter, link);
        if (w->tell != TELL_NOTHING)
            continue;
        core_free(w->text);
        core_free(w->cycle);
        list_remove(&w->link);
        w->text = w->cycle = NULL;
        list_append(&core->pool, &w->link);
    }
}

/* A waiter whose home may know of it: it is taken out of the queue there, and then spent. */
static void withdraw(struct mutex_core *core, struct waiter *w)
{
    struct mutex *m = w->mutex;
    bool known = m->queue && m->state == IN && (w->state == WAITER_HOLDS || w->next_ms != 0);
    if (!known) {
        local_spend(core, w);
        return;
    }
    leave_list(core, w);
    if (w->id != 0)
        (void)map64_remove(&core->waiters, w->id);
    w->state = WAITER_RELEASES;
    w->next_ms = core->now_ms;
    w->backoff_ms = 0;
    list_append(&m->releasing, &w->link);
    m->releasing_n++;
    queue_tick(core, m);
}

void local_end(struct mutex_core *core, struct waiter *w, int code, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    core_free(w->text);
    w->text = core_strndup(text, strlen(text));
    w->code = code;
    struct mutex *m = w->mutex;
    tell(core, w, TELL_ENDED);
    withdraw(core, w);
    mutex_touch(core, m);
}

void local_end_all(struct mutex_core *core, struct mutex *m, int code, const char *why)
{
    list_for_each_safe (it, &m->waiting)
        local_end(core, container_of(it, struct waiter, link), code, "the mutex '%s': %s", m->name,
                  why);
}

void local_grant(struct mutex_core *core, struct waiter *w, uint64_t fence)
{
    struct mutex *m = w->mutex;
    leave_list(core, w);
    w->state = WAITER_HOLDS;
    list_append(&m->held, &w->link);
    m->held_n++;
    w->fence = fence;
    w->since_ms = core->now_ms;
    w->warned = false;
    m->used_ms = core->now_ms;
    core->stats.acquired++;
    tell(core, w, TELL_GRANTED);
}

void local_lose(struct mutex_core *core, struct waiter *w, const char *why)
{
    char text[512];
    (void)snprintf(text, sizeof(text), "the mutex '%s' is lost: %s; stop what it guards",
                   w->mutex->name, why);
    core_free(w->text);
    w->text = core_strndup(text, strlen(text));
    w->code = KITH_E_CANCELED;
    core->stats.lost++;
    /* Granted and lost before anybody was told: it was not had. */
    tell(core, w, w->tell == TELL_GRANTED ? TELL_ENDED : TELL_LOST);
    withdraw(core, w);
}

void local_emit(struct mutex_core *core)
{
    list_for_each_safe (it, &core->tells) {
        struct waiter *w = container_of(it, struct waiter, tell_link);
        static const enum mutex_action_type types[] = {[TELL_GRANTED] = MUTEX_GRANTED,
                                                       [TELL_ENDED] = MUTEX_ENDED,
                                                       [TELL_LOST] = MUTEX_LOCK_LOST};
        struct mutex_action *action = mutex_act(core, types[w->tell]);
        if (action == NULL)
            return; /* the deadline asks for the next step at once */
        action->waiter = w->id;
        action->fence = w->tell == TELL_ENDED ? 0 : w->fence;
        if (w->tell != TELL_GRANTED) {
            action->code = w->code;
            action->text = w->text != NULL ? w->text : "out of memory";
            if (w->id != 0)
                (void)map64_remove(&core->waiters, w->id);
            w->id = 0;
        }
        list_remove(&w->tell_link);
        w->tell = TELL_NOTHING;
    }
}

/* ---- acquire ---- */

static void refuse(struct mutex_core *core, uint64_t waiter, int code)
{
    struct mutex_action *action = mutex_act(core, MUTEX_ENDED);
    core->stats.refused++;
    if (action == NULL)
        return;
    action->waiter = waiter;
    action->code = code;
    action->text = core->text;
}

static struct waiter *waiter_new(struct mutex_core *core)
{
    struct list *first = list_first(&core->pool);
    struct waiter *w;
    if (first != NULL) {
        w = container_of(first, struct waiter, link);
        list_remove(first);
        memset(w, 0, offsetof(struct waiter, owner_text));
        w->pid = w->next_ms = w->probe_ms = w->fence = 0;
        w->backoff_ms = w->cycle_hits = 0;
        w->code = 0;
        return w;
    }
    return core_calloc(1, sizeof(*w));
}

static const struct waiter *of_owner(const struct mutex *m, uint64_t owner)
{
    if (owner == 0)
        return NULL;
    list_for_each (it, &m->held) {
        const struct waiter *w = container_of(it, struct waiter, link);
        if (w->owner == owner)
            return w;
    }
    list_for_each (it, &m->waiting) {
        const struct waiter *w = container_of(it, struct waiter, link);
        if (w->owner == owner)
            return w;
    }
    return NULL;
}

/* Whoever asks runs under this very mutex: it would wait for its own end. */
static bool holds_above(const struct mutex *m, const struct mutex_acquire *a)
{
    list_for_each (it, &m->held) {
        const struct waiter *w = container_of(it, struct waiter, link);
        for (uint32_t i = 0; i < a->within_n && i < MUTEX_WITHIN_MAX; i++) {
            if (w->owner == a->within[i] && w->owner != 0 && m->permits <= 1 &&
                !(w->shared && a->shared))
                return true;
        }
    }
    return false;
}

/* 0, or why not (core->text). */
static int may_wait(struct mutex_core *core, struct mutex *m, const struct mutex_acquire *a)
{
    uint32_t permits = a->permits > 1 ? a->permits : 1;
    const struct waiter *other = of_owner(m, a->owner);
    if (other != NULL) {
        (void)snprintf(
            core->text, sizeof(core->text),
            "this owner %s the mutex '%s' already; a mutex is not recursive, release it first",
            other->state == WAITER_HOLDS ? "holds" : "waits for", m->name);
        return KITH_E_EXISTS;
    }
    if (holds_above(m, a)) {
        (void)snprintf(
            core->text, sizeof(core->text),
            "this is run by what holds the mutex '%s' already, and would wait for ever; a "
            "mutex is not recursive, leave the inner one out",
            m->name);
        return KITH_E_EXISTS;
    }
    if (m->waiting_n + m->held_n >= core->config.waiters_max) {
        (void)snprintf(core->text, sizeof(core->text),
                       "%u already wait for the mutex '%s' on this node, its limit; try later",
                       m->waiting_n + m->held_n, m->name);
        return KITH_E_LIMIT;
    }
    bool known = m->version != 0 || m->waiting_n > 0 || m->held_n > 0;
    if (known && permits != m->permits) {
        (void)snprintf(core->text, sizeof(core->text),
                       "the mutex '%s' has %u permits, not %u; ask for the same number", m->name,
                       m->permits, permits);
        return KITH_E_INVALID;
    }
    if (!core->quorum && (m->state == OUT || !lease_valid(core, m))) {
        (void)snprintf(
            core->text, sizeof(core->text),
            "not enough nodes can be reached to say who holds the mutex '%s'; see `kith view`",
            m->name);
        return KITH_E_NO_QUORUM;
    }
    if (!known)
        m->permits = permits;
    return 0;
}

static struct mutex *mutex_to_acquire(struct mutex_core *core, const struct mutex_acquire *a)
{
    size_t len = strlen(a->name);
    struct mutex *m = mutex_find_name(core, a->name, len);
    if (m != NULL)
        return m;
    if (!mutex_name_fits(a->name, len)) {
        (void)snprintf(
            core->text, sizeof(core->text),
            "'%.64s' is no name of a mutex: 1 to %d bytes of UTF-8 without control characters",
            a->name, MUTEX_NAME_BYTES_MAX);
        refuse(core, a->waiter, KITH_E_NAME);
        return NULL;
    }
    bool full = core->names.n >= core->config.names_max;
    m = full ? NULL : mutex_make(core, a->name, len);
    if (m == NULL) {
        if (full)
            (void)snprintf(core->text, sizeof(core->text),
                           "this node uses %u mutexes, its limit; release some and wait a minute",
                           core->config.names_max);
        else
            (void)snprintf(core->text, sizeof(core->text), "out of memory");
        refuse(core, a->waiter, full ? KITH_E_LIMIT : KITH_E_MEMORY);
    }
    return m;
}

void local_acquire(struct mutex_core *core, const struct mutex_acquire *a)
{
    struct mutex *m = mutex_to_acquire(core, a);
    if (m == NULL)
        return;
    int code = may_wait(core, m, a);
    struct waiter *w = code == 0 ? waiter_new(core) : NULL;
    if (code == 0 && (w == NULL || map64_set(&core->waiters, a->waiter, w) != 0 ||
                      (a->deadline_ms != UINT64_MAX &&
                       heap_set(&core->deadlines, &w->deadline, a->deadline_ms) != 0))) {
        (void)snprintf(core->text, sizeof(core->text), "out of memory");
        code = KITH_E_MEMORY;
        if (w != NULL) {
            (void)map64_remove(&core->waiters, a->waiter);
            list_append(&core->pool, &w->link);
        }
    }
    if (code != 0) {
        refuse(core, a->waiter, code);
        return;
    }
    w->id = a->waiter;
    w->rid = core->next_rid++;
    w->owner = a->owner;
    w->mutex = m;
    w->state = WAITER_WAITS;
    w->try_only = a->try_only;
    w->detect = a->detect;
    w->shared = a->shared;
    w->pid = a->pid;
    w->within_n = (uint8_t)min_u64(a->within_n, MUTEX_WITHIN_MAX);
    for (uint32_t i = 0; i < w->within_n; i++)
        w->within[i] = a->within[i];
    w->since_ms = core->now_ms;
    w->probe_ms = core->now_ms + (a->detect ? PROBE_MS : 4 * PROBE_MS);
    size_t text_len = a->owner_text != NULL ? strnlen(a->owner_text, MUTEX_OWNER_BYTES_MAX) : 0;
    memcpy(w->owner_text, a->owner_text != NULL ? a->owner_text : "", text_len);
    w->owner_text[text_len] = '\0';
    w->owner_len = (uint8_t)text_len;
    list_append(&m->waiting, &w->link);
    m->waiting_n++;
    m->want_leave = false;
    bool local = m->token;
    token_enter(core, m);
    if (w->state == WAITER_HOLDS) {
        core->stats.acquired_local += local;
        return;
    }
    m->used_ms = core->now_ms;
    if (w->try_only && !m->queue && m->token && (m->held_n > 0 || m->passing)) {
        char holder[300];
        token_holder_text(core, m, holder, sizeof(holder));
        local_end(core, w, KITH_E_AGAIN, "the mutex '%s' is not free%s", m->name, holder);
        return;
    }
    token_want(core, m);
    queue_tick(core, m);
    record_work(core, m);
    mutex_touch(core, m);
}

/* ---- release ---- */

static void release(struct mutex_core *core, struct waiter *w)
{
    struct mutex *m = w->mutex;
    m->used_ms = core->now_ms;
    if (w->tell != TELL_NOTHING) { /* granted in the step that is going on */
        list_remove(&w->tell_link);
        w->tell = TELL_NOTHING;
    }
    if (m->queue) {
        (void)map64_remove(&core->waiters, w->id);
        w->id = 0;
        withdraw(core, w);
        mutex_touch(core, m);
        return;
    }
    local_spend(core, w);
    if (m->token || m->frozen)
        token_left(core, m);
}

int local_release(struct mutex_core *core, uint64_t waiter, bool cancel)
{
    struct waiter *w = map64_find(&core->waiters, waiter);
    if (w == NULL || (!cancel && w->state != WAITER_HOLDS)) {
        (void)snprintf(core->text, sizeof(core->text), "%s",
                       w == NULL ? "nothing is held here by that; it was released or lost before"
                                 : "it is not held yet; cancel the wait instead");
        return KITH_E_NOT_FOUND;
    }
    if (w->state == WAITER_HOLDS)
        release(core, w);
    else
        local_end(core, w, KITH_E_CANCELED, "the wait for the mutex '%s' was given up",
                  w->mutex->name);
    return 0;
}

static void silence(struct mutex_core *core, struct waiter *w)
{
    if (w->tell != TELL_NOTHING) {
        list_remove(&w->tell_link);
        w->tell = TELL_NOTHING;
    }
    if (w->state == WAITER_HOLDS) {
        release(core, w);
        return;
    }
    struct mutex *m = w->mutex;
    (void)map64_remove(&core->waiters, w->id);
    w->id = 0;
    withdraw(core, w);
    mutex_touch(core, m);
}

void local_owner_gone(struct mutex_core *core, uint64_t owner)
{
    if (owner == 0)
        return;
    list_for_each (it, &core->mutexes) {
        struct mutex *m = container_of(it, struct mutex, link);
        list_for_each_safe (at, &m->waiting) {
            struct waiter *w = container_of(at, struct waiter, link);
            if (w->owner == owner)
                silence(core, w);
        }
        list_for_each_safe (at, &m->held) {
            struct waiter *w = container_of(at, struct waiter, link);
            if (w->owner == owner) {
                silence(core, w);
                break; /* the list has changed; an owner holds a mutex once */
            }
        }
    }
}

bool local_stops(const struct waiter *w, uint64_t owner)
{
    bool is = w->owner == owner;
    for (uint32_t i = 0; i < w->within_n; i++)
        is = is || w->within[i] == owner;
    return is && owner != 0;
}

struct waiter *local_by_rid(struct list *list, uint64_t rid)
{
    list_for_each (it, list) {
        struct waiter *w = container_of(it, struct waiter, link);
        if (w->rid == rid)
            return w;
    }
    return NULL;
}
