/* Files that appear whole or not at all. */
#include "cli/out_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"

#define HOLE_BYTES (64u * 1024)

/* ---- where a signal ends the command ---- */

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
#define ENDING_N (sizeof(ending) / sizeof(ending[0]))

/* What the handler removes; set while it is not installed. */
static char left_over[sizeof(((struct out_file *)0)->temporary)];
static bool guarded;

static void on_ending(int signal_no)
{
    (void)unlink(left_over);
    (void)signal(signal_no, SIG_DFL);
    (void)raise(signal_no); /* delivered when this returns: the status says which it was */
}

/* What was ignored (nohup) stays so. */
static void guard_set(bool on)
{
    const struct sigaction action = {.sa_handler = on ? on_ending : SIG_DFL};
    struct sigaction old;

    if (on == guarded)
        return;
    guarded = on;
    for (size_t i = 0; i < ENDING_N; i++) {
        if (sigaction(ending[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            (void)sigaction(ending[i], &action, NULL);
    }
}

/* Between the file's name of its own and the one that it is to have nothing may end the command. */
static void hold_signals(sigset_t *old)
{
    sigset_t held;

    sigemptyset(&held);
    for (size_t i = 0; i < ENDING_N; i++)
        sigaddset(&held, ending[i]);
    (void)sigprocmask(SIG_BLOCK, &held, old);
}

/* ---- opening ---- */

static void fd_path(int fd, char out[32])
{
    snprintf(out, 32, "/proc/self/fd/%d", fd);
}

/* A file without a name beside @path; -1 if there can be none, or it could not get one later. */
static int open_nameless(const char *path)
{
    char dir[sizeof(left_over)], link[32];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL || slash == path ? 1 : (size_t)(slash - path);
    struct stat st;

    if (len >= sizeof(dir)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(dir, slash != NULL ? path : ".", len);
    dir[len] = '\0';
    int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    fd_path(fd, link);
    if (stat(link, &st) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

int out_file_open_named(struct out_file *out, const char *path)
{
    *out = (struct out_file){.fd = -1, .path = path};
    if ((size_t)snprintf(out->temporary, sizeof(out->temporary), "%s.%ld.part", path,
                         (long)getpid()) >= sizeof(out->temporary)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(left_over, out->temporary, sizeof(left_over));
    guard_set(true);
    out->fd = open(out->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out->fd >= 0)
        return 0;
    int failed = errno;
    guard_set(false);
    errno = failed;
    return -1;
}

int out_file_open(struct out_file *out, const char *path)
{
    int fd = open_nameless(path);

    if (fd < 0)
        return out_file_open_named(out, path);
    *out = (struct out_file){.fd = fd, .path = path};
    return 0;
}

/* ---- writing ---- */

static int write_at(int fd, const uint8_t *data, size_t len, uint64_t offset)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int out_file_write(struct out_file *out, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    size_t from = 0, at = 0; /* from..at is to be written */

    while (at + HOLE_BYTES <= len) {
        if (!bytes_are_zero(bytes + at, HOLE_BYTES)) {
            at += HOLE_BYTES;
            continue;
        }
        if (write_at(out->fd, bytes + from, at - from, out->size + from) != 0)
            return -1;
        at += HOLE_BYTES;
        from = at;
    }
    if (write_at(out->fd, bytes + from, len - from, out->size + from) != 0)
        return -1;
    out->size += len;
    return 0;
}

/* ---- the end ---- */

static int name_it(struct out_file *out)
{
    char link[32];

    if (out->temporary[0] != '\0')
        return rename(out->temporary, out->path);
    fd_path(out->fd, link);
    if (linkat(AT_FDCWD, link, AT_FDCWD, out->path, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno != EEXIST)
        return -1;
    /* A link replaces nothing: by way of a name that a rename can move over what is there. */
    if ((size_t)snprintf(out->temporary, sizeof(out->temporary), "%s.%ld.part", out->path,
                         (long)getpid()) >= sizeof(out->temporary)) {
        errno = ENAMETOOLONG;
        out->temporary[0] = '\0';
        return -1;
    }
    if (linkat(AT_FDCWD, link, AT_FDCWD, out->temporary, AT_SYMLINK_FOLLOW) != 0) {
        out->temporary[0] = '\0';
        return -1;
    }
    return rename(out->temporary, out->path);
}

static int end(struct out_file *out, int r)
{
    int failed = errno;

    if (close(out->fd) != 0 && r == 0) {
        failed = errno;
        r = -1;
    }
    out->fd = -1;
    if (r != 0 && out->temporary[0] != '\0')
        (void)unlink(out->temporary);
    guard_set(false);
    errno = failed;
    return r;
}

int out_file_finish(struct out_file *out, mode_t mode)
{
    sigset_t old;
    int r = ftruncate(out->fd, (off_t)out->size) == 0 && fchmod(out->fd, mode) == 0 &&
                    fsync(out->fd) == 0
                ? 0
                : -1;

    hold_signals(&old);
    if (r == 0)
        r = name_it(out);
    r = end(out, r);
    (void)sigprocmask(SIG_SETMASK, &old, NULL);
    return r;
}

void out_file_drop(struct out_file *out)
{
    if (out->fd >= 0)
        (void)end(out, -1);
}
