/*
 * The state of a tile that is being drawn: its finished rows. Whole rows only, so whoever goes on
 * from it leaves no holes; what is in a state that another node has acknowledged is never drawn
 * again.
 *
 *     u32 1 (the version), u32 rows; then, if there are any, a reply (tile.h) of so many rows
 */
#ifndef MANDELBROT_TILE_STATE_H
#define MANDELBROT_TILE_STATE_H

#include "tile.h"

#define MANDEL_STATE_HEAD_BYTES        8
#define MANDEL_STATE_BYTES_MAX(pixels) (MANDEL_STATE_HEAD_BYTES + MANDEL_REPLY_BYTES_MAX(pixels))

/* Returns the bytes written to @out, at most MANDEL_STATE_BYTES_MAX(width * rows). */
size_t mandel_state_encode(const uint16_t *shades, uint32_t width, uint32_t rows, uint8_t *out);

/* Rows that @data says it has; 0 if it is no state. */
uint32_t mandel_state_rows(const void *data, size_t len);

/*
 * Fills the finished rows of a tile of @width x @height. Returns how many they are; 0 if @data is
 * not exactly such a state (@shades may then be half filled).
 */
uint32_t mandel_state_decode(
    const void *data, size_t len, uint32_t width, uint32_t height, uint16_t *shades);

#endif
