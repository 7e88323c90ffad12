/* Lines of the access log: formats of the conf file, JSON, and what clients may try. */
#include "unit.h"

#include <jansson.h>

#include "activator/access/access_line.h"
#include "common/clk.h"

/* --- formats --- */

static const struct {
	const char *format, *err;
} mistakes[] = {
	{"$remote_adr", "expected a variable, got \"$remote_adr\"; did you mean \"$remote_addr\"?"},
	{"$zzzzzzzzzz", "expected a variable such as $remote_addr or $http_user_agent, "
			"got \"$zzzzzzzzzz\""},
	{"100 $", "expected the name of a variable behind \"$\"; $$ stands for the sign itself"},
	{"${status", "expected \"}\" behind \"${status\""},
	{"", "expected a line of text with variables such as $status"},
	{"a\nb", "expected a line of text with variables such as $status"},
	{"$http_", "expected a variable such as $remote_addr or $http_user_agent, got \"$http_\""},
	{"$http_a$http_b$http_c$http_d$http_e$http_f$http_g$http_h$http_i$http_j$http_k$http_l"
	 "$http_m$http_n$http_o$http_p$http_q",
	 "expected at most 16 different $http_…"},
};

static void
a_mistake_in_a_format_is_explained(void **state)
{
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(mistakes); i++) {
		assert_null(access_format_new(mistakes[i].format, &e));
		assert_string_equal(e.text, mistakes[i].err);
	}
}

/* --- lines --- */

#define TEXT(t) ((struct access_text){t, sizeof(t) - 1})

static const int64_t phases[COLD_PHASES_N] = {1 * CLK_US, 2 * CLK_MS, 3 * CLK_MS,
					      4 * CLK_S,  5,	      6 * CLK_MS};

struct values {
	struct access_request request;
	struct access_end end;
};

static const struct values base = {
	.request = {.client = {"10.0.0.1", 8},
		    .peer = {"10.0.0.2", 8},
		    .method = {"GET", 3},
		    .target = {"/a?b=c", 6},
		    .host = {"s", 1},
		    .protocol = {"HTTP/1.1", 8},
		    .connection_requests = 2,
		    .worker = 3,
		    .pid = 4},
	.end = {.wall_ns = INT64_C(1796055104123) * CLK_MS, /* 2026-11-30T16:11:44.123Z */
		.route = {",\"service\":\"s\",\"revision\":\"s/v1\"", 32},
		.service = {"s", 1},
		.revision = {"s/v1", 4},
		.instance = {"i-1", 3},
		.upstream = {"127.0.0.1:1", 11},
		.outcome = {"ok", 2},
		.status = 200,
		.grpc_status = -1,
		.bytes_in = 1,
		.bytes_out = UINT64_MAX,
		.duration_ns = 1234567,
		.parked_ns = -1,
		.response_ns = 1000,
		.sample = 1},
};

/* The early part, the caller's. */
static char *
early_of(const struct access_request *r, const struct access_format *f, size_t *n)
{
	size_t room = access_line_early_room(r, f);
	char *early = xmalloc(room);

	*n = (size_t)(access_line_put_early(early, r, f) - early);
	assert_true(*n <= room);
	return xrealloc(early, MAX(*n, (size_t)1)); /* a read behind it is found */
}

/* The line of the values, the caller's; format: NULL: JSON. */
static char *
line_of(const struct values *v, const char *format)
{
	struct access_clock c = {0};
	struct access_format *f = NULL;
	size_t room, n, early_n;
	char *line, *early;
	struct err e;

	if (format != NULL) {
		f = access_format_new(format, &e);
		assert_non_null(f);
	}
	early = early_of(&v->request, f, &early_n);
	room = access_line_room(&v->end, f, early_n);
	line = xmalloc(room + 1);
	n = (size_t)(access_line_put(line, &v->end, f, early, &c) - line);
	assert_true(n <= room);
	assert_true(line[n - 1] == '\n');
	line[n] = '\0';
	free(early);
	access_format_free(&f);
	return line;
}

