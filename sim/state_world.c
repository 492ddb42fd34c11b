#include "state_world.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "plot.h"
#include "queue.h"
#include "view/internal.h"

#define FORM_MS_MAX     120000
#define SLOT_LOST_MS    20000 /* sooner than by default, so that it happens within a seed */
#define KNOWN_MS        2500
#define PEACE_MS        2000 /* clients go on so long when all is whole */
#define DAMAGED_KEEPERS 3    /* fewer have no second voter and perhaps no second copy */
#define DAMAGES_MAX     3

static struct state_world *sw_of(struct hs *hs)
{
    return (struct state_world *)(void *)hs->hw;
}

/* ---- oracles ---- */

static void on_placement(struct hs *hs, const struct placement *placement)
{
    struct state_world *sw = sw_of(hs);

    if (placement->epoch > sw->view.newest.epoch)
        so_placement(&sw->ops, &sw->view.newest, placement);
    oracle_view_placement(&sw->view, hs, placement);
}

static void on_lease(struct hs *hs, uint64_t until_ms)
{
    oracle_view_lease(&sw_of(hs)->view, hs, until_ms);
}

static void on_stepped(struct hs *hs)
{
    if (sw_of(hs)->plot != NULL)
        plot_stepped(sw_of(hs)->plot, hs);
    oracle_view_stepped(&sw_of(hs)->view, hs);
    so_stepped(&sw_of(hs)->ops, hs);
}

static void on_done(struct hs *hs, uint64_t id, const struct dvar_result *result)
{
    so_done(&sw_of(hs)->ops, hs, id, result);
}

static void on_changed(struct hs *hs, uint64_t id, const struct dvar_change *change)
{
    so_changed(&sw_of(hs)->ops, hs, id, change);
}

static void on_slot_lost(struct hs *hs, uint64_t id, uint32_t slot, uint32_t generation)
{
    so_slot_lost(&sw_of(hs)->ops, hs, id, slot, generation);
}

static void on_granted(struct hs *hs, uint64_t waiter, uint64_t fence)
{
    so_granted(&sw_of(hs)->ops, hs, waiter, fence);
}

static void on_ended(struct hs *hs, uint64_t waiter, int code)
{
    so_ended(&sw_of(hs)->ops, hs, waiter, code);
}

static void on_lost(struct hs *hs, uint64_t waiter, uint64_t fence)
{
    so_lost(&sw_of(hs)->ops, hs, waiter, fence);
}

static void on_gone(struct hs *hs)
{
    so_gone(&sw_of(hs)->ops, hs);
}

/* ---- disks ---- */

/* Has it what it had when @disk_id was written on it? */
static bool
is_good(const struct state_world *sw, const struct kith_node_id *id, const uint8_t *disk_id)
{
    size_t index = sim_node_index(sim_node_by_id(sw->world, id));
    const struct disk *disk = &sw->hs.disks[index];

    return !sw->set_back[index] && !disk_is_corrupt(disk) &&
           memcmp(disk->id, disk_id, DISK_ID_BYTES) == 0;
}

/* Is the disk of node @index the only good one of a configuration? */
static bool
only_copy(const struct state_world *sw, const struct placement_config *config, size_t index)
{
    const struct placement *newest = &sw->view.newest;
    bool mine = false;
    bool other = false;

    for (size_t i = 0; i < config->replicas_n; i++) {
        const struct placement_keeper *keeper = placement_keeper_find(newest, config->replicas[i]);
        bool is_mine;

        if (keeper == NULL || !is_good(sw, &keeper->boot.node, keeper->disk_id))
            continue;
        is_mine = sim_node_index(sim_node_by_id(sw->world, &keeper->boot.node)) == index;
        mine = mine || is_mine;
        other = other || !is_mine;
    }
    return mine && !other;
}

static bool same_voters(const struct view_record *a, const struct view_record *b)
{
    return a->voters_n == b->voters_n && memcmp(a->voters, b->voters, sizeof(a->voters)) == 0;
}

/*
 * Does @view want other voters than are decided, or has it proposed or accepted them? They may be
 * decided a message later, and a single new voter whose disk is lost by then takes all with it:
 * that is one failure more than promised, like the loss of the only voter's disk.
 */
