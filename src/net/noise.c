/*
 * The Noise machine: CipherState, SymmetricState and HandshakeState of the specification in one
 * struct, driven by the pattern's tokens. Names in comments are those of the specification.
 */
#include "net/noise.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "core/bytes.h"
#include "core/error.h"

#define HMAC_BLOCK_BYTES 128

const struct noise_pattern noise_xxpsk3 = {
    .protocol_name = "Noise_XXpsk3_25519_ChaChaPoly_BLAKE2b",
    .psk = true,
    .tokens =
        {
            {NOISE_E},
            {NOISE_E, NOISE_EE, NOISE_S, NOISE_ES},
            {NOISE_S, NOISE_SE, NOISE_PSK},
        },
};

/* ---- hashing ---- */

static void
hash2(uint8_t out[NOISE_HASH_BYTES], const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    crypto_generichash_blake2b_state state;

    crypto_generichash_blake2b_init(&state, NULL, 0, NOISE_HASH_BYTES);
    crypto_generichash_blake2b_update(&state, a, a_len);
    crypto_generichash_blake2b_update(&state, b, b_len);
    crypto_generichash_blake2b_final(&state, out, NOISE_HASH_BYTES);
}

/* HMAC-BLAKE2b with a 64-byte key (Noise uses HMAC, not BLAKE2b's own keying). */
static void hmac(uint8_t out[NOISE_HASH_BYTES],
                 const uint8_t key[NOISE_HASH_BYTES],
                 const uint8_t *data,
                 size_t len)
{
    uint8_t pad[HMAC_BLOCK_BYTES];
    uint8_t inner[NOISE_HASH_BYTES];

    memset(pad, 0x36, sizeof pad);
    for (size_t i = 0; i < NOISE_HASH_BYTES; i++)
        pad[i] ^= key[i];
    hash2(inner, pad, sizeof pad, data, len);
    memset(pad, 0x5c, sizeof pad);
    for (size_t i = 0; i < NOISE_HASH_BYTES; i++)
        pad[i] ^= key[i];
    hash2(out, pad, sizeof pad, inner, sizeof inner);
    sodium_memzero(pad, sizeof pad);
    sodium_memzero(inner, sizeof inner);
}

/* HKDF(): @n outputs of 64 bytes, 2 or 3. */
static void hkdf(uint8_t out[][NOISE_HASH_BYTES],
                 unsigned n,
                 const uint8_t chaining[NOISE_HASH_BYTES],
                 const uint8_t *data,
                 size_t len)
{
    uint8_t temp[NOISE_HASH_BYTES];
    uint8_t block[NOISE_HASH_BYTES + 1];

    hmac(temp, chaining, data, len);
    block[0] = 1;
    hmac(out[0], temp, block, 1);
    for (unsigned i = 1; i < n; i++) {
        memcpy(block, out[i - 1], NOISE_HASH_BYTES);
        block[NOISE_HASH_BYTES] = (uint8_t)(i + 1);
        hmac(out[i], temp, block, sizeof block);
    }
    sodium_memzero(temp, sizeof temp);
    sodium_memzero(block, sizeof block);
}

static void mix_hash(struct noise *noise, const uint8_t *data, size_t len)
{
    hash2(noise->hash, noise->hash, NOISE_HASH_BYTES, data, len);
}

static void mix_key(struct noise *noise, const uint8_t *data, size_t len)
{
    uint8_t out[2][NOISE_HASH_BYTES];

    hkdf(out, 2, noise->chaining, data, len);
    memcpy(noise->chaining, out[0], NOISE_HASH_BYTES);
    memcpy(noise->key, out[1], NOISE_KEY_BYTES);
    noise->has_key = true;
    noise->nonce = 0;
    sodium_memzero(out, sizeof out);
}

static void mix_key_and_hash(struct noise *noise, const uint8_t *data, size_t len)
{
    uint8_t out[3][NOISE_HASH_BYTES];

    hkdf(out, 3, noise->chaining, data, len);
    memcpy(noise->chaining, out[0], NOISE_HASH_BYTES);
    mix_hash(noise, out[1], NOISE_HASH_BYTES);
    memcpy(noise->key, out[2], NOISE_KEY_BYTES);
    noise->has_key = true;
    noise->nonce = 0;
    sodium_memzero(out, sizeof out);
}

