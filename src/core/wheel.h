/*
 * Timer wheel for the many deadlines of calls: set and cancel in constant time, no allocation,
 * resolution of one tick. Fires late by at most one tick, never early.
 *
 * Three rings of 1,024 slots: of a tick, of 1,024 ticks (4 s) and of 1,048,576 ticks (70 min) each.
 * A timer waits in the ring that its distance asks for and moves inwards when its block begins; one
 * beyond 50 days waits at the far end of the outer ring and is placed again from there.
 */
#ifndef CORE_WHEEL_H
#define CORE_WHEEL_H

#include <stdint.h>

#include "core/list.h"

#define WHEEL_TICK_MS 4
#define WHEEL_SLOTS   1024 /* of a ring */
#define WHEEL_RINGS   3

/* Zeroed is valid: not set. */
struct wheel_timer {
    struct list link; /* the owner may list_remove() it from `expired` */
    uint64_t deadline_ms;
    uint32_t slot; /* the wheel's: 1 + index of its slot; 0: not in the wheel */
};

struct wheel {
    uint64_t tick;                                /* all ticks below are done */
    uint64_t now_ms;                              /* of the last advance */
    uint64_t n;                                   /* timers set */
    struct list due;                              /* their time had come when they were set */
    uint64_t used[WHEEL_RINGS][WHEEL_SLOTS / 64]; /* a bit per slot: not empty */
    struct list slots[WHEEL_RINGS][WHEEL_SLOTS];
};

/* The wheel links to itself: it must not be moved afterwards. Nothing to deinit. */
void wheel_init(struct wheel *wheel, uint64_t now_ms);
/* Sets or moves @timer. A deadline in the past fires at the next advance. */
void wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t deadline_ms);
/* Also takes an expired timer out of the list that advance gave. Fine if not set. */
void wheel_cancel(struct wheel *wheel, struct wheel_timer *timer);
/*
 * Moves every timer that has come due to the end of @expired (initialised by the caller), in the
 * order of their ticks: all with a deadline <= @now_ms - WHEEL_TICK_MS, none with one > @now_ms.
 * Time that goes back does nothing. Timers may be set and cancelled while @expired is walked.
 */
void wheel_advance(struct wheel *wheel, uint64_t now_ms, struct list *expired);
/* A time at which advance may have something to do (never later than needed); UINT64_MAX if no
 * timer is set. */
uint64_t wheel_deadline_ms(const struct wheel *wheel);

static inline bool wheel_timer_set(const struct wheel_timer *timer)
{
    return timer->slot != 0;
}

#endif
