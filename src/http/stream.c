#include "http/stream.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "http/client.h"
#include "http/feed.h"
#include "http/server.h"

#define ROUND_MS 500
#define TICK_MS  5000 /* a client that heard nothing for so long hears a tick */

struct stream {
    struct http_server *server;
    struct list clients, feeds;
    struct maptext by_key; /* feeds */
    uv_timer_t timer;
    bool running, stopping;
    struct stream_stats stats;
};

struct stream_client {
    struct http_client client;
    struct list link; /* stream.clients */
    struct stream *stream;
    struct list subs;
    unsigned subs_n;
    bool paused;
    uint64_t said_ms;
    struct buf answer; /* to what was no subscription; the newest */
    bool tick;
};

struct sub {
    struct list link;      /* the client's */
    struct list feed_link; /* the feed's */
    struct stream_client *client;
    struct feed *feed;
    long long id;
    uint64_t seen; /* version of the feed that was said; 0: none */
};

/* ---- rounds ---- */

static void ask_over(void *user, json_t *result, int code, const char *text)
{
    struct feed *feed = user;

    feed->asking = false;
    if (result != NULL && strcmp(feed->topic->verb, "nodes") == 0)
        http_members_mark(&feed->server->members, result);
    if (feed->dead)
        stream_feed_free(feed);
    else if (result != NULL)
        feed_say(feed, json_incref(result));
    else
        feed_fail(feed, code, text);
}

static void feed_ask(struct feed *feed, uint64_t now_ms)
{
    feed->asked_ms = now_ms;
    if (feed->topic->verb == NULL) {
        feed->topic->ask(feed);
        return;
    }
    feed->asking = true;
    http_ask(feed->server, feed->topic->verb, json_copy(feed->args), ask_over, feed);
}

static void on_round(uv_timer_t *timer)
{
    struct stream *stream = timer->data;
    uint64_t now_ms = http_now_ms();
    bool wanted = false;

    stream->stats.rounds++;
    list_for_each_safe (it, &stream->feeds) {
        struct feed *feed = container_of(it, struct feed, link);
        wanted |= feed->active_n > 0;
        /* A round may come a little early. */
        if (feed->active_n > 0 && !feed->asking &&
            now_ms + ROUND_MS / 10 >= feed->asked_ms + feed->topic->period_ms)
            feed_ask(feed, now_ms);
    }
    list_for_each (it, &stream->clients) {
        struct stream_client *client = container_of(it, struct stream_client, link);
        if (!client->paused && client->subs_n > 0 && now_ms >= client->said_ms + TICK_MS) {
            client->tick = true;
            web_socket_wake(client->client.socket);
        }
    }
    if (!wanted) {
        uv_timer_stop(&stream->timer);
        stream->running = false;
    }
}

static void stream_run(struct stream *stream)
{
    if (stream->running || stream->stopping)
        return;
    stream->running = true;
    uv_timer_start(&stream->timer, on_round, ROUND_MS, ROUND_MS);
}

void stream_feed_changed(struct feed *feed)
{
    list_for_each (it, &feed->subs) {
        struct sub *sub = container_of(it, struct sub, feed_link);
        if (!sub->client->paused && sub->client->client.socket != NULL)
            web_socket_wake(sub->client->client.socket);
    }
}

/* ---- feeds ---- */

void stream_feed_free(struct feed *feed)
{
    if (feed->topic->end != NULL)
        feed->topic->end(feed);
    delta_deinit(&feed->state);
    json_decref(feed->doc);
    json_decref(feed->args);
    buf_deinit(&feed->full);
    buf_deinit(&feed->delta);
    buf_deinit(&feed->error);
    free(feed->key);
    core_free(feed);
}

/* Nobody follows it any more. */
static void feed_leave(struct stream *stream, struct feed *feed)
{
    (void)maptext_remove(&stream->by_key, feed->key);
    list_remove(&feed->link);
    stream->stats.feeds--;
    feed->dead = true;
    if (!feed->asking)
        stream_feed_free(feed);
}

