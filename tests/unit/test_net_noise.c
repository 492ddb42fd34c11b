/*
 * Noise against the published vectors (all six patterns drive the same token machine), and against
 * whoever changes, cuts or mixes up its messages.
 */
#include "net/noise.h"

#include <jansson.h>

#include "core/bytes.h"
#include "net/cipher.h"
#include "net_testing.h"

/* ---- vectors ---- */

static const struct noise_pattern patterns[] = {
    {
        .protocol_name = "Noise_KK_25519_ChaChaPoly_BLAKE2b",
        .knows_initiator = true,
        .knows_responder = true,
        .tokens = {{NOISE_E, NOISE_ES, NOISE_SS}, {NOISE_E, NOISE_EE, NOISE_SE}},
    },
    {
        .protocol_name = "Noise_IK_25519_ChaChaPoly_BLAKE2b",
        .knows_responder = true,
        .tokens = {{NOISE_E, NOISE_ES, NOISE_S, NOISE_SS}, {NOISE_E, NOISE_EE, NOISE_SE}},
    },
    {
        .protocol_name = "Noise_XX_25519_ChaChaPoly_BLAKE2b",
        .tokens = {{NOISE_E}, {NOISE_E, NOISE_EE, NOISE_S, NOISE_ES}, {NOISE_S, NOISE_SE}},
    },
    {
        .protocol_name = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2b",
        .psk = true,
        .tokens = {{NOISE_PSK, NOISE_E}, {NOISE_E, NOISE_EE}},
    },
    {
        .protocol_name = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b",
        .psk = true,
        .knows_responder = true,
        .tokens = {{NOISE_E, NOISE_ES, NOISE_S, NOISE_SS},
                   {NOISE_E, NOISE_EE, NOISE_SE, NOISE_PSK}},
    },
};

static const struct noise_pattern *pattern_named(const char *name)
{
    if (strcmp(name, noise_xxpsk3.protocol_name) == 0)
        return &noise_xxpsk3;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (strcmp(name, patterns[i].protocol_name) == 0)
            return &patterns[i];
    return NULL;
}

/* Hex of member @name, or NULL; into @out. */
static const uint8_t *hex_of(const json_t *object, const char *name, struct buf *out)
{
    const json_t *value = json_object_get(object, name);
    const char *text;

    if (json_is_array(value)) /* psks */
        value = json_array_get(value, 0);
    text = json_string_value(value);
    if (text == NULL)
        return NULL;
    out->len = 0;
    assert_int_equal(buf_reserve(out, strlen(text) / 2 + 1), 0);
    assert_int_equal(hex_decode(text, out->data, strlen(text) / 2), 0);
    out->len = strlen(text) / 2;
    return out->data;
}

struct side {
    struct noise noise;
    struct noise_split split;
    uint64_t sent, received;
};

static void side_init(struct side *side, const json_t *vector, bool initiator)
{
    const char *own = initiator ? "init" : "resp";
    struct buf fields[5] = {{0}}, prologue = {0};
    char name[5][32];
    struct noise_keys keys;
    const char *suffix[5] = {"static", "ephemeral", "remote_static", "psks", "prologue"};

    memset(side, 0, sizeof *side);
    for (int i = 0; i < 5; i++)
        (void)snprintf(name[i], sizeof name[i], "%s_%s", own, suffix[i]);
    keys = (struct noise_keys){
        .static_sk = hex_of(vector, name[0], &fields[0]),
        .ephemeral_sk = hex_of(vector, name[1], &fields[1]),
        .remote_pk = hex_of(vector, name[2], &fields[2]),
        .psk = hex_of(vector, name[3], &fields[3]),
    };
    hex_of(vector, name[4], &prologue);
    assert_int_equal(
        noise_init(&side->noise,
                   pattern_named(json_string_value(json_object_get(vector, "protocol_name"))),
                   initiator, &keys, (struct kith_bytes){prologue.data, prologue.len}),
        0);
    for (int i = 0; i < 5; i++)
        buf_deinit(&fields[i]);
    buf_deinit(&prologue);
}