static void
expect_line(const struct values *v, const char *format, const char *expected)
{
	char *line = line_of(v, format);

	line[strlen(line) - 1] = '\0';
	assert_string_equal(line, expected);
	free(line);
}

static void
json_has_what_is_known(void **state)
{
	struct values v = base;

	(void)state;
	expect_line(&v, NULL,
		    "{\"time\":\"2026-11-30T16:11:44.123Z\",\"client\":\"10.0.0.1\","
		    "\"method\":\"GET\",\"host\":\"s\",\"target\":\"/a?b=c\","
		    "\"protocol\":\"HTTP/1.1\",\"status\":200,\"outcome\":\"ok\","
		    "\"service\":\"s\",\"revision\":\"s/v1\",\"instance\":\"i-1\","
		    "\"bytes_in\":1,\"bytes_out\":18446744073709551615,\"duration_ms\":1.234,"
		    "\"response_ms\":0.001}");
	v = (struct values){
		.request = {.protocol = TEXT("HTTP/1.1"),
			    .client = TEXT("c"),
			    .raw = TEXT("\x16\x03")},
		.end = {.outcome = TEXT("bad_request"),
			.grpc_status = -1,
			.parked_ns = -1,
			.response_ns = -1,
			.sample = 1},
	};
	expect_line(&v, NULL,
		    "{\"time\":\"1970-01-01T00:00:00.000Z\",\"client\":\"c\","
		    "\"request\":\"\\u0016\\u0003\",\"protocol\":\"HTTP/1.1\",\"status\":0,"
		    "\"outcome\":\"bad_request\",\"bytes_in\":0,\"bytes_out\":0,"
		    "\"duration_ms\":0.000}");
	v = base;
	v.end.bytes_out = 0;
	v.request.is_encrypted = true;
	v.end.is_cold = true;
	v.end.phases = phases;
	v.end.parked_ns = 5 * CLK_S;
	v.end.tries = 2;
	v.end.sample = 100;
	v.end.grpc_status = 14;
	v.end.reason = TEXT("why");
	expect_line(&v, NULL,
		    "{\"time\":\"2026-11-30T16:11:44.123Z\",\"client\":\"10.0.0.1\","
		    "\"method\":\"GET\",\"host\":\"s\",\"target\":\"/a?b=c\","
		    "\"protocol\":\"HTTP/1.1\",\"tls\":true,\"status\":200,\"outcome\":\"ok\","
		    "\"service\":\"s\",\"revision\":\"s/v1\",\"instance\":\"i-1\","
		    "\"bytes_in\":1,\"bytes_out\":0,\"duration_ms\":1.234,"
		    "\"response_ms\":0.001,\"reason\":\"why\",\"grpc_status\":14,"
		    "\"parked_ms\":5000.000,\"cold\":true,\"cold_start\":{\"signal_ms\":0.001,"
		    "\"ack_ms\":2.000,\"address_ms\":3.000,\"connect_ms\":4000.000,"
		    "\"send_ms\":0.000,\"first_byte_ms\":6.000},\"failed_tries\":2,"
		    "\"sample\":100}");
}

