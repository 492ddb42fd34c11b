/* Routes that list things, a page at a time, and the documents that topics of the stream share. */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "http/server.h"
#include "member/member.h"

void http_page(json_t *doc, const char *key, size_t offset, size_t limit)
{
    json_t *array = json_object_get(doc, key);
    size_t n = json_array_size(array);
    json_t *page = json_array();

    for (size_t i = offset; page != NULL && i < n && i - offset < limit; i++)
        (void)json_array_append(page, json_array_get(array, i));
    (void)json_object_set_new(doc, key, page);
    (void)json_object_set_new(doc, "total", json_integer((json_int_t)n));
    (void)json_object_set_new(doc, "offset", json_integer((json_int_t)offset));
}

static size_t limit_of(struct http_exchange *x)
{
    uint64_t limit = http_query_u64(x, "limit", 100);
    return limit > HTTP_PAGE_MAX ? HTTP_PAGE_MAX : (size_t)limit;
}

/* ---- resources ---- */

static json_t *known_real(double value, bool known)
{
    return known ? json_real(value) : json_null();
}

static json_t *resources_of(const struct kith_node_info *info)
{
    bool known = info->facts_age_ms != UINT64_MAX;
    char id[KITH_NODE_ID_DIGITS + 1];
    json_t *doc = json_pack("{s:s,s:s,s:s,s:I,s:I,s:I}", "id", kith_node_id_text(&info->id, id),
                            "name", info->name, "status", kith_status_text(info->status), "cpus",
                            (json_int_t)info->cpus, "cores", (json_int_t)info->cores,
                            "memory_bytes", (json_int_t)info->memory_bytes);

    (void)json_object_set_new(doc, "memory_available_bytes",
                              known ? json_integer((json_int_t)info->memory_available_bytes)
                                    : json_null());
    (void)json_object_set_new(doc, "load", known_real(info->load, known));
    (void)json_object_set_new(doc, "cpu_percent", known_real(info->cpu_percent, known));
    (void)json_object_set_new(doc, "facts_age_ms",
                              known ? json_integer((json_int_t)info->facts_age_ms) : json_null());
    return doc;
}

json_t *http_resources_doc(struct http_server *server)
{
    struct kith_node_list *list = NULL;
    json_t *doc = json_pack("{s:s,s:[]}", "schema", "kith.resources/1", "nodes");

    if (doc == NULL || kith_nodes(server->service.node, false, &list) != 0) {
        json_decref(doc);
        return NULL;
    }
    for (size_t i = 0; i < list->nodes_n; i++)
        (void)json_array_append_new(json_object_get(doc, "nodes"), resources_of(&list->nodes[i]));
    kith_node_list_free(list);
    return doc;
}

void http_get_resources(struct http_exchange *x)
{
    char node[128];

    if (web_query(x->web, "node", node, sizeof(node)))
        http_dispatch(x);
    else
        http_answer_json(x, 200, http_resources_doc(x->server), NULL);
}

/* ---- variables ---- */

bool http_var_is_hidden(const char *name)
{
    return strncmp(name, "kith/", 5) == 0;
}

static json_t *var_doc(const struct kith_var_info *info)
{
    char version[24];

    snprintf(version, sizeof(version), "%llu", (unsigned long long)info->version);
    json_t *doc = json_pack("{s:s,s:s,s:s,s:I,s:s,s:I,s:s}", "name", info->name, "type",
                            kith_type_text(info->type), "policy", kith_policy_text(info->policy),
                            "bytes", (json_int_t)info->bytes, "version", version, "age_ms",
                            (json_int_t)info->age_ms, "home", info->home_name);
    if (doc != NULL && info->policy == KITH_POLICY_AVAILABLE)
        (void)json_object_set_new(doc, "merge", json_string(kith_merge_text(info->merge)));
    return doc;
}

