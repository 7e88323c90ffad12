/* kube_json: fields decoded from the JSON of the API server. */
#include "test/unit/unit.h"

#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kubernetes/kube_pod_json.h"
#include "autoscaler/kubernetes/kube_replicas.h"
#include "autoscaler/kubernetes/kube_workload_json.h"
#include "common/clk.h"
#include "common/str_list.h"

static void
decode(struct kube_event *ev, const char *text)
{
	struct err e = {.text = ""};

	if (kube_event_decode(ev, text, strlen(text), text[2] != 't', &e) < 0)
		fail_msg("%s: %s", text, e.text);
}

static void
events(void **state)
{
	struct kube_event ev;
	struct err e;
	size_t i;
	static const char *const mistakes[] = {"",
					       "{",
					       "[]",
					       "{}",
					       "{\"type\":\"ADDED\"}",
					       "{\"type\":\"NEW\",\"object\":{}}",
					       "{\"type\":\"ADDED\",\"object\":[]}",
					       "{\"type\":\"ADDED\",\"object\":{}}x"};

	(void)state;
	decode(&ev, "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":\"a\",\"namespace\":"
		    "\"n\",\"uid\":\"u\",\"resourceVersion\":\"7\",\"labels\":{\"k\":\"v\"},"
		    "\"annotations\":{\"x\":\"1\",\"bad\":2}}}}");
	assert_int_equal(ev.type, KUBE_MODIFIED);
	assert_string_equal(ev.name, "a");
	assert_string_equal(ev.ns, "n");
	assert_string_equal(ev.uid, "u");
	assert_string_equal(ev.rv, "7");
	assert_string_equal(kube_event_label(&ev, "k"), "v");
	assert_null(kube_event_label(&ev, "x"));
	assert_string_equal(kube_event_annotation(&ev, "x"), "1");
	kube_event_fini(&ev);
	decode(&ev, "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\","
		    "\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}},\"spec\":"
		    "{\"containers\":null}}}");
	assert_true(ev.is_initial_end);
	assert_string_equal(ev.name, "");
	kube_event_fini(&ev);
	decode(&ev,
	       "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"metadata\":{},\"code\":410,"
	       "\"reason\":\"Expired\",\"message\":\"too old\"}}");
	assert_int_equal(ev.code, 410);
	assert_string_equal(ev.reason, "Expired");
	kube_event_fini(&ev);
	decode(&ev, "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\"},\"status\":"
		    "{\"hash\":18446744073709552000}}}");
	assert_string_equal(ev.name, "a");
	kube_event_fini(&ev);
	for (i = 0; i < ARRAY_LEN(mistakes); i++)
		assert_int_equal(
			kube_event_decode(&ev, mistakes[i], strlen(mistakes[i]), false, &e), -1);
}

#define POD(spec, status)                                                                          \
	"{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[" spec "]},\"status\":{" status  \
	"}}"
#define PORTS(list) "\"ports\":[" list "]"
#define HTTP "{\"name\":\"http\",\"containerPort\":8080}"
#define ADMIN "{\"name\":\"admin\",\"containerPort\":9090}"
#define PROBE(what) ",\"readinessProbe\":{" what "}"
#define STARTUP(what) ",\"name\":\"app\",\"startupProbe\":{" what "}"
#define STARTED(is)                                                                                \
	"\"containerStatuses\":[{\"name\":\"app\",\"started\":" is ",\"state\":{\"running\":{}}}]"

