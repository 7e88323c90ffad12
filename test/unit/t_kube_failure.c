/* kube_failure: when a problem is a failure, and for how long. */
#include "test/unit/unit.h"

#include "autoscaler/kubernetes/kube_failure.h"
#include "common/clk.h"

#define PATIENCE (10 * CLK_S)

/* At a second: is there a problem, does an instance answer; and what follows. */
struct step {
	int64_t at_s;
	bool is_problem, is_answering, is_changed, is_failed;
};

static void
play(const struct step *v, size_t n)
{
	static const struct kube_problem problem = {.reason = "ImagePullBackOff"};
	struct kube_failure f;
	size_t i;

	kube_failure_init(&f);
	for (i = 0; i < n; i++) {
		bool is_changed = kube_failure_update(&f, v[i].is_problem ? &problem : NULL,
						      v[i].is_answering, PATIENCE,
						      (100 + v[i].at_s) * CLK_S, UINT32_MAX);

		if (is_changed != v[i].is_changed || kube_failure_is_failed(&f) != v[i].is_failed)
			fail_msg("second %lld: changed %d, failed %d", (long long)v[i].at_s,
				 is_changed, kube_failure_is_failed(&f));
	}
}

#define PLAY(...)                                                                                  \
	do {                                                                                       \
		static const struct step v_[] = {__VA_ARGS__};                                     \
		play(v_, ARRAY_LEN(v_));                                                           \
	} while (0)

static void
a_problem_that_was_there_before_us_has_used_up_its_patience(void **state)
{
	static const struct kube_problem problem = {.reason = "ImagePullBackOff"};
	struct kube_failure f;

	(void)state;
	kube_failure_init(&f);
	kube_failure_has_lasted(&f, PATIENCE - CLK_S, 100 * CLK_S);
	assert_false(kube_failure_update(&f, &problem, false, PATIENCE, 100 * CLK_S, 0));
	assert_int_equal(kube_failure_due(&f, PATIENCE), 101 * CLK_S);
	/* what is known of it already stands */
	kube_failure_has_lasted(&f, 3600 * CLK_S, 100 * CLK_S);
	assert_false(kube_failure_update(&f, &problem, false, PATIENCE, 100 * CLK_S, 0));
	assert_true(kube_failure_update(&f, &problem, false, PATIENCE, 101 * CLK_S, 0));
	kube_failure_init(&f);
	kube_failure_has_lasted(&f, 3600 * CLK_S, 100 * CLK_S);
	assert_true(kube_failure_update(&f, &problem, false, PATIENCE, 100 * CLK_S, 0));
}

static void
patience_and_back_off(void **state)
{
	(void)state;
	/* a short problem is no failure */
	PLAY({0, true, false, false, false}, {9, true, false, false, false},
	     {10, false, false, false, false}, {11, true, false, false, false},
	     {20, true, false, false, false}, {21, true, false, true, true});
	/* a failure is prolonged for longer and longer, and lasts in between */
	PLAY({0, true, false, false, false}, {10, true, false, true, true},
	     {11, true, false, true, true}, {12, true, false, false, true},
	     {13, true, false, true, true}, {16, true, false, false, true},
	     {17, true, false, true, true});
	/* the problem ends: the failure ends with its back-off */
	PLAY({0, true, false, false, false}, {10, true, false, true, true},
	     {10, false, false, false, true}, {11, false, false, true, false},
	     {12, true, false, false, false}, {22, true, false, true, true},
	     {23, true, false, false, true}, {24, true, false, true, true});
	/* an instance that answers ends it at once */
	PLAY({0, true, false, false, false}, {10, true, false, true, true},
	     {10, true, true, true, false}, {11, true, false, false, false});
}

static void
it_says_when_to_look_again(void **state)
{
	static const struct kube_problem problem = {.reason = "x"};
	struct kube_failure f;

	(void)state;
	kube_failure_init(&f);
	assert_int_equal(kube_failure_due(&f, PATIENCE), 0);
	kube_failure_update(&f, &problem, false, PATIENCE, 5 * CLK_S, 0);
	assert_int_equal(kube_failure_due(&f, PATIENCE), 15 * CLK_S);
	kube_failure_update(&f, &problem, false, PATIENCE, 15 * CLK_S, UINT32_MAX);
	assert_int_equal(kube_failure_due(&f, PATIENCE), 16 * CLK_S);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_problem_that_was_there_before_us_has_used_up_its_patience),
		cmocka_unit_test(patience_and_back_off),
		cmocka_unit_test(it_says_when_to_look_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
