/* gradient, the slow brain, on simulated time, with modelled apps whose latency rises in
 * several ways, and a fast brain of a few lines.  It finds the knee and stays there, moves
 * within its bounds, and proposes nothing without data. */
#include "unit.h"

#include <math.h>

#include "autoscaler/brain/gradient.h"
#include "common/clk.h"
#include "common/strbuf.h"

#define WINDOW_S 60
#define PANIC_S 6
#define START_S 2

static struct world {
	struct gradient *g;
	struct gradient_facts facts;
	/* the app */
	double base_s, knee,
		crowd; /* latency: base × max(1, c / knee), and crowd s for each request */
	bool is_open;  /* the load is requests a second, else requests at once */
	double load, noise;
	/* the fast brain */
	double utilization, in_flight;
	double seen[WINDOW_S];
	uint32_t most;
	double wanted_at[START_S + 1];
	int64_t now;
	uint64_t random;
} w;

static double
random_unit(void)
{
	w.random = w.random * 6364136223846793005u + 1442695040888963407u;
	return (double)(w.random >> 11) / 9007199254740992.0;
}

static double
latency_at(double concurrency)
{
	return w.base_s * MAX(1, concurrency / w.knee) + w.crowd * concurrency;
}

/* The number of requests at once, on n instances. */
static double
in_flight(uint32_t n)
{
	int i;

	if (!w.is_open)
		return w.load;
	/* open: what arrives in a second, and what was there, less what n instances answer */
	for (i = 0; i < 500; i++) {
		double each = w.in_flight / n;

		w.in_flight += w.load / 500;
		w.in_flight -= w.in_flight / latency_at(each) / 500;
	}
	return w.in_flight;
}

static void
second(void)
{
	double target = gradient_target(w.g) > 0 ? gradient_target(w.g) : w.facts.configured;
	double each, latency, stable = 0, panic = 0, held;
	uint32_t wanted;
	int i;

	w.now += CLK_S;
	held = in_flight(w.facts.ready) * (1 + w.noise * (random_unit() - 0.5));
	each = held / w.facts.ready;
	latency = latency_at(each) * (1 + w.noise * (random_unit() - 0.5));
	gradient_report(w.g, held, 0, held / latency, latency, 1);
	memmove(w.seen, w.seen + 1, sizeof w.seen - sizeof w.seen[0]);
	w.seen[WINDOW_S - 1] = held;
	for (i = 0; i < WINDOW_S; i++) {
		stable += w.seen[i] / WINDOW_S;
		panic += i < WINDOW_S - PANIC_S ? 0 : w.seen[i] / PANIC_S;
	}
	wanted = (uint32_t)MAX(ceil(MAX(stable, panic) / (target * w.utilization)), 1);
	memmove(w.wanted_at, w.wanted_at + 1, sizeof w.wanted_at - sizeof w.wanted_at[0]);
	w.wanted_at[START_S] = w.most > 0 ? MIN(wanted, w.most) : wanted;
	w.facts.ready = (uint32_t)w.wanted_at[0];
	gradient_tick(w.g, &w.facts, w.now);
}

static double
target(void)
{
	return gradient_target(w.g) > 0 ? gradient_target(w.g) : w.facts.configured;
}

static char *
sentence(void)
{
	struct strbuf out;

	strbuf_init(&out, 0);
	gradient_explain(w.g, &out);
	return strbuf_take(&out);
}

static int
setup(void **state)
{
	int i;

	(void)state;
	w = (struct world){.g = gradient_new(),
			   .facts = {.configured = 100,
				     .is_applied = true,
				     .step_ns = WINDOW_S * CLK_S,
				     .ready = 1,
				     .reporters = 1,
				     .cpu_cores = -1},
			   .base_s = 0.05,
			   .knee = 20,
			   .utilization = 0.7,
			   .now = 5 * CLK_S,
			   .random = 42};
	for (i = 0; i <= START_S; i++)
		w.wanted_at[i] = 1;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	gradient_free(&w.g);
	return 0;
}

