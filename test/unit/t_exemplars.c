/* Examples of requests for the buckets of histograms: the newest is found, also while another
 * thread reads. */
#include "unit.h"

#include <pthread.h>

#include "activator/exemplars.h"
#include "common/clk.h"

static const char a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		  b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

static void
the_newest_of_a_bucket_is_found(void **state)
{
	struct metric_exemplar found[METRIC_BUCKETS + 1] = {{.value = 0}};
	struct exemplars *one = exemplars_new(), *two = exemplars_new();
	uint64_t series = exemplars_series("s/v1", EXEMPLAR_DURATION);
	size_t i;

	(void)state;
	assert_true(series != exemplars_series("s/v1", EXEMPLAR_PARKED_FOR));
	assert_true(series != exemplars_series("s/v2", EXEMPLAR_DURATION));
	exemplars_put(one, series, a, 700 * CLK_MS, 10 * CLK_S);
	exemplars_put(one, series, b, 800 * CLK_MS, 20 * CLK_S);
	exemplars_put(two, series, a, 900 * CLK_MS, 15 * CLK_S);
	exemplars_put(two, series, a, 1000 * CLK_S, 5 * CLK_S);
	exemplars_put(two, exemplars_series("s/v2", EXEMPLAR_DURATION), a, CLK_MS, 5 * CLK_S);
	exemplars_collect(one, series, found);
	exemplars_collect(two, series, found);
	for (i = 0; i <= METRIC_BUCKETS; i++)
		assert_true((found[i].trace[0] != '\0') == (i == 9 || i == METRIC_BUCKETS));
	assert_memory_equal(found[9].trace, b, METRIC_TRACE);
	assert_true(found[9].value > 0.79 && found[9].value < 0.81);
	assert_true(found[9].wall_s > 19.9 && found[9].wall_s < 20.1);
	exemplars_free(&one);
	exemplars_free(&two);
}

#define PUTS 20000

static void *
put_many(void *arg)
{
	unsigned i;

	for (i = 0; i < PUTS; i++)
		exemplars_put(arg, 1, i % 2 == 0 ? a : b, i % 2 == 0 ? 700 * CLK_MS : 800 * CLK_MS,
			      (int64_t)(i + 1) * CLK_S);
	return NULL;
}

static void
no_example_is_half_of_two(void **state)
{
	struct exemplars *e = exemplars_new();
	pthread_t thread;
	double at = 0;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, put_many, e), 0);
	while (at < PUTS - 0.5) {
		struct metric_exemplar found[METRIC_BUCKETS + 1] = {{.value = 0}};

		exemplars_collect(e, 1, found);
		if (found[9].trace[0] == '\0')
			continue;
		assert_true(found[9].wall_s >= at);
		at = found[9].wall_s;
		assert_memory_equal(found[9].trace, found[9].value < 0.75 ? a : b, METRIC_TRACE);
	}
	pthread_join(thread, NULL);
	exemplars_free(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_of_a_bucket_is_found),
		cmocka_unit_test(no_example_is_half_of_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
