#include "autoscaler/brain/idleness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/clk.h"
#include "common/strbuf.h"

#define TIMES_LEAST 2 /* idle times before what is learned of short ones is followed */
/* What an idle time counts, as a multiple of what the next newer one counts, … */
#define KEEP_LONG (1 - 1.0 / 400)
#define KEEP_SHORT (1 - 1.0 / 12)
#define KEEP_TIMER (1 - 1.0 / 40)
#define KEEP_COSTS (1 - 1.0 / 100) /* … and what its costs count */
#define IDLE_LEAST_S 0.25	   /* shorter ones cannot be told from none */
#define WIDE 2.5		   /* how much more a wide expert blurs */
#define BLUR_LEAST_S 0.4	   /* idle times are known to about this */
#define BLUR_ONE 0.05		   /* share of an idle time, while it is the only one like it */
#define ALIKE 1.5		   /* idle times are of about one length up to this factor */
#define FREEDOM_MOST 60		   /* degrees of freedom, from which on they hardly matter */
#define ASSUMED_START_S 1.0	   /* until a start was measured */

/* Plans are made again after an idle time of PLAN_AFTER_S, or after so many shorter ones: what
 * that takes in CPU is bounded, however short idle times are. */
#define PLAN_AFTER_S 30
#define PLAN_AFTER 16
#define START_ALIKE 1.25   /* a start that takes this much longer is another price */
#define LONG_AFTER 128	   /* with so many known, one more hardly changes the plans by many */
#define WEIGHT_LEAST 0.002 /* what counts less is left out … */
#define WEIGHT_NONE 1e-30  /* … and in the long memory: a float must hold it */
#define FOLLOWERS_NEW 0.1  /* what the newest count of followers counts */

struct idleness {
	struct idleness_sample v[IDLENESS_SAMPLES]; /* by number */
	uint32_t n, number;
	float strata[IDLENESS_STRATA];
	float costs[IDLENESS_EXPERTS];
	struct idle_plan plans[IDLENESS_EXPERTS]; /* for the idle time of now, or the next one */
	/* numbers of the last idle times that the plans take into account */
	uint32_t planned, planned_long;
	bool is_due, is_all_due; /* to be made again; those by many idle times, too */
	struct idle_price price, planned_price; /* of now, and when the plans were made */
	int64_t since_ns; /* is_idle: since when; else the last use, 0: unknown */
	bool is_idle;
	/* requests that follow the first one after an idle time */
	bool is_following;
	int64_t following_ns; /* since when they are counted */
	uint64_t following;
};

_Static_assert(sizeof(struct idleness) <= 4096, "10,000 revisions learn at once");

struct idleness *
idleness_new(void)
{
	struct idleness *i = xcalloc(1, sizeof *i);

	i->price = (struct idle_price){.start_s = ASSUMED_START_S};
	return i;
}

void
idleness_free(struct idleness **ip)
{
	free(*ip);
	*ip = NULL;
}

/* --- samples --- */

static unsigned
stratum_of(double idle_s)
{
	int exponent;

	frexp(MAX(idle_s, 0.5), &exponent); /* [0.5, 1): 0, [1, 2): 1 */
	return (unsigned)MIN(exponent, IDLENESS_STRATA - 1);
}

/* The oldest sample of the stratum that has most of them. */
static size_t
superfluous(const struct idleness *i)
{
	unsigned counts[IDLENESS_STRATA] = {0}, most = 0, k;
	size_t at;

	for (at = 0; at < i->n; at++)
		counts[stratum_of(i->v[at].idle_s)]++;
	for (k = 1; k < IDLENESS_STRATA; k++)
		if (counts[k] > counts[most])
			most = k;
	for (at = 0; stratum_of(i->v[at].idle_s) != most; at++)
		;
	return at;
}

