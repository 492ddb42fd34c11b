#include "op.h"

#include <kith/error.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "limits.h"

#define JOINED       0x80
#define FILLS_N      3
#define TYPES_N      3
#define HAS_PRESSURE 1

bool board_kind_draws(uint8_t kind)
{
    return kind >= BOARD_STROKE && kind <= BOARD_IMAGE;
}

bool board_kind_touches(uint8_t kind)
{
    return kind >= BOARD_DELETE && kind <= BOARD_RETEXT;
}

bool board_kind_letters(uint8_t kind)
{
    return kind == BOARD_TEXT || kind == BOARD_STICKY;
}

bool board_kind_stroke(uint8_t kind)
{
    return kind == BOARD_STROKE || kind == BOARD_HIGHLIGHT;
}

/* ---- parts ---- */

static uint8_t take_below(struct board_reader *r, uint8_t n)
{
    uint8_t value = board_take_u8(r);

    if (value >= n)
        r->bad = true;
    return value;
}

static uint32_t take_positive(struct board_reader *r, uint32_t max)
{
    uint32_t value = (uint32_t)board_take_varint(r, max);

    if (value == 0)
        r->bad = true;
    return value;
}

static int32_t take_coord(struct board_reader *r)
{
    return (int32_t)board_take_zigzag(r, BOARD_COORD_MAX);
}

static void take_colour(struct board_reader *r, struct board_op *op)
{
    op->colour = take_below(r, BOARD_COLOURS_N);
}

static void take_width(struct board_reader *r, struct board_op *op)
{
    op->width = take_positive(r, BOARD_WIDTH_MAX);
}

static void take_place(struct board_reader *r, struct board_op *op)
{
    op->x = take_coord(r);
    op->y = take_coord(r);
}

static void take_extent(struct board_reader *r, struct board_op *op)
{
    op->w = (int32_t)board_take_varint(r, BOARD_COORD_MAX);
    op->h = (int32_t)board_take_varint(r, BOARD_COORD_MAX);
}

/* ---- kinds ---- */

static int take_stroke(struct board_reader *r, struct board_op *op)
{
    take_colour(r, op);
    take_width(r, op);
    bool pressure = take_below(r, 2) == HAS_PRESSURE;
    uint32_t n = take_positive(r, BOARD_POINTS_MAX);
    if (!board_reader_need(r, (size_t)n * (pressure ? 3 : 2)))
        return 0;
    op->points = malloc((size_t)n * (2 * sizeof(*op->points) + 1));
    if (op->points == NULL)
        return KITH_E_MEMORY;
    op->points_n = n;
    uint8_t *pressures = (uint8_t *)(op->points + (size_t)n * 2);
    op->pressures = pressure ? pressures : NULL;
    int64_t at[2] = {0, 0};
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < 2; k++) {
            at[k] += board_take_zigzag(r, 2 * (int64_t)BOARD_COORD_MAX);
            if (at[k] > BOARD_COORD_MAX || at[k] < -BOARD_COORD_MAX) {
                r->bad = true;
                return 0;
            }
            op->points[2 * i + k] = (int32_t)at[k];
        }
        pressures[i] = pressure ? board_take_u8(r) : 0;
    }
    return 0;
}

static void take_shape(struct board_reader *r, struct board_op *op)
{
    take_colour(r, op);
    take_width(r, op);
    op->fill = take_below(r, FILLS_N);
    take_place(r, op);
    op->w = take_coord(r);
    op->h = take_coord(r);
}

static void take_letters(struct board_reader *r, struct board_op *op)
{
    take_colour(r, op);
    take_width(r, op);
    take_place(r, op);
    take_extent(r, op);
    op->text = board_take_text(r, BOARD_TEXT_BYTES_MAX, true, &op->text_len);
}

static void take_image(struct board_reader *r, struct board_op *op)
{
    take_place(r, op);
    take_extent(r, op);
    op->type = take_below(r, TYPES_N);
    op->hash = board_take_raw(r, BOARD_HASH_BYTES);
}

/* Room for @more ranges at the end. */
static int grow_targets(struct board_op *op, size_t more)
{
    struct board_range *grown = realloc(op->targets, (op->targets_n + more) * sizeof(*op->targets));

    if (grown == NULL)
        return KITH_E_MEMORY;
    op->targets = grown;
    return 0;
}

static void
take_ranges(struct board_reader *r, struct board_op *op, const uint8_t *writer, size_t n)
{
    uint64_t next = 1; /* ranges are apart, or they would be one */

    for (; n > 0; n--) {
        uint64_t from = next + board_take_varint(r, BOARD_COUNTER_MAX);
        uint64_t to = from + board_take_varint(r, BOARD_COUNTER_MAX);
        if (r->bad || to > BOARD_COUNTER_MAX) {
            r->bad = true;
            return;
        }
        op->targets[op->targets_n++] =
            (struct board_range){.writer = writer, .from = (uint32_t)from, .to = (uint32_t)to};
        next = to + 2;
    }
}

