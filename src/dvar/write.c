/*
 * Writes of a home: to all replicas, to all who cache, and when everybody has said that he has it,
 * or has no lease any more, it is done.
 */
#include "dvar/internal.h"
#include "dvar/wire.h"

struct write *write_new(struct dvar_core *core, struct var *var)
{
    struct write *write = core->free_writes;
    if (write != NULL) {
        core->free_writes = (struct write *)(void *)write->ops;
    } else {
        write = core_calloc(1, sizeof(*write));
        if (write == NULL) {
            core->short_of_memory = true;
            return NULL;
        }
    }
    if (core->write_free_n == 0) {
        uint32_t cap = core->write_at_cap == 0 ? 256 : 2 * core->write_at_cap;
        struct write **at = core_realloc(core->write_at, cap * sizeof(struct write *));
        if (at != NULL)
            core->write_at = at;
        uint32_t *freed = at != NULL ? core_realloc(core->write_free, cap * sizeof(*freed)) : NULL;
        if (freed == NULL) {
            buf_deinit(&write->delta);
            core_free(write);
            core->short_of_memory = true;
            return NULL;
        }
        core->write_free = freed;
        memset(at + core->write_at_cap, 0, (cap - core->write_at_cap) * sizeof(struct write *));
        for (uint32_t i = cap; i-- > core->write_at_cap;)
            freed[core->write_free_n++] = i;
        core->write_at_cap = cap;
    }
    struct buf delta = write->delta;
    delta.len = 0;
    *write = (struct write){.var = var, .delta = delta, .begun_ms = core->now_ms};
    write->at = core->write_free[--core->write_free_n];
    core->write_at[write->at] = write;
    core->writes_n++;
    var->write = write;
    return write;
}

void write_free(struct dvar_core *core, struct write *write)
{
    assert(write->ops == NULL);
    list_remove(&write->link);
    list_remove(&write->slot_link);
    write->var->write = NULL;
    core->write_at[write->at] = NULL;
    core->write_free[core->write_free_n++] = write->at;
    core->writes_n--;
    core_free(write->sharers);
    write->sharers = NULL;
    if (write->delta.cap > 4096)
        buf_deinit(&write->delta);
    write->ops = (struct op *)(void *)core->free_writes;
    core->free_writes = write;
}

static struct write *write_of(const struct dvar_core *core, uint32_t at, uint64_t ts)
{
    if (at >= core->write_at_cap || core->write_at == NULL)
        return NULL;
    struct write *write = core->write_at[at];
    return write != NULL && write->ts == ts ? write : NULL;
}

static struct config *write_config(struct dvar_core *core, const struct write *write)
{
    struct slot *slot = &core->slots[write->var->slot];
    return write->recommit && slot->chosen.se == TS_SE(write->ts) ? &slot->chosen : &slot->active;
}

/* INV to replica @i of @config. */
static void
send_inv(struct dvar_core *core, struct write *write, const struct config *config, uint32_t i)
{
    const struct var *var = write->var;
    const struct block *block = var->block;
    struct node *node = config->nodes[i];
    bool delta = write->base_ts != 0 && (write->full_need & 1u << i) == 0;
    const struct watcher *ahead = (write->ahead & 1u << i) != 0 ? node->watcher : NULL;
    size_t head = WIRE_INV_BYTES + (ahead != NULL ? WIRE_AHEAD_BYTES : 0);
    uint8_t flags = (uint8_t)((delta ? WIRE_DELTA : 0) | (ahead != NULL ? WIRE_AHEAD : 0));
    uint32_t records_n = MUTANT(DVAR_NO_DEDUPE_IN_VALUE) ? 0 : block->records_n;
    size_t records = (size_t)records_n * RECORD_BYTES;
    size_t body = delta ? write->delta.len : block->len;
    uint8_t *p =
        message_add(core, node, WIRE_INV, flags, var->slot, head + var->name_len + records + body);
    if (p == NULL)
        return;
    put_le64(p, write->ts);
    put_le64(p + 8, write->base_ts);
    put_le64(p + 16, block->version);
    put_le32(p + 24, write->at);
    put_le16(p + 28, (uint16_t)records_n);
    p[30] = var->name_len;
    p[31] = write->ahead;
    if (ahead != NULL) {
        put_le64(p + WIRE_INV_BYTES, ahead->stream);
        put_le32(p + WIRE_INV_BYTES + 8, write->folded);
    }
    p += head;
    copy_small(p, var->name, var->name_len);
    p += var->name_len;
    copy_small(p, block->bytes, records);
    p += records;
    if (body > 0)
        copy_small(p, delta ? write->delta.data : block_value(block), body);
}

