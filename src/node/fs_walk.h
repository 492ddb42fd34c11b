/*
 * All that the catalogue shows at a path and beneath it, in the order of paths. Loop thread only.
 */
#ifndef NODE_FS_WALK_H
#define NODE_FS_WALK_H

#include "fs/catalogue.h"
#include "node/uv_fs.h"

/* Ends with what @each gives, if that is not 0; KITH_E_MEMORY. @each must not ask the catalogue:
 * its answers stand where the names in @walked do. */
typedef int (*fs_walked_fn)(void *user, const struct fs_walked *walked);
int fs_each_walked(struct node_fs *fs, const struct fs_walk *walk, fs_walked_fn each, void *user);

/* The files; all of the share where @path is "", of all shares where @share is. */
typedef int (*fs_each_file_fn)(void *user,
                               struct kith_bytes share,
                               struct kith_bytes path,
                               const struct content *content);
int fs_each_file(struct node_fs *fs,
                 struct kith_bytes share,
                 struct kith_bytes path,
                 fs_each_file_fn each,
                 void *user);

#endif
