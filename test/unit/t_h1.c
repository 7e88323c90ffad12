/* h1: heads and chunked bodies that are accepted, and those that two parsers could read
 * differently and are refused.  llhttp alone would accept the rows with a note. */
#include "test/unit/unit.h"

#include "activator/http/chunked.h"
#include "activator/http/h1.h"
#include "activator/http/request.h"
#include "activator/http/response.h"

#define HOST "Host: a\r\n"
#define NAME64 "x234567890123456789012345678901234567890123456789012345678901234567890"

static struct h1_head head;

/* Find the end of the head in one call, and byte by byte. */
static ssize_t
scan(const char *s)
{
	size_t n = strlen(s), seen = 0, i;
	ssize_t size = h1_scan(s, n, &seen), slow = 0;

	for (i = 1, seen = 0; i <= n && slow == 0; i++)
		slow = h1_scan(s, i, &seen);
	assert_int_equal(size, slow);
	return size;
}

static const struct {
	const char *text;
	enum outcome out;
} requests[] = {
	{"GET / HTTP/1.1\r\n" HOST "\r\n", OUT_OK},
	{"\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", OUT_OK},
	{"\r\n\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", OUT_BAD_REQUEST},
	{"PURGE / HTTP/1.1\r\n" HOST "\r\n", OUT_OK},
	{"GET  / HTTP/1.1\r\n" HOST "\r\n", OUT_BAD_REQUEST}, /* a second blank */
	{"GET /  HTTP/1.1\r\n" HOST "\r\n", OUT_BAD_REQUEST}, /* a second blank */
	{" GET / HTTP/1.1\r\n" HOST "\r\n", OUT_BAD_REQUEST},
	{"GET\t/ HTTP/1.1\r\n" HOST "\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1 \r\n" HOST "\r\n", OUT_VERSION},
	{"GET /\r\n\r\n", OUT_VERSION},
	{"GET / HTTP/1.2\r\n" HOST "\r\n", OUT_VERSION},
	{"GET / HTTP/1.1\r\n: v\r\n" HOST "\r\n", OUT_BAD_REQUEST},	 /* an empty name */
	{"GET / HTTP/1.1\r\nX:\rY: z\r\n" HOST "\r\n", OUT_BAD_REQUEST}, /* a lone CR */
	{"GET / HTTP/1.1\r\nX: a\rY: z\r\n" HOST "\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\n" HOST "X: a\r\r\n\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\n" HOST "X: a\n\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\n" HOST "X : a\r\n\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\n" HOST "X\r\n\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\n" HOST "X: a\x01\r\n\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\n" HOST "X: a\x7f\r\n\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\n " HOST "\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\n\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.0\r\n\r\n", OUT_OK},
	{"GET / HTTP/1.1\r\n" HOST HOST "\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\nHost: \r\n\r\n", OUT_OK}, /* RFC 9112 3.2: where there is none */
	{"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\nHost: a:\r\n\r\n", OUT_OK},
	{"GET / HTTP/1.1\r\nHost: a%2e%zz\r\n\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", OUT_OK},
	{"GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\nHost: [:81]\r\n\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\nHost: [v1.x]\r\n\r\n", OUT_BAD_REQUEST},
	{"GET http://b/ HTTP/1.1\r\n" HOST "\r\n", OUT_OK},
	{"GET http:///x HTTP/1.1\r\n" HOST "\r\n", OUT_BAD_REQUEST},
	{"GET http://u@b/ HTTP/1.1\r\n" HOST "\r\n", OUT_BAD_REQUEST},
	{"GET ftp://b/ HTTP/1.1\r\n" HOST "\r\n", OUT_BAD_REQUEST},
	{"GET a HTTP/1.1\r\n" HOST "\r\n", OUT_BAD_REQUEST},
	{"GET * HTTP/1.1\r\n" HOST "\r\n", OUT_BAD_REQUEST},
	{"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", OUT_OK},
	{"GET /#a HTTP/1.1\r\n" HOST "\r\n", OUT_BAD_REQUEST},
	{"CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n", OUT_METHOD},
	{"OPTIONS / HTTP/1.1\r\n" HOST "Max-Forwards: 0\r\n\r\n", OUT_MAX_FORWARDS},
	{"OPTIONS / HTTP/1.1\r\n" HOST "Max-Forwards: 0\r\nMax-Forwards: 1\r\n\r\n",
	 OUT_BAD_REQUEST},
	{"OPTIONS / HTTP/1.1\r\n" HOST "Max-Forwards: x\r\n\r\n", OUT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\n" HOST "Max-Forwards: x\r\n\r\n",
	 OUT_OK}, /* has no meaning for this method */
	{"GET / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\n\r\n", OUT_OK},
	{"GET / HTTP/1.1\r\n" HOST "Expect: 100-continue, x\r\n\r\n", OUT_EXPECTATION},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
	 OUT_BAD_REQUEST},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\n", OUT_BAD_REQUEST},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", OUT_BAD_REQUEST},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n\r\n", OUT_BAD_REQUEST},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: \r\n\r\n", OUT_BAD_REQUEST},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551616\r\n\r\n",
	 OUT_BAD_REQUEST},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775808\r\n\r\n", OUT_BAD_REQUEST},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775807\r\n\r\n", OUT_OK},
	{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n", OUT_OK},
	{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n", OUT_BAD_REQUEST},
	{"POST / HTTP/1.1\r\n" HOST
	 "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
	 OUT_BAD_REQUEST},
	{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", OUT_BAD_REQUEST},
	{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \"chunked\"\r\n\r\n", OUT_BAD_REQUEST},
	{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n", OUT_BAD_REQUEST},
	{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
	 OUT_BAD_REQUEST},
	{"POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", OUT_BAD_REQUEST},
};

static enum outcome
read_request(const char *text, struct request *r)
{
	ssize_t n = scan(text);

	if (n <= 0)
		return OUT_BAD_REQUEST;
	assert_int_equal(n, strlen(text));
	switch (h1_parse_request(&head, text, (size_t)n, 100)) {
	case H1_OK:
		return request_read(r, &head);
	case H1_VERSION:
		return OUT_VERSION;
	default:
		return OUT_BAD_REQUEST;
	}
}

static void
test_requests(void **state)
{
	struct request r;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(requests); i++) {
		enum outcome out = read_request(requests[i].text, &r);

		if (out != requests[i].out)
			print_error("%s", requests[i].text);
		assert_int_equal(out, requests[i].out);
	}
}

static const struct {
	const char *text;
	bool is_taken;
} responses[] = {
	{"HTTP/1.1 200 OK\r\n\r\n", true},
	{"HTTP/1.1 200 \r\n\r\n", true},
	{"HTTP/1.1 200\r\n\r\n", true},		/* many servers send this */
	{"\r\nHTTP/1.1 200 OK\r\n\r\n", false}, /* an empty line */
	{"HTTP/1.1  200 OK\r\n\r\n", false},
	{"HTTP/1.1 0200 OK\r\n\r\n", false}, /* a fourth digit */
	{"HTTP/1.1 20 OK\r\n\r\n", false},
	{"HTTP/1.1 099 OK\r\n\r\n", false},
	{"HTTP/1.1 200 a\x01\r\n\r\n", false}, /* a control in the reason */
	{"HTTP/2.0 200 OK\r\n\r\n", false},
	{"ICY 200 OK\r\n\r\n", false},
	{"HTTP/1.1 200 OK\r\n: v\r\n\r\n", false},	/* an empty name */
	{"HTTP/1.1 200 OK\r\nX:\rY: z\r\n\r\n", false}, /* a lone CR */
	{"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n", true},
	{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", false},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", false},
	{"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false},
	{"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
	 false}, /* without a request for an upgrade */
};

static bool
read_response(const char *text, struct response *r)
{
	ssize_t n = scan(text);

	return n > 0 && h1_parse_response(&head, text, (size_t)n, 100) == H1_OK &&
	       response_read(r, &head, false, false) == 0;
}

static void
test_responses(void **state)
{
	struct response r;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(responses); i++) {
		bool is_taken = read_response(responses[i].text, &r);

		if (is_taken != responses[i].is_taken)
			print_error("%s", responses[i].text);
		assert_int_equal(is_taken, responses[i].is_taken);
	}
}

static void
test_close_wins(void **state)
{
	struct request r;
	struct response resp;

	(void)state;
	assert_int_equal(read_request("GET / HTTP/1.0\r\nConnection: close\r\n"
				      "Connection: keep-alive\r\n\r\n",
				      &r),
			 OUT_OK);
	assert_false(r.is_persistent);
	assert_true(read_response("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n"
				  "Connection: keep-alive\r\n\r\n",
				  &resp));
	assert_false(resp.is_persistent);
}

/* Of an instance's response: those for a proxy, and those that our own answers alone have. */
static void
test_response_fields_that_end_here(void **state)
{
	const struct response_hop hop = {.is_persistent = true,
					 .date = "Sun, 06 Nov 1994 08:49:37 GMT"};
	struct response r;
	char out[2048];

	(void)state;
	assert_true(read_response("HTTP/1.1 407 No\r\nContent-Length: 0\r\n"
				  "Proxy-Authenticate: Basic\r\nProxy-Authentication-Info: x\r\n"
				  "X-Activator-Reason: queue_full\r\nX-A: 1\r\n\r\n",
				  &r));
	assert_in_range(response_size(&r, &hop), 1, sizeof out - 1);
	out[response_write(&r, &hop, out, sizeof out - 1)] = '\0';
	assert_string_equal(out, "HTTP/1.1 407 No\r\nX-A: 1\r\nContent-Length: 0\r\n"
				 "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
}

static void
test_connection_options(void **state)
{
	struct request r;

	(void)state;
	assert_int_equal(read_request("GET / HTTP/1.1\r\n" HOST "Connection: X-a, " NAME64 "\r\n"
				      "x-A: 1\r\n" NAME64 ": 2\r\nx-b: 3\r\n\r\n",
				      &r),
			 OUT_OK);
	assert_true(h1_is_connection_option(&head, &head.fields[2]));
	assert_true(h1_is_connection_option(&head, &head.fields[3])); /* of any length */
	assert_false(h1_is_connection_option(&head, &head.fields[4]));
}

/* Fields whose list each other field is looked up in are short. */
static void
test_lists_are_bounded(void **state)
{
	static const char *const names[] = {"Connection: ", "Trailer: "};
	char text[4096], list[H1_LISTED_MAX + 2];
	struct request r;
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(names); i++)
		for (n = H1_LISTED_MAX; n <= H1_LISTED_MAX + 1; n++) {
			bool is_long = n > H1_LISTED_MAX;
			struct response resp;

			memset(list, ',', n - 1);
			list[n - 1] = 'a';
			list[n] = '\0';
			snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" HOST "%s%s\r\n\r\n",
				 names[i], list);
			assert_int_equal(read_request(text, &r),
					 is_long ? OUT_BAD_REQUEST : OUT_OK);
			snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\n%s%s\r\n%s%s\r\n\r\n",
				 names[i], "b", names[i], list + 1);
			assert_int_equal(h1_parse_response(&head, text, strlen(text), 100), H1_OK);
			assert_int_equal(response_read(&resp, &head, false, false),
					 is_long ? -1 : 0);
		}
}

