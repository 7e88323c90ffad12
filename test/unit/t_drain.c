/* Tokens, who owes an answer, and whom to take away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "autoscaler/drain.h"
#include "autoscaler/victims.h"

static void
all_have_to_answer(void **state)
{
	struct drain_table t;
	struct drain *d;

	(void)state;
	drain_table_init(&t, "s1");
	d = drain_new(&t, &t, NULL, 5);
	assert_ptr_equal(drain_find(&t, d->token), d);
	assert_int_equal(d->state, DRAIN_ASKED);
	drain_ask(d, 1);
	drain_ask(d, 2);
	assert_int_equal(drain_owing(d), 2);
	assert_false(drain_answer(d, 1));
	assert_false(drain_answer(d, 1)); /* twice counts once */
	assert_false(drain_answer(d, 7)); /* was not asked */
	assert_true(drain_answer(d, 2));
	assert_int_equal(d->state, DRAIN_DRAINED);
	drain_issue(d, 9);
	assert_int_equal(d->issued_ns, 9);
	assert_false(drain_answer(d, 2));
	drain_free(&t, &d);
	drain_table_fini(&t);
}

static void
who_comes_late_is_waited_for(void **state)
{
	struct drain_table t;
	struct drain *d;

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
who_leaves_gives_no_answer(void **state)
{
	struct drain_table t;
	struct drain *d;

	(void)state;
	drain_table_init(&t, "s1");
	d = drain_new(&t, &t, NULL, 0);
	drain_ask(d, 1);
	drain_ask(d, 2);
	drain_answer(d, 1);
	drain_forget(d, 2);
	assert_int_equal(d->state, DRAIN_ASKED); /* its owner decides what that means */
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
		struct drain *d = drain_new(&t, &t, NULL, 0);

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
	struct victim v[] = {{"a", 3, true, 10}, {"b", 0, true, 10},  {"c", 0, false, 1},
			     {"d", 0, true, 20}, {"e", 1, false, 99}, {"f", 0, true, 20}};
	char order[8] = "";
	size_t i;

	(void)state;
	victims_sort(v, 6);
	for (i = 0; i < 6; i++)
		strcat(order, v[i].id);
	assert_string_equal(order, "cdfbea");
	victims_sort(NULL, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_have_to_answer),
		cmocka_unit_test(who_comes_late_is_waited_for),
		cmocka_unit_test(who_leaves_gives_no_answer),
		cmocka_unit_test(no_token_comes_twice),
		cmocka_unit_test(the_least_busy_go_first),
	};

	return cmocka_run_group_tests_name("drain", tests, NULL, NULL);
}
