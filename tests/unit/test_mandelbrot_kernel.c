/*
 * Every kernel this machine can run against the plain loop written out here once more: counts,
 * norms and shades must be the same bits, with and without shortcuts, in the regions where a fast
 * kernel is tempted to differ.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <kith/error.h>

#include "lib/test.h"
#include "mandelbrot/kernel.h"

struct region {
    const char *name;
    double re, im, span;
    uint32_t width, height, iterations;
};

static const struct region regions[] = {
    {"whole set", -0.75, 0.0, 3.5, 256, 256, 1000},
    {"whole set, odd size", -0.75, 0.0, 3.5, 131, 77, 333},
    {"whole set, one iteration", -0.75, 0.0, 5.0, 67, 41, 1},
    {"whole set, two iterations", -0.75, 0.0, 5.0, 67, 41, 2},
    {"limit of the first pass", -0.75, 0.0, 3.0, 64, 64, 32},
    {"one beyond the first pass", -0.75, 0.0, 3.0, 64, 64, 33},
    {"first pass and a block less one", -0.75, 0.0, 3.0, 64, 64, 63},
    {"first pass and a block", -0.75, 0.0, 3.0, 64, 64, 64},
    {"255 iterations", -0.75, 0.0, 3.0, 129, 65, 255},
    {"256 iterations", -0.75, 0.0, 3.0, 129, 65, 256},
    {"257 iterations", -0.75, 0.0, 3.0, 129, 65, 257},
    {"seahorse valley", -0.7436438870371587, 0.13182590420531198, 0.01, 192, 128, 5000},
    {"seahorse valley, deep", -0.7436438870371587, 0.13182590420531198, 1e-9, 64, 64, 20000},
    {"at the end of double precision", -0.7436438870371587, 0.13182590420531198, 1e-14, 40, 40,
     65535},
    {"elephant valley", 0.2925, 0.0149, 0.01, 96, 96, 4000},
    {"needle", -1.9, 0.0, 0.2, 301, 9, 3000},
    {"tip of the needle", -2.0, 0.0, 1e-6, 65, 65, 2000},
    {"tip of the needle, last bits", -2.0, 0.0, 1e-13, 65, 65, 2000},
    {"circle of radius two, last bits", 0.0, 2.0, 1e-14, 65, 65, 50},
    {"mini-brot on the needle", -1.7548776662466927, 0.0, 0.03, 48, 48, 65535},
    {"mini-brot, small", -1.62541372512530, 0.0, 1e-5, 48, 48, 65535},
    {"cusp of the cardioid", 0.25, 0.0, 1e-3, 48, 48, 65535},
    {"cusp of the cardioid, close", 0.25, 0.0, 1e-7, 32, 32, 100000},
    {"between cardioid and disc", -0.75, 0.0, 1e-3, 40, 40, 65535},
    {"between cardioid and disc, close", -0.75, 0.0, 3e-7, 32, 32, 100000},
    {"outline of the disc", -1.25, 0.0, 1e-5, 48, 48, 20000},
    {"inside the cardioid", -0.2, 0.1, 0.1, 64, 64, 2000},
    {"inside the disc", -1.0, 0.05, 0.1, 64, 64, 2000},
    {"inside period three", -0.1225, 0.7449, 0.05, 48, 24, 65535},
    {"far outside", 50.0, -70.0, 40.0, 64, 64, 500},
    {"so far out that it overflows", 1e9, 1e9, 1e9, 33, 33, 100},
    {"one pixel", -0.5, 0.0, 1.0, 1, 1, 1000},
    {"one row", -0.75, 0.1, 3.0, 1000, 1, 1000},
    {"one column", -0.1, 0.6, 0.01, 1, 700, 1000},
    {"a million iterations", -0.15652, 1.03225, 1e-3, 16, 16, 1000000},
    {"a million iterations inside", 0.26, 0.0016, 2e-3, 8, 8, 1000000},
};

#define REGIONS_N (sizeof(regions) / sizeof(regions[0]))

struct result {
    uint32_t *counts;
    double *norms;
    uint16_t *shades;
    size_t n;
};

static struct result result_new(size_t n)
{
    struct result r = {malloc(n * sizeof(*r.counts)), malloc(n * sizeof(*r.norms)),
                       malloc(n * sizeof(*r.shades)), n};

    assert_non_null(r.counts);
    assert_non_null(r.norms);
    assert_non_null(r.shades);
    /* what a kernel forgets to write must not look right by chance */
    memset(r.counts, 0xee, n * sizeof(*r.counts));
    memset(r.norms, 0xee, n * sizeof(*r.norms));
    memset(r.shades, 0xee, n * sizeof(*r.shades));
    return r;
}

static void result_free(struct result *r)
{
    free(r->counts);
    free(r->norms);
    free(r->shades);
}

