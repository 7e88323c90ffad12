/* reconcile on simulated time, scaling down: no instance is stopped before every activator has
 * said that it is drained, and a request that arrives meanwhile cancels the scale-down. */
#include "test/unit/reconcile_world.h"

#include "autoscaler/reconcile/reconcile.h"
#include "common/clk.h"
#include "common/log.h"

/* --- to zero --- */

static void
zero_only_after_all_activators_are_drained(void **state)
{
	char token[80];

	(void)state;
	connect_peer(1);
	connect_peer(2);
	run_with(1);
	world.peer[1].concurrency = 0;
	world.peer[1].answer = world.peer[2].answer = SAYS_NOTHING;
	UNTIL(drains_sent() == 1, 20);
	assert_true(was_sent("0 {\"type\":\"drain\""));
	assert_true(was_sent("\"revision\":\"a/v1\"}"));
	assert_true(token_of(strstr(strbuf_str(&world.out), "0 {\"type\":\"drain\""), token));
	answer_drain(1, "drained", token);
	reconcile_tail(world.r);
	seconds(3);
	assert_int_equal(world.calls.len, 0); /* one activator has not answered */
	answer_drain(2, "drained", token);
	reconcile_tail(world.r);
	assert_string_equal(strbuf_str(&world.calls), "0 ");
	assert_false(was_sent("resume"));
	second(); /* the instance is gone, and with it the token */
	assert_int_equal(world.n, 0);
	assert_true(was_sent("resume"));
}

static void
one_busy_takes_it_back(void **state)
{
	(void)state;
	connect_peer(1);
	connect_peer(2);
	run_with(1);
	world.peer[1].concurrency = 0;
	world.peer[2].answer = SAYS_BUSY;
	UNTIL(was_sent("resume"), 20);
	assert_int_equal(drains_sent(), 1);
	settle();
	assert_int_equal(drains_sent(), 1); /* no second drain at once */
	seconds(5);			    /* a second drain, which is refused too */
	assert_true(drains_sent() > 1);
	assert_int_equal(world.n, 1);
	assert_int_equal(world.calls.len, 0);
	world.peer[2].answer = SAYS_DRAINED;
	UNTIL(world.n == 0, 5);
}

static void
an_activate_takes_it_back(void **state)
{
	char token[80];

	(void)state;
	connect_peer(1);
	connect_peer(2);
	run_with(1);
	world.peer[1].concurrency = 0;
	world.peer[1].answer = SAYS_NOTHING;
	UNTIL(drains_sent() == 1, 20);
	assert_true(token_of(strstr(strbuf_str(&world.out), "0 {\"type\":\"drain\""), token));
	activate(2, 1);
	reconcile_tail(world.r);
	assert_true(was_sent("0 {\"type\":\"resume\""));
	answer_drain(1, "drained", token); /* too late */
	settle();
	assert_int_equal(world.calls.len, 0);
	assert_int_equal(world.n, 1);
}

static void
a_lost_link_takes_it_back_and_holds_for_a_stable_window(void **state)
{
	(void)state;
	connect_peer(1);
	connect_peer(2);
	run_with(1);
	world.peer[1].concurrency = 0;
	world.peer[2].answer = SAYS_NOTHING;
	UNTIL(drains_sent() == 1, 20);
	lose_peer(2);
	assert_true(was_sent("resume"));
	forget_sent();
	seconds(5);
	assert_int_equal(drains_sent(), 0);
	assert_int_equal(world.n, 1);
	UNTIL(world.n == 0, 5); /* after a stable window */
}

/* An instance with a busy lease stays, also after the activator that reported it has gone. */
static void
a_lease_outlives_its_activator(void **state)
{
	char line[200];

	(void)state;
	connect_peer(1);
	connect_peer(2);
	run_with(2);
	world.peer[1].concurrency = 0;
	world.peer[2].is_mute = true; /* a report by hand: the second instance is busy for 100 s */
	snprintf(line, sizeof line,
		 "{\"type\":\"stats\",\"period_ms\":1000,\"revisions\":[{\"name\":\"a/v1\","
		 "\"concurrency\":0,\"requests\":0,\"parked\":0,\"in_flight\":0,\"instances\":"
		 "[{\"id\":\"i%d\",\"in_flight\":0,\"busy_s\":100}]}]}",
		 world.v[1].number);
	send_line(2, line);
	lose_peer(2);
	UNTIL(world.n == 1, 60); /* the other one was stopped */
	assert_non_null(strstr(line, world.v[0].number == 1 ? "i1" : "i2"));
	seconds(20);
	assert_int_equal(world.n, 1);
	assert_int_equal(reconcile_find(world.r, "a/v1")->wanted.rule, DECIDE_BUSY_LEASE);
	UNTIL(world.n == 0, 120);
}

