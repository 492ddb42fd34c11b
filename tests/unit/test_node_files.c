/*
 * Files by the public functions (kith/fs.h): two agents in this process, the first of which shares
 * a folder.
 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/node_lab.h"
#include "node/fs_keep.h"
#include "node/internal.h"

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

/* ---- fetched, cached ---- */

struct told {
    _Atomic unsigned n;
    char from[64];
    uint64_t bytes;
};

static void on_progress(struct kith_node *node, const struct kith_fs_progress *progress, void *user)
{
    struct told *told = user;

    (void)node;
    if (progress->holders_n == 1)
        (void)snprintf(told->from, sizeof(told->from), "%s", progress->holders[0].name);
    assert_true(progress->done_bytes <= progress->all_bytes);
    atomic_fetch_add(&told->n, 1);
}

static void on_got(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct told *told = user;

    (void)node;
    if (result->code == 0 && result->from_n == 1)
        told->bytes = result->from[0].bytes;
    atomic_fetch_add(&told->n, 1000);
}

/* Something that the first node has in its folder, and the other fetches. */
static uint8_t *place(const char *path, size_t len, uint64_t seed)
{
    uint8_t *data = noise(len, seed);

    write_path(nodes[0], path, data, len);
    return data;
}

static bool is_known(void *arg)
{
    struct kith_fs_result *result = NULL;
    bool known = kith_fs_stat(nodes[1], arg, &result) == 0;

    kith_fs_result_free(result);
    return known;
}

static void wait_known(const char *path)
{
    assert_true(lab_wait(is_known, (void *)(uintptr_t)path));
}

static void a_file_that_is_got_is_whole_and_says_who_sent_it(void **state)
{
    size_t len = 8 * (size_t)CHUNK + 5;
    uint8_t *data = place("s/big", len, 3), *back = malloc(len + 1);
    struct told told = {0};
    char local[256];
    struct kith_fs_op op = {
        .kind = KITH_FS_GET, .path = "s/big", .local = local, .on_progress = on_progress};

    (void)state;
    wait_known("s/big");
    (void)snprintf(local, sizeof(local), "%s/got", lab_agent_dir(1));
    ok(kith_fs_do_async(nodes[1], &op, on_got, &told, NULL));
    assert_true(lab_wait_count(&told.n, 1000));
    assert_string_equal(told.from, kith_node_name(nodes[0]));
    assert_int_equal(told.bytes, len);
    FILE *file = fopen(local, "r");
    assert_non_null(file);
    assert_int_equal(fread(back, 1, len + 1, file), len);
    (void)fclose(file);
    assert_memory_equal(back, data, len);
    /* Of what this node has itself nobody sends anything, and nothing half is left of what failed.
     */
    ok(kith_fs_get(nodes[0], "s/big", local));
    assert_int_equal(kith_fs_get(nodes[1], "s/big", "/nowhere/at/all"), KITH_E_NOT_FOUND);
    free(data);
    free(back);
}

static void what_is_in_memory_is_read_by_any_thread(void **state)
{
    size_t len = 2 * (size_t)CHUNK + 100, n = 0;
    uint8_t *data = place("s/seen", len, 4), *back = malloc(len + 1);
    struct kith_fs_piece piece, second;
    struct kith_fs_file *file;
    struct kith_fs_op evict = {.kind = KITH_FS_EVICT};

    (void)state;
    wait_known("s/seen");
    ok(kith_fs_open(nodes[1], "s/seen", NULL, &file));
    assert_int_equal(kith_fs_file_size(file), len);
    assert_int_equal(strlen(kith_fs_file_hash(file)), KITH_FS_HASH_DIGITS);
    assert_int_equal(kith_fs_file_piece(file, 0, &piece), KITH_E_NOT_FOUND);
    ok(kith_fs_file_read(file, 0, back, len + 1, &n));
    assert_int_equal(n, len);
    assert_memory_equal(back, data, len);
    ok(kith_fs_file_piece(file, 0, &piece));
    assert_int_equal(piece.len, CHUNK);
    assert_memory_equal(piece.data, data, CHUNK);
    ok(kith_fs_file_piece(file, 2 * CHUNK + 50, &second));
    assert_int_equal(second.len, 50);
    assert_memory_equal(second.data, data + 2 * CHUNK + 50, 50);
    assert_int_equal(kith_fs_file_piece(file, len, &(struct kith_fs_piece){0}), KITH_E_INVALID);
    /* From within, over two chunks, to the end and beyond. */
    ok(kith_fs_file_read(file, CHUNK - 10, back, 20, &n));
    assert_int_equal(n, 20);
    assert_memory_equal(back, data + CHUNK - 10, 20);
    ok(kith_fs_file_read(file, len - 7, back, 100, &n));
    assert_int_equal(n, 7);
    ok(kith_fs_file_read(file, len + 7, back, 100, &n));
    assert_int_equal(n, 0);
    /* What is shown stays when it leaves the cache, and the file is closed. */
    ok(kith_fs_do(nodes[1], &evict, NULL));
    assert_int_equal(kith_fs_file_piece(file, 0, &(struct kith_fs_piece){0}), KITH_E_NOT_FOUND);
    kith_fs_close(file);
    assert_memory_equal(piece.data, data, CHUNK);
    kith_fs_piece_end(&piece);
    kith_fs_piece_end(&second);
    kith_fs_piece_end(&piece); /* a zeroed one */
    assert_int_equal(kith_fs_open(nodes[1], "s/none", NULL, &file), KITH_E_NOT_FOUND);
    free(data);
    free(back);
}

