#include "activator/headbuf.h"

#include <stdlib.h>
#include <string.h>

void
headbuf_pool_init(struct headbuf_pool *p)
{
	list_init(&p->unused);
}

void
headbuf_pool_fini(struct headbuf_pool *p)
{
	struct list_node *node;

	while ((node = list_pop(&p->unused)) != NULL)
		free(node);
}

void
headbuf_clear(struct headbuf *h, struct headbuf_pool *p)
{
	if (h->data != NULL && h->is_pooled) {
		struct list_node *node = (void *)h->data;

		node->next = NULL;
		list_push(&p->unused, node);
	} else {
		free(h->data);
	}
	*h = (struct headbuf){.data = NULL};
}

char *
headbuf_reserve(struct headbuf *h, struct headbuf_pool *p, size_t n)
{
	struct list_node *node = NULL;

	CHECK(h->data == NULL);
	h->is_pooled = n <= HEADBUF_SIZE;
	if (h->is_pooled)
		node = list_pop(&p->unused);
	h->data = node != NULL ? (char *)node : xmalloc(h->is_pooled ? HEADBUF_SIZE : n);
	return h->data;
}

void
headbuf_set(struct headbuf *h, struct headbuf_pool *p, const char *head, size_t n)
{
	memcpy(headbuf_reserve(h, p, n), head, n);
}

void
headbuf_set_exact(struct headbuf *h, struct headbuf_pool *p, const char *head, size_t n)
{
	char *exact = xmalloc(n);

	memcpy(exact, head, n);
	headbuf_clear(h, p);
	h->data = exact;
}
