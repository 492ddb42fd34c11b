/*
 * Raw bytes at the port of the pages, through the web library and all that stands behind it:
 * header, guard, path, query, JSON bodies, the stream. "@H" in the input stands for the node's own
 * address and "@T" for a token of its owner, which a mutation would never guess. The node goes on:
 * after every so many inputs it answers /healthz.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/bytes.h"
#include "fuzz/node.h"
#include "http/http.h"
#include "http/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is asked for and takes longer is given up: a mutex that is not free, a password. */
#define ANSWER_MS   20
#define HEALTH_EACH 64

struct access {
    uint16_t port;
    char host[64], token[SESSION_TOKEN_CHARS + 1];
};

/* An input may end sessions, that of the token too. */
static void refresh(struct kith_node *node, void *arg)
{
    struct access *access = arg;
    struct http_server *server = http_server_of(node);
    struct session_options options = {
        .user = "", .role = HTTP_ADMIN, .bearer = true, .idle_ms = HTTP_TOKEN_MAX_MS};

    assert(server != NULL);
    access->port = server->port;
    snprintf(access->host, sizeof(access->host), "127.0.0.1:%u", server->port);
    if (http_session_find(&server->sessions, access->token, strlen(access->token), http_now_ms()))
        return;
    struct http_session *session = http_session_new(&server->sessions, &options, http_now_ms());
    assert(session != NULL);
    memcpy(access->token, session->token, sizeof(access->token));
}

static int dial(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct linger reset = {.l_onoff = 1}; /* leaves no port behind that waits */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert(fd >= 0);
    assert(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    assert(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) == 0);
    return fd;
}

/* Sends @text, and reads until the end or for @wait_ms; the first bytes to @out. */
static size_t
converse(uint16_t port, const struct buf *text, unsigned wait_ms, char *out, size_t out_bytes)
{
    struct timeval wait = {.tv_sec = wait_ms / 1000, .tv_usec = (wait_ms % 1000) * 1000};
    char waste[16384];
    size_t got = 0;
    int fd = dial(port);

    assert(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0);
    if (text->len > 0)
        (void)!send(fd, text->data, text->len, MSG_NOSIGNAL); /* it may answer before all of it */
    (void)shutdown(fd, SHUT_WR);
    for (ssize_t n; (n = recv(fd, waste, sizeof(waste), 0)) > 0;) {
        size_t room = out_bytes - got < (size_t)n ? out_bytes - got : (size_t)n;
        memcpy(out + got, waste, room);
        got += room;
    }
    (void)close(fd);
    return got;
}

static void put(struct buf *out, const char *text)
{
    assert(buf_append(out, text, strlen(text)) == 0);
}

static void fill_in(struct buf *out, const struct access *access, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '@' && i + 1 < size && (data[i + 1] == 'H' || data[i + 1] == 'T'))
            put(out, data[++i] == 'H' ? access->host : access->token);
        else
            assert(buf_append(out, &data[i], 1) == 0);
    }
}

static void look_at_health(const struct access *access)
{
    struct buf text = {0};
    char got[16] = "";

    put(&text, "GET /healthz HTTP/1.1\r\nConnection: close\r\nHost: ");
    put(&text, access->host);
    put(&text, "\r\n\r\n");
    size_t n = converse(access->port, &text, 20000, got, sizeof(got));
    assert(n >= 12 && memcmp(got, "HTTP/1.1 200", 12) == 0);
    buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct access access;
    static unsigned inputs_n;
    struct kith_node *node = fuzz_node();
    struct buf text = {0};
    char got[16];

    if (inputs_n++ == 0)
        assert(http_open(node) == 0);
    /* It would call up strangers. */
    if (memmem(data, size, "POST", 4) != NULL && memmem(data, size, "address", 7) != NULL)
        return 0;
    assert(node_run(node, refresh, &access) == 0);
    fill_in(&text, &access, data, size);
    size_t n = converse(access.port, &text, ANSWER_MS, got, sizeof(got));
    assert(n < 5 || memcmp(got, "HTTP/", 5) == 0);
    if (inputs_n % HEALTH_EACH == 0)
        look_at_health(&access);
    buf_deinit(&text);
    return 0;
}
