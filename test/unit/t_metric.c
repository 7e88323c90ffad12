/* metric: the exact text of the exposition (format 0.0.4). */
#include "test/unit/unit.h"

#include <math.h>
#include <stdlib.h>

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
	metric_hist_sample(&b, &hist, labels, &sum, NULL);
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
	metric_hist_sample(&b, &bare, NULL, &sum, NULL);
	assert_int_equal(strncmp(strbuf_str(&b), "x_bucket{le=\"0.001\"} 0\n", 23), 0);
	assert_non_null(strstr(strbuf_str(&b), "x_sum 0\nx_count 0\n"));
	strbuf_fini(&b);
}

static void
open_metrics_differ(void **state)
{
	static struct metric_hist one;
	struct metric_exemplar exemplars[METRIC_BUCKETS + 1] = {{.value = 0}};
	struct metric_hist_sum sum = {.sum_us = 0};
	const char *const labels[] = {"v1"};
	struct strbuf b;
	char *text;

	(void)state;
	metric_hist_add(&one, 700 * CLK_MS);
	metric_hist_collect(&sum, &one);
	assert_int_equal(metric_hist_bucket(700 * CLK_MS), 9);
	memcpy(exemplars[9].trace, "0af7651916cd43dd8448eb211c80319c", METRIC_TRACE);
	exemplars[9].value = 0.7;
	exemplars[9].wall_s = 1796055104.1234;
	strbuf_init(&b, 0);
	metric_set_form(METRIC_OPENMETRICS);
	metric_head(&b, &counter);
	metric_head(&b, &gauge);
	metric_hist_sample(&b, &hist, labels, &sum, exemplars);
	metric_end(&b);
	metric_set_form(METRIC_PROMETHEUS);
	text = xstrdup(strbuf_str(&b));
	strbuf_fini(&b);
	assert_ptr_equal(strstr(text, "# HELP requests Requests that ended, \\\\ and\\nby code.\n"
				      "# TYPE requests counter\n"
				      "# HELP up Is it \\\"up\\\"?\n"),
			 text);
	assert_non_null(strstr(text, "le=\"0.5\"} 0\n"
				     "wait_seconds_bucket{revision=\"v1\",le=\"1.0\"} 1 # "
				     "{trace_id=\"0af7651916cd43dd8448eb211c80319c\"} 0.7 "
				     "1796055104.123\n"
				     "wait_seconds_bucket{revision=\"v1\",le=\"2.5\"} 1\n"));
	assert_string_equal(text + strlen(text) - strlen("# EOF\n"), "# EOF\n");
	free(text);
	/* The form of Prometheus has no place for them. */
	strbuf_init(&b, 0);
	metric_hist_sample(&b, &hist, labels, &sum, exemplars);
	metric_end(&b);
	assert_null(strstr(strbuf_str(&b), "#"));
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
		cmocka_unit_test(open_metrics_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