static void handshake_message(struct side *from,
                              struct side *to,
                              const struct buf *payload,
                              const struct buf *want)
{
    uint8_t message[512], back[512];
    size_t len, back_len;

    assert_true(noise_writes_next(&from->noise));
    assert_false(noise_writes_next(&to->noise));
    assert_int_equal(noise_overhead(&from->noise) + payload->len, want->len);
    assert_int_equal(noise_overhead(&to->noise), noise_overhead(&from->noise));
    assert_int_equal(noise_write(&from->noise, (struct kith_bytes){payload->data, payload->len},
                                 message, sizeof message, &len),
                     0);
    assert_int_equal(len, want->len);
    assert_memory_equal(message, want->data, len);
    assert_int_equal(noise_read(&to->noise, message, len, back, sizeof back, &back_len), 0);
    assert_int_equal(back_len, payload->len);
    assert_memory_equal(back, payload->data, back_len);
}

/* With each back end: the vectors prove the record cipher too. */
static void transport_message(struct side *from,
                              struct side *to,
                              const struct buf *payload,
                              const struct buf *want)
{
    static const enum cipher_kind kinds[] = {CIPHER_SODIUM, CIPHER_OPENSSL, CIPHER_AUTO};
    struct kith_bytes part = {payload->data, payload->len};
    uint8_t message[512], back[512];

    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct cipher seal, open;

        if (!cipher_has(kinds[k]))
            continue;
        assert_int_equal(cipher_init(&seal, kinds[k], from->split.send_key), 0);
        assert_int_equal(cipher_init(&open, kinds[k], to->split.recv_key), 0);
        assert_int_equal(cipher_seal(&seal, message, &part, 1, from->sent, (struct kith_bytes){0}),
                         0);
        assert_int_equal(payload->len + CIPHER_TAG_BYTES, want->len);
        assert_memory_equal(message, want->data, want->len);
        assert_int_equal(
            cipher_open(&open, back, message, want->len, to->received, (struct kith_bytes){0}), 0);
        assert_memory_equal(back, payload->data, payload->len);
        cipher_deinit(&seal);
        cipher_deinit(&open);
    }
    from->sent++;
    to->received++;
}

static void run_vector(const json_t *vector)
{
    const json_t *messages = json_object_get(vector, "messages");
    struct buf payload = {0}, want = {0}, hash = {0};
    struct side sides[2];
    bool split = false;

    side_init(&sides[0], vector, true);
    side_init(&sides[1], vector, false);
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        struct side *from = &sides[i % 2], *to = &sides[1 - i % 2];

        hex_of(message, "payload", &payload);
        hex_of(message, "ciphertext", &want);
        if (!noise_is_done(&from->noise)) {
            handshake_message(from, to, &payload, &want);
            continue;
        }
        if (!split) {
            noise_split(&sides[0].noise, &sides[0].split);
            noise_split(&sides[1].noise, &sides[1].split);
            split = true;
        }
        transport_message(from, to, &payload, &want);
    }
    assert_true(split);
    hex_of(vector, "handshake_hash", &hash);
    assert_int_equal(hash.len, NOISE_HASH_BYTES);
    assert_memory_equal(sides[0].split.hash, hash.data, NOISE_HASH_BYTES);
    assert_memory_equal(sides[1].split.hash, hash.data, NOISE_HASH_BYTES);
    for (int i = 0; i < 2; i++)
        noise_deinit(&sides[i].noise);
    buf_deinit(&payload);
    buf_deinit(&want);
    buf_deinit(&hash);
}

static void published_vectors_are_reproduced(void **state)
{
    const char *dir = getenv("KITH_VECTORS");
    char path[4096];
    json_t *root;
    const json_t *vectors;
    unsigned ours = 0;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/noise.json", dir != NULL ? dir : ".");
    root = json_load_file(path, 0, NULL);
    if (root == NULL)
        test_skip("no noise.json in $KITH_VECTORS: the published vectors were not run");
    vectors = json_object_get(root, "vectors");
    assert_true(json_array_size(vectors) > 0);
    for (size_t i = 0; i < json_array_size(vectors); i++) {
        const json_t *vector = json_array_get(vectors, i);
        const struct noise_pattern *pattern =
            pattern_named(json_string_value(json_object_get(vector, "protocol_name")));

        assert_non_null(pattern);
        ours += pattern == &noise_xxpsk3;
        run_vector(vector);
    }
    assert_true(ours > 0);
    json_decref(root);
}

/* ---- hostile messages ---- */

#define PAYLOAD_BYTES 37

struct pair {
    struct noise side[2]; /* initiator, responder */
    uint8_t message[3][256];
    size_t len[3];
};

