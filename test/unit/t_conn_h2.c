/* conn_h2: a client's connection of HTTP/2 on a worker, on simulated time: its budget of glitches
 * and its time limits.  What streams can is tested with both programs (test_h2.py). */
#include "test/unit/conn_world.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/conn_h2.h"
#include "common/clk.h"

#define FRAME_HEAD 9

/* A frame of the client, without payload where payload is NULL. */
static void
send_frame(struct world *t, int type, int flags, int stream, const char *payload, size_t n)
{
	char frame[256] = {0, 0, (char)n, (char)type, (char)flags, 0, 0, 0, (char)stream};

	assert_true(n <= sizeof frame - FRAME_HEAD);
	if (n > 0)
		memcpy(frame + FRAME_HEAD, payload, n);
	assert_int_equal(send(t->client, frame, n + FRAME_HEAD, MSG_NOSIGNAL),
			 (ssize_t)n + FRAME_HEAD);
}

static void
send_ping(struct world *t)
{
	send_frame(t, 6, 0, 0, "12345678", 8);
}

/* GET / of the host "s", by the static table of HPACK alone. */
static void
send_get(struct world *t, int stream)
{
	static const char block[] = "\x82\x86\x84\x41\x01s";

	send_frame(t, 1, 5, stream, block, sizeof block - 1);
}

static struct conn *
begin(struct world *t)
{
	struct conn *c = connect_client(t);

	say(t->client, H2_PREFACE);
	send_frame(t, 4, 0, 0, NULL, 0);
	rounds(t);
	assert_ptr_equal(c->codec, &codec_h2);
	return c;
}

static uint64_t
ended(const struct world *t, enum h2_ended why)
{
	return t->w->counters.h2_ended[why];
}

static void
glitches_come_back_with_time(void **state)
{
	struct world *t = make("activator { h2_glitches = 10 h2_glitch_rate = 5 }");
	const struct conn *c = begin(t);
	int i, n;

	(void)state;
	assert_int_equal(c->h2->glitches, 9);  /* its SETTINGS */
	send_frame(t, 6, 1, 0, "shutdown", 8); /* answers no PING */
	rounds(t);
	assert_int_equal(c->h2->glitches, 8);
	pass_time(t, CLK_S);
	for (i = 0; i < 5; i++) {
		for (n = 0; n < 5; n++)
			send_ping(t);
		rounds(t);
		pass_time(t, CLK_S);
	}
	assert_int_equal(t->w->counters.h2_connections, 1);
	for (n = 0; n < 11; n++)
		send_ping(t);
	rounds(t);
	assert_int_equal(t->w->counters.h2_connections, 0);
	assert_int_equal(ended(t, H2_ENDED_GLITCHES), 1);
	end(&t);
}

static void
an_idle_connection_ends(void **state)
{
	static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
	struct world *t = make("activator { idle_timeout = 10s head_timeout = 5s }");
	const struct conn *c = begin(t);

	(void)state;
	send_get(t, 1);
	rounds(t);
	assert_true(t->served >= 0);
	pass_time(t, 20 * CLK_S); /* while a request is under way there is no limit */
	rounds(t);
	assert_int_equal(c->h2->streams.n, 1);
	say(t->served, response);
	rounds(t);
	assert_int_equal(c->h2->streams.n, 0);
	assert_false(c->h2->is_trimmed);
	pass_time(t, 9 * CLK_S);
	rounds(t);
	assert_true(c->h2->is_trimmed);
	assert_int_equal(t->w->counters.h2_connections, 1);
	close(t->served); /* that connection was idle for too long */
	t->served = -1;
	send_get(t, 3); /* a connection that was trimmed serves as before */
	rounds(t);
	assert_false(c->h2->is_trimmed);
	assert_true(t->served >= 0);
	say(t->served, response);
	rounds(t);
	assert_int_equal(c->h2->streams.n, 0);
	pass_time(t, 9 * CLK_S);
	rounds(t);
	assert_true(c->h2->is_trimmed);
	assert_int_equal(t->w->counters.h2_connections, 1);
	pass_time(t, 2 * CLK_S);
	rounds(t);
	assert_int_equal(ended(t, H2_ENDED_IDLE), 1);
	end(&t);
}

