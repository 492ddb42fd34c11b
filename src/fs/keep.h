/*
 * Who holds a copy of what: which contents this node must fetch, which it may drop, which it reads
 * again. A pure machine that looks at one content at a time (LOOK) and remembers only those about
 * which something is to be done; the catalogue knows the rest. The driver shows it each content
 * when it changes, and all of them by turns (a whole round in at most 10 minutes, KEEP_ROUND_MS).
 *
 * **Who fetches.** A content that a live version names wants N holders. Holders count while they
 * are up or have been gone for less than 10 minutes. If k are missing, the first k of the nodes
 * that have been up for 10 minutes and do not hold it, in the order of the content's rank
 * (rendezvous: a hash of root and node), fetch it. As long as that does not help (a disk is full,
 * the node sees the world otherwise), one more of the order joins in every 10 minutes. Nobody
 * commands. Those that hold another version of the content's path come before all others in this
 * order: what changed a little costs them a little. (Not in the order of who drops, in which two
 * must never see each other differently.)
 *
 * **Who drops.** A copy in the keep that more than N nodes hold may go, for the one that is lowest
 * in rank and only by this rule: *N others that stand above it have said, in answer to its own
 * question of a moment ago, that they hold it.* Above a copy in the keep stand all who hold the
 * content in a folder, and the copies in keeps of nodes that rank higher.
 *
 * Why that never takes the last copy, however many drop at once: let T be the N highest of those
 * who held it when the first of the questions under way was asked. Nobody of T has N others above
 * it, so nobody of T gets N such answers, so nobody of T drops, so N copies are left. What a node
 * believes of others out of the catalogue, which may be old, only makes it ask; that two see each
 * other's copy and both drop cannot be, as one of the two ranks below the other. (A folder's holder
 * may lose its copy by what its user does; that is a change of the catalogue, not a drop, and is
 * healed.)
 *
 * Content that no live version names goes 24 h after that was first noticed, of which this boot
 * must have seen one hour (a clock may jump), without a question.
 *
 * **Strays.** A file of the keep of which no record tells (the process ended between the two, or
 * the store is older than the keep) is nobody's to count on, and may be the last copy of what
 * others know by name only. So it is kept as any content that no live version names, and as soon as
 * one does, it is read, verified, and held (ADOPT): one at a time.
 *
 * **Scrub.** Each content of the keep has one day of hundred on which it is read again and verified
 * (SCRUB); what is damaged is set aside (not held any more) and fetched from others (REPAIR). Days
 * that were missed are made up for, one content at a time.
 *
 * Wire: FRAME_FS_KEEP (control): n * (u8 kind, u64 question, root), kinds: 1 asks, 2 "in a folder",
 * 3 "in the keep", 4 "not here".
 */
#ifndef FS_KEEP_H
#define FS_KEEP_H

#include "fs/content.h"
#include "kith/api.h"

struct keep_core;

#define KEEP_ROUND_MS (10 * 60 * 1000)

/* Zero fields take the default. */
struct keep_config {
    struct kith_node_id self;
    uint64_t bytes_max;       /* of the keep; UINT64_MAX: as the disk has */
    uint32_t stable_ms;       /* 10 min: up for so long to be chosen */
    uint32_t gone_ms;         /* 10 min: gone for so long to be replaced */
    uint32_t surplus_ms;      /* 1 h: too many for so long before one is dropped */
    uint32_t answer_ms;       /* 10 s: that an answer counts */
    uint64_t unreferenced_ms; /* 24 h */
    uint64_t seen_ms;         /* 1 h, of this boot */
    uint32_t fetches_max;     /* FS_KEEP_FETCHES_MAX under way */
    uint32_t pending_max;     /* FS_KEEP_PENDING_MAX contents that are remembered */
    uint64_t day_ms;          /* 24 h; for tests */
};

enum keep_place { /* of the own copy */
                  KEEP_NOWHERE = 0,
                  KEEP_FOLDER = 1, /* in a shared folder, as what is recorded of it says; perhaps in
                                      the keep too */
                  KEEP_KEEP = 2,   /* in the keep, whole and synced */
                  KEEP_STRAY = 3,  /* in the keep as a file alone: no record says so */
};

/* What is known of a content; borrowed for the step. */
struct keep_facts {
    struct content content;
    uint8_t copies; /* wanted: the most of the shares that name it; 0 and not live: none */
    bool live;      /* a version that is not history names it */
    bool pinned;    /* a path that is pinned here has it: fetched if it is not here, and not dropped
                     * as long as it is live */
    bool coming;    /* fetched by hand already: it is not fetched twice */
    uint8_t place;  /* enum keep_place */
    const struct kith_node_id *holders; /* others that are said to hold it */
    size_t holders_n;
    const struct kith_node_id *near; /* others that hold another version of a path that has it */
    size_t near_n;
    bool near_self;                /* so does this node */
    uint64_t scrubbed_wall_ms;     /* when it was written or last read again; in the keep only */
    uint64_t unreferenced_wall_ms; /* what NOTE gave; 0: nothing */
};

