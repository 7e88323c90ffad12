#include "autoscaler/reconcile/reconcile.h"

#include <errno.h>
#include <stdlib.h>

#include "autoscaler/reconcile/announce.h"
#include "autoscaler/reconcile/inbound.h"
#include "autoscaler/reconcile/past.h"
#include "autoscaler/reconcile/peers.h"
#include "autoscaler/reconcile/quota.h"
#include "autoscaler/reconcile/renewal.h"
#include "autoscaler/reconcile/scaled_set.h"
#include "autoscaler/reconcile/scaledown.h"
#include "autoscaler/reconcile/sharing.h"
#include "common/clk.h"
#include "common/log.h"

struct reconcile {
	const struct reconcile_ops *ops;
	void *arg;
	struct audit *audit; /* borrowed; NULL: off */
	struct reconcile_conf conf;
	int64_t started_ns;
	int64_t longest_window; /* the longest stable window of all revisions, ns */
	int64_t heard_ns;	/* since when an activator has been connected; 0: none is */
	bool is_frozen;
	uint64_t decisions[DECIDE_RULES_N]; /* of all revisions, also of those that are gone */

	struct scaled_set set;
	struct past past;
	struct peers peers;
	struct scaledown scaledown;
	struct sharing *sharing;
	struct sharing_ops sharing_ops;
	struct quota quota;
	struct starts_load starting; /* instances that start on the machine that all share */
	double used_cores;	     /* by the instances of all revisions, at the last tick */
	size_t load_at; /* where the search for the next id begins: drivers ask for the instances in
			 * about the order of their views */
};

/* --- life --- */

struct reconcile *
reconcile_new(const struct reconcile_ops *ops, void *arg, const char *id)
{
	struct reconcile *r = xcalloc(1, sizeof *r);

	r->ops = ops;
	r->arg = arg;
	r->started_ns = clk_now();
	past_init(&r->past);
	scaled_set_init(&r->set);
	peers_init(&r->peers);
	scaledown_init(&r->scaledown, id, &r->peers, ops->send, arg);
	r->sharing_ops = (struct sharing_ops){.send = ops->send,
					      .holder_gone = ops->holder_gone,
					      .term_raised = ops->term_raised};
	r->sharing = sharing_new(&r->set, &r->sharing_ops, arg);
	return r;
}

/* The revision is scaled no longer (dry run, or forgotten): end its drains, and take its claim and
 * scale off the sums of max_instances. */
static void
stop_scaling(struct reconcile *r, struct scaled_revision *rev)
{
	const struct wanted before = rev->wanted;

	scaledown_end_all(&r->scaledown, rev);
	rev->wanted.claim = rev->wanted.need = 0;
	quota_claim(&r->quota, rev, &before);
	quota_sent(&r->quota, rev, rev->scale_sent, 0);
	rev->scale_sent = 0;
	rev->scale_extra = 0;
}

static void
forget(struct reconcile *r, struct scaled_revision *rev)
{
	past_keep(&r->past, rev);
	scale_audit_forget(rev);
	stop_scaling(r, rev);
	scaled_set_remove(&r->set, rev);
}

void
reconcile_free(struct reconcile **rp)
{
	struct reconcile *r = *rp;
	struct scaled_revision *rev;
	size_t at = 0;

	*rp = NULL;
	if (r == NULL)
		return;
	while ((rev = scaled_set_next(&r->set, &at)) != NULL) {
		rev->audit.audit = NULL; /* the next autoscaler ends what is under way */
		forget(r, rev);
	}
	past_fini(&r->past);
	sharing_free(&r->sharing);
	quota_fini(&r->quota);
	scaledown_fini(&r->scaledown);
	peers_fini(&r->peers);
	scaled_set_fini(&r->set);
	free(r);
}

void
reconcile_set_audit(struct reconcile *r, struct audit *audit)
{
	r->audit = audit;
}

/* --- the revisions --- */

