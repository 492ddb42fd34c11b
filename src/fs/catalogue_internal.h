/*
 * The catalogue from inside:
 *
 *     catalogue.c          life, output, the table of events, timers
 *     catalogue_memory.c   records, of which there are most
 *     catalogue_tree.c     paths: nodes and folders
 *     catalogue_known.c    disks, authors, versions, contents
 *     catalogue_tally.c    who holds what many paths have
 *     catalogue_records.c  records of disks, what nobody names any more
 *     catalogue_current.c  what is current, and what changed
 *     catalogue_own.c      the own index: batches that are signed, stored, announced
 *     catalogue_publish.c  what publications come to
 *     catalogue_wire.c     records as bytes
 *     catalogue_disks.c    which disks count
 *     catalogue_spread.c   heads, hashes, pulls
 *     catalogue_receive.c  records that come in
 *     catalogue_store.c    what is kept on disk
 *     catalogue_read.c     look-ups and lists
 *     catalogue_check.c    invariants
 *     contents.c           contents by their root
 *
 * Memory is what a million paths make it: a node of a path (30 bytes and its name), a version (124
 * and 8 for each disk of its vector), a content (52, and 4 to 8 to find it), and for each disk that
 * has it a record (20) in a slot (4). So one names the other by links of 32 bits (core/slab.h), and
 * fields have the bits that their limits need. A link is followed by fsc_...(core, what has it),
 * which gives NULL where there is none.
 */
#ifndef FS_CATALOGUE_INTERNAL_H
#define FS_CATALOGUE_INTERNAL_H

#include <assert.h>

#include "core/alloc.h"
#include "core/arena.h"
#include "core/error.h"
#include "core/list.h"
#include "core/map.h"
#include "core/mutant.h"
#include "core/rng.h"
#include "core/slab.h"
#include "fs/catalogue.h"
#include "fs/contents.h"

/* Links; 0: none. More are in fs/contents.h. */
struct fs_node_link {
    uint32_t at;
};
struct fs_folder_link {
    uint32_t at;
};

#pragma pack(push, 4) /* of all that is in the slab, or has links in it */

/* Which record of a path: a disk has at most one of each. */
enum fs_line {
    FS_LINE_FOLDER = 0,
    FS_LINE_PUT = 1,   /* what was changed here by name */
    FS_LINE_EXTRA = 2, /* and above: copies for others, and what nobody else names */
    FS_LINES_N = FS_LINE_EXTRA + FS_EXTRAS_MAX,
};

enum fs_record_flags {
    FS_RECORD_PLACE = 3,      /* enum fs_place */
    FS_RECORD_GONE = 1 << 2,  /* the disk says nothing of it any more */
    FS_RECORD_STALE = 1 << 3, /* of an index that is being replaced: stands until that is done */
    FS_RECORD_LOST = 1 << 4,  /* of no index any more, the last that names its version */
};
#define FS_RECORD_WIRE (FS_RECORD_PLACE | FS_RECORD_GONE)

/* Records are named by a number, 0 being none: fsc_at(), fsc_record(). */
#define FS_RECORD_REF_BITS 26
struct fs_record {
    union {
        struct fs_known_link known;
        struct fs_node_link node; /* GONE */
    } of;
    uint64_t number : 48;
    uint64_t disk : 16;
    uint32_t next : FS_RECORD_REF_BITS; /* of the node */
    uint32_t flags : 6;
    uint32_t slot : FS_RECORD_REF_BITS; /* in the disk's; STALE, LOST: in the list of those */
    uint32_t line : 6;
};
/* Slots have gaps, as many as records at most. */
static_assert(2 * FS_RECORDS_MAX < 1 << FS_RECORD_REF_BITS, "a record's number has room");
static_assert(FS_LINES_N <= 1 << 6, "a line has 6 bits");
static_assert(sizeof(struct fs_record) == 20, "there are millions of records");
#define FS_RECORDS_BLOCK 256 /* that are one piece of the slab */

static inline void fsc_flags_set(struct fs_record *record, unsigned flags)
{
    record->flags = (record->flags | flags) & 0x3f;
}
static inline void fsc_flags_clear(struct fs_record *record, unsigned flags)
{
    record->flags = record->flags & ~flags & 0x3f;
}

enum fs_known_flags {
    FS_KNOWN_MAXIMAL = 1 << 0, /* no other version of the path replaces it */
    FS_KNOWN_SHOWN = 1 << 1,   /* the current one, or a conflict */
    FS_KNOWN_LINKED = 1 << 2,  /* in the list of its node */
};

