/*
 * kith-bench var, kith-bench lock: what shared state costs, beside plain libuv programs in the same
 * rounds (docs/benchmarks.md).
 *
 * The writer runs on core 1 and all it talks to on core 0, for kith and for the baseline. Where
 * four processes contend, nobody is pinned, on either side.
 */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "cluster.h"

#define OPTIONS "[--json] [--rounds N] [--step MS]"
#define NOTHING ((double)NAN)

struct options {
    bool json;
    const char *only; /* part of a figure's name; NULL: all */
    unsigned rounds, step_ms, failover;
};

struct answer {
    double p50, p99, rate, count;
};

/* ---- teams of nodes ---- */

#define TEAM_MAX 4
#define JOIN_MS  500

struct team {
    char dir[64];
    char memory_dir[64]; /* what the directories of all but node 0 are in; "": in dir */
    struct bench_worker nodes[TEAM_MAX];
    unsigned n;
};

static struct answer hear(struct bench_worker *worker)
{
    double values[4] = {NOTHING, NOTHING, NOTHING, NOTHING};

    if (bench_worker_ask(worker, "", values, 4) < 3)
        exit(1); /* workers end with us */
    if (values[2] == 0)
        values[0] = values[1] = values[2] = NOTHING; /* it said what failed */
    return (struct answer){values[0], values[1], values[2], values[3]};
}

__attribute__((format(printf, 2, 3))) static void
tell(struct bench_worker *worker, const char *format, ...)
{
    char line[300];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    bench_worker_tell(worker, line);
}

#define ASK(worker, ...) (tell(worker, __VA_ARGS__), hear(worker))

/* The directories of nodes 2 to @n lie in memory, as if each had a disk of its own that is done
 * before that of node 1. */
static int dirs_apart(struct team *team, unsigned n)
{
    char dir[100], link[100];

    snprintf(team->memory_dir, sizeof(team->memory_dir), "/dev/shm/kith-bench-XXXXXX");
    if (mkdtemp(team->memory_dir) == NULL) {
        team->memory_dir[0] = '\0';
        return 0; /* what asks for it is not measured */
    }
    for (unsigned i = 1; i < n; i++) {
        snprintf(dir, sizeof(dir), "%s/%u", team->memory_dir, i + 1);
        snprintf(link, sizeof(link), "%s/%u", team->dir, i + 1);
        if (mkdir(dir, 0700) != 0 || symlink(dir, link) != 0)
            return -1;
    }
    return 0;
}

/* Node 0 on core 1, the others on core 0; @pinned false: all anywhere. */
static int team_start(struct team *team, unsigned n, const char *spin_us, bool pinned, bool apart)
{
    double port = 0, seed = 0, settled = 0;
    char arg[200];

    snprintf(team->dir, sizeof(team->dir), "/tmp/kith-bench-XXXXXX");
    if (mkdtemp(team->dir) == NULL || (apart && dirs_apart(team, n) != 0) ||
        cluster_fill_dirs(team->dir, n, "127.0.0.1:0") != 0)
        return -1;
    for (unsigned i = 0; i < n; i++) {
        snprintf(arg, sizeof(arg), "%s/%u:%s:%.0f", team->dir, i + 1, spin_us, seed);
        if (bench_worker_start(&team->nodes[i], "state-node", arg, !pinned ? -1 : i == 0) != 0)
            return -1;
        team->n++;
        if (bench_worker_ask(&team->nodes[i], "", &port, 1) != 1)
            return -1;
        seed = i == 0 ? port : seed;
    }
    for (unsigned i = 0; i < n; i++) {
        tell(&team->nodes[i], "settled %u", n);
        if (bench_worker_ask(&team->nodes[i], "", &settled, 1) != 1 || settled == 0) {
            fprintf(stderr, "kith-bench: %u nodes do not make a view of them all\n", n);
            return -1;
        }
    }
    return 0;
}

static void remove_dir(const char *dir)
{
    char command[100];

    snprintf(command, sizeof(command), "rm -rf %s", dir);
    if (dir[0] != '\0' && system(command) != 0)
        fprintf(stderr, "kith-bench: %s cannot be removed\n", dir);
}

static void team_stop(struct team *team)
{
    for (unsigned i = team->n; i-- > 0;)
        bench_worker_stop(&team->nodes[i]);
    team->n = 0;
    remove_dir(team->dir);
    remove_dir(team->memory_dir);
}

