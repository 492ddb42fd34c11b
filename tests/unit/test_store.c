/*
 * The store on a real disk: what is put comes back, in groups, in order; and who may open it.
 */
#include "store/store.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "store_testing.h"

static void what_was_put_is_recalled_in_key_order_after_a_reopen(void **state)
{
    struct store *store = open_store(NULL);
    uint8_t id[STORE_DISK_ID_BYTES];
    struct recalled all;

    (void)state;
    memcpy(id, store_disk_id(store), sizeof id);
    assert_int_equal(recall(store, 'd').n, 0);
    assert_int_equal(put_one(store, "d2", "two", 1), 0);
    assert_int_equal(put_one(store, "d1", "one", 2), 0);
    assert_int_equal(put_one(store, "v", "view", 3), 0);
    assert_int_equal(put_one(store, "d3", "three", 4), 0);
    assert_int_equal(put_one(store, "d3", NULL, 5), 0);
    assert_int_equal(put_one(store, "d9", NULL, 6), 0); /* not there: fine */
    assert_int_equal(put_one(store, "d2", "", 7), 0);
    store_close(store);

    store = open_store(NULL);
    assert_memory_equal(id, store_disk_id(store), sizeof id);
    all = recall(store, 'd');
    assert_string_equal(all.text, "d1=one d2= ");
    assert_string_equal(recall(store, 'v').text, "v=view ");
    assert_int_equal(recall(store, 'm').n, 0);
    assert_int_equal(recall(store, '~').n, 0);
    store_close(store);
    store_close(NULL);
}

static int stop_at_first(void *user, const struct store_entry *entry)
{
    (void)entry;
    ++*(int *)user;
    return 77;
}

static void recall_ends_where_its_callback_says(void **state)
{
    struct store *store = open_store(NULL);
    int n = 0;

    (void)state;
    assert_int_equal(put_one(store, "d1", "1", 1), 0);
    assert_int_equal(put_one(store, "d2", "2", 2), 0);
    store_close(store);
    store = open_store(NULL);
    assert_int_equal(store_recall(store, 'd', stop_at_first, &n), 77);
    assert_int_equal(n, 1);
    store_close(store);
}

static void batch_is_one_and_its_last_entry_of_a_key_counts(void **state)
{
    struct store *store = open_store(NULL);
    struct store_put puts[] = {put_of("da", "1"), put_of("db", "1"), put_of("da", NULL),
                               put_of("db", "2")};

    (void)state;
    assert_int_equal(store_put(store, &(struct store_batch){puts, 4}, 9), 0);
    wait_token(store, 9);
    store_close(store);
    store = open_store(NULL);
    assert_string_equal(recall(store, 'd').text, "db=2 ");
    store_close(store);
}

static void another_disk_has_another_id(void **state)
{
    struct store *one, *two;
    struct store_options small = {.reserve_bytes = 4096};

    (void)state;
    assert_int_equal(mkdir(in_root("a"), 0700), 0);
    assert_int_equal(store_open(in_root("a"), &small, &one), 0);
    assert_int_equal(mkdir(in_root("b"), 0700), 0);
    assert_int_equal(store_open(in_root("b"), &small, &two), 0);
    assert_memory_not_equal(store_disk_id(one), store_disk_id(two), STORE_DISK_ID_BYTES);
    store_close(one);
    store_close(two);
}

/* ---- groups ---- */

struct gate {
    atomic_int wakes;
    sem_t open; /* with @closed: the writer stands in its wake callback until this is posted */
    atomic_bool closed;
};

static void on_wake(void *user)
{
    struct gate *gate = user;

    atomic_fetch_add(&gate->wakes, 1);
    if (!atomic_load(&gate->closed))
        return;
    struct timespec end;
    (void)clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += WAIT_MS_MAX / 1000;
    if (sem_timedwait(&gate->open, &end) != 0)
        abort(); /* the test forgot it: it would report nothing from here */
}

static void close_gate(struct gate *gate)
{
    assert_int_equal(sem_init(&gate->open, 0, 0), 0);
    atomic_store(&gate->closed, true);
}