/* --- chunked bodies --- */

#define TEN "b:\r\nb:\r\nb:\r\nb:\r\nb:\r\nb:\r\nb:\r\nb:\r\nb:\r\nb:\r\n"

static const struct {
	const char *text, *data, *trailers; /* data NULL: refused */
} bodies[] = {
	{"0\r\n\r\n", "", ""},
	{"3\r\nabc\r\n0\r\n\r\n", "abc", ""},
	{"3\r\nabc\r\nA\r\n0123456789\r\n00\r\n\r\n", "abc0123456789", ""},
	{"3;a\r\nabc\r\n0\r\n\r\n", "abc", ""},
	{"3 ; a = \"b;\\\"\" ;c=d\r\nabc\r\n0;e\r\n\r\n", "abc", ""},
	{"0\r\nX-Sum: 1 \r\nX-Other: 2\r\n\r\n", "", "X-Sum: 1\r\n"},
	{"0\r\nX-Two: 2\r\nX-Sum: 1\r\n\r\n", "", "X-Two: 2\r\nX-Sum: 1\r\n"},
	{"0\r\nX-Forwarded-Prefix: /a\r\nX-Activator-A: 1\r\nX-Sum: 1\r\n\r\n", "", "X-Sum: 1\r\n"},
	{"\r\n", NULL, NULL},
	{"3\nabc\r\n0\r\n\r\n", NULL, NULL},
	{"3\r\nabc\n0\r\n\r\n", NULL, NULL},
	{"3\r\nabcd\r\n0\r\n\r\n", NULL, NULL},
	{"0x3\r\nabc\r\n0\r\n\r\n", NULL, NULL},
	{"-3\r\nabc\r\n0\r\n\r\n", NULL, NULL},
	{" 3\r\nabc\r\n0\r\n\r\n", NULL, NULL},
	{"3 \r\nabc\r\n0\r\n\r\n", NULL, NULL},	 /* only a blank */
	{"3 a\r\nabc\r\n0\r\n\r\n", NULL, NULL}, /* an extension without ";" */
	{"3;\r\nabc\r\n0\r\n\r\n", NULL, NULL},
	{"3;a\nabc\r\n0\r\n\r\n", NULL, NULL},
	{"3;a=\r\nabc\r\n0\r\n\r\n", NULL, NULL},
	{"3;a=\"b\r\n\"\r\nabc\r\n0\r\n\r\n", NULL, NULL},
	{"10000000000000000\r\n", NULL, NULL},
	{"0\r\n\n", NULL, NULL}, /* a bare LF as the end */
	{"0\r\nX-Sum: 1\n\r\n", NULL, NULL},
	{"0\r\nX-Sum: 1\r\n 2\r\n\r\n", NULL, NULL},
	{"0\r\n X-Sum: 1\r\n\r\n", NULL, NULL},
	{"0\r\nX-Sum : 1\r\n\r\n", NULL, NULL},
	{"0\r\n: 1\r\n\r\n", NULL, NULL},
	{"0\r\nX-Sum\r\n\r\n", NULL, NULL},
	{"0\r\nX-Sum: a\rb\r\n\r\n", NULL, NULL},
	{"0\r\nX-Sum: a\x01\r\n\r\n", NULL, NULL},
	{"8000000000000000\r\n", NULL, NULL},		/* above INT64_MAX */
	{"0\r\nContent-Length: 1\r\n\r\n", NULL, NULL}, /* forbidden: RFC 9110 6.5.1 */
	{"0\r\nHost: a\r\n\r\n", NULL, NULL},
	{"0\r\nTransfer-Encoding: chunked\r\n\r\n", NULL, NULL},
	{"0\r\nAuthorization: a\r\n\r\n", NULL, NULL},
	{"0\r\n" TEN "\r\n", "", ""},
	{"0\r\n" TEN "b:\r\n\r\n", NULL, NULL}, /* more than max_fields */
};

