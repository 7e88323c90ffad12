/* daemon: arguments, the lock, messages to systemd; holder: which process has an address. */
#include "test/unit/unit.h"

#include <errno.h>
#include <getopt.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/daemon.h"
#include "common/holder.h"
#include "test/unit/loopback.h"

struct extra {
	char text[64];
};

static int
on_extra(int val, const char *arg, void *ctx, struct err *e)
{
	struct extra *x = ctx;

	snprintf(x->text, sizeof x->text, "%d:%s", val, arg == NULL ? "" : arg);
	return arg != NULL && strcmp(arg, "bad") == 0 ? err_set(e, 0, "bad: expected good") : 0;
}

static const struct option more[] = {{"simulate", required_argument, NULL, 300},
				     {NULL, 0, NULL, 0}};

struct line {
	char *argv[8];
	struct daemon_args args;
	struct extra extra;
};

static const struct daemon_usage usage = {"prog", "", ""};

static void
parse(void *arg)
{
	struct line *l = arg;
	int argc = 0;

	while (l->argv[argc] != NULL)
		argc++;
	optind = 0; /* glibc: begin with the first argument again */
	daemon_args_parse(&l->args, argc, l->argv, &usage, more, on_extra, &l->extra);
}

static char prog[] = "prog", c[] = "-c", t[] = "-t", v[] = "-V", h[] = "-h", x[] = "-x";
static char file[] = "some.conf", conf[] = "--conf=other.conf", check[] = "--check", dump[] = "-T",
	    rest[] = "rest";
static char simulate[] = "--simulate", trace[] = "trace.txt", bad[] = "bad", unknown[] = "--nope";

static void
arguments(void **state)
{
	struct line l = {.argv = {prog, NULL}};

	(void)state;
	parse(&l);
	assert_string_equal(l.args.conf, "/etc/activator/activator.conf");
	assert_false(l.args.is_check);
	assert_false(l.args.is_dump);

	l = (struct line){.argv = {prog, c, file, dump, NULL}};
	parse(&l);
	assert_string_equal(l.args.conf, "some.conf");
	assert_false(l.args.is_check);
	assert_true(l.args.is_dump);

	l = (struct line){.argv = {prog, conf, check, simulate, trace, NULL}};
	parse(&l);
	assert_string_equal(l.args.conf, "other.conf");
	assert_true(l.args.is_check);
	assert_string_equal(l.extra.text, "300:trace.txt");
}

static void
expect_exit(char *one, char *two, int code)
{
	struct line l = {.argv = {prog, one, two, NULL}};
	int status = unit_status_of(parse, &l);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), code);
}

static void
arguments_that_end_the_program(void **state)
{
	(void)state;
	expect_exit(x, NULL, 2);
	expect_exit(t, rest, 2);
	expect_exit(unknown, NULL, 2);
	expect_exit(c, NULL, 2);
	expect_exit(simulate, bad, 2);
	assert_int_equal(fflush(stdout), 0);
	if (freopen("/dev/null", "w", stdout) == NULL)
		fail();
	expect_exit(v, NULL, 0);
	expect_exit(h, NULL, 0);
}

