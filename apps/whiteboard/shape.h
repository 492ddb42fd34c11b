/*
 * Where elements are, in numbers that come out the same as in the page (web/board/shapes.js).
 */
#ifndef WHITEBOARD_SHAPE_H
#define WHITEBOARD_SHAPE_H

#include "ink.h"
#include "merge.h"

#define BOARD_FAR            1e9 /* what is farther away is not drawn */
#define BOARD_LINE_HEIGHT    1.25
#define BOARD_STICKY_PADDING 14

struct board_box {
    double x0, y0, x1, y1;
};

struct board_frame {
    double x, y, w, h; /* w and h are not negative */
};

struct board_line {
    double x1, y1, x2, y2;
    bool has_head;
    double head[4]; /* the ends of the two strokes of an arrow's head */
};

struct board_frame board_frame_of(const struct board_element *element);
struct board_line board_line_of(const struct board_element *element);
double board_corner_of(const struct board_frame *frame);
bool board_is_identity(const double m[6]);

/*
 * Where @element is seen. @around and @around_n: its outline, if it is a stroke. Returns false if
 * it is too far away to be drawn.
 */
bool board_box_of(const struct board_element *element,
                  const struct board_point *around,
                  size_t around_n,
                  struct board_box *box_out);

/* The smallest box around both. */
struct board_box board_box_join(struct board_box a, struct board_box b);

/*
 * About where @element is seen, never less, without the work of an outline. Returns false if it is
 * too far away to be drawn.
 */
bool board_rough_box_of(const struct board_element *element, struct board_box *box_out);

/* How many bytes of the text @at, which goes to @end, end a line here: a line end, or U+2028 where
 * the page broke it; 0 if none do. */
size_t board_line_end(const char *at, const char *end);

#endif
