#include "autoscaler/brain/decide.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/clk.h"

#define UNKNOWN_MOST 3u	    /* instances started while no response time is known */
#define ASSUMED_START_S 1.0 /* start-up time while none was seen (adopted instances) */
/* Rates of arrival and of answers are known to about this.  Where they differ by less, a queue is
 * not taken to shrink: clients that wait for their answers send no faster than they are answered.
 */
#define RATE_ERROR 0.1

/* scale_down_delay, like the HPA's stabilization window: numbers that were wanted, each with
 * the last time that it was.  Only those that no later one reaches: so they fall from the
 * oldest to the newest. */
#define RECENT_MOST 64
struct recent {
	uint32_t wanted;
	int64_t at_ns;
};

struct decide_state {
	bool is_panicking, was_initial;
	bool has_wanted; /* `wanted` is what the last decision wanted */
	uint32_t wanted;
	bool was_ready;	   /* an instance has answered since none was wanted */
	bool is_guess;	   /* a number was wanted while no response time was known */
	int64_t panic_ns;  /* when the threshold was passed last */
	double panic_most; /* the most that was wanted in this panic, or in the last one */
	struct recent recent[RECENT_MOST];
	size_t recent_n;
};

static const char *const names[] = {
#define X(id, text) #id,
	DECIDE_RULES(X)
#undef X
};
static const char *const texts[] = {
#define X(id, text) text,
	DECIDE_RULES(X)
#undef X
};
static char lower_names[DECIDE_RULES_N][24]; /* constant once filled */

__attribute__((constructor)) static void
fill_names(void)
{
	size_t i, j;

	for (i = 0; i < DECIDE_RULES_N; i++)
		for (j = 0; names[i][j] != '\0' && j < sizeof lower_names[i] - 1; j++)
			lower_names[i][j] = names[i][j] == '_' ? '_' : (char)(names[i][j] | 32);
}

const char *
decide_rule_name(enum decide_rule r)
{
	CHECK(r < DECIDE_RULES_N);
	return lower_names[r];
}

const char *
decide_rule_text(enum decide_rule r)
{
	CHECK(r < DECIDE_RULES_N);
	return texts[r];
}

struct decide_state *
decide_state_new(void)
{
	return xcalloc(1, sizeof(struct decide_state));
}

void
decide_state_free(struct decide_state **sp)
{
	free(*sp);
	*sp = NULL;
}

bool
decide_was_initial(const struct decide_state *st)
{
	return st->was_initial;
}

void
decide_set_initial(struct decide_state *st)
{
	st->was_initial = true;
}

double
decide_total(const struct scaling *s, uint32_t container_concurrency, double override)
{
	double total = s->metric == METRIC_RPS ? 200 : 100; /* knative.md 2.4, `total` */

	if (override > 0)
		total = override;
	else if (s->target > 0)
		total = s->target;
	else if (s->metric != METRIC_RPS && container_concurrency > 0)
		total = container_concurrency;
	if (s->metric != METRIC_RPS && container_concurrency > 0)
		total = MIN(total, container_concurrency);
	return total;
}

static uint32_t
live_of(const struct decide_view *v)
{
	return v->ready + v->starting;
}

static bool
is_in_use(const struct decide_view *v)
{
	return v->in_flight + v->parked > 0 || v->is_activation_pending;
}

/* What was wanted before, as far as it was asked for.  A number that another client has set is
 * no wish of ours. */
static uint32_t
asked_of(const struct decide_view *v, const struct decide_state *st)
{
	return v->is_held && st->has_wanted ? MIN(v->scale, st->wanted) : v->scale;
}

static uint32_t
count_of(double n)
{
	return (uint32_t)MIN(MAX(n, 0), (double)UINT32_MAX);
}

static void
set(struct decide_out *o, uint32_t wanted, enum decide_rule rule)
{
	o->wanted = wanted;
	o->rule = rule;
}

static void
at_least(struct decide_out *o, uint32_t least, enum decide_rule rule)
{
	if (o->wanted < least)
		set(o, least, rule);
}

static void
at_most(struct decide_out *o, uint32_t most, enum decide_rule rule)
{
	if (o->wanted > most)
		set(o, most, rule);
}

