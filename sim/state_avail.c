/*
 * Available variables: each client writes at its own node, at once, whatever is cut. What must hold
 * is seen when there is peace: every node has the same, with all that was written where no node
 * stopped since, and nothing that nobody wrote.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "dvar/avail.h"
#include "kith/error.h"
#include "queue.h"
#include "state_ops_internal.h"

#define ITEMS_MAX 200 /* of the set: then it only shrinks */

enum so_kind { A_LWW, A_MAX, A_MIN, A_COUNT, A_SET, A_BOTH, A_KINDS_N };

static const struct {
    const char *name;
    uint8_t merge, type;
} kinds[A_KINDS_N] = {
    [A_LWW] = {"avail-lww", AVAIL_LWW, VALUE_I64},
    [A_MAX] = {"avail-max", AVAIL_MAX, VALUE_I64},
    [A_MIN] = {"avail-min", AVAIL_MIN, VALUE_I64},
    [A_COUNT] = {"avail-count", AVAIL_COUNTER, VALUE_I64},
    [A_SET] = {"avail-set", AVAIL_SET, VALUE_BYTES | VALUE_ARRAY},
    [A_BOTH] = {"avail-both", AVAIL_KEEP_BOTH, VALUE_I64},
};

/* What one node did in its present boot: it is not lost. */
struct part {
    int64_t added;
    int64_t max, min;
    bool has_max, has_min;
};

enum item_state {
    ITEM_UNSURE,   /* the node that inserted it has stopped since */
    ITEM_IN,       /* it must be there */
    ITEM_REMOVING, /* somebody removed it, and has stopped since */
    ITEM_REMOVED,  /* it must not */
};

struct item {
    enum item_state state;
    uint32_t node; /* whose boot the state is of */
};

struct so_avail {
    struct part *parts;              /* by node */
    struct map64 written[A_KINDS_N]; /* values of registers */
    struct item *items;              /* from 1 on */
    size_t items_n, items_cap;
    int64_t added;    /* by all, ever */
    int64_t max, min; /* of all, ever */
    int64_t value;
    struct avail_value read;
};

void so_avail_init(struct state_ops *ops)
{
    struct so_avail *avail = sim_realloc(NULL, 1, sizeof(*avail));
    size_t n = sim_nodes_n(ops->world);

    memset(avail, 0, sizeof(*avail));
    avail->parts = sim_realloc(NULL, n, sizeof(*avail->parts));
    memset(avail->parts, 0, n * sizeof(*avail->parts));
    avail->max = INT64_MIN;
    avail->min = INT64_MAX;
    ops->avail = avail;
}

void so_avail_deinit(struct state_ops *ops)
{
    for (size_t i = 0; i < A_KINDS_N; i++)
        map64_deinit(&ops->avail->written[i]);
    avail_value_deinit(&ops->avail->read);
    free(ops->avail->parts);
    free(ops->avail->items);
    free(ops->avail);
}

void so_avail_gone(struct state_ops *ops, size_t node)
{
    struct so_avail *avail = ops->avail;

    avail->parts[node] = (struct part){0};
    for (size_t i = 0; i < avail->items_n; i++) {
        struct item *item = &avail->items[i];

        if (item->node == node && item->state == ITEM_IN)
            item->state = ITEM_UNSURE;
        else if (item->node == node && item->state == ITEM_REMOVED)
            item->state = ITEM_REMOVING;
    }
}

/* ---- writing ---- */

static void do_op(struct state_ops *ops, struct hs *hs, enum so_kind kind, struct avail_op *op)
{
    int code;

    op->id = 1;
    op->name = kinds[kind].name;
    op->merge = kinds[kind].merge;
    op->type = kinds[kind].type;
    code = hs_avail_op(hs, op);
    if (code != 0 &&
        !(code == KITH_E_NOT_FOUND && (op->kind == AVAIL_OP_DELETE || op->kind == AVAIL_OP_REMOVE)))
        sim_violation(ops->world, "'%s' of node %zu: operation %u ends with %s", op->name,
                      sim_node_index(hs->hm.node), op->kind, kith_error_name(code));
}

static void do_register(struct state_ops *ops, struct hs *hs, enum so_kind kind)
{
    struct so_avail *avail = ops->avail;
    struct avail_op op = {.kind = AVAIL_OP_SET};
    uint8_t number[8];

    if (kind == A_LWW && rng_below(sim_rng(ops->world), 20) == 0) {
        op.kind = AVAIL_OP_DELETE;
        do_op(ops, hs, kind, &op);
        return;
    }
    put_le64(number, (uint64_t)++avail->value);
    op.data = (struct kith_bytes){.data = number, .len = 8};
    if (map64_set(&avail->written[kind], (uint64_t)avail->value, ops) < 0)
        abort();
    do_op(ops, hs, kind, &op);
}

