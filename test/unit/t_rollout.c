/* rollout: what may be asked for, what a step gives to whom, and when a step follows, waits, or
 * goes back, by requests of a clock of the test's own. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/versions/document.h"
#include "autoscaler/versions/rollout_judge.h"
#include "common/clk.h"
#include "common/strbuf.h"

static struct stored_service *service;
static struct rollout_watch watch;
static struct rollout_facts facts;
static struct strbuf why;

/* Three revisions, the first with all traffic, and a rollout to the last. */
static void
begin_with(const char *steps, uint64_t min_requests, const char *bound, const char *other)
{
	struct rollout_plan plan = {.over_ns = 40 * CLK_S, .min_requests = min_requests};
	struct err e = {0};
	bool is_new;
	char body[16];
	int i;

	stored_service_free(&service);
	service = stored_service_new("shop");
	for (i = 1; i <= 3; i++) {
		const struct model_deploy d = {
			.service_body = "", .body = body, .percent = i == 1 ? MODEL_ALL : 0};

		snprintf(body, sizeof body, "%d", i);
		assert_non_null(model_deploy(service, &d, &is_new, &e));
	}
	assert_int_equal(rollout_steps_parse(&plan, steps, &e), 0);
	if (bound != NULL)
		assert_int_equal(rollout_bound_add(&plan, bound, &e), 0);
	if (other != NULL)
		assert_int_equal(rollout_bound_add(&plan, other, &e), 0);
	assert_int_equal(model_rollout_begin(service, NULL, &plan, 1000, &e), 0);
	facts = (struct rollout_facts){
		.now_ns = 100 * CLK_S, .has_links = true, .ready = 1, .needed = 1};
	rollout_watch_begin(&watch, &facts, 0);
}

static enum rollout_act
look(void)
{
	return rollout_look(service->rollout, &watch, &facts, &why);
}

/* The next step, as the owner takes it. */
static void
take_step(void)
{
	model_rollout_step(service, 1000);
	rollout_watch_begin(&watch, &facts, 0);
}

/* The first step, with `percent`. */
static void
begin_step(const char *steps, uint64_t min_requests, const char *bound, const char *other)
{
	begin_with(steps, min_requests, bound, other);
	assert_int_equal(look(), ROLLOUT_STEP);
	take_step();
}

static void
add(struct rollout_figures *f, int n, enum tally_end end, int64_t ns)
{
	while (n-- > 0)
		tally_add(&f->tally, end, ns);
}

static int
setup(void **state)
{
	(void)state;
	strbuf_init(&why, 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	stored_service_free(&service);
	strbuf_fini(&why);
	return 0;
}

static void
expect(enum rollout_act act, const char *text)
{
	enum rollout_act is = look();

	if (is != act || strstr(strbuf_str(&why), text) == NULL)
		fail_msg("act %d, expected %d: \"%s\", expected \"%s\"", is, act, strbuf_str(&why),
			 text);
}

/* --- what is asked for --- */

static void
what_may_be_asked_for(void **state)
{
	static const char *const good[] = {"errors>1%", "errors>0%",	"5xx>2x",     "4xx>50%",
					   "failed>1%", "abandoned>5%", "p99>500ms",  "p99.9>2s",
					   "p50>1.5x",	"p95>10m",	"errors>1.5x"};
	static const char *const bad[] = {
		"",	  "errors",    "errors>", "errors>1",	"errors>101%",
		"p0>1s",  "p100>1s",   "p99>1%",  "p99>20m",	"p99>0.5x",
		"q99>1s", "errors>1s", "5xx>-1%", "errors>1%%", "p99.99999>1s"};
	static const char *const bad_steps[] = {"",	  "10",	   "50,10,100", "0,100",
						"1,,100", "1,101", "1,x,100",	"100,100"};
	struct rollout_plan plan = {.over_ns = 0};
	struct rollout_bound b;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(rollout_bound_parse(&b, good[i], &e), 0);
		free(b.text);
	}
	for (i = 0; i < ARRAY_LEN(bad); i++)
		if (rollout_bound_parse(&b, bad[i], &e) == 0)
			fail_msg("accepted: %s", bad[i]);
	for (i = 0; i < ARRAY_LEN(bad_steps); i++)
		if (rollout_steps_parse(&plan, bad_steps[i], &e) == 0)
			fail_msg("accepted: %s", bad_steps[i]);
	assert_int_equal(rollout_steps_parse(&plan, "1%,10,100%", &e), 0);
	assert_int_equal(plan.steps_n, 3);
}