static void
add_sample(struct idleness *i, double idle_s)
{
	unsigned k;

	if (i->n == IDLENESS_SAMPLES) {
		size_t at = superfluous(i);

		memmove(&i->v[at], &i->v[at + 1], (i->n - at - 1) * sizeof *i->v);
		i->n--;
	}
	i->number = MIN(i->number, UINT32_MAX - 1);
	i->v[i->n++] = (struct idleness_sample){.idle_s = (float)idle_s, .number = ++i->number};
	for (k = 0; k < IDLENESS_STRATA; k++)
		i->strata[k] *= (float)KEEP_LONG;
	i->strata[stratum_of(idle_s)] += 1;
}

/* --- plans --- */

struct weighted {
	float idle_s, weight;
};

/* Idle times of about one length: the sums of their weights w, of w^2, w x and w x^2. */
struct alike {
	double weight, squares, sum, sum_squares;
};

static int
compare_weighted(const void *a, const void *b)
{
	const struct weighted *x = a, *y = b;

	return (x->idle_s > y->idle_s) - (x->idle_s < y->idle_s);
}

/* The samples by length, each with what it counts; those that count nothing are left out. */
static size_t
weigh(const struct idleness *i, double keep, struct weighted *out)
{
	float sums[IDLENESS_STRATA] = {0};
	size_t at, n = 0;

	for (at = 0; at < i->n; at++) {
		double weight = pow(keep, i->number - i->v[at].number);

		if (weight < (keep == KEEP_LONG ? WEIGHT_NONE : WEIGHT_LEAST))
			continue;
		sums[stratum_of(i->v[at].idle_s)] += (float)weight;
		out[n].idle_s = i->v[at].idle_s;
		out[n++].weight = (float)weight;
	}
	for (at = 0; at < n && keep == KEEP_LONG; at++) { /* they stand for those that made room */
		unsigned k = stratum_of(out[at].idle_s);

		out[at].weight *= MAX(i->strata[k] / sums[k], 1.0F);
	}
	qsort(out, n, sizeof *out, compare_weighted);
	return n;
}

/* The distance from sample `at` to the nearest of its neighbours that are, with it, k + 1. */
static double
distance(const struct weighted *v, size_t n, size_t at, size_t k)
{
	size_t low = at, high = at;

	for (; k > 0 && high - low + 1 < n; k--) {
		if (high + 1 == n || (low > 0 && v[at].idle_s - v[low - 1].idle_s <
							 v[high + 1].idle_s - v[at].idle_s))
			low--;
		else
			high++;
	}
	return MAX(v[at].idle_s - v[low].idle_s, v[high].idle_s - v[at].idle_s);
}

/* How far to blur sample `at`.  Of those of about its length: half of Silverman's rule of thumb,
 * or the distance to its nearest neighbours, a square root of them, if that is less: they may be
 * several groups. */
static double
blur_of(const struct weighted *v, size_t n, size_t at)
{
	double idle_s = v[at].idle_s, sum = 0, squares = 0, near = 0, variance;
	size_t k;

	for (k = 0; k < n; k++) {
		double apart = v[k].idle_s - idle_s;

		if (v[k].idle_s < idle_s / ALIKE || v[k].idle_s > idle_s * ALIKE)
			continue;
		near++;
		sum += apart;
		squares += apart * apart;
	}
	if (near == 1)
		return MAX(idle_s * BLUR_ONE, BLUR_LEAST_S);
	variance = MAX(squares - sum * sum / near, 0) / (near - 1);
	return MAX(MIN(sqrt(variance) * 1.06 * pow(near, -0.2) / 2,
		       distance(v, n, at, (size_t)ceil(sqrt(near)))),
		   BLUR_LEAST_S);
}

struct steps {
	struct idle_step v[IDLE_STEPS_MOST];
	size_t n;
};

