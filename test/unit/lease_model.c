#include "test/unit/lease_model.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/replicas/lease.h"
#include "common/clk.h"

#define REPLICAS 3
#define REQUESTS 12 /* on their way at a time */
#define EVENTS 24   /* of a watch */
#define STEPS 3000
#define CALM_EVERY 500
#define CALM (15 * CLK_S)
#define FAST (20 * CLK_MS)  /* a request or an answer, while all goes well */
#define TIMEOUT (2 * CLK_S) /* of a request, for its sender */

struct object {
	bool is_there;
	uint64_t version, transitions;
	char holder[24];
	int64_t duration_ns;
};

struct request {
	bool is_there, is_done; /* is_done: the server has carried it out, and the answer comes */
	int replica;
	uint64_t serial; /* of the replica's request */
	enum lease_verb verb;
	struct object asked; /* version: that it bears */
	enum lease_outcome outcome;
	struct object answer;
	int64_t due_ns;
};

struct event {
	struct object object;
	int64_t due_ns;
};

struct replica {
	struct lease *lease; /* NULL: dead */
	char id[24];
	int64_t offset_ns;
	int64_t drift; /* its clock gains so much of 1024 */
	int64_t slept_ns;
	int64_t duration_ns;
	bool is_stopped, is_leaving, is_released;
	uint64_t serial; /* of the request that is under way; 0: none */
	struct object asked;
	enum lease_verb verb;
	int64_t timeout_ns;
	struct event events[EVENTS];
	int events_n;
	int64_t released_until_ns; /* it could have decided until then, by its clock */
};

struct model {
	uint64_t random;
	uint64_t pace;	 /* a disturbance in so many steps … */
	uint64_t losses; /* … and of so many messages one is lost */
	int64_t slow_ns; /* a message is under way for so long at most */
	enum lease_fault fault;
	FILE *trace;
	struct lease_model_result *result;
	jmp_buf out;
	int64_t now_ns, leaderless_ns;
	uint64_t serial, version, generation;
	struct object object;
	struct request requests[REQUESTS];
	struct replica v[REPLICAS];
	bool is_away, is_calm;
	bool has_deletes; /* … and leaders of which no Lease tells */
	char leader[24];  /* the last */
	uint64_t term;	  /* its */
};

#define TRACE(m, ...)                                                                              \
	do {                                                                                       \
		if ((m)->trace != NULL) {                                                          \
			fprintf((m)->trace, "%8.3f ", (double)(m)->now_ns / 1e9);                  \
			fprintf((m)->trace, __VA_ARGS__);                                          \
			fputc('\n', (m)->trace);                                                   \
		}                                                                                  \
	} while (0)

#define FAIL(m, ...)                                                                               \
	do {                                                                                       \
		snprintf((m)->result->failure, sizeof(m)->result->failure, __VA_ARGS__);           \
		TRACE(m, "%s", (m)->result->failure);                                              \
		longjmp((m)->out, 1);                                                              \
	} while (0)

const char *
lease_fault_name(enum lease_fault fault)
{
	static const char *const names[] = {
		[LEASE_FAULT_NONE] = "none",
		[LEASE_FAULT_CLOCK_SLEEPS] = "a clock stands still while its replica is stopped",
		[LEASE_FAULT_NO_VERSION] = "updates of old versions are carried out",
		[LEASE_FAULT_CREATE_REPLACES] = "a create replaces what there is",
		[LEASE_FAULT_LOST_IS_DONE] = "a lost answer is taken for a success",
		[LEASE_FAULT_ANSWER_COUNTS] = "a renewal counts from its answer",
		[LEASE_FAULT_DURATION_UNHEEDED] = "the holder's duration is not heeded",
		[LEASE_FAULT_DECIDES_RELEASED] = "a replica that releases goes on deciding",
	};

	return names[fault];
}

static uint64_t
draw(struct model *m, uint64_t n)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return (m->random >> 11) % n;
}

