/* The kernels of x86-64, and the only place that asks which instructions the processor has. */
#include "kernel_x86.h"

bool mandel_x86_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool mandel_x86_has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

bool mandel_x86_has_sse2(void)
{
    return true; /* part of x86-64 itself */
}

const struct mandel_kernel *const mandel_kernels[] = {
    &mandel_kernel_avx512,
    &mandel_kernel_avx2,
    &mandel_kernel_sse2,
    &mandel_kernel_scalar,
};
const size_t mandel_kernels_n = sizeof(mandel_kernels) / sizeof(mandel_kernels[0]);
