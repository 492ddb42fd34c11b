#include "state_ops.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "kith/error.h"
#include "queue.h"
#include "state_ops_internal.h"

#define TIMEOUT_MS_MAX 10000
#define DOWN_MS        300 /* a client looks so often whether its node is back */
#define BIG_BYTES      (100 * 1024)
#define THINK_MS_MAX   40
#define THINK_MS_LONG  6000 /* now and then: longer than a lease */

const char *const so_variable_names[SO_VARIABLES_N] = {
    [SO_VOLATILE] = "volatile",
    [SO_VOLATILE_D] = "volatile-d",
    [SO_DURABLE] = "durable",
    [SO_DURABLE_D] = "durable-d",
    [SO_COUNT] = "count",
    [SO_COUNT_D] = "count-d",
    [SO_BIG] = "big",
    [SO_GUARDED] = "guarded",
    [SO_GUARDED_D] = "guarded-d",
};
const char *const so_lock_names[SO_LOCKS_N] = {"lock", "lock-d"};

static bool is_durable(size_t variable)
{
    return variable == SO_DURABLE || variable == SO_DURABLE_D || variable == SO_COUNT_D ||
           variable == SO_GUARDED_D;
}

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

static void tick_in(struct state_ops *ops, struct so_client *client, uint64_t ms)
{
    if (client->ticking)
        return;
    client->ticking = true;
    sim_at_ns(ops->world,
              sim_world_ns(ops->world) + ms * 1000000 + rng_below(sim_rng(ops->world), 1000000),
              tick, client);
}

static void idle(struct state_ops *ops, struct so_client *client)
{
    client->state = SO_IDLE;
    client->waiter = 0;
    client->lost = false;
    if (ops->on)
        tick_in(ops, client, rng_below(sim_rng(ops->world), 2 * ops->period_ms + 1));
}

/* ---- operations ---- */

struct so_request {
    struct value_op op;
    uint8_t number[8], expect[8];
};

static void put_value(struct so_request *r, int64_t value)
{
    put_le64(r->number, (uint64_t)value);
    r->op.type = VALUE_I64;
    r->op.data = r->number;
    r->op.data_len = 8;
}

static void begin(struct state_ops *ops,
                  struct so_client *client,
                  struct hs *hs,
                  size_t variable,
                  enum history_op kind)
{
    client->id = hs_next_id(ops->hw);
    client->boot_no = hs->self.boot_no;
    client->entry = (struct history_entry){.client = client->number,
                                           .op = (uint8_t)kind,
                                           .name = ops->names[variable],
                                           .start_ns = so_now(ops)};
    if (map64_set(&ops->by_id, client->id, client) < 0)
        abort();
}

static void submit(struct state_ops *ops,
                   struct so_client *client,
                   struct hs *hs,
                   size_t variable,
                   struct value_op *op)
{
    uint64_t timeout_ms = 500 + rng_below(sim_rng(ops->world), TIMEOUT_MS_MAX);

    op->policy = is_durable(variable) ? VALUE_DURABLE : VALUE_VOLATILE;
    client->deadline_ms = hs_now_ms(hs) + timeout_ms;
    hs_op(hs, client->id, so_variable_names[variable], op, timeout_ms);
    hs_pump(hs);
}

static void do_set(struct state_ops *ops, struct so_client *client, struct hs *hs, size_t variable)
{
    static uint8_t big[BIG_BYTES];
    struct so_request r = {.op = {.kind = VALUE_OP_SET}};

    begin(ops, client, hs, variable, HISTORY_SET);
    put_value(&r, ++ops->value);
    if (variable == SO_BIG) {
        memset(big, (int)(ops->value & 0xff), sizeof(big));
        put_le64(big, (uint64_t)ops->value);
        r.op.type = VALUE_BYTES;
        r.op.data = big;
        r.op.data_len = sizeof(big);
    }
    client->entry.arg = history_number(&ops->history, ops->value);
    submit(ops, client, hs, variable, &r.op);
}

static void do_get(struct state_ops *ops, struct so_client *client, struct hs *hs, size_t variable)
{
    struct value_op op = {.kind = VALUE_OP_GET};

    begin(ops, client, hs, variable, HISTORY_GET);
    submit(ops, client, hs, variable, &op);
}

