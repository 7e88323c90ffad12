#include "activator/share.h"

#include <stdlib.h>

#include "common/hmap.h"

struct share_instance {
	char *id;
	uint32_t share; /* SHARE_ALL: no limit */
	/* What the leader counts as held: what was reported last, or has been offered since. */
	uint32_t counted;
	bool is_listed; /* by the newest offer */
	uint32_t uses;	/* requests that may still be sent there; SHARE_NO_USES: not counted */
	uint32_t used;	/* requests that were sent there */
};

struct share {
	const struct share_ops *ops;
	void *arg;

	/* what the newest offer said */
	uint64_t term, epoch;
	uint32_t limit;
	uint32_t max_requests; /* 0: none */
	bool is_shared;
	uint32_t owed_idle, owed_due; /* of its recalls: not given up yet */

	struct share_instance **v;
	size_t n, cap;
	size_t over_n; /* instances of which more is counted than their share */
	struct hmap by_id;

	bool is_complete_due;	  /* a complete report is to be sent */
	bool has_paid;		  /* a report is to say so, although no less is held yet */
	struct share_item *items; /* of the last report: room for n */
	size_t items_cap;

	uint32_t parked;
	uint32_t wanted; /* slots, as the last want said */
	int64_t parked_since_ns;
	bool is_want_due; /* again, if requests are parked, whether or not their number changed */
};

struct share *
share_new(const struct share_ops *ops, void *arg)
{
	struct share *s = xcalloc(1, sizeof *s);

	s->ops = ops;
	s->arg = arg;
	hmap_init(&s->by_id);
	return s;
}

void
share_free(struct share **sp)
{
	struct share *s = *sp;
	size_t i;

	*sp = NULL;
	for (i = 0; i < s->n; i++) {
		free(s->v[i]->id);
		free(s->v[i]);
	}
	hmap_fini(&s->by_id);
	free(s->items);
	free(s->v);
	free(s);
}

/* --- instances --- */

static struct share_instance *
find_or_add(struct share *s, const char *id)
{
	struct share_instance *inst = hmap_find(&s->by_id, id);

	if (inst != NULL)
		return inst;
	inst = xcalloc(1, sizeof *inst);
	inst->id = xstrdup(id);
	inst->uses = SHARE_NO_USES;
	if (s->n == s->cap) {
		s->cap = s->cap == 0 ? 4 : s->cap * 2;
		s->v = xrealloc(s->v, s->cap * sizeof *s->v);
	}
	s->v[s->n++] = inst;
	hmap_put(&s->by_id, id, inst);
	return inst;
}

static uint32_t
held_of(const struct share *s, const struct share_instance *inst)
{
	struct share_use use;

	if (inst->share == SHARE_ALL)
		return SHARE_ALL;
	use = s->ops->use(inst->id, s->arg);
	return MAX(inst->share, MAX(use.requests, use.conns));
}

static void
set_counts(struct share *s, struct share_instance *inst, uint32_t share, uint32_t counted)
{
	s->over_n -= inst->counted > inst->share;
	inst->share = share;
	inst->counted = counted;
	s->over_n += inst->counted > inst->share;
}

static void
set_share(struct share *s, struct share_instance *inst, uint32_t slots)
{
	if (inst->share == slots)
		return;
	set_counts(s, inst, slots, MAX(inst->counted, slots));
	s->ops->set_share(inst->id, slots, s->arg);
}

/* Will the leader want to know how many requests were sent there, if the instance is listed again?
 */
static bool
has_used(const struct share *s, const struct share_instance *inst)
{
	return s->max_requests > 0 && inst->used > 0 && s->ops->use(inst->id, s->arg).is_known;
}

/* Forget the instances that are not listed and at which nothing is held, once the leader knows. */
static void
forget_unlisted(struct share *s)
{
	size_t i, n = 0;

	for (i = 0; i < s->n; i++) {
		struct share_instance *inst = s->v[i];

		if (inst->is_listed || held_of(s, inst) > 0 || has_used(s, inst) ||
		    (inst->counted > 0 && s->limit != SHARE_ALL)) {
			s->v[n++] = inst;
			continue;
		}
		set_counts(s, inst, 0, 0);
		hmap_remove(&s->by_id, inst->id);
		free(inst->id);
		free(inst);
	}
	s->n = n;
}

/* --- recalls --- */

/* Slots of an instance in which no request is in flight. */
static uint32_t
idle_slots(const struct share_instance *inst, const struct share_use *use)
{
	return inst->share != SHARE_ALL && inst->share > use->requests ? inst->share - use->requests
								       : 0;
}

