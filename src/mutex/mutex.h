/*
 * Named mutexes of the whole cluster (protocols 5.5), as a pure machine: Suzuki-Kasami among the
 * nodes that use a mutex (its participants), a queue at the record's home for many participants,
 * readers and permits, and a recovery for what crashes take along. docs/protocols/mutex.md tells
 * the protocol.
 *
 * One mutex_core per node does all of it: the owners and waiters of this node, the participant, and
 * the home of the records whose slot this node is home of. The driver (src/node, or the simulator's
 * host) feeds events and carries out actions in their order.
 *
 * Times are CLOCK_BOOTTIME in ms, read by the driver right before each step.
 *
 * What the driver owes, beside that:
 *  - PLACEMENT before the LEASE that stands on it, and before src/dvar answers a PULL or a RELEASE
 *    of a slot epoch that this placement chose: from then on this node lets nobody's lease run
 *    longer on that slot's behalf (see docs/protocols/mutex.md, a fresh home).
 *  - An answer RECORD for every RECORD_READ and RECORD_CAS, sooner or later, with any code.
 *  - Frames (FRAME_MUTEX) may be lost, doubled, late and out of order. A SEND to this node itself
 *    does not occur.
 *
 * Hot path: acquire and release of a mutex whose token is here cost no message, no allocation and
 * some 100 ns each.
 */
#ifndef MUTEX_MUTEX_H
#define MUTEX_MUTEX_H

#include "core/boot_id.h"
#include "core/limits.h"
#include "core/placement.h"

struct mutex_core;

/*
 * Records are consistent, durable variables. Their names begin with this, which no user can write;
 * RECORD_READ and RECORD_CAS carry the whole name of the variable.
 */
#define MUTEX_RECORD_PREFIX "\x01mutex/"

struct mutex_config {
    struct boot_id self;
    const char *self_name; /* shown to those who wait for us; copied; NULL: "" */
    uint64_t seed;
    /* 0: the default. */
    uint32_t names_max;              /* mutexes this node keeps state of; MUTEX_NAMES_MAX */
    uint32_t waiters_max;            /* of one mutex on this node; MUTEX_WAITERS_MAX */
    uint32_t participants_token_max; /* above: queue mode; MUTEX_PARTICIPANTS_TOKEN_MAX */
    uint32_t participants_max;       /* of one mutex; MUTEX_PARTICIPANTS_MAX */
    uint32_t idle_ms;                /* a participant that used nothing so long leaves; 60,000 */
    uint32_t warn_ms;                /* WARN_LEASE when so little is left; 1,000 */
    uint32_t handoff_ms;             /* local hand-off while others wait: so long; 10 */
    uint32_t handoff_n;              /* ... and so often; 8 */
    /*
     * What was released is passed on by the next TICK, for which the deadline asks at once. Who
     * asks for it again before (in the same callback, say) then stands in the token's queue already
     * and needs no request.
     */
    bool pass_at_tick;
};

/* ---- events ---- */

enum mutex_event_type {
    MUTEX_TICK,      /* the deadline has come */
    MUTEX_PLACEMENT, /* u.placement: a newer one (an older is ignored); copied */
    MUTEX_LEASE,     /* u.lease_until_ms: our keeper lease under the newest placement; 0: none */
    MUTEX_QUORUM,    /* u.quorum: whether consistent operations can be done; true at first */
    MUTEX_PEER_UP,   /* u.peer: of membership. A newer boot proves that the older one is over */
    MUTEX_PEER_DOWN, /* u.peer: failed (a hint) or left (proof that this boot is over) */
    MUTEX_LINK_UP,   /* u.peer: a control stream; what waits for an answer is sent again at once */
    MUTEX_RECV,      /* u.recv: a frame; KITH_E_CORRUPT if it does not decode */
    MUTEX_RECORD,    /* u.record: the answer to RECORD_READ or RECORD_CAS */
    MUTEX_RECORD_SEEN, /* u.record: name, version, bytes: a record in this node's slots that no read
                          will go behind (dvar_change.settled), told at leisure to a home (any
                          number of times) so that it sweeps the dead out */
    MUTEX_ACQUIRE,     /* u.acquire; GRANTED or ENDED follows, perhaps in this step */
    MUTEX_RELEASE,     /* u.waiter: what was granted is given back; result in out->code */
    MUTEX_CANCEL,      /* u.waiter: a wait is given up (ENDED CANCELED), a held one released */
    MUTEX_OWNER_GONE,  /* u.owner: all it waits for is canceled, all it holds released, silently */
    MUTEX_BREAK,       /* u.ask: take the mutex from whoever holds it; BROKEN follows */
    MUTEX_QUERY,       /* u.ask: who holds it and who waits; INFO follows within 1 s */
    MUTEX_STOP,        /* waits end with KITH_E_STOPPED, all is released, tokens are passed on */
};

