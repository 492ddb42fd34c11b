/*
 * The stream: clients on WebSockets, who subscribe to topics (docs/protocols/http.md, The stream).
 *
 * What several clients follow in the same way is one feed: asked for, compared and printed once a
 * round, whoever follows. A client holds no messages, only for each subscription which state of the
 * feed it has: so one that reads slowly gets the latest state next, and memory is bounded. Without
 * a client that wants to hear there is no timer. Loop thread only.
 */
#ifndef HTTP_STREAM_H
#define HTTP_STREAM_H

#include <stddef.h>
#include <uv.h>

struct http_client;
struct http_exchange;
struct http_server;
struct stream;

struct stream *stream_new(struct http_server *server);
/* Ends all feeds; @closed once its handle is, with the server as the handle's data. */
void stream_stop(struct stream *stream, uv_close_cb closed);
void stream_free(struct stream *stream);

/* Takes @x over. NULL if it was refused. */
struct http_client *stream_client_new(struct http_exchange *x);

struct stream_stats {
    unsigned clients, subscriptions, feeds;
    unsigned long long rounds, messages, bytes;
};
void stream_stats(const struct stream *stream, struct stream_stats *stats_out);

#endif
