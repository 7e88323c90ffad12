#include "autoscaler/shares/shares.h"

#include <stdlib.h>

#include "autoscaler/shares/allot.h"
#include "autoscaler/shares/holdings.h"

struct shares {
	struct shares_conf conf;
	struct holdings holdings;
	bool is_set;	      /* shares_set() was called */
	uint64_t higher_term; /* the highest that was seen of another leader; 0: none */
	bool is_allot_due;
	int64_t next_ns;	  /* when allot() is due though nothing has happened */
	struct share_item *items; /* of the last offer: room for items_cap */
	size_t items_cap;
};

struct shares *
shares_new(const struct shares_conf *conf, const char *const *known, size_t n)
{
	struct shares *s = xcalloc(1, sizeof *s);
	size_t i;

	CHECK(conf->term > 0);
	s->conf = *conf;
	s->next_ns = INT64_MAX;
	holdings_init(&s->holdings);
	s->holdings.epoch = conf->epoch;
	for (i = 0; i < n; i++)
		holdings_add_holder(&s->holdings, known[i])->has_all = true;
	return s;
}

void
shares_free(struct shares **sp)
{
	struct shares *s = *sp;

	*sp = NULL;
	holdings_fini(&s->holdings);
	free(s->items);
	free(s);
}

void
shares_set(struct shares *s, uint32_t limit, const char *const *ids, size_t n)
{
	struct shares_instance *v = xcalloc(n + 1, sizeof *v);
	size_t i;

	for (i = 0; i < n; i++)
		v[i] = (struct shares_instance){.id = ids[i], .is_listed = true};
	shares_set_instances(s, limit, 0, v, n);
	free(v);
}

void
shares_set_instances(struct shares *s, uint32_t limit, uint32_t max_requests,
		     const struct shares_instance *v, size_t n)
{
	CHECK(limit > 0);
	s->is_set = s->is_allot_due = true;
	holdings_set_limit(&s->holdings, limit);
	holdings_set_max_requests(&s->holdings, max_requests);
	holdings_list(&s->holdings, v, n);
}

void
shares_configure(struct shares *s, const struct shares_conf *conf)
{
	s->is_allot_due |= conf->quantum_ns != s->conf.quantum_ns;
	s->conf.quantum_ns = conf->quantum_ns;
	s->conf.abort_timeout_ns = conf->abort_timeout_ns;
}

/* --- activators --- */

static void
unlink_holder(struct holdings_holder *h)
{
	h->is_connected = h->is_synced = false;
	h->want = h->raised = 0;
	h->recall_idle = h->recall_due = 0;
}

/* It was taken for dead.  Its slots may have been given to others meanwhile; no more are given
 * until it has reported. */
static struct holdings_holder *
revive(struct shares *s, struct holdings_holder *h)
{
	char *id = xstrdup(h->id);

	holdings_remove_holder(&s->holdings, h);
	h = holdings_add_holder(&s->holdings, id);
	free(id);
	return h;
}

void
shares_up(struct shares *s, const char *id, bool has_shares)
{
	struct holdings_holder *h = holdings_find_holder(&s->holdings, id);

	if (h == NULL)
		h = holdings_add_holder(&s->holdings, id);
	if (h->dead_ns >= 0)
		h = revive(s, h);
	unlink_holder(h);
	h->is_connected = true;
	h->has_shares = has_shares;
	s->is_allot_due = true;
}

void
shares_down(struct shares *s, const char *id)
{
	struct holdings_holder *h = holdings_find_holder(&s->holdings, id);

	if (h != NULL)
		unlink_holder(h);
	s->is_allot_due = true;
}

void
shares_leaving(struct shares *s, const char *id)
{
	struct holdings_holder *h = holdings_find_holder(&s->holdings, id);

	if (h != NULL)
		h->is_leaving = s->is_allot_due = true;
}

void
shares_dead(struct shares *s, const char *id, int64_t now_ns)
{
	struct holdings_holder *h = holdings_find_holder(&s->holdings, id);

	if (h == NULL || h->dead_ns >= 0)
		return;
	unlink_holder(h);
	h->dead_ns = now_ns;
	s->is_allot_due = true;
}

/* Is a message under that term to be heeded? */
static bool
is_heeded(const struct shares *s, const struct holdings_holder *h, uint64_t term)
{
	return h != NULL && h->is_connected && h->has_shares && term == s->conf.term;
}

