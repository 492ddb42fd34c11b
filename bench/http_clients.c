/* See http_clients.h. */
#include "http_clients.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define READ_BYTES      65536
#define HEADER_MAX      14
#define ANSWER_MS       10000
#define HISTORY_MS      4000 /* as web/lib/history.js */
#define VIEW_MS         5000 /* as web/pages/overview.js */
#define FRAME_TEXT      0x81u
#define FRAME_CLOSE     0x88u
#define FRAME_PING      0x89u
#define FRAME_PONG      0x8au
#define FRAME_MASKED    0x80u
#define FRAME_LEN_16    126u
#define FRAME_LEN_64    127u
#define FRAME_SMALL_MAX 125u

struct client {
    int stream, fetch; /* fetch: -1 if it is no page */
    uint8_t head[HEADER_MAX];
    unsigned head_n;
    uint64_t body_left;
    uint8_t ping[FRAME_SMALL_MAX]; /* what is to be said back */
    unsigned ping_n;
    bool in_body, pinged;         /* pinged: the body is that of a ping */
    uint64_t history_ms, view_ms; /* when to fetch next */
};

struct http_clients {
    int epoll;
    unsigned n;
    bool pages, hidden;
    char token[128];
    struct http_span span;
    struct client clients[HTTP_CLIENTS_MAX];
    uint8_t room[READ_BYTES];
};

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "kith-bench: %s: %s\n", what, why);
    return -1;
}

static uint64_t now_ms(void)
{
    return bench_now_ns() / 1000000;
}

/* ---- connecting ---- */

static int dial(unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    fail("cannot connect to the node's pages", strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static int send_all(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n < 0)
            return fail("cannot send to the node", strerror(errno));
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

/* One short frame; its mask is 0, so the bytes stay as they are. */
static int send_frame(int fd, unsigned kind, const void *data, size_t len)
{
    uint8_t frame[6 + FRAME_SMALL_MAX] = {(uint8_t)kind, (uint8_t)(FRAME_MASKED | len)};

    memcpy(frame + 6, data, len);
    return send_all(fd, frame, 6 + len);
}

static int send_text(int fd, const char *text)
{
    return send_frame(fd, FRAME_TEXT, text, strlen(text));
}

static int upgrade(int fd, const char *token)
{
    char text[600];
    size_t n = 0;

    snprintf(text, sizeof(text),
             "GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: "
             "Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
             "a2l0aCBiZW5jaCBodHRwIQ==\r\nSec-WebSocket-Protocol: kith\r\nAuthorization: Bearer "
             "%s\r\n\r\n",
             token);
    if (send_all(fd, text, strlen(text)) != 0)
        return -1;
    /* Byte by byte, so that nothing behind the header is taken. */
    while (n < sizeof(text) - 1 && recv(fd, text + n, 1, 0) == 1) {
        text[++n] = '\0';
        if (n >= 4 && memcmp(text + n - 4, "\r\n\r\n", 4) == 0)
            break;
    }
    if (n < 12 || memcmp(text, "HTTP/1.1 101", 12) != 0)
        return fail("the node refused a WebSocket", n > 0 ? text : "closed");
    return 0;
}

static int watch(struct http_clients *clients, int fd, unsigned i, bool fetch)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 2ull * i + fetch};
    return epoll_ctl(clients->epoll, EPOLL_CTL_ADD, fd, &event);
}

static int open_one(struct http_clients *clients, unsigned port, unsigned i)
{
    struct client *client = &clients->clients[i];

    client->stream = dial(port);
    client->fetch = clients->pages ? dial(port) : -1;
    if (client->stream < 0 || (clients->pages && client->fetch < 0) ||
        upgrade(client->stream, clients->token) != 0)
        return -1;
    /* Pages are not all opened in the same moment. */
    client->history_ms = now_ms() + (i * 137u) % HISTORY_MS;
    client->view_ms = now_ms() + (i * 211u) % VIEW_MS;
    if (watch(clients, client->stream, i, false) != 0 ||
        (clients->pages && watch(clients, client->fetch, i, true) != 0))
        return fail("epoll", strerror(errno));
    return send_text(client->stream,
                     "{\"op\":\"subscribe\",\"id\":1,\"topic\":\"nodes\",\"args\":{}}") != 0
               ? -1
               : send_text(client->stream,
                           "{\"op\":\"subscribe\",\"id\":2,\"topic\":\"resources\",\"args\":{}}");
}

struct http_clients *http_clients_open(unsigned port, const char *token, unsigned n, bool pages)
{
    struct http_clients *clients = calloc(1, sizeof(*clients));

    if (clients == NULL || n > HTTP_CLIENTS_MAX) {
        fail("clients", "too many");
        free(clients);
        return NULL;
    }
    clients->epoll = epoll_create1(EPOLL_CLOEXEC);
    clients->pages = pages;
    snprintf(clients->token, sizeof(clients->token), "%s", token);
    for (unsigned i = 0; i < n; i++) {
        clients->n = i + 1;
        if (open_one(clients, port, i) != 0) {
            http_clients_close(clients);
            return NULL;
        }
    }
    return clients;
}

