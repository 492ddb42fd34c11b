/* Logs of a board, byte by byte: what holds, what is torn, what is damaged, and each limit. */
#include "unit/whiteboard_make.h"

#include <kith/error.h>

#include "whiteboard/bytes.h"

static struct made made;

static size_t put_header(uint8_t *out)
{
    static const uint8_t writer[BOARD_WRITER_BYTES] = {[15] = 7};

    return board_header_encode("plan-1", writer, "Ana", out);
}

/* A log of @n rectangles into @out; the end of each record into @ends. */
static size_t make_log(uint8_t *out, unsigned n, size_t *ends)
{
    size_t len = put_header(out);

    for (unsigned i = 0; i < n; i++) {
        make_rect(&made, 7, i + 1, 1000 + i);
        const struct board_op *op = made.list[made.ops_n - 1];
        board_record_head(op->body, op->body_len, out + len);
        len += BOARD_RECORD_HEAD_BYTES;
        memcpy(out + len, op->body, op->body_len);
        len += op->body_len;
        ends[i] = len;
    }
    unmake(&made);
    return len;
}

/* Bit by bit, as its definition is. */
static uint32_t slow_sum(const uint8_t *data, size_t len)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = (crc & 1) != 0 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    return ~crc;
}

static void sum_is_crc32c_of_any_length_in_any_parts(void **state)
{
    uint8_t bytes[64];
    struct rng rng = test_rng();

    (void)state;
    assert_int_equal(board_crc32c((const uint8_t *)"123456789", 9, 0), 0xe3069283);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)rng_below(&rng, 256);
    for (size_t from = 0; from < 8; from++)
        for (size_t len = 0; from + len <= sizeof(bytes); len++) {
            uint32_t sum = slow_sum(bytes + from, len);
            assert_int_equal(board_crc32c(bytes + from, len, 0), sum);
            for (size_t part = 0; part <= len; part++)
                assert_int_equal(board_crc32c(bytes + from + part, len - part,
                                              board_crc32c(bytes + from, part, 0)),
                                 sum);
        }
}

static void whole_log_is_read(void **state)
{
    uint8_t bytes[4096];
    size_t ends[5];
    size_t len = make_log(bytes, 5, ends);
    struct board_log log;

    (void)state;
    assert_int_equal(board_log_decode(&log, bytes, len), 0);
    assert_int_equal(log.state, BOARD_LOG_WHOLE);
    assert_int_equal(log.good, len);
    assert_int_equal(log.ops_n, 5);
    assert_string_equal(log.board, "plan-1");
    assert_string_equal(log.name, "Ana");
    assert_int_equal(log.ops[4].counter, 5);
    assert_int_equal(log.ops[4].y, -160);
    board_log_deinit(&log);
}

static void log_cut_anywhere_keeps_what_is_before(void **state)
{
    uint8_t bytes[4096];
    size_t ends[5];
    size_t len = make_log(bytes, 5, ends), head = ends[0] - (ends[1] - ends[0]);
    struct board_log log;

    (void)state;
    for (size_t cut = 0; cut < len; cut++) {
        int result = board_log_decode(&log, bytes, cut);
        if (cut < head) {
            assert_int_equal(result, KITH_E_CORRUPT);
            continue;
        }
        unsigned whole = 0;
        while (whole < 5 && ends[whole] <= cut)
            whole++;
        assert_int_equal(result, 0);
        assert_int_equal(log.ops_n, whole);
        assert_int_equal(log.good, whole ? ends[whole - 1] : head);
        assert_int_equal(log.state, log.good == cut ? BOARD_LOG_WHOLE : BOARD_LOG_TORN);
        board_log_deinit(&log);
    }
}

