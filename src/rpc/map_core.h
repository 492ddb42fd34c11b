/*
 * One function over many arguments (kith_map_start), as a pure machine: which item goes where,
 * what is pending, what was lost. Calls themselves are rpc.h's business; the driver joins the two.
 */
#ifndef RPC_MAP_CORE_H
#define RPC_MAP_CORE_H

#include "kith/rpc.h"

struct map_core;

/* Results kept back for order at once; items further ahead wait. */
#define MAP_HELD_MAX 65536

struct map_config {
    uint64_t map_no;
    uint64_t items_n;
    uint64_t seed;
    bool ordered;
    uint32_t attempts_max; /* 0: no limit */
};

enum map_event_type {
    MAP_NODE_UP,   /* node, in_flight_max: it has the function and may take items */
    MAP_NODE_DOWN, /* node: failed, left, or has the function no more: its items go back to pending
                    */
    MAP_NODE_DRAINED, /* node: it gets no more items, those that run there go on; NODE_UP takes it
                         back */
    MAP_ITEM_DONE,    /* node, index, outcome, code: a call ended; the result bytes stay with the
                         driver */
    MAP_CANCEL,
    MAP_TICK, /* the deadline (back-off of refused items) has come */
};

struct map_event {
    enum map_event_type type;
    uint64_t now_ns;
    struct kith_node_id node;
    const char *node_name; /* NODE_UP, copied */
    uint32_t in_flight_max;
    uint64_t index;
    enum kith_outcome outcome;
    int code;
    uint64_t elapsed_ns;
};

enum map_action_type {
    MAP_DISPATCH, /* node, index: call it there */
    MAP_ABORT,    /* node, index: cancel the call (map cancelled) */
    MAP_HOLD,     /* index: keep the result of the ITEM_DONE just given, for later */
    MAP_EMIT,     /* index: hand out the result: the one just given, or a held one */
    MAP_LOST,     /* node, index: went back to pending */
    MAP_FINISHED, /* last action ever */
    /*
     * index: attempts_max tries were lost, the last one to a NODE_DOWN: hand out a failure made up
     * by the driver (UNKNOWN, KITH_E_NO_NODE). In order as EMIT is.
     */
    MAP_GIVE_UP,
};

struct map_action {
    enum map_action_type type;
    struct kith_node_id node;
    uint64_t index;
};

struct map_output {
    struct map_action *actions; /* owned by the core, valid until the next step */
    size_t actions_n;
};

/*
 * Nodes that come up are given items by the next TICK, for which the deadline asks at once: so that
 * those which come together share a short map fairly. An item is lost, and tried again elsewhere,
 * when its node is down or its outcome is UNKNOWN or a time-out; refused (BUSY) it goes back to
 * pending and the node is left alone for 50 ms to 2 s. APP_ERROR, and what no node would take
 * (SIGNATURE, TOO_LARGE), ends it as failed. An ITEM_DONE of an item that is not running on that
 * node is ignored.
 */
int map_new(struct map_core **core_out, const struct map_config *config);
void map_free(struct map_core *core);
int map_step(struct map_core *core, const struct map_event *event, struct map_output *out);
uint64_t map_deadline_ms(const struct map_core *core);
/* Filled from the core's own tables; pointers valid until the next step. */
const struct kith_map_progress *map_progress(struct map_core *core);
/* Asserts the invariants. */
void map_check(const struct map_core *core);

#endif
