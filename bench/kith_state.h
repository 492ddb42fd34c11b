/* What the two halves of the worker "state-node" share (kith_state.c, kith_state_lock.c). */
#ifndef BENCH_KITH_STATE_H
#define BENCH_KITH_STATE_H

#include <semaphore.h>

#include "bench.h"
#include "kith.h"

#define STATE_SLOTS_MAX 64

struct state_worker {
    struct kith_node *node;
    char dir[200];
    char kind; /* of the names used */
    uint64_t begun_ns, until_ns, measured_from_ns;
    uint64_t count, failed;
    unsigned outstanding;
    struct bench_samples samples;
    const char *waits_for; /* the last operation that was asked for */
    const char *of;        /* ... and its name */
    sem_t done;
};
extern struct state_worker state_worker;

/* Before a step of @ms. */
void state_begin(unsigned ms, unsigned outstanding);
/* Prints median and p99 of the samples and how many a second there were. */
void state_report(void);
/* One operation ended: false if the step is over; then, with the last one, step wakes. */
bool state_goes_on(uint64_t now_ns);
/* Says the first failure of a step on stderr, and counts. */
void state_failed(const char *what, const char *text);
/* Ends the process with a sentence if the step is not over in a minute. */
void state_wait(void);

/* A line for mutexes; false if it is none. */
bool state_lock_step(const char *line);

#endif
