/*
 * Everything that pages and other nodes can make the module of boards hold, at its limit: the last
 * that is accepted, the first that is not, what is said then, and the memory.
 */
#include "unit/whiteboard_node.h"

#include <assert.h>

#define RECORD_BYTES_MAX (BOARD_RECORD_HEAD_BYTES + BOARD_RECORD_BYTES_MAX)
#define BIG_BYTES        (256 * 1024) /* of a record: 32 of them are BOARD_QUEUE_BYTES_MAX */
#define SMALL_BYTES      64
#define SLACK_BYTES      (64 * 1024)

#define OPEN_SAYS  "256 boards are open at this node, the limit: close one, or draw at another node"
#define PAGES_SAYS "128 pages of this node are on this board, the limit: open it at another node"
#define BUSY_SAYS                                                                                  \
    "8 MiB of this writer wait for the disk of this node, the limit: send the rest again later"
#define FULL_SAYS "this board has 4,096 logs, the limit: begin another one"

static_assert(BOARD_OPEN_MAX == 256 && BOARD_PAGES_MAX == 128 && BOARD_WRITERS_MAX == 4096 &&
                  BOARD_BOARDS_MAX == 1000 && BOARD_QUEUE_BYTES_MAX >> 20 == 8,
              "the sentences say so");

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

static char *name_of(unsigned n)
{
    static char name[16];

    (void)snprintf(name, sizeof(name), "b%u", n);
    return name;
}

static struct kith_ctx *follow(const char *board)
{
    char words[BOARD_NAME_BYTES_MAX + 8];

    (void)snprintf(words, sizeof(words), "%s page", board);
    return node_call(&node, "board.follow", words, NULL);
}

/* board.append of one log, and what became of it. */
static struct kith_ctx *send(struct made_log *log)
{
    struct kith_ctx *ctx = node_call(&node, "board.append", log->board, &log->bytes);

    log_end(log);
    return ctx;
}

static struct kith_ctx *send_one(const char *board, unsigned writer, uint32_t counter, size_t bytes)
{
    struct made_log log;

    log_begin(&log, board, writer, "Ana");
    log_op(&log, counter, bytes);
    return send(&log);
}

/* Records of @bytes in all, of which the last makes up the rest, from the counter @from on. */
static struct kith_ctx *send_bytes(const char *board, unsigned writer, uint32_t from, size_t bytes)
{
    struct made_log log;

    log_begin(&log, board, writer, "Ana");
    for (; bytes > RECORD_BYTES_MAX; bytes -= BIG_BYTES)
        log_op(&log, from++, BIG_BYTES);
    log_op(&log, from, bytes);
    return send(&log);
}

/* ---- BOARD_OPEN_MAX ---- */

static void board_beyond_256_with_pages_is_refused_until_one_has_none(void **state)
{
    struct kith_ctx *pages[BOARD_OPEN_MAX], *late;

    (void)state;
    for (unsigned i = 0; i < BOARD_OPEN_MAX; i++)
        pages[i] = follow(name_of(i));
    node_ops(&node);
    assert_waits(pages[BOARD_OPEN_MAX - 1]);
    size_t held = made_held();
    assert_failed(follow("beyond"), KITH_E_LIMIT, OPEN_SAYS);
    assert_failed(append_ops(&node, "beyond", 1, 1, 1), KITH_E_LIMIT, OPEN_SAYS);
    assert_null(node.ops);
    assert_int_equal(made_held(), held);
    append_ops(&node, "b0", 1, 1, 1); /* those that are open go on */
    assert_waits(follow("b0"));
    node_cancel(pages[7]);
    late = follow("beyond");
    assert_waits(late);
    assert_failed(follow("b7"), KITH_E_LIMIT, OPEN_SAYS);
    assert_non_null(wb_board_find(node_wb(&node), "b6"));
    assert_null(wb_board_find(node_wb(&node), "b7"));
    node_ops(&node);
    assert_true(each_once(&node, "b0", 1, 1, 1));
    assert_int_equal(pages[0]->said_n[WB_ANSWER_OPS], 1);
    assert_waits(late);
}