static bool voters_change(const struct view_core *view)
{
    static struct view_record accepted;

    if (view->role == VIEW_LEADER &&
        (view->want_on || (view->proposing && !same_voters(&view->proposal, &view->decided))))
        return true;
    return view->accepted_epoch > view->decided.placement.epoch &&
           view_record_decode(&accepted, view->accepted_bytes, view->accepted_len) == 0 &&
           !same_voters(&accepted, &view->decided);
}

/* Have all voters of the newest view but @index good disks, and know that view? */
static bool voters_are_good(const struct state_world *sw, size_t index)
{
    struct view_quorum quorum = {0};

    for (size_t i = 0; i < sw->hs.keepers_n && quorum.voters_n == 0; i++) {
        struct hs *hs = hs_at(sw->world, i);

        if (hs != NULL && hs->placement.epoch == sw->view.newest.epoch)
            view_quorum(hs->view, hs_now_ms(hs), &quorum);
    }
    for (size_t i = 0; i < sw->hs.keepers_n; i++) {
        struct hs *hs = hs_at(sw->world, i);

        if (hs != NULL && voters_change(hs->view))
            return false;
    }
    for (uint32_t i = 0; i < quorum.voters_n; i++) {
        const struct view_voter *voter = &quorum.voters[i];
        size_t at = sim_node_index(sim_node_by_id(sw->world, &voter->node));
        struct hs *hs = hs_at(sw->world, at);

        if (at != index && (hs == NULL || hs->placement.epoch != sw->view.newest.epoch ||
                            !is_good(sw, &voter->node, voter->disk_id)))
            return false;
    }
    return quorum.voters_n >= 3;
}

/*
 * May the disk of @index be lost without losing what was promised? Each slot needs another copy, of
 * what is chosen too, each view another majority. What a disk has that was set back once is not
 * followed, so it stays.
 */
static bool may_damage(const struct state_world *sw, size_t index)
{
    const struct placement *newest = &sw->view.newest;

    if (sw->damages_n >= DAMAGES_MAX || sw->hs.keepers_n < DAMAGED_KEEPERS ||
        index >= sw->hs.keepers_n || sw->set_back[index] || !voters_are_good(sw, index))
        return false;
    for (size_t s = 0; s < PLACEMENT_SLOTS; s++) {
        if (only_copy(sw, &newest->slots[s].active, index) ||
            only_copy(sw, &newest->slots[s].chosen, index))
            return false;
    }
    return true;
}

static void on_disk(struct chaos *chaos, enum chaos_state_class class, size_t index, uint64_t ms)
{
    struct state_world *sw = chaos->user;
    struct disk *disk = &sw->hs.disks[index];

    if (index >= sw->hs.keepers_n)
        return;
    switch (class) {
    case CHAOS_DISK_STALL:
        disk_stall(disk, ms);
        return;
    case CHAOS_DISK_FULL:
        hs_disk_full(sw->world, index, true);
        sw->stall_until[index] = sim_world_ms(sw->world) + ms;
        return;
    case CHAOS_DISK_WIPE:
    case CHAOS_DISK_RESTORE:
    case CHAOS_DISK_ROT:
        if (!may_damage(sw, index))
            return;
        if (class == CHAOS_DISK_WIPE)
            disk_wipe(disk);
        else if (class == CHAOS_DISK_ROT && !disk_rot(disk))
            return;
        else if (class == CHAOS_DISK_RESTORE && !disk_restore(disk))
            return;
        sw->hs.disk_suspect[index] = class == CHAOS_DISK_RESTORE;
        sw->set_back[index] = sw->set_back[index] || class == CHAOS_DISK_RESTORE;
        sw->damages_n++;
        return;
    default:
        return;
    }
}

static void on_leave(struct chaos *chaos, size_t index)
{
    hs_leave(chaos->world, index);
}

