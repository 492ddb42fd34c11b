/*
 * The peer channel: one TCP and one UDP port, sealed streams by class, sealed datagrams. The only
 * room with peer sockets. Loop thread only.
 *
 * A uv_peer is everything the channel has of one node: its key, its addresses, its streams. It
 * lives from the first time the node is learned until uv_net_forget().
 */
#ifndef NET_UV_NET_H
#define NET_UV_NET_H

#include <uv.h>

#include "core/bytes.h"
#include "core/log.h"
#include "net/frame.h"
#include "net/identity.h"

struct uv_net;
struct uv_peer;

/* Frames come in as struct net_frame (net/frame.h), borrowed for the callback. */

struct uv_net_events {
    /*
     * A stream to @peer is authenticated and open. For the first control stream of a node not
     * seen before this is where it becomes known. @boot_no is proven.
     */
    void (*stream_open)(void *user,
                        struct uv_peer *peer,
                        uint64_t boot_no,
                        enum net_class net_class);
    /* A stream ended. @reason is static or borrowed text. Queued frames of it are lost. */
    void (*stream_closed)(void *user,
                          struct uv_peer *peer,
                          enum net_class net_class,
                          const char *reason);
    void (*frame)(void *user, struct uv_peer *peer, uint64_t boot_no, struct net_frame *frame);
    void (*datagram)(
        void *user, struct uv_peer *peer, uint64_t boot_no, const uint8_t *data, size_t len);
    /* No address of @peer answered (all raced and failed); frames queued for @net_class are
     * dropped. */
    void (*unreachable)(void *user,
                        struct uv_peer *peer,
                        enum net_class net_class,
                        const char *reason);
    /*
     * The stream that was being opened will not come, and nothing is known of the addresses: we
     * disconnected, or the peer's own connection, for which ours made way, ended. Frames queued for
     * @net_class are dropped.
     */
    void (*given_up)(void *user, struct uv_peer *peer, enum net_class net_class);
    /* Somebody said our boot_no is stale: write one above @seen and return it, or 0 on failure. */
    uint64_t (*stale_boot)(void *user, uint64_t seen);
    /*
     * May be NULL. True if something of @peer is under way that the channel cannot see (a call that
     * is being executed): it is then not among those that are closed as idle.
     */
    bool (*in_use)(void *user, struct uv_peer *peer);
    /* The queue to @peer fell below a quarter of its bound after it had refused a send, or a stream
     * has the room again that uv_net_room() missed. */
    void (*drained)(void *user, struct uv_peer *peer, enum net_class net_class);
};

struct uv_net_config {
    uv_loop_t *loop;
    struct log *log;
    const struct net_identity *identity; /* borrowed, lives as long as the net */
    const struct net_cluster *cluster;   /* likewise */
    uint64_t boot_no;
    uint8_t role;                 /* enum kith_role */
    const char *name;             /* of this node, told in each Hello; may be NULL; copied */
    const char *listen;           /* "address:port", "[::]:port"; port 0: see port_kept */
    uint16_t port_kept;           /* tried first when the port in listen is 0; 0: none */
    uint32_t rpc_frame_bytes_max; /* 0: NET_RPC_FRAME_BYTES_MAX */
    size_t peer_queue_bytes_max;  /* 0: NET_PEER_QUEUE_BYTES_MAX */
    struct uv_net_events events;
    void *user;
};

/*
 * Binds and listens. 0; KITH_E_IN_USE (the port; says which and what to do), KITH_E_INVALID,
 * KITH_E_IO, KITH_E_MEMORY.
 */
int uv_net_open(struct uv_net **net_out, const struct uv_net_config *config);
/* Closes everything; @closed runs on the loop when no callback will run any more; then it is freed.
 */
void uv_net_close(struct uv_net *net, void (*closed)(void *user), void *user);

uint16_t uv_net_port(const struct uv_net *net);
/* Usable addresses of this host as "address:port" texts, loopback only if nothing else or if bound
 * to it. */
size_t uv_net_addresses(struct uv_net *net, char out[][KITH_ADDRESS_TEXT_MAX + 1], size_t out_max);

/* ---- peers ---- */

struct uv_peer *uv_net_find(struct uv_net *net,
                            const struct kith_node_id *id); /* NULL if unknown */
/*
 * Makes @id known, or replaces its addresses (those that worked stay first). @sign_pk must hash to
 * @id: else KITH_E_CORRUPT. KITH_E_LIMIT at NET_PEER_KEYS_MAX.
 */
int uv_net_learn(struct uv_net *net,
                 const struct kith_node_id *id,
                 const uint8_t sign_pk[NET_PUBLIC_KEY_BYTES],
                 const char *const *addresses,
                 size_t addresses_n,
                 struct uv_peer **peer_out);
/* Closes its streams and drops all memory of it. */
void uv_net_forget(struct uv_net *net, struct uv_peer *peer);

