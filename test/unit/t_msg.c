/* msg: each type encoded and decoded, what is ignored, and what is refused with which
 * error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/clk.h"
#include "common/jget.h"
#include "common/msg.h"
#include "common/msg_limits.h"
#include "common/strbuf.h"

static void
decode(struct msg *m, const char *line)
{
	struct err e = {0};

	if (msg_decode(m, line, strlen(line), &e) < 0)
		fail_msg("%s: %s", line, e.text);
}

/* The error of decoding line. */
static const char *
refusal(const char *line)
{
	static struct err e;
	struct msg m;

	if (msg_decode(&m, line, strlen(line), &e) == 0)
		fail_msg("accepted: %s", line);
	msg_fini(&m);
	return e.text;
}

static void
assert_refused(const char *line, const char *text)
{
	assert_string_equal(refusal(line), text);
}

/* Lines that are the same after decoding and encoding. */
static void
each_type_goes_there_and_back(void **state)
{
	static const char *const lines[] = {
		"{\"type\":\"hello\",\"protocol\":1,\"role\":\"activator\",\"id\":\"a-1\"}",
		"{\"type\":\"hello\",\"protocol\":1,\"role\":\"control\",\"id\":\"c\",\"version\":\"0.1\"}",
		"{\"type\":\"hello\",\"protocol\":1,\"role\":\"activator\",\"id\":\"a-1\","
		"\"features\":[\"shares\"]}",
		"{\"type\":\"hello\",\"protocol\":1,\"role\":\"autoscaler\",\"id\":\"s-1\","
		"\"features\":[\"shares\"],\"term\":7}",
		"{\"type\":\"hello\",\"protocol\":1,\"role\":\"activator\",\"id\":\"a-1\","
		"\"features\":[\"shares\",\"commands\"]}",
		"{\"type\":\"hello\",\"protocol\":1,\"role\":\"activator\",\"id\":\"a-1\","
		"\"features\":[\"commands\"]}",
		"{\"type\":\"hello\",\"protocol\":1,\"role\":\"activator\",\"id\":\"a-1\","
		"\"features\":[\"spans\"]}",
		"{\"type\":\"scaling\",\"revision\":\"a/b\",\"from\":1,\"to\":4,"
		"\"rule\":\"backlog\",\"why\":\"parked requests\"}",
		"{\"type\":\"hello\",\"protocol\":1,\"role\":\"activator\",\"id\":\"1-a\","
		"\"features\":[\"shares\",\"commands\",\"swapped\"]}",
		"{\"type\":\"swapped\",\"generation\":7}",
		"{\"type\":\"command\",\"token\":\"c7\",\"command\":\"reload\"}",
		"{\"type\":\"result\",\"token\":\"c7\",\"done\":false,\"text\":\"no\"}",
		"{\"type\":\"begin\",\"generation\":7}",
		"{\"type\":\"end\",\"generation\":7,\"services\":3}",
		"{\"type\":\"instances\",\"revision\":\"hello/v1\",\"wanted\":2,\"target\":70.5,"
		"\"cold_start_ms\":612,\"instances\":[{\"id\":\"i1\",\"address\":\"127.0.0.1\","
		"\"port\":20001,\"alternate\":\"::1\",\"probe\":\"/healthz\",\"state\":\"ready\"},"
		"{\"id\":\"i2\",\"state\":\"starting\"},"
		"{\"id\":\"i3\",\"address\":\"::1\",\"port\":65535,\"state\":\"stopping\"}]}",
		"{\"type\":\"instances\",\"revision\":\"a/b\",\"wanted\":0,\"target\":0,"
		"\"instances\":null,\"failure\":{\"reason\":\"exited\",\"message\":\"exit status 1\","
		"\"retry_after_ms\":10000}}",
		"{\"type\":\"instances\",\"revision\":\"a/b\",\"wanted\":0,\"target\":0,"
		"\"external\":true,\"instances\":[]}",
		"{\"type\":\"instances\",\"revision\":\"a/b\",\"wanted\":0,\"target\":0,"
		"\"instances\":[{\"id\":\"i\",\"address\":\"unix:/run/x\",\"state\":\"starting\"}]}",
		"{\"type\":\"instances\",\"revision\":\"a/b\",\"wanted\":3,\"target\":1,"
		"\"instances\":[{\"id\":\"i1\",\"state\":\"ready\",\"slots\":0,\"at_most\":true},"
		"{\"id\":\"i2\",\"state\":\"starting\"},{\"id\":\"i3\",\"state\":\"stopping\"}],"
		"\"shares\":{\"term\":3,\"epoch\":9,\"limit\":10,\"recall_idle\":4,\"recall_due\":1,"
		"\"shared\":true,\"asking\":true}}",
		"{\"type\":\"shares_held\",\"revision\":\"a/b\",\"generation\":2,\"term\":3,"
		"\"epoch\":9,\"complete\":true,\"owed_idle\":1,\"owed_due\":2,\"instances\":["
		"{\"id\":\"i1\",\"slots\":0},{\"id\":\"i2\"}]}",
		"{\"type\":\"want\",\"revision\":\"a/b\",\"term\":3,\"epoch\":9,\"slots\":2,"
		"\"oldest_ms\":15}",
		"{\"type\":\"leaving\"}",
		"{\"type\":\"activate\",\"revision\":\"hello/v1\",\"parked\":500,\"seq\":12}",
		"{\"type\":\"activating\",\"revision\":\"hello/v1\",\"seq\":12,\"wanted\":3}",
		"{\"type\":\"stats\",\"period_ms\":1000,\"revisions\":[{\"name\":\"hello/v1\","
		"\"concurrency\":3.25,\"waiting\":0.5,\"peak\":9,\"requests\":100,\"parked\":1,\"in_flight\":4,"
		"\"completed\":99,\"latency_ms\":12.5,\"missed_requests\":7,\"missed_completed\":6,"
		"\"ends\":[0,90,1,2,3,4,5,6],\"durations\":[7,100,0,5],"
		"\"counts\":{\"requests\":100,\"answered_2xx\":90,\"refused_queue_full\":2,"
		"\"bytes_in\":5,\"bytes_out\":18014398509481984,\"cold_starts\":3,"
		"\"cold_wait_s\":1.5,\"cold_wait_max_s\":1.25},"
		"\"cold_start\":{\"ago_ms\":20,\"phases_us\":[67,595,24,505858,133,20418]},"
		"\"instances\":[{\"id\":\"i1\",\"in_flight\":4,"
		"\"busy_s\":2.5},{\"id\":\"i2\",\"in_flight\":0}]}]}",
		"{\"type\":\"stats\",\"period_ms\":1000,\"revisions\":[{\"name\":\"a/b\","
		"\"concurrency\":0,\"peak\":0,\"requests\":0,\"parked\":0,\"in_flight\":0,"
		"\"counts\":{},\"instances\":[]}]}",
		"{\"type\":\"stats\",\"period_ms\":0,\"partial\":true,\"revisions\":[]}",
		"{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"answers\"}",
		"{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"refuses\"}",
		"{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"answers\",\"served\":true}",
		"{\"type\":\"drain\",\"token\":\"t1\",\"revision\":\"hello/v1\"}",
		"{\"type\":\"drain\",\"token\":\"t2\",\"instance\":\"i1\"}",
		"{\"type\":\"drained\",\"token\":\"t1\"}",
		"{\"type\":\"busy\",\"token\":\"t1\"}",
		"{\"type\":\"resume\",\"token\":\"t1\"}",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(lines); i++) {
		struct strbuf out;
		struct msg m;

		decode(&m, lines[i]);
		strbuf_init(&out, 0);
		msg_encode(&m, &out);
		assert_string_equal(strbuf_str(&out), lines[i]);
		strbuf_fini(&out);
		msg_fini(&m);
		msg_fini(&m); /* a second call does no harm */
	}
}

