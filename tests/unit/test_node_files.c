/*
 * Files by the public functions (kith/fs.h): two agents in this process, the first of which shares
 * a folder.
 */
#include <ftw.h>
#include <pthread.h>
#include <sys/stat.h>

#include "lib/node_lab.h"

#define CHUNK (128u * 1024)

static struct kith_node *nodes[2];
static char folder[128];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static bool has_share(void *arg)
{
    struct kith_fs_result *result = NULL;
    bool there = kith_fs_stat(arg, "s", &result) == 0;

    kith_fs_result_free(result);
    return there;
}

static int begin(void **state)
{
    const char *tmp = getenv("TMPDIR");
    struct kith_fs_op share = {.kind = KITH_FS_SHARE_ADD, .path = "s", .local = folder};

    (void)state;
    lab_agents_start(nodes, 2);
    (void)snprintf(folder, sizeof(folder), "%s/kith-files-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(folder));
    if (kith_fs_do(nodes[0], &share, NULL) != 0)
        fail_msg("%s", kith_errmsg());
    assert_true(lab_wait(has_share, nodes[0]));
    assert_true(lab_wait(has_share, nodes[1]));
    return 0;
}

static int end(void **state)
{
    (void)state;
    lab_agents_stop(nodes, 2);
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- steps ---- */

#define ok(call)                                                                                   \
    do {                                                                                           \
        if ((call) != 0)                                                                           \
            fail_msg("%s: %s", #call, kith_errmsg());                                              \
    } while (0)

static void write_path(struct kith_node *node, const char *path, const void *data, size_t len)
{
    struct kith_fs_op op = {.kind = KITH_FS_WRITE, .path = path, .data = data, .len = len};
    ok(kith_fs_do(node, &op, NULL));
}

static uint8_t *noise(size_t len, uint64_t seed)
{
    uint8_t *data = malloc(len + 1);
    struct rng rng;

    assert_non_null(data);
    rng_init(&rng, seed);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)rng_u64(&rng);
    return data;
}

static void
check_path(struct kith_node *node, const char *path, const uint8_t *expect, size_t expect_len)
{
    uint8_t *data = malloc(expect_len + 1);
    size_t len = 0;

    assert_non_null(data);
    ok(kith_fs_read(node, path, NULL, 0, data, expect_len + 1, &len));
    assert_int_equal(len, expect_len);
    assert_memory_equal(data, expect, expect_len);
    free(data);
}

struct read_check {
    struct kith_node *node;
    const char *path, *text;
};

static bool reads(void *arg)
{
    const struct read_check *check = arg;
    char data[256];
    size_t len = 0;

    return kith_fs_read(check->node, check->path, NULL, 0, data, sizeof(data), &len) == 0 &&
           len == strlen(check->text) && memcmp(data, check->text, len) == 0;
}

/* The other node hears of it soon. */
static void wait_path(struct kith_node *node, const char *path, const char *text)
{
    struct read_check check = {node, path, text};

    if (!lab_wait(reads, &check))
        fail_msg("%s does not read %s at %s", kith_node_name(node), text, path);
}

/* Files of the keep of the agent without a folder. */
static size_t kept_n;
static ino_t kept_inode;
static off_t kept_size;

static int count_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)path, (void)ftw;
    if (type == FTW_F) {
        kept_n++;
        kept_inode = st->st_ino;
        kept_size = st->st_size;
    }
    return 0;
}

static size_t count_kept(void)
{
    char path[256];

    kept_n = 0;
    (void)snprintf(path, sizeof(path), "%s/files/keep", lab_agent_dir(1));
    (void)nftw(path, count_one, 8, FTW_PHYS); /* what goes away meanwhile ends it */
    return kept_n;
}

static bool has_kept(void *arg)
{
    return count_kept() == *(size_t *)arg;
}

static void wait_kept(size_t n)
{
    if (!lab_wait(has_kept, &n))
        fail_msg("%zu files are in the keep, and %zu should be", kept_n, n);
}

/* ---- what there is ---- */

static void what_is_written_is_listed_and_read_on_both(void **state)
{
    struct kith_fs_result *result = NULL;
    char part[5];
    size_t len = 0;

    (void)state;
    write_path(nodes[0], "s/dir/a", "hello world", 11);
    write_path(nodes[1], "s/dir/b", "put by name", 11);
    ok(kith_fs_list(nodes[1], "s/dir", &result));
    assert_true(result->entries_n >= 1);
    kith_fs_result_free(result);
    ok(kith_fs_stat(nodes[0], "s/dir/a", &result));
    assert_int_equal(result->entries[0].size, 11);
    assert_int_equal(result->entries[0].kind, KITH_FS_FILE);
    assert_true(result->entries[0].here);
    assert_string_equal(result->entries[0].author_name, kith_node_name(nodes[0]));
    kith_fs_result_free(result);
    ok(kith_fs_read(nodes[0], "s/dir/a", NULL, 6, part, sizeof(part), &len));
    assert_int_equal(len, 5);
    assert_memory_equal(part, "world", 5);
    ok(kith_fs_read(nodes[0], "s/dir/a", NULL, 11, part, sizeof(part), &len));
    assert_int_equal(len, 0);
    assert_int_equal(kith_fs_stat(nodes[0], "s/none", &result), KITH_E_NOT_FOUND);
    ok(kith_fs_remove(nodes[1], "s/dir/b"));
    assert_int_equal(kith_fs_stat(nodes[1], "s/dir/b", &result), KITH_E_NOT_FOUND);
}

