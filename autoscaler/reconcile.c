#include "autoscaler/reconcile.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/reconcile_impl.h"
#include "autoscaler/scaledown.h"
#include "autoscaler/window.h"
#include "common/clk.h"
#include "common/log.h"

#define GHOSTS_MOST 64
#define SILENCE (5 * CLK_S) /* that many seconds' reports are missing */

/* --- life --- */

struct reconcile *
reconcile_new(const struct reconcile_ops *ops, void *arg, const char *id)
{
	struct reconcile *r = xcalloc(1, sizeof *r);

	r->ops = ops;
	r->arg = arg;
	r->started_ns = clk_now();
	hmap_init(&r->by_name);
	hmap_init(&r->by_instance);
	list_init(&r->active);
	list_init(&r->dirty);
	drain_table_init(&r->drains, id);
	return r;
}

/* Forget where its instances are found. */
static void
unmap_instances(struct reconcile *r, struct revision *rev)
{
	size_t i;

	for (i = 0; i < rev->n; i++)
		if (hmap_find(&r->by_instance, rev->v[i].id) == rev)
			hmap_remove(&r->by_instance, rev->v[i].id);
}

static void
forget(struct reconcile *r, struct revision *rev)
{
	scaledown_end_all(r, rev);
	unmap_instances(r, rev);
	if (!rev->is_external)
		r->wanted_total -= rev->wanted;
	if (list_linked(&rev->active))
		list_remove(&r->active, &rev->active);
	if (list_linked(&rev->dirty))
		list_remove(&r->dirty, &rev->dirty);
	hmap_remove(&r->by_name, revision_name(rev));
	revision_free(&rev);
}

void
reconcile_free(struct reconcile **rp)
{
	struct reconcile *r = *rp;
	struct revision *rev;
	size_t at = 0, i;

	*rp = NULL;
	if (r == NULL)
		return;
	while ((rev = reconcile_next(r, &at)) != NULL)
		forget(r, rev);
	for (i = 0; i < r->peers_n; i++)
		free(r->peers[i].id);
	for (i = 0; i < r->ghosts_n; i++)
		free(r->ghosts[i].id);
	free(r->peers);
	free(r->ghosts);
	drain_table_fini(&r->drains);
	hmap_fini(&r->by_instance);
	hmap_fini(&r->by_name);
	free(r);
}

struct revision *
reconcile_find(const struct reconcile *r, const char *name)
{
	return hmap_find(&r->by_name, name);
}

struct revision *
reconcile_next(const struct reconcile *r, size_t *at)
{
	const char *key;
	void *value;

	return hmap_next(&r->by_name, at, &key, &value) ? value : NULL;
}

bool
reconcile_is_known(const struct reconcile *r)
{
	struct revision *rev;
	size_t at = 0;

	while ((rev = reconcile_next(r, &at)) != NULL)
		if (!rev->is_known)
			return false;
	return true;
}

/* --- marks --- */

static void
activate_list(struct reconcile *r, struct revision *rev)
{
	if (!list_linked(&rev->active))
		list_push(&r->active, &rev->active);
}

void
reconcile_mark(struct reconcile *r, struct revision *rev, bool is_undecided)
{
	rev->is_undecided |= is_undecided;
	if (!list_linked(&rev->dirty))
		list_push(&r->dirty, &rev->dirty);
	activate_list(r, rev);
}

/* Something that concerns all of them has changed. */
static void
mark_active(struct reconcile *r)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&r->active, node, tmp)
		reconcile_mark(r, container_of(node, struct revision, active), true);
}

/* --- the set --- */

static void
set_one(struct reconcile *r, const struct reconcile_item *item)
{
	struct revision *rev = reconcile_find(r, item->conf->full_name);

	if (rev != NULL && (rev->driver != item->driver || rev->is_external != item->is_external)) {
		forget(r, rev); /* another kind of thing under an old name */
		rev = NULL;
	}
	if (rev == NULL) {
		rev = revision_new(item->conf, item->driver, item->is_external);
		hmap_put(&r->by_name, item->conf->full_name, rev);
	} else {
		revision_set_conf(rev, item->conf);
	}
	rev->is_stale = false;
	if (item->is_leaving && !rev->is_leaving)
		rev->leaving_ns = clk_now();
	rev->is_leaving = item->is_leaving;
	r->longest_window = MAX(r->longest_window, item->conf->scaling.stable_window);
	reconcile_mark(r, rev, true);
}