static unsigned home_of(struct bench_worker *worker, char kind)
{
    double no = -1;

    tell(worker, "home %c", kind);
    if (bench_worker_ask(worker, "", &no, 1) != 1 || no < 0) {
        fprintf(stderr, "kith-bench: no name has its home on a node\n");
        exit(1);
    }
    return (unsigned)no;
}

static int plain_start(struct bench_worker *server, int cpu, double *port_out)
{
    if (bench_worker_start(server, "plain-server", "", cpu) != 0)
        return -1;
    return bench_worker_ask(server, "", port_out, 1) == 1 ? 0 : -1;
}

static int plain_connect(struct bench_worker *client, int cpu, double port)
{
    char arg[32];
    double ready;

    snprintf(arg, sizeof(arg), "%.0f", port);
    if (bench_worker_start(client, "plain-client", arg, cpu) != 0)
        return -1;
    return bench_worker_ask(client, "", &ready, 1) == 1 ? 0 : -1;
}

static void show_round(const struct options *options, unsigned i)
{
    if (!options->json && isatty(2))
        fprintf(stderr, "\rround %u of %u ", i + 1, options->rounds);
    if (i + 1 == options->rounds && !options->json && isatty(2))
        fprintf(stderr, "\r%30s\r", "");
}

/* ---- variables ---- */

enum {
    READ,
    READ_TWO,
    WRITE,
    WRITE_REMOTE,
    WRITE_SPIN,
    WRITES,
    WRITES_ASLEEP,
    ADDS,
    ADDS_ASLEEP,
    DURABLE,
    DURABLE_APART,
    SYNCS,
    DURABLES,
    WATCH,
    WATCH_HOME,
    VAR_N,
};

static struct bench_series var_series[VAR_N] = {
    [READ] = {"read, valid, 64 B, by handle", "ns", .target = 50, .at_most = true},
    [READ_TWO] = {"read by two threads against one", "reads/s", .target = 1.8},
    [WRITE] = {"write p50, writer is the home", "us", .target = 1.3, .at_most = true},
    [WRITE_REMOTE] = {"write p50, from another node", "us", .target = 2.4, .at_most = true},
    [WRITE_SPIN] = {"write p50, two replicas, spinning", "us", .target = 0.5, .at_most = true},
    [WRITES] = {"64 writes outstanding, 64 variables", "writes/s", .target = 250000,
                .of_value = true},
    [WRITES_ASLEEP] = {.name = "... 64 outstanding, nobody spins", .unit = "writes/s"},
    [ADDS] = {"64 fetch-adds outstanding, one counter", "adds/s", .target = 400000,
              .of_value = true},
    [ADDS_ASLEEP] = {.name = "... 64 outstanding, nobody spins", .unit = "adds/s"},
    [DURABLE] = {"durable write p50 against fsync", "us", .target = 1.5, .at_most = true},
    [DURABLE_APART] = {"... the replicas on other disks", "us", .target = 1.5, .at_most = true},
    [SYNCS] = {.name = "durable bound: three plain syncs at once", .unit = "us"},
    [DURABLES] = {"64 durable writers against one", "writes/s", .target = 20},
    [WATCH] = {"write to watcher p50, home elsewhere", "us", .target = 1.3, .at_most = true},
    [WATCH_HOME] = {"write to watcher p50, writer is home", "us", .target = 1.3, .at_most = true},
};

static struct {
    struct team trio;           /* that never spin */
    struct team pair, spinning; /* the replicas of this one have disks of their own */
    struct bench_worker server, client, hearer;
    unsigned own, pair_own, counter, spinning_counter, durable, durable_apart, watched_own,
        watched_other;
} v;

static void stop_var(void)
{
    team_stop(&v.trio);
    team_stop(&v.pair);
    team_stop(&v.spinning);
    bench_worker_stop(&v.client);
    bench_worker_stop(&v.hearer);
    bench_worker_stop(&v.server);
}

static int start_var(void)
{
    double port;

    if (plain_start(&v.server, 0, &port) != 0 || plain_connect(&v.client, 1, port) != 0 ||
        plain_connect(&v.hearer, 0, port) != 0 || team_start(&v.trio, 3, "0", true, false) != 0 ||
        team_start(&v.pair, 2, "50", true, false) != 0 ||
        team_start(&v.spinning, 3, "50", true, true) != 0)
        return -1;
    v.own = home_of(&v.trio.nodes[0], 'v');
    v.counter = home_of(&v.trio.nodes[0], 'c');
    v.durable = home_of(&v.trio.nodes[0], 'd');
    v.watched_own = home_of(&v.trio.nodes[0], 'w');
    v.watched_other = home_of(&v.trio.nodes[2], 'w');
    v.pair_own = home_of(&v.pair.nodes[0], 'v');
    v.spinning_counter = home_of(&v.spinning.nodes[0], 'c');
    v.durable_apart = home_of(&v.spinning.nodes[0], 'd');
    (void)ASK(&v.trio.nodes[0], "set v %u 1", v.own); /* so that it can be read */
    return 0;
}

