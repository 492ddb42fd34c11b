/* Feeds of the stream: a topic with its arguments, followed by any number of subscriptions. */
#ifndef HTTP_FEED_H
#define HTTP_FEED_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/limits.h"
#include "core/list.h"
#include "core/map.h"
#include "http/delta.h"
#include "node/node.h"

struct feed;
struct http_server;

struct topic {
    const char *name;
    const char *const *args; /* names that it knows, NULL at the end */
    bool with_node;          /* the form that has the argument "node" */
    const char *verb;        /* of the dispatcher; NULL: ask */
    void (*ask)(struct feed *feed);
    void (*end)(struct feed *feed); /* lets go what ask holds; may be NULL */
    struct delta_shape shape;
    uint64_t period_ms;
};

struct feed_watch; /* topics.c */

struct feed {
    struct list link; /* stream.feeds */
    struct http_server *server;
    const struct topic *topic;
    json_t *args;
    char *key; /* topic and arguments */
    struct list subs;
    unsigned active_n; /* subscriptions of clients that want to hear */
    bool asking, dead; /* dead: nobody follows any more, but an answer is still to come */
    uint64_t asked_ms;
    /* What is said. Each version is one state; the delta leads from the one before to this one. */
    uint64_t version;
    bool has_delta;
    json_t *doc;
    struct delta_state state;
    struct buf full, delta, error; /* ready to be sent, behind {"id":N, */
    uint64_t full_version;         /* of full */
    int error_code;
    /* Of topics that watch variables. */
    struct list watches;
    uint64_t listed_ms, last_seq;
    /* Of those that watch files. */
    int64_t fs_watch_no;
    bool fs_changed;
    json_t *fs_changes; /* of the topic changes: not yet said */
    uint64_t fs_missed_n;
};

/* New state of @feed; takes @doc over (NULL: memory is short). */
void feed_say(struct feed *feed, json_t *doc);
void feed_fail(struct feed *feed, int code, const char *text);
/* The document ready to be sent; NULL if memory is short. */
const struct buf *feed_full(struct feed *feed);

/* The topic @name for @args; NULL: there is none. */
const struct topic *topic_find(const char *name, const json_t *args);
/* Is an argument wrong? A sentence, or NULL. */
const char *topic_args_wrong(const struct topic *topic, const json_t *args);

/* files.c: the topic files. */
void http_topic_files(struct feed *feed);
void http_topic_files_end(struct feed *feed);

/* file_changes.c: the topic changes. */
void http_topic_changes(struct feed *feed);
void http_topic_changes_end(struct feed *feed);

/* stream.c: @feed has a new version. */
void stream_feed_changed(struct feed *feed);
/* stream.c: an answer came to a feed that nobody follows any more. */
void stream_feed_free(struct feed *feed);

#endif
