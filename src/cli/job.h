/*
 * One run of a served command: a child in its own process group with the argument on stdin, its
 * stdout collected up to a bound and the end of its stderr kept. Driven by the poll loop of
 * serve.c.
 */
#ifndef CLI_JOB_H
#define CLI_JOB_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/bytes.h"
#include "core/limits.h"

#define JOB_KILL_AFTER_MS 2000 /* between SIGTERM and SIGKILL */
#define JOB_FDS           3

struct job {
    char *id; /* of the fn.run, JSON as it came; NULL: free */
    pid_t pid;
    int fds[JOB_FDS]; /* stdin, stdout, stderr of the child, our ends; -1: closed */
    struct buf argument;
    size_t written;
    struct buf reply;
    char error[RPC_ERROR_TEXT_BYTES_MAX + 1]; /* a ring of the last bytes of stderr */
    size_t error_n;                           /* bytes ever written to it */
    uint64_t term_at_ms, kill_at_ms;          /* UINT64_MAX: not */
    bool reaped, too_large, unwanted;         /* unwanted: nobody waits for the reply */
    int status;                               /* as from waitpid() */
};

/*
 * Starts @command with the @argument (taken over). @deadline_ms: time that remains, UINT64_MAX if
 * no end. 0 or -1 and errno (then the job is unchanged and the argument still the caller's).
 */
int job_start(struct job *job,
              char *const *command,
              const char *fn,
              const char *caller,
              struct buf *argument,
              uint64_t now_ms,
              uint64_t deadline_ms);
/* Fills @fds for poll(); the entry of a closed one is -1. */
void job_poll(const struct job *job, struct pollfd fds[JOB_FDS]);
/* Reads and writes what poll() said. */
void job_io(struct job *job, const struct pollfd fds[JOB_FDS]);
/* Sends SIGTERM now, SIGKILL 2 s later. */
void job_abort(struct job *job, uint64_t now_ms);
/* Sends what is due; returns when the next is. */
uint64_t job_timers(struct job *job, uint64_t now_ms);
/* True once it has ended and its output is read. (A process it left behind may hold the pipes: not
 * waited for.) */
bool job_ended(const struct job *job);
/* The end of its stderr as text, from a line's start where possible, without the last newline. */
void job_error_text(const struct job *job, char *out, size_t out_bytes);
/* Kills what is left of its process group and frees. */
void job_deinit(struct job *job);

#endif
