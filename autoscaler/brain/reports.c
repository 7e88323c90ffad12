#include "autoscaler/brain/reports.h"

#include <stdlib.h>
#include <string.h>

#include "common/clk.h"

#define WHOLE (CLK_S * 9 / 10) /* the shortest period of a report that is not an early one */
#define BRIEF (10 * CLK_MS)    /* too short a time to tell a rate of arrivals from */

struct load {
	char *id; /* of the instance */
	uint32_t in_flight;
	int64_t busy_until_ns; /* 0: no lease */
};

struct report {
	struct list_node node;
	uint64_t peer;
	uint64_t number;	    /* of the last stats message that named the revision */
	bool is_activation_pending; /* it sent `activate`, and has not reported since */
	uint32_t parked, in_flight;
	int64_t said_ns;    /* when it said so; 0: not yet */
	double arrivals;    /* requests per second; < 0: unknown */
	double steady;	    /* likewise, over the newest whole period */
	struct load *loads; /* sorted by id, for the search at each scale-down */
	size_t loads_n;
};

void
reports_init(struct reports *rs)
{
	list_init(&rs->all);
}

static void
loads_free(struct report *r)
{
	size_t i;

	for (i = 0; i < r->loads_n; i++)
		free(r->loads[i].id);
	free(r->loads);
	r->loads = NULL;
	r->loads_n = 0;
}

static void
report_free(struct reports *rs, struct report *r)
{
	list_remove(&rs->all, &r->node);
	loads_free(r);
	free(r);
}

void
reports_fini(struct reports *rs)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rs->all, node, tmp)
		report_free(rs, container_of(node, struct report, node));
}

static struct report *
find(const struct reports *rs, uint64_t peer)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rs->all, node, tmp) {
		struct report *r = container_of(node, struct report, node);

		if (r->peer == peer)
			return r;
	}
	return NULL;
}

static struct report *
find_or_add(struct reports *rs, uint64_t peer)
{
	struct report *r = find(rs, peer);

	if (r == NULL) {
		r = xcalloc(1, sizeof *r);
		r->peer = peer;
		r->arrivals = r->steady = -1;
		list_push(&rs->all, &r->node);
	}
	return r;
}

/* --- messages --- */

/* How many requests arrived since the peer's last message.  As long as none is answered, that
 * is how many more it has than then; so a burst that is over is told from a load that goes on,
 * which the sum over a whole period cannot do. */
static void
note_arrivals(struct report *r, const struct msg_stat *s, int64_t period_ns, int64_t now_ns)
{
	int64_t passed = now_ns - r->said_ns;
	double growth = (double)s->parked + s->in_flight - r->parked - r->in_flight;
	bool is_within = r->said_ns > 0 && (period_ns == 0 || passed < period_ns);

	if (is_within && passed < BRIEF)
		return;
	if (is_within && s->completed == 0 && (period_ns > 0 || s->in_flight == 0))
		r->arrivals = MAX(growth, 0) * CLK_S / (double)passed;
	else if (period_ns > 0)
		r->arrivals = (double)s->requests * CLK_S / (double)period_ns;
}

static int
compare_loads(const void *a, const void *b)
{
	return strcmp(((const struct load *)a)->id, ((const struct load *)b)->id);
}

static void
note_requests(struct report *r, uint32_t parked, uint32_t in_flight, int64_t now_ns)
{
	r->parked = parked;
	r->in_flight = in_flight;
	r->said_ns = now_ns;
}

void
reports_report(struct reports *rs, uint64_t peer, uint64_t number, const struct msg_stat *s,
	       int64_t period_ns, int64_t now_ns)
{
	struct report *r = find_or_add(rs, peer);
	size_t i;

	note_arrivals(r, s, period_ns, now_ns);
	if (period_ns >= WHOLE)
		r->steady = (double)s->requests * CLK_S / (double)period_ns;
	note_requests(r, s->parked, s->in_flight, now_ns);
	loads_free(r);
	r->number = number;
	r->is_activation_pending = false;
	r->loads = s->n == 0 ? NULL : xcalloc(s->n, sizeof *r->loads);
	r->loads_n = s->n;
	for (i = 0; i < s->n; i++) {
		double busy_s = MIN(s->v[i].busy_s, 1e9); /* keeps the sum in range */

		r->loads[i] = (struct load){.id = xstrdup(s->v[i].id),
					    .in_flight = s->v[i].in_flight};
		if (busy_s > 0)
			r->loads[i].busy_until_ns = now_ns + (int64_t)(busy_s * CLK_S);
	}
	if (r->loads_n > 1)
		qsort(r->loads, r->loads_n, sizeof *r->loads, compare_loads);
}

