#include "autoscaler/simulate/sim_hindsight.h"

#include <math.h>
#include <stdlib.h>

#include "autoscaler/simulate/sim_trace.h"
#include "common/clk.h"

#define DAY_S 86400.0
#define JUST_S 0.001	/* traces have milliseconds */
#define CANDIDATES 300u /* of each of the two times of a policy */

/* An idle time of one instance.  idle_s INFINITY: it had never been used before. */
struct gap {
	double idle_s;
	double wait_s; /* how long requests would wait in all if it started only at its end */
	size_t day;    /* that it ends on */
};

/* The k-th instance. */
struct level {
	bool is_used;
	double since_s; /* is_used: since when; else: until when it was */
	size_t gap;	/* the one before its use */
};

struct sim_hindsight {
	double start_s;
	size_t from_day;
	struct gap *gaps;
	size_t gaps_n, gaps_cap;
	double *busy_s; /* of all instances, on each day */
	size_t days_n;
};

/* --- from the trace to idle times --- */

struct use_reader {
	struct sim_hindsight *h;
	double capacity;
	struct level *levels;
	size_t levels_n;
	double *ends; /* a heap: when those in progress end */
	size_t ends_n, ends_cap;
};

static void
push_end(struct use_reader *r, double end_s)
{
	size_t i = r->ends_n++;

	if (i == r->ends_cap) {
		r->ends_cap = MAX(2 * r->ends_cap, (size_t)64);
		r->ends = xrealloc(r->ends, r->ends_cap * sizeof *r->ends);
	}
	for (; i > 0 && r->ends[(i - 1) / 2] > end_s; i = (i - 1) / 2)
		r->ends[i] = r->ends[(i - 1) / 2];
	r->ends[i] = end_s;
}

static double
pop_end(struct use_reader *r)
{
	double first = r->ends[0], last = r->ends[--r->ends_n];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < r->ends_n) {
		child += child + 1 < r->ends_n && r->ends[child + 1] < r->ends[child];
		if (r->ends[child] >= last)
			break;
		r->ends[i] = r->ends[child];
		i = child;
	}
	r->ends[i] = last;
	return first;
}

static void
add_busy(struct sim_hindsight *h, double from_s, double upto_s)
{
	while (from_s < upto_s) {
		size_t day = (size_t)(from_s / DAY_S);
		double end_s = MIN(upto_s, (double)(day + 1) * DAY_S);

		for (; h->days_n <= day; h->days_n++) {
			h->busy_s = xrealloc(h->busy_s, (h->days_n + 1) * sizeof *h->busy_s);
			h->busy_s[h->days_n] = 0;
		}
		h->busy_s[day] += end_s - from_s;
		from_s = end_s;
	}
}

/* Instances in use by so many requests. */
static size_t
used_by(const struct use_reader *r, size_t requests)
{
	return (size_t)ceil((double)requests / r->capacity);
}

static void
end_until(struct use_reader *r, double at_s)
{
	while (r->ends_n > 0 && r->ends[0] <= at_s) {
		double end_s = pop_end(r);
		size_t k = used_by(r, r->ends_n);

		if (used_by(r, r->ends_n + 1) == k)
			continue;
		add_busy(r->h, r->levels[k].since_s, end_s);
		r->levels[k] = (struct level){.since_s = end_s};
	}
}

static void
begin_use(struct use_reader *r, size_t k, double at_s)
{
	struct sim_hindsight *h = r->h;
	double idle_s = INFINITY;

	if (k == r->levels_n) {
		r->levels = xrealloc(r->levels, (k + 1) * sizeof *r->levels);
		r->levels[r->levels_n++] = (struct level){.is_used = false};
	} else {
		idle_s = at_s - r->levels[k].since_s;
	}
	if (h->gaps_n == h->gaps_cap) {
		h->gaps_cap = MAX(2 * h->gaps_cap, (size_t)1024);
		h->gaps = xrealloc(h->gaps, h->gaps_cap * sizeof *h->gaps);
	}
	r->levels[k] = (struct level){.is_used = true, .since_s = at_s, .gap = h->gaps_n};
	h->gaps[h->gaps_n++] = (struct gap){.idle_s = idle_s, .day = (size_t)(at_s / DAY_S)};
}

static void
arrive(struct use_reader *r, double at_s, double takes_s)
{
	struct level *level;
	size_t k;

	end_until(r, at_s);
	push_end(r, at_s + takes_s);
	k = used_by(r, r->ends_n) - 1;
	if (k == r->levels_n || !r->levels[k].is_used)
		begin_use(r, k, at_s);
	level = &r->levels[k];
	r->h->gaps[level->gap].wait_s += MAX(level->since_s + r->h->start_s - at_s, 0);
}

static int
compare_gaps(const void *a, const void *b)
{
	const struct gap *x = a, *y = b;

	return (x->idle_s > y->idle_s) - (x->idle_s < y->idle_s);
}

struct sim_hindsight *
sim_hindsight_open(const char *trace, double capacity, double start_s, size_t from_day,
		   struct err *e)
{
	struct sim_trace *t = sim_trace_open(trace, e);
	struct sim_hindsight *h;
	struct sim_request request;
	struct use_reader r = {.capacity = MAX(floor(capacity), 1)};
	int rc;

