#include "test/unit/share_steps.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

uint32_t
model_draw(struct model *m, uint32_t n)
{
	m->random = m->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((m->random >> 33) % n);
}

void
model_trace(struct model *m, const char *fmt, ...)
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

void
model_fail(struct model *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m->result->failure, sizeof m->result->failure, fmt, ap);
	va_end(ap);
	model_trace(m, "FAILED: %s", m->result->failure);
	longjmp(m->out, 1);
}

static int
index_of(const char *id)
{
	return id[1] - '0';
}

static uint32_t
born_of(const char *id)
{
	return (uint32_t)strtoul(id + 3, NULL, 10);
}

/* The index in model.v of the activator of that id, or of a later one. */
static int
slot_of(const char *activator)
{
	return activator[1] - '0';
}

bool
model_has_bit(uint32_t mask, int i)
{
	return (mask >> i & 1) != 0;
}

/* --- packets --- */

static void
trace_packet(struct model *m, const char *what, const struct activator *a, const struct packet *p)
{
	static const char *const names[] = {"hello", "offer", "list", "report", "want", "leaving"};
	char text[800] = "";
	size_t n = 0;
	uint32_t i;

	if (m->trace == NULL)
		return;
	for (i = 0; i < p->n; i++)
		n += (size_t)snprintf(
			text + n, sizeof text - n, " i%d.%u=%d:%d", p->v[i].inst, p->v[i].born,
			p->v[i].slots == SHARE_KEEP ? -2 : (int)p->v[i].slots, (int)p->v[i].uses);
	model_trace(m, "%s %s %s %llu.%llu%s%s limit=%d idle=%u due=%u%s", what, a->id,
		    names[p->kind], (unsigned long long)p->term, (unsigned long long)p->epoch,
		    p->flag ? " +" : "", p->is_asking ? " asking" : "", (int)p->limit, p->idle,
		    p->due, text);
}

void
model_push(struct queue *q, const struct packet *p)
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

	CHECK(r->n <= ITEMS);
	for (i = 0; i < r->n; i++) {
		p.v[i].inst = (uint8_t)index_of(r->v[i].id);
		p.v[i].born = born_of(r->v[i].id);
		p.v[i].slots = r->v[i].slots;
		p.v[i].uses = r->v[i].uses;
		p.v[i].used = r->v[i].used;
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
		p.v[i].born = born_of(o->v[i].id);
		p.v[i].is_at_most = o->v[i].is_at_most;
		p.v[i].slots = o->v[i].slots;
		p.v[i].uses = o->v[i].uses;
	}
	return p;
}

static size_t
items_of(const struct packet *p, struct share_item *items)
{
	static char ids[ITEMS][24];
	uint32_t i;

	for (i = 0; i < p->n; i++) {
		snprintf(ids[i], sizeof ids[i], "i%u.%u", p->v[i].inst, p->v[i].born);
		items[i] = (struct share_item){.id = ids[i],
					       .slots = p->v[i].slots,
					       .is_at_most = p->v[i].is_at_most,
					       .uses = p->v[i].uses,
					       .used = p->v[i].used};
	}
	return p->n;
}

/* --- an activator's slots --- */

static void
on_set_share(const char *id, uint32_t slots, void *arg)
{
	struct activator *a = arg;
	int i = index_of(id);

	if (strcmp(id, a->m->ids[i]) != 0)
		return;
	if (a->m->fault == FAULT_USES_WHAT_IT_GAVE && slots < a->slots[i] && slots > 0)
		return;
	a->slots[i] = slots;
}

static bool
is_spent(const struct activator *a, int i)
{
	return a->share != NULL && share_uses(a->share, a->m->ids[i]) == 0;
}

static struct share_use
on_use(const char *id, void *arg)
{
	const struct activator *a = arg;
	int i = index_of(id);

	if (strcmp(id, a->m->ids[i]) != 0)
		return (struct share_use){.requests = 0};
	return (struct share_use){.is_known = true,
				  .requests = a->requests[i],
				  .conns = a->m->fault == FAULT_CONNS_UNCOUNTED ? 0 : a->conns[i],
				  .is_usable = !a->is_aside[i] && !is_spent(a, i)};
}

static const struct share_ops ops = {.set_share = on_set_share, .use = on_use};

/* Send what the activator has to say. */
void
model_speak(struct activator *a)
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
		for (i = 0; i < p.n && a->m->fault == FAULT_USED_HIDDEN; i++) {
			p.v[i].uses = a->m->max_requests;
			p.v[i].used = 0;
		}
		for (i = 0; i < p.n && a->m->fault == FAULT_SHARE_REPORTED; i++)
			p.v[i].slots = MIN(p.v[i].slots, a->slots[p.v[i].inst]);
		trace_packet(a->m, "  sends", a, &p);
		model_push(&a->link.up, &p);
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
		model_push(&a->link.up, &p);
	}
}

