#include "common/link.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/backoff.h"
#include "common/clk.h"
#include "common/list.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/random.h"
#include "common/strbuf.h"
#include "common/unix_socket.h"

#ifndef SO_PEERPIDFD /* of Linux 6.5 */
#define SO_PEERPIDFD 77
#endif

#define READS_AT_END 64			/* READ_BYTES each: more than a socket holds */
#define READ_BYTES ((size_t)64 << 10)	/* in one event, so that other links have their turn */
#define FLUSH_BYTES ((size_t)256 << 10) /* so many are written before the tail of the round */
#define RETRY_FIRST (10 * CLK_MS)
#define RETRY_MAX CLK_S
#define ACCEPTS_MAX 16		    /* in one event */
#define GROUPS_MAX 256		    /* of a process that connects to a private socket */
#define ACCEPT_PAUSE (100 * CLK_MS) /* after accept(2) has failed */

enum link_state { LINK_DOWN, LINK_UP, LINK_BROKEN }; /* broken: on_down comes at the tail */

struct link {
	struct loop *loop;
	const struct link_ops *ops;
	void *arg;
	enum link_state state;
	bool is_freed;	      /* by link_free(); the memory is freed at the tail */
	bool is_flush_due;    /* at the tail of this round */
	bool is_write_broken; /* the peer takes nothing more: what it has sent is still delivered */
	unsigned deferred;    /* calls that are to come at the tail; the link lives until then */
	int fd;		      /* -1: none */
	struct loop_fd reader, writer;
	struct strbuf in; /* begins with the beginning of a line */
	size_t in_seen;	  /* bytes of `in` that were searched for a newline */
	struct strbuf out;
	size_t out_done; /* bytes of `out` that were written */
	struct err why;
	bool is_peer_accepted; /* link_accept_peer() was called for this connection, and link_cut()
				* was not */

	/* of a dialled link */
	const char *path; /* NULL: accepted */
	struct backoff backoff;
	struct loop_timer retry;
	struct err logged; /* the failure of a connect that was logged last; "": none was, or the
			    * last connect succeeded */

	/* of an accepted link */
	struct link_server *server;
	struct list_node node;
};

struct link_server {
	struct loop *loop;
	const struct link_ops *ops;
	void (*on_accept)(struct link *, void *arg);
	void *arg;
	int fd;
	bool is_private; /* link_listen_private() */
	gid_t group;	 /* whose members may connect though it is private; (gid_t)-1: none */
	char *path;
	struct loop_fd watch;
	struct loop_timer pause;
	struct list links;
};

static void on_link_ready(int fd, short what, void *arg);

/* --- making and freeing --- */

static struct link *
link_new(struct loop *loop, const struct link_ops *ops, void *arg)
{
	struct link *l = xcalloc(1, sizeof *l);

	l->loop = loop;
	l->ops = ops;
	l->arg = arg;
	l->fd = -1;
	loop_fd_init(&l->reader);
	loop_fd_init(&l->writer);
	strbuf_init(&l->in, 0);
	strbuf_init(&l->out, 0);
	return l;
}

