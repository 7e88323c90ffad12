/* reconcile, from messages and views to the driver, on simulated time: what activators and the
 * driver get when instances are wanted, fail, are shared out or are found after a restart.
 * Scaling down is in t_reconcile_down.c. */
#include "test/unit/reconcile_world.h"

#include "autoscaler/brain/idleness.h"
#include "autoscaler/reconcile/announce.h"
#include "autoscaler/reconcile/reconcile.h"
#include "common/clk.h"
#include "common/log.h"

/* --- scaling up --- */

static void
an_activate_is_acknowledged_before_the_driver_is_asked(void **state)
{
	(void)state;
	connect_peer(1);
	forget_sent();
	activate(1, 3);
	assert_string_equal(strbuf_str(&world.out),
			    "1 {\"type\":\"activating\",\"revision\":\"a/v1\",\"seq\":7,"
			    "\"wanted\":1}\n");
	assert_int_equal(world.calls.len, 0);
	reconcile_tail(world.r); /* in the same round, without a tick */
	assert_string_equal(strbuf_str(&world.calls), "1 ");
	assert_true(was_sent("0 {\"type\":\"instances\",\"revision\":\"a/v1\",\"wanted\":1"));
}

static void
many_activates_of_a_round_are_one_wish(void **state)
{
	unsigned i;

	(void)state;
	connect_peer(1);
	connect_peer(2);
	for (i = 0; i < 50; i++)
		activate(1 + i % 2, 1 + i);
	reconcile_tail(world.r);
	assert_null(strchr(strbuf_str(&world.calls), ' ')[1] == '\0' ? NULL : "more than one");
}

static uint64_t
decisions(void)
{
	const uint64_t *v = reconcile_decisions(world.r);
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < DECIDE_RULES_N; i++)
		n += v[i];
	return n;
}

static void
each_decision_of_a_round_is_counted(void **state)
{
	uint64_t before;
	unsigned i;

	(void)state;
	connect_peer(1);
	reconcile_tail(world.r);
	before = decisions();
	for (i = 0; i < 5; i++)
		activate(1, 1 + i);
	reconcile_tail(world.r);
	assert_int_equal(decisions() - before, 5);
}

static void
what_the_driver_shows_is_passed_on_once(void **state)
{
	(void)state;
	connect_peer(1);
	activate(1, 1);
	settle();
	assert_true(was_sent("{\"id\":\"i1\",\"address\":\"127.0.0.1\",\"port\":20001,"
			     "\"state\":\"starting\"}"));
	world.peer[1].parked = 0;
	world.peer[1].concurrency = 1;
	seconds(3);
	assert_true(was_sent("\"state\":\"ready\""));
	forget_sent();
	seconds(3);
	assert_false(was_sent("instances"));
}

static void
an_instance_that_answers_is_ready_and_the_driver_hears_of_it(void **state)
{
	struct scaled_revision *rev = reconcile_find(world.r, "a/v1");

	(void)state;
	connect_peer(1);
	world.is_unready = true;
	activate(1, 1);
	settle();
	assert_int_equal(instances_ready(&rev->instances), 0);
	world.now += 300 * CLK_MS;
	send_line(1, "{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"answers\"}");
	send_line(1, "{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"answers\"}");
	send_line(1, "{\"type\":\"instance\",\"id\":\"unheard\",\"state\":\"answers\"}");
	assert_string_equal(strbuf_str(&world.calls), "1 answers:i1 ");
	assert_int_equal(instances_ready(&rev->instances), 1);
	assert_true(timing_start_s(&rev->timing) > 0.299 && timing_start_s(&rev->timing) < 0.301);
	reconcile_tail(world.r);
	send_line(1, "{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"refuses\"}");
	assert_int_equal(instances_ready(&rev->instances), 0);
}

static const char i1_answers[] = "{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"answers\"}";

/* One instance, which is ready, by the platform and by an activator. */
static struct scaled_revision *
begin_with_one_ready(void)
{
	world_teardown(NULL);
	world = (struct world){.now = 0};
	begin_world(1);
	show_instances(NULL);
	connect_peer(1);
	send_line(1, i1_answers);
	settle();
	world.is_unready = true;
	strbuf_clear(&world.calls);
	return reconcile_find(world.r, "a/v1");
}

