/* What makes a shared object of it a module. */
#include "module.h"

#include <kith.h>

KITH_MODULE = {
    .abi = KITH_MODULE_ABI,
    .name = "whiteboard",
    .version = KITH_VERSION,
    .description = "boards that many people draw on at once",
    .start = wb_start,
    .stop = wb_stop,
};
