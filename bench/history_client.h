/*
 * The clients of `kith bench history`: each a thread that does operations over the control socket
 * of one agent after the other and writes what came of them (docs/protocols/history.md).
 */
#ifndef BENCH_HISTORY_CLIENT_H
#define BENCH_HISTORY_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cluster.h"
#include "core/rng.h"

enum history_phase {
    PHASE_LOAD,  /* everything */
    PHASE_READ,  /* each client reads every name once more, and ends */
    PHASE_BREAK, /* end at once */
};

struct history_run {
    FILE *out;
    pthread_mutex_t mutex; /* of out */
    _Atomic int phase;
    const char *sockets[CLUSTER_NODES_MAX];
    unsigned sockets_n;
    const char *prefix; /* of all names */
    _Atomic uint64_t done_n;
    _Atomic unsigned ended_n; /* clients that have read what is left */
};

#define HISTORY_TEXTS_N 4 /* variables that hold text */

struct history_client {
    struct history_run *run;
    unsigned no;
    struct rng rng;
    pthread_t thread;
    struct agent_client *agent;
    unsigned socket; /* of the agent, an index */
    uint64_t request, value_n;
    char seen[HISTORY_TEXTS_N][48]; /* what it saw last; "" for absent */
};

int history_client_begin(struct history_client *client,
                         struct history_run *run,
                         unsigned no,
                         uint64_t seed);
void history_client_join(struct history_client *client);

#endif
