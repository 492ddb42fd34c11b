/* Health, readiness, and counters as Prometheus reads them. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/error.h"
#include "core/tally.h"
#include "http/server.h"
#include "http/stream.h"
#include "member/member.h"
#include "net/uv_net.h"
#include "node/facts.h"
#include "rpc/rpc.h"
#include "view/view.h"

#define TEXT "text/plain; charset=utf-8"

void http_get_health(struct http_exchange *x)
{
    struct http_body body = {.status = 200, .type = TEXT, .data = "ok\n", .len = 3};
    http_answer(x, &body, NULL);
}

void http_get_ready(struct http_exchange *x)
{
    struct view_quorum quorum;
    char text[128];

    node_view_quorum(x->server->service.node, &quorum);
    int n = quorum.have ? snprintf(text, sizeof(text), "ready\n")
                        : snprintf(text, sizeof(text),
                                   "no majority: %u of %u voters are here; kith view says which\n",
                                   (unsigned)(quorum.voters_n - quorum.missing_n),
                                   (unsigned)quorum.voters_n);
    struct http_body body = {
        .status = quorum.have ? 200 : 503, .type = TEXT, .data = text, .len = (size_t)n};
    http_answer(x, &body, NULL);
}

/* ---- metrics ---- */

static void family(struct buf *out, const char *name, const char *type, const char *help)
{
    (void)buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct buf *out, const char *name, const char *type, const char *help, double value)
{
    family(out, name, type, help);
    (void)buf_printf(out, "%s %.17g\n", name, value);
}

static void
put_tally(struct buf *out, const char *name, const char *help, const struct tally *tally)
{
    uint64_t n = 0;

    family(out, name, "histogram", help);
    for (size_t i = 0; i < TALLY_BOUNDS; i++) {
        n += tally->counts[i];
        (void)buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
                         (double)tally_bounds_ns[i] / 1e9, n);
    }
    n += tally->counts[TALLY_BOUNDS];
    (void)buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.9f\n%s_count %" PRIu64 "\n",
                     name, n, name, (double)tally->sum_ns / 1e9, name, n);
}

static void put_peers(struct buf *out, struct kith_node *node)
{
    static const enum kith_status states[] = {KITH_STATUS_ALIVE, KITH_STATUS_SUSPECT,
                                              KITH_STATUS_FAILED, KITH_STATUS_LEFT};
    struct kith_node_list *list = NULL;
    unsigned n = 0;

    if (kith_nodes(node, false, &list) != 0)
        return;
    family(out, "kith_peers", "gauge", "Nodes known, this one included, by state.");
    for (size_t s = 0; s < sizeof(states) / sizeof(states[0]); s++) {
        unsigned count = 0;
        for (size_t i = 0; i < list->nodes_n; i++)
            count += list->nodes[i].status == states[s];
        (void)buf_printf(out, "kith_peers{state=\"%s\"} %u\n", kith_status_text(states[s]), count);
    }
    put_tally(out, "kith_peer_rtt_seconds", "Round trips of echoes to other nodes.",
              member_rtts(node_members(node)));
    family(out, "kith_peer_rtt_smoothed_seconds", "gauge",
           "Round trip to each other node, smoothed.");
    for (size_t i = 0; i < list->nodes_n && n < HTTP_METRIC_PEERS_MAX; i++) {
        if (list->nodes[i].rtt_ms <= 0 || list->nodes[i].status != KITH_STATUS_ALIVE)
            continue;
        n++;
        (void)buf_printf(out, "kith_peer_rtt_smoothed_seconds{peer=\"%s\"} %.9g\n",
                         list->nodes[i].name, list->nodes[i].rtt_ms / 1000);
    }
    kith_node_list_free(list);
}

