#include "autoscaler/shares/holdings.h"

#include <stdlib.h>
#include <string.h>

void
holdings_init(struct holdings *l)
{
	*l = (struct holdings){.limit = 0};
	hmap_init(&l->by_id);
}

static void
free_instance(struct holdings_instance *inst)
{
	free(inst->id);
	free(inst->v);
	free(inst);
}

void
holdings_fini(struct holdings *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		free_instance(l->v[i]);
	for (i = 0; i < l->holders_n; i++) {
		free(l->holders[i]->id);
		free(l->holders[i]);
	}
	hmap_fini(&l->by_id);
	free(l->v);
	free(l->holders);
}

/* --- holders --- */

/* Is each slot that h may hold in its entries? */
static bool
is_accounted(const struct holdings_holder *h)
{
	return h->has_shares && h->is_heard && h->is_exact;
}

static struct holdings_entry
new_entry(const struct holdings_holder *h)
{
	return (struct holdings_entry){.bound = is_accounted(h) ? 0 : SHARE_ALL};
}

struct holdings_holder *
holdings_add_holder(struct holdings *l, const char *id)
{
	struct holdings_holder *h = xcalloc(1, sizeof *h);
	size_t i;

	CHECK(holdings_find_holder(l, id) == NULL);
	h->id = xstrdup(id);
	h->index = l->holders_n;
	h->dead_ns = -1;
	h->has_shares = true;
	h->epoch = l->epoch;
	if (l->holders_n == l->holders_cap) {
		l->holders_cap = l->holders_cap == 0 ? 2 : l->holders_cap * 2;
		l->holders = xrealloc(l->holders, l->holders_cap * sizeof *l->holders);
		for (i = 0; i < l->n; i++)
			l->v[i]->v = xrealloc(l->v[i]->v, l->holders_cap * sizeof *l->v[i]->v);
	}
	l->holders[l->holders_n++] = h;
	for (i = 0; i < l->n; i++)
		l->v[i]->v[h->index] = new_entry(h);
	return h;
}

struct holdings_holder *
holdings_find_holder(const struct holdings *l, const char *id)
{
	size_t i;

	for (i = 0; i < l->holders_n; i++)
		if (strcmp(l->holders[i]->id, id) == 0)
			return l->holders[i];
	return NULL;
}

/* Forget the instances that are not listed and that no holder is known to hold. */
static void
forget_unlisted(struct holdings *l)
{
	size_t i, j, n = 0;

	for (i = 0; i < l->n; i++) {
		struct holdings_instance *inst = l->v[i];
		bool is_held = inst->is_listed || (l->max_requests > 0 && inst->is_there);

		for (j = 0; j < l->holders_n && !is_held; j++)
			is_held = is_accounted(l->holders[j]) && inst->v[j].bound > 0;
		if (is_held && (inst->is_listed || l->limit != SHARE_ALL)) {
			l->v[n++] = inst;
			continue;
		}
		hmap_remove(&l->by_id, inst->id);
		free_instance(inst);
	}
	l->n = n;
}

void
holdings_remove_holder(struct holdings *l, struct holdings_holder *h)
{
	size_t i, last = --l->holders_n;

	for (i = 0; i < l->n; i++) {
		struct holdings_instance *inst = l->v[i];

		if (inst->v[h->index].has_uses)
			inst->uses = 0; /* how many it has used is not known */
		inst->v[h->index] = inst->v[last];
	}
	l->holders[h->index] = l->holders[last];
	l->holders[h->index]->index = h->index;
	free(h->id);
	free(h);
	forget_unlisted(l);
}

bool
holdings_is_empty_handed(const struct holdings *l, const struct holdings_holder *h)
{
	size_t i;

	if (!h->has_shares)
		return !h->has_all;
	if (!is_accounted(h) || l->limit == SHARE_ALL)
		return false;
	for (i = 0; i < l->n; i++)
		if (l->v[i]->v[h->index].bound > 0)
			return false;
	return true;
}

/* --- uses --- */

