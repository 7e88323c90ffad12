/* victims - which instances go when fewer are wanted: where the platform does not choose
 * itself, those without a busy lease, and of them those with the fewest requests in flight
 * (promise 8); among equals one that does not answer yet before one that does, then the
 * youngest, since what runs longest is warm.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_BRAIN_VICTIMS_H
#define AUTOSCALER_BRAIN_VICTIMS_H

#include "common/base.h"

struct victim {
	const char *id; /* borrowed */
	uint32_t in_flight;
	bool is_leased; /* it works in the background: x-activator-busy */
	bool is_ready;
	uint32_t goes_first; /* as driver_instance.goes_first: before all else */
	int64_t seen_ns;     /* since when it is there */
};

/* Put them in order, the first to go first. */
void victims_sort(struct victim *, size_t n);

#endif
