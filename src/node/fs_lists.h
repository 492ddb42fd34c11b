/*
 * The lists of chunks of contents that this node holds, as files under DIR/files/lists: who asks
 * for the content is given its list first. They are no more than a shortcut: one that is missing or
 * damaged is made again from the content. For threads.
 */
#ifndef NODE_FS_LISTS_H
#define NODE_FS_LISTS_H

#include "core/bytes.h"
#include "fs/content.h"

struct node_fs;

/* Keeps it; what cannot be written is not. Nothing for contents of one chunk. */
void fs_list_keep(struct node_fs *fs, const struct content *content, struct kith_bytes list);
/* Reads it and checks it: 0; KITH_E_NOT_FOUND, also if it is damaged; KITH_E_MEMORY. */
int fs_list_read(struct node_fs *fs, const struct content *content, struct buf *list_out);
void fs_list_remove(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES]);

#endif