struct mutex_acquire {
    uint64_t waiter;  /* the driver's name for this acquire, unique on this node, not 0; free again
                         with ENDED, LOCK_LOST or the RELEASE */
    const char *name; /* 1 to MUTEX_NAME_BYTES_MAX bytes of UTF-8 without control characters */
    uint64_t owner;   /* unique on this node; holds a mutex at most once. 0: an owner of its own */
    /*
     * Owners of this node that release nothing before this ends, such as the command that runs this
     * one under another mutex: for cycles of waits. Copied; MUTEX_WITHIN_MAX at most, or the first
     * so many; NULL with 0.
     */
    const uint64_t *within;
    uint32_t within_n;
    const char
        *owner_text;      /* for people: program, command; cut at MUTEX_OWNER_BYTES_MAX; or NULL */
    uint64_t pid;         /* 0: none */
    uint64_t deadline_ms; /* ENDED with KITH_E_TIMEOUT then; UINT64_MAX: never */
    bool try_only;        /* ENDED with KITH_E_AGAIN as soon as it is known that it must wait */
    bool detect;          /* ENDED with KITH_E_WOULD_DEADLOCK if it closes a cycle of waits */
    bool shared;          /* with other shared ones; the mutex works by a queue from then on */
    uint32_t permits;     /* so many holders at once; 0 or 1: one. All who use it must agree */
};

struct mutex_event {
    enum mutex_event_type type;
    uint64_t now_ms;
    union {
        const struct placement *placement;
        uint64_t lease_until_ms;
        bool quorum;
        struct {
            struct boot_id boot;
            bool left; /* PEER_DOWN: said good-bye */
        } peer;
        struct {
            struct boot_id from; /* as the stream proves */
            const uint8_t *data;
            size_t len;
        } recv;
        struct {
            uint64_t ask; /* 0: RECORD_SEEN */
            /*
             * 0: READ found it or CAS took effect. KITH_E_NOT_FOUND: READ found none.
             * KITH_E_AGAIN: CAS found another version. KITH_E_NO_QUORUM: waits end with it.
             * Anything else, KITH_E_UNKNOWN_OUTCOME among it: looked at again a little later.
             */
            int code;
            uint64_t version; /* of what is there now (0: nothing), with code 0 */
            const char *name; /* RECORD_SEEN: of the variable */
            const uint8_t *data;
            size_t len;
        } record;
        struct mutex_acquire acquire;
        uint64_t waiter;
        uint64_t owner;
        struct {
            uint64_t ask; /* the driver's name for it, not 0 */
            const char *name;
            uint64_t deadline_ms; /* BREAK */
        } ask;
    } u;
};

/* ---- actions ---- */

enum mutex_action_type {
    MUTEX_SEND,        /* to, data: one FRAME_MUTEX (control; rpc class above 60 KiB) */
    MUTEX_RECORD_READ, /* ask, name: linearizable */
    MUTEX_RECORD_CAS, /* ask, name, version (0: it must be absent), data (len 0: delete): durable */
    MUTEX_GRANTED,    /* waiter, fence: it holds the mutex */
    MUTEX_ENDED,      /* waiter, code, text: it does not */
    MUTEX_LOCK_LOST,  /* waiter, fence, code, text: it held the mutex and does not any more */
    MUTEX_WARN_LEASE, /* waiter, left_ms: what it holds may be lost soon */
    MUTEX_BROKEN,     /* ask, code, text */
    MUTEX_INFO,       /* ask, info */
};

/* Codes of ENDED:
 *  KITH_E_TIMEOUT, KITH_E_CANCELED, KITH_E_STOPPED;
 *  KITH_E_AGAIN (try_only; the text says who holds it);
 *  KITH_E_EXISTS (the owner holds it, or waits for it, already);
 *  KITH_E_WOULD_DEADLOCK (detect; the text is the cycle);
 *  KITH_E_NO_QUORUM; KITH_E_NAME; KITH_E_LIMIT; KITH_E_MEMORY;
 *  KITH_E_INVALID (other permits than the mutex has). */

