#include "activator/net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/net/listen_set.h"
#include "common/clk.h"
#include "common/list.h"
#include "common/log.h"
#include "common/loop.h"

#define ACCEPT_PAUSE (50 * CLK_MS)
#define ACCEPT_BATCH 64 /* connections in one event, so that other events are not delayed */

struct listening {
	struct list_node node;
	struct listener *listener;
	struct listen_use use;
	struct loop_fd watch;
};

struct listener {
	struct loop *loop;
	const struct listener_ops *ops;
	void *arg;
	struct loop_timer pause_timer;
	int reserve_fd;	     /* of /dev/null; -1: could not be opened again */
	struct list sockets; /* of struct listening */
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
	loop_fd_set(&s->watch, s->listener->loop, listen_socket_fd(s->use.socket), EV_READ,
		    on_acceptable, s);
}

static void
on_pause_over(void *arg)
{
	struct listener *l = arg;
	struct list_node *node, *tmp;

	if (l->reserve_fd < 0)
		open_reserve(l);
	LIST_FOREACH(&l->sockets, node, tmp)
		watch(container_of(node, struct listening, node));
}

static void
pause_accepting(struct listener *l)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&l->sockets, node, tmp)
		loop_fd_clear(&container_of(node, struct listening, node)->watch);
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
	fd = accept4(listen_socket_fd(s->use.socket), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	code = errno;
	if (fd >= 0)
		l->ops->on_no_descriptor(fd, &s->use.spec, l->arg);
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
		int fd = accept4(listen_socket_fd(s->use.socket), (struct sockaddr *)&peer.ss,
				 &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			l->ops->on_accept(fd, &peer, &s->use.spec, l->arg);
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

static void
accept_rest(const struct listening *s)
{
	int turn;

	for (turn = 0; turn < SOMAXCONN / ACCEPT_BATCH; turn++)
		if (!accept_some(s))
			break;
}

void
listener_accept_rest(struct listener *l)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&l->sockets, node, tmp)
		accept_rest(container_of(node, struct listening, node));
}

/* --- the sockets --- */

static void
forget(struct listening *s)
{
	loop_fd_clear(&s->watch);
	list_remove(&s->listener->sockets, &s->node);
	listen_socket_unref(&s->use.socket);
	free(s);
}

static bool
has(const struct listen_use *v, size_t n, const struct listen_socket *socket)
{
	size_t i;

	for (i = 0; i < n && v[i].socket != socket; i++)
		;
	return i < n;
}

static struct listening *
find(const struct listener *l, const struct listen_socket *socket)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&l->sockets, node, tmp) {
		struct listening *s = container_of(node, struct listening, node);

		if (s->use.socket == socket)
			return s;
	}
	return NULL;
}

static void
add(struct listener *l, const struct listen_use *use)
{
	struct listening *s = xcalloc(1, sizeof *s);

	s->listener = l;
	s->use = *use;
	list_push(&l->sockets, &s->node);
	loop_fd_init(&s->watch);
	if (!loop_timer_pending(&l->pause_timer))
		watch(s);
}

void
listener_use(struct listener *l, const struct listen_use *v, size_t n)
{
	struct list_node *node, *tmp;
	size_t i;

	LIST_FOREACH(&l->sockets, node, tmp) {
		struct listening *s = container_of(node, struct listening, node);

		if (!has(v, n, s->use.socket)) {
			accept_rest(s);
			forget(s);
		}
	}
	for (i = 0; i < n; i++) {
		struct listening *s = find(l, v[i].socket);
		struct listen_socket *socket = v[i].socket;

		if (s == NULL) {
			add(l, &v[i]);
		} else {
			s->use.spec = v[i].spec;
			listen_socket_unref(&socket); /* it has a reference already */
		}
	}
}

/* --- life --- */

struct listener *
listener_new(struct loop *loop, const struct listener_ops *ops, void *arg)
{
	struct listener *l = xcalloc(1, sizeof *l);

	l->loop = loop;
	l->ops = ops;
	l->arg = arg;
	list_init(&l->sockets);
	loop_timer_init(&l->pause_timer, loop, on_pause_over, l);
	open_reserve(l);
	return l;
}

void
listener_free(struct listener **lp)
{
	struct listener *l = *lp;
	struct list_node *node, *tmp;

	*lp = NULL;
	if (l == NULL)
		return;
	LIST_FOREACH(&l->sockets, node, tmp)
		forget(container_of(node, struct listening, node));
	loop_timer_fini(&l->pause_timer);
	if (l->reserve_fd >= 0)
		close(l->reserve_fd);
	free(l);
}
