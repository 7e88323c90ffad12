/* why: the ring of decisions: equal ones are one entry, the oldest is dropped, both formats. */
#include "unit.h"

#include "autoscaler/brain/why.h"
#include "common/clk.h"
#include "common/jput.h"
#include "common/strbuf.h"

#define NOON (INT64_C(1764072000) * CLK_S) /* 2025-11-25T12:00:00Z */

static struct why w;

static void
note(uint32_t wanted, enum decide_rule rule, uint32_t parked, int64_t s)
{
	const struct decide_out out = {
		.wanted = wanted, .is_known = true, .rule = rule, .target = 70};
	const struct decide_view view = {.has_stable = true,
					 .stable = 1.5,
					 .parked = parked,
					 .latency_s = -1,
					 .start_s = 0.25,
					 .learned_keep_s = -1};

	why_note(&w, &out, &view, wanted, rule, NULL, NOON + s * CLK_S);
}

static void
equal_decisions_are_one_entry(void **state)
{
	(void)state;
	assert_null(why_at(&w, 0));
	note(1, DECIDE_ACTIVATION, 3, 0);
	note(1, DECIDE_ACTIVATION, 4, 1);
	note(1, DECIDE_STABLE, 0, 2);
	note(1, DECIDE_STABLE, 0, 60);
	note(0, DECIDE_IDLE, 0, 90);
	assert_int_equal(why_at(&w, 0)->wanted, 0);
	assert_int_equal(why_at(&w, 1)->times, 2);
	assert_true(why_at(&w, 1)->from_ns == NOON + 2 * CLK_S);
	assert_true(why_at(&w, 1)->upto_ns == NOON + 60 * CLK_S);
	assert_int_equal(why_at(&w, 2)->view.parked, 4); /* the newest inputs */
	assert_null(why_at(&w, 3));
}

static void
the_oldest_goes(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 0; i < 3 * WHY_ENTRIES; i++)
		note(i, DECIDE_STABLE, 0, i);
	for (i = 0; i < WHY_ENTRIES; i++)
		assert_int_equal(why_at(&w, i)->wanted, 3 * WHY_ENTRIES - 1 - i);
	assert_null(why_at(&w, WHY_ENTRIES));
}

static void
forms(void **state)
{
	struct strbuf out;
	struct jput j;

	(void)state;
	note(1, DECIDE_ACTIVATION, 3, 0);
	note(0, DECIDE_IDLE, 0, 90);
	strbuf_init(&out, 0);
	why_put_text(&w, &out);
	assert_string_equal(
		strbuf_str(&out),
		"2025-11-25T12:01:30Z to 2025-11-25T12:01:30Z  wanted 0: idle: no requests "
		"within the stable window\n"
		"    stable=1.5 target=70 ready=0 starting=0 in_flight=0 parked=0 start_s=0.25\n"
		"2025-11-25T12:00:00Z to 2025-11-25T12:00:00Z  wanted 1: requests are parked, "
		"and no response time is known yet\n"
		"    stable=1.5 target=70 ready=0 starting=0 in_flight=0 parked=3 start_s=0.25\n");
	strbuf_clear(&out);
	jput_init(&j, &out);
	jput_object(&j, NULL);
	why_put_json(&w, &j);
	jput_object_end(&j);
	assert_non_null(
		strstr(strbuf_str(&out),
		       "{\"decisions\":[{\"from\":\"2025-11-25T12:01:30Z\",\"upto\":"
		       "\"2025-11-25T12:01:30Z\",\"times\":1,\"wanted\":0,\"rule\":\"idle\","));
	assert_non_null(strstr(strbuf_str(&out), "\"parked\":3,"));
	assert_null(strstr(strbuf_str(&out), "latency_s")); /* not known */
	strbuf_fini(&out);
}

static void
a_bound_does_not_hide_what_was_decided(void **state)
{
	const struct decide_out out = {.wanted = 1, .is_known = true, .rule = DECIDE_IN_USE};
	const struct decide_view view = {.latency_s = -1, .start_s = -1, .learned_keep_s = -1};
	struct strbuf text;

	(void)state;
	strbuf_init(&text, 0);
	why_note(&w, &out, &view, 3, DECIDE_UNHEARD, NULL, NOON);
	assert_int_equal(why_wanted(&w), 3);
	why_put_text(&w, &text);
	assert_non_null(strstr(strbuf_str(&text), "wanted 3: an activator does not report"));
	assert_non_null(strstr(strbuf_str(&text), "    decided=1 target="));
	assert_non_null(strstr(strbuf_str(&text), " decided_rule=in_use"));
	strbuf_fini(&text);
}

static int
teardown(void **state)
{
	(void)state;
	why_fini(&w);
	return 0;
}

int
main(void)
{
#define T(f) cmocka_unit_test_teardown(f, teardown)
	const struct CMUnitTest tests[] = {T(equal_decisions_are_one_entry), T(the_oldest_goes),
					   T(forms), T(a_bound_does_not_hide_what_was_decided)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
