/* Tiles: where their points lie, how they travel, and that a picture does not show its tiles. */
#include <math.h>

#include "lib/test.h"
#include "mandelbrot/tile.h"

static const struct mandel_view whole = {.re = -0.75,
                                         .im = 0,
                                         .span = 3.5,
                                         .width = 160,
                                         .height = 120,
                                         .iterations = 500,
                                         .shortcuts = true};

static void pixels_are_squares_sampled_at_their_centres(void **state)
{
    struct mandel_view view = {
        .re = 10, .im = 20, .span = 8, .width = 4, .height = 2, .iterations = 1};
    double re[4], im[2];

    (void)state;
    mandel_columns(&view, 0, 4, re);
    mandel_rows(&view, 0, 2, im);
    assert_true(re[0] == 7 && re[1] == 9 && re[2] == 11 && re[3] == 13);
    assert_true(im[0] == 21 && im[1] == 19); /* upwards: the first row is the upper one */
}

static void columns_do_not_depend_on_the_tile(void **state)
{
    struct mandel_view view = whole;
    double all[160], part[31];

    (void)state;
    mandel_columns(&view, 0, 160, all);
    for (uint32_t x = 0; x + 31 <= 160; x += 7) {
        mandel_columns(&view, x, 31, part);
        assert_memory_equal(part, &all[x], sizeof(part));
    }
}

/* The whole picture put together from tiles of @side. */
static void draw_in_tiles(const struct mandel_kernel *kernel, uint32_t side, uint16_t *shades)
{
    static uint16_t part[64 * 64];

    for (uint32_t y = 0; y < 120; y += side) {
        for (uint32_t x = 0; x < 160; x += side) {
            struct mandel_rect rect = {x, y, side, side};
            rect.width = rect.width > 160 - x ? 160 - x : rect.width;
            rect.height = rect.height > 120 - y ? 120 - y : rect.height;
            assert_int_equal(mandel_draw(kernel, &whole, &rect, NULL, NULL, part), 0);
            for (uint32_t row = 0; row < rect.height; row++)
                memcpy(&shades[(y + row) * 160 + x], &part[row * rect.width], rect.width * 2);
        }
    }
}

static void a_picture_is_the_same_in_any_tiles_and_by_any_kernel(void **state)
{
    static uint16_t want[160 * 120], got[160 * 120];
    const struct mandel_rect all = {0, 0, 160, 120};

    (void)state;
    assert_int_equal(mandel_draw(&mandel_kernel_scalar, &whole, &all, NULL, NULL, want), 0);
    for (size_t k = 0; k < mandel_kernels_n; k++) {
        for (uint32_t side = 9; side <= 64; side += 11) {
            if (!mandel_kernels[k]->usable())
                continue;
            memset(got, 0xee, sizeof(got));
            draw_in_tiles(mandel_kernels[k], side, got);
            assert_memory_equal(got, want, sizeof(want));
        }
    }
}

static void the_whole_set_is_symmetric(void **state)
{
    static uint16_t shades[160 * 120];
    const struct mandel_rect all = {0, 0, 160, 120};

    (void)state;
    assert_int_equal(mandel_draw(mandel_kernel_best(), &whole, &all, NULL, NULL, shades), 0);
    for (size_t y = 0; y < 60; y++)
        assert_memory_equal(&shades[y * 160], &shades[(119 - y) * 160], 320);
}