/* Run for so long; the proposal moves in bounded steps, at most once in a window. */
static void
run(int seconds)
{
	double before = target();
	int since = WINDOW_S;

	for (; seconds > 0; seconds--, since++) {
		double now;

		second();
		now = target();
		if (fabs(now - before) < 1e-9)
			continue;
		assert_true(since >= WINDOW_S);
		since = 0;
		/* a step down without effect is taken back as a whole */
		assert_true(now >= before * 0.8 - 1e-9 &&
			    (now <= before * 1.25 + 1e-9 || now <= w.facts.configured));
		before = now;
	}
}

/* For so long the target stays within a quarter of the knee. */
static void
stays_at(double knee, int seconds)
{
	int s;

	for (s = 0; s < seconds; s++) {
		second();
		if (fabs(target() / knee - 1) > 0.25)
			fail_msg("%g, not %g, after %d s", target(), knee, s);
	}
}

static const struct {
	bool is_open;
	double load, noise, knee, base_s;
} loads[] = {
	{false, 300, 0, 20, 0.05},   {false, 300, 0.2, 20, 0.05}, {false, 70, 0.2, 20, 0.05},
	{false, 2000, 0.2, 20, 0.5}, {true, 5000, 0.2, 20, 0.05}, {true, 900, 0.1, 20, 0.05},
	{false, 300, 0.2, 40, 0.05}, {false, 300, 0.2, 5, 0.05},  {true, 3000, 0.1, 8, 0.02},
};

static void
finds_the_knee_and_stays(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(loads); i++) {
		char *text;

		teardown(state);
		setup(state);
		w.is_open = loads[i].is_open;
		w.load = loads[i].load;
		w.noise = loads[i].noise;
		w.knee = loads[i].knee;
		w.base_s = loads[i].base_s;
		run(30 * WINDOW_S);
		stays_at(w.knee, 6 * 3600);
		text = sentence();
		assert_non_null(strstr(text, "an instance carries about "));
		free(text);
	}
}

/* Instances and the seconds that requests wait for one another, for so long; fixed > 0: with this
 * target all the time. */
static double
cost_of(void **state, double configured, double fixed, double noise, int seconds)
{
	double cost = 0;
	int s;

	teardown(state);
	setup(state);
	w.load = 300;
	w.noise = noise;
	w.facts.configured = fixed > 0 ? fixed : configured;
	w.facts.is_applied = fixed <= 0;
	w.facts.most = fixed; /* nothing above it is proposed, and nothing below it tried */
	for (s = 0; s < seconds; s++) {
		if (fixed > 0) {
			gradient_free(&w.g);
			w.g = gradient_new();
		}
		second();
		cost += w.facts.ready +
			w.load * (1 - w.base_s / latency_at(w.load / w.facts.ready));
	}
	return cost / seconds;
}

/* From targets four times too high and too low, within eight hours, four fifths of the way from
 * what they cost to what the best fixed target costs. */
static void
most_of_the_gap_is_closed(void **state)
{
	static const double noises[] = {0, 0.1, 0.2, 0.4};
	double ideal = 20 / 0.7, best = cost_of(state, 0, ideal, 0.1, 600);
	size_t i;
	int k;

	for (k = -1; k <= 1; k += 2)
		for (i = 0; i < ARRAY_LEN(noises); i++) {
			double configured = k < 0 ? ideal / 4 : ideal * 4;
			double off = cost_of(state, 0, configured, noises[i], 600);
			double on = cost_of(state, configured, 0, noises[i], 8 * 3600);

			if (off - on < 0.8 * (off - best))
				fail_msg("target %.1f, noise %g: %.0f, without it %.0f, best %.0f",
					 configured, noises[i], on, off, best);
		}
}

/* Low load first, as after a wake, so that the latency is known when the load rises. */
static void
from_a_ramp(void **state)
{
	int i;

	(void)state;
	w.noise = 0.2;
	for (i = 0; i < 20; i++) {
		w.load = 5 + i * 20;
		run(WINDOW_S);
	}
	run(60 * WINDOW_S);
	stays_at(20, 3600);
}

