/* conn: a client's connection on a worker.  Reads and writes that share a system call with
 * other sockets keep what single ones have: the end of an answer, and every time limit. */
#include "test/unit/conn_world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/limiter.h"
#include "activator/net/io_stream.h"
#include "activator/upstream.h"
#include "common/clk.h"

/* Fill the kernel's buffers towards the peer.  Returns how many bytes that took. */
static size_t
leave_no_room(int fd)
{
	size_t n = 0;

	while (send(fd, "x", 1, MSG_NOSIGNAL) == 1)
		n++;
	return n;
}

static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/* A client that has ended its side, and reads slowly, gets the whole answer. */
static void
an_end_waits_for_the_answer(void **state)
{
	struct world *t = make("activator { half_close = yes }");
	struct conn *c = connect_client(t);
	char text[512];
	bool is_eof;
	size_t n, heard;

	(void)state;
	say(t->client, "GET / HTTP/1.1\r\nHost: s\r\n\r\n");
	assert_int_equal(shutdown(t->client, SHUT_WR), 0);
	rounds(t);
	assert_true(t->served >= 0);
	n = leave_no_room(c->io.fd);
	say(t->served, response);
	rounds(t);
	heard = hear(t->client, text, sizeof text, &is_eof);
	assert_int_equal(heard, n);
	assert_false(is_eof);
	rounds(t);
	assert_true(hear(t->client, text, sizeof text, &is_eof) > 0);
	assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\nhello");
	assert_true(is_eof);
	end(&t);
}

/* Bytes arrive in each round, also in the one in which the limit is checked. */
static void
an_upload_that_never_pauses_has_its_limit(void **state)
{
	struct world *t = make("activator { request_timeout = 1s }");
	struct conn *c = connect_client(t);
	char text[512];
	bool is_eof;
	int i;

	(void)state;
	say(t->client, "POST / HTTP/1.1\r\nHost: s\r\nContent-Length: 1000000\r\n\r\n");
	rounds(t);
	for (i = 0; i < 15; i++) {
		say(t->client, "x");
		if (io_is_open(&c->io))
			event_active(&c->io.ev, EV_READ, 1); /* before the timer, as with epoll */
		pass_time(t, CLK_S / 10);
		loop_once(t->w->loop, true);
	}
	hear(t->client, text, sizeof text, &is_eof);
	assert_memory_equal(text, "HTTP/1.1 504", 12);
	end(&t);
}

/* A response that has arrived counts, though its time limit is checked before it is read. */
static void
a_response_comes_before_its_limit(void **state)
{
	struct world *t = make("activator { response_timeout = 1s }");
	char text[512];
	bool is_eof;

	(void)state;
	connect_client(t);
	ask(t, "GET / HTTP/1.1\r\nHost: s\r\n\r\n");
	say(t->served, response);
	pass_time(t, 2 * CLK_S);
	rounds(t);
	hear(t->client, text, sizeof text, &is_eof);
	assert_memory_equal(text, "HTTP/1.1 200", 12);
	end(&t);
}

/* A client that does not read is cut off after body_timeout, and does not see a clean end. */
static void
a_client_that_does_not_read_is_cut_off(void **state)
{
	struct world *t = make("activator { body_timeout = 1s }");
	struct conn *c = connect_over_tcp(t);
	/* More than the kernel takes, and less than one read of the worker. */
	char *whole = padded("HTTP/1.1 200 OK\r\nContent-Length: 16000\r\n\r\n", 'x', 16000, "");
	char text[512];
	bool is_eof;

	(void)state;
	ask(t, "GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n");
	say(t->served, whole);
	free(whole);
	rounds(t);
	assert_true(io_is_blocked(&c->io));
	pass_time(t, 3 * CLK_S);
	rounds(t);
	assert_int_equal(t->w->conns.n, 0);
	hear(t->client, text, sizeof text, &is_eof);
	assert_false(is_eof);
	assert_int_equal(errno, ECONNRESET);
	end(&t);
}

static ssize_t
read_nothing(struct io *io, void *buf, size_t n)
{
	(void)io;
	(void)buf;
	(void)n;
	return IO_NOTHING;
}

