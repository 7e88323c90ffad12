#include "activator/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "activator/elders.h"
#include "activator/handover.h"
#include "activator/takeover.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/loop.h"

#define CHILD_FD 3		 /* the new process's end of the socket */
#define END_PATIENCE (1 * CLK_S) /* from its closed end to its exit status */

enum upgrade_state {
	UPGRADE_IDLE,
	UPGRADE_STARTING,   /* the new process is not ready yet */
	UPGRADE_GIVING_WAY, /* it was told to accept */
	UPGRADE_FAILING,    /* it is to end, and then to be reaped */
	UPGRADE_REPLACED    /* it has taken over */
};

struct upgrade_sockets {
	int *fds; /* -1: sent */
	bool *is_foreign;
	size_t n, cap;
	bool is_incomplete; /* there were no descriptors for copies */
};

struct upgrade {
	struct loop *loop;
	char *const *argv;
	struct bounds *bounds;
	struct elders *elders;
	const struct upgrade_ops *ops;
	void *arg;
	struct upgrade_counts counts;

	enum upgrade_state state;
	struct upgrade_sockets sockets;
	size_t sent;	     /* sockets that were sent */
	uint32_t part;	     /* of the bounds, for the new process */
	int socket;	     /* our end; -1: closed */
	pid_t child;	     /* 0: none, or reaped */
	int child_pidfd;     /* -1: none */
	pid_t successor;     /* as it names itself: another one than child behind a script */
	int successor_pidfd; /* of such a one; -1: none */
	struct loop_fd watch, writer, child_watch, successor_watch;
	struct loop_timer timer;
	int64_t timeout_ns;
	struct err why; /* FAILING: the reason */
	void (*done)(const char *, void *);
	void *done_arg;
};

/* --- the sockets --- */

void
upgrade_add_socket(struct upgrade_sockets *s, int fd, bool is_foreign)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0) {
		s->is_incomplete = true;
		return;
	}
	if (s->n == s->cap) {
		s->cap = MAX(s->cap * 2, (size_t)16);
		s->fds = xrealloc(s->fds, s->cap * sizeof *s->fds);
		s->is_foreign = xrealloc(s->is_foreign, s->cap * sizeof *s->is_foreign);
	}
	s->fds[s->n] = copy;
	s->is_foreign[s->n++] = is_foreign;
}

static void
drop_sockets(struct upgrade_sockets *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->fds[i] >= 0)
			close(s->fds[i]);
	free(s->fds);
	free(s->is_foreign);
	*s = (struct upgrade_sockets){.n = 0};
}

/* --- the end of an attempt --- */

static void
close_socket(struct upgrade *u)
{
	loop_fd_clear(&u->watch);
	loop_fd_clear(&u->writer);
	if (u->socket >= 0)
		close(u->socket);
	u->socket = -1;
	drop_sockets(&u->sockets);
}

static void
report(struct upgrade *u, const char *why)
{
	void (*done)(const char *, void *) = u->done;

	u->done = NULL;
	if (done != NULL)
		done(why, u->done_arg);
}

/* The new process has ended, or there was none. */
static void
finish_failing(struct upgrade *u)
{
	struct err why = u->why;

	bounds_unreserve(u->bounds, u->part);
	loop_timer_clear(&u->timer);
	u->state = UPGRADE_IDLE;
	u->counts.failed++;
	log_error(NULL, "the upgrade has failed, this activator goes on", "err=%s", why.text);
	report(u, why.text);
}

static void
kill_child(const struct upgrade *u)
{
	if (u->child > 0)
		kill(u->child, SIGKILL);
}

/* Fail with u->why: end the new process, if it has not ended by itself within `patience`. */
static void
fail(struct upgrade *u, int64_t patience)
{
	close_socket(u);
	u->state = UPGRADE_FAILING;
	if (u->child == 0) {
		finish_failing(u);
		return;
	}
	if (patience == 0)
		kill_child(u);
	else
		loop_timer_set(&u->timer, patience);
}