/* The definition, without a trick and without a word from the library. */
static void plain(double cr, double ci, uint32_t iterations, uint32_t *count, double *norm)
{
    double zr = 0, zi = 0;

    *count = 0;
    *norm = 0;
    for (uint32_t n = 1; n <= iterations; n++) {
        double r = (zr * zr - zi * zi) + cr;
        double i = 2 * (zr * zi) + ci;
        zr = r;
        zi = i;
        if (r * r + i * i > 4) {
            *count = n;
            break;
        }
    }
    if (!*count)
        return;
    for (int k = 0; k < MANDEL_STEPS_BEYOND; k++) {
        double r = (zr * zr - zi * zi) + cr;
        double i = 2 * (zr * zi) + ci;
        zr = r;
        zi = i;
    }
    *norm = zr * zr + zi * zi;
}

static void axes(const struct region *region, double *re, double *im)
{
    double step = region->span / region->width;

    for (uint32_t x = 0; x < region->width; x++)
        re[x] = region->re + (x + 0.5 - region->width * 0.5) * step;
    for (uint32_t y = 0; y < region->height; y++)
        im[y] = region->im - (y + 0.5 - region->height * 0.5) * step;
}

static bool same_double(double a, double b)
{
    uint64_t a_bits, b_bits;

    memcpy(&a_bits, &a, sizeof(a));
    memcpy(&b_bits, &b, sizeof(b));
    return (isnan(a) && isnan(b)) || a_bits == b_bits;
}

static void compare(const struct region *region,
                    const struct mandel_kernel *kernel,
                    bool shortcuts,
                    const double *re,
                    const double *im,
                    const struct result *want)
{
    struct result got = result_new(want->n);
    struct mandel_points points = {.re = re,
                                   .im = im,
                                   .width = region->width,
                                   .height = region->height,
                                   .iterations = region->iterations,
                                   .shortcuts = shortcuts};

    assert_int_equal(kernel->count(&points, got.counts, got.norms), 0);
    for (size_t i = 0; i < want->n; i++) {
        if (got.counts[i] != want->counts[i] ||
            (want->counts[i] && !same_double(got.norms[i], want->norms[i])))
            fail_msg(
                "%s, kernel %s%s: point %zu (%.17g, %.17g) counts %u norm %a, should be %u norm %a",
                region->name, kernel->name, shortcuts ? " with shortcuts" : "", i,
                re[i % region->width], im[i / region->width], got.counts[i], got.norms[i],
                want->counts[i], want->norms[i]);
    }
    kernel->shade(got.counts, got.norms, got.n, got.shades);
    for (size_t i = 0; i < want->n; i++) {
        if (got.shades[i] != want->shades[i])
            fail_msg("%s, kernel %s: point %zu has shade %u, should be %u", region->name,
                     kernel->name, i, got.shades[i], want->shades[i]);
        assert_int_equal(got.shades[i] == 0, want->counts[i] == 0);
    }
    result_free(&got);
}

static void every_kernel_counts_as_the_plain_loop(void **state)
{
    (void)state;
    for (size_t r = 0; r < REGIONS_N; r++) {
        const struct region *region = &regions[r];
        double *re = malloc(region->width * sizeof(*re));
        double *im = malloc(region->height * sizeof(*im));
        struct result want = result_new((size_t)region->width * region->height);
        assert_non_null(re);
        assert_non_null(im);
        axes(region, re, im);
        for (size_t i = 0; i < want.n; i++)
            plain(re[i % region->width], im[i / region->width], region->iterations, &want.counts[i],
                  &want.norms[i]);
        mandel_kernel_scalar.shade(want.counts, want.norms, want.n, want.shades);
        for (size_t k = 0; k < mandel_kernels_n; k++) {
            if (!mandel_kernels[k]->usable())
                continue;
            compare(region, mandel_kernels[k], false, re, im, &want);
            compare(region, mandel_kernels[k], true, re, im, &want);
        }
        result_free(&want);
        free(re);
        free(im);
    }
}

static void random_regions_agree(void **state)
{
    uint64_t seed = 0x9e3779b97f4a7c15;

    (void)state;
    for (int round = 0; round < (int)test_rounds(300); round++) {
        double unit[4];
        for (int i = 0; i < 4; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            unit[i] = (double)(seed >> 11) / 9007199254740992.0;
        }
        struct region region = {"random",
                                -2.2 + 3.2 * unit[0],
                                -1.3 + 2.6 * unit[1],
                                pow(10, -12 * unit[2]),
                                1 + (uint32_t)(unit[3] * 97),
                                1 + (uint32_t)(unit[0] * 61),
                                1 + (uint32_t)(unit[1] * 700)};
        double re[128], im[128];
        struct result want = result_new((size_t)region.width * region.height);
        axes(&region, re, im);
        for (size_t i = 0; i < want.n; i++)
            plain(re[i % region.width], im[i / region.width], region.iterations, &want.counts[i],
                  &want.norms[i]);
        mandel_kernel_scalar.shade(want.counts, want.norms, want.n, want.shades);
        for (size_t k = 0; k < mandel_kernels_n; k++) {
            if (!mandel_kernels[k]->usable())
                continue;
            compare(&region, mandel_kernels[k], round % 2, re, im, &want);
        }
        result_free(&want);
    }
}

