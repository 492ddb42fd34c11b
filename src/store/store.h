/*
 * The durable memory of a node: entries of key and value under DIR/store, in LMDB, with a log in
 * front of it.
 *
 * One thread of the store, the writer, does all the writing. Batches that wait while it syncs are
 * written together by its next turn (group commit), so that many writers share the disk's syncs; an
 * idle store writes at once. A group is one record of the log and one sync, and LMDB takes in many
 * groups in one transaction later; opening makes up for what it did not get. Every group is synced
 * before its batches count as done. What is read back is checked against a checksum.
 *
 * A store never reports that a batch failed: it becomes durable, or waits while the disk is full,
 * or the process ends (an fsync that failed is never tried again, protocols 5.9).
 * docs/protocols/store.md has the layout and the failures.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "store/batch.h"

struct store;

#define STORE_DISK_ID_BYTES 16

struct store_options {
    /*
     * Completions wait, or the disk became full, or has room again: runs on the writer, never
     * inside a function of this header and never after store_close(). Must not block; meant for
     * uv_async_send(). NULL: nobody is told.
     */
    void (*wake)(void *user);
    /*
     * The store cannot go on: the sentence says why and what to do; KITH_E_IO or KITH_E_CORRUPT.
     * Runs on the writer. It should end the process. NULL: the sentence goes to stderr and the
     * process ends with status 1. If it returns (in tests), nothing is written or completed any
     * more and store_put() gives KITH_E_STOPPED.
     */
    void (*fatal)(void *user, int code, const char *text);
    void *user;
    /* 0 means the default of core/limits.h for all of these. */
    uint64_t file_bytes_start; /* room made at first */
    uint64_t file_bytes_max;   /* the file does not grow above */
    uint64_t reserve_bytes;    /* of the reserve for a full disk */
    uint64_t log_bytes;        /* of the log when it is made; one that is there stays as it is */
    uint32_t retry_ms;         /* how often a full disk is looked at again */
};

/*
 * Opens DIR/store, which is made if absent (0700, files 0600); DIR must exist. Blocks. No store is
 * opened twice, neither by another process nor by this one. Starts the writer. The disk may be full
 * from the beginning: look at store_full().
 *
 * 0; KITH_E_IN_USE (names the process); KITH_E_PERMISSION (others may use it; the sentence has the
 * chmod); KITH_E_UNSUPPORTED (a newer schema); KITH_E_CORRUPT (LMDB's file or the log; must be
 * moved away, the sentence says how); KITH_E_INVALID, KITH_E_IO, KITH_E_MEMORY, KITH_E_LIMIT (no
 * thread).
 */
int store_open(const char *dir, const struct store_options *options, struct store **store_out);

/* STORE_DISK_ID_BYTES random bytes, made with the store: another disk, another id. Borrowed. */
const uint8_t *store_disk_id(const struct store *store);

/*
 * Gives each entry whose key begins with @first, in the order of the keys, to @entry_cb. Only
 * before the first store_put(), on the thread that opened. What an entry points to is valid inside
 * the callback, which must not call the store; another result than 0 ends the walk and is returned.
 * 0, the callback's, KITH_E_CORRUPT (the structure, not a value), KITH_E_IO, KITH_E_MEMORY.
 */
int store_recall(struct store *store,
                 uint8_t first,
                 int (*entry_cb)(void *user, const struct store_entry *entry),
                 void *user);

/*
 * Queues @batch, which is copied. Any thread. Once it is durable, @token comes out of
 * store_completed(). Batches become durable in the order of the calls, but for a full disk: then
 * batches with essential keys, and those that only remove, go ahead of others that wait.
 *
 * 0; KITH_E_INVALID (no entry, a bad key, the store's own key, essential keys beside others);
 * KITH_E_TOO_LARGE; KITH_E_BUSY (STORE_QUEUE_BYTES_MAX wait); KITH_E_MEMORY; KITH_E_STOPPED.
 * After anything but 0 nothing of it will be written.
 */
int store_put(struct store *store, const struct store_batch *batch, uint64_t token);

/*
 * store_put() in two steps: what was queued is written when the writer is awake anyway, when a
 * store_put() wakes it, at the close, and surely after store_write(). For who has more to queue, or
 * something to send first: the writer may take this core as soon as it is woken. Any thread.
 */
int store_queue(struct store *store, const struct store_batch *batch, uint64_t token);
void store_write(struct store *store);

/* Takes up to @max tokens of durable batches, oldest first; returns how many. Any thread. */
size_t store_completed(struct store *store, uint64_t *tokens_out, size_t max);

/*
 * True while the disk is full or the file at its limit: batches that are not essential wait. With
 * @why_out (may be NULL) a sentence of up to @why_bytes bytes. Any thread.
 */
bool store_full(struct store *store, char *why_out, size_t why_bytes);

struct store_stats {
    uint64_t commits;     /* groups that became durable */
    uint64_t logged;      /* of them, those that went to the log; LMDB took the others at once */
    uint64_t taken_in;    /* times that LMDB took in what the log had */
    uint64_t replayed;    /* groups that only the log had when the store was opened */
    uint64_t batches;     /* durable ones; batches / commits is the size of a group */
    uint64_t entry_bytes; /* of their keys and values */
    uint64_t waiting_n;   /* batches that wait now, those for a full disk included */
    uint64_t waiting_bytes;
    uint64_t file_bytes;    /* of the data file, all of it allocated */
    uint64_t used_bytes;    /* of it, those in use or free for the next entries */
    uint64_t reserve_bytes; /* left in the reserve */
    uint64_t log_bytes;     /* 0: there was no room for one */
    double commit_p50_us;   /* of the last STORE_COMMITS_KEPT commits, with their syncs */
    double commit_p99_us;
};
void store_stats(struct store *store, struct store_stats *stats_out);

/*
 * Waits until everything queued is durable, but for what a full disk holds back, which is dropped
 * unsaid; then ends the writer and frees. Completions that were not taken are lost. NULL is fine.
 */
void store_close(struct store *store);

#endif
