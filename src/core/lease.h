/*
 * The one rule of leases (protocols 5.1, Clocks). Clocks may run up to a tenth too fast or too slow
 * against each other's real time; no wall clock is used.
 *
 *  - Lessee: usable while now < t_send + d, t_send read before the request was sent.
 *  - Lessor: alive until t_last_reply + d / f, f = (1 - 0.1) / (1 + 0.1) = 9 / 11.
 *  - A lessor that itself holds a lease with r left grants at most f * r.
 *
 * The worst case: a lessee whose clock is slow lives d / 0.9 of real time; a lessor whose clock is
 * fast waits d / f / 1.1, which is as long; and t_send comes before t_last_reply. Times are whole
 * milliseconds of CLOCK_BOOTTIME, cut off: a lessor adds one for what was cut from t_last_reply.
 */
#ifndef CORE_LEASE_H
#define CORE_LEASE_H

#include <stdbool.h>
#include <stdint.h>

/* f as a fraction. */
#define LEASE_F_NUM 9u
#define LEASE_F_DEN 11u

/* Until when the lessee may use what it asked for at @sent_ms (its clock): the first ms that is
 * too late. */
static inline uint64_t lease_lessee_until_ms(uint64_t sent_ms, uint64_t duration_ms)
{
    return sent_ms + duration_ms;
}

/* Until when the lessor must hold it for alive, if it answered at @replied_ms (its clock). */
static inline uint64_t lease_lessor_until_ms(uint64_t replied_ms, uint64_t duration_ms)
{
    return replied_ms + 1 + (duration_ms * LEASE_F_DEN + LEASE_F_NUM - 1) / LEASE_F_NUM;
}

/* The longest that may be granted by who holds a lease until @until_ms itself. */
static inline uint64_t lease_nested_ms(uint64_t until_ms, uint64_t now_ms)
{
    return until_ms > now_ms ? (until_ms - now_ms) * LEASE_F_NUM / LEASE_F_DEN : 0;
}

#endif