static void
give_uses(struct holdings_entry *e, uint32_t uses)
{
	e->has_uses = true;
	e->given = uses;
	e->given_at = e->used;
}

void
holdings_set_max_requests(struct holdings *l, uint32_t max_requests)
{
	size_t i, j;

	l->max_requests = max_requests;
	for (i = 0; i < l->n; i++) {
		struct holdings_instance *inst = l->v[i];

		inst->uses = MIN(inst->uses, max_requests);
		inst->is_counted &= max_requests > 0;
		for (j = 0; j < l->holders_n && max_requests == 0; j++)
			inst->v[j].has_uses = inst->v[j].is_uses_unsent = false;
	}
}

bool
holdings_is_spent(const struct holdings *l, const char *instance)
{
	const struct holdings_instance *inst = hmap_find(&l->by_id, instance);
	size_t i;

	if (l->max_requests == 0 || inst == NULL || !inst->is_counted || inst->uses > 0)
		return false;
	for (i = 0; i < l->holders_n; i++)
		if (inst->v[i].bound > 0 && !(inst->v[i].has_uses && inst->v[i].given == 0))
			return false;
	return true;
}

/* What h reports of inst, before that is taken.  It holds the instance: if this leader has not
 * offered it, an earlier one has. */
static void
report_used(struct holdings_entry *e, const struct share_item *item)
{
	if (item == NULL || item->uses == SHARE_NO_USES)
		return;
	e->used = MAX(e->used, item->used);
	if (item->slots > 0 && e->bound > 0 && !e->has_uses)
		give_uses(e, item->uses);
}

/* After that: if it holds nothing any more, its uses are those of the next holder. */
static void
return_uses(struct holdings_instance *inst, struct holdings_entry *e, const struct share_item *item)
{
	uint32_t used = e->used - MIN(e->given_at, e->used);

	e->is_going &= e->bound > 0;
	if (!e->has_uses || e->bound > 0)
		return;
	e->has_uses = e->is_uses_unsent = false;
	if (e->given == 0)
		return; /* another holder may have had some (count()) */
	inst->uses = e->given - MIN(e->given, used);
	if (item != NULL)
		inst->uses = MIN(inst->uses, item->uses);
}

/* --- instances and limit --- */

/* The next offer to h names the value of e. */
static void
set_value(struct holdings_holder *h, struct holdings_entry *e, uint32_t value)
{
	e->value = value;
	e->value_epoch = h->epoch + 1;
	if (value < e->bound)
		e->lower_epoch = e->value_epoch;
	e->is_unsent = true;
	h->is_offer_due = true;
}

static struct holdings_instance *
find_or_add(struct holdings *l, const char *id)
{
	struct holdings_instance *inst = hmap_find(&l->by_id, id);
	size_t i;

	if (inst != NULL)
		return inst;
	inst = xcalloc(1, sizeof *inst);
	inst->id = xstrdup(id);
	inst->v = xcalloc(MAX(l->holders_cap, 1), sizeof *inst->v);
	for (i = 0; i < l->holders_n; i++) {
		struct holdings_holder *h = l->holders[i];

		inst->v[i] = new_entry(h);
		/* It may have a share there, from before the instance left the list. */
		if (h->is_heard && inst->v[i].bound > 0)
			set_value(h, &inst->v[i], 0);
	}
	if (l->n == l->cap) {
		l->cap = l->cap == 0 ? 4 : l->cap * 2;
		l->v = xrealloc(l->v, l->cap * sizeof *l->v);
	}
	l->v[l->n++] = inst;
	hmap_put(&l->by_id, id, inst);
	return inst;
}

/* Of those that hold a part of inst: the one that holds the most, or that has its uses; or NULL. */
static const struct holdings_holder *
main_holder(const struct holdings *l, const struct holdings_instance *inst)
{
	const struct holdings_holder *best = NULL;
	size_t i;

	for (i = 0; i < l->holders_n; i++) {
		const struct holdings_holder *h = l->holders[i];

		if (!is_accounted(h) || inst->v[i].bound == 0)
			continue;
		if (inst->v[i].has_uses)
			return h;
		if (best == NULL || inst->v[i].bound > inst->v[best->index].bound)
			best = h;
	}
	return best;
}

