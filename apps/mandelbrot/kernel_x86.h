/* What the x86-64 kernels and their table know of one another. */
#ifndef MANDELBROT_KERNEL_X86_H
#define MANDELBROT_KERNEL_X86_H

#include "kernel.h"

bool mandel_x86_has_sse2(void);
bool mandel_x86_has_avx2(void);
bool mandel_x86_has_avx512(void);

extern const struct mandel_kernel mandel_kernel_sse2;
extern const struct mandel_kernel mandel_kernel_avx2;
extern const struct mandel_kernel mandel_kernel_avx512;

#endif