static void
set_one(struct reconcile *r, const struct reconcile_item *item)
{
	struct scaled_revision *rev = scaled_set_find(&r->set, item->conf->full_name);

	if (rev != NULL && (rev->driver != item->driver || rev->is_external != item->is_external)) {
		forget(r, rev); /* the name is that of another kind of revision now */
		rev = NULL;
	}
	if (rev == NULL) {
		rev = scaled_new(item->conf, item->driver, item->is_external);
		rev->audit.audit = r->audit;
		scaled_set_add(&r->set, rev);
	} else {
		scaled_reload(rev, item->conf);
	}
	quota_join(&r->quota, rev, item->owner);
	scaled_start_on(rev, r->conf.machine_cores > 0 ? &r->starting : NULL, r->conf.machine_cores,
			clk_now());
	if (scaled_is_dry(rev)) {
		stop_scaling(r, rev);
		rev->is_adopted = false; /* when the dry run ends, what there is then is adopted */
	}
	rev->is_stale = false;
	rev->is_changed |= sharing_describe(r->sharing, rev);
	if (item->is_leaving && !rev->is_leaving)
		rev->leaving_ns = clk_now();
	rev->is_leaving = item->is_leaving;
	r->longest_window = MAX(r->longest_window, item->conf->scaling.stable_window);
	scaled_set_mark_undecided(&r->set, rev);
}

void
reconcile_set(struct reconcile *r, const struct reconcile_conf *conf,
	      const struct reconcile_item *items, size_t n)
{
	struct scaled_revision *rev;
	size_t i, at = 0;

	r->conf = *conf;
	quota_set(&r->quota, conf->max_instances, conf->owners, conf->owners_n, &r->set);
	r->longest_window = 0;
	while ((rev = scaled_set_next(&r->set, &at)) != NULL)
		rev->is_stale = true;
	sharing_begin_set(r->sharing, conf->generation, conf->share_quantum);
	for (i = 0; i < n; i++)
		set_one(r, &items[i]);
	sharing_end_set(r->sharing);
	at = 0;
	while ((rev = scaled_set_next(&r->set, &at)) != NULL)
		if (rev->is_stale)
			forget(r, rev);
	past_trim(&r->past, &r->set);
}

/* --- deciding --- */

static void
decide_now(struct reconcile *r, struct scaled_revision *rev, int64_t now_ns)
{
	/* The activators of an earlier autoscaler have a while to come back. */
	bool has_just_started = now_ns - r->started_ns <
				MAX(rev->conf->scaling.stable_window, PEERS_PATIENCE);
	const struct wanted before = rev->wanted;
	double target = rev->decided.target;
	uint32_t n;

	rev->is_undecided = false;
	if (!scaled_is_decided(rev))
		return;
	if (scaled_is_dry(rev) && !rev->dryrun.is_begun && rev->is_known)
		dryrun_begin(&rev->dryrun, instances_live(&rev->instances), now_ns);
	scaled_expire_hold(rev, now_ns);
	scaled_expire_request(rev, now_ns);
	scaled_fill_view(rev, &rev->view, has_just_started, now_ns);
	if (rev->view.parked == 0 && !rev->view.is_activation_pending &&
	    instances_live(&rev->instances) == 0)
		rev->is_woken = false; /* no request waits any more */
	rev->decided = decide(&rev->conf->scaling, &rev->view, rev->decide, now_ns);
	brain_decided(rev->brain, &rev->view, &rev->decided, now_ns);
	rev->is_note_due = true;
	rev->is_changed |= rev->decided.target < target || rev->decided.target > target;
	n = scaled_claim(rev, &r->peers, now_ns);
	if (rev->dryrun.is_begun)
		dryrun_take(&rev->dryrun, &rev->view, n, now_ns);
	quota_claim(&r->quota, rev, &before);
	scaled_allot(rev, quota_allotted(&r->quota, rev), &r->peers, now_ns);
	r->decisions[rev->wanted.rule]++;
}

/* The driver has shown the revision for the first time.  Count the scale that the driver shows
 * (or, where the platform stores none, the live instances) as what it was asked for.  Ask for that
 * number, too, unless it is 0: the driver has no number from this process yet. */
static void
adopt(struct reconcile *r, struct scaled_revision *rev)
{
	rev->is_adopted = rev->is_undecided = true;
	rev->adopted = rev->has_scale ? rev->scale : instances_live(&rev->instances);
	quota_sent(&r->quota, rev, rev->scale_sent, rev->adopted);
	rev->scale_sent = rev->adopted;
	rev->scale_extra = 0;
	if (rev->adopted == 0)
		return;
	log_info(NULL, "instances adopted", "revision=%s instances=%u", scaled_name(rev),
		 rev->adopted);
	rev->driver->class->set_scale(rev->driver, scaled_name(rev), rev->adopted, NULL, 0);
}