/* Activators close it without a report, and report when it answers again. */
static void
an_instance_that_is_no_longer_ready_has_to_answer_again(void **state)
{
	static char elsewhere[] = "127.0.0.2";
	const struct scaled_revision *rev = begin_with_one_ready();

	(void)state;
	assert_int_equal(instances_ready(&rev->instances), 1);
	world.v[0].state = INSTANCE_STARTING;
	show_instances(NULL);
	assert_int_equal(instances_ready(&rev->instances), 0);
	assert_int_equal(instances_live(&rev->instances), 1);
	send_line(1, i1_answers);
	assert_int_equal(instances_ready(&rev->instances), 1);
	world.v[0].address = elsewhere;
	show_instances(NULL);
	assert_int_equal(instances_ready(&rev->instances), 0);
	send_line(1, i1_answers);
	show_instances(NULL);
	assert_int_equal(instances_ready(&rev->instances), 1);
	assert_string_equal(strbuf_str(&world.calls), "answers:i1 answers:i1 ");
}

/* An activator may send `answers` before it hears that the platform has taken readiness back. */
static void
where_only_the_platform_says_what_is_ready_answers_do_not_count(void **state)
{
	static char probe[] = "ready";
	const struct scaled_revision *rev = begin_with_one_ready();

	(void)state;
	world.v[0].state = INSTANCE_STARTING;
	world.v[0].probe = probe;
	show_instances(NULL);
	send_line(1, "{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"answers\","
		     "\"served\":true}");
	assert_int_equal(instances_ready(&rev->instances), 0);
	assert_int_equal(instances_live(&rev->instances), 1);
	assert_string_equal(strbuf_str(&world.calls), "served:i1 ");
	world.v[0].probe = NULL; /* its container was started again */
	show_instances(NULL);
	assert_int_equal(instances_ready(&rev->instances), 0);
	world.v[0].probe = probe;
	world.v[0].state = INSTANCE_READY;
	show_instances(NULL);
	assert_int_equal(instances_ready(&rev->instances), 1);
}

/* Such an instance has answered while it was starting, by a probe of ours. */
static void
an_instance_that_begins_to_wait_for_the_platform_is_not_ready(void **state)
{
	static char probe[] = "ready";
	const struct scaled_revision *rev = begin_with_one_ready();

	(void)state;
	world.v[0].state = INSTANCE_STARTING;
	show_instances(NULL);
	send_line(1, i1_answers);
	assert_int_equal(instances_ready(&rev->instances), 1);
	world.v[0].probe = probe;
	show_instances(NULL);
	assert_int_equal(instances_ready(&rev->instances), 0);
}

/* Also of an instance that was ready before this autoscaler began, of which no activator has
 * said that it answers. */
static void
the_driver_hears_what_refuses_and_what_has_served(void **state)
{
	(void)state;
	world_teardown(NULL);
	world = (struct world){.now = 0};
	begin_world(1);
	show_instances(NULL);
	connect_peer(1);
	settle();
	strbuf_clear(&world.calls);
	send_line(1, "{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"refuses\"}");
	assert_string_equal(strbuf_str(&world.calls), "refuses:i1 ");
	send_line(1, "{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"answers\","
		     "\"served\":true}");
	assert_string_equal(strbuf_str(&world.calls), "refuses:i1 answers:i1 served:i1 ");
}

/* A request waits for a start that takes longer than window and grace: both begin with its
 * answer, whatever the averages have of the time in which it was parked. */
