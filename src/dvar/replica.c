/*
 * A replica: takes what the home orders, says so, and reads when it may.
 */
#include "dvar/internal.h"
#include "dvar/wire.h"

/* The configuration of @slot with epoch @se if @from in this boot is its home and we are in it. */
static const struct config *
config_of(const struct slot *slot, uint64_t se, const struct node *from, uint64_t boot)
{
    const struct config *config = slot->active.se == se ? &slot->active : &slot->chosen;
    if (config->se != se || se == 0 || config->n == 0 || config->self <= 0)
        return NULL;
    if (config->nodes[0] != from || (config->boots[0] != boot && !MUTANT(DVAR_ANY_BOOT)))
        return NULL;
    return config;
}

static void send_ack(struct dvar_core *core,
                     struct node *to,
                     uint8_t flags,
                     uint32_t slot,
                     uint64_t ts,
                     uint32_t wid)
{
    uint8_t *p = message_add(core, to, WIRE_ACK, flags, slot, 12);
    if (p == NULL)
        return;
    put_le64(p, ts);
    put_le32(p + 8, wid);
}

/* The value of an INV: as it came, or made of the one here. False: another base is here. */
static bool value_of(struct dvar_core *core,
                     const struct var *var,
                     bool delta,
                     uint64_t base,
                     const uint8_t **body,
                     size_t *len)
{
    if (!delta)
        return true;
    if (var->block == NULL || var->ts != base)
        return false;
    struct buf *scratch = &core->scratch;
    scratch->len = 0;
    const uint8_t *from = block_value(var->block);
    int r = *len == 0 ? buf_append(scratch, from, var->block->len)
                      : value_patch(from, var->block->len, *body, *len, scratch);
    if (r != 0)
        return false;
    *body = scratch->data;
    *len = scratch->len;
    return true;
}

static void
persist_then_ack(struct dvar_core *core, struct var *var, struct node *home, uint32_t wid)
{
    struct persisting *p = core_malloc(sizeof(*p));
    uint64_t token = p != NULL ? persist(core, var) : 0;
    if (token == 0) {
        core_free(p);
        core->short_of_memory = true;
        return; /* never acknowledged; the home sends it again, and we try again */
    }
    *p = (struct persisting){.var = var, .home = home, .token = token, .ts = var->ts, .wid = wid};
    list_append(&core->persisting, &p->link);
    var->pins++;
}

int on_inv(struct dvar_core *core,
           struct node *from,
           uint64_t boot,
           uint8_t flags,
           uint32_t slot_no,
           struct reader *r)
{
    uint64_t ts = read_le64(r);
    uint64_t base = read_le64(r);
    uint64_t version = read_le64(r);
    uint32_t wid = read_le32(r);
    uint32_t records_n = read_le16(r);
    uint8_t name_len = read_u8(r);
    uint8_t ahead = read_u8(r);
    bool may_tell = (flags & WIRE_AHEAD) != 0;
    uint64_t stream = may_tell ? read_le64(r) : 0;
    uint32_t folded = may_tell ? read_le32(r) : 0;
    const char *name = (const char *)read_bytes(r, name_len);
    const uint8_t *records = read_bytes(r, (size_t)records_n * RECORD_BYTES);
    size_t len = r->bad ? 0 : r->len - r->at;
    const uint8_t *body = read_bytes(r, len);
    struct value value;
    bool delta = (flags & WIRE_DELTA) != 0;
    if (r->bad || name_len == 0 || records_n > DVAR_RECORDS_MAX || ts == 0 || version > ts ||
        (!delta && value_decode(body, len, &value) != 0))
        return KITH_E_CORRUPT;
    struct slot *slot = &core->slots[slot_no];
    uint64_t se = TS_SE(ts);
    const struct config *config = from != NULL ? config_of(slot, se, from, boot) : NULL;
    if (config == NULL || se < slot->joined_se || !slot_is_drained(core, slot_no))
        return 0;
    struct var *var = var_get(core, name, name_len, (int)slot_no);
    if (var == NULL || var->slot != slot_no)
        return 0;
    if (ts <= var->ts && var->in_slot) {
        if (var_on_disk(core, var))
            send_ack(core, from, 0, slot_no, ts, wid);
        if (ts == var->ts)
            ahead_say(core, config, slot_no, ts, ahead);
        return 0;
    }
    if (!value_of(core, var, delta, base, &body, &len)) {
        send_ack(core, from, WIRE_OTHER, slot_no, ts, wid);
        var_settle(core, var);
        return 0;
    }
    if (var->cell != NULL)
        cell_take_back(var->cell);
    if (var->state == VAR_CACHED)
        cache_drop(core, var);
    bool durable = var_is_durable(var);
    if (!var_store(core, var, version, records, records_n, body, len)) {
        var_settle(core, var);
        return 0;
    }
    var->ts = ts;
    var->state = VAR_INVALID;
    var_join_slot(core, var);
    core->stats.writes_replica++;
    if (durable || var_is_durable(var)) {
        persist_then_ack(core, var, from, wid);
        return 0;
    }
    ahead_say(core, config, slot_no, ts, ahead); /* first, as it has the longer way */
    send_ack(core, from, 0, slot_no, ts, wid);
    if (may_tell)
        ahead_begin(core, var, ts, stream, folded);
    return 0;
}

