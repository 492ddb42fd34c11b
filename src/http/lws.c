/*
 * web.h on libwebsockets, on the node's own loop through its plug-in for libuv. Rules that cost
 * somebody a day each, and where they are kept:
 *
 * - An explicit vhost, so that a port that is taken is an error here (web_open).
 * - The context is destroyed twice, the second time when the loop has turned (web_close).
 * - WRITEABLE comes unasked after a partial write: what is to be written is looked at first
 *   (on_http_writeable, on_socket_writeable).
 * - Head and body of an answer leave in one write, or the rate halves (write_answer).
 * - User space of a connection is freed with each request: ours hangs at the opaque pointer.
 * - A POST without a length counts as one of 100 MB: its connection closes with the answer.
 * - What has no length limit there has one here: header, body, connections, time.
 * Left out: HTTP/2, chunked bodies of requests, compression while writing.
 */
#include <errno.h>
#include <libwebsockets.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/error.h"
#include "core/limits.h"
#include "core/list.h"
#include "http/socket.h"
#include "http/web.h"

/* Context and vhost take two turns to go; the library does not say when. */
#define CLOSE_TURNS   8
#define CLOSE_TURN_MS 1
#define TICK_MS       1000
/* The largest header that the library can hold; above ours and below it: 431. */
#define LIBRARY_HEADER_BYTES 65535
#define SERVICE_BYTES        16384

enum conn_state {
    CONN_WAITS,    /* for a request */
    CONN_BODY,     /* takes its body */
    CONN_ASKED,    /* the handler has it */
    CONN_ANSWERED, /* its answer is on the way */
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
    bool http_1_0;     /* no keep-alive */
    bool closes;       /* close once the answer is written */
    bool socket_ready; /* opened */
    bool parked;       /* nothing is read */
    /* What of the stream belonged to earlier requests, to know the size of a header. */
    uint64_t bytes_before;
    uint64_t bytes_seen; /* at the last tick */
    enum web_method method;
    char *path;
    struct buf body;
    size_t body_want;
    void *user;
    /* The answer: head and body's copy, or head and a body that stays. */
    uint8_t *out; /* LWS_PRE in front */
    size_t out_len, out_at;
    const uint8_t *kept;
    size_t kept_len, kept_at;
    struct buf message; /* of a WebSocket, until it is whole */
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
    uv_timer_t tick;
    uv_timer_t close_timer;
    unsigned close_turns, handles_n;
    void (*closed)(void *arg);
    void *closed_arg;
    bool tls, closing;
    uint16_t port;
};

/* Idle WebSockets are pinged, and given up when they do not answer. */
static const lws_retry_bo_t validity = {.secs_since_valid_ping = HTTP_SOCKET_PING_MS / 1000,
                                        .secs_since_valid_hangup = HTTP_SOCKET_LOST_MS / 1000};

/* ---- its log ---- */

static struct log *_Atomic library_log;

static void on_library_line(int level, const char *line)
{
    http_library_line(library_log, level <= LLL_WARN, line);
}

/* ---- requests ---- */

enum web_method web_method(const struct web_request *request)
{
    return request->method;
}

const char *web_path(const struct web_request *request)
{
    return request->path;
}

size_t web_body_want(const struct web_request *request)
{
    return request->body_want;
}

const uint8_t *web_body(const struct web_request *request, size_t *len_out)
{
    *len_out = request->body.len;
    return request->body.data;
}

bool web_is_tls(const struct web_request *request)
{
    return request->web->tls;
}

void web_request_set_user(struct web_request *request, void *user)
{
    request->user = user;
}

void *web_request_user(const struct web_request *request)
{
    return request->user;
}

void web_peer(const struct web_request *request, char *out, size_t out_bytes)
{
    out[0] = '\0';
    lws_get_peer_simple(request->wsi, out, out_bytes);
}