static bool
has_nothing(const struct io *io)
{
	(void)io;
	return false;
}

static void
do_nothing(struct io *io)
{
	(void)io;
}

static void
free_nothing(struct io_stream *s)
{
	(void)s;
}

/* The client takes now and then a part of what its handshake writes: that earns no more time. */
static void
a_blocked_handshake_has_its_limit(void **state)
{
	static const struct io_stream_ops stream_ops = {.read = read_nothing,
							.has_pending = has_nothing,
							.shutdown = do_nothing,
							.free = free_nothing};
	struct world *t = make("activator { tls_handshake_timeout = 5s }");
	struct conn *c = connect_over_tcp(t);
	struct io_stream stream = {.ops = &stream_ops, .is_handshaking = true};
	char *much = xcalloc(1, 1 << 20), text[4096];
	struct iovec iov = {.iov_base = much, .iov_len = 1 << 20};
	bool is_eof;
	int i;

	(void)state;
	io_set_stream(&c->io, &stream);
	assert_int_equal(io_socket_write(&c->io, &iov, 1), 0);
	assert_true(io_is_blocked(&c->io));
	fcntl(t->client, F_SETFL, O_NONBLOCK);
	for (i = 0; i < 4; i++) {
		hear(t->client, text, sizeof text, &is_eof);
		pass_time(t, CLK_S);
		rounds(t);
		assert_int_equal(t->w->conns.n, 1);
	}
	assert_true(io_is_blocked(&c->io));
	pass_time(t, 2 * CLK_S);
	rounds(t);
	assert_int_equal(t->w->conns.n, 0);
	free(much);
	end(&t);
}

/* An answer whose write was deferred gets its time limit when the write falls short. */
static void
an_answer_that_does_not_go_has_its_limit(void **state)
{
	struct world *t = make("activator { body_timeout = 1s idle_timeout = 1m head_timeout = 1m "
			       "connect_timeout = 1m response_timeout = 1m }");
	struct conn *c = connect_client(t);

	(void)state;
	ask(t, "GET / HTTP/1.1\r\nHost: s\r\n\r\n");
	leave_no_room(c->io.fd);
	say(t->served, response);
	rounds(t);
	assert_true(io_is_blocked(&c->io));
	assert_null(c->x);
	pass_time(t, 2 * CLK_S);
	rounds(t);
	assert_int_equal(t->w->conns.n, 0);
	end(&t);
}

/* The timer fires before the last event of its round. */
static void
a_limit_does_not_turn_the_clock_back(void **state)
{
	struct world *t = make("activator { head_timeout = 1s }");

	(void)state;
	connect_client(t);
	say(t->client, "GET");
	rounds(t);
	t->w->timeq.fired_ns = at_ns += 2 * CLK_S;
	t->w->now = at_ns += CLK_S;
	timeq_run(&t->w->timeq);
	assert_int_equal(t->w->now, at_ns);
	end(&t);
}

static const char post[] = "POST / HTTP/1.1\r\nHost: s\r\nContent-Length: 0\r\n\r\n";

/* A round up to its deferred writes, which io_round_write() makes. */
static void
run_turns(struct world *t)
{
	loop_settle(t->w->loop);
	event_base_loop(loop_base(t->w->loop), EVLOOP_ONCE | EVLOOP_NONBLOCK);
	io_round_run(t->w->round);
}

static void
reset_and_close(int *fd)
{
	reset_on_close(*fd);
	close(*fd);
	*fd = -1;
}

/* No byte of the head has left: it goes to another connection, also if it is a POST. */
static void
a_head_that_does_not_go_is_sent_again(void **state)
{
	struct world *t = make("");
	char text[512];
	bool is_eof;

	(void)state;
	connect_client(t);
	ask(t, "GET / HTTP/1.1\r\nHost: s\r\n\r\n");
	say(t->served, response);
	rounds(t);
	hear(t->client, text, sizeof text, &is_eof);
	assert_memory_equal(text, "HTTP/1.1 200", 12);
	say(t->client, post);
	run_turns(t);
	reset_and_close(&t->served);
	assert_true(io_round_write(t->w->round));
	rounds(t);
	assert_true(t->served >= 0);
	hear(t->served, text, sizeof text, &is_eof);
	assert_memory_equal(text, "POST / HTTP/1.1", 15);
	say(t->served, response);
	rounds(t);
	hear(t->client, text, sizeof text, &is_eof);
	assert_memory_equal(text, "HTTP/1.1 200", 12);
	end(&t);
}

