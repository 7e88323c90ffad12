/* sim_knative - the rules of Knative's autoscaler, for --preset knative: the buckets and averages
 * of its metrics (pkg/autoscaler/aggregation), its scaling rule every 2 s
 * (pkg/autoscaler/scaling), the stat that its activator sends at once for a first request
 * ("poke"), and scaling to zero (pkg/reconciler/autoscaling/kpa/scaler.go), with its activator
 * in the path or out of it.
 * Values come from the conf file where it has the key; its defaults are Knative's, but
 * initial-scale is at least 1.  What a cluster adds (failed scrapes, the 30 s in which a pod
 * terminates) is not modelled, in Knative's favour. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/brain/decide.h"
#include "autoscaler/simulate/sim_brain.h"
#include "autoscaler/simulate/sim_fleet.h"
#include "common/clk.h"

#define TICK_S 2
#define BURST_CAPACITY 211.0 /* target-burst-capacity */
#define SPAN_MOST 3600
#define DELAY_MOST (3600 / TICK_S + 1)
#define NEVER INT64_MIN

/* A metric over a window, in buckets of a second. */
struct series {
	double v[SPAN_MOST];
	int64_t span, first,
		last; /* seconds; first and last: buckets that have a value, -1: none */
};

struct knative {
	struct sim_brain brain;
	struct series stable, panic;
	int64_t next_second; /* when the next report is due; every other second also the tick */
	struct sim_totals reported;
	double poked; /* what the poke has added to this second already */
	/* the scaling rule */
	int64_t panic_ns; /* NEVER: not panicking */
	double panic_most;
	double delays[DELAY_MOST]; /* the desired counts of the last ticks */
	size_t ticks;
	double excess;	 /* excess burst capacity; < 0: the activator stays in the path */
	int64_t desired; /* -1: not known yet */
	/* scaling to zero */
	bool is_active, was_initial;
	int64_t active_ns, inactive_ns;
	int64_t proxy_ns; /* since when the activator is in the path; NEVER: it is out */
	uint32_t scale;
	const char *rule;
};

static struct knative *
knative_of(struct sim_brain *b)
{
	return container_of(b, struct knative, brain);
}

/* --- the series --- */

static void
series_add(struct series *s, int64_t second, double value)
{
	int64_t at;

	if (s->last < 0 || second - s->last >= s->span) {
		memset(s->v, 0, sizeof s->v);
		s->first = s->last = second;
	}
	for (at = s->last + 1; at <= second; at++)
		s->v[at % s->span] = 0;
	s->last = MAX(s->last, second);
	s->v[second % s->span] += value;
}

static double
series_mean(const struct series *s, int64_t second)
{
	int64_t behind = MAX(second - s->last, 0), at, n;
	double sum = 0;

	if (s->last < 0 || behind >= s->span)
		return 0;
	for (at = s->last; at > second - s->span && at >= s->first; at--)
		sum += s->v[at % s->span];
	n = MIN(s->last - s->first + 1, s->span - behind);
	return round(sum / (double)n * 1e6) / 1e6;
}

static void
record(struct knative *k, int64_t second, double value)
{
	series_add(&k->stable, second, value);
	series_add(&k->panic, second, value);
}

/* --- the scaling rule --- */

static bool
is_panicking(const struct knative *k)
{
	return k->panic_ns != NEVER;
}

static void
note_panic(struct knative *k, bool is_over, int64_t now)
{
	if (is_over) {
		k->panic_ns = now;
	} else if (is_panicking(k) && k->panic_ns + k->brain.conf->scaling.stable_window < now) {
		k->panic_ns = NEVER;
		k->panic_most = 0;
	}
}

static double
delayed(struct knative *k, double want)
{
	int64_t delay_s = k->brain.conf->scaling.scale_down_delay / CLK_S;
	size_t n = MIN((size_t)(delay_s / TICK_S + 1), (size_t)DELAY_MOST), i;

	if (delay_s == 0)
		return want;
	k->delays[k->ticks++ % n] = want;
	for (i = 0; i < MIN(n, k->ticks); i++)
		want = MAX(want, k->delays[i]);
	return want;
}

static void
tick(struct knative *k, int64_t now)
{
	const struct scaling *s = &k->brain.conf->scaling;
	uint32_t has = sim_fleet_ready(k->brain.fleet);
	double ready = MAX(has, 1u),
	       total = decide_total(s, k->brain.conf->limits.container_concurrency, 0);
	double target = MAX(total * s->target_utilization / 100, 0.01);
	double up = ceil(s->max_scale_up_rate * ready);
	double down = floor(ready / s->max_scale_down_rate);
	double panic_mean = series_mean(&k->panic, now / CLK_S);
	double by_stable = ceil(series_mean(&k->stable, now / CLK_S) / target);
	double by_panic = ceil(panic_mean / target);
	double stable = MIN(MAX(by_stable, down), up), panic = MIN(MAX(by_panic, down), up);

	if (s->activation_scale > 1 && by_stable > 0)
		stable = MAX(stable, s->activation_scale);
	if (s->activation_scale > 1 && by_panic > 0)
		panic = MAX(panic, s->activation_scale);
	note_panic(k, by_panic / ready >= s->panic_threshold_percentage / 100, now);
	if (is_panicking(k))
		stable = k->panic_most = MAX(MAX(stable, panic), k->panic_most);
	k->rule = is_panicking(k) ? "panic" : "stable";
	k->desired = (int64_t)delayed(k, stable);
	k->excess = floor(has * total - BURST_CAPACITY - panic_mean);
}

