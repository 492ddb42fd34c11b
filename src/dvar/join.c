/*
 * Additions of this node that meet before they leave become one: one request, one record, one
 * write, whose answer is taken apart here. Each has its own version and number all the same, as if
 * they had run one after the other.
 *
 * An addition can be joined until its request leaves, or, at the home, until its write begins.
 * Only additions to a whole number that all go the same way join: if their sum fits, so does
 * each step on the way to it. If it does not fit, nothing was added, and each is tried alone.
 */
#include "dvar/internal.h"

#define JOIN_LATE_MS 10 /* an addition may end so long after its deadline, with the others */

static bool can_join(const struct dvar_core *core, const struct var *var, const struct value_op *op)
{
    const struct op *to = var->adds;
    int64_t delta = value_op_delta(to->bytes);
    int64_t sum;
    if (core->stats.held_bytes > core->config.held_bytes_max || to->canceled ||
        to->adds >= DVAR_JOINED_MAX || core->now_ms > to->deadline_ms)
        return false;
    return value_op_flags(to->bytes) == op->flags && value_op_policy(to->bytes) == op->policy &&
           (delta < 0) == (op->delta < 0) && !__builtin_add_overflow(delta, op->delta, &sum);
}

static bool is_joinable(const struct value_op *op)
{
    return op->kind == VALUE_OP_ADD && op->type == VALUE_I64 && (op->flags & VALUE_OP_FENCE) == 0;
}

/* The join of @event with what waits. False: it goes its own way. */
bool join_add(struct dvar_core *core, struct var *var, const struct dvar_event *event)
{
    if (!is_joinable(event->op) || !can_join(core, var, event->op))
        return false;
    struct op *to = var->adds;
    uint64_t deadline_ms = client_op_deadline(core, event->deadline_ms);
    if (deadline_ms > to->deadline_first_ms + JOIN_LATE_MS ||
        deadline_ms + JOIN_LATE_MS < to->deadline_ms)
        return false;
    if (to->joined_n == to->joined_cap) {
        uint32_t cap = to->joined_cap == 0 ? 16 : 2 * to->joined_cap;
        struct joined *joined = core_realloc(to->joined, cap * sizeof(*joined));
        if (joined == NULL)
            return false;
        to->joined = joined;
        to->joined_cap = cap;
    }
    if (deadline_ms > to->deadline_ms) {
        if (heap_set(&core->deadlines, &to->deadline, deadline_ms) != 0)
            return false;
        to->deadline_ms = deadline_ms;
    }
    to->joined[to->joined_n++] = (struct joined){event->id, event->op->delta};
    to->adds++;
    core->stats.held_bytes += sizeof(struct joined);
    core->stats.ops_joined++;
    value_op_sum(to->bytes, to->adds, event->op->delta);
    return true;
}

/* @op is new. True: it waits for the end of the turn, and others may join it. */
bool join_open(struct dvar_core *core, struct op *op, const struct value_op *what)
{
    if (!is_joinable(what))
        return false;
    op->deadline_first_ms = op->deadline_ms;
    if (!op->alone)
        op->var->adds = op;
    list_append(&core->gathered, &op->timer);
    return true;
}

/* The end of the turn: what gathered leaves. */
void join_route(struct dvar_core *core)
{
    while (!list_empty(&core->gathered))
        client_route(core, container_of(list_first(&core->gathered), struct op, timer));
}

/* @op leaves, or is over: nobody joins it any more. */
void join_close(struct op *op)
{
    if (op->var != NULL && op->var->adds == op)
        op->var->adds = NULL;
}

/* What comes now does not join what gathers for @var, and must not overtake it. */
void join_leave(struct dvar_core *core, struct var *var)
{
    struct op *op = var->adds;
    join_close(op);
    if (op->state == OP_WAITING)
        client_route(core, op);
}

void join_free(struct dvar_core *core, struct op *op)
{
    core->stats.held_bytes -= op->joined_n * sizeof(struct joined);
    core_free(op->joined);
    op->joined = NULL;
    op->joined_n = op->joined_cap = 0;
}

/* Each by itself: together they do not fit. False: memory is short. */
static bool try_alone(struct dvar_core *core, struct op *op)
{
    struct value_op add;
    uint64_t own = op->id;
    if (value_op_decode(op->bytes, op->len, &add) != 0)
        return false;
    for (uint32_t i = 0; i < op->joined_n; i++)
        add.delta -= op->joined[i].delta;
    op->id = 0; /* of another request from here on */
    for (uint32_t i = 0; i <= op->joined_n; i++) {
        uint64_t id = i == 0 ? own : op->joined[i - 1].id;
        add.delta = i == 0 ? add.delta : op->joined[i - 1].delta;
        add.count = 1;
        if (id != 0)
            client_add_alone(core, op->var, id, &add, op->deadline_ms);
    }
    return true;
}

/* Makes of the @result of all that of @op itself. False: it has not ended, nor has any that joined
 * it: they were asked for again. */
bool join_share(struct dvar_core *core, struct op *op, struct dvar_result *result)
{
    if (op->joined_n == 0)
        return true;
    if (result->code == KITH_E_LIMIT && !op->canceled && try_alone(core, op))
        return false;
    if (result->code != 0 || !result->applied)
        return true;
    result->version -= op->joined_n;
    for (uint32_t i = 0; i < op->joined_n; i++)
        result->number -= (uint64_t)op->joined[i].delta;
    return true;
}

/* Tells all that joined @op, whose own is @first. */
void join_tell(struct dvar_core *core, const struct op *op, const struct dvar_result *first)
{
    uint64_t number = first->number, version = first->version;
    bool done = first->code == 0 && first->applied;
    for (uint32_t i = 0; i < op->joined_n; i++) {
        if (done) {
            number += (uint64_t)op->joined[i].delta;
            version++;
        }
        struct dvar_result *one = op->joined[i].id != 0
                                      ? op_done(core, op->joined[i].id, first->code, first->text)
                                      : NULL;
        if (one == NULL)
            continue;
        one->applied = first->applied;
        one->type = first->type;
        one->version = version;
        one->number = number;
    }
}

/* Its caller has enough of it. What it joined goes on: whether it was added is not known. */
bool join_cancel(struct dvar_core *core, uint64_t id)
{
    list_for_each (it, &core->ops) {
        struct op *op = container_of(it, struct op, link);
        for (uint32_t i = 0; i < op->joined_n; i++) {
            if (op->joined[i].id != id)
                continue;
            op->joined[i].id = 0;
            op_done(core, id, KITH_E_UNKNOWN_OUTCOME, UNKNOWN_TEXT);
            return true;
        }
    }
    return false;
}
