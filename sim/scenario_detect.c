/*
 * Scenarios of detection: how soon a crash is known, and that nobody healthy is called failed.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "member_world.h"

#define SETTLE_MS                 60000
#define CRASHES_PER_SEED          3
#define CRASHES_JUDGED_MIN        15
#define CRASH_LIMIT_MS            180000
#define SMALL_LIMIT_MS            1200000
#define IDLE_BYTES_PER_S_MAX      2048 /* mean a node, 1,000 nodes */
#define IDLE_BYTES_PER_S_PEER_MAX 512  /* a peer, cluster of 4 */
#define PAUSE_RATIO_MIN           50
#define ALL_KNOW_LAN_MS           10500
#define ALL_KNOW_FAST_MS          6000

static size_t random_up_node(struct sim_world *world)
{
    size_t index;

    do {
        index = (size_t)rng_below(sim_rng(world), sim_nodes_n(world));
    } while (!sim_node_up(sim_node_at(world, index)));
    return index;
}

static size_t part_of(size_t n, size_t divisor)
{
    return n / divisor > 0 ? n / divisor : 1;
}

/* The times at which the others learned of the crash at @at_ms. */
static void take_detection(struct member_world *mw, uint64_t at_ms)
{
    uint64_t first = UINT64_MAX;
    uint64_t last = 0;

    for (size_t i = 0; i < sim_nodes_n(mw->world); i++) {
        if (i == mw->watched || !sim_node_up(sim_node_at(mw->world, i)))
            continue;
        uint64_t ms = mw->failed_at_ms[i] - at_ms;
        scn_sample(mw->scn, "known_by_each_ms", "ms", (double)ms);
        first = ms < first ? ms : first;
        last = ms > last ? ms : last;
    }
    scn_sample(mw->scn, "known_by_first_ms", "ms", (double)first);
    scn_sample(mw->scn, "known_by_all_ms", "ms", (double)last);
}

static bool crash_one(struct member_world *mw, size_t index)
{
    mw_watch(mw, index);
    uint64_t at_ms = sim_world_ms(mw->world);
    sim_power_off(mw->world, index);
    if (!mw_run_until_failed(mw, CRASH_LIMIT_MS))
        return false;
    take_detection(mw, at_ms);
    return true;
}

static void crash_seed(struct scn *scn, uint64_t seed)
{
    struct member_world mw;

    mw_init(&mw, scn, seed, scn->options.nodes_n, NULL);
    scn_count(scn, "false_failures", 0);
    if (mw_form(&mw) && mw_run_for(&mw, SETTLE_MS)) {
        for (unsigned i = 0; i < CRASHES_PER_SEED; i++) {
            /* Anywhere between two probes. */
            if (!mw_run_for(&mw, 20000 + rng_below(sim_rng(mw.world), 5000)) ||
                !crash_one(&mw, random_up_node(mw.world)))
                break;
        }
    }
    scn_count(scn, "false_failures", (double)mw.false_n);
    mw_deinit(&mw);
}

static void crash_finish(struct scn *scn)
{
    bool fast = scn->options.profile == MEMBER_FAST;
    double target = fast ? ALL_KNOW_FAST_MS : ALL_KNOW_LAN_MS;

    scn_target(scn, "false_failures", SCN_SUM, false, 0);
    if (scn->options.profile == MEMBER_WAN || scn->options.detector_echo)
        return;
    scn_target(scn, "known_by_all_ms", SCN_MAX, false, 2 * target);
    /* A median of a few says little. */
    if (scn_n(scn, "known_by_all_ms") >= CRASHES_JUDGED_MIN)
        scn_target(scn, "known_by_all_ms", SCN_MEDIAN, false, target);
}

const struct scenario scenario_member_crash = {
    .name = "member-crash",
    .line = "a machine loses power: when the first, each and all know (3 a seed)",
    .nodes_default = 100,
    .nodes_min = 5,
    .seed = crash_seed,
    .finish = crash_finish,
};

/* ---- small clusters ---- */

/*
 * What docs/protocols/member.md promises: a round of probes until the dead one's turn comes, the
 * probe itself, the whole suspicion (max / 2 for up to three nodes, max above), and the last echo
 * to one that few accuse, which is slower where several went at once.
 */
