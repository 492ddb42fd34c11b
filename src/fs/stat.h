/*
 * What a file system says of one name: enough to tell whether its bytes may be other ones than
 * before, without reading them.
 */
#ifndef FS_STAT_H
#define FS_STAT_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/version.h"

struct fs_stat {
    uint8_t kind;   /* FS_FILE, FS_DIRECTORY, FS_SYMLINK; 0: something else (a pipe, a device) */
    uint32_t mode;  /* permission bits, 07777 */
    uint32_t links; /* hard links */
    uint64_t inode;
    uint64_t size;
    int64_t mtime_ns; /* since 1970, as the next two */
    int64_t ctime_ns; /* of the inode: moves with every change of bytes or attributes, and nobody
                         can set it */
    int64_t born_ns;  /* of the inode; 0: the file system does not say */
};

/* Which directory a folder is, so that another one in its place is noticed. */
struct fs_root_id {
    uint64_t device;
    uint64_t inode;
    uint64_t filesystem; /* its own id (statfs); 0: it has none */
    int64_t born_ns;     /* 0: unknown */
};

/*
 * Whether @now is the directory that was recorded as @was. A device may have another number after a
 * restart of the machine; then the ids of the file systems, or the times of birth, must be the
 * same.
 */
bool fs_root_same(const struct fs_root_id *was, const struct fs_root_id *now);

/* The same inode: one that was deleted and used again is told by its birth, or, where that is not
 * known, by ctime. */
bool fs_stat_same_inode(const struct fs_stat *a, const struct fs_stat *b);
/* The same inode, and size and mtime say that its bytes are the same. A program can hide a change
 * of bytes from these two, but not from ctime: where that differs, the bytes are to be read. */
bool fs_stat_same_bytes(const struct fs_stat *a, const struct fs_stat *b);
/* The same in all: nothing at all has happened. (Links do not count, ctime has them.) */
bool fs_stat_same(const struct fs_stat *a, const struct fs_stat *b);

/*
 * Whether a file that was seen as @before and read from @began_wall_ns on may have been changed
 * since without that its times show it: they have ticks, of up to 10 ms, and of 2 s where they are
 * whole seconds (git calls such files racy). Now: in this tick, so what was read may be of two
 * states. Later: its ctime is in the future, and may be given to it once more when that comes.
 * @began_wall_ns: since 1970; INT64_MAX if nothing was read that could be older, which is never
 * racy.
 */
enum fs_racy { FS_NOT_RACY = 0, FS_RACY_NOW = 1, FS_RACY_LATER = 2 };
enum fs_racy fs_stat_racy(const struct fs_stat *before, int64_t began_wall_ns);
/* For how long a file that is racy now stays so, at most. */
uint32_t fs_stat_tick_ms(const struct fs_stat *stat);

#endif
