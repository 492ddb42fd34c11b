#include "chaos.h"

#include <stdlib.h>
#include <string.h>

#include "queue.h"

#define PERIOD_MS    3000
#define DOWN_MS_MAX  30000
#define SLOW_MS_MAX  5000
#define PAUSE_MS_MAX 60000
#define DELAY_US_MAX 100000
#define STALL_MS_MAX 30000
#define CLOG_MS_MAX  10000
#define STEP_MS_MAX  3600000

static const char *const names[CHAOS_CLASSES_N] = {
    "loss",  "duplicate", "reorder", "slow", "clock", "partition", "oneway", "triangle",
    "pause", "crash",     "power",   "flap", "deaf",  "move",      "busy",
};

static const char *const state_names[CHAOS_STATE_CLASSES_N] = {
    "disk-stall", "disk-full", "disk-wipe",  "disk-restore", "disk-rot", "suspend",
    "wall",       "leave",     "disconnect", "bridge",       "clog",
};

const char *chaos_class_name(unsigned bit)
{
    if (bit >= CHAOS_STATE_BIT0 && bit < CHAOS_STATE_BIT0 + CHAOS_STATE_CLASSES_N)
        return state_names[bit - CHAOS_STATE_BIT0];
    return bit < CHAOS_CLASSES_N ? names[bit] : "?";
}

uint32_t chaos_draw(struct rng *rng)
{
    return (uint32_t)rng_u64(rng) & CHAOS_ALL;
}

/* Where everything happens at once, nothing is served, and a rule that is missing harms nobody. */
uint32_t chaos_draw_state(struct rng *rng)
{
    uint64_t a = rng_u64(rng);
    uint64_t b = rng_u64(rng);
    uint64_t kind = rng_below(rng, 4);
    uint64_t drawn = kind < 2 ? a & b : kind == 2 ? a : a | b;

    return (uint32_t)drawn & (CHAOS_ALL | CHAOS_STATE_ALL);
}

/* A rate of 0 to @max, in thousandths. */
static double rate(struct rng *rng, uint64_t max_permille)
{
    return (double)rng_below(rng, max_permille + 1) / 1000;
}

struct sim_faults chaos_faults(uint32_t classes, struct rng *rng)
{
    struct sim_faults faults = {0};

    if ((classes & CHAOS_LOSS) != 0)
        faults.loss = rate(rng, 300);
    if ((classes & CHAOS_DUPLICATE) != 0)
        faults.duplicate = rate(rng, 500);
    if ((classes & CHAOS_REORDER) != 0) {
        faults.reorder = rate(rng, 500);
        faults.delay_max_us = (uint32_t)rng_below(rng, DELAY_US_MAX + 1);
    }
    if ((classes & CHAOS_SLOW) != 0) {
        faults.slow_rate = 0.01;
        faults.slow_max_ms = SLOW_MS_MAX;
    }
    if ((classes & CHAOS_CLOCK) != 0)
        faults.clock_rate_spread = 0.1;
    return faults;
}

static uint64_t *times(size_t n)
{
    uint64_t *at = sim_realloc(NULL, n, sizeof(*at));

    memset(at, 0, n * sizeof(*at));
    return at;
}

void chaos_init(struct chaos *chaos, struct sim_world *world, uint32_t classes)
{
    size_t n = sim_nodes_n(world);

    memset(chaos, 0, sizeof(*chaos));
    chaos->world = world;
    chaos->classes = classes;
    chaos->period_ms = PERIOD_MS;
    chaos->group = sim_realloc(NULL, n, 1);
    chaos->restart_ms = times(n);
    chaos->paused_until_ms = times(n);
    chaos->cut_until_ms = times(n * n);
    chaos->deaf_until_ms = times(n);
}

void chaos_deinit(struct chaos *chaos)
{
    free(chaos->group);
    free(chaos->restart_ms);
    free(chaos->paused_until_ms);
    free(chaos->cut_until_ms);
    free(chaos->deaf_until_ms);
}

/* Short ones as often as long ones. */
static uint64_t some_ms(struct rng *rng, uint64_t max_ms)
{
    uint64_t ms = 1 + rng_below(rng, UINT64_C(1) << (1 + rng_below(rng, 16)));

    return ms < max_ms ? ms : max_ms;
}

