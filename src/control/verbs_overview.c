/* Verbs of the cluster as a whole: how it is, what it has and uses, and what it used lately. */
#include <string.h>

#include "control/everywhere.h"
#include "control/request.h"
#include "control/totals.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/limits.h"
#include "member/member.h"
#include "node/history.h"
#include "view/view.h"

/* ---- now ---- */

/* What all nodes that are alive have and use. */
struct sums {
    uint64_t counted_n, cpus, cores, memory_bytes, memory_available_bytes, in, out;
    double load, cpu; /* cpu: percent, weighed by CPUs */
    bool net;         /* in and out are known */
};

struct looking {
    struct control_request *request;
    struct sums sums;
    size_t silent_n;
};

static void add_member(struct sums *sums, const struct kith_node_info *info)
{
    if (info->status != KITH_STATUS_ALIVE || info->facts_age_ms == UINT64_MAX)
        return;
    sums->counted_n++;
    sums->cpus += info->cpus;
    sums->cores += info->cores;
    sums->memory_bytes += info->memory_bytes;
    sums->memory_available_bytes += info->memory_available_bytes;
    sums->load += info->load;
    sums->cpu += info->cpu_percent * info->cpus;
}

static void put_sums(struct json *json, const struct sums *sums)
{
    double percent = sums->cpus > 0 ? sums->cpu / (double)sums->cpus : 0;

    json_key(json, "totals");
    json_object_begin(json);
    json_kv_u64(json, "nodes_counted", sums->counted_n);
    json_kv_u64(json, "cpus", sums->cpus);
    json_kv_u64(json, "cores", sums->cores);
    json_kv_f64(json, "cpu_percent", (double)(int64_t)(percent * 10 + 0.5) / 10);
    json_kv_f64(json, "load", (double)(int64_t)(sums->load * 100 + 0.5) / 100);
    json_kv_u64(json, "memory_bytes", sums->memory_bytes);
    json_kv_u64(json, "memory_available_bytes", sums->memory_available_bytes);
    json_key(json, "net_in_bytes_per_s");
    if (sums->net)
        json_u64(json, sums->in);
    else
        json_write_null(json);
    json_key(json, "net_out_bytes_per_s");
    if (sums->net)
        json_u64(json, sums->out);
    else
        json_write_null(json);
    json_object_end(json);
}

/* By status, without programs; and how many are drained. */
static void put_counts(struct json *json, struct kith_node *node, const struct kith_node_list *list)
{
    static const enum kith_status all[] = {KITH_STATUS_ALIVE, KITH_STATUS_SUSPECT,
                                           KITH_STATUS_FAILED, KITH_STATUS_LEFT};
    size_t programs_n = 0, drained_n = 0;

    json_key(json, "nodes");
    json_object_begin(json);
    for (size_t s = 0; s < sizeof(all) / sizeof(all[0]); s++) {
        size_t n = 0;
        for (size_t i = 0; i < list->nodes_n; i++)
            n += list->nodes[i].role != KITH_ROLE_PROGRAM && list->nodes[i].status == all[s];
        json_kv_u64(json, kith_status_text(all[s]), n);
    }
    for (size_t i = 0; i < list->nodes_n; i++) {
        const struct kith_node_info *info = &list->nodes[i];
        bool here = info->status == KITH_STATUS_ALIVE || info->status == KITH_STATUS_SUSPECT;
        programs_n += info->role == KITH_ROLE_PROGRAM && info->status == KITH_STATUS_ALIVE;
        drained_n += info->role != KITH_ROLE_PROGRAM && here && node_is_drained(node, &info->id);
    }
    json_kv_u64(json, "drained", drained_n);
    json_object_end(json);
    json_kv_u64(json, "programs", programs_n);
}

static void put_agreement(struct json *json, struct kith_node *node)
{
    struct view_quorum quorum;

    node_view_quorum(node, &quorum);
    json_kv_bool(json, "quorum",
                 quorum.epoch > 0 && quorum.voters_n - quorum.missing_n > quorum.voters_n / 2);
    json_kv_bool(json, "serving", quorum.have);
    json_kv_u64(json, "failures_tolerated", quorum.failures_tolerated);
}

