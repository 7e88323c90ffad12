/* Knative's request fields: which are probes, which never go on, and what Forwarded is made of. */
#include "unit.h"

#include "activator/http/knative.h"
#include "activator/http/request.h"

static struct h1_head head;
static char text[40000];

static void
parse(const char *fields)
{
	int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);

	assert_in_range(n, 1, (int)sizeof text - 1);
	assert_int_equal(h1_parse_request(&head, text, (size_t)n, H1_FIELDS_MAX), H1_OK);
}

static enum knative_probe
probe(const char *fields, const char *expected)
{
	const char *value;
	enum knative_probe p;
	size_t n;

	parse(fields);
	p = knative_probe_of(&head, false, &value, &n);
	if (expected == NULL) {
		assert_null(value);
	} else {
		assert_non_null(value);
		assert_int_equal(n, strlen(expected));
		assert_memory_equal(value, expected, n);
	}
	return p;
}

static void
probes(void **state)
{
	const char *value;
	size_t n;

	(void)state;
	assert_int_equal(probe("", NULL), KNATIVE_NO_PROBE);
	assert_int_equal(probe("K-Network-Probe:\r\n", NULL), KNATIVE_NO_PROBE);
	assert_int_equal(probe("K-Network-Hash: h\r\n", NULL), KNATIVE_NO_PROBE);
	assert_int_equal(probe("k-NETWORK-probe: queue\r\n", NULL), KNATIVE_PROBE_QUEUE);
	assert_int_equal(probe("K-Network-Probe: activator\r\n", NULL), KNATIVE_PROBE_ACTIVATOR);
	assert_int_equal(probe("K-Network-Probe: probe\r\n", NULL), KNATIVE_PROBE_ROUTE);
	assert_int_equal(probe("K-Network-Probe: probe\r\nK-Network-Hash:\r\n", NULL),
			 KNATIVE_PROBE_ROUTE);
	assert_int_equal(probe("K-Network-Probe: probe\r\nK-Network-Hash: ab\r\n", "ab"),
			 KNATIVE_PROBE_ROUTE);
	assert_int_equal(probe("K-Network-Probe: Queue\r\n", "Queue"), KNATIVE_PROBE_UNKNOWN);
	assert_int_equal(probe("User-Agent: kube-probe/1.30\r\n", NULL), KNATIVE_PROBE_KUBELET);
	assert_int_equal(probe("User-Agent: Kube-Probe/\r\n", NULL), KNATIVE_PROBE_KUBELET);
	assert_int_equal(probe("User-Agent: kube-probe\r\n", NULL), KNATIVE_NO_PROBE);
	assert_int_equal(probe("User-Agent: my kube-probe/1\r\n", NULL), KNATIVE_NO_PROBE);
	assert_int_equal(probe("K-Kubelet-Probe: queue\r\n", NULL), KNATIVE_PROBE_KUBELET);
	assert_int_equal(probe("K-Kubelet-Probe:\r\n", NULL), KNATIVE_NO_PROBE);
	parse("User-Agent: kube-probe/1.30 grpc-go/1.60\r\n");
	assert_int_equal(knative_probe_of(&head, true, &value, &n), KNATIVE_NO_PROBE);
}

static void
inner_names(void **state)
{
	static const char *const inner[] = {"K-Proxy-Request",
					    "k_original_host",
					    "K-NETWORK-HASH",
					    "Knative-Serving-Revision",
					    "knative_serving-namespace",
					    "Knative-Serving-Default-Route"};
	static const char *const others[] = {"k",
					     "K-Proxy-Reques",
					     "K-Proxy-Requests",
					     "x-original-host",
					     "Knative-Serving-Tag",
					     "Knative-Serving-Revisions",
					     ""};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(inner); i++)
		assert_true(knative_is_inner(inner[i], strlen(inner[i])));
	for (i = 0; i < ARRAY_LEN(others); i++)
		assert_false(knative_is_inner(others[i], strlen(others[i])));
	assert_true(knative_is_tag("Knative_Serving-TAG", 19));
	assert_false(knative_is_tag("Knative-Serving-Tags", 20));
}

