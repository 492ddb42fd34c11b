/* Verbs about a host: what it does now, and what it did lately. */
#include <string.h>

#include "control/request.h"
#include "core/error.h"
#include "core/limits.h"
#include "member/member.h"
#include "node/history.h"
#include "node/sensors.h"

static void put_self(struct json *json, struct kith_node *node, struct kith_node_info *info)
{
    node_info_of(node, member_self(node_members(node)), info);
    json_kv_id(json, "node", &info->id);
    json_kv_text(json, "name", info->name);
}

static void put_disk(struct json *json, struct kith_node *node)
{
    uint64_t bytes, available;

    node_disk(node, &bytes, &available);
    json_kv_u64(json, "disk_bytes", bytes);
    json_kv_u64(json, "disk_available_bytes", available);
}

static void put_temperatures(struct json *json, struct kith_node *node)
{
    struct sensor_reading all[SENSORS_MAX];
    size_t n = node_temperatures(node, all, SENSORS_MAX);

    json_key(json, "temperatures");
    json_array_begin(json);
    for (size_t i = 0; i < n; i++) {
        json_object_begin(json);
        json_kv_text(json, "name", all[i].name);
        json_kv_f64(json, "celsius", all[i].celsius);
        if (all[i].critical_celsius > 0)
            json_kv_f64(json, "critical_celsius", all[i].critical_celsius);
        json_object_end(json);
    }
    json_array_end(json);
}

static void resources(struct control_request *request)
{
    struct kith_node_info info;
    struct control_reply reply;
    struct node_stats stats;
    double percent[HISTORY_CPUS_MAX];
    uint64_t in, out;
    size_t n = node_cpu_percent(request->node, percent, HISTORY_CPUS_MAX);

    node_stats(request->node, &stats);
    node_net_rate(request->node, &in, &out);
    control_reply_begin(&reply, request);
    put_self(&reply.json, request->node, &info);
    json_kv_u64(&reply.json, "cpus", info.cpus);
    json_kv_u64(&reply.json, "cores", info.cores);
    json_kv_u64(&reply.json, "memory_bytes", info.memory_bytes);
    json_kv_u64(&reply.json, "memory_available_bytes", info.memory_available_bytes);
    json_kv_f64(&reply.json, "load", info.load);
    json_kv_f64(&reply.json, "cpu_percent", info.cpu_percent);
    json_key(&reply.json, "cpu_percent_per_core");
    json_array_begin(&reply.json);
    for (size_t i = 0; i < n; i++)
        json_f64(&reply.json, percent[i]);
    json_array_end(&reply.json);
    json_kv_u64(&reply.json, "net_in_bytes_per_s", in);
    json_kv_u64(&reply.json, "net_out_bytes_per_s", out);
    put_disk(&reply.json, request->node);
    put_temperatures(&reply.json, request->node);
    json_kv_u64(&reply.json, "rss_bytes", stats.rss_bytes);
    json_kv_u64(&reply.json, "uptime_ms", node_uptime_ms(request->node));
    control_reply_end(&reply, false, NULL, 0);
}

/* ---- history ---- */

enum column { TIME, CPU, MEMORY, LOAD, NET_IN, NET_OUT, COLUMNS };

static void put_column(struct json *json,
                       const struct history *history,
                       enum history_span span,
                       enum column column)
{
    static const char *const keys[COLUMNS] = {
        [TIME] = "time_ms", [CPU] = "cpu_percent",           [MEMORY] = "memory_used_bytes",
        [LOAD] = "load",    [NET_IN] = "net_in_bytes_per_s", [NET_OUT] = "net_out_bytes_per_s",
    };
    const uint8_t *cores;

    json_key(json, keys[column]);
    json_array_begin(json);
    for (size_t i = 0; i < node_history_n(history, span); i++) {
        const struct history_sample *sample = node_history_at(history, span, i, &cores);
        switch (column) {
        case TIME:
            json_u64(json, sample->unix_ms);
            break;
        case CPU:
            json_f64(json, sample->cpu_permille / 10.0);
            break;
        case MEMORY:
            json_u64(json, sample->memory_used_bytes);
            break;
        case LOAD:
            json_f64(json, sample->load_milli / 1000.0);
            break;
        case NET_IN:
            json_u64(json, sample->net_in);
            break;
        default:
            json_u64(json, sample->net_out);
            break;
        }
    }
    json_array_end(json);
}

static void put_cores(struct json *json, const struct history *history, enum history_span span)
{
    const uint8_t *cores;

    json_key(json, "cpu_percent_per_core");
    json_array_begin(json);
    for (uint32_t core = 0; core < history->cores_n; core++) {
        json_array_begin(json);
        for (size_t i = 0; i < node_history_n(history, span); i++) {
            (void)node_history_at(history, span, i, &cores);
            json_f64(json, cores[core] / 2.0);
        }
        json_array_end(json);
    }
    json_array_end(json);
}

static void resources_history(struct control_request *request)
{
    const struct history *history = node_history(request->node);
    const char *text = control_text(request, "span");
    enum history_span span = text == NULL ? HISTORY_10M : history_span_named(text);
    struct kith_node_info info;
    struct control_reply reply;

    if (span == HISTORY_SPANS) {
        control_fail(request, KITH_E_INVALID, "span is 10m, 3h or 24h");
        return;
    }
    control_reply_begin(&reply, request);
    put_self(&reply.json, request->node, &info);
    json_kv_text(&reply.json, "span", history_span_text(span));
    json_kv_u64(&reply.json, "step_ms", history_step_ms(span));
    json_kv_u64(&reply.json, "cpus", info.cpus);
    json_kv_u64(&reply.json, "memory_bytes", info.memory_bytes);
    for (enum column column = TIME; column < COLUMNS; column++)
        put_column(&reply.json, history, span, column);
    if (control_bool(request, "cores", true))
        put_cores(&reply.json, history, span);
    control_reply_end(&reply, false, NULL, 0);
}

const struct control_verb control_verbs_host[] = {
    {.name = "resources", .run = resources, .forward = "node", .remote = true},
    {.name = "resources.history", .run = resources_history, .forward = "node", .remote = true},
    {0},
};