static void
after_a_long_wait_idleness_counts_from_the_answer(void **state)
{
	int i;

	(void)state;
	connect_peer(1);
	seconds(70); /* not after a restart */
	world.is_unready = world.peer[1].is_mute = true;
	activate(1, 1);
	settle();
	for (i = 0; i < 12; i++) {
		second();
		send_line(
			1,
			"{\"type\":\"stats\",\"period_ms\":1000,\"revisions\":[{\"name\":\"a/v1\","
			"\"concurrency\":1,\"waiting\":1,\"requests\":0,\"parked\":1}]}");
	}
	assert_int_equal(world.n, 1);
	world.is_unready = false;
	settle();
	settle();
	send_line(1, "{\"type\":\"stats\",\"period_ms\":45,\"revisions\":[{\"name\":\"a/v1\","
		     "\"concurrency\":0.1,\"waiting\":0.1,\"requests\":0,\"parked\":0,"
		     "\"completed\":1,\"latency_ms\":2}]}");
	reconcile_tick(world.r);
	settle();
	assert_int_equal(world.scale, 1);
	world.peer[1] = (struct fake_peer){.is_up = true, .answer = SAYS_DRAINED};
	UNTIL(world.scale == 0, 10);
}

/* The client leaves long before the instance is ready: that is kept for a stable window from
 * when it is ready, so that a client that comes back finds it. */
static void
what_waited_counts_to_the_moment_when_an_instance_is_ready(void **state)
{
	struct scaled_revision *rev = reconcile_find(world.r, "a/v1");

	(void)state;
	connect_peer(1);
	seconds(70); /* not after a restart */
	world.is_unready = true;
	world.peer[1].answer = SAYS_DRAINED;
	activate(1, 1);
	seconds(2);
	world.peer[1].parked = 0;
	seconds(200);
	assert_int_equal(world.n, 1);
	assert_int_equal(rev->wanted.rule, DECIDE_AWAITED);
	send_line(1, "{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"answers\"}");
	seconds(5); /* of a stable window of 6 s */
	assert_int_equal(world.n, 1);
	seconds(2);
	assert_int_equal(world.n, 0);
}

/* … but no longer than start_timeout. */
static void
a_start_that_takes_too_long_is_kept_for_nobody(void **state)
{
	(void)state;
	world.conf.launch.start_timeout = 100 * CLK_S;
	connect_peer(1);
	seconds(70);
	world.is_unready = true;
	world.peer[1].answer = SAYS_DRAINED;
	activate(1, 1);
	seconds(2);
	world.peer[1].parked = 0;
	seconds(90);
	assert_int_equal(world.n, 1);
	seconds(15);
	assert_int_equal(world.n, 0);
}

/* What was learned says that an idle instance goes at once: not while it starts. */
static void
learned_idleness_stops_no_start(void **state)
{
	unsigned k;

	(void)state;
	world.conf.scaling.keep_warm = KEEP_WARM_LEARNED;
	world.conf.scaling.wait_cost = 0;
	world.conf.launch.start_timeout = 100 * CLK_S;
	set_services(1, 0);
	connect_peer(1);
	world.peer[1].answer = SAYS_DRAINED;
	for (k = 0; k < 8; k++) {
		activate(1, 1);
		seconds(2);
		world.peer[1].parked = 0;
		seconds(100);
		assert_int_equal(world.n, 0);
	}
	world.is_unready = true;
	activate(1, 1);
	seconds(2);
	world.peer[1].parked = 0;
	seconds(5);
	assert_int_equal(world.n, 1);
}

static void
a_dry_run_that_ends_refuses_no_longer(void **state)
{
	(void)state;
	world.conf.scaling.dry_run = true;
	set_services(1, 0);
	connect_peer(1);
	activate(1, 1);
	settle();
	assert_true(was_sent("\"reason\":\"dry_run\""));
	forget_sent();
	world.conf.scaling.dry_run = false;
	set_services(1, 0);
	settle();
	assert_true(was_sent("\"type\":\"instances\""));
	assert_false(was_sent("\"reason\":\"dry_run\""));
}