	if (t == NULL)
		return NULL;
	r.h = h = xcalloc(1, sizeof *h);
	h->start_s = start_s;
	h->from_day = from_day;
	while ((rc = sim_trace_next(t, &request, e)) > 0)
		arrive(&r, (double)request.at_ns / CLK_S, (double)request.work_ns / CLK_S);
	end_until(&r, INFINITY);
	sim_trace_close(&t);
	free(r.levels);
	free(r.ends);
	if (rc < 0)
		sim_hindsight_close(&h);
	else if (h->gaps_n > 0)
		qsort(h->gaps, h->gaps_n, sizeof *h->gaps, compare_gaps);
	return h;
}

void
sim_hindsight_close(struct sim_hindsight **hp)
{
	struct sim_hindsight *h = *hp;

	*hp = NULL;
	if (h == NULL)
		return;
	free(h->gaps);
	free(h->busy_s);
	free(h);
}

size_t
sim_hindsight_days_n(const struct sim_hindsight *h)
{
	return h->days_n;
}

/* --- what a policy costs --- */

static struct sim_amount
cost_of_gap(const struct sim_hindsight *h, const struct gap *g, const struct sim_policy *p)
{
	struct sim_amount missed = {h->start_s, g->wait_s};

	if (isinf(g->idle_s))
		return missed;
	if (p == NULL)
		return (struct sim_amount){MIN(g->idle_s, h->start_s), 0};
	if (g->idle_s < p->back_after_s)
		return missed;
	if (p->back_after_s > 0)
		missed.instance_s += h->start_s;
	if (g->idle_s > p->kept_s) {
		missed.instance_s += p->kept_s - p->back_after_s;
		return missed;
	}
	missed.instance_s += g->idle_s - p->back_after_s - h->start_s;
	missed.waited_s = 0;
	return missed;
}

void
sim_hindsight_days(const struct sim_hindsight *h, const struct sim_policy *p,
		   struct sim_amount *days, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		days[i] = (struct sim_amount){i < h->days_n ? h->busy_s[i] : 0, 0};
	for (i = 0; i < h->gaps_n; i++) {
		struct sim_amount cost = cost_of_gap(h, &h->gaps[i], p);

		if (h->gaps[i].day >= n)
			continue;
		days[h->gaps[i].day].instance_s += cost.instance_s;
		days[h->gaps[i].day].waited_s += cost.waited_s;
	}
}

/* Sums over the idle times that count, the shortest first: over the first i of them. */
struct sums {
	double *idle_s, *wait_s, *v; /* v: the idle times themselves */
	size_t n;
};

static struct sums
sum_up(const struct sim_hindsight *h)
{
	struct sums s = {.n = 0};
	size_t i;

	s.v = xcalloc(h->gaps_n + 1, sizeof *s.v);
	s.idle_s = xcalloc(h->gaps_n + 1, sizeof *s.idle_s);
	s.wait_s = xcalloc(h->gaps_n + 1, sizeof *s.wait_s);
	for (i = 0; i < h->gaps_n && !isinf(h->gaps[i].idle_s); i++) {
		if (h->gaps[i].day < h->from_day)
			continue;
		s.v[s.n] = h->gaps[i].idle_s;
		s.idle_s[s.n + 1] = s.idle_s[s.n] + h->gaps[i].idle_s;
		s.wait_s[s.n + 1] = s.wait_s[s.n] + h->gaps[i].wait_s;
		s.n++;
	}
	return s;
}

/* What the idle times cost if the instance is back just before the low-th of them, and stays just
 * beyond the one before the high-th; low == high: it is released at once. */
static double
cost_between(const struct sums *s, size_t low, size_t high, bool is_back, double start_s,
	     double wait_cost)
{
	double missed = (double)(s->n - (high - low)), met = (double)(high - low);
	double waited = s->wait_s[s->n] - (s->wait_s[high] - s->wait_s[low]);
	double from_s = is_back ? MAX(s->v[low] - JUST_S, 0) : 0, cost;

	if (low == high)
		return (double)s->n * start_s + wait_cost * s->wait_s[s->n];
	cost = s->idle_s[high] - s->idle_s[low] - met * from_s + missed * start_s;
	cost += (double)(s->n - high) * (s->v[high - 1] + JUST_S - from_s);
	if (is_back)
		cost += (double)(s->n - low) * start_s;
	return cost + wait_cost * waited;
}

static struct sim_policy
best_between(const struct sums *s, double start_s, double wait_cost)
{
	struct sim_policy p = {0, 0};
	double best = cost_between(s, 0, 0, false, start_s, wait_cost);
	size_t step = s->n / CANDIDATES + 1, low, high;
	int is_back;

	for (low = 0; low < s->n; low += step)
		for (high = s->n; high > low; high -= MIN(step, high))
			for (is_back = 0; is_back <= (low > 0 || s->v[0] > start_s); is_back++) {
				double cost;

				if (low > 0 && !is_back)
					continue;
				cost = cost_between(s, low, high, is_back, start_s, wait_cost);
				if (cost >= best)
					continue;
				best = cost;
				p.back_after_s = is_back ? MAX(s->v[low] - JUST_S, 0) : 0;
				p.kept_s = s->v[high - 1] + JUST_S;
			}
	return p;
}

struct sim_policy
sim_hindsight_best(const struct sim_hindsight *h, double wait_cost)
{
	struct sums s = sum_up(h);
	struct sim_policy p = best_between(&s, h->start_s, wait_cost);

	free(s.v);
	free(s.idle_s);
	free(s.wait_s);
	return p;
}