static const enum lws_token_indexes tokens[] = {
    [WEB_HOST] = WSI_TOKEN_HOST,
    [WEB_ORIGIN] = WSI_TOKEN_ORIGIN,
    [WEB_COOKIE] = WSI_TOKEN_HTTP_COOKIE,
    [WEB_AUTHORIZATION] = WSI_TOKEN_HTTP_AUTHORIZATION,
    [WEB_IF_MATCH] = WSI_TOKEN_HTTP_IF_MATCH,
    [WEB_IF_NONE_MATCH] = WSI_TOKEN_HTTP_IF_NONE_MATCH,
    [WEB_CONTENT_TYPE] = WSI_TOKEN_HTTP_CONTENT_TYPE,
    [WEB_PROTOCOLS] = WSI_TOKEN_PROTOCOL,
};

static const char *header_text(const struct web_request *request, enum lws_token_indexes token)
{
    struct web *web = request->web;
    int len = lws_hdr_total_length(request->wsi, token);
    char *out = web->header_room + web->header_at;

    if (len <= 0 || (size_t)len + 1 > sizeof(web->header_room) - web->header_at ||
        lws_hdr_copy(request->wsi, out, len + 1, token) < 0)
        return NULL;
    web->header_at += (size_t)len + 1;
    return out;
}

const char *web_header(const struct web_request *request, enum web_header header)
{
    static const char x_kith[] = "x-kith:";

    if (header == WEB_X_KITH)
        return lws_hdr_custom_length(request->wsi, x_kith, sizeof(x_kith) - 1) > 0 ? "1" : NULL;
    return header_text(request, tokens[header]);
}

/* Twice the same header is how two servers come to read one request differently. */
static bool has_double_header(const struct web_request *request)
{
    for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        int len = i == WEB_X_KITH ? 0 : lws_hdr_total_length(request->wsi, tokens[i]);
        if (len > 0 && lws_hdr_fragment_length(request->wsi, tokens[i], 1) > 0)
            return true;
    }
    return lws_hdr_fragment_length(request->wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, 1) > 0;
}

bool web_wants_gzip(const struct web_request *request)
{
    const char *text = header_text(request, WSI_TOKEN_HTTP_ACCEPT_ENCODING);
    return text != NULL && strstr(text, "gzip") != NULL;
}

void web_query_each(const struct web_request *request,
                    void (*fn)(void *arg, const char *key, const char *value),
                    void *arg)
{
    char text[1024];

    for (int i = 0;
         lws_hdr_copy_fragment(request->wsi, text, sizeof(text), WSI_TOKEN_HTTP_URI_ARGS, i) >= 0;
         i++) {
        char *equals = strchr(text, '=');
        if (equals != NULL)
            *equals = '\0';
        fn(arg, text, equals != NULL ? equals + 1 : "");
    }
}

struct query_one {
    const char *key;
    char *out;
    size_t out_bytes;
    bool found;
};

static void query_one(void *arg, const char *key, const char *value)
{
    struct query_one *one = arg;

    if (one->found || strcmp(key, one->key) != 0 || strlen(value) >= one->out_bytes)
        return;
    memcpy(one->out, value, strlen(value) + 1);
    one->found = true;
}

bool web_has_query(const struct web_request *request)
{
    return lws_hdr_total_length(request->wsi, WSI_TOKEN_HTTP_URI_ARGS) > 0;
}

bool web_query(const struct web_request *request, const char *key, char *out, size_t out_bytes)
{
    struct query_one one = {.key = key, .out = out, .out_bytes = out_bytes};

    out[0] = '\0';
    if (web_has_query(request))
        web_query_each(request, query_one, &one);
    return one.found;
}

/* ---- life of a connection ---- */

static struct web *web_of(struct lws *wsi)
{
    struct lws_vhost *vhost = lws_get_vhost(wsi);
    return vhost != NULL ? lws_vhost_user(vhost) : NULL;
}

static void request_clear(struct web_request *request)
{
    request->web->stats.body_bytes -= request->body_want;
    request->body_want = 0;
    core_free(request->path);
    request->path = NULL;
    buf_deinit(&request->body);
    core_free(request->out);
    request->out = NULL;
    request->out_len = request->out_at = 0;
    request->kept = NULL;
    request->kept_len = request->kept_at = 0;
    request->user = NULL;
    request->closes = request->unknown_end = false;
}

static void on_tick(uv_timer_t *timer);

