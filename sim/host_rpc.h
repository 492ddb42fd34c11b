/*
 * A simulated node that runs the shipped cores of membership, calls and maps, joined as src/node
 * joins them, with functions that take random time.
 *
 * What the scenario wants to know comes by struct hr_observer; it judges, the host does not.
 */
#ifndef SIM_HOST_RPC_H
#define SIM_HOST_RPC_H

#include "core/heap.h"
#include "core/list.h"
#include "core/map.h"
#include "host_member.h"
#include "pump.h"
#include "rpc/map_core.h"
#include "rpc/rpc.h"

struct hr;
struct hr_map;

/* What a function gets: the oracle's number of the call, how long it takes, and what is computed.
 */
struct hr_arg {
    uint64_t uid;
    uint32_t run_us;
    uint32_t input;
    uint32_t bytes; /* of padding behind this, and of the reply */
};
#define HR_ARG_BYTES 20

/* The functions every node offers (a node may withdraw some). */
enum hr_function {
    HR_WORK,   /* "work": must run at most once */
    HR_IDEM,   /* "idem": idempotent */
    HR_INLINE, /* "inline": on the loop thread */
    HR_FAIL,   /* "fail": ends as APP_ERROR with 1 + input % 100 */
    HR_ONE,    /* "one": one at a time, and a queue of four */
    HR_FUNCTIONS_N,
};
extern const char *const hr_function_names[HR_FUNCTIONS_N];

/* What @arg is computed to; the reply begins with it. */
uint64_t hr_answer(uint32_t input);

struct hr_observer {
    /* A function starts here. */
    void (*run)(struct hr *hr, const struct hr_arg *arg);
    /* A call made by hr_call() has ended. */
    void (*complete)(struct hr *hr, uint64_t token, const struct kith_result *result);
    /* A node of that boot was declared failed or left; all that follows from it is done. */
    void (*peer_down)(struct hr *hr, const struct kith_node_id *id, uint64_t boot_no);
    /* An item of a map; @result is NULL for none (a map that was cancelled emits what it has). */
    void (*emit)(struct hr_map *map, uint64_t index, const struct kith_result *result);
    void (*lost)(struct hr_map *map, uint64_t index);
    /* After each step of a map. */
    void (*progress)(struct hr_map *map, const struct kith_map_progress *progress);
    void (*finished)(struct hr_map *map);
};

/* sim_user() of such a world. */
struct hr_world {
    struct hm_world hm;       /* first */
    struct rpc_config config; /* of every node; self, boot and seed are filled in */
    struct hr_observer observer;
    uint64_t refuse_sends; /* chance that the channel refuses a frame of calls */
    uint32_t functions;    /* bit set of what is offered; 0: all */
    uint64_t token;        /* the last given */
};

/* The cores never call one another: what one says to another waits here. */
enum hr_todo_type {
    HR_TELL,     /* an event of membership for the rpc core */
    HR_REGISTRY, /* our functions have changed: membership spreads the version */
    HR_DISPATCH, /* an item of a map is to be called */
    HR_ABORT,    /* an item's call is to be given up */
};
struct hr_todo {
    enum hr_todo_type type;
    enum rpc_event_type event;
    struct kith_node_id id;
    uint64_t boot_no;
    uint64_t version;
    uint64_t index;
    struct hr_map *map;
    char name[32];
    bool left;
};

struct hr_down {
    struct kith_node_id id;
    uint64_t boot_no;
};

struct hr {
    struct hm hm; /* first */
    struct hr_world *hw;
    struct rpc_core *rpc;
    struct heap runs;   /* functions under way, by their end on this node's clock */
    struct map64 items; /* token -> the item of a map it is for */
    struct list maps;
    struct pump_queue todo; /* of struct hr_todo */
    struct hr_down *downs;  /* whom the observer is to hear of */
    size_t downs_n, downs_cap;
    bool functions_changed;
    uint32_t offered; /* bit set of functions */
    uint8_t *scratch; /* arguments and replies */
};

extern const struct sim_host hr_host;

struct hr_call_options {
    enum hr_function fn;
    struct hr_arg arg;
    size_t to; /* index of a node, or SIZE_MAX: any */
    uint64_t timeout_ms;
    bool idempotent, no_retry, cast, local_first;
};

struct hr *hr_at(struct sim_world *world, size_t index);
/* Makes a call on a running node. Returns its token, or 0 and *code_out: refused, it never runs. */
uint64_t hr_call(struct hr *hr, const struct hr_call_options *options, int *code_out);
void hr_cancel(struct hr *hr, uint64_t token);
void hr_export(struct hr *hr, enum hr_function fn);
void hr_unexport(struct hr *hr, enum hr_function fn);

struct hr_item; /* what is held of an item */

struct hr_map_node {
    struct kith_node_id id;
    uint64_t boot_no;
};

struct hr_map {
    struct list link; /* of the node */
    struct hr *hr;
    struct map_core *core;
    uint64_t map_no;
    uint64_t items_n;
    bool ordered;
    bool finished;
    uint32_t run_us_max;
    uint64_t item_timeout_ms;
    uint64_t seed;
    struct hr_item *items;
    struct hr_map_node *nodes; /* those told to the core */
    size_t nodes_n;
    void *user;
};

struct hr_map_options {
    uint64_t items_n;
    bool ordered;
    uint32_t attempts_max;
    uint32_t run_us_max;
    uint64_t item_timeout_ms;
    void *user;
};
struct hr_map *hr_map_start(struct hr *hr, const struct hr_map_options *options);
void hr_map_cancel(struct hr_map *map);
/* The input of item @index. */
uint32_t hr_map_input(const struct hr_map *map, uint64_t index);

/* rpc_check() and map_check() of what runs on @node, beside member_check(). */
void hr_check(struct hr *hr);

#endif
