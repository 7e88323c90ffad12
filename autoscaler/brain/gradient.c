#include "autoscaler/brain/gradient.h"

#include <math.h>
#include <stdlib.h>

#include "common/clk.h"
#include "common/strbuf.h"

#define BINS 44
#define BIN_FIRST 0.25 /* concurrency at the lower border of the first bin */
#define BIN_RATIO 1.25 /* of the borders of a bin */
#define KEEP_NS (INT64_C(24) * 3600 * CLK_S)
#define HALF_LIFE_NS (INT64_C(6) * 3600 * CLK_S) /* of the weight of an estimate of the knee */
#define SMOOTHING 0.3				 /* weight of a new sample in its bin */

#define SAMPLE_ENOUGH 100 /* responses: so many end a sample before the step is due */
#define SAMPLE_LEAST 20
#define STEADY 0.25  /* how far concurrency may be off Little's law … */
#define ALIKE 0.5    /* … and off that of the sample before */
#define SEEN_LEAST 2 /* samples that a bin needs: a single one may be an outlier */

#define OVERLOADED 1.2 /* latency / unloaded latency, from which on it has risen */
#define FLAT 1.1       /* … and up to which it has not */
#define LIMITED 0.5    /* concurrency / target, below which the target limits nothing */
#define LOWER 0.85     /* so much of a concurrency is clearly lower */

#define DOWN 0.8
#define UP 1.1
#define BACK 1.25
#define DEAD_BAND 0.05
#define TARGET_LEAST 1.0
#define TARGET_MOST 4.0 /* times the configured one */
#define MACHINE_FULL 0.9

/* What was seen at about one concurrency per instance. */
struct bin {
	double concurrency, latency_s;
	uint32_t seen; /* samples; 0: empty, or its latency is out of date */
	int64_t at_ns; /* of the newest sample */
	double knee;   /* its estimate of the knee; 0: none, since latency had not risen */
	double weight; /* of the estimate: how far latency had risen */
};

enum why {
	WHY_FEW_RESPONSES,
	WHY_LIGHT_LOAD,
	WHY_NONE_LOWER,
	WHY_NOT_RISEN,
	WHY_KNEE,
	WHY_CPU,
	WHY_MEMORY
};

struct gradient {
	struct bin bins[BINS];
	double unloaded_s; /* the lowest latency of all bins; 0: none is known */
	double knee;	   /* 0: unknown */
	int64_t knee_ns;   /* when it was seen last */
	double target;	   /* the proposal; 0: the configured target */

	/* the sample that is being taken */
	double held_s;	   /* request-seconds in flight or parked */
	double answered_s; /* request-seconds of the responses: their number x latency */
	double completed, reported_s;
	int64_t since_ns;
	uint32_t ready;
	double before; /* concurrency of the sample before; 0: there was none */

	/* the step that is being prepared */
	int64_t stepped_ns;
	double concurrency, latency_s; /* its newest sample */
	bool has_sample;

	/* the last step down, until its effect is seen; 0: none */
	double tried_concurrency, tried_latency_s;
	int64_t tried_ns;

	enum why why;
};

struct gradient *
gradient_new(void)
{
	return xcalloc(1, sizeof(struct gradient));
}

void
gradient_free(struct gradient **gp)
{
	free(*gp);
	*gp = NULL;
}

/* --- the bins --- */

static bool
is_fresh(const struct bin *b, int64_t now)
{
	return b->seen >= SEEN_LEAST && now - b->at_ns < KEEP_NS;
}

static struct bin *
bin_of(struct gradient *g, double concurrency)
{
	double k = log(MAX(concurrency, BIN_FIRST) / BIN_FIRST) / log(BIN_RATIO);

	return &g->bins[(size_t)MIN(k, BINS - 1)];
}

/* The lowest latency of all fresh bins; 0: there is none. */
static double
lowest(const struct gradient *g, int64_t now)
{
	double least = 0;
	size_t i;

	for (i = 0; i < BINS; i++)
		if (is_fresh(&g->bins[i], now) && (least <= 0 || g->bins[i].latency_s < least))
			least = g->bins[i].latency_s;
	return least;
}

static void
estimate_knee(struct bin *b, double unloaded_s)
{
	double rise = b->latency_s / unloaded_s;

	b->knee = rise >= OVERLOADED ? b->concurrency / rise : 0;
	b->weight = MIN(rise - 1, 1);
}

/* Once a clearly lower latency is known, all bins estimate the knee anew.  If it has become
 * higher, they do not: their estimates were made by the unloaded latency of their time. */
