/* idleness: what is advised after chosen idle times, at which price, and the same after a
 * restart; idle_plan: the cheapest plan against all plans of one span. */
#include "unit.h"

#include <math.h>

#include "autoscaler/brain/idleness.h"
#include "common/clk.h"
#include "common/strbuf.h"

#define FIXED_S 60

static int64_t now;
static uint64_t seed;

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

static struct idleness *
priced(double start_s, double wait_cost, double least_s)
{
	const struct idle_price p = {
		.start_s = start_s, .wait_cost = wait_cost, .least_s = least_s};
	struct idleness *i = idleness_new();

	idleness_set_price(i, &p, FIXED_S);
	return i;
}

static void
plan(struct idleness *i)
{
	if (idleness_is_plan_due(i))
		idleness_make_plans(i);
}

/* A request of one second, and then none for idle_s. */
static void
request(struct idleness *i, double idle_s)
{
	idleness_used(i, 1, now, now + CLK_S);
	now += CLK_S;
	idleness_unused(i);
	plan(i);
	now += (int64_t)(idle_s * CLK_S);
}

/* Is there to be an instance idle_s after the last request, which has just ended? */
static bool
warm_after(struct idleness *i, double idle_s)
{
	return idleness_advise(i, now + (int64_t)(idle_s * CLK_S)).is_warm;
}

static void
few_are_not_learned_from(void **state)
{
	struct idleness *i = idleness_new();
	struct strbuf out;

	(void)state;
	assert_false(idleness_advise(i, now).is_learned); /* no price is known */
	idleness_free(&i);
	i = priced(1, 10, 0);
	request(i, 50);
	request(i, 0);
	assert_true(idleness_advise(i, now).is_learned);
	assert_true(idleness_advise(i, now).stay_s == 11); /* what a start and its wait cost */
	strbuf_init(&out, 0);
	idleness_explain(i, &out);
	assert_string_equal(strbuf_str(&out),
			    "1 idle times are known, 2 are needed: after a request the last "
			    "instance stays for 11 s (until idling has cost as much as a start "
			    "does, but no longer than with keep_warm = fixed)");
	strbuf_fini(&out);
	idleness_free(&i);
	i = priced(1, 100, 0);
	request(i, 50);
	request(i, 0);
	assert_true(idleness_advise(i, now).stay_s == FIXED_S);
	idleness_free(&i);
	i = priced(1, 10, 0); /* the fixed keys do not meet it either */
	request(i, 5000);
	request(i, 0);
	assert_true(idleness_advise(i, now).stay_s <= 0);
	idleness_free(&i);
}

static void
a_timer_is_met(void **state)
{
	static const double periods[] = {47, 300, 3600, 86400};
	size_t p;
	int k;

	(void)state;
	for (p = 0; p < ARRAY_LEN(periods); p++) {
		struct idleness *i = priced(20, 100, 0);

		for (k = 0; k < 40; k++)
			request(i, periods[p] + normal(1));
		request(i, 0);
		assert_true(warm_after(i, periods[p] - 2));
		assert_true(warm_after(i, periods[p] - 19)); /* it is starting */
		assert_true(warm_after(i, periods[p] + 2));
		assert_false(warm_after(i, periods[p] + 120));
		if (periods[p] > 60) { /* a start costs less than to stay */
			assert_true(idleness_advise(i, now).stay_s <= 0);
			assert_false(warm_after(i, 1));
			assert_false(warm_after(i, periods[p] - 32));
		}
		idleness_free(&i);
	}
}