static void
decide_marked(struct reconcile *r, int64_t now_ns)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&r->set.marked, node, tmp) {
		struct scaled_revision *rev = container_of(node, struct scaled_revision, marked);

		if (scaled_is_driven(rev) && !rev->is_adopted)
			adopt(r, rev);
		if (rev->is_undecided)
			decide_now(r, rev, now_ns);
	}
}

/* --- messages and views: noted now, acted on in reconcile_tail() --- */

/* An activator has vanished and its grace is over, or it has a new link: drop what it reported by
 * the old link.  If it did not come back, the busy leases (x-activator-busy) that it reported go on
 * until they are over: instances.h keeps them. */
static void
forget_reports(struct reconcile *r)
{
	struct scaled_revision *rev;
	uint64_t peer;
	bool is_back;
	size_t at;

	while (peers_take_forgotten(&r->peers, &peer, &is_back))
		for (at = 0; (rev = scaled_set_next(&r->set, &at)) != NULL;) {
			if (!is_back)
				instances_keep_leases(&rev->instances, &rev->reports, peer);
			reports_drop(&rev->reports, peer);
		}
}

void
reconcile_begin_shares(struct reconcile *r, uint64_t term, bool has_record, const char *const *ids,
		       size_t n)
{
	sharing_begin(r->sharing, term, has_record, ids, n);
}

void
reconcile_holder_dead(struct reconcile *r, const char *id)
{
	sharing_dead(r->sharing, id);
}

void
reconcile_peer_up(struct reconcile *r, uint64_t peer, const char *id, bool has_shares,
		  bool has_spans)
{
	struct list_node *node, *tmp;

	r->heard_ns = r->peers.n == 0 ? clk_now() : r->heard_ns;
	peers_up(&r->peers, peer, id, clk_now());
	peers_find(&r->peers, peer)->has_spans = has_spans;
	sharing_peer_up(r->sharing, peer, id, has_shares);
	forget_reports(r);
	LIST_FOREACH(&r->set.active, node, tmp)
		scaledown_peer_up(&r->scaledown, container_of(node, struct scaled_revision, active),
				  peer);
	scaled_set_mark_active(&r->set);
}

void
reconcile_peer_down(struct reconcile *r, uint64_t peer)
{
	bool has_vanished = peers_down(&r->peers, peer, clk_now());
	struct list_node *node, *tmp;

	sharing_peer_down(r->sharing, peer);
	r->heard_ns = r->peers.n == 0 ? 0 : r->heard_ns;
	LIST_FOREACH(&r->set.active, node, tmp) {
		struct scaled_revision *rev = container_of(node, struct scaled_revision, active);

		scaledown_peer_down(rev, peer);
		if (has_vanished)
			reports_vanish(&rev->reports, peer);
		else
			reports_drop(&rev->reports, peer);
	}
	forget_reports(r);
	/* If the activator has vanished, the next decision wants no fewer instances than there are
	 * (wanted.h, bound 4), and so takes back each drain that can be taken back.  Drains of
	 * retired instances go on. */
	scaled_set_mark_active(&r->set);
}

static void
acknowledge(struct reconcile *r, struct scaled_revision *rev, uint64_t peer, uint64_t seq)
{
	struct msg m = {
		.type = MSG_ACTIVATING,
		.u.activating = {.revision = rev->name, .seq = seq, .wanted = rev->wanted.n}};

	r->ops->send(peer, &m, r->arg);
}

static void
note_wake(struct scaled_revision *rev, int64_t now_ns)
{
	if (rev->is_woken || rev->is_external || instances_live(&rev->instances) > 0)
		return;
	rev->is_woken = true;
	rev->woken_ns = now_ns;
	if (rev->conf->limits.max_requests == 1) /* this may be so for each request */
		log_debug(NULL, "revision woken", "revision=%s parked=%u", scaled_name(rev),
			  reports_parked(&rev->reports));
	else
		log_info(NULL, "revision woken", "revision=%s parked=%u wanted=%u rule=%s",
			 scaled_name(rev), reports_parked(&rev->reports), rev->wanted.n,
			 decide_rule_name(rev->wanted.rule));
}

