/*
 * What the files of the core share.
 *
 * Idea: a variable is one object whatever this node is to it: copy at home or replica, entry of a
 * cache, or only a name that somebody asks for. Its value is a block: records against repetition
 * and bytes, as they travel. Everything of one other node stands in one object, too.
 */
#ifndef DVAR_INTERNAL_H
#define DVAR_INTERNAL_H

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/alloc.h"
#include "core/arena.h"
#include "core/bytes.h"
#include "core/error.h"
#include "core/heap.h"
#include "core/lease.h"
#include "core/list.h"
#include "core/map.h"
#include "core/mutant.h"
#include "dvar/dvar.h"

#define TS(se, seq)  ((uint64_t)(se) << DVAR_SEQ_BITS | (seq))
#define TS_SE(ts)    ((ts) >> DVAR_SEQ_BITS)
#define SEQ_MAX      (((uint64_t)1 << DVAR_SEQ_BITS) - 1)
#define REPLICAS     PLACEMENT_REPLICAS_MAX
#define FOLD_MAX     64  /* requests that one write answers */
#define RECOMMIT_MAX 128 /* writes of a slot that is being filled, under way at once */
#define FRAME_BYTES  (60 * 1024)
#define READY_MS     500
#define WATCH_MS     1000 /* between registrations of watches, */
#define WATCH_END_MS 5000 /* and how long one counts */
#define PUSH_WINDOW  256
#define ASKED_MS     (2ull * DVAR_OP_MS_MAX) /* since then unheard of: nothing of it is repeated */

/* ---- records and blocks ---- */

/* A record against repetition, as it travels and as it lies in memory and on disk. */
enum {
    RECORD_NODE = 0,
    RECORD_BOOT = 16,
    RECORD_NO = 24,
    RECORD_VERSION = 32,
    RECORD_NUMBER = 40,
    RECORD_CODE = 48,
    RECORD_APPLIED = 52,
    RECORD_BYTES = 56,
};

/* Immutable while anybody else holds it. Its bytes: records, then the value. */
struct block {
    uint32_t refs;
    uint32_t cap;
    uint32_t len; /* of the value */
    uint32_t records_n;
    uint32_t answers; /* that hold it */
    uint64_t version; /* of the last write, which a new slot epoch does not change */
    uint8_t bytes[];
};

static inline const uint8_t *block_value(const struct block *block)
{
    return block->bytes + (size_t)block->records_n * RECORD_BYTES;
}

/* ---- variables ---- */

enum var_state {
    VAR_NONE,    /* no value is here */
    VAR_INVALID, /* a copy that may not be read */
    VAR_VALID,
    VAR_CACHED, /* under the session with its home; in node->cached */
};

struct sharer {
    uint32_t node_at; /* in core->nodes */
    uint32_t acked;
    uint64_t session;
};
struct sharers {
    uint32_t n, cap;
    struct sharer at[];
};

struct var {
    struct var *hash_next;
    struct list link; /* copy: slot->vars; cached: node->cached */
    struct block *block;
    struct write *write; /* under way, at the home */
    struct sharers *sharers;
    struct op *queue_last; /* circular, of requests at the home */
    struct op *fetch;      /* the read whose answer may be cached */
    struct op *adds;       /* an addition of this node that others may join */
    struct dvar_cell *cell;
    uint64_t ts;
    uint64_t disk_token; /* of the last batch that has it */
    uint32_t hash;
    uint32_t pins;
    uint32_t queue_n;
    uint32_t stamp;         /* valid only with the slot's */
    uint32_t node_at;       /* cached: whose session */
    uint16_t reads, writes; /* since window_s */
    uint32_t window_s;
    uint8_t slot;
    uint8_t state;
    uint8_t name_len;
    bool in_slot;
    char name[];
};

/* ---- operations: of this node, and at a home those of others ---- */

#define OP_INLINE_BYTES 160

struct joined { /* an addition that travels in another's request */
    uint64_t id;
    int64_t delta;
};

