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

void fsc_pool_free(struct fs_catalogue *core)
{
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