static void do_bound(struct state_ops *ops, struct hs *hs, enum so_kind kind)
{
    struct so_avail *avail = ops->avail;
    struct part *part = &avail->parts[sim_node_index(hs->hm.node)];
    int64_t value = (int64_t)rng_below(sim_rng(ops->world), UINT64_C(1) << 40);
    struct avail_op op = {.kind = AVAIL_OP_SET};
    uint8_t number[8];

    put_le64(number, (uint64_t)value);
    op.data = (struct kith_bytes){.data = number, .len = 8};
    do_op(ops, hs, kind, &op);
    if (kind == A_MAX && (!part->has_max || value > part->max))
        part->max = value;
    if (kind == A_MIN && (!part->has_min || value < part->min))
        part->min = value;
    part->has_max = part->has_max || kind == A_MAX;
    part->has_min = part->has_min || kind == A_MIN;
    if (kind == A_MAX && value > avail->max)
        avail->max = value;
    if (kind == A_MIN && value < avail->min)
        avail->min = value;
}

static void do_add(struct state_ops *ops, struct hs *hs)
{
    int64_t delta = 1 + (int64_t)rng_below(sim_rng(ops->world), 3);

    do_op(ops, hs, A_COUNT, &(struct avail_op){.kind = AVAIL_OP_ADD, .delta = delta});
    ops->avail->added += delta;
    ops->avail->parts[sim_node_index(hs->hm.node)].added += delta;
}

static void do_insert(struct state_ops *ops, struct hs *hs)
{
    struct so_avail *avail = ops->avail;
    uint8_t number[8];
    struct kith_bytes item = {.data = number, .len = sizeof(number)};

    if (avail->items_n == avail->items_cap) {
        avail->items_cap = avail->items_cap > 0 ? 2 * avail->items_cap : 64;
        avail->items = sim_realloc(avail->items, avail->items_cap, sizeof(*avail->items));
    }
    put_le64(number, avail->items_n);
    avail->items[avail->items_n++] =
        (struct item){.state = ITEM_IN, .node = (uint32_t)sim_node_index(hs->hm.node)};
    do_op(ops, hs, A_SET,
          &(struct avail_op){.kind = AVAIL_OP_INSERT, .items = &item, .items_n = 1});
}

/* One that is here: each was inserted once, so whoever sees it removes it for good. */
static void do_remove(struct state_ops *ops, struct hs *hs)
{
    struct so_avail *avail = ops->avail;
    struct kith_bytes item;
    uint64_t at;
    uint32_t n;

    if (avail_get(hs->avail, kinds[A_SET].name, &avail->read) != 0)
        return;
    n = value_data_count(kinds[A_SET].type, avail->read.data.data, avail->read.data.len);
    if (n == 0)
        return;
    item = value_data_element(kinds[A_SET].type, avail->read.data.data, avail->read.data.len,
                              (uint32_t)rng_below(sim_rng(ops->world), n));
    at = get_le64(item.data);
    do_op(ops, hs, A_SET,
          &(struct avail_op){.kind = AVAIL_OP_REMOVE, .items = &item, .items_n = 1});
    if (at < avail->items_n && avail->items[at].state != ITEM_REMOVED)
        avail->items[at] =
            (struct item){.state = ITEM_REMOVED, .node = (uint32_t)sim_node_index(hs->hm.node)};
}

void so_do_avail(struct state_ops *ops, struct so_client *client, struct hs *hs)
{
    struct rng *rng = sim_rng(ops->world);
    enum so_kind kind = (enum so_kind)rng_below(rng, A_KINDS_N);

    switch (kind) {
    case A_LWW:
    case A_BOTH:
        do_register(ops, hs, kind);
        break;
    case A_MAX:
    case A_MIN:
        do_bound(ops, hs, kind);
        break;
    case A_COUNT:
        do_add(ops, hs);
        break;
    default:
        if (ops->avail->items_n < ITEMS_MAX && rng_below(rng, 3) != 0)
            do_insert(ops, hs);
        else
            do_remove(ops, hs);
        break;
    }
    hs_pump(hs);
    so_idle(ops, client, true);
}

/* ---- in peace ---- */