/* From now on the requests of inst are counted, if they were not.  If several holders share it, one
 * gets all uses.  The others give their shares up. */
static void
count(struct holdings *l, struct holdings_instance *inst, uint32_t uses)
{
	const struct holdings_holder *first = main_holder(l, inst);
	size_t i;

	if (l->max_requests == 0 || inst->is_counted)
		return;
	inst->is_counted = true;
	inst->uses = uses;
	for (i = 0; i < l->holders_n; i++) {
		struct holdings_holder *h = l->holders[i];
		struct holdings_entry *e = &inst->v[i];

		if (!is_accounted(h) || e->bound == 0 || e->has_uses)
			continue;
		give_uses(e, h == first ? l->max_requests : 0);
		if (h != first && h->is_heard && e->value > 0)
			set_value(h, e, 0);
	}
}

static void
offer_all(struct holdings *l)
{
	size_t i;

	for (i = 0; i < l->holders_n; i++)
		l->holders[i]->is_offer_due = true;
}

static void
unlist(struct holdings *l, struct holdings_instance *inst)
{
	bool was_listed = inst->is_listed;
	size_t i;

	inst->is_listed = false;
	for (i = 0; i < l->holders_n; i++)
		if (l->holders[i]->is_heard &&
		    (inst->v[i].value > 0 || (was_listed && inst->v[i].bound > 0)))
			set_value(l->holders[i], &inst->v[i], 0);
}

void
holdings_list(struct holdings *l, const struct shares_instance *v, size_t n)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		l->v[i]->is_there = false;
	for (i = 0; i < n; i++) {
		struct holdings_instance *inst;

		if (!v[i].is_listed && l->max_requests == 0)
			continue;
		inst = find_or_add(l, v[i].id);
		inst->is_there = true;
		count(l, inst, v[i].uses);
		if (v[i].is_listed)
			inst->is_marked = inst->is_listed = true;
	}
	for (i = 0; i < l->n; i++) {
		if (!l->v[i]->is_marked)
			unlist(l, l->v[i]);
		l->v[i]->is_marked = false;
	}
	forget_unlisted(l);
	offer_all(l);
}

/* Under no limit nothing was accounted: each holder may have any number in use, and one that knows
 * no shares may use every instance. */
static void
limit_appears(struct holdings *l)
{
	size_t i, j;

	for (i = 0; i < l->holders_n; i++) {
		struct holdings_holder *h = l->holders[i];

		h->is_allowed = false;
		h->has_all |= !h->has_shares;
		if (!h->is_heard)
			continue; /* and so it was offered nothing */
		h->is_exact = false;
		h->exact_epoch = h->epoch + 1;
		for (j = 0; j < l->n; j++) {
			struct holdings_entry *e = &l->v[j]->v[i];

			e->bound = SHARE_ALL;
			e->value = l->v[j]->is_listed ? SHARE_ALL : 0;
			e->lower_epoch = h->exact_epoch;
		}
	}
}

void
holdings_set_limit(struct holdings *l, uint32_t limit)
{
	uint32_t before = l->limit;

	if (limit == before)
		return;
	l->limit = limit;
	if (before == SHARE_ALL)
		limit_appears(l);
	forget_unlisted(l);
	offer_all(l);
}

/* --- shares --- */

void
holdings_lower(struct holdings *l, struct holdings_holder *h, struct holdings_instance *inst,
	       uint32_t slots)
{
	struct holdings_entry *e = &inst->v[h->index];

	CHECK(slots <= e->value && l->limit != SHARE_ALL);
	if (slots < e->value)
		set_value(h, e, slots);
}

/* All bounds of an instance together; SHARE_ALL or more: unknown.  inst: NULL if no holder is known
 * to hold anything of it. */