static void open_gate(struct gate *gate)
{
    atomic_store(&gate->closed, false);
    assert_int_equal(sem_post(&gate->open), 0);
}

static bool woken(void *user)
{
    return atomic_load(&((struct gate *)user)->wakes) > 0;
}

static void batches_that_wait_for_a_commit_share_the_next_one_in_order(void **state)
{
    struct gate gate = {.wakes = 0};
    struct store_options options = {.wake = on_wake, .user = &gate};
    struct store *store = open_store(&options);
    struct store_stats before, after;
    uint64_t tokens[301];

    (void)state;
    close_gate(&gate);
    assert_int_equal(put_one(store, "d", "first", 0), 0);
    assert_true(wait_until(woken, &gate)); /* the writer is busy: with its user */
    store_stats(store, &before);
    assert_int_equal(before.commits, 1);
    for (uint64_t i = 1; i <= 300; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "d%03u", (unsigned)(i * 7 % 300));
        assert_int_equal(put_one(store, key, "x", i), 0);
    }
    store_stats(store, &after);
    assert_int_equal(after.waiting_n, 300);
    open_gate(&gate);
    take_tokens(store, tokens, 301);
    for (uint64_t i = 0; i <= 300; i++)
        assert_int_equal(tokens[i], i);
    store_stats(store, &after);
    assert_int_equal(after.commits, 2);
    assert_int_equal(after.batches, 301);
    assert_int_equal(after.waiting_n, 0);
    assert_int_equal(after.waiting_bytes, 0);
    assert_true(after.commit_p50_us > 0 && after.commit_p50_us <= after.commit_p99_us);
    store_close(store);
}

static int queue_one(struct store *store, const char *key, const char *value, uint64_t token)
{
    struct store_put put = put_of(key, value);

    return store_queue(store, &(struct store_batch){&put, 1}, token);
}

static void what_is_queued_is_written_in_its_order_when_the_writer_is_told(void **state)
{
    struct store *store = open_store(NULL);
    uint64_t tokens[3];

    (void)state;
    for (uint64_t turn = 0; turn < 20; turn++) { /* the writer sleeps, or is about to */
        assert_int_equal(queue_one(store, "d1", "1", 1), 0);
        store_write(store);
        wait_token(store, 1);
        assert_int_equal(queue_one(store, "d1", "2", 2), 0);
        assert_int_equal(queue_one(store, "d2", "2", 3), 0);
        assert_int_equal(put_one(store, "d2", "3", 4), 0);
        take_tokens(store, tokens, 3);
        for (uint64_t i = 0; i < 3; i++)
            assert_int_equal(tokens[i], i + 2);
        store_write(store); /* nothing is queued: fine */
    }
    assert_int_equal(queue_one(store, "", "1", 5), KITH_E_INVALID);
    assert_int_equal(queue_one(store, "d3", "last", 6), 0);
    store_close(store);
    store = open_store(NULL);
    assert_string_equal(recall(store, 'd').text, "d1=2 d2=3 d3=last ");
    store_close(store);
}

/* ---- the log ---- */

static bool taken_in(void *user)
{
    struct store_stats stats;

    store_stats(user, &stats);
    return stats.taken_in > 0;
}

static void group_goes_to_the_log_and_to_lmdb_when_nothing_comes(void **state)
{
    struct store *store = open_store(NULL);
    struct store_stats stats;

    (void)state;
    assert_int_equal(put_one(store, "d", "x", 1), 0);
    wait_token(store, 1);
    store_stats(store, &stats);
    assert_int_equal(stats.log_bytes, STORE_LOG_BYTES);
    assert_int_equal(stats.commits, 1);
    assert_int_equal(stats.logged, 1);
    assert_true(wait_until(taken_in, store));
    assert_int_equal(put_one(store, "d", "y", 2), 0);
    wait_token(store, 2);
    store_close(store); /* what the log has then goes to LMDB as well */
    store = open_store(NULL);
    store_stats(store, &stats);
    assert_int_equal(stats.replayed, 0);
    assert_string_equal(recall(store, 'd').text, "d=y ");
    store_close(store);
}

