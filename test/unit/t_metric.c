/* metric: the exact text of the exposition (format 0.0.4). */
#include "test/unit/unit.h"

#include <math.h>

#include "common/clk.h"
#include "common/metric.h"
#include "common/strbuf.h"

static const struct metric_def counter = {METRIC_COUNTER, "requests_total", "revision,code",
					  "Requests that ended, \\ and\nby code."};
static const struct metric_def gauge = {METRIC_GAUGE, "up", "", "Is it \"up\"?"};
static const struct metric_def hist = {METRIC_HISTOGRAM, "wait_seconds", "revision", "Wait."};

static void
expect(struct strbuf *b, const char *text)
{
	assert_string_equal(strbuf_str(b), text);
	strbuf_fini(b);
}

static void
heads(void **state)
{
	struct strbuf b;

	(void)state;
	strbuf_init(&b, 0);
	metric_head(&b, &counter);
	metric_head(&b, &gauge);
	metric_head(&b, &hist);
	expect(&b, "# HELP requests_total Requests that ended, \\\\ and\\nby code.\n"
		   "# TYPE requests_total counter\n"
		   "# HELP up Is it \"up\"?\n"
		   "# TYPE up gauge\n"
		   "# HELP wait_seconds Wait.\n"
		   "# TYPE wait_seconds histogram\n");
}

static void
samples(void **state)
{
	const char *const labels[] = {"shop/v1", "200"}, *const odd[] = {"a\"b\\c\nd{},", ""};
	struct strbuf b;

	(void)state;
	strbuf_init(&b, 0);
	metric_sample(&b, &counter, labels, 12);
	metric_sample(&b, &counter, odd, 9007199254740993.0);
	metric_sample(&b, &gauge, NULL, 0.1);
	metric_sample(&b, &gauge, NULL, 1.0 / 3);
	metric_sample(&b, &gauge, NULL, -2.5);
	metric_sample(&b, &gauge, NULL, 0);
	metric_sample(&b, &gauge, NULL, NAN);
	metric_sample(&b, &gauge, NULL, INFINITY);
	metric_sample(&b, &gauge, NULL, -INFINITY);
	expect(&b, "requests_total{revision=\"shop/v1\",code=\"200\"} 12\n"
		   "requests_total{revision=\"a\\\"b\\\\c\\nd{},\",code=\"\"} 9007199254740992\n"
		   "up 0.1\n"
		   "up 0.33333333333333331\n"
		   "up -2.5\n"
		   "up 0\n"
		   "up NaN\n"
		   "up +Inf\n"
		   "up -Inf\n");
}

static void
histograms_are_cumulative(void **state)
{
	static struct metric_hist one, two;
	struct metric_hist_sum sum = {.sum_us = 0};
	const char *const labels[] = {"v1"};
	struct strbuf b;

	(void)state;
	metric_hist_add(&one, 0);
	metric_hist_add(&one, CLK_MS); /* le is inclusive */
	metric_hist_add(&one, CLK_MS + 1);
	metric_hist_add(&two, 750 * CLK_MS);
	metric_hist_add(&two, 600 * CLK_S);
	metric_hist_add(&two, 601 * CLK_S);
	metric_hist_collect(&sum, &one);
	metric_hist_collect(&sum, &two);
	strbuf_init(&b, 0);
	metric_hist_sample(&b, &hist, labels, &sum);
	expect(&b, "wait_seconds_bucket{revision=\"v1\",le=\"0.001\"} 2\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"0.0025\"} 3\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"0.005\"} 3\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"0.01\"} 3\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"0.025\"} 3\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"0.05\"} 3\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"0.1\"} 3\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"0.25\"} 3\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"0.5\"} 3\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"1\"} 4\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"2.5\"} 4\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"5\"} 4\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"10\"} 4\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"15\"} 4\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"20\"} 4\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"30\"} 4\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"60\"} 4\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"120\"} 4\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"300\"} 4\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"600\"} 5\n"
		   "wait_seconds_bucket{revision=\"v1\",le=\"+Inf\"} 6\n"
		   "wait_seconds_sum{revision=\"v1\"} 1201.752\n"
		   "wait_seconds_count{revision=\"v1\"} 6\n");
}

static void
a_histogram_without_labels(void **state)
{
	static const struct metric_def bare = {METRIC_HISTOGRAM, "x", "", "X."};
	struct metric_hist_sum sum = {.sum_us = 0};
	struct strbuf b;

	(void)state;
	strbuf_init(&b, 0);
	metric_hist_sample(&b, &bare, NULL, &sum);
	assert_int_equal(strncmp(strbuf_str(&b), "x_bucket{le=\"0.001\"} 0\n", 23), 0);
	assert_non_null(strstr(strbuf_str(&b), "x_sum 0\nx_count 0\n"));
	strbuf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads),
		cmocka_unit_test(samples),
		cmocka_unit_test(histograms_are_cumulative),
		cmocka_unit_test(a_histogram_without_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
