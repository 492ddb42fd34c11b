/*
 * What the disk may do to the store: flipped bytes, cut files, another schema, errors of a sync, no
 * room. fdatasync() of this program is its own, so that it can fail.
 */
#include <lmdb.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "core/bytes.h"
#include "store_testing.h"

/* ---- a disk that fails ---- */

static atomic_int syncs_left = -1; /* so many syncs go well; -1: all of them */
static atomic_int syncs_failed;

__attribute__((visibility("default"))) int fdatasync(int fd);
int fdatasync(int fd)
{
    int left = atomic_load(&syncs_left);

    if (left == 0) {
        atomic_fetch_add(&syncs_failed, 1);
        errno = EIO;
        return -1;
    }
    if (left > 0)
        atomic_fetch_sub(&syncs_left, 1);
    return (int)syscall(SYS_fdatasync, fd);
}

struct last_words {
    atomic_int code;
    char text[1024];
};

static void on_fatal(void *user, int code, const char *text)
{
    struct last_words *words = user;

    (void)snprintf(words->text, sizeof words->text, "%s", text);
    atomic_store(&words->code, code);
}

static bool died(void *user)
{
    return atomic_load(&((struct last_words *)user)->code) != 0;
}

static void sync_that_fails_ends_the_node_and_is_never_tried_again(void **state)
{
    struct last_words words = {.code = 0};
    struct store_options options = {.fatal = on_fatal, .user = &words};
    struct store *store = open_store(&options);
    uint64_t token;

    (void)state;
    assert_int_equal(put_one(store, "d1", "kept", 1), 0);
    wait_token(store, 1);
    atomic_store(&syncs_failed, 0);
    atomic_store(&syncs_left, 0);
    assert_int_equal(put_one(store, "d2", "lost", 2), 0);
    assert_true(wait_until(died, &words));
    atomic_store(&syncs_left, -1); /* a second try would go well, and lie */
    assert_int_equal(atomic_load(&words.code), KITH_E_IO);
    assert_non_null(strstr(words.text, "Input/output error"));
    assert_non_null(strstr(words.text, "dmesg"));
    assert_int_equal(put_one(store, "d3", "x", 3), KITH_E_STOPPED);
    assert_int_equal(store_completed(store, &token, 1), 0);
    store_close(store);
    assert_int_equal(atomic_load(&syncs_failed), 1);
    /* What was not acknowledged may be there, as a whole; what was must be. */
    store = open_store(NULL);
    struct recalled all = recall(store, 'd');
    assert_true(strcmp(all.text, "d1=kept ") == 0 || strcmp(all.text, "d1=kept d2=lost ") == 0);
    store_close(store);
}