static void an_argument_comes_back_as_it_was(void **state)
{
    struct mandel_view view = {.re = -1.25,
                               .im = 0.0625,
                               .span = 1e-9,
                               .width = 65535,
                               .height = 3,
                               .iterations = 1000000000,
                               .shortcuts = false};
    struct mandel_rect rect = {65000, 2, 535, 1};
    struct mandel_view view_back;
    struct mandel_rect rect_back;
    uint8_t bytes[MANDEL_ARGUMENT_BYTES];
    char why[MANDEL_WHY_BYTES];
    static const uint8_t head[16] = {1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf4, 0xbf};

    (void)state;
    mandel_argument_pack(&view, &rect, bytes);
    assert_memory_equal(bytes, head, sizeof(head)); /* little endian everywhere */
    assert_true(mandel_argument_unpack(bytes, sizeof(bytes), &view_back, &rect_back, why));
    assert_true(view_back.re == view.re && view_back.im == view.im && view_back.span == view.span);
    assert_int_equal(view_back.width, view.width);
    assert_int_equal(view_back.height, view.height);
    assert_int_equal(view_back.iterations, view.iterations);
    assert_false(view_back.shortcuts);
    assert_memory_equal(&rect_back, &rect, sizeof(rect));
}

static void refused(struct mandel_view view, struct mandel_rect rect, const char *about)
{
    uint8_t bytes[MANDEL_ARGUMENT_BYTES];
    char why[MANDEL_WHY_BYTES] = "";

    mandel_argument_pack(&view, &rect, bytes);
    if (mandel_argument_unpack(bytes, sizeof(bytes), &view, &rect, why))
        fail_msg("taken, though %s", about);
    if (!strstr(why, about))
        fail_msg("'%s' does not speak of '%s'", why, about);
}

static void an_argument_out_of_bounds_is_refused_with_the_reason(void **state)
{
    const struct mandel_view v = {
        .re = 0, .im = 0, .span = 1, .width = 2000, .height = 1000, .iterations = 10};
    const struct mandel_rect r = {0, 0, 100, 100};
    struct mandel_view w;
    struct mandel_rect s;
    uint8_t bytes[MANDEL_ARGUMENT_BYTES + 1] = {0};
    char why[MANDEL_WHY_BYTES];

    (void)state;
    refused((w = v, w.re = (double)NAN, w), r, "center");
    refused((w = v, w.im = (double)INFINITY, w), r, "center");
    refused((w = v, w.re = 1000.5, w), r, "center");
    refused((w = v, w.span = 0, w), r, "span");
    refused((w = v, w.span = -1, w), r, "span");
    refused((w = v, w.span = 1000.5, w), r, "span");
    refused((w = v, w.span = (double)NAN, w), r, "span");
    refused((w = v, w.width = 0, w), r, "width");
    refused((w = v, w.width = 65536, w), r, "width");
    refused((w = v, w.height = UINT32_MAX, w), r, "height");
    refused((w = v, w.width = 65535, w.height = 65535, w), r, "pixels");
    refused((w = v, w.iterations = 0, w), r, "iterations");
    refused((w = v, w.iterations = 1000000001, w), r, "iterations");
    refused(v, (s = r, s.width = 0, s), "tile");
    refused(v, (s = r, s.height = 0, s), "tile");
    refused(v, (s = r, s.width = 1025, s), "tile");
    refused(v, (s = r, s.x = 1901, s), "tile");
    refused(v, (s = r, s.y = 901, s), "tile");
    refused(v, (s = r, s.x = UINT32_MAX - 50, s), "tile");
    refused(v, (s = r, s.x = 2000, s), "tile");

    mandel_argument_pack(&v, &r, bytes);
    assert_false(mandel_argument_unpack(bytes, 63, &w, &s, why));
    assert_non_null(strstr(why, "63 bytes"));
    assert_false(mandel_argument_unpack(bytes, 65, &w, &s, why));
    assert_false(mandel_argument_unpack(NULL, 0, &w, &s, why));
    bytes[0] = 2;
    assert_false(mandel_argument_unpack(bytes, 64, &w, &s, why));
    assert_non_null(strstr(why, "version 2"));
    bytes[0] = 1;
    bytes[4] = 2;
    assert_false(mandel_argument_unpack(bytes, 64, &w, &s, why));
    assert_non_null(strstr(why, "flags 2"));
}

