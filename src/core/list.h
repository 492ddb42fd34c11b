/*
 * Intrusive doubly linked list. A head is a node that links to itself.
 */
#ifndef CORE_LIST_H
#define CORE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list *head)
{
    head->next = head;
    head->prev = head;
}
static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}
/* True if @node is in some list. A zeroed or removed node is not. */
static inline bool list_linked(const struct list *node)
{
    return node->next != NULL && node->next != node;
}
static inline void list_insert_before(struct list *at, struct list *node)
{
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}
static inline void list_append(struct list *head, struct list *node)
{
    list_insert_before(head, node);
}
static inline void list_prepend(struct list *head, struct list *node)
{
    list_insert_before(head->next, node);
}
/* Removes; does nothing to a node that is in no list. */
static inline void list_remove(struct list *node)
{
    if (node->next == NULL)
        return;
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = NULL;
    node->prev = NULL;
}
/* First node, or NULL. */
static inline struct list *list_first(const struct list *head)
{
    return list_empty(head) ? NULL : head->next;
}
/* Moves all of @from behind the last of @to. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    from->prev->next = to;
    to->prev->next = from->next;
    to->prev = from->prev;
    list_init(from);
}

/* @it is declared here and cannot stand in parentheses. NOLINTBEGIN(bugprone-macro-parentheses) */
#define list_for_each(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
/* @it may be removed inside the body. */
#define list_for_each_safe(it, head)                                                               \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)

/* NOLINTEND(bugprone-macro-parentheses) */

#endif