static int64_t
draw_ns(struct model *m, int64_t most)
{
	return (int64_t)draw(m, (uint64_t)most);
}

static int64_t
clock_of(const struct model *m, const struct replica *r)
{
	int64_t t = m->now_ns - (m->fault == LEASE_FAULT_CLOCK_SLEEPS ? r->slept_ns : 0);

	return t + t / 1024 * r->drift + r->offset_ns;
}

static struct lease_object
shown(const struct model *m, const struct object *o, char version[24])
{
	snprintf(version, 24, "%llu", (unsigned long long)o->version);
	return (struct lease_object){
		.version = version,
		.holder = o->holder,
		.transitions = o->transitions,
		.duration_ns = m->fault == LEASE_FAULT_DURATION_UNHEEDED ? 0 : o->duration_ns};
}

/* --- the server --- */

static void
publish(struct model *m)
{
	int i;

	for (i = 0; i < REPLICAS; i++) {
		struct replica *r = &m->v[i];
		int64_t after = r->events_n == 0 ? 0 : r->events[r->events_n - 1].due_ns;

		if (r->lease == NULL || r->events_n == EVENTS)
			continue;
		if (!m->is_calm && draw(m, m->losses) == 0)
			continue; /* the watch had broken off, or is silent */
		r->events[r->events_n++] = (struct event){
			.object = m->object,
			.due_ns = MAX(after,
				      m->now_ns + draw_ns(m, m->is_calm ? FAST : m->slow_ns))};
	}
}

static void
set_object(struct model *m, const struct object *o)
{
	m->object = *o;
	m->object.is_there = true;
	m->object.version = ++m->version;
	TRACE(m, "server: v%llu holder=%s transitions=%llu", (unsigned long long)m->version,
	      m->object.holder, (unsigned long long)m->object.transitions);
	publish(m);
}

static enum lease_outcome
carry_out(struct model *m, const struct request *q)
{
	bool is_free = !m->object.is_there || m->fault == LEASE_FAULT_CREATE_REPLACES;
	bool is_same = m->object.version == q->asked.version || m->fault == LEASE_FAULT_NO_VERSION;

	if (q->verb == LEASE_CREATE && !is_free)
		return LEASE_CONFLICT;
	if (q->verb == LEASE_UPDATE && m->object.is_there && !is_same)
		return LEASE_CONFLICT;
	if (q->verb != LEASE_CREATE && !m->object.is_there)
		return LEASE_ABSENT;
	if (q->verb != LEASE_READ)
		set_object(m, &q->asked);
	return LEASE_DONE;
}

/* A request reaches the server. */
static void
arrive(struct model *m, struct request *q)
{
	if (m->is_away) {
		q->is_there = false;
		return;
	}
	q->outcome = carry_out(m, q);
	q->answer = m->object;
	q->is_done = true;
	q->due_ns = m->now_ns + draw_ns(m, m->is_calm ? FAST : m->slow_ns);
	if (!m->is_calm && draw(m, m->losses) == 0)
		q->is_there = false; /* the answer is lost */
}

/* --- replicas --- */

static void
start(struct model *m, int i)
{
	struct replica *r = &m->v[i];
	struct lease_conf conf = {
		.duration_ns = 5 * CLK_S, .renew_ns = CLK_S, .decide_ns = 3 * CLK_S};

	if (draw(m, 4) == 0) { /* a release with other settings, or a fault hides what they are */
		conf.duration_ns = m->fault == LEASE_FAULT_DURATION_UNHEEDED ? 2 * CLK_S
									     : 8 * CLK_S;
		conf.decide_ns = conf.duration_ns * 3 / 5;
	}
	if (m->fault == LEASE_FAULT_ANSWER_COUNTS)
		conf.decide_ns = 3 * CLK_S;
	snprintf(r->id, sizeof r->id, "r%d-%llu", i, (unsigned long long)++m->generation);
	conf.id = r->id;
	r->duration_ns = conf.duration_ns;
	r->offset_ns = draw_ns(m, 600 * CLK_S);
	r->drift = (int64_t)draw(m, 41) - 20;
	r->slept_ns = 0;
	r->is_stopped = r->is_leaving = r->is_released = false;
	r->serial = 0;
	r->events_n = 0;
	r->lease = lease_new(&conf);
	TRACE(m, "r%d: starts as %s", i, r->id);
}

