/* starts: how many at once are worth it, for modelled machines on which they slow each other
 * down or do not. */
#include "unit.h"

#include <math.h>

#include "autoscaler/brain/starts.h"
#include "common/clk.h"

#define TRUSTED 8

static uint64_t seed = 20261130;

/* Evenly from 0 to 1; the same numbers in each run. */
static double
uniform(void)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (double)(seed >> 11) / (double)(UINT64_C(1) << 53);
}

static uint32_t
worth(const struct starts *s, uint32_t needed)
{
	const struct starts_model m = starts_model(s);

	return starts_worth(&m, needed, TRUSTED);
}

/* Starts of some CPU time each on two cores, after a time that needs none. */
static double
on_two_cores(double at_once, double fixed_s, double cpu_s)
{
	return fixed_s + cpu_s * MAX(at_once / 2, 1);
}

static void
what_was_not_tried_is_bounded(void **state)
{
	struct starts s = {.n = 0};

	(void)state;
	assert_int_equal(worth(&s, 1000), TRUSTED);
	starts_add(&s, 1, 1);
	assert_int_equal(worth(&s, 1000), TRUSTED);
	starts_add(&s, 8, 1);
	assert_int_equal(worth(&s, 1000), 32);
}

static void
starts_that_do_not_slow_down_are_not_bounded_for_long(void **state)
{
	struct starts s = {.n = 0};
	uint32_t at_once = 1, wave, i;

	(void)state;
	for (wave = 0; wave < 5; wave++) {
		for (i = 0; i < at_once; i++)
			starts_add(&s, at_once, 1 + 0.2 * uniform());
		at_once = worth(&s, 1000);
	}
	assert_true(at_once >= 1000);
}

static void
starts_that_need_the_cpu_come_one_after_another(void **state)
{
	struct starts s = {.n = 0};
	uint32_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		starts_add(&s, 3, on_two_cores(3, 0, 0.5) * (0.9 + 0.2 * uniform()));
	for (i = 0; i < 8; i++)
		starts_add(&s, 8, on_two_cores(8, 0, 0.5) * (0.9 + 0.2 * uniform()));
	assert_true(worth(&s, 50) >= 2 && worth(&s, 50) <= 8);
	for (i = 0; i < 30; i++) { /* and it stays so, with as many as it says */
		uint32_t n = worth(&s, 50);

		starts_add(&s, n, on_two_cores(n, 0, 0.5) * (0.9 + 0.2 * uniform()));
		starts_add(&s, 1, on_two_cores(1, 0, 0.5) * (0.9 + 0.2 * uniform()));
	}
	assert_true(worth(&s, 50) >= 2 && worth(&s, 50) <= 12);
}

/* Most of a start is spent waiting (for an image, a database): many overlap. */
static void
starts_that_wait_overlap(void **state)
{
	struct starts s = {.n = 0};
	uint32_t i;

	(void)state;
	for (i = 0; i < 40; i++) {
		double at_once = 1 + i % 20;

		starts_add(&s, at_once, on_two_cores(at_once, 4, 0.1));
	}
	assert_true(worth(&s, 50) >= 40);
	assert_true(worth(&s, 5) >= 5);
}

static void
chance_is_no_slope(void **state)
{
	struct starts s = {.n = 0};
	unsigned bounded = 0, i;

	(void)state;
	for (i = 0; i < 2000; i++) {
		starts_add(&s, 1 + floor(10 * uniform()), exp(2 * uniform()));
		bounded += worth(&s, 20) < 20;
	}
	if (bounded > 100)
		fail_msg("%u of 2000 are bounded", bounded);
}

static void
what_no_longer_holds_is_forgotten(void **state)
{
	struct starts s = {.n = 0};
	uint32_t i;

	(void)state;
	for (i = 0; i < 50; i++)
		starts_add(&s, 1 + i % 10, on_two_cores(1 + i % 10, 0, 1));
	assert_true(worth(&s, 50) < 10);
	for (i = 0; i < 150; i++) { /* a bigger machine */
		uint32_t n = worth(&s, 50);

		starts_add(&s, 1 + i % n, 1);
	}
	assert_true(worth(&s, 50) >= 50);
}

static void
the_load_is_an_average(void **state)
{
	struct starts_load l = {.n = 0};
	double mark;

	(void)state;
	starts_load_add(&l, 3, 10 * CLK_S);
	mark = starts_load_integral_s(&l, 10 * CLK_S);
	starts_load_add(&l, 0, 11 * CLK_S);
	starts_load_add(&l, -2, 12 * CLK_S);
	assert_true(fabs(starts_load_integral_s(&l, 14 * CLK_S) - mark - 8) < 1e-9);
	starts_load_add(&l, -1, 14 * CLK_S);
	assert_true(fabs(starts_load_integral_s(&l, 20 * CLK_S) - mark - 8) < 1e-9);
	assert_int_equal(l.n, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_not_tried_is_bounded),
		cmocka_unit_test(starts_that_do_not_slow_down_are_not_bounded_for_long),
		cmocka_unit_test(starts_that_need_the_cpu_come_one_after_another),
		cmocka_unit_test(starts_that_wait_overlap),
		cmocka_unit_test(chance_is_no_slope),
		cmocka_unit_test(what_no_longer_holds_is_forgotten),
		cmocka_unit_test(the_load_is_an_average),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
