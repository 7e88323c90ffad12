/* Our own rules in a simulation: the reconciler as it is, with a driver and an activator
 * that are modelled.  The activator speaks and is silent at the same times as the real
 * one (activator/demand.c, scaler.c), and answers drains as it does. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/brain/decide.h"
#include "autoscaler/reconcile/reconcile.h"
#include "autoscaler/simulate/sim_brain.h"
#include "autoscaler/simulate/sim_fleet.h"
#include "common/clk.h"

#define PEER 1
/* How long it has run already when the trace begins: on a Monday, 0:00 UTC, by the calendar
 * (schedule entries). */
#define BEFORE (102 * 86400 * CLK_S)
#define TELL_FIRST (20 * CLK_MS)
#define TELL_MOST (100 * CLK_MS)
#define EARLY (45 * CLK_MS)	/* a report so soon after the first instance answered … */
#define EARLY_LAST (16 * EARLY) /* … and after twice as long, and so on up to that */
#define CLEARED (5 * CLK_MS)	/* a report so soon after nobody waits any more, until then */
#define FRESH CLK_S		/* how long after that what waits is told in any case */

struct question {		/* a drain that was asked */
	char *token, *instance; /* NULL: the whole revision */
	bool is_answered, is_busy;
};

struct ours {
	struct sim_brain brain;
	struct driver driver;
	struct revision_conf conf; /* as the file has it, but never dry_run */
	struct reconcile *reconcile;
	struct scaled_revision *rev;
	int64_t next_second_ns, early_ns, cleared_ns; /* INT64_MAX: none is due */
	int64_t early_after;	    /* how long after the first instance answered that is */
	struct sim_totals reported; /* what the last report had */
	int64_t reported_ns;
	uint64_t seen; /* sim_fleet_changes() that the reconciler knows of */
	bool was_open;
	int64_t opened_ns;
	/* whom it has told that it waits */
	bool is_waiting;
	uint32_t told;
	int64_t tell_ns, tell_gap;
	uint64_t seq;
	struct question *questions;
	size_t questions_n;
};

static int64_t simulated_ns; /* what the clock says; one simulation at a time */

static int64_t
simulated(void)
{
	return simulated_ns;
}

static uint32_t
pace(const struct revision_conf *conf)
{
	double total = decide_total(&conf->scaling, conf->limits.container_concurrency, 0);

	return (uint32_t)ceil(total * conf->limits.release_burst);
}

/* --- drains --- */

static bool
is_covered(const struct ours *o, const char *id)
{
	size_t i;

	for (i = 0; i < o->questions_n; i++)
		if (o->questions[i].instance == NULL || strcmp(o->questions[i].instance, id) == 0)
			return true;
	return false;
}

static void
take_question(struct ours *o, const struct msg *m)
{
	struct sim_fleet *f = o->brain.fleet;
	struct question *q;

	o->questions = xrealloc(o->questions, (o->questions_n + 1) * sizeof *o->questions);
	q = &o->questions[o->questions_n++];
	*q = (struct question){.token = xstrdup(m->u.drain.token)};
	if (m->u.drain.instance != NULL)
		q->instance = xstrdup(m->u.drain.instance);
	else
		q->is_busy = sim_fleet_in_flight(f) + sim_fleet_parked(f) > 0;
	if (!q->is_busy)
		sim_fleet_close(f, q->instance, true);
}

static void
question_fini(struct ours *o, size_t i)
{
	free(o->questions[i].token);
	free(o->questions[i].instance);
	o->questions[i] = o->questions[--o->questions_n];
}

static void
take_resume(struct ours *o, const char *token)
{
	struct sim_fleet *f = o->brain.fleet;
	size_t i;

	for (i = 0; i < o->questions_n; i++)
		if (strcmp(o->questions[i].token, token) == 0)
			break;
	if (i == o->questions_n)
		return;
	question_fini(o, i);
	for (i = 0; i < sim_fleet_n(f); i++)
		if (sim_fleet_at(f, i)->is_closed && !is_covered(o, sim_fleet_at(f, i)->id))
			sim_fleet_close(f, sim_fleet_at(f, i)->id, false);
}

static uint32_t
in_flight_at(const struct ours *o, const char *id)
{
	const struct sim_fleet *f = o->brain.fleet;
	size_t i;

	for (i = 0; i < sim_fleet_n(f); i++)
		if (strcmp(sim_fleet_at(f, i)->id, id) == 0)
			return sim_fleet_at(f, i)->in_flight;
	return 0;
}

/* Answer one of the drains that can be.  False: there is none. */
static bool
answer_question(struct ours *o)
{
	size_t i;

	for (i = 0; i < o->questions_n; i++) {
		struct question *q = &o->questions[i];
		struct msg m = {.type = q->is_busy ? MSG_BUSY : MSG_DRAINED};

		if (q->is_answered || (q->instance != NULL && in_flight_at(o, q->instance) > 0))
			continue;
		q->is_answered = true;
		m.u.drained.token = xstrdup(q->token); /* busy has the same shape */
		if (q->is_busy)
			question_fini(o, i);
		reconcile_message(o->reconcile, PEER, &m);
		free(m.u.drained.token);
		return true;
	}
	return false;
}

