/*
 * How long something took, since the beginning: counts by bounds that never change and never go
 * back, as who reads them again and again (Prometheus) takes differences. spread.h forgets instead.
 */
#ifndef CORE_TALLY_H
#define CORE_TALLY_H

#include <stdint.h>

#define TALLY_BOUNDS 20

struct tally {
    uint64_t
        counts[TALLY_BOUNDS + 1]; /* [i]: above bound i - 1, up to bound i; the last: above all */
    uint64_t sum_ns;
};

/* 10 us to 30 s, each about 2.5 times the one before, ascending. */
extern const uint64_t tally_bounds_ns[TALLY_BOUNDS];

/* All zero is one in which nothing happened. A sum of more than 584 years wraps. */
void tally_add(struct tally *tally, uint64_t ns);

#endif
