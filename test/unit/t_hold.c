/* hold: a scale that another client has set: how long it is respected, and when more may be asked
 * for. */
#include "test/unit/unit.h"

#include "autoscaler/reconcile/hold.h"
#include "common/clk.h"

#define FOR (600 * CLK_S)

static struct hold h;

static int
setup(void **state)
{
	(void)state;
	hold_init(&h);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	hold_fini(&h);
	return 0;
}

static void
it_holds_after_the_last_change_or_request(void **state)
{
	int64_t now = 1000 * CLK_S;

	(void)state;
	assert_null(hold_holder(&h));
	hold_take(&h, true, 4, "kubectl", now, 0);
	assert_string_equal(hold_holder(&h), "kubectl");
	assert_false(hold_expire(&h, FOR, 0, now + FOR - 1));
	hold_take(&h, true, 4, "kubectl", now + 100 * CLK_S, 0); /* no change */
	hold_take(&h, true, 5, NULL, now + 200 * CLK_S, 0);	 /* a change */
	assert_string_equal(hold_holder(&h), "another client");
	assert_false(hold_expire(&h, FOR, 0, now + 200 * CLK_S + FOR - 1));
	assert_false(hold_expire(&h, FOR, now + 300 * CLK_S, now + 300 * CLK_S + FOR - 1));
	assert_false(hold_expire(&h, 0, 0, INT64_MAX));
	assert_true(hold_expire(&h, FOR, now + 300 * CLK_S, now + 300 * CLK_S + FOR));
	assert_null(hold_holder(&h));
	hold_take(&h, true, 5, NULL, now + 1000 * CLK_S, 0); /* still the same number */
	assert_null(hold_holder(&h));
	hold_take(&h, true, 6, NULL, now + 1001 * CLK_S, 0);
	assert_non_null(hold_holder(&h));
}

static void
it_is_a_floor_when_more_was_asked_for(void **state)
{
	(void)state;
	hold_take(&h, true, 4, "kubectl", CLK_S, 0);
	hold_raised(&h);
	hold_take(&h, false, 8, NULL, 2 * CLK_S, 0);
	assert_true(h.is_on && !h.is_current && h.n == 4);
	hold_take(&h, false, 0, NULL, 3 * CLK_S, 0); /* the workload is gone */
	assert_false(h.is_on);
}

/* Each time that the other client takes back what was asked for, the wait doubles. */
static void
two_clients_do_not_fight(void **state)
{
	int64_t now = CLK_S, waited = 0;
	int i;

	(void)state;
	hold_take(&h, true, 4, "kubectl", now, 0);
	assert_true(hold_may_raise(&h, now));
	for (i = 0; i < 20; i++) {
		hold_raised(&h);
		hold_take(&h, false, 8, NULL, now, 0);
		hold_take(&h, true, 4, "kubectl", now += CLK_S, 0);
		assert_true(hold_may_raise(&h, h.raise_at_ns) && !hold_may_raise(&h, now));
		assert_true(h.raise_at_ns - now >= waited);
		waited = h.raise_at_ns - now;
		now = h.raise_at_ns;
	}
	assert_in_range(waited, 450 * CLK_S, 900 * CLK_S);
	hold_take(&h, true, 0, "kubectl", now,
		  0); /* requests that wait are never left without any */
	assert_true(hold_may_raise(&h, now));
	hold_raised(&h);
	assert_false(h.is_on);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(it_holds_after_the_last_change_or_request),
		T(it_is_a_floor_when_more_was_asked_for),
		T(two_clients_do_not_fight),
	};

	return cmocka_run_group_tests_name("hold", tests, NULL, NULL);
}
