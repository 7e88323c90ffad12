#include "autoscaler/kubernetes/kube_cost.h"

#include <stdlib.h>
#include <string.h>

#define DIGITS_MOST 10 /* of a cost, which is an int32 */

bool
kube_cost_is_ours(const char *cost, const char *ours, uint32_t *shown)
{
	size_t n = cost == NULL ? 0 : strlen(cost);

	*shown = 0;
	if (cost == NULL)
		return true;
	if (ours == NULL || strcmp(cost, ours) != 0 || n == 0 || n > DIGITS_MOST ||
	    strspn(cost, "0123456789") != n)
		return false;
	*shown = (uint32_t)strtoul(cost, NULL, 10);
	return true;
}

static uint32_t
distance(const struct kube_cost_candidate *s)
{
	return s->wanted > s->shown ? s->wanted - s->shown : s->shown - s->wanted;
}

/* The furthest from its number first; among equals the busiest. */
static int
compare(const void *va, const void *vb)
{
	const struct kube_cost_candidate *a = va, *b = vb;

	if (distance(a) != distance(b))
		return distance(a) > distance(b) ? -1 : 1;
	return a->wanted == b->wanted ? 0 : a->wanted > b->wanted ? -1 : 1;
}

size_t
kube_cost_pick(struct kube_cost_candidate *v, size_t n, size_t most)
{
	size_t found;

	if (n > 1)
		qsort(v, n, sizeof *v, compare);
	for (found = 0; found < MIN(n, most) && distance(&v[found]) > 0;)
		found++;
	return found;
}

size_t
kube_cost_budget_left(const struct kube_cost_budget *b, int64_t now_ns)
{
	int64_t owed = MAX(b->full_ns - now_ns, 0);
	int64_t owed_n = (owed + KUBE_COST_INTERVAL - 1) / KUBE_COST_INTERVAL;

	return owed_n >= KUBE_COST_BURST ? 0 : (size_t)(KUBE_COST_BURST - owed_n);
}

void
kube_cost_budget_spend(struct kube_cost_budget *b, size_t n, int64_t now_ns)
{
	b->full_ns = MAX(b->full_ns, now_ns) + (int64_t)n * KUBE_COST_INTERVAL;
}
