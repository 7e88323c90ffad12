/* Bursts onto a revision at zero, and restarts of the autoscaler, on simulated time, to the
 * millisecond: how many instances are wanted when, compared with the best number that an
 * operator who knew the burst could choose. */
#include "test/unit/unit.h"

#include "autoscaler/simulate/sim_brain.h"
#include "autoscaler/simulate/sim_fleet.h"
#include "common/clk.h"
#include "common/log.h"

#define START (600 * CLK_MS)
#define BURST 500
#define LESSONS 30 /* requests before the burst, from which response times are learned */
#define MOMENTS 4096

struct moment {
	int64_t at_ns;
	uint32_t wanted;
	char rule[24];
};

struct stage {
	struct settings *settings;
	struct sim_brain as, *brain;
	struct sim_fleet *fleet;
	uint64_t seen;
	bool was_waiting;
	int64_t now;
	int64_t begun_ns;	  /* when the burst began */
	int64_t ready_ns;	  /* when the first instance answered after that; 0: not yet */
	int64_t answered_ns;	  /* how long after begun_ns all were answered; 0: not yet */
	struct moment v[MOMENTS]; /* each change of the wanted number or of its reason */
	size_t n;
};

static struct settings *
settings(void)
{
	static const char text[] = "autoscaler { max_instances = 1000 }\n"
				   "service \"s\" { hosts = {\"s\"}\n"
				   "revision \"v1\" { command = {\"x\"} target = 10 } }\n";
	struct settings_errors errors = {NULL, 0};
	struct settings *s = settings_load_bytes("test.conf", text, strlen(text), &errors);

	if (s == NULL)
		fail_msg("%s", errors.lines[0]);
	settings_errors_free(&errors);
	return s;
}

static void
note(struct stage *s)
{
	uint32_t wanted = sim_ours.wanted(s->brain);
	const char *rule = sim_ours.rule(s->brain);
	struct moment *last = s->n == 0 ? NULL : &s->v[s->n - 1];

	if (last != NULL && last->wanted == wanted && strcmp(last->rule, rule) == 0)
		return;
	assert_true(s->n < MOMENTS);
	s->v[s->n].at_ns = s->now;
	s->v[s->n].wanted = wanted;
	snprintf(s->v[s->n++].rule, sizeof s->v->rule, "%s", rule);
}

static void
look(struct stage *s)
{
	bool is_waiting = sim_fleet_parked(s->fleet) > 0;

	if (s->ready_ns == 0 && sim_fleet_open(s->fleet) > 0)
		s->ready_ns = s->now;
	if (s->answered_ns == 0 && s->ready_ns > 0 &&
	    sim_fleet_parked(s->fleet) + sim_fleet_in_flight(s->fleet) == 0)
		s->answered_ns = s->now - s->begun_ns;
	if (s->now < sim_ours.next_ns(s->brain) && sim_fleet_changes(s->fleet) == s->seen &&
	    is_waiting == s->was_waiting)
		return;
	sim_ours.step(s->brain, s->now);
	s->seen = sim_fleet_changes(s->fleet);
	s->was_waiting = sim_fleet_parked(s->fleet) > 0;
	note(s);
}

static void
go_on(struct stage *s, int64_t until)
{
	for (;;) {
		int64_t at = MIN(sim_ours.next_ns(s->brain), sim_fleet_next_ns(s->fleet));

		s->now = MIN(MAX(at, s->now), until);
		sim_fleet_advance(s->fleet, s->now);
		look(s);
		if (at > until)
			return;
	}
}

static void
ask(struct stage *s, uint32_t n, int64_t work_ns)
{
	const struct sim_request r = {s->now, work_ns};

	while (n-- > 0)
		sim_fleet_request(s->fleet, &r);
	look(s);
}

static struct stage *
open_stage(void)
{
	struct sim_fleet_conf fleet = {.capacity = 10, .start_ns = START};
	struct stage *s = xcalloc(1, sizeof *s);

	log_open(LOG_ERROR, LOG_LOGFMT, "t_burst");
	s->settings = settings();
	s->as = (struct sim_brain){.conf = &s->settings->services[0].revisions[0],
				   .max_instances = 1000};
	fleet.pace = sim_ours.pace(s->as.conf);
	s->as.fleet = s->fleet = sim_fleet_new(&fleet);
	s->brain = sim_ours.open(&s->as, 0);
	return s;
}

