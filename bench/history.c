/*
 * kith bench history: real agents, clients and faults; every operation as a JSON line
 * (docs/protocols/history.md); and the judgement of it.
 *
 * Faults come by the seed, one after the other. What protocols promise of variables in memory holds
 * as long as one of their copies lives; so nobody is killed before the cluster says that it
 * survives that again. Pauses and cuts come whenever they like.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "history_client.h"
#include "history_read.h"

#define CLIENTS_MAX  64
#define SETTLE_MS    60000
#define UP_MS        20000
#define KILL_WAIT_MS 3000
#define CLEAN_MS     5000
#define USAGE                                                                                      \
    "kith-bench history --out FILE [--seconds S] [--clients C] [--nodes N]\n"                      \
    "       [--faults kill,stop,cut|none] [--seed X] [--verbose]\n"                                \
    "       kith-bench history --out FILE --socket PATH... [--seconds S] [--clients C]\n"

enum fault {
    FAULT_KILL = 1,
    FAULT_STOP = 2,
    FAULT_CUT = 4,
};

struct options {
    const char *out;
    unsigned seconds, clients, nodes, faults;
    uint64_t seed;
    bool verbose, faults_given;
    const char *sockets[CLUSTER_NODES_MAX];
    unsigned sockets_n;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signal_no)
{
    (void)signal_no;
    interrupted = 1;
}

/* ---- faults ---- */

struct chaos {
    struct cluster *cluster;
    struct rng rng;
    unsigned faults;
    bool verbose;
    uint64_t begun_ns, until_ns;
    unsigned kills, stops, cuts;
};

static void say(const struct chaos *chaos, const char *what, unsigned i, uint64_t ms)
{
    if (chaos->verbose)
        fprintf(stderr, "%7.3f s  %s n%u, %llu ms\n",
                (double)(bench_now_ns() - chaos->begun_ns) / 1e9, what, i + 1,
                (unsigned long long)ms);
}

static void wait_ms(uint64_t ms)
{
    usleep((useconds_t)(ms * 1000));
}

/* Short ones more often than long ones: 1 ms to @most_ms. */
static uint64_t some_ms(struct chaos *chaos, uint64_t most_ms)
{
    uint64_t ms = most_ms >> rng_below(&chaos->rng, 8);
    return 1 + rng_below(&chaos->rng, ms + 1);
}

/* Does the cluster say that it survives this, or has the node no copies that count? */
static bool may_die(const struct chaos *chaos, unsigned i)
{
    const struct cluster *cluster = chaos->cluster;
    json_t *view = cluster_ask(cluster->nodes[(i + 1) % cluster->n].socket, "view", NULL, 2000);
    json_t *keeper;
    size_t at;
    bool keeps = false, quorum = json_is_true(json_object_get(view, "quorum"));
    bool survives = json_integer_value(json_object_get(view, "failures_tolerated")) > 0 &&
                    json_integer_value(json_object_get(view, "slots_moving")) == 0 &&
                    json_integer_value(json_object_get(view, "slots_unavailable")) == 0;

    json_array_foreach(json_object_get(view, "keepers"), at, keeper)
    {
        const char *name = json_string_value(json_object_get(keeper, "name"));
        const char *state = json_string_value(json_object_get(keeper, "state"));
        keeps =
            keeps || (name != NULL && state != NULL && strcmp(name, cluster->nodes[i].name) == 0 &&
                      strcmp(state, "active") == 0);
    }
    json_decref(view);
    return quorum && (survives || !keeps);
}

static int kill_one(struct chaos *chaos, unsigned i)
{
    uint64_t down_ms = some_ms(chaos, 3000);
    uint64_t until_ns = bench_now_ns() + KILL_WAIT_MS * UINT64_C(1000000);

    while (!may_die(chaos, i)) {
        if (bench_now_ns() >= until_ns)
            return 0; /* something else, then */
        wait_ms(50);
    }
    say(chaos, "kill", i, down_ms);
    chaos->kills++;
    cluster_node_end(chaos->cluster, i, SIGKILL);
    wait_ms(down_ms);
    return cluster_node_start(chaos->cluster, i) == 0
               ? cluster_node_wait_up(chaos->cluster, i, UP_MS)
               : -1;
}

