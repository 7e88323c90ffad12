/* The bound of an owner over the instances of its services, on simulated time. */
#include "test/unit/reconcile_world.h"

#include "autoscaler/reconcile/reconcile.h"

/* An owner's bound holds back what max_instances would let start, and what it bounds is said. */
static void
an_owner_is_bounded_beside_all_others(void **state)
{
	struct owner_conf owner = {.name = (char[]){"web"}, .max_instances = 1};
	struct reconcile_owner seen;
	struct scaled_revision *a, *b;
	size_t at = 0;

	(void)state;
	set_owned_services(2, 10, &owner);
	a = reconcile_find(world.r, "a/v1");
	b = reconcile_find(world.r, "b/v1");
	use_a_beside_b(1);
	seconds(2);
	world.other_parked = 1;
	send_line(1, "{\"type\":\"activate\",\"revision\":\"b/v1\",\"parked\":1,\"seq\":1}");
	seconds(5);
	assert_int_equal(a->wanted.n, 1);
	assert_int_equal(b->wanted.n, 0);
	assert_int_equal(b->wanted.rule, DECIDE_OWNER);
	assert_non_null(strstr(b->held_back, "max_instances = 1 of the owner web is reached"));
	assert_true(reconcile_next_owner(world.r, &at, &seen));
	assert_string_equal(seen.name, "web");
	assert_int_equal(seen.instances, 1);
	assert_int_equal(seen.wanted, 2);
	assert_false(reconcile_next_owner(world.r, &at, &seen));
	owner.max_instances = 2;
	set_owned_services(2, 10, &owner);
	UNTIL(b->scale_sent == 1, 3);
	assert_null(b->held_back);
	owner.max_instances = 1;
	set_owned_services(2, 10, &owner); /* the revisions keep what is in use … */
	at = 0;
	assert_true(reconcile_next_owner(world.r, &at, &seen));
	assert_int_equal(seen.instances, 2);
	owner.max_instances = 0;
	set_owned_services(2, 10, &owner); /* … and no bound is none */
	at = 0;
	assert_false(reconcile_next_owner(world.r, &at, &seen));
	set_services(2, 1);
	seconds(1);
	set_services(2, 0);
	seconds(1);
	assert_int_equal(b->wanted.n, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(
		an_owner_is_bounded_beside_all_others, world_setup, world_teardown)};

	return cmocka_run_group_tests_name("owner", tests, NULL, NULL);
}