/* Each head has head_timeout, however long the connection was idle before. */
static void
a_head_that_stalls_ends_the_connection(void **state)
{
	struct world *t = make("activator { idle_timeout = 100s head_timeout = 5s }");
	const struct conn *c = begin(t);

	(void)state;
	send_get(t, 1);
	rounds(t);
	say(t->served, "HTTP/1.1 204 No Content\r\n\r\n");
	rounds(t);
	pass_time(t, 50 * CLK_S);
	rounds(t);
	send_frame(t, 1, 1, 3, "\x82", 1); /* CONTINUATION would follow */
	rounds(t);
	assert_true(h2_is_in_head(c->h2->session));
	pass_time(t, 4 * CLK_S);
	rounds(t);
	assert_int_equal(t->w->counters.h2_connections, 1);
	pass_time(t, 2 * CLK_S);
	rounds(t);
	assert_int_equal(ended(t, H2_ENDED_STALLED), 1);
	end(&t);
}

/* A client that does not answer the PING does not hold up the end. */
static void
a_drain_does_not_wait_for_the_answer_to_its_ping(void **state)
{
	struct world *t = make("");

	(void)state;
	begin(t);
	worker_post_drain(t->w);
	rounds(t);
	assert_int_equal(t->w->counters.h2_connections, 1);
	pass_time(t, 2 * CLK_S);
	rounds(t);
	assert_int_equal(ended(t, H2_ENDED_DRAIN), 1);
	end(&t);
}

