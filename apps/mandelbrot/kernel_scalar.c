/*
 * The plain loop: what every other kernel must equal, and what runs where there is no other.
 */
#include "kernel.h"

#include <kith/error.h>

/* Iterations between two looks at the clock of cancellation, about a quarter of a millisecond. */
#define SCALAR_CANCEL_STEPS 65536

uint32_t mandel_point(double cr, double ci, uint32_t iterations, double *norm_out)
{
    double zr = 0.0;
    double zi = 0.0;

    for (uint32_t n = 1; n <= iterations; n++) {
        double product = zr * zi;
        zr = (zr * zr - zi * zi) + cr;
        zi = (product + product) + ci;
        if (!(zr * zr + zi * zi > 4.0))
            continue;
        for (int k = 0; k < MANDEL_STEPS_BEYOND; k++) {
            product = zr * zi;
            zr = (zr * zr - zi * zi) + cr;
            zi = (product + product) + ci;
        }
        *norm_out = zr * zr + zi * zi;
        return n;
    }
    *norm_out = 0.0;
    return 0;
}

bool mandel_point_inside(double cr, double ci)
{
    double x = cr - 0.25;
    double y2 = ci * ci;
    double q = x * x + y2;
    double bulb = (cr + 1.0) * (cr + 1.0) + y2;

    return bulb < MANDEL_BULB_RADIUS2 || q * (q + (x + MANDEL_CARDIOID_MARGIN)) < 0.25 * y2;
}

/*
 * As mandel_point(), but gives up as soon as z comes back to a value it had: from there it goes
 * round for ever. The mark that z is compared with moves on at doubling intervals (Brent).
 */
static uint32_t point_with_shortcuts(double cr, double ci, uint32_t iterations, double *norm_out)
{
    double zr = 0.0;
    double zi = 0.0;
    double mark_zr = 0.0;
    double mark_zi = 0.0;
    uint64_t mark_next = 64;

    if (mandel_point_inside(cr, ci)) {
        *norm_out = 0.0;
        return 0;
    }
    for (uint32_t n = 1; n <= iterations; n++) {
        double product = zr * zi;
        zr = (zr * zr - zi * zi) + cr;
        zi = (product + product) + ci;
        if (zr * zr + zi * zi > 4.0)
            return mandel_point(cr, ci, n, norm_out);
        if (zr == mark_zr && zi == mark_zi)
            break;
        if (n == mark_next) {
            mark_zr = zr;
            mark_zi = zi;
            mark_next *= 2;
        }
    }
    *norm_out = 0.0;
    return 0;
}

static int scalar_count(const struct mandel_points *points, uint32_t *counts, double *norms)
{
    uint64_t steps = 0;

    for (uint32_t y = 0; y < points->height; y++) {
        for (uint32_t x = 0; x < points->width; x++) {
            size_t i = (size_t)y * points->width + x;
            counts[i] = points->shortcuts ? point_with_shortcuts(points->re[x], points->im[y],
                                                                 points->iterations, &norms[i])
                                          : mandel_point(points->re[x], points->im[y],
                                                         points->iterations, &norms[i]);
            steps += counts[i] ? counts[i] : points->iterations;
            if (steps < SCALAR_CANCEL_STEPS)
                continue;
            steps = 0;
            if (points->cancelled && points->cancelled(points->user))
                return KITH_E_CANCELED;
        }
    }
    return 0;
}

typedef double vec __attribute__((vector_size(8)));
typedef int64_t ivec __attribute__((vector_size(8)));
typedef uint32_t cvec __attribute__((vector_size(4)));
typedef uint16_t svec __attribute__((vector_size(2)));
typedef ivec mask;
#define SIMD_LANES 1

static inline mask vec_less(vec a, vec b)
{
    return a < b;
}

static inline vec vec_select(mask m, vec yes, vec no)
{
    return (vec)(((ivec)yes & m) | ((ivec)no & ~m));
}

#include "kernel_shade.h"

static bool scalar_usable(void)
{
    return true;
}

const struct mandel_kernel mandel_kernel_scalar = {"scalar", scalar_usable, scalar_count,
                                                   simd_shade};
