#include "autoscaler/simulate/sim_hindsight.h"

#include <math.h>
#include <stdlib.h>

#include "autoscaler/simulate/sim_trace.h"
#include "common/clk.h"

#define DAY (86400 * CLK_S)
#define JUST_S 0.001	/* traces have milliseconds */
#define LONG_S 1e9	/* longer than any trace */
#define CANDIDATES 300u /* of each of the two times of a policy, before the refinement */
#define PLAYED 16u	/* of the candidates that look best */

/* A time during which one instance is in use, if no request waits for a start. */
struct use {
	int64_t begin_ns, end_ns;
	int64_t work_ns, longest_ns; /* of the requests that began in it: sum and maximum */
	uint64_t wait_ns; /* how long requests would wait in all if it started only at begin_ns */
};

/* The k-th instance. */
struct level {
	struct use *v; /* in the order of time, with idle times between them */
	size_t n, cap;
	bool is_used;
	/* Requests of this level, for wait_ns.  Both sums may wrap; their differences are right. */
	uint64_t begun, begun_sum_ns;
	size_t summed; /* uses whose wait_ns is complete */
};

/* An idle time between two uses of one instance. */
struct gap {
	double idle_s;
	double wait_s; /* if the instance is not there at its end */
};

struct sim_hindsight {
	double capacity;
	int64_t start_ns;
	size_t from_day;
	struct level *levels;
	size_t levels_n;
	struct gap *gaps; /* those that count, the shortest first */
	size_t gaps_n;
	double *lined_s; /* on each day: the waiting for other requests, at the most instances */
	size_t days_n;
};

/* --- from the trace to uses --- */

struct use_reader {
	struct sim_hindsight *h;
	size_t requests_most; /* at once */
	int64_t now_ns;
	int64_t *ends; /* a heap: when those in progress end */
	size_t ends_n, ends_cap;
};

static void
push_end(struct use_reader *r, int64_t end_ns)
{
	size_t i = r->ends_n++;

	if (i == r->ends_cap) {
		r->ends_cap = MAX(2 * r->ends_cap, (size_t)64);
		r->ends = xrealloc(r->ends, r->ends_cap * sizeof *r->ends);
	}
	for (; i > 0 && r->ends[(i - 1) / 2] > end_ns; i = (i - 1) / 2)
		r->ends[i] = r->ends[(i - 1) / 2];
	r->ends[i] = end_ns;
}