/* Decide and acknowledge now: the activator repeats the message until it is acknowledged. */
static void
activate(struct reconcile *r, uint64_t peer, const char *name, uint32_t parked, uint64_t seq)
{
	struct scaled_revision *rev;
	int64_t now = clk_now();

	if (r->is_frozen || (rev = inbound_activate(&r->set, peer, name, parked)) == NULL)
		return;
	decide_now(r, rev, now);
	acknowledge(r, rev, peer, seq);
	note_wake(rev, now);
	scaled_refuse_dry(rev, now);
	scaled_set_mark_to_act(&r->set, rev);
}

static void
answer_drain(struct reconcile *r, uint64_t peer, const char *token, bool is_busy)
{
	struct scaled_revision *rev = scaledown_answer(&r->scaledown, peer, token, is_busy);

	if (rev != NULL)
		scaled_set_mark_to_act(&r->set, rev);
}

void
reconcile_message(struct reconcile *r, uint64_t peer, const struct msg *m)
{
	switch (m->type) {
	case MSG_ACTIVATE:
		activate(r, peer, m->u.activate.revision, m->u.activate.parked, m->u.activate.seq);
		break;
	case MSG_STATS:
		inbound_stats(&r->set, &r->peers, peer, &m->u.stats);
		break;
	case MSG_INSTANCE:
		inbound_instance(&r->set, m->u.instance.id, m->u.instance.state,
				 m->u.instance.has_served, m->u.instance.uses);
		break;
	case MSG_DRAINED:
		answer_drain(r, peer, m->u.drained.token, false);
		break;
	case MSG_BUSY:
		answer_drain(r, peer, m->u.busy.token, true);
		break;
	case MSG_SHARES_HELD:
		sharing_held(r->sharing, peer, &m->u.shares_held);
		break;
	case MSG_WANT:
		sharing_want(r->sharing, peer, &m->u.want);
		break;
	case MSG_LEAVING:
		sharing_leaving(r->sharing, peer);
		break;
	default:
		CHECK(!"a type that activators send");
	}
}

/* --- by hand --- */

/* Can an operator start and stop its instances? */
static int
check_by_hand(const struct reconcile *r, const struct scaled_revision *rev, struct err *e)
{
	const char *name = scaled_name(rev);

	if (r->is_frozen)
		return err_set(e, 0, "the autoscaler is stopping");
	if (rev->is_leaving)
		return err_set(e, 0, "%s is not configured any more, and ends", name);
	if (scaled_is_dry(rev))
		return err_set(e, 0, "%s has dry_run = yes: nothing is started or stopped for it",
			       name);
	if (rev->is_external)
		return err_set(e, 0, "%s has addresses: its instances are not started here", name);
	return 0;
}

static struct audit_by
by_command(const char *name, const struct audit_peer *peer)
{
	return (struct audit_by){.kind = AUDIT_BY_COMMAND, .name = name, .peer = *peer};
}

int
reconcile_wake(struct reconcile *r, struct scaled_revision *rev, const struct audit_peer *peer,
	       struct err *e)
{
	if (check_by_hand(r, rev, e) < 0)
		return -1;
	rev->audit.asked_by = by_command("wake", peer);
	log_info(NULL, "an operator wakes a revision", "revision=%s", scaled_name(rev));
	scaled_wake(rev, clk_now());
	scaled_set_mark_undecided(&r->set, rev);
	return 0;
}

int
reconcile_sleep(struct reconcile *r, struct scaled_revision *rev, const struct audit_peer *peer,
		struct err *e)
{
	uint32_t requests = scaled_demand_now(rev);

	if (check_by_hand(r, rev, e) < 0)
		return -1;
	if (requests > 0)
		return err_set(e, EBUSY, "%s is in use: %u requests are in flight or parked",
			       scaled_name(rev), requests);
	rev->audit.asked_by = by_command("sleep", peer);
	log_info(NULL, "an operator puts a revision to sleep", "revision=%s", scaled_name(rev));
	scaled_sleep(rev);
	scaled_set_mark_undecided(&r->set, rev);
	return 0;
}

void
reconcile_warm(struct reconcile *r, struct scaled_revision *rev, uint32_t n)
{
	if (rev->warm == n || r->is_frozen)
		return;
	rev->warm = n;
	scaled_set_mark_undecided(&r->set, rev);
}

/* Another client has set the scale, and the revision respects it (hold.h): record it as the number
 * that the driver was asked for, so that scale() does not ask for the old number again. */
