/*
 * Starting a node: identity, channel, cores, workers, loop; each step undone by the ladder in
 * node_stop.c's order if a later one fails.
 */
#include "node/node.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "node/internal.h"
#include "node/token.h"
#include "node/uv_fs.h"

/* Set by the build; 0: callbacks are not measured. */
#ifndef NODE_CALLBACK_MS
#define NODE_CALLBACK_MS 0
#endif

uint64_t node_seed(void)
{
    uint64_t seed;
    randombytes_buf(&seed, sizeof(seed));
    return seed;
}

int node_fail_stopped(void)
{
    return kith_fail_with(KITH_E_STOPPED, "the node is stopped or stopping; start another");
}

/* ---- identity ---- */

/* With a secret and no cluster in the directory the node joins by itself. */
static int join_by_secret(struct kith_node *node, const char *secret_file)
{
    struct token token;
    int r = token_read_secret_file(secret_file, &token);
    if (r != 0)
        return r;
    node->cluster = token.cluster;
    snprintf(node->cluster_name, sizeof(node->cluster_name), "%s", token.cluster_name);
    for (uint32_t i = 0; r == 0 && i < token.addresses_n; i++)
        r = config_set_from(node->config, "net.seed", token.addresses[i], secret_file);
    if (r == 0)
        r = data_dir_set_cluster(&node->dir, &node->cluster, node->cluster_name);
    token_wipe(&token);
    return r;
}

static uint64_t born_of(const struct data_dir *dir)
{
    char path[4096];
    uv_fs_t request;
    uint64_t born_ms = node_unix_ms();

    snprintf(path, sizeof(path), "%s/node.key", dir->path);
    if (uv_fs_stat(NULL, &request, path, NULL) == 0)
        born_ms = (uint64_t)request.statbuf.st_mtim.tv_sec * 1000 +
                  (uint64_t)request.statbuf.st_mtim.tv_nsec / 1000000;
    uv_fs_req_cleanup(&request);
    return born_ms;
}

static int open_dir(struct kith_node *node, const char *path)
{
    const char *secret_file = config_text(node->config, "net.secret_file");
    int r = data_dir_open(&node->dir, path, secret_file != NULL || node->program);
    if (r != 0)
        return r;
    if (!node->program) {
        r = data_dir_cluster(&node->dir, &node->cluster, node->cluster_name);
        if (r == KITH_E_NO_CLUSTER && secret_file != NULL)
            r = join_by_secret(node, secret_file);
    }
    if (r == 0)
        r = data_dir_identity(&node->dir, secret_file != NULL || node->program, &node->identity);
    if (r == 0)
        r = data_dir_next_boot(&node->dir, 0, &node->boot_no);
    if (r == 0)
        node->born_unix_ms = born_of(&node->dir);
    return r;
}

static int program_cluster(struct kith_node *node)
{
    const char *id = config_text(node->config, "program.cluster_id");
    const char *secret = config_text(node->config, "program.secret");
    const char *name = config_text(node->config, "program.cluster");

    if (id == NULL || secret == NULL || hex_decode(id, node->cluster.id.bytes, 16) != 0 ||
        hex_decode(secret, node->cluster.secret, 32) != 0)
        return kith_fail_with(KITH_E_NO_CLUSTER,
                              "a program has no cluster yet: call kith_config_from_agent() on its "
                              "configuration first");
    snprintf(node->cluster_name, sizeof(node->cluster_name), "%s", name != NULL ? name : "");
    return 0;
}

/* A key in memory, which nobody has seen before: its first boot. */
static int fresh_identity(struct kith_node *node)
{
    uint8_t seed[32];
    randombytes_buf(seed, sizeof(seed));
    int r = net_identity_from_seed(&node->identity, seed);
    sodium_memzero(seed, sizeof(seed));
    node->boot_no = 1;
    node->born_unix_ms = node_unix_ms();
    return r;
}

static int open_identity(struct kith_node *node)
{
    const char *path = config_text(node->config, "node.data_dir");
    char standard[4096];

    node->dir.lock_fd = -1;
    node->program = config_choice(node->config, "node.role") == CONFIG_ROLE_PROGRAM;
    if (node->program) {
        int r = program_cluster(node);
        if (r == 0)
            r = path != NULL ? open_dir(node, path) : fresh_identity(node);
        return r;
    }
    if (path == NULL) {
        int r = data_dir_default(standard, sizeof(standard));
        if (r != 0)
            return r;
        path = standard;
        r = kith_config_set(node->config, "node.data_dir", standard);
        if (r != 0)
            return r;
    }
    return open_dir(node, path);
}

