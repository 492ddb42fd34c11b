/*
 * The one thing that is agreed: who votes, who keeps what, who is granted leases (protocols 5.2),
 * as a pure machine. One record an epoch, decided by a majority of the voters of the record before
 * it; a leader with a lease proposes, grants keeper leases and excludes who is gone.
 *
 * The driver (src/node/uv_view.c) feeds messages, persisted tokens, peers and time; the output says
 * what to send, what to put on disk, and what is agreed now. No socket, clock, file, thread or
 * unseeded chance. docs/protocols/view.md has states, messages and invariants.
 *
 * Every node runs one. An *eligible* node (an agent) may become keeper and voter and has a store;
 * any other (an *edge*) only learns the newest record.
 */
#ifndef VIEW_VIEW_H
#define VIEW_VIEW_H

#include "core/boot_id.h"
#include "core/limits.h"
#include "core/placement.h"

struct view_core;

#define VIEW_CLUSTER_BYTES 16
#define VIEW_KEY_BYTES_MAX 32 /* of what is persisted; all begin with 'v' */

/* A voter is a disk of a node: it stays one through restarts, and no longer than its disk. */
struct view_voter {
    struct kith_node_id node;
    uint8_t disk_id[PLACEMENT_DISK_BYTES];
};

/* Zero fields take the default in brackets. All times are of the node's own clock. */
struct view_config {
    struct boot_id self;
    uint8_t disk_id[PLACEMENT_DISK_BYTES]; /* zero for an edge */
    uint8_t cluster_id[VIEW_CLUSTER_BYTES];
    bool eligible;
    char name[MEMBER_NAME_BYTES_MAX + 1]; /* for texts */
    uint64_t seed;
    uint32_t settle_ms;      /* view_settle_ms: a candidate was here so long (3 s) */
    uint32_t grow_ms;        /* ... for the fourth voter and beyond (60 s) */
    uint32_t replace_ms;     /* a voter dead so long is replaced; re-replication (10 min) */
    uint32_t disks_wait_ms;  /* for the other disks of a slot without live replica (30 s) */
    uint32_t slot_lost_ms;   /* no disk of it came back: the slot is lost (60 s) */
    uint32_t beat_ms;        /* between keepers that have nothing else to say (500) */
    uint32_t beat_missed_ms; /* silence that an observer reports (1,500) */
    uint32_t moves_max;      /* slot moves under way per keeper (2) */
};

enum view_event_type {
    VIEW_RECALL,     /* key, data: what PERSIST wrote in an earlier boot; all before START */
    VIEW_START,      /* once, before everything else */
    VIEW_TICK,       /* the deadline has come */
    VIEW_RECV,       /* from, data: one frame, the boot as proven by the stream */
    VIEW_PERSISTED,  /* token: it and all before it are on disk */
    VIEW_PEER_UP,    /* from, eligible, name: membership sees it alive; again with a newer boot */
    VIEW_PEER_DOWN,  /* from, left: failed, or said good-bye (which is proof) */
    VIEW_LINK_UP,    /* from: its control stream is open */
    VIEW_LINK_DOWN,  /* from */
    VIEW_BOOTSTRAP,  /* expect: 1 mints a view of this node alone, N waits for N nodes that say N */
    VIEW_SLOT_READY, /* slot, slot_epoch, released: from dvar's action of that name */
    VIEW_SLOT_DURABLE, /* slot: is about to hold durable variables; it is never counted as lost */
    VIEW_COMPLAIN,     /* member_id, age_ms: what we sent it is not acknowledged */
    VIEW_LEAVE,        /* give away voter and slots, then VIEW_LEFT */
    VIEW_STOP, /* good-bye is said next, and proves that nothing is served, voted or granted here */
    VIEW_FORCE,     /* the operator saw view_force_loss() and said yes */
    VIEW_BOOT,      /* boot_no: ours was raised, as peers had seen a higher one: an old disk */
    VIEW_DISK_FULL, /* full: takes on no new voter duties while it is */
};

/* Pointers are borrowed for the step. */
struct view_event {
    enum view_event_type type;
    uint64_t now_ms; /* CLOCK_BOOTTIME, read right before the step */
    struct boot_id from;
    const uint8_t *key;
    size_t key_len;
    const uint8_t *data;
    size_t len;
    uint64_t token;
    bool eligible;
    bool left;
    bool full;
    const char *name; /* may be NULL */
    uint32_t expect;
    uint32_t slot;
    uint64_t slot_epoch;
    const uint32_t *released; /* member ids */
    uint32_t released_n;
    uint32_t member_id;
    uint32_t age_ms;
    uint64_t boot_no;
};

enum view_action_type {
    VIEW_SEND,    /* to, data: one frame FRAME_VIEW; lost is as good as late */
    VIEW_PERSIST, /* token, puts: one atomic batch; PERSISTED{token} when it is on disk */
    VIEW_CHANGED, /* placement: a record with a higher epoch is known here */
    VIEW_LEASE,   /* until_ms: own keeper lease, on own clock; 0: none */
    VIEW_LEFT,    /* after LEAVE: nothing needs this node any more */
    /* to, text: a node of another chain of views, or with an old disk: log it */
    VIEW_REFUSED,
    VIEW_LEADING, /* leading: this node began or ceased to lead (for logs) */
};

