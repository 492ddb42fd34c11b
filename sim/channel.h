/*
 * The rules of the channel (src/net) that the cores depend on, for hosts in the simulated world: no
 * datagram to or from a node whose key is unknown, none from an earlier boot, none that names
 * another boot of ours (it is answered by BOOT), none to an address that is not known.
 *
 * Sealing is left out (the bytes are counted) unless the world runs with real keys: then the
 * shipped codec of net/dgram.h seals and opens every datagram.
 */
#ifndef SIM_CHANNEL_H
#define SIM_CHANNEL_H

#include "keys.h"
#include "world.h"

struct channel_peer {
    bool known;       /* its key */
    uint64_t boot_no; /* highest proven */
    uint64_t boot_told_ns;
    struct dgram_peer *sealed; /* real keys only; made when first needed */
};

struct channel {
    struct sim_node *node;
    struct sim_keys *keys;      /* NULL: stand-in */
    struct channel_peer *peers; /* by index */
    uint64_t dropped_n;
    uint8_t *scratch;
};

/* What the stand-in puts before each datagram, and what sealing adds to that on the wire. */
#define CHANNEL_HEAD_BYTES 9
#define CHANNEL_SEAL_BYTES (SIM_DATAGRAM_SEAL_BYTES - CHANNEL_HEAD_BYTES)
/* Plaintext that fits a datagram, as with the shipped codec. */
#define CHANNEL_BODY_BYTES_MAX (1200 - SIM_DATAGRAM_SEAL_BYTES)

/* @keys may be NULL; borrowed. */
void channel_init(struct channel *channel, struct sim_node *node, struct sim_keys *keys);
void channel_deinit(struct channel *channel);
/* The key of @id is known, and perhaps its address (NULL: not) and boot (0: not). */
void channel_learn(struct channel *channel,
                   const struct kith_node_id *id,
                   uint64_t boot_no,
                   const char *address);
void channel_forget(struct channel *channel, const struct kith_node_id *id);
void channel_send(struct channel *channel,
                  const struct kith_node_id *to,
                  const uint8_t *data,
                  size_t len);
/* True if there is a body to deliver; borrowed until the next call. */
bool channel_receive(struct channel *channel,
                     const struct kith_node_id *from,
                     uint64_t boot_no,
                     const uint8_t *data,
                     size_t len,
                     struct kith_bytes *body_out);

#endif
