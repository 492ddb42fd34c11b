/* The parts of kith-bench var. */
#ifndef BENCH_STATE_H
#define BENCH_STATE_H

#include "bench.h"

#define FAILOVER_N 6

/* So many rounds of each kind of death, with real agents. How many figures were made. */
size_t bench_failover(unsigned rounds, struct bench_figure figures[FAILOVER_N]);

/*
 * Microseconds, at the median, that a block of @n processes is on disk, written and synced by all
 * of them at the same moment, each in a file of its own in @dir; NAN with a message if it fails.
 */
double bench_syncs_us(const char *dir, unsigned n, unsigned ms);

#endif
