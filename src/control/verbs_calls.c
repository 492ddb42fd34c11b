/* Verbs about functions: functions, call. */
#include <string.h>

#include "control/control.h"
#include "control/request.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/spread.h"
#include "rpc/rpc.h"

/* ---- functions ---- */

static void put_flags(struct json *json, uint32_t flags)
{
    json_key(json, "flags");
    json_array_begin(json);
    if ((flags & KITH_FN_IDEMPOTENT) != 0)
        json_text(json, "idempotent");
    if ((flags & KITH_FN_INLINE) != 0)
        json_text(json, "inline");
    if ((flags & KITH_FN_HIDDEN) != 0)
        json_text(json, "hidden");
    json_array_end(json);
}

static void put_servers(struct json *json, const struct kith_function_info *fns, size_t n)
{
    json_key(json, "nodes");
    json_array_begin(json);
    for (size_t i = 0; i < n; i++) {
        json_object_begin(json);
        json_kv_id(json, "id", &fns[i].node);
        json_kv_text(json, "name", fns[i].node_name);
        json_key(json, "calls");
        if (fns[i].calls_n == UINT64_MAX)
            json_write_null(json);
        else
            json_u64(json, fns[i].calls_n);
        json_key(json, "errors");
        if (fns[i].errors_n == UINT64_MAX)
            json_write_null(json);
        else
            json_u64(json, fns[i].errors_n);
        json_object_end(json);
    }
    json_array_end(json);
}

static void put_functions(struct control_request *request, const struct kith_function_list *list)
{
    const char *only = control_text(request, "name");
    bool hidden = control_bool(request, "hidden", false);
    struct control_reply reply;

    control_reply_begin(&reply, request);
    json_key(&reply.json, "functions");
    json_array_begin(&reply.json);
    for (size_t i = 0, n; i < list->functions_n; i += n) {
        const struct kith_function_info *fn = &list->functions[i];
        for (n = 1; i + n < list->functions_n && strcmp(fn[n].name, fn->name) == 0; n++)
            continue;
        bool shown = only != NULL
                         ? strcmp(only, fn->name) == 0
                         : hidden || ((fn->flags & KITH_FN_HIDDEN) == 0 && fn->name[0] != '_');
        if (!shown)
            continue;
        json_object_begin(&reply.json);
        json_kv_text(&reply.json, "name", fn->name);
        json_kv_text(&reply.json, "version", fn->version);
        json_kv_text(&reply.json, "description", fn->description);
        json_kv_text(&reply.json, "signature", fn->signature);
        put_flags(&reply.json, fn->flags);
        put_servers(&reply.json, fn, n);
        json_object_end(&reply.json);
    }
    json_array_end(&reply.json);
    control_reply_end(&reply, false, NULL, 0);
}

static void functions(struct control_request *request)
{
    struct kith_function_list *list = NULL;
    int r = kith_functions(request->node, &list);
    if (r != 0) {
        control_fail(request, r, NULL);
        return;
    }
    put_functions(request, list);
    kith_function_list_free(list);
}

/* How long the functions of this node took lately; those that never ran are not there. */
static void functions_times(struct control_request *request)
{
    struct rpc_function fn;
    struct control_reply reply;
    size_t at = 0;

    control_reply_begin(&reply, request);
    json_key(&reply.json, "functions");
    json_array_begin(&reply.json);
    while (rpc_function_next(node_rpc(request->node), &at, &fn) && fn.times != NULL) {
        if (fn.times->n == 0)
            continue;
        json_object_begin(&reply.json);
        json_kv_text(&reply.json, "name", fn.name);
        json_kv_u64(&reply.json, "measured", fn.times->n);
        json_kv_f64(&reply.json, "p50_ms", control_ms(spread_percentile(fn.times, 50)));
        json_kv_f64(&reply.json, "p99_ms", control_ms(spread_percentile(fn.times, 99)));
        json_object_end(&reply.json);
    }
    json_array_end(&reply.json);
    control_reply_end(&reply, false, NULL, 0);
}

/* ---- call ---- */

