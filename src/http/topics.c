/*
 * The topics: where each has its document from. Most are a verb of the dispatcher; variables are
 * watched, so that what a page shows of them is live and costs nothing while nothing changes.
 */
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "dvar/value.h"
#include "http/feed.h"
#include "http/server.h"

#define LIST_MS       2000 /* between two looks at which variables there are */
#define LOOK_MS       5000 /* a first look at a variable waits so long for an answer */
#define LOOK_AGAIN_MS 2000 /* after one that failed */

static size_t number_of(const json_t *args, const char *key, size_t absent, size_t most)
{
    const json_t *value = json_object_get(args, key);
    json_int_t number = json_integer_value(value);
    size_t n = json_is_integer(value) && number >= 0 ? (size_t)number : absent;
    return n > most ? most : n;
}

static const char *text_of(const json_t *args, const char *key)
{
    const char *text = json_string_value(json_object_get(args, key));
    return text != NULL ? text : "";
}

static struct http_part part_of(const json_t *args)
{
    return (struct http_part){.prefix = text_of(args, "prefix"),
                              .search = text_of(args, "search"),
                              .sort = text_of(args, "sort"),
                              .offset = number_of(args, "offset", 0, SIZE_MAX),
                              .limit = number_of(args, "limit", 100, HTTP_TOPIC_PAGE_MAX)};
}

/* ---- lists of ours ---- */

static void ask_resources(struct feed *feed)
{
    feed_say(feed, http_resources_doc(feed->server));
}

static void ask_events(struct feed *feed)
{
    struct kith_node *node = feed->server->service.node;
    uint64_t after = (uint64_t)number_of(feed->args, "after", 0, SIZE_MAX);
    size_t limit = number_of(feed->args, "limit", 100, HTTP_PAGE_MAX);
    struct node_event_record record;

    /* Nothing new is the usual case, and costs a look. */
    if (feed->version > 0 && feed->doc != NULL &&
        node_events_since(node, feed->last_seq, &record, 1) == 0)
        return;
    if (limit < HTTP_EVENTS_ROUND_MAX && feed->version > 0)
        limit = HTTP_EVENTS_ROUND_MAX; /* of a round, not to be lost */
    json_t *doc = http_events_doc(feed->server, after, UINT64_MAX, limit);
    if (doc != NULL)
        feed->last_seq = (uint64_t)json_integer_value(json_object_get(doc, "last_seq"));
    feed_say(feed, doc);
}

static void on_everywhere(void *user, json_t *result, int code, const char *text)
{
    struct feed *feed = user;

    feed->asking = false;
    if (feed->dead) {
        stream_feed_free(feed);
    } else if (result == NULL) {
        feed_fail(feed, code, text);
    } else {
        struct http_part part = part_of(feed->args);
        if (strcmp(feed->topic->name, "locks") == 0)
            http_part_locks(result, &part);
        feed_say(feed, json_incref(result));
    }
}

static void ask_locks(struct feed *feed)
{
    feed->asking = true;
    http_locks_ask(feed->server, on_everywhere, feed);
}

static void ask_times(struct feed *feed)
{
    feed->asking = true;
    http_times_ask(feed->server, on_everywhere, feed);
}

static void ask_rtt(struct feed *feed)
{
    feed->asking = true;
    http_rtt_ask(feed->server, on_everywhere, feed);
}

static void ask_transfers(struct feed *feed)
{
    feed->asking = true;
    http_transfers_ask(feed->server, on_everywhere, feed);
}

/* ---- variables ---- */

struct feed_watch {
    struct list link; /* feed.watches */
    struct feed *feed;
    int64_t watch_no;
    bool wanted;
    struct first_look *look; /* under way */
    uint64_t looked_ms;      /* the last one began or failed */
    json_t *live; /* what is known live; NULL: nothing yet, not even that there is none */
    char name[];
};

/* The first bytes that are whole characters. */
static json_t *text_cut(const void *data, size_t len, size_t most)
{
    const char *text = data;

    if (len > most) {
        len = most;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
    }
    json_t *value = json_stringn(text, len);
    return value != NULL ? value : json_string("");
}

