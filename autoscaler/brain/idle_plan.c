#include "autoscaler/brain/idle_plan.h"

#include <math.h>
#include <stdlib.h>

/* Decisions are made each second: an instance that was started for a span costs so much more
 * until it is stopped, … */
#define STOP_S 1.0
#define ROUND_S 0.5 /* … and its start begins with the nearest decision. */

/* What it costs that the first request after an idle time waits for wait_s.  Those that follow
 * it come evenly, and wait for the rest. */
static double
cost_of_wait(const struct idle_price *price, double wait_s)
{
	double followers = price->start_s > 0 ? price->followers * wait_s / price->start_s : 0;

	return price->wait_cost * wait_s * (1 + followers / 2);
}

double
idle_plan_miss(const struct idle_price *price)
{
	return price->start_s + cost_of_wait(price, price->start_s);
}

double
idle_plan_cost(const struct idle_plan *p, const struct idle_price *price, double idle_s)
{
	double start_s = price->start_s, cost = 0;
	uint32_t k;

	for (k = 0; k < p->n; k++) {
		double from = p->spans[k].from_s, upto = p->spans[k].upto_s;

		if (from > 0 && idle_s < from - start_s)
			break;
		if (from > 0)
			cost += start_s;
		if (idle_s < from) /* it is starting */
			return cost + cost_of_wait(price, from - idle_s);
		if (idle_s < upto)
			return cost + idle_s - from;
		cost += upto - from;
	}
	return cost + idle_plan_miss(price);
}

bool
idle_plan_is_warm(const struct idle_plan *p, const struct idle_price *price, double idle_s)
{
	uint32_t k;

	for (k = 0; k < p->n; k++) {
		double from = p->spans[k].from_s;

		if (from > 0)
			from -= price->start_s + ROUND_S;
		if (idle_s >= from && idle_s < p->spans[k].upto_s)
			return true;
	}
	return false;
}

double
idle_plan_stay_s(const struct idle_plan *p)
{
	return p->n > 0 && p->spans[0].from_s <= 0 ? p->spans[0].upto_s : 0;
}

/* --- the best plan ---
 *
 * The steps in order cut time into intervals.  In each of them an instance is ready or not, which
 * is decided by dynamic programming: to be ready costs the interval's length for all idle times
 * that last longer; not to be costs a start and its wait for those that end there; to become
 * ready costs a start for all that last until it begins, and the rest of it for those that end
 * meanwhile. */

static int
compare_steps(const void *a, const void *b)
{
	const struct idle_step *x = a, *y = b;

	return (x->idle_s > y->idle_s) - (x->idle_s < y->idle_s);
}

/* Interval i ends with step i.  The cheapest way to its end: */
struct interval {
	/* with an instance ready in it, and without one */
	double on, off;
	/* before `on`: ready in interval i - 1, too; else a start began at the end of interval
	 * start_at, and of interval 0 if that is -1 */
	bool was_on;
	int start_at;
	bool was_on_before_off;
	/* idle times that do not end before its end, and of the others how many, and their sum */
	double left, ended, sum;
};

/* Go back from the end along the cheapest way: which intervals have an instance ready? */
static void
trace_back(const struct interval *c, int n, bool *on)
{
	bool is_on = n > 0 && c[n - 1].on < c[n - 1].off;
	int i;

	for (i = n - 1; i >= 0;) {
		on[i] = is_on;
		if (!is_on) {
			is_on = c[i--].was_on_before_off;
		} else if (c[i].was_on) {
			i--;
		} else {
			i = c[i].start_at;
			is_on = false;
		}
	}
}

/* False: there is no room for one more. */
static bool
add_span(struct idle_plan *p, double from_s, double upto_s)
{
	if (p->n == IDLE_PLAN_SPANS)
		return false;
	p->spans[p->n].from_s = (float)from_s;
	p->spans[p->n].upto_s = (float)upto_s;
	p->n++;
	return true;
}

