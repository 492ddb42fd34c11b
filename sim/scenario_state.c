/*
 * Scenarios of shared state: views, variables and mutexes under faults.
 */
#include "plot.h"

#define LIVENESS_MS 60000
#define EDGES_MAX   3

static void finish(struct scn *scn)
{
    scn_target(scn, "settled_after_ms", SCN_MAX, false, LIVENESS_MS);
}

static void run(struct scn *scn, struct state_world *sw)
{
    if (sw_form(sw)) {
        sw_start(sw);
        bool safe = sw_run_for(sw, scn->options.time_ms);
        sw_stop(sw);
        if (safe)
            sw_settles_within(sw, LIVENESS_MS);
    }
    sw_deinit(sw);
}

/* Sizes and faults by the seed; small clusters have the stranger corners. */
static struct state_options draw(const struct scn *scn, uint64_t seed)
{
    struct state_options options = {0};
    struct rng rng;

    rng_init(&rng, seed ^ 0x7374);
    options.keepers_n = 1 + (size_t)rng_below(&rng, scn->options.nodes_n);
    options.edges_n = (size_t)rng_below(&rng, EDGES_MAX + 1);
    options.period_ms = 1000u << rng_below(&rng, 4);
    options.classes = chaos_draw_state(&rng);
    if (scn->options.classes != 0)
        options.classes = scn->options.classes;
    return options;
}

static void
run_plot(struct scn *scn, uint64_t seed, struct state_options *options, enum plot_kind kind)
{
    struct state_world sw;
    struct plot plot;

    plot_options(kind, seed, options);
    sw_init(&sw, scn, seed, options);
    plot_init(&plot, &sw, kind);
    sw.plot = kind != PLOT_NONE ? &plot : NULL;
    run(scn, &sw);
}

/* Every fourth seed aims, and a few of the others at the disk of an only voter. */
static enum plot_kind view_plot(uint64_t seed)
{
    if (seed % 4 == 3)
        return PLOT_MINT + seed / 4 % PLOT_JOINT;
    return seed % 32 == 29 ? PLOT_ONLY_DISK : PLOT_NONE;
}

static void view_seed(struct scn *scn, uint64_t seed)
{
    struct state_options options = draw(scn, seed);

    options.variables_off = true;
    options.mutexes_off = true;
    run_plot(scn, seed, &options, view_plot(seed));
}

const struct scenario scenario_view_faults = {
    .name = "view-faults",
    .line = "views and leases under all faults: one record an epoch, no two leases for one slot",
    .nodes_default = PLACEMENT_KEEPERS_MAX,
    .nodes_min = 1,
    .time_default_ms = 120000,
    .seed = view_seed,
    .finish = finish,
};

static void mutex_seed(struct scn *scn, uint64_t seed)
{
    struct state_options options = draw(scn, seed);

    options.variables_off = true;
    options.clients_per_node = 2;
    run_plot(scn, seed, &options, seed % 2 == 1 ? PLOT_HOLDER : PLOT_NONE);
}

const struct scenario scenario_mutex_faults = {
    .name = "mutex-faults",
    .line = "mutexes under all faults, their records in one place: one holder, growing fences",
    .nodes_default = PLACEMENT_KEEPERS_MAX,
    .nodes_min = 1,
    .time_default_ms = 120000,
    .seed = mutex_seed,
    .finish = finish,
};

static void dvar_seed(struct scn *scn, uint64_t seed)
{
    struct state_world sw;
    struct state_options options = draw(scn, seed);

    options.mutexes_off = true;
    options.clients_per_node = 3;
    sw_init(&sw, scn, seed, &options);
    run(scn, &sw);
}

const struct scenario scenario_dvar_faults = {
    .name = "dvar-faults",
    .line = "variables under all faults: no acknowledged write lost, no read that goes back",
    .nodes_default = PLACEMENT_KEEPERS_MAX,
    .nodes_min = 1,
    .time_default_ms = 120000,
    .seed = dvar_seed,
    .finish = finish,
};

static void swarm_seed(struct scn *scn, uint64_t seed)
{
    struct state_world sw;
    struct state_options options = draw(scn, seed);

    options.clients_per_node = 3;
    sw_init(&sw, scn, seed, &options);
    run(scn, &sw);
}

const struct scenario scenario_state_swarm = {
    .name = "state-swarm",
    .line = "views, variables and mutexes together under all faults, then liveness",
    .nodes_default = PLACEMENT_KEEPERS_MAX,
    .nodes_min = 1,
    .time_default_ms = 100000,
    .seed = swarm_seed,
    .finish = finish,
};
