/* decide: the numbers of Knative's own tests, each rule and each bound of ours, and
 * properties that hold for all inputs. */
#include "test/unit/unit.h"

#include "autoscaler/brain/decide.h"
#include "common/clk.h"

/* The settings of Knative's tests: no utilisation, rates of 10, a panic that is held. */
static const struct scaling reference = {.metric = METRIC_CONCURRENCY,
					 .target = 10,
					 .target_utilization = 100,
					 .activation_scale = 1,
					 .enable_scale_to_zero = true,
					 .stable_window = 60 * CLK_S,
					 .panic_window_percentage = 10,
					 .panic_threshold_percentage = 200,
					 .panic_hold = true,
					 .max_scale_up_rate = 10,
					 .max_scale_down_rate = 10,
					 .scale_to_zero_grace = 30 * CLK_S};

/* A view with requests in flight and these averages. */
static struct decide_view
averages(double stable, double panic, uint32_t ready)
{
	return (struct decide_view){.has_stable = true,
				    .has_panic = true,
				    .stable = stable,
				    .panic = panic,
				    .ready = ready,
				    .scale = ready,
				    .in_flight = 1,
				    .arrivals = -1,
				    .steady_arrivals = -1,
				    .latency_s = -1,
				    .start_s = -1,
				    .learned_keep_s = -1};
}

static struct decide_out
once(const struct scaling *s, const struct decide_view *v)
{
	struct decide_state *st = decide_state_new();
	struct decide_out o = decide(s, v, st, 1000 * CLK_S);

	decide_state_free(&st);
	return o;
}

static void
expect(struct decide_out o, uint32_t wanted, enum decide_rule rule)
{
	if (o.wanted != wanted || o.rule != rule)
		fail_msg("wanted %u by %s, expected %u by %s", o.wanted, decide_rule_name(o.rule),
			 wanted, decide_rule_name(rule));
}

/* --- the numbers of Knative's tests (pkg/autoscaler/scaling) --- */

static void
the_reference_in_one_step(void **state)
{
	static const struct {
		double target, up, down, stable, panic;
		uint32_t ready, wanted;
		enum decide_rule rule;
	} cases[] = {
		{10, 10, 10, 50, 50, 1, 5, DECIDE_PANIC},
		{181, 10, 10, 21, 26, 1, 1, DECIDE_STABLE},
		{10, 10, 10, 50, 49, 1, 5, DECIDE_PANIC},
		{10, 10, 10, 50, 50, 5, 5, DECIDE_STABLE},
		{1, 1.1, 10, 3, 3.1, 2, 3, DECIDE_UP_RATE},
		{10, 10, 1.1, 1, 1, 100, 90, DECIDE_DOWN_RATE},
		{10, 10, 10, 50, 100, 1, 10, DECIDE_PANIC},
		{10, 10, 10, 50, 10, 1, 5, DECIDE_STABLE},
		{10, 10, 10, 100, 10, 1, 10, DECIDE_STABLE},
		{10, 10, 10, 100, 100, 8, 10, DECIDE_STABLE},
		{10, 10, 10, 50, 50, 8, 5, DECIDE_STABLE},
		{10, 10, 10, 1, 0, 1, 1, DECIDE_STABLE},
		{10, 10, 10, 1000, 1001, 1, 10, DECIDE_UP_RATE},
		{10, 10, 10, 1000, 1001, 10, 100, DECIDE_UP_RATE},
		{10, 10, 10, 1, 1, 100, 10, DECIDE_DOWN_RATE},
		{10, 10, 10, 1, 1, 10, 1, DECIDE_STABLE},
		{10, 10, 10, 1000, 888, 0, 10, DECIDE_UP_RATE},
		{1, 10, 10, 100, 101, 10, 100, DECIDE_UP_RATE},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct scaling s = reference;
		struct decide_view v = averages(cases[i].stable, cases[i].panic, cases[i].ready);

		s.target = cases[i].target;
		s.max_scale_up_rate = cases[i].up;
		s.max_scale_down_rate = cases[i].down;
		expect(once(&s, &v), cases[i].wanted, cases[i].rule);
	}
}

struct step {
	double at_s, stable, panic;
	uint32_t ready, wanted;
	bool is_panicking;
};

