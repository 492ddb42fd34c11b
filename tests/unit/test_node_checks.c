/*
 * Chunks that wait for each other before they are hashed (node/fs_checks.c), with a loop that is
 * made up here: time, threads and the core of fetching are this file's.
 */
#include <pthread.h>

#include "core/alloc.h"
#include "core/error.h"
#include "fs/content.h"
#include "lib/test.h"
#include "node/fs_move.h"
#include "node/internal.h"

#define CHUNK_BYTES (128 * 1024)
#define CHUNKS      12

static struct node_fs fs;
static struct fs_move move;
static uint64_t now_ms;
static uint64_t asked_n; /* chunks that are under way */
static struct fs_job *jobs[16];
static size_t jobs_n;
static struct fs_todo *todos[16];
static size_t todos_n;
static struct {
    uint64_t token;
    int code;
} answers[64];
static size_t answers_n;

/* ---- what fs_checks.c is wired to ---- */

uint64_t node_boot_ms(void)
{
    return now_ms;
}

void fetch_stats(const struct fetch_core *core, struct fetch_stats *stats_out)
{
    (void)core;
    *stats_out = (struct fetch_stats){.asked = asked_n};
}

void fs_job_start(struct node_fs *node_fs, struct fs_job *job)
{
    assert_ptr_equal(node_fs, &fs);
    assert_true(jobs_n < 16);
    jobs[jobs_n++] = job;
}

void fs_later(struct node_fs *node_fs, struct fs_todo *todo)
{
    (void)node_fs;
    assert_true(todos_n < 16);
    todos[todos_n++] = todo;
}

void fs_enter(struct node_fs *node_fs)
{
    (void)node_fs;
}

void fs_leave(struct node_fs *node_fs)
{
    (void)node_fs;
}

void fs_fetch_checked(struct node_fs *node_fs, uint64_t token, int code)
{
    (void)node_fs;
    assert_true(answers_n < 64);
    answers[answers_n].token = token;
    answers[answers_n++].code = code;
}

_Noreturn void node_state_end_process(struct kith_node *node, const char *why)
{
    (void)node;
    fail_msg("%s", why);
    abort();
}

/* ---- steps ---- */

static uint8_t data[CHUNKS][CHUNK_BYTES];
static uint8_t hashes[CHUNKS][CONTENT_ROOT_BYTES];
static const struct content content = {
    .size = (uint64_t)CHUNKS * CHUNK_BYTES, .hash = CONTENT_BLAKE2B_256, .chunk_log2 = 17};

static void begin(void)
{
    jobs_n = todos_n = answers_n = 0;
    now_ms = 1000000;
    asked_n = 100;
    move = (struct fs_move){.fs = &fs};
    fs = (struct node_fs){.move = &move};
    for (unsigned i = 0; i < CHUNKS; i++) {
        memset(data[i], (int)i + 1, CHUNK_BYTES);
        content_hash_bytes(CONTENT_BLAKE2B_256, data[i], CHUNK_BYTES, hashes[i]);
    }
    assert_int_equal(fs_checks_open(&move), 0);
}

static int set_up(void **state)
{
    (void)state;
    begin();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fs_checks_deinit(&move);
    return 0;
}

static void come_of(unsigned no, size_t len)
{
    struct fetch_action action = {
        .token = no, .content = content, .chunk = no, .hash = hashes[no], .data = {data[no], len}};
    fs_check(&fs, &action);
}

static void come(unsigned no)
{
    come_of(no, CHUNK_BYTES);
}

/* A thread does the job that was begun first. */
static void work(void)
{
    assert_true(jobs_n > 0);
    struct fs_job *job = jobs[0];
    memmove(jobs, jobs + 1, --jobs_n * sizeof(jobs[0]));
    job->work(job);
    job->done(&fs, job);
}

static void expect(size_t at, uint64_t token, int code)
{
    assert_true(at < answers_n);
    assert_int_equal(answers[at].token, token);
    assert_int_equal(answers[at].code, code);
}

/* The first is not held up: nothing came for long. */
static void first_comes_alone(void)
{
    come(0);
    assert_int_equal(jobs_n, 1);
    work();
    assert_int_equal(answers_n, 1);
    answers_n = 0;
}

/* Behind one that is done. */
static void two_wait(void)
{
    first_comes_alone();
    come(1);
    come(2);
    assert_int_equal(jobs_n, 0);
}

/* What waited is hashed, or one behind the other is: both are good. */
static void expect_two(void)
{
    work();
    expect(0, 1, 0);
    expect(1, 2, 0);
}

static bool is_alone(void)
{
    if (content_lanes() > 1)
        return false;
    print_message("this processor hashes one chunk at a time: none waits\n");
    return true;
}

/* ---- cases ---- */

static void four_that_come_quickly_are_hashed_together_and_answered_in_order(void **state)
{
    (void)state;
    first_comes_alone();
    for (unsigned i = 1; i <= 4; i++) {
        assert_true(jobs_n == 0 || is_alone());
        come(i);
    }
    if (!is_alone()) {
        assert_int_equal(jobs_n, 1);
        assert_int_equal(fs_checks_deadline_ms(&fs), UINT64_MAX);
        assert_int_equal(answers_n, 0);
    }
    while (jobs_n > 0)
        work();
    for (unsigned i = 0; i < 4; i++)
        expect(i, i + 1, 0);
}

