/* keeper_start - both ends of the start of a keeper: keeper_start() forks and executes the
 * autoscaler's own binary, and keeper_main() prepares the new process.  argv is: name,
 * KEEPER_FLAG, state_dir, descriptor of the lock, descriptor that the keeper closes once
 * it listens, log level, log format. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "autoscaler/keeper/keeper.h"
#include "common/daemon.h"
#include "common/log.h"

#define KEEPER_FLAG "--keeper"

bool
keeper_is_asked(int argc, char **argv)
{
	return argc > 1 && strcmp(argv[1], KEEPER_FLAG) == 0;
}

char *
keeper_mark(const char *state_dir, struct err *e)
{
	struct stat st;

	if (stat(state_dir, &st) < 0) {
		err_errno(e, "cannot use state_dir %s", state_dir);
		return NULL;
	}
	return xasprintf("%llx:%llx", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
}

static void
survive_exec(int fd)
{
	fcntl(fd, F_SETFD, 0);
}

/* Only what is safe between fork and exec.  The keeper keeps our stderr: without an
 * autoscaler it has nowhere else to log. */
NORETURN static void
run_keeper(char *const *argv, int lock_fd, int ready_fd)
{
	sigset_t none;
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(null_fd, 1) < 0)
		_exit(127);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	survive_exec(lock_fd);
	survive_exec(ready_fd);
	setsid(); /* so that Ctrl-C reaches the autoscaler alone */
	execv("/proc/self/exe", argv);
	_exit(127);
}

/* Until the child has executed the keeper it has copies of all our descriptors.  Wait for that, a
 * fraction of a millisecond: an autoscaler that takes our place meanwhile could not listen. */
static void
await_exec(int fd)
{
	char byte;

	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		;
}

pid_t
keeper_start(const char *state_dir, int lock_fd, int log_level, int log_format, int *ready_fd,
	     struct err *e)
{
	char lock[16], ready[16], level[16], format[16];
	char name[] = "activator-keeper", flag[] = KEEPER_FLAG;
	char *dir = xstrdup(state_dir);
	char *argv[] = {name, flag, dir, lock, ready, level, format, NULL};
	int fds[2], executed[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		free(dir);
		return err_errno(e, "cannot start the keeper");
	}
	if (pipe2(executed, O_CLOEXEC) < 0) {
		err_errno(e, "cannot start the keeper");
		free(dir);
		close(fds[0]);
		close(fds[1]);
		return -1;
	}
	snprintf(lock, sizeof lock, "%d", lock_fd);
	snprintf(ready, sizeof ready, "%d", fds[1]);
	snprintf(level, sizeof level, "%d", log_level);
	snprintf(format, sizeof format, "%d", log_format);
	pid = fork();
	if (pid == 0)
		run_keeper(argv, lock_fd, fds[1]);
	if (pid < 0)
		err_errno(e, "cannot start the keeper");
	free(dir);
	close(fds[1]);
	close(executed[1]);
	if (pid > 0)
		await_exec(executed[0]);
	close(executed[0]);
	if (pid < 0)
		close(fds[0]);
	else
		*ready_fd = fds[0];
	return pid;
}

/* --- in the new process --- */

static void
close_on_exec(int fd)
{
	fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* The lock file holds the pid of the process that has the lock. */
static void
write_pid(int fd)
{
	char text[32];
	int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());

	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
		log_warn(NULL, "cannot write the keeper's pid into its lock file", "err=%s",
			 strerror(errno));
}

int
keeper_main(int argc, char **argv)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct err e = {0};
	int lock_fd, ready_fd, rc;
	char *mark;

	if (argc != 7) {
		log_open(LOG_INFO, LOG_LOGFMT, "keeper");
		log_error(NULL, "only an autoscaler starts a keeper", "");
		return 2;
	}
	log_open((enum log_level)strtol(argv[5], NULL, 10),
		 (enum log_format)strtol(argv[6], NULL, 10), "keeper");
	lock_fd = (int)strtol(argv[3], NULL, 10);
	ready_fd = (int)strtol(argv[4], NULL, 10);
	close_on_exec(lock_fd);
	close_on_exec(ready_fd);
	write_pid(lock_fd);
	daemon_init();
	sigaction(SIGHUP, &ignore, NULL);
	sigaction(SIGINT, &ignore, NULL);
	prctl(PR_SET_NAME, "act-keeper");
	mark = keeper_mark(argv[2], &e);
	rc = mark == NULL ? -1 : keeper_run(argv[2], mark, ready_fd, &e);
	free(mark);
	if (rc < 0)
		log_error(NULL, "keeper cannot start", "err=%s", e.text);
	return rc < 0 ? 1 : 0;
}
