/* witness - an instance for the chaos suite: a blocking HTTP/1.1 server, one thread a connection,
 * that writes down each request when it comes and when it ends.
 *
 *   witness FOLDER SERVICE LIMIT [STARTUP_MS]
 *
 * It listens at $PORT of 127.0.0.1, after STARTUP_MS.  FOLDER gets a journal, PID-TIME.journal.
 * Each line is written at once, by one write(2), so that it outlives SIGKILL.  Times are of
 * CLOCK_MONOTONIC, in ns:
 *   L TIME SERVICE       it listens
 *   B TIME ID METHOD     the head of a request has come
 *   W TIME ID            the first byte of its response follows
 *   E TIME ID HOW        its response is written (ok), or it has ended in another way
 *   O TIME N OPEN ID…    more requests than LIMIT at once: N, of which OPEN have a peer that has
 *                        not closed its side; those that the peer has reset do not count.
 *                        LIMIT 0: there is none
 *   C TIME N             more connections than LIMIT at once, without those that the peer closed
 *
 * The id of a request is its field x-id.  Its path says what becomes of it:
 *   /ok?ms=N      the id, after N ms            /long?n=N&ms=M  N pieces of a chunked body, M ms
 * apart /up           the size and the FNV-1a hash of the body /tunnel       101, then an echo
 * /exit      the process ends, without a response /reset        a reset, /close an end, /stall
 * nothing at all, in place of a response /short        half a body of known length, then an end
 *   /cut          half a chunked body, then a reset
 *   /garbage      no HTTP                       /deaf?ms=N      the id; no connection is accepted
 * for N ms      /busy?ms=N      the id, after N ms, even if the peer has gone
 *
 * When the peer of a request has closed its side, the request ends within GONE_MS.  So the slots
 * of an activator that was killed are really free when abort_timeout is over. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNS_MAX 4096
#define HEAD_MAX 16384
#define GONE_MS 50
#define PIECE 1024

struct conn {
	int fd;
	char in[HEAD_MAX + 1];
	size_t at, n; /* in[at..n) was received and is not used yet */
	/* the request */
	bool is_active, has_written;
	char id[64], method[16], path[256];
	bool is_chunked, is_persistent;
	uint64_t length, body_n, hash;
};

static struct conn *conns[CONNS_MAX];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of conns, and what is_active */
static int journal_fd, listen_fd, limit, port;
static const char *service;

static int64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static void
sleep_ms(int64_t ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

__attribute__((format(printf, 2, 3))) static void
note(char what, const char *fmt, ...)
{
	char line[4096];
	int n = snprintf(line, sizeof line, "%c %lld ", what, (long long)now_ns());
	va_list args;

	va_start(args, fmt);
	n += vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, args);
	va_end(args);
	if (n > (int)sizeof line - 2)
		n = (int)sizeof line - 2;
	line[n++] = '\n';
	if (write(journal_fd, line, (size_t)n) != n)
		_exit(71);
}

/* --- what is under way --- */

static int
state_of(int fd)
{
	struct tcp_info info = {0};
	socklen_t n = sizeof info;

	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n);
	return info.tcpi_state;
}

/* A connection of a peer with a limit of its own is opened after another one was closed. */
static void
count_connections(void)
{
	int i, n = 0;

	for (i = 0; i < CONNS_MAX; i++)
		n += conns[i] != NULL;
	for (i = 0; i < CONNS_MAX && n > limit; i++)
		n -= conns[i] != NULL && state_of(conns[i]->fd) != TCP_ESTABLISHED;
	if (limit > 0 && n > limit)
		note('C', "%d", n);
}

static bool
join(struct conn *c)
{
	int i;

	pthread_mutex_lock(&mutex);
	for (i = 0; i < CONNS_MAX && conns[i] != NULL; i++)
		;
	if (i < CONNS_MAX) {
		conns[i] = c;
		count_connections();
	}
	pthread_mutex_unlock(&mutex);
	return i < CONNS_MAX;
}