static void
update_unloaded(struct gradient *g, int64_t now)
{
	double unloaded_s = lowest(g, now);
	size_t i;

	if (g->unloaded_s > 0 && unloaded_s >= g->unloaded_s * 0.95) {
		g->unloaded_s = MAX(g->unloaded_s, unloaded_s);
		return;
	}
	g->unloaded_s = unloaded_s;
	for (i = 0; i < BINS; i++)
		if (is_fresh(&g->bins[i], now))
			estimate_knee(&g->bins[i], unloaded_s);
}

/* The knee is the mean of the bins' estimates.  The newest weigh most, and those where latency
 * had risen most, since that is least likely by chance. */
static void
weigh_knee(struct gradient *g, int64_t now)
{
	double sum = 0, weights = 0;
	size_t i;

	for (i = 0; i < BINS; i++) {
		const struct bin *b = &g->bins[i];
		double weight = b->weight * exp2(-(double)(now - b->at_ns) / HALF_LIFE_NS);

		if (b->knee <= 0 || now - b->at_ns >= KEEP_NS)
			continue;
		sum += weight * b->knee;
		weights += weight;
		g->knee_ns = MAX(g->knee_ns, b->at_ns);
	}
	if (weights > 0)
		g->knee = sum / weights;
}

/* Forget bins that were much slower than this one although their concurrency was not higher,
 * or not so much higher as to explain it: they are of another time. */
static void
drop_slower(struct gradient *g, const struct bin *here)
{
	size_t i;

	for (i = 0; i < BINS; i++) {
		double more = MAX(g->bins[i].concurrency / here->concurrency, 1);

		if (more <= 2 && g->bins[i].latency_s > 1.5 * more * here->latency_s)
			g->bins[i].seen = 0;
	}
}

static void
learn(struct gradient *g, double concurrency, double latency_s, int64_t now)
{
	struct bin *b = bin_of(g, concurrency);

	if (b->seen == 0 || now - b->at_ns >= KEEP_NS) {
		*b = (struct bin){.concurrency = concurrency, .latency_s = latency_s};
	} else {
		b->concurrency += SMOOTHING * (concurrency - b->concurrency);
		b->latency_s += SMOOTHING * (latency_s - b->latency_s);
	}
	b->at_ns = now;
	if (++b->seen < SEEN_LEAST)
		return;
	drop_slower(g, b);
	update_unloaded(g, now);
	estimate_knee(b, g->unloaded_s);
	g->concurrency = b->concurrency;
	g->latency_s = b->latency_s;
	g->has_sample = true;
}

/* --- samples --- */

void
gradient_report(struct gradient *g, double concurrency, double completed, double latency_s,
		double period_s)
{
	g->held_s += concurrency * period_s;
	g->answered_s += completed * latency_s;
	g->completed += completed;
	g->reported_s += period_s;
}

static void
begin_sample(struct gradient *g, uint32_t ready, int64_t now)
{
	g->before = g->reported_s > 0 && ready == g->ready ? g->held_s / g->reported_s : 0;
	g->held_s = g->answered_s = g->completed = g->reported_s = 0;
	g->since_ns = now;
	g->ready = ready;
}

/* Concurrency is what Little's law makes of throughput and latency; else requests were parked.
 * It is also about that of the sample before; else the latency was that of requests which
 * arrived at another concurrency. */
static bool
is_steady(const struct gradient *g)
{
	double held = g->held_s / g->reported_s;

	return fabs(g->answered_s - g->held_s) <= STEADY * g->held_s &&
	       fabs(g->before - held) <= ALIKE * held;
}

static void
take_sample(struct gradient *g, const struct gradient_facts *f, int64_t now)
{
	bool is_over = now - g->since_ns >= f->step_ns;

	if (f->ready != g->ready || f->ready == 0) { /* of how many instances would it be? */
		begin_sample(g, f->ready, now);
		return;
	}
	if (g->completed < SAMPLE_ENOUGH && !is_over)
		return;
	if (g->completed >= SAMPLE_LEAST && g->reported_s > 0 && is_steady(g))
		learn(g, g->answered_s / g->reported_s * f->reporters / f->ready,
		      g->answered_s / g->completed, now);
	begin_sample(g, f->ready, now);
}

/* --- steps --- */

/* Is the latency at a clearly lower concurrency known? */
static bool
has_lower(const struct gradient *g, double concurrency, int64_t now)
{
	size_t i;

	for (i = 0; i < BINS; i++)
		if (is_fresh(&g->bins[i], now) && g->bins[i].concurrency <= LOWER * concurrency)
			return true;
	return false;
}

