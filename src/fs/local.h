/*
 * The machine of one folder: what is in it, and what of that is to be published. Pure: it is told
 * what a watcher and a scanner saw, says which names to look at and which files to read, and
 * publishes when it is sure. docs/protocols/fs.md, "Folders".
 *
 * - A *touch* says that something happened to a name, nothing more; touches may be lost, doubled
 *   or out of order. A name that was touched is looked at (LOOK) when it has been quiet for
 *   LOCAL_SETTLE_MS, a little later only when it was known before and its writer has closed it
 * (LOCAL_CLOSED_MS), and at the latest LOCAL_SETTLE_MAX_MS after the first touch. So half-written
 * files, editors that replace by rename, and rapid rewrites are one change.
 * - What looks other than what is known is read (HASH). What was read is published if it looked
 *   the same before and after; else it goes on settling, longer each time.
 * - A *scan* tells everything beneath a directory. What it did not see is looked at by itself
 *   before it counts as gone. Scans are the net: at the start, after an overflow, every
 *   `rescan_ms`, and where a directory appears.
 * - A *rename* is: same inode, other name, same size and times. It is not read again.
 * - What is known of each file (inode, size, times, content) is kept (PERSIST), so that a restart
 *   reads nothing that did not change, unless it was changed in the tick in which it was read.
 *
 * Nothing that is missing is a deletion before these questions are answered:
 * - Is the folder the directory that was recorded? Missing, or another: it is AWAY.
 * - Is it empty? AWAY, too, even if its last file was seen to go.
 * - Are more than 25 % of its entries and at least 20 gone? HELD: deletions wait for CONFIRM.
 * - Could it be looked into? A directory that cannot be read, or over which something is mounted,
 *   keeps what it had.
 * Away and held end by themselves when the files are back.
 *
 * Tracking (config.tracks) is the same without a catalogue: what would be published is told to a
 * program. So nobody is asked, nothing is ignored, names stay as they are in the file system, and
 * what counts is what is at the folder's path. If that is missing (AWAY), or is another directory,
 * all that is not there any more is deleted. What the first scan sees does not settle: it is not
 * told, only what is other than it.
 *
 * What it leaves out: reading files, and the catalogue's versions (node).
 */
#ifndef FS_LOCAL_H
#define FS_LOCAL_H

#include "core/bytes.h"
#include "fs/content.h"
#include "fs/stat.h"

struct fs_contents;
struct local_core;

#define LOCAL_SETTLE_MS       300   /* quiet for so long */
#define LOCAL_CLOSED_MS       30    /* after its writer closed it */
#define LOCAL_SETTLE_MAX_MS   10000 /* after the first touch; also the longest a busy file waits */
#define LOCAL_RESCAN_MS       (30 * 60 * 1000) /* with a watcher */
#define LOCAL_RESCAN_BLIND_MS (60 * 1000)      /* without */
#define LOCAL_AWAY_MS         5000             /* how often a folder that is away is looked for */
#define LOCAL_RETRY_MS        10000            /* after a publication or a read that failed */
/* A file of this size that is renamed is not read before that is published, but afterwards. */
#define LOCAL_TRUST_BYTES (64ull * 1024 * 1024)
/* The guard: so many at least, and more than so many of hundred, within so long. */
#define LOCAL_GONE_MIN       20
#define LOCAL_GONE_PERCENT   25
#define LOCAL_GONE_WINDOW_MS 60000

/* Zero fields take the default. */
struct local_config {
    uint64_t folder;   /* tells folders apart in the store; never used again for another */
    const char *share; /* for sentences; copied */
    uint32_t settle_ms, closed_ms, settle_max_ms, rescan_ms, away_ms, retry_ms;
    bool blind;     /* there is no watcher: scans alone */
    bool tracks;    /* a program is told, and nothing published: see Tracking above */
    bool one_level; /* what lies in the folder's directories does not count */
    uint32_t hashes_max, looks_max, publishing_max; /* FS_LOCAL_* */
    uint32_t entries_max;                           /* FS_LOCAL_ENTRIES_MAX */
    /* Borrowed: those of the catalogue, which has what is published too. NULL: its own. */
    struct fs_contents *contents;
};

/* ---- events ---- */

