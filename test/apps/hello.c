/* hello - the sample app: a small HTTP/1.1 server on epoll that starts, answers and fails as
 * its options and requests say.
 *
 *   hello [--address A] [--port N] [--startup TIME] [--response TIME] [--knee N]
 *         [--break-at N] [--exit CODE] [--never-listen] [--ignore-term] [--busy SECONDS]
 *         [--warmup TIME] [--status CODE]
 *
 * Address: --address, or $ADDRESS (IPv4 or IPv6), or 127.0.0.1.
 * Port: --port, or $PORT.  TIME: 500ms, 2s.  --startup: before it listens; --response:
 * before it answers (?ms=N in a request overrides it; with ?until=FILE it answers once that
 * file exists).  --knee N: above N requests at once the response time grows with their number.
 * --break-at N: above N at once it resets connections.  --warmup: for this time after it
 * listens, /ready answers 503.  --status: of each answer to /; 0: end the
 * connection in its place.
 * Paths:  /  hello            /stats      its counts, as JSON (/count: and is counted itself)
 *         /bytes/N            N bytes     /echo  the request's body
 *         /sha                the size of the request's body, and its FNV-1a hash
 *         /log                the x-id fields in the order of arrival
 *         /gaps               microseconds without a request, from each end to the next begin, as
 *                             JSON; the list is empty afterwards
 *         /close  /reset      end the connection, with or without an answer
 *         /status/CODE        an answer with this status
 *         /exit/CODE          end the program
 * Bodies of requests: Content-Length and chunked. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 65536
#define FILE_POLL_MS 10
#define FEW 64 /* connections of which it is worth asking whether they are open */
#define LOG_MAX ((size_t)4 << 20)
#define GAPS_MAX ((size_t)1 << 20)

struct conn {
	int fd;
	char *in;
	size_t in_n, in_cap;
	char *out;
	size_t out_at, out_n;
	bool is_closing, is_waiting; /* is_waiting: its response is due at due_ms */
	int64_t due_ms;
	struct conn *next_due;
	struct conn *next, **back; /* in the list of all */
	/* the request whose body is being read */
	bool has_head, is_chunked, is_persistent, is_head;
	size_t head_n;
	uint64_t body_left, body_n, hash;
	int chunk_state; /* 0 size line, 1 data, 2 CRLF after it, 3 trailers */
	int status;	 /* of the response */
	char path[2048], id[64];
	const char *until; /* the file of ?until=, within path; NULL: none */
	char *body;
	size_t body_cap;
};

static struct {
	int port;
	int64_t startup_ms, response_ms, warmup_ms;
	long knee, break_at, busy_s;
	int status;
	const char *address;
} conf = {.busy_s = -1, .status = 200};

static struct {
	uint64_t requests, connections, resets;
	long active, active_most, connections_now, connections_most;
	int64_t listen_ns, first_byte_ns, first_request_ns;
} stats;
static struct {
	int64_t since_ns; /* no request since then; 0: there is one, or there was none yet */
	uint32_t *us;
	size_t n;
} gaps;
static char *seen_ids;
static size_t seen_n;
static struct conn *due; /* sorted by due_ms */
static struct conn *all;
static int ep;

static int64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static int64_t
now_ms(void)
{
	return now_ns() / 1000000;
}

static void *
grow(void *p, size_t n)
{
	p = realloc(p, n);
	if (p == NULL)
		exit(70);
	return p;
}

static void
request_begins(void)
{
	if (gaps.since_ns > 0 && gaps.n < GAPS_MAX) {
		if (gaps.us == NULL)
			gaps.us = grow(NULL, GAPS_MAX * sizeof *gaps.us);
		gaps.us[gaps.n++] = (uint32_t)((now_ns() - gaps.since_ns) / 1000);
	}
	gaps.since_ns = 0;
	stats.active++;
	if (stats.active > stats.active_most)
		stats.active_most = stats.active;
}

static void
request_ends(void)
{
	stats.active--;
	if (stats.active == 0)
		gaps.since_ns = now_ns();
}

static void
conn_close(struct conn *c, bool with_reset)
{
	struct linger l = {.l_onoff = 1};
	struct conn **at;

	if (with_reset)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
	for (at = &due; *at != NULL; at = &(*at)->next_due)
		if (*at == c) {
			*at = c->next_due;
			break;
		}
	if (c->is_waiting)
		request_ends();
	close(c->fd);
	stats.connections_now--;
	*c->back = c->next;
	if (c->next != NULL)
		c->next->back = c->back;
	free(c->in);
	free(c->out);
	free(c->body);
	free(c);
}