/* Was an offer obeyed that a later leader has made, or another one of this term?  That one's record
 * of its term may be lost. */
static bool
is_of_another(const struct shares *s, const struct share_report *r)
{
	return r->term > s->conf.term || (r->term == s->conf.term && r->epoch > s->holdings.epoch);
}

void
shares_report(struct shares *s, const char *id, const struct share_report *r, int64_t now_ns)
{
	struct holdings_holder *h = holdings_find_holder(&s->holdings, id);

	if (h != NULL && r->is_complete && is_of_another(s, r))
		s->higher_term = MAX(s->higher_term, r->term);
	if (!is_heeded(s, h, r->term) || is_of_another(s, r))
		return;
	holdings_report(&s->holdings, h, r, now_ns);
	if (r->epoch >= h->recall_epoch) {
		h->recall_idle = r->owed_idle;
		h->recall_due = r->owed_due;
	}
	s->is_allot_due = true;
}

void
shares_want(struct shares *s, const char *id, const struct share_want *w, int64_t now_ns)
{
	struct holdings_holder *h = holdings_find_holder(&s->holdings, id);

	if (!is_heeded(s, h, w->term))
		return;
	h->want = w->slots;
	h->want_since_ns = now_ns - w->oldest_ns;
	if (w->epoch >= h->raise_epoch)
		h->raised = 0;
	s->is_allot_due = true;
}

bool
shares_may_use_all(struct shares *s, const char *id)
{
	struct holdings_holder *h = holdings_find_holder(&s->holdings, id);
	size_t i;

	if (h == NULL || h->has_shares)
		return false;
	for (i = 0; i < s->holdings.holders_n && !h->is_allowed; i++)
		if (s->holdings.limit != SHARE_ALL && s->holdings.holders[i] != h &&
		    !holdings_is_empty_handed(&s->holdings, s->holdings.holders[i]))
			return false;
	h->has_all = h->is_allowed = true;
	return true;
}

void
shares_assume_all(struct shares *s, const char *id)
{
	struct holdings_holder *h = holdings_find_holder(&s->holdings, id);

	if (h == NULL || h->has_shares)
		return;
	h->has_all = s->is_allot_due = true;
}

bool
shares_break_tie(struct shares *s, const char *id)
{
	const struct holdings *l = &s->holdings;
	struct holdings_holder *h = holdings_find_holder(l, id);
	size_t i;

	if (h == NULL || h->has_shares || !h->has_all)
		return false;
	for (i = 0; i < l->holders_n; i++) {
		const struct holdings_holder *o = l->holders[i];

		if (o == h || holdings_is_empty_handed(l, o))
			continue;
		if (o->has_shares || o->is_allowed || !o->is_connected || o->index < h->index)
			return false;
	}
	h->is_allowed = true;
	return true;
}

/* Does h use instances, for certain? */
static bool
is_user(const struct holdings *l, const struct holdings_holder *h)
{
	if (!h->has_shares)
		return h->is_allowed;
	return h->is_synced && h->is_exact && !holdings_is_empty_handed(l, h);
}

bool
shares_must_stop(const struct shares *s, const char *id)
{
	const struct holdings *l = &s->holdings;
	const struct holdings_holder *h = holdings_find_holder(l, id);
	size_t i;

	if (h == NULL || h->has_shares || !h->has_all || h->is_allowed || l->limit == SHARE_ALL)
		return false;
	for (i = 0; i < l->holders_n; i++)
		if (l->holders[i] != h && is_user(l, l->holders[i]))
			return true;
	return false;
}

/* --- what is to be sent --- */

void
shares_bury(struct shares *s, int64_t now_ns)
{
	struct holdings *l = &s->holdings;
	size_t i;

	for (i = l->holders_n; i-- > 0;) {
		struct holdings_holder *h = l->holders[i];

		if (h->dead_ns < 0 || (now_ns - h->dead_ns < s->conf.abort_timeout_ns &&
				       !holdings_is_empty_handed(l, h)))
			continue;
		holdings_remove_holder(l, h);
		s->is_allot_due = true;
	}
}

/* Must h say what it wants: may others hold slots, or does it get no others? */
static bool
is_shared(const struct shares *s, const struct holdings_holder *h)
{
	return s->holdings.holders_n > 1 || h->is_leaving;
}

