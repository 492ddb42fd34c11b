/* The kernels of an architecture that has no file of its own: the plain loop. */
#include "kernel.h"

const struct mandel_kernel *const mandel_kernels[] = {&mandel_kernel_scalar};
const size_t mandel_kernels_n = 1;