static void
send_sinv(struct dvar_core *core, const struct write *write, const struct sharer *sharer)
{
    const struct var *var = write->var;
    uint8_t *p = message_add(core, core->nodes[sharer->node_at], WIRE_SINV, 0, var->slot,
                             21 + (size_t)var->name_len);
    if (p == NULL)
        return;
    put_le64(p, write->ts);
    put_le64(p + 8, sharer->session);
    put_le32(p + 16, write->at);
    p[20] = var->name_len;
    copy_small(p + 21, var->name, var->name_len);
}

/* To all that have not acknowledged, or those of the bits @to. */
void write_send(struct dvar_core *core, struct write *write, uint32_t to, bool relay)
{
    const struct config *config = write_config(core, write);
    /* First to those that others wait for to hear that they have it. */
    for (uint32_t at = 0; at < 2 * config->n; at++) {
        uint32_t i = at % config->n;
        bool is_last = (write->ahead & 1u << i) != 0;
        if ((write->missing & to & 1u << i) == 0 || config->nodes[i] == NULL ||
            is_last != (at >= config->n))
            continue;
        send_inv(core, write, config, i);
        for (uint32_t j = 0, hops = 0; relay && j < core->placement.keepers_n && hops < 2; j++) {
            const struct placement_keeper *keeper = &core->placement.keepers[j];
            struct node *hop = mapid_find(&core->by_id, &keeper->boot.node);
            if (keeper->state != KEEPER_ACTIVE || hop == NULL || hop == config->nodes[i])
                continue;
            core->via = hop;
            send_inv(core, write, config, i);
            core->via = NULL;
            core->stats.relayed++;
            hops++;
        }
    }
}

/* To all who cache it, have a lease and have not said that they dropped it. */
void write_send_sharers(struct dvar_core *core, struct write *write)
{
    for (uint32_t i = 0; write->sharers != NULL && i < write->sharers->n; i++) {
        const struct sharer *sharer = &write->sharers->at[i];
        if (sharer->acked == 0 && share_live(core, core->nodes[sharer->node_at], sharer->session))
            send_sinv(core, write, sharer);
    }
}

/* Does nobody who cached it have a lease any more without having dropped it? */
static bool sharers_done(struct dvar_core *core, const struct write *write)
{
    const struct sharers *sharers = write->sharers;
    for (uint32_t i = 0; sharers != NULL && i < sharers->n; i++) {
        const struct sharer *sharer = &sharers->at[i];
        if (sharer->acked == 0 && share_live(core, core->nodes[sharer->node_at], sharer->session))
            return false;
    }
    return true;
}

static void symbol(struct dvar_core *core, struct var *var)
{
    struct dvar_action *action = dvar_action_add(core, DVAR_SYMBOL);
    if (action == NULL)
        return;
    block_keep(core, var->block);
    action->slot = var->slot;
    action->change =
        (struct dvar_change){.name = (const char *)arena_copy(core, var->name, var->name_len),
                             .name_len = var->name_len,
                             .version = var->block->version,
                             .value = block_value(var->block),
                             .value_len = var->block->len};
}

static void
committed(struct dvar_core *core, struct var *var, struct config *config, const struct write *write)
{
    var->state = VAR_VALID;
    var->stamp = core->slots[var->slot].stamp;
    var_publish(core, var);
    for (uint32_t i = 0; i < config->n; i++) {
        if (config->nodes[i] == NULL)
            continue;
        val_add(core, config->nodes[i], var);
        if (write->handed_on && config->nodes[i]->vals.len > 0)
            vals_flush(core, config->nodes[i]);
    }
    watch_changed(core, var, write);
    if (write->was_absent != var_is_absent(var))
        symbol(core, var);
}

void write_try_commit(struct dvar_core *core, struct write *write)
{
    if (write->missing != 0 || write->durable || !sharers_done(core, write))
        return;
    struct var *var = write->var;
    struct slot *slot = &core->slots[var->slot];
    bool recommit = write->recommit;
    struct op *op = write->ops;
    write->ops = NULL;
    if (!recommit)
        committed(core, var, write_config(core, write), write);
    write_free(core, write);
    if (recommit) {
        if (slot->sync != NULL) {
            slot->sync->under_way--;
            sync_step(core, var->slot);
        }
        return;
    }
    var->pins++;
    while (op != NULL) {
        struct op *next = op->next;
        answer_written(core, op);
        op = next;
    }
    if (var->queue_last != NULL)
        home_next(core, var);
    var_unpin(core, var);
}

/* ---- what is heard of them ---- */