static int conn_new(struct web *web, struct lws *wsi)
{
    struct web_socket *conn = core_calloc(1, sizeof(*conn));

    if (conn == NULL)
        return -1;
    conn->conn.web = web;
    conn->conn.wsi = wsi;
    list_append(&web->conns, &conn->conn.link);
    lws_set_opaque_user_data(wsi, conn);
    if (web->stats.connections++ == 0)
        uv_timer_start(&web->tick, on_tick, TICK_MS, TICK_MS);
    return 0;
}

/* The handler hears of it once, whatever was under way. */
static void conn_gone(struct web_request *conn)
{
    enum conn_state state = conn->state;
    void *user = conn->user;

    conn->state = CONN_ENDS;
    conn->inside = true; /* nothing is written any more */
    if (state == CONN_ASKED || state == CONN_BODY)
        conn->web->handler->on_gone(conn, conn->web->user);
    if (state == CONN_SOCKET) {
        conn->web->stats.sockets--;
        conn->web->handler->on_closed(user, conn->web->user);
    }
    conn->user = NULL;
}

static void conn_free(struct web_request *conn)
{
    struct web *web = conn->web;

    conn_gone(conn);
    request_clear(conn);
    buf_deinit(&conn->message);
    list_remove(&conn->link);
    if (--web->stats.connections == 0 && !web->closing)
        uv_timer_stop(&web->tick);
    core_free(container_of(conn, struct web_socket, conn));
}

/* Closes it soon. From outside the library's callbacks it has to be woken for that. */
static void conn_kill(struct web_request *conn)
{
    conn_gone(conn);
    lws_set_timeout(conn->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
    lws_cancel_service(conn->web->context);
}

/* ---- time and size ---- */

static uint64_t stream_bytes(const struct web_request *conn, uint32_t *quiet_ms_out)
{
    uint64_t bytes;
    uint32_t quiet_ms;

    (void)http_socket_received(lws_get_socket_fd(conn->wsi), &bytes, &quiet_ms);
    if (quiet_ms_out != NULL)
        *quiet_ms_out = quiet_ms;
    return bytes;
}

static void conn_late(struct web_request *conn, bool with_answer)
{
    conn->web->stats.timeouts++;
    if (with_answer && !conn->web->tls)
        http_socket_say(lws_get_socket_fd(conn->wsi), "408 Request Timeout");
    conn_kill(conn);
}

/*
 * A request that waits for its answer for long: nothing more is read. The library would neither
 * take what comes nor notice the end, and be called for it again and again; so we look for the end.
 */
static void conn_park(struct web_request *conn)
{
    if (http_socket_ended(lws_get_socket_fd(conn->wsi))) {
        conn_kill(conn); /* nobody waits for the answer any more */
    } else if (!conn->parked) {
        conn->parked = true;
        lws_rx_flow_control(conn->wsi, 0);
    }
}

/* Once a second: who has sent part of a request and then nothing, or nothing at all for long. */
static void on_tick(uv_timer_t *timer)
{
    struct web *web = timer->data;

    list_for_each_safe (it, &web->conns) {
        struct web_request *conn = container_of(it, struct web_request, link);
        uint32_t quiet_ms = 0;
        if (conn->state == CONN_ASKED)
            conn_park(conn);
        if (conn->state != CONN_WAITS && conn->state != CONN_BODY)
            continue;
        uint64_t bytes = stream_bytes(conn, &quiet_ms);
        bool begun = conn->state == CONN_BODY || bytes > conn->bytes_before;
        if (quiet_ms >= HTTP_QUIET_MS && begun)
            conn_late(conn, true);
        else if (quiet_ms >= HTTP_IDLE_MS)
            conn_late(conn, false);
        else if (begun && conn->state == CONN_WAITS && conn->bytes_seen != 0 &&
                 uv_now(web->loop) - conn->bytes_seen >= HTTP_HEADER_MS)
            conn_late(conn, true);
        if (!begun)
            conn->bytes_seen = 0;
        else if (conn->bytes_seen == 0)
            conn->bytes_seen = uv_now(web->loop);
    }
}

/* ---- answers ---- */

#define WRITE_BYTES 65536

/* Writes what comes next. 0: more is to come; 1: all is written; -1: the connection is broken. */
static int write_answer(struct web_request *conn)
{
    if (conn->out_at < conn->out_len) {
        size_t n = conn->out_len - conn->out_at;
        if (n > WRITE_BYTES)
            n = WRITE_BYTES;
        /* In place: what lies before it has been written. */
        if (lws_write(conn->wsi, conn->out + LWS_PRE + conn->out_at, n, LWS_WRITE_HTTP) < 0)
            return -1;
        conn->out_at += n;
    } else if (conn->kept_at < conn->kept_len) {
        size_t n = conn->kept_len - conn->kept_at;
        if (n > WRITE_BYTES)
            n = WRITE_BYTES;
        uint8_t *copy = core_malloc(LWS_PRE + n);
        if (copy == NULL)
            return -1;
        memcpy(copy + LWS_PRE, conn->kept + conn->kept_at, n);
        int r = lws_write(conn->wsi, copy + LWS_PRE, n, LWS_WRITE_HTTP);
        core_free(copy);
        if (r < 0)
            return -1;
        conn->kept_at += n;
    }
    return conn->out_at == conn->out_len && conn->kept_at == conn->kept_len;
}

/* As a callback of the library returns: 0, or -1 to close. */
static int answer_on(struct web_request *conn)
{
    int r = write_answer(conn);

    if (r < 0)
        return -1;
    if (r == 0) {
        lws_set_timeout(conn->wsi, PENDING_TIMEOUT_HTTP_CONTENT, HTTP_HEADER_MS / 1000);
        lws_callback_on_writable(conn->wsi);
        return 0;
    }
    bool closes = conn->closes || conn->unknown_end;
    lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0);
    conn->state = closes ? CONN_ENDS : CONN_WAITS;
    request_clear(conn);
    return closes || lws_http_transaction_completed(conn->wsi) ? -1 : 0;
}

