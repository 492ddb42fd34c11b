/*
 * Routes of files whose answer is JSON: a verb of the dispatcher, chosen by the query
 * (docs/protocols/http.md, Files). Bytes are files_read.c and files_write.c.
 */
#include "http/files.h"

#include <string.h>

#include "control/verbs_fs.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "http/feed.h"
#include "http/file_head.h"

bool files_flag(struct http_exchange *x, const char *key)
{
    char value[HTTP_ARGUMENT_BYTES_MAX];
    return web_query(x->web, key, value, sizeof(value)) && strcmp(value, "false") != 0;
}

void files_fail(struct http_exchange *x, int code, const char *text, bool conditional)
{
    int status = conditional && (code == KITH_E_EXISTS || code == KITH_E_FENCE) ? 412 : 0;
    http_fail(x, status, code, text, NULL);
}

bool files_if_match(struct http_exchange *x, char *hash_out)
{
    const char *match = web_header(x->web, WEB_IF_MATCH);

    hash_out[0] = '\0';
    if (match == NULL || file_etag_one(match, hash_out))
        return true;
    if (strcmp(match, "*") == 0) {
        memcpy(hash_out, "*", 2);
        return true;
    }
    http_fail(x, 400, KITH_E_PARSE, "If-Match takes one \"HASH\" as ETag gives it, or *", NULL);
    return false;
}

void files_entry_lines(const struct kith_fs_entry *entry, char out[FILES_LINES_BYTES])
{
    char modified[32], changed[32];

    file_date(entry->modified_unix_ns / 1000000000, modified);
    snprintf(out, FILES_LINES_BYTES,
             "ETag: \"%s\"\r\nLast-Modified: %s\r\nX-Kith-Writer: %.200s\r\nX-Kith-Time: %s\r\n",
             entry->hash, modified, entry->author_name,
             text_time_ms(entry->changed_unix_ms, changed));
}

int files_put_entry(struct buf *out, const char *schema, const struct kith_fs_result *result)
{
    struct json json = json_begin(out);

    json_object_begin(&json);
    json_kv_text(&json, "schema", schema);
    json_key(&json, "entry");
    control_fs_put_entry(&json, result->entries);
    if (result->ignored)
        json_kv_bool(&json, "ignored", true);
    json_object_end(&json);
    return json_end(&json);
}

/* ---- arguments ---- */

static void put_flag(struct http_exchange *x, json_t *args, const char *key)
{
    (void)json_object_set_new(args, key, json_boolean(files_flag(x, key)));
}

/* The argument @key of the query as @as, if it is there. */
static void put_text(struct http_exchange *x, json_t *args, const char *key, const char *as)
{
    char value[HTTP_ARGUMENT_BYTES_MAX];

    if (web_query(x->web, key, value, sizeof(value)))
        (void)json_object_set_new(args, as, json_string(value));
}

/* Can it be said in JSON? Else answered. */
static bool name_fits(struct http_exchange *x)
{
    if (x->name == NULL || text_is_utf8(x->name, strlen(x->name)))
        return true;
    http_fail(x, 400, KITH_E_NAME, "the path is not UTF-8", NULL);
    return false;
}

/* {"path"}: a slash at its end is not of it. */
static json_t *args_new(struct http_exchange *x)
{
    const char *name = x->name != NULL ? x->name : "";
    size_t len = strlen(name);

    while (len > 0 && name[len - 1] == '/')
        len--;
    return json_pack("{s:s%}", "path", name, len);
}

static void put_page(struct http_exchange *x, json_t *args)
{
    put_text(x, args, "cursor", "after");
    put_text(x, args, "limit", "max");
}

/* ---- what there is ---- */

static void get_list(struct http_exchange *x)
{
    json_t *args = args_new(x);

    put_flag(x, args, "recursive");
    put_flag(x, args, "deleted");
    put_flag(x, args, "trash");
    put_page(x, args);
    http_dispatch_verb(x, "fs.ls", args, NULL, 0);
}

static void get_found(struct http_exchange *x, const char *verb)
{
    json_t *args = args_new(x);

    put_text(x, args, "search", "pattern");
    put_flag(x, args, "any_case");
    put_page(x, args);
    http_dispatch_verb(x, verb, args, NULL, 0);
}

void http_get_file(struct http_exchange *x)
{
    size_t len = x->name != NULL ? strlen(x->name) : 0;
    bool folder = len == 0 || x->name[len - 1] == '/';

    if (!name_fits(x))
        return;
    if (files_flag(x, "search"))
        get_found(x, "fs.find");
    else if (files_flag(x, "conflicts"))
        get_found(x, "fs.conflicts");
    else if (files_flag(x, "stat"))
        http_dispatch_verb(x, "fs.stat", args_new(x), NULL, 0);
    else if (folder || files_flag(x, "list") || files_flag(x, "trash") ||
             files_flag(x, "recursive") || files_flag(x, "deleted"))
        get_list(x);
    else
        files_read(x);
}

/* ---- what is done ---- */

struct action {
    const char *flag, *verb;
    bool takes_long;
};
static const struct action actions[] = {
    {"append", "fs.append", false}, {"restore", "fs.restore", false}, {"keep", "fs.keep", false},
    {"pin", "fs.pin", true},        {"unpin", "fs.unpin", false},     {"evict", "fs.evict", false},
    {"verify", "fs.verify", true},
};