/* The driver asks for the load of an instance: the sum over all activators. */
static void
the_load_of_an_instance_over_all_activators(void **state)
{
	char line[300];

	(void)state;
	connect_peer(1);
	connect_peer(2);
	run_with(2);
	world.peer[1].in_flight[world.v[0].number] = 2;
	world.peer[2].concurrency = 1;
	world.peer[2].in_flight[world.v[0].number] = 3;
	second();
	assert_int_equal(reconcile_load(world.r, "i1"), 5);
	assert_int_equal(reconcile_load(world.r, "i2"), 0);
	assert_int_equal(reconcile_load(world.r, "unknown"), 0);
	snprintf(line, sizeof line, "%s",
		 "{\"type\":\"stats\",\"period_ms\":1000,\"revisions\":[{\"name\":\"a/v1\","
		 "\"concurrency\":1,\"requests\":0,\"parked\":0,\"in_flight\":4000000000,"
		 "\"instances\":[{\"id\":\"i1\",\"in_flight\":4000000000},"
		 "{\"id\":\"i2\",\"in_flight\":1,\"busy_s\":100}]}]}");
	send_line(1, line);
	assert_int_equal(reconcile_load(world.r, "i1"), DRIVER_LEASE_LOAD);
	assert_int_equal(reconcile_load(world.r, "i2"), DRIVER_LEASE_LOAD + 1);
}

static void
back_by_name_it_is_no_longer_missed(void **state)
{
	(void)state;
	connect_peer(1);
	connect_peer(2);
	run_with(1);
	seconds(10);
	world.peer[1].concurrency = 0;
	lose_peer(2);
	reconcile_peer_up(world.r, 3, "act-2", false, false);
	world.peer[3] = (struct fake_peer){.is_up = true, .answer = SAYS_DRAINED};
	UNTIL(drains_sent() > 0, 9);
	UNTIL(world.n == 0, 2);
}

static void
an_activator_that_connects_meanwhile_is_asked_too(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(1);
	world.peer[1].concurrency = 0;
	world.peer[1].answer = SAYS_NOTHING;
	UNTIL(drains_sent() == 1, 20);
	connect_peer(2);
	world.peer[2].answer = SAYS_NOTHING;
	assert_true(was_sent("2 {\"type\":\"drain\""));
	world.peer[1].answer = SAYS_DRAINED;
	world.answered = 0;
	answer_drains();
	second();
	assert_int_equal(world.n, 1);
	world.peer[2].answer = SAYS_DRAINED;
	world.answered = 0;
	answer_drains();
	second();
	assert_int_equal(world.n, 0);
}

static void
nothing_goes_down_without_an_activator(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(2);
	world.peer[1].concurrency = 0;
	lose_peer(1);
	seconds(100);
	assert_int_equal(world.n, 2);
	assert_int_equal(world.calls.len, 0);
}

static void
nothing_goes_down_while_one_is_silent(void **state)
{
	(void)state;
	connect_peer(1);
	connect_peer(2);
	run_with(1);
	world.peer[1].concurrency = 0;
	world.peer[2].is_mute = true;
	seconds(6);
	forget_sent();
	seconds(50);
	assert_int_equal(drains_sent(), 0);
	assert_int_equal(world.n, 1);
	world.peer[2].is_mute = false;
	UNTIL(world.n == 0, 10);
}

