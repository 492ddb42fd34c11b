/*
 * Scenarios of calls and maps under faults, and the swarm, in which everything may happen.
 */
#include "rpc_world.h"

#define LIVENESS_MS 60000

static void finish(struct scn *scn)
{
    scn_target(scn, "settled_after_ms", SCN_MAX, false, LIVENESS_MS);
}

static void run(struct scn *scn, struct rpc_world *rw)
{
    if (rw_form(rw)) {
        rw_start(rw);
        bool safe = rw_run_for(rw, scn->options.time_ms);
        rw_stop(rw);
        if (safe)
            rw_settles_within(rw, LIVENESS_MS);
    }
    rw_deinit(rw);
}

static uint32_t classes_of(const struct scn *scn, uint64_t seed, uint32_t possible)
{
    struct rng rng;

    rng_init(&rng, seed);
    uint32_t drawn = chaos_draw(&rng) & possible;
    return scn->options.classes != 0 ? scn->options.classes : drawn;
}

static void rpc_seed(struct scn *scn, uint64_t seed)
{
    struct rpc_world rw;

    rw_init(&rw, scn, seed, scn->options.nodes_n,
            classes_of(scn, seed,
                       CHAOS_LOSS | CHAOS_SLOW | CHAOS_CLOCK | CHAOS_PARTITION | CHAOS_ONEWAY |
                           CHAOS_PAUSE | CHAOS_CRASH | CHAOS_POWER | CHAOS_FLAP | CHAOS_DEAF |
                           CHAOS_BUSY));
    rw.map_period_ms = 0;
    rw.call_period_us = 5000;
    rw.bursts = seed % 4 == 1; /* they are mostly copying */
    run(scn, &rw);
}

const struct scenario scenario_rpc_faults = {
    .name = "rpc-faults",
    .line =
        "calls under cuts, crashes, restarts and pauses: at most once, one outcome each, in time",
    .nodes_default = 5,
    .nodes_min = 2,
    .time_default_ms = 120000,
    .seed = rpc_seed,
    .finish = finish,
};

static void map_seed(struct scn *scn, uint64_t seed)
{
    struct rpc_world rw;

    rw_init(&rw, scn, seed, scn->options.nodes_n,
            classes_of(scn, seed,
                       CHAOS_LOSS | CHAOS_CLOCK | CHAOS_PARTITION | CHAOS_PAUSE | CHAOS_CRASH |
                           CHAOS_POWER | CHAOS_FLAP));
    rw.map_period_ms = 4000;
    rw.call_period_us = 0;
    run(scn, &rw);
}

static void map_finish(struct scn *scn)
{
    finish(scn);
    scn_target(scn, "maps_finished", SCN_SUM, true, 1);
}

const struct scenario scenario_map_faults = {
    .name = "map-faults",
    .line = "maps while nodes crash, restart and join: every item once, in order, right",
    .nodes_default = 5,
    .nodes_min = 1,
    .time_default_ms = 120000,
    .seed = map_seed,
    .finish = map_finish,
};

static void swarm_seed(struct scn *scn, uint64_t seed)
{
    struct rpc_world rw;
    struct rng rng;

    rng_init(&rng, seed ^ 0x7377);
    /* Small clusters have the stranger corners. */
    size_t nodes_n = 2 + (size_t)rng_below(&rng, scn->options.nodes_n - 1);
    scn->options.check = true;
    rw_init(&rw, scn, seed, nodes_n, classes_of(scn, seed, CHAOS_ALL));
    run(scn, &rw);
}

const struct scenario scenario_swarm = {
    .name = "swarm",
    .line =
        "each class of faults on or off by the seed, all oracles after every step, then liveness",
    .nodes_default = 8,
    .nodes_min = 2,
    .time_default_ms = 180000,
    .seed = swarm_seed,
    .finish = finish,
};

const struct scenario *const scenarios[] = {
    &scenario_member_crash,    &scenario_member_small,
    &scenario_member_massacre, &scenario_member_idle,
    &scenario_member_pause,    &scenario_member_lossy,
    &scenario_member_oneway,   &scenario_member_partition,
    &scenario_member_churn,    &scenario_member_powercut,
    &scenario_member_sealed,   &scenario_rpc_faults,
    &scenario_map_faults,      &scenario_swarm,
    &scenario_view_faults,     &scenario_mutex_faults,
    &scenario_dvar_faults,     &scenario_state_swarm,
    &scenario_state_failover,  &scenario_state_edges,
    &scenario_fs_faults,       NULL,
};
