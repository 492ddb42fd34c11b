/* Four doubles at a time on x86-64 with AVX2 and FMA; the algorithm is kernel_simd.h. */
#include "kernel.h"
#include "kernel_x86.h"

#include <immintrin.h>

/* Keeps the groups of one step apart: mixing them would take more registers than exist. */
#define SIMD_PIN(a, b) __asm__ volatile("" : "+x"(a), "+x"(b))

#define SIMD_LANES         4
#define SIMD_GROUPS        7
#define SIMD_EACH_GROUP(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6)

typedef double vec __attribute__((vector_size(32)));
typedef int64_t ivec __attribute__((vector_size(32)));
typedef uint32_t cvec __attribute__((vector_size(16)));
typedef uint16_t svec __attribute__((vector_size(8)));
typedef ivec mask;

/* 2 * a + c, rounded once; 2 * a is exact, so this is what two roundings give. */
static inline vec vec_twice_plus(vec a, vec c)
{
    return (vec)_mm256_fmadd_pd((__m256d)a, _mm256_set1_pd(2.0), (__m256d)c);
}

static inline mask vec_bounded(vec norm)
{
    return (mask)_mm256_cmp_pd((__m256d)norm, _mm256_set1_pd(4.0), _CMP_LE_OQ);
}

static inline mask vec_equal(vec a, vec b)
{
    return (mask)_mm256_cmp_pd((__m256d)a, (__m256d)b, _CMP_EQ_OQ);
}

static inline mask vec_less(vec a, vec b)
{
    return (mask)_mm256_cmp_pd((__m256d)a, (__m256d)b, _CMP_LT_OQ);
}

static inline mask mask_and(mask a, mask b)
{
    return a & b;
}

static inline unsigned mask_bits(mask m)
{
    return (unsigned)_mm256_movemask_pd((__m256d)m);
}

static inline vec vec_select(mask m, vec yes, vec no)
{
    return (vec)_mm256_blendv_pd((__m256d)no, (__m256d)yes, (__m256d)m);
}

static inline ivec ivec_count(mask m, ivec n)
{
    return n - m;
}

#include "kernel_simd.h"

const struct mandel_kernel mandel_kernel_avx2 = {"avx2", mandel_x86_has_avx2, simd_count,
                                                 simd_shade};
