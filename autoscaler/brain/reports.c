#include "autoscaler/brain/reports.h"

#include <stdlib.h>
#include <string.h>

#include "common/clk.h"

#define BRIEF (10 * CLK_MS) /* too short a time to tell a rate of arrivals from */

struct load {
	char *id; /* of the instance */
	uint32_t in_flight;
	int64_t busy_until_ns; /* 0: no lease */
};

struct report {
	struct list_node node;
	uint64_t peer;
	uint64_t number;	    /* the last one that it was in */
	bool is_activation_pending; /* it sent `activate`, and has not reported since */
	uint32_t parked, in_flight;
	int64_t said_ns;    /* when it said so; 0: it has not yet */
	double arrivals;    /* requests per second; < 0: unknown */
	struct load *loads; /* sorted by id, for the search at each scale-down */
	size_t loads_n;
};

void
reports_init(struct reports *d)
{
	list_init(&d->all);
}

static void
loads_free(struct report *n)
{
	size_t i;

	for (i = 0; i < n->loads_n; i++)
		free(n->loads[i].id);
	free(n->loads);
	n->loads = NULL;
	n->loads_n = 0;
}

static void
report_free(struct reports *d, struct report *n)
{
	list_remove(&d->all, &n->node);
	loads_free(n);
	free(n);
}

void
reports_fini(struct reports *d)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->all, node, tmp)
		report_free(d, container_of(node, struct report, node));
}

static struct report *
find(const struct reports *d, uint64_t peer)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->all, node, tmp) {
		struct report *n = container_of(node, struct report, node);

		if (n->peer == peer)
			return n;
	}
	return NULL;
}

static struct report *
find_or_add(struct reports *d, uint64_t peer)
{
	struct report *n = find(d, peer);

	if (n == NULL) {
		n = xcalloc(1, sizeof *n);
		n->peer = peer;
		n->arrivals = -1;
		list_push(&d->all, &n->node);
	}
	return n;
}

/* --- what is said --- */

/* How many requests arrived since the peer's last message.  As long as none is answered, that
 * is how many more it has than then; so a burst that is over is told from a load that goes on,
 * which the sum over a whole period cannot do. */
static void
note_arrivals(struct report *n, const struct msg_stat *s, int64_t period_ns, int64_t now_ns)
{
	int64_t passed = now_ns - n->said_ns;
	double growth = (double)s->parked + s->in_flight - n->parked - n->in_flight;
	bool is_within = n->said_ns > 0 && (period_ns == 0 || passed < period_ns);

	if (is_within && passed < BRIEF)
		return;
	if (is_within && s->completed == 0 && (period_ns > 0 || s->in_flight == 0))
		n->arrivals = MAX(growth, 0) * CLK_S / (double)passed;
	else if (period_ns > 0)
		n->arrivals = (double)s->requests * CLK_S / (double)period_ns;
}

static int
compare_loads(const void *a, const void *b)
{
	return strcmp(((const struct load *)a)->id, ((const struct load *)b)->id);
}

static void
note_requests(struct report *n, uint32_t parked, uint32_t in_flight, int64_t now_ns)
{
	n->parked = parked;
	n->in_flight = in_flight;
	n->said_ns = now_ns;
}

void
reports_report(struct reports *d, uint64_t peer, uint64_t number, const struct msg_stat *s,
	       int64_t period_ns, int64_t now_ns)
{
	struct report *n = find_or_add(d, peer);
	size_t i;

	note_arrivals(n, s, period_ns, now_ns);
	note_requests(n, s->parked, s->in_flight, now_ns);
	loads_free(n);
	n->number = number;
	n->is_activation_pending = false;
	n->loads = s->n == 0 ? NULL : xcalloc(s->n, sizeof *n->loads);
	n->loads_n = s->n;
	for (i = 0; i < s->n; i++) {
		double busy_s = MIN(s->v[i].busy_s, 1e9); /* keeps the sum in range */

		n->loads[i] = (struct load){.id = xstrdup(s->v[i].id),
					    .in_flight = s->v[i].in_flight};
		if (busy_s > 0)
			n->loads[i].busy_until_ns = now_ns + (int64_t)(busy_s * CLK_S);
	}
	if (n->loads_n > 1)
		qsort(n->loads, n->loads_n, sizeof *n->loads, compare_loads);
}

