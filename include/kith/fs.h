/*
 * Files: the shared folders of all nodes as one tree, which every node has whole.
 *
 * A *share* is a name under which one or several nodes share a folder each; together they are one
 * tree. A file is named SHARE/dir/file; SHARE/dir/file@NODE is what the folder of NODE has there,
 * which may be older. Listing needs no other node. Content comes from whoever holds it when it is
 * asked for, is checked chunk by chunk before anything of it is used, and is cached.
 *
 * What is acknowledged is durable on this node: it survives a kill of every process and a power
 * cut. When two sides of a cut, or two nodes at once, change a file, both versions stay: one is
 * shown under the name, the other as NAME.conflict-TIME-NODE beside it, until one is chosen
 * (KITH_FS_RESOLVE). A change beside a deletion wins. A folder that is missing or emptied is never
 * taken for deletions. docs/protocols/fs.md tells how it works.
 *
 * Files are a node's: a program that embeds the library has no folders, and every function here
 * returns KITH_E_UNSUPPORTED there; ask the agent (docs/protocols/control.md), or write a module.
 */
#ifndef KITH_FS_H
#define KITH_FS_H

#include <kith/api.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kith_node;

/* Longest path within a share, and longest part of one, in bytes. */
#define KITH_FS_PATH_BYTES_MAX 1024
#define KITH_FS_PART_BYTES_MAX 255
/* Hex digits of a content's hash. */
#define KITH_FS_HASH_DIGITS 64
/* Most bytes that one READ gives, or one WRITE or APPEND takes. */
#define KITH_FS_DATA_BYTES_MAX (16u * 1024 * 1024)
/* Most entries that one LIST or FIND gives, and fewer if they are long, or perhaps none if a
 * pattern fits next to nothing: ask again while there is `next`. */
#define KITH_FS_PAGE_MAX 1000

enum kith_fs_kind {
    KITH_FS_FILE = 1,
    KITH_FS_DIRECTORY = 2,
    KITH_FS_SYMLINK = 3, /* never followed; `target` is its text */
    KITH_FS_DELETED = 4, /* of a path that was deleted, where that is asked for */
    KITH_FS_SHARE = 5,   /* the root of a share */
};

/* "file", "directory", "symlink", "deleted", "share". Static. */
KITH_API const char *kith_fs_kind_text(enum kith_fs_kind kind);

/* ---- shares ---------------------------------------------------------------------------------- */

/* What a node does with its folder. */
enum kith_share_mode {
    KITH_SHARE_PLAIN = 0,     /* others read it; only this node's own puts write it */
    KITH_SHARE_READ_ONLY = 1, /* nothing is ever written to it, not by this node either */
    KITH_SHARE_SYNC = 2,      /* kept as the catalogue says: others' changes are made here too */
};

enum kith_share_state {
    KITH_SHARE_SCANNING = 1,
    KITH_SHARE_WATCHED = 2, /* what is there is in the catalogue, and changes are seen */
    KITH_SHARE_AWAY = 3,    /* missing, empty or another directory: nothing is deleted for it */
    KITH_SHARE_HELD = 4,    /* many entries vanished at once: waits for kith_share_confirm() */
};
KITH_API const char *kith_share_mode_text(enum kith_share_mode mode);
KITH_API const char *kith_share_state_text(enum kith_share_state state);

/* Zeroed is the default. */
struct kith_share_options {
    enum kith_share_mode mode;
    uint32_t replicas; /* nodes that hold each content; 0: 3. The greatest of all nodes counts */
};

/* Borrowed as the result it is in. */
struct kith_share_problem {
    const char *path; /* with control characters replaced */
    const char *text; /* why it is not shared, and what to do */
};
struct kith_share_info {
    const char *name;
    const char *folder; /* of this node; "": only others share it */
    enum kith_share_mode mode;
    enum kith_share_state state; /* of the folder */
    const char *state_text;      /* for people: what it waits for; "" if it is watched */
    uint32_t replicas;
    uint64_t entries_n, bytes; /* of the whole tree */
    uint64_t scanned_n;        /* entries seen in the folder so far, or by the last scan */
    const char *const *nodes;  /* names of those that share a folder under the name */
    size_t nodes_n;
    const struct kith_share_problem *problems; /* the first 1,000 */
    size_t problems_n;
    uint64_t problems_all_n;
};

