#include "autoscaler/brain/victims.h"

#include <stdlib.h>
#include <string.h>

static int
compare(const void *va, const void *vb)
{
	const struct victim *a = va, *b = vb;

	if (a->removal_order != b->removal_order)
		return a->removal_order > b->removal_order ? -1 : 1;
	if (a->is_leased != b->is_leased)
		return a->is_leased ? 1 : -1;
	if (a->is_due != b->is_due)
		return a->is_due ? -1 : 1;
	if (a->in_flight != b->in_flight)
		return a->in_flight < b->in_flight ? -1 : 1;
	if (a->is_ready != b->is_ready)
		return a->is_ready ? 1 : -1;
	if (a->seen_ns != b->seen_ns)
		return a->seen_ns > b->seen_ns ? -1 : 1;
	return strcmp(a->id, b->id);
}

void
victims_sort(struct victim *v, size_t n)
{
	if (n > 1)
		qsort(v, n, sizeof *v, compare);
}
