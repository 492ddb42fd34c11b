#include "lib/node_lab.h"

#include <ftw.h>
#include <sodium.h>
#include <unistd.h>

#include "core/bytes.h"
#include "net/data_dir.h"
#include "net/uv_net.h"
#include "node/config.h"
#include "node/node.h"

static char cluster_text[33], secret_text[65];

static void cluster_once(void)
{
    uint8_t bytes[32];

    if (cluster_text[0] != '\0')
        return;
    assert_true(sodium_init() >= 0);
    randombytes_buf(bytes, sizeof(bytes));
    hex_encode(bytes, 16, cluster_text);
    hex_encode(bytes, 32, secret_text);
}

struct kith_config *lab_config(const char *name)
{
    struct kith_config *config = kith_config_new();

    cluster_once();
    assert_non_null(config);
    assert_int_equal(config_set_from(config, "node.role", "program", "test"), 0);
    assert_int_equal(config_set_from(config, "program.cluster_id", cluster_text, "test"), 0);
    assert_int_equal(config_set_from(config, "program.cluster", "test", "test"), 0);
    assert_int_equal(config_set_from(config, "program.secret", secret_text, "test"), 0);
    assert_int_equal(kith_config_set(config, "net.listen", "127.0.0.1:0"), 0);
    assert_int_equal(kith_config_set(config, "node.name", name), 0);
    assert_int_equal(kith_config_set(config, "rpc.workers", "8"), 0);
    return config;
}

static void port_run(struct kith_node *node, void *arg)
{
    *(uint16_t *)arg = uv_net_port(node_net(node));
}

void lab_address(struct kith_node *node, char *out, size_t bytes)
{
    uint16_t port = 0;
    assert_int_equal(node_run(node, port_run, &port), 0);
    (void)snprintf(out, bytes, "127.0.0.1:%u", port);
}

void lab_nap(void)
{
    struct timespec pause = {.tv_nsec = 2000000};
    (void)nanosleep(&pause, NULL);
}

bool lab_wait(bool (*ready)(void *arg), void *arg)
{
    for (int i = 0; i < LAB_WAIT_MS / 2; i++) {
        if (ready(arg))
            return true;
        lab_nap();
    }
    return false;
}

struct count {
    _Atomic unsigned *counter;
    unsigned wanted;
};

static bool is_counted(void *arg)
{
    struct count *count = arg;
    return atomic_load(count->counter) >= count->wanted;
}

bool lab_wait_count(_Atomic unsigned *counter, unsigned wanted)
{
    return lab_wait(is_counted, &(struct count){.counter = counter, .wanted = wanted});
}

struct pair {
    struct kith_node *viewer;
    struct kith_node_id other;
};

static bool is_alive(void *arg)
{
    struct pair *pair = arg;
    struct kith_node_list *list = NULL;
    bool alive = false;

    assert_int_equal(kith_nodes(pair->viewer, true, &list), 0);
    for (size_t i = 0; i < list->nodes_n; i++)
        alive |= kith_node_id_equal(&list->nodes[i].id, &pair->other) &&
                 list->nodes[i].status == KITH_STATUS_ALIVE;
    kith_node_list_free(list);
    return alive;
}

struct kith_node *lab_start(const char *name, struct kith_node *first)
{
    struct kith_config *config = lab_config(name);
    struct kith_node *node = NULL;
    char address[64];

    if (first != NULL) {
        lab_address(first, address, sizeof(address));
        assert_int_equal(kith_config_set(config, "net.seed", address), 0);
    }
    if (kith_node_start(config, &node) != 0)
        fail_msg("%s", kith_errmsg());
    kith_config_free(config);
    if (first != NULL) {
        assert_true(lab_wait(is_alive, &(struct pair){first, kith_node_self(node)}));
        assert_true(lab_wait(is_alive, &(struct pair){node, kith_node_self(first)}));
    }
    return node;
}

/* ---- agents ---- */

#define AGENTS_MAX 7

static char agent_dirs[AGENTS_MAX][128];