/* From a write on node 0 to the callback on node 1. */
static double watch_once(unsigned no, unsigned ms)
{
    tell(&v.trio.nodes[1], "watch %u %u", no, ms + 20);
    usleep(5000);
    struct answer wrote = ASK(&v.trio.nodes[0], "beat %u %u", no, ms);
    struct answer heard = hear(&v.trio.nodes[1]);
    return isnan(wrote.rate) ? NOTHING : heard.p50;
}

static double relay_once(unsigned ms)
{
    tell(&v.hearer, "hear %u", ms + 20);
    usleep(5000);
    tell(&v.client, "publish %u", ms);
    double values[3];
    (void)bench_worker_ask(&v.client, "", values, 3);
    return hear(&v.hearer).p50;
}

static void note(unsigned at, double value, double baseline)
{
    bench_note(&var_series[at], value, baseline);
}

/* Is one of these wanted (--only)? */
static bool wanted(const char *only, unsigned a, unsigned b, unsigned c)
{
    return only == NULL || strstr(var_series[a].name, only) != NULL ||
           strstr(var_series[b].name, only) != NULL || strstr(var_series[c].name, only) != NULL;
}

static void round_of_vars(const struct options *options)
{
    struct bench_worker *nodes = v.trio.nodes;
    const char *only = options->only;
    unsigned ms = options->step_ms;
    struct answer one, plain;

    if (wanted(only, WRITE, WRITE_SPIN, WRITE_REMOTE)) {
        plain = ASK(&v.client, "latency %u", ms);
        note(WRITE, ASK(&nodes[0], "set v %u %u", v.own, ms).p50, plain.p50);
        note(WRITE_SPIN, ASK(&v.pair.nodes[0], "set v %u %u", v.pair_own, ms).p50, plain.p50);
        note(WRITE_REMOTE, ASK(&nodes[1], "set v %u %u", v.own, ms).p50, plain.p50);
    }
    if (wanted(only, READ, READ_TWO, READ)) {
        one = ASK(&nodes[0], "read %u 1 %u", v.own, ms);
        note(READ, one.p50, NOTHING);
        note(READ_TWO, ASK(&nodes[0], "read %u 2 %u", v.own, ms).rate, one.rate);
    }
    if (wanted(only, WRITES, WRITES_ASLEEP, ADDS)) {
        struct bench_worker *spinning = &v.spinning.nodes[0];
        plain = ASK(&v.client, "rate 64 %u", ms);
        note(WRITES, ASK(spinning, "sets v 64 %u", ms).rate, plain.rate);
        note(WRITES_ASLEEP, ASK(&nodes[0], "sets v 64 %u", ms).rate, plain.rate);
        note(ADDS, ASK(spinning, "adds %u 64 %u", v.spinning_counter, ms).rate, plain.rate);
        note(ADDS_ASLEEP, ASK(&nodes[0], "adds %u 64 %u", v.counter, ms).rate, plain.rate);
    }
    if (wanted(only, DURABLE, DURABLES, SYNCS)) {
        plain = ASK(&nodes[0], "fsync %u", ms);
        one = ASK(&nodes[0], "set d %u %u", v.durable, ms);
        note(DURABLE, one.p50, plain.p50);
        if (v.spinning.memory_dir[0] != '\0')
            note(DURABLE_APART, ASK(&v.spinning.nodes[0], "set d %u %u", v.durable_apart, ms).p50,
                 plain.p50);
        note(SYNCS, bench_syncs_us(v.trio.dir, v.trio.n, ms), plain.p50);
        note(DURABLES, ASK(&nodes[0], "sets d 64 %u", ms).rate, one.rate);
    }
    if (wanted(only, WATCH, WATCH_HOME, WATCH)) {
        double relay = relay_once(ms);
        note(WATCH, watch_once(v.watched_other, ms), relay);
        note(WATCH_HOME, watch_once(v.watched_own, ms), relay);
    }
}

