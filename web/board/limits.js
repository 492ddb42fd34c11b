// Every limit of a board, with its reason. apps/whiteboard/limits.h has the same; a test compares them.

/** Name of a board: a folder of the catalogue, and a part of an address. */
export const BOARD_NAME_BYTES_MAX = 64;
/** Name of a writer or a machine, as others see it. */
export const BOARD_PERSON_BYTES_MAX = 64;
/** Title of a board: one line of the list. */
export const BOARD_TITLE_BYTES_MAX = 128;
/** Text of one element: some pages; the page breaks its lines. */
export const BOARD_TEXT_BYTES_MAX = 8192;
/** Points of one stroke: a minute of a fast pen. A longer one goes on as the next stroke, joined to it. */
export const BOARD_POINTS_MAX = 4096;
/** One operation: the longest stroke (11 bytes a point at the very worst) and the largest set of ids both fit. */
export const BOARD_RECORD_BYTES_MAX = 256 * 1024;
/** Operations of one writer on one board: a year of drawing. Higher counters are not decoded, so the bound holds in any order. */
export const BOARD_COUNTER_MAX = 1 << 20;
/** Operations of one action, which one undo takes back: what is pasted, or a stroke in many parts. */
export const BOARD_ACTION_MAX = 4096;
/** Writers named in one set of ids. */
export const BOARD_SET_WRITERS_MAX = 1024;
/** Ranges in one set of ids: everything of a large board, half of it gone. */
export const BOARD_SET_RANGES_MAX = 16384;
/** Writers of one board: files in its folder. */
export const BOARD_WRITERS_MAX = 4096;
/** One log file; a full one is not appended to, its writer begins another one. */
export const BOARD_LOG_BYTES_MAX = 64 * 1024 * 1024;
/** Coordinates, in sixteenths of a unit: far enough from 2^31 that sums fit. */
export const BOARD_COORD_MAX = 1 << 28;
/** Width of a line and size of a text, in sixteenths of a unit. */
export const BOARD_WIDTH_MAX = 16384;
/** Colours of the palette; what they look like is the theme's business. */
export const BOARD_COLOURS_N = 12;
/** A factor of a transformation, in 65536ths: 64 times larger in one step. */
export const BOARD_FACTOR_MAX = 64 * 65536;
/** Entries of the product of all transformations of an element; beyond it, it is not shown. */
export const BOARD_MATRIX_MAX = 1e9;
/** Clock: microseconds since 1970; all of them are exact in a double. */
export const BOARD_CLOCK_MAX = 2 ** 53 - 1;
/** How far ahead of its own clock a writer follows others': a wrong clock must not take everybody along. */
export const BOARD_CLOCK_AHEAD_US = 24 * 3600 * 1e6;
/** An image that is pasted, before it is stored as a file. */
export const BOARD_IMAGE_BYTES_MAX = 15 * 1024 * 1024;
/** One live message: 33 ms of the fastest pen, many times over. */
export const LIVE_BYTES_MAX = 8 * 1024;
/** Points in one live message. */
export const LIVE_POINTS_MAX = 512;
/** People shown at once; those heard of last. */
export const LIVE_PEERS_MAX = 64;
/** Unfinished strokes of one person that are shown. */
export const LIVE_DRAFTS_MAX = 4;
/** Points of one person's laser that are shown: those of its 1.3 s at twice what a pen tells. */
export const LIVE_LASER_MAX = 1024;
/** Who was not heard for so long is gone. */
export const LIVE_SILENCE_MS = 8000;
/** Operations that wait for their acknowledgement; more are refused, and the page says so. */
export const OUTBOX_BYTES_MAX = 4 * 1024 * 1024;
