/*
 * Files under faults: catalogue, transfer, cache and copies of several nodes.
 */
#include "fs_world.h"

#define NODES_MIN 2

static void finish(struct scn *scn)
{
    scn_target(scn, "agreed_after_ms", SCN_MAX, false, 120000);
    scn_target(scn, "copies_settled_after_ms", SCN_MAX, false, 600000);
}

/* Those that mean something to files; a quarter, half or three quarters of them. */
#define CLASSES ((uint32_t)CHAOS_ALL | (uint32_t)CHAOS_STATE_ALL)

static struct fw_options draw(const struct scn *scn, uint64_t seed)
{
    struct fw_options options = {0};
    struct rng rng;

    rng_init(&rng, seed ^ 0x6673);
    options.nodes_n = NODES_MIN + (size_t)rng_below(&rng, scn->options.nodes_n - NODES_MIN + 1);
    options.period_ms = 500u << rng_below(&rng, 4);
    options.op_period_ms = 10u << rng_below(&rng, 5);
    options.replicas = (uint8_t)(1 + rng_below(&rng, 3));
    options.in_line = rng_below(&rng, 3) == 0;
    options.slow = rng_below(&rng, 4) == 0;
    options.classes = chaos_draw_state(&rng) & CLASSES & ~(uint32_t)(CHAOS_MOVE | CHAOS_LEAVE);
    options.quick = rng_below(&rng, 2) == 0;
    if (scn->options.classes != 0)
        options.classes = scn->options.classes;
    return options;
}

static void fs_seed(struct scn *scn, uint64_t seed)
{
    static struct fw_world fw;
    struct fw_options options = draw(scn, seed);

    fw_init(&fw, scn, seed, &options);
    if (fw_run_for(&fw, scn->options.time_ms)) {
        fw_stop(&fw);
        (void)fw_settles(&fw);
    }
    fw_deinit(&fw);
}

const struct scenario scenario_fs_faults = {
    .name = "fs-faults",
    .line = "files under all faults: one catalogue, no last copy dropped, no deletion invented",
    .nodes_default = HF_NODES_MAX,
    .nodes_min = NODES_MIN,
    .time_default_ms = 60000,
    .seed = fs_seed,
    .finish = finish,
};
