/*
 * The global function store and calls.
 *
 * A node exports functions by name; every node learns who has which. Calls are at most once: a
 * call ends with exactly one outcome, and an automatic retry happens only where the first try is
 * known not to have run, or where the function is declared idempotent (docs/protocols/rpc.md).
 */
#ifndef KITH_RPC_H
#define KITH_RPC_H

#include <kith/api.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kith_node;

/* ---- outcomes ----------------------------------------------------------------------------- */

enum kith_outcome {
    KITH_OUTCOME_OK = 1,
    KITH_OUTCOME_APP_ERROR = 2,    /* the function ran and reported an error */
    KITH_OUTCOME_NOT_EXECUTED = 3, /* it certainly did not run */
    KITH_OUTCOME_UNKNOWN = 4,      /* it may or may not have run */
};

/* "OK", "APP_ERROR", "NOT_EXECUTED" or "UNKNOWN". Static. */
KITH_API const char *kith_outcome_text(enum kith_outcome outcome);

/* The end of one call. Borrowed in callbacks; owned by a struct kith_reply otherwise. */
struct kith_result {
    enum kith_outcome outcome;
    /*
     * 0 if OK; the function's own positive code if APP_ERROR; else the KITH_E_* reason: TIMEOUT,
     * CANCELED, BUSY, NO_FUNCTION, NO_NODE, SIGNATURE, TOO_LARGE, UNREACHABLE, STOPPED ...
     */
    int code;
    const void *data; /* the reply; for APP_ERROR what kith_fail() gave */
    size_t len;
    const char *text;         /* for people: what, why, what to do next; "" if OK */
    struct kith_node_id node; /* who answered, all zero if nobody was asked */
    const char *node_name;    /* "" if nobody was asked */
    uint64_t elapsed_ns;
};

/* ---- serving ------------------------------------------------------------------------------ */

/* One running call, seen from the function. */
struct kith_ctx;

/* What a served function may return beside 0 and its own positive error codes. */
#define KITH_PENDING (-1)

/*
 * A served function. @arg is borrowed until the call ends. Replies with kith_reply() or
 * kith_fail(); a function that returns 0 without either replies with no bytes; one that returns a
 * positive code without kith_fail() ends as APP_ERROR with that code. Runs on a worker thread, or
 * on the loop thread if exported KITH_FN_INLINE or KITH_FN_DEFERRED.
 */
typedef int (*kith_fn)(struct kith_ctx *ctx, const void *arg, size_t arg_len, void *user);

enum kith_fn_flags {
    KITH_FN_IDEMPOTENT = 1 << 0, /* may be run again if the fate of a call is unknown */
    KITH_FN_INLINE = 1 << 1,     /* tiny: runs on the loop thread, must not block */
    /*
     * Started on the loop thread, may return KITH_PENDING and reply later from any thread with
     * kith_reply() or kith_fail(), which then ends the call and frees the context.
     */
    KITH_FN_DEFERRED = 1 << 2,
    KITH_FN_HIDDEN = 1 << 3, /* not listed unless asked for */
};

struct kith_export {
    const char *name;        /* 1 to KITH_NAME_BYTES_MAX printable ASCII bytes without spaces */
    const char *version;     /* NULL: "" */
    const char *description; /* one line; NULL: "" */
    /*
     * NULL: plain bytes. Otherwise "f(i32 index, f64[] m) -> bytes": types i32 i64 u32 u64 f32 f64
     * bool text bytes and arrays of them. A call made with another signature is refused before
     * anything runs; parameter names do not matter.
     */
    const char *signature;
    uint32_t flags;     /* enum kith_fn_flags */
    uint32_t parallel;  /* at most this many at once on this node; 0: no own limit */
    uint32_t queue_max; /* calls waiting for their turn; 0: 4,096 */
    kith_fn fn;
    void *user;
};

/*
 * Offers a function. All text is copied.
 *
 * Returns 0; KITH_E_EXISTS (this node offers the name already); KITH_E_NAME; KITH_E_PARSE (the
 * signature); KITH_E_LIMIT (4,096 functions a node); KITH_E_MEMORY; KITH_E_STOPPED.
 */
KITH_API KITH_MUST_CHECK int kith_export(struct kith_node *node, const struct kith_export *fn);

/*
 * Withdraws a function: new calls are refused, queued ones end as NOT_EXECUTED; running ones finish
 * before this returns, unless called on the loop thread, where it does not wait.
 *
 * Returns 0, KITH_E_NOT_FOUND, KITH_E_STOPPED.
 */
