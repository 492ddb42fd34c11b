/*
 * The dispatcher behind HTTP: a route becomes a request of its verb, and the verb's answer the
 * body. And the same for what the room asks for itself.
 */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "http/files.h"
#include "http/server.h"

/* ---- arguments ---- */

static void put_argument(void *arg, const char *key, const char *value)
{
    json_t *args = arg;
    json_t *json;

    if (strcmp(key, "follow") == 0)
        return; /* an answer over HTTP has an end */
    /* The dispatcher reads numbers from texts, but not whether something is so. */
    if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0)
        json = json_boolean(value[0] == 't');
    else
        json = json_string(value); /* NULL if it is no UTF-8: then it is not there */
    if (json != NULL && json_object_get(args, key) == NULL)
        (void)json_object_set_new(args, key, json);
    else
        json_decref(json);
}

json_t *http_args(struct http_exchange *x)
{
    json_t *args = x->body != NULL ? json_copy(x->body) : json_object();

    if (args == NULL)
        return NULL;
    if (x->web != NULL)
        web_query_each(x->web, put_argument, args);
    if (x->route->argument != NULL && x->name != NULL)
        (void)json_object_set_new(args, x->route->argument, json_string(x->name));
    return args;
}

uint64_t http_query_u64(struct http_exchange *x, const char *key, uint64_t absent)
{
    char text[32];
    uint64_t number;

    return web_query(x->web, key, text, sizeof(text)) &&
                   text_parse_u64(text, 0, UINT64_MAX, &number) == 0
               ? number
               : absent;
}

bool http_query_bool(struct http_exchange *x, const char *key, bool absent)
{
    char text[16];
    bool value;

    return web_query(x->web, key, text, sizeof(text)) && text_parse_bool(text, &value) == 0
               ? value
               : absent;
}

/* ---- a route's verb ---- */

static void exchange_failed(struct http_exchange *x, int code, const struct buf *json)
{
    json_t *error = json_loadb((const char *)json->data, json->len, 0, NULL);
    const char *message = json_string_value(json_object_get(error, "message"));

    bool fails = x->conditional && (code == KITH_E_FENCE || code == KITH_E_EXISTS);
    http_fail(x, fails ? 412 : 0, code, message, json_string_value(json_object_get(error, "hint")));
    json_decref(error);
}

static void exchange_progress(struct http_exchange *x, const struct buf *json)
{
    json_t *doc = json_loadb((const char *)json->data, json->len, 0, NULL);
    const char *text = json_string_value(json_object_get(doc, "text"));

    http_transfer_at(x->transfer, (uint64_t)json_integer_value(json_object_get(doc, "done_bytes")),
                     (uint64_t)json_integer_value(json_object_get(doc, "all_bytes")));
    http_transfer_waits(x->transfer, text != NULL ? text : "");
    json_decref(doc);
}

/* "ETag" of the entry in @json to @line. */
static void entry_etag(const struct buf *json, char *line, size_t line_bytes)
{
    json_t *doc = json_loadb((const char *)json->data, json->len, 0, NULL);
    const char *hash = json_string_value(json_object_get(json_object_get(doc, "entry"), "hash"));

    snprintf(line, line_bytes, "ETag: \"%s\"\r\n", hash != NULL ? hash : "");
    json_decref(doc);
}

static void exchange_answer(struct control_request *request,
                            bool ok,
                            bool more,
                            const struct buf *json,
                            const void *data,
                            size_t len)
{
    struct http_exchange *x = request->client;
    struct http_body body = {.status = 200, .data = json->data, .len = json->len};
    char etag[96];

    if (x == NULL)
        return;
    if (more) {
        if (x->transfer != NULL)
            exchange_progress(x, json);
        return;
    }
    request->client = NULL;
    x->control = NULL;
    http_transfer_end(x->transfer, ok ? 0 : request->code, NULL);
    x->transfer = NULL;
    if (ok && x->answered != NULL) {
        x->answered(x, json, data, len);
    } else if (ok && x->etag) {
        entry_etag(json, etag, sizeof(etag));
        http_answer(x, &body, etag);
    } else if (ok && strcmp(x->verb, "nodes") == 0) {
        json_t *doc = json_loadb((const char *)json->data, json->len, 0, NULL);
        http_members_mark(&x->server->members, doc);
        http_answer_json(x, 200, doc, NULL);
    } else if (ok)
        http_answer(x, &body, NULL);
    else
        exchange_failed(x, request->code, json);
}

