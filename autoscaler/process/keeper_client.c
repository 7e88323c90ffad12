#include "autoscaler/process/keeper_client.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "autoscaler/keeper/cgroup.h"
#include "autoscaler/keeper/command.h"
#include "autoscaler/keeper/crash.h"
#include "autoscaler/keeper/keeper.h"
#include "autoscaler/keeper/proctab.h"
#include "common/backoff.h"
#include "common/clk.h"
#include "common/daemon.h"
#include "common/link.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/random.h"
#include "common/settings.h"
#include "common/strbuf.h"

#define RETRY_FIRST (100 * CLK_MS)
#define RETRY_MOST (2 * CLK_S)
#define STEADY_AFTER CLK_S	 /* a keeper that was up for less is replaced with a back-off */
#define OUTAGE_AFTER (3 * CLK_S) /* without a keeper: report it as a failure */
#define GROUPS_MAX 65536	 /* there are no more ports, so no more instances */

struct keeper_client {
	struct loop *loop;
	const struct settings *settings;
	const struct keeper_client_ops *ops;
	void *arg;
	char *socket, *cgroup_record, *mark;
	struct link *link; /* NULL: not dialled */
	bool is_connected; /* the keeper's hello has come */
	bool is_shutting_down;
	pid_t pid;     /* of the keeper; 0: not known */
	int64_t epoch; /* of its hello; 0: it keeps no lines */
	bool is_child; /* this process started it and has to reap it */
	int pid_fd;    /* pidfd of the keeper; -1: none */
	int ready_fd;  /* reads end of file when a keeper that is starting listens; -1: none */
	struct loop_fd pid_ev, ready_ev;
	struct backoff backoff;
	struct loop_timer retry;
	struct loop_timer shut_down_timer;
	int64_t up_since_ns;   /* when its hello came; 0: no hello since the last replacement */
	int64_t down_since_ns; /* 0: the keeper is connected */
	struct err last_error; /* why there is no keeper; "" if not known */
	struct strbuf line;
};

static void find_or_start(struct keeper_client *);

static void
retry_later(struct keeper_client *c)
{
	loop_timer_set(&c->retry, backoff_next(&c->backoff, random_u32()));
}

static void
on_retry(void *arg)
{
	find_or_start(arg);
}

/* --- the keeper's process --- */

static void
close_watch(struct loop_fd *ev, int *fd)
{
	if (*fd < 0)
		return;
	loop_fd_clear(ev);
	close(*fd);
	*fd = -1;
}

static void
forget_process(struct keeper_client *c)
{
	int status;
	char how[80];

	close_watch(&c->pid_ev, &c->pid_fd);
	if (c->is_child && waitpid(c->pid, &status, WNOHANG) == c->pid && status != 0 &&
	    !c->is_shutting_down) {
		crash_describe(status, how, sizeof how);
		err_set(&c->last_error, 0, "the keeper process %s", how);
	}
	c->pid = 0;
	c->is_child = false;
}

static void
on_process_end(int fd, short what, void *arg)
{
	struct keeper_client *c = arg;

	(void)fd;
	(void)what;
	/* Before an upgrade this process may have started it: then it is a child of ours. */
	if (!c->is_child)
		(void)waitpid(c->pid, NULL, WNOHANG);
	forget_process(c);
	link_free(&c->link);
	if (c->up_since_ns != 0 && clk_now() - c->up_since_ns >= STEADY_AFTER) {
		backoff_reset(&c->backoff);
		find_or_start(c);
	} else if (c->is_shutting_down) {
		find_or_start(c);
	} else if (!loop_timer_pending(&c->retry)) {
		retry_later(c);
	}
}

static void
watch_process(struct keeper_client *c, pid_t pid, bool is_child)
{
	if (c->pid == pid)
		return;
	forget_process(c);
	c->pid = pid;
	c->is_child = is_child;
	c->pid_fd = pidfd_open(pid, 0); /* if it fails, the next retry finds the lock free */
	if (c->pid_fd >= 0) {
		fcntl(c->pid_fd, F_SETFD, FD_CLOEXEC);
		loop_fd_set(&c->pid_ev, c->loop, c->pid_fd, EV_READ, on_process_end, c);
	}
}

/* --- the link --- */