static const struct h1_head announcing = {
	.n = 2,
	.fields = {{.value = "a, x-sum", .value_n = 8, .id = FIELD_TRAILER},
		   {.value = "x-two", .value_n = 5, .id = FIELD_TRAILER}}};

/* Decode in pieces of step bytes.  False: refused. */
static bool
decode(const char *text, size_t step, char *data, char *trailers)
{
	struct chunked *c = chunked_new(&announcing, 1000, 10);
	size_t n = strlen(text), at = 0;
	ssize_t used = 0;

	*data = '\0';
	for (; at < n && used >= 0 && !chunked_done(c); at += (size_t)used) {
		char piece[100];
		size_t len = MIN(step, n - at), got = 0;

		memcpy(piece, text + at, len);
		used = chunked_feed(c, piece, len, &got);
		if (used < 0)
			break;
		strncat(data, piece, got);
	}
	strcpy(trailers, chunked_trailers(c));
	chunked_free(&c);
	return used >= 0;
}

static void
test_chunked(void **state)
{
	char data[100], trailers[100];
	size_t i, step;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bodies); i++)
		for (step = 1; step < 100; step += step < 4 ? 1 : 95) {
			bool is_taken = decode(bodies[i].text, step, data, trailers);

			if (is_taken != (bodies[i].data != NULL))
				print_error("%s", bodies[i].text);
			assert_int_equal(is_taken, bodies[i].data != NULL);
			if (!is_taken)
				continue;
			assert_string_equal(data, bodies[i].data);
			assert_string_equal(trailers, bodies[i].trailers);
		}
}