/* Sample `at` stands for others nearby: a normal distribution, in steps. */
static void
add_kernel(struct steps *s, const struct weighted *v, size_t n, size_t at, double wide)
{
	static const double kernel[] = {0.06, 0.24, 0.4, 0.24, 0.06}; /* each as wide as the blur */
	double blur = MIN(blur_of(v, n, at) * wide, v[at].idle_s / 2.5), before = 0;
	size_t k;

	_Static_assert(IDLENESS_SAMPLES * (ARRAY_LEN(kernel) + 1) <= IDLE_STEPS_MOST, "");
	for (k = 0; k <= ARRAY_LEN(kernel) && blur > 0; k++) {
		double density = k == ARRAY_LEN(kernel) ? 0 : kernel[k] * v[at].weight / blur;

		s->v[s->n++] = (struct idle_step){v[at].idle_s + ((double)k - 2.5) * blur,
						  density - before};
		before = density;
	}
}

static struct idle_plan
plan_by(const struct idleness *i, double keep, double wide)
{
	struct weighted v[IDLENESS_SAMPLES];
	size_t at, n = weigh(i, keep, v);
	struct steps s = {.n = 0};

	for (at = 0; at < n; at++)
		add_kernel(&s, v, n, at, wide);
	return idle_plan_best(s.v, s.n, &i->price);
}

/* How much of Student's t distribution is below t (Abramowitz and Stegun, 26.7.3 and 26.7.4). */
static double
t_below(double t, unsigned freedom)
{
	double theta = atan(t / sqrt(freedom)), c = cos(theta), sum = 0, term;
	unsigned k;

	if (freedom % 2 == 0) {
		for (term = 1, k = 2; k <= freedom; k += 2, term *= c * c * (k - 3) / (k - 2))
			sum += term;
		return 0.5 + sin(theta) * sum / 2;
	}
	for (term = c, k = 3; k <= freedom; k += 2, term *= c * c * (k - 3) / (k - 2))
		sum += term;
	return 0.5 + (theta + sin(theta) * sum) / acos(-1);
}

/* Idle times of one normal distribution: the next one follows Student's t distribution around
 * their mean, in steps.  So it allows for how little few of them tell. */
static void
add_group(struct steps *s, const struct alike *g)
{
	static const double at[] = {-40, -20,  -12, -8,	  -6, -5,  -4, -3.5, -3, -2.5,
				    -2,	 -1.5, -1,  -0.5, 0,  0.5, 1,  1.5,  2,	 2.5,
				    3,	 4,    5,   6,	  8,  12,  20, 40};
	double n = g->weight * g->weight / g->squares, mean = g->sum / g->weight, before = 0;
	double variance = MAX(g->sum_squares / g->weight - mean * mean, 0) * n / MAX(n - 1, 0.5);
	double scale = sqrt(MAX(variance, BLUR_LEAST_S * BLUR_LEAST_S) * (1 + 1 / n));
	unsigned freedom = (unsigned)MIN(MAX(lround(n) - 1, 1), FREEDOM_MOST);
	size_t k;

	if (n < 1.5)
		scale = MAX(mean * BLUR_ONE, BLUR_LEAST_S);
	for (k = 0; k < ARRAY_LEN(at); k++) {
		double from_s = mean + at[k] * scale, density = 0;

		if (k + 1 < ARRAY_LEN(at))
			density = g->weight *
				  (t_below(at[k + 1], freedom) - t_below(at[k], freedom)) /
				  ((at[k + 1] - at[k]) * scale);
		s->v[s->n++] = (struct idle_step){MAX(from_s, 0), density - before};
		before = density;
	}
}

/* By the assumption that those of about the length of the newest one are of a timer. */
static struct idle_plan
plan_by_timer(const struct idleness *i)
{
	struct weighted v[IDLENESS_SAMPLES];
	size_t at, n = weigh(i, KEEP_TIMER, v);
	double newest_s = i->v[i->n - 1].idle_s;
	struct alike g = {.weight = 0};
	struct steps s = {.n = 0};

	for (at = 0; at < n; at++) {
		double w = v[at].weight, off_s = v[at].idle_s;

		if (v[at].idle_s < newest_s / ALIKE || v[at].idle_s > newest_s * ALIKE) {
			add_kernel(&s, v, n, at, 1);
			continue;
		}
		g.weight += w;
		g.squares += w * w;
		g.sum += w * off_s;
		g.sum_squares += w * off_s * off_s;
	}
	add_group(&s, &g);
	return idle_plan_best(s.v, s.n, &i->price);
}