/* --- who gets what --- */

static uint32_t
percent_of(const char *revision)
{
	return stored_service_find(service, revision)->percent;
}

static void
steps_keep_proportions_and_going_back_restores(void **state)
{
	const struct model_traffic split[] = {{"shop-00001", 67, 40}, {"shop-00002", 33, 0}};
	struct rollout_plan plan = {.over_ns = CLK_S};
	struct stored_service *copy;
	struct err e;

	(void)state;
	begin_with("100", 0, NULL, NULL);
	model_rollout_end(service, ROLLOUT_REPLACED, "a test", 1001);
	assert_int_equal(model_set_traffic(service, split, 2, &e), 0);
	assert_int_equal(rollout_steps_parse(&plan, "1,50,100", &e), 0);
	assert_int_equal(model_rollout_begin(service, "shop-00003", &plan, 1000, &e), 0);
	model_rollout_step(service, 1000);
	assert_int_equal(percent_of("shop-00001") + percent_of("shop-00002"), 99);
	assert_int_equal(percent_of("shop-00003"), 1);
	model_rollout_step(service, 1000);
	assert_int_equal(percent_of("shop-00001"), 34);
	assert_int_equal(percent_of("shop-00002"), 16);
	assert_int_equal(rollout_weight(service->rollout, "shop-00001"), 67 * 50);
	assert_int_equal(rollout_weight(service->rollout, "shop-00002"), 33 * 50);
	assert_int_equal(rollout_weight(service->rollout, "shop-00003"), 100 * 50);
	assert_int_equal(rollout_weight(service->rollout, "other"), 0);
	model_rollout_step(service, 1000);
	assert_int_equal(percent_of("shop-00003"), 100);
	assert_int_equal(stored_service_find(service, "shop-00001")->latest, 0);
	copy = stored_service_copy(service);
	model_rollout_end(copy, ROLLOUT_DONE, NULL, 1001);
	assert_int_equal(stored_service_find(copy, "shop-00003")->latest, 40);
	stored_service_free(&copy);
	assert_true(stored_revision_is_active(stored_service_find(service, "shop-00001")));
	assert_int_equal(model_delete_revision(service, "shop-00001", &e), -1);
	assert_string_equal(e.text, "the rollout to \"shop-00003\" is not over");
	model_rollout_end(service, ROLLOUT_ABORTED, "errors", 1001);
	assert_int_equal(percent_of("shop-00001"), 67);
	assert_int_equal(stored_service_find(service, "shop-00001")->latest, 40);
	assert_int_equal(percent_of("shop-00002"), 33);
	assert_int_equal(percent_of("shop-00003"), 0);
	assert_string_equal(stored_service_find(service, "shop-00003")->rejected, "errors");
	assert_int_equal(model_delete_revision(service, "shop-00003", &e), 0);
}

