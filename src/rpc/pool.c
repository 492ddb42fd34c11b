#include "rpc/pool.h"

#include <assert.h>
#include <stdalign.h>

#include "core/alloc.h"

#define POOL_SLAB_OBJECTS 16
/* Above so many slabs an idle pool gives its memory back. */
#define POOL_SLABS_IDLE_MAX 256

struct pool_free {
    struct pool_free *next;
};

struct pool_slab {
    alignas(max_align_t) struct pool_slab *next;
    alignas(max_align_t) unsigned char objects[];
};

void pool_init(struct pool *pool, size_t size)
{
    const size_t unit = alignof(max_align_t);
    *pool = (struct pool){.size = (size + unit - 1) / unit * unit};
    assert(size >= sizeof(struct pool_free));
}

static void free_slabs(struct pool *pool)
{
    while (pool->slabs != NULL) {
        struct pool_slab *slab = pool->slabs;
        pool->slabs = slab->next;
        core_free(slab);
    }
    pool->slabs_n = 0;
    pool->free = NULL;
}

void pool_deinit(struct pool *pool)
{
    free_slabs(pool);
    pool->in_use = 0;
}

static int grow(struct pool *pool)
{
    struct pool_slab *slab = core_malloc(sizeof(*slab) + POOL_SLAB_OBJECTS * pool->size);
    if (slab == NULL)
        return -1;
    slab->next = pool->slabs;
    pool->slabs = slab;
    pool->slabs_n++;
    for (size_t i = POOL_SLAB_OBJECTS; i-- > 0;) {
        struct pool_free *object = (struct pool_free *)(void *)(slab->objects + i * pool->size);
        object->next = pool->free;
        pool->free = object;
    }
    return 0;
}

void *pool_take(struct pool *pool)
{
    if (pool->free == NULL && grow(pool) != 0)
        return NULL;
    struct pool_free *object = pool->free;
    pool->free = object->next;
    pool->in_use++;
    return object;
}

void pool_give(struct pool *pool, void *object)
{
    assert(pool->in_use > 0);
    struct pool_free *freed = object;
    freed->next = pool->free;
    pool->free = freed;
    pool->in_use--;
    if (pool->in_use == 0 && pool->slabs_n > POOL_SLABS_IDLE_MAX)
        free_slabs(pool);
}
