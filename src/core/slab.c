/*
 * Pieces are cut from blocks, blocks from chunks. A block begins at a multiple of its size, so what
 * is in it finds its number; chunks are large, so that this leaves few holes in malloc's memory.
 */
#include "core/slab.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "core/alloc.h"

#define CHUNK_BLOCKS 16
/* The last block of a chunk is so much shorter: malloc's own few bytes stand there, and the next
 * chunk can stand behind. */
#define CHUNK_END_BYTES 64

static_assert(SLAB_SMALL_BYTES % SLAB_LARGE_BYTES == 0, "sizes go on where small ones end");
static_assert((SLAB_PIECE_MAX - SLAB_SMALL_BYTES) % SLAB_LARGE_BYTES == 0, "and end at the most");
static_assert(sizeof(struct slab_block) == SLAB_STEP_BYTES,
              "a block has room for pieces behind it");
static_assert((uint64_t)SLAB_BLOCKS_MAX * (SLAB_BLOCK_BYTES / SLAB_STEP_BYTES) == 1ull << 32,
              "a link has 32 bits");

static uintptr_t nowhere[1]; /* the blocks of an empty slab */

void slab_init(struct slab *slab)
{
    *slab = (struct slab){.blocks = nowhere, .blocks_n = 1};
}

/* What a piece of @size takes. */
static uint32_t rounded(size_t size)
{
    uint32_t to = size <= SLAB_SMALL_BYTES ? SLAB_STEP_BYTES : SLAB_LARGE_BYTES;
    return ((uint32_t)size + to - 1) / to * to;
}

static uint32_t class_of(uint32_t bytes)
{
    if (bytes <= SLAB_SMALL_BYTES)
        return bytes / SLAB_STEP_BYTES;
    return (SLAB_SMALL_BYTES / SLAB_STEP_BYTES) + (bytes - SLAB_SMALL_BYTES) / SLAB_LARGE_BYTES;
}

static void put_free(struct slab *slab, void *piece, uint32_t bytes)
{
    uint32_t *next = piece;
    *next = slab->free[class_of(bytes)];
    slab->free[class_of(bytes)] = slab_link(piece);
}

static bool chunk_begin(struct slab *slab)
{
    slab->next_block = core_aligned_alloc(
        SLAB_BLOCK_BYTES, (size_t)CHUNK_BLOCKS * SLAB_BLOCK_BYTES - CHUNK_END_BYTES);
    slab->blocks_left = slab->next_block != NULL ? CHUNK_BLOCKS : 0;
    return slab->next_block != NULL;
}

static bool block_begin(struct slab *slab)
{
    if (slab->blocks_n == SLAB_BLOCKS_MAX)
        return false;
    if (slab->blocks_n >= slab->blocks_cap) {
        uint32_t cap = slab->blocks_cap == 0 ? CHUNK_BLOCKS : 2 * slab->blocks_cap;
        uintptr_t *old = slab->blocks == nowhere ? NULL : slab->blocks;
        uintptr_t *blocks = core_realloc(old, cap * sizeof(*blocks));
        if (blocks == NULL)
            return false;
        blocks[0] = 0;
        slab->blocks = blocks;
        slab->blocks_cap = cap;
    }
    if (slab->blocks_left == 0 && !chunk_begin(slab))
        return false;
    /* What is left of the last one is pieces of the sizes that it comes to. */
    while (slab->left > 0) {
        uint32_t bytes = slab->left;
        if (bytes > SLAB_SMALL_BYTES)
            bytes = bytes / SLAB_LARGE_BYTES * SLAB_LARGE_BYTES;
        put_free(slab, slab->at, bytes);
        slab->at += bytes;
        slab->left -= bytes;
    }
    ((struct slab_block *)(void *)slab->next_block)->no = slab->blocks_n;
    slab->blocks[slab->blocks_n++] = (uintptr_t)slab->next_block;
    slab->at = slab->next_block + sizeof(struct slab_block);
    slab->left = SLAB_BLOCK_BYTES - (uint32_t)sizeof(struct slab_block);
    if (--slab->blocks_left == 0)
        slab->left -= CHUNK_END_BYTES;
    else
        slab->next_block += SLAB_BLOCK_BYTES;
    return true;
}

void *slab_alloc(struct slab *slab, size_t size)
{
    assert(size > 0 && size <= SLAB_PIECE_MAX);
    uint32_t bytes = rounded(size);
    uint32_t *first = &slab->free[class_of(bytes)];
    void *piece = slab_at(slab, *first);
    if (piece != NULL) {
        *first = *(const uint32_t *)piece;
        return memset(piece, 0, bytes);
    }
    if (bytes > slab->left && !block_begin(slab))
        return NULL;
    piece = slab->at;
    slab->at += bytes;
    slab->left -= bytes;
    return memset(piece, 0, bytes);
}

void slab_free(struct slab *slab, void *piece, size_t size)
{
    assert(size > 0 && size <= SLAB_PIECE_MAX);
    put_free(slab, piece, rounded(size));
}

void slab_deinit(struct slab *slab)
{
    for (uint32_t i = 1; i < slab->blocks_n; i += CHUNK_BLOCKS)
        core_free(slab_at(slab, i * (SLAB_BLOCK_BYTES / SLAB_STEP_BYTES)));
    if (slab->blocks != nowhere)
        core_free(slab->blocks);
    slab_init(slab);
}
