/*
 * Calls and the registry of functions (protocols 5.6), as a pure machine.
 *
 * One rpc_core per node does both sides: it keeps the calls this node makes and the ones it serves.
 * The driver (src/node/uv_rpc.c) feeds it frames, local requests, the end of local functions,
 * membership and time, and does what the output says. It never runs user code and never blocks.
 *
 * Hot path: a call costs no allocation in the steady state (pools, inline storage for small
 * arguments and replies) and about 100 ns a side.
 */
#ifndef RPC_RPC_H
#define RPC_RPC_H

#include "core/limits.h"
#include "core/rate.h"
#include "kith/rpc.h"

struct rpc_core;
/*
 * A node as the core knows it, with its newest boot. A pointer that the driver keeps is good from
 * PEER_UP until the step of its PEER_DOWN; otherwise it is good until the next step.
 */
struct rpc_peer;
struct rpc_export; /* a function offered here */
struct rpc_serve;  /* a call being served here */

struct rpc_config {
    struct kith_node_id self;
    const char *self_name; /* for results of local calls; lives as long as the core; NULL: "" */
    uint64_t boot_no;
    uint64_t seed;
    uint32_t body_bytes_max;    /* 0: RPC_BODY_BYTES_MAX */
    uint32_t queue_node_max;    /* 0: RPC_QUEUE_NODE_MAX */
    uint32_t workers;           /* calls run at once on the worker pool, at least 1 */
    uint32_t calls_pending_max; /* 0: RPC_CALLS_PENDING_MAX */
    uint32_t registry_push_max; /* push registry changes to all when at most so many nodes; 0: 64 */
    /*
     * The driver reports LINK_UP and does CONNECT. Calls then wait in the core until the rpc stream
     * is open, so that what never left is known exactly and ends as NOT_EXECUTED. If false, a call
     * counts as gone once it was given in a SEND.
     */
    bool link_events;
};

/* ---- events ---- */

enum rpc_event_type {
    RPC_TICK,        /* the deadline has come */
    RPC_CALL,        /* u.call */
    RPC_CANCEL,      /* u.token: the caller gives up */
    RPC_FRAME,       /* u.frame: from a peer */
    RPC_DONE,        /* u.done: a local function ended */
    RPC_PARTIAL_OUT, /* u.partial: a local function has a partial result */
    RPC_PEER_UP,     /* u.peer: alive with this boot (an older boot of it is down by this) */
    RPC_PEER_DOWN,   /* u.peer: failed or left: code says which; no new calls, in-flight ones end at
                        once */
    RPC_LINK_DOWN,   /* u.peer: its rpc stream ended, or one being opened was given up; the node may
                        be alive: calls are sent again */
    RPC_UNREACHABLE, /* u.peer: no address answers: queued calls end as NOT_EXECUTED */
    RPC_PEER_LOAD,   /* u.load: its queue length as heard with membership */
    RPC_DRAIN,       /* u.drain: a node (this one too) is to get nothing more by our own choice */
    RPC_PEER_REGISTRY, /* u.registry: its registry version as heard with membership */
    RPC_EXPORT,        /* u.export_fn; the result is in out->code and out->export_out */
    RPC_UNEXPORT,      /* u.name */
    RPC_PARALLEL,      /* u.parallel: how many calls of a function run at once from now on */
    RPC_WATCH_ON,      /* u.name: report completions of it from everywhere */
    RPC_WATCH_OFF,     /* u.name */
    RPC_BOOT,          /* u.boot_no: our own was raised before anything was served */
    RPC_STOP,          /* every pending call ends with KITH_E_STOPPED */
    RPC_LINK_UP, /* u.peer: its rpc stream is open (see rpc_config.link_events). What ended before
                    is told before */
};

struct rpc_call {
    uint64_t token; /* the driver's name for the call, unique, not 0 */
    const char *fn;
    uint64_t fn_hash;      /* rpc_name_hash(fn), or 0: computed */
    struct kith_bytes arg; /* borrowed; copied if small ... */
    uint8_t *arg_owned; /* ... or, if not NULL, a malloc'ed block that holds it, taken over in every
                           case */
    uint64_t signature; /* rpc_signature_hash(), 0: not checked */
    const char *signature_text; /* what signature is the hash of, for error texts; may be NULL */
    bool to_node;
    struct kith_node_id node;
    struct rpc_peer *peer; /* to_node: the peer of that node if at hand; NULL: looked up */
    enum kith_select select;
    uint64_t timeout_ms; /* 0: RPC_TIMEOUT_DEFAULT_MS; UINT64_MAX: none */
    bool idempotent;
    bool no_retry;
    bool cast; /* no reply: COMPLETE comes when it was handed to the channel */
    bool wait_for_function;
    bool partials;
    bool item; /* arg begins with the head of an item of a map (rpc/item.h) */
};

