/*
 * What a slot moves by: state that is pulled piece by piece, and who lets go of it.
 */
#include "dvar/internal.h"
#include "dvar/wire.h"

static struct var *pull_from(struct slot *slot, uint64_t cursor)
{
    if (cursor != 0 && slot->pull_at[0] != NULL && slot->pull_pos[0] == cursor)
        return slot->pull_at[0];
    uint64_t at = 0;
    list_for_each (it, &slot->vars) {
        if (at++ == cursor)
            return container_of(it, struct var, link);
    }
    return NULL;
}

static size_t entry_bytes(const struct var *var)
{
    return WIRE_ENTRY_BYTES + var->name_len + (size_t)var->block->records_n * RECORD_BYTES +
           var->block->len;
}

static void send_state(struct dvar_core *core, struct node *to, uint32_t slot_no, uint64_t cursor)
{
    struct slot *slot = &core->slots[slot_no];
    struct var *first = pull_from(slot, cursor);
    size_t bytes = 24;
    uint64_t n = 0;
    struct var *var = first;
    while (var != NULL && (n == 0 || bytes + entry_bytes(var) <= DVAR_PIECE_BYTES)) {
        bytes += entry_bytes(var);
        n++;
        var = var->link.next == &slot->vars ? NULL : container_of(var->link.next, struct var, link);
    }
    uint8_t flags = var != NULL ? WIRE_MORE : 0;
    if (slot_unshared(slot))
        flags |= WIRE_NO_SHARE;
    uint8_t *p = message_add(core, to, WIRE_STATE, flags, slot_no, bytes);
    if (p == NULL)
        return;
    slot->pull_at[0] = var;
    slot->pull_pos[0] = cursor + n;
    put_le64(p, slot->chosen.se);
    put_le64(p + 8, cursor);
    put_le64(p + 16, cursor + n);
    p += 24;
    for (var = first; n > 0; n--) {
        const struct block *block = var->block;
        put_le64(p, var->ts);
        put_le64(p + 8, block->version);
        put_le32(p + 16, block->len);
        put_le32(p + 20, block->records_n);
        put_le32(p + 24, var->name_len);
        memcpy(p + WIRE_ENTRY_BYTES, var->name, var->name_len);
        p += WIRE_ENTRY_BYTES + var->name_len;
        size_t body = (size_t)block->records_n * RECORD_BYTES + block->len;
        memcpy(p, block->bytes, body);
        p += body;
        if (n > 1)
            var = container_of(var->link.next, struct var, link);
    }
}

int on_pull(
    struct dvar_core *core, struct node *from, uint64_t boot, uint32_t slot_no, struct reader *r)
{
    uint64_t se = read_le64(r);
    uint64_t cursor = read_le64(r);
    if (r->bad)
        return KITH_E_CORRUPT;
    struct slot *slot = &core->slots[slot_no];
    if (slot->chosen.se != se || slot->joined_se != se || slot->chosen.self <= 0 ||
        slot->chosen.nodes[0] != from || slot->chosen.boots[0] != boot ||
        !slot_is_drained(core, slot_no))
        return 0;
    slot_release(slot, se);
    send_state(core, from, slot_no, cursor);
    return 0;
}

static int merge_entry(struct dvar_core *core, uint32_t slot_no, struct reader *r)
{
    struct slot *slot = &core->slots[slot_no];
    uint64_t ts = read_le64(r);
    uint64_t version = read_le64(r);
    uint32_t len = read_le32(r);
    uint32_t records_n = read_le32(r);
    uint32_t name_len = read_le32(r);
    struct value value;
    if (r->bad || name_len == 0 || name_len > KITH_NAME_BYTES_MAX || version > ts ||
        records_n > DVAR_RECORDS_MAX)
        return KITH_E_CORRUPT;
    const char *name = (const char *)read_bytes(r, name_len);
    const uint8_t *records = read_bytes(r, (size_t)records_n * RECORD_BYTES);
    const uint8_t *body = read_bytes(r, len);
    if (r->bad || value_decode(body, len, &value) != 0)
        return KITH_E_CORRUPT;
    if (TS_SE(ts) < slot->active.se)
        return 0; /* older than the active configuration: it was gone before */
    struct var *var = var_get(core, name, name_len, (int)slot_no);
    if (var == NULL)
        return KITH_E_MEMORY;
    if (var->slot != slot_no)
        return KITH_E_CORRUPT;
    if (var->in_slot && var->ts >= ts)
        return 0;
    if (var->state == VAR_CACHED)
        cache_drop(core, var);
    if (var->cell != NULL)
        cell_take_back(var->cell);
    if (!var_store(core, var, version, records, records_n, body, len)) {
        var_settle(core, var);
        return KITH_E_MEMORY;
    }
    var->ts = ts;
    var->state = VAR_INVALID;
    var_join_slot(core, var);
    return 0;
}

