/*
 * Scenarios of coming together again: partitions, churn, a power cut, and the whole thing with real
 * keys.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "core/text.h"
#include "member_world.h"
#include "queue.h"

#define SETTLE_MS      30000
#define APART_MS       300000
#define MERGE_MAX_MS   120000
#define REJOIN_MAX_MS  120000
#define CHURN_AGREE_MS 60000

/* ---- partition ---- */

/* From here on nobody has a seed: what they know of each other must do. */
static bool restart_without_seeds(struct member_world *mw)
{
    mw->hw.seeds_n = 0;
    for (size_t i = 0; i < sim_nodes_n(mw->world); i++) {
        sim_crash(mw->world, i);
        sim_start(mw->world, i);
        if (!mw_run_for(mw, 100))
            return false;
    }
    return mw_agree_within(mw, MERGE_MAX_MS, "restarted one by one without seeds") &&
           mw_run_for(mw, SETTLE_MS);
}

static void partition_seed(struct scn *scn, uint64_t seed)
{
    size_t n = scn->options.nodes_n;
    uint8_t *group = sim_realloc(NULL, n, 1);
    struct member_world mw;

    mw_init(&mw, scn, seed, n, NULL);
    if (mw_form(&mw) && mw_run_for(&mw, SETTLE_MS) && restart_without_seeds(&mw)) {
        for (size_t i = 0; i < n; i++)
            group[i] = rng_below(sim_rng(mw.world), 2) != 0;
        group[0] = 0;
        group[n - 1] = 1;
        for (size_t i = 0; i < n; i++)
            mw.impaired[i] = true;
        sim_partition(mw.world, group);
        mw_run_for(&mw, APART_MS);
        for (size_t i = 0; i < n; i++) {
            for (size_t k = 0; k < n; k++) {
                enum kith_status status = hm_status(mw.world, i, k);

                if (group[i] != group[k] && status != KITH_STATUS_FAILED)
                    scn_fail(scn, "apart for %d s and %zu still sees %zu as %s", APART_MS / 1000, i,
                             k, hm_status_text(status));
                if (group[i] == group[k] && status != KITH_STATUS_ALIVE)
                    scn_fail(scn, "%zu and %zu are on one side and it sees it as %s", i, k,
                             hm_status_text(status));
            }
        }
        sim_heal(mw.world);
        uint64_t at_ms = sim_world_ms(mw.world);
        if (mw_agree_within(&mw, MERGE_MAX_MS, "healed"))
            scn_sample(scn, "merged_after_ms", "ms", (double)(sim_world_ms(mw.world) - at_ms));
    }
    free(group);
    mw_deinit(&mw);
}

static void partition_finish(struct scn *scn)
{
    scn_target(scn, "merged_after_ms", SCN_MAX, false, MERGE_MAX_MS);
}

const struct scenario scenario_member_partition = {
    .name = "member-partition",
    .line = "two halves cannot talk for five minutes; healed, they find each other without help",
    .nodes_default = 20,
    .nodes_min = 4,
    .seed = partition_seed,
    .finish = partition_finish,
};

/* ---- churn ---- */

#define CHURN_STEP_MS 2000

static void end_it(struct sim_world *world, void *arg)
{
    size_t index = (size_t)(uintptr_t)arg;
    struct hm *hm = hm_at(world, index);

    /* Another boot may run there by now. */
    if (hm != NULL && hm->told_leave)
        sim_crash(world, index);
}

/* Something happens to somebody. Node 0 stays, so that somebody is always there to be found. */
static void churn_step(struct member_world *mw)
{
    struct sim_world *world = mw->world;
    size_t index = 1 + (size_t)rng_below(sim_rng(world), sim_nodes_n(world) - 1);
    struct hm *hm = hm_at(world, index);

    if (hm == NULL) {
        sim_start(world, index);
        return;
    }
    switch (rng_below(sim_rng(world), 4)) {
    case 0:
        sim_power_off(world, index);
        break;
    case 1:
        sim_crash(world, index);
        break;
    case 2: /* at once again, before anybody has noticed */
        sim_crash(world, index);
        sim_start(world, index);
        break;
    default:
        if (hm->leaves)
            break;
        hm->leaves = true;
        hm_leave(world, index);
        sim_at(world, sim_world_ms(world) + 2000, end_it, (void *)(uintptr_t)index);
        break;
    }
}