static void of_boards_without_pages_the_one_unused_longest_is_closed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < BOARD_OPEN_MAX; i++) {
        made_clock_forward(1);
        append_ops(&node, name_of(i), 1, 1, 1);
        node_ops(&node);
    }
    size_t held = made_held();
    made_clock_forward(1);
    append_ops(&node, "b0", 1, 1, 2);
    node_ops(&node);
    append_ops(&node, "b256", 1, 1, 1);
    node_ops(&node);
    assert_non_null(wb_board_find(node_wb(&node), "b0"));
    assert_null(wb_board_find(node_wb(&node), "b1"));
    for (unsigned i = 257; i < 600; i++) {
        made_clock_forward(1);
        append_ops(&node, name_of(i), 1, 1, 1);
        node_ops(&node);
    }
    assert_int_equal(node_wb(&node)->boards_n, BOARD_OPEN_MAX);
    assert_true(made_held() <= held + SLACK_BYTES);
    for (unsigned i = 0; i < 600; i += 37) { /* one that was closed goes on where it was */
        struct kith_ctx *again = append_ops(&node, name_of(i), 1, 1, 2);
        node_ops(&node);
        assert_done(again);
        assert_true(each_once(&node, name_of(i), 1, 1, 2));
    }
}

static void board_that_waits_for_the_disk_is_not_closed(void **state)
{
    struct kith_ctx *waiting[BOARD_OPEN_MAX];

    (void)state;
    for (unsigned i = 0; i < BOARD_OPEN_MAX; i++)
        waiting[i] = append_ops(&node, name_of(i), 1, 1, 1);
    assert_failed(append_ops(&node, "beyond", 1, 1, 1), KITH_E_LIMIT, OPEN_SAYS);
    for (unsigned i = 0; i < BOARD_OPEN_MAX; i++)
        node_op(&node); /* its logs are listed; how many boards there are is counted now */
    assert_failed(append_ops(&node, "beyond", 1, 1, 1), KITH_E_LIMIT, OPEN_SAYS);
    node_ops_to_write(&node);
    assert_int_equal(node_writes(&node), BOARD_OPEN_MAX);
    assert_failed(append_ops(&node, "beyond", 1, 1, 1), KITH_E_LIMIT, OPEN_SAYS);
    node_ops(&node);
    for (unsigned i = 0; i < BOARD_OPEN_MAX; i++)
        assert_done(waiting[i]);
    struct kith_ctx *late = append_ops(&node, "beyond", 1, 1, 1);
    node_ops(&node);
    assert_done(late);
}

/* ---- BOARD_QUEUE_BYTES_MAX ---- */

/* The first operation is on its way to the disk, so that all others wait. */
static struct kith_ctx *keep_busy(const char *board)
{
    struct kith_ctx *first = append_ops(&node, board, 1, 1, 1);

    node_ops_to_write(&node);
    assert_int_equal(node_writes(&node), 1);
    return first;
}

static void what_waits_beyond_8_mib_of_a_writer_is_refused_and_comes_again(void **state)
{
    struct kith_ctx *first = keep_busy("plan"), *most, *last, *other;

    (void)state;
    most = send_bytes("plan", 1, 2, BOARD_QUEUE_BYTES_MAX - SMALL_BYTES);
    assert_failed(send_one("plan", 1, 50, SMALL_BYTES + 1), KITH_E_BUSY, BUSY_SAYS);
    last = send_one("plan", 1, 51, SMALL_BYTES); /* exactly the limit */
    assert_waits(last);
    assert_failed(send_one("plan", 1, 52, SMALL_BYTES), KITH_E_BUSY, BUSY_SAYS);
    other = send_one("plan", 2, 1, SMALL_BYTES); /* whom it does not concern */
    assert_true(made_held() <= BOARD_QUEUE_BYTES_MAX + SLACK_BYTES);
    node_ops(&node);
    assert_done(first);
    assert_done(most);
    assert_done(last);
    assert_done(other);
    assert_int_equal(times_written(&node, "plan", 1, 50), 0);
    struct kith_ctx *again = append_ops(&node, "plan", 1, 50, 52);
    node_ops(&node);
    assert_done(again);
    assert_true(each_once(&node, "plan", 1, 1, 33));
    assert_true(each_once(&node, "plan", 1, 50, 52));
    assert_true(made_peak() <= 3 * BOARD_QUEUE_BYTES_MAX + BIG_BYTES);
}

static void call_with_more_than_the_limit_is_taken_in_parts(void **state)
{
    struct kith_ctx *again;

    (void)state;
    keep_busy("plan");
    assert_failed(send_bytes("plan", 1, 2, BOARD_QUEUE_BYTES_MAX + SMALL_BYTES), KITH_E_BUSY,
                  BUSY_SAYS);
    node_ops(&node);
    again = send_bytes("plan", 1, 2, BOARD_QUEUE_BYTES_MAX + SMALL_BYTES);
    node_ops(&node);
    assert_done(again);
    assert_true(each_once(&node, "plan", 1, 1, 34));
}

