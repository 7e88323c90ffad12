/* upstream_h2: connections of HTTP/2 to an instance on a worker, on simulated time: what ends the
 * wait of a request, and what an instance cannot do to others.  What calls can is tested with both
 * programs (test_h2_instances.py). */
#include "test/unit/conn_world.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/limiter.h"
#include "activator/upstream_h2.h"
#include "common/clk.h"

#define FRAME_HEAD 9
#define GET "GET / HTTP/1.1\r\nHost: s\r\n\r\n"
#define POST "POST / HTTP/1.1\r\nHost: s\r\nContent-Length: 5\r\n\r\nhello"
#define CHUNKED                                                                                    \
	"POST / HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n"         \
	"2\r\nhe\r\n3\r\nllo\r\n0\r\nX-A: 1\r\n\r\n"
#define UPLOAD "POST / HTTP/1.1\r\nHost: s\r\nContent-Length: 100000000\r\n\r\n"
#define WEBSOCKET                                                                                  \
	"GET / HTTP/1.1\r\nHost: s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"               \
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW = 8 };

/* A frame of the instance. */
static void
send_frame(int fd, int type, int flags, int stream, const void *payload, size_t n)
{
	char frame[64] = {0, 0, (char)n, (char)type, (char)flags, 0, 0, 0, (char)stream};

	assert_true(n <= sizeof frame - FRAME_HEAD);
	if (n > 0)
		memcpy(frame + FRAME_HEAD, payload, n);
	assert_int_equal(send(fd, frame, n + FRAME_HEAD, MSG_NOSIGNAL), n + FRAME_HEAD);
}

/* Status 204, by the static table of HPACK. */
static void
answer(int fd, int stream)
{
	send_frame(fd, HEADERS, 5, stream, "\x89", 1);
}

static void
say_streams_most(int fd, int most)
{
	const char payload[6] = {0, 3, 0, 0, 0, (char)most};

	send_frame(fd, SETTINGS, 0, 0, payload, sizeof payload);
}

/* What the instance has got on a connection. */
struct heard {
	char bytes[1 << 16];
	size_t n, at; /* at: behind the last whole frame */
	int frames[16];
	uint64_t ping; /* the token of the last one */
	char body[64]; /* of all requests, as far as it has room */
	bool has_trailers;
};

static void
note_frame(struct heard *h, const char *frame)
{
	const unsigned char *head = (const unsigned char *)frame;

	h->frames[frame[3] & 15]++;
	if (frame[3] == DATA)
		strncat(h->body, frame + FRAME_HEAD,
			MIN((size_t)head[1] << 8 | head[2], sizeof h->body - strlen(h->body) - 1));
	if (frame[3] == PING && (frame[4] & 1) == 0)
		memcpy(&h->ping, frame + FRAME_HEAD, sizeof h->ping);
}

/* Read all that has come, which is little. */
static void
hear_frames(int fd, struct heard *h)
{
	ssize_t got;

	while ((got = recv(fd, h->bytes + h->n, sizeof h->bytes - h->n, 0)) > 0)
		h->n += (size_t)got;
	assert_true(h->n < sizeof h->bytes);
	if (h->at == 0 && h->n >= strlen(H2_PREFACE))
		h->at = strlen(H2_PREFACE);
	while (h->at > 0 && h->at + FRAME_HEAD <= h->n) {
		const unsigned char *head = (const unsigned char *)h->bytes + h->at;
		size_t size = FRAME_HEAD + ((size_t)head[1] << 8 | head[2]);

		if (h->at + size > h->n)
			break;
		note_frame(h, h->bytes + h->at);
		h->at += size;
	}
}