/*
 * Outside a callback: at once as well, since a socket that has said nothing for a request can
 * nearly always be written to (if not, the library keeps the rest). To wait for WRITEABLE would
 * cost a turn of the loop and four system calls.
 */
static void answer_now(struct web_request *conn)
{
    conn->inside = true;
    int r = answer_on(conn);
    conn->inside = false;
    if (r == 0)
        return;
    conn->state = CONN_ENDS;
    lws_set_timeout(conn->wsi, PENDING_TIMEOUT_HTTP_KEEPALIVE_IDLE, LWS_TO_KILL_ASYNC);
    lws_cancel_service(conn->web->context);
}

void web_answer(struct web_request *request, const struct web_answer *answer)
{
    const char *headers = answer->headers != NULL ? answer->headers : "";
    bool bodiless = request->method == WEB_HEAD || answer->status == 304 || answer->status == 204;
    size_t copied = bodiless || answer->body_kept ? 0 : answer->body_len;
    size_t head_max = 160 + strlen(headers);

    if (request->state == CONN_ENDS)
        return;
    request->out = core_malloc(LWS_PRE + head_max + copied);
    request->state = CONN_ANSWERED;
    request->closes = answer->close;
    if (request->out == NULL) {
        request->closes = true;
    } else {
        char *text = (char *)request->out + LWS_PRE;
        int n = snprintf(text, head_max, "HTTP/1.1 %d %s\r\n%sContent-Length: %zu\r\n%s\r\n",
                         answer->status, http_reason_of(answer->status), headers, answer->body_len,
                         answer->close || request->unknown_end ? "Connection: close\r\n"
                         : request->http_1_0                   ? "Connection: keep-alive\r\n"
                                                               : "");
        if (copied > 0)
            memcpy(text + n, answer->body, copied);
        request->out_len = (size_t)n + copied;
        if (!bodiless && answer->body_kept) {
            request->kept = answer->body;
            request->kept_len = answer->body_len;
        }
    }
    /* What is not to read does not write either, for the library. */
    if (request->parked)
        lws_rx_flow_control(request->wsi, 1);
    request->parked = false;
    if (!request->inside)
        answer_now(request);
}

/* ---- HTTP ---- */

