#include "plot.h"

#include <string.h>

#include "queue.h"
#include "view/internal.h"

#define NEVER_MS     10000000
#define HOLDER_SEEDS 8     /* of one size */
#define GROW_MS      15000 /* after the plot begins */
#define FORM_MS      5000
#define BETWEEN_MS   12000 /* until the cluster is whole again */

/* ---- roles ---- */

static size_t nodes_n(const struct plot *plot)
{
    return sim_nodes_n(plot->sw->world);
}

static size_t keepers_n(const struct plot *plot)
{
    return plot->sw->hs.keepers_n;
}

static uint64_t draw(const struct plot *plot, uint64_t below)
{
    return rng_below(sim_rng(plot->sw->world), below);
}

/* Who has the leader's lease; SIZE_MAX: nobody. */
static size_t leader(const struct plot *plot)
{
    for (size_t i = 0; i < keepers_n(plot); i++) {
        struct hs *hs = hs_at(plot->sw->world, i);

        if (hs != NULL && view_leader_until_ms(hs->view) > hs_now_ms(hs))
            return i;
    }
    return SIZE_MAX;
}

/* By the record that @of knows. */
static bool votes(const struct plot *plot, const struct view_record *record, size_t index)
{
    struct kith_node_id id = sim_node_id(sim_node_at(plot->sw->world, index));

    return voter_place(record, &id) >= 0;
}

/* The @nth keeper that votes, or does not, and is not the leader; SIZE_MAX: there is none. */
static size_t other(const struct plot *plot, bool voter, size_t nth)
{
    struct hs *hs = hs_at(plot->sw->world, plot->leader);

    for (size_t i = 0; hs != NULL && i < keepers_n(plot); i++) {
        if (i != plot->leader && votes(plot, &hs->view->decided, i) == voter && nth-- == 0)
            return i;
    }
    return SIZE_MAX;
}

/* ---- what is done to them ---- */

static void cut(const struct plot *plot, size_t a, size_t b, bool on)
{
    if (a == b)
        return;
    sim_cut(plot->sw->world, a, b, on);
    sim_cut(plot->sw->world, b, a, on);
}

static void restart(const struct plot *plot, size_t index)
{
    if (sim_node_up(sim_node_at(plot->sw->world, index)))
        sim_crash(plot->sw->world, index);
    sim_start(plot->sw->world, index);
}

/* Those of whom @of is the same can talk to each other only. */
static void split(const struct plot *plot, const bool *of)
{
    for (size_t i = 0; i < nodes_n(plot); i++) {
        for (size_t j = 0; j < i; j++) {
            if (of[i] != of[j])
                cut(plot, i, j, true);
        }
    }
}

/* ---- the plots: each step says when the next one is due, 0: from the beginning ---- */

static uint64_t sitout(struct plot *plot)
{
    switch (plot->step) {
    case 1:
        cut(plot, plot->leader, plot->a, true);
        return 6000 + draw(plot, 3000);
    case 2:
        restart(plot, plot->b);
        cut(plot, plot->leader, plot->b, true);
        return 8000;
    default:
        return 0;
    }
}

static uint64_t nesting(struct plot *plot)
{
    bool with[64] = {0};
    size_t aside = other(plot, false, 0);

    if (plot->step > 1 || aside == SIZE_MAX)
        return 0;
    with[plot->leader] = true;
    with[aside] = true;
    split(plot, with);
    return 15000;
}

static uint64_t only_voter(struct plot *plot)
{
    size_t who = other(plot, false, (size_t)draw(plot, keepers_n(plot) - 1));

    if (plot->step > 1 || who == SIZE_MAX)
        return 0;
    for (size_t i = 0; i < nodes_n(plot); i++)
        cut(plot, who, i, true);
    restart(plot, plot->leader);
    return 10000;
}

static uint64_t old_disk(struct plot *plot)
{
    struct sim_world *world = plot->sw->world;
    struct disk *disk = &plot->sw->hs.disks[plot->b];

    switch (plot->step) {
    case 1:
        disk_snapshot(disk);
        restart(plot, plot->b);
        return 8000;
    case 2:
        if (leader(plot) != plot->leader)
            return 0;
        cut(plot, plot->a, plot->leader, true);
        cut(plot, plot->a, plot->b, true);
        return 100 + draw(plot, 8000);
    case 3:
        sim_power_off(world, plot->b);
        cut(plot, plot->a, plot->b, false);
        cut(plot, plot->leader, plot->b, true);
        if (disk_restore(disk)) {
            plot->sw->hs.disk_suspect[plot->b] = true;
            plot->sw->set_back[plot->b] = true;
        }
        sim_start(world, plot->b);
        return 25000;
    default:
        return plot->step < 100 ? NEVER_MS : 0; /* one bad disk is enough */
    }
}

