/*
 * The queue of events and its pools. A simulation that runs out of memory has no result worth
 * having, so here, unlike in the shipped rooms, that ends the process with a sentence.
 */
#include "queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of data by pool: probes and acks, full datagrams, then frames. Larger ones are malloc'ed.
 */
static const size_t pool_bytes[SIM_POOLS_N] = {192, 1536, 8192, 65536 + 64, 1u << 20, SIZE_MAX};
#define SLAB_BYTES ((size_t)256 * 1024)

void *sim_realloc(void *memory, size_t n, size_t size)
{
    void *out = size != 0 && n > SIZE_MAX / size ? NULL : realloc(memory, n * size);

    if (out == NULL) {
        fprintf(stderr,
                "kith-sim: out of memory; use fewer nodes (--nodes) or a shorter run (--time)\n");
        abort();
    }
    return out;
}

void queue_deinit(struct sim_queue *queue)
{
    for (size_t i = 0; i < queue->n; i++)
        queue_release(queue, queue->heap[i].event);
    for (size_t i = 0; i < queue->slabs_n; i++)
        free(queue->slabs[i]);
    free(queue->slabs);
    free(queue->heap);
    memset(queue, 0, sizeof(*queue));
}

/* Cuts a slab into events of @pool. */
static void pool_grow(struct sim_queue *queue, unsigned pool)
{
    size_t event_bytes = (sizeof(struct sim_event) + pool_bytes[pool] + 15) & ~(size_t)15;
    size_t n = SLAB_BYTES / event_bytes > 0 ? SLAB_BYTES / event_bytes : 1;
    char *slab = sim_realloc(NULL, n, event_bytes);

    if (queue->slabs_n == queue->slabs_cap) {
        queue->slabs_cap = queue->slabs_cap > 0 ? 2 * queue->slabs_cap : 16;
        queue->slabs = sim_realloc(queue->slabs, queue->slabs_cap, sizeof(*queue->slabs));
    }
    queue->slabs[queue->slabs_n++] = slab;
    for (size_t i = n; i-- > 0;) {
        struct sim_event *event = (struct sim_event *)(void *)(slab + i * event_bytes);

        event->pool = (uint8_t)pool;
        event->next = queue->free[pool];
        queue->free[pool] = event;
    }
}

struct sim_event *queue_event(struct sim_queue *queue, enum sim_event_type type, size_t len)
{
    struct sim_event *event;
    unsigned pool = 0;

    while (len > pool_bytes[pool])
        pool++;
    if (pool == SIM_POOLS_N - 1) {
        event = sim_realloc(NULL, 1, sizeof(*event) + len);
    } else {
        if (queue->free[pool] == NULL)
            pool_grow(queue, pool);
        event = queue->free[pool];
        queue->free[pool] = event->next;
    }
    memset(event, 0, sizeof(*event));
    event->type = (uint8_t)type;
    event->pool = (uint8_t)pool;
    event->len = (uint32_t)len;
    return event;
}

void queue_release(struct sim_queue *queue, struct sim_event *event)
{
    if (event->pool == SIM_POOLS_N - 1) {
        free(event);
        return;
    }
    event->next = queue->free[event->pool];
    queue->free[event->pool] = event;
}

static inline bool before(const struct sim_queue_entry *a, const struct sim_queue_entry *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->seq < b->seq;
}

void queue_push(struct sim_queue *queue, struct sim_event *event, uint64_t at_ns, uint64_t seq)
{
    struct sim_queue_entry entry = {.at_ns = at_ns, .seq = seq, .event = event};
    size_t i = queue->n;

    if (queue->n == queue->cap) {
        queue->cap = queue->cap > 0 ? 2 * queue->cap : 1024;
        queue->heap = sim_realloc(queue->heap, queue->cap, sizeof(*queue->heap));
    }
    queue->n++;
    while (i > 0) {
        size_t parent = (i - 1) / 4;

        if (!before(&entry, &queue->heap[parent]))
            break;
        queue->heap[i] = queue->heap[parent];
        i = parent;
    }
    queue->heap[i] = entry;
}

struct sim_event *queue_pop(struct sim_queue *queue)
{
    struct sim_event *event = queue->heap[0].event;
    struct sim_queue_entry last = queue->heap[--queue->n];
    size_t i = 0;

    for (;;) {
        size_t child = 4 * i + 1;
        size_t end = child + 4 < queue->n ? child + 4 : queue->n;
        size_t least = child;

        if (child >= queue->n)
            break;
        for (size_t c = child + 1; c < end; c++) {
            if (before(&queue->heap[c], &queue->heap[least]))
                least = c;
        }
        if (!before(&queue->heap[least], &last))
            break;
        queue->heap[i] = queue->heap[least];
        i = least;
    }
    if (queue->n > 0)
        queue->heap[i] = last;
    return event;
}