static void overview_now(struct looking *looking)
{
    struct control_request *request = looking->request;
    struct kith_node_id self = kith_node_self(request->node);
    struct kith_node_list *list = NULL;
    struct control_reply reply;
    char cluster_id[33];
    int r = kith_nodes(request->node, true, &list);

    if (r != 0) {
        control_fail(request, r, NULL);
        return;
    }
    for (size_t i = 0; i < list->nodes_n; i++) {
        if (list->nodes[i].role != KITH_ROLE_PROGRAM)
            add_member(&looking->sums, &list->nodes[i]);
    }
    node_cluster_id_text(request->node, cluster_id);
    control_reply_begin(&reply, request);
    json_kv_id(&reply.json, "self", &self);
    json_kv_text(&reply.json, "cluster", node_cluster_name(request->node));
    json_kv_text(&reply.json, "cluster_id", cluster_id);
    put_counts(&reply.json, request->node, list);
    put_agreement(&reply.json, request->node);
    put_sums(&reply.json, &looking->sums);
    json_kv_u64(&reply.json, "silent_nodes", looking->silent_n);
    control_reply_end(&reply, false, NULL, 0);
    kith_node_list_free(list);
}

static void
on_resources(void *user, const struct kith_node_id *id, const char *name, json_t *result)
{
    struct looking *looking = user;

    (void)id;
    (void)name;
    looking->sums.in += (uint64_t)json_integer_value(json_object_get(result, "net_in_bytes_per_s"));
    looking->sums.out +=
        (uint64_t)json_integer_value(json_object_get(result, "net_out_bytes_per_s"));
}

static void on_all_resources(void *user, size_t silent_n)
{
    struct looking *looking = user;

    looking->sums.net = true;
    looking->silent_n = silent_n;
    if (!looking->request->ended)
        overview_now(looking);
    control_request_unref(looking->request);
    core_free(looking);
}

/* Network rates are known to each node alone: with "live" false nobody is asked for them. */
static void overview(struct control_request *request)
{
    if (!control_bool(request, "live", true)) {
        struct looking looking = {.request = request};
        overview_now(&looking);
        return;
    }
    struct looking *looking = core_calloc(1, sizeof(*looking));
    if (looking == NULL) {
        control_fail(request, KITH_E_MEMORY, NULL);
        return;
    }
    struct control_everywhere what = {.verb = "resources",
                                      .timeout_ms = CONTROL_LIVE_MS,
                                      .each = on_resources,
                                      .done = on_all_resources,
                                      .user = looking};
    looking->request = control_request_ref(request);
    int r = control_everywhere(request->node, &what);
    if (r != 0) {
        control_fail(request, r, NULL);
        control_request_unref(request);
        core_free(looking);
    }
}

/* ---- lately ---- */

struct adding {
    struct control_request *request;
    enum history_span span;
    struct totals totals;
};

static void on_history(void *user, const struct kith_node_id *id, const char *name, json_t *result)
{
    struct adding *adding = user;

    (void)id;
    (void)name;
    if (result != NULL)
        (void)totals_add(&adding->totals, result);
}

static void adding_free(struct adding *adding)
{
    control_request_unref(adding->request);
    totals_deinit(&adding->totals);
    core_free(adding);
}

static void on_all_histories(void *user, size_t silent_n)
{
    struct adding *adding = user;
    struct control_reply reply;

    control_reply_begin(&reply, adding->request);
    json_kv_text(&reply.json, "span", history_span_text(adding->span));
    totals_put(&adding->totals, &reply.json);
    json_kv_u64(&reply.json, "silent_nodes", silent_n);
    control_reply_end(&reply, false, NULL, 0);
    adding_free(adding);
}

