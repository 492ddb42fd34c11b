/*
 * An HTTP/1.1 and WebSocket server on a loop that exists already: what the rest of this room knows
 * of the web library, which only lws*.c include. Another library would take the place of these
 * files and no more.
 *
 * Everything runs on the loop's thread. A request is whole (its body too) when it is told; it is
 * answered once, at once or later, or it ends by on_gone. What a request points to is borrowed
 * until then; pointers of web_header() only until the callback that told of it returns.
 *
 * Bodies and answers that nobody should hold whole come and go in pieces: a body by on_piece, no
 * faster than the handler takes them (web_pause), an answer by web_answer_piece(), of which the
 * handler gives no more than it wants to hold (on_piece_left).
 */
#ifndef HTTP_WEB_H
#define HTTP_WEB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/log.h"

struct web;
struct web_request;
struct web_socket;

enum web_method {
    WEB_GET,
    WEB_HEAD,
    WEB_POST,
    WEB_PUT,
    WEB_DELETE,
    WEB_OPTIONS,
    WEB_OTHER,
};

enum web_header {
    WEB_HOST,
    WEB_ORIGIN,
    WEB_COOKIE,
    WEB_AUTHORIZATION,
    WEB_IF_MATCH,
    WEB_IF_NONE_MATCH,
    WEB_RANGE,
    WEB_IF_RANGE,
    WEB_CONTENT_TYPE,
    WEB_X_KITH,
    WEB_PROTOCOLS, /* Sec-WebSocket-Protocol */
};

struct web_handler {
    /*
     * The header of a request is there, its body not yet: true to take the body, false if
     * web_answer() has refused it.
     */
    bool (*on_header)(struct web_request *request, void *user);
    void (*on_request)(struct web_request *request, void *user);
    /* Most bytes of this request's body, if it comes in pieces (on_piece; on_request when it is
     * whole); 0: it does not. Asked before on_header. */
    uint64_t (*pieces_max)(struct web_request *request, void *user);
    void (*on_piece)(struct web_request *request, const void *data, size_t len, void *user);
    /* A piece of the answer has been written. @all: it was the last, @request is gone after this.
     */
    void (*on_piece_left)(struct web_request *request, bool all, void *user);
    /* The client went before the answer, or the server stops: @request is gone after this. */
    void (*on_gone)(struct web_request *request, void *user);
    /* Header lines for what is refused before on_header ("" is fine): @out, of @out_bytes. */
    void (*refusal_lines)(struct web_request *request, void *user, char *out, size_t out_bytes);
    /* A WebSocket may be opened (its request is told by on_header first). NULL: web_answer() has
     * refused it. Else what web_socket_user() gives; from then on on_closed comes for certain. */
    void *(*on_upgrade)(struct web_request *request, void *user);
    void (*on_open)(struct web_socket *socket, void *user);
    void (*on_message)(struct web_socket *socket, const char *text, size_t len, void *user);
    /* After web_socket_wake(): at most one web_socket_send(). */
    void (*on_writable)(struct web_socket *socket, void *user);
    void (*on_closed)(void *socket_user, void *user);
};

struct web_options {
    const char *host;                 /* an address: "127.0.0.1", "::1", "0.0.0.0", "::" */
    uint16_t port;                    /* 0: the kernel chooses */
    const char *cert_file, *key_file; /* TLS if not NULL */
    const struct web_handler *handler;
    void *user;
    struct log *log;
};

/* 0 and a server that listens; KITH_E_IN_USE (the port is taken); KITH_E_IO; KITH_E_MEMORY. */
int web_open(uv_loop_t *loop, const struct web_options *options, struct web **web_out);
uint16_t web_port(const struct web *web);
/* Could one listen there now? Asked of the system, before the library is. */
bool web_port_free(const char *host, uint16_t port);
/* Ends all connections; @closed once, later, when nothing of it is left on the loop. */
void web_close(struct web *web, void (*closed)(void *arg), void *arg);

/* ---- requests ---- */

