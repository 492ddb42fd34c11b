/*
 * A board as a picture of pixels, with the same shapes, colours and order as the page paints it
 * (web/board/paint.js, export.js). Cairo fills and strokes, Pango sets the letters in the fonts
 * that the machine has, also of scripts that the first of them lacks.
 */
#ifndef WHITEBOARD_PICTURE_H
#define WHITEBOARD_PICTURE_H

#include <stddef.h>
#include <stdio.h>

#include "image.h"
#include "merge.h"

/* What a picture has at most: 160 MB while it is made. It is made smaller where it had more. */
#define BOARD_PICTURE_PIXELS_MAX 40e6
#define BOARD_PICTURE_SIDE_MAX   16000
#define BOARD_SCALE_MIN          0.01
#define BOARD_SCALE_MAX          64.0

struct board_picture_said {
    int width, height;  /* in pixels */
    double scale;       /* that it has: pixels a unit */
    size_t images_grey; /* that are not there, or cannot be read, and are drawn as a grey area */
};

/*
 * Writes @board to @file as PNG, @scale pixels a unit (BOARD_SCALE_MIN to BOARD_SCALE_MAX). @images
 * as for board_svg(). @said may be NULL.
 *
 * Returns 0; KITH_E_MEMORY; KITH_E_IO if @file takes no more.
 */
int board_png(const struct board *board,
              const struct board_images *images,
              double scale,
              FILE *file,
              struct board_picture_said *said);

#endif
