#include "activator/balance.h"

bool
balance_take_slot(struct instance *inst, uint32_t limit)
{
	uint32_t s = atomic_load_explicit(&inst->slots, memory_order_relaxed);

	do {
		if ((s & SLOTS_CLOSED) != 0)
			return false;
		if (limit != 0 && (s & SLOTS_COUNT) >= limit)
			return false;
		CHECK((s & SLOTS_COUNT) != SLOTS_COUNT);
	} while (!atomic_compare_exchange_weak_explicit(
		&inst->slots, &s, s + 1, memory_order_seq_cst, memory_order_relaxed));
	return true;
}

static struct instance *
first_with_room(const struct instance_set *set, uint32_t limit, uint32_t from)
{
	uint32_t i;

	for (i = 0; i < set->n; i++) {
		struct instance *inst = set->v[(from + i) % set->n];

		if (balance_take_slot(inst, limit))
			return inst;
	}
	return NULL;
}

/* Load as a closed one has it: the highest. */
static uint32_t
load(const struct instance *inst)
{
	uint32_t s = atomic_load_explicit(&inst->slots, memory_order_relaxed);

	return (s & SLOTS_CLOSED) != 0 ? UINT32_MAX : s & SLOTS_COUNT;
}

struct instance *
balance_take(const struct instance_set *set, uint32_t limit, uint32_t random)
{
	struct instance *a, *b;

	if (set->n == 0)
		return NULL;
	if (set->n == 1)
		return balance_take_slot(set->v[0], limit) ? set->v[0] : NULL;
	if (limit >= 1 && limit <= 3)
		return first_with_room(set, limit, 0);
	a = set->v[(random & 0xffff) % set->n];
	b = set->v[((random & 0xffff) % set->n + 1 + (random >> 16) % (set->n - 1)) % set->n];
	if (load(b) < load(a))
		a = b;
	if (balance_take_slot(a, limit))
		return a;
	/* Both are full or closed, or lost a race: any will do. */
	return first_with_room(set, limit, random >> 8);
}
