#include "http/feed.h"

#include <stdlib.h>
#include <string.h>

#include "control/control.h"
#include "core/error.h"
#include "http/server.h"

static void print(struct buf *out, const json_t *doc)
{
    char *text = doc != NULL ? json_dumps(doc, HTTP_DUMP) : NULL;

    buf_deinit(out);
    if (text != NULL)
        (void)buf_append(out, text, strlen(text));
    free(text);
}

const struct buf *feed_full(struct feed *feed)
{
    if (feed->full_version != feed->version || feed->full.len == 0) {
        json_t *doc = json_pack("{s:s,s:O}", "topic", feed->topic->name, "full", feed->doc);
        print(&feed->full, doc);
        json_decref(doc);
        feed->full_version = feed->version;
    }
    return feed->full.len > 0 ? &feed->full : NULL;
}

void feed_say(struct feed *feed, json_t *doc)
{
    uint64_t now_ms = http_now_ms();

    if (doc == NULL) {
        feed_fail(feed, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
        return;
    }
    bool fresh = feed->doc == NULL;
    json_t *delta = NULL;
    if (fresh)
        delta_reset(&feed->state, &feed->topic->shape, doc, now_ms);
    else
        delta = delta_step(&feed->state, &feed->topic->shape, doc, now_ms);
    /* Who comes next gets it as it is now, with ages of now. */
    json_decref(feed->doc);
    feed->doc = doc;
    feed->full_version = 0;
    if (!fresh && delta == NULL)
        return;
    buf_deinit(&feed->error);
    feed->error_code = 0;
    feed->version++;
    feed->has_delta = delta != NULL;
    print(&feed->delta, delta);
    json_decref(delta);
    stream_feed_changed(feed);
}

void feed_fail(struct feed *feed, int code, const char *text)
{
    struct json json;

    if (feed->error_code == code)
        return; /* told already */
    json_decref(feed->doc);
    feed->doc = NULL;
    delta_deinit(&feed->state);
    buf_deinit(&feed->error);
    json = json_begin(&feed->error);
    json_object_begin(&json);
    json_key(&json, "error");
    json_object_begin(&json);
    json_kv_text(&json, "code", kith_error_name(code));
    json_kv_i64(&json, "exit", control_exit_of(code));
    json_kv_text(&json, "message", text != NULL ? text : kith_strerror(code));
    json_object_end(&json);
    json_object_end(&json);
    (void)json_end(&json);
    feed->error_code = code;
    feed->version++;
    feed->has_delta = false;
    stream_feed_changed(feed);
}
