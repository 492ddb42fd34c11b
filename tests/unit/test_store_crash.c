/*
 * What is left of the store when its process is killed, or the power is cut, while it writes.
 *
 * This program starts itself again as the writer: it puts numbered batches, several outstanding,
 * and reports each durable one over a pipe. It is ended at a random one. Then the store must be
 * exactly what the first N batches make of it, with N at least the last one reported.
 *
 * A power cut is tests/lib/unsynced.c, preloaded (KITH_UNSYNCED has its place).
 */
#include <signal.h>

#include "store_testing.h"

#define SLOTS       40
#define OUTSTANDING 5
#define ROUNDS      12

/* ---- what batch @i writes ---- */

/* The number, and bytes that follow from it: up to some pages. */
static size_t value_of(uint64_t i, char *out)
{
    size_t len = 32 + (size_t)(i * 7919 % 9000);

    (void)snprintf(out, 32, "%llu", (unsigned long long)i);
    memset(out + strlen(out), 'a' + (int)(i % 26), len - strlen(out));
    return len;
}

static int put_batch(struct store *store, uint64_t i)
{
    char a[16], b[16], value[16384];
    size_t len = value_of(i, value);
    struct store_put puts[] = {
        {.key = {a, (size_t)snprintf(a, sizeof a, "da%u", (unsigned)(i % SLOTS))},
         .value = {value, len}},
        {.key = {b, (size_t)snprintf(b, sizeof b, "db%u", (unsigned)(i % SLOTS))},
         .value = {value, len}},
        {.key = {"dn", 2}, .value = {value, len}},
    };

    return store_put(store, &(struct store_batch){puts, 3}, i);
}

/* ---- what is there ---- */

struct found {
    uint64_t last;
    uint64_t a[SLOTS], b[SLOTS];
    unsigned bad;
};

static int find_one(void *user, const struct store_entry *entry)
{
    struct found *found = user;
    const char *key = entry->key.data;
    char value[16384], number[32] = "";
    unsigned slot = 0;
    uint64_t i;

    if (entry->corrupt || entry->value.len < 32) {
        found->bad++;
        return 0;
    }
    memcpy(number, entry->value.data, sizeof number - 1);
    i = strtoull(number, NULL, 10);
    if (value_of(i, value) != entry->value.len ||
        memcmp(value, entry->value.data, entry->value.len) != 0)
        found->bad++;
    for (size_t at = 2; at < entry->key.len; at++)
        slot = slot * 10 + (unsigned)(key[at] - '0');
    if (key[1] == 'n')
        found->last = i;
    else
        (key[1] == 'a' ? found->a : found->b)[slot % SLOTS] = i;
    return 0;
}

/* Exactly the first found->last batches. */
static void check(struct found *found, struct store *store)
{
    *found = (struct found){.bad = 0};
    assert_int_equal(store_recall(store, 'd', find_one, found), 0);
    assert_int_equal(found->bad, 0);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        uint64_t back = (found->last + SLOTS - slot) % SLOTS; /* batches since this slot's turn */
        uint64_t expected = found->last > back ? found->last - back : 0;

        assert_int_equal(found->a[slot], expected);
        assert_int_equal(found->b[slot], expected);
    }
}

/* ---- the writer ---- */

static const struct store_options small = {.file_bytes_start = 64 * 1024,
                                           .reserve_bytes = 64 * 1024,
                                           .log_bytes = 512 * 1024}; /* some turns of it */

static int write_for_ever(const char *path)
{
    struct found found = {.bad = 0};
    struct store *store;
    uint64_t next, done, token;

    if (store_open(path, &small, &store) != 0 || store_recall(store, 'd', find_one, &found) != 0) {
        (void)fprintf(stderr, "%s\n", kith_errmsg());
        return 3;
    }
    next = done = found.last;
    for (;;) {
        while (next - done < OUTSTANDING)
            if (put_batch(store, ++next) != 0)
                return 4;
        while (store_completed(store, &token, 1) == 1) {
            if (token != ++done || write(3, &token, sizeof token) != sizeof token)
                return 5;
        }
    }
}