KITH_API KITH_MUST_CHECK int kith_unexport(struct kith_node *node, const char *name);

/*
 * Replies with @len bytes at @data (copied). At most 16 MiB by default (rpc.reply_bytes_max).
 * Once per call; a reply to a cancelled call is dropped.
 *
 * Returns 0; KITH_E_TOO_LARGE (the call then fails with it unless another reply is made);
 * KITH_E_EXISTS (replied before); KITH_E_MEMORY.
 */
KITH_API int kith_reply(struct kith_ctx *ctx, const void *data, size_t len);

/*
 * As kith_reply(), but takes @data (allocated with malloc) over in every case, without a copy.
 */
KITH_API int kith_reply_take(struct kith_ctx *ctx, void *data, size_t len);

/*
 * Ends the call as APP_ERROR with the function's own @code (made positive, 0 becomes 1) and a
 * sentence for people (copied, cut at 4,096 bytes). Returns as kith_reply().
 */
KITH_API int kith_fail(struct kith_ctx *ctx, int code, const char *text);

/* Sends @len bytes as a partial result (64 KiB at most); the caller may not be listening. */
KITH_API int kith_partial(struct kith_ctx *ctx, const void *data, size_t len);

/* True once the caller has cancelled, or is gone, or the deadline has passed. Any thread. */
KITH_API bool kith_ctx_cancelled(const struct kith_ctx *ctx);

/* Milliseconds until the deadline; 0 if passed; UINT64_MAX if there is none. */
KITH_API uint64_t kith_ctx_remaining_ms(const struct kith_ctx *ctx);

/* The node that serves, and the one that called. */
KITH_API struct kith_node *kith_ctx_node(const struct kith_ctx *ctx);
KITH_API struct kith_node_id kith_ctx_caller(const struct kith_ctx *ctx);

/*
 * For KITH_FN_DEFERRED: calls @cb once on the loop thread when the call is cancelled or its
 * deadline passes before the reply. The function still has to reply (which is dropped).
 */
KITH_API void
kith_ctx_on_cancel(struct kith_ctx *ctx, void (*cb)(struct kith_ctx *ctx, void *user), void *user);

/* ---- calling ------------------------------------------------------------------------------ */

enum kith_select {
    KITH_SELECT_LEAST_LOADED = 0, /* the less loaded of two at random among those that have it */
    KITH_SELECT_LOCAL_FIRST = 1,  /* this node if it has the function */
};

/* Zeroed is the default. Borrowed for the call that takes it. */
struct kith_call_options {
    const char *node;        /* name, id or unique prefix of an id; NULL: any that has it */
    enum kith_select select; /* used if @node is NULL */
    uint64_t timeout_ms;     /* 0: 30,000 */
    const char *signature;   /* what the argument was packed for; NULL: not checked */
    bool idempotent;         /* retry an unknown outcome even if the export does not say so */
    bool no_retry;           /* never retry by itself */
    bool wait_for_function;  /* if nobody has the function yet, wait for it until the deadline */
    /* Partial results of this call; on the loop thread. May be NULL. */
    void (*on_partial)(struct kith_node *node, const void *data, size_t len, void *user);
};

/* A call under way; 0 means none. */
struct kith_call_id {
    uint64_t no;
};

/* @result is borrowed for the callback. */
typedef void (*kith_call_cb)(struct kith_node *node, const struct kith_result *result, void *user);

/*
 * Calls @fn with @arg_len bytes at @arg (copied; 16 MiB at most). @cb runs exactly once on the
 * loop thread, never before this returns, with whatever outcome. @options may be NULL.
 * @call_out may be NULL.
 *
 * Returns 0; KITH_E_TOO_LARGE; KITH_E_NAME; KITH_E_PARSE (signature); KITH_E_LIMIT (65,536 calls
 * under way); KITH_E_MEMORY; KITH_E_STOPPED. @cb runs only after 0.
 */
KITH_API KITH_MUST_CHECK int kith_call_async(struct kith_node *node,
                                             const char *fn,
                                             const void *arg,
                                             size_t arg_len,
                                             const struct kith_call_options *options,
                                             kith_call_cb cb,
                                             void *user,
                                             struct kith_call_id *call_out);

/* An owned result. */
struct kith_reply {
    struct kith_result result; /* all pointers live as long as this */
};
KITH_API void kith_reply_free(struct kith_reply *reply);

