/*
 * Who holds it and who waits, breaking by force, and cycles of waits.
 *
 * A query asks all participants, since in token mode nobody else knows. Cycles are found by probes
 * that go from who waits to who holds, and on to what that owner waits for (edge chasing); a probe
 * that comes back to where it began has seen a cycle. It counts when it was seen twice.
 */
#include <stdio.h>

#include "mutex/internal.h"

#define LIST_MAX 1024u

/* ---- queries and breaks ---- */

static void query_free(struct query *q)
{
    for (uint32_t i = 0; i < q->list_n; i++) {
        union {
            const char *is;
            char *was;
        } node = {.is = q->list[i].node}, owner = {.is = q->list[i].owner_text},
          cycle = {.is = q->list[i].cycle};
        core_free(node.was);
        core_free(owner.was);
        core_free(cycle.was);
    }
    core_free(q->list);
    core_free(q->name);
    core_free(q);
}

void ask_recycle(struct mutex_core *core)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < core->queries_n; i++) {
        if (core->queries[i]->done)
            query_free(core->queries[i]);
        else
            core->queries[kept++] = core->queries[i];
    }
    core->queries_n = kept;
}

void ask_free(struct mutex_core *core)
{
    for (uint32_t i = 0; i < core->queries_n; i++)
        query_free(core->queries[i]);
    core->queries_n = 0;
}

static void
query_refuse(struct mutex_core *core, const struct mutex_event *event, int code, const char *text)
{
    static const struct mutex_info none = {.name = ""};
    bool is_break = event->type == MUTEX_BREAK;
    struct mutex_action *action = mutex_act(core, is_break ? MUTEX_BROKEN : MUTEX_INFO);
    if (action == NULL)
        return;
    (void)snprintf(core->text, sizeof(core->text), "%s", text);
    action->ask = event->u.ask.ask;
    action->code = code;
    action->text = core->text;
    action->info = &none;
}

void ask_query(struct mutex_core *core, const struct mutex_event *event)
{
    const char *name = event->u.ask.name;
    size_t len = strlen(name);
    if (!mutex_name_fits(name, len)) {
        query_refuse(core, event, KITH_E_NAME, "that is no name of a mutex");
        return;
    }
    if (core->queries_n >= MUTEX_ASKS_MAX) {
        query_refuse(core, event, KITH_E_BUSY,
                     "too many questions about mutexes at once; try again");
        return;
    }
    struct query *q = core_calloc(1, sizeof(*q));
    struct mutex *m = mutex_find_name(core, name, len);
    if (m == NULL)
        m = mutex_make(core, name, len);
    if (q != NULL)
        q->name = core_strndup(name, len);
    if (q == NULL || m == NULL || q->name == NULL) {
        if (q != NULL)
            query_free(q);
        query_refuse(core, event, m == NULL ? KITH_E_LIMIT : KITH_E_MEMORY,
                     "this node can keep no state of one more mutex");
        return;
    }
    q->ask = event->u.ask.ask;
    q->is_break = event->type == MUTEX_BREAK;
    q->until_ms = q->is_break ? event->u.ask.deadline_ms : core->now_ms + 2 * QUERY_MS;
    q->next_ms = core->now_ms;
    q->reads_n = m->reads_n;
    core->queries[core->queries_n++] = q;
    if (!q->is_break) {
        m->want_read = true;
        record_work(core, m);
    }
    mutex_touch(core, m);
}

static void query_done(struct mutex_core *core, struct query *q, int code, const char *text)
{
    struct mutex_action *action = mutex_act(core, q->is_break ? MUTEX_BROKEN : MUTEX_INFO);
    if (action == NULL)
        return;
    (void)snprintf(core->text, sizeof(core->text), "%s", text != NULL ? text : "");
    q->done = true;
    action->ask = q->ask;
    action->code = code;
    action->text = core->text;
    /* Holders first; the rest as it came. */
    for (uint32_t i = 0, holders = 0; i < q->list_n; i++) {
        if (q->list[i].holds) {
            struct mutex_holder h = q->list[i];
            q->list[i] = q->list[holders];
            q->list[holders++] = h;
        }
    }
    q->info.name = q->name;
    q->info.code = code;
    q->info.list = q->list;
    q->info.list_n = q->list_n;
    action->info = &q->info;
}

