/* grpc: which requests are gRPC, their deadline, and the text of a message; and how the head of a
 * request carries the deadline on. */
#include "test/unit/unit.h"

#include "activator/http/grpc.h"
#include "activator/http/request.h"
#include "activator/outcome.h"
#include "common/strbuf.h"

static bool
is_grpc(const char *value)
{
	return grpc_is_content_type(value, strlen(value));
}

static void
test_content_types(void **state)
{
	(void)state;
	assert_true(is_grpc("application/grpc"));
	assert_true(is_grpc("application/grpc+proto"));
	assert_true(is_grpc("Application/gRPC+json"));
	assert_true(is_grpc("application/grpc;charset=utf-8"));
	assert_true(is_grpc("application/grpc ; a=b"));
	assert_false(is_grpc("application/grpc-web"));
	assert_false(is_grpc("application/grpc-web+proto"));
	assert_false(is_grpc("application/grp"));
	assert_false(is_grpc("text/plain, application/grpc"));
	assert_false(is_grpc(""));
}

static void
test_heads_that_are_not_parsed(void **state)
{
	static const struct {
		const char *head;
		bool is_grpc;
	} cases[] = {
		{"POST / HTTP/1.1\r\nHost: a\r\ncontent-type: application/grpc\r\n\r\n", true},
		{"POST / HTTP/1.1\r\nCONTENT-TYPE:\t application/grpc+proto\r\nX: y", true},
		{"POST / HTTP/1.1\nContent-Type:application/grpc\n\n", true},
		{"\r\nPOST / HTTP/1.1\r\nContent-Type: application/grpc\r\n\r\n", true},
		{"POST / HTTP/1.1\r\nContent-Type: application/grpc", false}, /* cut short */
		{"POST / HTTP/1.1\r\nContent-Type: text/plain\r\n"
		 "Content-Type: application/grpc\r\n\r\n",
		 false},
		{"POST / HTTP/1.1\r\nX-Content-Type: application/grpc\r\n\r\n", false},
		{"POST / HTTP/1.1\r\nHost: a\r\n\r\nContent-Type: application/grpc\r\n", false},
		{"POST / HTTP/1.1\r\nContent-Type:\r\n\r\n", false},
		{"Content-Type", false},
		{"\n\n\n", false},
		{"", false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		if (grpc_is_in_head(cases[i].head, strlen(cases[i].head)) != cases[i].is_grpc)
			fail_msg("wrong: %s", cases[i].head);
}

static int64_t
timeout(const char *value)
{
	return grpc_timeout(value, strlen(value));
}

static void
test_timeouts(void **state)
{
	static const char *const malformed[] = {
		"", "1", "S", "123456789S", "1s", "1 S", " 1S", "-1S", "+1S", "1.5S", "0x1S", "1Sx",
	};
	size_t i;

	(void)state;
	assert_int_equal(timeout("1n"), 1);
	assert_int_equal(timeout("20u"), 20000);
	assert_int_equal(timeout("300m"), 300000000);
	assert_int_equal(timeout("4S"), INT64_C(4000000000));
	assert_int_equal(timeout("5M"), INT64_C(300000000000));
	assert_int_equal(timeout("6H"), INT64_C(21600000000000));
	assert_int_equal(timeout("0n"), 0);
	assert_int_equal(timeout("00000001S"), INT64_C(1000000000));
	assert_int_equal(timeout("99999999H"), INT64_MAX);
	for (i = 0; i < ARRAY_LEN(malformed); i++)
		assert_int_equal(timeout(malformed[i]), -1);
}

static void
check_put(int64_t ns, const char *expected)
{
	char out[GRPC_TIMEOUT_SIZE + 1] = {0};

	grpc_put_timeout(out, ns);
	assert_string_equal(out, expected);
}

/* Never more than is left, in eight digits. */
static void
test_what_is_left(void **state)
{
	(void)state;
	check_put(0, "       1n");
	check_put(-5, "       1n");
	check_put(1, "       1n");
	check_put(99999999, "99999999n");
	check_put(100000000, "  100000u");
	check_put(INT64_C(4999999999), " 4999999u");
	check_put(INT64_C(5000000000), " 5000000u");
	check_put(INT64_C(100000000000), "  100000m");
	check_put(INT64_MAX, " 2562047H");
}

static void
check_message(const char *text, const char *expected)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	grpc_add_message(&b, text, strlen(text));
	assert_string_equal(strbuf_str(&b), expected);
	strbuf_fini(&b);
}

static void
test_messages(void **state)
{
	char text[2000], expected[4000];

	(void)state;
	check_message("", "");
	check_message("queue_full: a, b", "queue_full: a, b");
	check_message("100% \"so\"\r\n\x7f", "100%25 \"so\"%0D%0A%7F");
	check_message("f\xc3\xbcr", "f%C3%BCr");
	/* 1024 bytes would end within a character */
	memset(text, 'x', 1023);
	strcpy(text + 1023, "\xc3\xbc and more");
	memset(expected, 'x', 1023);
	expected[1023] = '\0';
	check_message(text, expected);
}

/* Each outcome of a request has a status; http-grpc-status-mapping.md for the answers of rules. */
static void
test_statuses(void **state)
{
	(void)state;
	assert_int_equal(outcome_grpc_status(OUT_QUEUE_FULL), 14);
	assert_int_equal(outcome_grpc_status(OUT_ACTIVATION_FAILED), 14);
	assert_int_equal(outcome_grpc_status(OUT_ACTIVATION_TIMEOUT), 14);
	assert_int_equal(outcome_grpc_status(OUT_SHUTTING_DOWN), 14);
	assert_int_equal(outcome_grpc_status(OUT_DEADLINE), 4);
	assert_int_equal(outcome_grpc_status(OUT_RESPONSE_TIMEOUT), 4);
	assert_int_equal(outcome_grpc_status(OUT_NO_ROUTE), 12);
	assert_int_equal(outcome_grpc_status(OUT_UPSTREAM_PROTOCOL), 13);
	assert_int_equal(grpc_status_of_http(400), 13);
	assert_int_equal(grpc_status_of_http(401), 16);
	assert_int_equal(grpc_status_of_http(403), 7);
	assert_int_equal(grpc_status_of_http(404), 12);
	assert_int_equal(grpc_status_of_http(429), 14);
	assert_int_equal(grpc_status_of_http(503), 14);
	assert_int_equal(grpc_status_of_http(200), 2);
	assert_int_equal(grpc_status_of_http(418), 2);
}

/* The faults of a server are 5xx, those of a client 4xx. */
static void
test_statuses_as_http(void **state)
{
	static const int faults[] = {-1, 2, 4, 12, 13, 14, 15, 17, 100};
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(faults); i++)
		assert_int_equal(grpc_http_status(faults[i]) / 100, 5);
	assert_int_equal(grpc_http_status(0), 200);
	for (i = 1; i < 17; i++)
		if (i != 2 && i != 4 && (i < 12 || i > 15))
			assert_int_equal(grpc_http_status((int)i) / 100, 4);
}

