/*
 * A simulated node of shared state: membership, views, variables and mutexes as src/node joins
 * them, and a disk. The cores never call one another: what one says to another waits in a queue,
 * in order.
 *
 * The first keepers_n nodes are eligible (agents with a disk), all others are edges.
 */
#ifndef SIM_HOST_STATE_H
#define SIM_HOST_STATE_H

#include "core/map.h"
#include "disk.h"
#include "dvar/avail.h"
#include "dvar/dvar.h"
#include "host_member.h"
#include "mutex/mutex.h"
#include "pump.h"
#include "view/view.h"

struct hs;
struct hs_world;

/* What the world's oracles hear; each may be NULL. */
struct hs_observer {
    /* A placement is known here, told to the cores of variables and mutexes next. */
    void (*placement)(struct hs *hs, const struct placement *placement);
    /* Its keeper lease, on its own clock. */
    void (*lease)(struct hs *hs, uint64_t until_ms);
    /* An operation of hs_op() has ended; borrowed. */
    void (*done)(struct hs *hs, uint64_t id, const struct dvar_result *result);
    /* What a watch of hs_watch() is told; borrowed. */
    void (*changed)(struct hs *hs, uint64_t id, const struct dvar_change *change);
    void (*slot_lost)(struct hs *hs, uint64_t id, uint32_t slot, uint32_t generation);
    /* An acquisition of hs_acquire() was granted, has ended without, or was lost since. */
    void (*granted)(struct hs *hs, uint64_t waiter, uint64_t fence);
    void (*ended)(struct hs *hs, uint64_t waiter, int code);
    void (*lost)(struct hs *hs, uint64_t waiter, uint64_t fence);
    /* The node is gone. */
    void (*gone)(struct hs *hs);
    /* The end of a step of anything. */
    void (*stepped)(struct hs *hs);
};

/* sim_user() of such a world. */
struct hs_world {
    struct hm_world hm; /* first */
    size_t keepers_n;
    uint32_t expect;    /* each eligible node bootstraps with so many; 1: node 0 alone, at first */
    bool member_off;    /* no membership: nodes are told at once who is up and who is not */
    bool variables_off; /* a stand-in fills slots */
    bool mutexes_off;
    bool measured;                 /* dvar_spent_ns is wanted */
    const char *const *cell_names; /* variables that every node has a cell of */
    size_t cells_n;
    struct state_ops *ops; /* the scenario's clients */
    struct view_config view;
    struct dvar_config dvar;
    struct mutex_config mutex;
    bool check_all; /* not only cores that have done something, and all of them */
    uint64_t next_id;
    struct hs_records *records;
    struct hs_observer observer;
    struct disk *disks; /* by index */
    bool *disk_suspect; /* by index: the image was set back; the first peer says so */
    bool *disk_full;    /* by index */
};

#define HS_CELLS_MAX 32

enum hs_todo_type {
    HS_VIEW,      /* event */
    HS_PLACEMENT, /* placement, for variables and mutexes */
    HS_LEASE,     /* until_ms, likewise */
    HS_QUORUM,    /* have, likewise */
    HS_DVAR,      /* dvar; what it points to is in bytes */
    HS_MUTEX,     /* mutex; likewise */
};

struct hs_asked;
struct hs_records; /* of mutexes, without variables */

struct hs_todo {
    enum hs_todo_type type;
    struct placement *placement; /* owned */
    uint8_t *bytes;              /* owned: what the event points to */
    union {
        uint64_t until_ms;
        bool have;
        struct {
            struct view_event view;
            char name[MEMBER_NAME_BYTES_MAX + 1];
            uint32_t released[PLACEMENT_REPLICAS_MAX];
        };
        struct {
            struct dvar_event dvar;
            struct value_op op;
        };
        struct mutex_event mutex;
    };
};

/* What an operation on a variable is for. */
struct hs_op {
    uint64_t id;
    uint64_t ask; /* of the mutex core; 0: the scenario's */
    bool cas;
    size_t cell; /* an OPEN: index + 1 */
};

