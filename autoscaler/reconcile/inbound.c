#include "autoscaler/reconcile/inbound.h"

#include <string.h>

#include "autoscaler/brain/window.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/shares.h"

/* A report of a shorter period was sent early: after a wake, activators report more often. */
#define EARLY (CLK_S * 9 / 10)

/* An instance is replaced in advance once an eighth of max_requests is left. */
#define NEARLY_SPENT 8

/* --- what activators report --- */

static struct scaled_revision *
find_named(struct scaled_set *set, const char *name, const char *type)
{
	struct scaled_revision *rev = scaled_set_find(set, name);

	if (rev == NULL)
		log_debug(NULL, "message about a revision that is not known, ignored",
			  "type=%s revision=%s", type, name);
	return rev;
}

struct scaled_revision *
inbound_activate(struct scaled_set *set, uint64_t peer, const char *name, uint32_t parked)
{
	struct scaled_revision *rev = find_named(set, name, "activate");

	if (rev == NULL)
		return NULL;
	rev->counts.activations++;
	reports_activate(&rev->reports, peer, parked, clk_now());
	return rev;
}

/* The revision was in use until now if the report or what was known before it has requests. */
static void
note_use(struct scaled_revision *rev, const struct msg_stat *s, uint32_t demand_before,
	 int64_t now_ns)
{
	if (demand_before > 0 || scaled_demand_now(rev) > 0 || s->requests > 0 ||
	    s->concurrency > 0)
		window_touch(rev->window, now_ns);
}

/* One revision in a report.  It is decided on in this round if requests are parked, if the
 * report is early, or if it is not looked at each second; else at the next tick. */
static void
take_stat(struct scaled_set *set, const struct peer *peer, const struct msg_stat *s,
	  int64_t period_ns, int64_t now_ns)
{
	struct scaled_revision *rev = find_named(set, s->name, "stats");
	uint32_t before;

	if (rev == NULL)
		return;
	before = scaled_demand_now(rev);
	reports_report(&rev->reports, peer->serial, peer->report, s, period_ns, now_ns);
	scaled_report(rev, s, period_ns, now_ns);
	note_use(rev, s, before, now_ns);
	if (s->parked > 0 || !list_linked(&rev->active) || (period_ns > 0 && period_ns < EARLY))
		scaled_set_mark_undecided(set, rev);
}

/* The report is complete: revisions that it did not name have no requests at this peer. */
static void
complete_report(struct scaled_set *set, struct peer *peer, int64_t period_ns, int64_t now_ns)
{
	static const struct msg_stat nothing;
	struct list_node *node, *tmp;

	LIST_FOREACH(&set->active, node, tmp) {
		struct scaled_revision *rev = container_of(node, struct scaled_revision, active);
		uint32_t before = scaled_demand_now(rev);

		if (!reports_complete(&rev->reports, peer->serial, peer->report))
			continue;
		scaled_report(rev, &nothing, period_ns, now_ns);
		note_use(rev, &nothing, before, now_ns);
	}
	peers_reported(peer, now_ns);
}

void
inbound_stats(struct scaled_set *set, struct peers *peers, uint64_t serial,
	      const struct msg_stats *s)
{
	struct peer *peer = peers_find(peers, serial);
	int64_t now = clk_now(), period_ns = s->period_ms * CLK_MS;
	size_t i;

	CHECK(peer != NULL);
	for (i = 0; i < s->n; i++)
		take_stat(set, peer, &s->v[i], period_ns, now);
	if (!s->is_partial)
		complete_report(set, peer, period_ns, now);
}

/* --- instances --- */

static void
note_ready(struct scaled_revision *rev, struct scaled_instance *i)
{
	int64_t took = scaled_time_start(rev, i, clk_now());

	if (rev->is_woken && instances_is_ready(i)) {
		rev->is_woken = false;
		rev->awaited_ns = clk_now();
	}
	if (took > 0 && rev->conf->limits.max_requests == 1)
		log_debug(NULL, "instance ready", "revision=%s instance=%s took_us=%lld",
			  scaled_name(rev), i->id, (long long)(took / 1000));
	else if (took > 0)
		log_info(NULL, "instance ready", "revision=%s instance=%s took_ms=%lld",
			 scaled_name(rev), i->id, (long long)(took / CLK_MS));
}