static void
a_timer_in_words(void **state)
{
	struct idleness *i = priced(1, 100, 0);
	struct strbuf out;
	int k;

	(void)state;
	for (k = 0; k < 100; k++)
		request(i, 300 + normal(1));
	strbuf_init(&out, 0);
	idleness_explain(i, &out);
	assert_non_null(strstr(strbuf_str(&out), "99 idle times are known; four in five"));
	assert_non_null(strstr(strbuf_str(&out),
			       "last 4 min 59 s to 5 min 1 s: after a request the "
			       "last instance is stopped at once, and one is ready "
			       "again from 4 min 5"));
	assert_non_null(strstr(strbuf_str(&out), " s after it; that costs "));
	assert_non_null(strstr(strbuf_str(&out),
			       " instance-seconds an idle time, keep_warm = fixed "
			       "161 (with what waits for a start, at wait_cost = "
			       "100)"));
	strbuf_fini(&out);
	idleness_free(&i);
}

static void
where_there_is_no_pattern_the_price_decides(void **state)
{
	struct idleness *dear = priced(1, 100, 0), *cheap = priced(1, 10, 0);
	int k;

	(void)state;
	for (k = 0; k < 300; k++) {
		double idle_s = -30 * log(1 - uniform()); /* Poisson: one in 30 s */

		request(dear, idle_s);
		request(cheap, idle_s);
	}
	request(dear, 0);
	assert_true(warm_after(dear, 30) || !idleness_advise(dear, now).is_learned);
	request(cheap, 0);
	assert_true(idleness_advise(cheap, now).is_learned);
	assert_false(warm_after(cheap, 2));
	idleness_free(&dear);
	idleness_free(&cheap);
}

static void
the_floor_holds(void **state)
{
	struct idleness *i = priced(1, 1, 5);
	int k;

	(void)state;
	for (k = 0; k < 50; k++)
		request(i, 1000 * uniform() + 100);
	request(i, 0);
	assert_true(idleness_advise(i, now).stay_s >= 5);
	assert_true(warm_after(i, 4.9));
	assert_false(warm_after(i, 6));
	idleness_free(&i);
}

/* A thousand short idle times for each long one do not push the long ones out. */
static void
rare_idle_times_are_kept(void **state)
{
	struct idleness *i = priced(1, 1000, 0);
	struct idleness_data d;
	size_t k, longest = 0;
	int day;

	(void)state;
	for (day = 0; day < 10; day++) {
		for (k = 0; k < 1000; k++)
			request(i, 2 + uniform());
		request(i, 80000 + normal(2));
	}
	request(i, 0);
	idleness_export(i, &d, now);
	for (k = 0; k < d.n; k++)
		longest += d.v[k].idle_s > 79000;
	assert_int_equal(longest, 10);
	assert_true(warm_after(i, 3));
	assert_false(warm_after(i, 1000));
	idleness_free(&i);
}

/* Of a timer of hours or days: each idle time from the third on is met. */
static void
a_rare_timer_is_met_soon(void **state)
{
	static const double periods[] = {6 * 3600, 26 * 3600};
	int p, k, round;

	(void)state;
	for (p = 0; p < 2; p++)
		for (round = 0; round < 20; round++) {
			struct idleness *i = priced(1, 100, 0);
			int met = 0;

			for (k = 0; k < 22; k++) {
				double idle_s = periods[p] + normal(2);

				request(i, idle_s);
				now -= (int64_t)(idle_s * CLK_S);
				met += k > 1 && warm_after(i, idle_s) &&
				       !warm_after(i, idle_s - 60);
				now += (int64_t)(idle_s * CLK_S);
			}
			assert_true(met >= 18);
			idleness_free(&i);
		}
}

/* What no longer holds is forgotten within a dozen idle times. */
static void
habits_change(void **state)
{
	struct idleness *i = priced(1, 100, 0);
	int k;

	(void)state;
	for (k = 0; k < 500; k++)
		request(i, 600 + normal(1));
	for (k = 0; k < 12; k++)
		request(i, 1000 + normal(1));
	request(i, 0);
	assert_true(warm_after(i, 999));
	assert_false(warm_after(i, 900));
	idleness_free(&i);
}

