/*
 * Records against repetition: who asked, under which number, and what came of it. They travel in
 * the value, so that whoever is home of it later knows them, too.
 */
#include "dvar/internal.h"

void client_of(const struct dvar_core *core, const struct op *op, struct boot_id *who)
{
    *who =
        op->client == NULL ? core->config.self : (struct boot_id){op->client->id, op->client_boot};
}

const uint8_t *record_find(const struct dvar_core *core, const struct var *var, const struct op *op)
{
    if (var->block == NULL)
        return NULL;
    struct boot_id who;
    client_of(core, op, &who);
    for (uint32_t i = 0; i < var->block->records_n; i++) {
        const uint8_t *record = var->block->bytes + (size_t)i * RECORD_BYTES;
        if (get_le64(record + RECORD_NO) == op->no &&
            get_le64(record + RECORD_BOOT) == who.boot_no &&
            memcmp(record, who.node.bytes, 16) == 0)
            return record;
    }
    return NULL;
}

/*
 * May its asker still repeat the request of this record? Who was not heard of here may have asked
 * the home before, and turn to this one as long as its operation lasts.
 */
bool record_lives(const struct dvar_core *core, const struct slot *slot, const uint8_t *record)
{
    uint64_t boot = get_le64(record + RECORD_BOOT);
    uint64_t no = get_le64(record + RECORD_NO);
    if (memcmp(record, core->config.self.node.bytes, 16) == 0)
        return boot == core->config.self.boot_no && no >= client_low_water(core);
    struct kith_node_id id;
    memcpy(id.bytes, record, 16);
    const struct node *node = mapid_find(&core->by_id, &id);
    uint64_t heard_ms = slot->served_se == slot->active.se ? slot->served_ms : core->now_ms;
    if (node != NULL && boot <= node->boot_no) {
        if (boot < node->boot_no || node->over || no < node->low_water)
            return false;
        heard_ms = node->heard_ms > heard_ms ? node->heard_ms : heard_ms;
    }
    return core->now_ms < heard_ms + ASKED_MS;
}

static void record_put(const struct dvar_core *core, const struct op *op, uint8_t *p)
{
    struct boot_id who;
    client_of(core, op, &who);
    memcpy(p, who.node.bytes, 16);
    put_le64(p + RECORD_BOOT, who.boot_no);
    put_le64(p + RECORD_NO, op->no);
    put_le64(p + RECORD_VERSION, op->version);
    put_le64(p + RECORD_NUMBER, op->number);
    put_le32(p + RECORD_CODE, (uint32_t)op->code);
    put_le32(p + RECORD_APPLIED, op->applied);
}

/* core->records: those that live, and those of @ops. False: too many, or no memory. */
bool records_build(struct dvar_core *core, const struct var *var, const struct op *ops)
{
    struct buf *records = &core->records;
    records->len = 0;
    for (uint32_t i = 0; var->block != NULL && i < var->block->records_n; i++) {
        const uint8_t *record = var->block->bytes + (size_t)i * RECORD_BYTES;
        if (record_lives(core, &core->slots[var->slot], record) &&
            buf_append(records, record, RECORD_BYTES) != 0)
            return false;
    }
    for (const struct op *op = ops; op != NULL; op = op->next) {
        if (buf_reserve(records, RECORD_BYTES) != 0)
            return false;
        record_put(core, op, records->data + records->len);
        records->len += RECORD_BYTES;
    }
    return records->len <= (size_t)DVAR_RECORDS_MAX * RECORD_BYTES;
}
