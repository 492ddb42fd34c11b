/*
 * One variable that a thousand edges cache: how long a write takes that all of them must hear of,
 * and what a cached variable costs in memory.
 *
 * Three keepers, all other nodes are edges. Each round all edges read until they cache the
 * variable; then its home, or an edge, writes it. A write of the home takes two hops: out, and the
 * acknowledgements back; one of an edge two more. Simulated time knows no work, so the processor
 * time that the home's core spends on the write is added. What sealing and writing a thousand
 * frames takes is not in it.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kith/error.h"
#include "state_world.h"

#define KEEPERS       3
#define ROUNDS        10  /* half of the writes from the home */
#define HOP_US        500 /* the slowest, of a quiet local network */
#define ABOVE_HOPS_MS 20
#define CACHED_N      2000 /* variables for the figure of memory, of */
#define DATA_BYTES    64   /* ... each */
#define TIMEOUT_MS    10000
#define WAIT_MS_MAX   30000
#define NAME          "shared"

struct edges {
    struct state_world sw; /* first: sim_user() of the world */
    uint64_t waits_for;    /* id of an operation; 0: it is done */
    uint64_t done_ns;
    int code;
    uint64_t reads_n; /* under way */
};

static struct edges *edges_of(struct sim_world *world)
{
    return (struct edges *)sim_user(world);
}

static void on_done(struct hs *hs, uint64_t id, const struct dvar_result *result)
{
    struct sim_world *world = sim_node_world(hs->hm.node);
    struct edges *e = edges_of(world);

    if (id != e->waits_for) {
        e->reads_n--;
        return;
    }
    e->waits_for = 0;
    e->done_ns = sim_world_ns(world);
    e->code = result->code;
}

/* ---- what is asked ---- */

static void read_at(struct edges *e, size_t index, const char *name)
{
    struct hs *hs = hs_at(e->sw.world, index);
    struct value_op op = {.kind = VALUE_OP_GET};

    e->reads_n++;
    hs_op(hs, hs_next_id(&e->sw.hs), name, &op, TIMEOUT_MS);
    hs_pump(hs);
}

/* Done, or the seed has failed. */
static bool write_at(struct edges *e, size_t index, const char *name)
{
    static const uint8_t data[DATA_BYTES];
    struct hs *hs = hs_at(e->sw.world, index);
    struct value_op op = {
        .kind = VALUE_OP_SET, .type = VALUE_BYTES, .data = data, .data_len = sizeof(data)};
    uint64_t until_ms = sim_world_ms(e->sw.world) + WAIT_MS_MAX;

    e->waits_for = hs_next_id(&e->sw.hs);
    hs_op(hs, e->waits_for, name, &op, TIMEOUT_MS);
    hs_pump(hs);
    while (e->waits_for != 0 && sim_world_ms(e->sw.world) < until_ms) {
        if (!sw_run_for(&e->sw, 1))
            return false;
    }
    if (e->waits_for != 0 || e->code != 0)
        scn_fail(e->sw.scn, "a write of node %zu: %s", index,
                 e->waits_for != 0 ? "it does not end" : kith_strerror(e->code));
    return e->waits_for == 0 && e->code == 0;
}

static bool caches(struct edges *e, size_t index, const char *name)
{
    struct hs *hs = hs_at(e->sw.world, index);
    struct dvar_info info;

    dvar_info(hs->dvar, name, strlen(name), hs_now_ms(hs), &info);
    return info.cached && info.valid;
}

/* Every edge reads until it has what is written here again when it changes. */
static bool all_cache(struct edges *e)
{
    uint64_t until_ms = sim_world_ms(e->sw.world) + WAIT_MS_MAX;
    size_t missing = SIZE_MAX;

    while (missing > 0 && sim_world_ms(e->sw.world) < until_ms) {
        missing = 0;
        for (size_t i = KEEPERS; i < sim_nodes_n(e->sw.world); i++) {
            if (caches(e, i, NAME))
                continue;
            missing++;
            read_at(e, i, NAME);
        }
        if (missing > 0 && !sw_run_for(&e->sw, 20))
            return false;
    }
    if (missing > 0)
        scn_fail(e->sw.scn, "%zu edges do not cache the variable", missing);
    return missing == 0;
}

/* ---- the figures ---- */

static struct hs *home_of(struct edges *e, const char *name)
{
    const struct placement *newest = &e->sw.view.newest;
    const struct placement_keeper *home =
        placement_home(newest, placement_slot_of(name, strlen(name)));

    return home != NULL ? hs_of_member(e->sw.world, newest, home->member_id) : NULL;
}

