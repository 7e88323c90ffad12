/* sim_fleet - the modelled instances of one revision, and the activator's queue and choice of
 * instance, on simulated time.
 *
 * An instance answers `start_ns` after its start.  Up to `capacity` requests at once (the
 * target, without target_utilization) each take as long as the trace says; more of them share
 * that capacity.  An instance never has more than container_concurrency requests.  A request
 * for which no instance has room is parked; parked requests leave in the order in which they
 * came, and each instance gets at most `pace` of them at once.  An instance that stops gets
 * no new request, and is gone when its last one has ended.
 * The added wait of a request is the time from its arrival to its answer, less its duration
 * in the trace.
 * Pure: no I/O, no clock.  Thread: the owner. */
#ifndef AUTOSCALER_SIMULATE_SIM_FLEET_H
#define AUTOSCALER_SIMULATE_SIM_FLEET_H

#include "autoscaler/simulate/sim_instance.h"
#include "autoscaler/simulate/sim_wait.h"

struct sim_fleet_conf {
	uint32_t container_concurrency; /* 0: no limit */
	double capacity;
	uint32_t pace;	  /* 0: no limit */
	int64_t start_ns; /* from the start of an instance to its first answer */
};

/* Sums since the begin. */
struct sim_totals {
	uint64_t requests, completed, cold_starts;
	double flight_s, parked_s, instance_s; /* requests in flight, parked, and instances,
						* integrated over time */
	double latency_s;		       /* sum of the response times */
	uint32_t peak_instances;
	int64_t last_answer_ns;
	double last_answer_instance_s; /* instance_s at last_answer_ns */
};

struct sim_fleet; /* opaque */

NODISCARD struct sim_fleet *sim_fleet_new(const struct sim_fleet_conf *);
void sim_fleet_free(struct sim_fleet **);

/* Go on to now_ns, which is neither in the past nor beyond sim_fleet_next_ns(), and handle
 * what is due by then. */
void sim_fleet_advance(struct sim_fleet *, int64_t now_ns);
int64_t sim_fleet_next_ns(const struct sim_fleet *); /* INT64_MAX: nothing is due */

/* A request comes now: at the time of the last sim_fleet_advance(), as all that follows. */
void sim_fleet_request(struct sim_fleet *, const struct sim_request *);
/* Start or stop instances until n are not stopping: victims (ids, best first) first. */
void sim_fleet_scale(struct sim_fleet *, uint32_t n, const char *const *victims, size_t victims_n);
/* Give one instance, or all (id NULL), no new requests; or give them again. */
void sim_fleet_close(struct sim_fleet *, const char *id, bool is_closed);

uint32_t sim_fleet_parked(const struct sim_fleet *);
uint32_t sim_fleet_in_flight(const struct sim_fleet *);
uint32_t sim_fleet_open(const struct sim_fleet *);  /* instances that take requests */
uint32_t sim_fleet_ready(const struct sim_fleet *); /* instances that answer and do not stop */
size_t sim_fleet_n(const struct sim_fleet *);	    /* all instances */
const struct sim_instance *sim_fleet_at(const struct sim_fleet *, size_t i);
/* The highest number of requests in flight plus parked since the last call. */
uint32_t sim_fleet_take_peak(struct sim_fleet *);
/* Grows whenever an instance starts, answers, stops or is gone. */
uint64_t sim_fleet_changes(const struct sim_fleet *);
const struct sim_totals *sim_fleet_totals(const struct sim_fleet *);
const struct sim_wait *sim_fleet_waits(const struct sim_fleet *);

#endif