static struct world *
make_h2(const char *more)
{
	char *text = xasprintf("activator { protocol = h2c %s }", more);
	struct world *t = make(text);
	static const int on = 1;

	/* Its sockets inherit it: what a test sends has arrived before the next round. */
	setsockopt(t->listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	free(text);
	return t;
}

/* A client of its own that asks.  Returns its end. */
static int
client_asks(struct world *t, const char *request)
{
	int before = t->client, fd;

	connect_client(t);
	fd = t->client;
	t->client = before;
	say(fd, request);
	rounds(t);
	return fd;
}

static void
assert_answered(int fd, const char *start)
{
	char text[4096];
	bool is_eof;

	hear(fd, text, sizeof text, &is_eof);
	if (strncmp(text, start, strlen(start)) != 0)
		fail_msg("expected \"%s\", got \"%s\"", start, text);
}

static int
accept_next(struct world *t)
{
	return accept4(t->listener, NULL, NULL, SOCK_NONBLOCK);
}

/* The only connection to the instance. */
static struct upstream_h2 *
only(const struct world *t)
{
	assert_int_equal(t->w->upstreams.n, 1);
	return container_of(list_first(&t->w->upstreams), struct upstream, node)->h2;
}

/* Has the peer acknowledged all that was sent, and has no room for more? */
static bool
is_stuck(int fd)
{
	int unacked = 0, unsent = 0;

	assert_int_equal(ioctl(fd, SIOCOUTQ, &unacked), 0);
	assert_int_equal(ioctl(fd, SIOCOUTQNSD, &unsent), 0);
	return unsent > 0 && unacked == unsent;
}

/* The connection takes no more bytes: its instance does not read. */
static int
block(struct world *t)
{
	static const int small = 1;
	static const char much[1 << 20];
	int client = client_asks(t, UPLOAD);

	setsockopt(only(t)->u->io.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	send_frame(t->served, SETTINGS, 0, 0, "\0\x04\x7f\x00\x00\x00", 6);
	send_frame(t->served, WINDOW, 0, 0, "\x7f\x00\x00\x00", 4);
	rounds(t);
	while (!io_is_blocked(&only(t)->u->io) || !is_stuck(only(t)->u->io.fd)) {
		(void)!send(client, much, sizeof much, MSG_NOSIGNAL | MSG_DONTWAIT);
		rounds(t);
	}
	return client;
}

/* The first request goes ahead; the second one waits for the instance's SETTINGS, and no longer
 * than a part of connect_timeout. */
static void
a_wait_for_settings_ends(void **state)
{
	struct world *t = make_h2("connect_timeout = 4s");
	struct heard *h = xcalloc(1, sizeof *h);
	int one = client_asks(t, GET), two = client_asks(t, GET);

	(void)state;
	hear_frames(t->served, h);
	assert_int_equal(h->frames[HEADERS], 1);
	pass_time(t, 2 * CLK_S + TIMEQ_TICK);
	rounds(t);
	hear_frames(t->served, h);
	assert_int_equal(h->frames[HEADERS], 2);
	pass_time(t, 2 * CLK_S);
	rounds(t);
	send_frame(t->served, SETTINGS, 0, 0, NULL, 0);
	answer(t->served, 1);
	answer(t->served, 3);
	rounds(t);
	assert_answered(one, "HTTP/1.1 204");
	assert_answered(two, "HTTP/1.1 204");
	assert_int_equal(t->w->upstreams.n, 1);
	close(one);
	close(two);
	free(h);
	end(&t);
}

/* The wait begins when the connection is there, however long that took: a WebSocket is not refused
 * before the instance could say whether it takes them. */
static void
a_wait_for_settings_begins_when_connected(void **state)
{
	static const char takes_connect[] = {0, 8, 0, 0, 0, 1};
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct world *t = make_h2("connect_timeout = 4s");
		struct heard *h = xcalloc(1, sizeof *h);
		bool says = i == 0;

		connect_client(t);
		say(t->client, WEBSOCKET);
		while (t->w->upstreams.n == 0)
			loop_once(t->w->loop, true);
		pass_time(t, 3500 * CLK_MS); /* until it is seen that the connect has succeeded */
		rounds(t);
		pass_time(t, 1900 * CLK_MS);
		rounds(t);
		if (says)
			send_frame(t->served, SETTINGS, 0, 0, takes_connect, sizeof takes_connect);
		rounds(t);
		hear_frames(t->served, h);
		assert_int_equal(h->frames[HEADERS], says ? 1 : 0);
		pass_time(t, 200 * CLK_MS);
		rounds(t);
		if (!says)
			assert_answered(t->client, "HTTP/1.1 501");
		assert_int_equal(t->w->upstreams.n, 1);
		free(h);
		end(&t);
	}
}

/* Each connection that ends before it could carry the request counts as a try, with a pause
 * behind it. */
static void
end_each_connection(const char *frames, size_t n, const char *answer_start)
{
	struct world *t = make_h2("");
	int client = client_asks(t, WEBSOCKET), fd = t->served, opened = 0, i;

	for (i = 0; i < 20; i++) {
		opened += fd >= 0;
		if (fd >= 0 && n > 0)
			assert_int_equal(send(fd, frames, n, MSG_NOSIGNAL), n);
		else if (fd >= 0)
			shutdown(fd, SHUT_WR);
		rounds(t);
		if (fd >= 0 && fd != t->served)
			close(fd);
		limiter_open(t->inst, SLOTS_UNREADY); /* as the prober would */
		pass_time(t, 10 * CLK_MS);
		rounds(t);
		fd = accept_next(t);
	}
	assert_int_equal(opened, 3);
	assert_answered(client, answer_start);
	assert_int_equal(t->w->upstreams.n, 0);
	close(client);
	end(&t);
}

static void
an_instance_that_greets_with_goaway(void **state)
{
	static const char frames[] = "\0\0\0\4\0\0\0\0\0"
				     "\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0";

	(void)state;
	end_each_connection(frames, sizeof frames, "HTTP/1.1 503"); /* with the last 0 */
}

static void
an_instance_that_hangs_up(void **state)
{
	(void)state;
	end_each_connection(NULL, 0, "HTTP/1.1 502");
	end_each_connection("HTTP/1.1 400 Bad Request\r\n\r\n", 28, "HTTP/1.1 502");
}

/* Requests that were not sent yet, as the connection takes no more bytes, do not wait for others
 * where the instance allows fewer streams than there are: they go to another connection. */
static void
a_lowered_limit_holds_no_request(void **state)
{
	struct world *t = make_h2("");
	struct heard *h = xcalloc(1, sizeof *h);
	int upload = block(t), get = client_asks(t, GET), post = client_asks(t, POST), next[2];
	size_t i;

	(void)state;
	say_streams_most(t->served, 1); /* and so does each connection, for all that is known */
	rounds(t);
	for (i = 0; i < ARRAY_LEN(next); i++) {
		next[i] = accept_next(t);
		assert_true(next[i] >= 0);
		memset(h, 0, sizeof *h);
		hear_frames(next[i], h);
		assert_int_equal(h->frames[HEADERS], 1);
		assert_string_equal(h->body, i == 0 ? "" : "hello");
		send_frame(next[i], SETTINGS, 0, 0, NULL, 0);
		answer(next[i], 1);
		rounds(t);
	}
	assert_answered(get, "HTTP/1.1 204");
	assert_answered(post, "HTTP/1.1 204");
	assert_int_equal(t->w->counters.upstream_refused, 0);
	close(next[0]);
	close(next[1]);
	close(get);
	close(post);
	close(upload);
	free(h);
	end(&t);
}

/* Time passes, until the request comes again; on this connection, or another one. */
static int
comes_again(struct world *t, int fd, struct heard *h)
{
	int next;

	memset(h->frames, 0, sizeof h->frames);
	h->body[0] = '\0';
	assert_true(loop_timer_pending(&t->w->paused_timer));
	pass_time(t, 10 * CLK_MS);
	event_active(&t->w->paused_timer.ev, EV_TIMEOUT, 1);
	rounds(t);
	next = accept_next(t);
	if (next >= 0) {
		h->n = h->at = 0;
		send_frame(next, SETTINGS, 0, 0, NULL, 0);
		rounds(t);
		fd = next;
	}
	hear_frames(fd, h);
	assert_int_equal(h->frames[HEADERS], 1 + (h->has_trailers ? 1 : 0));
	return fd;
}

/* RFC 9113 8.7: a stream that was refused, or is above the last one of a GOAWAY, was not processed.
 * A small body is sent again with its head, with trailers, too. */
static void
a_small_body_is_sent_again(void **state)
{
	static const char *const requests[] = {POST, CHUNKED};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(requests); i++) {
		struct world *t = make_h2("");
		struct heard *h = xcalloc(1, sizeof *h);
		int client = client_asks(t, requests[i]), fd;

		h->has_trailers = i == 1;
		send_frame(t->served, SETTINGS, 0, 0, NULL, 0);
		rounds(t);
		hear_frames(t->served, h);
		assert_string_equal(h->body, "hello");
		send_frame(t->served, RST_STREAM, 0, 1, "\0\0\0\x07", 4);
		rounds(t);
		fd = comes_again(t, t->served, h);
		assert_int_equal(fd, t->served);
		assert_string_equal(h->body, "hello");
		send_frame(fd, GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0", 8);
		rounds(t);
		fd = comes_again(t, fd, h);
		assert_int_not_equal(fd, t->served);
		assert_string_equal(h->body, "hello");
		answer(fd, 1);
		rounds(t);
		assert_answered(client, "HTTP/1.1 204");
		assert_int_equal(bounds_stream_bytes(&t->bounds), H2_CONN_BYTES);
		close(fd);
		close(client);
		free(h);
		end(&t);
	}
}

/* What is large, or not whole, is not kept; and after three times no body is sent again. */
static void
other_bodies_are_not_sent_again(void **state)
{
	char *large = padded("POST / HTTP/1.1\r\nHost: s\r\nContent-Length: 20000\r\n\r\n", 'x',
			     20000, "");
	const char *requests[] = {large, UPLOAD "part", POST};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(requests); i++) {
		struct world *t = make_h2("");
		struct heard *h = xcalloc(1, sizeof *h);
		int client = client_asks(t, requests[i]), tries;

		send_frame(t->served, SETTINGS, 0, 0, NULL, 0);
		rounds(t);
		hear_frames(t->served, h);
		for (tries = 1; h->frames[HEADERS] > 0; tries++) {
			memset(h->frames, 0, sizeof h->frames);
			send_frame(t->served, RST_STREAM, 0, 2 * tries - 1, "\0\0\0\x07", 4);
			rounds(t);
			pass_time(t, 10 * CLK_MS);
			event_active(&t->w->paused_timer.ev, EV_TIMEOUT, 1);
			rounds(t);
			hear_frames(t->served, h);
		}
		assert_int_equal(tries - 1, i == 2 ? 3 : 1);
		assert_answered(client, "HTTP/1.1 503");
		close(client);
		rounds(t);
		assert_int_equal(bounds_stream_bytes(&t->bounds), H2_CONN_BYTES);
		free(h);
		end(&t);
	}
	free(large);
}