void
reconcile_set(struct reconcile *r, const struct reconcile_conf *conf,
	      const struct reconcile_item *items, size_t n)
{
	struct revision *rev;
	size_t i, at = 0;

	r->conf = *conf;
	r->longest_window = 0;
	while ((rev = reconcile_next(r, &at)) != NULL)
		rev->is_stale = true;
	for (i = 0; i < n; i++)
		set_one(r, &items[i]);
	at = 0;
	while ((rev = reconcile_next(r, &at)) != NULL)
		if (rev->is_stale)
			forget(r, rev);
}

bool
reconcile_has_left(const struct reconcile *r)
{
	int64_t now = clk_now();
	struct revision *rev;
	size_t at = 0;

	while ((rev = reconcile_next(r, &at)) != NULL)
		if (rev->is_leaving && (rev->n > 0 || rev->told > 0) &&
		    now - rev->leaving_ns < r->conf.drain_timeout)
			return false;
	return true;
}

/* --- activators come and go --- */

static bool
is_ghost_of(const struct reconcile *r, const struct revision *rev, int64_t now)
{
	size_t i;

	for (i = 0; i < r->ghosts_n; i++)
		if (now - r->ghosts[i].gone_ns < rev->conf->scaling.stable_window)
			return true;
	return false;
}

static void
lay_ghost(struct reconcile *r, size_t i)
{
	struct revision *rev;
	size_t at = 0;

	while ((rev = reconcile_next(r, &at)) != NULL)
		demand_drop(&rev->demand, r->ghosts[i].serial);
	free(r->ghosts[i].id);
	r->ghosts[i] = r->ghosts[--r->ghosts_n];
}

static void
lay_ghosts_named(struct reconcile *r, const char *id)
{
	size_t i;

	for (i = r->ghosts_n; i-- > 0;)
		if (strcmp(r->ghosts[i].id, id) == 0)
			lay_ghost(r, i);
}

static void
lay_old_ghosts(struct reconcile *r, int64_t now)
{
	size_t i;

	for (i = r->ghosts_n; i-- > 0;)
		if (now - r->ghosts[i].gone_ns >= r->longest_window)
			lay_ghost(r, i);
}

static struct reconcile_peer *
find_peer(struct reconcile *r, uint64_t serial)
{
	size_t i;

	for (i = 0; i < r->peers_n; i++)
		if (r->peers[i].serial == serial)
			return &r->peers[i];
	return NULL;
}

void
reconcile_peer_up(struct reconcile *r, uint64_t serial, const char *id)
{
	struct list_node *node, *tmp;

	CHECK(find_peer(r, serial) == NULL);
	lay_ghosts_named(r, id);
	r->peers = xrealloc(r->peers, (r->peers_n + 1) * sizeof *r->peers);
	r->peers[r->peers_n++] = (struct reconcile_peer){
		.serial = serial, .id = xstrdup(id), .report = 1, .since_ns = clk_now()};
	LIST_FOREACH(&r->active, node, tmp)
		scaledown_peer_up(r, container_of(node, struct revision, active), serial);
	mark_active(r);
}

static bool
is_connected(const struct reconcile *r, const char *id)
{
	size_t i;

	for (i = 0; i < r->peers_n; i++)
		if (strcmp(r->peers[i].id, id) == 0)
			return true;
	return false;
}

/* p is out of the table; its id becomes the ghost's. */
static void
add_ghost(struct reconcile *r, struct reconcile_peer *p)
{
	if (r->ghosts_n == GHOSTS_MOST)
		lay_ghost(r, 0); /* one is enough to hold all; this is only about memory */
	r->ghosts = xrealloc(r->ghosts, (r->ghosts_n + 1) * sizeof *r->ghosts);
	r->ghosts[r->ghosts_n++] = (struct reconcile_ghost){
		.serial = p->serial, .id = p->id, .gone_ns = clk_now()};
}

