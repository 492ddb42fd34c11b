/* One node of kith dev: its directory, its process, starting and ending it. */
#ifndef CLI_DEV_NODE_H
#define CLI_DEV_NODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "node/agent_client.h"

struct cli;

#define DEV_NODES_MAX 256

struct dev_node {
    unsigned k;
    char dir[AGENT_SOCKET_PATH_MAX + 1];
    char socket_path[AGENT_SOCKET_PATH_MAX + 1];
    pid_t pid;   /* 0: does not run */
    int process; /* handle of the process (process.h), -1: none */
    bool ours;   /* started by this command, so to be reaped */
};

/* Fills in paths and whether it runs. 0 or an exit code (path too long). */
int dev_node_init(struct cli *cli, struct dev_node *node, const char *dir, unsigned k);
void dev_node_deinit(struct dev_node *node);
/* Looks again whether it runs. */
void dev_node_refresh(struct dev_node *node);
/* True if the directory holds a node. */
bool dev_node_exists(const struct dev_node *node);

/*
 * Starts the agent in the background, its output appended to DIR/K/log. Does not wait. 0 or an exit
 * code.
 */
int dev_node_spawn(struct cli *cli, struct dev_node *node);
/* Waits until the socket of what dev_node_spawn() started answers, at most @timeout_ms. 0, or says
 * why (with the end of its log) and gives an exit code. */
int dev_node_wait_up(struct cli *cli, struct dev_node *node, uint64_t timeout_ms);
/*
 * True if it ran by what is known here, and has ended: one that was killed keeps its socket until
 * the system has taken it down, and seems to run until then. @node says from then on that it does
 * not run.
 */
bool dev_node_ended(struct dev_node *node);
/* Says "node K @what" with the end of its log, and gives @exit_code. */
int dev_node_fail(struct cli *cli, const struct dev_node *node, int exit_code, const char *what);
/* SIGTERM, or SIGKILL if @now; does not wait. */
void dev_node_signal(struct dev_node *node, bool now);
/* Waits until it is gone; kills it after @timeout_ms. */
void dev_node_wait_gone(struct dev_node *node, uint64_t timeout_ms);

/*
 * Asks its agent one thing. The result (the caller's to json_decref), empty if it refused; NULL if
 * it did not answer: nothing is said.
 */
struct json_t *dev_node_ask(const struct dev_node *node, const char *verb, uint64_t timeout_ms);

#endif
