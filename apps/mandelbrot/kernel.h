/*
 * Kernels: how many iterations the points of a tile take to escape.
 *
 * z starts at 0 and becomes z * z + c; it has escaped once |z| > 2. Every kernel counts exactly
 * what this loop in plain doubles counts, bit for bit, on every machine:
 *
 *     zr' = (zr * zr - zi * zi) + cr;  zi' = 2 * (zr * zi) + ci;  escaped = zr'^2 + zi'^2 > 4
 *
 * which is why everything is compiled with -ffp-contract=off and the order of the operations above
 * is part of the contract. A kernel is a table entry; the file that holds the table of a processor
 * architecture (kernel_x86.c, kernel_arm64.c, kernel_plain.c) is chosen by the build.
 */
#ifndef MANDELBROT_KERNEL_H
#define MANDELBROT_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Steps taken beyond the escape before the size of z is looked at. The further z is out, the
 * smoother the colours: at |z| = 2 the bands would show, five steps later |z| is around 2^32.
 */
#define MANDEL_STEPS_BEYOND 5

/* A rectangle of points: column x, row y stands for the point re[x] + i im[y]. Borrowed. */
struct mandel_points {
    const double *re;
    const double *im;
    uint32_t width;
    uint32_t height;
    uint32_t iterations; /* 1 to MANDEL_ITERATIONS_MAX */
    bool shortcuts;      /* know interiors by formula and by cycles instead of iterating them */
    /* Asked every so often (well under a millisecond); true gives up. May be NULL. */
    bool (*cancelled)(void *user);
    void *user;
};

struct mandel_kernel {
    const char *name;
    /* Whether this processor can run it. */
    bool (*usable)(void);
    /*
     * For every point, row by row: counts[i] is the first n in 1..iterations with |z_n| > 2, or
     * 0 if there is none; norms[i] is |z|^2 at n + MANDEL_STEPS_BEYOND, without meaning where
     * counts[i] is 0 (it may be inf or nan where c is huge).
     *
     * Returns 0; KITH_E_CANCELED, when the arrays are half filled.
     */
    int (*count)(const struct mandel_points *points, uint32_t *counts, double *norms);
    /*
     * Turns @n counts and norms into shades: 0 where the count is 0, otherwise 1 to 65,535,
     * rising smoothly with the logarithm of the escape time. The same bits from every kernel.
     */
    void (*shade)(const uint32_t *counts, const double *norms, size_t n, uint16_t *shades);
};

/* The kernels of this architecture, best first; the last one is always usable. */
extern const struct mandel_kernel *const mandel_kernels[];
extern const size_t mandel_kernels_n;

extern const struct mandel_kernel mandel_kernel_scalar;

/*
 * The reference itself, for one point: the first n in 1..@iterations with |z_n| > 2, or 0;
 * @norm_out is |z|^2 MANDEL_STEPS_BEYOND later (0 if it does not escape).
 */
uint32_t mandel_point(double cr, double ci, uint32_t iterations, double *norm_out);

/*
 * Whether the formulas of the main cardioid and of the disc left of it say that a point never
 * escapes. They are asked a little inside the true outlines: so close to an outline that rounding
 * could decide, the point is iterated.
 */
bool mandel_point_inside(double cr, double ci);

#define MANDEL_CARDIOID_MARGIN 1e-6
#define MANDEL_BULB_RADIUS2    (0.0625 * (1.0 - 1e-6))

/* The best kernel this processor can run. Never NULL. Any thread. */
const struct mandel_kernel *mandel_kernel_best(void);

/* The usable kernel called @name, NULL if there is none. */
const struct mandel_kernel *mandel_kernel_find(const char *name);

#endif