static void query_send(struct mutex_core *core, struct query *q, struct mutex *m)
{
    q->sent = true;
    q->info.gen = m->rec_gen;
    q->info.queue = m->rec_queue;
    q->info.permits = m->permits;
    q->until_ms = core->now_ms + QUERY_MS;
    for (uint32_t i = 0; i < m->parts_n; i++) {
        if (!m->parts[i].listed)
            continue;
        q->info.participants_n++;
        q->asked_n++;
        msg_send(core, m, &m->parts[i].boot, (struct mutex_msg){.type = MSG_ASK, .a = q->ask},
                 NULL);
    }
}

static void query_progress(struct mutex_core *core, struct query *q)
{
    struct mutex *m = mutex_find_name(core, q->name, strlen(q->name));
    const struct boot_id *home = m != NULL ? home_of(core, m->slot) : NULL;

    if (q->is_break) {
        if (core->now_ms >= q->until_ms) {
            query_done(core, q, KITH_E_TIMEOUT,
                       "the mutex was not broken in time; see who holds it");
        } else if (core->now_ms >= q->next_ms) {
            q->next_ms = core->now_ms + REQ_RESEND_MS;
            if (home != NULL)
                msg_send(core, m, home, (struct mutex_msg){.type = MSG_BREAK, .a = q->ask}, NULL);
        }
        return;
    }
    if (!q->sent) {
        if (m != NULL && m->reads_n > q->reads_n) {
            if (m->version == 0)
                query_done(core, q, KITH_E_NOT_FOUND, "nobody uses the mutex");
            else
                query_send(core, q, m);
        } else if (core->now_ms >= q->until_ms) {
            query_done(core, q, KITH_E_NO_QUORUM,
                       "the record of the mutex cannot be read; see `kith view`");
        }
        return;
    }
    if (q->info.answered_n >= q->asked_n || core->now_ms >= q->until_ms)
        query_done(core, q, 0, NULL);
}

void ask_progress(struct mutex_core *core)
{
    for (uint32_t i = 0; i < core->queries_n; i++) {
        if (!core->queries[i]->done)
            query_progress(core, core->queries[i]);
    }
}

uint64_t ask_deadline_ms(const struct mutex_core *core)
{
    uint64_t due = UINT64_MAX;
    for (uint32_t i = 0; i < core->queries_n; i++) {
        const struct query *q = core->queries[i];
        if (!q->done)
            due = min_u64(due, q->is_break ? min_u64(q->until_ms, q->next_ms) : q->until_ms);
    }
    return due;
}

/* ---- what this node tells ---- */

static struct mutex_holder told(struct mutex_core *core, struct mutex *m, const struct waiter *w)
{
    bool holds = w->state == WAITER_HOLDS;
    return (struct mutex_holder){.boot = core->config.self,
                                 .node = core->self_name,
                                 .owner = w->owner,
                                 .owner_text = w->owner_text,
                                 .pid = w->pid,
                                 .fence = holds ? w->fence : 0,
                                 .age_ms = core->now_ms - w->since_ms,
                                 .lease_left_ms = holds ? lease_left_ms(core, m) : 0,
                                 .holds = holds,
                                 .shared = w->shared,
                                 .cycle = holds ? NULL : w->cycle};
}

uint32_t ask_fill(struct mutex_core *core, struct mutex *m, struct mutex_holder *list, uint32_t max)
{
    uint32_t n = 0;
    list_for_each (it, &m->held) {
        if (n < max)
            list[n++] = told(core, m, container_of(it, struct waiter, link));
    }
    list_for_each (it, &m->waiting) {
        if (n < max)
            list[n++] = told(core, m, container_of(it, struct waiter, link));
    }
    return n;
}

