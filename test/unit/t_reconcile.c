/* The whole rule, from messages and views to the driver, on simulated time: who is told
 * what, and that nothing is stopped before everybody has said that it is empty. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/reconcile.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/strbuf.h"

#define PEERS 4 /* serials 1 to 3 */
#define MOST 40 /* instances, in all */

/* One activator: what it reports, and how it answers drains. */
struct fake_peer {
	bool is_up, is_mute; /* mute: connected, reports nothing */
	enum { SAYS_NOTHING, SAYS_DRAINED, SAYS_BUSY } answer;
	double concurrency;
	uint32_t parked, in_flight[MOST]; /* at instance i%d */
};

struct fake_instance {
	int number; /* its id is i<number> */
	enum instance_state state;
	int64_t started_ns;
};

static char localhost[] = "127.0.0.1", short_name[] = "v1";

static struct world {
	int64_t now;
	struct reconcile *r;
	struct fake_peer peer[PEERS];
	struct strbuf out;   /* what was sent, "PEER LINE\n" each */
	size_t answered;     /* of out: drains before it were answered */
	struct strbuf calls; /* set_scale: "N[:victim,victim] " */
	/* the driver */
	struct driver driver;
	uint32_t told;
	char victims[400];
	struct fake_instance v[MOST];
	size_t n;
	int number;
	bool is_slow;	 /* does not carry out what it is told */
	bool is_unready; /* new instances stay in `starting` */
	struct revision_conf conf, other;
	unsigned other_parked; /* at b/v1, as peer 1 reports */
} w;

static int64_t
simulated(void)
{
	return w.now;
}

/* --- the driver --- */

static void
set_scale(struct driver *d, const char *revision, uint32_t n, const char *const *victims,
	  size_t victims_n)
{
	size_t i;

	(void)d;
	if (strcmp(revision, "a/v1") != 0) {
		strbuf_addf(&w.calls, "%s=%u ", revision, n);
		return;
	}
	w.told = n;
	strbuf_addf(&w.calls, "%u", n);
	for (i = 0; i < victims_n; i++) {
		strbuf_addf(&w.calls, "%c%s", i == 0 ? ':' : ',', victims[i]);
		snprintf(w.victims + strlen(w.victims), 20, " %s ", victims[i]);
	}
	strbuf_adds(&w.calls, " ");
}

static void
instance_answers(struct driver *d, const char *id)
{
	(void)d;
	strbuf_addf(&w.calls, "answers:%s ", id);
}

static const struct driver_class fake_class = {
	.name = "fake", .set_scale = set_scale, .instance_answers = instance_answers};

static bool
is_victim(int number)
{
	char name[20];

	snprintf(name, sizeof name, " i%d ", number);
	return strstr(w.victims, name) != NULL;
}

static void
tell_view(const struct msg_failure *failure)
{
	struct driver_instance v[MOST] = {0};
	char ids[MOST][10];
	struct driver_view view = {
		.revision = "a/v1", .is_known = true, .v = v, .n = w.n, .failure = failure};
	size_t i;

	for (i = 0; i < w.n; i++) {
		snprintf(ids[i], sizeof ids[i], "i%d", w.v[i].number);
		v[i] = (struct driver_instance){.id = ids[i],
						.address = localhost,
						.port = (uint16_t)(20000 + w.v[i].number),
						.state = w.v[i].state,
						.started_ns = w.v[i].started_ns,
						.cpu_s = -1};
	}
	reconcile_view(w.r, &view);
}

static void
tell_view_of(const char *revision)
{
	struct driver_view view = {.revision = revision, .is_known = true};

	reconcile_view(w.r, &view);
	reconcile_tail(w.r);
}

static void
remove_instance(size_t i)
{
	memmove(&w.v[i], &w.v[i + 1], (w.n - i - 1) * sizeof *w.v);
	w.n--;
}

/* Carry out what was told: victims go first. */
static void
follow(void)
{
	size_t before = w.n, i;
	bool is_changed = false;

	if (w.is_slow)
		return;
	for (i = w.n; i-- > 0 && w.n > w.told;)
		if (is_victim(w.v[i].number))
			remove_instance(i);
	while (w.n > w.told)
		remove_instance(w.n - 1);
	while (w.n < w.told) {
		assert_true(w.number < MOST);
		w.v[w.n++] = (struct fake_instance){++w.number, INSTANCE_STARTING, w.now};
	}
	is_changed = w.n != before;
	if (!is_changed && !w.is_unready)
		for (i = 0; i < w.n; i++)
			if (w.v[i].state == INSTANCE_STARTING) {
				w.v[i].state = INSTANCE_READY;
				is_changed = true;
			}
	if (is_changed)
		tell_view(NULL);
}

/* --- activators --- */

static void
send_message(uint64_t peer, const struct msg *m, void *arg)
{
	(void)arg;
	strbuf_addf(&w.out, "%u ", (unsigned)peer);
	msg_encode(m, &w.out);
	strbuf_adds(&w.out, "\n");
}

static void
say(uint64_t peer, const char *line)
{
	struct err e;
	struct msg m;

	assert_int_equal(msg_decode(&m, line, strlen(line), &e), 0);
	reconcile_message(w.r, peer, &m);
	msg_fini(&m);
}

