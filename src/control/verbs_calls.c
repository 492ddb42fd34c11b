/* The verb call, and how its results are written. */
#include <string.h>

#include "control/control.h"
#include "control/request.h"
#include "control/tags.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/limits.h"

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

/*
 * ---- on one that has certain tags ----
 *
 * It is chosen here. If the call certainly did not run there (the node went meanwhile), or may run
 * twice, it goes to another one, as a call without tags would.
 */
#define TAGGED_TRIES_MAX 4

struct calling_tagged {
    struct control_request *request;
    struct kith_call_id id;
    struct kith_node_id *ids; /* not tried yet */
    size_t ids_n;
    unsigned tries_n;
    uint64_t deadline_ms;
    struct kith_call_options options;
    char node[KITH_NODE_ID_DIGITS + 1];
    const char *fn;
};

static int tagged_begin(struct calling_tagged *calling);

static void tagged_end(struct calling_tagged *calling)
{
    struct control_request *request = calling->request;

    request->state = NULL;
    request->cancel = NULL;
    control_request_unref(request);
    core_free(calling->ids);
    core_free(calling);
}

static bool goes_on(const struct calling_tagged *calling, const struct kith_result *result)
{
    bool may = result->outcome == KITH_OUTCOME_NOT_EXECUTED ||
               (result->outcome == KITH_OUTCOME_UNKNOWN && calling->options.idempotent);

    return may && calling->ids_n > 0 && calling->tries_n < TAGGED_TRIES_MAX &&
           result->code != KITH_E_CANCELED && result->code != KITH_E_TIMEOUT &&
           result->code != KITH_E_STOPPED && !calling->request->ended;
}

static void on_tagged(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct calling_tagged *calling = user;

    (void)node;
    if (goes_on(calling, result) && tagged_begin(calling) == 0)
        return;
    reply_result(calling->request, result, false);
    tagged_end(calling);
}

static int tagged_begin(struct calling_tagged *calling)
{
    struct kith_node *node = calling->request->node;
    uint64_t now_ms = uv_now(node_loop(node));
    const struct kith_node_id *at = control_tagged_pick(node, calling->ids, calling->ids_n);

    if (at == NULL)
        return kith_fail_with(KITH_E_NO_FUNCTION,
                              "call of '%s': only nodes that are drained have these tags; nothing "
                              "ran; `kith undrain` takes one back",
                              calling->fn);
    if (now_ms >= calling->deadline_ms)
        return KITH_E_TIMEOUT;
    calling->options.timeout_ms = calling->deadline_ms - now_ms;
    calling->options.node = kith_node_id_text(at, calling->node);
    calling->ids[at - calling->ids] = calling->ids[--calling->ids_n];
    calling->tries_n++;
    return kith_call_async(node, calling->fn, calling->request->data, calling->request->data_len,
                           &calling->options, on_tagged, calling, &calling->id);
}

static void tagged_cancelled(struct control_request *request)
{
    struct calling_tagged *calling = request->state;
    kith_cancel(request->node, calling->id);
}

static void call_tagged(struct control_request *request,
                        const char *fn,
                        const struct control_tags *tags,
                        const struct kith_call_options *options)
{
    struct calling_tagged *calling = core_calloc(1, sizeof(*calling));
    uint64_t timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : RPC_TIMEOUT_DEFAULT_MS;
    int r = calling == NULL
                ? KITH_E_MEMORY
                : control_tagged(request->node, fn, tags, &calling->ids, &calling->ids_n);

    if (r != 0) {
        core_free(calling);
        control_fail(request, r, NULL);
        return;
    }
    calling->request = control_request_ref(request);
    calling->options = *options;
    calling->fn = fn;
    calling->deadline_ms = uv_now(node_loop(request->node)) + timeout_ms;
    request->state = calling;
    request->cancel = tagged_cancelled;
    r = tagged_begin(calling);
    if (r != 0) {
        control_fail(request, r, NULL);
        tagged_end(calling);
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

/* The nodes of a call by tags as kith_multicall_async() takes them. */
struct chosen {
    struct kith_node_id *ids;
    size_t n;
    char (*texts)[KITH_NODE_ID_DIGITS + 1];
    const char **nodes;
};

static void chosen_free(struct chosen *chosen)
{
    core_free(chosen->ids);
    core_free(chosen->texts);
    core_free(chosen->nodes);
}

static int choose(struct control_request *request,
                  const char *fn,
                  const struct control_tags *tags,
                  struct chosen *out)
{
    int r = control_tagged(request->node, fn, tags, &out->ids, &out->n);

    if (r != 0)
        return r;
    out->texts = core_calloc(out->n, sizeof(*out->texts));
    out->nodes = core_calloc(out->n, sizeof(*out->nodes));
    if (out->texts == NULL || out->nodes == NULL)
        return KITH_E_MEMORY;
    for (size_t i = 0; i < out->n; i++)
        out->nodes[i] = kith_node_id_text(&out->ids[i], out->texts[i]);
    return 0;
}

static void call_all(struct control_request *request,
                     const char *fn,
                     const struct control_tags *tags,
                     const struct kith_call_options *options)
{
    struct chosen chosen = {0};
    int r = tags->n > 0 ? choose(request, fn, tags, &chosen) : 0;
    struct calling_all *calling = r == 0 ? core_calloc(1, sizeof(*calling)) : NULL;
    if (calling == NULL) {
        control_fail(request, r != 0 ? r : KITH_E_MEMORY, NULL);
        chosen_free(&chosen);
        return;
    }
    calling->request = control_request_ref(request);
    request->state = calling;
    request->cancel = all_cancelled;
    r = kith_multicall_async(request->node, fn, request->data, request->data_len, chosen.nodes,
                             chosen.n, options, on_one_of_all, on_all, calling, &calling->id);
    chosen_free(&chosen);
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
    struct control_tags tags;

    if (fn == NULL)
        return;
    int r = control_tags_of(request, &tags);
    if (r == 0 && tags.n > 0 && options.node != NULL)
        r = kith_fail_with(KITH_E_INVALID, "a call goes to a node or to one with tags, not both");
    if (r != 0)
        control_fail(request, r, NULL);
    else if (control_bool(request, "all", false))
        call_all(request, fn, &tags, &options);
    else if (tags.n > 0)
        call_tagged(request, fn, &tags, &options);
    else
        call_one(request, fn, &options);
    control_tags_free(&tags);
}

const struct control_verb control_verbs_calls[] = {
    {.name = "call", .run = call},
    {0},
};