/* ---- what there is --------------------------------------------------------------------------- */

struct kith_fs_holder {
    struct kith_node_id node;
    const char *name; /* the digits of its id if it is not known here */
    bool alive;
};

/* One path of the catalogue. Borrowed as the result it is in. */
struct kith_fs_entry {
    const char *path; /* SHARE/dir/file, with the conflict's part if it is one */
    enum kith_fs_kind kind;
    uint64_t size;
    uint32_t mode;              /* permission bits */
    uint64_t modified_unix_ns;  /* of the file, as its author's disk said */
    uint64_t changed_unix_ms;   /* when its author published it, by that node's clock */
    const char *hash;           /* of a file's content: 64 hex digits; else "" */
    const char *target;         /* of a symlink; else "" */
    struct kith_node_id author; /* zeros and "" in LIST and FIND */
    const char *author_name;
    const char *author_address; /* "address:port" of the author; "" if none is known here */
    const struct kith_fs_holder *holders; /* nodes that hold the content, those alive first */
    size_t holders_n;
    bool here;   /* this node holds it, in a folder or as a copy */
    bool cached; /* all of it is in this node's cache */
    bool pinned; /* its path is at this node, or a folder above it; so is each version to come */
    uint32_t conflicts_n;    /* other versions of the path that stand beside this one */
    const char *conflict_of; /* the path of which this is such a version; else "" */
};

struct kith_fs_cache_info {
    uint64_t memory_bytes, memory_bytes_max;
    uint64_t disk_bytes, disk_bytes_max;
    uint64_t keep_bytes;   /* copies kept for others, and what was put here */
    uint64_t pinned_bytes; /* of the files that are pinned here */
    uint64_t memory_hits, disk_hits, misses;
    uint64_t memory_used_percent, memory_mark_percent; /* of the machine */
    uint64_t fetching_n, fetching_bytes;               /* under way now */
    uint64_t fetched_bytes;        /* that other nodes sent since this one began */
    uint64_t reused_bytes;         /* of copies, that were here already in another version */
    uint64_t pins_n;               /* paths that were pinned; a folder is one */
    uint64_t pinned_missing_bytes; /* of the files that are pinned: not here yet */
};

/* A node from which content came, for this operation; what was here counts for none. Borrowed as
 * what it is in. */
struct kith_fs_source {
    struct kith_node_id node;
    const char *name;
    uint64_t bytes, bytes_per_s; /* since the operation, or what it is at now, began */
};

/* What is under way for an operation. Borrowed for the callback. */
struct kith_fs_progress {
    uint64_t done_bytes, all_bytes;
    uint64_t bytes_per_s;                 /* lately */
    uint64_t left_ms;                     /* at that rate; UINT64_MAX: unknown */
    uint32_t holders_n;                   /* nodes that deliver: of GET and PIN */
    const struct kith_fs_source *holders; /* ... which */
    const char *text;                     /* what it waits for, for people; "" if it goes on */
};

/* ---- operations ------------------------------------------------------------------------------ */

