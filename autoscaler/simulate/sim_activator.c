#include "autoscaler/simulate/sim_activator.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/simulate/sim_fleet.h"
#include "common/demand_report.h"
#include "common/msg.h"

struct sim_drain {
	char *token;
	char *instance; /* NULL: the whole revision */
	bool is_answered, is_busy;
};

struct sim_activator {
	struct sim_fleet *fleet;
	char *revision;
	sim_activator_send_fn *send;
	void *arg;
	int64_t now_ns;				      /* of the call under way */
	int64_t next_second_ns, early_ns, cleared_ns; /* of reports; INT64_MAX: none */
	int64_t early_after;	    /* early_ns, counted from the first instance's answer */
	struct sim_totals reported; /* the totals at the last report */
	int64_t reported_ns;
	struct demand_report demand;
	bool is_wanted; /* by the autoscaler's newest message */
	struct sim_drain *drains;
	size_t drains_n;
};

/* --- drains --- */

static bool
is_covered(const struct sim_activator *a, const char *id)
{
	size_t i;

	for (i = 0; i < a->drains_n; i++)
		if (a->drains[i].instance == NULL || strcmp(a->drains[i].instance, id) == 0)
			return true;
	return false;
}

static void
on_drain(struct sim_activator *a, const struct msg *m)
{
	struct sim_fleet *f = a->fleet;
	struct sim_drain *d;

	a->drains = xrealloc(a->drains, (a->drains_n + 1) * sizeof *a->drains);
	d = &a->drains[a->drains_n++];
	*d = (struct sim_drain){.token = xstrdup(m->u.drain.token)};
	if (m->u.drain.instance != NULL)
		d->instance = xstrdup(m->u.drain.instance);
	else
		d->is_busy = sim_fleet_in_flight(f) + sim_fleet_parked(f) > 0;
	if (!d->is_busy)
		sim_fleet_close(f, d->instance, true);
}

static void
drain_fini(struct sim_activator *a, size_t i)
{
	free(a->drains[i].token);
	free(a->drains[i].instance);
	a->drains[i] = a->drains[--a->drains_n];
}

static void
on_resume(struct sim_activator *a, const char *token)
{
	struct sim_fleet *f = a->fleet;
	size_t i;

	for (i = 0; i < a->drains_n; i++)
		if (strcmp(a->drains[i].token, token) == 0)
			break;
	if (i == a->drains_n)
		return;
	drain_fini(a, i);
	for (i = 0; i < sim_fleet_n(f); i++)
		if (sim_fleet_at(f, i)->is_closed && !is_covered(a, sim_fleet_at(f, i)->id))
			sim_fleet_close(f, sim_fleet_at(f, i)->id, false);
}

static uint32_t
in_flight_at(const struct sim_activator *a, const char *id)
{
	const struct sim_fleet *f = a->fleet;
	size_t i;

	for (i = 0; i < sim_fleet_n(f); i++)
		if (strcmp(sim_fleet_at(f, i)->id, id) == 0)
			return sim_fleet_at(f, i)->in_flight;
	return 0;
}

bool
sim_activator_answer_drain(struct sim_activator *a)
{
	size_t i;

	for (i = 0; i < a->drains_n; i++) {
		struct sim_drain *d = &a->drains[i];
		struct msg m = {.type = d->is_busy ? MSG_BUSY : MSG_DRAINED};

		if (d->is_answered || (d->instance != NULL && in_flight_at(a, d->instance) > 0))
			continue;
		d->is_answered = true;
		m.u.drained.token = xstrdup(d->token); /* busy has the same shape */
		if (d->is_busy)
			drain_fini(a, i);
		a->send(&m, a->arg);
		free(m.u.drained.token);
		return true;
	}
	return false;
}

/* --- reports --- */

static struct msg_stat
stat_now(struct sim_activator *a)
{
	struct sim_fleet *f = a->fleet;
	struct msg_stat s = {.name = a->revision,
			     .parked = sim_fleet_parked(f),
			     .in_flight = sim_fleet_in_flight(f)};
	size_t i;

	s.v = xcalloc(sim_fleet_n(f) + 1, sizeof *s.v);
	for (i = 0; i < sim_fleet_n(f); i++) {
		struct sim_instance at = *sim_fleet_at(f, i);

		if (at.in_flight > 0)
			s.v[s.n++] = (struct msg_stat_instance){.id = xstrdup(at.id),
								.in_flight = at.in_flight};
	}
	return s;
}

static void
stat_fini(struct msg_stat *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		free(s->v[i].id);
	free(s->v);
}

/* Send how many requests are parked, between two reports. */
static void
send_count(struct sim_activator *a)
{
	struct msg_stat s = stat_now(a);
	const struct msg m = {.type = MSG_STATS, .u.stats = {.is_partial = true, .v = &s, .n = 1}};

	s.peak = s.parked + s.in_flight;
	s.concurrency = s.peak;
	a->send(&m, a->arg);
	stat_fini(&s);
}