static void
disconnect(struct link *l)
{
	loop_fd_clear(&l->reader);
	loop_fd_clear(&l->writer);
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

static void
release(struct link *l)
{
	if (!l->is_freed || l->deferred > 0)
		return;
	strbuf_fini(&l->in);
	strbuf_fini(&l->out);
	free(l);
}

/* Call fn(l) at the tail of the round. */
static void
at_tail(struct link *l, void (*fn)(void *))
{
	l->deferred++;
	loop_defer(l->loop, l, fn);
}

static void
on_release(void *arg)
{
	struct link *l = arg;

	l->deferred--;
	release(l);
}

static void
discard(struct link *l)
{
	disconnect(l);
	l->state = LINK_DOWN;
	if (l->server != NULL)
		list_remove(&l->server->links, &l->node);
	if (l->path != NULL)
		loop_timer_fini(&l->retry);
	l->server = NULL;
	l->is_freed = true;
	at_tail(l, on_release);
}

void
link_free(struct link **lp)
{
	struct link *l = *lp;

	*lp = NULL;
	if (l != NULL && !l->is_freed)
		discard(l);
}

/* --- the end of a connection --- */

static void
on_broken(void *arg)
{
	struct link *l = arg;

	l->deferred--;
	if (!l->is_freed) {
		l->state = LINK_DOWN;
		if (l->is_peer_accepted)
			backoff_reset(&l->backoff);
		strbuf_fini(&l->in);
		strbuf_fini(&l->out);
		l->in_seen = l->out_done = 0;
		l->ops->on_down(l, &l->why, l->arg);
	}
	if (!l->is_freed && l->path != NULL)
		loop_timer_set(&l->retry, backoff_next(&l->backoff, random_u32()));
	else if (!l->is_freed)
		discard(l);
	release(l);
}

/* End the connection for the reason in l->why.  Lines that were read but not delivered yet
 * are dropped. */
static void
break_off(struct link *l)
{
	if (l->state != LINK_UP)
		return;
	l->state = LINK_BROKEN;
	disconnect(l);
	at_tail(l, on_broken);
}

void
link_cut(struct link *l, const char *fmt, ...)
{
	char text[sizeof l->why.text];
	va_list args;

	if (l->state != LINK_UP)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	err_set(&l->why, 0, "%s", text);
	l->is_peer_accepted = false;
	break_off(l);
}

/* --- writing --- */

size_t
link_queued(const struct link *l)
{
	return l->out.len - l->out_done;
}

/* Drop what was written, if fewer bytes than that have to be moved. */
static void
trim(struct link *l)
{
	if (link_queued(l) == 0 && l->out.cap > READ_BYTES)
		strbuf_fini(&l->out);
	else if (link_queued(l) == 0)
		strbuf_clear(&l->out);
	else if (l->out_done > l->out.len / 2)
		strbuf_consume(&l->out, l->out_done);
	else
		return;
	l->out_done = 0;
}

static void on_write_broken(void *arg);

static void
flush(struct link *l)
{
	while (l->state == LINK_UP && link_queued(l) > 0) {
		ssize_t n = send(l->fd, l->out.data + l->out_done, link_queued(l), MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			if (!l->writer.is_added)
				loop_fd_set(&l->writer, l->loop, l->fd, EV_WRITE, on_link_ready, l);
			break;
		}
		if (n < 0) {
			err_errno(&l->why, "cannot write to the peer");
			l->is_write_broken = true;
			strbuf_clear(&l->out);
			l->out_done = 0;
			loop_fd_clear(&l->writer);
			at_tail(l, on_write_broken); /* a line may be being delivered */
			return;
		}
		l->out_done += (size_t)n;
	}
	if (link_queued(l) == 0)
		loop_fd_clear(&l->writer);
	trim(l);
}

static void
on_flush(void *arg)
{
	struct link *l = arg;

	l->deferred--;
	l->is_flush_due = false;
	if (l->state == LINK_UP && !l->is_freed)
		flush(l);
	release(l);
}

void
link_send(struct link *l, const char *data, size_t n)
{
	CHECK(memchr(data, '\n', n) == NULL);
	if (l->state != LINK_UP || l->is_write_broken)
		return;
	if (n >= LINK_LINE_MAX) {
		log_error(NULL, "cannot send a line: it is too long for the link",
			  "bytes=%zu max=%zu", n, LINK_LINE_MAX - 1);
		return;
	}
	strbuf_add(&l->out, data, n);
	strbuf_adds(&l->out, "\n");
	if (link_queued(l) >= FLUSH_BYTES && !l->writer.is_added)
		flush(l);
	if (l->state == LINK_UP && link_queued(l) > LINK_QUEUE_MAX) {
		link_cut(l, "the peer does not read: %zu bytes are queued for it", link_queued(l));
	} else if (!l->is_flush_due && !l->writer.is_added) {
		/* one write for all lines of this round */
		l->is_flush_due = true;
		at_tail(l, on_flush);
	}
}

/* --- reading --- */

/* Deliver each whole line; stop if a callback ends the link. */
static void
deliver_lines(struct link *l)
{
	size_t at = 0;

	while (l->state == LINK_UP && !l->is_freed) {
		char *line = l->in.data + at;
		char *end = memchr(l->in.data + l->in_seen, '\n', l->in.len - l->in_seen);

		if (end == NULL)
			break;
		l->in_seen = (size_t)(end - l->in.data) + 1;
		if ((size_t)(end - line) >= LINK_LINE_MAX)
			break; /* cut below */
		*end = '\0';
		at = l->in_seen;
		l->ops->on_line(l, line, (size_t)(end - line), l->arg);
	}
	strbuf_consume(&l->in, at);
	l->in_seen = l->in.len;
	if (l->in.len >= LINK_LINE_MAX)
		link_cut(l, "the peer sent a line longer than %zu bytes", LINK_LINE_MAX - 1);
}

/* False: nothing was there, or the connection has ended. */
static bool
read_some(struct link *l)
{
	char *to = strbuf_reserve(&l->in, READ_BYTES);
	ssize_t n = recv(l->fd, to, READ_BYTES, 0);

	if (n > 0) {
		l->in.len += (size_t)n;
		deliver_lines(l);
	} else if (n == 0) {
		if (l->in.len > 0)
			err_set(&l->why, 0, "the peer closed the connection within a line");
		else
			err_set(&l->why, 0, "the peer closed the connection");
		break_off(l);
	} else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
		err_errno(&l->why, "cannot read from the peer");
		break_off(l);
	}
	if (l->state == LINK_UP && l->in.len == 0 && l->in.cap > 2 * READ_BYTES)
		strbuf_fini(&l->in);
	return n > 0;
}

