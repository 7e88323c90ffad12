/* What is learned, by whole simulations.  keep_warm: what instances and waiting cost together, over
 * shapes of idle times as they were seen in production (Shahrad and others, "Serverless in the
 * Wild", USENIX ATC 2020), beside the best that could have been chosen knowing the whole trace
 * (an instance is back after p, and stays until k), and beside the fixed keys.  slow_brain: where
 * what requests take varies, it costs no more than without it. */
#include "unit.h"

#include <math.h>

#include "autoscaler/simulate/simulate.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/settings.h"
#include "common/strbuf.h"

#define START_S 1.0
#define REQUESTS_MOST 8192

static char *dir, *trace;
static uint64_t seed;

struct request {
	double at_s, takes_s;
};
static struct request requests[REQUESTS_MOST];
static size_t requests_n;

/* Evenly from 0 to 1; the same numbers in each run. */
static double
uniform(void)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (double)(seed >> 11) / (double)(UINT64_C(1) << 53);
}

static double
normal(double deviation)
{
	return deviation * sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform());
}

static double
exponential(double mean)
{
	return -mean * log(1 - uniform());
}

/* --- traces --- */

static double
timer_15min(double at_s)
{
	(void)at_s;
	return 900 + normal(2);
}

static double
timer_5min(double at_s)
{
	(void)at_s;
	return 300 + normal(1);
}

static double
poisson_20min(double at_s)
{
	(void)at_s;
	return exponential(1200);
}

static double
poisson_2min(double at_s)
{
	(void)at_s;
	return exponential(120);
}

static double
heavy_tail(double at_s)
{
	(void)at_s;
	return pow(1 - uniform(), -1 / 0.7);
}

static double
period_that_changes(double at_s)
{
	return (at_s < 86400 ? 600 : 1000) + normal(2);
}

static void
make_requests(double (*gap)(double), double days)
{
	double at_s = 0;

	requests_n = 0;
	while (at_s < days * 86400 && requests_n < REQUESTS_MOST) {
		at_s += gap(at_s);
		requests[requests_n++] = (struct request){floor(at_s * 1000) / 1000,
							  floor(300 * exp(normal(1)) + 1) / 1000};
	}
}

static void
write_requests(void)
{
	FILE *f = fopen(trace, "w");
	size_t i;

	assert_non_null(f);
	fputs("start_ms,duration_ms\n", f);
	for (i = 0; i < requests_n; i++)
		fprintf(f, "%.0f,%.0f\n", requests[i].at_s * 1000, requests[i].takes_s * 1000);
	fclose(f);
}

/* --- the best in hindsight --- */

static double gaps[REQUESTS_MOST];
static size_t gaps_n;
static double busy_s;

static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void
find_gaps(void)
{
	double end_s = requests[0].at_s + requests[0].takes_s;
	size_t i;

	gaps_n = 0;
	busy_s = requests[0].takes_s;
	for (i = 1; i < requests_n; i++) {
		double to_s = requests[i].at_s + requests[i].takes_s;

		if (requests[i].at_s > end_s)
			gaps[gaps_n++] = requests[i].at_s - end_s;
		busy_s += MAX(to_s - MAX(end_s, requests[i].at_s), 0);
		end_s = MAX(end_s, to_s);
	}
	qsort(gaps, gaps_n, sizeof *gaps, compare_doubles);
}

static double
cost_of(double p, double k, double wait_cost)
{
	double cost = START_S, waited = START_S;
	size_t i;

	for (i = 0; i < gaps_n; i++) {
		double g = gaps[i];
		bool is_missed = g < p || g > k;

		cost += MAX(MIN(g, k) - p, 0) + (p > 0 && g >= p ? START_S : 0);
		cost += is_missed ? START_S : 0;
		waited += is_missed ? START_S : 0;
	}
	return busy_s + cost + wait_cost * waited;
}

static double
best(double wait_cost)
{
	static const double shares[] = {0,   0.01, 0.02, 0.05, 0.1,  0.3, 0.5,
					0.7, 0.9,  0.95, 0.98, 0.99, 1};
	double at[2 * ARRAY_LEN(shares) + 5] = {0, 5, 10, 30, 60}, least = INFINITY;
	size_t i, k, n = 5;

	for (i = 0; i < ARRAY_LEN(shares); i++) {
		double g = gaps[MIN((size_t)(shares[i] * (double)gaps_n), gaps_n - 1)];

		at[n++] = MAX(g - 0.01, 0);
		at[n++] = g + 0.01;
	}
	for (i = 0; i < n; i++)
		for (k = 0; k < n; k++)
			if (at[k] >= at[i])
				least = MIN(least, cost_of(at[i], at[k], wait_cost));
	return MIN(least, cost_of(0, 0, wait_cost));
}

/* --- what it costs in a simulation --- */

static double
figure(const char *json, const char *key)
{
	const char *at = strstr(json, key);

	assert_non_null(at);
	return strtod(at + strlen(key), NULL);
}

struct outcome {
	double instance_s, waited_s;
};