struct fs_pair {
    uint64_t disk : 16;
    uint64_t counter : 48;
};
static_assert(FS_COUNTER_MAX < 1ull << 48, "a counter has 48 bits");
static_assert(FS_DISKS_MAX <= 1 << 16, "a disk's number has 16 bits");

struct fs_known {
    struct fs_node_link node;
    struct fs_known_link next;
    struct fs_blob_link blob;     /* none: no content */
    struct fs_known_link of_blob; /* the next version of the content */
    uint32_t of_blob_at;          /* link to the link to this one there */
    uint64_t id;
    int64_t mtime_ns;
    uint64_t moment;
    uint32_t refs;        /* records, and whatever else points here */
    uint32_t live_n : 24; /* records but LOST ones */
    uint32_t vector_n : 8;
    uint16_t author; /* writer */
    uint16_t mode;
    uint16_t target_len : 12;
    uint16_t kind : 4;
    uint8_t replicas;
    uint8_t flags;
    uint8_t signature[FS_SIGNATURE_BYTES];
    struct fs_pair vector[]; /* by disk number; then the target */
};
static_assert(sizeof(struct fs_known) == 124, "there are millions of versions");
static_assert(2 * FS_DISKS_MAX <= 1 << 16, "a writer's number has 16 bits");
static_assert(FS_TARGET_BYTES_MAX < 1 << 12, "a target's length has 12 bits");
static_assert(FS_DISKS_MAX * FS_LINES_N < 1 << 24, "a path's records are counted in 24 bits");
static inline const char *fs_known_target(const struct fs_known *known)
{
    return (const char *)&known->vector[known->vector_n];
}

/* Of a content that many paths have: who holds it and who wants it, counted as records come and go
 * (catalogue_tally.c), so that nobody goes through all its versions. */
struct fs_held {
    uint32_t disk;
    uint32_t folder_n, keep_n; /* its records that say so */
};
struct fs_wanted {
    const struct fs_node *share;
    uint32_t live_n; /* versions beneath it that are not history */
};
struct fs_tally {
    struct fs_known_link first;
    struct fs_held *held; /* by disk */
    struct fs_wanted *wanted;
    uint32_t held_n, held_cap, wanted_n, wanted_cap;
};

/* What is beneath a path. */
struct fs_folder {
    struct fs_node_link root; /* a treap by name */
    uint32_t children_n;
    uint32_t conflicted_n; /* all below: paths with conflicts, */
    uint64_t shown_n;      /* with a version that is shown, */
    uint64_t files_n;      /* files and symlinks, */
    uint64_t bytes;        /* their sizes, */
};

enum fs_node_flags {
    FS_NODE_DIRTY = 1 << 0,
    FS_NODE_BUSY = 1 << 1, /* an own change of it is being signed or stored */
    FS_NODE_PRUNE = 1 << 2,
    FS_NODE_TIDY = 1 << 3,
    FS_NODE_SHOWN = 1 << 4, /* counted in the folders above */
    FS_NODE_FILE = 1 << 5,  /* as a file or symlink */
    FS_NODE_CONFLICTED = 1 << 6,
};

struct fs_node {
    struct fs_node_link parent; /* none: a share */
    struct fs_node_link left, right;
    struct fs_folder_link folder; /* none: nothing beneath */
    /* The current one first, conflicts, others that are not history, history. */
    struct fs_known_link versions;
    uint32_t records;   /* the first one */
    uint32_t pins : 24; /* by what is under way, and by versions */
    uint32_t name_len : 8;
    uint8_t flags;
    char name[]; /* with a NUL */
};
static_assert(offsetof(struct fs_node, name) == 29, "there are millions of nodes");
static_assert(FS_PART_BYTES_MAX < 1 << 8, "a name's length has 8 bits");
static_assert(FS_DISKS_MAX * FS_LINES_N + FS_PUBLICATIONS_MAX < 1 << 24,
              "what pins a path is counted in 24 bits");
static_assert(sizeof(struct fs_known) + FS_VECTOR_MAX * sizeof(struct fs_pair) +
                      FS_TARGET_BYTES_MAX <=
                  SLAB_PIECE_MAX,
              "the largest version is a piece of the slab");

#pragma pack(pop)

/* ---- disks ---- */

