/*
 * What the files of a node's own share: the directories that are open, and steps that all take.
 */
#ifndef FS_FILES_INTERNAL_H
#define FS_FILES_INTERNAL_H

#include <pthread.h>

#include "fs/files.h"
#include "fs/folder.h"

struct fs_files {
    char *dir;
    int fd; /* of dir */
    int keep_fd, cache_fd, part_fd, trash_fd, tmp_fd;
    _Atomic uint64_t next; /* of temporary names */
    uint64_t tag;          /* of this process, in temporary names */
    pthread_mutex_t lock;  /* of what follows */
    uint64_t trash_id;     /* the greatest that was given */
    uint64_t opened_ms;    /* of the caller's clock, when it first asked; 0: not yet */
    bool placing;          /* the mark that folders are written to is on disk */
    bool crashed;          /* it was there from a former life */
    /* Directories of the keep that are known to be on the disk, since they were opened: by the
     * first two bytes of a root, and by the first. Who made one is no matter: another thread may be
     * about to sync it, and a former life may have ended before it did. */
    _Atomic uint64_t synced[65536 / 64], synced_above[256 / 64];
};

#define PLACING_MARK "placing" /* in dir: there may be something left in folders */

/* kith_fail_with(): LIMIT for a full disk, PERMISSION, NOT_FOUND, else IO; "WHAT NAME: why". */
int files_failed(const char *what, const char *name, int errnum);
/* fsync; an error is never tried again. */
int files_sync(int fd, const char *name);
/* 0, or KITH_E_LIMIT: the disk of @fd has no room for @bytes more. */
int files_room(int fd, const char *where, uint64_t bytes);
/* Copies @size bytes of @from, from 0 on, behind what @to has: by reflink where that works. 0,
 * KITH_E_AGAIN (it is shorter), KITH_E_LIMIT, KITH_E_IO. */
int files_copy(int from, int to, uint64_t size, const char *name);
/* The name of a content beneath keep_fd. */
#define FS_CONTENT_NAME_BYTES 96
void files_content_name(const uint8_t root[FS_ROOT_BYTES], char out[FS_CONTENT_NAME_BYTES]);
/* What @fd has gets the name of a content in the keep, beside those that it has, and is synced.
 * KITH_E_AGAIN (without a sentence): its file system knows no second names. */
int files_name_content(struct fs_files *files, const uint8_t root[FS_ROOT_BYTES], int fd);
/* A fresh name in @out. */
void files_temp_name(struct fs_files *files, const char *before, char out[64]);
/*
 * Takes the file or symlink @temp in @dir_fd into the trash, as what was @name of @share. It is not
 * there any more afterwards. KITH_E_LIMIT, KITH_E_IO: it still is.
 */
int trash_take(
    struct fs_files *files, int dir_fd, const char *temp, const char *share, const char *name);

#endif
