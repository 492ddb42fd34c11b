/*
 * The home of a slot: requests one after the other per variable. Their writes are in write.c, what
 * is remembered of them in records.c and answer.c.
 */
#include <stdio.h>

#include "dvar/internal.h"
#include "dvar/wire.h"

static void enqueue(struct dvar_core *core, struct var *var, struct op *op, bool first)
{
    (void)core;
    struct op *last = var->queue_last;
    if (last == NULL) {
        op->next = op;
        var->queue_last = op;
    } else {
        op->next = last->next;
        last->next = op;
        if (!first)
            var->queue_last = op;
    }
    var->queue_n++;
    op->state = OP_QUEUED;
}

static struct op *dequeue(struct var *var)
{
    struct op *last = var->queue_last;
    if (last == NULL)
        return NULL;
    struct op *op = last->next;
    if (op == last)
        var->queue_last = NULL;
    else
        last->next = op->next;
    op->next = NULL;
    var->queue_n--;
    join_close(op);
    return op;
}

static bool same_request(const struct op *a, const struct op *b)
{
    return a->no == b->no && a->client == b->client && a->client_boot == b->client_boot;
}

static bool is_among(const struct op *ops, const struct op *op)
{
    for (; ops != NULL; ops = ops->next) {
        if (same_request(ops, op))
            return true;
    }
    return false;
}

static bool is_here(const struct var *var, const struct op *op)
{
    if (var->write != NULL && is_among(var->write->ops, op))
        return true;
    const struct op *last = var->queue_last;
    const struct op *at = last;
    while (at != NULL) {
        if (same_request(at, op))
            return true;
        at = at->next;
        if (at == last)
            break;
    }
    return false;
}

/* What is under way here ends without being known: its slot has another home now, or will have. */
static void let_go(struct dvar_core *core, struct op *op)
{
    if (op->client != NULL || op->canceled) {
        op_free(core, op); /* its asker repeats it, or has heard how it ended */
        return;
    }
    join_close(op);
    op->next = NULL;
    op->state = OP_WAITING;
    op->sent_ms = core->now_ms;
    list_remove(&op->timer);
    list_append(&core->resends, &op->timer);
}

void home_abort(struct dvar_core *core, struct var *var)
{
    var->pins++;
    if (var->write != NULL) {
        struct write *write = var->write;
        struct op *op = write->ops;
        write->ops = NULL;
        if (var->state == VAR_VALID)
            var->state = VAR_INVALID;
        write_free(core, write);
        for (struct op *next; op != NULL; op = next) {
            next = op->next;
            let_go(core, op);
        }
    }
    struct op *last = var->queue_last;
    var->queue_last = NULL;
    var->queue_n = 0;
    if (last != NULL) {
        struct op *op = last->next;
        last->next = NULL;
        for (struct op *next; op != NULL; op = next) {
            next = op->next;
            let_go(core, op);
        }
    }
    var_unpin(core, var);
}

static void outcome_to_op(struct op *op, const struct value_outcome *outcome, uint64_t version)
{
    op->code = outcome->code;
    op->applied = outcome->applied;
    op->version = version;
    op->number = (uint64_t)outcome->number;
    if (outcome->type == VALUE_F64)
        memcpy(&op->number, &outcome->number_f64, 8);
}

#define ACCESSES_MAX 30000

static void count_access(struct dvar_core *core, struct var *var, uint32_t reads, uint32_t writes)
{
    uint32_t now_s = (uint32_t)(core->now_ms / 10000);
    if (var->window_s != now_s) {
        var->reads /= 2;
        var->writes /= 2;
        var->window_s = now_s;
    }
    reads += var->reads;
    writes += var->writes;
    var->reads = (uint16_t)(reads < ACCESSES_MAX ? reads : ACCESSES_MAX);
    var->writes = (uint16_t)(writes < ACCESSES_MAX ? writes : ACCESSES_MAX);
}

/* The numbers of all additions that @op stands for; the last is that of the write. */
static uint64_t next_ts(struct slot *slot, const struct var *var, const struct op *op)
{
    if (MUTANT(DVAR_SEQ_RESET) && var_is_absent(var))
        return TS(slot->active.se, 1);
    slot->seq += op->adds;
    return TS(slot->active.se, slot->seq);
}

/* Applies @op to the value in @from; the outcome says what became of it. */
static int apply(struct dvar_core *core,
                 struct var *var,
                 struct op *op,
                 const struct value_current *from,
                 struct value_outcome *outcome)
{
    struct value_op decoded;
    char name[KITH_NAME_BYTES_MAX + 1];
    memcpy(name, var->name, var->name_len);
    name[var->name_len] = 0;
    if (op->checked)
        value_op_read(op->bytes, op->len, &decoded);
    else if (value_op_decode(op->bytes, op->len, &decoded) != 0)
        return outcome->code = KITH_E_CORRUPT;
    op->checked = true;
    if (MUTANT(DVAR_NO_GUARD))
        decoded.flags &= (uint8_t)~VALUE_OP_FENCE;
    struct boot_id who;
    client_of(core, op, &who);
    struct value_stamp stamp = {.writer = who.node, .time_ms = core->wall_ms};
    int r = value_apply(name, from, &decoded, &stamp, outcome);
    if (r == KITH_E_NOT_FOUND)
        say_lost(core, var, name);
    return r;
}

