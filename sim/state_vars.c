/*
 * What clients do to consistent variables.
 */
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "queue.h"
#include "state_ops_internal.h"

#define TIMEOUT_MS_MAX 10000
#define BIG_BYTES      (100 * 1024)

struct so_request {
    struct value_op op;
    uint8_t numbers[8 * SO_PARTS], expect[8];
};

static void put_value(struct so_request *r, int64_t value)
{
    put_le64(r->numbers, (uint64_t)value);
    r->op.type = VALUE_I64;
    r->op.data = r->numbers;
    r->op.data_len = 8;
}

void so_begin(struct state_ops *ops,
              struct so_client *client,
              struct hs *hs,
              size_t variable,
              enum history_op kind)
{
    client->boot_no = hs->self.boot_no;
    client->variable = variable;
    client->part = 0;
    client->parts_n = so_is_array(variable) ? SO_PARTS : 0;
    client->entry = (struct history_entry){.client = client->number,
                                           .op = (uint8_t)kind,
                                           .name = ops->names[variable],
                                           .start_ns = so_now(ops)};
}

void so_submit(struct state_ops *ops, struct so_client *client, struct hs *hs, struct value_op *op)
{
    uint64_t timeout_ms = 500 + rng_below(sim_rng(ops->world), TIMEOUT_MS_MAX);

    so_wait_for(ops, client, hs_next_id(ops->hw));
    op->policy = so_is_durable(client->variable) ? VALUE_DURABLE : VALUE_VOLATILE;
    client->deadline_ms = hs_now_ms(hs) + timeout_ms;
    hs_op(hs, client->id, so_variable_names[client->variable], op, timeout_ms);
    hs_pump(hs);
}

/* ---- whole variables ---- */

static void do_set(struct state_ops *ops, struct so_client *client, struct hs *hs, size_t variable)
{
    static uint8_t big[BIG_BYTES];
    struct so_request r = {.op = {.kind = VALUE_OP_SET}};

    so_begin(ops, client, hs, variable, HISTORY_SET);
    put_value(&r, ++ops->value);
    if (variable == SO_BIG) {
        memset(big, (int)(ops->value & 0xff), sizeof(big));
        put_le64(big, (uint64_t)ops->value);
        r.op.type = VALUE_BYTES;
        r.op.data = big;
        r.op.data_len = sizeof(big);
    }
    client->entry.arg = history_number(&ops->history, ops->value);
    so_submit(ops, client, hs, &r.op);
}

static void do_get(struct state_ops *ops, struct so_client *client, struct hs *hs, size_t variable)
{
    struct value_op op = {.kind = VALUE_OP_GET};

    so_begin(ops, client, hs, variable, HISTORY_GET);
    so_submit(ops, client, hs, &op);
}

/* Compares with what it saw last, by value or by version. */
static void do_cas(struct state_ops *ops, struct so_client *client, struct hs *hs, size_t variable)
{
    struct so_request r = {.op = {.kind = VALUE_OP_CAS_VALUE}};
    uint32_t expect = client->seen[variable];

    so_begin(ops, client, hs, variable, HISTORY_CAS);
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
    so_submit(ops, client, hs, &r.op);
}

/* The first one stands: a CAS that expects nothing to be there. */
static void do_once(struct state_ops *ops, struct so_client *client, struct hs *hs)
{
    struct so_request r = {.op = {.kind = VALUE_OP_ONCE}};

    so_begin(ops, client, hs, SO_ONCE, HISTORY_CAS);
    put_value(&r, ++ops->value);
    client->entry.arg = history_number(&ops->history, ops->value);
    so_submit(ops, client, hs, &r.op);
}

static void do_incr(struct state_ops *ops, struct so_client *client, struct hs *hs, size_t variable)
{
    struct value_op op = {.kind = VALUE_OP_ADD, .type = VALUE_I64, .delta = 1};

    so_begin(ops, client, hs, variable, HISTORY_INCR);
    client->entry.arg = history_number(&ops->history, 1);
    so_submit(ops, client, hs, &op);
}