enum op_state {
    OP_WAITING, /* for a home, a quorum or a resend */
    OP_SENT,
    OP_QUEUED,  /* at this node as home */
    OP_WRITING, /* its write is under way */
};

struct op {
    struct list link; /* ops: core->ops by number */
    struct heap_node deadline;
    struct list timer; /* ops that wait or were sent: core->resends */
    struct op *next;   /* in a queue or a write */
    struct var *var;
    struct node *client; /* NULL: this node */
    uint64_t client_boot;
    uint64_t id;
    uint64_t no;
    uint64_t deadline_ms;
    uint64_t sent_ms;
    uint64_t floor; /* an answer below it must not be cached */
    uint64_t session;
    struct node *sent_to;
    uint64_t sent_se; /* the slot epoch it was sent in last; 0: it is or was done here since */
    uint32_t len;
    uint32_t generation; /* of its slot when it left first */
    enum op_state state;
    bool may_have_left; /* a write that some home may do */
    bool read;
    bool canceled;
    bool fetching;
    bool short_of_copies; /* it waits for them, or did */
    bool alone;           /* nobody may join it */
    bool checked;         /* @bytes decode */
    bool numbered;        /* in core->by_no */
    uint32_t adds;        /* how many additions it stands for; 1 for everything else */
    uint32_t joined_n, joined_cap;
    struct joined *joined;
    uint64_t deadline_first_ms;
    /* The result, while the write is under way. */
    int32_t code;
    bool applied;
    uint64_t version, number;
    uint8_t *bytes; /* encoded; @small or allocated */
    uint8_t small[OP_INLINE_BYTES];
};

/* ---- writes under way ---- */

struct write {
    struct list link;      /* core->writes by sent_ms */
    struct list slot_link; /* slot->under_way by timestamp, if it is not a repeated commit */
    struct var *var;
    uint64_t ts;
    uint64_t base_ts; /* for replicas that have exactly this: @delta makes the value */
    uint64_t begun_ms, sent_ms;
    uint64_t token;          /* of the batch on its way to the own disk; 0: none */
    struct sharers *sharers; /* who was told */
    struct op *ops, *ops_last;
    uint32_t at;        /* in core->write_at */
    uint32_t missing;   /* bits of replicas */
    uint32_t full_need; /* bits of replicas that had another base */
    uint32_t folded;
    bool recommit;
    bool was_absent;
    bool durable;   /* the own disk is waited for */
    bool handed_on; /* the next holder of a mutex reads it soon */
    uint8_t ahead;  /* copies that watch and may tell of it ahead of the home; bits */
    struct buf delta;
};

/* A replica's durable write that is on its way to the disk. */
struct persisting {
    struct list link;
    struct var *var;
    struct node *home;
    uint64_t token, ts;
    uint32_t wid;
};

/* ---- other nodes ---- */

struct push {
    struct list link;
    struct var *var;
    uint64_t no;
    uint64_t first;   /* version of the first change that it tells of */
    uint64_t version; /* that it was sent with */
    uint32_t missed;
    bool initial; /* what exists, for watches that have just begun */
};
struct watcher {
    struct buf patterns;
    uint64_t stream, until_ms, sent_ms, no;
    struct list sent, pending;
    uint32_t sent_n, pending_n;
    uint32_t overflow, newest;       /* newest: of the numbers of its watches, as known here */
    struct map64 by_var;             /* pending ones; looked up only */
    uint64_t from[PLACEMENT_SLOTS];  /* what changed after it is told */
    uint64_t begun[PLACEMENT_SLOTS]; /* up to it all was done before it was told anything */
    uint32_t
        told[PLACEMENT_SLOTS]; /* newest watch for which what exists was put in order to tell */
};