/* Its asker is gone, or done with it: then its record may be gone, too. */
static bool is_stale(const struct op *op)
{
    return op->client != NULL && (op->client->over || op->client_boot != op->client->boot_no ||
                                  op->no < op->client->low_water);
}

static bool op_is_foldable(const struct op *op)
{
    uint8_t kind = value_op_kind(op->bytes);
    return (kind == VALUE_OP_ADD || kind == VALUE_OP_SET) &&
           (value_op_flags(op->bytes) & VALUE_OP_FENCE) == 0;
}

/* @why follows the name. */
static void answer_refused(struct dvar_core *core, struct op *op, int code, const char *why)
{
    char text[KITH_NAME_BYTES_MAX + 256];
    snprintf(text, sizeof(text), "%.*s %s", (int)op->var->name_len, op->var->name, why);
    if (code != KITH_E_BUSY && !answer_keep(core, op, code, text)) {
        core->stats.busy++;
        code = KITH_E_BUSY;
    }
    op_answer(core, op, code, text);
}

/* What no write can be begun for now. True: @op was answered, or put back. */
static bool refused(struct dvar_core *core, struct var *var, struct op *op, uint8_t policy)
{
    struct slot *slot = &core->slots[var->slot];
    uint32_t copies = core->config.min_copies;
    if (core->keepers_active <= 2)
        copies = 1;
    if (slot->active.n < copies) {
        op->short_of_copies = true;
        slot->waiting = true;
        /* Whoever asks from elsewhere must hear it before it gives up. */
        bool in_time =
            op->client == NULL || core->now_ms + core->config.resend_ms < op->deadline_ms;
        if (core->quorum && in_time)
            enqueue(core, var, op, true);
        else
            answer_refused(core, op, KITH_E_NO_QUORUM, COPIES_TEXT);
        return true;
    }
    if (slot->seq >= SEQ_MAX - 2 * FOLD_MAX * DVAR_JOINED_MAX) {
        answer_refused(core, op, KITH_E_LIMIT,
                       "lies in a slot that was written too often; move the slot");
        return true;
    }
    if (core->writes_n >= DVAR_WRITES_MAX) {
        core->stats.busy++;
        answer_refused(core, op, KITH_E_BUSY,
                       "waits: its home has too many writes under way; try again later");
        return true;
    }
    if (policy != VALUE_DURABLE)
        return false;
    if (core->disk_full) {
        answer_refused(core, op, KITH_E_LIMIT,
                       "cannot be kept: the disk of its home is full; free some");
        return true;
    }
    if (slot->durable_known)
        return false;
    if (slot->durable_asked_ms == 0 || core->now_ms >= slot->durable_asked_ms + READY_MS) {
        struct dvar_action *action = dvar_action_add(core, DVAR_SLOT_DURABLE);
        if (action != NULL)
            action->slot = var->slot;
        slot->durable_asked_ms = core->now_ms;
    }
    enqueue(core, var, op, true); /* until SLOT_DECIDED; asked again, as it may be forgotten */
    slot->waiting = true;
    return true;
}

/* Takes what follows in the queue into the same write, as long as it has an effect and shows
 * nothing. @now is the outcome so far; returns the last. */
static int fold(struct dvar_core *core, struct var *var, struct op *last, int now, uint32_t *n_out)
{
    struct slot *slot = &core->slots[var->slot];
    const struct op *first = last;
    uint32_t n = 0;
    while (n + 1 < FOLD_MAX && var->queue_last != NULL) {
        struct op *op = var->queue_last->next;
        struct value_outcome *from = &core->outcomes[now];
        struct value_outcome *to = &core->outcomes[1 - now];
        if (!op_is_foldable(op) || record_find(core, var, op) != NULL || op->canceled ||
            answer_find(op) != NULL || is_among(first, op) || is_stale(op))
            break;
        struct value_current current = {from->next.data, from->next.len, last->version};
        if (apply(core, var, op, &current, to) != 0 || to->effect != VALUE_CHANGED)
            break;
        dequeue(var);
        outcome_to_op(op, to, next_ts(slot, var, op));
        last->next = op;
        last = op;
        now = 1 - now;
        n++;
    }
    *n_out = n;
    return now;
}

