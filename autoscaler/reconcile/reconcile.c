#include "autoscaler/reconcile/reconcile.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/reconcile/reconcile_impl.h"
#include "autoscaler/reconcile/scaledown.h"
#include "common/clk.h"
#include "common/log.h"

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

void
reconcile_unmap(struct reconcile *r, struct scaled_revision *rev)
{
	size_t i;

	for (i = 0; i < rev->n; i++)
		if (hmap_find(&r->by_instance, rev->v[i].id) == rev)
			hmap_remove(&r->by_instance, rev->v[i].id);
}

static void
forget(struct reconcile *r, struct scaled_revision *rev)
{
	scaledown_end_all(r, rev);
	reconcile_unmap(r, rev);
	r->claim_total -= rev->wanted.claim;
	r->sent_total -= rev->scale_sent;
	if (list_linked(&rev->active))
		list_remove(&r->active, &rev->active);
	if (list_linked(&rev->dirty))
		list_remove(&r->dirty, &rev->dirty);
	hmap_remove(&r->by_name, scaled_name(rev));
	scaled_free(&rev);
}

void
reconcile_free(struct reconcile **rp)
{
	struct reconcile *r = *rp;
	struct scaled_revision *rev;
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

struct scaled_revision *
reconcile_find(const struct reconcile *r, const char *name)
{
	return hmap_find(&r->by_name, name);
}

struct scaled_revision *
reconcile_next(const struct reconcile *r, size_t *at)
{
	const char *key;
	void *value;

	return hmap_next(&r->by_name, at, &key, &value) ? value : NULL;
}

bool
reconcile_is_known(const struct reconcile *r)
{
	struct scaled_revision *rev;
	size_t at = 0;

	while ((rev = reconcile_next(r, &at)) != NULL)
		if (!rev->is_known)
			return false;
	return true;
}

uint32_t
reconcile_load(struct reconcile *r, const char *id)
{
	const struct scaled_revision *rev = hmap_find(&r->by_instance, id);
	const struct scaled_instance *i = rev == NULL ? NULL
						      : scaled_find_from(rev, &r->load_at, id);
	uint32_t in_flight, lease;

	if (i == NULL)
		return 0;
	in_flight = reports_at_instance(&rev->reports, id);
	lease = scaled_is_leased(rev, i, clk_now()) ? DRIVER_LEASE_LOAD : 0;
	return lease + MIN(in_flight, DRIVER_LEASE_LOAD);
}

/* --- marks --- */

static void
activate_list(struct reconcile *r, struct scaled_revision *rev)
{
	if (!list_linked(&rev->active))
		list_push(&r->active, &rev->active);
}

void
reconcile_mark(struct reconcile *r, struct scaled_revision *rev, bool is_undecided)
{
	rev->is_undecided |= is_undecided;
	if (!list_linked(&rev->dirty))
		list_push(&r->dirty, &rev->dirty);
	activate_list(r, rev);
}

/* --- the set --- */

/* A dry run begins: drains end, and nothing more is sent. */
static void
let_go(struct reconcile *r, struct scaled_revision *rev)
{
	scaledown_end_all(r, rev);
	r->sent_total -= rev->scale_sent;
	rev->scale_sent = 0;
	rev->is_adopted = false;
}

static void
set_one(struct reconcile *r, const struct reconcile_item *item)
{
	struct scaled_revision *rev = reconcile_find(r, item->conf->full_name);

	if (rev != NULL && (rev->driver != item->driver || rev->is_external != item->is_external)) {
		forget(r, rev); /* another kind of thing under an old name */
		rev = NULL;
	}
	if (rev == NULL) {
		rev = scaled_new(item->conf, item->driver, item->is_external);
		hmap_put(&r->by_name, item->conf->full_name, rev);
	} else {
		scaled_set_conf(rev, item->conf);
	}
	if (scaled_is_dry(rev))
		let_go(r, rev);
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
	struct scaled_revision *rev;
	size_t i, at = 0;

	r->conf = *conf;
	r->is_share_due = true;
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
	struct scaled_revision *rev;
	size_t at = 0;

	while ((rev = reconcile_next(r, &at)) != NULL)
		if (rev->is_leaving && (rev->n > 0 || rev->scale_sent > 0) &&
		    now - rev->leaving_ns < r->conf.drain_timeout)
			return false;
	return true;
}

/* --- deciding --- */

struct wanted_facts
reconcile_facts(const struct reconcile *r, const struct scaled_revision *rev, int64_t now)
{
	bool is_dry = scaled_is_dry(rev);

	return (struct wanted_facts){.scaling = &rev->conf->scaling,
				     .view = &rev->view,
				     .has = is_dry ? rev->dryrun.has : rev->scale_sent,
				     .is_leaving = rev->is_leaving,
				     .is_asked = reports_is_asked(&rev->reports),
				     .is_heard = reconcile_may_shrink(r, rev, now),
				     .is_dry = is_dry};
}

/* Bound what was decided, up to what may be without a look at the other revisions. */
static void
claim(struct reconcile *r, struct scaled_revision *rev, int64_t now)
{
	const struct wanted_facts f = reconcile_facts(r, rev, now);
	const struct wanted before = rev->wanted;
	uint32_t n = wanted_claim(&rev->wanted, &rev->decided, &f);

	if (rev->dryrun.is_begun)
		dryrun_take(&rev->dryrun, &rev->view, n, now);
	reconcile_note_claim(r, rev, &before);
	rev->is_changed |= wanted_allot(&rev->wanted, reconcile_allotted(r, rev), &f);
}

void
reconcile_decide(struct reconcile *r, struct scaled_revision *rev)
{
	int64_t now = clk_now();
	bool is_restarting = now - r->started_ns < rev->conf->scaling.stable_window;
	double target = rev->decided.target;

	rev->is_undecided = false;
	if (!scaled_is_decided(rev))
		return;
	if (scaled_is_dry(rev) && !rev->dryrun.is_begun && rev->is_known)
		dryrun_begin(&rev->dryrun, scaled_live(rev), now);
	scaled_fill_view(rev, &rev->view, is_restarting, now);
	if (rev->view.parked == 0 && !rev->view.is_asked && scaled_live(rev) == 0)
		rev->is_woken = false; /* who asked has left */
	rev->decided = decide(&rev->conf->scaling, &rev->view, rev->decide, now);
	rev->is_note_due = true;
	claim(r, rev, now);
	rev->is_changed |= rev->decided.target < target || rev->decided.target > target;
}

/* --- acting --- */

void
reconcile_tell(struct reconcile *r, struct scaled_revision *rev, uint32_t n,
	       const char *const *victims, size_t victims_n)
{
	uint32_t from = rev->scale_sent;

	r->sent_total += (uint64_t)n - from;
	rev->scale_sent = n;
	rev->driver->class->set_scale(rev->driver, scaled_name(rev), n, victims, victims_n);
	if (n == 0)
		log_info(NULL, "scaled to zero", "revision=%s from=%u rule=%s", scaled_name(rev),
			 from, decide_rule_name(rev->wanted.rule));
	else
		log_info(NULL, "scaled", "revision=%s from=%u to=%u rule=%s", scaled_name(rev),
			 from, n, decide_rule_name(rev->wanted.rule));
	if (n < from)
		reconcile_room_made(r);
}

/* What the driver shows first is wanted until something else is decided. */
static void
adopt(struct reconcile *r, struct scaled_revision *rev)
{
	rev->is_adopted = true;
	rev->adopted = rev->has_scale ? rev->scale : scaled_live(rev);
	rev->scale_sent = rev->adopted;
	r->sent_total += rev->adopted;
	if (rev->adopted == 0)
		return;
	log_info(NULL, "instances adopted", "revision=%s instances=%u", scaled_name(rev),
		 rev->adopted);
	rev->driver->class->set_scale(rev->driver, scaled_name(rev), rev->adopted, NULL, 0);
}

static void
act(struct reconcile *r, struct scaled_revision *rev)
{
	const struct wanted_scale_facts f = {.scale_sent = rev->scale_sent,
					     .room = reconcile_room(r, rev),
					     .is_held = rev->is_held,
					     .is_asked = reports_is_asked(&rev->reports),
					     .is_used = rev->is_used_in_hold};
	uint32_t n;

	reconcile_note_held_back(r, rev);
	if (rev->is_external || !rev->is_known || !rev->is_adopted || scaled_is_dry(rev))
		return;
	n = wanted_scale(&rev->wanted, &f);
	if (n < rev->scale_sent) {
		scaledown_to(r, rev, n);
		return;
	}
	scaledown_cancel(r, rev);
	if (n > rev->scale_sent)
		reconcile_tell(r, rev, n, NULL, 0);
}

static void
publish(struct reconcile *r, struct scaled_revision *rev)
{
	struct msg m = {.type = MSG_INSTANCES};

	if (!rev->is_changed)
		return;
	rev->is_changed = false;
	scaled_state(rev, &m.u.instances, clk_now());
	r->ops->send(0, &m, r->arg);
	scaled_state_fini(&m.u.instances);
}

/* The ring has every decision, the log those that changed anything. */
static void
note(struct scaled_revision *rev)
{
	const struct decide_out *decided = &rev->decided;
	const struct decide_view *v = &rev->view;
	uint32_t wanted = scaled_wanted(rev), before = why_wanted(&rev->why);

	if (!rev->is_note_due)
		return;
	rev->is_note_due = false;
	rev->decisions[rev->wanted.rule]++;
	why_note(&rev->why, decided, v, wanted, rev->wanted.rule, clk_wall());
	if (wanted == before)
		return;
	log_info(NULL, scaled_is_dry(rev) ? "would be wanted (dry_run)" : "wanted",
		 "revision=%s from=%u to=%u rule=%s why=%s decided=%u decided_rule=%s stable=%.2f "
		 "panic=%.2f target=%.2f in_flight=%u parked=%u ready=%u starting=%u "
		 "latency_ms=%.1f",
		 scaled_name(rev), before, wanted, decide_rule_name(rev->wanted.rule),
		 decide_rule_text(rev->wanted.rule), decided->wanted,
		 decide_rule_name(decided->rule), v->stable, v->panic, decided->target,
		 v->in_flight, v->parked, v->ready, v->starting,
		 v->latency_s < 0 ? -1 : v->latency_s * 1000);
}

static void
decide_dirty(struct reconcile *r)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&r->dirty, node, tmp) {
		struct scaled_revision *rev = container_of(node, struct scaled_revision, dirty);

		if (rev->is_known && !rev->is_adopted && !rev->is_external && !scaled_is_dry(rev)) {
			adopt(r, rev);
			rev->is_undecided = true;
		}
		if (rev->is_undecided)
			reconcile_decide(r, rev);
	}
}

