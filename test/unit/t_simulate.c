/* simulate: traces and their mistakes, modelled instances, bursts onto a revision at zero by
 * our rules, and by Knative's for comparison. */
#include "test/unit/unit.h"

#include <math.h>

#include "autoscaler/simulate/sim_fleet.h"
#include "autoscaler/simulate/sim_hindsight.h"
#include "autoscaler/simulate/sim_load.h"
#include "autoscaler/simulate/simulate.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/settings.h"
#include "common/strbuf.h"

static char *dir, *trace, *timeline;

static int
setup(void **state)
{
	(void)state;
	dir = unit_dir();
	trace = xasprintf("%s/trace.csv", dir);
	timeline = xasprintf("%s/timeline.csv", dir);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	unlink(trace);
	unlink(timeline);
	rmdir(dir);
	free(timeline);
	free(trace);
	free(dir);
	return 0;
}

static void
write_trace(const char *text)
{
	FILE *f = fopen(trace, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* --- traces --- */

/* Take the next request, which is answered at once: 1.  0: there was none at that time. */
static int
go_on(struct sim_load *l, struct err *e)
{
	int64_t at = sim_load_next_ns(l);
	struct sim_request r;
	int rc = sim_load_take(l, at, &r, e);

	if (rc > 0)
		sim_load_answered(l, 1, at + r.work_ns);
	return rc;
}

static void
mistakes_are_reported_with_their_line(void **state)
{
	static const char requests[] = "start_ms,duration_ms\n";
	static const char minutes[] = "minute,count,duration_ms\n";
	static const char clients[] = "start_ms,clients,duration_ms,think_ms\n";
	static const struct {
		const char *head, *rest, *line, *text;
	} cases[] = {
		{"", "", "1", "expected the header"},
		{"", "a,b\n1,2\n", "1", "got \"a,b\""},
		{requests, "1,2\n3\n", "3", "expected start_ms,duration_ms, got \"3\""},
		{requests, "1,2\n\n", "3", "got \"\""},
		{requests, "1,2,3\n", "2", "got \"1,2,3\""},
		{requests, "-1,2\n", "2", "got \"-1,2\""},
		{requests, "1.,2\n", "2", "got \"1.,2\""},
		{requests, "5,1\n4,1\n", "3", "expected lines in the order of time"},
		{requests, "1e9,1\n", "2", "got \"1e9,1\""},
		{requests, "99999999999,1\n", "2", "expected a time within a year"},
		{requests, "1,99999999\n", "2", "expected a duration_ms within a day"},
		{requests, "1,\x1b[31m\n", "2", "got \"1,?[31m\""},
		{clients, "0,1,1\n", "2", "expected start_ms,clients,duration_ms,think_ms"},
		{clients, "0,1,0.5,0.4\n", "2", "of together 1 ms at least"},
		{clients, "0,1.5,1,1\n", "2", "expected up to 1000000 clients"},
		{clients, "0,1000001,1,1\n", "2", "expected up to 1000000 clients"},
		{clients, "0,1,1,1\n5,2,99999999,1\n", "3", "expected a duration_ms within a day"},
		{clients, "0,1,1,99999999\n", "2", "expected a think_ms within a day"},
		{clients, "5,1,1,1\n4,1,1,1\n", "3", "expected lines in the order of time"},
		{clients, "0,1,1,1\n", "2", "expected a last line with 0 clients"},
		{minutes, "0,1,1\n0,1,1\n", "3", "expected lines in the order of time"},
		{minutes, "0.5,1,1\n", "2", "expected a whole minute"},
		{minutes, "0,1000000001,1\n", "2", "expected a whole minute and a count"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		char *text = xasprintf("%s%s", cases[i].head, cases[i].rest);
		char *where = xasprintf("%s:%s: ", trace, cases[i].line);
		struct err e = {0};
		struct sim_load *l;

		write_trace(text);
		l = sim_load_open(trace, &e);
		while (l != NULL && go_on(l, &e) >= 0 && !sim_load_is_over(l))
			;
		if (strncmp(e.text, where, strlen(where)) != 0 ||
		    strstr(e.text, cases[i].text) == NULL)
			fail_msg("%s: %s", text, e.text);
		sim_load_close(&l);
		free(where);
		free(text);
	}
}

static void
a_line_too_long_and_a_file_that_is_not_there(void **state)
{
	struct err e = {0};
	struct sim_trace *t;
	char *text = xcalloc(100001, 1);

	(void)state;
	memset(text, '1', 100000);
	write_trace(text);
	free(text);
	t = sim_trace_open(trace, &e);
	assert_null(t);
	assert_non_null(strstr(e.text, "expected a short line"));
	unlink(trace);
	t = sim_trace_open(trace, &e);
	assert_null(t);
	assert_non_null(strstr(e.text, "cannot open: No such file"));
}

static void
requests_of_a_minute_come_within_it_in_order(void **state)
{
	struct sim_trace *t;
	struct sim_request r;
	struct err e = {0};
	int64_t last = 0;
	int n = 0, in_second = 0;

	(void)state;
	write_trace("minute,count,duration_ms\r\n0,100,5\r\n3,50000,7.5");
	t = sim_trace_open(trace, &e);
	while (sim_trace_next(t, &r, &e) > 0) {
		assert_true(r.at_ns >= last);
		last = r.at_ns;
		n++;
		if (n <= 100)
			assert_true(r.at_ns <= 60 * CLK_S && r.work_ns == 5 * CLK_MS);
		else
			assert_true(r.at_ns >= 180 * CLK_S && r.at_ns <= 240 * CLK_S);
		in_second += r.at_ns >= 200 * CLK_S && r.at_ns < 201 * CLK_S;
	}
	assert_int_equal(n, 50100);
	assert_in_range(in_second, 700, 970); /* 833 on average, evenly spread */
	sim_trace_close(&t);
}

/* Two clients, then one, then none: each sends its next request a time to think after the
 * answer to the last one. */
static void
clients_wait_for_their_answers(void **state)
{
	struct err e = {0};
	struct sim_request r;
	struct sim_load *l;
	int sent[3] = {0}, rc;

	(void)state;
	write_trace("start_ms,clients,duration_ms,think_ms\n"
		    "0,2,100,900\n10000000,1,100,900\n20000000,0,100,900\n");
	l = sim_load_open(trace, &e);
	assert_non_null(l);
	assert_true(sim_load_next_ns(l) == 0 && sim_load_take(l, 0, &r, &e) == 0);
	while (!sim_load_is_over(l)) {
		int64_t at = sim_load_next_ns(l);

		rc = sim_load_take(l, at, &r, &e);
		assert_true(rc >= 0);
		if (rc == 0)
			continue;
		assert_int_equal(r.work_ns, 100 * CLK_MS);
		sent[at / (10000 * CLK_S)]++;
		sim_load_answered(l, 1, at + r.work_ns);
	}
	assert_in_range(sent[0], 19000, 21000); /* two of them, one a second each on average */
	assert_in_range(sent[1], 9300, 10700);
	assert_int_equal(sent[2], 0);
	sim_load_close(&l);
	write_trace("start_ms,clients,duration_ms,think_ms\n0,1,100,0\n5,0,100,0\n");
	l = sim_load_open(trace, &e);
	assert_int_equal(sim_load_take(l, 0, &r, &e), 1);
	assert_int_equal(sim_load_take(l, CLK_MS, &r, &e), 0); /* it waits */
	assert_true(!sim_load_is_over(l) && sim_load_next_ns(l) == 5 * CLK_MS);
	sim_load_close(&l);
}

/* --- modelled instances --- */

static void
until(struct sim_fleet *f, int64_t at)
{
	while (sim_fleet_next_ns(f) <= at)
		sim_fleet_advance(f, sim_fleet_next_ns(f));
	sim_fleet_advance(f, at);
}

static void
instances_share_what_is_beyond_their_capacity(void **state)
{
	const struct sim_fleet_conf conf = {.capacity = 10, .start_ns = CLK_S};
	struct sim_fleet *f = sim_fleet_new(&conf);
	const struct sim_request first = {0, 100 * CLK_MS}, second = {CLK_S, 100 * CLK_MS};
	int i;

	(void)state;
	for (i = 0; i < 20; i++)
		sim_fleet_request(f, &first);
	assert_int_equal(sim_fleet_parked(f), 20);
	sim_fleet_scale(f, 1, NULL, 0);
	until(f, CLK_S - 1);
	assert_int_equal(sim_fleet_open(f), 0);
	until(f, CLK_S + 100 * CLK_MS); /* all run at once, at half the speed */
	assert_int_equal(sim_fleet_in_flight(f), 20);
	for (i = 0; i < 20; i++) /* these are half done; all run at a quarter of the speed now */
		sim_fleet_request(f, &second);
	until(f, CLK_S + 299 * CLK_MS);
	assert_int_equal(sim_fleet_in_flight(f), 40);
	until(f, CLK_S + 301 * CLK_MS); /* the second 20 have 50 ms done, and run at half the speed
					   again */
	assert_int_equal(sim_fleet_in_flight(f), 20);
	until(f, CLK_S + 401 * CLK_MS);
	assert_int_equal(sim_fleet_in_flight(f), 0);
	assert_int_equal(sim_fleet_totals(f)->cold_starts, 20);
	assert_int_equal(sim_fleet_totals(f)->completed, 40);
	assert_true(fabs(sim_fleet_totals(f)->instance_s - 1.401) < 1e-6);
	sim_fleet_free(&f);
}

static void
a_limit_is_never_passed_and_order_is_kept(void **state)
{
	const struct sim_fleet_conf conf = {.container_concurrency = 2, .capacity = 2};
	struct sim_fleet *f = sim_fleet_new(&conf);
	const struct sim_request r = {0, 100 * CLK_MS};
	int i;

	(void)state;
	sim_fleet_scale(f, 2, NULL, 0);
	until(f, 0);
	for (i = 0; i < 10; i++)
		sim_fleet_request(f, &r);
	assert_int_equal(sim_fleet_in_flight(f), 4);
	assert_int_equal(sim_fleet_parked(f), 6);
	until(f, 100 * CLK_MS);
	assert_int_equal(sim_fleet_in_flight(f), 4);
	until(f, 300 * CLK_MS);
	assert_int_equal(sim_fleet_totals(f)->completed, 10);
	assert_true(fabs(sim_wait_quantile(sim_fleet_waits(f), 0.9) - 200) < 0.5);
	assert_true(fabs(sim_wait_quantile(sim_fleet_waits(f), 0.4)) < 0.001);
	sim_fleet_free(&f);
}

static void
a_stopping_instance_finishes_its_requests(void **state)
{
	const struct sim_fleet_conf conf = {.capacity = 10, .pace = 3};
	static const char *const victim[] = {"i1"};
	struct sim_fleet *f = sim_fleet_new(&conf);
	const struct sim_request r = {0, 100 * CLK_MS};
	int i;

	(void)state;
	for (i = 0; i < 5; i++)
		sim_fleet_request(f, &r);
	sim_fleet_scale(f, 1, NULL, 0);
	until(f, 0);
	assert_int_equal(sim_fleet_in_flight(f), 3); /* as the pace allows */
	sim_fleet_scale(f, 0, victim, 1);
	until(f, 50 * CLK_MS);
	assert_int_equal(sim_fleet_n(f), 1);
	until(f, 100 * CLK_MS);
	assert_int_equal(sim_fleet_n(f), 0);
	assert_int_equal(sim_fleet_parked(f), 2);
	sim_fleet_free(&f);
}

/* --- whole simulations --- */

static const char conf_text[] = "autoscaler { max_instances = 1000 }\n"
				"service \"s\" { hosts = {\"s\"}\n"
				"traffic \"v1\" { percent = 100 }\n"
				"revision \"v1\" { command = {\"x\"} target = 10 }\n"
				"revision \"limited\" { command = {\"x\"} "
				"container_concurrency = 4 }\n"
				"revision \"rated\" { command = {\"x\"} metric = rps "
				"container_concurrency = 4 }\n"
				"revision \"dry\" { command = {\"x\"} target = 10 dry_run = yes }\n"
				"revision \"far\" { addresses = {\"127.0.0.1:1\"} } }\n";

static struct settings *
settings(void)
{
	struct settings_errors errors = {NULL, 0};
	struct settings *s = settings_load_bytes("test.conf", conf_text, strlen(conf_text),
						 &errors);

	if (s == NULL)
		fail_msg("%s", errors.lines[0]);
	settings_errors_free(&errors);
	return s;
}

static double
figure(const char *json, const char *key)
{
	char *quoted = xasprintf("\"%s\":", key);
	const char *at = strstr(json, quoted);

	assert_non_null(at);
	at += strlen(quoted);
	free(quoted);
	return strtod(at, NULL);
}

static char *
run(const struct simulate_args *a, const char *expected)
{
	struct settings *s = settings();
	struct strbuf out;
	struct err e = {0};
	int rc;

	log_open(LOG_ERROR, LOG_LOGFMT, "t_simulate");
	strbuf_init(&out, 0);
	rc = simulate_run(a, s, &out, &e);
	settings_free(&s);
	if (rc < 0 && (expected == NULL || strstr(e.text, expected) == NULL))
		fail_msg("%s", e.text);
	assert_true((rc < 0) == (expected != NULL));
	return strbuf_take(&out);
}

/* is_learned: some requests one after another, and 300 s later 500 within 10 ms; else only the
 * latter. */
static void
write_burst(int duration_ms, bool is_learned)
{
	FILE *f = fopen(trace, "w");
	int i;

	assert_non_null(f);
	fputs("start_ms,duration_ms\n", f);
	for (i = 0; is_learned && i < 30; i++)
		fprintf(f, "%d,%d\n", i * (duration_ms + 100), duration_ms);
	for (i = 0; i < 500; i++)
		fprintf(f, "%d.%02d,%d\n", 300000 + i / 50, i % 50 * 2, duration_ms);
	fclose(f);
}

static char *
burst(int duration_ms, bool is_learned, bool is_knative)
{
	const struct simulate_args a = {.trace = trace,
					.revision = "s/v1",
					.timeline = timeline,
					.start_ns = 600 * CLK_MS,
					.is_knative = is_knative};

	write_burst(duration_ms, is_learned);
	return run(&a, NULL);
}

static void
a_burst_of_short_requests_needs_few(void **state)
{
	char *known = burst(5, true, false), *unknown = burst(5, false, false);

	(void)state;
	assert_true(figure(known, "peak_instances") <= 3);
	assert_true(figure(known, "max") <= 900);
	assert_true(figure(unknown, "peak_instances") <= 3);
	assert_int_equal((int)figure(unknown, "cold_starts"), 500);
	free(known);
	free(unknown);
}

/* The target needs 50 instances, with which a request waits for the start-up time at best. */
static void
a_burst_of_long_requests_gets_all_it_needs_at_once(void **state)
{
	char *known = burst(1000, true, false), *unknown = burst(1000, false, false);

	(void)state;
	assert_int_equal((int)figure(known, "peak_instances"), 50);
	assert_true(figure(known, "p50") <= 600 * 1.2);
	assert_true(figure(known, "max") <= 650);
	assert_int_equal((int)figure(unknown, "peak_instances"), 50);
	assert_true(figure(unknown, "max") <= 1500);
	free(known);
	free(unknown);
}

static void
the_other_rules_start_dozens_for_nothing(void **state)
{
	char *theirs = burst(5, true, true), *ours = burst(5, true, false);

	(void)state;
	assert_true(figure(theirs, "peak_instances") >= 20);
	assert_true(figure(theirs, "instance_seconds") > 5 * figure(ours, "instance_seconds"));
	free(theirs);
	free(ours);
}

/* --- clients that wait for their answers, under a hard limit --- */

struct second {
	unsigned parked, instances, wanted;
};

/* One row of the timeline. */
static struct second
at_second(long n)
{
	FILE *f = fopen(timeline, "r");
	struct second s = {0, 0, 0};
	char line[200], *at = line;
	int i;

	assert_non_null(f);
	for (i = 0; i < n + 2; i++)
		assert_non_null(fgets(line, sizeof line, f));
	fclose(f);
	assert_int_equal(strtol(at, &at, 10), n);
	(void)strtod(at + 1, &at); /* concurrency */
	s.parked = (unsigned)strtol(at + 1, &at, 10);
	s.instances = (unsigned)strtol(at + 1, &at, 10);
	s.wanted = (unsigned)strtol(at + 1, &at, 10);
	return s;
}

/* 8 clients, 40 from the 60th second on, none from the 180th on; each request takes 100 ms. */
static char *
step_of_clients(const char *revision, int start_s, bool is_knative)
{
	const struct simulate_args a = {.trace = trace,
					.revision = revision,
					.timeline = timeline,
					.start_ns = start_s * CLK_S,
					.is_knative = is_knative};

	write_trace("start_ms,clients,duration_ms,think_ms\n"
		    "0,8,100,0\n60000,40,100,0\n180000,0,100,0\n");
	return run(&a, NULL);
}

/* Ten instances of four slots are needed.  All that is answered is what three answer, until there
 * are more: what waits tells. */
static void
what_waits_under_a_limit_is_demand(void **state)
{
	static const char *const revisions[] = {"s/limited", "s/rated"};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(revisions); i++) {
		char *json = step_of_clients(revisions[i], 1, false);
		long second;

		assert_in_range(at_second(58).instances, 2, 3);
		for (second = 64; second < 180; second++) {
			struct second at = at_second(second);

			if (at.instances < 10 || at.instances > 15 || at.parked > 0)
				fail_msg("%s: %u instances, %u parked in second %ld", revisions[i],
					 at.instances, at.parked, second);
		}
		free(json);
	}
}

/* Knative counts what waits, too.  Ours answers as much in as little, for less; but where the
 * hard limit lets fewer requests a second through than the target, Knative's stays at one
 * instance. */
static void
the_other_rules_on_clients(void **state)
{
	int start_s;
	char *ours, *theirs;

	(void)state;
	for (start_s = 1; start_s <= 5; start_s += 4) {
		ours = step_of_clients("s/limited", start_s, false);
		theirs = step_of_clients("s/limited", start_s, true);
		print_message("start %d s: requests %.0f, Knative's %.0f; instance seconds %.0f, "
			      "Knative's %.0f; mean wait %.1f ms, Knative's %.1f ms\n",
			      start_s, figure(ours, "requests"), figure(theirs, "requests"),
			      figure(ours, "instance_seconds"), figure(theirs, "instance_seconds"),
			      figure(ours, "mean"), figure(theirs, "mean"));
		assert_true(figure(ours, "requests") >= figure(theirs, "requests"));
		assert_true(figure(ours, "mean") <= figure(theirs, "mean"));
		assert_true(figure(ours, "instance_seconds") <=
			    1.02 * figure(theirs, "instance_seconds"));
		free(ours);
		free(theirs);
	}
	ours = step_of_clients("s/rated", 1, false);
	theirs = step_of_clients("s/rated", 1, true);
	assert_int_equal((int)figure(theirs, "peak_instances"), 1);
	assert_true(figure(ours, "requests") > 5 * figure(theirs, "requests"));
	free(ours);
	free(theirs);
}

/* From zero, the wait for the start is no load: one instance answers what waits at once. */
static void
a_slow_start_is_no_load(void **state)
{
	const struct simulate_args a = {
		.trace = trace, .revision = "s/v1", .timeline = timeline, .start_ns = 20 * CLK_S};
	char *json;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		/* clients that think, and the requests of the same in an open loop */
		write_trace(i == 0 ? "start_ms,clients,duration_ms,think_ms\n"
				     "0,100,5,1000\n60000,0,5,1000\n"
				   : "minute,count,duration_ms\n0,6000,5\n");
		json = run(&a, NULL);
		assert_true(figure(json, "peak_instances") <= 3); /* unknown response times */
		assert_int_equal(at_second(40).parked, 0);
		free(json);
	}
}

static void
the_same_in_every_run_and_in_a_dry_run(void **state)
{
	struct simulate_args a = {.trace = trace, .revision = "s/v1", .start_ns = CLK_S};
	char *first, *again, *dry;

	(void)state;
	write_trace("minute,count,duration_ms\n0,3000,200\n5,6000,100\n");
	first = run(&a, NULL);
	again = run(&a, NULL);
	a.revision = "s/dry";
	dry = run(&a, NULL);
	assert_string_equal(first, again);
	assert_string_equal(first, dry);
	assert_int_equal((int)figure(first, "requests"), 9000);
	free(first);
	free(again);
	free(dry);
}

static void
a_timeline_has_a_line_for_each_second(void **state)
{
	char line[200], first[200] = "";
	char *json = burst(5, true, false);
	long at, n = 0;
	FILE *f = fopen(timeline, "r");

	(void)state;
	free(json);
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof line, f));
	assert_string_equal(line, "second,concurrency,parked,instances,wanted,rule\n");
	while (fgets(line, sizeof line, f) != NULL) {
		at = strtol(line, NULL, 10);
		assert_int_equal(at, n++);
		if (at == 1)
			snprintf(first, sizeof first, "%s", line);
	}
	fclose(f);
	assert_true(n > 300);
	assert_non_null(strstr(first, ",0,1,1,stable\n"));
}