/* Compares with what it saw last, by value or by version. */
static void do_cas(struct state_ops *ops, struct so_client *client, struct hs *hs, size_t variable)
{
    struct so_request r = {.op = {.kind = VALUE_OP_CAS_VALUE}};
    uint32_t expect = client->seen[variable];

    begin(ops, client, hs, variable, HISTORY_CAS);
    put_value(&r, ++ops->value);
    client->entry.arg = history_number(&ops->history, ops->value);
    client->entry.expect = expect;
    if (rng_below(sim_rng(ops->world), 2) == 0 &&
        (client->seen_version[variable] != 0 || expect == HISTORY_ABSENT)) {
        r.op.kind = VALUE_OP_CAS_VERSION;
        r.op.expect_version = client->seen_version[variable];
    } else if (expect != HISTORY_ABSENT) {
        put_le64(r.expect, (uint64_t)ops->history.texts[expect].number);
        r.op.expect_type = VALUE_I64;
        r.op.expect = r.expect;
        r.op.expect_len = 8;
    }
    submit(ops, client, hs, variable, &r.op);
}

static void do_incr(struct state_ops *ops, struct so_client *client, struct hs *hs, size_t variable)
{
    struct value_op op = {.kind = VALUE_OP_ADD, .type = VALUE_I64, .delta = 1};

    begin(ops, client, hs, variable, HISTORY_INCR);
    client->entry.arg = history_number(&ops->history, 1);
    submit(ops, client, hs, variable, &op);
}

static void do_del(struct state_ops *ops, struct so_client *client, struct hs *hs, size_t variable)
{
    struct value_op op = {.kind = VALUE_OP_DELETE};

    begin(ops, client, hs, variable, HISTORY_DEL);
    submit(ops, client, hs, variable, &op);
}

/* As any thread reads: at once, or not at all. */
static bool do_cell(struct state_ops *ops, struct so_client *client, struct hs *hs, size_t variable)
{
    struct value value;
    uint64_t version;

    if (!hs_cell_read(hs, variable, &value, &version))
        return false;
    ops->reads_by_cell_n++;
    sim_op(ops->world);
    so_record(ops, &(struct history_entry){
                       .client = client->number,
                       .op = HISTORY_GET,
                       .name = ops->names[variable],
                       .valued = true,
                       .value = value.type == VALUE_NONE
                                    ? HISTORY_ABSENT
                                    : history_number(&ops->history, (int64_t)get_le64(value.data)),
                       .version = value.type == VALUE_NONE ? 0 : version,
                       .start_ns = so_now(ops),
                       .end_ns = so_now(ops)});
    return true;
}

static void do_variable(struct state_ops *ops, struct so_client *client, struct hs *hs)
{
    struct rng *rng = sim_rng(ops->world);
    size_t variable = (size_t)rng_below(rng, SO_VARIABLES_N);
    uint64_t what = rng_below(rng, 100);

    if (variable == SO_BIG && rng_below(rng, 4) != 0)
        variable = SO_VOLATILE;
    /* Cells first; what cannot be read there is asked for. */
    if (what < 30 && do_cell(ops, client, hs, variable)) {
        idle(ops, client);
        return;
    }
    client->state = SO_WAITS;
    if (what < 50 || variable >= SO_GUARDED)
        do_get(ops, client, hs, variable);
    else if (variable == SO_COUNT || variable == SO_COUNT_D)
        do_incr(ops, client, hs, variable);
    else if (what < 75 || variable == SO_BIG)
        do_set(ops, client, hs, variable);
    else if (what < 96 || (variable != SO_VOLATILE_D && variable != SO_DURABLE_D))
        do_cas(ops, client, hs, variable);
    else
        do_del(ops, client, hs, variable);
}

/* ---- sections ---- */