bool
idleness_is_plan_due(const struct idleness *i)
{
	return i->is_due;
}

/* Those by many idle times wait where one more would hardly change them. */
void
idleness_make_plans(struct idleness *i)
{
	if (i->is_all_due || i->number < LONG_AFTER ||
	    i->number - i->planned_long >= LONG_AFTER / 16) {
		i->plans[IDLENESS_LONG] = plan_by(i, KEEP_LONG, 1);
		i->plans[IDLENESS_LONG_WIDE] = plan_by(i, KEEP_LONG, WIDE);
		i->planned_long = i->number;
	}
	i->plans[IDLENESS_SHORT] = plan_by(i, KEEP_SHORT, 1);
	i->plans[IDLENESS_SHORT_WIDE] = plan_by(i, KEEP_SHORT, WIDE);
	i->plans[IDLENESS_TIMER] = plan_by_timer(i);
	i->planned = i->number;
	i->planned_price = i->price;
	i->is_due = i->is_all_due = false;
}

/* Were the plans made at about this price? */
static bool
is_alike(const struct idle_price *a, const struct idle_price *b)
{
	return a->wait_cost == b->wait_cost && a->least_s == b->least_s &&
	       a->start_s <= b->start_s * START_ALIKE && b->start_s <= a->start_s * START_ALIKE;
}

static struct idle_plan
stay(double upto_s)
{
	return (struct idle_plan){.spans = {{0, (float)upto_s}}, .n = 1};
}

void
idleness_set_price(struct idleness *i, const struct idle_price *p, double fixed_s)
{
	double followers = i->price.followers;

	i->price = *p;
	i->price.followers = followers;
	if (p->start_s < 0)
		i->price.start_s = ASSUMED_START_S;
	i->plans[IDLENESS_FIXED] = stay(fixed_s);
	i->plans[IDLENESS_BREAK_EVEN] = stay(
		MAX(MIN(idle_plan_miss(&i->price), fixed_s), p->least_s));
	if (i->planned > 0 && !is_alike(&i->planned_price, &i->price))
		i->is_due = i->is_all_due = true;
}

/* What an expert's plans have cost, as the leader is chosen by it.  Those that allow little for
 * idle times which were not seen yet seem cheap until the first surprise: so they begin with the
 * price of one or two. */
static double
rated_cost(const struct idleness *i, enum idleness_expert k, double surprise)
{
	static const float begin_with[IDLENESS_EXPERTS] = {[IDLENESS_LONG] = 2,
							   [IDLENESS_LONG_WIDE] = 1,
							   [IDLENESS_SHORT] = 2,
							   [IDLENESS_SHORT_WIDE] = 1};

	return i->costs[k] + begin_with[k] * surprise;
}

/* Has an instance been there at the end of the newest idle time, by the fixed keys? */
static bool
have_fixed_met(const struct idleness *i)
{
	return i->n > 0 && i->v[i->n - 1].idle_s <= idle_plan_stay_s(&i->plans[IDLENESS_FIXED]);
}

/* Of one idle time alone is something learned if the fixed keys have not met it either. */
static bool
are_few(const struct idleness *i)
{
	return i->planned == 0 || (i->number < TIMES_LEAST && have_fixed_met(i));
}

static enum idleness_expert
leader_of(const struct idleness *i)
{
	double surprise = idle_plan_miss(&i->price) * pow(KEEP_COSTS, i->number);
	enum idleness_expert best = have_fixed_met(i) ? IDLENESS_FIXED : IDLENESS_TIMER, k;

	if (i->plans[IDLENESS_BREAK_EVEN].n == 0) /* no price is known yet */
		return IDLENESS_FIXED;
	if (are_few(i))
		return IDLENESS_BREAK_EVEN;
	for (k = 0; k < IDLENESS_EXPERTS; k++)
		if (rated_cost(i, k, surprise) < rated_cost(i, best, surprise))
			best = k;
	return best;
}

/* --- observations --- */

