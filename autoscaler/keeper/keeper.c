#include "autoscaler/keeper/keeper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "autoscaler/keeper/cgroup.h"
#include "autoscaler/keeper/child.h"
#include "autoscaler/keeper/crash.h"
#include "autoscaler/keeper/hangup.h"
#include "autoscaler/keeper/leftovers.h"
#include "autoscaler/keeper/logbook.h"
#include "common/clk.h"
#include "common/link.h"
#include "common/log.h"

#define ORPHAN_TIMEOUT_FIRST (30 * CLK_S) /* until an autoscaler sends its orphan_timeout */
/* Bytes queued towards a slow autoscaler; beyond that output lines are dropped. */
#define OUTPUT_QUEUE_MAX ((size_t)4 << 20)
#define READ_BYTES_MAX ((size_t)1 << 20) /* of the text that answers one `read` */
#define SWEEP_AGAIN_NS (100 * CLK_MS)

struct keeper {
	struct loop *loop;
	struct link_server *server;
	struct link *autoscaler; /* that has sent its hello; NULL: none is connected */
	struct link *replacer;	 /* of an autoscaler of another version; NULL: none */
	bool was_connected;	 /* an autoscaler has sent its hello at least once */
	bool is_shutting_down;	 /* exits when the last instance is gone */
	int64_t orphan_timeout_ns;
	struct list children;		/* struct child */
	struct loop_timer orphan_timer; /* set while no autoscaler is connected */
	struct loop_timer sweep_timer;	/* set while an ended instance may have leftovers */
	struct strbuf line;
	struct logbook *logbook;
	int64_t epoch; /* of the numbers of its lines */
	uint64_t
		kept_seq; /* of the line that was kept last and is about to be passed on; 0: none */
	char *cgroup_record; /* path of KEEPER_CGROUP */
	char *cgroup;	     /* folder of our control group; NULL: none could be made */
};

/* stderr may be a full pipe without a reader.  The keeper must not block on a log line. */
static bool
can_log(void)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0;
}

/* --- messages to the autoscaler --- */

static void
send_to(struct keeper *kp, struct link *l, const struct keeper_msg *m)
{
	strbuf_clear(&kp->line);
	keeper_msg_encode(m, &kp->line);
	link_send(l, kp->line.data, kp->line.len);
}

static void
send_msg(struct keeper *kp, const struct keeper_msg *m)
{
	if (kp->autoscaler != NULL)
		send_to(kp, kp->autoscaler, m);
}

static void
send_event(struct keeper *kp, enum keeper_msg_type type, const struct child *c)
{
	send_msg(kp, &(struct keeper_msg){.type = type,
					  .id = c->start.id,
					  .pid = c->pid,
					  .started_ns = c->started_ns,
					  .status = c->status});
}

static void
send_failed(struct keeper *kp, char *id, struct err *why)
{
	send_msg(kp, &(struct keeper_msg){.type = KEEPER_FAILED, .id = id, .text = why->text});
}

static void
send_instance(struct keeper *kp, const struct child *c)
{
	send_msg(kp, &(struct keeper_msg){.type = KEEPER_INSTANCE,
					  .id = c->start.id,
					  .revision = c->start.revision,
					  .port = c->start.port,
					  .pid = c->pid,
					  .phase = c->phase,
					  .answered = c->answered,
					  .started_ns = c->started_ns,
					  .status = c->status,
					  .launch = c->start.launch});
}

static void
on_child_started(struct child *c, void *arg)
{
	send_event(arg, KEEPER_STARTED, c);
}

/* No autoscaler is connected, and the line is not held: it is one of the last lines of an instance
 * that has ended, or a line of a stop_command. */
static bool
log_line(const struct child *c, const char *line, size_t n)
{
	if (!can_log())
		return false;
	log_info(NULL, "output", "instance=%s line=%.*s", c->start.id, (int)n, line);
	return true;
}

/* A copy as a string, the caller's. */
static char *
text_of_line(const char *line, size_t n)
{
	char *text = xmalloc(n + 1);
	size_t i;

	for (i = 0; i < n; i++)
		text[i] = line[i] == '\0' ? '?' : line[i];
	text[n] = '\0';
	return text;
}

static bool
on_child_line(struct child *c, const char *line, size_t n, void *arg)
{
	struct keeper *kp = arg;
	uint64_t seq = kp->kept_seq;
	char *text;

	kp->kept_seq = 0;
	if (kp->autoscaler == NULL)
		return log_line(c, line, n);
	if (link_queued(kp->autoscaler) >= OUTPUT_QUEUE_MAX)
		return false;
	text = text_of_line(line, n);
	send_msg(kp, &(struct keeper_msg){.type = KEEPER_OUTPUT,
					  .id = c->start.id,
					  .text = text,
					  .seq = (int64_t)seq,
					  .wall_ms = seq == 0 ? 0 : clk_wall() / CLK_MS});
	free(text);
	return true;
}