/* What this node serves; beyond so many names they are counted together. */
static void put_functions(struct buf *out, struct kith_node *node)
{
    struct kith_function_list *list = NULL;
    struct kith_node_id self = kith_node_self(node);
    uint64_t calls = 0, errors = 0;
    unsigned n = 0;

    if (kith_functions(node, &list) != 0)
        return;
    family(out, "kith_rpc_requests_total", "counter", "Calls served here, by function and result.");
    for (size_t i = 0; i < list->functions_n; i++) {
        const struct kith_function_info *fn = &list->functions[i];
        if (!kith_node_id_equal(&fn->node, &self))
            continue;
        if (n++ < HTTP_METRIC_FUNCTIONS_MAX) {
            (void)buf_printf(out,
                             "kith_rpc_requests_total{function=\"%s\",code=\"ok\"} %" PRIu64
                             "\nkith_rpc_requests_total{function=\"%s\",code=\"error\"} %" PRIu64
                             "\n",
                             fn->name, fn->calls_n - fn->errors_n, fn->name, fn->errors_n);
        } else {
            calls += fn->calls_n;
            errors += fn->errors_n;
        }
    }
    (void)buf_printf(out,
                     "kith_rpc_requests_total{function=\"other\",code=\"ok\"} %" PRIu64
                     "\nkith_rpc_requests_total{function=\"other\",code=\"error\"} %" PRIu64 "\n",
                     calls - errors, errors);
    kith_function_list_free(list);
    put_tally(out, "kith_rpc_duration_seconds", "How long functions ran that were served here.",
              node_served(node));
}

static void put_rpc(struct buf *out, struct kith_node *node)
{
    struct rpc_stats stats;

    rpc_stats(node_rpc(node), &stats);
    family(out, "kith_rpc_calls_total", "counter", "Calls made from here that ended, by outcome.");
    (void)buf_printf(out,
                     "kith_rpc_calls_total{outcome=\"ok\"} %" PRIu64
                     "\nkith_rpc_calls_total{outcome=\"app_error\"} %" PRIu64
                     "\nkith_rpc_calls_total{outcome=\"not_executed\"} %" PRIu64
                     "\nkith_rpc_calls_total{outcome=\"unknown\"} %" PRIu64 "\n",
                     stats.calls_ok, stats.calls_app_error, stats.calls_not_executed,
                     stats.calls_unknown);
    one(out, "kith_rpc_retries_total", "counter", "Calls that were sent again.",
        (double)stats.retries);
    one(out, "kith_rpc_calls_pending", "gauge", "Calls made from here under way.",
        (double)stats.calls_pending);
    one(out, "kith_rpc_serving", "gauge", "Calls that run here now.", (double)stats.serving_now);
    one(out, "kith_rpc_queued", "gauge", "Calls that wait here.", (double)stats.queued_now);
}

static void put_net(struct buf *out, struct kith_node *node)
{
    struct uv_net_stats stats;

    uv_net_stats(node_net(node), &stats);
    family(out, "kith_net_bytes_total", "counter", "Bytes exchanged with peers.");
    (void)buf_printf(out,
                     "kith_net_bytes_total{direction=\"in\"} %" PRIu64
                     "\nkith_net_bytes_total{direction=\"out\"} %" PRIu64 "\n",
                     stats.bytes_in, stats.bytes_out);
    family(out, "kith_net_frames_total", "counter", "Frames exchanged with peers.");
    (void)buf_printf(out,
                     "kith_net_frames_total{direction=\"in\"} %" PRIu64
                     "\nkith_net_frames_total{direction=\"out\"} %" PRIu64 "\n",
                     stats.frames_in, stats.frames_out);
    one(out, "kith_net_streams_open", "gauge", "Streams to peers.", (double)stats.streams_open);
    one(out, "kith_net_handshakes_failed_total", "counter", "Handshakes that failed.",
        (double)stats.handshakes_failed);
}

static void count_held(struct kith_node *node, const struct kith_lock_info *info, void *user)
{
    struct kith_node_id self = kith_node_self(node);

    for (size_t i = 0; i < info->parties_n; i++)
        *(unsigned *)user +=
            info->parties[i].holds && kith_node_id_equal(&info->parties[i].node, &self);
}

static void put_damaged(void *user, const char *name, uint64_t n)
{
    (void)buf_printf(user, "kith_files_damaged_total{peer=\"%s\"} %" PRIu64 "\n", name, n);
}

