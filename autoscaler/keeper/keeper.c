#include "autoscaler/keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "autoscaler/keeper/cgroup.h"
#include "autoscaler/keeper/child.h"
#include "autoscaler/keeper/crash.h"
#include "autoscaler/keeper/leftovers.h"
#include "autoscaler/keeper/proctab.h"
#include "common/clk.h"
#include "common/daemon.h"
#include "common/link.h"
#include "common/log.h"

#define ORPHAN_TIMEOUT_FIRST (30 * CLK_S) /* until an autoscaler has said its own */
#define OUTPUT_QUEUE_MAX                                                                           \
	((size_t)4 << 20) /* towards a slow autoscaler, then lines are left out                    \
			   */
#define SWEEP_AGAIN_NS (100 * CLK_MS)

struct keeper {
	struct loop *loop;
	struct link_server *server;
	struct link *autoscaler; /* NULL: none is there */
	bool was_connected;
	bool is_leaving; /* told to: ends when the last instance is gone */
	int64_t orphan_timeout_ns;
	struct list kept; /* struct kept */
	struct loop_timer orphan_timer;
	struct loop_timer sweep_timer;
	struct strbuf line;
	char *cgroup_record;
	char *cgroup; /* its folder; NULL: none can be had */
};

/* stderr may be a pipe that nobody reads: the keeper must not stand still for a word. */
static bool
is_heard(void)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0;
}

/* --- telling --- */

static void
tell_peer(struct keeper *kp, struct link *l, const struct keeper_msg *m)
{
	strbuf_clear(&kp->line);
	keeper_msg_encode(m, &kp->line);
	link_send(l, kp->line.data, kp->line.len);
}

static void
tell(struct keeper *kp, const struct keeper_msg *m)
{
	if (kp->autoscaler != NULL)
		tell_peer(kp, kp->autoscaler, m);
}

static void
tell_word(struct keeper *kp, enum keeper_msg_type type, const struct kept *k)
{
	tell(kp, &(struct keeper_msg){.type = type,
				      .id = k->start.id,
				      .pid = k->pid,
				      .started_ns = k->started_ns,
				      .status = k->status});
}

static void
tell_failed(struct keeper *kp, char *id, struct err *why)
{
	tell(kp, &(struct keeper_msg){.type = KEEPER_FAILED, .id = id, .text = why->text});
}

static void
tell_instance(struct keeper *kp, const struct kept *k)
{
	tell(kp, &(struct keeper_msg){.type = KEEPER_INSTANCE,
				      .id = k->start.id,
				      .revision = k->start.revision,
				      .port = k->start.port,
				      .pid = k->pid,
				      .phase = k->phase,
				      .answered = k->answered,
				      .started_ns = k->started_ns,
				      .status = k->status});
}

static void
on_kept_started(struct kept *k, void *arg)
{
	tell_word(arg, KEEPER_STARTED, k);
}

/* Nobody to tell, and nothing to keep it in: its instance is gone. */
static bool
log_line(const struct kept *k, const char *line, size_t n)
{
	bool can_log = is_heard();

	if (can_log)
		log_info(NULL, "output", "instance=%s line=%.*s", k->start.id, (int)n, line);
	return can_log;
}

static bool
on_kept_line(struct kept *k, const char *line, size_t n, void *arg)
{
	struct keeper *kp = arg;
	char *text;
	size_t i;

	if (kp->autoscaler == NULL)
		return log_line(k, line, n);
	if (link_queued(kp->autoscaler) >= OUTPUT_QUEUE_MAX)
		return false;
	text = xmalloc(n + 1);
	for (i = 0; i < n; i++)
		text[i] = line[i] == '\0' ? '?' : line[i];
	text[n] = '\0';
	tell(kp, &(struct keeper_msg){.type = KEEPER_OUTPUT, .id = k->start.id, .text = text});
	free(text);
	return true;
}