static void
on_kept_line(struct child *c, const char *line, size_t n, void *arg)
{
	struct keeper *kp = arg;

	kp->kept_seq = logbook_add(kp->logbook, c->start.revision, c->start.id, line, n,
				   clk_wall() / CLK_MS);
}

static void
on_child_dropped(struct child *c, uint64_t lines, void *arg)
{
	send_msg(arg, &(struct keeper_msg){
			      .type = KEEPER_DROPPED, .id = c->start.id, .lines = (int64_t)lines});
}

/* --- the end of instances, and of the keeper --- */

/* Exit if there is no instance, and no autoscaler that may start one. */
static void
exit_if_idle(struct keeper *kp)
{
	bool is_needed = kp->autoscaler != NULL || !kp->was_connected;

	if (kp->children.n == 0 && (kp->is_shutting_down || !is_needed))
		loop_stop(kp->loop);
}

/* Stop all instances, then exit.  The autoscaler is informed first, so that it does not take
 * their ends for crashes, and does not ask this keeper for more. */
static void
shut_down(struct keeper *kp)
{
	struct list_node *node, *tmp;

	kp->is_shutting_down = true;
	send_msg(kp, &(struct keeper_msg){.type = KEEPER_LEAVE});
	LIST_FOREACH(&kp->children, node, tmp) {
		struct child *c = container_of(node, struct child, node);

		child_stop(c);
		send_instance(kp, c);
	}
	exit_if_idle(kp);
}

static void
free_child(void *arg)
{
	struct child *c = arg;

	child_free(&c);
}

/* No autoscaler is connected that could log the end of this instance. */
static void
log_end(struct child *c)
{
	char how[80];

	crash_describe(c->status, how, sizeof how);
	child_release(c);
	if (can_log())
		log_warn(NULL, "instance ended while no autoscaler was connected",
			 "instance=%s how=%s", c->start.id, how);
}

/* Nothing is left of c: its id and port are free. */
static void
forget(struct keeper *kp, struct child *c)
{
	if (kp->autoscaler == NULL)
		log_end(c);
	if (c->has_failed)
		send_failed(kp, c->start.id, &c->failure);
	else
		send_event(kp, KEEPER_GONE, c);
	list_remove(&kp->children, &c->node);
	loop_defer(kp->loop, c, free_child);
	exit_if_idle(kp);
}

static void
on_nothing_left(struct child *c, void *arg)
{
	forget(arg, c);
}

static void
on_sweep(void *arg)
{
	struct keeper *kp = arg;

	if (leftovers_sweep(&kp->children, on_nothing_left, kp))
		loop_timer_set(&kp->sweep_timer, SWEEP_AGAIN_NS);
}

/* The first process of c has ended, and pid_file names no process that replaces it: the instance
 * has ended.  Other processes of it may be left: sweep. */
static void
end_child(struct keeper *kp, struct child *c, int status)
{
	child_reaped(c, status);
	if (!c->has_failed)
		send_event(kp, KEEPER_ENDED, c);
	loop_timer_set(&kp->sweep_timer, 0);
}

static void
on_child_not_followed(struct child *c, void *arg)
{
	end_child(arg, c, 0);
}

static void
on_child_followed(struct child *c, void *arg)
{
	send_instance(arg, c);
}

static void
on_stop_failed(struct child *c, const char *why, void *arg)
{
	struct err e;

	err_set(&e, 0, "%s", why);
	send_msg(arg, &(struct keeper_msg){
			      .type = KEEPER_STOP_FAILED, .id = c->start.id, .text = e.text});
}

static void
on_child_overdue(struct child *c, void *arg)
{
	(void)c;
	on_sweep(arg);
}

/* waitpid() has reaped a process: the first one of an instance, its stop_command, or a leftover
 * that we adopted. */
static void
reap(struct keeper *kp, pid_t pid, int status)
{
	struct child *c = child_find_stopper(&kp->children, pid);

	if (c != NULL) {
		child_stopper_reaped(c, status);
		return;
	}
	c = child_find_pid(&kp->children, pid);
	if (c != NULL && c->phase != PHASE_ENDED && !child_follow(c, status))
		end_child(kp, c, status);
}

static void
on_sigchld(int signo, void *arg)
{
	struct keeper *kp = arg;
	int status;
	pid_t pid;

	(void)signo;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		reap(kp, pid, status);
	if (loop_timer_pending(&kp->sweep_timer))
		loop_timer_set(&kp->sweep_timer, 0);
}

/* --- messages from the autoscaler --- */

