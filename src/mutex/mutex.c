#include "mutex/internal.h"

/* ---- life ---- */

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value != 0 ? value : otherwise;
}

int mutex_new(struct mutex_core **core_out, const struct mutex_config *config)
{
    if (boot_id_is_none(&config->self))
        return KITH_E_INVALID;
    struct mutex_core *core = core_calloc(1, sizeof(*core));
    if (core == NULL)
        return KITH_E_MEMORY;
    struct mutex_config *c = &core->config;
    *c = *config;
    c->names_max = (uint32_t)or_default(c->names_max, MUTEX_NAMES_MAX);
    c->waiters_max = (uint32_t)or_default(c->waiters_max, MUTEX_WAITERS_MAX);
    c->participants_token_max =
        (uint32_t)or_default(c->participants_token_max, MUTEX_PARTICIPANTS_TOKEN_MAX);
    c->participants_max = (uint32_t)or_default(c->participants_max, MUTEX_PARTICIPANTS_MAX);
    c->idle_ms = (uint32_t)or_default(c->idle_ms, 60 * 1000);
    c->warn_ms = (uint32_t)or_default(c->warn_ms, 1000);
    c->handoff_ms = (uint32_t)or_default(c->handoff_ms, 10);
    c->handoff_n = (uint32_t)or_default(c->handoff_n, 8);
    rng_init(&core->rng, config->seed);
    core->quorum = true;
    core->lapse_ms = UINT64_MAX;
    core->next_ask = 1;
    core->next_rid = 1;
    list_init(&core->mutexes);
    list_init(&core->tells);
    list_init(&core->spent);
    list_init(&core->pool);
    list_init(&core->passing);
    core->self_name = core_strndup(config->self_name != NULL ? config->self_name : "",
                                   config->self_name != NULL ? strlen(config->self_name) : 0);
    core->actions_cap = 64;
    core->actions = core_calloc(core->actions_cap, sizeof(*core->actions));
    if (core->self_name == NULL || core->actions == NULL) {
        mutex_free(core);
        return KITH_E_MEMORY;
    }
    c->self_name = core->self_name;
    *core_out = core;
    return 0;
}

static void waiter_free(struct waiter *w)
{
    core_free(w->text);
    core_free(w->cycle);
    core_free(w);
}

static void waiters_free(struct list *list)
{
    list_for_each_safe (it, list) {
        list_remove(it);
        waiter_free(container_of(it, struct waiter, link));
    }
}

static void mutex_destroy(struct mutex_core *core, struct mutex *m)
{
    token_stays(m);
    waiters_free(&m->waiting);
    waiters_free(&m->held);
    waiters_free(&m->releasing);
    heap_remove(&core->timers, &m->timer);
    list_remove(&m->link);
    (void)maptext_remove(&core->names, m->record_name);
    if (m->ask != 0)
        (void)map64_remove(&core->asks, m->ask);
    home_free(m);
    buf_deinit(&m->cas);
    buf_deinit(&m->transit_msg);
    core_free(m->parts);
    core_free(m->q);
    core_free(m->record_name);
    core_free(m);
}

void mutex_free(struct mutex_core *core)
{
    if (core == NULL)
        return;
    heap_deinit(&core->deadlines); /* it lets go of waiters, so before they go */
    list_for_each_safe (it, &core->mutexes)
        mutex_destroy(core, container_of(it, struct mutex, link));
    waiters_free(&core->spent);
    waiters_free(&core->pool);
    ask_free(core);
    lease_free(core);
    maptext_deinit(&core->names);
    map64_deinit(&core->asks);
    map64_deinit(&core->waiters);
    heap_deinit(&core->timers);
    buf_deinit(&core->out);
    buf_deinit(&core->loop);
    buf_deinit(&core->said);
    core_free(core->actions);
    core_free(core->self_name);
    core_free(core);
}

/* ---- the table of mutexes ---- */

struct mutex *mutex_find_name(struct mutex_core *core, const char *name, size_t len)
{
    char full[KITH_NAME_BYTES_MAX + 1];
    if (len > MUTEX_NAME_BYTES_MAX)
        return NULL;
    memcpy(full, MUTEX_RECORD_PREFIX, PREFIX_BYTES);
    memcpy(full + PREFIX_BYTES, name, len);
    full[PREFIX_BYTES + len] = '\0';
    return maptext_find(&core->names, full);
}

