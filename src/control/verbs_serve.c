/*
 * The verb fn.serve: a client of the socket serves a function.
 *
 * All clients that serve one name share one export. A call becomes a `run`: it waits in the
 * function's queue until a client has room, is sent to it as fn.run, and ends with its answer.
 */
#include <string.h>

#include "control/request.h"
#include "control/server.h"
#include "core/alloc.h"
#include "core/error.h"
#include "member/member.h"
#include "node/serve.h"

struct served; /* a name */

struct run {
    struct list link; /* in served.waiting or server.running */
    struct served *served;
    struct server *server; /* who runs it; NULL: it waits */
    struct control_asked *asked;
    struct kith_ctx *ctx;
    const void *arg;
    size_t arg_len;
};

/* One client that serves. */
struct server {
    struct list link; /* in served.servers */
    struct served *served;
    struct control_request *request;
    uint32_t parallel;
    uint32_t running_n;
    struct list running;
};

struct served {
    struct list link; /* in all_served of its node */
    struct kith_node *node;
    char name[KITH_NAME_BYTES_MAX + 1];
    char signature[RPC_SIGNATURE_BYTES_MAX + 1];
    struct list servers;
    struct list waiting;
    unsigned waiting_n;
};

static void serve_next(struct served *served);

/* ---- runs ---- */

static void run_free(struct run *run)
{
    list_remove(&run->link);
    if (run->server != NULL)
        run->server->running_n--;
    else
        run->served->waiting_n--;
    core_free(run);
}

/* A deferred call must end: what cannot be said for lack of memory is at least not left open. */
static void end_failed(struct kith_ctx *ctx, int code, const char *text)
{
    if (kith_fail(ctx, code, text) != 0)
        node_ctx_lost(ctx, "memory is short at the agent");
}

static void on_answer(void *user, const json_t *message, const uint8_t *data, size_t len)
{
    struct run *run = user;
    struct served *served = run->served;
    const json_t *result = json_object_get(message, "result");
    const char *outcome = json_string_value(json_object_get(result, "outcome"));

    run->asked = NULL;
    if (outcome != NULL && strcmp(outcome, "OK") == 0) {
        if (kith_reply(run->ctx, data, len) != 0)
            end_failed(run->ctx, 1, kith_errmsg());
    } else if (message == NULL) {
        /* The client went away in the middle. */
        node_ctx_lost(run->ctx, "the program that served the function went away while it ran");
    } else {
        const char *text = json_string_value(json_object_get(result, "text"));
        json_int_t code = json_integer_value(json_object_get(result, "code"));
        if (text == NULL)
            text = json_string_value(json_object_get(json_object_get(message, "error"), "message"));
        end_failed(run->ctx, code > 0 && code < INT32_MAX ? (int)code : 1,
                   text != NULL ? text : "the program that serves the function gave no reason");
    }
    run_free(run);
    if (message != NULL)
        serve_next(served);
}

/* Nobody waits for it any more: it leaves the queue, or its client is told. */
static void on_cancel(struct kith_ctx *ctx, void *user)
{
    struct run *run = user;
    struct buf args = {0};

    (void)ctx;
    if (run->server == NULL) {
        end_failed(run->ctx, 1, "cancelled");
        run_free(run);
        return;
    }
    if (run->asked != NULL && buf_printf(&args, "{\"id\":\"a%llu\"}",
                                         (unsigned long long)control_asked_no(run->asked)) == 0)
        control_tell(run->server->request, "fn.abort", &args);
    buf_deinit(&args);
}

static int put_args(struct buf *args, const struct run *run)
{
    struct json json = json_begin(args);
    struct kith_node_id caller = kith_ctx_caller(run->ctx);
    const struct member *member = member_find(node_members(run->served->node), &caller);
    uint64_t remaining_ms = kith_ctx_remaining_ms(run->ctx);

    json_object_begin(&json);
    json_kv_text(&json, "fn", run->served->name);
    json_kv_id(&json, "caller", &caller);
    json_kv_text(&json, "caller_name", member != NULL ? member->shown_name : "");
    if (remaining_ms != UINT64_MAX)
        json_kv_u64(&json, "deadline_ms", remaining_ms);
    json_object_end(&json);
    return json_end(&json);
}

static void run_on(struct run *run, struct server *server)
{
    struct buf args = {0};

    list_remove(&run->link);
    run->served->waiting_n--;
    run->server = server;
    server->running_n++;
    list_append(&server->running, &run->link);
    if (put_args(&args, run) == 0)
        run->asked =
            control_ask(server->request, "fn.run", &args, run->arg, run->arg_len, on_answer, run);
    buf_deinit(&args);
    if (run->asked == NULL) {
        node_ctx_refuse(run->ctx, "memory is short at the agent; nothing ran");
        run_free(run);
    }
}

/* The client with room and the fewest runs. */
static struct server *freest(struct served *served)
{
    struct server *best = NULL;

    list_for_each (it, &served->servers) {
        struct server *server = container_of(it, struct server, link);
        if (server->running_n < server->parallel && control_can_ask(server->request) &&
            (best == NULL || server->running_n < best->running_n))
            best = server;
    }
    return best;
}

static void serve_next(struct served *served)
{
    struct list *link;
    struct server *server;

    while ((link = list_first(&served->waiting)) != NULL && (server = freest(served)) != NULL)
        run_on(container_of(link, struct run, link), server);
}

