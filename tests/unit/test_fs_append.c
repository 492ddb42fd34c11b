/*
 * Contents that grow: in memory, and as files of the keep.
 */
#include <fcntl.h>
#include <ftw.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/content.h"
#include "fs/files.h"
#include "kith/error.h"
#include "lib/test.h"

#define CHUNK 131072u

static char base[64], dir[80];
static struct fs_files *files;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int begin(void **state)
{
    (void)state;
    (void)strcpy(base, "/tmp/kith-append-XXXXXX");
    if (mkdtemp(base) == NULL)
        return 1;
    (void)snprintf(dir, sizeof(dir), "%s/data", base);
    return fs_files_open(&files, dir);
}

static int end(void **state)
{
    (void)state;
    fs_files_close(files);
    return nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static uint8_t *noise(size_t len)
{
    uint8_t *data = malloc(len + 1);
    struct rng rng;
    assert_non_null(data);
    rng_init(&rng, 7);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)rng_u64(&rng);
    return data;
}

/* What the first @size bytes are, hashed in one go. */
static void build(const uint8_t *data, size_t size, struct fs_appended *out)
{
    struct content_builder builder;
    struct kith_bytes list;
    *out = (struct fs_appended){.list = {0}};
    assert_int_equal(content_builder_init(&builder, CONTENT_BLAKE2B_256, size), 0);
    assert_int_equal(content_builder_update(&builder, data, size), 0);
    assert_int_equal(content_builder_end(&builder, &out->content, &list), 0);
    assert_int_equal(buf_append(&out->list, list.data, list.len), 0);
    content_builder_deinit(&builder);
}

/* The first @size bytes in the keep. */
static void keep(const uint8_t *data, size_t size, struct fs_appended *out)
{
    int fd = fs_temp_open(files, size);
    build(data, size, out);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, data, size, 0), 0);
    assert_int_equal(fs_temp_keep(files, out->content.root, fd), 0);
}

static uint8_t named[FS_ROOT_BYTES];
static unsigned named_n;

static void on_named(void *user, const uint8_t root[FS_ROOT_BYTES])
{
    assert_ptr_equal(user, &named_n);
    memcpy(named, root, sizeof(named));
    named_n++;
}

static int
append(const struct fs_appended *before, const uint8_t *data, size_t len, struct fs_appended *out)
{
    /* In two pieces, the second of which may be empty. */
    const struct kith_bytes pieces[2] = {{data, len / 2}, {data + len / 2, len - len / 2}};
    struct fs_appending what = {.before = before->content,
                                .list = before->list.len > 0 ? before->list.data : NULL,
                                .pieces = pieces,
                                .pieces_n = 2,
                                .named = on_named,
                                .user = &named_n};
    *out = (struct fs_appended){.list = {0}};
    return fs_keep_append(files, &what, out);
}

/* The file of a content; its size may be greater than the content's. */
static int open_kept(const struct fs_appended *of, struct stat *st)
{
    int fd = fs_content_open(files, FS_ROOM_KEEP, of->content.root, 0);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, st), 0);
    return fd;
}

static void has(const struct fs_appended *of, const uint8_t *data)
{
    struct stat st;
    int fd = open_kept(of, &st);
    size_t len = of->content.size;
    uint8_t *back = malloc(len + 1);
    assert_int_equal(pread(fd, back, len, 0), (ssize_t)len);
    assert_memory_equal(back, data, len);
    free(back);
    (void)close(fd);
}

static void free_all(struct fs_appended *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_deinit(&all[i].list);
}

/* ---- cases ---- */

static void what_grew_is_what_all_of_it_would_be(void **state)
{
    static const size_t sizes[] = {1,         CHUNK - 1,     CHUNK,         CHUNK + 1,
                                   2 * CHUNK, 2 * CHUNK + 5, 5 * CHUNK + 77};
    uint8_t *data = noise(8 * (size_t)CHUNK);

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t k = i; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
            struct fs_appended before, after, whole;
            struct stat old, now;
            unsigned n = named_n;
            keep(data, sizes[i], &before);
            (void)close(open_kept(&before, &old));
            build(data, sizes[k], &whole);
            assert_int_equal(append(&before, data + sizes[i], sizes[k] - sizes[i], &after), 0);
            assert_true(content_equal(&after.content, &whole.content));
            assert_int_equal(after.list.len, whole.list.len);
            assert_memory_equal(after.list.data, whole.list.data, whole.list.len);
            assert_int_equal(named_n, n + 1);
            assert_memory_equal(named, whole.content.root, sizeof(named));
            has(&before, data);
            has(&after, data);
            (void)close(open_kept(&after, &now));
            assert_int_equal(old.st_ino, now.st_ino);
            assert_int_equal(now.st_size, sizes[k]);
            assert_int_equal(fs_content_remove(files, FS_ROOM_KEEP, before.content.root, 0), 0);
            if (k > i)
                has(&after, data);
            (void)fs_content_remove(files, FS_ROOM_KEEP, after.content.root, 0);
            free_all((struct fs_appended[]){before, after, whole}, 3);
        }
    }
    free(data);
}