static void
send_hello(struct keeper_client *c)
{
	const struct autoscaler_conf *s = &c->settings->autoscaler;
	struct keeper_msg m = {.type = KEEPER_HELLO,
			       .protocol = KEEPER_PROTOCOL,
			       .pid = getpid(),
			       .orphan_timeout_ms = s->orphan_timeout / CLK_MS,
			       .output_bytes = (int64_t)s->output_bytes,
			       .output_bytes_total = (int64_t)s->output_bytes_total};

	keeper_client_send(c, &m, NULL);
}

/* The keeper may have been started with other settings. */
static void
send_log(struct keeper_client *c)
{
	struct keeper_msg m = {.type = KEEPER_LOG,
			       .log_level = c->settings->log_level,
			       .log_format = c->settings->log_format};

	keeper_client_send(c, &m, NULL);
}

void
keeper_client_use_settings(struct keeper_client *c, const struct settings *s)
{
	const struct autoscaler_conf *old = &c->settings->autoscaler, *new = &s->autoscaler;
	bool is_new = old->orphan_timeout != new->orphan_timeout ||
		      old->output_bytes != new->output_bytes ||
		      old->output_bytes_total != new->output_bytes_total;

	c->settings = s;
	if (is_new && c->is_connected)
		send_hello(c);
	if (c->is_connected)
		send_log(c);
}

/* A keeper of another protocol version: we cannot exchange messages about its instances, but
 * every version understands `leave`.  So it stops them, and another keeper takes over. */
static void
replace_other_version(struct keeper_client *c, const struct keeper_msg *m)
{
	log_warn(NULL, "keeper has another protocol version, replacing it and its instances",
		 "protocol=%lld expected=%d", (long long)m->protocol, KEEPER_PROTOCOL);
	send_hello(c);
	keeper_client_send(c, &(struct keeper_msg){.type = KEEPER_LEAVE}, NULL);
}

static void
on_hello(struct keeper_client *c, const struct keeper_msg *m)
{
	watch_process(c, (pid_t)m->pid, false);
	c->epoch = m->epoch;
	if (m->protocol != KEEPER_PROTOCOL) {
		replace_other_version(c, m);
		return;
	}
	link_accept_peer(c->link);
	c->is_connected = true;
	c->up_since_ns = clk_now();
	c->down_since_ns = 0;
	c->last_error.text[0] = '\0';
	loop_timer_clear(&c->retry);
	if (c->is_shutting_down) {
		keeper_client_send(c, &(struct keeper_msg){.type = KEEPER_LEAVE}, NULL);
		return;
	}
	send_hello(c);
	send_log(c);
	c->ops->on_up(c->arg);
}

/* The keeper sends the first message.  It may be killed before: a program before this one in this
 * process may have started it, and then nobody else reaps it. */
static void
on_link_up(struct link *l, void *arg)
{
	struct keeper_client *c = arg;
	pid_t pid;
	uid_t uid;

	link_peer_process(l, &pid, &uid);
	if (pid > 0)
		watch_process(c, pid, false);
}

static void
on_link_line(struct link *l, char *line, size_t n, void *arg)
{
	struct keeper_client *c = arg;
	struct keeper_msg m;
	struct err e;

	if (keeper_msg_decode(&m, line, n, &e) < 0)
		link_cut(l, "%s", e.text);
	else if (m.type == KEEPER_HELLO)
		on_hello(c, &m);
	else if (c->is_connected)
		c->ops->on_message(&m, c->arg);
	keeper_msg_fini(&m);
}

static void
on_link_down(struct link *l, const struct err *why, void *arg)
{
	struct keeper_client *c = arg;

	(void)l;
	if (!c->is_shutting_down)
		log_warn(NULL, "connection to the keeper lost", "why=%s", why->text);
	c->is_connected = false;
	link_free(&c->link);
	/* A keeper that was killed closes its socket before its lock.  Wait, or it would seem
	 * alive. */
	loop_timer_set(&c->retry, RETRY_FIRST / 10);
}

static const struct link_ops link_ops = {
	.on_up = on_link_up, .on_line = on_link_line, .on_down = on_link_down};

/* --- find or start --- */