static void same_operations_sent_again_hold_nothing_more(void **state)
{
    struct kith_ctx *again[200];

    (void)state;
    keep_busy("plan");
    send_one("plan", 1, 2, BIG_BYTES);
    size_t held = made_held();
    for (unsigned i = 0; i < 200; i++)
        again[i] = send_one("plan", 1, 2, BIG_BYTES);
    assert_true(made_held() <= held + SLACK_BYTES);
    node_ops(&node);
    for (unsigned i = 0; i < 200; i++)
        assert_done(again[i]);
    assert_true(each_once(&node, "plan", 1, 1, 2));
}

static void limit_counts_what_waits_for_the_list_of_logs_too(void **state)
{
    struct kith_ctx *most, *last, *other;
    struct made_log log;

    (void)state;
    log_begin(&log, "plan", 1, "Ana");
    size_t head = log.bytes.len; /* of each: before it is taken a call waits as it came */
    log_end(&log);
    most = send_bytes("plan", 1, 1, BOARD_QUEUE_BYTES_MAX - SMALL_BYTES - 2 * head);
    size_t held = made_held();
    for (unsigned i = 0; i < 100; i++)
        assert_failed(send_one("plan", 1, 100, SMALL_BYTES + 1), KITH_E_BUSY, BUSY_SAYS);
    assert_int_equal(made_held(), held);
    last = send_one("plan", 1, 101, SMALL_BYTES); /* exactly the limit */
    assert_failed(send_one("plan", 1, 100, SMALL_BYTES), KITH_E_BUSY, BUSY_SAYS);
    other = send_one("plan", 2, 1, BIG_BYTES);
    node_ops(&node);
    assert_done(most);
    assert_done(last);
    assert_done(other);
    struct kith_ctx *again = send_one("plan", 1, 100, SMALL_BYTES + 1);
    node_ops(&node);
    assert_done(again);
    assert_true(each_once(&node, "plan", 1, 1, 32));
    assert_true(each_once(&node, "plan", 1, 100, 101));
}

/* ---- BOARD_TOLD_BYTES_MAX ---- */

/* The other node tells of an operation in its log @number, in @bytes of a log. */
static void
hear(const char *board, unsigned writer, uint32_t number, uint32_t counter, size_t bytes)
{
    struct wb_log_name name = {.node = node.other, .number = number};
    char path[WB_PATH_BYTES], words[WB_PATH_BYTES + WB_FILE_BYTES];
    struct made_log log;

    log_begin(&log, board, writer, "Ben");
    log_op(&log, counter, bytes - log.bytes.len);
    name.writer[14] = (uint8_t)(writer >> 8);
    name.writer[15] = (uint8_t)writer;
    (void)wb_path_log(path, board, &name);
    (void)snprintf(words, sizeof(words), "%s %s 0", board, strrchr(path, '/') + 1);
    struct kith_ctx *told = node_call_from(&node, &node.other, "board.told", words, &log.bytes);
    assert_done(told);
    log_end(&log);
}

/* Told of until 16 MiB but for @left are kept; returns how many. */
static uint32_t hear_much(size_t left)
{
    uint32_t n = 0;

    for (size_t all = BOARD_TOLD_BYTES_MAX - left, one; all > 0; all -= one) {
        one = all > 2 * BIG_BYTES ? BIG_BYTES : all > BIG_BYTES ? all / 2 : all;
        n++;
        hear("plan", 1, n, n, one - sizeof(struct wb_told));
    }
    return n;
}

static void of_what_is_told_16_mib_are_kept_and_the_oldest_goes(void **state)
{
    struct wb *wb = node_wb(&node);
    size_t least = sizeof(struct wb_told) + 128;

    (void)state;
    uint32_t n = hear_much(least);
    assert_int_equal(wb->told_bytes, BOARD_TOLD_BYTES_MAX - least);
    hear("plan", 1, n + 1, n + 1, 128); /* exactly the limit */
    assert_int_equal(wb->told_bytes, BOARD_TOLD_BYTES_MAX);
    assert_int_equal(made_held() - sizeof(*wb), BOARD_TOLD_BYTES_MAX);
    hear("plan", 1, n + 2, n + 2, 128); /* beyond */
    assert_int_equal(wb->told_bytes, BOARD_TOLD_BYTES_MAX - BIG_BYTES + least);
    assert_true(made_peak() <= BOARD_TOLD_BYTES_MAX + BIG_BYTES);
    for (uint32_t i = 0; i < 1000; i++)
        hear("plan", 2, 1, i + 1, 16 * 1024);
    assert_true(made_held() <= BOARD_TOLD_BYTES_MAX + sizeof(*wb));
    node_other_fails(&node);
    assert_int_equal(wb->told_bytes, 0);
    node_ops(&node);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(times_written(&node, "plan", 1, i + 1), 0); /* they have gone */
    assert_true(each_once(&node, "plan", 1, n + 2, n + 2));
    assert_true(each_once(&node, "plan", 2, 991, 1000));
}

