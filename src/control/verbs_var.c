/*
 * Verbs about distributed variables. The value travels as data beside the JSON: bytes and text as
 * they are, all other types in their text form (dvar/value.h).
 */
#include <stdlib.h>
#include <string.h>

#include "control/control.h"
#include "control/request.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "dvar/avail.h"
#include "dvar/value.h"

/* ---- values as they travel ---- */

static bool is_raw(enum kith_type type)
{
    return type == KITH_TYPE_BYTES || type == KITH_TYPE_TEXT;
}

/* The data of @type that @text (as it travels) says. 0 or a code with its sentence. */
static int
data_of_text(const char *name, enum kith_type type, const void *text, size_t len, struct buf *out)
{
    if (!is_raw(type))
        return value_parse(name, (uint8_t)type, text, len, out);
    int r = value_data_check(name, (uint8_t)type, text, len);
    return r == 0 ? buf_append(out, text, len) : r;
}

static int text_of_data(const struct kith_value *value, struct buf *out)
{
    return is_raw(value->type) ? buf_append(out, value->data, value->len)
                               : value_print((uint8_t)value->type, value->data, value->len, out);
}

static void put_version(struct json *json, const char *key, uint64_t version)
{
    json_key(json, key);
    json_u64_text(json, version);
}

static const char *name_of(struct control_request *request, const struct kith_node_id *id)
{
    const char *name = node_name_of(request->node, id);
    return name != NULL ? name : "";
}

/* Keys of a value, without its data. */
static void
put_value(struct control_request *request, struct json *json, const struct kith_value *value)
{
    json_kv_bool(json, "found", value->found);
    json_kv_bool(json, "applied", value->applied);
    put_version(json, "version", value->version);
    if (!value->found)
        return;
    json_kv_text(json, "type", kith_type_text(value->type));
    json_kv_text(json, "policy", kith_policy_text(value->policy));
    json_kv_id(json, "writer", &value->writer);
    json_kv_text(json, "writer_name", name_of(request, &value->writer));
    json_key(json, "time");
    json_time_ms(json, value->time_unix_ms);
}

static void reply_value(struct control_request *request,
                        const char *name,
                        const struct kith_value *value,
                        const struct kith_var_change *change)
{
    struct control_reply reply;
    struct buf text = {0};

    if (value->found && text_of_data(value, &text) != 0) {
        buf_deinit(&text);
        control_fail(request, KITH_E_MEMORY, NULL);
        return;
    }
    control_reply_begin(&reply, request);
    json_kv_text(&reply.json, "name", name);
    if (change != NULL) {
        json_kv_bool(&reply.json, "gone", change->gone);
        json_kv_bool(&reply.json, "lost", change->lost);
        json_kv_u64(&reply.json, "missed", change->missed_n);
    }
    put_value(request, &reply.json, value);
    control_reply_end(&reply, change != NULL, text.data, text.len);
    buf_deinit(&text);
}

/* ---- operations ---- */

struct doing {
    struct control_request *request;
    char name[KITH_NAME_BYTES_MAX + 1];
};

static void on_done(struct kith_node *node, const struct kith_value *value, void *user)
{
    struct doing *doing = user;

    (void)node;
    if (value->code != 0)
        control_fail(doing->request, value->code, value->text);
    else
        reply_value(doing->request, doing->name, value, NULL);
    control_request_unref(doing->request);
    core_free(doing);
}

/* A number that came as text (all of 64 bits) or as a JSON number. 0 or KITH_E_PARSE. */
static int whole(struct control_request *request, const char *key, uint64_t absent, uint64_t *out)
{
    const char *text = control_text(request, key);

    *out = control_u64(request, key, absent);
    if (text == NULL || text_parse_u64(text, 0, UINT64_MAX, out) == 0)
        return 0;
    return kith_fail_with(KITH_E_PARSE, "%s is \"%.64s\", which is no whole number", key, text);
}

static int choice(struct control_request *request,
                  const char *key,
                  int (*parse)(const char *text, uint8_t *out),
                  uint8_t absent,
                  uint8_t *out)
{
    const char *text = control_text(request, key);

    *out = absent;
    return text != NULL ? parse(text, out) : 0;
}

/* The options that all operations take. 0 or a code with its sentence. */
static int options_of(struct control_request *request,
                      const char *name,
                      uint8_t type_absent,
                      struct kith_var_options *options)
{
    uint8_t type, policy, merge;
    int r = choice(request, "type", value_type_parse, 0, &type);

