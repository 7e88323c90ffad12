#include "common/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clk.h"
#include "common/holder.h"
#include "common/log.h"
#include "common/settings.h"
#include "common/strbuf.h"
#include "common/text.h"

#define LOCK_TRIES 200 /* of a file whose holder is dead */
#define LOCK_PAUSE_MS 10

#define OPTIONS_MAX 32

const char daemon_version[] = VERSION;
static const char conf_default[] = SYSCONFDIR "/activator/activator.conf";

static void
print_synopsis(FILE *to, const struct daemon_usage *u)
{
	fprintf(to, "usage: %s [-t | -T] [-c FILE]\n%s       %s -V | -h\n", u->program, u->more,
		u->program);
}

NORETURN static void
print_help(const struct daemon_usage *u)
{
	print_synopsis(stdout, u);
	printf("\n"
	       "  -c, --conf FILE        the conf file; default %s\n"
	       "  -t, --check            check the conf file and exit\n"
	       "  -T, --dump             print every setting and where it was set, and exit\n"
	       "%s"
	       "  -V, --version          print the version and exit\n"
	       "  -h, --help             print this text and exit\n"
	       "\n"
	       "See %s(8) and activator.conf(5).\n",
	       conf_default, u->options, u->program);
	exit(0);
}

NORETURN static void
mistake(const struct daemon_usage *u)
{
	print_synopsis(stderr, u);
	exit(2);
}

void
daemon_args_mistake(const struct daemon_usage *u, const struct err *e)
{
	fprintf(stderr, "%s: %s\n", u->program, e->text);
	mistake(u);
}

/* Our long options, then the program's own. */
static void
join_options(struct option out[OPTIONS_MAX], const struct option *more)
{
	static const struct option ours[] = {{"conf", required_argument, NULL, 'c'},
					     {"check", no_argument, NULL, 't'},
					     {"dump", no_argument, NULL, 'T'},
					     {"version", no_argument, NULL, 'V'},
					     {"help", no_argument, NULL, 'h'}};
	size_t n = ARRAY_LEN(ours);

	memcpy(out, ours, sizeof ours);
	for (; more != NULL && more->name != NULL; more++) {
		CHECK(n < OPTIONS_MAX - 1 && more->val >= 256);
		out[n++] = *more;
	}
	out[n] = (struct option){.name = NULL};
}

void
daemon_args_parse(struct daemon_args *a, int argc, char **argv, const struct daemon_usage *u,
		  const struct option *more,
		  int (*extra)(int val, const char *arg, void *ctx, struct err *), void *ctx)
{
	struct option options[OPTIONS_MAX];
	struct err e;
	int c;

	*a = (struct daemon_args){.conf = conf_default};
	join_options(options, more);
	while ((c = getopt_long(argc, argv, "c:tThV", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			a->conf = optarg;
			break;
		case 't':
			a->is_check = true;
			break;
		case 'T':
			a->is_dump = true;
			break;
		case 'V':
			printf("%s %s\n", u->program, daemon_version);
			exit(0);
		case 'h':
			print_help(u);
		default:
			if (c < 256)
				mistake(u);
			if (extra(c, optarg, ctx, &e) < 0)
				daemon_args_mistake(u, &e);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "%s: no option takes the argument \"%s\"\n", u->program,
			argv[optind]);
		mistake(u);
	}
}

struct settings *
daemon_settings(const char *file, struct err *first)
{
	struct settings_errors errors = {NULL, 0};
	struct settings *s = settings_load(file, &errors);
	size_t i;

	for (i = 0; i < errors.n; i++)
		fprintf(stderr, "%s%s\n", log_priority(LOG_ERROR), errors.lines[i]);
	if (errors.n > 0)
		err_set(first, 0, "%s", errors.lines[0]);
	settings_errors_free(&errors);
	return s;
}

bool
daemon_report_settings(const struct daemon_args *a, const struct settings *s)
{
	struct strbuf text;

	if (a->is_dump) {
		strbuf_init(&text, 0);
		settings_dump(s, &text);
		printf("%s", strbuf_str(&text));
		strbuf_fini(&text);
	} else if (a->is_check) {
		printf("%s: ok\n", a->conf);
	}
	return a->is_dump || a->is_check;
}

size_t
daemon_raise_nofile(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return 1024;
	if (lim.rlim_cur != lim.rlim_max) {
		rlim_t before = lim.rlim_cur;

		lim.rlim_cur = lim.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
			lim.rlim_cur = before;
	}
	return (size_t)lim.rlim_cur;
}

void
daemon_init(void)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	CHECK(sigaction(SIGPIPE, &ignore, NULL) == 0);
}

