#include "activator/balance.h"

#include "activator/revision.h"

static struct instance *
first_with_room(const struct instance_set *set, uint32_t from)
{
	uint32_t i;

	for (i = 0; i < set->n; i++) {
		struct instance *inst = set->v[(from + i) % set->n];

		if (slots_try_take(&inst->slots))
			return inst;
	}
	return NULL;
}

/* A closed instance counts as the most loaded; so does one of which this activator has no share. */
static uint32_t
load(uint64_t slots)
{
	return slots_is_open(slots) && slots_limit(slots) > 0 ? slots_count(slots) : UINT32_MAX;
}

struct instance *
balance_take(const struct instance_set *set, uint32_t random)
{
	struct instance *a, *b;

	if (set->n == 0)
		return NULL;
	if (set->n == 1)
		return slots_try_take(&set->v[0]->slots) ? set->v[0] : NULL;
	a = set->v[(random & 0xffff) % set->n];
	if (atomic_load_explicit(&a->rev->is_packed, memory_order_relaxed))
		return first_with_room(set, 0);
	b = set->v[((random & 0xffff) % set->n + 1 + (random >> 16) % (set->n - 1)) % set->n];
	if (load(slots_read(&b->slots)) < load(slots_read(&a->slots)))
		a = b;
	if (slots_try_take(&a->slots))
		return a;
	/* Both are full or closed, or another thread was faster: take any. */
	return first_with_room(set, random >> 8);
}
