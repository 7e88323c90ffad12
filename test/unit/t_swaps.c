/* swaps: which generation is routed by all activators, while they connect, swap, hang, leave,
 * vanish and come back. */
#include "unit.h"

#include "autoscaler/reconcile/swaps.h"
#include "common/clk.h"

static struct swaps s;
static int64_t now;

static int
setup(void **state)
{
	(void)state;
	now = 1000 * CLK_S;
	swaps_init(&s);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	swaps_fini(&s);
	return 0;
}

static void
up(uint64_t serial, const char *id, int64_t generation)
{
	swaps_up(&s, serial, id, true, now);
	if (generation > 0)
		swaps_sent(&s, serial, generation, now);
}

static void
swapped(uint64_t serial, int64_t generation)
{
	assert_true(swaps_swapped(&s, serial, generation, now));
}

/* The serial of the one that is overdue now, or 0. */
static uint64_t
overdue(void)
{
	uint64_t serial;
	int64_t generation;

	return swaps_take_overdue(&s, now, &serial, &generation) ? serial : 0;
}

static void
routed_once_all_have_swapped(void **state)
{
	(void)state;
	assert_false(swaps_is_waiting(&s));
	up(1, "a", 1);
	up(2, "b", 1);
	assert_true(swaps_is_waiting(&s));
	swapped(1, 1);
	assert_int_equal(s.routed, 0);
	swapped(2, 1);
	assert_int_equal(s.routed, 1);
	swaps_sent(&s, 0, 2, now);
	swaps_sent(&s, 0, 3, now);
	swapped(1, 2);
	swapped(1, 3);
	assert_int_equal(s.routed, 1);
	swapped(2, 2);
	assert_int_equal(s.routed, 2);
	assert_int_equal(swaps_used(&s, 1), 3);
	assert_int_equal(swaps_used(&s, 2), 2);
	assert_int_equal(swaps_used(&s, 3), 0);
}

static void
a_generation_that_was_not_sent_is_a_mistake(void **state)
{
	(void)state;
	up(1, "a", 4);
	assert_false(swaps_swapped(&s, 1, 5, now));
	assert_true(swaps_swapped(&s, 7, 5, now)); /* its link is gone */
	assert_int_equal(s.routed, 0);
}

static void
one_that_connects_takes_nothing_back_and_is_waited_for(void **state)
{
	(void)state;
	up(1, "a", 1);
	swapped(1, 1);
	up(2, "b", 0); /* the driver has not found its services yet */
	assert_int_equal(s.routed, 1);
	swaps_sent(&s, 0, 2, now);
	swapped(1, 2);
	assert_int_equal(s.routed, 1);
	swapped(2, 2);
	assert_int_equal(s.routed, 2);
}

static void
one_that_leaves_is_not_waited_for(void **state)
{
	(void)state;
	up(1, "a", 1);
	up(2, "b", 1);
	swapped(1, 1);
	swaps_leaving(&s, 2);
	assert_int_equal(s.routed, 1);
	now += 2 * SWAPS_PATIENCE;
	assert_int_equal(overdue(), 0);
	swaps_down(&s, 2, now);
	swaps_leaving(&s, 1);
	assert_false(swaps_is_waiting(&s));
	swaps_sent(&s, 0, 2, now);
	assert_int_equal(s.routed, 1); /* none is left that could route by it */
}

static void
one_that_does_not_swap_is_passed_over_until_it_does(void **state)
{
	uint64_t serial;
	int64_t generation;

	(void)state;
	up(1, "a", 1);
	up(2, "b", 1);
	swapped(1, 1);
	swapped(2, 1);
	swaps_sent(&s, 0, 2, now);
	now += SWAPS_PATIENCE / 2;
	swaps_sent(&s, 0, 3, now); /* does not begin its time anew */
	swapped(1, 3);
	now += SWAPS_PATIENCE / 2;
	assert_true(swaps_take_overdue(&s, now, &serial, &generation));
	assert_int_equal(serial, 2);
	assert_int_equal(generation, 3);
	assert_int_equal(s.routed, 3);
	assert_int_equal(s.overdue, 1);
	assert_int_equal(overdue(), 0);
	swaps_down(&s, 2, now);
	swaps_sent(&s, 0, 4, now);
	swapped(1, 4);
	assert_int_equal(s.routed, 4);
	/* It is back, and hangs still: not waited for, but dropped again. */
	up(3, "b", 4);
	swaps_sent(&s, 0, 5, now);
	swapped(1, 5);
	assert_int_equal(s.routed, 5);
	now += SWAPS_PATIENCE;
	assert_int_equal(overdue(), 3);
	swaps_down(&s, 3, now);
	/* It works again. */
	up(4, "b", 5);
	swapped(4, 5);
	swaps_sent(&s, 0, 6, now);
	swapped(1, 6);
	assert_int_equal(s.routed, 5);
	swapped(4, 6);
	assert_int_equal(s.routed, 6);
}

