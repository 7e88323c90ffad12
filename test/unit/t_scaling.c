/* reconcile on simulated time: which activator is told of the decisions that start instances, for
 * its spans. */
#include "test/unit/reconcile_world.h"

#include "autoscaler/reconcile/reconcile.h"
#include "common/clk.h"

static unsigned
scalings_sent(void)
{
	const char *at = strbuf_str(&world.out);
	unsigned n = 0;

	while ((at = strstr(at, "{\"type\":\"scaling\"")) != NULL) {
		at++;
		n++;
	}
	return n;
}

static void
one_that_waits_is_told_rather_than_another(void **state)
{
	(void)state;
	connect_peer(1); /* makes no spans */
	world.has_spans = true;
	connect_peer(2);
	connect_peer(3);
	forget_sent();
	activate(3, 1);
	settle();
	assert_int_equal(scalings_sent(), 1);
	assert_true(was_sent("3 {\"type\":\"scaling\",\"revision\":\"a/v1\",\"from\":0,\"to\":1,"
			     "\"rule\":\"activation\",\"why\":\"requests are parked, and no"));
}

static void
what_load_starts_is_told_to_one_activator(void **state)
{
	(void)state;
	world.has_spans = true;
	connect_peer(1);
	connect_peer(2);
	run_with(1);
	forget_sent();
	world.peer[1].concurrency = 21;
	UNTIL(world.n > 1, 20);
	assert_true(was_sent("1 {\"type\":\"scaling\",\"revision\":\"a/v1\",\"from\":1,\"to\":"));
	assert_false(was_sent("2 {\"type\":\"scaling\""));
}

static void
no_activator_is_told_that_makes_no_spans(void **state)
{
	(void)state;
	connect_peer(1);
	activate(1, 1);
	settle();
	assert_int_equal(world.n, 1);
	assert_int_equal(scalings_sent(), 0);
}

static void
fewer_instances_are_not_told(void **state)
{
	(void)state;
	world.has_spans = true;
	connect_peer(1);
	run_with(3);
	forget_sent();
	world.peer[1].concurrency = 0;
	world.peer[1].answer = SAYS_DRAINED;
	UNTIL(world.n == 0, 60);
	assert_int_equal(scalings_sent(), 0);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(one_that_waits_is_told_rather_than_another),
		T(what_load_starts_is_told_to_one_activator),
		T(no_activator_is_told_that_makes_no_spans),
		T(fewer_instances_are_not_told),
	};

	return cmocka_run_group_tests_name("scaling", tests, NULL, NULL);
}
