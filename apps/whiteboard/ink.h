/*
 * The outline of a stroke of a pen, as the page draws it: the algorithm of perfect-freehand (MIT,
 * Copyright (c) 2021 Stephen Ruiz Ltd; web/vendor/perfect-freehand/LICENSE) with the settings of
 * web/board/ink.js, in the same order of operations, so that both give the same points but for the
 * last bit of sines and cosines.
 */
#ifndef WHITEBOARD_INK_H
#define WHITEBOARD_INK_H

#include "op.h"

struct board_point {
    double x;
    double y;
};

/*
 * The points around the stroke @op, drawn @width sixteenths wide, in units; the caller frees them.
 * Returns 0 or KITH_E_MEMORY.
 */
int board_outline(const struct board_op *op,
                  uint32_t width,
                  struct board_point **points_out,
                  size_t *n_out);

#endif