static void the_second_that_grows_one_file_is_told_to_copy(void **state)
{
    uint8_t *data = noise(CHUNK);
    struct fs_appended before, one, other;

    (void)state;
    keep(data, 1000, &before);
    assert_int_equal(append(&before, data + 1000, 10, &one), 0);
    assert_int_equal(append(&before, data + 2000, 20, &other), KITH_E_AGAIN);
    has(&one, data);
    /* When the longer one is gone what it left behind is nobody's. */
    assert_int_equal(fs_content_remove(files, FS_ROOM_KEEP, one.content.root, 0), 0);
    buf_deinit(&other.list);
    assert_int_equal(append(&before, data + 1000, 20, &other), 0);
    has(&other, data);
    has(&before, data);
    free_all((struct fs_appended[]){before, one, other}, 3);
    free(data);
}

static void what_a_crash_left_behind_the_end_goes(void **state)
{
    uint8_t *data = noise(CHUNK);
    struct fs_appended before, after;
    struct stat st;
    char path[256], hex[2 * FS_ROOT_BYTES + 1];
    int fd;

    (void)state;
    keep(data, 1000, &before);
    hex_encode(before.content.root, FS_ROOT_BYTES, hex);
    (void)snprintf(path, sizeof(path), "%s/keep/%.2s/%.2s/%s", dir, hex, hex + 2, hex);
    fd = open(path, O_WRONLY | O_APPEND);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "half of what was to be there", 28), 28);
    (void)close(fd);
    assert_int_equal(append(&before, data + 1000, 5, &after), 0);
    has(&after, data);
    (void)close(open_kept(&after, &st));
    assert_int_equal(st.st_size, 1005);
    free_all((struct fs_appended[]){before, after}, 2);
    free(data);
}

static void nothing_is_built_on_an_end_that_is_damaged(void **state)
{
    uint8_t *data = noise(2 * CHUNK);
    struct fs_appended before, after;
    struct stat st;
    int fd;

    (void)state;
    keep(data, CHUNK + 1000, &before);
    fd = open_kept(&before, &st);
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int write_fd = open(path, O_WRONLY);
    assert_true(write_fd >= 0);
    assert_int_equal(pwrite(write_fd, "?", 1, CHUNK + 500), 1);
    assert_int_equal(append(&before, data + CHUNK + 1000, 5, &after), KITH_E_CORRUPT);
    buf_deinit(&after.list);
    assert_int_equal(ftruncate(write_fd, CHUNK + 999), 0);
    assert_int_equal(append(&before, data + CHUNK + 1000, 5, &after), KITH_E_CORRUPT);
    (void)close(write_fd);
    (void)close(fd);
    assert_int_equal(fs_content_remove(files, FS_ROOM_KEEP, before.content.root, 0), 0);
    buf_deinit(&after.list);
    assert_int_equal(append(&before, data + CHUNK + 1000, 5, &after), KITH_E_AGAIN);
    free_all((struct fs_appended[]){before, after}, 2);
    free(data);
}

/* ---- copies of what grew elsewhere ---- */

/* The part of the first @size bytes of @data, of which it has those from @from on; then grown. */
static int grow(const struct fs_appended *before,
                const uint8_t *data,
                size_t from,
                size_t size,
                struct fs_appended *out)
{
    struct fs_growing what = {.before = before->content, .from = from};
    bool old;
    int fd, r;

    build(data, size, out);
    what.after = out->content;
    fd = fs_part_open(files, out->content.root, size, &old);
    assert_true(fd >= 0 && !old);
    assert_int_equal(fs_write_all(fd, data + from, size - from, from), 0);
    r = fs_keep_grow(files, &what, fd);
    (void)close(fd);
    fd = fs_content_open(files, FS_ROOM_PART, out->content.root, 0);
    assert_int_equal(fd >= 0, r != 0); /* what it is made of stays if it cannot be */
    if (fd >= 0)
        (void)close(fd);
    (void)fs_content_remove(files, FS_ROOM_PART, out->content.root, 0);
    return r;
}

