#include "rpc/serve.h"

#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/text.h"
#include "net/frame.h"
#include "rpc/actions.h"
#include "rpc/calls.h"
#include "rpc/export.h"
#include "rpc/item.h"
#include "rpc/registry.h"
#include "rpc/session.h"
#include "rpc/watch.h"

/* Runs of a function that must have been seen before its speed is believed. */
#define SAMPLES_MIN 8

void serves_init(struct rpc_core *core)
{
    pool_init(&core->serves, sizeof(struct rpc_serve));
    list_init(&core->retired);
    list_init(&core->sent);
    list_init(&core->ready);
    list_init(&core->ready_deferred);
    list_init(&core->live);
    list_init(&core->unsent);
    list_init(&core->kept);
    list_init(&core->oversize);
    list_init(&core->sessions);
}

static void serve_free(struct rpc_core *core, struct rpc_serve *serve)
{
    block_unref(core, serve->arg_block);
    block_unref(core, serve->reply_block);
    serve->state = SERVE_FREE;
    pool_give(&core->serves, serve);
}

void serves_recycle(struct rpc_core *core)
{
    struct list *node;
    while ((node = list_first(&core->retired)) != NULL) {
        list_remove(node);
        serve_free(core, container_of(node, struct rpc_serve, link));
    }
}

void serves_deinit(struct rpc_core *core)
{
    serves_recycle(core);
    struct list *node;
    while ((node = list_first(&core->live)) != NULL) {
        list_remove(node);
        serve_free(core, container_of(node, struct rpc_serve, live));
    }
    pool_deinit(&core->serves);
}

/* ---- admission ---- */

/* Will it have to wait longer than it may? Judged by how long the function took lately. */
static bool
comes_too_late(const struct rpc_core *core, const struct rpc_export *fn, uint64_t deadline_ns)
{
    if (deadline_ns == UINT64_MAX)
        return false;
    if (deadline_ns <= core->now_ns)
        return true;
    if (fn->queued == 0 || fn->samples < SAMPLES_MIN)
        return false;
    uint64_t places = core->config.workers;
    if (fn->desc.parallel != 0 && fn->desc.parallel < places)
        places = fn->desc.parallel;
    if ((fn->desc.flags & KITH_FN_DEFERRED) != 0)
        places = fn->desc.parallel != 0 ? fn->desc.parallel : fn->queued;
    return fn->run_ns / places * fn->queued > deadline_ns - core->now_ns;
}

int serve_admit(struct rpc_core *core,
                const struct rpc_export *fn,
                const struct session *session,
                size_t arg_len,
                uint64_t deadline_ns,
                const char **text_out)
{
    const char *name = fn->desc.name;
    if (core->stopped) {
        *text_out = "the node is stopping; nothing ran; call another node";
        return KITH_E_STOPPED;
    }
    if (comes_too_late(core, fn, deadline_ns)) {
        *text_out = arena_text(core,
                               "the deadline comes before '%s' could start (%u calls wait for it); "
                               "nothing ran; call with more time",
                               name, fn->queued);
        return KITH_E_TIMEOUT;
    }
    bool inlined = (fn->desc.flags & KITH_FN_INLINE) != 0;
    if (!inlined && (fn->queued >= fn->queue_max ||
                     core->queued_n + core->running_n >= core->config.queue_node_max)) {
        core->stats.busy++;
        *text_out =
            arena_text(core,
                       "the queue is full (%u calls wait for '%s', %u on the node); nothing "
                       "ran; call again later, or offer it on more nodes",
                       fn->queued, name, core->queued_n);
        return KITH_E_BUSY;
    }
    if (core->args_bytes + arg_len > RPC_ARGS_HELD_BYTES_MAX ||
        (session != NULL && session->args_bytes + arg_len > RPC_ARGS_HELD_SESSION_BYTES_MAX)) {
        core->stats.busy++;
        *text_out = arena_text(core,
                               "the arguments of waiting calls fill the memory set aside for them "
                               "(%zu MiB held); nothing ran; call again later",
                               core->args_bytes / (1024 * 1024));
        return KITH_E_BUSY;
    }
    return 0;
}

