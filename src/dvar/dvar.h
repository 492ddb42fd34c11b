/*
 * Consistent variables (protocols 5.4) as a pure machine: copies, caches, sessions, and the
 * operations of this node. One home a slot orders writes; every replica has a write before it is
 * answered; who caches is told before a write is answered.
 *
 * The driver (src/node/uv_dvar.c) feeds messages, the placement, the lease and time; the output
 * says what to send, what to put on disk and what came of operations. What a value means stands in
 * value.h; docs/protocols/dvar.md has states, messages and invariants. Every node runs one: keepers
 * hold copies, all others ask and cache.
 *
 * Names are 1 to KITH_NAME_BYTES_MAX bytes, checked by the driver (value_name_check()); they need
 * not end in a NUL here.
 */
#ifndef DVAR_DVAR_H
#define DVAR_DVAR_H

#include "core/boot_id.h"
#include "core/limits.h"
#include "core/placement.h"
#include "dvar/cell.h"
#include "dvar/value.h"

struct dvar_core;

#define DVAR_KEY_BYTES_MAX                                                                         \
    (2 + KITH_NAME_BYTES_MAX) /* of what is persisted; all begin with 'd'                          \
                               */

/*
 * Versions: slot epoch << DVAR_SEQ_BITS | number in it; strictly ascending per variable, and for
 * ever (a variable that was deleted and made again goes on above). 0: absent.
 */
#define DVAR_SEQ_BITS 40

/* Zero fields take the default in brackets. All times are of the node's own clock. */
struct dvar_config {
    struct boot_id self;
    uint64_t seed;
    uint32_t min_copies;     /* fewer replicas: writes are refused (2; 1 with at most 2 keepers) */
    uint32_t variables_max;  /* held here, of others cached included (DVAR_VARIABLES_MAX) */
    uint32_t session_ms;     /* lease of a session (2,000) */
    uint32_t renew_ms;       /* its renewal while something is cached (500) */
    uint32_t resend_ms;      /* first repetition of what is not answered (200) */
    uint32_t doubt_ms;       /* what is unacknowledged so long goes through others, too (1,000) */
    uint32_t val_delay_ms;   /* a replica learns so late at most that a write is done (1) */
    uint64_t held_bytes_max; /* of operations that wait here (DVAR_HELD_BYTES_MAX) */
};

enum dvar_event_type {
    DVAR_RECALL,    /* key, data: what PERSIST wrote in an earlier boot; all before START */
    DVAR_START,     /* once, before everything else */
    DVAR_TICK,      /* the deadline has come */
    DVAR_RECV,      /* from, data: one frame FRAME_DVAR; the boot as proven by the stream */
    DVAR_PERSISTED, /* token: it and all before it are on disk */
    DVAR_PEER_UP,   /* from: a newer boot is proof that the older ones are over */
    DVAR_PEER_DOWN, /* from, left: `left` is proof that this boot is over */
    DVAR_LINK_UP,   /* from: its control stream is open; what waits for it is sent at once */
    /* placement: a later epoch is known; borrowed for the step. Comes before a LEASE that was
     * granted under it. */
    DVAR_PLACEMENT,
    DVAR_LEASE,        /* until_ms: of this node as keeper; 0: none */
    DVAR_QUORUM,       /* have: without, operations end at once with KITH_E_NO_QUORUM */
    DVAR_SLOT_DECIDED, /* slot: view_slot_durable() is true now; answers DVAR_SLOT_DURABLE */
    DVAR_DISK_FULL,    /* full: durable writes are refused with KITH_E_LIMIT while it is */
    DVAR_OP,           /* id, name, op (passed value_op_check()), deadline_ms */
    DVAR_CANCEL,       /* id: ends with KITH_E_CANCELED, or UNKNOWN_OUTCOME for a write that left */
    DVAR_OPEN,         /* id, name: a cell to read it by, answered by OPENED or DONE in this step */
    DVAR_CLOSE,        /* cell: one open less; with the last the cell is gone after the step */
    DVAR_WATCH,   /* id, name, prefix: CHANGED from now on. DONE in this step only if refused */
    DVAR_UNWATCH, /* id */
    /*
     * This boot is about to be called over (PEER_DOWN with `left` at others), though its process
     * still runs: nothing is cached from now on. Comes before anybody is told.
     */
    DVAR_STOP,
};

