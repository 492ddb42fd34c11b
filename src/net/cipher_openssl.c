/*
 * The record cipher on OpenSSL's libcrypto. A context per direction is made at the first record
 * that wants it (a quiet stream costs nothing), keeps the key schedule, and gets only a new nonce
 * per record. Parts are fed one after the other, so bulk bytes are sealed from where they stand.
 */
#include <assert.h>
#include <limits.h>
#include <openssl/evp.h>

#include "core/bytes.h"
#include "core/error.h"
#include "net/cipher.h"

#define IV_BYTES 12

static int broken(void)
{
    return kith_fail_with(KITH_E_INTERNAL,
                          "record cipher: libcrypto failed; build with -Dlibcrypto=disabled");
}

/* The context at @ctx with @nonce set, made if need be. NULL if libcrypto refuses. */
static EVP_CIPHER_CTX *context(struct cipher *cipher, void **ctx, uint64_t nonce, int sealing)
{
    uint8_t iv[IV_BYTES] = {0};
    EVP_CIPHER_CTX *evp = (EVP_CIPHER_CTX *)*ctx;

    put_le64(iv + 4, nonce);
    if (evp != NULL)
        return EVP_CipherInit_ex(evp, NULL, NULL, NULL, iv, -1) == 1 ? evp : NULL;

    evp = EVP_CIPHER_CTX_new();
    if (evp == NULL)
        return NULL;
    if (EVP_CipherInit_ex(evp, EVP_chacha20_poly1305(), NULL, cipher->key, iv, sealing) != 1) {
        EVP_CIPHER_CTX_free(evp);
        return NULL;
    }
    *ctx = evp;
    return evp;
}

static int openssl_seal(struct cipher *cipher,
                        uint8_t *out,
                        const struct kith_bytes *parts,
                        size_t parts_n,
                        uint64_t nonce,
                        struct kith_bytes ad)
{
    EVP_CIPHER_CTX *evp = context(cipher, &cipher->seal_ctx, nonce, 1);
    size_t at = 0;
    int n;

    if (evp == NULL)
        return broken();
    assert(ad.len <= INT_MAX);
    if (ad.len > 0 && EVP_EncryptUpdate(evp, NULL, &n, (const uint8_t *)ad.data, (int)ad.len) != 1)
        return broken();
    for (size_t i = 0; i < parts_n; i++) {
        assert(parts[i].len <= INT_MAX);
        if (parts[i].len == 0)
            continue;
        if (EVP_EncryptUpdate(evp, out + at, &n, (const uint8_t *)parts[i].data,
                              (int)parts[i].len) != 1)
            return broken();
        at += parts[i].len;
    }
    if (EVP_EncryptFinal_ex(evp, out + at, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(evp, EVP_CTRL_AEAD_GET_TAG, CIPHER_TAG_BYTES, out + at) != 1)
        return broken();
    return 0;
}

static int openssl_open(struct cipher *cipher,
                        uint8_t *out,
                        const uint8_t *in,
                        size_t len,
                        uint64_t nonce,
                        struct kith_bytes ad)
{
    EVP_CIPHER_CTX *evp = context(cipher, &cipher->open_ctx, nonce, 0);
    uint8_t tag[CIPHER_TAG_BYTES]; /* libcrypto wants it writable */
    size_t text = len - CIPHER_TAG_BYTES;
    int n;

    if (evp == NULL)
        return broken();
    assert(text <= INT_MAX);
    assert(ad.len <= INT_MAX);
    memcpy(tag, in + text, sizeof tag);
    if (EVP_CIPHER_CTX_ctrl(evp, EVP_CTRL_AEAD_SET_TAG, CIPHER_TAG_BYTES, tag) != 1)
        return broken();
    if (ad.len > 0 && EVP_DecryptUpdate(evp, NULL, &n, (const uint8_t *)ad.data, (int)ad.len) != 1)
        return broken();
    if (text > 0 && EVP_DecryptUpdate(evp, out, &n, in, (int)text) != 1)
        return broken();
    if (EVP_DecryptFinal_ex(evp, out + text, &n) != 1)
        return KITH_E_CORRUPT;
    return 0;
}

static void openssl_forget(struct cipher *cipher)
{
    EVP_CIPHER_CTX_free((EVP_CIPHER_CTX *)cipher->seal_ctx); /* wipes its key */
    EVP_CIPHER_CTX_free((EVP_CIPHER_CTX *)cipher->open_ctx);
    cipher->seal_ctx = NULL;
    cipher->open_ctx = NULL;
}

const struct cipher_ops *cipher_openssl_ops(void)
{
    static const struct cipher_ops ops = {
        .name = "libcrypto",
        .seal = openssl_seal,
        .open = openssl_open,
        .forget = openssl_forget,
    };

    return &ops;
}