struct rpc_serve *serve_arrived(struct rpc_core *core, struct rpc_export *fn)
{
    struct rpc_serve *serve = pool_take(&core->serves);
    if (serve == NULL)
        return NULL;
    zero_fast(serve, offsetof(struct rpc_serve, caller));
    serve->timer.kind = TIMER_SERVE;
    serve->user = NULL;
    serve->exported = fn;
    serve->deadline_ns = UINT64_MAX;
    serve->pooled = (fn->desc.flags & (KITH_FN_INLINE | KITH_FN_DEFERRED)) == 0;
    return serve;
}

/* ---- running ---- */

static void hold_arg(struct rpc_core *core, struct rpc_serve *serve)
{
    core->args_bytes += serve->arg_len;
    if (serve->session != NULL) {
        serve->session->args_bytes += serve->arg_len;
        serve->session->live_n++;
        list_append(&serve->session->live, &serve->live);
    } else {
        list_append(&core->live, &serve->live);
    }
}

/* It neither waits nor runs any more. */
static void release_arg(struct rpc_core *core, struct rpc_serve *serve)
{
    core->args_bytes -= serve->arg_len;
    if (serve->session != NULL) {
        serve->session->args_bytes -= serve->arg_len;
        serve->session->live_n--;
    }
    list_remove(&serve->live);
}

static void arm(struct rpc_core *core, struct rpc_serve *serve)
{
    /* Local calls have the deadline of their struct call. */
    if (serve->local == NULL && serve->deadline_ns != UINT64_MAX && !serve->timer.set)
        timer_set(core, &serve->timer, (serve->deadline_ns + NS_PER_MS - 1) / NS_PER_MS);
}

void serve_run(struct rpc_core *core, struct rpc_serve *serve)
{
    struct rpc_export *fn = serve->exported;
    serve->state = SERVE_RUNNING;
    serve->started_ns = core->now_ns;
    fn->running++;
    core->running_n++;
    if (serve->pooled)
        core->pooled_n++;
    if ((fn->desc.flags & KITH_FN_INLINE) == 0)
        arm(core, serve);
    struct rpc_action *action = action_add(core, RPC_RUN);
    assert(action != NULL);
    action->serve = serve;
}

void serve_start(struct rpc_core *core, struct rpc_serve *serve)
{
    struct rpc_export *fn = serve->exported;
    hold_arg(core, serve);
    bool inlined = (fn->desc.flags & KITH_FN_INLINE) != 0;
    if ((inlined || (fn->queued == 0 && export_can_run(core, fn))) && action_room(core)) {
        serve_run(core, serve);
        return;
    }
    serve->state = SERVE_QUEUED;
    list_append(&fn->queue, &serve->link);
    fn->queued++;
    core->queued_n++;
    arm(core, serve);
    export_ready(core, fn);
}

void serve_unqueue(struct rpc_core *core, struct rpc_serve *serve)
{
    assert(serve->state == SERVE_QUEUED);
    list_remove(&serve->link);
    serve->exported->queued--;
    core->queued_n--;
}

void serve_retire(struct rpc_core *core, struct rpc_serve *serve)
{
    timer_cancel(core, &serve->timer);
    assert(!serve->in_slot);
    serve->session = NULL;
    serve->local = NULL;
    serve->state = SERVE_RETIRED;
    list_append(&core->retired, &serve->link);
}

int serve_local(struct rpc_core *core,
                struct call *call,
                struct rpc_export *fn,
                const char **text_out)
{
    uint64_t deadline_ns =
        call->deadline_ms == UINT64_MAX ? UINT64_MAX : call->deadline_ms * NS_PER_MS;
    int r = serve_admit(core, fn, NULL, call->arg_len, deadline_ns, text_out);
    if (r != 0)
        return r;
    struct rpc_serve *serve = serve_arrived(core, fn);
    if (serve == NULL)
        return KITH_E_MEMORY;
    serve->local = call;
    serve->caller = core->config.self;
    serve->deadline_ns = deadline_ns;
    serve->cast = call->cast;
    serve->partials = call->partials;
    serve->item = call->item;
    serve->arg_len = call->arg_len;
    if (call->arg_block != NULL) {
        serve->arg = call->arg;
        serve->arg_block = call->arg_block;
        call->arg_block->refs++;
    } else {
        memcpy(serve->data, call->arg, call->arg_len);
        serve->arg = serve->data;
    }
    call->serve = serve;
    if (call->cast) {
        /* From here on it belongs to nobody. */
        serve->local = NULL;
        serve->dropped = true;
        call->serve = NULL;
    }
    serve_start(core, serve);
    if (call->cast)
        call_end(core, call, KITH_OUTCOME_OK, 0, (struct kith_bytes){0}, "");
    return 0;
}

