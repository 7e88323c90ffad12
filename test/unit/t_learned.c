/* learned: what was learned is the same after it was saved and loaded, also if lines are
 * damaged, there is no file, or the revisions come later. */
#include "unit.h"

#include <math.h>

#include "autoscaler/brain/gradient.h"
#include "autoscaler/brain/idleness.h"
#include "autoscaler/brain/surplus.h"
#include "autoscaler/reconcile/announce.h"
#include "autoscaler/reconcile/learned.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/msg.h"
#include "common/strbuf.h"

static char *dir, *path, *path_new;
static char short_name[] = "v1", names[2][8] = {"a/v1", "b/v1"};
static struct revision_conf confs[2];
static int64_t now;

static int64_t
simulated(void)
{
	return now;
}

static void
send_nothing(uint64_t peer, const struct msg *m, void *arg)
{
	(void)peer;
	(void)m;
	(void)arg;
}

static const struct reconcile_ops ops = {.send = send_nothing};
static const struct driver_class class = {.name = "fake"};
static struct driver driver = {.class = &class};

static struct reconcile *
of_two(size_t n)
{
	struct reconcile *r = reconcile_new(&ops, NULL, "s");
	const struct reconcile_conf conf = {.max_instances = 0};
	struct reconcile_item items[2] = {{.conf = &confs[0], .driver = &driver},
					  {.conf = &confs[1], .driver = &driver}};

	reconcile_set(r, &conf, items, n);
	return r;
}

static void
learn(struct scaled_revision *rev)
{
	struct idleness_data idle = {.v = {{298.5F, 4}, {86400.25F, 7}},
				     .n = 2,
				     .number = 9,
				     .strata = {[9] = 6.5F, [17] = 1},
				     .costs = {[IDLENESS_FIXED] = 700, [IDLENESS_SHORT] = 60.5F},
				     .followers = 2.5F,
				     .idle_ns = 90 * CLK_S};
	const struct gradient_data target = {20.5, 21.25, 0.05, 3600 * CLK_S};
	const float surplus[SURPLUS_NUMBERS] = {
		[0] = 12.5F, [3] = 40.25F, [SURPLUS_NUMBERS - 1] = 7};

	brain_import_surplus(rev->brain, surplus);
	brain_import_idleness(rev->brain, &idle, now);
	brain_import_target(rev->brain, &target, now);
	timing_import(&rev->timing, 0.125, 1.5);
	starts_add(&rev->starts, 8, 1.5);
	decide_set_initial(rev->decide);
}

static void
is_learned(const struct scaled_revision *rev)
{
	struct idleness_data idle;
	struct gradient_data target;
	float surplus[SURPLUS_NUMBERS];

	assert_true(brain_export_surplus(rev->brain, surplus));
	assert_true(surplus[0] == 12.5F && surplus[3] == 40.25F);
	assert_true(surplus[1] == 0 && surplus[SURPLUS_NUMBERS - 1] == 7);
	assert_true(brain_export_idleness(rev->brain, &idle, now));
	assert_true(brain_export_target(rev->brain, &target, now));
	assert_int_equal(idle.n, 2);
	assert_int_equal(idle.number, 9);
	assert_true(idle.v[0].idle_s == 298.5F && idle.v[0].number == 4);
	assert_true(idle.v[1].idle_s == 86400.25F && idle.v[1].number == 7);
	assert_true(idle.strata[9] == 6.5F && idle.strata[17] == 1 && idle.strata[0] == 0);
	assert_true(idle.costs[IDLENESS_FIXED] == 700 && idle.costs[IDLENESS_SHORT] == 60.5F);
	assert_true(idle.followers == 2.5F);
	assert_true(idle.idle_ns >= 90 * CLK_S && idle.idle_ns < 120 * CLK_S);
	assert_true(fabs(target.target - 20.5) < 1e-9 && fabs(target.knee - 21.25) < 1e-9);
	assert_true(fabs(target.unloaded_s - 0.05) < 1e-9);
	assert_true(target.age_ns >= 3600 * CLK_S && target.age_ns < 3700 * CLK_S);
	assert_true(fabs(timing_latency_s(&rev->timing) - 0.125) < 1e-9);
	assert_true(rev->starts.n == 1 && rev->starts.tried == 8 && rev->starts.y == 1.5);
	assert_true(fabs(timing_start_s(&rev->timing) - 1.5) < 1e-9);
	assert_true(decide_was_initial(rev->decide));
}