static enum web_method method_of(int lws_method)
{
    switch (lws_method) {
    case LWSHUMETH_GET:
        return WEB_GET;
    case LWSHUMETH_HEAD:
        return WEB_HEAD;
    case LWSHUMETH_POST:
        return WEB_POST;
    case LWSHUMETH_PUT:
        return WEB_PUT;
    case LWSHUMETH_DELETE:
        return WEB_DELETE;
    case LWSHUMETH_OPTIONS:
        return WEB_OPTIONS;
    default:
        return WEB_OTHER;
    }
}

/* -1: there is none; -2: it is no number. */
static int64_t content_length(const struct web_request *conn)
{
    const char *text = header_text(conn, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    char *end;

    if (text == NULL)
        return -1;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    return errno != 0 || *end != '\0' || n < 0 || text[0] < '0' || text[0] > '9' ? -2 : n;
}

/* The size of this header by what came in: exact but for requests that were sent ahead. */
static bool header_too_large(struct web_request *conn, int64_t length)
{
    uint64_t bytes = stream_bytes(conn, NULL);
    uint64_t came = bytes - conn->bytes_before;
    uint64_t body = length > 0 ? (uint64_t)length : 0;
    uint64_t most = HTTP_HEADER_BYTES_MAX + body;

    if (conn->web->tls)
        most += HTTP_HEADER_BYTES_MAX; /* handshake, and what records cost */
    conn->bytes_before = bytes;
    return came > most;
}

/* What of a request can be judged before its body. True: it is fit to be taken. */
static bool header_fit(struct web_request *conn, int64_t length)
{
    struct web *web = conn->web;

    if (header_too_large(conn, length)) {
        web_refuse(conn, 431, KITH_E_TOO_LARGE,
                   "the header is above 8 KiB; send fewer or shorter header lines");
    } else if (lws_hdr_total_length(conn->wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0) {
        web_refuse(conn, 411, KITH_E_UNSUPPORTED,
                   "a body in chunks is not taken; send Content-Length");
    } else if (length == -2 || has_double_header(conn)) {
        web_refuse(conn, 400, KITH_E_PARSE, "a header is there twice, or a length is no number");
    } else if (length > HTTP_BODY_BYTES_MAX) {
        web_refuse(conn, 413, KITH_E_TOO_LARGE, "the body is above 16 MiB, the limit of a request");
    } else if (web->stats.body_bytes > HTTP_BODIES_BYTES_MAX) {
        web_refuse(conn, 503, KITH_E_BUSY,
                   "64 MiB of bodies are under way, the limit of this node; try again");
    } else {
        return web->handler->on_header(conn, web->user);
    }
    return false;
}

/* The handler has it. */
static int ask(struct web_request *conn)
{
    conn->state = CONN_ASKED;
    conn->web->handler->on_request(conn, conn->web->user);
    if (conn->state == CONN_ANSWERED)
        return answer_on(conn);
    return 0;
}

static int on_http(struct web_request *conn, const char *path, size_t path_len)
{
    char *uri = NULL;
    int uri_len = 0;
    int64_t length = content_length(conn);

    conn->web->stats.requests++;
    conn->method = method_of(lws_http_get_uri_and_method(conn->wsi, &uri, &uri_len));
    conn->path = core_strndup(path, path_len);
    if (conn->path == NULL)
        return -1;
    const char *version = header_text(conn, WSI_TOKEN_HTTP);
    conn->http_1_0 = version == NULL || strcmp(version, "HTTP/1.1") != 0;
    conn->unknown_end = length < 0 && (conn->method == WEB_POST || conn->method == WEB_PUT ||
                                       conn->method == WEB_OTHER);
    conn->state = CONN_BODY;
    if (length > 0 && length <= HTTP_BODY_BYTES_MAX) {
        conn->body_want = (size_t)length;
        conn->web->stats.body_bytes += conn->body_want;
    }
    if (header_fit(conn, length)) {
        if (length > 0 || (length == 0 && conn->method == WEB_POST)) {
            /* The library goes on with the body, and says when it is whole. */
            lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0);
            if (lws_hdr_total_length(conn->wsi, WSI_TOKEN_HTTP_EXPECT) > 0 && !conn->web->tls) {
                static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
                (void)!send(lws_get_socket_fd(conn->wsi), go_on, sizeof(go_on) - 1,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
            }
            return 0;
        }
        lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0);
        return ask(conn);
    }
    return conn->state == CONN_ANSWERED ? answer_on(conn) : 0;
}

static int on_body(struct web_request *conn, const void *data, size_t len)
{
    if (conn->state != CONN_BODY || len == 0)
        return 0;
    if (conn->body.len + len > conn->body_want)
        return -1;
    if (conn->body.data == NULL && buf_reserve(&conn->body, conn->body_want) != 0)
        return -1;
    return buf_append(&conn->body, data, len) == 0 ? 0 : -1;
}

static int on_body_whole(struct web_request *conn)
{
    if (conn->state != CONN_BODY)
        return 0;
    conn->bytes_before = stream_bytes(conn, NULL);
    return ask(conn);
}

/* It may come unasked: then there is nothing to write. */
static int on_http_writeable(struct web_request *conn)
{
    return conn->state == CONN_ANSWERED ? answer_on(conn) : 0;
}

/* ---- WebSockets ---- */

/* 0: go on; 1: answered; -1: close. */
static int on_confirm_upgrade(struct web_request *conn, const char *to)
{
    struct web *web = conn->web;
    char *uri = NULL;
    int uri_len = 0;

    web->stats.requests++;
    conn->method = method_of(lws_http_get_uri_and_method(conn->wsi, &uri, &uri_len));
    conn->path = uri != NULL ? core_strndup(uri, (size_t)uri_len) : NULL;
    if (conn->path == NULL)
        return -1;
    conn->state = CONN_BODY;
    conn->unknown_end = true; /* what is refused here ends the connection */
    if (strcasecmp(to, "websocket") != 0 || conn->method != WEB_GET)
        web_refuse(conn, 400, KITH_E_UNSUPPORTED, "the only upgrade is GET to a WebSocket");
    else if (web->stats.sockets >= HTTP_SOCKETS_MAX)
        web_refuse(conn, 503, KITH_E_LIMIT,
                   "640 WebSockets are open, the limit of this node; close some pages");
    else if (header_fit(conn, -1))
        conn->user = web->handler->on_upgrade(conn, web->user);
    if (conn->state == CONN_ANSWERED)
        return (void)write_answer(conn), -1; /* written, and closed */
    if (conn->user == NULL)
        return -1;
    conn->state = CONN_SOCKET;
    web->stats.sockets++;
    return 0;
}

void *web_socket_user(const struct web_socket *socket)
{
    return socket->conn.user;
}

void web_socket_wake(struct web_socket *socket)
{
    if (socket->conn.state == CONN_SOCKET && socket->conn.socket_ready)
        lws_callback_on_writable(socket->conn.wsi);
}

char *web_socket_buffer(struct web_socket *socket, size_t len)
{
    struct web *web = socket->conn.web;

    if (LWS_PRE + len > web->scratch_bytes) {
        uint8_t *more = core_realloc(web->scratch, LWS_PRE + len);
        if (more == NULL)
            return NULL;
        web->scratch = more;
        web->scratch_bytes = LWS_PRE + len;
    }
    return (char *)web->scratch + LWS_PRE;
}

void web_socket_send(struct web_socket *socket, size_t len)
{
    if (lws_write(socket->conn.wsi, socket->conn.web->scratch + LWS_PRE, len, LWS_WRITE_TEXT) < 0)
        lws_set_timeout(socket->conn.wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
}

/*
 * A time that is over closes politely only if it is the one of idle connections; to refuse a
 * WRITEABLE would end it without a word.
 */
void web_socket_close(struct web_socket *socket, unsigned code)
{
    struct lws *wsi = socket->conn.wsi;

    if (socket->conn.state != CONN_SOCKET || socket->conn.closes)
        return;
    socket->conn.closes = true;
    lws_close_reason(wsi, (enum lws_close_status)code, NULL, 0);
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_KEEPALIVE_IDLE, LWS_TO_KILL_ASYNC);
    lws_cancel_service(socket->conn.web->context);
}

static int on_socket_writeable(struct web_request *conn)
{
    if (conn->closes)
        return 0;
    conn->web->handler->on_writable(container_of(conn, struct web_socket, conn), conn->web->user);
    return 0;
}

static int on_socket_data(struct web_request *conn, const void *data, size_t len)
{
    if (lws_frame_is_binary(conn->wsi) || conn->message.len + len > HTTP_MESSAGE_BYTES_MAX) {
        lws_close_reason(conn->wsi,
                         lws_frame_is_binary(conn->wsi) ? LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE
                                                        : LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE,
                         NULL, 0);
        return -1;
    }
    if (buf_append(&conn->message, data, len) != 0)
        return -1;
    if (!lws_is_final_fragment(conn->wsi) || lws_remaining_packet_payload(conn->wsi) > 0)
        return 0;
    conn->web->handler->on_message(container_of(conn, struct web_socket, conn),
                                   (const char *)conn->message.data, conn->message.len,
                                   conn->web->user);
    buf_deinit(&conn->message);
    return 0;
}

/* ---- the library's callback ---- */

static int on_accept(struct web *web, int fd)
{
    if (web == NULL || web->closing)
        return 1;
    if (web->stats.connections < web->connections_max)
        return 0;
    web->stats.refused_connections++;
    if (!web->tls)
        http_socket_say(fd, "503 Service Unavailable");
    return 1;
}

static int
on_event(struct web_request *conn, enum lws_callback_reasons reason, void *in, size_t len)
{
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return on_http(conn, in, len);
    case LWS_CALLBACK_HTTP_BODY:
        return on_body(conn, in, len);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return on_body_whole(conn);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return on_http_writeable(conn);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return on_confirm_upgrade(conn, in);
    case LWS_CALLBACK_ESTABLISHED:
        conn->socket_ready = true;
        conn->web->handler->on_open(container_of(conn, struct web_socket, conn), conn->web->user);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        return on_socket_data(conn, in, len);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return on_socket_writeable(conn);
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_CLOSED:
        conn_gone(conn);
        return 0;
    default:
        return 0;
    }
}