static void do_acquire(struct state_ops *ops, struct so_client *client, struct hs *hs)
{
    struct rng *rng = sim_rng(ops->world);
    struct mutex_acquire acquire = {.waiter = hs_next_id(ops->hw)};

    client->lock = (size_t)rng_below(rng, SO_LOCKS_N);
    client->state = SO_ACQUIRES;
    begin(ops, client, hs, SO_GUARDED, HISTORY_LOCK);
    client->entry.name = ops->lock_names[client->lock];
    map64_remove(&ops->by_id, client->id);
    client->id = acquire.waiter;
    if (map64_set(&ops->by_id, client->id, client) < 0)
        abort();
    client->waiter = acquire.waiter;
    client->deadline_ms = hs_now_ms(hs) + 500 + rng_below(rng, 2 * TIMEOUT_MS_MAX);
    acquire.name = so_lock_names[client->lock];
    acquire.owner = client->number;
    acquire.deadline_ms = client->deadline_ms;
    acquire.try_only = rng_below(rng, 8) == 0;
    hs_acquire(hs, &acquire);
    hs_pump(hs);
}

static void fenced(struct value_op *op, const struct so_client *client)
{
    op->flags |= VALUE_OP_FENCE;
    op->mutex = so_lock_names[client->lock];
    op->mutex_len = (uint8_t)strlen(op->mutex);
    op->fence = client->fence;
}

static void do_guarded_read(struct state_ops *ops, struct so_client *client, struct hs *hs)
{
    struct value_op op = {.kind = VALUE_OP_GET};

    client->state = SO_READS;
    begin(ops, client, hs, SO_GUARDED + client->lock, HISTORY_GET);
    client->entry.fence = client->fence;
    fenced(&op, client);
    submit(ops, client, hs, SO_GUARDED + client->lock, &op);
}

static void do_guarded_write(struct state_ops *ops, struct so_client *client, struct hs *hs)
{
    struct so_request r = {.op = {.kind = VALUE_OP_SET}};

    client->state = SO_WRITES;
    begin(ops, client, hs, SO_GUARDED + client->lock, HISTORY_SET);
    client->entry.fence = client->fence;
    client->entry.arg = history_number(&ops->history, client->read + 1);
    put_value(&r, client->read + 1);
    fenced(&r.op, client);
    if (client->fence % 2 == 0)
        r.op.flags |= VALUE_OP_LAST;
    submit(ops, client, hs, SO_GUARDED + client->lock, &r.op);
}

static void leave(struct state_ops *ops, struct so_client *client, struct hs *hs)
{
    struct history_entry entry = {.client = client->number,
                                  .op = HISTORY_UNLOCK,
                                  .outcome = HISTORY_FAILED,
                                  .name = ops->lock_names[client->lock],
                                  .fence = client->fence,
                                  .start_ns = so_now(ops),
                                  .end_ns = so_now(ops)};

    map64_remove(&ops->by_id, client->waiter);
    ops->inside_n--;
    if (!client->lost) {
        if (mutex_holds(hs->mutex, client->waiter, hs_now_ms(hs)) != 0)
            entry.outcome = HISTORY_OK;
        if (hs_release(hs, client->waiter) < 0)
            entry.outcome = HISTORY_FAILED;
    }
    so_record(ops, &entry);
    idle(ops, client);
}

/* ---- a client's time has come ---- */

static void act(struct state_ops *ops, struct so_client *client, struct hs *hs)
{
    struct rng *rng = sim_rng(ops->world);

    switch (client->state) {
    case SO_IDLE:
        if (!ops->on)
            return;
        if (ops->mutexes_on && (!ops->variables_on || rng_below(rng, 6) == 0))
            do_acquire(ops, client, hs);
        else
            do_variable(ops, client, hs);
        return;
    case SO_THINKS:
        if (client->entry.op == HISTORY_LOCK && ops->variables_on)
            do_guarded_read(ops, client, hs);
        else if (client->entry.op == HISTORY_GET && client->entry.outcome == HISTORY_OK)
            do_guarded_write(ops, client, hs);
        else {
            leave(ops, client, hs);
            hs_pump(hs);
        }
        return;
    default:
        return;
    }
}

static void tick(struct sim_world *world, void *arg)
{
    struct so_client *client = arg;
    struct state_ops *ops = ops_of(world);
    struct hs *hs = hs_at(world, client->node);

    client->ticking = false;
    if (hs == NULL || !sim_node_running(hs->hm.node)) {
        if (ops->on || client->state != SO_IDLE)
            tick_in(ops, client, DOWN_MS);
        return;
    }
    act(ops, client, hs);
}

