/* A request as libwebsockets tells of it: what it says, whether it fits, its body. */
#include "http/lws.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/error.h"

/* ---- requests ---- */

enum web_method web_method(const struct web_request *request)
{
    return request->method;
}

const char *web_path(const struct web_request *request)
{
    return request->path;
}

uint64_t web_body_want(const struct web_request *request)
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
    [WEB_RANGE] = WSI_TOKEN_HTTP_RANGE,
    [WEB_IF_RANGE] = WSI_TOKEN_HTTP_IF_RANGE,
    [WEB_CONTENT_TYPE] = WSI_TOKEN_HTTP_CONTENT_TYPE,
    [WEB_PROTOCOLS] = WSI_TOKEN_PROTOCOL,
};

const char *conn_header(const struct web_request *request, enum lws_token_indexes token)
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
    return conn_header(request, tokens[header]);
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

/* web_query_each() ends there, and what is left out of a request is not what was asked for. */
static bool has_long_argument(const struct web_request *request)
{
    int len;

    for (int i = 0; (len = lws_hdr_fragment_length(request->wsi, WSI_TOKEN_HTTP_URI_ARGS, i)) > 0;
         i++) {
        if (len >= HTTP_ARGUMENT_BYTES_MAX)
            return true;
    }
    return false;
}

bool web_wants_gzip(const struct web_request *request)
{
    const char *text = conn_header(request, WSI_TOKEN_HTTP_ACCEPT_ENCODING);
    return text != NULL && strstr(text, "gzip") != NULL;
}

void web_query_each(const struct web_request *request,
                    void (*fn)(void *arg, const char *key, const char *value),
                    void *arg)
{
    char text[HTTP_ARGUMENT_BYTES_MAX];

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

/* ---- HTTP ---- */

enum web_method conn_method(int lws_method)
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
    const char *text = conn_header(conn, WSI_TOKEN_HTTP_CONTENT_LENGTH);
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
    uint64_t bytes = conn_bytes(conn, NULL);
    uint64_t came = bytes - conn->bytes_before;
    uint64_t body = length > 0 ? (uint64_t)length : 0;
    uint64_t most = HTTP_HEADER_BYTES_MAX + body;

    if (conn->web->tls)
        most += HTTP_HEADER_BYTES_MAX; /* handshake, and what records cost */
    conn->bytes_before = bytes;
    return came > most;
}

/*
 * Was it sent before the answer to another one? Of what it has read and not used yet the library
 * takes the header for the body, and then goes round for ever. It says only that it holds
 * something, be it of another connection: that is rare, and then the request can be sent again.
 */
static bool sent_ahead(const struct web_request *conn)
{
    return lws_service_adjust_timeout(conn->web->context, 1, 0) == 0;
}

void web_refusal_lines(struct web_request *request, char *out, size_t out_bytes)
{
    request->web->handler->refusal_lines(request, request->web->user, out, out_bytes);
}

