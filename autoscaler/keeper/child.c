#include "autoscaler/keeper/child.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "autoscaler/keeper/cgroup.h"
#include "autoscaler/keeper/command.h"
#include "autoscaler/keeper/proctab.h"
#include "autoscaler/keeper/spawn.h"
#include "common/clk.h"

#define READ_SIZE ((size_t)64 << 10)
#define LAST_READS 16 /* what is still in a pipe (1 MiB at most by default) */
#define LEFT_OUT_EVERY_NS (1 * CLK_S)
#define KILL_AGAIN_NS (50 * CLK_MS) /* who forks faster than we kill is met again */

/* --- output --- */

static bool
on_output_line(const char *line, size_t n, void *arg)
{
	struct kept *k = arg;

	return k->ops->on_line(k, line, n, k->arg);
}

static void
on_left_out(void *arg)
{
	struct kept *k = arg;
	uint64_t n = k->output.is_held ? 0 : output_take_left_out(&k->output);

	if (n > 0)
		k->ops->on_left_out(k, n, k->arg);
}

static void
close_output(struct kept *k)
{
	if (k->output_fd < 0)
		return;
	loop_fd_clear(&k->output_ev);
	close(k->output_fd);
	k->output_fd = -1;
	output_end(&k->output, clk_now(), on_output_line, k);
}

/* One read.  False: there is nothing more for now, or ever. */
static bool
read_output(struct kept *k)
{
	static char buf[READ_SIZE]; /* the keeper has one thread; not on each stack */
	ssize_t n = k->output_fd < 0 ? -1 : read(k->output_fd, buf, sizeof buf);

	if (n > 0)
		output_feed(&k->output, buf, (size_t)n, clk_now(), on_output_line, k);
	else if (n == 0 || (k->output_fd >= 0 && errno != EAGAIN && errno != EINTR))
		close_output(k);
	if (k->output.left_out > 0 && !loop_timer_pending(&k->left_out_timer))
		loop_timer_set(&k->left_out_timer, LEFT_OUT_EVERY_NS);
	return n > 0;
}

static void
on_output(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	read_output(arg); /* one read a round: a chatty one must not starve the others */
}

static void
read_rest(struct kept *k)
{
	int i;

	for (i = 0; i < LAST_READS && read_output(k); i++)
		;
}

void
kept_hold(struct kept *k)
{
	output_hold(&k->output);
}

void
kept_release(struct kept *k)
{
	output_release(&k->output, on_output_line, k);
	on_left_out(k);
}

/* --- start --- */

static struct spawn
spawn_of(const struct kept *k)
{
	return (struct spawn){.argv = k->start.argv,
			      .env = k->start.env,
			      .directory = k->start.directory,
			      .user = k->start.user,
			      .cgroup_fd = -1};
}

static void
close_word(struct kept *k)
{
	if (k->word_fd < 0)
		return;
	loop_fd_clear(&k->word_ev);
	close(k->word_fd);
	k->word_fd = -1;
}

static void
read_word(struct kept *k)
{
	struct spawn s = spawn_of(k);
	enum spawn_word word = k->word_fd < 0 ? SPAWN_PENDING
					      : spawn_word(k->word_fd, &s, &k->failure);

	if (word == SPAWN_PENDING)
		return;
	close_word(k);
	if (word == SPAWN_FAILED) {
		k->has_failed = true; /* told when it is reaped */
		return;
	}
	k->is_executed = true;
	command_free(&k->start.env); /* it has its own now */
	k->ops->on_started(k, k->arg);
}

static void
on_word(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	read_word(arg);
}

static void
on_stop_over(void *arg)
{
	struct kept *k = arg;

	k->is_overdue = true;
	loop_timer_set(&k->stop_timer, KILL_AGAIN_NS);
	if (k->phase != PHASE_ENDED && kill(-k->pid, SIGKILL) < 0)
		kill(k->pid, SIGKILL); /* before its setsid() */
	if (k->phase == PHASE_ENDED)
		k->ops->on_overdue(k, k->arg);
}

static void
watch(struct kept *k)
{
	output_init(&k->output, k->started_ns);
	loop_fd_init(&k->output_ev);
	loop_fd_init(&k->word_ev);
	loop_fd_set(&k->output_ev, k->loop, k->output_fd, EV_READ, on_output, k);
	loop_fd_set(&k->word_ev, k->loop, k->word_fd, EV_READ, on_word, k);
	loop_timer_init(&k->stop_timer, k->loop, on_stop_over, k);
	loop_timer_init(&k->left_out_timer, k->loop, on_left_out, k);
}