/* Save what the revision a/v1 has learned. */
static void
write_one(void)
{
	struct reconcile *r = of_two(2);
	struct learned *l = learned_open(dir);

	learned_teach(l, r);
	learn(reconcile_find(r, "a/v1"));
	learned_save(l, r);
	learned_close(&l);
	reconcile_free(&r);
}

static void
spoil(const char *text)
{
	FILE *f = fopen(path, "a");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void
over_a_restart(void **state)
{
	struct reconcile *r;
	struct learned *l;

	(void)state;
	write_one();
	r = of_two(2);
	l = learned_open(dir);
	learned_teach(l, r);
	is_learned(reconcile_find(r, "a/v1"));
	assert_true(timing_latency_s(&reconcile_find(r, "b/v1")->timing) < 0);
	assert_false(decide_was_initial(reconcile_find(r, "b/v1")->decide));
	learned_close(&l);
	reconcile_free(&r);
}

static void
a_revision_that_comes_later_is_taught(void **state)
{
	struct reconcile *r;
	struct learned *l;

	(void)state;
	write_one();
	r = of_two(0); /* the cluster has not shown the revision yet */
	l = learned_open(dir);
	learned_teach(l, r);
	learned_save(l, r); /* it stays in the file */
	learned_close(&l);
	reconcile_free(&r);
	l = learned_open(dir);
	r = of_two(1);
	learned_teach(l, r);
	is_learned(reconcile_find(r, "a/v1"));
	learned_teach(l, r); /* only once */
	learned_close(&l);
	reconcile_free(&r);
}

/* Step by step; the old file stays until the new one is whole.  A revision that goes meanwhile is
 * left out. */
static void
saved_in_steps(void **state)
{
	struct reconcile *r = of_two(2);
	struct learned *l = learned_open(dir);
	const struct reconcile_conf conf = {.max_instances = 0};
	const struct reconcile_item item = {.conf = &confs[0], .driver = &driver};

	(void)state;
	learned_teach(l, r);
	learn(reconcile_find(r, "a/v1"));
	learn(reconcile_find(r, "b/v1"));
	learned_save_begin(l, r);
	assert_int_equal(access(path, F_OK), -1);
	reconcile_set(r, &conf, &item, 1);
	while (learned_save_some(l, r))
		;
	assert_int_equal(access(path_new, F_OK), -1);
	assert_false(learned_save_some(l, r)); /* once it is done nothing happens */
	learned_save_begin(l, r);	       /* never finished: the file stays as it was */
	learned_close(&l);
	reconcile_free(&r);
	r = of_two(2);
	l = learned_open(dir);
	learned_teach(l, r);
	is_learned(reconcile_find(r, "a/v1"));
	assert_true(timing_latency_s(&reconcile_find(r, "b/v1")->timing) < 0);
	learned_close(&l);
	reconcile_free(&r);
}

static void
open_it(void *arg)
{
	*(struct learned **)arg = learned_open(dir);
}

static void
damaged(void **state)
{
	static const char *const lines[] = {
		"",
		"{",
		"[]",
		"{\"revision\":5,\"saved_ms\":1}",
		"{\"revision\":\"b/v1\"}",
		"{\"revision\":\"b/v1\",\"saved_ms\":1,\"idle_count\":3,\"idle_times\":\"3:1\"}",
		"{\"revision\":\"b/v1\",\"saved_ms\":1,\"idle_count\":3,\"idle_times\":\"1:1 1:2\"}",
		"{\"revision\":\"b/v1\",\"saved_ms\":1,\"idle_count\":3,\"idle_times\":\"1:\"}",
		"{\"revision\":\"b/v1\",\"saved_ms\":1,\"idle_count\":3,\"idle_times\":\"-1:4\"}",
		"{\"revision\":\"b/v1\",\"saved_ms\":1,\"idle_count\":3,\"idle_times\":\"1:nan\"}",
		"{\"revision\":\"b/v1\",\"saved_ms\":1,\"idle_count\":3,\"idle_times\":\"1:4,0:5\"}",
		"{\"revision\":\"b/v1\",\"saved_ms\":1,\"idle_strata\":\"22:1\"}",
		"{\"revision\":\"b/v1\",\"saved_ms\":1,\"idle_costs\":\"7:1\"}",
		"{\"revision\":\"b/v1\",\"saved_ms\":1,\"idle_costs\":\"1:-1\"}",
		"{\"revision\":\"b/v1\",\"saved_ms\":1,\"idle_followers\":-1}",
		"{\"revision\":\"b/v1\",\"saved_ms\":1,\"starts\":\"7:1\"}",
		"{\"revision\":\"b/v1\",\"saved_ms\":1,\"surplus\":\"361:1\"}",
		"{\"revision\":\"b/v1\",\"saved_ms\":1,\"surplus\":\"4:-1\"}",
		"{\"revision\":\"b/v1\",\"saved_ms\":1,\"knee\":-4}",
		"{\"revision\":\"b/v1\",\"saved_ms\":1,\"target\":1e99}",
		"\xff\xfe",
	};
	struct learned *l = NULL;
	struct reconcile *r;
	char *text;
	size_t i;

	(void)state;
	write_one();
	for (i = 0; i < ARRAY_LEN(lines); i++) {
		spoil(lines[i]);
		spoil("\n");
	}
	spoil("{\"revision\":\"b/v1\",\"saved_ms\":1,\"lat"); /* truncated */
	text = unit_stderr_of(open_it, &l);
	assert_non_null(strstr(text, "cannot read all that was learned, using the rest"));
	assert_non_null(strstr(text, "lines=21")); /* each line but the empty one */
	free(text);
	r = of_two(2);
	learned_teach(l, r);
	is_learned(reconcile_find(r, "a/v1"));
	assert_true(timing_latency_s(&reconcile_find(r, "b/v1")->timing) < 0);
	learned_close(&l);
	reconcile_free(&r);
}

/* After a long absence the idle time is unknown. */
static void
away_for_long(void **state)
{
	struct reconcile *r = of_two(1);
	struct idleness_data idle;
	struct learned *l;

	(void)state;
	spoil("{\"revision\":\"a/v1\",\"saved_ms\":1000,\"idle_count\":9,"
	      "\"idle_times\":\"5:9\",\"idle_ms\":4}\n");
	l = learned_open(dir);
	learned_teach(l, r);
	assert_true(brain_export_idleness(reconcile_find(r, "a/v1")->brain, &idle, now));
	assert_true(idle.n == 1 && idle.v[0].idle_s == 9 && idle.v[0].number == 4);
	assert_true(idle.idle_ns < 0);
	learned_close(&l);
	reconcile_free(&r);
}

/* A start that took days, without room in the cluster, fits the bound of the protocol. */
static void
a_start_of_days_fits_the_protocol(void **state)
{
	struct reconcile *r = of_two(1);
	struct scaled_revision *rev = reconcile_find(r, "a/v1");
	struct msg m = {.type = MSG_INSTANCES}, got;
	struct strbuf line;
	struct err e = {0};

	(void)state;
	timing_import(&rev->timing, -1, 3 * 86400.0);
	announce_fill(rev, &m.u.instances, now);
	strbuf_init(&line, 0);
	msg_encode(&m, &line);
	if (msg_decode(&got, line.data, line.len, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(got.u.instances.cold_start_ms, MSG_DELAY_MS_MAX);
	msg_fini(&got);
	announce_fini(&m.u.instances);
	strbuf_fini(&line);
	reconcile_free(&r);
}

static int
setup(void **state)
{
	size_t i;

	(void)state;
	now = 1000000 * CLK_S;
	clk_replace(simulated);
	dir = unit_dir();
	path = xasprintf("%s/learned.json", dir);
	path_new = xasprintf("%s/learned.json.new", dir);
	for (i = 0; i < 2; i++)
		confs[i] = (struct revision_conf){.name = short_name,
						  .full_name = names[i],
						  .scaling = {.stable_window = 60 * CLK_S,
							      .slow_brain = SLOW_ON,
							      .keep_warm = KEEP_WARM_LEARNED}};
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	clk_replace(NULL);
	unlink(path);
	unlink(path_new);
	rmdir(dir);
	free(path_new);
	free(path);
	free(dir);
	return 0;
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(over_a_restart), T(a_revision_that_comes_later_is_taught),
		T(saved_in_steps), T(damaged),
		T(away_for_long),  T(a_start_of_days_fits_the_protocol)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