/* --- the backlog ---
 *
 * Start as many instances as answer the parked requests within half of their start-up time,
 * at target_utilization: so a request is answered after one and a half start-up times.  By
 * Little's law an instance answers (requests at once) x time / (response time).  Requests that
 * the ready instances answer until then are left out, as far as these are not busy with what
 * arrives meanwhile; for that, too, instances are needed.  And never are more instances started
 * than all requests, parked and in flight, need at the target. */

/* The response time.  While it is unknown: four times as long as the first answer has been
 * awaited.  (Of a duration whose scale is unknown, the chance that it exceeds x after a wait of
 * w is w / x: three in four end within 4 w.) */
static double
latency_of(const struct decide_view *v)
{
	return v->latency_s >= 0 ? v->latency_s : 4 * v->waited_s;
}

static double
start_of(const struct decide_view *v)
{
	return MAX(v->start_s >= 0 ? v->start_s : ASSUMED_START_S, 0.001);
}

/* While no instance answers, the backlog is the reason, also where the averages of earlier
 * requests need as many. */
static void
for_backlog(struct decide_out *o, const struct decide_view *v, uint32_t n, enum decide_rule rule)
{
	if (o->wanted < n || (o->wanted == n && v->ready == 0))
		set(o, n, rule);
}

/* Requests at once that one instance takes. */
static double
slots_of(const struct decide_view *v, double total)
{
	return v->container_concurrency > 0 ? v->container_concurrency : total;
}

/* Requests a second that one instance answers.  A target in requests a second may be more than
 * the hard limit lets through. */
static double
pace_of(const struct scaling *s, const struct decide_view *v, double total)
{
	double latency = MAX(latency_of(v), 1e-6);

	if (s->metric != METRIC_RPS)
		return MAX(v->container_concurrency, total) / latency;
	if (v->container_concurrency == 0 || v->latency_s < 0)
		return total;
	return MIN(total, v->container_concurrency / latency);
}

/* Requests a second by which the ready instances answer more than arrive; < 0: fewer. */
static double
surplus_of(const struct decide_view *v, double pace, double arrivals)
{
	double capacity = v->ready * pace, surplus = capacity - arrivals;

	return surplus > 0 ? MAX(surplus - RATE_ERROR * capacity, 0) : surplus;
}

/* Instances that answer so many requests within half of a start-up time, beside what arrives. */
static double
clearing(const struct scaling *s, const struct decide_view *v, double pace, double requests,
	 double arrivals)
{
	double aimed = pace * s->target_utilization / 100;

	return ceil(requests / (aimed * start_of(v) / 2) + arrivals / aimed);
}

static void
by_backlog(const struct scaling *s, const struct decide_view *v, struct decide_state *st,
	   double total, struct decide_out *o)
{
	double parked = MAX(v->parked, 1u), pace, arrivals, remaining;
	double each = s->metric == METRIC_RPS ? MIN(total, slots_of(v, total)) : total;
	uint32_t most = count_of(ceil((v->in_flight + parked) / each));

	if (s->metric != METRIC_RPS && v->latency_s < 0 && v->waited_s <= 0) {
		/* No response time is known: start a few, until the first one answers. */
		if (v->ready == 0)
			for_backlog(o, v, MIN(most, UNKNOWN_MOST), DECIDE_ACTIVATION);
		st->is_guess = true;
		return;
	}
	pace = pace_of(s, v, total);
	arrivals = MIN(MAX(v->steady_arrivals, 0), v->ready * pace);
	remaining = parked - surplus_of(v, pace, arrivals) * start_of(v);
	if (remaining > 0)
		for_backlog(o, v, MIN(count_of(clearing(s, v, pace, remaining, arrivals)), most),
			    DECIDE_BACKLOG);
	if (v->ready == 0)
		for_backlog(o, v, 1, DECIDE_BACKLOG);
}

/* --- the averages --- */

/* How many instances will have requests when one that is started now is ready.  These requests
 * are those of now that will last until then, or that the ready instances will not have
 * answered by then, and those that arrive meanwhile.  No instance is started beyond that,
 * whatever the averages remember of a burst that is over; nor, for a queue that shrinks by
 * itself, more than clear it.  The reserve that target_utilization leaves is for a load that goes
 * on: if few requests follow those of now, each instance is counted with all that it is meant to
 * carry. */
