/*
 * Publications of one operation: many of them, a bounded number under way at a time.
 */
#ifndef NODE_FS_CHANGES_H
#define NODE_FS_CHANGES_H

#include "node/uv_fs.h"

struct change_one {
    struct fs_publishing publishing;
    struct changes *changes;
    char *target; /* of a symlink that is put; may be NULL */
    char share[FS_SHARE_BYTES_MAX + 1];
    char path[]; /* ends with a NUL */
};

struct changes {
    struct fs_op *op; /* NULL: it has been given up */
    struct change_one **all;
    size_t n, cap;
    size_t next; /* to be published */
    size_t under_way, done_n;
    int code;
    char text[512];
    /* Once all are through: ends the operation. */
    void (*end)(struct node_fs *fs, struct changes *changes);
};

/* Of @op, which they end. NULL if memory is short. */
struct changes *changes_new(struct fs_op *op, void (*end)(struct node_fs *, struct changes *));
/* A publication of @change at SHARE/@path, to be filled in. NULL if memory is short. */
struct change_one *changes_add(struct changes *changes,
                               struct kith_bytes share,
                               struct kith_bytes path,
                               uint8_t change);
/* KITH_E_PERMISSION if this node shares a folder as @share that it may not write. */
int changes_check_folder(struct node_fs *fs, struct kith_bytes share);
/* Begins, if preparing them came to 0, or ends the operation with the code and its sentence. */
void changes_begin(struct node_fs *fs, struct fs_op *op, struct changes *changes, int r);
/* Ends that give the count of what was done, and the entry as it is now. */
void changes_end_with_count(struct node_fs *fs, struct changes *changes);
void changes_end_with_entry(struct node_fs *fs, struct changes *changes);
void changes_free(struct changes *changes);

#endif