static void one_telling_above_all_of_it_leaves_nothing(void **state)
{
    struct kith_ctx *page = follow("plan");
    struct made_log log;
    char path[WB_PATH_BYTES], words[WB_PATH_BYTES + WB_FILE_BYTES];
    struct wb_log_name name = {.writer = {[15] = 1}, .node = node.other, .number = 1};

    (void)state;
    node_ops(&node);
    size_t held = made_held();
    hear("other", 1, 1, 1, 1024);
    log_begin(&log, "plan", 1, "Ben");
    for (uint32_t i = 1; log.bytes.len < BOARD_TOLD_BYTES_MAX; i++)
        log_op(&log, i, BIG_BYTES);
    (void)wb_path_log(path, "plan", &name);
    (void)snprintf(words, sizeof(words), "plan %s 0", strrchr(path, '/') + 1);
    (void)node_call_from(&node, &node.other, "board.told", words, &log.bytes);
    log_end(&log);
    assert_int_equal(node_wb(&node)->told_bytes, 0);
    assert_true(made_held() <= held + SLACK_BYTES);
    assert_int_equal(page->said_n[WB_ANSWER_MISSED], 64); /* each is longer than a partial result */
    hear("other", 1, 2, 2, 1024);
    assert_true(node_wb(&node)->told_bytes > 0);
}

/* ---- what a lost node leaves is refused by none of them ---- */

static void what_a_lost_node_left_is_written_though_256_boards_are_open(void **state)
{
    (void)state;
    for (unsigned i = 0; i < BOARD_OPEN_MAX; i++)
        follow(name_of(i));
    node_ops(&node);
    for (unsigned i = 0; i < 300; i++) {
        char board[16];
        (void)snprintf(board, sizeof(board), "lost%u", i);
        hear(board, 1, 1, 1, 256);
    }
    node_other_fails(&node);
    node_ops(&node);
    for (unsigned i = 0; i < 300; i++) {
        char board[16];
        (void)snprintf(board, sizeof(board), "lost%u", i);
        assert_true(each_once(&node, board, 1, 1, 1));
    }
    assert_failed(follow("beyond"), KITH_E_LIMIT, OPEN_SAYS);
    assert_int_equal(node_wb(&node)->boards_n, BOARD_OPEN_MAX); /* those that it took are closed */
}

static void
what_a_lost_node_left_is_written_though_it_is_more_than_a_writer_may_wait_with(void **state)
{
    struct kith_ctx *page;

    (void)state;
    uint32_t n = hear_much(0);
    node_other_fails(&node);
    node_ops_to_write(&node);
    assert_failed(send_one("plan", 1, 1000, BIG_BYTES), KITH_E_BUSY, BUSY_SAYS);
    page = append_ops(&node, "plan", 2, 1, 1);
    node_ops(&node);
    assert_true(each_once(&node, "plan", 1, 1, n));
    assert_done(page);
}

/* ---- the others ---- */

static void board_with_4096_logs_takes_no_new_writer_and_holds_nothing_of_them(void **state)
{
    char path[WB_PATH_BYTES];
    struct wb_log_name name = {.node = node.other, .number = 1};
    struct kith_ctx *last, *beyond;

    (void)state;
    for (unsigned i = 0; i < BOARD_WRITERS_MAX - 1; i++) {
        name.writer[0] = (uint8_t)(0xff - i / 256); /* descending: a new one is the first */
        name.writer[1] = (uint8_t)(0xff - i % 256);
        (void)node_file(&node, wb_path_log(path, "plan", &name), true);
    }
    last = append_ops(&node, "plan", 1, 1, 1);
    beyond = append_ops(&node, "plan", 2, 1, 1); /* both are to begin a log */
    node_ops(&node);
    assert_done(last);
    assert_failed(beyond, KITH_E_LIMIT, FULL_SAYS);
    size_t held = made_held();
    for (unsigned i = 3; i < 1000; i++)
        assert_failed(append_ops(&node, "plan", i, 1, 1), KITH_E_LIMIT, FULL_SAYS);
    assert_int_equal(made_held(), held);
    last = append_ops(&node, "plan", 1, 2, 2); /* who has a log goes on */
    node_ops(&node);
    assert_done(last);
}