/* Requests that were given up before they could be written stay in the session until it is
 * written: a connection keeps so many of them, and no more. */
static void
requests_that_were_given_up_are_bounded(void **state)
{
	struct world *t = make_h2("");
	int upload = block(t), i;

	(void)state;
	for (i = 0; i < 100; i++) {
		close(client_asks(t, GET));
		rounds(t);
	}
	assert_int_equal(only(t)->cancelled_n, 100);
	close(client_asks(t, GET));
	rounds(t);
	assert_int_equal(t->w->upstreams.n, 2);
	close(upload);
	end(&t);
}

/* With a limit, the slot of a request that was reset is free once the instance has answered the
 * PING behind the reset, and not for another answer. */
static void
only_the_answer_to_a_ping_frees_the_slot(void **state)
{
	struct world *t = make_h2("container_concurrency = 1 abort_timeout = 1m");
	struct heard *h = xcalloc(1, sizeof *h);
	struct limiter_count count;
	uint64_t other = 99;
	int client = client_asks(t, UPLOAD);

	(void)state;
	send_frame(t->served, SETTINGS, 0, 0, NULL, 0);
	rounds(t);
	close(client);
	rounds(t);
	hear_frames(t->served, h);
	assert_int_equal(h->frames[RST_STREAM], 1);
	assert_int_equal(h->frames[PING], 1);
	send_frame(t->served, PING, 1, 0, &other, sizeof other);
	rounds(t);
	limiter_count(t->rev, &count);
	assert_int_equal(count.slots, 1);
	send_frame(t->served, PING, 1, 0, &h->ping, sizeof h->ping);
	rounds(t);
	limiter_count(t->rev, &count);
	assert_int_equal(count.slots, 0);
	free(h);
	end(&t);
}