/* Bytes besides data are bounded, in any pieces; the framing of data is not counted. */
static void
test_overhead(void **state)
{
	static const char extension[] = "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n";
	struct chunked *c = chunked_new(&head, 1000, 10);
	size_t i, got;
	char piece[100];

	(void)state;
	for (i = 0; i < 10000; i++) {
		strcpy(piece, "1\r\nx\r\n");
		assert_int_equal(chunked_feed(c, piece, 6, &got), 6);
	}
	for (i = 0; i < 1000; i++) {
		strcpy(piece, extension);
		if (chunked_feed(c, piece, sizeof extension - 1, &got) < 0)
			break;
	}
	assert_in_range(i, 10, 100);
	chunked_free(&c);
}

/* A bound that is passed before the data begins counts, also if one read has both. */
static void
test_overhead_in_any_pieces(void **state)
{
	static const struct {
		int before, data;
		bool is_taken;
	} rows[] = {{50, 90, true}, {120, 90, false}};
	size_t i, step, at, got;
	char text[300], piece[300];

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		for (step = 1; step < sizeof text; step++) {
			struct chunked *c = chunked_new(&head, 100, 10);
			int n = snprintf(text, sizeof text, "%x;%0*d\r\n%0*d\r\n0;%0*d\r\n\r\n",
					 (unsigned)rows[i].data, rows[i].before, 0, rows[i].data, 0,
					 50, 0);
			ssize_t used = 0;

			for (at = 0; at < (size_t)n && used >= 0; at += (size_t)used) {
				memcpy(piece, text + at, MIN(step, (size_t)n - at));
				used = chunked_feed(c, piece, MIN(step, (size_t)n - at), &got);
				if (used < 0)
					break;
			}
			assert_int_equal(used >= 0, rows[i].is_taken);
			assert_int_equal(chunked_done(c), rows[i].is_taken);
			chunked_free(&c);
		}
}

