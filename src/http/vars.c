/*
 * Routes of one variable: its value is the body, its version the ETag.
 *
 * A variable that is read often is kept here (a handle each, the ones unused longest go): while
 * the copy is valid a read is answered at once, without the dispatcher and without a message.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "control/control.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "dvar/avail.h"
#include "dvar/value.h"
#include "http/server.h"

struct kept_var {
    struct list link; /* by last use, oldest first */
    struct kith_var *var;
    char name[KITH_NAME_BYTES_MAX + 1];
};

struct http_vars {
    struct list all;
    struct maptext by_name;
    struct buf room; /* what was read */
};

int http_vars_new(struct http_server *server)
{
    server->vars = core_calloc(1, sizeof(*server->vars));
    if (server->vars == NULL)
        return KITH_E_MEMORY;
    list_init(&server->vars->all);
    return 0;
}

static void kept_free(struct http_vars *vars, struct kept_var *kept)
{
    (void)maptext_remove(&vars->by_name, kept->name);
    list_remove(&kept->link);
    kith_var_close(kept->var);
    core_free(kept);
}

void http_vars_free(struct http_server *server)
{
    struct http_vars *vars = server->vars;
    struct list *link;

    if (vars == NULL)
        return;
    while ((link = list_first(&vars->all)) != NULL)
        kept_free(vars, container_of(link, struct kept_var, link));
    maptext_deinit(&vars->by_name);
    buf_deinit(&vars->room);
    core_free(vars);
    server->vars = NULL;
}

/* Keeps @name from now on, in place of the one unused longest. */
static void keep(struct http_server *server, const char *name)
{
    struct http_vars *vars = server->vars;
    struct kept_var *kept = core_calloc(1, sizeof(*kept));

    if (kept == NULL)
        return;
    struct list *oldest = list_first(&vars->all);
    if (vars->by_name.n >= HTTP_VARS_KEPT && oldest != NULL)
        kept_free(vars, container_of(oldest, struct kept_var, link));
    snprintf(kept->name, sizeof(kept->name), "%s", name);
    if (node_var_open(server->service.node, name, &kept->var) != 0 ||
        maptext_set(&vars->by_name, kept->name, kept) != 0) {
        kith_var_close(kept->var);
        core_free(kept);
        return;
    }
    list_append(&vars->all, &kept->link);
}

/* ---- values as they travel ---- */

static bool is_raw(enum kith_type type)
{
    return type == KITH_TYPE_BYTES || type == KITH_TYPE_TEXT;
}

static const char *name_of(struct http_exchange *x, const struct kith_node_id *id)
{
    const char *name = node_name_of(x->server->service.node, id);
    return name != NULL ? name : "";
}

static bool same_version(const char *etag, uint64_t version)
{
    char text[32];
    snprintf(text, sizeof(text), "\"%" PRIu64 "\"", version);
    return etag != NULL && strcmp(etag, text) == 0;
}

static void answer_value(struct http_exchange *x, const struct kith_value *value)
{
    struct buf text = {0};
    struct http_body body = {.status = 200,
                             .type = value->type == KITH_TYPE_BYTES ? "application/octet-stream"
                                                                    : "text/plain; charset=utf-8",
                             .data = value->data,
                             .len = value->len};
    char headers[512], time[32];

    if (!value->found) {
        http_fail(x, 404, KITH_E_NOT_FOUND, "there is no variable of that name", NULL);
        return;
    }
    if (x->web != NULL && same_version(web_header(x->web, WEB_IF_NONE_MATCH), value->version)) {
        body.status = 304;
        body.len = 0;
    } else if (!is_raw(value->type)) {
        if (value_print((uint8_t)value->type, value->data, value->len, &text) != 0) {
            buf_deinit(&text);
            http_fail(x, 0, KITH_E_MEMORY, NULL, NULL);
            return;
        }
        body.data = text.data;
        body.len = text.len;
    }
    snprintf(headers, sizeof(headers),
             "ETag: \"%" PRIu64 "\"\r\nX-Kith-Type: %s\r\nX-Kith-Policy: %s\r\nX-Kith-Writer: "
             "%s\r\nX-Kith-Time: %s\r\n",
             value->version, kith_type_text(value->type), kith_policy_text(value->policy),
             name_of(x, &value->writer), text_time_ms(value->time_unix_ms, time));
    http_answer(x, &body, headers);
    buf_deinit(&text);
}

static json_t *value_doc(struct http_exchange *x, const struct kith_value *value)
{
    char version[24], time[32], id[KITH_NODE_ID_DIGITS + 1];

    snprintf(version, sizeof(version), "%" PRIu64, value->version);
    json_t *doc = json_pack("{s:s,s:s,s:b,s:b,s:s}", "schema", "kith.var/1", "name", x->name,
                            "found", value->found, "applied", value->applied, "version", version);
    if (doc == NULL || !value->found)
        return doc;
    (void)json_object_set_new(doc, "type", json_string(kith_type_text(value->type)));
    (void)json_object_set_new(doc, "policy", json_string(kith_policy_text(value->policy)));
    (void)json_object_set_new(doc, "writer", json_string(kith_node_id_text(&value->writer, id)));
    (void)json_object_set_new(doc, "writer_name", json_string(name_of(x, &value->writer)));
    (void)json_object_set_new(doc, "time", json_string(text_time_ms(value->time_unix_ms, time)));
    return doc;
}

