/* timing: response times, start-up times, and the wait for the first answer. */
#include "unit.h"

#include <math.h>

#include "autoscaler/brain/timing.h"
#include "common/clk.h"

static bool
about(double a, double b)
{
	return fabs(a - b) < 1e-9;
}

static void
nothing_is_known_at_first(void **state)
{
	struct timing t = {.starts = 0};

	(void)state;
	assert_true(timing_latency_s(&t) < 0);
	assert_true(timing_start_s(&t) < 0);
	assert_true(about(timing_waited_s(&t), 0));
}

static void
the_newest_reports_weigh_most(void **state)
{
	struct timing t = {.starts = 0};
	int i;

	(void)state;
	timing_completed(&t, 0.1, 10);
	assert_true(about(timing_latency_s(&t), 0.1));
	for (i = 0; i < 50; i++)
		timing_completed(&t, 0.3, 10);
	assert_in_range((int)(timing_latency_s(&t) * 1000), 298, 300);
}

static void
a_start_takes_the_median_of_the_last(void **state)
{
	struct timing t = {.starts = 0};
	int i;

	(void)state;
	timing_started(&t, 90 * CLK_S);
	assert_true(about(timing_start_s(&t), 90));
	for (i = 0; i < TIMING_STARTS; i++)
		timing_started(&t, i == 3 ? 90 * CLK_S : 2 * CLK_S);
	assert_true(about(timing_start_s(&t), 2));
}

static void
what_was_known_holds_until_it_is_measured(void **state)
{
	struct timing t = {.starts = 0};

	(void)state;
	timing_import(&t, 0.5, -1);
	timing_import(&t, 0.7, 3);
	assert_true(about(timing_latency_s(&t), 0.5));
	assert_true(about(timing_start_s(&t), 3));
	timing_started(&t, CLK_S);
	timing_started(&t, CLK_S);
	assert_true(about(timing_start_s(&t), 1));
}

static void
the_wait_for_the_first_answer_is_timed(void **state)
{
	struct timing t = {.starts = 0};
	int64_t now = 1000 * CLK_S;

	(void)state;
	timing_outstanding(&t, 5, true, now); /* no instance answers yet */
	timing_answering(&t, now);
	timing_outstanding(&t, 5, true, now + 10 * CLK_MS); /* too soon to judge */
	assert_true(about(timing_waited_s(&t), 0));
	timing_answering(&t, now + 20 * CLK_MS); /* a second instance */
	timing_outstanding(&t, 5, true, now + 50 * CLK_MS);
	timing_outstanding(&t, 6, false, now + 70 * CLK_MS);
	assert_true(about(timing_waited_s(&t), 0.07));
	timing_outstanding(&t, 5, true, now + 90 * CLK_MS); /* one instance has ended */
	assert_true(about(timing_waited_s(&t), 0.07));
	timing_not_answering(&t);
	assert_true(about(timing_waited_s(&t), 0));
	timing_answering(&t, now + CLK_S); /* counted from here again */
	assert_true(about(timing_waited_s(&t), 0));
	timing_outstanding(&t, 5, true, now + 1050 * CLK_MS);
	assert_true(about(timing_waited_s(&t), 0.05));
	timing_completed(&t, 0.2, 1);
	assert_true(about(timing_waited_s(&t), 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_known_at_first),
		cmocka_unit_test(the_newest_reports_weigh_most),
		cmocka_unit_test(a_start_takes_the_median_of_the_last),
		cmocka_unit_test(what_was_known_holds_until_it_is_measured),
		cmocka_unit_test(the_wait_for_the_first_answer_is_timed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