void control_put_result(struct json *json, const struct kith_result *result)
{
    bool own_code = result->outcome == KITH_OUTCOME_OK || result->outcome == KITH_OUTCOME_APP_ERROR;
    bool asked = false;

    for (size_t i = 0; i < KITH_NODE_ID_BYTES; i++)
        asked |= result->node.bytes[i] != 0;
    json_kv_text(json, "outcome", kith_outcome_text(result->outcome));
    json_kv_i64(json, "code", result->code);
    if (!own_code)
        json_kv_text(json, "error", kith_error_name(result->code));
    int exit = result->outcome == KITH_OUTCOME_OK          ? 0
               : result->outcome == KITH_OUTCOME_APP_ERROR ? 1
                                                           : control_exit_of(result->code);
    json_kv_i64(json, "exit", exit);
    json_kv_text(json, "text", result->text);
    if (asked)
        json_kv_id(json, "node", &result->node);
    json_kv_text(json, "node_name", result->node_name);
    json_kv_f64(json, "elapsed_ms", control_ms(result->elapsed_ns));
}

static void
reply_result(struct control_request *request, const struct kith_result *result, bool more)
{
    struct control_reply reply;
    control_reply_begin(&reply, request);
    control_put_result(&reply.json, result);
    control_reply_end(&reply, more, result->data, result->len);
}

/* A call of a client under way. */
struct calling {
    struct control_request *request;
    struct kith_call_id id;
};

static void on_called(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct calling *calling = user;
    (void)node;
    calling->request->state = NULL;
    reply_result(calling->request, result, false);
    control_request_unref(calling->request);
    core_free(calling);
}

static void call_cancelled(struct control_request *request)
{
    struct calling *calling = request->state;
    if (calling != NULL)
        kith_cancel(request->node, calling->id);
}

static void
call_one(struct control_request *request, const char *fn, const struct kith_call_options *options)
{
    struct calling *calling = core_calloc(1, sizeof(*calling));
    if (calling == NULL) {
        control_fail(request, KITH_E_MEMORY, NULL);
        return;
    }
    calling->request = control_request_ref(request);
    request->state = calling;
    request->cancel = call_cancelled;
    int r = kith_call_async(request->node, fn, request->data, request->data_len, options, on_called,
                            calling, &calling->id);
    if (r != 0) {
        request->state = NULL;
        request->cancel = NULL;
        control_fail(request, r, NULL);
        control_request_unref(request);
        core_free(calling);
    }
}

/* A call on all nodes, until the last has ended. */
struct calling_all {
    struct control_request *request;
    struct kith_multicall_id id;
};

static void on_one_of_all(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct calling_all *calling = user;
    (void)node;
    reply_result(calling->request, result, true);
}

static void on_all(struct kith_node *node, size_t ok_n, size_t asked_n, void *user)
{
    struct calling_all *calling = user;
    struct control_request *request = calling->request;
    struct control_reply reply;

    (void)node;
    core_free(calling);
    request->state = NULL;
    request->cancel = NULL;
    control_reply_begin(&reply, request);
    json_kv_u64(&reply.json, "asked", asked_n);
    json_kv_u64(&reply.json, "ok", ok_n);
    control_reply_end(&reply, false, NULL, 0);
    control_request_unref(request);
}

static void all_cancelled(struct control_request *request)
{
    struct calling_all *calling = request->state;
    kith_multicall_cancel(request->node, calling->id);
}

static void
call_all(struct control_request *request, const char *fn, const struct kith_call_options *options)
{
    struct calling_all *calling = core_calloc(1, sizeof(*calling));
    if (calling == NULL) {
        control_fail(request, KITH_E_MEMORY, NULL);
        return;
    }
    calling->request = control_request_ref(request);
    request->state = calling;
    request->cancel = all_cancelled;
    int r = kith_multicall_async(request->node, fn, request->data, request->data_len, NULL, 0,
                                 options, on_one_of_all, on_all, calling, &calling->id);
    if (r < 0) {
        request->state = NULL;
        request->cancel = NULL;
        control_fail(request, r, NULL);
        control_request_unref(request);
        core_free(calling);
    }
}

static void call(struct control_request *request)
{
    const char *fn = control_text_needed(request, "fn");
    struct kith_call_options options = {
        .node = control_text(request, "node"),
        .timeout_ms = control_u64(request, "timeout_ms", 0),
        .signature = control_text(request, "signature"),
        .idempotent = control_bool(request, "idempotent", false),
    };
    if (fn == NULL)
        return;
    if (control_bool(request, "all", false))
        call_all(request, fn, &options);
    else
        call_one(request, fn, &options);
}

const struct control_verb control_verbs_calls[] = {
    {.name = "functions", .run = functions},
    {.name = "functions.times", .run = functions_times, .forward = "node", .remote = true},
    {.name = "call", .run = call},
    {0},
};