static void
slow_but_steady_is_not_overdue(void **state)
{
	int64_t generation;

	(void)state;
	up(1, "a", 1);
	for (generation = 2; generation < 10; generation++) {
		now += SWAPS_PATIENCE - 1;
		swaps_sent(&s, 0, generation, now);
		swapped(1, generation - 1);
		assert_int_equal(overdue(), 0);
		assert_int_equal(s.routed, generation - 1);
	}
}

/* Its link is lost, but it serves on with what it had. */
static void
one_whose_link_is_lost_is_waited_for_a_while(void **state)
{
	(void)state;
	up(1, "a", 1);
	up(2, "b", 1);
	swapped(1, 1);
	swapped(2, 1);
	swaps_down(&s, 2, now);
	swaps_sent(&s, 0, 2, now);
	swapped(1, 2);
	assert_int_equal(s.routed, 1);
	up(3, "b", 2);
	assert_int_equal(s.routed, 1);
	swapped(3, 2);
	assert_int_equal(s.routed, 2);
	swaps_down(&s, 3, now);
	swaps_sent(&s, 0, 3, now);
	swapped(1, 3);
	assert_int_equal(s.routed, 2);
	now += SWAPS_PATIENCE - 1;
	assert_int_equal(overdue(), 0);
	assert_int_equal(s.routed, 2);
	now += 1;
	assert_int_equal(overdue(), 0);
	assert_int_equal(s.routed, 3);
	assert_int_equal(s.n, 1);
}

static void
one_whose_process_has_ended_is_not_waited_for(void **state)
{
	(void)state;
	up(1, "a", 1);
	up(2, "b", 1);
	swapped(1, 1);
	swaps_down(&s, 2, now);
	assert_int_equal(s.routed, 0);
	swaps_ended(&s, "b");
	assert_int_equal(s.routed, 1);
	swaps_ended(&s, "b");
}

/* A new autoscaler has its own generations, and activators of the one before come one by one. */
static void
those_of_the_autoscaler_before_are_waited_for(void **state)
{
	(void)state;
	swaps_expect(&s, "a", now);
	swaps_expect(&s, "b", now);
	swaps_expect(&s, "gone", now);
	assert_true(swaps_is_waiting(&s));
	up(1, "a", 1);
	swapped(1, 1);
	assert_int_equal(s.routed, 0);
	swaps_ended(&s, "gone");
	assert_int_equal(s.routed, 0);
	up(2, "b", 1);
	swapped(2, 1);
	assert_int_equal(s.routed, 1);
}

static void
an_earlier_version_routes_by_what_it_was_sent(void **state)
{
	(void)state;
	swaps_up(&s, 1, "old", false, now);
	swaps_sent(&s, 0, 1, now);
	assert_int_equal(s.routed, 1);
	now += 2 * SWAPS_PATIENCE;
	assert_int_equal(overdue(), 0);
}

/* A new link may be up before the end of the old one is noticed. */
static void
the_newest_link_counts(void **state)
{
	(void)state;
	up(1, "a", 1);
	up(2, "a", 2);
	swapped(1, 1);
	assert_int_equal(s.routed, 0);
	swaps_down(&s, 1, now);
	swapped(2, 2);
	assert_int_equal(s.routed, 2);
	assert_int_equal(s.n, 1);
}

/* Each hangs, is dropped, and never comes back. */
static void
memory_is_bounded(void **state)
{
	uint64_t serial;
	char id[20];

	(void)state;
	for (serial = 1; serial <= 1000; serial++) {
		snprintf(id, sizeof id, "a-%d", (int)serial);
		up(serial, id, (int64_t)serial);
		now += SWAPS_PATIENCE;
		assert_int_equal(overdue(), serial);
		swaps_down(&s, serial, now);
	}
	assert_true(s.n < 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(routed_once_all_have_swapped),
		TEST(a_generation_that_was_not_sent_is_a_mistake),
		TEST(one_that_connects_takes_nothing_back_and_is_waited_for),
		TEST(one_that_leaves_is_not_waited_for),
		TEST(one_that_does_not_swap_is_passed_over_until_it_does),
		TEST(slow_but_steady_is_not_overdue),
		TEST(one_whose_link_is_lost_is_waited_for_a_while),
		TEST(one_whose_process_has_ended_is_not_waited_for),
		TEST(those_of_the_autoscaler_before_are_waited_for),
		TEST(an_earlier_version_routes_by_what_it_was_sent),
		TEST(the_newest_link_counts),
		TEST(memory_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
