/*
 * Which paths are pinned, and which contents that makes stay: rule by rule, and against the rules
 * written a second time. What a whole catalogue tells of changes is fed in by test_fs_world.c.
 */
#include "core/rng.h"
#include "fs/pins.h"
#include "kith/error.h"
#include "lib/test.h"

static struct fs_pins *pins;

static struct kith_bytes bytes_of(const char *text)
{
    return (struct kith_bytes){text, strlen(text)};
}

static struct content content_of(uint8_t no)
{
    /* The first 8 bytes are the same, as somebody may make them. */
    return (struct content){.size = 10u + no, .hash = 1, .chunk_log2 = 17, .root = {[12] = no}};
}

static struct fs_pin *add(const char *share, const char *path)
{
    struct fs_pin *pin = NULL;
    assert_int_equal(fs_pins_add(pins, bytes_of(share), bytes_of(path), &pin), 0);
    fs_pins_check(pins);
    return pin;
}

static const char *cover(const char *share, const char *path, const struct fs_pin *except)
{
    const struct fs_pin *pin = fs_pins_of(pins, bytes_of(share), bytes_of(path), except);
    return pin != NULL ? pin->text : "none";
}

static bool count(uint8_t no, bool more)
{
    struct content content = content_of(no);
    bool turned;
    assert_int_equal(fs_pins_count(pins, &content, more, &turned), 0);
    fs_pins_check(pins);
    return turned;
}

static bool has(uint8_t no)
{
    struct content content = content_of(no);
    return fs_pins_has(pins, content.root);
}

static struct fs_pins_stats stats(void)
{
    struct fs_pins_stats now;
    fs_pins_stats(pins, &now);
    return now;
}

static void a_pin_covers_its_path_and_what_is_beneath_it(void **state)
{
    (void)state;
    assert_int_equal(fs_pins_new(&pins), 0);
    assert_string_equal(cover("s", "a", NULL), "none");
    struct fs_pin *folder = add("s", "a"), *file = add("s", "a/b/c");
    assert_string_equal(cover("s", "a", NULL), "s/a");
    assert_string_equal(cover("s", "a/x", NULL), "s/a");
    assert_string_equal(cover("s", "a/b/c", NULL), "s/a/b/c");
    assert_string_equal(cover("s", "a/b/c", file), "s/a");
    assert_string_equal(cover("s", "a/b/c", folder), "s/a/b/c");
    assert_string_equal(cover("s", "ab", NULL), "none");
    assert_string_equal(cover("s", "", NULL), "none");
    assert_string_equal(cover("sa", "a", NULL), "none");
    assert_true(fs_pin_beneath(file, bytes_of("s"), bytes_of("a")));
    assert_true(fs_pin_beneath(file, bytes_of("s"), bytes_of("")));
    assert_true(fs_pin_beneath(file, bytes_of(""), bytes_of("")));
    assert_true(fs_pin_beneath(folder, bytes_of("s"), bytes_of("a")));
    assert_false(fs_pin_beneath(folder, bytes_of("s"), bytes_of("a/b")));
    assert_false(fs_pin_beneath(file, bytes_of("s"), bytes_of("a/b/")));
    struct kith_bytes share, path;
    fs_pin_names(file, &share, &path);
    assert_true(share.len == 1 && path.len == 5 && memcmp(path.data, "a/b/c", 5) == 0);
    struct fs_pin *again;
    assert_int_equal(fs_pins_add(pins, bytes_of("s"), bytes_of("a"), &again), KITH_E_EXISTS);
    fs_pins_remove(pins, folder);
    assert_string_equal(cover("s", "a/x", NULL), "none");
    struct fs_pin *all = add("", "");
    assert_string_equal(cover("t", "x", NULL), "");
    assert_string_equal(cover("t", "x", all), "none");
    fs_pin_names(all, &share, &path);
    assert_true(share.len == 0 && path.len == 0);
    fs_pins_free(pins);
}

