/*
 * Watches of nodes: what they are told of consistent variables, and what must hold of it.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "state_ops_internal.h"

#define OPEN_PERCENT  10 /* of what the first client of a node does */
#define CLOSE_PERCENT 1
#define SETTLED_MS    2000 /* a watch that is older is known to every home, in peace */

struct pattern {
    const char *text;
    bool prefix;
};

static const struct pattern patterns[] = {
    {"volatile", true},  {"durable", true},  {"count", true}, {"array", true}, {"guarded", true},
    {"volatile", false}, {"count-d", false}, {"once", false}, {"big", false},
};
#define PATTERNS_N (sizeof(patterns) / sizeof(patterns[0]))

static bool matches(size_t pattern, size_t variable)
{
    const struct pattern *p = &patterns[pattern];
    const char *name = so_variable_names[variable];

    return p->prefix ? strncmp(name, p->text, strlen(p->text)) == 0 : strcmp(name, p->text) == 0;
}

static struct so_watch *watch_of(const struct state_ops *ops, const struct hs *hs)
{
    struct so_watch *watch = &ops->watches[sim_node_index(hs->hm.node)];

    return watch->id != 0 && watch->boot_no == hs->self.boot_no ? watch : NULL;
}

void so_do_watch(struct state_ops *ops, size_t node, struct hs *hs)
{
    struct rng *rng = sim_rng(ops->world);
    struct so_watch *watch = watch_of(ops, hs);

    if (watch == NULL && rng_below(rng, 100) < OPEN_PERCENT) {
        watch = &ops->watches[node];
        *watch = (struct so_watch){.boot_no = hs->self.boot_no,
                                   .id = hs_next_id(ops->hw),
                                   .pattern = (size_t)rng_below(rng, PATTERNS_N),
                                   .opened_ms = sim_world_ms(ops->world)};
        for (size_t slot = 0; slot < PLACEMENT_SLOTS; slot++)
            watch->generation[slot] = hs->placement.slots[slot].generation;
        sim_note(ops->world, "node %zu watches '%s'", node, patterns[watch->pattern].text);
        hs_watch(hs, watch->id, patterns[watch->pattern].text, patterns[watch->pattern].prefix);
    } else if (watch != NULL && rng_below(rng, 100) < CLOSE_PERCENT) {
        hs_unwatch(hs, watch->id);
        watch->id = 0;
    }
}

/* ---- what is told ---- */

static size_t variable_of(const struct dvar_change *change)
{
    size_t at = 0;

    while (at < SO_VARIABLES_N &&
           (strlen(so_variable_names[at]) != change->name_len ||
            memcmp(so_variable_names[at], change->name, change->name_len) != 0))
        at++;
    return at;
}

void so_changed(struct state_ops *ops, struct hs *hs, uint64_t id, const struct dvar_change *change)
{
    struct so_watch *watch = watch_of(ops, hs);
    size_t variable = variable_of(change);
    struct value value = value_view(change->value, change->value_len);

    ops->changes_n++;
    if (watch == NULL || watch->id != id || variable == SO_VARIABLES_N ||
        !matches(watch->pattern, variable)) {
        sim_violation(ops->world, "node %zu is told of '%.*s', which it does not watch",
                      sim_node_index(hs->hm.node), (int)change->name_len, change->name);
        return;
    }
    /* 0: it is gone, and so is what was known of its version. */
    if (change->version == 0 && value.type == VALUE_NONE)
        return;
    if (change->version < watch->heard[variable])
        sim_violation(ops->world,
                      "the watch of node %zu goes back: '%s' is told in version %" PRIu64
                      " after %" PRIu64,
                      sim_node_index(hs->hm.node), so_variable_names[variable], change->version,
                      watch->heard[variable]);
    watch->heard[variable] = change->version;
    if (value.type != VALUE_NONE)
        so_saw(ops, 0, variable, &value, change->version, 0);
}

void so_slot_lost(
    struct state_ops *ops, struct hs *hs, uint64_t id, uint32_t slot, uint32_t generation)
{
    struct so_watch *watch = watch_of(ops, hs);

    if (watch == NULL || watch->id != id) {
        sim_violation(ops->world, "node %zu is told of a loss, which it does not watch",
                      sim_node_index(hs->hm.node));
        return;
    }
    if (generation > watch->generation[slot])
        watch->generation[slot] = generation;
}

/* ---- what must be told ---- */

/* A home that hears of a watch only when what was written is gone again has nothing to tell it. */
static bool
came_and_went(const struct state_ops *ops, const struct so_watch *watch, size_t variable)
{
    return watch->heard[variable] == 0 &&
           ops->peace_gone_ns[variable] > ops->peace_wrote_ns[variable];
}

bool so_watch_waits(struct state_ops *ops, char *out, size_t out_bytes)
{
    for (size_t node = 0; node < sim_nodes_n(ops->world); node++) {
        struct hs *hs = hs_at(ops->world, node);
        struct so_watch *watch = hs != NULL ? watch_of(ops, hs) : NULL;

        if (watch == NULL || watch->opened_ms + SETTLED_MS > ops->peace_ms)
            continue;
        for (size_t i = 0; i < SO_VARIABLES_N; i++) {
            if (!matches(watch->pattern, i) || watch->heard[i] >= ops->peace_version[i] ||
                came_and_went(ops, watch, i))
                continue;
            snprintf(out, out_bytes,
                     "the watch of node %zu has heard version %" PRIu64 " of '%s', %" PRIu64
                     " was acknowledged",
                     node, watch->heard[i], so_variable_names[i], ops->peace_version[i]);
            return true;
        }
    }
    return false;
}

void so_judge_watches(struct state_ops *ops)
{
    for (size_t node = 0; node < sim_nodes_n(ops->world); node++) {
        struct hs *hs = hs_at(ops->world, node);
        struct so_watch *watch = hs != NULL ? watch_of(ops, hs) : NULL;

        for (size_t i = 0; watch != NULL && i < SO_VARIABLES_N; i++) {
            uint32_t slot = placement_slot_of(so_variable_names[i], strlen(so_variable_names[i]));

            if (matches(watch->pattern, i) &&
                hs->placement.slots[slot].generation > watch->generation[slot])
                sim_violation(ops->world,
                              "node %zu watches '%s' and was not told that its slot lost what was "
                              "in memory",
                              node, so_variable_names[i]);
        }
    }
}