static void any_bit_that_fell_over_is_noticed(void **state)
{
    uint8_t bytes[4096];
    size_t ends[5];
    size_t len = make_log(bytes, 5, ends);
    struct board_log log;

    (void)state;
    for (size_t bit = 0; bit < 8 * len; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (board_log_decode(&log, bytes, len) == 0) {
            assert_int_not_equal(log.state, BOARD_LOG_WHOLE);
            assert_true(log.good <= bit / 8);
            if (bit / 8 < ends[3])
                assert_int_equal(log.state, BOARD_LOG_DAMAGED);
            board_log_deinit(&log);
        }
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void tail_that_was_never_written_is_torn(void **state)
{
    uint8_t bytes[4096] = {0};
    size_t ends[2];
    size_t len = make_log(bytes, 2, ends);
    struct board_log log;

    (void)state;
    assert_int_equal(board_log_decode(&log, bytes, len + 100), 0);
    assert_int_equal(log.state, BOARD_LOG_TORN);
    assert_int_equal(log.good, len);
    board_log_deinit(&log);
}

static void record_that_is_no_operation_is_damage(void **state)
{
    uint8_t bytes[4096];
    size_t ends[1];
    size_t len = make_log(bytes, 1, ends);
    static const uint8_t nonsense[] = {1, 1, BOARD_RECT};
    struct board_log log;

    (void)state;
    board_record_head(nonsense, sizeof(nonsense), bytes + len);
    memcpy(bytes + len + BOARD_RECORD_HEAD_BYTES, nonsense, sizeof(nonsense));
    assert_int_equal(
        board_log_decode(&log, bytes, len + BOARD_RECORD_HEAD_BYTES + sizeof(nonsense)), 0);
    assert_int_equal(log.state, BOARD_LOG_DAMAGED);
    assert_int_equal(log.ops_n, 1);
    board_log_deinit(&log);
}

/* The state of a log whose only record says that it has @body_len bytes, none of which is there. */
static enum board_log_state state_of_length(uint32_t body_len)
{
    static uint8_t body[BOARD_RECORD_BYTES_MAX + 1];
    uint8_t bytes[BOARD_HEADER_BYTES_MAX + BOARD_RECORD_HEAD_BYTES];
    size_t len = put_header(bytes);
    struct board_log log;

    board_record_head(body, body_len, bytes + len);
    assert_int_equal(board_log_decode(&log, bytes, len + BOARD_RECORD_HEAD_BYTES), 0);
    assert_int_equal(log.good, len);
    enum board_log_state state = log.state;
    board_log_deinit(&log);
    return state;
}

static void record_above_its_limit_is_damage(void **state)
{
    (void)state;
    assert_int_equal(state_of_length(BOARD_RECORD_BYTES_MAX), BOARD_LOG_TORN);
    assert_int_equal(state_of_length(BOARD_RECORD_BYTES_MAX + 1), BOARD_LOG_DAMAGED);
}

static void names_of_boards(void **state)
{
    uint8_t out[BOARD_HEADER_BYTES_MAX];
    uint8_t writer[BOARD_WRITER_BYTES] = {0};
    char longest[BOARD_NAME_BYTES_MAX + 2];
    char person[BOARD_PERSON_BYTES_MAX + 2];

    (void)state;
    memset(longest, 'a', sizeof(longest));
    longest[BOARD_NAME_BYTES_MAX] = '\0';
    memset(person, 'p', sizeof(person));
    person[BOARD_PERSON_BYTES_MAX] = '\0';
    assert_int_equal(board_header_encode(longest, writer, person, out), BOARD_HEADER_BYTES_MAX);
    longest[BOARD_NAME_BYTES_MAX] = 'a';
    longest[BOARD_NAME_BYTES_MAX + 1] = '\0';
    assert_int_equal(board_header_encode(longest, writer, "", out), 0);
    person[BOARD_PERSON_BYTES_MAX] = 'p';
    person[BOARD_PERSON_BYTES_MAX + 1] = '\0';
    assert_int_equal(board_header_encode("a", writer, person, out), 0);
    for (const char *const *bad = (const char *const[]){"", "-a", "a-", "A", "a/b", "..", NULL};
         *bad; bad++)
        assert_int_equal(board_header_encode(*bad, writer, "", out), 0);
}

/* One field of a rectangle at its limit, and one above. */
static void expect_rect(int result, unsigned colour, uint64_t width, unsigned fill, int64_t x)
{
    begin_op(&made, 1, 1, 1, BOARD_RECT);
    put_u8(&made, colour);
    put_varint(&made, width);
    put_u8(&made, fill);
    put_zigzag(&made, x);
    put_zigzag(&made, 0);
    put_zigzag(&made, 0);
    put_zigzag(&made, -BOARD_COORD_MAX);
    assert_int_equal(end_op(&made), result);
    unmake(&made);
}

static void fields_end_at_their_limits(void **state)
{
    (void)state;
    expect_rect(0, BOARD_COLOURS_N - 1, BOARD_WIDTH_MAX, 2, -BOARD_COORD_MAX);
    expect_rect(0, 0, 1, 0, BOARD_COORD_MAX);
    expect_rect(KITH_E_CORRUPT, BOARD_COLOURS_N, 1, 0, 0);
    expect_rect(KITH_E_CORRUPT, 0, BOARD_WIDTH_MAX + 1, 0, 0);
    expect_rect(KITH_E_CORRUPT, 0, 0, 0, 0);
    expect_rect(KITH_E_CORRUPT, 0, 1, 3, 0);
    expect_rect(KITH_E_CORRUPT, 0, 1, 0, (int64_t)BOARD_COORD_MAX + 1);
    expect_rect(KITH_E_CORRUPT, 0, 1, 0, -(int64_t)BOARD_COORD_MAX - 1);
}

static int stroke_of(uint32_t n)
{
    begin_op(&made, 1, 1, 1, BOARD_STROKE);
    put_u8(&made, 0);
    put_varint(&made, 16);
    put_u8(&made, 1);
    put_varint(&made, n);
    for (uint32_t i = 0; i < n; i++) {
        put_zigzag(&made, i % 2 ? -2 * (int64_t)BOARD_COORD_MAX
                          : i   ? 2 * (int64_t)BOARD_COORD_MAX
                                : BOARD_COORD_MAX);
        put_zigzag(&made, i == 0);
        put_u8(&made, i & 255);
    }
    int result = end_op(&made);
    if (result == 0) {
        assert_int_equal(made.ops[0].points[2], -BOARD_COORD_MAX);
        assert_int_equal(made.ops[0].points[4], BOARD_COORD_MAX);
        assert_int_equal(made.ops[0].pressures[n - 1], (n - 1) & 255);
    }
    unmake(&made);
    return result;
}

static void stroke_ends_at_its_limit(void **state)
{
    (void)state;
    assert_int_equal(stroke_of(BOARD_POINTS_MAX), 0);
    assert_int_equal(stroke_of(BOARD_POINTS_MAX + 1), KITH_E_CORRUPT);
    assert_int_equal(stroke_of(0), KITH_E_CORRUPT);
}

static int delete_of(uint32_t writers, uint32_t ranges)
{
    begin_op(&made, 1, 1, 1, BOARD_DELETE);
    put_varint(&made, writers);
    for (uint32_t i = 0; i < writers; i++) {
        uint8_t id[BOARD_WRITER_BYTES] = {0};
        id[0] = (uint8_t)(i >> 8);
        id[1] = (uint8_t)i;
        put_raw(&made, id, sizeof(id));
        put_varint(&made, ranges);
        for (uint32_t k = 0; k < ranges; k++) {
            put_varint(&made, 0);
            put_varint(&made, 0);
        }
    }
    int result = end_op(&made);
    unmake(&made);
    return result;
}

static void sets_end_at_their_limits(void **state)
{
    (void)state;
    assert_int_equal(delete_of(0, 0), 0);
    assert_int_equal(delete_of(1, BOARD_SET_RANGES_MAX), 0);
    assert_int_equal(delete_of(1, BOARD_SET_RANGES_MAX + 1), KITH_E_CORRUPT);
    assert_int_equal(delete_of(2, BOARD_SET_RANGES_MAX / 2), 0);
    assert_int_equal(delete_of(2, BOARD_SET_RANGES_MAX / 2 + 1), KITH_E_CORRUPT);
    assert_int_equal(delete_of(BOARD_SET_WRITERS_MAX, 1), 0);
    assert_int_equal(delete_of(BOARD_SET_WRITERS_MAX + 1, 1), KITH_E_CORRUPT);
    assert_int_equal(delete_of(1, 0), KITH_E_CORRUPT);
}

static int text_of(unsigned kind, const char *text, size_t len)
{
    begin_op(&made, 1, 1, 1, kind);
    if (kind == BOARD_TEXT) {
        put_u8(&made, 0);
        put_varint(&made, 320);
        for (unsigned i = 0; i < 4; i++)
            put_varint(&made, 0);
    }
    put_varint(&made, len);
    put_raw(&made, text, len);
    int result = end_op(&made);
    unmake(&made);
    return result;
}

static void texts_are_utf8_without_controls(void **state)
{
    static char longest[BOARD_TEXT_BYTES_MAX + 1];
    static const char *const bad[] = {"\xc0\x80",
                                      "\xff",
                                      "a\xe2\x82",
                                      "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xef\xbf\xbf",
                                      "\xef\xbf\xbe",
                                      "\x01",
                                      "\t",
                                      "\x7f",
                                      NULL};
    static const char *const good[] = {
        "", "a\nb", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x99\x82", "\xee\x80\x80", NULL};

    (void)state;
    for (const char *const *text = good; *text; text++)
        assert_int_equal(text_of(BOARD_TEXT, *text, strlen(*text)), 0);
    for (const char *const *text = bad; *text; text++)
        assert_int_equal(text_of(BOARD_TEXT, *text, strlen(*text)), KITH_E_CORRUPT);
    assert_int_equal(text_of(BOARD_TEXT, "\0", 1), KITH_E_CORRUPT);
    assert_int_equal(text_of(BOARD_TITLE, "a\nb", 3), KITH_E_CORRUPT);
    memset(longest, 'x', sizeof(longest));
    assert_int_equal(text_of(BOARD_TEXT, longest, BOARD_TEXT_BYTES_MAX), 0);
    assert_int_equal(text_of(BOARD_TEXT, longest, BOARD_TEXT_BYTES_MAX + 1), KITH_E_CORRUPT);
    assert_int_equal(text_of(BOARD_TITLE, longest, BOARD_TITLE_BYTES_MAX), 0);
    assert_int_equal(text_of(BOARD_TITLE, longest, BOARD_TITLE_BYTES_MAX + 1), KITH_E_CORRUPT);
}

static void numbers_have_one_encoding(void **state)
{
    (void)state;
    begin_op(&made, 1, 1, 1, BOARD_UNDO);
    made.len = made.begin;
    put_raw(&made, "\x85\x00\x01\x20\x01\x01", 6); /* a counter of 5 in two bytes */
    assert_int_equal(end_op(&made), KITH_E_CORRUPT);
    made.len = made.begin;
    put_raw(&made, "\x05\x01\x20\x01\x01", 5);
    assert_int_equal(end_op(&made), 0);
    unmake(&made);
}

static void undo_names_what_is_before_it(void **state)
{
    (void)state;
    for (unsigned from = 0; from <= 3; from++)
        for (unsigned n = 0; n <= 3; n++) {
            begin_op(&made, 1, 3, 1, BOARD_UNDO);
            put_varint(&made, from);
            put_varint(&made, n);
            assert_int_equal(end_op(&made),
                             from >= 1 && n >= 1 && from + n <= 3 ? 0 : KITH_E_CORRUPT);
            unmake(&made);
        }
}

static void what_is_above_the_limits_of_files_is_refused(void **state)
{
    static uint8_t bytes[BOARD_RECORD_BYTES_MAX + 1] = {1, 1, 60};
    static const uint8_t writer[BOARD_WRITER_BYTES];
    struct board_op op;
    struct board_log log;

    (void)state;
    assert_int_equal(board_op_decode(&op, writer, bytes, BOARD_RECORD_BYTES_MAX), 0);
    board_op_deinit(&op);
    assert_int_equal(board_op_decode(&op, writer, bytes, BOARD_RECORD_BYTES_MAX + 1),
                     KITH_E_CORRUPT);
    assert_int_equal(board_log_decode(&log, bytes, (size_t)BOARD_LOG_BYTES_MAX + 1),
                     KITH_E_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sum_is_crc32c_of_any_length_in_any_parts),
        cmocka_unit_test(whole_log_is_read),
        cmocka_unit_test(log_cut_anywhere_keeps_what_is_before),
        cmocka_unit_test(any_bit_that_fell_over_is_noticed),
        cmocka_unit_test(tail_that_was_never_written_is_torn),
        cmocka_unit_test(record_that_is_no_operation_is_damage),
        cmocka_unit_test(record_above_its_limit_is_damage),
        cmocka_unit_test(names_of_boards),
        cmocka_unit_test(fields_end_at_their_limits),
        cmocka_unit_test(stroke_ends_at_its_limit),
        cmocka_unit_test(sets_end_at_their_limits),
        cmocka_unit_test(texts_are_utf8_without_controls),
        cmocka_unit_test(numbers_have_one_encoding),
        cmocka_unit_test(undo_names_what_is_before_it),
        cmocka_unit_test(what_is_above_the_limits_of_files_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
