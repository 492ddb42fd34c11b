/*
 * Contents: keep, cache, parts and temporary files.
 */
#include "fs/files.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/error.h"
#include "core/limits.h"
#include "fs/files_internal.h"
#include "kith/error.h"

#define COPY_BYTES (1024 * 1024)

/* ---- steps ---- */

int files_failed(const char *what, const char *name, int errnum)
{
    int code = KITH_E_IO;

    if (errnum == ENOSPC || errnum == EDQUOT || errnum == EFBIG)
        code = KITH_E_LIMIT;
    else if (errnum == EACCES || errnum == EPERM || errnum == EROFS)
        code = KITH_E_PERMISSION;
    else if (errnum == ENOENT || errnum == ENOTDIR)
        code = KITH_E_NOT_FOUND;
    return kith_fail_with(code, "%s %s: %s%s", what, name, strerror(errnum),
                          core_errno_advice(errnum));
}

int files_sync(int fd, const char *name)
{
    if (fsync(fd) == 0)
        return 0;
    return kith_fail_with(KITH_E_IO,
                          "%s: the disk failed while it was written: %s. It does not count as "
                          "written; look at the disk (dmesg)",
                          name, strerror(errno));
}

int files_room(int fd, const char *where, uint64_t bytes)
{
    struct statvfs vfs;
    uint64_t free_bytes;

    if (fstatvfs(fd, &vfs) != 0)
        return files_failed("cannot see how much is free in", where, errno);
    free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    if (bytes <= free_bytes && free_bytes - bytes >= FS_FREE_BYTES_MIN)
        return 0;
    return kith_fail_with(KITH_E_LIMIT,
                          "%s: the disk is full: %llu MiB are needed, %llu MiB are free, of which "
                          "%llu are left to others; free some space there",
                          where, (unsigned long long)(bytes >> 20),
                          (unsigned long long)(free_bytes >> 20),
                          (unsigned long long)(FS_FREE_BYTES_MIN >> 20));
}

int fs_files_room(const struct fs_files *files, uint64_t bytes)
{
    return files_room(files->fd, files->dir, bytes);
}

