/*
 * Local operations: each makes a new state of the one that is here.
 */
#include "dvar/avail_internal.h"
#include "dvar/value.h"

static int other_kind(const struct avail_op *op, const struct state *now)
{
    return kith_fail_with(
        KITH_E_TYPE,
        "%s is %s with merge kind %s, not %s with %s; use it as it is, or delete it "
        "first",
        op->name, value_type_name(now->type), avail_merge_name(now->merge),
        value_type_name(op->type), avail_merge_name(op->merge));
}

/* The kind and type that @op works on; both 0 if any. */
static void wanted(const struct avail_op *op, uint8_t *merge, uint8_t *type)
{
    *merge = op->merge;
    *type = op->type;
    if (op->kind == AVAIL_OP_ADD) {
        *merge = AVAIL_COUNTER;
        *type = VALUE_I64;
    } else if (op->kind == AVAIL_OP_INSERT || op->kind == AVAIL_OP_REMOVE) {
        *merge = AVAIL_SET;
    }
}

static int check_items(const struct avail_op *op)
{
    uint8_t type = op->type & (uint8_t)~VALUE_ARRAY;
    size_t total = 0;
    for (size_t i = 0; i < op->items_n; i++) {
        int r = value_data_check(op->name, type, op->items[i].data, op->items[i].len);
        if (r != 0)
            return r;
        total += op->items[i].len;
    }
    return value_data_check(op->name, VALUE_BYTES, NULL, total > INT32_MAX ? INT32_MAX : total);
}

static int check_op(const struct avail_op *op, const struct state *now)
{
    uint8_t merge;
    uint8_t type;
    wanted(op, &merge, &type);
    if (op->kind == AVAIL_OP_JOIN)
        return 0;
    if (op->kind == AVAIL_OP_CAS || op->kind == 0 || op->kind > AVAIL_OP_JOIN)
        return kith_fail_with(
            KITH_E_UNSUPPORTED,
            "%s is available: it is written on both sides of a cut, so nothing can "
            "be compared first; use a merge kind, or a consistent variable",
            op->name);
    if (op->kind == AVAIL_OP_DELETE)
        return state_is_alive(now)
                   ? 0
                   : kith_fail_with(KITH_E_NOT_FOUND, "there is no variable %s", op->name);
    int r = avail_merge_check(op->name, merge, type);
    if (r == 0 && state_is_alive(now) && (now->merge != merge || now->type != type)) {
        struct avail_op shown = *op;
        shown.merge = merge;
        shown.type = type;
        return other_kind(&shown, now);
    }
    if (r != 0)
        return r;
    if (op->kind == AVAIL_OP_INSERT || op->kind == AVAIL_OP_REMOVE)
        return check_items(op);
    if (op->kind == AVAIL_OP_SET && (merge == AVAIL_COUNTER || merge == AVAIL_SET))
        return kith_fail_with(KITH_E_UNSUPPORTED,
                              "%s has merge kind %s, which is not set as a whole; add to it, or "
                              "insert and remove",
                              op->name, avail_merge_name(merge));
    if (op->kind == AVAIL_OP_SET && !state_context_check(op->context.data, op->context.len))
        return kith_fail_with(
            KITH_E_INVALID, "the context of the write of %s is damaged; give the one that was read",
            op->name);
    return op->kind == AVAIL_OP_SET ? value_data_check(op->name, type, op->data.data, op->data.len)
                                    : 0;
}

static int change(const struct avail_op *op,
                  const struct state *now,
                  const struct state_who *who,
                  struct buf *out)
{
    struct state_items items = {0};
    switch (op->kind) {
    case AVAIL_OP_SET:
        if (now->merge != AVAIL_KEEP_BOTH)
            return state_write(now, &op->data, who, out);
        items.add = &op->data;
        items.add_n = 1;
        items.drop_covered = true;
        items.context = op->context;
        return state_edit(now, &items, who, out);
    case AVAIL_OP_ADD:
        return state_add(now, op->delta, who, out);
    case AVAIL_OP_INSERT:
        items.add = op->items;
        items.add_n = op->items_n;
        return state_edit(now, &items, who, out);
    case AVAIL_OP_REMOVE:
        items.drop = op->items;
        items.drop_n = op->items_n;
        return state_edit(now, &items, who, out);
    default:
        return state_delete(now, who, out);
    }
}