static void
close_stage(struct stage **sp)
{
	struct stage *s = *sp;

	*sp = NULL;
	sim_ours.close(s->brain);
	sim_fleet_free(&s->fleet);
	settings_free(&s->settings);
	free(s);
}

/* 500 requests at once while no instance runs; is_known: some requests came before, one at a
 * time, and the revision was scaled to zero again. */
static struct stage *
burst(int64_t work_ns, bool is_known, int64_t phase)
{
	struct stage *s = open_stage();
	int i;

	for (i = 0; is_known && i < LESSONS; i++) {
		ask(s, 1, work_ns);
		go_on(s, s->now + work_ns + START);
	}
	go_on(s, (is_known ? 300 : 3) * CLK_S + phase);
	assert_int_equal(sim_fleet_n(s->fleet), 0);
	s->n = 0;
	s->ready_ns = s->answered_ns = 0;
	s->begun_ns = s->now;
	ask(s, BURST, work_ns);
	return s;
}

/* --- bursts --- */

/* The wanted number at that time. */
static const struct moment *
at(const struct stage *s, int64_t ns)
{
	size_t i = s->n;

	while (i > 1 && s->v[i - 1].at_ns > ns)
		i--;
	return &s->v[i - 1];
}

static uint32_t
most_until(const struct stage *s, int64_t ns)
{
	uint32_t most = 0;
	size_t i;

	for (i = 0; i < s->n && s->v[i].at_ns <= ns; i++)
		most = MAX(most, s->v[i].wanted);
	return most;
}

/* In whichever part of a second the burst comes. */
static void
nothing_known_and_short(void **state)
{
	int64_t phase;

	(void)state;
	for (phase = 0; phase < CLK_S; phase += 70 * CLK_MS) {
		struct stage *s = burst(5 * CLK_MS, false, phase);

		go_on(s, s->now + 5 * CLK_S);
		assert_int_equal(most_until(s, INT64_MAX), 3);
		assert_int_equal(at(s, s->ready_ns + 100 * CLK_MS)->wanted, 1);
		assert_true(s->answered_ns < START + 100 * CLK_MS);
		close_stage(&s);
	}
}

/* Requests that take longer than the first reports can see: the surplus goes with the last of
 * the early reports, not with the next regular one. */
static void
nothing_known_and_not_so_short(void **state)
{
	int64_t phase;

	(void)state;
	for (phase = 0; phase < CLK_S; phase += 70 * CLK_MS) {
		struct stage *s = burst(7 * CLK_MS, false, phase);

		go_on(s, s->now + 5 * CLK_S);
		assert_int_equal(most_until(s, INT64_MAX), 3);
		assert_true(s->answered_ns > START + 100 * CLK_MS);
		assert_int_equal(at(s, s->begun_ns + s->answered_ns - 10 * CLK_MS)->wanted, 3);
		assert_int_equal(at(s, s->begun_ns + s->answered_ns + CLK_MS)->wanted, 1);
		close_stage(&s);
	}
}

static void
nothing_known_and_long(void **state)
{
	int64_t phase;

	(void)state;
	for (phase = 0; phase < CLK_S; phase += 70 * CLK_MS) {
		struct stage *s = burst(CLK_S, false, phase);

		go_on(s, s->now + 5 * CLK_S);
		assert_int_equal(most_until(s, s->ready_ns), 3);
		assert_int_equal(at(s, s->ready_ns + 80 * CLK_MS)->wanted, 50);
		assert_string_equal(at(s, s->ready_ns + 80 * CLK_MS)->rule, "backlog");
		assert_int_equal(most_until(s, INT64_MAX), 50);
		assert_true(s->answered_ns < 2 * START + 80 * CLK_MS + CLK_S + CLK_MS);
		close_stage(&s);
	}
}

