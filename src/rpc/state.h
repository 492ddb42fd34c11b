/*
 * What the files of the core share: its objects and how they hang together.
 *
 *   rpc_core ── peers ── rpc_peer ── pending, waiting ── call        (what we asked of it)
 *            │                    └─ session ── slots, live, kept ── rpc_serve (what it asked of
 * us) ├─ fns ── fn ── providers ── entry                       (who has which function) └─ exports
 * ── rpc_export ── queue ── rpc_serve           (what we offer)
 *
 * One step at a time: an object that an action of the last step points to is given back to its pool
 * only at the start of the next one (ended, retired).
 */
#ifndef RPC_STATE_H
#define RPC_STATE_H

#include <assert.h>
#include <stdalign.h>

#include "core/arena.h"
#include "core/list.h"
#include "core/map.h"
#include "core/rng.h"
#include "core/spread.h"
#include "core/wheel.h"
#include "kith/error.h"
#include "rpc/pool.h"
#include "rpc/rpc.h"
#include "rpc/wire.h"

#define NS_PER_MS 1000000ull

/* ---- timers ---- */

enum timer_kind {
    TIMER_CALL,     /* struct call: deadline or end of a back-off */
    TIMER_SERVE,    /* struct rpc_serve: deadline */
    TIMER_CONNECT,  /* struct rpc_peer: ask for the link again */
    TIMER_PULL,     /* struct rpc_peer: ask for its registry again */
    TIMER_PUSH,     /* core: changes of our registry go out */
    TIMER_UNSENT,   /* core: results that the channel refused */
    TIMER_WATCHES,  /* core: watches are said again, old ones end */
    TIMER_COUNTERS, /* core: how often our functions ran goes out */
    TIMER_REPORTS,  /* core: queued completions go out */
};

struct timer {
    struct wheel_timer wheel;
    enum timer_kind kind;
    bool set; /* in the wheel */
    bool due; /* in the list of those that fire in this step */
};

/* ---- bodies that outlive a step ---- */

struct block {
    uint32_t refs;
    uint8_t *data; /* malloc'ed, freed with the last reference */
    size_t len;
};

/* ---- registry ---- */

/* A function by name: who has it, who waits for it. Lives while anything below is not empty. */
struct fn {
    uint64_t hash;
    char *name;
    struct entry **providers;
    size_t providers_n;
    size_t providers_cap;
    struct list waiters; /* struct call */
    uint32_t refs;       /* calls that name it */
    bool watched;        /* by this node */
};

/* One node has one function. */
struct entry {
    struct rpc_peer *peer;       /* NULL: this node */
    struct rpc_export *exported; /* of this node */
    struct fn *fn;
    const char *name;
    const char *version;
    const char *description;
    const char *signature;
    uint64_t signature_hash;
    uint32_t flags;
    bool stale; /* the node said that it has it no more */
    uint64_t calls_n;
    uint64_t errors_n;
    size_t provider_at; /* in fn->providers */
    char *text;         /* holds the texts */
};

/* What a peer offers. */
struct registry {
    uint64_t version; /* of its boot; 0: none heard */
    uint64_t wanted;  /* newest version heard of */
    struct entry **entries;
    size_t entries_n;
    size_t entries_cap;
    /* a snapshot that comes in parts */
    uint64_t parts_version;
    uint32_t parts_n;
    uint32_t parts_next;
    struct entry **staged;
    size_t staged_n;
    size_t staged_cap;
    uint32_t pulls_n; /* asked since the last answer */
    struct timer pull_timer;
};

/* ---- peers ---- */

#define SLOT_CHUNK    64
#define SLOT_CHUNKS_N (RPC_WINDOW_CALLS_MAX / SLOT_CHUNK)
static_assert(SLOT_CHUNK * SLOT_CHUNKS_N == RPC_WINDOW_CALLS_MAX, "chunks fill the window");

/* The caller's side of a window: which call holds which slot. */
struct call_slots {
    uint32_t used_n;     /* slots ever taken */
    uint32_t free_first; /* + 1; 0: none */
    uint32_t free_n;
    struct call_slot {
        struct call *call;  /* NULL: free */
        uint32_t free_next; /* + 1 */
    } * chunks[SLOT_CHUNKS_N];
};

