#include "autoscaler/keeper/child.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "autoscaler/keeper/cgroup.h"
#include "autoscaler/keeper/command.h"
#include "autoscaler/keeper/pid_file.h"
#include "autoscaler/keeper/proctab.h"
#include "autoscaler/keeper/spawn.h"
#include "autoscaler/keeper/stop_command.h"
#include "common/clk.h"

#define READ_SIZE ((size_t)64 << 10)
#define LAST_READS 16 /* empty a pipe (by default it holds 1 MiB at most) */
#define DROPPED_EVERY_NS (1 * CLK_S)
#define FOLLOW_EVERY_NS (20 * CLK_MS)
#define FOLLOW_MOST_NS (5 * CLK_S)  /* from the exit of the command to the pid in pid_file */
#define KILL_AGAIN_NS (50 * CLK_MS) /* for processes that fork faster than we kill */

/* --- output --- */

static bool
on_output_line(const char *line, size_t n, void *arg)
{
	struct child *c = arg;

	return c->ops->on_line(c, line, n, c->arg);
}

static void
on_kept_line(const char *line, size_t n, void *arg)
{
	struct child *c = arg;

	c->ops->on_kept_line(c, line, n, c->arg);
}

static void
on_dropped(void *arg)
{
	struct child *c = arg;
	uint64_t n = c->output.is_holding ? 0 : output_take_dropped(&c->output);

	if (n > 0)
		c->ops->on_dropped(c, n, c->arg);
}

static void
close_output(struct child *c)
{
	if (c->output_fd < 0)
		return;
	loop_fd_clear(&c->output_ev);
	close(c->output_fd);
	c->output_fd = -1;
	output_end(&c->output, clk_now(), on_output_line, c);
}

/* Read once.  False: there is nothing to read now. */
static bool
read_output(struct child *c)
{
	static char buf[READ_SIZE]; /* static, because it is large; the keeper has one thread */
	ssize_t n = c->output_fd < 0 ? -1 : read(c->output_fd, buf, sizeof buf);

	if (n > 0)
		output_feed(&c->output, buf, (size_t)n, clk_now(), on_output_line, c);
	else if (n == 0 || (c->output_fd >= 0 && errno != EAGAIN && errno != EINTR))
		close_output(c);
	if (c->output.dropped > 0 && !loop_timer_pending(&c->dropped_timer))
		loop_timer_set(&c->dropped_timer, DROPPED_EVERY_NS);
	return n > 0;
}

static void
on_output(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	read_output(arg); /* one read a round, so that no instance starves the others */
}

static void
read_rest(struct child *c)
{
	int i;

	for (i = 0; i < LAST_READS && read_output(c); i++)
		;
}

void
child_hold(struct child *c)
{
	output_hold(&c->output);
}

void
child_release(struct child *c)
{
	output_release(&c->output, on_output_line, c);
	on_dropped(c);
}

/* --- start --- */

static struct spawn
spawn_of(const struct child *c)
{
	return (struct spawn){.argv = c->start.argv.v,
			      .env = c->start.env.v,
			      .directory = c->start.directory,
			      .user = c->start.user,
			      .cgroup_fd = -1};
}

static void
close_result(struct child *c)
{
	if (c->result_fd < 0)
		return;
	loop_fd_clear(&c->result_ev);
	close(c->result_fd);
	c->result_fd = -1;
}

static void
read_result(struct child *c)
{
	struct spawn s = spawn_of(c);
	enum spawn_result result = c->result_fd < 0 ? SPAWN_PENDING
						    : spawn_result(c->result_fd, &s, &c->failure);

	if (result == SPAWN_PENDING)
		return;
	close_result(c);
	if (result == SPAWN_FAILED) {
		c->has_failed = true; /* reported when it is reaped */
		return;
	}
	c->is_executed = true;
	if (c->start.stop_argv.n == 0)
		str_list_fini(&c->start.env); /* needed no longer */
	c->ops->on_started(c, c->arg);
}

static void
on_result(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	read_result(arg);
}

static void
on_stop_timeout(void *arg)
{
	struct child *c = arg;

	c->is_overdue = true;
	loop_timer_set(&c->stop_timer, KILL_AGAIN_NS);
	if (loop_timer_pending(&c->follow_timer))
		return; /* pid has been reaped */
	if (c->phase != PHASE_ENDED && kill(-c->pid, SIGKILL) < 0)
		kill(c->pid, SIGKILL); /* before its setsid(), or in the group of another */
	if (c->phase == PHASE_ENDED)
		c->ops->on_overdue(c, c->arg);
}

