/*
 * kith-history-check: judges what clients of a cluster recorded (`kith bench history --out FILE`).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "history_read.h"

enum exit_code {
    EXIT_HOLDS = 0,
    EXIT_BAD_FILE = 2,
};

static int read_file(struct history *history, const char *path)
{
    char error[256];
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    int r;

    if (file == NULL) {
        fprintf(stderr, "kith-history-check: %s cannot be read: %s\n", path, strerror(errno));
        return -1;
    }
    r = history_read(history, file, error, sizeof(error));
    if (r < 0)
        fprintf(stderr, "kith-history-check: %s, %s\n", path, error);
    if (file != stdin)
        fclose(file);
    return r;
}

int main(int argc, char **argv)
{
    struct history history = {0};
    int code = EXIT_HOLDS;

    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        fputs(
            "usage: kith-history-check FILE...\n"
            "\n"
            "Judges histories of variables and locks (JSON lines, as `kith bench history` writes\n"
            "them; - is stdin; several files are one history). Ends with 0 if nothing is wrong,\n"
            "with 1 and the operations in question if something is, with 2 if a file is no\n"
            "history.\n",
            argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_BAD_FILE : EXIT_HOLDS;
    }
    for (int i = 1; i < argc && code == EXIT_HOLDS; i++) {
        if (read_file(&history, argv[i]) < 0)
            code = EXIT_BAD_FILE;
    }
    if (code == EXIT_HOLDS)
        code = history_report(&history);
    history_deinit(&history);
    return code;
}