static uint64_t only_disk(struct plot *plot)
{
    struct disk *disk = &plot->sw->hs.disks[plot->copied];

    switch (plot->step) {
    case 1: /* so that it is seen in a later boot */
        restart(plot, plot->copied);
        return 8000 + draw(plot, 4000);
    case 2:
        sim_power_off(plot->sw->world, plot->copied);
        return 6000 + draw(plot, 6000);
    case 3:
        if (disk_restore(disk)) {
            plot->sw->hs.disk_suspect[plot->copied] = true;
            plot->sw->set_back[plot->copied] = true;
        }
        sim_start(plot->sw->world, plot->copied);
        return 15000;
    default:
        return plot->step < 100 ? NEVER_MS : 0;
    }
}

static uint64_t joint(struct plot *plot)
{
    if (plot->step > 1)
        return 0;
    plot->watching = true; /* see plot_stepped() */
    return 20000;
}

/* ---- mutexes ---- */

static size_t victim(struct plot *plot)
{
    const struct state_ops *ops = &plot->sw->ops;
    size_t from = (size_t)draw(plot, ops->clients_n);

    /* Who is inside, mostly; else a home, else anybody. */
    for (size_t i = 0; i < ops->clients_n && draw(plot, 8) != 0; i++) {
        const struct so_client *client = &ops->clients[(from + i) % ops->clients_n];

        if (client->state >= SO_READS)
            return client->node;
    }
    return (size_t)draw(plot, nodes_n(plot));
}

static uint64_t short_ms(struct plot *plot)
{
    return 100 + draw(plot, UINT64_C(1) << (8 + draw(plot, 6)));
}

static uint64_t holder(struct plot *plot)
{
    struct sim_world *world = plot->sw->world;
    uint64_t kind = draw(plot, 10);
    size_t who = victim(plot);

    if (plot->step == 1) {
        plot->a = plot->b = SIZE_MAX;
        return short_ms(plot);
    }
    if (plot->a != SIZE_MAX && draw(plot, 3) == 0) { /* the first one is back */
        for (size_t i = 0; i < nodes_n(plot); i++)
            cut(plot, plot->a, i, false);
        plot->a = plot->b;
        plot->b = SIZE_MAX;
    } else if (kind < 5 && plot->b == SIZE_MAX) {
        uint64_t from = kind == 0 ? 2 : 1; /* from all, or from half of them */

        for (size_t i = 0; i < nodes_n(plot); i++) {
            if (draw(plot, from) == 0)
                cut(plot, who, i, true);
        }
        plot->b = plot->a;
        plot->a = who;
    } else if (kind < 7) {
        if (sim_node_running(sim_node_at(world, who)))
            sim_pause(world, who, short_ms(plot));
    } else if (kind == 7) {
        restart(plot, who);
    }
    return plot->step < 60 ? short_ms(plot) : 0;
}

/* ---- one after the other ---- */

static void tick(struct sim_world *world, void *arg);

static void again_in(struct plot *plot, uint64_t ms)
{
    sim_at(plot->sw->world, sim_world_ms(plot->sw->world) + ms, tick, plot);
}

static uint64_t act(struct plot *plot)
{
    switch (plot->kind) {
    case PLOT_SITOUT:
        return sitout(plot);
    case PLOT_NESTING:
        return nesting(plot);
    case PLOT_ONLY_VOTER:
        return only_voter(plot);
    case PLOT_OLD_DISK:
        return old_disk(plot);
    case PLOT_JOINT:
        return joint(plot);
    case PLOT_ONLY_DISK:
        return only_disk(plot);
    case PLOT_HOLDER:
        return holder(plot);
    default:
        return NEVER_MS;
    }
}

/* The roles, if the cluster has a leader and, where it must, two voters beside it. */
static bool cast(struct plot *plot)
{
    bool needs_voters = plot->kind == PLOT_SITOUT || plot->kind == PLOT_OLD_DISK;
    size_t first = (size_t)draw(plot, 2);

    plot->leader = leader(plot);
    if (plot->leader == SIZE_MAX)
        return false;
    plot->a = other(plot, true, first);
    plot->b = other(plot, true, 1 - first);
    return !needs_voters || (plot->a != SIZE_MAX && plot->b != SIZE_MAX);
}

