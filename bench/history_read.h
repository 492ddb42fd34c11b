/*
 * Histories of real clusters as JSON lines, one operation each (docs/protocols/history.md):
 *
 *   {"client":1,"op":"set","name":"x","arg":"5","outcome":"ok","version":7,"start_ns":1,"end_ns":2}
 */
#ifndef BENCH_HISTORY_READ_H
#define BENCH_HISTORY_READ_H

#include <stdio.h>

#include "../sim/history_check.h"

/* Appends the operations of @file. 0, or -1 with a sentence in @error (thing, cause, line). */
int history_read(struct history *history, FILE *file, char *error, size_t error_bytes);

/* Judges, and prints counts and verdict. 0 if nothing is wrong, 1 if something is. */
int history_report(struct history *history);

#endif
