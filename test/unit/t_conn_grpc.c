/* Calls of gRPC on a worker, on simulated time: the deadline of the client bounds the wait, goes on
 * lessened by it, and is not renewed by a second try; and how refusals are said.  The client speaks
 * HTTP/1.1 here, since its answers are text then. */
#include "test/unit/conn_world.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/revision.h"
#include "activator/shard.h"
#include "activator/worker_impl.h"
#include "common/clk.h"
#include "common/tally.h"

#define CALL "POST /a.B/C HTTP/1.1\r\nHost: s\r\nContent-Type: application/grpc\r\n"
#define CALL_END "Content-Length: 0\r\n\r\n"
#define RESPONSE "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

/* What has come, which is not empty. */
static const char *
heard(int fd)
{
	static char text[4096];
	bool is_eof;

	assert_true(hear(fd, text, sizeof text, &is_eof) > 0);
	return text;
}

static void
assert_has(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("expected %s in %s", part, text);
}

/* The only slot is taken: what comes next is parked.  Returns the first client. */
static int
take_slot(struct world *t)
{
	int first;

	connect_client(t);
	ask(t, "GET / HTTP/1.1\r\nHost: s\r\n\r\n");
	heard(t->served);
	first = t->client;
	connect_client(t);
	return first;
}

static void
the_deadline_goes_on_lessened_by_the_wait(void **state)
{
	struct world *t = make("activator { container_concurrency = 1 }");
	int first = take_slot(t);

	(void)state;
	say(t->client, CALL "Grpc-Timeout: 5S\r\n" CALL_END);
	rounds(t);
	assert_int_equal(bounds_parked(&t->bounds), 1);
	pass_time(t, 3 * CLK_S);
	rounds(t);
	say(t->served, RESPONSE);
	rounds(t);
	assert_has(heard(t->served), "\r\nGrpc-Timeout:  2000000u\r\n\r\n");
	say(t->served, RESPONSE);
	rounds(t);
	assert_has(heard(t->client), "HTTP/1.1 200 OK\r\n");
	close(first);
	end(&t);
}

static void
the_deadline_bounds_the_wait(void **state)
{
	struct world *t = make("activator { container_concurrency = 1 }");
	int first = take_slot(t);
	const char *text;

	(void)state;
	say(t->client, CALL "Grpc-Timeout: 5S\r\n" CALL_END);
	rounds(t);
	pass_time(t, 4900 * CLK_MS);
	rounds(t);
	assert_int_equal(bounds_parked(&t->bounds), 1);
	pass_time(t, 200 * CLK_MS);
	rounds(t);
	assert_int_equal(bounds_parked(&t->bounds), 0);
	assert_int_equal(t->w->counters.outcomes[OUT_DEADLINE], 1);
	text = heard(t->client);
	assert_has(text, "HTTP/1.1 200 OK\r\n");
	assert_has(text, "\r\nX-Activator-Reason: deadline_exceeded\r\n");
	assert_has(text, "\r\nContent-Type: application/grpc\r\n");
	assert_has(text, "\r\nGrpc-Status: 4\r\n");
	assert_has(text, "\r\nGrpc-Message: deadline_exceeded: the deadline of the client");
	assert_null(strstr(text, "Pushback"));
	say(t->served, RESPONSE);
	rounds(t);
	assert_int_equal(t->w->counters.outcomes[OUT_OK], 1);
	close(first);
	end(&t);
}

/* A call that waits has no limit but activation_timeout. */
static void
a_malformed_deadline_is_none(void **state)
{
	struct world *t = make("activator { container_concurrency = 1 activation_timeout = 20s }");
	int first = take_slot(t);
	const char *text;

	(void)state;
	say(t->client, CALL "Grpc-Timeout: 5s\r\n" CALL_END);
	rounds(t);
	pass_time(t, 19 * CLK_S);
	rounds(t);
	assert_int_equal(bounds_parked(&t->bounds), 1);
	pass_time(t, 2 * CLK_S);
	event_active(&t->rev->shards[0].deadline_timer.ev, EV_TIMEOUT, 1);
	rounds(t);
	text = heard(t->client);
	assert_has(text, "\r\nGrpc-Status: 14\r\n");
	assert_has(text, "\r\nGrpc-Retry-Pushback-Ms: 1000\r\n");
	assert_has(text, "\r\nX-Activator-Reason: activation_timeout\r\n");
	close(first);
	end(&t);
}

static void
a_deadline_that_is_over_is_refused_at_once(void **state)
{
	struct world *t = make("");

	(void)state;
	connect_client(t);
	say(t->client, CALL "Grpc-Timeout: 0n\r\n" CALL_END);
	rounds(t);
	assert_int_equal(t->served, -1);
	assert_has(heard(t->client), "\r\nGrpc-Status: 4\r\n");
	end(&t);
}

