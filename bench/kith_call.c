/*
 * The system under test: two kith nodes, each a process of its own, that call each other over the
 * sealed channel as any program would. The server's functions are inline; the client's next call is
 * made in the completion callback of the last.
 */
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "kith.h"
#include "net/uv_net.h"
#include "node/config.h"
#include "node/facts.h"
#include "node/node.h"

/* The same in both processes; nobody else knows it. */
static const char cluster_id[] = "00112233445566778899aabbccddeeff";

static int fail(const char *what)
{
    fprintf(stderr, "kith-bench: %s: %s\n", what, kith_errmsg());
    return 1;
}

static struct kith_node *start(const char *name, const char *spin_us, const char *seed)
{
    struct kith_config *config = kith_config_new();
    struct kith_node *node = NULL;
    const char *secret = getenv("KITH_BENCH_SECRET");

    if (config == NULL || config_set_from(config, "node.role", "program", "bench") != 0 ||
        config_set_from(config, "program.cluster_id", cluster_id, "bench") != 0 ||
        config_set_from(config, "program.secret", secret, "bench") != 0 ||
        kith_config_set(config, "net.listen", "127.0.0.1:0") != 0 ||
        kith_config_set(config, "node.name", name) != 0 ||
        kith_config_set(config, "loop.spin_us", spin_us) != 0 ||
        (seed != NULL && kith_config_set(config, "net.seed", seed) != 0) ||
        kith_node_start(config, &node) != 0)
        fail("cannot start a node");
    kith_config_free(config);
    return node;
}

/* ---- server ---- */

static int echo(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    (void)user;
    return kith_reply(ctx, arg, len);
}

static int bulk(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    void *data = malloc(BENCH_BULK_BYTES);
    (void)arg;
    (void)len;
    (void)user;
    return data != NULL ? kith_reply_take(ctx, data, BENCH_BULK_BYTES) : 1;
}

static void port_of(struct kith_node *node, void *arg)
{
    *(unsigned *)arg = uv_net_port(node_net(node));
}

int bench_kith_server(const char *spin_us)
{
    struct kith_export functions[] = {
        {.name = "bench.echo", .fn = echo, .flags = KITH_FN_INLINE | KITH_FN_IDEMPOTENT},
        {.name = "bench.bulk", .fn = bulk, .flags = KITH_FN_INLINE | KITH_FN_IDEMPOTENT},
    };
    struct kith_node *node = start("server", spin_us, NULL);
    char line[64];
    unsigned port = 0;

    if (node == NULL)
        return 1;
    for (size_t i = 0; i < 2; i++) {
        if (kith_export(node, &functions[i]) != 0)
            return fail("cannot export");
    }
    node_run(node, port_of, &port);
    printf("%u\n", port);
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL)
        continue;
    kith_node_stop(node);
    return 0;
}

/* ---- client ---- */

static struct {
    struct kith_node *node;
    const char *fn;
    uint8_t argument[BENCH_ECHO_BYTES];
    struct kith_call_options options;
    uint64_t begun_ns, until_ns, measured_from_ns, sent_ns;
    uint64_t count, failed;
    unsigned n, outstanding;
    bool measure_each;
    struct bench_samples samples;
    sem_t done;
} client;

static void on_reply(struct kith_node *node, const struct kith_result *result, void *user);

static void call(struct kith_node *node)
{
    if (kith_call_async(node, client.fn, client.argument, sizeof(client.argument), &client.options,
                        on_reply, NULL, NULL) != 0) {
        fail("call");
        exit(1);
    }
}

static void on_reply(struct kith_node *node, const struct kith_result *result, void *user)
{
    uint64_t now_ns = 0;

    (void)user;
    client.outstanding--;
    if (result->outcome != KITH_OUTCOME_OK && client.failed++ == 0)
        fprintf(stderr, "kith-bench: a call failed: %s\n", result->text);
    if (client.measure_each || (client.count & 63) == 0)
        now_ns = bench_now_ns();
    if (client.measure_each && now_ns >= client.measured_from_ns)
        bench_add(&client.samples, (double)(now_ns - client.sent_ns) / 1000);
    client.count++;
    if (now_ns >= client.until_ns)
        client.until_ns = 0;
    if (client.until_ns != 0) {
        client.sent_ns = now_ns;
        client.outstanding++;
        call(node);
    } else if (client.outstanding == 0) {
        sem_post(&client.done);
    }
}

static void begin(struct kith_node *node, void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < client.n; i++)
        call(node);
}

