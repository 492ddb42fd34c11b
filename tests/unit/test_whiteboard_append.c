/*
 * What becomes of operations when something fails on their way to the disk, when who sent them has
 * gone, and when a board or the whole module ends meanwhile: what was acknowledged is durable, what
 * was not comes again and stands there once, every call ends once, and nothing is held any more.
 */
#include "unit/whiteboard_node.h"

#define DISK_SAYS "the disk is full: 0 bytes are free on /data; make room"
#define STOP_SAYS "the module stops"

static struct kith_node node;

static int begin(void **state)
{
    (void)state;
    node_begin(&node);
    return 0;
}

static int end(void **state)
{
    (void)state;
    node_end(&node);
    return 0;
}

static void disk_full(void)
{
    node_op_fails(&node, KITH_E_IO, DISK_SAYS);
}

/* ---- the disk ---- */

static void full_disk_is_told_and_what_is_sent_again_stands_there_once(void **state)
{
    struct kith_ctx *page = append_ops(&node, "plan", 1, 1, 2);

    (void)state;
    node_ops_to_write(&node);
    disk_full(); /* another log is tried */
    assert_waits(page);
    disk_full();
    assert_failed(page, KITH_E_IO, DISK_SAYS);
    assert_null(node.ops);
    page = append_ops(&node, "plan", 1, 1, 3);
    node_ops(&node);
    assert_done(page);
    page = append_ops(&node, "plan", 1, 4, 4); /* behind what is there */
    node_ops_to_write(&node);
    disk_full();
    disk_full();
    assert_failed(page, KITH_E_IO, DISK_SAYS);
    assert_int_equal(times_written(&node, "plan", 1, 4), 0);
    page = append_ops(&node, "plan", 1, 4, 4);
    node_ops(&node);
    assert_done(page);
    assert_true(each_once(&node, "plan", 1, 1, 4));
}

static void log_that_fails_once_is_left_for_another_one(void **state)
{
    struct kith_ctx *page = append_ops(&node, "plan", 1, 1, 1);

    (void)state;
    node_ops(&node);
    page = append_ops(&node, "plan", 1, 2, 2);
    node_op_fails(&node, KITH_E_FENCE, "somebody changed it");
    assert_waits(page);
    node_ops(&node);
    assert_done(page);
    assert_int_equal(node.ops_n[KITH_FS_WRITE], 2);
    page = append_ops(&node, "plan", 1, 3, 3);
    node_ops(&node);
    assert_done(page);
    assert_int_equal(node.ops_n[KITH_FS_WRITE], 2);
    assert_true(each_once(&node, "plan", 1, 1, 3));
}

/* It is sent again, with another one, while the write that it was part of is under way. */
static void what_rode_on_a_write_that_failed_is_not_acknowledged(void **state)
{
    struct kith_ctx *first, *again, *alone;

    (void)state;
    first = append_ops(&node, "plan", 1, 1, 1);
    node_ops_to_write(&node);
    again = append_ops(&node, "plan", 1, 1, 2);
    alone = append_ops(&node, "plan", 1, 3, 3);
    disk_full();
    disk_full();
    assert_failed(first, KITH_E_IO, DISK_SAYS);
    assert_failed(again, KITH_E_IO, DISK_SAYS);
    assert_waits(alone);
    node_ops(&node); /* there is room again */
    assert_done(alone);
    assert_int_equal(times_written(&node, "plan", 1, 1), 0);
    again = append_ops(&node, "plan", 1, 1, 2);
    node_ops(&node);
    assert_done(again);
    assert_true(each_once(&node, "plan", 1, 1, 3));
}

static void what_is_under_way_and_is_sent_again_waits_for_that_write(void **state)
{
    struct kith_ctx *first = append_ops(&node, "plan", 1, 1, 1), *again;

    (void)state;
    node_ops_to_write(&node);
    again = append_ops(&node, "plan", 1, 1, 1);
    assert_waits(again);
    node_ops(&node);
    assert_done(first);
    assert_done(again);
    again = append_ops(&node, "plan", 1, 1, 1);
    assert_done(again); /* it is there: no write */
    assert_null(node.ops);
    assert_true(each_once(&node, "plan", 1, 1, 1));
}

