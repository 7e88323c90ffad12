/* accept: connections at a listener with the word proxy.  The client that the header names is the
 * client for all that follows.  A connection without a header, or from a peer that may not send
 * one, is not served.  Nothing is left of a connection that has ended. */
#include "test/unit/conn_world.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

#include "activator/accept.h"
#include "common/clk.h"

#define CONF "activator { listen = {\"127.0.0.1:1 proxy\"} trusted_proxies = {\"127.0.0.0/8\"} "
#define HEADER "PROXY TCP4 192.0.2.1 10.0.0.1 54321 80\r\n"
#define GET "GET / HTTP/1.1\r\nHost: s\r\n\r\n"

static const char v2_local[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/* A proxy at this address connects; its end. */
static int
connect_from(struct world *t, const char *ip)
{
	struct addr peer;
	int fds[2];

	assert_int_equal(addr_set(&peer, ip, 1, NULL), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	accept_ops.on_accept(fds[1], &peer, &t->conf.listeners[0], t->w);
	return fds[0];
}

static struct world *
make_connected(const char *more)
{
	char *conf = xasprintf(CONF "%s }", more);
	struct world *t = make(conf);

	free(conf);
	t->client = connect_from(t, "127.0.0.1");
	return t;
}

static uint64_t
counted(const struct world *t, enum accept_header h)
{
	return t->w->counters.proxy_headers[h];
}

/* The head that the instance receives, NUL-terminated. */
static const char *
received(struct world *t)
{
	static char head[4096];
	ssize_t n;

	rounds(t);
	assert_true(t->served >= 0);
	n = recv(t->served, head, sizeof head - 1, 0);
	assert_true(n > 0);
	head[n] = '\0';
	return head;
}

static void
expect_client(struct world *t, const char *address)
{
	assert_int_equal(t->w->proxied.n, 0);
	assert_int_equal(t->w->conns.n, 1);
	assert_string_equal(container_of(list_first(&t->w->conns), struct conn, node)->peer_text,
			    address);
	assert_int_equal(t->bounds.own->connections, 1);
	assert_int_equal(t->w->counters.connections, 1);
}

/* Closed without a byte of an answer, and nothing left of it. */
static void
expect_closed(struct world *t, enum accept_header why)
{
	char byte;
	ssize_t got;

	rounds(t);
	got = recv(t->client, &byte, 1, 0);
	assert_true(got == 0 || (got < 0 && errno == ECONNRESET));
	assert_int_equal(t->w->proxied.n, 0);
	assert_int_equal(t->w->conns.n, 0);
	assert_int_equal(t->bounds.own->connections, 0);
	assert_int_equal(t->w->counters.connections, 0);
	assert_int_equal(counted(t, why), 1);
}

/* --- with a header --- */

static void
header_and_request_in_one_segment(void **state)
{
	struct world *t = make_connected("");
	const char *head;

	(void)state;
	rounds(t);
	assert_int_equal(t->w->proxied.n, 1);
	assert_int_equal(t->bounds.own->connections, 1);
	say(t->client, HEADER GET);
	head = received(t);
	expect_client(t, "192.0.2.1");
	assert_non_null(strstr(head, "X-Forwarded-For: 192.0.2.1\r\n"));
	assert_non_null(strstr(head, "for=192.0.2.1;"));
	assert_null(strstr(head, "PROXY"));
	assert_int_equal(counted(t, ACCEPT_HEADER_CLIENT), 1);
	end(&t);
}

static void
byte_by_byte(void **state)
{
	struct world *t = make_connected("");
	const char *bytes = HEADER GET;

	(void)state;
	for (; bytes[1] != '\0'; bytes++) {
		assert_int_equal(send(t->client, bytes, 1, 0), 1);
		rounds(t);
	}
	assert_int_equal(send(t->client, bytes, 1, 0), 1);
	assert_non_null(strstr(received(t), "X-Forwarded-For: 192.0.2.1\r\n"));
	expect_client(t, "192.0.2.1");
	end(&t);
}

/* The header is there when the connection is accepted. */
static void
a_header_that_is_early(void **state)
{
	struct world *t = make(CONF "}");
	struct addr peer;
	int fds[2];

	(void)state;
	assert_int_equal(addr_set(&peer, "127.0.0.1", 1, NULL), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	t->client = fds[0];
	say(t->client, HEADER);
	accept_ops.on_accept(fds[1], &peer, &t->conf.listeners[0], t->w);
	expect_client(t, "192.0.2.1");
	say(t->client, GET);
	assert_non_null(strstr(received(t), "X-Forwarded-For: 192.0.2.1\r\n"));
	end(&t);
}

static void
a_proxy_that_speaks_for_itself(void **state)
{
	struct world *t = make_connected("");

	(void)state;
	assert_int_equal(send(t->client, v2_local, sizeof v2_local - 1, 0), sizeof v2_local - 1);
	say(t->client, "GET / HTTP/1.1\r\nHost: s\r\nX-Forwarded-For: 203.0.113.5\r\n\r\n");
	assert_non_null(strstr(received(t), "X-Forwarded-For: 203.0.113.5, 127.0.0.1\r\n"));
	expect_client(t, "127.0.0.1");
	assert_int_equal(counted(t, ACCEPT_HEADER_LOCAL), 1);
	end(&t);
}

/* A client that the proxy cannot name is not believed as the proxy itself would be. */
static void
a_client_without_a_name(void **state)
{
	struct world *t = make_connected("");
	const char *head;

	(void)state;
	say(t->client, "PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nHost: s\r\n"
		       "X-Forwarded-For: 203.0.113.5\r\n\r\n");
	head = received(t);
	assert_null(strstr(head, "X-Forwarded-For"));
	assert_non_null(strstr(head, "for=unknown;"));
	expect_client(t, "unknown");
	assert_int_equal(counted(t, ACCEPT_HEADER_ANONYMOUS), 1);
	end(&t);
}

static void
the_limit_is_that_of_the_client(void **state)
{
	struct world *t = make_connected("connections_per_client = 1");
	int other = connect_from(t, "127.0.0.1"), third = connect_from(t, "127.0.0.1");
	char text[512];
	bool is_eof;

	(void)state;
	say(t->client, HEADER);
	say(other, "PROXY TCP4 192.0.2.2 10.0.0.1 54321 80\r\n");
	rounds(t);
	assert_int_equal(t->w->conns.n, 2);
	say(third, HEADER);
	rounds(t);
	assert_int_equal(t->w->conns.n, 2);
	hear(third, text, sizeof text, &is_eof);
	assert_memory_equal(text, "HTTP/1.1 503", 12);
	assert_true(is_eof);
	assert_int_equal(t->bounds.own->connections, 2);
	close(other);
	close(third);
	rounds(t);
	end(&t);
}

/* --- without --- */

static void
a_peer_that_is_not_trusted(void **state)
{
	struct world *t = make(CONF "}");

	(void)state;
	t->client = connect_from(t, "192.0.2.9");
	expect_closed(t, ACCEPT_HEADER_UNTRUSTED);
	end(&t);
}

static void
other_bytes(void **state)
{
	static const struct {
		const char *bytes;
		enum accept_header why;
	} rows[] = {
		{GET, ACCEPT_HEADER_ABSENT},
		{"PROXY TCP4 192.0.2.1\r\n" GET, ACCEPT_HEADER_MALFORMED},
		{"\r\n\r\n", ACCEPT_HEADER_ENDED},
		{"PROXY TCP4 192.0.2.1 ", ACCEPT_HEADER_ENDED},
		{"", ACCEPT_HEADER_ENDED},
	};
	char *long_line = padded("PROXY UNKNOWN ", 'x', 100, "\r\n");
	struct world *t;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		t = make_connected("");
		say(t->client, rows[i].bytes);
		rounds(t);
		shutdown(t->client, SHUT_WR);
		expect_closed(t, rows[i].why);
		end(&t);
	}
	t = make_connected("");
	say(t->client, long_line);
	expect_closed(t, ACCEPT_HEADER_TOO_LONG);
	end(&t);
	free(long_line);
}

static void
a_header_that_does_not_come_in_time(void **state)
{
	struct world *t = make_connected("head_timeout = 2s");

	(void)state;
	say(t->client, "PROXY TCP4 ");
	rounds(t);
	pass_time(t, CLK_S);
	say(t->client, "192.0.2.1 ");
	rounds(t);
	assert_int_equal(t->w->proxied.n, 1);
	pass_time(t, CLK_S + CLK_S / 10);
	expect_closed(t, ACCEPT_HEADER_TIMEOUT);
	end(&t);
}

/* --- at the end --- */

static void
a_drain(void **state)
{
	struct world *t = make_connected("");
	int silent = connect_from(t, "127.0.0.1"), begun = connect_from(t, "127.0.0.1");
	char byte;

	(void)state;
	rounds(t);
	say(begun, "PROXY TCP4 ");
	rounds(t);
	say(t->client, HEADER GET); /* in the socket when the drain begins */
	worker_post_drain(t->w);
	assert_non_null(strstr(received(t), "X-Forwarded-For: 192.0.2.1\r\n"));
	assert_int_equal(recv(silent, &byte, 1, 0), 0);
	assert_int_equal(t->w->proxied.n, 1);
	say(begun, "192.0.2.1 10.0.0.1 54321 80\r\n");
	rounds(t);
	assert_int_equal(t->w->proxied.n, 0);
	assert_int_equal(t->w->conns.n, 2);
	close(silent);
	close(begun);
	end(&t);
}

static void
the_end_of_a_drain(void **state)
{
	struct world *t = make_connected("");

	(void)state;
	say(t->client, "PROXY TCP4 ");
	rounds(t);
	worker_post_drain(t->w);
	rounds(t);
	assert_int_equal(t->w->proxied.n, 1);
	worker_post_end(t->w);
	expect_closed(t, ACCEPT_HEADER_ENDED);
	end(&t);
}

static void
a_worker_that_is_freed(void **state)
{
	struct world *t = make_connected("");

	(void)state;
	say(t->client, "PROXY TCP4 ");
	rounds(t);
	assert_int_equal(t->w->proxied.n, 1);
	end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_and_request_in_one_segment),
		cmocka_unit_test(byte_by_byte),
		cmocka_unit_test(a_header_that_is_early),
		cmocka_unit_test(a_proxy_that_speaks_for_itself),
		cmocka_unit_test(a_client_without_a_name),
		cmocka_unit_test(the_limit_is_that_of_the_client),
		cmocka_unit_test(a_peer_that_is_not_trusted),
		cmocka_unit_test(other_bytes),
		cmocka_unit_test(a_header_that_does_not_come_in_time),
		cmocka_unit_test(a_drain),
		cmocka_unit_test(the_end_of_a_drain),
		cmocka_unit_test(a_worker_that_is_freed),
	};

	signal(SIGPIPE, SIG_IGN);
	clk_replace(now);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
