/*
 * Files that are being written. What a program writes lies in a file of this machine that has no
 * name, until the program closes it: then it is put as a whole. All who have the same path open for
 * writing share one.
 */
#ifndef MOUNT_DRAFT_H
#define MOUNT_DRAFT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "mount/agent.h"

struct drafts;

struct draft {
    struct draft *next;
    char *path;
    int fd;
    pthread_mutex_t io; /* held while it is fetched or put: others of it wait */
    unsigned refs;
    int failed;   /* why it could not be begun */
    bool ready;   /* what the catalogue has of it is here */
    bool dirty;   /* something of it is not put yet */
    bool fresh;   /* the path was not there */
    bool removed; /* its path was deleted: it is never put */
    uint32_t mode;
    struct timespec modified; /* as it was set; tv_nsec UTIME_OMIT: when it is put */
};

struct drafts *drafts_new(struct agent *agent); /* NULL: no memory */
void drafts_free(struct drafts *drafts);

/*
 * The draft of @path, with one more reference; made if there is none. @load: it begins with what
 * the catalogue has, else empty and dirty. @create_only: -EEXIST if the path is there. 0 or a
 * negative errno.
 */
int draft_open(struct drafts *drafts,
               const char *path,
               uint32_t mode,
               bool load,
               bool create_only,
               struct draft **out);
/* Puts it if it is dirty. 0 or a negative errno. */
int draft_put(struct drafts *drafts, struct draft *draft);
/* Lets go of it; the last one forgets it. What is not put then is lost. */
void draft_close(struct drafts *drafts, struct draft *draft);
/* It was written to. */
void draft_touched(struct drafts *drafts, struct draft *draft);
/* What it is put with: @mode and @modified unless they are NULL. */
void draft_set(struct drafts *drafts,
               struct draft *draft,
               const mode_t *mode,
               const struct timespec *modified);

/* From now on it is @path, whatever else was open under that. -ENOMEM, or 0. */
int draft_rename(struct drafts *drafts, struct draft *draft, const char *path);

/* Whether nobody but the caller has it and its path was not there: opening made it. */
bool draft_is_new(struct drafts *drafts, const struct draft *draft);
/* Whether a time was set that it is put with. */
bool draft_has_time(struct drafts *drafts, const struct draft *draft);

/* If @path is being written: fills size, mode and time of @st. */
bool draft_stat(struct drafts *drafts, const char *path, struct stat *st);
void draft_removed(struct drafts *drafts, const char *path);

/* Calls @each with the last part of every path in the directory @dir. */
void draft_list(struct drafts *drafts,
                const char *dir,
                void (*each)(void *user, const char *name, const struct stat *st),
                void *user);

#endif