struct node {
    struct kith_node_id id;
    uint32_t at;
    uint64_t boot_no; /* newest proven */
    bool over;        /* that boot has ended */
    bool nobody;      /* stands for a member that the placement does not tell of */
    struct list out_link;
    struct list val_link;
    struct buf out;
    struct buf vals;
    uint64_t vals_at_ms;
    uint64_t complained_ms;
    /* As asker at this home. */
    uint64_t low_water;
    uint64_t heard_ms;
    struct answers *answers; /* to it, without a record; NULL: none */
    /* Its session with this home. */
    uint64_t share_id, share_until_ms, share_slots, share_drain;
    /* Our session with it as home. */
    struct list cached;
    uint32_t cached_n;
    uint64_t session_id, session_until_ms, session_sent_ms;
    _Atomic uint64_t *session_word;
    /* Watches. */
    struct watcher *watcher;
    struct list watcher_link;
    uint64_t push_seen; /* last push from it that was told */
    uint64_t push_stream;
};

/* ---- slots ---- */

struct config {
    uint64_t se;
    uint32_t n;
    int32_t self; /* index of this node; -1: none */
    uint32_t members[REPLICAS];
    struct node *nodes[REPLICAS]; /* NULL: this node */
    uint64_t boots[REPLICAS];
};

struct sync {
    uint64_t se, sent_ms, ready_ms;
    uint64_t cursor[REPLICAS];
    uint32_t pulled;   /* bits of chosen replicas whose state is here */
    uint32_t released; /* bits of active replicas */
    struct var *at;    /* next to be committed again */
    uint32_t under_way;
    bool committing, done, in_step;
    bool unshared; /* a replica of the active epoch knows that nobody caches of it */
};

/* First what every tick and every check of all slots looks at: one line of the cache. */
struct slot {
    struct sync *sync;
    uint64_t joined_se;    /* newest known: older writes are not taken */
    struct list under_way; /* writes */
    struct list vars;
    uint32_t vars_n;
    bool serving;
    bool durable_known;
    bool waiting; /* requests are put back until there are more copies */
    struct config active, chosen;
    uint32_t generation;
    uint32_t stamp;
    uint64_t released_se; /* PULL or RELEASE of it was answered: nothing older is read */
    uint64_t seq;
    uint64_t durable_asked_ms;
    uint64_t served_ms; /* home since then, without a break, in epochs up to */
    uint64_t served_se;
    /* As replica: the home said that it lets others cache of this epoch. */
    uint64_t shared_se;
    /* As home: replicas (bits) that know it of that epoch, and when they were told last. */
    uint64_t told_se, told_ms;
    uint32_t told;
    /* Since when this node knows that the home of active epoch @died_se is dead, by proof. */
    uint64_t died_se, died_ms;
    struct var *pull_at[REPLICAS];
    uint64_t pull_pos[REPLICAS];
};

struct watch {
    struct list link;
    uint64_t id;
    uint32_t no; /* grows with each of this boot */
    bool prefix;
    uint8_t len;
    char pattern[];
};

/* What was told of a name, while it is above what is known to be told of its slot. */
struct told {
    struct list link;
    uint64_t hash, version;
    uint32_t watch_no; /* watches up to it heard that version */
    uint32_t carry;    /* changes that count to the next one as missed */
    uint32_t slot;
    uint32_t ahead;        /* changes told ahead of the home, which is still to tell of them, */
    uint64_t ahead_stream; /* in this stream of its pushes */
};

/* A write that this copy may tell of ahead of its home. */
struct ahead {
    struct var *var; /* pinned; NULL: it is not here yet, or was told, or never will be */
    uint64_t ts, stream, at_ms;
    uint32_t have; /* copies that said that they have it; bits */
    uint32_t folded;
    uint8_t slot;
};

struct kept { /* blocks that an action points into */
    struct block **at;
    size_t n, cap;
};

#define BLOCK_CLASSES 8 /* 64 to 8,192 bytes */