static void
say_token(uint64_t peer, const char *type, const char *token)
{
	char line[200];

	snprintf(line, sizeof line, "{\"type\":\"%s\",\"token\":\"%s\"}", type, token);
	say(peer, line);
}

static void
activate(uint64_t peer, uint32_t parked)
{
	char line[200];

	w.peer[peer].parked = parked;
	snprintf(line, sizeof line,
		 "{\"type\":\"activate\",\"revision\":\"a/v1\",\"parked\":%u,\"seq\":7}", parked);
	say(peer, line);
}

static void
report(uint64_t peer)
{
	const struct fake_peer *p = &w.peer[peer];
	struct strbuf line;
	uint32_t sum = 0;
	size_t i;

	strbuf_init(&line, 0);
	strbuf_adds(&line, "{\"type\":\"stats\",\"period_ms\":1000,\"revisions\":[");
	if (p->concurrency > 0 || p->parked > 0) {
		strbuf_addf(&line,
			    "{\"name\":\"a/v1\",\"concurrency\":%g,\"requests\":1,"
			    "\"parked\":%u,\"instances\":[",
			    p->concurrency, p->parked);
		for (i = 0; i < w.n; i++) {
			sum += p->in_flight[w.v[i].number];
			strbuf_addf(&line, "%s{\"id\":\"i%d\",\"in_flight\":%u}", i == 0 ? "" : ",",
				    w.v[i].number, p->in_flight[w.v[i].number]);
		}
		strbuf_addf(&line, "],\"in_flight\":%u}", sum);
	}
	if (peer == 1 && w.other_parked > 0)
		strbuf_addf(&line,
			    "%s{\"name\":\"b/v1\",\"concurrency\":%u,\"requests\":0,\"parked\":%u}",
			    p->concurrency > 0 || p->parked > 0 ? "," : "", w.other_parked,
			    w.other_parked);
	strbuf_adds(&line, "]}");
	say(peer, strbuf_str(&line));
	strbuf_fini(&line);
}

static void
connect_peer(uint64_t peer)
{
	char id[20];

	snprintf(id, sizeof id, "act-%u", (unsigned)peer);
	w.peer[peer] = (struct fake_peer){.is_up = true, .answer = SAYS_DRAINED};
	reconcile_peer_up(w.r, peer, id);
}

static void
lose_peer(uint64_t peer)
{
	w.peer[peer].is_up = false;
	reconcile_peer_down(w.r, peer);
	reconcile_tail(w.r);
}

/* The token of the drain in this line. */
static bool
token_of(const char *line, char token[80])
{
	const char *at = strstr(line, "\"token\":\"");
	const char *end = strchr(line, '\n');

	if (strstr(line, "\"type\":\"drain\"") == NULL || strstr(line, "\"type\":\"drain\"") > end)
		return false;
	snprintf(token, 80, "%.*s", (int)strcspn(at + 9, "\""), at + 9);
	return true;
}

static void
answer_one(const char *line)
{
	unsigned to = (unsigned)(line[0] - '0'), i;
	char token[80];

	if (!token_of(line, token))
		return;
	for (i = 1; i < PEERS; i++) {
		if (!w.peer[i].is_up || w.peer[i].answer == SAYS_NOTHING || (to != 0 && to != i))
			continue;
		say_token(i, w.peer[i].answer == SAYS_BUSY ? "busy" : "drained", token);
	}
}

static void
answer_drains(void)
{
	while (w.answered < w.out.len) {
		char *line = xstrdup(w.out.data + w.answered);
		char *end = strchr(line, '\n');

		w.answered += (size_t)(end - line) + 1;
		end[1] = '\0';
		answer_one(line);
		free(line);
	}
}

/* --- time --- */

static void
round_of_news(void)
{
	int i;

	for (i = 0; i < 4; i++) { /* what is sent brings answers, which bring actions */
		reconcile_tail(w.r);
		answer_drains();
	}
	follow();
	reconcile_tail(w.r);
}

static void
second(void)
{
	unsigned i;

	w.now += CLK_S;
	for (i = 1; i < PEERS; i++)
		if (w.peer[i].is_up && !w.peer[i].is_mute)
			report(i);
	reconcile_tick(w.r);
	round_of_news();
}

static void
seconds(unsigned n)
{
	while (n-- > 0)
		second();
}