static void
refresh(struct shares *s, int64_t now_ns)
{
	struct holdings *l = &s->holdings;

	shares_bury(s, now_ns);
	if (!s->is_allot_due && now_ns < s->next_ns)
		return;
	s->is_allot_due = false;
	allot(l, s->conf.quantum_ns, now_ns);
	s->next_ns = allot_next_ns(l, s->conf.quantum_ns, now_ns);
}

static void
fill_offer(struct shares *s, struct holdings_holder *h, struct share_offer *o)
{
	if (s->items_cap < s->holdings.n) {
		s->items_cap = s->holdings.cap;
		s->items = xrealloc(s->items, s->items_cap * sizeof *s->items);
	}
	holdings_offer(&s->holdings, h, o, s->items);
	o->term = s->conf.term;
	o->is_shared = h->is_shared = is_shared(s, h);
	o->recall_idle = h->recall_idle;
	o->recall_due = h->recall_due;
	h->recall_epoch = o->epoch;
}

bool
shares_next_offer(struct shares *s, const char **id, struct share_offer *o, int64_t now_ns)
{
	size_t i;

	if (!s->is_set || s->higher_term > 0)
		return false;
	refresh(s, now_ns);
	for (i = 0; i < s->holdings.holders_n; i++) {
		struct holdings_holder *h = s->holdings.holders[i];

		if (!h->is_synced || (!h->is_offer_due && (s->holdings.limit == SHARE_ALL ||
							   h->is_shared == is_shared(s, h))))
			continue;
		fill_offer(s, h, o);
		*id = h->id;
		return true;
	}
	return false;
}

int64_t
shares_next_ns(const struct shares *s, int64_t now_ns)
{
	int64_t next = s->next_ns;
	size_t i;

	if (s->higher_term > 0)
		return INT64_MAX;
	for (i = 0; i < s->holdings.holders_n; i++)
		if (s->holdings.holders[i]->dead_ns >= 0)
			next = MIN(next,
				   s->holdings.holders[i]->dead_ns + s->conf.abort_timeout_ns);
	return MAX(next, now_ns);
}

/* --- for reading --- */

uint64_t
shares_higher_term(const struct shares *s)
{
	return s->higher_term;
}

uint64_t
shares_epoch(const struct shares *s)
{
	return s->holdings.epoch;
}

bool
shares_knows(const struct shares *s, const char *id)
{
	return holdings_find_holder(&s->holdings, id) != NULL;
}

uint32_t
shares_bound(const struct shares *s, const char *instance)
{
	return holdings_bound_of(&s->holdings, instance);
}

uint32_t
shares_limit(const struct shares *s)
{
	return s->holdings.limit;
}

bool
shares_holder_at(const struct shares *s, size_t i, struct shares_holder *out)
{
	const struct holdings_holder *h;

	if (i >= s->holdings.holders_n)
		return false;
	h = s->holdings.holders[i];
	*out = (struct shares_holder){.id = h->id,
				      .is_connected = h->is_connected,
				      .is_leaving = h->is_leaving,
				      .is_dead = h->dead_ns >= 0,
				      .is_unknown = h->has_shares ? !h->is_heard || !h->is_exact
								  : h->has_all,
				      .recalled = MAX(h->recall_idle, h->recall_due),
				      .wants = h->want,
				      .wants_since_ns = h->want_since_ns};
	return true;
}

/* An activator that knows no shares has all of everything, or nothing; it has no entries. */
bool
shares_slots_at(const struct shares *s, size_t holder, size_t i, struct shares_slots *out)
{
	const struct holdings *l = &s->holdings;
	const struct holdings_holder *h;
	const struct holdings_instance *inst;

	if (holder >= l->holders_n || i >= l->n)
		return false;
	h = l->holders[holder];
	inst = l->v[i];
	*out = (struct shares_slots){.instance = inst->id};
	if (h->has_shares)
		out->share = inst->v[holder].value;
	else
		out->share = h->is_allowed ? SHARE_ALL : 0;
	if (h->has_shares)
		out->held = inst->v[holder].bound;
	else
		out->held = h->has_all ? SHARE_ALL : 0;
	return true;
}

bool
shares_is_spent(const struct shares *s, const char *instance)
{
	return holdings_is_spent(&s->holdings, instance);
}
