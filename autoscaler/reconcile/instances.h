/* instances - the instances of one revision: what its driver shows of them, and what the
 * activators say of each.  An instance is the same from view to view by its id.
 * No I/O; the time is an argument.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_INSTANCES_H
#define AUTOSCALER_RECONCILE_INSTANCES_H

#include "autoscaler/brain/reports.h"
#include "autoscaler/driver.h"

/* Why an instance ends although as many are wanted. */
enum instance_ending {
	ENDING_NOT,
	ENDING_LIFETIME,
	ENDING_REQUESTS,
	ENDING_UNREADY /* it did not get ready, and others could not end because of it */
};

struct scaled_instance {
	char *id, *address, *alternate, *probe; /* all but id: NULL where there is none */
	uint16_t port;
	enum instance_state state; /* as the driver shows it */
	bool is_answering;	   /* as an activator said last */
	bool is_spare, is_retired; /* as the driver shows it */
	bool is_timed;		   /* its start has been measured, or cannot be */
	int64_t seen_ns;	   /* when a view had it first */
	int64_t started_ns;	   /* 0: unknown (it ran before this autoscaler) */
	double starts_mark_s;	   /* starts_load_integral_s() at seen_ns; < 0: it was ready */
	uint32_t removal_order;	   /* as driver_instance.removal_order */
	double cpu_s;		   /* CPU seconds used so far; < 0: unknown */
	double cpu_mark_s;	   /* the same when it was measured last; < 0: it was not */
	uint64_t memory_bytes;	   /* 0: unknown */
	int64_t busy_until_ns;	   /* a busy lease whose activator is forgotten; 0: none */
	bool is_adopted; /* it was there when this autoscaler began to look after the revision */
	/* renewal.h */
	bool is_spent, is_nearly_spent; /* it has had max_requests, or most of them */
	bool is_too_old;		/* max_lifetime */
	bool is_due;			/* another one is to be started in its place */
	enum instance_ending ending;	/* it is drained and stopped, whatever number is wanted */
	bool is_stop_sent;		/* the driver was asked to stop it */
};

struct instances {
	struct scaled_instance *v;
	size_t n;
	double cpu_cores;	 /* that they use together, over some seconds; < 0: unknown */
	int64_t cpu_measured_ns; /* 0: never */
};

void instances_init(struct instances *);
void instances_fini(struct instances *);

/* Take what the driver shows in place of what it showed before. */
void instances_take(struct instances *, const struct driver_instance *, size_t n, int64_t now_ns);
/* Would activators see no difference if that were taken? */
bool instances_are(const struct instances *, const struct driver_instance *, size_t n);

struct scaled_instance *instances_find(const struct instances *, const char *id); /* or NULL */
/* The same, from *at on and round; leaves *at behind what is found.  A caller that asks for all
 * of them in about their order finds each at the first look. */
struct scaled_instance *instances_find_from(const struct instances *, size_t *at, const char *id);

/* Only the platform says when it is ready.  No activator probes it, and is_answering is false. */
bool instances_waits_for_platform(const struct scaled_instance *);
bool instances_is_ready(const struct scaled_instance *); /* says the driver, or an activator */
/* Without those that are retired. */
uint32_t instances_ready(const struct instances *);
/* Of those of instances_live() that are not ending: ready, or starting. */
uint32_t instances_usable(const struct instances *, bool is_ready);
/* Is it there, and was no driver asked to stop it? */
bool instances_is_lasting(const struct scaled_instance *);
/* Ready or starting, but for spares that start and what is retired. */
uint32_t instances_live(const struct instances *);

/* Measure cpu_cores, if the last time is long enough ago. */
void instances_measure_cpu(struct instances *, int64_t now_ns);
double instances_memory_bytes(const struct instances *); /* together; 0: unknown */

/* Busy leases: an instance has said that it works in the background for some time.  The
 * reports are of the same revision. */
bool instances_is_leased(const struct scaled_instance *, const struct reports *, int64_t now_ns);
double instances_lease_s(const struct instances *, const struct reports *,
			 int64_t now_ns); /* what is left of the longest; 0: none */
/* The peer's reports are about to be dropped for good: the leases in them hold until they are
 * over. */
void instances_keep_leases(struct instances *, const struct reports *, uint64_t peer);

#endif