/* Before anything is known, all experts advise what the fixed keys say. */
static const struct idle_plan *
plan_of(const struct idleness *i, enum idleness_expert k)
{
	return &i->plans[i->planned == 0 && k != IDLENESS_FIXED ? IDLENESS_BREAK_EVEN : k];
}

static void
add(struct idleness *i, double idle_s)
{
	enum idleness_expert k;

	for (k = 0; k < IDLENESS_EXPERTS; k++)
		i->costs[k] = (float)(i->costs[k] * KEEP_COSTS +
				      idle_plan_cost(plan_of(i, k), &i->price, idle_s));
	add_sample(i, idle_s);
	if (idle_s >= PLAN_AFTER_S || i->number - i->planned >= PLAN_AFTER ||
	    i->number <= PLAN_AFTER)
		i->is_due = true;
}

/* Count the requests that come within a start after the first one. */
static void
follow(struct idleness *i, uint64_t requests, int64_t from_ns)
{
	double followers;

	if (!i->is_following)
		return;
	if ((double)(from_ns - i->following_ns) / CLK_S < i->price.start_s) {
		i->following += requests;
		return;
	}
	i->is_following = false;
	followers = (double)(MAX(i->following, 1u) - 1);
	i->price.followers += (followers - i->price.followers) * FOLLOWERS_NEW;
}

void
idleness_used(struct idleness *i, uint64_t requests, int64_t from_ns, int64_t upto_ns)
{
	double idle_s = (double)(from_ns - i->since_ns) / CLK_S;

	bool was_idle = i->since_ns != 0 && idle_s >= IDLE_LEAST_S;

	/* With several activators one may report no use while another one has some. */
	if (was_idle)
		add(i, idle_s);
	follow(i, requests, from_ns);
	if (was_idle && !i->is_following) {
		i->is_following = true;
		i->following_ns = from_ns;
		i->following = requests;
	}
	i->is_idle = false;
	i->since_ns = MAX(i->since_ns, upto_ns);
}

void
idleness_unused(struct idleness *i)
{
	i->is_idle = i->since_ns != 0;
}

/* --- advice --- */

const struct idle_plan *
idleness_plan(const struct idleness *i)
{
	return &i->plans[leader_of(i)];
}

struct idleness_advice
idleness_advise(const struct idleness *i, int64_t now_ns)
{
	enum idleness_expert leader = leader_of(i);
	const struct idle_plan *p = &i->plans[leader];
	double idle_s = (double)(now_ns - i->since_ns) / CLK_S;

	return (struct idleness_advice){
		.is_learned = leader != IDLENESS_FIXED,
		.is_warm = leader != IDLENESS_FIXED && i->is_idle &&
			   idle_plan_is_warm(p, &i->price, idle_s),
		.stay_s = MAX(idle_plan_stay_s(p), i->price.least_s),
	};
}

/* --- in words --- */

/* 26 h 3 min 5 s */
static void
add_time(struct strbuf *out, double time_s)
{
	long s = lround(time_s);

	if (s >= 3600)
		strbuf_addf(out, "%ld h ", s / 3600);
	if (s >= 60)
		strbuf_addf(out, "%ld min ", s / 60 % 60);
	strbuf_addf(out, "%ld s", s % 60);
}

/* The length that this share of the weight does not exceed. */
static double
quantile(const struct weighted *v, size_t n, double share)
{
	double sum = 0, past = 0;
	size_t k;

	for (k = 0; k < n; k++)
		sum += v[k].weight;
	if (n == 0)
		return 0;
	for (k = 0; k < n - 1; k++) {
		past += v[k].weight;
		if (past >= share * sum)
			break;
	}
	return v[k].idle_s;
}

/* What the idle times are like, by those that the leader looks at. */
static void
explain_times(const struct idleness *i, enum idleness_expert leader, struct strbuf *out)
{
	bool is_short = leader == IDLENESS_SHORT || leader == IDLENESS_SHORT_WIDE;
	struct weighted v[IDLENESS_SAMPLES];
	size_t n = weigh(i, is_short ? KEEP_SHORT : KEEP_LONG, v);
	double low = quantile(v, n, 0.1), high = quantile(v, n, 0.9);

	strbuf_addf(out, "%u idle times are known; four in five%s last ", i->number,
		    is_short ? " of the newest" : "");
	add_time(out, low);
	strbuf_adds(out, " to ");
	add_time(out, high);
}

