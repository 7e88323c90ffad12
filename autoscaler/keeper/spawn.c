#include "autoscaler/keeper/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The limit that programs expect: select() cannot take descriptors from 1024 on.  The
 * autoscaler has raised its own. */
#define CHILD_NOFILE 1024

enum stage { STAGE_SETUP, STAGE_NO_USER, STAGE_USER, STAGE_DIRECTORY, STAGE_EXEC };

struct exec_failure {
	int stage;
	int error;
};

NORETURN static void
give_up(int result_fd, enum stage stage, int error)
{
	struct exec_failure w = {.stage = stage, .error = error};

	while (write(result_fd, &w, sizeof w) < 0 && errno == EINTR)
		;
	_exit(127);
}

static void
default_signals(void)
{
	struct sigaction by_default = {.sa_handler = SIG_DFL};
	sigset_t none;
	int signo;

	for (signo = 1; signo < NSIG; signo++) /* fails for KILL, STOP and libc's own */
		(void)sigaction(signo, &by_default, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void
default_limits(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return;
	rl.rlim_cur = MIN(rl.rlim_max, (rlim_t)CHILD_NOFILE);
	(void)setrlimit(RLIMIT_NOFILE, &rl); /* lowering the soft one cannot fail */
}

/* Set stdin, stdout and stderr.  The exec closes all others, whatever opened them. */
static int
set_descriptors(int output_fd)
{
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(output_fd, 1) < 0 || dup2(output_fd, 2) < 0)
		return -1;
	if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0 && errno != ENOSYS && errno != EINVAL)
		return -1;
	return 0;
}

static void
become(const char *user, int result_fd)
{
	struct passwd *pw;

	errno = 0;
	pw = getpwnam(user);
	if (pw == NULL)
		give_up(result_fd, STAGE_NO_USER, errno);
	/* It is that user already: that needs no privilege. */
	if (geteuid() == pw->pw_uid && getuid() == pw->pw_uid && getuid() != 0)
		return;
	if (initgroups(user, pw->pw_gid) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
		give_up(result_fd, STAGE_USER, errno);
	if (pw->pw_uid != 0 && setuid(0) == 0) /* the change could be undone */
		give_up(result_fd, STAGE_USER, EPERM);
	setenv("USER", user, 1);
	setenv("LOGNAME", user, 1);
	setenv("HOME", pw->pw_dir, 1);
}

/* A change of user clears the death signal, so set it after that.  If the parent died
 * before, the signal would never come. */
static void
die_with_parent(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(127);
}

/* Move this process into the control group, before it forks.  Without one the instance
 * runs as well; only its leftovers are harder to find. */
static void
enter_cgroup(int dir_fd)
{
	int fd = openat(dir_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, "0", 1);
	close(fd);
}

/* fork() into a control group.  A process that begins there costs nothing extra; moving it
 * later costs some 10 ms, because the kernel waits for all CPUs, and each cold start would
 * pay that.  Not under the thread sanitizer, which must see every fork. */
static pid_t
fork_into(int cgroup_fd)
{
	pid_t pid = -1;

#if !defined(__SANITIZE_THREAD__)
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)cgroup_fd};

	pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
	if (pid >= 0)
		return pid;
#endif
	pid = fork(); /* Linux before 5.7, or clone3() is forbidden */
	if (pid == 0)
		enter_cgroup(cgroup_fd);
	return pid;
}

/* Whether name is in a folder of PATH.  execvp() also fails with EACCES if a folder of PATH
 * may not be searched. */
static bool
is_in_path(const char *name)
{
	const char *path = getenv("PATH"), *end;
	bool is_there = false;

	for (; path != NULL && !is_there; path = *end == ':' ? end + 1 : NULL) {
		char *file;

		end = path + strcspn(path, ":");
		file = xasprintf("%.*s/%s", (int)(end - path), path, name);
		is_there = access(file, F_OK) == 0;
		free(file);
	}
	return is_there;
}

NORETURN static void
run_child(const struct spawn *s, pid_t parent, int output_fd, int result_fd)
{
	extern char **environ;
	int error;

	default_signals();
	setsid();
	if (set_descriptors(output_fd) < 0)
		give_up(result_fd, STAGE_SETUP, errno);
	default_limits();
	environ = (char **)(uintptr_t)s->env; /* execvp() only reads it, for PATH */
	if (s->user != NULL)
		become(s->user, result_fd);
	die_with_parent(parent);
	if (s->directory != NULL && chdir(s->directory) < 0)
		give_up(result_fd, STAGE_DIRECTORY, errno);
	execvp(s->argv[0], s->argv);
	error = errno;
	if (error == EACCES && strchr(s->argv[0], '/') == NULL && !is_in_path(s->argv[0]))
		error = ENOENT;
	give_up(result_fd, STAGE_EXEC, error);
}

static pid_t
fork_child(const struct spawn *s, const int output[2], const int result[2])
{
	pid_t parent = getpid(), pid;
	sigset_t all, before;

	/* No signal handler of the keeper may run in the child. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = s->cgroup_fd >= 0 ? fork_into(s->cgroup_fd) : fork();
	if (pid == 0)
		run_child(s, parent, output[1], result[1]);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return pid;
}

static void
close_pair(const int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

pid_t
spawn_start(const struct spawn *s, int *output_fd, int *result_fd, struct err *e)
{
	int output[2], result[2];
	pid_t pid;

	if (pipe2(output, O_CLOEXEC) < 0)
		return err_errno(e, "cannot start %s", s->argv[0]);
	if (pipe2(result, O_CLOEXEC) < 0) {
		err_errno(e, "cannot start %s", s->argv[0]);
		close_pair(output);
		return -1;
	}
	pid = fork_child(s, output, result);
	if (pid < 0) {
		err_errno(e, "cannot start %s", s->argv[0]);
		close_pair(output);
		close_pair(result);
		return -1;
	}
	close(output[1]);
	close(result[1]);
	/* The child does not share the reading ends: it does not notice that they are
	 * non-blocking. */
	fcntl(output[0], F_SETFL, O_NONBLOCK);
	fcntl(result[0], F_SETFL, O_NONBLOCK);
	*output_fd = output[0];
	*result_fd = result[0];
	return pid;
}

static void
explain(const struct exec_failure *w, const struct spawn *s, struct err *e)
{
	const char *cause = strerror(w->error);

	switch (w->stage) {
	case STAGE_NO_USER:
		err_set(e, w->error, "cannot start %s as user %s: %s", s->argv[0], s->user,
			w->error == 0 ? "no such user" : cause);
		break;
	case STAGE_USER:
		err_set(e, w->error, "cannot start %s as user %s: %s", s->argv[0], s->user, cause);
		break;
	case STAGE_DIRECTORY:
		err_set(e, w->error, "cannot start %s in directory %s: %s", s->argv[0],
			s->directory, cause);
		break;
	case STAGE_EXEC:
		if (w->error == ENOENT && strchr(s->argv[0], '/') == NULL)
			cause = "not found in PATH";
		err_set(e, w->error, "cannot start %s: %s", s->argv[0], cause);
		break;
	default:
		err_set(e, w->error, "cannot prepare %s: %s", s->argv[0], cause);
		break;
	}
}

enum spawn_result
spawn_result(int result_fd, const struct spawn *s, struct err *e)
{
	struct exec_failure w;
	ssize_t n;

	do
		n = read(result_fd, &w, sizeof w);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return SPAWN_PENDING;
	if (n != (ssize_t)sizeof w)
		return SPAWN_EXECUTED;
	explain(&w, s, e);
	return SPAWN_FAILED;
}