static void prepare(const char *fn, unsigned n, unsigned ms, bool each)
{
    client.fn = fn;
    client.n = n;
    client.measure_each = each;
    client.samples.n = 0;
    client.count = 0;
    client.failed = 0;
    client.outstanding = n;
    client.begun_ns = bench_now_ns();
    client.sent_ns = client.begun_ns;
    client.measured_from_ns = client.begun_ns + BENCH_WARM_MS * 1000000u;
    client.until_ns = client.begun_ns + (uint64_t)(ms + BENCH_WARM_MS) * 1000000u;
}

static void report(void)
{
    double seconds = (double)(bench_now_ns() - client.begun_ns) / 1e9;
    printf("%f %f %f\n", bench_percentile(&client.samples, 50),
           bench_percentile(&client.samples, 99),
           client.failed > 0 ? 0.0 : (double)client.count / seconds);
    fflush(stdout);
}

static void step(const char *fn, unsigned n, unsigned ms, bool each)
{
    prepare(fn, n, ms, each);
    node_post(client.node, begin, NULL);
    while (sem_wait(&client.done) != 0)
        continue;
    report();
}

/* From this thread, which sleeps until each reply is there. */
static void step_sync(unsigned ms)
{
    prepare("bench.echo", 1, ms, true);
    for (uint64_t now_ns = bench_now_ns(); now_ns < client.until_ns;) {
        uint64_t sent_ns = now_ns;
        struct kith_reply *reply = NULL;
        if (kith_call(client.node, client.fn, client.argument, sizeof(client.argument),
                      &client.options, &reply) != 0)
            client.failed++;
        kith_reply_free(reply);
        now_ns = bench_now_ns();
        if (now_ns >= client.measured_from_ns)
            bench_add(&client.samples, (double)(now_ns - sent_ns) / 1000);
        client.count++;
    }
    report();
}

int bench_kith_client(const char *arg)
{
    char seed[64], line[128];
    unsigned port, n, ms;
    char spin_us[16];

    if (sscanf(arg, "%u:%15s", &port, spin_us) != 2)
        return 2;
    snprintf(seed, sizeof(seed), "127.0.0.1:%u", port);
    client.node = start("client", spin_us, seed);
    if (client.node == NULL)
        return 1;
    sem_init(&client.done, 0, 0);
    client.options.timeout_ms = 20000;
    client.options.wait_for_function = true;
    if (kith_call(client.node, "bench.echo", "x", 1, &client.options, NULL) != 0)
        return fail("first call");
    client.options.wait_for_function = false;
    printf("0\n");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (sscanf(line, "latency %u", &ms) == 1)
            step("bench.echo", 1, ms, true);
        else if (sscanf(line, "sync %u", &ms) == 1)
            step_sync(ms);
        else if (sscanf(line, "rate %u %u", &n, &ms) == 2)
            step("bench.echo", n, ms, false);
        else if (sscanf(line, "bulk %u %u", &n, &ms) == 2)
            step("bench.bulk", n, ms, false);
    }
    kith_node_stop(client.node);
    return 0;
}

/* ---- idle node ---- */

/* Prints its port, then for each line "figures": RSS in bytes, CPU ns, peer bytes in and out. */
struct idle_figures {
    uint64_t in, out;
};

static void idle_run(struct kith_node *node, void *arg)
{
    struct idle_figures *figures = arg;
    struct uv_net_stats stats;
    uv_net_stats(node_net(node), &stats);
    figures->in = stats.bytes_in;
    figures->out = stats.bytes_out;
}

int bench_idle_node(const char *arg)
{
    unsigned port = 0, seed_port;
    char name[32], seed[64], line[64];
    int no;

    if (sscanf(arg, "%d:%u", &no, &seed_port) != 2)
        return 2;
    snprintf(name, sizeof(name), "idle-%d", no);
    snprintf(seed, sizeof(seed), "127.0.0.1:%u", seed_port);
    struct kith_node *node = start(name, "50", seed_port != 0 ? seed : NULL);
    if (node == NULL)
        return 1;
    node_run(node, port_of, &port);
    printf("%u\n", port);
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        struct idle_figures figures = {0};
        struct kith_node_list *list = NULL;
        struct facts_self self;
        size_t alive = 0;
        node_run(node, idle_run, &figures);
        facts_self(&self);
        if (kith_nodes(node, true, &list) == 0) {
            for (size_t i = 0; i < list->nodes_n; i++)
                alive += list->nodes[i].status == KITH_STATUS_ALIVE;
            kith_node_list_free(list);
        }
        printf("%llu %llu %llu %llu %zu\n", (unsigned long long)self.rss_bytes,
               (unsigned long long)self.cpu_ns, (unsigned long long)figures.in,
               (unsigned long long)figures.out, alive);
        fflush(stdout);
    }
    kith_node_stop(node);
    return 0;
}
