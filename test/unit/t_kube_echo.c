/* kube_echo: when what a watch does not show makes it suspect. */
#include "test/unit/unit.h"

#include "autoscaler/kubernetes/kube_echo.h"

#define P KUBE_ECHO_PATIENCE

static void
what_comes_in_time_makes_nothing_suspect(void **state)
{
	struct kube_echo e = {.since_ns = 0};

	(void)state;
	assert_false(kube_echo_update(&e, false, 1));
	assert_int_equal(kube_echo_wait(&e, 1), 0);
	assert_false(kube_echo_update(&e, true, 1));
	assert_int_equal(kube_echo_wait(&e, 1), P);
	assert_false(kube_echo_update(&e, true, P));
	assert_int_equal(kube_echo_wait(&e, P), 1);
	assert_false(kube_echo_update(&e, false, P));
	assert_int_equal(kube_echo_wait(&e, P), 0);
	/* the next thing has the whole patience */
	assert_false(kube_echo_update(&e, true, P + 1));
	assert_false(kube_echo_update(&e, true, 2 * P));
}

static void
the_pause_between_suspicions_doubles(void **state)
{
	struct kube_echo e = {.since_ns = 0};
	int64_t at = 1, pause = P;
	int i;

	(void)state;
	assert_false(kube_echo_update(&e, true, at));
	for (i = 0; i < 10; i++) {
		assert_false(kube_echo_update(&e, true, at + pause - 1));
		at += pause;
		assert_true(kube_echo_update(&e, true, at));
		assert_int_equal(e.since_ns, 1);
		pause = MIN(pause * 2, P * 32);
		assert_int_equal(kube_echo_wait(&e, at), pause);
	}
	assert_false(kube_echo_update(&e, false, at));
	assert_false(kube_echo_update(&e, true, at));
	assert_int_equal(kube_echo_wait(&e, at), P);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_in_time_makes_nothing_suspect),
		cmocka_unit_test(the_pause_between_suspicions_doubles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