static const char service_line[] =
	"{\"type\":\"service\",\"name\":\"hello\",\"hosts\":[\"hello.example.com\","
	"\"*.hello.example.com\"],\"local_hosts\":[\"hello\"],\"paths\":[\"/a\",\"/b\"],\"match_header\":\"x-canary\","
	"\"match_value\":\"yes\",\"sticky\":\"cookie:sid\",\"waiting_page\":\"default\","
	"\"rules\":[{\"action\":\"answer\",\"methods\":[\"GET\"],\"paths\":[\"/robots.txt\"],"
	"\"header\":\"user-agent\",\"contains\":\"bot\",\"clients\":[\"10.0.0.0/8\"],"
	"\"status\":204,\"body\":\"a\\nb\",\"fields\":[\"x: y\"]},{\"action\":\"serve_only\"},"
	"{\"action\":\"wake\"}],\"traffic\":[{\"revision\":\"hello/v1\",\"percent\":90,\"weight\":8910},"
	"{\"revision\":\"hello/v2\",\"percent\":10,\"tag\":\"next\",\"hosts\":[\"n.x\"],"
	"\"local_hosts\":[\"n\",\"n.y\"]}],\"revisions\":["
	"{\"name\":\"hello/v1\",\"limits\":{},\"wanted\":1,\"target\":100,\"instances\":["
	"{\"id\":\"i\",\"state\":\"starting\"}]},"
	"{\"name\":\"hello/v2\",\"limits\":{},\"wanted\":0,\"target\":0,\"instances\":null}]}";