static bool round_of(struct edges *e, unsigned round)
{
    struct hs *home = home_of(e, NAME);
    bool by_home = round % 2 == 0;
    struct dvar_info info;
    uint64_t start_ns, spent_ns;
    size_t writer;

    if (home == NULL || !all_cache(e))
        return false;
    dvar_info(home->dvar, NAME, strlen(NAME), hs_now_ms(home), &info);
    scn_sample(e->sw.scn, "sharers", "", info.sharers_n);
    writer = by_home ? sim_node_index(home->hm.node)
                     : KEEPERS + (size_t)rng_below(sim_rng(e->sw.world),
                                                   sim_nodes_n(e->sw.world) - KEEPERS);
    start_ns = sim_world_ns(e->sw.world);
    spent_ns = home->dvar_spent_ns;
    if (!write_at(e, writer, NAME))
        return false;
    spent_ns = home->dvar_spent_ns - spent_ns;
    scn_sample(e->sw.scn, by_home ? "write_home_ms" : "write_edge_ms", "ms",
               (double)(e->done_ns - start_ns + spent_ns) / 1e6);
    scn_sample(e->sw.scn, "home_core_ms", "ms", (double)spent_ns / 1e6);
    return true;
}

static bool memory(struct edges *e)
{
    struct hs *edge = hs_at(e->sw.world, KEEPERS);
    struct dvar_cache_memory before, after;
    char name[24];
    size_t missing = SIZE_MAX;

    for (unsigned i = 0; i < CACHED_N; i++) {
        snprintf(name, sizeof(name), "room-%05u/t", i);
        if (!write_at(e, 0, name))
            return false;
    }
    dvar_cache_memory(edge->dvar, &before);
    for (unsigned tries = 0; missing > 0 && tries < 20; tries++) {
        missing = 0;
        for (unsigned i = 0; i < CACHED_N; i++) {
            snprintf(name, sizeof(name), "room-%05u/t", i);
            if (caches(e, KEEPERS, name))
                continue;
            missing++;
            read_at(e, KEEPERS, name);
        }
        if (!sw_run_for(&e->sw, 20))
            return false;
    }
    dvar_cache_memory(edge->dvar, &after);
    if (missing > 0) {
        scn_fail(e->sw.scn, "%zu of %d variables are not cached", missing, CACHED_N);
        return false;
    }
    double n = after.variables - before.variables;
    scn_sample(
        e->sw.scn, "bytes_beside_value", "B",
        ((double)(after.bytes - before.bytes) - (double)(after.value_bytes - before.value_bytes)) /
            n);
    scn_sample(e->sw.scn, "value_bytes", "B", (double)(after.value_bytes - before.value_bytes) / n);
    return true;
}

/* Keepers first; edges come in a short while. */
static bool form(struct edges *e)
{
    char text[256] = "";

    for (size_t i = 0; i < sim_nodes_n(e->sw.world); i++) {
        sim_start(e->sw.world, i);
        if (!sw_run_for(&e->sw, i < KEEPERS ? 50 : 1))
            return false;
        if (i == KEEPERS - 1 && !sw_is_whole_within(&e->sw, WAIT_MS_MAX))
            return false;
    }
    for (uint64_t waited_ms = 0; oracle_view_waits(&e->sw.view, text, sizeof(text));
         waited_ms += 50) {
        if (waited_ms >= WAIT_MS_MAX) {
            scn_fail(e->sw.scn, "no cluster after %d ms: %s", WAIT_MS_MAX, text);
            return false;
        }
        if (!sw_run_for(&e->sw, 50))
            return false;
    }
    return true;
}

static void edges_seed(struct scn *scn, uint64_t seed)
{
    struct edges *e = calloc(1, sizeof(*e));
    struct state_options options = {.mutexes_off = true, .member_off = true, .keepers_n = KEEPERS};
    bool well;

    if (e == NULL)
        abort();
    options.edges_n = scn->options.nodes_n - KEEPERS;
    sw_init(&e->sw, scn, seed, &options);
    e->sw.hs.expect = KEEPERS;
    e->sw.hs.cells_n = 0;
    e->sw.hs.measured = true;
    e->sw.hs.observer.done = on_done;
    well = form(e) && write_at(e, 0, NAME);
    for (unsigned round = 0; well && round < ROUNDS; round++)
        well = round_of(e, round);
    if (well)
        memory(e);
    sw_deinit(&e->sw);
    free(e);
}

static void edges_finish(struct scn *scn)
{
    double hop_ms = HOP_US / 1000.0;

    scn_target(scn, "sharers", SCN_MIN, true, (double)(scn->options.nodes_n - KEEPERS));
    scn_target(scn, "write_home_ms", SCN_MAX, false, 2 * hop_ms + ABOVE_HOPS_MS);
    scn_target(scn, "write_edge_ms", SCN_MAX, false, 4 * hop_ms + ABOVE_HOPS_MS);
    scn_target(scn, "bytes_beside_value", SCN_MAX, false, 200);
}

const struct scenario scenario_state_edges = {
    .name = "state-edges",
    .line = "a thousand edges cache one variable: what a write takes, and a cached variable",
    .nodes_default = KEEPERS + 1000,
    .nodes_min = KEEPERS + 1,
    .seed = edges_seed,
    .finish = edges_finish,
};