void http_clients_close(struct http_clients *clients)
{
    if (clients == NULL)
        return;
    for (unsigned i = 0; i < clients->n; i++) {
        if (clients->clients[i].stream >= 0)
            close(clients->clients[i].stream);
        if (clients->clients[i].fetch >= 0)
            close(clients->clients[i].fetch);
    }
    close(clients->epoll);
    free(clients);
}

int http_clients_hide(struct http_clients *clients, bool hidden)
{
    clients->hidden = hidden;
    for (unsigned i = 0; i < clients->n; i++) {
        if (send_text(clients->clients[i].stream,
                      hidden ? "{\"op\":\"pause\"}" : "{\"op\":\"resume\"}") != 0)
            return -1;
    }
    return 0;
}

/* ---- taking in ---- */

/* Bytes of the head of a frame, as far as it is here: 0 until it is whole. */
static unsigned head_whole(const struct client *client)
{
    unsigned short_len = client->head_n >= 2 ? client->head[1] & 0x7fu : 0;
    unsigned want = short_len == FRAME_LEN_64 ? 10 : short_len == FRAME_LEN_16 ? 4 : 2;
    return client->head_n >= want ? want : 0;
}

static uint64_t body_len(const struct client *client, unsigned head)
{
    uint64_t len = 0;

    if (head == 2)
        return client->head[1] & 0x7fu;
    for (unsigned i = 2; i < head; i++)
        len = len << 8 | client->head[i];
    return len;
}

/* Takes what is here of a frame's body; how much that was. */
static size_t take_body(struct client *client, const uint8_t *data, size_t len)
{
    size_t n = len < client->body_left ? len : (size_t)client->body_left;

    client->body_left -= n;
    if (client->pinged && client->ping_n + n <= sizeof(client->ping)) {
        memcpy(client->ping + client->ping_n, data, n);
        client->ping_n += (unsigned)n;
    }
    return n;
}

/* The head is whole. */
static int begin_body(struct http_clients *clients, struct client *client, unsigned head)
{
    char why[32];

    if (client->head[0] >= FRAME_CLOSE && client->head[0] != FRAME_PING) {
        snprintf(why, sizeof(why), "a frame %02x came", client->head[0]);
        return fail("the node closed a WebSocket", why);
    }
    client->body_left = body_len(client, head);
    client->head_n = client->ping_n = 0;
    client->pinged = client->head[0] == FRAME_PING;
    client->in_body = true;
    clients->span.messages += client->head[0] == FRAME_TEXT;
    return 0;
}

static int
take_frames(struct http_clients *clients, struct client *client, const uint8_t *data, size_t len)
{
    while (len > 0) {
        size_t n = client->in_body ? take_body(client, data, len) : 1;
        if (!client->in_body) {
            client->head[client->head_n++] = *data;
            unsigned head = head_whole(client);
            if (head != 0 && begin_body(clients, client, head) != 0)
                return -1;
        }
        data += n;
        len -= n;
        if (!client->in_body || client->body_left > 0)
            continue;
        client->in_body = false;
        if (client->pinged &&
            send_frame(client->stream, FRAME_PONG, client->ping, client->ping_n) != 0)
            return -1;
    }
    return 0;
}

static int take(struct http_clients *clients, uint64_t which)
{
    struct client *client = &clients->clients[which / 2];
    bool fetch = which % 2 == 1;
    ssize_t n = recv(fetch ? client->fetch : client->stream, clients->room, READ_BYTES, 0);

    if (n <= 0)
        return fail(fetch ? "the node closed a connection of a page"
                          : "the node closed a WebSocket",
                    n < 0 ? strerror(errno) : "at its end");
    clients->span.bytes += (uint64_t)n;
    if (!fetch)
        return take_frames(clients, client, clients->room, (size_t)n);
    clients->span.answers += (uint64_t)n;
    return 0;
}

static int fetch(struct http_clients *clients, struct client *client, const char *path)
{
    char text[400];

    snprintf(text, sizeof(text),
             "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip\r\nAuthorization: Bearer "
             "%s\r\n\r\n",
             path, clients->token);
    return send_all(client->fetch, text, strlen(text));
}

static int fetch_due(struct http_clients *clients, uint64_t now)
{
    for (unsigned i = 0; clients->pages && !clients->hidden && i < clients->n; i++) {
        struct client *client = &clients->clients[i];
        /* One at a time on one connection: the other waits its turn. */
        if (now >= client->history_ms) {
            client->history_ms = now + HISTORY_MS;
            if (fetch(clients, client, "/v1/resources/history?span=10m") != 0)
                return -1;
        } else if (now >= client->view_ms) {
            client->view_ms = now + VIEW_MS;
            if (fetch(clients, client, "/v1/view") != 0)
                return -1;
        }
    }
    return 0;
}

int http_clients_run(struct http_clients *clients, uint64_t ms, struct http_span *span_out)
{
    struct epoll_event events[64];
    uint64_t end = now_ms() + ms, now;

    clients->span = (struct http_span){0};
    while ((now = now_ms()) < end) {
        if (fetch_due(clients, now) != 0)
            return -1;
        int n = epoll_wait(clients->epoll, events, 64, (int)(end - now < 100 ? end - now : 100));
        for (int i = 0; i < n; i++) {
            if (take(clients, events[i].data.u64) != 0)
                return -1;
        }
    }
    *span_out = clients->span;
    return 0;
}