struct reading {
    const uint8_t *data;
    _Atomic bool stop, wrong;
    _Atomic uint64_t pieces, reads; /* how often each way gave bytes */
};

static void *read_on(void *arg)
{
    struct reading *reading = arg;
    struct kith_fs_file *file;
    uint8_t back[100];
    size_t n;

    if (kith_fs_open(nodes[1], "s/shared", NULL, &file) != 0)
        return NULL;
    for (uint64_t i = 0; !atomic_load(&reading->stop); i++) {
        uint64_t at = i * 7919 % (4 * CHUNK - sizeof(back));
        struct kith_fs_piece piece;
        if (kith_fs_file_piece(file, at, &piece) == 0) {
            if (memcmp(piece.data, reading->data + at, piece.len) != 0)
                atomic_store(&reading->wrong, true);
            atomic_fetch_add(&reading->pieces, 1);
            kith_fs_piece_end(&piece);
        } else if (kith_fs_file_read(file, at, back, sizeof(back), &n) == 0) {
            if (n != sizeof(back) || memcmp(back, reading->data + at, n) != 0)
                atomic_store(&reading->wrong, true);
            atomic_fetch_add(&reading->reads, 1);
        }
    }
    kith_fs_close(file);
    return NULL;
}

static void threads_read_what_comes_and_goes(void **state)
{
    uint8_t *data = place("s/shared", 4 * (size_t)CHUNK, 5);
    struct kith_fs_op evict = {.kind = KITH_FS_EVICT};
    struct reading reading = {.data = data};
    pthread_t threads[3];

    (void)state;
    wait_known("s/shared");
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &reading), 0);
    for (unsigned i = 0; i < 30 || reading.pieces == 0 || reading.reads == 0; i++) {
        assert_true(i < LAB_WAIT_MS / 2);
        if (i < 30 || reading.reads == 0)
            ok(kith_fs_do(nodes[1], &evict, NULL));
        lab_nap();
    }
    atomic_store(&reading.stop, true);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_false(reading.wrong);
    free(data);
}

static void what_is_pinned_is_kept_when_all_is_evicted(void **state)
{
    uint8_t *data = place("s/pinned", 2 * (size_t)CHUNK, 6);
    struct kith_fs_op pin = {.kind = KITH_FS_PIN, .path = "s/pinned"};
    struct kith_fs_op unpin = {.kind = KITH_FS_UNPIN, .path = "s/pinned"};
    struct kith_fs_op evict = {.kind = KITH_FS_EVICT};
    struct kith_fs_op verify = {.kind = KITH_FS_VERIFY, .path = "s/pinned"};
    struct kith_fs_result *result = NULL;

    (void)state;
    wait_known("s/pinned");
    ok(kith_fs_do(nodes[1], &pin, &result));
    assert_int_equal(result->counted_n, 1);
    kith_fs_result_free(result);
    ok(kith_fs_do(nodes[1], &evict, NULL));
    ok(kith_fs_stat(nodes[1], "s/pinned", &result));
    assert_true(result->entries[0].pinned && result->entries[0].here);
    assert_int_equal(result->entries[0].holders_n, 2);
    kith_fs_result_free(result);
    ok(kith_fs_do(nodes[1], &verify, &result));
    assert_true(result->counted_n == 1 && result->damaged_n == 0);
    kith_fs_result_free(result);
    ok(kith_fs_do(nodes[1], &unpin, NULL));
    ok(kith_fs_stat(nodes[1], "s/pinned", &result));
    assert_false(result->entries[0].pinned);
    kith_fs_result_free(result);
    free(data);
}