static void
after_the_stop_an_activate_is_an_ordinary_cold_start(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(1);
	world.peer[1].concurrency = 0;
	world.is_slow = true;
	UNTIL(world.scale == 0, 20);
	world.v[0].state = INSTANCE_STOPPING;
	show_instances(NULL);
	reconcile_tail(world.r);
	forget_sent();
	activate(1, 1);
	reconcile_tail(world.r);
	assert_string_equal(strbuf_str(&world.calls), "1 ");
	assert_false(was_sent("resume")); /* the old one is being stopped */
	world.now += CLK_MS;
	world.v[0] = (struct fake_instance){
		.number = ++world.number, .state = INSTANCE_STARTING, .started_ns = world.now};
	show_instances(NULL);
	reconcile_tail(world.r);
	assert_true(was_sent("resume"));
	assert_true(was_sent("\"id\":\"i2\""));
}

static void
an_instance_that_was_spared_is_opened_again(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(1);
	world.peer[1].concurrency = 0;
	world.is_slow = true;
	UNTIL(world.scale == 0, 20);
	forget_sent();
	activate(1, 1); /* before the driver acts */
	reconcile_tail(world.r);
	assert_string_equal(strbuf_str(&world.calls), "1 ");
	assert_false(was_sent("resume"));
	world.is_slow = false;
	second();
	assert_true(was_sent("resume"));
	assert_int_equal(world.n, 1);
	assert_int_equal(world.v[0].number, 1);
}

static void
a_drain_that_nobody_answers_is_taken_back(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(1);
	world.peer[1].concurrency = 0;
	world.peer[1].answer = SAYS_NOTHING;
	log_open(LOG_ERROR, LOG_LOGFMT, "t_reconcile");
	UNTIL(drains_sent() == 1, 20);
	seconds(9);
	assert_false(was_sent("resume"));
	seconds(2);
	assert_true(was_sent("resume"));
	assert_int_equal(world.n, 1);
}

/* --- to a lower number --- */

static void
the_least_busy_go_and_are_drained_first(void **state)
{
	(void)state;
	connect_peer(1);
	connect_peer(2);
	run_with(3);
	world.peer[1].in_flight[1] = 2;
	world.peer[2].concurrency = 0.1;
	world.peer[2].in_flight[3] = 1;
	world.peer[1].answer = world.peer[2].answer = SAYS_NOTHING;
	world.peer[1].concurrency = 13; /* two instances suffice */
	UNTIL(drains_sent() == 1, 20);
	assert_true(was_sent("\"instance\":\"i2\"}"));
	assert_true(was_sent("{\"id\":\"i2\",\"address\":\"127.0.0.1\",\"port\":20002,"
			     "\"state\":\"stopping\"}"));
	assert_int_equal(world.calls.len, 0);
	world.peer[1].answer = world.peer[2].answer = SAYS_DRAINED;
	world.answered = 0;
	answer_drains();
	reconcile_tail(world.r);
	assert_string_equal(strbuf_str(&world.calls), "2:i2 ");
	second();
	assert_int_equal(world.n, 2);
	assert_int_equal(world.v[0].number, 1);
	assert_int_equal(world.v[1].number, 3);
}

static void
an_upturn_before_the_stop_resumes_them(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(4);
	world.peer[1].answer = SAYS_NOTHING;
	world.peer[1].concurrency = 14;
	UNTIL(drains_sent() >= 2, 20);
	forget_sent();
	world.peer[1].concurrency = 28;
	world.peer[1].parked = 30;
	UNTIL(was_sent("resume"), 5);
	UNTIL(list_empty(&reconcile_find(world.r, "a/v1")->drains), 10);
	assert_null(strstr(strbuf_str(&world.calls), ":")); /* no instance was stopped */
	assert_true(world.n >= 4);
}

static void
a_drain_of_an_instance_ends_with_its_time(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(2);
	world.peer[1].answer = SAYS_NOTHING;
	world.peer[1].concurrency = 3;
	UNTIL(drains_sent() == 1, 20);
	seconds(9);
	assert_int_equal(world.n, 2);
	seconds(3);
	assert_int_equal(world.n, 1);
}

