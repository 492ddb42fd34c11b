/*
 * Intrusive binary min-heap of deadlines. Equal keys leave in the order they came (so that a
 * simulation is the same everywhere).
 */
#ifndef CORE_HEAP_H
#define CORE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    uint64_t key;
    uint64_t order; /* set by the heap */
    size_t at;      /* index + 1; 0: in no heap */
};

struct heap {
    struct heap_node **nodes;
    size_t n;
    size_t cap;
    uint64_t next_order;
};

void heap_deinit(struct heap *heap);
/* Adds @node under @key, or moves it there if it is in the heap. 0 or KITH_E_MEMORY. */
int heap_set(struct heap *heap, struct heap_node *node, uint64_t key);
void heap_remove(struct heap *heap, struct heap_node *node); /* fine if absent */
struct heap_node *heap_first(const struct heap *heap);       /* NULL if empty */
static inline bool heap_contains(const struct heap_node *node)
{
    return node->at != 0;
}

#endif
