/* Two doubles at a time on any x86-64; the algorithm is kernel_simd.h. */
#include "kernel.h"
#include "kernel_x86.h"

#include <emmintrin.h>

/* Keeps the groups of one step apart: mixing them would take more registers than exist. */
#define SIMD_PIN(a, b) __asm__ volatile("" : "+x"(a), "+x"(b))

#define SIMD_LANES         2
#define SIMD_GROUPS        5
#define SIMD_EACH_GROUP(X) X(0) X(1) X(2) X(3) X(4)

typedef double vec __attribute__((vector_size(16)));
typedef int64_t ivec __attribute__((vector_size(16)));
typedef uint32_t cvec __attribute__((vector_size(8)));
typedef uint16_t svec __attribute__((vector_size(4)));
typedef ivec mask;

static inline vec vec_twice_plus(vec a, vec c)
{
    return (a + a) + c;
}

static inline mask vec_bounded(vec norm)
{
    return (mask)_mm_cmple_pd((__m128d)norm, _mm_set1_pd(4.0));
}

static inline mask vec_equal(vec a, vec b)
{
    return (mask)_mm_cmpeq_pd((__m128d)a, (__m128d)b);
}

static inline mask vec_less(vec a, vec b)
{
    return (mask)_mm_cmplt_pd((__m128d)a, (__m128d)b);
}

static inline mask mask_and(mask a, mask b)
{
    return a & b;
}

static inline unsigned mask_bits(mask m)
{
    return (unsigned)_mm_movemask_pd((__m128d)m);
}

static inline vec vec_select(mask m, vec yes, vec no)
{
    return (vec)(((ivec)yes & m) | ((ivec)no & ~m));
}

static inline ivec ivec_count(mask m, ivec n)
{
    return n - m;
}

#include "kernel_simd.h"

const struct mandel_kernel mandel_kernel_sse2 = {"sse2", mandel_x86_has_sse2, simd_count,
                                                 simd_shade};