struct view_put {
    uint8_t key[VIEW_KEY_BYTES_MAX];
    uint8_t key_len;
    const uint8_t *data; /* NULL: delete the key */
    size_t len;
};

struct view_action {
    enum view_action_type type;
    struct kith_node_id to;
    const uint8_t *data;
    size_t len;
    uint64_t token; /* from 1, ascending */
    const struct view_put *puts;
    size_t puts_n;
    const struct placement *placement; /* valid until the next CHANGED */
    uint64_t until_ms;
    const char *text;
    bool leading;
};

/* Owned by the core, valid until the next step. In the order in which they must be done. */
struct view_output {
    struct view_action *actions;
    size_t actions_n;
};

/* 0 or KITH_E_MEMORY, KITH_E_INVALID. */
int view_new(struct view_core **core_out, const struct view_config *config);
void view_free(struct view_core *core);

/*
 * One event. 0; KITH_E_CORRUPT for a message or a stored entry that does not decode (nothing
 * changed; a RECALL that fails must end the process); KITH_E_EXISTS for BOOTSTRAP with a view;
 * KITH_E_NO_CLUSTER for FORCE without one; KITH_E_INVALID for BOOTSTRAP and FORCE of an edge;
 * KITH_E_MEMORY. What a call refused has its sentence in kith_errmsg().
 *
 * @out is valid and must be carried out whatever is returned.
 */
int view_step(struct view_core *core, const struct view_event *event, struct view_output *out);
/* When TICK is due; UINT64_MAX before START. */
uint64_t view_deadline_ms(const struct view_core *core);

/* The newest record's placement; epoch 0 if no view is known. Changes with VIEW_CHANGED only. */
const struct placement *view_placement(const struct view_core *core);
/* Is it decided that this slot is never counted as lost? Before the first durable write to it. */
bool view_slot_durable(const struct view_core *core, uint32_t slot);

#define VIEW_MISSING_MAX VIEW_VOTERS_MAX

struct view_peer_name {
    struct kith_node_id id;
    char name[MEMBER_NAME_BYTES_MAX + 1]; /* empty if it is not known */
};

/* What the view can do now, for errors and `kith view`. */
struct view_quorum {
    bool have;      /* a leader is there that can grant leases, as far as is known */
    uint64_t epoch; /* 0: no view is known */
    bool leader_known;
    struct view_peer_name leader; /* if known */
    struct view_voter voters[VIEW_VOTERS_MAX];
    uint32_t voters_n;
    struct view_peer_name missing[VIEW_MISSING_MAX]; /* voters that are not heard */
    uint32_t missing_n;
    /* Any so many nodes may fail one after the other now, and all goes on. */
    uint32_t failures_tolerated;
    uint32_t keepers_n;           /* active ones */
    uint32_t slots_unavailable_n; /* no replica of them is left */
    uint32_t slots_moving_n;
};
void view_quorum(const struct view_core *core, uint64_t now_ms, struct view_quorum *quorum_out);
/* Its `have`, for who asks after every step. */
bool view_has_quorum(const struct view_core *core, uint64_t now_ms);

/* What FORCE on this node may lose; print it and ask before FORCE. */
struct view_force_loss {
    struct view_peer_name voters[VIEW_VOTERS_MAX]; /* not heard: they must never decide again */
    uint32_t voters_n;
    struct view_peer_name keepers[PLACEMENT_MEMBERS_MAX]; /* not heard */
    uint32_t keepers_n;
    uint32_t slots_lost_n;  /* no replica of them is heard */
    uint32_t slots_fewer_n; /* some of their replicas are not heard: the last writes are there */
    uint64_t epoch;         /* newest known here; the missing may know of newer ones */
};
/* 0, or KITH_E_NO_CLUSTER, KITH_E_INVALID as FORCE would. */
int view_force_loss(const struct view_core *core,
                    uint64_t now_ms,
                    struct view_force_loss *loss_out);

enum view_role {
    VIEW_NO_VIEW, /* none is known */
    VIEW_EDGE,    /* knows it, votes not */
    VIEW_SITOUT,  /* a voter that may have acknowledged a lease which it forgot */
    VIEW_FOLLOWER,
    VIEW_CANDIDATE,
    VIEW_LEADER,
};
enum view_role view_role(const struct view_core *core);
/* While leading: until when, on own clock; 0 otherwise. */
uint64_t view_leader_until_ms(const struct view_core *core);

/* Asserts the invariants. */
void view_check(const struct view_core *core);
/* Likewise after a step, but what only another record can break is looked at once a record. */
void view_check_step(struct view_core *core);

struct view_stats {
    uint64_t messages_in, messages_out, bytes_in, bytes_out, bad_messages;
    uint64_t other_chain;     /* messages and records of another cluster or chain */
    uint64_t refused_voters;  /* messages of voters with an old or new disk */
    uint64_t records_decided; /* by this node as leader */
    uint64_t records_learned;
    uint64_t elections, elections_won, exclusions, grants;
    uint64_t table_full; /* nodes that were not taken in for want of room */
};
void view_stats(const struct view_core *core, struct view_stats *stats_out);

#endif
