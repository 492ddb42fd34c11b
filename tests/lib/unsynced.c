/*
 * A power cut for one process: preloaded, it forgets on SIGUSR2 what was written but not synced.
 *
 *   LD_PRELOAD=libunsynced.so KITH_UNSYNCED_DIR=/some/dir:/other KITH_UNSYNCED_SEED=7 PROGRAM
 *
 * Before each write to a file below the directories the old bytes are kept, until a sync of that
 * file or because the descriptor has O_DSYNC. SIGUSR2 puts them back and kills the process. A disk
 * may also have written some of it, in any order: with a seed each sector of 512 bytes is put back
 * or not by chance, and so is the size; without one (or 0) everything is. Syncs themselves are left
 * out, as nobody pulls a real plug. Names are in unsynced_names.c.
 *
 * Left out: writes through a shared mapping. Copies within the kernel (copy_file_range, FICLONE)
 * are refused, so that programs write.
 */
#undef _FILE_OFFSET_BITS /* with it pwrite() here would be named pwrite64() */

#include "unsynced.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES_MAX    4096
#define DIRS_MAX     8
#define SECTOR_BYTES 512

struct undo {
    struct undo *next; /* the one before it in time */
    struct file *file;
    off_t at;
    size_t len;
    uint8_t old[];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct file *known[FILES_MAX];
static size_t known_n;
static struct undo *newest;
static char dirs[DIRS_MAX][4096];
static size_t dirs_n;
static uint64_t seed;

void unsynced_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void unsynced_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

void unsynced_give_up(const char *why)
{
    (void)fprintf(stderr, "unsynced: %s: %s\n", why, strerror(errno));
    abort();
}

uint64_t unsynced_seed(void)
{
    return seed;
}

/* ---- files ---- */

bool unsynced_below(const char *path)
{
    for (size_t i = 0; i < dirs_n; i++) {
        size_t len = strlen(dirs[i]);
        if (strncmp(path, dirs[i], len) == 0 && (path[len] == '/' || path[len] == '\0'))
            return true;
    }
    return false;
}

bool unsynced_path(int fd, char *out, size_t bytes)
{
    char link[64];
    ssize_t n;

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, out, bytes - 1);
    out[n > 0 ? n : 0] = '\0';
    return n > 0;
}

struct file *unsynced_file_of(int fd)
{
    char link[64], path[4096];
    struct stat st;
    struct file *file;

    if (dirs_n == 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return NULL;
    for (size_t i = 0; i < known_n; i++)
        if (known[i]->dev == st.st_dev && known[i]->ino == st.st_ino)
            return known[i];
    if (!unsynced_path(fd, path, sizeof path) || !unsynced_below(path))
        return NULL;
    file = calloc(1, sizeof *file);
    if (known_n == FILES_MAX || file == NULL)
        unsynced_give_up("too many files");
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    *file = (struct file){.dev = st.st_dev,
                          .ino = st.st_ino,
                          .fd = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDWR | O_CLOEXEC),
                          .synced_size = st.st_size};
    if (file->fd < 0)
        unsynced_give_up("a file cannot be opened again");
    known[known_n++] = file;
    return file;
}

void unsynced_file_free_if_clean(struct file *file)
{
    struct stat st;

    if (file->undos_n > 0 || file->names_n > 0 || fstat(file->fd, &st) != 0 ||
        st.st_size != file->synced_size)
        return;
    for (size_t i = 0; i < known_n; i++)
        if (known[i] == file)
            known[i] = known[--known_n];
    (void)close(file->fd);
    free(file);
}