static void
arguments_that_do_not_fit(void **state)
{
	struct simulate_args a = {.trace = trace, .start_ns = CLK_S};

	(void)state;
	write_trace("start_ms,duration_ms\n");
	free(run(&a, "needs --revision"));
	a.revision = "s/v2";
	free(run(&a, "there is no revision \"s/v2\""));
	a.revision = "s/far";
	free(run(&a, "test.conf:8: revision \"s/far\" has addresses"));
	a.revision = "s/v1";
	a.timeline = "/nowhere/at/all";
	free(run(&a, "/nowhere/at/all: cannot open"));
	a.timeline = NULL;
	free(run(&a, NULL)); /* no request */
	write_trace("start_ms,duration_ms\n1,1\n0,1\n");
	free(run(&a, ":3: expected lines in the order of time"));
}

static void
options(void **state)
{
	static const struct simulate_args wrong[] = {
		{.is_compare = true},
		{.from_day = 1},
		{.trace = "t", .from_day = 1},
		{.trace = "t", .svg = "x"},
		{.trace = "t", .sweep = "k=1", .is_compare = true},
		{.trace = "t", .sweep = "k=1", .timeline = "x"},
		{.trace = "t", .is_compare = true, .timeline = "x"},
		{.trace = "t", .is_compare = true, .is_knative = true},
		{.trace = "t", .sweep = "k=1", .wait_costs_n = 1},
	};
	static const struct simulate_args right[] = {
		{.trace = NULL},
		{.trace = "t", .is_knative = true, .timeline = "x"},
		{.trace = "t", .is_compare = true, .from_day = 1, .wait_costs_n = 1},
		{.trace = "t", .sweep = "k=1", .from_day = 1, .svg = "x"},
	};
	struct simulate_args a = {.start_ns = SIMULATE_START_NS};
	const struct option *o;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(simulate_check(&wrong[i], &e), -1);
	for (i = 0; i < ARRAY_LEN(right); i++)
		assert_int_equal(simulate_check(&right[i], &e), 0);
	for (o = simulate_options; o->name != NULL; o++) {
		if (strcmp(o->name, "start-time") == 0) {
			assert_int_equal(simulate_option(o->val, "800ms", &a, &e), 0);
			assert_int_equal(a.start_ns, 800 * CLK_MS);
			assert_int_equal(simulate_option(o->val, "soon", &a, &e), -1);
			assert_int_equal(simulate_option(o->val, "25h", &a, &e), -1);
			assert_non_null(strstr(e.text, "--start-time: expected"));
		} else if (strcmp(o->name, "from-day") == 0) {
			assert_int_equal(simulate_option(o->val, "0", &a, &e), -1);
			assert_string_equal(e.text, "--from-day: expected 1 to 400, got \"0\"");
		} else if (strcmp(o->name, "wait-costs") == 0) {
			assert_int_equal(simulate_option(o->val, "1,,2", &a, &e), -1);
			assert_non_null(strstr(e.text, "--wait-costs: expected 1 to 8 numbers"));
		} else if (strcmp(o->name, "preset") == 0) {
			assert_int_equal(simulate_option(o->val, "kubernetes", &a, &e), -1);
			assert_int_equal(simulate_option(o->val, "knative", &a, &e), 0);
			assert_true(a.is_knative);
		}
	}
}

