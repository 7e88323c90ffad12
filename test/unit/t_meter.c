/* meter: what instances, requests and cold starts add up to, over the hours and whatever the wall
 * clock does. */
#include "unit.h"

#include <math.h>

#include "autoscaler/usage/meter.h"
#include "common/clk.h"

#define HOUR (3600 * CLK_S)
#define ONE 1 /* links of activators */
#define TWO 2
#define NEAR(a, b) assert_true(fabs((a) - (b)) < 1e-6)

static char none[] = "", team[] = "team", a_v1[] = "a/v1", b_v1[] = "b/v1",
	    ids[4][4] = {"i0", "i1", "i2", "i3"};
static int64_t now, wall;
static struct meter *m;

/* What was handed out as final, and all of it together. */
static struct meter_part finals[4096];
static size_t finals_n;
static struct amounts sum;
static char final_name[16]; /* of the last one */

static void
on_final(const struct meter_part *p, void *arg)
{
	(void)arg;
	assert_true(p->is_final && finals_n < ARRAY_LEN(finals));
	finals[finals_n++] = *p;
	snprintf(final_name, sizeof final_name, "%s", p->account->revision);
	amounts_add(&sum, &p->amounts);
}

static void
on_each(const struct meter_part *p, void *arg)
{
	(void)p;
	amounts_add(arg, &p->amounts);
}

static void
pass(int64_t ns)
{
	now += ns;
	wall += ns;
	meter_advance(m, now, wall, on_final, NULL);
}

static void
add_revision(char *revision, char *owner, bool is_external)
{
	const struct account account = {revision, owner, none};

	meter_revisions_add(m, &account, is_external, on_final, NULL);
}

static void
set_revisions(bool has_b, bool is_external)
{
	meter_revisions_begin(m);
	add_revision(a_v1, none, is_external);
	if (has_b)
		add_revision(b_v1, none, false);
	meter_revisions_end(m, on_final, NULL);
}

/* The driver shows n instances of a/v1, all of the same age and use. */
static void
show(size_t n, enum instance_state state, int64_t started_ns, double cpu_s, uint64_t memory)
{
	struct driver_instance v[ARRAY_LEN(ids)] = {{.id = NULL}};
	struct driver_view view = {.revision = a_v1, .is_known = true, .v = v, .n = n};
	size_t i;

	for (i = 0; i < n; i++)
		v[i] = (struct driver_instance){.id = ids[i],
						.state = state,
						.started_ns = started_ns,
						.cpu_s = cpu_s,
						.memory_bytes = memory};
	meter_view(m, &view);
}

static struct amounts
total(void)
{
	return *meter_total(m, a_v1);
}

static void
report_by(uint64_t peer, uint64_t requests, double concurrency, double waiting, uint32_t parked)
{
	struct msg_stat s = {.name = a_v1,
			     .requests = requests,
			     .completed = requests,
			     .concurrency = concurrency,
			     .waiting = waiting,
			     .parked = parked};
	const struct msg_stats stats = {.period_ms = 1000, .v = &s, .n = 1};

	meter_stats(m, peer, &stats);
}

static void
report(uint64_t requests, double concurrency, double waiting, uint32_t parked)
{
	report_by(ONE, requests, concurrency, waiting, parked);
}

static int
setup(void **state)
{
	(void)state;
	now = 1000 * CLK_S;
	wall = 490000 * HOUR + 1800 * CLK_S;
	finals_n = 0;
	sum = (struct amounts){.peak = 0};
	m = meter_new(now, wall);
	set_revisions(false, false);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	meter_free(&m);
	return 0;
}

static void
instances_count_from_view_to_view(void **state)
{
	(void)state;
	pass(10 * CLK_S);
	show(2, INSTANCE_STARTING, now, -1, 0);
	pass(CLK_S / 4);
	show(3, INSTANCE_READY, now, -1, 0);
	pass(2 * CLK_S);
	show(0, INSTANCE_READY, 0, -1, 0);
	pass(10 * CLK_S);
	NEAR(total().observed_s, 22.25);
	NEAR(total().instance_s, 0.5 + 6);
	NEAR(total().always_one_s, 10 + 0.5 + 6 + 10);
	NEAR(total().starts, 3);
	NEAR(total().peak, 3);
	NEAR(total().measured_s, 0);
	assert_null(meter_total(m, "c/v1"));
}

