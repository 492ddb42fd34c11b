#include "state_ops.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kith/error.h"
#include "queue.h"
#include "state_ops_internal.h"

#define PERIOD_MS   20
#define DOWN_MS     300 /* a client looks so often whether its node is back */
#define REFUSED_MS  100 /* it waits about so long, and twice as long each time ... */
#define REFUSED_MAX 4   /* ... so often */

const char *const so_variable_names[SO_VARIABLES_N] = {
    [SO_VOLATILE] = "volatile", [SO_VOLATILE_D] = "volatile-d",
    [SO_DURABLE] = "durable",   [SO_DURABLE_D] = "durable-d",
    [SO_COUNT] = "count",       [SO_COUNT_D] = "count-d",
    [SO_BIG] = "big",           [SO_ONCE] = "once",
    [SO_ARRAY] = "array",       [SO_ARRAY_D] = "array-d",
    [SO_GUARDED] = "guarded",   [SO_GUARDED_D] = "guarded-d",
};
const char *const so_lock_names[SO_LOCKS_N] = {
    [SO_LOCK] = "lock",
    [SO_LOCK_D] = "lock-d",
    [SO_SHARED] = "shared",
    [SO_PERMITS] = "permits",
};

const char *so_state_text(enum so_state state)
{
    static const char *const texts[] = {"idle",         "waits for an operation", "acquires",
                                        "reads inside", "thinks inside",          "writes inside"};

    return texts[state];
}

struct hs *so_node(const struct state_ops *ops, const struct so_client *client)
{
    struct hs *hs = hs_at(ops->world, client->node);

    return hs != NULL && hs->self.boot_no == client->boot_no ? hs : NULL;
}

static void tick(struct sim_world *world, void *arg);

static struct state_ops *ops_of(struct sim_world *world);

void so_tick_in(struct state_ops *ops, struct so_client *client, uint64_t ms)
{
    if (client->ticking)
        return;
    client->ticking = true;
    sim_at_ns(ops->world,
              sim_world_ns(ops->world) + ms * 1000000 + rng_below(sim_rng(ops->world), 1000000),
              tick, client);
}

void so_idle(struct state_ops *ops, struct so_client *client, bool served)
{
    struct rng *rng = sim_rng(ops->world);
    uint64_t ms = rng_below(rng, 2 * ops->period_ms + 1);

    client->state = SO_IDLE;
    client->waiter = 0;
    client->lost = false;
    client->refused_n = served ? 0 : client->refused_n + 1;
    if (!served) {
        ms = (uint64_t)REFUSED_MS << (client->refused_n <= REFUSED_MAX ? client->refused_n - 1
                                                                       : REFUSED_MAX);
        ms = ms / 2 + rng_below(rng, ms);
    }
    if (ops->on)
        so_tick_in(ops, client, ms);
}

void so_wait_for(struct state_ops *ops, struct so_client *client, uint64_t id)
{
    client->id = id;
    if (map64_set(&ops->by_id, id, client) < 0)
        abort();
}

/* ---- a client's time has come ---- */

static void do_something(struct state_ops *ops, struct so_client *client, struct hs *hs)
{
    struct rng *rng = sim_rng(ops->world);

    if (ops->mutexes_on && (!ops->variables_on || rng_below(rng, 6) == 0)) {
        so_do_acquire(ops, client, hs);
        return;
    }
    if (client->number - 1 == client->node)
        so_do_watch(ops, client->node, hs);
    if (rng_below(rng, 8) == 0)
        so_do_avail(ops, client, hs);
    else
        so_do_variable(ops, client, hs);
}

static void tick(struct sim_world *world, void *arg)
{
    struct so_client *client = arg;
    struct state_ops *ops = ops_of(world);
    struct hs *hs = hs_at(world, client->node);

    client->ticking = false;
    if (hs == NULL || !sim_node_running(hs->hm.node) || (hs->leaves && client->state == SO_IDLE)) {
        if (ops->on || client->state != SO_IDLE)
            so_tick_in(ops, client, DOWN_MS);
        return;
    }
    if (client->state == SO_IDLE && ops->on)
        do_something(ops, client, hs);
    else if (client->state == SO_THINKS)
        so_thought(ops, client, hs);
}

static struct state_ops *ops_of(struct sim_world *world)
{
    return ((struct hs_world *)sim_user(world))->ops;
}

/* ---- what comes back ---- */

