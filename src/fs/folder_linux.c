/*
 * Opening and looking at names beneath a folder, on Linux: openat2 and statx.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/error.h"
#include "fs/folder.h"
#include "kith/error.h"

#define TRIES 16 /* a rename somewhere on the way can make openat2 ask to be called again */

int folder_openat(int dir_fd, const char *name, uint64_t flags)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS,
    };
    long fd = -1;

    for (unsigned i = 0; i < TRIES; i++) {
        fd = syscall(SYS_openat2, dir_fd, name[0] != '\0' ? name : ".", &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return (int)fd;
}

/* Anybody may set a time that does not fit: 1677 to 2262 do. */
static int64_t ns_of(const struct statx_timestamp *time)
{
    if (time->tv_sec >= INT64_MAX / 1000000000)
        return INT64_MAX;
    if (time->tv_sec <= INT64_MIN / 1000000000)
        return INT64_MIN;
    return time->tv_sec * 1000000000 + time->tv_nsec;
}

static uint8_t kind_of(uint16_t mode)
{
    return S_ISREG(mode) ? FS_FILE : S_ISDIR(mode) ? FS_DIRECTORY : S_ISLNK(mode) ? FS_SYMLINK : 0;
}

static void to_stat(const struct statx *stx, struct fs_stat *stat_out)
{
    *stat_out = (struct fs_stat){
        .kind = kind_of(stx->stx_mode),
        .mode = stx->stx_mode & 07777u,
        .links = stx->stx_nlink,
        .inode = stx->stx_ino,
        .size = stx->stx_size,
        .mtime_ns = ns_of(&stx->stx_mtime),
        .ctime_ns = ns_of(&stx->stx_ctime),
        .born_ns = (stx->stx_mask & STATX_BTIME) != 0 ? ns_of(&stx->stx_btime) : 0,
    };
}

int folder_statx(int dir_fd, const char *name, struct fs_stat *stat_out, bool *is_mount_out)
{
    struct statx stx;
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (name[0] == '\0' ? AT_EMPTY_PATH : 0);

    if (statx(dir_fd, name, flags, STATX_BASIC_STATS | STATX_BTIME, &stx) != 0)
        return -1;
    to_stat(&stx, stat_out);
    if (is_mount_out != NULL)
        *is_mount_out = (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
    return 0;
}

int fs_stat_fd(int fd, struct fs_stat *stat_out)
{
    if (folder_statx(fd, "", stat_out, NULL) == 0)
        return 0;
    return kith_fail_with(KITH_E_IO, "cannot look at an open file: %s", strerror(errno));
}

/* ---- the folder ---- */

static int root_id(int fd, struct fs_root_id *root_out)
{
    struct statx stx;
    struct statfs fs;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &stx) != 0)
        return -1;
    *root_out = (struct fs_root_id){
        .device = makedev(stx.stx_dev_major, stx.stx_dev_minor),
        .inode = stx.stx_ino,
        .born_ns = (stx.stx_mask & STATX_BTIME) != 0 ? ns_of(&stx.stx_btime) : 0,
    };
    if (fstatfs(fd, &fs) == 0)
        memcpy(&root_out->filesystem, &fs.f_fsid, sizeof(root_out->filesystem));
    return 0;
}

static int open_failed(const char *path, int errnum)
{
    if (errnum == ENOENT || errnum == ENOTDIR)
        return kith_fail_with(KITH_E_NOT_FOUND,
                              "folder %s: there is no such directory; make it, "
                              "or mount its disk",
                              path);
    if (errnum == EACCES || errnum == EPERM)
        return kith_fail_with(KITH_E_PERMISSION, "folder %s: this user may not look into it", path);
    return kith_fail_with(KITH_E_IO, "folder %s: %s", path, strerror(errnum));
}

