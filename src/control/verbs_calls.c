/* The verb call, and how its results are written. */
#include <string.h>

#include "control/control.h"
#include "control/request.h"
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

/* ---- on all that have certain tags ---- */

/* "KEY=VALUE", or "KEY": with any value. */
static bool has_tag(struct kith_node *node, const struct kith_node_id *id, const char *wanted)
{
    const char *value = strchr(wanted, '=');
    char key[NODE_TAG_KEY_BYTES_MAX + 1];
    size_t len = value != NULL ? (size_t)(value - wanted) : strlen(wanted);

    if (len >= sizeof(key))
        return false;
    memcpy(key, wanted, len);
    key[len] = '\0';
    const char *is = node_tag(node, id, key);
    return is != NULL && (value == NULL || strcmp(is, value + 1) == 0);
}

static bool has_tags(struct kith_node *node, const struct kith_node_id *id, json_t *tags)
{
    json_t *tag;
    size_t i;

    json_array_foreach(tags, i, tag)
    {
        if (!json_is_string(tag) || !has_tag(node, id, json_string_value(tag)))
            return false;
    }
    return true;
}

struct chosen {
    char (*ids)[KITH_NODE_ID_DIGITS + 1];
    const char **nodes;
    size_t n;
};

static void chosen_free(struct chosen *chosen)
{
    core_free(chosen->ids);
    core_free(chosen->nodes);
}

/* The nodes that have @fn and all @tags. 0, or a code with its sentence. */
static int choose(struct control_request *request, const char *fn, json_t *tags, struct chosen *out)
{
    struct kith_function_list *list = NULL;
    int r = kith_functions(request->node, &list);

    *out = (struct chosen){0};
    if (r != 0)
        return r;
    out->ids = core_calloc(list->functions_n + 1, sizeof(*out->ids));
    out->nodes = core_calloc(list->functions_n + 1, sizeof(*out->nodes));
    for (size_t i = 0; out->ids != NULL && out->nodes != NULL && i < list->functions_n; i++) {
        const struct kith_function_info *one = &list->functions[i];
        if (strcmp(one->name, fn) != 0 || !has_tags(request->node, &one->node, tags))
            continue;
        out->nodes[out->n] = kith_node_id_text(&one->node, out->ids[out->n]);
        out->n++;
    }
    kith_function_list_free(list);
    if (out->ids == NULL || out->nodes == NULL)
        return KITH_E_MEMORY;
    return out->n > 0 ? 0
                      : kith_fail_with(KITH_E_NO_FUNCTION,
                                       "no node with these tags has the function %s; kith fn info "
                                       "%s shows who has it, kith tag ls the tags",
                                       fn, fn);
}

static void
call_all(struct control_request *request, const char *fn, const struct kith_call_options *options)
{
    json_t *tags = json_object_get(request->args, "tags");
    struct chosen chosen = {0};
    int r = json_array_size(tags) > 0 ? choose(request, fn, tags, &chosen) : 0;
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
    if (fn == NULL)
        return;
    if (control_bool(request, "all", false))
        call_all(request, fn, &options);
    else
        call_one(request, fn, &options);
}

const struct control_verb control_verbs_calls[] = {
    {.name = "call", .run = call},
    {0},
};