struct dvar_core {
    struct dvar_config config;
    uint64_t now_ms, wall_ms;
    bool started, quorum, disk_full;
    bool have_placement;
    uint64_t lease_until_ms;
    _Atomic uint64_t lease_word;
    bool stopping; /* no session begins any more */
    uint32_t keepers_active;
    uint64_t epoch;
    struct placement placement; /* the newest */
    struct slot slots[PLACEMENT_SLOTS];
    struct var **buckets;
    size_t buckets_n, vars_n;
    struct mapid by_id;
    struct node **nodes;
    uint32_t nodes_n, nodes_cap;
    struct list outs;      /* nodes with something to send */
    struct list vals;      /* nodes with VALs that wait */
    struct list watchers;  /* nodes that watch here */
    struct list ops;       /* of this node, by number */
    struct list resends;   /* of them, by sent_ms */
    struct list gathered;  /* of them, additions that wait for the end of the turn */
    struct map64 by_no;    /* of them, those that were sent */
    struct heap deadlines; /* of them */
    uint64_t next_no, session_no, next_token, stream_no;
    uint64_t persisted;  /* token: it and all before it are on disk */
    uint64_t retried_ms; /* what waits for copies */
    uint64_t slow_at_ms; /* next look at slots, sessions and watches */
    struct list writes;
    struct write **write_at;
    uint32_t write_at_cap, writes_n;
    uint32_t *write_free;
    uint32_t write_free_n;
    struct list persisting;
    struct list watches;
    uint32_t watches_n;
    size_t watch_bytes;
    uint64_t watch_sent_ms;
    uint64_t watch_since[PLACEMENT_SLOTS]; /* everything up to it was told here */
    struct map64 told_by_hash;
    struct list told;
    uint32_t told_n, told_swept_n;
    uint32_t watch_no;
    uint32_t watch_told[PLACEMENT_SLOTS]; /* newest watch that was told what exists there, */
    uint32_t watch_due[PLACEMENT_SLOTS];  /* or will be once all up to @watch_due_ts is done */
    uint64_t watch_due_ts[PLACEMENT_SLOTS];
    struct ahead aheads[DVAR_AHEAD_MAX];
    struct op *free_ops;
    struct write *free_writes;
    struct value_outcome outcomes[2];
    struct buf scratch;
    struct buf records;
    struct dvar_action *actions;
    size_t actions_n, actions_cap;
    struct dvar_put *puts;
    size_t puts_n, puts_cap;
    struct arena arena;
    struct kept kept;
    struct node *via; /* the message being handled came through it */
    struct dvar_cell *closing;
    struct dvar_stats stats;
    bool short_of_memory;
    bool more;              /* of the event at hand, */
    uint32_t held_n;        /* see struct dvar_output */
    uint64_t held_messages; /* stats.messages_out by then */
    bool held; /* and of the one before: messages and puts wait for the end of the turn */
};

/* ---- out.c ---- */
struct dvar_action *dvar_action_add(struct dvar_core *core, enum dvar_action_type type);
void *dvar_arena_alloc(struct dvar_core *core, size_t size);
const uint8_t *arena_copy(struct dvar_core *core, const void *data, size_t len);
/* Room for one message to @to; its body is filled in by the caller. NULL: memory is short. */
uint8_t *message_add(struct dvar_core *core,
                     struct node *to,
                     uint8_t type,
                     uint8_t flags,
                     uint32_t slot,
                     size_t len);
void out_begin(struct dvar_core *core);
bool out_may_hold(const struct dvar_core *core);
void out_end(struct dvar_core *core, bool hold, struct dvar_output *out);
void out_deinit(struct dvar_core *core);
void block_keep(struct dvar_core *core, struct block *block); /* until the next step */
uint64_t persist(struct dvar_core *core, struct var *var);    /* 0: memory is short */
void persist_delete(struct dvar_core *core, const struct var *var);
void val_add(struct dvar_core *core, struct node *to, const struct var *var);
void vals_flush(struct dvar_core *core, struct node *to);

