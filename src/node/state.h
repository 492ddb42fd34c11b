/*
 * The shared state of a node: the cores of view, variables and mutexes, the store, and what wires
 * them together (uv_state.c). Loop thread only unless said otherwise.
 *
 * What one core tells another goes through a queue of things to do, so that no core is ever stepped
 * from inside the actions of a step. Callbacks of programs run inside actions as well; what they
 * ask for becomes a request of the node's queue, as if another thread had asked.
 */
#ifndef NODE_STATE_H
#define NODE_STATE_H

#include <uv.h>

#include "core/list.h"
#include "core/map.h"
#include "dvar/avail.h"
#include "dvar/dvar.h"
#include "dvar/symbols.h"
#include "kith/dvar.h"
#include "kith/mutex.h"
#include "mutex/mutex.h"
#include "node/queue.h"
#include "rpc/item.h"
#include "store/store.h"
#include "view/view.h"

/* A mutex this node's programs wait for or hold: the driver's side of a waiter. */
struct node_lock {
    struct node_request request; /* of the acquire */
    uint64_t no;
    kith_lock_cb cb; /* NULL once it ran */
    void *user;
    struct kith_lock_options options;
    const char *owner_text; /* of options, copied, as are: */
    uint64_t within[MUTEX_WITHIN_MAX];
    uint64_t fence;
    char name[]; /* and the owner's text behind it */
};

/* A question about a mutex that the core has yet to answer. */
struct node_lock_ask {
    void (*on_info)(struct kith_node *node,
                    int code,
                    const struct kith_lock_info *info,
                    void *user);
    void (*on_broken)(struct kith_node *node, int code, void *user);
    void *user;
};

/* An operation on a variable under way, or a watch. */
struct node_var_op {
    struct node_request request;
    struct node_var_op *next_kept; /* while it is not used */
    uint64_t id;
    kith_value_cb cb;             /* of an operation */
    kith_var_change_cb on_change; /* of a watch */
    void *user;
    uint8_t kind; /* enum kith_var_op_kind */
    uint8_t type; /* of what it writes */
    uint8_t policy;
    uint8_t merge;
    bool large; /* its memory is of no use for another one */
    uint64_t timeout_ms;
    struct value_op op; /* points into the bytes behind the name, until the step */
    size_t name_len;
    char name[]; /* NUL-terminated; then copies of what op points to */
};

/* Operations under way, by place (var_ops.c). */
struct node_var_ops {
    struct node_var_op **at;
    uint32_t *free; /* places */
    uint32_t cap, free_n, number;
    struct node_var_op *kept; /* memory for those to come */
    uint32_t kept_n;
};

struct node_state {
    struct store *store; /* NULL: a program */
    struct view_core *view;
    struct dvar_core *dvar;
    struct dvar_core *dvar_before; /* of the boot before it was raised: readers may look at it */
    struct mutex_core *mutex;
    struct symbols_core *symbols;
    struct avail_core *avail;
    struct avail_core *items;   /* states of items of maps (fn_state.c) */
    struct maptext item_saves;  /* struct item_saves by name */
    struct node_request stored; /* what the store has to say; in the queue while @stored_told */
    _Atomic bool stored_told;
    bool unwritten;      /* it has batches that wait for node_store_write() */
    uint64_t writing_n;  /* batches of view and variables that are not durable yet, */
    uint64_t writing_ns; /* since when there are, or the last one became durable */
    uv_timer_t timer;
    uint64_t due_ms; /* of the timer, on BOOTTIME; UINT64_MAX: not set */
    bool started;
    bool in_batch;     /* requests of other threads and of callbacks run, */
    uint64_t batch_ms; /* for which BOOTTIME is read once; 0: not yet */
    uint64_t step_ms;  /* when the core of variables was stepped last, on BOOTTIME */
    uint32_t held_n;   /* its steps since something left */
    bool stepped;      /* in this turn: node_state_turn() has something to do */
    bool stepping;     /* the actions of a step are being done */
    bool pumping;
    struct list todo;
    bool quorum;            /* as last told to the cores */
    bool disk_full;         /* likewise */
    bool expects;           /* there is a file view.expect to be removed */
    uint64_t slots_asked;   /* a bit a slot: dvar waits for its SLOT_DECIDED */
    uint64_t swept_ms;      /* when records of mutexes were last looked at */
    struct map64 locks;     /* struct node_lock by no */
    struct map64 lock_asks; /* struct node_lock_ask */
    uint64_t next_ask;
    _Atomic uint64_t next_lock_no;
    uint32_t lock_waits_n;  /* locks that were asked for and have not come */
    uint64_t lock_asked_ns; /* when the last of them was */
    uint64_t pid;           /* of this process */
    bool released; /* a mutex, in this turn: at its end node_state_release() passes it on */
    uint32_t watches_n;
    uint32_t generations[PLACEMENT_SLOTS]; /* as last seen */
    struct node_var_ops ops;
    struct map64 var_watches;   /* struct node_var_op by id */
    struct map64 var_unwatched; /* watches that have not begun, by number; value: anything */
    _Atomic uint64_t next_var_id;
    struct kith_var *opening;                  /* the handle that a step is to open */
    void (*view_left)(struct kith_node *node); /* waits for VIEW_LEFT */
};