static int
on_library(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct web_request *conn;

    (void)user;
    switch (reason) {
    case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
        return on_accept(web_of(wsi), (int)(intptr_t)in);
    case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
        return conn_new(web_of(wsi), wsi);
    case LWS_CALLBACK_HTTP:
    case LWS_CALLBACK_HTTP_BODY:
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
    case LWS_CALLBACK_HTTP_WRITEABLE:
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
    case LWS_CALLBACK_ESTABLISHED:
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_WSI_DESTROY:
        conn = lws_get_opaque_user_data(wsi);
        break;
    default:
        return 0;
    }
    if (conn == NULL)
        return reason == LWS_CALLBACK_WSI_DESTROY ? 0 : -1;
    if (reason == LWS_CALLBACK_WSI_DESTROY) {
        lws_set_opaque_user_data(wsi, NULL);
        conn_free(conn);
        return 0;
    }
    conn->inside = true;
    conn->web->header_at = 0;
    int r = on_event(conn, reason, in, len);
    conn->inside = conn->state == CONN_ENDS;
    return r;
}

/* ---- the server ---- */

static int cannot_listen(const struct web_options *options, int code, const char *why)
{
    return kith_fail_with(code,
                          "the pages cannot listen at %s port %u: %s; choose another with --web "
                          "ADDR:PORT, or --web off",
                          options->host, options->port, why);
}

