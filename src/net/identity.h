/*
 * Who this node is, and what it shares with its cluster (protocols 5.1).
 */
#ifndef NET_IDENTITY_H
#define NET_IDENTITY_H

#include "kith/api.h"

#define NET_PUBLIC_KEY_BYTES 32
#define NET_CLUSTER_ID_BYTES 16
#define NET_SECRET_BYTES     32

struct net_cluster_id {
    uint8_t bytes[NET_CLUSTER_ID_BYTES];
};

/* Key pair of a node. The X25519 pair is libsodium's conversion of the Ed25519 one. */
struct net_identity {
    struct kith_node_id id; /* BLAKE2b-128 of sign_pk */
    uint8_t sign_pk[32];
    uint8_t sign_sk[64];
    uint8_t dh_pk[32];
    uint8_t dh_sk[32];
};

/* What all nodes of a cluster share. */
struct net_cluster {
    struct net_cluster_id id;
    uint8_t secret[NET_SECRET_BYTES]; /* the PSK */
};

/* Id of the node with this Ed25519 public key. */
struct kith_node_id net_node_id_of(const uint8_t sign_pk[32]);

/* Derives everything from 32 bytes of seed. 0, or KITH_E_CORRUPT for a degenerate key. */
int net_identity_from_seed(struct net_identity *identity, const uint8_t seed[32]);

/* X25519 public key of an Ed25519 one. 0, or KITH_E_CORRUPT if it is none. */
int net_dh_pk_of(const uint8_t sign_pk[32], uint8_t dh_pk_out[32]);

#endif
