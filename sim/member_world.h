/*
 * A world of membership nodes with an eye on who declares whom failed.
 *
 * A false failure is a node that is neither paused nor cut nor crashed and is declared failed by
 * anyone. What is said of the impaired ones is counted apart.
 */
#ifndef SIM_MEMBER_WORLD_H
#define SIM_MEMBER_WORLD_H

#include "host_member.h"
#include "scenario.h"

struct member_world {
    struct hm_world hw; /* first: it is sim_user() */
    struct sim_world *world;
    struct scn *scn;
    bool *impaired;         /* by index: paused now and then, cut, lossy */
    uint64_t *failed_at_ms; /* [observer]: when it declared `watched` failed, 0: not yet */
    size_t watched;         /* SIZE_MAX: nobody */
    uint64_t false_n;       /* declarations of healthy nodes, one per observer and time */
    uint64_t impaired_n;    /* of impaired ones */
    uint64_t suspected_n;   /* healthy ones suspected */
    size_t nodes_false_n;   /* different healthy nodes among them */
    bool *false_of;         /* by index */
    bool false_is_failure;  /* a false failure ends the seed as failed */
};

/* @faults may be NULL: a quiet network. No node is started. */
void mw_init(struct member_world *mw,
             struct scn *scn,
             uint64_t seed,
             size_t nodes_n,
             const struct sim_faults *faults);
/* Takes the world's events and trace over to the scenario. */
void mw_deinit(struct member_world *mw);
/* Starts all within some seconds and runs until they agree; scn_fail() if they do not. */
bool mw_form(struct member_world *mw);
/* The check to run with: member_check() after each step if asked for. */
bool mw_check(struct sim_world *world);
bool mw_run_for(struct member_world *mw, uint64_t ms);
/* Until all agree, at most @limit_ms; scn_fail() says who does not. */
bool mw_agree_within(struct member_world *mw, uint64_t limit_ms, const char *what);
/* From now on failed_at_ms tells who declared @index failed and when. */
void mw_watch(struct member_world *mw, size_t index);
/* Runs until all that are up have declared the watched one failed. */
bool mw_run_until_failed(struct member_world *mw, uint64_t limit_ms);

#endif