static int64_t
pop_end(struct use_reader *r)
{
	int64_t first = r->ends[0], last = r->ends[--r->ends_n];
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

static size_t
day_of(int64_t at_ns)
{
	return (size_t)(at_ns / DAY);
}

static void
add_days(struct sim_hindsight *h, size_t day)
{
	for (; h->days_n <= day; h->days_n++) {
		h->lined_s = xrealloc(h->lined_s, (h->days_n + 1) * sizeof *h->lined_s);
		h->lined_s[h->days_n] = 0;
	}
}

/* Instances in use by so many requests. */
static size_t
used_by(const struct use_reader *r, size_t requests)
{
	return (size_t)ceil((double)requests / r->h->capacity);
}

static void
end_until(struct use_reader *r, int64_t at_ns)
{
	while (r->ends_n > 0 && r->ends[0] <= at_ns) {
		int64_t end_ns = pop_end(r);
		size_t k = used_by(r, r->ends_n);
		struct level *l;

		if (used_by(r, r->ends_n + 1) == k)
			continue;
		l = &r->h->levels[k];
		l->v[l->n - 1].end_ns = end_ns;
		l->is_used = false;
		add_days(r->h, day_of(end_ns));
	}
}

/* The sum of ready_ns - at_ns over the requests of the level that have begun. */
static uint64_t
wait_until(const struct level *l, int64_t ready_ns)
{
	return l->begun * (uint64_t)ready_ns - l->begun_sum_ns;
}

/* Complete wait_ns of the uses whose instance would be ready by at_ns. */
static void
sum_waits(const struct sim_hindsight *h, struct level *l, int64_t at_ns)
{
	for (; l->summed < l->n; l->summed++) {
		int64_t ready_ns = l->v[l->summed].begin_ns + h->start_ns;

		if (ready_ns > at_ns)
			break;
		l->v[l->summed].wait_ns += wait_until(l, ready_ns);
	}
}

static void
begin_use(const struct sim_hindsight *h, struct level *l, int64_t at_ns)
{
	l->is_used = true;
	if (l->n > 0 && l->v[l->n - 1].end_ns == at_ns)
		return; /* no idle time: the last one goes on */
	if (l->n == l->cap) {
		l->cap = MAX(2 * l->cap, (size_t)64);
		l->v = xrealloc(l->v, l->cap * sizeof *l->v);
	}
	l->v[l->n++] = (struct use){.begin_ns = at_ns,
				    .end_ns = at_ns,
				    .wait_ns = 0 - wait_until(l, at_ns + h->start_ns)};
}

static struct level *
level_at(struct sim_hindsight *h, size_t k)
{
	if (k == h->levels_n) {
		h->levels = xrealloc(h->levels, (k + 1) * sizeof *h->levels);
		h->levels[h->levels_n++] = (struct level){.n = 0};
	}
	return &h->levels[k];
}

static void
begin_request(struct use_reader *r, int64_t work_ns)
{
	struct level *l;
	struct use *u;

	push_end(r, r->now_ns + work_ns);
	l = level_at(r->h, used_by(r, r->ends_n) - 1);
	sum_waits(r->h, l, r->now_ns);
	if (!l->is_used)
		begin_use(r->h, l, r->now_ns);
	l->begun++;
	l->begun_sum_ns += (uint64_t)r->now_ns;
	u = &l->v[l->n - 1];
	u->work_ns += work_ns;
	u->longest_ns = MAX(u->longest_ns, work_ns);
}

/* At the most instances, requests begin one after the other, in the order in which they came. */
static void
arrive(struct use_reader *r, const struct sim_request *request)
{
	r->now_ns = MAX(r->now_ns, request->at_ns);
	end_until(r, r->now_ns);
	if (r->ends_n >= r->requests_most) {
		r->now_ns = r->ends[0];
		end_until(r, r->now_ns);
	}
	add_days(r->h, day_of(request->at_ns));
	r->h->lined_s[day_of(request->at_ns)] += (double)(r->now_ns - request->at_ns) / CLK_S;
	begin_request(r, request->work_ns);
}

static int
compare_gaps(const void *a, const void *b)
{
	const struct gap *x = a, *y = b;

	return (x->idle_s > y->idle_s) - (x->idle_s < y->idle_s);
}

static void
list_gaps(struct sim_hindsight *h)
{
	size_t n = 0, i, k;

	for (k = 0; k < h->levels_n; k++)
		n += h->levels[k].n;
	h->gaps = xcalloc(n + 1, sizeof *h->gaps);
	for (k = 0; k < h->levels_n; k++)
		for (i = 1; i < h->levels[k].n; i++) {
			const struct use *u = &h->levels[k].v[i];

			if (day_of(u->begin_ns) < h->from_day)
				continue;
			h->gaps[h->gaps_n++] = (struct gap){(double)(u->begin_ns - u[-1].end_ns) /
								    CLK_S,
							    (double)u->wait_ns / CLK_S};
		}
	qsort(h->gaps, h->gaps_n, sizeof *h->gaps, compare_gaps);
}

static int
read_trace(struct use_reader *r, struct sim_trace *t, struct err *e)
{
	struct sim_request request;
	size_t k;
	int rc;

	while ((rc = sim_trace_next(t, &request, e)) > 0)
		arrive(r, &request);
	end_until(r, INT64_MAX);
	for (k = 0; k < r->h->levels_n; k++)
		sum_waits(r->h, &r->h->levels[k], INT64_MAX);
	return rc;
}

struct sim_hindsight *
sim_hindsight_open(const struct sim_hindsight_conf *conf, struct err *e)
{
	struct sim_trace *t = sim_trace_open(conf->trace, e);
	struct sim_hindsight *h;
	struct use_reader r = {.requests_most = SIZE_MAX};
	int rc;

	if (t == NULL)
		return NULL;
	r.h = h = xcalloc(1, sizeof *h);
	h->capacity = MAX(floor(conf->capacity), 1);
	h->start_ns = conf->start_ns;
	h->from_day = conf->from_day;
	if (conf->instances_most > 0)
		r.requests_most = (size_t)(h->capacity * conf->instances_most);
	rc = read_trace(&r, t, e);
	sim_trace_close(&t);
	free(r.ends);
	if (rc < 0)
		sim_hindsight_close(&h);
	else
		list_gaps(h);
	return h;
}

void
sim_hindsight_close(struct sim_hindsight **hp)
{
	struct sim_hindsight *h = *hp;

	*hp = NULL;
	if (h == NULL)
		return;
	for (; h->levels_n > 0; h->levels_n--)
		free(h->levels[h->levels_n - 1].v);
	free(h->levels);
	free(h->gaps);
	free(h->lined_s);
	free(h);
}

size_t
sim_hindsight_days_n(const struct sim_hindsight *h)
{
	return h->days_n;
}

/* --- what a policy costs --- */

/* A policy that is played for one instance. */
struct course {
	const struct sim_hindsight *h;
	bool is_clairvoyant;
	int64_t back_ns, kept_ns;
	struct sim_amount *days;
	size_t days_n;
	int64_t up_ns;	  /* when the instance was started */
	int64_t ready_ns; /* after a start that requests waited for */
	int64_t free_ns;  /* when it has no request any more */
	int64_t work_ns;  /* until when its capacity is used up by requests that waited */
};

static struct sim_amount *
amount_at(struct course *c, int64_t at_ns)
{
	return &c->days[MIN(day_of(at_ns), c->days_n - 1)];
}

/* The instance ends. */
static void
go_down(struct course *c, int64_t at_ns)
{
	while (c->up_ns < at_ns) {
		int64_t day_ns = (int64_t)(day_of(c->up_ns) + 1) * DAY, end_ns = MIN(at_ns, day_ns);

		amount_at(c, c->up_ns)->instance_s += (double)(end_ns - c->up_ns) / CLK_S;
		c->up_ns = end_ns;
	}
}

/* Pass the idle time until at_ns.  Is the instance there then? */
static bool
is_met(struct course *c, int64_t at_ns)
{
	int64_t idle_ns = at_ns - c->free_ns;

	if (c->is_clairvoyant) {
		if (idle_ns <= c->h->start_ns)
			return true;
		go_down(c, c->free_ns);
		c->up_ns = at_ns - c->h->start_ns;
		return true;
	}
	if (c->back_ns > 0) {
		go_down(c, c->free_ns);
		if (idle_ns < c->back_ns)
			return false;
		c->up_ns = c->free_ns + c->back_ns - c->h->start_ns;
	}
	if (idle_ns <= c->kept_ns)
		return true;
	go_down(c, c->free_ns + c->kept_ns);
	return false;
}

/* Requests that waited for the start take the time of the longest one at least, and as long as
 * the instance needs to do all their work. */
static void
serve(struct course *c, const struct use *u)
{
	int64_t takes_ns = u->end_ns - u->begin_ns, begin_ns = MAX(u->begin_ns, c->ready_ns);
	int64_t work_ns = (int64_t)((double)u->work_ns / c->h->capacity);

	c->work_ns = MAX(c->work_ns, begin_ns) + MIN(work_ns, takes_ns);
	c->free_ns = MAX(c->free_ns, MAX(u->end_ns, c->work_ns));
	c->free_ns = MAX(c->free_ns, begin_ns + MIN(u->longest_ns, takes_ns));
}

static void
play_level(struct course *c, const struct level *l)
{
	size_t i;

	c->ready_ns = c->free_ns = c->work_ns = 0;
	for (i = 0; i < l->n; i++) {
		const struct use *u = &l->v[i];

		if (i == 0 || (u->begin_ns > c->free_ns && !is_met(c, u->begin_ns))) {
			c->up_ns = u->begin_ns;
			c->ready_ns = u->begin_ns + c->h->start_ns;
			amount_at(c, u->begin_ns)->waited_s += (double)u->wait_ns / CLK_S;
		}
		serve(c, u);
	}
	go_down(c, c->free_ns);
}

void
sim_hindsight_days(const struct sim_hindsight *h, const struct sim_policy *p,
		   struct sim_amount *days, size_t n)
{
	struct course c = {.h = h, .is_clairvoyant = p == NULL, .days = days, .days_n = n};
	size_t i;

	for (i = 0; i < n; i++)
		days[i] = (struct sim_amount){0, i < h->days_n ? h->lined_s[i] : 0};
	if (p != NULL) {
		c.back_ns = (int64_t)(MIN(p->back_after_s, LONG_S) * CLK_S);
		c.back_ns = c.back_ns > h->start_ns ? c.back_ns : 0;
		c.kept_ns = (int64_t)(MIN(p->kept_s, LONG_S) * CLK_S);
	}
	for (i = 0; i < h->levels_n; i++)
		play_level(&c, &h->levels[i]);
}

/* --- the best policy --- */

/* A policy that is named by idle times: it meets those from the low-th on, before the high-th.
 * low == high: the instance is released at once. */
struct choice {
	size_t low, high;
	bool is_back;  /* it is stopped in between, and back just before the low-th */
	bool is_early; /* and a start earlier: an idle time is shorter after a start that requests
			* waited for */
	double cost;
};

/* Sums over the idle times that count, the shortest first: over the first i of them. */
struct policy_search {
	const struct sim_hindsight *h;
	double start_s, wait_cost;
	double *idle_s, *wait_s;
	struct sim_amount *days;
	struct choice played[PLAYED]; /* the cheapest guesses, the best first */
	size_t played_n;
};

static void
policy_search_init(struct policy_search *s, const struct sim_hindsight *h, double wait_cost)
{
	size_t i;

	*s = (struct policy_search){.h = h, .wait_cost = wait_cost};
	s->start_s = (double)h->start_ns / CLK_S;
	s->idle_s = xcalloc(h->gaps_n + 1, sizeof *s->idle_s);
	s->wait_s = xcalloc(h->gaps_n + 1, sizeof *s->wait_s);
	s->days = xcalloc(h->days_n + 1, sizeof *s->days);
	for (i = 0; i < h->gaps_n; i++) {
		s->idle_s[i + 1] = s->idle_s[i] + h->gaps[i].idle_s;
		s->wait_s[i + 1] = s->wait_s[i] + h->gaps[i].wait_s;
	}
}

static void
policy_search_fini(struct policy_search *s)
{
	free(s->idle_s);
	free(s->wait_s);
	free(s->days);
}

static struct sim_policy
policy_of(const struct policy_search *s, const struct choice *c)
{
	const struct gap *gaps = s->h->gaps;
	struct sim_policy p = {0, 0};

	if (c->low == c->high)
		return p;
	p.kept_s = gaps[c->high - 1].idle_s + JUST_S;
	if (c->is_back)
		p.back_after_s = gaps[c->low].idle_s - JUST_S - (c->is_early ? s->start_s : 0);
	if (p.back_after_s <= s->start_s)
		p.back_after_s = 0; /* it would be started before it is stopped */
	return p;
}

/* What the idle times would come to if none were changed by a start that requests wait for. */
static double
guess(const struct policy_search *s, const struct choice *c)
{
	size_t n = s->h->gaps_n, met = c->high - c->low;
	struct sim_policy p = policy_of(s, c);
	double waited = s->wait_s[n] - (s->wait_s[c->high] - s->wait_s[c->low]);
	double cost = (double)(n - met) * s->start_s + s->wait_cost * waited;

	cost += s->idle_s[c->high] - s->idle_s[c->low] - (double)met * p.back_after_s;
	cost += (double)(n - c->high) * (p.kept_s - p.back_after_s);
	if (p.back_after_s > 0)
		cost += (double)(n - c->low) * s->start_s;
	return cost;
}

/* Keep the choice if its guess is one of the best. */
static void
note_guess(struct policy_search *s, const struct choice *c)
{
	size_t i = s->played_n;

	if (i == PLAYED && c->cost >= s->played[i - 1].cost)
		return;
	if (i < PLAYED)
		s->played_n++;
	else
		i--;
	for (; i > 0 && s->played[i - 1].cost > c->cost; i--)
		s->played[i] = s->played[i - 1];
	s->played[i] = *c;
}

/* For each time to be back, guess the best time to stay. */
static void
guess_all(struct policy_search *s)
{
	size_t n = s->h->gaps_n, step = n / CANDIDATES + 1, low, high;

	for (low = 0; low < n; low += step) {
		struct choice c = {.low = low}, best = {.cost = INFINITY};

		for (high = n; high > low; high -= MIN(step, high)) {
			c.high = high;
			for (c.is_back = low > 0;; c.is_back = true) {
				c.cost = guess(s, &c);
				if (c.cost < best.cost)
					best = c;
				if (c.is_back)
					break;
			}
		}
		note_guess(s, &best);
	}
}

static double
cost_of_choice(const struct policy_search *s, const struct choice *c)
{
	struct sim_policy p = policy_of(s, c);
	double cost = 0;
	size_t i;

	sim_hindsight_days(s->h, &p, s->days, s->h->days_n);
	for (i = s->h->from_day; i < s->h->days_n; i++)
		cost += s->days[i].instance_s + s->wait_cost * s->days[i].waited_s;
	return cost;
}

static bool
try_choice(const struct policy_search *s, struct choice c, struct choice *best)
{
	if (c.high < c.low || c.high > s->h->gaps_n || (c.low > 0 && !c.is_back))
		return false;
	c.cost = cost_of_choice(s, &c);
	if (c.cost >= best->cost)
		return false;
	*best = c;
	return true;
}

static void
try_both(const struct policy_search *s, struct choice c, struct choice *best)
{
	(void)try_choice(s, c, best);
	c.is_early = c.is_back;
	if (c.is_early)
		(void)try_choice(s, c, best);
}

/* Move each of the two times by ever fewer idle times, if that is cheaper. */
static void
refine(const struct policy_search *s, struct choice *best)
{
	size_t step = s->h->gaps_n / CANDIDATES + 1;

	for (; step > 0; step /= 2) {
		struct choice c = *best;

		c.low += step;
		if (!try_choice(s, c, best)) {
			c = *best;
			c.low -= MIN(step, c.low);
			(void)try_choice(s, c, best);
		}
		c = *best;
		c.high += step;
		if (!try_choice(s, c, best)) {
			c = *best;
			c.high -= MIN(step, c.high);
			(void)try_choice(s, c, best);
		}
	}
}

struct sim_policy
sim_hindsight_best(const struct sim_hindsight *h, double wait_cost)
{
	struct choice best = {.low = 0, .high = 0};
	struct sim_policy p;
	struct policy_search s;
	size_t i;

	policy_search_init(&s, h, wait_cost);
	guess_all(&s);
	best.cost = cost_of_choice(&s, &best);
	for (i = 0; i < s.played_n; i++)
		try_both(&s, s.played[i], &best);
	refine(&s, &best);
	p = policy_of(&s, &best);
	policy_search_fini(&s);
	return p;
}
