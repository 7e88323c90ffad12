/* kube_problem: what keeps a pod from running, as its status says it. */
#include "test/unit/unit.h"

#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kubernetes/kube_pod_json.h"
#include "autoscaler/kubernetes/kube_problem.h"

static void
problems_of_pods(void **state)
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
		/* an init container that has done its work */
		{"{\"status\":{\"initContainerStatuses\":[{\"state\":{\"terminated\":{\"exitCode\":0,"
		 "\"reason\":\"Completed\"}}}]}}",
		 NULL, NULL},
		{"{\"status\":{\"containerStatuses\":[{\"name\":\"app\",\"restartCount\":3,\"state\":{"
		 "\"waiting\":{\"reason\":\"CrashLoopBackOff\",\"message\":\"back-off 20s\"}},"
		 "\"lastState\":{\"terminated\":{\"exitCode\":137,\"reason\":\"OOMKilled\"}}}]}}",
		 "CrashLoopBackOff",
		 "container app of pod p ended with status 137 (OOMKilled), 3 restarts"},
		{"{\"status\":{\"containerStatuses\":[{\"name\":\"app\",\"state\":{\"terminated\":{"
		 "\"exitCode\":3}}}]}}",
		 "CrashLoopBackOff", "status 3 (no reason given), 0 restarts"},
		/* a container that runs again, or is being started again */
		{"{\"status\":{\"containerStatuses\":[{\"name\":\"app\",\"restartCount\":1,\"state\":{"
		 "\"running\":{}},\"lastState\":{\"terminated\":{\"exitCode\":1,\"reason\":\"Error\"}}}"
		 "]}}",
		 "CrashLoopBackOff", "status 1 (Error), 1 restarts"},
		{"{\"status\":{\"containerStatuses\":[{\"name\":\"app\",\"restartCount\":1,\"state\":{"
		 "\"waiting\":{\"reason\":\"ContainerCreating\"}},\"lastState\":{\"terminated\":{"
		 "\"exitCode\":255}}}]}}",
		 "CrashLoopBackOff", "status 255"},
		{"{\"status\":{\"initContainerStatuses\":[{\"name\":\"db\",\"restartCount\":2,\"state\":{"
		 "\"running\":{}},\"lastState\":{\"terminated\":{\"exitCode\":1}}}]}}",
		 "CrashLoopBackOff", "container db"},
		/* an init container that has failed, and then done its work */
		{"{\"status\":{\"initContainerStatuses\":[{\"restartCount\":2,\"state\":{\"terminated\":{"
		 "\"exitCode\":0}},\"lastState\":{\"terminated\":{\"exitCode\":1}}}],"
		 "\"containerStatuses\":[{\"state\":{\"waiting\":{\"reason\":\"PodInitializing\"}}}]}}",
		 NULL, NULL},
		/* a container in trouble beside one that was */
		{"{\"status\":{\"containerStatuses\":[{\"name\":\"a\",\"restartCount\":1,\"state\":{"
		 "\"running\":{}},\"lastState\":{\"terminated\":{\"exitCode\":1}}},{\"name\":\"b\","
		 "\"state\":{\"waiting\":{\"reason\":\"ErrImagePull\"}}}]}}",
		 "ErrImagePull", "pod p: ErrImagePull"},
		/* one that has crashed, and is ready now */
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
		/* a pod that is being deleted */
		{"{\"metadata\":{\"deletionTimestamp\":\"x\"},\"status\":{\"containerStatuses\":[{"
		 "\"state\":{\"waiting\":{\"reason\":\"ImagePullBackOff\"}}}]}}",
		 NULL, NULL},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		struct kube_event ev;
		struct kube_problem t;
		struct kube_pod_fields p;
		struct err e;
		bool is_problem;

		assert_int_equal(kube_event_decode(&ev, v[i].pod, strlen(v[i].pod), true, &e), 0);
		kube_pod_fields_decode(&ev, &p);
		is_problem = kube_problem_of_pod(&p, "p", &t);
		if (is_problem != (v[i].reason != NULL))
			fail_msg("row %zu: %s", i, is_problem ? t.message : "no problem");
		if (is_problem) {
			assert_string_equal(t.reason, v[i].reason);
			assert_non_null(strstr(t.message, v[i].message));
		}
		kube_event_fini(&ev);
	}
}

static void
past_trouble_and_a_missing_node_are_not_present_trouble(void **state)
{
#define CONTAINER(key, now, last)                                                                  \
	"{\"status\":{\"" key "\":[{\"restartCount\":1,\"state\":{\"" now                          \
	"}},\"lastState\":{\"terminated\":{\"exitCode\":" last "}}}]}}"
	static const struct {
		const char *pod;
		enum kube_problem_kind kind;
	} v[] = {
		{CONTAINER("containerStatuses", "terminated\":{\"exitCode\":1", "1"),
		 KUBE_PROBLEM_NOW},
		{CONTAINER("containerStatuses", "waiting\":{\"reason\":\"CrashLoopBackOff\"", "0"),
		 KUBE_PROBLEM_NOW},
		{CONTAINER("containerStatuses", "running\":{", "1"), KUBE_PROBLEM_PAST},
		{CONTAINER("containerStatuses", "running\":{", "0"), KUBE_PROBLEM_PAST},
		{CONTAINER("containerStatuses", "waiting\":{\"reason\":\"ContainerCreating\"",
			   "255"),
		 KUBE_PROBLEM_PAST},
		{CONTAINER("initContainerStatuses", "running\":{", "1"), KUBE_PROBLEM_PAST},
		{"{\"status\":{\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\","
		 "\"reason\":\"Unschedulable\"}]}}",
		 KUBE_PROBLEM_PLACE},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		struct kube_pod_fields f;
		struct kube_problem p;
		struct kube_event ev;
		struct err e;

		assert_int_equal(kube_event_decode(&ev, v[i].pod, strlen(v[i].pod), true, &e), 0);
		kube_pod_fields_decode(&ev, &f);
		assert_true(kube_problem_of_pod(&f, "p", &p));
		if (p.kind != v[i].kind)
			fail_msg("row %zu: kind %d", i, p.kind);
		kube_event_fini(&ev);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(problems_of_pods),
		cmocka_unit_test(past_trouble_and_a_missing_node_are_not_present_trouble),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
