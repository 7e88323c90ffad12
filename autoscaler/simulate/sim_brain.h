/* sim_brain - the interface to the rules that decide in a simulation: our own (sim_ours) or
 * Knative's (sim_knative), for the same modelled instances.
 * Thread: the caller's. */
#ifndef AUTOSCALER_SIMULATE_SIM_BRAIN_H
#define AUTOSCALER_SIMULATE_SIM_BRAIN_H

#include "common/settings.h"

struct sim_fleet;

struct sim_brain {
	const struct sim_brain_class *class;
	struct sim_fleet *fleet;	  /* borrowed */
	const struct revision_conf *conf; /* borrowed */
	uint32_t max_instances;		  /* over all revisions; 0: none */
	bool is_restart; /* instances may run already, and the brain knows nothing */
};

struct sim_brain_class {
	/* How many parked requests an activator gives one instance at once; 0: all. */
	uint32_t (*pace)(const struct revision_conf *);
	struct sim_brain *(*open)(const struct sim_brain *, int64_t now_ns);
	void (*close)(struct sim_brain *);
	/* Decide, and scale the fleet.  To be called at next_ns(), and when instances changed or
	 * requests began or ceased to be parked. */
	void (*step)(struct sim_brain *, int64_t now_ns);
	int64_t (*next_ns)(struct sim_brain *);
	uint32_t (*wanted)(struct sim_brain *);
	const char *(*rule)(struct sim_brain *); /* that decided last */
};

extern const struct sim_brain_class sim_ours, sim_knative;

#endif