static void begin_write(struct dvar_core *core, struct var *var, struct op *op)
{
    struct slot *slot = &core->slots[var->slot];
    struct config *config = &slot->active;
    bool was_durable = var_is_durable(var);
    bool was_absent = var_is_absent(var);
    uint64_t base_ts = var->ts;
    uint32_t folded = 0;
    outcome_to_op(op, &core->outcomes[0], next_ts(slot, var, op));
    op->next = NULL;
    struct op *ops_last = op;
    int now = op_is_foldable(op) ? fold(core, var, op, 0, &folded) : 0;
    while (ops_last->next != NULL)
        ops_last = ops_last->next;
    struct value_outcome *outcome = &core->outcomes[now];
    bool room = records_build(core, var, op);
    struct write *write = room ? write_new(core, var) : NULL;
    if (write != NULL && var->cell != NULL)
        cell_take_back(var->cell);
    if (write == NULL || !var_store(core, var, ops_last->version, core->records.data,
                                    (uint32_t)(core->records.len / RECORD_BYTES),
                                    outcome->next.data, outcome->next.len)) {
        if (write != NULL)
            write_free(core, write);
        for (struct op *next; op != NULL; op = next) {
            next = op->next;
            answer_refused(core, op, KITH_E_BUSY,
                           "has too many requests under way; try again later");
        }
        return;
    }
    var->ts = ops_last->version;
    var->state = VAR_INVALID;
    var_join_slot(core, var);
    *write = (struct write){.var = var,
                            .ts = var->ts,
                            .begun_ms = core->now_ms,
                            .sent_ms = core->now_ms,
                            .sharers = var->sharers,
                            .ops = op,
                            .ops_last = ops_last,
                            .at = write->at,
                            .folded = folded,
                            .was_absent = was_absent,
                            .handed_on = (value_op_flags(op->bytes) & VALUE_OP_LAST) != 0,
                            .delta = write->delta};
    var->sharers = NULL;
    if (folded == 0 && outcome->delta.len > 0 && outcome->next.len > 512 &&
        buf_append(&write->delta, outcome->delta.data, outcome->delta.len) == 0)
        write->base_ts = base_ts;
    for (struct op *at = op; at != NULL; at = at->next) {
        at->state = OP_WRITING;
        client_left(core, at);
        write->folded += at->adds - 1;
    }
    write->durable = was_durable || var_is_durable(var);
    if (write->durable)
        write->token = persist(core, var);
    write->ahead = ahead_copies(core, write);
    core->stats.writes_home += write->folded + 1;
    core->stats.writes_folded += write->folded;
    count_access(core, var, 0, write->folded + 1);
    list_append(&core->writes, &write->link);
    list_append(&slot->under_way, &write->slot_link);
    for (uint32_t i = 0; i < config->n; i++)
        write->missing |= config->nodes[i] != NULL ? 1u << i : 0;
    write_send(core, write, UINT32_MAX, false);
    write_send_sharers(core, write);
    write_try_commit(core, write);
}

static void execute(struct dvar_core *core, struct var *var, struct op *op)
{
    if (is_stale(op)) {
        op_free(core, op); /* nobody waits for it */
        return;
    }
    const uint8_t *record = op->read ? NULL : record_find(core, var, op);
    if (record != NULL) {
        core->stats.repeats++;
        op->code = (int32_t)get_le32(record + RECORD_CODE);
        op->applied = get_le32(record + RECORD_APPLIED) != 0;
        op->version = get_le64(record + RECORD_VERSION);
        op->number = get_le64(record + RECORD_NUMBER);
        answer_written(core, op);
        return;
    }
    const struct answer *answer = answer_find(op);
    if (answer != NULL) {
        core->stats.repeats++;
        answer_again(core, op, answer);
        return;
    }
    if (op->canceled) {
        op_answer(core, op, KITH_E_CANCELED, "canceled by its caller");
        return;
    }
    if (op->read)
        count_access(core, var, 1, 0);
    struct value_outcome *outcome = &core->outcomes[0];
    struct value_current current = {0};
    if (var->block != NULL)
        current =
            (struct value_current){block_value(var->block), var->block->len, var->block->version};
    int r = apply(core, var, op, &current, outcome);
    if (outcome->effect == VALUE_UNCHANGED || r == KITH_E_CORRUPT) {
        if (!lease_ok(core)) { /* what it tells may be over */
            let_go(core, op);
            return;
        }
        op->code = r;
        op->version = var_version(var);
        op->applied = r == 0 && outcome->applied;
        if (answer_keep(core, op, r, r != 0 ? kith_errmsg() : NULL)) {
            op_answer_read(core, op, var);
        } else {
            core->stats.busy++;
            op_answer(core, op, KITH_E_BUSY, NULL);
        }
        return;
    }
    uint8_t policy = value_policy_of(outcome->next.data, outcome->next.len);
    if (var_is_durable(var))
        policy = VALUE_DURABLE;
    if (!refused(core, var, op, policy))
        begin_write(core, var, op);
}

