/*
 * The file catalogue: what every node knows of all paths of all shares. A pure machine as the other
 * cores: events in, actions out. docs/protocols/fs.md has the words (version, record, index,
 * current) and the rules.
 *
 * Local changes come in as publications: a version is made (vector, moment), signed (SIGN, on a
 * worker), stored (PERSIST, SYNC), and then announced, shown and acknowledged (PUBLISHED), in this
 * order. What other disks say comes in by links: their indexes are pulled, versions that come from
 * another than their author are checked first (VERIFY, on a worker). Whatever changes under a path
 * is told to watchers (CHANGED).
 *
 * What it leaves out: the bytes of files, and folders (fs/local.h tells what is in them).
 */
#ifndef FS_CATALOGUE_H
#define FS_CATALOGUE_H

#include "core/bytes.h"
#include "fs/name.h"
#include "fs/version.h"

struct fs_catalogue;
/* A version as the catalogue holds it. */
struct fs_contents;
struct fs_known;

/* Zero fields take the default. */
struct catalogue_config {
    struct fs_author self; /* this disk, node and public key */
    uint64_t seed;
    uint32_t flush_ms;    /* 10: what others said is passed on after */
    uint32_t hash_ms;     /* 10,000: between comparisons with a neighbour */
    uint32_t pull_ms;     /* 3,000: then another neighbour is asked */
    uint32_t adopt_ms;    /* 5,000: at most, until a version that nobody names is taken over */
    uint64_t deleted_ms;  /* 180 days: deletions are kept */
    uint64_t gone_ms;     /* 30 days: records that say nothing any more are kept */
    uint32_t again_ms;    /* 60,000: between two whole pulls of one index, two new own indexes */
    uint32_t records_max; /* FS_RECORDS_MAX */
    uint32_t disks_max;   /* FS_DISKS_MAX */
    uint8_t replicas;     /* 3: copies wanted where a share says nothing */
};

/* ---- local changes ---- */

enum fs_change {
    /* There is a new version: kind, mode, mtime, content or target. Where it says what the path has
     * already, nothing new is made, and an equal version of another disk is taken (TAKE). */
    FS_PUT = 1,
    /* The path is deleted. KITH_E_NOT_FOUND if there is nothing to delete on @basis. */
    FS_DELETE = 2,
    /* This disk has the version @version_id of the path now, at @place (a folder that is kept in
     * step was written). KITH_E_NOT_FOUND. */
    FS_TAKE = 3,
    /* This disk has nothing of the path in a folder any more, and that is no deletion (the share is
     * not shared here any more). What it alone knew stays known. */
    FS_RELEASE = 4,
    /* The version @version_id stands for all concurrent ones from now on: a version with its
     * content that has seen all. KITH_E_NOT_FOUND. */
    FS_RESOLVE = 5,
};

/* What a new version has seen, beside this disk's former versions of the path. */
enum fs_basis {
    FS_ON_OWN = 0,     /* what this disk's record says: for what a folder shows */
    FS_ON_CURRENT = 1, /* what is shown under the path: for what is changed by its name */
    FS_ON_ALL = 2,     /* conflicts too, which end by it */
};

/* Where this disk has the content. */
enum fs_place {
    FS_NOWHERE = 0,
    FS_IN_FOLDER = 1,
    FS_IN_KEEP = 2,
    FS_IN_BOTH = 3,
};

/* Borrowed for the step. */
struct fs_publication {
    uint64_t id;    /* given back by PUBLISHED */
    uint8_t change; /* enum fs_change */
    uint8_t basis;  /* enum fs_basis */
    uint8_t place;  /* enum fs_place: of PUT, TAKE, RESOLVE */
    uint8_t kind;   /* of PUT: enum fs_kind, not FS_DELETED */
    uint8_t replicas;
    const char *share;
    uint32_t share_len;
    uint32_t path_len;
    const char *path;
    uint32_t mode;
    uint32_t target_len;
    const char *target;
    int64_t mtime_ns;
    struct content content; /* of a FS_FILE */
    uint64_t version_id;
    uint64_t
        only_if; /* what is shown under the path must be this version; else KITH_E_FENCE. 0: any */
};
/* For only_if: nothing is shown. */
#define FS_ONLY_IF_ABSENT UINT64_MAX

/* The keep has a content now, or not any more: all records of this disk that name it say so. */
struct fs_holding {
    uint64_t id; /* given back by PUBLISHED; by then it is stored and announced */
    uint8_t root[FS_ROOT_BYTES];
    bool held;
};

/* ---- steps ---- */