struct mutex *mutex_make(struct mutex_core *core, const char *name, size_t len)
{
    if (core->names.n >= core->config.names_max)
        return NULL;
    struct mutex *m = core_calloc(1, sizeof(*m));
    char *full = core_malloc(PREFIX_BYTES + len + 1);
    if (m == NULL || full == NULL)
        goto fail;
    memcpy(full, MUTEX_RECORD_PREFIX, PREFIX_BYTES);
    memcpy(full + PREFIX_BYTES, name, len);
    full[PREFIX_BYTES + len] = '\0';
    if (maptext_set(&core->names, full, m) != 0)
        goto fail;
    m->record_name = full;
    m->name = full + PREFIX_BYTES;
    m->name_len = (uint8_t)len;
    m->slot = placement_slot_of(full, PREFIX_BYTES + len);
    m->permits = 1;
    m->lx = -1;
    m->used_ms = core->now_ms;
    list_init(&m->waiting);
    list_init(&m->held);
    list_init(&m->releasing);
    list_append(&core->mutexes, &m->link);
    return m;
fail:
    core_free(m);
    core_free(full);
    return NULL;
}

/* Nothing here would be missed. */
static bool mutex_unused(const struct mutex *m)
{
    return m->state == OUT && m->waiting_n == 0 && m->held_n == 0 && m->releasing_n == 0 &&
           m->ask == 0 && m->step == STEP_NONE && !m->token && !m->transit;
}

static bool mutex_home_unused(const struct mutex_core *core, const struct mutex *m)
{
    const struct home *h = m->home;
    return h == NULL || (h->state == HOME_IDLE && h->places_n == 0 && h->breaker.ask == 0 &&
                         core->now_ms >= h->wanted_ms + HOME_KEPT_MS);
}

/* ---- actions and messages ---- */

bool is_self(const struct mutex_core *core, const struct boot_id *boot)
{
    return boot_id_equal(&core->config.self, boot);
}

struct mutex_action *mutex_act(struct mutex_core *core, enum mutex_action_type type)
{
    if (core->actions_n == core->actions_cap) {
        size_t cap = core->actions_cap * 2;
        struct mutex_action *actions = core_realloc(core->actions, cap * sizeof(*actions));
        if (actions == NULL)
            return NULL;
        core->actions = actions;
        core->actions_cap = cap;
    }
    struct mutex_action *action = &core->actions[core->actions_n++];
    *action = (struct mutex_action){.type = type};
    return action;
}

struct sending
msg_begin(struct mutex_core *core, const struct boot_id *to, const struct mutex_msg *msg)
{
    struct sending s = {.buf = is_self(core, to) ? &core->loop : &core->out};
    static const uint8_t size[4];

    s.from = s.buf->len;
    s.bad = buf_append(s.buf, size, sizeof(size));
    s.size_at = s.from;
    s.bad |= mutex_msg_head(s.buf, msg);
    return s;
}

void msg_end(struct mutex_core *core, struct sending *s, const struct boot_id *to)
{
    struct mutex_action *action = NULL;
    if (!is_self(core, to) && memcmp(&to->node, &core->config.self.node, sizeof(to->node)) == 0)
        s->bad = KITH_E_INVALID; /* a former run of this node: nobody hears that */
    if (s->bad == 0 && s->buf == &core->out)
        action = mutex_act(core, MUTEX_SEND);
    if (s->bad != 0 || (s->buf == &core->out && action == NULL)) {
        s->buf->len = s->from; /* as if lost: everything is sent again */
        return;
    }
    size_t len = s->buf->len - s->from - 4;
    if (action == NULL) {
        put_le32(s->buf->data + s->size_at, (uint32_t)len);
        return;
    }
    action->to = to->node;
    action->len = len;
    action->version = s->from + 4; /* where it is: the buffer may still move */
}