static void
tell_parked(struct activator *a)
{
	if (a->share != NULL)
		share_set_parked(a->share, a->parked, a->arrived_ns[0]);
}

void
model_park(struct activator *a)
{
	CHECK(a->parked < PARKED);
	a->arrived_ns[a->parked++] = a->m->now_ns;
	tell_parked(a);
}

void
model_unpark(struct activator *a)
{
	a->parked--;
	memmove(a->arrived_ns, a->arrived_ns + 1, a->parked * sizeof *a->arrived_ns);
	tell_parked(a);
}

/* With max_requests: a request is sent to instance i, perhaps at the second try. */
static void
use(struct activator *a, int i)
{
	struct model *m = a->m;

	if (m->max_requests == 0)
		return;
	share_use(a->share, m->ids[i]);
	if (model_draw(m, 8) == 0) {
		share_unuse(a->share, m->ids[i]);
		share_use(a->share, m->ids[i]);
	}
	if (++m->sent[i] > m->max_requests)
		model_fail(m, "%s: %u requests of %u", m->ids[i], m->sent[i], m->max_requests);
}

bool
model_take(struct activator *a, bool is_tunnel)
{
	int i, first = (int)model_draw(a->m, INSTANCES);

	for (i = 0; i < INSTANCES; i++) {
		int at = (first + i) % INSTANCES;

		if (a->requests[at] >= MIN(a->slots[at], 6) || !model_has_bit(a->m->ready, at) ||
		    a->is_aside[at] || is_spent(a, at))
			continue;
		use(a, at);
		a->requests[at]++;
		a->tunnels[at] += is_tunnel;
		a->conns[at] = MAX(a->conns[at], a->requests[at]);
		a->served++;
		return true;
	}
	return false;
}

void
model_serve(struct activator *a)
{
	while (a->is_alive && a->parked > 0 &&
	       model_take(a, !a->m->has_no_tunnels && model_draw(a->m, 12) == 0))
		model_unpark(a);
}

void
model_freed(struct activator *a, int i)
{
	if (a->share != NULL)
		share_freed(a->share, a->m->ids[i]);
	model_serve(a);
	model_speak(a);
}

void
model_end_request(struct activator *a, int i, bool is_closing)
{
	a->requests[i]--;
	a->tunnels[i] = MIN(a->tunnels[i], a->requests[i]);
	if (is_closing)
		a->conns[i]--;
	model_freed(a, i);
}

/* --- the leaders --- */

