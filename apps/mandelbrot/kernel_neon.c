/* Two doubles at a time on arm64; the algorithm is kernel_simd.h. */
#include "kernel.h"

#include <arm_neon.h>

/* Keeps the groups of one step apart: mixing them would take more registers than exist. */
#define SIMD_PIN(a, b) __asm__ volatile("" : "+w"(a), "+w"(b))

#define SIMD_LANES         2
#define SIMD_GROUPS        8
#define SIMD_EACH_GROUP(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

typedef double vec __attribute__((vector_size(16)));
typedef int64_t ivec __attribute__((vector_size(16)));
typedef uint32_t cvec __attribute__((vector_size(8)));
typedef uint16_t svec __attribute__((vector_size(4)));
typedef ivec mask;

/* 2 * a + c, rounded once; 2 * a is exact, so this is what two roundings give. */
static inline vec vec_twice_plus(vec a, vec c)
{
    return (vec)vfmaq_f64((float64x2_t)c, (float64x2_t)a, vdupq_n_f64(2.0));
}

static inline mask vec_bounded(vec norm)
{
    return (mask)vcleq_f64((float64x2_t)norm, vdupq_n_f64(4.0));
}

static inline mask vec_equal(vec a, vec b)
{
    return (mask)vceqq_f64((float64x2_t)a, (float64x2_t)b);
}

static inline mask vec_less(vec a, vec b)
{
    return (mask)vcltq_f64((float64x2_t)a, (float64x2_t)b);
}

static inline mask mask_and(mask a, mask b)
{
    return a & b;
}

static inline unsigned mask_bits(mask m)
{
    return (unsigned)(m[0] & 1) | (unsigned)(m[1] & 2);
}

static inline vec vec_select(mask m, vec yes, vec no)
{
    return (vec)vbslq_f64((uint64x2_t)m, (float64x2_t)yes, (float64x2_t)no);
}

static inline ivec ivec_count(mask m, ivec n)
{
    return n - m;
}

#include "kernel_simd.h"

static bool neon_usable(void)
{
    return true;
}

const struct mandel_kernel mandel_kernel_neon = {"neon", neon_usable, simd_count, simd_shade};
