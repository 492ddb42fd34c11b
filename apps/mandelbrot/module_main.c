/* What makes a shared object of it a module. */
#include "module.h"

#include <kith.h>

KITH_MODULE = {
    .abi = KITH_MODULE_ABI,
    .name = "mandelbrot",
    .version = KITH_VERSION,
    .description = "draws tiles of the Mandelbrot set",
    .start = mandel_export,
};
