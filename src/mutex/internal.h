/*
 * What the files of the mutex core share.
 *
 *   mutex.c   life, the step, actions out        record.c  joining, leaving, asks of the record
 *   local.c   owners and waiters of this node    record_bytes.c  the record as bytes; taking it in
 *   lease.c   our leases and those of edges      token.c   Suzuki-Kasami: asking, entering, passing
 *   queue.c   queue mode, both sides             token_recv.c  ... and what is heard of a token
 *   ask.c     queries, breaks, cycles of waits   home.c    recovery
 *   show.c    what it tells of itself
 */
#ifndef MUTEX_INTERNAL_H
#define MUTEX_INTERNAL_H

#include <assert.h>
#include <string.h>

#include "core/alloc.h"
#include "core/heap.h"
#include "core/lease.h"
#include "core/list.h"
#include "core/map.h"
#include "core/mutant.h"
#include "core/rng.h"
#include "kith/error.h"
#include "mutex/mutex.h"
#include "mutex/wire.h"

#define REQ_RESEND_MS     500
#define REQ_RESEND_MAX_MS 2000
#define TOK_RESEND_MS     300
#define TACK_MS           100 /* below TOK_RESEND_MS: the token itself comes back sooner, mostly */
#define HOME_RESEND_MS    300
#define HOME_KEPT_MS      15000 /* since anybody waited: longer than resends are apart */
#define DOUBT_MS          5000  /* without an answer from a holder: the token is in doubt */
#define SESSION_MS        2000
#define SESSION_RENEW_MS  500
#define RECORD_RETRY_MS   100
#define REFRESH_MS        1000 /* a record is read again for hints at most so often */
#define PROBE_MS          250
#define QUERY_MS          500
#define PREFIX_BYTES      (sizeof(MUTEX_RECORD_PREFIX) - 1)

struct part { /* a participant, as known here */
    struct boot_id boot;
    uint32_t joined;    /* number of this joining, never used twice in a generation's life */
    uint32_t member_id; /* the keeper lease it lives by; 0: a session with the record's home */
    uint64_t epoch;     /* of the view that member_id was known from */
    uint32_t rn;        /* highest request heard of */
    uint32_t ln;        /* last request served, as far as our token knows */
    bool listed;        /* in the record as last read; else heard of since */
    /* As home, of the recovery under way: */
    bool asked, reported, held, wants;
    uint32_t done;
};

enum life { LIFE_LIVE, LIFE_RUNS_OUT, LIFE_OVER }; /* RUNS_OUT: excluded, its lease may still run */

enum waiter_state { WAITER_WAITS, WAITER_HOLDS, WAITER_RELEASES, WAITER_SPENT };
enum tell { TELL_NOTHING, TELL_GRANTED, TELL_ENDED, TELL_LOST };

struct waiter {
    uint64_t id; /* the driver's */
    uint64_t rid;
    uint64_t owner;
    struct mutex *mutex;
    struct list link; /* waiting, held or releasing of the mutex; spent of the core */
    struct list tell_link;
    struct heap_node deadline;
    enum waiter_state state;
    enum tell tell;
    bool try_only, detect, shared, warned;
    uint8_t owner_len, within_n;
    uint64_t within[MUTEX_WITHIN_MAX];
    char owner_text[MUTEX_OWNER_BYTES_MAX + 1];
    uint64_t pid;
    uint64_t since_ms;
    uint64_t next_ms;    /* queue mode: QREQ or QREL is sent again */
    uint32_t backoff_ms; /* ... in that time */
    uint64_t probe_ms;
    uint32_t cycle_hits;
    uint64_t cycle_ms; /* when it was seen last */
    uint64_t fence;
    int code;
    char *text;  /* with a code; or NULL */
    char *cycle; /* last seen; or NULL */
};

/* What is asked of the record, one at a time. */
enum step {
    STEP_NONE,
    STEP_READ,
    STEP_JOIN,
    STEP_CREATE_FLOOR, /* which generations were used under this name before? */
    STEP_CREATE,
    STEP_VERIFY_FLOOR, /* ... and has nobody used more meanwhile? */
    STEP_VERIFY,
    STEP_LEAVE,
    STEP_DROP_FLOOR,
    STEP_DROP_RAISE,
    STEP_DROP,
    STEP_RECOVER_FLOOR,
    STEP_RECOVER, /* the home: generation + 1 */
    STEP_SWEEP,   /* the home: those who are over leave */
};

enum member_state { OUT, IN };

enum home_state { HOME_IDLE, HOME_WANTS, HOME_ASKS, HOME_GRANTS };

struct place { /* in the queue at the home */
    struct boot_id boot;
    uint32_t joined;
    uint64_t rid;
    uint64_t fence;
    uint64_t next_ms;
    bool shared, granted, taken;
};