bool so_avail_waits(struct state_ops *ops, char *out, size_t out_bytes)
{
    struct hs *first = hs_at(ops->world, 0);

    if (ops->wall_steps || first == NULL)
        return false;
    for (size_t i = 1; i < sim_nodes_n(ops->world); i++) {
        struct hs *hs = hs_at(ops->world, i);

        if (hs == NULL || avail_digest(hs->avail) == avail_digest(first->avail))
            continue;
        snprintf(out, out_bytes, "available variables of nodes 0 and %zu differ", i);
        return true;
    }
    return false;
}

static void judge_bounds(struct state_ops *ops, size_t node, enum so_kind kind, int64_t value)
{
    struct so_avail *avail = ops->avail;
    int64_t low = kind == A_COUNT ? 0 : INT64_MIN;
    int64_t high = kind == A_COUNT ? avail->added : kind == A_MAX ? avail->max : INT64_MAX;

    if (kind == A_MIN)
        low = avail->min;
    for (size_t i = 0; i < sim_nodes_n(ops->world); i++) {
        const struct part *part = &avail->parts[i];

        if (kind == A_COUNT)
            low += part->added;
        if (kind == A_MAX && part->has_max && part->max > low)
            low = part->max;
        if (kind == A_MIN && part->has_min && part->min < high)
            high = part->min;
    }
    if (value < low || value > high)
        sim_violation(ops->world,
                      "'%s' is %" PRId64 " on node %zu; what was written there and elsewhere makes "
                      "%" PRId64 " to %" PRId64,
                      kinds[kind].name, value, node, low, high);
}

static void judge_written(struct state_ops *ops, size_t node, enum so_kind kind, uint64_t value)
{
    if (map64_find(&ops->avail->written[kind], value) == NULL)
        sim_violation(ops->world, "'%s' is %" PRIu64 " on node %zu, which nobody wrote",
                      kinds[kind].name, value, node);
}

static void judge_set(struct state_ops *ops, size_t node, const struct avail_value *read)
{
    struct so_avail *avail = ops->avail;
    uint32_t n = value_data_count(read->type, read->data.data, read->data.len);
    bool *is_in = sim_realloc(NULL, avail->items_n + 1, sizeof(*is_in));

    memset(is_in, 0, (avail->items_n + 1) * sizeof(*is_in));
    for (uint32_t i = 0; i < n; i++) {
        uint64_t at =
            get_le64(value_data_element(read->type, read->data.data, read->data.len, i).data);

        if (at >= avail->items_n)
            sim_violation(ops->world, "the set of node %zu has an item that nobody inserted", node);
        else
            is_in[at] = true;
    }
    for (size_t i = 0; i < avail->items_n; i++) {
        if ((avail->items[i].state == ITEM_IN && !is_in[i]) ||
            (avail->items[i].state == ITEM_REMOVED && is_in[i]))
            sim_violation(ops->world, "item %zu of the set %s on node %zu", i,
                          is_in[i] ? "was removed and is there" : "is gone", node);
    }
    free(is_in);
}

static void judge_kind(struct state_ops *ops, struct hs *hs, enum so_kind kind)
{
    struct avail_value *read = &ops->avail->read;
    size_t node = sim_node_index(hs->hm.node);

    if (avail_get(hs->avail, kinds[kind].name, read) != 0) {
        if (kind == A_COUNT)
            judge_bounds(ops, node, kind, 0);
        return;
    }
    if (kind == A_SET) {
        judge_set(ops, node, read);
    } else if (kind == A_BOTH) {
        uint8_t type = VALUE_BYTES | VALUE_ARRAY;
        uint32_t n = value_data_count(type, read->data.data, read->data.len);

        for (uint32_t i = 0; i < n; i++)
            judge_written(
                ops, node, kind,
                get_le64(value_data_element(type, read->data.data, read->data.len, i).data));
    } else if (read->data.len >= 8) {
        int64_t value = (int64_t)get_le64(read->data.data);

        if (kind == A_LWW)
            judge_written(ops, node, kind, (uint64_t)value);
        else
            judge_bounds(ops, node, kind, value);
    }
}

void so_judge_avail(struct state_ops *ops)
{
    if (!ops->variables_on || ops->wall_steps)
        return;
    for (size_t i = 0; i < sim_nodes_n(ops->world); i++) {
        struct hs *hs = hs_at(ops->world, i);

        for (size_t kind = 0; hs != NULL && kind < A_KINDS_N; kind++)
            judge_kind(ops, hs, (enum so_kind)kind);
    }
}