static void
on_send(uint64_t peer, const struct msg *m, void *arg)
{
	struct ours *o = arg;

	(void)peer;
	if (m->type == MSG_DRAIN)
		take_question(o, m);
	else if (m->type == MSG_RESUME)
		take_resume(o, m->u.resume.token);
}

static const struct reconcile_ops reconcile_ops = {.send = on_send};

/* --- the driver --- */

static struct ours *
ours_of_driver(struct driver *d)
{
	return container_of(d, struct ours, driver);
}

static void
set_scale(struct driver *d, const char *revision, uint32_t n, const char *const *victims,
	  size_t victims_n)
{
	(void)revision;
	sim_fleet_scale(ours_of_driver(d)->brain.fleet, n, victims, victims_n);
}

static void
instance_answers(struct driver *d, const char *id)
{
	(void)d;
	(void)id;
}

static const struct driver_class driver_class = {
	.name = "simulated", .set_scale = set_scale, .instance_answers = instance_answers};

static void
tell_view(struct ours *o)
{
	struct sim_fleet *f = o->brain.fleet;
	size_t i, n = sim_fleet_n(f);
	struct driver_instance *v = xcalloc(n + 1, sizeof *v);
	struct driver_view view = {.revision = o->conf.full_name, .is_known = true, .v = v, .n = n};
	static const enum instance_state states[] = {[SIM_STARTING] = INSTANCE_STARTING,
						     [SIM_READY] = INSTANCE_READY,
						     [SIM_STOPPING] = INSTANCE_STOPPING};
	static char address[] = "127.0.0.1";

	for (i = 0; i < n; i++) {
		struct sim_instance at = *sim_fleet_at(f, i);

		v[i] = (struct driver_instance){.id = xstrdup(at.id),
						.address = address,
						.port = 1,
						.state = states[at.state],
						.started_ns = BEFORE + at.started_ns,
						.cpu_s = -1};
	}
	o->seen = sim_fleet_changes(f);
	reconcile_view(o->reconcile, &view);
	for (i = 0; i < n; i++)
		free(v[i].id);
	free(v);
}

/* --- the activator --- */

static void
say(struct ours *o, const struct msg *m)
{
	reconcile_message(o->reconcile, PEER, m);
}

