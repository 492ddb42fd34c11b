/*
 * A board as an SVG file: the same bytes as the page's (web/board/svg.js).
 */
#ifndef WHITEBOARD_SVG_H
#define WHITEBOARD_SVG_H

#include "merge.h"
#include "out.h"

/*
 * Writes @board. Images are named files/HASH.png, .jpg or .webp, beside it.
 * Returns 0 or KITH_E_MEMORY; the caller frees out->data in either case.
 */
int board_svg(const struct board *board, struct board_out *out);

#endif