int fs_folder_open(struct fs_folder *folder, const char *path)
{
    int probe;

    *folder = (struct fs_folder){.fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (folder->fd < 0)
        return open_failed(path, errno);
    probe = folder_openat(folder->fd, "", O_PATH | O_DIRECTORY);
    if (probe < 0 && errno == ENOSYS) {
        fs_folder_close(folder);
        return kith_fail_with(KITH_E_UNSUPPORTED,
                              "folder %s: this kernel has no openat2, without "
                              "which symlinks could lead out of the folder; use Linux 5.6 or later",
                              path);
    }
    if (probe < 0 || root_id(folder->fd, &folder->root) != 0) {
        int errnum = errno;
        if (probe >= 0)
            close(probe);
        fs_folder_close(folder);
        return open_failed(path, errnum);
    }
    close(probe);
    return 0;
}

void fs_folder_close(struct fs_folder *folder)
{
    if (folder->fd > 0)
        close(folder->fd);
    folder->fd = -1;
}

bool fs_folder_is_empty(const struct fs_folder *folder)
{
    char buffer[1024];
    bool empty = true;
    int fd = folder_openat(folder->fd, "", O_RDONLY | O_DIRECTORY);
    long n;

    if (fd < 0)
        return false;
    while (empty && (n = syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
        for (long at = 0; at < n;) {
            const struct folder_dirent *entry = (const void *)(buffer + at);
            empty = empty && folder_is_dots(entry->name);
            at += entry->bytes;
        }
    }
    close(fd);
    return empty;
}

/* ---- single names ---- */

const char *folder_why(int errnum)
{
    switch (errnum) {
    case EXDEV:
        return "another file system is mounted there; it is not part of the folder, share it by "
               "itself";
    case EACCES:
    case EPERM:
        return "this user may not read it; allow it, or ignore it in " FS_IGNORE_FILE;
    case ENAMETOOLONG:
        return "its path is too long";
    case EMFILE:
    case ENFILE:
        return "too many files are open; raise the limit of open files";
    default:
        return strerror(errnum);
    }
}

/* @fd is what was found: fills the rest. */
static void look_at(int fd, struct local_seen *seen, char room[FS_TARGET_BYTES_MAX + 1])
{
    bool is_mount;
    ssize_t n;

    if (folder_statx(fd, "", &seen->stat, &is_mount) != 0) {
        seen->found = LOCAL_UNREADABLE;
        seen->text = folder_why(errno);
        return;
    }
    folder_judge(seen);
    if (seen->found != LOCAL_FOUND || seen->stat.kind != FS_SYMLINK)
        return;
    n = readlinkat(fd, "", room, FS_TARGET_BYTES_MAX + 1);
    folder_target(seen, room, n);
}

void folder_judge(struct local_seen *seen)
{
    seen->found = LOCAL_FOUND;
    if (seen->stat.kind == 0) {
        seen->found = LOCAL_REFUSED;
        seen->text = "is neither file, directory nor symlink; leave it or ignore it (.kithignore)";
    } else if (seen->stat.kind == FS_FILE && seen->stat.size > FS_SIZE_MAX) {
        seen->found = LOCAL_REFUSED;
        seen->text =
            "is larger than 1 TiB, the most that one file may have; divide it or ignore it "
            "(.kithignore)";
    }
}

void folder_target(struct local_seen *seen, const char *target, ssize_t len)
{
    if (len < 0) {
        seen->found = LOCAL_UNREADABLE;
        seen->text = folder_why(errno);
    } else if (len == 0 || len > FS_TARGET_BYTES_MAX) {
        seen->found = LOCAL_REFUSED;
        seen->text = "is a symlink whose text is too long";
    } else {
        seen->target = target;
        seen->target_len = (size_t)len;
    }
}

void fs_look(const struct fs_folder *folder,
             const char *name,
             struct local_seen *seen_out,
             char room[FS_TARGET_BYTES_MAX + 1])
{
    int fd = folder_openat(folder->fd, name, O_PATH | O_NOFOLLOW);

    *seen_out = (struct local_seen){.name = name, .name_len = strlen(name)};
    if (fd >= 0) {
        look_at(fd, seen_out, room);
        close(fd);
    } else if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) {
        seen_out->found = LOCAL_ABSENT; /* ELOOP: a directory above it is a symlink now */
    } else {
        seen_out->found = LOCAL_UNREADABLE;
        seen_out->text = folder_why(errno);
    }
}

int fs_folder_open_file(const struct fs_folder *folder, const char *name, int flags)
{
    /* What is a pipe by now must not stop us. */
    int fd =
        folder_openat(folder->fd, name, (uint64_t)(flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
    int errnum = errno;

    if (fd >= 0)
        return fd;
    if (errnum == ENOENT || errnum == ENOTDIR)
        return kith_fail_with(KITH_E_NOT_FOUND, "%s: no such file", name);
    if (errnum == ELOOP || errnum == EXDEV || errnum == EISDIR || errnum == ENXIO)
        return kith_fail_with(KITH_E_UNSUPPORTED, "%s: %s", name,
                              errnum == EXDEV ? folder_why(errnum) : "is no file");
    if (errnum == EACCES || errnum == EPERM)
        return kith_fail_with(KITH_E_PERMISSION, "%s: %s", name, folder_why(errnum));
    return kith_fail_with(KITH_E_IO, "%s: %s", name, folder_why(errnum));
}