static ino_t inode_of(const struct fs_appended *of)
{
    struct stat st;
    (void)close(open_kept(of, &st));
    return st.st_ino;
}

static bool is_kept(const struct fs_appended *of)
{
    int fd = fs_content_open(files, FS_ROOM_KEEP, of->content.root, 0);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

static void a_copy_of_what_grew_is_what_it_was_copied_from_and_the_rest(void **state)
{
    static const size_t sizes[] = {1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 5 * CHUNK + 77};
    uint8_t *data = noise(6 * (size_t)CHUNK);

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
            size_t least = sizes[i] < sizes[k] ? sizes[i] : sizes[k];
            struct fs_appended before, after;
            keep(data, sizes[i], &before);
            if (i != k) {
                assert_int_equal(grow(&before, data, least / CHUNK * CHUNK, sizes[k], &after), 0);
                has(&after, data);
                assert_int_equal(inode_of(&before), inode_of(&after));
                (void)fs_content_remove(files, FS_ROOM_KEEP, after.content.root, 0);
                buf_deinit(&after.list);
            }
            has(&before, data);
            (void)fs_content_remove(files, FS_ROOM_KEEP, before.content.root, 0);
            buf_deinit(&before.list);
        }
    }
    free(data);
}

/* Copies of one log come in any order; they share one file all the same. */
static void copies_that_come_in_any_order_share_a_file(void **state)
{
    uint8_t *data = noise(3 * (size_t)CHUNK);
    struct fs_appended before, first, last, between;

    (void)state;
    keep(data, CHUNK + 10, &before);
    assert_int_equal(grow(&before, data, CHUNK, CHUNK + 20, &first), 0);
    assert_int_equal(grow(&before, data, CHUNK, 2 * CHUNK + 20, &last), 0);
    assert_int_equal(grow(&before, data, CHUNK, CHUNK + 15, &between), 0);
    const struct fs_appended *all[] = {&before, &first, &last, &between};
    for (size_t i = 0; i < 4; i++) {
        has(all[i], data);
        assert_int_equal(inode_of(all[i]), inode_of(&before));
    }
    free_all((struct fs_appended[]){before, first, last, between}, 4);
    free(data);
}

static void what_is_not_the_beginning_of_it_does_not_grow(void **state)
{
    uint8_t *data = noise(2 * (size_t)CHUNK), *other = noise(2 * (size_t)CHUNK);
    struct fs_appended before, after, mine;
    struct stat st;

    (void)state;
    other[CHUNK + 5] ^= 1;
    keep(data, CHUNK + 10, &before);
    assert_int_equal(grow(&before, other, CHUNK, CHUNK + 100, &after), KITH_E_AGAIN);
    assert_false(is_kept(&after));
    (void)close(open_kept(&before, &st));
    assert_int_equal(st.st_size, CHUNK + 10);
    buf_deinit(&after.list);
    /* Nor what something else was appended to: that stays what it is. */
    memcpy(other, data, 2 * CHUNK);
    other[CHUNK + 50] ^= 1;
    assert_int_equal(append(&before, data + CHUNK + 10, 60, &mine), 0);
    assert_int_equal(grow(&before, other, CHUNK, CHUNK + 100, &after), KITH_E_AGAIN);
    assert_false(is_kept(&after));
    has(&mine, data);
    has(&before, data);
    buf_deinit(&after.list);
    /* Nor what is not there any more, or was cut off. */
    assert_int_equal(fs_content_remove(files, FS_ROOM_KEEP, before.content.root, 0), 0);
    assert_int_equal(grow(&before, data, CHUNK, CHUNK + 200, &after), KITH_E_AGAIN);
    assert_false(is_kept(&after));
    free_all((struct fs_appended[]){before, after, mine}, 3);
    free(data);
    free(other);
}

static void what_a_crash_left_of_a_copy_goes(void **state)
{
    uint8_t *data = noise(CHUNK);
    struct fs_appended before, after;
    char path[64];
    struct stat st;

    (void)state;
    keep(data, 1000, &before);
    int fd = open_kept(&before, &st);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int write_fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(write_fd, "half of what was to be there", 28, 1000), 28);
    assert_int_equal(grow(&before, data, 0, 1010, &after), 0);
    has(&after, data);
    (void)close(open_kept(&after, &st));
    assert_int_equal(st.st_size, 1010);
    buf_deinit(&after.list);
    /* A copy that was cut off is none to grow from. */
    assert_int_equal(ftruncate(write_fd, 999), 0);
    assert_int_equal(grow(&before, data, 0, 1020, &after), KITH_E_AGAIN);
    (void)close(write_fd);
    (void)close(fd);
    free_all((struct fs_appended[]){before, after}, 2);
    free(data);
}