static void on_follow(void *arg);

static void
watch(struct child *c)
{
	output_init(&c->output, c->started_ns);
	output_keep(&c->output, on_kept_line, c);
	loop_fd_init(&c->output_ev);
	loop_fd_init(&c->result_ev);
	loop_fd_set(&c->output_ev, c->loop, c->output_fd, EV_READ, on_output, c);
	loop_fd_set(&c->result_ev, c->loop, c->result_fd, EV_READ, on_result, c);
	loop_timer_init(&c->stop_timer, c->loop, on_stop_timeout, c);
	loop_timer_init(&c->dropped_timer, c->loop, on_dropped, c);
	loop_timer_init(&c->follow_timer, c->loop, on_follow, c);
}

static pid_t
start_program(struct child *c, struct err *e)
{
	struct spawn s = spawn_of(c);
	pid_t pid;

	if (c->start.argv.n == 0)
		return err_set(e, EINVAL, "cannot start an instance: no command");
	if (c->cgroup != NULL)
		s.cgroup_fd = cgroup_add(c->cgroup, c->start.id);
	pid = spawn_start(&s, &c->output_fd, &c->result_fd, e);
	if (s.cgroup_fd >= 0)
		close(s.cgroup_fd);
	if (pid < 0 && c->cgroup != NULL)
		cgroup_remove(c->cgroup, c->start.id);
	return pid;
}

struct child *
child_new(struct loop *loop, struct keeper_msg *m, const char *cgroup, const struct child_ops *ops,
	  void *arg, struct err *e)
{
	struct child *c = xcalloc(1, sizeof *c);

	c->loop = loop;
	c->ops = ops;
	c->arg = arg;
	c->cgroup = cgroup;
	c->start = *m;
	*m = (struct keeper_msg){.type = KEEPER_UNKNOWN};
	c->started_ns = clk_now();
	c->pid = start_program(c, e);
	if (c->pid < 0) {
		keeper_msg_fini(&c->start);
		free(c);
		return NULL;
	}
	c->start_ticks = proctab_start_ticks(c->pid);
	watch(c);
	return c;
}

void
child_free(struct child **cp)
{
	struct child *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	CHECK(!list_linked(&c->node));
	stop_command_free(&c->stopper);
	close_output(c);
	on_dropped(c);
	close_result(c);
	loop_timer_fini(&c->follow_timer);
	loop_timer_fini(&c->dropped_timer);
	loop_timer_fini(&c->stop_timer);
	output_fini(&c->output);
	if (c->cgroup != NULL)
		cgroup_remove(c->cgroup, c->start.id);
	keeper_msg_fini(&c->start);
	free(c);
}

struct child *
child_find(const struct list *all, const char *id)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(all, node, tmp) {
		struct child *c = container_of(node, struct child, node);

		if (strcmp(c->start.id, id) == 0)
			return c;
	}
	return NULL;
}

struct child *
child_find_pid(const struct list *all, pid_t pid)
{
	struct list_node *node, *tmp;
	struct child *ended = NULL;

	LIST_FOREACH(all, node, tmp) {
		struct child *c = container_of(node, struct child, node);

		if (c->pid != pid)
			continue;
		if (c->phase != PHASE_ENDED)
			return c;
		ended = c; /* a running child may have the same pid by now: prefer that one */
	}
	return ended;
}

/* --- stop --- */

static void
start_deadline(struct child *c)
{
	if (!loop_timer_pending(&c->stop_timer))
		loop_timer_set(&c->stop_timer, c->start.stop_timeout_ms * CLK_MS);
}

static void
terminate(struct child *c)
{
	c->is_group_terminated = true;
	if (kill(-c->pid, SIGTERM) < 0)
		kill(c->pid, SIGTERM); /* before its setsid(), or in the group of another */
	kill(-c->pid, SIGCONT);	       /* a stopped process gets SIGTERM only when it goes on */
}