static pid_t
start_program(struct kept *k, struct err *e)
{
	struct spawn s = spawn_of(k);
	pid_t pid;

	if (k->start.argv[0] == NULL)
		return err_set(e, EINVAL, "cannot start it: no command");
	if (k->cgroup != NULL)
		s.cgroup_fd = cgroup_add(k->cgroup, k->start.id);
	pid = spawn_start(&s, &k->output_fd, &k->word_fd, e);
	if (s.cgroup_fd >= 0)
		close(s.cgroup_fd);
	if (pid < 0 && k->cgroup != NULL)
		cgroup_remove(k->cgroup, k->start.id);
	return pid;
}

struct kept *
kept_new(struct loop *loop, struct keeper_msg *m, const char *cgroup, const struct kept_ops *ops,
	 void *arg, struct err *e)
{
	struct kept *k = xcalloc(1, sizeof *k);

	k->loop = loop;
	k->ops = ops;
	k->arg = arg;
	k->cgroup = cgroup;
	k->start = *m;
	*m = (struct keeper_msg){.type = KEEPER_UNKNOWN};
	k->started_ns = clk_now();
	k->pid = start_program(k, e);
	if (k->pid < 0) {
		keeper_msg_fini(&k->start);
		free(k);
		return NULL;
	}
	k->start_ticks = proctab_start_ticks(k->pid);
	watch(k);
	return k;
}

void
kept_free(struct kept **kp)
{
	struct kept *k = *kp;

	*kp = NULL;
	if (k == NULL)
		return;
	CHECK(!list_linked(&k->node));
	close_output(k);
	on_left_out(k);
	close_word(k);
	loop_timer_fini(&k->left_out_timer);
	loop_timer_fini(&k->stop_timer);
	output_fini(&k->output);
	if (k->cgroup != NULL)
		cgroup_remove(k->cgroup, k->start.id);
	keeper_msg_fini(&k->start);
	free(k);
}

struct kept *
kept_find(const struct list *all, const char *id)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(all, node, tmp) {
		struct kept *k = container_of(node, struct kept, node);

		if (strcmp(k->start.id, id) == 0)
			return k;
	}
	return NULL;
}

struct kept *
kept_find_pid(const struct list *all, pid_t pid)
{
	struct list_node *node, *tmp;
	struct kept *ended = NULL;

	LIST_FOREACH(all, node, tmp) {
		struct kept *k = container_of(node, struct kept, node);

		if (k->pid != pid)
			continue;
		if (k->phase != PHASE_ENDED)
			return k;
		ended = k; /* its number may have been given to another one since */
	}
	return ended;
}

/* --- stop --- */

static void
start_deadline(struct kept *k)
{
	if (!loop_timer_pending(&k->stop_timer))
		loop_timer_set(&k->stop_timer, k->start.stop_timeout_ms * CLK_MS);
}

void
kept_stop(struct kept *k)
{
	if (k->phase != PHASE_RUNNING)
		return;
	k->phase = PHASE_STOPPING;
	k->is_group_told = true;
	if (kill(-k->pid, SIGTERM) < 0)
		kill(k->pid, SIGTERM); /* before its setsid() */
	kill(-k->pid, SIGCONT);	       /* who was stopped is to hear it */
	start_deadline(k);
}

void
kept_reaped(struct kept *k, int status)
{
	CHECK(k->phase != PHASE_ENDED);
	read_word(k);
	read_rest(k);
	k->phase = PHASE_ENDED;
	k->status = status;
}

static void
end_left(struct kept *k, const struct proctab_entry *const *left, size_t n)
{
	pid_t told = k->is_group_told ? k->pid : 0; /* a second SIGTERM means "at once" to many */
	size_t i;

	for (i = 0; i < n; i++)
		if (k->is_overdue || told == 0 || left[i]->group != told)
			kill(left[i]->pid, k->is_overdue ? SIGKILL : SIGTERM);
	if (k->cgroup != NULL && k->is_overdue)
		cgroup_kill(k->cgroup, k->start.id);
	else if (k->cgroup != NULL && n == 0) /* those that are found nowhere else */
		cgroup_terminate(k->cgroup, k->start.id, told);
}

bool
kept_is_left(struct kept *k, const struct proctab_entry *const *left, size_t n)
{
	CHECK(k->phase == PHASE_ENDED);
	if (n == 0 && (k->cgroup == NULL || !cgroup_is_populated(k->cgroup, k->start.id)))
		return false;
	start_deadline(k);
	if (!k->is_left_told || k->is_overdue)
		end_left(k, left, n);
	k->is_left_told = true;
	return true;
}