/* Lose the write of the request's head on a new connection: the instance accepts it, and resets it
 * before that write is made. */
static void
lose_write_on_new(struct world *t, const struct conn *c)
{
	int i;

	for (i = 0; i < 100 && (c->x == NULL || c->x->call == NULL ||
				!io_is_deferred(&c->x->call->upstream->io));
	     i++)
		run_turns(t);
	assert_int_equal(c->x->state, XFER_EXCHANGE);
	assert_false(c->x->call->is_reused);
	t->served = accept4(t->listener, NULL, NULL, SOCK_NONBLOCK);
	assert_true(t->served >= 0);
	reset_and_close(&t->served);
	assert_true(io_round_write(t->w->round));
}

static void
a_head_that_does_not_go_on_a_new_connection_is_sent_again(void **state)
{
	struct world *t = make("");
	struct conn *c;
	char text[512];
	bool is_eof;

	(void)state;
	rounds(t);
	c = connect_client(t);
	say(t->client, post);
	lose_write_on_new(t, c);
	lose_write_on_new(t, c);
	rounds(t);
	assert_true(t->served >= 0);
	hear(t->served, text, sizeof text, &is_eof);
	assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
	assert_memory_equal(text, "POST / HTTP/1.1", 15);
	say(t->served, response);
	rounds(t);
	hear(t->client, text, sizeof text, &is_eof);
	assert_memory_equal(text, "HTTP/1.1 200", 12);
	end(&t);
}

static void
a_head_that_never_goes_is_refused(void **state)
{
	struct world *t = make("");
	struct conn *c;
	char text[512];
	bool is_eof;

	(void)state;
	rounds(t);
	c = connect_client(t);
	say(t->client, post);
	lose_write_on_new(t, c);
	lose_write_on_new(t, c);
	lose_write_on_new(t, c);
	rounds(t);
	assert_int_equal(t->served, -1);
	hear(t->client, text, sizeof text, &is_eof);
	assert_memory_equal(text, "HTTP/1.1 502", 12);
	end(&t);
}

static unsigned
deferred_writes(struct world *t)
{
	struct list_node *node, *tmp;
	unsigned n = 0;

	LIST_FOREACH(&t->w->upstreams, node, tmp)
		n += io_is_deferred(&container_of(node, struct upstream, node)->io);
	return n;
}

/* The ends of the client and of the instance of one request. */
struct pair {
	int client, served;
};

/* The request comes to the instance, on a connection that it has not accepted yet. */
static void
accept_one(struct world *t, struct pair *p, const char *method)
{
	char text[512];
	bool is_eof;

	rounds(t);
	p->served = t->served;
	t->served = -1;
	assert_true(p->served >= 0);
	hear(p->served, text, sizeof text, &is_eof);
	assert_memory_equal(text, method, strlen(method));
}

static void
answer_both(struct world *t, const struct pair v[2])
{
	char text[512];
	bool is_eof;
	int i;

	for (i = 0; i < 2; i++)
		say(v[i].served, response);
	rounds(t);
	for (i = 0; i < 2; i++) {
		hear(v[i].client, text, sizeof text, &is_eof);
		assert_memory_equal(text, "HTTP/1.1 200", 12);
	}
}

