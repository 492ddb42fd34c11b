/*
 * How long something took lately: a histogram that forgets. Its buckets are a quarter of an octave
 * wide, so a percentile is right to about a tenth; it holds from 256 ns to 18 minutes, and what
 * lies outside counts as the nearest. Each time SPREAD_KEPT are in it, half of their weight goes.
 */
#ifndef CORE_SPREAD_H
#define CORE_SPREAD_H

#include <stdint.h>

#define SPREAD_BUCKETS 128
#define SPREAD_KEPT    4096

struct spread {
    uint32_t n; /* weight of all that is in it */
    uint16_t counts[SPREAD_BUCKETS];
};

/* All zero is an empty one. */
void spread_add(struct spread *spread, uint64_t ns);
/* The time that @percent (0 to 100) of them did not exceed, in ns; 0 if there are none. */
uint64_t spread_percentile(const struct spread *spread, double percent);

#endif
