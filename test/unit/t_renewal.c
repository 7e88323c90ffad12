/* renewal: instances end although as many are wanted, and others are started in their place
 * (max_lifetime, max_surge). */
#include "test/unit/reconcile_world.h"

#include "autoscaler/reconcile/renewal.h"
#include "common/clk.h"
#include "common/strbuf.h"

#define LIFETIME (100 * CLK_S)

static struct scaled_revision *
rev(void)
{
	return reconcile_find(world.r, "a/v1");
}

static void
set_lifetime(double surge)
{
	world.conf.scaling.max_lifetime = LIFETIME;
	world.conf.scaling.max_surge = surge;
	set_services(1, 0);
}

/* The oldest instance has just this number. */
static bool
is_oldest(int number)
{
	return world.n > 0 && world.v[0].number == number;
}

/* --- when --- */

static void
no_two_of_many_end_together(void **state)
{
	int64_t first = INT64_MAX, last = 0;
	int i, early = 0;

	(void)state;
	for (i = 0; i < 1000; i++) {
		char id[40];
		int64_t t;

		snprintf(id, sizeof id, "hello-v1-17e4e129-%d", i);
		t = renewal_lifetime(LIFETIME, id);
		assert_true(t == renewal_lifetime(LIFETIME, id));
		assert_in_range(t, LIFETIME * 9 / 10, LIFETIME);
		first = MIN(first, t);
		last = MAX(last, t);
		early += t < LIFETIME * 95 / 100;
	}
	assert_true(first < LIFETIME * 91 / 100 && last > LIFETIME * 99 / 100);
	assert_in_range(early, 400, 600);
}

/* --- one after another --- */

static void
the_next_is_ready_before_the_old_one_is_drained(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(1);
	set_lifetime(25);
	forget_sent();
	world.is_unready = true;
	UNTIL(world.n == 2, 110);
	assert_int_equal(rev()->surge, 1);
	assert_int_equal(rev()->wanted.n, 1);
	seconds(20);
	assert_int_equal(drains_sent(), 0); /* the new one is not ready */
	assert_int_equal(world.n, 2);
	world.is_unready = false;
	UNTIL(is_oldest(2), 5);
	assert_int_equal(drains_sent(), 1);
	assert_true(was_sent("\"instance\":\"i1\"}"));
	assert_int_equal(world.n, 1);
	assert_int_equal(rev()->scale_sent, 1);
	assert_int_equal(rev()->surge, 0);
	assert_int_equal(rev()->counts.ended[ENDED_MAX_LIFETIME], 1);
	assert_int_equal(rev()->counts.ended[ENDED_SCALE_DOWN], 0);
	assert_int_equal(rev()->counts.ended[ENDED_BY_ITSELF], 0);
	UNTIL(is_oldest(3), 120); /* and so on */
}

/* What is there because of the surge is not read as what is wanted, though requests wait. */
static void
the_surge_is_no_ratchet(void **state)
{
	unsigned i;

	(void)state;
	connect_peer(1);
	run_with(2);
	set_lifetime(100);
	world.peer[1].parked = 1;
	for (i = 0; i < 300; i++) {
		second();
		assert_in_range(world.n, 2, 4);
		assert_int_equal(rev()->wanted.n, 2);
	}
	assert_true(rev()->counts.ended[ENDED_MAX_LIFETIME] >= 4);
}

static void
a_few_at_a_time(void **state)
{
	size_t i;

	(void)state;
	connect_peer(1);
	run_with(8);
	for (i = 0; i < world.n; i++)
		world.v[i].started_ns = world.now - LIFETIME; /* all are too old at once */
	show_instances(NULL);
	world.conf.scaling.max_scale = 8;
	set_lifetime(25);
	for (i = 0; i < 30; i++) {
		second();
		assert_in_range(world.n, 8, 10);
	}
	assert_int_equal(rev()->counts.ended[ENDED_MAX_LIFETIME], 8);
	assert_int_equal(world.n, 8);
}

/* --- without room for more --- */

static void
without_a_surge_the_old_one_goes_first(void **state)
{
	unsigned i;

	(void)state;
	connect_peer(1);
	run_with(2);
	set_lifetime(0);
	for (i = 0; i < 230; i++) {
		second();
		assert_in_range(world.n, 1, 2);
	}
	assert_true(rev()->counts.ended[ENDED_MAX_LIFETIME] >= 4);
	assert_int_equal(world.n, 2);
}