static void
a_service_arrives_whole(void **state)
{
	struct msg_service *s;
	struct msg m;

	(void)state;
	decode(&m, service_line);
	assert_int_equal(m.type, MSG_SERVICE);
	s = &m.u.service;
	assert_string_equal(s->name, "hello");
	assert_int_equal(s->hosts.n, 2);
	assert_string_equal(s->hosts.v[1], "*.hello.example.com");
	assert_null(s->hosts.v[2]);
	assert_int_equal(s->local_hosts.n, 1);
	assert_string_equal(s->local_hosts.v[0], "hello");
	assert_string_equal(s->paths.v[1], "/b");
	assert_string_equal(s->sticky, "cookie:sid");
	assert_int_equal(s->rules_n, 3);
	assert_int_equal(s->rules[0].action, RULE_ANSWER);
	assert_int_equal(s->rules[0].status, 204);
	assert_string_equal(s->rules[0].body, "a\nb");
	assert_string_equal(s->rules[0].clients.v[0], "10.0.0.0/8");
	assert_int_equal(s->rules[1].action, RULE_SERVE_ONLY);
	assert_int_equal(s->traffic_n, 2);
	assert_int_equal(s->traffic[0].weight, 8910);
	assert_int_equal(s->traffic[1].weight, 0);
	assert_int_equal(s->traffic[1].percent, 10);
	assert_string_equal(s->traffic[1].tag, "next");
	assert_int_equal(s->traffic[0].hosts.n, 0);
	assert_string_equal(s->traffic[1].hosts.v[0], "n.x");
	assert_int_equal(s->traffic[1].local_hosts.n, 2);
	assert_int_equal(s->revisions_n, 2);
	assert_string_equal(s->revisions[0].instances.revision, "hello/v1");
	assert_true(s->revisions[0].instances.is_known);
	assert_int_equal(s->revisions[0].instances.n, 1);
	assert_false(s->revisions[1].instances.is_known);
	msg_fini(&m);
}

/* A service that was encoded once does not change any more, nor do its limits. */
static void
a_service_goes_there_and_back(void **state)
{
	struct strbuf one, two;
	struct msg m;

	(void)state;
	strbuf_init(&one, 0);
	strbuf_init(&two, 0);
	decode(&m, service_line);
	msg_encode(&m, &one);
	msg_fini(&m);
	decode(&m, strbuf_str(&one));
	msg_encode(&m, &two);
	msg_fini(&m);
	assert_string_equal(strbuf_str(&one), strbuf_str(&two));
	strbuf_fini(&one);
	strbuf_fini(&two);
}