/* Closes it, too: no other connection may get its descriptor while it is in the list. */
static void
leave(struct conn *c)
{
	int i;

	pthread_mutex_lock(&mutex);
	for (i = 0; i < CONNS_MAX; i++)
		if (conns[i] == c)
			conns[i] = NULL;
	close(c->fd);
	pthread_mutex_unlock(&mutex);
}

static void
begin(struct conn *c)
{
	char ids[2048];
	int i, state, n = 0, open_n = 0;
	size_t len = 0;

	pthread_mutex_lock(&mutex);
	c->is_active = true;
	c->has_written = false;
	note('B', "%s %s", c->id, c->method);
	for (i = 0; i < CONNS_MAX; i++) {
		if (conns[i] == NULL || !conns[i]->is_active)
			continue;
		state = state_of(conns[i]->fd);
		n += state != TCP_CLOSE;
		open_n += state == TCP_ESTABLISHED;
		if (len < sizeof ids - 128)
			len += (size_t)snprintf(ids + len, sizeof ids - len, " %s", conns[i]->id);
	}
	if (limit > 0 && n > limit)
		note('O', "%d %d%s", n, open_n, ids);
	pthread_mutex_unlock(&mutex);
}

/* To be called before the last byte of a response: the peer may send its next request at once. */
static void
rest(struct conn *c)
{
	pthread_mutex_lock(&mutex);
	c->is_active = false;
	pthread_mutex_unlock(&mutex);
}

static void
end(struct conn *c, const char *how)
{
	rest(c);
	note('E', "%s %s", c->id, how);
}

/* --- reading --- */

static bool
more(struct conn *c)
{
	ssize_t n;

	if (c->at > 0) {
		memmove(c->in, c->in + c->at, c->n - c->at);
		c->n -= c->at;
		c->at = 0;
	}
	if (c->n == HEAD_MAX)
		return false;
	n = recv(c->fd, c->in + c->n, HEAD_MAX - c->n, 0);
	if (n <= 0)
		return false;
	c->n += (size_t)n;
	c->in[c->n] = '\0';
	return true;
}

/* Copy the next n bytes of the body into its hash. */
static bool
take(struct conn *c, uint64_t n)
{
	while (n > 0) {
		if (c->at == c->n && !more(c))
			return false;
		for (; n > 0 && c->at < c->n; n--, c->body_n++)
			c->hash = (c->hash ^ (unsigned char)c->in[c->at++]) *
				  UINT64_C(1099511628211);
	}
	return true;
}

/* The next line, without its CRLF; NULL: the connection has ended. */
static char *
line_of(struct conn *c)
{
	for (;;) {
		char *start = c->in + c->at, *lf = memchr(start, '\n', c->n - c->at);

		if (lf != NULL) {
			c->at = (size_t)(lf - c->in) + 1;
			*lf = '\0';
			if (lf > start && lf[-1] == '\r')
				lf[-1] = '\0';
			return start;
		}
		if (!more(c))
			return NULL;
	}
}

static void
take_field(struct conn *c, char *line)
{
	char *value = strchr(line, ':');

	if (value == NULL)
		return;
	*value++ = '\0';
	value += strspn(value, " ");
	if (strcasecmp(line, "x-id") == 0)
		snprintf(c->id, sizeof c->id, "%s", value);
	else if (strcasecmp(line, "content-length") == 0)
		c->length = strtoull(value, NULL, 10);
	else if (strcasecmp(line, "transfer-encoding") == 0)
		c->is_chunked = true;
	else if (strcasecmp(line, "connection") == 0 && strcasestr(value, "close") != NULL)
		c->is_persistent = false;
}

