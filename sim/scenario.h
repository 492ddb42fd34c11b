/*
 * Scenarios of kith-sim: each runs one seed at a time and leaves samples and counters; what they
 * are measured against is said once, after the last seed.
 */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include "core/bytes.h"
#include "member/member.h"
#include "world.h"

#define SCN_SERIES_MAX  48
#define SCN_TARGETS_MAX 32

struct scenario_options {
    size_t nodes_n;
    uint64_t time_ms;
    enum member_profile profile;
    bool lifeguard_off;
    bool detector_echo;
    bool real_crypto;
    bool check;       /* the cores' invariants after every step */
    uint32_t classes; /* swarm: only these fault classes; 0: drawn by the seed */
    FILE *log;        /* a line an event, or NULL */
};

/* Named values; a counter is a series whose sum matters. */
struct scn_series {
    char name[64];
    char unit[16];
    bool counter;
    double *values;
    size_t n, cap;
    double sum;
};

enum scn_stat {
    SCN_MEDIAN,
    SCN_MAX,
    SCN_MIN,
    SCN_MEAN,
    SCN_P99, /* the smallest that 99 of 100 are not above */
    SCN_SUM,
};

struct scn_target {
    char name[96];
    double value;
    double target;
    bool at_least; /* else at most */
    bool met;
};

struct scenario;

struct scn {
    const struct scenario *scenario;
    struct scenario_options options;
    struct scn_series series[SCN_SERIES_MAX];
    size_t series_n;
    struct scn_target targets[SCN_TARGETS_MAX];
    size_t targets_n;
    uint64_t events_n;
    uint64_t hash;       /* of all worlds run */
    uint64_t seed;       /* the present one */
    struct buf failures; /* lines "seed N: what" */
    size_t failures_n;
};

struct scenario {
    const char *name;
    const char *line; /* what it shows */
    size_t nodes_default;
    size_t nodes_min;
    uint64_t time_default_ms; /* 0: the scenario ends by itself */
    void (*seed)(struct scn *scn, uint64_t seed);
    void (*finish)(struct scn *scn); /* states the targets; may be NULL */
};

extern const struct scenario *const scenarios[]; /* ends with NULL */
const struct scenario *scenario_find(const char *name);

/* All seeds, then the targets. True if nothing failed and every target is met. */
bool scenario_run(struct scn *scn, uint64_t first_seed, uint64_t seeds_n);
void scn_deinit(struct scn *scn);

void scn_sample(struct scn *scn, const char *name, const char *unit, double value);
void scn_count(struct scn *scn, const char *name, double n); /* 0 makes it appear */
double
scn_stat(const struct scn *scn, const char *name, enum scn_stat stat); /* NAN without values */
size_t scn_n(const struct scn *scn, const char *name);                 /* how many values */
void scn_target(
    struct scn *scn, const char *name, enum scn_stat stat, bool at_least, double target);
void scn_target_value(
    struct scn *scn, const char *name, double value, bool at_least, double target);
/* The seed failed: an oracle broke, or something did not come in time. */
void scn_fail(struct scn *scn, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Takes events and trace of @world over, and its violation as a failure. */
void scn_take(struct scn *scn, struct sim_world *world);

extern const struct scenario scenario_member_crash, scenario_member_idle, scenario_member_pause,
    scenario_member_lossy, scenario_member_oneway, scenario_member_partition, scenario_member_churn,
    scenario_member_powercut, scenario_member_small, scenario_member_massacre,
    scenario_member_sealed, scenario_rpc_faults, scenario_map_faults, scenario_swarm,
    scenario_view_faults, scenario_mutex_faults, scenario_dvar_faults, scenario_state_swarm,
    scenario_state_failover, scenario_state_edges, scenario_fs_faults;

#endif