static void
on_kept_left_out(struct kept *k, uint64_t lines, void *arg)
{
	tell(arg, &(struct keeper_msg){
			  .type = KEEPER_LEFT_OUT, .id = k->start.id, .lines = (int64_t)lines});
}

/* --- ends --- */

/* End if nothing holds us here. */
static void
end_if_idle(struct keeper *kp)
{
	bool is_wanted = kp->autoscaler != NULL || !kp->was_connected;

	if (kp->kept.n == 0 && (kp->is_leaving || !is_wanted))
		loop_stop(kp->loop);
}

/* End all; the autoscaler, if one is there, is told so that it does not take these
 * ends for crashes, and starts nothing here any more. */
static void
leave(struct keeper *kp)
{
	struct list_node *node, *tmp;

	kp->is_leaving = true;
	tell(kp, &(struct keeper_msg){.type = KEEPER_LEAVE});
	LIST_FOREACH(&kp->kept, node, tmp) {
		struct kept *k = container_of(node, struct kept, node);

		kept_stop(k);
		tell_instance(kp, k);
	}
	end_if_idle(kp);
}

static void
free_kept(void *k)
{
	kept_free((struct kept **)&k);
}

/* The last that will be heard of it. */
static void
log_end(struct kept *k)
{
	char how[80];

	crash_describe(k->status, how, sizeof how);
	kept_release(k);
	if (is_heard())
		log_warn(NULL, "instance ended while no autoscaler was there", "instance=%s how=%s",
			 k->start.id, how);
}

static void
forget(struct keeper *kp, struct kept *k)
{
	if (kp->autoscaler == NULL)
		log_end(k);
	if (k->has_failed)
		tell_failed(kp, k->start.id, &k->failure);
	else
		tell_word(kp, KEEPER_GONE, k);
	list_remove(&kp->kept, &k->node);
	loop_defer(kp->loop, k, free_kept);
	end_if_idle(kp);
}

static void
sweep_one(struct keeper *kp, struct kept *k, const struct proctab *t)
{
	const struct proctab_entry **left = xcalloc(t->n + 1, sizeof *left);
	size_t n = left_of(&kp->kept, k, t, left);

	if (!kept_is_left(k, left, n))
		forget(kp, k);
	free(left);
}

/* Look what is left of the instances that have ended. */
static void
on_sweep(void *arg)
{
	struct keeper *kp = arg;
	struct list_node *node, *tmp;
	struct proctab t;
	bool is_any_left = false;

	proctab_read(&t);
	proctab_root(&t, getpid());
	LIST_FOREACH(&kp->kept, node, tmp) {
		struct kept *k = container_of(node, struct kept, node);

		if (k->phase == PHASE_ENDED)
			sweep_one(kp, k, &t);
	}
	proctab_fini(&t);
	LIST_FOREACH(&kp->kept, node, tmp)
		is_any_left |= container_of(node, struct kept, node)->phase == PHASE_ENDED;
	if (is_any_left)
		loop_timer_set(&kp->sweep_timer, SWEEP_AGAIN_NS);
}

static void
on_kept_overdue(struct kept *k, void *arg)
{
	(void)k;
	on_sweep(arg);
}

static void
on_child(int signo, void *arg)
{
	struct keeper *kp = arg;
	bool is_swept = false;
	int status;
	pid_t pid;

	(void)signo;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct kept *k = kept_find_pid(&kp->kept, pid);

		if (k == NULL || k->phase == PHASE_ENDED)
			continue; /* one of those that were left to us */
		kept_reaped(k, status);
		if (!k->has_failed)
			tell_word(kp, KEEPER_ENDED, k);
		is_swept = true;
	}
	if (is_swept || loop_timer_pending(&kp->sweep_timer))
		loop_timer_set(&kp->sweep_timer, 0);
}

/* --- what the autoscaler asks for --- */