static size_t up_n(struct sim_world *world)
{
    size_t n = 0;

    for (size_t i = 0; i < sim_nodes_n(world); i++)
        n += sim_node_up(sim_node_at(world, i));
    return n;
}

/* Node 0, everybody's seed, stays where it is: if all moved, nobody could know where to look. */
static void start(struct chaos *chaos, size_t index)
{
    if (index != 0 && (chaos->classes & CHAOS_MOVE) != 0 &&
        rng_below(sim_rng(chaos->world), 4) == 0)
        sim_readdress(chaos->world, index);
    sim_start(chaos->world, index);
    if (chaos->started != NULL)
        chaos->started(chaos, index);
}

/* ---- what ends by itself ---- */

static void cut_for(struct chaos *chaos, size_t from, size_t to, uint64_t ms)
{
    size_t at = from * sim_nodes_n(chaos->world) + to;

    if (from == to)
        return;
    sim_cut(chaos->world, from, to, true);
    chaos->cut_until_ms[at] = sim_world_ms(chaos->world) + ms;
}

static void end_brief(struct chaos *chaos)
{
    struct sim_world *world = chaos->world;
    uint64_t now_ms = sim_world_ms(world);
    size_t n = sim_nodes_n(world);

    if (chaos->group_until_ms != 0 && chaos->group_until_ms <= now_ms) {
        chaos->group_until_ms = 0;
        sim_partition(world, NULL);
    }
    for (size_t i = 0; i < n * n; i++) {
        if (chaos->cut_until_ms[i] == 0 || chaos->cut_until_ms[i] > now_ms)
            continue;
        chaos->cut_until_ms[i] = 0;
        sim_cut(world, i / n, i % n, false);
    }
    for (size_t i = 0; i < n; i++) {
        if (chaos->deaf_until_ms[i] == 0 || chaos->deaf_until_ms[i] > now_ms)
            continue;
        chaos->deaf_until_ms[i] = 0;
        sim_ingress_loss(world, i, 0);
    }
}

/* True: done here. */
static bool do_brief(struct chaos *chaos, enum chaos_class class, size_t a, size_t b)
{
    struct sim_world *world = chaos->world;
    struct rng *rng = sim_rng(world);
    uint64_t ms = some_ms(rng, PAUSE_MS_MAX);

    switch (class) {
    case CHAOS_PARTITION:
        for (size_t i = 0; i < sim_nodes_n(world); i++)
            chaos->group[i] = (uint8_t)rng_below(rng, 2);
        sim_partition(world, chaos->group);
        chaos->group_until_ms = sim_world_ms(world) + ms;
        return true;
    case CHAOS_TRIANGLE:
        cut_for(chaos, b, a, ms);
        cut_for(chaos, a, b, ms);
        return true;
    case CHAOS_ONEWAY:
        cut_for(chaos, a, b, ms);
        return true;
    case CHAOS_DEAF:
        sim_ingress_loss(world, a, 0.8);
        chaos->deaf_until_ms[a] = sim_world_ms(world) + ms;
        return true;
    default:
        return false;
    }
}

/* ---- what happens ---- */

static void do_partition(struct chaos *chaos)
{
    struct sim_world *world = chaos->world;

    if (rng_below(sim_rng(world), 2) == 0) {
        sim_heal(world);
        return;
    }
    for (size_t i = 0; i < sim_nodes_n(world); i++)
        chaos->group[i] = (uint8_t)rng_below(sim_rng(world), 2);
    sim_partition(world, chaos->group);
}

static uint64_t down_ms(struct chaos *chaos)
{
    struct rng *rng = sim_rng(chaos->world);

    return chaos->brief ? some_ms(rng, DOWN_MS_MAX) : rng_below(rng, DOWN_MS_MAX);
}

static void do_crash(struct chaos *chaos, enum chaos_class class, size_t index)
{
    struct sim_world *world = chaos->world;

    if (!sim_node_up(sim_node_at(world, index)) || up_n(world) <= chaos->up_min)
        return;
    if (class == CHAOS_POWER)
        sim_power_off(world, index);
    else
        sim_crash(world, index);
    if (class == CHAOS_FLAP)
        start(chaos, index);
    else
        chaos->restart_ms[index] = sim_world_ms(world) + down_ms(chaos);
}