static double
forecast(const struct scaling *s, const struct decide_view *v, double total, double target)
{
	double requests = (double)v->in_flight + v->parked, start = start_of(v);
	double latency = MAX(v->latency_s, 1e-6), pace = pace_of(s, v, total);
	double surplus = surplus_of(v, pace, v->arrivals), lasting, unanswered, each;

	if (s->metric == METRIC_RPS || v->latency_s < 0 || v->arrivals < 0)
		return UINT32_MAX;
	each = v->arrivals * latency < requests / 2 ? total : target;
	lasting = ceil(
		(requests * MAX(1 - start / latency, 0) + v->arrivals * MIN(start, latency)) /
		each);
	unanswered = MAX(requests - surplus * start, 0);
	if (surplus > 0 && v->parked > 0)
		return MAX(lasting, MIN(ceil(unanswered / each),
					clearing(s, v, pace, unanswered, v->arrivals)));
	return MAX(lasting, ceil(unanswered / each));
}

/* A panic begins as in knative.md 2.4.  It ends when the stable window needs as many instances
 * as the panic window; with panic_hold as Knative has it, a stable window after the threshold
 * was passed last.  It does not end when the ratio falls below the threshold: the instances
 * that the panic started bring that about at once, and would be stopped and started again
 * each second. */
static void
note_panic(const struct scaling *s, struct decide_state *st, double ratio, bool is_caught_up,
	   int64_t now)
{
	if (ratio >= s->panic_threshold_percentage / 100) {
		st->panic_most = st->is_panicking ? st->panic_most : 0;
		st->is_panicking = true;
		st->panic_ns = now;
	} else if (s->panic_hold ? st->panic_ns + s->stable_window < now : is_caught_up) {
		st->is_panicking = false;
	}
}

/* In a panic no instance is stopped.  Afterwards the instances that it added are stopped, but
 * for one more than the stable window needs, which stays for a stable window: an average that
 * varies around a whole number of instances would stop and start that one all the time. */
static void
keep_panic(const struct scaling *s, struct decide_state *st, double stable, int64_t now,
	   struct decide_out *o)
{
	if (st->is_panicking) {
		at_least(o, count_of(st->panic_most), DECIDE_PANIC);
		st->panic_most = o->wanted;
	} else if (stable > 0 && st->panic_ns > 0 && st->panic_ns + s->stable_window >= now) {
		at_least(o, count_of(MIN(st->panic_most, stable + 1)), DECIDE_PANIC);
	}
}

/* The load that one instance is meant to carry, as the averages have it: the target, unless that
 * is in requests a second and the hard limit lets fewer through.  A target that cannot be reached
 * would ask for ever fewer instances. */
static double
full_load(const struct scaling *s, const struct decide_view *v, double total)
{
	return s->metric == METRIC_RPS ? pace_of(s, v, total) : total;
}

static void
by_averages(const struct scaling *s, const struct decide_view *v, struct decide_state *st,
	    int64_t now, double total, struct decide_out *o)
{
	double ready = MAX(v->ready, 1u), asked = asked_of(v, st);
	double full = full_load(s, v, total), each = MAX(full * s->target_utilization / 100, 0.01);
	double stable = v->has_stable ? ceil(v->stable / each + v->renewals) : 0;
	double panic = v->has_panic ? ceil(v->panic / each + v->panic_renewals) : 0;
	double want = stable;

	o->raw = count_of(stable);
	note_panic(s, st, panic / ready, panic <= stable, now);
	o->is_panicking = st->is_panicking;
	if (st->is_panicking)
		want = MAX(stable, panic);
	set(o, count_of(want), st->is_panicking ? DECIDE_PANIC : DECIDE_STABLE);
	at_most(o, count_of(ceil(s->max_scale_up_rate * ready)), DECIDE_UP_RATE);
	at_most(o, count_of(MAX(asked, forecast(s, v, total, o->target) + v->renewals)),
		DECIDE_FADING);
	at_least(o, count_of(MIN(asked, round(v->newest / full))), DECIDE_RISING);
	at_least(o, count_of(floor(MIN(ready, asked) / s->max_scale_down_rate)), DECIDE_DOWN_RATE);
	keep_panic(s, st, stable, now, o);
}

/* --- up --- */

/* Begin no more starts than are worth it at once; each instance that is ready lets others follow.
 * Until then requests may be answered that they would have been started for.  So a panic, too,
 * remembers no more than were begun. */