enum keep_event_type {
    KEEP_NODE_UP,   /* peer: it can be sent to. Holders unknown to it count as gone since START */
    KEEP_NODE_DOWN, /* peer */
    KEEP_NODE_GONE, /* peer: forgotten for good (kith forget): counts as gone at once */
    KEEP_START,     /* once, first */
    KEEP_LOOK,      /* facts */
    KEEP_FETCHED,   /* content, code: a FETCH has ended; 0: it is in the keep, synced, recorded */
    KEEP_DROPPED,   /* content, code: a DROP has ended */
    KEEP_ADOPTED,   /* content, code: an ADOPT has ended; 0: it is verified and recorded */
    KEEP_SCRUBBED,  /* content, code: 0 (also if it was not read for another reason, or is its
                     * user's, in a folder); KITH_E_CORRUPT; others: could not be read, as damaged */
    KEEP_CHECKED,   /* token, place: the answer to a CHECK; NOWHERE too if no live version that is
                     * known here names the content */
    KEEP_RECV,      /* peer, data: body of a FRAME_FS_KEEP */
    KEEP_USED,      /* bytes: in the keep now; full: the disk takes no more */
    KEEP_TICK,      /* the deadline has come */
};

struct keep_event {
    enum keep_event_type type;
    uint64_t now_ms;  /* CLOCK_BOOTTIME */
    uint64_t wall_ms; /* CLOCK_REALTIME */
    struct kith_node_id peer;
    const struct keep_facts *facts;
    struct content content;
    struct kith_bytes data;
    uint64_t token;
    uint64_t bytes;
    uint8_t place;
    bool full;
    int code;
};

enum keep_action_type {
    KEEP_SEND,   /* peer, data: body of a FRAME_FS_KEEP; may be lost */
    KEEP_FETCH,  /* content, holders: into the keep, FETCHED follows; repair: it was damaged here */
    KEEP_DROP,   /* content: out of the keep. The record that says so is stored and announced first,
                  * then the file goes; DROPPED follows */
    KEEP_ADOPT,  /* content: a stray. Read all of it and verify; if it is right, the record that
                  * says so is stored and announced, else the file goes. ADOPTED follows */
    KEEP_NOTE,   /* content, wall_ms: store it as unreferenced_wall_ms (0: drop it) */
    KEEP_SCRUB,  /* content: read all of it and verify, slowly; SCRUBBED follows */
    KEEP_DAMAGE, /* content: the copy in the keep is no good: it is set aside and not held any more
                  */
    KEEP_CHECK,  /* token, root: where is this content here, really? Look at the disk; CHECKED */
    KEEP_DOUBT,  /* peer, root: it says that what it had of it from here was damaged. LOOK at it: if
                  * it is here, SCRUB follows, and what that finds decides */
    KEEP_SCARCE, /* content, holders_n: no one of its holders is within reach: to be listed */
};

/* Borrowed until the next step. */
struct keep_action {
    enum keep_action_type type;
    struct kith_node_id peer;
    struct kith_bytes data;
    struct content content;
    uint8_t root[CONTENT_ROOT_BYTES];
    uint64_t token;
    uint64_t wall_ms;
    const struct kith_node_id *holders;
    size_t holders_n;
    bool repair;
    const char *text; /* why, for people; "" */
};

struct keep_output {
    const struct keep_action *actions;
    size_t actions_n;
};

/* The body of a FRAME_FS_KEEP to who sent damage: @chunk of a content (FETCH_LIST: its list). It
 * reads its own copy again, and judges by that alone. */
#define KEEP_DOUBT_BYTES (1 + 8 + CONTENT_ROOT_BYTES)
void keep_doubt_encode(const uint8_t root[CONTENT_ROOT_BYTES],
                       uint32_t chunk,
                       uint8_t out[KEEP_DOUBT_BYTES]);

int keep_new(struct keep_core **core_out, const struct keep_config *config);
void keep_free(struct keep_core *core); /* NULL is fine */

/* One event. 0; KITH_E_CORRUPT for a frame that does not decode; KITH_E_MEMORY. @out is valid
 * whatever is returned. */
int keep_step(struct keep_core *core, const struct keep_event *event, struct keep_output *out);
/* When TICK is due; UINT64_MAX if never. */
uint64_t keep_deadline_ms(const struct keep_core *core);

/* The rank of @node for a content: the greater, the higher. The same everywhere and for ever. */
uint64_t keep_rank(const uint8_t root[CONTENT_ROOT_BYTES], const struct kith_node_id *node);

struct keep_stats {
    uint64_t nodes_up, pending, fetches, drops, lacking, scarce;                        /* now */
    uint64_t fetched, fetch_failed, dropped, drop_refused, scrubbed, damaged, repaired; /* ever */
    uint64_t adopted, questions, answers, bad_frames, full, doubts;
};
void keep_stats(const struct keep_core *core, struct keep_stats *stats_out);
void keep_check(const struct keep_core *core);

#endif