/* ---- copies of what changed a little ---- */

static struct kith_fs_cache_info cache_of(struct kith_node *node)
{
    struct kith_fs_op op = {.kind = KITH_FS_CACHE};
    struct kith_fs_result *result = NULL;
    struct kith_fs_cache_info info;

    ok(kith_fs_do(node, &op, &result));
    info = *result->cache;
    kith_fs_result_free(result);
    return info;
}

struct hash_check {
    struct kith_node *node;
    const char *path;
    char hash[KITH_FS_HASH_DIGITS + 1];
};

static bool has_hash(void *arg)
{
    const struct hash_check *check = arg;
    struct kith_fs_result *result = NULL;
    bool same = kith_fs_stat(check->node, check->path, &result) == 0 &&
                strcmp(result->entries[0].hash, check->hash) == 0;

    kith_fs_result_free(result);
    return same;
}

/* The other node knows what this one has. */
static void wait_same(struct kith_node *from, struct kith_node *to, const char *path)
{
    struct hash_check check = {.node = to, .path = path};
    struct kith_fs_result *result = NULL;

    ok(kith_fs_stat(from, path, &result));
    (void)snprintf(check.hash, sizeof(check.hash), "%s", result->entries[0].hash);
    kith_fs_result_free(result);
    assert_true(lab_wait(has_hash, &check));
}

static void pin_path(struct kith_node *node, const char *path)
{
    struct kith_fs_op pin = {.kind = KITH_FS_PIN, .path = path};
    ok(kith_fs_do(node, &pin, NULL));
}

static uint64_t fetched_bytes(void)
{
    return cache_of(nodes[1]).fetched_bytes;
}

/*
 * Pins what the first node has of it at the other: so many bytes have come since @before. A pin is
 * of a path, so the node begins by itself with what changed, and what is under way for that may
 * come once more: a copy of @n bytes is at most twice as many, and lists of hashes.
 */
static uint64_t copied_since(uint64_t before, const char *path)
{
    wait_same(nodes[0], nodes[1], path);
    pin_path(nodes[1], path);
    return fetched_bytes() - before;
}

/* What nobody has pinned before. */
static uint64_t copied(const char *path)
{
    return copied_since(fetched_bytes(), path);
}

/* A list of hashes comes with what is fetched, or two. */
#define LISTS_BYTES(chunks) (64u * (chunks))
#define TWICE(n, chunks)    (2 * ((n) + LISTS_BYTES(chunks)))

/* What the other node keeps of a path. */
static int open_kept(const char *path)
{
    struct kith_fs_result *result = NULL;
    char name[400];
    int fd;

    ok(kith_fs_stat(nodes[1], path, &result));
    const char *hash = result->entries[0].hash;
    (void)snprintf(name, sizeof(name), "%s/files/keep/%.2s/%.2s/%s", lab_agent_dir(1), hash,
                   hash + 2, hash);
    kith_fs_result_free(result);
    fd = open(name, O_RDWR);
    assert_true(fd >= 0);
    return fd;
}

static ino_t inode_of(const char *path)
{
    struct stat st;
    int fd = open_kept(path);

    assert_int_equal(fstat(fd, &st), 0);
    (void)close(fd);
    return st.st_ino;
}

/* One byte of it is another. */
static void damage_kept(const char *path, off_t at)
{
    uint8_t byte;
    int fd = open_kept(path);

    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    (void)close(fd);
}

