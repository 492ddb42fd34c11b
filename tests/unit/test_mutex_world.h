/*
 * A world in memory for the core of mutexes: nodes that run real cores, a network that loses,
 * doubles, delays and cuts, records as an atomic oracle that answers late or not at all, a view
 * that excludes, ends, readmits and moves homes, leases by clocks of different speed, pauses and
 * crashes. All from one seed.
 */
#ifndef TEST_MUTEX_WORLD_H
#define TEST_MUTEX_WORLD_H

#include <stdbool.h>
#include <stdint.h>

struct world_options {
    uint32_t keepers_n, edges_n; /* 0 and 0: drawn */
    uint64_t faults_ms;          /* then everything heals, and everybody must get in */
    bool calm;                   /* no faults at all */
    bool shared, permits;        /* some acquires are shared; all are of a mutex with 3 permits */
    uint32_t names_n;
    uint32_t owners_n;  /* of a node */
    uint32_t token_max; /* participants_token_max of the cores; 0: theirs */
    uint64_t idle_ms;   /* of the cores; 0: drawn */
};

struct world_result {
    char failure[400]; /* empty: nothing is wrong */
    uint64_t grants, recoveries, passed, lost, messages, steps, ended, joins;
};

void world_run(uint64_t seed, const struct world_options *options, struct world_result *result);

#endif