static void do_one(struct chaos *chaos, enum chaos_class class)
{
    struct sim_world *world = chaos->world;
    struct rng *rng = sim_rng(world);
    size_t n = sim_nodes_n(world);
    size_t a = (size_t)rng_below(rng, n);
    size_t b = (size_t)rng_below(rng, n);
    bool on = rng_below(rng, 3) != 0;

    if (chaos->brief && do_brief(chaos, class, a, b))
        return;
    switch (class) {
    case CHAOS_PARTITION:
        do_partition(chaos);
        break;
    case CHAOS_ONEWAY:
        if (a != b)
            sim_cut(world, a, b, on);
        break;
    case CHAOS_TRIANGLE:
        if (a != b) {
            sim_cut(world, a, b, on);
            sim_cut(world, b, a, on);
        }
        break;
    case CHAOS_PAUSE: {
        uint64_t ms = some_ms(rng, PAUSE_MS_MAX);

        if (sim_node_up(sim_node_at(world, a))) {
            sim_pause(world, a, ms);
            if (chaos->paused_until_ms[a] < sim_world_ms(world) + ms)
                chaos->paused_until_ms[a] = sim_world_ms(world) + ms;
        }
        break;
    }
    case CHAOS_CRASH:
    case CHAOS_POWER:
    case CHAOS_FLAP:
        do_crash(chaos, class, a);
        break;
    case CHAOS_DEAF:
        sim_ingress_loss(world, a, on ? 0.8 : 0);
        break;
    case CHAOS_LOSS:
    case CHAOS_DUPLICATE:
    case CHAOS_REORDER:
    case CHAOS_SLOW:
    case CHAOS_CLOCK:
    case CHAOS_MOVE:
    case CHAOS_BUSY:
    case CHAOS_ALL:
        break;
    }
}

static void tick(struct sim_world *world, void *arg)
{
    struct chaos *chaos = arg;

    if (!chaos->on)
        return;
    if (chaos->brief)
        end_brief(chaos);
    for (size_t i = 0; i < sim_nodes_n(world); i++) {
        if (!sim_node_up(sim_node_at(world, i)) && chaos->restart_ms[i] != 0 &&
            chaos->restart_ms[i] <= sim_world_ms(world)) {
            chaos->restart_ms[i] = 0;
            start(chaos, i);
        }
    }
    enum chaos_class class = (enum chaos_class)(1u << rng_below(sim_rng(world), CHAOS_CLASSES_N));
    if ((chaos->classes & class) != 0)
        do_one(chaos, class);
    /* Only some classes do anything here, so a few times faster than what is wanted. */
    sim_at(world, sim_world_ms(world) + 1 + rng_below(sim_rng(world), chaos->period_ms / 2), tick,
           chaos);
}

/* ---- of nodes that share state ---- */

/* A restart that finds the disk changed: off, and back after a while. */
static void change_disk(struct chaos *chaos, enum chaos_state_class class, size_t index)
{
    struct sim_world *world = chaos->world;

    if (!sim_node_up(sim_node_at(world, index)) || up_n(world) <= chaos->up_min)
        return;
    sim_power_off(world, index);
    chaos->disk(chaos, class, index, 0);
    chaos->restart_ms[index] = sim_world_ms(world) + 1 + down_ms(chaos);
}

static void do_bridge(struct chaos *chaos, size_t bridge)
{
    struct rng *rng = sim_rng(chaos->world);
    size_t n = sim_nodes_n(chaos->world);
    uint64_t ms = some_ms(rng, PAUSE_MS_MAX);

    for (size_t i = 0; i < n; i++)
        chaos->group[i] = (uint8_t)rng_below(rng, 2);
    for (size_t i = 0; i < n * n; i++) {
        if (i / n != bridge && i % n != bridge && chaos->group[i / n] != chaos->group[i % n])
            cut_for(chaos, i / n, i % n, ms);
    }
}

/* Each way of each link stops and goes on at a time of its own. */
static void do_clog(struct chaos *chaos, size_t index)
{
    struct rng *rng = sim_rng(chaos->world);

    for (size_t i = 0; i < sim_nodes_n(chaos->world); i++) {
        cut_for(chaos, index, i, some_ms(rng, CLOG_MS_MAX));
        cut_for(chaos, i, index, some_ms(rng, CLOG_MS_MAX));
    }
}

