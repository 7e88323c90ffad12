#include "test/unit/share_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "activator/share.h"
#include "autoscaler/shares/shares.h"

#define INSTANCES 3
#define ACTIVATORS 3
#define STEPS 1500
#define SETTLE_EVERY 300
#define QUEUE 256
#define QUANTUM 10
#define ABORT_TIMEOUT 50
#define RECORDS 64
#define PARKED 12

static const char *const ids[INSTANCES] = {"i0", "i1", "i2"};

/* --- the world --- */

enum kind { HELLO, OFFER, LIST, REPORT, WANT, LEAVING };

struct packet {
	enum kind kind;
	bool flag; /* HELLO: has_shares; OFFER: is_shared; REPORT: is_complete */
	bool is_asking;
	uint64_t term, epoch;
	uint32_t limit, idle, due; /* recalls; REPORT: owed */
	int64_t oldest_ns;
	uint32_t n;
	struct {
		uint8_t inst;
		bool is_at_most;
		uint32_t slots;
	} v[INSTANCES];
};

struct queue {
	struct packet v[QUEUE];
	uint32_t head, n;
};

struct link {
	int leader;	   /* index */
	uint64_t serial;   /* 0: there is none */
	bool is_open;	   /* on the activator's side */
	bool is_cut;	   /* what comes down after what is on its way is lost */
	struct queue down; /* S→A */
	struct queue up;   /* A→S */
};

struct activator {
	struct model *m;
	char id[16];
	struct share *share; /* NULL: dead, or knows no shares */
	bool is_alive, has_shares, is_leaving;
	bool is_death_known;
	int64_t killed_ns;
	uint64_t term, epoch;	   /* obeyed last */
	uint32_t slots[INSTANCES]; /* its share, as told by set_share() */
	uint32_t requests[INSTANCES], tunnels[INSTANCES], conns[INSTANCES];
	bool is_aside[INSTANCES];
	uint32_t parked;
	int64_t arrived_ns[PARKED]; /* of the parked requests, the oldest first */
	uint64_t served;	    /* requests that got a slot */
	struct link link, old;	    /* the newest; the one before, of which words may come late */
	struct packet again;	    /* an offer that will be read a second time */
	bool has_again;
	/* LIST, for one that knows no shares */
	uint32_t listed_limit, listed_mask;
};

struct leader {
	struct shares *shares; /* NULL: there is none */
	uint64_t term;
	uint32_t limit, mask;	    /* as passed to shares_set() */
	uint64_t heard[ACTIVATORS]; /* serial of the link that shares_up() announced; 0: down */
};

struct model {
	uint64_t random;
	enum share_fault fault;
	FILE *trace;
	struct share_model_result *result;
	jmp_buf out;
	int64_t now_ns;
	uint64_t serial, generation, term;
	uint32_t limit, mask, ready; /* masks of instances that are listed, that answer */
	bool is_changing;	     /* the limit changes in this run */
	bool has_no_tunnels;	     /* none is opened any more */
	bool is_mixed;		     /* some activators know no shares */
	struct leader leaders[2];    /* the leader, and the one before, if it still speaks */
	int now;		     /* index of the leader */
	struct activator v[ACTIVATORS];
	char records[RECORDS][16]; /* stable storage */
	uint32_t records_n;
	uint64_t used[INSTANCES]; /* after the step before */
};

static uint32_t
draw(struct model *m, uint32_t n)
{
	m->random = m->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((m->random >> 33) % n);
}

PRINTF_LIKE(2, 3) static void trace(struct model *m, const char *fmt, ...)
{
	va_list ap;

	if (m->trace == NULL)
		return;
	fprintf(m->trace, "%5llu t=%-5lld ", (unsigned long long)m->result->steps,
		(long long)m->now_ns);
	va_start(ap, fmt);
	vfprintf(m->trace, fmt, ap);
	va_end(ap);
	fputc('\n', m->trace);
}

NORETURN PRINTF_LIKE(2, 3) static void fail(struct model *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m->result->failure, sizeof m->result->failure, fmt, ap);
	va_end(ap);
	trace(m, "FAILED: %s", m->result->failure);
	longjmp(m->out, 1);
}

static int
index_of(const char *id)
{
	return id[1] - '0';
}

/* The index in model.v of the activator of that id, or of a later one. */
static int
slot_of(const char *activator)
{
	return activator[1] - '0';
}

static bool
has_bit(uint32_t mask, int i)
{
	return (mask >> i & 1) != 0;
}

/* --- packets --- */