enum kith_fs_op_kind {
    KITH_FS_LIST = 1,   /* what is in path; "": the shares. recursive; deleted */
    KITH_FS_STAT = 2,   /* path alone */
    KITH_FS_FIND = 3,   /* under path, what fits pattern: * ? [...] in the last part */
    KITH_FS_READ = 4,   /* up to count bytes from offset on: result.data */
    KITH_FS_GET = 5,    /* into the file `local` of this machine, whole or not at all */
    KITH_FS_PUT = 6,    /* the file `local` becomes path */
    KITH_FS_WRITE = 7,  /* data becomes path */
    KITH_FS_APPEND = 8, /* data behind what path has; absent: as WRITE */
    KITH_FS_REMOVE = 9, /* a file, or with recursive a directory */
    KITH_FS_RESTORE =
        10, /* what was deleted: out of this node's trash (7 days), or what others have */
    KITH_FS_CONFLICTS = 11, /* paths with more than one version, under path */
    KITH_FS_RESOLVE = 12,   /* the version that is shown as path stays, no other of that file does;
                               path may be that of a conflict. both: it becomes a file of its own */
    KITH_FS_PIN = 13,    /* path, or with it all that is, and comes, beneath it, stays here from now
                            on, each new version too, until it is unpinned or deleted; ends when what
                            there is has come. Given up, it is not pinned; failed, it is, and goes on.
                            Not of a version (a conflict's, PATH@NODE): KITH_E_INVALID */
    KITH_FS_UNPIN = 14,  /* the pins of path and beneath it; of what is pinned as a part of a folder
                            KITH_E_INVALID. counted_n: files */
    KITH_FS_EVICT = 15,  /* leaves the cache now; copies that are kept for others stay */
    KITH_FS_CACHE = 16,  /* result.cache */
    KITH_FS_VERIFY = 17, /* reads again what this node holds under path, and repairs */
    KITH_FS_SHARE_ADD = 18,     /* path: the name; local: the folder; share. local NULL: no folder,
                                   there is such a share from now on, if there was none: what
                                   programs put there by name is kept by nodes alone */
    KITH_FS_SHARE_RM = 19,      /* path: the name. Files stay where they are, versions too */
    KITH_FS_SHARE_LIST = 20,    /* path: one name, or all. result.shares */
    KITH_FS_SHARE_CONFIRM = 21, /* path: the name. What vanished there was deleted indeed */
};

typedef void (*kith_fs_progress_cb)(struct kith_node *node,
                                    const struct kith_fs_progress *progress,
                                    void *user);

/* Zero what is not used. Borrowed for the call that takes it. */
struct kith_fs_op {
    enum kith_fs_op_kind kind;
    const char *path;    /* NULL is "" */
    const char *local;   /* absolute path of a file or folder of this machine */
    const char *pattern; /* FIND */
    const char *hash;    /* READ: this content and no other; PUT, WRITE, APPEND, REMOVE: what path
                            has now, else KITH_E_FENCE; NULL: whatever it has */
    const char *after;   /* LIST, FIND, CONFLICTS: what came as result.next */
    uint32_t max;        /* entries; 0: KITH_FS_PAGE_MAX */
    const void *data;    /* WRITE, APPEND */
    size_t len;
    uint64_t offset; /* READ */
    size_t count;    /* READ: bytes; LIST, FIND, CONFLICTS: a page has about so many bytes at most,
                        as JSON; 0: any */
    bool recursive;
    bool deleted;     /* LIST: deleted paths too */
    bool trash;       /* LIST: deleted paths alone, all beneath path */
    bool create_only; /* PUT, WRITE: KITH_E_EXISTS if path exists */
    bool many;        /* REMOVE: also 20 entries and more that are over a quarter of the share */
    bool both;        /* RESOLVE */
    bool any_case;    /* FIND: names that differ from what fits in case alone */
    uint32_t mode;    /* WRITE, and commits: permission bits; 0: 0644, or what path has */
    uint64_t modified_unix_ns; /* likewise; 0: now */
    uint64_t timeout_ms;       /* 0: as long as it takes, but READ 60 s */
    struct kith_share_options share;
    kith_fs_progress_cb on_progress; /* GET, PUT, PIN, VERIFY; at most 10 a second; may be NULL */
};

