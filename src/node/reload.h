/* Reading the configuration again while the node runs. */
#ifndef NODE_RELOAD_H
#define NODE_RELOAD_H

#include "core/list.h"
#include "node/config.h"
#include "node/node.h"

/* More keys than the table has. */
#define NODE_RELOAD_KEYS_MAX 64

struct node_config_change {
    const struct config_key *key;
    bool applied; /* false: it changes when the agent is started again */
};

/* The keys that differ from what held. */
struct node_reload_report {
    const struct kith_config *fresh; /* as it was read */
    struct node_config_change changes[NODE_RELOAD_KEYS_MAX];
    size_t n;
};

/* What holds now: as the node was started, and reloaded since. Loop thread. */
const struct kith_config *node_config_now(const struct kith_node *node);

/* Values of a key, whether it repeats or not; a default counts as one. The i-th is borrowed. */
size_t config_values_n(const struct kith_config *config, const struct config_key *key);
const char *config_value(const struct kith_config *config, const struct config_key *key, size_t i);

/*
 * Takes over what @fresh has and a running node can take. Any thread but the loop's, which does it.
 * 0, KITH_E_MEMORY, KITH_E_STOPPED.
 */
int node_reload(struct kith_node *node, const struct kith_config *fresh);
/* It could not be read: who waits is told. Any thread. */
void node_reload_failed(struct kith_node *node, int code, const char *text);

/* How whoever owns the node is asked to read its configuration again and to call one of these. */
void node_on_reload(struct kith_node *node, void (*ask)(void));
/* Asks for it. @done runs once, later, on the loop thread; @report NULL unless @code is 0. 0, or
 * KITH_E_UNSUPPORTED and @done does not run; KITH_E_STOPPED likewise. Loop thread. */
struct node_reload_wait {
    struct list link;
    void (*done)(struct node_reload_wait *wait,
                 int code,
                 const char *text,
                 const struct node_reload_report *report);
};
int node_ask_reload(struct kith_node *node, struct node_reload_wait *wait);

#endif
