/*
 * What moves the bytes of files, inside: fetching, serving, the caches and copies.
 *
 * Whoever wants bytes here asks for chunks (fs_get_chunk()) or runs of bytes (fs_read_bytes()).
 * Where they come from is found out in this order: memory cache, a folder or the keep of this node,
 * disk cache, other nodes.
 */
#ifndef NODE_FS_MOVE_H
#define NODE_FS_MOVE_H

#include "fs/cache.h"
#include "fs/fetch.h"
#include "fs/files.h"
#include "fs/keep.h"
#include "fs/serve.h"
#include "node/uv_fs.h"

/* A chunk in memory; its bytes never change. Counted; by any thread. */
struct fs_chunk {
    _Atomic uint32_t refs_n;
    _Atomic bool used; /* read in memory since the loop last looked (fs_shelf.c) */
    bool from_node;    /* `from` sent it */
    struct kith_node_id from;
    uint32_t no;
    uint8_t root[CONTENT_ROOT_BYTES];
    uint32_t len;
    uint8_t *data; /* of core_malloc() */
};
struct fs_chunk *
fs_chunk_new(const struct content *content, uint32_t no, void *data); /* takes it */
struct fs_chunk *fs_chunk_ref(struct fs_chunk *chunk);
void fs_chunk_unref(struct fs_chunk *chunk); /* NULL is fine */

/* Who sent how much of something. */
struct fs_sources {
    struct kith_node_id nodes[FS_FETCH_HOLDERS_MAX];
    uint64_t bytes[FS_FETCH_HOLDERS_MAX];
    uint32_t n;
};
/* @chunk, of which @bytes are used, came for this; nothing if it was here. */
void fs_sources_add(struct fs_sources *sources, const struct fs_chunk *chunk, uint64_t bytes);
/* As they are told: how many. Names point into @names. @ms: since the first was asked. */
uint32_t fs_sources_tell(struct node_fs *fs,
                         const struct fs_sources *sources,
                         uint64_t ms,
                         struct kith_fs_source *out,
                         char (*names)[KITH_NODE_ID_DIGITS + 1]);
/* Into a result, with names of its own; nothing if memory is short. */
void fs_box_sources(struct node_fs *fs,
                    struct fs_box *box,
                    const struct fs_sources *sources,
                    uint64_t ms);

struct fs_move {
    struct node_fs *fs;
    struct fs_files *files;
    struct fetch_core *fetch;
    struct serve_core *serve;
    struct cache_core *cache;
    struct keep_core *keep;
    struct map64 memory;    /* struct fs_chunk of the memory cache, by fs_chunk_key() */
    struct fs_shelf *shelf; /* the same, for any thread (fs_shelf.c) */
    struct fs_checked *checked;
    struct fs_checks *checks;   /* fs_checks.c */
    struct fs_damages *damages; /* fs_damages.c */
    struct map64 wants;         /* struct fs_want by fs_chunk_key(): being fetched or read */
    struct map64 fetches;       /* struct fs_want by id of its fetch */
    uint64_t next_id;
    struct fs_disk_queue *disk; /* fs_chunks.c */
    uint64_t keep_bytes;
    uint64_t reused_bytes;  /* fs_sibling.h */
    uint8_t memory_percent; /* of the machine's memory that is used */
    bool fetching, serving; /* the actions of a step are being done */
    struct list listing;    /* struct fs_copying: those that wait for a list */
    struct list copyings;   /* struct fs_copying: into the keep */
    struct mapid failed;    /* nodes that are not asked, though their streams stand */
};

static inline uint64_t fs_chunk_key(const uint8_t root[CONTENT_ROOT_BYTES], uint32_t no)
{
    return hash_bytes(root, CONTENT_ROOT_BYTES, (uint64_t)no + 1);
}

/* ---- fs_chunks.c: one chunk, from wherever it is ---- */

/* Somebody who waits for a chunk; embedded by its owner. */
struct fs_getting {
    struct list link;
    struct fs_todo todo;
    struct content content;
    uint32_t no;
    uint8_t priority; /* enum fetch_priority */
    bool waits;       /* also if no holder is within reach now */
    bool passing;     /* not for the cache: a copy that is made */
    struct fs_want *want;
    struct fs_chunk *chunk;
    bool fetched; /* told: it came from a node for this, and was not in memory */
    int code;
    char text[512];
    /* Once; never before fs_get_chunk() returns. @chunk is borrowed: take a reference to keep it.
     */
    void (*done)(struct node_fs *fs,
                 struct fs_getting *getting,
                 int code,
                 const char *text,
                 struct fs_chunk *chunk);
};
void fs_get_chunk(struct node_fs *fs, struct fs_getting *getting);
void fs_get_cancel(struct node_fs *fs, struct fs_getting *getting); /* done does not run */
/* Of uv_fs_move.c: a chunk came, or will not. */
void fs_want_came(struct node_fs *fs, struct fs_want *want, struct fs_chunk *chunk);
void fs_want_failed(struct node_fs *fs, struct fs_want *want, int code, const char *text);
/* Only those hear of it who do not wait. False: nobody else was there, and it has ended. */
bool fs_want_left(struct node_fs *fs, struct fs_want *want, int code, const char *text);
struct fs_want {
    struct list gettings;
    struct content content;
    uint32_t no;
    uint8_t priority;
    bool waits; /* all who want it do */
    bool passing;
    bool anew;   /* its chunk was written before, and has gone since */
    uint64_t id; /* of its fetch; 0: none */
};
int fs_chunks_open(struct fs_move *move);
void fs_chunks_deinit(struct fs_move *move);
void fs_cache_event(struct node_fs *fs, const struct cache_event *event, struct fs_chunk *added);
void fs_cache_use(struct node_fs *fs); /* once a second */