static const struct kept_ops kept_ops = {.on_started = on_kept_started,
					 .on_line = on_kept_line,
					 .on_left_out = on_kept_left_out,
					 .on_overdue = on_kept_overdue};

/* Who says hello is the autoscaler from then on. */
static void
take_hello(struct keeper *kp, struct link *l, const struct keeper_msg *m)
{
	struct list_node *node, *tmp;

	if (kp->autoscaler != NULL && kp->autoscaler != l) /* it has the lock: that one is gone */
		link_cut(kp->autoscaler, "another autoscaler has connected");
	kp->autoscaler = l;
	kp->was_connected = true;
	kp->is_leaving = false;
	loop_timer_clear(&kp->orphan_timer);
	kp->orphan_timeout_ns = m->orphan_timeout_ms * CLK_MS;
	LIST_FOREACH(&kp->kept, node, tmp)
		tell_instance(kp, container_of(node, struct kept, node));
	tell(kp, &(struct keeper_msg){.type = KEEPER_SYNCED});
	LIST_FOREACH(&kp->kept, node, tmp)
		kept_release(container_of(node, struct kept, node));
}

static void
take_start(struct keeper *kp, struct keeper_msg *m)
{
	char *id = xstrdup(m->id);
	struct err e = {0};
	struct kept *k;

	if (kept_find(&kp->kept, id) != NULL)
		err_set(&e, 0, "cannot start %s: the id is in use", id);
	k = e.text[0] != '\0' ? NULL : kept_new(kp->loop, m, kp->cgroup, &kept_ops, kp, &e);
	if (k == NULL)
		tell_failed(kp, id, &e);
	else
		list_push(&kp->kept, &k->node);
	free(id);
}

static void
take(struct keeper *kp, struct keeper_msg *m)
{
	struct kept *k = m->id == NULL ? NULL : kept_find(&kp->kept, m->id);

	switch (m->type) {
	case KEEPER_START:
		take_start(kp, m);
		break;
	case KEEPER_STOP:
		if (k != NULL)
			kept_stop(k);
		break;
	case KEEPER_ANSWERED:
		if (k != NULL)
			k->answered = true;
		break;
	case KEEPER_LEAVE:
		leave(kp);
		break;
	default:
		break; /* of a later version, or ours to say */
	}
}

/* --- the link --- */

static void
on_autoscaler_up(struct link *l, void *arg)
{
	tell_peer(arg, l,
		  &(struct keeper_msg){
			  .type = KEEPER_HELLO, .protocol = KEEPER_PROTOCOL, .pid = getpid()});
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
		take_hello(kp, l, &m);
	else if (l == kp->autoscaler || m.type == KEEPER_LEAVE) /* that, any version may say */
		take(kp, &m);
	else
		link_cut(l, "spoke before its hello");
	keeper_msg_fini(&m);
}

static void
on_autoscaler_down(struct link *l, const struct err *why, void *arg)
{
	struct keeper *kp = arg;
	struct list_node *node, *tmp;

	if (l != kp->autoscaler)
		return;
	kp->autoscaler = NULL;
	LIST_FOREACH(&kp->kept, node, tmp)
		kept_hold(container_of(node, struct kept, node));
	if (kp->kept.n > 0 && is_heard())
		log_info(NULL, "autoscaler has gone, holding its instances",
			 "why=%s instances=%zu orphan_timeout_ms=%lld", why->text, kp->kept.n,
			 (long long)(kp->orphan_timeout_ns / CLK_MS));
	loop_timer_set(&kp->orphan_timer, kp->orphan_timeout_ns);
	end_if_idle(kp);
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

	if (is_heard())
		log_warn(NULL, "no autoscaler has come back, ending its instances", "instances=%zu",
			 kp->kept.n);
	leave(kp);
}

static void
on_terminate(int signo, void *arg)
{
	struct keeper *kp = arg;

	(void)signo;
	if (is_heard())
		log_info(NULL, "keeper was told to end", "instances=%zu", kp->kept.n);
	leave(kp);
}