static void
what_is_not_known_is_ignored(void **state)
{
	(void)state;
	connect_peer(1);
	forget_sent();
	send_line(1, "{\"type\":\"activate\",\"revision\":\"no/such\",\"parked\":1,\"seq\":1}");
	send_line(1, "{\"type\":\"drained\",\"token\":\"s0.77\"}");
	send_line(1, "{\"type\":\"busy\",\"token\":\"s0.77\"}");
	send_line(1, "{\"type\":\"stats\",\"period_ms\":1000,\"revisions\":[{\"name\":\"no/such\","
		     "\"concurrency\":1,\"requests\":1,\"parked\":1}]}");
	reconcile_tail(world.r);
	assert_int_equal(world.out.len, 0);
	assert_int_equal(world.calls.len, 0);
}

static void
stats_with_parked_requests_wake_as_well(void **state)
{
	(void)state;
	connect_peer(1);
	world.peer[1].parked = 2;
	report(1);
	reconcile_tail(world.r); /* without a tick */
	assert_string_equal(strbuf_str(&world.calls), "1 ");
}

/* --- views, restarts, ceilings --- */

static void
nothing_is_scaled_before_the_driver_has_shown_its_instances(void **state)
{
	(void)state;
	begin_world(3);
	connect_peer(1);
	activate(1, 1);
	reconcile_tail(world.r);
	second();
	assert_true(was_sent("activating"));
	assert_int_equal(world.calls.len, 0); /* three may run already */
	show_instances(NULL);
	reconcile_tail(world.r);
	assert_string_equal(strbuf_str(&world.calls), "3 ");
}

static void
a_restart_takes_up_what_is_there_and_waits(void **state)
{
	(void)state;
	begin_world(3);
	world.v[0].started_ns = CLK_S; /* ready when first seen, so its start is not measured */
	show_instances(NULL);
	reconcile_tail(world.r);
	assert_true(timing_start_s(&reconcile_find(world.r, "a/v1")->timing) < 0);
	connect_peer(1);
	forget_sent();
	seconds(5);
	assert_int_equal(world.n, 3);
	assert_int_equal(drains_sent(), 0);
	UNTIL(world.n == 0, 20);
}

static void
a_failure_is_passed_on_with_what_is_left_to_wait(void **state)
{
	struct msg_failure f = {.reason = (char[]){"exited"},
				.message = (char[]){"exit status 1"},
				.retry_after_ms = 10000};
	struct scaled_revision *rev = reconcile_find(world.r, "a/v1");
	struct msg_instances m;

	(void)state;
	log_open(LOG_ERROR, LOG_LOGFMT, "t_reconcile");
	connect_peer(1);
	activate(1, 1);
	reconcile_tail(world.r);
	forget_sent();
	show_instances(&f);
	reconcile_tail(world.r);
	assert_true(was_sent("\"failure\":{\"reason\":\"exited\",\"message\":\"exit status 1\","
			     "\"retry_after_ms\":10000}"));
	world.now += 4 * CLK_S; /* for an activator that connects later */
	announce_fill(rev, &m, world.now);
	assert_int_equal(m.failure->retry_after_ms, 6000);
	announce_fini(&m);
	forget_sent();
	show_instances(NULL);
	reconcile_tail(world.r);
	assert_false(was_sent("failure"));
	assert_true(was_sent("instances"));
	assert_int_equal(rev->counts.failures, 1);
}

/* b/v1 never has instances in this world; its set_scale() calls are in world.calls. */
static void
under_a_ceiling_each_gets_one_before_any_gets_two(void **state)
{
	struct scaled_revision *a = reconcile_find(world.r, "a/v1"), *b;

	(void)state;
	log_open(LOG_ERROR, LOG_LOGFMT, "t_reconcile");
	set_services(2, 4);
	b = reconcile_find(world.r, "b/v1");
	show_no_instances("b/v1");
	connect_peer(1);
	world.peer[1].concurrency = 100;
	activate(1, 100);
	UNTIL(world.n == 4, 10);
	forget_sent();
	send_line(1, "{\"type\":\"activate\",\"revision\":\"b/v1\",\"parked\":1,\"seq\":1}");
	world.other_parked = 1;
	world.peer[1].answer = SAYS_NOTHING;
	seconds(2);
	assert_int_equal(a->wanted.n, 3);
	assert_int_equal(b->wanted.n, 1);
	assert_int_equal(a->wanted.rule, DECIDE_MAX_INSTANCES);
	assert_int_equal(world.calls.len, 0); /* no room until an instance of a/v1 is drained */
	world.peer[1].answer = SAYS_DRAINED;
	world.answered = 0;
	settle();
	assert_int_equal(world.scale, 3);
	assert_non_null(strstr(strbuf_str(&world.calls), "b/v1=1"));
	world.other_parked = 0;
	send_line(1, "{\"type\":\"stats\",\"period_ms\":1000,\"revisions\":[]}");
	UNTIL(b->wanted.n == 0, 20);
	UNTIL(a->wanted.n == 4, 5); /* there is room for all again */
}

