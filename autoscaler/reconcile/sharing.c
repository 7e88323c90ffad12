#include "autoscaler/reconcile/sharing.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/reconcile/announce.h"
#include "autoscaler/shares/shares.h"
#include "common/clk.h"
#include "common/log.h"

#define ABSENT_AFTER (5 * CLK_S) /* the log says that an activator is not connected */

/* Terms come from the clock, in milliseconds (activators.h).  One that is more than a year ahead of
 * ours is a mistake. */
#define TERM_AHEAD_MOST UINT64_C(31536000000)

/* One activator: connected, or not known to be dead. */
struct holder {
	char *id;
	uint64_t peer; /* its newest link; 0: none */
	bool has_shares;
	bool is_known_before; /* to an earlier autoscaler, and not heard of since */
	bool is_leaving;
	bool is_absence_logged;
	int64_t lost_ns;	/* since when it has not been connected */
	bool is_refusal_logged; /* it knows no shares, and got no instances of a revision */
	int64_t dead_ns;	/* -1: it is not */
};

/* An activator without shares was sent the newest instances. */
struct told {
	uint64_t peer;
	bool may_use; /* them; else each as stopping */
};

/* One revision. */
struct entry {
	char *name;
	struct shares *shares;
	uint32_t limit; /* SHARE_ALL: none */
	uint32_t max_requests;
	int64_t counted_ns; /* requests of the instances that came later are counted by this entry
			     */
	int64_t abort_timeout_ns;
	int64_t generation; /* of the description that was the first with it */
	bool is_first;	    /* in the first set */
	bool is_stale;	    /* within sharing_begin_set() … sharing_end_set() */
	bool is_published;
	/* Instances may be in use by activators that no record names: they ran before this
	 * autoscaler began. */
	bool is_adopted;
	bool is_due;	   /* for sharing_flush() */
	int64_t next_ns;   /* as shares_next_ns() */
	struct told *told; /* activators without shares that know the newest instances */
	size_t told_n;
};

struct sharing {
	const struct scaled_set *set;
	const struct sharing_ops *ops;
	void *arg;
	uint64_t term;
	bool has_record; /* as sharing_begin() said */
	bool has_begun;	 /* sharing_end_set() was called */
	int64_t quantum_ns, generation;
	uint64_t epoch; /* the highest that was offered of revisions that are gone */
	struct holder *holders;
	size_t holders_n;
	struct hmap by_name; /* struct entry */
	bool is_due;	     /* an entry is */
	int64_t next_ns;     /* the first of all entries */
};

struct sharing *
sharing_new(const struct scaled_set *set, const struct sharing_ops *ops, void *arg)
{
	struct sharing *s = xcalloc(1, sizeof *s);

	*s = (struct sharing){.set = set,
			      .ops = ops,
			      .arg = arg,
			      .term = 1,
			      .has_record = true,
			      .quantum_ns = CLK_S,
			      .next_ns = INT64_MAX};
	hmap_init(&s->by_name);
	return s;
}

static struct entry *
next_entry(const struct sharing *s, size_t *at)
{
	const char *key;
	void *value;

	return hmap_next(&s->by_name, at, &key, &value) ? value : NULL;
}

static void
entry_free(struct sharing *s, struct entry *e)
{
	s->epoch = MAX(s->epoch, shares_epoch(e->shares));
	hmap_remove(&s->by_name, e->name);
	shares_free(&e->shares);
	free(e->told);
	free(e->name);
	free(e);
}

void
sharing_free(struct sharing **sp)
{
	struct sharing *s = *sp;
	struct entry *e;
	size_t i, at = 0;

	*sp = NULL;
	if (s == NULL)
		return;
	while ((e = next_entry(s, &at)) != NULL)
		entry_free(s, e);
	hmap_fini(&s->by_name);
	for (i = 0; i < s->holders_n; i++)
		free(s->holders[i].id);
	free(s->holders);
	free(s);
}

static void
mark_due(struct sharing *s, struct entry *e)
{
	e->is_due = s->is_due = true;
}