static void
max_instances_is_never_exceeded(void **state)
{
	unsigned i;

	(void)state;
	connect_peer(1);
	run_with(2);
	set_lifetime(100);
	set_services(1, 2);
	for (i = 0; i < 230; i++) {
		second();
		assert_in_range(world.n, 1, 2);
	}
	assert_true(rev()->counts.ended[ENDED_MAX_LIFETIME] >= 4);
}

/* --- beside other things --- */

static void
a_long_request_is_cut_at_drain_timeout_only(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(1);
	set_lifetime(25);
	forget_sent();
	world.peer[1].answer = SAYS_NOTHING;
	UNTIL(drains_sent() == 1, 120);
	seconds(8);
	assert_int_equal(world.n, 2);
	assert_true(is_oldest(1));
	UNTIL(is_oldest(2), 5);
	assert_int_equal(world.n, 1);
}

/* An idle revision goes to zero; nothing is started in the place of what goes. */
static void
an_idle_one_is_not_renewed(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(1);
	set_lifetime(25);
	seconds(60);
	world.peer[1].concurrency = 0;
	UNTIL(world.n == 0, 30);
	assert_int_equal(rev()->counts.ended[ENDED_MAX_LIFETIME], 0);
	assert_int_equal(rev()->counts.ended[ENDED_SCALE_DOWN], 1);
	seconds(100);
	assert_int_equal(world.n, 0);
}

static void
min_scale_is_kept_while_idle(void **state)
{
	unsigned i;

	(void)state;
	connect_peer(1);
	run_with(1);
	world.conf.scaling.min_scale = 2;
	set_lifetime(25);
	world.peer[1].concurrency = 0;
	UNTIL(world.n == 2, 10);
	seconds(3);
	for (i = 0; i < 300; i++) {
		second();
		assert_true(world.n >= 2);
		assert_true(instances_ready(&rev()->instances) >= 2);
	}
	assert_true(rev()->counts.ended[ENDED_MAX_LIFETIME] >= 4);
}

/* A scale-down that comes meanwhile takes the due ones first. */
static void
a_scale_down_takes_the_due_ones_first(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(4);
	world.v[1].started_ns = world.now - LIFETIME;
	show_instances(NULL);
	set_lifetime(0);
	world.conf.scaling.max_surge = 25;
	world.is_unready = true; /* the one in its place never answers */
	second();
	assert_int_equal(world.n, 5);
	world.peer[1].concurrency = 7; /* one is enough */
	UNTIL(world.n <= 2, 60);
	assert_true(is_oldest(1));
	for (; world.n > 0; world.n--)
		assert_int_not_equal(world.v[world.n - 1].number, 2);
}

/* Where the platform stores the scale, the lower number has to be carried out before the next. */
static void
a_platform_sees_each_lower_number(void **state)
{
	unsigned i;

	(void)state;
	world.has_scale = true;
	connect_peer(1);
	run_with(2);
	set_lifetime(100);
	for (i = 0; i < 250; i++) {
		second();
		assert_in_range(world.n, 2, 4);
	}
	assert_true(rev()->counts.ended[ENDED_MAX_LIFETIME] >= 4);
	assert_int_equal(rev()->counts.ended[ENDED_BY_ITSELF], 0);
	assert_int_equal(rev()->wanted.n, 2);
}

/* --- max_requests --- */

static void
set_max_requests(uint32_t n)
{
	world.conf.limits.max_requests = n;
	set_services(1, 0);
}

/* So many requests may still be sent to the instance. */
static void
say_uses(int number, uint32_t uses)
{
	char line[120];

	snprintf(line, sizeof line,
		 "{\"type\":\"instance\",\"id\":\"i%d\",\"state\":\"answers\",\"uses\":%u}", number,
		 uses);
	send_line(1, line);
	reconcile_tail(world.r);
}

