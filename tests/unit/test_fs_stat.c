/* What a file system says of a file, and what that says of its bytes. */
#include "fs/stat.h"

#include "lib/test.h"

#define MS     INT64_C(1000000)
#define SECOND (1000 * MS)
#define NOW    (INT64_C(1700000000) * SECOND + 123 * MS)

static enum fs_racy racy(int64_t mtime_ns, int64_t ctime_ns, int64_t began_ns)
{
    struct fs_stat stat = {.kind = FS_FILE, .mtime_ns = mtime_ns, .ctime_ns = ctime_ns};
    return fs_stat_racy(&stat, began_ns);
}

static void what_was_changed_in_the_tick_of_the_read_is_racy(void **state)
{
    (void)state;
    assert_int_equal(racy(NOW, NOW, NOW), FS_RACY_NOW);
    assert_int_equal(racy(NOW - 19 * MS, NOW - 19 * MS, NOW), FS_RACY_NOW);
    assert_int_equal(racy(NOW - 20 * MS, NOW - 20 * MS, NOW), FS_NOT_RACY);
    assert_int_equal(racy(NOW - SECOND, NOW, NOW), FS_RACY_NOW); /* an mtime can be set back */
    assert_int_equal(racy(NOW - SECOND, NOW + 20 * MS, NOW), FS_RACY_NOW);
    assert_int_equal(racy(NOW - SECOND, NOW + 21 * MS, NOW), FS_RACY_LATER);
    assert_int_equal(racy(NOW + SECOND, NOW - SECOND, NOW), FS_NOT_RACY); /* or forward */
}

static void whole_seconds_have_a_tick_of_two(void **state)
{
    int64_t now = NOW - 123 * MS;

    (void)state;
    assert_int_equal(racy(now - SECOND, now - SECOND, now), FS_RACY_NOW);
    assert_int_equal(racy(now - 2 * SECOND, now - 2 * SECOND, now), FS_NOT_RACY);
}

static void times_at_the_ends_are_compared_too(void **state)
{
    (void)state;
    assert_int_equal(racy(NOW, NOW, INT64_MAX), FS_NOT_RACY); /* nothing was read */
    assert_int_equal(racy(INT64_MAX, NOW - SECOND, NOW), FS_NOT_RACY);
    assert_int_equal(racy(INT64_MIN, NOW - SECOND, NOW), FS_NOT_RACY);
    assert_int_equal(racy(NOW, INT64_MAX, NOW - SECOND), FS_RACY_LATER);
    assert_int_equal(racy(NOW - SECOND, INT64_MIN, NOW), FS_NOT_RACY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_changed_in_the_tick_of_the_read_is_racy),
        cmocka_unit_test(whole_seconds_have_a_tick_of_two),
        cmocka_unit_test(times_at_the_ends_are_compared_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