static void
trace_packet(struct model *m, const char *what, const struct activator *a, const struct packet *p)
{
	static const char *const names[] = {"hello", "offer", "list", "report", "want", "leaving"};
	char text[160] = "";
	size_t n = 0;
	uint32_t i;

	if (m->trace == NULL)
		return;
	for (i = 0; i < p->n; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, " i%d=%d", p->v[i].inst,
				      p->v[i].slots == SHARE_KEEP ? -2 : (int)p->v[i].slots);
	trace(m, "%s %s %s %llu.%llu%s%s limit=%d idle=%u due=%u%s", what, a->id, names[p->kind],
	      (unsigned long long)p->term, (unsigned long long)p->epoch, p->flag ? " +" : "",
	      p->is_asking ? " asking" : "", (int)p->limit, p->idle, p->due, text);
}

static void
push(struct queue *q, const struct packet *p)
{
	CHECK(q->n < QUEUE);
	q->v[(q->head + q->n++) % QUEUE] = *p;
}

static struct packet
pop(struct queue *q)
{
	struct packet p = q->v[q->head];

	CHECK(q->n > 0);
	q->head = (q->head + 1) % QUEUE;
	q->n--;
	return p;
}

static struct packet
of_report(const struct share_report *r)
{
	struct packet p = {.kind = REPORT,
			   .flag = r->is_complete,
			   .term = r->term,
			   .epoch = r->epoch,
			   .idle = r->owed_idle,
			   .due = r->owed_due,
			   .n = (uint32_t)r->n};
	size_t i;

	for (i = 0; i < r->n; i++) {
		p.v[i].inst = (uint8_t)index_of(r->v[i].id);
		p.v[i].slots = r->v[i].slots;
	}
	return p;
}

static struct packet
of_offer(const struct share_offer *o)
{
	struct packet p = {.kind = OFFER,
			   .flag = o->is_shared,
			   .is_asking = o->is_asking,
			   .term = o->term,
			   .epoch = o->epoch,
			   .limit = o->limit,
			   .idle = o->recall_idle,
			   .due = o->recall_due,
			   .n = (uint32_t)o->n};
	size_t i;

	for (i = 0; i < o->n; i++) {
		p.v[i].inst = (uint8_t)index_of(o->v[i].id);
		p.v[i].is_at_most = o->v[i].is_at_most;
		p.v[i].slots = o->v[i].slots;
	}
	return p;
}

static size_t
items_of(const struct packet *p, struct share_item *items)
{
	uint32_t i;

	for (i = 0; i < p->n; i++)
		items[i] = (struct share_item){.id = ids[p->v[i].inst],
					       .slots = p->v[i].slots,
					       .is_at_most = p->v[i].is_at_most};
	return p->n;
}

/* --- an activator's slots --- */

static void
on_set_share(const char *id, uint32_t slots, void *arg)
{
	struct activator *a = arg;
	int i = index_of(id);

	if (a->m->fault == FAULT_USES_WHAT_IT_GAVE && slots < a->slots[i] && slots > 0)
		return;
	a->slots[i] = slots;
}

static struct share_use
on_use(const char *id, void *arg)
{
	const struct activator *a = arg;
	int i = index_of(id);

	return (struct share_use){.requests = a->requests[i],
				  .conns = a->m->fault == FAULT_CONNS_UNCOUNTED ? 0 : a->conns[i],
				  .is_usable = !a->is_aside[i]};
}

static const struct share_ops ops = {.set_share = on_set_share, .use = on_use};

/* Send what the activator has to say. */
static void
speak(struct activator *a)
{
	struct share_report r;
	struct share_want w;

	if (!a->is_alive || a->share == NULL || !a->link.is_open || a->link.up.n > QUEUE - 8)
		return;
	while (share_next_report(a->share, &r)) {
		struct packet p = of_report(&r);
		uint32_t i;

		if (a->m->fault == FAULT_FALL_UNREPORTED && !p.flag)
			continue;
		if (a->m->fault == FAULT_EMPTY_HELLO && p.flag &&
		    a->m->leaders[a->link.leader].term == p.term)
			p.n = 0;
		if (a->m->fault == FAULT_TERM_NOT_ADOPTED && p.term < a->link.serial >> 32) {
			p.term = a->link.serial >> 32;
			p.epoch = 0;
		}
		for (i = 0; i < p.n && a->m->fault == FAULT_SHARE_REPORTED; i++)
			p.v[i].slots = MIN(p.v[i].slots, a->slots[p.v[i].inst]);
		trace_packet(a->m, "  sends", a, &p);
		push(&a->link.up, &p);
	}
	while (share_next_want(a->share, &w, a->m->now_ns)) {
		struct packet p = {.kind = WANT,
				   .term = w.term,
				   .epoch = w.epoch,
				   .limit = w.slots,
				   .oldest_ns = w.oldest_ns};

		if (a->m->fault == FAULT_NO_WANT)
			continue;
		trace_packet(a->m, "  sends", a, &p);
		push(&a->link.up, &p);
	}
}

