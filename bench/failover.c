/*
 * How long writes stand still when a node dies: three real agents, four writers at an agent that
 * lives, each with one variable whose home is the one that dies. What counts is the longest time
 * between two acknowledged writes around the death.
 */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster.h"
#include "node/agent_client.h"
#include "state.h"

#define NODES     3
#define WRITERS   4
#define NAMES_N   64
#define SETTLE_MS 60000
#define BEFORE_MS 500
#define AFTER_MS  15000 /* at most */
#define RETRY_US  2000

enum death {
    DEATH_HOME,    /* killed, and not the leader */
    DEATH_LEADER,  /* killed */
    DEATH_RESTART, /* killed, and started again at once: the new boot proves the death */
    DEATH_LEAVES,  /* told to end: it says so */
    DEATH_LEADER_RESTART,
    DEATH_LEADER_LEAVES,
};

static struct bench_series series[FAILOVER_N] = {
    [DEATH_HOME] = {"writes again after a home was killed", "s", .target = 5, .at_most = true},
    [DEATH_LEADER] = {"... the leader", "s", .target = 8, .at_most = true},
    [DEATH_RESTART] = {"... a home, restarted at once", "s", .target = 1, .at_most = true},
    [DEATH_LEAVES] = {"... a home, told to end", "s", .target = 1, .at_most = true},
    [DEATH_LEADER_RESTART] = {"... the leader, restarted at once", "s", .target = 1,
                              .at_most = true},
    [DEATH_LEADER_LEAVES] = {"... the leader, told to end", "s", .target = 1, .at_most = true},
};

struct writer {
    pthread_t thread;
    const char *socket;
    char name[16];
    uint64_t gap_ns; /* longest so far */
    _Atomic uint64_t last_ns;
};
static _Atomic bool writers_end;

static bool of_leader(enum death death)
{
    return death == DEATH_LEADER || death == DEATH_LEADER_RESTART || death == DEATH_LEADER_LEAVES;
}

static bool write_once(struct agent_client *client, const char *name)
{
    struct agent_message message;
    char line[128];

    snprintf(line, sizeof(line),
             "{\"id\":1,\"verb\":\"var.set\",\"args\":{\"name\":\"%s\",\"timeout_ms\":10000},"
             "\"data_bytes\":1}",
             name);
    return agent_client_send(client, line, "x", 1) == 0 &&
           agent_client_receive(client, AFTER_MS, &message) == 0 &&
           json_is_true(json_object_get(message.json, "ok"));
}

static void *writer_main(void *arg)
{
    struct writer *writer = arg;
    struct agent_client *client = NULL;

    if (agent_client_open(&client, writer->socket) != 0)
        return NULL;
    while (!atomic_load(&writers_end)) {
        if (!write_once(client, writer->name)) {
            usleep(RETRY_US);
            continue;
        }
        uint64_t now_ns = bench_now_ns(), last_ns = atomic_load(&writer->last_ns);
        if (last_ns != 0 && now_ns - last_ns > writer->gap_ns)
            writer->gap_ns = now_ns - last_ns;
        atomic_store(&writer->last_ns, now_ns);
    }
    agent_client_close(client);
    return NULL;
}

/* ---- who is to die ---- */

static void make_names(const struct cluster *cluster)
{
    struct agent_client *client = NULL;
    char name[16];

    if (agent_client_open(&client, cluster->nodes[0].socket) != 0)
        return;
    for (unsigned i = 0; i < NAMES_N; i++) {
        snprintf(name, sizeof(name), "f/%u", i);
        (void)write_once(client, name);
    }
    agent_client_close(client);
}

static int leader_of(const struct cluster *cluster)
{
    json_t *view = cluster_ask(cluster->nodes[0].socket, "view", NULL, 3000);
    const char *name = json_string_value(json_object_get(json_object_get(view, "leader"), "name"));
    int leader = name != NULL ? atoi(name + 1) - 1 : -1;

    json_decref(view);
    return leader;
}

/* Gives each writer a variable that has its home on @victim. False: there are not enough. */
static bool
choose_names(const struct cluster *cluster, unsigned victim, struct writer writers[WRITERS])
{
    json_t *list = cluster_ask(cluster->nodes[0].socket, "var.ls", "{\"prefix\":\"f/\"}", 3000);
    json_t *vars = json_object_get(list, "vars"), *var;
    unsigned n = 0;
    size_t at;

    json_array_foreach(vars, at, var)
    {
        const char *home = json_string_value(json_object_get(var, "home"));
        const char *name = json_string_value(json_object_get(var, "name"));
        if (n < WRITERS && home != NULL && name != NULL &&
            strcmp(home, cluster->nodes[victim].name) == 0)
            snprintf(writers[n++].name, sizeof(writers[0].name), "%s", name);
    }
    json_decref(list);
    return n == WRITERS;
}

