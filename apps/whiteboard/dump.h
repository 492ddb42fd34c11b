/*
 * A board as text, a line an element, exact to the last bit: by this two boards are compared, also
 * with what web/board/merge.js makes of the same logs.
 */
#ifndef WHITEBOARD_DUMP_H
#define WHITEBOARD_DUMP_H

#include "merge.h"
#include "out.h"

void board_dump(const struct board *board, struct board_out *out);

#endif
