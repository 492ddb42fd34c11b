/*
 * web.h on libwebsockets (the files lws*.c), on the node's own loop through its plug-in for libuv.
 * Rules that cost somebody a day each, and where they are kept:
 *
 * - An explicit vhost, so that a port that is taken is an error here (web_open).
 * - The context is destroyed twice, the second time when the loop has turned (web_close).
 * - WRITEABLE comes unasked after a partial write: what is to be written is looked at first
 *   (conn_on_http_writeable, conn_on_socket_writeable).
 * - Head and body of an answer leave in one write, or the rate halves (conn_write).
 * - User space of a connection is freed with each request: ours hangs at the opaque pointer.
 * - A POST without a length counts as one of 100 MB: its connection closes with the answer.
 * - What has no length limit there has one here: header, body, connections, time.
 * Left out: HTTP/2, chunked bodies of requests, compression while writing.
 */
#include "http/lws.h"

#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "http/socket.h"

/* Context and vhost take two turns to go; the library does not say when. */
#define CLOSE_TURNS   8
#define CLOSE_TURN_MS 1
/* The largest header that the library can hold, for each that is not whole: above our limit, and
 * no more than can be told from a few long lines. */
#define LIBRARY_HEADER_BYTES (2 * HTTP_HEADER_BYTES_MAX)
#define SERVICE_BYTES        16384

/* Idle WebSockets are pinged, and given up when they do not answer. */
static const lws_retry_bo_t validity = {.secs_since_valid_ping = HTTP_SOCKET_PING_MS / 1000,
                                        .secs_since_valid_hangup = HTTP_SOCKET_LOST_MS / 1000};

/* ---- its log ---- */

static struct log *_Atomic library_log;

/* The server of this thread's loop: what the library says of a header it says as it reads it. */
static _Thread_local struct web *this_web;

/* Its two sentences of a header that it cannot hold: one for bytes, one for lines. */
static bool tells_of_header(const char *line)
{
    return strstr(line, "Ran out of header") != NULL || strstr(line, "hdr frags") != NULL;
}

static void on_library_line(int level, const char *line)
{
    if (tells_of_header(line) && this_web != NULL) {
        conn_header_overflows(this_web);
        return;
    }
    http_library_line(library_log, level <= LLL_WARN, line);
}

/* ---- the library's callback ---- */

static struct web *web_of(struct lws *wsi)
{
    struct lws_vhost *vhost = lws_get_vhost(wsi);
    return vhost != NULL ? lws_vhost_user(vhost) : NULL;
}

static int on_accept(struct web *web, int fd)
{
    if (web == NULL || web->closing)
        return 1;
    if (web->stats.connections < web->connections_max)
        return 0;
    web->stats.refused_connections++;
    if (!web->tls) {
        char message[96], text[HTTP_REFUSAL_BYTES_MAX];
        snprintf(message, sizeof(message),
                 "%u connections are open, the limit of this node; close some pages",
                 web->connections_max);
        http_socket_say(fd, text, http_refusal_text(503, KITH_E_LIMIT, message, text));
        http_linger(&web->lingers, fd);
    }
    return 1;
}

static int
on_event(struct web_request *conn, enum lws_callback_reasons reason, void *in, size_t len)
{
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return conn_on_http(conn, in, len);
    case LWS_CALLBACK_HTTP_BODY:
        return conn_on_body(conn, in, len);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return conn_on_body_whole(conn);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return conn_on_http_writeable(conn);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return conn_on_upgrade(conn, in);
    case LWS_CALLBACK_ESTABLISHED:
        conn->socket_ready = true;
        conn->web->handler->on_open(container_of(conn, struct web_socket, conn), conn->web->user);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        return conn_on_socket_data(conn, in, len);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return conn_on_socket_writeable(conn);
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
    /* It is being closed: what still comes of it is nobody's. */
    if (conn->state == CONN_ENDS && reason != LWS_CALLBACK_CLOSED_HTTP &&
        reason != LWS_CALLBACK_CLOSED)
        return -1;
    conn->inside = true;
    conn->done = false;
    conn->web->header_at = 0;
    int r = on_event(conn, reason, in, len);
    conn->inside = conn->state == CONN_ENDS;
    if (r == 0 && conn->done)
        conn_go_on(conn);
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
    list_init(&web->again);
    http_lingers_init(&web->lingers, loop);
    this_web = web;
    int r = open_context(web, options);
    if (r != 0)
        r = cannot_listen(options, r,
                          "the web library did not start (is libwebsockets-evlib-uv installed?)");
    else if (open_vhost(web, options) != 0)
        r = cannot_listen(options, KITH_E_IN_USE, "the library says that it is taken");
    uv_timer_init(loop, &web->tick);
    uv_check_init(loop, &web->check);
    web->check.data = web;
    uv_timer_init(loop, &web->close_timer);
    web->tick.data = web;
    web->close_timer.data = web;
    web->handles_n = 4; /* with those that linger */
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

static void closed_one(void *arg)
{
    struct web *web = arg;

    if (--web->handles_n > 0)
        return;
    if (web->closed != NULL)
        web->closed(web->closed_arg);
    if (this_web == web)
        this_web = NULL;
    core_free(web->scratch);
    core_free(web);
}

static void on_handle_closed(uv_handle_t *handle)
{
    closed_one(handle->data);
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
    uv_close((uv_handle_t *)&web->check, on_handle_closed);
    http_lingers_end(&web->lingers, closed_one, web);
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
