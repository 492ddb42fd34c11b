/*
 * Operations of this node: done here where that is allowed, else asked for at the home of the slot,
 * again and again, under one number, until there is an answer or the deadline has passed.
 */
#include <stdio.h>

#include "dvar/internal.h"
#include "dvar/wire.h"

struct op *op_new(struct dvar_core *core, size_t len)
{
    struct op *op = core->free_ops;
    if (op != NULL)
        core->free_ops = op->next;
    else
        op = core_malloc(sizeof(*op));
    if (op == NULL) {
        core->short_of_memory = true;
        return NULL;
    }
    memset(op, 0, offsetof(struct op, small));
    op->bytes = op->small;
    if (len > OP_INLINE_BYTES) {
        op->bytes = core_malloc(len);
        if (op->bytes == NULL) {
            op->next = core->free_ops;
            core->free_ops = op;
            core->short_of_memory = true;
            return NULL;
        }
    }
    op->len = (uint32_t)len;
    op->adds = 1;
    core->stats.held_bytes += len + sizeof(*op);
    return op;
}

void op_free(struct dvar_core *core, struct op *op)
{
    core->stats.held_bytes -= op->len + sizeof(*op);
    if (op->client == NULL && op->no != 0) {
        list_remove(&op->link);
        list_remove(&op->timer);
        heap_remove(&core->deadlines, &op->deadline);
        if (op->numbered)
            map64_remove(&core->by_no, op->no);
        core->stats.ops_pending--;
    }
    if (op->joined != NULL)
        join_free(core, op);
    if (op->var != NULL) {
        join_close(op);
        if (op->var->fetch == op)
            op->var->fetch = NULL;
        var_unpin(core, op->var);
    }
    if (op->bytes != op->small)
        core_free(op->bytes);
    op->next = core->free_ops;
    core->free_ops = op;
}

uint64_t client_low_water(const struct dvar_core *core)
{
    struct list *first = list_first(&core->ops);
    return first == NULL ? core->next_no + 1 : container_of(first, struct op, link)->no;
}

/* ---- routing ---- */

void client_left(const struct dvar_core *core, struct op *op)
{
    if (op->read || op->may_have_left)
        return;
    op->may_have_left = true;
    op->generation = core->slots[op->var->slot].generation;
}

static void send_request(struct dvar_core *core, struct op *op, struct node *home, uint64_t se)
{
    uint64_t left = op->deadline_ms > core->now_ms ? op->deadline_ms - core->now_ms : 0;
    uint8_t flags = op->sent_to != NULL ? WIRE_RESENT : 0;
    if (op->fetching) {
        session_want(core, home);
        op->session = home->session_id; /* the floor stays: it may come back to a former home */
        flags |= WIRE_FETCH;
    }
    if (!op->numbered && map64_set(&core->by_no, op->no, op) != 0) {
        core->short_of_memory = true; /* it is tried again */
        return;
    }
    op->numbered = true;
    const struct var *var = op->var;
    uint8_t *p = message_add(core, home, WIRE_REQ, flags, var->slot,
                             WIRE_REQ_BYTES + var->name_len + op->len);
    if (p == NULL)
        return;
    join_close(op);
    core->stats.ops_resent += op->sent_to != NULL;
    op->sent_to = home;
    op->sent_se = se;
    op->state = OP_SENT;
    client_left(core, op);
    put_le64(p, op->no);
    put_le64(p + 8, client_low_water(core));
    put_le64(p + 16, op->fetching ? op->session : 0);
    put_le64(p + 24, se);
    put_le32(p + 32, left > UINT32_MAX ? UINT32_MAX : (uint32_t)left);
    put_le32(p + 36, op->len);
    put_le32(p + 40, var->name_len);
    p += WIRE_REQ_BYTES;
    copy_small(p, var->name, var->name_len);
    copy_small(p + var->name_len, op->bytes, op->len);
}

static bool
read_here(struct dvar_core *core, struct var *var, const struct value_op *op, uint64_t id)
{
    if (var->block == NULL || !var_readable(core, var))
        return false;
    char name[KITH_NAME_BYTES_MAX + 1];
    memcpy(name, var->name, var->name_len);
    name[var->name_len] = 0;
    struct value_current current = {block_value(var->block), var->block->len, var->block->version};
    struct value_stamp stamp = {{{0}}, 0};
    value_apply(name, &current, op, &stamp, &core->outcomes[0]);
    core->stats.ops_local_reads++;
    core->stats.ops_cached_reads += var->state == VAR_CACHED;
    op_done_read(core, id, var, op->kind == VALUE_OP_GET);
    return true;
}

