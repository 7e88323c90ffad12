#include "autoscaler/kube/kube_exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "autoscaler/kube/kube_config.h"
#include "autoscaler/kube/kube_json.h"
#include "common/backoff.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/random.h"
#include "common/strbuf.h"

#define OUT_MOST ((size_t)1 << 20) /* bytes of an ExecCredential */
#define ERR_MOST ((size_t)1 << 12) /* bytes of standard error that are kept for the log */
#define TURN 256		   /* reads of 4 KiB */
#define BACKOFF_FIRST CLK_S
#define BACKOFF_MOST (60 * CLK_S)
#define EARLY_MOST (60 * CLK_S) /* before the credential expires */

/* An end of a pipe, and what came through it. */
struct stream {
	int fd; /* -1: closed */
	struct loop_fd watch;
	struct strbuf text;
	bool is_too_long; /* what does not fit is dropped … */
	const pid_t *run; /* … and the run is ended; NULL: it is not */
};

struct kube_exec {
	struct loop *loop;
	const struct kube_exec_conf *conf;
	int64_t timeout;
	void (*on_change)(void *arg);
	void *arg;
	pid_t pid; /* of the run; 0: none is under way */
	int pid_fd;
	struct loop_fd exit;
	struct stream out, err;
	bool has_timed_out;
	struct loop_timer timer; /* a run: its timeout; else the next run */
	struct backoff backoff;
	struct kube_credential credential;
	bool is_good;
	uint64_t number;
};

static void run(struct kube_exec *);

/* --- its output --- */

static void
stream_close(struct stream *s)
{
	if (s->fd < 0)
		return;
	loop_fd_clear(&s->watch);
	close(s->fd);
	s->fd = -1;
}

/* Read what there is now, but no more than TURN at a time: a plug-in may write without end. */
static void
stream_read(struct stream *s)
{
	char chunk[4096];
	ssize_t n = 1;
	int i;

	for (i = 0; i < TURN && s->fd >= 0 && n > 0; i++) {
		n = read(s->fd, chunk, sizeof chunk);
		if (n == 0)
			stream_close(s);
		else if (n > 0 && strbuf_add(&s->text, chunk, (size_t)n) < 0)
			s->is_too_long = true;
	}
	if (s->is_too_long && s->run != NULL && *s->run != 0)
		kill(-*s->run, SIGKILL); /* its end follows */
}

static void
on_readable(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	stream_read(arg);
}

/* The reading end is ours; the writing end, for the plug-in, is returned.  -1: errno. */
static int
stream_open(struct stream *s, struct kube_exec *x)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	CHECK(fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0);
	s->fd = fds[0];
	s->is_too_long = false;
	strbuf_clear(&s->text);
	loop_fd_set(&s->watch, x->loop, s->fd, EV_READ, on_readable, s);
	return fds[1];
}

/* --- the end of a run --- */

static void
next_run(struct kube_exec *x, int64_t delay)
{
	loop_timer_set(&x->timer, delay);
}

static void
log_failure(struct kube_exec *x, const char *why)
{
	const char *hint = x->conf->hint;
	char *text = x->err.text.data == NULL ? xstrdup("") : xstrdup(x->err.text.data);
	int64_t delay = backoff_next(&x->backoff, random_u32());

	log_warn(NULL, "credentials plug-in failed",
		 "command=%s err=%s stderr=%s hint=%s retry_ms=%lld", x->conf->command, why, text,
		 hint == NULL ? "" : hint, (long long)(delay / CLK_MS));
	free(text);
	next_run(x, delay);
}

static int
take_output(struct kube_exec *x, struct kube_credential *c, struct err *e)
{
	if (kube_credential_decode(c, strbuf_str(&x->out.text), x->out.text.len,
				   x->conf->api_version, e) < 0)
		return -1;
	if (c->expires_wall_ns == 0 || c->expires_wall_ns > clk_wall())
		return 0;
	kube_credential_fini(c);
	return err_set(e, 0, "the credential has expired already");
}

static void
take_credential(struct kube_exec *x, const struct kube_credential *c)
{
	int64_t left = c->expires_wall_ns - clk_wall();

	kube_credential_fini(&x->credential);
	x->credential = *c;
	x->is_good = true;
	x->number++;
	backoff_reset(&x->backoff);
	if (c->expires_wall_ns != 0)
		next_run(x, left - MIN(left / 4, EARLY_MOST));
	log_debug(NULL, "credentials plug-in has run", "command=%s expires_s=%lld",
		  x->conf->command, c->expires_wall_ns == 0 ? -1LL : (long long)(left / CLK_S));
}

