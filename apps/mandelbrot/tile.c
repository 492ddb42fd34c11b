#include "tile.h"

#include <assert.h>
#include <kith/error.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARGUMENT_VERSION     1u
#define ARGUMENT_NO_SHORTCUT 1u
#define REPLY_VERSION        1u

bool mandel_view_check(const struct mandel_view *view, char *why)
{
    const char *what = NULL;

    if (!isfinite(view->re) || !isfinite(view->im) || fabs(view->re) > MANDEL_CENTER_MAX ||
        fabs(view->im) > MANDEL_CENTER_MAX)
        what = "the center must lie within -1000 and 1000 on both axes";
    else if (!isfinite(view->span) || view->span < MANDEL_SPAN_MIN || view->span > MANDEL_SPAN_MAX)
        what = "the span must be between 1e-100 and 1000";
    else if (view->width == 0 || view->height == 0 || view->width > MANDEL_SIDE_MAX ||
             view->height > MANDEL_SIDE_MAX)
        what = "width and height must be between 1 and 65535";
    else if ((uint64_t)view->width * view->height > MANDEL_PIXELS_MAX)
        what = "the picture has more than 1073741824 pixels";
    else if (view->iterations == 0 || view->iterations > MANDEL_ITERATIONS_MAX)
        what = "the iterations must be between 1 and 1000000000";
    if (what)
        (void)snprintf(why, MANDEL_WHY_BYTES, "%s", what);
    return !what;
}

void mandel_columns(const struct mandel_view *view, uint32_t x, uint32_t n, double *re)
{
    double step = view->span / view->width;

    for (uint32_t i = 0; i < n; i++)
        re[i] = view->re + (((double)(x + i) + 0.5) - (double)view->width * 0.5) * step;
}

void mandel_rows(const struct mandel_view *view, uint32_t y, uint32_t n, double *im)
{
    double step = view->span / view->width;

    for (uint32_t i = 0; i < n; i++)
        im[i] = view->im - (((double)(y + i) + 0.5) - (double)view->height * 0.5) * step;
}

int mandel_draw(const struct mandel_kernel *kernel,
                const struct mandel_view *view,
                const struct mandel_rect *rect,
                bool (*cancelled)(void *user),
                void *user,
                uint16_t *shades)
{
    double re[MANDEL_TILE_MAX], im[MANDEL_TILE_MAX];
    size_t pixels = (size_t)rect->width * rect->height;

    assert(rect->width <= MANDEL_TILE_MAX);
    assert(rect->height <= MANDEL_TILE_MAX);
    double *norms = malloc(pixels * sizeof(*norms));
    uint32_t *counts = malloc(pixels * sizeof(*counts));
    struct mandel_points points = {.re = re,
                                   .im = im,
                                   .width = rect->width,
                                   .height = rect->height,
                                   .iterations = view->iterations,
                                   .shortcuts = view->shortcuts,
                                   .cancelled = cancelled,
                                   .user = user};
    int r = KITH_E_MEMORY;
    if (norms && counts) {
        mandel_columns(view, rect->x, rect->width, re);
        mandel_rows(view, rect->y, rect->height, im);
        r = kernel->count(&points, counts, norms);
        if (!r)
            kernel->shade(counts, norms, pixels, shades);
    }
    free(norms);
    free(counts);
    return r;
}

static void put_u32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get_u32(const uint8_t *in)
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

static void put_f64(uint8_t *out, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    put_u32(out, (uint32_t)bits);
    put_u32(out + 4, (uint32_t)(bits >> 32));
}

