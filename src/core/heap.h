/*
 * Intrusive min-heap of deadlines. {0} is empty and valid. Equal keys leave in the order they came
 * (so that a simulation is the same everywhere).
 */
#ifndef CORE_HEAP_H
#define CORE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    uint64_t key; /* set by the heap */
    size_t at;    /* index + 1; 0: in no heap */
};

struct heap_slot {
    uint64_t key;
    uint64_t order; /* of arrival, among equal keys */
    struct heap_node *node;
};

struct heap {
    struct heap_slot *slots;
    size_t n;
    size_t cap;
    uint64_t next_order;
};

void heap_deinit(struct heap *heap);
/* Adds @node under @key, or moves it there if it is in the heap (which cannot fail) as the newest
 * of its key. 0 or KITH_E_MEMORY. A heap never shrinks, so re-adding what was removed does not
 * allocate. */
int heap_set(struct heap *heap, struct heap_node *node, uint64_t key);
void heap_remove(struct heap *heap, struct heap_node *node); /* fine if absent */
/* The node with the least key, or NULL. */
static inline struct heap_node *heap_first(const struct heap *heap)
{
    return heap->n > 0 ? heap->slots[0].node : NULL;
}
static inline bool heap_contains(const struct heap_node *node)
{
    return node->at != 0;
}

#endif