static struct outcome
simulated(const char *keys, double start_s)
{
	const struct simulate_args a = {
		.trace = trace, .revision = "s/v1", .start_ns = (int64_t)(start_s * CLK_S)};
	char *text = xasprintf("service \"s\" { hosts = {\"s\"} revision \"v1\" "
			       "{ command = {\"x\"} target = 10 %s } }\n",
			       keys);
	struct settings_errors errors = {NULL, 0};
	struct settings *s = settings_load_bytes("test.conf", text, strlen(text), &errors);
	struct strbuf out;
	struct err e = {0};
	struct outcome o;

	if (s == NULL)
		fail_msg("%s", errors.lines[0]);
	strbuf_init(&out, 0);
	if (simulate_run(&a, s, &out, &e) < 0)
		fail_msg("%s", e.text);
	o.instance_s = figure(strbuf_str(&out), "\"instance_seconds\":");
	o.waited_s = figure(strbuf_str(&out), "\"mean\":") / 1000 *
		     figure(strbuf_str(&out), "\"requests\":");
	strbuf_fini(&out);
	settings_free(&s);
	settings_errors_free(&errors);
	free(text);
	return o;
}

/* Instance-seconds and waiting together. */
static double
cost(const char *keys, double wait_cost)
{
	char *all = xasprintf("wait_cost = %g %s", wait_cost, keys);
	struct outcome o = simulated(all, START_S);

	free(all);
	return o.instance_s + wait_cost * o.waited_s;
}

/* Two days each, the first idle times included, in which the fixed keys apply: that is most of
 * what a timer costs more than the best. */
static const struct {
	const char *name;
	double (*gap)(double);
	double at_most[2]; /* as a multiple of the best, for wait_cost 10 and 100 */
} shapes[] = {
	{"a timer each 15 min", timer_15min, {1.2, 1.5}},
	{"a timer each 5 min", timer_5min, {1.2, 1.3}},
	{"one in 20 min", poisson_20min, {1.3, 1.2}},
	{"one in 2 min", poisson_2min, {1.1, 1.1}},
	{"a heavy tail", heavy_tail, {1.2, 1.15}},
	{"a period that changes", period_that_changes, {1.2, 1.2}},
};

static void
near_the_best_in_hindsight(void **state)
{
	static const double wait_costs[] = {10, 100};
	size_t i, w;

	(void)state;
	for (i = 0; i < ARRAY_LEN(shapes); i++) {
		make_requests(shapes[i].gap, 2);
		write_requests();
		find_gaps();
		for (w = 0; w < ARRAY_LEN(wait_costs); w++) {
			double learned = cost("keep_warm = learned", wait_costs[w]);
			double fixed = cost("", wait_costs[w]), least = best(wait_costs[w]);

			if (learned > shapes[i].at_most[w] * least || learned > 1.1 * fixed)
				fail_msg("%s, wait_cost %g: learned %.0f, fixed %.0f, best %.0f",
					 shapes[i].name, wait_costs[w], learned, fixed, least);
		}
	}
}

/* The last instance goes at once, whatever stable_window is, unless keep_least keeps it. */
static void
released_early(void **state)
{
	double at_once, kept;

	(void)state;
	make_requests(poisson_20min, 2);
	write_requests();
	at_once = cost("keep_warm = learned stable_window = 600s", 0);
	kept = cost("keep_warm = learned stable_window = 600s keep_least = 20s", 0);
	/* each request costs about 1.5 s, and the first ones the window */
	assert_true(at_once < (double)requests_n * 4 + 3 * 600);
	assert_true(kept > at_once + (double)requests_n * 16);
	assert_true(kept < at_once + (double)requests_n * 22);
}

/* --- the slow brain --- */

/* Requests that take 5 s on average, by a wide distribution, at a rate that rises and falls. */
static void
make_varying_work(double hours)
{
	double at_s = 0;

	requests_n = 0;
	while (at_s < hours * 3600 && requests_n < REQUESTS_MOST) {
		at_s += exponential(1 / (2 + sin(at_s / 300)));
		requests[requests_n++] = (struct request){floor(at_s * 1000) / 1000,
							  floor(3000 * exp(normal(1)) + 1) / 1000};
	}
}

static void
varying_work_costs_no_more(void **state)
{
	static const double starts[] = {2, 20};
	size_t i;

	(void)state;
	make_varying_work(1);
	write_requests();
	for (i = 0; i < ARRAY_LEN(starts); i++) {
		struct outcome off = simulated("", starts[i]);
		struct outcome on = simulated("slow_brain = on", starts[i]);

		if (on.instance_s > 1.03 * off.instance_s ||
		    on.waited_s > 1.03 * off.waited_s + 0.001 * (double)requests_n)
			fail_msg(
				"start %g s: on costs %.0f instance-seconds and %.0f s of waiting, "
				"off %.0f and %.0f",
				starts[i], on.instance_s, on.waited_s, off.instance_s,
				off.waited_s);
	}
}

static int
setup(void **state)
{
	(void)state;
	log_open(LOG_ERROR, LOG_LOGFMT, "t_costs");
	seed = 20261130;
	dir = unit_dir();
	trace = xasprintf("%s/trace.csv", dir);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	unlink(trace);
	rmdir(dir);
	free(trace);
	free(dir);
	return 0;
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {T(near_the_best_in_hindsight), T(released_early),
					   T(varying_work_costs_no_more)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