static void
by_starts(const struct decide_view *v, struct decide_state *st, struct decide_out *o)
{
	double asked = asked_of(v, st);
	uint32_t worth;

	if (v->starts_trusted == 0 || o->wanted <= MAX(asked, v->ready))
		return;
	worth = starts_worth(&v->starts, o->wanted - v->ready, v->starts_trusted);
	worth -= MIN(v->starting_elsewhere, worth - 1);
	at_most(o, count_of(MAX(asked, (double)v->ready + worth)), DECIDE_STARTS);
	if (o->rule == DECIDE_STARTS)
		st->panic_most = MIN(st->panic_most, o->wanted);
}

/* --- down --- */

/* How long a lower number must have been wanted before it counts: scale_down_delay, and as
 * long as it would take to start what is stopped, but no longer than a panic window, after
 * which a panic would begin anyway.  Where learned idleness lets the last instance go, it has
 * weighed the start already. */
static int64_t
delay_of(const struct scaling *s, const struct decide_view *v, bool is_learned_zero)
{
	double panic_ns = (double)s->stable_window * s->panic_window_percentage / 100;

	if (is_learned_zero)
		return s->scale_down_delay;
	return MAX(s->scale_down_delay, (int64_t)MIN(v->start_s * CLK_S, panic_ns));
}

/* The number that was guessed while no response time was known does not delay a lower one once
 * one is known and the requests of then are answered. */
static void
drop_guess(const struct decide_view *v, struct decide_state *st)
{
	if (!st->is_guess || v->latency_s < 0 || v->parked > 0)
		return;
	st->is_guess = false;
	if (st->recent_n > 0 && st->recent[0].wanted <= UNKNOWN_MOST)
		st->recent_n = 0;
}

/* The highest number that was wanted within the last `delay`. */
static void
delay_down(int64_t delay, struct decide_state *st, int64_t now, struct decide_out *o)
{
	size_t past = 0;

	while (st->recent_n > 0 && st->recent[st->recent_n - 1].wanted <= o->wanted)
		st->recent_n--;
	if (st->recent_n == RECENT_MOST) /* full: the lowest stands for the new one */
		st->recent[RECENT_MOST - 1].at_ns = now;
	else
		st->recent[st->recent_n++] = (struct recent){o->wanted, now};
	while (now - st->recent[past].at_ns >= delay && past < st->recent_n - 1)
		past++;
	memmove(st->recent, st->recent + past, (st->recent_n - past) * sizeof *st->recent);
	st->recent_n -= past;
	at_least(o, st->recent[0].wanted, DECIDE_DOWN_DELAY);
}

/* Does learned idleness keep an instance, or start one? */
static bool
is_learned_kept(const struct decide_view *v)
{
	return v->is_learned_prewarm || v->idle_s < v->learned_keep_s;
}

/* Learned idleness wants none: several instances go at once, whatever the stable window still
 * averages. */
static bool
may_release_all(const struct scaling *s, const struct decide_view *v)
{
	return s->enable_scale_to_zero && v->busy_lease_s <= 0 && v->awaited_s <= 0 &&
	       !is_learned_kept(v);
}

/* No request is in flight or parked: may the last instance be stopped?  The stable window must
 * be empty and the grace over, both counted from the last request.  In Knative the grace comes
 * after the window, since the route has to be switched to the activator first.  Our activator
 * is always in the path, as Knative's with target-burst-capacity -1, where the grace is over
 * before it begins (knative.md 2.7).  So the grace only counts if it is longer than the window.
 * Retention counts from the empty window, as in Knative.  What was learned of idleness takes
 * the place of all three: it may be less than the stable window, or nothing. */
static void
to_zero(const struct scaling *s, const struct decide_view *v, struct decide_out *o)
{
	double window = (double)s->stable_window / CLK_S, keep = (double)s->retention / CLK_S;
	bool is_learned = v->learned_keep_s >= 0;

	if (v->stable > 0 && !is_learned)
		return;
	if (o->wanted > 1 && !(is_learned && may_release_all(s, v)))
		return;
	set(o, 1, DECIDE_IDLE);
	if (!s->enable_scale_to_zero)
		o->rule = DECIDE_ZERO_DISABLED;
	else if (v->busy_lease_s > 0)
		o->rule = DECIDE_BUSY_LEASE;
	else if (v->awaited_s > 0)
		o->rule = DECIDE_AWAITED;
	else if (is_learned && is_learned_kept(v))
		o->rule = DECIDE_LEARNED;
	else if (!is_learned && v->idle_s < (double)s->scale_to_zero_grace / CLK_S)
		o->rule = DECIDE_GRACE;
	else if (!is_learned && keep > 0 && v->idle_s < window + keep)
		o->rule = DECIDE_RETENTION;
	else
		set(o, 0, is_learned ? DECIDE_RELEASED : DECIDE_IDLE);
}

