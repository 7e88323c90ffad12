/* sim_brain - who decides in a simulation: our own rules (sim_ours) or those of another
 * one (sim_knative), before the same modelled instances.
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
	bool is_restart;		  /* opened for what runs already, knowing nothing of it */
};

struct sim_brain_class {
	/* What an activator under it gives an instance at once of what has waited; 0: all. */
	uint32_t (*pace)(const struct revision_conf *);
	struct sim_brain *(*open)(const struct sim_brain *, int64_t now_ns);
	void (*close)(struct sim_brain *);
	/* To be called when its time has come, and whenever instances changed or somebody
	 * began to wait.  Scales the fleet. */
	void (*look)(struct sim_brain *, int64_t now_ns);
	int64_t (*next_ns)(struct sim_brain *);
	uint32_t (*wanted)(struct sim_brain *);
	const char *(*rule)(struct sim_brain *); /* that had the last word */
};

extern const struct sim_brain_class sim_ours, sim_knative;

#endif
