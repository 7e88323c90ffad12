/* decide in a closed loop with a platform on which others act as well: rollouts with a surge of
 * 25 and 100 percent, that go on, pause or fail; a pod autoscaler; a second autoscaler; a node
 * that is drained; a restart of ours.  Throughout, requests are parked.  What is wanted is what
 * the demand needs, whatever is there. */
#include "test/unit/unit.h"

#include <math.h>

#include "autoscaler/brain/decide.h"
#include "common/clk.h"

#define CLIENTS 12 /* of which each has a request in flight or parked all the time */
#define LIMIT 4	   /* container_concurrency */
#define NEEDED 5   /* CLIENTS / (LIMIT * target_utilization), rounded up */
#define START_S 3

enum event { QUIET, ROLLOUT, PAUSED_ROLLOUT, FAILING_ROLLOUT, POD_AUTOSCALER, DOUBLER, NODE_DRAIN };

/* A workload with so many replicas, and its pods. */
struct platform {
	enum event event;
	double surge;
	uint32_t scale;
	uint32_t old, new; /* ready pods of both templates */
	uint32_t starting; /* pods, ready when starting_s is over */
	uint32_t starting_s;
	bool is_held; /* another client has set the scale */
};

static const struct scaling scaling = {.metric = METRIC_CONCURRENCY,
				       .target_utilization = 70,
				       .activation_scale = 1,
				       .enable_scale_to_zero = true,
				       .stable_window = 60 * CLK_S,
				       .panic_window_percentage = 10,
				       .panic_threshold_percentage = 200,
				       .max_scale_up_rate = 1000,
				       .max_scale_down_rate = 1.1};

/* The pods that the controllers of the platform would have now. */
static uint32_t
pods_aimed_for(const struct platform *p)
{
	bool is_rolling = p->event == ROLLOUT || p->event == PAUSED_ROLLOUT ||
			  p->event == FAILING_ROLLOUT;

	return p->scale + (is_rolling ? (uint32_t)ceil(p->surge * p->scale) : 0);
}

/* One second of the platform's controllers. */
static void
run_controllers(struct platform *p, int second)
{
	uint32_t pods = p->old + p->new + p->starting, aim = pods_aimed_for(p);

	if (p->event == NODE_DRAIN && second % 10 == 0)
		p->old = p->old > 2 ? p->old - 2 : 0;
	if (p->starting > 0 && p->event != FAILING_ROLLOUT && ++p->starting_s >= START_S) {
		p->new += p->starting;
		p->starting = 0;
	}
	if (aim > pods) {
		p->starting_s = p->starting > 0 ? p->starting_s : 0;
		p->starting += aim - pods;
	}
	for (; pods > aim && p->old + p->new > p->scale; pods--)
		p->old > 0 ? p->old-- : p->new --;
	if (p->event == ROLLOUT && p->old > 0 && p->new > 0 && second % 2 == 0)
		p->old--; /* the next one is replaced */
}

/* Another client sets the scale. */
static void
set_by_others(struct platform *p, uint32_t wanted, int second)
{
	uint32_t busy = MIN(p->scale * LIMIT, (uint32_t)CLIENTS);

	if (p->event == POD_AUTOSCALER && second % 15 == 0) /* aims for half of the slots */
		p->scale = MAX((uint32_t)ceil(busy / (LIMIT * 0.5)), 1);
	else if (p->event == DOUBLER && second % 5 == 0)
		p->scale = MIN(2 * wanted, 1000u);
	else
		return;
	p->is_held = true;
}

static struct decide_view
look_at(const struct platform *p, uint32_t clients)
{
	uint32_t ready = p->old + p->new;
	uint32_t in_flight = clients > 2 ? MIN(ready * LIMIT, clients - 2) : clients;

	return (struct decide_view){.has_stable = true,
				    .has_panic = true,
				    .stable = clients,
				    .panic = clients,
				    .idle_s = clients > 0 ? 0 : 61,
				    .ready = ready,
				    .starting = p->starting,
				    .scale = p->scale,
				    .is_held = p->is_held,
				    .is_replacing = true,
				    .parked = clients - in_flight,
				    .in_flight = in_flight,
				    .container_concurrency = LIMIT,
				    .arrivals = in_flight / 0.1,
				    .latency_s = 0.1,
				    .start_s = START_S,
				    .learned_keep_s = -1};
}