static struct state_ops *ops_of(struct sim_world *world)
{
    return ((struct hs_world *)sim_user(world))->ops;
}

/* ---- what comes back ---- */

static void think(struct state_ops *ops, struct so_client *client)
{
    struct rng *rng = sim_rng(ops->world);

    client->state = SO_THINKS;
    tick_in(ops, client, rng_below(rng, rng_below(rng, 100) == 0 ? THINK_MS_LONG : THINK_MS_MAX));
}

void so_done(struct state_ops *ops, struct hs *hs, uint64_t id, const struct dvar_result *result)
{
    struct so_client *client = map64_remove(&ops->by_id, id);
    enum so_state state;

    if (client == NULL)
        return; /* of a probe, or the scenario's own */
    state = client->state;
    so_outcome(ops, client, result);
    if (state == SO_WAITS) {
        idle(ops, client);
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
    think(ops, client);
}

void so_granted(struct state_ops *ops, struct hs *hs, uint64_t waiter, uint64_t fence)
{
    struct so_client *client = map64_find(&ops->by_id, waiter);

    if (client == NULL || client->state != SO_ACQUIRES || so_node(ops, client) != hs) {
        sim_violation(ops->world, "node %zu grants a mutex to nobody who waits",
                      sim_node_index(hs->hm.node));
        return;
    }
    so_judge_grant(ops, client, fence);
    client->fence = fence;
    client->lost = false;
    ops->grants_n++;
    ops->inside_n++;
    client->entry.fence = fence;
    client->entry.end_ns = so_now(ops);
    so_record(ops, &client->entry);
    think(ops, client);
}

void so_ended(struct state_ops *ops, struct hs *hs, uint64_t waiter, int code)
{
    struct so_client *client = map64_remove(&ops->by_id, waiter);

    (void)hs;
    (void)code;
    if (client == NULL || client->state != SO_ACQUIRES) {
        sim_violation(ops->world, "an acquisition ends (%s) that nobody waits for",
                      kith_error_name(code));
        return;
    }
    idle(ops, client);
}

void so_lost(struct state_ops *ops, struct hs *hs, uint64_t waiter, uint64_t fence)
{
    struct so_client *client = map64_find(&ops->by_id, waiter);

    (void)hs;
    if (client == NULL || client->fence != fence || client->state < SO_READS) {
        sim_violation(ops->world, "fence %" PRIu64 " is lost, but nobody has it", fence);
        return;
    }
    ops->lost_n++;
    client->lost = true; /* it goes on: its guarded write must be refused if another one entered */
}

void so_gone(struct state_ops *ops, struct hs *hs)
{
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
            so_record(ops, &client->entry);
        }
        ops->inside_n -= client->state >= SO_READS;
        idle(ops, client);
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
    ops->period_ms = 100;
    ops->clients_n = per_node * sim_nodes_n(world);
    ops->clients = sim_realloc(NULL, ops->clients_n + 1, sizeof(*ops->clients));
    memset(ops->clients, 0, (ops->clients_n + 1) * sizeof(*ops->clients));
    for (size_t i = 0; i < ops->clients_n; i++) {
        ops->clients[i].number = (uint32_t)i + 1;
        ops->clients[i].node = i % sim_nodes_n(world);
    }
    for (size_t i = 0; i < SO_VARIABLES_N; i++)
        ops->names[i] = history_text(&ops->history, so_variable_names[i]);
    for (size_t i = 0; i < SO_LOCKS_N; i++)
        ops->lock_names[i] = history_text(&ops->history, so_lock_names[i]);
}

void so_deinit(struct state_ops *ops)
{
    for (size_t i = 0; i < SO_LOCKS_N; i++)
        map64_deinit(&ops->guarded_values[i]);
    map64_deinit(&ops->by_id);
    history_line_deinit(&ops->line);
    history_deinit(&ops->history);
    free(ops->clients);
}

void so_start(struct state_ops *ops)
{
    ops->on = true;
    for (size_t i = 0; i < ops->clients_n; i++)
        idle(ops, &ops->clients[i]);
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
