/*
 * Contents that this node keeps whole: copies for others, what was put here, what is pinned.
 */
#ifndef NODE_FS_KEEP_H
#define NODE_FS_KEEP_H

#include "node/fs_move.h"

/* What is remembered of a content in the keep, or of one that nobody names. */
struct fs_kept {
    struct content content;
    uint64_t scrubbed_wall_ms;
    uint64_t unreferenced_wall_ms; /* 0: it is named */
    bool was_pinned;               /* by an earlier version, which pinned contents: fs_pins.c */
};

/* ---- fs_kept.c ---- */
struct fs_kept *fs_kept_find(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES]);
/* The one of @content, made if there is none; NULL if memory is short. To be stored when changed.
 */
struct fs_kept *fs_kept_get(struct node_fs *fs, const struct content *content);
void fs_kept_store(struct node_fs *fs, const struct fs_kept *kept);
void fs_kept_forget(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES]);
/* All of them: `size_t at = 0; while (fs_kept_next(fs, &at) != NULL)`. One that is added meanwhile
 * may be missed. */
struct fs_kept *fs_kept_next(struct node_fs *fs, size_t *at);
void fs_kept_deinit(struct node_fs *fs);
int fs_kept_recall(struct node_fs *fs, const struct store_entry *entry);

/* ---- fs_copies.c ---- */

enum fs_copy_target {
    FS_COPY_KEEP = 0, /* the keep: recorded and announced when it is whole */
    FS_COPY_PART,     /* a part file: fd is it, whole, for reading; the owner closes it, and removes
                         the part */
    FS_COPY_FILE,     /* fd, an empty file of the content's size, which is given for the time of the
                         copy */
};

/* A content on its way to this machine; embedded by its owner. */
struct fs_copy {
    struct content content;
    uint8_t priority; /* enum fetch_priority */
    uint8_t target;   /* enum fs_copy_target */
    bool waits;
    bool repairs; /* what is here was found damaged: nothing here is trusted that is not read */
    int fd;
    uint64_t done_bytes;
    struct fs_sources from;                                     /* who sent it; when it is done */
    void (*progress)(struct node_fs *fs, struct fs_copy *copy); /* of done_bytes; may be NULL */
    /* Once, never before fs_copy_start() returns. */
    void (*done)(struct node_fs *fs, struct fs_copy *copy, int code, const char *text);
    struct fs_copying *inside;
};
void fs_copy_start(struct node_fs *fs, struct fs_copy *copy);
/* done does not run. What a FILE is given as fd is given back, as a descriptor that the owner
 * closes; else -1. */
int fs_copy_cancel(struct node_fs *fs, struct fs_copy *copy);
/* The list of a content came, and was checked: copies may wait for it. */
void fs_copies_listed(struct node_fs *fs, const struct content *content, struct kith_bytes list);
/* One of this content into the keep is under way. */
bool fs_copy_runs(const struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES]);
/* Who sent what of it is here; NULL: it does not run. Borrowed until the next callback. */
const struct fs_sources *fs_copy_sources(const struct fs_copy *copy);

/* ---- fs_hold.c ---- */

/* Announces that the keep has @content, or has it no more; @done runs once, later. */
struct fs_holding_change;
void fs_hold(struct node_fs *fs,
             const struct content *content,
             bool held,
             void (*done)(struct node_fs *fs, void *user, int code, const char *text),
             void *user);

/* ---- fs_sweep.c ---- */

int fs_sweep_open(struct node_fs *fs); /* 0, KITH_E_MEMORY */
void fs_sweep_deinit(struct node_fs *fs);
/* @content may have lost the last record that says the keep has it: then it goes, soon. */
void fs_sweep_look(struct node_fs *fs, const struct content *content);
void fs_sweep_tick(struct node_fs *fs);
/* The keep has it still, though no record says so: a path had it a moment ago. Who asks has time to
 * read it. */
bool fs_is_former(struct node_fs *fs, const struct content *content);
/* Which one has this root. */
bool fs_former_of(struct node_fs *fs,
                  const uint8_t root[CONTENT_ROOT_BYTES],
                  struct content *content_out);
/* Before a content gets its name in the keep, on the thread that gives it; and, on the loop, when
 * its record is there or it will have none. */
void fs_guard(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES]);
void fs_unguard(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES]);
/*
 * Removes a content from the keep, with its list; on a thread, between fs_removing() and
 * fs_removed() on the loop. The first comes when it is decided that nothing names it. 0,
 * KITH_E_EXISTS (it is guarded: somebody puts it there), KITH_E_IO.
 */
