#include "test/unit/share_model.h"

#include <stdlib.h>
#include <string.h>

#include "test/unit/share_steps.h"
#include "test/unit/share_walk.h"

#define STEPS 1500
#define SETTLE_EVERY 300

/* --- checks --- */

/* What an activator uses or may use, or an instance still does for it. */
static uint64_t
used_by(const struct activator *a, int i)
{
	return MAX(a->slots[i], MAX(a->requests[i], a->conns[i]));
}

/* … with what it may use once it has read the offers that are on their way to it. */
static uint64_t
offered_to(const struct activator *a, int i)
{
	const struct queue *q[] = {&a->link.down, &a->old.down};
	uint64_t slots = 0;
	uint32_t j, k, at;

	for (at = 0; a->is_alive && at < 2; at++)
		for (j = 0; j < q[at]->n; j++) {
			const struct packet *p = &q[at]->v[(q[at]->head + j) % QUEUE];

			if (p->kind == LIST && at == 0 && model_has_bit(p->idle, i))
				slots = MAX(slots, p->limit);
			if (p->kind != OFFER || p->term < a->term ||
			    (p->term == a->term && p->epoch <= a->epoch))
				continue;
			for (k = 0; k < p->n; k++) {
				if (p->v[k].inst != i || p->v[k].born != a->m->born[i] % 1000000)
					continue;
				if (p->limit == SHARE_ALL)
					slots = SHARE_ALL;
				else if (p->v[k].slots != SHARE_KEEP && !p->v[k].is_at_most)
					slots = MAX(slots, p->v[k].slots);
			}
		}
	return MAX(slots, used_by(a, i));
}

/* The limit that the leaders go by. */
static uint32_t
limit_of(const struct model *m)
{
	const struct leader *old = &m->leaders[1 - m->now];

	return MAX(m->leaders[m->now].limit, old->shares == NULL ? 0 : old->limit);
}

static void
check(struct model *m)
{
	uint32_t limit = limit_of(m);
	const struct leader *l = &m->leaders[m->now];
	int i, j;

	for (i = 0; i < INSTANCES; i++) {
		uint64_t used = 0, live = 0;

		for (j = 0; j < ACTIVATORS; j++) {
			used += offered_to(&m->v[j], i);
			live += m->v[j].is_alive ? used_by(&m->v[j], i) : 0;
		}
		used = MIN(used, SHARE_ALL);
		live = MIN(live, SHARE_ALL);
		if (used > m->used[i] && used > limit)
			model_fail(m, "i%d: activators may use %llu slots of %u", i,
				   (unsigned long long)used, limit);
		m->used[i] = used;
		if (l->limit != SHARE_ALL && l->limit != 0 &&
		    live > shares_bound(l->shares, m->ids[i]))
			model_fail(m, "i%d: activators may use %llu slots, the leader knows of %u",
				   i, (unsigned long long)live, shares_bound(l->shares, m->ids[i]));
	}
}

static void
checked_step(struct model *m)
{
	m->result->steps++;
	model_step(m);
	model_forget_records(m);
	check(m);
}

/* --- all messages delivered --- */

static bool
deliver(struct model *m)
{
	bool has_moved = false;
	int i;

	for (i = 0; i < ACTIVATORS; i++) {
		struct activator *a = &m->v[i];

		a->old.down.n = a->old.up.n = 0;
		if (!a->link.is_open)
			a->link.down.n = a->link.up.n = 0;
		while (a->is_alive && a->link.down.n > 0) {
			model_read_down(a, &a->link);
			has_moved = true;
		}
		while (a->is_alive && a->link.up.n > 0) {
			model_read_up(m, a, &a->link, m->now);
			has_moved = true;
		}
	}
	return has_moved;
}

static void
close_idle(struct activator *a)
{
	int i;

	for (i = 0; i < INSTANCES; i++)
		while (a->is_alive && a->conns[i] > a->requests[i] && a->conns[i] > a->slots[i]) {
			a->conns[i]--;
			model_freed(a, i);
		}
}

static void
settle(struct model *m)
{
	int i, j, rounds;

	model_trace(m, "-- settle");
	if (m->leaders[1 - m->now].shares != NULL)
		model_stop_leader(m, 1 - m->now);
	model_set_list(m, m->now);
	m->ready = (1u << INSTANCES) - 1;
	for (i = 0; i < ACTIVATORS; i++) {
		struct activator *a = &m->v[i];

		memset(a->is_aside, 0, sizeof a->is_aside);
		model_know_death(m, a);
		if (a->is_alive && (!a->link.is_open || a->link.leader != m->now))
			model_connect(a);
		model_notice_down(m, m->now, i);
		model_serve(a);
		model_speak(a);
	}
	for (rounds = 0; rounds < 40; rounds++) {
		model_renew(m);
		/* Bounded: under contention slots change hands for ever. */
		for (j = 0; j < 60; j++) {
			if (!deliver(m))
				break;
			for (i = 0; i < ACTIVATORS; i++)
				close_idle(&m->v[i]);
		}
		if (j == 60)
			model_fail(m, "messages never end");
		model_pass_time(m, QUANTUM);
		for (i = 0; i < ACTIVATORS; i++)
			close_idle(&m->v[i]);
	}
	deliver(m);
	model_forget_records(m);
}

