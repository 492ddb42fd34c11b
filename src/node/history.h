/*
 * What a host did lately, in three rings of fixed size: ten minutes at 2 s, three hours at 30 s, a
 * day at 4 minutes. Each entry is the mean of what was added during its step. Pure; memory is taken
 * once, some 50 KiB and 1 KiB a core.
 */
#ifndef NODE_HISTORY_H
#define NODE_HISTORY_H

#include <stddef.h>
#include <stdint.h>

enum history_span { HISTORY_10M, HISTORY_3H, HISTORY_24H, HISTORY_SPANS };

struct history_sample {
    uint64_t unix_ms; /* at its end */
    uint64_t memory_used_bytes;
    uint32_t load_milli;
    uint32_t net_in, net_out; /* bytes a second */
    uint32_t
        nodes_n; /* of how many hosts it is the sum; cpu_permille then is the mean of all CPUs */
    uint16_t cpu_permille;
};

struct history_ring {
    struct history_sample *samples;
    uint8_t *cores; /* half percents, cores_n a sample */
    size_t first, n;
    /* The step that is being filled: sums of added_n samples. */
    uint64_t step_no, added_n;
    uint64_t memory, load, in, out, cpu, nodes;
    uint64_t unix_ms;
    uint32_t *core_sums;
};

struct history {
    uint32_t cores_n;
    struct history_ring rings[HISTORY_SPANS];
};

/* {0} is an empty history; up to HISTORY_CPUS_MAX cores are kept. 0 or KITH_E_MEMORY. */
int node_history_init(struct history *history, uint32_t cores_n);
void node_history_deinit(struct history *history); /* may run twice, and on {0} */
/* @now_ms: monotonic. @core_percent of @cores_n; those that are missing count as idle. */
void node_history_add(struct history *history,
                      uint64_t now_ms,
                      const struct history_sample *sample,
                      const double *core_percent,
                      size_t cores_n);

uint64_t history_step_ms(enum history_span span);
size_t node_history_max(enum history_span span);
size_t node_history_n(const struct history *history, enum history_span span);
/* The i-th from the oldest; *cores_out has cores_n half percents. */
const struct history_sample *node_history_at(const struct history *history,
                                             enum history_span span,
                                             size_t i,
                                             const uint8_t **cores_out);
/* "10m", "3h", "24h"; HISTORY_SPANS if it is none. */
enum history_span history_span_named(const char *text);
const char *history_span_text(enum history_span span);

#endif