/* What of a request can be judged before its body. True: it is fit to be taken. */
bool conn_header_fit(struct web_request *conn, int64_t length)
{
    struct web *web = conn->web;

    if (header_too_large(conn, length)) {
        web_refuse(conn, 431, KITH_E_TOO_LARGE, HTTP_HEADER_TOO_LARGE);
    } else if (lws_hdr_total_length(conn->wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0) {
        web_refuse(conn, 411, KITH_E_UNSUPPORTED,
                   "a body in chunks is not taken; send Content-Length");
    } else if (length == -1 && conn->in_pieces) {
        /* Without one there is no body: an empty file, where somebody meant another. */
        web_refuse(conn, 411, KITH_E_INVALID, "a file needs Content-Length, 0 if it is empty");
    } else if (length == -2 || has_double_header(conn)) {
        web_refuse(conn, 400, KITH_E_PARSE, "a header is there twice, or a length is no number");
    } else if (has_long_argument(conn)) {
        web_refuse(conn, 400, KITH_E_TOO_LARGE,
                   "an argument of the query is above 2,047 bytes, the limit of one");
    } else if (conn->with_body && sent_ahead(conn)) {
        web_refuse(conn, 503, KITH_E_BUSY,
                   "a request with a body came before the answer to another one; send it again, "
                   "alone");
    } else if (length > 0 &&
               (uint64_t)length > (conn->in_pieces ? conn->body_max : HTTP_BODY_BYTES_MAX)) {
        web_refuse(conn, 413, KITH_E_TOO_LARGE,
                   conn->in_pieces ? "the body is above 1 TiB, the limit of a file"
                                   : "the body is above 16 MiB, the limit of a request");
    } else if (!conn->in_pieces && web->stats.body_bytes > HTTP_BODIES_BYTES_MAX) {
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
        return conn_answer(conn);
    if (conn->state == CONN_STREAMS)
        return conn_pieces(conn);
    lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0); /* for as long as the answer takes */
    return 0;
}

int conn_on_http(struct web_request *conn, const char *path, size_t path_len)
{
    char *uri = NULL;
    int uri_len = 0;
    int64_t length = content_length(conn);

    conn->web->stats.requests++;
    conn->method = conn_method(lws_http_get_uri_and_method(conn->wsi, &uri, &uri_len));
    conn->path = core_strndup(path, path_len);
    if (conn->path == NULL)
        return -1;
    const char *version = conn_header(conn, WSI_TOKEN_HTTP);
    conn->http_1_0 = version == NULL || strcmp(version, "HTTP/1.1") != 0;
    conn->unknown_end = length < 0 && (conn->method == WEB_POST || conn->method == WEB_PUT ||
                                       conn->method == WEB_OTHER);
    conn->with_body = length > 0 || (length == 0 && conn->method == WEB_POST);
    conn->state = CONN_BODY;
    conn->body_max = conn->web->handler->pieces_max(conn, conn->web->user);
    conn->in_pieces = conn->body_max > 0;
    conn->resumed_ms = uv_now(conn->web->loop);
    if (length > 0 && (conn->in_pieces || length <= HTTP_BODY_BYTES_MAX)) {
        conn->body_want = (uint64_t)length;
        conn->web->stats.body_bytes += conn->in_pieces ? 0 : conn->body_want;
    }
    if (conn_header_fit(conn, length)) {
        if (conn->with_body) {
            /* The library goes on with the body, and says when it is whole. */
            lws_set_timeout(conn->wsi, NO_PENDING_TIMEOUT, 0);
            if (lws_hdr_total_length(conn->wsi, WSI_TOKEN_HTTP_EXPECT) > 0 && !conn->web->tls) {
                static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
                (void)!send(lws_get_socket_fd(conn->wsi), go_on, sizeof(go_on) - 1,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
            }
            return 0;
        }
        return ask(conn);
    }
    return conn->state == CONN_ANSWERED ? conn_answer(conn) : 0;
}

int conn_on_body(struct web_request *conn, const void *data, size_t len)
{
    if (conn->state != CONN_BODY || len == 0)
        return 0;
    if (conn->body_came + len > conn->body_want)
        return -1;
    conn->body_came += len;
    if (conn->in_pieces)
        return conn_on_piece(conn, data, len);
    if (conn->body.data == NULL && buf_reserve(&conn->body, conn->body_want) != 0)
        return -1;
    return buf_append(&conn->body, data, len) == 0 ? 0 : -1;
}

int conn_on_body_whole(struct web_request *conn)
{
    if (conn->state != CONN_BODY)
        return 0;
    conn->bytes_before = conn_bytes(conn, NULL);
    return ask(conn);
}

/* It may come unasked: then there is nothing to write. */
int conn_on_http_writeable(struct web_request *conn)
{
    if (conn->state == CONN_STREAMS)
        return conn_pieces(conn);
    return conn->state == CONN_ANSWERED ? conn_answer(conn) : 0;
}
