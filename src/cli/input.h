/* What users give to commands: the argument itself, a file, or stdin. */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include "core/bytes.h"

struct cli;

/*
 * Reads "@FILE", "-" (stdin) or the text itself; NULL gives nothing. At most @bytes_max. 0 or an
 * exit code.
 */
int input_argument(struct cli *cli, const char *text, size_t bytes_max, struct buf *out);

/* Lines of a file, read as they are needed; a line may have any length up to @bytes_max. */
struct input_lines {
    int fd;
    const char *name; /* for messages */
    struct buf buf;
    size_t at;
    size_t bytes_max;
    uint64_t line;
    bool end;
};

/* @path "-" or NULL: stdin. 0 or an exit code. */
int input_lines_open(struct cli *cli,
                     struct input_lines *lines,
                     const char *path,
                     size_t bytes_max);
/*
 * The next line without its newline, borrowed until the next call; *@text_out is NULL at the end. A
 * last line without a newline counts. 0 or an exit code.
 */
int input_lines_next(struct cli *cli,
                     struct input_lines *lines,
                     const char **text_out,
                     size_t *len_out);
/* True if the next line, or the end, can be had without waiting for whoever writes the input. */
bool input_lines_ready(const struct input_lines *lines);
void input_lines_close(struct input_lines *lines);

#endif