static void
play(const struct scaling *s, const struct step *steps, size_t n)
{
	struct decide_state *st = decide_state_new();
	size_t i;

	for (i = 0; i < n; i++) {
		struct decide_view v = averages(steps[i].stable, steps[i].panic, steps[i].ready);
		struct decide_out o = decide(s, &v, st,
					     1000 * CLK_S + (int64_t)(steps[i].at_s * CLK_S));

		if (o.wanted != steps[i].wanted || o.is_panicking != steps[i].is_panicking)
			fail_msg("at %g s: wanted %u, panicking %d", steps[i].at_s, o.wanted,
				 o.is_panicking);
	}
	decide_state_free(&st);
}

static void
the_reference_in_a_panic(void **state)
{
	static const struct step then_down[] = {{0, 100, 100, 1, 10, true},
						{0, 100, 1000, 10, 100, true},
						{30, 1, 1, 10, 100, true},
						{61, 1, 1, 10, 1, false}};
	static const struct step slow[] = {
		{0, 11, 25, 10, 25, true}, {30, 30, 41, 40, 41, true}, {62, 50, 56, 55, 50, false}};
	static const struct step extended[] = {
		{0, 11, 25, 10, 25, true}, {30, 30, 80, 40, 80, true}, {62, 50, 56, 55, 80, true}};
	static const struct step exponential[] = {{0, 6, 6, 1, 6, true},
						  {0, 36, 36, 6, 36, true},
						  {1, 216, 216, 36, 216, true},
						  {1, 1296, 1296, 216, 1296, true},
						  {2, 1296, 1296, 1296, 1296, true}};
	static const struct step larger[] = {{0, 2, 5, 1, 5, true}, {5, 50, 30, 5, 50, true}};
	struct scaling s = reference;

	(void)state;
	play(&s, then_down, ARRAY_LEN(then_down));
	s.target = 1;
	play(&s, slow, ARRAY_LEN(slow));
	play(&s, extended, ARRAY_LEN(extended));
	play(&s, exponential, ARRAY_LEN(exponential));
	play(&s, larger, ARRAY_LEN(larger));
}

static void
the_reference_with_a_delay(void **state)
{
	static const struct step simple[] = {
		{2, 40, 40, 1, 4, false}, {300, 0, 0, 4, 4, false}, {302, 0, 0, 4, 1, false}};
	static const struct step gradual[] = {{540, 40, 40, 1, 4, false},
					      {600, 30, 30, 4, 4, false},
					      {660, 0, 0, 4, 4, false},
					      {840, 0, 0, 4, 3, false},
					      {900, 0, 0, 3, 1, false}};
	struct scaling s = reference;

	(void)state;
	s.panic_threshold_percentage = 10000;
	s.scale_down_delay = 300 * CLK_S;
	play(&s, simple, ARRAY_LEN(simple)); /* 1: this test has a request in flight */
	play(&s, gradual, ARRAY_LEN(gradual));
}

/* --- our own rules --- */

static void
a_panic_ends_when_the_stable_window_has_caught_up(void **state)
{
	static const struct step steps[] = {
		{0, 10, 100, 1, 10, true}, {5, 30, 80, 10, 10, true},
		{6, 60, 60, 10, 7, false}, /* the panic has caught up: 6 and one more */
		{20, 20, 15, 7, 3, false}, {60, 20, 15, 3, 3, false},
		{61, 20, 15, 3, 2, false}};
	struct scaling s = reference;

	(void)state;
	s.panic_hold = false;
	play(&s, steps, ARRAY_LEN(steps));
}