/* The spans of the cheapest way.  False: they are too many. */
static bool
make_spans(const struct idle_step *v, const struct interval *c, int n, double least_s,
	   struct idle_plan *p)
{
	bool on[IDLE_STEPS_MOST] = {false};
	int i, from;

	p->n = 0;
	trace_back(c, n, on);
	if (least_s > 0 && (n == 0 || !on[0]))
		(void)add_span(p, 0, least_s);
	for (i = 0; i < n; i++) {
		if (!on[i])
			continue;
		for (from = i; i + 1 < n && on[i + 1];)
			i++;
		if (!add_span(p, from == 0 ? 0 : v[from - 1].idle_s,
			      from == 0 ? MAX(v[i].idle_s, least_s) : v[i].idle_s))
			return false;
	}
	return true;
}

/* The share of idle times that end in the interval before step i; the density there is given. */
static double
ending(const struct idle_step *v, size_t i, double density)
{
	return MAX(density, 0) * (v[i].idle_s - (i == 0 ? 0 : v[i - 1].idle_s));
}

static double
total(const struct idle_step *v, size_t n)
{
	double density = 0, sum = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		sum += ending(v, i, density);
		density += v[i].change;
	}
	return sum;
}

/* What it costs at least to be ready from the end of interval i - 1 on, by a start.  *at is the
 * first interval at whose end that can begin. */
static double
by_start(const struct idle_step *v, const struct interval *c, int i, double all, int *at,
	 const struct idle_price *price, double penalty)
{
	double ready_s = v[i - 1].idle_s, off = 0, left = all, ended = c[i - 1].ended,
	       sum = c[i - 1].sum;

	while (*at < i - 1 && (*at < 0 ? 0 : v[*at].idle_s) < ready_s - price->start_s)
		++*at;
	if (*at < 0 && price->least_s > 0) /* the instance is there already */
		return INFINITY;
	if (*at >= 0) {
		off = c[*at].off;
		left = c[*at].left;
		ended -= c[*at].ended;
		sum -= c[*at].sum;
	}
	return off + penalty + (price->start_s + STOP_S) * left +
	       price->wait_cost * (1 + price->followers / 2) * (ready_s * ended - sum);
}

/* penalty: what each span costs in addition. */
static void
find_cheapest(const struct idle_step *v, int n, const struct idle_price *price, double all,
	      double penalty, struct interval *c)
{
	double missed = idle_plan_miss(price), density = 0;
	struct interval before = {.left = all};
	int i, at = -1;

	for (i = 0; i < n; i++) {
		double end = MIN(ending(v, (size_t)i, density), before.left);
		double begin_s = i == 0 ? 0 : v[i - 1].idle_s;
		double begin = i == 0 ? INFINITY : by_start(v, c, i, all, &at, price, penalty);

		c[i].was_on = before.on <= begin;
		c[i].start_at = at;
		c[i].was_on_before_off = before.on < before.off;
		c[i].on = MIN(before.on, begin) + (v[i].idle_s - begin_s) * (before.left - end / 2);
		c[i].off = v[i].idle_s <= price->least_s
				   ? INFINITY
				   : MIN(before.on, before.off) + missed * end;
		c[i].left = before.left - end;
		c[i].ended = before.ended + end;
		c[i].sum = before.sum + end * (v[i].idle_s + begin_s) / 2;
		density += v[i].change;
		before = c[i];
	}
}

struct idle_plan
idle_plan_best(struct idle_step *v, size_t n, const struct idle_price *price)
{
	struct interval c[IDLE_STEPS_MOST];
	struct idle_plan p;
	double all, penalty = 0;

	CHECK(n <= IDLE_STEPS_MOST);
	qsort(v, n, sizeof *v, compare_steps);
	all = total(v, n);
	find_cheapest(v, (int)n, price, all, penalty, c);
	/* Too many spans: let each cost more, until the least useful ones are gone. */
	while (!make_spans(v, c, (int)n, price->least_s, &p)) {
		penalty = MAX(2 * penalty, (all + 1e-6) * (price->start_s + STOP_S) / 100);
		find_cheapest(v, (int)n, price, all, penalty, c);
	}
	return p;
}
