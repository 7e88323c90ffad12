/* drain: tokens, which activators have to answer, and which instances to stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "autoscaler/brain/victims.h"
#include "autoscaler/reconcile/drain.h"

static void
all_have_to_answer(void **state)
{
	struct drain_table t;
	struct drain_request *d;

	(void)state;
	drain_table_init(&t, "s1");
	d = drain_new(&t, &t, NULL, 5);
	assert_ptr_equal(drain_find(&t, d->token), d);
	assert_int_equal(d->state, DRAIN_ASKED);
	drain_ask(d, 1);
	drain_ask(d, 2);
	assert_int_equal(drain_owing(d), 2);
	assert_false(drain_answer(d, 1));
	assert_false(drain_answer(d, 1)); /* a second answer does not count */
	assert_false(drain_answer(d, 7)); /* this activator was not asked */
	assert_true(drain_answer(d, 2));
	assert_int_equal(d->state, DRAIN_DRAINED);
	drain_issue(d, 9);
	assert_int_equal(d->issued_ns, 9);
	assert_false(drain_answer(d, 2));
	drain_free(&t, &d);
	drain_table_fini(&t);
}

static void
an_activator_that_connects_meanwhile_is_asked_too(void **state)
{
	struct drain_table t;
	struct drain_request *d;

	(void)state;
	drain_table_init(&t, "s1");
	d = drain_new(&t, &t, "i1", 0);
	drain_ask(d, 1);
	assert_true(drain_answer(d, 1));
	drain_ask(d, 2);
	assert_int_equal(d->state, DRAIN_ASKED);
	assert_true(drain_answer(d, 2));
	drain_free(&t, &d);
	drain_table_fini(&t);
}

static void
a_forgotten_activator_gives_no_answer(void **state)
{
	struct drain_table t;
	struct drain_request *d;

	(void)state;
	drain_table_init(&t, "s1");
	d = drain_new(&t, &t, NULL, 0);
	drain_ask(d, 1);
	drain_ask(d, 2);
	drain_answer(d, 1);
	drain_forget(d, 2);
	assert_int_equal(d->state, DRAIN_ASKED); /* the owner decides what that means */
	assert_false(drain_is_asked(d, 2));
	drain_give_up(d);
	assert_int_equal(d->state, DRAIN_DRAINED);
	drain_free(&t, &d);
	drain_table_fini(&t);
}

static void
no_token_comes_twice(void **state)
{
	struct drain_table t;
	char last[64] = "";
	int i;

	(void)state;
	drain_table_init(&t, "s1");
	for (i = 0; i < 100; i++) {
		struct drain_request *d = drain_new(&t, &t, NULL, 0);

		assert_string_not_equal(d->token, last);
		assert_memory_equal(d->token, "s1.", 3);
		strcpy(last, d->token);
		drain_free(&t, &d);
		assert_null(drain_find(&t, last));
	}
	drain_table_fini(&t);
}

static void
the_least_busy_go_first(void **state)
{
	struct victim v[] = {
		{.id = "a", .in_flight = 3, .is_ready = true, .seen_ns = 10},
		{.id = "b", .is_ready = true, .seen_ns = 10},
		{.id = "c", .seen_ns = 1},
		{.id = "d", .is_ready = true, .seen_ns = 20},
		{.id = "e", .in_flight = 1, .seen_ns = 99},
		{.id = "f", .is_ready = true, .seen_ns = 20},
	};
	char order[8] = "";
	size_t i;

	(void)state;
	victims_sort(v, 6);
	for (i = 0; i < 6; i++)
		strcat(order, v[i].id);
	assert_string_equal(order, "cdfbea");
	victims_sort(NULL, 0);
}

/* A StatefulSet stops the highest ordinals, whatever their load. */
static void
where_the_platform_chooses_its_choice_goes_first(void **state)
{
	struct victim v[] = {
		{.id = "web-0", .removal_order = 1},
		{.id = "web-2", .removal_order = 3, .in_flight = 9, .is_ready = true},
		{.id = "web-1", .removal_order = 2, .is_ready = true},
	};

	(void)state;
	victims_sort(v, 3);
	assert_string_equal(v[0].id, "web-2");
	assert_string_equal(v[1].id, "web-1");
	assert_string_equal(v[2].id, "web-0");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_have_to_answer),
		cmocka_unit_test(an_activator_that_connects_meanwhile_is_asked_too),
		cmocka_unit_test(a_forgotten_activator_gives_no_answer),
		cmocka_unit_test(no_token_comes_twice),
		cmocka_unit_test(the_least_busy_go_first),
		cmocka_unit_test(where_the_platform_chooses_its_choice_goes_first),
	};

	return cmocka_run_group_tests_name("drain", tests, NULL, NULL);
}