/* Pointers are borrowed for the step. */
struct dvar_event {
    enum dvar_event_type type;
    /*
     * Another event follows in this turn of the loop: what is to be sent or put on disk may wait in
     * the core, so that a turn is one frame to each node and one batch. It leaves with the first
     * step without `more`; until then dvar_deadline_ms() is now.
     */
    bool more;
    /* CLOCK_BOOTTIME, read right before the step; of operations, read after all were asked for. */
    uint64_t now_ms;
    uint64_t wall_ms; /* Unix ms; stamped on what this node writes as home */
    struct boot_id from;
    const uint8_t *key;
    size_t key_len;
    const uint8_t *data;
    size_t len;
    uint64_t token;
    bool left;
    bool have;
    bool full;
    bool prefix;
    const struct placement *placement;
    uint64_t until_ms;
    uint32_t slot;
    uint64_t id; /* the driver's own, not 0; of operations, opens and watches alike */
    const char *name;
    size_t name_len;
    const struct value_op *op;
    uint64_t deadline_ms;
    struct dvar_cell *cell;
};

enum dvar_action_type {
    DVAR_SEND, /* to, data: one frame FRAME_DVAR, class rpc if `large`; lost is as good as late */
    DVAR_PERSIST, /* token, puts: one atomic batch; PERSISTED{token} when it is on disk */
    DVAR_DONE,    /* id, result */
    DVAR_OPENED,  /* id, cell */
    DVAR_CHANGED, /* id (of the watch), change */
    DVAR_LOST,    /* id (of the watch), slot, generation: what was in memory only there is lost */
    DVAR_SLOT_READY,   /* slot, slot_epoch, released: for view; repeated until it is active */
    DVAR_SLOT_DURABLE, /* slot: for view, which decides it; repeated until SLOT_DECIDED */
    DVAR_COMPLAIN,     /* member_id, age_ms: for view */
    /* change: this node is home and the variable was made or deleted: for the table of symbols */
    DVAR_SYMBOL,
};

struct dvar_put {
    uint8_t key[DVAR_KEY_BYTES_MAX];
    uint16_t key_len;
    const uint8_t *data; /* NULL: delete the key */
    size_t len;
};

/*
 * What came of an operation. Codes: those of value_apply(), and
 *     KITH_E_TIMEOUT          the deadline passed; nothing was written
 *     KITH_E_UNKNOWN_OUTCOME  it may or may not have been written
 *     KITH_E_CANCELED
 *     KITH_E_NO_QUORUM        not enough nodes; nothing was written
 *     KITH_E_LIMIT            a limit of this node or of the home; nothing was written
 *     KITH_E_BUSY             too much waits here, or at the home; nothing was written
 */
struct dvar_result {
    int code;
    const char *text; /* the sentence for a negative code */
    bool applied;     /* as value_outcome.applied */
    uint64_t version; /* of the variable afterwards; 0: absent */
    uint8_t type;     /* of what was read or found; VALUE_NONE: nothing */
    const uint8_t *data;
    size_t len;
    uint64_t number; /* ADD: the new number, i64 or the bits of f64 */
    /* Reads of a whole variable: the value (value_view()) with writer and time; NULL otherwise. */
    const uint8_t *value;
    size_t value_len;
};

struct dvar_change {
    const char *name; /* not NUL-terminated */
    size_t name_len;
    uint64_t version;
    const uint8_t *value; /* length 0 or type VALUE_NONE: it is gone */
    size_t value_len;
    uint32_t missed; /* changes of it before this one that were not told */
    /* Of dvar_each_home(): no read will ever tell of an older one. False while it is written, and
     * without a lease: then another home may never have heard of this value. */
    bool settled;
};

struct dvar_action {
    enum dvar_action_type type;
    struct kith_node_id to;
    bool large;
    const uint8_t *data;
    size_t len;
    uint64_t token; /* from 1, ascending */
    const struct dvar_put *puts;
    size_t puts_n;
    uint64_t id;
    struct dvar_cell *cell;
    struct dvar_result result;
    struct dvar_change change;
    uint32_t slot;
    uint64_t slot_epoch;
    uint32_t generation;
    const uint32_t *released; /* member ids */
    uint32_t released_n;
    uint32_t member_id;
    uint32_t age_ms;
};