static bool
is_shareless(const struct model *m)
{
	int i;

	for (i = 0; i < ACTIVATORS; i++)
		if (m->v[i].is_alive && !m->v[i].has_shares)
			return true;
	return false;
}

/* With max_requests whole instances move: not before the requests there have ended. */
static bool
is_moving(const struct model *m, int i, uint64_t busy)
{
	return m->max_requests > 0 && (model_is_over(m, i) || (m->limit > 1 && busy > 0));
}

static void
check_settled(struct model *m)
{
	uint32_t waiting = 0;
	int i, j, alive = 0, staying = 0;

	for (j = 0; j < ACTIVATORS; j++) {
		waiting += m->v[j].is_alive ? m->v[j].parked : 0;
		alive += m->v[j].is_alive;
		staying += m->v[j].is_alive && !m->v[j].is_leaving;
	}
	if (is_shareless(m) || m->limit == SHARE_ALL || alive == 0)
		return;
	for (i = 0; i < INSTANCES; i++) {
		uint64_t busy = 0, given = 0, shares = 0;

		for (j = 0; j < ACTIVATORS; j++) {
			busy += m->v[j].requests[i];
			given += used_by(&m->v[j], i);
			shares += m->v[j].slots[i];
		}
		if (shares > (model_has_bit(m->mask, i) ? m->limit : 0))
			model_fail(m, "i%d: shares of %llu slots stay", i,
				   (unsigned long long)shares);
		if (!model_has_bit(m->mask, i) || is_moving(m, i, busy))
			continue;
		if (busy < m->limit && waiting > 0)
			model_fail(m, "i%d: %llu of %u slots busy while %u requests wait", i,
				   (unsigned long long)busy, m->limit, waiting);
		if (given < m->limit && staying > 0)
			model_fail(m, "i%d: %llu of %u slots given out", i,
				   (unsigned long long)given, m->limit);
	}
}

/* --- the end --- */

/* Are there slots that no tunnel holds? */
static bool
has_moving_slots(const struct model *m)
{
	int i, j;

	for (i = 0; i < INSTANCES; i++) {
		uint64_t held = 0;

		for (j = 0; j < ACTIVATORS; j++)
			held += m->v[j].tunnels[i];
		if (model_has_bit(m->mask, i) &&
		    held < (m->max_requests > 0 ? 1 : m->limit)) /* whole ones move alone */
			return true;
	}
	return false;
}

/* A client comes for each request of a that ends, so that some are always parked. */
static void
contend_one(struct activator *a)
{
	int i;

	while (a->parked < 4)
		model_park(a);
	model_serve(a);
	model_speak(a);
	for (i = 0; i < INSTANCES; i++)
		if (a->requests[i] > a->tunnels[i])
			model_end_request(a, i, model_draw(a->m, 2) == 0);
}

/* With max_requests a tunnel holds an instance whole, and counts as what its activator has. */
static bool
has_tunnels(const struct model *m, const struct activator *a)
{
	uint32_t n = 0;
	int i;

	for (i = 0; i < INSTANCES; i++)
		n += a->tunnels[i];
	return m->max_requests > 0 && n > 0;
}

/* Every activator has more requests than slots: each is served. */
static void
contend(struct model *m)
{
	int i, j, rounds;

	if (m->limit == SHARE_ALL || !has_moving_slots(m))
		return;
	m->has_no_tunnels = true;
	model_trace(m, "-- contend");
	for (i = 0; i < ACTIVATORS; i++)
		m->v[i].served = 0;
	for (rounds = 0; rounds < 120; rounds++) {
		model_renew(m);
		for (i = 0; i < ACTIVATORS; i++)
			if (m->v[i].is_alive) {
				contend_one(&m->v[i]);
				close_idle(&m->v[i]);
			}
		for (j = 0; j < 20 && deliver(m); j++)
			for (i = 0; i < ACTIVATORS; i++)
				close_idle(&m->v[i]);
		check(m);
		model_pass_time(m, QUANTUM / 2);
	}
	for (i = 0; i < ACTIVATORS; i++)
		if (m->v[i].is_alive && m->v[i].served == 0 && !has_tunnels(m, &m->v[i]))
			model_fail(m, "%s is never served", m->v[i].id);
}

/* Let all requests end, and all parked ones be served. */
static void
drain(struct model *m)
{
	int i, j, k, rounds;
	bool is_busy = true;

	model_trace(m, "-- drain");
	for (rounds = 0; rounds < 200 && is_busy; rounds++) {
		is_busy = false;
		model_renew(m);
		for (i = 0; i < ACTIVATORS; i++) {
			struct activator *a = &m->v[i];

			is_busy |= a->is_alive && a->parked > 0;
			for (j = 0; j < INSTANCES && a->is_alive; j++) {
				uint32_t n = a->requests[j];

				for (k = 0; k < (int)n; k++)
					model_end_request(a, j, model_draw(m, 2) == 0);
				is_busy |= n > 0;
			}
			close_idle(a);
		}
		for (i = 0; i < 20 && deliver(m); i++)
			for (j = 0; j < ACTIVATORS; j++)
				close_idle(&m->v[j]);
		model_pass_time(m, QUANTUM);
	}
	if (is_busy)
		model_fail(m, "parked requests are never served");
}

