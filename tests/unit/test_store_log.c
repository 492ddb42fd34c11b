/*
 * The log by itself: what it gives back after a crash at any place, and what it refuses.
 *
 * A file is written by log_append(), then changed as a crash or a bad disk would, then opened as
 * LMDB's mark says. What comes back must be the first groups as a whole, in order.
 */
#include "store/log.h"

#include <sys/mount.h>

#include "store_testing.h"

#define BLOCKS    16
#define LOG_BYTES (BLOCKS * LOG_BLOCK_BYTES)

static struct log written;
static struct base_mark mark;

/* A job of one entry: key "d<number>", @bytes of a letter that follows from the number. */
static struct job *job_of(unsigned number, size_t bytes)
{
    char key[16];
    int key_len = snprintf(key, sizeof key, "d%u", number);
    struct job *job = calloc(1, sizeof *job + sizeof job->puts[0] + sizeof key + bytes);
    uint8_t *at;

    assert_non_null(job);
    at = (uint8_t *)&job->puts[1];
    memcpy(at, key, (size_t)key_len);
    memset(at + key_len, 'a' + (int)(number % 26), bytes);
    job->puts_n = 1;
    job->puts[0] = (struct store_put){
        .key = {at, (size_t)key_len}, .value = {at + key_len, bytes}, .erase = bytes == 0};
    job->bytes = (size_t)key_len + bytes;
    return job;
}

static void append(unsigned number, size_t bytes)
{
    struct job *job = job_of(number, bytes);

    assert_int_equal(log_append(&written, job), 0);
    free(job);
}

/* LMDB has everything that was appended. */
static void taken_in(void)
{
    mark = log_mark(&written);
    log_rewind(&written);
}

static int begin_log(void **state)
{
    if (begin(state) != 0)
        return -1;
    log_init(&written);
    return log_make(&written, root, LOG_BYTES, &mark);
}

static int end_log(void **state)
{
    log_deinit(&written);
    return end(state);
}

/* ---- what comes back, as text: d1:100 is an entry of 100 bytes, d1- a removal ---- */

struct found {
    int result;
    uint64_t seq;
    char text[1024];
};

static void add_text(struct found *found, const struct store_put *put)
{
    size_t at = strlen(found->text);
    const uint8_t *value = put->value.data;
    const char *key = put->key.data; /* nothing ends it */
    unsigned number = 0;

    for (size_t i = 1; i < put->key.len; i++)
        number = 10 * number + (unsigned)(key[i] - '0');
    for (size_t i = 0; i < put->value.len; i++)
        assert_int_equal(value[i], 'a' + (int)(number % 26));
    if (put->erase)
        (void)snprintf(found->text + at, sizeof found->text - at, "d%u- ", number);
    else
        (void)snprintf(found->text + at, sizeof found->text - at, "d%u:%zu ", number,
                       put->value.len);
}

static struct found open_again(void)
{
    struct found found = {.result = 0};
    struct job_list jobs;
    struct job *job;
    struct log log;

    log_init(&log);
    job_list_init(&jobs);
    found.result = log_open(&log, root, &mark, &jobs);
    found.seq = log.seq;
    while ((job = job_list_pop(&jobs)) != NULL) {
        for (size_t i = 0; i < job->puts_n; i++)
            add_text(&found, &job->puts[i]);
        free(job);
    }
    log_deinit(&log);
    return found;
}

static void expect(const char *text)
{
    struct found found = open_again();

    if (found.result != 0)
        print_error("%s\n", kith_errmsg());
    assert_int_equal(found.result, 0);
    assert_string_equal(found.text, text);
}

static void expect_damaged(const char *why)
{
    struct found found = open_again();

    assert_int_equal(found.result, KITH_E_CORRUPT);
    assert_non_null(strstr(kith_errmsg(), why));
    assert_non_null(strstr(kith_errmsg(), "log is damaged"));
    assert_non_null(strstr(kith_errmsg(), "mv "));
    assert_non_null(strstr(kith_errmsg(), "fresh member"));
}

/* ---- bytes of the file ---- */

static void read_file(uint8_t out[LOG_BYTES])
{
    int fd = open(in_root("log"), O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, out, LOG_BYTES, 0), LOG_BYTES);
    close(fd);
}