enum catalogue_event_type {
    CATALOGUE_RECALL,    /* key, data: what PERSIST gave, in any order, before START */
    CATALOGUE_START,     /* once */
    CATALOGUE_TICK,      /* the deadline has come */
    CATALOGUE_PUBLISH,   /* publications, n */
    CATALOGUE_HOLD,      /* holdings, n */
    CATALOGUE_LINK_UP,   /* peer: frames can be sent to it */
    CATALOGUE_LINK_DOWN, /* peer */
    CATALOGUE_RECV,      /* peer, data: the body of a FRAME_FS; borrowed */
    CATALOGUE_SIGNED,    /* token, data: n * FS_SIGNATURE_BYTES; code, if it could not be done */
    CATALOGUE_VERIFIED,  /* token, code: 0 if every check of it was good */
    CATALOGUE_STORED,    /* token: all that was persisted up to this SYNC is durable; code: never (a
                            full    disk): what waits for it fails by that code */
    CATALOGUE_FORGET, /* peer: the disks of this node are gone for good; what they named stays known
                       */
};

struct catalogue_event {
    enum catalogue_event_type type;
    int code;
    uint64_t now_ms;  /* CLOCK_BOOTTIME */
    uint64_t wall_ms; /* CLOCK_REALTIME; may jump */
    struct kith_node_id peer;
    uint64_t token;
    struct kith_bytes key;
    struct kith_bytes data;
    const struct fs_publication *publications;
    const struct fs_holding *holdings;
    size_t n;
};

enum catalogue_action_type {
    CATALOGUE_SEND,    /* peer, data: body of a FRAME_FS; may be lost */
    CATALOGUE_PERSIST, /* key, data: keep it; data.data NULL: drop it. Must become durable in the
                          order of the actions, but lazily, unless a SYNC follows */
    CATALOGUE_SYNC, /* token: STORED is owed when all before is durable, in the order of the tokens
                     */
    CATALOGUE_SIGN, /* token, checks, n: sign each data with the node's key; SIGNED is owed */
    CATALOGUE_VERIFY,    /* token, checks, n: VERIFIED is owed */
    CATALOGUE_PUBLISHED, /* id, code, text, version_id: of a publication or holding */
    CATALOGUE_CHANGED,   /* change: what is shown under a path is another version; not for RECALL */
    CATALOGUE_CONTENT,   /* content: who holds it, or whether it is named, is other than it was */
    CATALOGUE_FORGED,  /* peer, disk: a version in what it sent of that index has a wrong signature;
                          nothing of it was taken */
    CATALOGUE_RENEWED, /* others know more of the own index than this disk (a restored image): a new
                          one was begun. To be logged */
};

enum catalogue_what {
    FS_CREATED = 1,
    FS_MODIFIED = 2,
    FS_ATTRIBUTES = 3, /* the same content: mode or time */
    FS_RENAMED = 4,    /* from_path is gone; the same content is at path */
    FS_REMOVED = 5,
    FS_CONFLICTED = 6, /* what is shown stays; another version stands beside it: after */
    FS_RESOLVED = 7,   /* what is shown stays; no other stands beside it any more */
};

struct catalogue_change {
    enum catalogue_what what;
    const char *share; /* these three end with a NUL */
    const char *path;
    const char *from_path;         /* RENAMED */
    const struct fs_known *before; /* NULL: there was none */
    const struct fs_known *after;  /* REMOVED: the deletion; NULL: it is not known any more */
};

/* Of SIGN and VERIFY. */
struct catalogue_check {
    struct kith_bytes data;
    const uint8_t *signature; /* VERIFY */
    const uint8_t *key;       /* VERIFY: Ed25519 */
};

/* Borrowed until the next step. */
struct catalogue_action {
    enum catalogue_action_type type;
    int code;
    struct kith_node_id peer;
    struct fs_disk_id disk;
    uint64_t token;
    uint64_t id;
    uint64_t version_id;
    struct kith_bytes key;
    struct kith_bytes data;
    const struct catalogue_check *checks;
    size_t n;
    const char *text; /* the sentence of a code; "" */
    struct catalogue_change change;
    struct content content;
};

struct catalogue_output {
    const struct catalogue_action *actions;
    size_t actions_n;
};

/* 0, KITH_E_MEMORY. */
int fs_catalogue_new(struct fs_catalogue **core_out, const struct catalogue_config *config);
void fs_catalogue_free(struct fs_catalogue *core); /* NULL is fine */

/* Persisted keys begin with these two bytes; none is longer than CATALOGUE_KEY_BYTES_MAX. */
#define CATALOGUE_KEY_PREFIX     "fc"
#define CATALOGUE_KEY_PREFIX_LEN 2
#define CATALOGUE_KEY_BYTES_MAX  32

