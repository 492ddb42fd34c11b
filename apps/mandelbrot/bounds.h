/* What a picture and a tile may be; checked where they are asked for and where they are drawn. */
#ifndef MANDELBROT_BOUNDS_H
#define MANDELBROT_BOUNDS_H

#define MANDEL_SIDE_MAX       65535u      /* PNG readers everywhere take that much */
#define MANDEL_PIXELS_MAX     (1u << 30)  /* 2 GiB while it is drawn */
#define MANDEL_ITERATIONS_MAX 1000000000u /* counts and shades are made for up to 2^30 */
#define MANDEL_TILE_MIN       8u          /* below it the cost of a call is all one sees */
#define MANDEL_TILE_MAX       1024u       /* a reply is 3 MiB at the very most */
#define MANDEL_TILES_MAX      (1u << 20)
#define MANDEL_CENTER_MAX     1000.0 /* the set lies within 2 */
#define MANDEL_SPAN_MAX       1000.0
#define MANDEL_SPAN_MIN       1e-100 /* doubles tell no points apart far above it */
#define MANDEL_THREADS_MAX    1024u
#define MANDEL_NODES_MAX      4096u /* nodes told apart in one picture */

#endif
