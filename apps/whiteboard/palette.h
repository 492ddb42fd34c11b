/*
 * What the twelve colours look like on white paper: web/board/palette.js has the same.
 */
#ifndef WHITEBOARD_PALETTE_H
#define WHITEBOARD_PALETTE_H

#include "limits.h"

#define BOARD_PAPER             "#ffffff"
#define BOARD_HIGHLIGHT_OPACITY 0.35
#define BOARD_MARGIN            16 /* units around what is to be seen */

extern const char *const board_ink[BOARD_COLOURS_N];  /* of lines and letters */
extern const char *const board_soft[BOARD_COLOURS_N]; /* of areas and notes */

#endif
