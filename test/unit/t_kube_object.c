/* kube_object: what a Service says of its port. */
#include "unit.h"

#include "autoscaler/kube/kube_json.h"
#include "autoscaler/kubernetes/kube_object.h"

#define HOST "\"annotations\":{\"activator.dev/host\":\"a\"}"

/* "PORT PROTOCOL" of a Service with these metadata and ports. */
static void
check(const char *metadata, const char *ports, const char *expected)
{
	char *text = xasprintf("{\"kind\":\"Service\",\"metadata\":{\"name\":\"a\",%s},"
			       "\"spec\":{\"ports\":[%s]}}",
			       metadata, ports);
	const char *protocol = "-";
	struct kube_object o;
	struct kube_event ev;
	char *found;
	struct err e;
	size_t i;

	assert_int_equal(kube_event_decode(&ev, text, strlen(text), true, &e), 0);
	kube_object_decode(&ev, KUBE_SERVICE, &o);
	for (i = 0; i < o.annotations_n; i++)
		if (strcmp(o.annotations[i].name, "protocol") == 0)
			protocol = o.annotations[i].value;
	found = xasprintf("%s %s", o.port == NULL ? "-" : o.port, protocol);
	assert_string_equal(found, expected);
	free(found);
	kube_object_fini(&o);
	kube_event_fini(&ev);
	free(text);
}

static void
the_port_of_a_service(void **state)
{
	(void)state;
	check(HOST, "{\"port\":80}", "80 -");
	check(HOST, "{\"port\":80,\"targetPort\":\"web\"}", "web -");
	check(HOST, "{\"name\":\"x\",\"port\":1},{\"name\":\"http\",\"port\":2}", "2 -");
	check(HOST, "{\"name\":\"x\",\"port\":1},{\"name\":\"y\",\"port\":2}", "- -");
	check(HOST, "{\"name\":\"x\",\"port\":1},{\"name\":\"grpc\",\"port\":2}", "2 h2c");
}

/* By its appProtocol, or else by its name, unless an annotation says it. */
static void
its_protocol(void **state)
{
	(void)state;
	check(HOST, "{\"port\":80,\"name\":\"h2c\"}", "80 h2c");
	check(HOST, "{\"port\":80,\"name\":\"grpc\"}", "80 h2c");
	check(HOST, "{\"port\":80,\"name\":\"http\"}", "80 -");
	check(HOST, "{\"port\":80,\"appProtocol\":\"kubernetes.io/h2c\"}", "80 h2c");
	check(HOST, "{\"port\":80,\"appProtocol\":\"grpc\"}", "80 h2c");
	check(HOST, "{\"port\":80,\"name\":\"grpc\",\"appProtocol\":\"http\"}", "80 -");
	check("\"annotations\":{\"activator.dev/host\":\"a\",\"activator.dev/protocol\":\"http1\"}",
	      "{\"port\":80,\"name\":\"grpc\"}", "80 http1");
	check("\"annotations\":{}", "{\"port\":80,\"name\":\"grpc\"}", "80 -");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_port_of_a_service),
		cmocka_unit_test(its_protocol),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