/* Disks that are full are emptied after a while; now and then somebody takes a snapshot. */
static void disk_tick(struct sim_world *world, void *arg)
{
    struct state_world *sw = arg;

    for (size_t i = 0; i < sw->hs.keepers_n; i++) {
        if (sw->hs.disk_full[i] && sw->stall_until[i] <= sim_world_ms(world))
            hs_disk_full(world, i, false);
    }
    if ((sw->chaos.classes & CHAOS_DISK_RESTORE) != 0 && sw->chaos.on &&
        rng_below(sim_rng(world), 10) == 0)
        disk_snapshot(&sw->hs.disks[rng_below(sim_rng(world), sw->hs.keepers_n)]);
    sim_at(world, sim_world_ms(world) + 1000, disk_tick, sw);
}

/* ---- the world ---- */

void sw_init(struct state_world *sw,
             struct scn *scn,
             uint64_t seed,
             const struct state_options *options)
{
    size_t nodes_n = options->keepers_n + options->edges_n;

    memset(sw, 0, sizeof(*sw));
    sw->scn = scn;
    sw->hs.hm.config.profile = scn->options.profile;
    sw->hs.hm.seeds_n = options->keepers_n < 3 ? 1 : 3;
    sw->hs.keepers_n = options->keepers_n;
    sw->hs.expect = seed % 2 == 0 ? (uint32_t)options->keepers_n : 1;
    sw->hs.variables_off = options->variables_off;
    sw->hs.member_off = options->member_off;
    sw->hs.mutexes_off = options->mutexes_off;
    sw->hs.check_all = scn->options.check;
    sw->hs.cell_names = so_variable_names;
    sw->hs.cells_n = options->variables_off ? 0 : SO_VARIABLES_N;
    sw->hs.observer = (struct hs_observer){.placement = on_placement,
                                           .lease = on_lease,
                                           .stepped = on_stepped,
                                           .done = on_done,
                                           .changed = on_changed,
                                           .slot_lost = on_slot_lost,
                                           .granted = on_granted,
                                           .ended = on_ended,
                                           .lost = on_lost,
                                           .gone = on_gone};
    sw->hs.view.slot_lost_ms = SLOT_LOST_MS;
    for (size_t i = 0; i < VIEW_CLUSTER_BYTES; i++)
        sw->hs.view.cluster_id[i] = (uint8_t)(seed >> (i % 8) | 1);
    sw->world = sim_new(&(struct sim_config){
        .seed = seed,
        .nodes_n = nodes_n,
        .faults = {.clock_rate_spread = (options->classes & CHAOS_CLOCK) != 0 ? 0.1 : 0,
                   .clock_extremes = options->clock_extremes},
        .host = &hs_host,
        .user = sw,
        .datagram_seal_bytes = CHANNEL_SEAL_BYTES});
    sim_set_log(sw->world, scn->options.log);
    hs_world_init(&sw->hs, sw->world);
    oracle_view_init(&sw->view, sw->world);
    so_init(&sw->ops, &sw->hs, sw->world, &sw->view, options->clients_per_node);
    sw->ops.variables_on = !options->variables_off;
    sw->ops.mutexes_on = !options->mutexes_off;
    sw->ops.wall_steps = (options->classes & CHAOS_WALL) != 0;
    sw->hs.ops = &sw->ops;
    chaos_init(&sw->chaos, sw->world, options->classes);
    sw->chaos.up_min = 1;
    sw->chaos.user = sw;
    sw->chaos.disk = on_disk;
    sw->chaos.leave = on_leave;
    sw->chaos.brief = true;
    sw->chaos.period_ms = options->period_ms;
    sw->set_back = sim_realloc(NULL, nodes_n, sizeof(*sw->set_back));
    memset(sw->set_back, 0, nodes_n * sizeof(*sw->set_back));
    sw->stall_until = sim_realloc(NULL, nodes_n, sizeof(*sw->stall_until));
    memset(sw->stall_until, 0, nodes_n * sizeof(*sw->stall_until));
}

/* By the nodes that run. */
static uint64_t told_ahead(const struct state_world *sw)
{
    struct dvar_stats stats;
    uint64_t n = 0;

    for (size_t i = 0; i < sim_nodes_n(sw->world); i++) {
        const struct hs *hs = hs_at(sw->world, i);

        if (hs == NULL || hs->dvar == NULL)
            continue;
        dvar_stats(hs->dvar, &stats);
        n += stats.told_ahead;
    }
    return n;
}

