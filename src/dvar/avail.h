/*
 * Available variables (protocols 5.4, end): they are written here, at once, on whichever side of a
 * cut this is, and spread by gossip; what happened on two sides is joined by merge kind
 * (avail_state.h). Every node has every one of them.
 *
 * A pure machine as the other cores: events in, actions out. A write goes to all neighbours (to a
 * few of many) within AVAIL_FLUSH_MS; who learns something new passes it to a few others a little
 * later; every 10 s two neighbours compare digests and exchange what differs, which also heals
 * cuts. Nothing is agreed on, so nothing waits: compare-and-set is KITH_E_UNSUPPORTED.
 *
 * Moments that lie more than AVAIL_AHEAD_MAX_MS ahead of the own wall clock are refused, or one
 * node with a clock a year ahead would win for a year (hole 30); own states that lie ahead, because
 * the clock was set back, are kept back until it has caught up.
 *
 * What it leaves out: deltas of single items (a state travels whole), and writes that were made
 * here in the last AVAIL_FLUSH_MS before a crash.
 */
#ifndef DVAR_AVAIL_H
#define DVAR_AVAIL_H

#include "dvar/avail_state.h"

struct avail_core;

#define AVAIL_FLUSH_MS 10

/* Zero fields take the default. */
struct avail_config {
    struct boot_id self;
    uint64_t seed;
    /* For the table of symbols: writes are JOINs of registers whose moments are versions, not
     * times, so none of them is ahead. */
    bool moments_given;
    bool persist;              /* PERSIST what is known */
    uint32_t sync_interval_ms; /* 10,000 */
    uint64_t tombstone_ms;     /* 24 h */
    uint32_t ack_retry_ms;     /* 300 */
    uint32_t quarantine_ms;    /* 60,000 */
    uint32_t variables_max;    /* DVAR_VARIABLES_MAX */
    uint64_t bytes_max;        /* AVAIL_BYTES_MAX */
};

enum avail_op_kind {
    AVAIL_OP_CREATE = 1, /* merge, type; exists: fine if it is the same, else KITH_E_TYPE */
    /* LWW: data. MAX, MIN: data, if it is further. KEEP_BOTH: data instead of what context covers.
     * Creates with merge and type. */
    AVAIL_OP_SET = 2,
    AVAIL_OP_ADD = 3,    /* COUNTER: delta. Creates. */
    AVAIL_OP_INSERT = 4, /* SET: items. Creates with type. */
    AVAIL_OP_REMOVE = 5, /* SET: items; those not there are no error */
    AVAIL_OP_DELETE = 6,
    AVAIL_OP_CAS = 7,  /* KITH_E_UNSUPPORTED, with the reason */
    AVAIL_OP_JOIN = 8, /* data: a checked state, joined with what is here */
};

enum avail_op_flags {
    AVAIL_OP_IF_ABSENT = 1 << 0, /* CREATE: KITH_E_EXISTS */
    AVAIL_OP_ACK = 1 << 1,       /* ACKED follows when another node has it */
};

/* Borrowed for the step. */
struct avail_op {
    uint64_t id; /* given back by DONE */
    uint8_t kind;
    uint8_t flags;
    uint8_t merge;
    uint8_t type;
    const char *name; /* NUL-terminated, checked by value_name_check() */
    struct kith_bytes data;
    const struct kith_bytes *items;
    size_t items_n;
    struct kith_bytes context; /* of the read that this write follows; empty: what is here now */
    int64_t delta;
};

enum avail_event_type {
    AVAIL_RECALL,    /* key, data: what PERSIST gave, before START */
    AVAIL_START,     /* once */
    AVAIL_TICK,      /* the deadline has come */
    AVAIL_OP,        /* op */
    AVAIL_LINK_UP,   /* peer: frames can be sent to it */
    AVAIL_LINK_DOWN, /* peer */
    AVAIL_RECV,      /* peer, data: the body of a FRAME_DVAR_AVAILABLE */
    AVAIL_BOOT,      /* boot_no: the own one was raised */
};

struct avail_event {
    enum avail_event_type type;
    uint64_t now_ms;  /* CLOCK_BOOTTIME */
    uint64_t wall_ms; /* CLOCK_REALTIME; may jump */
    struct kith_node_id peer;
    struct kith_bytes key;
    struct kith_bytes data;
    const struct avail_op *op;
    size_t ops_n; /* of OP: so many at @op; 0 is 1 */
    uint64_t boot_no;
};

