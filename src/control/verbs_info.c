/* Verbs about one node: info, stats. */
#include <string.h>
#include <unistd.h>

#include "control/request.h"
#include "core/error.h"
#include "member/member.h"
#include "net/uv_net.h"
#include "node/config.h"
#include "node/facts.h"
#include "node/reload.h"
#include "rpc/rpc.h"

#define CPUS_SHOWN 1024

static void put_net(struct json *json, struct kith_node *node)
{
    struct uv_net_stats stats;
    uv_net_stats(node_net(node), &stats);
    json_key(json, "net");
    json_object_begin(json);
    json_kv_u64(json, "bytes_in", stats.bytes_in);
    json_kv_u64(json, "bytes_out", stats.bytes_out);
    json_kv_u64(json, "frames_in", stats.frames_in);
    json_kv_u64(json, "frames_out", stats.frames_out);
    json_kv_u64(json, "datagrams_in", stats.datagrams_in);
    json_kv_u64(json, "datagrams_out", stats.datagrams_out);
    json_kv_u64(json, "datagrams_dropped", stats.datagrams_dropped);
    json_kv_u64(json, "handshakes_ok", stats.handshakes_ok);
    json_kv_u64(json, "handshakes_failed", stats.handshakes_failed);
    json_kv_u64(json, "handshakes_evicted", stats.handshakes_evicted);
    json_kv_u64(json, "refused_version", stats.refused_version);
    json_kv_u64(json, "refused_cluster", stats.refused_cluster);
    json_kv_u64(json, "refused_secret", stats.refused_secret);
    json_kv_u64(json, "streams_open", stats.streams_open);
    json_kv_u64(json, "peers_known", stats.peers_known);
    json_object_end(json);
}

static void put_rpc(struct json *json, struct kith_node *node)
{
    struct rpc_stats stats;
    rpc_stats(node_rpc(node), &stats);
    json_key(json, "rpc");
    json_object_begin(json);
    json_kv_u64(json, "calls_made", stats.calls_made);
    json_kv_u64(json, "calls_ok", stats.calls_ok);
    json_kv_u64(json, "calls_app_error", stats.calls_app_error);
    json_kv_u64(json, "calls_not_executed", stats.calls_not_executed);
    json_kv_u64(json, "calls_unknown", stats.calls_unknown);
    json_kv_u64(json, "retries", stats.retries);
    json_kv_u64(json, "served", stats.served);
    json_kv_u64(json, "served_errors", stats.served_errors);
    json_kv_u64(json, "duplicates", stats.duplicates);
    json_kv_u64(json, "busy", stats.busy);
    json_kv_u64(json, "cancelled", stats.cancelled);
    json_kv_u64(json, "bad_frames", stats.bad_frames);
    json_kv_u64(json, "calls_pending", stats.calls_pending);
    json_kv_u64(json, "serving_now", stats.serving_now);
    json_kv_u64(json, "queued_now", stats.queued_now);
    json_kv_u64(json, "sessions", stats.sessions);
    json_kv_u64(json, "results_kept_bytes", stats.results_kept_bytes);
    json_object_end(json);
}

static void put_member(struct json *json, struct kith_node *node)
{
    struct member_stats stats;
    member_stats(node_members(node), &stats);
    json_key(json, "member");
    json_object_begin(json);
    json_kv_u64(json, "alive", member_alive_n(node_members(node), false));
    json_kv_u64(json, "health", member_health(node_members(node)));
    json_kv_u64(json, "probes", stats.probes);
    json_kv_u64(json, "probe_failures", stats.probe_failures);
    json_kv_u64(json, "indirect_probes", stats.indirect_probes);
    json_kv_u64(json, "suspicions", stats.suspicions);
    json_kv_u64(json, "refutations", stats.refutations);
    json_kv_u64(json, "failures", stats.failures);
    json_kv_u64(json, "bytes_in", stats.bytes_in);
    json_kv_u64(json, "bytes_out", stats.bytes_out);
    json_kv_u64(json, "bad_messages", stats.bad_messages);
    json_kv_u64(json, "bad_signatures", stats.bad_signatures);
    json_object_end(json);
}

static void put_loop(struct json *json, struct kith_node *node)
{
    struct node_stats stats;
    node_stats(node, &stats);
    json_key(json, "loop");
    json_object_begin(json);
    json_kv_u64(json, "turns", stats.loop_turns);
    json_kv_u64(json, "lag_max_ms", stats.loop_lag_max_ms);
    json_kv_u64(json, "spins", stats.spins);
    json_kv_u64(json, "spin_hits", stats.spin_hits);
    json_kv_u64(json, "requests_crossed", stats.requests_crossed);
    json_kv_u64(json, "workers", stats.workers);
    json_kv_u64(json, "workers_busy", stats.workers_busy);
    json_kv_u64(json, "workers_queue", stats.workers_queue);
    json_object_end(json);
}