/* --- heads that our own code has made --- */

static struct h1_head split;

static void
assert_same(const struct h1_head *a, const struct h1_head *b)
{
	uint32_t i;

	assert_ptr_equal(a->method, b->method);
	assert_int_equal(a->method_n, b->method_n);
	assert_ptr_equal(a->target, b->target);
	assert_int_equal(a->target_n, b->target_n);
	assert_int_equal(a->reason_n, b->reason_n);
	assert_int_equal(a->status, b->status);
	assert_int_equal(a->minor, b->minor);
	assert_int_equal(a->n, b->n);
	for (i = 0; i < a->n; i++) {
		const struct h1_field *f = &a->fields[i], *g = &b->fields[i];

		assert_ptr_equal(f->name, g->name);
		assert_int_equal(f->name_n, g->name_n);
		assert_int_equal(f->value_n, g->value_n);
		assert_memory_equal(f->value, g->value, f->value_n);
		assert_int_equal(f->id, g->id);
	}
}

static void
assert_splits_alike(const char *text)
{
	enum h1_result parsed = h1_parse_request(&head, text, strlen(text), 5);

	if (h1_split_request(&split, text, strlen(text), 5) != parsed)
		fail_msg("split otherwise than parsed: %s", text);
	if (parsed == H1_OK)
		assert_same(&head, &split);
}