static void one_that_is_damaged_fails_alone(void **state)
{
    (void)state;
    for (unsigned bad = 1; bad <= 4; bad++) {
        begin();
        first_comes_alone();
        data[bad][77] ^= 1;
        for (unsigned i = 1; i <= 4; i++)
            come(i);
        while (jobs_n > 0)
            work();
        assert_int_equal(answers_n, 4);
        for (unsigned i = 1; i <= 4; i++)
            expect(i - 1, i, i == bad ? KITH_E_CORRUPT : 0);
        fs_checks_deinit(&move);
    }
}

static void none_waits_longer_than_its_time(void **state)
{
    (void)state;
    if (is_alone())
        return;
    first_comes_alone();
    come(1);
    now_ms += 5;
    come(2);
    assert_int_equal(jobs_n, 0);
    /* Of the one that came first. */
    assert_int_equal(fs_checks_deadline_ms(&fs), now_ms - 5 + 20);
    now_ms += 14;
    fs_checks_tick(&fs, now_ms);
    assert_int_equal(jobs_n, 0);
    now_ms += 1;
    fs_checks_tick(&fs, now_ms);
    assert_int_equal(jobs_n, 1);
    assert_int_equal(fs_checks_deadline_ms(&fs), UINT64_MAX);
    expect_two();
}

static void none_waits_where_they_come_slowly_or_no_more_are_asked_for(void **state)
{
    (void)state;
    first_comes_alone();
    now_ms += 11;
    come(1);
    assert_int_equal(jobs_n, 1);
    work();
    asked_n = content_lanes() - 2; /* with this one there can be no more than these */
    come(2);
    assert_int_equal(jobs_n, 1);
    expect_two();
}

static void what_has_another_length_is_not_waited_for(void **state)
{
    (void)state;
    if (is_alone())
        return;
    two_wait();
    content_hash_bytes(CONTENT_BLAKE2B_256, data[3], CHUNK_BYTES / 2, hashes[3]);
    come_of(3, CHUNK_BYTES / 2);
    assert_int_equal(jobs_n, 1); /* those before it go */
    expect_two();
    now_ms += 20;
    fs_checks_tick(&fs, now_ms);
    work();
    assert_int_equal(answers[2].token, 3);
}

/* The core keeps the bytes of a fetch that was given up until their check is answered: so it is
 * answered, and nothing of what waits with it is held up or lost. */
static void a_fetch_that_is_given_up_while_its_chunks_wait_is_answered(void **state)
{
    (void)state;
    if (is_alone())
        return;
    two_wait();
    asked_n = 0; /* nothing is asked for any more */
    come(3);
    assert_int_equal(jobs_n, 1);
    work();
    assert_int_equal(answers_n, 3);
    asked_n = 100;
    come(4);
    asked_n = 0;
    assert_int_equal(jobs_n, 0);
    now_ms += 20; /* and if nothing comes behind it */
    fs_checks_tick(&fs, now_ms);
    work();
    expect(3, 4, 0);
}

/* Leaks are the sanitizer's to find. */
static void a_node_that_stops_lets_go_of_what_waits(void **state)
{
    (void)state;
    first_comes_alone();
    come(1);
    come(2);
    fs_checks_deinit(&move);
    while (jobs_n > 0)
        work();
    assert_int_equal(answers_n, content_lanes() > 1 ? 0 : 2);
}

static void what_is_small_or_missing_is_answered_without_a_thread(void **state)
{
    (void)state;
    content_hash_bytes(CONTENT_BLAKE2B_256, data[1], 1000, hashes[1]);
    struct fetch_action action = {
        .token = 1, .content = {.size = 1000, .hash = CONTENT_BLAKE2B_256, .chunk_log2 = 17}};
    memcpy(action.content.root, hashes[1], CONTENT_ROOT_BYTES);
    action.hash = hashes[1];
    action.data = (struct kith_bytes){data[1], 1000};
    fs_check(&fs, &action);
    action.token = 2;
    action.data = (struct kith_bytes){NULL, 0};
    fs_check(&fs, &action);
    assert_true(jobs_n == 0 && todos_n == 2 && answers_n == 0);
    for (size_t i = 0; i < todos_n; i++)
        todos[i]->run(&fs, todos[i]);
    expect(0, 1, 0);
    expect(1, 2, KITH_E_NOT_FOUND);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            four_that_come_quickly_are_hashed_together_and_answered_in_order, set_up, tear_down),
        cmocka_unit_test(one_that_is_damaged_fails_alone),
        cmocka_unit_test_setup_teardown(none_waits_longer_than_its_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(none_waits_where_they_come_slowly_or_no_more_are_asked_for,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_has_another_length_is_not_waited_for, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_fetch_that_is_given_up_while_its_chunks_wait_is_answered,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_node_that_stops_lets_go_of_what_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_small_or_missing_is_answered_without_a_thread,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