void
reconcile_peer_down(struct reconcile *r, uint64_t serial)
{
	struct reconcile_peer *p = find_peer(r, serial), gone;
	struct list_node *node, *tmp;
	bool is_back;

	CHECK(p != NULL);
	gone = *p;
	*p = r->peers[--r->peers_n];
	is_back = is_connected(r, gone.id); /* by a newer link */
	LIST_FOREACH(&r->active, node, tmp) {
		struct revision *rev = container_of(node, struct revision, active);

		scaledown_peer_down(r, rev, serial);
		if (is_back)
			demand_drop(&rev->demand, serial);
		else
			demand_vanish(&rev->demand, serial);
	}
	if (is_back)
		free(gone.id);
	else
		add_ghost(r, &gone);
	mark_active(r); /* drains are taken back: see may_shrink() */
}

/* --- deciding --- */

/* Connected, but without a word: what it has in flight is not known. */
static bool
is_silent(const struct reconcile_peer *p, int64_t now)
{
	return now - MAX(p->reported_ns, p->since_ns) > SILENCE;
}

static bool
is_someone_silent(const struct reconcile *r, int64_t now)
{
	size_t i;

	for (i = 0; i < r->peers_n; i++)
		if (is_silent(&r->peers[i], now))
			return true;
	return false;
}

/* Silence is not idleness. */
static bool
may_shrink(const struct reconcile *r, const struct revision *rev, int64_t now)
{
	return r->peers_n > 0 && !is_someone_silent(r, now) && !is_ghost_of(r, rev, now);
}

/* The ceiling over all: what is there stays, and who asks first is served first. */
static uint32_t
under_ceiling(struct reconcile *r, struct revision *rev, uint32_t wish)
{
	uint64_t others = r->wanted_total - rev->wanted;
	uint64_t room = r->conf.max_instances > others ? r->conf.max_instances - others : 0;

	if (r->conf.max_instances == 0 || wish <= room)
		return wish;
	rev->out.rule = DECIDE_MAX_INSTANCES;
	return (uint32_t)MAX(room, (uint64_t)MIN(rev->told, wish));
}

static void
set_wanted(struct reconcile *r, struct revision *rev, uint32_t wanted)
{
	if (wanted == rev->wanted)
		return;
	r->wanted_total += (uint64_t)wanted - rev->wanted;
	rev->wanted = wanted;
	rev->is_changed = true;
}

static void
decide_now(struct reconcile *r, struct revision *rev)
{
	int64_t now = clk_now();
	bool is_restarting = now - r->started_ns < rev->conf->scaling.stable_window;
	double target = rev->out.target;
	struct decide_view view;
	uint32_t wish;

	rev->is_undecided = false;
	if (rev->is_external)
		return;
	revision_fill_view(rev, &view, is_restarting, now);
	rev->out = decide(&rev->conf->scaling, &view, rev->decide, now);
	rev->decisions[rev->out.rule]++;
	wish = rev->out.is_known ? rev->out.wanted : rev->told;
	if (rev->is_leaving) /* nothing new comes: as soon as what is there is done */
		wish = view.parked + view.in_flight > 0 ? rev->told : 0;
	if (demand_is_asked(&rev->demand))
		wish = MAX(wish, 1); /* whatever decide() knows: it cancels a scale-down */
	if (!may_shrink(r, rev, now))
		wish = MAX(wish, rev->told);
	set_wanted(r, rev, under_ceiling(r, rev, wish));
	rev->is_changed |= rev->out.target < target || rev->out.target > target;
}

/* --- acting --- */

void
reconcile_tell(struct reconcile *r, struct revision *rev, uint32_t n, const char *const *victims,
	       size_t victims_n)
{
	uint32_t from = rev->told;

	(void)r;
	rev->told = n;
	rev->driver->class->set_scale(rev->driver, revision_name(rev), n, victims, victims_n);
	if (n == 0)
		log_info(NULL, "scaled to zero", "revision=%s from=%u rule=%s", revision_name(rev),
			 from, decide_rule_name(rev->out.rule));
	else
		log_info(NULL, "scaled", "revision=%s from=%u to=%u rule=%s", revision_name(rev),
			 from, n, decide_rule_name(rev->out.rule));
}

/* The first that the driver shows us is what there is to be, until decided otherwise. */
static void
take_up(struct revision *rev)
{
	rev->is_told = true;
	rev->told = revision_live(rev);
	if (rev->told == 0)
		return;
	log_info(NULL, "instances taken up", "revision=%s instances=%u", revision_name(rev),
		 rev->told);
	rev->driver->class->set_scale(rev->driver, revision_name(rev), rev->told, NULL, 0);
}