/* An instance that has ended its side of a tunnel, and then closes the stream or the connection, is
 * done: its client gets all that it has sent, and the end, and the slot is free.  So it is if all
 * comes at once. */
static void
a_tunnel_ends_with_its_stream(void **state)
{
	static const char takes_connect[] = {0, 8, 0, 0, 0, 1};
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct world *t = make_h2("container_concurrency = 1");
		struct limiter_count count;
		char text[4096];
		bool is_eof;

		connect_client(t);
		say(t->client, WEBSOCKET);
		rounds(t);
		send_frame(t->served, SETTINGS, 0, 0, takes_connect, sizeof takes_connect);
		rounds(t);
		send_frame(t->served, HEADERS, 4, 1, "\x88", 1);
		send_frame(t->served, DATA, 1, 1, "bye", 3);
		if (i > 0) {
			rounds(t);
			limiter_count(t->rev, &count);
			assert_int_equal(count.slots, 1); /* its client may still send */
		}
		if (i < 2)
			send_frame(t->served, RST_STREAM, 0, 1, "\0\0\0\0", 4);
		else
			shutdown(t->served, SHUT_RDWR);
		rounds(t);
		limiter_count(t->rev, &count);
		assert_int_equal(count.slots, 0);
		hear(t->client, text, sizeof text, &is_eof);
		assert_true(is_eof);
		assert_int_equal(strncmp(text, "HTTP/1.1 101", 12), 0);
		assert_string_equal(text + strlen(text) - 7, "\r\n\r\nbye");
		end(&t);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wait_for_settings_ends),
		cmocka_unit_test(a_wait_for_settings_begins_when_connected),
		cmocka_unit_test(an_instance_that_greets_with_goaway),
		cmocka_unit_test(an_instance_that_hangs_up),
		cmocka_unit_test(a_lowered_limit_holds_no_request),
		cmocka_unit_test(a_small_body_is_sent_again),
		cmocka_unit_test(other_bodies_are_not_sent_again),
		cmocka_unit_test(requests_that_were_given_up_are_bounded),
		cmocka_unit_test(only_the_answer_to_a_ping_frees_the_slot),
		cmocka_unit_test(a_tunnel_ends_with_its_stream),
	};

	clk_replace(now);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
