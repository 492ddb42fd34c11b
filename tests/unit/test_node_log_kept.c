/* The newest lines of a log: what is kept, and what is found again. */
#include "node/log_kept.h"

#include <stdio.h>
#include <string.h>

#include "lib/test.h"

static struct log_kept kept;

/* What was found, as "1 2 3 ". */
static char found[64 * 1024];

static void on_line(void *user, const struct log_kept_line *line)
{
    (void)user;
    size_t len = strlen(found);
    snprintf(found + len, sizeof(found) - len, "%llu ", (unsigned long long)line->seq);
}

static const char *find(struct log_kept_pick pick)
{
    if (pick.before == 0)
        pick.before = UINT64_MAX;
    if (pick.lines_max == 0)
        pick.lines_max = SIZE_MAX;
    if (pick.bytes_max == 0)
        pick.bytes_max = SIZE_MAX;
    if (pick.level == 0)
        pick.level = KITH_LOG_DEBUG;
    found[0] = '\0';
    log_kept_each(&kept, &pick, on_line, NULL);
    return found;
}

static void add(enum kith_log_level level, const char *text)
{
    log_kept_add(&kept, level, 1700000000000ull + kept.seq, text, strlen(text));
}

static void nothing_is_found_in_an_empty_one(void **state)
{
    (void)state;
    log_kept_init(&kept);
    assert_string_equal(find((struct log_kept_pick){0}), "");
    log_kept_deinit(&kept);
}

static void newest_are_found_oldest_first(void **state)
{
    (void)state;
    log_kept_init(&kept);
    for (int i = 0; i < 6; i++)
        add(i % 2 == 0 ? KITH_LOG_INFO : KITH_LOG_WARN, "0123456789");
    assert_string_equal(find((struct log_kept_pick){0}), "1 2 3 4 5 6 ");
    assert_string_equal(find((struct log_kept_pick){.lines_max = 2}), "5 6 ");
    assert_string_equal(find((struct log_kept_pick){.bytes_max = 35}), "4 5 6 ");
    assert_string_equal(find((struct log_kept_pick){.bytes_max = 5}), "");
    assert_string_equal(find((struct log_kept_pick){.after = 4}), "5 6 ");
    assert_string_equal(find((struct log_kept_pick){.after = 6}), "");
    assert_string_equal(find((struct log_kept_pick){.before = 3}), "1 2 ");
    assert_string_equal(find((struct log_kept_pick){.before = 5, .lines_max = 2}), "3 4 ");
    assert_string_equal(find((struct log_kept_pick){.level = KITH_LOG_WARN}), "2 4 6 ");
    assert_string_equal(find((struct log_kept_pick){.level = KITH_LOG_WARN, .lines_max = 2}),
                        "4 6 ");
    assert_string_equal(find((struct log_kept_pick){.level = KITH_LOG_ERROR}), "");
    log_kept_deinit(&kept);
}

static void so_many_lines_are_kept(void **state)
{
    (void)state;
    log_kept_init(&kept);
    for (int i = 0; i < NODE_LOG_KEPT_LINES; i++)
        add(KITH_LOG_INFO, "x");
    assert_int_equal(kept.lines_n, NODE_LOG_KEPT_LINES);
    assert_string_equal(find((struct log_kept_pick){.before = 3}), "1 2 ");
    add(KITH_LOG_INFO, "x");
    assert_int_equal(kept.lines_n, NODE_LOG_KEPT_LINES);
    assert_string_equal(find((struct log_kept_pick){.before = 3}), "2 ");
    log_kept_deinit(&kept);
}

static void so_many_bytes_are_kept(void **state)
{
    static char text[4096];

    (void)state;
    log_kept_init(&kept);
    memset(text, 'x', sizeof(text) - 1);
    text[1024] = '\0';
    for (int i = 0; i < NODE_LOG_KEPT_BYTES / 1024; i++)
        add(KITH_LOG_INFO, text);
    assert_int_equal(kept.bytes, NODE_LOG_KEPT_BYTES);
    assert_int_equal(kept.lines_n, NODE_LOG_KEPT_BYTES / 1024);
    add(KITH_LOG_INFO, "");
    assert_int_equal(kept.lines_n, NODE_LOG_KEPT_BYTES / 1024 + 1);
    add(KITH_LOG_INFO, "one byte more costs the oldest");
    assert_string_equal(find((struct log_kept_pick){.before = 3}), "2 ");
    assert_true(kept.bytes <= NODE_LOG_KEPT_BYTES);
    log_kept_deinit(&kept);
    assert_int_equal(kept.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_found_in_an_empty_one),
        cmocka_unit_test(newest_are_found_oldest_first),
        cmocka_unit_test(so_many_lines_are_kept),
        cmocka_unit_test(so_many_bytes_are_kept),
    };
    return cmocka_run_group_tests_name("node_log_kept", tests, NULL, NULL);
}