/* The configured name, else the host's, made to fit a label; programs are told apart by number. */
static void choose_name(struct kith_node *node)
{
    const char *name = config_text(node->config, "node.name");
    char host[256] = "";
    size_t n = 0;

    if (name != NULL) {
        snprintf(node->name, sizeof(node->name), "%s", name);
        return;
    }
    if (gethostname(host, sizeof(host) - 1) != 0)
        snprintf(host, sizeof(host), "node");
    if (node->program) {
        snprintf(node->name, sizeof(node->name), "program-%ld", (long)getpid());
        return;
    }
    for (const char *at = host; *at != '\0' && *at != '.' && n < MEMBER_NAME_BYTES_MAX; at++) {
        char one[2] = {*at, '\0'};
        node->name[n++] = (char)(text_is_node_name(one) ? *at : '-');
    }
    node->name[n] = '\0';
    if (n == 0)
        snprintf(node->name, sizeof(node->name), "node");
}

/* ---- the channel ---- */

static void
on_stream_open(void *user, struct uv_peer *peer, uint64_t boot_no, enum net_class net_class)
{
    struct kith_node *node = user;
    node->work_n++;
    if (net_class == NET_CONTROL) {
        struct member_event event = {.type = MEMBER_LINK_UP,
                                     .id = *uv_peer_id(peer),
                                     .boot_no = boot_no,
                                     .sign_pk = uv_peer_sign_pk(peer),
                                     .text = uv_peer_address(peer)};
        node_member_step(node, &event);
    } else if (net_class == NET_RPC) {
        node_rpc_link(node, RPC_LINK_UP, peer, boot_no);
    }
    if (net_class == NET_CONTROL)
        node_state_link(node, uv_peer_id(peer), boot_no, true);
}

static void
on_stream_closed(void *user, struct uv_peer *peer, enum net_class net_class, const char *reason)
{
    struct kith_node *node = user;
    log_debug(&node->log.log, "net", "stream closed", "peer", uv_peer_address(peer), "reason",
              reason, NULL);
    if (net_class == NET_CONTROL) {
        struct member_event event = {.type = MEMBER_LINK_DOWN, .id = *uv_peer_id(peer)};
        node_member_step(node, &event);
        node_state_link(node, uv_peer_id(peer), uv_peer_boot_no(peer), false);
    } else if (net_class == NET_RPC) {
        node_rpc_link(node, RPC_LINK_DOWN, peer, uv_peer_boot_no(peer));
    } else {
        node_fs_bulk_lost(node, peer);
    }
}

static void on_frame(void *user, struct uv_peer *peer, uint64_t boot_no, struct net_frame *frame)
{
    struct kith_node *node = user;
    node->work_n++;
    if (frame->type >= FRAME_VIEW) {
        node_state_frame(node, uv_peer_id(peer), boot_no, frame->type, frame->body, frame->len);
        return;
    }
    if (frame->type > FRAME_MEMBER_LAST) {
        node_rpc_frame(node, peer, boot_no, frame);
        return;
    }
    struct member_event event = {.type = MEMBER_FRAME,
                                 .id = *uv_peer_id(peer),
                                 .boot_no = boot_no,
                                 .frame_type = frame->type,
                                 .data = frame->body,
                                 .len = frame->len};
    node_member_step(node, &event);
}

static void
on_datagram(void *user, struct uv_peer *peer, uint64_t boot_no, const uint8_t *data, size_t len)
{
    struct kith_node *node = user;
    struct member_event event = {.type = MEMBER_DATAGRAM,
                                 .id = *uv_peer_id(peer),
                                 .boot_no = boot_no,
                                 .data = data,
                                 .len = len};
    node_member_step(node, &event);
}

static void
on_unreachable(void *user, struct uv_peer *peer, enum net_class net_class, const char *reason)
{
    struct kith_node *node = user;
    log_debug(&node->log.log, "net", "unreachable", "peer", uv_peer_address(peer), "reason", reason,
              NULL);
    if (net_class == NET_RPC)
        node_rpc_link(node, RPC_UNREACHABLE, peer, uv_peer_boot_no(peer));
    else if (net_class == NET_BULK)
        node_fs_bulk_lost(node, peer);
}

/* To the calls it is as if the stream had been there and ended: they ask for it again. */
static void on_given_up(void *user, struct uv_peer *peer, enum net_class net_class)
{
    struct kith_node *node = user;
    if (net_class == NET_RPC)
        node_rpc_link(node, RPC_LINK_DOWN, peer, uv_peer_boot_no(peer));
    else if (net_class == NET_BULK)
        node_fs_bulk_lost(node, peer);
}

static uint64_t on_stale_boot(void *user, uint64_t seen)
{
    struct kith_node *node = user;
    uint64_t boot_no = seen + 1;

    if (node->dir.path != NULL && data_dir_next_boot(&node->dir, seen, &boot_no) != 0) {
        log_error(&node->log.log, "node", "the boot number cannot be raised", "reason",
                  kith_errmsg(), NULL);
        return 0;
    }
    log_warn(&node->log.log, "node",
             "peers have seen a later start of this node (a restored backup?): going on above it",
             NULL);
    node->boot_no = boot_no;
    node_boot_raised(node);
    return boot_no;
}