/* ---- one death ---- */

static bool all_wrote_since(const struct writer writers[WRITERS], uint64_t since_ns)
{
    for (unsigned i = 0; i < WRITERS; i++) {
        if (atomic_load(&writers[i].last_ns) <= since_ns)
            return false;
    }
    return true;
}

static bool wait_for_writes(const struct writer writers[WRITERS], uint64_t since_ns)
{
    uint64_t until_ns = bench_now_ns() + AFTER_MS * UINT64_C(1000000);

    while (!all_wrote_since(writers, since_ns)) {
        if (bench_now_ns() >= until_ns)
            return false;
        usleep(1000);
    }
    return true;
}

/* A node that came back has no homes for a while; so the victim is one that has some. */
static int choose_victim(const struct cluster *cluster,
                         enum death death,
                         unsigned leader,
                         struct writer writers[WRITERS],
                         unsigned *victim_out)
{
    uint64_t until_ns = bench_now_ns() + SETTLE_MS * UINT64_C(1000000);
    unsigned past = 0; /* the leader */

    while (bench_now_ns() < until_ns) {
        *victim_out = (leader + past) % NODES;
        if ((past == 0) == of_leader(death) && choose_names(cluster, *victim_out, writers))
            return 0;
        past = (past + 1) % NODES;
        usleep(50000);
    }
    fprintf(stderr, "kith-bench: no node that may die is the home of %d variables\n", WRITERS);
    return -1;
}

static int die(struct cluster *cluster, enum death death, unsigned leader)
{
    struct writer writers[WRITERS] = {0};
    unsigned victim = 0;
    int r = choose_victim(cluster, death, leader, writers, &victim);

    if (r != 0)
        return r;
    atomic_store(&writers_end, false);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i].socket = cluster->nodes[(victim + 1 + i % 2) % NODES].socket;
        pthread_create(&writers[i].thread, NULL, writer_main, &writers[i]);
    }
    bool flows = wait_for_writes(writers, 0);
    usleep(BEFORE_MS * 1000);
    bool told = death == DEATH_LEAVES || death == DEATH_LEADER_LEAVES;
    cluster_node_end(cluster, victim, told ? SIGTERM : SIGKILL);
    if (death == DEATH_RESTART || death == DEATH_LEADER_RESTART)
        r = cluster_node_start(cluster, victim);
    flows = flows && wait_for_writes(writers, bench_now_ns());
    usleep(BEFORE_MS * 1000);
    atomic_store(&writers_end, true);
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        bench_note(&series[death], flows ? (double)writers[i].gap_ns / 1e9 : INFINITY, (double)NAN);
    }
    if (r == 0 && cluster->nodes[victim].pid == 0)
        r = cluster_node_start(cluster, victim);
    return r == 0 ? cluster_node_wait_up(cluster, victim, SETTLE_MS) : r;
}

static int one_round(struct cluster *cluster)
{
    for (unsigned death = 0; death < FAILOVER_N; death++) {
        if (cluster_wait_settled(cluster, 1, SETTLE_MS) != 0) {
            fprintf(stderr, "kith-bench: three agents do not settle in %d s\n", SETTLE_MS / 1000);
            return -1;
        }
        int leader = leader_of(cluster);
        if (leader < 0)
            return -1;
        make_names(cluster);
        if (die(cluster, (enum death)death, (unsigned)leader) != 0)
            return -1;
    }
    return 0;
}

size_t bench_failover(unsigned rounds, struct bench_figure figures[FAILOVER_N])
{
    struct cluster cluster;
    int r = cluster_start(&cluster, NODES, false);

    for (unsigned i = 0; r == 0 && i < rounds; i++)
        r = one_round(&cluster);
    cluster_end(&cluster, r != 0);
    for (size_t i = 0; i < FAILOVER_N; i++) {
        figures[i] = bench_figure_of(&series[i]);
        /* Judged by the worst of them, not by the middle. */
        figures[i].value = bench_percentile(&series[i].values, 99);
    }
    return FAILOVER_N;
}
