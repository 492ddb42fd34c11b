/*
 * Records at every limit, changed, cut, out of order, with an exhausted counter, and across rekeys.
 */
#include "net/record.h"

#include "core/bytes.h"
#include "kith/error.h"
#include "net_testing.h"

static uint8_t key[32];

struct ends {
    struct record_out out;
    struct record_in in;
};

static void ends_init(struct ends *ends, enum cipher_kind out_kind, enum cipher_kind in_kind)
{
    struct rng rng = test_rng();

    random_bytes(&rng, key, sizeof key);
    assert_int_equal(record_out_init(&ends->out, out_kind, key, 1000), 0);
    assert_int_equal(record_in_init(&ends->in, in_kind, key), 0);
}

static void ends_deinit(struct ends *ends)
{
    record_out_deinit(&ends->out);
    record_in_deinit(&ends->in);
    record_in_deinit(&ends->in);
}

static enum cipher_kind other_kind(void)
{
    return cipher_has(CIPHER_OPENSSL) ? CIPHER_OPENSSL : CIPHER_SODIUM;
}

static void records_of_every_kind_of_size_arrive(void **state)
{
    static uint8_t plain[NET_RECORD_PLAIN_BYTES_MAX + 1], wire[RECORD_WIRE_BYTES_MAX], back[65536];
    static const size_t sizes[] = {
        1, 2, 64, 1024, 1025, NET_RECORD_FILL_BYTES, NET_RECORD_PLAIN_BYTES_MAX};
    struct rng rng = test_rng();
    struct ends ends;
    size_t len, wire_len;

    (void)state;
    random_bytes(&rng, plain, sizeof plain);
    ends_init(&ends, other_kind(), CIPHER_SODIUM);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct kith_bytes part = {plain, sizes[i]};

        assert_int_equal(record_seal(&ends.out, &part, 1, wire, sizeof wire, &len), 0);
        assert_int_equal(len, sizes[i] + RECORD_OVERHEAD_BYTES);
        assert_int_equal(record_wire_len(wire, len, &wire_len), 0);
        assert_int_equal(wire_len, len);
        record_peek(&ends.in, wire, back, sizes[i] < 64 ? sizes[i] : 64);
        assert_memory_equal(back, plain, sizes[i] < 64 ? sizes[i] : 64);
        if (i % 2 == 0) { /* in place, and elsewhere */
            assert_int_equal(record_open(&ends.in, wire, len, wire + RECORD_HEAD_BYTES), 0);
            assert_memory_equal(wire + RECORD_HEAD_BYTES, plain, sizes[i]);
        } else {
            assert_int_equal(record_open(&ends.in, wire, len, back), 0);
            assert_memory_equal(back, plain, sizes[i]);
        }
    }
    ends_deinit(&ends);
}

static void plaintext_beyond_the_limit_is_refused(void **state)
{
    static uint8_t plain[NET_RECORD_PLAIN_BYTES_MAX + 1], wire[RECORD_WIRE_BYTES_MAX + 8];
    struct kith_bytes part = {plain, sizeof plain};
    struct ends ends;
    size_t len;

    (void)state;
    ends_init(&ends, CIPHER_AUTO, CIPHER_AUTO);
    assert_int_equal(record_seal(&ends.out, &part, 1, wire, sizeof wire, &len), KITH_E_TOO_LARGE);
    part.len = 100;
    assert_int_equal(record_seal(&ends.out, &part, 1, wire, 117, &len), KITH_E_TOO_LARGE);
    assert_int_equal(record_seal(&ends.out, &part, 1, wire, 118, &len), 0);
    assert_int_equal(ends.out.counter, 1); /* what was refused took no number */
    ends_deinit(&ends);
}

static void impossible_lengths_are_refused(void **state)
{
    uint8_t wire[2];
    size_t len;

    (void)state;
    for (unsigned n = 0; n <= 65535; n++) {
        put_le16(wire, (uint16_t)n);
        assert_int_equal(record_wire_len(wire, 0, &len), 0);
        assert_int_equal(len, 0);
        assert_int_equal(record_wire_len(wire, 1, &len), 0);
        assert_int_equal(len, 0);
        assert_int_equal(record_wire_len(wire, 2, &len), n <= 16 ? KITH_E_PARSE : 0);
        assert_int_equal(len, n <= 16 ? 0 : n + 2);
    }
}