/* A function: it is drained and replaced, and counts until then. */
static void
a_spent_instance_is_replaced(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(2);
	world.conf.scaling.max_scale = 2;
	set_max_requests(1);
	second();
	world.peer[1].answer = SAYS_NOTHING;
	forget_sent();
	say_uses(1, 0);
	assert_int_equal(drains_sent(), 1);
	assert_true(was_sent("\"instance\":\"i1\"}"));
	assert_int_equal(world.n, 2); /* not before it is drained */
	world.peer[1].answer = SAYS_DRAINED;
	world.answered = 0;
	settle();
	assert_string_equal(strbuf_str(&world.calls), "answers:i1 1:i1 2 ");
	assert_int_equal(world.n, 2);
	assert_int_equal(world.v[1].number, 3);
	assert_int_equal(rev()->counts.ended[ENDED_MAX_REQUESTS], 1);
	assert_int_equal(rev()->wanted.n, 2);
	assert_int_equal(scaled_scale(rev()), 2);
}

/* Its last requests are the time for another one to start. */
static void
a_nearly_spent_instance_has_a_successor(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(1);
	world.conf.scaling.max_surge = 25;
	world.conf.scaling.max_scale = 1;
	set_max_requests(80);
	second();
	forget_sent();
	say_uses(1, 11);
	assert_int_equal(rev()->surge, 0);
	say_uses(1, 10);
	assert_int_equal(rev()->surge, 1);
	settle();
	assert_int_equal(world.n, 2);
	seconds(5);
	assert_int_equal(drains_sent(), 0); /* it has requests left */
	assert_int_equal(world.n, 2);
	say_uses(1, 0);
	settle();
	second();
	assert_int_equal(world.n, 1);
	assert_true(is_oldest(2));
	assert_int_equal(rev()->surge, 0);
}

/* n instances run, as many as may, on a platform that stores the scale.  No other one becomes
 * ready. */
static void
run_on_a_platform(uint32_t n, uint32_t max_surge)
{
	world.has_scale = true;
	connect_peer(1);
	run_with(n);
	world.conf.scaling.max_surge = max_surge;
	world.conf.scaling.max_scale = n;
	world.conf.launch.start_timeout = 30 * CLK_S;
	set_max_requests(80);
	world.is_unready = true;
}

/* A platform that stores the scale takes what is not ready first: so what is spent waits for it,
 * but not for ever, as it may hold the room that the other needs. */
static void
a_spent_one_waits_for_an_unready_one_no_longer_than_a_start(void **state)
{
	(void)state;
	run_on_a_platform(1, 25);
	say_uses(1, 10);
	settle();
	assert_int_equal(world.n, 2);
	say_uses(1, 0);
	seconds(28);
	assert_int_equal(world.n, 2);
	assert_true(is_oldest(1));
	UNTIL(is_oldest(3), 6);
	assert_int_equal(world.n, 1);
	assert_int_equal(rev()->counts.ended[ENDED_MAX_REQUESTS], 1);
	assert_int_equal(rev()->counts.ended[ENDED_REPLACED], 1);
	assert_int_equal(rev()->wanted.n, 1);
	world.is_unready = false;
	seconds(5);
	assert_int_equal(world.n, 1);
	assert_true(is_oldest(3));
}

static void
one_unready_instance_of_many_stops_no_renewal(void **state)
{
	(void)state;
	run_on_a_platform(4, 0);
	world.v[3].state = INSTANCE_STARTING;
	show_instances(NULL);
	say_uses(1, 0);
	seconds(28);
	assert_true(is_oldest(1));
	UNTIL(is_oldest(2), 6);
	seconds(2);
	assert_int_equal(world.n, 4);
	assert_int_equal(world.v[1].number, 3);
	assert_int_equal(world.v[2].number, 5);
	assert_int_equal(rev()->scale_sent, 4);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(no_two_of_many_end_together),
		T(the_next_is_ready_before_the_old_one_is_drained),
		T(the_surge_is_no_ratchet),
		T(a_few_at_a_time),
		T(without_a_surge_the_old_one_goes_first),
		T(max_instances_is_never_exceeded),
		T(a_long_request_is_cut_at_drain_timeout_only),
		T(an_idle_one_is_not_renewed),
		T(min_scale_is_kept_while_idle),
		T(a_scale_down_takes_the_due_ones_first),
		T(a_platform_sees_each_lower_number),
		T(a_spent_instance_is_replaced),
		T(a_nearly_spent_instance_has_a_successor),
		T(a_spent_one_waits_for_an_unready_one_no_longer_than_a_start),
		T(one_unready_instance_of_many_stops_no_renewal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