/* EncryptAndHash(): writes @len bytes, and the tag if there is a key; returns how many. */
static size_t encrypt_and_hash(struct noise *noise, uint8_t *out, const uint8_t *in, size_t len)
{
    uint8_t iv[12] = {0};

    if (!noise->has_key) {
        if (len > 0)
            memcpy(out, in, len);
    } else {
        put_le64(iv + 4, noise->nonce++);
        crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, in, len, noise->hash, NOISE_HASH_BYTES,
                                                  NULL, iv, noise->key);
        len += NOISE_TAG_BYTES;
    }
    mix_hash(noise, out, len);
    return len;
}

/* DecryptAndHash() of @len bytes, tag included if there is a key. */
static int decrypt_and_hash(struct noise *noise, uint8_t *out, const uint8_t *in, size_t len)
{
    uint8_t iv[12] = {0};
    uint8_t hash[NOISE_HASH_BYTES];

    hash2(hash, noise->hash, NOISE_HASH_BYTES, in, len); /* before @out may overwrite @in */
    if (!noise->has_key) {
        if (len > 0)
            memmove(out, in, len);
    } else {
        put_le64(iv + 4, noise->nonce++);
        if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, in, len, noise->hash,
                                                      NOISE_HASH_BYTES, iv, noise->key) != 0)
            return KITH_E_CORRUPT;
    }
    memcpy(noise->hash, hash, NOISE_HASH_BYTES);
    return 0;
}

/* ---- handshake ---- */

int noise_public_of(const uint8_t sk[NOISE_KEY_BYTES], uint8_t pk_out[NOISE_KEY_BYTES])
{
    return crypto_scalarmult_curve25519_base(pk_out, sk) == 0 ? 0 : KITH_E_INVALID;
}

static const uint8_t *row(const struct noise_pattern *pattern, unsigned message)
{
    static const uint8_t none[1] = {NOISE_END};

    return message < NOISE_MESSAGES_MAX ? pattern->tokens[message] : none;
}

static bool pattern_has(const struct noise_pattern *pattern, bool initiator, enum noise_token token)
{
    for (unsigned m = initiator ? 0 : 1; m < NOISE_MESSAGES_MAX; m += 2)
        for (unsigned i = 0; i < NOISE_TOKENS_MAX; i++)
            if (pattern->tokens[m][i] == token)
                return true;
    return false;
}

static int take_keys(struct noise *noise, const struct noise_keys *keys)
{
    const struct noise_pattern *pattern = noise->pattern;
    bool knows_self = noise->initiator ? pattern->knows_initiator : pattern->knows_responder;
    bool knows_peer = noise->initiator ? pattern->knows_responder : pattern->knows_initiator;

    if (keys->ephemeral_sk == NULL || (pattern->psk && keys->psk == NULL))
        return KITH_E_INVALID;
    if ((knows_self || pattern_has(pattern, noise->initiator, NOISE_S)) && keys->static_sk == NULL)
        return KITH_E_INVALID;
    if (knows_peer && keys->remote_pk == NULL)
        return KITH_E_INVALID;

    memcpy(noise->ephemeral_sk, keys->ephemeral_sk, NOISE_KEY_BYTES);
    if (noise_public_of(noise->ephemeral_sk, noise->ephemeral_pk) != 0)
        return KITH_E_INVALID;
    if (keys->psk != NULL)
        memcpy(noise->psk, keys->psk, NOISE_KEY_BYTES);
    if (keys->static_sk != NULL) {
        memcpy(noise->static_sk, keys->static_sk, NOISE_KEY_BYTES);
        if (keys->static_pk != NULL)
            memcpy(noise->static_pk, keys->static_pk, NOISE_KEY_BYTES);
        else if (noise_public_of(noise->static_sk, noise->static_pk) != 0)
            return KITH_E_INVALID;
    }
    if (knows_peer) {
        memcpy(noise->remote_static, keys->remote_pk, NOISE_KEY_BYTES);
        noise->has_remote_static = true;
    }
    return 0;
}

