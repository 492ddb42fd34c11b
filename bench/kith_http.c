/*
 * kith-bench http: what pages cost the node that serves them. A dev cluster is started on loopback,
 * and many clients in one process (http_clients.h) follow it at its first node as open pages do.
 *
 * The node's processor time is that of all its threads; what it uses without clients is taken off.
 */
#include <dirent.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench.h"
#include "cluster.h"
#include "http_clients.h"

#define OPTIONS   "kith-bench http [--json] [--nodes N] [--clients N] [--pages N] [--seconds S]\n"
#define SETTLE_MS 4000
#define PERCENT   100.0

struct options {
    bool json;
    unsigned nodes, clients, pages, seconds;
};

struct node {
    char kith[4096], dir[64], socket[100], token[128];
    unsigned port;
    int pid;
};

enum {
    IDLE,
    CPU,
    MESSAGES,
    BYTES,
    FIRST,
    HIDDEN,
    HIDDEN_BYTES,
    MEMORY,
    PAGE,
    PAGE_BYTES,
    FIGURES_N
};

static struct bench_figure figures[FIGURES_N] = {
    [IDLE] = {.name = "the node without clients", .unit = "% of a core"},
    [CPU] = {.name = "all clients", .unit = "% of a core", .target = 10, .at_most = true},
    [MESSAGES] = {.name = "messages to each", .unit = "/s"},
    [BYTES] = {.name = "traffic to each", .unit = "KB/s", .target = 20, .at_most = true},
    [FIRST] = {.name = "first messages to each", .unit = "KB"},
    [HIDDEN] = {.name = "each, hidden", .unit = "% of a core", .target = 0.001, .at_most = true},
    [HIDDEN_BYTES] = {.name = "traffic to each, hidden",
                      .unit = "KB/s",
                      .target = 0.01,
                      .at_most = true},
    [MEMORY] = {.name = "memory of each", .unit = "KiB"},
    [PAGE] = {.name = "an open overview with its graphs",
              .unit = "% of a core",
              .target = 2,
              .at_most = true},
    [PAGE_BYTES] = {.name = "traffic to it", .unit = "KB/s", .target = 20, .at_most = true},
};

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "kith-bench: %s: %s\n", what, why);
    return -1;
}

static void note(unsigned at, double value)
{
    figures[at].value = figures[at].low = figures[at].high = value;
}

/* ---- the node ---- */

/* kith with the words of @format behind it. */
__attribute__((format(printf, 2, 3))) static int
run(const struct node *node, const char *format, ...)
{
    char command[sizeof(node->kith) + 200];
    va_list args;
    int n = snprintf(command, sizeof(command), "'%s' ", node->kith);

    va_start(args, format);
    vsnprintf(command + n, sizeof(command) - (size_t)n, format, args);
    va_end(args);
    return system(command) == 0 ? 0 : -1;
}

static int start(struct node *node, unsigned nodes_n)
{
    snprintf(node->dir, sizeof(node->dir), "/tmp/kith-bench-XXXXXX");
    if (cluster_find_kith(node->kith, sizeof(node->kith)) != 0 || mkdtemp(node->dir) == NULL)
        return fail("cannot make a directory", node->dir);
    snprintf(node->socket, sizeof(node->socket), "%s/1/kith.sock", node->dir);
    if (run(node, "dev %u --dir %s --quiet --wait 60s", nodes_n, node->dir) != 0)
        return fail("kith dev", "the cluster did not come up");
    json_t *info = cluster_ask(node->socket, "info", NULL, 5000);
    json_t *token = cluster_ask(node->socket, "web.token", NULL, 5000);
    const char *web = json_string_value(json_object_get(info, "web"));
    const char *text = json_string_value(json_object_get(token, "token"));
    const char *port = web != NULL ? strrchr(web, ':') : NULL;
    node->pid = (int)json_integer_value(json_object_get(info, "pid"));
    node->port = port != NULL ? (unsigned)atoi(port + 1) : 0;
    snprintf(node->token, sizeof(node->token), "%s", text != NULL ? text : "");
    json_decref(info);
    json_decref(token);
    return node->port != 0 && text != NULL ? 0 : fail("kith dev", "its first node serves no pages");
}

static void end(struct node *node)
{
    (void)run(node, "dev stop --dir %s --quiet; rm -rf %s", node->dir, node->dir);
}

/* Processor time of all threads of the node, in ns; 0 if it has ended. */
static uint64_t cpu_ns(const struct node *node)
{
    char path[300];
    uint64_t sum = 0;

    snprintf(path, sizeof(path), "/proc/%d/task", node->pid);
    DIR *tasks = opendir(path);
    for (struct dirent *task; tasks != NULL && (task = readdir(tasks)) != NULL;) {
        unsigned long long ns = 0;
        snprintf(path, sizeof(path), "/proc/%d/task/%.20s/schedstat", node->pid, task->d_name);
        FILE *file = task->d_name[0] != '.' ? fopen(path, "r") : NULL;
        if (file != NULL && fscanf(file, "%llu", &ns) == 1)
            sum += ns;
        if (file != NULL)
            fclose(file);
    }
    if (tasks != NULL)
        closedir(tasks);
    return sum;
}