static void
tell_parked(struct activator *a)
{
	if (a->share != NULL)
		share_set_parked(a->share, a->parked, a->arrived_ns[0]);
}

static void
park(struct activator *a)
{
	CHECK(a->parked < PARKED);
	a->arrived_ns[a->parked++] = a->m->now_ns;
	tell_parked(a);
}

/* The oldest parked request gets a slot, or leaves. */
static void
unpark(struct activator *a)
{
	a->parked--;
	memmove(a->arrived_ns, a->arrived_ns + 1, a->parked * sizeof *a->arrived_ns);
	tell_parked(a);
}

/* Send a request to an instance with a free slot. */
static bool
take(struct activator *a, bool is_tunnel)
{
	int i, first = (int)draw(a->m, INSTANCES);

	for (i = 0; i < INSTANCES; i++) {
		int at = (first + i) % INSTANCES;

		if (a->requests[at] >= MIN(a->slots[at], 6) || !has_bit(a->m->ready, at) ||
		    a->is_aside[at])
			continue;
		a->requests[at]++;
		a->tunnels[at] += is_tunnel;
		a->conns[at] = MAX(a->conns[at], a->requests[at]);
		a->served++;
		return true;
	}
	return false;
}

static void
serve(struct activator *a)
{
	while (a->is_alive && a->parked > 0 &&
	       take(a, !a->m->has_no_tunnels && draw(a->m, 12) == 0))
		unpark(a);
}

static void
freed(struct activator *a, int i)
{
	if (a->share != NULL)
		share_freed(a->share, ids[i]);
	serve(a);
	speak(a);
}

static void
end_request(struct activator *a, int i, bool is_closing)
{
	a->requests[i]--;
	a->tunnels[i] = MIN(a->tunnels[i], a->requests[i]);
	if (is_closing)
		a->conns[i]--;
	freed(a, i);
}

/* --- the leaders --- */

/* An offer goes down a link; if the link is full, all that follows is lost. */
static void
push_down(struct model *m, struct link *link, const struct packet *p)
{
	if (link->down.n < QUEUE - 8) {
		push(&link->down, p);
		return;
	}
	trace(m, "  a link is full");
	link->is_cut = true;
	link->is_open = false;
}

/* Send what a leader has to say. */
static void
lead(struct model *m, int at)
{
	struct leader *l = &m->leaders[at];
	struct share_offer o;
	const char *id;
	int i, n = 0;

	while (l->shares != NULL && shares_next_offer(l->shares, &id, &o, m->now_ns)) {
		struct activator *a = &m->v[slot_of(id)];
		struct packet p = of_offer(&o);
		struct link *link;

		if (n++ > 100)
			fail(m, "offers never end");
		if (m->fault == FAULT_NO_RECALL)
			p.idle = p.due = 0;
		if (m->fault == FAULT_NO_RECALL_DUE)
			p.due = 0;
		link = l->heard[slot_of(id)] == a->link.serial ? &a->link : &a->old;
		trace_packet(m, at == m->now ? "  leader sends" : "  old leader sends", a, &p);
		if (l->heard[slot_of(id)] == link->serial && !link->is_cut)
			push_down(m, link, &p);
		if (m->fault == FAULT_LOWERED_WHEN_SENT) {
			struct share_item items[INSTANCES];
			struct share_report r = {.term = o.term, .epoch = o.epoch, .v = items};
			uint32_t j;

			for (j = 0; j < p.n; j++)
				if (p.v[j].is_at_most)
					items[r.n++] = (struct share_item){.id = ids[p.v[j].inst],
									   .slots = p.v[j].slots};
			if (r.n > 0)
				shares_report(l->shares, a->id, &r, m->now_ns);
		}
	}
	for (i = 0; l->shares != NULL && at == m->now && i < ACTIVATORS; i++) {
		struct activator *a = &m->v[i];
		struct packet p = {.kind = LIST, .limit = l->limit, .n = l->mask};

		if (!a->is_alive || a->has_shares || l->heard[i] == 0 ||
		    l->heard[i] != a->link.serial || !a->link.is_open || l->limit == 0 ||
		    a->link.down.n > QUEUE - 8 ||
		    (a->listed_limit == l->limit && a->listed_mask == l->mask) ||
		    !shares_may_use_all(l->shares, a->id))
			continue;
		a->listed_limit = l->limit;
		a->listed_mask = l->mask;
		trace(m, "  leader lists %s limit=%d mask=%x", a->id, (int)l->limit, l->mask);
		p.n = 0;
		p.idle = l->mask;
		push(&a->link.down, &p);
	}
}