/* Ids of operations on variables that the mutex core asked for: its ask, and this bit. */
#define NODE_VAR_ID_OF_MUTEX (1ull << 63)
#define NODE_VAR_ID_OF_CAS   (1ull << 62) /* ... by which it wrote */

/* The store's tokens: the core's own, and whose it is in the highest bits. */
#define NODE_TOKEN_VIEW (1ull << 62)
#define NODE_TOKEN_DVAR (2ull << 62)
#define NODE_TOKEN_FS   (3ull << 62)
#define NODE_TOKEN_CORE (3ull << 62)

/* ---- uv_state_life.c ---- */
int node_state_open(struct kith_node *node); /* the store, the cores; any thread, before the loop */
int node_state_first(struct kith_node *node);  /* on the loop: what the store remembers, START */
void node_state_close(struct kith_node *node); /* the store, before the loop's handles */
void node_state_deinit(struct kith_node *node);
void node_state_boot_raised(struct kith_node *node);

/* ---- uv_store.c ---- */
struct store_put;
int node_store_open(struct kith_node *node);
/* A batch that becomes durable, some time after the next node_store_write() at the latest. */
void node_store_put(struct kith_node *node, const struct store_put *puts, size_t n, uint64_t token);
/* The end of a turn, behind what it sent: what was put is written. */
void node_store_write(struct kith_node *node);

/* ---- uv_state.c ---- */
void node_state_stop(struct kith_node *node); /* ends all that waits */
/* BOOTTIME for a step. Requests that were taken from the queue together share one reading, which
 * comes after all of them were asked for: what a lease that ran then allows was allowed while they
 * waited. A callback of a program ends it. */
uint64_t node_state_ms(struct kith_node *node);
/* Have other nodes been asked for something that comes soon: operations on variables of this node,
 * writes of which it is home, a mutex a moment ago? */
bool node_state_awaits(const struct kith_node *node);
/* The end of a turn, before the sockets are flushed: what the cores held back leaves. */
void node_state_turn(struct kith_node *node);
void node_state_arm(struct kith_node *node); /* ... and after that: the timer of the cores */
/* Gives away what this node votes and keeps; @left runs once that is done. False: nothing to do. */
bool node_state_leave(struct kith_node *node, void (*left)(struct kith_node *node));
/* Others take the good-bye, which follows, for proof that this node serves and grants no more. */
void node_state_goodbye(struct kith_node *node);
struct member;
void node_state_peer(struct kith_node *node, const struct member *member, bool up, bool left);
void node_state_link(struct kith_node *node,
                     const struct kith_node_id *id,
                     uint64_t boot_no,
                     bool up);
void node_state_frame(struct kith_node *node,
                      const struct kith_node_id *from,
                      uint64_t boot_no,
                      uint8_t type,
                      const uint8_t *data,
                      size_t len);
void node_state_sample(struct kith_node *node); /* once a second */
void node_state_tell_placement(struct kith_node *node);
void node_state_forget_todo(struct kith_node *node);
/* Says why, in the log and on stderr. */
_Noreturn void node_state_end_process(struct kith_node *node, const char *why);
/* One event, now or as soon as no step runs; names are copied if they must be. */
void node_view_step(struct kith_node *node, struct view_event *event);
void node_mutex_step(struct kith_node *node, struct mutex_event *event);
void node_dvar_step(struct kith_node *node, struct dvar_event *event);

/* ---- uv_quorum.c ---- */
/* Who is missing for a majority, in few words: @out, of @bytes. */
const char *node_quorum_reason(struct kith_node *node, char *out, size_t bytes);
/* The same with what to do, as a sentence. */
const char *node_quorum_text(struct kith_node *node, char *out, size_t bytes);

/* ---- locks.c ---- */
void node_lock_action(struct kith_node *node, const struct mutex_action *action);
void node_locks_deinit(struct kith_node *node);

/* ---- var_ops.c ---- */
/* With room for @bytes behind it, not initialised but for what it needs itself; any thread. NULL:
 * no memory. Freed on the loop, or by a thread that was refused. */
struct node_var_op *node_var_op_new(struct kith_node *node, size_t bytes);
void node_var_op_free(struct kith_node *node, struct node_var_op *op);
/* Gives it its id. 0 or KITH_E_MEMORY. */
int node_var_op_enter(struct kith_node *node, struct node_var_op *op);
/* The one with this id, which is over; NULL: there is none. */
struct node_var_op *node_var_op_leave(struct kith_node *node, uint64_t id);
struct node_var_op *node_var_op_any(struct kith_node *node); /* NULL: none is under way */
void node_var_ops_deinit(struct kith_node *node);