/* Values that do not fit the log, between others that do: the order of each key holds. */
static void log_that_is_full_begins_again_and_large_groups_pass_it_in_order(void **state)
{
    struct store_options options = {.log_bytes = 4 * 4096};
    struct store *store = open_store(&options);
    struct store_stats stats;

    (void)state;
    for (uint64_t i = 0; i < 61; i++) {
        size_t bytes = i % 7 == 3 ? 4 * 4096 : 1 + i;

        assert_int_equal(put_bytes(store, "dsame", bytes, (int)('a' + i % 26), i), 0);
        wait_token(store, i);
    }
    store_stats(store, &stats);
    assert_int_equal(stats.log_bytes, 4 * 4096);
    assert_int_equal(stats.commits, 61);
    assert_int_equal(stats.logged, 61 - 9);
    assert_true(stats.taken_in >= 60 / 7);
    store_close(store);
    store = open_store(&options);
    struct recalled all = recall(store, 'd');
    assert_int_equal(all.n, 1);
    assert_int_equal(strlen(all.text), strlen("dsame= ") + 61);
    assert_int_equal(all.text[6], 'a' + 60 % 26);
    store_close(store);
}

/* What was put is durable, and the process knows no more of it. */
static void end_by_kill(void *user)
{
    (void)user;
    (void)kill(getpid(), SIGKILL);
}

/* A process that is killed between two turns leaves both the log and LMDB: again and again. */
static void killed_store_has_what_only_its_log_had(void **state)
{
    uint64_t replayed = 0;

    (void)state;
    for (uint64_t round = 1; round <= 3; round++) {
        struct store *store;
        struct store_stats stats;
        char expected[64] = "";
        int status;
        pid_t child = fork();

        assert_true(child >= 0);
        if (child == 0) {
            struct store_options options = {.wake = end_by_kill};
            char key[8] = {'d', (char)('0' + round), '\0'};

            (void)alarm(WAIT_MS_MAX / 1000);
            if (store_open(root, &options, &store) != 0 || put_one(store, key, "x", 1) != 0)
                _exit(1);
            for (;;)
                (void)pause();
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGKILL);
        store = open_store(NULL);
        store_stats(store, &stats);
        replayed += stats.replayed; /* on a slow machine LMDB may have got it in time */
        for (uint64_t i = 1; i <= round; i++)
            (void)snprintf(expected + strlen(expected), sizeof expected - strlen(expected),
                           "d%llu=x ", (unsigned long long)i);
        assert_string_equal(recall(store, 'd').text, expected);
        store_close(store);
    }
    assert_true(replayed > 0);
}

static void log_that_is_gone_is_refused_with_what_to_do(void **state)
{
    struct store *store = open_store(NULL);

    (void)state;
    assert_int_equal(put_one(store, "d", "x", 1), 0);
    store_close(store);
    assert_int_equal(unlink(in_root("store/log")), 0);
    assert_int_equal(store_open(root, NULL, &store), KITH_E_CORRUPT);
    assert_non_null(strstr(kith_errmsg(), "log is damaged (the file is not there"));
    assert_non_null(strstr(kith_errmsg(), "fresh member"));
}

static void group_ends_at_its_bound_of_entries(void **state)
{
    enum { BATCHES = STORE_GROUP_PUTS_MAX / STORE_BATCH_PUTS_MAX + 1 };
    struct gate gate = {.wakes = 0};
    struct store_options options = {.wake = on_wake, .user = &gate};
    struct store *store = open_store(&options);
    struct store_put *puts = calloc(STORE_BATCH_PUTS_MAX + 1, sizeof *puts);
    uint64_t tokens[BATCHES + 1];
    struct store_stats stats;

    (void)state;
    assert_non_null(puts);
    for (size_t i = 0; i <= STORE_BATCH_PUTS_MAX; i++)
        puts[i] = put_of("dsame", "x");
    close_gate(&gate);
    assert_int_equal(put_one(store, "d", "first", 0), 0);
    assert_true(wait_until(woken, &gate));
    assert_int_equal(store_put(store, &(struct store_batch){puts, STORE_BATCH_PUTS_MAX + 1}, 99),
                     KITH_E_TOO_LARGE);
    for (uint64_t i = 1; i <= BATCHES; i++)
        assert_int_equal(store_put(store, &(struct store_batch){puts, STORE_BATCH_PUTS_MAX}, i), 0);
    free(puts); /* batches are copied */
    open_gate(&gate);
    take_tokens(store, tokens, BATCHES + 1);
    store_stats(store, &stats);
    assert_int_equal(stats.commits, 3);
    store_close(store);
}