struct fs_writer { /* who signs */
    uint32_t disk;
    uint32_t next; /* of the disk; 0: none */
    struct kith_node_id node;
    uint8_t key[FS_KEY_BYTES];
};

struct fs_source {
    struct kith_node_id peer;
    uint64_t index_id, highest;
};
#define FS_SOURCES_MAX 4

struct fs_head {
    struct fs_disk_id disk;
    struct kith_node_id node;
    uint8_t key[FS_KEY_BYTES];
    uint64_t index_id, highest, records_n, sum;
};

/* A record that is in no slot. */
struct fs_aside {
    uint32_t record;
    uint32_t pass;
    uint64_t due_ms; /* LOST: when it is taken into the own index */
};
struct fs_asides {
    struct fs_aside *items;
    uint32_t n, cap;
};

struct fs_disk {
    struct fs_disk_id id;
    uint32_t no;
    uint32_t writer;  /* of its index; 0: not known */
    uint32_t writers; /* all; 0: none */
    bool known;       /* an index of it is here */
    bool whole;       /* ... all of it: it is shown to others */
    bool repull;      /* the next answer from the beginning replaces what is here */
    bool pulling;
    bool forgotten;
    uint8_t sources_n;
    uint32_t pass; /* how often it was replaced; tells stored records apart */
    uint64_t index_id, highest;
    uint64_t records_n, sum;           /* of those that are not GONE or STALE */
    uint64_t mark_number, mark_unix_s; /* what is GONE up to this number was so at this time */
    uint32_t *slots;                   /* records by number; 0: replaced since */
    uint32_t slots_n, slots_cap, gaps;
    struct fs_asides stale;
    struct list wanting;
    struct list announce;
    struct fs_source sources[FS_SOURCES_MAX];
    struct kith_node_id pull_peer;
    uint64_t pull_until_ms;
    uint64_t again_at_ms;      /* not pulled whole before */
    uint64_t refused_until_ms; /* there was no room for it */
    /* As stored, until START. */
    bool recalled_head;
    uint64_t recalled_n, recalled_sum;
};

struct fs_link {
    struct kith_node_id id;
};
#define FS_LINKS_MAX 256

/* ---- own changes ---- */

struct fs_ticket { /* of a holding */
    uint64_t id;
    uint32_t left;
    int code;
};

struct fs_own {
    struct fs_node *node;
    struct fs_known *known;   /* NULL: GONE */
    struct fs_ticket *ticket; /* may be NULL */
    uint64_t id;              /* of a publication, if acked */
    uint64_t number;
    uint8_t flags;
    uint8_t line;
    bool acked;
    bool minted;               /* it must be signed */
    struct kith_bytes to_sign; /* for this step */
};

enum fs_batch_state {
    FS_BATCH_OPEN,
    FS_BATCH_SIGNING,
    FS_BATCH_READY, /* waits for a renewal to be stored */
    FS_BATCH_STORING,
};
struct fs_batch {
    struct list link;
    uint64_t token;
    uint64_t highest; /* of the index when it is stored */
    enum fs_batch_state state;
    bool renewal;
    struct fs_own *ops;
    size_t ops_n, ops_cap;
};

struct fs_waiting { /* for a node that is busy */
    struct list link;
    struct fs_node *node;
    struct fs_ticket *ticket; /* NULL: a publication, or a tidying that nobody waits for */
    bool tidy;
    struct fs_publication publication; /* share, path and target point behind this */
};

struct fs_parked { /* a message whose signatures are being checked, or that comes behind such a one
                    */
    struct list link;
    struct kith_node_id peer;
    uint32_t disk;
    uint64_t token;
    bool verified;
    size_t len;
    uint8_t data[];
};

struct fs_dirty {
    struct fs_node *node;
    struct fs_known *before; /* what was shown; NULL: nothing */
    uint32_t conflicts_n;
};

struct fs_catalogue {
    struct catalogue_config config;
    struct slab slab; /* nodes, folders, versions, records, contents, counts of contents */
    struct fs_contents contents;
    struct rng rng;
    bool started;
    uint64_t now_ms, wall_ms;
    int error;

    struct fs_folder shares;
    struct mapid disk_map;
    struct mapid node_map;  /* the disk of a node that counts */
    struct fs_disk **disks; /* [0]: the folded one */
    uint32_t disks_n, disks_cap;
    struct fs_writer *writers; /* [0]: none */
    uint32_t writers_n, writers_cap;
    struct fs_disk *own;
    uint32_t hand; /* the disk number under which changes by name are made */
    struct fs_record **record_blocks;
    uint32_t record_blocks_n, record_blocks_cap;
    uint32_t record_free; /* the first of those that are free */
    uint64_t versions_n, records_n, nodes_n, bytes;
    uint64_t blobs_n; /* contents that versions name */