/* ---- operations ---- */

struct var_op {
    struct kith_var_op op;
    struct kith_var_options options;
    struct buf data;
    char mutex[KITH_NAME_BYTES_MAX + 1];
};

static void op_deinit(struct var_op *op)
{
    buf_deinit(&op->data);
}

/* A choice of the query by name; false, and answered, if it is none. */
static bool choice(struct http_exchange *x,
                   const char *key,
                   int (*parse)(const char *text, uint8_t *out),
                   uint8_t *value)
{
    char text[32];

    if (!web_query(x->web, key, text, sizeof(text)) || parse(text, value) == 0)
        return true;
    http_fail(x, 400, KITH_E_INVALID, NULL, NULL);
    return false;
}

/* What the query says. False: answered. */
static bool options_of(struct http_exchange *x, struct var_op *op, uint8_t type_absent)
{
    uint8_t type = 0, policy = VALUE_VOLATILE, merge = KITH_MERGE_LWW;
    char mutex[HTTP_ARGUMENT_BYTES_MAX];

    if (http_var_is_hidden(x->name)) {
        http_fail(x, 403, KITH_E_PERMISSION, "names that begin with kith/ belong to kith itself",
                  NULL);
        return false;
    }
    if (!choice(x, "type", value_type_parse, &type) ||
        !choice(x, "policy", value_policy_parse, &policy) ||
        !choice(x, "merge", avail_merge_parse, &merge))
        return false;
    if (type == 0)
        type = (uint8_t)node_var_type(x->server->service.node, x->name);
    op->options.type = (enum kith_type)(type != 0 ? type : type_absent);
    op->options.policy = (enum kith_policy)policy;
    op->options.merge = (enum kith_merge)merge;
    op->options.timeout_ms = http_query_u64(x, "timeout_ms", 0);
    if (web_query(x->web, "mutex", mutex, sizeof(mutex))) {
        if (strlen(mutex) >= sizeof(op->mutex)) { /* without it the write would be unguarded */
            http_fail(x, 400, KITH_E_NAME, "no mutex has so long a name", NULL);
            return false;
        }
        memcpy(op->mutex, mutex, strlen(mutex) + 1);
        op->options.guard.mutex = op->mutex;
        op->options.guard.fence = http_query_u64(x, "fence", 0);
    }
    return true;
}

static void still_there(struct http_exchange *x)
{
    (void)x; /* a write cannot be taken back; it answers to nobody */
}

/* True if there is somebody to answer to, and the operation was done. */
static bool was_done(struct http_exchange *x, const struct kith_value *value)
{
    if (x->server == NULL || x->web == NULL) {
        http_exchange_free(x);
        return false;
    }
    if (value->code != 0) {
        http_fail(x, 0, value->code, value->text, NULL);
        return false;
    }
    return true;
}

static void begin(struct http_exchange *x, struct var_op *op, kith_value_cb cb)
{
    x->gone = still_there;
    int r = kith_var_do_async(x->server->service.node, x->name, &op->op, &op->options, cb, x);
    if (r != 0) {
        x->gone = NULL;
        http_fail(x, 0, r, NULL, NULL);
    }
}

static void on_read(struct kith_node *node, const struct kith_value *value, void *user)
{
    struct http_exchange *x = user;

    (void)node;
    if (was_done(x, value))
        answer_value(x, value);
}

void http_get_var(struct http_exchange *x)
{
    struct http_vars *vars = x->server->vars;
    struct kept_var *kept = maptext_find(&vars->by_name, x->name);
    struct var_op op = {.op.kind = KITH_VAR_GET};
    struct kith_value value;

    if (kept != NULL && !web_has_query(x->web) && node_var_peek(kept->var, &vars->room, &value)) {
        list_remove(&kept->link);
        list_append(&vars->all, &kept->link);
        answer_value(x, &value);
        return;
    }
    if (!options_of(x, &op, VALUE_TEXT))
        return;
    if (http_query_bool(x, "info", false)) {
        op_deinit(&op);
        http_get_var_info(x);
        return;
    }
    char index[24];
    if (web_query(x->web, "index", index, sizeof(index))) {
        op.op.kind = KITH_VAR_SLICE_GET;
        op.op.index = (uint32_t)http_query_u64(x, "index", 0);
        op.op.count = (uint32_t)http_query_u64(x, "count", 1);
    } else if (kept == NULL && op.options.guard.mutex == NULL &&
               value_name_check(x->name, strlen(x->name), false) == 0) {
        keep(x->server, x->name);
    }
    begin(x, &op, on_read);
}

