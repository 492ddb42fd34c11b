/*
 * One operation of a board, decoded: docs/protocols/board.md. Coordinates are whole sixteenths of
 * a unit, so that every machine computes the same.
 */
#ifndef WHITEBOARD_OP_H
#define WHITEBOARD_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOARD_WRITER_BYTES 16
#define BOARD_HASH_BYTES   32
#define BOARD_UNIT         16

enum board_kind {
    BOARD_STROKE = 1,
    BOARD_HIGHLIGHT,
    BOARD_LINE,
    BOARD_ARROW,
    BOARD_RECT,
    BOARD_ELLIPSE,
    BOARD_TEXT,
    BOARD_STICKY,
    BOARD_IMAGE,
    BOARD_DELETE = 16,
    BOARD_CLEAR,
    BOARD_TRANSFORM,
    BOARD_STYLE,
    BOARD_RETEXT,
    BOARD_TITLE,
    BOARD_UNDO = 32,
    BOARD_REDO,
};

#define BOARD_STYLE_COLOUR 1
#define BOARD_STYLE_WIDTH  2
#define BOARD_STYLE_FILL   4

/* Counters from ... to of one writer. */
struct board_range {
    const uint8_t *writer; /* borrowed from the bytes */
    uint32_t from;
    uint32_t to;
};

struct board_op {
    uint8_t writer[BOARD_WRITER_BYTES];
    uint32_t counter;
    uint64_t clock; /* microseconds since 1970, hybrid */
    uint8_t kind;
    bool joined;
    const uint8_t *body; /* its bytes, borrowed */
    size_t body_len;

    /* of what is drawn; of a style what its mask says */
    uint8_t mask;
    uint8_t colour;
    uint8_t fill;
    uint8_t type;   /* of an image */
    uint32_t width; /* of a line, or size of letters; sixteenths */
    int32_t x, y, w, h;
    uint32_t points_n;
    int32_t *points;          /* x, y, x, y ...; owned */
    const uint8_t *pressures; /* NULL if the pen had none; owned with the points */
    const char *text;         /* borrowed, not terminated; of a title too */
    size_t text_len;
    const uint8_t *hash; /* borrowed */

    /* of what changes others */
    struct board_range *targets; /* owned */
    size_t targets_n;
    int32_t factors[4]; /* 65536ths */
    int32_t shift[2];
    uint32_t from, n; /* of undo and redo */
};

bool board_kind_draws(uint8_t kind);
bool board_kind_touches(uint8_t kind);
bool board_kind_letters(uint8_t kind);
bool board_kind_stroke(uint8_t kind);

/*
 * Decodes @body as an operation of @writer into @op. One of a kind that is not known is good and
 * does nothing. @body must outlive @op.
 *
 * Returns 0; KITH_E_CORRUPT if it is none, KITH_E_MEMORY; @op needs no board_op_deinit then.
 */
int board_op_decode(struct board_op *op,
                    const uint8_t writer[BOARD_WRITER_BYTES],
                    const uint8_t *body,
                    size_t len);
void board_op_deinit(struct board_op *op);

/* The order of a board: by clock, then writer, then counter. */
int board_op_compare(const struct board_op *a, const struct board_op *b);

#endif