static json_t *base64_cut(const void *data, size_t len, size_t most)
{
    size_t n = len > most ? most : len;
    size_t bytes = sodium_base64_encoded_len(n, sodium_base64_VARIANT_ORIGINAL);
    char *text = core_malloc(bytes);
    json_t *value = NULL;

    if (text != NULL) {
        sodium_bin2base64(text, bytes, data, n, sodium_base64_VARIANT_ORIGINAL);
        value = json_string(text);
    }
    core_free(text);
    return value;
}

static void put_live_value(json_t *live, const struct kith_value *value, bool whole)
{
    size_t most = whole ? HTTP_VALUE_BYTES_MAX : HTTP_VALUE_SHOWN_BYTES;
    struct buf text = {0};
    const void *data = value->data;
    size_t len = value->len;

    if (value->type != KITH_TYPE_BYTES && value->type != KITH_TYPE_TEXT &&
        value_print((uint8_t)value->type, value->data, value->len, &text) == 0) {
        data = text.data;
        len = text.len;
    }
    if (value->type != KITH_TYPE_BYTES)
        (void)json_object_set_new(live, "value", text_cut(data, len, most));
    else
        (void)json_object_set_new(live, "value",
                                  whole ? base64_cut(data, len, most) : json_string(""));
    if (whole)
        (void)json_object_set_new(live, "encoding",
                                  json_string(value->type == KITH_TYPE_BYTES ? "base64" : "text"));
    (void)json_object_set_new(live, "value_bytes", json_integer((json_int_t)len));
    (void)json_object_set_new(live, "truncated", json_boolean(len > most));
    buf_deinit(&text);
}

static json_t *live_of(struct feed *feed, const struct kith_var_change *change, bool whole)
{
    const struct kith_value *value = change->value;
    const char *writer = node_name_of(feed->server->service.node, &value->writer);
    char version[24], time[32], id[KITH_NODE_ID_DIGITS + 1];
    json_t *live = json_object();

    snprintf(version, sizeof(version), "%" PRIu64, value->version);
    if (live == NULL || !value->found)
        return live;
    (void)json_object_set_new(live, "version", json_string(version));
    (void)json_object_set_new(live, "type", json_string(kith_type_text(value->type)));
    (void)json_object_set_new(live, "policy", json_string(kith_policy_text(value->policy)));
    (void)json_object_set_new(live, "writer", json_string(kith_node_id_text(&value->writer, id)));
    (void)json_object_set_new(live, "writer_name", json_string(writer != NULL ? writer : ""));
    (void)json_object_set_new(live, "time", json_string(text_time_ms(value->time_unix_ms, time)));
    put_live_value(live, value, whole);
    return live;
}

static void on_change(struct kith_node *node, const struct kith_var_change *change, void *user)
{
    struct feed_watch *watch = user;
    bool whole = watch->feed->topic->shape.array == NULL;

    (void)node;
    json_decref(watch->live);
    watch->live = live_of(watch->feed, change, whole);
    if (whole && watch->live != NULL) {
        (void)json_object_set_new(watch->live, "gone", json_boolean(change->gone));
        (void)json_object_set_new(watch->live, "missed",
                                  json_integer((json_int_t)change->missed_n));
    }
}

/* What there is when the watch begins: a watch tells what comes after. */
struct first_look {
    struct feed_watch *watch; /* NULL: it ended meanwhile */
};

static void on_looked(struct kith_node *node, const struct kith_value *value, void *user)
{
    struct first_look *look = user;
    struct feed_watch *watch = look->watch;

    core_free(look);
    if (watch == NULL)
        return;
    watch->look = NULL;
    watch->looked_ms = http_now_ms();
    if (watch->live != NULL)
        return; /* the watch was quicker, and knows what is newer */
    if (value->code == 0) {
        struct kith_var_change change = {.name = watch->name, .value = value};
        on_change(node, &change, watch);
    }
    if (watch->feed->topic->shape.array != NULL)
        return; /* its next round says it */
    if (value->code != 0)
        feed_fail(watch->feed, value->code, value->text);
    else
        watch->feed->topic->ask(watch->feed);
}

/*
 * Looks until it is known what there is: its home may have died, or no majority be there, and
 * whoever follows the variable must neither be told that there is none nor wait for ever.
 */