/* As the kernel names it: what the library shows may be the port asked for. */
static int port_of(struct web *web)
{
    int port = lws_get_vhost_listen_port(web->vhost);
    web->port = port > 0 ? (uint16_t)port : 0;
    return web->port != 0 ? 0 : KITH_E_IO;
}

static int open_vhost(struct web *web, const struct web_options *options)
{
    bool any = strcmp(options->host, "0.0.0.0") == 0 || strcmp(options->host, "::") == 0;
    struct lws_context_creation_info info = {
        .port = options->port,
        .iface = any ? NULL : options->host,
        .protocols = web->protocols,
        .vhost_name = "kith",
        .user = web,
        .keepalive_timeout = HTTP_IDLE_MS / 1000,
        .timeout_secs_ah_idle = HTTP_HEADER_MS / 1000,
        .retry_and_idle_policy = &validity,
        .alpn = "http/1.1",
    };

    if (strchr(options->host, ':') == NULL)
        info.options |= LWS_SERVER_OPTION_DISABLE_IPV6;
    if (options->cert_file != NULL) {
        info.ssl_cert_filepath = options->cert_file;
        info.ssl_private_key_filepath = options->key_file;
        info.ssl_options_set = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1;
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    }
    web->vhost = lws_create_vhost(web->context, &info);
    return web->vhost != NULL ? port_of(web) : KITH_E_IN_USE;
}