static void
act(struct reconcile *r, struct revision *rev)
{
	if (rev->is_external || !rev->is_known || !rev->is_told || rev->conf->scaling.dry_run)
		return;
	if (rev->wanted < rev->told) {
		scaledown_to(r, rev, rev->wanted);
		return;
	}
	scaledown_cancel(r, rev);
	if (rev->wanted > rev->told)
		reconcile_tell(r, rev, rev->wanted, NULL, 0);
}

static void
publish(struct reconcile *r, struct revision *rev)
{
	struct msg m = {.type = MSG_INSTANCES};

	if (!rev->is_changed)
		return;
	rev->is_changed = false;
	revision_state(rev, &m.u.instances, clk_now());
	r->ops->send(0, &m, r->arg);
	revision_state_fini(&m.u.instances);
}

void
reconcile_tail(struct reconcile *r)
{
	struct list_node *node;

	while ((node = list_pop(&r->dirty)) != NULL) {
		struct revision *rev = container_of(node, struct revision, dirty);

		if (r->is_retired) {
			publish(r, rev);
			continue;
		}
		if (rev->is_known && !rev->is_told && !rev->is_external) {
			take_up(rev);
			rev->is_undecided = true;
		}
		if (rev->is_undecided)
			decide_now(r, rev);
		act(r, rev);
		publish(r, rev);
	}
}

void
reconcile_retire(struct reconcile *r)
{
	r->is_retired = true;
}

static void
note_silence(struct reconcile *r, int64_t now)
{
	size_t i;

	for (i = 0; i < r->peers_n; i++) {
		struct reconcile_peer *p = &r->peers[i];

		if (p->is_silence_told || !is_silent(p, now))
			continue;
		p->is_silence_told = true;
		log_warn(NULL, "activator is connected but reports nothing, no scale-down",
			 "activator=%s", p->id);
	}
}

void
reconcile_tick(struct reconcile *r)
{
	int64_t now = clk_now();
	struct list_node *node, *tmp;

	lay_old_ghosts(r, now);
	note_silence(r, now);
	LIST_FOREACH(&r->active, node, tmp) {
		struct revision *rev = container_of(node, struct revision, active);

		scaledown_tick(r, rev);
		if (revision_is_active(rev)) {
			reconcile_mark(r, rev, true);
		} else {
			list_remove(&r->active, &rev->active);
		}
	}
}

/* --- what activators say --- */

static struct revision *
find_named(struct reconcile *r, const char *name, const char *what)
{
	struct revision *rev = reconcile_find(r, name);

	if (rev == NULL)
		log_debug(NULL, "message on a revision that is not known, ignored",
			  "type=%s revision=%s", what, name);
	return rev;
}

static void
acknowledge(struct reconcile *r, struct revision *rev, uint64_t peer, uint64_t seq)
{
	struct msg m = {.type = MSG_ACTIVATING,
			.u.activating = {.revision = rev->name, .seq = seq, .wanted = rev->wanted}};

	r->ops->send(peer, &m, r->arg);
}

static void
note_wake(struct revision *rev)
{
	if (rev->is_woken || rev->is_external || revision_live(rev) > 0)
		return;
	rev->is_woken = true;
	rev->woken_ns = clk_now();
	log_info(NULL, "revision woken", "revision=%s parked=%u wanted=%u rule=%s",
		 revision_name(rev), demand_parked(&rev->demand), rev->wanted,
		 decide_rule_name(rev->out.rule));
}

static void
take_activate(struct reconcile *r, uint64_t peer, const char *name, uint32_t parked, uint64_t seq)
{
	struct revision *rev = find_named(r, name, "activate");

	if (rev == NULL || r->is_retired)
		return;
	rev->activations++;
	demand_activate(&rev->demand, peer, parked);
	decide_now(r, rev);
	acknowledge(r, rev, peer, seq);
	note_wake(rev);
	reconcile_mark(r, rev, false);
}

/* One revision in a report.  It is decided on at once if somebody waits, or if nobody
 * looked at it; else the tick is soon enough. */