/* Report what happened since the last report. */
static void
report(struct sim_activator *a, int64_t now)
{
	const struct sim_totals *t = sim_fleet_totals(a->fleet), *past = &a->reported;
	double period_s = (double)(now - a->reported_ns) / CLK_S;
	struct msg_stat s = stat_now(a);
	struct msg m = {.type = MSG_STATS,
			.u.stats = {.period_ms = (now - a->reported_ns) / CLK_MS, .v = &s}};

	s.waiting = (t->parked_s - past->parked_s) / period_s;
	s.concurrency = s.waiting + (t->flight_s - past->flight_s) / period_s;
	s.peak = sim_fleet_take_peak(a->fleet);
	s.requests = t->requests - past->requests;
	s.completed = t->completed - past->completed;
	if (s.completed > 0)
		s.latency_ms = (t->latency_s - past->latency_s) * 1000 / (double)s.completed;
	m.u.stats.n = s.peak > 0;
	a->reported = *t;
	a->reported_ns = now;
	a->send(&m, a->arg);
	stat_fini(&s);
}

static void
report_early(struct sim_activator *a, int64_t now)
{
	if (now < a->next_second_ns)
		report(a, now);
	a->early_ns = a->early_after < DEMAND_REPORT_EARLY_LAST_NS ? now + a->early_after
								   : INT64_MAX;
	a->early_after *= 2;
}

static void
report_cleared(struct sim_activator *a, int64_t now)
{
	a->cleared_ns = INT64_MAX;
	if (now > a->reported_ns && now < a->next_second_ns)
		report(a, now);
}

static void
send_activate(struct sim_activator *a)
{
	const struct msg m = {.type = MSG_ACTIVATE,
			      .u.activate = {.revision = a->revision,
					     .parked = a->demand.reported,
					     .seq = a->demand.seq}};

	a->send(&m, a->arg);
}

/* --- demand --- */

static void
step_demand(struct sim_activator *a, int64_t now)
{
	struct demand_report_facts facts = {.is_link_up = true,
					    .is_open = sim_fleet_open(a->fleet) > 0,
					    .is_wanted = a->is_wanted,
					    .parked = sim_fleet_parked(a->fleet)};

	if (a->demand.is_waking && facts.is_open)
		a->early_ns = now + (a->early_after = DEMAND_REPORT_EARLY_NS);
	if ((a->demand.is_waking || a->demand.is_reporting) && facts.is_open && facts.parked == 0 &&
	    a->early_ns != INT64_MAX)
		a->cleared_ns = MIN(a->cleared_ns, now + DEMAND_REPORT_CLEARED_NS);
	switch (demand_report_step(&a->demand, &facts, now)) {
	case DEMAND_REPORT_ACTIVATE:
		send_activate(a);
		break;
	case DEMAND_REPORT_COUNT:
		send_count(a);
		break;
	case DEMAND_REPORT_NOTHING:
		break;
	}
}

/* --- for the brain --- */

void
sim_activator_receive(struct sim_activator *a, const struct msg *m)
{
	switch (m->type) {
	case MSG_DRAIN:
		on_drain(a, m);
		break;
	case MSG_RESUME:
		on_resume(a, m->u.resume.token);
		break;
	case MSG_INSTANCES:
		a->is_wanted = m->u.instances.wanted > 0;
		break;
	case MSG_ACTIVATING:
		a->is_wanted = m->u.activating.wanted > 0;
		(void)demand_report_acked(&a->demand, m->u.activating.seq, a->now_ns);
		break;
	default:
		break;
	}
}

void
sim_activator_step(struct sim_activator *a, int64_t now)
{
	a->now_ns = now;
	step_demand(a, now);
	if (now >= a->early_ns)
		report_early(a, now);
	if (now >= a->cleared_ns)
		report_cleared(a, now);
	if (now >= a->next_second_ns) {
		a->next_second_ns += CLK_S;
		report(a, now);
	}
}

int64_t
sim_activator_next_ns(const struct sim_activator *a)
{
	return MIN(MIN(a->next_second_ns, a->demand.next_ns), MIN(a->early_ns, a->cleared_ns));
}

struct sim_activator *
sim_activator_new(struct sim_fleet *f, char *revision, sim_activator_send_fn *send, void *arg,
		  int64_t now)
{
	struct sim_activator *a = xcalloc(1, sizeof *a);

	a->fleet = f;
	a->revision = revision;
	a->send = send;
	a->arg = arg;
	a->now_ns = a->reported_ns = now;
	a->next_second_ns = now + CLK_S;
	a->early_ns = a->cleared_ns = a->demand.next_ns = INT64_MAX;
	a->reported = *sim_fleet_totals(f);
	return a;
}

void
sim_activator_free(struct sim_activator **ap)
{
	struct sim_activator *a = *ap;

	*ap = NULL;
	if (a->drains_n > 0)
		sim_fleet_close(a->fleet, NULL, false);
	while (a->drains_n > 0)
		drain_fini(a, 0);
	free(a->drains);
	free(a);
}
