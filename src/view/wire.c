/*
 * Records and messages as bytes.
 */
#include "view/wire.h"

#include <assert.h>
#include <sodium.h>

#include "core/error.h"

#define RECORD_FORM 1
#define MSG_FORM    1

/* ---- writing; the caller has room for the largest ---- */

struct out {
    uint8_t *at;
};

static void w8(struct out *o, uint8_t v)
{
    *o->at++ = v;
}

static void w32(struct out *o, uint32_t v)
{
    put_le32(o->at, v);
    o->at += 4;
}

static void w64(struct out *o, uint64_t v)
{
    put_le64(o->at, v);
    o->at += 8;
}

static void wbytes(struct out *o, const void *data, size_t len)
{
    if (len > 0)
        memcpy(o->at, data, len);
    o->at += len;
}

static void rbytes(struct reader *r, void *to, size_t len)
{
    const uint8_t *from = read_bytes(r, len);
    if (from != NULL)
        memcpy(to, from, len);
}

/* ---- records ---- */

static void put_config(struct out *o, const struct placement_config *config)
{
    w64(o, config->slot_epoch);
    if (config->slot_epoch == 0)
        return;
    w8(o, config->replicas_n);
    for (uint8_t i = 0; i < config->replicas_n; i++)
        w32(o, config->replicas[i]);
}

size_t view_record_encode(const struct view_record *record, uint8_t *out)
{
    struct out o = {out};
    const struct placement *p = &record->placement;

    w8(&o, RECORD_FORM);
    w64(&o, p->epoch);
    wbytes(&o, record->cluster_id, sizeof(record->cluster_id));
    wbytes(&o, record->chain, sizeof(record->chain));
    wbytes(&o, record->prev_hash, sizeof(record->prev_hash));
    w32(&o, record->next_member_id);
    w64(&o, record->durable_slots);
    w8(&o, (uint8_t)record->voters_n);
    for (uint32_t i = 0; i < record->voters_n; i++) {
        wbytes(&o, record->voters[i].node.bytes, KITH_NODE_ID_BYTES);
        wbytes(&o, record->voters[i].disk_id, PLACEMENT_DISK_BYTES);
    }
    w8(&o, (uint8_t)p->keepers_n);
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        const struct placement_keeper *keeper = &p->keepers[i];
        w32(&o, keeper->member_id);
        wbytes(&o, keeper->boot.node.bytes, KITH_NODE_ID_BYTES);
        w64(&o, keeper->boot.boot_no);
        wbytes(&o, keeper->disk_id, PLACEMENT_DISK_BYTES);
        w8(&o, (uint8_t)keeper->state);
    }
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        put_config(&o, &p->slots[i].active);
        put_config(&o, &p->slots[i].chosen);
        w32(&o, p->slots[i].generation);
    }
    assert(o.at - out <= VIEW_RECORD_BYTES_MAX);
    return (size_t)(o.at - out);
}

static void get_config(struct reader *r, struct placement_config *config)
{
    config->slot_epoch = read_le64(r);
    if (config->slot_epoch == 0)
        return;
    config->replicas_n = read_u8(r);
    if (config->replicas_n == 0 || config->replicas_n > PLACEMENT_REPLICAS_MAX) {
        r->bad = true;
        config->replicas_n = 0;
        return;
    }
    for (uint8_t i = 0; i < config->replicas_n; i++)
        config->replicas[i] = read_le32(r);
}

static bool config_good(const struct placement *p, const struct placement_config *config)
{
    for (uint8_t i = 0; i < config->replicas_n; i++) {
        if (placement_keeper_find(p, config->replicas[i]) == NULL)
            return false;
        for (uint8_t j = 0; j < i; j++) {
            if (config->replicas[i] == config->replicas[j])
                return false;
        }
    }
    return true;
}

/* What must hold within one record. */
static bool record_good(const struct view_record *record)
{
    const struct placement *p = &record->placement;

    if (p->epoch == 0 || record->voters_n % 2 == 0)
        return false;
    for (uint32_t i = 0; i < record->voters_n; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (memcmp(&record->voters[i].node, &record->voters[j].node, KITH_NODE_ID_BYTES) == 0)
                return false;
        }
    }
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        uint32_t id = p->keepers[i].member_id;
        if (id == 0 || id >= record->next_member_id || p->keepers[i].state > KEEPER_DIED ||
            p->keepers[i].boot.boot_no == 0)
            return false;
        if (i > 0 && id <= p->keepers[i - 1].member_id)
            return false;
    }
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        const struct placement_slot *slot = &p->slots[i];
        if (!config_good(p, &slot->active) || !config_good(p, &slot->chosen))
            return false;
        if (slot->chosen.slot_epoch != 0 && slot->chosen.slot_epoch <= slot->active.slot_epoch)
            return false;
    }
    return true;
}