static int usage(const char *verb, const char *what)
{
    fprintf(stderr, "kith-bench %s: unknown option %s\nusage: kith-bench %s " OPTIONS "%s\n", verb,
            what, verb, strcmp(verb, "var") == 0 ? " [--failover N] [--only WORDS]" : "");
    return 2;
}

/* The word that is no option, or NULL. */
static const char *parse(struct options *options, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        bool value = i + 1 < argc;
        if (strcmp(argv[i], "--json") == 0)
            options->json = true;
        else if (strcmp(argv[i], "--rounds") == 0 && value)
            options->rounds = (unsigned)atoi(argv[++i]);
        else if (strcmp(argv[i], "--step") == 0 && value)
            options->step_ms = (unsigned)atoi(argv[++i]);
        else if (strcmp(argv[i], "--only") == 0 && value)
            options->only = argv[++i];
        else if (strcmp(argv[i], "--failover") == 0 && value)
            options->failover = (unsigned)atoi(argv[++i]);
        else
            return argv[i];
    }
    return NULL;
}

int bench_var(int argc, char **argv)
{
    struct options options = {.rounds = 15, .step_ms = 300, .failover = 3};
    struct bench_figure figures[VAR_N + FAILOVER_N];
    const char *wrong = parse(&options, argc, argv);
    size_t n = 0;

    if (wrong != NULL)
        return usage("var", wrong);
    if (options.rounds > 0 && start_var() != 0) {
        stop_var();
        return 1;
    }
    for (unsigned i = 0; i < options.rounds; i++) {
        show_round(&options, i);
        round_of_vars(&options);
    }
    stop_var();
    for (size_t i = 0; options.rounds > 0 && i < VAR_N; i++)
        figures[n++] = bench_figure_of(&var_series[i]);
    if (options.failover > 0)
        n += bench_failover(options.failover, &figures[n]);
    bench_print(figures, n, options.json, "kith.bench.var/1");
    return 0;
}

/* ---- mutexes ---- */

enum {
    HOLD,
    MOVE,
    MOVE_ASLEEP,
    MEMORY,
    MEMORY_FAIR,
    VARIABLE,
    VARIABLE_FAIR,
    LOCK_N,
};

static struct bench_series lock_series[LOCK_N] = {
    [HOLD] = {"acquire and release by the holder", "us", .target = 2, .at_most = true,
              .of_value = true},
    [MOVE] = {"moving between two nodes p50", "us", .target = 0.6, .at_most = true},
    [MOVE_ASLEEP] = {"... moving, nobody spins", "us", .target = 0.6, .at_most = true},
    [MEMORY] = {"four processes, data in shared memory", "sections/s", .target = 3},
    [MEMORY_FAIR] = {"... the least against the most", "share", .target = 0.9, .of_value = true},
    [VARIABLE] = {"four processes, a guarded variable", "sections/s", .target = 1},
    [VARIABLE_FAIR] = {"... the least against the most", "share", .target = 0.9, .of_value = true},
};

static struct {
    struct team trio, spinning, four;
    struct bench_worker server, client;         /* pinned */
    struct bench_worker crowd_server, crowd[4]; /* not */
    char memory[100];                           /* file of what they share */
    double sections;                            /* that should be in it */
} l;

static void stop_lock(void)
{
    team_stop(&l.trio);
    team_stop(&l.spinning);
    team_stop(&l.four);
    bench_worker_stop(&l.client);
    bench_worker_stop(&l.server);
    for (unsigned i = 0; i < 4; i++)
        bench_worker_stop(&l.crowd[i]);
    bench_worker_stop(&l.crowd_server);
}

static int start_lock(void)
{
    uint64_t zero[2] = {0};
    double port;
    int fd;

    if (plain_start(&l.server, 0, &port) != 0 || plain_connect(&l.client, 1, port) != 0 ||
        plain_start(&l.crowd_server, -1, &port) != 0)
        return -1;
    for (unsigned i = 0; i < 4; i++) {
        if (plain_connect(&l.crowd[i], -1, port) != 0)
            return -1;
    }
    if (team_start(&l.trio, 3, "0", true, false) != 0 ||
        team_start(&l.spinning, 3, "50", true, false) != 0 ||
        team_start(&l.four, 4, "50", false, false) != 0)
        return -1;
    snprintf(l.memory, sizeof(l.memory), "%s/number", l.four.dir);
    fd = open(l.memory, O_RDWR | O_CREAT | O_TRUNC, 0600);
    int r = fd >= 0 && write(fd, zero, sizeof(zero)) == sizeof(zero) ? 0 : -1;
    if (r != 0)
        fprintf(stderr, "kith-bench: %s: %s\n", l.memory, strerror(errno));
    if (fd >= 0)
        close(fd);
    return r;
}