void home_next(struct dvar_core *core, struct var *var)
{
    const struct slot *slot = &core->slots[var->slot];
    var->pins++;
    while (var->write == NULL && slot->serving && var->queue_last != NULL) {
        uint32_t n = var->queue_n;
        execute(core, var, dequeue(var));
        if (var->queue_n >= n)
            break; /* put back: it waits for a decision */
    }
    var_unpin(core, var);
}

void home_request(struct dvar_core *core, struct op *op, bool resent)
{
    struct var *var = op->var;
    if (var->write == NULL && var->queue_last == NULL) {
        var->pins++;
        join_close(op);
        execute(core, var, op);
        var_unpin(core, var);
        return;
    }
    if (resent && is_here(var, op)) {
        op_free(core, op);
        return;
    }
    if (var->queue_n >= DVAR_QUEUE_MAX || core->stats.held_bytes > core->config.held_bytes_max) {
        core->stats.busy++;
        op_answer(core, op, KITH_E_BUSY, NULL);
        return;
    }
    enqueue(core, var, op, false);
}

void home_retry(struct dvar_core *core, uint64_t slots)
{
    for (size_t i = 0; slots != 0 && i < core->buckets_n; i++) {
        for (struct var *var = core->buckets[i], *next; var != NULL; var = next) {
            next = var->hash_next;
            if ((slots & 1ull << var->slot) != 0 && var->queue_last != NULL)
                home_next(core, var);
        }
    }
}

void home_retry_waiting(struct dvar_core *core)
{
    uint64_t slots = 0;
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        if (core->slots[i].waiting)
            slots |= 1ull << i;
        core->slots[i].waiting = false;
    }
    core->retried_ms = core->now_ms;
    home_retry(core, slots);
}

static void answer_flag(struct dvar_core *core, struct node *to, uint64_t no, uint8_t flag)
{
    uint8_t *p = message_add(core, to, WIRE_RES, flag, 0, WIRE_RES_BYTES);
    if (p == NULL)
        return;
    memset(p, 0, WIRE_RES_BYTES);
    put_le64(p, no);
}

int on_request(struct dvar_core *core,
               struct node *from,
               uint64_t boot,
               uint8_t flags,
               uint32_t slot_no,
               struct reader *r)
{
    uint64_t no = read_le64(r);
    uint64_t low_water = read_le64(r);
    uint64_t session = read_le64(r);
    uint64_t se = read_le64(r);
    uint32_t remaining = read_le32(r);
    uint32_t op_len = read_le32(r);
    uint8_t name_len = read_u8(r);
    read_bytes(r, 3);
    const char *name = (const char *)read_bytes(r, name_len);
    const uint8_t *bytes = read_bytes(r, op_len);
    struct value_op decoded;
    if (r->bad || name_len == 0 || no == 0 || low_water > no ||
        value_op_decode(bytes, op_len, &decoded) != 0)
        return KITH_E_CORRUPT;
    if (from == NULL || boot != from->boot_no || from->over)
        return 0;
    if (low_water > from->low_water) {
        from->low_water = low_water;
        answers_forget(core, from, low_water);
    }
    from->heard_ms = core->now_ms;
    struct slot *slot = &core->slots[slot_no];
    /* It is for one slot epoch: so a late copy of it finds either the record of the first, or a
     * home that heard that its asker is done with it. */
    if (!slot->serving || slot->active.se != se) {
        answer_flag(core, from, no, WIRE_NOT_HOME);
        return 0;
    }
    if (!lease_ok(core))
        return 0; /* it repeats, here or at the next home */
    bool read = value_op_is_read(&decoded);
    struct var *var = var_get(core, name, name_len, -1);
    struct op *op = var != NULL && core->stats.held_bytes <= core->config.held_bytes_max
                        ? op_new(core, op_len)
                        : NULL;
    if (var != NULL && var->slot != slot_no) {
        if (op != NULL)
            op_free(core, op);
        var_settle(core, var);
        return KITH_E_CORRUPT;
    }
    if (op == NULL) {
        core->stats.busy++;
        if (var != NULL)
            var_settle(core, var);
        answer_flag(core, from, no, WIRE_BUSY);
        return 0;
    }
    copy_small(op->bytes, bytes, op_len);
    op->checked = true;
    op->var = var;
    var->pins++;
    op->client = from;
    op->client_boot = boot;
    op->no = no;
    if (decoded.kind == VALUE_OP_ADD && decoded.count > 1)
        op->adds = decoded.count;
    op->read = read;
    op->session = (flags & WIRE_FETCH) != 0 ? session : 0;
    op->deadline_ms = core->now_ms + remaining;
    home_request(core, op, (flags & WIRE_RESENT) != 0);
    return 0;
}