/* The state that @op makes of @now to core->scratch. */
static int make(struct avail_core *core, const struct avail_op *op, const struct state *now)
{
    struct state_who who = {.self = &core->config.self, .wall_ms = core->wall_ms};
    struct buf made = {0};
    struct state from = *now;
    uint8_t merge;
    uint8_t type;
    int r = 0;
    wanted(op, &merge, &type);
    core->scratch.len = 0;
    if (op->kind == AVAIL_OP_JOIN) {
        struct avail_entry *entry = avail_find(core, op->name);
        return state_join(entry != NULL ? entry->state : NULL, entry != NULL ? entry->len : 0,
                          op->data.data, op->data.len, &core->scratch);
    }
    if (!state_is_alive(now) && op->kind != AVAIL_OP_DELETE) {
        if (op->kind == AVAIL_OP_REMOVE)
            return kith_fail_with(KITH_E_NOT_FOUND, "there is no variable %s", op->name);
        r = state_create(now, merge, type, &who, &made);
        from = state_view(made.data, made.len);
    }
    if (r == 0 && op->kind == AVAIL_OP_CREATE)
        r = buf_append(&core->scratch, made.data, made.len);
    else if (r == 0)
        r = change(op, &from, &who, &core->scratch);
    buf_deinit(&made);
    if (r != 0)
        return r;
    struct state next = state_view(core->scratch.data, core->scratch.len);
    if (state_parts(&next) > AVAIL_PARTS_MAX && state_parts(&next) > state_parts(now))
        return kith_fail_with(
            KITH_E_LIMIT,
            "%s was changed by %d runs of nodes and takes no others; delete it and "
            "begin anew, or use a consistent variable",
            op->name, AVAIL_PARTS_MAX);
    if (core->scratch.len > AVAIL_WRITTEN_BYTES_MAX && next.len > now->len)
        return kith_fail_with(
            KITH_E_TOO_LARGE,
            "%s would have %zu bytes with its records; an available variable holds "
            "%d at most: remove items first, or split it",
            op->name, core->scratch.len, AVAIL_WRITTEN_BYTES_MAX);
    return 0;
}

static void on_changed(struct avail_core *core, struct avail_entry *entry)
{
    struct avail_action *action = avail_act(core, AVAIL_CHANGED);
    if (action == NULL)
        return;
    action->name = entry->name;
    action->version = entry->version;
}

static int carry_out(struct avail_core *core, const struct avail_op *op, struct avail_entry **entry)
{
    struct state now = avail_view(*entry);
    int r = check_op(op, &now);
    if (r != 0)
        return r;
    if (op->kind == AVAIL_OP_CREATE && state_is_alive(&now))
        return (op->flags & AVAIL_OP_IF_ABSENT) == 0
                   ? 0
                   : kith_fail_with(KITH_E_EXISTS, "%s exists already; use it as it is", op->name);
    r = make(core, op, &now);
    if (r != 0)
        return r;
    bool same = *entry != NULL && core->scratch.len == (*entry)->len &&
                memcmp(core->scratch.data, (*entry)->state, (*entry)->len) == 0;
    if (same)
        return 0; /* a maximum that stands: there is nothing to tell */
    int before = core->error;
    struct avail_entry *put =
        avail_put(core, *entry, op->name, core->scratch.data, core->scratch.len, 0);
    if (put == NULL)
        return core->error != before ? KITH_E_MEMORY : KITH_E_LIMIT;
    *entry = put;
    put->from = 0;
    core->stats.writes++;
    avail_mark_fresh(core, put, true);
    return 0;
}

void avail_on_op(struct avail_core *core, const struct avail_op *op)
{
    struct avail_entry *entry = avail_find(core, op->name);
    uint64_t before = entry != NULL ? entry->version : 0;
    int r = carry_out(core, op, &entry);
    if (r == KITH_E_MEMORY)
        r = kith_fail_with(r, "memory is short, %s is as it was; try again later", op->name);
    struct avail_action *done = avail_act(core, AVAIL_DONE);
    if (done != NULL) {
        done->op_id = op->id;
        done->code = r;
        done->name = entry != NULL ? entry->name : "";
        done->version = entry != NULL ? entry->version : 0;
    }
    if (r != 0) {
        struct buf text = {0};
        struct kith_bytes kept;
        if (done != NULL && buf_append(&text, kith_errmsg(), strlen(kith_errmsg()) + 1) == 0 &&
            avail_keep(core, &text, &kept))
            done->text = kept.data;
        return;
    }
    assert(entry != NULL); /* what succeeds has one, or leaves one */
    if (entry->version != before)
        on_changed(core, entry);
    if ((op->flags & AVAIL_OP_ACK) != 0) {
        entry->ack_version = entry->version;
        if (!list_linked(&entry->ack))
            list_append(&core->acks, &entry->ack);
        if (core->ack_at_ms == UINT64_MAX)
            core->ack_at_ms = core->now_ms + core->config.ack_retry_ms;
        avail_mark_fresh(core, entry, true);
    }
}