int on_ack(
    struct dvar_core *core, struct node *from, uint8_t flags, uint32_t slot, struct reader *r)
{
    uint64_t ts = read_le64(r);
    uint32_t wid = read_le32(r);
    if (r->bad)
        return KITH_E_CORRUPT;
    struct write *write = write_of(core, wid, ts);
    if (write == NULL || write->var->slot != slot)
        return 0;
    const struct config *config = write_config(core, write);
    for (uint32_t i = 0; i < config->n; i++) {
        if (config->nodes[i] != from || (write->missing & 1u << i) == 0)
            continue;
        if ((flags & WIRE_OTHER) != 0) {
            if ((write->full_need & 1u << i) == 0) {
                write->full_need |= 1u << i;
                write_send(core, write, 1u << i, false);
            }
            return 0;
        }
        write->missing &= ~(1u << i);
    }
    write_try_commit(core, write);
    return 0;
}

int on_sack(struct dvar_core *core, struct node *from, uint32_t slot, struct reader *r)
{
    uint64_t ts = read_le64(r);
    uint64_t session = read_le64(r);
    uint32_t wid = read_le32(r);
    if (r->bad)
        return KITH_E_CORRUPT;
    struct write *write = write_of(core, wid, ts);
    if (write == NULL || write->var->slot != slot)
        return 0; /* a late copy: its place and number are those of another slot's write now */
    for (uint32_t i = 0; write->sharers != NULL && i < write->sharers->n; i++) {
        struct sharer *sharer = &write->sharers->at[i];
        if (core->nodes[sharer->node_at] == from && sharer->session == session)
            sharer->acked = 1;
    }
    write_try_commit(core, write);
    return 0;
}

int on_ask(struct dvar_core *core, struct node *from, uint32_t slot_no, struct reader *r)
{
    uint64_t ts = read_le64(r);
    uint8_t name_len = read_u8(r);
    const char *name = (const char *)read_bytes(r, name_len);
    if (r->bad)
        return KITH_E_CORRUPT;
    const struct slot *slot = &core->slots[slot_no];
    struct var *var = slot->serving ? var_find(core, name, name_len) : NULL;
    if (var != NULL && var->state == VAR_VALID && var->ts == ts && lease_ok(core))
        val_add(core, from, var);
    return 0;
}

void home_persisted(struct dvar_core *core, uint64_t token)
{
    for (uint32_t i = 0; i < core->write_at_cap && core->writes_n > 0; i++) {
        struct write *write = core->write_at[i];
        if (write == NULL || write->token == 0 || write->token > token)
            continue;
        write->token = 0;
        write->durable = false;
        write_try_commit(core, write);
    }
}

static void complain(struct dvar_core *core, const struct write *write)
{
    const struct config *config = write_config(core, write);
    for (uint32_t i = 0; i < config->n; i++) {
        struct node *node = config->nodes[i];
        if ((write->missing & 1u << i) == 0 || node == NULL ||
            core->now_ms < node->complained_ms + READY_MS)
            continue;
        node->complained_ms = core->now_ms;
        struct dvar_action *action = dvar_action_add(core, DVAR_COMPLAIN);
        if (action == NULL)
            return;
        action->member_id = config->members[i];
        action->age_ms = (uint32_t)(core->now_ms - write->begun_ms);
        core->stats.complaints++;
    }
}

void writes_tick(struct dvar_core *core)
{
    for (size_t n = core->writes_n; n > 0 && !list_empty(&core->writes); n--) {
        struct write *write = container_of(list_first(&core->writes), struct write, link);
        if (core->now_ms < write->sent_ms + core->config.resend_ms)
            break;
        uint64_t age = core->now_ms - write->begun_ms;
        if (write->durable && write->token == 0) /* memory was short */
            write->token = persist(core, write->var);
        write->sent_ms = core->now_ms;
        list_remove(&write->link);
        list_append(&core->writes, &write->link);
        write_send(core, write, UINT32_MAX, age >= core->config.doubt_ms);
        write_send_sharers(core, write);
        if (age >= core->config.doubt_ms + READY_MS)
            complain(core, write);
    }
}

/* A session ended: who waited for it may go on. */
void writes_sessions(struct dvar_core *core)
{
    for (uint32_t i = 0; i < core->write_at_cap && core->writes_n > 0; i++) {
        struct write *write = core->write_at[i];
        if (write != NULL && write->sharers != NULL)
            write_try_commit(core, write);
    }
}

uint64_t writes_deadline(const struct dvar_core *core)
{
    struct list *first = list_first(&core->writes);
    if (first == NULL)
        return UINT64_MAX;
    return container_of(first, struct write, link)->sent_ms + core->config.resend_ms;
}
