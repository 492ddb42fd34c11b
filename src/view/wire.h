/*
 * Records and messages as bytes: fixed little-endian fields, every length checked. A record has one
 * encoding only, as its hash chains the next one to it.
 */
#ifndef VIEW_WIRE_H
#define VIEW_WIRE_H

#include "core/bytes.h"
#include "view/view.h"

#define VIEW_HASH_BYTES 32

/* What is decided, an epoch each (placement.epoch). */
struct view_record {
    uint8_t cluster_id[VIEW_CLUSTER_BYTES];
    uint8_t chain[VIEW_CLUSTER_BYTES]; /* drawn when the first record was minted */
    uint8_t prev_hash[VIEW_HASH_BYTES];
    uint32_t next_member_id;
    uint64_t durable_slots; /* a bit each: never counted as lost */
    struct view_voter voters[VIEW_VOTERS_MAX];
    uint32_t voters_n; /* odd */
    struct placement placement;
};

/* Returns the length, at most VIEW_RECORD_BYTES_MAX, which @out has room for. */
size_t view_record_encode(const struct view_record *record, uint8_t *out);
/* 0 or KITH_E_CORRUPT; everything that must hold within one record is checked. */
int view_record_decode(struct view_record *record_out, const uint8_t *data, size_t len);
void view_record_hash(const uint8_t *data, size_t len, uint8_t hash_out[VIEW_HASH_BYTES]);

/* Higher wins. The node keeps two candidates of one round apart. */
struct view_ballot {
    uint64_t round; /* 0: none */
    struct kith_node_id node;
};

static inline int view_ballot_compare(const struct view_ballot *a, const struct view_ballot *b)
{
    if (a->round != b->round)
        return a->round > b->round ? 1 : -1;
    return memcmp(&a->node, &b->node, sizeof(a->node));
}

enum view_msg_type {
    VMSG_HELLO = 1,        /* disk, prev_boot, epoch, expect, attempt, flags: asked */
    VMSG_REFUSE = 2,       /* to an old disk: it is no voter any more */
    VMSG_MINT_ASK = 3,     /* attempt, expect */
    VMSG_MINT_OK = 4,      /* attempt */
    VMSG_PREPARE = 5,      /* epoch, ballot, flags: pre */
    VMSG_PROMISE = 6,      /* epoch, ballot, flags: pre, early; accepted ballot and record */
    VMSG_NACK = 7,         /* epoch, ballot = the one promised */
    VMSG_ACCEPT = 8,       /* epoch, ballot, record */
    VMSG_ACCEPTED = 9,     /* epoch, ballot */
    VMSG_DECIDED = 10,     /* record; ballot = who leads, as far as is known */
    VMSG_DECIDED_ACK = 11, /* epoch: it is on disk */
    VMSG_FETCH = 12,       /* epoch = newest known, flags: edge */
    VMSG_HB = 13,          /* epoch, ballot, t */
    VMSG_HB_ACK = 14,      /* epoch, ballot, t */
    VMSG_ASK = 15,    /* epoch, t, boot, flags: leaving, full; reports = members it does not hear */
    VMSG_GRANT = 16,  /* epoch, ballot, t, boot, duration_ms (0: none), the member */
    VMSG_BEAT = 17,   /* epoch, ballot = who leads */
    VMSG_READY = 18,  /* slot, slot_epoch, released; flags: durable (slot only) */
    VMSG_RESIGN = 19, /* ballot */
    VMSG_LAST = VMSG_RESIGN,
};

#define VFLAG_PRE     1u
#define VFLAG_EARLY   2u
#define VFLAG_EDGE    4u
#define VFLAG_LEAVING 8u
#define VFLAG_ASKED   16u
#define VFLAG_DURABLE 32u
#define VFLAG_FULL    64u

#define VIEW_IDS_MAX PLACEMENT_MEMBERS_MAX

/* One shape for all; what a type does not carry is zero. */
struct view_msg {
    enum view_msg_type type;
    uint8_t cluster_id[VIEW_CLUSTER_BYTES];
    uint8_t chain[VIEW_CLUSTER_BYTES]; /* zero: the sender knows no view */
    uint8_t flags;
    uint64_t epoch;
    struct view_ballot ballot;
    struct view_ballot accepted; /* PROMISE */
    uint64_t t;                  /* HB, ASK: the sender's clock; given back */
    uint64_t boot;               /* HELLO: previous boot; ASK, GRANT: of who asked */
    uint64_t slot_epoch;
    uint32_t number; /* GRANT: duration_ms; READY: slot; HELLO, MINT_*: attempt */
    uint32_t expect;
    uint8_t disk_id[PLACEMENT_DISK_BYTES];
    uint32_t ids[VIEW_IDS_MAX];
    uint32_t ids_n;
    const uint8_t *record; /* borrowed; not decoded yet */
    size_t record_len;
};

#define VIEW_MSG_BYTES_MAX (512 + 4 * VIEW_IDS_MAX + VIEW_RECORD_BYTES_MAX)

/* @out has VIEW_MSG_BYTES_MAX. Returns the length. */
size_t view_msg_encode(const struct view_msg *msg, uint8_t *out);
/* 0 or KITH_E_CORRUPT. */
int view_msg_decode(struct view_msg *msg_out, const uint8_t *data, size_t len);

#endif