/* The peer has closed the connection, or a part of it, and may have sent its last words before. */
static void
on_write_broken(void *arg)
{
	struct link *l = arg;
	struct err why = l->why;
	int reads = 0;

	l->deferred--;
	while (l->state == LINK_UP && !l->is_freed && reads++ < READS_AT_END && read_some(l))
		;
	if (l->state == LINK_UP && !l->is_freed) {
		l->why = why;
		break_off(l);
	}
	release(l);
}

static void
on_link_ready(int fd, short what, void *arg)
{
	struct link *l = arg;

	(void)fd;
	if (what & EV_READ)
		read_some(l);
	else if (what & EV_WRITE)
		flush(l);
}

static void
establish(struct link *l, int fd)
{
	l->fd = fd;
	l->state = LINK_UP;
	l->is_peer_accepted = l->is_write_broken = false;
	loop_fd_set(&l->reader, l->loop, fd, EV_READ, on_link_ready, l);
	l->ops->on_up(l, l->arg);
}

/* --- dialling --- */

static void
on_retry(void *arg)
{
	struct link *l = arg;
	struct err e = {0};
	int fd = unix_socket_connect(l->path, &e);

	if (fd >= 0) {
		l->logged.text[0] = '\0';
		establish(l, fd);
		return;
	}
	if (strcmp(e.text, l->logged.text) != 0)
		log_info(NULL, "cannot connect yet, retrying", "err=%s", e.text);
	l->logged = e;
	loop_timer_set(&l->retry, backoff_next(&l->backoff, random_u32()));
}

struct link *
link_dial(struct loop *loop, const char *path, const struct link_ops *ops, void *arg)
{
	struct link *l = link_new(loop, ops, arg);

	l->path = path;
	backoff_init(&l->backoff, RETRY_FIRST, RETRY_MAX);
	loop_timer_init(&l->retry, loop, on_retry, l);
	/* In a round of the loop: no callback comes before link_dial() has returned. */
	loop_timer_set(&l->retry, 0);
	return l;
}