struct rpc_event {
    enum rpc_event_type type;
    uint64_t now_ns;      /* monotonic */
    uint64_t now_unix_ms; /* wall clock, DONE only: goes into completions; 0: not known */
    union {
        struct rpc_call call;
        uint64_t token;
        struct {
            struct kith_node_id from;
            uint64_t boot_no;
            struct rpc_peer *peer; /* NULL: looked up by from */
            uint8_t type;
            const uint8_t *body;
            size_t len;
            uint8_t *owned; /* not NULL: the malloc'ed block that holds body; see owned_taken */
        } frame;
        struct {
            struct rpc_serve *serve;
            enum kith_outcome
                outcome; /* OK or APP_ERROR (or NOT_EXECUTED if it was never started) */
            int code;
            struct kith_bytes reply;
            uint8_t *reply_owned; /* not NULL: malloc'ed, taken over */
        } done;
        struct {
            struct rpc_serve *serve;
            struct kith_bytes data;
        } partial;
        struct {
            struct kith_node_id id;
            uint64_t boot_no;
            const char *name; /* copied */
            bool left;        /* PEER_DOWN: left rather than failed */
            bool program;
            bool drained; /* PEER_UP: as by DRAIN */
            void *user;   /* PEER_UP: the driver's, given back in actions */
        } peer;
        struct {
            struct kith_node_id id;
            uint32_t queue_len;
        } load;
        struct {
            struct kith_node_id id;
            bool drained;
        } drain;
        struct {
            struct kith_node_id id;
            uint64_t boot_no;
            uint64_t version;
        } registry;
        struct {
            const struct kith_export *desc; /* copied */
            void *user;                     /* the driver's, on the export */
        } export_fn;
        struct {
            const char *name;
            uint32_t n; /* 0: no own limit */
        } parallel;
        const char *name;
        uint64_t boot_no;
    } u;
};

/* ---- actions ---- */

enum rpc_action_type {
    RPC_SEND,             /* peer, net_class, frame_type, head, body [, body_release] */
    RPC_RUN,              /* serve: start the local function (inline ones at once) */
    RPC_ABORT,            /* serve: the caller gave up; tell the function; DONE is still expected */
    RPC_COMPLETE,         /* token, result: the call has ended; the token is free */
    RPC_PARTIAL_IN,       /* token, body: a partial result of a call we made */
    RPC_COMPLETION,       /* completion: some watched call ended somewhere */
    RPC_REGISTRY_CHANGED, /* ours: tell membership the new version (out->registry_version) */
    RPC_FUNCTIONS_CHANGED, /* peer (or NULL: ours): what it offers has changed */
    RPC_CONNECT,     /* peer: open the rpc stream; LINK_UP, LINK_DOWN or UNREACHABLE must follow, or
                        rpc_connect_told() be called: until then CONNECT is not given again */
    RPC_EXPORT_GONE, /* user: an unexported function has no running call any more (also at once) */
};

struct rpc_action {
    enum rpc_action_type type;
    uint8_t frame_type;
    uint8_t net_class;
    struct kith_node_id to; /* SEND */
    struct rpc_peer *peer;  /* SEND, CONNECT, FUNCTIONS_CHANGED */
    struct kith_bytes head; /* SEND: copied by the driver before the next step */
    /*
     * SEND: borrowed until the next step if release is NULL; otherwise it stays until the driver
     * calls rpc_body_release(release).
     */
    struct kith_bytes body;
    void *release;
    struct rpc_serve *serve;
    uint64_t token;
    const struct kith_result *result;
    const struct kith_completion *completion;
    void *user;        /* EXPORT_GONE: rpc_export_user() of what is gone */
    struct call *call; /* the core's: the call that a SEND carries */
};

/*
 * Bodies may also point into the event's own bytes (a frame's body, a reply, a partial result): do
 * the actions before these go away.
 *
 * Actions are owned by the core and valid until the next step.
 */
struct rpc_output {
    struct rpc_action *actions;
    size_t actions_n;
    int code;         /* of EXPORT, UNEXPORT, CALL (0: COMPLETE will come) */
    bool owned_taken; /* FRAME: the core took u.frame.owned over */
    struct rpc_export *export_out;
    uint64_t registry_version;
};

int rpc_new(struct rpc_core **core_out, const struct rpc_config *config);
void rpc_free(struct rpc_core *core);
/*
 * One event. 0; KITH_E_CORRUPT for a frame that does not decode (counted, nothing changed);
 * KITH_E_MEMORY. What a request itself comes to stands in out->code.
 */
int rpc_step(struct rpc_core *core, const struct rpc_event *event, struct rpc_output *out);
uint64_t rpc_deadline_ms(const struct rpc_core *core); /* monotonic ms; UINT64_MAX if none */
/*
 * For a driver whose timer is set to @armed_ms (UINT64_MAX: it is not): must it ask for the
 * deadline again? False is certain, and costs nothing, while rpc_deadline_ms() searches. The timer
 * must lead to an RPC_TICK, after which it counts as not set.
 */
