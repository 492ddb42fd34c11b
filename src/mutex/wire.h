/*
 * Messages of mutexes as bytes (FRAME_MUTEX). One layout for all: a head that names type, mutex,
 * generation and the sender's joining; numbers whose meaning the type says; then lists and texts.
 *
 *   u8 version (1)  u8 type  u8 flags  u8 name length  name
 *   u32 gen  u32 joined  u32 to_joined  u32 member_id  u64 epoch  u64 a  u64 b  u64 c
 *   u16 parts  { 16 node  u64 boot  u32 joined  u32 member_id  u64 epoch  u32 ln }
 *   u16 queue  { u32 joined }
 *   u16 holds  { u64 rid  u64 fence  u64 owner  u64 pid  u64 age  u64 left  u8 flags  u8 text
 * length  text } u16 text length  text
 *
 * What a type does not use is zero and costs little; a token of four participants is 260 bytes.
 */
#ifndef MUTEX_WIRE_H
#define MUTEX_WIRE_H

#include "core/boot_id.h"
#include "core/bytes.h"
#include "core/limits.h"

enum mutex_msg_type {
    MSG_REQ = 1, /* a: request number. A participant wants the token */
    MSG_TOK,     /* a: transfer number, b: count; parts with ln, queue */
    MSG_TACK,    /* a: transfer number */
    MSG_HOLD,    /* a: request number; text: who holds it. An answer to a REQ that was repeated */
    MSG_DOUBT,   /* a: ms waited, b: ms without an answer. To the home */
    MSG_RECOVER, /* the home begins a generation */
    MSG_REPORT,  /* a: request number, b: of them done; holds */
    MSG_GRANT,   /* parts with ln: a token is made */
    MSG_GACK,
    MSG_NEWER,  /* gen is newer than yours: read the record */
    MSG_QREQ,   /* a: rid. Queue mode, to the home */
    MSG_QGRANT, /* a: rid, b: fence */
    MSG_QTOOK,  /* a: rid, b: fence */
    MSG_QREL,   /* a: rid */
    MSG_QACK,   /* a: rid; text: who holds it (of a try that was refused: MSG_BUSY) */
    MSG_LEASE,  /* a: when it was sent. An edge to a home; no name */
    MSG_LEASED, /* a: as asked, b: ms granted, c: bit per slot it holds for; no name */
    MSG_LEFT,   /* a participant has left */
    MSG_ASK,    /* a: ask. Who holds it and who waits? */
    MSG_TELL,   /* a: ask, b: waiting in all; holds; text: the node's name */
    MSG_BREAK,  /* a: ask. To the home */
    MSG_BROKEN, /* a: ask, b: code as a positive number; text */
    MSG_PROBE,  /* a: origin's rid, b: origin's owner; parts[0]: origin; text: the path so far */
    MSG_LAST = MSG_PROBE,
};

/* flags */
#define MSG_AGAIN  1u   /* REQ, QREQ: sent before: say who holds it */
#define MSG_TRY    2u   /* REQ, QREQ: will not wait */
#define MSG_SHARED 4u   /* QREQ */
#define MSG_LOST   8u   /* DOUBT: the sender had the token and lost it */
#define MSG_QUEUE  16u  /* RECOVER: by a queue from now on. DOUBT: that is wanted */
#define MSG_FORCE  32u  /* RECOVER: who holds it loses it */
#define MSG_BUSY   64u  /* QACK: a try that would have to wait */
#define MSG_WANTS  128u /* REPORT: there are waiters */

#define HOLD_HOLDS  1u
#define HOLD_SHARED 2u

struct mutex_msg_part {
    struct boot_id boot;
    uint32_t joined;
    uint32_t member_id; /* 0: lives by a session */
    uint64_t epoch;
    uint32_t ln;
};

struct mutex_msg_hold {
    uint64_t rid, fence, owner, pid, age_ms, left_ms;
    uint8_t flags;
    uint8_t text_len;
    const char *text; /* not terminated */
};

struct mutex_msg {
    uint8_t type;
    uint8_t flags;
    const char *name; /* not terminated */
    uint8_t name_len;
    uint32_t gen;
    uint32_t joined;    /* the sender's */
    uint32_t to_joined; /* the receiver's */
    uint32_t member_id; /* the sender's lease: see mutex_msg_part */
    uint64_t epoch;
    uint64_t a, b, c;
    uint16_t parts_n, queue_n, holds_n, text_len;
    const char *text;
    /* Decoded: readers over what was checked; see mutex_msg_next_*. Encoding appends them itself.
     */
    struct reader parts, queue, holds;
};

/* Encoding: head, then exactly as many parts, queue entries and holds as the head says, then the
 * text. 0 or KITH_E_MEMORY (the caller cuts @out back). */
int mutex_msg_head(struct buf *out, const struct mutex_msg *msg);
int mutex_msg_parts(struct buf *out, uint16_t n);
int mutex_msg_part(struct buf *out, const struct mutex_msg_part *part);
int mutex_msg_u16(struct buf *out, uint16_t n); /* before queue entries, before holds */
int mutex_msg_u32(struct buf *out, uint32_t value);
int mutex_msg_hold(struct buf *out, const struct mutex_msg_hold *hold);
int mutex_msg_text(struct buf *out, const char *text, size_t len); /* the last */

/* Everything is checked, lists too. 0 or KITH_E_CORRUPT. Borrows @data. */
int mutex_msg_decode(struct mutex_msg *msg_out, const uint8_t *data, size_t len);
/* The next of a list, false at its end. */
bool mutex_msg_next_part(struct mutex_msg *msg, struct mutex_msg_part *part_out);
bool mutex_msg_next_queued(struct mutex_msg *msg, uint32_t *joined_out);
bool mutex_msg_next_hold(struct mutex_msg *msg, struct mutex_msg_hold *hold_out);

/* A name that a mutex may have. */
bool mutex_name_fits(const char *name, size_t len);

#endif
