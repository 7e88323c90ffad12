/* fleet: which instances of a revision count, and which one is stopped next. */
#include "test/unit/unit.h"

#include "autoscaler/process/fleet.h"

static struct member *
add(struct fleet *f, const char *id, enum member_phase phase, bool is_ready)
{
	struct member *m = fleet_add(f, id, 20000);

	m->phase = phase;
	m->is_ready = is_ready;
	m->ready_ns = is_ready;
	return m;
}

static void
only_starting_and_running_count(void **state)
{
	struct fleet *f = fleet_new("a/v1");

	(void)state;
	add(f, "1", MEMBER_STARTING, false);
	add(f, "2", MEMBER_RUNNING, false);
	add(f, "3", MEMBER_STOPPING, true);
	add(f, "4", MEMBER_ENDED, true);
	assert_int_equal(fleet_current(f), 2);
	assert_false(fleet_has_ready(f));
	fleet_find(f, "2")->is_ready = true;
	assert_true(fleet_has_ready(f));
	fleet_free(&f);
}

static void
order_of_going(void **state)
{
	static const char *const victims[] = {"gone", "2"};
	struct fleet *f = fleet_new("a/v1");
	const char *order[] = {"2", "4", "3", "5", "1"};
	size_t i;

	(void)state;
	add(f, "1", MEMBER_RUNNING, true);
	add(f, "2", MEMBER_RUNNING, true);
	add(f, "3", MEMBER_STARTING, false);
	add(f, "4", MEMBER_RUNNING, false);
	add(f, "5", MEMBER_RUNNING, true);
	fleet_set_scale(f, 0, victims, ARRAY_LEN(victims));
	for (i = 0; i < ARRAY_LEN(order); i++) {
		struct member *m = fleet_next_victim(f, false);

		assert_string_equal(m->id, order[i]);
		m->phase = MEMBER_STOPPING;
	}
	assert_null(fleet_next_victim(f, false));
	fleet_free(&f);
}

static void
one_at_a_time_until_one_is_proven(void **state)
{
	struct fleet *f = fleet_new("a/v1");
	struct member *m;

	(void)state;
	fleet_set_scale(f, 7, NULL, 0);
	assert_int_equal(fleet_permitted(f, 1), 7);
	crash_ended(&f->crash, CRASH_STARTING, 0, "exited", 1, 0);
	assert_int_equal(fleet_permitted(f, 1), 1);
	m = add(f, "1", MEMBER_RUNNING, true);
	assert_int_equal(fleet_permitted(f, 1), 1); /* its port is open, and that is all */
	m->has_served = true;
	assert_int_equal(fleet_permitted(f, 1), 7);
	m->is_ready = false;
	fleet_set_scale(f, 0, NULL, 0);
	assert_int_equal(fleet_permitted(f, 1), 0);
	fleet_free(&f);
}

static void
a_calm_life_is_a_proof(void **state)
{
	struct fleet *f = fleet_new("a/v1");
	struct member *m = add(f, "1", MEMBER_RUNNING, true);

	(void)state;
	fleet_set_scale(f, 7, NULL, 0);
	assert_int_equal(fleet_due_ns(f, 1), 0);
	crash_ended(&f->crash, CRASH_UNPROVEN, 0, "exited", 1, 0);
	assert_int_equal(fleet_due_ns(f, 1), m->ready_ns + CRASH_CALM_NS);
	assert_int_equal(fleet_stage(m, CRASH_CALM_NS), CRASH_UNPROVEN);
	assert_int_equal(fleet_stage(m, m->ready_ns + CRASH_CALM_NS), CRASH_PROVEN);
	assert_int_equal(fleet_permitted(f, CRASH_CALM_NS), 1);
	assert_int_equal(fleet_permitted(f, m->ready_ns + CRASH_CALM_NS), 7);
	m->is_ready = false; /* it refuses */
	assert_int_equal(fleet_due_ns(f, 1), 0);
	assert_int_equal(fleet_permitted(f, m->ready_ns + CRASH_CALM_NS), 1);
	fleet_free(&f);
}