/* What an instance used before the meter was there belongs to an earlier autoscaler. */
static void
cpu_and_memory(void **state)
{
	(void)state;
	show(1, INSTANCE_READY, now - CLK_S, 100, 1 << 20);
	NEAR(total().cpu_s, 0);
	pass(CLK_S);
	show(1, INSTANCE_READY, now - 2 * CLK_S, 100.5, 2 << 20);
	NEAR(total().cpu_s, 0.5);
	NEAR(total().memory_byte_s, 1 << 20);
	NEAR(total().starts, 0);
	pass(2 * CLK_S);
	show(0, INSTANCE_READY, 0, 0, 0);
	NEAR(total().memory_byte_s, (1 << 20) + 2.0 * (2 << 20));
	NEAR(total().measured_s, 3);
	show(1, INSTANCE_STARTING, now, 0.25, 1 << 20); /* another one, of this meter's time */
	NEAR(total().cpu_s, 0.75);
	show(1, INSTANCE_STARTING, now, 0.2, 1 << 20); /* it can only grow */
	show(1, INSTANCE_STARTING, now, 0.3, 1 << 20);
	NEAR(total().cpu_s, 0.8);
}

static void
requests(void **state)
{
	const struct msg_stats empty = {.period_ms = 1000};

	(void)state;
	report(10, 2.5, 0.5, 1);
	report(5, 1, 0, 0);
	meter_stats(m, ONE, &empty);
	NEAR(total().requests, 15);
	NEAR(total().completed, 15);
	NEAR(total().in_flight_s, 3);
	NEAR(total().parked_s, 0.5);
}

/* Those that came while there was no link count, and take no part in the averages. */
static void
missed_requests(void **state)
{
	struct msg_stat s = {.name = a_v1, .missed_requests = 7, .missed_completed = 6};
	const struct msg_stats stats = {.period_ms = 1000, .v = &s, .n = 1};

	(void)state;
	meter_stats(m, ONE, &stats);
	NEAR(total().requests, 7);
	NEAR(total().completed, 6);
	NEAR(total().in_flight_s, 0);
}

static void
a_wake_counts_once(void **state)
{
	(void)state;
	meter_activate(m, ONE, a_v1);
	meter_activate(m, ONE, a_v1);
	show(1, INSTANCE_STARTING, now, -1, 0);
	meter_activate(m, ONE, a_v1);
	show(0, INSTANCE_STARTING, 0, -1, 0); /* it crashed, and another one is to start */
	meter_activate(m, ONE, a_v1);
	NEAR(total().wakes, 1);
	show(1, INSTANCE_READY, now, -1, 0);
	show(0, INSTANCE_READY, 0, -1, 0);
	meter_activate(m, ONE, a_v1);
	NEAR(total().wakes, 2);
	report(1, 0, 0, 0); /* the client has left */
	meter_activate(m, ONE, a_v1);
	NEAR(total().wakes, 3);
	show(1, INSTANCE_READY, now, -1, 0);
	show(1, INSTANCE_STOPPING, now, -1, 0); /* it takes no more requests */
	meter_activate(m, ONE, a_v1);
	NEAR(total().wakes, 4);
	meter_activate(m, ONE, "c/v1");
}

/* While requests wait at one activator, it does not matter what others have. */
static void
a_wake_lasts_while_any_activator_waits(void **state)
{
	(void)state;
	meter_activate(m, ONE, a_v1);
	meter_activate(m, TWO, a_v1);
	report_by(TWO, 0, 0, 0, 0); /* its clients have left */
	meter_activate(m, TWO, a_v1);
	report_by(ONE, 0, 0, 0, 0);
	meter_activate(m, ONE, a_v1);
	NEAR(total().wakes, 1);
	report_by(ONE, 0, 0, 0, 0);
	report_by(ONE, 0, 1, 1, 1);
	report_by(TWO, 0, 0, 0, 0);
	meter_activate(m, TWO, a_v1);
	NEAR(total().wakes, 1);
	report_by(ONE, 0, 0, 0, 0);
	report_by(TWO, 0, 0, 0, 0);
	meter_activate(m, TWO, a_v1);
	NEAR(total().wakes, 2);
}

/* An activator that has lost its link repeats on the next one that its requests wait. */
static void
a_wake_outlives_a_link(void **state)
{
	(void)state;
	meter_activate(m, ONE, a_v1);
	meter_peer_down(m, ONE);
	meter_activate(m, TWO, a_v1);
	NEAR(total().wakes, 1);
	report_by(TWO, 0, 0, 0, 0);
	meter_activate(m, TWO, a_v1);
	NEAR(total().wakes, 2);
	meter_peer_down(m, TWO); /* that activator has died */
	report_by(ONE, 0, 0, 0, 0);
	meter_activate(m, ONE, a_v1);
	NEAR(total().wakes, 3);
}