    /* of the step */
    struct fs_dirty *dirty;
    size_t dirty_n, dirty_cap;
    struct map64 removed; /* of dirty, by the link of the content that is not shown any more */
    struct fs_node **tidy;
    size_t tidy_n, tidy_cap;
    struct fs_node **prune;
    size_t prune_n, prune_cap;
    struct fs_blob **blobs_dirty;
    size_t blobs_dirty_n, blobs_dirty_cap;
    struct fs_known *dead;
    struct fs_known **sort; /* scratch of refreshing */
    size_t sort_cap;
    struct catalogue_action *actions;
    size_t actions_n, actions_cap;
    struct arena arena;
    struct buf scratch, body, names, folded;
    uint64_t lost_due_ms;

    struct fs_asides lost;

    /* own index */
    uint64_t token;
    uint64_t assigned; /* highest number given out */
    uint64_t last_moment;
    struct list batches;
    struct fs_batch *open; /* of this step */
    uint32_t storing_n;
    uint64_t renew_index, renew_highest; /* 0: none is wanted */
    uint64_t renewed_at_ms;
    bool renewing;
    struct list waiting;
    uint32_t waiting_n;
    bool waiting_due; /* a node is not busy any more */

    /* spread */
    struct fs_link links[FS_LINKS_MAX];
    uint32_t links_n, link_next;
    struct list wanting, announce;
    uint32_t pulls_n;
    uint64_t flush_at_ms, hash_at_ms, pull_at_ms, adopt_at_ms, sweep_at_ms;
    struct list parked;
    size_t parked_bytes;
    uint16_t *number_of; /* of disks and writers in the message that is made, by stamp */
    uint32_t *stamp_of;
    uint32_t stamp, stamps_n;

    struct catalogue_stats stats;
};

/* ---- catalogue.c ---- */

/* Grows an array to @n + 1 elements of @size. False if memory is short (core->error is set). */
bool fsc_grow(struct fs_catalogue *core, void *array, size_t *cap, size_t n, size_t size);
/* NULL if memory is short (core->error is set). Zeroed but for the type. */
struct catalogue_action *fsc_act(struct fs_catalogue *core, enum catalogue_action_type type);
/* A copy that lives for this step; NULL if memory is short. */
void *fsc_keep(struct fs_catalogue *core, const void *data, size_t len);
void fsc_send(struct fs_catalogue *core,
              const struct kith_node_id *peer,
              const void *data,
              size_t len);
void fsc_send_kept(struct fs_catalogue *core,
                   const struct kith_node_id *peer,
                   const void *data,
                   size_t len);
static inline uint64_t fsc_unix_s(const struct fs_catalogue *core)
{
    return core->wall_ms / 1000;
}
static inline struct kith_node_id fsc_node_of(const struct fs_catalogue *core, uint32_t disk)
{
    return core->writers[core->disks[disk]->writer].node;
}

/* ---- catalogue_memory.c ---- */

/* What links lead to. */
static inline struct fs_node *fsc_node(const struct fs_catalogue *core, struct fs_node_link link)
{
    return slab_at(&core->slab, link.at);
}
static inline struct fs_known *fsc_known(const struct fs_catalogue *core, struct fs_known_link link)
{
    return slab_at(&core->slab, link.at);
}
static inline struct fs_blob *fsc_blob(const struct fs_catalogue *core, struct fs_blob_link link)
{
    return fs_contents_blob(&core->contents, link);
}
static inline struct fs_node_link fsc_node_link(const struct fs_node *node)
{
    return (struct fs_node_link){slab_link(node)};
}
static inline struct fs_known_link fsc_known_link(const struct fs_known *known)
{
    return (struct fs_known_link){slab_link(known)};
}

