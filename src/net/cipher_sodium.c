/*
 * The record cipher on libsodium. It takes one run of bytes only, so several parts are first put
 * together at the output and sealed there in place.
 *
 * Small records, which is what a single call is, are put together from libsodium's ChaCha20 and
 * Poly1305 as RFC 8439 says (2.8): its own AEAD function runs the stream cipher twice, once for
 * Poly1305's key and once for the text, each block by block, and feeds Poly1305 in five pieces.
 * Here one run over a whole number of vectors makes key and text, and one call the tag, which takes
 * half to two thirds of the time. The bytes are the same.
 */
#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "core/bytes.h"
#include "kith/error.h"
#include "net/cipher.h"

static void nonce_encode(uint64_t nonce, uint8_t iv[crypto_aead_chacha20poly1305_ietf_NPUBBYTES])
{
    put_le32(iv, 0);
    put_le64(iv + 4, nonce);
}

/* Text of a small record; 64 bytes less than the vectors of libsodium's ChaCha20 make up. */
#define SMALL_BYTES  (256 - BLOCK_BYTES)
#define MEDIUM_BYTES (512 - BLOCK_BYTES)
#define BLOCK_BYTES  64
#define LENGTHS      16 /* of additional data and of text, at the end of what Poly1305 sees */

static_assert(CIPHER_AUTO_BYTES == MEDIUM_BYTES, "above it the other back end is asked");
static_assert(MEDIUM_BYTES % LENGTHS == 0, "room for padding");

/* One run of the stream cipher: block 0 has Poly1305's key, the text follows. */
struct small {
    uint8_t key[BLOCK_BYTES];
    uint8_t text[MEDIUM_BYTES + LENGTHS];
};

static bool is_small(size_t len, struct kith_bytes ad)
{
    return len > 0 && len <= MEDIUM_BYTES && ad.len == 0;
}

/* Turns the @len bytes of text that stand in @small over. */
static void small_run(struct small *small, size_t len, const uint8_t *iv, const uint8_t *key)
{
    size_t n = len <= SMALL_BYTES ? SMALL_BYTES : MEDIUM_BYTES;
    uint8_t *run = (uint8_t *)small;

    memset(small->key, 0, sizeof small->key);
    memset(small->text + len, 0, n - len);
    crypto_stream_chacha20_ietf_xor_ic(run, run, BLOCK_BYTES + n, iv, 0, key);
}

/* Makes what Poly1305 sees of @len bytes that stand in @sealed; returns its length. */
static size_t small_pad(uint8_t *sealed, size_t len)
{
    size_t padded = (len + LENGTHS - 1) / LENGTHS * LENGTHS;

    memset(sealed + len, 0, padded - len);
    put_le64(sealed + padded, 0);
    put_le64(sealed + padded + 8, len);
    return padded + LENGTHS;
}

static void small_seal(struct cipher *cipher,
                       uint8_t *out,
                       const struct kith_bytes *parts,
                       size_t parts_n,
                       const uint8_t *iv)
{
    struct small small;
    size_t len = 0;

    for (size_t i = 0; i < parts_n; i++) {
        assert(parts[i].len <= MEDIUM_BYTES - len);
        copy_small(small.text + len, parts[i].data, parts[i].len);
        len += parts[i].len;
    }
    assert(len <= MEDIUM_BYTES);
    small_run(&small, len, iv, cipher->key);
    copy_small(out, small.text, len);
    crypto_onetimeauth_poly1305(out + len, small.text, small_pad(small.text, len), small.key);
    sodium_memzero(small.key, crypto_onetimeauth_poly1305_KEYBYTES);
}

static int
small_open(struct cipher *cipher, uint8_t *out, const uint8_t *in, size_t len, const uint8_t *iv)
{
    uint8_t sealed[MEDIUM_BYTES + LENGTHS];
    struct small small;
    int r;

    assert(len <= MEDIUM_BYTES);
    copy_small(sealed, in, len);
    copy_small(small.text, in, len);
    small_run(&small, len, iv, cipher->key);
    r = crypto_onetimeauth_poly1305_verify(in + len, sealed, small_pad(sealed, len), small.key);
    if (r == 0)
        copy_small(out, small.text, len);
    sodium_memzero(&small, BLOCK_BYTES + len);
    return r == 0 ? 0 : KITH_E_CORRUPT;
}

static int sodium_seal(struct cipher *cipher,
                       uint8_t *out,
                       const struct kith_bytes *parts,
                       size_t parts_n,
                       uint64_t nonce,
                       struct kith_bytes ad)
{
    uint8_t iv[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];
    const uint8_t *in = out;
    size_t len = 0;

    nonce_encode(nonce, iv);
    for (size_t i = 0; i < parts_n; i++)
        len += parts[i].len;
    if (is_small(len, ad)) {
        small_seal(cipher, out, parts, parts_n, iv);
        return 0;
    }
    if (parts_n == 1) {
        in = (const uint8_t *)parts[0].data;
    } else {
        len = 0;
        for (size_t i = 0; i < parts_n; i++) {
            if (parts[i].len > 0)
                memcpy(out + len, parts[i].data, parts[i].len);
            len += parts[i].len;
        }
    }
    /* Cannot fail: the lengths are far below the cipher's bound. */
    crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, in, len, (const uint8_t *)ad.data, ad.len,
                                              NULL, iv, cipher->key);
    return 0;
}

static int sodium_open(struct cipher *cipher,
                       uint8_t *out,
                       const uint8_t *in,
                       size_t len,
                       uint64_t nonce,
                       struct kith_bytes ad)
{
    uint8_t iv[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

    nonce_encode(nonce, iv);
    if (is_small(len - CIPHER_TAG_BYTES, ad))
        return small_open(cipher, out, in, len - CIPHER_TAG_BYTES, iv);
    if (crypto_aead_chacha20poly1305_ietf_decrypt(
            out, NULL, NULL, in, len, (const uint8_t *)ad.data, ad.len, iv, cipher->key) != 0)
        return KITH_E_CORRUPT;
    return 0;
}

static void sodium_forget(struct cipher *cipher)
{
    (void)cipher; /* the key is all there is */
}

const struct cipher_ops *cipher_sodium_ops(void)
{
    static const struct cipher_ops ops = {
        .name = "libsodium",
        .seal = sodium_seal,
        .open = sodium_open,
        .forget = sodium_forget,
    };

    return &ops;
}
