/*
 * What the fuzz targets of src/net share: fixed keys, and inputs cut into pieces by their own
 * bytes.
 */
#ifndef TESTS_FUZZ_FUZZ_NET_H
#define TESTS_FUZZ_FUZZ_NET_H

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "net/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* As assert(), in every build. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static inline struct net_identity fuzz_identity(uint8_t number)
{
    struct net_identity identity;
    uint8_t seed[NET_SEED_BYTES] = {number};

    must(net_identity_from_seed(&identity, seed) == 0);
    return identity;
}

static inline struct net_cluster fuzz_cluster(void)
{
    struct net_cluster cluster;

    memset(&cluster, 0x5a, sizeof cluster);
    return cluster;
}

/* A heap copy of just @len bytes, so that a read beyond them is seen. Free it. */
static inline uint8_t *fuzz_copy(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);

    must(copy != NULL);
    if (len > 0)
        memcpy(copy, data, len);
    return copy;
}

#endif
