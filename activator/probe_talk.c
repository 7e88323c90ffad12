#include "activator/probe_talk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "activator/net/io.h"
#include "activator/net/tls.h"
#include "activator/probe_spec.h"
#include "activator/worker_conf.h"
#include "common/addr.h"
#include "common/grpc_health.h"
#include "common/h2_ask.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"
#include "common/strbuf.h"

#define STATUS_BYTES 12 /* "HTTP/1.1 200" */
#define READ_BYTES 4096
#define READS_A_TURN 4
#define READS_AT_END 16

struct probe_net {
	struct loop *loop;
	struct worker_conf *conf; /* a reference, or NULL */
	struct io_round *round;
	struct tls *tls; /* NULL: no probe was encrypted yet */
};

struct probe_talk {
	struct io io;
	struct probe_net *net;
	void (*on_over)(const char *trouble, void *arg);
	void *arg;
	char *head;	   /* HTTP/1.1: the request, until it is sent; else NULL */
	struct h2_ask *h2; /* HTTP/2; else NULL */
	bool is_grpc;
	bool is_asked, is_over;
	char status[STATUS_BYTES]; /* HTTP/1.1: the beginning of the response */
	size_t status_n;
};

/* --- what all share --- */

static void
on_tail(void *arg)
{
	struct probe_net *net = arg;

	io_round_run(net->round);
	while (io_round_write(net->round))
		;
}

struct probe_net *
probe_net_new(struct loop *loop, struct worker_conf *conf)
{
	struct probe_net *net = xcalloc(1, sizeof *net);

	net->loop = loop;
	net->conf = conf == NULL ? NULL : worker_conf_ref(conf);
	net->round = io_round_new(loop, false);
	loop_on_tail(loop, on_tail, net);
	return net;
}

void
probe_net_free(struct probe_net **np)
{
	struct probe_net *net = *np;

	*np = NULL;
	if (net == NULL)
		return;
	loop_on_tail(net->loop, NULL, NULL);
	io_round_free(&net->round);
	tls_free(&net->tls);
	worker_conf_unref(&net->conf);
	free(net);
}

static const char *const protocols[] = {"h2", "http/1.1", NULL};
static const struct tls_use tls_use = {.protocols = protocols, .plain_answer = ""};

static struct tls *
tls_of(struct probe_net *net)
{
	struct err e;

	if (net->tls == NULL && net->conf != NULL) {
		net->tls = tls_new(net->loop, &net->conf->settings->activator, &tls_use, &e);
		if (net->tls == NULL)
			log_warn_limited(NULL, "cannot use TLS", "err=%s", e.text);
	}
	return net->tls;
}

/* --- the end --- */

static void
over(struct probe_talk *t, const char *trouble)
{
	t->is_over = true;
	t->on_over(trouble, t->arg);
}

static void
judge_status(struct probe_talk *t, unsigned status)
{
	char text[16];

	snprintf(text, sizeof text, "HTTP %u", status);
	over(t, status / 100 == 2 || status / 100 == 3 ? NULL : text);
}

static void
broke_off(struct probe_talk *t, ssize_t got)
{
	const char *trouble = got == IO_EOF ? "connection closed before the response"
					    : strerror(errno);

	over(t, trouble);
}

/* --- HTTP/1.1 --- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void
hear_h1(struct probe_talk *t, const char *data, size_t n)
{
	const char *s = t->status;

	n = MIN(n, STATUS_BYTES - t->status_n);
	memcpy(t->status + t->status_n, data, n);
	t->status_n += n;
	if (t->status_n < STATUS_BYTES)
		return;
	if (memcmp(s, "HTTP/1.", 7) != 0 || s[8] != ' ' || !is_digit(s[9]) || !is_digit(s[10]) ||
	    !is_digit(s[11]))
		over(t, "no HTTP/1 response");
	else
		judge_status(t, (unsigned)(s[9] - '0') * 100 + (unsigned)(s[10] - '0') * 10 +
					(unsigned)(s[11] - '0'));
}

static int
send_h1(struct probe_talk *t)
{
	struct iovec iov = {.iov_base = t->head, .iov_len = strlen(t->head)};

	return io_write(&t->io, &iov, 1);
}

/* --- HTTP/2 --- */

/* All frames in one write: the instance may answer, and close, as soon as it has the first. */
static int
send_h2(struct probe_talk *t)
{
	struct strbuf all;
	struct iovec iov;
	const char *data;
	ssize_t n;
	int rc;

	strbuf_init(&all, 0);
	while ((n = h2_ask_send(t->h2, &data)) > 0)
		strbuf_add(&all, data, (size_t)n);
	iov = (struct iovec){.iov_base = all.data, .iov_len = all.len};
	rc = io_write(&t->io, &iov, 1);
	strbuf_fini(&all);
	return n < 0 ? -1 : rc;
}