static void a_copy_of_what_grew_fetches_what_is_new(void **state)
{
    enum { CHUNKS = 20 };
    size_t len = CHUNKS * (size_t)CHUNK + 1000;
    uint8_t *data = noise(len, 7);
    uint64_t reused = cache_of(nodes[1]).reused_bytes, fetched;
    struct kith_fs_op verify = {.kind = KITH_FS_VERIFY, .path = "s/growing"};
    struct kith_fs_result *result = NULL;
    ino_t inode;

    (void)state;
    write_path(nodes[0], "s/growing", data, len - 100);
    wait_known("s/growing");
    assert_in_range(copied("s/growing"), len - 100, len - 100 + LISTS_BYTES(CHUNKS + 1));
    assert_int_equal(cache_of(nodes[1]).reused_bytes, reused);
    inode = inode_of("s/growing");
    /* One chunk, in which it ends; the rest is in the file that grows. */
    fetched = fetched_bytes();
    ok(kith_fs_append(nodes[0], "s/growing", data + len - 100, 100));
    assert_in_range(copied_since(fetched, "s/growing"), 1000, TWICE(1000, CHUNKS + 1));
    assert_true(cache_of(nodes[1]).reused_bytes >= reused + len - 1000);
    check_path(nodes[1], "s/growing", data, len);
    assert_int_equal(inode_of("s/growing"), inode);
    /* What is mended is not made of the file that was damaged, except for what is right there. */
    damage_kept("s/growing", 3 * CHUNK);
    fetched = fetched_bytes();
    ok(kith_fs_do(nodes[1], &verify, &result));
    assert_int_equal(result->damaged_n, 1);
    kith_fs_result_free(result);
    fetched = fetched_bytes() - fetched;
    assert_in_range(fetched, CHUNK + 1000, CHUNK + 1000 + LISTS_BYTES(CHUNKS + 1));
    assert_int_not_equal(inode_of("s/growing"), inode);
    ok(kith_fs_do(nodes[1], &verify, &result));
    assert_int_equal(result->damaged_n, 0);
    kith_fs_result_free(result);
    free(data);
}

/* Two paths had one content, which is one file here; then each got another end elsewhere. */
static void copies_of_what_grew_apart_are_apart(void **state)
{
    size_t len = 3 * (size_t)CHUNK + 50;
    uint8_t *data = noise(len, 9), *back = malloc(len + 1);
    uint64_t before;

    (void)state;
    assert_non_null(back);
    write_path(nodes[0], "s/one", data, len - 10);
    write_path(nodes[0], "s/two", data, len - 10);
    wait_known("s/two");
    (void)copied("s/one");
    assert_int_equal(copied("s/two"), 0);
    memcpy(back, data, len);
    memcpy(back + len - 10, "otherwise.", 10);
    before = fetched_bytes();
    ok(kith_fs_append(nodes[0], "s/one", data + len - 10, 10));
    ok(kith_fs_append(nodes[0], "s/two", back + len - 10, 10));
    (void)copied_since(before, "s/one");
    assert_in_range(copied_since(before, "s/two"), 100, 2 * TWICE(50, 4));
    check_path(nodes[1], "s/one", data, len);
    check_path(nodes[1], "s/two", back, len);
    free(data);
    free(back);
}

/* A part has something where zeros are to be: they are not taken for a hole. */
static void zeros_are_written_over_what_a_part_has(void **state)
{
    size_t len = 3 * (size_t)CHUNK;
    uint8_t *data = noise(len, 10);
    struct kith_fs_result *result = NULL;
    char path[400];

    (void)state;
    memset(data + CHUNK, 0, CHUNK);
    write_path(nodes[0], "s/zeros", data, len);
    wait_known("s/zeros");
    ok(kith_fs_stat(nodes[1], "s/zeros", &result));
    (void)snprintf(path, sizeof(path), "%s/files/part/%s", lab_agent_dir(1),
                   result->entries[0].hash);
    kith_fs_result_free(result);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "torn", 4, CHUNK + 7), 4);
    (void)close(fd);
    (void)copied("s/zeros");
    check_path(nodes[1], "s/zeros", data, len);
    free(data);
}