void replica_valid(struct dvar_core *core, struct var *var)
{
    var->state = VAR_VALID;
    var->stamp = core->slots[var->slot].stamp;
    var_publish(core, var);
}

int on_val(
    struct dvar_core *core, struct node *from, uint64_t boot, uint32_t slot_no, struct reader *r)
{
    uint64_t ts = read_le64(r);
    uint8_t name_len = read_u8(r);
    const char *name = (const char *)read_bytes(r, name_len);
    if (r->bad)
        return KITH_E_CORRUPT;
    const struct slot *slot = &core->slots[slot_no];
    struct var *var = var_find(core, name, name_len);
    if (var == NULL || var->ts != ts || !var->in_slot || var->slot != slot_no)
        return 0;
    if (slot->active.n == 0 || slot->active.self < 0 || slot->active.nodes[0] != from ||
        slot->active.boots[0] != boot || slot->released_se > slot->active.se)
        return 0;
    replica_valid(core, var);
    return 0;
}

/* Whether a copy is good is not known here (a VAL was lost, or a lease): its home knows. */
void replica_ask(struct dvar_core *core, struct var *var)
{
    const struct slot *slot = &core->slots[var->slot];
    if (slot->active.self <= 0 || var->block == NULL || !var->in_slot)
        return;
    uint8_t *p =
        message_add(core, slot->active.nodes[0], WIRE_ASK, 0, var->slot, 9 + (size_t)var->name_len);
    if (p == NULL)
        return;
    put_le64(p, var->ts);
    p[8] = var->name_len;
    memcpy(p + 9, var->name, var->name_len);
}

void replica_persisted(struct dvar_core *core, uint64_t token)
{
    list_for_each_safe (it, &core->persisting) {
        struct persisting *p = container_of(it, struct persisting, link);
        if (p->token > token)
            break;
        list_remove(&p->link);
        if (p->home != NULL && p->var->ts == p->ts && p->var->in_slot)
            send_ack(core, p->home, 0, p->var->slot, p->ts, p->wid);
        var_unpin(core, p->var);
        core_free(p);
    }
}

int replica_recall(struct dvar_core *core, const struct dvar_event *event)
{
    struct reader r = reader_of(event->data, event->len);
    uint64_t ts = read_le64(&r);
    uint64_t version = read_le64(&r);
    uint32_t records_n = read_le32(&r);
    struct value value;
    if (event->key_len < 3 || event->key_len > DVAR_KEY_BYTES_MAX || event->key[0] != 'd' ||
        event->key[1] != 'v' || r.bad || version > ts || records_n > DVAR_RECORDS_MAX)
        return KITH_E_CORRUPT;
    const uint8_t *records = read_bytes(&r, (size_t)records_n * RECORD_BYTES);
    size_t len = r.bad ? 0 : r.len - r.at;
    const uint8_t *body = read_bytes(&r, len);
    if (r.bad || value_decode(body, len, &value) != 0)
        return KITH_E_CORRUPT;
    struct var *var = var_get(core, (const char *)event->key + 2, event->key_len - 2, -1);
    if (var == NULL || !var_store(core, var, version, records, records_n, body, len))
        return KITH_E_MEMORY;
    var->ts = ts;
    var->state = VAR_INVALID;
    var_join_slot(core, var);
    return 0;
}