static void
describe_exit(struct err *e, int status)
{
	if (WIFEXITED(status))
		err_set(e, 0, "the new process has ended with status %d before it was ready",
			WEXITSTATUS(status));
	else
		err_set(e, 0, "the new process was ended by signal %d before it was ready",
			WTERMSIG(status));
}

static bool
reap(struct upgrade *u, int *status)
{
	pid_t got;

	do
		got = waitpid(u->child, status, WNOHANG);
	while (got < 0 && errno == EINTR);
	if (got == 0)
		return false;
	loop_fd_clear(&u->child_watch);
	close(u->child_pidfd);
	u->child_pidfd = -1;
	u->child = 0;
	return true;
}

static void
on_successor_ended(const struct upgrade *u)
{
	bounds_clear(u->bounds, u->successor);
	log_warn(NULL, "the activator that has taken over has ended", "pid=%d", (int)u->successor);
}

/* Does a process live to which that one, or one after it, has given way? */
static bool
has_live_successor(const struct upgrade *u, pid_t pid)
{
	int i;

	for (i = 0; i < BOUNDS_PROCESSES; i++) {
		pid = bounds_successor(u->bounds, pid);
		if (pid <= 0)
			return false;
		if (kill(pid, 0) == 0 || errno != ESRCH)
			return true;
	}
	return false;
}

/* If the successor was replaced by a further process, that one serves: nothing is lost. */
static void
on_child_successor_ended(const struct upgrade *u, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		bounds_clear(u->bounds, u->successor);
		log_info(NULL, "the activator that has taken over has ended in order", "pid=%d",
			 (int)u->successor);
		return;
	}
	on_successor_ended(u);
	if (!has_live_successor(u, u->successor))
		u->ops->on_successor_lost(u->arg);
}

static void
on_child_ended(int fd, short what, void *arg)
{
	struct upgrade *u = arg;
	int status = 0;
	pid_t pid = u->child;

	(void)fd;
	(void)what;
	if (!reap(u, &status))
		return;
	if (u->state == UPGRADE_REPLACED) {
		if (pid == u->successor)
			on_child_successor_ended(u, status);
		return;
	}
	/* What it has sent before its end says more than its exit status.  A script that has
	 * started it may end before it. */
	if (u->state == UPGRADE_FAILING) {
		if (u->why.text[0] == '\0')
			describe_exit(&u->why, status);
		finish_failing(u);
	}
}

/* --- sending --- */

/* A message cannot be sent.  If the new process has closed its end, its exit status says more. */
static void
fail_to_send(struct upgrade *u)
{
	bool is_closed = u->why.code == EPIPE || u->why.code == ECONNRESET;

	if (is_closed)
		u->why.text[0] = '\0';
	fail(u, is_closed ? END_PATIENCE : 0);
}

/* 1: it is sent; 0: the other side has to read first; -1: it has failed. */
static int
send_one(struct upgrade *u, const struct handover_msg *m)
{
	if (handover_send(u->socket, m, &u->why) == 0)
		return 1;
	if (u->why.code == EAGAIN || u->why.code == EWOULDBLOCK) {
		u->why.text[0] = '\0';
		return 0;
	}
	return -1;
}

static int
send_begin(struct upgrade *u)
{
	struct handover_msg m = {
		.type = HANDOVER_BEGIN, .sockets_n = (uint32_t)u->sockets.n, .part = u->part};
	int own = pidfd_open(getpid(), 0), rc;

	if (own < 0)
		return err_errno(&u->why, "cannot make a descriptor of this process");
	m.fds[m.fds_n++] = u->bounds->fd;
	m.fds[m.fds_n++] = own;
	elders_put(u->elders, &m);
	m.has_tickets = u->ops->tickets(&m.tickets, &m.rotated_ns, u->arg);
	rc = send_one(u, &m);
	explicit_bzero(&m.tickets, sizeof m.tickets);
	close(own);
	return rc == 1 ? 0 : -1; /* the first message has room */
}

