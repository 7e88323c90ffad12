/* wanted: from the decision to the number that the driver gets: each bound, in its order. */
#include "unit.h"

#include "autoscaler/reconcile/wanted.h"
#include "common/clk.h"

static struct scaling scaling;
static struct decide_view view;
static struct wanted_facts facts;
static struct wanted w;

static int
setup(void **state)
{
	(void)state;
	scaling = (struct scaling){.enable_scale_to_zero = true};
	view = (struct decide_view){.idle_s = 60};
	facts = (struct wanted_facts){.scaling = &scaling, .view = &view, .is_heard = true};
	w = (struct wanted){.n = 0};
	return 0;
}

static uint32_t
claim(uint32_t decided, enum decide_rule rule)
{
	const struct decide_out out = {.wanted = decided, .is_known = true, .rule = rule};
	uint32_t n = wanted_claim(&w, &out, &facts);

	wanted_allot(&w, WANTED_ALL, &facts);
	return n;
}

static void
expect(uint32_t n, enum decide_rule rule)
{
	assert_int_equal(w.n, n);
	assert_string_equal(decide_rule_name(w.rule), decide_rule_name(rule));
}

static void
without_bounds_the_decision_is_wanted(void **state)
{
	(void)state;
	facts.has = 7;
	claim(3, DECIDE_STABLE);
	expect(3, DECIDE_STABLE);
	assert_int_equal(w.claim, 3);
}

static void
without_data_it_stays_as_it_is(void **state)
{
	const struct decide_out out = {.wanted = 9, .rule = DECIDE_NO_DATA};

	(void)state;
	facts.has = 7;
	wanted_claim(&w, &out, &facts);
	wanted_allot(&w, WANTED_ALL, &facts);
	expect(7, DECIDE_NO_DATA);
}

static void
a_revision_that_is_leaving_gets_nothing_new(void **state)
{
	(void)state;
	facts.is_leaving = true;
	facts.has = 2;
	view.in_flight = 1;
	claim(5, DECIDE_STABLE);
	expect(2, DECIDE_LEAVING);
	view.in_flight = 0;
	claim(5, DECIDE_MIN_SCALE);
	expect(0, DECIDE_LEAVING);
	facts.is_activation_pending = true; /* of a request that came before the stop */
	claim(5, DECIDE_MIN_SCALE);
	expect(1, DECIDE_IN_USE);
}

static void
while_an_activator_is_not_heard_nothing_goes(void **state)
{
	(void)state;
	facts.is_heard = false;
	facts.has = 4;
	claim(1, DECIDE_STABLE);
	expect(4, DECIDE_UNHEARD);
	wanted_allot(&w, 2, &facts); /* for any claims of others */
	expect(4, DECIDE_UNHEARD);
	claim(6, DECIDE_PANIC);
	expect(6, DECIDE_PANIC);
}

static void
max_instances_bounds_the_claim(void **state)
{
	(void)state;
	claim(6, DECIDE_BACKLOG);
	assert_true(wanted_allot(&w, 2, &facts));
	assert_false(wanted_allot(&w, 2, &facts));
	expect(2, DECIDE_MAX_INSTANCES);
	assert_int_equal(w.claim, 6);
	assert_true(wanted_allot(&w, 6, &facts));
	expect(6, DECIDE_BACKLOG);
}

static void
an_idle_revision_needs_only_min_scale(void **state)
{
	(void)state;
	claim(3, DECIDE_STABLE);
	assert_int_equal(w.need, 0);
	scaling.min_scale = 2;
	claim(3, DECIDE_STABLE);
	assert_int_equal(w.need, 2);
	scaling.min_scale = 0;
	view.busy_lease_s = 1;
	claim(3, DECIDE_STABLE);
	assert_int_equal(w.need, 1);
	view.idle_s = 1; /* a late report may show that it is in use */
	claim(3, DECIDE_STABLE);
	assert_int_equal(w.need, 3);
	view = (struct decide_view){.idle_s = 60, .parked = 1};
	claim(3, DECIDE_STABLE);
	assert_int_equal(w.need, 3);
}