static void
take_result(struct kube_exec *x, int status)
{
	struct kube_credential c;
	struct err e;

	if (x->out.is_too_long)
		(void)err_set(&e, 0, "it prints more than %zu bytes", OUT_MOST);
	else if (x->has_timed_out)
		(void)err_set(&e, 0, "it took longer than %lld ms",
			      (long long)(x->timeout / CLK_MS));
	else if (WIFSIGNALED(status))
		(void)err_set(&e, 0, "it was ended by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		(void)err_set(&e, 0, "it exited with status %d", WEXITSTATUS(status));
	else if (take_output(x, &c, &e) == 0) {
		take_credential(x, &c);
		return;
	}
	log_failure(x, e.text);
}

/* Its descriptors and its zombie. */
static int
reap(struct kube_exec *x)
{
	int status = 0;

	while (waitpid(x->pid, &status, 0) < 0 && errno == EINTR)
		;
	x->pid = 0;
	loop_timer_clear(&x->timer);
	loop_fd_clear(&x->exit);
	close(x->pid_fd);
	stream_close(&x->out);
	stream_close(&x->err);
	return status;
}

static void
on_exit_of_plugin(int fd, short what, void *arg)
{
	struct kube_exec *x = arg;

	(void)fd;
	(void)what;
	stream_read(&x->out);
	stream_read(&x->err);
	take_result(x, reap(x));
	x->on_change(x->arg);
}

/* --- a run --- */

static void
on_timer(void *arg)
{
	struct kube_exec *x = arg;

	if (x->pid == 0) {
		run(x);
		return;
	}
	x->has_timed_out = true;
	kill(-x->pid, SIGKILL); /* its end follows */
}

static bool
is_overridden(const struct kube_exec_conf *c, const char *entry)
{
	size_t n = strcspn(entry, "=") + 1, i;

	for (i = 0; i < c->env.n; i++)
		if (strncmp(c->env.v[i], entry, n) == 0)
			return true;
	return strncmp(entry, KUBE_EXEC_INFO "=", n) == 0;
}

/* Ours, with that of the kubeconfig in place of variables of the same names; the array is the
 * caller's, and so is *info, the last string. */
static char **
environment_of(const struct kube_exec_conf *c, char **info)
{
	size_t n = 0, all = 0, i;
	char **v;

	while (environ[all] != NULL)
		all++;
	v = xcalloc(all + c->env.n + 2, sizeof *v);
	for (i = 0; i < all; i++)
		if (!is_overridden(c, environ[i]))
			v[n++] = environ[i];
	for (i = 0; i < c->env.n; i++)
		v[n++] = c->env.v[i];
	*info = v[n] = xasprintf(KUBE_EXEC_INFO "=%s", c->info);
	return v;
}

/* Standard input is empty: there is no terminal. */
static int
spawn(struct kube_exec *x, int out, int err)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	char *info, **env = environment_of(x->conf, &info);
	sigset_t none, all;
	int rc;

	sigemptyset(&none);
	sigfillset(&all);
	CHECK(posix_spawn_file_actions_init(&actions) == 0);
	CHECK(posix_spawnattr_init(&attr) == 0);
	CHECK(posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) == 0);
	CHECK(posix_spawn_file_actions_adddup2(&actions, out, 1) == 0);
	CHECK(posix_spawn_file_actions_adddup2(&actions, err, 2) == 0);
	CHECK(posix_spawnattr_setsigmask(&attr, &none) == 0);
	CHECK(posix_spawnattr_setsigdefault(&attr, &all) == 0);
	CHECK(posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						      POSIX_SPAWN_SETSIGDEF) == 0);
	rc = posix_spawnp(&x->pid, x->conf->command, &actions, &attr, x->conf->argv.v, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	free(info);
	free(env);
	return rc;
}

/* 0, or an errno. */
static int
start(struct kube_exec *x)
{
	int out = stream_open(&x->out, x), err = out < 0 ? -1 : stream_open(&x->err, x);
	int rc = err < 0 ? errno : spawn(x, out, err);

	if (out >= 0)
		close(out);
	if (err >= 0)
		close(err);
	if (rc == 0) {
		x->pid_fd = pidfd_open(x->pid, 0);
		if (x->pid_fd >= 0)
			return 0;
		rc = errno;
		kill(-x->pid, SIGKILL);
		while (waitpid(x->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	x->pid = 0;
	stream_close(&x->out);
	stream_close(&x->err);
	return rc;
}

static void
run(struct kube_exec *x)
{
	int rc;

	if (x->pid != 0)
		return;
	x->has_timed_out = false;
	rc = start(x);
	if (rc != 0) {
		log_failure(x, strerror(rc));
		return;
	}
	loop_fd_set(&x->exit, x->loop, x->pid_fd, EV_READ, on_exit_of_plugin, x);
	loop_timer_set(&x->timer, x->timeout);
}

/* --- what others ask --- */

const struct kube_credential *
kube_exec_get(struct kube_exec *x)
{
	int64_t expires = x->credential.expires_wall_ns;

	if (x->is_good && expires != 0 && expires <= clk_wall()) {
		x->is_good = false; /* the machine may have slept over the time of the next run */
		if (x->pid == 0 && x->backoff.tries == 0)
			run(x);
	}
	return x->is_good ? &x->credential : NULL;
}

uint64_t
kube_exec_number(const struct kube_exec *x)
{
	return x->number;
}

void
kube_exec_refused(struct kube_exec *x, uint64_t number)
{
	if (number != x->number || !x->is_good)
		return;
	x->is_good = false;
	run(x);
}

/* --- life --- */

static void
stream_init(struct stream *s, size_t most)
{
	s->fd = -1;
	loop_fd_init(&s->watch);
	strbuf_init(&s->text, most);
}

struct kube_exec *
kube_exec_open(struct loop *loop, const struct kube_exec_conf *conf, int64_t timeout,
	       void (*on_change)(void *arg), void *arg)
{
	struct kube_exec *x = xcalloc(1, sizeof *x);

	x->loop = loop;
	x->conf = conf;
	x->timeout = timeout;
	x->on_change = on_change;
	x->arg = arg;
	stream_init(&x->out, OUT_MOST);
	x->out.run = &x->pid;
	stream_init(&x->err, ERR_MOST);
	loop_fd_init(&x->exit);
	loop_timer_init(&x->timer, loop, on_timer, x);
	backoff_init(&x->backoff, BACKOFF_FIRST, BACKOFF_MOST);
	run(x);
	return x;
}

void
kube_exec_close(struct kube_exec **xp)
{
	struct kube_exec *x = *xp;

	*xp = NULL;
	if (x == NULL)
		return;
	if (x->pid != 0) {
		kill(-x->pid, SIGKILL);
		reap(x);
	}
	loop_timer_fini(&x->timer);
	kube_credential_fini(&x->credential);
	strbuf_fini(&x->err.text);
	strbuf_fini(&x->out.text);
	free(x);
}