/* An offer goes down a link; if the link is full, all that follows is lost. */
static void
push_down(struct model *m, struct link *link, const struct packet *p)
{
	if (link->down.n < QUEUE - 8) {
		model_push(&link->down, p);
		return;
	}
	model_trace(m, "  a link is full");
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
			model_fail(m, "offers never end");
		for (i = 0; m->fault == FAULT_USES_RENEWED && i < (int)p.n; i++)
			p.v[i].uses = p.v[i].uses == SHARE_NO_USES ? SHARE_NO_USES
								   : m->max_requests;
		if (m->fault == FAULT_NO_RECALL)
			p.idle = p.due = 0;
		if (m->fault == FAULT_NO_RECALL_DUE)
			p.due = 0;
		link = l->heard[slot_of(id)] == a->link.serial ? &a->link : &a->old;
		trace_packet(m, at == m->now ? "  leader sends" : "  old leader sends", a, &p);
		if (l->heard[slot_of(id)] == link->serial && !link->is_cut)
			push_down(m, link, &p);
		if (m->fault == FAULT_LOWERED_WHEN_SENT) {
			struct share_item items[ITEMS];
			struct share_report r = {.term = o.term, .epoch = o.epoch, .v = items};
			uint32_t j;

			for (j = 0; j < p.n; j++)
				if (p.v[j].is_at_most)
					items[r.n++] = (struct share_item){
						.id = m->ids[p.v[j].inst],
						.uses = SHARE_NO_USES,
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
		model_trace(m, "  leader lists %s limit=%d mask=%x", a->id, (int)l->limit, l->mask);
		p.n = 0;
		p.idle = l->mask;
		model_push(&a->link.down, &p);
	}
}

void
model_set_list(struct model *m, int at)
{
	struct leader *l = &m->leaders[at];
	struct shares_instance v[INSTANCES];
	int i, j;

	for (i = 0; i < INSTANCES; i++) {
		v[i] = (struct shares_instance){.id = m->ids[i],
						.is_listed = model_has_bit(m->mask, i),
						.uses = m->born_term[i] == l->term ? m->max_requests
										   : 0};
		if (!v[i].is_listed && m->fault == FAULT_UNLISTED_FORGOTTEN &&
		    model_has_bit(l->mask, i))
			for (j = 0; j < ACTIVATORS; j++) {
				struct share_item item = {.id = m->ids[i], .uses = SHARE_NO_USES};
				struct share_report r = {.term = l->term,
							 .v = &item,
							 .n = 1,
							 .epoch = shares_epoch(l->shares)};

				shares_report(l->shares, m->v[j].id, &r, m->now_ns);
			}
	}
	l->limit = m->limit;
	l->mask = m->mask;
	shares_set_instances(l->shares, m->limit, m->max_requests, v, INSTANCES);
}

static void
bear(struct model *m, int i)
{
	int j;

	for (j = 0; j < ACTIVATORS; j++) {
		struct activator *a = &m->v[j];

		a->slots[i] = a->conns[i] = 0;
		a->is_aside[i] = false;
	}
	snprintf(m->ids[i], sizeof m->ids[i], "i%d.%u", i, ++m->born[i] % 1000000);
	m->born_term[i] = m->leaders[m->now].term;
	m->sent[i] = 0;
	m->used[i] = 0;
	model_trace(m, "%s is born", m->ids[i]);
}

bool
model_is_over(const struct model *m, int i)
{
	const struct shares *s = m->leaders[m->now].shares;
	int j;

	if (m->max_requests == 0)
		return false;
	for (j = 0; j < ACTIVATORS; j++)
		if (m->v[j].is_alive && m->v[j].slots[i] > 0 && is_spent(&m->v[j], i))
			return true;
	return m->sent[i] >= m->max_requests || (s != NULL && shares_is_spent(s, m->ids[i]));
}

void
model_renew(struct model *m)
{
	bool has_changed = false;
	int i, j;

	for (i = 0; i < INSTANCES; i++) {
		bool is_busy = false;

		for (j = 0; j < ACTIVATORS; j++)
			is_busy |= m->v[j].requests[i] > 0 ||
				   (!m->v[j].is_alive && m->v[j].conns[i] > 0);
		if (is_busy || !model_is_over(m, i))
			continue;
		bear(m, i);
		has_changed = true;
	}
	if (has_changed)
		model_set_lists(m);
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

void
model_forget_records(struct model *m)
{
	uint32_t i, n = 0;

	for (i = 0; i < m->records_n; i++)
		if (shares_knows(m->leaders[m->now].shares, m->records[i]))
			memmove(m->records[n++], m->records[i], sizeof m->records[0]);
	m->records_n = n;
}

void
model_start_leader(struct model *m, int at)
{
	struct leader *l = &m->leaders[at];
	struct shares_conf conf = {
		.term = ++m->term, .quantum_ns = QUANTUM, .abort_timeout_ns = ABORT_TIMEOUT};
	const char *known[RECORDS];
	uint32_t i;

	for (i = 0; i < m->records_n; i++)
		known[i] = m->records[i];
	*l = (struct leader){.term = m->term};
	for (i = 0; i < INSTANCES; i++)
		if (m->born[i] == 0) {
			snprintf(m->ids[i], sizeof m->ids[i], "i%u.1", i);
			m->born[i] = 1;
			m->born_term[i] = l->term;
		}
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

void
model_read_up(struct model *m, struct activator *a, struct link *link, int at)
{
	struct leader *l = &m->leaders[at];
	struct packet p = pop(&link->up);
	struct share_item items[ITEMS];
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
			r.epoch = shares_epoch(l->shares);
		shares_report(l->shares, a->id, &r, m->now_ns);
		if (model_draw(m, 8) == 0)
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
	struct share_item items[ITEMS];
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
		model_trace(a->m, "  ignored");
		return;
	}
	a->term = o.term;
	a->epoch = o.epoch;
}

void
model_read_down(struct activator *a, struct link *link)
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
		if (model_draw(m, 8) == 0) {
			a->again = p;
			a->has_again = true;
		}
	} else if (p.kind == LIST && link == &a->link)
		for (i = 0; i < INSTANCES; i++)
			a->slots[i] = model_has_bit(p.idle, i) ? p.limit : 0;
	model_serve(a);
	model_speak(a);
}

void
model_read_again(struct activator *a)
{
	trace_packet(a->m, "reads again", a, &a->again);
	a->has_again = false;
	obey(a, &a->again);
	model_serve(a);
	model_speak(a);
}

/* --- steps: links --- */

void
model_connect(struct activator *a)
{
	struct model *m = a->m;
	struct packet down = {.kind = HELLO, .term = m->leaders[m->now].term};
	struct packet up = {.kind = HELLO, .flag = a->has_shares};

	model_trace(m, "%s connects", a->id);
	a->old = a->link;
	a->link.leader = m->now;
	a->link.serial = (m->leaders[m->now].term << 32) | ++m->serial;
	a->link.is_open = true;
	a->link.is_cut = false;
	a->link.down.n = a->link.up.n = 0;
	a->listed_limit = 0;
	model_push(&a->link.down, &down);
	model_push(&a->link.up, &up);
	if (a->is_leaving) {
		up.kind = LEAVING;
		model_push(&a->link.up, &up);
	}
}