static void
a_format_has_its_variables(void **state)
{
	static const struct access_text fields[] = {TEXT("agent"), {NULL, 0}};
	struct values v = base;

	(void)state;
	v.end.bytes_out = 7;
	v.request.fields = fields;
	expect_line(&v, "$$ $remote_addr|$peer_addr|$remote_user|$time_iso8601|$msec",
		    "$ 10.0.0.1|10.0.0.2|-|2026-11-30T16:11:44.123Z|1796055104.123");
	expect_line(&v, "$request|$request_method|${request_uri}x|$path|$args|$host|$scheme",
		    "GET /a?b=c HTTP/1.1|GET|/a?b=cx|/a|b=c|s|http");
	expect_line(&v, "$status $grpc_status $body_bytes_sent $body_bytes_received $request_time",
		    "200 - 7 1 0.001");
	expect_line(&v, "$parked_time $upstream_response_time $upstream_addr $service $revision",
		    "- 0.000 127.0.0.1:1 s s/v1");
	expect_line(&v, "$instance $outcome $reason $tries $cold $cold_connect $cold_first_byte",
		    "i-1 ok - 0 0 - -");
	expect_line(&v, "$connection_requests $worker $pid $sample $http_user_agent $http_X_A",
		    "2 3 4 1 agent -");
	v.end.is_cold = true;
	v.end.phases = phases;
	expect_line(&v, "$cold $cold_signal $cold_connect $cold_first_byte", "1 0.000 4.000 0.006");
	v.request.target = TEXT("/a");
	expect_line(&v, "$path $args", "/a -");
	v.request.method = v.request.target = (struct access_text){NULL, 0};
	v.request.raw = TEXT("x\"");
	v.end.status = 0;
	expect_line(&v, "\"$request\" $status $args", "\"x\\x22\" 000 -");
}

/* --- hostile texts --- */

static void
no_text_ends_a_line_or_a_value(void **state)
{
	struct values v = base;

	(void)state;
	v.request.user_agent = TEXT(
		"a\"b\\c\r\nd\te\x7f\xff\xc3\xa9\xc2\x85\xed\xa0\x80\xf0\x9f\x98\x80");
	v.request.target = (struct access_text){NULL, 0};
	v.end.bytes_out = 0;
	expect_line(&v, NULL,
		    "{\"time\":\"2026-11-30T16:11:44.123Z\",\"client\":\"10.0.0.1\","
		    "\"method\":\"GET\",\"host\":\"s\",\"protocol\":\"HTTP/1.1\",\"status\":200,"
		    "\"outcome\":\"ok\",\"service\":\"s\",\"revision\":\"s/v1\","
		    "\"instance\":\"i-1\",\"bytes_in\":1,\"bytes_out\":0,\"duration_ms\":1.234,"
		    "\"response_ms\":0.001,\"user_agent\":\"a\\\"b\\\\c\\u000d\\u000ad\\u0009e"
		    "\\u007f\\ufffd\xc3\xa9\\u0085\\ufffd\\ufffd\\ufffd\xf0\x9f\x98\x80\"}");
	v.request.fields = &v.request.user_agent;
	expect_line(&v, "\"$http_user_agent\"",
		    "\"a\\x22b\\x5cc\\x0d\\x0ad\\x09e\\x7f\\xff\\xc3\\xa9\\xc2\\x85\\xed\\xa0\\x80"
		    "\\xf0\\x9f\\x98\\x80\"");
}

static uint32_t
next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Mostly what matters to some parser. */
static void
fill_random(char *to, size_t n, uint32_t *seed)
{
	static const char odd[] = "\"\\\n\r\0\t\x1b\x7f\xc2\x85\xff\xe2\x80\xa8{},:'$ ";
	size_t i;

	for (i = 0; i < n; i++)
		to[i] = next_random(seed) % 2 == 0 ? odd[next_random(seed) % (sizeof odd - 1)]
						   : (char)next_random(seed);
}

static void
check_json(const char *line, const struct values *v)
{
	json_error_t e;
	json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, &e);

	if (o == NULL)
		print_error("%s: %s\n", e.text, line);
	assert_non_null(o);
	assert_int_equal(json_integer_value(json_object_get(o, "status")), v->end.status);
	assert_string_equal(json_string_value(json_object_get(o, "outcome")), v->end.outcome.s);
	json_decref(o);
}

static void
check_format(const char *line)
{
	const char *at;
	unsigned quotes = 0;

	for (at = line; *at != '\n'; at++) {
		assert_true((unsigned char)*at >= ' ' && (unsigned char)*at < 0x7f);
		quotes += *at == '"';
	}
	assert_int_equal(quotes, 6);
	assert_int_equal(at[1], '\0');
}