struct rpc_peer {
    struct kith_node_id id;
    uint64_t boot_no;
    void *user;
    bool up;
    bool link_up;
    bool connecting; /* CONNECT was given, nothing heard yet */
    bool no_way;     /* CONNECT came to that: its calls end with the connect timer */
    bool program;
    bool drained;  /* no call is sent there by choice */
    uint32_t load; /* as last heard */
    uint64_t load_at_ns;
    uint32_t in_flight; /* calls in pending */
    struct call_slots *slots;
    struct list pending; /* struct call: SENT or WAIT_LINK, in order of no */
    struct list waiting; /* struct call: WAIT_SLOT */
    uint32_t connects_n; /* failed in a row */
    struct timer connect_timer;
    struct session *session;
    struct registry registry;
    size_t at;          /* in core->peers */
    bool want_send;     /* calls in pending wait for room in the output */
    struct list reap;   /* core->reap: to be freed if still idle at the next step */
    struct list refill; /* core->refill: a slot came free while calls wait for one */
    char name[KITH_NAME_BYTES_MAX + 1];
};

/* ---- calls we make ---- */

enum call_state {
    CALL_FREE,
    CALL_WAIT_FN,   /* in fn->waiters: nobody has it yet */
    CALL_WAIT_SLOT, /* in peer->waiting: the window is full */
    CALL_WAIT_LINK, /* in peer->pending, nothing sent on this link */
    CALL_SENT,      /* in peer->pending */
    CALL_LOCAL,     /* serve is ours */
    CALL_BACKOFF,   /* its timer starts the next try */
    CALL_ENDING,    /* in core->ending: COMPLETE to be given */
    CALL_ENDED,     /* in core->ended: COMPLETE was given */
};

#define CALL_TRIED_MAX 8

struct call {
    struct list link;
    struct call *token_next;
    struct timer timer;
    uint64_t token;
    uint64_t no;
    struct rpc_peer *peer; /* of this try */
    struct fn *fn;
    struct rpc_serve *serve; /* LOCAL */
    uint64_t deadline_ms;    /* UINT64_MAX: none */
    uint64_t started_ns;
    const uint8_t *arg;
    size_t arg_len;
    struct block *arg_block; /* NULL: inline */
    uint64_t signature;
    uint16_t slot;
    enum call_state state;
    bool to_node, to_self;
    bool idempotent, no_retry, cast, wait_for_function, partials, local_first, item;
    bool maybe_ran;   /* an earlier try may have run */
    bool send_failed; /* in core->send_failed */
    bool link_broke;  /* this try was sent on a link that broke: an answer may be lost */
    uint32_t sends;   /* of this try; 0: it certainly has not left */
    uint32_t retries;
    uint32_t tried_n;
    struct list failed_link;
    struct kith_node_id tried[CALL_TRIED_MAX]; /* nodes asked, newest kept */
    struct kith_node_id node;
    struct kith_result result;
    uint8_t head[WIRE_CALL_BYTES];
    alignas(16) uint8_t data[RPC_INLINE_BYTES]; /* argument; then, if it must be aligned, reply */
};

/* ---- calls we serve ---- */

enum serve_state {
    SERVE_FREE,
    SERVE_QUEUED,  /* in fn->queue */
    SERVE_RUNNING, /* the driver has it */
    SERVE_DONE,    /* the result is kept for duplicates */
    SERVE_RETIRED, /* in core->retired */
};

struct rpc_serve {
    struct list link;   /* QUEUED: export's queue; DONE: core->oversize; RETIRED: core->retired */
    struct list live;   /* QUEUED, RUNNING: session->live or core->live */
    struct list kept;   /* DONE: session->kept */
    struct list aged;   /* DONE: core->kept, oldest first */
    struct list unsent; /* its result was refused by the channel: core->unsent */
    struct timer timer;
    struct session *session; /* NULL: local, or its session is gone */
    struct call *local;      /* the call of this node; NULL once it was given up */
    struct rpc_export *exported;
    uint64_t no;
    uint16_t slot;
    enum serve_state state;
    bool cast, partials, item;
    bool dropped; /* nobody waits for the result any more */
    bool in_slot; /* its session's slot points to it */
    bool aborted; /* ABORT was given */
    bool pooled;  /* runs on the worker pool */
    uint8_t outcome;
    int32_t code;
    uint64_t deadline_ns;
    uint64_t started_ns;
    uint64_t done_ns;
    const uint8_t *arg;
    size_t arg_len;
    struct block *arg_block; /* NULL: inline */
    const uint8_t *reply;
    size_t reply_len;
    struct block *reply_block;
    struct kith_node_id caller;
    void *user;
    uint8_t head[WIRE_RESULT_BYTES];
    alignas(16) uint8_t data[RPC_INLINE_BYTES];
};

/* The server's side of a window. */
struct serve_slot {
    uint64_t no; /* newest call seen in this slot; 0: none */
    struct rpc_serve *serve;
    int32_t refused; /* not 0: it was refused with this code and never ran */
    bool again;      /* it ran, and may run again: its function is idempotent, no result is kept */
    bool ran;        /* it is being run again: a refusal is no proof that nothing ran */
};