static const struct child_ops child_ops = {.on_started = on_child_started,
					   .on_line = on_child_line,
					   .on_kept_line = on_kept_line,
					   .on_dropped = on_child_dropped,
					   .on_overdue = on_child_overdue,
					   .on_stop_failed = on_stop_failed,
					   .on_followed = on_child_followed,
					   .on_not_followed = on_child_not_followed};

/* The link that sent the newest hello is the autoscaler's.  The autoscaler of an older link
 * is dead: only one at a time can hold the lock of state_dir.  A keeper that is shutting down
 * goes on doing so, because its instances are stopping, and says so before the autoscaler can
 * ask it for others.  An autoscaler of another protocol version can ask the keeper to leave,
 * and for nothing else.  A further hello of the same autoscaler changes orphan_timeout and how much
 * output is kept. */
static void
on_hello(struct keeper *kp, struct link *l, const struct keeper_msg *m)
{
	struct list_node *node, *tmp;

	if (m->protocol != KEEPER_PROTOCOL) {
		kp->replacer = l;
		return;
	}
	logbook_set_bounds(kp->logbook, (size_t)m->output_bytes, (size_t)m->output_bytes_total);
	if (kp->autoscaler == l) {
		kp->orphan_timeout_ns = m->orphan_timeout_ms * CLK_MS;
		return;
	}
	if (kp->autoscaler != NULL)
		link_cut(kp->autoscaler, "another autoscaler has connected");
	kp->autoscaler = l;
	kp->was_connected = true;
	loop_timer_clear(&kp->orphan_timer);
	kp->orphan_timeout_ns = m->orphan_timeout_ms * CLK_MS;
	if (kp->is_shutting_down)
		send_msg(kp, &(struct keeper_msg){.type = KEEPER_LEAVE});
	LIST_FOREACH(&kp->children, node, tmp)
		send_instance(kp, container_of(node, struct child, node));
	send_msg(kp, &(struct keeper_msg){.type = KEEPER_SYNCED});
	LIST_FOREACH(&kp->children, node, tmp)
		child_release(container_of(node, struct child, node));
}

static void
on_start(struct keeper *kp, struct keeper_msg *m)
{
	char *id = xstrdup(m->id);
	struct err e = {0};
	struct child *c;

	if (kp->is_shutting_down)
		err_set(&e, 0, "cannot start %s: the keeper is shutting down", id);
	else if (child_find(&kp->children, id) != NULL)
		err_set(&e, 0, "cannot start %s: the id is in use", id);
	c = e.text[0] != '\0' ? NULL : child_new(kp->loop, m, kp->cgroup, &child_ops, kp, &e);
	if (c == NULL)
		send_failed(kp, id, &e);
	else
		list_push(&kp->children, &c->node);
	free(id);
}

struct reading {
	struct keeper *kp;
	int64_t token;
};

static void
send_kept_line(const struct logbook_line *line, void *arg)
{
	const struct reading *r = arg;
	char *id = xstrdup(line->id), *revision = xstrdup(line->revision);
	char *text = text_of_line(line->text, line->n);

	send_msg(r->kp, &(struct keeper_msg){.type = KEEPER_OUTPUT,
					     .id = id,
					     .revision = revision,
					     .text = text,
					     .token = r->token,
					     .seq = (int64_t)line->seq,
					     .wall_ms = line->wall_ms});
	free(text);
	free(revision);
	free(id);
}

static void
on_read(struct keeper *kp, const struct keeper_msg *m)
{
	struct reading r = {.kp = kp, .token = m->token};

	logbook_each(kp->logbook, &m->revisions, (uint64_t)m->after, m->since_ms, READ_BYTES_MAX,
		     send_kept_line, &r);
	send_msg(kp, &(struct keeper_msg){.type = KEEPER_READ_END, .token = m->token});
}

static void
on_request(struct keeper *kp, struct keeper_msg *m)
{
	struct child *c = m->id == NULL ? NULL : child_find(&kp->children, m->id);

	switch (m->type) {
	case KEEPER_START:
		on_start(kp, m);
		break;
	case KEEPER_STOP:
		if (c != NULL)
			child_stop(c);
		break;
	case KEEPER_ANSWERED:
		if (c != NULL)
			c->answered = true;
		break;
	case KEEPER_LOG:
		log_change((enum log_level)m->log_level, (enum log_format)m->log_format);
		break;
	case KEEPER_LEAVE:
		shut_down(kp);
		break;
	case KEEPER_READ:
		on_read(kp, m);
		break;
	default:
		break; /* of a later version, or only the keeper sends it */
	}
}

/* --- the link --- */

static void
on_autoscaler_up(struct link *l, void *arg)
{
	const struct keeper *kp = arg;

	send_to(arg, l,
		&(struct keeper_msg){.type = KEEPER_HELLO,
				     .protocol = KEEPER_PROTOCOL,
				     .pid = getpid(),
				     .epoch = kp->epoch});
}

