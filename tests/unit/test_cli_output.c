/* What is printed, and what is read line by line. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/input.h"
#include "cli/reply.h"
#include "cli/setup.h"
#include "cli/table.h"
#include "core/error.h"
#include "kith/error.h"
#include "lib/test.h"

static char *printed(const struct table *table, bool heads)
{
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);
    assert_non_null(file);
    assert_int_equal(table_print(table, file, heads), 0);
    assert_int_equal(fclose(file), 0);
    return text;
}

static void columns_are_as_wide_as_they_need(void **state)
{
    struct table table;
    (void)state;
    table_init(&table, "NAME >N REST");
    table_cell(&table, NULL, "a");
    table_cell(&table, NULL, "%d", 12345);
    table_cell(&table, TABLE_RED, "x");
    table_cell(&table, NULL, "l\xc3\xb6we"); /* four characters in five bytes */
    table_cell(&table, NULL, "7");
    table_cell(&table, NULL, "yy");
    char *text = printed(&table, true);
    assert_string_equal(text, "NAME      N  REST\n"
                              "a     12345  x\n"
                              "l\xc3\xb6we      7  yy\n");
    free(text);
    text = printed(&table, false);
    assert_int_equal(strncmp(text, "a     12345", 11), 0);
    free(text);
    table_deinit(&table);
}

static void a_terminal_gets_no_commands_from_elsewhere(void **state)
{
    char out[64];
    (void)state;
    assert_string_equal(cli_clean("a\033[31mb\nc\x7f", out, sizeof(out)), "a?[31mb?c?");
    assert_string_equal(cli_clean("\xc2\x9b"
                                  "31m",
                                  out, sizeof(out)),
                        "\xc2?31m");
    assert_string_equal(cli_clean("l\xc3\xb6we", out, sizeof(out)), "l\xc3\xb6we");
    assert_string_equal(cli_clean("too long", out, 4), "too");
}

static void every_error_code_has_its_exit_code(void **state)
{
    (void)state;
    assert_int_equal(cli_exit_of(0), 0);
    assert_int_equal(cli_exit_of(KITH_E_INTERNAL), 1);
    assert_int_equal(cli_exit_of(KITH_E_PARSE), 2);
    assert_int_equal(cli_exit_of(KITH_E_NO_AGENT), 3);
    assert_int_equal(cli_exit_of(KITH_E_NO_FUNCTION), 4);
    assert_int_equal(cli_exit_of(KITH_E_PERMISSION), 5);
    assert_int_equal(cli_exit_of(KITH_E_TIMEOUT), 6);
    assert_int_equal(cli_exit_of(KITH_E_BUSY), 7);
    assert_int_equal(cli_exit_of(KITH_E_TYPE), 7);
    assert_int_equal(cli_exit_of(KITH_E_FENCE), 7);
    assert_int_equal(cli_exit_of(KITH_E_NO_QUORUM), 9);
    assert_int_equal(cli_exit_of(-1), 1);
}

static void numbers_are_read_as_text_or_number(void **state)
{
    json_t *object = json_pack("{s:s,s:I,s:f,s:n,s:I}", "text", "18446744073709551615", "int",
                               (json_int_t)7, "real", 2.5, "null", "minus", (json_int_t)-1);
    (void)state;
    assert_int_equal(cli_json_u64(object, "text", 1), UINT64_MAX);
    assert_int_equal(cli_json_u64(object, "int", 1), 7);
    assert_int_equal(cli_json_u64(object, "real", 1), 2);
    assert_int_equal(cli_json_u64(object, "null", 1), 1);
    assert_int_equal(cli_json_u64(object, "minus", 1), 1);
    assert_int_equal(cli_json_u64(NULL, "x", 1), 1);
    assert_string_equal(cli_json_text(object, "int"), "");
    json_decref(object);
}

static void reply_bytes_are_text_or_base64(void **state)
{
    json_t *doc = json_pack("{}");
    (void)state;
    assert_int_equal(reply_add_data(doc, "l\xc3\xb6we\n", 6), 0);
    assert_string_equal(json_string_value(json_object_get(doc, "data")), "l\xc3\xb6we\n");
    assert_int_equal(reply_add_data(doc, "\xff\xfe", 2), 0);
    assert_string_equal(json_string_value(json_object_get(doc, "data_base64")), "//4=");
    assert_int_equal(reply_add_data(doc, NULL, 0), 0);
    assert_string_equal(json_string_value(json_object_get(doc, "data")), "");
    json_decref(doc);
}