/* Whoever holds the file is about to give it another name; so it must not become a part. */
static void what_is_about_to_grow_is_not_made_a_part(void **state)
{
    uint8_t *data = noise(CHUNK);
    struct fs_appended before;
    struct stat st;
    bool old;

    (void)state;
    keep(data, 1000, &before);
    int fd = open_kept(&before, &st);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(fs_keep_to_part(files, before.content.root, before.content.size), 0);
    assert_false(is_kept(&before));
    (void)close(fs_part_open(files, before.content.root, before.content.size, &old));
    assert_false(old);
    (void)close(fd);
    buf_deinit(&before.list);
    free(data);
}

/* A name that is there already is replaced: nobody knows what it has. */
/* Who writes into a part must not write into what grew out of it. */
static void what_grew_is_not_part_of_what_is_damaged(void **state)
{
    uint8_t *data = noise(2 * (size_t)CHUNK);
    struct fs_appended before, after;
    struct stat st;
    bool old;

    (void)state;
    keep(data, CHUNK, &before);
    assert_int_equal(append(&before, data + CHUNK, CHUNK, &after), 0);
    assert_int_equal(fs_keep_to_part(files, before.content.root, before.content.size), 0);
    assert_int_equal(fs_content_open(files, FS_ROOM_KEEP, before.content.root, 0),
                     KITH_E_NOT_FOUND);
    (void)close(fs_part_open(files, before.content.root, before.content.size, &old));
    assert_false(old);
    (void)close(open_kept(&after, &st));
    assert_int_equal(st.st_size, 2 * CHUNK);
    has(&after, data);
    free_all((struct fs_appended[]){before, after}, 2);
    free(data);
}

static void a_name_that_is_there_gets_the_bytes_that_were_checked(void **state)
{
    uint8_t *data = noise(CHUNK);
    struct fs_appended before, whole, after;

    (void)state;
    keep(data, 1000, &before);
    build(data, 1010, &whole);
    int fd = fs_temp_open(files, 7);
    assert_int_equal(fs_write_all(fd, "damaged", 7, 0), 0);
    assert_int_equal(fs_temp_keep(files, whole.content.root, fd), 0);
    assert_int_equal(append(&before, data + 1000, 10, &after), 0);
    has(&after, data);
    free_all((struct fs_appended[]){before, whole, after}, 3);
    free(data);
}

static void where_chunks_become_larger_all_is_hashed_anew(void **state)
{
    struct content_builder builder;
    struct content before = {.size = 1999ull << 17, .hash = CONTENT_BLAKE2B_256, .chunk_log2 = 17};
    uint8_t *list = noise((size_t)1999 * CONTENT_ROOT_BYTES);

    (void)state;
    assert_int_equal(content_builder_resume(&builder, &before, list, before.size), 0);
    assert_int_equal(builder.at, before.size);
    content_builder_deinit(&builder);
    assert_int_equal(content_builder_resume(&builder, &before, list, before.size + 1),
                     KITH_E_AGAIN);
    content_builder_deinit(&builder);
    before = (struct content){.size = FS_SIZE_MAX, .hash = CONTENT_BLAKE2B_256, .chunk_log2 = 24};
    assert_int_equal(content_builder_resume(&builder, &before, list, FS_SIZE_MAX + 1),
                     KITH_E_TOO_LARGE);
    content_builder_deinit(&builder);
    free(list);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_grew_is_what_all_of_it_would_be),
        CASE(the_second_that_grows_one_file_is_told_to_copy),
        CASE(what_a_crash_left_behind_the_end_goes),
        CASE(nothing_is_built_on_an_end_that_is_damaged),
        CASE(what_grew_is_not_part_of_what_is_damaged),
        CASE(a_copy_of_what_grew_is_what_it_was_copied_from_and_the_rest),
        CASE(copies_that_come_in_any_order_share_a_file),
        CASE(what_is_not_the_beginning_of_it_does_not_grow),
        CASE(what_a_crash_left_of_a_copy_goes),
        CASE(what_is_about_to_grow_is_not_made_a_part),
        CASE(a_name_that_is_there_gets_the_bytes_that_were_checked),
        CASE(where_chunks_become_larger_all_is_hashed_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
