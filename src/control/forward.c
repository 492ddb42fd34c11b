#include "control/forward.h"

#include <string.h>

#include "control/server.h"
#include "core/alloc.h"
#include "core/error.h"
#include "member/member.h"
#include "node/serve.h"

/* ---- asking ---- */

struct forwarded {
    struct control_request *request;
    struct kith_call_id call;
};

/* One line of the other node's answer becomes one of ours. */
static void pass_on(struct control_request *request, const void *line, size_t len, bool last)
{
    json_error_t error;
    json_t *message = json_loadb(line, len, 0, &error);
    const json_t *result = json_object_get(message, "result");
    const json_t *failure = json_object_get(message, "error");

    if (json_is_object(result)) {
        char *text = json_dumps(result, JSON_COMPACT);
        struct buf buf = {.data = (uint8_t *)text, .len = text != NULL ? strlen(text) : 0};
        if (text != NULL && !request->ended)
            request->door->answer(request, true, !last, &buf, NULL, 0);
        free(text);
        if (last)
            control_request_end(request);
    } else if (json_is_object(failure)) {
        const char *text = json_string_value(json_object_get(failure, "message"));
        control_fail(request,
                     control_code_named(json_string_value(json_object_get(failure, "code"))),
                     text != NULL ? text : "the other node refused");
    } else {
        control_fail(request, KITH_E_CORRUPT, "the other node's answer is not of the protocol");
    }
    json_decref(message);
}

static void on_partial(struct kith_node *node, const void *data, size_t len, void *user)
{
    struct forwarded *forwarded = user;
    (void)node;
    if (!forwarded->request->ended)
        pass_on(forwarded->request, data, len, false);
}

static void on_result(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct forwarded *forwarded = user;
    struct control_request *request = forwarded->request;

    (void)node;
    request->state = NULL;
    if (!request->ended) {
        if (result->outcome == KITH_OUTCOME_OK)
            pass_on(request, result->data, result->len, true);
        else
            control_fail(request, result->code != 0 ? result->code : KITH_E_APP, result->text);
    }
    control_request_unref(request);
    core_free(forwarded);
}

static void on_cancelled(struct control_request *request)
{
    struct forwarded *forwarded = request->state;
    if (forwarded != NULL)
        kith_cancel(request->node, forwarded->call);
}

static char *line_of(struct control_request *request)
{
    json_t *args = json_copy(request->args);
    json_t *message = json_object();
    char *line = NULL;

    if (args != NULL && message != NULL) {
        json_object_del(args, request->verb->forward);
        if (json_object_set_new(message, "verb", json_string(request->verb->name)) == 0 &&
            json_object_set(message, "args", args) == 0)
            line = json_dumps(message, JSON_COMPACT);
    }
    json_decref(args);
    json_decref(message);
    return line;
}

#define DAY_MS    (24ull * 3600 * 1000)
#define ANSWER_MS 30000

/* A stream is open for as long as its client wants it; echoes take their own time. */
static uint64_t timeout_of(const struct control_request *request)
{
    if (strcmp(request->verb->name, "monitor") == 0 || control_bool(request, "follow", false))
        return 365 * DAY_MS;
    if (strcmp(request->verb->name, "ping") != 0)
        return ANSWER_MS;
    uint64_t count = control_u64(request, "count", 1);
    uint64_t each_ms =
        control_u64(request, "timeout_ms", 1000) + control_u64(request, "interval_ms", 1000);
    return count < DAY_MS && each_ms < DAY_MS && count * each_ms < 365 * DAY_MS
               ? count * each_ms + ANSWER_MS
               : 365 * DAY_MS;
}

bool control_forward(struct control_request *request, const char *target)
{
    struct member *member;
    char id[KITH_NODE_ID_DIGITS + 1];

    if (node_member_named(request->node, target, &member) != 0) {
        control_fail(request, KITH_E_NO_NODE, NULL);
        return true;
    }
    struct kith_node_id self = kith_node_self(request->node);
    if (kith_node_id_equal(&member->id, &self))
        return false;
    struct forwarded *forwarded = core_calloc(1, sizeof(*forwarded));
    char *line = line_of(request);
    if (forwarded == NULL || line == NULL) {
        control_fail(request, KITH_E_MEMORY, NULL);
    } else {
        struct kith_call_options options = {.node = kith_node_id_text(&member->id, id),
                                            .timeout_ms = timeout_of(request),
                                            .no_retry = true,
                                            .on_partial = on_partial};
        forwarded->request = control_request_ref(request);
        request->state = forwarded;
        request->cancel = on_cancelled;
        int r = kith_call_async(request->node, CONTROL_FUNCTION, line, strlen(line), &options,
                                on_result, forwarded, &forwarded->call);
        if (r == 0) {
            forwarded = NULL;
        } else {
            request->state = NULL;
            request->cancel = NULL;
            control_fail(request, r, NULL);
            control_request_unref(request);
        }
    }
    core_free(forwarded);
    free(line);
    return true;
}