static void
what_it_has_already_is_no_step(void **state)
{
	const struct model_traffic split[] = {{"shop-00001", 75, 0}, {"shop-00003", 25, 0}};
	const struct model_traffic all = {"shop-00003", 100, 0};
	struct rollout_plan plan = {.over_ns = CLK_S};
	struct err e;

	(void)state;
	begin_with("100", 0, NULL, NULL);
	assert_int_equal(model_rollout_begin(service, NULL, &plan, 1000, &e), -1);
	assert_string_equal(e.text, "a rollout to \"shop-00003\" is under way already");
	model_rollout_end(service, ROLLOUT_DONE, NULL, 1001);
	assert_int_equal(model_set_traffic(service, split, 2, &e), 0);
	assert_int_equal(rollout_steps_parse(&plan, "1,25,50,100", &e), 0);
	assert_int_equal(model_rollout_begin(service, "shop-00003", &plan, 1000, &e), 0);
	assert_int_equal(service->rollout->plan.steps_n, 2);
	model_rollout_step(service, 1000);
	assert_int_equal(percent_of("shop-00003"), 50);
	assert_int_equal(percent_of("shop-00001"), 50);
	model_rollout_end(service, ROLLOUT_ABORTED, "errors", 1001);
	assert_int_equal(percent_of("shop-00003"), 25);
	assert_int_equal(rollout_steps_parse(&plan, "100", &e), 0);
	assert_int_equal(model_rollout_begin(service, "shop-00009", &plan, 1000, &e), -1);
	assert_string_equal(e.text, "the service \"shop\" has no revision \"shop-00009\"");
	assert_int_equal(rollout_steps_parse(&plan, "100", &e), 0);
	assert_int_equal(model_set_traffic(service, &all, 1, &e), 0);
	assert_int_equal(model_rollout_begin(service, "shop-00003", &plan, 1000, &e), -1);
	assert_string_equal(e.text, "the revision \"shop-00003\" has all of the traffic already");
}

static void
a_command_that_sets_percents_ends_it(void **state)
{
	const struct model_traffic split = {"shop-00002", 100, 0};
	struct stored_service *copy;
	struct err e;

	(void)state;
	begin_step("10,100", 0, NULL, NULL);
	copy = stored_service_copy(service);
	assert_int_equal(model_set_tag(copy, "shop-00001", "old", &e), 0);
	model_by_hand(copy, service, "traffic", 1001);
	assert_int_equal(copy->rollout->state, ROLLOUT_RUNNING);
	assert_int_equal(model_set_traffic(copy, &split, 1, &e), 0);
	model_by_hand(copy, service, "traffic", 1001);
	assert_int_equal(copy->rollout->state, ROLLOUT_REPLACED);
	assert_true(copy->has_replaced_rollout);
	assert_int_equal(stored_service_find(copy, "shop-00002")->percent, 100);
	assert_null(stored_service_find(copy, "shop-00003")->rejected);
	stored_service_free(&copy);
}

/* --- what is stored --- */

static void
it_is_kept_in_the_document(void **state)
{
	struct stored_service *back = NULL;
	struct strbuf text, again;
	struct err e = {0};

	(void)state;
	begin_step("10,100", 7, "errors>1%", "p99>500ms");
	service->rollout->spent_ns = 3 * CLK_S;
	strbuf_init(&text, 0);
	strbuf_init(&again, 0);
	document_put_service(service, &text);
	assert_int_equal(document_read_service("f", text.data, text.len, &back, &e), 0);
	assert_int_equal(back->rollout->state, ROLLOUT_RUNNING);
	assert_int_equal(rollout_percent(back->rollout), 10);
	assert_true(stored_service_find(back, "shop-00003")->is_in_rollout);
	document_put_service(back, &again);
	assert_string_equal(strbuf_str(&text), strbuf_str(&again));
	stored_service_free(&back);
	model_rollout_end(service, ROLLOUT_ABORTED, "a \"reason\"\nof two lines", 1001);
	strbuf_clear(&text);
	document_put_service(service, &text);
	assert_int_equal(document_read_service("f", text.data, text.len, &back, &e), 0);
	assert_string_equal(back->rollout->reason, "a \"reason\"\nof two lines");
	assert_string_equal(stored_service_find(back, "shop-00003")->rejected,
			    back->rollout->reason);
	stored_service_free(&back);
	strbuf_fini(&text);
	strbuf_fini(&again);
}

