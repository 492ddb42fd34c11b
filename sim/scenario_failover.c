/*
 * How long writes wait when a node goes: a home that does not lead or the leader, killed (its peers
 * see resets) or without power (nobody is told), restarted at once, or stopped in order.
 *
 * A writer for each slot of which the victim is home adds to a counter of its own from another
 * node, one addition after the other; half of the counters are durable. The figure of a death is
 * the longest time between two acknowledgements of one writer. No other faults: theirs are the
 * times of the swarm. What was acknowledged must be in the counters afterwards.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kith/error.h"
#include "state_world.h"

#define PAUSE_MS      5     /* of a writer, after an acknowledgement */
#define RETRY_MS      20    /* ... after a refusal */
#define TIMEOUT_MS    20000 /* of an addition */
#define WARM_MS_MAX   30000 /* until all writers have written */
#define FLOW_MS_MAX   60000 /* a death that takes longer is a failure */
#define WHOLE_MS_MAX  180000
#define DOWN_MS       3000
#define RESTART_MS    100 /* at most, until the process is back */
#define ACKS_BEFORE_N 20  /* of each writer before the death */

enum death {
    DEATH_HOME,
    DEATH_HOME_POWER,
    DEATH_HOME_RESTART,
    DEATH_HOME_LEAVES,
    DEATH_LEADER,
    DEATH_LEADER_POWER,
    DEATH_LEADER_RESTART,
    DEATH_LEADER_LEAVES,
    DEATHS_N,
};

static const struct {
    const char *name;
    double target_ms;
} deaths[DEATHS_N] = {
    [DEATH_HOME] = {"home_killed_ms", 5000},
    [DEATH_HOME_POWER] = {"home_power_lost_ms", 5000},
    [DEATH_HOME_RESTART] = {"home_restarted_ms", 1000},
    [DEATH_HOME_LEAVES] = {"home_leaves_ms", 1000},
    [DEATH_LEADER] = {"leader_killed_ms", 8000},
    [DEATH_LEADER_POWER] = {"leader_power_lost_ms", 8000},
    [DEATH_LEADER_RESTART] = {"leader_restarted_ms", 1000},
    [DEATH_LEADER_LEAVES] = {"leader_leaves_ms", 1000},
};

struct writer {
    char name[16];
    size_t node;
    bool wanted;         /* adds, one after the other */
    uint64_t id;         /* of the addition under way; 0: none */
    uint64_t last_ns;    /* of the last acknowledgement; 0: none in this run */
    uint64_t gap_ns;     /* the longest since the death, */
    uint64_t slot_epoch; /* and the slot epoch of the last one */
    uint64_t before_se;  /* that of before the death */
    uint64_t acks_n;     /* in this run */
    uint64_t acked_n, unknown_n;
    int refused; /* the last refusal, for people */
};

struct failover {
    struct state_world sw; /* first: sim_user() of the world */
    struct writer writers[PLACEMENT_SLOTS];
    size_t victim;
    bool dead; /* gaps count */
};

static struct failover *failover_of(struct sim_world *world)
{
    return (struct failover *)sim_user(world);
}

/* ---- writers ---- */

static void add(struct failover *f, struct writer *writer, struct hs *hs)
{
    struct value_op op = {.kind = VALUE_OP_ADD, .type = VALUE_I64, .delta = 1};
    bool durable = (writer - f->writers) % 2 == 1;

    op.policy = durable ? VALUE_DURABLE : VALUE_VOLATILE;
    writer->id = hs_next_id(&f->sw.hs);
    hs_op(hs, writer->id, writer->name, &op, TIMEOUT_MS);
    hs_pump(hs);
}

static void writer_tick(struct sim_world *world, void *arg)
{
    struct failover *f = failover_of(world);
    struct writer *writer = arg;
    struct hs *hs = hs_at(world, writer->node);

    if (writer->wanted && writer->id == 0 && hs != NULL)
        add(f, writer, hs);
}