static void
ports(void **state)
{
	static const struct {
		const char *pod, *port;
		unsigned expected;
	} v[] = {
		{POD("{" PORTS(HTTP) "}", ""), "http", 8080},
		{POD("{" PORTS(HTTP) "}", ""), "9000", 9000}, /* it need not be declared */
		{POD("{" PORTS(HTTP) "}", ""), "grpc", 0},
		{POD("{" PORTS("{\"name\":\"80-tcp\",\"containerPort\":8080}") "}", ""), "80-tcp",
		 8080}, /* a name, though it begins like a number */
		{POD("{" PORTS(ADMIN "," HTTP) "}", ""), NULL, 8080}, /* the one named http */
		{POD("{" PORTS(ADMIN) "}", ""), NULL, 9090},	      /* the only one */
		{POD("{" PORTS(ADMIN ",{\"containerPort\":1}") "}", ""), NULL, 0},
		{POD("{}", ""), NULL, 0},
		{POD("{},{" PORTS(HTTP) "}", ""), "http", 8080},
		{"{}", NULL, 0},
		{"{}", "80", 80},
		{POD("{" PORTS("{\"name\":\"http\",\"containerPort\":70000}") "}", ""), "http", 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		struct kube_event ev;

		decode(&ev, v[i].pod);
		assert_int_equal(kube_event_port(&ev, v[i].port), v[i].expected);
		kube_event_fini(&ev);
	}
}

static void
probes(void **state)
{
	static const struct {
		const char *pod, *port, *expected;
		bool has_probe;
	} v[] = {
		{POD("{" PORTS(HTTP) "}", ""), "http", "tcp", false},
		{POD("{" PORTS(HTTP "," ADMIN)
			     PROBE("\"httpGet\":{\"path\":\"/h\",\"port\":\"admin\","
				   "\"scheme\":\"HTTP\"},\"timeoutSeconds\":3") "}",
		     ""),
		 "http", "http://:9090/h\nx-activator-timeout: 3000", true},
		{POD("{" PORTS(HTTP)
			     PROBE("\"httpGet\":{\"path\":\"h\",\"port\":8080,\"httpHeaders\":[{"
				   "\"name\":\"Host\",\"value\":\"a b\"}]}") "}",
		     ""),
		 "http", "http://:8080/h\nHost: a b", true},
		{POD("{" PORTS(HTTP) PROBE("\"tcpSocket\":{\"port\":8080}") "}", ""), "http",
		 "tcp://:8080", true},
		{POD("{" PORTS(HTTP) PROBE("\"grpc\":{\"port\":9090}") "}", ""), "http",
		 "grpc://:9090", true},
		{POD("{" PORTS(HTTP) PROBE("\"grpc\":{\"port\":8080,\"service\":\"a.B\"},"
					   "\"timeoutSeconds\":3") "}",
		     ""),
		 "http", "grpc://:8080/a.B\nx-activator-timeout: 3000", true},
		/* probes that only the kubelet can run */
		{POD("{" PORTS(HTTP) PROBE("\"exec\":{\"command\":[\"x\"]}") "}", ""), "http",
		 "ready", true},
		/* a name that no line can have */
		{POD("{" PORTS(HTTP) PROBE("\"grpc\":{\"port\":8080,\"service\":\"a\\nb\"}") "}",
		     ""),
		 "http", "ready", true},
		{POD("{" PORTS(HTTP) PROBE("\"grpc\":{}") "}", ""), "http", "ready", true},
		{POD("{" PORTS(HTTP) PROBE("\"httpGet\":{\"path\":\"/\",\"port\":8080,\"scheme\":"
					   "\"HTTPS\"}") "}",
		     ""),
		 "http", "ready", true},
		{POD("{" PORTS(HTTP) PROBE("\"httpGet\":{\"path\":\"/\",\"port\":8080,\"host\":"
					   "\"10.0.0.9\"}") "}",
		     ""),
		 "http", "ready", true},
		{POD("{" PORTS(HTTP) PROBE("\"httpGet\":{\"path\":\"/\",\"port\":\"none\"}") "}",
		     ""),
		 "http", "ready", true},
		/* bytes that would split the request */
		{POD("{" PORTS(HTTP)
			     PROBE("\"httpGet\":{\"path\":\"/a\\r\\nX: y\",\"port\":8080}") "}",
		     ""),
		 "http", "ready", true},
		{POD("{" PORTS(HTTP)
			     PROBE("\"httpGet\":{\"path\":\"/\",\"port\":8080,\"httpHeaders\":[{"
				   "\"name\":\"A\",\"value\":\"b\\nC: d\"}]}") "}",
		     ""),
		 "http", "ready", true},
		{POD("{" PORTS(HTTP) PROBE("\"tcpSocket\":{\"port\":\"8081\"}") "}", ""), "http",
		 "tcp://:8081", true}, /* a number as text */
		/* the startupProbe first, until it has succeeded */
		{POD("{" PORTS(HTTP) STARTUP("\"httpGet\":{\"path\":\"/s\",\"port\":8080}") "}",
		     ""),
		 "http", "http://:8080/s", true},
		{POD("{" PORTS(HTTP) STARTUP("\"httpGet\":{\"path\":\"/s\",\"port\":8080}")
			     PROBE("\"tcpSocket\":{\"port\":8080}") "}",
		     STARTED("false")),
		 "http", "http://:8080/s\n\ntcp://:8080", true},
		{POD("{" PORTS(HTTP) STARTUP("\"httpGet\":{\"path\":\"/s\",\"port\":8080}")
			     PROBE("\"tcpSocket\":{\"port\":8080}") "}",
		     STARTED("true")),
		 "http", "tcp://:8080", true},
		{POD("{" PORTS(HTTP) STARTUP("\"exec\":{\"command\":[\"x\"]}")
			     PROBE("\"tcpSocket\":{\"port\":8080}") "}",
		     STARTED("false")),
		 "http", "ready", true},
		{POD("{" PORTS(HTTP) STARTUP("\"exec\":{\"command\":[\"x\"]}")
			     PROBE("\"tcpSocket\":{\"port\":8080}") "}",
		     STARTED("true")),
		 "http", "tcp://:8080", true},
		{POD("{" PORTS(HTTP) STARTUP("\"tcpSocket\":{\"port\":8080}")
			     PROBE("\"grpc\":{\"port\":8080}") "}",
		     STARTED("false")),
		 "http", "tcp://:8080\n\ngrpc://:8080", true},
		{POD("{" PORTS(HTTP) STARTUP("\"tcpSocket\":{\"port\":8080}")
			     PROBE("\"exec\":{\"command\":[\"x\"]}") "}",
		     STARTED("false")),
		 "http", "ready", true},
		/* another container's */
		{POD("{" PORTS(HTTP) "},{" PORTS(ADMIN) PROBE("\"exec\":{}") "}", ""), "http",
		 "tcp", false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		struct kube_event ev;
		char *probe;

		decode(&ev, v[i].pod);
		probe = kube_event_probe(&ev, v[i].port);
		assert_string_equal(probe, v[i].expected);
		assert_int_equal(kube_event_has_probe(&ev, v[i].port), v[i].has_probe);
		free(probe);
		kube_event_fini(&ev);
	}
}

static void
pods(void **state)
{
	struct kube_event ev;
	struct kube_pod_fields p;

	(void)state;
	decode(&ev,
	       "{\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"annotations\":{"
	       "\"controller.kubernetes.io/pod-deletion-cost\":\"-5\"},\"ownerReferences\":[{"
	       "\"kind\":\"X\",\"name\":\"x\"},{\"kind\":\"ReplicaSet\",\"name\":\"a-1\","
	       "\"controller\":true}]},\"status\":{\"phase\":\"Running\",\"podIPs\":[{\"ip\":"
	       "\"fd00::9\"}],\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}],"
	       "\"containerStatuses\":[{\"restartCount\":2},{\"restartCount\":1}]}}");
	kube_pod_fields_decode(&ev, &p);
	assert_string_equal(p.ip, "fd00::9");
	assert_string_equal(p.owner_kind, "ReplicaSet");
	assert_string_equal(p.owner_name, "a-1");
	assert_string_equal(p.cost, "-5");
	assert_true(p.is_deleting && p.is_ready && !p.is_over);
	assert_int_equal(p.restarts, 3);
	kube_event_fini(&ev);
	decode(&ev, "{\"status\":{\"phase\":\"Failed\",\"podIP\":\"\"}}");
	kube_pod_fields_decode(&ev, &p);
	assert_null(p.ip);
	assert_true(p.is_over && !p.is_ready && !p.is_deleting);
	kube_event_fini(&ev);
}

static void
a_pod_that_was_ready_since_its_start(void **state)
{
#define READY(status, at)                                                                          \
	"\"conditions\":[{\"type\":\"Ready\",\"status\":\"" status                                 \
	"\",\"lastTransitionTime\":\"2026-01-01T00:00:" at "Z\"}]"
#define RUNS(at) "{\"state\":{\"running\":{\"startedAt\":\"2026-01-01T00:00:" at "Z\"}}}"
	static const struct {
		const char *pod;
		bool was_ready;
	} v[] = {
		{POD("", READY("False", "00") ",\"containerStatuses\":[" RUNS("01") "]"), false},
		{POD("", READY("False", "01") ",\"containerStatuses\":[" RUNS("01") "]"), false},
		{POD("", READY("False", "02") ",\"containerStatuses\":[" RUNS("01") "]"), true},
		{POD("", READY("True", "02") ",\"containerStatuses\":[" RUNS("01") "]"), false},
		/* a container was restarted after that, or does not run */
		{POD("",
		     READY("False", "02") ",\"containerStatuses\":[" RUNS("01") "," RUNS("03") "]"),
		 false},
		{POD("",
		     READY("False", "02") ",\"containerStatuses\":[" RUNS("01") ",{\"state\":{}}]"),
		 false},
		{POD("", READY("False", "02")), false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		struct kube_pod_fields p;
		struct kube_event ev;

		decode(&ev, v[i].pod);
		kube_pod_fields_decode(&ev, &p);
		if (p.was_ready != v[i].was_ready)
			fail_msg("row %zu: was_ready %d", i, p.was_ready);
		kube_event_fini(&ev);
	}
}

static void
workloads(void **state)
{
	struct kube_event ev;
	struct kube_workload_fields w;
	struct kube_author author;

	(void)state;
	decode(&ev,
	       "{\"metadata\":{\"managedFields\":[{\"manager\":\"kubectl\",\"time\":"
	       "\"2026-01-01T00:00:00Z\",\"fieldsV1\":{\"f:spec\":{\"f:replicas\":{}}}},{\"manager\":"
	       "\"hpa\",\"time\":\"2026-01-02T00:00:00Z\",\"fieldsV1\":{\"f:spec\":{\"f:replicas\":"
	       "{}}}},{\"manager\":\"late\",\"time\":\"2026-01-03T00:00:00Z\",\"fieldsV1\":{"
	       "\"f:status\":{}}}]},\"spec\":{\"replicas\":0,\"selector\":{\"matchLabels\":{\"app\":"
	       "\"a\"},\"matchExpressions\":[{\"key\":\"t\",\"operator\":\"In\",\"values\":[\"x\","
	       "\"y\"]},{\"key\":\"c\",\"operator\":\"DoesNotExist\"},{\"key\":\"d\",\"operator\":"
	       "\"Exists\"},{\"key\":\"e\",\"operator\":\"NotIn\",\"values\":[\"z\"]}]}},\"status\":{"
	       "\"conditions\":[{\"type\":\"ReplicaFailure\",\"status\":\"True\",\"reason\":"
	       "\"FailedCreate\",\"message\":\"exceeded quota\"}]}}");
	kube_workload_fields_decode(&ev, &w);
	assert_int_equal(w.replicas, 0);
	assert_string_equal(w.selector, "app=a,t in (x,y),!c,d,e notin (z)");
	kube_author_decode(&ev, &author);
	assert_string_equal(author.manager, "hpa");
	assert_string_equal(author.time, "2026-01-02T00:00:00Z");
	assert_false(author.by_scale);
	assert_string_equal(w.failure_reason, "FailedCreate");
	assert_string_equal(w.failure_message, "exceeded quota");
	kube_workload_fields_fini(&w);
	kube_event_fini(&ev);
	decode(&ev, "{\"spec\":{\"selector\":{}}}");
	kube_workload_fields_decode(&ev, &w);
	assert_int_equal(w.replicas, 1); /* the server's default */
	kube_author_decode(&ev, &author);
	assert_string_equal(author.manager, "");
	assert_null(w.selector);
	assert_null(w.failure_reason);
	kube_workload_fields_fini(&w);
	kube_event_fini(&ev);
}

static void
ages(void **state)
{
	const int64_t wall = INT64_C(1767225600) * CLK_S; /* 2026-01-01T00:00:00Z */

	(void)state;
	assert_int_equal(kube_time_age("2025-12-31T23:59:50Z", wall), 10 * CLK_S);
	assert_int_equal(kube_time_age("2025-12-31T23:59:50.123456Z", wall), 10 * CLK_S);
	assert_int_equal(kube_time_age("2026-01-01T00:00:10Z", wall), 0); /* its clock is ahead */
	assert_int_equal(kube_time_age("", wall), 0);
	assert_int_equal(kube_time_age("yesterday", wall), 0);
	assert_int_equal(kube_time_age(NULL, wall), 0);
}

static void
a_pod_says_since_when_it_is_not_ready(void **state)
{
	struct kube_event ev;

	(void)state;
	decode(&ev, "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\","
		    "\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}}");
	assert_string_equal(kube_event_unready_time(&ev), "2026-01-01T00:00:00Z");
	kube_event_fini(&ev);
	decode(&ev, "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\","
		    "\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}}");
	assert_null(kube_event_unready_time(&ev));
	kube_event_fini(&ev);
}

static void
an_autoscaler_of_kubernetes_is_named(void **state)
{
	struct kube_event ev;
	struct kube_author author;

	(void)state;
	decode(&ev,
	       "{\"metadata\":{\"managedFields\":[{\"manager\":\"kube-controller-manager\",\"time\":"
	       "\"2026-01-03T00:00:00Z\",\"subresource\":\"status\",\"fieldsV1\":{\"f:status\":{}}},{"
	       "\"manager\":\"kube-controller-manager\",\"time\":\"2026-01-02T00:00:00Z\","
	       "\"subresource\":\"scale\",\"fieldsV1\":{\"f:spec\":{\"f:replicas\":{}}}}]}}");
	kube_author_decode(&ev, &author);
	assert_string_equal(author.manager, "kube-controller-manager (HorizontalPodAutoscaler)");
	assert_true(author.by_scale);
	kube_event_fini(&ev);
	/* a kind of its own, whose replicas are in another field */
	decode(&ev, "{\"metadata\":{\"managedFields\":[{\"manager\":\"kubectl\",\"time\":"
		    "\"2026-01-02T00:00:00Z\",\"subresource\":\"scale\",\"fieldsV1\":{\"f:spec\":{"
		    "\"f:size\":{}}}}]}}");
	kube_author_decode(&ev, &author);
	assert_string_equal(author.manager, "kubectl");
	kube_event_fini(&ev);
}

static void
answers(void **state)
{
	static const char scale[] = "{\"kind\":\"Scale\",\"metadata\":{\"resourceVersion\":\"5\"},"
				    "\"spec\":{},\"status\":{\"selector\":\"app=a\"}}";
	static const char list[] = "{\"resourceVersion\":\"8\",\"continue\":\"abc\"}";
	static const char status[] =
		"{\"kind\":\"Status\",\"reason\":\"Forbidden\",\"message\":\"no\","
		"\"details\":{\"retryAfterSeconds\":3}}";
	static const char kinds[] =
		"{\"resources\":[{\"name\":\"rollouts/status\",\"kind\":\"Rollout\"},"
		"{\"name\":\"rollouts\",\"kind\":\"Rollout\"},{\"name\":"
		"\"rollouts/scale\",\"kind\":\"Scale\"}]}";
	struct kube_scale_fields a;
	char *rv, *next, *plural;
	int64_t retry_s;
	bool is_scaled;
	struct err e;

	(void)state;
	assert_int_equal(kube_scale_fields_decode(&a, scale, strlen(scale), &e), 0);
	assert_int_equal(a.replicas, 0); /* absent: 0 */
	assert_string_equal(a.rv, "5");
	assert_string_equal(a.selector, "app=a");
	kube_scale_fields_fini(&a);
	assert_int_equal(kube_scale_fields_decode(&a, status, strlen(status), &e), -1);
	assert_int_equal(kube_list_decode(list, strlen(list), &rv, &next, &e), 0);
	assert_string_equal(rv, "8");
	assert_string_equal(next, "abc");
	free(rv);
	free(next);
	kube_status_decode(status, strlen(status), &rv, &next, &retry_s);
	assert_string_equal(rv, "Forbidden");
	assert_string_equal(next, "no");
	assert_int_equal(retry_s, 3);
	free(rv);
	free(next);
	kube_status_decode("<html>", 6, &rv, &next, &retry_s);
	assert_true(rv == NULL && next == NULL && retry_s == 0);
	plural = kube_plural_decode(kinds, strlen(kinds), "Rollout", &is_scaled);
	assert_string_equal(plural, "rollouts");
	assert_true(is_scaled);
	free(plural);
	assert_null(kube_plural_decode(kinds, strlen(kinds), "Other", &is_scaled));
}

static void
credentials_of_a_plugin(void **state)
{
#define CREDENTIAL(status)                                                                         \
	"{\"kind\":\"ExecCredential\",\"apiVersion\":\"g/v1\",\"status\":{" status "}}"
#define EXPIRES(at) CREDENTIAL("\"token\":\"a\",\"expirationTimestamp\":\"" at "\"")
	static const struct {
		const char *text;
		int64_t expires_s; /* -1: it is refused */
	} v[] = {
		{CREDENTIAL("\"token\":\"a\""), 0},
		{CREDENTIAL("\"clientCertificateData\":\"c\",\"clientKeyData\":\"k\""), 0},
		{EXPIRES("2026-01-01T00:00:00Z"), 1767225600},
		{EXPIRES("2026-01-01T00:00:00.123456Z"), 1767225600},
		{EXPIRES("2026-01-01T02:30:00+02:30"), 1767225600},
		{EXPIRES("2025-12-31T23:00:00-01:00"), 1767225600},
		{EXPIRES("tomorrow"), -1},
		{EXPIRES("2026-01-01T00:00:00"), -1},
		{CREDENTIAL("\"clientCertificateData\":\"c\""), -1},
		{CREDENTIAL(""), -1},
		{"{\"kind\":\"ExecCredential\",\"apiVersion\":\"g/v2\",\"status\":{\"token\":\"a\"}}",
		 -1},
		{"{\"kind\":\"Secret\",\"apiVersion\":\"g/v1\",\"status\":{\"token\":\"a\"}}", -1},
		{"", -1},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		struct kube_credential c;
		struct err e = {.text = ""};
		int rc = kube_credential_decode(&c, v[i].text, strlen(v[i].text), "g/v1", &e);

		if (rc != (v[i].expires_s < 0 ? -1 : 0))
			fail_msg("row %zu: %d %s", i, rc, e.text);
		if (rc < 0)
			continue;
		assert_int_equal(c.expires_wall_ns, v[i].expires_s * CLK_S);
		kube_credential_fini(&c);
	}
}

static void
images_of_a_pod_once_all_are_known(void **state)
{
#define SAYS(name, id) "{\"name\":\"" name "\",\"imageID\":\"" id "\"}"
	struct str_list l = {0};
	struct kube_event ev;

	(void)state;
	decode(&ev,
	       "{\"status\":{\"containerStatuses\":[" SAYS("a", "x@1") "," SAYS("b", "") "]}}");
	kube_event_images(&ev, &l);
	assert_int_equal(l.n, 0);
	kube_event_fini(&ev);
	decode(&ev, "{}");
	kube_event_images(&ev, &l);
	assert_int_equal(l.n, 0);
	kube_event_fini(&ev);
	decode(&ev, "{\"status\":{\"initContainerStatuses\":[" SAYS(
			    "i", "w@0") "],\"containerStatuses\":[" SAYS("a", "x@1") "]}}");
	kube_event_images(&ev, &l);
	assert_int_equal(l.n, 4);
	assert_string_equal(l.v[0], "i");
	assert_string_equal(l.v[1], "w@0");
	assert_string_equal(l.v[2], "a");
	assert_string_equal(l.v[3], "x@1");
	kube_event_fini(&ev);
	str_list_fini(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events),
		cmocka_unit_test(ports),
		cmocka_unit_test(probes),
		cmocka_unit_test(a_pod_that_was_ready_since_its_start),
		cmocka_unit_test(pods),
		cmocka_unit_test(workloads),
		cmocka_unit_test(credentials_of_a_plugin),
		cmocka_unit_test(ages),
		cmocka_unit_test(a_pod_says_since_when_it_is_not_ready),
		cmocka_unit_test(an_autoscaler_of_kubernetes_is_named),
		cmocka_unit_test(answers),
		cmocka_unit_test(images_of_a_pod_once_all_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
