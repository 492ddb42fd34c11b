/*
 * Sliding window over the counters of one sender's boot: each counter is taken once, and only if
 * it is less than NET_REPLAY_WINDOW behind the highest taken.
 */
#ifndef NET_REPLAY_H
#define NET_REPLAY_H

#include "core/limits.h"

#define REPLAY_WORDS (NET_REPLAY_WINDOW / 64)

static_assert(NET_REPLAY_WINDOW % 64 == 0, "whole words");

struct replay {
    uint64_t next;               /* highest counter taken + 1; 0: none taken yet */
    uint64_t bits[REPLAY_WORDS]; /* a ring: bit counter % NET_REPLAY_WINDOW */
};

/* {0} is a fresh window. */
void replay_reset(struct replay *replay);
/* All counters below @next count as taken: what is left of a window that was not kept. */
void replay_floor(struct replay *replay, uint64_t next);
/* True once for each counter; false if it was taken, is too old, or is UINT64_MAX. */
bool replay_take(struct replay *replay, uint64_t counter);

#endif