/*
 * Calls and waits. Returns 0 if the outcome is OK, KITH_E_APP if it is APP_ERROR, else the result's
 * code; @reply_out (may be NULL) is set whenever an outcome exists, whatever the return, and is the
 * caller's to free; otherwise it is NULL. KITH_E_WOULD_DEADLOCK on the loop thread.
 */
KITH_API int kith_call(struct kith_node *node,
                       const char *fn,
                       const void *arg,
                       size_t arg_len,
                       const struct kith_call_options *options,
                       struct kith_reply **reply_out);

/*
 * Gives up on a call: its callback runs soon with KITH_E_CANCELED (NOT_EXECUTED if it never left,
 * otherwise UNKNOWN), and the server is told. Nothing happens if the call has ended.
 */
KITH_API void kith_cancel(struct kith_node *node, struct kith_call_id call);

/* Sends a call that nobody answers. Returns 0 once queued, or as kith_call_async(). */
KITH_API KITH_MUST_CHECK int kith_cast(struct kith_node *node,
                                       const char *fn,
                                       const void *arg,
                                       size_t arg_len,
                                       const struct kith_call_options *options);

/*
 * Calls @fn on every alive node that has it (@nodes NULL) or on the named ones. @on_result runs
 * once for each, @on_done once after the last; both on the loop thread. options->node is ignored.
 * @multi_out (may be NULL) is set before any callback runs, so that one of them may cancel the
 * rest.
 *
 * Returns the number of nodes asked (0: on_done runs at once, later than this return), or negative
 * as kith_call_async().
 */
typedef void (*kith_multicall_done_cb)(struct kith_node *node,
                                       size_t ok_n,
                                       size_t asked_n,
                                       void *user);
/* A multicall under way; calls_n 0 means none. */
struct kith_multicall_id {
    uint64_t no;
    uint64_t calls_n;
};
KITH_API KITH_MUST_CHECK int kith_multicall_async(struct kith_node *node,
                                                  const char *fn,
                                                  const void *arg,
                                                  size_t arg_len,
                                                  const char *const *nodes,
                                                  size_t nodes_n,
                                                  const struct kith_call_options *options,
                                                  kith_call_cb on_result,
                                                  kith_multicall_done_cb on_done,
                                                  void *user,
                                                  struct kith_multicall_id *multi_out);

/*
 * Gives up on all calls of a multicall that have not ended: each of them ends soon as after
 * kith_cancel(), on_result for each and then on_done follow as ever. Those that have ended keep
 * their outcome; nothing happens if all have, or a second time. Any thread, callbacks too; does not
 * wait.
 */
KITH_API void kith_multicall_cancel(struct kith_node *node, struct kith_multicall_id multi);

struct kith_replies {
    struct kith_reply *replies;
    size_t replies_n;
};
KITH_API void kith_replies_free(struct kith_replies *replies);

/* Synchronous form. Returns the number of OK results or negative; @replies_out as in kith_call().
 */
KITH_API int kith_multicall(struct kith_node *node,
                            const char *fn,
                            const void *arg,
                            size_t arg_len,
                            const char *const *nodes,
                            size_t nodes_n,
                            const struct kith_call_options *options,
                            struct kith_replies **replies_out);

/* ---- map: one function over many arguments -------------------------------------------------- */

struct kith_map;

/* Where a map stands. Borrowed pointers are valid for the callback or until the next call. */
struct kith_map_node {
    struct kith_node_id id;
    const char *name;
    uint64_t done_n;
    uint32_t running_n;
    uint64_t busy_ns; /* sum of the elapsed times of its finished items */
};
struct kith_map_progress {
    uint64_t map_no;
    uint64_t items_n;
    uint64_t pending_n; /* waiting at the caller, lost ones included */
    uint64_t running_n;
    uint64_t done_n;   /* OK */
    uint64_t failed_n; /* ended with an APP_ERROR, or given up */
    uint64_t lost_n;   /* times an item went back to the pending queue because its node was lost */
    size_t nodes_n;
    const struct kith_map_node *nodes; /* every node that ever got an item */
    bool waiting_for_nodes;            /* items wait and no node has the function */
};

/* What is to become of a lost item that has saved its state (kith_state_save()). */
enum kith_resume {
    KITH_RESUME_STATE = 0, /* it goes on from there */
    KITH_RESUME_ANEW = 1,  /* the state is dropped */
};