static void
external_revisions_have_no_instances(void **state)
{
	(void)state;
	set_revisions(false, true);
	show(2, INSTANCE_READY, 0, -1, 0);
	meter_activate(m, ONE, a_v1);
	report(3, 1, 0, 0);
	pass(CLK_S);
	NEAR(total().instance_s, 0);
	NEAR(total().always_one_s, 0);
	NEAR(total().wakes, 0);
	NEAR(total().requests, 3);
}

static void
an_hour_ends_exactly(void **state)
{
	(void)state;
	show(2, INSTANCE_READY, now, -1, 0);
	pass(1799 * CLK_S);
	assert_int_equal(finals_n, 0);
	pass(3 * CLK_S);
	assert_int_equal(finals_n, 1);
	assert_int_equal(finals[0].hour, 490000);
	NEAR(finals[0].amounts.instance_s, 3600);
	NEAR(total().instance_s, 3604);
	pass(2 * HOUR + HOUR / 2); /* the process was stopped for a while */
	assert_int_equal(finals_n, 3);
	assert_int_equal(finals[2].hour, 490002);
	NEAR(finals[2].amounts.instance_s, 7200);
	assert_true(finals[1].part != finals[2].part);
	NEAR(finals[2].amounts.peak, 2);
}

static void
a_revision_that_goes_ends_its_part(void **state)
{
	(void)state;
	set_revisions(true, false);
	pass(CLK_S);
	set_revisions(false, false);
	assert_int_equal(finals_n, 1);
	assert_string_equal(final_name, b_v1);
	NEAR(finals[0].amounts.observed_s, 1);
	set_revisions(true, false);
	pass(CLK_S);
	set_revisions(false, false);
	assert_int_equal(finals_n, 2);
	assert_true(finals[0].part != finals[1].part);
	NEAR(finals[1].amounts.observed_s, 1);
}

static void
another_owner_begins_another_part(void **state)
{
	(void)state;
	show(1, INSTANCE_READY, now, -1, 0);
	pass(CLK_S);
	meter_revisions_begin(m);
	add_revision(a_v1, team, false);
	meter_revisions_end(m, on_final, NULL);
	assert_int_equal(finals_n, 1);
	NEAR(finals[0].amounts.instance_s, 1);
	pass(2 * CLK_S);
	set_revisions(false, false);
	assert_int_equal(finals_n, 2);
	NEAR(finals[1].amounts.instance_s, 2);
	NEAR(finals[1].amounts.peak, 1);
	NEAR(total().instance_s, 3);
}

static unsigned written;

static void
on_written(const struct meter_part *p, void *arg)
{
	(void)p;
	(void)arg;
	written++;
}

static unsigned
write_due(void)
{
	written = 0;
	meter_write(m, 10 * CLK_S, 300 * CLK_S, on_written, NULL);
	return written;
}

static void
idle_time_is_written_rarely(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 29; i++) {
		pass(10 * CLK_S);
		assert_int_equal(write_due(), 0);
	}
	pass(10 * CLK_S);
	assert_int_equal(write_due(), 1);
	report(1, 0, 0, 0);
	assert_int_equal(write_due(), 0);
	pass(10 * CLK_S);
	assert_int_equal(write_due(), 1);
	pass(10 * CLK_S);
	assert_int_equal(write_due(), 0);
	show(1, INSTANCE_READY, now, -1, 0);
	for (i = 0; i < 3; i++) {
		pass(10 * CLK_S);
		assert_int_equal(write_due(), 1); /* it runs */
	}
}

/* What an activator counts itself holds all requests; older ones send no counts. */
static void
counts_of_an_activator(void **state)
{
	struct request_counts first = {.requests = 4,
				       .bytes_in = 10,
				       .bytes_out = 20,
				       .cold_starts = 2,
				       .cold_wait_s = 1.5,
				       .cold_wait_max_s = 1};
	struct msg_stat s = {.name = a_v1, .requests = 3, .missed_requests = 7, .counts = &first};
	const struct msg_stats stats = {.period_ms = 1000, .v = &s, .n = 1};
	struct amounts a;

	(void)state;
	first.ends[REQUEST_2XX] = 3;
	first.ends[REQUEST_QUEUE_FULL] = 1;
	meter_stats(m, ONE, &stats);
	first.cold_wait_max_s = 0.5;
	meter_stats(m, TWO, &stats);
	a = total();
	assert_true(a.requests == 8 && a.bytes_in == 20 && a.bytes_out == 40);
	assert_true(a.cold_starts == 4 && a.cold_wait_s == 3 && a.cold_wait_max_s == 1);
	assert_true(a.ends[REQUEST_2XX] == 6 && a.ends[REQUEST_QUEUE_FULL] == 2);
	s.counts = NULL;
	meter_stats(m, ONE, &stats);
	assert_true(total().requests == 18);
}