static void process_without_a_hook_ends_with_a_sentence(void **state)
{
    int status, out[2];
    char text[1024] = "";
    pid_t child;

    (void)state;
    assert_int_equal(pipe(out), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct store *store;

        (void)dup2(out[1], 2);
        if (store_open(root, NULL, &store) != 0)
            _exit(7);
        atomic_store(&syncs_left, 0);
        if (put_one(store, "d", "x", 1) != 0)
            _exit(8);
        store_close(store);
        _exit(9);
    }
    close(out[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_true(read(out[0], text, sizeof text - 1) > 0);
    close(out[0]);
    assert_non_null(strstr(text, "kith: store "));
    assert_non_null(strstr(text, "the disk failed while writing"));
}

/* ---- damage ---- */

static size_t read_file(const char *path, uint8_t **out)
{
    struct stat st;
    int fd = open(path, O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    *out = malloc((size_t)st.st_size);
    assert_non_null(*out);
    assert_int_equal(read(fd, *out, (size_t)st.st_size), st.st_size);
    close(fd);
    return (size_t)st.st_size;
}

/* Flips a bit of byte @at in every place where the file has @text. */
static void flip(const char *text, size_t at)
{
    const char *path = in_root("store/data.mdb");
    size_t len, places = 0;
    uint8_t *bytes;
    int fd;

    len = read_file(path, &bytes);
    fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    for (uint8_t *found = bytes;
         (found = memmem(found, len - (size_t)(found - bytes), text, strlen(text))) != NULL;
         found++) {
        uint8_t byte = found[at] ^ 0x10;

        assert_int_equal(pwrite(fd, &byte, 1, found - bytes + (off_t)at), 1);
        places++;
    }
    close(fd);
    free(bytes);
    assert_true(places > 0);
}

static void flipped_bit_of_a_value_or_a_key_is_found_and_only_that_entry_is_lost(void **state)
{
    struct store *store = open_store(NULL);
    struct recalled all;

    (void)state;
    assert_int_equal(put_one(store, "d/first", "the first value", 1), 0);
    assert_int_equal(put_one(store, "d/second", "the second value", 2), 0);
    assert_int_equal(put_one(store, "d/third", "the third value", 3), 0);
    store_close(store);
    flip("the second value", 11);
    store = open_store(NULL);
    all = recall(store, 'd');
    assert_string_equal(all.text, "d/first=the first value d/second=? d/third=the third value ");
    assert_int_equal(all.corrupt_n, 1);
    store_close(store);
    flip("d/third", 6);
    store = open_store(NULL);
    all = recall(store, 'd');
    assert_int_equal(all.n, 3);
    assert_int_equal(all.corrupt_n, 2);
    /* What is written again is well again. */
    assert_int_equal(put_one(store, "d/second", "new", 4), 0);
    wait_token(store, 4);
    store_close(store);
    store = open_store(NULL);
    assert_int_equal(recall(store, 'd').corrupt_n, 1);
    store_close(store);
}

static void refused_as_damaged(void)
{
    struct store *store;

    assert_int_equal(store_open(root, NULL, &store), KITH_E_CORRUPT);
    assert_non_null(strstr(kith_errmsg(), "mv "));
    assert_non_null(strstr(kith_errmsg(), "fresh member"));
}

static void cut_or_overwritten_file_is_refused_with_what_to_do(void **state)
{
    struct store *store = open_store(NULL);
    uint8_t noise[8192];
    int fd;

    (void)state;
    assert_int_equal(put_bytes(store, "d", 100000, 'x', 1), 0);
    store_close(store);
    assert_int_equal(truncate(in_root("store/data.mdb"), 5 * 4096), 0);
    refused_as_damaged();
    memset(noise, 0x5a, sizeof noise);
    fd = open(in_root("store/data.mdb"), O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, noise, sizeof noise, 0), sizeof noise);
    close(fd);
    refused_as_damaged();
    flip("\x5a\x5a", 0); /* refused, not repaired: it is still as it was */
    refused_as_damaged();
}

/* Writes the store's own entry @key with LMDB alone, with a right checksum or a wrong one. */
static void forge(const char *key, const void *stored, size_t len)
{
    uint8_t copy[64];
    MDB_val k = {strlen(key), copy}, v = {len, copy + 32};
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    memcpy(copy, key, strlen(key));
    memcpy(copy + 32, stored, len);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, in_root("store"), MDB_NOLOCK, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void newer_schema_is_refused_and_left_alone(void **state)
{
    /* BLAKE2b-128 of "\x08\x00" "s/schema" and the value 3, cut to 8 bytes: what schema 3 has. */
    static const uint8_t three[] = {0xe1, 0xf4, 0xb5, 0x6c, 0x68, 0xcb, 0xbc, 0x99, 3, 0, 0, 0};
    struct store *store = open_store(NULL);

    (void)state;
    assert_int_equal(put_one(store, "d", "x", 1), 0);
    store_close(store);
    forge("s/schema", three, sizeof three);
    assert_int_equal(store_open(root, NULL, &store), KITH_E_UNSUPPORTED);
    assert_non_null(strstr(kith_errmsg(), "newer kith (schema 3; this one reads 2)"));
    assert_int_equal(store_open(root, NULL, &store), KITH_E_UNSUPPORTED);
    forge("s/schema", "\0\0\0\0\0\0\0\0\1\0\0\0", 12);
    refused_as_damaged();
}

/* ---- no room ---- */

static bool is_full(void *user)
{
    return store_full(user, NULL, 0);
}

static bool is_not_full(void *user)
{
    return !store_full(user, NULL, 0);
}

/* While it tries again, it is not full for a moment. */
static bool holds_back_nothing(void *user)
{
    struct store_stats stats;

    store_stats(user, &stats);
    return is_not_full(user) && stats.waiting_n == 0;
}

static void count_wake(void *user)
{
    atomic_fetch_add((atomic_int *)user, 1);
}

/* Few wait to be written, or no more will be. */
static bool has_written(void *user)
{
    struct store_stats stats;

    store_stats(user, &stats);
    return stats.waiting_n <= 4 || store_full(user, NULL, 0);
}

/* Puts values until the store is full; returns how many were put. */
static uint64_t fill(struct store *store, size_t bytes)
{
    uint64_t n = 0;

    while (!store_full(store, NULL, 0) && n < 5000) {
        char key[16];

        (void)snprintf(key, sizeof key, "d%04u", (unsigned)n);
        assert_int_equal(put_bytes(store, key, bytes, 'x', 1000 + n++), 0);
        assert_true(wait_until(has_written, store));
    }
    assert_true(store_full(store, NULL, 0));
    return n;
}

struct token_wait {
    uint64_t seen, wanted;
};

static void file_at_its_limit_keeps_votes_going_and_room_comes_from_removals(void **state)
{
    atomic_int wakes = 0;
    struct store_options options = {.wake = count_wake,
                                    .user = &wakes,
                                    .file_bytes_start = 64 * 1024,
                                    .file_bytes_max = 1024 * 1024, /* 1 GiB, scaled down */
                                    .reserve_bytes = 512 * 1024,
                                    .retry_ms = 5};
    struct store *store = open_store(&options);
    struct store_stats stats;
    struct token_wait wait = {.seen = 0};
    uint64_t parked = 7, token;
    char why[256];

    (void)state;
    wait.wanted = fill(store, 3000);
    assert_true(store_full(store, why, sizeof why));
    assert_non_null(strstr(why, "limit of 1 MiB"));
    assert_int_equal(put_one(store, "d-late", "late", parked), 0);
    /* Votes need more than is left, so they take of the reserve; and they do not wait. */
    while (store_completed(store, &token, 1) == 1)
        wait.seen++;
    for (uint64_t i = 0; i < 150; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "v%u", (unsigned)i);
        assert_int_equal(put_bytes(store, key, 2500, 'v', i), 0);
        do {
            take_tokens(store, &token, 1);
            wait.seen += token >= 1000;
        } while (token >= 1000);
        assert_int_equal(token, i);
    }
    store_stats(store, &stats);
    assert_true(stats.file_bytes > options.file_bytes_max);
    assert_true(store_full(store, NULL, 0));
    assert_true(stats.waiting_n >= 1);
    /* Removals pass what waits; with them comes room for it. */
    uint64_t removed_n = wait.wanted < 200 ? wait.wanted : 200;
    for (uint64_t i = 0; i < removed_n; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "d%04u", (unsigned)i);
        assert_int_equal(put_one(store, key, NULL, 1), 0);
    }
    assert_true(wait_until(is_not_full, store));
    store_close(store); /* drains: the parked one too */
    store = open_store(&options);
    assert_non_null(strstr(why, "remove"));
    struct recalled all = recall(store, 'd');
    assert_int_equal(all.n, wait.wanted - removed_n + 1);
    assert_int_equal(recall(store, 'v').n, 150);
    store_close(store);
}

static void removal_never_passes_a_waiting_batch_of_its_key(void **state)
{
    struct store_options options = {.file_bytes_start = 64 * 1024,
                                    .file_bytes_max = 256 * 1024,
                                    .reserve_bytes = 64 * 1024,
                                    .retry_ms = 5};
    struct store *store = open_store(&options);
    uint64_t n = fill(store, 3000);

    (void)state;
    assert_int_equal(put_one(store, "d-late", "late", 1), 0);
    assert_int_equal(put_one(store, "d-late", NULL, 2), 0);
    assert_int_equal(put_one(store, "d-other", "other", 3), 0);
    for (uint64_t i = 0; i < n / 2; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "d%04u", (unsigned)i);
        assert_int_equal(put_one(store, key, NULL, 4), 0);
    }
    assert_true(wait_until(holds_back_nothing, store));
    store_close(store);
    store = open_store(&options);
    struct recalled all = recall(store, 'd');
    assert_null(strstr(all.text, "d-late"));
    assert_non_null(strstr(all.text, "d-other=other"));
    store_close(store);
}