static struct msg_stat
stat_now(struct ours *o)
{
	struct sim_fleet *f = o->brain.fleet;
	struct msg_stat s = {.name = o->conf.full_name,
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

/* How many wait, between two reports. */
static void
tell_growth(struct ours *o)
{
	struct msg_stat s = stat_now(o);
	const struct msg m = {.type = MSG_STATS, .u.stats = {.is_partial = true, .v = &s, .n = 1}};

	s.peak = s.parked + s.in_flight;
	s.concurrency = s.peak;
	o->told = s.parked;
	say(o, &m);
	stat_fini(&s);
}

/* What happened since the last report. */
static void
report(struct ours *o, int64_t now)
{
	const struct sim_totals *t = sim_fleet_totals(o->brain.fleet), *past = &o->reported;
	double period_s = (double)(now - o->reported_ns) / CLK_S;
	struct msg_stat s = stat_now(o);
	struct msg m = {.type = MSG_STATS,
			.u.stats = {.period_ms = (now - o->reported_ns) / CLK_MS, .v = &s}};

	s.waiting = (t->parked_s - past->parked_s) / period_s;
	s.concurrency = s.waiting + (t->flight_s - past->flight_s) / period_s;
	s.peak = sim_fleet_take_peak(o->brain.fleet);
	s.requests = t->requests - past->requests;
	s.completed = t->completed - past->completed;
	if (s.completed > 0)
		s.latency_ms = (t->latency_s - past->latency_s) * 1000 / (double)s.completed;
	m.u.stats.n = s.peak > 0;
	o->reported = *t;
	o->reported_ns = now;
	say(o, &m);
	stat_fini(&s);
}

static void
report_early(struct ours *o, int64_t now)
{
	if (now < o->next_second_ns)
		report(o, now);
	o->early_ns = o->early_after < EARLY_LAST ? now + o->early_after : INT64_MAX;
	o->early_after *= 2;
}

static void
report_cleared(struct ours *o, int64_t now)
{
	o->cleared_ns = INT64_MAX;
	if (now > o->reported_ns && now < o->next_second_ns)
		report(o, now);
}

static void
activate(struct ours *o, uint32_t parked)
{
	struct msg m = {.type = MSG_ACTIVATE};

	m.u.activate.revision = o->conf.full_name;
	m.u.activate.parked = parked;
	m.u.activate.seq = ++o->seq;
	o->told = parked;
	say(o, &m);
}

static void
step_demand(struct ours *o, int64_t now)
{
	uint32_t parked = sim_fleet_parked(o->brain.fleet);
	bool is_open = sim_fleet_open(o->brain.fleet) > 0;

	if (is_open && !o->was_open) {
		o->opened_ns = now;
		o->early_ns = now + (o->early_after = EARLY);
		o->tell_ns = now + (o->tell_gap = TELL_FIRST);
	}
	if (parked > 0 && !is_open && (!o->is_waiting || o->was_open)) {
		activate(o, parked);
		o->tell_ns = now + (o->tell_gap = TELL_FIRST);
	} else if (parked > 0 && !o->is_waiting) {
		o->told = 0;
		o->tell_ns = now + (o->tell_gap = TELL_FIRST);
	} else if (parked > 0 && now >= o->tell_ns) {
		if (parked > o->told || (is_open && now - o->opened_ns <= FRESH))
			tell_growth(o);
		o->tell_ns = now + o->tell_gap;
		o->tell_gap = MIN(o->tell_gap * 2, TELL_MOST);
	}
	if (parked == 0 && o->is_waiting && is_open && o->early_ns != INT64_MAX)
		o->cleared_ns = MIN(o->cleared_ns, now + CLEARED);
	o->was_open = is_open;
	o->is_waiting = parked > 0;
	if (parked == 0)
		o->tell_ns = INT64_MAX;
}

/* --- together --- */

static void
settle(struct ours *o)
{
	do {
		reconcile_tail(o->reconcile);
		if (sim_fleet_changes(o->brain.fleet) != o->seen)
			tell_view(o);
	} while (answer_question(o) || sim_fleet_changes(o->brain.fleet) != o->seen);
	reconcile_tail(o->reconcile);
}

static void
look(struct sim_brain *b, int64_t now)
{
	struct ours *o = container_of(b, struct ours, brain);

	simulated_ns = BEFORE + now;
	if (sim_fleet_changes(b->fleet) != o->seen)
		tell_view(o);
	step_demand(o, now);
	if (now >= o->early_ns)
		report_early(o, now);
	if (now >= o->cleared_ns)
		report_cleared(o, now);
	if (now >= o->next_second_ns) {
		o->next_second_ns += CLK_S;
		report(o, now);
		reconcile_tick(o->reconcile);
	}
	settle(o);
}

static int64_t
next_ns(struct sim_brain *b)
{
	struct ours *o = container_of(b, struct ours, brain);

	return MIN(MIN(o->next_second_ns, o->tell_ns), MIN(o->early_ns, o->cleared_ns));
}

static uint32_t
wanted(struct sim_brain *b)
{
	return container_of(b, struct ours, brain)->rev->wanted.n;
}

static const char *
rule(struct sim_brain *b)
{
	return decide_rule_name(container_of(b, struct ours, brain)->rev->wanted.rule);
}

static struct sim_brain *
open_ours(const struct sim_brain *as, int64_t now)
{
	struct ours *o = xcalloc(1, sizeof *o);
	const struct reconcile_conf conf = {.max_instances = as->max_instances,
					    .drain_timeout = INT64_MAX};
	struct reconcile_item item = {.conf = &o->conf, .driver = &o->driver};

	o->brain = *as;
	o->conf = *as->conf;
	o->conf.scaling.dry_run = false;
	o->driver.class = &driver_class;
	o->next_second_ns = now + CLK_S;
	o->tell_ns = o->early_ns = o->cleared_ns = INT64_MAX;
	o->reported = *sim_fleet_totals(as->fleet);
	o->reported_ns = now;
	o->was_open = sim_fleet_open(as->fleet) > 0;
	simulated_ns = as->is_restart ? BEFORE + now : 0;
	clk_replace(simulated);
	o->reconcile = reconcile_new(&reconcile_ops, o, "simulated");
	simulated_ns = BEFORE + now;
	reconcile_set(o->reconcile, &conf, &item, 1);
	o->rev = reconcile_find(o->reconcile, o->conf.full_name);
	reconcile_peer_up(o->reconcile, PEER, "simulated");
	tell_view(o);
	settle(o);
	return &o->brain;
}

static void
close_ours(struct sim_brain *b)
{
	struct ours *o = container_of(b, struct ours, brain);

	if (o->questions_n > 0)
		sim_fleet_close(b->fleet, NULL, false); /* a lost link takes drains back */
	while (o->questions_n > 0)
		question_fini(o, 0);
	free(o->questions);
	reconcile_free(&o->reconcile);
	clk_replace(NULL);
	free(o);
}

const struct sim_brain_class sim_ours = {.pace = pace,
					 .open = open_ours,
					 .close = close_ours,
					 .look = look,
					 .next_ns = next_ns,
					 .wanted = wanted,
					 .rule = rule};
