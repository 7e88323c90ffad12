/* list - an intrusive doubly linked list with a count.  A node is embedded in the object;
 * the `next` of a node that is in no list is NULL, which list_linked() tells.
 * Thread: the list's owner. */
#ifndef COMMON_LIST_H
#define COMMON_LIST_H

#include "common/base.h"

struct list_node {
	struct list_node *prev, *next;
};

struct list {
	struct list_node head;
	size_t n;
};

static inline void
list_init(struct list *l)
{
	l->head.prev = l->head.next = &l->head;
	l->n = 0;
}

static inline bool
list_empty(const struct list *l)
{
	return l->n == 0;
}

static inline bool
list_linked(const struct list_node *node)
{
	return node->next != NULL;
}

/* Insert node before `at`, which is in l or is &l->head. */
static inline void
list_insert_before(struct list *l, struct list_node *at, struct list_node *node)
{
	CHECK(!list_linked(node));
	node->prev = at->prev;
	node->next = at;
	at->prev->next = node;
	at->prev = node;
	l->n++;
}

static inline void
list_push(struct list *l, struct list_node *node)
{
	list_insert_before(l, &l->head, node);
}

static inline void
list_push_head(struct list *l, struct list_node *node)
{
	list_insert_before(l, l->head.next, node);
}

static inline void
list_remove(struct list *l, struct list_node *node)
{
	CHECK(list_linked(node) && l->n > 0);
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->prev = node->next = NULL;
	l->n--;
}

/* The first node, or NULL. */
static inline struct list_node *
list_first(const struct list *l)
{
	return l->n == 0 ? NULL : l->head.next;
}

/* Remove and return the first node, or NULL. */
static inline struct list_node *
list_pop(struct list *l)
{
	struct list_node *node = list_first(l);

	if (node != NULL)
		list_remove(l, node);
	return node;
}

/* Move all nodes of `from` to the end of `to`. */
static inline void
list_splice(struct list *to, struct list *from)
{
	if (from->n == 0)
		return;
	from->head.next->prev = to->head.prev;
	from->head.prev->next = &to->head;
	to->head.prev->next = from->head.next;
	to->head.prev = from->head.prev;
	to->n += from->n;
	list_init(from);
}

/* For each node of l; the body may remove and free the object of this node. */
#define LIST_FOREACH(l, node, tmp)                                                                 \
	for ((node) = (l)->head.next, (tmp) = (node)->next; (node) != &(l)->head;                  \
	     (node) = (tmp), (tmp) = (node)->next)

#endif