/* Writes a file as @how says, then waits for its end. */
static int write_plain(const char *path, const char *how)
{
    char name[512];
    int fd;

    (void)snprintf(name, sizeof name, "%s/plain", path);
    fd = open(name, O_RDWR | O_CREAT | (strcmp(how, "dsync") == 0 ? O_DSYNC : 0), 0600);
    if (fd < 0 || pwrite(fd, "new", 3, 0) != 3)
        return 3;
    if (strcmp(how, "fsync") == 0 && fsync(fd) != 0)
        return 4;
    if (write(3, "12345678", 8) != 8)
        return 5;
    for (;;)
        (void)pause();
}

/* ---- the one who ends it ---- */

static pid_t start_child(const char *role, uint64_t cut_seed, bool preload, int *from_out)
{
    char seed[32];
    int from[2];
    pid_t child;

    assert_int_equal(pipe(from), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)dup2(from[1], 3);
        if (from[1] != 3)
            (void)close(from[1]);
        (void)snprintf(seed, sizeof seed, "%llu", (unsigned long long)cut_seed);
        if (preload) {
            (void)setenv("LD_PRELOAD", getenv("KITH_UNSYNCED"), 1);
            (void)setenv("KITH_UNSYNCED_DIR", root, 1);
            (void)setenv("KITH_UNSYNCED_SEED", seed, 1);
        }
        (void)execl("/proc/self/exe", "test_store_crash", "child", root, role, (char *)NULL);
        _exit(127);
    }
    (void)close(from[1]);
    *from_out = from[0];
    return child;
}

/* Reads @n reports, ends the child with @signal_no, reads what it had still reported. */
static uint64_t end_after(pid_t child, int from, uint64_t n, int signal_no)
{
    uint64_t token = 0, last = 0;
    int status;

    for (uint64_t i = 0; i < n; i++) {
        assert_int_equal(read(from, &token, sizeof token), sizeof token);
        last = token;
    }
    assert_int_equal(kill(child, signal_no), 0);
    while (read(from, &token, sizeof token) == sizeof token)
        last = token;
    (void)close(from);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    return last;
}

static void end_at_random(bool power_cut)
{
    struct rng rng = test_rng();
    struct found found;
    uint64_t replayed = 0;

    for (unsigned round = 0; round < ROUNDS; round++) {
        int from;
        /* The first cut loses everything that was not synced, the others part of it. */
        pid_t child = start_child("store", round, power_cut, &from);
        uint64_t reported =
            end_after(child, from, 1 + rng_below(&rng, 120), power_cut ? SIGUSR2 : SIGKILL);
        struct store *store = open_store(&small);
        struct store_stats stats;

        store_stats(store, &stats);
        replayed += stats.replayed;
        check(&found, store);
        assert_true(found.last >= reported);
        assert_true(found.last <= reported + 2 * OUTSTANDING);
        store_close(store);
    }
    assert_true(replayed > 0); /* else the log was never put to the test */
}

static void killed_process_keeps_what_it_reported_and_nothing_torn(void **state)
{
    (void)state;
    end_at_random(false);
}

static void cut_power_keeps_what_was_reported_and_nothing_torn(void **state)
{
    (void)state;
    if (getenv("KITH_UNSYNCED") == NULL)
        test_skip("KITH_UNSYNCED does not say where the library is");
    end_at_random(true);
}

/* The library itself: else the case above could not fail. */
static void library_forgets_what_was_not_synced_and_only_that(void **state)
{
    static const struct {
        const char *how, *left;
    } cases[] = {{"unsynced", "old"}, {"fsync", "new"}, {"dsync", "new"}};

    (void)state;
    if (getenv("KITH_UNSYNCED") == NULL)
        test_skip("KITH_UNSYNCED does not say where the library is");
    for (size_t i = 0; i < 3; i++) {
        char text[8] = "";
        int fd = open(in_root("plain"), O_RDWR | O_CREAT | O_TRUNC, 0600), from;

        assert_int_equal(write(fd, "old", 3), 3);
        pid_t child = start_child(cases[i].how, 0, true, &from);
        (void)end_after(child, from, 1, SIGUSR2);
        assert_int_equal(pread(fd, text, 3, 0), 3);
        assert_string_equal(text, cases[i].left);
        (void)close(fd);
    }
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "child") == 0)
        return strcmp(argv[3], "store") == 0 ? write_for_ever(argv[2])
                                             : write_plain(argv[2], argv[3]);
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(killed_process_keeps_what_it_reported_and_nothing_torn),
        T(library_forgets_what_was_not_synced_and_only_that),
        T(cut_power_keeps_what_was_reported_and_nothing_torn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
