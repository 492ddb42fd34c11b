/*
 * Keys: known answers, and that each derived key depends on what it should and on nothing else.
 */
#include "net/identity.h"

#include "core/bytes.h"
#include "net_testing.h"

static void rfc_8032_seed_gives_its_key(void **state)
{
    /* RFC 8032 7.1, test 1; the X25519 pair and the id follow from it and are pinned here. */
    static const char seed_text[] =
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    static const char pk_text[] =
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    struct net_identity identity;
    uint8_t seed[32], pk[32], id[64];

    (void)state;
    assert_int_equal(hex_decode(seed_text, seed, 32), 0);
    assert_int_equal(hex_decode(pk_text, pk, 32), 0);
    assert_int_equal(net_identity_from_seed(&identity, seed), 0);
    assert_memory_equal(identity.sign_pk, pk, 32);
    assert_memory_equal(identity.sign_sk, seed, 32);
    crypto_generichash_blake2b(id, 16, pk, 32, NULL, 0);
    assert_memory_equal(identity.id.bytes, id, 16);
}

static void dh_pair_belongs_to_the_signing_key(void **state)
{
    struct rng rng = test_rng();

    (void)state;
    for (int i = 0; i < 50; i++) {
        struct net_identity identity = random_identity(&rng);
        struct kith_node_id id = net_node_id_of(identity.sign_pk);
        uint8_t pk[32];

        assert_int_equal(crypto_scalarmult_curve25519_base(pk, identity.dh_sk), 0);
        assert_memory_equal(pk, identity.dh_pk, 32);
        assert_int_equal(net_dh_pk_of(identity.sign_pk, pk), 0);
        assert_memory_equal(pk, identity.dh_pk, 32);
        assert_true(kith_node_id_equal(&id, &identity.id));
    }
}

static void keys_that_are_none_are_refused(void **state)
{
    struct rng rng = test_rng();
    uint8_t pk[32] = {0}, out[32];
    unsigned refused = 0;

    (void)state;
    assert_int_equal(net_dh_pk_of(pk, out), KITH_E_CORRUPT); /* small order */
    pk[0] = 1;
    assert_int_equal(net_dh_pk_of(pk, out), KITH_E_CORRUPT); /* the neutral element */
    for (int i = 0; i < 200; i++) {
        random_bytes(&rng, pk, sizeof pk);
        refused += net_dh_pk_of(pk, out) != 0;
    }
    assert_true(refused > 50); /* half of all strings are no point at all */
}

static void derived_keys_depend_on_their_sources(void **state)
{
    struct rng rng = test_rng();
    struct net_cluster cluster = random_cluster(&rng), other;
    struct net_cluster_keys a, b;

    (void)state;
    net_cluster_derive(&cluster, &a);
    other = cluster;
    net_cluster_derive(&other, &b);
    assert_memory_equal(&a, &b, sizeof a);
    other.secret[0] ^= 1;
    net_cluster_derive(&other, &b);
    assert_memory_equal(a.preamble_hint, b.preamble_hint, NET_HINT_BYTES);
    assert_memory_not_equal(a.preamble_mac, b.preamble_mac, 32);
    assert_memory_not_equal(a.dgram_hint, b.dgram_hint, 32);
    other = cluster;
    other.id.bytes[0] ^= 1;
    net_cluster_derive(&other, &b);
    assert_memory_not_equal(a.preamble_hint, b.preamble_hint, NET_HINT_BYTES);
    assert_memory_not_equal(a.preamble_mac, b.preamble_mac, 32);
    assert_memory_not_equal(a.dgram_hint, b.dgram_hint, 32);
    assert_memory_not_equal(a.preamble_mac, a.dgram_hint, 32);
}

static void wiping_leaves_nothing(void **state)
{
    static const struct net_identity none;
    static const struct net_cluster no_cluster;
    struct rng rng = test_rng();
    struct net_identity identity = random_identity(&rng);
    struct net_cluster cluster = random_cluster(&rng);

    (void)state;
    net_identity_wipe(&identity);
    net_cluster_wipe(&cluster);
    assert_memory_equal(&identity, &none, sizeof none);
    assert_memory_equal(&cluster, &no_cluster, sizeof no_cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_8032_seed_gives_its_key),
        cmocka_unit_test(dh_pair_belongs_to_the_signing_key),
        cmocka_unit_test(keys_that_are_none_are_refused),
        cmocka_unit_test(derived_keys_depend_on_their_sources),
        cmocka_unit_test(wiping_leaves_nothing),
    };
    return run_net_tests("net_identity", tests);
}
