/* amounts - what a revision has used in some time, and what always-on instances would have
 * used in that time.  Pure.  Thread: any. */
#ifndef AUTOSCALER_USAGE_AMOUNTS_H
#define AUTOSCALER_USAGE_AMOUNTS_H

#include "common/request_counts.h"

/* All are sums over the time, but for peak and cold_wait_max_s.  An instance counts from when the
 * driver shows it until it is gone, so its start and its stop count. */
struct amounts {
	double observed_s;	/* seconds that an autoscaler has observed the revision for */
	double instance_s;	/* instances x seconds */
	double requests;	/* arrived */
	double completed;	/* responses that instances have completed */
	double in_flight_s;	/* requests in flight x seconds */
	double parked_s;	/* requests parked x seconds: how long clients waited */
	double wakes;		/* times that requests found no instance, or only stopping ones */
	double starts;		/* instances that began to start */
	double cpu_s;		/* CPU seconds of the instances, over … */
	double memory_byte_s;	/* bytes of resident memory x seconds, over … */
	double measured_s;	/* … these of instance_s, for which the driver knows both */
	double always_one_s;	/* instance_s if one instance at least had run at all times */
	double peak;		/* the most instances at one time */
	double bytes_in;	/* of request bodies that were passed on to instances */
	double bytes_out;	/* of response bodies that were passed on to clients */
	double cold_starts;	/* requests that waited because no instance took requests … */
	double cold_wait_s;	/* … how long, in all, until their response began … */
	double cold_wait_max_s; /* … and the longest of these waits */
	double ends[REQUEST_ENDS_N]; /* requests that have ended, by how */
};

#define AMOUNTS_N (18 + REQUEST_ENDS_N)

/* Add `from` to `into`; the larger peak and the longer wait hold. */
void amounts_add(struct amounts *into, const struct amounts *from);

/* Each by its number, below AMOUNTS_N. */
const char *amounts_name(size_t i);
double *amounts_at(struct amounts *, size_t i);
double amounts_get(const struct amounts *, size_t i);

/* Does number i count an end of requests (request_counts.h)?  JSON leaves it out where it is 0. */
bool amounts_is_end(size_t i);
/* Is the driver's number of CPU seconds and memory behind number i?  It is unknown while measured_s
 * is 0. */
bool amounts_is_measured(size_t i);

/* The value to be written down: in whole millionths. */
double amounts_round(double);

#endif
