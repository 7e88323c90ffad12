/* window: the observed series of seconds, summed over the activators, and its averages. */
#include "test/unit/unit.h"

#include <math.h>

#include "autoscaler/brain/window.h"
#include "common/clk.h"

#define FROM (1000 * CLK_S)

static struct window *
with(unsigned span_s)
{
	return window_new(span_s);
}

/* A report of the second that ends at FROM + end_s. */
static void
add(struct window *w, double end_s, double period_s, double concurrency, double requests)
{
	window_add(w, FROM + (int64_t)(end_s * CLK_S), (int64_t)(period_s * CLK_S), concurrency,
		   requests);
}

static struct window_mean
mean(const struct window *w, double at_s, unsigned span_s)
{
	return window_mean(w, FROM + (int64_t)(at_s * CLK_S), span_s, WINDOW_LINEAR);
}

static void
expect(struct window_mean m, double concurrency, double rps, unsigned seconds)
{
	assert_true(m.is_known);
	if (fabs(m.concurrency - concurrency) > 2e-6 || fabs(m.rps - rps) > 2e-6 ||
	    m.seconds != seconds)
		fail_msg("%g at once, %g a second over %u s; expected %g, %g, %u", m.concurrency,
			 m.rps, m.seconds, concurrency, rps, seconds);
}

static void
nothing_is_known_at_first(void **state)
{
	struct window *w = with(60);

	(void)state;
	assert_false(mean(w, 0, 60).is_known);
	assert_int_equal(window_idle_ns(w, FROM), 0);
	window_free(&w);
}

/* The clock has not run for a span yet. */
static void
soon_after_the_machine_has_booted(void **state)
{
	struct window *w = with(60);
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_false(window_mean(w, i * CLK_S, 60, WINDOW_LINEAR).is_known);
	window_add(w, 5 * CLK_S, CLK_S, 3, 10);
	expect(window_mean(w, 5 * CLK_S, 60, WINDOW_LINEAR), 3, 10, 1);
	expect(window_mean(w, 9 * CLK_S, 60, WINDOW_LINEAR), 3, 10, 1);
	window_free(&w);
}

static void
sources_of_a_second_are_added(void **state)
{
	struct window *w = with(60);

	(void)state;
	add(w, 1, 1, 3, 10);
	add(w, 1, 1, 4, 20);
	add(w, 2, 1, 1, 0);
	expect(mean(w, 2, 60), 4, 15, 2); /* the divisor grows until the window is full */
	expect(mean(w, 2, 1), 1, 0, 1);
	window_free(&w);
}

static void
the_average_is_rounded_to_six_digits(void **state)
{
	struct window *w = with(60);

	(void)state;
	add(w, 1, 1, 1, 1);
	add(w, 2, 1, 0, 0);
	add(w, 3, 1, 0, 0);
	assert_true(fabs(mean(w, 3, 60).concurrency - 0.333333) < 1e-12);
	window_free(&w);
}

/* Reports begin and end at any time; no part of a second is lost or counted twice. */
static void
a_report_belongs_to_the_seconds_that_it_covers(void **state)
{
	struct window *w = with(60);

	(void)state;
	add(w, 1.3, 1, 10, 10); /* from 0.3 to 1.3 s */
	expect(mean(w, 1.3, 60), 10, 10, 1);
	add(w, 2.3, 1, 20, 20);
	expect(mean(w, 2.3, 60), (0.7 * 10 + 0.3 * 10 + 0.7 * 20) / 1.7,
	       (0.7 * 10 + 0.3 * 10 + 0.7 * 20) / 1.7, 2);
	add(w, 2.5, 0.2, 100, 20); /* an early report */
	add(w, 3.3, 0.8, 5, 4);
	expect(mean(w, 3.3, 1), 0.3 * 20 + 0.2 * 100 + 0.5 * 5, 0.3 * 20 + 20 + 0.5 * 5, 1);
	window_free(&w);
}

static void
a_missing_member_is_an_error(void **state)
{
	struct window *w = with(60);
	int i;

	(void)state;
	for (i = 1; i <= 60; i++)
		add(w, i, 1, 6, 6);
	expect(mean(w, 60, 60), 6, 6, 60);
	expect(mean(w, 90, 60), 6, 6, 30);	     /* silence shortens the window */
	assert_false(mean(w, 60 + 61, 60).is_known); /* and then empties it */
	add(w, 64, 1, 0, 0);			     /* seconds between two reports had no load */
	expect(mean(w, 64, 6), 2, 2, 6);
	window_free(&w);
}