/* As `kith node disconnect` does; either end opens the streams again when it has something to say.
 */
static void do_disconnect(struct chaos *chaos, size_t a, size_t b)
{
    struct sim_node *node = sim_node_at(chaos->world, a);
    struct kith_node_id to = sim_node_id(sim_node_at(chaos->world, b));

    if (a == b || !sim_node_running(node))
        return;
    sim_note(chaos->world, "%zu is asked to disconnect from %zu", a, b);
    sim_disconnect(node, &to);
}

static void do_leave(struct chaos *chaos, size_t index)
{
    struct sim_world *world = chaos->world;

    if (!sim_node_running(sim_node_at(world, index)) || up_n(world) <= chaos->up_min)
        return;
    chaos->leave(chaos, index);
    chaos->restart_ms[index] = sim_world_ms(world) + 1 + down_ms(chaos);
}

static void do_suspend(struct chaos *chaos, size_t index)
{
    struct sim_world *world = chaos->world;
    uint64_t ms = some_ms(sim_rng(world), PAUSE_MS_MAX);

    if (!sim_node_up(sim_node_at(world, index)))
        return;
    sim_suspend(world, index, ms);
    if (chaos->paused_until_ms[index] < sim_world_ms(world) + ms)
        chaos->paused_until_ms[index] = sim_world_ms(world) + ms;
}

static void do_state(struct chaos *chaos, enum chaos_state_class class)
{
    struct sim_world *world = chaos->world;
    struct rng *rng = sim_rng(world);
    size_t index = (size_t)rng_below(rng, sim_nodes_n(world));

    switch (class) {
    case CHAOS_DISK_STALL:
    case CHAOS_DISK_FULL:
        if (sim_node_up(sim_node_at(world, index)))
            chaos->disk(chaos, class, index, some_ms(rng, STALL_MS_MAX));
        break;
    case CHAOS_DISK_WIPE:
    case CHAOS_DISK_RESTORE:
    case CHAOS_DISK_ROT:
        change_disk(chaos, class, index);
        break;
    case CHAOS_SUSPEND:
        do_suspend(chaos, index);
        break;
    case CHAOS_WALL:
        sim_step_wall(world, index, (int64_t)rng_below(rng, 2 * STEP_MS_MAX) - STEP_MS_MAX);
        break;
    case CHAOS_LEAVE:
        do_leave(chaos, index);
        break;
    case CHAOS_DISCONNECT:
        do_disconnect(chaos, index, (size_t)rng_below(rng, sim_nodes_n(world)));
        break;
    case CHAOS_BRIDGE:
        do_bridge(chaos, index);
        break;
    case CHAOS_CLOG:
        do_clog(chaos, index);
        break;
    case CHAOS_STATE_ALL:
        break;
    }
}

static void state_tick(struct sim_world *world, void *arg)
{
    struct chaos *chaos = arg;
    unsigned bit;

    if (!chaos->on)
        return;
    bit = CHAOS_STATE_BIT0 + (unsigned)rng_below(sim_rng(world), CHAOS_STATE_CLASSES_N);
    if ((chaos->classes >> bit & 1) != 0)
        do_state(chaos, (enum chaos_state_class)(1u << bit));
    sim_at(world, sim_world_ms(world) + 1 + rng_below(sim_rng(world), chaos->period_ms), state_tick,
           chaos);
}

void chaos_start(struct chaos *chaos)
{
    chaos->on = true;
    tick(chaos->world, chaos);
    if (chaos->disk != NULL)
        state_tick(chaos->world, chaos);
}

void chaos_stop(struct chaos *chaos)
{
    struct sim_world *world = chaos->world;

    chaos->on = false;
    sim_set_faults(world, &(struct sim_faults){0});
    sim_heal(world);
    chaos->group_until_ms = 0;
    memset(chaos->cut_until_ms, 0,
           sim_nodes_n(world) * sim_nodes_n(world) * sizeof(*chaos->cut_until_ms));
    for (size_t i = 0; i < sim_nodes_n(world); i++) {
        sim_resume(world, i);
        if (!sim_node_up(sim_node_at(world, i)) && (i == 0 || rng_below(sim_rng(world), 4) != 0))
            start(chaos, i);
    }
}