static void recv_ask(struct mutex_core *core,
                     struct mutex *m,
                     const struct boot_id *from,
                     const struct mutex_msg *msg)
{
    struct mutex_holder list[MUTEX_TOLD_MAX];
    uint32_t n = m != NULL ? ask_fill(core, m, list, MUTEX_TOLD_MAX) : 0;
    struct mutex_msg tell = {.type = MSG_TELL,
                             .name = msg->name,
                             .name_len = msg->name_len,
                             .a = msg->a,
                             .b = m != NULL ? m->waiting_n : 0};
    struct sending s = msg_begin(core, from, &tell);
    s.bad |=
        mutex_msg_parts(s.buf, 0) | mutex_msg_u16(s.buf, 0) | mutex_msg_u16(s.buf, (uint16_t)n);
    for (uint32_t i = 0; i < n; i++) {
        /* The owner's text, and behind a NUL the cycle it waits in. */
        char text[255];
        size_t owner = strlen(list[i].owner_text);
        size_t cycle = list[i].cycle != NULL ? strnlen(list[i].cycle, sizeof(text) - owner - 2) : 0;
        memcpy(text, list[i].owner_text, owner + 1);
        if (cycle > 0)
            memcpy(text + owner + 1, list[i].cycle, cycle);
        s.bad |= mutex_msg_hold(
            s.buf,
            &(struct mutex_msg_hold){.fence = list[i].fence,
                                     .owner = list[i].owner,
                                     .pid = list[i].pid,
                                     .age_ms = list[i].age_ms,
                                     .left_ms = list[i].lease_left_ms,
                                     .flags = (uint8_t)((list[i].holds ? HOLD_HOLDS : 0) |
                                                        (list[i].shared ? HOLD_SHARED : 0)),
                                     .text_len = (uint8_t)(owner + (cycle > 0 ? 1 + cycle : 0)),
                                     .text = text});
    }
    s.bad |= mutex_msg_text(s.buf, core->self_name, strlen(core->self_name));
    msg_end(core, &s, from);
}

static bool query_add(struct query *q,
                      const struct boot_id *from,
                      const struct mutex_msg *msg,
                      const struct mutex_msg_hold *hold)
{
    if (q->list_n >= LIST_MAX)
        return false;
    if (q->list_n == q->list_cap) {
        uint32_t cap = q->list_cap == 0 ? 8 : q->list_cap * 2;
        struct mutex_holder *list = core_realloc(q->list, cap * sizeof(*list));
        if (list == NULL)
            return false;
        q->list = list;
        q->list_cap = cap;
    }
    const char *end = memchr(hold->text, '\0', hold->text_len);
    size_t owner = end != NULL ? (size_t)(end - hold->text) : hold->text_len;
    char *node = core_strndup(msg->text, msg->text_len);
    char *text = core_strndup(hold->text, owner);
    char *cycle = end != NULL ? core_strndup(end + 1, hold->text_len - owner - 1) : NULL;
    if (node == NULL || text == NULL) {
        core_free(node);
        core_free(text);
        core_free(cycle);
        return false;
    }
    q->list[q->list_n++] = (struct mutex_holder){.boot = *from,
                                                 .node = node,
                                                 .owner = hold->owner,
                                                 .owner_text = text,
                                                 .pid = hold->pid,
                                                 .fence = hold->fence,
                                                 .age_ms = hold->age_ms,
                                                 .lease_left_ms = hold->left_ms,
                                                 .holds = (hold->flags & HOLD_HOLDS) != 0,
                                                 .shared = (hold->flags & HOLD_SHARED) != 0,
                                                 .cycle = cycle};
    return true;
}

static struct query *
query_find(struct mutex_core *core, uint64_t ask, bool is_break, const struct mutex_msg *msg)
{
    for (uint32_t i = 0; i < core->queries_n; i++) {
        struct query *q = core->queries[i];
        if (q->ask == ask && q->is_break == is_break && !q->done &&
            strlen(q->name) == msg->name_len && memcmp(q->name, msg->name, msg->name_len) == 0)
            return q;
    }
    return NULL;
}