/* A wall clock that was set forward by years has stored it. */
static void
more_time_than_the_step_has_is_the_whole_step(void **state)
{
	struct stored_service *back = NULL;
	struct strbuf text;
	struct err e = {0};

	(void)state;
	begin_step("10,100", 0, NULL, NULL);
	service->rollout->spent_ns = INT64_C(100) * 365 * 86400 * CLK_S;
	strbuf_init(&text, 0);
	document_put_service(service, &text);
	assert_int_equal(document_read_service("f", text.data, text.len, &back, &e), 0);
	assert_int_equal(back->rollout->spent_ns, rollout_step_ns(back->rollout));
	stored_service_free(&back);
	strbuf_fini(&text);
}

static void
a_broken_state_is_an_error(void **state)
{
	static const char *const states[] = {
		"{\"rollout\":",
		"{\"rollout\":{\"to\":\"x\"}}",
		"{\"rejected\":[{\"revision\":1}]}",
		"{\"rollout\":{\"id\":1,\"to\":\"gone\",\"state\":\"running\",\"over_ms\":1000,"
		"\"steps\":[100],\"min_requests\":0,\"abort_if\":[],\"before\":[{\"revision\":\"r\","
		"\"percent\":100}],\"step\":0,\"spent_ms\":0,\"since\":0,\"began\":0}}",
		"{\"rollout\":{\"id\":1,\"to\":\"r\",\"state\":\"running\",\"over_ms\":1000,"
		"\"steps\":[100],\"min_requests\":0,\"abort_if\":[],\"before\":[{\"revision\":\"r\","
		"\"percent\":99}],\"step\":0,\"spent_ms\":0,\"since\":0,\"began\":0}}",
		"{\"rollout\":{\"id\":1,\"to\":\"r\",\"state\":\"running\",\"over_ms\":1000,"
		"\"steps\":[100],\"min_requests\":0,\"abort_if\":[],\"before\":[{\"revision\":\"r\","
		"\"percent\":100}],\"step\":2,\"spent_ms\":0,\"since\":0,\"began\":0}}",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(states); i++) {
		struct stored_service *s = NULL;
		struct err e = {0};
		char *text = xasprintf(
			"# activatorctl: generation=1 next=2\n# activatorctl: state=%s\n"
			"service \"s\" {\n traffic \"r\" { percent = 100 }\n}\n",
			states[i]);

		if (document_read_service("f", text, strlen(text), &s, &e) == 0)
			fail_msg("accepted: %s", states[i]);
		assert_null(s);
		assert_non_null(strstr(e.text, "f: state: "));
		free(text);
	}
}

/* --- when a step follows --- */

static void
steps_follow_by_time_and_end(void **state)
{
	(void)state;
	begin_with("1,10,50,100", 0, NULL, NULL);
	facts.needed = 2;
	expect(ROLLOUT_HOLD, "1 of 2 instances are ready for 1%");
	facts.ready = 2;
	assert_int_equal(look(), ROLLOUT_STEP);
	take_step();
	expect(ROLLOUT_WAIT, "the next step in 10 s");
	facts.now_ns += 10 * CLK_S - 1;
	expect(ROLLOUT_WAIT, "the next step in 1 s");
	facts.now_ns += 1;
	facts.needed = 3;
	expect(ROLLOUT_HOLD, "2 of 3 instances are ready for 10%");
	facts.ready = 3;
	assert_int_equal(look(), ROLLOUT_STEP);
	take_step();
	take_step();
	take_step();
	expect(ROLLOUT_WAIT, "done in 10 s");
	facts.now_ns += 10 * CLK_S;
	assert_int_equal(look(), ROLLOUT_FINISH);
}