/* Also before the first table of routes has come. */
static void
the_deadline_bounds_the_wait_for_routes(void **state)
{
	struct world *t = make_unrouted("");

	(void)state;
	connect_client(t);
	say(t->client, CALL "Grpc-Timeout: 2S\r\n" CALL_END);
	rounds(t);
	assert_int_equal(bounds_parked(&t->bounds), 1);
	pass_time(t, 2100 * CLK_MS);
	rounds(t);
	assert_int_equal(bounds_parked(&t->bounds), 0);
	assert_has(heard(t->client), "\r\nGrpc-Status: 4\r\n");
	make_routes(t);
	end(&t);
}

/* An instance that broke off may have processed it: a client that repeats on 14 must not. */
static void
what_broke_after_it_was_sent_is_internal(void **state)
{
	struct world *t = make("");
	const char *text;

	(void)state;
	connect_client(t);
	ask(t, CALL CALL_END);
	heard(t->served);
	close(t->served);
	t->served = -1;
	rounds(t);
	text = heard(t->client);
	assert_has(text, "\r\nGrpc-Status: 13\r\n");
	assert_has(text, "\r\nX-Activator-Reason: upstream_failed\r\n");
	assert_null(strstr(text, "Pushback"));
	end(&t);
}

static void
response_timeout_is_deadline_exceeded(void **state)
{
	struct world *t = make("activator { response_timeout = 5s }");

	(void)state;
	connect_client(t);
	ask(t, CALL CALL_END);
	pass_time(t, 6 * CLK_S);
	rounds(t);
	assert_has(heard(t->client), "\r\nGrpc-Status: 4\r\n");
	end(&t);
}

