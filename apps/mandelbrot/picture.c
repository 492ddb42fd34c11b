#include "picture.h"

#include <assert.h>
#include <kith/error.h>
#include <stdlib.h>
#include <string.h>

/* Points looked at in a tile, in each direction, and how long; a guess need not be good. */
#define SAMPLES            4u
#define SAMPLES_MANY_TILES 1u
#define MANY_TILES         65536u
#define SAMPLE_ITERATIONS  256u

struct mandel_rect picture_rect(const struct picture *picture, uint32_t no)
{
    struct mandel_rect rect = {.x = no % picture->tiles_x * picture->tile,
                               .y = no / picture->tiles_x * picture->tile,
                               .width = picture->tile,
                               .height = picture->tile};

    if (rect.width > picture->view.width - rect.x)
        rect.width = picture->view.width - rect.x;
    if (rect.height > picture->view.height - rect.y)
        rect.height = picture->view.height - rect.y;
    return rect;
}

uint16_t *picture_at(struct picture *picture, uint32_t no)
{
    struct mandel_rect rect = picture_rect(picture, no);

    return picture->shades + (size_t)rect.y * picture->view.width + rect.x;
}

/* What a point costs that was followed for @sampled iterations and had @count. */
static uint64_t point_cost(const struct mandel_view *view, double re, double im, uint32_t count)
{
    if (count)
        return count;
    if (!view->shortcuts)
        return view->iterations;
    /* a point that is inside by formula costs nothing, others are caught in a cycle at some time */
    if (mandel_point_inside(re, im))
        return 1;
    return view->iterations < 1000 ? view->iterations : 1000;
}

/* One row of tiles: samples them all in one go. */
static int row_cost(struct picture *picture, uint32_t tile_y, uint32_t samples, double *re)
{
    const struct mandel_kernel *kernel = mandel_kernel_best();
    uint32_t n = picture->tiles_x * samples;
    double im[SAMPLES];
    struct mandel_points points = {.re = re, .im = im, .width = n, .height = samples};
    int r = KITH_E_MEMORY;

    assert(n > 0);
    uint32_t *counts = malloc((size_t)n * samples * sizeof(*counts));
    double *norms = malloc((size_t)n * samples * sizeof(*norms));
    points.iterations =
        picture->view.iterations < SAMPLE_ITERATIONS ? picture->view.iterations : SAMPLE_ITERATIONS;
    points.shortcuts = true;
    for (uint32_t i = 0; i < samples; i++) {
        uint32_t y = tile_y * picture->tile + (2 * i + 1) * picture->tile / (2 * samples);
        mandel_rows(&picture->view, y < picture->view.height ? y : picture->view.height - 1, 1,
                    &im[i]);
    }
    if (counts && norms)
        r = kernel->count(&points, counts, norms);
    for (uint32_t i = 0; !r && i < n * samples; i++) {
        uint32_t no = tile_y * picture->tiles_x + i % n / samples;
        uint64_t cost =
            picture->cost[no] +
            point_cost(&picture->view, re[i % n], im[i / n], counts[i]) / (samples * samples);
        picture->cost[no] = cost < UINT32_MAX ? (uint32_t)cost : UINT32_MAX;
    }
    free(counts);
    free(norms);
    return r;
}

static int estimate(struct picture *picture)
{
    uint32_t samples = picture->tiles_n > MANY_TILES ? SAMPLES_MANY_TILES : SAMPLES;
    double *re = malloc((size_t)picture->tiles_x * samples * sizeof(*re));
    int r = re ? 0 : KITH_E_MEMORY;

    for (uint32_t no = 0; no < picture->tiles_n; no++)
        picture->cost[no] = 1 + picture->view.iterations / 1000;
    for (uint32_t i = 0; !r && i < picture->tiles_x * samples; i++) {
        uint32_t x =
            i / samples * picture->tile + (2 * (i % samples) + 1) * picture->tile / (2 * samples);
        mandel_columns(&picture->view, x < picture->view.width ? x : picture->view.width - 1, 1,
                       &re[i]);
    }
    for (uint32_t y = 0; !r && y < picture->tiles_y; y++)
        r = row_cost(picture, y, samples, re);
    free(re);
    return r;
}

struct ranked {
    uint32_t no;
    uint32_t cost;
};

static int dearest_first(const void *a, const void *b)
{
    const struct ranked *left = a;
    const struct ranked *right = b;

    if (left->cost != right->cost)
        return left->cost > right->cost ? -1 : 1;
    return left->no < right->no ? -1 : 1;
}

static int rank(struct picture *picture)
{
    struct ranked *ranked = malloc(picture->tiles_n * sizeof(*ranked));

    if (!ranked)
        return KITH_E_MEMORY;
    for (uint32_t no = 0; no < picture->tiles_n; no++) {
        ranked[no] = (struct ranked){no, picture->cost[no]};
        picture->cost_all += picture->cost[no];
    }
    qsort(ranked, picture->tiles_n, sizeof(*ranked), dearest_first);
    for (uint32_t i = 0; i < picture->tiles_n; i++)
        picture->order[i] = ranked[i].no;
    free(ranked);
    return 0;
}

int picture_init(struct picture *picture, const struct mandel_view *view, uint32_t tile)
{
    *picture = (struct picture){.view = *view, .tile = tile};
    picture->tiles_x = (view->width + tile - 1) / tile;
    picture->tiles_y = (view->height + tile - 1) / tile;
    uint64_t tiles_n = (uint64_t)picture->tiles_x * picture->tiles_y;
    if (tiles_n > MANDEL_TILES_MAX)
        return KITH_E_LIMIT;
    picture->tiles_n = (uint32_t)tiles_n;
    picture->shades = malloc((size_t)view->width * view->height * sizeof(*picture->shades));
    picture->owner = malloc(picture->tiles_n * sizeof(*picture->owner));
    picture->order = malloc(picture->tiles_n * sizeof(*picture->order));
    picture->cost = malloc(picture->tiles_n * sizeof(*picture->cost));
    if (!picture->shades || !picture->owner || !picture->order || !picture->cost)
        return KITH_E_MEMORY;
    /* touched now: what the system has to do for it does not belong to the drawing */
    memset(picture->shades, 0, (size_t)view->width * view->height * sizeof(*picture->shades));
    memset(picture->owner, 0xff, picture->tiles_n * sizeof(*picture->owner));
    int r = estimate(picture);
    return r ? r : rank(picture);
}

void picture_deinit(struct picture *picture)
{
    free(picture->shades);
    free(picture->owner);
    free(picture->order);
    free(picture->cost);
    *picture = (struct picture){0};
}

void picture_row(const struct picture *picture,
                 const struct palette *palette,
                 bool tint,
                 uint32_t y,
                 uint8_t *rgb_out)
{
    const uint16_t *row = picture->shades + (size_t)y * picture->view.width;

    for (uint32_t x = 0; x < picture->view.width; x++)
        memcpy(rgb_out + (size_t)x * 3, palette->rgb[row[x]], 3);
    if (!tint)
        return;
    for (uint32_t tile_x = 0; tile_x < picture->tiles_x; tile_x++) {
        uint32_t no = y / picture->tile * picture->tiles_x + tile_x;
        struct mandel_rect rect = picture_rect(picture, no);
        uint8_t colour[3];
        if (picture->owner[no] == PICTURE_NOBODY)
            continue;
        palette_node_colour(picture->owner[no], colour);
        for (uint32_t x = rect.x; x < rect.x + rect.width; x++)
            palette_tint(palette->rgb[row[x]], colour, rgb_out + (size_t)x * 3);
    }
}