static int
send_some(struct upgrade *u)
{
	struct upgrade_sockets *s = &u->sockets;
	struct handover_msg m = {.type = HANDOVER_SOCKETS};
	size_t i;
	int rc;

	m.fds_n = MIN(s->n - u->sent, (size_t)HANDOVER_FDS_MOST);
	for (i = 0; i < m.fds_n; i++) {
		m.fds[i] = s->fds[u->sent + i];
		m.is_foreign[i] = s->is_foreign[u->sent + i];
	}
	rc = send_one(u, &m);
	if (rc == 1)
		u->sent += m.fds_n;
	return rc;
}

static void on_writable(int fd, short what, void *arg);

static void
send_sockets(struct upgrade *u)
{
	int rc = 1;

	while (rc == 1 && u->sent < u->sockets.n)
		rc = send_some(u);
	if (rc < 0)
		fail_to_send(u);
	else if (rc == 0 && !u->writer.is_added)
		loop_fd_set(&u->writer, u->loop, u->socket, EV_WRITE, on_writable, u);
	else if (rc == 1)
		loop_fd_clear(&u->writer);
}

static void
on_writable(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	send_sockets(arg);
}

/* --- receiving --- */

static void
on_ready(struct upgrade *u, const struct handover_msg *m)
{
	const struct handover_msg go = {.type = HANDOVER_GO};

	if (u->state != UPGRADE_STARTING || u->sent < u->sockets.n) {
		err_set(&u->why, 0, "the new process sent ready at the wrong time");
		fail(u, 0);
		return;
	}
	u->successor = m->pid;
	if (send_one(u, &go) != 1) {
		fail_to_send(u);
		return;
	}
	u->state = UPGRADE_GIVING_WAY;
	loop_timer_set(&u->timer, u->timeout_ns);
}

static void
on_grandchild_ended(int fd, short what, void *arg)
{
	struct upgrade *u = arg;

	(void)fd;
	(void)what;
	loop_fd_clear(&u->successor_watch);
	on_successor_ended(u);
}

/* A script was started, and has started the successor. */
static void
watch_grandchild(struct upgrade *u)
{
	u->successor_pidfd = pidfd_open(u->successor, 0);
	if (u->successor_pidfd >= 0)
		loop_fd_set(&u->successor_watch, u->loop, u->successor_pidfd, EV_READ,
			    on_grandchild_ended, u);
}

static void
on_accepting(struct upgrade *u)
{
	if (u->state != UPGRADE_GIVING_WAY) {
		err_set(&u->why, 0, "the new process accepts before it was asked to");
		fail(u, 0);
		return;
	}
	u->state = UPGRADE_REPLACED;
	loop_timer_clear(&u->timer);
	close_socket(u);
	u->counts.replaced++;
	bounds_give_way(u->bounds, u->successor);
	if (u->successor != u->child)
		watch_grandchild(u);
	u->ops->on_replaced(u->successor, u->arg);
	report(u, NULL);
}

static void
on_message(struct upgrade *u, const struct handover_msg *m)
{
	switch (m->type) {
	case HANDOVER_READY:
		on_ready(u, m);
		break;
	case HANDOVER_ACCEPTING:
		on_accepting(u);
		break;
	case HANDOVER_FAILED:
		err_set(&u->why, 0, "%s", m->reason);
		fail(u, END_PATIENCE);
		break;
	default:
		err_set(&u->why, 0, "the new process sent a message that only an older one sends");
		fail(u, 0);
		break;
	}
}

static void
on_readable(int fd, short what, void *arg)
{
	struct upgrade *u = arg;
	struct handover_msg m;
	struct err e = {0};

	(void)what;
	if (handover_receive(fd, &m, &e) == 0) {
		on_message(u, &m);
	} else if (e.code == EPIPE) { /* its exit status follows */
		u->why.text[0] = '\0';
		fail(u, END_PATIENCE);
	} else if (e.code != EAGAIN) {
		u->why = e;
		fail(u, 0);
	}
	handover_msg_fini(&m);
}

