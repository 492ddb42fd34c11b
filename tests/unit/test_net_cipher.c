/*
 * Both back ends against RFC 8439's example, against one another, and against changed bytes.
 */
#include "net/cipher.h"

#include "core/bytes.h"
#include "kith/error.h"
#include "net_testing.h"

static const enum cipher_kind kinds[] = {CIPHER_SODIUM, CIPHER_OPENSSL, CIPHER_AUTO};
#define KINDS_N   3
#define BYTES_MAX 70000

static const struct kith_bytes no_ad = {0};

static void rfc_8439_key_and_text_give_its_bytes(void **state)
{
    /* RFC 8439 A.5 has nonce 00000000 0102030405060708: Noise's form of that counter. */
    static const char key_text[] =
        "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0";
    static const char ad_text[] = "f33388860000000000004e91";
    static const char sealed_text[] =
        "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e38"
        "2d26b0"
        "bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff"
        "37c855"
        "9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cd"
        "e7a4e9"
        "9040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f5"
        "48271a"
        "0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77"
        "987130"
        "305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709beead9d67890cbb22392336fea1851f38";
    static const char plain[] =
        "Internet-Drafts are draft documents valid for a maximum of six months and may be updated, "
        "replaced, or obsoleted by other documents at any time. It is inappropriate to use "
        "Internet-Drafts as reference material or to cite them other than as /\xe2\x80\x9cwork in "
        "progress./\xe2\x80\x9d";
    uint8_t key[32], ad[12], sealed[sizeof sealed_text / 2], out[sizeof sealed];
    const size_t plain_len = sizeof plain - 1;

    (void)state;
    assert_int_equal(plain_len + CIPHER_TAG_BYTES, sizeof sealed);
    assert_int_equal(hex_decode(key_text, key, sizeof key), 0);
    assert_int_equal(hex_decode(ad_text, ad, sizeof ad), 0);
    assert_int_equal(hex_decode(sealed_text, sealed, sizeof sealed), 0);
    for (int k = 0; k < KINDS_N; k++) {
        const struct kith_bytes parts[2] = {{plain, 100}, {plain + 100, plain_len - 100}};
        struct cipher cipher;

        if (!cipher_has(kinds[k]))
            continue;
        assert_int_equal(cipher_init(&cipher, kinds[k], key), 0);
        assert_int_equal(cipher_seal(&cipher, out, parts, 2, UINT64_C(0x0807060504030201),
                                     (struct kith_bytes){ad, sizeof ad}),
                         0);
        assert_memory_equal(out, sealed, sizeof sealed);
        assert_int_equal(cipher_open(&cipher, out, out, sizeof sealed, UINT64_C(0x0807060504030201),
                                     (struct kith_bytes){ad, sizeof ad}),
                         0);
        assert_memory_equal(out, plain, plain_len);
        cipher_deinit(&cipher);
    }
}

/* Sizes around a block, the borders of small records and of the automatic choice, a full record. */
static size_t size_at(struct rng *rng, int step)
{
    static const size_t edges[] = {0,   1,   15,   16,   17,   63,    64,   65,  127,
                                   128, 129, 191,  192,  193,  255,   256,  257, 447,
                                   448, 449, 1023, 1024, 1025, 61440, 65519};

    if (step < (int)(sizeof edges / sizeof *edges))
        return edges[step];
    return rng_below(rng, step % 8 == 0 ? BYTES_MAX : step % 8 < 5 ? 600 : 2000);
}

/* Cuts @len bytes at random into parts. */
static size_t cut(struct rng *rng, const uint8_t *data, size_t len, struct kith_bytes parts[5])
{
    size_t n = 1 + rng_below(rng, 5), at = 0;

    for (size_t i = 0; i < n; i++) {
        size_t take = i == n - 1 ? len - at : rng_below(rng, len - at + 1);

        parts[i] = (struct kith_bytes){take > 0 ? data + at : NULL, take};
        at += take;
    }
    return n;
}