/* Between the two: never twice as many instances as with a known response time. */
static void
nothing_known_and_in_between(void **state)
{
	int64_t work_ns;

	(void)state;
	for (work_ns = 10 * CLK_MS; work_ns < CLK_S; work_ns *= 2) {
		struct stage *s = burst(work_ns, false, 0), *known = burst(work_ns, true, 0);
		uint32_t most, enough;

		go_on(s, s->now + 5 * CLK_S);
		go_on(known, known->now + 5 * CLK_S);
		most = most_until(s, INT64_MAX);
		enough = most_until(known, INT64_MAX);
		print_message("%lld ms: %u wanted, %u if known\n", (long long)(work_ns / CLK_MS),
			      most, enough);
		assert_true(most <= MAX(2 * enough, 3u));
		close_stage(&s);
		close_stage(&known);
	}
}

static void
known_all_is_wanted_at_once(void **state)
{
	int64_t phase;

	(void)state;
	for (phase = 0; phase < CLK_S; phase += 70 * CLK_MS) {
		struct stage *s = burst(CLK_S, true, phase);

		assert_int_equal(s->v[0].wanted, 50);
		assert_string_equal(s->v[0].rule, "backlog");
		close_stage(&s);
		s = burst(5 * CLK_MS, true, phase);
		go_on(s, s->now + 5 * CLK_S);
		assert_true(most_until(s, INT64_MAX) <= 3);
		assert_true(s->answered_ns <= START * 3 / 2);
		close_stage(&s);
	}
}

/* --- compared with the best number --- */

struct outcome {
	double p50_ms, instance_s;
};

static struct outcome
by_hand(uint32_t n, int64_t work_ns)
{
	struct sim_fleet_conf conf = {.capacity = 10, .start_ns = START};
	const struct sim_request r = {0, work_ns};
	struct settings *known = settings();
	struct sim_fleet *f;
	struct outcome o;
	int i;

	conf.pace = sim_ours.pace(&known->services[0].revisions[0]);
	settings_free(&known);
	f = sim_fleet_new(&conf);
	sim_fleet_scale(f, n, NULL, 0);
	for (i = 0; i < BURST; i++)
		sim_fleet_request(f, &r);
	while (sim_fleet_totals(f)->completed < BURST)
		sim_fleet_advance(f, sim_fleet_next_ns(f));
	o.p50_ms = sim_wait_quantile(sim_fleet_waits(f), 0.5);
	o.instance_s = sim_fleet_totals(f)->last_answer_instance_s;
	sim_fleet_free(&f);
	return o;
}

/* A burst starts about as many instances as is best: of all numbers that cost no more until
 * the last answer, none shortens the waits by a sixth. */
static void
as_good_as_the_best_number_by_hand(void **state)
{
	struct stage *s = burst(CLK_S, true, 370 * CLK_MS);
	double cost = sim_fleet_totals(s->fleet)->instance_s, p50, best = 1e9;
	uint32_t n, best_n = 0;

	(void)state;
	go_on(s, s->now + 5 * CLK_S);
	cost = sim_fleet_totals(s->fleet)->last_answer_instance_s - cost;
	/* the requests before the burst did not wait: they are below the middle */
	p50 = sim_wait_quantile(sim_fleet_waits(s->fleet),
				(LESSONS + BURST * 0.5) / (LESSONS + BURST));
	close_stage(&s);
	print_message("ours: %.1f instance-seconds, p50 %.0f ms\n", cost, p50);
	for (n = 1; n <= 100; n++) {
		struct outcome o = by_hand(n, CLK_S);

		if (n % 10 == 0)
			print_message("%3u: %.1f instance-seconds, p50 %.0f ms\n", n, o.instance_s,
				      o.p50_ms);
		if (o.instance_s > cost * (1 + 1e-9) || o.p50_ms >= best)
			continue;
		best = o.p50_ms;
		best_n = n;
	}
	print_message("the best that costs no more: %u, p50 %.0f ms\n", best_n, best);
	assert_true(best_n > 0 && p50 <= 1.2 * best);
}

/* --- restarts --- */

/* So many requests a second, evenly spread, of 500 ms each. */
static void
load(struct stage *s, int64_t span, unsigned a_second)
{
	int64_t until = s->now + span;

	while (s->now < until) {
		ask(s, 1, 500 * CLK_MS);
		go_on(s, s->now + CLK_S / a_second);
	}
}

