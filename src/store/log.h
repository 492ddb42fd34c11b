/*
 * The log in front of LMDB: one file of fixed size, written from its beginning to its end, group by
 * group, each with one sync. What LMDB has taken in is no longer needed, and then the next group is
 * the first one again.
 *
 * Each group begins at a block of its own, so that nothing acknowledged lies in a block that is
 * written again. A group is written after the one before it was synced. So at most the last one can
 * be torn, and what a crash leaves is: whole groups with numbers that follow each other, perhaps a
 * torn one, then what an earlier turn left, all of it with lower numbers. A whole group with a
 * number that should come later tells that one before it was damaged.
 */
#ifndef STORE_LOG_H
#define STORE_LOG_H

#include "store/base.h"

#define LOG_BLOCK_BYTES 4096

struct log {
    char *path; /* of the store's folder; owned */
    int fd;     /* -1: there is no log */
    uint64_t bytes;
    uint64_t at;  /* where the next group begins */
    uint64_t seq; /* number of the last group written */
    uint8_t key[LOG_KEY_BYTES];
    void *memory; /* behind @buffer */
    uint8_t *buffer;
    size_t buffer_bytes;
};

void log_init(struct log *log);
void log_deinit(struct log *log);

/*
 * Makes the file anew in the folder PATH, @bytes long (rounded up to blocks), all of it written and
 * synced. The caller makes its name durable, then keeps @mark_out with LMDB; before that no group
 * may be appended. 0; BASE_NO_ROOM (nothing is left of it); KITH_E_IO, KITH_E_MEMORY.
 */
int log_make(struct log *log, const char *path, uint64_t bytes, struct base_mark *mark_out);

/* Takes a file that was made, and not marked, away again. */
void log_unmake(struct log *log);

/*
 * Opens the file that @mark tells of, and adds to @jobs_out what LMDB has not taken in: one job for
 * each group behind mark->seq. The log goes on from its beginning, so LMDB must have taken them in
 * before the first log_append(). KITH_E_CORRUPT if one is missing that had been written as a whole;
 * KITH_E_IO, KITH_E_MEMORY.
 */
int log_open(struct log *log,
             const char *path,
             const struct base_mark *mark,
             struct job_list *jobs_out);

/* Is there a log, with room for a group of so many entries and bytes of keys and values? */
bool log_has_room(const struct log *log, uint64_t puts_n, uint64_t bytes);

/* Writes @jobs as one group; durable when it returns 0. KITH_E_MEMORY: nothing was written;
 * KITH_E_IO is fatal. */
int log_append(struct log *log, const struct job *jobs);

/* LMDB has everything: begins again. */
void log_rewind(struct log *log);

/* What to keep with LMDB when it has everything up to log->seq. */
struct base_mark log_mark(const struct log *log);

#endif