static void
set_list(struct model *m, int at)
{
	struct leader *l = &m->leaders[at];
	const char *v[INSTANCES];
	size_t n = 0;
	int i, j;

	for (i = 0; i < INSTANCES; i++) {
		if (has_bit(m->mask, i))
			v[n++] = ids[i];
		else if (m->fault == FAULT_UNLISTED_FORGOTTEN && has_bit(l->mask, i))
			for (j = 0; j < ACTIVATORS; j++) {
				struct share_item item = {.id = ids[i]};
				struct share_report r = {.term = l->term,
							 .v = &item,
							 .n = 1,
							 .epoch = UINT64_MAX / 2};

				shares_report(l->shares, m->v[j].id, &r, m->now_ns);
			}
	}
	l->limit = m->limit;
	l->mask = m->mask;
	shares_set(l->shares, m->limit, v, n);
}

static void
record(struct model *m, const char *id)
{
	uint32_t i;

	for (i = 0; i < m->records_n; i++)
		if (strcmp(m->records[i], id) == 0)
			return;
	CHECK(m->records_n < RECORDS);
	snprintf(m->records[m->records_n++], sizeof m->records[0], "%s", id);
}

static void
forget_records(struct model *m)
{
	uint32_t i, n = 0;

	for (i = 0; i < m->records_n; i++)
		if (shares_knows(m->leaders[m->now].shares, m->records[i]))
			memmove(m->records[n++], m->records[i], sizeof m->records[0]);
	m->records_n = n;
}

static void
start_leader(struct model *m, int at)
{
	struct leader *l = &m->leaders[at];
	struct shares_conf conf = {
		.term = ++m->term, .quantum_ns = QUANTUM, .abort_timeout_ns = ABORT_TIMEOUT};
	const char *known[RECORDS];
	uint32_t i;

	for (i = 0; i < m->records_n; i++)
		known[i] = m->records[i];
	*l = (struct leader){.term = m->term};
	l->shares = shares_new(&conf, known,
			       m->fault == FAULT_UNHEARD_FORGOTTEN ? 0 : m->records_n);
	m->now = at;
}

/* The leader learns again which of the activators on record have died. */
static void
recall_deaths(struct model *m)
{
	uint32_t i;

	for (i = 0; i < m->records_n; i++) {
		const struct activator *a = &m->v[slot_of(m->records[i])];

		if (a->is_death_known || strcmp(a->id, m->records[i]) != 0)
			shares_dead(m->leaders[m->now].shares, m->records[i], m->now_ns);
	}
}

static void
read_up(struct model *m, struct activator *a, struct link *link, int at)
{
	struct leader *l = &m->leaders[at];
	struct packet p = pop(&link->up);
	struct share_item items[INSTANCES];
	int i = (int)(a - m->v);

	trace_packet(m, at == m->now ? "leader reads" : "old leader reads", a, &p);
	if (p.kind == HELLO) {
		/* Only the leader takes in links. */
		if (at != m->now || (l->heard[i] != 0 && l->heard[i] > link->serial))
			return;
		record(m, a->id);
		l->heard[i] = link->serial;
		shares_up(l->shares, a->id, p.flag);
		lead(m, at);
		return;
	}
	if (l->heard[i] != link->serial)
		return;
	if (p.kind == REPORT) {
		struct share_report r = {.term = p.term,
					 .epoch = p.epoch,
					 .is_complete = p.flag,
					 .owed_idle = p.idle,
					 .owed_due = p.due,
					 .v = items,
					 .n = items_of(&p, items)};

		if (m->fault == FAULT_REPORT_TOO_NEW)
			r.epoch = UINT64_MAX / 2;
		shares_report(l->shares, a->id, &r, m->now_ns);
		if (draw(m, 8) == 0)
			shares_report(l->shares, a->id, &r, m->now_ns);
	} else if (p.kind == WANT) {
		struct share_want w = {.term = p.term,
				       .epoch = p.epoch,
				       .slots = p.limit,
				       .oldest_ns = p.oldest_ns};

		shares_want(l->shares, a->id, &w, m->now_ns);
	} else if (p.kind == LEAVING)
		shares_leaving(l->shares, a->id);
	lead(m, at);
}

/* --- what an activator reads --- */

static void
obey(struct activator *a, struct packet *p)
{
	struct share_item items[INSTANCES];
	struct share_offer o = {.limit = p->limit,
				.term = p->term,
				.epoch = p->epoch,
				.is_shared = p->flag,
				.is_asking = p->is_asking,
				.recall_idle = p->idle,
				.recall_due = p->due,
				.v = items,
				.n = items_of(p, items)};

	if (a->m->fault == FAULT_OLD_OFFER) {
		o.term = MAX(o.term, a->term);
		o.epoch = MAX(o.epoch, a->epoch + (o.term == a->term));
	}
	if (!share_obey(a->share, &o)) {
		trace(a->m, "  ignored");
		return;
	}
	a->term = o.term;
	a->epoch = o.epoch;
}

