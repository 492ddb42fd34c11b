#include "scenario.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "queue.h"

#define FAILURES_SHOWN_MAX 20

const struct scenario *scenario_find(const char *name)
{
    for (size_t i = 0; scenarios[i] != NULL; i++) {
        if (strcmp(scenarios[i]->name, name) == 0)
            return scenarios[i];
    }
    return NULL;
}

bool scenario_run(struct scn *scn, uint64_t first_seed, uint64_t seeds_n)
{
    bool met = true;

    for (uint64_t i = 0; i < seeds_n; i++) {
        scn->seed = first_seed + i;
        scn->scenario->seed(scn, scn->seed);
    }
    if (scn->scenario->finish != NULL)
        scn->scenario->finish(scn);
    for (size_t i = 0; i < scn->targets_n; i++)
        met = met && scn->targets[i].met;
    return met && scn->failures_n == 0;
}

void scn_deinit(struct scn *scn)
{
    for (size_t i = 0; i < scn->series_n; i++)
        free(scn->series[i].values);
    buf_deinit(&scn->failures);
    memset(scn, 0, sizeof(*scn));
}

static struct scn_series *series_find(const struct scn *scn, const char *name)
{
    for (size_t i = 0; i < scn->series_n; i++) {
        if (strcmp(scn->series[i].name, name) == 0)
            return (struct scn_series *)(uintptr_t)&scn->series[i];
    }
    return NULL;
}

static struct scn_series *series_get(struct scn *scn, const char *name, const char *unit)
{
    struct scn_series *series = series_find(scn, name);

    if (series != NULL)
        return series;
    assert(scn->series_n < SCN_SERIES_MAX);
    series = &scn->series[scn->series_n++];
    snprintf(series->name, sizeof(series->name), "%s", name);
    snprintf(series->unit, sizeof(series->unit), "%s", unit);
    return series;
}

void scn_sample(struct scn *scn, const char *name, const char *unit, double value)
{
    struct scn_series *series = series_get(scn, name, unit);

    if (series->n == series->cap) {
        series->cap = series->cap > 0 ? 2 * series->cap : 64;
        series->values = sim_realloc(series->values, series->cap, sizeof(*series->values));
    }
    series->values[series->n++] = value;
    series->sum += value;
}

void scn_count(struct scn *scn, const char *name, double n)
{
    struct scn_series *series = series_get(scn, name, "");

    series->counter = true;
    series->sum += n;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

double scn_stat(const struct scn *scn, const char *name, enum scn_stat stat)
{
    struct scn_series *series = series_find(scn, name);

    if (series != NULL && stat == SCN_SUM)
        return series->sum;
    if (series == NULL || series->n == 0)
        return (double)NAN;
    qsort(series->values, series->n, sizeof(*series->values), by_value);
    switch (stat) {
    case SCN_MEDIAN:
        return (series->values[(series->n - 1) / 2] + series->values[series->n / 2]) / 2;
    case SCN_MAX:
        return series->values[series->n - 1];
    case SCN_MIN:
        return series->values[0];
    case SCN_MEAN:
        return series->sum / (double)series->n;
    case SCN_P99:
        return series->values[(series->n * 99 + 99) / 100 - 1];
    case SCN_SUM:
        break;
    }
    return (double)NAN;
}

size_t scn_n(const struct scn *scn, const char *name)
{
    const struct scn_series *series = series_find(scn, name);

    return series != NULL ? series->n : 0;
}

void scn_target_value(struct scn *scn, const char *name, double value, bool at_least, double target)
{
    assert(scn->targets_n < SCN_TARGETS_MAX);
    struct scn_target *out = &scn->targets[scn->targets_n++];

    snprintf(out->name, sizeof(out->name), "%s", name);
    out->value = value;
    out->target = target;
    out->at_least = at_least;
    /* Written so that a value that does not exist is not met. */
    out->met = at_least ? value >= target : value <= target;
}

void scn_target(struct scn *scn, const char *name, enum scn_stat stat, bool at_least, double target)
{
    static const char *const suffix[] = {"_median", "_max", "_min", "_mean", "_p99", ""};
    char text[96];

    snprintf(text, sizeof(text), "%s%s", name, suffix[stat]);
    scn_target_value(scn, text, scn_stat(scn, name, stat), at_least, target);
}

void scn_fail(struct scn *scn, const char *format, ...)
{
    char text[1024];
    va_list args;

    if (scn->failures_n++ >= FAILURES_SHOWN_MAX)
        return;
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): started above; it loses track */
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (buf_printf(&scn->failures, "seed %" PRIu64 ": %s\n", scn->seed, text) < 0)
        abort();
}

void scn_take(struct scn *scn, struct sim_world *world)
{
    scn->events_n += sim_events_n(world);
    scn->hash = (scn->hash ^ sim_trace_hash(world)) * UINT64_C(0x9e3779b97f4a7c15);
    scn->hash ^= scn->hash >> 31;
    if (sim_violation_text(world) != NULL)
        scn_fail(scn, "%s", sim_violation_text(world));
}
