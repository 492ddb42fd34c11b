/*
 * Objects of one size, taken and given back in constant time. Memory comes in slabs and stays until
 * everything is given back, so that the steady state allocates nothing.
 */
#ifndef RPC_POOL_H
#define RPC_POOL_H

#include <stddef.h>
#include <string.h>

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

/*
 * memset() to zero of a few hundred bytes. With a size known to the compiler gcc makes `rep stos`
 * of it, which takes 15 ns to start; the library's takes 3.
 */
static inline void zero_fast(void *memory, size_t size)
{
    __asm__("" : "+r"(size));
    memset(memory, 0, size);
}

#endif
