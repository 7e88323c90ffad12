#include "activator/access/access_otlp.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/access/access_stream.h"
#include "common/clk.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/strbuf.h"

#define SPANS_MOST 512		       /* in one message … */
#define BYTES_MOST ((size_t)256 << 10) /* … and bytes of them */
#define ANSWER_WAIT (5 * CLK_S)	       /* for one message, from the connect on */
#define ANSWER_MOST ((size_t)64 << 10) /* bytes of an answer that are read */
#define TRUST_AGE (60 * CLK_S)	       /* after which its files are read again */
#define PLAIN "http://"
#define TLS "https://"

struct access_otlp {
	char *url, *host, *port, *path;
	char *ca; /* NULL: the authorities of the system */
	bool is_tls;
	struct access_trust *trust; /* NULL: not read yet */
	int64_t trust_ns;	    /* when it was read */
};

struct access_otlp *
access_otlp_new(const char *url, const char *ca)
{
	struct access_otlp *o = xcalloc(1, sizeof *o);
	const char *authority, *colon;
	size_t n;

	o->is_tls = strncmp(url, TLS, strlen(TLS)) == 0;
	CHECK(o->is_tls || strncmp(url, PLAIN, strlen(PLAIN)) == 0);
	o->ca = ca == NULL ? NULL : xstrdup(ca);
	authority = url + strlen(o->is_tls ? TLS : PLAIN);
	n = strcspn(authority, "/");
	o->url = xstrdup(url);
	o->path = xstrdup(authority[n] == '\0' ? "/v1/traces" : authority + n);
	for (colon = authority + n; colon > authority && colon[-1] != ':'; colon--)
		;
	CHECK(colon > authority);
	o->port = xstrndup(colon, (size_t)(authority + n - colon));
	o->host = authority[0] == '[' ? xstrndup(authority + 1, (size_t)(colon - authority - 3))
				      : xstrndup(authority, (size_t)(colon - authority - 1));
	return o;
}

void
access_otlp_free(struct access_otlp **op)
{
	struct access_otlp *o = *op;

	*op = NULL;
	if (o == NULL)
		return;
	free(o->url);
	free(o->host);
	free(o->port);
	free(o->path);
	free(o->ca);
	access_trust_free(&o->trust);
	free(o);
}

/* --- the message --- */

/* The size of the first lines that one message takes; *n: how many they are. */
static size_t
lines_of_message(const struct iovec *lines, unsigned *n)
{
	const char *start = lines->iov_base, *at = start, *end = at + lines->iov_len, *eol;

	for (*n = 0; *n < SPANS_MOST && at < end; ++*n, at = eol + 1) {
		eol = memchr(at, '\n', (size_t)(end - at));
		CHECK(eol != NULL);
		if (*n > 0 && (size_t)(eol - start) > BYTES_MOST)
			break;
	}
	return (size_t)(at - start);
}

/* The lines are elements of an array: commas stand between them, in place of newlines. */
static void
make_message(struct strbuf *b, const char *lines, size_t n)
{
	size_t from, i;

	strbuf_addf(b,
		    "{\"resourceSpans\":[{\"resource\":{\"attributes\":["
		    "{\"key\":\"service.name\",\"value\":{\"stringValue\":\"activator\"}},"
		    "{\"key\":\"service.version\",\"value\":{\"stringValue\":\"%s\"}},"
		    "{\"key\":\"process.pid\",\"value\":{\"intValue\":\"%d\"}}]},"
		    "\"scopeSpans\":[{\"scope\":{\"name\":\"activator\"},\"spans\":[",
		    daemon_version, (int)getpid());
	from = b->len;
	strbuf_add(b, lines, n - 1);
	for (i = from; i < b->len; i++)
		if (b->data[i] == '\n')
			b->data[i] = ',';
	strbuf_adds(b, "]}]}]}");
}

static void
make_head(const struct access_otlp *o, struct strbuf *b, size_t body_n)
{
	bool is_v6 = strchr(o->host, ':') != NULL;

	strbuf_addf(b,
		    "POST %s HTTP/1.1\r\nHost: %s%s%s:%s\r\nUser-Agent: activator/%s\r\n"
		    "Content-Type: application/json\r\nContent-Length: %zu\r\n"
		    "Connection: close\r\n\r\n",
		    o->path, is_v6 ? "[" : "", o->host, is_v6 ? "]" : "", o->port, daemon_version,
		    body_n);
}

/* --- the connection --- */

static int
connect_to(const struct addrinfo *a, int64_t until_ns)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int code = 0;
	socklen_t n = sizeof code;

	if (fd < 0)
		return -1;
	if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
		return fd;
	if (errno == EINPROGRESS && access_stream_wait(fd, POLLOUT, until_ns) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &n) == 0 && code == 0)
		return fd;
	if (code != 0)
		errno = code;
	code = errno;
	close(fd);
	errno = code;
	return -1;
}

