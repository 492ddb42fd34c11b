/* Runs of served commands: real processes, their output, and how they are ended. */
#include "cli/job.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/test.h"

#define BOUND_MS 20000

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void start(struct job *job, const char *script, const char *argument, uint64_t deadline_ms)
{
    static char sh[] = "sh", c[] = "-c";
    char *copy = strdup(script);
    char *const command[] = {sh, c, copy, NULL};
    struct buf input = {0};
    *job = (struct job){.fds = {-1, -1, -1}};
    assert_int_equal(buf_append(&input, argument, strlen(argument)), 0);
    assert_int_equal(job_start(job, command, "fn", "caller", &input, now_ms(), deadline_ms), 0);
    job->id = strdup("1");
    free(copy);
}

/* One turn of what serve.c does. */
static void turn(struct job *job)
{
    struct pollfd fds[JOB_FDS];
    job_poll(job, fds);
    assert_true(poll(fds, JOB_FDS, 20) >= 0);
    job_io(job, fds);
    (void)job_timers(job, now_ms());
    if (!job->reaped && waitpid(job->pid, &job->status, WNOHANG) == job->pid)
        job->reaped = true;
}

static void run_to_end(struct job *job)
{
    uint64_t until = now_ms() + BOUND_MS;
    while (!job_ended(job) || job->fds[1] >= 0 || job->fds[2] >= 0) {
        assert_true(now_ms() < until);
        turn(job);
    }
}

static void argument_goes_in_and_reply_comes_out(void **state)
{
    struct job job;
    (void)state;
    start(&job, "tr a-z A-Z; printf %s \"$KITH_FUNCTION $KITH_CALLER\"", "hello", UINT64_MAX);
    run_to_end(&job);
    assert_true(WIFEXITED(job.status) && WEXITSTATUS(job.status) == 0);
    assert_int_equal(job.reply.len, strlen("HELLOfn caller"));
    assert_memory_equal(job.reply.data, "HELLOfn caller", job.reply.len);
    job_deinit(&job);
}

static void large_argument_and_reply_pass_without_waiting_for_each_other(void **state)
{
    const size_t len = 4 * 1024 * 1024;
    static char cat[] = "cat";
    char *const command[] = {cat, NULL};
    struct buf input = {0};
    struct job job = {.fds = {-1, -1, -1}};
    (void)state;
    assert_int_equal(buf_reserve(&input, len), 0);
    for (size_t i = 0; i < len; i++)
        input.data[i] = (uint8_t)(i * 7 + i / 1000);
    input.len = len;
    uint8_t *kept = malloc(len);
    assert_non_null(kept);
    memcpy(kept, input.data, len);
    assert_int_equal(job_start(&job, command, "fn", "", &input, now_ms(), UINT64_MAX), 0);
    job.id = strdup("1");
    run_to_end(&job);
    assert_int_equal(job.reply.len, len);
    assert_memory_equal(job.reply.data, kept, len);
    free(kept);
    job_deinit(&job);
}

static void a_command_that_reads_nothing_is_fine(void **state)
{
    struct job job;
    char *large = calloc(1, 1024 * 1024);
    (void)state;
    memset(large, 'x', 1024 * 1024 - 1);
    start(&job, "exec <&-; echo done", large, UINT64_MAX);
    run_to_end(&job);
    assert_int_equal(WEXITSTATUS(job.status), 0);
    assert_memory_equal(job.reply.data, "done\n", 5);
    free(large);
    job_deinit(&job);
}

static void the_end_of_stderr_is_kept(void **state)
{
    char text[RPC_ERROR_TEXT_BYTES_MAX + 1];
    struct job job;
    (void)state;
    start(&job, "i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done; exit 3", "",
          UINT64_MAX);
    run_to_end(&job);
    assert_int_equal(WEXITSTATUS(job.status), 3);
    job_error_text(&job, text, sizeof(text));
    assert_true(strlen(text) <= RPC_ERROR_TEXT_BYTES_MAX);
    assert_true(strlen(text) > RPC_ERROR_TEXT_BYTES_MAX - 100);
    assert_memory_equal(text, "line ", 5);
    assert_string_equal(text + strlen(text) - 9, "line 1999");
    job_deinit(&job);
}

static void a_missing_command_ends_with_127_and_says_so(void **state)
{
    static char missing[] = "/nonexistent/command";
    char *const command[] = {missing, NULL};
    char text[RPC_ERROR_TEXT_BYTES_MAX + 1];
    struct buf input = {0};
    struct job job = {.fds = {-1, -1, -1}};
    (void)state;
    assert_int_equal(job_start(&job, command, "fn", "", &input, now_ms(), UINT64_MAX), 0);
    job.id = strdup("1");
    run_to_end(&job);
    assert_int_equal(WEXITSTATUS(job.status), 127);
    job_error_text(&job, text, sizeof(text));
    assert_non_null(strstr(text, "cannot be run"));
    job_deinit(&job);
}

static void the_deadline_ends_the_whole_process_group(void **state)
{
    struct job job;
    (void)state;
    uint64_t before = now_ms();
    start(&job, "sleep 1000 & echo started; wait", "", 100);
    run_to_end(&job);
    assert_true(WIFSIGNALED(job.status));
    assert_int_equal(WTERMSIG(job.status), SIGTERM);
    assert_true(now_ms() - before < BOUND_MS);
    /* The pipes are closed only once the child of the child is gone too. */
    assert_int_equal(job.fds[1], -1);
    job_deinit(&job);
}

static void what_ignores_sigterm_is_killed(void **state)
{
    struct job job;
    (void)state;
    start(&job, "trap '' TERM; echo ready; while :; do sleep 1; done", "", UINT64_MAX);
    uint64_t until = now_ms() + BOUND_MS;
    while (job.reply.len == 0) { /* the trap is set */
        assert_true(now_ms() < until);
        turn(&job);
    }
    uint64_t before = now_ms();
    job_abort(&job, before);
    run_to_end(&job);
    assert_int_equal(WTERMSIG(job.status), SIGKILL);
    assert_true(now_ms() - before >= JOB_KILL_AFTER_MS - 50);
    job_deinit(&job);
}

static void output_above_the_limit_ends_the_command(void **state)
{
    struct job job;
    (void)state;
    start(&job, "head -c 20000000 /dev/zero", "", UINT64_MAX);
    run_to_end(&job);
    assert_true(job.too_large);
    assert_true(job.reply.len <= RPC_BODY_BYTES_MAX);
    job_deinit(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(argument_goes_in_and_reply_comes_out),
        cmocka_unit_test(large_argument_and_reply_pass_without_waiting_for_each_other),
        cmocka_unit_test(a_command_that_reads_nothing_is_fine),
        cmocka_unit_test(the_end_of_stderr_is_kept),
        cmocka_unit_test(a_missing_command_ends_with_127_and_says_so),
        cmocka_unit_test(the_deadline_ends_the_whole_process_group),
        cmocka_unit_test(what_ignores_sigterm_is_killed),
        cmocka_unit_test(output_above_the_limit_ends_the_command),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* as serve.c */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