/* No latency is known at a lower concurrency than now, and from here to the next higher one it
 * rises at least half in proportion: so the unloaded latency is lower than all that was seen. */
static bool
is_all_loaded(const struct gradient *g, int64_t now)
{
	size_t i;

	if (has_lower(g, g->concurrency, now))
		return false;
	for (i = 0; i < BINS; i++) {
		const struct bin *b = &g->bins[i];
		double more = b->concurrency / g->concurrency;

		if (is_fresh(b, now) && more >= 1 / LOWER)
			return b->latency_s >= g->latency_s * (1 + (more - 1) / 2);
	}
	return g->knee <= 0; /* no bin to compare with: a knee that is known holds */
}

/* A step down was taken since latency had risen; concurrency has fallen, and latency has not:
 * requests take longer now.  Forget the bins that were faster. */
static void
check_trial(struct gradient *g, int64_t now)
{
	double fallen = g->concurrency / g->tried_concurrency;
	size_t i;

	if (g->tried_concurrency <= 0 || fallen > 0.9)
		return;
	g->tried_concurrency = 0;
	if (g->latency_s < OVERLOADED * g->unloaded_s ||
	    g->latency_s <= g->tried_latency_s * (1 - (1 - fallen) / 2))
		return;
	for (i = 0; i < BINS; i++) {
		struct bin *b = &g->bins[i];

		if (b->latency_s < g->latency_s / FLAT)
			b->seen = 0;
		if (b->at_ns >= g->tried_ns)
			b->knee = 0;
	}
	g->unloaded_s = lowest(g, now);
}

/* At a concurrency clearly above the knee, latency has not risen. */
static bool
is_refuted(const struct gradient *g)
{
	return g->knee > 0 && g->concurrency > 1.25 * g->knee &&
	       g->latency_s <= FLAT * g->unloaded_s;
}

static void
forget_knee(struct gradient *g)
{
	size_t i;

	g->knee = 0;
	for (i = 0; i < BINS; i++)
		g->bins[i].knee = 0;
}

/* The knee was seen long ago: try a little more, until latency begins to rise. */
static double
try_again(struct gradient *g, double target, int64_t now)
{
	if (g->concurrency < LIMITED * target)
		return g->knee;
	if (g->latency_s <= FLAT * g->unloaded_s)
		return target * UP;
	g->knee = MAX(g->knee, g->concurrency * g->unloaded_s / g->latency_s);
	bin_of(g, g->concurrency)->knee = g->knee;
	bin_of(g, g->concurrency)->weight = 1;
	g->knee_ns = now;
	return g->knee;
}

/* Where the target should go, without bounds. */
static double
goal_of(struct gradient *g, const struct gradient_facts *f, double target, int64_t now)
{
	bool matters = g->concurrency >= LIMITED * target;
	bool is_flat = g->latency_s <= FLAT * g->unloaded_s;
	bool is_loaded = is_all_loaded(g, now);

	if (is_loaded && matters && f->is_applied && g->concurrency >= TARGET_LEAST) {
		g->why = WHY_NONE_LOWER;
		return target * DOWN;
	}
	if (g->knee > 0) {
		g->why = WHY_KNEE;
		return now - g->knee_ns < KEEP_NS ? g->knee : try_again(g, target, now);
	}
	if (is_loaded) {
		g->why = matters ? WHY_NONE_LOWER : WHY_LIGHT_LOAD;
		return f->configured;
	}
	g->why = WHY_NOT_RISEN;
	return matters && is_flat && target >= f->configured ? target * UP : f->configured;
}

/* A step down needs more instances, for which the machine has no CPU or memory left; a step up
 * needs more CPU for each instance than there is. */
static bool
is_prevented(struct gradient *g, const struct gradient_facts *f, double target, double next)
{
	double instances = f->ready * target / next;

	if (next < target && f->cpu_cores >= 0 && f->machine_cores > 0 &&
	    f->machine_used >= MACHINE_FULL * f->machine_cores) {
		g->why = WHY_CPU;
		return true;
	}
	if (next < target && f->machine_memory > 0 &&
	    instances * f->memory_bytes > MACHINE_FULL * f->machine_memory) {
		g->why = WHY_MEMORY;
		return true;
	}
	if (next > target && next > f->configured && f->cpu_cores >= 0 && f->machine_cores > 0 &&
	    f->cpu_cores * next / target > MACHINE_FULL * f->machine_cores / MAX(f->ready, 1u)) {
		g->why = WHY_CPU;
		return true;
	}
	return false;
}