/* ---- writing ---- */

static void on_written(struct kith_node *node, const struct kith_value *value, void *user)
{
    struct http_exchange *x = user;
    char etag[48];

    (void)node;
    if (!was_done(x, value))
        return;
    json_t *doc = value_doc(x, value);
    bool lost = !value->applied && x->state != NULL;
    snprintf(etag, sizeof(etag), "ETag: \"%" PRIu64 "\"\r\n", value->version);
    if (lost && doc != NULL) {
        (void)json_object_set_new(doc, "schema", json_string("kith.error/1"));
        (void)json_object_set_new(doc, "code", json_string("KITH_E_AGAIN"));
        (void)json_object_set_new(doc, "exit", json_integer(control_exit_of(KITH_E_AGAIN)));
        (void)json_object_set_new(
            doc, "message",
            json_string(value->found ? "the variable has another version than If-Match expects"
                                     : "the variable is not there as If-Match expects"));
    }
    http_answer_json(x, lost ? 412 : 200, doc, etag);
}

/* If-Match: "VERSION", If-None-Match: *. False: answered. */
static bool expectation(struct http_exchange *x, struct var_op *op)
{
    const char *match = web_header(x->web, WEB_IF_MATCH);
    const char *none = web_header(x->web, WEB_IF_NONE_MATCH);
    size_t len = match != NULL ? strlen(match) : 0;
    char number[24];

    if (match == NULL && none == NULL)
        return true;
    op->op.kind = KITH_VAR_CAS_VERSION;
    x->state = x; /* that it does not apply is an error */
    if (match == NULL && strcmp(none, "*") == 0)
        return true;
    if (match != NULL && len >= 3 && len < sizeof(number) && match[0] == '"' &&
        match[len - 1] == '"') {
        memcpy(number, match + 1, len - 2);
        number[len - 2] = '\0';
        if (text_parse_u64(number, 1, UINT64_MAX, &op->op.expect_version) == 0)
            return true;
    }
    http_fail(x, 400, KITH_E_PARSE,
              "If-Match takes one \"VERSION\" as ETag gives it, If-None-Match takes *", NULL);
    return false;
}

void http_put_var(struct http_exchange *x)
{
    struct var_op op = {.op.kind = KITH_VAR_SET};
    size_t len;
    const uint8_t *body = web_body(x->web, &len);
    int r = 0;

    if (!options_of(x, &op, VALUE_TEXT) || !expectation(x, &op))
        return;
    if (http_query_bool(x, "once", false))
        op.op.kind = KITH_VAR_ONCE;
    op.op.data = body != NULL ? (const void *)body : "";
    op.op.len = len;
    if (!is_raw(op.options.type)) {
        r = value_parse(x->name, (uint8_t)op.options.type, (const char *)op.op.data, len, &op.data);
        op.op.data = op.data.data != NULL ? (const void *)op.data.data : "";
        op.op.len = op.data.len;
    } else {
        r = value_data_check(x->name, (uint8_t)op.options.type, op.op.data, len);
    }
    if (r == 0)
        begin(x, &op, on_written);
    else
        http_fail(x, 0, r, NULL, NULL);
    op_deinit(&op);
}

void http_delete_var(struct http_exchange *x)
{
    struct var_op op = {.op.kind = KITH_VAR_DELETE};

    if (options_of(x, &op, VALUE_TEXT))
        begin(x, &op, on_written);
}

static void on_added(struct kith_node *node, const struct kith_value *value, void *user)
{
    struct http_exchange *x = user;
    struct buf text = {0};
    char etag[48];

    (void)node;
    if (!was_done(x, value))
        return;
    json_t *doc = value_doc(x, value);
    if (doc != NULL && value_print((uint8_t)value->type, value->data, value->len, &text) == 0)
        (void)json_object_set_new(doc, "value", json_stringn((const char *)text.data, text.len));
    buf_deinit(&text);
    snprintf(etag, sizeof(etag), "ETag: \"%" PRIu64 "\"\r\n", value->version);
    http_answer_json(x, 200, doc, etag);
}

void http_post_incr(struct http_exchange *x)
{
    struct var_op op = {.op = {.kind = KITH_VAR_ADD, .delta = 1, .delta_f64 = 1}};
    char text[48], *end;

    if (!options_of(x, &op, VALUE_I64))
        return;
    if (op.options.type != KITH_TYPE_F64)
        op.options.type = KITH_TYPE_I64;
    if (web_query(x->web, "delta", text, sizeof(text))) {
        op.op.delta = strtoll(text, &end, 10);
        bool whole = text[0] != '\0' && *end == '\0';
        op.op.delta_f64 = strtod(text, &end);
        if (text[0] == '\0' || *end != '\0' || (!whole && op.options.type == KITH_TYPE_I64)) {
            http_fail(x, 400, KITH_E_PARSE, "delta is no number that could be added", NULL);
            return;
        }
    }
    begin(x, &op, on_added);
}