/* b/v1 gets a request while a/v1 has every instance that is allowed.  While these are in use
 * the activators hear what holds b/v1 back; an idle one gives way at once, though its window
 * is far from empty. */
static void
an_idle_revision_gives_way_to_one_with_requests(void **state)
{
	struct scaled_revision *a, *b;

	(void)state;
	world.conf.scaling.stable_window = 60 * CLK_S;
	set_services(2, 1);
	a = reconcile_find(world.r, "a/v1");
	b = reconcile_find(world.r, "b/v1");
	use_a_beside_b(1);
	seconds(2);
	forget_sent();
	world.other_parked = 1;
	send_line(1, "{\"type\":\"activate\",\"revision\":\"b/v1\",\"parked\":1,\"seq\":1}");
	seconds(5);
	assert_int_equal(a->wanted.n, 1);
	assert_int_equal(b->wanted.n, 0);
	assert_int_equal(b->wanted.rule, DECIDE_MAX_INSTANCES);
	assert_non_null(strstr(b->held_back, "are in use or must stay"));
	assert_true(was_sent("\"reason\":\"max_instances\""));
	assert_true(was_sent("\"parking\":true"));
	assert_int_equal(b->counts.held_backs, 1);
	assert_int_equal(world.calls.len, 0);
	world.peer[1].concurrency = 0;
	UNTIL(b->scale_sent == 1, 3);
	assert_null(b->held_back);
	assert_int_equal(world.scale, 0);
	assert_string_equal(strbuf_str(&world.calls), "0 b/v1=1 ");
}

/* Many short requests: none is in flight at the instants of reports and decisions, but the
 * instance is in use all the same. */
static void
short_requests_are_use_as_well(void **state)
{
	struct scaled_revision *a, *b;
	int i;

	(void)state;
	world.conf.scaling.stable_window = 60 * CLK_S;
	set_services(2, 1);
	a = reconcile_find(world.r, "a/v1");
	b = reconcile_find(world.r, "b/v1");
	use_a_beside_b(0.1);
	seconds(2);
	world.other_parked = 1;
	send_line(1, "{\"type\":\"activate\",\"revision\":\"b/v1\",\"parked\":1,\"seq\":1}");
	for (i = 0; i < 5; i++) {
		report(1);
		world.now += CLK_S * 6 / 10;
		reconcile_tick(world.r);
		settle();
		assert_int_equal(a->wanted.n, 1);
		assert_int_equal(b->wanted.n, 0);
		world.now += CLK_S * 4 / 10;
	}
}

/* The time without an answer is counted from when the only instance is back. */
static void
the_wait_for_answers_begins_anew_with_the_instance(void **state)
{
	struct scaled_revision *a;

	(void)state;
	world.is_unready = true; /* the platform does not say ready */
	connect_peer(1);
	activate(1, 1);
	settle();
	a = reconcile_find(world.r, "a/v1");
	send_line(1, "{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"answers\"}");
	assert_int_equal(a->timing.answering_ns, world.now);
	send_line(1, "{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"refuses\"}");
	world.v[0].started_ns++; /* some change in the view */
	show_instances(NULL);
	assert_int_equal(a->timing.answering_ns, 0);
	world.now += CLK_S;
	send_line(1, "{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"answers\"}");
	assert_int_equal(a->timing.answering_ns, world.now);
	assert_int_equal(a->timing.starts, 1);
}