    if (r == 0)
        r = choice(request, "policy", value_policy_parse, VALUE_VOLATILE, &policy);
    if (r == 0)
        r = choice(request, "merge", avail_merge_parse, KITH_MERGE_LWW, &merge);
    if (r == 0)
        r = whole(request, "fence", 0, &options->guard.fence);
    if (r != 0)
        return r;
    if (type == 0)
        type = (uint8_t)node_var_type(request->node, name);
    options->type = (enum kith_type)(type != 0 ? type : type_absent);
    options->policy = (enum kith_policy)policy;
    options->merge = (enum kith_merge)merge;
    options->timeout_ms = control_u64(request, "timeout_ms", 0);
    options->no_create = control_bool(request, "no_create", false);
    options->create_guarded = control_bool(request, "guarded", false);
    options->guard.mutex = control_text(request, "mutex");
    options->guard.last = control_bool(request, "last", false);
    return 0;
}

struct op_data {
    struct buf data, expect;
};

/* What the operation carries: data, expectation, numbers. */
static int op_of(struct control_request *request,
                 const char *name,
                 enum kith_type type,
                 struct kith_var_op *op,
                 struct op_data *held)
{
    const char *expect = control_text(request, "expect");
    uint64_t index = control_u64(request, "index", 0), count = control_u64(request, "count", 1);
    int r = whole(request, "expect_version", 0, &op->expect_version);

    if (r != 0)
        return r;
    if (index > UINT32_MAX || count > UINT32_MAX)
        return kith_fail_with(KITH_E_INVALID, "an array has no element %llu",
                              (unsigned long long)(index > UINT32_MAX ? index : count));
    op->index = (uint32_t)index;
    op->count = (uint32_t)count;
    if (op->kind == KITH_VAR_SET || op->kind == KITH_VAR_CAS_VALUE ||
        op->kind == KITH_VAR_CAS_VERSION || op->kind == KITH_VAR_ONCE ||
        op->kind == KITH_VAR_SLICE_SET || (op->kind == KITH_VAR_CREATE && request->data_len > 0)) {
        r = data_of_text(name, type, request->data, request->data_len, &held->data);
        op->data = held->data.data != NULL ? (const void *)held->data.data : "";
        op->len = held->data.len;
    }
    if (r == 0 && op->kind == KITH_VAR_CAS_VALUE && expect != NULL) {
        r = data_of_text(name, type, expect, strlen(expect), &held->expect);
        op->expect = held->expect.data != NULL ? (const void *)held->expect.data : "";
        op->expect_len = held->expect.len;
    }
    return r;
}

static int delta_of(struct control_request *request, enum kith_type type, struct kith_var_op *op)
{
    const char *text = control_text(request, "delta");
    char *end;

    op->delta = 1;
    op->delta_f64 = 1;
    if (text == NULL)
        return 0;
    if (type == KITH_TYPE_F64) {
        struct buf data = {0};
        int r = value_parse("delta", VALUE_F64, text, strlen(text), &data);
        if (r == 0)
            memcpy(&op->delta_f64, data.data, sizeof(op->delta_f64));
        buf_deinit(&data);
        return r;
    }
    errno = 0;
    op->delta = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0')
        return kith_fail_with(KITH_E_PARSE,
                              "\"%.64s\" is no whole number that could be added; write one such "
                              "as 1 or -5",
                              text);
    return 0;
}

static void do_op(struct control_request *request, enum kith_var_op_kind kind)
{
    const char *name = control_text_needed(request, "name");
    struct kith_var_options options = {0};
    struct kith_var_op op = {.kind = kind};
    struct op_data held = {0};

    if (name == NULL)
        return;
    struct doing *doing = core_calloc(1, sizeof(*doing));
    int r = doing == NULL ? KITH_E_MEMORY
                          : options_of(request, name, kind == KITH_VAR_ADD ? VALUE_I64 : VALUE_TEXT,
                                       &options);
    /* What is no number is found out where the variable is, so that the sentence names its type. */
    if (r == 0 && kind == KITH_VAR_ADD && options.type != KITH_TYPE_F64)
        options.type = KITH_TYPE_I64;
    if (r == 0)
        r = kind == KITH_VAR_ADD ? delta_of(request, options.type, &op)
                                 : op_of(request, name, options.type, &op, &held);
    if (r == 0) {
        doing->request = control_request_ref(request);
        snprintf(doing->name, sizeof(doing->name), "%s", name);
        r = kith_var_do_async(request->node, name, &op, &options, on_done, doing);
        if (r != 0)
            control_request_unref(request);
    }
    buf_deinit(&held.data);
    buf_deinit(&held.expect);
    if (r != 0) {
        core_free(doing);
        control_fail(request, r, NULL);
    }
}

