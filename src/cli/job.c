/* See job.h. */
#include "cli/job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/process.h"
#include "core/alloc.h"

#define READ_BYTES (64 * 1024)

enum { TO_STDIN, FROM_STDOUT, FROM_STDERR };

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* ---- starting
 * ------------------------------------------------------------------------------------- */

static int open_pipes(int ours[JOB_FDS], int theirs[JOB_FDS])
{
    for (int i = 0; i < JOB_FDS; i++)
        ours[i] = theirs[i] = -1;
    for (int i = 0; i < JOB_FDS; i++) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0)
            return -1;
        ours[i] = ends[i == TO_STDIN ? 1 : 0];
        theirs[i] = ends[i == TO_STDIN ? 0 : 1];
        if (fcntl(ours[i], F_SETFL, O_NONBLOCK) != 0)
            return -1;
    }
    return 0;
}

static _Noreturn void child(char *const *command,
                            const char *fn,
                            const char *caller,
                            const int theirs[JOB_FDS],
                            pid_t parent)
{
    static const char cannot[] = "the command cannot be run: ";
    sigset_t none;

    process_die_with_parent(parent);
    (void)setpgid(0, 0);
    for (int i = 0; i < JOB_FDS; i++) {
        if (dup2(theirs[i], i) < 0)
            _exit(126);
    }
    /* Only what we changed: an ignored SIGPIPE would break "CMD | head" inside scripts. */
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGCHLD, SIG_DFL);
    (void)signal(SIGTERM, SIG_DFL);
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGHUP, SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setenv("KITH_FUNCTION", fn, 1);
    (void)setenv("KITH_CALLER", caller, 1);
    (void)execvp(command[0], command);
    const char *why = strerror(errno);
    int code = errno == ENOENT ? 127 : 126;
    (void)!write(STDERR_FILENO, cannot, sizeof(cannot) - 1);
    (void)!write(STDERR_FILENO, why, strlen(why));
    _exit(code);
}

int job_start(struct job *job,
              char *const *command,
              const char *fn,
              const char *caller,
              struct buf *argument,
              uint64_t now_ms,
              uint64_t deadline_ms)
{
    int theirs[JOB_FDS];
    pid_t parent = getpid();
    pid_t pid = -1;

    if (open_pipes(job->fds, theirs) == 0)
        pid = fork();
    if (pid == 0)
        child(command, fn, caller, theirs, parent);
    int failed = errno;
    for (int i = 0; i < JOB_FDS; i++)
        close_fd(&theirs[i]);
    if (pid < 0) {
        for (int i = 0; i < JOB_FDS; i++)
            close_fd(&job->fds[i]);
        errno = failed;
        return -1;
    }
    (void)setpgid(pid, pid); /* here too: whoever is first */
    job->pid = pid;
    job->argument = *argument;
    *argument = (struct buf){0};
    job->term_at_ms = deadline_ms == UINT64_MAX ? UINT64_MAX : now_ms + deadline_ms;
    job->kill_at_ms = UINT64_MAX;
    if (job->argument.len == 0)
        close_fd(&job->fds[TO_STDIN]);
    return 0;
}

/* ---- input and output
 * ------------------------------------------------------------------------------ */

void job_poll(const struct job *job, struct pollfd fds[JOB_FDS])
{
    for (int i = 0; i < JOB_FDS; i++)
        fds[i] = (struct pollfd){.fd = job->fds[i], .events = i == TO_STDIN ? POLLOUT : POLLIN};
}

static void write_argument(struct job *job)
{
    ssize_t n = write(job->fds[TO_STDIN], job->argument.data + job->written,
                      job->argument.len - job->written);

    if (n > 0)
        job->written += (size_t)n;
    /* A command that does not read all of its input is fine: head does not. */
    if (job->written == job->argument.len || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        close_fd(&job->fds[TO_STDIN]);
        buf_deinit(&job->argument);
        job->written = 0;
    }
}

static void take_error(struct job *job, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        job->error[job->error_n++ % RPC_ERROR_TEXT_BYTES_MAX] = data[i];
}

static void read_output(struct job *job, int which)
{
    char data[READ_BYTES];
    ssize_t n;

    while ((n = read(job->fds[which], data, sizeof(data))) > 0) {
        if (which == FROM_STDERR) {
            take_error(job, data, (size_t)n);
        } else if (job->reply.len + (size_t)n > RPC_BODY_BYTES_MAX ||
                   buf_append(&job->reply, data, (size_t)n) != 0) {
            job->too_large = true;
            close_fd(&job->fds[FROM_STDOUT]);
            (void)kill(-job->pid, SIGKILL);
            return;
        }
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        close_fd(&job->fds[which]);
}

void job_io(struct job *job, const struct pollfd fds[JOB_FDS])
{
    if (job->fds[TO_STDIN] >= 0 && fds[TO_STDIN].revents != 0)
        write_argument(job);
    for (int i = FROM_STDOUT; i <= FROM_STDERR; i++) {
        if (job->fds[i] >= 0 && fds[i].revents != 0)
            read_output(job, i);
    }
}

/* ---- ending
 * --------------------------------------------------------------------------------------- */

void job_abort(struct job *job, uint64_t now_ms)
{
    if (job->kill_at_ms != UINT64_MAX || job->reaped)
        return;
    (void)kill(-job->pid, SIGTERM);
    job->term_at_ms = UINT64_MAX;
    job->kill_at_ms = now_ms + JOB_KILL_AFTER_MS;
}

uint64_t job_timers(struct job *job, uint64_t now_ms)
{
    if (job->reaped)
        return UINT64_MAX;
    if (job->term_at_ms <= now_ms)
        job_abort(job, now_ms);
    if (job->kill_at_ms <= now_ms) {
        (void)kill(-job->pid, SIGKILL);
        job->kill_at_ms = UINT64_MAX - 1; /* done: not again, and no second SIGTERM */
    }
    return job->term_at_ms < job->kill_at_ms ? job->term_at_ms : job->kill_at_ms;
}

bool job_ended(const struct job *job)
{
    return job->reaped;
}

void job_error_text(const struct job *job, char *out, size_t out_bytes)
{
    size_t n = job->error_n < RPC_ERROR_TEXT_BYTES_MAX ? job->error_n : RPC_ERROR_TEXT_BYTES_MAX;
    size_t at = job->error_n - n, len = 0;
    bool cut = at > 0;

    for (; n > 0 && len + 1 < out_bytes; n--) {
        char c = job->error[at++ % RPC_ERROR_TEXT_BYTES_MAX];
        if (cut) { /* start at a line */
            cut = c != '\n';
            continue;
        }
        out[len++] = c;
    }
    while (len > 0 && (out[len - 1] == '\n' || out[len - 1] == '\r'))
        len--;
    out[len] = '\0';
}

void job_deinit(struct job *job)
{
    if (job->id == NULL)
        return;
    if (job->pid > 0)
        (void)kill(-job->pid, SIGKILL); /* what the command left behind in its group */
    if (job->pid > 0 && !job->reaped)
        (void)waitpid(job->pid, NULL, 0);
    for (int i = 0; i < JOB_FDS; i++)
        close_fd(&job->fds[i]);
    buf_deinit(&job->argument);
    buf_deinit(&job->reply);
    free(job->id);
    *job = (struct job){.fds = {-1, -1, -1}};
}
