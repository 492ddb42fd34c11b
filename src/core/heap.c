/*
 * A 4-ary heap: half the depth of a binary one, and the four children of a slot stand side by side.
 * Keys are kept in the array, so that sifting touches the nodes only to tell them their place.
 */
#include "core/heap.h"

#include "core/alloc.h"
#include "kith/error.h"

#define ARITY 4

static bool before(const struct heap_slot *a, const struct heap_slot *b)
{
    return a->key < b->key || (a->key == b->key && a->order < b->order);
}

static void put(struct heap *heap, size_t i, struct heap_slot slot)
{
    heap->slots[i] = slot;
    slot.node->at = i + 1;
}

static void sift_up(struct heap *heap, size_t i, struct heap_slot slot)
{
    while (i > 0) {
        size_t parent = (i - 1) / ARITY;
        if (!before(&slot, &heap->slots[parent]))
            break;
        put(heap, i, heap->slots[parent]);
        i = parent;
    }
    put(heap, i, slot);
}

static void sift_down(struct heap *heap, size_t i, struct heap_slot slot)
{
    for (;;) {
        size_t child = i * ARITY + 1;
        if (child >= heap->n)
            break;
        size_t end = child + ARITY < heap->n ? child + ARITY : heap->n;
        size_t least = child;
        for (size_t c = child + 1; c < end; c++)
            if (before(&heap->slots[c], &heap->slots[least]))
                least = c;
        if (!before(&heap->slots[least], &slot))
            break;
        put(heap, i, heap->slots[least]);
        i = least;
    }
    put(heap, i, slot);
}

static void place(struct heap *heap, size_t i, struct heap_slot slot)
{
    if (i > 0 && before(&slot, &heap->slots[(i - 1) / ARITY]))
        sift_up(heap, i, slot);
    else
        sift_down(heap, i, slot);
}

void heap_deinit(struct heap *heap)
{
    for (size_t i = 0; i < heap->n; i++)
        heap->slots[i].node->at = 0;
    core_free(heap->slots);
    *heap = (struct heap){0};
}

int heap_set(struct heap *heap, struct heap_node *node, uint64_t key)
{
    if (node->at == 0 && heap->n == heap->cap) {
        size_t cap = heap->cap == 0 ? 16 : heap->cap * 2;
        struct heap_slot *slots = core_realloc(heap->slots, cap * sizeof(*slots));
        if (slots == NULL)
            return KITH_E_MEMORY;
        heap->slots = slots;
        heap->cap = cap;
    }
    node->key = key;
    struct heap_slot slot = {.key = key, .order = heap->next_order++, .node = node};
    if (node->at != 0) {
        place(heap, node->at - 1, slot);
    } else {
        heap->n++;
        sift_up(heap, heap->n - 1, slot);
    }
    return 0;
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    if (node->at == 0)
        return;
    size_t i = node->at - 1;
    node->at = 0;
    heap->n--;
    if (i < heap->n)
        place(heap, i, heap->slots[heap->n]);
}
