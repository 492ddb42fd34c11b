#include "member_world.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "queue.h"

#define FORM_SPREAD_MS 5000
#define FORM_NODE_MS   30 /* many join over a longer time, as a cluster of that size would */
#define FORM_LIMIT_MS  120000

static void *zeroed(size_t n, size_t size)
{
    void *out = sim_realloc(NULL, n, size);

    memset(out, 0, n * size);
    return out;
}

static void changed(struct hm *hm, const struct member_action *action)
{
    struct member_world *mw = (struct member_world *)(void *)hm->hw;
    struct sim_node *subject = sim_node_by_id(mw->world, &action->member->id);
    size_t by = sim_node_index(hm->node);
    size_t of = subject != NULL ? sim_node_index(subject) : SIZE_MAX;

    if (subject == NULL || subject == hm->node)
        return;
    if (sim_touched(mw->world) != NULL)
        sim_note(mw->world, "%zu: %zu change %d: %s", by, of, (int)action->change, action->text);
    sim_trace(mw->world, (uint64_t)action->change << 48 | (uint64_t)by << 24 | of);
    if (action->change == MEMBER_SUSPECT && !mw->impaired[of] && sim_node_up(subject))
        mw->suspected_n++;
    if (action->change != MEMBER_FAILED)
        return;
    if (of == mw->watched && mw->failed_at_ms[by] == 0)
        mw->failed_at_ms[by] = sim_world_ms(mw->world);
    /* Said of a former boot it is the truth. */
    if (!sim_node_up(subject) || action->member->boot_no != sim_node_boot_no(subject))
        return;
    if (mw->impaired[of]) {
        mw->impaired_n++;
        return;
    }
    mw->false_n++;
    mw->nodes_false_n += !mw->false_of[of];
    mw->false_of[of] = true;
    if (mw->false_is_failure)
        sim_violation(mw->world, "node %zu declared node %zu failed, which is healthy (%s)", by, of,
                      action->text != NULL ? action->text : "");
}

void mw_init(struct member_world *mw,
             struct scn *scn,
             uint64_t seed,
             size_t nodes_n,
             const struct sim_faults *faults)
{
    memset(mw, 0, sizeof(*mw));
    mw->scn = scn;
    mw->watched = SIZE_MAX;
    mw->impaired = zeroed(nodes_n, sizeof(*mw->impaired));
    mw->false_of = zeroed(nodes_n, sizeof(*mw->false_of));
    mw->failed_at_ms = zeroed(nodes_n, sizeof(*mw->failed_at_ms));
    mw->hw.config.profile = scn->options.profile;
    mw->hw.config.lifeguard_off = scn->options.lifeguard_off;
    mw->hw.config.detector_echo = scn->options.detector_echo;
    mw->hw.seeds_n = nodes_n < 3 ? 1 : 3;
    mw->hw.changed = changed;
    mw->world = sim_new(&(struct sim_config){
        .seed = seed,
        .nodes_n = nodes_n,
        .faults = faults != NULL ? *faults : (struct sim_faults){0},
        .host = &hm_host,
        .user = mw,
        .datagram_seal_bytes = scn->options.real_crypto ? 0 : CHANNEL_SEAL_BYTES});
    sim_set_log(mw->world, scn->options.log);
    hm_world_init(&mw->hw, mw->world);
    if (scn->options.real_crypto)
        mw->hw.keys = keys_new(mw->world, seed);
}

void mw_deinit(struct member_world *mw)
{
    struct sim_world *world = mw->world;
    struct hm_world *hw = &mw->hw;

    scn_take(mw->scn, world);
    /* Nodes first: they hold the keys. */
    for (size_t i = 0; i < sim_nodes_n(world); i++)
        sim_power_off(world, i);
    hm_world_deinit(hw, world);
    sim_free(world);
    free(mw->impaired);
    free(mw->false_of);
    free(mw->failed_at_ms);
}

bool mw_check(struct sim_world *world)
{
    struct sim_node *node = sim_touched(world);
    struct hm *hm = node != NULL ? sim_node_state(node) : NULL;

    if (hm != NULL)
        member_check(hm->core);
    return true;
}

static bool (*check_of(const struct member_world *mw))(struct sim_world *world)
{
    return mw->scn->options.check ? mw_check : NULL;
}

bool mw_run_for(struct member_world *mw, uint64_t ms)
{
    return sim_run(mw->world, sim_world_ms(mw->world) + ms, check_of(mw));
}

bool mw_form(struct member_world *mw)
{
    uint64_t spread_ms = sim_nodes_n(mw->world) * FORM_NODE_MS;
    char text[512];

    if (spread_ms < FORM_SPREAD_MS)
        spread_ms = FORM_SPREAD_MS;

    if (hm_form(mw->world, spread_ms, FORM_LIMIT_MS, check_of(mw)))
        return true;
    if (sim_violation_text(mw->world) == NULL) {
        hm_explain(mw->world, text, sizeof(text));
        scn_fail(mw->scn, "no cluster after %d s: %s", FORM_LIMIT_MS / 1000, text);
    }
    return false;
}

bool mw_agree_within(struct member_world *mw, uint64_t limit_ms, const char *what)
{
    char text[512];

    if (hm_run_until_agreed(mw->world, limit_ms, 100, check_of(mw)))
        return true;
    if (sim_violation_text(mw->world) == NULL) {
        hm_explain(mw->world, text, sizeof(text));
        scn_fail(mw->scn, "%s: not all agree after %" PRIu64 " ms: %s", what, limit_ms, text);
    }
    return false;
}

void mw_watch(struct member_world *mw, size_t index)
{
    memset(mw->failed_at_ms, 0, sim_nodes_n(mw->world) * sizeof(*mw->failed_at_ms));
    mw->watched = index;
}

static bool all_know(const struct member_world *mw)
{
    for (size_t i = 0; i < sim_nodes_n(mw->world); i++) {
        if (i != mw->watched && sim_node_up(sim_node_at(mw->world, i)) && mw->failed_at_ms[i] == 0)
            return false;
    }
    return true;
}

bool mw_run_until_failed(struct member_world *mw, uint64_t limit_ms)
{
    uint64_t end_ms = sim_world_ms(mw->world) + limit_ms;

    while (!all_know(mw)) {
        if (sim_world_ms(mw->world) >= end_ms) {
            scn_fail(mw->scn, "node %zu is down for %" PRIu64 " ms and not all know", mw->watched,
                     limit_ms);
            return false;
        }
        if (!mw_run_for(mw, 50))
            return false;
    }
    return true;
}