static void full_disk_is_said_and_healed(void **state)
{
    struct store_options options = {.file_bytes_start = 64 * 1024,
                                    .reserve_bytes = 1024 * 1024,
                                    .log_bytes = 256 * 1024,
                                    .retry_ms = 5};
    struct token_wait wait = {.seen = 0};
    struct store *store;
    struct store_stats stats;
    uint64_t token;
    char why[256];
    int fd;

    (void)state;
    if (mount("tmpfs", root, "tmpfs", 0, "size=8m,mode=0700") != 0)
        test_skip("a small file system cannot be mounted here");
    store = open_store(&options);
    /* Something else takes most of the disk. */
    fd = open(in_root("other"), O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, 5 * 1024 * 1024), 0);
    close(fd);
    wait.wanted = fill(store, 100000);
    assert_true(store_full(store, why, sizeof why));
    assert_non_null(strstr(why, "No space left on device"));
    while (store_completed(store, &token, 1) == 1)
        wait.seen++;
    for (uint64_t i = 0; i < 200; i++) {
        assert_int_equal(put_bytes(store, "v", 3000, 'v', i), 0);
        do {
            take_tokens(store, &token, 1);
            wait.seen += token >= 1000;
        } while (token >= 1000);
    }
    assert_true(is_full(store));
    assert_int_equal(put_bytes(store, "d-late", 100000, 'l', 5), 0); /* more than came back since */
    store_stats(store, &stats);
    assert_true(stats.waiting_n >= 1);
    assert_int_equal(unlink(in_root("other")), 0);
    assert_true(wait_until(holds_back_nothing, store));
    store_stats(store, &stats);
    assert_int_equal(stats.reserve_bytes, options.reserve_bytes);
    store_close(store);
    store = open_store(&options);
    struct recalled all = recall(store, 'd');
    assert_int_equal(all.n, wait.wanted + 1);
    assert_int_equal(all.corrupt_n, 0);
    store_close(store);

    /* Full from the beginning: it opens, and says so. */
    fd = open(in_root("other"), O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(unlink(in_root("store/reserve")), 0);
    struct statvfs vfs;
    assert_int_equal(statvfs(root, &vfs), 0);
    assert_int_equal(posix_fallocate(fd, 0, (off_t)((vfs.f_bavail - 2) * vfs.f_bsize)), 0);
    close(fd);
    store = open_store(&options);
    assert_true(is_full(store));
    assert_int_equal(put_one(store, "v", "small", 6), 0);
    wait_token(store, 6);
    store_close(store);
    assert_int_equal(umount2(root, MNT_DETACH), 0);
}

/* A case that failed leaves its disk behind. */
static int end_mounted(void **state)
{
    (void)umount2(root, MNT_DETACH);
    return end(state);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(sync_that_fails_ends_the_node_and_is_never_tried_again),
        T(process_without_a_hook_ends_with_a_sentence),
        T(flipped_bit_of_a_value_or_a_key_is_found_and_only_that_entry_is_lost),
        T(cut_or_overwritten_file_is_refused_with_what_to_do),
        T(newer_schema_is_refused_and_left_alone),
        T(file_at_its_limit_keeps_votes_going_and_room_comes_from_removals),
        T(removal_never_passes_a_waiting_batch_of_its_key),
        cmocka_unit_test_setup_teardown(full_disk_is_said_and_healed, begin, end_mounted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