static void
follow_foreign(struct reconcile *r, struct scaled_revision *rev)
{
	if (!rev->hold.is_on || !rev->hold.is_current || !rev->is_adopted ||
	    rev->scale_sent == rev->scale)
		return;
	log_info(NULL, "scale was set by another client, respected",
		 "revision=%s from=%u to=%u by=%s", scaled_name(rev), rev->scale_sent, rev->scale,
		 scaled_holder(rev));
	scale_audit_foreign(rev, scaled_holder(rev), rev->scale_sent, rev->scale);
	quota_sent(&r->quota, rev, rev->scale_sent, rev->scale);
	rev->scale_sent = rev->scale;
	rev->scale_extra = 0;
}

void
reconcile_view(struct reconcile *r, const struct driver_view *view)
{
	struct scaled_revision *rev = inbound_view(&r->set, view);

	if (rev == NULL)
		return;
	follow_foreign(r, rev);
	scaledown_view(&r->scaledown, rev);
}

/* --- acting --- */

/* The last decision of a round goes into the ring; if it changes the number, also into the log. */
static void
note(struct scaled_revision *rev)
{
	const struct decide_out *decided = &rev->decided;
	const struct decide_view *v = &rev->view;
	uint32_t wanted = scaled_wanted(rev), before = why_wanted(&rev->why);
	const char *holder = scaled_holder(rev);

	if (!rev->is_note_due)
		return;
	rev->is_note_due = false;
	why_note(&rev->why, decided, v, wanted, rev->wanted.rule, scaled_holder(rev), clk_wall());
	if (wanted == before)
		return;
	log_info(NULL, scaled_is_dry(rev) ? "would be wanted (dry_run)" : "wanted",
		 "revision=%s from=%u to=%u rule=%s why=%s decided=%u decided_rule=%s stable=%.2f "
		 "panic=%.2f target=%.2f in_flight=%u parked=%u ready=%u starting=%u "
		 "latency_ms=%.1f%s%s",
		 scaled_name(rev), before, wanted, decide_rule_name(rev->wanted.rule),
		 decide_rule_text(rev->wanted.rule), decided->wanted,
		 decide_rule_name(decided->rule), v->stable, v->panic, decided->target,
		 v->in_flight, v->parked, v->ready, v->starting,
		 v->latency_s < 0 ? -1 : v->latency_s * 1000,
		 holder == NULL ? "" : " held_by=", holder == NULL ? "" : holder);
}

/* Instances that no activator may send a request to any more. */
static void
note_spent(const struct reconcile *r, struct scaled_revision *rev)
{
	size_t i;

	for (i = 0; i < rev->instances.n && rev->conf->limits.max_requests > 0; i++) {
		struct scaled_instance *at = &rev->instances.v[i];

		at->is_spent = at->is_spent || sharing_is_spent(r->sharing, rev->name, at->id);
	}
}

/* One that has requests parked before one that has not; NULL: no activator makes spans. */
static const struct peer *
span_maker(const struct reconcile *r, const struct scaled_revision *rev)
{
	const struct peer *found = NULL;
	size_t i;

	for (i = 0; i < r->peers.n; i++) {
		const struct peer *p = &r->peers.v[i];

		if (!p->has_spans)
			continue;
		if (reports_is_asking(&rev->reports, p->serial))
			return p;
		found = found == NULL ? p : found;
	}
	return found;
}

/* The driver was asked for more instances than before. */
static void
tell_scaling(const struct reconcile *r, struct scaled_revision *rev, uint32_t from, uint32_t to)
{
	enum decide_rule rule = rev->wanted.rule;
	const struct peer *p = span_maker(r, rev);
	struct msg m = {.type = MSG_SCALING};

	if (p == NULL)
		return;
	m.u.scaling = (struct msg_scaling){.revision = rev->name,
					   .from = from,
					   .to = to,
					   .rule = xstrdup(decide_rule_name(rule)),
					   .why = xstrdup(decide_rule_text(rule))};
	r->ops->send(p->serial, &m, r->arg);
	free(m.u.scaling.rule);
	free(m.u.scaling.why);
}

/* It is no decision to start instances in place of others. */
static void
raise_scale(struct reconcile *r, struct scaled_revision *rev, uint32_t n)
{
	uint32_t net = scaled_scale(rev);

	scaled_send_scale(rev, n, NULL, 0);
	if (rev->wanted.n > net)
		tell_scaling(r, rev, net, MIN(n, rev->wanted.n));
}

/* Replace instances; then ask the driver for more, within max_instances, or drain instances, before
 * it is asked for fewer. */