static void
what_is_parked(void **state)
{
	static const struct {
		const char *what;
		uint32_t parked, in_flight, ready, starting, container_concurrency;
		double latency_s, waited_s, start_s;
		uint32_t wanted;
		enum decide_rule rule;
	} cases[] = {
		{"5 ms each: one instance", 500, 0, 0, 0, 0, 0.005, 0, 0.6, 1, DECIDE_BACKLOG},
		{"1 s each: all at the target", 500, 0, 0, 0, 0, 1, 0, 0.6, 50, DECIDE_BACKLOG},
		{"50 ms each: in half a start", 500, 0, 0, 0, 0, 0.05, 0, 0.6, 9, DECIDE_BACKLOG},
		{"by the hard limit", 500, 0, 0, 0, 20, 0.05, 0, 0.6, 5, DECIDE_BACKLOG},
		{"one request, one instance", 1, 0, 0, 0, 0, 60, 0, 0.6, 1, DECIDE_BACKLOG},
		{"nothing known: a few", 500, 0, 0, 0, 0, -1, 0, -1, 3, DECIDE_ACTIVATION},
		{"nothing known, one request", 1, 0, 0, 0, 0, -1, 0, -1, 1, DECIDE_ACTIVATION},
		{"nothing known, one ready", 470, 30, 3, 0, 0, -1, 0, 0.6, 3, DECIDE_WAITED_FOR},
		{"no answer in 50 ms", 470, 30, 3, 0, 0, -1, 0.05, 0.6, 26, DECIDE_BACKLOG},
		{"no answer in 80 ms", 470, 30, 3, 0, 0, -1, 0.08, 0.6, 45, DECIDE_BACKLOG},
		{"nor while starts take 5 s", 470, 30, 3, 0, 0, -1, 0.08, 5, 3, DECIDE_WAITED_FOR},
		{"no answer in 300 ms", 470, 30, 3, 0, 0, -1, 0.3, 0.6, 50, DECIDE_BACKLOG},
		{"the ready one clears it", 100, 10, 1, 0, 0, 0.005, 0, 0.6, 1, DECIDE_WAITED_FOR},
		{"the ready one does not", 490, 10, 1, 0, 0, 1, 0, 0.6, 50, DECIDE_BACKLOG},
		{"what starts is not stopped", 5, 0, 0, 7, 0, 0.005, 0, 0.6, 7, DECIDE_WAITED_FOR},
		{"start not seen: 1 s", 500, 0, 0, 0, 0, 0.05, 0, -1, 5, DECIDE_BACKLOG},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct scaling s = reference;
		struct decide_view v = averages(0, 0, cases[i].ready);

		print_message("%s\n", cases[i].what);
		s.target = 10;
		v.parked = cases[i].parked;
		v.in_flight = cases[i].in_flight;
		v.starting = cases[i].starting;
		v.scale = v.ready + v.starting;
		v.container_concurrency = cases[i].container_concurrency;
		v.latency_s = cases[i].latency_s;
		v.waited_s = cases[i].waited_s;
		v.start_s = cases[i].start_s;
		expect(once(&s, &v), cases[i].wanted, cases[i].rule);
	}
}

/* A burst of unknown response times starts a few instances.  The surplus goes with the first
 * answers, but not before every request has reached an instance, and not below what the
 * response times ask for. */
static void
a_guess_is_not_held(void **state)
{
	struct decide_state *st = decide_state_new();
	struct decide_view v = averages(0, 0, 0);
	struct scaling s = reference;

	(void)state;
	s.target = 10;
	v.parked = 500;
	v.in_flight = 0;
	expect(decide(&s, &v, st, CLK_S), 3, DECIDE_ACTIVATION);
	v.ready = v.scale = 3;
	v.in_flight = 30;
	v.start_s = 5;
	v.latency_s = 0.005;
	expect(decide(&s, &v, st, 2 * CLK_S), 3, DECIDE_WAITED_FOR);
	v.parked = 0;
	expect(decide(&s, &v, st, 2 * CLK_S), 1, DECIDE_IN_USE);
	v.parked = 500; /* with known response times it is held */
	v.latency_s = 1;
	v.start_s = 2;
	expect(decide(&s, &v, st, 3 * CLK_S), 45, DECIDE_BACKLOG);
	v.parked = 0;
	expect(decide(&s, &v, st, 4 * CLK_S), 45, DECIDE_DOWN_DELAY);
	decide_state_free(&st);
}

/* A parked request wakes a revision, also while the averages remember earlier requests. */
static void
a_wake_has_its_own_reason(void **state)
{
	struct decide_view v = averages(0.1, 0, 0);

	(void)state;
	v.parked = 1;
	v.in_flight = 0;
	expect(once(&reference, &v), 1, DECIDE_ACTIVATION);
	v.starting = 1;
	expect(once(&reference, &v), 1, DECIDE_ACTIVATION);
	v.latency_s = 0.1;
	expect(once(&reference, &v), 1, DECIDE_BACKLOG);
	v.stable = 15; /* the averages want more than the parked request */
	expect(once(&reference, &v), 2, DECIDE_STABLE);
	v = averages(0.1, 0, 1);
	expect(once(&reference, &v), 1, DECIDE_STABLE);
	v.stable = 0;
	expect(once(&reference, &v), 1, DECIDE_IN_USE);
}

