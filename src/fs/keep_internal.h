/*
 * Inside of keep.c and keep_look.c: what is remembered of nodes and contents.
 */
#ifndef FS_KEEP_INTERNAL_H
#define FS_KEEP_INTERNAL_H

#include "core/alloc.h"
#include "core/arena.h"
#include "core/list.h"
#include "core/map.h"
#include "core/mutant.h"
#include "fs/keep.h"
#include "kith/error.h"

enum keep_entry {
    KEEP_ENTRY_ASK = 1,
    KEEP_ENTRY_FOLDER = 2,
    KEEP_ENTRY_KEEP = 3,
    KEEP_ENTRY_NOT = 4,
    KEEP_ENTRY_DOUBT = 5,
};

struct keep_node {
    struct kith_node_id id;
    bool up;
    uint64_t since_ms; /* up or down */
};

enum keep_drop {
    KEEP_DROP_NONE,
    KEEP_DROP_ASKING,
    KEEP_DROP_UNDER_WAY,
};

/* What other holders said, before a copy is dropped. */
struct keep_vote {
    struct list link; /* of core->asking */
    struct keep_pend *pend;
    uint64_t question, asked_ms;
    uint8_t above_n;
    struct kith_node_id above[FS_COPIES_MAX]; /* said that they hold it, and stand above */
};

/* A content about which something is to be done. (That copies are missing is remembered apart: it
 * may be so of as many as there are files.) */
struct keep_pend {
    struct keep_pend *next_same;
    struct content content;
    uint64_t surplus_ms;      /* since when there are too many */
    uint64_t unreferenced_ms; /* since when this boot sees that nothing names it */
    uint64_t retry_ms;        /* no fetch or adoption before */
    struct keep_vote *vote;   /* while drop is KEEP_DROP_ASKING */
    uint8_t copies;           /* wanted */
    uint8_t drop;             /* enum keep_drop */
    bool fetching, scrubbing, adopting, repair, scarce;
};

struct keep_asked { /* a question of another node */
    struct kith_node_id peer;
    uint64_t question;
    uint8_t root[CONTENT_ROOT_BYTES];
};

struct keep_doubt {   /* somebody was sent damage from here */
    uint64_t told_ms; /* 0: free */
    bool waits;       /* it was not read again yet */
    uint8_t root[CONTENT_ROOT_BYTES];
};

struct keep_core {
    struct keep_config config;
    uint64_t now_ms, wall_ms;
    uint64_t started_ms;
    uint64_t bytes; /* in the keep */
    bool full;
    bool scrubbing, adopting; /* one at a time */
    struct mapid nodes;
    struct map64 pends;
    /* Since when copies are missing of what is not here, in ms, by the first 8 bytes of the root:
     * of two that have them in common one is fetched a little earlier. */
    struct map64 lacking;
    struct map64 checks;
    struct list asking; /* struct keep_vote in the order of their questions */
    struct keep_doubt doubts[FS_KEEP_DOUBTS_MAX];
    uint64_t next_number;
    struct keep_stats stats;
    struct keep_action *actions;
    size_t actions_n, actions_cap;
    struct arena arena;
    int error;
};

/* ---- keep.c ---- */
/* NULL if memory is short (core->error). */
struct keep_action *keep_act(struct keep_core *core, enum keep_action_type type);
bool keep_act_on(struct keep_core *core,
                 enum keep_action_type type,
                 const struct content *content,
                 const char *text);
void keep_say(struct keep_core *core,
              const struct kith_node_id *to,
              enum keep_entry kind,
              uint64_t question,
              const uint8_t root[CONTENT_ROOT_BYTES]);
/* A total order: equal ranks by id. */
bool keep_ranks_above(const uint8_t root[CONTENT_ROOT_BYTES],
                      const struct kith_node_id *a,
                      const struct kith_node_id *b);
bool keep_node_up(const struct keep_core *core, const struct kith_node_id *id);
/* Its copy counts still. */
bool keep_node_counts(const struct keep_core *core, const struct kith_node_id *id);
struct keep_pend *keep_pend_find(const struct keep_core *core, const uint8_t *root);
/* NULL: too many, or memory is short; it comes up again in the next round. */
struct keep_pend *keep_pend_get(struct keep_core *core, const struct content *content);
/* Since when copies of it are missing: noted now, if it was not. 0: as keep_pend_get(). */
uint64_t keep_lacks(struct keep_core *core, const uint8_t *root);
void keep_lacks_none(struct keep_core *core, const uint8_t *root);
void keep_pend_scarce(struct keep_core *core, struct keep_pend *pend, bool scarce);
/* What was asked about dropping it counts no more. */
void keep_pend_ask_no_more(struct keep_pend *pend);
void keep_pend_free_if_idle(struct keep_core *core, struct keep_pend *pend); /* NULL is fine */

/* ---- keep_look.c ---- */
void keep_look(struct keep_core *core, const struct keep_facts *seen);
/* @peer says that it holds what this node would like to drop. */
void keep_on_answer(struct keep_core *core,
                    struct keep_pend *pend,
                    const struct kith_node_id *peer,
                    uint8_t kind);
void keep_on_adopted(struct keep_core *core, const struct content *content, int code);
void keep_on_scrubbed(struct keep_core *core, const struct content *content, int code);

#endif
