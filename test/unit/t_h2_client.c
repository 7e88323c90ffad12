/* h2_client: against the session of h2, and against frames by hand. */
#include "test/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "activator/http/h2_client.h"

struct stream {
	char heads[2048]; /* all texts, one behind the other */
	char body[256], trailers[256];
	int heads_n, ends, closed, sent, resets;
	bool is_too_large;
	uint32_t code;
	const char *out;
	const char *out_trailers;
	int32_t id;
};

struct world {
	struct h2_client *client;
	struct h2_shared *shared;
	struct h2 *server;
	/* the server's */
	char text[4096]; /* of the last head */
	char got[256], got_trailers[256], ws_key[25];
	int requests;
	int32_t id;
	const char *body;
	/* the client's */
	int settings, goaways;
	uint64_t pong;
};

/* --- the server's session --- */

static void *
server_head(void *arg, int32_t id, const struct h2_head *h)
{
	struct world *t = arg;

	t->requests++;
	t->id = id;
	snprintf(t->text, sizeof t->text, "%s", h->text);
	memcpy(t->ws_key, h->ws_key, sizeof t->ws_key);
	free(h->text);
	return t;
}

static void
server_data(void *arg, void *stream, const char *data, size_t n)
{
	struct world *t = arg;

	(void)stream;
	strncat(t->got, data, n);
	h2_consumed(t->server, t->id, n);
}

static void
server_end(void *arg, void *stream, char *trailers)
{
	struct world *t = arg;

	(void)stream;
	snprintf(t->got_trailers, sizeof t->got_trailers, "%s", trailers == NULL ? "" : trailers);
	free(trailers);
}

static void
server_closed(void *arg, void *stream, uint32_t code)
{
	(void)arg;
	(void)stream;
	(void)code;
}

static size_t
server_ready(void *arg, void *stream, size_t n, enum h2_left *left)
{
	struct world *t = arg;
	size_t got = MIN(strlen(t->body), n);
	char trailers[] = "x-sum: 7\r\n";

	(void)stream;
	if (t->body[got] == '\0') {
		*left = H2_END_TRAILERS;
		h2_trailers(t->server, t->id, trailers, strlen(trailers));
	}
	return got;
}

static void
server_read(void *arg, void *stream, char *buf, size_t n)
{
	struct world *t = arg;

	(void)stream;
	memcpy(buf, t->body, n);
	t->body += n;
}

static void
ignore(void *arg)
{
	(void)arg;
}

static void
ignore_stream(void *arg, void *stream)
{
	(void)arg;
	(void)stream;
}

static bool
never(void *arg, void *stream)
{
	(void)arg;
	(void)stream;
	return false;
}

static uint64_t
no_random(void *arg)
{
	(void)arg;
	return 1;
}

static const struct h2_ops server_ops = {
	.on_head = server_head,
	.on_data = server_data,
	.on_end = server_end,
	.on_closed = server_closed,
	.ready = server_ready,
	.read = server_read,
	.on_glitch = ignore,
	.on_head_sent = ignore_stream,
	.may_send_on = never,
	.on_progress = ignore,
	.on_pong = ignore,
	.random = no_random,
};

/* --- the client's session --- */

static void
on_head(void *arg, void *stream, struct strbuf *text)
{
	struct stream *s = stream;

	(void)arg;
	s->heads_n++;
	if (text == NULL) {
		s->is_too_large = true;
		return;
	}
	assert_int_equal(strlen(text->data), text->len);
	strncat(s->heads, text->data, sizeof s->heads - strlen(s->heads) - 1);
}

static void
on_data(void *arg, void *stream, const char *data, size_t n)
{
	struct world *t = arg;
	struct stream *s = stream;

	strncat(s->body, data, MIN(n, sizeof s->body - strlen(s->body) - 1));
	h2_client_consumed(t->client, s->id, n);
}

static void
on_end(void *arg, void *stream, char *trailers)
{
	struct stream *s = stream;

	(void)arg;
	s->ends++;
	snprintf(s->trailers, sizeof s->trailers, "%s", trailers == NULL ? "" : trailers);
	free(trailers);
}

static void
on_closed(void *arg, void *stream, uint32_t code)
{
	struct stream *s = stream;

	(void)arg;
	s->closed++;
	s->code = code;
}