static void acknowledged(struct failover *f, struct writer *writer, uint64_t version)
{
    uint64_t now_ns = sim_world_ns(f->sw.world);

    writer->acked_n++;
    writer->acks_n++;
    writer->slot_epoch = version >> DVAR_SEQ_BITS;
    if (f->dead && writer->last_ns != 0 && now_ns - writer->last_ns > writer->gap_ns)
        writer->gap_ns = now_ns - writer->last_ns;
    writer->last_ns = now_ns;
}

static void on_done(struct hs *hs, uint64_t id, const struct dvar_result *result)
{
    struct sim_world *world = sim_node_world(hs->hm.node);
    struct failover *f = failover_of(world);
    uint64_t pause_ms = PAUSE_MS;

    for (size_t i = 0; i < PLACEMENT_SLOTS; i++) {
        struct writer *writer = &f->writers[i];

        if (writer->id != id)
            continue;
        writer->id = 0;
        if (result->code == 0) {
            acknowledged(f, writer, result->version);
        } else {
            writer->refused = result->code;
            writer->unknown_n += result->code == KITH_E_UNKNOWN_OUTCOME;
            pause_ms = RETRY_MS;
        }
        sim_at_ns(world, sim_world_ns(world) + pause_ms * 1000000, writer_tick, writer);
    }
}

/* One name a slot. */
static void name_writers(struct failover *f)
{
    char name[16];
    size_t found_n = 0;

    for (unsigned n = 0; found_n < PLACEMENT_SLOTS; n++) {
        int len = snprintf(name, sizeof(name), "f/%u", n);
        struct writer *writer = &f->writers[placement_slot_of(name, (size_t)len)];

        if (writer->name[0] != '\0')
            continue;
        memcpy(writer->name, name, sizeof(name));
        found_n++;
    }
}

/* Writers for the slots whose home is the victim. How many. */
static size_t begin_writers(struct failover *f)
{
    struct state_world *sw = &f->sw;
    size_t nodes_n = sim_nodes_n(sw->world);
    size_t n = 0;

    for (size_t slot = 0; slot < PLACEMENT_SLOTS; slot++) {
        const struct placement_keeper *home = placement_home(&sw->view.newest, (uint32_t)slot);
        struct hs *hs =
            home != NULL ? hs_of_member(sw->world, &sw->view.newest, home->member_id) : NULL;
        struct writer *writer = &f->writers[slot];

        if (hs == NULL || sim_node_index(hs->hm.node) != f->victim)
            continue;
        writer->node = (f->victim + 1 + n % (nodes_n - 1)) % nodes_n;
        writer->wanted = true;
        writer->last_ns = writer->gap_ns = writer->acks_n = 0;
        writer_tick(sw->world, writer);
        n++;
    }
    return n;
}

static void end_writers(struct failover *f)
{
    for (size_t i = 0; i < PLACEMENT_SLOTS; i++)
        f->writers[i].wanted = false;
    f->dead = false;
}

/* ---- waiting ---- */

/* A writer that has not done what is waited for; NULL: none. */
typedef const struct writer *(*waits_fn)(const struct failover *f);

static const struct writer *not_warm(const struct failover *f)
{
    for (size_t i = 0; i < PLACEMENT_SLOTS; i++) {
        if (f->writers[i].wanted && f->writers[i].acks_n < ACKS_BEFORE_N)
            return &f->writers[i];
    }
    return NULL;
}

static const struct writer *not_moved(const struct failover *f)
{
    for (size_t i = 0; i < PLACEMENT_SLOTS; i++) {
        if (f->writers[i].wanted && f->writers[i].slot_epoch <= f->writers[i].before_se)
            return &f->writers[i];
    }
    return NULL;
}

static const struct writer *not_idle(const struct failover *f)
{
    for (size_t i = 0; i < PLACEMENT_SLOTS; i++) {
        if (f->writers[i].id != 0)
            return &f->writers[i];
    }
    return NULL;
}

static bool wait_for(struct failover *f, waits_fn waits, uint64_t ms, const char *what)
{
    uint64_t until_ms = sim_world_ms(f->sw.world) + ms;
    const struct writer *writer;

    while ((writer = waits(f)) != NULL) {
        if (sim_world_ms(f->sw.world) >= until_ms) {
            scn_fail(f->sw.scn, "%s: %" PRIu64 " ms later a write of node %zu to %s waits (%s)",
                     what, ms, writer->node, writer->name,
                     writer->refused != 0 ? kith_strerror(writer->refused) : "none was refused");
            return false;
        }
        if (!sw_run_for(&f->sw, 5))
            return false;
    }
    return true;
}