/* --- scaling to zero --- */

static bool
may_be_zero(struct knative *k, int64_t now)
{
	const struct scaling *s = &k->brain.conf->scaling;
	int64_t proxied = k->proxy_ns == NEVER ? 0 : now - k->proxy_ns;

	if (k->is_active) {
		if (now - k->active_ns >= s->stable_window) {
			k->is_active = false;
			k->inactive_ns = now;
		}
		return false;
	}
	if (now - k->inactive_ns >= MAX(s->scale_to_zero_grace, s->retention))
		return true;
	return now - k->inactive_ns >= s->retention && proxied >= s->scale_to_zero_grace;
}

static int64_t
bounded(struct knative *k, int64_t want)
{
	const struct scaling *s = &k->brain.conf->scaling;
	int64_t least = s->min_scale;

	if (!k->was_initial) {
		least = MAX(least, MAX(s->initial_scale, 1u));
		k->was_initial = sim_fleet_ready(k->brain.fleet) >= least;
	}
	want = MAX(want, least);
	if (s->max_scale > 0)
		want = MIN(want, s->max_scale);
	return want == 0 && !s->enable_scale_to_zero ? 1 : want;
}

static void
apply(struct knative *k, int64_t now)
{
	int64_t want = bounded(k, MAX(k->desired, 0));

	if (want > 0 && !k->is_active) {
		k->is_active = true;
		k->active_ns = now;
	}
	if (want > 0 && k->excess >= 0)
		k->proxy_ns = NEVER;
	else if (k->proxy_ns == NEVER)
		k->proxy_ns = now;
	if (want == 0 && k->scale > 0 && !may_be_zero(k, now)) {
		want = 1;
		k->rule = "grace";
	}
	k->scale = (uint32_t)want;
	if (k->brain.max_instances > 0)
		k->scale = MIN(k->scale, k->brain.max_instances);
	sim_fleet_scale(k->brain.fleet, k->scale, NULL, 0);
}

/* --- metrics: poke, and the report of each second --- */

static void
poke(struct knative *k, int64_t now)
{
	k->poked = 1;
	record(k, now / CLK_S, 1);
	if (k->desired != 0)
		return;
	tick(k, now);
	apply(k, now);
}

static void
report(struct knative *k, int64_t second)
{
	const struct sim_totals *t = sim_fleet_totals(k->brain.fleet), *past = &k->reported;
	bool is_rps = k->brain.conf->scaling.metric == METRIC_RPS;
	double load = t->flight_s + t->parked_s - past->flight_s - past->parked_s;
	double value = is_rps ? (double)(t->requests - past->requests) : load;

	/* Ready pods are scraped, idle ones too.  Without one, only load writes a value. */
	if (value > 0 || sim_fleet_ready(k->brain.fleet) > 0)
		record(k, second, MAX(value - k->poked, 0));
	k->poked = 0;
	k->reported = *t;
}

static void
step(struct sim_brain *b, int64_t now)
{
	struct knative *k = knative_of(b);

	if (now < k->next_second * CLK_S) {
		if (sim_fleet_parked(b->fleet) > 0 && sim_fleet_open(b->fleet) == 0 &&
		    k->poked <= 0)
			poke(k, now);
		return;
	}
	report(k, k->next_second);
	if (k->next_second % TICK_S == 0)
		tick(k, now);
	apply(k, now);
	k->next_second++;
}

static int64_t
next_ns(struct sim_brain *b)
{
	return knative_of(b)->next_second * CLK_S;
}

static uint32_t
wanted(struct sim_brain *b)
{
	return knative_of(b)->scale;
}

static const char *
rule(struct sim_brain *b)
{
	return knative_of(b)->rule;
}

static uint32_t
pace(const struct revision_conf *conf)
{
	(void)conf;
	return 0;
}

static void
series_init(struct series *s, int64_t span)
{
	s->span = MIN(MAX(span, 1), SPAN_MOST);
	s->first = s->last = -1;
}

static struct sim_brain *
open_knative(const struct sim_brain *as, int64_t now)
{
	const struct scaling *s = &as->conf->scaling;
	struct knative *k = xcalloc(1, sizeof *k);
	double span_s = (double)s->stable_window / CLK_S;

	k->brain = *as;
	series_init(&k->stable, (int64_t)round(span_s));
	series_init(&k->panic, (int64_t)round(span_s * s->panic_window_percentage / 100));
	k->next_second = now / CLK_S + 1;
	k->panic_ns = k->proxy_ns = NEVER;
	k->desired = -1;
	k->excess = -1;
	k->rule = "initial_scale";
	apply(k, now);
	return &k->brain;
}

static void
close_knative(struct sim_brain *b)
{
	free(knative_of(b));
}

const struct sim_brain_class sim_knative = {.pace = pace,
					    .open = open_knative,
					    .close = close_knative,
					    .step = step,
					    .next_ns = next_ns,
					    .wanted = wanted,
					    .rule = rule};