static size_t
on_read(void *arg, void *stream, char *buf, size_t n, enum h2_left *left)
{
	struct world *t = arg;
	struct stream *s = stream;
	size_t got = s->out == NULL ? 0 : MIN(strlen(s->out), n);

	memcpy(buf, s->out == NULL ? "" : s->out, got);
	s->out = NULL;
	*left = s->out_trailers == NULL ? H2_END : H2_END_TRAILERS;
	if (s->out_trailers != NULL)
		h2_client_trailers(t->client, s->id, s->out_trailers, strlen(s->out_trailers));
	return got;
}

static void
on_head_sent(void *arg, void *stream)
{
	struct stream *s = stream;

	(void)arg;
	s->sent++;
}

static void
on_reset_sent(void *arg, void *stream)
{
	struct world *t = arg;
	struct stream *s = stream;

	s->resets++;
	h2_client_ping(t->client, 42);
}

static void
on_settings(void *arg)
{
	struct world *t = arg;

	t->settings++;
}

static void
on_goaway(void *arg)
{
	struct world *t = arg;

	t->goaways++;
}

static void
on_pong(void *arg, uint64_t token)
{
	struct world *t = arg;

	t->pong = token;
}

static const struct h2_client_ops client_ops = {
	.on_head = on_head,
	.on_data = on_data,
	.on_end = on_end,
	.on_closed = on_closed,
	.read = on_read,
	.on_head_sent = on_head_sent,
	.on_reset_sent = on_reset_sent,
	.on_settings = on_settings,
	.on_goaway = on_goaway,
	.on_pong = on_pong,
};

/* --- the world --- */

static int
setup(void **state)
{
	static const struct h2_conf server_conf = {7, 65536, 1 << 20, 8192};
	static const struct h2_client_conf conf = {65536, 1 << 20, 4096};
	struct world *t = xcalloc(1, sizeof *t);

	t->body = "";
	t->shared = h2_shared_new();
	t->server = h2_new(&server_conf, t->shared, &server_ops, t);
	t->client = h2_client_new(&conf, t->shared, &client_ops, t);
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct world *t = *state;

	h2_client_free(&t->client);
	h2_free(&t->server);
	h2_shared_free(&t->shared);
	free(t);
	return 0;
}

/* Let each side read what the other has written, until neither has anything to write. */
static void
settle(struct world *t)
{
	static char buf[1 << 16];
	ssize_t n, m;

	do {
		n = h2_client_write(t->client, buf, sizeof buf);
		assert_true(n >= 0);
		if (n > 0)
			assert_int_equal(h2_feed(t->server, buf, (size_t)n), 0);
		m = h2_write(t->server, buf, sizeof buf);
		assert_true(m >= 0);
		if (m > 0)
			assert_int_equal(h2_client_feed(t->client, buf, (size_t)m), 0);
	} while (n > 0 || m > 0);
}

static void
ask(struct world *t, struct stream *s, const char *head, bool is_websocket, bool has_body)
{
	s->id = h2_client_request(t->client, head, strlen(head), false, is_websocket, has_body, s);
	assert_true(s->id > 0);
}

static void
answer(struct world *t, unsigned status, const char *fields, bool has_body)
{
	char copy[8192];

	snprintf(copy, sizeof copy, "%s", fields);
	assert_int_equal(h2_respond(t->server, t->id, status, copy, strlen(copy), has_body), 0);
}

/* --- tests --- */

static void
a_head_keeps_its_meaning(void **state)
{
	struct world *t = *state;
	struct stream s = {.id = 0};

	ask(t, &s,
	    "GET /p?q HTTP/1.1\r\nHost: a.b:1\r\nX-A: 1\r\nCookie: c=d\r\nConnection: TE\r\n"
	    "TE: trailers\r\nTransfer-Encoding: chunked\r\nUpgrade: x\r\n\r\n",
	    false, false);
	assert_int_equal(s.sent, 0);
	settle(t);
	assert_int_equal(s.sent, 1);
	assert_string_equal(t->text,
			    "GET /p?q HTTP/1.1\r\nhost: a.b:1\r\nx-a: 1\r\nte: trailers\r\n"
			    "cookie: c=d\r\n\r\n");
	answer(t, 204, "Server: x\r\n", false);
	settle(t);
	assert_string_equal(s.heads, "HTTP/1.1 204 No Content\r\nserver: x\r\n\r\n");
	assert_int_equal(s.ends, 1);
	assert_int_equal(s.closed, 1);
	assert_int_equal(s.code, H2_NO_ERROR);
}