enum local_event_type {
    LOCAL_RECALL,  /* key, data: what PERSIST gave, in any order, before START */
    LOCAL_OWNED,   /* name (a path of the catalogue), before (kind, mode, mtime_ns), content: by the
                      catalogue this folder has it. All of them, after RECALL and before START: what
                      differs from what was kept is published anew, or found to be gone */
    LOCAL_START,   /* once */
    LOCAL_TICK,    /* the deadline has come */
    LOCAL_TOUCHED, /* name, touch */
    LOCAL_OVERFLOW, /* touches were lost */
    LOCAL_BLIND,   /* blind: whether there is no watcher (the limit of watches, say), from now on */
    LOCAL_SEEN,    /* token, seen[n]: of the scan that is under way */
    LOCAL_RULES,   /* token, name, data: the directory has a .kithignore with this in it; data of
                      length 0: it has none. Before SEEN of what is beside it */
    LOCAL_SCANNED, /* token, root: the scan is over. code other than 0: not whole; KITH_E_NOT_FOUND:
                      the folder itself is missing */
    LOCAL_LOOKED,  /* token, seen[1], root: of a LOOK, root_empty */
    LOCAL_HASHED,  /* token, code, before, after, began_wall_ns, content. code: KITH_E_AGAIN (it
                      changed meanwhile), KITH_E_NOT_FOUND, others: it cannot be read, with text */
    LOCAL_PUBLISHED, /* token, code, text: of a PUBLISH; 0: it is durable */
    LOCAL_WRITTEN,   /* name (a path), before, content: this node wrote a version of another's into
                        the   folder (--sync), or deleted one (before.kind 0); it is not to be
                        published.   began_wall_ns: when it was looked at */
    LOCAL_CONFIRM,   /* what is missing was deleted indeed; the directory there is the folder */
};

enum local_touch {
    LOCAL_TOUCH_ANY = 0,
    LOCAL_TOUCH_CLOSED = 1 << 0, /* who wrote it has closed it, or renamed it into its place */
    LOCAL_TOUCH_GONE = 1 << 1,   /* the name was seen to go */
    LOCAL_TOUCH_DIR = 1 << 2,    /* it is a directory; without GONE: one that may hold more */
};

/* What a scan or look found under a name. */
enum local_found {
    LOCAL_FOUND = 0,      /* stat; of a symlink its target */
    LOCAL_ABSENT = 1,     /* of a LOOK only */
    LOCAL_UNREADABLE = 2, /* it exists, or may: what was known of it and beneath it stays. text */
    LOCAL_REFUSED = 3,    /* it exists and is never shared, for its name or kind. text */
};

/* Borrowed for the step. Names are the bytes that the file system has; a directory above that could
 * not be read is UNREADABLE itself. */
struct local_seen {
    const char *name; /* beneath the folder: "a/b"; "" is the folder itself */
    size_t name_len;
    uint8_t found; /* enum local_found */
    struct fs_stat stat;
    const char *target; /* of a symlink */
    size_t target_len;
    const char *text; /* why: for people, the cause and the next step */
};

struct local_event {
    enum local_event_type type;
    uint64_t now_ms; /* CLOCK_BOOTTIME */
    int64_t wall_ns; /* CLOCK_REALTIME; may jump */
    uint64_t token;
    int code;
    const char *text;
    const char *name;
    size_t name_len;
    unsigned touch; /* enum local_touch */
    struct kith_bytes key;
    struct kith_bytes data;
    const struct local_seen *seen;
    size_t n;
    struct fs_root_id root; /* SEEN, RULES, SCANNED, LOOKED: of the very directory that was looked
                               in; zeros: there is none */
    bool root_empty;        /* LOOKED of an absent name, SCANNED: nothing at all is in it */
    bool blind;
    struct fs_stat before, after; /* HASHED */
    int64_t began_wall_ns;
    struct content content;
};

/* ---- actions ---- */

enum local_action_type {
    LOCAL_SCAN,    /* token, name: everything beneath it ("" is all); SEEN, SCANNED follow. One at a
                      time */
    LOCAL_LOOK,    /* token, name: LOOKED follows */
    LOCAL_HASH,    /* token, name, stat: read it, if it still looks so; HASHED follows. idle: when
                      there is nothing else to do */
    LOCAL_PUBLISH, /* token, change, path, from, stat, content, target: PUBLISHED follows */
    LOCAL_PERSIST, /* key, data: keep it; data.data NULL: drop it. Lazily, but in order with what is
                      published: before what comes after it is durable, so is it */
    LOCAL_STATE,   /* state, text: it is another than before */
    LOCAL_PROBLEM, /* the list of problems is another one */
};

enum local_change {
    LOCAL_CREATED = 1,
    LOCAL_MODIFIED = 2,
    LOCAL_ATTRIBUTES = 3, /* the same bytes */
    LOCAL_RENAMED = 4,    /* from is gone, path has its content */
    LOCAL_DELETED = 5,
    LOCAL_RELEASED = 6, /* ignored from now on: no deletion, it is just not here any more */
};

