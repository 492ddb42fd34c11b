/*
 * Timer wheel for the many deadlines of calls: set and cancel in constant time, no allocation,
 * resolution of one tick. Fires late by at most one tick, never early.
 */
#ifndef CORE_WHEEL_H
#define CORE_WHEEL_H

#include <stdint.h>

#include "core/list.h"

#define WHEEL_TICK_MS 4
#define WHEEL_SLOTS   1024 /* of the inner ring; farther deadlines wait in outer rings */

struct wheel_timer {
    struct list link;
    uint64_t deadline_ms;
};

struct wheel {
    uint64_t tick; /* all ticks below are done */
    uint64_t n;    /* timers set */
    struct list slots[3][WHEEL_SLOTS];
};

void wheel_init(struct wheel *wheel, uint64_t now_ms);
/* Sets or moves @timer. A deadline in the past fires at the next advance. */
void wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t deadline_ms);
void wheel_cancel(struct wheel *wheel, struct wheel_timer *timer); /* fine if not set */
/* Moves every timer with a deadline <= @now_ms to the list @expired (initialised by the caller). */
void wheel_advance(struct wheel *wheel, uint64_t now_ms, struct list *expired);
/* A time at which advance may have something to do; UINT64_MAX if no timer is set. */
uint64_t wheel_deadline_ms(const struct wheel *wheel);

#endif
