/*
 * Many small things of few sizes, that live as long as what they belong to, and links between them
 * in 32 bits: where something is, in steps of 4 bytes, instead of its address. Nothing moves, so
 * pointers are good for as long as links are.
 *
 * A link may lead to any field of what is in a slab that stands at a multiple of 4. What has fields
 * of 64 bits is declared under `#pragma pack(4)`: pieces stand at multiples of 4, no more.
 */
#ifndef CORE_SLAB_H
#define CORE_SLAB_H

#include <stddef.h>
#include <stdint.h>

#define SLAB_STEP_BYTES  4
#define SLAB_BLOCK_BITS  16 /* of its bytes; blocks stand at multiples of their size */
#define SLAB_BLOCK_BYTES (1u << SLAB_BLOCK_BITS)
#define SLAB_PIECE_MAX   8192 /* bytes */
#define SLAB_BLOCKS_MAX  (1u << 18)

/* Up to SLAB_SMALL_BYTES each size has a list of free pieces, above each SLAB_LARGE_BYTES. */
#define SLAB_SMALL_BYTES 512
#define SLAB_LARGE_BYTES 256
#define SLAB_CLASSES_N                                                                             \
    (SLAB_SMALL_BYTES / SLAB_STEP_BYTES + (SLAB_PIECE_MAX - SLAB_SMALL_BYTES) / SLAB_LARGE_BYTES + \
     1)

struct slab_block { /* at its beginning */
    uint32_t no;    /* from 1 */
};

struct slab {
    uintptr_t
        *blocks; /* by number; [0] is 0, so that link 0 leads nowhere without being asked for */
    uint32_t blocks_n, blocks_cap;
    uint32_t blocks_left; /* of the last chunk */
    uint8_t *next_block;
    uint8_t *at; /* of the last block */
    uint32_t left;
    uint32_t free[SLAB_CLASSES_N]; /* links */
};

void slab_init(struct slab *slab);
void slab_deinit(struct slab *slab);
/* Zeroed, at a multiple of 4. @size: 1 to SLAB_PIECE_MAX. NULL if memory is short. */
void *slab_alloc(struct slab *slab, size_t size);
/* @size as it was asked for. */
void slab_free(struct slab *slab, void *piece, size_t size);

/* NULL for 0. */
static inline void *slab_at(const struct slab *slab, uint32_t link)
{
    const uint32_t steps = SLAB_BLOCK_BYTES / SLAB_STEP_BYTES;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): 0 and no offset must give NULL
    return (void *)(slab->blocks[link / steps] + (uintptr_t)(link % steps) * SLAB_STEP_BYTES);
}

/* The link to something in a slab; 0 for NULL. */
static inline uint32_t slab_link(const void *at)
{
    if (at == NULL)
        return 0;
    uintptr_t where = (uintptr_t)at % SLAB_BLOCK_BYTES;
    const struct slab_block *block = (const void *)((const uint8_t *)at - where);
    return block->no * (SLAB_BLOCK_BYTES / SLAB_STEP_BYTES) + (uint32_t)where / SLAB_STEP_BYTES;
}

#endif
