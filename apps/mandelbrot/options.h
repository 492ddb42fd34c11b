/* The command line of kith-mandelbrot. */
#ifndef MANDELBROT_OPTIONS_H
#define MANDELBROT_OPTIONS_H

#include "tile.h"

struct options {
    const char *out; /* borrowed from argv, as all text here */
    struct mandel_view view;
    uint32_t tile;
    uint32_t threads; /* of --serial; 0: one for each processor */
    const char *kernel;
    const char *agent;
    const char *progress; /* file for progress as JSON lines; NULL: none */
    bool serial;
    bool tint;
    bool json;
};

struct option {
    const char *name; /* with its dashes */
    const char *meta; /* what stands for its value in the help; NULL: it takes none */
    bool (*parse)(struct options *options, const char *value);
    const char *expected; /* of its value: "must be ..." */
    const char *help;
};

/* All options, in the order of the help. */
const struct option *options_table(size_t *n_out);

/*
 * Parses @argv. Returns -1 if there is something to draw, otherwise the exit code of what has been
 * said already: 0 after help, 2 after a usage error.
 */
int options_parse(struct options *options, int argc, char **argv);

#endif