static void
bodies_and_trailers_pass(void **state)
{
	struct world *t = *state;
	struct stream s = {.out = "hello", .out_trailers = "x-end: 1\r\n"};
	char interim[] = "Link: a\r\n";

	ask(t, &s, "POST / HTTP/1.1\r\nHost: a\r\n\r\n", false, true);
	settle(t);
	assert_string_equal(t->got, "hello");
	assert_string_equal(t->got_trailers, "x-end: 1\r\n");
	assert_int_equal(h2_interim(t->server, t->id, 103, interim, strlen(interim)), 0);
	t->body = "world";
	answer(t, 299, "", true);
	settle(t);
	assert_string_equal(s.heads,
			    "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 299 \r\n\r\n");
	assert_string_equal(s.body, "world");
	assert_string_equal(s.trailers, "x-sum: 7\r\n");
	assert_int_equal(s.closed, 1);
}

static void
an_upgrade_becomes_an_extended_connect(void **state)
{
	struct world *t = *state;
	struct stream s = {.id = 0};

	assert_false(h2_client_takes_connect(t->client));
	settle(t);
	assert_true(h2_client_takes_connect(t->client));
	ask(t, &s,
	    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	    "Sec-WebSocket-Key: key\r\nSec-WebSocket-Version: 13\r\n\r\n",
	    true, false);
	settle(t);
	assert_int_equal(strlen(t->ws_key), 24); /* the server has taken it for one */
	assert_non_null(strstr(t->text, "GET /chat HTTP/1.1\r\n"));
	assert_non_null(strstr(t->text, "sec-websocket-version: 13\r\n"));
	assert_null(strstr(t->text, "sec-websocket-key: key\r\n"));
}

static void
the_server_says_how_many_streams_it_takes(void **state)
{
	struct world *t = *state;

	assert_int_equal(h2_client_streams_most(t->client), 100);
	settle(t);
	assert_int_equal(t->settings, 1);
	assert_int_equal(h2_client_streams_most(t->client), 7);
}

static void
what_a_goaway_does_not_name_was_not_processed(void **state)
{
	struct world *t = *state;
	struct stream first = {.id = 0}, second = {.id = 0};

	ask(t, &first, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, false);
	settle(t);
	h2_goaway(t->server);
	ask(t, &second, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, false);
	settle(t);
	assert_int_equal(t->goaways, 1);
	assert_int_equal(second.closed, 1);
	assert_int_equal(second.code, H2_REFUSED_STREAM);
	answer(t, 204, "", false);
	settle(t);
	assert_int_equal(first.closed, 1);
	assert_int_equal(first.code, H2_NO_ERROR);
	assert_true(h2_client_is_over(t->client));
	assert_int_equal(h2_client_error(t->client), H2_NO_ERROR);
}

static void
a_ping_goes_behind_a_reset(void **state)
{
	struct world *t = *state;
	struct stream s = {.id = 0};

	ask(t, &s, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, false);
	settle(t);
	h2_client_reset(t->client, s.id, H2_CANCEL);
	settle(t);
	assert_int_equal(s.resets, 1);
	assert_int_equal(s.closed, 1);
	assert_int_equal(t->pong, 42);
}

static void
a_request_that_was_not_sent_can_be_withdrawn(void **state)
{
	struct world *t = *state;
	struct stream s = {.id = 0};

	ask(t, &s, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, false);
	h2_client_reset(t->client, s.id, H2_CANCEL);
	h2_client_forget(t->client, s.id);
	settle(t);
	assert_int_equal(t->requests, 0);
	assert_int_equal(s.closed, 0);
}

static void
a_head_may_be_too_large(void **state)
{
	struct world *t = *state;
	struct stream s = {.id = 0};
	char fields[6000] = "x: ";

	memset(fields + 3, 'v', 5000);
	memcpy(fields + 5003, "\r\n", 3);
	ask(t, &s, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, false);
	settle(t);
	answer(t, 200, fields, false);
	settle(t);
	assert_true(s.is_too_large);
	assert_int_equal(s.ends, 1);
}

/* The server's first frame has to be SETTINGS: RFC 9113 3.4. */
static void
a_server_that_does_not_speak_http2(void **state)
{
	static const char http1[] = "HTTP/1.1 400 Bad Request\r\n\r\n", ping[17] = {0, 0, 8, 6};
	static const struct {
		const char *text;
		size_t n;
	} cases[] = {{http1, sizeof http1 - 1}, {ping, sizeof ping}};
	static char buf[1 << 16];
	struct world *t;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		t = *state;
		assert_true(h2_client_feed(t->client, cases[i].text, cases[i].n) <= 0);
		assert_true(h2_client_write(t->client, buf, sizeof buf) > 0); /* a GOAWAY */
		assert_true(h2_client_is_over(t->client));
		assert_int_equal(h2_client_error(t->client), H2_PROTOCOL_ERROR);
		teardown(state);
		setup(state);
	}
}