static void share_that_is_not_made_is_told_and_tried_again(void **state)
{
    struct kith_ctx *page = append_ops(&node, "plan", 1, 1, 1);

    (void)state;
    while (node.ops->kind != KITH_FS_SHARE_ADD)
        node_op(&node);
    node_op_fails(&node, KITH_E_LIMIT, "256 shares, the limit");
    node_op_fails(&node, KITH_E_LIMIT, "256 shares, the limit");
    assert_failed(page, KITH_E_LIMIT, "256 shares, the limit");
    page = append_ops(&node, "plan", 1, 1, 1);
    node_ops(&node);
    assert_done(page);
    assert_true(each_once(&node, "plan", 1, 1, 1));
}

static void list_of_logs_that_fails_is_told_and_asked_for_again(void **state)
{
    struct kith_ctx *page = append_ops(&node, "plan", 1, 1, 1);
    struct kith_ctx *other = append_ops(&node, "plan", 2, 1, 1);

    (void)state;
    node_op_fails(&node, KITH_E_IO, "the store cannot be read");
    assert_failed(page, KITH_E_IO, "the store cannot be read");
    assert_failed(other, KITH_E_IO, "the store cannot be read");
    page = append_ops(&node, "plan", 1, 1, 1);
    node_op(&node);
    node_op_fails(&node, KITH_E_IO, "the store cannot be read"); /* how many boards there are */
    assert_failed(page, KITH_E_IO, "the store cannot be read");
    page = append_ops(&node, "plan", 1, 1, 1);
    node_ops(&node);
    assert_done(page);
    assert_true(each_once(&node, "plan", 1, 1, 1));
}

/* Each operation in turn is not even begun: a node that stops, or is short of memory. */
static void what_is_not_begun_is_told(void **state)
{
    (void)state;
    for (unsigned done = 0; done < 4; done++) {
        char board[16];
        (void)snprintf(board, sizeof(board), "b%u", done);
        struct kith_ctx *page = NULL;
        node.refuse = done == 0 ? KITH_E_STOPPED : 0;
        page = append_ops(&node, board, 1, 1, 1);
        for (unsigned i = 1; i <= done && node.ops != NULL; i++) {
            node.refuse = i == done ? KITH_E_STOPPED : 0;
            node_op(&node);
        }
        node.refuse = 0;
        node_ops(&node);
        assert_true(page->replied);
        assert_int_equal(page->code, done < 3 ? KITH_E_STOPPED : 0);
        page = append_ops(&node, board, 1, 1, 1);
        node_ops(&node);
        assert_done(page);
        assert_int_equal(times_written(&node, board, 1, 1), 1);
    }
}

static void log_that_cannot_be_read_does_not_keep_its_writer_from_drawing(void **state)
{
    struct kith_ctx *page;
    char path[WB_PATH_BYTES];
    struct wb_log_name name = {.writer = {[15] = 1}, .node = node.other, .number = 1};

    (void)state;
    (void)node_file(&node, wb_path_log(path, "plan", &name), true);
    page = append_ops(&node, "plan", 1, 1, 2);
    while (node.ops->kind != KITH_FS_READ)
        node_op(&node);
    struct kith_ctx *next = append_ops(&node, "plan", 1, 3, 3);
    node_op_fails(&node, KITH_E_UNREACHABLE, "nobody within reach holds it");
    node_ops(&node);
    assert_done(page);
    assert_done(next);
    assert_true(each_once(&node, "plan", 1, 1, 3));
}

/* ---- what is written ---- */