static void get_members(struct reader *r, struct view_record *record)
{
    struct placement *p = &record->placement;

    record->voters_n = read_u8(r);
    if (record->voters_n > VIEW_VOTERS_MAX) {
        r->bad = true;
        return;
    }
    for (uint32_t i = 0; i < record->voters_n; i++) {
        rbytes(r, record->voters[i].node.bytes, KITH_NODE_ID_BYTES);
        rbytes(r, record->voters[i].disk_id, PLACEMENT_DISK_BYTES);
    }
    p->keepers_n = read_u8(r);
    if (p->keepers_n > PLACEMENT_MEMBERS_MAX) {
        r->bad = true;
        return;
    }
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        struct placement_keeper *keeper = &p->keepers[i];
        keeper->member_id = read_le32(r);
        rbytes(r, keeper->boot.node.bytes, KITH_NODE_ID_BYTES);
        keeper->boot.boot_no = read_le64(r);
        rbytes(r, keeper->disk_id, PLACEMENT_DISK_BYTES);
        keeper->state = (enum keeper_state)read_u8(r);
    }
}

int view_record_decode(struct view_record *record_out, const uint8_t *data, size_t len)
{
    struct reader r = reader_of(data, len);
    struct view_record *record = record_out;

    memset(record, 0, sizeof(*record));
    if (len > VIEW_RECORD_BYTES_MAX || read_u8(&r) != RECORD_FORM)
        return KITH_E_CORRUPT;
    record->placement.epoch = read_le64(&r);
    rbytes(&r, record->cluster_id, sizeof(record->cluster_id));
    rbytes(&r, record->chain, sizeof(record->chain));
    rbytes(&r, record->prev_hash, sizeof(record->prev_hash));
    record->next_member_id = read_le32(&r);
    record->durable_slots = read_le64(&r);
    get_members(&r, record);
    for (uint32_t i = 0; i < PLACEMENT_SLOTS && !r.bad; i++) {
        get_config(&r, &record->placement.slots[i].active);
        get_config(&r, &record->placement.slots[i].chosen);
        record->placement.slots[i].generation = read_le32(&r);
    }
    return reader_done(&r) && record_good(record) ? 0 : KITH_E_CORRUPT;
}

void view_record_hash(const uint8_t *data, size_t len, uint8_t hash_out[VIEW_HASH_BYTES])
{
    crypto_generichash(hash_out, VIEW_HASH_BYTES, data, len, NULL, 0);
}

/* ---- messages ---- */

enum field {
    F_EPOCH = 1,
    F_BALLOT = 2,
    F_ACCEPTED = 4,
    F_T = 8,
    F_BOOT = 16,
    F_SLOT_EPOCH = 32,
    F_NUMBER = 64,
    F_EXPECT = 128,
    F_DISK = 256,
    F_IDS = 512,
    F_RECORD = 1024,
};

static const unsigned fields[VMSG_LAST + 1] = {
    [VMSG_HELLO] = F_EPOCH | F_BOOT | F_NUMBER | F_EXPECT | F_DISK,
    [VMSG_REFUSE] = F_DISK,
    [VMSG_MINT_ASK] = F_NUMBER | F_EXPECT,
    [VMSG_MINT_OK] = F_NUMBER | F_DISK,
    [VMSG_PREPARE] = F_EPOCH | F_BALLOT,
    [VMSG_PROMISE] = F_EPOCH | F_BALLOT | F_ACCEPTED | F_RECORD,
    [VMSG_NACK] = F_EPOCH | F_BALLOT,
    [VMSG_ACCEPT] = F_EPOCH | F_BALLOT | F_RECORD,
    [VMSG_ACCEPTED] = F_EPOCH | F_BALLOT,
    [VMSG_DECIDED] = F_BALLOT | F_RECORD,
    [VMSG_DECIDED_ACK] = F_EPOCH,
    [VMSG_FETCH] = F_EPOCH,
    [VMSG_HB] = F_EPOCH | F_BALLOT | F_T,
    [VMSG_HB_ACK] = F_EPOCH | F_BALLOT | F_T,
    [VMSG_ASK] = F_EPOCH | F_T | F_BOOT | F_IDS,
    [VMSG_GRANT] = F_EPOCH | F_BALLOT | F_T | F_BOOT | F_NUMBER | F_IDS,
    [VMSG_BEAT] = F_EPOCH | F_BALLOT,
    [VMSG_READY] = F_SLOT_EPOCH | F_NUMBER | F_IDS,
    [VMSG_RESIGN] = F_BALLOT,
};