/* Load that rises and falls all day; while it is light the target stays. */
static void
over_a_day(void **state)
{
	int i;

	(void)state;
	w.noise = 0.2;
	w.load = 300;
	run(40 * WINDOW_S);
	for (i = 0; i < 23 * 60; i++) {
		w.load = 200 + 190 * sin(i * 2 * 3.14159 / 240);
		stays_at(20, 60);
	}
}

/* A day after the knee was last seen it is searched again, in steps of a tenth. */
static void
looks_again_after_a_day(void **state)
{
	int i, away = 0;

	(void)state;
	w.noise = 0.1;
	w.load = 300;
	run(20 * WINDOW_S);
	for (i = 0; i < 70 * 3600; i++) {
		second();
		assert_true(target() < 2 * 20);
		away += fabs(target() / 20 - 1) > 0.25;
	}
	assert_true(away < 70 * 3600 / 100);
	stays_at(20, 3600);
}

static void
flat_latency_keeps_or_raises_the_target(void **state)
{
	int i;

	(void)state;
	w.knee = 1e9;
	w.noise = 0.2;
	w.load = 1000;
	run(30 * WINDOW_S);
	assert_true(target() >= 100);
	run(3600);
	assert_true(target() <= 400); /* at most four times the configured one */
	assert_true(target() > 300);
	w.facts.most = 120; /* container_concurrency */
	for (i = 0; i <= WINDOW_S; i++)
		second();
	stays_at(120, 3600);
}

/* Latency five times as high from one second to the next, at any concurrency, means another
 * kind of request, and no need of five times the instances. */
static void
slower_requests_are_no_knee(void **state)
{
	double least = 1e9;
	int i;

	(void)state;
	w.noise = 0.1;
	w.load = 300;
	run(20 * WINDOW_S);
	stays_at(20, 3600);
	w.base_s *= 5;
	for (i = 0; i < 3600; i++) {
		second();
		least = MIN(least, target());
	}
	assert_true(least > 9);
	stays_at(20, 3600);
	w.base_s /= 5; /* as before */
	run(3600);
	stays_at(20, 3600);
}

/* What requests take varies, from minute to minute and by chance; load has no part in it.  So
 * concurrency rises and falls with latency, and looks like a knee. */
static void
varying_work_is_no_knee(void **state)
{
	double held = 0, sum = 0, work = 1;
	int s;

	(void)state;
	w.facts.configured = 8;
	for (s = 0; s < 8 * 3600; s++) {
		double load = 20 * (1 + 0.3 * sin(s / 300.0)), latency;

		if (s % 60 == 0)
			work = exp(0.5 * (random_unit() + random_unit() - 1));
		latency = work * (1 + 0.3 * (random_unit() - 0.5));
		w.now += CLK_S;
		gradient_report(w.g, load * latency, 0, load, latency, 1);
		held += (load * latency - held) / WINDOW_S;
		w.facts.ready = (uint32_t)MAX(ceil(held / (target() * w.utilization)), 1);
		gradient_tick(w.g, &w.facts, w.now);
		assert_true(target() >= 0.6 * 8);
		sum += 8 / target();
	}
	assert_true(sum / s > 0.98 && sum / s < 1.02); /* instances, beside those without it */
}

/* The app can carry more than before. */
static void
a_higher_knee_is_found_in_the_end(void **state)
{
	int s, slow = 0;

	(void)state;
	w.noise = 0.1;
	w.load = 300;
	run(20 * WINDOW_S);
	stays_at(20, 3600);
	w.knee = 60;
	run(30 * 3600);
	/* a target above the knee stays where it does no harm: at 70 % of it latency is low */
	for (s = 0; s < 6 * 3600; s++) {
		second();
		slow += latency_at(w.load / w.facts.ready) > 1.2 * w.base_s;
		assert_true(target() > 45);
	}
	assert_true(slow < 6 * 3600 / 100);
}

static void
nothing_is_proposed_on_thin_data(void **state)
{
	char *text;

	(void)state;
	w.load = 0.01; /* a request every five seconds */
	run(10 * WINDOW_S);
	assert_true(gradient_target(w.g) == 0);
	text = sentence();
	assert_string_equal(text, "too few recent responses to learn from: the configured "
				  "target applies");
	free(text);
	gradient_free(&w.g);
	w.g = gradient_new();
	w.load = 3;
	run(10 * WINDOW_S);
	assert_true(gradient_target(w.g) == 0);
	text = sentence();
	assert_string_equal(text, "about 3.0 requests at a time, far below the target: the "
				  "configured target applies");
	free(text);
}