const struct kith_node_id *uv_peer_id(const struct uv_peer *peer);
const uint8_t *uv_peer_sign_pk(const struct uv_peer *peer);
/* The address in use or the last that worked; "" if none ever did. Borrowed. */
const char *uv_peer_address(const struct uv_peer *peer);
/* Every address known of it. Borrowed. */
size_t uv_peer_addresses(const struct uv_peer *peer, const char **out, size_t out_max);
/* Highest boot_no proven by a handshake or a datagram; 0 if none. */
uint64_t uv_peer_boot_no(const struct uv_peer *peer);
/*
 * A boot_no of @peer that an earlier life of this node has proven (the peer cache). Raises what is
 * known, unless a handshake has proven one since.
 */
void uv_net_seen_boot(struct uv_net *net, struct uv_peer *peer, uint64_t boot_no);
bool uv_peer_is_open(const struct uv_peer *peer, enum net_class net_class);
/* A pointer of the caller's on each peer. */
void uv_peer_set_user(struct uv_peer *peer, void *user);
void *uv_peer_user(const struct uv_peer *peer);

/* ---- connecting ---- */

/*
 * First contact with an address: opens a control stream to whoever is there. @done runs once:
 * 0 and the peer, or KITH_E_UNREACHABLE, KITH_E_OTHER_CLUSTER, KITH_E_SECRET, KITH_E_VERSION,
 * KITH_E_TIMEOUT, KITH_E_EXISTS (it is ourselves). Names are resolved off the loop.
 */
int uv_net_dial(struct uv_net *net,
                const char *address,
                void (*done)(void *user, int status, struct uv_peer *peer),
                void *user);
/*
 * Opens a stream to a known peer ahead of need. 0: if it is not open already, exactly one of
 * stream_open, unreachable and given_up follows (also after a send that finds no stream);
 * KITH_E_UNREACHABLE (no address), KITH_E_LIMIT, KITH_E_MEMORY, KITH_E_STOPPED: none does.
 */
int uv_net_connect(struct uv_net *net, struct uv_peer *peer, enum net_class net_class);
/*
 * Closes all its streams with an orderly end, and gives up those that are being opened, but for
 * first contacts. Told by stream_closed and given_up, from the loop.
 */
void uv_net_disconnect(struct uv_net *net, struct uv_peer *peer, const char *reason);

/* ---- sending ---- */

/*
 * Queues one frame whose body is @parts put together (copied); opens the stream if need be. Leaves
 * with all others of this loop turn. 0; KITH_E_BUSY (queue bound), KITH_E_TOO_LARGE,
 * KITH_E_UNREACHABLE (no address), KITH_E_MEMORY.
 */
int uv_net_send(struct uv_net *net,
                struct uv_peer *peer,
                enum net_class net_class,
                uint8_t type,
                const struct kith_bytes *parts,
                size_t parts_n);
/*
 * As uv_net_send() with a small @head (at most 256 bytes, copied) and a large @body that is not
 * copied: @release(release_arg) runs exactly once when it is no longer needed, also on failure.
 */
int uv_net_send_take(struct uv_net *net,
                     struct uv_peer *peer,
                     enum net_class net_class,
                     uint8_t type,
                     struct kith_bytes head,
                     struct kith_bytes body,
                     void (*release)(void *arg),
                     void *release_arg);
/*
 * How many bytes more may be queued for that stream until @most lie there. Once it is less than
 * half of @most, drained follows as soon as it is half again. For who makes data as fast as it
 * leaves, and holds none back meanwhile.
 */
size_t uv_net_room(struct uv_net *net, struct uv_peer *peer, enum net_class net_class, size_t most);
/* One sealed datagram, at most NET_DGRAM_BYTES_MAX after sealing. Lossy: 0, or KITH_E_UNREACHABLE.
 */
int uv_net_send_datagram(struct uv_net *net, struct uv_peer *peer, const void *data, size_t len);
/* Largest plaintext that fits a datagram. */
size_t uv_net_datagram_bytes_max(void);

/* Writes what is queued now (the loop does it once a turn by itself). */
void uv_net_flush(struct uv_net *net);
/*
 * For the adaptive spin: tries to receive on the most recently active streams without epoll.
 * True if any frame was handled. What the handlers queued leaves with uv_net_flush().
 */
bool uv_net_poll(struct uv_net *net);

/* ---- counters ---- */

struct uv_net_stats {
    uint64_t bytes_in, bytes_out; /* on the wire, TCP and UDP */
    uint64_t frames_in, frames_out;
    uint64_t datagrams_in, datagrams_out;
    uint64_t datagrams_dropped; /* unauthenticated, replayed, malformed */
    uint64_t handshakes_ok, handshakes_failed, handshakes_evicted;
    uint64_t refused_version, refused_cluster, refused_secret;
    uint32_t streams_open, peers_known, handshakes_now;
};
void uv_net_stats(const struct uv_net *net, struct uv_net_stats *stats_out);

#endif
