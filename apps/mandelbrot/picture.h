/*
 * A picture on its way: its tiles, in which order they are best drawn, who drew which, and the
 * shades that have come in. Not thread-safe but for picture_place() of different tiles.
 */
#ifndef MANDELBROT_PICTURE_H
#define MANDELBROT_PICTURE_H

#include "palette.h"
#include "tile.h"

struct picture {
    struct mandel_view view;
    uint32_t tile; /* side of a tile */
    uint32_t tiles_x;
    uint32_t tiles_y;
    uint32_t tiles_n;
    uint16_t *shades; /* view.width * view.height */
    uint16_t *owner;  /* tile -> number of the node that drew it; PICTURE_NOBODY */
    uint32_t *order;  /* the tiles, dearest first: what is left at the end is quickly done */
    uint32_t *cost;   /* tile -> estimated time to draw it, in arbitrary units, at least 1 */
    uint64_t cost_all;
};

#define PICTURE_NOBODY UINT16_MAX

/*
 * Prepares a picture of @view in tiles of @tile pixels: lays the tiles out and estimates what each
 * costs from a few of its points. Returns 0, KITH_E_LIMIT (more than MANDEL_TILES_MAX tiles) or
 * KITH_E_MEMORY. picture_deinit() in any case.
 */
int picture_init(struct picture *picture, const struct mandel_view *view, uint32_t tile);
void picture_deinit(struct picture *picture);

/* Where tile @no lies. Tiles are numbered row by row from the top. */
struct mandel_rect picture_rect(const struct picture *picture, uint32_t no);

/* Its first shade; rows are view.width apart. */
uint16_t *picture_at(struct picture *picture, uint32_t no);

/*
 * The colours of row @y into @rgb_out (3 * width bytes); with @tint mixed with those of the nodes
 * that drew them.
 */
void picture_row(const struct picture *picture,
                 const struct palette *palette,
                 bool tint,
                 uint32_t y,
                 uint8_t *rgb_out);

#endif