static void stop_one(struct chaos *chaos, unsigned i)
{
    uint64_t stopped_ms = some_ms(chaos, 6000);

    say(chaos, "stop", i, stopped_ms);
    chaos->stops++;
    cluster_node_stop(chaos->cluster, i, true);
    wait_ms(stopped_ms);
    cluster_node_stop(chaos->cluster, i, false);
}

/* Without namespaces: links are closed again and again, as often as they come back. */
static void disconnect_for(struct chaos *chaos, unsigned i, uint64_t ms)
{
    uint64_t until_ns = bench_now_ns() + ms * 1000000;
    const struct cluster *cluster = chaos->cluster;
    char args[64];

    while (bench_now_ns() < until_ns) {
        for (unsigned other = 0; other < cluster->n; other++) {
            if (other == i)
                continue;
            snprintf(args, sizeof(args), "{\"node\":\"n%u\"}", other + 1);
            json_decref(cluster_ask(cluster->nodes[i].socket, "disconnect", args, 1000));
        }
        wait_ms(5);
    }
}

static void cut_one(struct chaos *chaos, unsigned i)
{
    uint64_t cut_ms = some_ms(chaos, 8000);

    say(chaos, "cut", i, cut_ms);
    chaos->cuts++;
    if (chaos->cluster->tag[0] == '\0') {
        disconnect_for(chaos, i, cut_ms);
        return;
    }
    cluster_node_cut(chaos->cluster, i, true);
    wait_ms(cut_ms);
    cluster_node_cut(chaos->cluster, i, false);
}

/* Until the time is over. 0, or -1 if the cluster is no cluster any more. */
static int faults(struct chaos *chaos)
{
    static const unsigned kinds[] = {FAULT_KILL, FAULT_STOP, FAULT_CUT};

    while (bench_now_ns() < chaos->until_ns && !interrupted) {
        unsigned kind = kinds[rng_below(&chaos->rng, 3)];
        unsigned i = (unsigned)rng_below(&chaos->rng, chaos->cluster->n);
        if (chaos->faults == 0) {
            wait_ms(20);
            continue;
        }
        if ((kind & chaos->faults) == 0)
            continue;
        wait_ms(some_ms(chaos, 2000));
        if (kind == FAULT_KILL && kill_one(chaos, i) != 0)
            return -1;
        if (kind == FAULT_STOP)
            stop_one(chaos, i);
        if (kind == FAULT_CUT)
            cut_one(chaos, i);
    }
    return 0;
}

/* ---- the run ---- */

static int load(const struct options *options, struct history_run *run, struct chaos *chaos)
{
    static struct history_client clients[CLIENTS_MAX];
    unsigned begun = 0;
    int r = 0;

    chaos->begun_ns = bench_now_ns();
    chaos->until_ns = chaos->begun_ns + options->seconds * UINT64_C(1000000000);
    while (begun < options->clients &&
           history_client_begin(&clients[begun], run, begun, options->seed) == 0)
        begun++;
    r = faults(chaos);
    if (r == 0 && chaos->cluster->n > 0 &&
        cluster_wait_settled(chaos->cluster, (chaos->cluster->n - 1) / 2, SETTLE_MS) != 0) {
        fprintf(stderr, "kith-bench: the cluster has not recovered %d s after the last fault\n",
                SETTLE_MS / 1000);
        r = -1;
    }
    atomic_store(&run->phase, r == 0 ? PHASE_READ : PHASE_BREAK);
    for (unsigned ms = 0; atomic_load(&run->ended_n) < begun && ms < SETTLE_MS; ms += 20)
        wait_ms(20);
    if (atomic_load(&run->ended_n) < begun && r == 0) {
        fprintf(stderr, "kith-bench: no agent answers any more: the last reads are missing\n");
        r = -1;
    }
    atomic_store(&run->phase, PHASE_BREAK);
    for (unsigned i = 0; i < begun; i++)
        history_client_join(&clients[i]);
    return r;
}