static void
after_a_gap_it_begins_anew(void **state)
{
	struct window *w = with(60);

	(void)state;
	add(w, 1, 1, 6, 6);
	add(w, 100, 1, 8, 8);
	expect(mean(w, 100, 60), 8, 8, 1);
	add(w, 150, 1, 1, 1); /* less than a window later: the seconds between were idle */
	expect(mean(w, 150, 60), 9.0 / 51, 9.0 / 51, 51);
	window_free(&w);
}

static void
what_comes_late_is_not_counted_twice(void **state)
{
	struct window *w = with(2);

	(void)state;
	add(w, 10, 1, 5, 0);
	add(w, 3, 1, 100, 0); /* its second is overwritten, or older than every span */
	expect(mean(w, 10, 2), 5, 0, 1);
	window_free(&w);
}

/* Knative's coefficients: 0.2 for 60 seconds, 0.785 for 6 seconds. */
static void
weighted_exponentially(void **state)
{
	static const struct {
		unsigned span;
		double coefficient;
	} cases[] = {{60, 0.2}, {6, 1 - pow(0.0001, 1.0 / 6)}};
	size_t i, k;

	(void)state;
	assert_true(fabs(cases[1].coefficient - 0.785) < 0.001);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct window *w = with(60);
		double weight = 0, sum = 0;

		for (k = 0; k < cases[i].span; k++) {
			double factor = pow(1 - cases[i].coefficient, (double)k);

			add(w, 60 - (double)k, 1, (double)(k * k), 1);
			weight += factor;
			sum += factor * (double)(k * k);
		}
		assert_true(
			fabs(window_mean(w, FROM + 60 * CLK_S, cases[i].span, WINDOW_EXPONENTIAL)
				     .concurrency -
			     sum / weight) < 2e-6);
		window_free(&w);
	}
}

static void
idle_since_the_last_request(void **state)
{
	struct window *w = with(6);
	int i;

	(void)state;
	add(w, 1, 1, 2, 2);
	window_touch(w, FROM + CLK_S);
	assert_int_equal(window_idle_ns(w, FROM + CLK_S), 0);
	for (i = 2; i <= 40; i++)
		add(w, i, 1, 0, 0);
	assert_int_equal(window_idle_ns(w, FROM + 40 * CLK_S), 39 * CLK_S);
	window_touch(w, FROM + 41 * CLK_S);
	window_touch(w, FROM + 30 * CLK_S); /* a late report changes nothing */
	window_resize(w, 3);
	assert_int_equal(window_idle_ns(w, FROM + 41 * CLK_S), 0);
	window_free(&w);
	w = with(6); /* no load since then */
	add(w, 1, 1, 0, 0);
	add(w, 2, 1, 0, 0);
	assert_int_equal(window_idle_ns(w, FROM + 2 * CLK_S), 2 * CLK_S);
	window_free(&w);
}

static void
another_span_keeps_what_fits(void **state)
{
	struct window *w = with(60);
	int i;

	(void)state;
	for (i = 1; i <= 60; i++)
		add(w, i, 1, i, 0);
	window_resize(w, 10);
	expect(mean(w, 60, 60), 55.5, 0, 10);
	window_resize(w, 60);
	expect(mean(w, 60, 10), 55.5, 0, 10);
	window_free(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_known_at_first),
		cmocka_unit_test(soon_after_the_machine_has_booted),
		cmocka_unit_test(sources_of_a_second_are_added),
		cmocka_unit_test(the_average_is_rounded_to_six_digits),
		cmocka_unit_test(a_report_belongs_to_the_seconds_that_it_covers),
		cmocka_unit_test(a_missing_member_is_an_error),
		cmocka_unit_test(after_a_gap_it_begins_anew),
		cmocka_unit_test(what_comes_late_is_not_counted_twice),
		cmocka_unit_test(weighted_exponentially),
		cmocka_unit_test(idle_since_the_last_request),
		cmocka_unit_test(another_span_keeps_what_fits),
	};

	return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