struct idle {
	uint64_t usable, unusable; /* idle slots, by share_use.is_usable */
};

static struct idle
count_idle(const struct share *s)
{
	struct idle idle = {0};
	size_t i;

	for (i = 0; i < s->n; i++) {
		struct share_use use;

		if (s->v[i]->share == 0)
			continue;
		use = s->ops->use(s->v[i]->id, s->arg);
		*(use.is_usable ? &idle.usable : &idle.unusable) += idle_slots(s->v[i], &use);
	}
	return idle;
}

/* Idle slots that no parked request will get. */
static uint64_t
spare_slots(const struct share *s)
{
	struct idle idle = count_idle(s);

	return idle.unusable + (idle.usable > s->parked ? idle.usable - s->parked : 0);
}

/* How many idle slots are to be given up now, if so many are spare? */
static uint32_t
payable(const struct share *s, uint64_t spare)
{
	return MAX(s->owed_due, (uint32_t)MIN(s->owed_idle, spare));
}

/* A slot that is given up counts for both recalls: the leader wants slots, whichever rule frees
 * them. */
static void
give_up(struct share *s, struct share_instance *inst, uint32_t slots, uint64_t *spare)
{
	set_share(s, inst, inst->share - slots);
	s->owed_idle -= MIN(s->owed_idle, slots);
	s->owed_due -= MIN(s->owed_due, slots);
	*spare -= MIN(*spare, slots);
}

/* Pay with all idle slots of some instances: those that are unusable, or any. */
static void
pay_from(struct share *s, struct share_instance *inst, bool is_unusable_only, uint64_t *spare)
{
	struct share_use use = s->ops->use(inst->id, s->arg);
	uint32_t slots = MIN(idle_slots(inst, &use), payable(s, *spare));

	if (slots > 0 && !(is_unusable_only && use.is_usable))
		give_up(s, inst, slots, spare);
}

/* Pay with a whole idle instance.  One with more slots than are owed goes only if this leaves
 * other slots, and none that a parked request will get. */
static void
pay_whole(struct share *s, struct share_instance *inst, uint64_t *total, uint64_t *spare)
{
	struct share_use use = s->ops->use(inst->id, s->arg);
	uint32_t share = inst->share;

	if (share == 0 || idle_slots(inst, &use) < share)
		return;
	if (share > payable(s, *spare) && (*total == share || *spare < share))
		return;
	give_up(s, inst, share, spare);
	*total -= share;
}

/* With max_requests: give an instance up if it is idle, and something is owed: for owed_idle only
 * if no parked request will get a slot of it. */
static void
pay_only_whole(struct share *s, struct share_instance *inst, uint64_t *spare)
{
	struct share_use use = s->ops->use(inst->id, s->arg);

	if (inst->share == 0 || use.requests > 0)
		return;
	if (s->owed_due > 0 || (s->owed_idle > 0 && *spare >= inst->share))
		give_up(s, inst, inst->share, spare);
}

/* The instance with the fewest requests, of those with a share. */
static struct share_instance *
least_busy(const struct share *s)
{
	struct share_instance *best = NULL;
	uint32_t least = 0;
	size_t i;

	for (i = s->n; i-- > 0;) {
		uint32_t n;

		if (s->v[i]->share == 0)
			continue;
		n = s->ops->use(s->v[i]->id, s->arg).requests;
		if (best == NULL || n < least) {
			best = s->v[i];
			least = n;
		}
	}
	return best;
}

/* With max_requests: whole instances alone.  For owed_due also busy ones: they get no more
 * requests, and are reported as given up when those in flight have ended. */
static void
pay_whole_ones(struct share *s)
{
	uint64_t spare = spare_slots(s);
	struct share_instance *inst;
	size_t i;

	for (i = s->n; i-- > 0;)
		pay_only_whole(s, s->v[i], &spare);
	while (s->owed_due > 0 && (inst = least_busy(s)) != NULL) {
		give_up(s, inst, inst->share, &spare);
		s->has_paid = true;
	}
}

/* The last instances first: requests are sent to the first ones, so the last become idle. */
static void
pay(struct share *s)
{
	uint64_t total = 0, spare;
	size_t i;

	if (s->limit == SHARE_ALL || (s->owed_idle == 0 && s->owed_due == 0))
		return;
	if (s->max_requests > 0) {
		pay_whole_ones(s);
		return;
	}
	spare = spare_slots(s);
	for (i = s->n; i-- > 0 && payable(s, spare) > 0;)
		pay_from(s, s->v[i], true, &spare);
	for (i = 0; i < s->n; i++)
		total += s->v[i]->share;
	for (i = s->n; i-- > 0 && payable(s, spare) > 0;)
		pay_whole(s, s->v[i], &total, &spare);
	for (i = s->n; i-- > 0 && payable(s, spare) > 0;)
		pay_from(s, s->v[i], false, &spare);
}