static uint64_t
sum_of_bounds(const struct holdings *l, const struct holdings_instance *inst)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < l->holders_n; i++) {
		const struct holdings_holder *h = l->holders[i];

		if (is_accounted(h))
			sum += inst == NULL ? 0 : inst->v[i].bound;
		else if (h->has_shares || h->has_all)
			sum += SHARE_ALL;
	}
	return sum;
}

uint32_t
holdings_bound_of(const struct holdings *l, const char *instance)
{
	return (uint32_t)MIN(sum_of_bounds(l, hmap_find(&l->by_id, instance)), SHARE_ALL);
}

bool
holdings_may_raise(const struct holdings *l, const struct holdings_holder *h,
		   const struct holdings_instance *inst)
{
	const struct holdings_entry *e = &inst->v[h->index];

	/* One that gives it up, or is asked to, gets it anew when it has: then its uses are known.
	 */
	return l->max_requests == 0 ||
	       (sum_of_bounds(l, inst) == e->bound && e->value == e->bound && !e->is_going);
}

static uint32_t
room(const struct holdings *l, const struct holdings_instance *inst)
{
	uint64_t sum = sum_of_bounds(l, inst);

	if (l->max_requests > 0 && sum == 0 && inst->uses == 0)
		return 0;
	return inst->is_listed && l->limit != SHARE_ALL && sum < l->limit ? l->limit - (uint32_t)sum
									  : 0;
}

void
holdings_raise(struct holdings *l, struct holdings_holder *h, struct holdings_instance *inst,
	       uint32_t slots)
{
	struct holdings_entry *e = &inst->v[h->index];
	uint32_t before = e->value;

	CHECK(slots <= room(l, inst) && slots <= inst->free && holdings_may_raise(l, h, inst));
	if (l->max_requests > 0 && e->bound == 0) {
		give_uses(e, inst->uses);
		e->is_uses_unsent = true;
		inst->uses = 0;
	}
	e->bound += slots;
	inst->free -= slots;
	set_value(h, e, e->bound);
	h->total += e->value - before;
	h->raised += e->value - before;
	h->raise_epoch = e->value_epoch;
}

void
holdings_count_free(struct holdings *l)
{
	size_t i, j;

	for (j = 0; j < l->holders_n; j++)
		l->holders[j]->total = 0;
	for (i = 0; i < l->n; i++) {
		struct holdings_instance *inst = l->v[i];

		inst->free = room(l, inst);
		for (j = 0; inst->is_listed && j < l->holders_n; j++)
			if (l->holders[j]->is_heard)
				l->holders[j]->total += MIN(inst->v[j].value, l->limit);
	}
}

/* --- messages --- */

void
holdings_offer(struct holdings *l, struct holdings_holder *h, struct share_offer *o,
	       struct share_item *items)
{
	bool is_limited = l->limit != SHARE_ALL;
	size_t i;

	CHECK(h->is_synced);
	*o = (struct share_offer){.epoch = ++h->epoch, .limit = l->limit, .v = items};
	l->epoch = MAX(l->epoch, h->epoch);
	o->is_asking = is_limited && !h->is_exact;
	for (i = 0; i < l->n; i++) {
		struct holdings_instance *inst = l->v[i];
		struct holdings_entry *e = &inst->v[h->index];
		bool is_lower = is_limited && e->is_unsent && e->value < e->bound;

		CHECK(!e->is_unsent || e->value_epoch == h->epoch);
		if (inst->is_listed)
			items[o->n++] = (struct share_item){
				.id = inst->id,
				.slots = is_limited && e->is_unsent ? e->value : SHARE_KEEP,
				.is_at_most = is_lower,
				.uses = e->is_uses_unsent && e->value > 0 ? e->given
									  : SHARE_NO_USES};
		o->is_asking |= is_lower;
		e->is_unsent = e->is_uses_unsent = false;
	}
	h->is_offer_due = false;
}

/* What was offered after the report, when so much was held, may have been lost with its link.  A
 * raise is taken back, since meanwhile the limit may be lower; all else is offered again. */