/* Requests that follow the first one wait as well: that is worth more. */
static void
followers_wait_too(void **state)
{
	struct idleness *i = priced(10, 10, 0);
	int k, n;

	(void)state;
	for (k = 0; k < 100; k++) {
		for (n = 0; n < 50; n++) {
			idleness_used(i, 1, now, now + CLK_S / 10);
			now += CLK_S / 5;
		}
		request(i, -100 * log(1 - uniform()));
	}
	assert_true(idleness_advise(i, now).is_learned && idleness_advise(i, now).stay_s > 100);
	idleness_free(&i);
}

/* In the long run it costs no more than the fixed keys: over shapes, prices and starts. */
static double
idle_time(int shape, double at_s)
{
	bool is_day = fmod(at_s, 86400) > 28800 && fmod(at_s, 86400) < 64800;

	switch (shape) {
	case 0:
		return -1200 * log(1 - uniform());
	case 1:
		return -120 * log(1 - uniform());
	case 2:
		return pow(1 - uniform(), -1 / 0.7);
	case 3:
		return -(is_day ? 4 : 1800) * log(1 - uniform());
	case 4:
		return (uniform() < 0.5 ? 47 : 700) + normal(2);
	case 5: /* just beyond the fixed keys, then just within them */
		return fmod(at_s, 20000) < 10000 ? 61 : 59;
	default:
		return 900 + at_s / 1000 + normal(2);
	}
}

static void
no_dearer_than_fixed(void **state)
{
	static const double costs[] = {10, 100};
	static const double starts[] = {0.5, 20};
	const struct idle_plan fixed = {.spans = {{0, FIXED_S}}, .n = 1};
	int shape, c, s, k;

	(void)state;
	for (shape = 0; shape < 7; shape++)
		for (c = 0; c < 2; c++)
			for (s = 0; s < 2; s++) {
				const struct idle_price price = {.start_s = starts[s],
								 .wait_cost = costs[c]};
				struct idleness *i = priced(starts[s], costs[c], 0);
				double by_fixed = 0, by_learned = 0;

				for (k = 0; k < 1000; k++) {
					double idle_s = MAX(idle_time(shape, (double)now / CLK_S),
							    1);
					struct idleness_advice a;

					request(i, idle_s);
					now -= (int64_t)(idle_s * CLK_S);
					a = idleness_advise(i, now);
					by_fixed += idle_plan_cost(&fixed, &price, idle_s);
					by_learned += a.is_learned
							      ? idle_plan_cost(idleness_plan(i),
									       &price, idle_s)
							      : idle_plan_cost(&fixed, &price,
									       idle_s);
					now += (int64_t)(idle_s * CLK_S);
				}
				if (by_learned > 1.1 * by_fixed)
					fail_msg("shape %d wait_cost %g start %g: %.0f, fixed %.0f",
						 shape, costs[c], starts[s], by_learned, by_fixed);
				idleness_free(&i);
			}
}

static void
before_the_first_request_nothing_is_idle(void **state)
{
	struct idleness *i = priced(1, 100, 0);
	struct idleness_data d;

	(void)state;
	idleness_unused(i);
	now += 2400 * CLK_S;
	idleness_used(i, 1, now, now);
	idleness_export(i, &d, now);
	assert_int_equal(d.number, 0);
	assert_true(d.idle_ns < 0);
	idleness_free(&i);
}

