#include "autoscaler/usage/queue.h"

#include <stdio.h>
#include <stdlib.h>

#include "autoscaler/usage/record.h"
#include "common/hmap.h"
#include "common/list.h"
#include "common/strbuf.h"

struct queued {
	struct list_node node;
	struct usage_record record; /* without its run */
};

struct queue {
	struct list list;    /* of struct queued, the first that was put at the head */
	struct hmap by_part; /* the same */
	size_t most;
};

/* A part as a key. */
struct part_key {
	char text[24];
};

static struct part_key
key_of(uint64_t part)
{
	struct part_key key;

	snprintf(key.text, sizeof key.text, "%llx", (unsigned long long)part);
	return key;
}

struct queue *
queue_new(size_t most)
{
	struct queue *q = xcalloc(1, sizeof *q);

	list_init(&q->list);
	hmap_init(&q->by_part);
	q->most = most;
	return q;
}

static void
queued_free(struct queued *r)
{
	account_fini(&r->record.account);
	free(r);
}

void
queue_drop(struct queue *q, size_t n)
{
	for (; n > 0; n--) {
		struct list_node *node = list_pop(&q->list);
		struct queued *r;

		CHECK(node != NULL);
		r = container_of(node, struct queued, node);
		hmap_remove(&q->by_part, key_of(r->record.part).text);
		queued_free(r);
	}
}

void
queue_free(struct queue **qp)
{
	struct queue *q = *qp;

	*qp = NULL;
	if (q == NULL)
		return;
	queue_drop(q, q->list.n);
	hmap_fini(&q->by_part);
	free(q);
}

size_t
queue_n(const struct queue *q)
{
	return q->list.n;
}

static size_t
add(struct queue *q, struct queued *r)
{
	struct queued *old = hmap_put(&q->by_part, key_of(r->record.part).text, r);
	size_t excess;

	if (old != NULL) {
		list_remove(&q->list, &old->node);
		queued_free(old);
	}
	list_push(&q->list, &r->node);
	excess = q->list.n > q->most ? q->list.n - q->most : 0;
	queue_drop(q, excess);
	return excess;
}

size_t
queue_put(struct queue *q, uint64_t part, int64_t hour, const struct account *account,
	  const struct amounts *amounts)
{
	struct queued *r = xcalloc(1, sizeof *r);

	r->record = (struct usage_record){.part = part, .hour = hour, .amounts = *amounts};
	account_init(&r->record.account, account->revision, account->owner, account->cost_center);
	return add(q, r);
}

size_t
queue_merge(struct queue *q, struct queue **newer)
{
	struct list_node *node;
	size_t lost = 0;

	while ((node = list_pop(&(*newer)->list)) != NULL)
		lost += add(q, container_of(node, struct queued, node));
	hmap_fini(&(*newer)->by_part);
	free(*newer);
	*newer = NULL;
	return lost;
}

size_t
queue_encode(const struct queue *q, size_t most, char *run, int64_t *day, struct strbuf *out)
{
	struct list_node *node, *tmp;
	size_t n = 0;

	LIST_FOREACH(&q->list, node, tmp) {
		struct usage_record r = container_of(node, struct queued, node)->record;

		if (n == 0)
			*day = r.hour / 24;
		if (n == most || r.hour / 24 != *day)
			break;
		r.run = run;
		record_encode(&r, out);
		n++;
	}
	return n;
}