enum local_state {
    LOCAL_SCANNING = 1, /* the first scan after START */
    LOCAL_WATCHED = 2,
    LOCAL_AWAY = 3,
    LOCAL_HELD = 4,
};

/* Borrowed until the next step. */
struct local_action {
    enum local_action_type type;
    uint64_t token;
    const char *name; /* bytes of the file system, with a NUL */
    size_t name_len;
    bool idle;
    uint8_t change;   /* enum local_change */
    const char *path; /* of the catalogue: NFC, with a NUL. Tracking: as in the file system */
    size_t path_len;
    const char *from; /* RENAMED */
    size_t from_len;
    struct fs_stat stat;
    struct content content;
    const char *target;
    size_t target_len;
    struct kith_bytes key;
    struct kith_bytes data;
    uint8_t state;
    const char *text;
};

struct local_output {
    const struct local_action *actions;
    size_t actions_n;
};

/* ---- the machine ---- */

/* 0, KITH_E_MEMORY. */
int local_new(struct local_core **core_out, const struct local_config *config);
void local_free(struct local_core *core); /* NULL is fine */

/* Persisted keys begin with these two bytes and the folder's number, little-endian; they have
 * LOCAL_KEY_BYTES. Who ends a share drops all that begin so. */
#define LOCAL_KEY_PREFIX     "fl"
#define LOCAL_KEY_PREFIX_LEN 2
#define LOCAL_KEY_BYTES      26

/*
 * One event. 0; KITH_E_CORRUPT for a stored entry that does not decode (the file will be read
 * again); KITH_E_MEMORY, with what could still be done in @out; KITH_E_NOT_FOUND for a CONFIRM of a
 * folder that is not there (with a sentence). Tokens that are not known, or not any more, are fine.
 * @out is valid whatever is returned.
 */
int local_step(struct local_core *core, const struct local_event *event, struct local_output *out);
/* When TICK is due; UINT64_MAX if never. */
uint64_t local_deadline_ms(const struct local_core *core);

/* So much waits to be read and published that SEEN should wait too: the driver lets the scan block.
 */
bool local_is_full(const struct local_core *core);

/* ---- reading; what is given is borrowed until the next step ---- */

struct local_file {
    struct fs_stat stat;    /* as it was when it was read */
    struct content content; /* FS_FILE */
    bool settled;           /* nothing is known to have happened to it since */
};
/* What was published of @path. 0; KITH_E_NOT_FOUND. */
int local_find(const struct local_core *core,
               const char *path,
               size_t len,
               struct local_file *file_out);
/* The name that @path has in the file system, which may differ in normal form; @path itself where
 * nothing is there yet (its directories may be). Appended to @out. 0, KITH_E_MEMORY. */
int local_name_of(const struct local_core *core, const char *path, size_t len, struct buf *out);
/*
 * May this node write to @path (--sync)? 0, with what is known to be there now (settled; kind 0:
 * nothing), which must be compared with what is there when it is replaced. KITH_E_AGAIN: the name
 * is changing, or the folder is away or held.
 */
int local_can_write(const struct local_core *core,
                    const char *path,
                    size_t len,
                    struct local_file *file_out);
/* Whether @path (of the catalogue) is ignored here. */
bool local_ignores(const struct local_core *core, const char *path, size_t len, bool is_dir);
/* All that was published, in no order: `uint64_t at = 0; while (local_next(...))`. Appends the path
 * (with a NUL) to @path_out, which is emptied first. False at the end, and if memory is short. */
bool local_next(const struct local_core *core,
                uint64_t *at,
                struct buf *path_out,
                struct local_file *file_out);

struct local_problem {
    const char *name; /* of the file system: may hold anything */
    size_t name_len;
    const char *text;
};
/* The @i-th problem that is listed; false behind the last. */
bool local_problem(const struct local_core *core, size_t i, struct local_problem *problem_out);

struct local_stats {
    uint8_t state;
    const char *state_text;
    uint64_t entries, files, bytes;                  /* published and not gone */
    uint64_t settling, looking, hashing, publishing; /* now */
    uint64_t waiting;                                /* to be looked at, read or published */
    uint64_t gone;                                   /* missing, and not published as deleted */
    uint64_t problems;                               /* all of them, not only those listed */
    uint64_t scanned; /* entries that the scan under way, or the last, saw */
    uint64_t memory_bytes;
    uint64_t touches, scans, looks, hashes, hashed_again, published, renames, deletions, held;
};
void local_stats(const struct local_core *core, struct local_stats *stats_out);
/* Asserts the invariants. */
void local_check(const struct local_core *core);

#endif
