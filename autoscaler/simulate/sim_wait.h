/* sim_wait - a histogram of how long requests waited: exact to a microsecond below a
 * millisecond, and to a thousandth above it, in memory of constant size.
 * Pure.  Thread: the owner. */
#ifndef AUTOSCALER_SIMULATE_SIM_WAIT_H
#define AUTOSCALER_SIMULATE_SIM_WAIT_H

#include "common/base.h"

#define SIM_WAIT_FINE 10 /* bits of precision */
#define SIM_WAIT_SPANS 40

struct sim_wait {
	uint64_t n;
	double sum_ns;
	int64_t most_ns;
	uint64_t counts[SIM_WAIT_SPANS << SIM_WAIT_FINE];
};

void sim_wait_add(struct sim_wait *, int64_t ns);
/* The wait, in ms, that a part (0.5, 0.99) of the requests did not exceed, and the mean; 0 if
 * there were no requests. */
double sim_wait_quantile(const struct sim_wait *, double part);
double sim_wait_mean(const struct sim_wait *);

#endif
