/*
 * The record cipher on libsodium. It takes one run of bytes only, so several parts are first put
 * together at the output and sealed there in place.
 */
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
    if (parts_n == 1) {
        in = (const uint8_t *)parts[0].data;
        len = parts[0].len;
    } else {
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