static double rss_kib(const struct node *node)
{
    json_t *info = cluster_ask(node->socket, "info", NULL, 5000);
    double kib = (double)json_integer_value(json_object_get(info, "rss_bytes")) / 1024;

    json_decref(info);
    return kib;
}

/* Percent of a core while @clients (NULL: none) take in what comes. Negative: it failed. */
static double busy(const struct node *node,
                   struct http_clients *clients,
                   unsigned seconds,
                   struct http_span *span)
{
    uint64_t from = cpu_ns(node), began = bench_now_ns();

    if (clients == NULL)
        sleep(seconds);
    else if (http_clients_run(clients, seconds * 1000ull, span) != 0)
        return -1;
    return (double)(cpu_ns(node) - from) / (double)(bench_now_ns() - began) * PERCENT;
}

/* ---- the steps ---- */

static int measure_sockets(const struct node *node, const struct options *options, double idle)
{
    double each = (double)options->clients * 1000, per_s = each * options->seconds,
           rss = rss_kib(node);
    struct http_span first, span = {0};
    struct http_clients *clients =
        http_clients_open(node->port, node->token, options->clients, false);
    int r = -1;

    if (clients == NULL || http_clients_run(clients, SETTLE_MS, &first) != 0)
        goto out;
    double cpu = busy(node, clients, options->seconds, &span);
    note(CPU, cpu - idle);
    note(MESSAGES, (double)span.messages / per_s * 1000);
    note(BYTES, (double)span.bytes / per_s);
    note(FIRST, (double)first.bytes / each);
    note(MEMORY, (rss_kib(node) - rss) / options->clients);
    if (cpu < 0 || http_clients_hide(clients, true) != 0 ||
        http_clients_run(clients, 1000, &first) != 0)
        goto out;
    cpu = busy(node, clients, options->seconds, &span);
    note(HIDDEN, (cpu - idle) / options->clients);
    note(HIDDEN_BYTES, (double)span.bytes / per_s);
    r = cpu < 0 ? -1 : 0;
out:
    http_clients_close(clients);
    return r;
}

static int measure_pages(const struct node *node, const struct options *options, double idle)
{
    struct http_span span = {0};
    struct http_clients *clients = http_clients_open(node->port, node->token, options->pages, true);
    double cpu = -1;

    if (clients != NULL && http_clients_run(clients, SETTLE_MS, &span) == 0)
        cpu = busy(node, clients, options->seconds, &span);
    note(PAGE, (cpu - idle) / options->pages);
    note(PAGE_BYTES, (double)span.bytes / options->pages / options->seconds / 1000);
    http_clients_close(clients);
    return cpu < 0 ? -1 : 0;
}

static int usage(const char *why)
{
    fprintf(stderr,
            "kith-bench: unknown option, or a number that is none of: nodes 1 to 100, clients 1 to "
            "%d, pages 1 to 100, seconds 1 to 600: %s\nusage: " OPTIONS,
            HTTP_CLIENTS_MAX, why);
    return 2;
}

static bool number(const char *text, unsigned most, unsigned *out)
{
    long value = text != NULL ? strtol(text, NULL, 10) : 0;
    *out = (unsigned)value;
    return value >= 1 && value <= (long)most;
}

int bench_http(int argc, char **argv)
{
    struct options options = {.nodes = 50, .clients = 500, .pages = 10, .seconds = 20};
    struct rlimit files = {4096, 4096};
    struct node node = {0};

    for (int i = 0; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool known = true;
        if (strcmp(argv[i], "--json") == 0) {
            options.json = true;
            continue;
        }
        if (strcmp(argv[i], "--nodes") == 0)
            known = number(value, 100, &options.nodes);
        else if (strcmp(argv[i], "--clients") == 0)
            known = number(value, HTTP_CLIENTS_MAX, &options.clients);
        else if (strcmp(argv[i], "--pages") == 0)
            known = number(value, 100, &options.pages);
        else if (strcmp(argv[i], "--seconds") == 0)
            known = number(value, 600, &options.seconds);
        else
            known = false;
        if (!known)
            return usage(argv[i]);
        i++;
    }
    (void)setrlimit(RLIMIT_NOFILE, &files);
    for (size_t i = 0; i < FIGURES_N; i++) {
        figures[i].baseline = figures[i].ratio = (double)NAN;
        figures[i].target = figures[i].target > 0 ? figures[i].target : (double)NAN;
    }
    int r = start(&node, options.nodes);
    if (r == 0) {
        sleep(SETTLE_MS / 1000); /* what joining leaves behind */
        double idle = busy(&node, NULL, options.seconds, NULL);
        note(IDLE, idle);
        r = measure_sockets(&node, &options, idle) != 0 || measure_pages(&node, &options, idle) != 0
                ? -1
                : 0;
    }
    end(&node);
    if (r == 0)
        bench_print(figures, FIGURES_N, options.json, "kith.bench.http/1");
    return r == 0 ? 0 : 1;
}
