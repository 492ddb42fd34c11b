/*
 * The files of a node, inside: what the files fs*.c and uv_fs*.c of this room share. Loop thread
 * only unless said otherwise. docs/protocols/fs.md has the protocol, src/fs the cores.
 */
#ifndef NODE_FS_H
#define NODE_FS_H

#include "core/arena.h"
#include "core/list.h"
#include "core/map.h"
#include "kith/fs.h"
#include "node/queue.h"

struct node_fs; /* uv_fs.h */

/* A result that is being put together. What it points to is of its arena. */
struct fs_box {
    struct kith_fs_result result;
    struct arena arena;
};
struct fs_box *fs_box_new(void); /* NULL if memory is short */
void fs_box_free(struct fs_box *box);
/* A copy of @text, "" for NULL, that lives as long as the box; NULL if memory is short. */
const char *fs_box_text(struct fs_box *box, const char *text);

/* An operation under way. */
struct fs_op {
    struct list link; /* of those that run */
    struct node_request request;
    struct kith_node *node;
    uint64_t id;
    kith_fs_cb cb;
    void *user;
    struct kith_fs_op op;           /* its pointers are into bytes */
    uint64_t deadline_ms;           /* of the loop's clock; UINT64_MAX: none */
    void (*stop)(struct fs_op *op); /* it is given up: lets go of what it waits for; or NULL */
    void *state;                    /* of the kind */
    char bytes[];
};

/* ---- fs.c ---- */
/* What can be said of it at once: 0, KITH_E_INVALID, KITH_E_NAME, KITH_E_TOO_LARGE. Any thread. */
int node_fs_check_op(const struct kith_fs_op *op);
/* A copy of @from with a number. 0, KITH_E_MEMORY. Any thread. */
int fs_op_new(struct kith_node *node,
              const struct kith_fs_op *from,
              kith_fs_cb cb,
              void *user,
              struct fs_op **op_out);
/* It runs from here on: it can be cancelled, and times out. 0, KITH_E_MEMORY. */
int fs_op_enlist(struct node_fs *fs, struct fs_op *op);
/* Ends @op, which is gone from here on: with @box, which is taken over; or with @code and its
 * sentence (NULL: kith_errmsg()). Runs the callback. */
void fs_op_done(struct fs_op *op, struct fs_box *box);
void fs_op_fail(struct fs_op *op, int code, const char *text);
/* Ends those whose time is over. */
void fs_ops_tick(struct node_fs *fs);

/* ---- fs_ops.c ---- */
/* Runs it; it ends with fs_op_done() or fs_op_fail(), perhaps before this returns. */
void node_fs_op_run(struct kith_node *node, struct fs_op *op);

/* ---- by file ---- */
void fs_op_list(struct node_fs *fs, struct fs_op *op); /* fs_list.c */
void fs_op_stat(struct node_fs *fs, struct fs_op *op);
void fs_op_remove(struct node_fs *fs, struct fs_op *op); /* fs_change.c */
void fs_op_resolve(struct node_fs *fs, struct fs_op *op);
void fs_op_restore(struct node_fs *fs, struct fs_op *op); /* fs_restore.c */
void fs_op_read(struct node_fs *fs, struct fs_op *op);    /* fs_read.c */
void fs_op_get(struct node_fs *fs, struct fs_op *op);     /* fs_get.c */
void fs_op_put(struct node_fs *fs, struct fs_op *op);     /* fs_put.c */
void fs_op_write(struct node_fs *fs, struct fs_op *op);
void fs_op_append(struct node_fs *fs, struct fs_op *op);
void fs_op_pin(struct node_fs *fs, struct fs_op *op); /* fs_pin.c */
void fs_op_evict(struct node_fs *fs, struct fs_op *op);
void fs_op_cache(struct node_fs *fs, struct fs_op *op);
void fs_op_verify(struct node_fs *fs, struct fs_op *op);
void fs_op_share(struct node_fs *fs, struct fs_op *op); /* fs_shares.c */
/* fs_get.c: tells of progress, at most ten times a second. @copy: of which the holders are told;
 * may be NULL. */
struct fs_copy;
void fs_op_progress(struct fs_op *op,
                    const struct fs_copy *copy,
                    uint64_t done_bytes,
                    uint64_t all_bytes,
                    uint64_t began_ms,
                    uint64_t *told_ms);

#endif