static void churn_seed(struct scn *scn, uint64_t seed)
{
    struct member_world mw;

    mw_init(&mw, scn, seed, scn->options.nodes_n, NULL);
    mw.false_is_failure = true;
    if (mw_form(&mw) && mw_run_for(&mw, SETTLE_MS)) {
        uint64_t end_ms = sim_world_ms(mw.world) + scn->options.time_ms;

        while (sim_world_ms(mw.world) < end_ms) {
            churn_step(&mw);
            scn_count(scn, "changes", 1);
            if (!mw_run_for(&mw, rng_below(sim_rng(mw.world), 2 * CHURN_STEP_MS)))
                break;
        }
        /* And then a quarter at once. */
        for (size_t i = 1; i < sim_nodes_n(mw.world) && sim_violation_text(mw.world) == NULL; i++) {
            if (rng_below(sim_rng(mw.world), 4) == 0)
                sim_power_off(mw.world, i);
        }
        uint64_t at_ms = sim_world_ms(mw.world);
        if (sim_violation_text(mw.world) == NULL &&
            mw_agree_within(&mw, CHURN_AGREE_MS, "after the churn"))
            scn_sample(scn, "agreed_after_ms", "ms", (double)(sim_world_ms(mw.world) - at_ms));
    }
    mw_deinit(&mw);
}

static void churn_finish(struct scn *scn)
{
    scn_target(scn, "agreed_after_ms", SCN_MAX, false, CHURN_AGREE_MS);
}

const struct scenario scenario_member_churn = {
    .name = "member-churn",
    .line = "nodes crash, restart and come back all the time; nobody healthy is called failed",
    .nodes_default = 30,
    .nodes_min = 3,
    .time_default_ms = 600000,
    .seed = churn_seed,
    .finish = churn_finish,
};

/* ---- power cut ---- */

static void start_it(struct sim_world *world, void *arg)
{
    sim_start(world, (size_t)(uintptr_t)arg);
}

static void powercut_seed(struct scn *scn, uint64_t seed)
{
    size_t n = scn->options.nodes_n;
    struct member_world mw;

    mw_init(&mw, scn, seed, n, NULL);
    if (mw_form(&mw) && mw_run_for(&mw, SETTLE_MS)) {
        for (size_t i = 0; i < n; i++)
            sim_power_off(mw.world, i);
        /* No seeds: only what each remembers. Half of them, but never all, moved meanwhile. */
        mw.hw.seeds_n = 0;
        for (size_t i = 0; i < n / 2; i++)
            sim_readdress(mw.world, (size_t)(seed % 2) * (n - n / 2) + i);
        uint64_t now_ms = sim_world_ms(mw.world);
        for (size_t i = 0; i < n; i++)
            sim_at(mw.world, now_ms + 10000 + rng_below(sim_rng(mw.world), 30000), start_it,
                   (void *)(uintptr_t)i);
        mw_run_for(&mw, 40000);
        uint64_t at_ms = sim_world_ms(mw.world);
        if (mw_agree_within(&mw, REJOIN_MAX_MS, "power is back"))
            scn_sample(scn, "formed_after_ms", "ms", (double)(sim_world_ms(mw.world) - at_ms));
    }
    mw_deinit(&mw);
}

static void powercut_finish(struct scn *scn)
{
    scn_target(scn, "formed_after_ms", SCN_MAX, false, REJOIN_MAX_MS);
}

const struct scenario scenario_member_powercut = {
    .name = "member-powercut",
    .line = "all lose power, half come back at other addresses, in any order: they find each other",
    .nodes_default = 10,
    .nodes_min = 3,
    .seed = powercut_seed,
    .finish = powercut_finish,
};

/* ---- real keys ---- */

static void sealed_seed(struct scn *scn, uint64_t seed)
{
    struct scenario_options kept = scn->options;
    struct member_world mw;

    scn->options.real_crypto = true;
    mw_init(&mw, scn, seed, scn->options.nodes_n,
            &(struct sim_faults){.loss = 0.02, .duplicate = 0.05});
    mw.false_is_failure = true;
    if (mw_form(&mw) && mw_run_for(&mw, SETTLE_MS)) {
        for (unsigned i = 0; i < 3; i++) {
            size_t index = 1 + (size_t)rng_below(sim_rng(mw.world), scn->options.nodes_n - 1);

            sim_power_off(mw.world, index);
            if (!mw_agree_within(&mw, CHURN_AGREE_MS, "one is gone"))
                break;
            sim_start(mw.world, index);
            if (!mw_agree_within(&mw, CHURN_AGREE_MS, "and is back"))
                break;
            scn_count(scn, "restarts", 1);
        }
    }
    mw_deinit(&mw);
    scn->options = kept;
}

static void sealed_finish(struct scn *scn)
{
    scn_target(scn, "restarts", SCN_SUM, true, 3);
}

const struct scenario scenario_member_sealed = {
    .name = "member-sealed",
    .line = "real keys, signatures and sealed datagrams; nodes go and come back",
    .nodes_default = 8,
    .nodes_min = 2,
    .seed = sealed_seed,
    .finish = sealed_finish,
};
