/* See request.h: life of a request, its answers, its arguments, and the dispatcher. */
#include "control/request.h"

#include <string.h>

#include "control/control.h"
#include "control/forward.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"

/* ---- life ---- */

struct control_request *control_request_new(
    struct kith_node *node, const struct control_door *door, void *client, json_t *id, json_t *args)
{
    struct control_request *request = core_calloc(1, sizeof(*request));
    if (request == NULL) {
        json_decref(id);
        json_decref(args);
        return NULL;
    }
    request->node = node;
    request->door = door;
    request->client = client;
    request->id = id;
    request->args = args;
    request->verb_name = "error";
    request->refs_n = 1;
    return request;
}

struct control_request *control_request_ref(struct control_request *request)
{
    request->refs_n++;
    return request;
}

void control_request_unref(struct control_request *request)
{
    if (--request->refs_n > 0)
        return;
    json_decref(request->id);
    json_decref(request->args);
    core_free(request->data_owned);
    core_free(request);
}

void control_request_end(struct control_request *request)
{
    if (request->ended)
        return;
    request->ended = true;
    request->cancel = NULL;
    request->door->ended(request);
}

/* ---- answers ---- */

void control_reply_begin(struct control_reply *reply, struct control_request *request)
{
    char schema[64];

    *reply = (struct control_reply){.request = request};
    reply->json = json_begin(&reply->buf);
    snprintf(schema, sizeof(schema), "kith.%s/1", request->verb_name);
    json_object_begin(&reply->json);
    json_kv_text(&reply->json, "schema", schema);
}

void control_reply_end(struct control_reply *reply, bool more, const void *data, size_t len)
{
    struct control_request *request = reply->request;

    json_object_end(&reply->json);
    if (!request->ended) {
        if (json_end(&reply->json) != 0) {
            control_fail(request, KITH_E_MEMORY, NULL);
        } else {
            request->door->answer(request, true, more, &reply->buf, data, len);
            if (!more)
                control_request_end(request);
        }
    }
    buf_deinit(&reply->buf);
}

void control_reply_empty(struct control_request *request)
{
    struct control_reply reply;
    control_reply_begin(&reply, request);
    control_reply_end(&reply, false, NULL, 0);
}

int control_exit_of(int code)
{
    switch (code) {
    case 0:
        return 0;
    case KITH_E_INVALID:
    case KITH_E_PARSE:
    case KITH_E_NAME:
        return 2;
    case KITH_E_NO_AGENT:
    case KITH_E_STOPPED:
        return 3;
    case KITH_E_NOT_FOUND:
    case KITH_E_NO_FUNCTION:
    case KITH_E_NO_NODE:
    case KITH_E_NO_CLUSTER:
        return 4;
    case KITH_E_PERMISSION:
    case KITH_E_SECRET:
    case KITH_E_OTHER_CLUSTER:
        return 5;
    case KITH_E_TIMEOUT:
        return 6;
    case KITH_E_EXISTS:
    case KITH_E_IN_USE:
    case KITH_E_BUSY:
    case KITH_E_TYPE:
    case KITH_E_FENCE:
    case KITH_E_AGAIN:
    case KITH_E_WOULD_DEADLOCK:
        return 7;
    case KITH_E_NO_QUORUM:
        return 9;
    default:
        return 1;
    }
}

void control_fail(struct control_request *request, int code, const char *text)
{
    struct buf buf = {0};
    struct json json = json_begin(&buf);

    if (request->ended)
        return;
    request->code = code;
    if (text == NULL)
        text = kith_errmsg()[0] != '\0' ? kith_errmsg() : kith_strerror(code);
    json_object_begin(&json);
    json_kv_text(&json, "code", kith_error_name(code));
    json_kv_i64(&json, "exit", control_exit_of(code));
    json_kv_text(&json, "message", text);
    json_object_end(&json);
    if (json_end(&json) == 0)
        request->door->answer(request, false, false, &buf, NULL, 0);
    buf_deinit(&buf);
    control_request_end(request);
}

void control_cancel(struct control_request *request, int code)
{
    if (request->ended)
        return;
    control_request_ref(request);
    if (request->cancel != NULL) {
        void (*cancel)(struct control_request *) = request->cancel;
        request->cancel = NULL;
        cancel(request);
    }
    control_fail(request, code, code == KITH_E_STOPPED ? "the agent ends" : "cancelled");
    control_request_unref(request);
}

