/*
 * When to poll instead of sleeping (pure).
 *
 * Waking a process that sleeps costs far more than the work it wakes for, so a loop that expects
 * something soon polls for a little while before it sleeps. The rules, found by measurement:
 *  - After a sleep that ended within SPIN_GAP_NS of the last activity, polling would have paid:
 *    poll before the next sleep. The gap must exceed the round trip of two sleeping ends, or
 *    polling never begins.
 *  - That first spin is a probe. The end that would have to answer sleeps as well, and where waking
 *    it takes longer than the budget, both ends would miss for ever. So a probe may last as long as
 *    the sleep that it replaces took, SPIN_PROBE_MAX_NS at most. A spin that follows a catch keeps
 *    to the budget: by then the other end polls too, if it ever will.
 *  - A spin that caught nothing pauses spinning for 1, 2, 4 ... 64 such gaps; two catches in a row
 *    halve that, so that a steady load spins and a slow or bursty one does not burn the processor.
 *    One catch proves nothing: a probe catches any traffic that is slow but even, and a loop that
 *    was woken late finds the next message near.
 *  - Waiting for replies and waiting for requests are separate habits: a server whose clients are
 *    slow should not teach its own calls to sleep.
 *  - A sync of our own disk is a third one, beside the others: what it takes is counted from when
 *    it was asked for, whatever else comes meanwhile; a slow disk is soon no longer polled for.
 *  - An answer that came late is expected late again, and one that came soon changes little in
 *    that: who takes its turn in a round of several nodes hears by turns from near by and from far.
 *  - A sched_yield() that took over SPIN_YIELD_NS means another thread wants this core: spinning
 *    then only takes from it, so it stops for a while. For how long goes by what the yield took: a
 *    partner that did its part of the same work had the core for some 50 us, and is what we wait
 *    for; a hog has it for a slice of the scheduler, which is milliseconds. While a thread of our
 *    own works for us, it is what had the core for less than SPIN_OWN_NS.
 */
#ifndef NODE_SPIN_H
#define NODE_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#define SPIN_GAP_NS 400000ull
/* Half of the gap: of a round trip of two sleeping ends a probe saves the wait for one of them. */
#define SPIN_PROBE_MAX_NS (SPIN_GAP_NS / 2)
#define SPIN_YIELD_NS     30000ull
#define SPIN_OWN_NS       200000ull
/* The pause behind a slow yield is so many times as long as it took, and no longer than that. */
#define SPIN_HOG_TIMES    16u
#define SPIN_HOG_PAUSE_NS 100000000ull
/* An answer sooner than expected changes what is expected by that part of the difference. */
#define SPIN_REACH_PART  8u
#define SPIN_PENALTY_MAX 64u

/* What the loop is waiting for. */
enum spin_wait { SPIN_FOR_REQUESTS = 0, SPIN_FOR_REPLIES = 1, SPIN_FOR_DISK = 2 };
#define SPIN_WAITS 3

struct spin_habit {
    uint64_t gap_ns;   /* from the last activity to the end of the last sleep */
    uint64_t reach_ns; /* of what was asked for: how late it may be, by what spins caught */
    uint32_t penalty;  /* gaps to sit out after the next miss */
    uint32_t skip;     /* short gaps still to sit out */
    bool on;           /* the last gap was short: poll */
    bool caught;       /* the last spin caught something and no sleep came since */
};

struct spin {
    uint64_t budget_ns; /* how long a spin that is no probe may last; 0: never spin */
    uint64_t hog_until_ns;
    struct spin_habit habits[SPIN_WAITS];
    uint64_t spins_n, hits_n;
};

void spin_init(struct spin *spin, uint64_t budget_ns);
/* How long after the last activity the loop may poll instead of sleeping; 0: sleep. */
uint64_t spin_budget_ns(const struct spin *spin, enum spin_wait wait, uint64_t now_ns);
/* A spin caught something, @waited_ns after the last activity. */
void spin_caught(struct spin *spin, enum spin_wait wait, uint64_t waited_ns);
/* A spin lasted its time and caught nothing. */
void spin_missed(struct spin *spin, enum spin_wait wait);
/* A sleep ended with something to do, @gap_ns after the last activity before it. */
void spin_woken(struct spin *spin, enum spin_wait wait, uint64_t gap_ns);
/* A yield inside the spin took @took_ns; @own: a thread of our own may have run. True: stop
 * spinning. */
bool spin_yielded(struct spin *spin, uint64_t now_ns, uint64_t took_ns, bool own);

#endif
