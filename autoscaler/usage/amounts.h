/* amounts - what a revision has used in some time, and what always-on instances would have
 * used in that time.  Pure.  Thread: any. */
#ifndef AUTOSCALER_USAGE_AMOUNTS_H
#define AUTOSCALER_USAGE_AMOUNTS_H

#include "common/base.h"

/* All are sums over the time, but for peak.  An instance counts from when the driver shows it
 * until it is gone, so its start and its stop count. */
struct amounts {
	double observed_s;    /* seconds that an autoscaler has observed the revision for */
	double instance_s;    /* instances x seconds */
	double requests;      /* arrived */
	double completed;     /* responses that instances have completed */
	double in_flight_s;   /* requests in flight x seconds */
	double parked_s;      /* requests parked x seconds: how long clients waited */
	double wakes;	      /* times that requests found no instance, or only stopping ones */
	double starts;	      /* instances that began to start */
	double cpu_s;	      /* CPU seconds of the instances, over … */
	double memory_byte_s; /* bytes of resident memory x seconds, over … */
	double measured_s;    /* … these of instance_s, for which the driver knows both */
	double always_one_s;  /* instance_s if one instance at least had run at all times */
	double peak;	      /* the most instances at one time */
};

#define AMOUNTS_N 13

/* Add `from` to `into`; the larger peak holds. */
void amounts_add(struct amounts *into, const struct amounts *from);

/* Each by its number, below AMOUNTS_N. */
const char *amounts_name(size_t i);
double *amounts_at(struct amounts *, size_t i);
double amounts_get(const struct amounts *, size_t i);

/* The value to be written down: in whole millionths. */
double amounts_round(double);

#endif