/* If-Match as the argument "hash". False: answered. */
static bool put_match(struct http_exchange *x, json_t *args)
{
    char hash[KITH_FS_HASH_DIGITS + 1];

    if (!files_if_match(x, hash)) {
        json_decref(args);
        return false;
    }
    if (hash[0] != '\0' && strcmp(hash, "*") != 0) {
        (void)json_object_set_new(args, "hash", json_string(hash));
        x->conditional = true;
    }
    return true;
}

static void append(struct http_exchange *x)
{
    json_t *args = args_new(x);
    size_t len;
    const uint8_t *body = web_body(x->web, &len);

    put_text(x, args, "mode", "mode");
    put_text(x, args, "modified_ns", "modified_ns");
    if (!put_match(x, args))
        return;
    x->etag = true;
    http_dispatch_verb(x, "fs.append", args, body, len);
}

void http_post_file(struct http_exchange *x)
{
    const struct action *action = NULL;
    unsigned n = 0;

    if (!name_fits(x))
        return;
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (!files_flag(x, actions[i].flag))
            continue;
        action = &actions[i];
        n++;
    }
    if (n != 1) {
        http_fail(x, 400, KITH_E_INVALID,
                  "a POST to a file needs one of ?append ?restore ?keep ?pin ?unpin ?evict ?verify",
                  "PUT makes or replaces a file");
        return;
    }
    if (strcmp(action->flag, "append") == 0) {
        append(x);
        return;
    }
    json_t *args = args_new(x);
    if (strcmp(action->flag, "keep") == 0)
        put_flag(x, args, "both");
    if (action->takes_long) {
        (void)json_object_set_new(args, "progress", json_true());
        x->transfer = http_transfer_new(x, action->flag, 0);
    }
    http_dispatch_verb(x, action->verb, args, NULL, 0);
}

void http_delete_file(struct http_exchange *x)
{
    if (!name_fits(x))
        return;
    json_t *args = args_new(x);
    put_flag(x, args, "recursive");
    put_flag(x, args, "many");
    if (put_match(x, args))
        http_dispatch_verb(x, "fs.rm", args, NULL, 0);
}

/* ---- the topic ---- */

#define LOOK_MS 5000 /* for what changes without a change of files: holders, caches */

static const char *text_of(const json_t *args, const char *key)
{
    const char *text = json_string_value(json_object_get(args, key));
    return text != NULL ? text : "";
}

static void on_change(struct kith_node *node, const struct kith_fs_change *change, void *user)
{
    struct feed *feed = user;

    (void)node;
    (void)change;
    feed->fs_changed = true;
}

static void on_listed(void *user, json_t *result, int code, const char *text)
{
    struct feed *feed = user;

    feed->asking = false;
    if (feed->dead)
        stream_feed_free(feed);
    else if (result != NULL)
        feed_say(feed, json_incref(result));
    else
        feed_fail(feed, code, text);
}

static json_t *topic_args(const struct feed *feed)
{
    json_t *args = json_object();
    json_int_t limit = json_integer_value(json_object_get(feed->args, "limit"));
    size_t len = strlen(text_of(feed->args, "path"));

    while (len > 0 && text_of(feed->args, "path")[len - 1] == '/')
        len--;
    (void)json_object_set_new(args, "path", json_stringn(text_of(feed->args, "path"), len));
    for (size_t i = 0; i < 4; i++) {
        static const char *const flags[] = {"recursive", "deleted", "trash", "any_case"};
        (void)json_object_set(args, flags[i], json_object_get(feed->args, flags[i]));
    }
    (void)json_object_set_new(args, "pattern", json_string(text_of(feed->args, "search")));
    (void)json_object_set_new(args, "after", json_string(text_of(feed->args, "cursor")));
    if (limit <= 0)
        limit = 100;
    if (limit > HTTP_TOPIC_PAGE_MAX)
        limit = HTTP_TOPIC_PAGE_MAX;
    (void)json_object_set_new(args, "max", json_integer(limit));
    return args;
}

void http_topic_files(struct feed *feed)
{
    uint64_t now_ms = http_now_ms();
    struct kith_node *node = feed->server->service.node;
    json_t *args = topic_args(feed);

    if (feed->fs_watch_no <= 0)
        feed->fs_watch_no = kith_fs_watch(node, text_of(args, "path"), on_change, feed);
    if (feed->doc != NULL && !feed->fs_changed && now_ms < feed->listed_ms + LOOK_MS &&
        feed->fs_watch_no > 0) {
        json_decref(args);
        return;
    }
    feed->listed_ms = now_ms;
    feed->fs_changed = false;
    feed->asking = true;
    http_ask(feed->server,
             text_of(feed->args, "search")[0] != '\0'                 ? "fs.find"
             : json_is_true(json_object_get(feed->args, "conflicts")) ? "fs.conflicts"
                                                                      : "fs.ls",
             args, on_listed, feed);
}

void http_topic_files_end(struct feed *feed)
{
    if (feed->fs_watch_no > 0)
        kith_fs_unwatch(feed->server->service.node, feed->fs_watch_no);
    feed->fs_watch_no = 0;
}
