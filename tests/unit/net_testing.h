/*
 * What the tests of src/net share: random bytes from a seed, identities, clusters, and a pair of
 * finished handshakes.
 */
#ifndef TESTS_UNIT_NET_TESTING_H
#define TESTS_UNIT_NET_TESTING_H

#include <sodium.h>

#include "kith/error.h"
#include "lib/test.h"
#include "net/identity.h"

static inline void random_bytes(struct rng *rng, void *out, size_t len)
{
    uint8_t *p = out;

    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)rng_u64(rng);
}

static inline struct net_identity random_identity(struct rng *rng)
{
    struct net_identity identity;
    uint8_t seed[NET_SEED_BYTES];

    random_bytes(rng, seed, sizeof seed);
    assert_int_equal(net_identity_from_seed(&identity, seed), 0);
    return identity;
}

static inline struct net_cluster random_cluster(struct rng *rng)
{
    struct net_cluster cluster;

    random_bytes(rng, &cluster, sizeof cluster);
    return cluster;
}

static inline int start_sodium(void **state)
{
    (void)state;
    return sodium_init() < 0 ? -1 : 0;
}

#define run_net_tests(name, tests) cmocka_run_group_tests_name(name, tests, start_sodium, NULL)

#endif