static void var_get(struct control_request *request)
{
    bool slice = json_object_get(request->args, "index") != NULL;
    do_op(request, slice ? KITH_VAR_SLICE_GET : KITH_VAR_GET);
}

static void var_set(struct control_request *request)
{
    bool slice = json_object_get(request->args, "index") != NULL;
    do_op(request, control_bool(request, "once", false) ? KITH_VAR_ONCE
                   : slice                              ? KITH_VAR_SLICE_SET
                                                        : KITH_VAR_SET);
}

static void var_create(struct control_request *request)
{
    do_op(request, KITH_VAR_CREATE);
}

static void var_cas(struct control_request *request)
{
    bool by_version = json_object_get(request->args, "expect_version") != NULL;
    do_op(request, by_version ? KITH_VAR_CAS_VERSION : KITH_VAR_CAS_VALUE);
}

static void var_incr(struct control_request *request)
{
    do_op(request, KITH_VAR_ADD);
}

static void var_resize(struct control_request *request)
{
    do_op(request, KITH_VAR_RESIZE);
}

static void var_rm(struct control_request *request)
{
    do_op(request, KITH_VAR_DELETE);
}

/* ---- watching ---- */

static void on_change(struct kith_node *node, const struct kith_var_change *change, void *user)
{
    (void)node;
    reply_value(user, change->name, change->value, change);
}

static void watch_end(struct control_request *request)
{
    kith_var_unwatch(request->node, (int64_t)(intptr_t)request->state);
    control_request_unref(request);
}

static void var_watch(struct control_request *request)
{
    const char *pattern = control_text_needed(request, "pattern");

    if (pattern == NULL)
        return;
    int64_t no = kith_var_watch(request->node, pattern, on_change, control_request_ref(request));
    if (no < 0) {
        control_fail(request, (int)no, NULL);
        control_request_unref(request);
        return;
    }
    request->state = (void *)(intptr_t)no;
    request->cancel = watch_end;
}

/* ---- what there is ---- */

static void
put_info(struct control_request *request, struct json *json, const struct kith_var_info *info)
{
    json_object_begin(json);
    json_kv_text(json, "name", info->name);
    json_kv_text(json, "type", kith_type_text(info->type));
    json_kv_text(json, "policy", kith_policy_text(info->policy));
    if (info->policy == KITH_POLICY_AVAILABLE)
        json_kv_text(json, "merge", kith_merge_text(info->merge));
    json_kv_u64(json, "bytes", info->bytes);
    put_version(json, "version", info->version);
    json_kv_u64(json, "age_ms", info->age_ms);
    json_kv_text(json, "home", info->home_name);
    json_object_end(json);
    (void)request;
}

static void var_ls(struct control_request *request)
{
    struct kith_var_list *list = NULL;
    struct control_reply reply;
    int r = kith_var_list(request->node, control_text(request, "prefix"), &list);

    if (r != 0) {
        control_fail(request, r, NULL);
        return;
    }
    control_reply_begin(&reply, request);
    json_key(&reply.json, "vars");
    json_array_begin(&reply.json);
    for (size_t i = 0; i < list->vars_n; i++)
        put_info(request, &reply.json, &list->vars[i]);
    json_array_end(&reply.json);
    control_reply_end(&reply, false, NULL, 0);
    kith_var_list_free(list);
}

const struct control_verb control_verbs_var[] = {
    {.name = "var.get", .run = var_get},       {.name = "var.set", .run = var_set},
    {.name = "var.create", .run = var_create}, {.name = "var.cas", .run = var_cas},
    {.name = "var.incr", .run = var_incr},     {.name = "var.resize", .run = var_resize},
    {.name = "var.rm", .run = var_rm},         {.name = "var.watch", .run = var_watch},
    {.name = "var.ls", .run = var_ls},         {0},
};
