/*
 * Encoding and decoding of membership datagrams.
 */
#include "member/wire.h"

#include "kith/error.h"

size_t wire_put_varint(uint8_t *out, uint64_t value)
{
    size_t n = 0;
    while (value >= 0x80) {
        out[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[n++] = (uint8_t)value;
    return n;
}

uint64_t wire_read_varint(struct reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = read_u8(r);
        /* The tenth byte holds the one bit that is left. */
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return value;
    }
    r->bad = true;
    return 0;
}

static size_t put_about(uint8_t *out, const struct msg *msg)
{
    memcpy(out, msg->id.bytes, KITH_NODE_ID_BYTES);
    size_t at = KITH_NODE_ID_BYTES;
    at += wire_put_varint(out + at, msg->boot_no);
    at += wire_put_varint(out + at, msg->n);
    return at;
}

static size_t put_load(uint8_t *out, const struct msg *msg)
{
    size_t at = wire_put_varint(out, msg->value);
    at += wire_put_varint(out + at, msg->u.load.memory_available_bytes);
    at += wire_put_varint(out + at, msg->u.load.load_milli);
    at += wire_put_varint(out + at, msg->u.load.cpu_permille);
    return at + wire_put_varint(out + at, msg->u.load.queue_len);
}

static size_t put_suspect(uint8_t *out, const struct msg *msg)
{
    size_t at = put_about(out, msg);
    out[at++] = msg->accusers_n;
    for (uint8_t i = 0; i < msg->accusers_n; i++, at += 8)
        put_le64(out + at, msg->accusers[i]);
    return at;
}

static size_t put_facts(uint8_t *out, const struct msg *msg)
{
    size_t at = wire_put_varint(out, msg->n);
    at += wire_put_varint(out + at, msg->value);
    put_le16(out + at, (uint16_t)msg->u.record.len);
    memcpy(out + at + 2, msg->u.record.data, msg->u.record.len);
    return at + 2 + msg->u.record.len;
}

size_t wire_encode(uint8_t *out, const struct msg *msg)
{
    size_t at = 1;
    out[0] = (uint8_t)msg->type;
    switch (msg->type) {
    case MSG_PING:
    case MSG_ACK:
    case MSG_ACK_LOAD:
    case MSG_PING_REQ:
    case MSG_NACK:
    case MSG_RELAY_ACK:
        put_le32(out + at, msg->seq);
        at += 4;
        if (msg->type == MSG_ACK_LOAD)
            return at + put_load(out + at, msg);
        if (msg->type == MSG_PING_REQ) {
            memcpy(out + at, msg->id.bytes, KITH_NODE_ID_BYTES);
            at += KITH_NODE_ID_BYTES;
            at += wire_put_varint(out + at, msg->value);
        }
        return at;
    case MSG_ALIVE:
        return at + put_about(out + at, msg);
    case MSG_SUSPECT:
        return at + put_suspect(out + at, msg);
    case MSG_FAILED:
        at += put_about(out + at, msg);
        put_le64(out + at, msg->accusers[0]);
        return at + 8;
    case MSG_FACTS:
        return at + put_facts(out + at, msg);
    case MSG_REGISTRY:
        memcpy(out + at, msg->id.bytes, KITH_NODE_ID_BYTES);
        at += KITH_NODE_ID_BYTES;
        at += wire_put_varint(out + at, msg->boot_no);
        return at + wire_put_varint(out + at, msg->value);
    case MSG_FORGOTTEN:
        at += put_about(out + at, msg);
        return at + wire_put_varint(out + at, msg->value);
    }
    return 0;
}

static void read_id(struct reader *r, struct kith_node_id *id)
{
    const uint8_t *bytes = read_bytes(r, KITH_NODE_ID_BYTES);
    if (bytes != NULL)
        memcpy(id->bytes, bytes, KITH_NODE_ID_BYTES);
}

static void read_about(struct reader *r, struct msg *msg)
{
    read_id(r, &msg->id);
    msg->boot_no = wire_read_varint(r);
    msg->n = wire_read_varint(r);
    /* n + 1 must exist: it is what refutes. */
    if (msg->n >= UINT64_MAX - 1)
        r->bad = true;
}

static uint32_t read_u32_varint(struct reader *r)
{
    uint64_t value = wire_read_varint(r);
    if (value > UINT32_MAX)
        r->bad = true;
    return (uint32_t)value;
}

static void read_load(struct reader *r, struct msg *msg)
{
    msg->value = read_u32_varint(r);
    msg->u.load = (struct member_load){0};
    msg->u.load.memory_available_bytes = wire_read_varint(r);
    msg->u.load.load_milli = read_u32_varint(r);
    msg->u.load.cpu_permille = read_u32_varint(r);
    msg->u.load.queue_len = read_u32_varint(r);
}

static void read_accusers(struct reader *r, struct msg *msg)
{
    msg->accusers_n = read_u8(r);
    if (msg->accusers_n > MEMBER_ACCUSERS_MAX) {
        r->bad = true;
        return;
    }
    for (uint8_t i = 0; i < msg->accusers_n; i++)
        msg->accusers[i] = read_le64(r);
}

static void read_facts(struct reader *r, struct msg *msg)
{
    msg->n = wire_read_varint(r);
    msg->value = wire_read_varint(r);
    size_t len = read_le16(r);
    const uint8_t *bytes = read_bytes(r, len);
    if (bytes == NULL || msg->n >= UINT64_MAX - 1 || facts_peek(&msg->u.record, bytes, len) != 0) {
        r->bad = true;
        return;
    }
    msg->id = msg->u.record.id;
    msg->boot_no = msg->u.record.boot_no;
}

static void read_message(struct reader *r, struct msg *msg)
{
    msg->type = (enum msg_type)read_u8(r);
    switch (msg->type) {
    case MSG_PING:
    case MSG_ACK:
    case MSG_NACK:
    case MSG_RELAY_ACK:
        msg->seq = read_le32(r);
        return;
    case MSG_ACK_LOAD:
        msg->seq = read_le32(r);
        read_load(r, msg);
        return;
    case MSG_PING_REQ:
        msg->seq = read_le32(r);
        read_id(r, &msg->id);
        msg->value = read_u32_varint(r);
        return;
    case MSG_ALIVE:
        read_about(r, msg);
        return;
    case MSG_SUSPECT:
        read_about(r, msg);
        read_accusers(r, msg);
        return;
    case MSG_FAILED:
        read_about(r, msg);
        msg->accusers[0] = read_le64(r);
        msg->accusers_n = 1;
        return;
    case MSG_FACTS:
        read_facts(r, msg);
        return;
    case MSG_REGISTRY:
        read_id(r, &msg->id);
        msg->boot_no = wire_read_varint(r);
        msg->value = wire_read_varint(r);
        return;
    case MSG_FORGOTTEN:
        read_about(r, msg);
        msg->value = wire_read_varint(r);
        return;
    }
    r->bad = true;
}

int wire_decode(struct msg *msgs, const uint8_t *data, size_t len)
{
    struct reader r = reader_of(data, len);
    int n = 0;
    while (r.at < r.len) {
        if (n == MEMBER_MESSAGES_MAX)
            return KITH_E_CORRUPT;
        read_message(&r, &msgs[n++]);
        if (r.bad)
            return KITH_E_CORRUPT;
    }
    return n > 0 ? n : KITH_E_CORRUPT;
}
