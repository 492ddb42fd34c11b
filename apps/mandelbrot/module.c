/*
 * The module of the agents: exports mandelbrot.tile. The same function is what the program exports
 * itself when no agent has it.
 */
#include "module.h"

#include "tile.h"

#include <kith.h>
#include <stdlib.h>
#include <time.h>

static bool tile_cancelled(void *user)
{
    return kith_ctx_cancelled(user);
}

static uint64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void
tile_reply(struct kith_ctx *ctx, const struct mandel_view *view, const struct mandel_rect *rect)
{
    size_t pixels = (size_t)rect->width * rect->height;
    uint64_t start_us = now_us();
    uint16_t *shades = malloc(pixels * sizeof(*shades));
    uint8_t *reply = malloc(MANDEL_REPLY_BYTES_MAX(pixels));
    int r = KITH_E_MEMORY;

    if (shades && reply)
        r = mandel_draw(mandel_kernel_best(), view, rect, tile_cancelled, ctx, shades);
    if (r) {
        free(reply);
        free(shades);
        (void)kith_fail(ctx, r, kith_strerror(r));
        return;
    }
    uint64_t draw_us = now_us() - start_us;
    size_t len = mandel_reply_encode(shades, rect->width, rect->height,
                                     draw_us < UINT32_MAX ? (uint32_t)draw_us : UINT32_MAX, reply);
    free(shades);
    (void)kith_reply_take(ctx, reply, len);
}

static int tile(struct kith_ctx *ctx, const void *arg, size_t arg_len, void *user)
{
    struct mandel_view view;
    struct mandel_rect rect;
    char why[MANDEL_WHY_BYTES];

    (void)user;
    if (!mandel_argument_unpack(arg, arg_len, &view, &rect, why))
        (void)kith_fail(ctx, KITH_E_INVALID, why);
    else
        tile_reply(ctx, &view, &rect);
    return 0;
}

int mandel_export(struct kith_node *node)
{
    const struct kith_export export = {
        .name = MANDEL_FUNCTION,
        .version = MANDEL_FUNCTION_VERSION,
        .description = "draws a tile of the Mandelbrot set",
        .flags = KITH_FN_IDEMPOTENT,
        .fn = tile,
    };

    return kith_export(node, &export);
}
