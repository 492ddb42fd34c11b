/*
 * All files of one board in a row, as `kith board` gives them to kith-board:
 *
 *   kith-board/1 NAME\n
 *   log BYTES FILE\n     the bytes
 *   image BYTES HASH\n   the bytes
 */
#ifndef WHITEBOARD_BUNDLE_H
#define WHITEBOARD_BUNDLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "image.h"
#include "log.h"

#define BOARD_BUNDLE_MAGIC      "kith-board/1 "
#define BOARD_BUNDLE_LINE_BYTES 512
/* An image of a board: web/board/limits.js. */
#define BOARD_BUNDLE_IMAGE_BYTES_MAX (16 * 1024 * 1024)

struct board_file {
    char name[BOARD_BUNDLE_LINE_BYTES];
    uint8_t *data;
    size_t len;
    bool good; /* a log of this board: only then @log holds */
    struct board_log log;
};

struct board_bundle {
    char board[BOARD_NAME_BYTES_MAX + 1];
    struct board_file *logs, *images;
    size_t logs_n, images_n;
    size_t refused_n; /* files above their limit; logs that are none, or of another board */
    size_t damaged_n; /* logs of which the rest is lost */
};

/*
 * Reads @file to its end and decodes its logs; those that do not hold are counted. Returns 0,
 * KITH_E_CORRUPT (it is no bundle), KITH_E_MEMORY. board_bundle_deinit is due in any case.
 */
int board_bundle_read(struct board_bundle *bundle, FILE *file);
void board_bundle_deinit(struct board_bundle *bundle);

/* The operations of all logs with a clock of at most @at; the caller frees the list. Returns 0 or
 * KITH_E_MEMORY. */
int board_bundle_ops(const struct board_bundle *bundle,
                     uint64_t at,
                     const struct board_op ***ops_out,
                     size_t *n_out);

/* The images of @bundle. */
struct board_images board_bundle_images(const struct board_bundle *bundle);

#endif