static void
what_is_parked_by_requests_a_second(void **state)
{
	struct scaling s = reference;
	struct decide_view v = averages(0, 0, 0);

	(void)state;
	s.metric = METRIC_RPS;
	s.target = 100; /* one instance answers 60 in a start-up time, 30 in half of it */
	v.start_s = 0.6;
	v.parked = 500;
	v.in_flight = 0;
	expect(once(&s, &v), 5, DECIDE_BACKLOG); /* at most backlog / target */
	v.parked = 20;
	expect(once(&s, &v), 1, DECIDE_BACKLOG);
}

/* Under a hard limit the instances answer as many requests as arrive, since clients wait for
 * their answers: a queue that does not shrink is not cleared by what is there. */
static void
what_waits_beside_what_arrives(void **state)
{
	static const struct {
		const char *what;
		double stable, panic, newest, arrivals, start_s;
		uint32_t parked, in_flight, ready, wanted;
		enum decide_rule rule;
	} cases[] = {
		{"a queue that stands", 8, 8, 0, 120, 1, 28, 12, 3, 7, DECIDE_BACKLOG},
		{"within the error of rates", 8, 8, 0, 110, 1, 28, 12, 3, 6, DECIDE_BACKLOG},
		{"one that shrinks", 8, 8, 0, 60, 1, 28, 12, 3, 3, DECIDE_STABLE},
		{"arrivals are unknown", 8, 8, 0, -1, 1, 28, 12, 3, 3, DECIDE_STABLE},
		{"a slow start", 8, 40, 40, 120, 20, 28, 12, 3, 10, DECIDE_FADING},
		{"slow, and shrinking", 8, 40, 40, 60, 20, 28, 12, 3, 3, DECIDE_FADING},
		{"the newest second", 12, 20, 40, 400, 1, 0, 40, 10, 10, DECIDE_RISING},
		{"but no more than before", 12, 12, 60, 400, 1, 0, 40, 10, 10, DECIDE_RISING},
	};
	struct scaling s = reference;
	size_t i;

	(void)state;
	s.target = 0;
	s.target_utilization = 70;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct decide_view v = averages(cases[i].stable, cases[i].panic, cases[i].ready);

		print_message("%s\n", cases[i].what);
		v.newest = cases[i].newest;
		v.arrivals = v.steady_arrivals = cases[i].arrivals;
		v.start_s = cases[i].start_s;
		v.parked = cases[i].parked;
		v.in_flight = cases[i].in_flight;
		v.container_concurrency = 4;
		v.latency_s = 0.1;
		expect(once(&s, &v), cases[i].wanted, cases[i].rule);
	}
}

/* A target of 200 requests a second, of which the hard limit lets 40 through: the instances are
 * full, and stopping some would lower the rate further. */
static void
a_rate_that_the_limit_does_not_let_through(void **state)
{
	struct scaling s = reference;
	struct decide_view v = averages(400, 400, 10);

	(void)state;
	s.metric = METRIC_RPS;
	s.target = 200;
	v.container_concurrency = 4;
	v.in_flight = 40;
	expect(once(&s, &v), 2, DECIDE_STABLE); /* not known yet */
	v.latency_s = 0.1;
	expect(once(&s, &v), 10, DECIDE_STABLE);
	v = averages(120, 120, 3);
	v.container_concurrency = 4;
	v.in_flight = 12;
	v.parked = 28;
	v.latency_s = 0.1;
	v.start_s = 1;
	v.steady_arrivals = 120;
	expect(once(&s, &v), 5, DECIDE_BACKLOG);
}

static void
nothing_is_started_for_what_fades(void **state)
{
	struct scaling s = reference;
	struct decide_view v = averages(500, 500, 50);

	(void)state;
	s.target_utilization = 70;
	v.in_flight = 500;
	v.latency_s = 1;
	v.start_s = 0.6;
	v.arrivals = 0; /* 500 came at once, and none since */
	expect(once(&s, &v), 50, DECIDE_FADING);
	v.arrivals = 500; /* 500 a second keep coming */
	expect(once(&s, &v), 72, DECIDE_STABLE);
	v.arrivals = -1; /* unknown */
	expect(once(&s, &v), 72, DECIDE_STABLE);
	v.arrivals = 1000; /* they pile up, however short they were when there were fewer */
	v.latency_s = 0.01;
	v.ready = 1;
	v.in_flight = 2000;
	expect(once(&s, &v), 10, DECIDE_UP_RATE);
}