/* --- in hindsight --- */

static struct sim_hindsight *
open_hindsight(const char *text, double capacity, uint32_t most, size_t from_day)
{
	const struct sim_hindsight_conf conf = {.trace = trace,
						.capacity = capacity,
						.instances_most = most,
						.start_ns = 2 * CLK_S,
						.from_day = from_day};
	struct sim_hindsight *h;
	struct err e = {0};

	write_trace(text);
	h = sim_hindsight_open(&conf, &e);
	assert_non_null(h);
	return h;
}

static void
assert_amount(struct sim_amount a, double instance_s, double waited_s)
{
	if (fabs(a.instance_s - instance_s) > 0.01 || fabs(a.waited_s - waited_s) > 0.01)
		fail_msg("%g instance-seconds, %g s waited", a.instance_s, a.waited_s);
}

/* Two requests of a second, 600 s apart; then one beside another, which needs a second instance. */
static void
known_in_hindsight(void **state)
{
	static const char two_days[] =
		"start_ms,duration_ms\n0,1000\n601000,1000\n90000000,5000\n90001000,1000\n";
	struct sim_hindsight *h = open_hindsight(two_days, 1, 0, 0);
	struct sim_amount days[2];
	struct sim_policy p;

	(void)state;
	assert_int_equal(sim_hindsight_days_n(h), 2);
	sim_hindsight_days(h, NULL, days, 2);
	/* 2 s of use, the first start and one just in time; its waiting */
	assert_amount(days[0], 6, 2);
	/* likewise; and the second instance was never used before */
	assert_amount(days[1], 10, 2);
	/* Of two idle times the longer one is met.  It is 2 s shorter after a start. */
	p = sim_hindsight_best(h, 1);
	assert_true(fabs(p.back_after_s - 89396) < 0.01 && fabs(p.kept_s - 89398) < 0.01);
	sim_hindsight_close(&h);
	h = open_hindsight(two_days, 2, 0, 0); /* one instance suffices */
	sim_hindsight_days(h, NULL, days, 2);
	assert_amount(days[1], 7, 0);
	sim_hindsight_close(&h);
	h = open_hindsight("start_ms,duration_ms\n0,1000\n601000,1000\n1202000,1000\n", 1, 0, 0);
	p = sim_hindsight_best(h, 100);
	assert_true(fabs(p.back_after_s - 598) < 0.01 && fabs(p.kept_s - 600) < 0.01);
	sim_hindsight_days(h, &p, days, 1); /* ready just in time once, and 2 s before once */
	assert_amount(days[0], 11, 2);
	p = (struct sim_policy){0, 100}; /* too short: each waits, and each instance idles */
	sim_hindsight_days(h, &p, days, 1);
	assert_amount(days[0], 209, 6);
	p = (struct sim_policy){0, INFINITY};
	sim_hindsight_days(h, &p, days, 1);
	assert_amount(days[0], 1203, 2);
	sim_hindsight_close(&h);
}