static void back_ends_agree_on_random_input(void **state)
{
    struct rng rng = test_rng();
    uint8_t *plain = malloc(BYTES_MAX), *sealed[KINDS_N], *back = malloc(BYTES_MAX + 16);
    uint8_t key[32], ad[40];
    struct cipher cipher[KINDS_N];

    (void)state;
    random_bytes(&rng, key, sizeof key);
    for (int k = 0; k < KINDS_N; k++) {
        sealed[k] = malloc(BYTES_MAX + 16);
        if (cipher_has(kinds[k]))
            assert_int_equal(cipher_init(&cipher[k], kinds[k], key), 0);
    }
    for (int step = 0; step < 800; step++) {
        size_t len = size_at(&rng, step);
        /* Records have none, and small ones without go another way. */
        struct kith_bytes of_ad = {ad, step % 2 == 0 ? 0 : rng_below(&rng, sizeof ad + 1)};
        uint64_t nonce = step % 10 == 0 ? UINT64_MAX - 1 : rng_u64(&rng);
        size_t peek = len < 64 ? len : 64;
        struct kith_bytes parts[5];
        size_t parts_n;

        random_bytes(&rng, plain, len < 3000 ? len : 3000);
        random_bytes(&rng, ad, sizeof ad);
        parts_n = cut(&rng, plain, len, parts);
        for (int k = 0; k < KINDS_N; k++) {
            if (!cipher_has(kinds[k]))
                continue;
            assert_int_equal(cipher_seal(&cipher[k], sealed[k], parts, parts_n, nonce, of_ad), 0);
            assert_memory_equal(sealed[k], sealed[0], len + 16);
            cipher_peek(&cipher[k], back, sealed[k], peek, nonce);
            assert_memory_equal(back, plain, peek);
            assert_int_equal(cipher_open(&cipher[k], back, sealed[k], len + 16, nonce, of_ad), 0);
            assert_memory_equal(back, plain, len);
            /* In place, both ways. */
            memcpy(back, plain, len);
            parts[0] = (struct kith_bytes){back, len};
            assert_int_equal(cipher_seal(&cipher[k], back, parts, 1, nonce, of_ad), 0);
            assert_memory_equal(back, sealed[0], len + 16);
            assert_int_equal(cipher_open(&cipher[k], back, back, len + 16, nonce, of_ad), 0);
            assert_memory_equal(back, plain, len);
            parts_n = cut(&rng, plain, len, parts);
        }
    }
    for (int k = 0; k < KINDS_N; k++) {
        if (cipher_has(kinds[k]))
            cipher_deinit(&cipher[k]);
        free(sealed[k]);
    }
    free(plain);
    free(back);
}

static void changed_bytes_are_refused(void **state)
{
    struct rng rng = test_rng();
    uint8_t key[32], plain[1200], sealed[1216], back[1216], ad[8] = {1};

    (void)state;
    random_bytes(&rng, key, sizeof key);
    random_bytes(&rng, plain, sizeof plain);
    for (int k = 0; k < KINDS_N; k++) {
        const struct kith_bytes part = {plain, sizeof plain}, of_ad = {ad, sizeof ad};
        struct cipher cipher;

        if (!cipher_has(kinds[k]))
            continue;
        assert_int_equal(cipher_init(&cipher, kinds[k], key), 0);
        assert_int_equal(cipher_seal(&cipher, sealed, &part, 1, 7, of_ad), 0);
        for (size_t i = 0; i < sizeof sealed; i++) {
            uint8_t bit = (uint8_t)(1 << rng_below(&rng, 8));

            sealed[i] ^= bit;
            assert_int_equal(cipher_open(&cipher, back, sealed, sizeof sealed, 7, of_ad),
                             KITH_E_CORRUPT);
            sealed[i] ^= bit;
        }
        for (size_t len = 0; len < sizeof sealed; len += 13)
            assert_int_equal(cipher_open(&cipher, back, sealed, len, 7, of_ad), KITH_E_CORRUPT);
        assert_int_equal(cipher_open(&cipher, back, sealed, sizeof sealed, 8, of_ad),
                         KITH_E_CORRUPT);
        assert_int_equal(cipher_open(&cipher, back, sealed, sizeof sealed, 7, no_ad),
                         KITH_E_CORRUPT);
        assert_int_equal(cipher_open(&cipher, back, sealed, sizeof sealed, 7, of_ad), 0);
        cipher_deinit(&cipher);
    }
}

/* Records have no additional data, and libsodium's back end puts small ones together itself. */
static void small_records_are_what_libsodium_makes_and_refuse_changes(void **state)
{
    struct rng rng = test_rng();
    uint8_t key[32], plain[460], want[476], sealed[476], back[476], iv[12] = {0};
    struct cipher cipher;

    (void)state;
    random_bytes(&rng, key, sizeof key);
    random_bytes(&rng, plain, sizeof plain);
    assert_int_equal(cipher_init(&cipher, CIPHER_SODIUM, key), 0);
    for (size_t len = 0; len <= sizeof plain; len++) {
        const struct kith_bytes part = {plain, len};

        put_le64(iv + 4, len);
        crypto_aead_chacha20poly1305_ietf_encrypt(want, NULL, plain, len, NULL, 0, NULL, iv, key);
        assert_int_equal(cipher_seal(&cipher, sealed, &part, 1, len, no_ad), 0);
        assert_memory_equal(sealed, want, len + 16);
        for (size_t i = 0; i < len + 16; i++) {
            uint8_t bit = (uint8_t)(1 << rng_below(&rng, 8));

            sealed[i] ^= bit;
            assert_int_equal(cipher_open(&cipher, back, sealed, len + 16, len, no_ad),
                             KITH_E_CORRUPT);
            sealed[i] ^= bit;
        }
        assert_int_equal(cipher_open(&cipher, back, sealed, len + 16, len + 1, no_ad),
                         KITH_E_CORRUPT);
        assert_int_equal(cipher_open(&cipher, back, sealed, len + 16, len, no_ad), 0);
        assert_memory_equal(back, plain, len);
    }
    cipher_deinit(&cipher);
}

