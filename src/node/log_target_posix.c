/*
 * Writing without waiting, to descriptors that are not ours to make non-blocking (stderr is shared
 * with other processes): poll() says whether a pipe or terminal takes PIPE_BUF bytes, which is more
 * than a line. The journal's stream is a socket and takes MSG_DONTWAIT. Lines to files are
 * appended, so that several processes may share one.
 */
#include "node/log_target.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/log_line.h"

static_assert(LOG_LINE_BYTES + 4 <= PIPE_BUF, "a line with its prefix is one atomic write");

static int fail_errno(const char *path)
{
    int code = errno == ENOENT ? KITH_E_NOT_FOUND : errno == EACCES ? KITH_E_PERMISSION : KITH_E_IO;
    return kith_fail_with(code, "the log file %s cannot be opened: %s; choose another log.target",
                          path, strerror(errno));
}

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
}

static bool is_regular(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* systemd says in JOURNAL_STREAM which device and inode its stream has. */
static bool stderr_is_journal(void)
{
    const char *text = getenv("JOURNAL_STREAM");
    unsigned long long device;
    unsigned long long inode;
    struct stat st;
    char *end;
    if (text == NULL || fstat(STDERR_FILENO, &st) != 0)
        return false;
    device = strtoull(text, &end, 10);
    if (*end != ':')
        return false;
    inode = strtoull(end + 1, NULL, 10);
    return device == (unsigned long long)st.st_dev && inode == (unsigned long long)st.st_ino;
}

int log_target_open(struct log_target *target, const char *choice)
{
    *target = (struct log_target){.fd = STDERR_FILENO};
    if (choice == NULL || strcmp(choice, "stderr") == 0 || strcmp(choice, "journal") == 0) {
        target->journal = (choice != NULL && choice[0] == 'j') || stderr_is_journal();
        target->file = is_regular(target->fd);
        return 0;
    }
    target->path = core_strndup(choice, strlen(choice));
    if (target->path == NULL)
        return kith_fail_with(KITH_E_MEMORY, "the log cannot be opened: out of memory");
    target->fd = open_file(target->path);
    if (target->fd < 0) {
        int r = fail_errno(target->path);
        log_target_close(target);
        return r;
    }
    target->file = is_regular(target->fd);
    return 0;
}

void log_target_close(struct log_target *target)
{
    if (target->path != NULL && target->fd >= 0)
        (void)close(target->fd);
    core_free(target->path);
    *target = (struct log_target){.fd = -1};
}

int log_target_reopen(struct log_target *target)
{
    if (target->path == NULL)
        return 0;
    int fd = open_file(target->path);
    if (fd < 0)
        return fail_errno(target->path);
    (void)close(target->fd);
    target->fd = fd;
    target->file = is_regular(fd);
    return 0;
}

static ssize_t write_once(struct log_target *target, const char *line, size_t len)
{
    ssize_t n;
    if (!target->file) {
        struct pollfd ready = {.fd = target->fd, .events = POLLOUT};
        if (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0)
            return -1;
        n = send(target->fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0 || errno != ENOTSOCK)
            return n;
    }
    do {
        n = write(target->fd, line, len);
    } while (n < 0 && errno == EINTR);
    return n;
}

bool log_target_write(struct log_target *target, const char *line, size_t len)
{
    if (write_once(target, line, len) == (ssize_t)len)
        return true;
    target->lost++;
    return false;
}

uint64_t log_target_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
