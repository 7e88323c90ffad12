/* metric_groups: which revisions a sample is about, and what it is called. */
#include "unit.h"

#include "common/metric_groups.h"
#include "common/strbuf.h"

static const struct metric_def def = {METRIC_COUNTER, "ended_total", "revision,reason", "Help."};
static int revisions[4];

static void
add_all(struct metric_groups *g, bool is_by_service)
{
	metric_groups_init(g, is_by_service);
	metric_groups_add(g, "b/v1", &revisions[0], true);
	metric_groups_add(g, "a/v1", &revisions[1], true);
	metric_groups_add(g, "a/v2", &revisions[2], false);
	metric_groups_add(g, "b/v2", &revisions[3], true);
}

static char *
sample(struct metric_groups *g)
{
	const char *labels[] = {g->v[0].name, "x"};
	struct strbuf b;

	strbuf_init(&b, 0);
	metric_sample(&b, metric_groups_head(g, &b, &def), labels, 1);
	return strbuf_take(&b);
}

static void
each_revision_by_itself(void **state)
{
	struct metric_groups g;
	char *text;

	(void)state;
	add_all(&g, false);
	assert_int_equal(g.n, 4);
	assert_string_equal(g.v[1].name, "a/v1");
	assert_ptr_equal(g.v[1].v[0], &revisions[1]);
	metric_groups_drop_idle(&g);
	assert_int_equal(g.n, 1);
	assert_ptr_equal(g.v[0].v[0], &revisions[2]);
	text = sample(&g);
	assert_non_null(strstr(text, "\nended_total{revision=\"a/v2\",reason=\"x\"} 1\n"));
	free(text);
	metric_groups_fini(&g);
}

/* A service is idle when all of its revisions are; its numbers include those of idle ones. */
static void
all_revisions_of_a_service(void **state)
{
	struct metric_groups g;
	char *text;

	(void)state;
	add_all(&g, true);
	assert_int_equal(g.n, 2);
	assert_string_equal(g.v[0].name, "b");
	assert_int_equal(g.v[0].n, 2);
	metric_groups_drop_idle(&g);
	assert_int_equal(g.n, 1);
	assert_string_equal(g.v[0].name, "a");
	assert_int_equal(g.v[0].n, 2);
	text = sample(&g);
	assert_string_equal(text, "# HELP ended_total Help.\n# TYPE ended_total counter\n"
				  "ended_total{service=\"a\",reason=\"x\"} 1\n");
	free(text);
	metric_groups_fini(&g);
}

static void
there_may_be_none(void **state)
{
	struct metric_groups g;

	(void)state;
	metric_groups_init(&g, true);
	metric_groups_drop_idle(&g);
	assert_int_equal(g.n, 0);
	metric_groups_fini(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_revision_by_itself),
		cmocka_unit_test(all_revisions_of_a_service),
		cmocka_unit_test(there_may_be_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