/* What the instance gets, the caller's. */
static char *
written(const char *fields, bool is_trusted, const struct request_knative *k)
{
	const struct request_hop hop = {
		.peer = "10.9.9.9", .is_peer_trusted = is_trusted, .knative = k};
	struct request r;
	size_t room, n;
	char *out;

	parse(fields);
	assert_int_equal(request_read(&r, &head), OUT_OK);
	room = request_size(&r, &hop);
	out = xmalloc(room + 1);
	n = request_write(&r, &hop, out, room);
	out[n] = '\0';
	return out;
}

static void
forwarded(const char *fields, bool is_trusted, const char *expected)
{
	static const struct request_knative k = {.drops_inner = true};
	char *out = written(fields, is_trusted, &k), *line = strstr(out, "Forwarded: ");
	char *all = xasprintf("Forwarded: %sfor=10.9.9.9;host=\"a\";proto=http\r\n", expected);

	while (line != NULL && line[-1] != '\n')
		line = strstr(line + 1, "Forwarded: ");
	assert_non_null(line);
	line[strcspn(line, "\n") + 1] = '\0';
	assert_string_equal(line, all);
	free(all);
	free(out);
}

static void
forwarded_is_made_of_the_older_fields(void **state)
{
	(void)state;
	forwarded("", true, "");
	forwarded("X-Forwarded-For: 10.0.0.1\r\n", false, "");
	forwarded("X-Forwarded-For: 10.0.0.1\r\n", true, "for=10.0.0.1, ");
	forwarded(
		"X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b:80\r\n",
		true, "for=10.0.0.1;host=\"b:80\";proto=https, ");
	forwarded("X-Forwarded-For: ::1, 10.0.0.1\r\nX-Forwarded-For: x\r\n", true,
		  "for=\"[::1]\", for=10.0.0.1, for=unknown, ");
	forwarded("X-Forwarded-For: 10.0.0.1\r\nForwarded: for=_x\r\n", true, "for=_x, ");
	forwarded(
		"X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: a;b\r\nX-Forwarded-Host: b\"\r\n",
		true, "for=10.0.0.1, ");
}

/* The room suffices for the lists that grow most. */
static void
long_lists_fit(void **state)
{
	static const char *const elements[] = {"a,", "::,", ",", "1.2.3.4,", "a", "\","};
	static const struct request_knative k = {
		.drops_inner = true, .tag = "t", .is_default_route = true};
	char fields[16384];
	size_t i, n, at;

	(void)state;
	for (i = 0; i < ARRAY_LEN(elements); i++) {
		n = strlen(elements[i]);
		at = (size_t)snprintf(fields, sizeof fields,
				      "X-Forwarded-Proto: https\r\nX-Forwarded-Host: h\r\n"
				      "X-Forwarded-For: ");
		while (at + n + 3 < sizeof fields) {
			memcpy(fields + at, elements[i], n);
			at += n;
		}
		memcpy(fields + at, "\r\n", 3);
		free(written(fields, true, &k)); /* it checks */
	}
}

static void
tags(void **state)
{
	const struct request_knative by_host = {.tag = "next"},
				     by_default = {.is_default_route = true};
	char *out = written("Knative-Serving-Tag: x\r\nK-Original-Host: y\r\n", false, &by_host);

	(void)state;
	assert_non_null(strstr(out, "\r\nKnative-Serving-Tag: next\r\n"));
	assert_null(strstr(out, "Tag: x"));
	assert_non_null(strstr(out, "K-Original-Host: y\r\n"));
	assert_null(strstr(out, "Default-Route"));
	free(out);
	out = written("Knative-Serving-Tag: x\r\n", false, &by_default);
	assert_non_null(strstr(out, "Knative-Serving-Tag: x\r\n"));
	assert_non_null(strstr(out, "Knative-Serving-Default-Route: true\r\n"));
	free(out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probes),
		cmocka_unit_test(inner_names),
		cmocka_unit_test(forwarded_is_made_of_the_older_fields),
		cmocka_unit_test(long_lists_fit),
		cmocka_unit_test(tags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
