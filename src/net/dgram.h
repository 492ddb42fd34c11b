/*
 * Sealed datagrams (protocols 5.1).
 *
 *     at  bytes
 *      0    1   version (DGRAM_VERSION)
 *      1    1   type
 *      2    8   sender hint: BLAKE2b-64 of the sender's node id, keyed by the cluster
 *     10    8   sender's boot_no
 *     18   24   nonce, random
 *     42        XChaCha20-Poly1305 of: receiver's boot_no as the sender knows it (8), counter (8),
 *               body; the first 42 bytes are its associated data
 *
 * All integers little-endian. The key is derived from the static-static X25519 secret, the
 * cluster's secret and id, and both node ids in the direction of travel, so what A sent cannot be
 * played back to A.
 *
 * Replays: within one life of both ends by the window over the counter; across a restart of the
 * receiver because the datagram names the receiver's boot; across a restart of the sender because
 * a lower boot_no than the highest proven is dropped.
 */
#ifndef NET_DGRAM_H
#define NET_DGRAM_H

#include "net/identity.h"
#include "net/replay.h"

#define DGRAM_VERSION        1
#define DGRAM_NONCE_BYTES    24
#define DGRAM_HEAD_BYTES     42
#define DGRAM_OVERHEAD_BYTES (DGRAM_HEAD_BYTES + 16 + 16)
#define DGRAM_BODY_BYTES_MAX (NET_DGRAM_BYTES_MAX - DGRAM_OVERHEAD_BYTES)

enum dgram_type {
    DGRAM_DATA = 1,
    DGRAM_BOOT = 2, /* empty: "my boot_no is the one in this header, not the one you named" */
};

/* Everything one peer costs for datagrams. */
struct dgram_peer {
    uint8_t seal_key[32];
    uint8_t open_key[32];
    uint64_t boot_no;     /* highest proven of the peer; 0: none yet */
    uint64_t counter;     /* of the next datagram to it */
    struct replay replay; /* of its boot_no */
};

/* What the clear header says; nothing of it is proven yet. */
struct dgram_head {
    uint8_t type;
    uint64_t hint;
    uint64_t boot_no;
};

struct dgram {
    uint8_t type;
    uint64_t boot_no;    /* the sender's, proven */
    bool boot_is_new;    /* higher than any proven before: the peer restarted */
    const uint8_t *body; /* in the caller's output buffer */
    size_t len;
};

/* Hint of @id as a number, for the table from hints to peers. */
uint64_t dgram_hint(const struct net_cluster_keys *keys, const struct kith_node_id *id);

/*
 * Derives the keys with a peer: one X25519, about 50 us, so do it once, when first needed.
 * @boot_no: the highest known of it, 0 if none. @counter_first: above every counter used towards it
 * in this boot of ours; nanoseconds of the monotonic clock will do. (Counting from 0 again for a
 * peer that was forgotten and learned again would look like replays to it.) 0; KITH_E_CORRUPT if
 * its key is degenerate.
 *
 * With the object goes the window that stops replays: who drops it keeps boot_no and replay.next,
 * and sets replay_floor() when the peer is known again.
 */
int dgram_peer_init(struct dgram_peer *peer,
                    const struct net_identity *self,
                    const struct net_cluster *cluster,
                    const struct kith_node_id *peer_id,
                    const uint8_t peer_dh_pk[NET_PUBLIC_KEY_BYTES],
                    uint64_t boot_no,
                    uint64_t counter_first);
void dgram_peer_wipe(struct dgram_peer *peer);

/* A handshake proved @boot_no. A higher one starts a fresh window; a lower one changes nothing. */
void dgram_peer_boot(struct dgram_peer *peer, uint64_t boot_no);

/*
 * Seals one datagram to @out (room for NET_DGRAM_BYTES_MAX). @hint and @boot_no are our own;
 * @nonce: 24 fresh random bytes. 0; KITH_E_TOO_LARGE above DGRAM_BODY_BYTES_MAX; KITH_E_LIMIT if
 * the counter is used up.
 */
int dgram_seal(struct dgram_peer *peer,
               enum dgram_type type,
               uint64_t hint,
               uint64_t boot_no,
               const uint8_t nonce[DGRAM_NONCE_BYTES],
               struct kith_bytes body,
               uint8_t *out,
               size_t *len_out);

/* Reads the clear header. 0; KITH_E_PARSE: too short, too long, another version or type: drop it.
 */
int dgram_head_decode(const uint8_t *data, size_t len, struct dgram_head *head_out);

/*
 * Opens a datagram whose hint names @peer; our own boot_no is @boot_no. @plain has room for
 * NET_DGRAM_BYTES_MAX and may not overlap @data.
 *
 * 0: *dgram_out is authentic, fresh and for this boot. A DGRAM_BOOT has no body to deliver: it only
 * raises boot_no. KITH_E_AGAIN: authentic, but it names another boot of ours: not delivered; answer
 * one DGRAM_BOOT (rate-limited per sender), unless it was one. KITH_E_EXISTS: replayed, too old, or
 * of an earlier boot of the peer. KITH_E_CORRUPT: not authentic. Everything but 0 and KITH_E_AGAIN
 * is dropped in silence and counted; these results do not set kith_errmsg().
 */
int dgram_open(struct dgram_peer *peer,
               uint64_t boot_no,
               const uint8_t *data,
               size_t len,
               uint8_t *plain,
               struct dgram *dgram_out);

#endif