static void
scale(struct reconcile *r, struct scaled_revision *rev)
{
	uint32_t first = rev->scale_sent, before, n;

	note_spent(r, rev);
	renewal_mark(rev, quota_headroom(&r->quota, rev), clk_now());
	scaledown_replace(&r->scaledown, rev);
	before = rev->scale_sent;
	quota_sent(&r->quota, rev, first, before);
	rev->surge = renewal_surge(rev);
	n = wanted_scale(&rev->wanted, before, rev->surge, quota_headroom(&r->quota, rev));
	if (n < before) {
		scaledown_to(&r->scaledown, rev, n);
	} else {
		scaledown_cancel(&r->scaledown, rev);
		if (n > before && !renewal_must_wait(rev, n - before, clk_now()))
			raise_scale(r, rev, n);
	}
	renewal_count_extra(rev);
	quota_sent(&r->quota, rev, before, rev->scale_sent);
	if (rev->scale_sent < first)
		quota_mark_waiting(&r->quota, &r->set);
}

/* Send the revision to all activators, if what they know of it is out of date. */
static void
publish(struct reconcile *r, struct scaled_revision *rev)
{
	struct msg m = {.type = MSG_INSTANCES};

	if (!rev->is_changed)
		return;
	rev->is_changed = false;
	if (rev->is_known && sharing_publish(r->sharing, rev))
		return;
	announce_fill(rev, &m.u.instances, clk_now());
	r->ops->send(0, &m, r->arg);
	announce_fini(&m.u.instances);
}

static void
act(struct reconcile *r, struct scaled_revision *rev)
{
	if (!r->is_frozen) {
		note(rev);
		quota_note_held_back(&r->quota, rev);
		if (scaled_is_driven(rev) && rev->is_adopted)
			scale(r, rev);
	}
	scale_audit_look(rev);
	publish(r, rev);
}

/* --- the round --- */

void
reconcile_tail(struct reconcile *r)
{
	struct list_node *node;
	int64_t now = clk_now();

	if (!list_empty(&r->set.marked) && !r->is_frozen) {
		decide_marked(r, now);
		quota_share(&r->quota, &r->set, &r->peers, now);
	}
	while ((node = list_pop(&r->set.marked)) != NULL)
		act(r, container_of(node, struct scaled_revision, marked));
	sharing_flush(r->sharing);
}

int64_t
reconcile_next_ns(const struct reconcile *r)
{
	return sharing_next_ns(r->sharing);
}

void
reconcile_tick(struct reconcile *r)
{
	int64_t now = clk_now();
	const struct scaled_machine machine = {.cores = r->conf.machine_cores,
					       .memory_bytes = r->conf.machine_memory,
					       .used_cores = r->used_cores,
					       .activators = (uint32_t)r->peers.n};
	struct list_node *node, *tmp;

	peers_tick(&r->peers, r->longest_window, now);
	sharing_tick(r->sharing);
	forget_reports(r);
	r->used_cores = 0;
	LIST_FOREACH(&r->set.active, node, tmp) {
		struct scaled_revision *rev = container_of(node, struct scaled_revision, active);

		scaledown_tick(&r->scaledown, rev);
		scaled_tick(rev, &machine, now);
		r->used_cores += MAX(rev->instances.cpu_cores, 0);
		if (brain_is_plan_due(rev->brain))
			scaled_set_mark_to_plan(&r->set, rev);
		if (scaled_is_active(rev))
			scaled_set_mark_undecided(&r->set, rev);
		else
			list_remove(&r->set.active, &rev->active);
	}
}

bool
reconcile_plan(struct reconcile *r)
{
	struct list_node *node = list_pop(&r->set.planning);

	if (node != NULL)
		brain_plan(container_of(node, struct scaled_revision, planning)->brain);
	return !list_empty(&r->set.planning);
}

void
reconcile_freeze(struct reconcile *r)
{
	r->is_frozen = true;
}

void
reconcile_note_stop(struct reconcile *r, const struct audit_by *by)
{
	struct scaled_revision *rev;
	size_t at = 0;

	while ((rev = scaled_set_next(&r->set, &at)) != NULL)
		if (rev->driver->class->is_owner && scaled_is_driven(rev) && rev->scale_sent > 0)
			scale_audit_change(rev, by, scaled_scale(rev), 0);
}

/* --- for reading --- */

