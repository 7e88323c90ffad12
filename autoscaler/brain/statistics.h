/* statistics - what latencies tell by themselves, and against throughput: how they are distributed,
 * and whether they rise with load.  Newer ones count more.
 * Pure.  Thread: the owner. */
#ifndef AUTOSCALER_BRAIN_STATISTICS_H
#define AUTOSCALER_BRAIN_STATISTICS_H

#include "common/base.h"

/* Logarithms of latencies: how many, newer ones counting more, and their distribution. */
struct moments {
	double n, sum, squares;
};

/* The logarithm of latency (y) against that of throughput of an instance (x), likewise. */
struct regression {
	double n, x, y, xx, xy, yy;
};

void moments_add(struct moments *, double latency_s);
double moments_mean(const struct moments *);
double moments_variance(const struct moments *); /* 0 for fewer than two */

void regression_add(struct regression *, double throughput, double latency_s);
/* May it be load that latency rises with?  is_noisy: it varies much at one concurrency. */
bool regression_may_be_load(const struct regression *, bool is_noisy);

#endif