static void write_file(const uint8_t *bytes, size_t len, size_t at)
{
    int fd = open(in_root("log"), O_WRONLY);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, (off_t)at), len);
    close(fd);
}

static void flip(size_t at)
{
    uint8_t all[LOG_BYTES];

    read_file(all);
    all[at] ^= 0x10;
    write_file(&all[at], 1, at);
}

/* ---- cases ---- */

static void fresh_log_is_empty_and_all_of_it_is_written(void **state)
{
    uint8_t all[LOG_BYTES];
    struct stat st;

    (void)state;
    expect("");
    assert_int_equal(stat(in_root("log"), &st), 0);
    assert_int_equal(st.st_size, LOG_BYTES);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_true(st.st_blocks * 512 >= LOG_BYTES);
    read_file(all);
    for (size_t i = 0; i < LOG_BYTES; i++)
        assert_int_equal(all[i], 0);
}

static void groups_come_back_in_order_whatever_their_size(void **state)
{
    (void)state;
    append(1, 100);
    append(2, 2 * LOG_BLOCK_BYTES);
    append(3, 0);
    append(4, 1);
    expect("d1:100 d2:8192 d3- d4:1 ");
    expect("d1:100 d2:8192 d3- d4:1 "); /* reading changes nothing */
    assert_int_equal(open_again().seq, 4);
}

static void group_of_many_jobs_is_one(void **state)
{
    struct job *a = job_of(1, 10), *b = job_of(2, 20), *c = job_of(3, 0);

    (void)state;
    a->next = b;
    b->next = c;
    assert_int_equal(log_append(&written, a), 0);
    free(a);
    free(b);
    free(c);
    expect("d1:10 d2:20 d3- ");
    assert_int_equal(open_again().seq, 1);
    flip(60); /* one of them: all are gone */
    expect("");
}

static void what_lmdb_has_does_not_come_back(void **state)
{
    (void)state;
    append(1, 100);
    append(2, 100);
    taken_in();
    expect("");
    append(3, 100);
    expect("d3:100 "); /* before what an earlier turn left */
    append(4, 100);
    append(5, 100);
    expect("d3:100 d4:100 d5:100 ");
    taken_in();
    expect("");
}

/* The last group cut anywhere, with what stood there before behind the cut: zeros at first, then
 * groups of an earlier turn. */
static void tail_torn_at_any_byte_is_no_group_and_no_error(void **state)
{
    uint8_t before[LOG_BYTES], after[LOG_BYTES];

    (void)state;
    for (int turn = 0; turn < 2; turn++) {
        size_t len = 40 + 6 + 3 + 5000, from;

        append(10, 300);
        from = (size_t)written.at;
        read_file(before);
        append(11, 5000);
        read_file(after);
        for (size_t cut = 0; cut < len; cut += cut < 64 || cut + 64 > len ? 1 : 37) {
            write_file(before + from, 2 * LOG_BLOCK_BYTES, from);
            write_file(after + from, cut, from);
            /* Where the bytes behind the cut are the same by chance, the group is whole. */
            bool whole = memcmp(after + from + cut, before + from + cut, len - cut) == 0;
            expect(whole ? "d10:300 d11:5000 " : "d10:300 ");
        }
        write_file(after, LOG_BYTES, 0);
        expect("d10:300 d11:5000 ");
        append(12, 100);
        append(13, 9000);
        append(14, 100);
        taken_in();
    }
}

/* Sectors of a torn group reach the disk in any order. */
static void tail_with_any_sector_missing_is_no_group_and_no_error(void **state)
{
    uint8_t before[LOG_BYTES], after[LOG_BYTES];
    size_t from;

    (void)state;
    append(1, 300);
    from = (size_t)written.at;
    read_file(before);
    append(2, 2 * LOG_BLOCK_BYTES - 100);
    read_file(after);
    for (size_t at = from; at < (size_t)written.at; at += 512) {
        write_file(after, LOG_BYTES, 0);
        write_file(before + at, 512, at);
        expect(memcmp(before + at, after + at, 512) == 0 ? "d1:300 d2:8092 " : "d1:300 ");
    }
}