/* A proposal that is only observed must not assume that it is used. */
static void
observing_tries_nothing(void **state)
{
	char *text;

	(void)state;
	w.facts.is_applied = false;
	w.most = 1;
	w.load = 80;
	run(20 * WINDOW_S);
	assert_true(gradient_target(w.g) == 0);
	text = sentence();
	assert_string_equal(text, "latency is known only at about 80.0 requests at a time (200.0 "
				  "ms): the configured target applies");
	free(text);
	w.load = 10; /* so that latency is known at low load too */
	run(2 * WINDOW_S);
	w.load = 80;
	run(20 * WINDOW_S);
	assert_true(fabs(gradient_target(w.g) - 20) < 5);
}

static void
a_full_machine_is_no_reason_for_more(void **state)
{
	char *text;

	(void)state;
	w.load = 300;
	w.facts.cpu_cores = 1;
	w.facts.machine_cores = 2;
	w.facts.machine_used = 1.9;
	run(10 * WINDOW_S);
	assert_true(target() >= 100);
	text = sentence();
	assert_non_null(strstr(text, "the machine's CPUs are busy"));
	free(text);
	w.facts.machine_used = 0.5;
	run(1 * WINDOW_S);
	assert_true(target() < 100);
	w.facts.memory_bytes = 1e9; /* more instances would not fit */
	w.facts.machine_memory = 1e9 * w.facts.ready;
	run(1 * WINDOW_S);
	text = sentence();
	assert_non_null(strstr(text, "would not fit into memory"));
	free(text);
}

/* Growing beyond the configured target needs free processors. */
static void
growth_within_the_machine(void **state)
{
	(void)state;
	w.knee = 1e9;
	w.load = 1000;
	w.facts.machine_cores = 8;
	w.facts.cpu_cores = 0.1;
	run(20 * WINDOW_S);
	w.facts.cpu_cores = 7; /* of each instance */
	{
		double before = target();

		run(20 * WINDOW_S);
		assert_true(target() <= before);
	}
}

static void
what_is_not_steady_is_not_believed(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 600; i++) { /* half of the requests are parked */
		w.now += CLK_S;
		gradient_report(w.g, 100, 50, 500, 0.1, 1);
		gradient_tick(w.g, &w.facts, w.now);
	}
	assert_true(gradient_target(w.g) == 0);
	for (i = 0; i < 600; i++) { /* the part that was parked is not known */
		w.now += CLK_S;
		w.facts.ready = 2 - (uint32_t)(i % 2);
		gradient_report(w.g, 100, 0, 1000, 0.1, 1);
		gradient_tick(w.g, &w.facts, w.now);
	}
	assert_true(gradient_target(w.g) == 0);
}

static void
over_a_restart(void **state)
{
	struct gradient_data d;
	struct gradient *before = w.g;

	(void)state;
	w.load = 300;
	run(20 * WINDOW_S);
	gradient_export(w.g, &d, w.now);
	w.g = gradient_new();
	gradient_import(w.g, &d, w.now);
	assert_true(fabs(gradient_target(w.g) - gradient_target(before)) < 1e-9);
	stays_at(20, 3 * 3600);
	gradient_free(&before);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(finds_the_knee_and_stays),
		T(most_of_the_gap_is_closed),
		T(from_a_ramp),
		T(over_a_day),
		T(looks_again_after_a_day),
		T(flat_latency_keeps_or_raises_the_target),
		T(slower_requests_are_no_knee),
		T(varying_work_is_no_knee),
		T(a_higher_knee_is_found_in_the_end),
		T(nothing_is_proposed_on_thin_data),
		T(observing_tries_nothing),
		T(a_full_machine_is_no_reason_for_more),
		T(growth_within_the_machine),
		T(what_is_not_steady_is_not_believed),
		T(over_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