void msg_send(struct mutex_core *core,
              struct mutex *m,
              const struct boot_id *to,
              struct mutex_msg msg,
              const char *text)
{
    if (m != NULL) {
        msg.name = m->name;
        msg.name_len = m->name_len;
        if (msg.gen == 0)
            msg.gen = m->gen;
        msg.joined = m->joined;
        msg.member_id = m->member_id;
        msg.epoch = m->epoch;
    }
    struct sending s = msg_begin(core, to, &msg);
    s.bad |= mutex_msg_parts(s.buf, 0) | mutex_msg_u16(s.buf, 0) | mutex_msg_u16(s.buf, 0);
    s.bad |= mutex_msg_text(s.buf, text, text != NULL ? strlen(text) : 0);
    msg_end(core, &s, to);
}

void msg_bytes(struct mutex_core *core, const struct boot_id *to, const struct buf *bytes)
{
    struct sending s = {.buf = is_self(core, to) ? &core->loop : &core->out};
    static const uint8_t size[4];

    s.from = s.size_at = s.buf->len;
    s.bad = buf_append(s.buf, size, sizeof(size)) | buf_append(s.buf, bytes->data, bytes->len);
    msg_end(core, &s, to);
}

/* ---- timers ---- */

static uint64_t waiting_due_ms(const struct mutex_core *core, const struct mutex *m)
{
    uint64_t due = UINT64_MAX;
    if (m->want)
        due = min_u64(due, m->req_next_ms);
    if (m->queue || m->releasing_n > 0 || m->waiting_n > 0) {
        list_for_each (it, &m->waiting) {
            const struct waiter *w = container_of(it, struct waiter, link);
            if (m->queue && m->state == IN && lease_valid(core, m))
                due = min_u64(due, w->next_ms);
            due = min_u64(due, w->probe_ms);
        }
        list_for_each (it, &m->releasing)
            due = min_u64(due, container_of(it, struct waiter, link)->next_ms);
    }
    if (m->held_n > 0) { /* a warning, before the lease ends */
        uint64_t left = lease_left_ms(core, m);
        list_for_each (it, &m->held) {
            if (!container_of(it, struct waiter, link)->warned && left != 0)
                due = min_u64(due,
                              core->now_ms +
                                  (left > core->config.warn_ms ? left - core->config.warn_ms : 0));
        }
    }
    return due;
}

static uint64_t mutex_due_ms(const struct mutex_core *core, const struct mutex *m)
{
    uint64_t due = waiting_due_ms(core, m);

    if (m->transit)
        due = min_u64(due, m->transit_next_ms);
    if (m->tack.due_ms != 0)
        due = min_u64(due, m->tack.due_ms);
    if (m->ask == 0 && (m->want_read || m->step != STEP_NONE || m->want_leave || m->want_sweep ||
                        (m->state == OUT && m->waiting_n > 0)))
        due = min_u64(due, m->retry_ms > core->now_ms ? m->retry_ms : core->now_ms + 50);
    if (m->home != NULL)
        due = min_u64(due, m->home->next_ms);
    uint64_t idle = m->used_ms + core->config.idle_ms;
    if (idle <= core->now_ms) /* it cannot leave yet, or is to be forgotten */
        idle = core->now_ms + core->config.idle_ms / 4 + 1;
    return min_u64(due, idle);
}

void mutex_touch(struct mutex_core *core, struct mutex *m)
{
    uint64_t due = mutex_due_ms(core, m);
    /* A timer that is too early does no harm: it is set anew when it comes. */
    if (!heap_contains(&m->timer) || due < m->timer.key)
        (void)heap_set(&core->timers, &m->timer, due);
}

static void warn_holders(struct mutex_core *core, struct mutex *m)
{
    uint64_t left = lease_left_ms(core, m);
    list_for_each (it, &m->held) {
        struct waiter *w = container_of(it, struct waiter, link);
        if (left > core->config.warn_ms) {
            w->warned = false;
        } else if (!w->warned && w->tell == TELL_NOTHING) {
            struct mutex_action *action = mutex_act(core, MUTEX_WARN_LEASE);
            if (action == NULL)
                return;
            action->waiter = w->id;
            action->left_ms = left;
            w->warned = true;
        }
    }
}