static void give_up(struct dvar_core *core, struct op *op, int code, const char *text);

/* Once: does it, asks for it, or leaves it waiting. */
void client_route(struct dvar_core *core, struct op *op)
{
    struct slot *slot = &core->slots[op->var->slot];
    list_remove(&op->timer);
    op->sent_ms = core->now_ms;
    /* What was in memory there is lost, the record of this with it: it would be done twice. */
    if (op->may_have_left && op->generation != slot->generation && !MUTANT(DVAR_ASK_AFTER_LOSS)) {
        give_up(core, op, KITH_E_UNKNOWN_OUTCOME, NULL);
        return;
    }
    if (slot->serving && lease_ok(core)) {
        op->sent_se = 0; /* what another home said of it does not count any more */
        home_request(core, op, op->sent_to != NULL);
        return;
    }
    list_append(&core->resends, &op->timer);
    op->state = OP_WAITING;
    struct value_op decoded;
    if (op->read && value_op_decode(op->bytes, op->len, &decoded) == 0) {
        if (op->id != 0 && read_here(core, op->var, &decoded, op->id)) {
            op_free(core, op);
            return;
        }
        if (op->var->in_slot && op->var->state != VAR_NONE)
            replica_ask(core, op->var);
    }
    if (slot->active.n == 0 || slot->active.nodes[0] == NULL)
        return;
    send_request(core, op, slot->active.nodes[0], slot->active.se);
}

void client_route_all(struct dvar_core *core, const struct node *to)
{
    struct list waiting;
    list_init(&waiting);
    list_splice(&waiting, &core->resends);
    while (!list_empty(&waiting)) {
        struct op *op = container_of(list_first(&waiting), struct op, timer);
        list_remove(&op->timer);
        const struct slot *slot = &core->slots[op->var->slot];
        bool other = slot->serving || (slot->active.n > 0 && slot->active.nodes[0] != op->sent_to);
        if (to != NULL ? slot->active.n > 0 && slot->active.nodes[0] == to : other)
            client_route(core, op);
        else
            list_append(&core->resends, &op->timer);
    }
}

static bool can_wait(const struct dvar_core *core, const struct var *var)
{
    return core->quorum || (core->slots[var->slot].serving && lease_ok(core));
}

#define NO_QUORUM_TEXT                                                                             \
    "too few nodes are reachable to be sure of anything; wait for them, or see `kith view`"

/* The holder before left its fence to this one, or this is not its first read. */
static bool read_of_section(const struct var *var, const struct value_op *op)
{
    if ((op->flags & VALUE_OP_FENCE) == 0 || var->block == NULL)
        return false;
    struct value value = value_view(block_value(var->block), var->block->len);
    return value_op_is_read_of(op, &value);
}

uint64_t client_op_deadline(const struct dvar_core *core, uint64_t deadline_ms)
{
    uint64_t last_ms = core->now_ms + DVAR_OP_MS_MAX;
    return deadline_ms < last_ms ? deadline_ms : last_ms;
}

/* Ends it if there is no room. */
static struct op *op_begin(struct dvar_core *core,
                           const char *name,
                           size_t name_len,
                           struct var *var,
                           uint64_t id,
                           const struct value_op *what,
                           uint64_t deadline_ms)
{
    core->scratch.len = 0;
    struct op *op = NULL;
    if (var != NULL && value_op_encode(what, &core->scratch) == 0)
        op = op_new(core, core->scratch.len);
    if (op == NULL) {
        int code = var_refused(core, name, name_len);
        op_done(core, id, code, kith_errmsg());
        return NULL;
    }
    copy_small(op->bytes, core->scratch.data, op->len);
    op->var = var;
    var->pins++;
    op->read = value_op_is_read(what);
    op->id = id;
    op->deadline_ms = deadline_ms;
    op->no = ++core->next_no;
    list_append(&core->ops, &op->link);
    core->stats.ops_pending++;
    if (heap_set(&core->deadlines, &op->deadline, op->deadline_ms) != 0) {
        op_answer(core, op, KITH_E_MEMORY, "memory is short on this node; free some");
        return NULL;
    }
    return op;
}