/* Noise: REKEY(k) is the first 32 bytes of ENCRYPT(k, 2^64 - 1, "", 32 zero bytes). */
static void rekey_follows_noise(void **state)
{
    struct rng rng = test_rng();
    uint8_t key[32], zeros[32] = {0}, want[48], iv[12];

    (void)state;
    random_bytes(&rng, key, sizeof key);
    memset(iv, 0, 4);
    memset(iv + 4, 0xff, 8);
    crypto_aead_chacha20poly1305_ietf_encrypt(want, NULL, zeros, 32, NULL, 0, NULL, iv, key);
    for (int k = 0; k < KINDS_N; k++) {
        uint8_t sealed[2000 + 16], back[2000 + 16];
        const struct kith_bytes part = {back, 2000};
        struct cipher rekeyed, fresh;

        if (!cipher_has(kinds[k]))
            continue;
        memset(back, 5, sizeof back);
        assert_int_equal(cipher_init(&rekeyed, kinds[k], key), 0);
        assert_int_equal(cipher_seal(&rekeyed, sealed, &part, 1, 1, no_ad),
                         0); /* has a context now */
        cipher_rekey(&rekeyed);
        assert_memory_equal(rekeyed.key, want, 32);
        assert_int_equal(cipher_init(&fresh, CIPHER_SODIUM, want), 0);
        assert_int_equal(cipher_seal(&rekeyed, sealed, &part, 1, 2, no_ad), 0);
        assert_int_equal(cipher_open(&fresh, back, sealed, sizeof sealed, 2, no_ad), 0);
        cipher_deinit(&rekeyed);
        cipher_deinit(&fresh);
        cipher_deinit(&fresh); /* twice is fine */
    }
}

static void automatic_choice_goes_by_size_and_use(void **state)
{
    uint8_t key[32] = {1}, text[2048] = {0}, sealed[2048 + 16];
    struct kith_bytes part = {text, CIPHER_AUTO_BYTES};
    struct cipher cipher;

    (void)state;
    if (!cipher_has(CIPHER_OPENSSL)) {
        assert_int_equal(cipher_init(&cipher, CIPHER_OPENSSL, key), KITH_E_UNSUPPORTED);
        return; /* nothing to choose from */
    }
    assert_int_equal(cipher_init(&cipher, CIPHER_AUTO, key), 0);
    assert_string_equal(cipher_name(&cipher), "auto");
    assert_int_equal(cipher_seal(&cipher, sealed, &part, 1, 0, no_ad), 0);
    assert_null(cipher.seal_ctx); /* libsodium did it, and nothing was made for libcrypto */
    part.len = sizeof(text);
    uint64_t nonce = 1;
    for (size_t bytes = 0; bytes < CIPHER_COLD_BYTES; bytes += part.len) {
        assert_int_equal(cipher_seal(&cipher, sealed, &part, 1, nonce++, no_ad), 0);
        assert_null(cipher.seal_ctx); /* too few large ones yet */
    }
    part.len = CIPHER_AUTO_BYTES;
    assert_int_equal(cipher_seal(&cipher, sealed, &part, 1, nonce++, no_ad), 0);
    assert_null(cipher.seal_ctx);
    part.len++;
    assert_int_equal(cipher_seal(&cipher, sealed, &part, 1, nonce, no_ad), 0);
    assert_non_null(cipher.seal_ctx);
    cipher_deinit(&cipher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_8439_key_and_text_give_its_bytes),
        cmocka_unit_test(back_ends_agree_on_random_input),
        cmocka_unit_test(changed_bytes_are_refused),
        cmocka_unit_test(small_records_are_what_libsodium_makes_and_refuse_changes),
        cmocka_unit_test(rekey_follows_noise),
        cmocka_unit_test(automatic_choice_goes_by_size_and_use),
    };
    return run_net_tests("net_cipher", tests);
}