/* A data directory that is in the lab's cluster. */
static void make_dir(char *path, size_t bytes)
{
    const char *tmp = getenv("TMPDIR");
    struct net_cluster cluster;
    struct data_dir dir;

    (void)snprintf(path, bytes, "%s/kith-lab-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(path));
    cluster_once();
    assert_int_equal(hex_decode(cluster_text, cluster.id.bytes, 16), 0);
    assert_int_equal(hex_decode(secret_text, cluster.secret, 32), 0);
    assert_int_equal(data_dir_open(&dir, path, true), 0);
    struct net_identity identity;
    assert_int_equal(data_dir_identity(&dir, true, &identity), 0);
    assert_int_equal(data_dir_set_cluster(&dir, &cluster, "test"), 0);
    data_dir_close(&dir);
}

static struct kith_node *
agent_start(const char *path, unsigned no, unsigned n, struct kith_node *first)
{
    struct kith_config *config = kith_config_new();
    struct kith_node *node = NULL;
    char text[64];

    assert_non_null(config);
    assert_int_equal(kith_config_set(config, "node.data_dir", path), 0);
    assert_int_equal(kith_config_set(config, "net.listen", "127.0.0.1:0"), 0);
    assert_int_equal(kith_config_set(config, "log.level", "error"), 0);
    (void)snprintf(text, sizeof(text), "agent-%u", no);
    assert_int_equal(kith_config_set(config, "node.name", text), 0);
    (void)snprintf(text, sizeof(text), "%u", n);
    assert_int_equal(kith_config_set(config, "view.expect", text), 0);
    if (first != NULL) {
        lab_address(first, text, sizeof(text));
        assert_int_equal(kith_config_set(config, "net.seed", text), 0);
    }
    if (kith_node_start(config, &node) != 0)
        fail_msg("%s", kith_errmsg());
    kith_config_free(config);
    return node;
}

const char *lab_agent_dir(unsigned i)
{
    return agent_dirs[i];
}

static bool can_write(void *arg)
{
    const struct kith_var_options soon = {.timeout_ms = 1000};
    return kith_var_set(arg, "lab/ready", "1", 1, &soon, NULL) == 0;
}

void lab_agents_start(struct kith_node **nodes, unsigned n)
{
    assert_true(n >= 1 && n <= AGENTS_MAX);
    for (unsigned i = 0; i < n; i++) {
        make_dir(agent_dirs[i], sizeof(agent_dirs[i]));
        nodes[i] = agent_start(agent_dirs[i], i + 1, n, i > 0 ? nodes[0] : NULL);
    }
    for (unsigned i = 0; i < n; i++) {
        for (unsigned k = 0; k < n; k++) {
            struct pair pair = {nodes[i], kith_node_self(nodes[k])};
            assert_true(i == k || lab_wait(is_alive, &pair));
        }
    }
    for (unsigned i = 0; i < n; i++)
        assert_true(lab_wait(can_write, nodes[i]));
}

struct kith_node *lab_agent_again(void)
{
    return agent_start(agent_dirs[0], 1, 1, NULL);
}

static int remove_one(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
    (void)stat;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void lab_agents_stop(struct kith_node **nodes, unsigned n)
{
    for (unsigned i = n; i-- > 0;) {
        kith_node_stop(nodes[i]);
        assert_int_equal(nftw(agent_dirs[i], remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    }
}

void lab_offer(struct kith_node *node, const char *name, kith_fn fn, uint32_t flags, void *user)
{
    struct kith_export desc = {.name = name, .fn = fn, .flags = flags, .user = user};
    if (kith_export(node, &desc) != 0)
        fail_msg("%s", kith_errmsg());
}

struct known {
    struct kith_node *node;
    const char *fn;
    size_t n;
};

static bool is_known(void *arg)
{
    struct known *known = arg;
    struct kith_function_list *list = NULL;
    size_t n = 0;

    assert_int_equal(kith_functions(known->node, &list), 0);
    for (size_t i = 0; i < list->functions_n; i++)
        n += strcmp(list->functions[i].name, known->fn) == 0;
    kith_function_list_free(list);
    return n == known->n;
}

void lab_wait_function(struct kith_node *node, const char *fn, size_t n)
{
    assert_true(lab_wait(is_known, &(struct known){.node = node, .fn = fn, .n = n}));
}

struct kith_call_options lab_soon(void)
{
    return (struct kith_call_options){.timeout_ms = LAB_WAIT_MS, .wait_for_function = true};
}

int lab_echo(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    (void)user;
    return kith_reply(ctx, arg, len);
}

int lab_until_cancelled(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    _Atomic unsigned *started = user;

    (void)arg;
    (void)len;
    if (started != NULL)
        atomic_fetch_add(started, 1);
    for (int i = 0; i < LAB_WAIT_MS / 2 && !kith_ctx_cancelled(ctx); i++)
        lab_nap();
    return 0;
}