static void changed_repeated_or_skipped_record_is_refused(void **state)
{
    uint8_t wire[3][200], back[200];
    size_t len = 0;
    struct ends ends;

    (void)state;
    ends_init(&ends, CIPHER_SODIUM, other_kind());
    for (int i = 0; i < 3; i++) {
        struct kith_bytes part = {"some plain text", 15};

        assert_int_equal(record_seal(&ends.out, &part, 1, wire[i], sizeof wire[i], &len), 0);
    }
    for (size_t i = RECORD_HEAD_BYTES; i < len; i++) {
        wire[0][i] ^= 0x10;
        assert_int_equal(record_open(&ends.in, wire[0], len, back), KITH_E_CORRUPT);
        wire[0][i] ^= 0x10;
    }
    for (size_t cut = RECORD_OVERHEAD_BYTES + 1; cut < len; cut++)
        assert_int_equal(record_open(&ends.in, wire[0], cut, back), KITH_E_CORRUPT);
    assert_int_equal(record_open(&ends.in, wire[1], len, back), KITH_E_CORRUPT); /* skipped one */
    assert_int_equal(record_open(&ends.in, wire[0], len, back), 0);
    assert_int_equal(record_open(&ends.in, wire[0], len, back), KITH_E_CORRUPT); /* repeated */
    assert_int_equal(record_open(&ends.in, wire[1], len, back), 0);
    assert_int_equal(record_open(&ends.in, wire[2], len, back), 0);
    ends_deinit(&ends);
}

static void exhausted_counter_ends_the_stream(void **state)
{
    struct kith_bytes part = {"x", 1};
    uint8_t wire[64], back[64];
    struct ends ends;
    size_t len;

    (void)state;
    ends_init(&ends, CIPHER_SODIUM, CIPHER_SODIUM);
    ends.out.counter = UINT64_MAX - 1;
    ends.in.counter = UINT64_MAX - 1;
    assert_int_equal(record_seal(&ends.out, &part, 1, wire, sizeof wire, &len), 0);
    assert_int_equal(record_open(&ends.in, wire, len, back), 0);
    assert_int_equal(record_seal(&ends.out, &part, 1, wire, sizeof wire, &len), KITH_E_LIMIT);
    assert_int_equal(record_open(&ends.in, wire, len, back), KITH_E_LIMIT);
    ends_deinit(&ends);
}

static void rekey_is_due_by_time_or_bytes(void **state)
{
    struct ends ends;

    (void)state;
    ends_init(&ends, CIPHER_SODIUM, CIPHER_SODIUM);
    assert_false(record_rekey_due(&ends.out, 1000));
    assert_false(record_rekey_due(&ends.out, 1000 + NET_REKEY_MS - 1));
    assert_true(record_rekey_due(&ends.out, 1000 + NET_REKEY_MS));
    record_out_rekey(&ends.out, 1000 + NET_REKEY_MS);
    assert_false(record_rekey_due(&ends.out, 1000 + NET_REKEY_MS));
    ends.out.key_bytes = NET_REKEY_BYTES - 1;
    assert_false(record_rekey_due(&ends.out, 1000 + NET_REKEY_MS));
    ends.out.key_bytes = NET_REKEY_BYTES;
    assert_true(record_rekey_due(&ends.out, 1000 + NET_REKEY_MS));
    ends_deinit(&ends);
}

static void both_sides_rekey_together_and_only_together(void **state)
{
    struct kith_bytes part = {"after", 5};
    uint8_t wire[64], back[64];
    struct ends ends;
    size_t len;

    (void)state;
    ends_init(&ends, other_kind(), CIPHER_SODIUM);
    for (int i = 0; i < 5; i++) {
        uint8_t old[32];

        memcpy(old, ends.out.cipher.key, 32);
        record_out_rekey(&ends.out, 0);
        assert_memory_not_equal(old, ends.out.cipher.key, 32);
        assert_int_equal(record_seal(&ends.out, &part, 1, wire, sizeof wire, &len), 0);
        assert_int_equal(record_open(&ends.in, wire, len, back), KITH_E_CORRUPT);
        record_in_rekey(&ends.in);
        assert_int_equal(record_open(&ends.in, wire, len, back), 0);
        assert_memory_equal(back, "after", 5);
        assert_int_equal(ends.in.counter, i + 1); /* the counter goes on */
    }
    ends_deinit(&ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_of_every_kind_of_size_arrive),
        cmocka_unit_test(plaintext_beyond_the_limit_is_refused),
        cmocka_unit_test(impossible_lengths_are_refused),
        cmocka_unit_test(changed_repeated_or_skipped_record_is_refused),
        cmocka_unit_test(exhausted_counter_ends_the_stream),
        cmocka_unit_test(rekey_is_due_by_time_or_bytes),
        cmocka_unit_test(both_sides_rekey_together_and_only_together),
    };
    return run_net_tests("net_record", tests);
}
