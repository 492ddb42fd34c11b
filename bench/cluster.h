/*
 * A cluster of real agents on this machine, for benchmarks and histories: data directories in a
 * temporary one, `kith agent` processes, signals, cut links, and questions over the control socket.
 *
 * With network namespaces (root) every agent is a host of its own on one bridge, and links can be
 * cut; else all are on loopback.
 *
 * Agents die with the thread that started them, so start them all on one that stays.
 */
#ifndef BENCH_CLUSTER_H
#define BENCH_CLUSTER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kith/api.h"

#define CLUSTER_NODES_MAX 7

struct cluster_node {
    char name[12]; /* n1, n2 ... */
    char dir[80];
    char socket[100];
    char space[24]; /* network namespace; "" if none */
    pid_t pid;      /* 0: does not run */
    bool stopped;   /* SIGSTOP */
    bool cut;
};

struct cluster {
    char dir[64];
    char tag[12]; /* of the namespaces; "" if there are none */
    struct cluster_node nodes[CLUSTER_NODES_MAX];
    unsigned n;
};

/* Data directories for one cluster of @n nodes whose first view waits for all of them, in @dir,
 * which exists. @listen: "127.0.0.1:0", or NULL for what each namespace has. 0 or -1 and a message.
 */
int cluster_fill_dirs(const char *dir, unsigned n, const char *listen);
/* `kith` that belongs to this program. 0 or -1 and a message. */
int cluster_find_kith(char *path, size_t path_bytes);

/* Makes directories (and namespaces with @spaces) and starts all agents; waits for their sockets.
 * 0 or -1 and a message. cluster_end() in both cases. */
int cluster_start(struct cluster *cluster, unsigned n, bool spaces);
/* Kills what runs and removes everything, or with @keep all but the directories. */
void cluster_end(struct cluster *cluster, bool keep);

/* Starts the agent of a node that does not run. */
int cluster_node_start(struct cluster *cluster, unsigned i);
/* SIGKILL or SIGTERM, and waits until it has ended. */
void cluster_node_end(struct cluster *cluster, unsigned i, int signal_no);
void cluster_node_stop(struct cluster *cluster, unsigned i, bool stop);
/* Cuts the host from all others, or heals that. Only with namespaces. */
void cluster_node_cut(struct cluster *cluster, unsigned i, bool cut);
/* 0 once its agent answers on its socket; -1 after @timeout_ms. */
int cluster_node_wait_up(struct cluster *cluster, unsigned i, uint64_t timeout_ms);

/* Why namespaces cannot be used here; NULL if they can. */
const char *cluster_spaces_why_not(void);

/* The result of one question; NULL if it failed. To be decref'd. @args: JSON text, or NULL. */
json_t *cluster_ask(const char *socket, const char *verb, const char *args, uint64_t timeout_ms);

/* Waits until every agent that runs says that @tolerated failures are survived, with nothing on the
 * move. 0, or -1 after @timeout_ms. */
int cluster_wait_settled(struct cluster *cluster, uint64_t tolerated, uint64_t timeout_ms);

#endif