/* All requests that come before an instance is ready wait for it, though the first of them would
 * have ended long before. */
static void
all_that_come_during_a_start_wait(void **state)
{
	static const char three[] =
		"start_ms,duration_ms\n0,10\n500,10\n1500,10\n100000,10\n101000,10\n102100,10\n";
	struct sim_hindsight *h = open_hindsight(three, 1, 0, 0);
	struct sim_policy at_once = {0, 0}, kept = {0, 1};
	struct sim_amount day;

	(void)state;
	sim_hindsight_days(h, NULL, &day, 1);
	/* 2 + 1.5 + 0.5 s for the first start; kept or started just in time for the others */
	assert_amount(day, 2.03 + 2 + 2.11, 4);
	sim_hindsight_days(h, &kept, &day, 1); /* the last one comes 0.08 s after the others' end */
	assert_amount(day, 2.03 + 1 + 2.11, 4 + 3);
	sim_hindsight_days(h, &at_once, &day, 1);
	assert_amount(day, 2.03 + 2.02 + 2.01, 4 + 3 + 2);
	sim_hindsight_close(&h);
}

/* Each instance has idle times of its own. */
static void
each_instance_has_its_idle_times(void **state)
{
	static const char text[] = "start_ms,duration_ms\n0,1000\n0,1000\n0,1000\n0,1000\n"
				   "11000,1000\n61000,1000\n61000,1000\n61000,1000\n";
	struct sim_hindsight *h = open_hindsight(text, 2, 0, 0);
	struct sim_policy p = {0, 20};
	struct sim_amount day;

	(void)state;
	sim_hindsight_days(h, NULL, &day, 1);
	assert_amount(day, (3 + 3 + 3) + (3 + 3), 8);
	/* The first instance idles 8 s, then 20 of 49 s; the second one 20 of 58 s.  Of the last
	 * three requests two wait for the first instance, and one for the second one. */
	sim_hindsight_days(h, &p, &day, 1);
	assert_amount(day, (3 + 8 + 1 + 20 + 3) + (3 + 20 + 3), 8 + 6);
	p = sim_hindsight_best(h, 0);
	assert_true(p.kept_s < 1);
	sim_hindsight_close(&h);
}