/* ---- a death ---- */

static bool is_of_leader(enum death death)
{
    return death >= DEATH_LEADER;
}

/* How many slots have their home there. */
static size_t homes_n(const struct state_world *sw, size_t index)
{
    size_t n = 0;

    for (size_t slot = 0; slot < PLACEMENT_SLOTS; slot++) {
        const struct placement_keeper *home = placement_home(&sw->view.newest, (uint32_t)slot);
        struct hs *hs =
            home != NULL ? hs_of_member(sw->world, &sw->view.newest, home->member_id) : NULL;

        n += hs != NULL && sim_node_index(hs->hm.node) == index;
    }
    return n;
}

/* SIZE_MAX: nobody is it, or nobody that is home of a slot. */
static size_t victim_of(const struct state_world *sw, enum death death)
{
    size_t first = (size_t)rng_below(sim_rng(sw->world), sw->hs.keepers_n);

    for (size_t i = 0; i < sw->hs.keepers_n; i++) {
        size_t index = (first + i) % sw->hs.keepers_n;
        struct hs *hs = hs_at(sw->world, index);
        bool leads = hs != NULL && view_leader_until_ms(hs->view) > hs_now_ms(hs);

        if (hs != NULL && leads == is_of_leader(death) && homes_n(sw, index) > 0)
            return index;
    }
    return SIZE_MAX;
}

static bool kill_victim(struct failover *f, enum death death)
{
    struct sim_world *world = f->sw.world;

    for (size_t i = 0; i < PLACEMENT_SLOTS; i++)
        f->writers[i].before_se = f->writers[i].slot_epoch;
    f->dead = true;
    switch (death) {
    case DEATH_HOME_POWER:
    case DEATH_LEADER_POWER:
        sim_power_off(world, f->victim);
        return true;
    case DEATH_HOME_RESTART:
    case DEATH_LEADER_RESTART:
        sim_crash(world, f->victim);
        if (!sw_run_for(&f->sw, rng_below(sim_rng(world), RESTART_MS)))
            return false;
        sim_start(world, f->victim);
        return true;
    case DEATH_HOME_LEAVES:
    case DEATH_LEADER_LEAVES:
        hs_leave(world, f->victim);
        return true;
    default:
        sim_crash(world, f->victim);
        return true;
    }
}

static void sample(struct failover *f, enum death death)
{
    uint64_t gap_ns = 0;

    for (size_t i = 0; i < PLACEMENT_SLOTS; i++) {
        if (f->writers[i].wanted && f->writers[i].gap_ns > gap_ns)
            gap_ns = f->writers[i].gap_ns;
    }
    scn_sample(f->sw.scn, deaths[death].name, "ms", (double)gap_ns / 1e6);
}

/* Slots that are on their way, or have fewer copies than the keepers allow. */
static size_t slots_short_n(const struct state_world *sw)
{
    size_t copies_n =
        sw->hs.keepers_n < PLACEMENT_REPLICAS_MAX ? sw->hs.keepers_n : PLACEMENT_REPLICAS_MAX;
    size_t n = 0;

    for (size_t slot = 0; slot < PLACEMENT_SLOTS; slot++) {
        const struct placement_slot *at = &sw->view.newest.slots[slot];

        n += at->chosen.slot_epoch != 0 || at->active.replicas_n < copies_n;
    }
    return n;
}

/* All copies are where they should be: the next failure is one. */
static bool rests(struct failover *f)
{
    size_t short_n;

    if (!sw_is_whole_within(&f->sw, WHOLE_MS_MAX))
        return false;
    for (uint64_t waited_ms = 0; (short_n = slots_short_n(&f->sw)) > 0; waited_ms += 50) {
        if (waited_ms >= WHOLE_MS_MAX) {
            scn_fail(f->sw.scn, "%zu slots have fewer copies than there are keepers after %d ms",
                     short_n, WHOLE_MS_MAX);
            return false;
        }
        if (!sw_run_for(&f->sw, 50))
            return false;
    }
    return true;
}

