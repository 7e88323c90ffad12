#include "autoscaler/page/feed.h"

#include <stdlib.h>
#include <string.h>

#include "common/hmap.h"

struct feed {
	struct list items; /* of struct feed_item, the oldest change first */
	struct hmap names; /* → the items that are not gone */
	size_t gone_n;
	uint64_t serial;    /* of the newest change */
	uint64_t forgotten; /* the highest serial of a mark that was forgotten; 0: none was */
	uint64_t pass;
};

struct feed *
feed_new(void)
{
	struct feed *f = xcalloc(1, sizeof *f);

	list_init(&f->items);
	hmap_init(&f->names);
	return f;
}

static void
item_free(struct feed_item *item)
{
	free(item->name);
	free(item->text);
	free(item);
}

void
feed_free(struct feed **fp)
{
	struct feed *f = *fp;
	struct list_node *node;

	*fp = NULL;
	if (f == NULL)
		return;
	while ((node = list_pop(&f->items)) != NULL)
		item_free(container_of(node, struct feed_item, node));
	hmap_fini(&f->names);
	free(f);
}

void
feed_clear(struct feed *f)
{
	struct list_node *node;

	while ((node = list_pop(&f->items)) != NULL)
		item_free(container_of(node, struct feed_item, node));
	hmap_fini(&f->names);
	hmap_init(&f->names);
	f->gone_n = 0;
	f->forgotten = ++f->serial;
}

void
feed_begin(struct feed *f)
{
	f->pass++;
}

/* It has changed: it becomes the last one. */
static void
renumber(struct feed *f, struct feed_item *item)
{
	if (list_linked(&item->node))
		list_remove(&f->items, &item->node);
	item->serial = ++f->serial;
	list_push(&f->items, &item->node);
}

void
feed_put(struct feed *f, const char *name, const char *text, size_t n)
{
	struct feed_item *item = hmap_find(&f->names, name);

	if (item == NULL) {
		item = xcalloc(1, sizeof *item);
		item->name = xstrdup(name);
		hmap_put(&f->names, name, item);
	}
	item->pass = f->pass;
	if (item->text != NULL && item->len == n && memcmp(item->text, text, n) == 0)
		return;
	free(item->text);
	item->text = xstrndup(text, n);
	item->len = n;
	renumber(f, item);
}

static void
forget_oldest(struct feed *f)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&f->items, node, tmp) {
		struct feed_item *item = container_of(node, struct feed_item, node);

		if (f->gone_n <= FEED_GONE_MAX)
			return;
		if (item->text != NULL)
			continue;
		f->forgotten = item->serial;
		f->gone_n--;
		list_remove(&f->items, node);
		item_free(item);
	}
}

void
feed_end(struct feed *f)
{
	size_t at = 0;
	const char *name;
	void *value;

	while (hmap_next(&f->names, &at, &name, &value)) {
		struct feed_item *item = value;

		if (item->pass == f->pass)
			continue;
		hmap_remove(&f->names, item->name);
		free(item->text);
		item->text = NULL;
		item->len = 0;
		renumber(f, item);
		f->gone_n++;
	}
	forget_oldest(f);
}

size_t
feed_n(const struct feed *f)
{
	return f->items.n;
}

uint64_t
feed_serial(const struct feed *f)
{
	return f->serial;
}

bool
feed_is_forgotten(const struct feed *f, uint64_t serial, uint64_t began)
{
	return serial > 0 && MAX(serial, began) < f->forgotten;
}

static const struct feed_item *
item_of(const struct feed *f, struct list_node *node)
{
	return node == &f->items.head ? NULL : container_of(node, struct feed_item, node);
}

/* From the end: there is what has changed lately. */
const struct feed_item *
feed_after(const struct feed *f, uint64_t serial)
{
	struct list_node *node = f->items.head.prev;

	while (node != &f->items.head && item_of(f, node)->serial > serial)
		node = node->prev;
	return item_of(f, node->next);
}

const struct feed_item *
feed_next(const struct feed *f, const struct feed_item *item)
{
	return item_of(f, item->node.next);
}