/* --- activators --- */

static struct holder *
find_holder(const struct sharing *s, const char *id)
{
	size_t i;

	for (i = 0; i < s->holders_n; i++)
		if (strcmp(s->holders[i].id, id) == 0)
			return &s->holders[i];
	return NULL;
}

/* The activator whose newest link this is, or NULL. */
static struct holder *
find_peer(const struct sharing *s, uint64_t peer)
{
	size_t i;

	for (i = 0; i < s->holders_n; i++)
		if (s->holders[i].peer == peer)
			return &s->holders[i];
	return NULL;
}

static struct holder *
add_holder(struct sharing *s, const char *id)
{
	struct holder *h = find_holder(s, id);

	if (h != NULL)
		return h;
	s->holders = xrealloc(s->holders, (s->holders_n + 1) * sizeof *s->holders);
	h = &s->holders[s->holders_n++];
	*h = (struct holder){.id = xstrdup(id), .lost_ns = clk_now(), .dead_ns = -1};
	return h;
}

void
sharing_begin(struct sharing *s, uint64_t term, bool has_record, const char *const *ids, size_t n)
{
	size_t i;

	CHECK(s->by_name.n == 0);
	s->term = term;
	s->has_record = has_record;
	s->has_begun = false;
	for (i = 0; i < n; i++)
		add_holder(s, ids[i])->is_known_before = true;
}

void
sharing_peer_up(struct sharing *s, uint64_t peer, const char *id, bool has_shares)
{
	struct holder *h = add_holder(s, id);
	bool was_dead = h->dead_ns >= 0;
	struct entry *e;
	size_t at = 0;

	h->dead_ns = -1;
	h->is_absence_logged = false;
	h->peer = peer;
	h->has_shares = has_shares;
	h->is_known_before = false;
	while ((e = next_entry(s, &at)) != NULL) {
		shares_up(e->shares, id, has_shares);
		if (e->is_adopted || was_dead)
			shares_assume_all(e->shares, id);
		mark_due(s, e);
	}
}

void
sharing_peer_down(struct sharing *s, uint64_t peer)
{
	struct holder *h = find_peer(s, peer);
	struct entry *e;
	size_t at = 0;

	if (h == NULL)
		return;
	h->peer = 0;
	h->lost_ns = clk_now();
	while ((e = next_entry(s, &at)) != NULL) {
		shares_down(e->shares, h->id);
		mark_due(s, e);
	}
}

void
sharing_dead(struct sharing *s, const char *id)
{
	struct holder *h = find_holder(s, id);
	struct entry *e;
	size_t at = 0;

	if (h == NULL || h->dead_ns >= 0)
		return;
	h->dead_ns = clk_now();
	h->peer = 0;
	while ((e = next_entry(s, &at)) != NULL) {
		shares_dead(e->shares, id, h->dead_ns);
		mark_due(s, e);
	}
}

void
sharing_leaving(struct sharing *s, uint64_t peer)
{
	struct holder *h = find_peer(s, peer);
	struct entry *e;
	size_t at = 0;

	if (h != NULL)
		h->is_leaving = true;
	while (h != NULL && (e = next_entry(s, &at)) != NULL) {
		shares_leaving(e->shares, h->id);
		mark_due(s, e);
	}
}

static bool
is_believable(const struct sharing *s, const struct msg_shares_held *m)
{
	return m->term <= s->term || m->term <= (uint64_t)(clk_wall() / CLK_MS) + TERM_AHEAD_MOST;
}