/* ---- fs_shelf.c ---- */
struct fs_shelf *fs_shelf_new(void);        /* NULL if memory is short */
void fs_shelf_free(struct fs_shelf *shelf); /* NULL is fine; no thread may be inside */
void fs_shelf_put(struct fs_shelf *shelf, struct fs_chunk *chunk); /* a reference of its own */
void fs_shelf_drop(struct fs_shelf *shelf, const struct fs_chunk *chunk);
void fs_shelf_tell(struct node_fs *fs); /* what was read: once a second, to the cache */

/* ---- fs_where.c: contents that this node holds ---- */

/* Where a content is on this node's disks: a name in a folder, or the keep. */
struct fs_where {
    bool keep;
    char *folder; /* its path */
    char *name;   /* beneath it */
    struct fs_stat expect;
};
/* This node holds it. */
bool fs_is_here(struct node_fs *fs, const struct content *content);
/* False: nowhere. fs_where_deinit() after true. */
bool fs_where_is(struct node_fs *fs, const struct content *content, struct fs_where *where_out);
void fs_where_deinit(struct fs_where *where);
/* For threads: reads @len bytes at @offset. 0; KITH_E_AGAIN (it is another file by now),
 * KITH_E_NOT_FOUND, KITH_E_IO, KITH_E_MEMORY. */
int fs_where_read(struct fs_files *files,
                  const struct fs_where *where,
                  const struct content *content,
                  uint64_t offset,
                  void *data_out,
                  size_t len);

/* ---- fs_checked.c ---- */
struct fs_checked *fs_checked_new(void); /* NULL if memory is short */
void fs_checked_free(struct fs_checked *checked);
/* For threads: as fs_where_read(); and KITH_E_CORRUPT, if what the keep has is not the content. */
int fs_read_checked(struct node_fs *fs,
                    const struct fs_where *where,
                    const struct content *content,
                    uint64_t offset,
                    void *data_out,
                    size_t len);

/* ---- fs_read.c ---- */

#define FS_READING_CHUNKS 8

struct fs_reading_chunk {
    struct fs_reading *reading; /* NULL: free */
    struct fs_getting getting;
};

/* A run of bytes of a content; embedded by its owner. */
struct fs_reading {
    struct content content;
    uint64_t offset;
    size_t len;    /* within the content */
    uint8_t *data; /* the owner's, of len bytes */
    uint8_t priority;
    bool waits;
    /* Once, never before fs_read_bytes() returns. */
    void (*done)(struct node_fs *fs, struct fs_reading *reading, int code, const char *text);
    /* inside: */
    struct fs_todo todo;
    struct fs_read_job *job; /* a thread reads it from this node's disks */
    struct fs_reading_chunk chunks[FS_READING_CHUNKS];
    uint32_t next, end; /* chunks */
    uint32_t busy_n;
    struct fs_sources sources;
    int code;
    char text[512];
};
void fs_read_bytes(struct node_fs *fs, struct fs_reading *reading);
void fs_read_cancel(struct node_fs *fs, struct fs_reading *reading);
/* The content that is to be read: what the path has, or, of the hash that is asked for, whatever
 * version has it. 0 or a code with its sentence. */
int fs_content_of(struct node_fs *fs, const struct kith_fs_op *op, struct content *content_out);

/* ---- uv_fs_serve.c ---- */
void fs_serve_do(struct node_fs *fs, const struct serve_event *event);
/* What the bulk stream to @peer takes now. */
size_t fs_serve_room(struct node_fs *fs, struct uv_peer *peer);

/* ---- fs_damages.c ---- */
int fs_damages_open(struct fs_move *move);
void fs_damages_deinit(struct fs_move *move);
/* @peer sent a damaged chunk, or list, of what @path has. */
void fs_damages_add(struct node_fs *fs, const struct kith_node_id *peer, const char *path);

/* ---- fs_checks.c: what came is checked ---- */
int fs_checks_open(struct fs_move *move);
void fs_checks_deinit(struct fs_move *move);
void fs_checks_tick(struct node_fs *fs, uint64_t now_ms);
uint64_t fs_checks_deadline_ms(struct node_fs *fs); /* UINT64_MAX: none */
/* Of a VERIFY. fs_fetch_checked() follows, never before this returns. Inside a step. */
void fs_check(struct node_fs *fs, const struct fetch_action *action);
/* Of uv_fs_move.c: tells the core. */
void fs_fetch_checked(struct node_fs *fs, uint64_t token, int code);

/* ---- uv_fs_move.c ---- */
/* Begins the fetch of what @want waits for. */
void fs_fetch_start(struct node_fs *fs, struct fs_want *want);
void fs_fetch_cancel(struct node_fs *fs, struct fs_want *want);
/* Somebody came who does not wait. */
void fs_fetch_hurry(struct node_fs *fs, struct fs_want *want);
/* Who holds it may be another than before. Inside a step. */
void fs_fetch_holders(struct node_fs *fs, const struct content *content);
/* A path that has it, for people, with a NUL. */
void fs_content_path(struct node_fs *fs, const uint8_t root[FS_ROOT_BYTES], struct buf *out);

#endif