struct home {
    enum home_state state;
    uint32_t gen;         /* that it asks for, grants or serves */
    bool force, to_queue; /* of the recovery that is wanted */
    bool serves;          /* queue mode: the places below are complete for rec.gen ... */
    uint64_t slot_epoch;  /* ... under this configuration */
    uint32_t ctr;
    uint32_t granted_to; /* joined */
    uint64_t next_ms;
    uint64_t wanted_ms; /* somebody waits, as heard last; 0: nobody */
    uint64_t over_ms;   /* looked last for those whose lease is over */
    struct place *places;
    uint32_t places_n, places_cap;
    struct {
        struct boot_id boot;
        uint64_t ask;
    } breaker; /* ask 0: none */
};

struct mutex {
    char *record_name;
    const char *name; /* inside */
    uint8_t name_len;
    uint32_t slot;
    struct heap_node timer;
    struct list link; /* of all, in order of making */
    uint64_t used_ms; /* last acquire or release here */

    /* The record as last read. */
    uint64_t version; /* 0: absent, or never read */
    uint32_t rec_gen;
    bool rec_queue;
    uint32_t permits;
    uint32_t joins;
    struct boot_id creator;
    uint32_t created_gen;
    struct part *parts; /* by joined, ascending */
    uint32_t parts_n, parts_cap;
    uint64_t read_ms; /* when it was read last */
    uint64_t reads_n;
    uint64_t hint_ms; /* when a hint asked for it last */
    bool fresh;       /* read, and nothing since says that it has changed */
    bool want_read, want_leave, want_sweep;

    enum step step;
    uint64_t ask;      /* 0: none under way */
    uint64_t retry_ms; /* no ask before */
    struct buf cas;    /* what is being written */
    uint32_t floor_gen;
    uint64_t floor_version;
    uint32_t cas_joined;
    bool cas_created;    /* ... with the record */
    uint64_t cas_lapses; /* our lapses when the join was sent */

    /* The participant. */
    enum member_state state;
    uint32_t joined;
    uint32_t member_id;
    uint64_t epoch;
    uint32_t gen;
    bool queue;
    bool unverified; /* created by us, floor not yet looked at again */
    bool token_due;  /* created by us: the token is ours to make */
    bool lost;       /* a token of ours was lost with a lease: tell the home */
    uint32_t n;      /* our request number */
    bool want;
    uint64_t req_next_ms, req_since_ms, answered_ms;
    uint32_t req_backoff_ms, req_sent_n;

    bool token;
    bool frozen;
    bool passing; /* released for others: nobody enters here before it was passed on */
    struct list passing_link;
    uint32_t token_gen;
    int64_t lx; /* last transfer number; -1: none yet in this generation */
    uint32_t ctr;
    uint32_t *q; /* joined numbers */
    uint32_t q_n, q_cap;
    uint32_t burst_n; /* local entries since the token came, or since others wait */
    uint64_t burst_ms;

    bool transit;
    struct buf transit_msg;
    struct boot_id transit_to;
    uint32_t transit_joined;
    int64_t transit_x;
    uint64_t transit_next_ms, transit_since_ms;

    struct { /* that the token has arrived is still to be told; due_ms 0: nothing is */
        uint64_t due_ms;
        struct boot_id to;
        uint32_t joined;
        uint32_t gen;
        int64_t x;
    } tack;

    struct list waiting, held, releasing;
    uint32_t waiting_n, held_n, releasing_n;

    struct home *home; /* NULL: nothing kept as home */
};

struct session { /* of an edge, here */
    struct boot_id boot;
    uint64_t until_ms;
};

struct slot_lease {    /* ours as an edge, of one slot */
    uint64_t until_ms; /* 0: none, or lapsed */
    uint64_t lapses;
};

struct query { /* a QUERY or BREAK of this node */
    uint64_t ask;
    char *name; /* of the mutex */
    bool is_break, sent, done;
    uint64_t reads_n; /* of the mutex when it was asked */
    uint64_t until_ms, next_ms;
    struct mutex_info info;
    struct mutex_holder *list; /* texts owned */
    uint32_t list_n, list_cap;
    uint32_t asked_n;
};

struct mutex_core {
    struct mutex_config config;
    char *self_name;
    struct mutex_stats stats;
    struct rng rng;
    uint64_t now_ms;
    uint64_t next_ask, next_rid;

    struct maptext names; /* record name -> struct mutex */
    struct list mutexes;
    struct map64 asks;    /* ask -> struct mutex */
    struct map64 waiters; /* id -> struct waiter */
    struct heap timers, deadlines;
    struct list tells, spent, pool;
    struct list passing; /* mutexes whose token goes at the next TICK */