/* ---- being asked ---- */

/* The door of other nodes: answers are partial results and the reply of the call. */
struct asked_by_node {
    struct kith_ctx *ctx;
    struct control_request *request;
};

static int put_line(struct buf *line, bool ok, const struct buf *json)
{
    int r = buf_append_text(line, ok ? "{\"ok\":true,\"result\":" : "{\"ok\":false,\"error\":");
    if (r == 0)
        r = buf_append(line, json->data, json->len);
    return r == 0 ? buf_append_u8(line, '}') : r;
}

static void node_answer(struct control_request *request,
                        bool ok,
                        bool more,
                        const struct buf *json,
                        const void *data,
                        size_t len)
{
    struct asked_by_node *asked = request->client;
    struct buf line = {0};

    (void)data; /* no verb that other nodes may ask has raw bytes */
    (void)len;
    if (asked->ctx != NULL && put_line(&line, ok, json) == 0) {
        if (more) {
            (void)kith_partial(asked->ctx, line.data, line.len);
        } else {
            if (kith_reply(asked->ctx, line.data, line.len) != 0 &&
                kith_fail(asked->ctx, 1, kith_errmsg()) != 0)
                node_ctx_lost(asked->ctx, "memory is short at the node asked");
            asked->ctx = NULL;
        }
    }
    buf_deinit(&line);
}

static void node_ended(struct control_request *request)
{
    struct asked_by_node *asked = request->client;
    if (asked->ctx != NULL && kith_fail(asked->ctx, 1, "ended without an answer") != 0)
        node_ctx_lost(asked->ctx, "ended without an answer");
    core_free(asked);
    request->client = NULL;
    list_remove(&request->link);
    control_request_unref(request);
}

static const struct control_door node_door = {.answer = node_answer, .ended = node_ended};

static void on_ctx_cancel(struct kith_ctx *ctx, void *user)
{
    struct control_request *request = user;
    (void)ctx;
    control_cancel(request, KITH_E_CANCELED);
}

static int sys_control(struct kith_ctx *ctx, const void *arg, size_t arg_len, void *user)
{
    struct control_server *server = user;
    json_error_t error;
    if (server->stopping)
        return kith_fail(ctx, 1, "the agent ends");
    json_t *message = json_loadb(arg, arg_len, 0, &error);
    const char *verb = json_string_value(json_object_get(message, "verb"));
    json_t *args = json_object_get(message, "args");
    struct asked_by_node *asked = core_calloc(1, sizeof(*asked));
    struct control_request *request = NULL;

    if (verb != NULL && asked != NULL)
        request = control_request_new(server->service.node, &node_door, asked, NULL,
                                      json_is_object(args) ? json_incref(args) : json_object());
    if (request == NULL) {
        core_free(asked);
        json_decref(message);
        return kith_fail(ctx, 2, "sys.control takes a request of the control protocol");
    }
    asked->ctx = ctx;
    asked->request = request;
    list_append(&server->asked_here, &request->link);
    control_request_ref(request);
    if (control_verb_is_remote(verb))
        control_dispatch(request, verb);
    else
        control_fail(request, KITH_E_PERMISSION, "other nodes may not ask for this");
    if (!request->ended)
        kith_ctx_on_cancel(ctx, on_ctx_cancel, request);
    control_request_unref(request);
    json_decref(message);
    return KITH_PENDING;
}

int control_export(struct control_server *server)
{
    struct kith_export fn = {.name = CONTROL_FUNCTION,
                             .version = KITH_VERSION,
                             .description = "what only this node knows, for the command",
                             .flags = KITH_FN_DEFERRED | KITH_FN_HIDDEN,
                             .fn = sys_control,
                             .user = server};
    return kith_export(server->service.node, &fn);
}

void control_forward_stop(struct control_server *server)
{
    list_for_each_safe (it, &server->asked_here) {
        control_cancel(container_of(it, struct control_request, link), KITH_E_STOPPED);
    }
}
