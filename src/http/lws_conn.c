/* Connections of libwebsockets: their life, who is too slow, and how answers leave. */
#include "http/lws.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "http/socket.h"

/* ---- life of a connection ---- */

void conn_clear(struct web_request *conn)
{
    if (!conn->in_pieces)
        conn->web->stats.body_bytes -= conn->body_want;
    conn->body_want = conn->body_came = 0;
    core_free(conn->path);
    conn->path = NULL;
    buf_deinit(&conn->body);
    core_free(conn->out);
    conn->out = NULL;
    conn->out_len = conn->out_at = 0;
    conn->kept = NULL;
    conn->kept_len = conn->kept_at = 0;
    conn_pieces_free(conn);
    conn->user = NULL;
    conn->closes = conn->unknown_end = conn->with_body = conn->in_pieces = false;
}

int conn_new(struct web *web, struct lws *wsi)
{
    struct web_socket *conn = core_calloc(1, sizeof(*conn));

    if (conn == NULL)
        return -1;
    conn->conn.web = web;
    conn->conn.wsi = wsi;
    list_append(&web->conns, &conn->conn.link);
    lws_set_opaque_user_data(wsi, conn);
    if (web->stats.connections++ == 0)
        uv_timer_start(&web->tick, conn_on_tick, TICK_MS, TICK_MS);
    return 0;
}

/* The handler hears of it once, whatever was under way. */
void conn_gone(struct web_request *conn)
{
    enum conn_state state = conn->state;
    void *user = conn->user;

    conn->state = CONN_ENDS;
    conn->inside = true; /* nothing is written any more */
    if (state == CONN_ASKED || state == CONN_BODY || state == CONN_STREAMS)
        conn->web->handler->on_gone(conn, conn->web->user);
    if (state == CONN_SOCKET) {
        conn->web->stats.sockets--;
        conn->web->handler->on_closed(user, conn->web->user);
    }
    conn->user = NULL;
}

void conn_free(struct web_request *conn)
{
    struct web *web = conn->web;

    conn_gone(conn);
    conn_clear(conn);
    buf_deinit(&conn->message);
    list_remove(&conn->link);
    if (list_linked(&conn->again))
        list_remove(&conn->again);
    if (--web->stats.connections == 0 && !web->closing)
        uv_timer_stop(&web->tick);
    core_free(container_of(conn, struct web_socket, conn));
}

