/*
 * Sealed datagrams: one UDP socket with the number of the TCP port.
 *
 * A datagram names its sender only by a keyed hint; whose hint is not known, or what does not open,
 * is dropped in silence and counted before anything of it is believed. Where a peer's datagrams
 * come from is where ours to it go; until one has come, and when none came for a while, its
 * addresses take turns.
 */
#include <string.h>

#include <sodium.h>

#include "core/alloc.h"
#include "core/error.h"
#include "net/uv_priv.h"

/* libuv cuts its buffer into 64 KiB pieces, one a datagram; only what arrives is ever touched. */
#define UDP_RX_BYTES (8 * 64 * 1024)

size_t uv_net_datagram_bytes_max(void)
{
    return DGRAM_BODY_BYTES_MAX;
}

void uvn_udp_boot(struct uv_peer *peer, uint64_t boot_no)
{
    if (peer->dgram != NULL)
        dgram_peer_boot(peer->dgram, boot_no);
}

static int keys(struct uv_net *net, struct uv_peer *peer)
{
    if (peer->dgram != NULL)
        return 0;
    if (uvn_peer_dh(net, peer) != 0)
        return KITH_E_CORRUPT;
    struct dgram_peer *dgram = core_calloc(1, sizeof(*dgram));
    if (dgram == NULL)
        return KITH_E_MEMORY;
    int r = dgram_peer_init(dgram, net->identity, net->cluster, &peer->id, peer->dh_pk,
                            peer->boot.boot_no, uv_hrtime());
    if (r != 0) {
        core_free(dgram);
        return r;
    }
    struct uvn_forgotten *forgotten = uvn_forgotten_take(net, &peer->id);
    if (forgotten != NULL && forgotten->boot.boot_no == dgram->boot_no)
        replay_floor(&dgram->replay, forgotten->counter_next);
    core_free(forgotten);
    peer->dgram = dgram;
    return 0;
}

/* ---- sending ---- */

static bool sendable(const struct uv_net *net, const union uvn_addr *addr)
{
    return addr->sa.sa_family == AF_INET || (addr->sa.sa_family == AF_INET6 && net->udp_v6);
}

static bool send_to(struct uv_net *net, const union uvn_addr *to, const uint8_t *data, size_t len)
{
    union uvn_addr addr = *to;
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)data, (unsigned)len);
    if (net->udp_v6)
        uvn_addr_map_v6(&addr);
    int r = uv_udp_try_send(&net->udp, &buf, 1, &addr.sa);
    if (r < 0)
        return r == UV_EAGAIN; /* a full socket loses it like the network may */
    net->stats.datagrams_out++;
    net->stats.bytes_out += len;
    return true;
}

/* The address that is due, or NULL. */
static const union uvn_addr *address_for(struct uv_net *net, struct uv_peer *peer)
{
    bool known = sendable(net, &peer->udp);
    if (known && peer->udp_silent < UVN_UDP_SILENT_MAX)
        return &peer->udp;
    /* One turn in addresses_n + 1 stays with the known one. */
    for (size_t i = 0; i <= peer->addresses_n; i++) {
        size_t turn = peer->udp_turn++ % (peer->addresses_n + 1);
        if (turn == peer->addresses_n) {
            if (known)
                return &peer->udp;
        } else if (sendable(net, &peer->addresses[turn].addr)) {
            return &peer->addresses[turn].addr;
        }
    }
    return NULL;
}

static int seal_and_send(struct uv_net *net,
                         struct uv_peer *peer,
                         enum dgram_type type,
                         struct kith_bytes body,
                         const union uvn_addr *to)
{
    uint8_t out[NET_DGRAM_BYTES_MAX];
    uint8_t nonce[DGRAM_NONCE_BYTES];
    size_t len;
    randombytes_buf(nonce, sizeof(nonce));
    int r = dgram_seal(peer->dgram, type, net->hint, net->boot_no, nonce, body, out, &len);
    if (r != 0)
        return r;
    /* An address that cannot be sent to at all gives way to the next one. */
    if (!send_to(net, to, out, len))
        peer->udp_silent = UVN_UDP_SILENT_MAX;
    return 0;
}