static void
over_a_restart(void **state)
{
	struct idleness *a = priced(1, 100, 0), *b = priced(1, 100, 0);
	struct idleness_data d, again;
	int k;

	(void)state;
	for (k = 0; k < 400; k++)
		request(a, k % 4 == 0 ? 30000 : 1800 + normal(3));
	idleness_export(a, &d, now);
	assert_true(d.number == 399 && d.n <= IDLENESS_SAMPLES && d.idle_ns > 1700 * CLK_S);
	now += 7 * CLK_S;
	d.idle_ns += 7 * CLK_S;
	idleness_import(b, &d, now);
	idleness_used(a, 1, now, now); /* both plan anew */
	idleness_used(b, 1, now, now);
	idleness_unused(a);
	idleness_unused(b);
	assert_true(idleness_advise(b, now).stay_s == FIXED_S); /* it has no plans yet */
	plan(a);
	plan(b);
	for (k = 0; k < 3000; k++)
		assert_int_equal(warm_after(a, k), warm_after(b, k));
	idleness_export(b, &again, now);
	assert_int_equal(again.number, 400);
	idleness_free(&b); /* the price comes after the import: a new plan is made for it */
	b = idleness_new();
	idleness_import(b, &again, now);
	plan(b);
	idleness_set_price(b, &(struct idle_price){.start_s = 1, .wait_cost = 100}, FIXED_S);
	idleness_used(b, 1, now, now);
	idleness_unused(b);
	plan(b);
	for (k = 0; k < 3000; k += 7)
		assert_int_equal(warm_after(a, k), warm_after(b, k));
	d.idle_ns = -1; /* unknown: it is not counted; the next one is */
	idleness_import(b, &d, now);
	idleness_used(b, 1, now, now);
	idleness_unused(b);
	idleness_used(b, 1, now + 180 * CLK_S, now + 180 * CLK_S);
	idleness_export(b, &again, now);
	assert_int_equal(again.number, 400);
	assert_true(again.v[again.n - 1].idle_s == 180);
	idleness_free(&a);
	idleness_free(&b);
}

/* --- plans --- */

static double
sum_of(const struct idle_plan *p, const struct idle_price *price, const double *ends, int n)
{
	double sum = 0;
	int k;

	for (k = 0; k < n; k++)
		sum += idle_plan_cost(p, price, ends[k]);
	return sum;
}

static void
no_plan_of_one_span_is_cheaper(void **state)
{
	static const double costs[] = {1, 10, 100};
	int round, k, a, b;

	(void)state;
	for (round = 0; round < 60; round++) {
		const struct idle_price price = {.start_s = 1 + 9 * uniform(),
						 .wait_cost = costs[round % 3]};
		struct idle_step steps[80];
		double ends[40], best;
		struct idle_plan p;

		for (k = 0; k < 40; k++) { /* equal weights, each within a second */
			ends[k] = round % 2 ? 200 + 20 * uniform() : -100 * log(1 - uniform());
			ends[k] = MAX(ends[k], 0.5);
			steps[2 * k] = (struct idle_step){ends[k] - 0.01, 50};
			steps[2 * k + 1] = (struct idle_step){ends[k] + 0.01, -50};
		}
		p = idle_plan_best(steps, 80, &price);
		best = sum_of(&p, &price, ends, 40);
		for (a = -1; a < 40; a++)
			for (b = 0; b < 40; b++) {
				double from = a < 0 ? 0 : ends[a] - 0.01;
				struct idle_plan one = {
					.spans = {{(float)from, (float)(ends[b] + 0.02)}}, .n = 1};

				if (ends[b] < from)
					continue;
				/* it reckons with a second more for each span that begins
				 * later, and starts begin at steps only */
				assert_true(best <=
					    sum_of(&one, &price, ends, 40) * 1.05 + 40 * 1.1);
			}
	}
}

static int
setup(void **state)
{
	(void)state;
	now = 1000 * CLK_S;
	seed = 20261130;
	return 0;
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		T(few_are_not_learned_from),
		T(a_timer_is_met),
		T(a_timer_in_words),
		T(where_there_is_no_pattern_the_price_decides),
		T(the_floor_holds),
		T(rare_idle_times_are_kept),
		T(a_rare_timer_is_met_soon),
		T(habits_change),
		T(followers_wait_too),
		T(no_dearer_than_fixed),
		T(before_the_first_request_nothing_is_idle),
		T(over_a_restart),
		T(no_plan_of_one_span_is_cheaper),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
