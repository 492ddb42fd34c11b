/*
 * Contents of simulated files: their bytes exist once, whoever has them. What a node has of one on
 * its disk is a state of each chunk (host_fs.h).
 */
#ifndef SIM_FS_ITEMS_H
#define SIM_FS_ITEMS_H

#include "core/bytes.h"
#include "core/map.h"
#include "core/rng.h"
#include "fs/content.h"

#define FI_ITEMS_MAX  256 /* then files are equal to others */
#define FI_CHUNKS_MAX 4
#define FI_BYTES_MAX  (FI_CHUNKS_MAX * 131072u)

struct fi_item {
    struct content content;
    uint8_t *bytes;
    struct buf list; /* of its chunks' hashes; empty for at most one */
};

struct fi_items {
    struct fi_item items[FI_ITEMS_MAX + 1]; /* from 1 on: 0 is none */
    unsigned n;
    struct map64 by_root;
};

void fi_deinit(struct fi_items *items);
/* A new content, most of them small, some of a few chunks, some of which are zeros. */
unsigned fi_make(struct fi_items *items, struct rng *rng);
/* @base and some more bytes behind it; 0: it would be too large. */
unsigned fi_append(struct fi_items *items, unsigned base, struct rng *rng);
/* 0: none of them. */
unsigned fi_of(const struct fi_items *items, const uint8_t root[CONTENT_ROOT_BYTES]);
/* Of a chunk. */
const uint8_t *fi_chunk(const struct fi_items *items, unsigned item, uint32_t chunk);
static inline const struct content *fi_content(const struct fi_items *items, unsigned item)
{
    return &items->items[item].content;
}

#endif
