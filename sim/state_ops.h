/*
 * Clients of shared state in a simulated world, and what must hold of what they see:
 *
 *   - variables: the rules of history_check.h; order and values as it happens, the rest at the end.
 *     Each element of an array is a variable of its own there
 *   - watches: what is told never goes back and is what readers see; in peace every write is told;
 *     of what was in memory only, its loss
 *   - available variables: in peace all nodes hold the same; nothing counts that nobody wrote, and
 *     what nodes wrote that run since is not lost
 *   - mutexes: fences grow; nobody is granted while another one holds, by the clock of its node;
 *     who holds has the newest fence; readers share, permits are at most so many
 *   - a counter that is read, added to and written under a mutex loses nothing
 *
 * Each client has its node and does one thing at a time. When a node stops, what its clients were
 * at has an unknown outcome. A client that was refused waits longer and longer: so the load is
 * dense where it is served.
 */
#ifndef SIM_STATE_OPS_H
#define SIM_STATE_OPS_H

#include "history_check.h"
#include "host_state.h"
#include "oracle_view.h"

enum so_variable {
    SO_VOLATILE,   /* written, compared */
    SO_VOLATILE_D, /* and deleted */
    SO_DURABLE,
    SO_DURABLE_D,
    SO_COUNT,   /* added to */
    SO_COUNT_D, /* durable */
    SO_BIG,     /* some 100 KiB */
    SO_ONCE,    /* a constant: the first one stands */
    SO_ARRAY,   /* whole, by element, by slice */
    SO_ARRAY_D,
    SO_GUARDED,   /* under the lock of the same place among locks */
    SO_GUARDED_D, /* durable */
    SO_VARIABLES_N,
};

enum so_lock_name {
    SO_LOCK,   /* guards SO_GUARDED */
    SO_LOCK_D, /* guards SO_GUARDED_D */
    SO_SHARED, /* readers and writers */
    SO_PERMITS,
    SO_LOCKS_N,
};
#define SO_EXCLUSIVE_N 2 /* the first so many */
#define SO_PERMITS_MAX 3
#define SO_PARTS       4 /* elements of an array */

enum so_state {
    SO_IDLE,
    SO_WAITS,    /* for an operation */
    SO_ACQUIRES, /* for a mutex */
    SO_READS,    /* inside: the guarded counter is read */
    SO_THINKS,   /* inside */
    SO_WRITES,   /* inside: and written */
};

struct so_client {
    uint32_t number;
    size_t node;
    enum so_state state;
    bool ticking;               /* a tick is on its way */
    uint64_t id;                /* of the operation it waits for */
    uint64_t boot_no;           /* of the node it was given to */
    struct history_entry entry; /* of it */
    size_t variable;            /* of it */
    size_t part, parts_n;       /* of an array: from which element on, and how many */
    uint32_t args[SO_PARTS];    /* written to them */
    uint32_t refused_n;         /* in a row */
    uint64_t deadline_ms;       /* of it, on the node's clock */
    size_t lock;
    bool shared;            /* as a reader */
    uint64_t waiter, fence; /* inside */
    int64_t read;           /* of the guarded counter */
    bool lost;              /* the mutex was, meanwhile */
    /* What it saw last of each variable: for comparing. */
    uint32_t seen[SO_VARIABLES_N];
    uint64_t seen_version[SO_VARIABLES_N];
};

struct so_lock {
    uint64_t fence;        /* the highest granted */
    uint64_t writer_fence; /* to one that shares with nobody */
    uint64_t grants_n;
};

/* The watch of a node; it ends with the boot. */
struct so_watch {
    uint64_t boot_no, id; /* id 0: none */
    size_t pattern;
    uint64_t opened_ms; /* world time */
    uint64_t heard[SO_VARIABLES_N];
    uint32_t generation[PLACEMENT_SLOTS]; /* known when it was opened, or said to be lost */
};

struct so_avail; /* state_avail.c */

struct state_ops {
    struct hs_world *hw;
    struct sim_world *world;
    struct oracle_view *view;
    struct so_client *clients;
    size_t clients_n;
    struct map64 by_id; /* operation or waiter -> client */
    struct so_lock locks[SO_LOCKS_N];
    struct map64 guarded_values[SO_EXCLUSIVE_N]; /* acknowledged ones */
    uint32_t names[SO_VARIABLES_N], lock_names[SO_LOCKS_N];
    uint32_t part_names[SO_VARIABLES_N][SO_PARTS]; /* of arrays */
    struct history history;
    struct history_line line;
    struct history_finding finding; /* of the end */
    int64_t value;                  /* the last written; each once */
    uint32_t period_ms;             /* a client does something about so often */
    bool on;
    bool variables_on, mutexes_on;
    bool wall_steps; /* clocks may be an hour off: what they date is not compared */
    size_t inside_n;
    uint64_t outcomes[3];
    char failure[200]; /* the last operation that was not done */
    uint64_t grants_n, lost_n, reads_by_cell_n, changes_n;
    uint64_t activated_ms[PLACEMENT_SLOTS]; /* of the active configuration, world time */
    struct so_watch *watches;               /* by node */
    uint64_t peace_ms;                      /* since then nothing is wrong; 0: not yet */
    uint64_t peace_version[SO_VARIABLES_N]; /* acknowledged since */
    int64_t peace_wrote_ns[SO_VARIABLES_N]; /* when the last write began that was */
    int64_t peace_gone_ns[SO_VARIABLES_N];  /* when a deletion was; 0: none */
    struct so_avail *avail;
};

extern const char *const so_variable_names[SO_VARIABLES_N];
extern const char *const so_lock_names[SO_LOCKS_N];

/* @per_node clients on each node. */
void so_init(struct state_ops *ops,
             struct hs_world *hw,
             struct sim_world *world,
             struct oracle_view *view,
             size_t per_node);
void so_deinit(struct state_ops *ops);
void so_start(struct state_ops *ops);
/* Clients finish what they are at and begin nothing. */
void so_stop(struct state_ops *ops);
/* How many are at something; *which_out: one of them. */
size_t so_pending(const struct state_ops *ops, const struct so_client **which_out);
const char *so_state_text(enum so_state state);
/* From now on everything asked for must be done, and told to who watches. */
void so_peace(struct state_ops *ops);
/* Somebody who watches has not heard what was written in peace, or available variables are not the
 * same everywhere: why, in @out. */
bool so_waits(struct state_ops *ops, char *out, size_t out_bytes);
/* The rules that want the whole history. False: violated (sim_violation() says what). */
bool so_judge(struct state_ops *ops);

/* What the world's observer hears. */
void so_placement(struct state_ops *ops,
                  const struct placement *before,
                  const struct placement *now);
void so_done(struct state_ops *ops, struct hs *hs, uint64_t id, const struct dvar_result *result);
void so_changed(struct state_ops *ops,
                struct hs *hs,
                uint64_t id,
                const struct dvar_change *change);
void so_slot_lost(
    struct state_ops *ops, struct hs *hs, uint64_t id, uint32_t slot, uint32_t generation);
void so_granted(struct state_ops *ops, struct hs *hs, uint64_t waiter, uint64_t fence);
void so_ended(struct state_ops *ops, struct hs *hs, uint64_t waiter, int code);
void so_lost(struct state_ops *ops, struct hs *hs, uint64_t waiter, uint64_t fence);
void so_gone(struct state_ops *ops, struct hs *hs);
void so_stepped(struct state_ops *ops, struct hs *hs);

#endif