/* A response that the client does not take has its limit, though its request has ended. */
static void
a_response_that_is_not_taken_is_reset(void **state)
{
	struct world *t = make("activator { body_timeout = 5s }");
	const struct conn *c = begin(t);

	(void)state;
	send_frame(t, 4, 0, 0, "\0\4\0\0\0\0", 6); /* INITIAL_WINDOW_SIZE 0 */
	send_get(t, 1);
	rounds(t);
	say(t->served, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	rounds(t);
	assert_int_equal(c->h2->streams.n, 1);
	assert_int_equal(t->bounds.own->stream_bytes, H2_CONN_BYTES + 5);
	pass_time(t, 6 * CLK_S);
	rounds(t);
	assert_int_equal(c->h2->streams.n, 0);
	assert_int_equal(t->bounds.own->stream_bytes, H2_CONN_BYTES);
	assert_int_equal(t->w->counters.h2_connections, 1);
	end(&t);
}

/* Where the streams of a connection keep much, each keeps little of what its instance sends; and
 * nothing is lost of it. */
static void
a_crowded_connection_keeps_little_of_each_stream(void **state)
{
	enum { STREAMS = 30, BODY = 400000 };
	struct world *t = make("activator { idle_timeout = 100s }");
	const struct conn *c = begin(t);
	char *response = padded("HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n", 'x', BODY, "");
	size_t n = strlen(response), heard = 0, at[STREAMS] = {0}, got;
	int fds[STREAMS], i;
	static char buf[1 << 16];
	bool is_eof;

	(void)state;
	t->bounds.max_stream_bytes = (uint64_t)1 << 30;
	send_frame(t, 4, 0, 0, "\0\4\0\0\0\0", 6); /* INITIAL_WINDOW_SIZE 0 */
	for (i = 0; i < STREAMS; i++) {
		t->served = -1;
		send_get(t, 2 * i + 1);
		rounds(t);
		fds[i] = t->served;
		assert_true(fds[i] >= 0);
		at[i] += (size_t)send(fds[i], response, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		rounds(t);
	}
	assert_true(c->h2->bytes > CONN_H2_CROWDED);
	assert_true(c->h2->bytes < CONN_H2_CROWDED + (256 << 10) + STREAMS * (20 << 10));
	send_frame(t, 8, 0, 0, "\x3f\0\0\0", 4);
	send_frame(t, 4, 0, 0, "\0\4\x3f\0\0\0", 6);
	do {
		rounds(t);
		for (i = 0; i < STREAMS; i++)
			if (at[i] < n) {
				ssize_t sent = send(fds[i], response + at[i], n - at[i],
						    MSG_NOSIGNAL | MSG_DONTWAIT);

				at[i] += sent > 0 ? (size_t)sent : 0;
			}
		got = hear(t->client, buf, sizeof buf, &is_eof);
		heard += got;
	} while (c->h2->streams.n > 0);
	/* What was written last may not have come yet. */
	for (i = 0; i < 1000 && heard <= (size_t)STREAMS * BODY; i++) {
		rounds(t);
		heard += hear(t->client, buf, sizeof buf, &is_eof);
	}
	assert_true(heard > (size_t)STREAMS * BODY);
	for (i = 0; i < STREAMS; i++)
		close(fds[i]);
	t->served = -1;
	free(response);
	end(&t);
}

/* Begin with flow control that bounds nothing, and be idle for 50 s. */
static struct conn *
begin_wide(struct world *t)
{
	struct conn *c = begin(t);

	send_frame(t, 4, 0, 0, "\0\4\x3f\0\0\0", 6); /* INITIAL_WINDOW_SIZE */
	send_frame(t, 8, 0, 0, "\x3f\0\0\0", 4);
	send_get(t, 1);
	rounds(t);
	say(t->served, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
	rounds(t);
	close(t->served);
	t->served = -1;
	pass_time(t, 50 * CLK_S);
	rounds(t);
	return c;
}

/* Stream 3 gets a response that the client's socket does not take. */
static void
fill_socket(struct world *t, struct conn *c)
{
	char *response = padded("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n", 'x', 3000000,
				"");
	size_t n = strlen(response), at = 0;

	send_get(t, 3);
	rounds(t);
	while (!io_is_blocked(&c->io)) {
		ssize_t put = send(t->served, response + at, MIN(n - at, 100000),
				   MSG_NOSIGNAL | MSG_DONTWAIT);

		assert_true(put > 0);
		at += (size_t)put;
		rounds(t);
		assert_int_equal(t->w->counters.h2_connections, 1);
	}
	free(response);
}

/* The limit runs from when the socket was found full, or took bytes. */
static void
a_full_socket_has_body_timeout(void **state)
{
	struct world *t = make("activator { body_timeout = 10s idle_timeout = 100s }");
	struct conn *c = begin_wide(t);
	char text[4096];

	(void)state;
	fill_socket(t, c);
	pass_time(t, 8 * CLK_S);
	rounds(t);
	assert_int_equal(t->w->counters.h2_connections, 1);
	while (io_is_blocked(&c->io)) {
		while (recv(t->client, text, sizeof text, MSG_DONTWAIT) > 0)
			;
		rounds(t);
	}
	pass_time(t, 8 * CLK_S);
	rounds(t);
	assert_int_equal(t->w->counters.h2_connections, 1);
	end(&t);
}

/* What the client sends does not renew the limit. */
static void
a_client_that_sends_and_does_not_read_is_cut_off(void **state)
{
	struct world *t = make("activator { body_timeout = 10s idle_timeout = 100s }");
	struct conn *c = begin_wide(t);
	int i;

	(void)state;
	fill_socket(t, c);
	for (i = 0; i < 3; i++) {
		send_frame(t, 1, 1, 5 + 2 * i, "\x82", 1); /* a head in two frames */
		rounds(t);
		send_frame(t, 9, 4, 5 + 2 * i, "\x86\x84\x41\x01s", 5);
		rounds(t);
		pass_time(t, 4 * CLK_S);
		rounds(t);
	}
	assert_int_equal(ended(t, H2_ENDED_STALLED), 1);
	end(&t);
}

/* An instance that sends interim heads without end is read as fast as the client takes them. */
static void
interim_heads_wait_for_the_client(void **state)
{
	struct world *t = make("");
	struct conn *c = begin_wide(t);
	const struct h2_stream *st;
	char text[4096];
	int i;

	(void)state;
	fill_socket(t, c);
	close(t->served);
	t->served = -1;
	rounds(t);
	send_get(t, 5);
	rounds(t);
	assert_true(t->served >= 0);
	st = container_of(c->h2->streams.head.prev, struct h2_stream, node);
	assert_int_equal(st->id, 5);
	for (i = 0; i < 50; i++)
		say(t->served, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
	rounds(t);
	assert_in_range(st->interims, 1, 5);
	say(t->served, "HTTP/1.1 204 No Content\r\n\r\n");
	while (t->w->counters.outcomes[OUT_OK] < 2) {
		while (recv(t->client, text, sizeof text, MSG_DONTWAIT) > 0)
			;
		rounds(t);
	}
	end(&t);
}

/* A POST without its end to the host "s". */
static void
send_post(struct world *t, int stream)
{
	static const char block[] = "\x83\x86\x84\x41\x01s";

	send_frame(t, 1, 4, stream, block, sizeof block - 1);
}

/* Trailers are counted while they wait, as bodies are. */
static void
trailers_are_counted(void **state)
{
	static const char trailers[] = "\x10\x03x-a\x04zzzz";
	struct world *t = make_unrouted("activator { activation_timeout = 10s }");
	const struct conn *c = begin(t);

	(void)state;
	send_post(t, 1);
	send_frame(t, 1, 5, 1, trailers, sizeof trailers - 1);
	rounds(t);
	assert_int_equal(t->bounds.own->stream_bytes, H2_CONN_BYTES + strlen("x-a: zzzz\r\n"));
	pass_time(t, 11 * CLK_S);
	rounds(t);
	assert_int_equal(c->h2->streams.n, 0);
	assert_int_equal(t->bounds.own->stream_bytes, H2_CONN_BYTES);
	make_routes(t);
	end(&t);
}

/* A hundred bytes of a header block can stand for many times as much. */
static void
trailers_beyond_max_head_are_refused(void **state)
{
	static const char field[] = "\x40\x03x-a\x64";
	struct world *t = make_unrouted("activator { max_head = 1KiB }");
	const struct conn *c = begin(t);
	uint32_t glitches = c->h2->glitches;
	char block[200];

	(void)state;
	memcpy(block, field, sizeof field - 1);
	memset(block + sizeof field - 1, 'z', 100);
	memset(block + sizeof field - 1 + 100, '\xbe', 20);
	send_post(t, 1);
	send_frame(t, 1, 5, 1, block, sizeof field - 1 + 120);
	rounds(t);
	assert_int_equal(c->h2->glitches, glitches - 1);
	assert_int_equal(c->h2->streams.n, 0);
	assert_int_equal(t->bounds.own->stream_bytes, H2_CONN_BYTES);
	make_routes(t);
	end(&t);
}

/* Bytes that the instance takes at once are no reason to refuse a request. */
static void
a_body_that_is_taken_is_not_refused(void **state)
{
	struct world *t = make("");
	const struct conn *c = begin(t);

	(void)state;
	send_post(t, 1);
	rounds(t);
	t->bounds.max_stream_bytes = H2_CONN_BYTES; /* others use it up */
	send_frame(t, 0, 0, 1, "hello", 5);
	rounds(t);
	assert_int_equal(c->h2->streams.n, 1);
	send_frame(t, 0, 1, 1, "world", 5);
	rounds(t);
	say(t->served, "HTTP/1.1 204 No Content\r\n\r\n");
	rounds(t);
	assert_int_equal(t->w->counters.outcomes[OUT_OK], 1);
	end(&t);
}

static void
one_connection_leaves_bytes_to_others(void **state)
{
	struct world *t = make_unrouted("");
	const struct conn *c = begin(t);

	(void)state;
	t->bounds.max_stream_bytes = 8 * H2_CONN_BYTES; /* a sixteenth: half of H2_CONN_BYTES */
	send_post(t, 1);
	send_frame(t, 0, 0, 1, "hello", 5);
	rounds(t);
	t->bounds.own->stream_bytes += 5 * H2_CONN_BYTES; /* of others */
	c->h2->bytes += H2_CONN_BYTES / 2;
	send_post(t, 3);
	send_frame(t, 0, 0, 3, "hello", 5);
	rounds(t);
	assert_int_equal(t->w->counters.outcomes[OUT_QUEUE_FULL], 1);
	t->bounds.own->stream_bytes -= 5 * H2_CONN_BYTES;
	c->h2->bytes -= H2_CONN_BYTES / 2;
	make_routes(t);
	end(&t);
}

/* A client that takes one byte now and then holds no response for ever. */
static void
a_trickle_does_not_renew_the_limit(void **state)
{
	struct world *t = make("activator { body_timeout = 5s }");
	const struct conn *c = begin(t);
	int i;

	(void)state;
	send_frame(t, 4, 0, 0, "\0\4\0\0\0\0", 6); /* INITIAL_WINDOW_SIZE 0 */
	send_get(t, 1);
	rounds(t);
	say(t->served, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhelloworld");
	rounds(t);
	for (i = 0; i < 3; i++) {
		assert_int_equal(c->h2->streams.n, 1);
		send_frame(t, 8, 0, 1, "\0\0\0\1", 4);
		rounds(t);
		pass_time(t, 2 * CLK_S);
		rounds(t);
	}
	assert_int_equal(c->h2->streams.n, 0);
	end(&t);
}

/* A body that stops counts as abandoned, as a reset does. */
static void
abandoned_requests_are_bounded(void **state)
{
	struct world *t = make("activator { h2_abandoned = 2 body_timeout = 5s "
			       "container_concurrency = 10 }");
	int i;

	(void)state;
	begin(t);
	for (i = 0; i < 2; i++) {
		assert_int_equal(t->w->counters.h2_connections, 1);
		send_post(t, 1 + 2 * i);
		rounds(t);
		pass_time(t, 6 * CLK_S);
		rounds(t);
		assert_int_equal(t->w->counters.outcomes[OUT_BODY_TIMEOUT], i + 1);
	}
	assert_int_equal(ended(t, H2_ENDED_ABANDONED), 1);
	end(&t);
}

/* What comes in the same read as the glitch that ends the connection is not served. */
static void
a_connection_that_was_terminated_begins_no_request(void **state)
{
	struct world *t = make("activator { h2_glitches = 10 }");
	int i;

	(void)state;
	begin(t);
	send_get(t, 1);
	for (i = 0; i < 11; i++)
		send_ping(t);
	rounds(t);
	assert_int_equal(ended(t, H2_ENDED_GLITCHES), 1);
	assert_int_equal(t->served, -1);
	end(&t);
}

/* Clients of gRPC send a PING for each call, and a call that fails has a head alone. */
static void
responses_without_a_body_earn_glitches(void **state)
{
	struct world *t = make("activator { h2_glitches = 10 h2_glitch_rate = 0 }");
	const struct conn *c = begin(t);
	int i;

	(void)state;
	for (i = 0; i < 20; i++) {
		send_get(t, 1 + 2 * i);
		send_ping(t);
		send_ping(t);
		rounds(t);
		say(t->served, "HTTP/1.1 204 No Content\r\n\r\n");
		rounds(t);
	}
	assert_int_equal(t->w->counters.h2_glitches, 41);
	assert_int_equal(t->w->counters.h2_connections, 1);
	assert_int_equal(c->h2->glitches, 10);
	end(&t);
}

/* Each makes us reset the stream of a request. */
static void
bodies_that_break_the_rules_are_glitches(void **state)
{
	static const char head[] = "\x83\x86\x84\x41\x01s\x0f\x0d\x01\x33"; /* content-length: 3 */
	struct world *t = make("activator { h2_glitch_rate = 0 }");
	const struct conn *c = begin(t);
	uint32_t glitches = c->h2->glitches;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		send_frame(t, 1, 4, 1 + 2 * i, head, sizeof head - 1);
		send_frame(t, 0, 1, 1 + 2 * i, "1234", i == 0 ? 4 : 2);
		rounds(t);
		assert_int_equal(c->h2->streams.n, 0);
		assert_int_equal(c->h2->glitches, glitches - 1 - (uint32_t)i);
	}
	end(&t);
}

/* What comes behind the last stream that a GOAWAY names was not processed: its client sends it
 * again. */
static void
no_request_is_served_behind_the_last_goaway(void **state)
{
	struct world *t = make("");
	const struct conn *c = begin(t);
	char text[512];
	bool is_eof;

	(void)state;
	send_get(t, 1);
	rounds(t);
	assert_int_equal(c->requests, 1);
	worker_post_drain(t->w);
	rounds(t);
	send_get(t, 3); /* crosses the first GOAWAY */
	send_frame(t, 6, 1, 0, "shutdown", 8);
	send_get(t, 5); /* comes in the same read, and the second GOAWAY names 3 */
	rounds(t);
	assert_int_equal(c->requests, 2);
	hear(t->client, text, sizeof text, &is_eof);
	end(&t);
}

static void
connections_are_bounded_by_their_memory(void **state)
{
	struct world *t = make("");

	(void)state;
	t->bounds.max_stream_bytes = H2_CONN_BYTES - 1;
	connect_client(t);
	say(t->client, H2_PREFACE);
	send_frame(t, 4, 0, 0, NULL, 0);
	send_get(t, 1);
	rounds(t);
	assert_int_equal(ended(t, H2_ENDED_MEMORY), 1);
	assert_int_equal(t->served, -1);
	assert_int_equal(t->bounds.own->stream_bytes, 0);
	end(&t);
}

/* However many small frames have come, a turn takes some of them, so that others have theirs. */
static void
small_frames_have_many_turns(void **state)
{
	static const char post[] = "\x83\x86\x84\x41\x01s", data[] = "\0\0\1\0\0\0\0\0\1x";
	struct world *t = make("activator { }");
	const struct conn *c = begin(t);
	uint64_t before = h2_frames(c->h2->session), end_at = before + 6001, n;
	char *flood = xmalloc(6000 * 10);
	int rounds_n, i;

	(void)state;
	for (i = 0; i < 6000; i++)
		memcpy(flood + (size_t)i * 10, data, 10);
	send_frame(t, 1, 4, 1, post, sizeof post - 1);
	assert_int_equal(send(t->client, flood, 60000, MSG_NOSIGNAL), 60000);
	for (rounds_n = 0; before < end_at && rounds_n < 100; before = n) {
		loop_once(t->w->loop, true);
		n = h2_frames(c->h2->session);
		assert_true(n - before <= (rounds_n < 2 ? 2000 : 600));
		rounds_n += n > before;
	}
	assert_int_equal(before, end_at);
	rounds(t);
	assert_int_equal(t->w->counters.h2_connections, 1);
	free(flood);
	end(&t);
}

/* Large frames let reads grow.  The small ones that follow them still have many turns. */
static void
small_frames_after_large_ones_have_many_turns(void **state)
{
	static const char post[] = "\x83\x86\x84\x41\x01s", data[] = "\0\0\1\0\0\0\0\0\1x";
	struct world *t = make("activator { }");
	const struct conn *c = begin(t);
	static const char large[FRAME_HEAD + (16 << 10)] = {0, 0x40, 0, 0, 0, 0, 0, 0, 1};
	char *much = xcalloc(6000, 10);
	uint64_t before, end_at, n;
	int rounds_n, i;

	(void)state;
	send_frame(t, 1, 4, 1, post, sizeof post - 1);
	for (i = 0; i < 3; i++)
		assert_int_equal(send(t->client, large, sizeof large, MSG_NOSIGNAL), sizeof large);
	rounds(t);
	before = h2_frames(c->h2->session);
	end_at = before + 6000;
	for (i = 0; i < 6000; i++)
		memcpy(much + (size_t)i * 10, data, 10);
	assert_int_equal(send(t->client, much, 60000, MSG_NOSIGNAL), 60000);
	for (rounds_n = 0; before < end_at && rounds_n < 100; rounds_n++, before = n) {
		loop_once(t->w->loop, true);
		n = h2_frames(c->h2->session);
		assert_true(n - before <= 4000);
	}
	assert_int_equal(before, end_at);
	free(much);
	end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_frames_have_many_turns),
		cmocka_unit_test(small_frames_after_large_ones_have_many_turns),
		cmocka_unit_test(glitches_come_back_with_time),
		cmocka_unit_test(an_idle_connection_ends),
		cmocka_unit_test(a_head_that_stalls_ends_the_connection),
		cmocka_unit_test(a_drain_does_not_wait_for_the_answer_to_its_ping),
		cmocka_unit_test(a_response_that_is_not_taken_is_reset),
		cmocka_unit_test(a_crowded_connection_keeps_little_of_each_stream),
		cmocka_unit_test(a_full_socket_has_body_timeout),
		cmocka_unit_test(a_client_that_sends_and_does_not_read_is_cut_off),
		cmocka_unit_test(interim_heads_wait_for_the_client),
		cmocka_unit_test(trailers_are_counted),
		cmocka_unit_test(trailers_beyond_max_head_are_refused),
		cmocka_unit_test(a_body_that_is_taken_is_not_refused),
		cmocka_unit_test(one_connection_leaves_bytes_to_others),
		cmocka_unit_test(a_trickle_does_not_renew_the_limit),
		cmocka_unit_test(abandoned_requests_are_bounded),
		cmocka_unit_test(a_connection_that_was_terminated_begins_no_request),
		cmocka_unit_test(responses_without_a_body_earn_glitches),
		cmocka_unit_test(bodies_that_break_the_rules_are_glitches),
		cmocka_unit_test(no_request_is_served_behind_the_last_goaway),
		cmocka_unit_test(connections_are_bounded_by_their_memory),
	};

	clk_replace(now);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