static int
connect_any(const struct access_otlp *o, int64_t until_ns, struct err *e)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *all, *a;
	int rc = getaddrinfo(o->host, o->port, &hints, &all), fd = -1;

	if (rc != 0) {
		err_set(e, EHOSTUNREACH, "cannot resolve %s: %s", o->host, gai_strerror(rc));
		errno = EHOSTUNREACH;
		return -1;
	}
	for (a = all; a != NULL && fd < 0; a = a->ai_next)
		fd = connect_to(a, until_ns);
	if (fd < 0)
		err_errno(e, "cannot connect to %s", o->url);
	freeaddrinfo(all);
	return fd;
}

/* The status of the answer, or -1 with errno.  The rest of it is read away, so that closing does
 * not reset the connection under the collector. */
static int
read_status(struct access_stream *s, int64_t until_ns)
{
	char head[16], rest[4096];
	size_t n = 0, total = 0;
	ssize_t got;

	for (; n < 12; n += (size_t)got) {
		got = access_stream_recv(s, head + n, 12 - n, until_ns);
		if (got == 0)
			errno = ECONNRESET;
		if (got <= 0)
			return -1;
	}
	head[n] = '\0';
	while (total < ANSWER_MOST &&
	       (got = access_stream_recv(s, rest, sizeof rest, until_ns)) > 0)
		total += (size_t)got;
	errno = EPROTO;
	return strncmp(head, "HTTP/1.", 7) == 0 ? (int)strtol(head + 9, NULL, 10) : -1;
}

/* The files may change: read them again after a while, and after each handshake that failed. */
static int
read_trust(struct access_otlp *o, struct err *e)
{
	if (o->trust != NULL && clk_now() - o->trust_ns > TRUST_AGE)
		access_trust_free(&o->trust);
	if (o->trust == NULL) {
		o->trust = access_trust_new(o->ca, e);
		o->trust_ns = clk_now();
	}
	return o->trust == NULL ? -1 : 0;
}

static int
begin_stream(struct access_otlp *o, struct access_stream *s, int fd, int64_t until_ns,
	     struct err *e)
{
	if (o->is_tls && read_trust(o, e) < 0) {
		errno = EINVAL;
		return -1;
	}
	if (access_stream_begin(s, fd, o->trust, o->host, until_ns, e) == 0)
		return 0;
	access_trust_free(&o->trust);
	errno = e->code;
	return -1;
}

static int
exchange(struct access_otlp *o, int fd, const struct strbuf *head, const struct strbuf *body,
	 int64_t until_ns, struct err *e)
{
	struct access_stream s;
	int status, code;

	if (begin_stream(o, &s, fd, until_ns, e) < 0)
		return -1;
	status = access_stream_send(&s, head->data, head->len, until_ns) == 0 &&
				 access_stream_send(&s, body->data, body->len, until_ns) == 0
			 ? read_status(&s, until_ns)
			 : -1;
	code = errno;
	if (status < 0)
		err_set(e, code, "no answer of %s: %s", o->url, strerror(code));
	access_stream_end(&s);
	errno = code;
	return status;
}

/* The status of the answer; -1 with errno and err. */
static int
post(struct access_otlp *o, const struct strbuf *head, const struct strbuf *body, struct err *e)
{
	int64_t until_ns = clk_now() + ANSWER_WAIT;
	int fd = connect_any(o, until_ns, e), status, code;

	if (fd < 0)
		return -1;
	status = exchange(o, fd, head, body, until_ns, e);
	code = errno;
	close(fd);
	errno = code;
	return status;
}

/* OTLP/HTTP: these say that the same message may be taken later. */
static bool
is_for_later(int status)
{
	return status == 429 || status == 502 || status == 503 || status == 504;
}

ssize_t
access_otlp_write(struct access_otlp *o, const struct iovec *lines, uint64_t *dropped,
		  struct err *e)
{
	struct strbuf head, body;
	unsigned spans;
	size_t n = lines_of_message(lines, &spans);
	int status;

	strbuf_init(&head, 0);
	strbuf_init(&body, 0);
	make_message(&body, lines->iov_base, n);
	make_head(o, &head, body.len);
	status = post(o, &head, &body, e);
	strbuf_fini(&head);
	strbuf_fini(&body);
	if (status < 0)
		return -1;
	if (is_for_later(status)) {
		err_set(e, EBUSY, "%s answered %d", o->url, status);
		errno = EBUSY;
		return -1;
	}
	if (status < 200 || status > 299) {
		log_warn_limited(NULL, "the collector refuses spans", "url=%s status=%d spans=%u",
				 o->url, status, spans);
		*dropped = spans;
	}
	return (ssize_t)n;
}
