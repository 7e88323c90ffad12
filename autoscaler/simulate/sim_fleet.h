/* sim_fleet - modelled instances, and the activator before them, on simulated time.
 *
 * An instance answers `start_ns` after it was told to start.  It works on all that it was
 * given at once: up to `capacity` requests (target, utilisation not applied) each take as
 * long as the trace says, beyond that they share it.  It never has more than
 * container_concurrency.  What finds no room waits in the order in which it came; what
 * has waited is released at a pace of so many at once for each instance.  One that stops
 * gets nothing new and goes when it is empty.
 * The added wait of a request is what it took beyond its duration in the trace.
 * Pure: no I/O, no clock.  Thread: the owner. */
#ifndef AUTOSCALER_SIMULATE_SIM_FLEET_H
#define AUTOSCALER_SIMULATE_SIM_FLEET_H

#include "autoscaler/simulate/sim_instance.h"
#include "autoscaler/simulate/sim_wait.h"

struct sim_fleet_conf {
	uint32_t container_concurrency; /* 0: no limit */
	double capacity;
	uint32_t pace;	  /* 0: all that waits at once */
	int64_t start_ns; /* from the start of an instance to its first answer */
};

/* What has happened since the begin. */
struct sim_totals {
	uint64_t requests, completed, cold_starts;
	double flight_s, parked_s, latency_s,
		instance_s; /* integrals over time; sum of latencies */
	uint32_t peak_instances;
	int64_t last_answer_ns;
	double last_answer_instance_s; /* instance_s when it was given */
};

struct sim_fleet; /* opaque */

NODISCARD struct sim_fleet *sim_fleet_new(const struct sim_fleet_conf *);
void sim_fleet_free(struct sim_fleet **);

/* Time goes on to now; whatever is due by then happens.  Not back, and not beyond
 * sim_fleet_next_ns(). */
void sim_fleet_advance(struct sim_fleet *, int64_t now_ns);
int64_t sim_fleet_next_ns(const struct sim_fleet *); /* INT64_MAX: nothing is under way */

/* The rest is at the time that was advanced to. */
void sim_fleet_request(struct sim_fleet *, const struct sim_request *);
/* Have n instances that are not stopping.  Victims (ids, best first) go before others. */
void sim_fleet_scale(struct sim_fleet *, uint32_t n, const char *const *victims, size_t victims_n);
/* Give one instance, or all (id NULL), nothing new; or give it again. */
void sim_fleet_close(struct sim_fleet *, const char *id, bool is_closed);

uint32_t sim_fleet_parked(const struct sim_fleet *);
uint32_t sim_fleet_in_flight(const struct sim_fleet *);
uint32_t sim_fleet_open(const struct sim_fleet *);  /* instances that take requests */
uint32_t sim_fleet_ready(const struct sim_fleet *); /* that answer, and do not stop */
size_t sim_fleet_n(const struct sim_fleet *);	    /* instances that there are */
const struct sim_instance *sim_fleet_at(const struct sim_fleet *, size_t i);
/* Highest number in flight and parked since the last call. */
uint32_t sim_fleet_take_peak(struct sim_fleet *);
/* Grows whenever an instance comes, answers, stops or goes. */
uint64_t sim_fleet_changes(const struct sim_fleet *);
const struct sim_totals *sim_fleet_totals(const struct sim_fleet *);
const struct sim_wait *sim_fleet_waits(const struct sim_fleet *);

#endif