struct mutex_holder { /* one who holds or waits */
    struct boot_id boot;
    const char *node; /* its name */
    uint64_t owner;
    const char *owner_text;
    uint64_t pid;
    uint64_t fence;         /* of a holder */
    uint64_t age_ms;        /* since it was granted, or began to wait */
    uint64_t lease_left_ms; /* of a holder: what is left of its node's lease */
    bool holds;
    bool shared;
    const char *cycle; /* of one who waits in a cycle: the cycle; else NULL */
};

struct mutex_info {
    const char *name;
    int code; /* 0; KITH_E_NOT_FOUND: nobody uses it; or why nothing could be learnt */
    uint32_t gen;
    bool queue; /* works by a queue at the home */
    uint32_t permits;
    uint32_t participants_n;
    uint32_t answered_n;             /* of them; the others may hold it too */
    uint32_t waiters_n;              /* all of them; the list below may be shorter */
    const struct mutex_holder *list; /* holders first */
    uint32_t list_n;
};

struct mutex_action {
    enum mutex_action_type type;
    struct kith_node_id to; /* SEND */
    const uint8_t *data;    /* SEND, RECORD_CAS */
    size_t len;
    uint64_t ask;     /* RECORD_READ, RECORD_CAS: the core's; BROKEN, INFO: the driver's */
    const char *name; /* RECORD_READ, RECORD_CAS: of the variable */
    uint64_t version; /* RECORD_CAS: expected */
    uint64_t waiter;
    uint64_t fence; /* gen << 32 | count; strictly increasing over all grants of a mutex */
    uint64_t left_ms;
    int code;
    const char *text; /* the thing, the cause, the next step; never NULL with a code */
    const struct mutex_info *info;
};

/* Owned by the core and valid until the next step. */
struct mutex_output {
    const struct mutex_action *actions;
    size_t actions_n;
    int code; /* RELEASE, CANCEL: KITH_E_NOT_FOUND if there is no such waiter, or it holds nothing
               */
    const char *text; /* with a code */
};

/* KITH_E_MEMORY, KITH_E_INVALID (a zero boot). */
int mutex_new(struct mutex_core **core_out, const struct mutex_config *config);
void mutex_free(struct mutex_core *core);
/*
 * One event. 0; KITH_E_CORRUPT for a frame or record that does not decode (counted, nothing
 * changed). Want of memory ends the acquire at hand, or is a lost message.
 */
int mutex_step(struct mutex_core *core, const struct mutex_event *event, struct mutex_output *out);
/* When a TICK has something to do; UINT64_MAX: never. */
uint64_t mutex_deadline_ms(const struct mutex_core *core);
/* Aborts if an invariant is broken. Slow: for tests. */
void mutex_check(const struct mutex_core *core);

/* ---- queries, between steps ---- */

/* What @waiter holds: its fence while its lease runs at @now_ms, else 0. */
uint64_t mutex_holds(const struct mutex_core *core, uint64_t waiter, uint64_t now_ms);
/*
 * The mutexes this node uses, in a stable order, with its own holders and waiters only:
 * `size_t at = 0; while (mutex_next(core, &at, now_ms, &info))`. Borrowed until the next call or
 * step.
 */
bool mutex_next(struct mutex_core *core, size_t *at, uint64_t now_ms, struct mutex_info *info_out);

struct mutex_stats {
    uint64_t acquired;       /* grants on this node */
    uint64_t acquired_local; /* ... without a message */
    uint64_t handed_off;     /* from one owner of this node to the next while others waited */
    uint64_t timeouts, refused, lost, cycles;
    uint64_t tokens_passed, tokens_taken, tokens_stale; /* stale: refused by generation or number */
    uint64_t resent;
    uint64_t recoveries; /* begun as home */
    uint64_t grants;     /* as home: tokens made, places of the queue given */
    uint64_t sessions_refused, bad_frames;
    uint32_t names, waiting, holding;
    uint32_t home_of;  /* mutexes this node keeps a home's state of */
    uint32_t sessions; /* edges with a session here */
};
void mutex_stats(const struct mutex_core *core, struct mutex_stats *stats_out);

#endif
