/*
 * kith-bench call: what a call costs, beside a plain libuv echo in the same rounds. And the door to
 * the other benchmarks.
 *
 * Servers run on core 0 and clients on core 1. Every round runs every step once, one after another,
 * and ratios are taken within a round, so that a machine whose speed drifts does not judge.
 */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define OPTIONS "kith-bench call [--json] [--rounds N] [--step MS] [--idle SECONDS]\n"

struct options {
    bool json;
    unsigned rounds, step_ms, idle_s;
};

enum {
    LATENCY,
    LATENCY_SPIN,
    SYNC,
    RATE_64,
    RATE_64_SPIN,
    RATE_1024,
    BULK,
    SERIES_N,
};

static struct bench_series series[SERIES_N] = {
    [LATENCY] = {.name = "call p50, 64 B, sleeping", .unit = "us", .target = 1.15, .at_most = true},
    [LATENCY_SPIN] = {.name = "call p50, 64 B, adaptive spin",
                      .unit = "us",
                      .target = 0.25,
                      .at_most = true},
    [SYNC] = {.name = "synchronous p50 against asynchronous",
              .unit = "us",
              .target = 1.5,
              .at_most = true},
    [RATE_64] = {.name = "64 outstanding, sleeping", .unit = "calls/s", .target = 0.8},
    [RATE_64_SPIN] = {.name = "64 outstanding, adaptive spin", .unit = "calls/s", .target = 1.8},
    [RATE_1024] = {.name = "1,024 outstanding", .unit = "calls/s", .target = 3.5e6},
    [BULK] = {.name = "1 MiB replies against echo and cipher", .unit = "MB/s", .target = 0.85},
};

static struct bench_worker plain_server, plain_client, server, client, spin_server, spin_client;
static struct bench_worker *const workers[] = {&plain_client, &client, &spin_client,
                                               &plain_server, &server, &spin_server};

static void stop_all(void)
{
    for (size_t i = 0; i < sizeof(workers) / sizeof(workers[0]); i++)
        bench_worker_stop(workers[i]);
}

static int start_pair(struct bench_worker *serving,
                      struct bench_worker *calling,
                      const char *server_role,
                      const char *client_role,
                      const char *spin_us)
{
    double port, ready;
    char arg[64];

    if (bench_worker_start(serving, server_role, spin_us, 0) != 0 ||
        bench_worker_ask(serving, "", &port, 1) != 1)
        return -1;
    snprintf(arg, sizeof(arg), "%.0f%s%s", port, spin_us[0] != '\0' ? ":" : "", spin_us);
    if (bench_worker_start(calling, client_role, arg, 1) != 0 ||
        bench_worker_ask(calling, "", &ready, 1) != 1)
        return -1;
    return 0;
}

struct answer {
    double p50, p99, rate;
};

static struct answer ask(struct bench_worker *worker, const char *step, unsigned n, unsigned ms)
{
    char line[64];
    double values[3] = {(double)NAN, (double)NAN, (double)NAN};

    if (n > 0)
        snprintf(line, sizeof(line), "%s %u %u", step, n, ms);
    else
        snprintf(line, sizeof(line), "%s %u", step, ms);
    if (bench_worker_ask(worker, line, values, 3) != 3) {
        stop_all();
        exit(1);
    }
    return (struct answer){values[0], values[1], values[2]};
}

static void note(unsigned at, double value, double baseline)
{
    bench_note(&series[at], value, baseline);
}

static void round_of_calls(unsigned ms)
{
    struct answer plain, own;

    plain = ask(&plain_client, "latency", 0, ms);
    own = ask(&client, "latency", 0, ms);
    note(LATENCY, own.p50, plain.p50);
    struct answer spin = ask(&spin_client, "latency", 0, ms);
    note(LATENCY_SPIN, spin.p50, plain.p50);
    struct answer sync = ask(&client, "sync", 0, ms);
    note(SYNC, sync.p50, own.p50);

    plain = ask(&plain_client, "rate", 64, ms);
    own = ask(&client, "rate", 64, ms);
    note(RATE_64, own.rate, plain.rate);
    own = ask(&spin_client, "rate", 64, ms);
    note(RATE_64_SPIN, own.rate, plain.rate);
    own = ask(&spin_client, "rate", 1024, ms);
    note(RATE_1024, own.rate, (double)NAN);

    double mb = BENCH_BULK_BYTES / 1e6;
    plain = ask(&plain_client, "bulk", 4, ms);
    double seal = bench_seal_bytes_per_s() / 1e6;
    own = ask(&client, "bulk", 4, ms);
    double model = 1 / (1 / (plain.rate * mb) + 1 / seal);
    note(BULK, own.rate * mb, model);
}

/* ---- an idle cluster of four ---- */

#define IDLE_NODES   4
#define IDLE_FIGURES 3

struct idle {
    double rss, cpu_ns, in, out, alive;
};

static int idle_ask(struct bench_worker *worker, struct idle *idle)
{
    double values[5];
    if (bench_worker_ask(worker, "figures", values, 5) != 5)
        return -1;
    *idle = (struct idle){values[0], values[1], values[2], values[3], values[4]};
    return 0;
}