#define UNTIL(cond, most)                                                                          \
	do {                                                                                       \
		unsigned left_ = (most);                                                           \
		while (!(cond)) {                                                                  \
			if (left_-- == 0)                                                          \
				fail_msg("not within %u s: %s; calls: %s", (unsigned)(most),       \
					 #cond, strbuf_str(&w.calls));                             \
			second();                                                                  \
		}                                                                                  \
	} while (0)

static bool
was_sent(const char *text)
{
	return strstr(strbuf_str(&w.out), text) != NULL;
}

/* From here on only what comes is looked at. */
static void
forget_sent(void)
{
	answer_drains();
	strbuf_clear(&w.out);
	strbuf_clear(&w.calls);
	w.answered = 0;
}

static unsigned
drains_sent(void)
{
	const char *at = strbuf_str(&w.out);
	unsigned n = 0;

	while ((at = strstr(at, "\"type\":\"drain\"")) != NULL) {
		at++;
		n++;
	}
	return n;
}

/* --- the world --- */

static void
fill_conf(struct revision_conf *conf, const char *full_name)
{
	*conf = (struct revision_conf){.name = short_name,
				       .full_name = xstrdup(full_name),
				       .scaling = {.target = 10,
						   .target_utilization = 70,
						   .activation_scale = 1,
						   .enable_scale_to_zero = true,
						   .stable_window = 6 * CLK_S,
						   .panic_window_percentage = 100.0 / 6,
						   .panic_threshold_percentage = 200,
						   .max_scale_up_rate = 1000,
						   .max_scale_down_rate = 2,
						   .scale_to_zero_grace = CLK_S}};
}

static const struct reconcile_ops ops = {.send = send_message};

static void
set_services(size_t n, uint32_t max_instances)
{
	const struct reconcile_conf conf = {.max_instances = max_instances,
					    .drain_timeout = 10 * CLK_S};
	const struct reconcile_item items[] = {{.conf = &w.conf, .driver = &w.driver},
					       {.conf = &w.other, .driver = &w.driver}};

	reconcile_set(w.r, &conf, items, n);
}

static void
begin_world(size_t instances)
{
	size_t i;

	w.now = 1000 * CLK_S;
	clk_replace(simulated);
	log_open(LOG_ERROR, LOG_LOGFMT, "t_reconcile");
	strbuf_init(&w.out, 0);
	strbuf_init(&w.calls, 0);
	w.driver = (struct driver){.class = &fake_class};
	fill_conf(&w.conf, "a/v1");
	fill_conf(&w.other, "b/v1");
	w.r = reconcile_new(&ops, NULL, "s1");
	set_services(1, 0);
	reconcile_tail(w.r);
	for (i = 0; i < instances; i++)
		w.v[w.n++] = (struct fake_instance){++w.number, INSTANCE_READY, 0};
	w.told = (uint32_t)w.n;
}

static int
setup(void **state)
{
	(void)state;
	w = (struct world){.now = 0};
	begin_world(0);
	tell_view(NULL);
	reconcile_tail(w.r);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	reconcile_free(&w.r);
	free(w.conf.full_name);
	free(w.other.full_name);
	strbuf_fini(&w.out);
	strbuf_fini(&w.calls);
	clk_replace(NULL);
	return 0;
}

/* Up to n instances, by load at peer 1; past the time in which a young autoscaler does
 * not scale down. */
static void
run_with(uint32_t n)
{
	w.peer[1].concurrency = 7.0 * n;
	activate(1, 1);
	round_of_news();
	w.peer[1].parked = 0;
	UNTIL(w.n == n && w.told == n, 40);
	seconds(10);
	assert_int_equal(w.n, n);
	forget_sent();
}

/* --- up --- */

static void
an_activate_is_acknowledged_before_the_driver_is_asked(void **state)
{
	(void)state;
	connect_peer(1);
	forget_sent();
	activate(1, 3);
	assert_string_equal(strbuf_str(&w.out),
			    "1 {\"type\":\"activating\",\"revision\":\"a/v1\",\"seq\":7,"
			    "\"wanted\":1}\n");
	assert_int_equal(w.calls.len, 0);
	reconcile_tail(w.r); /* the same round, no tick */
	assert_string_equal(strbuf_str(&w.calls), "1 ");
	assert_true(was_sent("0 {\"type\":\"instances\",\"revision\":\"a/v1\",\"wanted\":1"));
}

static void
many_activates_of_a_round_are_one_wish(void **state)
{
	unsigned i;

	(void)state;
	connect_peer(1);
	connect_peer(2);
	for (i = 0; i < 50; i++)
		activate(1 + i % 2, 1 + i);
	reconcile_tail(w.r);
	assert_null(strchr(strbuf_str(&w.calls), ' ')[1] == '\0' ? NULL : "more than one");
}

static void
what_the_driver_shows_is_told_once(void **state)
{
	(void)state;
	connect_peer(1);
	activate(1, 1);
	round_of_news();
	assert_true(was_sent("{\"id\":\"i1\",\"address\":\"127.0.0.1\",\"port\":20001,"
			     "\"state\":\"starting\"}"));
	w.peer[1].parked = 0;
	w.peer[1].concurrency = 1;
	seconds(3);
	assert_true(was_sent("\"state\":\"ready\""));
	forget_sent();
	seconds(3);
	assert_false(was_sent("instances"));
}

static void
an_instance_that_answers_is_ready_and_the_driver_hears_of_it(void **state)
{
	struct revision *rev = reconcile_find(w.r, "a/v1");

	(void)state;
	connect_peer(1);
	w.is_unready = true;
	activate(1, 1);
	round_of_news();
	assert_int_equal(revision_ready(rev), 0);
	w.now += 300 * CLK_MS;
	say(1, "{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"answers\"}");
	say(1, "{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"answers\"}");
	say(1, "{\"type\":\"instance\",\"id\":\"unheard\",\"state\":\"answers\"}");
	assert_string_equal(strbuf_str(&w.calls), "1 answers:i1 ");
	assert_int_equal(revision_ready(rev), 1);
	assert_true(revision_start_s(rev) > 0.299 && revision_start_s(rev) < 0.301);
	reconcile_tail(w.r);
	say(1, "{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"refuses\"}");
	assert_int_equal(revision_ready(rev), 0);
}

/* It has waited for a start that took longer than window and grace: these begin with its
 * answer, whatever the averages were given of the time in which it was parked. */
static void
who_has_waited_for_long_is_not_left_at_once(void **state)
{
	int i;

	(void)state;
	connect_peer(1);
	seconds(70); /* no longer young */
	w.is_unready = w.peer[1].is_mute = true;
	activate(1, 1);
	round_of_news();
	for (i = 0; i < 12; i++) {
		second();
		say(1, "{\"type\":\"stats\",\"period_ms\":1000,\"revisions\":[{\"name\":\"a/v1\","
		       "\"concurrency\":1,\"waiting\":1,\"requests\":0,\"parked\":1}]}");
	}
	assert_int_equal(w.n, 1);
	w.is_unready = false;
	round_of_news();
	round_of_news();
	say(1, "{\"type\":\"stats\",\"period_ms\":45,\"revisions\":[{\"name\":\"a/v1\","
	       "\"concurrency\":0.1,\"waiting\":0.1,\"requests\":0,\"parked\":0,"
	       "\"completed\":1,\"latency_ms\":2}]}");
	reconcile_tick(w.r);
	round_of_news();
	assert_int_equal(w.told, 1);
	w.peer[1] = (struct fake_peer){.is_up = true, .answer = SAYS_DRAINED};
	UNTIL(w.told == 0, 10);
}

static void
what_is_not_known_is_ignored(void **state)
{
	(void)state;
	connect_peer(1);
	forget_sent();
	say(1, "{\"type\":\"activate\",\"revision\":\"no/such\",\"parked\":1,\"seq\":1}");
	say(1, "{\"type\":\"drained\",\"token\":\"s0.77\"}");
	say(1, "{\"type\":\"busy\",\"token\":\"s0.77\"}");
	say(1, "{\"type\":\"stats\",\"period_ms\":1000,\"revisions\":[{\"name\":\"no/such\","
	       "\"concurrency\":1,\"requests\":1,\"parked\":1}]}");
	reconcile_tail(w.r);
	assert_int_equal(w.out.len, 0);
	assert_int_equal(w.calls.len, 0);
}

static void
stats_with_parked_requests_wake_as_well(void **state)
{
	(void)state;
	connect_peer(1);
	w.peer[1].parked = 2;
	report(1);
	reconcile_tail(w.r); /* no tick */
	assert_string_equal(strbuf_str(&w.calls), "1 ");
}

/* --- to zero --- */

static void
zero_only_after_everybody_said_drained(void **state)
{
	char token[80];

	(void)state;
	connect_peer(1);
	connect_peer(2);
	run_with(1);
	w.peer[1].concurrency = 0;
	w.peer[1].answer = w.peer[2].answer = SAYS_NOTHING;
	UNTIL(drains_sent() == 1, 20);
	assert_true(was_sent("0 {\"type\":\"drain\""));
	assert_true(was_sent("\"revision\":\"a/v1\"}"));
	assert_true(token_of(strstr(strbuf_str(&w.out), "0 {\"type\":\"drain\""), token));
	say_token(1, "drained", token);
	reconcile_tail(w.r);
	seconds(3);
	assert_int_equal(w.calls.len, 0); /* one has not said so */
	say_token(2, "drained", token);
	reconcile_tail(w.r);
	assert_string_equal(strbuf_str(&w.calls), "0 ");
	assert_false(was_sent("resume"));
	second(); /* it is gone: the token is over */
	assert_int_equal(w.n, 0);
	assert_true(was_sent("resume"));
}

static void
one_busy_takes_it_back(void **state)
{
	(void)state;
	connect_peer(1);
	connect_peer(2);
	run_with(1);
	w.peer[1].concurrency = 0;
	w.peer[2].answer = SAYS_BUSY;
	UNTIL(was_sent("resume"), 20);
	assert_int_equal(drains_sent(), 1);
	round_of_news();
	assert_int_equal(drains_sent(), 1); /* not asked again at once */
	seconds(5);			    /* asked again, and again in vain */
	assert_true(drains_sent() > 1);
	assert_int_equal(w.n, 1);
	assert_int_equal(w.calls.len, 0);
	w.peer[2].answer = SAYS_DRAINED;
	UNTIL(w.n == 0, 5);
}

static void
an_activate_takes_it_back(void **state)
{
	char token[80];

	(void)state;
	connect_peer(1);
	connect_peer(2);
	run_with(1);
	w.peer[1].concurrency = 0;
	w.peer[1].answer = SAYS_NOTHING;
	UNTIL(drains_sent() == 1, 20);
	assert_true(token_of(strstr(strbuf_str(&w.out), "0 {\"type\":\"drain\""), token));
	activate(2, 1);
	reconcile_tail(w.r);
	assert_true(was_sent("0 {\"type\":\"resume\""));
	say_token(1, "drained", token); /* too late */
	round_of_news();
	assert_int_equal(w.calls.len, 0);
	assert_int_equal(w.n, 1);
}

static void
a_lost_link_takes_it_back_and_holds_for_a_stable_window(void **state)
{
	(void)state;
	connect_peer(1);
	connect_peer(2);
	run_with(1);
	w.peer[1].concurrency = 0;
	w.peer[2].answer = SAYS_NOTHING;
	UNTIL(drains_sent() == 1, 20);
	lose_peer(2);
	assert_true(was_sent("resume"));
	forget_sent();
	seconds(5);
	assert_int_equal(drains_sent(), 0);
	assert_int_equal(w.n, 1);
	UNTIL(w.n == 0, 5); /* a stable window has passed */
}

/* Who works in the background is kept, also when nobody is left who had it from him. */
static void
a_lease_outlives_its_activator(void **state)
{
	char line[200];

	(void)state;
	connect_peer(1);
	connect_peer(2);
	run_with(2);
	w.peer[1].concurrency = 0;
	w.peer[2].is_mute = true; /* it speaks here: the second one has 100 s */
	snprintf(line, sizeof line,
		 "{\"type\":\"stats\",\"period_ms\":1000,\"revisions\":[{\"name\":\"a/v1\","
		 "\"concurrency\":0,\"requests\":0,\"parked\":0,\"in_flight\":0,\"instances\":"
		 "[{\"id\":\"i%d\",\"in_flight\":0,\"busy_s\":100}]}]}",
		 w.v[1].number);
	say(2, line);
	lose_peer(2);
	UNTIL(w.n == 1, 60); /* the other one went */
	assert_non_null(strstr(line, w.v[0].number == 1 ? "i1" : "i2"));
	seconds(20);
	assert_int_equal(w.n, 1);
	assert_int_equal(reconcile_find(w.r, "a/v1")->out.rule, DECIDE_BUSY_LEASE);
	UNTIL(w.n == 0, 120);
}

/* What a driver may ask at a scale-down: all activators' words together. */
static void
what_is_at_stake_at_an_instance(void **state)
{
	char line[300];

	(void)state;
	connect_peer(1);
	connect_peer(2);
	run_with(2);
	w.peer[1].in_flight[w.v[0].number] = 2;
	w.peer[2].concurrency = 1;
	w.peer[2].in_flight[w.v[0].number] = 3;
	second();
	assert_int_equal(reconcile_load(w.r, "i1"), 5);
	assert_int_equal(reconcile_load(w.r, "i2"), 0);
	assert_int_equal(reconcile_load(w.r, "somebody"), 0);
	snprintf(line, sizeof line, "%s",
		 "{\"type\":\"stats\",\"period_ms\":1000,\"revisions\":[{\"name\":\"a/v1\","
		 "\"concurrency\":1,\"requests\":0,\"parked\":0,\"in_flight\":4000000000,"
		 "\"instances\":[{\"id\":\"i1\",\"in_flight\":4000000000},"
		 "{\"id\":\"i2\",\"in_flight\":1,\"busy_s\":100}]}]}");
	say(1, line);
	assert_int_equal(reconcile_load(w.r, "i1"), DRIVER_LEASE_LOAD);
	assert_int_equal(reconcile_load(w.r, "i2"), DRIVER_LEASE_LOAD + 1);
}

static void
back_by_name_it_is_no_longer_missed(void **state)
{
	(void)state;
	connect_peer(1);
	connect_peer(2);
	run_with(1);
	seconds(10);
	w.peer[1].concurrency = 0;
	lose_peer(2);
	reconcile_peer_up(w.r, 3, "act-2");
	w.peer[3] = (struct fake_peer){.is_up = true, .answer = SAYS_DRAINED};
	UNTIL(drains_sent() > 0, 9);
	UNTIL(w.n == 0, 2);
}

static void
who_connects_meanwhile_is_asked_and_waited_for(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(1);
	w.peer[1].concurrency = 0;
	w.peer[1].answer = SAYS_NOTHING;
	UNTIL(drains_sent() == 1, 20);
	connect_peer(2);
	w.peer[2].answer = SAYS_NOTHING;
	assert_true(was_sent("2 {\"type\":\"drain\""));
	w.peer[1].answer = SAYS_DRAINED;
	w.answered = 0;
	answer_drains();
	second();
	assert_int_equal(w.n, 1);
	w.peer[2].answer = SAYS_DRAINED;
	w.answered = 0;
	answer_drains();
	second();
	assert_int_equal(w.n, 0);
}

static void
nothing_goes_down_with_nobody_connected(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(2);
	w.peer[1].concurrency = 0;
	lose_peer(1);
	seconds(100);
	assert_int_equal(w.n, 2);
	assert_int_equal(w.calls.len, 0);
}

static void
nothing_goes_down_while_one_is_silent(void **state)
{
	(void)state;
	connect_peer(1);
	connect_peer(2);
	run_with(1);
	w.peer[1].concurrency = 0;
	w.peer[2].is_mute = true;
	seconds(6);
	forget_sent();
	seconds(50);
	assert_int_equal(drains_sent(), 0);
	assert_int_equal(w.n, 1);
	w.peer[2].is_mute = false;
	UNTIL(w.n == 0, 10);
}

static void
after_the_stop_an_activate_is_an_ordinary_cold_start(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(1);
	w.peer[1].concurrency = 0;
	w.is_slow = true;
	UNTIL(w.told == 0, 20);
	w.v[0].state = INSTANCE_STOPPING;
	tell_view(NULL);
	reconcile_tail(w.r);
	forget_sent();
	activate(1, 1);
	reconcile_tail(w.r);
	assert_string_equal(strbuf_str(&w.calls), "1 ");
	assert_false(was_sent("resume")); /* the old one is on its way out */
	w.now += CLK_MS;
	w.v[0] = (struct fake_instance){++w.number, INSTANCE_STARTING, w.now};
	tell_view(NULL);
	reconcile_tail(w.r);
	assert_true(was_sent("resume"));
	assert_true(was_sent("\"id\":\"i2\""));
}

static void
an_instance_that_was_spared_is_opened_again(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(1);
	w.peer[1].concurrency = 0;
	w.is_slow = true;
	UNTIL(w.told == 0, 20);
	forget_sent();
	activate(1, 1); /* before the driver has done anything */
	reconcile_tail(w.r);
	assert_string_equal(strbuf_str(&w.calls), "1 ");
	assert_false(was_sent("resume"));
	w.is_slow = false;
	second();
	assert_true(was_sent("resume"));
	assert_int_equal(w.n, 1);
	assert_int_equal(w.v[0].number, 1);
}

static void
a_drain_that_nobody_answers_is_taken_back(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(1);
	w.peer[1].concurrency = 0;
	w.peer[1].answer = SAYS_NOTHING;
	log_open(LOG_ERROR, LOG_LOGFMT, "t_reconcile");
	UNTIL(drains_sent() == 1, 20);
	seconds(9);
	assert_false(was_sent("resume"));
	seconds(2);
	assert_true(was_sent("resume"));
	assert_int_equal(w.n, 1);
}

/* --- to fewer --- */

static void
the_least_busy_go_and_are_drained_first(void **state)
{
	(void)state;
	connect_peer(1);
	connect_peer(2);
	run_with(3);
	w.peer[1].in_flight[1] = 2;
	w.peer[2].concurrency = 0.1;
	w.peer[2].in_flight[3] = 1;
	w.peer[1].answer = w.peer[2].answer = SAYS_NOTHING;
	w.peer[1].concurrency = 13; /* two are enough */
	UNTIL(drains_sent() == 1, 20);
	assert_true(was_sent("\"instance\":\"i2\"}"));
	assert_true(was_sent("{\"id\":\"i2\",\"address\":\"127.0.0.1\",\"port\":20002,"
			     "\"state\":\"stopping\"}"));
	assert_int_equal(w.calls.len, 0);
	w.peer[1].answer = w.peer[2].answer = SAYS_DRAINED;
	w.answered = 0;
	answer_drains();
	reconcile_tail(w.r);
	assert_string_equal(strbuf_str(&w.calls), "2:i2 ");
	second();
	assert_int_equal(w.n, 2);
	assert_int_equal(w.v[0].number, 1);
	assert_int_equal(w.v[1].number, 3);
}

static void
an_upturn_before_the_stop_resumes_them(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(4);
	w.peer[1].answer = SAYS_NOTHING;
	w.peer[1].concurrency = 14;
	UNTIL(drains_sent() >= 2, 20);
	forget_sent();
	w.peer[1].concurrency = 28;
	w.peer[1].parked = 30;
	UNTIL(was_sent("resume"), 5);
	UNTIL(list_empty(&reconcile_find(w.r, "a/v1")->drains), 10);
	assert_null(strstr(strbuf_str(&w.calls), ":")); /* nobody was stopped */
	assert_true(w.n >= 4);
}

static void
a_drain_of_an_instance_ends_with_its_time(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(2);
	w.peer[1].answer = SAYS_NOTHING;
	w.peer[1].concurrency = 3;
	UNTIL(drains_sent() == 1, 20);
	seconds(9);
	assert_int_equal(w.n, 2);
	seconds(3);
	assert_int_equal(w.n, 1);
}

static void
an_instance_that_ends_by_itself_is_drained(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(2);
	w.peer[1].answer = SAYS_NOTHING;
	w.peer[1].concurrency = 3;
	UNTIL(drains_sent() == 1, 20);
	w.n = 0; /* both crash, and are replaced */
	w.v[w.n++] = (struct fake_instance){++w.number, INSTANCE_READY, w.now};
	w.v[w.n++] = (struct fake_instance){++w.number, INSTANCE_READY, w.now};
	tell_view(NULL);
	reconcile_tail(w.r);
	assert_true(was_sent("resume"));
	w.peer[1].answer = SAYS_DRAINED;
	UNTIL(w.n == 1, 20);
}

/* --- the rest --- */

static void
nothing_is_told_before_the_driver_has_seen_the_world(void **state)
{
	(void)state;
	teardown(NULL);
	w = (struct world){.now = 0};
	begin_world(3);
	connect_peer(1);
	activate(1, 1);
	reconcile_tail(w.r);
	second();
	assert_true(was_sent("activating"));
	assert_int_equal(w.calls.len, 0); /* it might have three already */
	tell_view(NULL);
	reconcile_tail(w.r);
	assert_string_equal(strbuf_str(&w.calls), "3 ");
}

static void
a_restart_takes_up_what_is_there_and_waits(void **state)
{
	(void)state;
	teardown(NULL);
	w = (struct world){.now = 0};
	begin_world(3);
	w.v[0].started_ns = CLK_S; /* ready when first seen: its start was not measured */
	tell_view(NULL);
	reconcile_tail(w.r);
	assert_true(revision_start_s(reconcile_find(w.r, "a/v1")) < 0);
	connect_peer(1);
	forget_sent();
	seconds(5);
	assert_int_equal(w.n, 3);
	assert_int_equal(drains_sent(), 0);
	UNTIL(w.n == 0, 20);
}

static void
a_failure_is_passed_on_with_what_is_left_to_wait(void **state)
{
	struct msg_failure f = {.reason = (char[]){"exited"},
				.message = (char[]){"exit status 1"},
				.retry_after_ms = 10000};
	struct revision *rev = reconcile_find(w.r, "a/v1");
	struct msg_instances m;

	(void)state;
	log_open(LOG_ERROR, LOG_LOGFMT, "t_reconcile");
	connect_peer(1);
	activate(1, 1);
	reconcile_tail(w.r);
	forget_sent();
	tell_view(&f);
	reconcile_tail(w.r);
	assert_true(was_sent("\"failure\":{\"reason\":\"exited\",\"message\":\"exit status 1\","
			     "\"retry_after_ms\":10000}"));
	w.now += 4 * CLK_S; /* to an activator that comes later */
	revision_state(rev, &m, w.now);
	assert_int_equal(m.failure->retry_after_ms, 6000);
	revision_state_fini(&m);
	forget_sent();
	tell_view(NULL);
	reconcile_tail(w.r);
	assert_false(was_sent("failure"));
	assert_true(was_sent("instances"));
	assert_int_equal(rev->failures, 1);
}

/* b/v1 has no instances in this world: what it was told is in w.calls. */
static void
under_a_ceiling_nobody_gets_a_second_while_one_has_none(void **state)
{
	struct revision *a = reconcile_find(w.r, "a/v1"), *b;

	(void)state;
	log_open(LOG_ERROR, LOG_LOGFMT, "t_reconcile");
	set_services(2, 4);
	b = reconcile_find(w.r, "b/v1");
	tell_view_of("b/v1");
	connect_peer(1);
	w.peer[1].concurrency = 100;
	activate(1, 100);
	UNTIL(w.n == 4, 10);
	forget_sent();
	say(1, "{\"type\":\"activate\",\"revision\":\"b/v1\",\"parked\":1,\"seq\":1}");
	w.other_parked = 1;
	w.peer[1].answer = SAYS_NOTHING;
	seconds(2);
	assert_int_equal(a->wanted, 3);
	assert_int_equal(b->wanted, 1);
	assert_int_equal(a->out.rule, DECIDE_MAX_INSTANCES);
	assert_int_equal(w.calls.len, 0); /* no room before one of a's is drained */
	w.peer[1].answer = SAYS_DRAINED;
	w.answered = 0;
	round_of_news();
	assert_int_equal(w.told, 3);
	assert_non_null(strstr(strbuf_str(&w.calls), "b/v1=1"));
	w.other_parked = 0;
	say(1, "{\"type\":\"stats\",\"period_ms\":1000,\"revisions\":[]}");
	UNTIL(b->wanted == 0, 20);
	UNTIL(a->wanted == 4, 5); /* all fit again */
}

/* b/v1 is asked when a/v1 has all that may be: told so while that is in use; what is idle
 * gives way at once, though its window is far from empty. */
static void
who_is_idle_gives_way_to_who_is_asked(void **state)
{
	struct revision *a, *b;

	(void)state;
	w.conf.scaling.stable_window = 60 * CLK_S;
	set_services(2, 1);
	a = reconcile_find(w.r, "a/v1");
	b = reconcile_find(w.r, "b/v1");
	tell_view_of("b/v1");
	connect_peer(1);
	w.peer[1].concurrency = 1;
	activate(1, 1);
	round_of_news();
	w.peer[1].parked = 0;
	UNTIL(w.n == 1, 10);
	seconds(2);
	forget_sent();
	w.other_parked = 1;
	say(1, "{\"type\":\"activate\",\"revision\":\"b/v1\",\"parked\":1,\"seq\":1}");
	seconds(5);
	assert_int_equal(a->wanted, 1);
	assert_int_equal(b->wanted, 0);
	assert_int_equal(b->out.rule, DECIDE_MAX_INSTANCES);
	assert_non_null(strstr(b->held_back, "are in use or have to stay"));
	assert_true(was_sent("\"reason\":\"max_instances\""));
	assert_true(was_sent("\"parking\":true"));
	assert_int_equal(b->held_backs, 1);
	assert_int_equal(w.calls.len, 0);
	w.peer[1].concurrency = 0;
	UNTIL(b->told == 1, 3);
	assert_null(b->held_back);
	assert_int_equal(w.told, 0);
	assert_string_equal(strbuf_str(&w.calls), "0 b/v1=1 ");
}

/* Many short requests leave nothing in flight at the instants at which reports are made and
 * decisions taken, and these fall between those: that is in use all the same. */
static void
short_requests_are_use_as_well(void **state)
{
	struct revision *a, *b;
	int i;

	(void)state;
	w.conf.scaling.stable_window = 60 * CLK_S;
	set_services(2, 1);
	a = reconcile_find(w.r, "a/v1");
	b = reconcile_find(w.r, "b/v1");
	tell_view_of("b/v1");
	connect_peer(1);
	w.peer[1].concurrency = 0.1;
	activate(1, 1);
	round_of_news();
	w.peer[1].parked = 0;
	UNTIL(w.n == 1, 10);
	seconds(2);
	w.other_parked = 1;
	say(1, "{\"type\":\"activate\",\"revision\":\"b/v1\",\"parked\":1,\"seq\":1}");
	for (i = 0; i < 5; i++) {
		report(1);
		w.now += CLK_S * 6 / 10;
		reconcile_tick(w.r);
		round_of_news();
		assert_int_equal(a->wanted, 1);
		assert_int_equal(b->wanted, 0);
		w.now += CLK_S * 4 / 10;
	}
}

/* How long no answer has come is counted anew from when the only instance is back. */
static void
who_answers_again_answers(void **state)
{
	struct revision *a;

	(void)state;
	w.is_unready = true; /* the platform says nothing */
	connect_peer(1);
	activate(1, 1);
	round_of_news();
	a = reconcile_find(w.r, "a/v1");
	say(1, "{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"answers\"}");
	assert_int_equal(a->answering_ns, w.now);
	say(1, "{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"refuses\"}");
	w.v[0].started_ns++; /* anything that is news */
	tell_view(NULL);
	assert_int_equal(a->answering_ns, 0);
	w.now += CLK_S;
	say(1, "{\"type\":\"instance\",\"id\":\"i1\",\"state\":\"answers\"}");
	assert_int_equal(a->answering_ns, w.now);
	assert_int_equal(a->starts, 1);
}

/* Who waits longest comes first: that begins anew with each time of waiting. */
static void
who_left_has_not_waited(void **state)
{
	static const char ask[] =
		"{\"type\":\"activate\",\"revision\":\"b/v1\",\"parked\":1,\"seq\":1}";
	struct revision *b;
	int64_t first;

	(void)state;
	set_services(2, 1);
	b = reconcile_find(w.r, "b/v1");
	tell_view_of("b/v1");
	connect_peer(1);
	w.peer[1].concurrency = 1;
	activate(1, 1);
	round_of_news();
	w.peer[1].parked = 0;
	UNTIL(w.n == 1, 10);
	w.other_parked = 1;
	say(1, ask);
	first = w.now;
	seconds(5);
	say(1, ask);
	assert_int_equal(b->woken_ns, first);
	w.other_parked = 0;
	seconds(2);
	say(1, ask);
	assert_int_equal(b->woken_ns, w.now);
	assert_int_equal(b->told, 0);
}

static void
a_revision_that_is_gone_is_forgotten(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(1);
	w.peer[1].answer = SAYS_NOTHING;
	w.peer[1].concurrency = 0;
	UNTIL(drains_sent() == 1, 20);
	set_services(0, 0);
	reconcile_tail(w.r);
	assert_null(reconcile_find(w.r, "a/v1"));
	assert_true(was_sent("resume"));
	tell_view(NULL); /* the driver is a little behind */
	second();
}

static void
who_leaves_decides_nothing_more(void **state)
{
	(void)state;
	connect_peer(1);
	run_with(1);
	reconcile_retire(w.r);
	w.v[0].state = INSTANCE_STOPPING;
	tell_view(NULL);
	reconcile_tail(w.r);
	assert_true(was_sent("\"state\":\"stopping\""));
	forget_sent();
	activate(1, 5);
	reconcile_tail(w.r);
	assert_int_equal(w.out.len, 0);
	assert_int_equal(w.calls.len, 0);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(an_activate_is_acknowledged_before_the_driver_is_asked),
		T(many_activates_of_a_round_are_one_wish),
		T(what_the_driver_shows_is_told_once),
		T(an_instance_that_answers_is_ready_and_the_driver_hears_of_it),
		T(who_has_waited_for_long_is_not_left_at_once),
		T(what_is_not_known_is_ignored),
		T(stats_with_parked_requests_wake_as_well),
		T(zero_only_after_everybody_said_drained),
		T(one_busy_takes_it_back),
		T(an_activate_takes_it_back),
		T(a_lost_link_takes_it_back_and_holds_for_a_stable_window),
		T(a_lease_outlives_its_activator),
		T(what_is_at_stake_at_an_instance),
		T(back_by_name_it_is_no_longer_missed),
		T(who_connects_meanwhile_is_asked_and_waited_for),
		T(nothing_goes_down_with_nobody_connected),
		T(nothing_goes_down_while_one_is_silent),
		T(after_the_stop_an_activate_is_an_ordinary_cold_start),
		T(an_instance_that_was_spared_is_opened_again),
		T(a_drain_that_nobody_answers_is_taken_back),
		T(the_least_busy_go_and_are_drained_first),
		T(an_upturn_before_the_stop_resumes_them),
		T(a_drain_of_an_instance_ends_with_its_time),
		T(an_instance_that_ends_by_itself_is_drained),
		T(nothing_is_told_before_the_driver_has_seen_the_world),
		T(a_restart_takes_up_what_is_there_and_waits),
		T(a_failure_is_passed_on_with_what_is_left_to_wait),
		T(under_a_ceiling_nobody_gets_a_second_while_one_has_none),
		T(who_is_idle_gives_way_to_who_is_asked),
		T(short_requests_are_use_as_well),
		T(who_answers_again_answers),
		T(who_left_has_not_waited),
		T(a_revision_that_is_gone_is_forgotten),
		T(who_leaves_decides_nothing_more),
	};

	return cmocka_run_group_tests_name("reconcile", tests, NULL, NULL);
}
