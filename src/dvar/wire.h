/*
 * Messages between the cores of variables. A frame is messages one after the other, each with a
 * head of 8 bytes: u8 type, u8 flags, u16 slot, u32 bytes of the rest. Little endian.
 * docs/protocols/dvar.md has the table of their fields.
 */
#ifndef DVAR_WIRE_H
#define DVAR_WIRE_H

#define WIRE_HEAD_BYTES 8

enum wire_type {
    WIRE_REQ = 1,
    WIRE_RES = 2,
    WIRE_INV = 3,
    WIRE_ACK = 4,
    WIRE_VAL = 5,
    WIRE_ASK = 6,
    WIRE_PULL = 7,
    WIRE_STATE = 8,
    WIRE_RELEASE = 9,
    WIRE_RELEASED = 10,
    WIRE_VALALL = 11,
    WIRE_RENEW = 12,
    WIRE_GRANT = 13,
    WIRE_SINV = 14,
    WIRE_SACK = 15,
    WIRE_SDROP = 16,
    WIRE_SDROPPED = 17,
    WIRE_WATCH = 18,
    WIRE_MARK = 19,
    WIRE_PUSH = 20,
    WIRE_PUSH_ACK = 21,
    WIRE_SHARE = 22,
    WIRE_SHARED = 23,
    WIRE_RELAY = 24, /* these last: none of them is relayed */
    WIRE_RELAYED = 25,
    WIRE_HAVE = 26,
};

enum wire_flags {
    WIRE_RESENT = 1 << 0,   /* REQ: it may be there already */
    WIRE_FETCH = 1 << 1,    /* REQ: the answer is to be cached */
    WIRE_DELTA = 1 << 0,    /* INV: for the base version only */
    WIRE_AHEAD = 1 << 1,    /* INV: who gets it watches, and may tell of it ahead of the home */
    WIRE_OTHER = 1 << 0,    /* ACK: not taken, another base is here: send all of it */
    WIRE_CACHE = 1 << 0,    /* RES: may be cached */
    WIRE_NOT_HOME = 1 << 1, /* RES: ask somebody else */
    WIRE_BUSY = 1 << 2,     /* RES: later */
    WIRE_WHOLE = 1 << 3,    /* RES: carries the value */
    WIRE_APPLIED = 1 << 4,  /* RES */
    WIRE_MORE = 1 << 0,     /* STATE: pull on */
    WIRE_VOID = 1 << 1,     /* PUSH: no value; its changes count to the next one of this name */
    WIRE_NO_SHARE = 1 << 1, /* STATE: of the active epoch nothing is cached, for all I was told */
    WIRE_INITIAL = 1 << 0,  /* PUSH: no change, but what exists, for new watches */
};

#define WIRE_INV_BYTES   32 /* ts, base, version, u32 wid, u16 records, u8 name, u8 who watches */
#define WIRE_AHEAD_BYTES 12 /* in an INV with that flag, behind its head: stream, u32 folded */
#define WIRE_REQ_BYTES   44 /* no, low water, session, epoch, u32 remaining, u32 op, u32 name */
#define WIRE_RES_BYTES   56 /* no, ts, version, number, i32 code, u32 data, type, text, epoch */
#define WIRE_ENTRY_BYTES 28 /* ts, version, u32 value, u32 records, u32 name */
#define WIRE_PUSH_BYTES  52 /* no, version, stream, from, mark, u32 missed, u32 name, u32 watch */

#endif