static inline struct fs_node *fsc_parent(const struct fs_catalogue *core,
                                         const struct fs_node *node)
{
    return fsc_node(core, node->parent);
}
static inline struct fs_folder *fsc_folder(const struct fs_catalogue *core,
                                           const struct fs_node *node)
{
    return slab_at(&core->slab, node->folder.at);
}
static inline struct fs_node *fsc_left(const struct fs_catalogue *core, const struct fs_node *node)
{
    return fsc_node(core, node->left);
}
static inline struct fs_node *fsc_right(const struct fs_catalogue *core, const struct fs_node *node)
{
    return fsc_node(core, node->right);
}
/* Through the versions of a path, in the order of their list. */
static inline struct fs_known *fsc_versions(const struct fs_catalogue *core,
                                            const struct fs_node *node)
{
    return fsc_known(core, node->versions);
}
static inline struct fs_known *fsc_older(const struct fs_catalogue *core,
                                         const struct fs_known *known)
{
    return fsc_known(core, known->next);
}
static inline struct fs_node *fsc_known_node(const struct fs_catalogue *core,
                                             const struct fs_known *known)
{
    return fsc_node(core, known->node);
}
static inline struct fs_blob *fsc_blob_of(const struct fs_catalogue *core,
                                          const struct fs_known *known)
{
    return fsc_blob(core, known->blob);
}
static inline struct fs_tally *fsc_tally(const struct fs_catalogue *core,
                                         const struct fs_blob *blob)
{
    return slab_at(&core->slab, blob->of.tally.at);
}
/* Through the versions of a content. */
static inline struct fs_known *fsc_blob_first(const struct fs_catalogue *core,
                                              const struct fs_blob *blob)
{
    bool tallied = (blob->flags & FS_BLOB_TALLIED) != 0;
    return fsc_known(core, tallied ? fsc_tally(core, blob)->first : blob->of.first);
}
static inline struct fs_known *fsc_next_of_blob(const struct fs_catalogue *core,
                                                const struct fs_known *known)
{
    return fsc_known(core, known->of_blob);
}
/* The version that a record names, which is not GONE. */
static inline struct fs_known *fsc_named(const struct fs_catalogue *core,
                                         const struct fs_record *record)
{
    return fsc_known(core, record->of.known);
}

/* A record that is all zeros; 0 if memory is short or there are too many. */
uint32_t fsc_record_alloc(struct fs_catalogue *core);
void fsc_record_free(struct fs_catalogue *core, uint32_t ref);
/* @ref is not 0. */
static inline struct fs_record *fsc_at(const struct fs_catalogue *core, uint32_t ref)
{
    return &core->record_blocks[ref / FS_RECORDS_BLOCK][ref % FS_RECORDS_BLOCK];
}
/* NULL for 0. */
static inline struct fs_record *fsc_record(const struct fs_catalogue *core, uint32_t ref)
{
    return ref != 0 ? fsc_at(core, ref) : NULL;
}
/* Through the records of a path. */
static inline struct fs_record *fsc_first(const struct fs_catalogue *core,
                                          const struct fs_node *node)
{
    return fsc_record(core, node->records);
}
static inline struct fs_record *fsc_next(const struct fs_catalogue *core,
                                         const struct fs_record *record)
{
    return fsc_record(core, record->next);
}

/* ---- catalogue_tree.c ---- */

struct fs_node *fsc_child(const struct fs_catalogue *core,
                          const struct fs_folder *folder,
                          const char *name,
                          size_t len);
/* The first child that is greater than @name, or, if @with, not less. */
struct fs_node *fsc_child_after(const struct fs_catalogue *core,
                                const struct fs_folder *folder,
                                const char *name,
                                size_t len,
                                bool with);
/* In the treap of a folder. */
bool fsc_stands_above(const struct fs_catalogue *core,
                      const struct fs_node *above,
                      const struct fs_node *node);
/* NULL if there is none. */
struct fs_node *
fsc_find(const struct fs_catalogue *core, struct kith_bytes share, struct kith_bytes path);
/* Makes it and the folders above it. NULL: memory. What stays empty goes at the next step. */
struct fs_node *
fsc_make(struct fs_catalogue *core, struct kith_bytes share, struct kith_bytes path);
void fsc_prune_later(struct fs_catalogue *core, struct fs_node *node);
void fsc_prune(struct fs_catalogue *core);
/* What it is counted as in all folders above. */
struct fs_counted {
    bool shown, file, conflicted;
    uint64_t bytes;
};
void fsc_count(struct fs_catalogue *core,
               struct fs_node *node,
               const struct fs_counted *is,
               uint64_t was_bytes);
/* Writes the path within the share, with a NUL; gives its length. @out has FS_PATH_BYTES_MAX + 1.
 */
size_t fsc_path(const struct fs_catalogue *core, const struct fs_node *node, char *out);
const struct fs_node *fsc_share(const struct fs_catalogue *core, const struct fs_node *node);

