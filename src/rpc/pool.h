/*
 * Objects of one size, taken and given back in constant time. Memory comes in slabs and stays until
 * everything is given back, so that the steady state allocates nothing.
 */
#ifndef RPC_POOL_H
#define RPC_POOL_H

#include <stddef.h>

struct pool_slab;
struct pool_free;

struct pool {
    size_t size;
    struct pool_free *free;
    struct pool_slab *slabs;
    size_t slabs_n;
    size_t in_use;
};

void pool_init(struct pool *pool, size_t size);
void pool_deinit(struct pool *pool);
/* Not zeroed; NULL if memory is short. Last given, first taken: it is still in the cache. */
void *pool_take(struct pool *pool);
void pool_give(struct pool *pool, void *object);

#endif