/* --- life --- */

static void
open_cgroup(struct keeper *kp, const char *state_dir)
{
	struct err e;
	char *mark = keeper_mark(state_dir, &e);
	char *name = mark == NULL ? NULL : xasprintf(KEEPER_CGROUP_NAME, mark);

	kp->cgroup_record = xasprintf("%s/%s", state_dir, KEEPER_CGROUP);
	if (name != NULL)
		kp->cgroup = cgroup_open(name, kp->cgroup_record);
	free(name);
	free(mark);
}

static int
keeper_open(struct keeper *kp, const char *state_dir, struct err *e)
{
	char *path = xasprintf("%s/%s", state_dir, KEEPER_SOCKET);

	list_init(&kp->kept);
	strbuf_init(&kp->line, 0);
	open_cgroup(kp, state_dir);
	kp->orphan_timeout_ns = ORPHAN_TIMEOUT_FIRST;
	kp->loop = loop_new(e);
	if (kp->loop != NULL)
		kp->server = link_listen(kp->loop, path, &link_ops, on_autoscaler_accept, kp, e);
	if (kp->server != NULL && chmod(path, 0600) < 0) /* who speaks here runs programs */
		log_warn(NULL, "cannot close the keeper's socket to others", "err=%s",
			 strerror(errno));
	free(path);
	if (kp->server == NULL || loop_signal(kp->loop, SIGCHLD, on_child, kp, e) < 0 ||
	    loop_signal(kp->loop, SIGTERM, on_terminate, kp, e) < 0)
		return -1;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return err_errno(e, "cannot become the reaper of the instances");
	loop_timer_init(&kp->orphan_timer, kp->loop, on_orphaned, kp);
	loop_timer_init(&kp->sweep_timer, kp->loop, on_sweep, kp);
	loop_timer_set(&kp->orphan_timer, kp->orphan_timeout_ns);
	return 0;
}

static void
keeper_close(struct keeper *kp)
{
	left_kill_all();
	link_server_free(&kp->server);
	loop_timer_fini(&kp->sweep_timer);
	loop_timer_fini(&kp->orphan_timer);
	cgroup_close(&kp->cgroup, kp->cgroup_record);
	free(kp->cgroup_record);
	strbuf_fini(&kp->line);
	loop_free(&kp->loop);
}

static void
mark_ours(int fd)
{
	fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* The lock file says who holds it: now we do. */
static void
sign_lock(int fd)
{
	char text[32];
	int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());

	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
		log_warn(NULL, "cannot sign the keeper's lock", "err=%s", strerror(errno));
}

int
keeper_main(int argc, char **argv)
{
	struct keeper kp = {.autoscaler = NULL};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct err e = {0};
	int lock_fd, ready_fd;

	if (argc != 7) {
		log_open(LOG_INFO, LOG_LOGFMT, "keeper");
		log_error(NULL, "only an autoscaler starts a keeper", "");
		return 2;
	}
	log_open((enum log_level)strtol(argv[5], NULL, 10),
		 (enum log_format)strtol(argv[6], NULL, 10), "keeper");
	lock_fd = (int)strtol(argv[3], NULL, 10);
	ready_fd = (int)strtol(argv[4], NULL, 10);
	mark_ours(lock_fd);
	mark_ours(ready_fd);
	sign_lock(lock_fd);
	daemon_init();
	sigaction(SIGHUP, &ignore, NULL);
	sigaction(SIGINT, &ignore, NULL);
	prctl(PR_SET_NAME, "act-keeper");
	if (keeper_open(&kp, argv[2], &e) < 0) {
		log_error(NULL, "keeper cannot start", "err=%s", e.text);
		return 1;
	}
	close(ready_fd);
	loop_run(kp.loop);
	keeper_close(&kp);
	return 0;
}