static double
bounded(const struct gradient_facts *f, double target)
{
	target = MIN(target, f->configured * TARGET_MOST);
	target = MAX(target, MIN(TARGET_LEAST, f->configured));
	return f->most > 0 ? MIN(target, f->most) : target;
}

static void
step(struct gradient *g, const struct gradient_facts *f, int64_t now)
{
	double target = g->target > 0 ? g->target : f->configured, goal, next;

	check_trial(g, now);
	weigh_knee(g, now);
	if (is_refuted(g))
		forget_knee(g);
	goal = goal_of(g, f, target, now);
	next = bounded(f, MIN(MAX(goal, target * DOWN), target * (goal > g->knee ? BACK : UP)));
	if (fabs(goal / target - 1) < DEAD_BAND || is_prevented(g, f, target, next))
		next = target;
	if (next < target && g->tried_concurrency <= 0) {
		g->tried_concurrency = g->concurrency;
		g->tried_latency_s = g->latency_s;
		g->tried_ns = now;
	}
	g->target = next;
	if (g->knee <= 0 && fabs(next - f->configured) < 1e-9)
		g->target = 0;
}

void
gradient_tick(struct gradient *g, const struct gradient_facts *f, int64_t now)
{
	take_sample(g, f, now);
	if (g->stepped_ns == 0)
		g->stepped_ns = now;
	if (now - g->stepped_ns < f->step_ns)
		return;
	g->stepped_ns = now;
	if (g->has_sample)
		step(g, f, now);
	else
		g->why = WHY_FEW_RESPONSES;
	g->has_sample = false;
}

double
gradient_target(const struct gradient *g)
{
	return g->target;
}

/* --- the sentence --- */

/* The bin whose latency is the lowest (sign -1) or the highest (1); NULL: there is none. */
static const struct bin *
extreme(const struct gradient *g, int sign)
{
	const struct bin *found = NULL;
	size_t i;

	for (i = 0; i < BINS; i++)
		if (g->bins[i].seen >= SEEN_LEAST &&
		    (found == NULL || sign * (g->bins[i].latency_s - found->latency_s) > 0))
			found = &g->bins[i];
	return found;
}

static void
explain_knee(const struct gradient *g, struct strbuf *out)
{
	const struct bin *low = extreme(g, -1), *high = extreme(g, 1);

	strbuf_addf(out, "an instance carries about %.1f requests at a time", g->knee);
	if (low != NULL && high != low)
		strbuf_addf(out, ": %.1f ms at %.1f, %.1f ms at %.1f", low->latency_s * 1e3,
			    low->concurrency, high->latency_s * 1e3, high->concurrency);
}

void
gradient_explain(const struct gradient *g, struct strbuf *out)
{
	const char *then = g->knee > 0	   ? "what was learned applies"
			   : g->target > 0 ? "the target stays"
					   : "the configured target applies";

	switch (g->why) {
	case WHY_FEW_RESPONSES:
		strbuf_addf(out, "too few recent responses to learn from: %s", then);
		break;
	case WHY_LIGHT_LOAD:
		strbuf_addf(out, "about %.1f requests at a time, far below the target: %s",
			    g->concurrency, then);
		break;
	case WHY_NONE_LOWER:
		strbuf_addf(out,
			    "latency is known only at about %.1f requests at a time (%.1f ms): %s",
			    g->concurrency, g->latency_s * 1e3,
			    g->target > 0 ? "a lower target is tried" : then);
		break;
	case WHY_NOT_RISEN:
		strbuf_addf(out, "latency has not risen, %.1f ms at %.1f requests at a time: %s",
			    g->latency_s * 1e3, g->concurrency,
			    g->target > 0 ? "a higher target is tried" : then);
		break;
	case WHY_KNEE:
		explain_knee(g, out);
		break;
	case WHY_CPU:
		strbuf_addf(out, "the machine's CPUs are busy, more instances would not help: the "
				 "target stays");
		break;
	case WHY_MEMORY:
		strbuf_addf(out, "more instances would not fit into memory: the target stays");
		break;
	}
}

/* --- kept over a restart --- */

void
gradient_export(const struct gradient *g, struct gradient_data *d, int64_t now)
{
	*d = (struct gradient_data){.target = g->target,
				    .knee = g->knee,
				    .unloaded_s = g->unloaded_s,
				    .age_ns = g->knee > 0 ? now - g->knee_ns : 0};
}

void
gradient_import(struct gradient *g, const struct gradient_data *d, int64_t now)
{
	g->target = d->target;
	g->knee = d->knee;
	g->knee_ns = now - d->age_ns;
	g->unloaded_s = d->unloaded_s;
}