static void abort_run(struct rpc_core *core, struct rpc_serve *serve)
{
    if (serve->aborted)
        return;
    struct rpc_action *action = action_add(core, RPC_ABORT);
    if (action == NULL)
        return; /* advisory */
    serve->aborted = true;
    action->serve = serve;
}

void serve_abandon(struct rpc_core *core, struct rpc_serve *serve)
{
    serve->dropped = true;
    serve->local = NULL;
    if (serve->state == SERVE_QUEUED) {
        struct rpc_export *fn = serve->exported;
        core->stats.cancelled++;
        serve_unqueue(core, serve);
        release_arg(core, serve);
        serve_retire(core, serve);
        export_ready(core, fn);
        export_settle(core, fn);
    } else if (serve->state == SERVE_RUNNING) {
        core->stats.cancelled++;
        timer_cancel(core, &serve->timer);
        abort_run(core, serve);
    }
}

void serve_refuse(struct rpc_core *core, struct rpc_serve *serve, int code, const char *text)
{
    struct rpc_export *fn = serve->exported;
    serve_unqueue(core, serve);
    release_arg(core, serve);
    if (serve->local != NULL) {
        struct call *call = serve->local;
        call->serve = NULL;
        serve_retire(core, serve);
        calls_try_failed(core, call, KITH_OUTCOME_NOT_EXECUTED, code, text);
    } else {
        session_refuse(core, serve, code, text);
    }
    if (!fn->withdrawn)
        export_ready(core, fn);
}

void serve_on_timer(struct rpc_core *core, struct rpc_serve *serve)
{
    if (serve->state == SERVE_QUEUED)
        serve_refuse(
            core, serve, KITH_E_TIMEOUT,
            "the deadline passed while the call waited for its turn; nothing ran; call with "
            "more time");
    else if (serve->state == SERVE_RUNNING)
        abort_run(core, serve);
}

/* ---- the end ---- */

/* The reply may be a part of the argument, which lies in the same place. */
static void reply_inline(struct rpc_serve *serve, const uint8_t *data, size_t len)
{
    if (data + len <= serve->data || data >= serve->data + sizeof(serve->data))
        copy_small(serve->data, data, len);
    else if (data != serve->data)
        memmove(serve->data, data, len);
}

static void
take_reply(struct rpc_core *core, struct rpc_serve *serve, const struct rpc_event *event)
{
    struct kith_bytes reply = event->u.done.reply;
    uint8_t *owned = event->u.done.reply_owned;
    struct block *arg = serve->arg_block;
    const uint8_t *data = reply.data;
    serve->reply_len = reply.len;
    if (reply.len <= RPC_INLINE_BYTES) {
        if (reply.len > 0)
            reply_inline(serve, data, reply.len);
        serve->reply = serve->data;
        core_free(owned);
        return;
    }
    if (owned == NULL && arg != NULL && data >= arg->data &&
        data + reply.len <= arg->data + arg->len) {
        /* Part of a large argument: shared, not copied. */
        serve->reply = data;
        serve->reply_block = arg;
        arg->refs++;
        return;
    }
    if (owned == NULL) {
        owned = core_malloc(reply.len);
        if (owned != NULL)
            memcpy(owned, data, reply.len);
        data = owned;
    }
    serve->reply = data;
    serve->reply_block = owned != NULL ? block_new(core, owned, reply.len) : NULL;
    if (serve->reply_block == NULL) {
        static const char text[] =
            "the function ran, but memory for its reply is short on its node; "
            "look before you call again unless it is idempotent";
        serve->outcome = KITH_OUTCOME_UNKNOWN;
        serve->code = KITH_E_MEMORY;
        serve->reply = (const uint8_t *)text;
        serve->reply_len = sizeof(text) - 1;
    }
}

