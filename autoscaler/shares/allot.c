#include "autoscaler/shares/allot.h"

/* After so many quanta a parked request gets a slot although its activator has more than others:
 * what that activator has may be held by tunnels. */
#define PATIENCE 8

struct allotment {
	struct holdings *holdings;
	int64_t quantum_ns, now_ns;
};

/* May h be offered slots, and asked for some? */
static bool
is_present(const struct holdings_holder *h)
{
	return h->has_shares && h->is_connected && h->is_synced && h->dead_ns < 0;
}

/* The slots that the parked requests of h lack, beyond those that it was offered. */
static uint32_t
lacking_of(const struct holdings_holder *h)
{
	return is_present(h) && h->want > h->raised ? h->want - (uint32_t)h->raised : 0;
}

static uint64_t
all_lacking(const struct holdings *l)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < l->holders_n; i++)
		sum += lacking_of(l->holders[i]);
	return sum;
}

/* Slots that can move at once. */
static uint32_t
unit_of(const struct holdings *l)
{
	return l->max_requests > 0 ? l->limit : 1;
}

static uint64_t
round_up(const struct holdings *l, uint64_t slots)
{
	return (slots + unit_of(l) - 1) / unit_of(l) * unit_of(l);
}

/* --- a limit that has become lower --- */

/* Can h be asked for less?  One that is not heard keeps what it has until it is. */
static bool
is_lowerable(const struct holdings_holder *h)
{
	return h->has_shares && h->is_heard && h->dead_ns < 0;
}

/* The sum of all values, none of them counted above level. */
static uint64_t
sum_to_level(const struct holdings *l, const struct holdings_instance *inst, uint32_t level)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < l->holders_n; i++)
		if (is_lowerable(l->holders[i]))
			sum += MIN(inst->v[i].value, level);
	return sum;
}

/* Lower the largest shares until the limit holds all of them. */
static void
fit(struct holdings *l, struct holdings_instance *inst)
{
	uint32_t low = 0, high = l->limit, rest;
	size_t i;

	if (sum_to_level(l, inst, SHARE_ALL) <= l->limit)
		return;
	while (low < high) {
		uint32_t middle = high - (high - low) / 2;

		if (sum_to_level(l, inst, middle) <= l->limit)
			low = middle;
		else
			high = middle - 1;
	}
	rest = l->limit - (uint32_t)sum_to_level(l, inst, low);
	for (i = 0; i < l->holders_n; i++) {
		uint32_t value = inst->v[i].value, slots = low;

		if (!is_lowerable(l->holders[i]) || value <= low)
			continue;
		if (rest > 0) {
			slots++;
			rest--;
		}
		holdings_lower(l, l->holders[i], inst, slots);
	}
}

/* --- free slots --- */

/* Ask h for so many slots, in place of what it was asked for before. */
static void
recall(struct holdings_holder *h, uint32_t idle, uint32_t due)
{
	if (idle == h->recall_idle && due == h->recall_due)
		return;
	h->recall_idle = idle;
	h->recall_due = due;
	h->is_offer_due = true;
}

static void
raise_share(const struct allotment *a, struct holdings_holder *h, struct holdings_instance *inst,
	    uint32_t slots)
{
	if (h->total == 0)
		h->turn_ns = a->now_ns;
	holdings_raise(a->holdings, h, inst, slots);
}

/* Did h give up slots of inst a short time ago?  It may be unable to use them: then it would give
 * them up again and again, as fast as messages go. */
static bool
is_given_up(const struct allotment *a, const struct holdings_holder *h,
	    const struct holdings_instance *inst)
{
	const struct holdings_entry *e = &inst->v[h->index];

	return e->given_up_ns > 0 && a->now_ns - e->given_up_ns < a->quantum_ns;
}

/* How good is inst for h, which lacks so many slots?  0: it has none free.  is_contended: others
 * lack slots, too. */