enum avail_action_type {
    AVAIL_SEND,    /* peer, data: one frame; may be lost */
    AVAIL_PERSIST, /* key, data: keep it; data.data NULL: drop it. Lazily: nothing waits for it */
    AVAIL_DONE,    /* op_id, code, text, version */
    AVAIL_CHANGED, /* name, version: by whomever; not for what RECALL brings */
    AVAIL_ACKED,   /* name, version, peer: it has what this version had (versions up to it, too) */
    AVAIL_QUARANTINED, /* peer: its clock is ahead; nothing is taken from it for a while */
};

/* Borrowed until the next step. */
struct avail_action {
    enum avail_action_type type;
    struct kith_node_id peer;
    struct kith_bytes key;
    struct kith_bytes data;
    uint64_t op_id;
    int code;
    const char *text; /* "" if code is 0 */
    const char *name;
    uint64_t version; /* grows with each change, on this node only; never 0 */
};

struct avail_output {
    const struct avail_action *actions;
    size_t actions_n;
};

/* 0, KITH_E_MEMORY. */
int avail_new(struct avail_core **core_out, const struct avail_config *config);
void avail_free(struct avail_core *core); /* NULL is fine */

/* Persisted keys begin with these two bytes. */
#define AVAIL_KEY_PREFIX     "da"
#define AVAIL_KEY_PREFIX_LEN 2

/*
 * One event. 0; KITH_E_CORRUPT for a message or stored entry that does not decode (counted, what
 * came before the damage counts); KITH_E_MEMORY, with what could still be done in @out. What an OP
 * came to is its DONE, in this output, whatever it is. @out is valid whatever is returned.
 *
 * Codes of DONE: KITH_E_TYPE (another type or merge kind; names both), KITH_E_NOT_FOUND (REMOVE,
 * DELETE), KITH_E_EXISTS, KITH_E_UNSUPPORTED, KITH_E_INVALID, KITH_E_TOO_LARGE, KITH_E_LIMIT (a sum
 * beyond i64, a table that is full), KITH_E_MEMORY.
 */
int avail_step(struct avail_core *core, const struct avail_event *event, struct avail_output *out);
/* When TICK is due; UINT64_MAX if never. */
uint64_t avail_deadline_ms(const struct avail_core *core);

/* A variable as it is here now. Buffers are the caller's, kept from one use to the next. */
struct avail_value {
    uint8_t merge;
    uint8_t type;
    uint64_t version;
    uint64_t time_ms; /* of the last write, as far as the kind knows it; else 0 */
    /*
     * Data of @type (value.h). COUNTER: the sum. SET: the items in order of their bytes. KEEP_BOTH:
     * the values, as data of bytes[] whose elements are data of @type; usually one.
     * MAX and MIN before the first write: empty.
     */
    struct buf data;
    struct buf context; /* KEEP_BOTH */
};
void avail_value_deinit(struct avail_value *value);
bool avail_has(const struct avail_core *core, const char *name);
/* 0; KITH_E_NOT_FOUND; KITH_E_MEMORY. */
int avail_get(const struct avail_core *core, const char *name, struct avail_value *value_out);
/* The data of an LWW variable, borrowed until the next step; @moment_ms_out (may be NULL) that of
 * its last write. {0} if it is absent or of another kind. */
struct kith_bytes
avail_peek(const struct avail_core *core, const char *name, uint64_t *moment_ms_out);
/* All that exist: `size_t at = 0; while ((name = avail_next(core, &at)) != NULL)`. */
const char *avail_next(const struct avail_core *core, size_t *at);

struct avail_stats {
    uint64_t variables, tombstones, bytes;
    uint64_t writes, joins, joins_new; /* states that came in; that brought something new */
    uint64_t refused_ahead, refused_quarantine, refused_limit, bad_messages;
    uint64_t messages_in, messages_out, bytes_in, bytes_out, syncs;
};
void avail_stats(const struct avail_core *core, struct avail_stats *stats_out);
/* The same at two nodes that know the same (tombstones that fade do not count). */
uint64_t avail_digest(const struct avail_core *core);
/* Asserts the invariants. */
void avail_check(const struct avail_core *core);

#endif