static void recv_tell(struct mutex_core *core, const struct boot_id *from, struct mutex_msg *msg)
{
    struct query *q = query_find(core, msg->a, false, msg);
    if (q == NULL || !q->sent)
        return;
    for (uint32_t i = 0; i < q->list_n; i++) {
        if (boot_id_equal(&q->list[i].boot, from))
            return; /* told twice */
    }
    q->info.answered_n++;
    q->info.waiters_n += (uint32_t)min_u64(msg->b, MUTEX_QUEUE_MAX);
    for (struct mutex_msg_hold hold; mutex_msg_next_hold(msg, &hold);)
        (void)query_add(q, from, msg, &hold);
}

/* ---- cycles of waits ---- */

static void probe_to(struct mutex_core *core,
                     struct mutex *m,
                     const struct boot_id *to,
                     const struct boot_id *origin,
                     const struct mutex_msg *probe,
                     const char *path)
{
    struct mutex_msg msg = {.type = MSG_PROBE,
                            .flags = probe->flags,
                            .name = m->name,
                            .name_len = m->name_len,
                            .gen = m->gen,
                            .a = probe->a,
                            .b = probe->b,
                            .c = probe->c};
    struct sending s = msg_begin(core, to, &msg);
    s.bad |= mutex_msg_parts(s.buf, 1) |
             mutex_msg_part(s.buf, &(struct mutex_msg_part){.boot = *origin});
    s.bad |= mutex_msg_u16(s.buf, 0);
    s.bad |= mutex_msg_u16(s.buf, 0);
    s.bad |= mutex_msg_text(s.buf, path, strlen(path));
    msg_end(core, &s, to);
}

/* To who may hold @m: the home of a queue knows, of a token all are asked. */
static void probe_send(struct mutex_core *core,
                       struct mutex *m,
                       const struct boot_id *origin,
                       const struct mutex_msg *probe,
                       const char *path)
{
    const struct boot_id *home = m->queue ? home_of(core, m->slot) : NULL;
    if (m->queue) {
        if (home != NULL)
            probe_to(core, m, home, origin, probe, path);
        return;
    }
    for (uint32_t i = 0; i < m->parts_n; i++)
        probe_to(core, m, &m->parts[i].boot, origin, probe, path);
}

void probe_tick(struct mutex_core *core, struct mutex *m)
{
    list_for_each (it, &m->waiting) {
        struct waiter *w = container_of(it, struct waiter, link);
        if (core->now_ms < w->probe_ms)
            continue;
        w->probe_ms = core->now_ms + (w->detect ? PROBE_MS : 4 * PROBE_MS);
        if (w->cycle != NULL && core->now_ms > w->cycle_ms + 8 * (uint64_t)PROBE_MS) {
            core_free(w->cycle);
            w->cycle = NULL;
            w->cycle_hits = 0;
        }
        if (w->owner == 0 || m->state != IN)
            continue;
        char path[512];
        (void)snprintf(path, sizeof(path), "%s on %s waits for '%s'",
                       w->owner_text[0] != '\0' ? w->owner_text : "an owner", core->self_name,
                       m->name);
        probe_send(core, m, &core->config.self, &(struct mutex_msg){.a = w->rid, .b = w->owner},
                   path);
    }
}

static void cycle_seen(struct mutex_core *core, struct mutex *m, uint64_t rid, const char *text)
{
    struct waiter *w = local_by_rid(&m->waiting, rid);
    if (w == NULL)
        return;
    core_free(w->cycle);
    w->cycle = core_strndup(text, strlen(text));
    w->cycle_ms = core->now_ms;
    if (w->cycle_hits++ == 0)
        core->stats.cycles++;
    if (w->detect && w->cycle_hits >= 2)
        local_end(core, w, KITH_E_WOULD_DEADLOCK, "a cycle of waits: %s; release one of them first",
                  text);
}