static void
hear_h2(struct probe_talk *t, const char *data, size_t n)
{
	int rc = h2_ask_feed(t->h2, data, n);

	if (send_h2(t) < 0)
		rc = -1;
	if (t->is_grpc && h2_ask_is_over(t->h2)) {
		over(t, grpc_health_problem(t->h2));
	} else if (!t->is_grpc && h2_ask_status(t->h2) != 0) {
		judge_status(t, h2_ask_status(t->h2));
	} else if (rc < 0 || h2_ask_is_over(t->h2)) {
		const char *trouble = h2_ask_trouble(t->h2);

		over(t, trouble != NULL ? trouble : "no HTTP/2 response");
	}
}

/* --- the connection --- */

static void
ask(struct probe_talk *t)
{
	t->is_asked = true;
	if ((t->h2 != NULL ? send_h2(t) : send_h1(t)) < 0)
		over(t, "cannot send the probe");
}

static void
listen_to(struct probe_talk *t)
{
	char buf[READ_BYTES];
	int turn = 0;

	while (!t->is_over && t->io.can_read) {
		ssize_t got;

		if (turn++ == READS_A_TURN) {
			io_yield(&t->io);
			return;
		}
		got = io_read(&t->io, buf, sizeof buf);
		if (got == IO_NOTHING)
			return;
		if (got < 0)
			broke_off(t, got);
		else if (t->h2 != NULL)
			hear_h2(t, buf, (size_t)got);
		else
			hear_h1(t, buf, (size_t)got);
		if (got > 0 && !t->is_over)
			io_expect_more(&t->io);
	}
}

static void
on_ready(struct io *io)
{
	struct probe_talk *t = container_of(io, struct probe_talk, io);
	int rc = io_finish_connect(io);

	if (t->is_over || rc > 0)
		return;
	if (rc < 0) {
		const char *why = tls_failure(io);

		over(t, why != NULL ? why : strerror(errno));
		return;
	}
	if (!t->is_asked)
		ask(t);
	else if (io_is_blocked(io) && io_flush(io) < 0)
		over(t, strerror(errno));
	if (!t->is_over)
		listen_to(t);
}

static bool
never(struct io *io)
{
	(void)io;
	return false;
}

static void
on_unsent(struct io *io, uint32_t token, int error)
{
	(void)io;
	(void)token;
	(void)error;
}

static const struct io_ops ops = {
	.on_ready = on_ready,
	.is_new_work = never,
	.is_small_read_next = never,
	.on_unsent = on_unsent,
};

static void
prepare(struct probe_talk *t, const struct probe_question *q)
{
	static const struct h2_ask_field fields[] = {{"user-agent", "activator-probe"},
						     {"accept", "*/*"}};
	const char *scheme = q->trust == NULL ? "http" : "https";
	char text[ADDR_TEXT];
	const char *authority = addr_format(q->addr, true, text);

	if (addr_is_unix(q->addr) && (q->is_h2 || q->spec->kind == PROBE_GRPC))
		authority = "localhost";
	t->is_grpc = q->spec->kind == PROBE_GRPC;
	if (t->is_grpc) {
		t->h2 = grpc_health_new(scheme, authority, q->spec->service, q->spec->service_n);
	} else if (q->is_h2) {
		char *path = xstrndup(q->spec->path, q->spec->path_n);

		t->h2 = h2_ask_new(&(struct h2_ask_request){.method = "GET",
							    .scheme = scheme,
							    .authority = authority,
							    .path = path,
							    .fields = fields,
							    .fields_n = ARRAY_LEN(fields)});
		free(path);
	} else {
		t->head = probe_spec_head(q->spec, authority);
	}
}

static void
free_talk(void *arg)
{
	struct probe_talk *t = arg;

	h2_ask_free(&t->h2);
	free(t->head);
	free(t);
}

struct probe_talk *
probe_talk_new(struct probe_net *net, int fd, const struct probe_question *q,
	       void (*on_over)(const char *trouble, void *arg), void *arg)
{
	struct tls *tls = q->trust == NULL ? NULL : tls_of(net);
	struct probe_talk *t;

	errno = EPROTO;
	if (q->trust != NULL && tls == NULL)
		return NULL;
	t = xcalloc(1, sizeof *t);
	t->net = net;
	t->on_over = on_over;
	t->arg = arg;
	if (io_open(&t->io, net->round, fd, false, &ops) < 0) {
		free(t);
		return NULL;
	}
	t->io.closes_at_once = true; /* its permit is free then */
	prepare(t, q);
	if (q->trust != NULL)
		tls_connect(tls, &t->io, q->trust, q->addr, t->h2 != NULL, NULL);
	return t; /* the first event of the socket begins */
}

/* Read what has come of the response first: closing with unread bytes would reset the connection,
 * and the instance might log an error. */
void
probe_talk_free(struct probe_talk **tp)
{
	struct probe_talk *t = *tp;
	char rest[READ_BYTES];
	int i;

	*tp = NULL;
	if (t == NULL)
		return;
	t->is_over = true;
	for (i = 0; i < READS_AT_END && !io_is_handshaking(&t->io); i++) {
		t->io.can_read = true;
		if (io_read(&t->io, rest, sizeof rest) <= 0)
			break;
	}
	io_close(&t->io, false);
	loop_defer(t->net->loop, t, free_talk);
}