/* All but one are killed: it gets everything. */
static void
last_one(struct model *m)
{
	int i, last = -1;

	model_trace(m, "-- the last one");
	for (i = 0; i < ACTIVATORS; i++)
		if (m->v[i].is_alive && m->v[i].has_shares)
			last = i;
	for (i = 0; i < ACTIVATORS; i++)
		if (m->v[i].is_alive && i != last)
			model_kill_activator(&m->v[i]);
	settle(m);
	check_settled(m);
	for (i = 0; last >= 0 && !m->v[last].is_leaving && i < INSTANCES; i++)
		if (model_has_bit(m->mask, i) && m->v[last].slots[i] != m->limit &&
		    !model_is_over(m, i))
			model_fail(m, "i%d: the last activator has %u of %u slots", i,
				   m->v[last].slots[i], m->limit);
}

static void
run(struct model *m)
{
	static const uint32_t limits[] = {1, 1, 2, 3, 5};
	static const uint32_t requests[] = {1, 1, 2, 5, 20, 200};
	uint32_t i;

	m->limit = limits[model_draw(m, ARRAY_LEN(limits))];
	m->is_changing = model_draw(m, 3) == 0;
	m->is_mixed = model_draw(m, 8) == 0;
	if (!m->is_mixed && model_draw(m, 2) == 0) {
		m->max_requests = requests[model_draw(m, ARRAY_LEN(requests))];
		m->limit = MIN(m->limit, m->max_requests);
	}
	m->mask = 1 + model_draw(m, (1u << INSTANCES) - 1);
	m->ready = m->mask;
	model_start_leader(m, 0);
	if (model_draw(m, 2) == 0)
		model_set_list(m, 0);
	for (i = 0; i < 1 + model_draw(m, ACTIVATORS); i++)
		model_start_activator(m, (int)i);
	for (i = 1; i <= STEPS; i++) {
		checked_step(m);
		if (i % SETTLE_EVERY == 0) {
			settle(m);
			check_settled(m);
			check(m);
		}
	}
	m->mask |= 1;
	for (i = 0; i < ACTIVATORS; i++)
		if (m->v[i].is_alive && !m->v[i].has_shares)
			model_kill_activator(&m->v[i]);
	settle(m);
	check_settled(m);
	contend(m);
	drain(m);
	last_one(m);
}

void
share_model_run(uint64_t seed, enum share_fault fault, void *out, struct share_model_result *result)
{
	struct model *m = xcalloc(1, sizeof *m);
	int i;

	*result = (struct share_model_result){.steps = 0};
	m->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	m->fault = fault;
	m->trace = out;
	m->result = result;
	if (setjmp(m->out) == 0)
		run(m);
	for (i = 0; i < ACTIVATORS; i++)
		if (m->v[i].share != NULL)
			share_free(&m->v[i].share);
	for (i = 0; i < 2; i++)
		if (m->leaders[i].shares != NULL)
			shares_free(&m->leaders[i].shares);
	free(m);
}

const char *
share_fault_name(enum share_fault fault)
{
	static const char *const names[FAULT_N] = {
		[FAULT_NONE] = "none",
		[FAULT_LOWERED_WHEN_SENT] =
			"the leader counts a share as lowered when the offer is sent",
		[FAULT_DEAD_AT_ONCE] = "the leader frees the slots of a dead activator at once",
		[FAULT_UNHEARD_FORGOTTEN] =
			"a new leader does not wait for activators it has not heard",
		[FAULT_REPORT_TOO_NEW] =
			"the leader takes each report for one after its newest offer",
		[FAULT_UNLISTED_FORGOTTEN] =
			"the leader forgets what is held of an instance that has left",
		[FAULT_NO_RECALL] = "the leader never recalls",
		[FAULT_NO_RECALL_DUE] = "the leader recalls idle slots alone",
		[FAULT_DEAD_FOREVER] = "the leader never frees the slots of a dead activator",
		[FAULT_OLD_OFFER] = "an activator obeys an offer however old",
		[FAULT_SHARE_REPORTED] = "an activator reports its share, not what it uses above",
		[FAULT_EMPTY_HELLO] = "an activator reports nothing on a new link",
		[FAULT_CONNS_UNCOUNTED] = "an activator reports requests alone",
		[FAULT_TERM_NOT_ADOPTED] =
			"an activator reports under a new term and obeys the old one",
		[FAULT_USES_WHAT_IT_GAVE] = "an activator goes on using a slot that it gave up",
		[FAULT_FALL_UNREPORTED] = "an activator does not report that its use has fallen",
		[FAULT_USES_RENEWED] = "the leader offers each instance with all its uses",
		[FAULT_USED_HIDDEN] = "an activator reports that it has used nothing",
		[FAULT_NO_WANT] = "an activator never says what it wants",
	};

	return names[fault];
}