static void pair_init(struct pair *pair, struct rng *rng, bool same_psk, bool same_prologue)
{
    uint8_t psk[2][32], sk[2][32], e[2][32];

    random_bytes(rng, psk, sizeof psk);
    random_bytes(rng, sk, sizeof sk);
    random_bytes(rng, e, sizeof e);
    if (same_psk)
        memcpy(psk[1], psk[0], 32);
    for (int i = 0; i < 2; i++) {
        const struct noise_keys keys = {.static_sk = sk[i], .ephemeral_sk = e[i], .psk = psk[i]};

        assert_int_equal(noise_init(&pair->side[i], &noise_xxpsk3, i == 0, &keys,
                                    (struct kith_bytes){i == 0 || same_prologue ? "ab" : "ac", 2}),
                         0);
    }
}

/* Messages before @upto pass untouched. */
static void pass(struct pair *pair, int upto)
{
    static const uint8_t payload[PAYLOAD_BYTES] = {1, 2, 3};
    uint8_t back[256];
    size_t len;

    for (int m = 0; m <= upto && m < 3; m++) {
        assert_int_equal(noise_write(&pair->side[m % 2],
                                     (struct kith_bytes){payload, sizeof payload}, pair->message[m],
                                     sizeof pair->message[m], &pair->len[m]),
                         0);
        if (m == upto)
            break;
        assert_int_equal(noise_read(&pair->side[1 - m % 2], pair->message[m], pair->len[m], back,
                                    sizeof back, &len),
                         0);
    }
}

/* What @m is read as when @len bytes of it come, with bit @bit flipped if not negative. */
static int read_changed(struct rng *rng, int m, size_t cut, int bit)
{
    struct pair pair;
    uint8_t back[256];
    size_t len;
    int r;

    pair_init(&pair, rng, true, true);
    pass(&pair, m);
    if (bit >= 0)
        pair.message[m][bit / 8] ^= (uint8_t)(1 << bit % 8);
    r = noise_read(&pair.side[1 - m % 2], pair.message[m], pair.len[m] - cut, back, sizeof back,
                   &len);
    if (r != 0) {
        /* Dead, and nothing of the secrets is left. */
        for (size_t i = 0; i < sizeof pair.side[1 - m % 2]; i++)
            assert_int_equal(((uint8_t *)&pair.side[1 - m % 2])[i], 0);
    }
    for (int i = 0; i < 2; i++)
        noise_deinit(&pair.side[i]);
    return r;
}

static void changed_or_cut_message_is_refused(void **state)
{
    struct rng rng = test_rng();
    const size_t len[3] = {32 + 16 + PAYLOAD_BYTES, 96 + PAYLOAD_BYTES, 64 + PAYLOAD_BYTES};

    (void)state;
    for (int m = 0; m < 3; m++) {
        assert_int_equal(read_changed(&rng, m, 0, -1), 0);
        for (size_t i = 0; i < len[m]; i++) {
            int bit = (int)(8 * i + rng_below(&rng, 8));

            /* X25519 ignores the top bit of a key; but the key is hashed, so the tag tells. */
            assert_int_equal(read_changed(&rng, m, 0, bit), KITH_E_CORRUPT);
            assert_int_equal(read_changed(&rng, m, i + 1, -1), KITH_E_CORRUPT);
        }
    }
}

static void other_secret_fails_at_message_3(void **state)
{
    struct rng rng = test_rng();
    struct pair pair;
    uint8_t back[256];
    size_t len;

    (void)state;
    pair_init(&pair, &rng, false, true);
    pass(&pair, 2);
    assert_int_equal(
        noise_read(&pair.side[1], pair.message[2], pair.len[2], back, sizeof back, &len),
        KITH_E_CORRUPT);
    noise_deinit(&pair.side[0]);
}

static void other_prologue_fails_at_once(void **state)
{
    struct rng rng = test_rng();
    struct pair pair;
    uint8_t back[256];
    size_t len;

    (void)state;
    pair_init(&pair, &rng, true, false);
    pass(&pair, 0);
    assert_int_equal(
        noise_read(&pair.side[1], pair.message[0], pair.len[0], back, sizeof back, &len),
        KITH_E_CORRUPT);
    noise_deinit(&pair.side[0]);
}

