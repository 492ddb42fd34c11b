/*
 * Hello (net.proto): who speaks. It is the payload of Noise's message 3 (initiator) and the body of
 * the first frame in the first record back, FRAME_HELLO (responder). Never sent in the clear.
 *
 * The X25519 key that the handshake proved must be the conversion of the Ed25519 key in the Hello:
 * that proves the node id.
 */
#ifndef NET_HELLO_H
#define NET_HELLO_H

#include "core/bytes.h"
#include "core/limits.h"
#include "net/frame.h"
#include "net/identity.h"

/* Longest encoded Hello; checked before it is unpacked. */
#define HELLO_BYTES_MAX 2048

struct hello {
    uint8_t sign_pk[NET_PUBLIC_KEY_BYTES];
    struct kith_node_id id; /* of sign_pk; not on the wire */
    uint64_t boot_no;       /* from 1 */
    uint64_t instance;      /* random, one a process: tells a cloned boot_no from a second stream */
    struct net_cluster_id cluster_id;
    uint8_t version_min, version_max;
    enum net_class net_class; /* of the stream; the responder repeats it */
    uint8_t role;             /* enum kith_role */
    /*
     * Not 0: the receiver's boot_no is at or below what was seen of it (this number). It writes a
     * higher one with fsync and reconnects (protocols 5.1). The stream ends after this Hello.
     */
    uint64_t stale_boot;
    char name[MEMBER_NAME_BYTES_MAX + 1];        /* a node name; may be "" for a program */
    char software[MEMBER_VERSION_BYTES_MAX + 1]; /* version of the program, for people */
    char observed[KITH_ADDRESS_TEXT_MAX +
                  1]; /* the receiver's address as the sender sees it; may be "" */
    size_t addresses_n;
    char addresses[NET_ADDRESSES_PER_PEER_MAX]
                  [KITH_ADDRESS_TEXT_MAX + 1]; /* where the sender listens */
};

/* Appends the encoded @hello to @out. 0; KITH_E_INVALID if a field passes its limit; KITH_E_MEMORY.
 */
int hello_encode(const struct hello *hello, struct buf *out);

/*
 * Unpacks and checks every field against its limit. 0; KITH_E_PARSE (malformed, or a field that is
 * not allowed), KITH_E_TOO_LARGE, KITH_E_MEMORY. Each failure sets kith_errmsg().
 */
int hello_decode(const uint8_t *data, size_t len, struct hello *hello_out);

/*
 * Whether @hello may come from the peer whose handshake proved @remote_dh_pk: 0; KITH_E_CORRUPT if
 * the keys do not belong together; KITH_E_OTHER_CLUSTER; KITH_E_VERSION (no common one);
 * KITH_E_EXISTS if it is
 * @self_id. Sets kith_errmsg().
 */
int hello_check(const struct hello *hello,
                const uint8_t remote_dh_pk[NET_PUBLIC_KEY_BYTES],
                const struct net_cluster *cluster,
                const struct kith_node_id *self_id);

/* Highest version both speak; 0 if none. */
uint8_t hello_version(const struct hello *hello);

/*
 * What was seen of a node before, and whether the boot in its Hello is a fresh one: lower than
 * seen, or equal with another instance, is stale (a restored snapshot, a copied data directory).
 */
struct boot_seen {
    uint64_t boot_no;  /* highest; 0: none */
    uint64_t instance; /* of that boot; 0: not known (read from disk, or heard by gossip) */
};
/* True and @seen brought up to date if it is fresh or the same; false if it is stale. */
bool boot_seen_take(struct boot_seen *seen, uint64_t boot_no, uint64_t instance);

#endif
