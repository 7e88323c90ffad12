/* conf_watch: each way in which a conf file is replaced is noticed, once, and nothing else is. */
#include "common/conf_watch.h"

#include <sys/stat.h>

#include "common/clk.h"
#include "common/loop.h"
#include "test/unit/unit.h"

#define PATIENCE (30 * CLK_S)

struct world {
	struct loop *loop;
	struct conf_watch *watch;
	char folder[64], path[96], other[96];
	unsigned changes_n;
};

static void
on_change(void *arg)
{
	struct world *w = arg;

	w->changes_n++;
}

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void
link_to(const char *target, const struct world *w, const char *name)
{
	char from[160], to[160];

	snprintf(from, sizeof from, "%s/%s.new", w->folder, name);
	snprintf(to, sizeof to, "%s/%s", w->folder, name);
	assert_int_equal(symlink(target, from), 0);
	assert_int_equal(rename(from, to), 0);
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);
	struct err e;

	snprintf(w->folder, sizeof w->folder, "/tmp/t_conf_watch.XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	snprintf(w->path, sizeof w->path, "%s/a.conf", w->folder);
	snprintf(w->other, sizeof w->other, "%s/b.conf", w->folder);
	write_file(w->path, "one");
	w->loop = loop_new(&e);
	w->watch = conf_watch_new(w->loop, w->path, on_change, w, &e);
	assert_non_null(w->watch);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;
	char command[160];

	conf_watch_free(&w->watch);
	conf_watch_free(&w->watch);
	loop_free(&w->loop);
	snprintf(command, sizeof command, "%s.away", w->folder);
	(void)rename(command, w->folder);
	unlink(w->path);
	unlink(w->other);
	rmdir(w->folder);
	free(w);
	return 0;
}

/* Wait for the nth change. */
static void
expect(struct world *w, unsigned n)
{
	int64_t end = clk_now() + PATIENCE;

	while (w->changes_n < n && clk_now() < end)
		loop_once(w->loop, false);
	assert_int_equal(w->changes_n, n);
}

static void
a_file_is_written_or_replaced(void **state)
{
	struct world *w = *state;

	write_file(w->path, "two");
	expect(w, 1);
	write_file(w->other, "three");
	assert_int_equal(rename(w->other, w->path), 0);
	expect(w, 2);
	unlink(w->path);
	expect(w, 3);
}

static void
changes_in_succession_are_one(void **state)
{
	struct world *w = *state;
	int i;

	for (i = 0; i < 50; i++)
		write_file(w->path, "more");
	expect(w, 1);
}

static void
a_folder_may_be_replaced(void **state)
{
	struct world *w = *state;
	char away[96];

	snprintf(away, sizeof away, "%s.away", w->folder);
	assert_int_equal(rename(w->folder, away), 0);
	expect(w, 1);
	assert_int_equal(mkdir(w->folder, 0700), 0);
	expect(w, 2);
	write_file(w->path, "two");
	expect(w, 3);
	unlink(w->path);
	rmdir(w->folder);
}

static void
a_config_map_is_known(void **state)
{
	struct world *w = *state;
	char folder[160];

	assert_false(conf_watch_is_mounted(w->path));
	snprintf(folder, sizeof folder, "%s/..1", w->folder);
	assert_int_equal(mkdir(folder, 0700), 0);
	link_to("..1", w, "..data");
	link_to("..data/a.conf", w, "a.conf");
	assert_true(conf_watch_is_mounted(w->path));
	expect(w, 1);
	link_to("..2", w, "..data"); /* as the kubelet does it */
	expect(w, 2);
	assert_int_equal(rmdir(folder), 0);
	snprintf(folder, sizeof folder, "%s/..data", w->folder);
	assert_int_equal(unlink(folder), 0);
}

static void
a_folder_that_is_not_there(void **state)
{
	struct world *w = *state;
	struct err e;

	assert_null(conf_watch_new(w->loop, "/nowhere/a.conf", on_change, w, &e));
	assert_non_null(strstr(e.text, "cannot watch the folder /nowhere: "));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_file_is_written_or_replaced), T(changes_in_succession_are_one),
		T(a_folder_may_be_replaced),	  T(a_config_map_is_known),
		T(a_folder_that_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