static int open_context(struct web *web, const struct web_options *options)
{
    void *loops[1] = {web->loop};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS,
        .foreign_loops = loops,
        .max_http_header_data2 = LIBRARY_HEADER_BYTES,
        .max_http_header_pool2 = web->connections_max,
        .pt_serv_buf_size = SERVICE_BYTES,
        .fd_limit_per_thread = web->connections_max + 16,
        .timeout_secs = HTTP_HEADER_MS / 1000,
        .retry_and_idle_policy = &validity,
        .gid = -1,
        .uid = -1,
    };

    if (options->cert_file != NULL)
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    library_log = options->log;
    lws_set_log_level(LLL_ERR | LLL_WARN, on_library_line);
    web->context = lws_create_context(&info);
    return web->context != NULL ? 0 : KITH_E_IO;
}

int web_open(uv_loop_t *loop, const struct web_options *options, struct web **web_out)
{
    *web_out = NULL;
    if (options->port != 0 && !web_port_free(options->host, options->port))
        return cannot_listen(options, KITH_E_IN_USE, "it is taken, or not this machine's");
    struct web *web = core_calloc(1, sizeof(*web));
    if (web == NULL)
        return KITH_E_MEMORY;
    web->loop = loop;
    web->handler = options->handler;
    web->user = options->user;
    web->log = options->log;
    web->tls = options->cert_file != NULL;
    web->protocols[0] = (struct lws_protocols){.name = "kith",
                                               .callback = on_library,
                                               .rx_buffer_size = SERVICE_BYTES,
                                               .tx_packet_size = 4 * WRITE_BYTES};
    web->connections_max = http_connections_max();
    list_init(&web->conns);
    int r = open_context(web, options);
    if (r != 0)
        r = cannot_listen(options, r,
                          "the web library did not start (is libwebsockets-evlib-uv installed?)");
    else if (open_vhost(web, options) != 0)
        r = cannot_listen(options, KITH_E_IN_USE, "the library says that it is taken");
    uv_timer_init(loop, &web->tick);
    uv_timer_init(loop, &web->close_timer);
    web->tick.data = web;
    web->close_timer.data = web;
    web->handles_n = 2;
    if (r != 0) {
        web_close(web, NULL, NULL);
        return r;
    }
    *web_out = web;
    return 0;
}

uint16_t web_port(const struct web *web)
{
    return web->port;
}

void web_stats(const struct web *web, struct web_stats *stats_out)
{
    *stats_out = web->stats;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct web *web = handle->data;

    if (--web->handles_n > 0)
        return;
    if (web->closed != NULL)
        web->closed(web->closed_arg);
    core_free(web->scratch);
    core_free(web);
}

static void on_close_turn(uv_timer_t *timer)
{
    struct web *web = timer->data;

    if (++web->close_turns < CLOSE_TURNS)
        return;
    if (web->context != NULL)
        lws_context_destroy(web->context);
    uv_close((uv_handle_t *)&web->close_timer, on_handle_closed);
    uv_close((uv_handle_t *)&web->tick, on_handle_closed);
}

void web_close(struct web *web, void (*closed)(void *arg), void *arg)
{
    web->closing = true;
    web->closed = closed;
    web->closed_arg = arg;
    uv_timer_stop(&web->tick);
    if (web->context != NULL)
        lws_context_destroy(web->context);
    uv_timer_start(&web->close_timer, on_close_turn, CLOSE_TURN_MS, CLOSE_TURN_MS);
}