/* ---- catalogue_known.c ---- */

/* NULL: the limit, or memory. */
struct fs_disk *fsc_disk(struct fs_catalogue *core, const struct fs_disk_id *id);
struct fs_disk *fsc_disk_find(const struct fs_catalogue *core, const struct fs_disk_id *id);
/* 0: the limit, or memory. */
uint32_t fsc_writer(struct fs_catalogue *core, const struct fs_author *author);
/* Whether the key is the node's. */
bool fsc_author_fits(const struct fs_author *author);
struct fs_known *
fsc_known_find(const struct fs_catalogue *core, const struct fs_node *node, uint64_t id);
/* A new one, which nothing points to yet and that is not in its node's list. NULL: memory or limit.
 */
struct fs_known *fsc_known_new(struct fs_catalogue *core,
                               struct fs_node *node,
                               const struct fs_version *version,
                               uint64_t id);
void fsc_known_list(struct fs_catalogue *core, struct fs_known *known);
/* No version of its path any more, until a record names it again; its node is dirty. */
void fsc_known_unlist(struct fs_catalogue *core, struct fs_known *known);
void fsc_known_unref(struct fs_catalogue *core, struct fs_known *known);
/* Frees what nothing points to any more. */
void fsc_dead_free(struct fs_catalogue *core);
void fsc_known_expand(const struct fs_catalogue *core,
                      const struct fs_known *known,
                      struct fs_version *version_out);
/* As those of version.h. */
bool fsc_before(const struct fs_catalogue *core,
                const struct fs_known *a,
                const struct fs_known *b);
bool fsc_same(const struct fs_known *a, const struct fs_known *b);
int fsc_order(const struct fs_catalogue *core, const struct fs_known *a, const struct fs_known *b);
uint64_t fsc_counter_of(const struct fs_known *known, uint32_t disk);
/* The id of @version; its signed bytes are in core->scratch. 0: memory. */
uint64_t
fsc_id_of(struct fs_catalogue *core, const struct fs_node *node, const struct fs_version *version);
static inline struct fs_blob *fsc_blob_find(const struct fs_catalogue *core,
                                            const uint8_t root[FS_ROOT_BYTES])
{
    return fs_contents_find(&core->contents, root);
}
void fsc_blob_dirty(struct fs_catalogue *core, struct fs_blob *blob);

/* ---- catalogue_tally.c ---- */

/* A version of the content has come or gone: counts begin with the 17th and end with the 7th. */
void fsc_tally_fit(struct fs_catalogue *core, struct fs_blob *blob);
void fsc_tally_free(struct fs_catalogue *core, struct fs_blob *blob);
/* A record that is not LOST names the version, or does not any more. */
void fsc_tally_record(struct fs_catalogue *core,
                      const struct fs_known *known,
                      const struct fs_record *record,
                      bool there);
/* The version is one of its path and no history, or not any more. */
void fsc_tally_live(struct fs_catalogue *core, const struct fs_known *known, bool live);
/* Asserts that they are what the versions say. */
void fsc_tally_check(const struct fs_catalogue *core, const struct fs_blob *blob);

/* ---- catalogue_records.c ---- */

static inline struct fs_node *fsc_record_node(const struct fs_catalogue *core,
                                              const struct fs_record *record)
{
    bool gone = (record->flags & FS_RECORD_GONE) != 0;
    return fsc_node(core, gone ? record->of.node : fsc_named(core, record)->node);
}
/* The record of a line; LOST ones are none. 0: there is none. */
uint32_t fsc_record_find(const struct fs_catalogue *core,
                         const struct fs_node *node,
                         uint32_t disk,
                         uint8_t line);
/* As the newest of the disk (@number above all); replaces what is there of the line. @known NULL:
 * GONE. False: memory or limit, nothing is changed. */
bool fsc_record_put(struct fs_catalogue *core,
                    struct fs_disk *disk,
                    struct fs_node *node,
                    struct fs_known *known,
                    uint64_t number,
                    uint8_t flags,
                    uint8_t line);
/* Makes all records of the disk stale: a new pass begins. */
bool fsc_pass_begin(struct fs_catalogue *core, struct fs_disk *disk);
/* What is stale by now is of no index any more. */
void fsc_pass_end(struct fs_catalogue *core, struct fs_disk *disk);
struct fs_wire_record;
/* Of RECALL: a record that is in no index yet. @known NULL: GONE. */
bool fsc_record_aside(struct fs_catalogue *core,
                      struct fs_disk *disk,
                      struct fs_node *node,
                      struct fs_known *known,
                      const struct fs_wire_record *wire,
                      uint32_t pass);