/* The channel did not take the answer to this call; what it was, its slot knows. */
struct owed_answer {
    struct kith_node_id peer;
    uint64_t no;
    uint16_t slot;
};

struct session {
    struct list lru; /* core->sessions, newest first */
    struct rpc_peer *peer;
    uint64_t boot_no;
    bool partial; /* it may have had an earlier session that was dropped */
    uint32_t live_n;
    size_t kept_bytes;
    size_t args_bytes;
    struct list live;
    struct list kept;
    struct serve_slot *chunks[SLOT_CHUNKS_N];
};

/* ---- what we offer ---- */

struct watcher;

struct rpc_export {
    struct kith_export desc; /* texts point into entry.text */
    void *user;
    struct entry entry;
    uint64_t changed_version; /* of our registry when it was added */
    struct list link;         /* core->export_list */
    struct list ready;        /* core->ready: has calls waiting and may start one */
    struct list queue;        /* struct rpc_serve */
    uint32_t queued;
    uint32_t running;
    uint32_t queue_max;
    uint32_t samples;
    uint64_t run_ns;     /* moving average of a run */
    struct spread times; /* what the driver measured */
    struct rpc_recent recent;
    bool withdrawn;
    uint64_t calls_told_n; /* of entry.calls_n, to the other nodes */
    struct watcher *watchers;
    size_t watchers_n;
};

/* ---- actions and texts of one step ---- */

/* A name that was withdrawn, for those who have an older version of our registry. */
struct removed_name {
    uint64_t version;
    char *name;
};
#define REMOVED_NAMES_MAX 64

struct rpc_core {
    struct rpc_config config;
    uint64_t now_ns;
    uint64_t now_ms;
    uint64_t now_unix_ms;
    struct rng rng;
    struct wheel wheel;
    uint64_t soonest_ms; /* least deadline of a timer set since the last TICK */
    bool wheel_ready;
    bool stopped;
    bool drained; /* this node: as of a peer */
    bool again;   /* something did not fit the output: step again at once */

    struct rpc_action *actions;
    size_t actions_n;
    size_t actions_cap;
    struct rpc_output *out;
    struct arena arena;

    struct mapid peers_by_id;
    struct rpc_peer *last_peer; /* of the last frame, or NULL */
    struct rpc_peer **peers;
    size_t peers_n;
    size_t peers_cap;
    size_t peers_up_n;
    struct list reap;
    struct list refill;

    struct pool calls;
    struct pool blocks;
    struct call **tokens; /* chained hash */
    size_t tokens_cap;
    size_t calls_n;
    uint64_t call_no;
    struct list ending;
    struct list ended;
    struct list send_failed;
    uint64_t retry_tenths;   /* retry budget */
    struct map64 signatures; /* hash -> text */

    struct pool serves;
    struct list retired;
    struct list sent; /* idempotent serves whose result went out in this step (by aged) */
    struct list sessions;
    size_t sessions_n;
    uint64_t sessions_evicted;
    struct list kept; /* results by age */
    size_t kept_bytes;
    struct list oversize; /* results too large to keep: until they are known to be on their way */
    size_t oversize_bytes;
    size_t args_bytes;
    struct list live;           /* queued or running without a session */
    struct list ready;          /* exports that wait for a place on the pool */
    struct list ready_deferred; /* exports that need none */
    uint32_t queued_n;
    uint32_t running_n;
    uint32_t pooled_n;
    struct list unsent;
    struct owed_answer *owed; /* answers without a result of their own that were refused */
    size_t owed_n;
    size_t owed_cap;
    uint32_t unsent_tries;
    struct timer unsent_timer;

    struct map64 exports; /* name hash -> struct rpc_export */
    struct list export_list;
    size_t exports_n;
    struct list withdrawn; /* exports that still run */
    uint64_t version;      /* of our registry; 1 is the empty list of the start */
    uint64_t pushed_version;
    uint64_t pushed_ms;
    struct timer push_timer;
    struct timer counters_timer;
    struct removed_name removed[REMOVED_NAMES_MAX];
    size_t removed_n;
    uint64_t removed_floor; /* names removed at or below this version are not known any more */

    struct map64 fns; /* name hash -> struct fn */
    size_t entries_n; /* of other nodes */
    size_t watched_n;
    size_t reports_n; /* completions queued for watchers */
    struct timer watches_timer;
    struct timer reports_timer;

    struct rpc_stats stats;
};

#endif
