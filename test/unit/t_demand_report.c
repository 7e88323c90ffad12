/* demand_report on simulated time: every wait is reported until it is acknowledged, and no
 * more often than needed. */
#include "test/unit/unit.h"

#include "common/clk.h"
#include "common/demand_report.h"

#define MS CLK_MS

static const struct demand_report_facts waiting = {
	.is_link_up = true, .is_wanted = true, .parked = 1};

/* Step at each time that it asks for, until `until`; out: what was sent when, as "A0 A100". */
static void
run(struct demand_report *d, const struct demand_report_facts *f, int64_t from, int64_t until,
    char *out)
{
	int64_t now = from;

	*out = '\0';
	while (now < until) {
		static const char letters[] = {[DEMAND_REPORT_NOTHING] = '-',
					       [DEMAND_REPORT_ACTIVATE] = 'A',
					       [DEMAND_REPORT_COUNT] = 'T'};
		enum demand_report_act act = demand_report_step(d, f, now);

		if (act != DEMAND_REPORT_NOTHING)
			out += sprintf(out, "%c%lld ", letters[act], (long long)(now / MS));
		if (d->next_ns == INT64_MAX)
			return;
		assert_true(d->next_ns > now || act == DEMAND_REPORT_NOTHING);
		now = MAX(d->next_ns, now + 1);
	}
}

static void
test_until_acknowledged(void **state)
{
	struct demand_report d = {0};
	char out[200];

	(void)state;
	run(&d, &waiting, 0, 5000 * MS, out);
	assert_string_equal(out, "A0 A100 A300 A700 A1500 A2500 A3500 A4500 ");
	assert_int_equal(d.seq, 8);
	assert_false(demand_report_acked(&d, 7, 4600 * MS)); /* an older report */
	assert_true(demand_report_acked(&d, 8, 4600 * MS));
	run(&d, &waiting, 4600 * MS, 60000 * MS, out);
	assert_string_equal(out, "");
}

static void
test_growth_is_reported(void **state)
{
	struct demand_report d = {0};
	struct demand_report_facts f = waiting;
	char out[200];

	(void)state;
	assert_int_equal(demand_report_step(&d, &f, 0), DEMAND_REPORT_ACTIVATE);
	assert_true(demand_report_acked(&d, 1, MS));
	f.parked = 1000;
	assert_int_equal(demand_report_step(&d, &f, 2 * MS), DEMAND_REPORT_NOTHING);
	run(&d, &f, 2 * MS, 1000 * MS, out);
	assert_string_equal(out, "T21 ");
	f.parked = 900;
	run(&d, &f, 1000 * MS, 2000 * MS, out);
	assert_string_equal(out, "");
}

static void
test_new_link(void **state)
{
	struct demand_report d = {0};
	struct demand_report_facts f = waiting;
	char out[200];

	(void)state;
	assert_int_equal(demand_report_step(&d, &f, 0), DEMAND_REPORT_ACTIVATE);
	assert_true(demand_report_acked(&d, 1, MS));
	f.is_link_up = false;
	assert_int_equal(demand_report_step(&d, &f, 50 * MS), DEMAND_REPORT_NOTHING);
	assert_int_equal(demand_report_step(&d, &f, 60 * MS), DEMAND_REPORT_NOTHING);
	f.is_link_up = true;
	run(&d, &f, 700 * MS, 900 * MS, out); /* at once, then from 100 ms on again */
	assert_string_equal(out, "A700 A800 ");
	assert_false(demand_report_acked(&d, 1, 900 * MS)); /* an acknowledgement of the old link */
}

/* Requests that wait although an instance is open are reported after 20, 40 and 80 ms; in the
 * first second after a wake also if their number has not grown. */
static void
test_growth_with_an_open_instance(void **state)
{
	struct demand_report d = {0};
	struct demand_report_facts f = waiting;
	char out[200];

	(void)state;
	assert_int_equal(demand_report_step(&d, &f, 0), DEMAND_REPORT_ACTIVATE);
	assert_true(demand_report_acked(&d, 1, MS));
	f.is_open = true;
	run(&d, &f, 600 * MS, 900 * MS, out);
	assert_string_equal(out, "T620 T640 T680 T760 T860 ");
	run(&d, &f, 1700 * MS, 2500 * MS, out);
	assert_string_equal(out, "");
}

/* An autoscaler that acknowledged, but wants no instance, gets the report again. */
static void
test_not_wanted(void **state)
{
	struct demand_report d = {0};
	struct demand_report_facts f = waiting;
	char out[200];
	int64_t at;

	(void)state;
	f.is_wanted = false;
	assert_int_equal(demand_report_step(&d, &f, 0), DEMAND_REPORT_ACTIVATE);
	assert_true(demand_report_acked(&d, 1, 0));
	run(&d, &f, MS, 150 * MS, out);
	assert_string_equal(out, "A100 ");
	for (at = 100; at < 5100; at += 1000) {
		assert_true(demand_report_acked(&d, d.seq, at * MS));
		run(&d, &f, at * MS, (at + 1050) * MS, out);
		assert_int_equal(out[0], 'A');
		assert_int_equal(atoi(out + 1), at + 1000);
	}
}

static void
test_an_open_instance_is_enough(void **state)
{
	struct demand_report d = {0};
	struct demand_report_facts f = waiting;

	(void)state;
	f.is_open = true;
	assert_int_equal(demand_report_step(&d, &f, 0), DEMAND_REPORT_NOTHING);
	assert_false(d.is_waking);
	f.is_open = false; /* the instance died while requests waited */
	assert_int_equal(demand_report_step(&d, &f, 5 * MS), DEMAND_REPORT_ACTIVATE);
	f.is_open = true;
	assert_int_equal(demand_report_step(&d, &f, 6 * MS), DEMAND_REPORT_NOTHING);
	assert_false(demand_report_acked(&d, d.seq, 7 * MS)); /* too late: ignored */
	f.is_open = false;
	assert_int_equal(demand_report_step(&d, &f, 8 * MS), DEMAND_REPORT_ACTIVATE);
}

/* All waiters leave and others come before the next step: the old acknowledgement does not
 * count for these. */
static void
test_a_new_wait(void **state)
{
	struct demand_report d = {0};
	char out[200];

	(void)state;
	assert_int_equal(demand_report_step(&d, &waiting, 0), DEMAND_REPORT_ACTIVATE);
	demand_report_restart(&d); /* not acknowledged: it is repeated in any case */
	assert_int_equal(demand_report_step(&d, &waiting, MS), DEMAND_REPORT_NOTHING);
	assert_true(demand_report_acked(&d, 1, 2 * MS));
	demand_report_restart(&d);
	run(&d, &waiting, 10 * MS, 150 * MS, out); /* at most once in 100 ms */
	assert_string_equal(out, "A100 ");
	assert_true(demand_report_acked(&d, 2, 150 * MS));
	demand_report_restart(&d);
	run(&d, &waiting, 800 * MS, 850 * MS, out);
	assert_string_equal(out, "A800 ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_until_acknowledged),
		cmocka_unit_test(test_growth_is_reported),
		cmocka_unit_test(test_growth_with_an_open_instance),
		cmocka_unit_test(test_new_link),
		cmocka_unit_test(test_not_wanted),
		cmocka_unit_test(test_an_open_instance_is_enough),
		cmocka_unit_test(test_a_new_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
