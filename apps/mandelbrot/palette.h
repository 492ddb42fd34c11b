/*
 * From shades to colours. Computed from a few named colours with additions and multiplications
 * only, so every machine computes the same bytes.
 */
#ifndef MANDELBROT_PALETTE_H
#define MANDELBROT_PALETTE_H

#include <stdint.h>

#define PALETTE_SHADES 65536

struct palette {
    uint8_t rgb[PALETTE_SHADES][3]; /* shade 0 is black, and no other is */
};

void palette_init(struct palette *palette);

/* The colour that stands for the @node-th node, bright and far from its neighbours'. */
void palette_node_colour(uint32_t node, uint8_t rgb_out[3]);

/* Mixes @tint into a colour; black stays black and nothing else becomes it. */
void palette_tint(const uint8_t rgb[3], const uint8_t tint[3], uint8_t rgb_out[3]);

#endif