#define THREADS 8
#define EACH    50

static void *many_puts(void *arg)
{
    struct store *store = arg;
    static atomic_int next;
    int me = atomic_fetch_add(&next, 1);

    for (int i = 0; i < EACH; i++) {
        char key[32];

        (void)snprintf(key, sizeof key, "d%d/%d", me, i);
        if (put_one(store, key, "x", (uint64_t)me << 32 | (unsigned)i) != 0)
            return arg;
    }
    return NULL;
}

static void threads_put_at_once_and_each_sees_its_own_order(void **state)
{
    struct store *store = open_store(NULL);
    uint64_t tokens[THREADS * EACH], next[THREADS] = {0};
    pthread_t threads[THREADS];
    void *bad;

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, many_puts, store), 0);
    take_tokens(store, tokens, THREADS * EACH);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    for (size_t i = 0; i < THREADS * EACH; i++)
        assert_int_equal(tokens[i] & 0xffffffff, next[(tokens[i] >> 32) % THREADS]++);
    store_close(store);
    store = open_store(NULL);
    assert_int_equal(recall(store, 'd').n, THREADS * EACH);
    store_close(store);
}

/* ---- limits ---- */

static void entry_at_the_limits_is_taken_and_above_refused(void **state)
{
    struct store *store = open_store(NULL);
    char key[STORE_KEY_BYTES_MAX + 2];
    struct store_put mixed[] = {put_of("v", "1"), put_of("d", "1")};
    struct store_put erase = {.key = {"d", 1}, .value = {"x", 1}, .erase = true};

    (void)state;
    memset(key, 'd', sizeof key);
    key[sizeof key - 1] = '\0';
    assert_int_equal(put_one(store, key, "x", 1), KITH_E_TOO_LARGE);
    assert_int_equal(put_bytes(store, "d", STORE_VALUE_BYTES_MAX + 1, 'x', 1), KITH_E_TOO_LARGE);
    assert_int_equal(put_one(store, "", "x", 1), KITH_E_INVALID);
    assert_int_equal(put_one(store, "s/schema", "x", 1), KITH_E_INVALID);
    assert_int_equal(store_put(store, &(struct store_batch){mixed, 2}, 1), KITH_E_INVALID);
    assert_int_equal(store_put(store, &(struct store_batch){mixed, 0}, 1), KITH_E_INVALID);
    assert_int_equal(store_put(store, &(struct store_batch){&erase, 1}, 1), KITH_E_INVALID);
    key[sizeof key - 2] = '\0';
    assert_int_equal(put_bytes(store, key, STORE_VALUE_BYTES_MAX, 'x', 2), 0);
    wait_token(store, 2);
    store_close(store);
    store = open_store(NULL);
    assert_int_equal(recall(store, 'd').n, 1);
    store_close(store);
}

static void full_queue_refuses_and_takes_again_when_it_is_shorter(void **state)
{
    struct gate gate = {.wakes = 0};
    struct store_options options = {.wake = on_wake, .user = &gate};
    struct store *store = open_store(&options);
    uint64_t tokens[64], n = 1;
    int r;

    (void)state;
    close_gate(&gate);
    assert_int_equal(put_one(store, "d", "first", 0), 0);
    assert_true(wait_until(woken, &gate));
    while ((r = put_bytes(store, "d", STORE_VALUE_BYTES_MAX, 'x', n)) == 0 && n < 64)
        n++;
    assert_int_equal(r, KITH_E_BUSY);
    assert_int_equal(n - 1, STORE_QUEUE_BYTES_MAX / STORE_VALUE_BYTES_MAX - 1);
    open_gate(&gate);
    take_tokens(store, tokens, n);
    assert_int_equal(put_one(store, "d", "again", n), 0);
    store_close(store);
}

