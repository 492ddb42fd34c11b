#include "core/error.h"
#include "fs/name.h"
#include "lib/test.h"

static enum fs_name_problem of(const char *path)
{
    return fs_path_problem(path, strlen(path));
}

static void paths_that_may_be(void **state)
{
    static const char *const paths[] = {"",       "a",    "a/b/c", ".hidden", "...",
                                        "a b",    "a\\b", "x@y",   "-",       "\xc3\xa4/\xc3\xb6",
                                        "..a/b.."};
    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        assert_int_equal(of(paths[i]), FS_NAME_FINE);
}

static void paths_that_may_not_be(void **state)
{
    char path[FS_PATH_BYTES_MAX + 2];
    (void)state;
    assert_int_equal(of("/a"), FS_NAME_EMPTY);
    assert_int_equal(of("a/"), FS_NAME_EMPTY);
    assert_int_equal(of("a//b"), FS_NAME_EMPTY);
    assert_int_equal(of("."), FS_NAME_DOTS);
    assert_int_equal(of("a/../b"), FS_NAME_DOTS);
    assert_int_equal(of("a\nb"), FS_NAME_CONTROL);
    assert_int_equal(of("a\x7f"), FS_NAME_CONTROL);
    assert_int_equal(of("a\xc2\x85"), FS_NAME_CONTROL);
    assert_int_equal(fs_path_problem("a\0b", 3), FS_NAME_CONTROL);
    assert_int_equal(of("a\xff"), FS_NAME_NOT_UTF8);
    assert_int_equal(of("a\xc3"), FS_NAME_NOT_UTF8);
    assert_int_equal(of("\xed\xa0\x80"), FS_NAME_NOT_UTF8); /* half of a pair */
    assert_int_equal(of("a\xcc\x88"), FS_NAME_NOT_NFC);
    memset(path, 'a', sizeof(path));
    assert_int_equal(fs_path_problem(path, FS_PART_BYTES_MAX), FS_NAME_FINE);
    assert_int_equal(fs_path_problem(path, FS_PART_BYTES_MAX + 1), FS_NAME_PART_LONG);
    for (size_t i = 100; i < sizeof(path); i += 100)
        path[i] = '/';
    assert_int_equal(fs_path_problem(path, FS_PATH_BYTES_MAX), FS_NAME_FINE);
    assert_int_equal(fs_path_problem(path, FS_PATH_BYTES_MAX + 1), FS_NAME_LONG);
    assert_int_equal(fs_part_problem("a/b", 3), FS_NAME_EMPTY);
    assert_int_equal(fs_path_check("a/../b", 6), KITH_E_NAME);
    assert_non_null(strstr(kith_errmsg(), "a/../b"));
}

static void names_of_shares(void **state)
{
    char name[FS_SHARE_BYTES_MAX + 1];
    (void)state;
    memset(name, 'x', sizeof(name));
    assert_int_equal(fs_share_check("photos-2024_a.b", 15), 0);
    assert_int_equal(fs_share_check(name, FS_SHARE_BYTES_MAX), 0);
    assert_int_equal(fs_share_check(name, FS_SHARE_BYTES_MAX + 1), KITH_E_NAME);
    assert_int_equal(fs_share_check("", 0), KITH_E_NAME);
    assert_int_equal(fs_share_check(".x", 2), KITH_E_NAME);
    assert_int_equal(fs_share_check("a/b", 3), KITH_E_NAME);
    assert_int_equal(fs_share_check("a b", 3), KITH_E_NAME);
}

static void normal_form_and_folding(void **state)
{
    struct buf a = {0};
    struct buf b = {0};
    (void)state;
    assert_int_equal(fs_name_nfc("a\xcc\x88", 3, &a), 0);
    assert_int_equal(a.len, 2);
    assert_memory_equal(a.data, "\xc3\xa4", 2);
    assert_int_equal(fs_name_fold("STRASSE-\xc3\x84", 10, &b), 0);
    a.len = 0;
    assert_int_equal(fs_name_fold("stra\xc3\x9f"
                                  "e-a\xcc\x88",
                                  11, &a),
                     0);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    assert_int_equal(fs_name_nfc("\xff", 1, &a), KITH_E_NAME);
    buf_deinit(&a);
    buf_deinit(&b);
}

static void what_is_beneath_a_folder_stands_behind_it(void **state)
{
    static const char *const order[] = {"", "a", "a/b", "a/b/c", "a/c", "a b", "a-b", "a.txt", "b"};
    (void)state;
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        for (size_t k = 0; k < sizeof(order) / sizeof(order[0]); k++) {
            int r = fs_path_compare(order[i], strlen(order[i]), order[k], strlen(order[k]));
            assert_int_equal((r > 0) - (r < 0), (i > k) - (i < k));
        }
}

static bool fits(const char *pattern, const char *name)
{
    return fs_name_match(pattern, strlen(pattern), name, strlen(name));
}

static void patterns(void **state)
{
    char stars[201];
    char name[201];
    (void)state;
    assert_true(fits("*", ""));
    assert_true(fits("*.c", "a.b.c"));
    assert_false(fits("*.c", "a.cc"));
    assert_true(fits("a*b*c", "aXbYbZc"));
    assert_true(fits("?", "\xc3\xa4"));
    assert_false(fits("?", "ab"));
    assert_true(fits("[a-c]x", "bx"));
    assert_false(fits("[!a-c]x", "bx"));
    assert_true(fits("[\xc3\xa0-\xc3\xb6]", "\xc3\xa4"));
    assert_true(fits("[]]", "]"));
    assert_true(fits("a[", "a[")); /* a class that does not end is none */
    assert_true(fits("\\*", "*"));
    assert_false(fits("\\*", "a"));
    for (size_t i = 0; i < 200; i += 2) {
        stars[i] = '*';
        stars[i + 1] = 'a';
    }
    memset(name, 'a', 200);
    name[199] = 'b';
    stars[200] = name[200] = '\0';
    assert_false(fits(stars, name)); /* at once */
}

static void references(void **state)
{
    struct fs_ref ref;
    (void)state;
    assert_int_equal(fs_ref_parse("s", &ref), 0);
    assert_int_equal(ref.path.len, 0);
    assert_int_equal(fs_ref_parse("s/d/", &ref), 0);
    assert_int_equal(ref.path.len, 1);
    assert_int_equal(fs_ref_parse("s/d/f@lab-01", &ref), 0);
    assert_int_equal(ref.path.len, 3);
    assert_int_equal(ref.whole.len, 10);
    assert_memory_equal(ref.node.data, "lab-01", 6);
    assert_int_equal(ref.node.len, 6);
    assert_int_equal(fs_ref_parse("s/a@b/f", &ref), 0);
    assert_int_equal(ref.node.len, 0);
    assert_int_equal(fs_ref_parse("s/@b", &ref), 0);
    assert_int_equal(ref.node.len, 0);
    assert_int_equal(fs_ref_parse("s/a@", &ref), 0);
    assert_int_equal(ref.node.len, 0);
    assert_int_equal(fs_ref_parse("", &ref), KITH_E_NAME);
    assert_int_equal(fs_ref_parse("s/../x", &ref), KITH_E_NAME);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_that_may_be),
        cmocka_unit_test(paths_that_may_not_be),
        cmocka_unit_test(names_of_shares),
        cmocka_unit_test(normal_form_and_folding),
        cmocka_unit_test(what_is_beneath_a_folder_stands_behind_it),
        cmocka_unit_test(patterns),
        cmocka_unit_test(references),
    };
    return cmocka_run_group_tests_name("fs_name", tests, NULL, NULL);
}