static bool is_dsync(int fd)
{
    return (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
}

static void raw_write(const struct file *file, const uint8_t *data, size_t len, off_t at)
{
    if (syscall(SYS_pwrite64, file->fd, data, len, at) != (long)len)
        unsynced_give_up("old bytes cannot be put back");
}

/* Keeps what the file has from @at on; behind its end that is nothing, read as zeros. */
static void keep_old(struct file *file, off_t at, size_t len)
{
    struct undo *undo = calloc(1, sizeof *undo + len);

    if (undo == NULL)
        unsynced_give_up("out of memory");
    undo->file = file;
    undo->at = at;
    undo->len = len;
    if (pread(file->fd, undo->old, len, at) < 0)
        unsynced_give_up("old bytes cannot be read");
    undo->next = newest;
    newest = undo;
    file->undos_n++;
}

/* These bytes are on the disk now: nothing older comes back in their place. */
static void made_durable(const struct file *file, off_t at, size_t len)
{
    for (struct undo *undo = newest; undo != NULL; undo = undo->next) {
        off_t from = undo->at > at ? undo->at : at;
        off_t end = undo->at + (off_t)undo->len < at + (off_t)len ? undo->at + (off_t)undo->len
                                                                  : at + (off_t)len;
        if (undo->file == file && from < end &&
            pread(file->fd, undo->old + (from - undo->at), (size_t)(end - from), from) < 0)
            unsynced_give_up("new bytes cannot be read");
    }
}

static bool synced(int fd)
{
    bool ours;
    struct undo **link = &newest;
    struct file *file;
    struct stat st;

    pthread_mutex_lock(&mutex);
    file = unsynced_file_of(fd);
    while (file != NULL && *link != NULL) {
        struct undo *undo = *link;

        if (undo->file != file) {
            link = &undo->next;
            continue;
        }
        *link = undo->next;
        file->undos_n--;
        free(undo);
    }
    if (file != NULL && fstat(file->fd, &st) == 0) {
        file->synced_size = st.st_size;
        unsynced_file_free_if_clean(file);
    }
    ours = file != NULL || unsynced_names_synced(fd);
    pthread_mutex_unlock(&mutex);
    return ours;
}

/* ---- the cut ---- */

static bool chance(const struct file *file, off_t sector)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15u ^ (uint64_t)sector * 0xbf58476d1ce4e5b9u ^
                 (uint64_t)file->ino * 0x94d049bb133111ebu;

    x ^= x >> 31;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    return seed == 0 || (x & 1) != 0;
}

static void put_back(const struct undo *undo)
{
    for (size_t done = 0; done < undo->len;) {
        off_t at = undo->at + (off_t)done;
        size_t n = SECTOR_BYTES - (size_t)(at % SECTOR_BYTES);

        if (n > undo->len - done)
            n = undo->len - done;
        if (chance(undo->file, at / SECTOR_BYTES))
            raw_write(undo->file, undo->old + done, n, at);
        done += n;
    }
}

static void *cut_main(void *arg)
{
    sigset_t *set = arg;
    struct stat st;
    int signal_no;

    while (sigwait(set, &signal_no) != 0)
        ;
    pthread_mutex_lock(&mutex); /* and never unlock: no write comes any more */
    for (const struct undo *undo = newest; undo != NULL; undo = undo->next)
        put_back(undo);
    for (size_t i = 0; i < known_n; i++)
        if (fstat(known[i]->fd, &st) == 0 && st.st_size > known[i]->synced_size &&
            chance(known[i], -1) &&
            syscall(SYS_ftruncate, known[i]->fd, known[i]->synced_size) != 0)
            unsynced_give_up("a file cannot be cut");
    unsynced_names_put_back();
    (void)kill(getpid(), SIGKILL);
    return NULL;
}

__attribute__((constructor)) static void start(void)
{
    static sigset_t set;
    const char *text = getenv("KITH_UNSYNCED_DIR");
    pthread_t thread;

    if (text == NULL)
        return;
    while (*text != '\0') {
        char one[4096];
        size_t len = strcspn(text, ":");
        (void)snprintf(one, sizeof one, "%.*s", (int)len, text);
        if (dirs_n == DIRS_MAX || realpath(one, dirs[dirs_n++]) == NULL)
            unsynced_give_up("KITH_UNSYNCED_DIR is no directory");
        text += len + (text[len] == ':');
    }
    text = getenv("KITH_UNSYNCED_SEED");
    seed = text != NULL ? strtoull(text, NULL, 0) : 0;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* inherited by every thread to come */
    if (pthread_create(&thread, NULL, cut_main, &set) != 0)
        unsynced_give_up("no thread");
}

/* ---- in place of the C library's ---- */

