#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* A circular, intrusive, doubly linked list: a node is a member of the object,
 * the list does not own its elements.  A node that is in no list points to
 * itself, so list_del() may be repeated. */
struct list {
    struct list *next, *prev;
};

#define LIST_INIT(name)  \
    {                    \
        &(name), &(name) \
    }

/* The object of type T whose member m is at node n. */
#define list_entry(n, T, m) ((T *)(void *)((char *)(n)-offsetof(T, m)))

#define list_for_each(n, head) \
    for (struct list *n = (head)->next; n != (head); n = n->next)

/* n may be deleted in the body. */
#define list_for_each_safe(n, head)                                       \
    for (struct list *n = (head)->next, *n##_next = n->next; n != (head); \
         n = n##_next, n##_next = n->next)

static inline void
list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool
list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void
list_add_tail(struct list *head, struct list *n)
{
    n->prev = head->prev;
    n->next = head;
    head->prev->next = n;
    head->prev = n;
}

static inline void
list_add_head(struct list *head, struct list *n)
{
    list_add_tail(head->next, n);
}

static inline void
list_del(struct list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}

/* The first node, removed; NULL when empty. */
static inline struct list *
list_pop(struct list *head)
{
    struct list *n = head->next;

    if (n == head)
        return NULL;
    list_del(n);
    return n;
}

#endif