/* What became of it. Borrowed for the callback, or the caller's, freed by kith_fs_result_free(). */
struct kith_fs_result {
    int code;                            /* 0 or a KITH_E_*; then only text counts */
    const char *text;                    /* for people; "" without a code */
    const struct kith_fs_entry *entries; /* LIST, FIND, CONFLICTS: by path; STAT, PUT, WRITE,
                                            APPEND, RESTORE, RESOLVE: the one as it is now */
    size_t entries_n;
    const char *next; /* more follow: give it as `after`; else "" */
    const void *data; /* READ */
    size_t len;
    uint64_t size;      /* READ: of the whole file */
    uint64_t counted_n; /* REMOVE, RESTORE, VERIFY, PIN, EVICT: entries that it was done to */
    uint64_t bytes;     /* VERIFY, PIN, EVICT */
    uint64_t damaged_n, repaired_n;    /* VERIFY */
    const struct kith_fs_source *from; /* READ, GET: nodes that it was fetched from */
    size_t from_n;
    const struct kith_fs_cache_info *cache;
    const struct kith_share_info *shares;
    size_t shares_n;
    bool ignored; /* PUT, WRITE, APPEND: .kithignore of this node's folder leaves it out: it is a
                     copy of this node, and not in the folder */
};
typedef void (*kith_fs_cb)(struct kith_node *node, const struct kith_fs_result *result, void *user);

/*
 * Does @op. @cb runs once on the loop thread, never before this returns, unless this fails. Any
 * thread.
 *
 * Returns 0; KITH_E_INVALID (what the kind needs is not there), KITH_E_NAME (a path that cannot
 * be), KITH_E_TOO_LARGE, KITH_E_UNSUPPORTED (a program), KITH_E_MEMORY, KITH_E_STOPPED: then @cb
 * does not run. Codes of the operation beside these: KITH_E_NOT_FOUND (path, or its content was
 * deleted everywhere), KITH_E_EXISTS, KITH_E_FENCE (path has another content by now),
 * KITH_E_UNREACHABLE (nobody who holds the content is here: the sentence names who does),
 * KITH_E_CORRUPT, KITH_E_PERMISSION (a folder that is read-only, an unreadable file), KITH_E_AGAIN
 * (a folder is away, or waits to be confirmed), KITH_E_LIMIT, KITH_E_IO (a full disk among others),
 * KITH_E_TIMEOUT, KITH_E_CANCELED.
 *
 * PUT, WRITE, APPEND, REMOVE, RESTORE and RESOLVE are durable here when they end with 0, and told
 * to others; they need none.
 */
KITH_API KITH_MUST_CHECK int kith_fs_do_async(struct kith_node *node,
                                              const struct kith_fs_op *op,
                                              kith_fs_cb cb,
                                              void *user,
                                              uint64_t *id_out);

/*
 * The same and waits. Not on the loop thread (KITH_E_WOULD_DEADLOCK).
 *
 * Returns 0 with the result in *@result_out (may be NULL), which the caller frees with
 * kith_fs_result_free(); or a code, with its sentence in kith_errmsg().
 */
KITH_API KITH_MUST_CHECK int
kith_fs_do(struct kith_node *node, const struct kith_fs_op *op, struct kith_fs_result **result_out);
KITH_API void kith_fs_result_free(struct kith_fs_result *result);

/*
 * Gives up an operation (its callback comes with KITH_E_CANCELED, unless it has ended meanwhile).
 * @id: of kith_fs_do_async(), never 0 there. Any thread.
 */
KITH_API void kith_fs_cancel(struct kith_node *node, uint64_t id);

/* The usual ones in short; they wait. @result_out is freed with kith_fs_result_free(). */
KITH_API KITH_MUST_CHECK int
kith_fs_list(struct kith_node *node, const char *path, struct kith_fs_result **result_out);
KITH_API KITH_MUST_CHECK int
kith_fs_stat(struct kith_node *node, const char *path, struct kith_fs_result **result_out);
KITH_API KITH_MUST_CHECK int
kith_fs_get(struct kith_node *node, const char *path, const char *file);
KITH_API KITH_MUST_CHECK int
kith_fs_put(struct kith_node *node, const char *file, const char *path);
KITH_API KITH_MUST_CHECK int
kith_fs_append(struct kith_node *node, const char *path, const void *data, size_t len);
KITH_API KITH_MUST_CHECK int kith_fs_remove(struct kith_node *node, const char *path);
/*
 * Copies up to @bytes bytes from @offset on to @buffer; *len_out: how many there were, 0 at the
 * end. @hash as in kith_fs_op.
 */
KITH_API KITH_MUST_CHECK int kith_fs_read(struct kith_node *node,
                                          const char *path,
                                          const char *hash,
                                          uint64_t offset,
                                          void *buffer,
                                          size_t bytes,
                                          size_t *len_out);