static void
put(struct conn *c, const char *data, size_t n)
{
	c->out = grow(c->out, c->out_at + c->out_n + n);
	memcpy(c->out + c->out_at + c->out_n, data, n);
	c->out_n += n;
}

/* 0, or -1: the connection is gone. */
static int
flush(struct conn *c)
{
	while (c->out_n > 0) {
		ssize_t n = send(c->fd, c->out + c->out_at, c->out_n, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		c->out_at += (size_t)n;
		c->out_n -= (size_t)n;
	}
	free(c->out);
	c->out = NULL;
	c->out_at = 0;
	return c->is_closing ? -1 : 0;
}

static void
answer(struct conn *c, const char *type, const char *body, size_t n)
{
	char head[512], busy[64] = "";
	int head_n;

	if (conf.busy_s >= 0)
		snprintf(busy, sizeof busy, "X-Activator-Busy: %ld\r\n", conf.busy_s);
	head_n = snprintf(head, sizeof head,
			  "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s%s\r\n",
			  c->status, c->status == 200 ? "OK" : "Other", type, n, busy,
			  c->is_persistent ? "" : "Connection: close\r\n");
	put(c, head, (size_t)head_n);
	if (!c->is_head)
		put(c, body, n);
	c->is_closing |= !c->is_persistent;
}

static void
answer_bytes(struct conn *c, size_t n)
{
	char *body = grow(NULL, n + 1);
	size_t i;

	for (i = 0; i < n; i++)
		body[i] = (char)('a' + i % 26);
	answer(c, "application/octet-stream", body, n);
	free(body);
}

static void
answer_stats(struct conn *c)
{
	char body[1024];
	int n = snprintf(body, sizeof body,
			 "{\"requests\":%llu,\"connections\":%llu,\"resets\":%llu,\"active\":%ld,"
			 "\"active_most\":%ld,\"connections_now\":%ld,\"connections_most\":%ld,"
			 "\"listen_ns\":%lld,\"first_byte_ns\":%lld,\"first_request_ns\":%lld,"
			 "\"pid\":%ld}\n",
			 (unsigned long long)stats.requests, (unsigned long long)stats.connections,
			 (unsigned long long)stats.resets, stats.active, stats.active_most,
			 stats.connections_now, stats.connections_most, (long long)stats.listen_ns,
			 (long long)stats.first_byte_ns, (long long)stats.first_request_ns,
			 (long)getpid());

	answer(c, "application/json", body, (size_t)n);
}

static void
answer_gaps(struct conn *c)
{
	char *body = grow(NULL, gaps.n * 12 + 3);
	size_t i, n = 1;

	body[0] = '[';
	for (i = 0; i < gaps.n; i++)
		n += (size_t)sprintf(body + n, "%s%u", i == 0 ? "" : ",", gaps.us[i]);
	body[n++] = ']';
	gaps.n = 0;
	answer(c, "application/json", body, n);
	free(body);
}

static void
answer_ready(struct conn *c)
{
	static const char unready[] = "HTTP/1.1 503 Service Unavailable\r\n"
				      "Connection: close\r\nContent-Length: 0\r\n\r\n";

	if (now_ns() - stats.listen_ns >= conf.warmup_ms * 1000000) {
		answer(c, "text/plain", "ready\n", 6);
		return;
	}
	put(c, unready, sizeof unready - 1);
	c->is_closing = true;
}

/* -1: close the connection. */
static int
respond(struct conn *c)
{
	char text[128];

	c->status = 200;
	if (strncmp(c->path, "/bytes/", 7) == 0) {
		answer_bytes(c, strtoul(c->path + 7, NULL, 10));
	} else if (strcmp(c->path, "/echo") == 0) {
		answer(c, "application/octet-stream", c->body == NULL ? "" : c->body, c->body_n);
	} else if (strcmp(c->path, "/sha") == 0) {
		snprintf(text, sizeof text, "%llu %016llx\n", (unsigned long long)c->body_n,
			 (unsigned long long)c->hash);
		answer(c, "text/plain", text, strlen(text));
	} else if (strcmp(c->path, "/stats") == 0 || strcmp(c->path, "/count") == 0) {
		answer_stats(c);
	} else if (strcmp(c->path, "/log") == 0) {
		answer(c, "text/plain", seen_ids == NULL ? "" : seen_ids, seen_n);
	} else if (strcmp(c->path, "/gaps") == 0) {
		answer_gaps(c);
	} else if (strcmp(c->path, "/ready") == 0) {
		answer_ready(c);
	} else if (strcmp(c->path, "/close") == 0) {
		return -1;
	} else if (strncmp(c->path, "/exit/", 6) == 0) {
		exit((int)strtol(c->path + 6, NULL, 10));
	} else {
		c->status = strncmp(c->path, "/status/", 8) == 0
				    ? (int)strtol(c->path + 8, NULL, 10)
				    : conf.status;
		if (c->status == 0)
			return -1;
		answer(c, "text/plain", "hello\n", 6);
	}
	return 0;
}

static void
note_id(const struct conn *c)
{
	size_t n = strlen(c->id);

	if (n == 0 || seen_n + n + 1 > LOG_MAX)
		return;
	if (seen_ids == NULL)
		seen_ids = grow(NULL, LOG_MAX);
	memcpy(seen_ids + seen_n, c->id, n);
	seen_ids[seen_n + n] = '\n';
	seen_n += n + 1;
}

static int64_t
response_time(const struct conn *c)
{
	const char *ms = strstr(c->path, "ms=");
	int64_t t = ms != NULL ? strtoll(ms + 3, NULL, 10) : conf.response_ms;

	if (conf.knee > 0 && stats.active > conf.knee)
		t = t * stats.active / conf.knee;
	return t;
}

static void
wait_ms(struct conn *c, int64_t wait)
{
	struct conn **at = &due;

	c->is_waiting = true;
	c->due_ms = now_ms() + wait;
	while (*at != NULL && (*at)->due_ms <= c->due_ms)
		at = &(*at)->next_due;
	c->next_due = *at;
	*at = c;
}

static bool
is_held(const struct conn *c)
{
	return c->until != NULL && access(c->until, F_OK) < 0;
}

/* A whole request has been read.  -1: close the connection. */
static int
take_request(struct conn *c)
{
	int64_t wait;
	char *query = strchr(c->path, '?');
	bool is_reset = strcmp(c->path, "/reset") == 0;

	stats.requests++;
	if (strcmp(c->path, "/stats") == 0 || strcmp(c->path, "/log") == 0 ||
	    strcmp(c->path, "/ready") == 0 || strcmp(c->path, "/gaps") == 0) {
		stats.requests--; /* a request for the counts is not counted */
		return respond(c);
	}
	if (stats.first_request_ns == 0)
		stats.first_request_ns = now_ns();
	note_id(c);
	request_begins();
	if (is_reset || (conf.break_at > 0 && stats.active > conf.break_at)) {
		request_ends();
		stats.resets++;
		return -2;
	}
	wait = response_time(c);
	c->until = NULL;
	if (query != NULL) {
		*query = '\0';
		if (strncmp(query + 1, "until=", 6) == 0)
			c->until = query + 7;
	}
	if (wait <= 0 && !is_held(c)) {
		request_ends();
		return respond(c);
	}
	wait_ms(c, wait);
	return 0;
}

static bool
field(const char *head, size_t n, const char *name, char *value, size_t size)
{
	size_t len = strlen(name);
	const char *p = head, *end = head + n;

	while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL && ++p < end) {
		const char *e = memchr(p, '\r', (size_t)(end - p));

		if (e == NULL || (size_t)(e - p) <= len || strncasecmp(p, name, len) != 0 ||
		    p[len] != ':')
			continue;
		for (p += len + 1; p < e && *p == ' '; p++)
			;
		snprintf(value, size, "%.*s", (int)(e - p), p);
		return true;
	}
	return false;
}