/* The formulas for cardioid and disc must never claim a point that escapes, however late. */
static void no_point_known_to_be_inside_escapes(void **state)
{
    const int angles_n = (int)test_rounds(4000);
    int claimed = 0;

    (void)state;
    for (int i = 0; i < angles_n; i++) {
        double angle = 2 * 3.14159265358979323846 * i / angles_n;
        for (int side = 0; side < 8; side++) {
            const int digits = 3 + side / 2 * 2;
            /* both outlines, approached from inside and outside down to 1e-9 */
            double shrink = 1 + (side % 2 ? 1 : -1) * pow(10, -digits);
            double mu_re = shrink * cos(angle), mu_im = shrink * sin(angle);
            double cardioid_re = mu_re / 2 - (mu_re * mu_re - mu_im * mu_im) / 4;
            double cardioid_im = mu_im / 2 - mu_re * mu_im / 2;
            double disc_re = -1 + mu_re / 4, disc_im = mu_im / 4;
            double norm;
            if (mandel_point_inside(cardioid_re, cardioid_im)) {
                claimed++;
                assert_int_equal(mandel_point(cardioid_re, cardioid_im, 5000, &norm), 0);
            }
            if (mandel_point_inside(disc_re, disc_im)) {
                claimed++;
                assert_int_equal(mandel_point(disc_re, disc_im, 5000, &norm), 0);
            }
        }
    }
    assert_true(claimed > angles_n * 5 / 2); /* the formulas do claim most of what is inside */
}

/* Shades rise with the escape time and never reach 0, the colour of what does not escape. */
static void shades_rise_with_the_escape_time(void **state)
{
    enum { N = 4096 };
    static uint32_t counts[N];
    static double norms[N];
    static uint16_t shades[N];

    (void)state;
    for (uint32_t i = 0; i < N; i++) {
        counts[i] = i < 2048 ? i + 1 : (uint32_t)pow(2, 11 + (i - 2048) / 109.0);
        norms[i] = 1e19;
    }
    mandel_kernel_best()->shade(counts, norms, N, shades);
    assert_true(shades[0] >= 1);
    for (uint32_t i = 1; i < N; i++)
        assert_true(shades[i] >= shades[i - 1]);
    assert_true(shades[N - 1] > 55000);
    counts[0] = 1000000000;
    norms[0] = 4.0;
    counts[1] = 1;
    norms[1] = (double)INFINITY;
    counts[2] = 1;
    norms[2] = (double)NAN;
    mandel_kernel_best()->shade(counts, norms, 3, shades);
    assert_true(shades[0] > 60000);
    assert_true(shades[1] >= 1);
    assert_int_equal(shades[1], shades[2]);
}

static bool cancel_after_a_while(void *user)
{
    return ++*(int *)user > 3;
}

static void a_cancelled_count_ends_early(void **state)
{
    static double re[64], im[64];
    static uint32_t counts[64 * 64];
    static double norms[64 * 64];

    (void)state;
    for (size_t k = 0; k < mandel_kernels_n; k++) {
        int asked = 0;
        struct mandel_points points = {.re = re,
                                       .im = im,
                                       .width = 64,
                                       .height = 64,
                                       .iterations = 1000000000, /* minutes, all inside */
                                       .cancelled = cancel_after_a_while,
                                       .user = &asked};
        if (!mandel_kernels[k]->usable())
            continue;
        if (!strcmp(mandel_kernels[k]->name, "scalar"))
            points.iterations = 100000; /* it asks between points */
        assert_int_equal(mandel_kernels[k]->count(&points, counts, norms), KITH_E_CANCELED);
        assert_int_equal(asked, 4);
    }
}

static void kernels_are_found_by_name(void **state)
{
    (void)state;
    assert_ptr_equal(mandel_kernel_find("scalar"), &mandel_kernel_scalar);
    assert_null(mandel_kernel_find("abacus"));
    assert_ptr_equal(mandel_kernel_find(mandel_kernel_best()->name), mandel_kernel_best());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kernel_counts_as_the_plain_loop),
        cmocka_unit_test(random_regions_agree),
        cmocka_unit_test(no_point_known_to_be_inside_escapes),
        cmocka_unit_test(shades_rise_with_the_escape_time),
        cmocka_unit_test(a_cancelled_count_ends_early),
        cmocka_unit_test(kernels_are_found_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