static void
a_step_waits_for_requests_and_for_activators(void **state)
{
	(void)state;
	begin_step("10,100", 5, NULL, NULL);
	facts.now_ns += 20 * CLK_S;
	add(&facts.new, 4, TALLY_2XX, CLK_MS);
	add(&facts.new, 9, TALLY_ABANDONED, CLK_MS);
	expect(ROLLOUT_HOLD, "it has answered 4 of 5 requests in this step");
	add(&facts.new, 1, TALLY_5XX, CLK_MS);
	facts.has_links = false;
	expect(ROLLOUT_HOLD, "no activator is connected");
	facts.has_links = true;
	assert_int_equal(look(), ROLLOUT_STEP);
	take_step(); /* which counts anew */
	facts.now_ns += 20 * CLK_S;
	expect(ROLLOUT_HOLD, "it has answered 0 of 5");
}

static void
paused_it_stays_and_still_goes_back(void **state)
{
	(void)state;
	begin_step("10,100", 0, "errors>1%", NULL);
	service->rollout->state = ROLLOUT_PAUSED;
	facts.now_ns += 1000 * CLK_S;
	expect(ROLLOUT_HOLD, "paused");
	add(&facts.new, 10, TALLY_5XX, CLK_MS);
	expect(ROLLOUT_GO_BACK, "errors>1%: 10 of 10 requests (100%)");
}

static void
one_that_cannot_start_gets_nothing(void **state)
{
	(void)state;
	begin_with("1,100", 0, NULL, NULL);
	facts.ready = 0;
	facts.failure = "exit status 3";
	expect(ROLLOUT_GO_BACK, "it cannot start: exit status 3");
}

static void
an_outage_holds_and_takes_nothing_back(void **state)
{
	(void)state;
	begin_step("10,100", 0, "errors>1%", NULL);
	facts.now_ns += 20 * CLK_S;
	facts.obstacle = "there is no keeper";
	expect(ROLLOUT_HOLD, "no instance can be started: there is no keeper");
	add(&facts.new, 10, TALLY_5XX, CLK_MS);
	expect(ROLLOUT_GO_BACK, "errors>1%: 10 of 10 requests (100%)");
	begin_step("10,100", 0, "errors>1%", NULL);
	facts.now_ns += 20 * CLK_S;
	assert_int_equal(look(), ROLLOUT_STEP);
}

/* --- bounds --- */

static void
errors_of_few_requests_do_not_decide_alone(void **state)
{
	(void)state;
	begin_step("10,100", 10, "errors>1%", NULL);
	add(&facts.new, 1, TALLY_FAILED, CLK_MS);
	expect(ROLLOUT_WAIT, "");
	add(&facts.new, 98, TALLY_2XX, CLK_MS);
	expect(ROLLOUT_WAIT, "");
	add(&facts.new, 1, TALLY_5XX, CLK_MS);
	expect(ROLLOUT_GO_BACK, "errors>1%: 2 of 100 requests (2%)");
	begin_step("10,100", 1000, "errors>1%", NULL); /* judged over min_requests */
	add(&facts.new, 10, TALLY_5XX, CLK_MS);
	expect(ROLLOUT_WAIT, "");
	add(&facts.new, 1, TALLY_5XX, CLK_MS);
	expect(ROLLOUT_GO_BACK, "errors>1%: 11 of 11 requests");
	begin_step("10,100", 10, "errors>0%", NULL);
	add(&facts.new, 1000, TALLY_4XX, CLK_MS);
	expect(ROLLOUT_WAIT, "");
	add(&facts.new, 1, TALLY_5XX, CLK_MS);
	expect(ROLLOUT_GO_BACK, "errors>0%: 1 of 1001 requests");
}

static void
other_classes_count_where_they_are_named(void **state)
{
	(void)state;
	begin_step("10,100", 0, "4xx>10%", "abandoned>10%");
	add(&facts.new, 50, TALLY_5XX, CLK_MS);
	add(&facts.new, 5, TALLY_4XX, CLK_MS);
	add(&facts.new, 5, TALLY_ABANDONED, CLK_MS);
	expect(ROLLOUT_WAIT, "");
	add(&facts.new, 3, TALLY_ABANDONED, CLK_MS);
	expect(ROLLOUT_GO_BACK, "abandoned>10%: 8 of 63 requests (13%)");
}

