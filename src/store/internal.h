/*
 * What store.c and writer.c share.
 */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include <pthread.h>

#include "core/limits.h"
#include "store/base.h"
#include "store/log.h"

#define STORE_WHY_BYTES 512

struct store {
    struct store_options options;
    uint8_t disk_id[STORE_DISK_ID_BYTES];
    struct folder folder; /* the writer's, once it runs */
    struct base *base;    /* likewise */
    pthread_t thread;

    struct log log; /* likewise; empty while the store is full */

    /* The writer's alone: batches that are durable in the log and that LMDB does not have yet. */
    struct job_list logged;
    struct base_need logged_need;
    uint64_t grow_at_ns; /* not before it is room for the log made again */
    /* Batches that wait for room, oldest first. */
    struct job_list parked;
    size_t parked_essential_n;
    uint64_t retry_at_ns;
    size_t last_group_n; /* batches of the last commit, and when it ended */
    uint64_t last_end_ns;
    uint64_t last_commit_ns;

    pthread_mutex_t mutex; /* guards the rest */
    pthread_cond_t wake_writer;
    struct job_list queue;
    size_t queued_n;
    size_t wake_at_n; /* batches that end the writer's sleep */
    bool writer_sleeps;
    bool closing;
    bool dead; /* a fatal error, and the hook returned */
    bool full;
    bool put_called;
    char full_why[STORE_WHY_BYTES];
    struct job *done, *done_last; /* by next_done */
    uint64_t waiting_n;           /* in the queue, parked, or being written */
    uint64_t waiting_bytes;
    struct store_stats stats;
    uint32_t commit_us[STORE_COMMITS_KEPT]; /* a ring */
};

/* The thread; @arg is the store. */
void *writer_main(void *arg);
/*
 * Makes a log if there is none. Without room there is none, and LMDB takes each group by itself; 0
 * too then. KITH_E_* are fatal.
 */
int writer_make_log(struct store *store);
/* LMDB takes in what @jobs has of a log that was found; see log_open(). */
int writer_replay(struct store *store, struct job_list *jobs);
/* Takes the sentence of this thread as the reason. */
void writer_become_full(struct store *store);

#endif