/* --- bounds --- */

static void
bounds(const struct scaling *s, const struct decide_view *v, struct decide_state *st,
       struct decide_out *o)
{
	if (o->wanted > 0)
		at_least(o, s->activation_scale, DECIDE_ACTIVATION_SCALE);
	if (!st->was_initial && s->initial_scale > 0) {
		at_least(o, s->initial_scale, DECIDE_INITIAL_SCALE);
		st->was_initial = v->ready >= s->initial_scale;
	}
	if (v->is_learned_prewarm)
		at_least(o, 1, DECIDE_LEARNED);
	at_least(o, v->schedule_min, DECIDE_SCHEDULE);
	at_least(o, s->min_scale, DECIDE_MIN_SCALE);
	if (s->max_scale > 0)
		at_most(o, s->max_scale, DECIDE_MAX_SCALE);
}

/* No activator has reported: the number stays, unless a bound of the settings is higher. */
static void
without_data(const struct scaling *s, const struct decide_view *v, struct decide_state *st,
	     struct decide_out *o)
{
	set(o, v->scale, DECIDE_NO_DATA);
	bounds(s, v, st, o);
	o->is_known = o->wanted > v->scale;
}

/* No request is left, and no instance: start nothing for requests that are over.  An instance
 * that has answered and that the platform is about to replace still counts. */
static bool
is_over(const struct decide_view *v, const struct decide_state *st)
{
	if (is_in_use(v) || live_of(v) > 0)
		return false;
	return !v->is_replacing || v->scale == 0 || !st->was_ready;
}

/* What the next decision has to know of this one. */
static void
note(const struct decide_view *v, const struct decide_out *o, struct decide_state *st)
{
	st->has_wanted = true;
	st->wanted = o->wanted;
	st->was_ready = (st->was_ready && o->wanted > 0) || v->ready > 0;
}

/* In this order, where a later step may change the number of an earlier one: the averages; more
 * for parked requests; the least for requests that there are; whether the last instance of an
 * idle revision goes; what is worth keeping beyond that; how many starts at once are worth it; the
 * delay of a lower number; what was adopted after a restart; the bounds of the settings. */
struct decide_out
decide(const struct scaling *s, const struct decide_view *v, struct decide_state *st, int64_t now)
{
	double total = decide_total(s, v->container_concurrency, v->target_override);
	struct decide_out o = {.is_known = true,
			       .total = total,
			       .target = MAX(total * s->target_utilization / 100, 0.01)};

	if (!v->has_stable && !is_in_use(v)) {
		without_data(s, v, st, &o);
		o.needed = o.wanted;
		return o;
	}
	by_averages(s, v, st, now, total, &o);
	if (v->parked > 0 || v->is_activation_pending) {
		by_backlog(s, v, st, total, &o);
		at_least(&o, asked_of(v, st), DECIDE_WAITED_FOR);
	}
	if (is_in_use(v))
		at_least(&o, 1, DECIDE_IN_USE);
	if (!v->has_stable)
		at_least(&o, asked_of(v, st), DECIDE_NO_DATA);
	if (!is_in_use(v))
		to_zero(s, v, &o);
	o.needed = o.wanted;
	at_least(&o, MIN(asked_of(v, st), v->learned_surplus), DECIDE_SURPLUS);
	by_starts(v, st, &o);
	drop_guess(v, st);
	delay_down(delay_of(s, v, o.wanted == 0 && v->learned_keep_s >= 0), st, now, &o);
	if (is_over(v, st)) {
		set(&o, 0, DECIDE_IDLE);
		st->recent_n = 0;
	}
	if (v->has_just_started)
		at_least(&o, MIN(asked_of(v, st), v->adopted), DECIDE_RESTARTED);
	bounds(s, v, st, &o);
	note(v, &o, st);
	return o;
}
