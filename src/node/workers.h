/*
 * The pool of threads that runs user functions, so that none of them ever runs on the loop.
 */
#ifndef NODE_WORKERS_H
#define NODE_WORKERS_H

#include <stdbool.h>
#include <stdint.h>

struct workers;

/* A piece of work; embedded by its owner, which must keep it until @run has returned. */
struct worker_job {
    struct worker_job *next;
    void (*run)(struct worker_job *job);
    bool waits; /* set by who queues it */
};

/* What a job waits for: as often as was given. Zeroed at first; guarded by the pool. */
struct worker_room {
    uint32_t n;
};

/* Starts @threads_n threads (at least 1). 0, KITH_E_MEMORY, KITH_E_LIMIT (threads cannot be made).
 */
int workers_start(struct workers **workers_out, uint32_t threads_n, const char *name);
/* Queues @job; it runs once. Any thread. */
void workers_push(struct workers *workers, struct worker_job *job);
/*
 * The same for a job that waits inside for what other jobs do. Its thread runs those meanwhile, so
 * that no number of such jobs can stop the pool; others that wait are begun by free threads only.
 */
void workers_push_waiter(struct workers *workers, struct worker_job *job);
/* Inside such a job: runs what else is queued until @room has been given, and takes one of it. */
void workers_wait(struct workers *workers, struct worker_room *room);
/* Gives @n of @room. Any thread. */
void workers_give(struct workers *workers, struct worker_room *room, uint32_t n);
/* Runs what is queued, then ends and joins all threads and frees. NULL is fine. */
void workers_stop(struct workers *workers);
/* Threads at work now, and jobs that wait. Any thread; a snapshot. */
void workers_count(struct workers *workers, uint32_t *busy_out, uint32_t *queued_out);

#endif
