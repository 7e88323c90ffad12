/* crash: how the end of an instance delays the next start. */
#include "test/unit/unit.h"

#include <sys/wait.h>

#include "autoscaler/keeper/crash.h"
#include "common/clk.h"

#define HOW "exited with status 3"

static void
first_early_end_is_forgiven(void **state)
{
	struct crash c;

	(void)state;
	crash_init(&c);
	crash_ended(&c, CRASH_STARTING, CLK_MS, HOW, CLK_S, 0);
	assert_false(c.is_failed);
	assert_int_equal(crash_wait(&c, CLK_S), 0);
}

static void
second_in_a_row_is_a_failure_until_the_back_off_is_over(void **state)
{
	struct crash c;

	(void)state;
	crash_init(&c);
	crash_ended(&c, CRASH_STARTING, CLK_MS, HOW, CLK_S, 0);
	crash_ended(&c, CRASH_STARTING, CLK_MS, HOW, CLK_S, UINT32_MAX);
	assert_true(c.is_failed);
	assert_string_equal(c.reason, "exited");
	assert_string_equal(c.message, HOW " before it was ready");
	assert_int_equal(crash_wait(&c, CLK_S), CRASH_BACKOFF_FIRST_NS);
	assert_true(c.is_failed);
	assert_int_equal(crash_wait(&c, CLK_S + CRASH_BACKOFF_FIRST_NS), 0);
	assert_false(c.is_failed);
}

static void
back_off_grows_to_its_bound(void **state)
{
	struct crash c;
	int64_t now = CLK_S, wait = 0, before = 0;
	int i;

	(void)state;
	crash_init(&c);
	crash_ended(&c, CRASH_STARTING, 0, HOW, now, 0);
	for (i = 0; i < 20; i++) {
		crash_ended(&c, CRASH_STARTING, 0, HOW, now, UINT32_MAX);
		wait = crash_wait(&c, now);
		assert_true(wait >= before && wait <= CRASH_BACKOFF_MOST_NS);
		now += wait;
		before = wait;
	}
	assert_int_equal(wait, CRASH_BACKOFF_MOST_NS);
}

static void
a_proof_forgives(void **state)
{
	struct crash c;

	(void)state;
	crash_init(&c);
	crash_ended(&c, CRASH_STARTING, 0, HOW, CLK_S, 0);
	crash_ended(&c, CRASH_STARTING, 0, HOW, CLK_S, 0);
	crash_proven(&c);
	assert_false(c.is_failed);
	assert_int_equal(crash_wait(&c, CLK_S), 0);
	crash_ended(&c, CRASH_STARTING, 0, HOW, CLK_S, 0); /* as the first delay */
	assert_false(c.is_failed);
}

static void
a_start_that_failed_is_a_failure_at_once(void **state)
{
	struct crash c;

	(void)state;
	crash_init(&c);
	crash_start_failed(&c, "cannot start x: no", CLK_S, 0);
	assert_true(c.is_failed);
	assert_string_equal(c.reason, "start_failed");
	assert_string_equal(c.message, "cannot start x: no");
	assert_true(crash_wait(&c, CLK_S) > 0);
}

/* A program that opens its port and then finds that it cannot work. */
static void
an_end_before_any_answer_counts_though_it_was_ready(void **state)
{
	struct crash c;

	(void)state;
	crash_init(&c);
	crash_ended(&c, CRASH_UNPROVEN, CLK_S, HOW, CLK_S, 0);
	assert_false(c.is_failed);
	assert_int_equal(crash_wait(&c, CLK_S), 0);
	crash_ended(&c, CRASH_UNPROVEN, CLK_S, HOW, CLK_S, 0);
	assert_true(c.is_failed);
	assert_string_equal(c.reason, "exited");
	assert_string_equal(c.message,
			    HOW " soon after it was ready, before it answered a request");
	assert_true(crash_wait(&c, CLK_S) > 0);
}

static void
dying_soon_after_ready_waits_without_a_failure(void **state)
{
	struct crash c;

	(void)state;
	crash_init(&c);
	crash_ended(&c, CRASH_PROVEN, CLK_S, HOW, CLK_S, 0);
	assert_int_equal(crash_wait(&c, CLK_S), 0);
	crash_proven(&c);
	crash_ended(&c, CRASH_PROVEN, CLK_S, HOW, CLK_S, 0);
	assert_true(crash_wait(&c, CLK_S) > 0);
	assert_false(c.is_failed);
}

static void
a_calm_life_resets_the_back_off(void **state)
{
	struct crash c;
	int i;

	(void)state;
	crash_init(&c);
	for (i = 0; i < 8; i++)
		crash_ended(&c, CRASH_STARTING, 0, HOW, CLK_S, UINT32_MAX);
	crash_proven(&c);
	crash_ended(&c, CRASH_PROVEN, CRASH_CALM_NS, HOW, CLK_S, 0);
	assert_int_equal(crash_wait(&c, CLK_S), 0);
	crash_ended(&c, CRASH_STARTING, 0, HOW, CLK_S, 0);
	crash_ended(&c, CRASH_STARTING, 0, HOW, CLK_S, UINT32_MAX);
	assert_int_equal(crash_wait(&c, CLK_S), CRASH_BACKOFF_FIRST_NS);
}

static void
ends_read_well(void **state)
{
	static const struct {
		int status;
		const char *text;
	} rows[] = {
		{0, "exited with status 0"},
		{3 << 8, "exited with status 3"},
		{255 << 8, "exited with status 255"},
		{SIGSEGV, "was ended by SIGSEGV"},
		{SIGKILL, "was ended by SIGKILL"},
		{SIGABRT | 0x80, "was ended by SIGABRT"}, /* with a core dump */
		{40, "was ended by signal 40"},
	};
	char text[80];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		crash_describe(rows[i].status, text, sizeof text);
		assert_string_equal(text, rows[i].text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_early_end_is_forgiven),
		cmocka_unit_test(second_in_a_row_is_a_failure_until_the_back_off_is_over),
		cmocka_unit_test(back_off_grows_to_its_bound),
		cmocka_unit_test(a_proof_forgives),
		cmocka_unit_test(a_start_that_failed_is_a_failure_at_once),
		cmocka_unit_test(an_end_before_any_answer_counts_though_it_was_ready),
		cmocka_unit_test(dying_soon_after_ready_waits_without_a_failure),
		cmocka_unit_test(a_calm_life_resets_the_back_off),
		cmocka_unit_test(ends_read_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