/* The head that an instance gets for fields; the result is the caller's. */
static char *
rewritten(const char *fields, struct request *r)
{
	static struct h1_head head;
	static const struct request_hop hop = {.peer = "127.0.0.1", .is_h2 = true};
	char *text = xasprintf("POST /a.B/C HTTP/1.1\r\nhost: s\r\n%s\r\n", fields);
	size_t n = strlen(text), room;
	char *out;

	assert_int_equal(h1_parse_request(&head, text, n, 100), H1_OK);
	assert_int_equal(request_read(r, &head), OUT_OK);
	room = request_size(r, &hop);
	out = xcalloc(1, room + 1);
	n = request_write(r, &hop, out, room);
	if (r->timeout_ns >= 0)
		request_set_timeout(out, n, r->timeout_ns - 1500000000);
	free(text);
	return out;
}

static void
test_heads(void **state)
{
	struct request r;
	char *out = rewritten("content-type: application/grpc\r\ngrpc-timeout: 2S\r\n"
			      "grpc-encoding: gzip\r\n",
			      &r);

	(void)state;
	assert_true(r.is_grpc && r.takes_trailers);
	assert_int_equal(r.timeout_ns, INT64_C(2000000000));
	assert_non_null(strstr(out, "\r\ncontent-type: application/grpc\r\n"));
	assert_non_null(strstr(out, "\r\ngrpc-encoding: gzip\r\n"));
	assert_non_null(strstr(out, "\r\nTE: trailers\r\n"));
	assert_null(strstr(out, "2S"));
	assert_non_null(strstr(out, "\r\nGrpc-Timeout:   500000u\r\n\r\n"));
	free(out);
	/* What is malformed, repeated or of another protocol passes as it came. */
	out = rewritten("content-type: application/grpc\r\ngrpc-timeout: 2s\r\n", &r);
	assert_int_equal(r.timeout_ns, -1);
	assert_non_null(strstr(out, "\r\ngrpc-timeout: 2s\r\n"));
	free(out);
	out = rewritten("content-type: application/grpc\r\ngrpc-timeout: 2S\r\n"
			"grpc-timeout: 3S\r\n",
			&r);
	assert_int_equal(r.timeout_ns, -1);
	assert_non_null(strstr(out, "\r\ngrpc-timeout: 2S\r\ngrpc-timeout: 3S\r\n"));
	free(out);
	out = rewritten("content-type: application/grpc-web\r\ngrpc-timeout: 2S\r\n", &r);
	assert_false(r.is_grpc);
	assert_int_equal(r.timeout_ns, -1);
	assert_non_null(strstr(out, "\r\ngrpc-timeout: 2S\r\n"));
	free(out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_content_types),
		cmocka_unit_test(test_heads_that_are_not_parsed),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_what_is_left),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_statuses_as_http),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