void sw_deinit(struct state_world *sw)
{
    uint64_t syncs_n = 0;

    if (sim_violation_text(sw->world) == NULL)
        so_judge(&sw->ops);
    scn_take(sw->scn, sw->world);
    scn_count(sw->scn, "ops_ok", (double)sw->ops.outcomes[HISTORY_OK]);
    scn_count(sw->scn, "ops_failed", (double)sw->ops.outcomes[HISTORY_FAILED]);
    scn_count(sw->scn, "ops_unknown", (double)sw->ops.outcomes[HISTORY_UNKNOWN]);
    scn_count(sw->scn, "reads_by_cell", (double)sw->ops.reads_by_cell_n);
    scn_count(sw->scn, "changes_told", (double)sw->ops.changes_n);
    scn_count(sw->scn, "told_ahead", (double)told_ahead(sw));
    scn_count(sw->scn, "locks_granted", (double)sw->ops.grants_n);
    scn_count(sw->scn, "locks_lost", (double)sw->ops.lost_n);
    scn_count(sw->scn, "undecided", sw->ops.finding.verdict == HISTORY_UNDECIDED);
    scn_count(sw->scn, "records", (double)sw->view.records_n);
    scn_count(sw->scn, "activations", (double)sw->view.activations_n);
    scn_count(sw->scn, "slots_lost", sw->view.generation_n);
    scn_count(sw->scn, "disks_changed", sw->damages_n);
    for (size_t i = 0; i < sw->hs.keepers_n; i++)
        syncs_n += sw->hs.disks[i].syncs_n;
    scn_count(sw->scn, "syncs", (double)syncs_n);
    for (size_t i = 0; i < sim_nodes_n(sw->world); i++)
        sim_power_off(sw->world, i);
    hs_world_deinit(&sw->hs, sw->world);
    oracle_view_deinit(&sw->view);
    so_deinit(&sw->ops);
    chaos_deinit(&sw->chaos);
    free(sw->stall_until);
    free(sw->set_back);
    sim_free(sw->world);
}

static void check_at(struct sim_world *world, size_t index)
{
    struct hs *hs = hs_at(world, index);

    if (hs != NULL)
        hs_check(hs);
}

/* What the scenario does itself may have been done to any of them. */
static bool check(struct sim_world *world)
{
    struct sim_node *node = sim_touched(world);

    if (node != NULL)
        check_at(world, sim_node_index(node));
    for (size_t i = 0; node == NULL && i < sim_nodes_n(world); i++)
        check_at(world, i);
    return true;
}

bool sw_run_for(struct state_world *sw, uint64_t ms)
{
    return sim_run(sw->world, sim_world_ms(sw->world) + ms, check);
}

/* Bears what it should: nothing of one or two, one of three or more. */
static bool is_strong(struct state_world *sw, char *out, size_t out_bytes)
{
    struct view_quorum quorum;
    struct hs *hs = hs_at(sw->world, 0);

    if (sw->hs.keepers_n < 3 || (sw->plot != NULL && sw->plot->kind == PLOT_ONLY_VOTER))
        return true;
    view_quorum(hs->view, hs_now_ms(hs), &quorum);
    snprintf(out, out_bytes, "%" PRIu32 " failures are tolerated by %" PRIu32 " voters",
             quorum.failures_tolerated, quorum.voters_n);
    return quorum.failures_tolerated >= 1;
}

bool sw_is_whole_within(struct state_world *sw, uint64_t limit_ms)
{
    char text[256] = "";

    for (uint64_t waited = 0;
         oracle_view_waits(&sw->view, text, sizeof(text)) || !is_strong(sw, text, sizeof(text));
         waited += 50) {
        if (waited >= limit_ms) {
            scn_fail(sw->scn, "no cluster after %" PRIu64 " ms: %s", limit_ms, text);
            return false;
        }
        if (!sw_run_for(sw, 50))
            return false;
    }
    return true;
}

