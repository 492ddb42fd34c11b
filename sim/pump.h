/*
 * What hosts of several cores have in common. One core's output never steps another: what it says
 * to another waits in a queue, and the pump does one thing that is due after the other.
 */
#ifndef SIM_PUMP_H
#define SIM_PUMP_H

#include <string.h>

#include "queue.h"
#include "world.h"

#define PUMP_ROUNDS_MAX 100000

/* Things of one size, first in, first out; {0} is empty. */
struct pump_queue {
    uint8_t *items;
    size_t n, cap, at; /* from at to n */
};

/* Room for one more of @bytes each, zeroed; borrowed until the next. */
static inline void *pump_add(struct pump_queue *queue, size_t bytes)
{
    uint8_t *item;

    if (queue->at == queue->n) {
        queue->at = 0;
        queue->n = 0;
    }
    if (queue->n == queue->cap) {
        queue->cap = queue->cap > 0 ? 2 * queue->cap : 32;
        queue->items = sim_realloc(queue->items, queue->cap, bytes);
    }
    item = queue->items + queue->n++ * bytes;
    memset(item, 0, bytes);
    return item;
}

/* Takes the first one out into @item_out. False: there is none. */
static inline bool pump_take(struct pump_queue *queue, size_t bytes, void *item_out)
{
    if (queue->at == queue->n)
        return false;
    memcpy(item_out, queue->items + queue->at++ * bytes, bytes);
    return true;
}

/* Until nothing is due any more: @one does one thing, or says that there is none. */
static inline void pump_run(struct sim_node *node, bool (*one)(void *host), void *host)
{
    for (unsigned round = 0; one(host); round++) {
        if (round == PUMP_ROUNDS_MAX) {
            sim_violation(sim_node_world(node), "node %zu spins: something is always due",
                          sim_node_index(node));
            return;
        }
    }
}

#endif