static size_t
kill_groups(struct keeper_client *c)
{
	pid_t *groups = xmalloc(GROUPS_MAX * sizeof *groups);
	size_t n = c->ops->groups(groups, GROUPS_MAX, c->arg), killed = 0, i;

	for (i = 0; i < n; i++)
		killed += kill(-groups[i], SIGKILL) == 0;
	free(groups);
	return killed;
}

static bool
is_marked(const struct keeper_client *c, pid_t pid)
{
	char *mark = proctab_env(pid, COMMAND_KEEPER);
	bool is_ours = mark != NULL && strcmp(mark, c->mark) == 0;

	free(mark);
	return is_ours;
}

static size_t
kill_marked(const struct keeper_client *c)
{
	struct proctab t;
	size_t killed = 0, i;

	proctab_read(&t);
	for (i = 0; i < t.n; i++)
		if (!t.v[i].is_zombie && t.v[i].pid != getpid() && is_marked(c, t.v[i].pid))
			killed += kill(t.v[i].pid, SIGKILL) == 0;
	proctab_fini(&t);
	return killed;
}

/* Kill what is left of a dead keeper's instances: the processes in its control group, in the
 * process groups known to us, and those with our mark in their environment. */
static void
kill_leftovers(struct keeper_client *c)
{
	char *group = xasprintf(KEEPER_CGROUP_NAME, c->mark);
	size_t killed = cgroup_kill_recorded(c->cgroup_record, group);

	free(group);
	killed += kill_groups(c);
	killed += kill_marked(c);
	if (killed > 0)
		log_warn(NULL, "killed processes that a dead keeper left behind", "");
}

static void
dial(struct keeper_client *c)
{
	if (c->link == NULL)
		c->link = link_dial(c->loop, c->socket, &link_ops, c);
}

static void
on_ready(int fd, short what, void *arg)
{
	struct keeper_client *c = arg;

	(void)fd;
	(void)what;
	close_watch(&c->ready_ev, &c->ready_fd);
	dial(c); /* if the keeper has failed, on_process_end() follows */
}

static void
retry_with_error(struct keeper_client *c, const struct err *e)
{
	c->last_error = *e;
	log_error(NULL, "no keeper can be started, trying again", "err=%s", e->text);
	retry_later(c);
}

static void
start(struct keeper_client *c, int lock_fd)
{
	const struct settings *s = c->settings;
	struct err e;
	int ready_fd;
	pid_t pid = keeper_start(s->state_dir, lock_fd, s->log_level, s->log_format, &ready_fd, &e);

	if (pid < 0) {
		retry_with_error(c, &e);
		return;
	}
	close_watch(&c->ready_ev, &c->ready_fd);
	c->ready_fd = ready_fd;
	loop_fd_set(&c->ready_ev, c->loop, ready_fd, EV_READ, on_ready, c);
	watch_process(c, pid, true);
	log_debug(NULL, "keeper started", "pid=%d", (int)pid);
}

/* We hold the lock, so no keeper lives.  Clean up after the last one, and start another. */
static void
start_another(struct keeper_client *c, int lock_fd)
{
	bool was_up = c->up_since_ns != 0;

	forget_process(c);
	link_free(&c->link);
	c->is_connected = false;
	c->up_since_ns = 0;
	kill_leftovers(c);
	if (was_up)
		c->ops->on_dead(c->last_error.text[0] != '\0' ? c->last_error.text : "not known",
				c->arg);
	if (c->is_shutting_down) {
		c->ops->on_shut_down(c->arg);
		return;
	}
	if (!was_up && c->last_error.text[0] != '\0')
		log_error(NULL, "keeper did not start, starting another", "err=%s",
			  c->last_error.text);
	start(c, lock_fd);
	retry_later(c); /* until its hello has come */
}

static void
find_or_start(struct keeper_client *c)
{
	struct err e;
	int lock_fd;

	if (c->down_since_ns == 0)
		c->down_since_ns = clk_now();
	if (keeper_client_outage(c) != NULL)
		c->ops->on_outage(c->arg);
	lock_fd = daemon_lock(c->settings->state_dir, KEEPER_LOCK, &e);
	if (lock_fd >= 0) {
		start_another(c, lock_fd);
		close(lock_fd); /* the keeper has its own copy */
	} else if (e.code == EWOULDBLOCK) {
		if (c->ready_fd < 0)
			dial(c);
		retry_later(c);
	} else {
		retry_with_error(c, &e);
	}
}

/* --- for the driver --- */