static void mutex_tick(struct mutex_core *core, struct mutex *m)
{
    if (m->held_n > 0)
        warn_holders(core, m);
    if (m->state == IN && core->now_ms >= m->used_ms + core->config.idle_ms && m->waiting_n == 0 &&
        m->held_n == 0 && m->releasing_n == 0)
        m->want_leave = true;
    token_tick(core, m);
    queue_tick(core, m);
    probe_tick(core, m);
    if (m->home != NULL)
        home_step(core, m);
    record_work(core, m);
    if (mutex_unused(m) && mutex_home_unused(core, m) &&
        core->now_ms >= m->used_ms + core->config.idle_ms) {
        if (m->want_read || m->want_sweep || m->want_leave)
            mutex_touch(core, m);
        else
            mutex_destroy(core, m);
        return;
    }
    mutex_touch(core, m);
}

static void tick(struct mutex_core *core)
{
    lease_tick(core);
    token_pass_due(core);
    for (struct heap_node *node;
         (node = heap_first(&core->deadlines)) != NULL && node->key <= core->now_ms;) {
        struct waiter *w = container_of(node, struct waiter, deadline);
        heap_remove(&core->deadlines, node);
        core->stats.timeouts++;
        char holder[300];
        token_holder_text(core, w->mutex, holder, sizeof(holder));
        local_end(
            core, w, KITH_E_TIMEOUT,
            "the mutex '%s' could not be had in time%s; wait longer, or see who holds it with "
            "`kith lock info`",
            w->mutex->name, holder);
    }
    /* Not more than there are: who asks for a time that is past would be served for ever. */
    for (size_t n = core->timers.n; n > 0; n--) {
        struct heap_node *node = heap_first(&core->timers);
        if (node == NULL || node->key > core->now_ms)
            return;
        heap_remove(&core->timers, node);
        mutex_tick(core, container_of(node, struct mutex, timer));
    }
}

uint64_t mutex_deadline_ms(const struct mutex_core *core)
{
    uint64_t due = min_u64(lease_deadline_ms(core), ask_deadline_ms(core));
    const struct heap_node *node = heap_first(&core->timers);
    if (node != NULL)
        due = min_u64(due, node->key);
    node = heap_first(&core->deadlines);
    if (node != NULL)
        due = min_u64(due, node->key);
    return list_empty(&core->tells) && list_empty(&core->passing) ? due : 0;
}

/* ---- the step ---- */

static int
recv_message(struct mutex_core *core, const struct boot_id *from, const uint8_t *data, size_t len)
{
    struct mutex_msg msg;
    if (mutex_msg_decode(&msg, data, len) != 0) {
        core->stats.bad_frames++;
        return KITH_E_CORRUPT;
    }
    if (msg.type == MSG_LEASE || msg.type == MSG_LEASED) {
        lease_recv(core, from, &msg);
        return 0;
    }
    struct mutex *m = mutex_find_name(core, msg.name, msg.name_len);
    bool to_home = msg.type == MSG_DOUBT || msg.type == MSG_QREQ || msg.type == MSG_BREAK ||
                   msg.type == MSG_QREL || msg.type == MSG_RECOVER;
    if (m == NULL && to_home) {
        m = mutex_make(core, msg.name, msg.name_len);
        if (m == NULL)
            core->stats.refused++;
    }
    if (m == NULL && msg.type != MSG_ASK && msg.type != MSG_TELL && msg.type != MSG_BROKEN)
        return 0;
    switch (msg.type) {
    case MSG_REQ:
    case MSG_TOK:
    case MSG_TACK:
    case MSG_HOLD:
    case MSG_RECOVER:
    case MSG_GRANT:
    case MSG_NEWER:
    case MSG_LEFT:
        token_recv(core, m, from, &msg);
        break;
    case MSG_QREQ:
    case MSG_QGRANT:
    case MSG_QTOOK:
    case MSG_QREL:
    case MSG_QACK:
        queue_recv(core, m, from, &msg);
        break;
    case MSG_DOUBT:
    case MSG_REPORT:
    case MSG_GACK:
    case MSG_BREAK:
        home_recv(core, m, from, &msg);
        break;
    default:
        ask_recv(core, m, from, &msg);
        break;
    }
    if (m != NULL)
        mutex_touch(core, m);
    return 0;
}