/* Tell the driver, but for a repeated `answers`.  A first `refuses` is no repetition: the driver
 * may have taken over an instance that was ready before this process began. */
static void
tell_driver(struct scaled_revision *rev, const struct scaled_instance *i,
	    enum instance_health health, bool was_answering, bool has_served)
{
	const struct driver_class *class = rev->driver->class;

	if (i->is_answering && !was_answering)
		class->instance_answers(rev->driver, i->id);
	if (health == INSTANCE_REFUSES && class->instance_refuses != NULL)
		class->instance_refuses(rev->driver, i->id);
	if (has_served && class->instance_served != NULL)
		class->instance_served(rev->driver, i->id);
}

/* Does the instance answer?  While it waits for the platform, `answers` is out of date: the
 * activator sent it before it heard that the instance is not ready any more. */
static bool
is_answer(const struct scaled_instance *i, enum instance_health health)
{
	return health == INSTANCE_ANSWERS && !instances_waits_for_platform(i);
}

/* So many requests may still be sent there (max_requests). */
static void
take_uses(struct scaled_set *set, struct scaled_revision *rev, struct scaled_instance *i,
	  uint32_t uses)
{
	const struct driver_class *class = rev->driver->class;
	uint32_t most = rev->conf->limits.max_requests;

	if (most == 0 || uses == SHARE_NO_USES)
		return;
	if ((uses == 0) != i->is_spent && class->instance_spent != NULL)
		class->instance_spent(rev->driver, i->id, uses == 0);
	i->is_spent = uses == 0;
	if (uses > most / NEARLY_SPENT)
		return;
	i->is_nearly_spent = true;
	scaled_set_mark_undecided(set, rev);
}

void
inbound_instance(struct scaled_set *set, const char *id, enum instance_health health,
		 bool has_served, uint32_t uses)
{
	struct scaled_revision *rev = scaled_set_find_instance(set, id);
	struct scaled_instance *i = rev == NULL ? NULL : instances_find(&rev->instances, id);
	bool was_answering = i != NULL && i->is_answering;

	if (i == NULL)
		return;
	if (was_answering != is_answer(i, health))
		scaled_note_short(rev, clk_now());
	i->is_answering = is_answer(i, health);
	take_uses(set, rev, i, uses);
	tell_driver(rev, i, health, was_answering, has_served);
	if (rev->is_external || i->is_answering == was_answering)
		return;
	note_ready(rev, i);
	scaled_set_mark_undecided(set, rev);
}

/* --- what drivers show --- */

static void
log_failure(const struct scaled_revision *rev)
{
	if (rev->failure->is_parking) {
		log_warn(NULL, "instances cannot be started yet, requests wait",
			 "revision=%s reason=%s message=%s", scaled_name(rev), rev->failure->reason,
			 rev->failure->message);
		return;
	}
	log_warn(NULL, "instances cannot be started",
		 "revision=%s reason=%s message=%s retry_ms=%lld", scaled_name(rev),
		 rev->failure->reason, rev->failure->message,
		 (long long)rev->failure->retry_after_ms);
}

struct scaled_revision *
inbound_view(struct scaled_set *set, const struct driver_view *view)
{
	struct scaled_revision *rev = scaled_set_find(set, view->revision);
	uint64_t failures;
	size_t i;

	if (rev == NULL)
		return NULL; /* it was removed, and set_revisions() is about to tell the driver */
	if (scaled_shows(rev, view)) { /* only what instances use has changed */
		scaled_take_view(rev, view, clk_now());
		return NULL;
	}
	failures = rev->counts.failures;
	scaled_set_take_view(set, rev, view, clk_now());
	for (i = 0; i < rev->instances.n && !rev->is_external; i++)
		note_ready(rev, &rev->instances.v[i]);
	if (rev->counts.failures != failures &&
	    !rev->is_external) /* the driver has logged which name */
		log_failure(rev);
	rev->is_changed = true;
	scaled_set_mark_undecided(set, rev);
	return rev;
}
