/*
 * The preamble: who is served, who gets which refusal, and that each byte counts.
 */
#include "net/preamble.h"

#include "net_testing.h"

struct fixture {
    struct net_cluster cluster;
    struct net_cluster_keys keys;
    uint8_t e_pk[32];
    uint8_t bytes[PREAMBLE_BYTES];
};

static struct fixture make(void)
{
    struct rng rng = test_rng();
    struct fixture f;

    f.cluster = random_cluster(&rng);
    net_cluster_derive(&f.cluster, &f.keys);
    random_bytes(&rng, f.e_pk, sizeof f.e_pk);
    preamble_encode(&f.keys, f.e_pk, f.bytes);
    return f;
}

static int check_bytes(const struct fixture *f, const uint8_t *bytes, const uint8_t *e_pk)
{
    struct preamble preamble;
    int r = preamble_decode(bytes, PREAMBLE_BYTES, &preamble);

    return r != 0 ? r : preamble_check(&preamble, &f->keys, e_pk);
}

static void own_preamble_is_served(void **state)
{
    struct fixture f = make();
    struct preamble preamble;

    (void)state;
    assert_int_equal(check_bytes(&f, f.bytes, f.e_pk), 0);
    assert_int_equal(check_bytes(&f, f.bytes, NULL), 0);
    assert_int_equal(preamble_decode(f.bytes, PREAMBLE_BYTES, &preamble), 0);
    assert_int_equal(preamble.version_min, NET_VERSION_MIN);
    assert_int_equal(preamble.version_max, NET_VERSION_MAX);
}

static void every_prefix_asks_for_more(void **state)
{
    struct fixture f = make();
    struct preamble preamble;

    (void)state;
    for (size_t len = 0; len < PREAMBLE_BYTES; len++)
        assert_int_equal(preamble_decode(f.bytes, len, &preamble), KITH_E_AGAIN);
}

static void garbage_is_told_at_its_first_byte(void **state)
{
    static const char *const others[] = {"GET / HTTP/1.1\r\n", "SSH-2.0-x\r\n", "\x16\x03\x01",
                                         "\x89PNG\r\n"};
    struct fixture f = make();
    struct preamble preamble;

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(preamble_decode((const uint8_t *)others[i], strlen(others[i]), &preamble),
                         KITH_E_PARSE);
    for (size_t i = 0; i < 6; i++) {
        f.bytes[i] ^= 1;
        assert_int_equal(preamble_decode(f.bytes, i + 1, &preamble), KITH_E_PARSE);
        f.bytes[i] ^= 1;
    }
}

static void impossible_version_range_is_garbage(void **state)
{
    struct fixture f = make();
    struct preamble preamble;

    (void)state;
    f.bytes[6] = 0;
    assert_int_equal(preamble_decode(f.bytes, 7, &preamble), KITH_E_PARSE);
    f.bytes[6] = 4;
    f.bytes[7] = 3;
    assert_int_equal(preamble_decode(f.bytes, 8, &preamble), KITH_E_PARSE);
}

static void versions_out_of_reach_are_refused(void **state)
{
    struct fixture f = make();

    (void)state;
    f.bytes[6] = NET_VERSION_MAX + 1;
    f.bytes[7] = 255;
    assert_int_equal(check_bytes(&f, f.bytes, f.e_pk), KITH_E_VERSION);
    assert_int_equal(check_bytes(&f, f.bytes, NULL), KITH_E_VERSION); /* before message 1 came */
    f.bytes[6] = NET_VERSION_MAX; /* a wider range overlaps; only its MAC is now not right */
    assert_int_equal(check_bytes(&f, f.bytes, NULL), 0);
    assert_int_equal(check_bytes(&f, f.bytes, f.e_pk), KITH_E_SECRET);
}

static void other_cluster_and_other_secret_are_told_apart(void **state)
{
    struct fixture f = make();
    struct net_cluster_keys keys;
    struct net_cluster other = f.cluster;
    uint8_t bytes[PREAMBLE_BYTES];

    (void)state;
    other.id.bytes[3] ^= 1;
    net_cluster_derive(&other, &keys);
    preamble_encode(&keys, f.e_pk, bytes);
    assert_int_equal(check_bytes(&f, bytes, f.e_pk), KITH_E_OTHER_CLUSTER);
    assert_int_equal(check_bytes(&f, bytes, NULL), KITH_E_OTHER_CLUSTER);

    other = f.cluster;
    other.secret[31] ^= 0x80;
    net_cluster_derive(&other, &keys);
    preamble_encode(&keys, f.e_pk, bytes);
    assert_int_equal(check_bytes(&f, bytes, NULL), 0);
    assert_int_equal(check_bytes(&f, bytes, f.e_pk), KITH_E_SECRET);
}

static void every_bit_counts(void **state)
{
    struct fixture f = make();

    (void)state;
    for (size_t bit = 0; bit < 8 * PREAMBLE_BYTES; bit++) {
        f.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(check_bytes(&f, f.bytes, f.e_pk), 0);
        f.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * 32; bit++) { /* the MAC is of this message 1 only */
        f.e_pk[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(check_bytes(&f, f.bytes, f.e_pk), KITH_E_SECRET);
        f.e_pk[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void hint_does_not_tell_the_cluster_id(void **state)
{
    struct fixture f = make();

    (void)state;
    for (size_t i = 0; i + NET_HINT_BYTES <= NET_CLUSTER_ID_BYTES; i++)
        assert_memory_not_equal(f.keys.preamble_hint, f.cluster.id.bytes + i, NET_HINT_BYTES);
}

static void refusal_bytes_map_both_ways(void **state)
{
    static const int codes[] = {KITH_E_VERSION, KITH_E_OTHER_CLUSTER, KITH_E_SECRET};
    unsigned known = 0;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_not_equal(preamble_refusal_of(codes[i]), 0);
        assert_int_equal(preamble_refusal_code(preamble_refusal_of(codes[i])), codes[i]);
    }
    assert_int_equal(preamble_refusal_of(KITH_E_PARSE), 0);
    assert_int_equal(preamble_refusal_of(0), 0);
    for (unsigned byte = 0; byte < 256; byte++)
        known += preamble_refusal_code((uint8_t)byte) != KITH_E_PARSE;
    assert_int_equal(known, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_preamble_is_served),
        cmocka_unit_test(every_prefix_asks_for_more),
        cmocka_unit_test(garbage_is_told_at_its_first_byte),
        cmocka_unit_test(impossible_version_range_is_garbage),
        cmocka_unit_test(versions_out_of_reach_are_refused),
        cmocka_unit_test(other_cluster_and_other_secret_are_told_apart),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(hint_does_not_tell_the_cluster_id),
        cmocka_unit_test(refusal_bytes_map_both_ways),
    };
    return run_net_tests("net_preamble", tests);
}
