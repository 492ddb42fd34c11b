/*
 * A world of nodes that share state under faults: keepers and edges, disks, the oracles.
 */
#ifndef SIM_STATE_WORLD_H
#define SIM_STATE_WORLD_H

#include "chaos.h"
#include "host_state.h"
#include "oracle_view.h"
#include "scenario.h"
#include "state_ops.h"

struct plot;

struct state_world {
    struct hs_world hs; /* first */
    struct sim_world *world;
    struct scn *scn;
    struct chaos chaos;
    struct oracle_view view;
    struct state_ops ops;
    uint32_t damages_n;    /* disks that were changed */
    uint64_t *stall_until; /* by index, world ms: end of DISK_FULL */
    bool *set_back;        /* by index: its disk was, once */
    struct plot *plot;     /* or NULL */
};

struct state_options {
    size_t keepers_n;
    size_t edges_n;
    uint32_t classes;
    uint32_t period_ms; /* of faults */
    bool clock_extremes;
    bool variables_off;
    bool mutexes_off;
    bool member_off;
    size_t clients_per_node;
};

/* Nodes are not started. */
void sw_init(struct state_world *sw,
             struct scn *scn,
             uint64_t seed,
             const struct state_options *options);
void sw_deinit(struct state_world *sw);
/* A quiet cluster that bears the failures its size allows (faults are off until sw_start()). */
bool sw_form(struct state_world *sw);
/* Every slot has a home with a lease, and the cluster bears the failures its size allows, within
 * @limit_ms; or the seed has failed. */
bool sw_is_whole_within(struct state_world *sw, uint64_t limit_ms);
void sw_start(struct state_world *sw);
void sw_stop(struct state_world *sw); /* faults off, every node up */
bool sw_run_for(struct state_world *sw, uint64_t ms);
/* The liveness phase: every slot is served and nothing is pending within @limit_ms. */
bool sw_settles_within(struct state_world *sw, uint64_t limit_ms);

#endif