static void degenerate_key_of_the_peer_is_refused(void **state)
{
    struct rng rng = test_rng();
    struct pair pair;
    struct noise_keys keys;
    uint8_t psk[32], sk[32], e[32], message[256], back[256];
    size_t len;

    (void)state;
    /* A responder gets message 1 with e = 0, made by somebody who knows how messages are sealed. */
    random_bytes(&rng, psk, 32);
    random_bytes(&rng, sk, 32);
    random_bytes(&rng, e, 32);
    keys = (struct noise_keys){.static_sk = sk, .ephemeral_sk = e, .psk = psk};
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            noise_init(&pair.side[i], &noise_xxpsk3, i == 0, &keys, (struct kith_bytes){0}), 0);
    memset(pair.side[0].ephemeral_pk, 0, 32);
    assert_int_equal(
        noise_write(&pair.side[0], (struct kith_bytes){0}, message, sizeof message, &len), 0);
    assert_int_equal(noise_read(&pair.side[1], message, len, back, sizeof back, &len), 0);
    assert_int_equal(
        noise_write(&pair.side[1], (struct kith_bytes){0}, message, sizeof message, &len),
        KITH_E_CORRUPT);
    assert_null(pair.side[1].pattern);
    noise_deinit(&pair.side[0]);
}

static void message_that_does_not_fit_leaves_the_handshake_alive(void **state)
{
    static const uint8_t big[NOISE_MESSAGE_BYTES_MAX];
    static uint8_t out[NOISE_MESSAGE_BYTES_MAX + 1], back[NOISE_MESSAGE_BYTES_MAX];
    struct rng rng = test_rng();
    struct pair pair;
    size_t len;

    (void)state;
    pair_init(&pair, &rng, true, true);
    assert_int_equal(noise_write(&pair.side[0], (struct kith_bytes){big, sizeof big - 47}, out,
                                 sizeof out, &len),
                     KITH_E_TOO_LARGE);
    assert_int_equal(noise_write(&pair.side[0], (struct kith_bytes){0}, out, 47, &len),
                     KITH_E_TOO_LARGE);
    assert_int_equal(noise_write(&pair.side[0], (struct kith_bytes){big, sizeof big - 48}, out,
                                 sizeof out, &len),
                     0);
    assert_int_equal(len, NOISE_MESSAGE_BYTES_MAX);
    assert_int_equal(noise_read(&pair.side[1], out, len, back, sizeof back, &len), 0);
    assert_int_equal(len, sizeof big - 48);
    for (int i = 0; i < 2; i++)
        noise_deinit(&pair.side[i]);
}

static void payload_beyond_the_readers_room_is_refused(void **state)
{
    struct rng rng = test_rng();
    struct pair pair;
    uint8_t back[PAYLOAD_BYTES];
    size_t len;

    (void)state;
    pair_init(&pair, &rng, true, true);
    pass(&pair, 0);
    assert_int_equal(
        noise_read(&pair.side[1], pair.message[0], pair.len[0], back, PAYLOAD_BYTES - 1, &len),
        KITH_E_TOO_LARGE);
    noise_deinit(&pair.side[0]);
}

static void missing_keys_are_refused(void **state)
{
    const uint8_t key[32] = {9};
    struct noise noise;
    struct noise_keys keys = {.static_sk = key, .ephemeral_sk = key, .psk = key};

    (void)state;
    keys.psk = NULL;
    assert_int_equal(noise_init(&noise, &noise_xxpsk3, true, &keys, (struct kith_bytes){0}),
                     KITH_E_INVALID);
    keys.psk = key;
    keys.static_sk = NULL;
    assert_int_equal(noise_init(&noise, &noise_xxpsk3, true, &keys, (struct kith_bytes){0}),
                     KITH_E_INVALID);
    keys.static_sk = key;
    keys.ephemeral_sk = NULL;
    assert_int_equal(noise_init(&noise, &noise_xxpsk3, true, &keys, (struct kith_bytes){0}),
                     KITH_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors_are_reproduced),
        cmocka_unit_test(changed_or_cut_message_is_refused),
        cmocka_unit_test(other_secret_fails_at_message_3),
        cmocka_unit_test(other_prologue_fails_at_once),
        cmocka_unit_test(degenerate_key_of_the_peer_is_refused),
        cmocka_unit_test(message_that_does_not_fit_leaves_the_handshake_alive),
        cmocka_unit_test(payload_beyond_the_readers_room_is_refused),
        cmocka_unit_test(missing_keys_are_refused),
    };
    return run_net_tests("net_noise", tests);
}
