/* listener - accepting.  Past max_connections, and at the descriptor limit, a client
 * gets a short 503 instead of silence; accept(2) never spins. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/plane.h"
#include "common/clk.h"

#define ACCEPT_PAUSE (50 * CLK_MS)
#define ACCEPT_BATCH 64 /* per wake-up, so that accepting does not starve the rest */

static void
refuse(struct worker *w, int fd, const char *why)
{
	char answer[512], rest[4096];
	int size = snprintf(answer, sizeof answer,
			    "HTTP/1.1 503 Service Unavailable\r\n"
			    "X-Activator-Reason: queue_full\r\n"
			    "Retry-After: 1\r\n"
			    "Content-Type: text/plain; charset=utf-8\r\n"
			    "Content-Length: %zu\r\n"
			    "Connection: close\r\n"
			    "\r\n"
			    "queue_full: %s\n",
			    strlen("queue_full: \n") + strlen(why), why);
	ssize_t n = send(fd, answer, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);

	/* Unread bytes would turn the close into a reset that overtakes the answer. */
	shutdown(fd, SHUT_WR);
	if (n > 0)
		n = recv(fd, rest, sizeof rest, MSG_DONTWAIT);
	(void)n;
	close(fd);
	metric_add(&w->counters.connections_refused, 1);
}

/* No descriptor is left: give up the reserved one, for as long as it takes to say so. */
static bool
refuse_at_limit(struct worker *w, int listen_fd)
{
	int fd, code;

	if (w->reserve_fd < 0)
		return false;
	close(w->reserve_fd);
	fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	code = errno;
	if (fd >= 0)
		refuse(w, fd, "too many connections");
	w->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	errno = code;
	return fd >= 0;
}

/* --- connections of one client address --- */

static size_t
client_count(struct worker *w, const char *client)
{
	return (size_t)(uintptr_t)hmap_find(&w->clients, client);
}

static bool
client_enter(struct worker *w, const struct addr *peer)
{
	char client[ADDR_TEXT];
	size_t n;

	if (w->conf->connections_per_client == 0)
		return true;
	addr_format(peer, false, client);
	n = client_count(w, client);
	if (n >= w->conf->connections_per_client)
		return false;
	hmap_put(&w->clients, client, (void *)(uintptr_t)(n + 1));
	return true;
}

void
listener_left(struct conn *c)
{
	size_t n;

	if (c->w->conf->connections_per_client == 0)
		return;
	n = client_count(c->w, c->peer_text);
	CHECK(n > 0);
	if (n == 1)
		hmap_remove(&c->w->clients, c->peer_text);
	else
		hmap_put(&c->w->clients, c->peer_text, (void *)(uintptr_t)(n - 1));
}

/* --- accepting --- */

static void on_acceptable(int listen_fd, short what, void *arg);

static void
watch(struct worker *w, struct listener *l)
{
	loop_fd_set(&l->fd_watch, w->loop, l->fd, EV_READ, on_acceptable, w);
}

static void
resume(void *arg)
{
	struct worker *w = arg;
	size_t i;

	if (w->reserve_fd < 0)
		w->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (i = 0; i < w->listeners_n; i++)
		watch(w, &w->listeners[i]);
}

/* Not even to refuse is there a descriptor: look again later, rather than all the time. */
static void
pause_accepting(struct worker *w)
{
	size_t i;

	for (i = 0; i < w->listeners_n; i++)
		loop_fd_clear(&w->listeners[i].fd_watch);
	loop_timer_set(&w->accept_timer, ACCEPT_PAUSE);
}

/* accept(2) failed.  True: try the next one. */
static bool
is_past_failure(struct worker *w, int listen_fd)
{
	if (errno == ECONNABORTED || errno == EINTR) /* it left before it was accepted */
		return true;
	if (errno == EAGAIN)
		return false;
	if (errno == EMFILE || errno == ENFILE) {
		log_warn_limited(NULL, "no descriptor is left for a client", "errno=%d", errno);
		if (refuse_at_limit(w, listen_fd))
			return true;
		if (errno == EAGAIN && w->reserve_fd >= 0)
			return false;
	}
	pause_accepting(w);
	return false;
}

/* False: nobody waits any more, or none can be taken now. */
static bool
accept_some(struct worker *w, int listen_fd)
{
	int i;

	w->now = clk_now();
	for (i = 0; i < ACCEPT_BATCH; i++) {
		struct addr peer = {.len = sizeof peer.ss};
		int fd = accept4(listen_fd, (struct sockaddr *)&peer.ss, &peer.len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (is_past_failure(w, listen_fd))
				continue;
			return false;
		}
		metric_add(&w->counters.accepted, 1);
		if (atomic_load_explicit(&w->bounds->connections, memory_order_relaxed) >=
		    w->bounds->max_connections)
			refuse(w, fd, "too many connections");
		else if (!client_enter(w, &peer))
			refuse(w, fd, "too many connections of this client");
		else
			conn_open(w, fd, &peer);
	}
	return true;
}

static void
on_acceptable(int listen_fd, short what, void *arg)
{
	(void)what;
	(void)accept_some(arg, listen_fd);
}

void
listener_accept_rest(struct worker *w)
{
	size_t i;
	int turn;

	for (i = 0; i < w->listeners_n; i++)
		for (turn = 0; turn < SOMAXCONN / ACCEPT_BATCH; turn++)
			if (!accept_some(w, w->listeners[i].fd))
				break;
}

static int
open_one(struct worker *w, const char *text, struct err *e)
{
	struct listener *l = &w->listeners[w->listeners_n];
	struct addr addr;
	int on = 1;

	loop_fd_init(&l->fd_watch);
	if (addr_parse(&addr, text, e) < 0)
		return -1;
	l->fd = socket(addr.ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return err_errno(e, "cannot listen on %s", text);
	w->listeners_n++;
	setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(l->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	/* Inherited by what is accepted. */
	setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (addr.ss.ss_family == AF_INET6)
		setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	if (bind(l->fd, (struct sockaddr *)&addr.ss, addr.len) < 0 || listen(l->fd, SOMAXCONN) < 0)
		return err_errno(e, "cannot listen on %s", text);
	watch(w, l);
	return 0;
}

int
listener_open_all(struct worker *w, struct err *e)
{
	size_t i;

	w->listeners = xcalloc(w->conf->listen.n, sizeof *w->listeners);
	loop_timer_init(&w->accept_timer, w->loop, resume, w);
	for (i = 0; i < w->conf->listen.n; i++)
		if (open_one(w, w->conf->listen.v[i], e) < 0)
			return -1;
	w->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return 0;
}

void
listener_close_all(struct worker *w)
{
	size_t i;

	for (i = 0; i < w->listeners_n; i++) {
		loop_fd_clear(&w->listeners[i].fd_watch);
		if (w->listeners[i].fd >= 0)
			close(w->listeners[i].fd);
	}
	loop_timer_fini(&w->accept_timer);
	free(w->listeners);
	w->listeners = NULL;
	w->listeners_n = 0;
	if (w->reserve_fd >= 0)
		close(w->reserve_fd);
	w->reserve_fd = -1;
}