static void
two_heads_that_do_not_go_in_one_round_are_sent_again(void **state)
{
	struct world *t = make("");
	struct pair v[2];
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		connect_client(t);
		v[i].client = t->client;
		t->client = -1;
		say(v[i].client, "GET / HTTP/1.1\r\nHost: s\r\n\r\n");
		accept_one(t, &v[i], "GET");
	}
	answer_both(t, v);
	for (i = 0; i < 2; i++)
		say(v[i].client, post);
	run_turns(t);
	assert_int_equal(deferred_writes(t), 2);
	for (i = 0; i < 2; i++)
		reset_and_close(&v[i].served);
	assert_true(io_round_write(t->w->round));
	for (i = 0; i < 2; i++)
		accept_one(t, &v[i], "POST");
	answer_both(t, v);
	for (i = 0; i < 2; i++) {
		close(v[i].client);
		close(v[i].served);
	}
	end(&t);
}

/* As an instance with too many connections does: it answers in the event of the connect. */
static void
an_instance_may_answer_first(void **state)
{
	struct world *t = make("");
	char text[512];
	bool is_eof;

	(void)state;
	rounds(t);
	connect_client(t);
	say(t->client, "GET / HTTP/1.1\r\nHost: s\r\n\r\n");
	while (t->served < 0) {
		loop_once(t->w->loop, true);
		t->served = accept4(t->listener, NULL, NULL, SOCK_NONBLOCK);
	}
	say(t->served, response);
	rounds(t);
	hear(t->client, text, sizeof text, &is_eof);
	assert_memory_equal(text, "HTTP/1.1 200", 12);
	end(&t);
}

/* As at fs.epoll.max_user_watches: epoll does not take the descriptor of a regular file. */
static void
a_connection_that_cannot_be_watched_is_refused(void **state)
{
	struct world *t = make("");
	int fd = memfd_create("t_conn", MFD_CLOEXEC);

	(void)state;
	rounds(t);
	assert_int_equal(conn_open(t->w, fd, &t->inst_addr, false, t->conf.listeners), -1);
	assert_int_equal(t->w->conns.n, 0);
	assert_null(upstream_adopt(t->w, t->inst, t->rev->limits, fd));
	assert_int_equal(errno, EPERM);
	assert_int_equal(t->w->upstreams.n, 0);
	assert_int_equal(close(fd), -1); /* upstream_adopt() has closed it */
	end(&t);
}

static uint32_t
slots_taken(struct world *t)
{
	struct limiter_count n;

	limiter_count(t->rev, &n);
	return n.slots;
}

/* The client has left, which writing the response finds out; no time passes. */
static void
expect_slot_free(const char *head, size_t body_n, const char *rest, bool is_closed)
{
	struct world *t = make("activator { half_close = yes container_concurrency = 1 "
			       "abort_timeout = 10s }");
	char *text = padded(head, 'x', body_n, rest);

	connect_client(t);
	ask(t, "GET / HTTP/1.1\r\nHost: s\r\n\r\n");
	assert_int_equal(slots_taken(t), 1);
	close(t->client);
	t->client = -1;
	say(t->served, text);
	if (is_closed)
		shutdown(t->served, SHUT_WR);
	rounds(t);
	assert_int_equal(slots_taken(t), 0);
	free(text);
	end(&t);
}

static void
a_complete_response_frees_its_slot_if_the_client_is_gone(void **state)
{
	(void)state;
	expect_slot_free("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", 5000, "", false);
	expect_slot_free("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n", 4096,
			 "\r\n0\r\n\r\nnot a response", false);
	expect_slot_free("HTTP/1.0 200 OK\r\n\r\n", 5000, "", true);
	expect_slot_free("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n"
			 "Content-Length: 3\r\n\r\n",
			 3, "", false);
}

/* The body of the request breaks the syntax: the instance has the head, and may be at work. */
static void
a_broken_body_keeps_its_slot(void **state)
{
	struct world *t = make("activator { container_concurrency = 1 abort_timeout = 10s }");

	(void)state;
	connect_client(t);
	ask(t, "POST / HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n");
	say(t->client, "zz\r\n");
	rounds(t);
	assert_int_equal(slots_taken(t), 1);
	close(t->served);
	t->served = -1;
	rounds(t);
	assert_int_equal(slots_taken(t), 0);
	end(&t);
}

/* What the instance sends cannot be passed on, but it may be at work until it ends its side, or
 * abort_timeout is over. */