static int served_fn(struct kith_ctx *ctx, const void *arg, size_t arg_len, void *user)
{
    struct served *served = user;
    struct run *run = core_calloc(1, sizeof(*run));

    if (run == NULL)
        return kith_fail(ctx, 1, "memory is short at the agent");
    *run = (struct run){.served = served, .ctx = ctx, .arg = arg, .arg_len = arg_len};
    list_append(&served->waiting, &run->link);
    served->waiting_n++;
    kith_ctx_on_cancel(ctx, on_cancel, run);
    serve_next(served);
    return KITH_PENDING;
}

/* ---- names ---- */

static struct served *served_find(struct control_server *control, const char *name)
{
    list_for_each (it, &control->served) {
        struct served *served = container_of(it, struct served, link);
        if (strcmp(served->name, name) == 0)
            return served;
    }
    return NULL;
}

/* As many at once as all its clients take; the others wait in the queue of the core. */
static void set_parallel(struct served *served)
{
    uint64_t parallel = 0;
    list_for_each (it, &served->servers) {
        parallel += container_of(it, struct server, link)->parallel;
    }
    node_export_set_parallel(served->node, served->name,
                             parallel < UINT32_MAX ? (uint32_t)parallel : UINT32_MAX);
}

static void free_later(struct kith_node *node, void *served)
{
    (void)node;
    core_free(served);
}

static void served_free(struct served *served)
{
    list_remove(&served->link);
    while (!list_empty(&served->waiting)) {
        struct run *run = container_of(list_first(&served->waiting), struct run, link);
        node_ctx_refuse(run->ctx, "the last program that served the function has gone");
        run_free(run);
    }
    (void)!kith_unexport(served->node, served->name);
    /* A step that is under way may still have it in its actions. */
    if (node_post(served->node, free_later, served) != 0)
        log_warn(node_log(served->node), "control", "memory is short", NULL);
}

static void server_gone(struct control_request *request)
{
    struct server *server = request->state;
    struct served *served = server->served;

    list_remove(&server->link);
    while (!list_empty(&server->running)) {
        struct run *run = container_of(list_first(&server->running), struct run, link);
        struct control_asked *asked = run->asked;
        if (asked != NULL)
            control_asked_drop(asked);
        on_answer(run, NULL, NULL, 0);
    }
    core_free(server);
    control_request_unref(request);
    if (list_empty(&served->servers)) {
        served_free(served);
    } else {
        set_parallel(served);
        serve_next(served);
    }
}

static uint32_t parallel_of(const struct control_request *request)
{
    uint64_t parallel = control_u64(request, "parallel", 1);
    if (parallel == 0)
        return 1;
    return parallel < RPC_QUEUE_NODE_MAX ? (uint32_t)parallel : RPC_QUEUE_NODE_MAX;
}

static struct served *served_new(struct control_request *request, const char *name)
{
    const char *signature = control_text(request, "signature");
    struct served *served = core_calloc(1, sizeof(*served));

    if (served == NULL) {
        control_fail(request, KITH_E_MEMORY, NULL);
        return NULL;
    }
    served->node = request->node;
    list_init(&served->servers);
    list_init(&served->waiting);
    snprintf(served->name, sizeof(served->name), "%s", name);
    snprintf(served->signature, sizeof(served->signature), "%s",
             signature != NULL ? signature : "");
    struct kith_export fn = {
        .name = name,
        .version = control_text(request, "version"),
        .description = control_text(request, "description"),
        .signature = signature,
        .flags = KITH_FN_DEFERRED |
                 (control_bool(request, "idempotent", false) ? KITH_FN_IDEMPOTENT : 0u),
        .parallel = parallel_of(request),
        .fn = served_fn,
        .user = served,
    };
    int r = kith_export(request->node, &fn);
    if (r != 0) {
        control_fail(request, r, NULL);
        core_free(served);
        return NULL;
    }
    list_append(&control_server_of(request->node)->served, &served->link);
    return served;
}

static void fn_serve(struct control_request *request)
{
    const char *name = control_text_needed(request, "name");
    const char *signature = control_text(request, "signature");
    struct control_reply reply;

    if (name == NULL)
        return;
    struct served *served = served_find(control_server_of(request->node), name);
    if (served != NULL && signature != NULL && strcmp(served->signature, signature) != 0) {
        control_fail(request, KITH_E_SIGNATURE,
                     "another program of this agent serves the function with another signature; "
                     "use the same or another name");
        return;
    }
    if (served == NULL)
        served = served_new(request, name);
    if (served == NULL)
        return;
    struct server *server = core_calloc(1, sizeof(*server));
    if (server == NULL) {
        control_fail(request, KITH_E_MEMORY, NULL);
        if (list_empty(&served->servers))
            served_free(served);
        return;
    }
    server->served = served;
    server->request = control_request_ref(request);
    server->parallel = parallel_of(request);
    list_init(&server->running);
    list_append(&served->servers, &server->link);
    request->state = server;
    request->cancel = server_gone;
    set_parallel(served);
    control_reply_begin(&reply, request);
    json_kv_bool(&reply.json, "serving", true);
    control_reply_end(&reply, true, NULL, 0);
    serve_next(served);
}

const struct control_verb control_verbs_serve[] = {
    {.name = "fn.serve", .run = fn_serve},
    {0},
};