static void
one_holder_at_a_time(void **state)
{
	char *top = unit_dir(), *dir = xasprintf("%s/a/b", top), text[64], *path;
	struct err e = {.text = ""};
	struct stat st;
	int fd, second, copy;

	(void)state;
	fd = daemon_lock(dir, "x.lock", &e);
	assert_true(fd >= 0);
	second = daemon_lock(dir, "x.lock", &e);
	assert_int_equal(second, -1);
	snprintf(text, sizeof text, "held by process %ld (t_daemon)", (long)getpid());
	assert_non_null(strstr(e.text, text));
	assert_non_null(strstr(e.text, "x.lock"));
	path = xasprintf("%s/x.lock", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	close(fd);
	fd = daemon_lock(dir, "x.lock", &e); /* the file remains, the lock is gone */
	assert_true(fd >= 0);
	copy = dup(fd);
	daemon_unlock(fd);
	fd = daemon_lock(dir, "x.lock", &e);
	assert_true(fd >= 0);
	close(copy);
	daemon_unlock(fd);
	daemon_unlock(-1);

	unlink(path);
	rmdir(dir);
	dir[strlen(dir) - 2] = '\0';
	rmdir(dir);
	assert_int_equal(rmdir(top), 0);
	free(path);
	free(dir);
	free(top);
}

/* The lock counts, not the pid in the file. */
static void
a_lock_is_taken_on_a_full_disk(void **state)
{
	struct rlimit before, none;
	char *dir = unit_dir(), *path = xasprintf("%s/x.lock", dir);
	struct err e = {0};
	int fd;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	none = (struct rlimit){0, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	fd = daemon_lock(dir, "x.lock", &e);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_DFL);
	if (fd < 0)
		fail_msg("%s", e.text);
	assert_int_equal(daemon_lock(dir, "x.lock", &e), -1);
	assert_int_equal(e.code, EWOULDBLOCK);
	close(fd);
	unlink(path);
	rmdir(dir);
	free(path);
	free(dir);
}

static void
a_lock_that_cannot_be_made(void **state)
{
	struct err e = {.text = ""};

	(void)state;
	assert_int_equal(daemon_lock("/dev/null/x", "lock", &e), -1);
	assert_non_null(strstr(e.text, "/dev/null"));
	assert_int_equal(daemon_lock("/proc/self", "lock", &e), -1);
	assert_non_null(strstr(e.text, "/proc/self/lock"));
}

static void
systemd_gets_messages(void **state)
{
	char *dir = unit_dir();
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	char text[64] = "";
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	(void)state;
	snprintf(at.sun_path, sizeof at.sun_path, "%.80s/notify", dir);
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
	unsetenv("NOTIFY_SOCKET");
	daemon_notify("READY=1");
	assert_int_equal(recv(fd, text, sizeof text, MSG_DONTWAIT), -1);
	setenv("NOTIFY_SOCKET", at.sun_path, 1);
	daemon_notify("READY=1");
	assert_int_equal(recv(fd, text, sizeof text, MSG_DONTWAIT), 7);
	assert_memory_equal(text, "READY=1", 7);
	unsetenv("NOTIFY_SOCKET");
	close(fd);
	unlink(at.sun_path);
	rmdir(dir);
	free(dir);
}

static void
systemd_asks_for_signs_of_life(void **state)
{
	char pid[16];

	(void)state;
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	assert_true(daemon_watchdog_ns() == 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	assert_true(daemon_watchdog_ns() == INT64_C(30000000000));
	setenv("WATCHDOG_PID", "1", 1); /* meant for another process */
	assert_true(daemon_watchdog_ns() == 0);
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	assert_true(daemon_watchdog_ns() > 0);
	setenv("WATCHDOG_USEC", "30s", 1);
	assert_true(daemon_watchdog_ns() == 0);
	setenv("WATCHDOG_USEC", "-5", 1);
	assert_true(daemon_watchdog_ns() == 0);
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static void
holder_of_an_address(void **state)
{
	char text[HOLDER_TEXT], ours[HOLDER_TEXT];
	struct addr a;
	int fd = loopback_listen(0, 1, &a);

	(void)state;
	holder_name(getpid(), ours);
	assert_string_equal(holder_of(&a, text), ours);
	assert_non_null(strstr(ours, "(t_daemon)"));
	close(fd);
	assert_string_equal(holder_of(&a, text), "another process");
}

static void
descriptors_are_raised(void **state)
{
	(void)state;
	daemon_init();
	assert_true(daemon_raise_nofile() >= 256);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arguments),
		cmocka_unit_test(one_holder_at_a_time),
		cmocka_unit_test(a_lock_is_taken_on_a_full_disk),
		cmocka_unit_test(a_lock_that_cannot_be_made),
		cmocka_unit_test(systemd_gets_messages),
		cmocka_unit_test(systemd_asks_for_signs_of_life),
		cmocka_unit_test(holder_of_an_address),
		cmocka_unit_test(descriptors_are_raised),
		cmocka_unit_test(arguments_that_end_the_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
