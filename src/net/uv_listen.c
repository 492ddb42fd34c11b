/*
 * The two listening sockets, one port number, and the connections of strangers.
 *
 * Sockets are made and bound by hand, so that a failed start leaves no handle behind, and so that
 * the UDP socket is dual-stack like the TCP one.
 *
 * A stranger costs one uvn_stream and one handshake. There are at most NET_HANDSHAKES_MAX of them,
 * NET_HANDSHAKES_PER_ADDR_MAX of one address, each for NET_HANDSHAKE_DEADLINE_MS; beyond that the
 * oldest goes, so that a flood cannot lock out those who finish quickly.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sodium.h>

#include "core/alloc.h"
#include "core/error.h"
#include "net/uv_priv.h"

#define LISTEN_BACKLOG 512
/* The kernel's choice for TCP may be taken for UDP; then it chooses again. */
#define PORT_TRIES 16

/* ---- strangers ---- */

void uvn_handshake_uncounted(struct uv_net *net, struct uvn_stream *stream)
{
    if (!stream->hs_counted)
        return;
    stream->hs_counted = false;
    list_remove(&stream->hs_link);
    net->handshakes_n--;
}

static void evict(struct uv_net *net, struct uvn_stream *stream)
{
    char held[24];
    net->stats.handshakes_evicted++;
    if (uvn_log_pass(net, UVN_LOG_EVICTED, held)) {
        char text[KITH_ADDRESS_TEXT_MAX + 1];
        log_warn(net->log, "net", "many unfinished handshakes, the oldest was closed", "address",
                 uvn_addr_text(&stream->remote, text), "held", held, NULL);
    }
    uvn_stream_close(stream, "evicted by newer handshakes");
}

void uvn_handshake_counted(struct uv_net *net, struct uvn_stream *stream)
{
    unsigned same_n = 0;
    struct uvn_stream *oldest_same = NULL;
    list_for_each (at, &net->handshakes) {
        struct uvn_stream *other = container_of(at, struct uvn_stream, hs_link);
        if (!uvn_addr_same_host(&other->remote, &stream->remote))
            continue;
        if (oldest_same == NULL)
            oldest_same = other;
        same_n++;
    }
    if (same_n >= NET_HANDSHAKES_PER_ADDR_MAX)
        evict(net, oldest_same);
    else if (net->handshakes_n >= NET_HANDSHAKES_MAX)
        evict(net, container_of(list_first(&net->handshakes), struct uvn_stream, hs_link));
    stream->hs_counted = true;
    list_append(&net->handshakes, &stream->hs_link);
    net->handshakes_n++;
}

static void stranger(struct uv_net *net, int fd, const struct sockaddr *from)
{
    uint8_t ephemeral_sk[NOISE_KEY_BYTES];
    struct uvn_stream *stream = uvn_stream_new(net);
    if (stream == NULL) {
        close(fd);
        return;
    }
    if (!uvn_addr_from(&stream->remote, from) || uv_tcp_open(&stream->tcp, fd) != 0) {
        close(fd);
        uvn_stream_close(stream, "a connection that cannot be used");
        return;
    }
    randombytes_buf(ephemeral_sk, sizeof(ephemeral_sk));
    stream->state = UVN_HANDSHAKE;
    stream->hs = core_calloc(1, sizeof(*stream->hs));
    int r = stream->hs == NULL ? KITH_E_MEMORY
                               : handshake_respond(stream->hs, &net->hs_config, ephemeral_sk);
    sodium_memzero(ephemeral_sk, sizeof(ephemeral_sk));
    if (r == 0)
        r = uvn_stream_read_start(stream);
    if (r != 0) {
        uvn_stream_close(stream, "out of memory");
        return;
    }
    uvn_handshake_counted(net, stream);
    stream->timer.fn = uvn_handshake_hello_due;
    uvn_timer_set(net, &stream->timer, uvn_now_ms() + net->handshake_ms);
}

/*
 * Out of descriptors (or memory of the kernel). The listener stays ready, so polling it on would
 * run hot: it is paused for a moment. Whoever waits is not left hanging: the spare descriptor takes
 * one connection and closes it. (libuv's own listener does likewise, but loops for ever if another
 * thread catches its spare one.)
 */
static void accept_failed(struct uv_net *net, int error)
{
    char held[24];
    if (uvn_log_pass(net, UVN_LOG_ACCEPT, held))
        log_error(net->log, "net", "a connection could not be accepted", "cause", strerror(error),
                  "help", "raise the limit of open files (ulimit -n, LimitNOFILE=)", "held", held,
                  NULL);
    if (net->spare_fd >= 0) {
        close(net->spare_fd);
        int fd = uvn_os_accept(net->listen_fd, NULL, NULL);
        if (fd >= 0)
            close(fd);
        net->spare_fd = uvn_os_spare();
    }
    uv_poll_stop(&net->listener);
    uvn_timer_set(net, &net->accept_timer, uvn_now_ms() + UVN_ACCEPT_PAUSE_MS);
}

static void on_connection(uv_poll_t *listener, int status, int events)
{
    struct uv_net *net = listener->data;
    (void)events;
    if (status != 0)
        return;
    for (unsigned i = 0; i < UVN_ACCEPTS_TURN_MAX && !net->closing; i++) {
        struct sockaddr_storage from;
        socklen_t from_len = sizeof(from);
        int fd = uvn_os_accept(net->listen_fd, (struct sockaddr *)&from, &from_len);
        if (fd >= 0) {
            stranger(net, fd, (const struct sockaddr *)&from);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO)
            continue;
        accept_failed(net, errno);
        return;
    }
}

