/*
 * One line of progress on stderr: how much, how fast, how long still. At most five times a second,
 * and only where stderr is a terminal, or when asked for.
 */
#ifndef CLI_BAR_H
#define CLI_BAR_H

#include <stdbool.h>
#include <stdint.h>

struct cli;

struct bar {
    const char *what; /* borrowed */
    bool on, shown;
    uint64_t began_ms, shown_ms;
    uint64_t rate_ms, rate_bytes; /* where the present stretch of the rate began */
    double rate;                  /* bytes a second, lately; 0: unknown */
};

void bar_begin(struct bar *bar, const struct cli *cli, const char *what);
/* @all_bytes UINT64_MAX: unknown. @text: what it waits for; NULL or "": nothing. */
void bar_show(struct bar *bar, uint64_t done_bytes, uint64_t all_bytes, const char *text);
/* Takes the line away again. */
void bar_end(struct bar *bar);

#endif