/* ---- vars.c ---- */
struct var *var_find(const struct dvar_core *core, const char *name, size_t len);
/* NULL: the table is full or memory is short. */
struct var *var_get(struct dvar_core *core, const char *name, size_t len, int slot);
/* Why it gave none: the code, the sentence in kith_errmsg(). */
int var_refused(const struct dvar_core *core, const char *name, size_t len);
void var_unpin(struct dvar_core *core, struct var *var);
/* Frees it if nothing needs it. */
void var_settle(struct dvar_core *core, struct var *var);
void var_drop_value(struct dvar_core *core, struct var *var);
bool var_readable(const struct dvar_core *core, const struct var *var);
bool var_is_durable(const struct var *var);
bool var_is_absent(const struct var *var);
uint64_t var_version(const struct var *var); /* as users see it: 0 if absent */
void var_publish(struct dvar_core *core, struct var *var);
void var_join_slot(struct dvar_core *core, struct var *var);
struct block *dvar_block_new(struct dvar_core *core, size_t bytes);
void dvar_block_unref(struct dvar_core *core, struct block *block);
/* Replaces the value; false if memory is short. @records and @value must not lie in the old one. */
bool var_store(struct dvar_core *core,
               struct var *var,
               uint64_t version,
               const uint8_t *records,
               uint32_t records_n,
               const uint8_t *value,
               size_t len);
bool var_store_cached(
    struct dvar_core *core, struct var *var, uint64_t version, const uint8_t *value, size_t len);
void vars_deinit(struct dvar_core *core);

/* ---- nodes ---- */
struct node *node_get(struct dvar_core *core, const struct kith_node_id *id);
void node_boot(struct dvar_core *core, struct node *node, uint64_t boot_no);

/* ---- slots.c ---- */
void slots_placement(struct dvar_core *core, const struct placement *placement);
void slots_tick(struct dvar_core *core);
uint64_t slots_deadline(const struct dvar_core *core);
void slot_drained(struct dvar_core *core); /* a session ended or let a slot go */
bool slot_is_drained(const struct dvar_core *core, uint32_t slot);
bool slot_unshared(const struct slot *slot); /* as a replica, to the next home */
void sync_step(struct dvar_core *core, uint32_t slot);
void sync_ready(struct dvar_core *core, uint32_t slot);
void send_pull(struct dvar_core *core, uint32_t slot, uint32_t i);
void slot_release(struct slot *slot, uint64_t se); /* nothing older is read here any more */

/* ---- sync.c ---- */
int on_pull(
    struct dvar_core *core, struct node *from, uint64_t boot, uint32_t slot, struct reader *r);
int on_state(struct dvar_core *core,
             struct node *from,
             uint64_t boot,
             uint32_t slot,
             uint8_t flags,
             struct reader *r);
int on_release(struct dvar_core *core, struct node *from, uint32_t slot, struct reader *r);
int on_released(
    struct dvar_core *core, struct node *from, uint64_t boot, uint32_t slot, struct reader *r);
int on_valall(
    struct dvar_core *core, struct node *from, uint64_t boot, uint32_t slot, struct reader *r);
void slot_forget_sync(struct dvar_core *core, struct slot *slot);
void slots_lease(struct dvar_core *core, uint64_t until_ms);

/* ---- home.c ---- */
void home_request(struct dvar_core *core, struct op *op, bool resent);
void home_next(struct dvar_core *core, struct var *var);
void home_abort(struct dvar_core *core, struct var *var);
void home_retry(struct dvar_core *core, uint64_t slots); /* what was put back; bits */
void home_retry_waiting(struct dvar_core *core);
int on_request(struct dvar_core *core,
               struct node *from,
               uint64_t boot,
               uint8_t flags,
               uint32_t slot,
               struct reader *r);

/* ---- records.c ---- */
void client_of(const struct dvar_core *core, const struct op *op, struct boot_id *who);
const uint8_t *
record_find(const struct dvar_core *core, const struct var *var, const struct op *op);
bool record_lives(const struct dvar_core *core, const struct slot *slot, const uint8_t *record);
/* core->records: those that live, and those of @ops. False: too many, or no memory. */
bool records_build(struct dvar_core *core, const struct var *var, const struct op *ops);