static void chase(struct mutex_core *core,
                  const struct waiter *holder,
                  const struct boot_id *origin,
                  const struct mutex_msg *probe,
                  const char *path)
{
    list_for_each (it, &core->mutexes) {
        struct mutex *m = container_of(it, struct mutex, link);
        list_for_each (at, &m->waiting) {
            const struct waiter *w = container_of(at, struct waiter, link);
            if (!local_stops(w, holder->owner) || m->state != IN)
                continue;
            char text[4096];
            (void)snprintf(text, sizeof(text), "%s, who waits for '%s'", path, m->name);
            struct mutex_msg next = *probe;
            next.c++;
            next.flags = 0;
            probe_send(core, m, origin, &next, text);
        }
    }
}

/* The one that sent the probe, and what it waits for. NULL: it does not wait any more. */
static const struct waiter *
prober(struct mutex_core *core, const struct mutex_msg *msg, struct mutex **mutex_out)
{
    list_for_each (at, &core->mutexes) {
        struct mutex *m = container_of(at, struct mutex, link);
        const struct waiter *w = local_by_rid(&m->waiting, msg->a);
        if (w != NULL) {
            *mutex_out = m;
            return w;
        }
    }
    return NULL;
}

static void recv_probe(struct mutex_core *core,
                       struct mutex *m,
                       const struct boot_id *from,
                       struct mutex_msg *msg)
{
    struct mutex_msg_part origin;
    struct home *h = m->home;
    char path[3072];
    (void)from;
    if (msg->c >= MUTEX_CYCLE_MAX || !mutex_msg_next_part(msg, &origin) || msg->text_len > 2048)
        return;
    (void)snprintf(path, sizeof(path), "%.*s", msg->text_len, msg->text);
    if (m->queue && h != NULL && (msg->flags & MSG_AGAIN) == 0) { /* as home: on to who holds it */
        struct mutex_msg on = *msg;
        on.flags |= MSG_AGAIN;
        for (uint32_t i = 0; i < h->places_n && i < MUTEX_TOLD_MAX; i++) {
            bool told = !h->places[i].granted;
            for (uint32_t k = 0; k < i && !told; k++)
                told = boot_id_equal(&h->places[k].boot, &h->places[i].boot);
            if (!told)
                probe_to(core, m, &h->places[i].boot, &origin.boot, &on, path);
        }
        return;
    }
    list_for_each (it, &m->held) {
        const struct waiter *w = container_of(it, struct waiter, link);
        if (w->owner == 0)
            continue;
        char text[3584];
        (void)snprintf(text, sizeof(text), "%s, held by %s on %s", path,
                       w->owner_text[0] != '\0' ? w->owner_text : "an owner", core->self_name);
        struct mutex *first;
        const struct waiter *by = is_self(core, &origin.boot) ? prober(core, msg, &first) : NULL;
        if (by == NULL || !local_stops(by, w->owner)) {
            chase(core, w, &origin.boot, msg, text);
            continue;
        }
        cycle_seen(core, first, msg->a, text); /* it has come home */
        return;
    }
}

void ask_recv(struct mutex_core *core,
              struct mutex *m,
              const struct boot_id *from,
              struct mutex_msg *msg)
{
    struct query *q;
    switch (msg->type) {
    case MSG_ASK:
        recv_ask(core, m, from, msg);
        break;
    case MSG_TELL:
        recv_tell(core, from, msg);
        break;
    case MSG_BROKEN:
        q = query_find(core, msg->a, true, msg);
        if (q != NULL) {
            char text[256];
            (void)snprintf(text, sizeof(text), "%.*s", msg->text_len > 255 ? 255 : msg->text_len,
                           msg->text);
            int code = msg->b == 0 ? 0 : msg->b < 20000 ? -(int)msg->b : KITH_E_INTERNAL;
            query_done(core, q, code, text);
        }
        break;
    case MSG_PROBE:
        recv_probe(core, m, from, msg);
        break;
    default:
        break; /* from a newer version */
    }
}
