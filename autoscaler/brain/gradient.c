#include "autoscaler/brain/gradient.h"

#include <math.h>
#include <stdlib.h>

#include "autoscaler/brain/statistics.h"
#include "common/clk.h"
#include "common/strbuf.h"

#define BINS 44
#define BIN_FIRST 0.25 /* concurrency at the lower border of the first bin */
#define BIN_RATIO 1.25 /* of the borders of a bin */
#define KEEP_NS (INT64_C(24) * 3600 * CLK_S)
#define HALF_LIFE_NS (INT64_C(6) * 3600 * CLK_S) /* of the weight of an estimate of the knee */
#define SMOOTHING 0.05 /* weight of a new sample in its bin, once it has many */

#define SAMPLE_ENOUGH 100 /* responses: so many end a sample before the step is due */
#define SAMPLE_LEAST 20
#define STEADY 0.25  /* how far concurrency may be off Little's law … */
#define ALIKE 0.5    /* … and off that of the sample before */
#define SEEN_LEAST 2 /* samples that a bin needs: a single one may be an outlier */

#define OVERLOADED 1.2 /* latency / unloaded latency, from which on it has risen */
#define FLAT 1.1       /* … and up to which it has not */
#define LIMITED 0.5    /* concurrency / target, below which the target limits nothing */
#define LOWER 0.85     /* so much of a concurrency is clearly lower */

/* What requests take: the deviation of the logarithm of latency (variation()). */
#define EVEN 0.04   /* above it no higher target is tried */
#define UNEVEN 0.05 /* above it steps down are tried rarely */
#define NOISY 0.1   /* above it only where latency has risen with throughput */
#define DISPERSION_NEW 0.1
#define WINDOWS_LEAST 8	   /* windows, before they tell how much latency varies */
#define DISPERSED_LEAST 30 /* samples, before work is taken for even */

/* Trials: steps down whose effect decides whether they stay. */
#define TRIAL_WINDOWS 2
#define SAMPLES_LEAST 2.8   /* weight of three samples: so many tell what latency is */
#define FALLEN 0.9	    /* concurrency / that before the step, where instances were added … */
#define CLEARLY_FALLEN 0.75 /* … and where they were not */
#define ERRORS 2.5	    /* standard errors of the effect */
#define ERROR_LEAST 0.02
#define CONFIRMED 2	  /* trials with an effect, after which the knee is believed */
#define BELIEVED 0.75	  /* share of that knee, down to which steps need no trial */
#define GROSS 3.0	  /* latency / unloaded latency that needs no trial, above the target */
#define LEAVE 0.75	  /* the configured target is left only for less than so much of it */
#define STEPS_LEAST 10	  /* steps before the first trial of uneven work */
#define TRIAL_STEPS 100	  /* … for each further one without effect */
#define NO_TRIAL_STEPS 60 /* no trial after the first one without effect */
#define UNSEEN_STEPS 10	  /* … after the first one that showed nothing */
#define NO_TRIAL_MOST_NS KEEP_NS

/* Targets above the configured one. */
#define WAITED 0.005   /* share of request-seconds that may be spent waiting … */
#define WAITS_KEEP 0.8 /* … and what older ones weigh, with each step */
#define STARTING 0.02  /* share, above which starts muddle what is seen of latency */
#define HARMLESS 0.01  /* rise of latency, beside what may be chance, that does no harm */

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

	/* likewise, of many steps: request-seconds parked, and all */
	double waited_s, all_s;
	/* since the last step: of the next point of the line */
	double step_completed, step_answered_s, step_instance_s;

	/* the step that is being prepared */
	int64_t stepped_ns;
	double concurrency, latency_s; /* its newest sample */
	bool has_sample;

	struct moments here; /* latency with so many instances, or by the step down that is tried */
	uint32_t here_ready;
	struct regression line;	    /* latency against throughput */
	double drift;		    /* variance of it from one window to the next, … */
	unsigned windows;	    /* … over so many */
	double last_s, last_target; /* latency and target of the last window */
	double dispersion;  /* variance of the logarithm of latency at one concurrency … */
	unsigned dispersed; /* … over so many samples */

	/* the last step down, until its effect is seen; tried_concurrency 0: none */
	double tried_concurrency, tried_target;
	double base_target;   /* before all steps in a row whose effect decides */
	uint32_t tried_ready; /* instances then */
	struct moments tried; /* latency before it */
	int64_t tried_ns;
	unsigned steps, trials; /* in all; steps down without effect */
	unsigned confirmed;	/* steps down that had an effect */
	double confirmed_knee;
	double gross_knee; /* by what was seen beyond the target, at several times the unloaded
			    * latency; 0: nothing was */
	double believed_concurrency, believed_latency_s; /* before the last step without trial */
	/* a step down had no effect: none is tried before then, and each time for longer */
	int64_t no_trial_before_ns, no_trial_ns;
	/* likewise, a target above the configured one made requests wait */
	int64_t no_raise_before_ns, no_raise_ns;

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

