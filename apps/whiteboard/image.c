#include "image.h"

#include <stdio.h>

void board_image_name(const struct board_op *op, char out[BOARD_IMAGE_NAME_BYTES])
{
    static const char *const endings[] = {"png", "jpg", "webp"};

    for (size_t i = 0; i < BOARD_HASH_BYTES; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", op->hash[i]);
    (void)snprintf(out + 2 * (size_t)BOARD_HASH_BYTES, 6, ".%s", endings[op->type]);
}