/* A stream of messages may pause for longer than a body. */
static void
messages_may_pause(void **state)
{
	struct world *t = make("activator { body_timeout = 5s response_timeout = 20s }");

	(void)state;
	connect_client(t);
	ask(t, CALL "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
	pass_time(t, 10 * CLK_S);
	rounds(t);
	say(t->client, "1\r\ny\r\n");
	rounds(t);
	pass_time(t, 19 * CLK_S);
	rounds(t);
	assert_int_equal(t->w->counters.outcomes[OUT_RESPONSE_TIMEOUT], 0);
	pass_time(t, 2 * CLK_S);
	rounds(t);
	assert_int_equal(t->w->counters.outcomes[OUT_RESPONSE_TIMEOUT], 1);
	assert_has(heard(t->client), "\r\nGrpc-Status: 4\r\n");
	end(&t);
}

/* What the request of the world has come to: the only count of its tally. */
static void
assert_tallied(struct world *t, enum tally_end expected)
{
	const struct tally *tally = shard_of(t->w, t->rev)->tally;
	unsigned i;

	assert_non_null(tally);
	for (i = 0; i < TALLY_ENDS_N; i++)
		if (tally->ends[i] != (i == (unsigned)expected))
			fail_msg("%u: %llu, expected the only one to be %d", i,
				 (unsigned long long)tally->ends[i], expected);
}

/* A call is tallied by its own status, in the trailers or, where there is nothing else, in the
 * head. */
static void
calls_are_tallied_by_their_status(void **state)
{
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status\r\n\r\n"
#define ONLY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nGrpc-Status: "
	static const struct {
		const char *response;
		enum tally_end end;
	} all[] = {
		{CHUNKED "3\r\nabc\r\n0\r\ngrpc-status: 0\r\n\r\n", TALLY_2XX},
		{CHUNKED "3\r\nabc\r\n0\r\ngrpc-status: 13\r\n\r\n", TALLY_5XX},
		{CHUNKED "3\r\nabc\r\n0\r\ngrpc-status: 5\r\n\r\n", TALLY_4XX},
		{CHUNKED "3\r\nabc\r\n0\r\ngrpc-status: x\r\n\r\n", TALLY_5XX},
		{CHUNKED "3\r\nabc\r\n0\r\n\r\n", TALLY_5XX},
		{ONLY "14\r\n\r\n", TALLY_5XX},
		{ONLY "7\r\n\r\n", TALLY_4XX},
		{ONLY "0\r\n\r\n", TALLY_2XX},
		{RESPONSE, TALLY_5XX},
		{"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", TALLY_4XX},
		{"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n", TALLY_5XX},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(all); i++) {
		struct world *t = make("");

		connect_client(t);
		ask(t, CALL CALL_END);
		say(t->served, all[i].response);
		rounds(t);
		assert_has(heard(t->client), "HTTP/1.1 ");
		assert_tallied(t, all[i].end);
		end(&t);
	}
}

static void
other_requests_are_tallied_by_that_of_http(void **state)
{
	struct world *t = make("");

	(void)state;
	connect_client(t);
	ask(t, "GET / HTTP/1.1\r\nHost: s\r\n\r\n");
	say(t->served, ONLY "14\r\n\r\n");
	rounds(t);
	assert_has(heard(t->client), "HTTP/1.1 200 OK\r\n");
	assert_tallied(t, TALLY_2XX);
	end(&t);
}

/* The deadline was over while the call waited for a slot: that lies with its revision. */
static void
a_deadline_is_tallied_if_the_call_was_parked(void **state)
{
	struct world *t = make("activator { container_concurrency = 1 }");
	int first = take_slot(t);

	(void)state;
	say(t->client, CALL "Grpc-Timeout: 5S\r\n" CALL_END);
	rounds(t);
	pass_time(t, 5100 * CLK_MS);
	rounds(t);
	assert_has(heard(t->client), "\r\nGrpc-Status: 4\r\n");
	assert_tallied(t, TALLY_FAILED);
	close(first);
	end(&t);
	t = make("");
	connect_client(t);
	say(t->client, CALL "Grpc-Timeout: 0S\r\n" CALL_END);
	rounds(t);
	assert_has(heard(t->client), "\r\nGrpc-Status: 4\r\n");
	assert_tallied(t, TALLY_OTHER);
	end(&t);
}

static void
no_route_is_unimplemented(void **state)
{
	struct world *t = make("");
	const char *text;

	(void)state;
	connect_client(t);
	say(t->client, "POST /a.B/C HTTP/1.1\r\nHost: nobody\r\nAccept: application/json\r\n"
		       "Content-Type: application/grpc+proto\r\n" CALL_END);
	rounds(t);
	text = heard(t->client);
	assert_has(text, "\r\nGrpc-Status: 12\r\n");
	assert_has(text, "\r\nGrpc-Message: no_route: no service has this host and path\r\n");
	assert_has(text, "\r\nContent-Length: 0\r\n");
	end(&t);
}

/* Heads that are refused before they are parsed: too large, too many fields, malformed, and not
 * whole in time. */
static void
a_head_that_is_not_parsed_is_refused_by_grpc(void **state)
{
	static const struct {
		const char *status, *reason;
	} wanted[] = {
		{"\r\nGrpc-Status: 8\r\n", "\r\nX-Activator-Reason: head_too_large\r\n"},
		{"\r\nGrpc-Status: 8\r\n", "\r\nX-Activator-Reason: head_too_large\r\n"},
		{"\r\nGrpc-Status: 13\r\n", "\r\nX-Activator-Reason: bad_request\r\n"},
		{"\r\nGrpc-Status: 2\r\n", "\r\nX-Activator-Reason: head_timeout\r\n"},
	};
	char *heads[] = {padded(CALL "X: ", 'x', 3000, "\r\n" CALL_END),
			 padded(CALL "A:\r\nB:\r\nC:\r\nD:\r\nE:\r\nF:\r\n", ' ', 0, CALL_END),
			 padded(CALL "no field", ' ', 0, CALL_END), padded(CALL, ' ', 0, "")};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(heads); i++) {
		struct world *t = make("activator { max_head = 2KiB max_fields = 8 "
				       "head_timeout = 5s }");
		const char *text;

		connect_client(t);
		say(t->client, heads[i]);
		rounds(t);
		pass_time(t, 6 * CLK_S);
		rounds(t);
		text = heard(t->client);
		assert_has(text, "HTTP/1.1 200 OK\r\n");
		assert_has(text, "\r\nContent-Type: application/grpc\r\n");
		assert_has(text, wanted[i].status);
		assert_has(text, wanted[i].reason);
		assert_has(text, "\r\nConnection: close\r\n");
		free(heads[i]);
		end(&t);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_deadline_goes_on_lessened_by_the_wait),
		cmocka_unit_test(the_deadline_bounds_the_wait),
		cmocka_unit_test(a_malformed_deadline_is_none),
		cmocka_unit_test(a_deadline_that_is_over_is_refused_at_once),
		cmocka_unit_test(the_deadline_bounds_the_wait_for_routes),
		cmocka_unit_test(what_broke_after_it_was_sent_is_internal),
		cmocka_unit_test(response_timeout_is_deadline_exceeded),
		cmocka_unit_test(messages_may_pause),
		cmocka_unit_test(calls_are_tallied_by_their_status),
		cmocka_unit_test(other_requests_are_tallied_by_that_of_http),
		cmocka_unit_test(a_deadline_is_tallied_if_the_call_was_parked),
		cmocka_unit_test(no_route_is_unimplemented),
		cmocka_unit_test(a_head_that_is_not_parsed_is_refused_by_grpc),
	};

	clk_replace(now);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