static void the_largest_tile_is_taken(void **state)
{
    struct mandel_view view = {
        .re = 1000, .im = -1000, .span = 1000, .width = 32768, .height = 32768, .iterations = 1};
    struct mandel_rect rect = {31744, 31744, 1024, 1024};
    uint8_t bytes[MANDEL_ARGUMENT_BYTES];
    char why[MANDEL_WHY_BYTES];

    (void)state;
    mandel_argument_pack(&view, &rect, bytes);
    assert_true(mandel_argument_unpack(bytes, sizeof(bytes), &view, &rect, why));
    uint16_t *shades = malloc(1024 * 1024 * sizeof(*shades));
    assert_non_null(shades);
    assert_int_equal(mandel_draw(mandel_kernel_best(), &view, &rect, NULL, NULL, shades), 0);
    for (size_t i = 0; i < 1024 * 1024; i++)
        assert_int_not_equal(shades[i], 0);
    free(shades);
}

static void round_trip(const uint16_t *shades, uint32_t width, uint32_t height, size_t len_want)
{
    size_t pixels = (size_t)width * height;
    uint8_t *bytes = malloc(MANDEL_REPLY_BYTES_MAX(pixels));
    uint16_t *back = malloc(pixels * sizeof(*back));
    uint32_t draw_us = 0;

    assert_non_null(bytes);
    assert_non_null(back);
    size_t len = mandel_reply_encode(shades, width, height, 123456, bytes);
    assert_true(len <= MANDEL_REPLY_BYTES_MAX(pixels));
    if (len_want)
        assert_int_equal(len, len_want);
    assert_true(mandel_reply_decode(bytes, len, width, height, back, width, &draw_us));
    assert_int_equal(draw_us, 123456);
    assert_memory_equal(back, shades, pixels * sizeof(*back));
    for (size_t cut = 0; cut < len; cut += 1 + len / 50)
        assert_false(mandel_reply_decode(bytes, cut, width, height, back, width, &draw_us));
    if (height > 1)
        assert_false(mandel_reply_decode(bytes, len, width, height - 1, back, width, &draw_us));
    assert_false(mandel_reply_decode(bytes, len, width, height + 1, back, width, &draw_us));
    free(bytes);
    free(back);
}

static void shades_come_back_as_they_were(void **state)
{
    static uint16_t shades[128 * 128];
    const struct mandel_rect rect = {30, 30, 100, 60};
    struct rng rng = test_rng();

    (void)state;
    memset(shades, 0, sizeof(shades));
    round_trip(shades, 100, 97, MANDEL_REPLY_HEAD_BYTES + 97 * 2); /* black: a run a row */
    round_trip(shades, 1, 1, MANDEL_REPLY_HEAD_BYTES + 2);
    for (uint32_t run = 1; run < 110; run++) { /* each length of a run around the limits */
        shades[run] = 65535;
        round_trip(shades, 128, 128, 0);
        shades[run] = 0;
    }
    for (size_t i = 0; i < 128 * 128; i++)
        shades[i] = i % 2 ? 65535 : 0; /* every difference too large for two bytes */
    round_trip(shades, 128, 1, MANDEL_REPLY_HEAD_BYTES + 2 + 127 * 3);
    for (int step = -4200; step < 4200; step++) { /* each kind of difference and its limits */
        shades[0] = 30000;
        shades[1] = (uint16_t)(30000 + step);
        round_trip(shades, 2, 1, 0);
    }
    for (int round = 0; round < 200; round++) {
        uint32_t width = 1 + (uint32_t)rng_below(&rng, 128);
        uint32_t height = 1 + (uint32_t)rng_below(&rng, 128);
        uint32_t spread = 1u << rng_below(&rng, 17);
        for (size_t i = 0; i < (size_t)width * height; i++)
            shades[i] = (uint16_t)(20000 + rng_below(&rng, spread));
        round_trip(shades, width, height, 0);
    }
    assert_int_equal(mandel_draw(mandel_kernel_best(), &whole, &rect, NULL, NULL, shades), 0);
    round_trip(shades, 100, 60, 0);
}

