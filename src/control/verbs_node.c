/* Verbs about nodes: who is here, connecting, leaving, inviting. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/request.h"
#include "core/alloc.h"
#include "core/error.h"
#include "member/member.h"
#include "net/uv_net.h"
#include "node/config.h"

static void hello(struct control_request *request)
{
    struct control_reply reply;
    struct kith_node_id self = kith_node_self(request->node);

    control_reply_begin(&reply, request);
    json_kv_text(&reply.json, "version", KITH_VERSION);
    json_kv_id(&reply.json, "self", &self);
    json_kv_text(&reply.json, "name", kith_node_name(request->node));
    json_kv_i64(&reply.json, "pid", getpid());
    json_kv_i64(&reply.json, "protocol", 1);
    control_reply_end(&reply, false, NULL, 0);
}

/* ---- nodes ---- */

static void put_known_f64(struct json *json, const char *key, double value, bool known)
{
    json_key(json, key);
    if (known)
        json_f64(json, value);
    else
        json_write_null(json);
}

static void put_known_u64(struct json *json, const char *key, uint64_t value, bool known)
{
    json_key(json, key);
    if (known)
        json_u64(json, value);
    else
        json_write_null(json);
}

static void put_node(struct json *json, struct kith_node *node, const struct kith_node_info *info)
{
    const struct member *member = member_find(node_members(node), &info->id);
    bool known = info->facts_age_ms != UINT64_MAX;

    json_object_begin(json);
    json_kv_id(json, "id", &info->id);
    json_kv_text(json, "name", info->name);
    json_kv_text(json, "status", kith_status_text(info->status));
    json_kv_text(json, "role", info->role == KITH_ROLE_PROGRAM ? "program" : "node");
    json_kv_text(json, "address", info->address);
    json_key(json, "addresses");
    json_array_begin(json);
    for (uint32_t i = 0; member != NULL && i < member->facts.addresses_n; i++)
        json_text(json, member->facts.addresses[i]);
    json_array_end(json);
    json_kv_text(json, "version", info->version);
    json_kv_u64(json, "cpus", info->cpus);
    json_kv_u64(json, "cores", info->cores);
    json_kv_u64(json, "memory_bytes", info->memory_bytes);
    put_known_u64(json, "memory_available_bytes", info->memory_available_bytes, known);
    put_known_f64(json, "load", info->load, known);
    put_known_f64(json, "cpu_percent", info->cpu_percent, known);
    json_kv_bool(json, "gpu", info->gpu);
    put_known_f64(json, "rtt_ms", info->rtt_ms, info->rtt_ms >= 0);
    put_known_u64(json, "facts_age_ms", info->facts_age_ms, known);
    json_kv_u64(json, "status_age_ms", info->status_age_ms);
    json_key(json, "boot_no");
    json_u64_text(json, info->boot_no);
    control_put_labels(json, node, &info->id);
    json_object_end(json);
}

static void nodes(struct control_request *request)
{
    struct control_reply reply;
    struct kith_node_list *list = NULL;
    struct kith_node_id self = kith_node_self(request->node);
    char cluster_id[33];

    int r = kith_nodes(request->node, control_bool(request, "programs", false), &list);
    if (r != 0) {
        control_fail(request, r, NULL);
        return;
    }
    node_cluster_id_text(request->node, cluster_id);
    control_reply_begin(&reply, request);
    json_kv_id(&reply.json, "self", &self);
    json_kv_text(&reply.json, "cluster", node_cluster_name(request->node));
    json_kv_text(&reply.json, "cluster_id", cluster_id);
    if (config_bool(node_config(request->node), "node.dev"))
        json_kv_bool(&reply.json, "dev", true);
    json_key(&reply.json, "nodes");
    json_array_begin(&reply.json);
    for (size_t i = 0; i < list->nodes_n; i++)
        put_node(&reply.json, request->node, &list->nodes[i]);
    json_array_end(&reply.json);
    control_reply_end(&reply, false, NULL, 0);
    kith_node_list_free(list);
}

/* ---- connecting ---- */

