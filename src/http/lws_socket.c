/* WebSockets of libwebsockets: the upgrade, messages in, one message out at a time. */
#include "http/lws.h"

#include <string.h>
#include <strings.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"

/* ---- WebSockets ---- */

/* 0: go on; 1: answered; -1: close. */
int conn_on_upgrade(struct web_request *conn, const char *to)
{
    struct web *web = conn->web;
    char *uri = NULL;
    int uri_len = 0;

    web->stats.requests++;
    conn->method = conn_method(lws_http_get_uri_and_method(conn->wsi, &uri, &uri_len));
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
    else if (conn_header_fit(conn, -1))
        conn->user = web->handler->on_upgrade(conn, web->user);
    if (conn->state == CONN_ANSWERED)
        return (void)conn_write(conn), -1; /* written, and closed */
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

void web_socket_binary(struct web_socket *socket)
{
    socket->conn.binary = true;
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
    if (lws_write(socket->conn.wsi, socket->conn.web->scratch + LWS_PRE, len,
                  socket->conn.binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT) < 0)
        lws_set_timeout(socket->conn.wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
}

#define WHY_BYTES_MAX 123 /* RFC 6455: a close frame has 125 bytes, of which 2 are the code */

/* Whole characters of it. */
static size_t why_len(const char *why)
{
    size_t all = strlen(why), len = 0, one;

    while ((one = text_utf8_char(why + len, all - len)) > 0 && len + one <= WHY_BYTES_MAX)
        len += one;
    return len;
}

/*
 * A time that is over closes politely only if it is the one of idle connections; to refuse a
 * WRITEABLE would end it without a word.
 */
void web_socket_close(struct web_socket *socket, unsigned code, const char *why)
{
    struct lws *wsi = socket->conn.wsi;
    unsigned char text[WHY_BYTES_MAX];
    size_t len = why_len(why);

    if (socket->conn.state != CONN_SOCKET || socket->conn.closes)
        return;
    socket->conn.closes = true;
    memcpy(text, why, len);
    lws_close_reason(wsi, (enum lws_close_status)code, text, len);
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_KEEPALIVE_IDLE, LWS_TO_KILL_ASYNC);
    lws_cancel_service(socket->conn.web->context);
}

int conn_on_socket_writeable(struct web_request *conn)
{
    if (conn->closes)
        return 0;
    conn->web->handler->on_writable(container_of(conn, struct web_socket, conn), conn->web->user);
    return 0;
}

int conn_on_socket_data(struct web_request *conn, const void *data, size_t len)
{
    bool other = (lws_frame_is_binary(conn->wsi) != 0) != conn->binary;

    if (other || conn->message.len + len > HTTP_MESSAGE_BYTES_MAX) {
        lws_close_reason(conn->wsi,
                         other ? LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE
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