/* ---- somebody's own cluster ---- */

/* Names of ours, which nobody used before. 0, or -1 if an agent does not answer. */
static int
use_sockets(const struct options *options, struct history_run *run, char *prefix, size_t bytes)
{
    snprintf(prefix, bytes, "bench/%llx/",
             (unsigned long long)(bench_now_ns() ^ (uint64_t)getpid()));
    run->prefix = prefix;
    run->sockets_n = options->sockets_n;
    memcpy(run->sockets, options->sockets, sizeof(run->sockets));
    for (unsigned i = 0; i < run->sockets_n; i++) {
        json_t *hello = cluster_ask(run->sockets[i], "hello", NULL, UP_MS);
        if (hello == NULL) {
            fprintf(stderr,
                    "kith-bench: no agent answers at %s: give the control sockets of agents that "
                    "run (kith info shows them)\n",
                    run->sockets[i]);
            return -1;
        }
        json_decref(hello);
    }
    return 0;
}

/* Our variables are deleted, as far as somebody answers. */
static void clean_up(const struct history_run *run)
{
    char args[128], name[16];

    for (unsigned i = 0; i < HISTORY_TEXTS_N + 3; i++) {
        if (i < HISTORY_TEXTS_N)
            snprintf(name, sizeof(name), "x%u", i);
        else if (i < HISTORY_TEXTS_N + 2)
            snprintf(name, sizeof(name), "n%u", i - HISTORY_TEXTS_N);
        else
            snprintf(name, sizeof(name), "g");
        snprintf(args, sizeof(args), "{\"name\":\"%s%s\"}", run->prefix, name);
        json_decref(cluster_ask(run->sockets[i % run->sockets_n], "var.rm", args, CLEAN_MS));
    }
}

static int judge(const char *path)
{
    struct history history = {0};
    char error[256];
    FILE *file = fopen(path, "r");
    int r = file == NULL ? -1 : history_read(&history, file, error, sizeof(error));

    if (file == NULL)
        snprintf(error, sizeof(error), "cannot be read: %s", strerror(errno));
    else
        fclose(file);
    if (r != 0)
        fprintf(stderr, "kith-bench: %s: %s\n", path, error);
    else
        r = history_report(&history);
    history_deinit(&history);
    return r;
}

static int make_cluster(const struct options *options, struct cluster *cluster)
{
    bool spaces = false;

    if (options->faults & FAULT_CUT) {
        const char *why = cluster_spaces_why_not();
        spaces = why == NULL;
        if (why != NULL)
            fprintf(stderr, "kith-bench: %s: instead of cutting, links are closed over and over\n",
                    why);
    }
    if (cluster_start(cluster, options->nodes, spaces) != 0)
        return -1;
    if (cluster_wait_settled(cluster, (cluster->n - 1) / 2, SETTLE_MS) == 0)
        return 0;
    fprintf(stderr, "kith-bench: the new cluster has no view after %d s\n", SETTLE_MS / 1000);
    return -1;
}

