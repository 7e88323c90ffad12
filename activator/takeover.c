#include "activator/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/elders.h"
#include "activator/handover.h"
#include "common/clk.h"
#include "common/inherited.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/text.h"

#define RECEIVE_MOST (10 * CLK_S)
#define END_PATIENCE (2 * CLK_S) /* from the closed end of the older one to its own end */

struct takeover {
	int socket;		   /* -1: closed */
	bool has_begun;		   /* BEGIN has come */
	struct handover_msg begin; /* its descriptors become -1 as they are taken */
	uint32_t sockets_n;	   /* that have come */

	struct loop *loop; /* from takeover_start() on */
	const struct takeover_ops *ops;
	void *arg;
	struct loop_fd watch;
	struct loop_timer timer; /* the older one has closed its end: is it dead? */
	bool is_ready, is_going;
};

/* --- starting --- */

static int
socket_type(int fd)
{
	int type = -1;
	socklen_t n = sizeof type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 ? -1 : type;
}

struct takeover *
takeover_new(void)
{
	const char *text = getenv(TAKEOVER_VARIABLE);
	struct takeover *t;
	uint32_t fd = 0;
	bool is_fd = text != NULL && text_number(text, strlen(text), INT32_MAX, &fd);

	unsetenv(TAKEOVER_VARIABLE);
	if (!is_fd || fd <= 2 || socket_type((int)fd) != SOCK_SEQPACKET ||
	    fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		return NULL;
	t = xcalloc(1, sizeof *t);
	t->socket = (int)fd;
	loop_fd_init(&t->watch);
	return t;
}

static void
close_socket(struct takeover *t)
{
	loop_fd_clear(&t->watch);
	if (t->socket >= 0)
		close(t->socket);
	t->socket = -1;
}

void
takeover_free(struct takeover **tp)
{
	struct takeover *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	close_socket(t);
	if (t->loop != NULL)
		loop_timer_fini(&t->timer);
	handover_msg_fini(&t->begin);
	free(t);
}

/* Wait for the next message.  As handover_receive(). */
static int
receive(const struct takeover *t, int64_t until_ns, struct handover_msg *m, struct err *e)
{
	struct pollfd p = {.fd = t->socket, .events = POLLIN};
	int64_t left = until_ns - clk_now();

	memset(m, 0, sizeof *m);
	while (left > 0 && poll(&p, 1, (int)(left / CLK_MS) + 1) <= 0)
		left = until_ns - clk_now();
	if (left <= 0)
		return err_set(e, ETIMEDOUT, "the older activator has handed over nothing in time");
	return handover_receive(t->socket, m, e);
}

static int
take_sockets(struct takeover *t, struct handover_msg *m, struct inherited *to, struct err *e)
{
	size_t i;

	if (m->type != HANDOVER_SOCKETS || m->fds_n == 0 ||
	    m->fds_n > t->begin.sockets_n - t->sockets_n)
		return err_set(e, 0, "the older activator does not keep to the hand-over");
	for (i = 0; i < m->fds_n; i++) {
		int fd = m->fds[i];

		m->fds[i] = -1;
		if (inherited_add(to, fd, m->is_foreign[i], NULL, e) < 0)
			return -1;
	}
	t->sockets_n += (uint32_t)m->fds_n;
	return 0;
}

static int
receive_sockets(struct takeover *t, int64_t until_ns, struct inherited *to, struct err *e)
{
	int rc = 0;

	while (rc == 0 && t->sockets_n < t->begin.sockets_n) {
		struct handover_msg m;

		rc = receive(t, until_ns, &m, e);
		if (rc == 0)
			rc = take_sockets(t, &m, to, e);
		handover_msg_fini(&m);
	}
	return rc;
}

int
takeover_receive(struct takeover *t, struct inherited *to, struct err *e)
{
	int64_t until_ns = clk_now() + RECEIVE_MOST;
	struct err why = {0};
	int rc = receive(t, until_ns, &t->begin, &why);

	if (rc == 0 && t->begin.type != HANDOVER_BEGIN)
		rc = err_set(&why, 0, "the older activator does not keep to the hand-over");
	t->has_begun = rc == 0;
	if (rc == 0)
		rc = receive_sockets(t, until_ns, to, &why);
	if (rc == 0 || why.code == EPIPE)
		return 0;
	*e = why;
	return err_prefix(e, "upgrade");
}

static int
take(struct takeover *t, size_t i)
{
	int fd = t->begin.fds[i];

	t->begin.fds[i] = -1;
	return fd;
}

int
takeover_bounds(struct takeover *t, struct bounds *b, struct err *e)
{
	int fd;

	if (!t->has_begun)
		return bounds_open(b, e);
	fd = take(t, 0);
	if (bounds_join(b, fd, t->begin.part, e) == 0)
		return 0;
	close(fd);
	return -1;
}

bool
takeover_tickets(const struct takeover *t, struct tls_ticket_keys *keys, int64_t *rotated_ns)
{
	if (!t->has_begun || !t->begin.has_tickets)
		return false;
	*keys = t->begin.tickets;
	*rotated_ns = t->begin.rotated_ns;
	return true;
}

/* --- its messages --- */

/* The older one is dead, or has said go. */
static void
go(struct takeover *t)
{
	if (t->is_going)
		return;
	t->is_going = true;
	loop_timer_clear(&t->timer);
	t->ops->on_go(t->arg);
}

static void
give_up(struct takeover *t, const char *why)
{
	close_socket(t);
	log_error(NULL, "the older activator goes on, this one ends", "why=%s", why);
	t->ops->on_given_up(t->arg);
}

/* Its end is closed, but there is no word yet that it is dead. */
static void
on_timer(void *arg)
{
	give_up(arg, "it has given up the upgrade");
}

static void
on_closed(struct takeover *t)
{
	close_socket(t);
	if (t->is_going)
		return;
	if (t->has_begun)
		loop_timer_set(&t->timer, END_PATIENCE);
	else /* it was dead before it could hand over anything */
		go(t);
}

static void
on_readable(int fd, short what, void *arg)
{
	struct takeover *t = arg;
	struct handover_msg m;
	struct err e = {0};

	(void)what;
	if (handover_receive(fd, &m, &e) == 0) {
		if (m.type == HANDOVER_GO && t->is_ready)
			go(t);
		else
			give_up(t, "it does not keep to the hand-over");
	} else if (e.code == EPIPE) {
		on_closed(t);
	} else if (e.code != EAGAIN) {
		give_up(t, e.text);
	}
	handover_msg_fini(&m);
}

void
takeover_on_ended(struct takeover *t, pid_t pid)
{
	if (t->has_begun && pid == t->begin.pid && !t->is_going) {
		log_warn(NULL, "the older activator has ended before this one was ready", "pid=%d",
			 (int)pid);
		go(t);
	}
}

void
takeover_start(struct takeover *t, struct loop *loop, struct elders *elders,
	       const struct takeover_ops *ops, void *arg)
{
	size_t i;

	t->loop = loop;
	t->ops = ops;
	t->arg = arg;
	loop_timer_init(&t->timer, loop, on_timer, t);
	loop_fd_set(&t->watch, loop, t->socket, EV_READ, on_readable, t);
	if (!t->has_begun)
		return;
	elders_add(elders, t->begin.pid, take(t, 1));
	for (i = 0; i < t->begin.elders_n; i++)
		elders_add(elders, t->begin.elders[i], take(t, i + 2));
}

/* --- ours --- */

static void
send_msg(const struct takeover *t, const struct handover_msg *m)
{
	struct err e;

	/* If it cannot be sent, its end is closed, which is noticed by reading. */
	if (t->socket >= 0 && handover_send(t->socket, m, &e) < 0)
		log_debug(NULL, "message to the older activator", "err=%s", e.text);
}

void
takeover_ready(struct takeover *t)
{
	const struct handover_msg m = {.type = HANDOVER_READY};

	t->is_ready = true;
	send_msg(t, &m);
}

void
takeover_accepting(struct takeover *t)
{
	const struct handover_msg m = {.type = HANDOVER_ACCEPTING};

	if (t->is_ready)
		send_msg(t, &m);
}

void
takeover_fail(struct takeover *t, const char *why)
{
	struct handover_msg m = {.type = HANDOVER_FAILED, .reason = xstrdup(why)};

	send_msg(t, &m);
	free(m.reason);
}