bool
link_is_up(const struct link *l)
{
	return l->state == LINK_UP;
}

void
link_accept_peer(struct link *l)
{
	l->is_peer_accepted = l->state == LINK_UP;
}

void
link_peer_process(const struct link *l, pid_t *pid, uid_t *uid)
{
	struct ucred peer = {.pid = -1, .uid = (uid_t)-1};
	socklen_t n = sizeof peer;

	if (l->fd < 0 || getsockopt(l->fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
		peer = (struct ucred){.pid = -1, .uid = (uid_t)-1};
	*pid = peer.pid;
	*uid = peer.uid;
}

int
link_peer_pidfd(const struct link *l)
{
	int fd = -1;
	socklen_t n = sizeof fd;

	if (l->fd < 0 || getsockopt(l->fd, SOL_SOCKET, SO_PEERPIDFD, &fd, &n) < 0)
		return -1;
	return fd;
}

void
link_set_arg(struct link *l, void *arg)
{
	l->arg = arg;
}

void *
link_arg(const struct link *l)
{
	return l->arg;
}

/* --- listening --- */

static void
accept_link(struct link_server *s, int fd)
{
	struct link *l = link_new(s->loop, s->ops, s->arg);

	l->server = s;
	list_push(&s->links, &l->node);
	s->on_accept(l, s->arg);
	if (!l->is_freed)
		establish(l, fd);
	else
		close(fd);
}

/* accept(2) has failed, and the connection may still wait: pause, so that the level-triggered
 * event does not come again and again. */
static void
pause_accepting(struct link_server *s)
{
	log_warn_limited(NULL, "cannot accept a connection", "socket=%s err=%s", s->path,
			 strerror(errno));
	loop_fd_clear(&s->watch);
	loop_timer_set(&s->pause, ACCEPT_PAUSE);
}

/* Is the process at the other end of fd in the group, as it was when it connected? */
static bool
is_member(int fd, const struct ucred *peer, gid_t group)
{
	gid_t groups[GROUPS_MAX];
	socklen_t bytes = sizeof groups;
	size_t i;

	if (group == (gid_t)-1)
		return false;
	if (peer->gid == group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) < 0)
		return false; /* more than GROUPS_MAX, too */
	for (i = 0; i < bytes / sizeof groups[0]; i++)
		if (groups[i] == group)
			return true;
	return false;
}

/* May the process at the other end of fd connect to a private socket? */
static bool
is_trusted(const struct link_server *s, int fd)
{
	struct ucred peer = {.uid = (uid_t)-1, .gid = (gid_t)-1};
	socklen_t n = sizeof peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 &&
	    (peer.uid == geteuid() || peer.uid == 0 || is_member(fd, &peer, s->group)))
		return true;
	log_warn_limited(NULL, "refused a connection of another user", "path=%s uid=%d pid=%d",
			 s->path, (int)peer.uid, (int)peer.pid);
	return false;
}

static void
on_connection(int fd, short what, void *arg)
{
	struct link_server *s = arg;
	int i;

	(void)what;
	for (i = 0; i < ACCEPTS_MAX; i++) {
		int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (peer >= 0 && s->is_private && !is_trusted(s, peer)) {
			close(peer);
		} else if (peer >= 0) {
			accept_link(s, peer);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != ECONNABORTED && errno != EINTR) {
			pause_accepting(s);
			return;
		}
	}
}

static void
listen_on(void *arg)
{
	struct link_server *s = arg;

	loop_fd_set(&s->watch, s->loop, s->fd, EV_READ, on_connection, s);
}

static struct link_server *
new_server(struct loop *loop, const char *path, const struct link_ops *ops,
	   void (*on_accept)(struct link *, void *arg), void *arg, int fd)
{
	struct link_server *s = xcalloc(1, sizeof *s);

	*s = (struct link_server){.loop = loop,
				  .ops = ops,
				  .on_accept = on_accept,
				  .arg = arg,
				  .fd = fd,
				  .group = (gid_t)-1,
				  .path = xstrdup(path)};
	list_init(&s->links);
	loop_fd_init(&s->watch);
	loop_timer_init(&s->pause, loop, listen_on, s);
	listen_on(s);
	return s;
}