static void add_histories(struct control_request *request, enum history_span span)
{
    uint64_t now_ms = node_started_unix_ms(request->node) + node_uptime_ms(request->node);
    struct adding *adding = core_calloc(1, sizeof(*adding));
    int r = adding == NULL ? KITH_E_MEMORY
                           : totals_init(&adding->totals, history_step_ms(span),
                                         node_history_max(span), now_ms);

    if (r != 0) {
        core_free(adding);
        control_fail(request, r, NULL);
        return;
    }
    struct control_everywhere what = {
        .verb = "resources.history",
        .args = json_pack("{s:s,s:b}", "span", history_span_text(span), "cores", 0),
        .timeout_ms = 2 * CONTROL_LIVE_MS,
        .each = on_history,
        .done = on_all_histories,
        .user = adding};
    adding->request = control_request_ref(request);
    adding->span = span;
    r = control_everywhere(request->node, &what);
    if (r != 0) {
        control_fail(request, r, NULL);
        adding_free(adding);
    }
}

/* As the round trips between all count them: those that may be asked, now or soon. */
static size_t nodes_here(struct kith_node *node)
{
    struct member *member;
    size_t at = 0, n = 0;

    while ((member = member_next(node_members(node), &at)) != NULL)
        n += member->facts.role != KITH_ROLE_PROGRAM && member->status != KITH_STATUS_LEFT;
    return n;
}

/* ---- lately, of too many to be asked ---- */

static void put_seen(struct json *json,
                     const struct history *history,
                     enum history_span span,
                     const char *key,
                     void (*put)(struct json *json, const struct history_sample *sample))
{
    const uint8_t *cores;

    json_key(json, key);
    json_array_begin(json);
    for (size_t i = 0; i < node_history_n(history, span); i++)
        put(json, node_history_at(history, span, i, &cores));
    json_array_end(json);
}

static void put_time(struct json *json, const struct history_sample *sample)
{
    json_u64(json, sample->unix_ms);
}

static void put_nodes(struct json *json, const struct history_sample *sample)
{
    json_u64(json, sample->nodes_n);
}

static void put_cpu(struct json *json, const struct history_sample *sample)
{
    json_f64(json, sample->cpu_permille / 10.0);
}

static void put_memory(struct json *json, const struct history_sample *sample)
{
    json_u64(json, sample->memory_used_bytes);
}

static void put_load(struct json *json, const struct history_sample *sample)
{
    json_f64(json, sample->load_milli / 1000.0);
}

/* What this node noted of all the others, by what membership tells of them. */
static void histories_seen(struct control_request *request, enum history_span span)
{
    const struct history *history = node_history_everywhere(request->node);
    struct control_reply reply;
    struct node_sums sums;

    node_sums(request->node, &sums);
    control_reply_begin(&reply, request);
    json_kv_text(&reply.json, "span", history_span_text(span));
    json_kv_text(&reply.json, "seen_by", kith_node_name(request->node));
    json_kv_u64(&reply.json, "step_ms", history_step_ms(span));
    json_kv_u64(&reply.json, "nodes", sums.nodes_n);
    json_kv_u64(&reply.json, "cpus", sums.cpus);
    json_kv_u64(&reply.json, "memory_bytes", sums.memory_bytes);
    put_seen(&reply.json, history, span, "time_ms", put_time);
    put_seen(&reply.json, history, span, "nodes_counted", put_nodes);
    put_seen(&reply.json, history, span, "cpu_percent", put_cpu);
    put_seen(&reply.json, history, span, "memory_used_bytes", put_memory);
    put_seen(&reply.json, history, span, "load", put_load);
    json_key(&reply.json, "net_in_bytes_per_s");
    json_write_null(&reply.json);
    json_key(&reply.json, "net_out_bytes_per_s");
    json_write_null(&reply.json);
    json_kv_u64(&reply.json, "silent_nodes", 0);
    control_reply_end(&reply, false, NULL, 0);
}

static void overview_history(struct control_request *request)
{
    const char *text = control_text(request, "span");
    enum history_span span = text == NULL ? HISTORY_10M : history_span_named(text);

    if (span == HISTORY_SPANS)
        control_fail(request, KITH_E_INVALID, "span is 10m, 3h or 24h");
    else if (nodes_here(request->node) > CONTROL_TOTALS_NODES_MAX)
        histories_seen(request, span);
    else
        add_histories(request, span);
}

const struct control_verb control_verbs_overview[] = {
    {.name = "overview", .run = overview},
    {.name = "overview.history", .run = overview_history},
    {0},
};