static void
read_down(struct activator *a, struct link *link)
{
	struct model *m = a->m;
	struct packet p = pop(&link->down);
	int i;

	trace_packet(m, link == &a->link ? "reads" : "reads late", a, &p);
	if (p.kind == HELLO && a->share != NULL) {
		if (link != &a->link)
			return;
		share_connected(a->share, m->fault == FAULT_TERM_NOT_ADOPTED && a->term > 0
						  ? a->term
						  : p.term);
		if (m->fault != FAULT_TERM_NOT_ADOPTED && p.term > a->term) {
			a->term = p.term;
			a->epoch = 0;
		}
	} else if (p.kind == OFFER && a->share != NULL) {
		obey(a, &p);
		if (draw(m, 8) == 0) {
			a->again = p;
			a->has_again = true;
		}
	} else if (p.kind == LIST && link == &a->link)
		for (i = 0; i < INSTANCES; i++)
			a->slots[i] = has_bit(p.idle, i) ? p.limit : 0;
	serve(a);
	speak(a);
}

static void
read_again(struct activator *a)
{
	trace_packet(a->m, "reads again", a, &a->again);
	a->has_again = false;
	obey(a, &a->again);
	serve(a);
	speak(a);
}

/* --- steps: links --- */

static void
connect_(struct activator *a)
{
	struct model *m = a->m;
	struct packet down = {.kind = HELLO, .term = m->leaders[m->now].term};
	struct packet up = {.kind = HELLO, .flag = a->has_shares};

	trace(m, "%s connects", a->id);
	a->old = a->link;
	a->link.leader = m->now;
	a->link.serial = (m->leaders[m->now].term << 32) | ++m->serial;
	a->link.is_open = true;
	a->link.is_cut = false;
	a->link.down.n = a->link.up.n = 0;
	a->listed_limit = 0;
	push(&a->link.down, &down);
	push(&a->link.up, &up);
	if (a->is_leaving) {
		up.kind = LEAVING;
		push(&a->link.up, &up);
	}
}

/* What is on its way is lost; of what comes down, a part may be read late. */
static void
break_link(struct activator *a)
{
	trace(a->m, "the link of %s breaks", a->id);
	a->link.is_open = false;
	if (draw(a->m, 3) > 0) {
		a->link.is_cut = true;
		a->link.down.n = draw(a->m, a->link.down.n + 1);
	}
	a->link.up.n = draw(a->m, 2) == 0 ? 0 : draw(a->m, a->link.up.n + 1);
}

/* A leader notices that a link is down. */
static void
notice_down(struct model *m, int at, int i)
{
	struct leader *l = &m->leaders[at];
	struct activator *a = &m->v[i];

	if (l->shares == NULL || l->heard[i] == 0 ||
	    (l->heard[i] == a->link.serial && a->link.is_open))
		return;
	trace(m, "%s notices that the link of %s is down", at == m->now ? "leader" : "old leader",
	      a->id);
	l->heard[i] = 0;
	shares_down(l->shares, a->id);
	lead(m, at);
}

/* --- steps: processes --- */

static void
start_activator(struct model *m, int i)
{
	struct activator *a = &m->v[i];

	memset(a->id, 0, sizeof a->id);
	*a = (struct activator){.m = m, .is_alive = true};
	snprintf(a->id, sizeof a->id, "a%d.%llu", i, (unsigned long long)++m->generation);
	a->has_shares = !m->is_mixed || draw(m, 3) > 0;
	if (a->has_shares)
		a->share = share_new(&ops, a);
	trace(m, "%s starts%s", a->id, a->has_shares ? "" : ", and knows no shares");
}

static void
kill_activator(struct activator *a)
{
	trace(a->m, "%s is killed", a->id);
	if (a->share != NULL)
		share_free(&a->share);
	a->is_alive = false;
	a->killed_ns = a->m->now_ns;
	a->parked = 0;
	memset(a->slots, 0, sizeof a->slots);
	if (a->link.is_open)
		break_link(a);
}

static void
know_death(struct model *m, struct activator *a)
{
	int at;

	if (a->is_alive || a->is_death_known || a->id[0] == '\0')
		return;
	trace(m, "%s is found to be dead", a->id);
	a->link.up.n = a->old.up.n = 0;
	a->is_death_known = m->fault != FAULT_DEAD_FOREVER;
	for (at = 0; at < 2 && a->is_death_known; at++)
		if (m->leaders[at].shares != NULL) {
			shares_dead(m->leaders[at].shares, a->id,
				    m->now_ns -
					    (m->fault == FAULT_DEAD_AT_ONCE ? ABORT_TIMEOUT : 0));
			lead(m, at);
		}
}

