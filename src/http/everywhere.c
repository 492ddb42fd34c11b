/*
 * Documents that no node knows alone: times of functions (each node is asked for its own, and what
 * they say is joined), mutexes (the verb lock.ls does that), and round trips between all pairs (the
 * verb reach, made a matrix).
 */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "http/server.h"

/* ---- one verb of all nodes ---- */

struct asked;

struct everywhere {
    const char *array; /* of each answer and of the document: objects with a name */
    void (*add)(json_t *by_name, const struct asked *one, json_t *row);
    json_t *doc, *by_name;
    size_t left_n, silent_n;
    http_asked_cb done;
    void *user;
};

struct asked {
    struct everywhere *all;
    char id[KITH_NODE_ID_DIGITS + 1];
    char name[KITH_NAME_BYTES_MAX + 1];
};

static int by_name(const void *a, const void *b)
{
    return strcmp(json_string_value(json_object_get(*(json_t *const *)a, "name")),
                  json_string_value(json_object_get(*(json_t *const *)b, "name")));
}

/* The values of @object, by their names, to the end of @array. */
static void append_sorted(json_t *array, json_t *object)
{
    size_t n = json_object_size(object), i = 0;
    json_t **all = core_calloc(n > 0 ? n : 1, sizeof(*all)), *value;
    const char *key;

    if (all == NULL)
        return;
    json_object_foreach(object, key, value)
    {
        all[i++] = value;
    }
    qsort(all, n, sizeof(*all), by_name);
    for (i = 0; i < n; i++)
        (void)json_array_append(array, all[i]);
    core_free(all);
}

static void everywhere_over(struct everywhere *all)
{
    append_sorted(json_object_get(all->doc, all->array), all->by_name);
    (void)json_object_set_new(all->doc, "silent_nodes", json_integer((json_int_t)all->silent_n));
    all->done(all->user, all->doc, 0, NULL);
    json_decref(all->doc);
    json_decref(all->by_name);
    core_free(all);
}

static void on_answer(void *user, json_t *result, int code, const char *text)
{
    struct asked *one = user;
    struct everywhere *all = one->all;
    json_t *rows = json_object_get(result, all->array), *row;
    size_t i;

    (void)code;
    (void)text;
    all->silent_n += result == NULL;
    json_array_foreach(rows, i, row)
    {
        if (json_is_string(json_object_get(row, "name")))
            all->add(all->by_name, one, row);
    }
    core_free(one);
    if (--all->left_n == 0)
        everywhere_over(all);
}

/* Takes @all over, whose document, array and callbacks are set. */
static void ask_all(struct http_server *server, struct everywhere *all, const char *verb)
{
    struct kith_node_list *list = NULL;

    all->by_name = json_object();
    all->left_n = 1; /* ourselves, so that it is not over before all are asked */
    if (kith_nodes(server->service.node, true, &list) != 0)
        list = NULL;
    for (size_t i = 0; list != NULL && i < list->nodes_n; i++) {
        struct asked *one = core_calloc(1, sizeof(*one));
        if (one == NULL || list->nodes[i].status != KITH_STATUS_ALIVE) {
            core_free(one);
            continue;
        }
        one->all = all;
        kith_node_id_text(&list->nodes[i].id, one->id);
        snprintf(one->name, sizeof(one->name), "%s", list->nodes[i].name);
        all->left_n++;
        http_ask(server, verb, json_pack("{s:s}", "node", one->id), on_answer, one);
    }
    kith_node_list_free(list);
    if (--all->left_n == 0)
        everywhere_over(all);
}

