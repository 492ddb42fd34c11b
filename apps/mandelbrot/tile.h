/*
 * A tile of a picture: where its points lie, how it is asked for, how it is drawn and how the
 * drawing travels. Everything here is pure; the same bytes come out on every machine.
 */
#ifndef MANDELBROT_TILE_H
#define MANDELBROT_TILE_H

#include "bounds.h"
#include "kernel.h"

#define MANDEL_FUNCTION         "mandelbrot.tile"
#define MANDEL_FUNCTION_VERSION "1"

/* What is looked at. The imaginary axis points upwards, pixels are squares. */
struct mandel_view {
    double re; /* the middle of the picture */
    double im;
    double span; /* width of the picture in the plane */
    uint32_t width;
    uint32_t height;
    uint32_t iterations;
    bool shortcuts;
};

/* A rectangle of pixels; y counts from the top. */
struct mandel_rect {
    uint32_t x;
    uint32_t y;
    uint32_t width;
    uint32_t height;
};

#define MANDEL_WHY_BYTES 160

/*
 * Whether @view can be drawn. Returns true; false with a sentence in @why (MANDEL_WHY_BYTES).
 */
bool mandel_view_check(const struct mandel_view *view, char *why);

/*
 * The centres of the pixel columns x, x + 1 ... and of the rows y, y + 1 ...: `re + (x + 1/2 -
 * width/2)
 * * (span / width)` and `im - (y + 1/2 - height/2) * (span / width)`, in this order of operations.
 */
void mandel_columns(const struct mandel_view *view, uint32_t x, uint32_t n, double *re);
void mandel_rows(const struct mandel_view *view, uint32_t y, uint32_t n, double *im);

/*
 * Draws @rect of @view with @kernel into rect->width * rect->height shades, row by row.
 * @cancelled (may be NULL) is asked at least once a row.
 *
 * Returns 0, KITH_E_CANCELED or KITH_E_MEMORY. @view and @rect have been checked.
 */
int mandel_draw(const struct mandel_kernel *kernel,
                const struct mandel_view *view,
                const struct mandel_rect *rect,
                bool (*cancelled)(void *user),
                void *user,
                uint16_t *shades);

/*
 * The argument of mandelbrot.tile, little endian:
 *
 *     0  u32  1, the version of this layout
 *     4  u32  flags: 1 = no shortcuts; others 0
 *     8  f64  re, 16 f64 im, 24 f64 span
 *    32  u32  width, 36 u32 height of the whole picture
 *    40  u32  x, 44 u32 y, 48 u32 width, 52 u32 height of the tile
 *    56  u32  iterations
 *    60  u32  0
 */
#define MANDEL_ARGUMENT_BYTES 64

void mandel_argument_pack(const struct mandel_view *view,
                          const struct mandel_rect *rect,
                          uint8_t out[MANDEL_ARGUMENT_BYTES]);

/* Returns true; false with a sentence in @why if @data is no argument or asks for too much. */
bool mandel_argument_unpack(
    const void *data, size_t len, struct mandel_view *view, struct mandel_rect *rect, char *why);

/*
 * The reply, little endian: u32 1 (the version), u32 microseconds it took to draw, then the shades,
 * row by row, as differences to what is expected: left + above - above left (above, in the first
 * column; left, in the first row; 0 at the very first). A code stands for some shades of one row:
 *
 *     0..80        four differences of -1..1, the first as the units of a number of base 3
 *     81..201      two differences of -5..5, likewise of base 11
 *     202..233 b   one difference of 13 bits: -4096..4095
 *     234..249 b   8..4103 times no difference
 *     250 lo hi    one shade itself
 *
 * Escape times are smooth, so this is about a quarter of a byte a pixel, and two bytes a black row.
 */
#define MANDEL_REPLY_HEAD_BYTES 8
/* Room that a reply of @pixels may need. */
#define MANDEL_REPLY_BYTES_MAX(pixels) (MANDEL_REPLY_HEAD_BYTES + (size_t)(pixels)*3)

/* Returns the bytes written to @out, at most MANDEL_REPLY_BYTES_MAX. */
size_t mandel_reply_encode(
    const uint16_t *shades, uint32_t width, uint32_t height, uint32_t draw_us, uint8_t *out);

/*
 * Fills exactly width * height shades, row r at @shades + r * @stride.
 * Returns false if @data is not exactly such a reply; the shades are then half filled.
 */
bool mandel_reply_decode(const void *data,
                         size_t len,
                         uint32_t width,
                         uint32_t height,
                         uint16_t *shades,
                         size_t stride,
                         uint32_t *draw_us_out);

#endif
