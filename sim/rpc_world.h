/*
 * A world of nodes that call each other under faults, and the oracles:
 *
 *   - a call that is not idempotent runs at most once, wherever and however often it was sent
 *   - every call ends with exactly one outcome, within its deadline and a bound
 *   - an OK result is the right one, an APP_ERROR is the function's own
 *   - what ended as NOT_EXECUTED has not run and never will
 *   - a call to a node ends at once when that node is declared failed
 *   - a map hands out every item exactly once, in order if asked for, with the right result, and
 * its counters add up
 */
#ifndef SIM_RPC_WORLD_H
#define SIM_RPC_WORLD_H

#include "chaos.h"
#include "host_rpc.h"
#include "scenario.h"

struct rw_call {
    uint64_t token;
    uint32_t caller;
    uint64_t caller_boot;
    size_t to; /* SIZE_MAX: any */
    enum hr_function fn;
    uint32_t input;
    bool idempotent, cast;
    bool pending;
    bool cancelled;
    bool ended;
    enum kith_outcome outcome;
    int code;
    uint32_t runs_n;
    uint64_t deadline_ns; /* of the caller's clock */
};

struct rw_map {
    struct hr_map *map; /* NULL once the node is gone */
    uint32_t caller;
    uint64_t caller_boot;
    uint64_t items_n;
    uint64_t emitted_n;
    uint64_t ok_n;
    uint64_t next; /* ordered: the index to come */
    uint8_t *seen; /* by index */
    bool ordered, cancelled, finished, attempts_limited;
};

struct rpc_world {
    struct hr_world hr; /* first */
    struct sim_world *world;
    struct scn *scn;
    struct chaos chaos;
    struct rw_call *calls; /* uid - 1 */
    size_t calls_n, calls_cap;
    struct map64 by_token; /* pending ones: index + 1 */
    struct rw_map *maps;
    size_t maps_n, maps_cap;
    uint32_t call_period_us; /* an operation about so often; 0: none */
    uint32_t map_period_ms;
    uint32_t map_items_max;
    bool bursts; /* now and then many calls with large results */
    bool ops_on;
    uint32_t outcomes[5];
    uint64_t runs_n;
};

/* Faults and classes as the seed draws them; nodes are not started. */
void rw_init(
    struct rpc_world *rw, struct scn *scn, uint64_t seed, size_t nodes_n, uint32_t classes);
void rw_deinit(struct rpc_world *rw);
/* Forms a quiet cluster (faults are off until rw_start()). */
bool rw_form(struct rpc_world *rw);
/* Operations and faults from now on, until rw_stop(). */
void rw_start(struct rpc_world *rw);
void rw_stop(struct rpc_world *rw);
bool rw_run_for(struct rpc_world *rw, uint64_t ms);
/*
 * The liveness phase, after rw_stop(): within @limit_ms all live nodes agree and no operation is
 * pending. scn_fail() says what is.
 */
bool rw_settles_within(struct rpc_world *rw, uint64_t limit_ms);

#endif