static uint64_t small_bound_ms(enum member_profile profile, size_t nodes_n)
{
    static const uint64_t interval_ms[] = {
        [MEMBER_LAN] = 1000, [MEMBER_FAST] = 500, [MEMBER_WAN] = 5000};
    uint64_t probe = interval_ms[profile];
    uint64_t suspicion_max = 6 * 4 * probe;

    return 2 * nodes_n * probe + (nodes_n <= 3 ? suspicion_max / 2 : suspicion_max) + 4 * probe;
}

/* Of @n nodes @dead lose power at once: when the last of the others knows of the last of them. */
static void small_run(struct scn *scn, uint64_t seed, size_t n, size_t dead)
{
    struct member_world mw;
    char name[64];

    mw_init(&mw, scn, seed, n, NULL);
    mw.false_is_failure = true;
    if (mw_form(&mw) && mw_run_for(&mw, SETTLE_MS + rng_below(sim_rng(mw.world), 5000))) {
        uint64_t at_ms = sim_world_ms(mw.world);

        for (size_t i = 0; i < dead; i++)
            sim_power_off(mw.world, random_up_node(mw.world));
        if (mw_agree_within(&mw, SMALL_LIMIT_MS, "after the crash")) {
            snprintf(name, sizeof(name), "nodes_%zu_dead_%zu_known_by_all_ms", n, dead);
            scn_sample(scn, name, "ms", (double)(sim_world_ms(mw.world) - at_ms));
        }
    }
    mw_deinit(&mw);
}

static void small_seed(struct scn *scn, uint64_t seed)
{
    for (size_t n = 2; n <= 4; n++) {
        for (size_t dead = 1; dead < n; dead++)
            small_run(scn, seed * 16 + n * 4 + dead, n, dead);
    }
}

static void small_finish(struct scn *scn)
{
    char name[64];

    for (size_t n = 2; n <= 4; n++) {
        for (size_t dead = 1; dead < n; dead++) {
            snprintf(name, sizeof(name), "nodes_%zu_dead_%zu_known_by_all_ms", n, dead);
            scn_target(scn, name, SCN_MAX, false, (double)small_bound_ms(scn->options.profile, n));
        }
    }
}

const struct scenario scenario_member_small = {
    .name = "member-small",
    .line = "clusters of 2, 3 and 4: a crash is known to all within the documented bound",
    .nodes_default = 4,
    .nodes_min = 1,
    .seed = small_seed,
    .finish = small_finish,
};

/* ---- most of them at once ---- */

#define MASSACRE_LIMIT_MS                                                                          \
    900000 /* docs/protocols/member.md: the hold ends after 250 ms n squared */

/* Nine of ten lose power at once: when the rest agree on who is left. */
static void massacre_seed(struct scn *scn, uint64_t seed)
{
    size_t n = scn->options.nodes_n;
    struct member_world mw;

    mw_init(&mw, scn, seed, n, NULL);
    mw.false_is_failure = true;
    if (mw_form(&mw) && mw_run_for(&mw, SETTLE_MS + rng_below(sim_rng(mw.world), 5000))) {
        uint64_t at_ms = sim_world_ms(mw.world);

        for (size_t i = 0; i < n - part_of(n, 10); i++)
            sim_power_off(mw.world, random_up_node(mw.world));
        if (mw_agree_within(&mw, MASSACRE_LIMIT_MS, "after the massacre"))
            scn_sample(scn, "agreed_ms", "ms", (double)(sim_world_ms(mw.world) - at_ms));
    }
    scn_count(scn, "false_failures", (double)mw.false_n);
    mw_deinit(&mw);
}

static void massacre_finish(struct scn *scn)
{
    scn_target(scn, "false_failures", SCN_SUM, false, 0);
    scn_target(scn, "agreed_ms", SCN_MAX, false, MASSACRE_LIMIT_MS);
}

const struct scenario scenario_member_massacre = {
    .name = "member-massacre",
    .line = "nine of ten lose power at once: when the rest agree on who is left",
    .nodes_default = 100,
    .nodes_min = 10,
    .seed = massacre_seed,
    .finish = massacre_finish,
};

/* ---- nothing happens ---- */