static void
restart(struct stage *s)
{
	sim_ours.close(s->brain);
	s->as.is_restart = true;
	s->brain = sim_ours.open(&s->as, s->now);
	s->n = 0;
	note(s);
}

/* It finds 8 instances and hears of load for 2: the others stay for a stable window. */
static void
after_a_restart_nothing_goes_until_enough_is_known(void **state)
{
	struct stage *s = open_stage();
	int64_t begun;
	size_t i;

	(void)state;
	load(s, 120 * CLK_S, 100);
	assert_int_equal(sim_ours.wanted(s->brain), 8);
	begun = s->now;
	restart(s);
	load(s, 59 * CLK_S, 20);
	for (i = 0; i < s->n; i++)
		assert_int_equal(s->v[i].wanted, 8);
	assert_string_equal(sim_ours.rule(s->brain), "restarted");
	assert_int_equal(sim_fleet_ready(s->fleet), 8);
	load(s, 20 * CLK_S, 20);
	assert_int_equal(sim_ours.wanted(s->brain), 2);
	for (i = 0; i < s->n; i++)
		assert_true(s->v[i].wanted == 8 || s->v[i].at_ns - begun >= 60 * CLK_S);
	close_stage(&s);
}

/* It finds no instance, and starts its own by a guess, which is corrected all the same. */
static void
after_a_restart_that_found_nothing(void **state)
{
	struct stage *s = open_stage();

	(void)state;
	restart(s);
	go_on(s, 370 * CLK_MS);
	s->begun_ns = s->now;
	ask(s, BURST, 5 * CLK_MS);
	go_on(s, s->now + CLK_S);
	assert_int_equal(most_until(s, INT64_MAX), 3);
	assert_int_equal(at(s, s->ready_ns + 100 * CLK_MS)->wanted, 1);
	close_stage(&s);
}

/* It scales up at once, and idle instances stay as well. */
static void
after_a_restart_more_is_wanted_at_once(void **state)
{
	struct stage *s = open_stage();

	(void)state;
	load(s, 120 * CLK_S, 100);
	restart(s);
	ask(s, 500, 500 * CLK_MS);
	load(s, CLK_S, 100);
	assert_true(sim_ours.wanted(s->brain) > 8);
	close_stage(&s);
	s = open_stage();
	load(s, 120 * CLK_S, 100);
	restart(s);
	go_on(s, s->now + 59 * CLK_S);
	assert_true(sim_ours.wanted(s->brain) >= 8);
	go_on(s, s->now + 10 * CLK_S);
	assert_int_equal(sim_ours.wanted(s->brain), 0);
	close_stage(&s);
}

/* The new autoscaler knows nothing of the parked requests until an activator reports them. */
static void
a_restart_while_requests_are_parked(void **state)
{
	struct stage *s = burst(CLK_S, false, 0);

	(void)state;
	go_on(s, s->now + START / 2);
	restart(s);
	assert_int_equal(sim_ours.wanted(s->brain), 3);
	go_on(s, s->begun_ns + START + 100 * CLK_MS);
	assert_int_equal(most_until(s, INT64_MAX), 50);
	go_on(s, s->now + 2 * CLK_S);
	assert_int_equal(sim_fleet_parked(s->fleet), 0);
	close_stage(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_known_and_short),
		cmocka_unit_test(nothing_known_and_not_so_short),
		cmocka_unit_test(nothing_known_and_long),
		cmocka_unit_test(nothing_known_and_in_between),
		cmocka_unit_test(known_all_is_wanted_at_once),
		cmocka_unit_test(as_good_as_the_best_number_by_hand),
		cmocka_unit_test(after_a_restart_nothing_goes_until_enough_is_known),
		cmocka_unit_test(after_a_restart_that_found_nothing),
		cmocka_unit_test(after_a_restart_more_is_wanted_at_once),
		cmocka_unit_test(a_restart_while_requests_are_parked),
	};

	return cmocka_run_group_tests_name("burst", tests, NULL, NULL);
}