const struct scaled_counts *
reconcile_past(const struct reconcile *r, const char *service)
{
	return past_find(&r->past, service);
}

bool
reconcile_is_shared(const struct reconcile *r, const char *name)
{
	return sharing_has(r->sharing, name);
}

bool
reconcile_next_owner(const struct reconcile *r, size_t *at, struct reconcile_owner *out)
{
	const struct quota_owner *o = *at < r->quota.owners_n ? &r->quota.owners[*at] : NULL;

	if (o == NULL)
		return false;
	*out = (struct reconcile_owner){.name = o->name,
					.max_instances = o->max_instances,
					.instances = o->sent,
					.wanted = o->claimed};
	++*at;
	return true;
}

const struct shares *
reconcile_shares(const struct reconcile *r, const char *name)
{
	return sharing_find(r->sharing, name);
}

bool
reconcile_is_silent(const struct reconcile *r, const char *id)
{
	return peers_is_silent(&r->peers, id, clk_now());
}

const uint64_t *
reconcile_decisions(const struct reconcile *r)
{
	return r->decisions;
}

struct scaled_revision *
reconcile_find(const struct reconcile *r, const char *name)
{
	return scaled_set_find(&r->set, name);
}

struct scaled_revision *
reconcile_next(const struct reconcile *r, size_t *at)
{
	return scaled_set_next(&r->set, at);
}

bool
reconcile_is_known(const struct reconcile *r)
{
	struct scaled_revision *rev;
	size_t at = 0;

	while ((rev = scaled_set_next(&r->set, &at)) != NULL)
		if (!rev->is_known && !rev->is_external)
			return false;
	return true;
}

bool
reconcile_has_parked(const struct reconcile *r)
{
	const struct scaled_revision *rev;
	size_t at = 0;

	while ((rev = scaled_set_next(&r->set, &at)) != NULL)
		if (reports_parked(&rev->reports) > 0)
			return true;
	return false;
}

/* From when on drain_timeout counts.  The activators of an earlier autoscaler have a while to come
 * back. */
static int64_t
leaving_since(const struct reconcile *r, const struct scaled_revision *rev)
{
	int64_t most = r->started_ns + PEERS_PATIENCE;
	int64_t heard = r->heard_ns == 0 ? most : MIN(r->heard_ns, most);

	return MAX(rev->leaving_ns, heard);
}

/* Is it leaving, and its drain_timeout over? */
static bool
is_late(const struct reconcile *r, const struct scaled_revision *rev)
{
	return rev->is_leaving &&
	       clk_now() - leaving_since(r, rev) >= rev->conf->launch.drain_timeout;
}

/* Is it leaving, and not known to have no instances? */
static bool
is_still_there(const struct scaled_revision *rev)
{
	return rev->is_leaving && (!rev->is_known || rev->instances.n > 0 || rev->scale_sent > 0);
}

bool
reconcile_leaving_done(const struct reconcile *r)
{
	struct scaled_revision *rev;
	size_t at = 0;

	while ((rev = scaled_set_next(&r->set, &at)) != NULL)
		if (is_still_there(rev) && !is_late(r, rev))
			return false;
	return true;
}

bool
reconcile_leaving_is_late(const struct reconcile *r, const char *full_name)
{
	const struct scaled_revision *rev = reconcile_find(r, full_name);

	return rev != NULL && is_late(r, rev);
}

bool
reconcile_any_is_late(const struct reconcile *r)
{
	struct scaled_revision *rev;
	size_t at = 0;

	while ((rev = scaled_set_next(&r->set, &at)) != NULL)
		if (is_still_there(rev) && is_late(r, rev))
			return true;
	return false;
}

uint32_t
reconcile_load(struct reconcile *r, const char *id)
{
	const struct scaled_revision *rev = scaled_set_find_instance(&r->set, id);
	const struct scaled_instance *i = rev == NULL ? NULL
						      : instances_find_from(&rev->instances,
									    &r->load_at, id);
	uint32_t in_flight, lease;

	if (i == NULL)
		return 0;
	in_flight = reports_at_instance(&rev->reports, id);
	lease = instances_is_leased(i, &rev->reports, clk_now()) ? DRIVER_LEASE_LOAD : 0;
	return lease + MIN(in_flight, DRIVER_LEASE_LOAD);
}

int64_t
reconcile_heard_since(const struct reconcile *r)
{
	return r->heard_ns;
}