void
sharing_held(struct sharing *s, uint64_t peer, const struct msg_shares_held *m)
{
	const struct holder *h = find_peer(s, peer);
	struct entry *e = hmap_find(&s->by_name, m->revision);
	struct share_report r = {.term = m->term,
				 .epoch = m->epoch,
				 .is_complete = m->is_complete,
				 .owed_idle = m->owed_idle,
				 .owed_due = m->owed_due,
				 .n = m->n};
	struct share_item *items;
	size_t i;

	if (h == NULL || e == NULL || m->generation < e->generation || !is_believable(s, m))
		return;
	r.v = items = xcalloc(m->n + 1, sizeof *items);
	for (i = 0; i < m->n; i++)
		items[i] = (struct share_item){.id = m->v[i].id,
					       .slots = m->v[i].slots,
					       .uses = m->v[i].uses,
					       .used = m->v[i].used};
	shares_report(e->shares, h->id, &r, clk_now());
	free(items);
	mark_due(s, e);
}

void
sharing_want(struct sharing *s, uint64_t peer, const struct msg_want *m)
{
	const struct holder *h = find_peer(s, peer);
	struct entry *e = hmap_find(&s->by_name, m->revision);
	const struct share_want w = {.term = m->term,
				     .epoch = m->epoch,
				     .slots = m->slots,
				     .oldest_ns = m->oldest_ms * CLK_MS};

	if (h == NULL || e == NULL)
		return;
	shares_want(e->shares, h->id, &w, clk_now());
	mark_due(s, e);
}

/* --- the revisions --- */

void
sharing_begin_set(struct sharing *s, int64_t generation, int64_t quantum_ns)
{
	struct entry *e;
	size_t at = 0;

	s->generation = generation;
	s->quantum_ns = quantum_ns;
	while ((e = next_entry(s, &at)) != NULL)
		e->is_stale = true;
}

static struct shares_conf
conf_of(const struct sharing *s, const struct entry *e)
{
	return (struct shares_conf){.term = s->term,
				    .epoch = s->epoch,
				    .quantum_ns = s->quantum_ns,
				    .abort_timeout_ns = e->abort_timeout_ns};
}

/* What the shares of a new entry have to know of h.  If the revision was there already, an
 * activator without shares may use all of its instances: so far there was no limit. */
static void
introduce(const struct entry *e, const struct holder *h, bool was_there)
{
	if (!h->is_known_before)
		shares_up(e->shares, h->id, h->has_shares);
	if (!h->is_known_before && was_there)
		shares_assume_all(e->shares, h->id);
	if (h->peer == 0)
		shares_down(e->shares, h->id);
	if (h->is_leaving)
		shares_leaving(e->shares, h->id);
	if (h->dead_ns >= 0)
		shares_dead(e->shares, h->id, h->dead_ns);
}

static struct entry *
add_entry(struct sharing *s, const struct scaled_revision *rev)
{
	struct entry *e = xcalloc(1, sizeof *e);
	const char **ids = xcalloc(s->holders_n + 1, sizeof *ids);
	struct shares_conf conf = conf_of(s, e);
	size_t i, n = 0;

	e->name = xstrdup(scaled_name(rev));
	e->generation = s->generation;
	e->is_first = !s->has_begun;
	e->next_ns = INT64_MAX;
	for (i = 0; i < s->holders_n; i++)
		if (s->holders[i].is_known_before)
			ids[n++] = s->holders[i].id;
	e->shares = shares_new(&conf, ids, n);
	free(ids);
	for (i = 0; i < s->holders_n; i++)
		introduce(e, &s->holders[i], rev->is_known);
	hmap_put(&s->by_name, e->name, e);
	return e;
}

/* Requests that may be sent to an instance of which the shares know nothing yet: all, or none if it
 * may have had some that were not counted. */
static uint32_t
uses_of(const struct entry *e, const struct scaled_instance *i)
{
	return i->is_adopted || i->seen_ns < e->counted_ns ? 0 : e->max_requests;
}

/* The instances that activators may use: so many. */
static size_t
set_instances(struct entry *e, const struct scaled_revision *rev)
{
	struct shares_instance *v;
	struct msg_instances m;
	size_t i, n = 0;

	announce_fill(rev, &m, clk_now());
	v = xcalloc(m.n + 1, sizeof *v);
	for (i = 0; i < m.n; i++) {
		v[i] = (struct shares_instance){.id = m.v[i].id,
						.is_listed = m.v[i].state != INSTANCE_STOPPING,
						.uses = uses_of(e, &rev->instances.v[i])};
		n += v[i].is_listed;
	}
	shares_set_instances(e->shares, e->limit, e->max_requests, v, m.n);
	free(v);
	announce_fini(&m);
	return n;
}