/* All workers do @line at once. Sections a second together, and the share of the least. */
static struct answer
all_at_once(struct bench_worker *workers, unsigned n, const char *line, double *share_out)
{
    struct answer all = {0};
    double least = INFINITY, most = 0;

    for (unsigned i = 0; i < n; i++)
        tell(&workers[i], "%s", line);
    for (unsigned i = 0; i < n; i++) {
        struct answer one = hear(&workers[i]);
        all.rate += one.rate;
        all.count += one.count;
        all.p50 += one.p50 / n;
        least = one.rate < least ? one.rate : least;
        most = one.rate > most ? one.rate : most;
    }
    *share_out = least / most;
    return all;
}

/* Everybody takes part already when it is measured. */
static void join_locks(void)
{
    char line[200];
    double share;

    snprintf(line, sizeof(line), "memory m %u %s", JOIN_MS, l.memory);
    l.sections += all_at_once(l.four.nodes, 4, line, &share).count;
    snprintf(line, sizeof(line), "variable g %u", JOIN_MS);
    (void)all_at_once(l.four.nodes, 4, line, &share);
    snprintf(line, sizeof(line), "move moved %u", JOIN_MS);
    (void)all_at_once(l.trio.nodes, 2, line, &share);
    (void)all_at_once(l.spinning.nodes, 2, line, &share);
}

/* What the lock was for: no section may be lost. */
static void check_number(void)
{
    uint64_t number = 0;
    int fd = open(l.memory, O_RDONLY);

    if (fd < 0 || read(fd, &number, sizeof(number)) != sizeof(number) ||
        (double)number != l.sections) {
        fprintf(stderr, "kith-bench: %.0f sections counted to %llu: the mutex does not exclude\n",
                l.sections, (unsigned long long)number);
        exit(1);
    }
    close(fd);
}

static void round_of_locks(unsigned ms)
{
    struct bench_worker *nodes = l.trio.nodes;
    struct answer plain, own;
    char line[200];
    double share;

    plain = ASK(&l.client, "lock 0 %u", ms); /* two round trips, nobody else wants it */
    own = ASK(&nodes[0], "hold held %u", ms);
    bench_note(&lock_series[HOLD], 1e6 / own.rate, plain.p50);
    snprintf(line, sizeof(line), "move moved %u", ms);
    own = all_at_once(l.spinning.nodes, 2, line, &share);
    bench_note(&lock_series[MOVE], own.p50, plain.p50);
    own = all_at_once(nodes, 2, line, &share);
    bench_note(&lock_series[MOVE_ASLEEP], own.p50, plain.p50);

    snprintf(line, sizeof(line), "lock 1 %u", 3 * ms);
    plain = all_at_once(l.crowd, 4, line, &share);
    snprintf(line, sizeof(line), "memory m %u %s", 3 * ms, l.memory);
    own = all_at_once(l.four.nodes, 4, line, &share);
    l.sections += own.count;
    check_number();
    bench_note(&lock_series[MEMORY], own.rate, plain.rate);
    bench_note(&lock_series[MEMORY_FAIR], share, NOTHING);
    snprintf(line, sizeof(line), "variable g %u", 3 * ms);
    own = all_at_once(l.four.nodes, 4, line, &share);
    bench_note(&lock_series[VARIABLE], own.rate, plain.rate);
    bench_note(&lock_series[VARIABLE_FAIR], share, NOTHING);
}

int bench_lock(int argc, char **argv)
{
    struct options options = {.rounds = 15, .step_ms = 300};
    struct bench_figure figures[LOCK_N];
    const char *wrong = parse(&options, argc, argv);

    if (wrong != NULL)
        return usage("lock", wrong);
    if (start_lock() != 0) {
        stop_lock();
        return 1;
    }
    join_locks();
    for (unsigned i = 0; i < options.rounds; i++) {
        show_round(&options, i);
        round_of_locks(options.step_ms);
    }
    stop_lock();
    for (size_t i = 0; i < LOCK_N; i++)
        figures[i] = bench_figure_of(&lock_series[i]);
    bench_print(figures, LOCK_N, options.json, "kith.bench.lock/1");
    return 0;
}