/* Ten minutes; the event begins after one. */
static void
play(enum event event, double surge, bool is_restarted)
{
	struct platform p = {.scale = NEEDED, .old = NEEDED, .surge = surge};
	struct decide_state *st = decide_state_new();
	int64_t now = 1000 * CLK_S;
	int second;

	for (second = 1; second < 600; second++, now += CLK_S) {
		struct decide_view v = look_at(&p, CLIENTS);
		struct decide_out o;

		if (is_restarted && second == 120) {
			decide_state_free(&st);
			st = decide_state_new();
			p.is_held = false; /* as a new process sees it */
		}
		v.has_just_started = is_restarted && second >= 120 && second < 180;
		v.adopted = p.scale;
		o = decide(&scaling, &v, st, now);
		if (second >= 10 && (o.wanted < NEEDED || o.wanted > NEEDED + 1) &&
		    !v.has_just_started)
			fail_msg("event %d, surge %g, second %d: %u wanted by %s, of %u ready and "
				 "%u starting, scale %u",
				 event, surge, second, o.wanted, decide_rule_name(o.rule), v.ready,
				 v.starting, v.scale);
		if (!p.is_held)
			p.scale = o.wanted;
		p.event = second >= 60 ? event : QUIET;
		set_by_others(&p, o.wanted, second);
		run_controllers(&p, second);
	}
	p.is_held = false;
	for (second = 0; second < 90; second++, now += CLK_S) { /* the clients are gone */
		struct decide_view v = look_at(&p, 0);

		p.scale = decide(&scaling, &v, st, now).wanted;
		run_controllers(&p, second);
	}
	assert_int_equal(p.scale, 0);
	decide_state_free(&st);
}

static void
a_rollout_changes_nothing(void **state)
{
	(void)state;
	play(ROLLOUT, 0.25, false);
	play(ROLLOUT, 1, false);
	play(PAUSED_ROLLOUT, 0.25, false);
	play(PAUSED_ROLLOUT, 1, false);
	play(FAILING_ROLLOUT, 0.25, false);
	play(FAILING_ROLLOUT, 1, false);
}

static void
another_autoscaler_changes_nothing(void **state)
{
	(void)state;
	play(POD_AUTOSCALER, 0, false);
	play(DOUBLER, 0, false);
}

static void
a_drained_node_changes_nothing(void **state)
{
	(void)state;
	play(NODE_DRAIN, 0, false);
}

static void
a_restart_in_the_middle_changes_nothing(void **state)
{
	(void)state;
	play(QUIET, 0, true);
	play(ROLLOUT, 0.25, true);
	play(ROLLOUT, 1, true);
	play(FAILING_ROLLOUT, 1, true);
	play(NODE_DRAIN, 0, true);
}

/* The last pod of an idle service is evicted within the stable window: it is still wanted, since
 * the platform replaces it.  One that never answered, for requests that are gone, is not. */
static void
an_evicted_pod_is_still_wanted(void **state)
{
	struct decide_state *st = decide_state_new();
	struct platform p = {.scale = 1, .old = 1};
	struct decide_view v = look_at(&p, 0);

	(void)state;
	v.stable = 0.5;
	v.idle_s = 20;
	assert_int_equal(decide(&scaling, &v, st, CLK_S).wanted, 1);
	v.ready = 0;
	assert_int_equal(decide(&scaling, &v, st, 2 * CLK_S).wanted, 1);
	v.is_replacing = false; /* a process that has ended */
	assert_int_equal(decide(&scaling, &v, st, 3 * CLK_S).wanted, 0);
	v.is_replacing = true;
	assert_int_equal(decide(&scaling, &v, st, 4 * CLK_S).wanted, 0);
	decide_state_free(&st);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rollout_changes_nothing),
		cmocka_unit_test(another_autoscaler_changes_nothing),
		cmocka_unit_test(a_drained_node_changes_nothing),
		cmocka_unit_test(a_restart_in_the_middle_changes_nothing),
		cmocka_unit_test(an_evicted_pod_is_still_wanted),
	};

	return cmocka_run_group_tests_name("decide_loops", tests, NULL, NULL);
}