static void assert_lines(const char *text, size_t len, const char *const *want, size_t want_n)
{
    struct cli cli = {.quiet = true};
    struct input_lines lines;
    char path[] = "/tmp/kith-test-lines-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    (void)close(fd);
    assert_int_equal(input_lines_open(&cli, &lines, path, 100000), 0);
    for (size_t i = 0; i <= want_n; i++) {
        const char *line;
        size_t n;
        assert_true(input_lines_ready(&lines));
        assert_int_equal(input_lines_next(&cli, &lines, &line, &n), 0);
        if (i == want_n) {
            assert_null(line);
        } else {
            assert_int_equal(n, strlen(want[i]));
            assert_memory_equal(line, want[i], n);
        }
    }
    input_lines_close(&lines);
    (void)unlink(path);
}

static void lines_of_any_kind(void **state)
{
    (void)state;
    assert_lines("", 0, NULL, 0);
    assert_lines("\n", 1, (const char *const[]){""}, 1);
    assert_lines("a\n\nbc", 5, (const char *const[]){"a", "", "bc"}, 3);
    char *large = malloc(90002);
    assert_non_null(large);
    memset(large, 'x', 90001);
    large[90000] = '\n';
    large[90001] = '\0';
    char *want = strndup(large, 90000);
    assert_lines(large, 90001, (const char *const[]){want}, 1);
    free(want);
    free(large);
}

static void a_line_above_the_limit_is_an_error(void **state)
{
    struct cli cli = {.quiet = true};
    struct input_lines lines = {.fd = -1, .name = "test", .bytes_max = 4};
    const char *line;
    size_t n;
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    lines.fd = ends[0];
    assert_int_equal(write(ends[1], "abcd\nabcde", 10), 10);
    assert_int_equal(input_lines_next(&cli, &lines, &line, &n), 0);
    assert_int_equal(n, 4);
    assert_int_equal(input_lines_next(&cli, &lines, &line, &n), EXIT_USAGE);
    (void)close(ends[1]);
    input_lines_close(&lines);
}

static void a_half_written_line_is_not_ready(void **state)
{
    struct cli cli = {.quiet = true};
    struct input_lines lines = {.fd = -1, .name = "test", .bytes_max = 100};
    const char *line;
    size_t n;
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    lines.fd = ends[0];
    assert_false(input_lines_ready(&lines));
    assert_int_equal(write(ends[1], "one\ntwo", 7), 7);
    assert_int_equal(input_lines_next(&cli, &lines, &line, &n), 0);
    assert_memory_equal(line, "one", 3);
    assert_false(input_lines_ready(&lines));
    (void)close(ends[1]);
    assert_true(input_lines_ready(&lines));
    assert_int_equal(input_lines_next(&cli, &lines, &line, &n), 0);
    assert_memory_equal(line, "two", 3);
    input_lines_close(&lines);
}

/* ---- data directories ---- */

static void the_name_is_changed_and_the_rest_is_kept(void **state)
{
    char dir[] = "/tmp/kith-test-conf-XXXXXX", path[64], text[512] = "";
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/kith.conf", dir);
    assert_int_equal(
        setup_write_conf(dir, "# mine\n[net]\nseed = a\n[node]\nname = old\nload = m\nnames = x"),
        0);
    assert_int_equal(setup_set_name(dir, "new"), 0);
    assert_int_equal(setup_set_name(dir, NULL), 0);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
    (void)fclose(file);
    assert_string_equal(text, "# mine\n[net]\nseed = a\n[node]\nname = new\nload = m\nnames = x\n");
    (void)unlink(path);
    assert_int_equal(setup_set_name(dir, "first"), 0);
    file = fopen(path, "r");
    assert_non_null(file);
    memset(text, 0, sizeof(text));
    assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
    (void)fclose(file);
    assert_string_equal(text, "[node]\nname = first\n");
    (void)unlink(path);
    snprintf(path, sizeof(path), "%s/lock", dir);
    (void)unlink(path);
    (void)rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_as_wide_as_they_need),
        cmocka_unit_test(a_terminal_gets_no_commands_from_elsewhere),
        cmocka_unit_test(every_error_code_has_its_exit_code),
        cmocka_unit_test(numbers_are_read_as_text_or_number),
        cmocka_unit_test(reply_bytes_are_text_or_base64),
        cmocka_unit_test(lines_of_any_kind),
        cmocka_unit_test(a_line_above_the_limit_is_an_error),
        cmocka_unit_test(a_half_written_line_is_not_ready),
        cmocka_unit_test(the_name_is_changed_and_the_rest_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
