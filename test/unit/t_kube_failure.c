/* kube_failure: what pods are in trouble with, and when that is a failure. */
#include "test/unit/unit.h"

#include "autoscaler/kubernetes/kube_failure.h"
#include "common/clk.h"

static void
troubles_of_pods(void **state)
{
#define WAITING(reason, message)                                                                             \
	"{\"status\":{\"containerStatuses\":[{\"name\":\"app\",\"state\":{\"waiting\":{\"reason\":\"" reason \
	"\",\"message\":\"" message "\"}}}]}}"
	static const struct {
		const char *pod, *reason, *message; /* reason NULL: none */
	} v[] = {
		{"{}", NULL, NULL},
		{WAITING("ContainerCreating", ""), NULL, NULL},
		{WAITING("PodInitializing", ""), NULL, NULL},
		{WAITING("ImagePullBackOff", "Back-off pulling image"), "ImagePullBackOff",
		 "pod p: ImagePullBackOff: Back-off pulling image"},
		{WAITING("ErrImagePull", ""), "ErrImagePull", "pod p: ErrImagePull"},
		{WAITING("CreateContainerConfigError", "secret not found"),
		 "CreateContainerConfigError", "secret not found"},
		{"{\"status\":{\"initContainerStatuses\":[{\"state\":{\"waiting\":{\"reason\":"
		 "\"ImagePullBackOff\"}}}]}}",
		 "ImagePullBackOff", "pod p"},
		/* an init container that has done its work is no trouble */
		{"{\"status\":{\"initContainerStatuses\":[{\"state\":{\"terminated\":{\"exitCode\":0,"
		 "\"reason\":\"Completed\"}}}]}}",
		 NULL, NULL},
		{"{\"status\":{\"containerStatuses\":[{\"name\":\"app\",\"restartCount\":3,\"state\":{"
		 "\"waiting\":{\"reason\":\"CrashLoopBackOff\",\"message\":\"back-off 20s\"}},"
		 "\"lastState\":{\"terminated\":{\"exitCode\":137,\"reason\":\"OOMKilled\"}}}]}}",
		 "CrashLoopBackOff",
		 "container app of pod p ended with status 137 (OOMKilled), 3 restarts"},
		/* between two crashes it runs for a moment */
		{"{\"status\":{\"containerStatuses\":[{\"name\":\"app\",\"restartCount\":1,\"state\":{"
		 "\"running\":{}},\"lastState\":{\"terminated\":{\"exitCode\":1,\"reason\":\"Error\"}}}"
		 "]}}",
		 "CrashLoopBackOff", "status 1 (Error), 1 restarts"},
		/* but not once it is ready */
		{"{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}],"
		 "\"containerStatuses\":[{\"restartCount\":1,\"state\":{\"running\":{}},\"lastState\":{"
		 "\"terminated\":{\"exitCode\":1}}}]}}",
		 NULL, NULL},
		{"{\"status\":{\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\","
		 "\"reason\":\"Unschedulable\",\"message\":\"0/1 nodes are available\"}]}}",
		 "Unschedulable", "pod p cannot be placed: 0/1 nodes are available"},
		{"{\"status\":{\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\","
		 "\"reason\":\"SchedulingGated\"}]}}",
		 NULL, NULL},
		/* who goes anyway is in no trouble */
		{"{\"metadata\":{\"deletionTimestamp\":\"x\"},\"status\":{\"containerStatuses\":[{"
		 "\"state\":{\"waiting\":{\"reason\":\"ImagePullBackOff\"}}}]}}",
		 NULL, NULL},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		struct kube_event ev;
		struct kube_trouble t;
		struct kube_pod_fields p;
		struct err e;
		bool is_trouble;

		assert_int_equal(kube_event_decode(&ev, v[i].pod, strlen(v[i].pod), true, &e), 0);
		kube_pod_decode(&ev, &p);
		is_trouble = kube_failure_of_pod(&p, "p", &t);
		if (is_trouble != (v[i].reason != NULL))
			fail_msg("row %zu: %s", i, is_trouble ? t.message : "no trouble");
		if (is_trouble) {
			assert_string_equal(t.reason, v[i].reason);
			assert_non_null(strstr(t.message, v[i].message));
		}
		kube_event_fini(&ev);
	}
}

#define PATIENCE (10 * CLK_S)

/* At a second: is there trouble, does an instance answer; and what is told then. */
struct step {
	int64_t at_s;
	bool is_trouble, is_answering, is_changed, is_failed;
};

static void
play(const struct step *v, size_t n)
{
	static const struct kube_trouble trouble = {.reason = "ImagePullBackOff"};
	struct kube_failure f;
	size_t i;

	kube_failure_init(&f);
	for (i = 0; i < n; i++) {
		bool is_changed = kube_failure_update(&f, v[i].is_trouble ? &trouble : NULL,
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
patience_and_back_off(void **state)
{
	(void)state;
	/* short trouble is none */
	PLAY({0, true, false, false, false}, {9, true, false, false, false},
	     {10, false, false, false, false}, {11, true, false, false, false},
	     {20, true, false, false, false}, {21, true, false, true, true});
	/* it is told for longer and longer, and holds in between */
	PLAY({0, true, false, false, false}, {10, true, false, true, true},
	     {11, true, false, true, true}, {12, true, false, false, true},
	     {13, true, false, true, true}, {16, true, false, false, true},
	     {17, true, false, true, true});
	/* the pods went; the back-off still holds, then the next request may try */
	PLAY({0, true, false, false, false}, {10, true, false, true, true},
	     {10, false, false, false, true}, {11, false, false, true, false},
	     {12, true, false, false, false}, {22, true, false, true, true},
	     {23, true, false, false, true}, {24, true, false, true, true});
	/* one that answers ends it at once */
	PLAY({0, true, false, false, false}, {10, true, false, true, true},
	     {10, true, true, true, false}, {11, true, false, false, false});
}

static void
it_says_when_to_look_again(void **state)
{
	static const struct kube_trouble trouble = {.reason = "x"};
	struct kube_failure f;

	(void)state;
	kube_failure_init(&f);
	assert_int_equal(kube_failure_due(&f, PATIENCE), 0);
	kube_failure_update(&f, &trouble, false, PATIENCE, 5 * CLK_S, 0);
	assert_int_equal(kube_failure_due(&f, PATIENCE), 15 * CLK_S);
	kube_failure_update(&f, &trouble, false, PATIENCE, 15 * CLK_S, UINT32_MAX);
	assert_int_equal(kube_failure_due(&f, PATIENCE), 16 * CLK_S);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(troubles_of_pods),
		cmocka_unit_test(patience_and_back_off),
		cmocka_unit_test(it_says_when_to_look_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