/* The revision that has waited longest comes first; each wait is counted by itself. */
static void
a_wait_that_ended_does_not_count(void **state)
{
	static const char ask[] =
		"{\"type\":\"activate\",\"revision\":\"b/v1\",\"parked\":1,\"seq\":1}";
	struct scaled_revision *b;
	int64_t first;

	(void)state;
	set_services(2, 1);
	b = reconcile_find(world.r, "b/v1");
	use_a_beside_b(1);
	world.other_parked = 1;
	send_line(1, ask);
	first = world.now;
	seconds(5);
	send_line(1, ask);
	assert_int_equal(b->woken_ns, first);
	world.other_parked = 0;
	seconds(2);
	send_line(1, ask);
	assert_int_equal(b->woken_ns, world.now);
	assert_int_equal(b->scale_sent, 0);
}

/* Plans of learned idleness are made for one revision at a time. */
static void
plans_are_made_in_turn(void **state)
{
	const struct idleness_data idle = {
		.v = {{300, 1}, {300, 2}, {300, 3}}, .n = 3, .number = 3, .idle_ns = -1};
	const struct brain *a, *b;

	(void)state;
	world.conf.scaling.keep_warm = world.other.scaling.keep_warm = KEEP_WARM_LEARNED;
	set_services(2, 0);
	a = reconcile_find(world.r, "a/v1")->brain;
	b = reconcile_find(world.r, "b/v1")->brain;
	brain_import_idleness(reconcile_find(world.r, "a/v1")->brain, &idle, world.now);
	brain_import_idleness(reconcile_find(world.r, "b/v1")->brain, &idle, world.now);
	reconcile_tick(world.r);
	reconcile_tick(world.r);
	assert_true(brain_is_plan_due(a) && brain_is_plan_due(b));
	assert_true(reconcile_plan(world.r));
	assert_int_equal(brain_is_plan_due(a) + brain_is_plan_due(b), 1);
	assert_false(reconcile_plan(world.r));
	assert_false(brain_is_plan_due(a) || brain_is_plan_due(b));
	world.conf.scaling.wait_cost = world.other.scaling.wait_cost = 7; /* a reload */
	reconcile_tick(world.r);
	assert_true(brain_is_plan_due(a) && brain_is_plan_due(b));
	set_services(0, 0); /* what is gone waits no longer */
	assert_false(reconcile_plan(world.r));
}

static void
a_revision_that_is_gone_is_forgotten(void **state)
{
	uint64_t before;

	(void)state;
	connect_peer(1);
	run_with(1);
	world.peer[1].answer = SAYS_NOTHING;
	world.peer[1].concurrency = 0;
	UNTIL(drains_sent() == 1, 20);
	before = decisions();
	assert_true(before > 0);
	set_services(0, 0);
	reconcile_tail(world.r);
	assert_null(reconcile_find(world.r, "a/v1"));
	assert_true(decisions() >= before); /* a counter never falls */
	assert_true(was_sent("resume"));
	show_instances(NULL); /* a view from a moment ago */
	second();
}

/* --- a scale that another client sets --- */

/* kubectl sets the scale of a platform that stores it. */
static void
scale_by_kubectl(uint32_t n)
{
	world.scale = n;
	world.is_held = true;
	settle();
	show_instances(NULL);
	settle();
}

/* 4 slots each; the rest of the clients wait. */
static void
load(double clients, uint32_t in_flight, uint32_t parked)
{
	size_t i;

	world.peer[1].concurrency = clients;
	world.peer[1].parked = parked;
	for (i = 0; i < INSTANCES_MAX; i++)
		world.peer[1].in_flight[i] = 0;
	for (i = 0; i < world.n; i++)
		world.peer[1].in_flight[world.v[i].number] = in_flight / (uint32_t)world.n;
}