/* `combined` has code of its own: its lines are those of the pieces. */
static void
expect_pieces(const struct values *v, const char *combined)
{
	char *line = line_of(v, "$remote_addr - $remote_user [$time_local] \"$request\" $status "
				"$body_bytes_sent \"$http_referer\" \"$http_user_agent\" ");
	size_t n = strlen(line);

	assert_string_equal(line + n - 2, " \n");
	memcpy(line + n - 2, "\n", 2);
	assert_string_equal(combined, line);
	free(line);
}

static void
random_bytes_make_whole_lines(void **state)
{
	static char bytes[3][ACCESS_TEXT_MAX + 200];
	uint32_t seed = 1;
	unsigned i;

	(void)state;
	for (i = 0; i < 2000; i++) {
		struct access_text texts[3], fields[2];
		struct values v = base;
		char *line;
		size_t k;

		for (k = 0; k < 3; k++) {
			texts[k] = (struct access_text){
				bytes[k],
				next_random(&seed) % (i % 50 == 0 ? sizeof bytes[k] : 40)};
			fill_random(bytes[k], texts[k].n, &seed);
		}
		v.request.target = texts[0];
		v.request.user_agent = v.end.reason = texts[1];
		v.request.referer = v.request.method = texts[2];
		v.end.service = texts[2];
		if (i % 2 == 0)
			v.end.route = (struct access_text){NULL, 0};
		v.end.bytes_out = i;
		if (i % 7 == 0) {
			v.request.raw = texts[0];
			v.request.method.s = NULL;
		}
		fields[0] = v.request.referer;
		fields[1] = v.request.user_agent;
		v.request.fields = fields;
		line = line_of(&v, NULL);
		check_json(line, &v);
		free(line);
		line = line_of(&v, access_format_combined);
		check_format(line);
		expect_pieces(&v, line);
		free(line);
	}
}

/* Texts are checked in blocks: each length, with a byte that needs an escape at each place. */
static void
an_odd_byte_is_found_at_each_place(void **state)
{
	static const char odd[] = {'"', '\\', '\x1f', '\x7f', '\x80'};
	char text[80], expected[160];
	size_t n, at, k;

	(void)state;
	for (n = 1; n < sizeof text; n++)
		for (at = 0; at <= n; at++) { /* n: none */
			const struct access_text t = {text, n};
			struct values v = base;
			char *line;

			memset(text, '~', n);
			k = (at + n) % sizeof odd;
			snprintf(expected, sizeof expected, "%.*s", (int)at, text);
			if (at < n) {
				snprintf(expected + at, sizeof expected - at, "\\x%02x%.*s",
					 (unsigned char)odd[k], (int)(n - at - 1), text);
				text[at] = odd[k];
			}
			v.request.user_agent = t;
			v.request.fields = &t;
			v.end.bytes_out = 0; /* UINT64_MAX is too much for the parser */
			line = line_of(&v, "$http_user_agent");
			line[strlen(line) - 1] = '\0';
			assert_string_equal(line, expected);
			free(line);
			line = line_of(&v, NULL);
			check_json(line, &v);
			assert_true((strstr(line, "~\"}") != NULL) == (at != n - 1));
			free(line);
		}
}

static void
a_long_text_is_cut(void **state)
{
	char *text = xmalloc(ACCESS_TEXT_MAX + 1), *line;
	struct values v = base;

	(void)state;
	memset(text, '\n', ACCESS_TEXT_MAX + 1);
	v.request.user_agent = (struct access_text){text, ACCESS_TEXT_MAX};
	line = line_of(&v, NULL);
	assert_null(strstr(line, "..."));
	free(line);
	v.request.user_agent.n++;
	line = line_of(&v, NULL);
	assert_non_null(strstr(line, "\\u000a...\"}"));
	free(line);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mistake_in_a_format_is_explained),
		cmocka_unit_test(json_has_what_is_known),
		cmocka_unit_test(a_format_has_its_variables),
		cmocka_unit_test(no_text_ends_a_line_or_a_value),
		cmocka_unit_test(random_bytes_make_whole_lines),
		cmocka_unit_test(an_odd_byte_is_found_at_each_place),
		cmocka_unit_test(a_long_text_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