static void
on_shut_down_overdue(void *arg)
{
	struct keeper_client *c = arg;

	if (c->pid == 0) { /* it holds the lock, but has never sent its hello */
		log_error(NULL, "keeper does not answer, its instances keep running", "socket=%s",
			  c->socket);
		c->ops->on_shut_down(c->arg);
		return;
	}
	log_warn(NULL, "keeper does not exit, killing it and its instances", "pid=%d", (int)c->pid);
	kill(c->pid, SIGKILL);
	loop_timer_set(&c->retry, RETRY_FIRST / 10);
	loop_timer_set(&c->shut_down_timer, CLK_S);
}

struct keeper_client *
keeper_client_open(struct loop *loop, const struct settings *s, const struct keeper_client_ops *ops,
		   void *arg, struct err *e)
{
	struct keeper_client *c;
	const size_t most = sizeof((struct sockaddr_un *)0)->sun_path - sizeof "/" KEEPER_SOCKET;
	char *mark;

	if (strlen(s->state_dir) > most) {
		err_set(e, ENAMETOOLONG, "cannot use state_dir %s: at most %zu bytes fit a socket",
			s->state_dir, most);
		return NULL;
	}
	mark = keeper_mark(s->state_dir, e);
	if (mark == NULL)
		return NULL;
	c = xcalloc(1, sizeof *c);
	c->mark = mark;
	c->loop = loop;
	c->settings = s;
	c->ops = ops;
	c->arg = arg;
	c->socket = xasprintf("%s/%s", s->state_dir, KEEPER_SOCKET);
	c->cgroup_record = xasprintf("%s/%s", s->state_dir, KEEPER_CGROUP);
	c->pid_fd = c->ready_fd = -1;
	loop_fd_init(&c->pid_ev);
	loop_fd_init(&c->ready_ev);
	backoff_init(&c->backoff, RETRY_FIRST, RETRY_MOST);
	loop_timer_init(&c->retry, loop, on_retry, c);
	loop_timer_init(&c->shut_down_timer, loop, on_shut_down_overdue, c);
	strbuf_init(&c->line, 0);
	loop_timer_set(&c->retry, 0);
	return c;
}

void
keeper_client_free(struct keeper_client **cp)
{
	struct keeper_client *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	link_free(&c->link);
	close_watch(&c->ready_ev, &c->ready_fd);
	close_watch(&c->pid_ev, &c->pid_fd);
	loop_timer_fini(&c->shut_down_timer);
	loop_timer_fini(&c->retry);
	strbuf_fini(&c->line);
	free(c->mark);
	free(c->cgroup_record);
	free(c->socket);
	free(c);
}

const char *
keeper_client_outage(const struct keeper_client *c)
{
	if (c->down_since_ns == 0 || clk_now() - c->down_since_ns < OUTAGE_AFTER)
		return NULL;
	return c->last_error.text[0] != '\0' ? c->last_error.text
					     : "the keeper process does not answer";
}

pid_t
keeper_client_pid(const struct keeper_client *c)
{
	return c->pid;
}

bool
keeper_client_is_connected(const struct keeper_client *c)
{
	return c->is_connected;
}

int64_t
keeper_client_epoch(const struct keeper_client *c)
{
	return c->is_connected ? c->epoch : 0;
}

const char *
keeper_client_mark(const struct keeper_client *c)
{
	return c->mark;
}

int
keeper_client_send(struct keeper_client *c, const struct keeper_msg *m, struct err *e)
{
	if (c->link == NULL)
		return 0;
	strbuf_clear(&c->line);
	keeper_msg_encode(m, &c->line);
	if (c->line.len >= LINK_LINE_MAX)
		return err_set(e, E2BIG,
			       "arguments and environment are %zu bytes, expected at most %zu",
			       c->line.len, LINK_LINE_MAX - 1);
	link_send(c->link, c->line.data, c->line.len);
	return 0;
}

void
keeper_client_shut_down(struct keeper_client *c, int64_t most_ns)
{
	c->is_shutting_down = true;
	if (c->is_connected)
		keeper_client_send(c, &(struct keeper_msg){.type = KEEPER_LEAVE}, NULL);
	else
		loop_timer_set(&c->retry, 0);
	loop_timer_set(&c->shut_down_timer, most_ns);
}
