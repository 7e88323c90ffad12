/* kube_state: the state of a workload in a word. */
#include "test/unit/unit.h"

#include "autoscaler/kubernetes/kube_problem.h"
#include "autoscaler/kubernetes/kube_state.h"

static const struct kube_problem pull = {.reason = "ImagePullBackOff", .message = "pod a-1: no"};
static const struct kube_problem pull_again = {.reason = "ImagePullBackOff",
					       .message = "pod a-2: no"};
static const struct kube_problem crash = {.reason = "CrashLoopBackOff", .message = "pod a-1"};

static void
states(void **state)
{
	static const struct {
		struct kube_state_facts facts;
		enum kube_state is;
	} v[] = {
		{{.is_known = false, .replicas = 3, .is_serving = true}, KUBE_UNKNOWN},
		{{.is_known = true}, KUBE_ASLEEP},
		{{.is_known = true, .replicas = 1}, KUBE_STARTING},
		{{.is_known = true, .replicas = 1, .is_serving = true}, KUBE_AWAKE},
		{{.is_known = true, .replicas = 2, .is_serving = true, .is_held = true}, KUBE_HELD},
		/* a request wakes it, whoever has set the zero */
		{{.is_known = true, .is_held = true}, KUBE_ASLEEP},
		{{.is_known = true, .replicas = 2, .is_held = true, .failure = &pull},
		 KUBE_FAILING},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++)
		assert_int_equal(kube_state_of(&v[i].facts), v[i].is);
}

static void
the_annotation(void **state)
{
	char *text;

	(void)state;
	text = kube_state_text(KUBE_AWAKE, NULL);
	assert_string_equal(text, "awake");
	assert_true(kube_state_is(text, KUBE_AWAKE, NULL));
	assert_false(kube_state_is(text, KUBE_ASLEEP, NULL));
	assert_false(kube_state_is(NULL, KUBE_ASLEEP, NULL));
	assert_true(kube_state_is(NULL, KUBE_UNKNOWN, NULL));
	free(text);
	text = kube_state_text(KUBE_FAILING, &pull);
	assert_string_equal(text, "failing: ImagePullBackOff: pod a-1: no");
	assert_true(kube_state_is(text, KUBE_FAILING, &pull));
	assert_true(kube_state_is(text, KUBE_FAILING, &pull_again));
	assert_false(kube_state_is(text, KUBE_FAILING, &crash));
	assert_false(kube_state_is(text, KUBE_STARTING, NULL));
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states),
		cmocka_unit_test(the_annotation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
