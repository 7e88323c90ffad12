/* tally: which bucket a duration is in, and what a tally says of its requests. */
#include "unit.h"

#include <string.h>

#include "common/clk.h"
#include "common/tally.h"

static void
buckets_follow_each_other(void **state)
{
	unsigned b;

	(void)state;
	assert_int_equal(tally_bucket(0), 0);
	assert_int_equal(tally_bucket_ns(0), 0);
	for (b = 1; b < TALLY_BUCKETS; b++) {
		int64_t begin = tally_bucket_ns(b), before = tally_bucket_ns(b - 1);

		assert_true(begin > before);
		assert_int_equal(tally_bucket(begin), b);
		assert_int_equal(tally_bucket(begin - 1), b - 1);
		if (b >= 5)
			assert_true(begin <= before + before / 4);
	}
	assert_int_equal(tally_end_of(404), TALLY_4XX);
	assert_int_equal(tally_end_of(999), TALLY_FAILED);
	assert_int_equal(tally_bucket(INT64_MAX), TALLY_BUCKETS - 1);
	assert_true(tally_bucket_ns(TALLY_BUCKETS - 1) > 900 * CLK_S);
}

static void
counts_by_end(void **state)
{
	struct tally t = {{0}, {0}}, other;

	(void)state;
	tally_add(&t, TALLY_2XX, CLK_MS);
	tally_add(&t, TALLY_4XX, CLK_MS);
	tally_add(&t, TALLY_5XX, CLK_MS);
	tally_add(&t, TALLY_FAILED, CLK_MS);
	tally_add(&t, TALLY_ABANDONED, 0);
	assert_int_equal(tally_timed(&t), 5);
	tally_add(&t, TALLY_OTHER, CLK_MS);
	assert_int_equal(tally_timed(&t), 5);
	assert_int_equal(tally_all(&t), 6);
	tally_add(&t, TALLY_1XX, CLK_S); /* no duration counts */
	assert_int_equal(tally_timed(&t), 5);
	assert_int_equal(tally_counted(&t), 6);
	assert_true(tally_slower(&t, 500 * CLK_MS) == 0);
	t.ends[TALLY_1XX] = 0;
	assert_int_equal(tally_answered(&t), 4);
	assert_int_equal(tally_errors(&t), 2);
	other = (struct tally){{0}, {0}};
	tally_add(&other, TALLY_2XX, -CLK_MS);
	assert_int_equal(other.durations[0], 1);
	other = t;
	assert_false(tally_is_below(&t, &other));
	tally_join(&other, &t);
	assert_int_equal(tally_all(&other), 12);
	assert_true(tally_is_below(&t, &other));
	tally_subtract(&other, &t);
	assert_memory_equal(&other, &t, sizeof t);
}

static void
slower_and_quantiles(void **state)
{
	struct tally t = {{0}, {0}};
	int i;

	(void)state;
	assert_int_equal(tally_quantile(&t, 0.5), 0);
	assert_true(tally_slower(&t, CLK_MS) == 0);
	for (i = 0; i < 98; i++)
		tally_add(&t, TALLY_2XX, 10 * CLK_MS);
	tally_add(&t, TALLY_2XX, 3 * CLK_S);
	tally_add(&t, TALLY_2XX, 4000 * CLK_S);
	assert_true(tally_slower(&t, CLK_S) == 2);
	assert_true(tally_slower(&t, 5 * CLK_MS) == 100);
	assert_in_range(tally_quantile(&t, 0.5), 8 * CLK_MS, 13 * CLK_MS);
	assert_in_range(tally_quantile(&t, 0.98), 8 * CLK_MS, 13 * CLK_MS);
	assert_in_range(tally_quantile(&t, 0.99), 2500 * CLK_MS, 3700 * CLK_MS);
	assert_true(tally_quantile(&t, 1) >= 900 * CLK_S);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_follow_each_other),
		cmocka_unit_test(counts_by_end),
		cmocka_unit_test(slower_and_quantiles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
