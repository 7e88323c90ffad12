#include "autoscaler/brain/ceiling.h"

#include <stdlib.h>

static uint32_t
unmet(const struct ceiling_item *v)
{
	return v->share < v->need ? v->need - v->share : 0;
}

static int
by_unmet(const void *va, const void *vb)
{
	const struct ceiling_item *a = va, *b = vb;

	return (unmet(a) > unmet(b)) - (unmet(a) < unmet(b));
}

/* The order in which items get one more, where it does not suffice for all. */
static int
by_precedence(const void *va, const void *vb)
{
	const struct ceiling_item *a = va, *b = vb;

	if (a->has != b->has)
		return a->has < b->has ? 1 : -1;
	if (a->since_ns == b->since_ns)
		return by_unmet(va, vb);
	/* Those that have none: the one that has waited longest.  Else: the one used last. */
	return (a->since_ns > b->since_ns) == (a->has == 0) ? 1 : -1;
}

/* Give each item what is unmet of its need, up to a common level.  Returns what remains. */
static uint64_t
share_out(struct ceiling_item *v, size_t n, uint64_t most)
{
	uint64_t level, remainder;
	size_t i, rest;

	qsort(v, n, sizeof *v, by_unmet);
	for (i = 0; i < n && unmet(&v[i]) <= most / (n - i); i++) {
		most -= unmet(&v[i]);
		v[i].share += unmet(&v[i]);
	}
	rest = n - i; /* each of them needs more than the level */
	if (rest == 0)
		return most;
	level = most / rest;
	remainder = most % rest;
	qsort(v + i, rest, sizeof *v, by_precedence);
	for (; i < n; i++) {
		v[i].share += (uint32_t)(level + (remainder > 0));
		remainder -= remainder > 0;
	}
	return 0;
}

void
ceiling_share(struct ceiling_item *v, size_t n, uint64_t most)
{
	size_t i;

	if (n == 0)
		return;
	for (i = 0; i < n; i++)
		v[i].share = 0;
	most = share_out(v, n, most);
	for (i = 0; i < n; i++)
		v[i].need = v[i].claim; /* of those that are idle, too */
	share_out(v, n, most);
}
