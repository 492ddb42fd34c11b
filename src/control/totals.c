#include "control/totals.h"

#include "core/alloc.h"
#include "core/error.h"

static const char *const names[TOTALS_COLUMNS] = {
    [TOTALS_CPU] = "cpu_percent",
    [TOTALS_MEMORY] = "memory_used_bytes",
    [TOTALS_LOAD] = "load",
    [TOTALS_NET_IN] = "net_in_bytes_per_s",
    [TOTALS_NET_OUT] = "net_out_bytes_per_s",
};

int totals_init(struct totals *totals, uint64_t step_ms, size_t steps_n, uint64_t now_ms)
{
    uint64_t last = now_ms / step_ms;

    *totals = (struct totals){.step_ms = step_ms, .steps_n = steps_n};
    totals->first = last + 1 > steps_n ? last + 1 - steps_n : 0;
    totals->steps = core_calloc(steps_n, sizeof(*totals->steps));
    return totals->steps != NULL ? 0 : KITH_E_MEMORY;
}

void totals_deinit(struct totals *totals)
{
    core_free(totals->steps);
    totals->steps = NULL;
}

static void
add_sample(struct totals_step *step, json_t *const columns[TOTALS_COLUMNS], size_t i, uint32_t cpus)
{
    step->nodes_n++;
    step->cpus += cpus;
    for (int c = 0; c < TOTALS_COLUMNS; c++) {
        double value = json_number_value(json_array_get(columns[c], i));
        step->sums[c] += c == TOTALS_CPU ? value * cpus : value;
    }
}

bool totals_add(struct totals *totals, const json_t *history)
{
    json_t *times = json_object_get(history, "time_ms"), *columns[TOTALS_COLUMNS];
    uint32_t cpus = (uint32_t)json_integer_value(json_object_get(history, "cpus"));
    size_t n = json_array_size(times), at = 0;
    uint64_t before = 0; /* where the sample before is, + 1 */
    size_t sample = 0;

    if (!json_is_array(times) || cpus == 0)
        return false;
    for (int c = 0; c < TOTALS_COLUMNS; c++) {
        columns[c] = json_object_get(history, names[c]);
        if (json_array_size(columns[c]) != n)
            return false;
    }
    for (size_t i = 0; i < totals->steps_n; i++) {
        uint64_t step = totals->first + i;
        bool found = false;
        while (at < n) {
            json_int_t ms = json_integer_value(json_array_get(times, at));
            uint64_t its = ms > 0 ? (uint64_t)ms / totals->step_ms : 0;
            if (its > step)
                break;
            found = its == step || found;
            before = its + 1;
            sample = at++;
        }
        if (found || before == step) /* its own, or that of the step before */
            add_sample(&totals->steps[i], columns, sample, cpus);
    }
    totals->nodes_n++;
    totals->cpus += cpus;
    totals->memory_bytes += (uint64_t)json_integer_value(json_object_get(history, "memory_bytes"));
    return true;
}

static double value_of(const struct totals_step *step, int column)
{
    if (column != TOTALS_CPU)
        return step->sums[column];
    return step->cpus > 0 ? step->sums[column] / step->cpus : 0;
}

void totals_put(const struct totals *totals, struct json *json)
{
    size_t from = 0, to = totals->steps_n;

    while (from < to && totals->steps[from].nodes_n == 0)
        from++;
    while (to > from + 1 && to + 2 > totals->steps_n &&
           totals->steps[to - 1].nodes_n < totals->steps[to - 2].nodes_n)
        to--;
    json_kv_u64(json, "step_ms", totals->step_ms);
    json_kv_u64(json, "nodes", totals->nodes_n);
    json_kv_u64(json, "cpus", totals->cpus);
    json_kv_u64(json, "memory_bytes", totals->memory_bytes);
    json_key(json, "time_ms");
    json_array_begin(json);
    for (size_t i = from; i < to; i++)
        json_u64(json, (totals->first + i + 1) * totals->step_ms);
    json_array_end(json);
    json_key(json, "nodes_counted");
    json_array_begin(json);
    for (size_t i = from; i < to; i++)
        json_u64(json, totals->steps[i].nodes_n);
    json_array_end(json);
    for (int c = 0; c < TOTALS_COLUMNS; c++) {
        json_key(json, names[c]);
        json_array_begin(json);
        for (size_t i = from; i < to; i++) {
            double value = value_of(&totals->steps[i], c);
            if (c == TOTALS_CPU || c == TOTALS_LOAD)
                json_f64(json, (double)(int64_t)(value * 100 + 0.5) / 100);
            else
                json_u64(json, (uint64_t)value);
        }
        json_array_end(json);
    }
}