static void
slow_requests_are_judged_by_the_quantile(void **state)
{
	(void)state;
	begin_step("10,100", 0, "p99>500ms", NULL);
	add(&facts.new, 98, TALLY_2XX, 100 * CLK_MS);
	add(&facts.new, 1, TALLY_2XX, 2 * CLK_S);
	expect(ROLLOUT_WAIT, "");
	add(&facts.new, 1, TALLY_2XX, 2 * CLK_S);
	expect(ROLLOUT_GO_BACK, "p99>500ms: p99 is ");
	begin_step("10,100", 0, "p50>10ms", NULL);
	add(&facts.new, 2, TALLY_2XX, 100 * CLK_MS);
	expect(ROLLOUT_GO_BACK, "p50>10ms: p50 is 9");
}

/* Time passes, and all activators report. */
static void
report_after(int64_t ns)
{
	facts.now_ns += ns;
	facts.oldest_report_ns = facts.newest_report_ns = facts.now_ns;
}

static void
requests_that_hang_are_slow_before_they_end(void **state)
{
	(void)state;
	begin_step("10,100", 0, "p99>500ms", NULL);
	facts.new.open = 3;
	report_after(0);
	expect(ROLLOUT_WAIT, "");
	report_after(CLK_S);
	expect(ROLLOUT_GO_BACK, "3 of 3 requests have not ended by then");
	begin_step("10,100", 0, "p99>500ms", NULL);
	facts.new.open = 3;
	report_after(0);
	expect(ROLLOUT_WAIT, "");
	report_after(CLK_S);
	add(&facts.new, 3, TALLY_2XX, 10 * CLK_MS); /* these; others have come */
	expect(ROLLOUT_WAIT, "");
	report_after(CLK_S);
	facts.links++; /* an activator has gone, with what it had */
	expect(ROLLOUT_WAIT, "");
	report_after(CLK_S);
	expect(ROLLOUT_GO_BACK, "3 of 6 requests have not ended by then");
}

static void
without_a_report_of_each_activator_none_hangs(void **state)
{
	(void)state;
	begin_step("10,100", 0, "p99>500ms", NULL);
	facts.new.open = 3;
	report_after(0);
	expect(ROLLOUT_WAIT, "");
	facts.now_ns += CLK_S;
	expect(ROLLOUT_WAIT, ""); /* no activator has reported */
	facts.newest_report_ns = facts.now_ns;
	expect(ROLLOUT_WAIT, ""); /* one has not */
	facts.now_ns += CLK_S;
	facts.oldest_report_ns = facts.newest_report_ns = 0;
	expect(ROLLOUT_WAIT, ""); /* a report has come in part */
	report_after(0);
	expect(ROLLOUT_GO_BACK, "3 of 3 requests have not ended by then");
}

static void
what_breaks_with_the_old_ones_waits(void **state)
{
	(void)state;
	begin_step("10,100", 0, "errors>1%", NULL);
	add(&facts.old, 900, TALLY_2XX, CLK_MS);
	add(&facts.old, 100, TALLY_5XX, CLK_MS);
	add(&facts.new, 90, TALLY_2XX, CLK_MS);
	add(&facts.new, 15, TALLY_5XX, CLK_MS);
	expect(ROLLOUT_HOLD, "of the old revisions 10%: they are not better, so it waits");
	add(&facts.new, 20, TALLY_5XX, CLK_MS);
	expect(ROLLOUT_GO_BACK, "errors>1%: 35 of 125 requests (28%); of the old revisions 10%");
}