static void
on_autoscaler_line(struct link *l, char *line, size_t n, void *arg)
{
	struct keeper *kp = arg;
	struct keeper_msg m;
	struct err e;

	if (keeper_msg_decode(&m, line, n, &e) < 0)
		link_cut(l, "%s", e.text);
	else if (m.type == KEEPER_HELLO)
		on_hello(kp, l, &m);
	else if (l == kp->autoscaler || (l == kp->replacer && m.type == KEEPER_LEAVE))
		on_request(kp, &m);
	else
		link_cut(l, "a message came before hello");
	keeper_msg_fini(&m);
}

static void
on_autoscaler_down(struct link *l, const struct err *why, void *arg)
{
	struct keeper *kp = arg;
	struct list_node *node, *tmp;

	if (l == kp->replacer)
		kp->replacer = NULL;
	if (l != kp->autoscaler)
		return;
	kp->autoscaler = NULL;
	LIST_FOREACH(&kp->children, node, tmp)
		child_hold(container_of(node, struct child, node));
	if (kp->children.n > 0 && can_log())
		log_info(NULL, "autoscaler disconnected, keeping its instances",
			 "why=%s instances=%zu orphan_timeout_ms=%lld", why->text, kp->children.n,
			 (long long)(kp->orphan_timeout_ns / CLK_MS));
	loop_timer_set(&kp->orphan_timer, kp->orphan_timeout_ns);
	exit_if_idle(kp);
}

static const struct link_ops link_ops = {
	.on_up = on_autoscaler_up, .on_line = on_autoscaler_line, .on_down = on_autoscaler_down};

static void
on_autoscaler_accept(struct link *l, void *arg)
{
	(void)l;
	(void)arg;
}

static void
on_orphaned(void *arg)
{
	struct keeper *kp = arg;

	if (can_log())
		log_warn(NULL,
			 "no autoscaler connected within orphan_timeout, stopping all instances",
			 "instances=%zu", kp->children.n);
	shut_down(kp);
}

static void
on_terminate(int signo, void *arg)
{
	struct keeper *kp = arg;

	(void)signo;
	if (can_log())
		log_info(NULL, "got SIGTERM, stopping all instances", "instances=%zu",
			 kp->children.n);
	shut_down(kp);
}

/* --- life --- */

static void
open_cgroup(struct keeper *kp, const char *state_dir, const char *mark)
{
	char *name = xasprintf(KEEPER_CGROUP_NAME, mark);

	kp->cgroup_record = xasprintf("%s/%s", state_dir, KEEPER_CGROUP);
	kp->cgroup = cgroup_open(name, kp->cgroup_record);
	free(name);
}

static int
keeper_open(struct keeper *kp, const char *state_dir, const char *mark, struct err *e)
{
	char *path = xasprintf("%s/%s", state_dir, KEEPER_SOCKET);

	list_init(&kp->children);
	strbuf_init(&kp->line, 0);
	kp->logbook = logbook_new(0, 0); /* nothing is kept until an autoscaler says how much */
	kp->epoch = clk_wall() / CLK_MS;
	open_cgroup(kp, state_dir, mark);
	kp->orphan_timeout_ns = ORPHAN_TIMEOUT_FIRST;
	kp->loop = loop_new(e);
	if (kp->loop != NULL) /* private, because a peer can run programs */
		kp->server = link_listen_private(kp->loop, path, &link_ops, on_autoscaler_accept,
						 kp, e);
	free(path);
	if (kp->server == NULL || loop_signal(kp->loop, SIGCHLD, on_sigchld, kp, e) < 0 ||
	    loop_signal(kp->loop, SIGTERM, on_terminate, kp, e) < 0)
		return -1;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return err_errno(e, "cannot become the subreaper of the instances");
	loop_timer_init(&kp->orphan_timer, kp->loop, on_orphaned, kp);
	loop_timer_init(&kp->sweep_timer, kp->loop, on_sweep, kp);
	loop_timer_set(&kp->orphan_timer, kp->orphan_timeout_ns);
	return 0;
}

static void
keeper_close(struct keeper *kp)
{
	leftovers_kill_all();
	hangup_after_exit(kp->server);
	link_server_free(&kp->server);
	loop_timer_fini(&kp->sweep_timer);
	loop_timer_fini(&kp->orphan_timer);
	cgroup_close(&kp->cgroup, kp->cgroup_record);
	free(kp->cgroup_record);
	logbook_free(&kp->logbook);
	strbuf_fini(&kp->line);
	loop_free(&kp->loop);
}

int
keeper_run(const char *state_dir, const char *mark, int ready_fd, struct err *e)
{
	struct keeper kp = {.autoscaler = NULL};

	if (keeper_open(&kp, state_dir, mark, e) < 0)
		return -1;
	close(ready_fd);
	loop_run(kp.loop);
	keeper_close(&kp);
	return 0;
}