/* ---- write.c ---- */
struct write *write_new(struct dvar_core *core, struct var *var);
void write_send(struct dvar_core *core, struct write *write, uint32_t to, bool relay);
void write_send_sharers(struct dvar_core *core, struct write *write);
void write_try_commit(struct dvar_core *core, struct write *write);
void write_free(struct dvar_core *core, struct write *write);
void writes_tick(struct dvar_core *core);
void writes_sessions(struct dvar_core *core);
uint64_t writes_deadline(const struct dvar_core *core);
void home_persisted(struct dvar_core *core, uint64_t token);
int on_ack(
    struct dvar_core *core, struct node *from, uint8_t flags, uint32_t slot, struct reader *r);
int on_ask(struct dvar_core *core, struct node *from, uint32_t slot, struct reader *r);

/* ---- replica.c ---- */
int on_inv(struct dvar_core *core,
           struct node *from,
           uint64_t boot,
           uint8_t flags,
           uint32_t slot,
           struct reader *r);
int on_val(
    struct dvar_core *core, struct node *from, uint64_t boot, uint32_t slot, struct reader *r);
/* A copy that may be read from now on. */
void replica_valid(struct dvar_core *core, struct var *var);
void replica_persisted(struct dvar_core *core, uint64_t token);
void replica_ask(struct dvar_core *core, struct var *var);
int replica_recall(struct dvar_core *core, const struct dvar_event *event);

/* ---- client.c ---- */
void client_op(struct dvar_core *core, const struct dvar_event *event);
void client_cancel(struct dvar_core *core, uint64_t id);
void client_route(struct dvar_core *core, struct op *op);
void client_left(const struct dvar_core *core, struct op *op); /* some home may do it now */
void client_route_all(struct dvar_core *core, const struct node *to);
void client_tick(struct dvar_core *core);
void client_quorum(struct dvar_core *core);
uint64_t client_deadline(const struct dvar_core *core);
uint64_t client_op_deadline(const struct dvar_core *core, uint64_t deadline_ms);
/* An addition that was joined to others, now by itself. */
void client_add_alone(struct dvar_core *core,
                      struct var *var,
                      uint64_t id,
                      const struct value_op *add,
                      uint64_t deadline_ms);
int on_result(struct dvar_core *core, struct node *from, uint8_t flags, struct reader *r);
void op_free(struct dvar_core *core, struct op *op);
struct op *op_new(struct dvar_core *core, size_t len);
uint64_t client_low_water(const struct dvar_core *core);

/* ---- join.c ---- */
bool join_add(struct dvar_core *core, struct var *var, const struct dvar_event *event);
bool join_open(struct dvar_core *core, struct op *op, const struct value_op *what);
void join_route(struct dvar_core *core);
void join_close(struct op *op);
void join_leave(struct dvar_core *core, struct var *var);
void join_free(struct dvar_core *core, struct op *op);
bool join_share(struct dvar_core *core, struct op *op, struct dvar_result *result);
void join_tell(struct dvar_core *core, const struct op *op, const struct dvar_result *first);
bool join_cancel(struct dvar_core *core, uint64_t id);

/* ---- answer.c ---- */
/* Ends a request, of this node or of another. */
void op_answer(struct dvar_core *core, struct op *op, int code, const char *text);
/* With core->outcomes[0] as the result. */
void op_answer_read(struct dvar_core *core, struct op *op, struct var *var);
struct dvar_result *op_done(struct dvar_core *core, uint64_t id, int code, const char *text);
void op_done_read(struct dvar_core *core, uint64_t id, struct var *var, bool whole);
/* Remembers what a request without effect is answered with. False: there is no room; then it must
 * not be answered, but asked again later. */
bool answer_keep(struct dvar_core *core, const struct op *op, int code, const char *text);
/* The answer to what has its write, now or in a record of before. */
void answer_written(struct dvar_core *core, struct op *op);
/* KITH_E_NOT_FOUND, if it may be that what was in memory only is lost. */
void say_lost(const struct dvar_core *core, const struct var *var, const char *name);
struct answer *answer_find(const struct op *op);
void answer_again(struct dvar_core *core, struct op *op, const struct answer *answer);
void answers_forget(struct dvar_core *core, struct node *node, uint64_t low_water);

