/*
 * The scanner, looks, and hashing, on real directories.
 */
#include "fs/scan.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/bytes.h"
#include "fs/chunker.h"
#include "fs/ignore.h"
#include "kith/error.h"
#include "lib/test.h"

static char root[64];

/* ---- a folder ---- */

static int make_root(void **state)
{
    (void)state;
    (void)strcpy(root, "/tmp/kith-scan-XXXXXX");
    return mkdtemp(root) == NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)ftw;
    if (type == FTW_D || type == FTW_DNR)
        (void)chmod(path, 0700);
    return remove(path);
}

static int unlock_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)ftw;
    if (type == FTW_DNR || type == FTW_D)
        (void)chmod(path, 0700);
    return 0;
}

static int remove_root(void **state)
{
    (void)state;
    (void)nftw(root, unlock_one, 16, FTW_PHYS);
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *in_root(const char *name)
{
    static char path[4][512];
    static unsigned at;
    char *out = path[at++ % 4];
    (void)snprintf(out, 512, "%s/%s", root, name);
    return out;
}

static void put(const char *name, const void *data, size_t len)
{
    int fd = open(in_root(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    assert_int_equal(close(fd), 0);
}

static void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

/* ---- what a scan tells ---- */

struct told {
    struct buf lines; /* "name found kind;" each */
    unsigned seen_n, batches_n, rules_n;
    const char *last_dir; /* nothing may be told before its directory: not looked at if NULL */
    int ends_with;
};

static int tell(void *user, const struct fs_scan_item *item)
{
    struct told *told = user;
    if (item->kind == FS_SCAN_RULES) {
        told->rules_n++;
        assert_int_equal(buf_printf(&told->lines, "rules %s %zu;", item->name, item->data.len), 0);
    }
    if (item->kind != FS_SCAN_SEEN)
        return 0;
    assert_true(item->n > 0 && item->n <= FS_SCAN_BATCH_MAX);
    told->batches_n++;
    for (size_t i = 0; i < item->n; i++) {
        const struct local_seen *seen = &item->seen[i];
        assert_int_equal(strlen(seen->name), seen->name_len);
        assert_true(seen->found == LOCAL_FOUND || seen->text != NULL);
        told->seen_n++;
        if (told->lines.len < 1000000)
            assert_int_equal(buf_printf(&told->lines, "%s %u %u %.*s;", seen->name, seen->found,
                                        seen->stat.kind, (int)seen->target_len,
                                        seen->target != NULL ? seen->target : ""),
                             0);
    }
    return told->ends_with;
}

static int
scan(struct fs_scanner *scanner, const char *name, struct told *told, struct fs_scan_result *result)
{
    buf_deinit(&told->lines);
    *told = (struct told){.ends_with = told->ends_with};
    int r = fs_scan(scanner, name, false, NULL, tell, told, result);
    assert_int_equal(buf_append_u8(&told->lines, 0), 0);
    return r;
}

static bool has(const struct told *told, const char *line)
{
    return strstr((const char *)told->lines.data, line) != NULL;
}

/* ---- cases ---- */

static void all_of_a_tree_is_told(void **state)
{
    struct fs_scanner *scanner;
    struct fs_scan_result result;
    struct told told = {0};

    (void)state;
    assert_int_equal(mkdir(in_root("d"), 0750), 0);
    assert_int_equal(mkdir(in_root("d/e"), 0700), 0);
    put_text("a", "hello");
    put_text("d/e/b", "");
    assert_int_equal(symlink("/etc", in_root("link")), 0);
    assert_int_equal(symlink("..", in_root("d/loop")), 0);
    assert_int_equal(mkfifo(in_root("pipe"), 0600), 0);
    assert_int_equal(fs_scanner_new(&scanner, root, NULL, false), 0);
    assert_int_equal(scan(scanner, "", &told, &result), 0);
    assert_int_equal(told.seen_n, 7);
    assert_int_equal(result.entries_n, 7);
    assert_false(result.root_empty);
    assert_true(has(&told, "a 0 1 ;"));
    assert_true(has(&told, "d 0 2 ;"));
    assert_true(has(&told, "d/e/b 0 1 ;"));
    assert_true(has(&told, "link 0 3 /etc;"));
    assert_true(has(&told, "d/loop 0 3 ..;"));
    assert_true(has(&told, "pipe 3 0 ;"));
    assert_true(strstr((char *)told.lines.data, "d 0 2 ;") <
                strstr((char *)told.lines.data, "d/e 0 2 ;"));
    /* A part. */
    assert_int_equal(scan(scanner, "d/e", &told, &result), 0);
    assert_int_equal(told.seen_n, 1);
    assert_int_equal(scan(scanner, "a", &told, &result), KITH_E_NOT_FOUND);
    assert_int_equal(scan(scanner, "link", &told, &result), KITH_E_NOT_FOUND);
    assert_int_equal(scan(scanner, "../..", &told, &result), 0); /* told as what it is not: */
    assert_true(has(&told, "../.. 2"));
    fs_scanner_free(scanner);
    buf_deinit(&told.lines);
}

static void times_that_do_not_fit_are_the_last_that_do(void **state)
{
    static const time_t set[] = {INT64_C(10000000000), INT64_MAX / 1000000000 - 1, -1};
    struct fs_folder folder;
    struct local_seen seen;
    char room[FS_TARGET_BYTES_MAX + 1];

    (void)state;
    put_text("a", "hello");
    assert_int_equal(fs_folder_open(&folder, root), 0);
    for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++) {
        struct timespec times[2] = {{.tv_sec = set[i]}, {.tv_sec = set[i], .tv_nsec = 5}};
        struct stat has;
        assert_int_equal(utimensat(AT_FDCWD, in_root("a"), times, 0), 0);
        assert_int_equal(stat(in_root("a"), &has), 0); /* a file system may have less room */
        fs_look(&folder, "a", &seen, room);
        assert_int_equal(seen.found, LOCAL_FOUND);
        if (has.st_mtim.tv_sec >= INT64_MAX / 1000000000)
            assert_int_equal(seen.stat.mtime_ns, INT64_MAX);
        else
            assert_int_equal(seen.stat.mtime_ns,
                             has.st_mtim.tv_sec * 1000000000 + has.st_mtim.tv_nsec);
    }
    fs_folder_close(&folder);
}

static void nothing_leads_out_of_the_folder(void **state)
{
    struct fs_folder folder;
    struct local_seen seen;
    char room[FS_TARGET_BYTES_MAX + 1];

    (void)state;
    assert_int_equal(symlink("/etc", in_root("link")), 0);
    assert_int_equal(symlink("link", in_root("link2")), 0);
    assert_int_equal(fs_folder_open(&folder, root), 0);
    fs_look(&folder, "link/passwd", &seen, room);
    assert_int_equal(seen.found, LOCAL_ABSENT);
    fs_look(&folder, "link2", &seen, room);
    assert_int_equal(seen.found, LOCAL_FOUND);
    assert_int_equal(seen.stat.kind, FS_SYMLINK);
    assert_memory_equal(seen.target, "link", 4);
    fs_look(&folder, "../../etc/passwd", &seen, room);
    assert_int_equal(seen.found, LOCAL_UNREADABLE);
    fs_look(&folder, "nothing/at/all", &seen, room);
    assert_int_equal(seen.found, LOCAL_ABSENT);
    assert_int_equal(fs_folder_open_file(&folder, "link/passwd", O_RDONLY), KITH_E_UNSUPPORTED);
    assert_int_equal(fs_folder_open_file(&folder, "link", O_RDONLY), KITH_E_UNSUPPORTED);
    assert_int_equal(fs_folder_open_file(&folder, "/etc/passwd", O_RDONLY), KITH_E_UNSUPPORTED);
    assert_int_equal(fs_folder_open_file(&folder, "x", O_RDONLY), KITH_E_NOT_FOUND);
    fs_folder_close(&folder);
    fs_folder_close(&folder);
}

static void without_rules_nothing_is_left_out(void **state)
{
    struct fs_scanner *scanner;
    struct fs_scan_result result;
    struct told told = {0};

    (void)state;
    assert_int_equal(mkdir(in_root(".git"), 0700), 0);
    put_text(".git/HEAD", "x");
    put_text("b~", "x");
    put_text(".kithignore", "*\n");
    assert_int_equal(fs_scanner_new(&scanner, root, NULL, true), 0);
    assert_int_equal(scan(scanner, "", &told, &result), 0);
    assert_int_equal(told.seen_n, 4);
    assert_true(has(&told, ".git/HEAD 0 1 ;"));
    assert_true(has(&told, "b~ 0 1 ;"));
    assert_int_equal(result.entries_n, 4);
    fs_scanner_free(scanner);
    buf_deinit(&told.lines);
}

static void rules_keep_directories_out(void **state)
{
    struct fs_scanner *scanner;
    struct fs_scan_result result;
    struct told told = {0};

    (void)state;
    assert_int_equal(mkdir(in_root("d"), 0700), 0);
    assert_int_equal(mkdir(in_root("d/big"), 0700), 0);
    put_text("d/big/x", "");
    put_text("d/.kithignore", "big/\n");
    put_text("d/x~", "");
    assert_int_equal(fs_scanner_new(&scanner, root, NULL, false), 0);
    assert_int_equal(scan(scanner, "", &told, &result), 0);
    assert_true(has(&told, "rules d 5;"));
    assert_false(has(&told, "big"));
    assert_false(has(&told, "x~"));
    assert_true(has(&told, "d/.kithignore 0 1"));
    /* In what is ignored nothing is looked for. */
    assert_int_equal(scan(scanner, "d/big", &told, &result), 0);
    assert_int_equal(told.seen_n, 0);
    /* Rules that go are told too, once. */
    assert_int_equal(unlink(in_root("d/.kithignore")), 0);
    assert_int_equal(scan(scanner, "d", &told, &result), 0);
    assert_true(has(&told, "rules d 0;"));
    assert_true(has(&told, "d/big/x 0 1"));
    assert_int_equal(scan(scanner, "", &told, &result), 0);
    assert_int_equal(told.rules_n, 0);
    fs_scanner_free(scanner);
    buf_deinit(&told.lines);
}

static void what_cannot_be_read_is_told(void **state)
{
    struct fs_scanner *scanner;
    struct fs_scan_result result;
    struct told told = {0};

    (void)state;
    if (geteuid() == 0)
        test_skip("the superuser may read everything");
    assert_int_equal(mkdir(in_root("d"), 0700), 0);
    put_text("d/x", "");
    assert_int_equal(chmod(in_root("d"), 0), 0);
    assert_int_equal(fs_scanner_new(&scanner, root, NULL, false), 0);
    assert_int_equal(scan(scanner, "", &told, &result), 0);
    assert_true(has(&told, "d 2 "));
    fs_scanner_free(scanner);
    buf_deinit(&told.lines);
}

static void a_missing_folder_is_not_an_empty_one(void **state)
{
    struct fs_scanner *scanner;
    struct fs_scan_result result;
    struct told told = {0};
    struct fs_folder folder;
    struct fs_root_id before;

    (void)state;
    assert_int_equal(fs_scanner_new(&scanner, root, NULL, false), 0);
    assert_int_equal(scan(scanner, "", &told, &result), 0);
    assert_true(result.root_empty);
    before = result.root;
    assert_true(before.inode != 0);
    assert_int_equal(rmdir(root), 0);
    assert_int_equal(scan(scanner, "", &told, &result), KITH_E_NOT_FOUND);
    assert_int_equal(result.root.inode, 0);
    assert_non_null(strstr(kith_errmsg(), root));
    assert_int_equal(fs_folder_open(&folder, root), KITH_E_NOT_FOUND);
    /* One that is made anew is another one, even with the same inode number. */
    assert_int_equal(mkdir(root, 0700), 0);
    assert_int_equal(scan(scanner, "", &told, &result), 0);
    if (before.born_ns != 0)
        assert_false(fs_root_same(&before, &result.root));
    assert_true(fs_root_same(&result.root, &result.root));
    fs_scanner_free(scanner);
    buf_deinit(&told.lines);
}

static void many_names_come_in_batches_and_may_be_ended(void **state)
{
    struct fs_scanner *scanner;
    struct fs_scan_result result;
    struct told told = {0};
    atomic_bool stop = false;
    char name[32];

    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        (void)snprintf(name, sizeof(name), "file-%u", i);
        put_text(name, "");
    }
    assert_int_equal(fs_scanner_new(&scanner, root, NULL, false), 0);
    assert_int_equal(scan(scanner, "", &told, &result), 0);
    assert_int_equal(told.seen_n, 3000);
    assert_true(told.batches_n >= 3000 / FS_SCAN_BATCH_MAX);
    told.ends_with = KITH_E_STOPPED;
    assert_int_equal(scan(scanner, "", &told, &result), KITH_E_STOPPED);
    assert_int_equal(told.batches_n, 1);
    atomic_store(&stop, true);
    assert_int_equal(fs_scan(scanner, "", false, &stop, tell, &told, &result), KITH_E_CANCELED);
    fs_scanner_free(scanner);
    buf_deinit(&told.lines);
}

/* As deep as a path can be; the rest is told as too long and does not end the scan. */
static void a_deep_tree_is_bounded(void **state)
{
    struct fs_scanner *scanner;
    struct fs_scan_result result;
    struct told told = {0};
    int fd = open(root, O_RDONLY | O_DIRECTORY);

    (void)state;
    for (unsigned i = 0; i < 600; i++) {
        assert_int_equal(mkdirat(fd, "d", 0700), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
        assert_true(next >= 0);
        (void)close(fd);
        fd = next;
    }
    (void)close(fd);
    assert_int_equal(fs_scanner_new(&scanner, root, NULL, false), 0);
    assert_int_equal(scan(scanner, "", &told, &result), 0);
    assert_true(told.seen_n == FS_PATH_BYTES_MAX / 2 + 1);
    assert_true(has(&told, "/d 2 "));
    fs_scanner_free(scanner);
    buf_deinit(&told.lines);
}

/* ---- hashing ---- */

static void a_file_is_read_into_its_content(void **state)
{
    struct fs_folder folder;
    struct fs_hash_result result;
    struct content_builder builder;
    struct content content;
    struct kith_bytes list;
    size_t len = 700 * 1000;
    uint8_t *data = malloc(len), back[100];
    struct rng rng = test_rng();

    (void)state;
    assert_non_null(data);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)rng_u64(&rng);
    put("f", data, len);
    assert_int_equal(fs_folder_open(&folder, root), 0);
    assert_int_equal(fs_hash_file(&folder, "f", NULL, CONTENT_BLAKE2B_256, NULL, &result), 0);
    assert_int_equal(content_builder_init(&builder, CONTENT_BLAKE2B_256, len), 0);
    assert_int_equal(content_builder_update(&builder, data, len), 0);
    assert_int_equal(content_builder_end(&builder, &content, &list), 0);
    assert_true(content_equal(&content, &result.content));
    assert_int_equal(list.len, result.list.len);
    assert_memory_equal(list.data, result.list.data, list.len);
    content_builder_deinit(&builder);
    assert_int_equal(fs_read_file(&folder, "f", &result.before, 5000, back, sizeof(back)), 0);
    assert_memory_equal(back, data + 5000, sizeof(back));
    /* What is not as it was is not read. */
    struct fs_stat other = result.before;
    other.ctime_ns++;
    assert_int_equal(fs_read_file(&folder, "f", &other, 0, back, sizeof(back)), KITH_E_AGAIN);
    buf_deinit(&result.list);
    assert_int_equal(fs_hash_file(&folder, "f", &other, CONTENT_BLAKE2B_256, NULL, &result),
                     KITH_E_AGAIN);
    buf_deinit(&result.list);
    assert_int_equal(fs_hash_file(&folder, "x", NULL, CONTENT_BLAKE2B_256, NULL, &result),
                     KITH_E_NOT_FOUND);
    assert_int_equal(fs_hash_file(&folder, "", NULL, CONTENT_BLAKE2B_256, NULL, &result),
                     KITH_E_UNSUPPORTED);
    fs_folder_close(&folder);
    free(data);
}

static void holes_are_not_read(void **state)
{
    struct fs_folder folder;
    struct fs_hash_result result;
    struct fs_hash_progress progress = {0};
    struct stat st;
    int fd = open(in_root("sparse"), O_WRONLY | O_CREAT, 0600);

    (void)state;
    assert_true(fd >= 0);
    if (ftruncate(fd, 20ll * 1024 * 1024 * 1024) != 0)
        test_skip("no sparse file of 20 GiB here");
    assert_int_equal(pwrite(fd, "x", 1, 7ll * 1024 * 1024 * 1024), 1);
    assert_int_equal(fstat(fd, &st), 0);
    (void)close(fd);
    assert_int_equal(fs_folder_open(&folder, root), 0);
    assert_int_equal(fs_hash_file(&folder, "sparse", NULL, CONTENT_BLAKE2B_256, &progress, &result),
                     0);
    assert_int_equal(result.content.size, 20ull * 1024 * 1024 * 1024);
    assert_int_equal(atomic_load(&progress.done_bytes), result.content.size);
    if ((uint64_t)st.st_blocks * 512 < 1024 * 1024)
        assert_true(result.holes_bytes > 19ull * 1024 * 1024 * 1024);
    buf_deinit(&result.list);
    atomic_store(&progress.stop, true);
    assert_int_equal(fs_hash_file(&folder, "sparse", NULL, CONTENT_BLAKE2B_256, &progress, &result),
                     KITH_E_CANCELED);
    buf_deinit(&result.list);
    fs_folder_close(&folder);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        CASE(all_of_a_tree_is_told),
        CASE(times_that_do_not_fit_are_the_last_that_do),
        CASE(nothing_leads_out_of_the_folder),
        CASE(without_rules_nothing_is_left_out),
        CASE(rules_keep_directories_out),
        CASE(what_cannot_be_read_is_told),
        CASE(a_missing_folder_is_not_an_empty_one),
        CASE(many_names_come_in_batches_and_may_be_ended),
        CASE(a_deep_tree_is_bounded),
        CASE(a_file_is_read_into_its_content),
        CASE(holes_are_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