static void
kill_replica(struct model *m, int i)
{
	TRACE(m, "r%d: dies", i);
	lease_free(&m->v[i].lease);
}

static struct request *
free_request(struct model *m)
{
	int i;

	for (i = 0; i < REQUESTS; i++)
		if (!m->requests[i].is_there)
			return &m->requests[i];
	return NULL;
}

static void
send_request(struct model *m, int i, const struct lease_request *ask)
{
	struct replica *r = &m->v[i];
	struct request *q = free_request(m);

	r->serial = ++m->serial;
	r->verb = ask->verb;
	r->asked = (struct object){.is_there = true,
				   .version = strtoull(ask->version, NULL, 10),
				   .transitions = ask->transitions,
				   .duration_ns = r->duration_ns};
	snprintf(r->asked.holder, sizeof r->asked.holder, "%s", ask->holder);
	r->timeout_ns = m->now_ns + TIMEOUT;
	TRACE(m, "r%d: sends %d v%s holder=%s transitions=%llu", i, (int)ask->verb, ask->version,
	      ask->holder, (unsigned long long)ask->transitions);
	if (q == NULL || (!m->is_calm && draw(m, 10) == 0))
		return; /* it is lost */
	*q = (struct request){.is_there = true,
			      .replica = i,
			      .serial = r->serial,
			      .verb = ask->verb,
			      .asked = r->asked,
			      .due_ns = m->now_ns + draw_ns(m, m->is_calm ? FAST : m->slow_ns)};
}

static void
answer(struct model *m, int i, enum lease_outcome outcome, const struct object *o)
{
	struct replica *r = &m->v[i];
	char version[24];
	struct lease_object seen;

	r->serial = 0;
	if (m->fault == LEASE_FAULT_LOST_IS_DONE && outcome == LEASE_FAILED &&
	    r->verb == LEASE_UPDATE) {
		outcome = LEASE_DONE;
		o = &r->asked;
	}
	TRACE(m, "r%d: answer %d", i, (int)outcome);
	if (outcome == LEASE_DONE)
		seen = shown(m, o, version);
	lease_answered(r->lease, outcome, outcome == LEASE_DONE ? &seen : NULL, 0, clock_of(m, r));
}

static void
read_answers(struct model *m, int i)
{
	struct replica *r = &m->v[i];
	int j;

	for (j = 0; j < REQUESTS; j++) {
		struct request *q = &m->requests[j];

		if (!q->is_there || !q->is_done || q->due_ns > m->now_ns || q->replica != i)
			continue;
		q->is_there = false;
		if (q->serial == r->serial)
			answer(m, i, q->outcome, &q->answer);
	}
	if (r->serial != 0 && m->now_ns >= r->timeout_ns)
		answer(m, i, LEASE_FAILED, NULL);
}

static void
read_events(struct model *m, struct replica *r)
{
	int n = 0;

	while (n < r->events_n && r->events[n].due_ns <= m->now_ns) {
		char version[24];
		struct lease_object seen = shown(m, &r->events[n].object, version);

		lease_saw(r->lease, r->events[n].object.is_there ? &seen : NULL, clock_of(m, r));
		n++;
	}
	r->events_n -= n;
	memmove(r->events, r->events + n, (size_t)r->events_n * sizeof r->events[0]);
}

