/* handshakes - a client that makes TLS handshakes, one after the other on each of its
 * connections, and closes each connection when the server's tickets have come.
 *
 *   handshakes PORT check               what the two agree on
 *   handshakes PORT full SECONDS CONNS  each with a new session
 *   handshakes PORT resumed SECONDS CONNS
 *                                       each with the newest ticket of the server
 *
 * Prints one line that begins with RESULT, as JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 64
#define PATIENCE_MS 10000
#define STRAGGLER_MS 200 /* how long a further ticket may take */

struct conn {
	SSL *ssl;
	int fd;
	unsigned tickets;
};

static SSL_CTX *ctx;
static SSL_SESSION *newest;
static struct sockaddr_in server;
static int epoll_fd;
static unsigned tickets[2]; /* of a full handshake, and of one that is resumed */
static uint64_t done, resumed, failed;

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
die(const char *what)
{
	fprintf(stderr, "handshakes: %s: %s\n", what, strerror(errno));
	ERR_print_errors_fp(stderr);
	exit(1);
}

/* A ticket has come. */
static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	struct conn *c = SSL_get_app_data(ssl);

	c->tickets++;
	SSL_SESSION_free(newest);
	newest = session;
	return 1; /* keeps the reference */
}

static void
set_up(void)
{
	static const unsigned char protocol[] = "\x08http/1.1";

	ctx = SSL_CTX_new(TLS_client_method());
	if (ctx == NULL || SSL_CTX_set_alpn_protos(ctx, protocol, sizeof protocol - 1) != 0)
		die("cannot begin");
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
}

static int
open_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server) < 0)
		die("cannot connect");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return fd;
}

static void
begin(struct conn *c, bool is_resumed)
{
	c->fd = open_socket();
	c->tickets = 0;
	c->ssl = SSL_new(ctx);
	if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
		die("cannot begin");
	SSL_set_app_data(c->ssl, c);
	SSL_set_connect_state(c->ssl);
	if (is_resumed && newest != NULL)
		SSL_set_session(c->ssl, newest);
}

static void
end(struct conn *c)
{
	SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	ERR_clear_error();
	close(c->fd);
}

/* Go on until more has to come.  1: the handshake is over, and its tickets are there; 0: not yet;
 * -1: it has failed. */
static int
go_on(struct conn *c)
{
	char byte;
	int rc = SSL_do_handshake(c->ssl);

	if (rc == 1) {
		if (c->tickets >= tickets[SSL_session_reused(c->ssl)])
			return 1;
		rc = SSL_read(c->ssl, &byte, 1); /* reads the tickets */
		if (c->tickets >= tickets[SSL_session_reused(c->ssl)])
			return 1;
	}
	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return 0;
	default:
		return -1;
	}
}

/* --- check --- */

static void
wait_readable(const struct conn *c, int ms)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};

	poll(&p, 1, ms);
}

/* Make a handshake, and count the tickets that come by themselves, or with a response. */
static void
try(struct conn *c, bool is_resumed)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: b\r\n\r\n";
	double end_s = now_s() + PATIENCE_MS / 1e3;
	char buf[4096];
	int rc;

	begin(c, is_resumed);
	while ((rc = SSL_do_handshake(c->ssl)) != 1) {
		if (SSL_get_error(c->ssl, rc) != SSL_ERROR_WANT_READ || now_s() > end_s)
			die("the handshake has failed");
		wait_readable(c, PATIENCE_MS);
	}
	SSL_write(c->ssl, request, sizeof request - 1);
	while ((rc = SSL_read(c->ssl, buf, sizeof buf)) <= 0) {
		if (SSL_get_error(c->ssl, rc) != SSL_ERROR_WANT_READ || now_s() > end_s)
			die("there is no response");
		wait_readable(c, PATIENCE_MS);
	}
	wait_readable(c, STRAGGLER_MS);
	(void)SSL_read(c->ssl, buf, sizeof buf);
	tickets[SSL_session_reused(c->ssl)] = c->tickets;
}

static void
print_check(struct conn *full, struct conn *again)
{
	X509 *cert = SSL_get0_peer_certificate(full->ssl);
	unsigned char digest[EVP_MAX_MD_SIZE] = {0};
	unsigned n = 0;

	if (cert == NULL || X509_digest(cert, EVP_sha256(), digest, &n) != 1)
		die("there is no certificate");
	printf("RESULT {\"version\":\"%s\",\"cipher\":\"%s\",\"group\":\"%s\","
	       "\"certificate\":\"%02x%02x%02x%02x\",\"tickets\":%u,\"resumed\":%s,"
	       "\"resumed_tickets\":%u}\n",
	       SSL_get_version(full->ssl), SSL_get_cipher_name(full->ssl),
	       SSL_group_to_name(full->ssl, (int)SSL_get_negotiated_group(full->ssl)), digest[0],
	       digest[1], digest[2], digest[3], full->tickets,
	       SSL_session_reused(again->ssl) ? "true" : "false", again->tickets);
}

static void
check(void)
{
	struct conn full, again;

	try(&full, false);
	if (newest != NULL) {
		SSL_shutdown(full.ssl);
		try(&again, true);
	} else {
		again = full;
	}
	print_check(&full, &again);
}

/* --- load --- */

static void
watch(struct conn *c)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		die("epoll_ctl");
}

static void
start(struct conn *c, bool is_resumed)
{
	begin(c, is_resumed);
	(void)go_on(c); /* sends the ClientHello */
	watch(c);
}

static void
on_readable(struct conn *c, bool is_resumed, bool is_last)
{
	int rc = go_on(c);

	if (rc == 0)
		return;
	if (rc < 0) {
		failed++;
	} else {
		done++;
		resumed += SSL_session_reused(c->ssl) == 1;
	}
	end(c);
	c->ssl = NULL;
	if (!is_last)
		start(c, is_resumed);
}

static void
load(bool is_resumed, double seconds, size_t conns)
{
	struct conn *all = calloc(conns, sizeof *all);
	struct epoll_event events[EVENTS];
	double began, end_s;
	size_t i;

	epoll_fd = epoll_create1(0);
	if (all == NULL || epoll_fd < 0)
		die("cannot begin");
	began = now_s();
	end_s = began + seconds;
	for (i = 0; i < conns; i++)
		start(&all[i], is_resumed);
	while (now_s() < end_s) {
		int n = epoll_wait(epoll_fd, events, EVENTS, 100);

		while (n-- > 0)
			on_readable(events[n].data.ptr, is_resumed, false);
	}
	printf("RESULT {\"handshakes\":%llu,\"resumed\":%llu,\"failed\":%llu,\"us\":%.0f}\n",
	       (unsigned long long)done, (unsigned long long)resumed, (unsigned long long)failed,
	       (now_s() - began) * 1e6);
}

int
main(int argc, char **argv)
{
	bool is_check = argc == 3 && strcmp(argv[2], "check") == 0;
	bool is_resumed = argc == 5 && strcmp(argv[2], "resumed") == 0;

	if (!is_check && !is_resumed && (argc != 5 || strcmp(argv[2], "full") != 0)) {
		fprintf(stderr, "usage: handshakes PORT check | full|resumed SECONDS CONNS\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	server = (struct sockaddr_in){.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)atoi(argv[1])),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	set_up();
	check();
	if (!is_check)
		load(is_resumed, atof(argv[3]), (size_t)atoi(argv[4]));
	return 0;
}
