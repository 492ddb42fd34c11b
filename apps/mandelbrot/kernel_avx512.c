/* Eight doubles at a time on x86-64 with AVX-512; the algorithm is kernel_simd.h. */
#include "kernel.h"
#include "kernel_x86.h"

#include <immintrin.h>

/* Keeps the groups of one step apart: mixing them would take more registers than exist. */
#define SIMD_PIN(a, b) __asm__ volatile("" : "+v"(a), "+v"(b))

#define SIMD_LANES         8
#define SIMD_GROUPS        6
#define SIMD_EACH_GROUP(X) X(0) X(1) X(2) X(3) X(4) X(5)

typedef double vec __attribute__((vector_size(64)));
typedef int64_t ivec __attribute__((vector_size(64)));
typedef uint32_t cvec __attribute__((vector_size(32)));
typedef uint16_t svec __attribute__((vector_size(16)));
typedef __mmask8 mask;

/* 2 * a + c, rounded once; 2 * a is exact, so this is what two roundings give. */
static inline vec vec_twice_plus(vec a, vec c)
{
    return (vec)_mm512_fmadd_pd((__m512d)a, _mm512_set1_pd(2.0), (__m512d)c);
}

static inline mask vec_bounded(vec norm)
{
    return _mm512_cmp_pd_mask((__m512d)norm, _mm512_set1_pd(4.0), _CMP_LE_OQ);
}

static inline mask vec_equal(vec a, vec b)
{
    return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_EQ_OQ);
}

static inline mask vec_less(vec a, vec b)
{
    return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_LT_OQ);
}

static inline mask mask_and(mask a, mask b)
{
    return (mask)(a & b);
}

static inline unsigned mask_bits(mask m)
{
    return m;
}

static inline vec vec_select(mask m, vec yes, vec no)
{
    return (vec)_mm512_mask_blend_pd(m, (__m512d)no, (__m512d)yes);
}

static inline ivec ivec_count(mask m, ivec n)
{
    return (ivec)_mm512_mask_add_epi64((__m512i)n, m, (__m512i)n, _mm512_set1_epi64(1));
}

#include "kernel_simd.h"

const struct mandel_kernel mandel_kernel_avx512 = {"avx512", mandel_x86_has_avx512, simd_count,
                                                   simd_shade};