bool rpc_due_before(const struct rpc_core *core, uint64_t armed_ms);
uint32_t rpc_calls_pending(const struct rpc_core *core);
void rpc_body_release(struct rpc_core *core, void *release);
/*
 * The channel refused @action, a SEND of the last output (KITH_E_BUSY: its queue is full). To be
 * told while the actions are done, before the body is released. What follows comes out of the next
 * step, which the deadline then asks for at once: a call ends as NOT_EXECUTED or goes elsewhere, a
 * result is offered again a little later. Other frames are simply lost.
 */
void rpc_send_failed(struct rpc_core *core, const struct rpc_action *action, int code);
/*
 * What @action, a CONNECT of the last output, came to at once. 0: the stream is open already (to
 * @boot_no, 0 if that is not known), so no LINK_UP will come. KITH_E_UNREACHABLE, KITH_E_NO_NODE:
 * there is no way to the node, as after UNREACHABLE. Others (memory, limits): CONNECT is given
 * again after a back-off. To be told as rpc_send_failed() is.
 */
void rpc_connect_told(struct rpc_core *core,
                      const struct rpc_action *action,
                      int code,
                      uint64_t boot_no);
void rpc_check(const struct rpc_core *core);

/* ---- what the driver asks of the objects in actions ---- */

const struct kith_export *rpc_export_desc(const struct rpc_export *fn);
void *rpc_export_user(const struct rpc_export *fn);

struct rpc_export *rpc_serve_export(const struct rpc_serve *serve);
/* A run of its function took so long; for the figures only. Not after DONE. */
void rpc_serve_took(struct rpc_serve *serve, uint64_t ns);
struct kith_bytes rpc_serve_arg(const struct rpc_serve *serve); /* valid until DONE */
uint64_t rpc_serve_deadline_ns(const struct rpc_serve *serve);  /* UINT64_MAX: none */
/* False if it is no item of a map. The state is valid as long as the argument. */
struct rpc_item;
bool rpc_serve_item(const struct rpc_serve *serve,
                    struct rpc_item *item_out,
                    const void **state_out);
/* Of the caller; 0: it is this node. */
uint64_t rpc_serve_caller_boot(const struct rpc_serve *serve);
struct kith_node_id rpc_serve_caller(const struct rpc_serve *serve);
void rpc_serve_set_user(struct rpc_serve *serve, void *user);
void *rpc_serve_user(const struct rpc_serve *serve);

struct rpc_peer *rpc_peer_find(const struct rpc_core *core, const struct kith_node_id *id);
void *rpc_peer_user(const struct rpc_peer *peer);
/* Are calls to it under way, or does it wait for one of ours? */
bool rpc_peer_in_use(const struct rpc_core *core, const struct kith_node_id *id);
const struct kith_node_id *rpc_peer_id(const struct rpc_peer *peer);

/* ---- the registry ---- */

struct spread; /* core/spread.h */
/* What a function did lately: of our own ones only. */
struct rpc_recent {
    struct rate calls, errors; /* by monotonic ms */
    /* Of the newest run that came to no OK. @error_unix_ms 0: there was none, or no clock. */
    int error_code;
    uint64_t error_unix_ms;
    uint32_t error_len; /* UTF-8, not terminated */
    char error_text[RPC_LAST_ERROR_BYTES_MAX];
};
struct rpc_function { /* one entry, borrowed until the next step */
    const char *name;
    const char *version;
    const char *description;
    const char *signature;
    uint64_t name_hash;
    uint64_t signature_hash;
    uint32_t flags;
    struct kith_node_id node;
    uint64_t calls_n, errors_n;
    const struct spread *times;      /* of our own; NULL: of another node */
    const struct rpc_recent *recent; /* likewise */
};
/* All entries of live nodes, ours included, in a stable order. `size_t at = 0; while
 * (rpc_function_next(..))`. */
bool rpc_function_next(const struct rpc_core *core, size_t *at, struct rpc_function *out);
/* Nodes that have @fn: fills up to @max ids, returns how many there are. */
size_t
rpc_who_has(const struct rpc_core *core, uint64_t name_hash, struct kith_node_id *out, size_t max);
/* The known name nearest to @name, or NULL. */
const char *rpc_nearest_name(const struct rpc_core *core, const char *name);

uint64_t rpc_name_hash(const char *name); /* first 8 bytes of BLAKE2b-128, never 0 */
/* Hash of the canonical form of a signature text. 0 or KITH_E_PARSE. NULL or "" gives 0. */
int rpc_signature_hash(const char *signature, uint64_t *hash_out);

struct rpc_stats {
    uint64_t calls_made, calls_ok, calls_app_error, calls_not_executed, calls_unknown, retries;
    uint64_t served, served_errors, duplicates, busy, cancelled, bad_frames;
    uint32_t calls_pending, serving_now, queued_now, sessions;
    uint64_t results_kept_bytes;
    uint64_t args_held_bytes; /* arguments of calls queued or running here */
    uint32_t peers;
};
void rpc_stats(const struct rpc_core *core, struct rpc_stats *stats_out);

#endif