/* Such a one goes to where it belongs, or as if it had never been. In the order of their numbers.
 */
bool fsc_record_settle(struct fs_catalogue *core,
                       struct fs_disk *disk,
                       uint32_t ref,
                       uint32_t pass);
void fsc_record_forget(struct fs_catalogue *core, uint32_t ref);
void fsc_lost_drop(struct fs_catalogue *core, uint32_t ref);
uint64_t fsc_record_sum(const struct fs_catalogue *core, const struct fs_record *record);
void fsc_touch(struct fs_catalogue *core, struct fs_node *node);
/* Finds out anew what is current in all that was touched, and tells what changed. */
void fsc_refresh(struct fs_catalogue *core);
void fsc_tidy_later(struct fs_catalogue *core, struct fs_node *node);
bool fsc_deleted_long_ago(const struct fs_catalogue *core,
                          const struct fs_known *known,
                          uint64_t less_ms);
/* Old GONE records, old deletions. */
void fsc_sweep(struct fs_catalogue *core);
static inline struct fs_known *fsc_current(const struct fs_catalogue *core,
                                           const struct fs_node *node)
{
    struct fs_known *first = fsc_versions(core, node);
    bool shown = first != NULL && (first->flags & FS_KNOWN_SHOWN) != 0;
    return shown && first->kind != FS_DELETED ? first : NULL;
}

/* ---- catalogue_own.c ---- */

bool fsc_own_add(struct fs_catalogue *core, const struct fs_own *op);
/* What the step has gathered goes to be signed or stored. */
void fsc_own_submit(struct fs_catalogue *core);
void fsc_own_signed(struct fs_catalogue *core, const struct catalogue_event *event);
void fsc_own_stored(struct fs_catalogue *core, const struct catalogue_event *event);
void fsc_own_start(struct fs_catalogue *core);
void fsc_own_free(struct fs_catalogue *core);
/* Others have an index of this disk that this is not the continuation of. */
void fsc_renew(struct fs_catalogue *core, uint64_t index_id, uint64_t highest);
void fsc_published(struct fs_catalogue *core, uint64_t id, int code, uint64_t version_id);
/* What the own records of a path should be, beside what was published. */
void fsc_tidy(struct fs_catalogue *core, struct fs_node *node, struct fs_ticket *ticket);
void fsc_tidy_all(struct fs_catalogue *core);
void fsc_ticket_done(struct fs_catalogue *core, struct fs_ticket *ticket, int code);

/* ---- catalogue_publish.c ---- */

void fsc_publish(struct fs_catalogue *core, const struct fs_publication *publication);
void fsc_hold(struct fs_catalogue *core, const struct fs_holding *holding);
/* Begins what waited for nodes that are not busy any more. */
void fsc_waiting_run(struct fs_catalogue *core);
bool fsc_wait(struct fs_catalogue *core,
              struct fs_node *node,
              const struct fs_publication *publication,
              struct fs_ticket *ticket);

/* ---- catalogue_wire.c ---- */

enum fs_message {
    FS_MSG_HEADS = 1,
    FS_MSG_HASH = 2,
    FS_MSG_PULL = 3,
    FS_MSG_RECORDS = 4,
    FS_MSG_NONE = 5,
};
#define FS_MESSAGE_FILL_BYTES (48 * 1024)

/* Records are gathered in core->body with the tables of disks and writers that they name. */
struct fs_pack {
    struct fs_catalogue *core;
    struct buf *body;
    uint32_t *disks; /* by number in this pack */
    uint32_t disks_n, disks_cap;
    uint32_t *writers;
    uint32_t writers_n, writers_cap;
    int error;
};
void fsc_pack_begin(struct fs_catalogue *core, struct fs_pack *pack);
void fsc_pack_record(struct fs_pack *pack, const struct fs_record *record);
size_t fsc_pack_bytes(const struct fs_pack *pack);
/* Appends tables and records. 0 or KITH_E_MEMORY. */
int fsc_pack_end(struct fs_pack *pack, struct buf *out);

