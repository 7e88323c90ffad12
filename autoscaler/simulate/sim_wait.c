#include "autoscaler/simulate/sim_wait.h"

#include <math.h>

#include "common/clk.h"

#define FINE (UINT64_C(1) << SIM_WAIT_FINE)

/* A span covers the values of one leading bit, by the SIM_WAIT_FINE bits that follow it; the
 * first span has the values below that precision. */
static size_t
slot_of(uint64_t us)
{
	unsigned shift;

	if (us < FINE)
		return (size_t)us;
	shift = 63 - (unsigned)__builtin_clzll(us) - SIM_WAIT_FINE;
	return MIN(((size_t)(shift + 1) << SIM_WAIT_FINE) + (size_t)((us >> shift) - FINE),
		   ((size_t)SIM_WAIT_SPANS << SIM_WAIT_FINE) - 1);
}

static double
value_of(size_t slot)
{
	size_t span = slot >> SIM_WAIT_FINE, fine = slot & (FINE - 1);

	if (span == 0)
		return (double)fine;
	return ldexp((double)(FINE + fine), (int)span - 1);
}

void
sim_wait_add(struct sim_wait *w, int64_t ns)
{
	ns = MAX(ns, 0);
	w->n++;
	w->sum_ns += (double)ns;
	w->most_ns = MAX(w->most_ns, ns);
	w->counts[slot_of((uint64_t)(ns / CLK_US))]++;
}

double
sim_wait_quantile(const struct sim_wait *w, double part)
{
	uint64_t rank = (uint64_t)ceil(part * (double)w->n), sum = 0;
	size_t i;

	if (w->n == 0)
		return 0;
	for (i = 0; i < ARRAY_LEN(w->counts); i++) {
		sum += w->counts[i];
		if (sum >= MAX(rank, 1))
			break;
	}
	return value_of(i) / 1000;
}

double
sim_wait_mean(const struct sim_wait *w)
{
	return w->n == 0 ? 0 : w->sum_ns / (double)w->n / CLK_MS;
}