struct kith_map_options {
    uint32_t per_node_max;    /* K: items in flight per node; 0: twice its cpus, at least 2 */
    bool ordered;             /* on_result in order of index, otherwise as they come */
    uint64_t item_timeout_ms; /* 0: none; a timed out item counts as lost and is tried again */
    uint32_t attempts_max;    /* tries of an item lost to failed nodes or time-outs; 0: no limit */
    const char *signature;    /* as in kith_call_options */
    bool local_excluded;      /* do not use this node's own function */
    /* All on the loop thread; each may be NULL. `result` is borrowed. */
    void (*on_result)(struct kith_map *map,
                      uint64_t index,
                      const struct kith_result *result,
                      void *user);
    void (*on_partial)(
        struct kith_map *map, uint64_t index, const void *data, size_t len, void *user);
    /* An item went back to the pending queue because @node was lost. */
    void (*on_lost)(struct kith_map *map,
                    uint64_t index,
                    const struct kith_node_id *node,
                    const char *node_name,
                    void *user);
    /* Once, after the last on_result, also after kith_map_cancel(). The map is freed after it
     * returns. */
    void (*on_done)(struct kith_map *map, const struct kith_map_progress *progress, void *user);
    void *user;
    /*
     * Before a lost item that has saved a state runs again, with that state (borrowed). NULL: it
     * goes on from there.
     */
    enum kith_resume (*on_resume)(
        struct kith_map *map, uint64_t index, const void *state, size_t len, void *user);
};

/*
 * Runs @fn once for each of @items_n arguments on all nodes that have it, the caller's own
 * included. Functions used in a map should be idempotent: an item whose node is lost is run again.
 * @items and the bytes it points to stay the caller's and must live until on_done.
 * @map_out (may be NULL) is valid until on_done returns; it is set before any callback runs.
 *
 * Returns 0 (then on_done runs exactly once, later); KITH_E_LIMIT (1,024 maps at once, 2^32 items),
 * KITH_E_NAME, KITH_E_TOO_LARGE, KITH_E_PARSE, KITH_E_MEMORY, KITH_E_STOPPED.
 */
KITH_API KITH_MUST_CHECK int kith_map_start(struct kith_node *node,
                                            const char *fn,
                                            const struct kith_bytes *items,
                                            uint64_t items_n,
                                            const struct kith_map_options *options,
                                            struct kith_map **map_out);

/* Stops dispatching, cancels what runs; on_done follows with what was done. Loop thread or any. */
KITH_API void kith_map_cancel(struct kith_map *map);

/* Number of the map (as in kith_work_item) and the node it runs on. */
KITH_API uint64_t kith_map_no(const struct kith_map *map);
KITH_API struct kith_node *kith_map_node_of(const struct kith_map *map);

/* Where it stands. Loop thread only (from a callback); valid until the next call on @map. */
KITH_API const struct kith_map_progress *kith_map_progress(struct kith_map *map);

/*
 * Synchronous form: callbacks run on the loop thread as above, returns after on_done: the number of
 * failed items, or negative as kith_map_start() or KITH_E_WOULD_DEADLOCK.
 */
KITH_API KITH_MUST_CHECK int64_t kith_map_run(struct kith_node *node,
                                              const char *fn,
                                              const struct kith_bytes *items,
                                              uint64_t items_n,
                                              const struct kith_map_options *options);

/* ---- state of items ---------------------------------------------------------------------------
 *
 * A function that works for long on an item of a map saves now and then how far it is. The state is
 * an available variable: it spreads to all nodes at once, in memory only. If the node is lost, the
 * item goes back to the pending queue with its state, and whoever runs it next resumes from there.
 * When the item has ended its states are dropped everywhere.
 */

/*
 * Saves @len bytes (1 MiB at most, copied) as the state of the item that @ctx runs, instead of what
 * was saved before: a state travels whole. Does not wait. Any thread, before the reply.
 *
 * Returns the number of this save, from 1; KITH_E_UNSUPPORTED (the call is no item of a map);
 * KITH_E_TOO_LARGE; KITH_E_CANCELED (nobody waits for the item here any more); KITH_E_EXISTS
 * (replied before); KITH_E_MEMORY.
 */
KITH_API KITH_MUST_CHECK int64_t kith_state_save(struct kith_ctx *ctx,
                                                 const void *data,
                                                 size_t len);

/*
 * The number of the newest save of this call that another node has acknowledged: it is not lost
 * with this one. 0: none yet (always, on the only node there is). Any thread.
 */
KITH_API int64_t kith_state_acked(struct kith_ctx *ctx);

/*
 * The newest state that earlier runs of the item saved, borrowed until the call ends.
 *
 * Returns 0; KITH_E_NOT_FOUND (it begins here); KITH_E_UNSUPPORTED (no item of a map). *data_out
 * and *len_out are NULL and 0 then.
 */