static void
mask_signals(int how)
{
	static const int handled[] = {SIGHUP, SIGUSR2, SIGTERM, SIGINT};
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < ARRAY_LEN(handled); i++)
		sigaddset(&set, handled[i]);
	CHECK(pthread_sigmask(how, &set, NULL) == 0);
}

void
daemon_hold_signals(void)
{
	mask_signals(SIG_BLOCK);
}

void
daemon_release_signals(void)
{
	mask_signals(SIG_UNBLOCK);
}

/* Make dir and the folders above it that are missing, with mode 0750. */
static int
make_dir(const char *dir, struct err *e)
{
	char *path = xstrdup(dir), *at = path;
	int rc = 0;

	do {
		at += strspn(at, "/");
		at += strcspn(at, "/");
		char saved = *at;

		*at = '\0';
		if (path[0] != '\0' && mkdir(path, 0750) < 0 && errno != EEXIST)
			rc = err_errno(e, "cannot make folder %s", path);
		*at = saved;
	} while (rc == 0 && *at != '\0');
	free(path);
	return rc;
}

/* The pid that stands in the lock file; 0: none.  It may still be that of an earlier holder:
 * a process writes its own just after it has locked the file. */
static long
pid_in(int fd)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof text - 1, 0);

	text[MAX(n, 0)] = '\0';
	return strtol(text, NULL, 10);
}

/* Lock the file.  A holder that was killed may live on for a moment in a child that it had
 * forked and that has not executed its program yet: wait for the end of that. */
static int
lock(int fd)
{
	int tries = 0, rc;
	long pid;

	while ((rc = flock(fd, LOCK_EX | LOCK_NB)) < 0 && errno == EWOULDBLOCK &&
	       tries++ < LOCK_TRIES) {
		pid = pid_in(fd);
		if (pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
			break;
		poll(NULL, 0, LOCK_PAUSE_MS);
	}
	if (rc < 0 && tries > 0)
		errno = EWOULDBLOCK;
	return rc;
}

void
daemon_unlock(int fd)
{
	if (fd < 0)
		return;
	(void)flock(fd, LOCK_UN);
	close(fd);
}

/* Name the process that holds the lock. */
static int
lock_failed(int fd, const char *path, struct err *e)
{
	char holder[HOLDER_TEXT];
	long pid;

	if (errno != EWOULDBLOCK)
		return err_errno(e, "cannot lock %s", path);
	pid = pid_in(fd);
	return err_set(e, EWOULDBLOCK, "cannot lock %s: held by %s", path,
		       pid > 0 ? holder_name(pid, holder) : "another process");
}

/* For the message of a process that finds the file locked.  A full disk costs that message
 * its pid and nothing else, so it is no error here. */
static void
write_pid(int fd)
{
	char text[32];
	int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());

	if (ftruncate(fd, 0) == 0)
		(void)!pwrite(fd, text, (size_t)n, 0);
}

int
daemon_lock(const char *dir, const char *name, struct err *e)
{
	char *path;
	int fd, rc = 0;

	if (make_dir(dir, e) < 0)
		return -1;
	path = xasprintf("%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0)
		rc = err_errno(e, "cannot open %s", path);
	else if (lock(fd) < 0)
		rc = lock_failed(fd, path, e);
	else
		write_pid(fd);
	free(path);
	if (rc < 0 && fd >= 0)
		close(fd);
	return rc < 0 ? -1 : fd;
}

static void
notify(const char *state, int flags)
{
	const struct timeval most = {.tv_sec = 1}; /* systemd reads, unless it is not well itself */
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t n = path == NULL ? 0 : strlen(path);
	int fd;

	if (n < 2 || n >= sizeof to.sun_path)
		return;
	memcpy(to.sun_path, path, n);
	if (to.sun_path[0] == '@')
		to.sun_path[0] = '\0'; /* abstract name space */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
	/* A failure needs no message: systemd notices by its own timeout. */
	(void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL | flags, (const struct sockaddr *)&to,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}

void
daemon_notify(const char *state)
{
	notify(state, 0);
}

void
daemon_notify_alive(void)
{
	notify("WATCHDOG=1", MSG_DONTWAIT);
}

int64_t
daemon_watchdog_ns(void)
{
	const char *us = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	char *end;
	uint32_t of;
	long long n;

	/* Another process is meant, which has passed on its environment. */
	if (pid != NULL &&
	    (!text_number(pid, strlen(pid), INT32_MAX, &of) || (pid_t)of != getpid()))
		return 0;
	n = us == NULL ? 0 : strtoll(us, &end, 10);
	if (n <= 0 || *end != '\0' || n > INT64_MAX / CLK_US)
		return 0;
	return n * CLK_US;
}