static void do_del(struct state_ops *ops, struct so_client *client, struct hs *hs, size_t variable)
{
    struct value_op op = {.kind = VALUE_OP_DELETE};

    so_begin(ops, client, hs, variable, HISTORY_DEL);
    so_submit(ops, client, hs, &op);
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
    so_saw(ops, client->number, variable, &value, version, so_now(ops));
    return true;
}

/* ---- arrays ---- */

/* Some elements, or the whole array, which makes it if it is absent. */
static void
write_parts(struct state_ops *ops, struct so_client *client, struct hs *hs, size_t variable)
{
    struct rng *rng = sim_rng(ops->world);
    struct so_request r = {.op = {.kind = VALUE_OP_SLICE_SET, .type = VALUE_I64 | VALUE_ARRAY}};

    so_begin(ops, client, hs, variable, HISTORY_SET);
    if (client->seen_version[variable] == 0 || rng_below(rng, 4) == 0) {
        r.op.kind = VALUE_OP_SET;
    } else {
        client->part = (size_t)rng_below(rng, SO_PARTS);
        client->parts_n = 1 + (size_t)rng_below(rng, SO_PARTS - client->part);
    }
    for (size_t i = 0; i < client->parts_n; i++) {
        put_le64(r.numbers + 8 * i, (uint64_t)++ops->value);
        client->args[i] = history_number(&ops->history, ops->value);
    }
    r.op.data = r.numbers;
    r.op.data_len = 8 * client->parts_n;
    r.op.index = (uint32_t)client->part;
    so_submit(ops, client, hs, &r.op);
}

static void
read_parts(struct state_ops *ops, struct so_client *client, struct hs *hs, size_t variable)
{
    struct rng *rng = sim_rng(ops->world);
    struct value_op op = {.kind = VALUE_OP_GET};

    so_begin(ops, client, hs, variable, HISTORY_GET);
    if (rng_below(rng, 2) == 0) {
        client->part = (size_t)rng_below(rng, SO_PARTS);
        client->parts_n = 1 + (size_t)rng_below(rng, SO_PARTS - client->part);
        op.kind = VALUE_OP_SLICE_GET;
        op.index = (uint32_t)client->part;
        op.count = (uint32_t)client->parts_n;
    }
    so_submit(ops, client, hs, &op);
}

/* ---- one of them ---- */

static bool is_deleted(size_t variable)
{
    return variable == SO_VOLATILE_D || variable == SO_DURABLE_D || variable == SO_ARRAY_D;
}

static void write_one(
    struct state_ops *ops, struct so_client *client, struct hs *hs, size_t variable, uint64_t what)
{
    if (what >= 96 && is_deleted(variable))
        do_del(ops, client, hs, variable);
    else if (variable == SO_COUNT || variable == SO_COUNT_D)
        do_incr(ops, client, hs, variable);
    else if (so_is_array(variable))
        write_parts(ops, client, hs, variable);
    else if (variable == SO_ONCE)
        do_once(ops, client, hs);
    else if (what < 75 || variable == SO_BIG)
        do_set(ops, client, hs, variable);
    else
        do_cas(ops, client, hs, variable);
}

void so_do_variable(struct state_ops *ops, struct so_client *client, struct hs *hs)
{
    struct rng *rng = sim_rng(ops->world);
    size_t variable = (size_t)rng_below(rng, SO_VARIABLES_N);
    uint64_t what = rng_below(rng, 100);

    if ((variable == SO_BIG || variable == SO_ONCE) && rng_below(rng, 8) != 0)
        variable = SO_VOLATILE;
    /* Cells first; what cannot be read there is asked for. */
    if (what < 30 && do_cell(ops, client, hs, variable)) {
        so_idle(ops, client, true);
        return;
    }
    client->state = SO_WAITS;
    if (what >= 50 && variable < SO_GUARDED)
        write_one(ops, client, hs, variable, what);
    else if (so_is_array(variable))
        read_parts(ops, client, hs, variable);
    else
        do_get(ops, client, hs, variable);
}
