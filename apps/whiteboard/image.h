/*
 * Images of a board: the names of their files, and who has what is in these.
 */
#ifndef WHITEBOARD_IMAGE_H
#define WHITEBOARD_IMAGE_H

#include "op.h"

#define BOARD_IMAGE_NAME_BYTES (2 * BOARD_HASH_BYTES + 6) /* HASH.webp, and its end */

struct board_images {
    /* The file of the image @op, borrowed, with its length; NULL if it is not there. */
    const uint8_t *(*get)(void *user, const struct board_op *op, size_t *len_out);
    void *user;
};

/* HASH.png, .jpg or .webp. */
void board_image_name(const struct board_op *op, char out[BOARD_IMAGE_NAME_BYTES]);

#endif