void fs_removing(struct node_fs *fs);
void fs_removed(struct node_fs *fs);
int fs_remove_kept(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES], bool *was_there_out);
/* Likewise, of one that is damaged: fs_keep_to_part(). Its list stays. */
int fs_part_kept(struct node_fs *fs, const struct content *content, bool *was_there_out);

/* ---- fs_stray.c ---- */

/* The keep has a file of this name and size, and no record says so. */
void fs_stray_found(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES], uint64_t bytes);
bool fs_stray_is(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES]);
void fs_stray_forget(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES]);
/* Verifies it and has it held, or removes it: fs_keep_adopted(). @content is a version's. */
void fs_stray_adopt(struct node_fs *fs, const struct content *content);
void fs_strays_look(struct node_fs *fs); /* at the next of them; once a second */
void fs_strays_deinit(struct node_fs *fs);

/* ---- fs_tidy.c ---- */

void fs_tidy_first(struct node_fs *fs); /* when it starts */
void fs_tidy_tick(struct node_fs *fs);  /* once a second */
/* As if it were that time; the second is of the clock that does not step. */
void fs_tidy(struct node_fs *fs, uint64_t wall_ms, uint64_t now_ms);

/* ---- fs_verify.c ---- */

/* Reads all of a content that is here and checks it; on a thread. As fs_where_read(), and
 * KITH_E_CORRUPT. *@bytes_out grows by what was read. @list_out, if it is not NULL, gets its list
 * of chunks, which is kept as well. KITH_E_CANCELED: the node stops. */
int fs_verify_where(struct node_fs *fs,
                    const struct fs_where *where,
                    const struct content *content,
                    struct buf *list_out,
                    uint64_t *bytes_out);

/* ---- fs_keep_facts.c ---- */

struct fs_keep_facts {
    struct keep_facts facts; /* points to what follows */
    struct kith_node_id holders[FS_KEEP_HOLDERS_MAX];
    struct kith_node_id near[FS_KEEP_HOLDERS_MAX];
};
void fs_keep_facts(struct node_fs *fs, const struct content *content, struct fs_keep_facts *known);

/* ---- fs_keep_rest.c ---- */
void fs_keep_content(struct node_fs *fs, const struct content *content);
void fs_keep_rest_tick(struct node_fs *fs); /* once a second */
void fs_keep_rest_deinit(struct node_fs *fs);

/* ---- uv_fs_keep.c ---- */
int fs_keep_open(struct node_fs *fs);
void fs_keep_first(struct node_fs *fs);
void fs_keep_stop(struct node_fs *fs);
void fs_keep_deinit(struct node_fs *fs);
void fs_keep_link(struct node_fs *fs, const struct kith_node_id *id, bool up);
void fs_keep_frame(struct node_fs *fs, const struct kith_node_id *from, struct kith_bytes data);
void fs_keep_tick(struct node_fs *fs, uint64_t now_ms);
uint64_t fs_keep_deadline_ms(struct node_fs *fs);
void fs_keep_sample(struct node_fs *fs); /* once a second: the next contents of the round */
/* Shows it to the core; outside of a step. */
void fs_keep_look(struct node_fs *fs, const struct content *content);
/* @peer sent damage: tells it so. Inside a step or outside. */
void fs_keep_doubt(struct node_fs *fs,
                   const struct kith_node_id *peer,
                   const struct content *content,
                   uint32_t chunk);
/* Somebody asks for a content by hand: a copy of it that the core wanted ends, with what came. */
void fs_keep_give_way(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES]);
void fs_keep_adopted(struct node_fs *fs, const struct content *content, int code);
/*
 * Its copy in the keep is no good: from now on it is none, and once no record says that there is
 * one it becomes the part of the content, so that what is good of it need not be fetched again.
 * @done runs once, later, also if it was set aside already.
 */
typedef void (*fs_aside_fn)(struct node_fs *fs,
                            void *user,
                            const struct content *content,
                            int code);
void fs_keep_set_aside(struct node_fs *fs,
                       const struct content *content,
                       fs_aside_fn done,
                       void *user);
bool fs_keep_is_aside(const struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES]);
/* The same, told in the log; then it is fetched again, if a version names it. */
void fs_keep_damage(struct node_fs *fs, const struct content *content);
void fs_keep_forget(struct node_fs *fs, const struct kith_node_id *id);

#endif
