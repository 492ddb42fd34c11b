/*
 * Inside of the machine of a folder. What is known is a tree of nodes, one a name; what is under
 * way for a name is its work, which most nodes do not have.
 */
#ifndef FS_LOCAL_INTERNAL_H
#define FS_LOCAL_INTERNAL_H

#include <assert.h>

#include "core/arena.h"
#include "core/heap.h"
#include "core/list.h"
#include "core/map.h"
#include "core/slab.h"
#include "fs/contents.h"
#include "fs/ignore.h"
#include "fs/local.h"

struct work;

enum node_flags {
    NODE_PUBLISHED = 1 << 0, /* the catalogue has it as stat and content say */
    NODE_RACY = 1 << 1,      /* may have changed in the tick in which it was read */
    NODE_VERIFY = 1 << 2,    /* only ctime said that it may have changed: to be read when idle */
    NODE_FROZEN = 1 << 3,    /* could not be looked into by the scan under way */
    NODE_OWNED = 1 << 5,     /* before START: the catalogue has it */
    NODE_UNSURE = 1 << 6,    /* the catalogue may not have it: published though nothing changed */
    NODE_COLLIDED = 1 << 4,  /* another name of the file system means the same path */
};

/* What is in a map beside the tree, as few nodes have it. */
enum node_has {
    NODE_HAS_WORK = 1 << 0,
    NODE_HAS_RAW = 1 << 1,
};

struct node_link { /* 0: none */
    uint32_t at;
};

#pragma pack(push, 4)
/* The content of a file where there is no table of them that others have too. */
struct node_content {
    uint64_t size : 48;
    uint64_t hash : 8;
    uint64_t chunk_log2 : 8;
    uint8_t root[CONTENT_ROOT_BYTES];
};

/* One name. 67 bytes and the name: there may be millions. So links have 32 bits (core/slab.h). */
struct node {
    struct node_link parent;
    struct node_link first; /* what is in it */
    struct node_link next;  /* beside it */
    struct node_link prev;
    struct node_link in_bucket;  /* the next of the same bucket */
    struct node_link next_inode; /* the next of the same bucket of inodes */
    union {
        struct fs_blob_link content; /* of a FILE; in the slab if config.contents is NULL */
        uint32_t size;               /* of others; as much of it as there is room for */
    } of;
    uint64_t inode;
    int64_t mtime_ns;
    int64_t ctime_ns;
    int64_t born_ns;
    uint16_t mode;
    /* The last scan that saw it, as far as it goes: of what has not been seen since the scan 65,536
     * before, the next one says so. */
    uint16_t scan;
    uint8_t kind : 4;
    uint8_t has : 4; /* enum node_has */
    uint8_t flags;
    uint8_t name_len;
    char name[]; /* with a NUL; in NFC */
};
#pragma pack(pop)
static_assert(offsetof(struct node, name) == 67, "there are millions of names");

enum work_state {
    WORK_SETTLING = 1, /* until due: then it is looked at */
    WORK_LOOK,         /* queued */
    WORK_LOOKING,      /* token */
    WORK_HASH,         /* queued */
    WORK_HASHING,      /* token */
    WORK_PAIRING,      /* until `from` has been looked at, or due */
    WORK_PUBLISH,      /* queued */
    WORK_PUBLISHING,   /* token */
    WORK_GONE,         /* missing, for certain; until that is judged */
    WORK_MOVED,        /* gone: its heir is published as renamed, which deletes it */
    WORK_COOLING,      /* published a moment ago: the next change waits for more quiet */
};

struct work {
    struct list link; /* of its queue */
    struct heap_node due;
    struct node *node;
    struct work *from; /* of what it was renamed from, perhaps (PAIRING), or indeed */
    struct work *heir; /* whose `from` this is */
    uint64_t token;
    uint64_t first_ms; /* of the touches that it settles from */
    uint8_t state;
    uint8_t tries; /* reads in a row between which it changed */
    uint8_t racy_tries;
    uint8_t change;      /* enum local_change */
    bool again;          /* touched while under way */
    bool closed;         /* the last touch said that its writer is done */
    bool hot;            /* was published a moment ago */
    bool going;          /* the watcher saw it go */
    bool unseen;         /* a scan did not see it */
    bool confirmed;      /* CONFIRM was for it too */
    bool emptied;        /* missing when nothing at all was in the folder */
    bool verify;         /* what is published was not read since ctime moved */
    bool racy;           /* read in the tick in which it was changed */
    bool idle;           /* its read can wait */
    bool live;           /* touched, not only seen by a scan */
    bool fresh;          /* counted in fresh_n */
    struct fs_stat stat; /* what was seen; published from here */
    struct content content;
    char *target;
    size_t target_len;
};

struct problem {
    char *name;
    size_t name_len;
    char *text;
    uint16_t scan;
    bool read; /* by a read or publication: ends when that works */
};

struct scan_wish {
    char *name; /* of the file system */
    size_t len;
};