/* Does an instance still serve requests of this dead activator? */
static bool
lingers(const struct activator *a)
{
	int i;

	for (i = 0; i < INSTANCES; i++)
		if (a->requests[i] > 0 || a->conns[i] > 0)
			return true;
	return false;
}

static void
end_lingering(struct activator *a)
{
	memset(a->requests, 0, sizeof a->requests);
	memset(a->tunnels, 0, sizeof a->tunnels);
	memset(a->conns, 0, sizeof a->conns);
}

static void
stop_leader(struct model *m, int at)
{
	int i;

	shares_free(&m->leaders[at].shares);
	for (i = 0; i < ACTIVATORS; i++)
		if (m->v[i].link.is_open && m->v[i].link.leader == at)
			break_link(&m->v[i]);
}

static void
restart_leader(struct model *m)
{
	int old = m->now;
	bool is_speaking = draw(m, 2) == 0 && m->limit != SHARE_ALL;

	trace(m, "leader %s", is_speaking ? "is followed by another" : "restarts");
	if (m->leaders[1 - old].shares != NULL)
		stop_leader(m, 1 - old);
	start_leader(m, 1 - old);
	if (!is_speaking)
		stop_leader(m, old);
	recall_deaths(m);
	if (draw(m, 2) == 0)
		set_list(m, m->now);
	lead(m, m->now);
}

static void
set_lists(struct model *m)
{
	trace(m, "limit=%d listed=%x", (int)m->limit, m->mask);
	set_list(m, m->now);
	lead(m, m->now);
	if (m->leaders[1 - m->now].shares != NULL && draw(m, 2) == 0) {
		set_list(m, 1 - m->now);
		lead(m, 1 - m->now);
	}
}

/* --- steps --- */

static void
pass_time(struct model *m, int64_t ns)
{
	int i;

	m->now_ns += ns;
	for (i = 0; i < ACTIVATORS; i++)
		if (!m->v[i].is_alive && m->now_ns - m->v[i].killed_ns >= ABORT_TIMEOUT)
			end_lingering(&m->v[i]);
	for (i = 0; i < 2; i++)
		if (m->leaders[i].shares != NULL)
			lead(m, i);
}

static void
step_request(struct model *m, struct activator *a)
{
	int i = (int)draw(m, INSTANCES);

	if (!a->is_alive)
		return;
	switch (draw(m, 8)) {
	case 0:
	case 1:
	case 2:
		if (a->is_leaving || a->parked > 8)
			return;
		trace(m, "a client of %s", a->id);
		if (a->parked > 0 || !take(a, draw(m, 12) == 0))
			park(a);
		break;
	case 3:
	case 4:
		if (a->requests[i] == a->tunnels[i] && (a->tunnels[i] == 0 || draw(m, 8) > 0))
			return;
		trace(m, "a request of %s at i%d ends", a->id, i);
		end_request(a, i, draw(m, 2) == 0);
		break;
	case 5:
		if (a->conns[i] == a->requests[i])
			return;
		trace(m, "an idle connection of %s to i%d closes", a->id, i);
		a->conns[i]--;
		freed(a, i);
		break;
	case 6:
		if (a->conns[i] >= MIN(a->slots[i], 6))
			return;
		trace(m, "%s probes i%d", a->id, i);
		a->conns[i]++;
		break;
	default:
		if (draw(m, 4) == 0) {
			trace(m, "%s sets i%d aside: %d", a->id, i, !a->is_aside[i]);
			a->is_aside[i] = !a->is_aside[i];
		} else if (a->parked > 0) {
			trace(m, "a client of %s leaves", a->id);
			unpark(a);
		}
		serve(a);
	}
	speak(a);
}

static void
step_link(struct model *m, struct activator *a)
{
	int at = (int)draw(m, 2);

	switch (draw(m, 12)) {
	case 0:
		if (a->link.is_open && draw(m, 6) == 0)
			break_link(a);
		break;
	case 1:
		if (a->is_alive &&
		    (!a->link.is_open || (a->link.leader != m->now && draw(m, 2) == 0)))
			connect_(a);
		break;
	case 2:
		notice_down(m, at, (int)(a - m->v));
		break;
	case 3:
		if (a->is_alive && a->has_again && draw(m, 4) == 0)
			read_again(a);
		else if (a->is_alive && a->old.down.n > 0)
			read_down(a, &a->old);
		break;
	case 4:
		if (a->old.up.n > 0 && m->leaders[a->old.leader].shares != NULL &&
		    m->leaders[a->old.leader].term == a->old.serial >> 32)
			read_up(m, a, &a->old, a->old.leader);
		break;
	default:
		if (draw(m, 2) == 0) {
			if (a->is_alive && a->link.down.n > 0)
				read_down(a, &a->link);
		} else if (a->link.up.n > 0 && m->leaders[a->link.leader].shares != NULL &&
			   m->leaders[a->link.leader].term == a->link.serial >> 32)
			read_up(m, a, &a->link, a->link.leader);
	}
}