/* The counters of a log, as they stand. */
static void assert_log_is(const char *path, size_t n, const uint32_t *counters)
{
    const struct made_file *file = node_file(&node, path, false);
    struct board_log log;

    assert_non_null(file);
    assert_int_equal(board_log_decode(&log, file->bytes.data, file->bytes.len), 0);
    assert_int_equal(log.ops_n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(log.ops[i].counter, counters[i]);
    board_log_deinit(&log);
}

static void what_waits_for_the_list_is_written_in_the_order_in_which_it_came(void **state)
{
    static const uint32_t counters[] = {1, 2, 3, 4};
    char path[WB_PATH_BYTES];
    struct wb_log_name name = {.writer = {[15] = 1}, .node = node.id, .number = 1};

    (void)state;
    for (uint32_t i = 1; i <= 4; i++)
        append_ops(&node, "plan", 1, i, i);
    node_ops(&node);
    assert_log_is(wb_path_log(path, "plan", &name), 4, counters);
}

/* Its first log has the former name in its header, and is as long as that makes it. */
static void person_renamed_while_a_log_is_begun_is_counted_as_it_was_written(void **state)
{
    char path[WB_PATH_BYTES];
    struct wb_log_name name = {.writer = {[15] = 1}, .node = node.id, .number = 1};
    struct kith_ctx *page = node_call(&node, "board.follow", "plan page", NULL);
    struct made_log log;

    (void)state;
    append_ops(&node, "plan", 1, 1, 1);
    node_ops_to_write(&node);
    log_begin(&log, "plan", 1, "Anastasia of the long name");
    log_op(&log, 2, 64);
    node_call(&node, "board.append", "plan", &log.bytes);
    log_end(&log);
    node_ops(&node);
    const struct made_file *file = node_file(&node, wb_path_log(path, "plan", &name), false);
    const struct wb_board *board = wb_board_find(node_wb(&node), "plan");
    assert_int_equal(board->files_n, 1);
    assert_int_equal(board->files[0].known, file->bytes.len);
    assert_int_equal(page->said_n[WB_ANSWER_OPS], 2);
    char offset[32];
    (void)snprintf(offset, sizeof(offset), "-00000001 %zu\n", file->bytes.len - 64);
    assert_string_equal(node.last_cast.fn, "board.told");
    assert_non_null(
        memmem(node.last_cast.arg.data, node.last_cast.arg.len, offset, strlen(offset)));
}

/* ---- who has gone ---- */

static void answer_to_one_who_has_gone_is_made_all_the_same(void **state)
{
    struct kith_ctx *gone = append_ops(&node, "plan", 1, 1, 1), *again;

    (void)state;
    node_cancel(gone);
    node_ops_to_write(&node);
    struct kith_ctx *later = append_ops(&node, "plan", 1, 2, 2);
    node_cancel(later);
    again = append_ops(&node, "plan", 1, 1, 2); /* from its next connection */
    assert_waits(again);
    node_ops(&node);
    assert_done(gone);
    assert_done(later);
    assert_done(again);
    assert_true(each_once(&node, "plan", 1, 1, 2));
}

static void board_whose_only_page_goes_while_it_is_listed_can_be_closed_then(void **state)
{
    struct kith_ctx *page = node_call(&node, "board.follow", "plan page", NULL);

    (void)state;
    struct kith_ctx *ops = append_ops(&node, "plan", 1, 1, 1);
    node_cancel(page);
    assert_done(page);
    for (unsigned i = 0; i < BOARD_OPEN_MAX - 1; i++) {
        char words[32];
        (void)snprintf(words, sizeof(words), "b%u page", i);
        assert_waits(node_call(&node, "board.follow", words, NULL));
    }
    assert_true(node_call(&node, "board.follow", "late page", NULL)->replied); /* it is listed */
    node_ops(&node);
    assert_done(ops);
    assert_waits(node_call(&node, "board.follow", "late page", NULL));
    assert_null(wb_board_find(node_wb(&node), "plan"));
    node_ops(&node);
    assert_true(each_once(&node, "plan", 1, 1, 1));
}

/* The catalogue has more of a log than the page was told: it is read, and the page goes. */
static void board_whose_page_goes_while_a_log_is_read_stays_open_until_then(void **state)
{
    struct kith_ctx *page = node_call(&node, "board.follow", "plan page", NULL), *late;
    char path[WB_PATH_BYTES];
    struct wb_log_name name = {.writer = {[15] = 1}, .node = node.other, .number = 1};
    struct made_log log;

    (void)state;
    node_ops(&node);
    log_begin(&log, "plan", 1, "Ana");
    log_op(&log, 1, 64);
    node_file(&node, wb_path_log(path, "plan", &name), true)->bytes = log.bytes;
    node_changed(&node, path);
    made_clock_forward(WB_GAP_MS);
    for (unsigned i = 0; i < BOARD_OPEN_MAX - 1; i++) {
        char words[32];
        (void)snprintf(words, sizeof(words), "b%u page", i);
        assert_waits(node_call(&node, "board.follow", words, NULL));
    }
    node_ops(&node);
    wb_board_catch_up(wb_board_find(node_wb(&node), "plan"));
    assert_int_equal(node.ops_n[KITH_FS_READ], 1);
    node_cancel(page);
    late = node_call(&node, "board.follow", "late page", NULL);
    assert_true(late->replied);
    node_ops(&node);
    assert_int_equal(page->said_n[WB_ANSWER_OPS], 0);
    assert_waits(node_call(&node, "board.follow", "late page", NULL));
    node_ops(&node);
}

static void what_was_not_told_is_read_and_told(void **state)
{
    struct kith_ctx *page = node_call(&node, "board.follow", "plan page", NULL);
    char path[WB_PATH_BYTES];
    struct wb_log_name name = {.writer = {[15] = 1}, .node = node.other, .number = 1};
    struct made_log log;

    (void)state;
    node_ops(&node);
    log_begin(&log, "plan", 1, "Ana");
    log_op(&log, 1, 64);
    node_file(&node, wb_path_log(path, "plan", &name), true)->bytes = log.bytes;
    node_changed(&node, path);
    made_clock_forward(WB_GAP_MS - 1);
    wb_board_catch_up(wb_board_find(node_wb(&node), "plan"));
    assert_null(node.ops); /* it may be on its way */
    made_clock_forward(1);
    wb_board_catch_up(wb_board_find(node_wb(&node), "plan"));
    node_op_fails(&node, KITH_E_UNREACHABLE, "nobody within reach holds it");
    made_clock_forward(WB_GAP_MS);
    wb_board_catch_up(wb_board_find(node_wb(&node), "plan"));
    node_ops(&node);
    assert_int_equal(page->said_n[WB_ANSWER_OPS], 1);
    struct kith_ctx *again = append_ops(&node, "plan", 1, 1, 1);
    node_ops(&node);
    assert_done(again);
    assert_true(each_once(&node, "plan", 1, 1, 1));
}

/* ---- the end ---- */

/* The module stops when @ops operations have ended of those that these calls need. */
static void stop_after(unsigned ops)
{
    char path[WB_PATH_BYTES];
    struct wb_log_name name = {.writer = {[15] = 1}, .node = node.other, .number = 1};
    struct made_log log;
    struct kith_ctx *page;

    log_begin(&log, "plan", 1, "Ana");
    log_op(&log, 9, 64);
    struct made_file *file = node_file(&node, wb_path_log(path, "plan", &name), true);
    file->bytes = log.bytes;
    node.page_entries = 1;
    page = node_call(&node, "board.follow", "plan page", NULL);
    append_ops(&node, "plan", 1, 1, 2);
    append_ops(&node, "plan", 1, 3, 3);
    append_ops(&node, "new", 2, 1, 1);
    node_call(&node, "board.logs", "plan", NULL);
    node_call(&node, "board.list", "", NULL);
    for (unsigned i = 0; i < ops && node.ops != NULL; i++) {
        node_op(&node);
        if (i == 3)
            append_ops(&node, "plan", 1, 3, 4);
    }
    node_stop(&node);
    assert_done(page);
    node_ops(&node);
    for (const struct kith_ctx *ctx = node.calls; ctx != NULL; ctx = ctx->next) {
        assert_true(ctx->replied);
        assert_true(ctx->code == 0 || ctx->code == KITH_E_STOPPED);
    }
}

static void whatever_is_under_way_when_the_module_stops_ends_once(void **state)
{
    (void)state;
    for (unsigned ops = 0; ops < 24; ops++) {
        stop_after(ops);
        node_end(&node);
        node_begin(&node);
    }
}

static void append_that_is_read_for_when_the_module_stops_is_told_so(void **state)
{
    struct kith_ctx *page = append_ops(&node, "plan", 1, 1, 1);

    (void)state;
    node_stop(&node);
    node_ops(&node);
    assert_failed(page, KITH_E_STOPPED, STOP_SAYS);
    assert_null(node.files);
}

/* Watches and callbacks of events live as long as the node, which is longer. */
static void news_after_the_end_reach_nobody(void **state)
{
    char path[WB_PATH_BYTES];
    struct wb_log_name name = {.node = node.other, .number = 1};

    (void)state;
    (void)node_file(&node, wb_path_log(path, "plan", &name), true);
    node_call(&node, "board.follow", "plan page", NULL);
    node_ops(&node);
    node_stop(&node);
    node_ops(&node);
    assert_int_equal(made_held(), 0);
    node_other_opens(&node, "plan", false);
    node_changed(&node, path);
    node_other_fails(&node);
    assert_int_equal(made_held(), 0);
}

/* ---- answers ---- */

static void log_too_long_for_an_answer_ends_the_call(void **state)
{
    char path[WB_PATH_BYTES];
    struct wb_log_name name = {.writer = {[15] = 1}, .node = node.other, .number = 1};
    struct kith_ctx *page;
    struct made_log log;

    (void)state;
    log_begin(&log, "plan", 1, "Ana");
    for (uint32_t i = 1; log.bytes.len < KITH_FS_DATA_BYTES_MAX; i++)
        log_op(&log, i, 256 * 1024);
    node_file(&node, wb_path_log(path, "plan", &name), true)->bytes = log.bytes;
    page = node_call(&node, "board.logs", "plan", NULL);
    node_ops(&node);
    assert_done(page);
    assert_in_range(page->reply_len, BOARD_ANSWER_BYTES, 16 * 1024 * 1024);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(full_disk_is_told_and_what_is_sent_again_stands_there_once),
        CASE(log_that_fails_once_is_left_for_another_one),
        CASE(what_rode_on_a_write_that_failed_is_not_acknowledged),
        CASE(what_is_under_way_and_is_sent_again_waits_for_that_write),
        CASE(share_that_is_not_made_is_told_and_tried_again),
        CASE(list_of_logs_that_fails_is_told_and_asked_for_again),
        CASE(what_is_not_begun_is_told),
        CASE(log_that_cannot_be_read_does_not_keep_its_writer_from_drawing),
        CASE(what_waits_for_the_list_is_written_in_the_order_in_which_it_came),
        CASE(person_renamed_while_a_log_is_begun_is_counted_as_it_was_written),
        CASE(answer_to_one_who_has_gone_is_made_all_the_same),
        CASE(board_whose_only_page_goes_while_it_is_listed_can_be_closed_then),
        CASE(board_whose_page_goes_while_a_log_is_read_stays_open_until_then),
        CASE(what_was_not_told_is_read_and_told),
        CASE(whatever_is_under_way_when_the_module_stops_ends_once),
        CASE(append_that_is_read_for_when_the_module_stops_is_told_so),
        CASE(news_after_the_end_reach_nobody),
        CASE(log_too_long_for_an_answer_ends_the_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