int fs_write_all(int fd, const void *data, size_t len, uint64_t offset)
{
    size_t at = 0;

    while (at < len) {
        ssize_t n = pwrite(fd, (const uint8_t *)data + at, len - at, (off_t)(offset + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return files_failed("cannot write", "a file of the data directory",
                                n < 0 ? errno : EIO);
        at += (size_t)n;
    }
    return 0;
}

static int copy_by_hand(int from, int to, uint64_t size, const char *name)
{
    core_autofree uint8_t *buffer = core_malloc(COPY_BYTES);
    uint64_t at = 0;

    if (buffer == NULL)
        return KITH_E_MEMORY;
    while (at < size) {
        size_t want = size - at < COPY_BYTES ? (size_t)(size - at) : COPY_BYTES;
        ssize_t n = pread(from, buffer, want, (off_t)at);
        int r;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return files_failed("cannot read", name, errno);
        if (n == 0)
            return kith_fail_with(KITH_E_AGAIN, "%s: is shorter than it was", name);
        r = fs_write_all(to, buffer, (size_t)n, at);
        if (r != 0)
            return r;
        at += (uint64_t)n;
    }
    return 0;
}

int files_copy(int from, int to, uint64_t size, const char *name)
{
    loff_t in = 0, out = 0;
    struct stat st;

    if (fstat(from, &st) != 0)
        return files_failed("cannot read", name, errno);
    if ((uint64_t)st.st_size < size)
        return kith_fail_with(KITH_E_AGAIN, "%s: is shorter than it was", name);
    if ((uint64_t)st.st_size == size && ioctl(to, FICLONE, from) == 0)
        return 0;
    while ((uint64_t)in < size) {
        ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(size - (uint64_t)in), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
            return files_failed("cannot write", name, errno);
        if (n <= 0) /* between file systems, or not known here */
            return copy_by_hand(from, to, size, name);
    }
    return 0;
}

void files_temp_name(struct fs_files *files, const char *before, char out[64])
{
    (void)snprintf(out, 64, "%s%016llx-%llu.tmp", before, (unsigned long long)files->tag,
                   (unsigned long long)atomic_fetch_add(&files->next, 1));
}

/* ---- names ---- */

struct blob {
    char dirs[2][3];
    char name[80];
};

static void
blob_of(enum fs_room room, const uint8_t root[FS_ROOT_BYTES], uint32_t chunk, struct blob *blob)
{
    char hex[2 * FS_ROOT_BYTES + 1];

    hex_encode(root, FS_ROOT_BYTES, hex);
    memcpy(blob->dirs[0], hex, 2);
    memcpy(blob->dirs[1], hex + 2, 2);
    blob->dirs[0][2] = blob->dirs[1][2] = '\0';
    if (room == FS_ROOM_CACHE)
        (void)snprintf(blob->name, sizeof(blob->name), "%s.%08x", hex, chunk);
    else
        (void)snprintf(blob->name, sizeof(blob->name), "%s", hex);
}

static int room_fd(const struct fs_files *files, enum fs_room room)
{
    return room == FS_ROOM_KEEP    ? files->keep_fd
           : room == FS_ROOM_CACHE ? files->cache_fd
                                   : files->part_fd;
}

static void path_in_room(enum fs_room room, const struct blob *blob, char out[96])
{
    if (room == FS_ROOM_PART)
        (void)snprintf(out, 96, "%s", blob->name);
    else
        (void)snprintf(out, 96, "%s/%s/%s", blob->dirs[0], blob->dirs[1], blob->name);
}

/* The directory of @blob, made if it is missing. Negative: the error is set. */
static int blob_dir(const struct fs_files *files, enum fs_room room, const struct blob *blob)
{
    int fd = room_fd(files, room), next, r = 0;
    bool first = true;

    for (unsigned i = 0; i < 2 && r == 0; i++) {
        if (mkdirat(fd, blob->dirs[i], 0700) != 0 && errno != EEXIST)
            r = files_failed("cannot make a directory in", files->dir, errno);
        next = r == 0 ? openat(fd, blob->dirs[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        if (r == 0 && next < 0)
            r = files_failed("cannot open a directory in", files->dir, errno);
        if (!first)
            close(fd);
        first = false;
        fd = next;
    }
    return r == 0 ? fd : r;
}

static bool is_set(const _Atomic uint64_t *bits, unsigned i)
{
    return (atomic_load(&bits[i / 64]) >> i % 64 & 1) != 0;
}

static void set(_Atomic uint64_t *bits, unsigned i)
{
    atomic_fetch_or(&bits[i / 64], 1ull << i % 64);
}

/* The directory @fd of @root in the keep, and that it is there itself. */
static int sync_dirs(struct fs_files *files, const uint8_t root[FS_ROOT_BYTES], int fd)
{
    unsigned no = (unsigned)root[0] << 8 | root[1];
    int above, r = files_sync(fd, files->dir);

    if (r == 0 && !is_set(files->synced, no)) {
        above = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (above < 0)
            return files_failed("cannot open a directory in", files->dir, errno);
        r = files_sync(above, files->dir);
        close(above);
        if (r == 0)
            set(files->synced, no);
    }
    if (r == 0 && !is_set(files->synced_above, root[0])) {
        r = files_sync(files->keep_fd, files->dir);
        if (r == 0)
            set(files->synced_above, root[0]);
    }
    return r;
}

/* ---- contents ---- */

int fs_content_open(const struct fs_files *files,
                    enum fs_room room,
                    const uint8_t root[FS_ROOT_BYTES],
                    uint32_t chunk)
{
    struct blob blob;
    char path[96];
    int fd;

    blob_of(room, root, chunk, &blob);
    path_in_room(room, &blob, path);
    fd = openat(room_fd(files, room), path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0)
        return fd;
    return errno == ENOENT ? KITH_E_NOT_FOUND : files_failed("cannot open", path, errno);
}

int fs_content_remove(struct fs_files *files,
                      enum fs_room room,
                      const uint8_t root[FS_ROOT_BYTES],
                      uint32_t chunk)
{
    struct blob blob;
    char path[96];

    blob_of(room, root, chunk, &blob);
    path_in_room(room, &blob, path);
    if (unlinkat(room_fd(files, room), path, 0) == 0 || errno == ENOENT)
        return 0;
    return files_failed("cannot remove", path, errno);
}

/* Reads the name of a blob; false if it is none. */
static bool
blob_read(enum fs_room room, const char *name, uint8_t root[FS_ROOT_BYTES], uint32_t *chunk_out)
{
    char hex[2 * FS_ROOT_BYTES + 1], *end;
    size_t len = strlen(name), want = 2 * FS_ROOT_BYTES + (room == FS_ROOM_CACHE ? 9 : 0);

    *chunk_out = 0;
    if (len != want)
        return false;
    memcpy(hex, name, 2 * FS_ROOT_BYTES);
    hex[2 * FS_ROOT_BYTES] = '\0';
    if (hex_decode(hex, root, FS_ROOT_BYTES) != 0)
        return false;
    if (room != FS_ROOM_CACHE)
        return true;
    *chunk_out = (uint32_t)strtoul(name + 2 * FS_ROOT_BYTES + 1, &end, 16);
    return name[2 * FS_ROOT_BYTES] == '.' && *end == '\0';
}

static int each_in(int dir_fd, enum fs_room room, unsigned depth, fs_content_fn fn, void *user)
{
    DIR *dir = fdopendir(dir_fd);
    const struct dirent *entry;
    int r = 0;

    if (dir == NULL) {
        r = files_failed("cannot read", "a directory of the data directory", errno);
        close(dir_fd);
        return r;
    }
    while (r == 0 && (entry = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe) */
        uint8_t root[FS_ROOT_BYTES];
        uint32_t chunk;
        struct stat st;

        if (entry->d_name[0] == '.')
            continue;
        if (depth > 0) {
            int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (fd >= 0)
                r = each_in(fd, room, depth - 1, fn, user);
        } else if (blob_read(room, entry->d_name, root, &chunk) &&
                   fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            r = fn(user, root, chunk, (uint64_t)st.st_size);
        }
    }
    (void)closedir(dir);
    return r;
}

int fs_content_each(const struct fs_files *files, enum fs_room room, fs_content_fn fn, void *user)
{
    int fd = openat(room_fd(files, room), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return files_failed("cannot read", files->dir, errno);
    return each_in(fd, room, room == FS_ROOM_PART ? 0 : 2, fn, user);
}

/* ---- writing ---- */

int fs_cache_write(struct fs_files *files,
                   const uint8_t root[FS_ROOT_BYTES],
                   uint32_t chunk,
                   const void *data,
                   size_t len)
{
    struct blob blob;
    char temp[64];
    int fd, dir_fd, r = fs_files_room(files, len);

    if (r != 0)
        return r;
    files_temp_name(files, "", temp);
    fd = openat(files->tmp_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return files_failed("cannot write to", files->dir, errno);
    if (!bytes_are_zero(data, len))
        r = fs_write_all(fd, data, len, 0);
    else if (ftruncate(fd, (off_t)len) != 0) /* a hole */
        r = files_failed("cannot write to", files->dir, errno);
    close(fd);
    blob_of(FS_ROOM_CACHE, root, chunk, &blob);
    dir_fd = r == 0 ? blob_dir(files, FS_ROOM_CACHE, &blob) : -1;
    if (r == 0 && dir_fd < 0)
        r = dir_fd;
    if (r == 0 && renameat(files->tmp_fd, temp, dir_fd, blob.name) != 0)
        r = files_failed("cannot write", blob.name, errno);
    if (r != 0)
        (void)unlinkat(files->tmp_fd, temp, 0);
    if (dir_fd >= 0)
        close(dir_fd);
    return r;
}

int fs_part_open(struct fs_files *files,
                 const uint8_t root[FS_ROOT_BYTES],
                 uint64_t size,
                 bool *old_out)
{
    struct blob blob;
    struct stat st;
    uint64_t have = 0;
    int fd, r = 0;

    blob_of(FS_ROOM_PART, root, 0, &blob);
    fd = openat(files->part_fd, blob.name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    *old_out = fd >= 0;
    if (fd < 0 && errno == ENOENT)
        fd = openat(files->part_fd, blob.name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return files_failed("cannot write", blob.name, errno);
    if (fstat(fd, &st) == 0)
        have = (uint64_t)st.st_blocks * 512;
    r = fs_files_room(files, size > have ? size - have : 0);
    if (r == 0 && ftruncate(fd, (off_t)size) != 0)
        r = files_failed("cannot write", blob.name, errno);
    if (r == 0)
        return fd;
    close(fd);
    if (!*old_out)
        (void)unlinkat(files->part_fd, blob.name, 0);
    return r;
}

/* A second name for what @fd has, in place of whatever has it: that may be damaged. By way of a
 * name in tmp. */
static int link_over(struct fs_files *files, int fd, int dir_fd, const char *name)
{
    char path[64], temp[64];
    int r = 0;

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    files_temp_name(files, "", temp);
    if (linkat(AT_FDCWD, path, files->tmp_fd, temp, AT_SYMLINK_FOLLOW) != 0 ||
        renameat(files->tmp_fd, temp, dir_fd, name) != 0)
        r = files_failed("cannot keep", name, errno);
    /* After an error, or where both are the same file already. */
    (void)unlinkat(files->tmp_fd, temp, 0);
    return r;
}

static bool is_file(int fd, int dir_fd, const char *name)
{
    struct stat is, named;

    return fstat(fd, &is) == 0 && fstatat(dir_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           is.st_dev == named.st_dev && is.st_ino == named.st_ino;
}

/*
 * What @name in @from_fd (NULL: the descriptor, which has no name) has becomes the content. Where
 * it has become it already, FS_PART_KEPT.
 */
static int into_keep(struct fs_files *files,
                     const uint8_t root[FS_ROOT_BYTES],
                     int fd,
                     int from_fd,
                     const char *name)
{
    struct blob blob;
    bool kept = false;
    int dir_fd, r = files_sync(fd, "a content");

    blob_of(FS_ROOM_KEEP, root, 0, &blob);
    dir_fd = r == 0 ? blob_dir(files, FS_ROOM_KEEP, &blob) : -1;
    if (r == 0 && dir_fd < 0)
        r = dir_fd;
    if (r == 0 && name == NULL)
        r = link_over(files, fd, dir_fd, blob.name);
    else if (r == 0 && renameat(from_fd, name, dir_fd, blob.name) != 0) {
        int failed = errno;
        kept = failed == ENOENT && is_file(fd, dir_fd, blob.name);
        if (!kept)
            r = files_failed("cannot keep", blob.name, failed);
    }
    if (r == 0)
        r = sync_dirs(files, root, dir_fd);
    if (r != 0 && dir_fd >= 0 && name == NULL)
        (void)unlinkat(dir_fd, blob.name, 0);
    if (dir_fd >= 0)
        close(dir_fd);
    close(fd);
    return r == 0 && kept ? FS_PART_KEPT : r;
}

void files_content_name(const uint8_t root[FS_ROOT_BYTES], char out[FS_CONTENT_NAME_BYTES])
{
    struct blob blob;

    blob_of(FS_ROOM_KEEP, root, 0, &blob);
    path_in_room(FS_ROOM_KEEP, &blob, out);
}

/* The name comes before the sync, so that a journal takes both at once: a name without its bytes is
 * in no record. Where the name is there already its bytes must be on the disk first. */
static int name_and_sync(struct fs_files *files,
                         const uint8_t root[FS_ROOT_BYTES],
                         int fd,
                         const struct blob *blob,
                         int dir_fd)
{
    char path[64];
    bool is_new;
    int r;

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    is_new = linkat(AT_FDCWD, path, dir_fd, blob->name, AT_SYMLINK_FOLLOW) == 0;
    if (!is_new && errno != EEXIST)
        return KITH_E_AGAIN;
    r = files_sync(fd, "a content");
    if (r == 0 && !is_new)
        r = link_over(files, fd, dir_fd, blob->name);
    if (r == 0)
        r = sync_dirs(files, root, dir_fd);
    if (r != 0 && is_new)
        (void)unlinkat(dir_fd, blob->name, 0);
    return r;
}

int files_name_content(struct fs_files *files, const uint8_t root[FS_ROOT_BYTES], int fd)
{
    struct blob blob;
    int dir_fd, r;

    blob_of(FS_ROOM_KEEP, root, 0, &blob);
    dir_fd = blob_dir(files, FS_ROOM_KEEP, &blob);
    if (dir_fd < 0)
        return dir_fd;
    r = name_and_sync(files, root, fd, &blob, dir_fd);
    close(dir_fd);
    return r;
}

int fs_part_keep(struct fs_files *files, const uint8_t root[FS_ROOT_BYTES], int fd)
{
    struct blob blob;
    int r;

    blob_of(FS_ROOM_PART, root, 0, &blob);
    r = into_keep(files, root, fd, files->part_fd, blob.name);
    /* After a sync that failed nobody knows what the disk has. */
    if (r == KITH_E_IO)
        (void)unlinkat(files->part_fd, blob.name, 0);
    return r;
}

int fs_keep_sync(struct fs_files *files, const uint8_t root[FS_ROOT_BYTES])
{
    struct blob blob;
    int dir_fd = -1, fd = fs_content_open(files, FS_ROOM_KEEP, root, 0);
    int r = fd < 0 ? fd : files_sync(fd, "a content");

    blob_of(FS_ROOM_KEEP, root, 0, &blob);
    dir_fd = r == 0 ? blob_dir(files, FS_ROOM_KEEP, &blob) : -1;
    if (r == 0)
        r = dir_fd < 0 ? dir_fd : sync_dirs(files, root, dir_fd);
    if (dir_fd >= 0)
        close(dir_fd);
    if (fd >= 0)
        close(fd);
    return r;
}

int fs_keep_to_part(struct fs_files *files, const uint8_t root[FS_ROOT_BYTES], uint64_t size)
{
    struct blob blob;
    struct stat st;
    char path[96];
    bool moved = false;
    int fd;

    blob_of(FS_ROOM_KEEP, root, 0, &blob);
    path_in_room(FS_ROOM_KEEP, &blob, path);
    /* Whoever has it locked is about to give it a second name. */
    fd = openat(files->keep_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink == 1 &&
        (uint64_t)st.st_size == size)
        moved = renameat2(files->keep_fd, path, files->part_fd, blob.name, RENAME_NOREPLACE) == 0;
    if (fd >= 0)
        close(fd);
    return moved ? 0 : fs_content_remove(files, FS_ROOM_KEEP, root, 0);
}

int fs_temp_open(struct fs_files *files, uint64_t size)
{
    int fd, r = fs_files_room(files, size);

    if (r != 0)
        return r;
    fd = openat(files->tmp_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : files_failed("cannot write to", files->dir, errno);
}

int fs_temp_keep(struct fs_files *files, const uint8_t root[FS_ROOT_BYTES], int fd)
{
    return into_keep(files, root, fd, -1, NULL);
}

/* ---- life ---- */

static int open_dir(struct fs_files *files, const char *name, int *fd_out)
{
    if (mkdirat(files->fd, name, 0700) != 0 && errno != EEXIST)
        return files_failed("cannot make a directory in", files->dir, errno);
    *fd_out = openat(files->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd_out >= 0 ? 0 : files_failed("cannot open a directory in", files->dir, errno);
}

/* Temporary files of a former life. */
static int empty_tmp(struct fs_files *files)
{
    int fd = openat(files->tmp_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return files_failed("cannot read a directory in", files->dir, errno);
    }
    while ((entry = readdir(dir)) != NULL) /* NOLINT(concurrency-mt-unsafe) */
        if (entry->d_name[0] != '.')
            (void)unlinkat(files->tmp_fd, entry->d_name, 0);
    (void)closedir(dir);
    return 0;
}

/* That the directory of all is there itself. */
static int sync_above(const struct fs_files *files)
{
    int r, fd = openat(files->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return files_failed("cannot open the directory above", files->dir, errno);
    r = files_sync(fd, files->dir);
    close(fd);
    return r;
}

static int open_all(struct fs_files *files)
{
    int r;

    if (mkdir(files->dir, 0700) != 0 && errno != EEXIST)
        return files_failed("cannot make", files->dir, errno);
    files->fd = open(files->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (files->fd < 0)
        return files_failed("cannot open", files->dir, errno);
    r = open_dir(files, "keep", &files->keep_fd);
    if (r == 0)
        r = open_dir(files, "cache", &files->cache_fd);
    if (r == 0)
        r = open_dir(files, "part", &files->part_fd);
    if (r == 0)
        r = open_dir(files, "trash", &files->trash_fd);
    if (r == 0)
        r = open_dir(files, "tmp", &files->tmp_fd);
    if (r == 0)
        r = files_sync(files->fd, files->dir);
    if (r == 0)
        r = sync_above(files);
    files->crashed = faccessat(files->fd, PLACING_MARK, F_OK, 0) == 0;
    return r == 0 ? empty_tmp(files) : r;
}

int fs_files_open(struct fs_files **files_out, const char *dir)
{
    struct fs_files *files = core_calloc(1, sizeof(*files));
    int r;

    if (files == NULL)
        return KITH_E_MEMORY;
    files->fd = files->keep_fd = files->cache_fd = files->part_fd = -1;
    files->trash_fd = files->tmp_fd = -1;
    files->dir = core_strndup(dir, strlen(dir));
    if (files->dir == NULL || pthread_mutex_init(&files->lock, NULL) != 0) {
        core_free(files->dir);
        core_free(files);
        return KITH_E_MEMORY;
    }
    r = getrandom(&files->tag, sizeof(files->tag), 0) == (ssize_t)sizeof(files->tag)
            ? open_all(files)
            : files_failed("no random number for", dir, errno);
    if (r != 0) {
        fs_files_close(files);
        return r;
    }
    *files_out = files;
    return 0;
}

void fs_files_close(struct fs_files *files)
{
    if (files == NULL)
        return;
    if (files->placing || files->crashed) /* an orderly end: nothing was left anywhere */
        (void)unlinkat(files->fd, PLACING_MARK, 0);
    const int fds[] = {files->keep_fd,  files->cache_fd, files->part_fd,
                       files->trash_fd, files->tmp_fd,   files->fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    pthread_mutex_destroy(&files->lock);
    core_free(files->dir);
    core_free(files);
}