void
reconcile_tail(struct reconcile *r)
{
	struct list_node *node;

	if (list_empty(&r->dirty))
		return;
	if (!r->is_retired) {
		decide_dirty(r);
		reconcile_share(r);
	}
	while ((node = list_pop(&r->dirty)) != NULL) {
		struct scaled_revision *rev = container_of(node, struct scaled_revision, dirty);

		if (!r->is_retired) {
			note(rev);
			act(r, rev);
		}
		publish(r, rev);
	}
}

void
reconcile_retire(struct reconcile *r)
{
	r->is_retired = true;
}

void
reconcile_tick(struct reconcile *r)
{
	int64_t now = clk_now();
	const struct scaled_machine machine = {.cores = r->conf.machine_cores,
					       .memory_bytes = r->conf.machine_memory,
					       .used_cores = r->used_cores,
					       .activators = (uint32_t)r->peers_n};
	struct list_node *node, *tmp;

	reconcile_watch_peers(r, now);
	r->used_cores = 0;
	LIST_FOREACH(&r->active, node, tmp) {
		struct scaled_revision *rev = container_of(node, struct scaled_revision, active);

		scaledown_tick(r, rev);
		scaled_tick(rev, &machine, now);
		r->used_cores += MAX(rev->cpu_cores, 0);
		if (scaled_is_active(rev)) {
			reconcile_mark(r, rev, true);
		} else {
			list_remove(&r->active, &rev->active);
		}
	}
}