bool
sharing_describe(struct sharing *s, const struct scaled_revision *rev)
{
	uint32_t n = rev->conf->limits.container_concurrency, limit = n == 0 ? SHARE_ALL : n;
	uint32_t max_requests = rev->conf->limits.max_requests;
	struct entry *e = hmap_find(&s->by_name, scaled_name(rev));
	struct shares_conf conf;
	bool has_changed;

	if (e == NULL && limit == SHARE_ALL)
		return false;
	if (e == NULL)
		e = add_entry(s, rev);
	e->is_stale = false;
	has_changed = e->limit != limit || e->max_requests != max_requests;
	e->limit = limit;
	e->max_requests = max_requests;
	e->abort_timeout_ns = rev->conf->limits.abort_timeout;
	conf = conf_of(s, e);
	shares_configure(e->shares, &conf);
	/* At once: activators may hear of several limits in a round. */
	if (has_changed && e->is_published && rev->is_known)
		set_instances(e, rev);
	return has_changed;
}

void
sharing_end_set(struct sharing *s)
{
	struct entry *e;
	size_t at = 0;

	s->has_begun = true;
	while ((e = next_entry(s, &at)) != NULL)
		if (e->is_stale)
			entry_free(s, e);
}

static bool
has_limit(const struct entry *e)
{
	return e != NULL && e->limit != SHARE_ALL;
}

bool
sharing_has(const struct sharing *s, const char *revision)
{
	return has_limit(hmap_find(&s->by_name, revision));
}

const struct shares *
sharing_find(const struct sharing *s, const char *revision)
{
	const struct entry *e = hmap_find(&s->by_name, revision);

	return has_limit(e) ? e->shares : NULL;
}

bool
sharing_is_spent(const struct sharing *s, const char *revision, const char *instance)
{
	const struct entry *e = hmap_find(&s->by_name, revision);

	return e != NULL && e->is_published && shares_is_spent(e->shares, instance);
}

/* --- what is sent --- */

/* Activators without shares that are connected, or were, may have used the instances before. */
static void
adopt(const struct sharing *s, struct entry *e)
{
	size_t i;

	e->is_adopted = true;
	for (i = 0; i < s->holders_n; i++)
		shares_assume_all(e->shares, s->holders[i].id);
}

bool
sharing_publish(struct sharing *s, const struct scaled_revision *rev)
{
	struct entry *e = hmap_find(&s->by_name, scaled_name(rev));

	if (e == NULL)
		return false;
	if (set_instances(e, rev) > 0 && !e->is_published && e->is_first && !s->has_record)
		adopt(s, e);
	e->is_published = true;
	e->told_n = 0;
	mark_due(s, e);
	return has_limit(e);
}

/* Both lists have about the same order: each search begins where the last one has ended.  What
 * is not offered may not be used yet. */
static void
fill_slots(struct msg_instances *m, const struct share_offer *o)
{
	size_t i, k, at = 0;

	for (i = 0; i < m->n; i++) {
		struct msg_instance *inst = &m->v[i];

		if (inst->state == INSTANCE_STOPPING)
			continue;
		for (k = 0; k < o->n && strcmp(o->v[at % o->n].id, inst->id) != 0; k++)
			at++;
		if (k == o->n) {
			inst->state = INSTANCE_STOPPING;
			continue;
		}
		inst->slots = o->v[at % o->n].slots;
		inst->uses = o->v[at % o->n].uses;
		inst->is_at_most = o->v[at % o->n].is_at_most;
		at = at % o->n + 1;
	}
}

