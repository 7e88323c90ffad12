/* kube_failure: when a problem is a failure, and for how long. */
#include "test/unit/unit.h"

#include "autoscaler/kubernetes/kube_failure.h"
#include "common/clk.h"

#define PATIENCE (10 * CLK_S)

enum { NONE, NOW, PAST, PLACE, ANSWERS };

/* At a second: what there is, and what follows. */
struct step {
	int64_t at_s;
	int what;
	bool is_changed, is_failed;
};

static bool
update(struct kube_failure *f, int what, int64_t patience, int64_t at_s)
{
	static const int kinds[] = {[NOW] = KUBE_PROBLEM_NOW,
				    [PAST] = KUBE_PROBLEM_PAST,
				    [PLACE] = KUBE_PROBLEM_PLACE,
				    [ANSWERS] = KUBE_PROBLEM_PAST};
	struct kube_problem problem;

	kube_problem_set(&problem, "CrashLoopBackOff", "it ended");
	problem.kind = what == NONE ? 0 : (enum kube_problem_kind)kinds[what];
	return kube_failure_update(f, what == NONE ? NULL : &problem, what == ANSWERS, patience,
				   (100 + at_s) * CLK_S, UINT32_MAX);
}

static void
play(const struct step *v, size_t n)
{
	struct kube_failure f;
	size_t i;

	kube_failure_init(&f);
	for (i = 0; i < n; i++) {
		bool is_changed = update(&f, v[i].what, PATIENCE, v[i].at_s);

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
	assert_int_equal(kube_failure_due(&f), 101 * CLK_S);
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
	PLAY({0, NOW, false, false}, {9, NOW, false, false}, {10, NONE, false, false},
	     {11, NOW, false, false}, {20, NOW, false, false}, {21, NOW, true, true});
	/* a failure is prolonged for longer and longer, and lasts in between */
	PLAY({0, NOW, false, false}, {10, NOW, true, true}, {11, NOW, true, true},
	     {12, NOW, false, true}, {13, NOW, true, true}, {16, NOW, false, true},
	     {17, NOW, true, true});
	/* the problem ends: the failure ends with its back-off */
	PLAY({0, NOW, false, false}, {10, NOW, true, true}, {10, NONE, false, true},
	     {11, NONE, true, false}, {12, NOW, false, false}, {22, NOW, true, true},
	     {23, NOW, false, true}, {24, NOW, true, true});
}

static void
a_container_that_runs_again_is_starting(void **state)
{
	(void)state;
	/* however long it takes */
	PLAY({0, NOW, false, false}, {1, PAST, false, false}, {60, PAST, false, false});
	/* it was started again before the driver saw it */
	PLAY({0, PAST, false, false}, {60, PAST, false, false}, {61, NOW, false, false},
	     {71, NOW, true, true});
	/* a failure ends with its back-off */
	PLAY({0, NOW, false, false}, {10, NOW, true, true}, {10, PAST, false, true},
	     {11, PAST, true, false});
	/* if it ends again, the patience is over */
	PLAY({0, NOW, false, false}, {1, PAST, false, false}, {12, NOW, true, true},
	     {13, PAST, true, false}, {20, NOW, true, true}, {21, NOW, false, true},
	     {22, NOW, true, true});
}

static void
an_answer_is_no_proof(void **state)
{
	(void)state;
	/* it ends a failure at once: requests are served */
	PLAY({0, NOW, false, false}, {10, NOW, true, true}, {10, ANSWERS, true, false});
	/* a program that listens and then ends, again and again */
	PLAY({0, ANSWERS, false, false}, {1, NOW, false, false}, {2, ANSWERS, false, false},
	     {3, NOW, false, false}, {9, ANSWERS, false, false}, {11, NOW, true, true},
	     {11, ANSWERS, true, false}, {12, NOW, true, true}, {13, NOW, false, true},
	     {14, NOW, true, true});
	/* one that has answered for a minute */
	PLAY({0, NOW, false, false}, {10, NOW, true, true}, {10, ANSWERS, true, false},
	     {70, NOW, false, false}, {79, NOW, false, false}, {80, NOW, true, true},
	     {81, NOW, true, true});
}

static void
a_pod_without_a_node_is_shown_and_waited_for(void **state)
{
	struct kube_failure f;

	(void)state;
	kube_failure_init(&f);
	assert_false(update(&f, PLACE, KUBE_FAILURE_NEVER, 0));
	assert_true(kube_failure_is_shown(&f) && !kube_failure_is_failed(&f));
	assert_int_equal(kube_failure_due(&f), 0);
	assert_false(update(&f, PLACE, KUBE_FAILURE_NEVER, 100000));
	assert_true(kube_failure_is_shown(&f) && !kube_failure_is_failed(&f));
	assert_false(update(&f, NONE, PATIENCE, 100001));
	assert_false(kube_failure_is_shown(&f));
	/* with a patience of its own */
	assert_false(update(&f, PLACE, PATIENCE, 100002));
	assert_int_equal(kube_failure_due(&f), (100 + 100012) * CLK_S);
	assert_true(update(&f, PLACE, PATIENCE, 100012));
	assert_true(kube_failure_is_failed(&f));
}

static void
it_says_when_to_look_again(void **state)
{
	struct kube_failure f;

	(void)state;
	kube_failure_init(&f);
	assert_int_equal(kube_failure_due(&f), 0);
	update(&f, NOW, PATIENCE, 5);
	assert_int_equal(kube_failure_due(&f), 115 * CLK_S);
	update(&f, PAST, PATIENCE, 6);
	assert_int_equal(kube_failure_due(&f), 0);
	update(&f, NOW, PATIENCE, 15);
	assert_int_equal(kube_failure_due(&f), 116 * CLK_S);
	update(&f, ANSWERS, PATIENCE, 16);
	assert_int_equal(kube_failure_due(&f), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_problem_that_was_there_before_us_has_used_up_its_patience),
		cmocka_unit_test(patience_and_back_off),
		cmocka_unit_test(a_container_that_runs_again_is_starting),
		cmocka_unit_test(an_answer_is_no_proof),
		cmocka_unit_test(a_pod_without_a_node_is_shown_and_waited_for),
		cmocka_unit_test(it_says_when_to_look_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
