/*
 * The topic `changes`: what happens to files beneath a path, as kith_fs_watch() tells it, for pages
 * that list folders of any size themselves. Of a round at most so many changes are told; of more
 * it is said that there were some, and a page lists anew.
 */
#include <stdlib.h>

#include "control/verbs_fs.h"
#include "core/error.h"
#include "http/feed.h"
#include "http/server.h"

/* Changes whose entry is not told are listed anew, as those that were dropped. */
static json_t *change_json(uint64_t no, const struct kith_fs_change *change)
{
    struct buf out = {0};
    struct json json = json_begin(&out);
    json_t *doc = NULL;

    json_object_begin(&json);
    json_key(&json, "no");
    json_u64(&json, no);
    json_kv_text(&json, "type", kith_fs_change_text(change->type));
    json_kv_text(&json, "path", change->path);
    json_kv_text(&json, "from", change->from);
    json_kv_text(&json, "author", change->author_name);
    if (change->entry != NULL) {
        json_key(&json, "entry");
        control_fs_put_entry(&json, change->entry);
    }
    json_object_end(&json);
    if (json_end(&json) == 0)
        doc = json_loadb((const char *)out.data, out.len, 0, NULL);
    buf_deinit(&out);
    return doc;
}

static void on_change(struct kith_node *node, const struct kith_fs_change *change, void *user)
{
    struct feed *feed = user;
    json_t *told = NULL;

    (void)node;
    feed->last_seq++;
    feed->fs_missed_n += change->missed_n;
    if (json_array_size(feed->fs_changes) < HTTP_CHANGES_ROUND_MAX)
        told = change_json(feed->last_seq, change);
    if (told == NULL || json_array_append_new(feed->fs_changes, told) != 0)
        feed->fs_missed_n++;
    feed->fs_changed = true;
}

static bool begin(struct feed *feed)
{
    const char *path = json_string_value(json_object_get(feed->args, "path"));
    int64_t no;

    if (feed->fs_watch_no > 0)
        return true;
    feed->fs_changes = json_array();
    no = feed->fs_changes == NULL
             ? KITH_E_MEMORY
             : kith_fs_watch(feed->server->service.node, path, on_change, feed);
    if (no > 0) {
        feed->fs_watch_no = no;
        feed->fs_changed = true; /* that it has begun is to be told */
        return true;
    }
    json_decref(feed->fs_changes);
    feed->fs_changes = NULL;
    feed_fail(feed, (int)no, NULL);
    return false;
}

void http_topic_changes(struct feed *feed)
{
    if (!begin(feed) || !feed->fs_changed)
        return;
    json_t *doc = json_pack("{s:O,s:I,s:I}", "changes", feed->fs_changes, "last_no",
                            (json_int_t)feed->last_seq, "missed", (json_int_t)feed->fs_missed_n);
    json_t *next = json_array();
    if (doc == NULL || next == NULL) {
        json_decref(doc);
        json_decref(next);
        feed_say(feed, NULL);
        return;
    }
    json_decref(feed->fs_changes);
    feed->fs_changes = next;
    feed->fs_changed = false;
    feed_say(feed, doc);
}

void http_topic_changes_end(struct feed *feed)
{
    if (feed->fs_watch_no > 0)
        kith_fs_unwatch(feed->server->service.node, feed->fs_watch_no);
    feed->fs_watch_no = 0;
    json_decref(feed->fs_changes);
    feed->fs_changes = NULL;
}
