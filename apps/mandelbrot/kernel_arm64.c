/* The kernels of arm64, where every processor has the vector unit. */
#include "kernel.h"

extern const struct mandel_kernel mandel_kernel_neon;

const struct mandel_kernel *const mandel_kernels[] = {&mandel_kernel_neon, &mandel_kernel_scalar};
const size_t mandel_kernels_n = 2;