static int idle_cluster(unsigned seconds, struct bench_figure figures[IDLE_FIGURES])
{
    struct bench_worker nodes[IDLE_NODES] = {0};
    struct idle before[IDLE_NODES], after[IDLE_NODES];
    double port = 0, rss = 0, cpu = 0, bytes = 0;
    char arg[64];
    int r = -1;

    for (int i = 0; i < IDLE_NODES; i++) {
        double own;
        snprintf(arg, sizeof(arg), "%d:%.0f", i, port);
        if (bench_worker_start(&nodes[i], "idle-node", arg, -1) != 0 ||
            bench_worker_ask(&nodes[i], "", &own, 1) != 1)
            goto out;
        port = i == 0 ? own : port;
    }
    for (int tries = 0; tries < 200; tries++) {
        int whole = 0;
        for (int i = 0; i < IDLE_NODES; i++) {
            if (idle_ask(&nodes[i], &before[i]) != 0)
                goto out;
            whole += before[i].alive >= IDLE_NODES;
        }
        if (whole == IDLE_NODES)
            break;
        usleep(50000);
    }
    sleep(3); /* what joining leaves behind */
    for (int i = 0; i < IDLE_NODES; i++)
        if (idle_ask(&nodes[i], &before[i]) != 0)
            goto out;
    sleep(seconds);
    for (int i = 0; i < IDLE_NODES; i++) {
        if (idle_ask(&nodes[i], &after[i]) != 0)
            goto out;
        rss = after[i].rss > rss ? after[i].rss : rss;
        cpu += after[i].cpu_ns - before[i].cpu_ns;
        bytes += after[i].in + after[i].out - before[i].in - before[i].out;
    }
    double nodes_n = IDLE_NODES;
    figures[0] = (struct bench_figure){.name = "idle node, memory",
                                       .unit = "MiB",
                                       .value = rss / 1048576,
                                       .target = 8,
                                       .at_most = true};
    figures[1] = (struct bench_figure){.name = "idle node, processor",
                                       .unit = "% of a core",
                                       .value = cpu / nodes_n / (seconds * 1e9) * 100,
                                       .target = 0.2,
                                       .at_most = true};
    figures[2] = (struct bench_figure){.name = "idle node, traffic for each peer",
                                       .unit = "KB/s",
                                       .value = bytes / nodes_n / (nodes_n - 1) / seconds / 1000,
                                       .target = 0.5,
                                       .at_most = true};
    for (int i = 0; i < IDLE_FIGURES; i++) {
        figures[i].low = figures[i].high = figures[i].value;
        figures[i].baseline = figures[i].ratio = (double)NAN;
    }
    r = 0;
out:
    for (int i = IDLE_NODES; i-- > 0;)
        bench_worker_stop(&nodes[i]);
    return r;
}

/* ---- the command ---- */

static int bench_call(const struct options *options)
{
    struct bench_figure figures[SERIES_N + IDLE_FIGURES];
    size_t n = 0;

    if (options->rounds > 0 &&
        (start_pair(&plain_server, &plain_client, "plain-server", "plain-client", "") != 0 ||
         start_pair(&server, &client, "kith-server", "kith-client", "0") != 0 ||
         start_pair(&spin_server, &spin_client, "kith-server", "kith-client", "50") != 0)) {
        stop_all();
        return 1;
    }
    for (unsigned i = 0; i < options->rounds; i++) {
        if (!options->json && isatty(2))
            fprintf(stderr, "\rround %u of %u ", i + 1, options->rounds);
        round_of_calls(options->step_ms);
    }
    if (!options->json && isatty(2))
        fprintf(stderr, "\r%30s\r", "");
    stop_all();
    for (size_t i = 0; options->rounds > 0 && i < SERIES_N; i++)
        figures[n++] = bench_figure_of(&series[i]);
    if (options->idle_s > 0 && idle_cluster(options->idle_s, &figures[n]) == 0)
        n += IDLE_FIGURES;
    bench_print(figures, n, options->json, "kith.bench.call/1");
    return 0;
}

static int run_role(const char *role, const char *arg)
{
    static const struct {
        const char *name;
        int (*run)(const char *arg);
    } roles[] = {
        {"plain-server", bench_plain_server}, {"plain-client", bench_plain_client},
        {"kith-server", bench_kith_server},   {"kith-client", bench_kith_client},
        {"idle-node", bench_idle_node},       {"state-node", bench_state_node},
        {"file-node", bench_file_node},
    };
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (strcmp(roles[i].name, role) == 0)
            return roles[i].run(arg);
    }
    return 2;
}

static void choose_secret(void)
{
    char text[65];
    FILE *random = fopen("/dev/urandom", "r");
    unsigned char bytes[32] = {0};

    if (random == NULL || fread(bytes, 1, sizeof(bytes), random) != sizeof(bytes)) {
        perror("kith-bench: /dev/urandom");
        exit(1);
    }
    fclose(random);
    for (int i = 0; i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    setenv("KITH_BENCH_SECRET", text, 1);
}

static int usage(const char *why, const char *what)
{
    fprintf(stderr, "kith-bench: %s%s\nusage: " OPTIONS, why, what);
    return 2;
}

static int call_main(int argc, char **argv)
{
    struct options options = {.rounds = 15, .step_ms = 300, .idle_s = 10};

    for (int i = 0; i < argc; i++) {
        bool value = i + 1 < argc;
        if (strcmp(argv[i], "--json") == 0)
            options.json = true;
        else if (strcmp(argv[i], "--rounds") == 0 && value)
            options.rounds = (unsigned)atoi(argv[++i]);
        else if (strcmp(argv[i], "--step") == 0 && value)
            options.step_ms = (unsigned)atoi(argv[++i]);
        else if (strcmp(argv[i], "--idle") == 0 && value)
            options.idle_s = (unsigned)atoi(argv[++i]);
        else
            return usage("unknown option ", argv[i]);
    }
    choose_secret();
    return bench_call(&options);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {{"call", call_main},        {"var", bench_var},   {"lock", bench_lock},
                    {"history", bench_history}, {"http", bench_http}, {"file", bench_file}};

    if (argc == 4 && strcmp(argv[1], "--role") == 0)
        return run_role(argv[2], argv[3]);
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; argc >= 2 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2);
    }
    return usage("say what to measure: ", "call, var, lock, file, http or history");
}
