/* inherited: sockets by their address, and the environment of systemd. */
#include "test/unit/unit.h"

#include <sys/un.h>
#include <unistd.h>

#include "common/inherited.h"
#include "common/unix_socket.h"
#include "test/unit/loopback.h"

static void
by_address(void **state)
{
	struct inherited *in = inherited_new();
	struct addr first, second, unix_at;
	char path[64];
	bool is_foreign = false;
	struct err e;
	int fd, made;

	(void)state;
	snprintf(path, sizeof path, "/tmp/t_inherited.%d", (int)getpid());
	made = unix_socket_listen(path, 0600, &e);
	assert_true(made >= 0);
	assert_int_equal(inherited_add(in, loopback_listen(0, 1, &first), true, "web", &e), 0);
	assert_int_equal(inherited_add(in, loopback_listen(0, 1, &second), false, NULL, &e), 0);
	assert_int_equal(inherited_add(in, made, false, NULL, &e), 0);

	fd = inherited_take(in, &first, &is_foreign);
	assert_true(fd >= 0 && is_foreign);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	close(fd);
	assert_int_equal(inherited_take(in, &first, &is_foreign), -1);
	snprintf(path, sizeof path, "unix:/tmp/t_inherited.%d", (int)getpid());
	assert_int_equal(addr_parse_any(&unix_at, path, &e), 0);
	fd = inherited_take(in, &unix_at, &is_foreign);
	assert_int_equal(fd, made);
	assert_false(is_foreign);
	close(fd);
	unlink(path + sizeof ADDR_UNIX - 1);
	inherited_free(&in);
	assert_int_equal(inherited_take(NULL, &second, &is_foreign), -1);
}

/* Several of one address (SO_REUSEPORT) are taken one after the other. */
static void
several_of_one_address(void **state)
{
	struct inherited *in = inherited_new();
	struct addr at;
	bool is_foreign;
	struct err e;
	int first = loopback_listen(0, 1, &at), i, fd;

	(void)state;
	assert_int_equal(inherited_add(in, first, false, NULL, &e), 0);
	assert_int_equal(inherited_add(in, dup(first), false, NULL, &e), 0);
	for (i = 0; i < 2; i++) {
		fd = inherited_take(in, &at, &is_foreign);
		assert_true(fd >= 0);
		close(fd);
	}
	assert_int_equal(inherited_take(in, &at, &is_foreign), -1);
	inherited_free(&in);
}

static void
others_are_refused(void **state)
{
	struct inherited *in = inherited_new();
	struct addr at;
	struct err e;
	int ends[2];

	(void)state;
	assert_int_equal(inherited_add(in, loopback_bind(0, &at), true, NULL, &e), -1);
	assert_non_null(strstr(e.text, "a stream socket that listens"));
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(inherited_add(in, ends[0], true, NULL, &e), -1);
	assert_int_equal(fcntl(ends[0], F_GETFD), -1); /* closed */
	close(ends[1]);
	inherited_free(&in);
}

static void
warn(void *arg)
{
	inherited_warn_left(arg);
}

/* In a child: the descriptors have fixed numbers. */
static void
from_systemd(void *arg)
{
	struct inherited *in = inherited_new();
	struct addr first, second;
	bool is_foreign = false;
	char pid[16], *text;
	struct err e;

	(void)arg;
	assert_int_equal(dup2(loopback_listen(0, 1, &first), 3), 3);
	assert_int_equal(dup2(loopback_listen(0, 1, &second), 4), 4);
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_FDNAMES", "web:metrics", 1);
	if (inherited_add_environment(in, &e) < 0)
		_exit(1);
	if (getenv("LISTEN_FDS") != NULL || getenv("LISTEN_PID") != NULL)
		_exit(2);
	if (inherited_take(in, &first, &is_foreign) != 3 || !is_foreign)
		_exit(3);
	text = unit_stderr_of(warn, in);
	if (strstr(text, "name=metrics") == NULL || strstr(text, "name=web") != NULL)
		_exit(4);
	free(text);
	inherited_free(&in);
	if (fcntl(4, F_GETFD) >= 0)
		_exit(5);
	_exit(0);
}

static void
for_another(void *arg)
{
	struct inherited *in = inherited_new();
	struct addr at;
	bool is_foreign;
	struct err e;

	assert_int_equal(dup2(loopback_listen(0, 1, &at), 3), 3);
	setenv("LISTEN_PID", arg, 1);
	setenv("LISTEN_FDS", "1", 1);
	if (inherited_add_environment(in, &e) < 0 || inherited_take(in, &at, &is_foreign) >= 0)
		_exit(1);
	_exit(fcntl(3, F_GETFD) >= 0 ? 0 : 2);
}

static void
not_a_number(void *arg)
{
	struct inherited *in = inherited_new();
	char pid[16];
	struct err e;

	snprintf(pid, sizeof pid, "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", arg, 1);
	_exit(inherited_add_environment(in, &e) < 0 && strstr(e.text, "LISTEN_FDS") != NULL ? 0
											    : 1);
}

static void
environment(void **state)
{
	char other[] = "1", none[] = "", words[] = "two", negative[] = "-1", closed[] = "9";

	(void)state;
	assert_int_equal(unit_status_of(from_systemd, NULL), 0);
	assert_int_equal(unit_status_of(for_another, other), 0);
	assert_int_equal(unit_status_of(for_another, none), 0);
	assert_int_equal(unit_status_of(not_a_number, words), 0);
	assert_int_equal(unit_status_of(not_a_number, negative), 0);
	assert_int_equal(unit_status_of(not_a_number, closed), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_address),
		cmocka_unit_test(several_of_one_address),
		cmocka_unit_test(others_are_refused),
		cmocka_unit_test(environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
