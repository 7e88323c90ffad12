/* X-Request-Id and traceparent: which values count, and what the instance gets. */
#include "unit.h"

#include "activator/http/request.h"

static struct h1_head head;

static void
parse(const char *fields)
{
	static char text[2048];
	int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);

	assert_int_equal(h1_parse_request(&head, text, (size_t)n, 100), H1_OK);
}

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define PARENT "-b7ad6b7169203331-01"

static const struct {
	const char *fields, *trace_id;
} traces[] = {
	{"", NULL},
	{"traceparent: 00-" TRACE PARENT "\r\n", TRACE},
	{"TraceParent: 00-" TRACE PARENT "\r\n", TRACE},
	{"traceparent: 00-" TRACE PARENT "-x\r\n", NULL},
	{"traceparent: 01-" TRACE PARENT "-x\r\n", TRACE}, /* a later version */
	{"traceparent: 01-" TRACE PARENT "x\r\n", NULL},
	{"traceparent: ff-" TRACE PARENT "\r\n", NULL},
	{"traceparent: 00-" TRACE "-b7ad6b7169203331\r\n", NULL},
	{"traceparent: 00-00000000000000000000000000000000" PARENT "\r\n", NULL},
	{"traceparent: 00-" TRACE "-0000000000000000-01\r\n", NULL},
	{"traceparent: 00-0AF7651916cd43dd8448eb211c80319c" PARENT "\r\n", NULL},
	{"traceparent:\r\n", NULL},
};

static void
a_trace_id_is_that_of_a_valid_traceparent(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(traces); i++) {
		const char *id;

		parse(traces[i].fields);
		id = request_traceparent(&head);
		assert_int_equal(id == NULL, traces[i].trace_id == NULL);
		if (id != NULL)
			assert_memory_equal(id + TRACE_ID_AT, traces[i].trace_id, TRACE_ID_SIZE);
	}
}

static void
a_request_id_is_one_visible_word(void **state)
{
	static const char *const bad[] = {"",
					  "X-Request-Id:\r\n",
					  "X-Request-Id: a b\r\n",
					  "X-Request-Id: \xc3\xa9\r\n",
					  "X-Request-Id: a\r\nX-Request-Id: b\r\n",
					  "X-Request-Id: a\r\nX_Request_Id: b\r\n",
					  "Y-Request-Id: a\r\n",
					  "X-Request-Ix: a\r\n"};
	char *text = xasprintf("X-Request-Id: %0*d\r\n", REQUEST_ID_MAX, 1);
	const char *id;
	size_t n, i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		parse(bad[i]);
		assert_null(request_id_sent(&head, &n));
	}
	parse("x-REQUEST-id: a/b=1\r\n");
	id = request_id_sent(&head, &n);
	assert_non_null(id);
	assert_int_equal(n, 5);
	assert_memory_equal(id, "a/b=1", 5);
	parse(text);
	assert_non_null(request_id_sent(&head, &n));
	free(text);
	text = xasprintf("X-Request-Id: %0*d\r\n", REQUEST_ID_MAX + 1, 1);
	parse(text);
	assert_null(request_id_sent(&head, &n));
	free(text);
}

static void
the_instance_gets_one_request_id(void **state)
{
	struct request_hop hop = {.peer = "10.0.0.1"};
	struct request r;
	char out[2048];
	size_t n;

	(void)state;
	parse("X-Request-Id: a\r\nx_request_id: b\r\nY: c\r\n");
	assert_int_equal(request_read(&r, &head), OUT_OK);
	n = request_write(&r, &hop, out, request_size(&r, &hop));
	out[n] = '\0';
	assert_non_null(strstr(out, "X-Request-Id: a\r\nx_request_id: b\r\nY: c\r\n"));
	hop.request_id = "new";
	hop.request_id_n = 3;
	n = request_write(&r, &hop, out, request_size(&r, &hop));
	out[n] = '\0';
	assert_non_null(strstr(out, "Y: c\r\nX-Request-Id: new\r\n"));
	assert_null(strstr(out, "X-Request-Id: a"));
	assert_null(strstr(out, "x_request_id"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_trace_id_is_that_of_a_valid_traceparent),
		cmocka_unit_test(a_request_id_is_one_visible_word),
		cmocka_unit_test(the_instance_gets_one_request_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
