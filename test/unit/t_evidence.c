/* evidence: the sums of what activators report, while they come, go, restart and repeat. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "autoscaler/versions/evidence.h"
#include "common/clk.h"
#include "common/msg.h"

static struct evidence *all;
static char v1[] = "shop/v1", v2[] = "shop/v2";

static int
setup(void **state)
{
	(void)state;
	all = evidence_new();
	evidence_begin(all);
	evidence_keep(all, v1);
	evidence_keep(all, v2);
	evidence_end(all);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	evidence_free(&all);
	return 0;
}

/* A report of n requests of one revision, ever; n < 0: it lists none. */
static void
report(const char *activator, char *revision, int n, bool is_partial)
{
	struct tally t = {{0}, {0}};
	struct msg_stat stat = {.name = revision, .tally = &t};
	const struct msg_stats s = {.is_partial = is_partial, .v = &stat, .n = n < 0 ? 0 : 1};
	int i;

	for (i = 0; i < n; i++)
		tally_add(&t, TALLY_2XX, CLK_MS);
	evidence_report(all, activator, &s);
}

static uint64_t
sum(const char *revision)
{
	struct tally t = {{0}, {0}};

	evidence_add(all, revision, &t);
	return tally_all(&t);
}

static void
activators_add_up(void **state)
{
	(void)state;
	report("a", v1, 5, false); /* what it had before does not count */
	report("b", v1, -1, false);
	assert_int_equal(sum(v1), 0);
	report("a", v1, 7, false);
	report("b", v1, 4, false); /* its first: it had none before */
	report("b", v1, 4, true);
	assert_int_equal(sum(v1), 6);
	assert_int_equal(sum(v2), 0);
	assert_int_equal(sum("other"), 0);
	report("a", v2, 1, false);
	assert_int_equal(sum(v2), 1);
}

static void
a_link_that_breaks_loses_nothing(void **state)
{
	(void)state;
	report("a", v1, 5, false);
	evidence_down(all, "a");
	evidence_down(all, "a");
	evidence_down(all, "never seen");
	report("a", v1, 9, true);
	assert_int_equal(sum(v1), 4);
	report("c", v1, 3, true); /* its first report goes on */
	report("c", v2, 3, false);
	report("c", v2, 5, false);
	assert_int_equal(sum(v1), 4);
	assert_int_equal(sum(v2), 2);
}

static void
an_activator_that_has_forgotten_begins_at_zero(void **state)
{
	(void)state;
	report("a", v1, 5, false);
	report("a", v1, 9, false);
	report("a", v1, 2, false);
	assert_int_equal(sum(v1), 6);
}

static void
revisions_go(void **state)
{
	(void)state;
	report("a", v1, 0, false);
	report("a", v1, 9, false);
	evidence_begin(all);
	evidence_keep(all, v2);
	evidence_end(all);
	assert_int_equal(sum(v1), 0);
	report("a", v1, 10, false);
	assert_int_equal(sum(v1), 0);
	report("a", v2, 2, false);
	assert_int_equal(sum(v2), 2);
}

static void
few_are_remembered_without_a_link(void **state)
{
	char id[16];
	int i;

	(void)state;
	report("a", v1, 5, false);
	evidence_down(all, "a");
	for (i = 0; i < 40; i++) {
		snprintf(id, sizeof id, "a%d", i);
		report(id, v1, 1, false);
		report(id, v1, 2, false);
		evidence_down(all, id);
	}
	assert_int_equal(sum(v1), 40);
	report("a39", v1, 3, false); /* still known */
	assert_int_equal(sum(v1), 41);
	report("a", v1, 7, false); /* not any more */
	assert_int_equal(sum(v1), 41);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(activators_add_up),
		T(a_link_that_breaks_loses_nothing),
		T(an_activator_that_has_forgotten_begins_at_zero),
		T(revisions_go),
		T(few_are_remembered_without_a_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
