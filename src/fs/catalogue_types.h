/*
 * What the catalogue knows, in memory; the functions are in catalogue_internal.h.
 *
 * Memory is what a million paths make it: a node of a path (30 bytes and its name), a version (124
 * and 8 for each disk of its vector), a content (52, and 2 to 4 to find it), and for each disk that
 * has it a record (20) in a slot (4). So one names the other by links of 32 bits (core/slab.h), and
 * fields have the bits that their limits need. A link is followed by fsc_...(core, what has it),
 * which gives NULL where there is none.
 */
#ifndef FS_CATALOGUE_TYPES_H
#define FS_CATALOGUE_TYPES_H

#include <assert.h>

#include "core/arena.h"
#include "core/list.h"
#include "core/map.h"
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

#endif
