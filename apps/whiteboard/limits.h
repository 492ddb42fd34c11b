/*
 * Every limit of a board, with its reason. web/board/limits.js has the same; a test compares them.
 */
#ifndef WHITEBOARD_LIMITS_H
#define WHITEBOARD_LIMITS_H

/* Name of a board: a folder of the catalogue, and a part of an address. */
#define BOARD_NAME_BYTES_MAX 64
/* Name of a writer or a machine, as others see it. */
#define BOARD_PERSON_BYTES_MAX 64
/* Title of a board: one line of the list. */
#define BOARD_TITLE_BYTES_MAX 128
/* Text of one element: some pages; the page breaks its lines. */
#define BOARD_TEXT_BYTES_MAX 8192
/* Points of one stroke: a minute of a fast pen. A longer one goes on as the next stroke, joined to
 * it. */
#define BOARD_POINTS_MAX 4096
/* One operation: the longest stroke (11 bytes a point at the very worst) and the largest set of ids
 * both fit. */
#define BOARD_RECORD_BYTES_MAX (256 * 1024)
/* Operations of one writer on one board: a year of drawing. Higher counters are not decoded, so the
 * bound holds in any order. */
#define BOARD_COUNTER_MAX (1 << 20)
/* Operations of one action, which one undo takes back: what is pasted, or a stroke in many parts.
 */
#define BOARD_ACTION_MAX 4096
/* Writers named in one set of ids. */
#define BOARD_SET_WRITERS_MAX 1024
/* Ranges in one set of ids: everything of a large board, half of it gone. */
#define BOARD_SET_RANGES_MAX 16384
/* Writers of one board: files in its folder. */
#define BOARD_WRITERS_MAX 4096
/* One log file; a full one is not appended to, its writer begins another one. */
#define BOARD_LOG_BYTES_MAX (64 * 1024 * 1024)
/* Coordinates, in sixteenths of a unit: far enough from 2^31 that sums fit. */
#define BOARD_COORD_MAX (1 << 28)
/* Width of a line and size of a text, in sixteenths of a unit. */
#define BOARD_WIDTH_MAX 16384
/* Colours of the palette; what they look like is the theme's business. */
#define BOARD_COLOURS_N 12
/* A factor of a transformation, in 65536ths: 64 times larger in one step. */
#define BOARD_FACTOR_MAX (64 * 65536)
/* Entries of the product of all transformations of an element; beyond it, it is not shown. */
#define BOARD_MATRIX_MAX 1e9
/* Clock: microseconds since 1970; all of them are exact in a double. */
#define BOARD_CLOCK_MAX ((UINT64_C(1) << 53) - 1)
/* One operation times one element that it touches, or one undo times one operation: what a merge
 * does at most. A log that asks for more was made to cost. */
#define BOARD_EFFECTS_MAX (64 * 1024 * 1024)

#endif
