/* Routes that list things, a page at a time, and the documents that topics of the stream share;
 * and all there is, as one file. */
#include <stdlib.h>
#include <string.h>

#include "control/bundle.h"
#include "core/alloc.h"
#include "core/error.h"
#include "http/server.h"
#include "member/member.h"

static size_t limit_of(struct http_exchange *x)
{
    uint64_t limit = http_query_u64(x, "limit", 100);
    return limit > HTTP_PAGE_MAX ? HTTP_PAGE_MAX : (size_t)limit;
}

struct http_part http_query_part(struct http_exchange *x, struct http_part_texts *texts)
{
    (void)web_query(x->web, "prefix", texts->prefix, sizeof(texts->prefix));
    (void)web_query(x->web, "search", texts->search, sizeof(texts->search));
    (void)web_query(x->web, "sort", texts->sort, sizeof(texts->sort));
    return (struct http_part){.prefix = texts->prefix,
                              .search = texts->search,
                              .sort = texts->sort,
                              .offset = (size_t)http_query_u64(x, "offset", 0),
                              .limit = limit_of(x)};
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

/* There may be a million, and most are not looked at: the words are put together if there are any
 * to be found. */
static bool var_fits(const struct kith_var_info *info, const struct http_part *part)
{
    char words[KITH_NAME_BYTES_MAX * 2 + 64] = "";

    if (http_var_is_hidden(info->name))
        return false;
    if (part->search[0] == '\0')
        return true; /* the prefix was looked at where the list was made */
    snprintf(words, sizeof(words), "%s %s %s %s", info->name, kith_type_text(info->type),
             kith_policy_text(info->policy), info->home_name);
    return http_part_fits(part, info->name, words);
}

json_t *http_vars_doc(struct http_server *server, const struct http_part *part)
{
    struct kith_var_list *list = NULL;
    json_t *doc = json_pack("{s:s,s:[]}", "schema", "kith.var.ls/1", "vars");
    const char *key;
    bool down = http_part_down(part, &key) && strcmp(key, "name") == 0;
    size_t n = 0;

    if (doc == NULL || kith_var_list(server->service.node, part->prefix, &list) != 0) {
        json_decref(doc);
        return NULL;
    }
    for (size_t i = 0; i < list->vars_n; i++) {
        const struct kith_var_info *info = &list->vars[down ? list->vars_n - 1 - i : i];
        if (!var_fits(info, part))
            continue;
        if (n >= part->offset && n - part->offset < part->limit)
            (void)json_array_append_new(json_object_get(doc, "vars"), var_doc(info));
        n++;
    }
    kith_var_list_free(list);
    (void)json_object_set_new(doc, "total", json_integer((json_int_t)n));
    (void)json_object_set_new(doc, "offset", json_integer((json_int_t)part->offset));
    return doc;
}

void http_get_vars(struct http_exchange *x)
{
    struct http_part_texts texts;
    struct http_part part = http_query_part(x, &texts);

    http_answer_json(x, 200, http_vars_doc(x->server, &part), NULL);
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

/* ---- everything, for who looks into a trouble ---- */

void http_get_bundle(struct http_exchange *x)
{
    char name[CONTROL_BUNDLE_NAME_BYTES], headers[CONTROL_BUNDLE_NAME_BYTES + 80];
    struct buf tar = {0};
    int r = control_bundle(x->server->service.node, &tar, name);

    if (r != 0) {
        http_fail(x, 0, r, NULL, NULL);
    } else {
        struct http_body body = {
            .status = 200, .type = "application/x-tar", .data = tar.data, .len = tar.len};
        snprintf(headers, sizeof(headers),
                 "Content-Disposition: attachment; filename=\"%s.tar\"\r\n", name);
        http_answer(x, &body, headers);
    }
    buf_deinit(&tar);
}
