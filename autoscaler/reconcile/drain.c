#include "autoscaler/reconcile/drain.h"

#include <stdlib.h>
#include <string.h>

#include "common/text.h"

struct drain_wait {
	uint64_t peer;
	bool is_answered;
};

/* --- the table --- */

void
drain_table_init(struct drain_table *t, const char *prefix)
{
	*t = (struct drain_table){.prefix = prefix};
	hmap_init(&t->by_token);
}

void
drain_table_fini(struct drain_table *t)
{
	CHECK(t->by_token.n == 0);
	hmap_fini(&t->by_token);
}

struct drain_request *
drain_find(const struct drain_table *t, const char *token)
{
	return hmap_find(&t->by_token, token);
}

size_t
drain_count(const struct drain_table *t)
{
	return t->by_token.n;
}

struct drain_request *
drain_new(struct drain_table *t, void *owner, const char *instance, int64_t now_ns)
{
	struct drain_request *d = xcalloc(1, sizeof *d);

	d->token = xasprintf("%s.%llu", t->prefix, (unsigned long long)++t->number);
	d->owner = owner;
	d->instance = text_copy(instance);
	d->begun_ns = now_ns;
	CHECK(hmap_put(&t->by_token, d->token, d) == NULL);
	return d;
}

void
drain_free(struct drain_table *t, struct drain_request **dp)
{
	struct drain_request *d = *dp;

	*dp = NULL;
	CHECK(!list_linked(&d->node));
	CHECK(hmap_remove(&t->by_token, d->token) == d);
	free(d->token);
	free(d->instance);
	free(d->waits);
	free(d);
}

/* --- answers --- */

static struct drain_wait *
find_wait(const struct drain_request *d, uint64_t peer)
{
	size_t i;

	for (i = 0; i < d->waits_n; i++)
		if (d->waits[i].peer == peer)
			return &d->waits[i];
	return NULL;
}

bool
drain_is_asked(const struct drain_request *d, uint64_t peer)
{
	return find_wait(d, peer) != NULL;
}

size_t
drain_owing(const struct drain_request *d)
{
	size_t i, n = 0;

	for (i = 0; i < d->waits_n; i++)
		n += !d->waits[i].is_answered;
	return n;
}

void
drain_ask(struct drain_request *d, uint64_t peer)
{
	CHECK(!drain_is_asked(d, peer));
	if (d->waits_n == d->waits_cap) {
		d->waits_cap = d->waits_cap == 0 ? 4 : d->waits_cap * 2;
		d->waits = xrealloc(d->waits, d->waits_cap * sizeof *d->waits);
	}
	d->waits[d->waits_n++] = (struct drain_wait){.peer = peer};
	if (d->state == DRAIN_DRAINED)
		d->state = DRAIN_ASKED; /* there is one more answer to wait for */
}

bool
drain_answer(struct drain_request *d, uint64_t peer)
{
	struct drain_wait *w = find_wait(d, peer);

	if (w == NULL || w->is_answered)
		return false;
	w->is_answered = true;
	if (d->state != DRAIN_ASKED || drain_owing(d) > 0)
		return false;
	d->state = DRAIN_DRAINED;
	return true;
}

void
drain_forget(struct drain_request *d, uint64_t peer)
{
	struct drain_wait *w = find_wait(d, peer);

	if (w != NULL)
		*w = d->waits[--d->waits_n];
}

void
drain_give_up(struct drain_request *d)
{
	if (d->state == DRAIN_ASKED)
		d->state = DRAIN_DRAINED;
}

void
drain_issue(struct drain_request *d, int64_t now_ns)
{
	CHECK(d->state == DRAIN_DRAINED);
	d->state = DRAIN_ISSUED;
	d->issued_ns = now_ns;
}