static void a_copy_of_what_changed_inside_fetches_what_is_other(void **state)
{
    enum { CHUNKS = 12 };
    size_t len = CHUNKS * (size_t)CHUNK;
    uint8_t *data = place("s/changing", len, 8);
    struct kith_fs_op verify = {.kind = KITH_FS_VERIFY, .path = "s/changing"};
    struct kith_fs_result *result = NULL;
    uint64_t before;

    (void)state;
    wait_known("s/changing");
    (void)copied("s/changing");
    data[5 * (size_t)CHUNK] ^= 1;
    before = fetched_bytes();
    write_path(nodes[0], "s/changing", data, len);
    /* The chunk that is other, and the one with which the list comes. */
    assert_in_range(copied_since(before, "s/changing"), 2 * CHUNK, TWICE(2 * CHUNK, CHUNKS));
    check_path(nodes[1], "s/changing", data, len);
    ok(kith_fs_do(nodes[1], &verify, &result));
    assert_int_equal(result->damaged_n, 0);
    kith_fs_result_free(result);
    free(data);
}

/* ---- the trash ---- */

static unsigned files_in(const char *path)
{
    unsigned n = 0;
    DIR *dir = opendir(path);
    const struct dirent *entry;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) /* NOLINT(concurrency-mt-unsafe) */
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

static bool is_empty(void *arg)
{
    return files_in(arg) == 0;
}

static bool has_some(void *arg)
{
    return files_in(arg) > 0;
}

#define HOUR_MS (3600u * 1000)

static void tidy_in_six_days(struct kith_node *node, void *arg)
{
    (void)arg;
    fs_tidy(node->fs, node_turn_unix_ms(node) + FS_TRASH_MS - 24 * HOUR_MS,
            node_boot_ms() + 2 * HOUR_MS);
}

static void tidy_in_eight_days(struct kith_node *node, void *arg)
{
    (void)arg;
    fs_tidy(node->fs, node_turn_unix_ms(node) + FS_TRASH_MS + 24 * HOUR_MS,
            node_boot_ms() + 2 * HOUR_MS);
}

static void see_idle(struct kith_node *node, void *arg)
{
    *(bool *)arg = node_fs_idle(node);
}

static bool no_jobs(void *arg)
{
    bool idle = false;

    node_run(arg, see_idle, &idle);
    return idle;
}

static void what_was_deleted_stays_for_a_week(void **state)
{
    char trash[300];

    (void)state;
    (void)snprintf(trash, sizeof(trash), "%s/files/trash", lab_agent_dir(0));
    write_path(nodes[0], "s/deleted", "x", 1);
    ok(kith_fs_remove(nodes[0], "s/deleted"));
    assert_true(lab_wait(has_some, trash));
    node_run(nodes[0], tidy_in_six_days, NULL);
    assert_true(lab_wait(no_jobs, nodes[0]));
    assert_true(has_some(trash));
    node_run(nodes[0], tidy_in_eight_days, NULL);
    assert_true(lab_wait(is_empty, trash));
}

/* ---- told ---- */

static struct {
    _Atomic unsigned created_n, modified_n, deleted_n;
} changes;

static void on_change(struct kith_node *node, const struct kith_fs_change *change, void *user)
{
    (void)node, (void)user;
    if (strcmp(change->path, "s/told") != 0)
        return;
    atomic_fetch_add(&changes.created_n, change->type == KITH_FS_CREATED);
    atomic_fetch_add(&changes.modified_n, change->type == KITH_FS_MODIFIED);
    atomic_fetch_add(&changes.deleted_n, change->type == KITH_FS_DELETED_NOW);
}

static void a_subscriber_elsewhere_hears_of_each_change(void **state)
{
    int64_t no = kith_fs_watch(nodes[0], "s", on_change, NULL);

    (void)state;
    assert_true(no > 0);
    write_path(nodes[1], "s/told", "1", 1);
    assert_true(lab_wait_count(&changes.created_n, 1));
    ok(kith_fs_append(nodes[1], "s/told", "2", 1));
    assert_true(lab_wait_count(&changes.modified_n, 1));
    ok(kith_fs_remove(nodes[1], "s/told"));
    assert_true(lab_wait_count(&changes.deleted_n, 1));
    kith_fs_unwatch(nodes[0], no);
}

/* ---- this machine's files ---- */

static struct {
    char folder[128];
    _Atomic unsigned n[KITH_FS_RESOLVED + 1]; /* of each kind */
    _Atomic unsigned wrong_n;
} tracked;