static int
rank(const struct allotment *a, const struct holdings_holder *h,
     const struct holdings_instance *inst, uint32_t lacking, bool is_contended)
{
	const struct holdings *l = a->holdings;

	if (inst->free == 0 || (is_contended && is_given_up(a, h, inst)) ||
	    !holdings_may_raise(l, h, inst))
		return 0;
	if (inst->free == l->limit && lacking >= l->limit)
		return 4;
	if (inst->v[h->index].value > 0)
		return 3;
	return inst->free == l->limit ? 2 : 1;
}

/* Is it a quantum ago that h got its first slot, or was last asked for busy ones? */
static bool
has_had_turn(const struct allotment *a, const struct holdings_holder *h)
{
	return a->now_ns - h->turn_ns >= a->quantum_ns;
}

/* Give h what it lacks, as far as there is.  False: nothing was given.  While h owes busy slots to
 * others it gets none before them (is_last: they have taken what they can); but if it has owed
 * them for a quantum, tunnels may hold them for ever. */
static bool
give(const struct allotment *a, struct holdings_holder *h, bool is_last)
{
	struct holdings *l = a->holdings;
	uint32_t lacking = lacking_of(h);
	bool is_contended = all_lacking(l) > lacking, has_given = false;

	if (is_contended && !is_last && h->recall_due > 0 && !has_had_turn(a, h))
		return false;
	for (; lacking > 0; lacking = lacking_of(h)) {
		struct holdings_instance *best = NULL;
		int best_rank = 0;
		size_t i;

		for (i = 0; i < l->n; i++) {
			struct holdings_instance *inst = l->v[i];
			int r = rank(a, h, inst, lacking, is_contended);

			if (r > best_rank || (r > 0 && r == best_rank && inst->free > best->free)) {
				best = inst;
				best_rank = r;
			}
		}
		if (best == NULL)
			break;
		raise_share(a, h, best,
			    l->max_requests > 0 ? best->free : MIN(best->free, lacking));
		/* It keeps this for a quantum; what it owes it would pay with it. */
		if (is_contended)
			h->turn_ns = a->now_ns;
		recall(h, h->recall_idle, 0);
		has_given = true;
	}
	return has_given;
}

/* The one that comes after `last` in the order of oldest parked requests; NULL: none lacks slots.
 * Equal ages: by index. */
static struct holdings_holder *
next_oldest(const struct holdings *l, const struct holdings_holder *last)
{
	struct holdings_holder *best = NULL;
	size_t i;

	for (i = 0; i < l->holders_n; i++) {
		struct holdings_holder *h = l->holders[i];

		if (lacking_of(h) == 0)
			continue;
		if (last != NULL &&
		    (h->want_since_ns < last->want_since_ns ||
		     (h->want_since_ns == last->want_since_ns && h->index <= last->index)))
			continue;
		if (best == NULL || h->want_since_ns < best->want_since_ns)
			best = h;
	}
	return best;
}

/* The one that gets free slots of inst although none of its requests lacks them. */
static struct holdings_holder *
heir_of(const struct holdings *l, const struct holdings_instance *inst)
{
	struct holdings_holder *best = NULL;
	size_t i;

	for (i = 0; i < l->holders_n; i++) {
		struct holdings_holder *h = l->holders[i];
		uint32_t has, best_has;

		if (!is_present(h) || h->is_leaving || !holdings_may_raise(l, h, inst))
			continue;
		if (best == NULL) {
			best = h;
			continue;
		}
		has = inst->v[i].value;
		best_has = inst->v[best->index].value;
		if (has > best_has || (has == best_has && h->total < best->total))
			best = h;
	}
	return best;
}

static void
give_all(const struct allotment *a)
{
	struct holdings *l = a->holdings;
	struct holdings_holder *h;
	bool has_given;
	size_t i;

	/* Again if something was given: for the others it may be contended no more. */
	do {
		has_given = false;
		for (h = NULL; (h = next_oldest(l, h)) != NULL;)
			has_given |= give(a, h, false);
	} while (has_given);
	for (h = NULL; (h = next_oldest(l, h)) != NULL;)
		give(a, h, true);
	if (all_lacking(l) > 0)
		return;
	for (i = 0; i < l->n; i++)
		if (l->v[i]->free > 0 && (h = heir_of(l, l->v[i])) != NULL)
			raise_share(a, h, l->v[i], l->v[i]->free);
}