void
reports_activate(struct reports *rs, uint64_t peer, uint32_t parked, int64_t now_ns)
{
	struct report *r = find_or_add(rs, peer);
	const struct msg_stat s = {.parked = MAX(parked, 1), .in_flight = r->in_flight};

	note_arrivals(r, &s, 0, now_ns);
	note_requests(r, s.parked, r->in_flight, now_ns);
	r->is_activation_pending = true;
}

bool
reports_complete(struct reports *rs, uint64_t peer, uint64_t number)
{
	struct report *r = find(rs, peer);

	if (r == NULL)
		return true;
	if (r->number == number)
		return false;
	if (!r->is_activation_pending) /* the `activate` may be younger than the report */
		report_free(rs, r);
	r = find(rs, peer);
	if (r != NULL)
		r->is_activation_pending = false;
	return true;
}

void
reports_vanish(struct reports *rs, uint64_t peer)
{
	struct report *r = find(rs, peer);

	if (r != NULL) {
		r->parked = 0;
		r->arrivals = r->steady = 0;
		r->is_activation_pending = false;
	}
}

void
reports_drop(struct reports *rs, uint64_t peer)
{
	struct report *r = find(rs, peer);

	if (r != NULL)
		report_free(rs, r);
}

/* --- sums --- */

uint32_t
reports_parked(const struct reports *rs)
{
	struct list_node *node, *tmp;
	uint64_t sum = 0;

	LIST_FOREACH(&rs->all, node, tmp)
		sum += container_of(node, struct report, node)->parked;
	return (uint32_t)MIN(sum, UINT32_MAX);
}

uint32_t
reports_in_flight(const struct reports *rs)
{
	struct list_node *node, *tmp;
	uint64_t sum = 0;

	LIST_FOREACH(&rs->all, node, tmp)
		sum += container_of(node, struct report, node)->in_flight;
	return (uint32_t)MIN(sum, UINT32_MAX);
}

double
reports_arrivals(const struct reports *rs)
{
	struct list_node *node, *tmp;
	double sum = 0;

	LIST_FOREACH(&rs->all, node, tmp) {
		double arrivals = container_of(node, struct report, node)->arrivals;

		if (arrivals < 0)
			return -1;
		sum += arrivals;
	}
	return sum;
}

double
reports_steady_arrivals(const struct reports *rs)
{
	struct list_node *node, *tmp;
	double sum = 0;

	LIST_FOREACH(&rs->all, node, tmp) {
		double steady = container_of(node, struct report, node)->steady;

		if (steady < 0)
			return -1;
		sum += steady;
	}
	return sum;
}

bool
reports_activation_pending(const struct reports *rs)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rs->all, node, tmp)
		if (container_of(node, struct report, node)->is_activation_pending)
			return true;
	return false;
}

bool
reports_is_asking(const struct reports *rs, uint64_t peer)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&rs->all, node, tmp) {
		const struct report *r = container_of(node, struct report, node);

		if (r->peer == peer)
			return r->parked > 0;
	}
	return false;
}

/* The first load of this id (a report may have several), or where it would be. */
static size_t
first_load(const struct report *r, const char *id)
{
	size_t from = 0, to = r->loads_n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (strcmp(r->loads[middle].id, id) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

uint32_t
reports_at_instance(const struct reports *rs, const char *id)
{
	struct list_node *node, *tmp;
	uint64_t sum = 0;
	size_t i;

	LIST_FOREACH(&rs->all, node, tmp) {
		const struct report *r = container_of(node, struct report, node);

		for (i = first_load(r, id); i < r->loads_n && strcmp(r->loads[i].id, id) == 0; i++)
			sum += r->loads[i].in_flight;
	}
	return (uint32_t)MIN(sum, UINT32_MAX);
}

int64_t
reports_lease_ns(const struct reports *rs, uint64_t peer, const char *id)
{
	struct list_node *node, *tmp;
	int64_t until = 0;
	size_t i;

	LIST_FOREACH(&rs->all, node, tmp) {
		const struct report *r = container_of(node, struct report, node);

		if (peer != 0 && r->peer != peer)
			continue;
		for (i = first_load(r, id); i < r->loads_n && strcmp(r->loads[i].id, id) == 0; i++)
			until = MAX(until, r->loads[i].busy_until_ns);
	}
	return until;
}

double
reports_busy_s(const struct reports *rs, int64_t now_ns)
{
	struct list_node *node, *tmp;
	int64_t until = now_ns;
	size_t i;

	LIST_FOREACH(&rs->all, node, tmp) {
		const struct report *r = container_of(node, struct report, node);

		for (i = 0; i < r->loads_n; i++)
			until = MAX(until, r->loads[i].busy_until_ns);
	}
	return (double)(until - now_ns) / CLK_S;
}