static void on_tracked(struct kith_node *node, const struct kith_fs_change *change, void *user)
{
    size_t len = strlen(tracked.folder);
    struct kith_node_id own = kith_node_self(node);
    bool renamed = change->type == KITH_FS_RENAMED;

    if (user != &tracked || change->entry != NULL || change->missed_n != 0 ||
        strncmp(change->path, tracked.folder, len) != 0 || change->path[len] != '/' ||
        (change->from[0] != '\0') != renamed || !kith_node_id_equal(&change->author, &own))
        atomic_fetch_add(&tracked.wrong_n, 1);
    atomic_fetch_add(&tracked.n[change->type], 1);
}

static const char *in_tracked(const char *name)
{
    static char paths[2][256];
    static unsigned at;
    char *path = paths[at++ % 2];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", tracked.folder, name);
    return path;
}

static void add_to(const char *name)
{
    FILE *file = fopen(in_tracked(name), "a");

    assert_non_null(file);
    assert_true(fputs("more", file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void a_folder_that_is_tracked_tells_what_happens_in_it(void **state)
{
    const char *tmp = getenv("TMPDIR");
    int64_t no;

    (void)state;
    (void)snprintf(tracked.folder, sizeof(tracked.folder), "%s/kith-track-XXXXXX",
                   tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(tracked.folder));
    assert_int_equal(kith_fs_track(nodes[0], "here", true, on_tracked, &tracked), KITH_E_INVALID);
    assert_int_equal(kith_fs_track(nodes[0], in_tracked("none"), true, on_tracked, &tracked),
                     KITH_E_NOT_FOUND);
    no = kith_fs_track(nodes[0], tracked.folder, false, on_tracked, &tracked);
    assert_true(no > 0);
    add_to("b~"); /* which no share would have */
    assert_true(lab_wait_count(&tracked.n[KITH_FS_CREATED], 1));
    add_to("b~");
    assert_true(lab_wait_count(&tracked.n[KITH_FS_MODIFIED], 1));
    assert_int_equal(chmod(in_tracked("b~"), 0600), 0);
    assert_true(lab_wait_count(&tracked.n[KITH_FS_ATTRIBUTES], 1));
    assert_int_equal(rename(in_tracked("b~"), in_tracked("c")), 0);
    assert_true(lab_wait_count(&tracked.n[KITH_FS_RENAMED], 1));
    assert_int_equal(unlink(in_tracked("c")), 0);
    assert_true(lab_wait_count(&tracked.n[KITH_FS_DELETED_NOW], 1));
    /* The first is ended when the second begins. */
    kith_fs_unwatch(nodes[0], no);
    no = kith_fs_track(nodes[0], tracked.folder, true, on_tracked, &tracked);
    assert_true(no > 0);
    add_to("d");
    assert_true(lab_wait_count(&tracked.n[KITH_FS_CREATED], 2));
    kith_fs_unwatch(nodes[0], no);
    assert_int_equal(tracked.wrong_n, 0);
    assert_int_equal(tracked.n[KITH_FS_CREATED], 2);
    assert_int_equal(tracked.n[KITH_FS_RENAMED], 1);
    assert_int_equal(tracked.n[KITH_FS_DELETED_NOW], 1);
    assert_int_equal(nftw(tracked.folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_grows_is_not_copied),
        cmocka_unit_test(what_is_written_is_listed_and_read_on_both),
        cmocka_unit_test(many_appends_at_once_all_arrive_in_order),
        cmocka_unit_test(two_paths_of_one_content_grow_apart),
        cmocka_unit_test(an_append_to_what_has_changed_is_refused),
        cmocka_unit_test(a_file_that_is_got_is_whole_and_says_who_sent_it),
        cmocka_unit_test(what_is_in_memory_is_read_by_any_thread),
        cmocka_unit_test(threads_read_what_comes_and_goes),
        cmocka_unit_test(what_is_pinned_is_kept_when_all_is_evicted),
        cmocka_unit_test(a_copy_of_what_grew_fetches_what_is_new),
        cmocka_unit_test(copies_of_what_grew_apart_are_apart),
        cmocka_unit_test(zeros_are_written_over_what_a_part_has),
        cmocka_unit_test(a_copy_of_what_changed_inside_fetches_what_is_other),
        cmocka_unit_test(what_was_deleted_stays_for_a_week),
        cmocka_unit_test(a_subscriber_elsewhere_hears_of_each_change),
        cmocka_unit_test(a_folder_that_is_tracked_tells_what_happens_in_it),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
