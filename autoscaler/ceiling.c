#include "autoscaler/ceiling.h"

#include <stdlib.h>

static int
by_wish(const void *va, const void *vb)
{
	const struct ceiling_item *a = va, *b = vb;

	return (a->wish > b->wish) - (a->wish < b->wish);
}

static int
by_has(const void *va, const void *vb)
{
	const struct ceiling_item *a = va, *b = vb;

	if (a->has != b->has)
		return a->has < b->has ? 1 : -1;
	return by_wish(va, vb);
}

void
ceiling_share(struct ceiling_item *v, size_t n, uint64_t most)
{
	uint64_t level, left;
	size_t i, rest;

	if (n == 0)
		return;
	qsort(v, n, sizeof *v, by_wish);
	for (i = 0; i < n && v[i].wish <= most / (n - i); i++) {
		v[i].share = v[i].wish;
		most -= v[i].wish;
	}
	rest = n - i; /* all of them wish for more than the level */
	if (rest == 0)
		return;
	level = most / rest;
	left = most % rest;
	qsort(v + i, rest, sizeof *v, by_has);
	for (; i < n; i++) {
		v[i].share = (uint32_t)(level + (left > 0));
		left -= left > 0;
	}
}
