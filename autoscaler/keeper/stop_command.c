#include "autoscaler/keeper/stop_command.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "autoscaler/keeper/crash.h"
#include "common/clk.h"
#include "common/loop.h"

#define READ_SIZE 4096
#define LAST_READS 16

struct stop_command {
	pid_t pid;
	char *name;		  /* argv[0] */
	int output_fd, result_fd; /* output_fd -1: closed */
	struct loop_fd output_ev;
	struct output output;
	output_fn *on_line;
	void *arg;
};

/* Read once.  False: there is nothing to read now. */
static bool
read_output(struct stop_command *s)
{
	char buf[READ_SIZE];
	ssize_t n = s->output_fd < 0 ? -1 : read(s->output_fd, buf, sizeof buf);

	if (n > 0) {
		output_feed(&s->output, buf, (size_t)n, clk_now(), s->on_line, s->arg);
	} else if (s->output_fd >= 0 && (n == 0 || (errno != EAGAIN && errno != EINTR))) {
		loop_fd_clear(&s->output_ev);
		close(s->output_fd);
		s->output_fd = -1;
		output_end(&s->output, clk_now(), s->on_line, s->arg);
	}
	return n > 0;
}

static void
on_output(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	read_output(arg);
}

struct stop_command *
stop_command_start(struct loop *loop, const struct spawn *spawn, output_fn *on_line, void *arg,
		   struct err *e)
{
	struct stop_command *s = xcalloc(1, sizeof *s);

	s->pid = spawn_start(spawn, &s->output_fd, &s->result_fd, e);
	if (s->pid < 0) {
		free(s);
		return NULL;
	}
	s->name = xstrdup(spawn->argv[0]);
	s->on_line = on_line;
	s->arg = arg;
	output_init(&s->output, clk_now());
	loop_fd_init(&s->output_ev);
	loop_fd_set(&s->output_ev, loop, s->output_fd, EV_READ, on_output, s);
	return s;
}

void
stop_command_free(struct stop_command **sp)
{
	struct stop_command *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	if (s->output_fd >= 0) {
		loop_fd_clear(&s->output_ev);
		close(s->output_fd);
		output_end(&s->output, clk_now(), s->on_line, s->arg);
	}
	close(s->result_fd);
	output_fini(&s->output);
	free(s->name);
	free(s);
}

pid_t
stop_command_pid(const struct stop_command *s)
{
	return s->pid;
}

int
stop_command_reaped(struct stop_command *s, int status, struct err *e)
{
	char *argv[] = {s->name, NULL};
	const struct spawn spawn = {.argv = argv};
	char how[80];
	int i;

	for (i = 0; i < LAST_READS && read_output(s); i++)
		;
	if (spawn_result(s->result_fd, &spawn, e) == SPAWN_FAILED)
		return -1;
	if (status == 0)
		return 0;
	crash_describe(status, how, sizeof how);
	return err_set(e, 0, "%s %s", s->name, how);
}