static void
a_dry_run_claims_nothing(void **state)
{
	(void)state;
	facts.is_dry = true;
	facts.has = 4; /* virtual ones */
	facts.is_heard = false;
	assert_int_equal(claim(2, DECIDE_STABLE), 4);
	expect(0, DECIDE_UNHEARD);
	assert_int_equal(w.claim, 0);
	assert_int_equal(w.need, 0);
}

static uint32_t
scale(uint32_t n, uint32_t scale_sent, uint32_t room)
{
	w.n = n;
	return wanted_scale(&w, scale_sent, 0, room);
}

static void
room_bounds_the_way_up_alone(void **state)
{
	(void)state;
	assert_int_equal(scale(5, 2, 3), 3);
	assert_int_equal(scale(5, 2, 9), 5);
	assert_int_equal(scale(5, 2, 1), 2);
	assert_int_equal(scale(1, 2, 0), 1);
}

/* What another client has set is the least, and the most until requests wait. */
static void
what_another_client_has_set_is_a_floor(void **state)
{
	(void)state;
	facts.has = facts.held = 4;
	facts.is_held = true;
	claim(1, DECIDE_STABLE);
	expect(4, DECIDE_HELD);
	assert_int_equal(w.need,
			 0); /* for others it may not be given up either, but it is no need */
	claim(0, DECIDE_IDLE);
	expect(4, DECIDE_HELD);
	wanted_allot(&w, 2, &facts);
	expect(4, DECIDE_HELD);
	claim(6, DECIDE_BACKLOG);
	expect(6, DECIDE_BACKLOG);
	facts.is_held_low = true;
	claim(6, DECIDE_STABLE);
	expect(4, DECIDE_HELD);
	claim(4, DECIDE_STABLE);
	expect(4, DECIDE_STABLE);
	facts.held = 0; /* it was set to zero */
	claim(1, DECIDE_MIN_SCALE);
	expect(0, DECIDE_HELD);
	facts.is_held_low = false;
	claim(1, DECIDE_ACTIVATION);
	expect(1, DECIDE_ACTIVATION);
}

static void
an_operator_wakes_and_puts_to_sleep(void **state)
{
	(void)state;
	facts.is_woken = true;
	claim(0, DECIDE_IDLE);
	expect(1, DECIDE_WOKEN);
	assert_int_equal(w.need, 1); /* it is waited for */
	claim(3, DECIDE_MIN_SCALE);
	expect(3, DECIDE_MIN_SCALE);
	facts.is_woken = false;
	facts.is_asleep = true;
	facts.has = 3;
	claim(3, DECIDE_MIN_SCALE);
	expect(0, DECIDE_ASLEEP);
	facts.is_heard = false; /* no instance is stopped on missing data, though */
	claim(3, DECIDE_MIN_SCALE);
	expect(3, DECIDE_UNHEARD);
	facts.is_heard = true;
	view.in_flight = 1; /* requests come first */
	claim(1, DECIDE_IN_USE);
	expect(1, DECIDE_IN_USE);
	view.in_flight = 0;
	facts.is_activation_pending = true;
	claim(0, DECIDE_IDLE);
	expect(1, DECIDE_IN_USE);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		T(without_bounds_the_decision_is_wanted),
		T(without_data_it_stays_as_it_is),
		T(a_revision_that_is_leaving_gets_nothing_new),
		T(while_an_activator_is_not_heard_nothing_goes),
		T(max_instances_bounds_the_claim),
		T(an_idle_revision_needs_only_min_scale),
		T(a_dry_run_claims_nothing),
		T(room_bounds_the_way_up_alone),
		T(what_another_client_has_set_is_a_floor),
		T(an_operator_wakes_and_puts_to_sleep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
