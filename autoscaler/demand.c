#include "autoscaler/demand.h"

#include <stdlib.h>
#include <string.h>

#include "common/clk.h"

struct load {
	char *id; /* of the instance */
	uint32_t in_flight;
	int64_t busy_until_ns; /* 0: no lease */
};

struct entry {
	struct list_node node;
	uint64_t peer;
	uint64_t report; /* the last one that it was in */
	bool is_asked;	 /* `activate` since the last report */
	uint32_t parked, in_flight;
	struct load *loads;
	size_t loads_n;
};

void
demand_init(struct demand *d)
{
	list_init(&d->entries);
}

static void
loads_free(struct entry *n)
{
	size_t i;

	for (i = 0; i < n->loads_n; i++)
		free(n->loads[i].id);
	free(n->loads);
	n->loads = NULL;
	n->loads_n = 0;
}

static void
entry_free(struct demand *d, struct entry *n)
{
	list_remove(&d->entries, &n->node);
	loads_free(n);
	free(n);
}

void
demand_fini(struct demand *d)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->entries, node, tmp)
		entry_free(d, container_of(node, struct entry, node));
}

static struct entry *
find(const struct demand *d, uint64_t peer)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->entries, node, tmp) {
		struct entry *n = container_of(node, struct entry, node);

		if (n->peer == peer)
			return n;
	}
	return NULL;
}

static struct entry *
find_or_add(struct demand *d, uint64_t peer)
{
	struct entry *n = find(d, peer);

	if (n == NULL) {
		n = xcalloc(1, sizeof *n);
		n->peer = peer;
		list_push(&d->entries, &n->node);
	}
	return n;
}

/* --- what is said --- */

void
demand_report(struct demand *d, uint64_t peer, uint64_t report, const struct msg_stat *s,
	      int64_t now_ns)
{
	struct entry *n = find_or_add(d, peer);
	size_t i;

	loads_free(n);
	n->report = report;
	n->is_asked = false;
	n->parked = s->parked;
	n->in_flight = s->in_flight;
	n->loads = s->n == 0 ? NULL : xcalloc(s->n, sizeof *n->loads);
	n->loads_n = s->n;
	for (i = 0; i < s->n; i++) {
		double busy_s = MIN(s->v[i].busy_s, 1e9); /* keeps the sum in range */

		n->loads[i] = (struct load){.id = xstrdup(s->v[i].id),
					    .in_flight = s->v[i].in_flight};
		if (busy_s > 0)
			n->loads[i].busy_until_ns = now_ns + (int64_t)(busy_s * CLK_S);
	}
}

void
demand_activate(struct demand *d, uint64_t peer, uint32_t parked)
{
	struct entry *n = find_or_add(d, peer);

	n->is_asked = true;
	n->parked = MAX(parked, 1);
}

bool
demand_complete(struct demand *d, uint64_t peer, uint64_t report)
{
	struct entry *n = find(d, peer);

	if (n == NULL)
		return true;
	if (n->report == report)
		return false;
	if (!n->is_asked) /* an `activate` may be younger than the report */
		entry_free(d, n);
	n = find(d, peer);
	if (n != NULL)
		n->is_asked = false;
	return true;
}

void
demand_vanish(struct demand *d, uint64_t peer)
{
	struct entry *n = find(d, peer);

	if (n != NULL) {
		n->parked = 0;
		n->is_asked = false;
	}
}

void
demand_drop(struct demand *d, uint64_t peer)
{
	struct entry *n = find(d, peer);

	if (n != NULL)
		entry_free(d, n);
}

/* --- sums --- */

uint32_t
demand_parked(const struct demand *d)
{
	struct list_node *node, *tmp;
	uint64_t sum = 0;

	LIST_FOREACH(&d->entries, node, tmp)
		sum += container_of(node, struct entry, node)->parked;
	return (uint32_t)MIN(sum, UINT32_MAX);
}

uint32_t
demand_in_flight(const struct demand *d)
{
	struct list_node *node, *tmp;
	uint64_t sum = 0;

	LIST_FOREACH(&d->entries, node, tmp)
		sum += container_of(node, struct entry, node)->in_flight;
	return (uint32_t)MIN(sum, UINT32_MAX);
}

bool
demand_is_asked(const struct demand *d)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&d->entries, node, tmp)
		if (container_of(node, struct entry, node)->is_asked)
			return true;
	return false;
}

uint32_t
demand_at_instance(const struct demand *d, const char *id)
{
	struct list_node *node, *tmp;
	uint64_t sum = 0;
	size_t i;

	LIST_FOREACH(&d->entries, node, tmp) {
		const struct entry *n = container_of(node, struct entry, node);

		for (i = 0; i < n->loads_n; i++)
			if (strcmp(n->loads[i].id, id) == 0)
				sum += n->loads[i].in_flight;
	}
	return (uint32_t)MIN(sum, UINT32_MAX);
}

double
demand_busy_s(const struct demand *d, int64_t now_ns)
{
	struct list_node *node, *tmp;
	int64_t until = now_ns;
	size_t i;

	LIST_FOREACH(&d->entries, node, tmp) {
		const struct entry *n = container_of(node, struct entry, node);

		for (i = 0; i < n->loads_n; i++)
			until = MAX(until, n->loads[i].busy_until_ns);
	}
	return (double)(until - now_ns) / CLK_S;
}