static void put_ballot(struct out *o, const struct view_ballot *ballot)
{
    w64(o, ballot->round);
    wbytes(o, ballot->node.bytes, KITH_NODE_ID_BYTES);
}

static void get_ballot(struct reader *r, struct view_ballot *ballot)
{
    ballot->round = read_le64(r);
    rbytes(r, ballot->node.bytes, KITH_NODE_ID_BYTES);
}

size_t view_msg_encode(const struct view_msg *msg, uint8_t *out)
{
    struct out o = {out};
    unsigned has = fields[msg->type];

    w8(&o, MSG_FORM);
    w8(&o, (uint8_t)msg->type);
    w8(&o, msg->flags);
    wbytes(&o, msg->cluster_id, VIEW_CLUSTER_BYTES);
    wbytes(&o, msg->chain, VIEW_CLUSTER_BYTES);
    if (has & F_EPOCH)
        w64(&o, msg->epoch);
    if (has & F_BALLOT)
        put_ballot(&o, &msg->ballot);
    if (has & F_ACCEPTED)
        put_ballot(&o, &msg->accepted);
    if (has & F_T)
        w64(&o, msg->t);
    if (has & F_BOOT)
        w64(&o, msg->boot);
    if (has & F_SLOT_EPOCH)
        w64(&o, msg->slot_epoch);
    if (has & F_NUMBER)
        w32(&o, msg->number);
    if (has & F_EXPECT)
        w32(&o, msg->expect);
    if (has & F_DISK)
        wbytes(&o, msg->disk_id, PLACEMENT_DISK_BYTES);
    if (has & F_IDS) {
        assert(msg->ids_n <= VIEW_IDS_MAX);
        w8(&o, (uint8_t)msg->ids_n);
        for (uint32_t i = 0; i < msg->ids_n; i++)
            w32(&o, msg->ids[i]);
    }
    if (has & F_RECORD)
        wbytes(&o, msg->record, msg->record_len);
    return (size_t)(o.at - out);
}

static void get_ids(struct reader *r, struct view_msg *msg)
{
    uint32_t n = read_u8(r);

    if (n > VIEW_IDS_MAX) {
        r->bad = true;
        return;
    }
    msg->ids_n = n;
    for (uint32_t i = 0; i < n; i++)
        msg->ids[i] = read_le32(r);
}

int view_msg_decode(struct view_msg *msg_out, const uint8_t *data, size_t len)
{
    struct reader r = reader_of(data, len);
    struct view_msg *msg = msg_out;

    memset(msg, 0, sizeof(*msg));
    if (len > VIEW_MSG_BYTES_MAX || read_u8(&r) != MSG_FORM)
        return KITH_E_CORRUPT;
    uint8_t type = read_u8(&r);
    if (type == 0 || type > VMSG_LAST)
        return KITH_E_CORRUPT;
    msg->type = (enum view_msg_type)type;
    unsigned has = fields[type];
    msg->flags = read_u8(&r);
    rbytes(&r, msg->cluster_id, VIEW_CLUSTER_BYTES);
    rbytes(&r, msg->chain, VIEW_CLUSTER_BYTES);
    if (has & F_EPOCH)
        msg->epoch = read_le64(&r);
    if (has & F_BALLOT)
        get_ballot(&r, &msg->ballot);
    if (has & F_ACCEPTED)
        get_ballot(&r, &msg->accepted);
    if (has & F_T)
        msg->t = read_le64(&r);
    if (has & F_BOOT)
        msg->boot = read_le64(&r);
    if (has & F_SLOT_EPOCH)
        msg->slot_epoch = read_le64(&r);
    if (has & F_NUMBER)
        msg->number = read_le32(&r);
    if (has & F_EXPECT)
        msg->expect = read_le32(&r);
    if (has & F_DISK)
        rbytes(&r, msg->disk_id, PLACEMENT_DISK_BYTES);
    if (has & F_IDS)
        get_ids(&r, msg);
    if ((has & F_RECORD) && !r.bad) {
        msg->record_len = r.len - r.at;
        msg->record = read_bytes(&r, msg->record_len);
    }
    return reader_done(&r) ? 0 : KITH_E_CORRUPT;
}