/* Owned by the core, valid until the next step. In the order in which they must be done. */
struct dvar_output {
    struct dvar_action *actions;
    size_t actions_n;
    uint32_t held_n; /* steps that said something since the last without `more` */
};

/* 0 or KITH_E_MEMORY. */
int dvar_new(struct dvar_core **core_out, const struct dvar_config *config);
void dvar_free(struct dvar_core *core); /* and its cells: no reader may be left */

/*
 * One event. 0; KITH_E_CORRUPT for a message or a stored entry that does not decode (nothing
 * changed by what did not; a RECALL that fails must end the process); KITH_E_MEMORY (what did not
 * fit was dropped as if lost on the way, or its operation ended).
 *
 * @out is valid and must be carried out whatever is returned.
 */
int dvar_step(struct dvar_core *core, const struct dvar_event *event, struct dvar_output *out);
/* When TICK is due; UINT64_MAX: never. */
uint64_t dvar_deadline_ms(const struct dvar_core *core);

/* Writes of this home that others have not acknowledged yet. */
uint32_t dvar_writes_pending(const struct dvar_core *core);

enum dvar_role { DVAR_ROLE_NONE, DVAR_ROLE_REPLICA, DVAR_ROLE_HOME };

/* What this node knows of a variable; no message is sent. */
struct dvar_info {
    uint32_t slot;
    uint64_t slot_epoch; /* 0: nobody keeps it yet */
    uint32_t generation;
    enum dvar_role role; /* of this node, in the active configuration */
    bool valid;          /* can be read here now */
    bool cached;         /* by a session, not as a replica */
    bool serving;        /* the home is this node and takes operations */
    uint64_t version;    /* of the copy here; 0: none */
    const uint8_t *value;
    size_t value_len;
    struct kith_node_id holders[PLACEMENT_REPLICAS_MAX]; /* replicas, the home first */
    uint32_t holders_n;
    uint32_t sharers_n; /* sessions that cache it, if this node is its home */
};
void dvar_info(struct dvar_core *core,
               const char *name,
               size_t name_len,
               uint64_t now_ms,
               struct dvar_info *info_out);

/* Calls @each for every variable that is kept here as home (absent ones are not), in no order that
 * matters. Nothing may be stepped meanwhile. */
void dvar_each_home(struct dvar_core *core,
                    void (*each)(void *arg, const struct dvar_change *variable),
                    void *arg);

/* What is cached here and takes how much: all of it with names and its share of the table, @bytes,
 * and of that the values (head and data). What reads by handle need (cell.h) is not counted. Looks
 * at all that is cached. */
struct dvar_cache_memory {
    uint64_t bytes, value_bytes;
    uint32_t variables;
};
void dvar_cache_memory(const struct dvar_core *core, struct dvar_cache_memory *out);

/* Asserts the invariants. */
void dvar_check(const struct dvar_core *core);

struct dvar_stats {
    uint64_t messages_in, messages_out, bytes_in, bytes_out, bad_messages;
    uint64_t ops, ops_local_reads, ops_cached_reads, ops_resent;
    uint64_t ops_joined;     /* additions that travelled in another's request */
    uint64_t writes_home;    /* ordered here */
    uint64_t writes_folded;  /* of them, without messages of their own */
    uint64_t writes_replica; /* taken here as replica */
    uint64_t repeats;        /* requests that a record or a remembered answer answered */
    uint64_t relayed, complaints, syncs, sync_entries;
    uint64_t table_full, busy; /* refused */
    uint64_t pushes, pushes_missed;
    uint64_t told_ahead; /* changes that a copy here told before their home did */
    uint32_t variables, cached, sessions, ops_pending, writes_pending, watches;
    uint32_t answers; /* remembered here for others, without a record */
    uint64_t answer_bytes;
    uint64_t held_bytes;  /* of operations that wait */
    uint64_t value_bytes; /* of variables */
};
void dvar_stats(const struct dvar_core *core, struct dvar_stats *stats_out);

#endif
