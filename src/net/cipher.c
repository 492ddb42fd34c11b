/*
 * What the back ends share: choosing one, choosing by size, rekeying, peeking.
 */
#include "net/cipher.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "core/bytes.h"
#include "core/error.h"

static_assert(crypto_aead_chacha20poly1305_ietf_KEYBYTES == CIPHER_KEY_BYTES, "key");
static_assert(crypto_aead_chacha20poly1305_ietf_ABYTES == CIPHER_TAG_BYTES, "tag");

static size_t parts_len(const struct kith_bytes *parts, size_t parts_n)
{
    size_t len = 0;

    for (size_t i = 0; i < parts_n; i++)
        len += parts[i].len;
    return len;
}

/* ---- automatic choice ---- */

/* Large records, once there have been some: a node that only says that it is there then never
 * touches libcrypto, which costs a process 2 MiB. */
static const struct cipher_ops *ops_for(struct cipher *cipher, size_t len)
{
    if (len <= CIPHER_AUTO_BYTES)
        return cipher_sodium_ops();
    if (cipher->large_bytes < CIPHER_COLD_BYTES) {
        cipher->large_bytes += (uint32_t)len;
        return cipher_sodium_ops();
    }
    return cipher_openssl_ops();
}

static int auto_seal(struct cipher *cipher,
                     uint8_t *out,
                     const struct kith_bytes *parts,
                     size_t parts_n,
                     uint64_t nonce,
                     struct kith_bytes ad)
{
    return ops_for(cipher, parts_len(parts, parts_n))->seal(cipher, out, parts, parts_n, nonce, ad);
}

static int auto_open(struct cipher *cipher,
                     uint8_t *out,
                     const uint8_t *in,
                     size_t len,
                     uint64_t nonce,
                     struct kith_bytes ad)
{
    return ops_for(cipher, len - CIPHER_TAG_BYTES)->open(cipher, out, in, len, nonce, ad);
}

static void auto_forget(struct cipher *cipher)
{
    cipher_openssl_ops()->forget(cipher);
}

static const struct cipher_ops auto_ops = {
    .name = "auto",
    .seal = auto_seal,
    .open = auto_open,
    .forget = auto_forget,
};

/* ---- public ---- */

bool cipher_has(enum cipher_kind kind)
{
    switch (kind) {
    case CIPHER_AUTO:
    case CIPHER_SODIUM:
        return true;
    case CIPHER_OPENSSL:
        return cipher_openssl_ops() != NULL;
    }
    return false;
}

const char *cipher_name(const struct cipher *cipher)
{
    return cipher->ops->name;
}

int cipher_init(struct cipher *cipher, enum cipher_kind kind, const uint8_t key[CIPHER_KEY_BYTES])
{
    memset(cipher, 0, sizeof *cipher);
    if (!cipher_has(kind))
        return kith_fail_with(KITH_E_UNSUPPORTED,
                              "record cipher: this build has no libcrypto; use libsodium's");
    if (kind == CIPHER_SODIUM || cipher_openssl_ops() == NULL)
        cipher->ops = cipher_sodium_ops();
    else
        cipher->ops = kind == CIPHER_OPENSSL ? cipher_openssl_ops() : &auto_ops;
    memcpy(cipher->key, key, CIPHER_KEY_BYTES);
    return 0;
}

void cipher_deinit(struct cipher *cipher)
{
    if (cipher->ops == NULL)
        return;
    cipher->ops->forget(cipher);
    sodium_memzero(cipher, sizeof *cipher);
}

int cipher_seal(struct cipher *cipher,
                uint8_t *out,
                const struct kith_bytes *parts,
                size_t parts_n,
                uint64_t nonce,
                struct kith_bytes ad)
{
    assert(cipher->ops != NULL);
    return cipher->ops->seal(cipher, out, parts, parts_n, nonce, ad);
}

int cipher_open(struct cipher *cipher,
                uint8_t *out,
                const uint8_t *in,
                size_t len,
                uint64_t nonce,
                struct kith_bytes ad)
{
    assert(cipher->ops != NULL);
    if (len < CIPHER_TAG_BYTES)
        return KITH_E_CORRUPT;
    return cipher->ops->open(cipher, out, in, len, nonce, ad);
}

void cipher_peek(
    const struct cipher *cipher, uint8_t *out, const uint8_t *in, size_t n, uint64_t nonce)
{
    uint8_t iv[crypto_stream_chacha20_ietf_NONCEBYTES] = {0};

    assert(n <= CIPHER_PEEK_BYTES_MAX);
    put_le64(iv + 4, nonce);
    /* Block 0 of the key stream is Poly1305's key; the text starts at block 1. */
    crypto_stream_chacha20_ietf_xor_ic(out, in, n, iv, 1, cipher->key);
}

void cipher_rekey(struct cipher *cipher)
{
    static const uint8_t zeros[CIPHER_KEY_BYTES];
    struct kith_bytes part = {zeros, sizeof zeros};
    uint8_t sealed[CIPHER_KEY_BYTES + CIPHER_TAG_BYTES];
    int r = cipher_sodium_ops()->seal(cipher, sealed, &part, 1, UINT64_MAX, (struct kith_bytes){0});

    assert(r == 0);
    (void)r;
    cipher->ops->forget(cipher);
    memcpy(cipher->key, sealed, CIPHER_KEY_BYTES);
    sodium_memzero(sealed, sizeof sealed);
}
