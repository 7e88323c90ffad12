/* dryrun: the virtual instances that decide() sees, and the counts. */
#include "unit.h"

#include "autoscaler/brain/dryrun.h"
#include "common/clk.h"

static struct decide_view
view_of(const struct dryrun *d, uint32_t in_flight, int64_t now)
{
	/* five real instances serve all requests */
	struct decide_view v = {.ready = 5, .in_flight = in_flight, .start_s = 2};

	dryrun_fill(d, &v, now);
	return v;
}

static void
a_day_in_the_book(void **state)
{
	struct dryrun d = {0};
	struct decide_view v;
	int64_t now = 100 * CLK_S;

	(void)state;
	dryrun_begin(&d, 5, now);
	v = view_of(&d, 3, now);
	assert_int_equal(v.ready, 5); /* as in reality */
	assert_int_equal(v.in_flight, 3);

	dryrun_take(&d, &v, 0, now); /* it would stop all */
	now += 10 * CLK_S;
	v = view_of(&d, 0, now);
	assert_int_equal(v.ready + v.starting, 0);
	assert_false(v.is_activation_pending);

	v = view_of(&d, 7, now); /* requests in flight would be parked */
	assert_int_equal(v.parked, 7);
	assert_int_equal(v.in_flight, 0);
	assert_true(v.is_activation_pending);
	dryrun_take(&d, &v, 2, now);
	v = view_of(&d, 7, now + CLK_S);
	assert_int_equal(v.ready, 0); /* the virtual ones would still be starting */
	assert_int_equal(v.starting, 2);
	now += 2 * CLK_S;
	v = view_of(&d, 7, now);
	assert_int_equal(v.ready, 2);
	assert_int_equal(v.in_flight, 7);

	dryrun_take(&d, &v, 3, now); /* those that answer stay ready */
	v = view_of(&d, 7, now);
	assert_int_equal(v.ready, 2);
	assert_int_equal(v.starting, 1);
	now += 10 * CLK_S;
	dryrun_count(&d, 1, now); /* real instances went, scaled by another writer */
	now += 10 * CLK_S;
	dryrun_take(&d, &v, 3, now);

	assert_int_equal(d.started, 3);
	assert_int_equal(d.stopped, 5);
	assert_int_equal(d.cold_starts, 1);
	assert_true(d.real_s == 5 * 22 + 1 * 10);
	assert_true(d.virtual_s == 2 * 2 + 3 * 20);
}

/* A start from zero without a waiting request, by a schedule or min_scale, is no cold start. */
static void
not_every_start_is_cold(void **state)
{
	struct dryrun d = {0};
	const struct decide_view v = {.start_s = -1};

	(void)state;
	dryrun_begin(&d, 0, CLK_S);
	dryrun_take(&d, &v, 1, CLK_S);
	assert_int_equal(d.started, 1);
	assert_int_equal(d.cold_starts, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_day_in_the_book),
					   cmocka_unit_test(not_every_start_is_cold)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
