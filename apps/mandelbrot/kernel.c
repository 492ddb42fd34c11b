#include "kernel.h"

#include <string.h>

const struct mandel_kernel *mandel_kernel_best(void)
{
    for (size_t i = 0; i + 1 < mandel_kernels_n; i++) {
        if (mandel_kernels[i]->usable())
            return mandel_kernels[i];
    }
    return mandel_kernels[mandel_kernels_n - 1];
}

const struct mandel_kernel *mandel_kernel_find(const char *name)
{
    for (size_t i = 0; i < mandel_kernels_n; i++) {
        if (!strcmp(mandel_kernels[i]->name, name) && mandel_kernels[i]->usable())
            return mandel_kernels[i];
    }
    return NULL;
}