static double get_f64(const uint8_t *in)
{
    uint64_t bits = get_u32(in) | (uint64_t)get_u32(in + 4) << 32;
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

void mandel_argument_pack(const struct mandel_view *view,
                          const struct mandel_rect *rect,
                          uint8_t out[MANDEL_ARGUMENT_BYTES])
{
    put_u32(out, ARGUMENT_VERSION);
    put_u32(out + 4, view->shortcuts ? 0 : ARGUMENT_NO_SHORTCUT);
    put_f64(out + 8, view->re);
    put_f64(out + 16, view->im);
    put_f64(out + 24, view->span);
    put_u32(out + 32, view->width);
    put_u32(out + 36, view->height);
    put_u32(out + 40, rect->x);
    put_u32(out + 44, rect->y);
    put_u32(out + 48, rect->width);
    put_u32(out + 52, rect->height);
    put_u32(out + 56, view->iterations);
    put_u32(out + 60, 0);
}

bool mandel_argument_unpack(
    const void *data, size_t len, struct mandel_view *view, struct mandel_rect *rect, char *why)
{
    const uint8_t *in = data;

    if (len != MANDEL_ARGUMENT_BYTES) {
        (void)snprintf(why, MANDEL_WHY_BYTES, "the argument has %zu bytes instead of %d", len,
                       MANDEL_ARGUMENT_BYTES);
        return false;
    }
    if (get_u32(in) != ARGUMENT_VERSION || get_u32(in + 4) > ARGUMENT_NO_SHORTCUT ||
        get_u32(in + 60) != 0) {
        (void)snprintf(why, MANDEL_WHY_BYTES,
                       "the argument is of version %u, flags %u; this node draws version %u: use "
                       "the same release everywhere",
                       get_u32(in), get_u32(in + 4), ARGUMENT_VERSION);
        return false;
    }
    *view = (struct mandel_view){.re = get_f64(in + 8),
                                 .im = get_f64(in + 16),
                                 .span = get_f64(in + 24),
                                 .width = get_u32(in + 32),
                                 .height = get_u32(in + 36),
                                 .iterations = get_u32(in + 56),
                                 .shortcuts = get_u32(in + 4) == 0};
    *rect = (struct mandel_rect){get_u32(in + 40), get_u32(in + 44), get_u32(in + 48),
                                 get_u32(in + 52)};
    if (!mandel_view_check(view, why))
        return false;
    if (rect->width == 0 || rect->height == 0 || rect->width > MANDEL_TILE_MAX ||
        rect->height > MANDEL_TILE_MAX || rect->x >= view->width || rect->y >= view->height ||
        rect->width > view->width - rect->x || rect->height > view->height - rect->y) {
        (void)snprintf(why, MANDEL_WHY_BYTES,
                       "the tile %ux%u at %u,%u is empty, above %ux%u or outside the picture",
                       rect->width, rect->height, rect->x, rect->y, MANDEL_TILE_MAX,
                       MANDEL_TILE_MAX);
        return false;
    }
    return true;
}

#define SMALL_MIN    (-64)
#define SMALL_MAX    63
#define MEDIUM       0x80
#define MEDIUM_MIN   (-8192)
#define MEDIUM_MAX   8191
#define RUN          0xc0
#define RUN_MIN      2
#define RUN_MAX      49
#define LONG_RUN     0xf0
#define LONG_RUN_MIN 50
#define LONG_RUN_MAX (LONG_RUN_MIN + 14 * 256 + 255)
#define RAW          0xff

static_assert(RUN + RUN_MAX - RUN_MIN == LONG_RUN - 1, "runs fill their range");
static_assert(LONG_RUN + ((LONG_RUN_MAX - LONG_RUN_MIN) >> 8) == RAW - 1, "long runs too");

static uint8_t *put_run(uint8_t *out, size_t run)
{
    while (run > 0) {
        if (run >= LONG_RUN_MIN) {
            size_t part = run < LONG_RUN_MAX ? run : LONG_RUN_MAX;
            *out++ = (uint8_t)(LONG_RUN + ((part - LONG_RUN_MIN) >> 8));
            *out++ = (uint8_t)(part - LONG_RUN_MIN);
            run -= part;
        } else if (run >= RUN_MIN) {
            *out++ = (uint8_t)(RUN + run - RUN_MIN);
            run = 0;
        } else {
            *out++ = (uint8_t)-SMALL_MIN;
            run = 0;
        }
    }
    return out;
}

static uint8_t *put_shade(uint8_t *out, int left, int shade)
{
    int difference = shade - left;

    if (difference >= SMALL_MIN && difference <= SMALL_MAX) {
        *out++ = (uint8_t)(difference - SMALL_MIN);
    } else if (difference >= MEDIUM_MIN && difference <= MEDIUM_MAX) {
        unsigned bits = (unsigned)(difference - MEDIUM_MIN);
        *out++ = (uint8_t)(MEDIUM | bits >> 8);
        *out++ = (uint8_t)bits;
    } else {
        *out++ = RAW;
        *out++ = (uint8_t)shade;
        *out++ = (uint8_t)(shade >> 8);
    }
    return out;
}

size_t mandel_reply_encode(
    const uint16_t *shades, uint32_t width, uint32_t height, uint32_t draw_us, uint8_t *out)
{
    uint8_t *at = out + MANDEL_REPLY_HEAD_BYTES;
    uint16_t left = 0;
    size_t run = 0;

    put_u32(out, REPLY_VERSION);
    put_u32(out + 4, draw_us);
    for (uint32_t y = 0; y < height; y++) {
        const uint16_t *row = shades + (size_t)y * width;
        if (y > 0)
            left = row[-(ptrdiff_t)width];
        for (uint32_t x = 0; x < width; x++) {
            if (row[x] == left) {
                run++;
                continue;
            }
            if (run) {
                at = put_run(at, run);
                run = 0;
            }
            at = put_shade(at, left, row[x]);
            left = row[x];
        }
    }
    at = put_run(at, run);
    return (size_t)(at - out);
}

/* The next difference or run of a reply. False at its end and where it is damaged. */
static bool get_token(const uint8_t **in, const uint8_t *end, int left, int *shade, size_t *run)
{
    const uint8_t *at = *in;

    if (at == end)
        return false;
    unsigned token = *at++;
    *run = 1;
    if (token < MEDIUM) {
        *shade = left + (int)token + SMALL_MIN;
    } else if (token >= RUN && token < LONG_RUN) {
        *shade = left;
        *run = token - RUN + RUN_MIN;
    } else {
        size_t more = token == RAW ? 2 : 1;
        if ((size_t)(end - at) < more)
            return false;
        if (token < RUN) {
            *shade = left + (int)((token & 0x3f) << 8 | at[0]) + MEDIUM_MIN;
        } else if (token < RAW) {
            *shade = left;
            *run = ((size_t)(token - LONG_RUN) << 8 | at[0]) + LONG_RUN_MIN;
        } else {
            *shade = at[0] | at[1] << 8;
        }
        at += more;
    }
    *in = at;
    return *shade >= 0 && *shade <= UINT16_MAX;
}

bool mandel_reply_decode(const void *data,
                         size_t len,
                         uint32_t width,
                         uint32_t height,
                         uint16_t *shades,
                         size_t stride,
                         uint32_t *draw_us_out)
{
    const uint8_t *in = data;
    const uint8_t *end = in + len;
    size_t run = 0;
    int left = 0;
    int shade = 0;

    if (len < MANDEL_REPLY_HEAD_BYTES || get_u32(in) != REPLY_VERSION)
        return false;
    *draw_us_out = get_u32(in + 4);
    in += MANDEL_REPLY_HEAD_BYTES;
    for (uint32_t y = 0; y < height; y++) {
        uint16_t *row = shades + y * stride;
        if (y > 0)
            left = row[-(ptrdiff_t)stride];
        for (uint32_t x = 0; x < width; x++) {
            /* a run means "as the one on the left", which changes at the start of a row */
            if (run > 0)
                shade = left;
            else if (!get_token(&in, end, left, &shade, &run))
                return false;
            run--;
            left = shade;
            row[x] = (uint16_t)shade;
        }
    }
    return in == end && run == 0;
}
