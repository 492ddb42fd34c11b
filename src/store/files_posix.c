/*
 * The folder of the store: made private, locked, with a reserve of disk space.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "store/base.h"

static int path_of(const struct folder *folder, const char *name, char out[PATH_MAX])
{
    int n = snprintf(out, PATH_MAX, "%s/%s", folder->path, name);

    if (n < 0 || n >= PATH_MAX)
        return kith_fail_with(KITH_E_INVALID, "store %s: the path is too long", folder->path);
    return 0;
}

static int io_failed(const char *what, const char *path)
{
    int code = errno == EACCES || errno == EPERM ? KITH_E_PERMISSION : KITH_E_IO;

    return kith_fail_with(code, "store: cannot %s %s: %s", what, path, strerror(errno));
}

int store_disk_failed(const char *path, const char *doing, int code)
{
    return kith_fail_with(KITH_E_IO,
                          "store %s: the disk failed while %s: %s. What it holds now is not "
                          "certain, so this process ends; look at the disk (dmesg), then start "
                          "again",
                          path, doing, strerror(code));
}

static int sync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = 0;

    if (fd < 0)
        return io_failed("open", path);
    if (fsync(fd) != 0)
        r = io_failed("sync", path);
    close(fd);
    return r;
}

int folder_sync(const struct folder *folder)
{
    return sync_dir(folder->path);
}

/* ---- private, and ours ---- */

static int check_private(const char *path, const char *mode)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return errno == ENOENT ? 0 : io_failed("read", path);
    if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return kith_fail_with(KITH_E_PERMISSION,
                              "%s: others may use it (mode %04o); run: chmod %s %s", path,
                              (unsigned)(st.st_mode & 07777), mode, path);
    return 0;
}

static int check_all_private(const struct folder *folder)
{
    static const char *const names[] = {"data.mdb", "log", "reserve", "lock"};
    char path[PATH_MAX];
    int r = check_private(folder->path, "0700");

    for (size_t i = 0; r == 0 && i < sizeof names / sizeof names[0]; i++) {
        r = path_of(folder, names[i], path);
        if (r == 0)
            r = check_private(path, "0600");
    }
    return r;
}

static int in_use(const char *path, int fd)
{
    char text[32] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return kith_fail_with(KITH_E_IN_USE,
                          "store %s: in use by process %s; stop it or take another data directory",
                          path, text[0] != '\0' ? text : "(unknown)");
}

/* flock() belongs to the open file: a second opening by this process is refused as well. */
static int take_lock(struct folder *folder)
{
    char path[PATH_MAX], text[32];
    int r = path_of(folder, "lock", path);
    int fd, n;

    if (r != 0)
        return r;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return io_failed("open", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        r = errno == EWOULDBLOCK ? in_use(folder->path, fd) : io_failed("lock", path);
        close(fd);
        return r;
    }
    /* The pid is only for the sentence above, so a full disk may swallow it. */
    n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, text, (size_t)n, 0);
    folder->lock_fd = fd;
    return 0;
}

static int open_reserve(struct folder *folder)
{
    char path[PATH_MAX];
    struct stat st;
    int r = path_of(folder, "reserve", path);

    if (r != 0)
        return r;
    folder->reserve_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (folder->reserve_fd < 0 || fstat(folder->reserve_fd, &st) != 0)
        return io_failed("open", path);
    folder->reserve_bytes = (uint64_t)st.st_size;
    return 0;
}

static int make_folder(struct folder *folder, const char *dir)
{
    if (mkdir(folder->path, 0700) == 0)
        return sync_dir(dir);
    return errno == EEXIST ? 0 : io_failed("make", folder->path);
}

int folder_open(struct folder *folder, const char *dir)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/store", dir);
    int r;

    *folder = (struct folder){.lock_fd = -1, .reserve_fd = -1};
    if (n < 0 || n >= (int)sizeof path)
        return kith_fail_with(KITH_E_INVALID, "store %s/store: the path is too long", dir);
    folder->path = core_strndup(path, (size_t)n);
    if (folder->path == NULL)
        return KITH_E_MEMORY;
    r = make_folder(folder, dir);
    if (r == 0)
        r = check_all_private(folder);
    if (r == 0)
        r = take_lock(folder);
    if (r == 0)
        r = open_reserve(folder);
    if (r != 0)
        folder_close(folder);
    return r;
}

void folder_close(struct folder *folder)
{
    if (folder->path == NULL)
        return;
    if (folder->reserve_fd >= 0)
        close(folder->reserve_fd);
    if (folder->lock_fd >= 0) {
        (void)!ftruncate(folder->lock_fd, 0);
        close(folder->lock_fd);
    }
    core_free(folder->path);
    *folder = (struct folder){.lock_fd = -1, .reserve_fd = -1};
}

/* ---- space ---- */

int file_allocate(int fd, const char *path, uint64_t from, uint64_t to)
{
    int r;

    do {
        r = posix_fallocate(fd, (off_t)from, (off_t)(to - from));
    } while (r == EINTR);
    if (r == 0)
        return 0;
    (void)kith_fail_with(KITH_E_IO, "store: no room on the disk for %llu more KiB of %s: %s",
                         (unsigned long long)((to - from) / 1024), path, strerror(r));
    return r == ENOSPC || r == EDQUOT || r == EFBIG ? BASE_NO_ROOM : KITH_E_IO;
}

int folder_fill_reserve(struct folder *folder, uint64_t bytes)
{
    int r;

    if (folder->reserve_bytes >= bytes)
        return 0;
    r = file_allocate(folder->reserve_fd, folder->path, folder->reserve_bytes, bytes);
    if (r == 0)
        folder->reserve_bytes = bytes;
    else /* what a failed try took would be missing for the data */
        (void)!ftruncate(folder->reserve_fd, (off_t)folder->reserve_bytes);
    return r;
}

int folder_draw_reserve(struct folder *folder, uint64_t bytes)
{
    uint64_t left = folder->reserve_bytes > bytes ? folder->reserve_bytes - bytes : 0;

    if (folder->reserve_bytes == 0)
        return BASE_NO_ROOM;
    if (ftruncate(folder->reserve_fd, (off_t)left) != 0)
        return io_failed("shorten the reserve in", folder->path);
    folder->reserve_bytes = left;
    return 0;
}