static int run_all(const struct options *options)
{
    struct history_run run = {.mutex = PTHREAD_MUTEX_INITIALIZER, .prefix = ""};
    struct cluster cluster = {0};
    struct chaos chaos = {
        .cluster = &cluster, .faults = options->faults, .verbose = options->verbose};
    char prefix[48];
    int r = 0;

    run.out = fopen(options->out, "w");
    if (run.out == NULL) {
        fprintf(stderr, "kith-bench: %s: %s\n", options->out, strerror(errno));
        return 2;
    }
    rng_init(&chaos.rng, options->seed);
    if (options->sockets_n == 0) {
        r = make_cluster(options, &cluster);
        for (unsigned i = 0; i < cluster.n; i++)
            run.sockets[run.sockets_n++] = cluster.nodes[i].socket;
    } else {
        r = use_sockets(options, &run, prefix, sizeof(prefix));
        if (r != 0) {
            fclose(run.out);
            return 1;
        }
    }
    if (r == 0)
        r = load(options, &run, &chaos);
    fclose(run.out);
    if (options->sockets_n > 0)
        clean_up(&run);
    if (cluster.n > 0)
        printf("faults: %u kills, %u pauses, %u cuts%s\n", chaos.kills, chaos.stops, chaos.cuts,
               chaos.cuts > 0 && cluster.tag[0] == '\0' ? " (links closed)" : "");
    int verdict = judge(options->out);
    r = verdict != 0 ? verdict : r;
    if (r != 0 && cluster.n > 0)
        fprintf(stderr, "kith-bench: directories and logs are kept in %s\n", cluster.dir);
    cluster_end(&cluster, r != 0);
    return r == 0 ? 0 : 1;
}

/* ---- the command ---- */

static int parse_faults(const char *text, unsigned *faults_out)
{
    static const struct {
        const char *name;
        unsigned fault;
    } words[] = {{"kill", FAULT_KILL}, {"stop", FAULT_STOP}, {"cut", FAULT_CUT}, {"none", 0}};

    *faults_out = 0;
    while (*text != '\0') {
        size_t len = strcspn(text, ","), at = 0;
        while (at < 4 && (strlen(words[at].name) != len || memcmp(words[at].name, text, len) != 0))
            at++;
        if (at == 4)
            return -1;
        *faults_out |= words[at].fault;
        text += len + (text[len] == ',');
    }
    return 0;
}

static int usage(const char *why, const char *what)
{
    fprintf(stderr, "kith-bench: %s%s\nusage: " USAGE, why, what);
    return 2;
}

static unsigned number(const char *text, unsigned most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    return *end != '\0' || value > most ? 0 : (unsigned)value;
}

int bench_history(int argc, char **argv)
{
    struct options options = {
        .seconds = 30, .clients = 6, .nodes = 3, .faults = FAULT_KILL | FAULT_STOP, .seed = 1};

    for (int i = 0; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--verbose") == 0) {
            options.verbose = true;
            continue;
        }
        if (value == NULL)
            return usage("unknown option, or one without its value: ", argv[i]);
        if (strcmp(argv[i], "--out") == 0)
            options.out = value;
        else if (strcmp(argv[i], "--seconds") == 0)
            options.seconds = number(value, 86400);
        else if (strcmp(argv[i], "--clients") == 0)
            options.clients = number(value, CLIENTS_MAX);
        else if (strcmp(argv[i], "--nodes") == 0)
            options.nodes = number(value, CLUSTER_NODES_MAX);
        else if (strcmp(argv[i], "--seed") == 0)
            options.seed = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--faults") == 0 && parse_faults(value, &options.faults) != 0)
            return usage("faults are kill, stop, cut or none, not ", value);
        else if (strcmp(argv[i], "--socket") == 0 && options.sockets_n < CLUSTER_NODES_MAX)
            options.sockets[options.sockets_n++] = value;
        else if (strcmp(argv[i], "--faults") != 0)
            return usage("unknown option ", argv[i]);
        options.faults_given |= strcmp(argv[i], "--faults") == 0 && options.faults != 0;
        i++;
    }
    if (options.out == NULL)
        return usage("say where to write: ", "--out FILE");
    if (options.seconds == 0 || options.clients == 0 || options.nodes == 0)
        return usage("out of range: ", "seconds, clients (64) or nodes (7)");
    if (options.sockets_n > 0 && options.faults_given)
        return usage("with --socket there are no faults: ", "the cluster is somebody's");
    if (options.sockets_n > 0)
        options.faults = 0;
    if (options.nodes < 3 && (options.faults & FAULT_KILL))
        return usage("with fewer than three nodes ", "none can be killed without loss");
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    return run_all(&options);
}