static void
send_instances(const struct sharing *s, uint64_t peer, const struct scaled_revision *rev,
	       const struct share_offer *o)
{
	struct msg m = {.type = MSG_INSTANCES};
	struct msg_offer offer;

	announce_fill(rev, &m.u.instances, clk_now());
	if (o != NULL) {
		offer = (struct msg_offer){.term = o->term,
					   .epoch = o->epoch,
					   .limit = o->limit,
					   .recall_idle = o->recall_idle,
					   .recall_due = o->recall_due,
					   .is_shared = o->is_shared,
					   .is_asking = o->is_asking};
		m.u.instances.offer = &offer;
		fill_slots(&m.u.instances, o);
	}
	s->ops->send(peer, &m, s->arg);
	announce_fini(&m.u.instances);
}

/* To an activator that knows no shares: use no instance. */
static void
send_stop(const struct sharing *s, uint64_t peer, const struct scaled_revision *rev)
{
	struct msg m = {.type = MSG_INSTANCES};
	size_t i;

	announce_fill(rev, &m.u.instances, clk_now());
	for (i = 0; i < m.u.instances.n; i++)
		m.u.instances.v[i].state = INSTANCE_STOPPING;
	s->ops->send(peer, &m, s->arg);
	announce_fini(&m.u.instances);
}

static struct told *
find_told(const struct entry *e, uint64_t peer)
{
	size_t i;

	for (i = 0; i < e->told_n; i++)
		if (e->told[i].peer == peer)
			return &e->told[i];
	return NULL;
}

static void
set_told(struct entry *e, uint64_t peer, bool may_use)
{
	struct told *t = find_told(e, peer);

	if (t == NULL) {
		e->told = xrealloc(e->told, (e->told_n + 1) * sizeof *e->told);
		t = &e->told[e->told_n++];
	}
	*t = (struct told){.peer = peer, .may_use = may_use};
}

/* Others may use the instances. */
static void
refuse(const struct sharing *s, struct entry *e, struct holder *h,
       const struct scaled_revision *rev)
{
	if (!h->is_refusal_logged)
		log_warn(NULL,
			 "activator of an older version gets no instances of revisions with "
			 "container_concurrency while others may use them",
			 "activator=%s revision=%s", h->id, e->name);
	h->is_refusal_logged = true;
	if (find_told(e, h->peer) != NULL || !shares_must_stop(e->shares, h->id))
		return;
	set_told(e, h->peer, false);
	send_stop(s, h->peer, rev);
}

/* To an activator that knows no shares. */
static void
send_all_or_nothing(const struct sharing *s, struct entry *e, struct holder *h,
		    const struct scaled_revision *rev)
{
	const struct told *t = find_told(e, h->peer);

	if (t != NULL && t->may_use)
		return;
	if (!shares_may_use_all(e->shares, h->id) && !shares_break_tie(e->shares, h->id)) {
		refuse(s, e, h, rev);
		return;
	}
	set_told(e, h->peer, true);
	send_instances(s, h->peer, rev, NULL);
}

static void
flush(const struct sharing *s, struct entry *e, int64_t now_ns)
{
	const struct scaled_revision *rev = scaled_set_find(s->set, e->name);
	struct share_offer offer;
	const char *id;
	size_t i;

	e->is_due = false;
	e->next_ns = INT64_MAX;
	if (!has_limit(e) || !e->is_published || rev == NULL || !rev->is_known)
		return;
	while (shares_next_offer(e->shares, &id, &offer, now_ns)) {
		const struct holder *h = find_holder(s, id);

		CHECK(h != NULL && h->peer != 0);
		send_instances(s, h->peer, rev, &offer);
	}
	for (i = 0; i < s->holders_n; i++)
		if (s->holders[i].peer != 0 && !s->holders[i].has_shares)
			send_all_or_nothing(s, e, &s->holders[i], rev);
	e->next_ns = shares_next_ns(e->shares, now_ns);
}