json_t *http_vars_doc(struct http_server *server, const char *prefix, size_t offset, size_t limit)
{
    struct kith_var_list *list = NULL;
    json_t *doc = json_pack("{s:s,s:[]}", "schema", "kith.var.ls/1", "vars");
    size_t n = 0;

    if (doc == NULL || kith_var_list(server->service.node, prefix, &list) != 0) {
        json_decref(doc);
        return NULL;
    }
    for (size_t i = 0; i < list->vars_n; i++) {
        if (http_var_is_hidden(list->vars[i].name))
            continue;
        if (n >= offset && n - offset < limit)
            (void)json_array_append_new(json_object_get(doc, "vars"), var_doc(&list->vars[i]));
        n++;
    }
    kith_var_list_free(list);
    (void)json_object_set_new(doc, "total", json_integer((json_int_t)n));
    (void)json_object_set_new(doc, "offset", json_integer((json_int_t)offset));
    return doc;
}

void http_get_vars(struct http_exchange *x)
{
    char prefix[KITH_NAME_BYTES_MAX + 1];

    (void)web_query(x->web, "prefix", prefix, sizeof(prefix));
    http_answer_json(
        x, 200,
        http_vars_doc(x->server, prefix, (size_t)http_query_u64(x, "offset", 0), limit_of(x)),
        NULL);
}

/* ---- events ---- */

static json_t *event_doc(const struct node_event_record *record)
{
    struct buf buf = {0};
    struct json json = json_begin(&buf);

    json_object_begin(&json);
    json_kv_u64(&json, "seq", record->seq);
    json_key(&json, "time");
    json_time_ms(&json, record->time_unix_ms);
    json_kv_text(&json, "type", record->type);
    json_kv_id(&json, "id", &record->id);
    json_kv_text(&json, "name", record->name);
    json_kv_text(&json, "address", record->address);
    json_kv_text(&json, "reason", record->reason);
    json_object_end(&json);
    json_t *doc =
        json_end(&json) == 0 ? json_loadb((const char *)buf.data, buf.len, 0, NULL) : NULL;
    buf_deinit(&buf);
    return doc;
}

json_t *http_events_doc(struct http_server *server, uint64_t after, uint64_t before, size_t limit)
{
    struct node_event_record *records = core_malloc(NODE_EVENTS_KEPT * sizeof(*records));
    json_t *doc = json_pack("{s:s,s:[]}", "schema", "kith.events/1", "events");
    uint64_t first = 0, last = after;

    if (records == NULL || doc == NULL) {
        core_free(records);
        json_decref(doc);
        return NULL;
    }
    size_t n = node_events_since(server->service.node, after, records, NODE_EVENTS_KEPT);
    if (n > 0)
        last = records[n - 1].seq;
    while (n > 0 && records[n - 1].seq >= before)
        n--;
    for (size_t i = n > limit ? n - limit : 0; i < n; i++) {
        if (first == 0)
            first = records[i].seq;
        (void)json_array_append_new(json_object_get(doc, "events"), event_doc(&records[i]));
    }
    core_free(records);
    (void)json_object_set_new(doc, "first_seq", json_integer((json_int_t)first));
    (void)json_object_set_new(doc, "last_seq", json_integer((json_int_t)last));
    return doc;
}

void http_get_events(struct http_exchange *x)
{
    http_answer_json(x, 200,
                     http_events_doc(x->server, http_query_u64(x, "after", 0),
                                     http_query_u64(x, "before", UINT64_MAX), limit_of(x)),
                     NULL);
}

/* ---- mutexes: every node knows those that it uses ---- */

struct asking_locks {
    struct http_server *server;
    json_t *doc, *by_name;
    size_t left_n, silent_n;
    http_asked_cb done;
    void *user;
};