static void
run_replica(struct model *m, int i)
{
	struct replica *r = &m->v[i];
	struct lease_request ask;

	if (r->lease == NULL || r->is_stopped)
		return;
	read_events(m, r);
	read_answers(m, i);
	if (!r->is_released && lease_next(r->lease, clock_of(m, r), &ask)) {
		if (lease_next_ns(r->lease) != INT64_MAX)
			FAIL(m, "r%d: two requests at a time", i);
		send_request(m, i, &ask);
	}
	if (!r->is_released && lease_is_released(r->lease)) {
		TRACE(m, "r%d: has released", i);
		r->is_released = true;
	}
}

static bool
may_decide(const struct model *m, const struct replica *r)
{
	int64_t now = clock_of(m, r);

	if (r->lease == NULL)
		return false;
	if (m->fault == LEASE_FAULT_DECIDES_RELEASED && now < r->released_until_ns)
		return true;
	if (m->fault == LEASE_FAULT_ANSWER_COUNTS)
		now -= TIMEOUT + CLK_S; /* about how long answers are under way */
	return lease_may_decide(r->lease, now);
}

/* --- checks --- */

static void
check_term(struct model *m, int i)
{
	struct replica *r = &m->v[i];
	uint64_t term = lease_term(r->lease);
	bool is_new = strcmp(m->leader, r->id) != 0;

	if (is_new)
		m->result->leaders++;
	if ((is_new && term <= m->term) || term < m->term) {
		if (!m->has_deletes)
			FAIL(m, "%s leads under term %llu after %s under %llu", r->id,
			     (unsigned long long)term, m->leader, (unsigned long long)m->term);
		/* Nobody had seen the term of a Lease that was deleted but an activator. */
		if (!lease_raise_term(r->lease, m->term) ||
		    lease_may_decide(r->lease, clock_of(m, r)))
			FAIL(m, "%s leads on under a term that was there before", r->id);
		return;
	}
	snprintf(m->leader, sizeof m->leader, "%s", r->id);
	m->term = term;
}

static int
deciding(struct model *m)
{
	int i, leader = -1;

	for (i = 0; i < REPLICAS; i++) {
		if (!may_decide(m, &m->v[i]))
			continue;
		if (leader >= 0)
			FAIL(m, "%s and %s decide", m->v[leader].id, m->v[i].id);
		leader = i;
	}
	return leader;
}

static void
check(struct model *m)
{
	int leader = deciding(m);

	if (leader >= 0 && lease_term(m->v[leader].lease) > 0)
		check_term(m, leader);
}

/* --- steps --- */

static void
pass(struct model *m, int64_t ns)
{
	int i;

	m->now_ns += ns;
	for (i = 0; i < REPLICAS; i++)
		if (m->v[i].is_stopped)
			m->v[i].slept_ns += ns;
	for (i = 0; i < REQUESTS; i++) {
		struct request *q = &m->requests[i];

		if (q->is_there && !q->is_done && q->due_ns <= m->now_ns)
			arrive(m, q);
		if (q->is_there && q->is_done && q->serial != m->v[q->replica].serial)
			q->is_there = false; /* nobody waits for the answer */
	}
	check(m);
	for (i = 0; i < REPLICAS; i++) {
		run_replica(m, i);
		check(m);
	}
}

static void
release(struct model *m, struct replica *r)
{
	if (r->lease == NULL || r->is_stopped)
		return;
	TRACE(m, "%s: releases", r->id);
	r->is_leaving = true;
	r->released_until_ns = lease_decides_until_ns(r->lease);
	lease_release(r->lease, clock_of(m, r));
}

