/* activators: who may hold slots is on disk, with the term; the end of a process is noticed, also
 * by the next autoscaler. */
#include "test/unit/unit.h"

#include <event2/event.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

#include "autoscaler/activators.h"
#include "common/lifelock.h"
#include "common/log.h"
#include "common/loop.h"

struct world {
	struct loop *loop;
	char *dir, *socket;
	struct activators *a;
	char dead[200]; /* ids, each with a blank behind it */
};

static void
on_dead(const char *id, void *arg)
{
	struct world *w = arg;
	size_t n = strlen(w->dead);

	snprintf(w->dead + n, sizeof w->dead - n, "%s ", id);
}

static const struct activators_ops ops = {.on_dead = on_dead};

static void
reopen(struct world *w)
{
	activators_close(&w->a);
	w->a = activators_open(w->loop, w->dir, w->socket, &ops, w);
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);
	struct err e;

	log_open(LOG_ERROR, LOG_LOGFMT, "t_activators");
	w->loop = loop_new(&e);
	w->dir = unit_dir();
	w->socket = xasprintf("%s/socket", w->dir);
	reopen(w);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;
	char *path = xasprintf("%s/activators.json", w->dir);

	activators_close(&w->a);
	unlink(path);
	rmdir(w->dir);
	free(path);
	free(w->dir);
	free(w->socket);
	loop_free(&w->loop);
	free(w);
	return 0;
}