static void
on_timer(void *arg)
{
	struct upgrade *u = arg;

	if (u->state == UPGRADE_FAILING && u->child == 0) { /* it was never started */
		finish_failing(u);
		return;
	}
	if (u->state == UPGRADE_FAILING) {
		if (u->why.text[0] == '\0')
			err_set(&u->why, 0, "the new process has closed its socket, and goes on");
		kill_child(u);
		return;
	}
	err_set(&u->why, 0, "the new process was not ready within upgrade_timeout");
	fail(u, 0);
}

/* --- starting the new process --- */

static bool
is_kept(const char *variable)
{
	/* They are about this process alone, or ours to set. */
	static const char *const dropped[] = {"LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=",
					      "WATCHDOG_PID=", TAKEOVER_VARIABLE "="};
	size_t i;

	for (i = 0; i < ARRAY_LEN(dropped); i++)
		if (strncmp(variable, dropped[i], strlen(dropped[i])) == 0)
			return false;
	return true;
}

/* The array is the caller's to free; the strings are borrowed. */
static char **
environment(char *takeover)
{
	size_t n = 0, i;
	char **out;

	for (i = 0; environ[i] != NULL; i++)
		;
	out = xcalloc(i + 2, sizeof *out);
	for (i = 0; environ[i] != NULL; i++)
		if (is_kept(environ[i]))
			out[n++] = environ[i];
	out[n++] = takeover;
	return out;
}

/* The program as it was named when this process was started: a name without a slash is looked for
 * in PATH.  Its end of the socket becomes CHILD_FD; no other descriptor of ours is open there. */
static int
spawn(struct upgrade *u, int end)
{
	char takeover[64];
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	char **env;
	int code;

	snprintf(takeover, sizeof takeover, "%s=%d", TAKEOVER_VARIABLE, CHILD_FD);
	env = environment(takeover);
	sigemptyset(&none);
	CHECK(posix_spawn_file_actions_init(&actions) == 0);
	CHECK(posix_spawnattr_init(&attributes) == 0);
	CHECK(posix_spawn_file_actions_adddup2(&actions, end, CHILD_FD) == 0);
	CHECK(posix_spawn_file_actions_addclosefrom_np(&actions, CHILD_FD + 1) == 0);
	CHECK(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK) == 0);
	CHECK(posix_spawnattr_setsigmask(&attributes, &none) == 0);
	code = posix_spawnp(&u->child, u->argv[0], &actions, &attributes, u->argv, env);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	free(env);
	if (code != 0) {
		u->child = 0;
		return err_set(&u->why, code, "cannot start %s: %s", u->argv[0], strerror(code));
	}
	return 0;
}

