/*
 * From escape times to shades, with the vectors of the file that includes this.
 *
 * The includer defines SIMD_LANES, the vector types vec (double), ivec (int64_t), cvec (uint32_t)
 * and svec (uint16_t) of that many lanes, mask, vec_less() and vec_select(). Only additions and
 * multiplications of doubles are used, one rounding each and in one order, so the shades are the
 * same bits on every processor; libm is not, hence the logarithm here.
 */
#ifndef MANDELBROT_KERNEL_SHADE_H
#define MANDELBROT_KERNEL_SHADE_H

#include <string.h>

/* Shades per doubling of the escape time; 30 doublings (the iteration limit) fit 16 bits. */
#define SHADES_PER_OCTAVE 2048.0
/* Added to the escape time: stretches the first bands, where everything far out lies. */
#define SHADE_TIME_OFFSET 3.0
/* 2^52: adding it moves an integer into the low bits of a double, and back. */
#define SHADE_MAGIC      4503599627370496.0
#define SHADE_MAGIC_BITS 0x4330000000000000

static inline vec vec_all(double value)
{
    return (vec){0} + value;
}

/* log2(x) for finite x >= 1, to 3e-6, continuous and exact at powers of two. */
static inline vec vec_log2(vec x)
{
    ivec bits = (ivec)x;
    vec exponent = (vec)((bits >> 52) | SHADE_MAGIC_BITS) - (SHADE_MAGIC + 1023.0);
    vec t = (vec)((bits & 0x000fffffffffffff) | 0x3ff0000000000000) - 1.0;
    /* (log2(1 + t) - t) / (t (1 - t)), least squares on [0, 1] */
    vec q = vec_all(0.025285506038724485);
    q = q * t + -0.09481475340476928;
    q = q * t + 0.18115420362246837;
    q = q * t + -0.275386207427117;
    q = q * t + 0.4425272726746034;
    return exponent + (t + (t * (1.0 - t)) * q);
}

/*
 * The escape time made continuous is n + 1 - log2(log2|z_n|), taken a few steps after the escape;
 * eyes see its logarithm.
 */
static inline svec vec_shade(cvec counts, vec norm)
{
    ivec n = __builtin_convertvector(counts, ivec);
    /* nan and inf fail the first comparison and become the upper bound */
    norm = vec_select(vec_less(norm, vec_all(1e300)), norm, vec_all(1e300));
    norm = vec_select(vec_less(norm, vec_all(4.0)), vec_all(4.0), norm);
    vec size = vec_log2(vec_log2(norm) * 0.5);
    vec time = (vec)(n | SHADE_MAGIC_BITS) - SHADE_MAGIC;
    time = (time + (1.0 + MANDEL_STEPS_BEYOND + SHADE_TIME_OFFSET)) - size;
    time = vec_select(vec_less(time, vec_all(1.0)), vec_all(1.0), time);
    vec shade = vec_log2(time) * SHADES_PER_OCTAVE + 1.0;
    ivec whole = (ivec)(shade + SHADE_MAGIC) & 0xffff;
    whole &= (ivec)(n != 0);
    return __builtin_convertvector(whole, svec);
}

static void simd_shade(const uint32_t *counts, const double *norms, size_t n, uint16_t *shades)
{
    cvec count = {0};
    vec norm = {0};
    svec shade;
    size_t i;

    for (i = 0; i + SIMD_LANES <= n; i += SIMD_LANES) {
        memcpy(&count, &counts[i], sizeof(count));
        memcpy(&norm, &norms[i], sizeof(norm));
        shade = vec_shade(count, norm);
        memcpy(&shades[i], &shade, sizeof(shade));
    }
    if (i == n)
        return;
    memcpy(&count, &counts[i], (n - i) * sizeof(*counts));
    memcpy(&norm, &norms[i], (n - i) * sizeof(*norms));
    shade = vec_shade(count, norm);
    memcpy(&shades[i], &shade, (n - i) * sizeof(*shades));
}

#endif