static void writers_who_could_not_write_are_not_kept(void **state)
{
    size_t held = 0;

    (void)state;
    append_ops(&node, "plan", 1, 1, 1);
    node_ops(&node);
    for (unsigned i = 2; i < 2000; i++) {
        struct kith_ctx *page = append_ops(&node, "plan", i, 1, 1);
        node_ops_to_write(&node);
        node_op_fails(&node, KITH_E_IO, "the disk is full");
        node_op_fails(&node, KITH_E_IO, "the disk is full");
        assert_failed(page, KITH_E_IO, "the disk is full");
        if (i == 2)
            held = made_held();
    }
    assert_int_equal(made_held(), held);
}

static void page_129_of_a_board_is_refused(void **state)
{
    struct kith_ctx *first = follow("plan");

    (void)state;
    for (unsigned i = 1; i < BOARD_PAGES_MAX; i++)
        assert_waits(follow("plan"));
    assert_failed(follow("plan"), KITH_E_LIMIT, PAGES_SAYS);
    node_cancel(first);
    assert_waits(follow("plan"));
    assert_failed(follow("plan"), KITH_E_LIMIT, PAGES_SAYS);
    node_ops(&node);
}

static void live_message_201_of_a_second_is_lost(void **state)
{
    struct kith_ctx *hears = node_call(&node, "board.follow", "plan hears", NULL);
    uint8_t cursor[1 + WB_FROM_BYTES + 2] = {2, 'f', 'r', 'o', 'm'};
    struct wb_bytes live = {.data = cursor, .len = sizeof(cursor)};

    (void)state;
    node_call(&node, "board.follow", "plan says", NULL);
    for (unsigned i = 0; i < BOARD_LIVE_PER_S_MAX + 1; i++)
        assert_done(node_call(&node, "board.say", "plan says", &live));
    assert_int_equal(hears->said_n[WB_ANSWER_LIVE], BOARD_LIVE_PER_S_MAX);
    made_clock_forward(1000 / BOARD_LIVE_PER_S_MAX);
    for (unsigned i = 0; i < 2; i++)
        assert_done(node_call(&node, "board.say", "plan says", &live));
    assert_int_equal(hears->said_n[WB_ANSWER_LIVE], BOARD_LIVE_PER_S_MAX + 1);
    node_ops(&node);
}

static void board_1001_is_not_begun(void **state)
{
    char path[WB_PATH_BYTES], board[16];
    struct wb_log_name name = {.node = node.other, .number = 1};
    struct kith_ctx *last, *beyond;

    (void)state;
    node.page_entries = 300;
    for (unsigned i = 0; i < BOARD_BOARDS_MAX - 1; i++) {
        (void)snprintf(board, sizeof(board), "b%04u", i);
        (void)node_file(&node, wb_path_log(path, board, &name), true);
    }
    last = append_ops(&node, "last", 1, 1, 1);
    node_ops(&node);
    assert_done(last);
    beyond = append_ops(&node, "beyond", 1, 1, 1);
    node_ops(&node);
    assert_failed(beyond, KITH_E_LIMIT,
                  "there are 1,000 boards, the limit: kith fs rm --recursive boards/NAME removes "
                  "one");
    last = append_ops(&node, "b0500", 1, 1, 1);
    node_ops(&node);
    assert_done(last);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(board_beyond_256_with_pages_is_refused_until_one_has_none),
        CASE(of_boards_without_pages_the_one_unused_longest_is_closed),
        CASE(board_that_waits_for_the_disk_is_not_closed),
        CASE(what_waits_beyond_8_mib_of_a_writer_is_refused_and_comes_again),
        CASE(call_with_more_than_the_limit_is_taken_in_parts),
        CASE(same_operations_sent_again_hold_nothing_more),
        CASE(limit_counts_what_waits_for_the_list_of_logs_too),
        CASE(of_what_is_told_16_mib_are_kept_and_the_oldest_goes),
        CASE(one_telling_above_all_of_it_leaves_nothing),
        CASE(what_a_lost_node_left_is_written_though_256_boards_are_open),
        CASE(what_a_lost_node_left_is_written_though_it_is_more_than_a_writer_may_wait_with),
        CASE(board_with_4096_logs_takes_no_new_writer_and_holds_nothing_of_them),
        CASE(writers_who_could_not_write_are_not_kept),
        CASE(page_129_of_a_board_is_refused),
        CASE(live_message_201_of_a_second_is_lost),
        CASE(board_1001_is_not_begun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
