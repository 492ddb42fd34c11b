/*
 * The clear preamble before Noise's message 1 (protocols 5.1). It is Noise's prologue, so a changed
 * byte fails the handshake; its MAC lets a responder drop strangers for the price of one hash,
 * before any curve operation and before it answers a byte.
 *
 *     at  bytes
 *      0    6   magic: 89 'k' 'i' 't' 'h' 0a
 *      6    1   lowest protocol version spoken
 *      7    1   highest
 *      8    8   cluster hint
 *     16   16   MAC of bytes 0 to 15 and of e, the first 32 bytes of message 1
 *
 * These 32 bytes keep their layout in all versions. Garbage is dropped in silence; a well-formed
 * preamble that cannot be served is answered with one byte (enum preamble_refusal) and the end of
 * the stream. That byte is a hint for the log of the other side: it is not authentic.
 */
#ifndef NET_PREAMBLE_H
#define NET_PREAMBLE_H

#include "net/identity.h"

#define PREAMBLE_BYTES     32
#define PREAMBLE_MAC_BYTES 16

/* Protocol versions that this code speaks. */
#define NET_VERSION_MIN 1
#define NET_VERSION_MAX 1

/* What a well-formed preamble is refused for; the byte on the wire. */
enum preamble_refusal {
    PREAMBLE_REFUSED_VERSION = 1,
    PREAMBLE_REFUSED_CLUSTER = 2,
    PREAMBLE_REFUSED_SECRET = 3,
};

struct preamble {
    uint8_t version_min;
    uint8_t version_max;
    uint8_t hint[NET_HINT_BYTES];
    uint8_t mac[PREAMBLE_MAC_BYTES];
};

/* Writes the preamble for the message 1 whose ephemeral public key is @e_pk. */
void preamble_encode(const struct net_cluster_keys *keys,
                     const uint8_t e_pk[NET_PUBLIC_KEY_BYTES],
                     uint8_t out[PREAMBLE_BYTES]);

/*
 * Checks magic and version range of the first @len bytes of a stream. 0 and @preamble_out;
 * KITH_E_AGAIN if all fits so far and more is needed; KITH_E_PARSE for garbage (said at the first
 * wrong byte).
 */
int preamble_decode(const uint8_t *data, size_t len, struct preamble *preamble_out);

/*
 * Whether we serve it: 0; KITH_E_VERSION; KITH_E_OTHER_CLUSTER; KITH_E_SECRET. @e_pk may be NULL
 * while message 1 is not there yet: then the secret is not checked.
 */
int preamble_check(const struct preamble *preamble,
                   const struct net_cluster_keys *keys,
                   const uint8_t *e_pk);

/* The refusal byte of such a code, 0 if it has none; and back (KITH_E_PARSE for an unknown byte).
 */
uint8_t preamble_refusal_of(int code);
int preamble_refusal_code(uint8_t byte);

#endif
