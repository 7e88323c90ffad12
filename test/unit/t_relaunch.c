/* relaunch: the new program checks the conf file; what it leaves behind, and who hears of it. */
#include "test/unit/unit.h"

#include <errno.h>

#include "autoscaler/relaunch.h"
#include "common/log.h"
#include "common/loop.h"

struct world {
	struct loop *loop;
	struct relaunch *relaunch;
	const char *refusal; /* of on_checked() */
	unsigned checked_n, done_n;
	char why[200];
};

static const char *
on_checked(void *arg)
{
	struct world *w = arg;

	w->checked_n++;
	return w->refusal;
}

static void
done(const char *why, void *arg)
{
	struct world *w = arg;

	w->done_n++;
	snprintf(w->why, sizeof w->why, "%s", why == NULL ? "" : why);
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);
	struct err e;

	log_open(LOG_ERROR, LOG_LOGFMT, "t_relaunch");
	w->loop = loop_new(&e);
	assert_non_null(w->loop);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	relaunch_free(&w->relaunch);
	loop_free(&w->loop);
	free(w);
	return 0;
}

/* The new program is this script; its last argument is -t. */
static void
begin(struct world *w, const char *script)
{
	static char *argv[] = {"/bin/sh", "-c", NULL, "name", NULL};
	struct err e;

	argv[2] = (char *)(uintptr_t)script;
	relaunch_free(&w->relaunch);
	w->relaunch = relaunch_new(w->loop, argv, on_checked, w);
	assert_int_equal(relaunch_begin(w->relaunch, done, w, &e), 0);
	assert_int_equal(relaunch_begin(w->relaunch, NULL, NULL, &e), -1);
	assert_string_equal(e.text, "another upgrade is under way");
}

static void
assert_no_child(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void
the_check_decides(void **state)
{
	struct world *w = *state;

	begin(w, "test \"$1\" = -t");
	while (w->done_n == 0)
		loop_once(w->loop, false);
	assert_string_equal(w->why, "");
	assert_int_equal(w->checked_n, 1);
	begin(w, "exit 3");
	while (w->done_n == 1)
		loop_once(w->loop, false);
	assert_non_null(strstr(w->why, "has ended with status 3"));
	assert_int_equal(w->checked_n, 1);
	assert_int_equal(relaunch_failures(w->relaunch), 1);
	w->refusal = "the autoscaler is stopping";
	begin(w, "exit 0");
	while (w->done_n == 2)
		loop_once(w->loop, false);
	assert_string_equal(w->why, "the autoscaler is stopping");
	assert_no_child();
}

/* The autoscaler ends while the new program still checks. */
static void
an_end_in_the_middle(void **state)
{
	struct world *w = *state;

	begin(w, "exec sleep 1000");
	relaunch_free(&w->relaunch);
	assert_int_equal(w->done_n, 1);
	assert_string_equal(w->why, "this autoscaler has ended");
	assert_int_equal(w->checked_n, 0);
	assert_no_child();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_check_decides, setup, teardown),
		cmocka_unit_test_setup_teardown(an_end_in_the_middle, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
