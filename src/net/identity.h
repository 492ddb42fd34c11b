/*
 * Who this node is, and what it shares with its cluster (protocols 5.1). Pure: seeds come from the
 * caller. All of it may be called from any thread.
 */
#ifndef NET_IDENTITY_H
#define NET_IDENTITY_H

#include <assert.h>

#include "kith/api.h"

#define NET_PUBLIC_KEY_BYTES 32
#define NET_SEED_BYTES       32
#define NET_CLUSTER_ID_BYTES 16
#define NET_SECRET_BYTES     32
#define NET_HINT_BYTES       8

struct net_cluster_id {
    uint8_t bytes[NET_CLUSTER_ID_BYTES];
};

/* Key pair of a node. The X25519 pair is libsodium's conversion of the Ed25519 one. */
struct net_identity {
    struct kith_node_id id; /* BLAKE2b-128 of sign_pk */
    uint8_t sign_pk[32];
    uint8_t sign_sk[64]; /* its first 32 bytes are the seed */
    uint8_t dh_pk[32];
    uint8_t dh_sk[32];
};

/* What all nodes of a cluster share. */
struct net_cluster {
    struct net_cluster_id id;
    uint8_t secret[NET_SECRET_BYTES]; /* the PSK */
};

/* What is derived of it once at start, each for one purpose only. */
struct net_cluster_keys {
    uint8_t
        preamble_hint[NET_HINT_BYTES]; /* of the id: tells clusters apart, does not tell the id */
    uint8_t preamble_mac[32];          /* of the secret */
    uint8_t dgram_hint[32];            /* of the secret and the id: hides who sends datagrams */
};

/* Id of the node with this Ed25519 public key. */
struct kith_node_id net_node_id_of(const uint8_t sign_pk[NET_PUBLIC_KEY_BYTES]);

/* Derives everything from 32 bytes of seed. 0, or KITH_E_CORRUPT for a degenerate key. */
int net_identity_from_seed(struct net_identity *identity, const uint8_t seed[NET_SEED_BYTES]);

/* Overwrites the private halves (and all else). */
void net_identity_wipe(struct net_identity *identity);
void net_cluster_wipe(struct net_cluster *cluster);

/*
 * X25519 public key of an Ed25519 one. 0, or KITH_E_CORRUPT if it is none (not on the curve, or of
 * small order).
 */
int net_dh_pk_of(const uint8_t sign_pk[NET_PUBLIC_KEY_BYTES],
                 uint8_t dh_pk_out[NET_PUBLIC_KEY_BYTES]);

void net_cluster_derive(const struct net_cluster *cluster, struct net_cluster_keys *keys_out);

#endif