/* At most two instances: two of four requests wait for the others, whatever the policy. */
static void
no_more_instances_than_allowed(void **state)
{
	static const char text[] = "start_ms,duration_ms\n0,1000\n0,1000\n0,1000\n0,1000\n"
				   "90000000,1000\n90000000,1000\n90000000,1000\n";
	struct sim_hindsight *h = open_hindsight(text, 1, 2, 1);
	struct sim_amount days[2];

	(void)state;
	sim_hindsight_days(h, NULL, days, 2);
	/* they come to each instance 2 s and 1 s before it is ready, one of them after 1 s */
	assert_amount(days[0], 8, 2 * (2 + 1) + 2);
	assert_amount(days[1], 4 + 3, 1); /* one request has an instance, two share the other one */
	sim_hindsight_close(&h);
}

/* More idle times than are tried one by one: of 1,000 the 999 shorter ones are met exactly. */
static void
the_best_of_many_idle_times(void **state)
{
	struct sim_hindsight *h;
	struct sim_amount day;
	struct sim_policy p;
	struct strbuf text;
	int64_t at_ms = 0;
	int i;

	(void)state;
	strbuf_init(&text, 0);
	strbuf_adds(&text, "start_ms,duration_ms\n");
	for (i = 0; i <= 1000; i++) {
		strbuf_addf(&text, "%lld,1000\n", (long long)at_ms);
		at_ms += i < 999 ? 11000 + i : 1000000;
	}
	h = open_hindsight(text.data, 1, 0, 0);
	strbuf_fini(&text);
	p = sim_hindsight_best(h, 100);
	assert_true(fabs(p.back_after_s - 8) < 0.01 && fabs(p.kept_s - 10.999) < 0.01);
	sim_hindsight_days(h, &p, &day, 1);
	assert_true(fabs(day.waited_s - 4) < 1e-6);
	sim_hindsight_close(&h);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(mistakes_are_reported_with_their_line),
		T(a_line_too_long_and_a_file_that_is_not_there),
		T(requests_of_a_minute_come_within_it_in_order),
		T(clients_wait_for_their_answers),
		cmocka_unit_test(instances_share_what_is_beyond_their_capacity),
		cmocka_unit_test(a_limit_is_never_passed_and_order_is_kept),
		cmocka_unit_test(a_stopping_instance_finishes_its_requests),
		T(a_burst_of_short_requests_needs_few),
		T(a_burst_of_long_requests_gets_all_it_needs_at_once),
		T(the_other_rules_start_dozens_for_nothing),
		T(what_waits_under_a_limit_is_demand),
		T(the_other_rules_on_clients),
		T(a_slow_start_is_no_load),
		T(the_same_in_every_run_and_in_a_dry_run),
		T(a_timeline_has_a_line_for_each_second),
		T(arguments_that_do_not_fit),
		T(known_in_hindsight),
		T(all_that_come_during_a_start_wait),
		T(each_instance_has_its_idle_times),
		T(no_more_instances_than_allowed),
		T(the_best_of_many_idle_times),
		cmocka_unit_test(options),
	};

	return cmocka_run_group_tests_name("simulate", tests, NULL, NULL);
}