static void
offer_again(struct holdings_holder *h, struct holdings_entry *e, uint64_t epoch, uint32_t held)
{
	if (e->value_epoch > epoch)
		set_value(h, e, MIN(e->value, held));
}

/* h held so many slots when it had obeyed the offer `epoch`. */
static void
report_entry(struct holdings_entry *e, uint64_t epoch, uint32_t held, int64_t now_ns)
{
	bool is_pending = e->value_epoch > epoch;

	/* An offer from before the lowering may still raise the share. */
	if (epoch < e->lower_epoch) {
		e->bound = MAX(e->bound, held);
		return;
	}
	/* Offers since the lowering have only raised it, the last of them to value. */
	e->bound = is_pending ? MAX(held, e->value) : held;
	if (!is_pending && held < e->value) {
		e->value = held;
		e->given_up_ns = now_ns;
		e->is_going = true;
	}
}

/* The first report under this term: what is held stays, where the instance is listed. */
static void
adopt(struct holdings *l, struct holdings_holder *h)
{
	size_t i;

	for (i = 0; i < l->n; i++) {
		struct holdings_entry *e = &l->v[i]->v[h->index];

		e->value = e->bound;
		e->is_going = e->bound > 0 && e->bound < l->limit; /* maybe: it is not raised */
		if (l->limit != 0 && !l->v[i]->is_listed && e->bound > 0)
			set_value(h, e, 0);
	}
}

/* item NULL: nothing is held there. */
static void
report_instance(const struct holdings_holder *h, struct holdings_instance *inst,
		const struct share_item *item, uint64_t epoch, int64_t now_ns)
{
	struct holdings_entry *e = &inst->v[h->index];

	report_used(e, item);
	report_entry(e, epoch, item == NULL ? 0 : item->slots, now_ns);
	return_uses(inst, e, item);
}

static void
report_complete(struct holdings *l, struct holdings_holder *h, const struct share_report *r,
		int64_t now_ns)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		l->v[i]->reported = NULL;
	for (i = 0; i < r->n; i++)
		find_or_add(l, r->v[i].id)->reported = &r->v[i];
	for (i = 0; i < l->n; i++)
		report_instance(h, l->v[i], l->v[i]->reported, r->epoch, now_ns);
}

static void
report_changes(struct holdings *l, struct holdings_holder *h, const struct share_report *r,
	       int64_t now_ns)
{
	size_t i;

	for (i = 0; i < r->n; i++) {
		struct holdings_instance *inst = hmap_find(&l->by_id, r->v[i].id);

		if (inst != NULL) /* at any other nothing is held */
			report_instance(h, inst, &r->v[i], r->epoch, now_ns);
	}
}

static uint32_t
reported_slots(const struct holdings_instance *inst)
{
	return inst->reported == NULL ? 0 : inst->reported->slots;
}

/* The link is new. */
static void
sync(struct holdings *l, struct holdings_holder *h, uint64_t epoch, bool is_late)
{
	size_t i;

	if (!h->is_heard && l->limit != SHARE_ALL)
		adopt(l, h);
	for (i = 0; h->is_heard && i < l->n; i++)
		offer_again(h, &l->v[i]->v[h->index], epoch,
			    is_late ? SHARE_ALL : reported_slots(l->v[i]));
	h->is_heard = h->is_synced = h->is_offer_due = true;
}

void
holdings_report(struct holdings *l, struct holdings_holder *h, const struct share_report *r,
		int64_t now_ns)
{
	bool is_late = r->epoch < h->exact_epoch;

	if (!r->is_complete && (!h->is_synced || !h->is_exact))
		return; /* the complete report that is to come says the same */
	if (l->limit != SHARE_ALL && !is_late) {
		if (r->is_complete)
			report_complete(l, h, r, now_ns);
		else
			report_changes(l, h, r, now_ns);
	}
	h->is_exact |= !is_late;
	if (!h->is_synced)
		sync(l, h, r->epoch, is_late || l->limit == SHARE_ALL);
	forget_unlisted(l);
}
