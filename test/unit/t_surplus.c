/* surplus: which of several instances are worth keeping, for loads that come back, come back late,
 * or do not come back. */
#include "unit.h"

#include "autoscaler/brain/surplus.h"
#include "common/clk.h"
#include "common/strbuf.h"

#define EACH 8

/* A load that needs `busy` instances for busy_s, then `quiet` ones for quiet_s, again and again. */
struct load {
	uint32_t busy, quiet;
	unsigned busy_s, quiet_s;
};

static const struct surplus_price slow_start = {
	.start_s = 20, .wait_cost = 10, .each = EACH, .latency_s = 1};

/* Each second of so many rounds; returns the time behind it. */
static int64_t
play(struct surplus *s, const struct load *l, unsigned rounds, int64_t now)
{
	struct surplus_price p = slow_start;
	unsigned i, t;

	for (i = 0; i < rounds; i++)
		for (t = 0; t < l->busy_s + l->quiet_s; t++, now += CLK_S) {
			uint32_t needed = t < l->busy_s ? l->busy : l->quiet;

			p.requests = (double)needed * EACH;
			surplus_needed(s, needed, &p, now);
		}
	return now;
}

/* How long after a busy time level `n` is kept, in seconds. */
static unsigned
kept_for(struct surplus *s, const struct load *l, uint32_t n, int64_t now)
{
	const struct load last = {.busy = l->busy, .quiet = l->quiet, .busy_s = l->busy_s};
	unsigned t;

	now = play(s, &last, 1, now);
	for (t = 1; t < 10000; t++, now += CLK_S) {
		struct surplus_price p = slow_start;

		p.requests = (double)l->quiet * EACH;
		surplus_needed(s, l->quiet, &p, now);
		if (surplus_kept(s, now) < n)
			break;
	}
	return t;
}

static void
what_comes_back_soon_stays(void **state)
{
	const struct load l = {.busy = 5, .quiet = 1, .busy_s = 40, .quiet_s = 100};
	struct surplus *s = surplus_new();
	int64_t now = play(s, &l, 10, CLK_S);
	unsigned kept = kept_for(s, &l, 5, now);

	(void)state;
	assert_in_range(kept, 100, 130);
	surplus_free(&s);
}

static void
what_costs_more_than_it_saves_goes(void **state)
{
	const struct load rare = {.busy = 5, .quiet = 1, .busy_s = 40, .quiet_s = 3000};
	struct surplus *s = surplus_new();
	struct surplus_price p = slow_start;
	int64_t now = CLK_S;
	unsigned i, t;

	(void)state;
	p.wait_cost = 0;
	for (i = 0; i < 10; i++)
		for (t = 0; t < 3040; t++, now += CLK_S) {
			p.requests = t < 40 ? 40 : 8;
			surplus_needed(s, t < 40 ? 5 : 1, &p, now);
		}
	assert_in_range(kept_for(s, &rare, 5, now), 1, 16);
	surplus_free(&s);
}

static void
what_does_not_come_back_is_forgotten(void **state)
{
	const struct load soon = {.busy = 3, .quiet = 1, .busy_s = 40, .quiet_s = 50};
	const struct load never = {.busy = 1, .quiet = 1, .busy_s = 0, .quiet_s = 8000};
	struct surplus *s = surplus_new();
	int64_t now = play(s, &soon, 10, CLK_S);

	(void)state;
	now = play(s, &never, 1, now);
	assert_int_equal(surplus_kept(s, now), 0);
	surplus_free(&s);
}

/* Levels have gaps of their own: a base that comes back each minute, and a peak once an hour. */
static void
each_level_has_a_stay_of_its_own(void **state)
{
	const struct load base = {.busy = 3, .quiet = 1, .busy_s = 30, .quiet_s = 45};
	const struct load peak = {.busy = 20, .quiet = 1, .busy_s = 30, .quiet_s = 30};
	struct surplus *s = surplus_new();
	int64_t now = CLK_S;
	unsigned i;

	(void)state;
	for (i = 0; i < 30; i++) {
		now = play(s, &peak, 1, now);
		now = play(s, &base, 150, now);
	}
	now = play(s, &peak, 1, now);
	now = play(s, &base, 2, now);
	assert_int_equal(surplus_kept(s, now), 3);
	surplus_free(&s);
}

static void
little_is_done_before_anything_is_known(void **state)
{
	const struct load l = {.busy = 4, .quiet = 1, .busy_s = 40, .quiet_s = 0};
	struct surplus *s = surplus_new();

	(void)state;
	assert_int_equal(surplus_kept(s, CLK_S), 0);
	assert_in_range(kept_for(s, &l, 4, CLK_S), 19, 22); /* about a start */
	surplus_free(&s);
}

static void
it_is_kept_over_a_restart(void **state)
{
	const struct load l = {.busy = 5, .quiet = 1, .busy_s = 40, .quiet_s = 100};
	struct surplus *s = surplus_new(), *again = surplus_new();
	float numbers[SURPLUS_NUMBERS];
	struct strbuf text;

	(void)state;
	play(s, &l, 10, CLK_S);
	surplus_export(s, numbers);
	surplus_import(again, numbers);
	assert_in_range(kept_for(again, &l, 5, CLK_S), 100, 130);
	strbuf_init(&text, 0);
	surplus_explain(again, &text);
	assert_string_equal(strbuf_str(&text),
			    "; of several, beyond what the load needs: up to 5 stay 120 s");
	strbuf_fini(&text);
	surplus_free(&s);
	surplus_free(&again);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_back_soon_stays),
		cmocka_unit_test(what_costs_more_than_it_saves_goes),
		cmocka_unit_test(what_does_not_come_back_is_forgotten),
		cmocka_unit_test(each_level_has_a_stay_of_its_own),
		cmocka_unit_test(little_is_done_before_anything_is_known),
		cmocka_unit_test(it_is_kept_over_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