/* What a topic knows of its arguments, in one order: what is the same has the same key. */
static json_t *args_known(const struct topic *topic, const json_t *args)
{
    json_t *known = json_object();

    for (size_t i = 0; topic->args[i] != NULL; i++) {
        json_t *value = json_object_get(args, topic->args[i]);
        if (json_is_string(value) || json_is_integer(value) || json_is_boolean(value))
            (void)json_object_set(known, topic->args[i], value);
    }
    return known;
}

static struct feed *feed_get(struct stream *stream, const struct topic *topic, const json_t *args)
{
    json_t *known = args_known(topic, args);
    json_t *named = json_pack("[s,O]", topic->name, known);
    char *key = named != NULL ? json_dumps(named, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    struct feed *feed = key != NULL ? maptext_find(&stream->by_key, key) : NULL;

    json_decref(named);
    if (feed != NULL || key == NULL || stream->stats.feeds >= HTTP_FEEDS_MAX ||
        (feed = core_calloc(1, sizeof(*feed))) == NULL) {
        json_decref(known);
        free(key);
        return feed;
    }
    feed->server = stream->server;
    feed->topic = topic;
    feed->args = known;
    feed->key = key;
    list_init(&feed->subs);
    list_init(&feed->watches);
    if (maptext_set(&stream->by_key, feed->key, feed) != 0) {
        stream_feed_free(feed);
        return NULL;
    }
    list_append(&stream->feeds, &feed->link);
    stream->stats.feeds++;
    return feed;
}

/* ---- subscriptions ---- */

static void sub_free(struct sub *sub)
{
    struct stream_client *client = sub->client;
    struct feed *feed = sub->feed;

    list_remove(&sub->link);
    list_remove(&sub->feed_link);
    client->subs_n--;
    client->stream->stats.subscriptions--;
    if (!client->paused)
        feed->active_n--;
    core_free(sub);
    if (list_empty(&feed->subs))
        feed_leave(client->stream, feed);
}

static struct sub *sub_find(struct stream_client *client, long long id)
{
    list_for_each (it, &client->subs) {
        struct sub *sub = container_of(it, struct sub, link);
        if (sub->id == id)
            return sub;
    }
    return NULL;
}

static void
answer_error(struct stream_client *client, const json_t *id, int code, const char *message)
{
    struct json json;

    buf_deinit(&client->answer);
    json = json_begin(&client->answer);
    json_object_begin(&json);
    if (json_is_integer(id)) {
        json_kv_i64(&json, "id", json_integer_value(id));
        json_kv_bool(&json, "final", true);
    }
    json_key(&json, "error");
    json_object_begin(&json);
    json_kv_text(&json, "code", kith_error_name(code));
    json_kv_text(&json, "message", message);
    json_kv_text(&json, "hint", "docs/protocols/http.md, The stream");
    json_object_end(&json);
    json_object_end(&json);
    (void)json_end(&json);
    web_socket_wake(client->client.socket);
}

static void subscribe(struct stream_client *client, const json_t *message)
{
    const json_t *id = json_object_get(message, "id"), *args = json_object_get(message, "args");
    const char *name = json_string_value(json_object_get(message, "topic"));
    const struct topic *topic = topic_find(name, args);
    const char *wrong = NULL;

    if (!json_is_integer(id))
        wrong = "a subscription needs \"id\", a number";
    else if (topic == NULL)
        wrong = "there is no such topic";
    else
        wrong = topic_args_wrong(topic, args);
    struct sub *old = json_is_integer(id) ? sub_find(client, json_integer_value(id)) : NULL;
    if (wrong == NULL && old == NULL && client->subs_n >= HTTP_SUBSCRIPTIONS_MAX) {
        answer_error(client, id, KITH_E_LIMIT, "a connection has at most 32 subscriptions");
        return;
    }
    if (wrong != NULL) {
        answer_error(client, id, KITH_E_INVALID, wrong);
        return;
    }
    struct feed *feed = feed_get(client->stream, topic, args);
    struct sub *sub = feed != NULL ? core_calloc(1, sizeof(*sub)) : NULL;
    if (sub == NULL) {
        if (feed != NULL && list_empty(&feed->subs))
            feed_leave(client->stream, feed);
        answer_error(client, id, KITH_E_LIMIT, "this node has no room for more subscriptions");
        return;
    }
    sub->client = client;
    sub->feed = feed;
    sub->id = json_integer_value(id);
    list_append(&client->subs, &sub->link);
    list_append(&feed->subs, &sub->feed_link);
    client->subs_n++;
    client->stream->stats.subscriptions++;
    if (!client->paused)
        feed->active_n++;
    if (old != NULL)
        sub_free(old);
    stream_run(client->stream);
    /* What is known is said at once; what is stale after a pause is asked anew first. */
    uint64_t now_ms = http_now_ms();
    if (!client->paused && !feed->asking && now_ms >= feed->asked_ms + feed->topic->period_ms)
        feed_ask(feed, now_ms);
    web_socket_wake(client->client.socket);
}

static void set_paused(struct stream_client *client, bool paused)
{
    if (client->paused == paused)
        return;
    client->paused = paused;
    list_for_each (it, &client->subs) {
        struct sub *sub = container_of(it, struct sub, link);
        if (paused) {
            sub->feed->active_n--;
        } else {
            sub->feed->active_n++;
            sub->seen = 0;
        }
    }
    if (paused)
        return;
    client->said_ms = http_now_ms();
    stream_run(client->stream);
    list_for_each_safe (it, &client->subs) {
        struct feed *feed = container_of(it, struct sub, link)->feed;
        if (!feed->asking && client->said_ms >= feed->asked_ms + feed->topic->period_ms)
            feed_ask(feed, client->said_ms);
    }
    web_socket_wake(client->client.socket);
}

static void client_message(struct http_client *base, const char *text, size_t len)
{
    struct stream_client *client = container_of(base, struct stream_client, client);
    json_error_t error;
    json_t *message = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    const char *op = json_string_value(json_object_get(message, "op"));
    struct sub *sub;

    if (op == NULL) {
        answer_error(client, NULL, KITH_E_PARSE, "a message is a JSON object with \"op\"");
    } else if (strcmp(op, "subscribe") == 0) {
        subscribe(client, message);
    } else if (strcmp(op, "unsubscribe") == 0) {
        sub = sub_find(client, json_integer_value(json_object_get(message, "id")));
        if (sub != NULL)
            sub_free(sub);
    } else if (strcmp(op, "pause") == 0 || strcmp(op, "resume") == 0) {
        set_paused(client, op[0] == 'p');
    } else {
        answer_error(client, json_object_get(message, "id"), KITH_E_UNSUPPORTED,
                     "op is subscribe, unsubscribe, pause or resume");
    }
    json_decref(message);
}

/* ---- saying ---- */

static void say(struct stream_client *client, const void *data, size_t len)
{
    char *to = web_socket_buffer(client->client.socket, len);

    if (to == NULL)
        return;
    memcpy(to, data, len);
    web_socket_send(client->client.socket, len);
    client->said_ms = http_now_ms();
    client->stream->stats.messages++;
    client->stream->stats.bytes += len;
}

/* {"id":N, and what follows the brace of @body. */
static void say_sub(struct sub *sub, const struct buf *body)
{
    char prefix[48];
    int n = snprintf(prefix, sizeof(prefix), "{\"id\":%lld,", sub->id);
    size_t len = (size_t)n + body->len - 1;
    char *to = web_socket_buffer(sub->client->client.socket, len);

    if (to == NULL)
        return;
    memcpy(to, prefix, (size_t)n);
    memcpy(to + n, body->data + 1, body->len - 1);
    web_socket_send(sub->client->client.socket, len);
    sub->client->said_ms = http_now_ms();
    sub->client->stream->stats.messages++;
    sub->client->stream->stats.bytes += len;
}

/* What this subscription should hear next; NULL: nothing. */
static const struct buf *next_of(struct sub *sub)
{
    struct feed *feed = sub->feed;

    if (sub->seen == feed->version)
        return NULL;
    if (feed->error_code != 0)
        return &feed->error;
    if (feed->doc == NULL)
        return NULL;
    if (sub->seen != 0 && sub->seen + 1 == feed->version && feed->has_delta)
        return &feed->delta;
    return feed_full(feed);
}

static void client_writable(struct http_client *base)
{
    struct stream_client *client = container_of(base, struct stream_client, client);
    bool more = false;
    const struct buf *body;

    if (client->answer.len > 0) {
        struct buf answer = client->answer;
        client->answer = (struct buf){0};
        say(client, answer.data, answer.len);
        buf_deinit(&answer);
        web_socket_wake(client->client.socket);
        return;
    }
    list_for_each_safe (it, &client->subs) {
        struct sub *sub = container_of(it, struct sub, link);
        if (client->paused || (body = next_of(sub)) == NULL)
            continue;
        say_sub(sub, body);
        sub->seen = sub->feed->version;
        /* The next has its turn first. */
        list_remove(&sub->link);
        list_append(&client->subs, &sub->link);
        more = true;
        break;
    }
    if (more) {
        client->tick = false;
        web_socket_wake(client->client.socket);
    } else if (client->tick) {
        char text[48];
        int n = snprintf(text, sizeof(text), "{\"tick\":%llu}", (unsigned long long)http_unix_ms());
        client->tick = false;
        say(client, text, (size_t)n);
    }
}

/* ---- clients ---- */

static void client_open(struct http_client *base)
{
    container_of(base, struct stream_client, client)->said_ms = http_now_ms();
}

static void client_closed(struct http_client *base)
{
    struct stream_client *client = container_of(base, struct stream_client, client);
    struct list *link;

    while ((link = list_first(&client->subs)) != NULL)
        sub_free(container_of(link, struct sub, link));
    list_remove(&client->link);
    list_remove(&base->session_link);
    buf_deinit(&client->answer);
    client->stream->stats.clients--;
    core_free(client);
}

static const struct http_client_kind kind = {.open = client_open,
                                             .message = client_message,
                                             .writable = client_writable,
                                             .closed = client_closed};

struct http_client *stream_client_new(struct http_exchange *x)
{
    struct stream *stream = x->server->stream;
    struct stream_client *client = core_calloc(1, sizeof(*client));

