#include "node/history.h"

#include <assert.h>
#include <string.h>

#include "core/alloc.h"
#include "core/limits.h"
#include "kith/error.h"

static const struct {
    const char *text;
    uint64_t step_ms;
    size_t max;
} spans[HISTORY_SPANS] = {
    [HISTORY_10M] = {"10m", 2000, 300},
    [HISTORY_3H] = {"3h", 30000, 360},
    [HISTORY_24H] = {"24h", 240000, 360},
};

int node_history_init(struct history *history, uint32_t cores_n)
{
    *history = (struct history){0};
    history->cores_n = cores_n < HISTORY_CPUS_MAX ? cores_n : HISTORY_CPUS_MAX;
    for (size_t i = 0; i < HISTORY_SPANS; i++) {
        struct history_ring *ring = &history->rings[i];
        ring->samples = core_calloc(spans[i].max, sizeof(*ring->samples));
        ring->cores = core_calloc(spans[i].max, history->cores_n + 1);
        ring->core_sums = core_calloc(history->cores_n + 1, sizeof(*ring->core_sums));
        if (ring->samples == NULL || ring->cores == NULL || ring->core_sums == NULL) {
            node_history_deinit(history);
            return KITH_E_MEMORY;
        }
    }
    return 0;
}

void node_history_deinit(struct history *history)
{
    for (size_t i = 0; i < HISTORY_SPANS; i++) {
        core_free(history->rings[i].samples);
        core_free(history->rings[i].cores);
        core_free(history->rings[i].core_sums);
    }
    *history = (struct history){0};
}

/* The step is over: its mean becomes an entry, in place of the oldest if the ring is full. */
static void close_step(struct history_ring *ring, size_t max, uint32_t cores_n)
{
    uint64_t n = ring->added_n;
    size_t at = (ring->first + ring->n) % max;

    if (n == 0)
        return;
    if (ring->n == max)
        ring->first = (ring->first + 1) % max;
    else
        ring->n++;
    ring->samples[at] = (struct history_sample){.unix_ms = ring->unix_ms,
                                                .memory_used_bytes = ring->memory / n,
                                                .load_milli = (uint32_t)(ring->load / n),
                                                .net_in = (uint32_t)(ring->in / n),
                                                .net_out = (uint32_t)(ring->out / n),
                                                .nodes_n = (uint32_t)((ring->nodes + n / 2) / n),
                                                .cpu_permille = (uint16_t)(ring->cpu / n)};
    for (uint32_t i = 0; i < cores_n; i++)
        ring->cores[at * cores_n + i] = (uint8_t)(ring->core_sums[i] / n);
    ring->added_n = 0;
    ring->memory = ring->load = ring->in = ring->out = ring->cpu = ring->nodes = 0;
    memset(ring->core_sums, 0, cores_n * sizeof(*ring->core_sums));
}

void node_history_add(struct history *history,
                      uint64_t now_ms,
                      const struct history_sample *sample,
                      const double *core_percent,
                      size_t cores_n)
{
    for (size_t s = 0; s < HISTORY_SPANS && history->rings[s].samples != NULL; s++) {
        struct history_ring *ring = &history->rings[s];
        uint64_t step_no = now_ms / spans[s].step_ms;
        if (step_no != ring->step_no) {
            close_step(ring, spans[s].max, history->cores_n);
            ring->step_no = step_no;
        }
        ring->added_n++;
        ring->unix_ms = sample->unix_ms;
        ring->memory += sample->memory_used_bytes;
        ring->load += sample->load_milli;
        ring->in += sample->net_in;
        ring->out += sample->net_out;
        ring->cpu += sample->cpu_permille;
        ring->nodes += sample->nodes_n;
        for (uint32_t i = 0; i < history->cores_n && i < cores_n; i++)
            ring->core_sums[i] += (uint32_t)(core_percent[i] < 0     ? 0
                                             : core_percent[i] > 100 ? 200
                                                                     : core_percent[i] * 2);
    }
}

uint64_t history_step_ms(enum history_span span)
{
    return spans[span].step_ms;
}

size_t node_history_max(enum history_span span)
{
    return spans[span].max;
}

size_t node_history_n(const struct history *history, enum history_span span)
{
    return history->rings[span].n;
}

const struct history_sample *node_history_at(const struct history *history,
                                             enum history_span span,
                                             size_t i,
                                             const uint8_t **cores_out)
{
    const struct history_ring *ring = &history->rings[span];
    size_t at = (ring->first + i) % spans[span].max;

    assert(i < ring->n);
    *cores_out = ring->cores + at * history->cores_n;
    return &ring->samples[at];
}

enum history_span history_span_named(const char *text)
{
    for (size_t i = 0; i < HISTORY_SPANS; i++) {
        if (text != NULL && strcmp(spans[i].text, text) == 0)
            return (enum history_span)i;
    }
    return HISTORY_SPANS;
}

const char *history_span_text(enum history_span span)
{
    return spans[span].text;
}
