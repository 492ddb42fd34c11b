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

#define QUAD          0u
#define PAIR          81u
#define QUAD_OF_ZEROS 40u
#define SINGLE        202u
#define SINGLE_MIN    (-4096)
#define SINGLE_MAX    4095
#define RUN           234u
#define RUN_MIN       8u
#define RUN_MAX       (RUN_MIN + 15 * 256 + 255)
#define RAW           250u

static_assert(QUAD + 3 * 3 * 3 * 3 == PAIR, "four of base 3");
static_assert(PAIR + 11 * 11 == SINGLE, "two of base 11");
static_assert(SINGLE + ((SINGLE_MAX - SINGLE_MIN) >> 8) == RUN - 1, "13 bits");
static_assert(RUN + ((RUN_MAX - RUN_MIN) >> 8) == RAW - 1, "12 bits");
static_assert(RUN_MAX >= MANDEL_TILE_MAX, "a row is one run at most");

/* What the first row is compared with. */
static const uint16_t no_row[MANDEL_TILE_MAX];

/* True if @n differences at @d are all within -@most and @most. */
static inline bool all_within(const int32_t *d, uint32_t n, int32_t most)
{
    bool within = true;

    for (uint32_t i = 0; i < n; i++)
        within &= (uint32_t)(d[i] + most) <= (uint32_t)(2 * most);
    return within;
}

static uint32_t zeros_n(const int32_t *d, uint32_t n)
{
    uint32_t i = 0;

    while (i < n && d[i] == 0)
        i++;
    return i;
}

/* Writes a code for the first of @n differences @d to shades @row. Returns how many it stands for.
 */
static inline uint32_t put_code(uint8_t **out, const int32_t *d, const uint16_t *row, uint32_t n)
{
    uint8_t *at = *out;
    uint32_t taken = 1;

    if (n >= 4 && all_within(d, 4, 1)) {
        uint32_t code = (uint32_t)(d[0] + 1 + 3 * (d[1] + 1) + 9 * (d[2] + 1) + 27 * (d[3] + 1));
        uint32_t zeros = code == QUAD_OF_ZEROS ? zeros_n(d, n) : 0;
        if (zeros >= RUN_MIN) {
            *at++ = (uint8_t)(RUN + ((zeros - RUN_MIN) >> 8));
            *at++ = (uint8_t)(zeros - RUN_MIN);
            taken = zeros;
        } else {
            *at++ = (uint8_t)(QUAD + code);
            taken = 4;
        }
    } else if (n >= 2 && all_within(d, 2, 5)) {
        *at++ = (uint8_t)((int)PAIR + d[0] + 5 + 11 * (d[1] + 5));
        taken = 2;
    } else if (d[0] >= SINGLE_MIN && d[0] <= SINGLE_MAX) {
        *at++ = (uint8_t)(SINGLE + ((uint32_t)(d[0] - SINGLE_MIN) >> 8));
        *at++ = (uint8_t)(d[0] - SINGLE_MIN);
    } else {
        *at++ = RAW;
        *at++ = (uint8_t)row[0];
        *at++ = (uint8_t)(row[0] >> 8);
    }
    *out = at;
    return taken;
}

size_t mandel_reply_encode(
    const uint16_t *shades, uint32_t width, uint32_t height, uint32_t draw_us, uint8_t *out)
{
    int32_t d[MANDEL_TILE_MAX];
    const uint16_t *above = no_row;
    uint8_t *at = out + MANDEL_REPLY_HEAD_BYTES;

    assert(width <= MANDEL_TILE_MAX);
    put_u32(out, REPLY_VERSION);
    put_u32(out + 4, draw_us);
    for (uint32_t y = 0; y < height; y++) {
        const uint16_t *row = shades + (size_t)y * width;
        d[0] = row[0] - above[0];
        for (uint32_t x = 1; x < width; x++)
            d[x] = (row[x] - row[x - 1]) - (above[x] - above[x - 1]);
        for (uint32_t x = 0; x < width;)
            x += put_code(&at, &d[x], &row[x], width - x);
        above = row;
    }
    return (size_t)(at - out);
}

