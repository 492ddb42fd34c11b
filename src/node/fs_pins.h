/*
 * Paths that are pinned at this node (fs/pins.h): what is remembered of them, and what follows from
 * a change of the catalogue. Loop thread only.
 */
#ifndef NODE_FS_PINS_H
#define NODE_FS_PINS_H

#include "fs/pins.h"
#include "node/uv_fs.h"

int fs_pins_open(struct node_fs *fs); /* 0, KITH_E_MEMORY */
int fs_pins_recall(struct node_fs *fs, const struct store_entry *entry);
void fs_pins_first(struct node_fs *fs); /* the catalogue is there */
void fs_pins_deinit(struct node_fs *fs);

/* From inside a step of the catalogue. */
void fs_pins_tell(struct node_fs *fs, const struct catalogue_change *change);
/* The core of copies looks at what is missing; outside of its steps. */
void fs_pins_look(struct node_fs *fs);

/* Pins what is, and will be, at the path and beneath it; stored. *@fresh_out: it was not.
 * KITH_E_LIMIT, KITH_E_MEMORY. */
int fs_pins_pin(struct node_fs *fs,
                struct kith_bytes share,
                struct kith_bytes path,
                bool *fresh_out);
/* The pin of just this path, if there is one; what it alone made stay may go. Gives how many files
 * that were. */
uint64_t fs_pins_unpin(struct node_fs *fs, struct kith_bytes share, struct kith_bytes path);
/* It, and those beneath it. KITH_E_INVALID: it is pinned as part of a folder. */
int fs_pins_unpin_all(struct node_fs *fs,
                      struct kith_bytes share,
                      struct kith_bytes path,
                      uint64_t *files_n_out);

#endif