/* --- recalls --- */

/* A lower number is sent only if it is much lower, to save messages: what comes back too much
 * is given out again. */
static void
recall_idle(struct holdings *l)
{
	uint64_t all = all_lacking(l);
	size_t i;

	for (i = 0; i < l->holders_n; i++) {
		struct holdings_holder *h = l->holders[i];
		uint64_t others = all - lacking_of(h);
		uint32_t idle = (uint32_t)MIN(h->is_leaving ? UINT32_MAX : round_up(l, others),
					      h->total);

		if (!is_present(h))
			continue;
		if (others == 0 && !h->is_leaving)
			recall(h, 0, 0);
		else if (idle > h->recall_idle || idle == 0 || h->recall_idle / 2 >= idle)
			recall(h, idle, h->recall_due);
	}
}

/* How many slots are due to w from d? */
static uint32_t
due_from(const struct allotment *a, const struct holdings_holder *d,
	 const struct holdings_holder *w)
{
	int64_t waited = a->now_ns - w->want_since_ns;
	uint32_t unit = unit_of(a->holdings);

	if (d == w || !is_present(d) || d->total == 0 || d->recall_due > 0 || !has_had_turn(a, d))
		return 0;
	if (w->total == 0 || d->total >= w->total + 2 * unit)
		return (uint32_t)round_up(a->holdings,
					  MIN(lacking_of(w), MAX((d->total - w->total) / 2, 1)));
	return waited >= (w->total <= d->total ? 1 : PATIENCE) * a->quantum_ns ? unit : 0;
}

static void
recall_due(const struct allotment *a)
{
	struct holdings *l = a->holdings;
	struct holdings_holder *w = NULL;

	while ((w = next_oldest(l, w)) != NULL) {
		struct holdings_holder *richest = NULL;
		uint32_t due = 0;
		size_t i;

		for (i = 0; i < l->holders_n; i++) {
			struct holdings_holder *d = l->holders[i];
			uint32_t n = due_from(a, d, w);

			if (n == 0 || (richest != NULL && d->total <= richest->total))
				continue;
			richest = d;
			due = n;
		}
		if (richest == NULL)
			continue;
		richest->turn_ns = a->now_ns;
		recall(richest, richest->recall_idle, due);
	}
}

/* --- all of it --- */

void
allot(struct holdings *l, int64_t quantum_ns, int64_t now_ns)
{
	struct allotment a = {.holdings = l, .quantum_ns = quantum_ns, .now_ns = now_ns};
	size_t i;

	if (l->limit == SHARE_ALL)
		return;
	for (i = 0; i < l->n; i++)
		if (l->v[i]->is_listed)
			fit(l, l->v[i]);
	holdings_count_free(l);
	give_all(&a);
	recall_idle(l);
	recall_due(&a);
}

/* The earlier of next and at, if at is not over. */
static int64_t
sooner(int64_t next, int64_t at, int64_t now_ns)
{
	return at > now_ns ? MIN(next, at) : next;
}

int64_t
allot_next_ns(const struct holdings *l, int64_t quantum_ns, int64_t now_ns)
{
	int64_t next = INT64_MAX;
	size_t i, j;

	if (l->limit == SHARE_ALL || all_lacking(l) == 0)
		return next;
	for (i = 0; i < l->holders_n; i++) {
		const struct holdings_holder *h = l->holders[i];

		if (!is_present(h))
			continue;
		if (h->total > 0)
			next = sooner(next, h->turn_ns + quantum_ns, now_ns);
		next = sooner(next, h->want_since_ns + quantum_ns, now_ns);
		next = sooner(next, h->want_since_ns + PATIENCE * quantum_ns, now_ns);
		for (j = 0; j < l->n; j++)
			if (l->v[j]->free > 0)
				next = sooner(next, l->v[j]->v[i].given_up_ns + quantum_ns, now_ns);
	}
	return next;
}