static bool on_in_use(void *user, struct uv_peer *peer)
{
    struct kith_node *node = user;
    return rpc_peer_in_use(node->rpc, uv_peer_id(peer));
}

static void on_drained(void *user, struct uv_peer *peer, enum net_class net_class)
{
    if (net_class == NET_BULK)
        node_fs_drained(user, peer);
}

static int open_net(struct kith_node *node)
{
    uint16_t port_kept = 0;
    char listen[KITH_ADDRESS_TEXT_MAX + 1];

    snprintf(listen, sizeof(listen), "%s", config_text(node->config, "net.listen"));
    if (node->dir.path != NULL)
        (void)data_dir_port(&node->dir, &port_kept);
    struct uv_net_config config = {
        .loop = &node->loop,
        .log = &node->log.log,
        .identity = &node->identity,
        .cluster = &node->cluster,
        .boot_no = node->boot_no,
        .role = node->program ? KITH_ROLE_PROGRAM : KITH_ROLE_NODE,
        .name = node->name,
        .listen = listen,
        .port_kept = port_kept,
        .peer_queue_bytes_max = config_size(node->config, "net.peer_queue_bytes_max"),
        .events = {.stream_open = on_stream_open,
                   .stream_closed = on_stream_closed,
                   .frame = on_frame,
                   .datagram = on_datagram,
                   .unreachable = on_unreachable,
                   .given_up = on_given_up,
                   .stale_boot = on_stale_boot,
                   .in_use = on_in_use,
                   .drained = on_drained},
        .user = node,
    };
    int r = uv_net_open(&node->net, &config);
    if (r != 0)
        return r;
    if (node->dir.path != NULL && uv_net_port(node->net) != port_kept)
        r = data_dir_set_port(&node->dir, uv_net_port(node->net));
    return r;
}

/* ---- start ---- */

static int open_cores(struct kith_node *node)
{
    node->workers_n = (uint32_t)config_u64(node->config, "rpc.workers");
    if (node->workers_n == 0)
        node->workers_n = facts_cpus();
    int r = node_rpc_open(node);
    if (r == 0)
        r = node_member_open(node);
    if (r == 0)
        r = node_state_open(node);
    if (r == 0)
        r = workers_start(&node->workers, node->workers_n, "kith-worker");
    return r;
}

/* On the loop thread, first of all. */
void node_loop_first(struct kith_node *node)
{
    struct member_event start = {.type = MEMBER_START};

    node_state_first(node);
    node_member_step(node, &start);
    node_member_recall(node);
    for (size_t i = 0; i < config_repeat_n(node->config, "net.seed"); i++) {
        struct member_event seed = {.type = MEMBER_SEED,
                                    .text = config_repeat(node->config, "net.seed", i)};
        node_member_step(node, &seed);
    }
    node_sample(node);
    node->start_code = node_sys_functions_export(node);
    if (node->start_code == 0)
        node->start_code = node_modules_load_configured(node);
    snprintf(node->start_text, sizeof(node->start_text), "%s", kith_errmsg());
}

static int start(struct kith_node *node)
{
    int r = open_identity(node);
    if (r != 0)
        return r;
    choose_name(node);
    r = node_logs_open(node);
    if (r == 0)
        r = node_loop_open(node);
    if (r == 0) {
        node->loop_open = true;
        r = open_net(node);
    }
    if (r == 0)
        r = open_cores(node);
    if (r != 0)
        return r;
    node_loop_begin(node);
    sem_init(&node->started, 0, 0);
    if (node_thread_start(node) != 0)
        return kith_fail_with(KITH_E_LIMIT,
                              "cannot start the loop thread: the system allows no more");
    node->thread_running = true;
    node_sem_wait(&node->started);
    return node->start_code != 0 ? kith_fail_with(node->start_code, "%s", node->start_text) : 0;
}

/* Debug builds tell of callbacks that hold the loop up; others if KITH_CALLBACK_MS asks for it. */
static uint64_t callback_limit_ns(void)
{
    const char *text = getenv("KITH_CALLBACK_MS");
    uint64_t ms = NODE_CALLBACK_MS;

    if (text != NULL)
        (void)text_parse_u64(text, 0, 60000, &ms);
    return ms * 1000000;
}