struct fs_unpack {
    struct reader *r;
    const uint8_t *ids;
    uint32_t ids_n;
    const uint8_t *writers;
    uint32_t writers_n;
};
struct fs_wire_record {
    uint64_t number;
    uint8_t flags;
    uint8_t line;
    struct kith_bytes share, path;
    struct fs_version version; /* unless GONE */
};
bool fsc_unpack_begin(struct fs_unpack *unpack, struct reader *r);
/* False at the end, and if it is no good (r->bad). */
bool fsc_unpack_record(struct fs_unpack *unpack, struct fs_wire_record *record_out);

int fsc_head_append(struct buf *out, const struct fs_head *head);
bool fsc_head_read(struct reader *r, struct fs_head *head_out);
struct fs_head fsc_head_of(const struct fs_catalogue *core, const struct fs_disk *disk);
int fsc_append_le(struct buf *out, uint64_t value, size_t bytes);

/* ---- catalogue_spread.c ---- */

int fsc_receive(struct fs_catalogue *core, const struct kith_node_id *peer, struct kith_bytes data);
void fsc_link_up(struct fs_catalogue *core, const struct kith_node_id *peer);
void fsc_link_down(struct fs_catalogue *core, const struct kith_node_id *peer);
/* The own index has grown from @from on. */
void fsc_push_own(struct fs_catalogue *core, uint64_t from);
void fsc_announce(struct fs_catalogue *core, struct fs_disk *disk);
void fsc_flush(struct fs_catalogue *core);
void fsc_hash_next(struct fs_catalogue *core);
void fsc_pulls_run(struct fs_catalogue *core);
uint64_t fsc_hash(const struct fs_catalogue *core);
void fsc_own_head(struct fs_catalogue *core,
                  const struct fs_head *head,
                  const struct kith_node_id *peer);
/* NULL: *code_out, or the limit. */
struct fs_disk *
fsc_disk_of_head(struct fs_catalogue *core, const struct fs_head *head, int *code_out);
/* It was forgotten, and this is nothing new of it. */
bool fsc_is_barred(const struct fs_catalogue *core,
                   const struct fs_disk *disk,
                   const struct fs_head *head,
                   const struct kith_node_id *peer);
bool fsc_is_beyond(uint64_t index_id, uint64_t highest, const struct fs_disk *disk);
bool fsc_is_of(const struct fs_catalogue *core,
               const struct fs_disk *disk,
               const struct kith_node_id *peer);
bool fsc_gives_way(const struct fs_catalogue *core,
                   const struct fs_disk *disk,
                   const struct fs_head *head,
                   const struct kith_node_id *peer);
void fsc_want(struct fs_catalogue *core,
              struct fs_disk *disk,
              const struct kith_node_id *peer,
              const struct fs_head *head);
void fsc_repull(struct fs_catalogue *core,
                struct fs_disk *disk,
                const struct kith_node_id *peer,
                const struct fs_head *head);
void fsc_send_head(struct fs_catalogue *core,
                   const struct kith_node_id *peer,
                   const struct fs_disk *disk);
void fsc_pull_end(struct fs_catalogue *core, struct fs_disk *disk);
void fsc_source_remove(struct fs_catalogue *core,
                       struct fs_disk *disk,
                       const struct kith_node_id *peer);

/* ---- catalogue_disks.c ---- */

void fsc_forget(struct fs_catalogue *core, const struct kith_node_id *node);
/* The node that the head names has a later disk. */
bool fsc_is_superseded(struct fs_catalogue *core, struct fs_disk *disk, const struct fs_head *head);
/* All of the disk's index is here: it is its node's, or the later one is. */
void fsc_supersede(struct fs_catalogue *core, struct fs_disk *disk);

/* ---- catalogue_receive.c ---- */

enum fs_records_flags {
    FS_RECORDS_LAST = 1, /* of the answer to a PULL */
};
int fsc_on_records(struct fs_catalogue *core,
                   const struct kith_node_id *peer,
                   struct kith_bytes data);
void fsc_verified(struct fs_catalogue *core, const struct catalogue_event *event);
void fsc_parked_free(struct fs_catalogue *core);

/* ---- catalogue_store.c ---- */

void fsc_persist_record(struct fs_catalogue *core, const struct fs_record *record, uint32_t pass);
void fsc_persist_drop(struct fs_catalogue *core, uint32_t disk, uint32_t pass, uint64_t number);
void fsc_persist_head(struct fs_catalogue *core, const struct fs_disk *disk, uint64_t highest);
int fsc_recall(struct fs_catalogue *core, struct kith_bytes key, struct kith_bytes data);
void fsc_recall_end(struct fs_catalogue *core);

#endif
