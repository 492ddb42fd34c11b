/*
 * Sealed datagrams.
 */
#include "net/dgram.h"

#include <sodium.h>
#include <string.h>

#include "core/bytes.h"
#include "core/error.h"

#define TYPE_AT     1
#define HINT_AT     2
#define BOOT_AT     10
#define NONCE_AT    18
#define INNER_BYTES 16 /* receiver's boot_no, counter */

static_assert(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES == DGRAM_NONCE_BYTES, "nonce");
static_assert(NONCE_AT + DGRAM_NONCE_BYTES == DGRAM_HEAD_BYTES, "layout");
static_assert(INNER_BYTES + crypto_aead_xchacha20poly1305_ietf_ABYTES ==
                  DGRAM_OVERHEAD_BYTES - DGRAM_HEAD_BYTES,
              "layout");

uint64_t dgram_hint(const struct net_cluster_keys *keys, const struct kith_node_id *id)
{
    uint8_t hash[16]; /* the shortest that libsodium gives; the hint is its first 8 */

    crypto_generichash_blake2b(hash, sizeof hash, id->bytes, sizeof id->bytes, keys->dgram_hint,
                               sizeof keys->dgram_hint);
    return get_le64(hash);
}

/* KDF(shared, PSK, cluster_id, sender, receiver). */
static void derive_key(uint8_t out[32],
                       const uint8_t shared[32],
                       const struct net_cluster *cluster,
                       const struct kith_node_id *sender,
                       const struct kith_node_id *receiver)
{
    static const char label[] = "kith datagram key";
    crypto_generichash_blake2b_state state;

    crypto_generichash_blake2b_init(&state, cluster->secret, sizeof cluster->secret, 32);
    crypto_generichash_blake2b_update(&state, (const uint8_t *)label, sizeof label);
    crypto_generichash_blake2b_update(&state, shared, 32);
    crypto_generichash_blake2b_update(&state, cluster->id.bytes, sizeof cluster->id.bytes);
    crypto_generichash_blake2b_update(&state, sender->bytes, sizeof sender->bytes);
    crypto_generichash_blake2b_update(&state, receiver->bytes, sizeof receiver->bytes);
    crypto_generichash_blake2b_final(&state, out, 32);
    sodium_memzero(&state, sizeof state);
}

int dgram_peer_init(struct dgram_peer *peer,
                    const struct net_identity *self,
                    const struct net_cluster *cluster,
                    const struct kith_node_id *peer_id,
                    const uint8_t peer_dh_pk[NET_PUBLIC_KEY_BYTES],
                    uint64_t boot_no,
                    uint64_t counter_first)
{
    uint8_t shared[32];

    memset(peer, 0, sizeof *peer);
    if (crypto_scalarmult_curve25519(shared, self->dh_sk, peer_dh_pk) != 0)
        return kith_fail_with(KITH_E_CORRUPT,
                              "peer: its key is degenerate; it must make a new one");
    derive_key(peer->seal_key, shared, cluster, &self->id, peer_id);
    derive_key(peer->open_key, shared, cluster, peer_id, &self->id);
    sodium_memzero(shared, sizeof shared);
    peer->boot_no = boot_no;
    peer->counter = counter_first;
    return 0;
}

void dgram_peer_wipe(struct dgram_peer *peer)
{
    sodium_memzero(peer, sizeof *peer);
}

void dgram_peer_boot(struct dgram_peer *peer, uint64_t boot_no)
{
    if (boot_no <= peer->boot_no)
        return;
    peer->boot_no = boot_no;
    replay_reset(&peer->replay);
}

int dgram_seal(struct dgram_peer *peer,
               enum dgram_type type,
               uint64_t hint,
               uint64_t boot_no,
               const uint8_t nonce[DGRAM_NONCE_BYTES],
               struct kith_bytes body,
               uint8_t *out,
               size_t *len_out)
{
    uint8_t *inner = out + DGRAM_HEAD_BYTES;

    if (body.len > DGRAM_BODY_BYTES_MAX)
        return KITH_E_TOO_LARGE;
    if (peer->counter == UINT64_MAX)
        return KITH_E_LIMIT;
    out[0] = DGRAM_VERSION;
    out[TYPE_AT] = (uint8_t)type;
    put_le64(out + HINT_AT, hint);
    put_le64(out + BOOT_AT, boot_no);
    memcpy(out + NONCE_AT, nonce, DGRAM_NONCE_BYTES);
    put_le64(inner, peer->boot_no);
    put_le64(inner + 8, peer->counter++);
    if (body.len > 0)
        memcpy(inner + INNER_BYTES, body.data, body.len);
    crypto_aead_xchacha20poly1305_ietf_encrypt(inner, NULL, inner, INNER_BYTES + body.len, out,
                                               DGRAM_HEAD_BYTES, NULL, nonce, peer->seal_key);
    *len_out = body.len + DGRAM_OVERHEAD_BYTES;
    return 0;
}

int dgram_head_decode(const uint8_t *data, size_t len, struct dgram_head *head_out)
{
    if (len < DGRAM_OVERHEAD_BYTES || len > NET_DGRAM_BYTES_MAX)
        return KITH_E_PARSE;
    if (data[0] != DGRAM_VERSION)
        return KITH_E_PARSE;
    if (data[TYPE_AT] != DGRAM_DATA && data[TYPE_AT] != DGRAM_BOOT)
        return KITH_E_PARSE;
    /* A BOOT is empty, so that it is never longer than what it answers. */
    if (data[TYPE_AT] == DGRAM_BOOT && len != DGRAM_OVERHEAD_BYTES)
        return KITH_E_PARSE;
    head_out->type = data[TYPE_AT];
    head_out->hint = get_le64(data + HINT_AT);
    head_out->boot_no = get_le64(data + BOOT_AT);
    return head_out->boot_no == 0 ? KITH_E_PARSE : 0;
}

int dgram_open(struct dgram_peer *peer,
               uint64_t boot_no,
               const uint8_t *data,
               size_t len,
               uint8_t *plain,
               struct dgram *dgram_out)
{
    struct dgram_head head;
    bool boot_is_new;

    if (dgram_head_decode(data, len, &head) != 0)
        return KITH_E_CORRUPT;
    /* Cheaper than the cipher, and what an attacker who plays back old traffic runs into. */
    if (head.boot_no < peer->boot_no)
        return KITH_E_EXISTS;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, data + DGRAM_HEAD_BYTES,
                                                   len - DGRAM_HEAD_BYTES, data, DGRAM_HEAD_BYTES,
                                                   data + NONCE_AT, peer->open_key) != 0)
        return KITH_E_CORRUPT;
    /* The seal proves the sender's boot, whichever boot of ours it was made for. */
    boot_is_new = head.boot_no > peer->boot_no;
    dgram_peer_boot(peer, head.boot_no);
    *dgram_out = (struct dgram){
        .type = head.type,
        .boot_no = head.boot_no,
        .boot_is_new = boot_is_new,
        .body = plain + INNER_BYTES,
        .len = len - DGRAM_OVERHEAD_BYTES,
    };
    /*
     * Made for another life of ours: it may be a replay from then, whose window is lost. It must
     * not use up a counter either, as it would then take one from the datagrams of this life.
     */
    if (get_le64(plain) != boot_no)
        return KITH_E_AGAIN;
    return replay_take(&peer->replay, get_le64(plain + 8)) ? 0 : KITH_E_EXISTS;
}
