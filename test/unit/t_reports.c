/* reports: the reports of several activators on a revision, and their sums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "autoscaler/brain/reports.h"
#include "common/clk.h"

static void
report(struct reports *d, uint64_t peer, uint64_t n, uint32_t parked, uint32_t a, uint32_t b)
{
	struct msg_stat_instance v[] = {{(char[]){"a"}, a, 0}, {(char[]){"b"}, b, 0}};
	struct msg_stat s = {.parked = parked, .in_flight = a + b, .v = v, .n = 2};

	reports_report(d, peer, n, &s, CLK_S, 0);
}

static void
sums_are_over_all_activators(void **state)
{
	struct reports d;

	(void)state;
	reports_init(&d);
	report(&d, 1, 1, 5, 2, 0);
	report(&d, 2, 1, 1, 3, 4);
	assert_int_equal(reports_parked(&d), 6);
	assert_int_equal(reports_in_flight(&d), 9);
	assert_int_equal(reports_at_instance(&d, "a"), 5);
	assert_int_equal(reports_at_instance(&d, "b"), 4);
	assert_int_equal(reports_at_instance(&d, "c"), 0);
	report(&d, 2, 2, 0, 1, 0); /* the newest report counts */
	assert_int_equal(reports_parked(&d), 5);
	assert_int_equal(reports_at_instance(&d, "a"), 3);
	reports_fini(&d);
}

/* Instances in any order; one that is listed twice counts twice. */
static void
any_order_of_instances_will_do(void **state)
{
	struct msg_stat_instance v[7] = {{(char[]){"d"}, 1, 0},	 {(char[]){"b"}, 2, 5},
					 {(char[]){"a"}, 4, 0},	 {(char[]){"b"}, 8, 3},
					 {(char[]){"e"}, 16, 0}, {(char[]){"bb"}, 32, 0},
					 {(char[]){"b"}, 64, 0}};
	const struct msg_stat s = {.in_flight = 127, .v = v, .n = ARRAY_LEN(v)};
	struct reports d;

	(void)state;
	reports_init(&d);
	reports_report(&d, 1, 1, &s, CLK_S, 0);
	reports_report(&d, 2, 1, &s, CLK_S, CLK_S);
	assert_int_equal(reports_at_instance(&d, "a"), 8);
	assert_int_equal(reports_at_instance(&d, "b"), 148);
	assert_int_equal(reports_at_instance(&d, "bb"), 64);
	assert_int_equal(reports_at_instance(&d, "c"), 0);
	assert_int_equal(reports_at_instance(&d, "d"), 2);
	assert_int_equal(reports_at_instance(&d, "e"), 32);
	assert_int_equal(reports_at_instance(&d, "f"), 0);
	assert_int_equal(reports_lease_ns(&d, 1, "b"), 5 * CLK_S);
	assert_int_equal(reports_lease_ns(&d, 0, "b"), 6 * CLK_S);
	assert_int_equal(reports_lease_ns(&d, 0, "a"), 0);
	reports_fini(&d);
}

static void
what_a_whole_report_leaves_out_is_nothing(void **state)
{
	struct reports d;

	(void)state;
	reports_init(&d);
	report(&d, 1, 7, 5, 2, 0);
	assert_false(reports_complete(&d, 1, 7));
	assert_int_equal(reports_parked(&d), 5);
	assert_true(reports_complete(&d, 1, 8));
	assert_int_equal(reports_parked(&d), 0);
	assert_true(list_empty(&d.all));
	assert_true(reports_complete(&d, 1, 9)); /* without load, as before */
	reports_fini(&d);
}

static void
an_activate_outlives_the_report_that_was_under_way(void **state)
{
	struct reports d;

	(void)state;
	reports_init(&d);
	reports_activate(&d, 1, 3, 0);
	assert_true(reports_activation_pending(&d));
	assert_int_equal(reports_parked(&d), 3);
	assert_true(reports_complete(&d, 1, 4));
	assert_int_equal(reports_parked(&d), 3);
	assert_false(reports_activation_pending(&d)); /* from now on the stats carry the demand */
	assert_true(reports_complete(&d, 1, 5));
	assert_int_equal(reports_parked(&d), 0);
	reports_fini(&d);
}

static void
one_that_vanished_is_still_busy(void **state)
{
	struct reports d;

	(void)state;
	reports_init(&d);
	report(&d, 1, 1, 4, 2, 0);
	reports_activate(&d, 1, 5, 0);
	reports_vanish(&d, 1);
	assert_int_equal(reports_in_flight(&d), 2);
	assert_int_equal(reports_parked(&d), 0);
	assert_false(reports_activation_pending(&d));
	reports_drop(&d, 1);
	assert_int_equal(reports_in_flight(&d), 0);
	reports_vanish(&d, 9);
	reports_drop(&d, 9);
	reports_fini(&d);
}

static void
busy_leases_run_out(void **state)
{
	struct msg_stat_instance v[] = {{(char[]){"a"}, 0, 2.5}, {(char[]){"b"}, 0, 10}};
	struct msg_stat s = {.v = v, .n = 2};
	struct reports d;

	(void)state;
	reports_init(&d);
	assert_true(reports_busy_s(&d, 0) == 0);
	reports_report(&d, 1, 1, &s, CLK_S, 100 * CLK_S);
	assert_true(reports_busy_s(&d, 100 * CLK_S) == 10);
	assert_true(reports_busy_s(&d, 107 * CLK_S) == 3);
	assert_true(reports_busy_s(&d, 200 * CLK_S) == 0);
	v[1].busy_s = 1e300; /* no overflow, whatever a peer sends */
	reports_report(&d, 1, 2, &s, CLK_S, 100 * CLK_S);
	assert_true(reports_busy_s(&d, 100 * CLK_S) > 1e8);
	reports_fini(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_are_over_all_activators),
		cmocka_unit_test(any_order_of_instances_will_do),
		cmocka_unit_test(what_a_whole_report_leaves_out_is_nothing),
		cmocka_unit_test(an_activate_outlives_the_report_that_was_under_way),
		cmocka_unit_test(one_that_vanished_is_still_busy),
		cmocka_unit_test(busy_leases_run_out),
	};

	return cmocka_run_group_tests_name("demand", tests, NULL, NULL);
}