static void a_drawn_tile_takes_less_than_half_a_byte_a_pixel(void **state)
{
    struct mandel_view view = whole;
    struct mandel_rect rect = {0, 0, 128, 128};
    static uint16_t shades[128 * 128];
    static uint8_t bytes[MANDEL_REPLY_BYTES_MAX(128 * 128)];
    size_t all = 0;

    (void)state;
    view.width = view.height = 1024;
    for (rect.y = 0; rect.y < 1024; rect.y += 128) {
        for (rect.x = 0; rect.x < 1024; rect.x += 128) {
            assert_int_equal(mandel_draw(mandel_kernel_best(), &view, &rect, NULL, NULL, shades),
                             0);
            all += mandel_reply_encode(shades, 128, 128, 0, bytes);
        }
    }
    assert_in_range(all, 1024 * 1024 / 8, 1024 * 1024 / 2);
}

static void a_damaged_reply_is_refused(void **state)
{
    static const struct {
        uint8_t bytes[16];
        size_t len;
    } bad[] = {
        {{0}, 0},
        {{1, 0, 0, 0, 0, 0, 0}, 7},
        {{2, 0, 0, 0, 0, 0, 0, 0, 40, 40, 141}, 11},                   /* another version */
        {{1, 0, 0, 0, 0, 0, 0, 0}, 8},                                 /* nothing in it */
        {{1, 0, 0, 0, 0, 0, 0, 0, 40, 40}, 10},                        /* short */
        {{1, 0, 0, 0, 0, 0, 0, 0, 40, 40, 141, 40}, 12},               /* something behind it */
        {{1, 0, 0, 0, 0, 0, 0, 0, 40, 40, 40}, 11},                    /* four over the end */
        {{1, 0, 0, 0, 0, 0, 0, 0, 40, 40, 218, 0, 141}, 13},           /* two over the end */
        {{1, 0, 0, 0, 0, 0, 0, 0, 234, 3}, 10},                        /* a run over the end */
        {{1, 0, 0, 0, 0, 0, 0, 0, 39, 40, 141}, 11},                   /* below 0 */
        {{1, 0, 0, 0, 0, 0, 0, 0, 250, 255, 255, 41, 40, 218, 0}, 15}, /* above 65,535 */
        {{1, 0, 0, 0, 0, 0, 0, 0, 40, 40, 141 + 60, 251}, 12},         /* no such code */
        {{1, 0, 0, 0, 0, 0, 0, 0, 40, 40, 218, 0, 250, 1}, 14},        /* cut in a shade */
        {{1, 0, 0, 0, 0, 0, 0, 0, 40, 40, 218}, 11},                   /* cut in a difference */
        {{1, 0, 0, 0, 0, 0, 0, 0, 40, 234}, 10},                       /* cut in a run */
    };
    static const uint8_t good[] = {1, 0, 0, 0, 0, 0, 0, 0, 40, 40, 141};
    uint16_t shades[10];
    uint32_t draw_us;

    (void)state;
    assert_true(mandel_reply_decode(good, sizeof(good), 10, 1, shades, 10, &draw_us));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(mandel_reply_decode(bad[i].bytes, bad[i].len, 10, 1, shades, 10, &draw_us));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_are_squares_sampled_at_their_centres),
        cmocka_unit_test(columns_do_not_depend_on_the_tile),
        cmocka_unit_test(a_picture_is_the_same_in_any_tiles_and_by_any_kernel),
        cmocka_unit_test(the_whole_set_is_symmetric),
        cmocka_unit_test(an_argument_comes_back_as_it_was),
        cmocka_unit_test(an_argument_out_of_bounds_is_refused_with_the_reason),
        cmocka_unit_test(the_largest_tile_is_taken),
        cmocka_unit_test(shades_come_back_as_they_were),
        cmocka_unit_test(a_drawn_tile_takes_less_than_half_a_byte_a_pixel),
        cmocka_unit_test(a_damaged_reply_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