static void exchange_ended(struct control_request *request)
{
    struct http_exchange *x = request->client;

    request->client = NULL;
    control_request_unref(request);
    if (x == NULL)
        return;
    x->control = NULL;
    http_fail(x, 0, KITH_E_INTERNAL, "ended without an answer", NULL);
}

static const struct control_door exchange_door = {.answer = exchange_answer,
                                                  .ended = exchange_ended};

static void exchange_gone(struct http_exchange *x)
{
    struct control_request *request = x->control;

    x->control = NULL;
    request->client = NULL;
    control_cancel(request, KITH_E_CANCELED);
    http_exchange_free(x);
}

void http_dispatch_verb(
    struct http_exchange *x, const char *verb, json_t *args, const void *data, size_t len)
{
    struct control_request *request =
        args != NULL ? control_request_new(x->server->service.node, &exchange_door, x, NULL, args)
                     : NULL;

    if (request == NULL) {
        http_fail(x, 0, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY), NULL);
        return;
    }
    x->control = request;
    x->verb = verb;
    x->gone = exchange_gone;
    request->data = data;
    request->data_len = len;
    control_dispatch(request, verb);
}

void http_dispatch(struct http_exchange *x)
{
    http_dispatch_verb(x, x->route->verb, http_args(x), NULL, 0);
}

/* ---- what the room asks for ---- */

struct asking {
    struct list link; /* http_server.asking */
    struct control_request *request;
    http_asked_cb done;
    void *user;
};

static void ask_answer(struct control_request *request,
                       bool ok,
                       bool more,
                       const struct buf *json,
                       const void *data,
                       size_t len)
{
    struct asking *asking = request->client;

    (void)data;
    (void)len;
    if (asking == NULL || more)
        return;
    request->client = NULL;
    list_remove(&asking->link);
    json_t *doc = json_loadb((const char *)json->data, json->len, 0, NULL);
    if (ok && doc != NULL)
        asking->done(asking->user, doc, 0, NULL);
    else
        asking->done(asking->user, NULL, ok ? KITH_E_MEMORY : request->code,
                     json_string_value(json_object_get(doc, "message")));
    json_decref(doc);
    core_free(asking);
}

static void ask_ended(struct control_request *request)
{
    struct asking *asking = request->client;

    if (asking != NULL) {
        request->client = NULL;
        list_remove(&asking->link);
        asking->done(asking->user, NULL, KITH_E_INTERNAL, "ended without an answer");
        core_free(asking);
    }
    control_request_unref(request);
}

static const struct control_door ask_door = {.answer = ask_answer, .ended = ask_ended};

void http_ask(
    struct http_server *server, const char *verb, json_t *args, http_asked_cb done, void *user)
{
    struct asking *asking = core_calloc(1, sizeof(*asking));
    struct control_request *request = NULL;

    if (asking != NULL && args != NULL) {
        asking->done = done;
        asking->user = user;
        request = control_request_new(server->service.node, &ask_door, asking, NULL, args);
    } else {
        json_decref(args);
    }
    if (request == NULL) {
        core_free(asking);
        done(user, NULL, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
        return;
    }
    asking->request = request;
    list_append(&server->asking, &asking->link);
    control_dispatch(request, verb);
}

void http_asking_stop(struct http_server *server)
{
    struct list *link;

    while ((link = list_first(&server->asking)) != NULL)
        control_cancel(container_of(link, struct asking, link)->request, KITH_E_STOPPED);
}