int on_state(struct dvar_core *core,
             struct node *from,
             uint64_t boot,
             uint32_t slot_no,
             uint8_t flags,
             struct reader *r)
{
    uint64_t se = read_le64(r);
    uint64_t cursor = read_le64(r);
    uint64_t next = read_le64(r);
    struct slot *slot = &core->slots[slot_no];
    struct sync *sync = slot->sync;
    if (r->bad)
        return KITH_E_CORRUPT;
    if (sync == NULL || sync->se != se || sync->committing || from == NULL)
        return 0;
    for (uint32_t i = 1; i < slot->chosen.n; i++) {
        if (slot->chosen.nodes[i] != from || slot->chosen.boots[i] != boot ||
            sync->cursor[i] != cursor || (sync->pulled & 1u << i) != 0)
            continue;
        while (r->at < r->len) {
            int rc = merge_entry(core, slot_no, r);
            if (rc != 0)
                return rc; /* asked for again */
        }
        sync->unshared |= (flags & WIRE_NO_SHARE) != 0;
        sync->cursor[i] = next;
        if ((flags & WIRE_MORE) != 0)
            send_pull(core, slot_no, i);
        else
            sync->pulled |= 1u << i;
        sync_step(core, slot_no);
        return 0;
    }
    return 0;
}

int on_release(struct dvar_core *core, struct node *from, uint32_t slot_no, struct reader *r)
{
    uint64_t se = read_le64(r);
    if (r->bad)
        return KITH_E_CORRUPT;
    struct slot *slot = &core->slots[slot_no];
    if (slot->chosen.se != se || slot->joined_se != se || slot->chosen.nodes[0] != from ||
        slot->active.self < 0 || !slot_is_drained(core, slot_no))
        return 0;
    slot_release(slot, se);
    uint8_t *p = message_add(core, from, WIRE_RELEASED, 0, slot_no, 8);
    if (p != NULL)
        put_le64(p, se);
    return 0;
}

int on_released(
    struct dvar_core *core, struct node *from, uint64_t boot, uint32_t slot_no, struct reader *r)
{
    uint64_t se = read_le64(r);
    if (r->bad)
        return KITH_E_CORRUPT;
    struct slot *slot = &core->slots[slot_no];
    struct sync *sync = slot->sync;
    if (sync == NULL || sync->se != se || from == NULL)
        return 0;
    for (uint32_t i = 0; i < slot->active.n; i++) {
        if (slot->active.nodes[i] != from || slot->active.boots[i] != boot ||
            (sync->released & 1u << i) != 0)
            continue;
        sync->released |= 1u << i;
        if (sync->done)
            sync_ready(core, slot_no);
    }
    return 0;
}

int on_valall(
    struct dvar_core *core, struct node *from, uint64_t boot, uint32_t slot_no, struct reader *r)
{
    uint64_t upto = read_le64(r);
    if (r->bad)
        return KITH_E_CORRUPT;
    struct slot *slot = &core->slots[slot_no];
    if (slot->active.self <= 0 || slot->active.se != TS_SE(upto) || slot->active.nodes[0] != from ||
        slot->active.boots[0] != boot || slot->released_se > slot->active.se)
        return 0;
    list_for_each (it, &slot->vars) {
        struct var *var = container_of(it, struct var, link);
        if (TS_SE(var->ts) != slot->active.se || var->ts > upto)
            continue;
        var->state = VAR_VALID;
        var->stamp = slot->stamp;
        var_publish(core, var);
    }
    return 0;
}