static bool whole_again(struct failover *f)
{
    /* Who leaves is up a while longer than it is needed. */
    if (!sw_run_for(&f->sw, DOWN_MS))
        return false;
    if (!sim_node_up(sim_node_at(f->sw.world, f->victim)))
        sim_start(f->sw.world, f->victim);
    return rests(f);
}

/* False: the seed is over. */
static bool die(struct failover *f, enum death death)
{
    f->victim = SIZE_MAX;
    for (uint64_t waited_ms = 0; f->victim == SIZE_MAX; waited_ms += 50) {
        if (waited_ms >= WHOLE_MS_MAX) {
            scn_fail(f->sw.scn, "%s: nobody to die: no such node is home of anything",
                     deaths[death].name);
            return false;
        }
        if (!sw_run_for(&f->sw, 50))
            return false;
        f->victim = victim_of(&f->sw, death);
    }
    scn_count(f->sw.scn, "writers", (double)begin_writers(f));
    if (!wait_for(f, not_warm, WARM_MS_MAX, "before the death") || !kill_victim(f, death) ||
        !wait_for(f, not_moved, FLOW_MS_MAX, deaths[death].name))
        return false;
    sample(f, death);
    end_writers(f);
    return wait_for(f, not_idle, TIMEOUT_MS + 5000, "after the death") && whole_again(f);
}

/* ---- afterwards ---- */

/* Everything acknowledged counts, once, and nothing that was refused. */
static void judge(struct failover *f)
{
    const struct placement *newest = &f->sw.view.newest;

    for (size_t slot = 0; slot < PLACEMENT_SLOTS; slot++) {
        const struct writer *writer = &f->writers[slot];
        const struct placement_keeper *home = placement_home(newest, (uint32_t)slot);
        struct hs *hs = home != NULL ? hs_of_member(f->sw.world, newest, home->member_id) : NULL;
        struct dvar_info info = {0};
        uint64_t count = 0;

        if (hs == NULL || (writer->acked_n == 0 && writer->unknown_n == 0))
            continue;
        dvar_info(hs->dvar, writer->name, strlen(writer->name), hs_now_ms(hs), &info);
        if (info.value_len > 0 && value_view(info.value, info.value_len).type == VALUE_I64)
            count = get_le64(value_view(info.value, info.value_len).data);
        if (count < writer->acked_n || count > writer->acked_n + writer->unknown_n)
            scn_fail(f->sw.scn,
                     "%s is %" PRIu64 "; %" PRIu64 " additions were acknowledged, of %" PRIu64
                     " it is not known",
                     writer->name, count, writer->acked_n, writer->unknown_n);
        scn_count(f->sw.scn, "additions", (double)writer->acked_n);
    }
}

static void failover_seed(struct scn *scn, uint64_t seed)
{
    struct failover *f = calloc(1, sizeof(*f));
    struct state_options options = {.mutexes_off = true};
    bool well;

    if (f == NULL)
        abort();
    options.keepers_n = scn->options.nodes_n - 1;
    options.edges_n = 1;
    sw_init(&f->sw, scn, seed, &options);
    f->sw.hs.observer.done = on_done;
    name_writers(f);
    well = sw_form(&f->sw) && rests(f);
    for (unsigned death = 0; well && death < DEATHS_N; death++)
        well = die(f, (enum death)death);
    if (well)
        judge(f);
    sw_deinit(&f->sw);
    free(f);
}

static void failover_finish(struct scn *scn)
{
    for (size_t i = 0; i < DEATHS_N; i++)
        scn_target(scn, deaths[i].name, SCN_P99, false, deaths[i].target_ms);
}

const struct scenario scenario_state_failover = {
    .name = "state-failover",
    .line = "a home or the leader goes under load: how long writes wait, by the kind of death",
    .nodes_default = 4,
    .nodes_min = 4,
    .seed = failover_seed,
    .finish = failover_finish,
};
