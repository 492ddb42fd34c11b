/*
 * What lies in the catalogue as a board (docs/protocols/board.md, Files), and kith-board, which
 * knows what is in it. The command fetches and writes; what a board is, it does not know.
 */
#ifndef CLI_BOARD_FILES_H
#define CLI_BOARD_FILES_H

#include "cli/cli.h"
#include "core/bytes.h"

#define BOARD_SHARE "boards"

/* One board, as the catalogue knows it. */
struct board_entry {
    char name[256];
    json_t *logs; /* entries of fs.ls */
    json_t *images;
};

/* All boards, ascending by name. Freed with board_entries_free(). */
struct board_entries {
    struct board_entry *list;
    size_t n;
};

/* @only: one board, or NULL for all. No share is no boards. 0 or an exit code. */
int board_entries_ask(struct cli *cli, const char *only, struct board_entries *out);
void board_entries_free(struct board_entries *entries);

/* The files of a board, as kith-board takes them. */
struct board_bundle {
    struct buf bytes;
    size_t missing_n; /* files that nobody here has: each is named on stderr */
};
int board_bundle_fetch(struct cli *cli,
                       const struct board_entry *entry,
                       bool images,
                       struct board_bundle *out);

/*
 * Runs kith-board with @args (NULL at the end, the first is the program's) and @bundle on its
 * stdin. Its stdout goes to @out_fd. *@partly_out: parts of the board could not be read, which it
 * said. 0 or an exit code.
 */
int board_program_run(struct cli *cli,
                      const char *const *args,
                      const struct board_bundle *bundle,
                      int out_fd,
                      bool *partly_out);

#endif