/* ---- appended ---- */

static void a_file_that_grows_is_not_copied(void **state)
{
    size_t len = 5 * CHUNK / 2, at = 0;
    uint8_t *data = noise(4 * CHUNK, 1);
    ino_t inode;

    (void)state;
    wait_kept(0);
    write_path(nodes[1], "s/log", data, len);
    wait_kept(1);
    inode = kept_inode;
    at = len;
    /* Within a chunk, to its very end, beyond it, and nothing. */
    const size_t steps[] = {1, 1000, CHUNK / 2 - 1001, 1, 0, CHUNK - 2, 2};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        ok(kith_fs_append(nodes[1], "s/log", data + at, steps[i]));
        at += steps[i];
        check_path(nodes[1], "s/log", data, at);
    }
    /* One file, the same as at the beginning, and none of its former names is left. */
    wait_kept(1);
    assert_int_equal(kept_inode, inode);
    assert_int_equal(kept_size, at);
    ok(kith_fs_remove(nodes[1], "s/log"));
    free(data);
}

struct many {
    _Atomic unsigned done_n, failed_n;
};

static void on_many(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct many *many = user;

    (void)node;
    if (result->code != 0)
        atomic_fetch_add(&many->failed_n, 1);
    atomic_fetch_add(&many->done_n, 1);
}

/* In the order in which they were asked for, whoever waited for whom. */
static void many_appends_at_once_all_arrive_in_order(void **state)
{
    enum { N = 700 };
    struct many many = {0};
    uint8_t *expect = noise(N * 3, 2);

    (void)state;
    for (unsigned i = 0; i < N; i++) {
        struct kith_fs_op op = {
            .kind = KITH_FS_APPEND, .path = "s/many", .data = expect + (size_t)3 * i, .len = 3};
        ok(kith_fs_do_async(nodes[1], &op, on_many, &many, NULL));
    }
    assert_true(lab_wait_count(&many.done_n, N));
    assert_int_equal(atomic_load(&many.failed_n), 0);
    check_path(nodes[1], "s/many", expect, (size_t)N * 3);
    ok(kith_fs_remove(nodes[1], "s/many"));
    free(expect);
}

static void two_paths_of_one_content_grow_apart(void **state)
{
    (void)state;
    write_path(nodes[1], "s/x", "same", 4);
    write_path(nodes[1], "s/y", "same", 4);
    ok(kith_fs_append(nodes[1], "s/x", " x", 2));
    ok(kith_fs_append(nodes[1], "s/y", " y", 2));
    ok(kith_fs_append(nodes[1], "s/y", "!", 1));
    check_path(nodes[1], "s/x", (const uint8_t *)"same x", 6);
    check_path(nodes[1], "s/y", (const uint8_t *)"same y!", 7);
    /* What an append gave before, and both had then, is as good as if it had been written. */
    write_path(nodes[1], "s/y", "same", 4);
    ok(kith_fs_append(nodes[1], "s/y", " x", 2));
    check_path(nodes[1], "s/y", (const uint8_t *)"same x", 6);
    wait_path(nodes[0], "s/y", "same x");
    ok(kith_fs_remove(nodes[1], "s/x"));
    ok(kith_fs_remove(nodes[1], "s/y"));
}

static void an_append_to_what_has_changed_is_refused(void **state)
{
    struct kith_fs_result *result = NULL;
    char hash[KITH_FS_HASH_DIGITS + 1];

    (void)state;
    write_path(nodes[1], "s/f", "one", 3);
    ok(kith_fs_stat(nodes[1], "s/f", &result));
    (void)snprintf(hash, sizeof(hash), "%s", result->entries[0].hash);
    kith_fs_result_free(result);
    struct kith_fs_op op = {
        .kind = KITH_FS_APPEND, .path = "s/f", .hash = hash, .data = "two", .len = 3};
    ok(kith_fs_do(nodes[1], &op, NULL));
    assert_int_equal(kith_fs_do(nodes[1], &op, NULL), KITH_E_FENCE);
    check_path(nodes[1], "s/f", (const uint8_t *)"onetwo", 6);
    ok(kith_fs_remove(nodes[1], "s/f"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_grows_is_not_copied),
        cmocka_unit_test(what_is_written_is_listed_and_read_on_both),
        cmocka_unit_test(many_appends_at_once_all_arrive_in_order),
        cmocka_unit_test(two_paths_of_one_content_grow_apart),
        cmocka_unit_test(an_append_to_what_has_changed_is_refused),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
