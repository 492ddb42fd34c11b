/*
 * The names of a power cut (unsynced.c): what was made, linked, renamed or removed in a directory
 * is undone unless that directory was synced since. A rename into another directory is on the disk
 * when each of the two is synced; with the new one alone the file may have both names.
 *
 * Without a seed all of it is undone, as POSIX allows. With one it is the disk of a journal: of
 * what was not synced the first so many changes stay, by chance. What is undone is put right from
 * the latest to the first, each name to what it was before that change.
 *
 * Left out: directories that are renamed, or removed (they stay), sockets and devices.
 */
#undef _FILE_OFFSET_BITS

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "unsynced.h"

struct dir {
    struct dir *next;
    dev_t dev;
    ino_t ino;
    int fd;
};

struct change {
    struct change *older, *newer;
    uint64_t operation; /* those of one rename are one */
    struct dir *dir;
    char name[NAME_MAX + 1];
    struct file *was; /* what had the name before */
    char *target;     /* a symlink had it */
};

static struct dir *dirs;
static struct change *oldest, *newest;
static uint64_t operations_n;

/* ---- where it is ---- */

struct place {
    struct dir *dir;
    const char *base;
};

static struct dir *dir_of(int fd)
{
    char link[64], path[PATH_MAX];
    struct stat st;
    struct dir *dir;

    if (fstat(fd, &st) != 0)
        return NULL;
    for (dir = dirs; dir != NULL; dir = dir->next)
        if (dir->dev == st.st_dev && dir->ino == st.st_ino)
            return dir;
    if (!S_ISDIR(st.st_mode) || !unsynced_path(fd, path, sizeof path) || !unsynced_below(path))
        return NULL;
    dir = calloc(1, sizeof *dir);
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (dir == NULL)
        unsynced_give_up("out of memory");
    *dir = (struct dir){.next = dirs, .dev = st.st_dev, .ino = st.st_ino};
    dir->fd = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir->fd < 0)
        unsynced_give_up("a directory cannot be opened again");
    dirs = dir;
    return dir;
}

