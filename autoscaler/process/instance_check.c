#include "autoscaler/process/instance_check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clk.h"
#include "common/grpc_health.h"
#include "common/h2_ask.h"
#include "common/loop.h"
#include "common/text.h"

#define STATUS_BYTES 12 /* "HTTP/1.1 200" */

struct instance_check {
	struct loop *loop;
	struct instance_check_spec spec;
	char *question; /* NULL: none is asked */
	const struct instance_check_ops *ops;
	void *arg;
	uint32_t failures; /* in a row */
	int64_t began_ns;  /* the check that runs, or the last one */
	int fd;		   /* -1: no check runs */
	struct h2_ask *h2; /* the health check that runs; else NULL */
	struct loop_fd ev;
	struct loop_timer timer; /* the end of the check that runs, else the next one */
	char status[STATUS_BYTES + 1];
	size_t status_n;
};

/* --- results --- */

static void
end_check(struct instance_check *c)
{
	if (c->fd < 0)
		return;
	loop_fd_clear(&c->ev);
	h2_ask_free(&c->h2);
	close(c->fd);
	c->fd = -1;
}

/* To be called before the callback, which may free c. */
static void
plan_next(struct instance_check *c)
{
	end_check(c);
	loop_timer_set(&c->timer, MAX(c->began_ns + c->spec.period_ns - clk_now(), 0));
}

static void
succeed(struct instance_check *c)
{
	c->failures = 0;
	plan_next(c);
	c->ops->on_success(c->arg);
}

static void
fail(struct instance_check *c, const char *why)
{
	plan_next(c);
	if (++c->failures < c->spec.threshold)
		return;
	loop_timer_clear(&c->timer);
	c->ops->on_failed(why, c->arg);
}

/* --- one check --- */

/* A connect to a port on which no program listens may end up connected to itself. */
static bool
is_self_connect(int fd)
{
	struct sockaddr_in local, peer;
	socklen_t local_n = sizeof local, peer_n = sizeof peer;

	return getsockname(fd, (struct sockaddr *)&local, &local_n) == 0 &&
	       getpeername(fd, (struct sockaddr *)&peer, &peer_n) == 0 &&
	       local.sin_port == peer.sin_port;
}

static void
judge_status(struct instance_check *c)
{
	char why[40];

	c->status[c->status_n] = '\0';
	if (strncmp(c->status, "HTTP/1.", 7) != 0 || c->status[8] != ' ') {
		fail(c, "its answer is no HTTP");
	} else if (c->status[9] == '2' || c->status[9] == '3') {
		succeed(c);
	} else {
		snprintf(why, sizeof why, "status %s", c->status + 9);
		fail(c, why);
	}
}

static void
on_answer(int fd, short what, void *arg)
{
	struct instance_check *c = arg;
	ssize_t n = read(fd, c->status + c->status_n, STATUS_BYTES - c->status_n);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fail(c, "it closed the connection without an answer");
		return;
	}
	c->status_n += (size_t)n;
	if (c->status_n == STATUS_BYTES)
		judge_status(c);
}

/* Send what HTTP/2 has to send, which is little. */
static bool
send_h2(struct instance_check *c)
{
	const char *data;
	ssize_t n;

	while ((n = h2_ask_send(c->h2, &data)) > 0)
		if (send(c->fd, data, (size_t)n, MSG_NOSIGNAL) != n)
			return false;
	return n == 0;
}

static void
on_h2_answer(int fd, short what, void *arg)
{
	struct instance_check *c = arg;
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof buf);
	const char *problem = NULL;
	bool is_bad;

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fail(c, "it closed the connection without an answer");
		return;
	}
	is_bad = h2_ask_feed(c->h2, buf, (size_t)n) < 0 || !send_h2(c);
	if (!is_bad && !h2_ask_is_over(c->h2))
		return;
	problem = grpc_health_problem(c->h2);
	if (problem == NULL)
		succeed(c);
	else
		fail(c, problem);
}

/* Of question "grpc" or "grpc:NAME". */
static void
ask_grpc(struct instance_check *c)
{
	const char *name = c->question[4] == ':' ? c->question + 5 : "";

	c->h2 = grpc_health_new("http", "localhost", name, strlen(name));
	if (!send_h2(c))
		fail(c, "it did not take the request");
	else
		loop_fd_set(&c->ev, c->loop, c->fd, EV_READ, on_h2_answer, c);
}

static void
ask(struct instance_check *c)
{
	char *request = xasprintf("GET %s HTTP/1.1\r\nHost: localhost\r\n"
				  "User-Agent: activator-liveness\r\nConnection: close\r\n\r\n",
				  c->question);
	size_t n = strlen(request);
	bool is_sent = send(c->fd, request, n, MSG_NOSIGNAL) == (ssize_t)n;

	free(request);
	if (!is_sent)
		fail(c, "it did not take the request");
	else
		loop_fd_set(&c->ev, c->loop, c->fd, EV_READ, on_answer, c);
}

static void
on_connected(int fd, short what, void *arg)
{
	struct instance_check *c = arg;
	socklen_t len = sizeof errno;
	int error = 0;

	(void)what;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error == 0 && is_self_connect(fd))
		error = ECONNREFUSED;
	if (error != 0)
		fail(c, strerror(error));
	else if (c->question == NULL)
		succeed(c);
	else if (c->question[0] == '/')
		ask(c);
	else
		ask_grpc(c);
}

static void
begin_check(struct instance_check *c)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(c->spec.port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	c->began_ns = clk_now();
	c->status_n = 0;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) { /* our own shortage says nothing of the instance */
		plan_next(c);
		return;
	}
	if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) {
		bool is_ours = errno == EADDRNOTAVAIL || errno == ENOBUFS;

		if (is_ours)
			plan_next(c);
		else
			fail(c, strerror(errno));
		return;
	}
	loop_fd_set(&c->ev, c->loop, c->fd, EV_WRITE, on_connected, c);
	loop_timer_set(&c->timer, c->spec.timeout_ns);
}

static void
on_timer(void *arg)
{
	struct instance_check *c = arg;

	if (c->fd < 0)
		begin_check(c);
	else if (c->ops->does_timeout_count == NULL || c->ops->does_timeout_count(c->arg))
		fail(c, "it did not answer in time");
	else
		plan_next(c);
}

/* --- life --- */

struct instance_check *
instance_check_new(struct loop *loop, const struct instance_check_spec *spec,
		   const struct instance_check_ops *ops, void *arg)
{
	struct instance_check *c = xcalloc(1, sizeof *c);

	c->loop = loop;
	c->spec = *spec;
	c->question = text_copy(spec->question);
	c->ops = ops;
	c->arg = arg;
	c->fd = -1;
	loop_fd_init(&c->ev);
	loop_timer_init(&c->timer, loop, on_timer, c);
	loop_timer_set(&c->timer, spec->first_ns);
	return c;
}

void
instance_check_free(struct instance_check **cp)
{
	struct instance_check *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	end_check(c);
	loop_timer_fini(&c->timer);
	free(c->question);
	free(c);
}