static void
an_instance_that_ends_by_itself_is_drained(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(2);
	world.peer[1].answer = SAYS_NOTHING;
	world.peer[1].concurrency = 3;
	UNTIL(drains_sent() == 1, 20);
	world.n = 0; /* both crash, and are replaced */
	world.v[world.n++] = (struct fake_instance){
		.number = ++world.number, .state = INSTANCE_READY, .started_ns = world.now};
	world.v[world.n++] = (struct fake_instance){
		.number = ++world.number, .state = INSTANCE_READY, .started_ns = world.now};
	show_instances(NULL);
	reconcile_tail(world.r);
	assert_true(was_sent("resume"));
	world.peer[1].answer = SAYS_DRAINED;
	UNTIL(world.n == 1, 20);
}

/* --- replacing instances --- */

/* What the driver replaces is drained before it is stopped; the number of instances stays. */
static void
a_retired_instance_is_drained_and_named_as_a_victim(void **state)
{
	struct scaled_revision *rev = reconcile_find(world.r, "a/v1");
	char token[80];

	(void)state;
	connect_peer(1);
	run_with(1);
	world.is_slow = true;
	world.peer[1].answer = SAYS_NOTHING;
	world.v[world.n++] = (struct fake_instance){
		.number = ++world.number, .state = INSTANCE_STARTING, .is_spare = true};
	show_instances(NULL);
	reconcile_tail(world.r);
	assert_int_equal(instances_live(&rev->instances), 1); /* the other is none more yet */
	assert_int_equal(drains_sent(), 0);
	world.v[1].state = INSTANCE_READY;
	world.v[1].is_spare = false;
	world.v[0].is_retired = true;
	show_instances(NULL);
	reconcile_tail(world.r);
	assert_int_equal(instances_ready(&rev->instances), 1);
	assert_int_equal(drains_sent(), 1);
	assert_true(was_sent("\"instance\":\"i1\"}"));
	assert_true(was_sent("\"state\":\"stopping\"")); /* activators send it nothing new */
	seconds(3);
	assert_int_equal(world.calls.len, 0);
	assert_true(token_of(strstr(strbuf_str(&world.out), "0 {\"type\":\"drain\""), token));
	answer_drain(1, "drained", token);
	reconcile_tail(world.r);
	assert_string_equal(strbuf_str(&world.calls), "1:i1 ");
	assert_int_equal(rev->scale_sent, 1);
}

/* Requests that come meanwhile take back no drain of what is replaced. */
static void
demand_takes_back_no_drain_of_a_retired_instance(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(1);
	world.is_slow = true;
	world.peer[1].answer = SAYS_NOTHING;
	world.v[world.n++] = (struct fake_instance){.number = ++world.number,
						    .state = INSTANCE_READY};
	world.v[0].is_retired = true;
	show_instances(NULL);
	reconcile_tail(world.r);
	assert_int_equal(drains_sent(), 1);
	activate(1, 30);
	seconds(5);
	assert_int_equal(drains_sent(), 1);
	assert_false(was_sent("resume"));
	seconds(10); /* drain_timeout: it is stopped, whatever it still has */
	assert_non_null(strstr(strbuf_str(&world.calls), ":i1 "));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(zero_only_after_all_activators_are_drained),
		T(one_busy_takes_it_back),
		T(an_activate_takes_it_back),
		T(a_lost_link_takes_it_back_and_holds_for_a_stable_window),
		T(a_lease_outlives_its_activator),
		T(the_load_of_an_instance_over_all_activators),
		T(back_by_name_it_is_no_longer_missed),
		T(an_activator_that_connects_meanwhile_is_asked_too),
		T(nothing_goes_down_without_an_activator),
		T(nothing_goes_down_while_one_is_silent),
		T(after_the_stop_an_activate_is_an_ordinary_cold_start),
		T(an_instance_that_was_spared_is_opened_again),
		T(a_drain_that_nobody_answers_is_taken_back),
		T(the_least_busy_go_and_are_drained_first),
		T(an_upturn_before_the_stop_resumes_them),
		T(a_drain_of_an_instance_ends_with_its_time),
		T(an_instance_that_ends_by_itself_is_drained),
		T(a_retired_instance_is_drained_and_named_as_a_victim),
		T(demand_takes_back_no_drain_of_a_retired_instance),
	};

	return cmocka_run_group_tests_name("reconcile_down", tests, NULL, NULL);
}