/* 500 requests that 50 instances would answer; but starts slow each other down. */
static void
starts_at_once_are_bounded(void **state)
{
	struct scaling s = reference;
	struct decide_view v = averages(0, 0, 0);
	struct decide_state *st = decide_state_new();

	(void)state;
	s.panic_hold = false;
	v.in_flight = 0;
	v.parked = 500;
	v.latency_s = 1;
	v.start_s = 0.6;
	v.is_activation_pending = true;
	expect(once(&s, &v), 50, DECIDE_BACKLOG);
	v.starts_trusted = 8;
	expect(once(&s, &v), 8, DECIDE_STARTS);
	v.starts = (struct starts_model){.tried = 10};
	expect(once(&s, &v), 40, DECIDE_STARTS);
	v.starts = (struct starts_model){.tried = 10, .fixed_s = 0.5, .each_s = 1};
	expect(once(&s, &v), 5, DECIDE_STARTS); /* the root of 50 x 0.5 */
	v.starting_elsewhere = 3;
	expect(once(&s, &v), 2, DECIDE_STARTS);
	v.starting_elsewhere = 100; /* one goes on in any case */
	expect(once(&s, &v), 1, DECIDE_STARTS);
	v.starting_elsewhere = 0;
	v.starting = 20; /* of others: no reason for more or fewer */
	expect(once(&s, &v), 5, DECIDE_STARTS);
	s.min_scale = 30; /* the settings stand above it */
	expect(once(&s, &v), 30, DECIDE_MIN_SCALE);
	s.min_scale = 0;
	v.starting = 0;
	expect(decide(&s, &v, st, 1000 * CLK_S), 5, DECIDE_STARTS);
	v.scale = v.ready = 5; /* the others follow … */
	v.in_flight = 50;
	v.parked = 400;
	expect(decide(&s, &v, st, 1002 * CLK_S), 10, DECIDE_STARTS);
	v.scale = v.ready = 10; /* … unless the requests are answered meanwhile */
	v.in_flight = 5;
	v.parked = 0;
	v.is_activation_pending = false;
	expect(decide(&s, &v, st, 1004 * CLK_S), 1, DECIDE_DOWN_RATE);
	decide_state_free(&st);
}

static void
the_way_to_zero(void **state)
{
	static const struct {
		double stable, idle_s;
		int64_t retention_s;
		double lease_s, awaited_s, keep_s;
		bool is_disabled;
		uint32_t wanted;
		enum decide_rule rule;
	} cases[] = {
		{0.1, 20, 0, 0, 0, -1, false, 1, DECIDE_STABLE},
		{0, 29, 0, 0, 0, -1, false, 1, DECIDE_GRACE},
		{0, 61, 0, 0, 0, -1, false, 0, DECIDE_IDLE},
		{0, 61, 10, 0, 0, -1, false, 1, DECIDE_RETENTION},
		{0, 71, 10, 0, 0, -1, false, 0, DECIDE_IDLE},
		{0, 61, 0, 0.5, 0, -1, false, 1, DECIDE_BUSY_LEASE},
		{0, 61, 0, 0, 0.5, -1, false, 1, DECIDE_AWAITED},
		{0, 61, 0, 0, 0.5, 10, false, 1, DECIDE_AWAITED},
		{0, 1e6, 0, 0, 0, -1, true, 1, DECIDE_ZERO_DISABLED},
		{0.1, 20, 0, 0, 0, 10, false, 0, DECIDE_RELEASED}, /* learned: go sooner */
		{0.1, 5, 0, 0, 0, 10, false, 1, DECIDE_LEARNED},
		{0, 500, 0, 0, 0, 600, false, 1, DECIDE_LEARNED}, /* learned: go later */
		{0, 601, 0, 0, 0, 600, false, 0, DECIDE_RELEASED},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct scaling s = reference;
		struct decide_view v = averages(cases[i].stable, 0, 1);

		v.in_flight = 0;
		v.idle_s = cases[i].idle_s;
		v.busy_lease_s = cases[i].lease_s;
		v.awaited_s = cases[i].awaited_s;
		v.learned_keep_s = cases[i].keep_s;
		s.retention = cases[i].retention_s * CLK_S;
		s.enable_scale_to_zero = !cases[i].is_disabled;
		expect(once(&s, &v), cases[i].wanted, cases[i].rule);
	}
}