static void on_connected(void *arg, int code, const struct kith_node_id *id)
{
    struct control_request *request = arg;
    const struct member *member = id != NULL ? member_find(node_members(request->node), id) : NULL;
    struct kith_node_id self = kith_node_self(request->node);

    if (code != 0) {
        control_fail(request, code, NULL);
    } else {
        struct control_reply reply;
        control_reply_begin(&reply, request);
        json_kv_id(&reply.json, "id", id);
        json_kv_text(&reply.json, "name", member != NULL ? member->shown_name : "");
        json_kv_bool(&reply.json, "self", kith_node_id_equal(id, &self));
        control_reply_end(&reply, false, NULL, 0);
    }
    control_request_unref(request);
}

static void connect_to(struct control_request *request)
{
    const char *address = control_text_needed(request, "address");
    if (address == NULL)
        return;
    control_request_ref(request);
    int r = node_connect(request->node, address, control_u64(request, "timeout_ms", 5000),
                         on_connected, request);
    if (r != 0) {
        control_fail(request, r, NULL);
        control_request_unref(request);
    }
}

static void answer_code(struct control_request *request, int code)
{
    if (code != 0)
        control_fail(request, code, NULL);
    else
        control_reply_empty(request);
}

static void disconnect_from(struct control_request *request)
{
    const char *which = control_text_needed(request, "node");
    unsigned open_n;

    if (which == NULL)
        return;
    int r = node_disconnect(request->node, which, &open_n);
    if (r != 0) {
        control_fail(request, r, NULL);
        return;
    }
    struct control_reply reply;
    control_reply_begin(&reply, request);
    json_kv_u64(&reply.json, "closed", open_n);
    control_reply_end(&reply, false, NULL, 0);
}

static void forget(struct control_request *request)
{
    const char *which = control_text_needed(request, "node");
    if (which != NULL)
        answer_code(request, node_forget(request->node, which));
}

/* The agent's main thread does on SIGTERM what is asked for here. */
static void leave(struct control_request *request)
{
    control_reply_empty(request);
    kill(getpid(), SIGTERM);
}

/* ---- echoes ---- */

struct pinging {
    struct control_request *request;
    uv_timer_t timer;
    struct kith_node_id id;
    char name[KITH_NAME_BYTES_MAX + 1];
    uint64_t count, timeout_ms, interval_ms;
    uint64_t sent, received;
};

static void ping_next(struct pinging *pinging);

static void on_ping_closed(uv_handle_t *handle)
{
    struct pinging *pinging = handle->data;
    control_request_unref(pinging->request);
    core_free(pinging);
}

static void ping_over(struct pinging *pinging)
{
    struct control_reply reply;

    pinging->request->cancel = NULL;
    control_reply_begin(&reply, pinging->request);
    json_kv_u64(&reply.json, "sent", pinging->sent);
    json_kv_u64(&reply.json, "received", pinging->received);
    control_reply_end(&reply, false, NULL, 0);
    uv_close((uv_handle_t *)&pinging->timer, on_ping_closed);
}

static void on_ping_timer(uv_timer_t *timer)
{
    ping_next(timer->data);
}

static void on_pong(void *arg, int code, uint64_t rtt_ns)
{
    struct pinging *pinging = arg;
    struct control_reply reply;

    control_reply_begin(&reply, pinging->request);
    json_kv_u64(&reply.json, "seq", pinging->sent);
    json_kv_id(&reply.json, "node", &pinging->id);
    json_kv_text(&reply.json, "name", pinging->name);
    if (code == 0) {
        pinging->received++;
        json_kv_f64(&reply.json, "rtt_ms", control_ms(rtt_ns));
    } else {
        json_kv_text(&reply.json, "error", kith_errmsg()[0] ? kith_errmsg() : kith_strerror(code));
        json_kv_text(&reply.json, "code", kith_error_name(code));
    }
    control_reply_end(&reply, true, NULL, 0);
    if (pinging->sent == pinging->count || pinging->request->ended)
        ping_over(pinging);
    else
        uv_timer_start(&pinging->timer, on_ping_timer, pinging->interval_ms, 0);
}

static void ping_next(struct pinging *pinging)
{
    char id[KITH_NODE_ID_DIGITS + 1];

    if (pinging->request->ended) {
        ping_over(pinging);
        return;
    }
    pinging->sent++;
    kith_node_id_text(&pinging->id, id);
    int r = node_ping(pinging->request->node, id, pinging->timeout_ms, on_pong, pinging);
    if (r != 0)
        on_pong(pinging, r, 0);
}