static void a_content_stays_as_long_as_one_pinned_path_has_it(void **state)
{
    (void)state;
    assert_int_equal(fs_pins_new(&pins), 0);
    assert_false(has(1));
    assert_true(count(1, true));
    assert_false(count(1, true));
    assert_true(count(2, true));
    assert_true(has(1) && has(2) && !has(3));
    assert_true(stats().contents_n == 2 && stats().bytes == 23 && stats().missing_bytes == 23);
    assert_false(count(1, false));
    assert_true(has(1));
    /* Those that are not here come by turns. */
    struct content content;
    assert_true(fs_pins_missing(pins, &content) && content.root[12] == 1);
    assert_true(fs_pins_missing(pins, &content) && content.root[12] == 2);
    assert_true(fs_pins_missing(pins, &content) && content.root[12] == 1);
    fs_pins_here(pins, content.root, true);
    assert_true(fs_pins_missing(pins, &content) && content.root[12] == 2);
    assert_int_equal(stats().missing_bytes, 12);
    assert_true(count(1, false));
    assert_false(has(1));
    fs_pins_here(pins, content_of(1).root, false); /* nobody's any more */
    fs_pins_here(pins, content_of(2).root, true);
    assert_false(fs_pins_missing(pins, &content));
    fs_pins_here(pins, content_of(2).root, false);
    assert_true(fs_pins_missing(pins, &content));
    assert_true(count(2, false));
    assert_true(stats().contents_n == 0 && stats().missing_n == 0);
    fs_pins_free(pins);
}

/* Which of a tree's paths a random set of pins covers, said a second time. */
static void random_pins_cover_what_a_plain_search_says(void **state)
{
    static const char *const paths[] = {"a", "a/b", "a/b/c", "a/bc", "ab", "ab/c", "b", "b/a/b/c"};
    enum { PATHS_N = sizeof(paths) / sizeof(paths[0]) };
    struct fs_pin *there[PATHS_N] = {NULL};
    struct rng rng;
    (void)state;
    print_message("seed 7\n");
    rng_init(&rng, 7);
    assert_int_equal(fs_pins_new(&pins), 0);
    for (unsigned step = 0; step < 2000; step++) {
        size_t i = rng_below(&rng, PATHS_N);
        if (there[i] == NULL) {
            there[i] = add("s", paths[i]);
        } else {
            fs_pins_remove(pins, there[i]);
            there[i] = NULL;
        }
        for (size_t at = 0; at < PATHS_N; at++) {
            const struct fs_pin *nearest = NULL;
            for (size_t k = 0; k < PATHS_N; k++) {
                size_t len = strlen(paths[k]);
                if (there[k] != NULL && strncmp(paths[at], paths[k], len) == 0 &&
                    (paths[at][len] == '\0' || paths[at][len] == '/') &&
                    (nearest == NULL || there[k]->len > nearest->len))
                    nearest = there[k];
            }
            assert_ptr_equal(fs_pins_of(pins, bytes_of("s"), bytes_of(paths[at]), NULL), nearest);
        }
    }
    fs_pins_check(pins);
    fs_pins_free(pins);
}

static void beyond_the_limit_a_pin_is_refused_and_says_what_to_do(void **state)
{
    char path[16];
    struct fs_pin *pin, *last = NULL;
    (void)state;
    assert_int_equal(fs_pins_new(&pins), 0);
    for (unsigned i = 0; i < FS_PINS_MAX; i++) {
        (void)snprintf(path, sizeof(path), "%u", i);
        assert_int_equal(fs_pins_add(pins, bytes_of("s"), bytes_of(path), &last), 0);
    }
    fs_pins_check(pins);
    assert_int_equal(fs_pins_add(pins, bytes_of("s"), bytes_of("more"), &pin), KITH_E_LIMIT);
    assert_non_null(strstr(kith_errmsg(), "65536 paths are pinned"));
    assert_non_null(strstr(kith_errmsg(), "kith fs pin --remove"));
    assert_int_equal(fs_pins_add(pins, bytes_of("s"), bytes_of("7"), &pin), KITH_E_EXISTS);
    assert_string_equal(cover("s", "more", NULL), "none");
    fs_pins_remove(pins, last);
    (void)add("s", "more");
    fs_pins_free(pins);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pin_covers_its_path_and_what_is_beneath_it),
        cmocka_unit_test(a_content_stays_as_long_as_one_pinned_path_has_it),
        cmocka_unit_test(random_pins_cover_what_a_plain_search_says),
        cmocka_unit_test(beyond_the_limit_a_pin_is_refused_and_says_what_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
