/*
 * The module of the agents: exports mandelbrot.tile. The same function is what the program exports
 * itself when no agent has it.
 */
#include "module.h"

#include "tile_state.h"

#include <kith.h>
#include <stdlib.h>
#include <time.h>

/* How often the finished rows of a tile are saved: what is drawn in less is drawn again. */
#define SAVE_US 50000
/* How long a band takes about, and the fewest rows of one: at the end of each the kernel idles. */
#define BAND_US       10000
#define BAND_ROWS_MIN 4

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

static mandel_rows_cb rows_cb;
static void *rows_user;

void mandel_watch_rows(mandel_rows_cb cb, void *user)
{
    rows_cb = cb;
    rows_user = user;
}

/* A tile on its way. */
struct work {
    struct kith_ctx *ctx;
    const struct mandel_view *view;
    const struct mandel_rect *rect;
    uint16_t *shades;
    uint8_t *state; /* room for one */
    uint32_t done;  /* rows */
    uint64_t saved_us;
    int64_t save_no; /* the last one */
    uint32_t saved;  /* rows in it */
    uint32_t acked;  /* rows that another node has for sure */
};

/* Without a save nothing breaks: if this node is lost, more is drawn again. */
static void save(struct work *work, uint64_t now)
{
    if (work->save_no > 0 && kith_state_acked(work->ctx) >= work->save_no)
        work->acked = work->saved;
    if (now - work->saved_us < SAVE_US || work->done == work->rect->height)
        return;
    size_t len = mandel_state_encode(work->shades, work->rect->width, work->done, work->state);
    int64_t no = kith_state_save(work->ctx, work->state, len);
    work->saved_us = now;
    if (no < 0)
        return;
    work->save_no = no;
    work->saved = work->done;
}

/*
 * Band after band: rows enough for the kernel to run well, yet few enough to be saved in time.
 */
static int draw(struct work *work)
{
    uint32_t band = BAND_ROWS_MIN;

    while (work->done < work->rect->height) {
        struct mandel_rect rows = *work->rect;
        uint64_t start_us = now_us();
        rows.y += work->done;
        rows.height = work->rect->height - work->done;
        if (rows.height > band)
            rows.height = band;
        if (rows_cb)
            rows_cb(kith_ctx_node(work->ctx), rows.y, rows.height, work->rect->y + work->acked,
                    rows_user);
        int r = mandel_draw(mandel_kernel_best(), work->view, &rows, tile_cancelled, work->ctx,
                            work->shades + (size_t)work->done * work->rect->width);
        if (r)
            return r;
        uint64_t now = now_us();
        if (now - start_us < BAND_US)
            band *= 2;
        else if (band > BAND_ROWS_MIN && now - start_us > 4 * BAND_US)
            band /= 2;
        work->done += rows.height;
        save(work, now);
    }
    return 0;
}

static void resume(struct work *work)
{
    const void *data;
    size_t len;

    if (kith_state_resume(work->ctx, &data, &len) == 0)
        work->done =
            mandel_state_decode(data, len, work->rect->width, work->rect->height, work->shades);
    work->saved = work->acked = work->done;
}

static void
tile_reply(struct kith_ctx *ctx, const struct mandel_view *view, const struct mandel_rect *rect)
{
    size_t pixels = (size_t)rect->width * rect->height;
    uint64_t start_us = now_us();
    struct work work = {.ctx = ctx, .view = view, .rect = rect, .saved_us = start_us};
    int r = KITH_E_MEMORY;

    work.shades = malloc(pixels * sizeof(*work.shades));
    work.state = malloc(MANDEL_STATE_BYTES_MAX(pixels)); /* for the reply in the end */
    if (work.shades && work.state) {
        resume(&work);
        r = draw(&work);
    }
    if (r) {
        free(work.state);
        free(work.shades);
        (void)kith_fail(ctx, r, kith_strerror(r));
        return;
    }
    uint64_t draw_us = now_us() - start_us;
    size_t len =
        mandel_reply_encode(work.shades, rect->width, rect->height,
                            draw_us < UINT32_MAX ? (uint32_t)draw_us : UINT32_MAX, work.state);
    free(work.shades);
    (void)kith_reply_take(ctx, work.state, len);
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
