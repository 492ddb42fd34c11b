/*
 * kith-history-check: judges what clients of a cluster recorded (`kith bench history --out FILE`).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "history_read.h"

#define STEPS_MAX UINT64_C(200000000) /* of the search, a variable: some seconds */

enum exit_code {
    EXIT_HOLDS = 0,
    EXIT_VIOLATED = 1,
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

static void print_counts(const struct history *history)
{
    size_t n[3] = {0};

    for (size_t i = 0; i < history->n; i++)
        n[history->entries[i].outcome]++;
    printf("%zu operations: %zu ok, %zu failed, %zu unknown\n", history->n, n[HISTORY_OK],
           n[HISTORY_FAILED], n[HISTORY_UNKNOWN]);
}

static int judge(struct history *history)
{
    struct history_finding finding;
    char line[512];

    print_counts(history);
    history_judge(history, STEPS_MAX, &finding);
    switch (finding.verdict) {
    case HISTORY_HOLDS:
        puts("verdict: holds");
        return EXIT_HOLDS;
    case HISTORY_UNDECIDED:
        printf("verdict: holds as far as was looked; %s\n", finding.text);
        return EXIT_HOLDS;
    case HISTORY_VIOLATED:
        break;
    }
    printf("verdict: violated; %s\n", finding.text);
    for (size_t i = 0; i < finding.guilty_n; i++) {
        history_print(history, finding.guilty[i], line, sizeof(line));
        printf("  %s\n", line);
    }
    return EXIT_VIOLATED;
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
        code = judge(&history);
    history_deinit(&history);
    return code;
}