static void put_modules(struct json *json, struct kith_node *node)
{
    const struct kith_module *modules[NODE_MODULES_MAX];
    size_t n = node_modules(node, modules, NODE_MODULES_MAX);

    json_key(json, "modules");
    json_array_begin(json);
    for (size_t i = 0; i < n; i++) {
        json_object_begin(json);
        json_kv_text(json, "name", modules[i]->name);
        json_kv_text(json, "version", modules[i]->version);
        json_kv_text(json, "description", modules[i]->description);
        json_object_end(json);
    }
    json_array_end(json);
}

static void put_config(struct json *json, struct kith_node *node)
{
    const struct kith_config *config = node_config_now(node);
    size_t keys_n;
    const struct config_key *keys = config_keys(&keys_n);

    json_key(json, "config");
    json_object_begin(json);
    for (size_t i = 0; i < keys_n; i++) {
        const char *value = kith_config_get(config, keys[i].name);
        if ((keys[i].flags & (CONFIG_INTERNAL | CONFIG_SECRET)) == 0 && value != NULL)
            json_kv_text(json, keys[i].name, value);
    }
    json_object_end(json);
}

static void put_cpus(struct json *json, struct kith_node *node)
{
    double percent[CPUS_SHOWN];
    size_t n = node_cpu_percent(node, percent, CPUS_SHOWN);

    json_key(json, "cpu_percent_per_core");
    json_array_begin(json);
    for (size_t i = 0; i < n; i++)
        json_f64(json, percent[i]);
    json_array_end(json);
}

static void put_addresses(struct json *json, const struct member *self)
{
    json_key(json, "addresses");
    json_array_begin(json);
    for (uint32_t i = 0; i < self->facts.addresses_n; i++)
        json_text(json, self->facts.addresses[i]);
    json_array_end(json);
}

static void put_host(struct json *json, struct kith_node *node, const struct member *self)
{
    struct kith_node_info info;

    node_info_of(node, self, &info);
    json_kv_u64(json, "cpus", info.cpus);
    json_kv_u64(json, "cores", info.cores);
    json_kv_u64(json, "memory_bytes", info.memory_bytes);
    json_kv_u64(json, "memory_available_bytes", info.memory_available_bytes);
    json_kv_f64(json, "load", info.load);
    json_kv_f64(json, "cpu_percent", info.cpu_percent);
    json_kv_bool(json, "gpu", info.gpu);
    put_cpus(json, node);
}

static void put_descriptors(struct json *json)
{
    uint32_t open_n, max_n;

    facts_descriptors(&open_n, &max_n);
    json_kv_u64(json, "fds_open", open_n);
    json_kv_u64(json, "fds_max", max_n);
}

static void info(struct control_request *request)
{
    struct kith_node *node = request->node;
    const struct member *self = member_self(node_members(node));
    const char *dir = kith_config_get(node_config(node), "node.data_dir");
    char cluster_id[33], socket_path[4200];
    struct control_reply reply;
    struct node_stats stats;

    node_stats(node, &stats);
    node_cluster_id_text(node, cluster_id);
    snprintf(socket_path, sizeof(socket_path), "%s/kith.sock", dir != NULL ? dir : "");
    control_reply_begin(&reply, request);
    struct json *json = &reply.json;
    json_kv_id(json, "id", &self->id);
    json_kv_text(json, "name", self->shown_name);
    json_kv_text(json, "cluster", node_cluster_name(node));
    json_kv_text(json, "cluster_id", cluster_id);
    json_key(json, "boot_no");
    json_u64_text(json, node_boot_no(node));
    json_kv_i64(json, "pid", getpid());
    json_kv_text(json, "data_dir", dir);
    json_kv_text(json, "socket", socket_path);
    json_kv_u64(json, "port", uv_net_port(node_net(node)));
    json_kv_text(json, "web", node_web(node)[0] != '\0' ? node_web(node) : NULL);
    put_addresses(json, self);
    control_put_labels(json, node, &self->id);
    json_kv_text(json, "version", KITH_VERSION);
    json_key(json, "started");
    json_time_ms(json, node_started_unix_ms(node));
    json_kv_u64(json, "uptime_ms", node_uptime_ms(node));
    json_kv_u64(json, "rss_bytes", stats.rss_bytes);
    put_descriptors(json);
    put_host(json, node, self);
    put_net(json, node);
    put_rpc(json, node);
    put_member(json, node);
    put_loop(json, node);
    put_modules(json, node);
    put_config(json, node);
    control_reply_end(&reply, false, NULL, 0);
}

static void stats(struct control_request *request)
{
    struct control_reply reply;
    control_reply_begin(&reply, request);
    put_net(&reply.json, request->node);
    put_rpc(&reply.json, request->node);
    put_member(&reply.json, request->node);
    put_loop(&reply.json, request->node);
    control_reply_end(&reply, false, NULL, 0);
}

const struct control_verb control_verbs_info[] = {
    {.name = "info", .run = info, .forward = "node", .remote = true},
    {.name = "stats", .run = stats, .forward = "node", .remote = true},
    {0},
};