/* A request that was under way when its revision was removed counts when it ends. */
static void
what_ends_at_a_revision_that_is_gone(void **state)
{
	struct request_counts counts = {.requests = 1};
	struct msg_stat s = {.name = b_v1, .counts = &counts};
	const struct msg_stats stats = {.period_ms = 1000, .v = &s, .n = 1};

	(void)state;
	counts.ends[REQUEST_2XX] = 1;
	set_revisions(true, false);
	pass(CLK_S);
	set_revisions(false, false);
	assert_int_equal(finals_n, 1);
	meter_stats(m, ONE, &stats);
	pass(CLK_S);
	assert_int_equal(finals_n, 2);
	assert_string_equal(final_name, b_v1);
	assert_true(finals[1].amounts.ends[REQUEST_2XX] == 1);
	assert_true(finals[1].amounts.observed_s == 0);
	pass(CLK_S);
	assert_int_equal(finals_n, 2);
	meter_stats(m, ONE, &stats);
	set_revisions(true, false); /* removed and made again, twice */
	set_revisions(false, false);
	pass(CLK_S);
	assert_true(sum.requests == 2);
	pass(600 * CLK_S);
	pass(CLK_S);
	meter_stats(m, ONE, &stats);
	pass(CLK_S);
	assert_true(sum.requests == 2);
}

/* Until the service has no revision any more. */
static void
what_removed_revisions_have_used_is_past(void **state)
{
	static char a_v2[] = "a/v2";
	struct request_counts counts = {.requests = 2};
	struct msg_stat s = {.name = a_v2, .counts = &counts};
	const struct msg_stats stats = {.period_ms = 1000, .v = &s, .n = 1};

	(void)state;
	meter_revisions_begin(m);
	add_revision(a_v1, none, false);
	add_revision(a_v2, none, false);
	meter_revisions_end(m, on_final, NULL);
	meter_stats(m, ONE, &stats);
	pass(3700 * CLK_S); /* a part has ended */
	meter_stats(m, ONE, &stats);
	assert_null(meter_past(m, "a"));
	set_revisions(false, false);
	assert_true(meter_past(m, "a")->requests == 4);
	meter_stats(m, ONE, &stats);
	pass(CLK_S);
	assert_true(meter_past(m, "a")->requests == 6);
	pass(600 * CLK_S);
	pass(CLK_S);
	set_revisions(false, false);
	assert_true(meter_past(m, "a")->requests == 6);
	meter_revisions_begin(m);
	meter_revisions_end(m, on_final, NULL);
	assert_null(meter_past(m, "a"));
}

/* Whatever the wall clock does, no time is counted twice or lost. */
static void
steps_of_the_clock(void **state)
{
	uint32_t random = 12345;
	struct amounts rest = {.peak = 0};
	int64_t began = now;
	size_t i, k;

	(void)state;
	show(1, INSTANCE_READY, now, -1, 0);
	for (i = 0; i < 1000; i++) {
		random = random * 1664525 + 1013904223;
		if (random >> 30 == 0)
			wall += (int64_t)((random >> 8) % 20000) * CLK_S - 10000 * CLK_S;
		pass((int64_t)(random >> 12 & 1023) * CLK_S);
	}
	wall = 0; /* 1970 */
	pass(CLK_S);
	wall = INT64_C(4000000000) * CLK_S;
	pass(CLK_S);
	meter_each(m, on_each, &rest);
	amounts_add(&rest, &sum);
	NEAR(rest.observed_s, (double)(now - began) / CLK_S);
	NEAR(rest.instance_s, rest.observed_s);
	NEAR(total().instance_s, rest.observed_s);
	for (i = 0; i < finals_n; i++) {
		assert_true(finals[i].amounts.observed_s <= 3600 + 1024);
		for (k = 0; k < i; k++)
			assert_true(finals[i].part != finals[k].part);
	}
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(instances_count_from_view_to_view),
		TEST(cpu_and_memory),
		TEST(requests),
		TEST(missed_requests),
		TEST(counts_of_an_activator),
		TEST(what_ends_at_a_revision_that_is_gone),
		TEST(what_removed_revisions_have_used_is_past),
		TEST(a_wake_counts_once),
		TEST(a_wake_lasts_while_any_activator_waits),
		TEST(a_wake_outlives_a_link),
		TEST(external_revisions_have_no_instances),
		TEST(an_hour_ends_exactly),
		TEST(a_revision_that_goes_ends_its_part),
		TEST(another_owner_begins_another_part),
		TEST(idle_time_is_written_rarely),
		TEST(steps_of_the_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