static void
later_versions_are_accepted(void **state)
{
	struct msg m;

	(void)state;
	decode(&m, "{\"type\":\"gossip\",\"generation\":\"x\"}");
	assert_int_equal(m.type, MSG_UNKNOWN);
	msg_fini(&m);
	decode(&m, "{\"more\":{\"a\":[1,{\"b\":null}]},\"type\":\"begin\",\"generation\":1}");
	assert_int_equal(m.type, MSG_BEGIN);
	assert_int_equal(m.u.begin.generation, 1);
	msg_fini(&m);
	decode(&m, "{\"type\":\"hello\",\"protocol\":9,\"role\":\"autoscaler\",\"id\":\"s\"}");
	assert_int_equal(m.u.hello.protocol, 9); /* the caller refuses it */
	msg_fini(&m);
}

static void
mistakes_are_named_by_their_path(void **state)
{
	(void)state;
	assert_refused("{}", "$.type: expected a string, got nothing");
	assert_refused("{\"type\":7}", "$.type: expected a string, got a number");
	assert_refused("[]", "expected a JSON object");
	assert_refused("{\"type\":\"begin\"}",
		       "begin: $.generation: expected a whole number, got nothing");
	assert_refused("{\"type\":\"begin\",\"generation\":1.5}",
		       "begin: $.generation: expected a whole number, got a number");
	assert_refused("{\"type\":\"hello\",\"protocol\":1,\"role\":\"king\",\"id\":\"a\"}",
		       "hello: $.role: expected \"activator\", \"autoscaler\" or \"control\", "
		       "got \"king\"");
	assert_refused("{\"type\":\"hello\",\"protocol\":1,\"role\":\"control\",\"id\":\"\"}",
		       "hello: $.id: expected a name, got \"\"");
	assert_refused("{\"type\":\"stats\",\"period_ms\":1000,\"revisions\":[{\"name\":\"a/b\","
		       "\"concurrency\":0,\"requests\":0,\"parked\":0},7]}",
		       "stats: $.revisions[1]: expected an object, got a number");
	assert_refused("{\"type\":\"stats\",\"period_ms\":1000,\"revisions\":[{\"name\":\"a/b\","
		       "\"concurrency\":0,\"requests\":0,\"parked\":0,\"instances\":[{\"id\":\"i\","
		       "\"in_flight\":-1}]}]}",
		       "stats: $.revisions[0].instances[0].in_flight: expected 0 to 4294967295, "
		       "got -1");
	assert_refused("{\"type\":\"service\",\"name\":\"s\",\"hosts\":[\"a\",{}]}",
		       "service: $.hosts[1]: expected a string, got an object");
	assert_refused("{\"type\":\"drain\",\"token\":\"t\"}",
		       "drain: $: expected either a revision or an instance");
	assert_refused("{\"type\":\"drain\",\"token\":\"t\",\"revision\":\"r\",\"instance\":\"i\"}",
		       "drain: $: expected either a revision or an instance");
}