static void put_files(struct buf *out, struct kith_node *node)
{
    one(out, "kith_files_cached_bytes", "gauge", "Bytes of files in the caches of this node.",
        (double)node_fs_cached_bytes(node));
    family(out, "kith_files_damaged_total", "counter",
           "Damaged chunks and lists of files that came, by the node that sent them.");
    put_damaged(out, "", node_fs_damages_each(node, put_damaged, out));
}

static void put_state(struct buf *out, struct kith_node *node)
{
    struct view_quorum quorum;
    struct kith_var_list *list = NULL;
    unsigned held = 0;

    node_locks_each(node, count_held, &held);
    one(out, "kith_locks_held", "gauge", "Mutexes held by this node.", held);
    if (kith_var_list(node, NULL, &list) == 0) {
        one(out, "kith_variables", "gauge", "Shared variables known.", (double)list->vars_n);
        kith_var_list_free(list);
    }
    put_files(out, node);
    node_view_quorum(node, &quorum);
    one(out, "kith_quorum", "gauge", "1 if this node sees a majority of the voters.", quorum.have);
}

static void put_http(struct buf *out, struct http_server *server)
{
    struct web_stats web;
    struct stream_stats stream;

    web_stats(server->web, &web);
    stream_stats(server->stream, &stream);
    family(out, "kith_http_requests_total", "counter", "Requests answered, by class of status.");
    for (size_t i = 1; i < 6; i++)
        (void)buf_printf(out, "kith_http_requests_total{code=\"%zuxx\"} %" PRIu64 "\n", i,
                         server->requests[i]);
    one(out, "kith_http_connections", "gauge", "Connections open.", web.connections);
    one(out, "kith_http_connections_refused_total", "counter", "Connections above the limit.",
        (double)web.refused_connections);
    one(out, "kith_http_timeouts_total", "counter", "Connections closed for being slow.",
        (double)web.timeouts);
    one(out, "kith_http_read_bytes", "gauge", "Held for files that are read, at most.",
        (double)server->reads_bytes);
    one(out, "kith_http_websockets", "gauge", "WebSockets open.", web.sockets);
    one(out, "kith_http_subscriptions", "gauge", "Subscriptions of WebSockets.",
        stream.subscriptions);
    one(out, "kith_http_stream_bytes_total", "counter", "Bytes of messages to WebSockets.",
        (double)stream.bytes);
}

static void put_process(struct buf *out, struct kith_node *node)
{
    struct facts_self self;
    struct node_stats stats;
    uint32_t open_n, max_n;

    facts_self(&self);
    facts_descriptors(&open_n, &max_n);
    node_stats(node, &stats);
    one(out, "process_cpu_seconds_total", "counter", "User and system CPU time.",
        (double)self.cpu_ns / 1e9);
    one(out, "process_resident_memory_bytes", "gauge", "Resident memory.", (double)self.rss_bytes);
    one(out, "process_open_fds", "gauge", "File descriptors open.", open_n);
    one(out, "process_max_fds", "gauge", "File descriptors there may be.", max_n);
    one(out, "process_start_time_seconds", "gauge", "Start of the process since the epoch.",
        (double)node_started_unix_ms(node) / 1000);
    one(out, "kith_loop_lag_max_seconds", "gauge", "Longest turn of the loop so far.",
        (double)stats.loop_lag_max_ms / 1000);
    one(out, "kith_workers_busy", "gauge", "Workers that run a function.", stats.workers_busy);
    one(out, "kith_workers_queue", "gauge", "Functions that wait for a worker.",
        stats.workers_queue);
}

void http_get_metrics(struct http_exchange *x)
{
    struct http_server *server = x->server;
    struct kith_node *node = server->service.node;
    struct buf out = {0};

    family(&out, "kith_build_info", "gauge", "Version of this node.");
    (void)buf_printf(&out, "kith_build_info{version=\"%s\"} 1\n", KITH_VERSION);
    put_peers(&out, node);
    put_rpc(&out, node);
    put_functions(&out, node);
    put_net(&out, node);
    put_state(&out, node);
    put_http(&out, server);
    put_process(&out, node);
    struct http_body body = {.status = 200,
                             .type = "text/plain; version=0.0.4; charset=utf-8",
                             .data = out.data,
                             .len = out.len};
    http_answer(x, &body, NULL);
    buf_deinit(&out);
}
