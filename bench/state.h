/* The parts of kith-bench var. */
#ifndef BENCH_STATE_H
#define BENCH_STATE_H

#include "bench.h"

#define FAILOVER_N 6

/* So many rounds of each kind of death, with real agents. How many figures were made. */
size_t bench_failover(unsigned rounds, struct bench_figure figures[FAILOVER_N]);

#endif
