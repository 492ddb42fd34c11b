/*
 * What lws*.c share, the files that know libwebsockets: a connection, which carries one request
 * after another or is a WebSocket, and the server. No other file includes this.
 */
#ifndef HTTP_LWS_H
#define HTTP_LWS_H

#include <libwebsockets.h>
#include <uv.h>

#include "core/bytes.h"
#include "core/limits.h"
#include "core/list.h"
#include "http/linger.h"
#include "http/web.h"

#define HTTP_HEADER_TOO_LARGE "the header is above 8 KiB, the limit; send fewer or shorter lines"
/* Written at once; more comes when there is room. */
#define WRITE_BYTES 65536
#define TICK_MS     1000

enum conn_state {
    CONN_WAITS,    /* for a request */
    CONN_BODY,     /* takes its body */
    CONN_ASKED,    /* the handler has it */
    CONN_ANSWERED, /* its answer is on the way */
    CONN_STREAMS,  /* its answer is given piece by piece */
    CONN_SOCKET,   /* it is a WebSocket */
    CONN_ENDS,
};

struct web_request {
    struct list link; /* web.conns */
    struct web *web;
    struct lws *wsi;
    enum conn_state state;
    bool inside;       /* a callback of the library for it is on the stack */
    bool unknown_end;  /* a body of unknown length: close with the answer */
    bool with_body;    /* the library awaits one, be it empty */
    bool http_1_0;     /* no keep-alive */
    bool closes;       /* close once the answer is written */
    bool socket_ready; /* opened */
    bool binary;       /* a WebSocket of bytes */
    bool parked;       /* nothing is read */
    bool paused;       /* likewise, by the handler */
    bool in_pieces;    /* its body */
    bool done;         /* the answer has left, the next request may come */
    struct list again; /* web.again: it may take the next request at once */
    /* What of the stream belonged to earlier requests, to know the size of a header. */
    uint64_t bytes_before;
    uint64_t bytes_seen; /* at the last tick */
    enum web_method method;
    char *path;
    struct buf body;
    uint64_t body_want, body_came, body_max;
    uint64_t resumed_ms; /* since then it could send */
    void *user;
    /* The answer: head and body's copy, or head and a body that stays. */
    uint8_t *out; /* LWS_PRE in front */
    size_t out_len, out_at;
    const uint8_t *kept;
    size_t kept_len, kept_at;
    /* An answer in pieces. */
    struct piece *pieces, *pieces_last;
    uint64_t pieces_left; /* bytes that are to be given yet */
    bool writing, broken;
    uint64_t acked, acked_ms; /* what the client had taken at the last tick that it took some */
    struct buf message;       /* of a WebSocket, until it is whole */
};

/* One connection is one or the other; they share what belongs to it. */
struct web_socket {
    struct web_request conn;
};

struct web {
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct lws_protocols protocols[2];
    const struct web_handler *handler;
    void *user;
    struct log *log;
    uv_loop_t *loop;
    struct list conns;
    struct web_stats stats;
    unsigned connections_max;
    /* Values of headers that were asked for, until the callback of the library returns. */
    char header_room[2 * HTTP_HEADER_BYTES_MAX];
    size_t header_at;
    uint8_t *scratch; /* messages of WebSockets are made here */
    size_t scratch_bytes;
    struct http_lingers lingers;
    struct list again;
    uv_check_t check;
    uv_timer_t tick;
    uv_timer_t close_timer;
    unsigned close_turns, handles_n;
    void (*closed)(void *arg);
    void *closed_arg;
    bool tls, closing;
    uint16_t port;
};

/* ---- lws_conn.c: life, time, answers ---- */

int conn_new(struct web *web, struct lws *wsi);
/* The handler hears of the end once, whatever was under way. */
void conn_gone(struct web_request *conn);
void conn_free(struct web_request *conn);
/* Closes it soon, from outside the library's callbacks. */
void conn_kill(struct web_request *conn);
/* Answers what is no whole request, past the library. The connection is to be closed. */
void conn_say(struct web_request *conn, int status, int code, const char *message);
/* What the library has read of a header that is not whole yet is more than one may be: says so. */
void conn_header_overflows(struct web *web);
/* What belonged to its last request. */
void conn_clear(struct web_request *conn);
/* Bytes received in all, and ms since the last of them (may be NULL). */
uint64_t conn_bytes(const struct web_request *conn, uint32_t *quiet_ms_out);
void conn_on_tick(uv_timer_t *timer);
/* A callback of the library for it has returned, within which it was answered. */
void conn_go_on(struct web_request *conn);
void conn_on_check(uv_check_t *check);
/* Writes what comes next. 0: more is to come; 1: all is written; -1: the connection is broken. */
int conn_write(struct web_request *conn);
/* The same as a callback of the library returns: 0, or -1 to close. */
int conn_answer(struct web_request *conn);

/* All is written: 0 if the connection takes the next request, -1 if it is to be closed. */
int conn_answered(struct web_request *conn);
/* What an answer begins with, to conn->out. 0 or KITH_E_MEMORY. */
int conn_head(struct web_request *conn,
              const struct web_answer *answer,
              uint64_t body_len,
              size_t copied);
/* Writing has ended outside the library's callbacks with @r of conn_answered(). */
void conn_settle(struct web_request *conn, int r);
/* Reads again, if it did not. */
void conn_unpark(struct web_request *conn);

/* ---- lws_pieces.c ---- */

int conn_on_piece(struct web_request *conn, const void *data, size_t len);
/* As a callback of the library returns: 0, or -1 to close. */
int conn_pieces(struct web_request *conn);
void conn_pieces_free(struct web_request *conn);
/* Does its client take nothing, for too long? */
bool conn_pieces_late(struct web_request *conn);

/* ---- lws_request.c: a request, from its header to the handler; as the library's callbacks ---- */

const char *conn_header(const struct web_request *request, enum lws_token_indexes token);
enum web_method conn_method(int lws_method);
/* What of a request can be judged before its body. True: it is fit to be taken. */
bool conn_header_fit(struct web_request *conn, int64_t length);
int conn_on_http(struct web_request *conn, const char *path, size_t path_len);
int conn_on_body(struct web_request *conn, const void *data, size_t len);
int conn_on_body_whole(struct web_request *conn);
int conn_on_http_writeable(struct web_request *conn);

/* ---- lws_socket.c: WebSockets; as the library's callbacks ---- */

int conn_on_upgrade(struct web_request *conn, const char *to);
int conn_on_socket_writeable(struct web_request *conn);
int conn_on_socket_data(struct web_request *conn, const void *data, size_t len);

#endif
