/*
 * GET /v1/boards/NAME/live: a page that follows a board. What board.follow tells comes as partial
 * results of one long call, and goes to the page in few messages: what is said within some
 * milliseconds is one. A page that does not read is told to load the board again.
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "http/boards.h"
#include "http/client.h"
#include "http/server.h"

#define CLOSE_OVER  4503
#define MISSED      3 /* docs/protocols/board.md */
#define TOKEN_BYTES 16
#define MESSAGE_MAX (64 * 1024)
#define HEAD_BYTES  4

struct boards {
    struct http_server *server;
    struct list all;
    uv_timer_t timer;
    bool armed, stopping;
};

struct board_client {
    struct http_client client;
    struct list link;      /* boards.all; alone once the node stops */
    struct boards *boards; /* NULL: the socket is closed, the call not yet */
    struct kith_node *node;
    char name[72];
    char token[2 * TOKEN_BYTES + 1];
    bool calling, draws, over;
    char why[128]; /* it is over, for people */
    struct kith_call_id call;
    struct buf queue; /* u32 length and what the page is told, again and again */
    size_t queue_at;  /* sent so far */
    uint64_t sent_ms;
};

static void put_piece(struct board_client *one, const void *data, size_t len)
{
    uint8_t head[HEAD_BYTES];

    put_le32(head, (uint32_t)len);
    if (buf_append(&one->queue, head, sizeof(head)) == 0)
        (void)buf_append(&one->queue, data, len);
}

static void on_timer(uv_timer_t *timer)
{
    struct boards *boards = timer->data;

    boards->armed = false;
    list_for_each (it, &boards->all) {
        struct board_client *one = container_of(it, struct board_client, link);
        if (one->client.socket != NULL && one->queue.len > 0)
            web_socket_wake(one->client.socket);
    }
}

static void wake_soon(struct board_client *one)
{
    struct boards *boards = one->boards;
    uint64_t now_ms = http_now_ms();

    if (one->client.socket == NULL || boards->stopping)
        return;
    if (now_ms >= one->sent_ms + HTTP_LIVE_MS) {
        web_socket_wake(one->client.socket);
    } else if (!boards->armed) {
        boards->armed = true;
        uv_timer_start(&boards->timer, on_timer, HTTP_LIVE_MS, 0);
    }
}

/* ---- what the module says ---- */

static void on_partial(struct kith_node *node, const void *data, size_t len, void *user)
{
    static const uint8_t missed[] = {MISSED};
    struct board_client *one = user;

    (void)node;
    if (one->boards == NULL)
        return;
    if (one->queue.len - one->queue_at + HEAD_BYTES + len > HTTP_LIVE_BYTES_MAX) {
        one->queue.len = one->queue_at = 0;
        put_piece(one, missed, sizeof(missed));
    } else {
        put_piece(one, data, len);
    }
    wake_soon(one);
}

static void client_free(struct board_client *one)
{
    buf_deinit(&one->queue);
    core_free(one);
}

static void on_end(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct board_client *one = user;
    bool failed = result->outcome == KITH_OUTCOME_APP_ERROR;

    (void)node;
    snprintf(one->why, sizeof(one->why), "%.*s", failed ? (int)result->len : (int)sizeof(one->why),
             failed ? (const char *)result->data : result->text);
    one->calling = false;
    if (one->boards == NULL) {
        client_free(one);
        return;
    }
    one->over = true;
    if (one->client.socket != NULL)
        web_socket_close(one->client.socket, CLOSE_OVER, one->why);
}

/* ---- what the page says ---- */

static void client_message(struct http_client *client, const char *data, size_t len)
{
    struct board_client *one = container_of(client, struct board_client, client);
    struct kith_node_id self = kith_node_self(one->node);
    char id[KITH_NODE_ID_DIGITS + 1];
    struct kith_call_options options = {.node = kith_node_id_text(&self, id)};
    struct buf arg = {0};

    if (!one->draws) /* a viewer looks, and is not seen */
        return;
    if (buf_printf(&arg, "%s %s\n", one->name, one->token) == 0 &&
        buf_append(&arg, data, len) == 0 &&
        kith_cast(one->node, "board.say", arg.data, arg.len, &options) != 0)
        kith_errmsg_clear(); /* it is missed */
    buf_deinit(&arg);
}

/* ---- its socket ---- */

static void client_open(struct http_client *client)
{
    struct board_client *one = container_of(client, struct board_client, client);

    if (one->over)
        web_socket_close(client->socket, CLOSE_OVER, one->why);
    else if (one->queue.len > 0)
        web_socket_wake(client->socket);
}