/*
 * One event. 0; KITH_E_CORRUPT for a message or stored entry that does not decode (counted; nothing
 * of it was taken); KITH_E_MEMORY, with what could still be done in @out. @out is valid whatever is
 * returned. What a publication came to is its PUBLISHED.
 *
 * Codes of PUBLISHED: KITH_E_NAME (share or path), KITH_E_INVALID (a field), KITH_E_NOT_FOUND,
 * KITH_E_FENCE (only_if), KITH_E_LIMIT (the catalogue is full), KITH_E_BUSY (too many wait),
 * KITH_E_MEMORY, and what SIGNED and STORED said.
 */
int fs_catalogue_step(struct fs_catalogue *core,
                      const struct catalogue_event *event,
                      struct catalogue_output *out);
/* When TICK is due; UINT64_MAX if never. */
uint64_t fs_catalogue_deadline_ms(const struct fs_catalogue *core);

/* ---- reading; what is given is borrowed until the next step ---- */

struct fs_entry {
    const char *name; /* the last part, with a NUL; of a conflict the name that is made for it */
    uint32_t name_len;
    uint8_t kind;  /* of a path that has entries beneath it and no version: FS_DIRECTORY */
    uint8_t own;   /* enum fs_place of this disk's copy of this version's content */
    bool own_main; /* this disk's folder (or its last publication) has this very version */
    bool is_conflict;
    bool is_history;      /* of fs_catalogue_versions() */
    uint32_t conflicts_n; /* versions shown beside this one; 0 of a conflict */
    uint32_t holders_n;   /* nodes that hold the content; 0 of what has none */
    uint32_t mode;
    int64_t mtime_ns;
    uint64_t size;    /* of a directory: of all beneath it */
    uint64_t below_n; /* of a directory: files and symlinks beneath it */
    uint64_t moment;
    uint64_t version_id;          /* 0 if there is no version */
    const struct fs_known *known; /* NULL if there is no version */
    bool has_content;             /* FS_FILE */
    struct content content;
};

/* Everything about a version (its bytes are large: for one, not for lists). The target borrows. */
void fs_known_version(const struct fs_catalogue *core,
                      const struct fs_known *known,
                      struct fs_version *version_out);

/* The content of a version; false if it has none, or @known is NULL. */
bool fs_known_has(const struct fs_catalogue *core,
                  const struct fs_known *known,
                  struct content *content_out);

/*
 * What is shown under a path: its current version, or, by the name that is made for it, a conflict.
 * 0; KITH_E_NOT_FOUND (deleted, too). @share of length 0 is the folder of all shares.
 */
int fs_catalogue_stat(struct fs_catalogue *core,
                      struct kith_bytes share,
                      struct kith_bytes path,
                      struct fs_entry *entry_out);
/* What @node's disk says of the path (`path@NODE`); of several of its disks the latest. */
int fs_catalogue_stat_at(const struct fs_catalogue *core,
                         struct kith_bytes share,
                         struct kith_bytes path,
                         const struct kith_node_id *node,
                         struct fs_entry *entry_out);

/*
 * All that disks say of a path, deletions too: the current one first, then those beside it
 * (is_conflict), then history that some disk still has. Gives how many there are; fills up to @max.
 */
size_t fs_catalogue_versions(const struct fs_catalogue *core,
                             struct kith_bytes share,
                             struct kith_bytes path,
                             struct fs_entry *entries_out,
                             size_t max);

/* Where a listing stands; {0} is its beginning. Stays good whatever happens between two pages. */
struct fs_listing {
    char after[FS_SHARE_BYTES_MAX + 1 + FS_PATH_BYTES_MAX + 1];
    uint32_t after_len;
    uint32_t conflict; /* of after: so many conflicts have been given */
    bool begun;
    bool ended;
};
/*
 * The next up to @max entries of a folder, in the order of their names' bytes, conflicts behind
 * what they conflict with. Names that need room (conflicts') come from a buffer of the core, so
 * what is given is good until the next call as well. 0 and *@n_out (0: that was all);
 * KITH_E_NOT_FOUND.
 */
int fs_catalogue_list(struct fs_catalogue *core,
                      struct kith_bytes share,
                      struct kith_bytes path,
                      struct fs_listing *at,
                      struct fs_entry *entries_out,
                      size_t max,
                      size_t *n_out);