static void
step_process(struct model *m, struct activator *a)
{
	if (!a->is_alive) {
		if (draw(m, 2) == 0)
			know_death(m, a);
		else if (lingers(a) && draw(m, 2) == 0)
			end_lingering(a);
		else if (a->id[0] == '\0' || (a->is_death_known && !lingers(a)))
			start_activator(m, (int)(a - m->v));
		return;
	}
	switch (draw(m, 24)) {
	case 0:
		kill_activator(a);
		break;
	case 1:
		if (!a->is_leaving && a->link.is_open && a->link.up.n < QUEUE - 8) {
			struct packet p = {.kind = LEAVING};

			trace(m, "%s is leaving", a->id);
			a->is_leaving = true;
			push(&a->link.up, &p);
		}
		break;
	case 2:
		if (a->is_leaving && a->parked == 0)
			kill_activator(a);
		break;
	}
}

static void
step_world(struct model *m)
{
	static const uint32_t limits[] = {1, 1, 2, 3, 5, SHARE_ALL};

	switch (draw(m, 10)) {
	case 0:
		if (draw(m, 3) == 0)
			restart_leader(m);
		break;
	case 1:
		if (m->leaders[1 - m->now].shares != NULL && draw(m, 3) == 0) {
			trace(m, "the old leader stops");
			stop_leader(m, 1 - m->now);
		}
		break;
	case 2:
		if (m->is_changing && draw(m, 3) == 0)
			m->limit = limits[draw(m, ARRAY_LEN(limits))];
		/* Without a limit nothing is safe from a leader that still decides. */
		if (m->limit == SHARE_ALL && m->leaders[1 - m->now].shares != NULL)
			stop_leader(m, 1 - m->now);
		set_lists(m);
		break;
	case 3:
	case 4:
		m->mask ^= 1u << draw(m, INSTANCES);
		set_lists(m);
		break;
	case 5:
		m->ready ^= 1u << draw(m, INSTANCES);
		trace(m, "answering: %x", m->ready);
		break;
	default:
		pass_time(m, draw(m, QUANTUM * 2));
		trace(m, "time passes");
	}
}

static void
step(struct model *m)
{
	struct activator *a = &m->v[draw(m, ACTIVATORS)];
	uint32_t what = draw(m, 40);

	if (what < 14)
		step_request(m, a);
	else if (what < 34)
		step_link(m, a);
	else if (what < 36)
		step_process(m, a);
	else
		step_world(m);
}

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

			if (p->kind == LIST && at == 0 && has_bit(p->idle, i))
				slots = MAX(slots, p->limit);
			if (p->kind != OFFER || p->term < a->term ||
			    (p->term == a->term && p->epoch <= a->epoch))
				continue;
			for (k = 0; k < p->n; k++) {
				if (p->v[k].inst != i)
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
			fail(m, "i%d: activators may use %llu slots of %u", i,
			     (unsigned long long)used, limit);
		m->used[i] = used;
		if (l->limit != SHARE_ALL && l->limit != 0 &&
		    live > shares_bound(l->shares, ids[i]))
			fail(m, "i%d: activators may use %llu slots, the leader knows of %u", i,
			     (unsigned long long)live, shares_bound(l->shares, ids[i]));
	}
}

static void
checked_step(struct model *m)
{
	m->result->steps++;
	step(m);
	forget_records(m);
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
			read_down(a, &a->link);
			has_moved = true;
		}
		while (a->is_alive && a->link.up.n > 0) {
			read_up(m, a, &a->link, m->now);
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
			freed(a, i);
		}
}