void so_done(struct state_ops *ops, struct hs *hs, uint64_t id, const struct dvar_result *result)
{
    struct so_client *client = map64_remove(&ops->by_id, id);
    enum so_state state;

    if (client == NULL)
        return; /* of a probe, or the scenario's own */
    state = client->state;
    so_outcome(ops, client, result);
    if (state == SO_WAITS) {
        so_idle(ops, client, client->entry.outcome == HISTORY_OK);
        return;
    }
    if (state == SO_READS && client->entry.outcome == HISTORY_OK)
        client->read = client->entry.value == HISTORY_ABSENT
                           ? 0
                           : ops->history.texts[client->entry.value].number;
    if (state == SO_WRITES && client->entry.outcome == HISTORY_OK)
        so_judge_count(ops, client);
    if (state == SO_WRITES)
        client->entry.op = HISTORY_UNLOCK; /* what comes next */
    (void)hs;
    so_think(ops, client);
}

void so_gone(struct state_ops *ops, struct hs *hs)
{
    so_avail_gone(ops, sim_node_index(hs->hm.node));
    for (size_t i = 0; i < ops->clients_n; i++) {
        struct so_client *client = &ops->clients[i];

        if (client->node != sim_node_index(hs->hm.node) || client->boot_no != hs->self.boot_no ||
            client->state == SO_IDLE)
            continue;
        map64_remove(&ops->by_id, client->id);
        map64_remove(&ops->by_id, client->waiter);
        if (client->state != SO_THINKS && client->state != SO_ACQUIRES &&
            client->entry.op != HISTORY_GET) {
            client->entry.outcome = HISTORY_UNKNOWN;
            client->entry.end_ns = HISTORY_NEVER;
            so_record_parts(ops, client);
        }
        ops->inside_n -= client->state >= SO_READS;
        so_idle(ops, client, true);
    }
}

/* ---- life ---- */

void so_init(struct state_ops *ops,
             struct hs_world *hw,
             struct sim_world *world,
             struct oracle_view *view,
             size_t per_node)
{
    memset(ops, 0, sizeof(*ops));
    ops->hw = hw;
    ops->world = world;
    ops->view = view;
    ops->period_ms = PERIOD_MS;
    ops->clients_n = per_node * sim_nodes_n(world);
    ops->clients = sim_realloc(NULL, ops->clients_n + 1, sizeof(*ops->clients));
    memset(ops->clients, 0, (ops->clients_n + 1) * sizeof(*ops->clients));
    for (size_t i = 0; i < ops->clients_n; i++) {
        ops->clients[i].number = (uint32_t)i + 1;
        ops->clients[i].node = i % sim_nodes_n(world);
    }
    for (size_t i = 0; i < SO_VARIABLES_N; i++)
        ops->names[i] = history_text(&ops->history, so_variable_names[i]);
    for (size_t i = 0; i < SO_VARIABLES_N; i++) {
        char text[64];

        for (size_t part = 0; so_is_array(i) && part < SO_PARTS; part++) {
            snprintf(text, sizeof(text), "%s/%zu", so_variable_names[i], part);
            ops->part_names[i][part] = history_text(&ops->history, text);
        }
    }
    ops->watches = sim_realloc(NULL, sim_nodes_n(world), sizeof(*ops->watches));
    memset(ops->watches, 0, sim_nodes_n(world) * sizeof(*ops->watches));
    so_avail_init(ops);
    for (size_t i = 0; i < SO_LOCKS_N; i++)
        ops->lock_names[i] = history_text(&ops->history, so_lock_names[i]);
}

void so_deinit(struct state_ops *ops)
{
    for (size_t i = 0; i < SO_EXCLUSIVE_N; i++)
        map64_deinit(&ops->guarded_values[i]);
    so_avail_deinit(ops);
    free(ops->watches);
    map64_deinit(&ops->by_id);
    history_line_deinit(&ops->line);
    history_deinit(&ops->history);
    free(ops->clients);
}

void so_start(struct state_ops *ops)
{
    ops->on = true;
    for (size_t i = 0; i < ops->clients_n; i++)
        so_idle(ops, &ops->clients[i], true);
}

void so_stop(struct state_ops *ops)
{
    ops->on = false;
}

size_t so_pending(const struct state_ops *ops, const struct so_client **which_out)
{
    size_t n = 0;

    for (size_t i = 0; i < ops->clients_n; i++) {
        if (ops->clients[i].state == SO_IDLE)
            continue;
        n++;
        *which_out = &ops->clients[i];
    }
    return n;
}

/* ---- in peace ---- */

void so_peace(struct state_ops *ops)
{
    ops->peace_ms = sim_world_ms(ops->world);
    memset(ops->peace_version, 0, sizeof(ops->peace_version));
    memset(ops->peace_wrote_ns, 0, sizeof(ops->peace_wrote_ns));
    memset(ops->peace_gone_ns, 0, sizeof(ops->peace_gone_ns));
}

bool so_waits(struct state_ops *ops, char *out, size_t out_bytes)
{
    if (!ops->variables_on)
        return false;
    return so_watch_waits(ops, out, out_bytes) || so_avail_waits(ops, out, out_bytes);
}