static void idle_seed(struct scn *scn, uint64_t seed)
{
    size_t n = scn->options.nodes_n;
    struct member_world mw;

    mw_init(&mw, scn, seed, n, NULL);
    if (mw_form(&mw) && mw_run_for(&mw, SETTLE_MS)) {
        uint64_t at_ms = sim_world_ms(mw.world);
        uint64_t *before = calloc(n, sizeof(*before));
        double seconds = (double)scn->options.time_ms / 1000;

        if (before == NULL)
            abort();
        for (size_t i = 0; i < n; i++)
            before[i] = sim_bytes_sent(mw.world, i);
        if (mw_run_for(&mw, scn->options.time_ms)) {
            for (size_t i = 0; i < n; i++)
                scn_sample(scn, "bytes_per_s", "B/s",
                           (double)(sim_bytes_sent(mw.world, i) - before[i]) / seconds);
            scn_sample(scn, "simulated_h", "h", (double)(sim_world_ms(mw.world) - at_ms) / 3.6e6);
        }
        free(before);
    }
    scn_count(scn, "false_failures", (double)mw.false_n);
    scn_count(scn, "suspicions", (double)mw.suspected_n);
    mw_deinit(&mw);
}

static void idle_finish(struct scn *scn)
{
    size_t n = scn->options.nodes_n;

    scn_target(scn, "false_failures", SCN_SUM, false, 0);
    if (n <= 4)
        scn_target_value(scn, "bytes_per_s_and_peer",
                         scn_stat(scn, "bytes_per_s", SCN_MEAN) / (double)(n > 1 ? n - 1 : 1),
                         false, IDLE_BYTES_PER_S_PEER_MAX);
    else
        scn_target(scn, "bytes_per_s", SCN_MEAN, false, IDLE_BYTES_PER_S_MAX);
}

const struct scenario scenario_member_idle = {
    .name = "member-idle",
    .line = "nothing happens for a day: bytes a node and second, and nobody is called failed",
    .nodes_default = 100,
    .nodes_min = 2,
    .time_default_ms = UINT64_C(24) * 3600 * 1000,
    .seed = idle_seed,
    .finish = idle_finish,
};

/* ---- pauses ---- */

#define PAUSE_MIN_MS 500
#define PAUSE_MAX_MS 20000
/* Awake for 64 us to 8 s, short as often as long: the intervals of Lifeguard's experiments. */
#define AWAKE_MIN_LOG2 6
#define AWAKE_MAX_LOG2 23
#define FIRST_MAX_MS   10000

/* Pauses @index, and itself again after the pause and a while awake. */
static void pause_again(struct sim_world *world, void *arg)
{
    size_t index = (size_t)(uintptr_t)arg;
    uint64_t pause_ms = PAUSE_MIN_MS + rng_below(sim_rng(world), PAUSE_MAX_MS - PAUSE_MIN_MS + 1);
    uint64_t log2 = AWAKE_MIN_LOG2 + rng_below(sim_rng(world), AWAKE_MAX_LOG2 - AWAKE_MIN_LOG2);
    uint64_t awake_us = (UINT64_C(1) << log2) + rng_below(sim_rng(world), UINT64_C(1) << log2);

    sim_pause(world, index, pause_ms);
    sim_at_ns(world, sim_world_ns(world) + pause_ms * 1000000 + awake_us * 1000, pause_again, arg);
}

/* A tenth of the nodes is paused now and then; what is said of the others. */
static void pause_run(struct scn *scn, uint64_t seed, bool lifeguard_off)
{
    size_t n = scn->options.nodes_n;
    struct scenario_options kept = scn->options;
    const char *mode = lifeguard_off ? "swim" : "lifeguard";
    struct member_world mw;
    char name[64];

    scn->options.lifeguard_off = lifeguard_off;
    mw_init(&mw, scn, seed, n, NULL);
    scn->options = kept;
    if (mw_form(&mw) && mw_run_for(&mw, SETTLE_MS)) {
        for (size_t i = 0; i < part_of(n, 10); i++) {
            size_t index;

            do {
                index = (size_t)rng_below(sim_rng(mw.world), n);
            } while (mw.impaired[index]);
            mw.impaired[index] = true;
            sim_at(mw.world, sim_world_ms(mw.world) + rng_below(sim_rng(mw.world), FIRST_MAX_MS),
                   pause_again, (void *)(uintptr_t)index);
        }
        mw_run_for(&mw, scn->options.time_ms);
    }
    snprintf(name, sizeof(name), "false_failures_%s", mode);
    scn_count(scn, name, (double)mw.false_n);
    snprintf(name, sizeof(name), "false_nodes_%s", mode);
    scn_count(scn, name, (double)mw.nodes_false_n);
    snprintf(name, sizeof(name), "paused_declared_failed_%s", mode);
    scn_count(scn, name, (double)mw.impaired_n);
    snprintf(name, sizeof(name), "healthy_suspected_%s", mode);
    scn_count(scn, name, (double)mw.suspected_n);
    mw_deinit(&mw);
}