/* No autoscaler counts what is held, so nothing is to be reported. */
static void
forget_counted(struct share *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		set_counts(s, s->v[i], s->v[i]->share, s->v[i]->share);
}

/* --- the link --- */

void
share_connected(struct share *s, uint64_t term)
{
	if (term > s->term) {
		s->term = term;
		s->epoch = 0;
	}
	s->owed_idle = s->owed_due = 0;
	s->is_complete_due = true;
	s->wanted = 0;
	s->is_want_due = true;
}

void
share_release(struct share *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		set_share(s, s->v[i], 0);
}

void
share_disconnected(struct share *s)
{
	s->owed_idle = s->owed_due = 0;
	forget_counted(s); /* the complete report of the next link says all */
}

/* The instances listed from now on are those that set_listed() names, up to end_list().  Its last
 * arguments are those of an offer's item. */
static void
begin_list(struct share *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		s->v[i]->is_listed = false;
}

static void
set_listed(struct share *s, const char *id, uint32_t slots, bool is_at_most, uint32_t uses)
{
	struct share_instance *inst = find_or_add(s, id);

	inst->is_listed = true;
	if (uses != SHARE_NO_USES)
		inst->uses = uses;
	/* Under a new limit SHARE_ALL cannot be kept. */
	if (slots == SHARE_KEEP)
		slots = inst->share == SHARE_ALL && s->limit != SHARE_ALL ? 0 : inst->share;
	else if (is_at_most)
		slots = MIN(slots, inst->share);
	set_share(s, inst, MIN(slots, s->limit));
}

static void
end_list(struct share *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (!s->v[i]->is_listed)
			set_share(s, s->v[i], 0);
	forget_unlisted(s);
}

/* Instances that are held and whose requests were not counted so far. */
static void
count_uses(struct share *s)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		struct share_instance *inst = s->v[i];

		if (s->max_requests > 0 && inst->share > 0 && inst->uses == SHARE_NO_USES)
			inst->uses = s->max_requests;
	}
}

void
share_unshared(struct share *s, uint32_t limit, const char *const *ids, size_t n)
{
	size_t i;

	s->limit = limit;
	s->is_shared = s->is_complete_due = false;
	s->owed_idle = s->owed_due = 0;
	begin_list(s);
	for (i = 0; i < n; i++)
		set_listed(s, ids[i], limit, false, SHARE_NO_USES);
	for (i = 0; i < s->n; i++)
		if (!s->v[i]->is_listed)
			set_share(s, s->v[i], 0);
	count_uses(s);
	forget_counted(s);
	forget_unlisted(s);
}

/* The leader takes an instance for one that is held and whose uses are known here, but it was
 * forgotten meanwhile: no request may be sent there. */
static void
forbid_unknown(struct share *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->max_requests > 0 && s->v[i]->share > 0 && s->v[i]->uses == SHARE_NO_USES)
			s->v[i]->uses = 0;
}

bool
share_obey(struct share *s, const struct share_offer *o)
{
	size_t i;

	if (o->term < s->term || (o->term == s->term && o->epoch <= s->epoch))
		return false;
	s->term = o->term;
	s->epoch = o->epoch;
	s->limit = o->limit;
	s->is_shared = o->is_shared;
	begin_list(s);
	for (i = 0; i < o->n; i++) {
		const struct share_item *item = &o->v[i];

		if (o->limit == SHARE_ALL)
			set_listed(s, item->id, SHARE_ALL, false, SHARE_NO_USES);
		else
			set_listed(s, item->id, item->slots, item->is_at_most, item->uses);
	}
	end_list(s);
	forbid_unknown(s);
	s->owed_idle = o->recall_idle;
	s->owed_due = o->recall_due;
	pay(s);
	s->is_complete_due |= o->is_asking;
	s->is_want_due = true;
	return true;
}

/* --- uses --- */

void
share_set_max_requests(struct share *s, uint32_t max_requests)
{
	size_t i;

	if (s->max_requests == max_requests)
		return;
	s->max_requests = max_requests;
	for (i = 0; i < s->n; i++) {
		struct share_instance *inst = s->v[i];

		if (max_requests == 0) {
			inst->uses = SHARE_NO_USES;
			inst->used = 0;
		} else if (inst->uses != SHARE_NO_USES) {
			inst->uses = MIN(inst->uses, max_requests);
		}
	}
	count_uses(s);
}