static void look_first(struct feed_watch *watch)
{
    struct kith_var_op op = {.kind = KITH_VAR_GET};
    struct kith_var_options options = {.timeout_ms = LOOK_MS};
    struct first_look *look;
    uint64_t now_ms = http_now_ms();

    if (watch->live != NULL || watch->look != NULL ||
        (watch->looked_ms != 0 && now_ms < watch->looked_ms + LOOK_AGAIN_MS))
        return;
    watch->looked_ms = now_ms;
    look = core_calloc(1, sizeof(*look));
    if (look == NULL)
        return;
    look->watch = watch;
    watch->look = look;
    if (kith_var_do_async(watch->feed->server->service.node, watch->name, &op, &options, on_looked,
                          look) != 0) {
        watch->look = NULL;
        core_free(look);
    }
}

static struct feed_watch *watch_find(struct feed *feed, const char *name)
{
    list_for_each (it, &feed->watches) {
        struct feed_watch *watch = container_of(it, struct feed_watch, link);
        if (strcmp(watch->name, name) == 0)
            return watch;
    }
    return NULL;
}

static struct feed_watch *watch_new(struct feed *feed, const char *name)
{
    size_t len = strlen(name);
    struct feed_watch *watch = core_calloc(1, sizeof(*watch) + len + 1);

    if (watch == NULL)
        return NULL;
    watch->feed = feed;
    memcpy(watch->name, name, len + 1);
    watch->watch_no = kith_var_watch(feed->server->service.node, name, on_change, watch);
    list_append(&feed->watches, &watch->link);
    return watch;
}

static void watch_free(struct feed_watch *watch)
{
    if (watch->look != NULL)
        watch->look->watch = NULL;
    if (watch->watch_no > 0)
        kith_var_unwatch(watch->feed->server->service.node, watch->watch_no);
    list_remove(&watch->link);
    json_decref(watch->live);
    core_free(watch);
}

static void end_watches(struct feed *feed)
{
    struct list *link;

    while ((link = list_first(&feed->watches)) != NULL)
        watch_free(container_of(link, struct feed_watch, link));
}

/* The page of variables with what is known live of each; those that left it are let go. */
static json_t *with_live(struct feed *feed, json_t *doc)
{
    json_t *item, *copy = json_copy(doc), *vars = json_array();
    size_t i;

    list_for_each (it, &feed->watches) {
        container_of(it, struct feed_watch, link)->wanted = false;
    }
    json_array_foreach(json_object_get(doc, "vars"), i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        struct feed_watch *watch = watch_find(feed, name);
        json_t *var = json_copy(item);
        if (watch == NULL)
            watch = watch_new(feed, name);
        if (watch != NULL) {
            watch->wanted = true;
            look_first(watch);
            if (watch->live != NULL)
                (void)json_object_update(var, watch->live);
        }
        (void)json_array_append_new(vars, var);
    }
    list_for_each_safe (it, &feed->watches) {
        struct feed_watch *watch = container_of(it, struct feed_watch, link);
        if (!watch->wanted)
            watch_free(watch);
    }
    (void)json_object_set_new(copy, "vars", vars);
    return copy;
}

static void ask_vars(struct feed *feed)
{
    uint64_t now_ms = http_now_ms();
    struct http_part part = part_of(feed->args);
    json_t *doc = feed->doc;

    if (doc == NULL || now_ms >= feed->listed_ms + LIST_MS) {
        doc = http_vars_doc(feed->server, &part);
        feed->listed_ms = now_ms;
    } else {
        json_incref(doc);
    }
    if (doc == NULL) {
        feed_say(feed, NULL);
        return;
    }
    feed_say(feed, with_live(feed, doc));
    json_decref(doc);
}

static void ask_var(struct feed *feed)
{
    const char *name = text_of(feed->args, "name");
    struct feed_watch *watch = watch_find(feed, name);

    if (watch == NULL)
        watch = watch_new(feed, name);
    if (watch == NULL || watch->watch_no < 0) {
        feed_fail(feed, watch != NULL ? (int)watch->watch_no : KITH_E_MEMORY, NULL);
        return;
    }
    look_first(watch);
    if (watch->live == NULL)
        return;
    json_t *doc = json_copy(watch->live);
    if (doc != NULL) {
        (void)json_object_set_new(doc, "schema", json_string("kith.var/1"));
        (void)json_object_set_new(doc, "name", json_string(name));
        (void)json_object_set_new(doc, "found",
                                  json_boolean(json_object_get(doc, "version") != NULL));
    }
    feed_say(feed, doc);
}