KITH_API int kith_state_resume(struct kith_ctx *ctx, const void **data_out, size_t *len_out);

/*
 * The state of an item as far as it is known to this node: of a map of @caller (NULL: @node's own),
 * by numbers as in struct kith_work_item. Any node and thread, callbacks too. *data_out is the
 * caller's, freed with kith_free().
 *
 * Returns 0; KITH_E_NOT_FOUND (none was saved, or the item has ended); KITH_E_MEMORY;
 * KITH_E_STOPPED.
 */
KITH_API KITH_MUST_CHECK int kith_state_read(struct kith_node *node,
                                             const struct kith_node_id *caller,
                                             uint64_t map_no,
                                             uint64_t index,
                                             void **data_out,
                                             size_t *len_out);

/* ---- who has what --------------------------------------------------------------------------- */

struct kith_function_info {
    const char *name;
    const char *version;
    const char *description;
    const char *signature; /* "" for plain bytes */
    uint32_t flags;
    struct kith_node_id node;
    const char *node_name;
    /* Counters of the serving node as last heard; UINT64_MAX if never heard. */
    uint64_t calls_n;
    uint64_t errors_n;
};
struct kith_function_list {
    struct kith_function_info *functions; /* by name, then by node name */
    size_t functions_n;
};

/* A snapshot of the registry: every function on every node that is not failed or left. */
KITH_API KITH_MUST_CHECK int kith_functions(struct kith_node *node,
                                            struct kith_function_list **list_out);
KITH_API void kith_function_list_free(struct kith_function_list *list);

/* The end of some call of a watched function, somewhere. Borrowed for the callback. */
struct kith_completion {
    const char *fn;
    struct kith_node_id node; /* who served */
    const char *node_name;
    struct kith_node_id caller;
    uint8_t argument_digest[16]; /* BLAKE2b-128 of the argument */
    enum kith_outcome outcome;
    uint64_t elapsed_ns;
    uint64_t time_unix_ms; /* the server's clock */
    uint64_t missed_n;     /* completions dropped before this one because the watcher was slow */
};
typedef void (*kith_completion_cb)(struct kith_node *node,
                                   const struct kith_completion *completion,
                                   void *user);

/*
 * Watches the completions of @fn on every node that has it. Several watches may exist (64 a node).
 * Returns a watch number above 0, or negative: KITH_E_LIMIT, KITH_E_NAME, KITH_E_STOPPED.
 */
KITH_API KITH_MUST_CHECK int64_t kith_watch_completions(struct kith_node *node,
                                                        const char *fn,
                                                        kith_completion_cb cb,
                                                        void *user);
KITH_API void kith_unwatch_completions(struct kith_node *node, int64_t watch_no);

/* ---- typed arguments --------------------------------------------------------------------------
 */

/*
 * Packs values for the parameters of @signature ("f(i32 index, f64[] m) -> bytes"). The variable
 * arguments are, in order: i32 int32_t, i64 int64_t, u32 uint32_t, u64 uint64_t, f32 and f64
 * double, bool int, text const char *, bytes const void * and size_t, and for an array a pointer to
 * its elements and a size_t count (bool[] as uint8_t, text[] as const char *const *, bytes[] as
 * struct kith_bytes *).
 *
 * Returns 0 and memory that the caller frees with kith_free(); KITH_E_PARSE; KITH_E_TOO_LARGE;
 * KITH_E_MEMORY.
 */
KITH_API KITH_MUST_CHECK int
kith_pack(void **data_out, size_t *len_out, const char *signature, ...);

/* As kith_pack(), for the single result type after "->". */
KITH_API KITH_MUST_CHECK int
kith_pack_result(void **data_out, size_t *len_out, const char *signature, ...);

/*
 * Unpacks the parameters; the variable arguments are pointers to what kith_pack() takes. text,
 * bytes and arrays of numbers point into @data, which must outlive them and be aligned as malloc()
 * aligns; text[] and bytes[] are not supported here (KITH_E_UNSUPPORTED).
 *
 * Returns 0; KITH_E_CORRUPT if @data does not hold exactly these values; KITH_E_PARSE.
 */
KITH_API KITH_MUST_CHECK int kith_unpack(const void *data, size_t len, const char *signature, ...);
KITH_API KITH_MUST_CHECK int
kith_unpack_result(const void *data, size_t len, const char *signature, ...);

/* Frees memory that a kith function gave to the caller. NULL is fine. */
KITH_API void kith_free(void *memory);

#ifdef __cplusplus
}
#endif

#endif