struct local_core {
    struct local_config config;
    char *share;
    bool started;
    uint64_t now_ms;
    int64_t wall_ns;

    struct slab slab; /* nodes */
    struct node *top;
    struct node_link *buckets;
    struct node_link *inodes; /* likewise, of what is published */
    size_t buckets_n;         /* of each of the two; a power of two */
    size_t nodes_n;
    struct map64 works; /* struct work, by the link of its node */
    struct map64 raws;  /* names in the file system that are other ones, likewise */
    uint64_t memory_bytes;
    uint64_t published_n, files_n, bytes;

    struct map64 tokens; /* struct work */
    uint64_t tokens_n;
    struct heap due;
    struct list looks, hashes, idle_hashes, publishes, gone; /* struct work */
    size_t looks_n, hashes_n, publishing_n;                  /* under way */
    size_t waiting_n;                                        /* in looks, hashes and publishes */
    size_t gone_n, fresh_n; /* works in GONE; of unpublished nodes, before they are published */
    uint64_t gone_since_ms;

    struct fs_root_id root;
    bool root_known, root_empty;
    bool root_adopts; /* the directory that the next scan finds is the folder */
    bool missing;     /* there is none */
    bool lost;        /* the folder is missing or another: nothing is believed */
    bool gone_dirty;  /* to be judged anew */
    bool in_scan;     /* what is considered was seen by a scan */
    uint8_t state;
    char state_text[256];
    uint64_t away_due_ms; /* when it is looked for again */
    bool scanned_once;

    uint64_t window_ms; /* of the guard */
    uint64_t window_gone, window_before;

    struct scan_wish wishes[FS_LOCAL_SCANS_MAX];
    size_t wishes_n;
    bool scan_all, scan_confirms;
    uint64_t scan_token; /* 0: none */
    char *scan_name;
    size_t scan_len;
    uint16_t scan_no;
    bool scan_confirming;
    uint64_t scanned_n;
    uint64_t rescan_due_ms, scan_retry_ms;
    uint32_t rescan_ms; /* with a watcher */

    /* The directory of the last name of a scan, as the next one is mostly beside it. */
    char *last_dir;
    size_t last_dir_len;
    struct node *last_node;

    struct fs_ignore *ignore;
    struct problem problems[FS_PROBLEMS_MAX];
    size_t problems_n;
    uint64_t problems_more; /* that are not listed */
    bool problems_changed;

    struct arena arena;
    struct local_action *actions;
    size_t actions_n, actions_cap;
    bool failed; /* memory was short in this step */

    struct {
        uint64_t touches, scans, looks, hashes, hashed_again, published, renames, deletions, held;
    } count;
};

/* ---- local_tree.c ---- */

/* NULL for none. */
static inline struct node *tree_at(const struct local_core *core, struct node_link link)
{
    return slab_at(&core->slab, link.at);
}
static inline struct node *tree_parent(const struct local_core *core, const struct node *node)
{
    return tree_at(core, node->parent);
}
/* What is under way for it; NULL: nothing. */
static inline struct work *tree_work(const struct local_core *core, const struct node *node)
{
    return (node->has & NODE_HAS_WORK) != 0 ? map64_find(&core->works, slab_link(node)) : NULL;
}
/* Its name in the file system, if that is another one; else NULL. */
static inline const char *tree_raw(const struct local_core *core, const struct node *node)
{
    return (node->has & NODE_HAS_RAW) != 0 ? map64_find(&core->raws, slab_link(node)) : NULL;
}
/* 0, KITH_E_MEMORY. @raw: copied; NULL: it is called the same. */
int tree_set_raw(struct local_core *core, struct node *node, const char *raw, size_t len);
int tree_set_work(struct local_core *core, struct node *node, struct work *work);

/* What a name of the file system is here. */
enum resolved {
    RESOLVED = 0,
    RESOLVED_NONE,     /* there is no such node, and none was to be made */
    RESOLVED_REFUSED,  /* the name cannot be shared: *why */
    RESOLVED_COLLIDED, /* another name of the file system has this path */
    RESOLVED_FAILED,   /* memory */
};
struct node *
tree_child(const struct local_core *core, const struct node *dir, const char *name, size_t len);
/* Of what is published, the next behind @behind (NULL: the first) with this inode; NULL: none. */
struct node *
tree_of_inode(const struct local_core *core, uint64_t inode, const struct node *behind);
/* @name is of the file system (@raw) or of the catalogue; makes what is missing if @make. */
enum resolved tree_resolve(struct local_core *core,
                           const char *name,
                           size_t len,
                           bool raw,
                           bool make,
                           struct node **node_out,
                           const char **why_out);
/* One part, in @dir, of the file system. Len 0: @dir itself. */
enum resolved tree_below(struct local_core *core,
                         struct node *dir,
                         const char *part,
                         size_t len,
                         bool make,
                         struct node **node_out,
                         const char **why_out);