/* ---- arguments ---- */

const char *control_text(const struct control_request *request, const char *key)
{
    return json_string_value(json_object_get(request->args, key));
}

bool control_bool(const struct control_request *request, const char *key, bool absent)
{
    const json_t *value = json_object_get(request->args, key);
    return json_is_boolean(value) ? json_is_true(value) : absent;
}

uint64_t control_u64(const struct control_request *request, const char *key, uint64_t absent)
{
    const json_t *value = json_object_get(request->args, key);
    uint64_t number;

    if (json_is_integer(value) && json_integer_value(value) >= 0)
        return (uint64_t)json_integer_value(value);
    if (json_is_string(value) &&
        text_parse_u64(json_string_value(value), 0, UINT64_MAX, &number) == 0)
        return number;
    return absent;
}

const char *control_text_needed(struct control_request *request, const char *key)
{
    const char *text = control_text(request, key);
    char message[200];

    if (text != NULL && text[0] != '\0')
        return text;
    snprintf(
        message, sizeof(message),
        "%s needs the argument \"%s\", a text%s; docs/protocols/control.md lists the arguments",
        request->verb_name, key, text != NULL ? " that is not empty" : "");
    control_fail(request, KITH_E_INVALID, message);
    return NULL;
}

int control_code_named(const char *name)
{
    static const int codes[] = {
#define XX(code_name, number, text) KITH_E_##code_name,
        KITH_ERROR_MAP(XX)
#undef XX
    };
    for (size_t i = 0; name != NULL && i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (strcmp(kith_error_name(codes[i]), name) == 0)
            return codes[i];
    }
    return KITH_E_INTERNAL;
}

/* ---- the dispatcher ---- */

static const struct control_verb *tables[] = {
    control_verbs_node,     control_verbs_calls,     control_verbs_functions,
    control_verbs_map,      control_verbs_serve,     control_verbs_watch,
    control_verbs_info,     control_verbs_reach,     control_verbs_var,
    control_verbs_lock,     control_verbs_lock_list, control_verbs_view,
    control_verbs_name,     control_verbs_host,      control_verbs_dev,
    control_verbs_label,    control_verbs_config,    control_verbs_var_info,
    control_verbs_overview, control_verbs_bundle,    control_verbs_log,
    control_verbs_fs,       control_verbs_fs_stream, NULL, /* control_add_verbs() */
};
#define TABLES_N  (sizeof(tables) / sizeof(tables[0]))
#define VERBS_MAX 160

void control_add_verbs(const struct control_verb *table)
{
    tables[TABLES_N - 1] = table;
}

static const struct control_verb *verb_find(const char *name)
{
    for (size_t i = 0; i < TABLES_N; i++) {
        for (const struct control_verb *verb = tables[i]; verb != NULL && verb->name != NULL;
             verb++) {
            if (strcmp(verb->name, name) == 0)
                return verb;
        }
    }
    return NULL;
}

bool control_verb_is_remote(const char *name)
{
    const struct control_verb *verb = verb_find(name);
    return verb != NULL && verb->remote;
}

static void unknown(struct control_request *request, const char *name)
{
    const char *names[VERBS_MAX];
    char text[200];
    size_t n = 0;

    for (size_t i = 0; i < TABLES_N; i++) {
        for (const struct control_verb *verb = tables[i];
             verb != NULL && verb->name != NULL && n < VERBS_MAX; verb++)
            names[n++] = verb->name;
    }
    const char *nearest = text_nearest(name, names, n);
    snprintf(text, sizeof(text), "there is no verb \"%.48s\"; %s%s%s", name,
             nearest != NULL ? "did you mean \"" : "docs/protocols/control.md lists them",
             nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
    control_fail(request, KITH_E_UNSUPPORTED, text);
}

void control_dispatch(struct control_request *request, const char *name)
{
    const struct control_verb *verb = verb_find(name);

    kith_errmsg_clear();
    if (verb == NULL) {
        unknown(request, name);
        return;
    }
    request->verb = verb;
    request->verb_name = verb->name;
    control_request_ref(request);
    if (verb->forward == NULL || control_text(request, verb->forward) == NULL ||
        !control_forward(request, control_text(request, verb->forward)))
        verb->run(request);
    control_request_unref(request);
}