static void
a_scale_by_another_client_is_a_floor(void **state)
{
	struct scaled_revision *rev;

	(void)state;
	world.conf.limits.container_concurrency = 4;
	world.conf.launch.foreign_hold = 600 * CLK_S;
	world.conf.launch.foreign_scale = FOREIGN_RESPECT;
	world.has_scale = true;
	set_services(1, 0);
	rev = reconcile_find(world.r, "a/v1");
	connect_peer(1);
	world.peer[1].concurrency = 2;
	activate(1, 1);
	settle();
	world.peer[1].parked = 0;
	seconds(10);
	assert_int_equal(world.n, 1);
	load(3, 3, 0);
	scale_by_kubectl(4);
	seconds(100); /* past any delay of a lower number */
	assert_int_equal(world.n, 4);
	assert_int_equal(rev->wanted.rule, DECIDE_HELD);
	assert_int_equal(rev->decided.wanted, 2); /* what the demand needs, whatever is there */
	assert_string_equal(why_at(&rev->why, 0)->holder, "kubectl");
	load(24, 16, 0); /* the averages want more, but none waits */
	seconds(5);
	assert_int_equal(world.n, 4);
	load(40, 16, 24);
	UNTIL(world.n >= 10, 20);
	assert_false(world.is_held);
	load(3, 3, 0);
	UNTIL(world.n == 4, 200); /* the floor is still there */
	seconds(100);
	assert_int_equal(world.n, 4);
	load(0, 0, 0);
	seconds(590);
	assert_int_equal(world.n, 4);
	UNTIL(world.n == 0, 100);
	assert_null(scaled_holder(rev));
}

static void
a_scale_that_nobody_asked_for_ends(void **state)
{
	(void)state;
	world.conf.launch.foreign_hold = 100 * CLK_S;
	world.conf.launch.foreign_scale = FOREIGN_RESPECT;
	world.has_scale = true;
	set_services(1, 0);
	connect_peer(1);
	seconds(70);
	scale_by_kubectl(3);
	seconds(98);
	assert_int_equal(world.n, 3);
	UNTIL(world.n == 0, 20);
	seconds(100);
	world.conf.launch.foreign_hold = 0; /* for ever */
	set_services(1, 0);
	scale_by_kubectl(3);
	seconds(2000);
	assert_int_equal(world.n, 3);
	scale_by_kubectl(0);
	activate(1, 1); /* from zero at once */
	settle();
	assert_int_equal(world.n, 1);
}

static const struct audit_peer peer = {.pid = 1, .login_uid = (uid_t)-1};

static struct scaled_revision *
revision(void)
{
	return reconcile_find(world.r, "a/v1");
}

static void
what_an_operator_wakes_stays_as_after_a_request(void **state)
{
	struct err e;

	(void)state;
	connect_peer(1);
	show_instances(NULL);
	seconds(2);
	assert_int_equal(reconcile_wake(world.r, revision(), &peer, &e), 0);
	settle();
	assert_int_equal(world.scale, 1);
	assert_int_equal(revision()->wanted.rule, DECIDE_WOKEN);
	UNTIL(revision()->wake_ns == 0, 5);
	assert_int_equal(instances_ready(&revision()->instances), 1);
	seconds(4);
	assert_int_equal(world.scale, 1); /* for a stable window */
	world.peer[1].answer = SAYS_DRAINED;
	UNTIL(world.scale == 0, 120);
}

static void
what_an_operator_wakes_in_vain_is_not_tried_again(void **state)
{
	static char reason[] = "exited", message[] = "exit status 1";
	struct msg_failure f = {.reason = reason, .message = message, .retry_after_ms = 1000};
	struct err e;

	(void)state;
	connect_peer(1);
	world.is_slow = true;
	show_instances(NULL);
	seconds(2);
	assert_int_equal(reconcile_wake(world.r, revision(), &peer, &e), 0);
	settle();
	assert_int_equal(world.scale, 1);
	world.now += CLK_S;
	show_instances(&f);
	UNTIL(world.scale == 0, 5);
}