void
reports_activate(struct reports *d, uint64_t peer, uint32_t parked, int64_t now_ns)
{
	struct report *n = find_or_add(d, peer);
	const struct msg_stat s = {.parked = MAX(parked, 1), .in_flight = n->in_flight};

	note_arrivals(n, &s, 0, now_ns);
	note_requests(n, s.parked, n->in_flight, now_ns);
	n->is_activation_pending = true;
}

bool
reports_complete(struct reports *d, uint64_t peer, uint64_t number)
{
	struct report *n = find(d, peer);

	if (n == NULL)
		return true;
	if (n->number == number)
		return false;
	if (!n->is_activation_pending) /* the `activate` may be younger than the report */
		report_free(d, n);
	n = find(d, peer);
	if (n != NULL)
		n->is_activation_pending = false;
	return true;
}

void
reports_vanish(struct reports *d, uint64_t peer)
{
	struct report *n = find(d, peer);

	if (n != NULL) {
		n->parked = 0;
		n->arrivals = 0;
		n->is_activation_pending = false;
	}
}

void
reports_drop(struct reports *d, uint64_t peer)
{
	struct report *n = find(d, peer);

	if (n != NULL)
		report_free(d, n);
}

/* --- sums --- */

uint32_t
reports_parked(const struct reports *d)
{
	struct list_node *node, *tmp;
	uint64_t sum = 0;

	LIST_FOREACH(&d->all, node, tmp)
		sum += container_of(node, struct report, node)->parked;
	return (uint32_t)MIN(sum, UINT32_MAX);
}

uint32_t
reports_in_flight(const struct reports *d)
{
	struct list_node *node, *tmp;
	uint64_t sum = 0;

	LIST_FOREACH(&d->all, node, tmp)
		sum += container_of(node, struct report, node)->in_flight;
	return (uint32_t)MIN(sum, UINT32_MAX);
}

double
reports_arrivals(const struct reports *d)
{
	struct list_node *node, *tmp;
	double sum = 0;

	LIST_FOREACH(&d->all, node, tmp) {
		double arrivals = container_of(node, struct report, node)->arrivals;

		if (arrivals < 0)
			return -1;
		sum += arrivals;
	}
	return sum;
}

bool
reports_activation_pending(const struct reports *d)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->all, node, tmp)
		if (container_of(node, struct report, node)->is_activation_pending)
			return true;
	return false;
}

/* The first load of this id (a report may have several), or where it would be. */
static size_t
first_load(const struct report *n, const char *id)
{
	size_t from = 0, to = n->loads_n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (strcmp(n->loads[middle].id, id) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

uint32_t
reports_at_instance(const struct reports *d, const char *id)
{
	struct list_node *node, *tmp;
	uint64_t sum = 0;
	size_t i;

	LIST_FOREACH(&d->all, node, tmp) {
		const struct report *n = container_of(node, struct report, node);

		for (i = first_load(n, id); i < n->loads_n && strcmp(n->loads[i].id, id) == 0; i++)
			sum += n->loads[i].in_flight;
	}
	return (uint32_t)MIN(sum, UINT32_MAX);
}

int64_t
reports_lease_ns(const struct reports *d, uint64_t peer, const char *id)
{
	struct list_node *node, *tmp;
	int64_t until = 0;
	size_t i;

	LIST_FOREACH(&d->all, node, tmp) {
		const struct report *n = container_of(node, struct report, node);

		if (peer != 0 && n->peer != peer)
			continue;
		for (i = first_load(n, id); i < n->loads_n && strcmp(n->loads[i].id, id) == 0; i++)
			until = MAX(until, n->loads[i].busy_until_ns);
	}
	return until;
}

double
reports_busy_s(const struct reports *d, int64_t now_ns)
{
	struct list_node *node, *tmp;
	int64_t until = now_ns;
	size_t i;

	LIST_FOREACH(&d->all, node, tmp) {
		const struct report *n = container_of(node, struct report, node);

		for (i = 0; i < n->loads_n; i++)
			until = MAX(until, n->loads[i].busy_until_ns);
	}
	return (double)(until - now_ns) / CLK_S;
}