struct link_server *
link_listen(struct loop *loop, const char *path, const struct link_ops *ops,
	    void (*on_accept)(struct link *, void *arg), void *arg, struct err *e)
{
	int fd = unix_socket_listen(path, 0660, e);

	return fd < 0 ? NULL : new_server(loop, path, ops, on_accept, arg, fd);
}

struct link_server *
link_listen_private(struct loop *loop, const char *path, const struct link_ops *ops,
		    void (*on_accept)(struct link *, void *arg), void *arg, struct err *e)
{
	int fd = unix_socket_listen(path, 0600, e);
	struct link_server *s = fd < 0 ? NULL : new_server(loop, path, ops, on_accept, arg, fd);

	if (s != NULL)
		s->is_private = true;
	return s;
}

int
link_server_allow_group(struct link_server *s, gid_t group, struct err *e)
{
	mode_t mode = group == (gid_t)-1 ? 0600 : 0660;

	CHECK(s->is_private);
	/* The mode is narrow while the group changes. */
	if (chmod(s->path, 0600) < 0 ||
	    (group != (gid_t)-1 && chown(s->path, (uid_t)-1, group) < 0) ||
	    chmod(s->path, mode) < 0)
		return err_errno(e, "cannot open %s to a group", s->path);
	s->group = group;
	return 0;
}

size_t
link_server_fds(const struct link_server *s, int *fds, size_t max)
{
	struct list_node *node, *tmp;
	size_t n = 0;

	LIST_FOREACH(&s->links, node, tmp) {
		const struct link *l = container_of(node, struct link, node);

		if (l->fd >= 0 && n < max)
			fds[n++] = l->fd;
	}
	return n;
}

/* Wait until something has come from one of the links, until end_ns at most.  False: nothing has,
 * or no link is left. */
static bool
wait_for_links(const struct link_server *s, int64_t end_ns)
{
	struct pollfd *fds = xcalloc(s->links.n + 1, sizeof *fds);
	struct list_node *node, *tmp;
	int64_t left = end_ns - clk_now();
	nfds_t n = 0;
	int got = 0;

	LIST_FOREACH(&s->links, node, tmp) {
		const struct link *l = container_of(node, struct link, node);

		if (l->state == LINK_UP)
			fds[n++] = (struct pollfd){.fd = l->fd, .events = POLLIN};
	}
	if (n > 0 && left > 0)
		got = poll(fds, n, (int)((left + CLK_MS - 1) / CLK_MS));
	free(fds);
	return got > 0 || (got < 0 && errno == EINTR);
}

void
link_server_finish(struct link_server *s, int64_t ns)
{
	int64_t end_ns = clk_now() + ns;
	struct list_node *node, *tmp;

	LIST_FOREACH(&s->links, node, tmp) {
		struct link *l = container_of(node, struct link, node);

		if (l->state == LINK_UP && !l->is_write_broken)
			flush(l);
		if (l->state == LINK_UP)
			shutdown(l->fd, SHUT_WR);
	}
	while (wait_for_links(s, end_ns)) {
		LIST_FOREACH(&s->links, node, tmp) {
			struct link *l = container_of(node, struct link, node);

			if (l->state == LINK_UP)
				(void)read_some(l);
		}
	}
}

void
link_server_free(struct link_server **sp)
{
	struct link_server *s = *sp;
	struct list_node *node, *tmp;

	*sp = NULL;
	if (s == NULL)
		return;
	LIST_FOREACH(&s->links, node, tmp)
		discard(container_of(node, struct link, node));
	loop_fd_clear(&s->watch);
	loop_timer_fini(&s->pause);
	close(s->fd);
	unlink(s->path);
	free(s->path);
	free(s);
}