/* Around a write of @len bytes at @at (-1: where the descriptor stands). */
#define WRITING(fd, offset, length, call)                                                          \
    do {                                                                                           \
        struct file *file;                                                                         \
        off_t at = (offset);                                                                       \
        ssize_t n;                                                                                 \
        pthread_mutex_lock(&mutex);                                                                \
        file = unsynced_file_of(fd);                                                               \
        if (file != NULL && at < 0)                                                                \
            at = lseek(fd, 0, SEEK_CUR);                                                           \
        if (file != NULL && !is_dsync(fd))                                                         \
            keep_old(file, at, length);                                                            \
        n = (call);                                                                                \
        if (file != NULL && n > 0 && is_dsync(fd))                                                 \
            made_durable(file, at, (size_t)n);                                                     \
        pthread_mutex_unlock(&mutex);                                                              \
        return n;                                                                                  \
    } while (0)

static size_t iov_bytes(const struct iovec *iov, int iov_n)
{
    size_t len = 0;

    for (int i = 0; i < iov_n; i++)
        len += iov[i].iov_len;
    return len;
}

SHOWN ssize_t write(int fd, const void *data, size_t len)
{
    WRITING(fd, -1, len, syscall(SYS_write, fd, data, len));
}

SHOWN ssize_t pwrite(int fd, const void *data, size_t len, off_t at_byte)
{
    WRITING(fd, at_byte, len, syscall(SYS_pwrite64, fd, data, len, at_byte));
}

SHOWN ssize_t pwrite64(int fd, const void *data, size_t len, off_t at_byte)
{
    return pwrite(fd, data, len, at_byte);
}

SHOWN ssize_t writev(int fd, const struct iovec *iov, int iov_n)
{
    WRITING(fd, -1, iov_bytes(iov, iov_n), syscall(SYS_writev, fd, iov, iov_n));
}

SHOWN ssize_t pwritev(int fd, const struct iovec *iov, int iov_n, off_t at_byte)
{
    WRITING(fd, at_byte, iov_bytes(iov, iov_n),
            syscall(SYS_pwritev, fd, iov, iov_n, (long)at_byte, 0L));
}

SHOWN ssize_t pwritev64(int fd, const struct iovec *iov, int iov_n, off_t at_byte)
{
    return pwritev(fd, iov, iov_n, at_byte);
}

SHOWN int fdatasync(int fd)
{
    return synced(fd) ? 0 : (int)syscall(SYS_fdatasync, fd);
}

SHOWN int fsync(int fd)
{
    return synced(fd) ? 0 : (int)syscall(SYS_fsync, fd);
}

/* A size that was not synced goes back as well. */
static void know(int fd)
{
    pthread_mutex_lock(&mutex);
    (void)unsynced_file_of(fd);
    pthread_mutex_unlock(&mutex);
}

SHOWN int posix_fallocate(int fd, off_t from, off_t len)
{
    know(fd);
    return syscall(SYS_fallocate, fd, 0, from, len) == 0 ? 0 : errno;
}

SHOWN int posix_fallocate64(int fd, off_t from, off_t len)
{
    return posix_fallocate(fd, from, len);
}

SHOWN int ftruncate(int fd, off_t size)
{
    struct file *file;
    struct stat st;
    int r;

    pthread_mutex_lock(&mutex);
    file = unsynced_file_of(fd);
    if (file != NULL && fstat(fd, &st) == 0 && size < st.st_size)
        keep_old(file, size, (size_t)(st.st_size - size));
    r = (int)syscall(SYS_ftruncate, fd, size);
    pthread_mutex_unlock(&mutex);
    return r;
}

SHOWN int ftruncate64(int fd, off_t size)
{
    return ftruncate(fd, size);
}

static bool is_ours(int fd)
{
    struct file *file;
    bool ours;

    pthread_mutex_lock(&mutex);
    file = unsynced_file_of(fd);
    ours = file != NULL;
    if (ours)
        unsynced_file_free_if_clean(file);
    pthread_mutex_unlock(&mutex);
    return ours;
}

/* Variadic in the C library; one word is what all that take anything take. */
SHOWN int ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    long value;

    va_start(args, request);
    value = va_arg(args, long);
    va_end(args);
    if (request == FICLONE && is_ours(fd)) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return (int)syscall(SYS_ioctl, fd, request, value);
}

SHOWN ssize_t copy_file_range(int from, off_t *at, int to, off_t *to_at, size_t len, unsigned flags)
{
    if (is_ours(to)) {
        errno = ENOSYS;
        return -1;
    }
    return syscall(SYS_copy_file_range, from, at, to, to_at, len, flags);
}