void
sharing_flush(struct sharing *s)
{
	int64_t now = clk_now();
	struct entry *e;
	size_t at = 0;

	if (!s->is_due && now < s->next_ns)
		return;
	s->is_due = false;
	s->next_ns = INT64_MAX;
	while ((e = next_entry(s, &at)) != NULL) {
		if (e->is_due || e->next_ns <= now)
			flush(s, e, now);
		s->next_ns = MIN(s->next_ns, e->next_ns);
	}
}

int64_t
sharing_next_ns(const struct sharing *s)
{
	return s->next_ns;
}

/* Is a dead activator known to no revision any more, nor to one that comes next? */
static bool
is_gone(const struct sharing *s, const struct holder *h)
{
	const struct entry *e;
	size_t at = 0;

	while ((e = next_entry(s, &at)) != NULL)
		if (shares_knows(e->shares, h->id) || clk_now() - h->dead_ns < e->abort_timeout_ns)
			return false;
	return true;
}

static void
check_absence(const struct sharing *s, struct holder *h)
{
	if (h->peer != 0 || h->dead_ns >= 0 || h->is_absence_logged || s->by_name.n == 0 ||
	    clk_now() - h->lost_ns < ABSENT_AFTER)
		return;
	h->is_absence_logged = true;
	log_warn(NULL,
		 "activator is not connected, but its process has not ended: no other activator "
		 "gets the slots that it may use",
		 "activator=%s", h->id);
}

/* Under the new term of s: each holder may hold everything until it reports. */
static void
begin_again(struct sharing *s, struct entry *e)
{
	const struct scaled_revision *rev = scaled_set_find(s->set, e->name);
	const char **ids = xcalloc(s->holders_n + 1, sizeof *ids);
	struct shares_conf conf;
	size_t i;

	s->epoch = MAX(s->epoch, shares_epoch(e->shares));
	conf = conf_of(s, e);
	shares_free(&e->shares);
	for (i = 0; i < s->holders_n; i++)
		ids[i] = s->holders[i].id;
	e->shares = shares_new(&conf, ids, s->holders_n);
	e->counted_ns = clk_now() + 1;
	for (i = 0; i < s->holders_n; i++) {
		const struct holder *h = &s->holders[i];

		if (h->is_leaving)
			shares_leaving(e->shares, h->id);
		if (h->dead_ns >= 0)
			shares_dead(e->shares, h->id, h->dead_ns);
	}
	free(ids);
	if (e->is_published && rev != NULL && rev->is_known)
		set_instances(e, rev);
	e->told_n = 0;
	mark_due(s, e);
}

/* There is one leader for each socket: a higher term is one whose record was lost. */
static void
raise_term(struct sharing *s)
{
	uint64_t higher = 0;
	struct entry *e;
	size_t i, at = 0;

	while ((e = next_entry(s, &at)) != NULL)
		higher = MAX(higher, shares_higher_term(e->shares));
	if (higher == 0)
		return;
	log_warn(NULL, "an activator has obeyed a later autoscaler: a higher term begins",
		 "term=%llu seen=%llu", (unsigned long long)s->term, (unsigned long long)higher);
	s->term = higher + 1;
	for (i = 0; i < s->holders_n && s->ops->term_raised != NULL; i++)
		s->holders[i].peer = 0; /* its link is about to be cut */
	for (at = 0; (e = next_entry(s, &at)) != NULL;)
		begin_again(s, e);
	if (s->ops->term_raised != NULL)
		s->ops->term_raised(s->term, s->arg);
}

void
sharing_tick(struct sharing *s)
{
	struct entry *e;
	size_t i, n = 0, at = 0;

	raise_term(s);
	while ((e = next_entry(s, &at)) != NULL)
		shares_bury(e->shares, clk_now());
	for (i = 0; i < s->holders_n; i++) {
		struct holder *h = &s->holders[i];

		check_absence(s, h);
		if (h->dead_ns < 0 || !is_gone(s, h)) {
			s->holders[n++] = *h;
			continue;
		}
		if (s->ops->holder_gone != NULL)
			s->ops->holder_gone(h->id, s->arg);
		free(h->id);
	}
	s->holders_n = n;
}
