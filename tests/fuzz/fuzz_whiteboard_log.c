/*
 * Whatever lies in a folder as the log of a board: refused, or within all limits, and its merge and
 * picture come to an end. The bytes may be one log, or a body of a record behind a byte 1, so that
 * the checksums are not in the way.
 */
#include <assert.h>
#include <kith/error.h>
#include <stdlib.h>
#include <string.h>

#include "whiteboard/dump.h"
#include "whiteboard/log.h"
#include "whiteboard/svg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_op(const struct board_op *op)
{
    assert(op->counter >= 1 && op->counter <= BOARD_COUNTER_MAX);
    assert(op->clock <= BOARD_CLOCK_MAX);
    assert(op->colour < BOARD_COLOURS_N && op->fill < 3 && op->type < 3);
    assert(op->width <= BOARD_WIDTH_MAX);
    assert(op->points_n <= BOARD_POINTS_MAX);
    assert(abs(op->x) <= BOARD_COORD_MAX && abs(op->w) <= BOARD_COORD_MAX);
    for (size_t i = 0; i < 2 * (size_t)op->points_n; i++)
        assert(abs(op->points[i]) <= BOARD_COORD_MAX);
    assert(op->targets_n <= BOARD_SET_RANGES_MAX);
    for (size_t i = 0; i < op->targets_n; i++)
        assert(op->targets[i].from >= 1 && op->targets[i].from <= op->targets[i].to &&
               op->targets[i].to <= BOARD_COUNTER_MAX);
    assert(op->text_len <= BOARD_TEXT_BYTES_MAX);
    assert(op->n <= BOARD_ACTION_MAX && op->from + op->n <= op->counter + (op->n == 0));
}

/* The same board from all of it twice as from all of it backwards. */
static void merge(const struct board_op *ops, size_t n)
{
    const struct board_op **twice = malloc((2 * n + 1) * sizeof(const struct board_op *));
    struct board board, again;
    struct board_out one = {0}, other = {0}, picture = {0};

    assert(twice != NULL);
    for (size_t i = 0; i < n; i++) {
        twice[i] = &ops[n - 1 - i];
        twice[n + i] = &ops[i];
    }
    int result = board_merge(&board, twice, n);
    assert(result == 0 || result == KITH_E_LIMIT);
    if (result == 0) {
        assert(board_merge(&again, twice, 2 * n) == 0);
        board_dump(&board, &one);
        board_dump(&again, &other);
        assert(one.len == other.len && memcmp(one.data, other.data, one.len) == 0);
        assert(board_svg(&board, NULL, &picture) == 0);
        board_deinit(&again);
    }
    board_deinit(&board);
    free(one.data);
    free(other.data);
    free(picture.data);
    free(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const uint8_t writer[BOARD_WRITER_BYTES] = {1};
    struct board_log log;
    struct board_op op;

    if (len > 0 && data[0] == 1) {
        if (board_op_decode(&op, writer, data + 1, len - 1) == 0) {
            check_op(&op);
            merge(&op, 1);
            board_op_deinit(&op);
        }
        return 0;
    }
    if (board_log_decode(&log, data, len) != 0)
        return 0;
    assert(log.good <= len && (log.state != BOARD_LOG_WHOLE || log.good == len));
    for (size_t i = 0; i < log.ops_n; i++)
        check_op(&log.ops[i]);
    merge(log.ops, log.ops_n);
    board_log_deinit(&log);
    return 0;
}
