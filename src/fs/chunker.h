/*
 * Reads a file of a folder into its content: root and list (fs/content.h). For workers.
 *
 * It reads in order, asks the kernel to read ahead and not to keep what it read of large files, and
 * skips holes. What changed while it was read is noticed by the times before and after.
 */
#ifndef FS_CHUNKER_H
#define FS_CHUNKER_H

#include <stdatomic.h>

#include "fs/scan.h"

/* Looked at by others while it is being read. */
struct fs_hash_progress {
    _Atomic uint64_t done_bytes;
    _Atomic bool stop; /* set by who wants it to end: KITH_E_CANCELED */
};

struct fs_hash_result {
    struct fs_stat before, after;
    int64_t began_wall_ns;
    struct content content;
    struct buf
        list; /* empty for at most one chunk; buf_deinit() is the caller's, whatever happens */
    uint64_t holes_bytes; /* that were not read */
};

/*
 * Reads @name. @expect (may be NULL): what it looked like; if that is not so any more, nothing is
 * read and KITH_E_AGAIN returned. 0; KITH_E_AGAIN (it changed meanwhile: before and after say
 * how); KITH_E_NOT_FOUND; KITH_E_PERMISSION, KITH_E_IO, KITH_E_UNSUPPORTED (no file),
 * KITH_E_TOO_LARGE, KITH_E_CANCELED, KITH_E_MEMORY, with a sentence. @progress may be NULL.
 */
int fs_hash_file(const struct fs_folder *folder,
                 const char *name,
                 const struct fs_stat *expect,
                 uint8_t hash,
                 struct fs_hash_progress *progress,
                 struct fs_hash_result *result_out);

/* The same of an open file that is not in a folder (put); @fd's place is not moved. */
int fs_hash_fd(int fd,
               const struct fs_stat *expect,
               uint8_t hash,
               struct fs_hash_progress *progress,
               struct fs_hash_result *result_out);

/*
 * Reads @len bytes at @offset of @name for who fetches, if it still looks as @expect before and
 * after. 0; KITH_E_AGAIN: it is another file now; others as fs_hash_file().
 */
int fs_read_file(const struct fs_folder *folder,
                 const char *name,
                 const struct fs_stat *expect,
                 uint64_t offset,
                 void *data_out,
                 size_t len);

#endif
