/*
 * What is below the store: the folder, and in it one LMDB environment, used by one thread at a
 * time.
 *
 * LMDB never writes above its map. So the map is always as large as the file, whose blocks are all
 * allocated: where there is no room LMDB says so (MDB_MAP_FULL) before it has written anything, and
 * a commit cannot meet a full disk halfway.
 */
#ifndef STORE_BASE_H
#define STORE_BASE_H

#include "store/batch.h"
#include "store/store.h"

/* Of a store without a log, and of one with it, which the former must not be opened as. */
#define STORE_SCHEMA_PLAIN 1
#define STORE_SCHEMA       2

/* Expected, positive: no room in the file; nothing was written. */
#define BASE_NO_ROOM 1

struct base; /* in base_lmdb.c */

/* A batch on its way, with all it carries behind it. */
struct job {
    struct job *next;
    struct job *next_done;
    bool logged; /* durable in the log alone: kept until LMDB has it */
    bool told;   /* its token was taken */
    uint64_t token;
    size_t bytes; /* of keys and values */
    bool essential;
    bool erases_only;
    size_t puts_n;
    struct store_put puts[];
};

struct job_list {
    struct job *first;
    struct job **last;
};

static inline void job_list_init(struct job_list *list)
{
    list->first = NULL;
    list->last = &list->first;
}
static inline void job_list_push(struct job_list *list, struct job *job)
{
    job->next = NULL;
    *list->last = job;
    list->last = &job->next;
}
static inline struct job *job_list_pop(struct job_list *list)
{
    struct job *job = list->first;

    if (job != NULL) {
        list->first = job->next;
        if (list->first == NULL)
            list->last = &list->first;
    }
    return job;
}

/* How far LMDB has taken in the log, kept with it; and what the log is known by. */
#define LOG_KEY_BYTES 32
struct base_mark {
    uint64_t seq;       /* the last group that LMDB has */
    uint64_t log_bytes; /* 0: no log was made yet */
    uint8_t key[LOG_KEY_BYTES];
};

/* What entries may ask of LMDB's file, added up. */
struct base_need {
    uint64_t puts_n;
    uint64_t bytes; /* of those that fit a page with others */
    uint64_t pages; /* of the others: pages of their own */
};
void base_need_add(struct base_need *need, const struct base *base, const struct job *jobs);

/*
 * Opens PATH/data.mdb, of @bytes_start bytes if it is new. Reads schema and disk id, or makes them.
 * Errors as of store_open().
 */
int base_open(struct base **base_out,
              const char *path,
              uint64_t bytes_start,
              uint64_t bytes_max,
              uint8_t disk_id_out[STORE_DISK_ID_BYTES]);
void base_close(struct base *base);

/*
 * One transaction of all @jobs, and of @mark unless it is NULL; durable when it returns 0.
 * BASE_NO_ROOM; KITH_E_* are fatal.
 */
int base_apply(struct base *base, const struct job *jobs, const struct base_mark *mark);

/* The mark as it was when the store was opened, or as it was last applied. */
const struct base_mark *base_mark(const struct base *base);

/* Is there so much behind the highest page that after @need no more than @percent of the file can
 * be in use? Cheap. */
bool base_has_room(const struct base *base, const struct base_need *need, unsigned percent);

int base_recall(struct base *base,
                uint8_t first,
                int (*entry_cb)(void *user, const struct store_entry *entry),
                void *user);

/*
 * Makes the file larger by @bytes (0: twice as large, within reason, and as far as there is room),
 * up to its limit and @above. BASE_NO_ROOM with a sentence; KITH_E_IO is fatal.
 */
int base_grow(struct base *base, uint64_t bytes, uint64_t above);
/* True if more than @percent of what the file may hold is in use. Exact, but cheap if it is not. */
int base_tight(struct base *base, unsigned percent, bool *tight_out);

uint64_t base_file_bytes(const struct base *base);
uint64_t base_used_bytes(const struct base *base); /* highest page ever used */

/* Allocates the blocks of @fd from @from to @to. 0, BASE_NO_ROOM, KITH_E_IO. (files_posix.c) */
int file_allocate(int fd, const char *path, uint64_t from, uint64_t to);

/* KITH_E_IO with the sentence that ends a process: nobody knows what is on the disk now. */
int store_disk_failed(const char *path, const char *doing, int code);

/* ---- the folder (files_posix.c) ---- */

struct folder {
    char *path;     /* DIR/store */
    int lock_fd;    /* -1: not locked */
    int reserve_fd; /* -1: not open */
    uint64_t reserve_bytes;
};

int folder_open(struct folder *folder, const char *dir);
void folder_close(struct folder *folder);
/* Makes new files of the folder durable as names. 0 or KITH_E_IO. */
int folder_sync(const struct folder *folder);
/* Fills the reserve up to @bytes. 0, BASE_NO_ROOM, KITH_E_IO. */
int folder_fill_reserve(struct folder *folder, uint64_t bytes);
/* Gives up to @bytes of the reserve back to the disk. BASE_NO_ROOM if it is empty. */
int folder_draw_reserve(struct folder *folder, uint64_t bytes);

#endif
