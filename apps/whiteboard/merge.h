/*
 * Many logs, one board: what is to be seen, computed from the set of all operations, so that any
 * order and any repetition of them gives the same: docs/protocols/board.md. web/board/merge.js
 * does it step by step.
 */
#ifndef WHITEBOARD_MERGE_H
#define WHITEBOARD_MERGE_H

#include "op.h"

/* A point (x, y) in units is seen at (m[0] x + m[2] y + m[4], m[1] x + m[3] y + m[5]). */
struct board_element {
    const struct board_op *op; /* that drew it */
    double m[6];
    uint8_t colour;
    uint8_t fill;
    uint32_t width;
    int32_t w, h;
    const char *text; /* borrowed, not terminated */
    size_t text_len;
};

struct board {
    struct board_element *elements; /* what is to be seen, in the order in which it is drawn */
    size_t elements_n;
    const char *title;
    size_t title_len;
};

/*
 * Merges @ops, in any order and with any repetition. They are borrowed, and must outlive @board.
 *
 * Returns 0; KITH_E_MEMORY; KITH_E_LIMIT if they ask for more than BOARD_EFFECTS_MAX.
 */
int board_merge(struct board *board, const struct board_op *const *ops, size_t ops_n);
void board_deinit(struct board *board);

#endif