/* A process that does nothing until it is killed. */
static pid_t
spawn(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

static void
end(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
up(struct world *w, const char *id, pid_t pid)
{
	struct err e;

	assert_int_equal(activators_up(w->a, id, pid, -1, &e), 0);
}

static bool
is_known(const struct world *w, const char *id)
{
	size_t n, i;
	const char **ids = activators_ids(w->a, &n);
	bool is = false;

	for (i = 0; i < n; i++)
		is |= strcmp(ids[i], id) == 0;
	free(ids);
	return is;
}

static void
wait_dead(struct world *w, const char *ids)
{
	while (strcmp(w->dead, ids) != 0)
		loop_once(w->loop, false);
}

static void
terms_rise(void **state)
{
	struct world *w = *state;
	uint64_t term = activators_term(w->a);

	assert_true(term > 0);
	reopen(w);
	assert_true(activators_term(w->a) > term);
}

static void
a_process_that_ends_is_noticed(void **state)
{
	struct world *w = *state;
	pid_t pid = spawn();

	up(w, "one", pid);
	activators_down(w->a, "one");
	loop_once(w->loop, true);
	assert_string_equal(w->dead, "");
	end(pid);
	wait_dead(w, "one ");
	assert_true(is_known(w, "one")); /* until it holds nothing */
	activators_forget(w->a, "one");
	assert_false(is_known(w, "one"));
	reopen(w);
	assert_false(is_known(w, "one"));
}

static void
the_next_one_knows_them(void **state)
{
	struct world *w = *state;
	pid_t pid = spawn();

	up(w, "one\n\"", pid); /* any id */
	up(w, "ours", getpid());
	reopen(w);
	assert_true(is_known(w, "one\n\"") && is_known(w, "ours"));
	loop_once(w->loop, true);
	assert_string_equal(w->dead, "");
	end(pid);
	wait_dead(w, "one\n\" ");
}

static void
one_that_ended_meanwhile_is_dead(void **state)
{
	struct world *w = *state;
	pid_t pid = spawn();

	up(w, "one", pid);
	activators_close(&w->a);
	end(pid);
	reopen(w);
	assert_true(is_known(w, "one"));
	wait_dead(w, "one ");
}

/* Its hello was not read while it lived. */
static void
the_hello_of_a_dead_one(void **state)
{
	struct world *w = *state;
	pid_t pid = spawn();

	up(w, "one", pid);
	activators_down(w->a, "one");
	end(pid);
	wait_dead(w, "one ");
	up(w, "one", pid);
	activators_down(w->a, "one");
	wait_dead(w, "one one ");
}

/* The kernel does not show the process, but its lock does. */
static void
the_lock_of_an_unseen_process(void **state)
{
	struct world *w = *state;
	int fd = lifelock_hold(w->socket, "one-1"), again;

	assert_true(fd >= 0);
	again = lifelock_hold(w->socket, "one-1");
	assert_int_equal(again, -1);
	up(w, "one-1", 0);
	reopen(w);
	assert_true(is_known(w, "one-1"));
	loop_once(w->loop, false); /* the first look at it */
	assert_string_equal(w->dead, "");
	close(fd);
	wait_dead(w, "one-1 ");
	assert_int_equal(lifelock_look(w->socket, "one-1"), LIFELOCK_UNKNOWN); /* removed */
	up(w, "../one", 0);
	assert_int_equal(lifelock_look(w->socket, "../one"), LIFELOCK_UNKNOWN);
}

/* A pidfd names a process without a number, too. */
static void
the_pidfd_of_an_unseen_process(void **state)
{
	struct world *w = *state;
	pid_t pid = spawn();
	int events_n;
	struct err e;

	assert_int_equal(activators_up(w->a, "one", 0, pidfd_open(pid, 0), &e), 0);
	assert_int_equal(activators_up(w->a, "one", 0, pidfd_open(getpid(), 0), &e), 0);
	end(pid);
	wait_dead(w, "one ");
	events_n = event_base_get_num_events(loop_base(w->loop), EVENT_BASE_COUNT_ADDED);
	activators_down(w->a, "one"); /* is noticed later, and nothing is waited for */
	assert_int_equal(event_base_get_num_events(loop_base(w->loop), EVENT_BASE_COUNT_ADDED),
			 events_n);
}

/* The process has ended, and its number is that of another one by now. */
static void
a_number_that_is_used_again(void **state)
{
	struct world *w = *state;
	pid_t pid = spawn();
	int fd = pidfd_open(pid, 0);
	struct err e;

	assert_true(fd >= 0);
	end(pid);
	assert_int_equal(activators_up(w->a, "one", getpid(), fd, &e), 0);
	wait_dead(w, "one ");
}

static void
a_process_with_too_many_ids(void **state)
{
	struct world *w = *state;
	pid_t pid = spawn();
	struct err e;
	char id[20];
	int i;

	for (i = 0; i < 64; i++) {
		snprintf(id, sizeof id, "id-%d", i);
		up(w, id, pid);
	}
	assert_int_equal(activators_up(w->a, "one", pid, pidfd_open(pid, 0), &e), -1);
	assert_non_null(strstr(e.text, "has sent 64 different ids, expected one"));
	assert_false(is_known(w, "one"));
	up(w, "id-5", pid);
	up(w, "another", getpid());
	end(pid);
}

/* A file that cannot be written is tried again. */
static void
a_write_that_failed_is_tried_again(void **state)
{
	struct world *w = *state;
	char *path = xasprintf("%s/activators.json.new", w->dir);

	assert_int_equal(mkdir(path, 0700), 0);
	up(w, "ours", getpid());
	rmdir(path);
	while (activators_is_dirty(w->a))
		loop_once(w->loop, false);
	reopen(w);
	assert_true(is_known(w, "ours"));
	free(path);
}

static void
a_broken_file_is_replaced(void **state)
{
	struct world *w = *state;
	uint64_t term = activators_term(w->a);
	char *path = xasprintf("%s/activators.json", w->dir);
	FILE *f;

	up(w, "ours", getpid());
	activators_close(&w->a);
	f = fopen(path, "w");
	fputs("{\"term\":", f);
	fclose(f);
	reopen(w);
	assert_true(activators_term(w->a) >= term); /* by the clock */
	assert_false(is_known(w, "ours"));
	free(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(terms_rise, setup, teardown),
		cmocka_unit_test_setup_teardown(a_process_that_ends_is_noticed, setup, teardown),
		cmocka_unit_test_setup_teardown(the_next_one_knows_them, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_ended_meanwhile_is_dead, setup, teardown),
		cmocka_unit_test_setup_teardown(the_hello_of_a_dead_one, setup, teardown),
		cmocka_unit_test_setup_teardown(the_lock_of_an_unseen_process, setup, teardown),
		cmocka_unit_test_setup_teardown(the_pidfd_of_an_unseen_process, setup, teardown),
		cmocka_unit_test_setup_teardown(a_number_that_is_used_again, setup, teardown),
		cmocka_unit_test_setup_teardown(a_process_with_too_many_ids, setup, teardown),
		cmocka_unit_test_setup_teardown(a_write_that_failed_is_tried_again, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_broken_file_is_replaced, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
