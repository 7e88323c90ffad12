/* victims - which instances are stopped first when fewer are wanted (promise 8, README).  In
 * this order: those that the platform stops first whatever is asked of it; those without a
 * busy lease; those that are to be replaced soon; those with the fewest requests in flight; those
 * that do not answer yet; the youngest, since the oldest have the warmest caches.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_BRAIN_VICTIMS_H
#define AUTOSCALER_BRAIN_VICTIMS_H

#include "common/base.h"

struct victim {
	const char *id; /* borrowed */
	uint32_t in_flight;
	bool is_leased; /* it works in the background (x-activator-busy) */
	bool is_ready;
	bool is_due;		/* another one is to take its place (max_lifetime) */
	uint32_t removal_order; /* as driver_instance.removal_order */
	int64_t seen_ns;	/* when a driver showed it first */
};

/* Sort v: the first is to be stopped first. */
void victims_sort(struct victim *, size_t n);

#endif