/* What this node says to itself, until it has no more to say. */
static void loop_messages(struct mutex_core *core)
{
    for (int rounds = 0; core->loop.len > 0 && rounds < 64; rounds++) {
        struct buf now = core->loop;
        core->loop = core->said;
        core->loop.len = 0;
        for (size_t at = 0; at + 4 <= now.len;) {
            uint32_t len = get_le32(now.data + at);
            (void)recv_message(core, &core->config.self, now.data + at + 4, len);
            at += 4 + len;
        }
        core->said = now;
    }
}

static void stop(struct mutex_core *core)
{
    list_for_each (it, &core->mutexes) {
        struct mutex *m = container_of(it, struct mutex, link);
        local_end_all(core, m, KITH_E_STOPPED, "this node stops");
        list_for_each_safe (held, &m->held) {
            struct waiter *w = container_of(held, struct waiter, link);
            local_lose(core, w, "this node stops");
        }
        if (m->token)
            token_left(core, m);
        token_tack(core, m);
    }
    token_pass_due(core);
}

static int
dispatch(struct mutex_core *core, const struct mutex_event *event, struct mutex_output *out)
{
    switch (event->type) {
    case MUTEX_TICK:
        tick(core);
        break;
    case MUTEX_PLACEMENT:
        lease_placement(core, event->u.placement);
        break;
    case MUTEX_LEASE:
        lease_set(core, event->u.lease_until_ms);
        break;
    case MUTEX_QUORUM:
        core->quorum = event->u.quorum;
        if (core->quorum)
            break;
        list_for_each (it, &core->mutexes) {
            struct mutex *m = container_of(it, struct mutex, link);
            if (m->state == OUT || !lease_valid(core, m))
                local_end_all(core, m, KITH_E_NO_QUORUM,
                              "not enough nodes can be reached to say who holds it");
        }
        break;
    case MUTEX_PEER_UP:
    case MUTEX_PEER_DOWN:
        lease_peer(core, &event->u.peer.boot, event->type == MUTEX_PEER_UP, event->u.peer.left);
        break;
    case MUTEX_LINK_UP:
        break; /* what is unanswered is sent again within half a second */
    case MUTEX_RECV:
        return recv_message(core, &event->u.recv.from, event->u.recv.data, event->u.recv.len);
    case MUTEX_RECORD:
        record_answer(core, event);
        break;
    case MUTEX_RECORD_SEEN:
        return record_seen(core, event);
    case MUTEX_ACQUIRE:
        local_acquire(core, &event->u.acquire);
        break;
    case MUTEX_RELEASE:
    case MUTEX_CANCEL:
        out->code = local_release(core, event->u.waiter, event->type == MUTEX_CANCEL);
        if (out->code != 0)
            out->text = core->text;
        break;
    case MUTEX_OWNER_GONE:
        local_owner_gone(core, event->u.owner);
        break;
    case MUTEX_BREAK:
    case MUTEX_QUERY:
        ask_query(core, event);
        break;
    case MUTEX_STOP:
        stop(core);
        break;
    }
    return 0;
}

int mutex_step(struct mutex_core *core, const struct mutex_event *event, struct mutex_output *out)
{
    core->actions_n = 0;
    core->out.len = 0;
    core->loop.len = 0;
    *out = (struct mutex_output){0};
    local_recycle(core);
    ask_recycle(core);
    if (event->now_ms > core->now_ms)
        core->now_ms = event->now_ms;
    lease_check(core);
    int code = dispatch(core, event, out);
    if (core->loop.len > 0)
        loop_messages(core);
    if (core->queries_n > 0) {
        ask_progress(core);
        if (core->loop.len > 0)
            loop_messages(core);
        ask_progress(core);
    }
    local_emit(core);
    for (size_t i = 0; i < core->actions_n; i++) {
        struct mutex_action *action = &core->actions[i];
        if (action->type == MUTEX_SEND || (action->type == MUTEX_RECORD_CAS && action->len > 0))
            action->data =
                action->type == MUTEX_SEND ? core->out.data + action->version : action->data;
    }
    out->actions = core->actions;
    out->actions_n = core->actions_n;
    return code;
}