/* ---- the table ---- */

static const char *const args_nodes[] = {"programs", NULL};
static const char *const args_node[] = {"node", NULL};
static const char *const args_functions[] = {"hidden", NULL};
static const char *const args_named[] = {"prefix", "search", "sort", "offset", "limit", NULL};
static const char *const args_var[] = {"name", NULL};
static const char *const args_events[] = {"after", "limit", NULL};
static const char *const args_files[] = {"path",     "recursive", "deleted", "trash",     "search",
                                         "any_case", "cursor",    "limit",   "conflicts", NULL};
static const char *const args_changes[] = {"path", NULL};
static const char *const args_none[] = {NULL};

static const struct topic topics[] = {
    {.name = "nodes",
     .args = args_nodes,
     .verb = "nodes",
     .shape = {.array = "nodes", .key = "id", .ordered = true},
     .period_ms = 500},
    {.name = "resources",
     .args = args_none,
     .ask = ask_resources,
     .shape = {.array = "nodes", .key = "id", .ordered = true},
     .period_ms = 500},
    {.name = "resources",
     .args = args_node,
     .with_node = true,
     .verb = "resources",
     .period_ms = 1000},
    {.name = "functions",
     .args = args_functions,
     .verb = "functions",
     .shape = {.array = "functions", .key = "name"},
     .period_ms = 1000},
    {.name = "vars",
     .args = args_named,
     .ask = ask_vars,
     .end = end_watches,
     .shape = {.array = "vars", .key = "name"},
     .period_ms = 500},
    {.name = "var", .args = args_var, .ask = ask_var, .end = end_watches, .period_ms = 500},
    {.name = "locks",
     .args = args_named,
     .ask = ask_locks,
     .shape = {.array = "locks", .key = "name"},
     .period_ms = 1000},
    {.name = "times",
     .args = args_none,
     .ask = ask_times,
     .shape = {.array = "functions", .key = "name"},
     .period_ms = 2000},
    {.name = "rtt",
     .args = args_none,
     .ask = ask_rtt,
     .shape = {.array = "nodes", .key = "id", .ordered = true},
     .period_ms = 10000},
    {.name = "events",
     .args = args_events,
     .ask = ask_events,
     .shape = {.array = "events", .key = "seq", .keeps = true},
     .period_ms = 500},
    {.name = "files",
     .args = args_files,
     .ask = http_topic_files,
     .end = http_topic_files_end,
     .shape = {.array = "entries", .key = "path", .ordered = true},
     .period_ms = 500},
    {.name = "changes",
     .args = args_changes,
     .ask = http_topic_changes,
     .end = http_topic_changes_end,
     .shape = {.array = "changes", .key = "no", .keeps = true},
     .period_ms = 500},
    {.name = "shares",
     .args = args_none,
     .verb = "share.ls",
     .shape = {.array = "shares", .key = "name"},
     .period_ms = 1000},
    {.name = "transfers",
     .args = args_none,
     .ask = ask_transfers,
     .shape = {.array = "transfers", .key = "id"},
     .period_ms = 500},
    {.name = "cache", .args = args_none, .verb = "fs.cache", .period_ms = 1000},
    {.name = "self", .args = args_node, .verb = "info", .period_ms = 1000},
};

const struct topic *topic_find(const char *name, const json_t *args)
{
    bool with_node = json_object_get(args, "node") != NULL;
    const struct topic *found = NULL;

    for (size_t i = 0; name != NULL && i < sizeof(topics) / sizeof(topics[0]); i++) {
        if (strcmp(topics[i].name, name) == 0 &&
            (found == NULL || topics[i].with_node == with_node))
            found = &topics[i];
    }
    return found;
}

const char *topic_args_wrong(const struct topic *topic, const json_t *args)
{
    const char *name = text_of(args, "name");

    if (strcmp(topic->name, "var") != 0)
        return NULL;
    if (value_name_check(name, strlen(name), false) != 0)
        return "the topic var needs the argument \"name\" of a variable";
    if (name[strlen(name) - 1] == '*')
        return "a name that ends with a star cannot be followed";
    if (http_var_is_hidden(name))
        return "names that begin with kith/ belong to kith itself";
    return NULL;
}