static void
test_requests_are_split(void **state)
{
	static const char *const texts[] = {
		"GET / HTTP/1.1\r\n\r\n",
		"PURGE /a?b=c:d HTTP/1.1\r\nhost: a:1\r\nx:\r\ny: \r\nz: a: \t b \t\r\n\r\n",
		"GET / HTTP/1.1\r\na: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\ncookie: 5\r\n\r\n",
		"GET / HTTP/1.1\r\na: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\ne: 5\r\nf: 6\r\n\r\n",
		"GET / HTTP/1.1\r\nx: \xff\x80\r\ncontent-length: 12\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
		"GET http://b/x HTTP/1.1\r\nhost: a\r\n\r\n",
		"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n",
		"CONNECT /a HTTP/1.1\r\nhost: a:1\r\n\r\n",
		"GET  HTTP/1.1\r\nhost: a\r\n\r\n",
		"G,T / HTTP/1.1\r\nhost: a\r\n\r\n",
	};
	static const struct {
		const char *before, *behind;
	} targets[] = {{"", ""}, {"/", ""}, {"/a?b", "c"}};
	char text[64];
	size_t i;
	int ch;

	(void)state;
	for (i = 0; i < ARRAY_LEN(texts); i++)
		assert_splits_alike(texts[i]);
	for (ch = 1; ch < 256; ch++) /* no head of ours has these there */
		for (i = 0; i < ARRAY_LEN(targets) && strchr("\r\n ", ch) == NULL; i++) {
			snprintf(text, sizeof text, "GET %s%c%s HTTP/1.1\r\n\r\n",
				 targets[i].before, ch, targets[i].behind);
			assert_splits_alike(text);
		}
}

/* Interim heads stand before the final one. */
static void
test_responses_are_split(void **state)
{
	static const char text[] = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
				   "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx: y \r\n\r\n"
				   "HTTP/1.1 599 \r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n";
	const char *at = text, *end = text + strlen(text);
	size_t n;

	(void)state;
	while (at < end) {
		assert_int_equal(h1_split_response(&split, at, (size_t)(end - at), 3, &n), H1_OK);
		assert_int_equal(h1_parse_response(&head, at, n, 3), H1_OK);
		assert_same(&head, &split);
		at += n;
	}
	assert_ptr_equal(at, end);
	assert_int_equal(split.status, 599);
	at = strstr(text, "HTTP/1.1 599");
	assert_int_equal(h1_split_response(&split, at, (size_t)(end - at), 2, &n), H1_FIELDS);
	assert_int_equal(h1_split_response(&split, at, (size_t)(end - at) - 2, 3, &n),
			 H1_MALFORMED);
	assert_int_equal(h1_split_response(&split, "200", 3, 3, &n), H1_MALFORMED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_close_wins),
		cmocka_unit_test(test_response_fields_that_end_here),
		cmocka_unit_test(test_connection_options),
		cmocka_unit_test(test_lists_are_bounded),
		cmocka_unit_test(test_chunked),
		cmocka_unit_test(test_overhead),
		cmocka_unit_test(test_overhead_in_any_pieces),
		cmocka_unit_test(test_requests_are_split),
		cmocka_unit_test(test_responses_are_split),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
