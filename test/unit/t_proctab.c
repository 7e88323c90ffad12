/* proctab: the table of processes. */
#include "test/unit/unit.h"

#include <sys/wait.h>

#include "autoscaler/keeper/proctab.h"

static void
a_stat_line_is_read(void **state)
{
	static const char line[] = "42 (a (b) c) S 7 40 39 0 -1 4194304 1 2 3 4 250 150 60 40 20 0 "
				   "1 0 12345 1000000 10 18446744073709551615 1 1";
	struct proctab_entry p;

	(void)state;
	assert_int_equal(proctab_parse(&p, line), 0);
	assert_int_equal(p.pid, 42);
	assert_int_equal(p.parent, 7);
	assert_int_equal(p.group, 40);
	assert_int_equal(p.session, 39);
	assert_false(p.is_zombie);
	assert_true(p.cpu_s == 500.0 / (double)sysconf(_SC_CLK_TCK));
	assert_int_equal(p.start_ticks, 12345);
	assert_int_equal(p.memory_bytes, 10 * sysconf(_SC_PAGESIZE));
}

static void
malformed_lines_are_refused(void **state)
{
	static const char *const lines[] = {
		"", "42", "42 (a", "42 (a) S", "x (a) S 1 1 1", "42 (a) S 7 40 39 0 -1"};
	struct proctab_entry p;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(lines); i++)
		assert_int_equal(proctab_parse(&p, lines[i]), -1);
}

static struct proctab_entry
entry(pid_t pid, pid_t parent)
{
	return (struct proctab_entry){.pid = pid, .parent = parent};
}

static void
roots_are_found(void **state)
{
	struct proctab_entry v[] = {entry(1, 0),   entry(10, 1),  entry(11, 10),
				    entry(12, 11), entry(13, 12), entry(20, 10),
				    entry(30, 1),  entry(40, 41), entry(41, 40)};
	struct proctab t = {.v = v, .n = ARRAY_LEN(v)};

	(void)state;
	proctab_root(&t, 10);
	assert_int_equal(proctab_find(&t, 11)->root, 11);
	assert_int_equal(proctab_find(&t, 13)->root, 11);
	assert_int_equal(proctab_find(&t, 20)->root, 20);
	assert_int_equal(proctab_find(&t, 10)->root, 0);
	assert_int_equal(proctab_find(&t, 30)->root, 0);
	assert_int_equal(proctab_find(&t, 40)->root, 0); /* a loop among parents ends */
	assert_null(proctab_find(&t, 14));
}

static bool
has(pid_t pid, const char *name, const char *expected)
{
	char *value = proctab_env(pid, name);
	bool is_so = value != NULL && strcmp(value, expected) == 0;

	free(value);
	return is_so;
}

static void
a_child_is_there_with_its_environment(void **state)
{
	char sleep_arg[] = "sleep", seconds[] = "100", mark[] = "MARK=this=it", other[] = "A=";
	char *argv[] = {sleep_arg, seconds, NULL}, *env[] = {other, mark, NULL};
	struct proctab t;
	pid_t pid = fork();
	int i;

	(void)state;
	if (pid == 0) {
		execve("/bin/sleep", argv, env);
		_exit(1);
	}
	for (i = 0; i < 1000 && !has(pid, "MARK", "this=it"); i++)
		usleep(1000);
	assert_true(has(pid, "MARK", "this=it"));
	assert_true(has(pid, "A", ""));
	assert_null(proctab_env(pid, "MAR"));
	assert_null(proctab_env(pid, "ARK"));
	proctab_read(&t);
	proctab_root(&t, getpid());
	assert_non_null(proctab_find(&t, pid));
	assert_int_equal(proctab_find(&t, pid)->root, pid);
	assert_int_equal(proctab_find(&t, getpid())->root, 0);
	assert_int_equal(proctab_find(&t, pid)->start_ticks, proctab_start_ticks(pid));
	assert_true(proctab_start_ticks(pid) >= proctab_start_ticks(getpid()));
	proctab_fini(&t);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_null(proctab_env(pid, "MARK"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stat_line_is_read),
		cmocka_unit_test(malformed_lines_are_refused),
		cmocka_unit_test(roots_are_found),
		cmocka_unit_test(a_child_is_there_with_its_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
