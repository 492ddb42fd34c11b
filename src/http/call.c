/*
 * POST /v1/call/NAME: the body is the argument, the reply the body, the outcome in headers. A call
 * to a node with certain tags is the verb call, which chooses it; all others are made here.
 */
#include <string.h>

#include "core/error.h"
#include "http/server.h"

static void put_outcome(const struct kith_result *result, char *out, size_t out_bytes)
{
    static const struct kith_node_id nobody;
    bool asked = !kith_node_id_equal(&result->node, &nobody);
    char id[KITH_NODE_ID_DIGITS + 1];
    uint64_t elapsed_us = result->elapsed_ns / 1000;
    bool failed = result->outcome != KITH_OUTCOME_OK && result->outcome != KITH_OUTCOME_APP_ERROR;

    snprintf(out, out_bytes,
             "X-Kith-Outcome: %s\r\nX-Kith-Code: %d\r\n%s%s%s%s%sX-Kith-Elapsed-Ms: %.3f\r\n%s%s%s",
             kith_outcome_text(result->outcome), result->code, asked ? "X-Kith-Node: " : "",
             asked ? kith_node_id_text(&result->node, id) : "",
             asked ? "\r\nX-Kith-Node-Name: " : "", asked ? result->node_name : "",
             asked ? "\r\n" : "", (double)elapsed_us / 1000, failed ? "X-Kith-Error: " : "",
             failed ? kith_error_name(result->code) : "", failed ? "\r\n" : "");
}

static int status_of(const struct kith_result *result)
{
    switch (result->outcome) {
    case KITH_OUTCOME_OK:
        return 200;
    case KITH_OUTCOME_APP_ERROR:
        return 422;
    case KITH_OUTCOME_UNKNOWN:
        return result->code == KITH_E_TIMEOUT ? 504 : 502;
    default:
        return http_status_of(result->code);
    }
}

static void answer_result(struct http_exchange *x, const struct kith_result *result)
{
    char headers[512];

    put_outcome(result, headers, sizeof(headers));
    if (result->outcome == KITH_OUTCOME_OK || result->outcome == KITH_OUTCOME_APP_ERROR) {
        struct http_body body = {.status = status_of(result),
                                 .type = "application/octet-stream",
                                 .data = result->data,
                                 .len = result->len};
        http_answer(x, &body, headers);
    } else {
        http_fail_with(x, status_of(result), result->code, result->text, NULL, headers);
    }
}

static void on_result(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct http_exchange *x = user;

    (void)node;
    if (x->server == NULL || x->web == NULL)
        http_exchange_free(x);
    else
        answer_result(x, result);
}

/* The client has gone: whoever works for it is told. The callback still comes. */
static void call_gone(struct http_exchange *x)
{
    x->gone = NULL;
    if (x->server != NULL)
        kith_cancel(x->server->service.node, (struct kith_call_id){(uint64_t)(uintptr_t)x->state});
}

/* ---- by tags ---- */

/* What control_put_result() wrote; its texts are @doc's. */
static struct kith_result result_of(const json_t *doc)
{
    const char *outcome = json_string_value(json_object_get(doc, "outcome"));
    const char *text = json_string_value(json_object_get(doc, "text"));
    const char *id = json_string_value(json_object_get(doc, "node"));
    const char *name = json_string_value(json_object_get(doc, "node_name"));
    double elapsed_ms = json_number_value(json_object_get(doc, "elapsed_ms"));
    struct kith_result result = {.outcome = KITH_OUTCOME_UNKNOWN,
                                 .code = (int)json_integer_value(json_object_get(doc, "code")),
                                 .text = text != NULL ? text : "",
                                 .node_name = name != NULL ? name : "",
                                 .elapsed_ns = (uint64_t)(elapsed_ms * 1e6)};

    for (int o = KITH_OUTCOME_OK; outcome != NULL && o <= KITH_OUTCOME_UNKNOWN; o++) {
        if (strcmp(outcome, kith_outcome_text((enum kith_outcome)o)) == 0)
            result.outcome = (enum kith_outcome)o;
    }
    if (id != NULL && kith_node_id_parse(id, &result.node) != 0)
        result.node = (struct kith_node_id){0};
    return result;
}

static void on_verb(struct http_exchange *x, const struct buf *json, const void *data, size_t len)
{
    json_t *doc = json_loadb((const char *)json->data, json->len, 0, NULL);
    struct kith_result result = result_of(doc);

    result.data = data;
    result.len = len;
    answer_result(x, &result);
    json_decref(doc);
}

/* What is no text stays in, so that it is refused rather than any node asked. */
static void put_tag(void *user, const char *key, const char *value)
{
    json_t *tag = strcmp(key, "tag") == 0 ? json_string(value) : NULL;

    if (strcmp(key, "tag") == 0)
        (void)json_array_append_new(user, tag != NULL ? tag : json_null());
}

static void put_text(json_t *args, const char *key, const char *text)
{
    if (text != NULL)
        (void)json_object_set_new(args, key, json_string(text));
}

/* The verb takes at most NODE_TAGS_MAX, and refuses those and a node in one. */
static void call_by_tags(struct http_exchange *x, const struct kith_call_options *options)
{
    size_t len;
    const uint8_t *body = web_body(x->web, &len);
    json_t *args = json_object(), *tags = json_array();

    web_query_each(x->web, put_tag, tags);
    put_text(args, "fn", x->name);
    put_text(args, "node", options->node);
    put_text(args, "signature", options->signature);
    (void)json_object_set_new(args, "timeout_ms", json_integer((json_int_t)options->timeout_ms));
    (void)json_object_set_new(args, "idempotent", json_boolean(options->idempotent));
    if (json_object_set_new(args, "tags", tags) != 0) {
        json_decref(args);
        args = NULL;
    }
    x->answered = on_verb;
    http_dispatch_verb(x, "call", args, body, len);
}

static void count_tag(void *user, const char *key, const char *value)
{
    (void)value;
    *(size_t *)user += strcmp(key, "tag") == 0;
}

/* ---- the route ---- */

void http_post_call(struct http_exchange *x)
{
    char node[HTTP_ARGUMENT_BYTES_MAX], signature[HTTP_ARGUMENT_BYTES_MAX];
    struct kith_call_id id = {0};
    struct kith_call_options options = {
        .node = web_query(x->web, "node", node, sizeof(node)) ? node : NULL,
        .timeout_ms = http_query_u64(x, "timeout_ms", 0),
        .idempotent = http_query_bool(x, "idempotent", false),
        .signature =
            web_query(x->web, "signature", signature, sizeof(signature)) ? signature : NULL};
    size_t len, tags_n = 0;
    const uint8_t *body = web_body(x->web, &len);

    if (web_has_query(x->web))
        web_query_each(x->web, count_tag, &tags_n);
    if (tags_n > 0) {
        call_by_tags(x, &options);
        return;
    }
    x->gone = call_gone;
    int r =
        kith_call_async(x->server->service.node, x->name, body, len, &options, on_result, x, &id);
    if (r != 0) {
        x->gone = NULL;
        http_fail(x, 0, r, NULL, NULL);
        return;
    }
    x->state = (void *)(uintptr_t)id.no;
}