static void
relative_bounds_compare_with_the_old_ones(void **state)
{
	(void)state;
	begin_step("10,100", 10, "errors>2x", "p95>1.5x");
	add(&facts.new, 500, TALLY_5XX, CLK_S);
	expect(ROLLOUT_WAIT, ""); /* there is nothing to compare with */
	begin_step("10,100", 10, "errors>2x", "p95>1.5x");
	add(&facts.old, 950, TALLY_2XX, 10 * CLK_MS);
	add(&facts.old, 50, TALLY_5XX, 10 * CLK_MS);
	add(&facts.new, 90, TALLY_2XX, 10 * CLK_MS);
	add(&facts.new, 10, TALLY_5XX, 10 * CLK_MS);
	expect(ROLLOUT_WAIT, "");
	add(&facts.new, 2, TALLY_5XX, 10 * CLK_MS);
	expect(ROLLOUT_GO_BACK, "errors>2x: 12 of 102 requests");
	begin_step("10,100", 10, "errors>2x", "p95>1.5x");
	add(&facts.old, 1000, TALLY_2XX, 10 * CLK_MS);
	add(&facts.new, 90, TALLY_2XX, 10 * CLK_MS);
	expect(ROLLOUT_WAIT, "");
	add(&facts.new, 10, TALLY_2XX, 20 * CLK_MS);
	expect(ROLLOUT_GO_BACK, "p95>1.5x: p95 is ");
}

/* As streams of events do: of the old ones as many. */
static void
long_requests_of_both_sides_take_nothing_back(void **state)
{
	static const char *const bounds[] = {"p99>500ms", "p99>2x"};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bounds); i++) {
		begin_step("10,100", 0, bounds[i], NULL);
		add(&facts.old, 900, TALLY_2XX, 10 * CLK_MS);
		add(&facts.new, 90, TALLY_2XX, 10 * CLK_MS);
		add(&facts.new, 10, TALLY_1XX, CLK_S);
		facts.old.open = 100;
		facts.new.open = 10;
		report_after(0);
		expect(ROLLOUT_WAIT, "");
		report_after(CLK_S);
		expect(ROLLOUT_WAIT, "");
		facts.new.open = 60;
		report_after(CLK_S);
		expect(ROLLOUT_WAIT, "");
		report_after(CLK_S);
		expect(ROLLOUT_GO_BACK, "requests have not ended by then");
	}
}

/* An hour of good answers does not hide that all fail now. */
static void
the_last_minutes_count_by_themselves(void **state)
{
	int s;

	(void)state;
	begin_step("10,100", 0, "errors>50%", NULL);
	service->rollout->plan.over_ns = 24 * 3600 * CLK_S;
	for (s = 0; s < 3600; s++) {
		facts.now_ns += CLK_S;
		add(&facts.new, 10, TALLY_2XX, CLK_MS);
		expect(ROLLOUT_WAIT, "");
	}
	for (s = 0; look() == ROLLOUT_WAIT && s < 3600; s++) {
		facts.now_ns += CLK_S;
		add(&facts.new, 10, TALLY_5XX, CLK_MS);
	}
	assert_in_range(s, 30, 121);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_may_be_asked_for),
		T(steps_keep_proportions_and_going_back_restores),
		T(what_it_has_already_is_no_step),
		T(a_command_that_sets_percents_ends_it),
		T(it_is_kept_in_the_document),
		T(more_time_than_the_step_has_is_the_whole_step),
		T(a_broken_state_is_an_error),
		T(steps_follow_by_time_and_end),
		T(a_step_waits_for_requests_and_for_activators),
		T(paused_it_stays_and_still_goes_back),
		T(one_that_cannot_start_gets_nothing),
		T(an_outage_holds_and_takes_nothing_back),
		T(errors_of_few_requests_do_not_decide_alone),
		T(other_classes_count_where_they_are_named),
		T(slow_requests_are_judged_by_the_quantile),
		T(requests_that_hang_are_slow_before_they_end),
		T(without_a_report_of_each_activator_none_hangs),
		T(what_breaks_with_the_old_ones_waits),
		T(relative_bounds_compare_with_the_old_ones),
		T(long_requests_of_both_sides_take_nothing_back),
		T(the_last_minutes_count_by_themselves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