bool sw_form(struct state_world *sw)
{
    if (sw->plot != NULL)
        plot_form(sw->plot);
    for (size_t i = 0; i < sim_nodes_n(sw->world); i++) {
        if (!sim_node_up(sim_node_at(sw->world, i)))
            sim_start(sw->world, i);
        if (!sw_run_for(sw, rng_below(sim_rng(sw->world), 300)))
            return false;
    }
    if (!sw_is_whole_within(sw, FORM_MS_MAX))
        return false;
    scn_sample(sw->scn, "formed_after_ms", "ms", (double)sim_world_ms(sw->world));
    return true;
}

void sw_start(struct state_world *sw)
{
    struct sim_faults faults = chaos_faults(sw->chaos.classes, sim_rng(sw->world));

    sim_set_faults(sw->world, &faults);
    disk_tick(sw->world, sw);
    so_start(&sw->ops);
    chaos_start(&sw->chaos);
    if (sw->plot != NULL)
        plot_start(sw->plot);
}

void sw_stop(struct state_world *sw)
{
    so_stop(&sw->ops);
    chaos_stop(&sw->chaos);
    for (size_t i = 0; i < sim_nodes_n(sw->world); i++) {
        hs_disk_full(sw->world, i, false);
        disk_stall_ends(&sw->hs.disks[i]);
        if (hs_at(sw->world, i) != NULL && hs_at(sw->world, i)->leaves)
            sim_crash(sw->world, i); /* it would only be gone later */
        if (!sim_node_up(sim_node_at(sw->world, i)))
            sim_start(sw->world, i);
    }
    sim_note(sw->world, "faults are off");
}

/* What is not as it should be. False: all is well. */
static bool waits(struct state_world *sw, char *out, size_t out_bytes)
{
    const struct so_client *client = NULL;
    size_t pending = so_pending(&sw->ops, &client);

    if (oracle_view_waits(&sw->view, out, out_bytes))
        return true;
    if (pending == 0)
        return so_waits(&sw->ops, out, out_bytes);
    snprintf(out, out_bytes, "%zu clients are at something, number %" PRIu32 " on node %zu %s",
             pending, client->number, client->node, so_state_text(client->state));
    return true;
}

static bool settle(struct state_world *sw, uint64_t until_ms)
{
    char text[256];

    while (waits(sw, text, sizeof(text))) {
        if (sim_world_ms(sw->world) >= until_ms) {
            scn_fail(sw->scn, "long after the faults: %s", text);
            return false;
        }
        if (!sw_run_for(sw, 50))
            return false;
    }
    return true;
}

/* Clients go on for a while in peace. True if everything they asked for was done. */
static bool works(struct state_world *sw, uint64_t until_ms, bool *well_out)
{
    struct state_ops *ops = &sw->ops;
    uint64_t bad = ops->outcomes[HISTORY_FAILED] + ops->outcomes[HISTORY_UNKNOWN];
    uint64_t ok = ops->outcomes[HISTORY_OK];

    /* Watches that were opened under faults become known to all homes. */
    if (!sw_run_for(sw, sw->ops.peace_ms == 0 ? KNOWN_MS : 0))
        return false;
    so_peace(ops);
    so_start(ops);
    if (!sw_run_for(sw, PEACE_MS))
        return false;
    so_stop(ops);
    if (!settle(sw, until_ms))
        return false;
    *well_out = ops->outcomes[HISTORY_FAILED] + ops->outcomes[HISTORY_UNKNOWN] == bad &&
                (ops->clients_n == 0 || ops->outcomes[HISTORY_OK] > ok);
    return true;
}

bool sw_settles_within(struct state_world *sw, uint64_t limit_ms)
{
    uint64_t start_ms = sim_world_ms(sw->world);
    uint64_t until_ms = start_ms + limit_ms;
    bool well = false;

    if (!settle(sw, until_ms))
        return false;
    scn_sample(sw->scn, "settled_after_ms", "ms", (double)(sim_world_ms(sw->world) - start_ms));
    while (!well && (sw->ops.variables_on || sw->ops.mutexes_on)) {
        uint64_t began_ms = sim_world_ms(sw->world); /* who holds a mutex may think for long */

        if (!works(sw, until_ms + limit_ms, &well))
            return false;
        if (!well && began_ms >= until_ms) {
            scn_fail(sw->scn, "%" PRIu64 " ms after the faults operations still fail: %s", limit_ms,
                     sw->ops.failure);
            return false;
        }
    }
    return true;
}
