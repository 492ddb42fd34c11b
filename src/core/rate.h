/*
 * How often something happened in the last minute. A ring of slots of 4,096 ms each (so that no
 * division is on the way of a call); what is older than the ring is forgotten as time goes on.
 */
#ifndef CORE_RATE_H
#define CORE_RATE_H

#include <stdint.h>

#define RATE_SLOT_BITS 12
#define RATE_SLOTS     16 /* the newest 15 are looked at: 57.3 to 61.4 s */

struct rate {
    uint64_t slot; /* number of the newest one: time >> RATE_SLOT_BITS */
    uint32_t counts[RATE_SLOTS];
};

/* All zero is one in which nothing happened. @now_ms: monotonic, from any origin. */
void rate_add(struct rate *rate, uint64_t now_ms);
/* Events a second over the last minute; 0 if there were none. */
double rate_per_s(const struct rate *rate, uint64_t now_ms);

#endif