/* Closes it soon. From outside the library's callbacks it has to be woken for that. */
void conn_kill(struct web_request *conn)
{
    conn_gone(conn);
    lws_set_timeout(conn->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
    lws_cancel_service(conn->web->context);
}

/* ---- time and size ---- */

uint64_t conn_bytes(const struct web_request *conn, uint32_t *quiet_ms_out)
{
    uint64_t bytes;
    uint32_t quiet_ms;

    (void)http_socket_received(lws_get_socket_fd(conn->wsi), &bytes, &quiet_ms);
    if (quiet_ms_out != NULL)
        *quiet_ms_out = quiet_ms;
    return bytes;
}

void conn_say(struct web_request *conn, int status, int code, const char *message)
{
    char text[LWS_PRE + HTTP_REFUSAL_BYTES_MAX];
    size_t len = http_refusal_text(status, code, message, text + LWS_PRE);
    int fd = lws_get_socket_fd(conn->wsi);

    if (!conn->web->tls)
        http_socket_say(fd, text + LWS_PRE, len);
    else if (SSL_is_init_finished(lws_get_ssl(conn->wsi)))
        (void)lws_write(conn->wsi, (unsigned char *)text + LWS_PRE, len, LWS_WRITE_HTTP);
    http_linger(&conn->web->lingers, fd);
}

/* It has read more than a header may be, and still waits for the end of it. */
static bool header_overflows(struct web_request *conn)
{
    if (conn->state != CONN_WAITS)
        return false;
    uint64_t unread = http_socket_unread(lws_get_socket_fd(conn->wsi));
    if (conn_bytes(conn, NULL) <= conn->bytes_before + unread + HTTP_HEADER_BYTES_MAX)
        return false;
    conn->state = CONN_ENDS;
    conn_say(conn, 431, KITH_E_TOO_LARGE, HTTP_HEADER_TOO_LARGE);
    return true;
}

/* The library closes without a word when it cannot hold a header, and does not say which. */
void conn_header_overflows(struct web *web)
{
    list_for_each (it, &web->conns) {
        (void)header_overflows(container_of(it, struct web_request, link));
    }
}

static void conn_late(struct web_request *conn, bool with_answer)
{
    conn->web->stats.timeouts++;
    if (with_answer)
        conn_say(conn, 408, KITH_E_TIMEOUT, "a request began, and then no more of it came in time");
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

/*
 * A body that the handler does not take for now, or an answer that leaves piece by piece. For what
 * a client sends during that the library would be called again and again: it is dropped, and the
 * connection ends with the answer.
 */
static void conn_look(struct web_request *conn)
{
    if (conn->state == CONN_BODY)
        lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0); /* the wait is ours */
    if (http_socket_ended(lws_get_socket_fd(conn->wsi)))
        conn_kill(conn);
    else if (conn->state == CONN_STREAMS && conn_pieces_late(conn))
        conn_late(conn, false);
    else if (conn->state == CONN_STREAMS && !conn->web->tls &&
             http_socket_drop(lws_get_socket_fd(conn->wsi)))
        conn->closes = true;
}

/* Once a second: who has sent part of a request and then nothing, or nothing at all for long. */
void conn_on_tick(uv_timer_t *timer)
{
    struct web *web = timer->data;

    list_for_each_safe (it, &web->conns) {
        struct web_request *conn = container_of(it, struct web_request, link);
        uint32_t quiet_ms = 0;
        if (conn->state == CONN_ASKED)
            conn_park(conn);
        if (conn->state == CONN_STREAMS || (conn->state == CONN_BODY && conn->paused)) {
            conn_look(conn);
            continue;
        }
        if (conn->state != CONN_WAITS && conn->state != CONN_BODY)
            continue;
        uint64_t bytes = conn_bytes(conn, &quiet_ms);
        bool begun = conn->state == CONN_BODY || bytes > conn->bytes_before;
        if (conn->state == CONN_BODY && quiet_ms > uv_now(web->loop) - conn->resumed_ms)
            quiet_ms = (uint32_t)(uv_now(web->loop) - conn->resumed_ms);
        if (begun && header_overflows(conn))
            conn_kill(conn);
        else if (quiet_ms >= HTTP_QUIET_MS && begun)
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

/* Writes what comes next. 0: more is to come; 1: all is written; -1: the connection is broken. */
int conn_write(struct web_request *conn)
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

/*
 * After an answer the library holds a connection until it can be written to, and asks the loop for
 * that: two changes of what it waits for, each of which costs libuv two or three epoll_ctl(), and a
 * turn. All of it was written, so we say that it is writable as soon as the library has returned,
 * and the loop waits for one thing only. Only from within a callback of the library: it then looks
 * for what else of this connection it has read (lws_uv_idle).
 */
void conn_go_on(struct web_request *conn)
{
    struct web *web = conn->web;

    if (list_linked(&conn->again) || lws_partial_buffered(conn->wsi))
        return;
    if (list_empty(&web->again))
        uv_check_start(&web->check, conn_on_check);
    list_append(&web->again, &conn->again);
}

void conn_on_check(uv_check_t *check)
{
    struct web *web = check->data;
    struct list *link;

    while ((link = list_first(&web->again)) != NULL) {
        struct web_request *conn = container_of(link, struct web_request, again);
        list_remove(link);
        struct lws_pollfd writable = {.fd = lws_get_socket_fd(conn->wsi),
                                      .events = LWS_POLLIN | LWS_POLLOUT,
                                      .revents = LWS_POLLOUT};
        if (conn->state == CONN_WAITS)
            (void)lws_service_fd(web->context, &writable);
    }
    uv_check_stop(check);
}

/* As a callback of the library returns: 0, or -1 to close. */
int conn_answer(struct web_request *conn)
{
    int r = conn_write(conn);

    if (r < 0)
        return -1;
    if (r == 0) {
        lws_set_timeout(conn->wsi, PENDING_TIMEOUT_HTTP_CONTENT, HTTP_HEADER_MS / 1000);
        lws_callback_on_writable(conn->wsi);
        return 0;
    }
    return conn_answered(conn);
}

int conn_answered(struct web_request *conn)
{
    bool closes = conn->closes || conn->unknown_end;

    conn->state = closes ? CONN_ENDS : CONN_WAITS;
    if (conn->closes) /* refused: perhaps while it still sends */
        http_linger(&conn->web->lingers, lws_get_socket_fd(conn->wsi));
    conn_clear(conn);
    conn->done = !closes && lws_http_transaction_completed(conn->wsi) == 0;
    return conn->done ? 0 : -1;
}

/*
 * Outside a callback: at once as well, since a socket that has said nothing for a request can
 * nearly always be written to (if not, the library keeps the rest). To wait for WRITEABLE would
 * cost a turn of the loop and four system calls.
 */
static void answer_now(struct web_request *conn)
{
    conn->inside = true;
    int r = conn_answer(conn);
    conn_settle(conn, r);
}

void conn_settle(struct web_request *conn, int r)
{
    conn->inside = false;
    if (r == 0)
        return;
    if (conn->state != CONN_STREAMS) /* else the handler hears of it when it is closed */
        conn->state = CONN_ENDS;
    lws_set_timeout(conn->wsi, PENDING_TIMEOUT_HTTP_KEEPALIVE_IDLE, LWS_TO_KILL_ASYNC);
    lws_cancel_service(conn->web->context);
}

/* What is not to read does not write either, for the library. */
void conn_unpark(struct web_request *conn)
{
    if (conn->parked || conn->paused)
        lws_rx_flow_control(conn->wsi, 1);
    conn->parked = conn->paused = false;
}

int conn_head(struct web_request *conn,
              const struct web_answer *answer,
              uint64_t body_len,
              size_t copied)
{
    const char *headers = answer->headers != NULL ? answer->headers : "";
    size_t head_max = 192 + strlen(headers);
    char length[48] = "";

    conn->out = core_malloc(LWS_PRE + head_max + copied);
    conn->closes = answer->close || conn->body_came < conn->body_want;
    if (conn->out == NULL)
        return KITH_E_MEMORY;
    /* RFC 9110, 8.6: what has no content has no length, and 304 that of another answer. */
    if (answer->status != 204 && answer->status != 304)
        snprintf(length, sizeof(length), "Content-Length: %" PRIu64 "\r\n", body_len);
    int n = snprintf((char *)conn->out + LWS_PRE, head_max, "HTTP/1.1 %d %s\r\n%s%s%s\r\n",
                     answer->status, http_reason_of(answer->status), headers, length,
                     conn->closes || conn->unknown_end ? "Connection: close\r\n"
                     : conn->http_1_0                  ? "Connection: keep-alive\r\n"
                                                       : "");
    conn->out_len = (size_t)n;
    return 0;
}

void web_answer(struct web_request *request, const struct web_answer *answer)
{
    bool bodiless = request->method == WEB_HEAD || answer->status == 304 || answer->status == 204;
    size_t copied = bodiless || answer->body_kept ? 0 : answer->body_len;

    if (request->state == CONN_ENDS)
        return;
    request->state = CONN_ANSWERED;
    if (conn_head(request, answer, answer->body_len, copied) != 0) {
        request->closes = true;
    } else {
        if (copied > 0)
            memcpy(request->out + LWS_PRE + request->out_len, answer->body, copied);
        request->out_len += copied;
        if (!bodiless && answer->body_kept) {
            request->kept = answer->body;
            request->kept_len = answer->body_len;
        }
    }
    conn_unpark(request);
    if (!request->inside)
        answer_now(request);
}