void
model_break_link(struct activator *a)
{
	model_trace(a->m, "the link of %s breaks", a->id);
	a->link.is_open = false;
	if (model_draw(a->m, 3) > 0) {
		a->link.is_cut = true;
		a->link.down.n = model_draw(a->m, a->link.down.n + 1);
	}
	a->link.up.n = model_draw(a->m, 2) == 0 ? 0 : model_draw(a->m, a->link.up.n + 1);
	if (a->link.down.n == 0 && a->share != NULL)
		share_disconnected(a->share);
}

/* A leader notices that a link is down. */
void
model_notice_down(struct model *m, int at, int i)
{
	struct leader *l = &m->leaders[at];
	struct activator *a = &m->v[i];

	if (l->shares == NULL || l->heard[i] == 0 ||
	    (l->heard[i] == a->link.serial && a->link.is_open))
		return;
	model_trace(m, "%s notices that the link of %s is down",
		    at == m->now ? "leader" : "old leader", a->id);
	l->heard[i] = 0;
	shares_down(l->shares, a->id);
	lead(m, at);
}

/* --- steps: processes --- */

void
model_start_activator(struct model *m, int i)
{
	struct activator *a = &m->v[i];

	memset(a->id, 0, sizeof a->id);
	*a = (struct activator){.m = m, .is_alive = true};
	snprintf(a->id, sizeof a->id, "a%d.%llu", i, (unsigned long long)++m->generation);
	a->has_shares = !m->is_mixed || model_draw(m, 3) > 0;
	if (a->has_shares)
		a->share = share_new(&ops, a);
	if (a->share != NULL)
		share_set_max_requests(a->share, m->max_requests);
	model_trace(m, "%s starts%s", a->id, a->has_shares ? "" : ", and knows no shares");
}

void
model_kill_activator(struct activator *a)
{
	model_trace(a->m, "%s is killed", a->id);
	if (a->share != NULL)
		share_free(&a->share);
	a->is_alive = false;
	a->killed_ns = a->m->now_ns;
	a->parked = 0;
	memset(a->slots, 0, sizeof a->slots);
	if (a->link.is_open)
		model_break_link(a);
}

void
model_know_death(struct model *m, struct activator *a)
{
	int at;

	if (a->is_alive || a->is_death_known || a->id[0] == '\0')
		return;
	model_trace(m, "%s is found to be dead", a->id);
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

bool
model_lingers(const struct activator *a)
{
	int i;

	for (i = 0; i < INSTANCES; i++)
		if (a->requests[i] > 0 || a->conns[i] > 0)
			return true;
	return false;
}

void
model_end_lingering(struct activator *a)
{
	memset(a->requests, 0, sizeof a->requests);
	memset(a->tunnels, 0, sizeof a->tunnels);
	memset(a->conns, 0, sizeof a->conns);
}

void
model_stop_leader(struct model *m, int at)
{
	int i;

	shares_free(&m->leaders[at].shares);
	for (i = 0; i < ACTIVATORS; i++)
		if (m->v[i].link.is_open && m->v[i].link.leader == at)
			model_break_link(&m->v[i]);
}

void
model_restart_leader(struct model *m)
{
	int old = m->now;
	bool is_speaking = model_draw(m, 2) == 0 && m->limit != SHARE_ALL;

	model_trace(m, "leader %s", is_speaking ? "is followed by another" : "restarts");
	if (m->leaders[1 - old].shares != NULL)
		model_stop_leader(m, 1 - old);
	model_start_leader(m, 1 - old);
	if (!is_speaking)
		model_stop_leader(m, old);
	recall_deaths(m);
	if (model_draw(m, 2) == 0)
		model_set_list(m, m->now);
	lead(m, m->now);
}

void
model_set_lists(struct model *m)
{
	model_trace(m, "limit=%d listed=%x", (int)m->limit, m->mask);
	model_set_list(m, m->now);
	lead(m, m->now);
	if (m->leaders[1 - m->now].shares != NULL && model_draw(m, 2) == 0) {
		model_set_list(m, 1 - m->now);
		lead(m, 1 - m->now);
	}
}

/* --- time --- */

void
model_pass_time(struct model *m, int64_t ns)
{
	int i;

	m->now_ns += ns;
	for (i = 0; i < ACTIVATORS; i++)
		if (!m->v[i].is_alive && m->now_ns - m->v[i].killed_ns >= ABORT_TIMEOUT)
			model_end_lingering(&m->v[i]);
	for (i = 0; i < 2; i++)
		if (m->leaders[i].shares != NULL)
			lead(m, i);
}