static void
a_start_may_take_start_timeout(void **state)
{
	struct revision_conf conf = {.launch.start_timeout = 100};
	struct fleet *f = fleet_new("a/v1");
	struct member *m = add(f, "1", MEMBER_RUNNING, false);

	(void)state;
	m->added_ns = 1000;
	assert_int_equal(fleet_due_ns(f, 1), 0); /* the revision is not configured */
	f->conf = &conf;
	assert_int_equal(fleet_due_ns(f, 1), 1100);
	assert_int_equal(fleet_due_ns(f, 1050), 1150); /* no activator could say that it answers */
	assert_int_equal(fleet_due_ns(f, 0), 0);
	conf.launch.start_timeout = 0;
	assert_int_equal(fleet_due_ns(f, 1), 0);
	conf.launch.start_timeout = 100;
	m->ready_ns = 1010;
	assert_int_equal(fleet_due_ns(f, 1), 0);
	m->ready_ns = 0;
	m->phase = MEMBER_STOPPING;
	assert_int_equal(fleet_due_ns(f, 1), 0);
	fleet_free(&f);
}

static struct member *
add_with(struct fleet *f, const char *id, const char *launch, bool is_ready)
{
	struct member *m = add(f, id, MEMBER_RUNNING, is_ready);

	m->launch = xstrdup(launch);
	return m;
}

/* Another command: one more than the scale at a time, and the old ones until others are ready. */
static void
outdated_members_are_replaced_one_by_one(void **state)
{
	struct fleet *f = fleet_new("a/v1");
	struct member *old, *new;
	struct driver_view v;

	(void)state;
	f->launch = xstrdup("new");
	fleet_set_scale(f, 2, NULL, 0);
	old = add_with(f, "1", "old", true);
	add_with(f, "2", "old", true);
	assert_int_equal(fleet_current(f), 0);
	assert_int_equal(fleet_outdated(f), 2);
	assert_int_equal(fleet_permitted(f, 1), 1);
	assert_int_equal(fleet_excess(f), 0);
	new = add_with(f, "3", "new", false);
	v = fleet_view(f, true);
	assert_true(v.v[2].is_spare && !v.v[0].is_spare && !v.v[1].is_spare);
	new->is_ready = true;
	assert_int_equal(fleet_excess(f), 1);
	assert_string_equal(fleet_next_victim(f, true)->id, "2");
	assert_string_equal(fleet_next_victim(f, false)->id, "3");
	old->is_retired = true;
	v = fleet_view(f, true);
	assert_true(v.v[0].is_retired && !v.v[2].is_spare);
	assert_int_equal(v.v[0].state, INSTANCE_READY);
	assert_int_equal(fleet_outdated(f), 1);
	assert_int_equal(fleet_excess(f), 0);
	assert_int_equal(fleet_permitted(f, 1), 2);
	fleet_set_scale(f, 0, NULL, 0);
	assert_int_equal(fleet_excess(f), 1);
	fleet_free(&f);
}

/* One that works with the old command proves nothing for the new one. */
static void
a_new_command_has_to_prove_itself(void **state)
{
	struct fleet *f = fleet_new("a/v1");

	(void)state;
	f->launch = xstrdup("new");
	fleet_set_scale(f, 9, NULL, 0);
	add_with(f, "1", "old", true)->has_served = true;
	crash_ended(&f->crash, CRASH_STARTING, 0, "exited", 1, 0);
	assert_int_equal(fleet_permitted(f, 1), 1);
	assert_true(fleet_has_ready(f)); /* so clients hear of no failure */
	fleet_free(&f);
}

static void
view_shows_what_there_is(void **state)
{
	struct fleet *f = fleet_new("a/v1");
	struct driver_view v;

	(void)state;
	v = fleet_view(f, false);
	assert_false(v.is_known);
	assert_int_equal(v.n, 0);
	add(f, "1", MEMBER_STARTING, false);
	add(f, "2", MEMBER_ENDED, true);
	add(f, "3", MEMBER_STOPPING, true);
	add(f, "4", MEMBER_RUNNING, true);
	v = fleet_view(f, true);
	assert_int_equal(v.n, 3);
	assert_string_equal(v.v[0].id, "1");
	assert_int_equal(v.v[0].state, INSTANCE_STARTING);
	assert_int_equal(v.v[1].state, INSTANCE_STOPPING);
	assert_int_equal(v.v[2].state, INSTANCE_READY);
	assert_string_equal(v.v[2].address, "127.0.0.1");
	fleet_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_starting_and_running_count),
		cmocka_unit_test(order_of_going),
		cmocka_unit_test(one_at_a_time_until_one_is_proven),
		cmocka_unit_test(a_calm_life_is_a_proof),
		cmocka_unit_test(a_start_may_take_start_timeout),
		cmocka_unit_test(outdated_members_are_replaced_one_by_one),
		cmocka_unit_test(a_new_command_has_to_prove_itself),
		cmocka_unit_test(view_shows_what_there_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