static void
set_outcome(struct rpc_core *core, struct rpc_serve *serve, const struct rpc_event *event)
{
    serve->outcome = (uint8_t)event->u.done.outcome;
    serve->code = event->u.done.code;
    if (event->u.done.reply.len > core->config.body_bytes_max) {
        core_free(event->u.done.reply_owned);
        const char *text = arena_text(core,
                                      "the function ran, but its reply has %zu bytes and the limit "
                                      "is %u; reply with a reference to the data",
                                      event->u.done.reply.len, core->config.body_bytes_max);
        size_t len = strlen(text) < RPC_INLINE_BYTES ? strlen(text) : RPC_INLINE_BYTES;
        serve->outcome = KITH_OUTCOME_APP_ERROR;
        serve->code = KITH_E_TOO_LARGE;
        memcpy(serve->data, text, len);
        serve->reply = serve->data;
        serve->reply_len = len;
        return;
    }
    if (serve->outcome == KITH_OUTCOME_APP_ERROR && core->now_ns >= serve->deadline_ns) {
        /* Most likely it stopped because its time was up, which is no error of its own. */
        static const char text[] = "the deadline passed while it ran, and it stopped; look before "
                                   "you call again unless it is idempotent, or call with more time";
        core_free(event->u.done.reply_owned);
        serve->outcome = KITH_OUTCOME_UNKNOWN;
        serve->code = KITH_E_TIMEOUT;
        serve->reply = (const uint8_t *)text;
        serve->reply_len = sizeof(text) - 1;
        return;
    }
    take_reply(core, serve, event);
}

/* What it failed with, for people: its text as far as it is one and there is room. */
static void note_error(struct rpc_core *core, const struct rpc_serve *serve)
{
    struct rpc_recent *recent = &serve->exported->recent;
    const char *text = (const char *)serve->reply;
    size_t at = 0, next = 1;

    while (at < serve->reply_len && at < sizeof(recent->error_text) && next > 0) {
        next = text_utf8_char(text + at, serve->reply_len - at);
        if (at + next > sizeof(recent->error_text))
            break;
        at += next;
    }
    if (next == 0)
        at = (size_t)snprintf(recent->error_text, sizeof(recent->error_text),
                              "(%zu bytes that are no text)", serve->reply_len);
    else if (at > 0)
        memcpy(recent->error_text, text, at);
    recent->error_len = (uint32_t)at;
    recent->error_code = serve->code;
    recent->error_unix_ms = core->now_unix_ms;
}

static void count_run(struct rpc_core *core, struct rpc_serve *serve)
{
    struct rpc_export *fn = serve->exported;
    uint64_t run_ns = core->now_ns - serve->started_ns;
    fn->run_ns = fn->samples == 0 ? run_ns : (fn->run_ns * 7 + run_ns) / 8;
    if (fn->samples < SAMPLES_MIN)
        fn->samples++;
    fn->entry.calls_n++;
    rate_add(&fn->recent.calls, core->now_ms);
    registry_note_run(core);
    core->stats.served++;
    if (serve->outcome != KITH_OUTCOME_OK) {
        fn->entry.errors_n++;
        rate_add(&fn->recent.errors, core->now_ms);
        note_error(core, serve);
        core->stats.served_errors++;
    }
}

static void finish_local(struct rpc_core *core, struct rpc_serve *serve)
{
    struct call *call = serve->local;
    struct kith_bytes reply = {.data = serve->reply, .len = serve->reply_len};
    enum kith_outcome outcome = (enum kith_outcome)serve->outcome;
    int code = serve->code;
    serve_retire(core, serve);
    calls_local_done(core, call, outcome, code, reply);
}