void uvn_accept_due(struct uvn_timer *timer)
{
    struct uv_net *net = container_of(timer, struct uv_net, accept_timer);
    if (net->spare_fd < 0)
        net->spare_fd = uvn_os_spare();
    (void)uv_poll_start(&net->listener, UV_READABLE, on_connection);
}

/* ---- sockets ---- */

struct pair {
    int tcp;
    int udp;
};

static void pair_close(struct pair *pair)
{
    if (pair->tcp >= 0)
        close(pair->tcp);
    if (pair->udp >= 0)
        close(pair->udp);
    pair->tcp = -1;
    pair->udp = -1;
}

static int socket_new(int family, int type)
{
    int fd = uvn_os_socket(family, type);
    int one = 1, zero = 0;
    if (fd < 0)
        return -1;
    if (family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    if (type == SOCK_STREAM)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    return fd;
}

static socklen_t addr_len(const union uvn_addr *addr)
{
    return addr->sa.sa_family == AF_INET ? sizeof(addr->in) : sizeof(addr->in6);
}

/* Binds both to @addr; with port 0 @addr gets the number. 0 or -errno. */
static int pair_bind(struct pair *pair, union uvn_addr *addr)
{
    union uvn_addr got = *addr;
    socklen_t len = sizeof(got);
    *pair = (struct pair){-1, -1};
    pair->tcp = socket_new(addr->sa.sa_family, SOCK_STREAM);
    pair->udp = socket_new(addr->sa.sa_family, SOCK_DGRAM);
    if (pair->tcp < 0 || pair->udp < 0 || bind(pair->tcp, &addr->sa, addr_len(addr)) != 0 ||
        listen(pair->tcp, LISTEN_BACKLOG) != 0 || getsockname(pair->tcp, &got.sa, &len) != 0 ||
        bind(pair->udp, &got.sa, addr_len(&got)) != 0) {
        int error = -errno;
        pair_close(pair);
        return error;
    }
    *addr = got;
    return 0;
}

/* The kept port first, then whatever the kernel gives that is free for both. */
static int pair_bind_any(struct pair *pair, union uvn_addr *addr, uint16_t port_kept)
{
    int r = -EADDRINUSE;
    if (uvn_addr_port(addr) != 0)
        return pair_bind(pair, addr);
    if (port_kept != 0) {
        uvn_addr_set_port(addr, port_kept);
        r = pair_bind(pair, addr);
        if (r != -EADDRINUSE && r != -EACCES)
            return r;
    }
    for (int i = 0; i < PORT_TRIES; i++) {
        uvn_addr_set_port(addr, 0);
        r = pair_bind(pair, addr);
        if (r != -EADDRINUSE)
            return r;
    }
    return r;
}

static int listen_failed(const char *text, const union uvn_addr *addr, int error)
{
    unsigned port = uvn_addr_port(addr);
    if (error == -EADDRINUSE)
        return kith_fail_with(
            KITH_E_IN_USE,
            "port %u (%s) is in use by another program; stop it, or listen on another "
            "one with `--listen ADDR:PORT` (port 0 takes any free one)",
            port, text);
    if (error == -EADDRNOTAVAIL)
        return kith_fail_with(
            KITH_E_INVALID,
            "listen address %s: no interface of this host has it; give one that it "
            "has, or [::]:%u for all",
            text, port);
    if (error == -EACCES)
        return kith_fail_with(
            KITH_E_PERMISSION,
            "port %u (%s) may not be opened by this user; choose one above 1023 with "
            "`--listen ADDR:PORT`",
            port, text);
    return kith_fail_with(KITH_E_IO, "listen on %s: %s", text, strerror(-error));
}

/* Takes both sockets over, also on failure. */
static int handles_start(struct uv_net *net, const union uvn_addr *addr, struct pair *pair)
{
    net->bound = *addr;
    net->udp_v6 = addr->sa.sa_family == AF_INET6;
    net->listener.data = net;
    net->udp.data = net;
    int r = uv_poll_init_socket(net->loop, &net->listener, pair->tcp);
    if (r != 0) {
        pair_close(pair);
        return kith_fail_with(KITH_E_IO, "listening socket: %s", uv_strerror(r));
    }
    net->listen_fd = pair->tcp;
    net->spare_fd = uvn_os_spare();
    net->handles_n += 2;
    (void)uv_udp_init_ex(net->loop, &net->udp, UV_UDP_RECVMMSG);
    /* These fail only for want of memory, or if the descriptors were no sockets. */
    r = uv_udp_open(&net->udp, pair->udp);
    if (r != 0)
        close(pair->udp);
    if (r == 0)
        r = uvn_udp_start(net);
    if (r == 0)
        r = uv_poll_start(&net->listener, UV_READABLE, on_connection);
    return r == 0 ? 0 : kith_fail_with(KITH_E_IO, "listening sockets: %s", uv_strerror(r));
}

int uvn_listen(struct uv_net *net, const char *listen_text, uint16_t port_kept)
{
    char host[256];
    uint16_t port;
    union uvn_addr addr;
    struct pair pair = {-1, -1};
    if (uvn_addr_parse(listen_text, &addr, host, sizeof(host), &port) != 0)
        return kith_fail_with(
            KITH_E_INVALID,
            "listen address \"%s\" is not ADDRESS:PORT, such as 0.0.0.0:7117 or [::]:7117",
            listen_text);
    int r = pair_bind_any(&pair, &addr, port_kept);
    if ((r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL) && addr.sa.sa_family == AF_INET6 &&
        uvn_addr_is_any(&addr)) {
        /* IPv6 is off on this host. */
        addr = (union uvn_addr){.in = {.sin_family = AF_INET, .sin_port = htons(port)}};
        r = pair_bind_any(&pair, &addr, port_kept);
    }
    if (r != 0)
        return listen_failed(listen_text, &addr, r);

    return handles_start(net, &addr, &pair);
}