void client_op(struct dvar_core *core, const struct dvar_event *event)
{
    core->stats.ops++;
    struct var *var = var_find(core, event->name, event->name_len);
    bool read = value_op_is_read(event->op);
    if (var != NULL && var->adds != NULL) {
        if (join_add(core, var, event))
            return;
        var->pins++;
        join_leave(core, var);
        var_unpin(core, var);
        var = var_find(core, event->name, event->name_len);
    }
    if (var != NULL && (read || read_of_section(var, event->op)) &&
        read_here(core, var, event->op, event->id))
        return;
    if (core->stats.ops_pending >= DVAR_OPS_MAX ||
        core->stats.held_bytes > core->config.held_bytes_max) {
        core->stats.busy++;
        kith_fail_with(
            KITH_E_BUSY,
            "%.*s: too many operations are under way on this node (%u); wait for some of "
            "them to end",
            (int)event->name_len, event->name, core->stats.ops_pending);
        op_done(core, event->id, KITH_E_BUSY, kith_errmsg());
        return;
    }
    if (var == NULL)
        var = var_get(core, event->name, event->name_len, -1);
    struct op *op = op_begin(core, event->name, event->name_len, var, event->id, event->op,
                             client_op_deadline(core, event->deadline_ms));
    if (op == NULL) {
        if (var != NULL)
            var_settle(core, var);
        return;
    }
    if (!can_wait(core, var)) {
        op_answer(core, op, KITH_E_NO_QUORUM, NO_QUORUM_TEXT);
        return;
    }
    if (read && event->op->kind == VALUE_OP_GET && var->fetch == NULL &&
        core->slots[var->slot].active.self < 0 && var->state != VAR_CACHED && !var->in_slot) {
        op->fetching = true;
        var->fetch = op;
    }
    if (!join_open(core, op, event->op))
        client_route(core, op);
}

void client_add_alone(struct dvar_core *core,
                      struct var *var,
                      uint64_t id,
                      const struct value_op *add,
                      uint64_t deadline_ms)
{
    struct op *op = op_begin(core, var->name, var->name_len, var, id, add, deadline_ms);
    if (op == NULL)
        return;
    op->alone = true;
    (void)join_open(core, op, add);
}

/* Its caller hears how it ended; if a write of it is under way at this home, it stays until that
 * is known. */
static void give_up(struct dvar_core *core, struct op *op, int code, const char *text)
{
    char copies[KITH_NAME_BYTES_MAX + 256];
    if (op->short_of_copies && code == KITH_E_TIMEOUT) {
        snprintf(copies, sizeof(copies), "%.*s %s", (int)op->var->name_len, op->var->name,
                 COPIES_TEXT);
        code = KITH_E_NO_QUORUM;
        text = copies;
    }
    if (op->may_have_left) {
        code = KITH_E_UNKNOWN_OUTCOME;
        if (text == NULL)
            text = "the write may have been done before all nodes that kept the variable in memory "
                   "were gone; read the variable to see";
        else
            text = UNKNOWN_TEXT;
    }
    if (op->state != OP_QUEUED && op->state != OP_WRITING) {
        op_answer(core, op, code, text);
        return;
    }
    struct dvar_result result = {.code = code, .text = text};
    op->canceled = true;
    join_close(op);
    if (op->id != 0)
        op_done(core, op->id, code, text);
    join_tell(core, op, &result);
    join_free(core, op);
    heap_remove(&core->deadlines, &op->deadline);
    op->id = 0;
}

/* Rare, so nothing is kept for it. */
static struct op *op_of(const struct dvar_core *core, uint64_t id)
{
    list_for_each (it, &core->ops) {
        struct op *op = container_of(it, struct op, link);
        if (op->id == id)
            return op;
    }
    return NULL;
}

void client_cancel(struct dvar_core *core, uint64_t id)
{
    struct op *op = op_of(core, id);
    if (op == NULL) {
        (void)join_cancel(core, id);
        return;
    }
    if (op->joined_n == 0) {
        give_up(core, op, KITH_E_CANCELED, "canceled by its caller");
        return;
    }
    op_done(core, id, KITH_E_UNKNOWN_OUTCOME, UNKNOWN_TEXT); /* those that joined it go on */
    op->id = 0;
}

void client_quorum(struct dvar_core *core)
{
    list_for_each_safe (it, &core->resends) {
        struct op *op = container_of(it, struct op, timer);
        if (!can_wait(core, op->var) && !op->canceled)
            give_up(core, op, KITH_E_NO_QUORUM, NO_QUORUM_TEXT);
    }
}

