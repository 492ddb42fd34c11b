/* The function that draws a tile for others. */
#ifndef MANDELBROT_MODULE_H
#define MANDELBROT_MODULE_H

#include <stdint.h>

struct kith_node;

/* Offers mandelbrot.tile on @node. Returns as kith_export(). */
int mandel_export(struct kith_node *node);

/*
 * For tests: @cb hears on whatever thread which rows of the picture are about to be drawn, and that
 * those of the tile before row @acked_y are acknowledged. NULL: nobody.
 */
typedef void (*mandel_rows_cb)(
    struct kith_node *node, uint32_t y, uint32_t rows_n, uint32_t acked_y, void *user);
void mandel_watch_rows(mandel_rows_cb cb, void *user);

#endif