/* The latency of a bin may be so many times as much, by chance. */
static double
uncertainty(const struct gradient *g, const struct bin *b)
{
	return 1 + sqrt(g->dispersion / MIN(b->seen, 1 / SMOOTHING));
}

/* The lowest latency of all fresh bins, as high as it may be by chance; 0: there is none. */
static double
lowest(const struct gradient *g, int64_t now)
{
	double least = 0;
	size_t i;

	for (i = 0; i < BINS; i++) {
		const struct bin *b = &g->bins[i];

		if (is_fresh(b, now) && (least <= 0 || b->latency_s * uncertainty(g, b) < least))
			least = b->latency_s * uncertainty(g, b);
	}
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
weigh_knee(struct gradient *g, double target, int64_t now)
{
	double sum = 0, weights = 0, gross = 0, gross_weights = 0;
	size_t i;

	for (i = 0; i < BINS; i++) {
		const struct bin *b = &g->bins[i];
		double weight = b->weight * exp2(-(double)(now - b->at_ns) / HALF_LIFE_NS);

		if (b->knee <= 0 || now - b->at_ns >= KEEP_NS)
			continue;
		sum += weight * b->knee;
		weights += weight;
		if (b->concurrency >= GROSS * b->knee && b->concurrency >= target) {
			gross += weight * b->knee;
			gross_weights += weight;
		}
		g->knee_ns = MAX(g->knee_ns, b->at_ns);
	}
	if (weights > 0)
		g->knee = sum / weights;
	g->gross_knee = gross_weights > 0 ? gross / gross_weights : 0;
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

/* Is this sample one that shows the effect of the step down?  There are more instances for it,
 * or clearly fewer requests at each. */
static bool
has_fallen(const struct gradient *g, double concurrency)
{
	return concurrency <=
	       (g->ready > g->tried_ready ? FALLEN : CLEARLY_FALLEN) * g->tried_concurrency;
}

static void
learn(struct gradient *g, double concurrency, double latency_s, int64_t now)
{
	struct bin *b = bin_of(g, concurrency);

	if (b->seen > 0) {
		double off = log(latency_s / b->latency_s);

		g->dispersion += MAX(DISPERSION_NEW, 1.0 / ++g->dispersed) *
				 (off * off - g->dispersion);
	}
	if (g->tried_concurrency <= 0 && g->here_ready != g->ready)
		g->here = (struct moments){.n = 0};
	g->here_ready = g->ready;
	if (g->tried_concurrency <= 0 || has_fallen(g, concurrency))
		moments_add(&g->here, latency_s);

	if (b->seen == 0 || now - b->at_ns >= KEEP_NS) {
		*b = (struct bin){.concurrency = concurrency, .latency_s = latency_s};
	} else {
		double weight = MAX(1.0 / (b->seen + 1), SMOOTHING);

		b->concurrency += weight * (concurrency - b->concurrency);
		b->latency_s += weight * (latency_s - b->latency_s);
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
gradient_report(struct gradient *g, double concurrency, double waiting, double completed,
		double latency_s, double period_s)
{
	g->waited_s += waiting * period_s;
	g->all_s += concurrency * period_s;
	g->step_completed += completed;
	g->step_answered_s += completed * latency_s;
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
	if (g->completed >= SAMPLE_LEAST && g->reported_s > 0 && g->answered_s > 0 && is_steady(g))
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

/* Requests take longer now, or took longer for a while: forget the bins that were faster. */
static void
forget_faster(struct gradient *g, int64_t now)
{
	size_t i;

	for (i = 0; i < BINS; i++) {
		struct bin *b = &g->bins[i];

		if (b->latency_s < g->latency_s / FLAT)
			b->seen = 0;
		if (b->at_ns >= g->tried_ns)
			b->knee = 0;
	}
	g->unloaded_s = lowest(g, now);
}

enum effect { EFFECT_NONE, EFFECT_OPEN, EFFECT_LOWER, EFFECT_CLEAR };

/* Has a step down lowered latency by a quarter of what it lowered concurrency at least?  Open: too
 * little is known to tell.  Clear: by three quarters, and beyond all doubt. */
static enum effect
effect_of(const struct gradient *g)
{
	double due = -log(MIN(g->concurrency / g->tried_concurrency, FALLEN)) / 4;
	double before = moments_variance(&g->tried), after = moments_variance(&g->here);
	double lower, error;

	if (g->here.n < SAMPLES_LEAST)
		return EFFECT_OPEN;
	lower = moments_mean(&g->tried) - moments_mean(&g->here);
	error = ERRORS * MAX(sqrt(before / g->tried.n + MAX(before, after) / g->here.n + g->drift),
			     ERROR_LEAST);
	if (lower - 2 * error > 0 && lower > 3 * due)
		return EFFECT_CLEAR;
	if (lower - error > 0 && lower > due)
		return EFFECT_LOWER;
	return lower + error < due ? EFFECT_NONE : EFFECT_OPEN;
}

/* How much latency varies by itself: from one window to the next, once that is known; until then
 * from one sample to the next, which is more where requests are few or vary from second to
 * second. */
static double
variation(const struct gradient *g)
{
	double by_sample = sqrt(g->dispersion);

	return g->windows < WINDOWS_LEAST ? by_sample : MIN(by_sample, sqrt(g->drift));
}

/* What requests take varies much: more has to be seen of it. */
static bool
is_noisy(const struct gradient *g)
{
	return variation(g) > NOISY;
}

/* Try no step down for so long at least; for twice as long as the last time. */
static void
pause_trials(struct gradient *g, int64_t least_ns, int64_t now)
{
	g->no_trial_ns = MIN(MAX(2 * g->no_trial_ns, least_ns), NO_TRIAL_MOST_NS);
	g->no_trial_before_ns = now + g->no_trial_ns;
}

/* The step down had no effect: take it back, with those before it unless they have shown the
 * knee, and try none again for long. */
static void
take_back(struct gradient *g, const struct gradient_facts *f, int64_t now)
{
	g->target = g->confirmed >= CONFIRMED
			    ? MIN(MAX(g->confirmed_knee, g->tried_target), f->configured)
			    : MIN(g->base_target, f->configured);
	pause_trials(g, NO_TRIAL_STEPS * f->step_ns, now);
	forget_faster(g, now);
	g->here = (struct moments){.n = 0};
}

/* Is a step down being tried?  Its effect decides: only if latency falls with concurrency does
 * it stay. */
static bool
is_trying(struct gradient *g, const struct gradient_facts *f, int64_t now)
{
	bool is_begun = g->here.n > 0 && g->here.n < SAMPLES_LEAST;
	enum effect effect;

	if (g->tried_concurrency <= 0)
		return false;
	effect = effect_of(g);
	if (effect == EFFECT_OPEN &&
	    now - g->tried_ns < (is_begun ? 3 : 1) * TRIAL_WINDOWS * f->step_ns)
		return true;
	g->tried_concurrency = 0;
	if (effect >= EFFECT_LOWER) {
		g->confirmed += effect == EFFECT_CLEAR ? CONFIRMED : 1;
		g->trials--;
		g->confirmed_knee = g->knee > 0 ? g->knee : g->concurrency;
		g->no_trial_ns = 0;
	} else if (g->here.n < SAMPLES_LEAST && g->ready <= g->tried_ready && !is_noisy(g)) {
		g->trials--;
		g->base_target = g->target;
		return false;			/* it has cost nothing yet: go on */
	} else if (g->here.n < SAMPLES_LEAST) { /* as the load rose, it has shown nothing */
		g->target = g->tried_target;
		pause_trials(g, UNSEEN_STEPS * f->step_ns, now);
	} else {
		take_back(g, f, now);
	}
	return effect < EFFECT_LOWER;
}

static void
try_lower(struct gradient *g, double target, int64_t now)
{
	g->tried_concurrency = g->concurrency;
	g->tried_target = target;
	if (g->confirmed == 0)
		g->base_target = target;
	g->tried_ready = g->ready;
	g->trials++;
	g->tried = g->here;
	g->here = (struct moments){.n = 0};
	g->tried_ns = now;
}

/* The knee has shown in what steps down did. */
static bool
is_confirmed(const struct gradient *g, double goal)
{
	if (g->gross_knee > 0 && goal >= BELIEVED * g->gross_knee)
		return true;
	return g->confirmed >= CONFIRMED && goal >= BELIEVED * g->confirmed_knee;
}

/* A target that is to fall from the configured one by little stays, and so does one where the
 * last step down had no effect, or that work and not load explains. */
static bool
may_lower(const struct gradient *g, const struct gradient_facts *f, double target, double goal,
	  int64_t now)
{
	if (!f->is_applied || goal >= f->configured)
		return true;
	if (is_confirmed(g, goal))
		return target < f->configured || goal < LEAVE * f->configured;
	if (variation(g) > UNEVEN && (g->steps < STEPS_LEAST || g->trials > g->steps / TRIAL_STEPS))
		return false; /* a step down costs a little: it may do so rarely */
	if (g->waited_s > STARTING * g->all_s || now < g->no_trial_before_ns ||
	    !regression_may_be_load(&g->line, is_noisy(g)) || g->here.n < SAMPLES_LEAST)
		return false;
	return g->why != WHY_KNEE || target < f->configured || goal < LEAVE * f->configured;
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
	g->confirmed = 0;
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

/* A step that was believed has lowered latency, too: believe in the knee that is known now. */
static void
follow_knee(struct gradient *g)
{
	double fallen = g->concurrency / g->believed_concurrency;

	if (g->confirmed < CONFIRMED || g->believed_concurrency <= 0 || fallen > FALLEN)
		return;
	if (g->knee > 0 && log(g->believed_latency_s / g->latency_s) > -log(fallen) / 4)
		g->confirmed_knee = MIN(g->confirmed_knee, g->knee);
	g->believed_concurrency = 0;
}

/* Up to which concurrency was latency seen not to rise?  While it has risen nowhere, a higher
 * target is the way to see more. */
static double
harmless(const struct gradient *g, int64_t now)
{
	double risen = INFINITY, flat = 0;
	size_t i;

	for (i = 0; i < BINS; i++) {
		const struct bin *b = &g->bins[i];

		if (!is_fresh(b, now))
			continue;
		if (b->latency_s <= g->unloaded_s * (HARMLESS + 2 * uncertainty(g, b) - 1))
			flat = MAX(flat, b->concurrency);
		else
			risen = MIN(risen, b->concurrency);
	}
	return isinf(risen) ? INFINITY : flat;
}

/* How high may the target go?  Where requests wait for instances, not above the configured one;
 * if it was higher, a higher one is not tried again for long.  Where little is known of latency,
 * or for that time, not higher than it is. */
static double
highest(struct gradient *g, const struct gradient_facts *f, double target, int64_t now)
{
	bool is_known = g->here.n >= SAMPLES_LEAST && g->dispersed >= DISPERSED_LEAST &&
			variation(g) <= EVEN && g->steps >= STEPS_LEAST;

	if (g->waited_s <= WAITED * g->all_s)
		return is_known && now >= g->no_raise_before_ns
			       ? MAX(harmless(g, now), f->configured)
			       : MAX(target, f->configured);
	if (target > f->configured) {
		g->no_raise_ns = MIN(MAX(2 * g->no_raise_ns, NO_TRIAL_STEPS * f->step_ns),
				     NO_TRIAL_MOST_NS);
		g->no_raise_before_ns = now + g->no_raise_ns;
	}
	return f->configured;
}

static void
step(struct gradient *g, const struct gradient_facts *f, int64_t now)
{
	double target = g->target > 0 ? g->target : f->configured, goal, next;

	g->steps++;
	if (is_trying(g, f, now))
		return;
	weigh_knee(g, target, now);
	if (is_refuted(g))
		forget_knee(g);
	goal = goal_of(g, f, target, now);
	follow_knee(g);
	goal = MIN(goal, highest(g, f, target, now));
	if (goal < target && !may_lower(g, f, target, goal, now))
		goal = MIN(MAX(goal, f->configured), target);
	g->waited_s *= WAITS_KEEP;
	g->all_s *= WAITS_KEEP;
	next = bounded(f, MIN(MAX(goal, target * DOWN), target * (goal > g->knee ? BACK : UP)));
	if (fabs(goal / target - 1) < DEAD_BAND || is_prevented(g, f, target, next))
		next = target;
	if (next < target && next < f->configured && f->is_applied) {
		if (!is_confirmed(g, goal))
			try_lower(g, target, now);
		g->believed_concurrency = g->concurrency;
		g->believed_latency_s = g->latency_s;
	}
	g->target = next;
	if (g->knee <= 0 && fabs(next - f->configured) < 1e-9)
		g->target = 0;
}

/* The window that has passed is a point of the line.  By how much does latency change from one
 * window to the next, while the target stays? */
static void
add_point(struct gradient *g)
{
	double latency_s = g->step_answered_s / g->step_completed;

	if (g->step_completed >= SAMPLE_LEAST && g->step_instance_s > 0 && latency_s > 0) {
		regression_add(&g->line, g->step_completed / g->step_instance_s, latency_s);
		if (g->last_s > 0 && g->tried_concurrency <= 0 &&
		    fabs(g->target - g->last_target) < 1e-9) {
			double off = log(latency_s / g->last_s);

			g->drift += MAX(DISPERSION_NEW, 1.0 / ++g->windows) *
				    (off * off / 2 - g->drift);
		}
		g->last_s = g->tried_concurrency > 0 ? 0 : latency_s;
		g->last_target = g->target;
	}
	g->step_completed = g->step_answered_s = g->step_instance_s = 0;
}

void
gradient_tick(struct gradient *g, const struct gradient_facts *f, int64_t now)
{
	take_sample(g, f, now);
	g->step_instance_s += f->ready;
	if (g->stepped_ns == 0)
		g->stepped_ns = now;
	if (now - g->stepped_ns < f->step_ns)
		return;
	g->stepped_ns = now;
	add_point(g);
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