/* Learned idleness lets all instances go at once: the stable window still needs three of them,
 * and one was wanted a moment ago. */
static void
learned_idleness_lets_all_go(void **state)
{
	struct decide_view v = averages(25, 0, 4);
	struct decide_state *st = decide_state_new();

	(void)state;
	v.scale = 4;
	v.start_s = 5;
	assert_true(decide(&reference, &v, st, 0).wanted > 2);
	v.in_flight = 0;
	v.idle_s = 1;
	v.learned_keep_s = 2;
	assert_true(decide(&reference, &v, st, CLK_S).wanted > 2);
	v.awaited_s = 1;
	v.learned_keep_s = 0;
	assert_true(decide(&reference, &v, st, CLK_S).wanted > 2);
	v.awaited_s = 0;
	expect(decide(&reference, &v, st, CLK_S), 0, DECIDE_RELEASED);
	decide_state_free(&st);
}

static void
nothing_is_started_for_what_is_over(void **state)
{
	struct decide_view v = averages(50, 50, 0);

	(void)state;
	v.in_flight = 0;
	expect(once(&reference, &v), 0, DECIDE_IDLE);
}

static void
a_lower_wish_must_have_held_for_a_start(void **state)
{
	struct decide_state *st = decide_state_new();
	struct decide_view high = averages(30, 30, 3), low = averages(20, 20, 3);
	int64_t now = 1000 * CLK_S;

	(void)state;
	high.start_s = low.start_s = 2;
	expect(decide(&reference, &high, st, now), 3, DECIDE_STABLE);
	expect(decide(&reference, &low, st, now + CLK_S), 3, DECIDE_DOWN_DELAY);
	expect(decide(&reference, &low, st, now + 2 * CLK_S), 2, DECIDE_STABLE);
	low.start_s = 30; /* not longer than a panic takes to be seen */
	expect(decide(&reference, &high, st, now + 3 * CLK_S), 3, DECIDE_STABLE);
	expect(decide(&reference, &low, st, now + 8 * CLK_S), 3, DECIDE_DOWN_DELAY);
	expect(decide(&reference, &low, st, now + 9 * CLK_S), 2, DECIDE_STABLE);
	decide_state_free(&st);
}

static void
bounds(void **state)
{
	struct scaling s = reference;
	struct decide_view v = averages(50, 0, 5), idle = averages(0, 0, 1);
	struct decide_state *st = decide_state_new();

	(void)state;
	idle.in_flight = 0;
	idle.idle_s = 1000;
	s.max_scale = 4;
	expect(once(&s, &v), 4, DECIDE_MAX_SCALE);
	s.max_scale = 0;
	s.min_scale = 6;
	expect(once(&s, &v), 6, DECIDE_MIN_SCALE);
	expect(once(&s, &idle), 6, DECIDE_MIN_SCALE);
	s.min_scale = 0;
	s.activation_scale = 7;
	expect(once(&s, &v), 7, DECIDE_ACTIVATION_SCALE);
	expect(once(&s, &idle), 0, DECIDE_IDLE);
	s.activation_scale = 1;
	idle.schedule_min = 2;
	expect(once(&s, &idle), 2, DECIDE_SCHEDULE);
	idle.schedule_min = 0;
	idle.ready = 0;
	idle.is_learned_prewarm = true;
	expect(once(&s, &idle), 1, DECIDE_LEARNED);
	idle.is_learned_prewarm = false;
	s.initial_scale = 2; /* until so many have run once */
	expect(decide(&s, &idle, st, 1), 2, DECIDE_INITIAL_SCALE);
	idle.ready = 2;
	expect(decide(&s, &idle, st, CLK_S), 2, DECIDE_INITIAL_SCALE);
	idle.ready = 0;
	expect(decide(&s, &idle, st, 10 * CLK_S), 0, DECIDE_IDLE);
	assert_true(decide_was_initial(st));
	decide_state_free(&st);
	st = decide_state_new(); /* a restarted autoscaler, with what the one before had saved */
	decide_set_initial(st);
	expect(decide(&s, &idle, st, CLK_S), 0, DECIDE_IDLE);
	decide_state_free(&st);
}