static int take_set(struct board_reader *r, struct board_op *op)
{
    const uint8_t *before = NULL;

    for (uint64_t left = board_take_varint(r, BOARD_SET_WRITERS_MAX); left > 0; left--) {
        const uint8_t *writer = board_take_raw(r, BOARD_WRITER_BYTES);
        size_t n = (size_t)board_take_varint(r, BOARD_SET_RANGES_MAX);
        if (writer == NULL || r->bad || n == 0 || op->targets_n + n > BOARD_SET_RANGES_MAX ||
            (before != NULL && memcmp(before, writer, BOARD_WRITER_BYTES) >= 0) ||
            !board_reader_need(r, 2 * n)) {
            r->bad = true;
            return 0;
        }
        if (grow_targets(op, n) != 0)
            return KITH_E_MEMORY;
        take_ranges(r, op, writer, n);
        before = writer;
    }
    return 0;
}

static void take_matrix(struct board_reader *r, struct board_op *op)
{
    for (size_t i = 0; i < 4; i++)
        op->factors[i] = (int32_t)board_take_zigzag(r, BOARD_FACTOR_MAX);
    for (size_t i = 0; i < 2; i++)
        op->shift[i] = take_coord(r);
}

static void take_style(struct board_reader *r, struct board_op *op)
{
    op->mask = take_below(r, 8);
    if (op->mask == 0)
        r->bad = true;
    if (op->mask & BOARD_STYLE_COLOUR)
        take_colour(r, op);
    if (op->mask & BOARD_STYLE_WIDTH)
        take_width(r, op);
    if (op->mask & BOARD_STYLE_FILL)
        op->fill = take_below(r, FILLS_N);
}

static int take_retext(struct board_reader *r, struct board_op *op)
{
    const uint8_t *writer = board_take_raw(r, BOARD_WRITER_BYTES);
    uint32_t counter = take_positive(r, BOARD_COUNTER_MAX);

    if (grow_targets(op, 1) != 0)
        return KITH_E_MEMORY;
    op->targets[op->targets_n++] =
        (struct board_range){.writer = writer, .from = counter, .to = counter};
    take_extent(r, op);
    op->text = board_take_text(r, BOARD_TEXT_BYTES_MAX, true, &op->text_len);
    return 0;
}

static void take_undo(struct board_reader *r, struct board_op *op)
{
    op->from = take_positive(r, BOARD_COUNTER_MAX);
    op->n = take_positive(r, BOARD_ACTION_MAX);
    if (op->from + op->n > op->counter)
        r->bad = true;
}

static int take_fields(struct board_reader *r, struct board_op *op)
{
    int result = 0;

    switch (op->kind) {
    case BOARD_STROKE:
    case BOARD_HIGHLIGHT:
        return take_stroke(r, op);
    case BOARD_LINE:
    case BOARD_ARROW:
    case BOARD_RECT:
    case BOARD_ELLIPSE:
        take_shape(r, op);
        break;
    case BOARD_TEXT:
    case BOARD_STICKY:
        take_letters(r, op);
        break;
    case BOARD_IMAGE:
        take_image(r, op);
        break;
    case BOARD_DELETE:
    case BOARD_CLEAR:
        return take_set(r, op);
    case BOARD_TRANSFORM:
        result = take_set(r, op);
        take_matrix(r, op);
        break;
    case BOARD_STYLE:
        result = take_set(r, op);
        take_style(r, op);
        break;
    case BOARD_RETEXT:
        return take_retext(r, op);
    case BOARD_TITLE:
        op->text = board_take_text(r, BOARD_TITLE_BYTES_MAX, false, &op->text_len);
        break;
    case BOARD_UNDO:
    case BOARD_REDO:
        take_undo(r, op);
        break;
    default:
        r->at = r->end; /* of a later version: kept, and without effect */
    }
    return result;
}

int board_op_decode(struct board_op *op,
                    const uint8_t writer[BOARD_WRITER_BYTES],
                    const uint8_t *body,
                    size_t len)
{
    struct board_reader r;

    if (len > BOARD_RECORD_BYTES_MAX)
        return KITH_E_CORRUPT;
    board_reader_init(&r, body, len);
    *op = (struct board_op){.body = body, .body_len = len};
    memcpy(op->writer, writer, BOARD_WRITER_BYTES);
    op->counter = take_positive(&r, BOARD_COUNTER_MAX);
    op->clock = board_take_varint(&r, BOARD_CLOCK_MAX);
    uint8_t kind = board_take_u8(&r);
    op->joined = (kind & JOINED) != 0;
    op->kind = kind & (uint8_t)~JOINED;
    int result = r.bad ? KITH_E_CORRUPT : take_fields(&r, op);
    if (result == 0 && (r.bad || r.at != r.end))
        result = KITH_E_CORRUPT;
    if (result != 0)
        board_op_deinit(op);
    return result;
}

void board_op_deinit(struct board_op *op)
{
    free(op->points);
    free(op->targets);
    *op = (struct board_op){0};
}

int board_op_compare(const struct board_op *a, const struct board_op *b)
{
    if (a->clock != b->clock)
        return a->clock < b->clock ? -1 : 1;
    int order = memcmp(a->writer, b->writer, BOARD_WRITER_BYTES);
    if (order != 0)
        return order;
    return a->counter < b->counter ? -1 : a->counter > b->counter;
}