static void ask_everywhere(struct http_server *server,
                           const char *verb,
                           const struct everywhere *what,
                           http_asked_cb done,
                           void *user)
{
    struct everywhere *all = core_calloc(1, sizeof(*all));

    if (all == NULL) {
        done(user, NULL, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
        return;
    }
    *all = *what;
    all->done = done;
    all->user = user;
    ask_all(server, all, verb);
}

/* ---- mutexes ---- */

struct locks_asked {
    http_asked_cb done;
    void *user;
};

static void on_locks(void *user, json_t *result, int code, const char *text)
{
    struct locks_asked asked = *(struct locks_asked *)user;

    core_free(user);
    if (result != NULL)
        (void)json_object_set_new(result, "schema", json_string("kith.lock.ls/1"));
    asked.done(asked.user, result, code, text);
}

void http_locks_ask(struct http_server *server, http_asked_cb done, void *user)
{
    struct locks_asked *asked = core_calloc(1, sizeof(*asked));

    if (asked == NULL) {
        done(user, NULL, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
        return;
    }
    *asked = (struct locks_asked){.done = done, .user = user};
    http_ask(server, "lock.ls", json_pack("{s:b}", "live", true), on_locks, asked);
}

/* ---- times of functions ---- */

static void add_number(json_t *known, const json_t *times, const char *key)
{
    double sum = json_number_value(json_object_get(known, key)) +
                 json_number_value(json_object_get(times, key));
    (void)json_object_set_new(known, key, json_real((double)(int64_t)(sum * 1000 + 0.5) / 1000));
}

/* The newest error of all nodes, with its node. Times of one form are ordered as texts are. */
static void keep_newer_error(json_t *known, const struct asked *one, json_t *error)
{
    const char *time = json_string_value(json_object_get(error, "time"));
    const char *before =
        json_string_value(json_object_get(json_object_get(known, "last_error"), "time"));

    if (time == NULL || (before != NULL && strcmp(time, before) <= 0))
        return;
    json_t *newer = json_copy(error);
    (void)json_object_set_new(newer, "node_name", json_string(one->name));
    (void)json_object_set_new(known, "last_error", newer);
}

static void add_times(json_t *by_name, const struct asked *one, json_t *times)
{
    const char *name = json_string_value(json_object_get(times, "name"));
    json_t *known = json_object_get(by_name, name);

    if (known == NULL) {
        known = json_pack("{s:s,s:f,s:f,s:n,s:[]}", "name", name, "calls_per_s", 0.0,
                          "errors_per_s", 0.0, "last_error", "nodes");
        (void)json_object_set_new(by_name, name, known);
    }
    add_number(known, times, "calls_per_s");
    add_number(known, times, "errors_per_s");
    keep_newer_error(known, one, json_object_get(times, "last_error"));
    (void)json_object_set_new(times, "id", json_string(one->id));
    (void)json_object_set_new(times, "name", json_string(one->name));
    (void)json_array_append(json_object_get(known, "nodes"), times);
}

void http_times_ask(struct http_server *server, http_asked_cb done, void *user)
{
    struct everywhere what = {.array = "functions", .add = add_times};

    what.doc = json_pack("{s:s,s:[]}", "schema", "kith.functions.times/1", "functions");
    ask_everywhere(server, "functions.times", &what, done, user);
}

/* ---- round trips ---- */

struct reaching {
    http_asked_cb done;
    void *user;
};

static size_t place_of(json_t *places, const json_t *link, const char *end)
{
    const char *id = json_string_value(json_object_get(link, end));
    const json_t *place = id != NULL ? json_object_get(places, id) : NULL;
    return place != NULL ? (size_t)json_integer_value(place) : SIZE_MAX;
}

/* A row for each node that asked; null where no echo came back, and of a node to itself. */
static json_t *matrix_of(json_t *result)
{
    json_t *doc = json_pack("{s:s,s:[]}", "schema", "kith.rtt/1", "nodes");
    json_t *nodes = json_object_get(doc, "nodes"), *places = json_object(), *node, *link;
    json_t *links = json_object_get(result, "links"), *all = json_object_get(result, "nodes");
    size_t i, n = json_array_size(all);

    json_array_foreach(all, i, node)
    {
        json_t *row = json_array();
        for (size_t k = 0; k < n; k++)
            (void)json_array_append_new(row, json_null());
        (void)json_array_append_new(nodes, json_pack("{s:O,s:O,s:o}", "id",
                                                     json_object_get(node, "id"), "name",
                                                     json_object_get(node, "name"), "rtt_ms", row));
        (void)json_object_set_new(places, json_string_value(json_object_get(node, "id")),
                                  json_integer((json_int_t)i));
    }
    json_array_foreach(links, i, link)
    {
        size_t from = place_of(places, link, "from"), to = place_of(places, link, "to");
        const json_t *rtt = json_object_get(link, "rtt_ms");
        if (from < n && to < n && json_is_number(rtt))
            (void)json_array_set_new(
                json_object_get(json_array_get(nodes, from), "rtt_ms"), to,
                json_real((double)(int64_t)(json_number_value(rtt) * 1000 + 0.5) / 1000));
    }
    json_decref(places);
    return doc;
}

static void on_reach(void *user, json_t *result, int code, const char *text)
{
    struct reaching *reaching = user;
    json_t *doc = result != NULL ? matrix_of(result) : NULL;

    reaching->done(reaching->user, doc, code, text);
    json_decref(doc);
    core_free(reaching);
}

void http_rtt_ask(struct http_server *server, http_asked_cb done, void *user)
{
    struct reaching *reaching = core_calloc(1, sizeof(*reaching));
    struct kith_node_list *list = NULL;
    size_t n = 0;

    if (kith_nodes(server->service.node, false, &list) == 0) {
        for (size_t i = 0; i < list->nodes_n; i++)
            n += list->nodes[i].status != KITH_STATUS_LEFT;
    }
    kith_node_list_free(list);
    if (reaching == NULL || n > HTTP_RTT_NODES_MAX) {
        core_free(reaching);
        done(user, NULL, n > HTTP_RTT_NODES_MAX ? KITH_E_LIMIT : KITH_E_MEMORY,
             n > HTTP_RTT_NODES_MAX
                 ? "every pair is measured only in clusters of up to 64 nodes; kith reach asks more"
                 : kith_strerror(KITH_E_MEMORY));
        return;
    }
    *reaching = (struct reaching){.done = done, .user = user};
    http_ask(server, "reach", json_object(), on_reach, reaching);
}

/* ---- routes ---- */

struct waiting {
    struct http_exchange *x; /* NULL: the client has gone */
    bool locks;              /* of which a part is wanted */
    struct http_part part;
    struct http_part_texts texts;
};

static void on_doc(void *user, json_t *result, int code, const char *text)
{
    struct waiting *waiting = user;
    struct http_exchange *x = waiting->x;

    if (x != NULL) {
        x->gone = NULL;
        if (result != NULL) {
            if (waiting->locks)
                http_part_locks(result, &waiting->part);
            http_answer_json(x, 200, json_incref(result), NULL);
        } else {
            http_fail(x, 0, code, text, NULL);
        }
    }
    core_free(waiting);
}

static void client_gone(struct http_exchange *x)
{
    struct waiting *waiting = x->state;
    waiting->x = NULL;
    http_exchange_free(x);
}

static struct waiting *wait_for(struct http_exchange *x)
{
    struct waiting *waiting = core_calloc(1, sizeof(*waiting));

    if (waiting == NULL) {
        http_fail(x, 0, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY), NULL);
        return NULL;
    }
    waiting->x = x;
    x->state = waiting;
    x->gone = client_gone;
    return waiting;
}

void http_get_locks(struct http_exchange *x)
{
    struct waiting *waiting = wait_for(x);

    if (waiting == NULL)
        return;
    waiting->locks = true;
    waiting->part = http_query_part(x, &waiting->texts);
    http_locks_ask(x->server, on_doc, waiting);
}

void http_get_transfers(struct http_exchange *x)
{
    struct waiting *waiting = wait_for(x);

    if (waiting != NULL)
        http_transfers_ask(x->server, on_doc, waiting);
}

void http_get_times(struct http_exchange *x)
{
    struct waiting *waiting = wait_for(x);

    if (waiting != NULL)
        http_times_ask(x->server, on_doc, waiting);
}

void http_get_rtt(struct http_exchange *x)
{
    struct waiting *waiting = wait_for(x);

    if (waiting != NULL)
        http_rtt_ask(x->server, on_doc, waiting);
}

void http_get_var_info(struct http_exchange *x)
{
    struct waiting *waiting = wait_for(x);

    if (waiting != NULL)
        http_ask(x->server, "var.info", json_pack("{s:s}", "name", x->name), on_doc, waiting);
}
