/*
 * Images that people pasted, as surfaces of cairo: PNG, and JPEG and WebP where their libraries
 * were there at build time. What lies there was written by others: sizes are checked before
 * anything is allocated for them.
 */
#ifndef WHITEBOARD_DECODE_H
#define WHITEBOARD_DECODE_H

#include <cairo.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A camera has no more; 400 MB while it is painted. A file of 16 MiB could ask for a hundred times
 * that. */
#define BOARD_IMAGE_PIXELS_MAX (100 * 1000 * 1000)

struct decoded {
    cairo_surface_t *surface; /* the caller's */
    cairo_matrix_t turned;    /* of the square of side 1: as the camera was held */
};

/* By what is in it, whatever it is called. Returns false if it cannot be read. */
bool decode_image(const uint8_t *data, size_t len, struct decoded *out);

#ifdef KITH_BOARD_JPEG
cairo_surface_t *decode_jpeg(const uint8_t *data, size_t len, unsigned *orientation_out);
#endif

/* A surface for @width times @height pixels; NULL beyond the limit. */
cairo_surface_t *decode_surface(cairo_format_t format, uint64_t width, uint64_t height);

#endif
