/*
 * What every C test includes: cmocka with the headers it wants first, and a seed for random runs.
 *
 * KITH_TEST_SEED=N repeats a run; without it the seed is fixed, so that CI is the same every time.
 * A run that should vary sets KITH_TEST_SEED=random.
 */
#ifndef TESTS_LIB_TEST_H
#define TESTS_LIB_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/rng.h"

/* The seed of this run; prints it, so that a failure can be repeated. */
static inline uint64_t test_seed(void)
{
    const char *text = getenv("KITH_TEST_SEED");
    uint64_t seed = 20240607;
    if (text != NULL && strcmp(text, "random") == 0) {
        struct timespec now;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        seed = (uint64_t)now.tv_sec * 1000000007u ^ (uint64_t)now.tv_nsec;
    } else if (text != NULL) {
        seed = strtoull(text, NULL, 0);
    }
    (void)fprintf(stderr, "# seed %llu (KITH_TEST_SEED repeats it)\n", (unsigned long long)seed);
    return seed;
}

static inline struct rng test_rng(void)
{
    struct rng rng;
    rng_init(&rng, test_seed());
    return rng;
}

/*
 * How many of @n rounds to do: all, or, where each is slow (sanitizers), the part that
 * KITH_TEST_DIVIDE says: what needs luck or numbers to be found is sought in the plain build.
 */
static inline unsigned test_rounds(unsigned n)
{
    const char *text = getenv("KITH_TEST_DIVIDE");
    unsigned part = text != NULL ? (unsigned)strtoul(text, NULL, 10) : 1;
    return part > 1 ? (n + part - 1) / part : n;
}

/* Ends the case as skipped; @reason is shown at the end of the whole run. */
#define test_skip(reason)                                                                          \
    do {                                                                                           \
        (void)fprintf(stderr, "# skip: %s: %s\n", __func__, reason);                               \
        skip();                                                                                    \
    } while (0)

#endif