uint32_t
share_uses(const struct share *s, const char *id)
{
	const struct share_instance *inst = hmap_find(&s->by_id, id);

	return s->max_requests > 0 && inst != NULL ? inst->uses : SHARE_NO_USES;
}

uint32_t
share_use(struct share *s, const char *id)
{
	struct share_instance *inst = hmap_find(&s->by_id, id);

	if (s->max_requests == 0 || inst == NULL || inst->uses == SHARE_NO_USES)
		return SHARE_NO_USES;
	CHECK(inst->uses > 0);
	inst->used++;
	return --inst->uses;
}

void
share_unuse(struct share *s, const char *id)
{
	struct share_instance *inst = hmap_find(&s->by_id, id);

	if (s->max_requests == 0 || inst == NULL || inst->uses == SHARE_NO_USES || inst->used == 0)
		return;
	inst->used--;
	inst->uses++;
}

/* --- slots --- */

bool
share_needs_parked(const struct share *s)
{
	return s->limit != SHARE_ALL && (s->is_shared || s->owed_idle > 0);
}

void
share_set_parked(struct share *s, uint32_t parked, int64_t since_ns)
{
	bool is_fewer = parked < s->parked;

	s->parked = parked;
	s->parked_since_ns = since_ns;
	if (is_fewer && s->owed_idle > 0)
		pay(s);
}

void
share_freed(struct share *s, const char *id)
{
	struct share_instance *inst = hmap_find(&s->by_id, id);
	uint64_t spare;

	if (inst == NULL || s->limit == SHARE_ALL || (s->owed_idle == 0 && s->owed_due == 0))
		return;
	spare = s->owed_idle > s->owed_due ? spare_slots(s) : 0;
	if (s->max_requests > 0)
		pay_only_whole(s, inst, &spare);
	else
		pay_from(s, inst, false, &spare);
}

bool
share_is_watching(const struct share *s)
{
	return s->limit != SHARE_ALL && (s->owed_idle > 0 || s->owed_due > 0);
}

uint32_t
share_of(const struct share *s, const char *id)
{
	const struct share_instance *inst = hmap_find(&s->by_id, id);

	return inst == NULL ? 0 : inst->share;
}

/* --- what is to be sent --- */

/* Fill in the items: all that is held (is_complete), or what differs from what is counted. */
static size_t
fill_items(struct share *s, bool is_complete)
{
	size_t i, n = 0;

	if (s->items_cap < s->n) {
		s->items_cap = s->cap;
		s->items = xrealloc(s->items, s->items_cap * sizeof *s->items);
	}
	for (i = 0; i < s->n; i++) {
		struct share_instance *inst = s->v[i];
		uint32_t held = held_of(s, inst);

		if (is_complete ? held > 0 || (s->max_requests > 0 && inst->used > 0)
				: held != inst->counted)
			s->items[n++] = (struct share_item){.id = inst->id,
							    .slots = held,
							    .uses = inst->uses,
							    .used = inst->used};
		set_counts(s, inst, inst->share, held);
	}
	return n;
}

bool
share_next_report(struct share *s, struct share_report *r)
{
	bool is_complete = s->is_complete_due;
	size_t n;

	if (!is_complete && !share_is_watching(s) && !s->has_paid &&
	    (s->limit == SHARE_ALL || s->over_n == 0))
		return false;
	forget_unlisted(s);
	n = fill_items(s, is_complete);
	if (!is_complete && n == 0 && !s->has_paid)
		return false;
	s->is_complete_due = s->has_paid = false;
	*r = (struct share_report){.term = s->term,
				   .epoch = s->epoch,
				   .is_complete = is_complete,
				   .owed_idle = s->owed_idle,
				   .owed_due = s->owed_due,
				   .v = s->items,
				   .n = n};
	return true;
}

bool
share_next_want(struct share *s, struct share_want *w, int64_t now_ns)
{
	uint64_t idle;
	uint32_t lacking;

	if (!s->is_shared || s->limit == SHARE_ALL)
		return false;
	idle = s->parked > 0 ? count_idle(s).usable : 0;
	lacking = s->parked > idle ? s->parked - (uint32_t)idle : 0;
	if (lacking == s->wanted && !(s->is_want_due && lacking > 0))
		return false;
	s->wanted = lacking;
	s->is_want_due = false;
	*w = (struct share_want){.term = s->term,
				 .epoch = s->epoch,
				 .slots = lacking,
				 .oldest_ns = lacking > 0 ? now_ns - s->parked_since_ns : 0};
	return true;
}
