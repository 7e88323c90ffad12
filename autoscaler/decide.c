#include "autoscaler/decide.h"

#include <math.h>
#include <stdlib.h>

#include "common/clk.h"

#define UNKNOWN_MOST 3u /* instances started while nothing is known of a revision */

/* scale_down_delay: the wishes of the last so many steps, as maxima. */
#define DELAY_SLOTS 64

struct decide_state {
	bool is_panicking, was_initial;
	int64_t panic_ns;  /* the last instant over the threshold */
	double panic_most; /* wanted most in this panic */
	int64_t idle_ns;   /* since when nothing is asked; 0: something is */
	uint32_t delay[DELAY_SLOTS];
	int64_t delay_slot[DELAY_SLOTS]; /* which step each is of */
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

/* What one instance is for: config of knative.md 2.4, `total`. */
static double
total_of(const struct scaling *s, const struct decide_view *v)
{
	double total = s->metric == METRIC_RPS ? 200 : 100;

	if (v->target_override > 0)
		total = v->target_override;
	else if (s->target > 0)
		total = s->target;
	else if (s->metric != METRIC_RPS && v->container_concurrency > 0)
		total = v->container_concurrency;
	if (s->metric != METRIC_RPS && v->container_concurrency > 0)
		total = MIN(total, v->container_concurrency);
	return total;
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

/* Parked requests, while nothing answers: as many instances as clear them in about one
 * start-up time (Little: one instance clears target x start / latency in it), never more
 * than backlog / target.  While nothing is known, at most UNKNOWN_MOST. */
static uint32_t
backlog(const struct decide_view *v, double total, enum decide_rule *rule)
{
	double most = ceil(MAX(v->parked, 1u) / total), n;

	if (v->latency_s < 0 || v->start_s < 0) {
		*rule = DECIDE_ACTIVATION;
		return (uint32_t)MIN(most, UNKNOWN_MOST);
	}
	*rule = DECIDE_BACKLOG;
	n = ceil(v->parked * v->latency_s / (total * MAX(v->start_s, 0.001)));
	return (uint32_t)MAX(MIN(n, most), 1);
}

/* The averages, with panic as in knative.md 2.4 (panic_hold: to the letter).  Else a panic
 * ends when the stable window wants as much as the panic window; not when the ratio falls
 * below the threshold, which the instances that it brought see to at once: they would go
 * and come each second.  Nothing is taken away in a panic. */
static void
by_averages(const struct scaling *s, const struct decide_view *v, struct decide_state *st,
	    int64_t now, struct decide_out *o)
{
	uint32_t ready = MAX(v->ready, 1u);
	double up = ceil(s->max_scale_up_rate * ready);
	double down = floor(ready / s->max_scale_down_rate);
	double stable = v->has_stable ? ceil(v->stable / o->target) : 0;
	double panic = v->has_panic ? ceil(v->panic / o->target) : 0;
	bool is_urgent = panic / ready >= s->panic_threshold_percentage / 100;
	bool is_over = s->panic_hold ? st->panic_ns + s->stable_window < now : panic <= stable;

	o->raw = (uint32_t)MIN(stable, UINT32_MAX);
	if (is_urgent) {
		st->panic_most = st->is_panicking ? st->panic_most : 0;
		st->is_panicking = true;
		st->panic_ns = now;
	} else if (is_over) {
		st->is_panicking = false;
	}
	o->is_panicking = st->is_panicking;
	if (st->is_panicking) {
		double want = MIN(MAX(stable, panic), up);

		st->panic_most = MAX(st->panic_most, want);
		set(o, (uint32_t)st->panic_most, DECIDE_PANIC);
		if (want < MAX(stable, panic))
			o->rule = DECIDE_UP_RATE;
		return;
	}
	set(o, (uint32_t)stable, DECIDE_STABLE);
	at_most(o, (uint32_t)MIN(up, UINT32_MAX), DECIDE_UP_RATE);
	at_least(o, (uint32_t)down, DECIDE_DOWN_RATE);
}

/* The highest wish of the last scale_down_delay. */
static void
delay_down(const struct scaling *s, struct decide_state *st, int64_t now, struct decide_out *o)
{
	int64_t step = MAX(s->scale_down_delay / (DELAY_SLOTS - 1), CLK_MS), slot = now / step;
	uint32_t *own = &st->delay[slot % DELAY_SLOTS];
	int i;

	if (s->scale_down_delay <= 0)
		return;
	if (st->delay_slot[slot % DELAY_SLOTS] != slot)
		*own = 0;
	st->delay_slot[slot % DELAY_SLOTS] = slot;
	*own = MAX(*own, o->wanted);
	for (i = 0; i < DELAY_SLOTS; i++)
		if (st->delay_slot[i] > slot - DELAY_SLOTS)
			at_least(o, st->delay[i], DECIDE_DOWN_DELAY);
}

/* Before the last instance goes. */
static void
keep_last(const struct scaling *s, const struct decide_view *v, struct decide_state *st,
	  int64_t now, struct decide_out *o)
{
	int64_t idle = st->idle_ns == 0 ? 0 : now - st->idle_ns;
	int64_t window = v->learned_keep_s >= 0 ? (int64_t)(v->learned_keep_s * 1e9)
						: s->scale_to_zero_grace;

	if (o->wanted > 0 || v->ready + v->starting == 0)
		return;
	if (!s->enable_scale_to_zero)
		set(o, 1, DECIDE_ZERO_DISABLED);
	else if (v->busy_lease_s > 0)
		set(o, 1, DECIDE_BUSY_LEASE);
	else if (idle < window)
		set(o, 1, v->learned_keep_s >= 0 ? DECIDE_LEARNED : DECIDE_GRACE);
	else if (idle < s->retention)
		set(o, 1, DECIDE_RETENTION);
	else
		o->rule = DECIDE_IDLE;
}

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

struct decide_out
decide(const struct scaling *s, const struct decide_view *v, struct decide_state *st, int64_t now)
{
	double total = total_of(s, v);
	struct decide_out o = {.is_known = true,
			       .rule = DECIDE_NO_DATA,
			       .target = MAX(total * s->target_utilization / 100, 0.01)};
	uint32_t has = v->ready + v->starting;
	bool is_waiting = v->parked > 0 || v->is_asked;

	if (v->ready == 0 && is_waiting) {
		/* Averages are full of waiting here: what is parked says what is needed. */
		enum decide_rule rule;
		uint32_t n = backlog(v, total, &rule);

		st->idle_ns = 0;
		set(&o, MAX(n, v->starting), rule);
	} else if (!v->has_stable && v->in_flight == 0) {
		o.wanted = has;
		o.is_known = false;
		if (s->min_scale > has || v->schedule_min > has || v->is_learned_prewarm ||
		    (!st->was_initial && s->initial_scale > has))
			o.is_known = true;
	} else {
		by_averages(s, v, st, now, &o);
		if (v->in_flight + v->parked > 0)
			at_least(&o, 1, DECIDE_STABLE);
		if (o.wanted > 0 && (v->stable > 0 || v->in_flight + v->parked > 0))
			st->idle_ns = 0;
		else if (st->idle_ns == 0)
			st->idle_ns = now;
		if (v->stable <= 0 && v->in_flight + v->parked == 0 && o.wanted <= 1)
			o.wanted = 0;
		delay_down(s, st, now, &o);
		keep_last(s, v, st, now, &o);
		if (v->is_restarting)
			at_least(&o, has, DECIDE_RESTARTED);
	}
	bounds(s, v, st, &o);
	return o;
}
