#include "autoscaler/reconcile/past.h"

#include <stdlib.h>
#include <string.h>

struct past_counts {
	char *service;
	struct scaled_counts counts;
	bool is_seen;
};

void
past_init(struct past *p)
{
	hmap_init(&p->services);
}

static void
counts_free(struct past_counts *c)
{
	free(c->service);
	free(c);
}

void
past_fini(struct past *p)
{
	size_t at = 0;
	void *value;

	while (hmap_next(&p->services, &at, NULL, &value))
		counts_free(value);
	hmap_fini(&p->services);
}

static struct past_counts *
counts_of(const struct past *p, const struct scaled_revision *rev)
{
	return hmap_find_n(&p->services, rev->name, strcspn(rev->name, "/"));
}

void
past_keep(struct past *p, const struct scaled_revision *rev)
{
	struct past_counts *c = counts_of(p, rev);

	if (c == NULL) {
		c = xcalloc(1, sizeof *c);
		c->service = xstrndup(rev->name, strcspn(rev->name, "/"));
		hmap_put(&p->services, c->service, c);
	}
	scaled_counts_add(&c->counts, &rev->counts);
}

void
past_trim(struct past *p, const struct scaled_set *set)
{
	const struct scaled_revision *rev;
	struct past_counts *c;
	size_t at = 0;
	void *value;

	if (p->services.n == 0)
		return;
	while (hmap_next(&p->services, &at, NULL, &value))
		((struct past_counts *)value)->is_seen = false;
	for (at = 0; (rev = scaled_set_next(set, &at)) != NULL;) {
		c = counts_of(p, rev);
		if (c != NULL)
			c->is_seen = true;
	}
	for (at = 0; hmap_next(&p->services, &at, NULL, &value);) {
		c = value;
		if (c->is_seen)
			continue;
		hmap_remove(&p->services, c->service);
		counts_free(c);
	}
}

const struct scaled_counts *
past_find(const struct past *p, const char *service)
{
	const struct past_counts *c = hmap_find(&p->services, service);

	return c == NULL ? NULL : &c->counts;
}
