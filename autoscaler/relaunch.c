#include "autoscaler/relaunch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clk.h"
#include "common/log.h"
#include "common/loop.h"

#define CHECK_MOST (10 * CLK_S)

struct relaunch {
	struct loop *loop;
	char *const *argv;
	const char *(*on_checked)(void *arg);
	void *arg;
	pid_t child; /* that checks the conf file; 0: none */
	int pidfd;   /* its; -1: none */
	struct loop_fd watch;
	struct loop_timer timer;
	bool is_late;
	uint64_t failures;
	void (*done)(const char *, void *);
	void *done_arg;
};

static void
report(struct relaunch *r, const char *why)
{
	void (*done)(const char *, void *) = r->done;

	r->done = NULL;
	if (done != NULL)
		done(why, r->done_arg);
}

static int
fail(struct relaunch *r, const struct err *e)
{
	r->failures++;
	log_error(NULL, "the upgrade has failed, this autoscaler goes on", "err=%s", e->text);
	report(r, e->text);
	return -1;
}

static void
describe(struct err *e, int status, bool is_late)
{
	if (is_late)
		err_set(e, 0, "the new program took too long to check the conf file (-t)");
	else if (WIFEXITED(status))
		err_set(e, 0,
			"the new program has ended with status %d when it checked the conf "
			"file (-t)",
			WEXITSTATUS(status));
	else
		err_set(e, 0,
			"the new program was ended by signal %d when it checked the conf file "
			"(-t)",
			WTERMSIG(status));
}

static void
on_checked(int fd, short what, void *arg)
{
	struct relaunch *r = arg;
	const char *why;
	struct err e;
	int status = 0;

	(void)fd;
	(void)what;
	if (waitpid(r->child, &status, WNOHANG) == 0)
		return;
	loop_fd_clear(&r->watch);
	loop_timer_clear(&r->timer);
	close(r->pidfd);
	r->pidfd = -1;
	r->child = 0;
	if (!r->is_late && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		why = r->on_checked(r->arg);
		if (why != NULL)
			log_error(NULL, "the upgrade is refused", "why=%s", why);
		else
			log_info(NULL, "upgrade: the new program takes this one's place",
				 "program=%s", r->argv[0]);
		report(r, why);
		return;
	}
	describe(&e, status, r->is_late);
	fail(r, &e);
}

static void
on_late(void *arg)
{
	struct relaunch *r = arg;

	r->is_late = true;
	kill(r->child, SIGKILL);
}

/* It checks a file and leaves nothing half done: it need not end by itself. */
static void
kill_child(struct relaunch *r)
{
	kill(r->child, SIGKILL);
	while (waitpid(r->child, NULL, 0) < 0 && errno == EINTR)
		;
	r->child = 0;
}

/* Standard output would say that there is no mistake. */
static int
spawn_check(struct relaunch *r, struct err *e)
{
	static char check[] = "-t";
	posix_spawn_file_actions_t actions;
	size_t n = 0;
	char **argv;
	int code;

	while (r->argv[n] != NULL)
		n++;
	argv = xcalloc(n + 2, sizeof *argv);
	memcpy(argv, r->argv, n * sizeof *argv);
	argv[n] = check;
	CHECK(posix_spawn_file_actions_init(&actions) == 0);
	CHECK(posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0) ==
	      0);
	code = posix_spawnp(&r->child, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	free(argv);
	if (code == 0)
		return 0;
	r->child = 0;
	return err_set(e, code, "cannot start %s: %s", r->argv[0], strerror(code));
}

int
relaunch_begin(struct relaunch *r, void (*done)(const char *, void *), void *done_arg,
	       struct err *e)
{
	if (r->child != 0) {
		log_error(NULL, "the upgrade is refused", "why=%s", "another one is under way");
		return err_set(e, 0, "another upgrade is under way");
	}
	r->is_late = false;
	if (spawn_check(r, e) < 0)
		return fail(r, e);
	r->pidfd = pidfd_open(r->child, 0);
	if (r->pidfd < 0) {
		err_errno(e, "cannot watch the new program");
		kill_child(r);
		return fail(r, e);
	}
	r->done = done;
	r->done_arg = done_arg;
	loop_fd_set(&r->watch, r->loop, r->pidfd, EV_READ, on_checked, r);
	loop_timer_set(&r->timer, CHECK_MOST);
	return 0;
}

struct relaunch *
relaunch_new(struct loop *loop, char *const *argv, const char *(*fn)(void *), void *arg)
{
	struct relaunch *r = xcalloc(1, sizeof *r);

	*r = (struct relaunch){
		.loop = loop, .argv = argv, .on_checked = fn, .arg = arg, .pidfd = -1};
	loop_fd_init(&r->watch);
	loop_timer_init(&r->timer, loop, on_late, r);
	return r;
}

void
relaunch_free(struct relaunch **rp)
{
	struct relaunch *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	loop_fd_clear(&r->watch);
	loop_timer_fini(&r->timer);
	if (r->child != 0)
		kill_child(r);
	if (r->pidfd >= 0)
		close(r->pidfd);
	report(r, "this autoscaler has ended");
	free(r);
}

uint64_t
relaunch_failures(const struct relaunch *r)
{
	return r->failures;
}

void
relaunch_exec(char *const *argv)
{
	execvp(argv[0], argv);
	log_error(NULL, "cannot start the new program, and the old one has ended",
		  "program=%s err=%s", argv[0], strerror(errno));
}