/* The differences that a code below PAIR stands for. */
#define QUAD_1(n)                                                                                  \
    {                                                                                              \
        (n) % 3 - 1, (n) / 3 % 3 - 1, (n) / 9 % 3 - 1, (n) / 27 - 1                                \
    }
#define QUAD_3(n)  QUAD_1(n), QUAD_1((n) + 1), QUAD_1((n) + 2)
#define QUAD_9(n)  QUAD_3(n), QUAD_3((n) + 3), QUAD_3((n) + 6)
#define QUAD_27(n) QUAD_9(n), QUAD_9((n) + 9), QUAD_9((n) + 18)
static const int8_t quads[PAIR][4] = {QUAD_27(0), QUAD_27(27), QUAD_27(54)};

/* A row that is being read. */
struct reader {
    const uint8_t *in;
    const uint8_t *end;
    const uint16_t *above;
    uint16_t *row;
    uint32_t width;
    int32_t left;  /* less the one above it: what the next differs by if the code says 0 */
    int32_t range; /* a shade below 0 or above 65,535 leaves a bit up there */
};

static inline void put(struct reader *reader, uint32_t x, int32_t difference)
{
    int32_t shade = reader->above[x] + reader->left + difference;

    reader->left += difference;
    reader->range |= shade;
    reader->row[x] = (uint16_t)shade;
}

/* A code of more than one byte, at @x. Returns how many shades it stood for; 0 if it is damaged. */
static uint32_t get_long_code(struct reader *reader, uint32_t x)
{
    const uint8_t *in = reader->in;
    size_t bytes = *in == RAW ? 3 : 2;

    if (*in > RAW || (size_t)(reader->end - in) < bytes)
        return 0;
    reader->in += bytes;
    if (*in == RAW) {
        int32_t shade = in[1] | in[2] << 8;
        put(reader, x, shade - (reader->above[x] + reader->left));
        return 1;
    }
    if (*in < RUN) {
        put(reader, x, (int32_t)((*in - SINGLE) << 8 | in[1]) + SINGLE_MIN);
        return 1;
    }
    uint32_t run = ((*in - RUN) << 8 | in[1]) + RUN_MIN;
    if (run > reader->width - x)
        return 0;
    for (uint32_t i = 0; i < run; i++)
        put(reader, x + i, 0);
    return run;
}

static bool get_row(struct reader *shared)
{
    struct reader reader = *shared; /* a copy that lives in registers */

    reader.left = 0;
    for (uint32_t x = 0; x < reader.width;) {
        if (reader.in == reader.end)
            return false;
        uint32_t code = *reader.in;
        uint32_t taken = code < PAIR ? 4 : code < SINGLE ? 2 : 0;
        if (taken > reader.width - x)
            return false;
        if (taken == 0) {
            taken = get_long_code(&reader, x);
            if (taken == 0)
                return false;
        } else if (taken == 4) {
            reader.in++;
            for (uint32_t i = 0; i < 4; i++)
                put(&reader, x + i, quads[code][i]);
        } else {
            reader.in++;
            put(&reader, x, (int32_t)((code - PAIR) % 11) - 5);
            put(&reader, x + 1, (int32_t)((code - PAIR) / 11) - 5);
        }
        x += taken;
    }
    *shared = reader;
    return reader.range >= 0 && reader.range <= UINT16_MAX;
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
    struct reader reader = {.above = no_row, .width = width};

    assert(width <= MANDEL_TILE_MAX);
    if (len < MANDEL_REPLY_HEAD_BYTES || get_u32(in) != REPLY_VERSION)
        return false;
    *draw_us_out = get_u32(in + 4);
    reader.in = in + MANDEL_REPLY_HEAD_BYTES;
    reader.end = in + len;
    reader.row = shades;
    for (uint32_t y = 0; y < height; y++) {
        if (!get_row(&reader))
            return false;
        reader.above = reader.row;
        reader.row += stride;
    }
    return reader.in == reader.end;
}
