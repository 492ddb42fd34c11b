/*
 * A board as an SVG file: the same bytes as the page's (web/board/svg.js).
 */
#ifndef WHITEBOARD_SVG_H
#define WHITEBOARD_SVG_H

#include "image.h"
#include "merge.h"
#include "out.h"

/*
 * Writes @board. @images gives what is to be part of it; an image that is not there, or all if
 * @images is NULL, are named files/HASH.png, .jpg or .webp, beside it.
 * Returns 0 or KITH_E_MEMORY; the caller frees out->data in either case.
 */
int board_svg(const struct board *board, const struct board_images *images, struct board_out *out);

#endif
