#include "autoscaler/brain/ceiling.h"

#include <stdlib.h>

/* What of its need it has not been given yet. */
static uint32_t
claim(const struct ceiling_item *v)
{
	return v->share < v->need ? v->need - v->share : 0;
}

static int
by_claim(const void *va, const void *vb)
{
	const struct ceiling_item *a = va, *b = vb;

	return (claim(a) > claim(b)) - (claim(a) < claim(b));
}

/* Who comes first where not all get one more. */
static int
by_right(const void *va, const void *vb)
{
	const struct ceiling_item *a = va, *b = vb;

	if (a->has != b->has)
		return a->has < b->has ? 1 : -1;
	if (a->since_ns == b->since_ns)
		return by_claim(va, vb);
	/* Who waits: the first that came.  Who has: the last that was used. */
	return (a->since_ns > b->since_ns) == (a->has == 0) ? 1 : -1;
}

/* Share out by claims; what is left. */
static uint64_t
share_out(struct ceiling_item *v, size_t n, uint64_t most)
{
	uint64_t level, left;
	size_t i, rest;

	qsort(v, n, sizeof *v, by_claim);
	for (i = 0; i < n && claim(&v[i]) <= most / (n - i); i++) {
		most -= claim(&v[i]);
		v[i].share += claim(&v[i]);
	}
	rest = n - i; /* all of them claim more than the level */
	if (rest == 0)
		return most;
	level = most / rest;
	left = most % rest;
	qsort(v + i, rest, sizeof *v, by_right);
	for (; i < n; i++) {
		v[i].share += (uint32_t)(level + (left > 0));
		left -= left > 0;
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
		v[i].need = v[i].wish; /* idle ones */
	share_out(v, n, most);
}
