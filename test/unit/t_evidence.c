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

/* A report of n requests of one revision, ever, and of open ones; n < 0: it lists none. */
static void
report_open(const char *activator, char *revision, int n, uint32_t open, bool is_partial,
	    int64_t now_ns)
{
	struct tally t = {{0}, {0}};
	struct msg_stat stat = {.name = revision, .in_flight = open, .tally = &t};
	const struct msg_stats s = {
		.period_ms = 1000, .is_partial = is_partial, .v = &stat, .n = n < 0 ? 0 : 1};
	int i;

	for (i = 0; i < n; i++)
		tally_add(&t, TALLY_2XX, CLK_MS);
	evidence_report(all, activator, &s, now_ns);
}

static void
report(const char *activator, char *revision, int n, bool is_partial)
{
	report_open(activator, revision, n, 0, is_partial, CLK_S);
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

static void
expect_times(int64_t oldest_ns, int64_t newest_ns)
{
	int64_t oldest, newest;

	evidence_times(all, &oldest, &newest);
	assert_int_equal(oldest, oldest_ns);
	assert_int_equal(newest, newest_ns);
}

static void
open_requests_are_those_of_whole_reports(void **state)
{
	struct msg_stat now = {.name = v1, .in_flight = 50, .parked = 1};
	const struct msg_stats early = {.is_partial = true, .v = &now, .n = 1};

	(void)state;
	expect_times(0, 0);
	evidence_report(all, "a", &early, 1);
	assert_int_equal(evidence_open(all, v1), 0);
	expect_times(0, 0);
	report_open("a", v1, 1, 5, false, 2);
	report_open("b", v1, 1, 3, false, 3);
	assert_int_equal(evidence_open(all, v1), 8);
	expect_times(2, 3);
	evidence_report(all, "a", &early, 4); /* it changes nothing */
	assert_int_equal(evidence_open(all, v1), 8);
	expect_times(2, 3);
	report_open("a", v1, 2, 7, true, 5); /* the rest of it is missing */
	expect_times(0, 0);
	report_open("a", v2, 2, 1, false, 5);
	assert_int_equal(evidence_open(all, v1), 10);
	expect_times(3, 5);
	report_open("a", v1, -1, 0, false, 6); /* it names none */
	assert_int_equal(evidence_open(all, v1), 3);
	assert_int_equal(evidence_open(all, v2), 0);
	evidence_down(all, "b");
	assert_int_equal(evidence_open(all, v1), 0);
	expect_times(6, 6);
	report_open("b", v1, 2, 4, true, 7);
	report_open("b", v2, 2, 4, false, 7);
	assert_int_equal(evidence_open(all, v1), 4);
	expect_times(6, 7);
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
		T(open_requests_are_those_of_whole_reports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