/* ---- vars.c ---- */
void node_var_action(struct kith_node *node, const struct dvar_action *action);
void node_vars_stop(struct kith_node *node); /* ends every operation with KITH_E_STOPPED */
void node_vars_deinit(struct kith_node *node);
/* An operation on a variable of the runtime's own, whose name is internal; as
 * kith_var_do_async(), on the loop. What @op points to is copied. */
int node_var_begin(struct kith_node *node,
                   const char *name,
                   const struct value_op *op,
                   kith_value_cb cb,
                   void *user);
/* A copy in one block, freed by kith_value_free(); NULL if memory is short. */
struct kith_value *node_value_copy(const struct kith_value *value);

/* ---- var_handle.c ---- */
void node_var_opened(struct kith_node *node, const struct dvar_action *action);

/* ---- symbols.c ---- */
void node_symbols_step(struct kith_node *node, struct symbols_event *event);
void node_symbol_changed(struct kith_node *node, const struct dvar_change *change);
void node_symbol_sweep(struct kith_node *node, const struct dvar_change *change);
void node_symbol_seen(struct kith_node *node, const char *name, uint64_t version, size_t size);

/* ---- available.c ---- */
int node_avail_step(struct kith_node *node, struct avail_event *event);
bool node_var_is_available(struct kith_node *node, const char *name);
void node_avail_do(struct kith_node *node, struct node_var_op *op); /* takes it over */
void node_avail_watch_begins(struct kith_node *node, struct node_var_op *watch);

/* ---- labels.c ---- */
/* An available variable of an internal name changed: is it a tag of a node, or a drain? */
void node_label_changed(struct kith_node *node, const char *name);
void node_labels_first(struct kith_node *node); /* behind RECALL */
void node_labels_deinit(struct kith_node *node);
/* Nobody needs to know any more what was said of a node. */
void node_labels_forget(struct kith_node *node, const struct kith_node_id *id);

/* ---- names.c ---- */
int node_names_export(struct kith_node *node); /* sys.names, by which they are listed */
/* A variable of which this node is home: one whose owner is gone is deleted. */
void node_name_sweep(struct kith_node *node, const struct dvar_change *variable);

/* ---- fn_state.c ---- */
/* What an item of a map knows of its state, in the context of its call. */
struct item_saves;
struct node_item {
    struct rpc_item head;
    uint64_t caller_boot;
    uint64_t resume_no; /* of the save; 0: none */
    const void *resume;
    size_t resume_len;
    uint8_t *resume_owned;
    struct item_saves *saves; /* since the first one */
    _Atomic uint64_t saves_n;
    _Atomic uint64_t acked_n;
};
int node_items_open(struct kith_node *node);
void node_items_deinit(struct kith_node *node);
int node_items_step(struct kith_node *node, struct avail_event *event);
void node_items_sweep(struct kith_node *node); /* drops states of callers that are gone */
/* An item begins and ends here. */
void node_item_begin(struct kith_node *node,
                     struct node_item *item,
                     const struct kith_node_id *caller,
                     const void *state);
void node_item_end(struct kith_node *node, struct node_item *item);
/* The newest state of an item of this node's maps, of attempts up to @attempt; borrowed until the
 * next step. False: there is none. */
bool node_items_find(struct kith_node *node,
                     uint64_t map_no,
                     uint64_t index,
                     uint32_t attempt,
                     struct rpc_item *found_out,
                     struct kith_bytes *state_out);
/* An item of this node's maps has ended, or begins anew: states of attempts up to @attempt go. */
void node_items_drop(struct kith_node *node, uint64_t map_no, uint64_t index, uint32_t attempt);
void node_items_drop_map(struct kith_node *node, uint64_t map_no);
/* maps.c: may the item still run or be resumed? Its attempt. */
bool node_map_item(struct kith_node *node, uint64_t map_no, uint64_t index, uint32_t *attempt_out);

/* ---- serve.c, for it ---- */
struct node_item *node_ctx_item(struct kith_ctx *ctx); /* NULL: no item of a map */
/* Pushes @request so that it runs before the end of the call; false: it has been replied to. */
bool node_ctx_push(struct kith_ctx *ctx, struct node_request *request);

/* ---- uv_state.c, for those ---- */
void node_state_pump(struct kith_node *node); /* behind a step from outside */
/* Passes on what was released since the last time; before what is queued for others leaves. */
void node_state_release(struct kith_node *node);
void node_state_send(struct kith_node *node,
                     const struct kith_node_id *to,
                     uint8_t type,
                     const void *data,
                     size_t len);
/* Keeps an entry on disk, lazily; @data NULL: no more. */
void node_state_keep(struct kith_node *node, struct kith_bytes key, struct kith_bytes data);

#endif
