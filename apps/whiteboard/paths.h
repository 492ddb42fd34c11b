/*
 * Where boards lie in the catalogue (docs/protocols/board.md, Files):
 *
 *   boards/NAME/log/WRITER-NODE-NUMBER     32, 32 and 8 hex digits
 *   boards/NAME/image/HASH                 64 hex digits
 *
 * There is no index: a board is there if a log of it is. The share has no folder on any node; its
 * files are what the module put there by name.
 */
#ifndef WHITEBOARD_PATHS_H
#define WHITEBOARD_PATHS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kith/api.h>

#include "limits.h"
#include "op.h"

#define WB_SHARE "boards"
/* Longest path of these, with its NUL. */
#define WB_PATH_BYTES (sizeof(WB_SHARE) + BOARD_NAME_BYTES_MAX + 5 + 2 * (32 + 1) + 8 + 1)

/* A log: one of those that a writer has at a node, numbered from 1. */
struct wb_log_name {
    uint8_t writer[BOARD_WRITER_BYTES];
    struct kith_node_id node;
    uint32_t number;
};

/* Each writes to @out and returns it. @board must be a good name. */
char *wb_path_board(char out[WB_PATH_BYTES], const char *board); /* its directory */
char *wb_path_logs(char out[WB_PATH_BYTES], const char *board);  /* that of its logs */
char *wb_path_log(char out[WB_PATH_BYTES], const char *board, const struct wb_log_name *name);
char *wb_path_images(char out[WB_PATH_BYTES], const char *board);
char *
wb_path_image(char out[WB_PATH_BYTES], const char *board, const uint8_t hash[BOARD_HASH_BYTES]);

/*
 * Takes the path of a log apart: true if it is one, with its board in @board_out. So is one that
 * the catalogue names as another version of a log ("... .conflict-..."): whatever lies among the
 * logs and has a header that holds counts, since what stands in two of them counts once.
 */
bool wb_path_parse(const char *path,
                   char board_out[BOARD_NAME_BYTES_MAX + 1],
                   struct wb_log_name *name_out);

#endif