static void damaged_group_before_a_whole_one_is_told_from_a_torn_tail(void **state)
{
    (void)state;
    for (size_t at = 0; at < 40 + 6 + 2 + 100; at += 7) {
        append(1, 100);
        append(2, 100);
        append(3, 100);
        flip(at);
        expect_damaged("a group is missing before number");
        flip(at);
        expect("d1:100 d2:100 d3:100 ");
        flip(LOG_BLOCK_BYTES + at);
        expect_damaged("a group is missing before number");
        flip(LOG_BLOCK_BYTES + at);
        flip(2 * LOG_BLOCK_BYTES + at); /* the last one: as if it were torn */
        expect("d1:100 d2:100 ");
        written.seq = 0;
        written.at = 0;
    }
}

static void log_that_is_ahead_of_lmdb_is_damage(void **state)
{
    struct base_mark old = mark;

    (void)state;
    append(1, 100);
    append(2, 100);
    taken_in();
    append(3, 100);
    mark = old; /* LMDB's file was put back from before, or lost a commit */
    expect_damaged("a group is missing before number");
}

static void file_that_is_gone_or_cut_is_damage(void **state)
{
    (void)state;
    append(1, 100);
    assert_int_equal(truncate(in_root("log"), LOG_BYTES - LOG_BLOCK_BYTES), 0);
    expect_damaged("the file was cut");
    assert_int_equal(unlink(in_root("log")), 0);
    expect_damaged("the file is not there");
}

/* The log of another store; or a value that somebody made to look like a group, without the key. */
static void groups_under_another_key_are_none(void **state)
{
    struct base_mark other = mark;

    (void)state;
    append(1, 100);
    append(2, 100);
    other.key[0] ^= 1;
    mark = other;
    expect("");
    mark = log_mark(&written);
    mark.seq = 0;
    expect("d1:100 d2:100 ");
}

static void full_log_has_no_room_and_says_so_before(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= BLOCKS; i++) {
        assert_true(log_has_room(&written, 1, 2 + LOG_BLOCK_BYTES - 60));
        append(i, 10);
    }
    assert_false(log_has_room(&written, 1, 1));
    assert_int_equal(open_again().seq, BLOCKS);
    taken_in();
    assert_true(log_has_room(&written, 1, LOG_BYTES - 40 - 6));
    assert_false(log_has_room(&written, 1, LOG_BYTES - 40 - 6 + 1));
    append(9, LOG_BYTES - 40 - 6 - 2);
    assert_false(log_has_room(&written, 1, 1));
    expect("d9:65488 ");
}

static void full_disk_makes_no_log_and_leaves_nothing_of_it(void **state)
{
    struct log log;
    struct base_mark none;
    struct stat st;

    (void)state;
    log_deinit(&written);
    if (mount("tmpfs", root, "tmpfs", 0, "size=64k,mode=0700") != 0)
        test_skip("a small file system cannot be mounted here");
    log_init(&log);
    assert_int_equal(log_make(&log, root, 2 * LOG_BYTES, &none), BASE_NO_ROOM);
    assert_false(log_has_room(&log, 1, 1));
    assert_int_equal(stat(in_root("log"), &st), -1);
    assert_int_equal(log_make(&log, root, LOG_BYTES / 2, &none), 0);
    log_deinit(&log);
    assert_int_equal(umount2(root, MNT_DETACH), 0);
}

static int end_mounted(void **state)
{
    (void)umount2(root, MNT_DETACH);
    return end_log(state);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin_log, end_log)
    const struct CMUnitTest tests[] = {
        T(fresh_log_is_empty_and_all_of_it_is_written),
        T(groups_come_back_in_order_whatever_their_size),
        T(group_of_many_jobs_is_one),
        T(what_lmdb_has_does_not_come_back),
        T(tail_torn_at_any_byte_is_no_group_and_no_error),
        T(tail_with_any_sector_missing_is_no_group_and_no_error),
        T(damaged_group_before_a_whole_one_is_told_from_a_torn_tail),
        T(log_that_is_ahead_of_lmdb_is_damage),
        T(file_that_is_gone_or_cut_is_damage),
        T(groups_under_another_key_are_none),
        T(full_log_has_no_room_and_says_so_before),
        cmocka_unit_test_setup_teardown(full_disk_makes_no_log_and_leaves_nothing_of_it, begin_log,
                                        end_mounted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