static void
targets(void **state)
{
	struct scaling s = {.metric = METRIC_CONCURRENCY};

	(void)state;
	assert_true(decide_total(&s, 0, 0) >= 100 && decide_total(&s, 0, 0) <= 100);
	assert_int_equal((int)decide_total(&s, 20, 0), 20);
	s.target = 50;
	assert_int_equal((int)decide_total(&s, 0, 0), 50);
	assert_int_equal((int)decide_total(&s, 20, 0), 20);
	assert_int_equal((int)decide_total(&s, 0, 7), 7);
	s = (struct scaling){.metric = METRIC_RPS};
	assert_int_equal((int)decide_total(&s, 20, 0), 200);
}

static void
silence_changes_nothing(void **state)
{
	struct scaling s = reference;
	struct decide_view v = averages(0, 0, 3);

	(void)state;
	v.has_stable = v.has_panic = false;
	v.in_flight = 0;
	v.idle_s = 1000;
	expect(once(&s, &v), 3, DECIDE_NO_DATA);
	assert_false(once(&s, &v).is_known);
	s.min_scale = 5;
	expect(once(&s, &v), 5, DECIDE_MIN_SCALE);
	assert_true(once(&s, &v).is_known);
}

/* After a restart the instances found are wanted until a stable window is known. */
static void
after_a_restart_nothing_goes_down(void **state)
{
	struct decide_view v = averages(1, 1, 8);

	(void)state;
	v.has_just_started = true;
	v.adopted = 8;
	expect(once(&reference, &v), 8, DECIDE_RESTARTED);
	v.in_flight = 0;
	v.stable = 0;
	v.idle_s = 59;
	expect(once(&reference, &v), 8, DECIDE_RESTARTED);
	v.adopted = 5; /* the others were started since */
	expect(once(&reference, &v), 5, DECIDE_RESTARTED);
	v.ready = 6; /* two of those are being replaced */
	expect(once(&reference, &v), 5, DECIDE_RESTARTED);
	v = averages(200, 200, 8); /* it scales up at once */
	v.has_just_started = true;
	v.adopted = 8;
	expect(once(&reference, &v), 20, DECIDE_PANIC);
}

/* --- properties --- */

static uint64_t seed;

static uint32_t
below(uint32_t n)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (uint32_t)((seed * UINT64_C(2685821657736338717) >> 33) % n);
}

static struct scaling
any_scaling(void)
{
	struct scaling s = reference;

	s.metric = below(4) == 0 ? METRIC_RPS : METRIC_CONCURRENCY;
	s.target = below(3) == 0 ? 0 : 1 + below(100);
	s.target_utilization = 30 + below(71);
	s.min_scale = below(3) == 0 ? below(5) : 0;
	s.max_scale = below(3) == 0 ? s.min_scale + 1 + below(20) : 0;
	s.activation_scale = 1 + below(3);
	s.initial_scale = below(3);
	s.panic_hold = below(2) == 0;
	s.max_scale_up_rate = 1.01 + below(20);
	s.max_scale_down_rate = 1.01 + below(20);
	s.scale_down_delay = below(2) == 0 ? 0 : below(100) * CLK_S;
	s.retention = below(3) * 20 * CLK_S;
	s.enable_scale_to_zero = below(5) > 0;
	return s;
}

static struct decide_view
any_view(void)
{
	struct decide_view v = averages(below(1000) / 7.0, below(3000) / 7.0, below(40));

	v.has_stable = below(10) > 0;
	v.has_panic = v.has_stable && below(10) > 0;
	v.starting = below(10);
	v.scale = below(2) == 0 ? v.ready + v.starting : below(50);
	v.is_held = below(3) == 0;
	v.is_replacing = below(2) == 0;
	v.parked = below(3) == 0 ? below(2000) : 0;
	v.in_flight = below(2) == 0 ? below(2000) : 0;
	v.is_activation_pending = v.ready == 0 && below(2) == 0;
	v.container_concurrency = below(3) == 0 ? below(50) : 0;
	v.arrivals = below(3) == 0 ? -1 : (double)below(5000);
	v.steady_arrivals = below(3) == 0 ? -1 : (double)below(5000);
	v.latency_s = below(3) == 0 ? -1 : below(10000) / 1000.0;
	v.waited_s = v.latency_s < 0 ? below(3000) / 1000.0 : 0;
	v.start_s = below(3) == 0 ? -1 : below(10000) / 1000.0;
	v.idle_s = v.parked + v.in_flight > 0 ? 0 : below(300);
	v.learned_keep_s = below(4) == 0 ? (double)below(1000) : -1;
	v.has_just_started = below(5) == 0;
	v.adopted = below(10);
	v.starts_trusted = below(20);
	v.starts.tried = below(20);
	v.starting_elsewhere = below(20);
	return v;
}