/* Also before it has acknowledged that none are taken: RFC 9113 6.6. */
static void
a_push_breaks_the_connection(void **state)
{
	static const char frames[] = "\0\0\0\4\0\0\0\0\0"
				     "\0\0\5\5\4\0\0\0\1\0\0\0\2\x82";
	static char buf[1 << 16];
	struct world *t = *state;
	struct stream s = {.id = 0};

	ask(t, &s, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, false);
	assert_true(h2_client_write(t->client, buf, sizeof buf) > 0);
	assert_int_equal(h2_client_feed(t->client, frames, 9), 0);
	assert_int_equal(h2_client_feed(t->client, frames + 9, sizeof frames - 1 - 9), -1);
	assert_int_equal(h2_client_error(t->client), H2_PROTOCOL_ERROR);
}

/* What one has to write is not lost if another one is made before, or writes in between. */
static void
connections_share_memory(void **state)
{
	static const struct h2_client_conf conf = {65536, 1 << 20, 4096};
	static const char head[] = "POST /other HTTP/1.1\r\nHost: b\r\n\r\n";
	static char ours[1 << 15], others[1 << 15];
	struct world *t = *state;
	struct h2_client *other = h2_client_new(&conf, t->shared, &client_ops, t);
	struct stream s = {0}, s2 = {0};
	ssize_t n, m, more;

	s.out = s2.out = "body";
	ask(t, &s, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", false, true);
	s2.id = h2_client_request(other, head, strlen(head), false, false, true, &s2);
	assert_true(s2.id > 0);
	n = h2_client_write(t->client, ours, H2_WRITE_LEAST);
	m = h2_client_write(other, others, H2_WRITE_LEAST);
	assert_true(n > 0 && m > 0);
	while ((more = h2_client_write(t->client, ours + n, sizeof ours - (size_t)n)) > 0)
		n += more;
	while ((more = h2_client_write(other, others + m, sizeof others - (size_t)m)) > 0)
		m += more;
	assert_memory_equal(ours, H2_PREFACE, strlen(H2_PREFACE));
	assert_memory_equal(others, H2_PREFACE, strlen(H2_PREFACE));
	assert_int_equal(h2_feed(t->server, ours, (size_t)n), 0);
	assert_string_equal(t->got, "body");
	assert_non_null(memmem(others, (size_t)m, "body", 4));
	h2_client_free(&other);
}

/* A head of several frames is sent as a whole once its first frame was written. */
static void
a_head_that_is_half_written_is_not_queued(void **state)
{
	static char head[40000], buf[1 << 16];
	struct world *t = *state;
	struct stream large = {0}, small = {0};
	int n = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: s\r\nX-A: ");

	settle(t);
	memset(head + n, 'a', sizeof head - (size_t)n);
	memcpy(head + sizeof head - 5, "\r\n\r\n", 5);
	ask(t, &large, head, false, false);
	ask(t, &small, "GET / HTTP/1.1\r\nHost: s\r\n\r\n", false, false);
	assert_true(h2_client_is_queued(t->client, large.id));
	assert_true(h2_client_write(t->client, buf, H2_WRITE_LEAST) > 1 << 14);
	assert_int_equal(large.sent, 0);
	assert_false(h2_client_is_queued(t->client, large.id));
	assert_true(h2_client_is_queued(t->client, small.id));
	assert_true(h2_client_write(t->client, buf, sizeof buf) > 0);
	assert_int_equal(large.sent, 1);
	assert_int_equal(small.sent, 1);
	assert_false(h2_client_is_queued(t->client, small.id));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_head_keeps_its_meaning, setup, teardown),
		cmocka_unit_test_setup_teardown(bodies_and_trailers_pass, setup, teardown),
		cmocka_unit_test_setup_teardown(an_upgrade_becomes_an_extended_connect, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_server_says_how_many_streams_it_takes, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_a_goaway_does_not_name_was_not_processed,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_ping_goes_behind_a_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(a_request_that_was_not_sent_can_be_withdrawn, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_head_that_is_half_written_is_not_queued, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_head_may_be_too_large, setup, teardown),
		cmocka_unit_test_setup_teardown(a_server_that_does_not_speak_http2, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_push_breaks_the_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(connections_share_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
