/* What activators and drivers say: noted here, acted on at the tail of the round. */
#include <string.h>

#include "autoscaler/reconcile/reconcile_impl.h"
#include "autoscaler/reconcile/scaledown.h"
#include "common/clk.h"
#include "common/log.h"

#define EARLY (CLK_S * 9 / 10)

/* --- what activators say --- */

static struct scaled_revision *
find_named(struct reconcile *r, const char *name, const char *what)
{
	struct scaled_revision *rev = reconcile_find(r, name);

	if (rev == NULL)
		log_debug(NULL, "message on a revision that is not known, ignored",
			  "type=%s revision=%s", what, name);
	return rev;
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
note_wake(struct scaled_revision *rev)
{
	if (rev->is_woken || rev->is_external || scaled_live(rev) > 0)
		return;
	rev->is_woken = true;
	rev->woken_ns = clk_now();
	log_info(NULL, "revision woken", "revision=%s parked=%u wanted=%u rule=%s",
		 scaled_name(rev), reports_parked(&rev->reports), rev->wanted.n,
		 decide_rule_name(rev->wanted.rule));
}

static void
take_activate(struct reconcile *r, uint64_t peer, const char *name, uint32_t parked, uint64_t seq)
{
	struct scaled_revision *rev = find_named(r, name, "activate");

	if (rev == NULL || r->is_retired)
		return;
	rev->activations++;
	rev->is_used_in_hold |= rev->is_held;
	reports_activate(&rev->reports, peer, parked, clk_now());
	reconcile_decide(r, rev);
	acknowledge(r, rev, peer, seq);
	note_wake(rev);
	scaled_refuse_dry(rev, clk_now());
	reconcile_mark(r, rev, false);
}

/* Sent before its time, for what there is to learn right after a wake. */
static bool
is_early(int64_t period_ns)
{
	return period_ns > 0 && period_ns < EARLY;
}

/* Served or parked, by the last word of each activator. */
static uint32_t
house_of(const struct scaled_revision *rev)
{
	return reports_parked(&rev->reports) + reports_in_flight(&rev->reports);
}

/* It is idle from here on if it was used up to now: so says the report, or what was there
 * before it. */
static void
note_use(struct scaled_revision *rev, const struct msg_stat *s, uint32_t before, int64_t now)
{
	if (before > 0 || house_of(rev) > 0 || s->requests > 0 || s->concurrency > 0)
		scaled_touch(rev, now);
}

/* One revision in a report.  It is decided on at once if somebody waits, if the report is
 * early, or if nobody looked at it; else the tick is soon enough. */
static void
take_stat(struct reconcile *r, struct reconcile_peer *p, const struct msg_stat *s,
	  int64_t period_ns, int64_t now)
{
	struct scaled_revision *rev = find_named(r, s->name, "stats");
	uint32_t before;

	if (rev == NULL)
		return;
	before = house_of(rev);
	reports_report(&rev->reports, p->serial, p->report, s, period_ns, now);
	scaled_report(rev, s, period_ns, now);
	note_use(rev, s, before, now);
	rev->is_used_in_hold |= rev->is_held && (s->requests > 0 || s->concurrency > 0);
	if (s->parked > 0 || !list_linked(&rev->active) || is_early(period_ns))
		reconcile_mark(r, rev, true);
}

/* The report is whole: what it does not name had nothing. */
static void
complete_report(struct reconcile *r, struct reconcile_peer *p, int64_t period_ns, int64_t now)
{
	static const struct msg_stat nothing;
	struct list_node *node, *tmp;

	LIST_FOREACH(&r->active, node, tmp) {
		struct scaled_revision *rev = container_of(node, struct scaled_revision, active);
		uint32_t before = house_of(rev);

		if (!reports_complete(&rev->reports, p->serial, p->report))
			continue;
		scaled_report(rev, &nothing, period_ns, now);
		note_use(rev, &nothing, before, now);
	}
	p->report++;
	p->reported_ns = now;
	p->is_silence_told = false;
}

static void
take_stats(struct reconcile *r, uint64_t peer, const struct msg_stats *s)
{
	struct reconcile_peer *p = reconcile_find_peer(r, peer);
	int64_t now = clk_now(), period_ns = s->period_ms * CLK_MS;
	size_t i;

	CHECK(p != NULL);
	for (i = 0; i < s->n; i++)
		take_stat(r, p, &s->v[i], period_ns, now);
	if (!s->is_partial)
		complete_report(r, p, period_ns, now);
}

static void
note_ready(struct scaled_revision *rev, struct scaled_instance *i)
{
	int64_t now = clk_now(), took = scaled_time_start(rev, i, now);

	rev->is_woken &= !scaled_is_ready(i);
	if (took > 0)
		log_info(NULL, "instance ready", "revision=%s instance=%s took_ms=%lld",
			 scaled_name(rev), i->id, (long long)(took / CLK_MS));
}

static void
take_word(struct reconcile *r, const char *id, enum instance_word word)
{
	struct scaled_revision *rev = hmap_find(&r->by_instance, id);
	struct scaled_instance *i = rev == NULL ? NULL : scaled_find(rev, id);

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
log_failure(const struct scaled_revision *rev)
{
	log_warn(NULL, "instances cannot be started",
		 "revision=%s reason=%s message=%s retry_ms=%lld", scaled_name(rev),
		 rev->failure->reason, rev->failure->message,
		 (long long)rev->failure->retry_after_ms);
}

/* Somebody else has set how many there are: that is what the driver has been told. */
static void
take_held(struct reconcile *r, struct scaled_revision *rev)
{
	if (!rev->is_held || !rev->is_adopted || rev->scale_sent == rev->scale)
		return;
	log_info(NULL, "scale of another hand respected", "revision=%s from=%u to=%u",
		 scaled_name(rev), rev->scale_sent, rev->scale);
	r->sent_total += (uint64_t)rev->scale - rev->scale_sent;
	rev->scale_sent = rev->scale;
}

void
reconcile_view(struct reconcile *r, const struct driver_view *view)
{
	struct scaled_revision *rev = reconcile_find(r, view->revision);
	uint64_t failures;
	size_t i;

	if (rev == NULL)
		return;		       /* forgotten; the driver is about to */
	if (scaled_shows(rev, view)) { /* no more than what instances use */
		scaled_set_view(rev, view, clk_now());
		return;
	}
	failures = rev->failures;
	reconcile_unmap(r, rev);
	scaled_set_view(rev, view, clk_now());
	for (i = 0; i < rev->n; i++) {
		hmap_put(&r->by_instance, rev->v[i].id, rev);
		if (!rev->is_external)
			note_ready(rev, &rev->v[i]);
	}
	if (rev->failures != failures)
		log_failure(rev);
	take_held(r, rev);
	scaledown_view(r, rev);
	rev->is_changed = true;
	reconcile_mark(r, rev, true);
}