static void
properties_hold_for_random_inputs(void **state)
{
	int i, k;

	(void)state;
	seed = 42;
	for (i = 0; i < 2000; i++) {
		struct scaling s = any_scaling();
		struct decide_state *st = decide_state_new();
		int64_t now = CLK_S;

		for (k = 0; k < 50; k++) {
			struct decide_view v = any_view();
			struct decide_out o = decide(&s, &v, st, now += below(3000) * CLK_MS);

			if (!o.is_known)
				continue;
			assert_true(o.wanted >= s.min_scale);
			assert_true(s.max_scale == 0 || o.wanted <= s.max_scale);
			if (v.parked + v.in_flight > 0 || v.is_activation_pending)
				assert_true(o.wanted > 0);
			if (v.has_just_started && !v.is_held && s.max_scale == 0)
				assert_true(o.wanted >= MIN(v.scale, v.adopted));
			assert_true(o.target > 0 && o.rule < DECIDE_RULES_N);
		}
		decide_state_free(&st);
	}
}

/* Instances that start for reasons of others, as in a rollout, change nothing. */
static void
what_starts_is_not_wanted(void **state)
{
	int i;

	(void)state;
	seed = 99;
	for (i = 0; i < 20000; i++) {
		struct scaling s = any_scaling();
		struct decide_view v = any_view(), more;

		v.starting += 1; /* that there is none at all has a meaning */
		more = v;
		more.starting += 1 + below(50);
		assert_int_equal(once(&s, &more).wanted, once(&s, &v).wanted);
	}
}

/* More load, in averages or parked, never means fewer instances. */
static void
more_is_never_less(void **state)
{
	int i;

	(void)state;
	seed = 7;
	for (i = 0; i < 20000; i++) {
		struct scaling s = any_scaling();
		struct decide_view v = any_view(), more;

		v.arrivals = -1; /* the forecast compares arrivals with the instances that run */
		v.in_flight += 1;
		more = v;
		more.stable += below(100);
		more.panic += below(100);
		assert_true(once(&s, &more).wanted >= once(&s, &v).wanted);
		more = v;
		more.parked += below(1000);
		assert_true(once(&s, &more).wanted >= once(&s, &v).wanted);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reference_in_one_step),
		cmocka_unit_test(the_reference_in_a_panic),
		cmocka_unit_test(the_reference_with_a_delay),
		cmocka_unit_test(a_panic_ends_when_the_stable_window_has_caught_up),
		cmocka_unit_test(what_is_parked),
		cmocka_unit_test(a_guess_is_not_held),
		cmocka_unit_test(a_wake_has_its_own_reason),
		cmocka_unit_test(what_is_parked_by_requests_a_second),
		cmocka_unit_test(what_waits_beside_what_arrives),
		cmocka_unit_test(a_rate_that_the_limit_does_not_let_through),
		cmocka_unit_test(nothing_is_started_for_what_fades),
		cmocka_unit_test(starts_at_once_are_bounded),
		cmocka_unit_test(the_way_to_zero),
		cmocka_unit_test(learned_idleness_lets_all_go),
		cmocka_unit_test(nothing_is_started_for_what_is_over),
		cmocka_unit_test(a_lower_wish_must_have_held_for_a_start),
		cmocka_unit_test(bounds),
		cmocka_unit_test(targets),
		cmocka_unit_test(silence_changes_nothing),
		cmocka_unit_test(after_a_restart_nothing_goes_down),
		cmocka_unit_test(properties_hold_for_random_inputs),
		cmocka_unit_test(what_starts_is_not_wanted),
		cmocka_unit_test(more_is_never_less),
	};

	return cmocka_run_group_tests_name("decide", tests, NULL, NULL);
}