static bool
read_head(struct conn *c)
{
	char *line = line_of(c);

	if (line == NULL || sscanf(line, "%15s %255s", c->method, c->path) != 2)
		return false;
	snprintf(c->id, sizeof c->id, "none");
	c->is_chunked = false;
	c->is_persistent = true;
	c->length = c->body_n = 0;
	c->hash = UINT64_C(14695981039346656037);
	while ((line = line_of(c)) != NULL && *line != '\0')
		take_field(c, line);
	return line != NULL;
}

static bool
read_body(struct conn *c)
{
	char *line;

	if (!c->is_chunked)
		return take(c, c->length);
	while ((line = line_of(c)) != NULL) {
		uint64_t n = strtoull(line, NULL, 16);

		if (n == 0) {
			while ((line = line_of(c)) != NULL && *line != '\0')
				;
			return line != NULL;
		}
		if (!take(c, n) || (line = line_of(c)) == NULL || *line != '\0')
			return false;
	}
	return false;
}

/* --- answering --- */

static bool
put(struct conn *c, const char *data, size_t n)
{
	if (!c->has_written)
		note('W', "%s", c->id);
	c->has_written = true;
	while (n > 0) {
		ssize_t done = send(c->fd, data, n, MSG_NOSIGNAL);

		if (done <= 0)
			return false;
		data += done;
		n -= (size_t)done;
	}
	return true;
}

static bool
answer(struct conn *c, const char *body)
{
	char text[512];
	int n = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n%s\r\n%s",
			 strlen(body), c->is_persistent ? "" : "Connection: close\r\n", body);

	rest(c);
	return put(c, text, (size_t)n);
}

static void
reset(const struct conn *c)
{
	struct linger l = {.l_onoff = 1};

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
}

static long
number(const struct conn *c, const char *name)
{
	const char *at = strstr(c->path, name);

	return at == NULL ? 0 : strtol(at + strlen(name), NULL, 10);
}

/* Work for so long; -1: until the peer has gone.  False: it has. */
static bool
work(const struct conn *c, int64_t ms)
{
	struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};
	int64_t until = now_ns() + ms * 1000000;

	while (ms < 0 || now_ns() < until) {
		int64_t left = (until - now_ns()) / 1000000 + 1;

		if (poll(&p, 1, ms < 0 ? -1 : (int)left) <= 0)
			continue;
		left = ms < 0 ? 0 : (until - now_ns()) / 1000000;
		sleep_ms(left < 0 ? 0 : left < GONE_MS ? left : GONE_MS);
		return false;
	}
	return true;
}

static const char *
answer_long(struct conn *c, bool is_cut)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
	long i, n = number(c, "n="), ms = number(c, "ms=");
	char piece[PIECE + 16];

	if (!put(c, head, sizeof head - 1))
		return "gone";
	for (i = 0; i < n; i++) {
		int at = snprintf(piece, sizeof piece, "%x\r\n%s %ld ", PIECE, c->id, i);
		int start = (int)(strchr(piece, '\n') - piece) + 1;

		memset(piece + at, '.', (size_t)(start + PIECE - at));
		memcpy(piece + start + PIECE, "\r\n", 2);
		if (!put(c, piece, (size_t)(start + PIECE + 2)))
			return "gone";
		if (is_cut && i >= n / 2) {
			reset(c);
			return "cut";
		}
		if (!work(c, ms))
			return "gone";
	}
	rest(c);
	return put(c, "0\r\n\r\n", 5) ? "ok" : "gone";
}