static void
ranges_hold(void **state)
{
	static const char *const bad[] = {
		"{\"type\":\"activate\",\"revision\":\"r\",\"parked\":4294967296,\"seq\":0}",
		"{\"type\":\"activate\",\"revision\":\"r\",\"parked\":0,\"seq\":-1}",
		"{\"type\":\"activate\",\"revision\":\"r\",\"parked\":true,\"seq\":1}",
		"{\"type\":\"stats\",\"period_ms\":-1,\"revisions\":[]}",
		"{\"type\":\"stats\",\"period_ms\":1,\"revisions\":[{\"name\":\"r\","
		"\"concurrency\":-0.5,\"requests\":0,\"parked\":0}]}",
		"{\"type\":\"stats\",\"period_ms\":1,\"revisions\":[{\"name\":\"r\","
		"\"concurrency\":1e300,\"requests\":0,\"parked\":0}]}",
		"{\"type\":\"instances\",\"revision\":\"r\",\"wanted\":0,\"instances\":[{\"id\":\"i\","
		"\"address\":\"::1\",\"port\":0,\"state\":\"ready\"}]}",
		"{\"type\":\"instances\",\"revision\":\"r\",\"wanted\":0,\"instances\":[{\"id\":\"i\","
		"\"address\":\"::1\",\"port\":65536,\"state\":\"ready\"}]}",
		"{\"type\":\"instances\",\"revision\":\"r\",\"wanted\":0,\"instances\":[{\"id\":\"i\","
		"\"address\":\"::1\",\"state\":\"ready\"}]}",
		"{\"type\":\"instances\",\"revision\":\"r\",\"wanted\":0,\"instances\":{}}",
		"{\"type\":\"begin\",\"generation\":99999999999999999999}",
		"{\"type\":\"hello\",\"protocol\":1,\"role\":\"autoscaler\",\"id\":\"s\","
		"\"features\":[\"shares\"]}",
		"{\"type\":\"hello\",\"protocol\":1,\"role\":\"autoscaler\",\"id\":\"s\","
		"\"features\":[\"shares\"],\"term\":0}",
		"{\"type\":\"instances\",\"revision\":\"r\",\"wanted\":0,\"instances\":null,"
		"\"shares\":{\"term\":1,\"epoch\":1,\"limit\":1}}",
		"{\"type\":\"instances\",\"revision\":\"r\",\"wanted\":0,\"instances\":[],"
		"\"shares\":{\"term\":1,\"epoch\":1,\"limit\":0}}",
		"{\"type\":\"instances\",\"revision\":\"r\",\"wanted\":0,\"instances\":[{\"id\":\"i\","
		"\"state\":\"ready\",\"slots\":4294967294}],"
		"\"shares\":{\"term\":1,\"epoch\":1,\"limit\":1}}",
		"{\"type\":\"shares_held\",\"revision\":\"r\",\"generation\":1,\"term\":1,"
		"\"epoch\":1,\"instances\":[{\"id\":\"i\",\"slots\":4294967295}]}",
		"{\"type\":\"want\",\"revision\":\"r\",\"term\":1,\"epoch\":1,\"slots\":1,"
		"\"oldest_ms\":-1}",
		"{\"type\":\"want\",\"revision\":\"r\",\"term\":1,\"epoch\":1,\"slots\":1,"
		"\"oldest_ms\":86400001}",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++)
		refusal(bad[i]);
}

static void
what_is_not_json_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"null",
		"\"type\"",
		"{\"type\":\"begin\",\"generation\":1} x",
		"{\"type\":\"begin\",\"type\":\"end\",\"generation\":1}", /* a key twice */
		"{\"type\":\"drained\",\"token\":\"a\\u0000b\"}",
		"{\"type\":\"drained\",\"token\":\"\xff\"}",
		"{\"type\":\"begin\",\"generation\":NaN}",
		"{'type':'begin'}",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++)
		refusal(bad[i]);
}

static char *
nested(size_t depth, const char *head, const char *tail)
{
	struct strbuf b;
	size_t i;

	strbuf_init(&b, 0);
	strbuf_adds(&b, head);
	for (i = 0; i < depth; i++)
		strbuf_adds(&b, "[");
	for (i = 0; i < depth; i++)
		strbuf_adds(&b, "]");
	strbuf_adds(&b, tail);
	return strbuf_take(&b);
}

static void
depth_is_bounded(void **state)
{
	static const char head[] = "{\"type\":\"begin\",\"generation\":1,\"x\":";
	char *good = nested(JGET_DEPTH_MAX - 1, head, "}");
	char *bad = nested(JGET_DEPTH_MAX, head, "}");
	char *worst = nested(500000, "", "");
	struct msg m;

	(void)state;
	decode(&m, good);
	msg_fini(&m);
	assert_refused(bad, "expected JSON nested at most 32 deep");
	assert_refused(worst, "expected JSON nested at most 32 deep");
	decode(&m, "{\"type\":\"drained\",\"token\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"}");
	msg_fini(&m);
	free(good);
	free(bad);
	free(worst);
}