    if (client == NULL || x->session == NULL) {
        core_free(client);
        http_fail(x, 0, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY), NULL);
        return NULL;
    }
    client->stream = stream;
    list_init(&client->subs);
    list_append(&stream->clients, &client->link);
    http_client_init(&client->client, &kind, x->session);
    stream->stats.clients++;
    http_exchange_free(x);
    return &client->client;
}

void http_get_stream(struct http_exchange *x)
{
    http_fail_with(x, 426, KITH_E_UNSUPPORTED, "this route is a WebSocket", NULL,
                   "Upgrade: websocket\r\n");
}

/* ---- life ---- */

struct stream *stream_new(struct http_server *server)
{
    struct stream *stream = core_calloc(1, sizeof(*stream));

    if (stream == NULL)
        return NULL;
    stream->server = server;
    list_init(&stream->clients);
    list_init(&stream->feeds);
    uv_timer_init(node_loop(server->service.node), &stream->timer);
    stream->timer.data = stream;
    return stream;
}

void stream_stop(struct stream *stream, uv_close_cb closed)
{
    stream->stopping = true;
    uv_timer_stop(&stream->timer);
    stream->timer.data = stream->server;
    uv_close((uv_handle_t *)&stream->timer, closed);
}

void stream_free(struct stream *stream)
{
    if (stream == NULL)
        return;
    maptext_deinit(&stream->by_key);
    core_free(stream);
}

void stream_stats(const struct stream *stream, struct stream_stats *stats_out)
{
    *stats_out = stream->stats;
}