static void pause_seed(struct scn *scn, uint64_t seed)
{
    pause_run(scn, seed, false);
    pause_run(scn, seed, true);
}

static void pause_finish(struct scn *scn)
{
    double ours = scn_stat(scn, "false_failures_lifeguard", SCN_SUM);
    double plain = scn_stat(scn, "false_failures_swim", SCN_SUM);

    /* None at all counts as one: a ratio needs something to divide by. */
    scn_target_value(scn, "false_failures_swim_over_lifeguard", plain / (ours > 0 ? ours : 1), true,
                     PAUSE_RATIO_MIN);
}

const struct scenario scenario_member_pause = {
    .name = "member-pause",
    .line = "a tenth of the nodes paused 0.5 to 20 s again and again, with Lifeguard and without",
    .nodes_default = 100,
    .nodes_min = 5,
    .time_default_ms = 600000,
    .seed = pause_seed,
    .finish = pause_finish,
};

/* ---- one in a hundred hears badly, or only one way ---- */

static void impaired_finish(struct scn *scn)
{
    scn_target(scn, "false_failures", SCN_SUM, false, 0);
}

static void impaired_end(struct scn *scn, struct member_world *mw)
{
    scn_count(scn, "false_failures", (double)mw->false_n);
    scn_count(scn, "healthy_suspected", (double)mw->suspected_n);
    scn_count(scn, "impaired_declared_failed", (double)mw->impaired_n);
    mw_deinit(mw);
}

static void lossy_seed(struct scn *scn, uint64_t seed)
{
    size_t n = scn->options.nodes_n;
    struct member_world mw;

    mw_init(&mw, scn, seed, n, NULL);
    if (mw_form(&mw) && mw_run_for(&mw, SETTLE_MS)) {
        for (size_t i = 0; i < part_of(n, 100); i++) {
            size_t index = random_up_node(mw.world);

            mw.impaired[index] = true;
            sim_ingress_loss(mw.world, index, 0.8);
        }
        mw_run_for(&mw, scn->options.time_ms);
    }
    impaired_end(scn, &mw);
}

const struct scenario scenario_member_lossy = {
    .name = "member-lossy",
    .line = "one node in a hundred loses 80 % of what comes in: no healthy one is called failed",
    .nodes_default = 100,
    .nodes_min = 5,
    .time_default_ms = 1800000,
    .seed = lossy_seed,
    .finish = impaired_finish,
};

static void oneway_seed(struct scn *scn, uint64_t seed)
{
    size_t n = scn->options.nodes_n;
    struct member_world mw;

    mw_init(&mw, scn, seed, n, NULL);
    if (mw_form(&mw) && mw_run_for(&mw, SETTLE_MS)) {
        for (size_t i = 0; i < part_of(n, 100); i++) {
            size_t index = random_up_node(mw.world);
            bool deaf = ((seed + i) & 1) != 0; /* or mute */

            mw.impaired[index] = true;
            for (size_t k = 0; k < n; k++) {
                if (k != index)
                    sim_cut(mw.world, deaf ? k : index, deaf ? index : k, true);
            }
        }
        mw_run_for(&mw, scn->options.time_ms);
    }
    impaired_end(scn, &mw);
}

const struct scenario scenario_member_oneway = {
    .name = "member-oneway",
    .line = "one node in a hundred cut one way (deaf or mute by the seed): no healthy one is "
            "called failed",
    .nodes_default = 100,
    .nodes_min = 5,
    .time_default_ms = 1800000,
    .seed = oneway_seed,
    .finish = impaired_finish,
};
