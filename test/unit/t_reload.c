/* reload: a conf file is in effect as a whole or not at all, and the figures say which. */
#include "common/reload.h"

#include <fcntl.h>

#include "common/clk.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"
#include "test/unit/unit.h"

#define PATIENCE (30 * CLK_S)

struct world {
	struct loop *loop;
	char folder[64], path[96];
	struct settings *settings;
	struct reload *reload;
	const char *refusal, *mistake;
	unsigned asked_n; /* how often refusal() was called */
	unsigned adopted_n;
};

static const struct settings *
current(void *arg)
{
	const struct world *w = arg;

	return w->settings;
}

static const char *
refusal(void *arg)
{
	struct world *w = arg;

	w->asked_n++;
	return w->refusal;
}

static int
adopt(struct settings **s, struct settings_errors *errors, void *arg)
{
	struct world *w = arg;

	if (w->mistake != NULL) {
		settings_errors_add(errors, w->mistake);
		return -1;
	}
	settings_free(&w->settings);
	w->settings = *s;
	*s = NULL;
	w->adopted_n++;
	return 0;
}

static const struct reload_ops ops = {.current = current, .refusal = refusal, .adopt = adopt};

static void
write_conf(const struct world *w, const char *text)
{
	FILE *f = fopen(w->path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);
	struct settings_errors errors;
	struct err e;

	log_open(LOG_ERROR, LOG_LOGFMT, "t");
	snprintf(w->folder, sizeof w->folder, "/tmp/t_reload.XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	snprintf(w->path, sizeof w->path, "%s/a.conf", w->folder);
	write_conf(w, "activator { workers = 2 }\n");
	w->settings = settings_load(w->path, &errors);
	assert_non_null(w->settings);
	w->loop = loop_new(&e);
	assert_non_null(w->loop);
	w->reload = reload_new(w->loop, IN_ACTIVATOR, &ops, w);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	reload_free(&w->reload);
	loop_free(&w->loop);
	settings_free(&w->settings);
	unlink(w->path);
	rmdir(w->folder);
	free(w);
	return 0;
}

static const struct audit_by by = {.kind = AUDIT_BY_SIGNAL, .name = "SIGHUP"};

struct attempt {
	struct world *w;
	struct settings_errors errors;
	int rc;
};

static void
attempt(void *arg)
{
	struct attempt *a = arg;

	a->rc = reload_now(a->w->reload, &by, &a->errors);
}

/* It fails with this one reason, which the log has, too. */
static void
expect_failure(struct world *w, const char *line)
{
	struct attempt a = {.w = w};
	const struct settings *before = w->settings;
	unsigned adopted_n = w->adopted_n;
	char *text = unit_stderr_of(attempt, &a);

	assert_int_equal(a.rc, -1);
	assert_int_equal(a.errors.n, 1);
	assert_non_null(strstr(a.errors.lines[0], line));
	assert_non_null(strstr(text, line));
	assert_non_null(strstr(text, "conf file not reloaded, nothing changed"));
	assert_ptr_equal(w->settings, before);
	assert_int_equal(w->adopted_n, adopted_n);
	settings_errors_free(&a.errors);
	free(text);
}

static struct reload_counts
counts(const struct world *w)
{
	struct reload_counts c;

	reload_count(w->reload, &c);
	return c;
}

static void
a_good_file_is_in_effect(void **state)
{
	struct world *w = *state;
	struct settings_errors errors;
	int64_t before;

	assert_false(counts(w).is_file_other);
	before = counts(w).read_ns;
	write_conf(w, "log_level = warn\nactivator { workers = 2 trace = yes }\n");
	assert_true(counts(w).is_file_other);
	assert_int_equal(reload_now(w->reload, &by, &errors), 0);
	assert_int_equal(errors.n, 0);
	assert_true(w->settings->activator.trace);
	assert_false(log_enabled(LOG_INFO));
	assert_int_equal(counts(w).done, 1);
	assert_int_equal(counts(w).failed, 0);
	assert_true(counts(w).read_ns >= before);
	assert_false(counts(w).is_file_other);
}

static void
a_bad_file_changes_nothing(void **state)
{
	struct world *w = *state;

	write_conf(w, "activator {\n workers = many }\n");
	expect_failure(w, "a.conf:2: workers: expected");
	write_conf(w, "activator {\n trace = yes\n workers = 3 }\n");
	expect_failure(w, "a.conf:3: workers: needs a restart to change from 2 to 3");
	write_conf(w, "activator { workers = 2 trace = yes }\n");
	w->mistake = "a.conf:1: listen: cannot";
	expect_failure(w, w->mistake);
	w->refusal = "not now";
	expect_failure(w, "not now");
	w->refusal = w->mistake = NULL;
	unlink(w->path);
	expect_failure(w, "cannot be read");
	assert_false(w->settings->activator.trace);
	assert_int_equal(counts(w).done, 0);
	assert_int_equal(counts(w).failed, 5);
	assert_true(counts(w).is_file_other);
}

/* The same bytes are the same file, whatever has become of it meanwhile. */
static void
a_file_is_known_by_its_bytes(void **state)
{
	struct world *w = *state;

	write_conf(w, "activator { workers = 4 }\n");
	assert_true(counts(w).is_file_other);
	unlink(w->path);
	assert_true(counts(w).is_file_other);
	write_conf(w, "activator { workers = 2 }\n");
	assert_false(counts(w).is_file_other);
}

/* Turn the loop until *n is at least that much. */
static void
turn_until(struct world *w, const unsigned *n, unsigned least)
{
	int64_t end = clk_now() + PATIENCE;

	while (*n < least && clk_now() < end)
		loop_once(w->loop, true);
	assert_true(*n >= least);
}

/* A change that comes while there can be no reload takes effect once there can, and a reload that
 * was refused meanwhile says nothing about the file. */
static void
a_change_waits_until_there_can_be_a_reload(void **state)
{
	struct world *w = *state;

	write_conf(w, "reload_on_change = yes\nactivator { workers = 2 }\n");
	assert_int_equal(reload_now(w->reload, &by, NULL), 0);
	w->refusal = "not now";
	write_conf(w, "reload_on_change = yes\nactivator { workers = 2 trace = yes }\n");
	assert_true(counts(w).is_file_other);
	expect_failure(w, "not now");
	turn_until(w, &w->asked_n, 4); /* the change, and another look */
	assert_int_equal(w->adopted_n, 1);
	w->refusal = NULL;
	turn_until(w, &w->adopted_n, 2);
	assert_true(w->settings->activator.trace);
}

static void
a_change_before_the_watch_is_noticed(void **state)
{
	struct world *w = *state;
	struct settings_errors errors;

	reload_free(&w->reload);
	settings_free(&w->settings);
	write_conf(w, "reload_on_change = yes\nactivator { workers = 2 }\n");
	w->settings = settings_load(w->path, &errors);
	write_conf(w, "reload_on_change = yes\nactivator { workers = 2 trace = yes }\n");
	w->reload = reload_new(w->loop, IN_ACTIVATOR, &ops, w);
	assert_true(counts(w).is_file_other);
	turn_until(w, &w->adopted_n, 1);
	assert_true(w->settings->activator.trace);
	assert_false(counts(w).is_file_other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_good_file_is_in_effect, setup, teardown),
		cmocka_unit_test_setup_teardown(a_bad_file_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_is_known_by_its_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(a_change_waits_until_there_can_be_a_reload, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_change_before_the_watch_is_noticed, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
