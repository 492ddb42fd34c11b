/*
 * What the files of this room that know the file system share: names beneath a directory.
 */
#ifndef FS_FOLDER_H
#define FS_FOLDER_H

#include <sys/types.h>

#include "fs/ignore.h"
#include "fs/scan.h"

/* As the kernel writes it (getdents64). */
struct folder_dirent {
    uint64_t inode;
    int64_t next;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

static inline bool folder_is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* openat2() beneath @dir_fd, through no symlink and into no mount; "" is the directory. -1, errno.
 */
int folder_openat(int dir_fd, const char *name, uint64_t flags);
/* Of @name in @dir_fd, or of the descriptor itself ("" ). -1, errno. */
int folder_statx(int dir_fd, const char *name, struct fs_stat *stat_out, bool *is_mount_out);
/* For people: the cause, and what to do. Static, or the C library's. */
const char *folder_why(int errnum);
/* Whether a thing with such a stat can be shared: sets found and text. */
void folder_judge(struct local_seen *seen);
/* What readlink() gave. */
void folder_target(struct local_seen *seen, const char *target, ssize_t len);

#endif