enum fs_walk_flags {
    FS_WALK_CONFLICTED = 1 << 0, /* only paths with conflicts */
    FS_WALK_DELETED = 1 << 1,    /* deleted ones too */
    FS_WALK_OWN = 1 << 2,        /* only what this disk has a main record of */
    FS_WALK_GONE = 1 << 3,       /* only deleted ones */
    FS_WALK_ANY_CASE = 1 << 4,   /* names are folded first, as the pattern is: fs_name_fold() */
};
struct fs_walk {
    struct kith_bytes share, path;
    const char *pattern; /* fs_name_match(); NULL: all */
    unsigned flags;      /* enum fs_walk_flags */
};
struct fs_walked {
    const char *share; /* with a NUL */
    const char *path;  /* within the share, with a NUL */
    uint32_t path_len;
    struct fs_entry entry;
};
/*
 * The next up to @max entries of a folder and beneath it, at any depth, in the order of
 * fs_path_compare(), whose names fit. Conflicts are counted in their entries, not given. Looks at a
 * bounded number of entries at a time: it is over when @at->ended, not when *@n_out is 0. As
 * fs_catalogue_list() otherwise.
 */
int fs_catalogue_walk(struct fs_catalogue *core,
                      const struct fs_walk *asked,
                      struct fs_listing *at,
                      struct fs_walked *walked_out,
                      size_t max,
                      size_t *n_out);

/* ---- contents ---- */

struct fs_content_facts {
    struct content content;
    uint8_t copies;   /* wanted: the most of the shares that name it; 0: it is not live */
    bool live;        /* a version that is not history names it */
    uint8_t own;      /* enum fs_place */
    size_t holders_n; /* other nodes that say they hold it, all of them */
    size_t looked_n;  /* what it took: records, or counts, that were looked at */
};
/* Fills up to @max holders (the node itself is none of them). 0; KITH_E_NOT_FOUND: no record names
 * it. */
int fs_catalogue_content(const struct fs_catalogue *core,
                         const uint8_t root[FS_ROOT_BYTES],
                         struct fs_content_facts *facts_out,
                         struct kith_node_id *holders_out,
                         size_t max);
/* The same of the content of an entry that was just looked up (its @known), without a search. */
int fs_known_content(const struct fs_catalogue *core,
                     const struct fs_known *known,
                     struct fs_content_facts *facts_out,
                     struct kith_node_id *holders_out,
                     size_t max);
/*
 * The @nth path, from 0, of which this disk says that its folder has the content: share and path
 * are appended with a NUL each. False behind the last, and if memory is short.
 */
bool fs_catalogue_content_own(const struct fs_catalogue *core,
                              const uint8_t root[FS_ROOT_BYTES],
                              size_t nth,
                              struct buf *share_out,
                              struct buf *path_out);
/*
 * Another content that this disk holds of a path that names @content, in chunks of the same size:
 * much of it may be the same. Of several the one of the latest version. False: there is none.
 */
bool fs_catalogue_content_before(const struct fs_catalogue *core,
                                 const struct content *content,
                                 struct content *before_out);
/*
 * Who holds such a one, as fs_catalogue_content() says who holds the content: up to @max nodes,
 * *@n_out of all, and *@self_out: this disk does.
 */
int fs_catalogue_content_near(const struct fs_catalogue *core,
                              const struct content *content,
                              struct kith_node_id *nodes_out,
                              size_t max,
                              size_t *n_out,
                              bool *self_out);
/* All contents by turns: `uint64_t at = 0; while (fs_catalogue_content_next(core, &at, &content))`.
 * What comes or goes meanwhile may be missed or come twice. */
bool fs_catalogue_content_next(const struct fs_catalogue *core,
                               uint64_t *at,
                               struct content *content_out);
/* The @nth path, from 0, under which the content is shown, as fs_catalogue_content_own(). */
bool fs_catalogue_content_shown(const struct fs_catalogue *core,
                                const uint8_t root[FS_ROOT_BYTES],
                                size_t nth,
                                struct buf *share_out,
                                struct buf *path_out);
/* A path that names a content, for people ("SHARE/path" into @out); false if there is none. */
bool fs_catalogue_content_path(const struct fs_catalogue *core,
                               const uint8_t root[FS_ROOT_BYTES],
                               struct buf *out);

/* All contents that are known, for the machines of the folders (local_config), which are freed
 * before the catalogue. */
struct fs_contents *fs_catalogue_contents(struct fs_catalogue *core);

/* ---- looking after it ---- */

struct catalogue_stats {
    uint64_t paths, versions, records, contents, disks, deleted, conflicts, lost; /* now */
    uint64_t bytes; /* of memory, by count */
    uint64_t own_highest, own_index;
    uint64_t published, records_in, records_new, messages_in, messages_out, bytes_in, bytes_out;
    uint64_t pulls, pulls_whole, renewals, adopted, forged, bad_messages, refused_limit;
    uint64_t waiting; /* publications that are not acknowledged yet */
};
void fs_catalogue_stats(const struct fs_catalogue *core, struct catalogue_stats *stats_out);
/* The same at two nodes that know the same of all disks. */
uint64_t fs_catalogue_digest(const struct fs_catalogue *core);
/* Asserts the invariants. */
void fs_catalogue_check(const struct fs_catalogue *core);

#endif