static void
take_stat(struct reconcile *r, struct reconcile_peer *p, const struct msg_stat *s,
	  int64_t period_ns, int64_t now)
{
	struct revision *rev = find_named(r, s->name, "stats");

	if (rev == NULL)
		return;
	demand_report(&rev->demand, p->serial, p->report, s, now);
	revision_report(rev, s, period_ns, now);
	if (s->parked > 0 || !list_linked(&rev->active))
		reconcile_mark(r, rev, true);
}

/* The report is whole: what it does not name had nothing. */
static void
complete_report(struct reconcile *r, struct reconcile_peer *p, int64_t period_ns, int64_t now)
{
	static const struct msg_stat nothing;
	struct list_node *node, *tmp;

	LIST_FOREACH(&r->active, node, tmp) {
		struct revision *rev = container_of(node, struct revision, active);

		if (demand_complete(&rev->demand, p->serial, p->report))
			revision_report(rev, &nothing, period_ns, now);
	}
	p->report++;
	p->reported_ns = now;
	p->is_silence_told = false;
}

static void
take_stats(struct reconcile *r, uint64_t peer, const struct msg_stats *s)
{
	struct reconcile_peer *p = find_peer(r, peer);
	int64_t now = clk_now(), period_ns = s->period_ms * CLK_MS;
	size_t i;

	CHECK(p != NULL);
	for (i = 0; i < s->n; i++)
		take_stat(r, p, &s->v[i], period_ns, now);
	if (!s->is_partial)
		complete_report(r, p, period_ns, now);
}

static void
note_ready(struct revision *rev, struct revision_instance *i)
{
	int64_t now = clk_now(), took = revision_time_start(rev, i, now);

	rev->is_woken &= !revision_is_ready(i);
	if (took > 0)
		log_info(NULL, "instance ready", "revision=%s instance=%s took_ms=%lld",
			 revision_name(rev), i->id, (long long)(took / CLK_MS));
}

static void
take_word(struct reconcile *r, const char *id, enum instance_word word)
{
	struct revision *rev = hmap_find(&r->by_instance, id);
	struct revision_instance *i = rev == NULL ? NULL : revision_find(rev, id);

	if (i == NULL || i->is_answering == (word == INSTANCE_ANSWERS))
		return;
	i->is_answering = word == INSTANCE_ANSWERS;
	if (rev->is_external)
		return;
	if (i->is_answering)
		rev->driver->class->instance_answers(rev->driver, id);
	note_ready(rev, i);
	reconcile_mark(r, rev, true);
}

void
reconcile_message(struct reconcile *r, uint64_t peer, const struct msg *m)
{
	switch (m->type) {
	case MSG_ACTIVATE:
		take_activate(r, peer, m->u.activate.revision, m->u.activate.parked,
			      m->u.activate.seq);
		break;
	case MSG_STATS:
		take_stats(r, peer, &m->u.stats);
		break;
	case MSG_INSTANCE:
		take_word(r, m->u.instance.id, m->u.instance.state);
		break;
	case MSG_DRAINED:
		scaledown_answer(r, peer, m->u.drained.token, false);
		break;
	case MSG_BUSY:
		scaledown_answer(r, peer, m->u.busy.token, true);
		break;
	default:
		CHECK(!"a type that activators send");
	}
}

/* --- what drivers say --- */

static void
log_failure(const struct revision *rev)
{
	log_warn(NULL, "instances cannot be started",
		 "revision=%s reason=%s message=%s retry_ms=%lld", revision_name(rev),
		 rev->failure->reason, rev->failure->message,
		 (long long)rev->failure->retry_after_ms);
}

void
reconcile_view(struct reconcile *r, const struct driver_view *view)
{
	struct revision *rev = reconcile_find(r, view->revision);
	uint64_t failures;
	size_t i;

	if (rev == NULL)
		return;			 /* forgotten; the driver is about to */
	if (revision_shows(rev, view)) { /* no more than what instances use */
		revision_set_view(rev, view, clk_now());
		return;
	}
	failures = rev->failures;
	unmap_instances(r, rev);
	revision_set_view(rev, view, clk_now());
	for (i = 0; i < rev->n; i++) {
		hmap_put(&r->by_instance, rev->v[i].id, rev);
		if (!rev->is_external)
			note_ready(rev, &rev->v[i]);
	}
	if (rev->failures != failures)
		log_failure(rev);
	scaledown_view(r, rev);
	rev->is_changed = true;
	reconcile_mark(r, rev, true);
}
