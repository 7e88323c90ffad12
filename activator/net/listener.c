#include "activator/net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "activator/net/claim.h"
#include "activator/net/tcp.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/loop.h"

#define ACCEPT_PAUSE (50 * CLK_MS)
#define ACCEPT_BATCH 64 /* connections in one event, so that other events are not delayed */

struct listening {
	struct listener *listener;
	const struct listen_spec *spec;
	struct loop_fd watch;
	int fd;
};

struct listener {
	struct loop *loop;
	const struct listener_ops *ops;
	void *arg;
	struct loop_timer pause_timer;
	int reserve_fd; /* of /dev/null; -1: could not be opened again */
	size_t n;
	struct listening sockets[]; /* n of them are open */
};

static void on_acceptable(int listen_fd, short what, void *arg);

static void
open_reserve(struct listener *l)
{
	l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void
watch(struct listening *s)
{
	loop_fd_set(&s->watch, s->listener->loop, s->fd, EV_READ, on_acceptable, s);
}

static void
on_pause_over(void *arg)
{
	struct listener *l = arg;
	size_t i;

	if (l->reserve_fd < 0)
		open_reserve(l);
	for (i = 0; i < l->n; i++)
		watch(&l->sockets[i]);
}

static void
pause_accepting(struct listener *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		loop_fd_clear(&l->sockets[i].watch);
	loop_timer_set(&l->pause_timer, ACCEPT_PAUSE);
}

/* Accept one connection in place of the reserved descriptor.  False: errno says why not. */
static bool
accept_on_reserve(const struct listening *s)
{
	struct listener *l = s->listener;
	int fd, code;

	if (l->reserve_fd < 0)
		return false;
	close(l->reserve_fd);
	fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	code = errno;
	if (fd >= 0)
		l->ops->on_no_descriptor(fd, s->spec, l->arg);
	open_reserve(l);
	errno = code;
	return fd >= 0;
}

/* accept(2) failed.  True: another accept may succeed. */
static bool
may_go_on(const struct listening *s)
{
	struct listener *l = s->listener;

	if (errno == ECONNABORTED || errno == EINTR) /* the client left before it was accepted */
		return true;
	if (errno == EAGAIN)
		return false;
	if (errno == EMFILE || errno == ENFILE) {
		log_warn_limited(NULL, "cannot accept a connection: out of descriptors", "err=%s",
				 strerror(errno));
		if (accept_on_reserve(s))
			return true;
		if (errno == EAGAIN && l->reserve_fd >= 0)
			return false;
	}
	pause_accepting(l);
	return false;
}

/* False: no connection waits, or none can be accepted now. */
static bool
accept_some(const struct listening *s)
{
	struct listener *l = s->listener;
	int i;

	for (i = 0; i < ACCEPT_BATCH; i++) {
		struct addr peer = {.len = sizeof peer.ss};
		int fd = accept4(s->fd, (struct sockaddr *)&peer.ss, &peer.len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			l->ops->on_accept(fd, &peer, s->spec, l->arg);
		else if (!may_go_on(s))
			return false;
	}
	return true;
}

static void
on_acceptable(int listen_fd, short what, void *arg)
{
	(void)listen_fd;
	(void)what;
	(void)accept_some(arg);
}

void
listener_accept_rest(struct listener *l)
{
	size_t i;
	int turn;

	for (i = 0; i < l->n; i++)
		for (turn = 0; turn < SOMAXCONN / ACCEPT_BATCH; turn++)
			if (!accept_some(&l->sockets[i]))
				break;
}

static int
listen_tcp(const struct listen_spec *spec, int64_t keepalive_ns, struct err *e)
{
	int fd = tcp_bind(&spec->addr, true);

	if (fd < 0)
		return err_errno(e, "cannot listen on %s", spec->text);
	tcp_keep_alive(fd, keepalive_ns); /* accepted sockets inherit it */
	if (listen(fd, SOMAXCONN) < 0) {
		err_errno(e, "cannot listen on %s", spec->text);
		close(fd);
		return -1;
	}
	return fd;
}

static int
dup_of(int claimed_fd, const char *text, struct err *e)
{
	int fd = fcntl(claimed_fd, F_DUPFD_CLOEXEC, 0);

	return fd < 0 ? err_errno(e, "cannot listen on %s", text) : fd;
}

static int
listen_on(struct listener *l, const struct listen_spec *spec, int claimed_fd, int64_t keepalive_ns,
	  struct err *e)
{
	struct listening *s = &l->sockets[l->n];

	s->listener = l;
	s->spec = spec;
	s->fd = claimed_fd < 0 ? listen_tcp(spec, keepalive_ns, e)
			       : dup_of(claimed_fd, spec->text, e);
	if (s->fd < 0)
		return -1;
	l->n++;
	loop_fd_init(&s->watch);
	watch(s);
	return 0;
}

struct listener *
listener_new(struct loop *loop, const struct activator_conf *conf, const struct claim *claim,
	     const struct listener_ops *ops, void *arg, struct err *e)
{
	size_t n = conf->listeners_n, i;
	struct listener *l = xcalloc(1, sizeof *l + n * sizeof l->sockets[0]);

	l->loop = loop;
	l->ops = ops;
	l->arg = arg;
	loop_timer_init(&l->pause_timer, loop, on_pause_over, l);
	open_reserve(l);
	for (i = 0; i < n; i++)
		if (listen_on(l, &conf->listeners[i], claim_fd(claim, i), conf->tcp_keepalive, e) <
		    0) {
			listener_free(&l);
			return NULL;
		}
	return l;
}

void
listener_free(struct listener **lp)
{
	struct listener *l = *lp;
	size_t i;

	*lp = NULL;
	if (l == NULL)
		return;
	for (i = 0; i < l->n; i++) {
		loop_fd_clear(&l->sockets[i].watch);
		close(l->sockets[i].fd);
	}
	loop_timer_fini(&l->pause_timer);
	if (l->reserve_fd >= 0)
		close(l->reserve_fd);
	free(l);
}