    struct placement placement;
    uint32_t self_member;    /* ours in it if ACTIVE; else 0 */
    uint64_t lease_until_ms; /* 0: none, or lapsed */
    uint64_t lapses;         /* of the keeper lease */
    uint64_t home_since_ms[PLACEMENT_SLOTS];
    uint64_t home_epoch[PLACEMENT_SLOTS]; /* slot epoch since which; 0: not home */
    uint64_t lapse_ms;                    /* the first lease that ends; UINT64_MAX */
    struct slot_lease slots[PLACEMENT_SLOTS];
    uint64_t session_ms; /* next renewal */
    bool quorum;

    struct map64 sessions_by_hash; /* hash of boot -> struct session */

    struct query *queries[MUTEX_ASKS_MAX];
    uint32_t queries_n;

    struct buf out;  /* bytes of actions */
    struct buf loop; /* messages to ourselves: u32 length, bytes */
    struct buf said; /* ... that are being taken in */
    struct mutex_action *actions;
    size_t actions_n, actions_cap;
    char text[1024]; /* of a code of this step */
    char floor_names[PLACEMENT_SLOTS][24];
    struct {
        struct mutex_info info;
        struct mutex_holder list[MUTEX_TOLD_MAX];
    } next; /* mutex_next */
};

/* ---- mutex.c ---- */
struct mutex *mutex_find_name(struct mutex_core *core, const char *name, size_t len);
/* NULL: the limit, or memory (core->text says). */
struct mutex *mutex_make(struct mutex_core *core, const char *name, size_t len);
/* Forgets @m, which nobody uses; at the end of a step only. */
void mutex_touch(struct mutex_core *core,
                 struct mutex *m); /* something changed: look at its timer */
struct mutex_action *mutex_act(struct mutex_core *core, enum mutex_action_type type);
/* Begins a message in core->out (or the loop); ends with msg_end. */
struct sending {
    struct buf *buf;
    size_t from;
    size_t size_at;
    int bad;
};
struct sending
msg_begin(struct mutex_core *core, const struct boot_id *to, const struct mutex_msg *msg);
void msg_end(struct mutex_core *core, struct sending *s, const struct boot_id *to);
/* A message without lists. */
void msg_send(struct mutex_core *core,
              struct mutex *m,
              const struct boot_id *to,
              struct mutex_msg msg,
              const char *text);
void msg_bytes(struct mutex_core *core, const struct boot_id *to, const struct buf *bytes);
bool is_self(const struct mutex_core *core, const struct boot_id *boot);