/* False: it is in none of our directories. */
static bool place_of(int at, const char *path, struct place *place)
{
    const char *slash = strrchr(path, '/');
    char above[PATH_MAX];
    int fd;

    place->base = slash != NULL ? slash + 1 : path;
    if (place->base[0] == '\0' || strlen(place->base) > NAME_MAX)
        return false;
    (void)snprintf(above, sizeof above, "%.*s", slash != NULL ? (int)(slash - path + 1) : 1,
                   slash != NULL ? path : ".");
    fd = (int)syscall(SYS_openat, at, above, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    place->dir = dir_of(fd);
    (void)close(fd);
    return place->dir != NULL;
}

/* ---- changes ---- */

static bool is_there(const struct place *place)
{
    struct stat st;

    return fstatat(place->dir->fd, place->base, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_no_dir(int at, const char *path)
{
    struct stat st;

    return fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode);
}

/* What the name has now. NULL: it is nothing that can be put back. */
static struct change *change_of(const struct place *place)
{
    struct change *change = calloc(1, sizeof *change);
    char target[PATH_MAX];
    struct stat st;
    int fd;

    if (change == NULL)
        unsynced_give_up("out of memory");
    change->dir = place->dir;
    (void)snprintf(change->name, sizeof change->name, "%s", place->base);
    if (fstatat(place->dir->fd, place->base, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return change;
    if (S_ISREG(st.st_mode)) {
        fd = (int)syscall(SYS_openat, place->dir->fd, place->base, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
        change->was = fd >= 0 ? unsynced_file_of(fd) : NULL;
        if (fd >= 0)
            (void)close(fd);
    } else if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlinkat(place->dir->fd, place->base, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        change->target = strdup(target);
    }
    if (change->was == NULL && change->target == NULL) {
        free(change);
        return NULL;
    }
    if (change->was != NULL)
        change->was->names_n++;
    return change;
}

static void change_free(struct change *change)
{
    if (change == NULL)
        return;
    if (change->was != NULL) {
        change->was->names_n--;
        unsynced_file_free_if_clean(change->was);
    }
    free(change->target);
    free(change);
}

static void change_add(struct change *change, uint64_t operation)
{
    if (change == NULL)
        return;
    change->operation = operation;
    change->older = newest;
    *(newest != NULL ? &newest->newer : &oldest) = change;
    newest = change;
}

/* It happened, or it did not. */
static int over(int r, struct change *a, struct change *b)
{
    int error = errno;

    if (r >= 0) {
        operations_n++;
        change_add(b, operations_n); /* undone last, so that the file has a name all the time */
        change_add(a, operations_n);
    } else {
        change_free(a);
        change_free(b);
    }
    errno = error;
    return r;
}

static void change_remove(struct change *change)
{
    *(change->older != NULL ? &change->older->newer : &oldest) = change->newer;
    *(change->newer != NULL ? &change->newer->older : &newest) = change->older;
    change_free(change);
}

bool unsynced_names_synced(int fd)
{
    struct dir *dir = dir_of(fd);

    if (dir == NULL)
        return false;
    for (struct change *change = oldest, *next; change != NULL; change = next) {
        next = change->newer;
        if (change->dir == dir)
            change_remove(change);
    }
    return true;
}

/* ---- the cut ---- */

static void remove_all(int at, const char *name)
{
    const struct dirent *entry;
    DIR *all;
    int fd;

    if (syscall(SYS_unlinkat, at, name, 0) == 0 || errno == ENOENT)
        return;
    fd = (int)syscall(SYS_openat, at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    all = fd >= 0 ? fdopendir(fd) : NULL;
    while (all != NULL && (entry = readdir(all)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            remove_all(fd, entry->d_name);
    if (all != NULL)
        (void)closedir(all);
    if (syscall(SYS_unlinkat, at, name, AT_REMOVEDIR) != 0)
        unsynced_give_up("a directory that was not synced cannot be removed");
}

/* A file that has no name any more cannot get one: its bytes go into another. */
static void copy_back(const struct change *change)
{
    static char bytes[1 << 16];
    off_t at = 0;
    ssize_t n;
    int fd = (int)syscall(SYS_openat, change->dir->fd, change->name,
                          O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        unsynced_give_up("a file cannot be made again");
    while ((n = pread(change->was->fd, bytes, sizeof bytes, at)) > 0) {
        if (syscall(SYS_pwrite64, fd, bytes, n, at) != n)
            unsynced_give_up("a file cannot be made again");
        at += n;
    }
    if (dup2(fd, change->was->fd) < 0) /* its other names */
        unsynced_give_up("a file cannot be made again");
}

static void name_back(const struct change *change)
{
    char link[64];
    struct stat st;

    if (change->target != NULL) {
        (void)syscall(SYS_symlinkat, change->target, change->dir->fd, change->name);
        return;
    }
    if (fstat(change->was->fd, &st) != 0)
        unsynced_give_up("a file cannot be looked at");
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", change->was->fd);
    if (st.st_nlink == 0)
        copy_back(change);
    else if (syscall(SYS_linkat, AT_FDCWD, link, change->dir->fd, change->name,
                     AT_SYMLINK_FOLLOW) != 0)
        unsynced_give_up("a file cannot get its name back");
}

void unsynced_names_put_back(void)
{
    uint64_t seed = unsynced_seed(), kept = 0;

    if (seed != 0) {
        for (const struct change *change = oldest; change != NULL; change = change->newer)
            kept++;
        kept = (seed * 0x9e3779b97f4a7c15u >> 33) % (kept + 1);
    }
    const struct change *first = oldest;
    while (first != NULL && kept-- > 0)
        first = first->newer;
    /* Nothing is half renamed. */
    while (first != NULL && first->older != NULL && first->older->operation == first->operation)
        first = first->older;
    for (const struct change *change = newest; first != NULL && change != NULL;
         change = change->older) {
        remove_all(change->dir->fd, change->name);
        if (change->was != NULL || change->target != NULL)
            name_back(change);
        if (change == first)
            break;
    }
}

/* ---- in place of the C library's ---- */

static int open_at(int at, const char *path, int flags, mode_t mode)
{
    struct place place;
    struct change *change = NULL;
    int fd;

    if ((flags & (O_CREAT | O_TRUNC)) == 0 || (flags & O_TMPFILE) == O_TMPFILE)
        return (int)syscall(SYS_openat, at, path, flags, mode);
    unsynced_lock();
    bool ours = place_of(at, path, &place);
    if (ours && (flags & O_CREAT) != 0 && !is_there(&place))
        change = change_of(&place);
    fd = (int)syscall(SYS_openat, at, path, ours ? flags & ~O_TRUNC : flags, mode);
    if (change != NULL)
        (void)over(fd, change, NULL);
    unsynced_unlock();
    if (ours && fd >= 0 && (flags & O_TRUNC) != 0)
        (void)ftruncate(fd, 0);
    return fd;
}

#define OPENING(name, at, ...)                                                                     \
    va_list args;                                                                                  \
    mode_t mode;                                                                                   \
    va_start(args, flags);                                                                         \
    mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;                        \
    va_end(args);                                                                                  \
    return open_at(at, path, flags, mode)

SHOWN int openat(int at, const char *path, int flags, ...)
{
    OPENING(openat, at);
}

SHOWN int openat64(int at, const char *path, int flags, ...)
{
    OPENING(openat64, at);
}

SHOWN int open(const char *path, int flags, ...)
{
    OPENING(open, AT_FDCWD);
}

SHOWN int open64(const char *path, int flags, ...)
{
    OPENING(open64, AT_FDCWD);
}

/* One name: @call is what happens to it. */
#define NAMING(at, path, call)                                                                     \
    do {                                                                                           \
        struct place place;                                                                        \
        struct change *change;                                                                     \
        int r;                                                                                     \
        unsynced_lock();                                                                           \
        change = place_of(at, path, &place) ? change_of(&place) : NULL;                            \
        r = over((int)(call), change, NULL);                                                       \
        unsynced_unlock();                                                                         \
        return r;                                                                                  \
    } while (0)

SHOWN int mkdirat(int at, const char *path, mode_t mode)
{
    NAMING(at, path, syscall(SYS_mkdirat, at, path, mode));
}

SHOWN int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

SHOWN int symlinkat(const char *target, int at, const char *path)
{
    NAMING(at, path, syscall(SYS_symlinkat, target, at, path));
}

SHOWN int unlinkat(int at, const char *path, int flags)
{
    NAMING(at, path, syscall(SYS_unlinkat, at, path, flags));
}

SHOWN int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

SHOWN int linkat(int from, const char *name, int at, const char *path, int flags)
{
    NAMING(at, path, syscall(SYS_linkat, from, name, at, path, flags));
}

SHOWN int link(const char *name, const char *path)
{
    return linkat(AT_FDCWD, name, AT_FDCWD, path, 0);
}

SHOWN int renameat2(int from, const char *name, int to, const char *path, unsigned flags)
{
    struct place a, b;
    struct change *of_a, *of_b;
    int r;

    unsynced_lock();
    of_a = place_of(from, name, &a) ? change_of(&a) : NULL;
    of_b = place_of(to, path, &b) && is_no_dir(from, name) ? change_of(&b) : NULL;
    r = over((int)syscall(SYS_renameat2, from, name, to, path, flags), of_a, of_b);
    unsynced_unlock();
    return r;
}

SHOWN int renameat(int from, const char *name, int to, const char *path)
{
    return renameat2(from, name, to, path, 0);
}

SHOWN int rename(const char *name, const char *path)
{
    return renameat2(AT_FDCWD, name, AT_FDCWD, path, 0);
}
