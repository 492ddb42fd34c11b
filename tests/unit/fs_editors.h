/*
 * Editors that change a made-up disk: each works step by step, in the ways that programs have.
 */
#ifndef FS_EDITORS_H
#define FS_EDITORS_H

#include "unit/fs_disk.h"

#define EDITORS 6

/* @sync: the node writes a version of another's to @path, by way of the file @temp. */
void editors_begin(struct disk *disk,
                   struct rng *rng,
                   uint64_t now_ms,
                   void (*sync)(const char *path, const char *temp));
/* What is due; who has ended begins something new only if it @may_begin. */
void editors_step(uint64_t now_ms, bool may_begin);
/* A size of a file; there are few, as sizes must not be what tells. */
uint64_t editors_size(void);

#endif
