/* Paths of boards: written, taken apart again, and what is no path of a log. */
#include "lib/test.h"

#include <stdio.h>
#include <string.h>

#include "whiteboard/paths.h"

static const struct wb_log_name name = {
    .writer = {0x01, 0xaf, [15] = 0xff},
    .node = {{0xde, [15] = 0x0a}},
    .number = 0x12ab,
};
#define WRITER "01af00000000000000000000000000ff"
#define NODE   "de00000000000000000000000000000a"

static void log_is_named_by_writer_node_and_number(void **state)
{
    char path[WB_PATH_BYTES], board[BOARD_NAME_BYTES_MAX + 1];
    struct wb_log_name back;

    (void)state;
    assert_string_equal(wb_path_log(path, "plan-1", &name),
                        "boards/plan-1/log/" WRITER "-" NODE "-000012ab");
    assert_true(wb_path_parse(path, board, &back));
    assert_string_equal(board, "plan-1");
    assert_memory_equal(&back, &name, sizeof(name));
    assert_true(wb_path_parse("boards/plan-1/log/" WRITER "-" NODE
                              "-000012ab.conflict-20261130T022646.123Z-de000000",
                              board, &back));
    assert_int_equal(back.number, 0x12ab);
}

static void longest_paths_fit(void **state)
{
    char path[WB_PATH_BYTES], board[BOARD_NAME_BYTES_MAX + 1], back[BOARD_NAME_BYTES_MAX + 1];
    uint8_t hash[BOARD_HASH_BYTES] = {0xab, [31] = 0xcd};
    struct wb_log_name parsed;

    (void)state;
    memset(board, 'x', BOARD_NAME_BYTES_MAX);
    board[BOARD_NAME_BYTES_MAX] = '\0';
    assert_int_equal(strlen(wb_path_log(path, board, &name)), WB_PATH_BYTES - 1);
    assert_true(wb_path_parse(path, back, &parsed));
    assert_string_equal(back, board);
    assert_int_equal(strlen(wb_path_image(path, board, hash)), 7 + 64 + 7 + 64);
    assert_string_equal(path + 7 + 64 + 7,
                        "ab000000000000000000000000000000000000000000000000000000000000cd");
    assert_string_equal(wb_path_board(path, "a"), "boards/a");
    assert_string_equal(wb_path_logs(path, "a"), "boards/a/log");
    assert_string_equal(wb_path_images(path, "a"), "boards/a/image");
}

static void what_is_no_log_is_none(void **state)
{
    static const char *const wrong[] = {
        "",
        "boards",
        "boards/",
        "boards/a",
        "boards/a/log",
        "boards/a/log/",
        "board/a/log/" WRITER "-" NODE "-00000001",
        "boards/A/log/" WRITER "-" NODE "-00000001",
        "boards/a/logs/" WRITER "-" NODE "-00000001",
        "boards/a/image/" WRITER "-" NODE "-00000001",
        "boards/a/log/" WRITER "-" NODE "-0000001",
        "boards/a/log/" WRITER "-" NODE "-0000000G",
        "boards/a/log/" WRITER "_" NODE "-00000001",
        "boards/a/log/" WRITER "-" NODE "_00000001",
        "boards/a/log/" WRITER "-" NODE "-00000001.tmp",
        "boards/a/log/" WRITER "-" NODE "-000000011",
        "boards/a/log/0" WRITER "-" NODE "-00000001",
    };
    char board[BOARD_NAME_BYTES_MAX + 1];
    struct wb_log_name parsed;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (wb_path_parse(wrong[i], board, &parsed))
            fail_msg("taken for a log: %s", wrong[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_is_named_by_writer_node_and_number),
        cmocka_unit_test(longest_paths_fit),
        cmocka_unit_test(what_is_no_log_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