static void
run_stop_command(struct child *c)
{
	struct str_list argv = command_arguments_pid(&c->start.stop_argv, c->pid);
	struct spawn s = spawn_of(c);
	struct err e;

	s.argv = argv.v;
	if (c->cgroup != NULL)
		s.cgroup_fd = cgroup_add(c->cgroup, c->start.id);
	c->stopper = stop_command_start(c->loop, &s, on_output_line, c, &e);
	if (s.cgroup_fd >= 0)
		close(s.cgroup_fd);
	str_list_fini(&argv);
	if (c->stopper != NULL)
		return;
	terminate(c);
	c->ops->on_stop_failed(c, e.text, c->arg);
}

void
child_stop(struct child *c)
{
	if (c->phase != PHASE_RUNNING)
		return;
	c->phase = PHASE_STOPPING;
	start_deadline(c);
	if (loop_timer_pending(&c->follow_timer))
		loop_timer_set(&c->follow_timer, 0); /* pid has been reaped: signal nothing */
	else if (c->is_executed && c->start.stop_argv.n > 0)
		run_stop_command(c);
	else
		terminate(c);
}

struct child *
child_find_stopper(const struct list *all, pid_t pid)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(all, node, tmp) {
		struct child *c = container_of(node, struct child, node);

		if (c->stopper != NULL && stop_command_pid(c->stopper) == pid)
			return c;
	}
	return NULL;
}

void
child_stopper_reaped(struct child *c, int status)
{
	struct err e;
	bool has_failed = stop_command_reaped(c->stopper, status, &e) < 0;

	stop_command_free(&c->stopper);
	if (!has_failed || c->phase != PHASE_STOPPING)
		return;
	terminate(c);
	c->ops->on_stop_failed(c, e.text, c->arg);
}

/* --- pid_file --- */

/* Take the process that pid_file names for the first one, if it is there yet. */
static bool
try_follow(struct child *c)
{
	pid_t pid = pid_file_read(c->start.pid_file, c->start.directory);

	if (pid <= 0 || !pid_file_is_ours(pid, c->start.id, c->start_ticks))
		return false;
	c->pid = pid;
	c->is_followed = true;
	return true;
}

static void
on_follow(void *arg)
{
	struct child *c = arg;

	if (c->phase == PHASE_RUNNING && try_follow(c))
		c->ops->on_followed(c, c->arg);
	else if (c->phase == PHASE_RUNNING && clk_now() < c->follow_until_ns)
		loop_timer_set(&c->follow_timer, FOLLOW_EVERY_NS);
	else
		c->ops->on_not_followed(c, c->arg);
}

bool
child_follow(struct child *c, int status)
{
	if (c->start.pid_file == NULL || c->is_followed || status != 0 || c->phase != PHASE_RUNNING)
		return false;
	read_result(c);
	if (c->has_failed)
		return false;
	c->follow_until_ns = clk_now() + FOLLOW_MOST_NS;
	loop_timer_set(&c->follow_timer, 0);
	return true;
}

void
child_reaped(struct child *c, int status)
{
	CHECK(c->phase != PHASE_ENDED);
	read_result(c);
	read_rest(c);
	c->phase = PHASE_ENDED;
	c->status = status;
}

static void
signal_leftovers(struct child *c, const struct proctab_entry *const *left, size_t n)
{
	/* To many programs a second SIGTERM means "at once": spare the group that got one. */
	pid_t spared = c->is_group_terminated ? c->pid : 0;
	size_t i;

	for (i = 0; i < n; i++)
		if (c->is_overdue || spared == 0 || left[i]->group != spared)
			kill(left[i]->pid, c->is_overdue ? SIGKILL : SIGTERM);
	if (c->cgroup != NULL && c->is_overdue)
		cgroup_kill(c->cgroup, c->start.id);
	else if (c->cgroup != NULL && n == 0) /* only the control group knows of them */
		cgroup_terminate(c->cgroup, c->start.id, spared);
}

bool
child_end_leftovers(struct child *c, const struct proctab_entry *const *left, size_t n)
{
	CHECK(c->phase == PHASE_ENDED);
	if (n == 0 && (c->cgroup == NULL || !cgroup_is_populated(c->cgroup, c->start.id)))
		return false;
	start_deadline(c);
	if (!c->are_leftovers_terminated || c->is_overdue)
		signal_leftovers(c, left, n);
	c->are_leftovers_terminated = true;
	return true;
}
