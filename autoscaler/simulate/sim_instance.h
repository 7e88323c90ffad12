/* sim_instance - one modelled instance and the requests that it works on.
 *
 * It works on all of them at once.  Up to `capacity` requests run at full speed; with more,
 * all of them share that speed.  So the instance has a time of its own, which runs slower
 * than the simulated time while the instance is overloaded: in its own time a request ends
 * a fixed while after it came, whatever comes later, and a heap ordered by that end is enough.
 * Pure: no I/O, no clock.  Thread: the owner. */
#ifndef AUTOSCALER_SIMULATE_SIM_INSTANCE_H
#define AUTOSCALER_SIMULATE_SIM_INSTANCE_H

#include "autoscaler/simulate/sim_trace.h"

enum sim_state { SIM_STARTING, SIM_READY, SIM_STOPPING };

struct sim_job {
	double end; /* in the instance's own time */
	struct sim_request request;
	int64_t sent_ns;
	bool is_paced; /* it was parked before */
};

struct sim_instance {
	char id[24];
	enum sim_state state;
	bool is_closed; /* drained: gets nothing new */
	uint32_t in_flight;
	int64_t started_ns;
	/* The rest is for sim_instance.c and sim_fleet.c alone. */
	double capacity;
	struct sim_job *jobs; /* a heap, by end; in_flight of them */
	size_t cap;
	uint32_t paced;	 /* jobs that were parked before */
	double own_ns;	 /* its own time … */
	int64_t at_ns;	 /* … at this simulated time */
	int64_t due_ns;	 /* when it answers for the first time, or the next request ends */
	size_t due_slot; /* its place among those that have something due (sim_fleet.c) */
};

NODISCARD struct sim_instance *sim_instance_new(uint64_t number, double capacity, int64_t now_ns);
void sim_instance_free(struct sim_instance **);

/* The instance answers from now on; before that it has no requests. */
void sim_instance_ready(struct sim_instance *, int64_t now_ns);
void sim_instance_add(struct sim_instance *, const struct sim_request *, bool is_paced,
		      int64_t now_ns);
/* Take out a request that has ended by now.  False: none has. */
bool sim_instance_take_ended(struct sim_instance *, int64_t now_ns, struct sim_job *);
/* When the next request ends if no other comes or ends before; INT64_MAX: there is none. */
int64_t sim_instance_next_ns(const struct sim_instance *);

#endif