/* Whole pieces, so many as a message takes. */
static void client_writable(struct http_client *client)
{
    struct board_client *one = container_of(client, struct board_client, client);
    size_t n = 0;

    while (one->queue_at + n < one->queue.len) {
        size_t piece = HEAD_BYTES + get_le32(one->queue.data + one->queue_at + n);
        if (n > 0 && n + piece > MESSAGE_MAX)
            break;
        n += piece;
    }
    char *to = n > 0 ? web_socket_buffer(client->socket, n) : NULL;
    if (to == NULL)
        return;
    memcpy(to, one->queue.data + one->queue_at, n);
    one->queue_at += n;
    one->sent_ms = http_now_ms();
    if (one->queue_at == one->queue.len) {
        one->queue.len = one->queue_at = 0;
    } else if (one->queue_at >= HTTP_LIVE_BYTES_MAX) {
        memmove(one->queue.data, one->queue.data + one->queue_at, one->queue.len - one->queue_at);
        one->queue.len -= one->queue_at;
        one->queue_at = 0;
    }
    web_socket_send(client->socket, n);
    if (one->queue.len > 0)
        web_socket_wake(client->socket);
}

static void client_closed(struct http_client *client)
{
    struct board_client *one = container_of(client, struct board_client, client);

    list_remove(&one->link);
    list_remove(&client->session_link);
    one->boards = NULL;
    client->socket = NULL;
    if (one->calling)
        kith_cancel(one->node, one->call);
    else
        client_free(one);
}

static const struct http_client_kind kind = {.binary = true,
                                             .open = client_open,
                                             .message = client_message,
                                             .writable = client_writable,
                                             .closed = client_closed};

/* ---- life ---- */

static int follow(struct board_client *one)
{
    struct kith_node_id self = kith_node_self(one->node);
    char id[KITH_NODE_ID_DIGITS + 1], arg[sizeof(one->name) + sizeof(one->token) + 1];
    struct kith_call_options options = {.node = kith_node_id_text(&self, id),
                                        .timeout_ms = UINT64_MAX,
                                        .no_retry = true,
                                        .on_partial = on_partial};
    uint8_t random[TOKEN_BYTES];

    randombytes_buf(random, sizeof(random));
    sodium_bin2hex(one->token, sizeof(one->token), random, sizeof(random));
    int n = snprintf(arg, sizeof(arg), "%s %s", one->name, one->token);
    return kith_call_async(one->node, "board.follow", arg, (size_t)n, &options, on_end, one,
                           &one->call);
}

struct http_client *board_client_new(struct http_exchange *x)
{
    struct board_client *one = NULL;
    int r = KITH_E_NAME;

    if (board_name_fits(x->name)) {
        one = core_calloc(1, sizeof(*one));
        r = one == NULL || x->session == NULL ? KITH_E_MEMORY : 0;
    }
    if (r == 0) {
        one->boards = x->server->boards;
        one->node = x->server->service.node;
        one->draws = x->role >= HTTP_OPERATOR;
        snprintf(one->name, sizeof(one->name), "%s", x->name);
        r = follow(one);
    }
    if (r != 0) {
        core_free(one);
        http_fail(x, 0, r, r == KITH_E_NAME ? "no board has such a name" : NULL, NULL);
        return NULL;
    }
    one->calling = true;
    list_append(&one->boards->all, &one->link);
    http_client_init(&one->client, &kind, x->session);
    http_exchange_free(x);
    return &one->client;
}

void http_get_board_live(struct http_exchange *x)
{
    http_fail_with(x, 426, KITH_E_UNSUPPORTED, "this route is a WebSocket", NULL,
                   "Upgrade: websocket\r\n");
}

struct boards *boards_new(struct http_server *server)
{
    struct boards *boards = core_calloc(1, sizeof(*boards));

    if (boards == NULL)
        return NULL;
    boards->server = server;
    list_init(&boards->all);
    uv_timer_init(node_loop(server->service.node), &boards->timer);
    boards->timer.data = boards;
    return boards;
}

void boards_stop(struct boards *boards, uv_close_cb closed)
{
    boards->stopping = true;
    uv_timer_stop(&boards->timer);
    boards->timer.data = boards->server;
    uv_close((uv_handle_t *)&boards->timer, closed);
}

void boards_free(struct boards *boards)
{
    core_free(boards);
}