static void add_locks(struct asking_locks *asking, const json_t *locks)
{
    json_t *lock;
    size_t i;

    json_array_foreach(locks, i, lock)
    {
        const char *name = json_string_value(json_object_get(lock, "name"));
        json_t *known = name != NULL ? json_object_get(asking->by_name, name) : NULL;
        if (name == NULL)
            continue;
        if (known == NULL)
            (void)json_object_set(asking->by_name, name, lock);
        else
            (void)json_array_extend(json_object_get(known, "parties"),
                                    json_object_get(lock, "parties"));
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(json_string_value(json_object_get(*(json_t *const *)a, "name")),
                  json_string_value(json_object_get(*(json_t *const *)b, "name")));
}

/*
 * The locks of @object that somebody holds or waits for, by their names, to the end of @array. A
 * node keeps a place at one that it used for a minute, in which it would have it at once; nobody
 * has it then, least of all who was broken off.
 */
static void append_used(json_t *array, json_t *object)
{
    size_t n = json_object_size(object), i = 0;
    json_t **all = core_calloc(n > 0 ? n : 1, sizeof(*all)), *value;
    const char *key;

    if (all == NULL)
        return;
    json_object_foreach(object, key, value)
    {
        if (json_array_size(json_object_get(value, "parties")) > 0)
            all[i++] = value;
    }
    n = i;
    qsort(all, n, sizeof(*all), by_name);
    for (i = 0; i < n; i++)
        (void)json_array_append(array, all[i]);
    core_free(all);
}

static void locks_over(struct asking_locks *asking)
{
    append_used(json_object_get(asking->doc, "locks"), asking->by_name);
    (void)json_object_set_new(asking->doc, "silent_nodes",
                              json_integer((json_int_t)asking->silent_n));
    asking->done(asking->user, asking->doc, 0, NULL);
    json_decref(asking->doc);
    json_decref(asking->by_name);
    core_free(asking);
}

static void on_locks(void *user, json_t *result, int code, const char *text)
{
    struct asking_locks *asking = user;

    (void)code;
    (void)text;
    if (result != NULL)
        add_locks(asking, json_object_get(result, "locks"));
    else
        asking->silent_n++;
    if (--asking->left_n == 0)
        locks_over(asking);
}

void http_locks_ask(struct http_server *server, http_asked_cb done, void *user)
{
    struct asking_locks *asking = core_calloc(1, sizeof(*asking));
    struct kith_node_list *list = NULL;
    char id[KITH_NODE_ID_DIGITS + 1];

    if (asking == NULL || kith_nodes(server->service.node, true, &list) != 0) {
        core_free(asking);
        done(user, NULL, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
        return;
    }
    asking->server = server;
    asking->doc = json_pack("{s:s,s:[]}", "schema", "kith.lock.ls/1", "locks");
    asking->by_name = json_object();
    asking->done = done;
    asking->user = user;
    asking->left_n = 1; /* ourselves, so that it is not over before all are asked */
    for (size_t i = 0; i < list->nodes_n; i++) {
        if (list->nodes[i].status != KITH_STATUS_ALIVE)
            continue;
        asking->left_n++;
        http_ask(server, "lock.ls",
                 json_pack("{s:s}", "node", kith_node_id_text(&list->nodes[i].id, id)), on_locks,
                 asking);
    }
    kith_node_list_free(list);
    if (--asking->left_n == 0)
        locks_over(asking);
}

struct waiting_locks {
    struct http_exchange *x; /* NULL: the client has gone */
    size_t offset, limit;
};

static void on_all_locks(void *user, json_t *result, int code, const char *text)
{
    struct waiting_locks *waiting = user;
    struct http_exchange *x = waiting->x;

    if (x != NULL) {
        x->gone = NULL;
        if (result != NULL) {
            http_page(result, "locks", waiting->offset, waiting->limit);
            http_answer_json(x, 200, json_incref(result), NULL);
        } else {
            http_fail(x, 0, code, text, NULL);
        }
    }
    core_free(waiting);
}

static void locks_gone(struct http_exchange *x)
{
    struct waiting_locks *waiting = x->state;
    waiting->x = NULL;
    http_exchange_free(x);
}

void http_get_locks(struct http_exchange *x)
{
    struct waiting_locks *waiting = core_calloc(1, sizeof(*waiting));

    if (waiting == NULL) {
        http_fail(x, 0, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY), NULL);
        return;
    }
    waiting->x = x;
    waiting->offset = (size_t)http_query_u64(x, "offset", 0);
    waiting->limit = limit_of(x);
    x->state = waiting;
    x->gone = locks_gone;
    http_locks_ask(x->server, on_all_locks, waiting);
}
