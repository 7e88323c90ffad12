/* probe_spec: the text that says how an instance is probed. */
#include "test/unit/unit.h"

#include "activator/probe_spec.h"
#include "common/clk.h"
#include "common/settings.h"

static void
texts(void **state)
{
	static const struct {
		const char *text;
		int kind;
		unsigned port;
		const char *path, *fields;
	} v[] = {
		{"tcp", PROBE_TCP, 0, NULL, ""},
		{"tcp://:9000", PROBE_TCP, 9000, NULL, ""},
		{"ready", PROBE_READINESS, 0, NULL, ""},
		{"/", PROBE_HTTP, 0, "/", ""},
		{"/healthz?full=1", PROBE_HTTP, 0, "/healthz?full=1", ""},
		{"/a://:1", PROBE_HTTP, 0, "/a://:1", ""},
		{"http://:9000/healthz", PROBE_HTTP, 9000, "/healthz", ""},
		{"http://:9000/h\nHost: a\nX-B: c d", PROBE_HTTP, 9000, "/h", "Host: a\nX-B: c d"},
		/* anything else is a TCP connect */
		{"", PROBE_TCP, 0, NULL, ""},
		{"http://:0/x", PROBE_TCP, 0, NULL, ""},
		{"http://:65536/x", PROBE_TCP, 0, NULL, ""},
		{"http://:80", PROBE_TCP, 80, NULL, ""},
		{"http://:80x/", PROBE_TCP, 80, NULL, ""},
		{"/a b", PROBE_TCP, 0, NULL, ""},
		/* the first of two */
		{"tcp\n\nhttp://:80/h", PROBE_TCP, 0, NULL, ""},
		{"/a\r\nX: y", PROBE_TCP, 0, NULL, ""},
	};
	struct probe_spec s;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		probe_spec_parse(&s, v[i].text);
		assert_int_equal(s.kind, v[i].kind);
		assert_int_equal(s.port, v[i].port);
		assert_string_equal(s.fields, v[i].fields);
		if (v[i].path == NULL)
			continue;
		assert_int_equal(s.path_n, strlen(v[i].path));
		assert_memory_equal(s.path, v[i].path, s.path_n);
	}
}

static void
heads(void **state)
{
	static const struct {
		const char *text, *head;
	} v[] = {
		{"/h", "GET /h HTTP/1.1\r\nHost: 10.0.0.1:80\r\nUser-Agent: activator-probe\r\n"
		       "Accept: */*\r\nConnection: close\r\n\r\n"},
		{"http://:9/h\nhost: a\nX: y",
		 "GET /h HTTP/1.1\r\nUser-Agent: activator-probe\r\nAccept: */*\r\nhost: a\r\n"
		 "X: y\r\nConnection: close\r\n\r\n"},
		{"/h\nhost: a\n\n/second\nX: y",
		 "GET /h HTTP/1.1\r\nUser-Agent: activator-probe\r\nAccept: */*\r\nhost: a\r\n"
		 "Connection: close\r\n\r\n"},
		{"/h\nX-Activator-Timeout: 5\nX: y",
		 "GET /h HTTP/1.1\r\nHost: 10.0.0.1:80\r\nUser-Agent: activator-probe\r\n"
		 "Accept: */*\r\nX: y\r\nConnection: close\r\n\r\n"},
		{"/h\n\n/second\nHost: a",
		 "GET /h HTTP/1.1\r\nHost: 10.0.0.1:80\r\nUser-Agent: activator-probe\r\n"
		 "Accept: */*\r\nConnection: close\r\n\r\n"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		struct probe_spec s;
		char *head;

		probe_spec_parse(&s, v[i].text);
		head = probe_spec_head(&s, "10.0.0.1:80");
		assert_string_equal(head, v[i].head);
		free(head);
	}
}

static void
a_second_probe_follows_an_empty_line(void **state)
{
	struct probe_spec s;

	(void)state;
	probe_spec_parse(&s, "http://:9000/h\nX: y\n\ntcp://:80");
	assert_int_equal(s.port, 9000);
	assert_string_equal(s.next, "tcp://:80");
	probe_spec_parse(&s, s.next);
	assert_int_equal(s.kind, PROBE_TCP);
	assert_int_equal(s.port, 80);
	assert_null(s.next);
	probe_spec_parse(&s, "grpc://:9000/a\nx-activator-timeout: 3000\n\ngrpc:b");
	assert_int_equal(s.kind, PROBE_GRPC);
	assert_int_equal(s.service_n, 1);
	assert_int_equal(s.timeout_ns, 3 * CLK_S);
	assert_string_equal(s.next, "grpc:b");
}

static void
health_checks(void **state)
{
	static const struct {
		const char *text;
		unsigned port;
		const char *service; /* NULL: it is none */
	} v[] = {
		{"grpc", 0, ""},
		{"grpc:", 0, ""},
		{"grpc:my.pkg.Service", 0, "my.pkg.Service"},
		{"grpc:a/b://:1", 0, "a/b://:1"},
		{"grpc\nx-activator-timeout: 5", 0, ""},
		{"grpc://:9000", 9000, ""},
		{"grpc://:9000/", 9000, ""},
		{"grpc://:9000/my.pkg.Service", 9000, "my.pkg.Service"},
		{"grpc://:9000/a\nx-activator-timeout: 5", 9000, "a"},
		{"grpc://:9000x", 9000, NULL},
		{"grpc://:0/a", 0, NULL},
		{"grpcs", 0, NULL},
	};
	struct probe_spec s;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		probe_spec_parse(&s, v[i].text);
		assert_int_equal(s.kind, v[i].service == NULL ? PROBE_TCP : PROBE_GRPC);
		assert_int_equal(s.port, v[i].port);
		if (v[i].service == NULL)
			continue;
		assert_int_equal(s.service_n, strlen(v[i].service));
		assert_memory_equal(s.service, v[i].service, s.service_n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),
		cmocka_unit_test(heads),
		cmocka_unit_test(a_second_probe_follows_an_empty_line),
		cmocka_unit_test(health_checks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
