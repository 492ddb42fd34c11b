/*
 * Many small things of few sizes: without malloc's head and rounding, a seventh of the catalogue.
 */
#include "fs/catalogue_internal.h"

#define BLOCK_BYTES (64 * 1024)
#define STEP_BYTES  8

struct fs_block {
    struct fs_block *next;
};
struct fs_large { /* a symlink with a long text */
    struct list link;
};
struct fs_free {
    struct fs_free *next;
};

static size_t class_of(size_t size)
{
    return (size + STEP_BYTES - 1) / STEP_BYTES;
}

void *fsc_alloc(struct fs_catalogue *core, size_t size)
{
    size_t c = class_of(size);
    struct fs_pool *pool = &core->pool;
    if (c >= FS_CLASSES_N) {
        struct fs_large *large = core_calloc(1, sizeof(*large) + size);
        if (large == NULL)
            return NULL;
        list_append(&pool->large, &large->link);
        return large + 1;
    }
    void *memory = pool->free[c];
    if (memory != NULL) {
        pool->free[c] = pool->free[c]->next;
        memset(memory, 0, c * STEP_BYTES);
        return memory;
    }
    if (c * STEP_BYTES > pool->left) {
        struct fs_block *block = core_malloc(BLOCK_BYTES);
        if (block == NULL)
            return NULL;
        block->next = pool->blocks;
        pool->blocks = block;
        /* What is left of the last block is one more piece of its size. */
        if (pool->left > 0) {
            struct fs_free *rest = (void *)pool->at;
            rest->next = pool->free[pool->left / STEP_BYTES];
            pool->free[pool->left / STEP_BYTES] = rest;
        }
        pool->at = (uint8_t *)(block + 1);
        pool->left = (BLOCK_BYTES - sizeof(*block)) / STEP_BYTES * STEP_BYTES;
    }
    memory = pool->at;
    pool->at += c * STEP_BYTES;
    pool->left -= c * STEP_BYTES;
    memset(memory, 0, c * STEP_BYTES);
    return memory;
}

void fsc_free(struct fs_catalogue *core, void *memory, size_t size)
{
    size_t c = class_of(size);
    if (c >= FS_CLASSES_N) {
        struct fs_large *large = (struct fs_large *)memory - 1;
        list_remove(&large->link);
        core_free(large);
        return;
    }
    struct fs_free *piece = memory;
    piece->next = core->pool.free[c];
    core->pool.free[c] = piece;
}

/* ---- records ---- */

static bool records_more(struct fs_catalogue *core)
{
    size_t cap = core->record_blocks_cap;
    uint32_t first = core->record_blocks_n * FS_RECORDS_BLOCK;
    if (first + FS_RECORDS_BLOCK > 1u << FS_RECORD_REF_BITS)
        return false;
    bool room = fsc_grow(core, &core->record_blocks, &cap, core->record_blocks_n,
                         sizeof(struct fs_record *));
    core->record_blocks_cap = (uint32_t)cap;
    struct fs_record *block = room ? core_calloc(FS_RECORDS_BLOCK, sizeof(*block)) : NULL;
    if (block == NULL)
        return false;
    core->record_blocks[core->record_blocks_n++] = block;
    for (uint32_t i = FS_RECORDS_BLOCK; i-- > 0;)
        if (first + i != 0)
            fsc_record_free(core, first + i);
    return true;
}

uint32_t fsc_record_alloc(struct fs_catalogue *core)
{
    if (core->record_free == 0 && !records_more(core)) {
        core->error = KITH_E_MEMORY;
        return 0;
    }
    uint32_t ref = core->record_free;
    struct fs_record *record = fsc_at(core, ref);
    core->record_free = record->next;
    record->next = 0;
    return ref;
}

void fsc_record_free(struct fs_catalogue *core, uint32_t ref)
{
    struct fs_record *record = fsc_at(core, ref);
    *record = (struct fs_record){.next = core->record_free & ((1u << FS_RECORD_REF_BITS) - 1)};
    core->record_free = ref;
}

void fsc_pool_free(struct fs_catalogue *core)
{
    for (uint32_t i = 0; i < core->record_blocks_n; i++)
        core_free(core->record_blocks[i]);
    core_free(core->record_blocks);
    while (core->pool.blocks != NULL) {
        struct fs_block *block = core->pool.blocks;
        core->pool.blocks = block->next;
        core_free(block);
    }
    list_for_each_safe (it, &core->pool.large) {
        list_remove(it);
        core_free(container_of(it, struct fs_large, link));
    }
}
