/*
 * Datagrams: several messages one behind the other, each a type byte and its fields.
 *
 * Integers are little-endian if fixed, LEB128 if called varint (at most 10 bytes). A datagram is
 * decoded as a whole before any of it is acted on: damage anywhere drops all of it.
 */
#ifndef MEMBER_WIRE_H
#define MEMBER_WIRE_H

#include "core/bytes.h"
#include "member/facts.h"

enum msg_type {
    MSG_PING = 1,       /* u32 seq */
    MSG_ACK = 2,        /* u32 seq */
    MSG_ACK_LOAD = 3,   /* u32 seq, varints age_ms, memory_available, load, cpu, queue */
    MSG_PING_REQ = 4,   /* u32 seq, id target, varint nack_after_ms (0: no nack wanted) */
    MSG_NACK = 5,       /* u32 seq */
    MSG_RELAY_ACK = 6,  /* u32 seq */
    MSG_ALIVE = 7,      /* id, varints boot_no, n */
    MSG_SUSPECT = 8,    /* id, varints boot_no, n, u8 accusers_n, u64 each */
    MSG_FAILED = 9,     /* id, varints boot_no, n, u64 who says so */
    MSG_FACTS = 10,     /* varints n, registry_version, u16 length, signed record */
    MSG_REGISTRY = 11,  /* id, varints boot_no, registry_version */
    MSG_FORGOTTEN = 12, /* id, varints boot_no, n, remaining_ms */
};

struct msg {
    enum msg_type type;
    uint32_t seq;
    struct kith_node_id id; /* whom it is about, or the target */
    uint64_t boot_no;
    uint64_t n;
    uint64_t value; /* nack_after_ms, registry_version, remaining_ms, age_ms */
    uint8_t accusers_n;
    uint64_t accusers[MEMBER_ACCUSERS_MAX];
    union {
        struct member_load load;
        struct facts_record record;
    } u;
};

/* Longest message other than FACTS. */
#define WIRE_SMALL_BYTES_MAX (1 + 16 + 3 * 10 + 1 + 8 * MEMBER_ACCUSERS_MAX)

size_t wire_put_varint(uint8_t *out, uint64_t value); /* at most 10 bytes */
uint64_t wire_read_varint(struct reader *r);

/* Encodes at @out, which has room for WIRE_SMALL_BYTES_MAX, or for FACTS 23 more than the record.
 */
size_t wire_encode(uint8_t *out, const struct msg *msg);

/*
 * Decodes a whole datagram. @msgs has MEMBER_MESSAGES_MAX places; records point into @data, and
 * only their heads have been read (facts_peek()). Returns how many, or KITH_E_CORRUPT.
 */
int wire_decode(struct msg *msgs, const uint8_t *data, size_t len);

#endif