/* A fifth of the file is free; some pages below the highest are, too, which the store counts. */
static bool has_room(void *user)
{
    struct store_stats stats;

    store_stats(user, &stats);
    return (stats.used_bytes - 16 * 4096) * 10 <= stats.file_bytes * 8;
}

static void file_grows_with_what_it_holds(void **state)
{
    struct store_options options = {.file_bytes_start = 64 * 1024, .reserve_bytes = 4096};
    struct store *store = open_store(&options);
    struct store_stats stats;

    (void)state;
    store_stats(store, &stats);
    assert_int_equal(stats.file_bytes, 64 * 1024);
    for (uint64_t i = 0; i < 60; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "d%02u", (unsigned)i);
        assert_int_equal(put_bytes(store, key, 50000, (int)('a' + i % 26), i), 0);
        wait_token(store, i);
        assert_true(wait_until(has_room, store));
    }
    store_stats(store, &stats);
    assert_true(stats.file_bytes > 60 * 50000);
    store_close(store);
    store = open_store(&options);
    assert_int_equal(recall(store, 'd').n, 60);
    assert_int_equal(recall(store, 'd').corrupt_n, 0);
    store_close(store);
}

/* ---- who may open it ---- */

static void second_opening_is_refused_and_names_the_process(void **state)
{
    struct store *store = open_store(NULL), *second = NULL;
    char pid[32];
    int status;
    pid_t child;

    (void)state;
    (void)snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_int_equal(store_open(root, NULL, &second), KITH_E_IN_USE);
    assert_non_null(strstr(kith_errmsg(), pid));
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(store_open(root, NULL, &second) == KITH_E_IN_USE ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    store_close(store);
    store = open_store(NULL);
    store_close(store);
}

static void others_may_not_read_it(void **state)
{
    static const char *const names[] = {"store/data.mdb", "store/log", "store/reserve", "store"};
    struct store *store = open_store(NULL);
    struct stat st;

    (void)state;
    store_close(store);
    for (size_t i = 0; i < 4; i++) {
        mode_t own = i < 3 ? 0600 : 0700;
        const char *path = in_root(names[i]);

        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, own);
        assert_int_equal(chmod(path, own | 0040), 0);
        assert_int_equal(store_open(root, NULL, &store), KITH_E_PERMISSION);
        assert_non_null(strstr(kith_errmsg(), i < 3 ? "chmod 0600" : "chmod 0700"));
        assert_int_equal(chmod(path, own), 0);
    }
    store = open_store(NULL);
    store_close(store);
}

static void directory_that_is_not_there_is_an_error(void **state)
{
    struct store *store;

    (void)state;
    assert_int_equal(store_open(in_root("none"), NULL, &store), KITH_E_IO);
    assert_non_null(strstr(kith_errmsg(), "No such file"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(what_was_put_is_recalled_in_key_order_after_a_reopen),
        T(recall_ends_where_its_callback_says),
        T(batch_is_one_and_its_last_entry_of_a_key_counts),
        T(another_disk_has_another_id),
        T(batches_that_wait_for_a_commit_share_the_next_one_in_order),
        T(what_is_queued_is_written_in_its_order_when_the_writer_is_told),
        T(group_goes_to_the_log_and_to_lmdb_when_nothing_comes),
        T(log_that_is_full_begins_again_and_large_groups_pass_it_in_order),
        T(killed_store_has_what_only_its_log_had),
        T(log_that_is_gone_is_refused_with_what_to_do),
        T(group_ends_at_its_bound_of_entries),
        T(threads_put_at_once_and_each_sees_its_own_order),
        T(entry_at_the_limits_is_taken_and_above_refused),
        T(full_queue_refuses_and_takes_again_when_it_is_shorter),
        T(file_grows_with_what_it_holds),
        T(second_opening_is_refused_and_names_the_process),
        T(others_may_not_read_it),
        T(directory_that_is_not_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
