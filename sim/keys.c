#include "keys.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "core/map.h"
#include "kith/error.h"
#include "net/dgram.h"
#include "queue.h"

struct sim_keys {
    size_t nodes_n;
    struct net_identity *identities;
    struct net_cluster cluster;
    struct net_cluster_keys derived;
    struct rng nonces;
};

/* ---- stand-ins ---- */

static void stand_in_sign(void *user, const uint8_t *data, size_t len, uint8_t signature_out[64])
{
    struct kith_node_id id = sim_node_id(user);

    for (size_t i = 0; i < 8; i++) {
        uint64_t word =
            hash_bytes(data, len, i) ^ hash_bytes(id.bytes, sizeof(id.bytes), UINT64_C(0x6b657973));
        for (size_t k = 0; k < 8; k++)
            signature_out[8 * i + k] = (uint8_t)(word >> (8 * k));
    }
}

static bool stand_in_verify(void *user,
                            const uint8_t sign_pk[32],
                            const uint8_t *data,
                            size_t len,
                            const uint8_t signature[64])
{
    uint64_t word =
        hash_bytes(data, len, 0) ^ hash_bytes(sign_pk, KITH_NODE_ID_BYTES, UINT64_C(0x6b657973));
    uint8_t first[8];

    (void)user;
    for (size_t k = 0; k < 8; k++)
        first[k] = (uint8_t)(word >> (8 * k));
    return memcmp(first, signature, 8) == 0;
}

static bool stand_in_key_is_of(void *user, const uint8_t sign_pk[32], const struct kith_node_id *id)
{
    (void)user;
    return memcmp(sign_pk, id->bytes, sizeof(id->bytes)) == 0;
}

/* ---- real ones ---- */

static void real_sign(void *user, const uint8_t *data, size_t len, uint8_t signature_out[64])
{
    const struct net_identity *identity = user;

    crypto_sign_detached(signature_out, NULL, data, len, identity->sign_sk);
}

static bool real_verify(void *user,
                        const uint8_t sign_pk[32],
                        const uint8_t *data,
                        size_t len,
                        const uint8_t signature[64])
{
    (void)user;
    return crypto_sign_verify_detached(signature, data, len, sign_pk) == 0;
}

static bool real_key_is_of(void *user, const uint8_t sign_pk[32], const struct kith_node_id *id)
{
    struct kith_node_id of = net_node_id_of(sign_pk);

    (void)user;
    return memcmp(&of, id, sizeof(of)) == 0;
}

static void draw(struct rng *rng, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)rng_u64(rng);
}

struct sim_keys *keys_new(struct sim_world *world, uint64_t seed)
{
    struct sim_keys *keys = sim_realloc(NULL, 1, sizeof(*keys));
    uint8_t node_seed[NET_SEED_BYTES];

    if (sodium_init() < 0)
        abort();
    keys->nodes_n = sim_nodes_n(world);
    keys->identities = sim_realloc(NULL, keys->nodes_n, sizeof(*keys->identities));
    rng_init(&keys->nonces, seed);
    draw(&keys->nonces, keys->cluster.id.bytes, sizeof(keys->cluster.id.bytes));
    draw(&keys->nonces, keys->cluster.secret, sizeof(keys->cluster.secret));
    net_cluster_derive(&keys->cluster, &keys->derived);
    for (size_t i = 0; i < keys->nodes_n; i++) {
        draw(&keys->nonces, node_seed, sizeof(node_seed));
        if (net_identity_from_seed(&keys->identities[i], node_seed) < 0)
            abort();
        sim_set_node_id(world, i, &keys->identities[i].id);
    }
    return keys;
}

void keys_free(struct sim_keys *keys)
{
    if (keys == NULL)
        return;
    free(keys->identities);
    free(keys);
}

void keys_public(const struct sim_keys *keys, const struct sim_node *node, uint8_t sign_pk_out[32])
{
    struct kith_node_id id = sim_node_id(node);

    if (keys != NULL) {
        memcpy(sign_pk_out, keys->identities[sim_node_index(node)].sign_pk, 32);
        return;
    }
    memcpy(sign_pk_out, id.bytes, 16);
    memcpy(sign_pk_out + 16, id.bytes, 16);
}

struct member_crypto keys_crypto(struct sim_keys *keys, struct sim_node *node)
{
    if (keys != NULL)
        return (struct member_crypto){.user = &keys->identities[sim_node_index(node)],
                                      .sign = real_sign,
                                      .verify = real_verify,
                                      .key_is_of = real_key_is_of};
    return (struct member_crypto){.user = node,
                                  .sign = stand_in_sign,
                                  .verify = stand_in_verify,
                                  .key_is_of = stand_in_key_is_of};
}

struct dgram_peer *keys_dgram_new(struct sim_keys *keys,
                                  const struct sim_node *node,
                                  const struct sim_node *peer,
                                  uint64_t boot_no)
{
    const struct net_identity *other = &keys->identities[sim_node_index(peer)];
    struct dgram_peer *out = sim_realloc(NULL, 1, sizeof(*out));

    if (dgram_peer_init(out, &keys->identities[sim_node_index(node)], &keys->cluster, &other->id,
                        other->dh_pk, boot_no, sim_now_ns(node)) < 0)
        abort();
    return out;
}

void keys_dgram_free(struct dgram_peer *peer)
{
    free(peer);
}

void keys_dgram_boot(struct dgram_peer *peer, uint64_t boot_no)
{
    dgram_peer_boot(peer, boot_no);
}

size_t keys_dgram_seal(struct sim_keys *keys,
                       struct sim_node *node,
                       struct dgram_peer *peer,
                       bool boot,
                       struct kith_bytes body,
                       uint8_t *out)
{
    struct kith_node_id id = sim_node_id(node);
    uint8_t nonce[DGRAM_NONCE_BYTES];
    size_t len = 0;

    draw(&keys->nonces, nonce, sizeof(nonce));
    if (dgram_seal(peer, boot ? DGRAM_BOOT : DGRAM_DATA, dgram_hint(&keys->derived, &id),
                   sim_node_boot_no(node), nonce, body, out, &len) < 0)
        return 0;
    return len;
}

int keys_dgram_open(struct sim_node *node,
                    struct dgram_peer *peer,
                    const uint8_t *data,
                    size_t len,
                    uint8_t *plain,
                    struct kith_bytes *body_out,
                    uint64_t *boot_no_out)
{
    struct dgram opened;
    int r = dgram_open(peer, sim_node_boot_no(node), data, len, plain, &opened);

    *body_out = (struct kith_bytes){0};
    if (r < 0)
        return r;
    *boot_no_out = opened.boot_no;
    if (opened.type == DGRAM_DATA)
        *body_out = (struct kith_bytes){.data = opened.body, .len = opened.len};
    return 0;
}