/* ---- reading again and again ------------------------------------------------------------------
 */

struct kith_fs_file;

/*
 * Opens what @path has now (@hash NULL), or the content @hash of it: what is read is that content,
 * whatever becomes of the path. Any thread, the loop's too. *@file_out goes back with
 * kith_fs_close(), before the node is stopped.
 *
 * Returns 0; KITH_E_NOT_FOUND, KITH_E_FENCE (no version has that content), KITH_E_INVALID (no
 * file), KITH_E_NAME, KITH_E_UNSUPPORTED, KITH_E_MEMORY, KITH_E_STOPPED.
 */
KITH_API KITH_MUST_CHECK int kith_fs_open(struct kith_node *node,
                                          const char *path,
                                          const char *hash,
                                          struct kith_fs_file **file_out);
/* NULL is fine. No other function may have it then. */
KITH_API void kith_fs_close(struct kith_fs_file *file);
KITH_API uint64_t kith_fs_file_size(const struct kith_fs_file *file);
/* 64 hex digits, as long as the file is open. */
KITH_API const char *kith_fs_file_hash(const struct kith_fs_file *file);
/*
 * Copies up to @bytes bytes from @offset on to @buffer; *len_out: how many there were, 0 at the end
 * and after an error. What is in this node's memory cache is copied by the calling thread, without
 * the loop; for the rest it waits as kith_fs_read() does, and has its codes (on the loop thread
 * KITH_E_WOULD_DEADLOCK). Any thread, several at once.
 */
KITH_API KITH_MUST_CHECK int kith_fs_file_read(
    struct kith_fs_file *file, uint64_t offset, void *buffer, size_t bytes, size_t *len_out);

/* Bytes of a content where they lie in memory. */
struct kith_fs_piece {
    const void *data;
    size_t len;
    void *inside; /* the library's */
};
/*
 * Shows the bytes from @offset on, up to the end of the chunk (of 128 KiB and more) that is in this
 * node's memory cache, without copying them. They never change, and stay where they are until
 * kith_fs_piece_end(), also if they leave the cache, the file is closed or the node ends: who keeps
 * many pieces keeps their memory. Never waits. Any thread, several at once.
 *
 * Returns 0; KITH_E_NOT_FOUND (not in memory; without a sentence: kith_fs_file_read() brings what
 * other nodes hold there), KITH_E_INVALID (beyond the end), KITH_E_STOPPED.
 */
KITH_API KITH_MUST_CHECK int
kith_fs_file_piece(struct kith_fs_file *file, uint64_t offset, struct kith_fs_piece *piece_out);
/* Any thread, once a piece; a zeroed one is fine. */
KITH_API void kith_fs_piece_end(struct kith_fs_piece *piece);

/* ---- writing piece by piece ------------------------------------------------------------------ */

struct kith_upload;

/*
 * Begins a file whose content comes in pieces; nothing of it is seen before kith_upload_commit().
 * Any thread. Returns 0; KITH_E_LIMIT (64 are open), KITH_E_UNSUPPORTED, KITH_E_MEMORY,
 * KITH_E_STOPPED.
 */
KITH_API KITH_MUST_CHECK int kith_upload_open(struct kith_node *node,
                                              struct kith_upload **upload_out);
/*
 * Takes the next @len bytes (at most KITH_FS_DATA_BYTES_MAX), which are copied. @cb runs once they
 * are on their way to the disk and more may come; one piece at a time. As kith_fs_do_async().
 */
KITH_API KITH_MUST_CHECK int kith_upload_write_async(
    struct kith_upload *upload, const void *data, size_t len, kith_fs_cb cb, void *user);
/* The same and waits. Not on the loop thread. */
KITH_API KITH_MUST_CHECK int
kith_upload_write(struct kith_upload *upload, const void *data, size_t len);
/*
 * What came so far becomes @path, as KITH_FS_WRITE with @op (path, hash, create_only, mode,
 * modified_unix_ns; the others are not looked at) does; @upload is gone from here on, unless this
 * fails. As kith_fs_do_async().
 */
