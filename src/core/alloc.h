/*
 * Allocation through one hook, so that a test can make the n-th one fail.
 */
#ifndef CORE_ALLOC_H
#define CORE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

/* As malloc, calloc, realloc: NULL if memory is short. Free with core_free() or free(). */
void *core_malloc(size_t size);
void *core_calloc(size_t n, size_t size);
void *core_realloc(void *memory, size_t size);
/* At a multiple of @align, a power of two. */
void *core_aligned_alloc(size_t align, size_t size);
void core_free(void *memory);

/* A copy of the @len bytes at @data with a NUL behind them. */
char *core_strndup(const char *data, size_t len);

/* Tests only: the @n-th allocation from now on this thread fails (1 is the next); 0 turns it off.
 */
void core_alloc_fail_at(uint64_t n);

/* Cleanup attribute: `core_autofree char *x = NULL;` */
void core_autofree_fn(void *pointer_to_pointer);
#define core_autofree __attribute__((cleanup(core_autofree_fn)))

#endif