int noise_init(struct noise *noise,
               const struct noise_pattern *pattern,
               bool initiator,
               const struct noise_keys *keys,
               struct kith_bytes prologue)
{
    size_t name_len = strlen(pattern->protocol_name);
    int r;

    memset(noise, 0, sizeof *noise);
    noise->pattern = pattern;
    noise->initiator = initiator;
    r = take_keys(noise, keys);
    if (r != 0) {
        noise_deinit(noise);
        return r;
    }
    assert(name_len <= NOISE_HASH_BYTES); /* longer names would be hashed; none of ours is */
    memcpy(noise->hash, pattern->protocol_name, name_len);
    memcpy(noise->chaining, noise->hash, NOISE_HASH_BYTES);
    mix_hash(noise, (const uint8_t *)prologue.data, prologue.len);
    if (pattern->knows_initiator)
        mix_hash(noise, initiator ? noise->static_pk : noise->remote_static, NOISE_KEY_BYTES);
    if (pattern->knows_responder)
        mix_hash(noise, initiator ? noise->remote_static : noise->static_pk, NOISE_KEY_BYTES);
    return 0;
}

void noise_deinit(struct noise *noise)
{
    sodium_memzero(noise, sizeof *noise);
}

bool noise_is_done(const struct noise *noise)
{
    return noise->pattern != NULL && row(noise->pattern, noise->message)[0] == NOISE_END;
}

bool noise_writes_next(const struct noise *noise)
{
    return noise->pattern != NULL && !noise_is_done(noise) &&
           noise->initiator == (noise->message % 2 == 0);
}

size_t noise_overhead(const struct noise *noise)
{
    const uint8_t *token = row(noise->pattern, noise->message);
    bool has_key = noise->has_key;
    size_t bytes = 0;

    for (unsigned i = 0; i < NOISE_TOKENS_MAX && token[i] != NOISE_END; i++) {
        switch ((enum noise_token)token[i]) {
        case NOISE_E:
            bytes += NOISE_KEY_BYTES;
            has_key = has_key || noise->pattern->psk;
            break;
        case NOISE_S:
            bytes += has_key ? NOISE_KEY_BYTES + NOISE_TAG_BYTES : NOISE_KEY_BYTES;
            break;
        default:
            has_key = true;
        }
    }
    return has_key ? bytes + NOISE_TAG_BYTES : bytes;
}

/* MixKey(DH()): the token names the initiator's key first. */
static int mix_dh(struct noise *noise, enum noise_token token)
{
    bool own_static = token == NOISE_SS || token == (noise->initiator ? NOISE_SE : NOISE_ES);
    bool peer_static = token == NOISE_SS || token == (noise->initiator ? NOISE_ES : NOISE_SE);
    uint8_t shared[NOISE_KEY_BYTES];
    int r;

    assert(peer_static ? noise->has_remote_static : noise->has_remote_ephemeral);
    r = crypto_scalarmult_curve25519(shared, own_static ? noise->static_sk : noise->ephemeral_sk,
                                     peer_static ? noise->remote_static : noise->remote_ephemeral);
    if (r == 0) /* else: a point of small order, no secret comes of it */
        mix_key(noise, shared, sizeof shared);
    sodium_memzero(shared, sizeof shared);
    return r == 0 ? 0 : KITH_E_CORRUPT;
}

/* Tokens that are the same for both sides. */
static int mix_token(struct noise *noise, enum noise_token token)
{
    if (token == NOISE_PSK) {
        mix_key_and_hash(noise, noise->psk, NOISE_KEY_BYTES);
        return 0;
    }
    return mix_dh(noise, token);
}

static void mix_ephemeral(struct noise *noise, const uint8_t pk[NOISE_KEY_BYTES])
{
    mix_hash(noise, pk, NOISE_KEY_BYTES);
    if (noise->pattern->psk)
        mix_key(noise, pk, NOISE_KEY_BYTES);
}