static void
length_is_bounded(void **state)
{
	static char line[MSG_LINE_MAX + 1];
	static const char head[] = "{\"type\":\"drained\",\"token\":\"";
	struct msg m;

	(void)state;
	memset(line, 'x', sizeof line);
	memcpy(line, head, sizeof head - 1);
	strcpy(line + MSG_LINE_MAX - 3, "\"}");
	assert_int_equal(strlen(line), MSG_LINE_MAX - 1);
	decode(&m, line);
	msg_fini(&m);
	strcpy(line + MSG_LINE_MAX - 2, "\"}");
	line[MSG_LINE_MAX - 3] = 'x';
	assert_refused(line, "line longer than 1048575 bytes");
}

/* The output of a program, with any bytes, can be sent. */
static void
any_bytes_can_be_encoded(void **state)
{
	struct msg_failure f = {.reason = (char[]){"exited"},
				.message = (char[]){"tab\t\"q\" \\ \x01 \x7f \xff\xc0\x80 \xc3\xa9 "
						    "\xed\xa0\x80 \xf0\x9f\x98\x80 \xf0\x9f\n\r"}};
	struct msg m = {.type = MSG_INSTANCES,
			.u.instances = {.revision = (char[]){"a/b"}, .failure = &f}};
	struct msg back;
	struct strbuf out;

	(void)state;
	strbuf_init(&out, 0);
	f.is_parking = true;
	msg_encode(&m, &out);
	assert_null(strchr(strbuf_str(&out), '\n'));
	decode(&back, strbuf_str(&out));
	assert_string_equal(back.u.instances.failure->message,
			    "tab\t\"q\" \\ \x01 \x7f \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xc3\xa9 "
			    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xf0\x9f\x98\x80 "
			    "\xef\xbf\xbd\xef\xbf\xbd\n\r");
	assert_true(back.u.instances.failure->is_parking);
	msg_fini(&back);
	strbuf_fini(&out);
}

static void
numbers_keep_their_value(void **state)
{
	static const double values[] = {0, 0.1, 1.0 / 3, 123456.789, 1e-9, 99999999999.0};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(values); i++) {
		struct msg_stat stat = {.name = (char[]){"a/b"}, .concurrency = values[i]};
		struct msg m = {.type = MSG_STATS, .u.stats = {.v = &stat, .n = 1}}, back;
		struct strbuf out;

		strbuf_init(&out, 0);
		msg_encode(&m, &out);
		decode(&back, strbuf_str(&out));
		assert_true(back.u.stats.v[0].concurrency == values[i]);
		msg_fini(&back);
		strbuf_fini(&out);
	}
}

/* Every limit of the table of keys arrives unchanged. */
static void
limits_travel_by_their_table(void **state)
{
	struct msg_revision revision = {.instances = {.revision = (char[]){"a/b"}}};
	struct msg m = {
		.type = MSG_SERVICE,
		.u.service = {.name = (char[]){"a"}, .revisions = &revision, .revisions_n = 1}};
	struct limits *to;
	struct strbuf out;
	struct msg back;

	(void)state;
	limits_default(&revision.limits);
	revision.limits.container_concurrency = 7;
	revision.limits.activation_timeout = 1234 * CLK_MS;
	revision.limits
		.connect_timeout = 1500 *
				   CLK_US; /* rounded up, so that it is never 0, which is "off" */
	revision.limits.half_close = !revision.limits.half_close;
	revision.limits.max_head = 20000;
	free(revision.limits.probe_text);
	revision.limits.probe = PROBE_HTTP;
	revision.limits.probe_text = xstrdup("/up");
	strbuf_init(&out, 0);
	msg_encode(&m, &out);
	assert_non_null(strstr(strbuf_str(&out), "\"activation_timeout_ms\":1234"));
	decode(&back, strbuf_str(&out));
	to = &back.u.service.revisions[0].limits;
	assert_int_equal(to->container_concurrency, 7);
	assert_int_equal(to->activation_timeout, 1234 * CLK_MS);
	assert_int_equal(to->connect_timeout, 2 * CLK_MS);
	assert_int_equal(to->half_close, revision.limits.half_close);
	assert_int_equal(to->max_head, 20000);
	assert_int_equal(to->response_timeout, revision.limits.response_timeout);
	assert_int_equal(to->probe, PROBE_HTTP);
	assert_string_equal(to->probe_text, "/up");
	msg_fini(&back);
	strbuf_fini(&out);
	limits_fini(&revision.limits);
}