static void
what_an_operator_puts_to_sleep_sleeps_until_a_request(void **state)
{
	struct err e;

	(void)state;
	world.conf.scaling.min_scale = 1;
	connect_peer(1);
	run_with(2);
	world.peer[1].concurrency = 1;
	world.peer[1].in_flight[1] = 1;
	second();
	assert_int_equal(reconcile_sleep(world.r, revision(), &peer, &e), -1); /* it is in use */
	world.peer[1].concurrency = 0;
	world.peer[1].in_flight[1] = 0;
	world.peer[1].answer = SAYS_DRAINED;
	second();
	assert_int_equal(reconcile_sleep(world.r, revision(), &peer, &e), 0);
	UNTIL(world.scale == 0, 3); /* at once, and not after a stable window */
	seconds(5);
	assert_int_equal(world.scale, 0); /* min_scale does not count */
	activate(1, 1);
	settle();
	assert_true(world.scale >= 1);
	assert_false(revision()->is_asleep);
	world.conf.scaling.min_scale = 0;
}

static void
what_is_not_scaled_is_not_woken(void **state)
{
	struct err e;

	(void)state;
	connect_peer(1);
	world.conf.scaling.dry_run = true;
	set_services(1, 0);
	assert_int_equal(reconcile_wake(world.r, revision(), &peer, &e), -1);
	assert_non_null(strstr(e.text, "dry_run"));
	assert_int_equal(reconcile_sleep(world.r, revision(), &peer, &e), -1);
	world.conf.scaling.dry_run = false;
	set_services(1, 0);
	reconcile_freeze(world.r);
	assert_int_equal(reconcile_wake(world.r, revision(), &peer, &e), -1);
}

static void
after_a_freeze_nothing_is_decided(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(1);
	reconcile_freeze(world.r);
	world.v[0].state = INSTANCE_STOPPING;
	show_instances(NULL);
	reconcile_tail(world.r);
	assert_true(was_sent("\"state\":\"stopping\""));
	forget_sent();
	activate(1, 5);
	reconcile_tail(world.r);
	assert_int_equal(world.out.len, 0);
	assert_int_equal(world.calls.len, 0);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(an_activate_is_acknowledged_before_the_driver_is_asked),
		T(many_activates_of_a_round_are_one_wish),
		T(each_decision_of_a_round_is_counted),
		T(what_the_driver_shows_is_passed_on_once),
		T(an_instance_that_answers_is_ready_and_the_driver_hears_of_it),
		T(an_instance_that_is_no_longer_ready_has_to_answer_again),
		T(where_only_the_platform_says_what_is_ready_answers_do_not_count),
		T(an_instance_that_begins_to_wait_for_the_platform_is_not_ready),
		T(the_driver_hears_what_refuses_and_what_has_served),
		T(after_a_long_wait_idleness_counts_from_the_answer),
		T(what_waited_counts_to_the_moment_when_an_instance_is_ready),
		T(a_start_that_takes_too_long_is_kept_for_nobody),
		T(learned_idleness_stops_no_start),
		T(a_dry_run_that_ends_refuses_no_longer),
		T(what_is_not_known_is_ignored),
		T(stats_with_parked_requests_wake_as_well),
		T(nothing_is_scaled_before_the_driver_has_shown_its_instances),
		T(a_restart_takes_up_what_is_there_and_waits),
		T(a_failure_is_passed_on_with_what_is_left_to_wait),
		T(under_a_ceiling_each_gets_one_before_any_gets_two),
		T(an_idle_revision_gives_way_to_one_with_requests),
		T(short_requests_are_use_as_well),
		T(the_wait_for_answers_begins_anew_with_the_instance),
		T(a_wait_that_ended_does_not_count),
		T(plans_are_made_in_turn),
		T(a_revision_that_is_gone_is_forgotten),
		T(a_scale_by_another_client_is_a_floor),
		T(a_scale_that_nobody_asked_for_ends),
		T(what_an_operator_wakes_stays_as_after_a_request),
		T(what_an_operator_wakes_in_vain_is_not_tried_again),
		T(what_an_operator_puts_to_sleep_sleeps_until_a_request),
		T(what_is_not_scaled_is_not_woken),
		T(after_a_freeze_nothing_is_decided),
	};

	return cmocka_run_group_tests_name("reconcile", tests, NULL, NULL);
}