int noise_write(
    struct noise *noise, struct kith_bytes payload, uint8_t *out, size_t out_bytes, size_t *len_out)
{
    const uint8_t *token;
    size_t at = 0;
    size_t need;
    int r = 0;

    assert(noise_writes_next(noise));
    need = noise_overhead(noise);
    if (payload.len > NOISE_MESSAGE_BYTES_MAX - need || need + payload.len > out_bytes)
        return KITH_E_TOO_LARGE;

    token = row(noise->pattern, noise->message);
    for (unsigned i = 0; i < NOISE_TOKENS_MAX && token[i] != NOISE_END && r == 0; i++) {
        switch ((enum noise_token)token[i]) {
        case NOISE_E:
            memcpy(out + at, noise->ephemeral_pk, NOISE_KEY_BYTES);
            at += NOISE_KEY_BYTES;
            mix_ephemeral(noise, noise->ephemeral_pk);
            break;
        case NOISE_S:
            at += encrypt_and_hash(noise, out + at, noise->static_pk, NOISE_KEY_BYTES);
            break;
        default:
            r = mix_token(noise, (enum noise_token)token[i]);
        }
    }
    if (r != 0) {
        noise_deinit(noise);
        return r;
    }
    at += encrypt_and_hash(noise, out + at, (const uint8_t *)payload.data, payload.len);
    assert(at == need + payload.len);
    noise->message++;
    *len_out = at;
    return 0;
}

static int read_token(struct noise *noise, enum noise_token token, struct reader *in)
{
    size_t s_bytes = NOISE_KEY_BYTES + (noise->has_key ? NOISE_TAG_BYTES : 0);
    const uint8_t *p;

    switch (token) {
    case NOISE_E:
        p = read_bytes(in, NOISE_KEY_BYTES);
        memcpy(noise->remote_ephemeral, p, NOISE_KEY_BYTES);
        noise->has_remote_ephemeral = true;
        mix_ephemeral(noise, noise->remote_ephemeral);
        return 0;
    case NOISE_S:
        p = read_bytes(in, s_bytes);
        noise->has_remote_static = true;
        return decrypt_and_hash(noise, noise->remote_static, p, s_bytes);
    default:
        return mix_token(noise, token);
    }
}

int noise_read(struct noise *noise,
               const uint8_t *message,
               size_t len,
               uint8_t *payload_out,
               size_t payload_bytes,
               size_t *len_out)
{
    struct reader in = reader_of(message, len);
    const uint8_t *token;
    size_t need;
    int r = 0;

    assert(noise->pattern != NULL);
    assert(!noise_is_done(noise) && !noise_writes_next(noise));
    need = noise_overhead(noise);
    if (len < need || len > NOISE_MESSAGE_BYTES_MAX)
        r = len < need ? KITH_E_CORRUPT : KITH_E_TOO_LARGE;
    else if (len - need > payload_bytes)
        r = KITH_E_TOO_LARGE;

    token = row(noise->pattern, noise->message);
    for (unsigned i = 0; i < NOISE_TOKENS_MAX && token[i] != NOISE_END && r == 0; i++)
        r = read_token(noise, (enum noise_token)token[i], &in);
    if (r == 0)
        r = decrypt_and_hash(noise, payload_out, message + in.at, len - in.at);
    if (r != 0) {
        noise_deinit(noise);
        return r;
    }
    noise->message++;
    *len_out = len - need;
    return 0;
}

const uint8_t *noise_remote_static(const struct noise *noise)
{
    return noise->has_remote_static ? noise->remote_static : NULL;
}

void noise_split(const struct noise *noise, struct noise_split *split_out)
{
    uint8_t out[2][NOISE_HASH_BYTES];

    assert(noise_is_done(noise));
    hkdf(out, 2, noise->chaining, NULL, 0);
    memcpy(split_out->send_key, out[noise->initiator ? 0 : 1], NOISE_KEY_BYTES);
    memcpy(split_out->recv_key, out[noise->initiator ? 1 : 0], NOISE_KEY_BYTES);
    memcpy(split_out->hash, noise->hash, NOISE_HASH_BYTES);
    sodium_memzero(out, sizeof out);
}