int uv_net_send_datagram(struct uv_net *net, struct uv_peer *peer, const void *data, size_t len)
{
    if (net->closing)
        return kith_fail_with(KITH_E_STOPPED, "peer channel: it is closing");
    const union uvn_addr *to = address_for(net, peer);
    if (to == NULL)
        return kith_fail_with(KITH_E_UNREACHABLE, "the peer has no known address");
    if (keys(net, peer) != 0)
        return kith_fail_with(KITH_E_UNREACHABLE, "the peer's public key is of no use");
    if (peer->udp_silent < UINT32_MAX)
        peer->udp_silent++;
    return seal_and_send(net, peer, DGRAM_DATA, (struct kith_bytes){data, len}, to);
}

/* ---- receiving ---- */

static void answer_boot(struct uv_net *net, struct uv_peer *peer, const union uvn_addr *to)
{
    uint64_t now = uvn_now_ms();
    if (now < peer->boot_answer_ms || !sendable(net, to))
        return;
    peer->boot_answer_ms = now + UVN_BOOT_ANSWER_MS;
    (void)seal_and_send(net, peer, DGRAM_BOOT, (struct kith_bytes){NULL, 0}, to);
}

/* True if it was authentic. */
static bool
received(struct uv_net *net, const union uvn_addr *from, const uint8_t *data, size_t len)
{
    struct dgram_head head;
    struct dgram dgram;
    uint8_t plain[NET_DGRAM_BYTES_MAX];
    if (dgram_head_decode(data, len, &head) != 0)
        return false;
    struct uv_peer *peer = map64_find(&net->hints, head.hint);
    if (peer == NULL || keys(net, peer) != 0)
        return false;
    int r = dgram_open(peer->dgram, net->boot_no, data, len, plain, &dgram);
    if (r == KITH_E_AGAIN) {
        if (head.type != DGRAM_BOOT)
            answer_boot(net, peer, from);
        return true;
    }
    if (r != 0)
        return false;
    net->stats.datagrams_in++;
    peer->udp = *from;
    peer->udp_silent = 0;
    /* It is there: sends may wait for the next attempt instead of being refused. */
    if (peer->dial_next_ms != 0)
        uvn_peer_heard(peer);
    if (dgram.boot_no > peer->boot.boot_no)
        (void)uvn_peer_boot(net, peer, dgram.boot_no, 0);
    /* What the old boot left open is told to be closed before the new one is heard. */
    uvn_reports(net);
    if (net->closing || map64_find(&net->hints, head.hint) != peer)
        return true;
    if (dgram.type == DGRAM_DATA && net->events.datagram != NULL)
        net->events.datagram(net->user, peer, dgram.boot_no, dgram.body, dgram.len);
    return true;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *into)
{
    struct uv_net *net = handle->data;
    (void)suggested;
    *into = uv_buf_init((char *)net->udp_rx, UDP_RX_BYTES);
}

static void on_receive(
    uv_udp_t *handle, ssize_t n, const uv_buf_t *buf, const struct sockaddr *source, unsigned flags)
{
    struct uv_net *net = handle->data;
    union uvn_addr from;
    if (net->closing || source == NULL || n < 0)
        return;
    net->stats.bytes_in += (uint64_t)n;
    if ((flags & UV_UDP_PARTIAL) != 0 || !uvn_addr_from(&from, source) ||
        !received(net, &from, (const uint8_t *)buf->base, (size_t)n)) {
        net->stats.datagrams_dropped++;
        return;
    }
    uvn_settle(net);
}

int uvn_udp_start(struct uv_net *net)
{
    net->udp_rx = core_malloc(UDP_RX_BYTES);
    if (net->udp_rx == NULL)
        return UV_ENOMEM;
    return uv_udp_recv_start(&net->udp, on_alloc, on_receive);
}