/* Between two echoes it is over now; otherwise when the echo under way has ended. */
static void ping_cancelled(struct control_request *request)
{
    struct pinging *pinging = request->state;
    if (!uv_is_active((uv_handle_t *)&pinging->timer))
        return;
    uv_timer_stop(&pinging->timer);
    uv_close((uv_handle_t *)&pinging->timer, on_ping_closed);
}

static void ping(struct control_request *request)
{
    const char *which = control_text_needed(request, "node");
    struct member *member;

    if (which == NULL)
        return;
    int r = node_member_named(request->node, which, &member);
    struct pinging *pinging = r == 0 ? core_calloc(1, sizeof(*pinging)) : NULL;
    if (pinging == NULL) {
        control_fail(request, r != 0 ? r : KITH_E_MEMORY, NULL);
        return;
    }
    pinging->request = control_request_ref(request);
    pinging->id = member->id;
    pinging->count = control_u64(request, "count", 1);
    pinging->timeout_ms = control_u64(request, "timeout_ms", 1000);
    pinging->interval_ms = control_u64(request, "interval_ms", 1000);
    snprintf(pinging->name, sizeof(pinging->name), "%s", member->shown_name);
    if (pinging->count == 0)
        pinging->count = 1;
    uv_timer_init(node_loop(request->node), &pinging->timer);
    pinging->timer.data = pinging;
    request->state = pinging;
    request->cancel = ping_cancelled;
    ping_next(pinging);
}

/* ---- letting others in ---- */

static void put_addresses(struct json *json, struct kith_node *node)
{
    char addresses[NET_ADDRESSES_PER_PEER_MAX][KITH_ADDRESS_TEXT_MAX + 1];
    size_t n = uv_net_addresses(node_net(node), addresses, NET_ADDRESSES_PER_PEER_MAX);

    json_key(json, "addresses");
    json_array_begin(json);
    for (size_t i = 0; i < n; i++)
        json_text(json, addresses[i]);
    json_array_end(json);
}

static void put_cluster(struct json *json, struct kith_node *node)
{
    char cluster_id[33];
    node_cluster_id_text(node, cluster_id);
    json_kv_text(json, "cluster", node_cluster_name(node));
    json_kv_text(json, "cluster_id", cluster_id);
}

static void invite(struct control_request *request)
{
    struct control_reply reply;
    char *token = NULL;

    int r = node_join_token(request->node, &token);
    if (r != 0) {
        control_fail(request, r, NULL);
        return;
    }
    control_reply_begin(&reply, request);
    json_kv_text(&reply.json, "token", token);
    put_addresses(&reply.json, request->node);
    put_cluster(&reply.json, request->node);
    control_reply_end(&reply, false, NULL, 0);
    kith_free(token);
}

static void credentials(struct control_request *request)
{
    struct control_reply reply;
    char secret[65];

    node_cluster_secret_text(request->node, secret);
    control_reply_begin(&reply, request);
    put_cluster(&reply.json, request->node);
    json_kv_text(&reply.json, "secret", secret);
    put_addresses(&reply.json, request->node);
    control_reply_end(&reply, false, NULL, 0);
}

/* ---- modules ---- */

static void module_load(struct control_request *request)
{
    const char *name = control_text_needed(request, "module");
    const struct kith_module *modules[NODE_MODULES_MAX];

    if (name == NULL)
        return;
    int r = kith_module_load(request->node, name);
    if (r != 0) {
        control_fail(request, r, NULL);
        return;
    }
    size_t n = node_modules(request->node, modules, NODE_MODULES_MAX);
    struct control_reply reply;
    control_reply_begin(&reply, request);
    json_kv_text(&reply.json, "name", modules[n - 1]->name);
    json_kv_text(&reply.json, "version", modules[n - 1]->version);
    control_reply_end(&reply, false, NULL, 0);
}

const struct control_verb control_verbs_node[] = {
    {.name = "hello", .run = hello},
    {.name = "nodes", .run = nodes, .forward = "node", .remote = true},
    {.name = "connect", .run = connect_to},
    {.name = "disconnect", .run = disconnect_from},
    {.name = "forget", .run = forget},
    {.name = "leave", .run = leave},
    {.name = "ping", .run = ping, .forward = "from", .remote = true},
    {.name = "invite", .run = invite},
    {.name = "credentials", .run = credentials},
    {.name = "module.load", .run = module_load},
    {0},
};
