/*
 * Whatever is pasted as a token: refused, or read so that writing it again gives the same cluster.
 * The input is taken once as it is, and once as the bytes of a token whose checksum is right, which
 * no mutation would find.
 */
#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "kith/error.h"
#include "node/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text, size_t len)
{
    struct token token, back;
    char again[TOKEN_TEXT_MAX + 1];

    if (token_decode(text, len, &token) != 0) {
        assert(kith_errmsg()[0] != '\0');
        return;
    }
    assert(token_encode(&token, again) == 0);
    assert(token_decode(again, strlen(again), &back) == 0);
    assert(memcmp(&token.cluster, &back.cluster, sizeof(token.cluster)) == 0);
    assert(token.addresses_n == back.addresses_n);
}

static void check_raw(const uint8_t *data, size_t size)
{
    uint8_t raw[4096 + 4], sum[crypto_generichash_BYTES_MIN];
    char
        text[16 + sodium_base64_ENCODED_LEN(sizeof(raw), sodium_base64_VARIANT_URLSAFE_NO_PADDING)];

    if (size > 4096)
        return;
    memcpy(raw, data, size);
    crypto_generichash(sum, sizeof(sum), data, size, (const uint8_t *)TOKEN_PREFIX, 6);
    memcpy(raw + size, sum, 4);
    memcpy(text, TOKEN_PREFIX, 6);
    sodium_bin2base64(text + 6, sizeof(text) - 6, raw, size + 4,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    check(text, strlen(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (sodium_init() < 0)
        return 0;
    check((const char *)data, size);
    if (size > 0)
        check_raw(data, size);
    return 0;
}