struct hs {
    struct hm hm; /* first */
    struct hs_world *hw;
    struct disk *disk; /* NULL: an edge */
    struct boot_id self;
    struct view_core *view;
    struct dvar_core *dvar;   /* NULL with variables_off */
    struct avail_core *avail; /* likewise */
    struct mutex_core *mutex; /* NULL with mutexes_off */
    struct map64 ops;         /* id -> struct hs_op */
    struct dvar_cell *cells[HS_CELLS_MAX];
    uint64_t durable_wanted; /* bit set of slots */
    uint64_t records_seen_ms;
    bool quorum;
    bool quorum_stale; /* the view has done something since it was asked */
    /* The core has done something since it was checked (a member core: hm.stepped). */
    bool view_stepped, dvar_stepped, mutex_stepped;
    /* What each core said after its last step: it says the same until the next. */
    uint64_t view_at_ms, dvar_at_ms, avail_at_ms, mutex_at_ms; /* its deadline */
    uint64_t leader_until_ms;
    uint64_t dvar_spent_ns;     /* processor time of the steps of its variables; of keepers only */
    struct pump_queue todo;     /* of struct hs_todo */
    struct placement placement; /* the newest */
    uint64_t lease_until_ms;
    uint64_t stand_in_ms[PLACEMENT_SLOTS];    /* variables_off: when a slot is ready; 0: not ours */
    struct hs_asked *asked;                   /* variables_off: records that were asked for */
    uint64_t released_epoch[PLACEMENT_SLOTS]; /* has promised to serve no slot epoch below it */
    bool leads;
    bool leaves; /* is being stopped in order */
};

extern const struct sim_host hs_host;

/* After sim_new(), hm_world_init() included. */
void hs_world_init(struct hs_world *hw, struct sim_world *world);
void hs_world_deinit(struct hs_world *hw, struct sim_world *world);
/* NULL while it is down. */
struct hs *hs_at(struct sim_world *world, size_t index);
uint64_t hs_now_ms(const struct hs *hs);
/* Our entry in a placement; NULL if there is none. */
const struct placement_keeper *hs_keeper(const struct hs *hs, const struct placement *placement);
/* The node of a member id. NULL if it is unknown, down, or runs another boot. */
struct hs *
hs_of_member(struct sim_world *world, const struct placement *placement, uint32_t member_id);
/* Stops a node in order, as src/node does: mutexes go on, the view and the members are told. */
void hs_leave(struct sim_world *world, size_t index);
/* The disk of a node is full, or not any more. */
void hs_disk_full(struct sim_world *world, size_t index, bool full);
/*
 * An operation on a variable, answered by observer.done with @id (of hs_next_id()). @op's pointers
 * are borrowed until hs_pump().
 */
uint64_t hs_next_id(struct hs_world *hw);
void hs_op(
    struct hs *hs, uint64_t id, const char *name, const struct value_op *op, uint64_t timeout_ms);
/* Told by observer.changed with @id until hs_unwatch(). */
void hs_watch(struct hs *hs, uint64_t id, const char *name, bool prefix);
void hs_unwatch(struct hs *hs, uint64_t id);
/* An operation on an available variable, done here and now: its code. hs_pump() is to follow. */
int hs_avail_op(struct hs *hs, const struct avail_op *op);
/* Reads by cell @at, as any thread may: false if it cannot be read here now. */
bool hs_cell_read(struct hs *hs, size_t at, struct value *value_out, uint64_t *version_out);
/* @acquire->waiter is of hs_next_id(). */
void hs_acquire(struct hs *hs, const struct mutex_acquire *acquire);
int hs_release(struct hs *hs, uint64_t waiter);
/* The invariants of every core that has done something since it was last checked: a core changes
 * in its steps only. */
void hs_check(struct hs *hs);
/* Those of every core, all there are. */
void hs_check_all(struct hs *hs);
/* Everything that follows, then the timer: after each call from outside. */
void hs_pump(struct hs *hs);

#endif