/* ---- session.c ---- */
void session_want(struct dvar_core *core, struct node *home);
/* Ends all of them for good. */
void sessions_stop(struct dvar_core *core);
void session_end(struct dvar_core *core, struct node *home);
void session_tick(struct dvar_core *core);
uint64_t session_deadline(const struct dvar_core *core);
bool session_live(const struct dvar_core *core, const struct node *home);
void share_end(struct dvar_core *core, struct node *node);
bool share_live(const struct dvar_core *core, const struct node *node, uint64_t session);
void share_drain(struct dvar_core *core, uint32_t slot);
bool share_add(struct dvar_core *core, struct var *var, struct node *node, uint64_t session);
bool share_allowed(struct dvar_core *core, uint32_t slot);
int on_share(
    struct dvar_core *core, struct node *from, uint64_t boot, uint32_t slot, struct reader *r);
int on_shared(
    struct dvar_core *core, struct node *from, uint64_t boot, uint32_t slot, struct reader *r);
void cache_drop(struct dvar_core *core, struct var *var);
int on_renew(struct dvar_core *core, struct node *from, uint64_t boot, struct reader *r);
int on_grant(struct dvar_core *core, struct node *from, struct reader *r);
int on_sinv(struct dvar_core *core, struct node *from, uint32_t slot, struct reader *r);
int on_sack(struct dvar_core *core, struct node *from, uint32_t slot, struct reader *r);
int on_sdrop(struct dvar_core *core, struct node *from, uint32_t slot, struct reader *r);
int on_sdropped(struct dvar_core *core, struct node *from, uint32_t slot, struct reader *r);

/* ---- ahead.c ---- */
/* The copies that may tell of @write ahead of this home; bits. */
uint8_t ahead_copies(const struct dvar_core *core, const struct write *write);
/* This copy has it, may tell of it, and said so to the home. */
void ahead_begin(
    struct dvar_core *core, struct var *var, uint64_t ts, uint64_t stream, uint32_t folded);
/* Says to @copies that this one has it. */
void ahead_say(struct dvar_core *core,
               const struct config *config,
               uint32_t slot,
               uint64_t ts,
               uint32_t copies);
/* What has waited for at least @ms is for the home to tell. */
void ahead_forget(struct dvar_core *core, uint64_t ms);
int on_have(
    struct dvar_core *core, struct node *from, uint64_t boot, uint32_t slot, struct reader *r);

/* ---- watch.c ---- */
void watch_add(struct dvar_core *core, const struct dvar_event *event);
void watch_remove(struct dvar_core *core, uint64_t id);
void watch_changed(struct dvar_core *core, struct var *var, const struct write *done);
void watch_deinit(struct dvar_core *core);
void watch_serving(struct dvar_core *core, uint32_t slot);
void watch_leased(struct dvar_core *core); /* after a time without a lease */
void watch_lost(struct dvar_core *core, uint32_t slot);
void watch_tick(struct dvar_core *core);
uint64_t watch_deadline(const struct dvar_core *core);
void watch_register(struct dvar_core *core);
void watcher_free(struct dvar_core *core, struct node *node);
int on_watch(struct dvar_core *core, struct node *from, struct reader *r);
int on_mark(struct dvar_core *core, struct node *from, struct reader *r);
int on_push(
    struct dvar_core *core, struct node *from, uint8_t flags, uint32_t slot, struct reader *r);
int on_push_ack(struct dvar_core *core, struct node *from, struct reader *r);

#define UNKNOWN_TEXT                                                                               \
    "the write may or may not have been done: no answer came; read the variable to see"
#define COPIES_TEXT "has fewer copies than min_copies asks for; wait for a node to come back"

static inline bool var_on_disk(const struct dvar_core *core, const struct var *var)
{
    return var->disk_token <= core->persisted;
}
static inline bool lease_ok(const struct dvar_core *core)
{
    return core->now_ms < core->lease_until_ms;
}
static inline bool name_is(const struct var *var, const char *name, size_t len)
{
    return var->name_len == len && memcmp(var->name, name, len) == 0;
}

#endif