static const char *
tunnel(struct conn *c)
{
	static const char head[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
				   "Upgrade: echo\r\n\r\n";

	if (!put(c, head, sizeof head - 1))
		return "gone";
	do {
		if (c->at < c->n && !put(c, c->in + c->at, c->n - c->at))
			return "gone";
		c->at = c->n;
	} while (more(c));
	return "ok";
}

static void
go_deaf(long ms)
{
	static _Atomic bool is_deaf;

	if (is_deaf)
		return;
	is_deaf = true;
	/* A shut listener refuses connections.  listen(2) makes it listen again. */
	shutdown(listen_fd, SHUT_RD);
	sleep_ms(ms);
	listen(listen_fd, 1024);
	is_deaf = false;
}

/* How the request has ended.  "ok": the connection may go on, if it is persistent. */
static const char *
respond(struct conn *c)
{
	char text[256];

	if (strncmp(c->path, "/long", 5) == 0)
		return answer_long(c, false);
	if (strncmp(c->path, "/cut", 4) == 0)
		return answer_long(c, true);
	if (strncmp(c->path, "/tunnel", 7) == 0)
		return tunnel(c);
	if (strncmp(c->path, "/up", 3) == 0) {
		snprintf(text, sizeof text, "%s %llu %016llx\n", c->id,
			 (unsigned long long)c->body_n, (unsigned long long)c->hash);
		return answer(c, text) ? "ok" : "gone";
	}
	if (strncmp(c->path, "/reset", 6) == 0) {
		reset(c);
		return "reset";
	}
	if (strncmp(c->path, "/close", 6) == 0)
		return "close";
	if (strncmp(c->path, "/exit", 5) == 0) {
		note('E', "%s exit", c->id);
		_exit(1);
	}
	if (strncmp(c->path, "/stall", 6) == 0) {
		(void)work(c, -1);
		return "stall";
	}
	if (strncmp(c->path, "/garbage", 8) == 0)
		return put(c, "what is this\r\n\r\n", 16) ? "garbage" : "gone";
	if (strncmp(c->path, "/short", 6) == 0)
		return put(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", 43) ? "short"
											: "gone";
	if (strncmp(c->path, "/busy", 5) == 0)
		sleep_ms(number(c, "ms="));
	else
		(void)work(c, number(c, "ms="));
	snprintf(text, sizeof text, "%s\n", c->id);
	if (!answer(c, text))
		return "gone";
	if (strncmp(c->path, "/deaf", 5) == 0)
		go_deaf(number(c, "ms="));
	return "ok";
}

static void *
serve(void *arg)
{
	struct conn *c = arg;
	const char *how = "ok";

	while (strcmp(how, "ok") == 0 && read_head(c)) {
		begin(c);
		how = read_body(c) ? respond(c) : "gone";
		end(c, how);
		if (!c->is_persistent || strncmp(c->path, "/tunnel", 7) == 0)
			break;
	}
	leave(c);
	free(c);
	return NULL;
}

/* --- life --- */

static void
listen_at_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	const char *id = getenv("ACTIVATOR_INSTANCE");
	int on = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(listen_fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(listen_fd, 1024) < 0) {
		perror("witness: cannot listen");
		exit(1);
	}
	note('L', "%s %s", service, id == NULL ? "-" : id);
}

static void
accept_one(void)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC), on = 1;
	struct conn *c;
	pthread_attr_t attr;
	pthread_t thread;

	if (fd < 0) {
		sleep_ms(1); /* it is deaf */
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	c = calloc(1, sizeof *c);
	if (c == NULL)
		exit(70);
	c->fd = fd;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 128 << 10);
	if (!join(c) || pthread_create(&thread, &attr, serve, c) != 0)
		exit(70);
	pthread_attr_destroy(&attr);
}

int
main(int argc, char **argv)
{
	char path[512];

	if (argc < 4 || getenv("PORT") == NULL) {
		fprintf(stderr, "usage: PORT=N witness FOLDER SERVICE LIMIT [STARTUP_MS]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	service = argv[2];
	limit = (int)strtol(argv[3], NULL, 10);
	port = (int)strtol(getenv("PORT"), NULL, 10);
	snprintf(path, sizeof path, "%s/%d-%lld.journal", argv[1], (int)getpid(),
		 (long long)now_ns());
	journal_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (journal_fd < 0) {
		perror("witness: cannot open its journal");
		return 1;
	}
	if (argc > 4)
		sleep_ms(strtol(argv[4], NULL, 10));
	listen_at_port();
	for (;;)
		accept_one();
}