void client_tick(struct dvar_core *core)
{
    struct heap_node *first;
    while ((first = heap_first(&core->deadlines)) != NULL && first->key <= core->now_ms) {
        struct op *op = container_of(first, struct op, deadline);
        give_up(core, op, KITH_E_TIMEOUT,
                "no answer came in time; the nodes that keep the variable may be slow or away");
    }
    for (size_t n = core->stats.ops_pending; n > 0 && !list_empty(&core->resends); n--) {
        struct op *op = container_of(list_first(&core->resends), struct op, timer);
        if (core->now_ms < op->sent_ms + core->config.resend_ms)
            break;
        client_route(core, op);
    }
}

uint64_t client_deadline(const struct dvar_core *core)
{
    const struct heap_node *first = heap_first(&core->deadlines);
    struct list *resend = list_first(&core->resends);
    uint64_t at = first != NULL ? first->key : UINT64_MAX;
    if (resend != NULL) {
        uint64_t next = container_of(resend, struct op, timer)->sent_ms + core->config.resend_ms;
        if (next < at)
            at = next;
    }
    return at;
}

/* ---- answers from a home ---- */

static void cache(struct dvar_core *core,
                  struct node *from,
                  struct op *op,
                  uint64_t ts,
                  uint64_t version,
                  const uint8_t *value,
                  size_t len)
{
    struct var *var = op->var;
    bool poisoned = ts < op->floor && !MUTANT(DVAR_NO_POISON);
    if (poisoned || op->sent_to != from || op->session != from->session_id ||
        !session_live(core, from) || (var->state != VAR_NONE && var->state != VAR_CACHED))
        return;
    if (var->state == VAR_CACHED)
        cache_drop(core, var);
    if (!var_store_cached(core, var, version, value, len))
        return;
    var->ts = ts;
    var->state = VAR_CACHED;
    var->node_at = from->at;
    list_append(&from->cached, &var->link);
    from->cached_n++;
    core->stats.cached++;
    var_publish(core, var);
}

int on_result(struct dvar_core *core, struct node *from, uint8_t flags, struct reader *r)
{
    uint64_t no = read_le64(r);
    uint64_t ts = read_le64(r);
    uint64_t version = read_le64(r);
    uint64_t number = read_le64(r);
    int32_t code = (int32_t)read_le32(r);
    uint32_t len = read_le32(r);
    uint32_t type = read_le32(r);
    uint32_t text_len = read_le32(r);
    uint64_t se = read_le64(r);
    const uint8_t *data = read_bytes(r, len);
    const char *text = (const char *)read_bytes(r, text_len);
    struct value value = {0};
    if (r->bad || code > 0 || type > UINT8_MAX)
        return KITH_E_CORRUPT;
    if ((flags & WIRE_WHOLE) != 0 && value_decode(data, len, &value) != 0)
        return KITH_E_CORRUPT;
    struct op *op = map64_find(&core->by_no, no);
    if (op == NULL || op->state == OP_QUEUED || op->state == OP_WRITING)
        return 0;
    if ((flags & (WIRE_NOT_HOME | WIRE_BUSY)) != 0) {
        if (op->sent_to == from)
            op->state = OP_WAITING; /* until the next round, or a new placement */
        return 0;
    }
    /* A home that it was sent to since does not know of this answer, and may do it. */
    if (!op->read && (op->sent_to != from || op->sent_se != se) && !MUTANT(DVAR_ANY_ANSWER))
        return 0;
    const char *copy = text_len > 0 ? (const char *)arena_copy(core, text, text_len) : NULL;
    struct dvar_result said = {.code = code,
                               .text = code == 0      ? NULL
                                       : copy != NULL ? copy
                                                      : kith_strerror(code),
                               .applied = (flags & WIRE_APPLIED) != 0,
                               .version = version,
                               .number = number,
                               .type = (uint8_t)type};
    if (!join_share(core, op, &said)) {
        op_free(core, op);
        return 0;
    }
    struct dvar_action *action = op->id != 0 ? dvar_action_add(core, DVAR_DONE) : NULL;
    if (action != NULL) {
        const uint8_t *lent = arena_copy(core, data, len);
        action->id = op->id;
        action->result = said;
        action->result.data = len > 0 ? lent : NULL;
        action->result.len = len;
        if ((flags & WIRE_WHOLE) != 0 && lent != NULL) {
            action->result.value = lent;
            action->result.value_len = len;
            action->result.type = value.type;
            action->result.data = value_view(lent, len).data;
            action->result.len = value.len;
            action->result.applied = true;
        }
    }
    join_tell(core, op, &said);
    if ((flags & WIRE_CACHE) != 0 && (flags & WIRE_WHOLE) != 0 && number == op->session &&
        op->fetching && op->var->fetch == op)
        cache(core, from, op, ts, version, data, len);
    op_free(core, op);
    return 0;
}