/* Removes @node, which has no work, if nothing needs it; and its parents likewise. */
void tree_prune(struct local_core *core, struct node *node);
void tree_free(struct local_core *core);
/* The next of all beneath @top in depth-first order, directories first; @skip: not into @node. */
struct node *
tree_next(const struct local_core *core, const struct node *top, struct node *node, bool skip);
/* Set what is known, in all indexes. @stat NULL: it is not published any more. Without memory for
 * the content the file is to be read again. */
void tree_know(struct local_core *core,
               struct node *node,
               const struct fs_stat *stat,
               const struct content *content);
uint64_t tree_size(const struct local_core *core, const struct node *node);
void tree_stat(const struct local_core *core, const struct node *node, struct fs_stat *stat_out);
/* Zeros of what is no file, and if there was no memory for it. */
void tree_content(const struct local_core *core,
                  const struct node *node,
                  struct content *content_out);
/* A published node other than @node that is the same inode as @stat, with the same bytes. */
struct node *
tree_twin(const struct local_core *core, const struct node *node, const struct fs_stat *stat);
/* Path, and name in the file system, in the step's arena; NULL if memory is short. */
const char *tree_path(struct local_core *core, const struct node *node, size_t *len_out);
const char *tree_name(struct local_core *core, const struct node *node, size_t *len_out);
/* The same behind @buf. */
int tree_append(const struct local_core *core, const struct node *node, bool raw, struct buf *buf);
bool tree_is_above(const struct local_core *core,
                   const struct node *above,
                   const struct node *node);

/* ---- local_work.c ---- */

void work_touch(struct local_core *core, struct node *node, unsigned touch);
/* It is looked at as soon as may be. */
void work_look_now(struct local_core *core, struct work *work);
struct work *work_of(struct local_core *core, struct node *node); /* made if absent; NULL */
void work_set(struct local_core *core, struct work *work, uint8_t state);
/* SETTLING, PAIRING, COOLING: until @due_ms. */
void work_wait(struct local_core *core, struct work *work, uint8_t state, uint64_t due_ms);
void work_settle(struct local_core *core, struct work *work, uint64_t due_ms); /* from now on */
/* Ends it, whatever it was at. The node stays. */
void work_end(struct local_core *core, struct work *work);
void work_due(struct local_core *core, struct work *work);
/* What was seen under its name decides what is to be done. @target is copied. */
void work_consider(struct local_core *core, struct work *work, const struct local_seen *seen);
void work_publish(struct local_core *core, struct work *work, uint8_t change);
/* Ignored from now on, with all beneath it; @node may have no work. */
void work_release(struct local_core *core, struct node *node);
/* Its source was looked at: it is @gone, or still there. */
void work_paired(struct local_core *core, struct work *work, bool gone);
void work_hashed(struct local_core *core, struct work *work, const struct local_event *event);
void work_published(struct local_core *core, struct work *work, const struct local_event *event);
/* Emits what may be under way. */
void work_pump(struct local_core *core);

/* ---- local_gone.c ---- */

/* @work's name is certainly not there; nor is what was beneath it. */
void gone_absent(struct local_core *core, struct work *work);
/* Looks at what is missing, and decides. */
void gone_judge(struct local_core *core);
/* When it wants to be asked again. */
uint64_t gone_deadline_ms(const struct local_core *core);
/* Was the folder looked into, as @event's root says? If not, it is away from now on, and false.
 * Zeros: it is missing. */
bool gone_root(struct local_core *core, const struct local_event *event);
int gone_confirm(struct local_core *core);
void gone_state(struct local_core *core, uint8_t state, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- local_scan.c ---- */

/* @node NULL: all. */
void scan_wish(struct local_core *core, const struct node *node);
void scan_pump(struct local_core *core);
void scan_seen(struct local_core *core, const struct local_event *event);
void scan_rules(struct local_core *core, const struct local_event *event);
void scan_done(struct local_core *core, const struct local_event *event);
void scan_void(struct local_core *core); /* what is under way counts for nothing */
bool scan_ignores(struct local_core *core, const struct node *node, bool is_dir);

/* ---- local_kept.c ---- */

void kept_set(struct local_core *core, struct node *node);
void kept_drop(struct local_core *core, const char *path, size_t len);
void kept_root(struct local_core *core);
int kept_recall(struct local_core *core, struct kith_bytes key, struct kith_bytes data);

/* ---- local_show.c ---- */

void problem_set(
    struct local_core *core, const char *name, size_t len, bool read, const char *text);
void problem_clear(struct local_core *core, const char *name, size_t len);
/* Those of a scan of @scope that it did not find again. */
void problem_sweep(struct local_core *core, const char *scope, size_t len);
void problem_free(struct local_core *core);

/* ---- local.c ---- */

struct local_action *out_action(struct local_core *core, enum local_action_type type); /* NULL */
char *out_copy(struct local_core *core, const void *data, size_t len); /* with a NUL; NULL */
void local_failed(struct local_core *core); /* memory was short: what was missed is scanned for */

#endif