void serve_on_done(struct rpc_core *core, const struct rpc_event *event)
{
    struct rpc_serve *serve = event->u.done.serve;
    struct rpc_export *fn = serve->exported;
    assert(serve->state == SERVE_RUNNING);
    uint8_t digest[16];
    bool watched = completion_wanted(fn);
    if (watched)
        completion_digest(serve, digest); /* the reply may overwrite the argument */
    set_outcome(core, serve, event);
    timer_cancel(core, &serve->timer);
    release_arg(core, serve);
    fn->running--;
    core->running_n--;
    if (serve->pooled)
        core->pooled_n--;
    serve->done_ns = core->now_ns;
    count_run(core, serve);
    if (watched)
        completion_report(core, serve, digest);
    serve->state = SERVE_DONE;
    if (serve->local != NULL)
        finish_local(core, serve);
    else
        session_result(core, serve);
    if (fn->queued > 0)
        export_ready(core, fn);
    export_settle(core, fn);
}

void serve_on_partial(struct rpc_core *core, struct rpc_serve *serve, struct kith_bytes data)
{
    assert(serve->state == SERVE_RUNNING);
    if (!serve->partials || serve->dropped)
        return;
    if (data.len > RPC_PARTIAL_BYTES_MAX) {
        core->out->code = KITH_E_TOO_LARGE;
        return;
    }
    if (serve->local != NULL) {
        struct rpc_action *action = action_add(core, RPC_PARTIAL_IN);
        if (action != NULL) {
            action->token = serve->local->token;
            action->body = data;
        }
        return;
    }
    uint8_t *head = arena_alloc(&core->arena, WIRE_PARTIAL_BYTES);
    if (head == NULL || serve->session == NULL)
        return;
    struct wire_partial partial = {
        .no = serve->no, .boot = (uint32_t)serve->session->boot_no, .slot = serve->slot};
    wire_partial_encode(&partial, head);
    struct rpc_action *action =
        action_send(core, serve->session->peer, FRAME_PARTIAL, head, WIRE_PARTIAL_BYTES);
    if (action != NULL)
        action_body(action, data.data, data.len, NULL);
}

void serves_on_stop(struct rpc_core *core)
{
    list_for_each (node, &core->export_list) {
        struct rpc_export *fn = container_of(node, struct rpc_export, link);
        struct list *first;
        while ((first = list_first(&fn->queue)) != NULL && action_room(core))
            serve_refuse(core, container_of(first, struct rpc_serve, link), KITH_E_STOPPED,
                         "the node is stopping; nothing ran; call another node");
    }
    for (size_t i = 0; i < core->peers_n; i++) {
        if (core->peers[i]->session == NULL)
            continue;
        list_for_each (node, &core->peers[i]->session->live) {
            struct rpc_serve *serve = container_of(node, struct rpc_serve, live);
            if (serve->state == SERVE_RUNNING)
                abort_run(core, serve);
        }
    }
}

/* ---- for the driver ---- */

struct rpc_export *rpc_serve_export(const struct rpc_serve *serve)
{
    return serve->exported;
}

void rpc_serve_took(struct rpc_serve *serve, uint64_t ns)
{
    spread_add(&serve->exported->times, ns);
}

struct kith_bytes rpc_serve_arg(const struct rpc_serve *serve)
{
    struct rpc_item item;
    size_t head = 0;

    if (serve->item && rpc_item_decode(&item, serve->arg, serve->arg_len))
        head = rpc_item_bytes(item.state_bytes);
    return (struct kith_bytes){.data = serve->arg + head, .len = serve->arg_len - head};
}

uint64_t rpc_serve_deadline_ns(const struct rpc_serve *serve)
{
    return serve->deadline_ns;
}

bool rpc_serve_item(const struct rpc_serve *serve,
                    struct rpc_item *item_out,
                    const void **state_out)
{
    if (!serve->item || !rpc_item_decode(item_out, serve->arg, serve->arg_len))
        return false;
    *state_out = serve->arg + RPC_ITEM_HEAD_BYTES;
    return true;
}

uint64_t rpc_serve_caller_boot(const struct rpc_serve *serve)
{
    return serve->session != NULL ? serve->session->boot_no : 0;
}

struct kith_node_id rpc_serve_caller(const struct rpc_serve *serve)
{
    return serve->caller;
}

void rpc_serve_set_user(struct rpc_serve *serve, void *user)
{
    serve->user = user;
}

void *rpc_serve_user(const struct rpc_serve *serve)
{
    return serve->user;
}