static void
limits_that_are_left_out_have_their_defaults(void **state)
{
	struct limits usual;
	struct msg m;

	(void)state;
	limits_default(&usual);
	decode(&m, service_line);
	assert_int_equal(m.u.service.revisions[0].limits.activation_timeout,
			 usual.activation_timeout);
	assert_int_equal(m.u.service.revisions[0].limits.probe, usual.probe);
	msg_fini(&m);
	limits_fini(&usual);
	assert_refused(
		"{\"type\":\"service\",\"name\":\"s\",\"traffic\":[],\"revisions\":[{\"name\":"
		"\"s/v\",\"limits\":{\"probe\":\"sing\"},\"wanted\":0,\"instances\":null}]}",
		"service: $.revisions[0].limits.probe: expected \"tcp\", \"readiness\", \"grpc\", \"grpc:NAME\" or a "
		"path");
}

/* What a brief description leaves out is at its default for its reader. */
static void
brief_limits_are_the_same_limits(void **state)
{
	static char name[] = "s", full[] = "s/v";
	struct msg_revision rev = {.instances = {.revision = full}};
	struct msg whole = {.type = MSG_SERVICE,
			    .u.service = {.name = name, .revisions = &rev, .revisions_n = 1}};
	struct strbuf long_text, short_text, again;
	struct msg m;
	struct err e;

	(void)state;
	limits_default(&rev.limits);
	rev.limits.response_timeout = 7 * CLK_S;
	rev.limits.via = true;
	rev.limits.upstream_ca = xstrdup("ca");
	rev.limits.protocol = PROTOCOL_H2C;
	rev.limits.trace_sample = 0.5;
	rev.limits.max_head = 4096;
	strbuf_init(&long_text, 0);
	strbuf_init(&short_text, 0);
	strbuf_init(&again, 0);
	msg_encode(&whole, &long_text);
	whole.u.service.is_brief = true;
	msg_encode(&whole, &short_text);
	assert_true(short_text.len * 2 < long_text.len);
	assert_int_equal(msg_decode(&m, short_text.data, short_text.len, &e), 0);
	m.u.service.is_brief = false;
	msg_encode(&m, &again);
	assert_string_equal(strbuf_str(&again), strbuf_str(&long_text));
	msg_fini(&m);
	strbuf_fini(&again);
	strbuf_fini(&short_text);
	strbuf_fini(&long_text);
	limits_fini(&rev.limits);
	assert_true(msg_limits_digest() > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(brief_limits_are_the_same_limits),
		cmocka_unit_test(each_type_goes_there_and_back),
		cmocka_unit_test(a_service_arrives_whole),
		cmocka_unit_test(a_service_goes_there_and_back),
		cmocka_unit_test(later_versions_are_accepted),
		cmocka_unit_test(mistakes_are_named_by_their_path),
		cmocka_unit_test(ranges_hold),
		cmocka_unit_test(what_is_not_json_is_refused),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(length_is_bounded),
		cmocka_unit_test(any_bytes_can_be_encoded),
		cmocka_unit_test(numbers_keep_their_value),
		cmocka_unit_test(limits_travel_by_their_table),
		cmocka_unit_test(limits_that_are_left_out_have_their_defaults),
	};

	return cmocka_run_group_tests_name("msg", tests, NULL, NULL);
}
