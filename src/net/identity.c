/*
 * Keys and what is derived of them. Every derived key is BLAKE2b keyed with its source over a label
 * of its own, so that no two purposes share a key.
 */
#include "net/identity.h"

#include <sodium.h>
#include <string.h>

#include "core/error.h"

static_assert(sizeof(struct kith_node_id) == 16, "BLAKE2b-128");
static_assert(crypto_sign_PUBLICKEYBYTES == NET_PUBLIC_KEY_BYTES, "Ed25519");
static_assert(crypto_sign_SECRETKEYBYTES == 64, "Ed25519");

struct kith_node_id net_node_id_of(const uint8_t sign_pk[NET_PUBLIC_KEY_BYTES])
{
    struct kith_node_id id;
    int r = crypto_generichash_blake2b(id.bytes, sizeof id.bytes, sign_pk, NET_PUBLIC_KEY_BYTES,
                                       NULL, 0);

    assert(r == 0);
    (void)r;
    return id;
}

int net_dh_pk_of(const uint8_t sign_pk[NET_PUBLIC_KEY_BYTES],
                 uint8_t dh_pk_out[NET_PUBLIC_KEY_BYTES])
{
    if (crypto_sign_ed25519_pk_to_curve25519(dh_pk_out, sign_pk) != 0)
        return KITH_E_CORRUPT;
    return 0;
}

int net_identity_from_seed(struct net_identity *identity, const uint8_t seed[NET_SEED_BYTES])
{
    memset(identity, 0, sizeof *identity);
    if (crypto_sign_seed_keypair(identity->sign_pk, identity->sign_sk, seed) != 0 ||
        crypto_sign_ed25519_sk_to_curve25519(identity->dh_sk, identity->sign_sk) != 0 ||
        net_dh_pk_of(identity->sign_pk, identity->dh_pk) != 0) {
        net_identity_wipe(identity);
        return kith_fail_with(KITH_E_CORRUPT,
                              "node key: the seed gives a degenerate key; make a new one");
    }
    identity->id = net_node_id_of(identity->sign_pk);
    return 0;
}

void net_identity_wipe(struct net_identity *identity)
{
    sodium_memzero(identity, sizeof *identity);
}

void net_cluster_wipe(struct net_cluster *cluster)
{
    sodium_memzero(cluster, sizeof *cluster);
}

/* BLAKE2b of LABEL and @more, keyed with @key (or not, if NULL). */
static void derive(uint8_t *out,
                   size_t out_bytes,
                   const uint8_t *key,
                   const char *label,
                   const uint8_t *more,
                   size_t more_bytes)
{
    crypto_generichash_blake2b_state state;

    crypto_generichash_blake2b_init(&state, key, key == NULL ? 0 : NET_SECRET_BYTES, out_bytes);
    crypto_generichash_blake2b_update(&state, (const uint8_t *)label, strlen(label) + 1);
    crypto_generichash_blake2b_update(&state, more, more_bytes);
    crypto_generichash_blake2b_final(&state, out, out_bytes);
    sodium_memzero(&state, sizeof state);
}

void net_cluster_derive(const struct net_cluster *cluster, struct net_cluster_keys *keys_out)
{
    const uint8_t *id = cluster->id.bytes;
    uint8_t hint[16]; /* BLAKE2b gives at least 16 bytes in libsodium; the hint is its first 8 */

    /* Of the id alone, so that two clusters can be told apart before a secret is compared. */
    derive(hint, sizeof hint, NULL, "kith preamble hint", id, NET_CLUSTER_ID_BYTES);
    memcpy(keys_out->preamble_hint, hint, sizeof keys_out->preamble_hint);
    derive(keys_out->preamble_mac, sizeof keys_out->preamble_mac, cluster->secret,
           "kith preamble mac", id, NET_CLUSTER_ID_BYTES);
    derive(keys_out->dgram_hint, sizeof keys_out->dgram_hint, cluster->secret, "kith datagram hint",
           id, NET_CLUSTER_ID_BYTES);
}
