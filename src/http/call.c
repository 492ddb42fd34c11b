/* POST /v1/call/NAME: the body is the argument, the reply the body, the outcome in headers. */
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

static void on_result(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct http_exchange *x = user;
    char headers[512];

    (void)node;
    if (x->server == NULL || x->web == NULL) {
        http_exchange_free(x);
        return;
    }
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

/* The client has gone: whoever works for it is told. The callback still comes. */
static void call_gone(struct http_exchange *x)
{
    x->gone = NULL;
    if (x->server != NULL)
        kith_cancel(x->server->service.node, (struct kith_call_id){(uint64_t)(uintptr_t)x->state});
}

void http_post_call(struct http_exchange *x)
{
    char node[128], signature[512];
    struct kith_call_id id = {0};
    struct kith_call_options options = {
        .node = web_query(x->web, "node", node, sizeof(node)) ? node : NULL,
        .timeout_ms = http_query_u64(x, "timeout_ms", 0),
        .idempotent = http_query_bool(x, "idempotent", false),
        .signature =
            web_query(x->web, "signature", signature, sizeof(signature)) ? signature : NULL};
    size_t len;
    const uint8_t *body = web_body(x->web, &len);

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