static void tick(struct sim_world *world, void *arg)
{
    struct plot *plot = arg;
    uint64_t ms;

    if (!plot->sw->chaos.on)
        return;
    if (plot->step == 0 && !cast(plot)) {
        again_in(plot, 500);
        return;
    }
    plot->step++;
    sim_note(world, "plot %d, step %u", (int)plot->kind, plot->step);
    ms = act(plot);
    if (ms == 0) {
        plot->step = 0;
        plot->watching = false;
        sim_heal(world);
        for (size_t i = 0; i < nodes_n(plot); i++) {
            if (!sim_node_up(sim_node_at(world, i)))
                sim_start(world, i);
        }
        ms = BETWEEN_MS;
    }
    again_in(plot, ms);
}

/* The moment: the leader knows that the larger set of voters is decided, and nobody else does. */
void plot_stepped(struct plot *plot, struct hs *hs)
{
    bool was[64];

    if (!plot->watching || sim_node_index(hs->hm.node) != plot->leader ||
        hs->view->learned.voters_n != 5 || hs->view->decided.voters_n == 5)
        return;
    plot->watching = false;
    for (size_t i = 0; i < nodes_n(plot); i++)
        was[i] = i != plot->leader && votes(plot, &hs->view->decided, i);
    split(plot, was);
}

void plot_start(struct plot *plot)
{
    plot->step = 0;
    if (plot->kind != PLOT_NONE && plot->kind != PLOT_MINT)
        again_in(plot, 1 + draw(plot, 3000));
}

/* All are keepers, and one votes: its disk is copied. */
static void form_copied(struct plot *plot)
{
    for (size_t i = 0; i < keepers_n(plot); i++)
        sim_start(plot->sw->world, i);
    for (unsigned t = 0; t < FORM_MS / 100; t++) {
        size_t at = leader(plot);
        struct hs *hs = at != SIZE_MAX ? hs_at(plot->sw->world, at) : NULL;

        if (hs != NULL && hs->view->decided.voters_n == 1 &&
            hs->view->decided.placement.keepers_n == keepers_n(plot)) {
            plot->copied = at;
            disk_snapshot(&plot->sw->hs.disks[at]);
            return;
        }
        sw_run_for(plot->sw, 100);
    }
}

void plot_form(struct plot *plot)
{
    struct sim_world *world = plot->sw->world;

    if (plot->kind == PLOT_ONLY_DISK)
        form_copied(plot);
    if (plot->kind != PLOT_MINT)
        return;
    sim_set_faults(world, &(struct sim_faults){.loss = 0.3});
    for (size_t i = 0; i < keepers_n(plot); i++) {
        for (size_t j = 0; j < i; j++)
            cut(plot, i, j, draw(plot, 3) == 0);
        sim_start(world, i);
    }
    sw_run_for(plot->sw, FORM_MS);
    sim_set_faults(world, &(struct sim_faults){0});
    sim_heal(world);
}

void plot_options(enum plot_kind kind, uint64_t seed, struct state_options *options)
{
    static const size_t sizes[PLOTS_N] = {
        [PLOT_MINT] = 5,     [PLOT_SITOUT] = 3, [PLOT_NESTING] = 4,   [PLOT_ONLY_VOTER] = 3,
        [PLOT_OLD_DISK] = 3, [PLOT_JOINT] = 7,  [PLOT_ONLY_DISK] = 3,
    };

    if (kind == PLOT_NONE)
        return;
    options->classes &= CHAOS_CLOCK | CHAOS_DUPLICATE | CHAOS_BUSY;
    options->clock_extremes = true;
    if (kind == PLOT_HOLDER) {
        options->keepers_n = 2 + seed / HOLDER_SEEDS % 6;
        options->edges_n = seed / HOLDER_SEEDS % 5;
        return;
    }
    options->keepers_n = sizes[kind];
    options->edges_n = 0;
}

void plot_init(struct plot *plot, struct state_world *sw, enum plot_kind kind)
{
    memset(plot, 0, sizeof(*plot));
    plot->sw = sw;
    plot->kind = kind;
    if (kind == PLOT_MINT)
        sw->hs.expect = 3;
    if (kind == PLOT_ONLY_VOTER) {
        sw->hs.expect = 1;
        sw->hs.view.settle_ms = NEVER_MS;
    }
    if (kind == PLOT_ONLY_DISK)
        sw->hs.expect = 1;
    if (kind == PLOT_JOINT) {
        sw->hs.expect = 1;
        sw->hs.view.grow_ms = GROW_MS;
    }
}