static void
disturb(struct model *m)
{
	int i = (int)draw(m, REPLICAS);
	struct replica *r = &m->v[i];

	switch (draw(m, 12)) {
	case 0:
		if (r->lease != NULL)
			kill_replica(m, i);
		break;
	case 1:
	case 2:
		if (r->lease == NULL || r->is_released) {
			lease_free(&r->lease);
			start(m, i);
		}
		break;
	case 3:
	case 4:
		TRACE(m, "r%d: %s", i, r->is_stopped ? "goes on" : "is stopped");
		r->is_stopped = r->lease != NULL && !r->is_stopped;
		break;
	case 5:
		m->is_away = !m->is_away && draw(m, 3) == 0;
		TRACE(m, "server: %s", m->is_away ? "away" : "there");
		break;
	case 6:
		release(m, r);
		break;
	case 7:
		if (m->has_deletes && m->object.is_there && draw(m, 4) == 0) {
			TRACE(m, "server: deleted");
			m->object = (struct object){.version = ++m->version};
			publish(m);
		}
		break;
	case 8:
		/* There was a leader of which the Lease does not tell. */
		if (m->has_deletes && draw(m, 8) == 0) {
			m->term += draw(m, 3);
			m->leader[0] = '\0';
		}
		break;
	default:
		break;
	}
}

/* All goes well for a while: soon one leads, and goes on. */
static void
calm(struct model *m)
{
	int64_t until, leaderless_ns;
	uint64_t term = 0;
	int i, leader;

	if (m->fault != LEASE_FAULT_NONE)
		return; /* it is to be found by what two replicas do */
	TRACE(m, "calm");
	m->is_calm = true;
	m->is_away = false;
	for (i = 0; i < REPLICAS; i++) {
		struct replica *r = &m->v[i];

		r->is_stopped = false;
		if (i == 0 && (r->lease == NULL || r->is_leaving)) {
			lease_free(&r->lease);
			start(m, i);
		}
	}
	/* What was under way comes to its end; after that the times count. */
	for (until = m->now_ns + 3 * TIMEOUT; m->now_ns < until;)
		pass(m, draw_ns(m, 20 * CLK_MS) + 1);
	until = m->now_ns + 2 * CALM;
	for (leaderless_ns = m->now_ns; m->now_ns < until;) {
		pass(m, draw_ns(m, 20 * CLK_MS) + 1);
		leader = deciding(m);
		if (leader >= 0) {
			if (term != 0 && term != lease_term(m->v[leader].lease))
				FAIL(m, "the leader changed while all went well");
			term = lease_term(m->v[leader].lease);
			leaderless_ns = m->now_ns;
			continue;
		}
		if (term != 0)
			FAIL(m, "nobody leads any more while all goes well");
		m->result->wait_ns = MAX(m->result->wait_ns, m->now_ns - leaderless_ns);
		/* A replica may wait for 8 s; what a watch did not show is found out then. */
		if (m->now_ns - leaderless_ns > 2 * 8 * CLK_S + CLK_S)
			FAIL(m, "nobody leads after %.1f s",
			     (double)(m->now_ns - leaderless_ns) / 1e9);
	}
	m->is_calm = false;
}

void
lease_model_run(uint64_t seed, enum lease_fault fault, void *trace,
		struct lease_model_result *result)
{
	struct model *m = xcalloc(1, sizeof *m);
	int i;

	memset(result, 0, sizeof *result);
	m->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	m->fault = fault;
	m->trace = trace;
	m->result = result;
	m->version = 100;
	m->has_deletes = draw(m, 2) == 0;
	m->pace = 1 + draw(m, 16);
	m->losses = 4 + draw(m, 40);
	m->slow_ns = CLK_S / 10 << draw(m, 6);
	if (setjmp(m->out) == 0) {
		for (i = 0; i < REPLICAS; i++)
			start(m, i);
		while (result->steps < STEPS) {
			result->steps++;
			if (draw(m, m->pace) == 0)
				disturb(m);
			pass(m, draw_ns(m, 300 * CLK_MS) + 1);
			if (result->steps % CALM_EVERY == 0)
				calm(m);
		}
	}
	for (i = 0; i < REPLICAS; i++)
		lease_free(&m->v[i].lease);
	free(m);
}
