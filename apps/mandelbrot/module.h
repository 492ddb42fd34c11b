/* The function that draws a tile for others. */
#ifndef MANDELBROT_MODULE_H
#define MANDELBROT_MODULE_H

struct kith_node;

/* Offers mandelbrot.tile on @node. Returns as kith_export(). */
int mandel_export(struct kith_node *node);

#endif