static int
start(struct upgrade *u)
{
	int ends[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return err_errno(&u->why, "cannot make a socket");
	u->socket = ends[0];
	rc = spawn(u, ends[1]);
	close(ends[1]);
	if (rc < 0)
		return -1;
	u->child_pidfd = pidfd_open(u->child, 0);
	if (u->child_pidfd < 0) {
		err_errno(&u->why, "cannot watch the new process");
		kill_child(u);
		while (waitpid(u->child, NULL, 0) < 0 && errno == EINTR)
			;
		u->child = 0;
		return -1;
	}
	loop_fd_set(&u->child_watch, u->loop, u->child_pidfd, EV_READ, on_child_ended, u);
	loop_fd_set(&u->watch, u->loop, u->socket, EV_READ, on_readable, u);
	return 0;
}

static int
refuse(struct upgrade *u, struct err *e, const char *why)
{
	u->counts.refused++;
	log_error(NULL, "the upgrade is refused", "why=%s", why);
	return err_set(e, 0, "%s", why);
}

static int
check(struct upgrade *u, struct err *e)
{
	const char *why = u->ops->refusal(u->arg);
	char text[200];

	if (why != NULL)
		return refuse(u, e, why);
	if (u->state == UPGRADE_REPLACED)
		return refuse(u, e, "a newer activator has taken over already");
	if (u->state != UPGRADE_IDLE)
		return refuse(u, e, "another upgrade is under way");
	if (getpid() == 1)
		return refuse(u, e,
			      "this is process 1 of a container, which ends with it: start a new "
			      "container instead");
	if (elders_count(u->elders) < BOUNDS_OLD_MOST)
		return 0;
	snprintf(text, sizeof text,
		 "%d older activators still finish their requests (pid %s): SIGTERM ends them "
		 "within drain_timeout",
		 BOUNDS_OLD_MOST, elders_text(u->elders));
	return refuse(u, e, text);
}

int
upgrade_begin(struct upgrade *u, int64_t timeout_ns, void (*done)(const char *, void *),
	      void *done_arg, struct err *e)
{
	if (check(u, e) < 0)
		return -1;
	if (!bounds_reserve(u->bounds, &u->part))
		return refuse(u, e, "an older activator has not ended yet");
	u->state = UPGRADE_STARTING;
	u->why = (struct err){0};
	u->sent = 0;
	u->timeout_ns = timeout_ns;
	u->done = done;
	u->done_arg = done_arg;
	log_info(NULL, "upgrade: starting the new activator", "program=%s", u->argv[0]);
	u->ops->sockets(&u->sockets, u->arg);
	if (u->sockets.is_incomplete)
		err_set(&u->why, EMFILE, "too few descriptors to copy the sockets that listen");
	/* A failure is reported from the loop, as every other. */
	if (u->sockets.is_incomplete || start(u) < 0) {
		close_socket(u);
		u->state = UPGRADE_FAILING;
		loop_timer_set(&u->timer, 0);
		return 0;
	}
	loop_timer_set(&u->timer, timeout_ns);
	if (send_begin(u) < 0)
		fail_to_send(u);
	else
		send_sockets(u);
	return 0;
}

/* --- life --- */

struct upgrade *
upgrade_new(struct loop *loop, char *const *argv, struct bounds *bounds, struct elders *elders,
	    const struct upgrade_ops *ops, void *arg)
{
	struct upgrade *u = xcalloc(1, sizeof *u);

	*u = (struct upgrade){.loop = loop,
			      .argv = argv,
			      .bounds = bounds,
			      .elders = elders,
			      .ops = ops,
			      .arg = arg,
			      .socket = -1,
			      .child_pidfd = -1,
			      .successor_pidfd = -1};
	loop_fd_init(&u->watch);
	loop_fd_init(&u->writer);
	loop_fd_init(&u->child_watch);
	loop_fd_init(&u->successor_watch);
	loop_timer_init(&u->timer, loop, on_timer, u);
	return u;
}

void
upgrade_cancel(struct upgrade *u, const char *why)
{
	if (u->state != UPGRADE_STARTING && u->state != UPGRADE_GIVING_WAY)
		return;
	err_set(&u->why, 0, "%s", why);
	fail(u, 0);
}

void
upgrade_free(struct upgrade **up)
{
	struct upgrade *u = *up;

	*up = NULL;
	if (u == NULL)
		return;
	close_socket(u);
	if (u->child > 0 && u->state != UPGRADE_REPLACED)
		kill_child(u);
	report(u, "this activator has ended");
	loop_fd_clear(&u->child_watch);
	if (u->child_pidfd >= 0)
		close(u->child_pidfd);
	loop_fd_clear(&u->successor_watch);
	if (u->successor_pidfd >= 0)
		close(u->successor_pidfd);
	loop_timer_fini(&u->timer);
	free(u);
}

bool
upgrade_is_under_way(const struct upgrade *u)
{
	return u->state == UPGRADE_STARTING || u->state == UPGRADE_GIVING_WAY ||
	       u->state == UPGRADE_FAILING;
}

struct upgrade_counts
upgrade_counts(const struct upgrade *u)
{
	return u->counts;
}