int kith_node_start(const struct kith_config *config, struct kith_node **node_out)
{
    *node_out = NULL;
    if (config == NULL)
        return kith_fail_with(KITH_E_INVALID, "a node needs a configuration: kith_config_new()");
    if (sodium_init() < 0)
        return kith_fail_with(KITH_E_INTERNAL, "libsodium finds no source of randomness");
    core_set_foreign_strerror(uv_strerror);
    struct kith_node *node = core_calloc(1, sizeof(*node));
    if (node == NULL || (node->config = config_copy(config)) == NULL) {
        core_free(node);
        return KITH_E_MEMORY;
    }
    node->started_unix_ms = node_unix_ms();
    node->started_ns = node_now_ns();
    node->arg_bytes_max = config_size(config, "rpc.argument_bytes_max");
    node->reply_bytes_max = config_size(config, "rpc.reply_bytes_max");
    spin_init(&node->spin, config_u64(config, "loop.spin_us") * 1000);
    list_init(&node->exports);
    list_init(&node->serving);
    list_init(&node->maps);
    list_init(&node->reload_waits);
    list_init(&node->completion_watches);
    list_init(&node->member_waits);
    node->callback_limit_ns = callback_limit_ns();
    int r = start(node);
    if (r != 0) {
        char text[1024];
        snprintf(text, sizeof(text), "%s", kith_errmsg());
        node_end(node);
        return text[0] != '\0' ? kith_fail_with(r, "%s", text) : r;
    }
    *node_out = node;
    return 0;
}

/* ---- what a node says of itself ---- */

struct kith_node_id kith_node_self(const struct kith_node *node)
{
    return node->identity.id;
}

const char *kith_node_name(const struct kith_node *node)
{
    return node->name;
}

uv_loop_t *node_loop(struct kith_node *node)
{
    return &node->loop;
}

struct log *node_log(struct kith_node *node)
{
    return &node->log.log;
}

struct member_core *node_members(struct kith_node *node)
{
    return node->members;
}

struct rpc_core *node_rpc(struct kith_node *node)
{
    return node->rpc;
}

struct uv_net *node_net(struct kith_node *node)
{
    return node->net;
}

const struct kith_config *node_config(const struct kith_node *node)
{
    return node->config;
}

uint64_t node_started_unix_ms(const struct kith_node *node)
{
    return node->started_unix_ms;
}

uint64_t node_uptime_ms(const struct kith_node *node)
{
    return (node_now_ns() - node->started_ns) / 1000000;
}

uint64_t node_boot_no(const struct kith_node *node)
{
    return node->boot_no;
}

const char *node_cluster_name(const struct kith_node *node)
{
    return node->cluster_name;
}

void node_cluster_id_text(const struct kith_node *node, char out[33])
{
    hex_encode(node->cluster.id.bytes, NET_CLUSTER_ID_BYTES, out);
}

void node_cluster_secret_text(const struct kith_node *node, char out[65])
{
    hex_encode(node->cluster.secret, NET_SECRET_BYTES, out);
}

int node_join_token(struct kith_node *node, char **token_out)
{
    struct token token = {.cluster = node->cluster};
    snprintf(token.cluster_name, sizeof(token.cluster_name), "%s", node->cluster_name);
    token.addresses_n = (uint32_t)uv_net_addresses(node->net, token.addresses, TOKEN_ADDRESSES_MAX);
    char *text = core_malloc(TOKEN_TEXT_MAX + 1);
    int r = text == NULL ? KITH_E_MEMORY : token_encode(&token, text);
    token_wipe(&token);
    if (r != 0) {
        core_free(text);
        return r;
    }
    *token_out = text;
    return 0;
}

const struct tally *node_served(const struct kith_node *node)
{
    return &node->served;
}

void node_stats(struct kith_node *node, struct node_stats *stats_out)
{
    *stats_out = node->stats;
    stats_out->spins = node->spin.spins_n;
    stats_out->spin_hits = node->spin.hits_n;
    stats_out->workers = node->workers_n;
    workers_count(node->workers, &stats_out->workers_busy, &stats_out->workers_queue);
    stats_out->rss_bytes = facts_rss_bytes();
}

size_t node_cpu_percent(struct kith_node *node, double *out, size_t max)
{
    return facts_cpu_percent(&node->facts_host, out, max);
}

size_t node_temperatures(struct kith_node *node, struct sensor_reading *out, size_t max)
{
    return sensors_read(&node->sensors, "/sys", out, max);
}

void node_disk(struct kith_node *node, uint64_t *bytes_out, uint64_t *available_out)
{
    *bytes_out = *available_out = 0;
    if (node->dir.path != NULL)
        facts_disk(node->dir.path, bytes_out, available_out);
}

const struct history *node_history(const struct kith_node *node)
{
    return &node->history;
}

const struct history *node_history_everywhere(const struct kith_node *node)
{
    return &node->everywhere;
}

void node_net_rate(const struct kith_node *node, uint64_t *in_out, uint64_t *out_out)
{
    *in_out = node->net_rate.in_per_s;
    *out_out = node->net_rate.out_per_s;
}