enum web_method web_method(const struct web_request *request);
const char *web_path(const struct web_request *request);   /* decoded, without the query */
uint64_t web_body_want(const struct web_request *request); /* as its header says */
const uint8_t *web_body(const struct web_request *request, size_t *len_out);
bool web_is_tls(const struct web_request *request);
/* The value of a header, or NULL. A header that is there twice counts as damage: see on_header. */
const char *web_header(const struct web_request *request, enum web_header header);
bool web_has_query(const struct web_request *request);
/* The argument @key of the query, decoded, to @out: true if it is there and fits. */
bool web_query(const struct web_request *request, const char *key, char *out, size_t out_bytes);
/* Calls @fn for each argument of the query. */
void web_query_each(const struct web_request *request,
                    void (*fn)(void *arg, const char *key, const char *value),
                    void *arg);
/* Numeric address of the client to @out (at least 46 bytes). */
void web_peer(const struct web_request *request, char *out, size_t out_bytes);
bool web_wants_gzip(const struct web_request *request);

void web_request_set_user(struct web_request *request, void *user);
void *web_request_user(const struct web_request *request);

/*
 * Ends the request. @headers: lines "Name: value\r\n", may be NULL; Content-Length is added. The
 * body is copied. @close: the connection ends with it.
 */
struct web_answer {
    int status;
    const char *headers;
    const void *body;
    size_t body_len;
    bool body_kept; /* the body stays where it is for as long as the program runs */
    bool close;
};
void web_answer(struct web_request *request, const struct web_answer *answer);

/* Of a body in pieces: nothing is read of it until it goes on. A few more may come in between. */
void web_pause(struct web_request *request, bool paused);

/*
 * The same in pieces, @len bytes in all (more than none): the head now, its body by
 * web_answer_piece() until all has been given. body of @answer is not looked at. 0; KITH_E_MEMORY:
 * it is not answered yet.
 */
int web_answer_begin(struct web_request *request, const struct web_answer *answer, uint64_t len);
/* Room for a piece of @len bytes; NULL if memory is short. */
uint8_t *web_piece_new(size_t len);
void web_piece_free(uint8_t *piece); /* of one that was not given; NULL is fine */
/* Takes @piece over. May call on_piece_left before it returns. */
void web_answer_piece(struct web_request *request, uint8_t *piece, size_t len);
/* What was begun cannot be ended: the connection closes, short of the length. @request is gone,
 * without on_gone. */
void web_answer_break(struct web_request *request);

/* answer.c: "Not Found", an error that also closes the connection, and the same as its bytes (how
 * many; 0: memory is short) where there is no request to answer. */
#define HTTP_REFUSAL_BYTES_MAX 1024
const char *http_reason_of(int status);
size_t
http_refusal_text(int status, int code, const char *message, char out[HTTP_REFUSAL_BYTES_MAX]);
void web_refuse(struct web_request *request, int status, int code, const char *message);
/* The handler's refusal_lines. */
void web_refusal_lines(struct web_request *request, char *out, size_t out_bytes);

/* ---- WebSockets ---- */

void *web_socket_user(const struct web_socket *socket);
/* From on_open: its messages are bytes, both ways, and no text. */
void web_socket_binary(struct web_socket *socket);
void web_socket_wake(struct web_socket *socket); /* on_writable soon */
/* Room for @len bytes of a message, which the caller fills before web_socket_send(). */
char *web_socket_buffer(struct web_socket *socket, size_t len);
void web_socket_send(struct web_socket *socket, size_t len);
/* Closes it soon. @code as in RFC 6455; @why is for people, UTF-8, of which 123 bytes go; "": none.
 */
void web_socket_close(struct web_socket *socket, unsigned code, const char *why);

struct web_stats {
    uint32_t connections, sockets;
    uint64_t requests, refused_connections, timeouts;
    size_t body_bytes; /* held for requests under way */
};
void web_stats(const struct web *web, struct web_stats *stats_out);

#endif
