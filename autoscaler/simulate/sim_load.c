#include "autoscaler/simulate/sim_load.h"

#include <math.h>
#include <stdlib.h>

struct sim_load {
	struct sim_trace *trace;
	bool has_next; /* a request (open loop) or a line (closed loop) that has not come yet: */
	struct sim_request next;
	struct sim_clients next_clients;
	/* closed loop: the newest line, and the clients that are there */
	struct sim_clients now;
	uint32_t clients;
	int64_t *sends; /* a heap: when those that think send their next request */
	size_t sends_n, sends_cap;
};

/* --- the clients that think: a heap --- */

static void
push(struct sim_load *l, int64_t at_ns)
{
	size_t i = l->sends_n++;

	if (i == l->sends_cap) {
		l->sends_cap = MAX(l->sends_cap * 2, (size_t)64);
		l->sends = xrealloc(l->sends, l->sends_cap * sizeof *l->sends);
	}
	for (; i > 0 && l->sends[(i - 1) / 2] > at_ns; i = (i - 1) / 2)
		l->sends[i] = l->sends[(i - 1) / 2];
	l->sends[i] = at_ns;
}

static void
pop(struct sim_load *l)
{
	size_t i = 0, child, n = --l->sends_n;
	int64_t last = l->sends[n];

	while ((child = 2 * i + 1) < n) {
		child += child + 1 < n && l->sends[child + 1] < l->sends[child];
		if (l->sends[child] >= last)
			break;
		l->sends[i] = l->sends[child];
		i = child;
	}
	l->sends[i] = last;
}

static void
think(struct sim_load *l, int64_t now_ns)
{
	double ns = l->now.think_ns == 0 ? 0
					 : -log(sim_trace_draw(l->trace)) * (double)l->now.think_ns;

	push(l, now_ns + (int64_t)ns);
}

/* --- the trace --- */

static int
fetch(struct sim_load *l, struct err *e)
{
	int rc = sim_trace_has_clients(l->trace)
			 ? sim_trace_next_clients(l->trace, &l->next_clients, e)
			 : sim_trace_next(l->trace, &l->next, e);

	l->has_next = rc > 0;
	return rc;
}

/* The next line of clients has come: clients come, or some will leave. */
static int
change_clients(struct sim_load *l, struct err *e)
{
	l->now = l->next_clients;
	for (; l->clients < l->now.n; l->clients++)
		think(l, l->now.at_ns);
	return fetch(l, e);
}

static int
take_from_clients(struct sim_load *l, int64_t now_ns, struct sim_request *r, struct err *e)
{
	while (l->has_next && l->next_clients.at_ns <= now_ns)
		if (change_clients(l, e) < 0)
			return -1;
	for (; l->sends_n > 0 && l->sends[0] <= now_ns; pop(l)) {
		if (l->clients > l->now.n) {
			l->clients--; /* it leaves */
			continue;
		}
		*r = (struct sim_request){now_ns, l->now.work_ns};
		pop(l);
		return 1;
	}
	return 0;
}

int
sim_load_take(struct sim_load *l, int64_t now_ns, struct sim_request *r, struct err *e)
{
	if (sim_trace_has_clients(l->trace))
		return take_from_clients(l, now_ns, r, e);
	if (!l->has_next || l->next.at_ns > now_ns)
		return 0;
	*r = l->next;
	return fetch(l, e) < 0 ? -1 : 1;
}

void
sim_load_answered(struct sim_load *l, uint64_t n, int64_t now_ns)
{
	for (; n > 0 && sim_trace_has_clients(l->trace); n--)
		think(l, now_ns);
}

int64_t
sim_load_next_ns(const struct sim_load *l)
{
	int64_t at = INT64_MAX;

	if (l->has_next)
		at = sim_trace_has_clients(l->trace) ? l->next_clients.at_ns : l->next.at_ns;
	return l->sends_n > 0 ? MIN(at, l->sends[0]) : at;
}

bool
sim_load_is_over(const struct sim_load *l)
{
	return !l->has_next && l->clients == 0;
}

void
sim_load_close(struct sim_load **lp)
{
	struct sim_load *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	sim_trace_close(&l->trace);
	free(l->sends);
	free(l);
}

struct sim_load *
sim_load_open(const char *file, struct err *e)
{
	struct sim_load *l = xcalloc(1, sizeof *l);

	l->trace = sim_trace_open(file, e);
	if (l->trace == NULL || fetch(l, e) < 0)
		sim_load_close(&l);
	return l;
}
