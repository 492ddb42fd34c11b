/*
 * What other threads ask of the loop: a lock-free stack of requests that the loop takes whole and
 * turns round, so that requests run in the order in which they were pushed.
 */
#ifndef NODE_QUEUE_H
#define NODE_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct kith_node;

struct node_request {
    struct node_request *next;
    /* Runs once on the loop thread. The request may be freed by it. */
    void (*run)(struct kith_node *node, struct node_request *request);
};

struct node_queue {
    _Atomic(struct node_request *) head;
};

static inline void node_queue_push(struct node_queue *queue, struct node_request *request)
{
    struct node_request *head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    do {
        request->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&queue->head, &head, request,
                                                    memory_order_release, memory_order_relaxed));
}

static inline bool node_queue_empty(const struct node_queue *queue)
{
    return atomic_load_explicit(&queue->head, memory_order_relaxed) == NULL;
}

/* All requests pushed so far, the oldest first, linked by next. One consumer. */
static inline struct node_request *node_queue_take(struct node_queue *queue)
{
    struct node_request *head = atomic_exchange_explicit(&queue->head, NULL, memory_order_acquire);
    struct node_request *oldest = NULL;
    while (head != NULL) {
        struct node_request *next = head->next;
        head->next = oldest;
        oldest = head;
        head = next;
    }
    return oldest;
}

#endif