static void
explain_plan(const struct idle_plan *p, struct strbuf *out)
{
	double stay_s = idle_plan_stay_s(p);
	uint32_t k = stay_s > 0, first = k;

	strbuf_adds(out, ": after a request the last instance ");
	if (stay_s > 0) {
		strbuf_adds(out, "stays for ");
		add_time(out, stay_s);
	} else {
		strbuf_adds(out, "is stopped at once");
	}
	for (; k < p->n; k++) {
		strbuf_adds(out, k == first ? ", and one is ready again from " : ", and from ");
		add_time(out, p->spans[k].from_s);
		strbuf_adds(out, " to ");
		add_time(out, p->spans[k].upto_s);
	}
	if (first < p->n)
		strbuf_adds(out, " after it");
}

/* What an idle time has cost on average by an expert's plans. */
static double
mean_cost(const struct idleness *i, enum idleness_expert k)
{
	return i->costs[k] * (1 - KEEP_COSTS) / (1 - pow(KEEP_COSTS, i->number));
}

void
idleness_explain(const struct idleness *i, struct strbuf *out)
{
	enum idleness_expert leader = leader_of(i);

	if (are_few(i)) {
		strbuf_addf(out, "%u idle times are known", i->number);
		if (i->number < TIMES_LEAST)
			strbuf_addf(out, ", %d are needed", TIMES_LEAST);
		explain_plan(&i->plans[leader], out);
		strbuf_adds(out, " (until idling has cost as much as a start does, but no longer "
				 "than with keep_warm = fixed)");
		return;
	}
	explain_times(i, leader, out);
	if (leader == IDLENESS_FIXED) {
		strbuf_addf(out,
			    ": no plan costs less than keep_warm = fixed, which applies: it costs "
			    "%.3g instance-seconds an idle time",
			    mean_cost(i, leader));
	} else {
		explain_plan(&i->plans[leader], out);
		strbuf_addf(out,
			    "; that costs %.3g instance-seconds an idle time, keep_warm = fixed "
			    "%.3g",
			    mean_cost(i, leader), mean_cost(i, IDLENESS_FIXED));
	}
	strbuf_addf(out, " (with what waits for a start, at wait_cost = %g)", i->price.wait_cost);
}

/* --- kept over a restart --- */

void
idleness_export(const struct idleness *i, struct idleness_data *d, int64_t now_ns)
{
	*d = (struct idleness_data){.n = i->n, .number = i->number};
	memcpy(d->v, i->v, i->n * sizeof *i->v);
	memcpy(d->strata, i->strata, sizeof d->strata);
	memcpy(d->costs, i->costs, sizeof d->costs);
	d->followers = (float)i->price.followers;
	d->idle_ns = i->is_idle ? now_ns - i->since_ns : -1;
}

void
idleness_import(struct idleness *i, const struct idleness_data *d, int64_t now_ns)
{
	enum idleness_expert k;

	CHECK(d->n <= IDLENESS_SAMPLES);
	i->n = (uint32_t)d->n;
	i->number = d->number;
	memcpy(i->v, d->v, d->n * sizeof *i->v);
	memcpy(i->strata, d->strata, sizeof d->strata);
	memcpy(i->costs, d->costs, sizeof d->costs);
	for (k = 0; k < IDLENESS_EXPERTS; k++) /* unknown to the autoscaler that saved it */
		if (i->costs[k] <= 0)
			i->costs[k] = d->costs[IDLENESS_FIXED];
	i->price.followers = d->followers;
	i->is_idle = d->idle_ns >= 0;
	i->since_ns = i->is_idle ? now_ns - d->idle_ns : 0;
	i->is_due = i->is_all_due = i->n > 0;
}
