/*
 * What a copy can be made of without asking others: another version of the path, which this node
 * holds. Chunks that have the same hashes at the same places are read there, checked, and written
 * into the copy. What only grew is not even read: see fs_keep_grow().
 */
#ifndef NODE_FS_SIBLING_H
#define NODE_FS_SIBLING_H

#include "node/fs_keep.h"

/* Of a chunk of a copy. */
enum fs_have {
    FS_HAVE_NOT = 0,
    FS_HAVE_HERE,   /* it was in the file that is the copy, or came there from the sibling */
    FS_HAVE_ASKED,  /* from whoever has it */
    FS_HAVE_BEFORE, /* in the file of the sibling, which grows */
};

struct fs_sibling {
    struct content content; /* what is copied */
    struct content before;  /* what is here */
    struct fs_where where;
    bool may_grow; /* the copy is for the keep, where the sibling is */
    bool holes;    /* what is not written to the copy is zeros */
    bool listed;   /* whether it has been tried to read the lists */
    bool grows;    /* fs_keep_grow() is to end it: the copy needs no chunk below `from` */
    uint64_t from;
    struct buf list; /* of `content`, checked; empty: not known yet, or not needed */
    struct buf list_before;
    uint32_t at;          /* chunks below have been looked at */
    uint64_t taken_bytes; /* by the last look */
    int code;             /* the copy cannot be written */
    char text[256];
};

/* On the loop. False: this node has nothing that would do. fs_sibling_deinit() in any case. */
bool fs_sibling_find(struct node_fs *fs,
                     const struct content *content,
                     struct fs_sibling *sibling_out);
void fs_sibling_deinit(struct fs_sibling *sibling);
/* Which chunk is asked for first, as the list comes with it: one that is most probably another. */
uint32_t fs_sibling_first(const struct fs_sibling *sibling);
/*
 * On a thread: looks for chunks that are not @have, and writes them to @fd. True: there is more to
 * look at (so that no call takes long). What could not be read or is another is left as it is.
 */
bool fs_sibling_take(struct node_fs *fs, struct fs_sibling *sibling, uint8_t *have, int fd);
/* It did not grow: all that it has is looked at once more, and copied. */
void fs_sibling_again(struct fs_sibling *sibling, uint8_t *have);

#endif