static int
read_head(struct conn *c)
{
	char *end = memmem(c->in, c->in_n, "\r\n\r\n", 4), value[256];
	const char *sp, *sp2;

	if (end == NULL)
		return c->in_n > HEAD_MAX ? -1 : 0;
	c->head_n = (size_t)(end - c->in) + 4;
	sp = memchr(c->in, ' ', c->head_n);
	sp2 = sp == NULL ? NULL : memchr(sp + 1, ' ', c->head_n - (size_t)(sp + 1 - c->in));
	if (sp2 == NULL)
		return -1;
	snprintf(c->path, sizeof c->path, "%.*s", (int)(sp2 - sp - 1), sp + 1);
	c->is_head = strncmp(c->in, "HEAD ", 5) == 0;
	c->is_persistent = memcmp(sp2 + 1, "HTTP/1.1", 8) == 0;
	if (field(c->in, c->head_n, "connection", value, sizeof value))
		c->is_persistent = strcasestr(value, "close") == NULL &&
				   (c->is_persistent || strcasestr(value, "keep-alive") != NULL);
	c->body_left = field(c->in, c->head_n, "content-length", value, sizeof value)
			       ? strtoull(value, NULL, 10)
			       : 0;
	c->is_chunked = field(c->in, c->head_n, "transfer-encoding", value, sizeof value);
	c->id[0] = '\0';
	(void)field(c->in, c->head_n, "x-id", c->id, sizeof c->id);
	c->body_n = 0;
	c->hash = UINT64_C(14695981039346656037);
	c->chunk_state = 0;
	c->has_head = true;
	if (field(c->in, c->head_n, "expect", value, sizeof value))
		put(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	memmove(c->in, c->in + c->head_n, c->in_n - c->head_n);
	c->in_n -= c->head_n;
	return 1;
}

static void
take_body(struct conn *c, const char *data, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		c->hash = (c->hash ^ (unsigned char)data[i]) * UINT64_C(1099511628211);
	if (strcmp(c->path, "/echo") == 0) {
		c->body = grow(c->body, c->body_n + n + 1);
		memcpy(c->body + c->body_n, data, n);
	}
	c->body_n += n;
}

static void
consume(struct conn *c, size_t n)
{
	memmove(c->in, c->in + n, c->in_n - n);
	c->in_n -= n;
}

/* 1: the body is complete, 0: more must be read, -1: malformed. */
static int
read_chunked(struct conn *c)
{
	for (;;) {
		char *end = memmem(c->in, c->in_n, "\r\n", 2);
		size_t take;

		if (c->chunk_state == 1) {
			take = c->body_left < c->in_n ? (size_t)c->body_left : c->in_n;
			take_body(c, c->in, take);
			consume(c, take);
			c->body_left -= take;
			if (c->body_left > 0)
				return 0;
			c->chunk_state = 2;
			continue;
		}
		if (end == NULL)
			return 0;
		take = (size_t)(end - c->in) + 2;
		if (c->chunk_state == 0) {
			char *rest;

			c->body_left = strtoull(c->in, &rest, 16);
			if (rest == c->in)
				return -1;
			c->chunk_state = c->body_left > 0 ? 1 : 3;
		} else if (c->chunk_state == 2) {
			c->chunk_state = 0;
		} else if (take == 2) {
			consume(c, take);
			return 1;
		}
		consume(c, take);
	}
}

static int
read_body(struct conn *c)
{
	size_t take;

	if (c->is_chunked)
		return read_chunked(c);
	take = c->body_left < c->in_n ? (size_t)c->body_left : c->in_n;
	take_body(c, c->in, take);
	consume(c, take);
	c->body_left -= take;
	return c->body_left == 0;
}

/* Handle what was read.  Negative: close the connection (-2: with a reset). */
static int
run(struct conn *c)
{
	int rc;

	while (!c->is_waiting && !c->is_closing) {
		if (!c->has_head) {
			rc = read_head(c);
			if (rc <= 0)
				return rc < 0 ? rc : flush(c);
		}
		rc = read_body(c);
		if (rc <= 0)
			return rc < 0 ? rc : flush(c);
		c->has_head = false;
		rc = take_request(c);
		if (rc < 0)
			return rc;
		if (flush(c) < 0)
			return -1;
	}
	return flush(c);
}

static void
on_readable(struct conn *c)
{
	for (;;) {
		ssize_t n;
		int rc;

		if (c->in_n + 65536 > c->in_cap) {
			c->in_cap = c->in_n + 131072;
			c->in = grow(c->in, c->in_cap);
		}
		n = recv(c->fd, c->in + c->in_n, c->in_cap - c->in_n, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			conn_close(c, false);
			return;
		}
		if (stats.first_byte_ns == 0)
			stats.first_byte_ns = now_ns();
		c->in_n += (size_t)n;
		rc = run(c);
		if (rc < 0) {
			conn_close(c, rc == -2);
			return;
		}
	}
}

static void
conn_list(struct conn *c)
{
	c->next = all;
	c->back = &all;
	if (all != NULL)
		all->back = &c->next;
	all = c;
}

static bool
is_open(const struct conn *c)
{
	struct tcp_info info = {0};
	socklen_t n = sizeof info;

	return getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0 ||
	       info.tcpi_state == TCP_ESTABLISHED;
}

/* Without those whose end has arrived and is not handled yet: a peer with a limit of its own may
 * have opened the newest one after it closed them. */
static void
count_connections(void)
{
	long n = stats.connections_now;
	const struct conn *c;

	if (n <= stats.connections_most)
		return;
	for (c = all; c != NULL && stats.connections_now <= FEW; c = c->next)
		n -= !is_open(c);
	if (n > stats.connections_most)
		stats.connections_most = n;
}

static void
accept_all(int lfd)
{
	int fd, on = 1;

	while ((fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = grow(NULL, sizeof *c);
		struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
					 .data.ptr = c};

		*c = (struct conn){.fd = fd};
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		stats.connections++;
		stats.connections_now++;
		conn_list(c);
		count_connections();
		epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
	}
}

static void
run_due(void)
{
	int64_t now = now_ms();

	while (due != NULL && due->due_ms <= now) {
		struct conn *c = due;
		int rc;

		due = c->next_due;
		if (is_held(c)) {
			wait_ms(c, FILE_POLL_MS);
			continue;
		}
		c->is_waiting = false;
		request_ends();
		rc = respond(c);
		if (rc == 0)
			rc = run(c);
		if (rc < 0)
			conn_close(c, rc == -2);
	}
}

static int
listen_on(const char *address, int port)
{
	struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	bool is_v6 = strchr(address, ':') != NULL;
	const struct sockaddr *a = is_v6 ? (struct sockaddr *)&a6 : (struct sockaddr *)&a4;
	socklen_t n = is_v6 ? sizeof a6 : sizeof a4;
	int fd = socket(a->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (inet_pton(a->sa_family, address,
		      is_v6 ? (void *)&a6.sin6_addr : (void *)&a4.sin_addr) != 1) {
		fprintf(stderr, "hello: no address: %s\n", address);
		exit(2);
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, a, n) < 0 || listen(fd, 65535) < 0) {
		perror("hello: cannot listen");
		exit(1);
	}
	stats.listen_ns = now_ns();
	return fd;
}

static int64_t
parse_time(const char *s)
{
	char *end;
	double v = strtod(s, &end);

	if (end == s)
		exit(2);
	return (int64_t)(strcmp(end, "s") == 0 ? v * 1000 : v);
}

static void
parse(int argc, char **argv)
{
	int i;

	conf.address = getenv("ADDRESS") == NULL ? "127.0.0.1" : getenv("ADDRESS");
	conf.port = getenv("PORT") == NULL ? 0 : (int)strtol(getenv("PORT"), NULL, 10);
	for (i = 1; i < argc; i++) {
		const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : "0";

		if (strcmp(a, "--never-listen") == 0) {
			for (;;)
				pause();
		} else if (strcmp(a, "--ignore-term") == 0) {
			signal(SIGTERM, SIG_IGN);
			continue;
		} else if (strcmp(a, "--exit") == 0) {
			exit((int)strtol(v, NULL, 10));
		} else if (strcmp(a, "--address") == 0) {
			conf.address = v;
		} else if (strcmp(a, "--port") == 0) {
			conf.port = (int)strtol(v, NULL, 10);
		} else if (strcmp(a, "--startup") == 0) {
			conf.startup_ms = parse_time(v);
		} else if (strcmp(a, "--response") == 0) {
			conf.response_ms = parse_time(v);
		} else if (strcmp(a, "--warmup") == 0) {
			conf.warmup_ms = parse_time(v);
		} else if (strcmp(a, "--knee") == 0) {
			conf.knee = strtol(v, NULL, 10);
		} else if (strcmp(a, "--break-at") == 0) {
			conf.break_at = strtol(v, NULL, 10);
		} else if (strcmp(a, "--status") == 0) {
			conf.status = (int)strtol(v, NULL, 10);
		} else if (strcmp(a, "--busy") == 0) {
			conf.busy_s = strtol(v, NULL, 10);
		} else {
			fprintf(stderr, "hello: unknown option %s\n", a);
			exit(2);
		}
		i++;
	}
}

int
main(int argc, char **argv)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL}, evs[256];
	int lfd;

	signal(SIGPIPE, SIG_IGN);
	parse(argc, argv);
	if (conf.startup_ms > 0) {
		struct timespec ts = {.tv_sec = conf.startup_ms / 1000,
				      .tv_nsec = conf.startup_ms % 1000 * 1000000};

		nanosleep(&ts, NULL);
	}
	lfd = listen_on(conf.address, conf.port);
	ep = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(ep, EPOLL_CTL_ADD, lfd, &ev);
	for (;;) {
		int64_t wait = due == NULL ? -1 : due->due_ms - now_ms();
		int n = epoll_wait(ep, evs, 256, (int)(due == NULL ? -1 : wait < 0 ? 0 : wait)), i;

		for (i = 0; i < n; i++) {
			struct conn *c = evs[i].data.ptr;

			if (c == NULL)
				accept_all(lfd);
			else if (c->out_n > 0 && (evs[i].events & EPOLLOUT) && flush(c) < 0)
				conn_close(c, false);
			else if (evs[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
				on_readable(c);
		}
		run_due();
	}
}
