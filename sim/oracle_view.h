/*
 * What must hold of views and leases, whatever happens (protocols 5.2, 5.12 oracles 4 and 6), seen
 * from outside, in real time:
 *
 *   - one record an epoch: whoever knows an epoch knows the same placement
 *   - one boot a member id
 *   - the epoch a node knows never goes back while it runs
 *   - a slot's configurations follow each other: no activation of a slot epoch that is not above
 *     the one before, one configuration a slot epoch
 *   - leases: who has a keeper lease and takes an old configuration of a slot for the active one is
 *     in the newest one too, or has promised not to serve the old one
 *   - one node at a time has a leader lease
 */
#ifndef SIM_ORACLE_VIEW_H
#define SIM_ORACLE_VIEW_H

#include "core/map.h"
#include "host_state.h"

struct oracle_known {
    uint64_t boot_no;
    uint64_t epoch; /* that boot has known */
};

struct oracle_view {
    struct sim_world *world;
    struct map64 records;    /* epoch -> hash | 1 */
    struct placement newest; /* of all nodes */
    uint64_t newest_hash;
    struct map64 members;       /* member id -> hash of its boot | 1 */
    struct map64 configs;       /* slot and slot epoch -> hash of the replicas | 1 */
    struct oracle_known *known; /* by index */
    uint64_t activations_n, records_n, moves_n;
    uint32_t generation_n; /* slots that were lost and began anew */
};

void oracle_view_init(struct oracle_view *oracle, struct sim_world *world);
void oracle_view_deinit(struct oracle_view *oracle);
void oracle_view_placement(struct oracle_view *oracle,
                           struct hs *hs,
                           const struct placement *placement);
void oracle_view_lease(struct oracle_view *oracle, struct hs *hs, uint64_t until_ms);
void oracle_view_stepped(struct oracle_view *oracle, struct hs *hs);
/* Why shared state is not whole: some slot is not served, somebody does not know the newest view.
 * False if it is; else the reason in @out. */
bool oracle_view_waits(struct oracle_view *oracle, char *out, size_t out_bytes);

#endif