static void
expect_slot_kept(const char *first, const char *rest)
{
	struct world *t = make("activator { container_concurrency = 1 abort_timeout = 10s "
			       "response_timeout = 1h }");
	bool is_ending;

	for (is_ending = false;; is_ending = true) {
		connect_client(t);
		ask(t, "GET / HTTP/1.1\r\nHost: s\r\n\r\n");
		say(t->served, first);
		rounds(t);
		say(t->served, rest);
		rounds(t);
		say(t->served, "and more");
		rounds(t);
		assert_int_equal(slots_taken(t), 1);
		if (is_ending)
			close(t->served);
		else
			pass_time(t, 11 * CLK_S);
		rounds(t);
		assert_int_equal(slots_taken(t), 0);
		if (is_ending)
			break;
		close(t->served);
		close(t->client);
		t->served = -1;
		rounds(t);
	}
	t->served = -1;
	end(&t);
}

static void
an_unreadable_response_keeps_its_slot(void **state)
{
	(void)state;
	expect_slot_kept("nonsense\r\n\r\n", "of it");
	expect_slot_kept("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "body");
	expect_slot_kept("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "body");
	expect_slot_kept("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
			 "zz\r\n");
}

/* What follows a 101 is no response head: abort_timeout bounds it, not response_timeout. */
static void
a_tunnel_without_a_client_ends_at_abort_timeout(void **state)
{
	struct world *t = make("activator { half_close = yes container_concurrency = 1 "
			       "abort_timeout = 10s response_timeout = 1h }");

	(void)state;
	connect_client(t);
	ask(t, "GET / HTTP/1.1\r\nHost: s\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
	close(t->client);
	t->client = -1;
	say(t->served, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
		       "Upgrade: x\r\n\r\nbytes of the tunnel");
	rounds(t);
	assert_int_equal(slots_taken(t), 1);
	pass_time(t, 11 * CLK_S);
	rounds(t);
	assert_int_equal(slots_taken(t), 0);
	end(&t);
}

static struct world *
make_tunnel(const char *text)
{
	struct world *t = make(text);

	connect_client(t);
	ask(t, "GET / HTTP/1.1\r\nHost: s\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
	say(t->served, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
		       "Upgrade: x\r\n\r\n");
	rounds(t);
	return t;
}

static void
expect_end(int fd)
{
	char text[512];
	bool is_eof;

	hear(fd, text, sizeof text, &is_eof);
	assert_true(is_eof);
}

/* Both sides see a clean end; the instance may still be at work until it ends its side. */
static void
a_tunnel_that_times_out_keeps_its_slot(void **state)
{
	struct world *t = make_tunnel("activator { container_concurrency = 1 abort_timeout = 10s "
				      "tunnel_timeout = 60s }");

	(void)state;
	pass_time(t, 61 * CLK_S);
	rounds(t);
	expect_end(t->client);
	expect_end(t->served);
	say(t->served, "the last bytes");
	rounds(t);
	assert_int_equal(slots_taken(t), 1);
	close(t->served);
	t->served = -1;
	rounds(t);
	assert_int_equal(slots_taken(t), 0);
	end(&t);
}

static void
a_tunnel_that_timed_out_ends_at_abort_timeout(void **state)
{
	struct world *t = make_tunnel("activator { container_concurrency = 1 abort_timeout = 10s "
				      "tunnel_timeout = 60s }");

	(void)state;
	pass_time(t, 61 * CLK_S);
	rounds(t);
	pass_time(t, 9 * CLK_S);
	rounds(t);
	assert_int_equal(slots_taken(t), 1);
	pass_time(t, 2 * CLK_S);
	rounds(t);
	assert_int_equal(slots_taken(t), 0);
	assert_int_equal(t->w->busy_n, 0);
	end(&t);
}

/* Nothing is to be waited for: the instance has ended its side, or has no limit. */
static void
a_tunnel_that_times_out_frees_the_slot_of_an_instance_that_is_done(void **state)
{
	struct world *t = make_tunnel("activator { container_concurrency = 1 abort_timeout = 10s "
				      "tunnel_timeout = 60s }");

	(void)state;
	shutdown(t->served, SHUT_WR);
	rounds(t);
	assert_int_equal(slots_taken(t), 1);
	pass_time(t, 61 * CLK_S);
	rounds(t);
	assert_int_equal(slots_taken(t), 0);
	assert_int_equal(t->w->busy_n, 0);
	end(&t);
	t = make_tunnel("activator { tunnel_timeout = 60s }");
	pass_time(t, 61 * CLK_S);
	rounds(t);
	expect_end(t->served);
	assert_int_equal(t->w->busy_n, 0);
	end(&t);
}

/* The client has left, which writing to it finds out. */
static void
a_tunnel_to_a_client_that_is_gone_keeps_its_slot(void **state)
{
	struct world *t = make_tunnel(
		"activator { container_concurrency = 1 abort_timeout = 10s }");
	char text[512];
	bool is_eof;

	(void)state;
	hear(t->client, text, sizeof text, &is_eof); /* else its close would be a reset */
	close(t->client);
	t->client = -1;
	rounds(t);
	say(t->served, "bytes for the client");
	rounds(t);
	assert_int_equal(t->w->conns.n, 0);
	assert_int_equal(slots_taken(t), 1);
	close(t->served);
	t->served = -1;
	rounds(t);
	assert_int_equal(slots_taken(t), 0);
	end(&t);
}

/* Send until the peer, and all in between, take no more. */
static void
fill_up(struct world *t, int fd)
{
	static char many[65536];
	int quiet = 0;

	while (quiet < 3) {
		if (send(fd, many, sizeof many, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
			quiet = 0;
		else
			quiet++;
		rounds(t);
	}
}

static unsigned turns; /* of the socket whose ops are &counting */

static void
count_turn(struct io *io)
{
	turns++;
	conn_upstream_ops.on_ready(io);
}

static void
a_broken_write_is_not_tried_again(void **state)
{
	struct world *t = make("");
	struct conn *c = connect_over_tcp(t);
	struct io_ops counting = conn_upstream_ops;

	(void)state;
	ask(t, "POST / HTTP/1.1\r\nHost: s\r\nContent-Length: 1000000000\r\n\r\n");
	say(t->served, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
	fill_up(t, t->served);
	fill_up(t, t->client);
	assert_true(io_is_blocked(&c->io));
	assert_true(io_is_blocked(&c->x->call->upstream->io));
	reset_on_close(t->served);
	close(t->served);
	t->served = -1;
	rounds(t);
	assert_true(c->x->call->is_broken);
	counting.on_ready = count_turn;
	turns = 0;
	c->x->call->upstream->io.ops = &counting;
	rounds(t);
	assert_in_range(turns, 0, 1); /* nothing to do until the client reads */
	c->x->call->upstream->io.ops = &conn_upstream_ops;
	end(&t);
}

static uint64_t
counted(const _Atomic uint64_t *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

static void
all_bytes_of_bodies_and_tunnels_are_counted(void **state)
{
	struct world *t = make("");
	const struct shard *s = &t->rev->shards[0];

	(void)state;
	connect_client(t);
	ask(t, "POST / HTTP/1.1\r\nHost: s\r\nContent-Length: 10\r\n\r\n12345");
	say(t->client, "67890");
	rounds(t);
	assert_int_equal(counted(&s->bytes_in), 10);
	say(t->served, response);
	rounds(t);
	assert_int_equal(counted(&s->bytes_out), 5);
	say(t->client, "GET / HTTP/1.1\r\nHost: s\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
	rounds(t);
	say(t->served, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
		       "Upgrade: x\r\n\r\nabc");
	rounds(t);
	say(t->served, "de");
	say(t->client, "123456");
	rounds(t);
	assert_int_equal(counted(&s->bytes_out), 5 + 5);
	assert_int_equal(counted(&s->bytes_in), 10 + 6);
	end(&t);
}

static void
activation_timeout_runs_from_the_first_read(void **state)
{
	struct world *t = make_unrouted("activator { activation_timeout = 10s }");
	struct conn *c;

	(void)state;
	c = connect_client(t);
	say(t->client, "GET / HTTP/1.1\r\nHost: s\r\n\r\n");
	rounds(t);
	assert_int_equal(c->x->state, XFER_UNROUTED);
	at_ns += 7 * CLK_S;
	make_routes(t);
	rounds(t);
	assert_int_equal(c->x->state, XFER_EXCHANGE);
	assert_int_equal(c->x->start_ns, CLK_S);
	assert_int_equal(c->x->deadline_ns, 11 * CLK_S);
	end(&t);
}

/* The status that a client gets for a response head of n bytes, which comes in two parts,
 * the first of `first` bytes. */
static int
status_of_head(size_t n, size_t first)
{
	static const char begin[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ";
	struct world *t = make("activator { max_head = 2KiB }");
	char *head = padded(begin, 'x', n - strlen(begin) - 4, "\r\n\r\n"), text[4096];
	bool is_eof;
	int status;

	connect_client(t);
	ask(t, "GET / HTTP/1.1\r\nHost: s\r\n\r\n");
	assert_int_equal(send(t->served, head, first, MSG_NOSIGNAL), first);
	if (first < n) {
		rounds(t);
		/* It fails where the first part is too large already. */
		(void)!send(t->served, head + first, n - first, MSG_NOSIGNAL);
	}
	rounds(t);
	hear(t->client, text, sizeof text, &is_eof);
	assert_memory_equal(text, "HTTP/1.1 ", 9);
	status = (int)strtol(text + 9, NULL, 10);
	free(head);
	end(&t);
	return status;
}

static void
max_head_of_a_response_does_not_depend_on_segments(void **state)
{
	static const size_t firsts[] = {1, 1000, 2047, 2048};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(firsts); i++)
		assert_int_equal(status_of_head(2048, firsts[i]), 200);
	for (i = 0; i < ARRAY_LEN(firsts); i++)
		assert_int_equal(status_of_head(2049, firsts[i]), 502);
	assert_int_equal(status_of_head(2049, 2049), 502);
	assert_int_equal(status_of_head(3000, 3000), 502);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_end_waits_for_the_answer),
		cmocka_unit_test(an_upload_that_never_pauses_has_its_limit),
		cmocka_unit_test(a_response_comes_before_its_limit),
		cmocka_unit_test(a_client_that_does_not_read_is_cut_off),
		cmocka_unit_test(a_blocked_handshake_has_its_limit),
		cmocka_unit_test(an_answer_that_does_not_go_has_its_limit),
		cmocka_unit_test(a_limit_does_not_turn_the_clock_back),
		cmocka_unit_test(a_head_that_does_not_go_is_sent_again),
		cmocka_unit_test(a_head_that_does_not_go_on_a_new_connection_is_sent_again),
		cmocka_unit_test(a_head_that_never_goes_is_refused),
		cmocka_unit_test(two_heads_that_do_not_go_in_one_round_are_sent_again),
		cmocka_unit_test(an_instance_may_answer_first),
		cmocka_unit_test(a_connection_that_cannot_be_watched_is_refused),
		cmocka_unit_test(a_complete_response_frees_its_slot_if_the_client_is_gone),
		cmocka_unit_test(a_broken_body_keeps_its_slot),
		cmocka_unit_test(an_unreadable_response_keeps_its_slot),
		cmocka_unit_test(a_tunnel_without_a_client_ends_at_abort_timeout),
		cmocka_unit_test(a_tunnel_that_times_out_keeps_its_slot),
		cmocka_unit_test(a_tunnel_that_timed_out_ends_at_abort_timeout),
		cmocka_unit_test(
			a_tunnel_that_times_out_frees_the_slot_of_an_instance_that_is_done),
		cmocka_unit_test(a_tunnel_to_a_client_that_is_gone_keeps_its_slot),
		cmocka_unit_test(a_broken_write_is_not_tried_again),
		cmocka_unit_test(all_bytes_of_bodies_and_tunnels_are_counted),
		cmocka_unit_test(activation_timeout_runs_from_the_first_read),
		cmocka_unit_test(max_head_of_a_response_does_not_depend_on_segments),
	};

	signal(SIGPIPE, SIG_IGN);
	clk_replace(now);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
