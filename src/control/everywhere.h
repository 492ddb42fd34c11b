/* One verb asked of every node at once: for what no node knows alone. Loop thread only. */
#ifndef CONTROL_EVERYWHERE_H
#define CONTROL_EVERYWHERE_H

#include <jansson.h>

#include "node/node.h"

/* Who waits for a list leaves out a node that is silent for so long. */
#define CONTROL_LIVE_MS 1500

struct control_everywhere {
    const char *verb; /* one that other nodes may ask for, and that is answered once */
    json_t *args;     /* taken over; may be NULL */
    uint64_t timeout_ms;
    /* What a node answered; NULL: it is silent, or refused. @result is borrowed. */
    void (*each)(void *user, const struct kith_node_id *id, const char *name, json_t *result);
    void (*done)(void *user, size_t silent_n);
    void *user;
};

/*
 * Asks all agents that are alive, this node too. @done runs once, after the last @each and after
 * this returned, even if nobody could be asked. 0, or a code, after which nothing runs.
 */
int control_everywhere(struct kith_node *node, const struct control_everywhere *what);

#endif