static void
settle(struct model *m)
{
	int i, j, rounds;

	trace(m, "-- settle");
	if (m->leaders[1 - m->now].shares != NULL)
		stop_leader(m, 1 - m->now);
	set_list(m, m->now);
	m->ready = (1u << INSTANCES) - 1;
	for (i = 0; i < ACTIVATORS; i++) {
		struct activator *a = &m->v[i];

		memset(a->is_aside, 0, sizeof a->is_aside);
		know_death(m, a);
		if (a->is_alive && (!a->link.is_open || a->link.leader != m->now))
			connect_(a);
		notice_down(m, m->now, i);
		serve(a);
		speak(a);
	}
	for (rounds = 0; rounds < 40; rounds++) {
		/* Bounded: under contention slots change hands for ever. */
		for (j = 0; j < 60; j++) {
			if (!deliver(m))
				break;
			for (i = 0; i < ACTIVATORS; i++)
				close_idle(&m->v[i]);
		}
		if (j == 60)
			fail(m, "messages never end");
		pass_time(m, QUANTUM);
		for (i = 0; i < ACTIVATORS; i++)
			close_idle(&m->v[i]);
	}
	deliver(m);
	forget_records(m);
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

static void
check_settled(struct model *m)
{
	uint32_t waiting = 0;
	int i, j, alive = 0;

	for (j = 0; j < ACTIVATORS; j++) {
		waiting += m->v[j].is_alive ? m->v[j].parked : 0;
		alive += m->v[j].is_alive;
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
		if (shares > (has_bit(m->mask, i) ? m->limit : 0))
			fail(m, "i%d: shares of %llu slots stay", i, (unsigned long long)shares);
		if (!has_bit(m->mask, i))
			continue;
		if (busy < m->limit && waiting > 0)
			fail(m, "i%d: %llu of %u slots busy while %u requests wait", i,
			     (unsigned long long)busy, m->limit, waiting);
		if (given < m->limit)
			fail(m, "i%d: %llu of %u slots given out", i, (unsigned long long)given,
			     m->limit);
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
		if (has_bit(m->mask, i) && held < m->limit)
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
		park(a);
	serve(a);
	speak(a);
	for (i = 0; i < INSTANCES; i++)
		if (a->requests[i] > a->tunnels[i])
			end_request(a, i, draw(a->m, 2) == 0);
}

/* Every activator has more requests than slots: each is served. */
static void
contend(struct model *m)
{
	int i, j, rounds;

	if (m->limit == SHARE_ALL || !has_moving_slots(m))
		return;
	m->has_no_tunnels = true;
	trace(m, "-- contend");
	for (i = 0; i < ACTIVATORS; i++)
		m->v[i].served = 0;
	for (rounds = 0; rounds < 120; rounds++) {
		for (i = 0; i < ACTIVATORS; i++)
			if (m->v[i].is_alive) {
				contend_one(&m->v[i]);
				close_idle(&m->v[i]);
			}
		for (j = 0; j < 20 && deliver(m); j++)
			for (i = 0; i < ACTIVATORS; i++)
				close_idle(&m->v[i]);
		check(m);
		pass_time(m, QUANTUM / 2);
	}
	for (i = 0; i < ACTIVATORS; i++)
		if (m->v[i].is_alive && m->v[i].served == 0)
			fail(m, "%s is never served", m->v[i].id);
}

/* Let all requests end, and all parked ones be served. */
static void
drain(struct model *m)
{
	int i, j, k, rounds;
	bool is_busy = true;

	trace(m, "-- drain");
	for (rounds = 0; rounds < 200 && is_busy; rounds++) {
		is_busy = false;
		for (i = 0; i < ACTIVATORS; i++) {
			struct activator *a = &m->v[i];

			is_busy |= a->is_alive && a->parked > 0;
			for (j = 0; j < INSTANCES && a->is_alive; j++) {
				uint32_t n = a->requests[j];

				for (k = 0; k < (int)n; k++)
					end_request(a, j, draw(m, 2) == 0);
				is_busy |= n > 0;
			}
			close_idle(a);
		}
		for (i = 0; i < 20 && deliver(m); i++)
			for (j = 0; j < ACTIVATORS; j++)
				close_idle(&m->v[j]);
		pass_time(m, QUANTUM);
	}
	if (is_busy)
		fail(m, "parked requests are never served");
}

/* All but one are killed: it gets everything. */
static void
last_one(struct model *m)
{
	int i, last = -1;

	trace(m, "-- the last one");
	for (i = 0; i < ACTIVATORS; i++)
		if (m->v[i].is_alive && m->v[i].has_shares)
			last = i;
	for (i = 0; i < ACTIVATORS; i++)
		if (m->v[i].is_alive && i != last)
			kill_activator(&m->v[i]);
	settle(m);
	check_settled(m);
	for (i = 0; last >= 0 && i < INSTANCES; i++)
		if (has_bit(m->mask, i) && m->v[last].slots[i] != m->limit)
			fail(m, "i%d: the last activator has %u of %u slots", i,
			     m->v[last].slots[i], m->limit);
}

static void
run(struct model *m)
{
	static const uint32_t limits[] = {1, 1, 2, 3, 5};
	uint32_t i;

	m->limit = limits[draw(m, ARRAY_LEN(limits))];
	m->is_changing = draw(m, 3) == 0;
	m->is_mixed = draw(m, 8) == 0;
	m->mask = 1 + draw(m, (1u << INSTANCES) - 1);
	m->ready = m->mask;
	start_leader(m, 0);
	if (draw(m, 2) == 0)
		set_list(m, 0);
	for (i = 0; i < 1 + draw(m, ACTIVATORS); i++)
		start_activator(m, (int)i);
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
			kill_activator(&m->v[i]);
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
		[FAULT_NO_WANT] = "an activator never says what it wants",
	};

	return names[fault];
}