KITH_API KITH_MUST_CHECK int kith_upload_commit_async(struct kith_upload *upload,
                                                      const struct kith_fs_op *op,
                                                      kith_fs_cb cb,
                                                      void *user);
/* Gives it up: nothing stays. After a write has been asked for, not before its callback. NULL is
 * fine. Any thread. */
KITH_API void kith_upload_drop(struct kith_upload *upload);

/* ---- being told ------------------------------------------------------------------------------ */

enum kith_fs_change_type {
    KITH_FS_CREATED = 1,
    KITH_FS_MODIFIED = 2,
    KITH_FS_RENAMED = 3,
    KITH_FS_ATTRIBUTES = 4, /* mode or time alone; of a tracked path the mode */
    KITH_FS_DELETED_NOW = 5,
    KITH_FS_CONFLICTED = 6, /* what is shown stays; another version stands beside it */
    KITH_FS_RESOLVED = 7,   /* none stands beside it any more */
};
/* "created" ... "resolved". Static. */
KITH_API const char *kith_fs_change_text(enum kith_fs_change_type type);

/* Borrowed for the callback. */
struct kith_fs_change {
    enum kith_fs_change_type type;
    const char *path;
    const char *from;                  /* RENAMED: the former path; else "" */
    const struct kith_fs_entry *entry; /* what is there now; NULL: nothing, or a tracked path */
    struct kith_node_id author;        /* who made it so; of a tracked path this node */
    const char *author_name;
    uint64_t missed_n; /* changes that were dropped before this one; list anew */
};
typedef void (*kith_fs_change_cb)(struct kith_node *node,
                                  const struct kith_fs_change *change,
                                  void *user);

/*
 * Tells of every change of the catalogue under @path (a share, a directory, a file; "" or NULL:
 * all), whoever makes it, from now on, on the loop thread.
 *
 * Returns a number above 0 for kith_fs_unwatch(); KITH_E_NAME, KITH_E_LIMIT, KITH_E_UNSUPPORTED,
 * KITH_E_MEMORY, KITH_E_STOPPED.
 */
KITH_API KITH_MUST_CHECK int64_t kith_fs_watch(struct kith_node *node,
                                               const char *path,
                                               kith_fs_change_cb cb,
                                               void *user);

/*
 * Tells of changes of a file or folder of this machine, which need not be shared and is not
 * published: @local is an absolute path. Paths are given as absolute ones. Without @recursive only
 * of what is in the folder itself: its folders are told of, and not what is in them.
 *
 * Of every name: nothing is ignored, neither by default nor by .kithignore. Every deletion is told,
 * of however much at once. If the folder is missing, or another one has its path, what was in it
 * and is not there is told as deleted; then a missing one itself, and as created when it is there
 * again, which is looked for every 5 s. What cannot be read is not deleted.
 *
 * Files, folders and symlinks are told of, not pipes and devices, nor names that hold control
 * characters or are not UTF-8, nor what is on another file system that is mounted in the folder.
 * Changes are told when a name has been quiet for a moment, so several may be one. Nothing is read:
 * a file of another size or time is KITH_FS_MODIFIED, one of another mode KITH_FS_ATTRIBUTES. The
 * same file or folder under another name is KITH_FS_RENAMED, as is each thing in a folder that is
 * renamed; a file that was changed as well is told as created there and deleted here.
 *
 * Returns as kith_fs_watch(), and KITH_E_NOT_FOUND or KITH_E_PERMISSION for @local that is not
 * there or cannot be looked at, KITH_E_INVALID for one that is not absolute. Not on the loop thread
 * (KITH_E_WOULD_DEADLOCK), since it looks at the disk.
 */
KITH_API KITH_MUST_CHECK int64_t kith_fs_track(
    struct kith_node *node, const char *local, bool recursive, kith_fs_change_cb cb, void *user);

/* Ends either. No callback after this has returned on the loop thread, or soon after elsewhere. */
KITH_API void kith_fs_unwatch(struct kith_node *node, int64_t watch_no);

#ifdef __cplusplus
}
#endif

#endif