/* ---- local.c ---- */
void local_acquire(struct mutex_core *core, const struct mutex_acquire *acquire);
int local_release(struct mutex_core *core, uint64_t waiter, bool cancel);
void local_owner_gone(struct mutex_core *core, uint64_t owner);
void local_grant(struct mutex_core *core, struct waiter *w, uint64_t fence);
void local_end(struct mutex_core *core, struct waiter *w, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void local_lose(struct mutex_core *core, struct waiter *w, const char *why);
void local_spend(struct mutex_core *core, struct waiter *w);
void local_end_all(struct mutex_core *core, struct mutex *m, int code, const char *why);
void local_emit(struct mutex_core *core);
void local_recycle(struct mutex_core *core);
struct waiter *local_by_rid(struct list *list, uint64_t rid);
/* Does @owner go on only when @w does? */
bool local_stops(const struct waiter *w, uint64_t owner);

/* ---- record_bytes.c ---- */
struct part *part_find(struct mutex *m, uint32_t joined);
struct part *part_hear(struct mutex_core *core,
                       struct mutex *m,
                       const struct boot_id *boot,
                       const struct mutex_msg_part *of);
int record_take(
    struct mutex_core *core, struct mutex *m, uint64_t version, const uint8_t *data, size_t len);
/* 0 or KITH_E_CORRUPT: whether @data is a record. For the fuzz target too. */
int record_check(const uint8_t *data, size_t len);
/* A record to be written, in m->cas: first what is of all, then each participant. 0 or
 * KITH_E_MEMORY or KITH_E_LIMIT. */
int record_begin(struct mutex *m, uint32_t gen, bool queue, uint32_t joins);
int record_part(struct mutex *m, const struct part *part);

/* ---- record.c ---- */
void record_work(struct mutex_core *core, struct mutex *m); /* does what is due */
void record_answer(struct mutex_core *core, const struct mutex_event *event);
int record_seen(struct mutex_core *core, const struct mutex_event *event);
void record_refresh(struct mutex_core *core, struct mutex *m); /* a hint that it has changed */
void record_out(struct mutex_core *core, struct mutex *m);     /* not a participant any more */
void record_recover(struct mutex_core *core, struct mutex *m); /* the home begins a generation */

/* ---- token.c ---- */
void token_want(struct mutex_core *core, struct mutex *m);
void token_enter(struct mutex_core *core, struct mutex *m);
void token_left(struct mutex_core *core, struct mutex *m); /* the section is empty */
void token_pass_due(struct mutex_core *core);              /* what was released for others goes */
bool token_queued(const struct mutex *m, uint32_t joined);
bool token_queue(struct mutex *m, uint32_t joined); /* at its end; false: memory */
void token_arrived(struct mutex_core *core, struct mutex *m);
/* A token that comes back says it as well, and a copy that is sent again is answered at once. */
void token_tack_later(struct mutex_core *core,
                      struct mutex *m,
                      const struct boot_id *to,
                      uint32_t joined,
                      uint32_t gen,
                      int64_t x);
/* That it has arrived is told now, if it still is to be. */
void token_tack(struct mutex_core *core, struct mutex *m);
void token_stays(struct mutex *m); /* it is not about to be passed on any more */
void token_adopt(struct mutex_core *core, struct mutex *m, uint32_t gen, bool queue, bool force);
void token_drop(struct mutex_core *core, struct mutex *m); /* with a lease, or for good */
void token_make(struct mutex_core *core, struct mutex *m); /* the first of a record, or a GRANT's */
void token_tick(struct mutex_core *core, struct mutex *m);
void token_pass(struct mutex_core *core, struct mutex *m);

/* ---- token_recv.c ---- */
void token_recv(struct mutex_core *core,
                struct mutex *m,
                const struct boot_id *from,
                struct mutex_msg *msg);
void token_holder_text(struct mutex_core *core, struct mutex *m, char *out, size_t bytes);

/* ---- queue.c ---- */
void queue_tick(struct mutex_core *core, struct mutex *m);  /* as participant */
void queue_serve(struct mutex_core *core, struct mutex *m); /* as home */
void queue_recv(struct mutex_core *core,
                struct mutex *m,
                const struct boot_id *from,
                struct mutex_msg *msg);
int queue_adopt(struct mutex_core *core,
                struct mutex *m,
                uint32_t joined,
                struct mutex_msg *report);
void queue_drop_over(struct mutex_core *core, struct mutex *m);

/* ---- home.c ---- */
bool home_is_self(const struct mutex_core *core, uint32_t slot);
const struct boot_id *home_of(const struct mutex_core *core, uint32_t slot); /* NULL: none now */
struct home *home_make(struct mutex_core *core, struct mutex *m);
void home_want(struct mutex_core *core, struct mutex *m);
void home_step(struct mutex_core *core, struct mutex *m);
void home_begun(struct mutex_core *core, struct mutex *m); /* the generation is written */
void home_recv(struct mutex_core *core,
               struct mutex *m,
               const struct boot_id *from,
               struct mutex_msg *msg);
void home_free(struct mutex *m);
void home_doubt(struct mutex_core *core, struct mutex *m, uint64_t unanswered_ms, uint8_t flags);

/* ---- lease.c ---- */
enum life life_of(struct mutex_core *core, const struct mutex *m, const struct part *p);
bool lease_valid(const struct mutex_core *core, const struct mutex *m); /* that we live by */
uint64_t lease_left_ms(const struct mutex_core *core, const struct mutex *m);
uint64_t lease_lapses(const struct mutex_core *core, const struct mutex *m);
void lease_check(struct mutex_core *core); /* first in each step: what has lapsed is lost */
void lease_set(struct mutex_core *core, uint64_t until_ms);
void lease_placement(struct mutex_core *core, const struct placement *placement);
void lease_peer(struct mutex_core *core, const struct boot_id *boot, bool up, bool left);
void lease_tick(struct mutex_core *core);
uint64_t lease_deadline_ms(const struct mutex_core *core);
void lease_recv(struct mutex_core *core, const struct boot_id *from, const struct mutex_msg *msg);
void lease_free(struct mutex_core *core);
/* What we could join by now: our member id, or 0 for a session; false: nothing yet (a session is
 * asked for). */
bool lease_to_join(struct mutex_core *core, const struct mutex *m, uint32_t *member_id_out);

/* ---- ask.c ---- */
void ask_query(struct mutex_core *core, const struct mutex_event *event);
void ask_progress(struct mutex_core *core); /* at the end of each step */
uint64_t ask_deadline_ms(const struct mutex_core *core);
void ask_recv(struct mutex_core *core,
              struct mutex *m,
              const struct boot_id *from,
              struct mutex_msg *msg);
void ask_recycle(struct mutex_core *core);
void ask_free(struct mutex_core *core);
void probe_tick(struct mutex_core *core, struct mutex *m);
uint32_t
ask_fill(struct mutex_core *core, struct mutex *m, struct mutex_holder *list, uint32_t max);

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
