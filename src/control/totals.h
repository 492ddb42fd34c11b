/*
 * Curves of many nodes made one: sums over steps of a common clock. A node's samples are means of
 * steps that begin when they begin, so one may fall beside a step; the step then has the sample
 * before it. A node that was silent longer is not counted there, and each step says how many are.
 * Pure.
 */
#ifndef CONTROL_TOTALS_H
#define CONTROL_TOTALS_H

#include <jansson.h>

#include "core/json.h"

enum totals_column {
    TOTALS_CPU, /* percent of all CPUs: weighed by those of each node */
    TOTALS_MEMORY,
    TOTALS_LOAD,
    TOTALS_NET_IN,
    TOTALS_NET_OUT,
    TOTALS_COLUMNS,
};

struct totals_step {
    uint32_t nodes_n, cpus;
    double sums[TOTALS_COLUMNS];
};

struct totals {
    uint64_t step_ms, first; /* number of the first step: time / step_ms */
    size_t steps_n;
    struct totals_step *steps;
    uint32_t nodes_n, cpus; /* of all that were added */
    uint64_t memory_bytes;
};

/* Steps of @step_ms that end with that of @now_ms. 0 or KITH_E_MEMORY. */
int totals_init(struct totals *totals, uint64_t step_ms, size_t steps_n, uint64_t now_ms);
void totals_deinit(struct totals *totals);
/* What resources.history answered at one node. False, and nothing is added, if it is not that. */
bool totals_add(struct totals *totals, const json_t *history);
/* "step_ms", "cpus", "memory_bytes", "nodes_counted" (an array as the others), "time_ms" and the
 * curves. Steps before the first that a node was counted in are left out, and so is the last one as
 * long as fewer are counted in it than before. */
void totals_put(const struct totals *totals, struct json *json);

#endif
