/* sim_run - one simulation: one trace, by one set of rules and settings, from the first request
 * until the last instance is gone.
 * Reads the trace and writes the timeline, and touches nothing else.  Thread: the caller's; one
 * simulation at a time, as the clock is replaced. */
#ifndef AUTOSCALER_SIMULATE_SIM_RUN_H
#define AUTOSCALER_SIMULATE_SIM_RUN_H

#include "autoscaler/simulate/sim_brain.h"
#include "autoscaler/simulate/sim_fleet.h"
#include "common/err.h"

struct sim_run_conf { /* all borrowed */
	const char *trace;
	const char *timeline; /* a file to be written; NULL: none */
	const struct sim_brain_class *class;
	const struct revision_conf *revision;
	uint32_t max_instances; /* 0: none */
	int64_t start_ns;	/* how long an instance takes to start */
};

/* What instances and waiting come to. */
struct sim_amount {
	double instance_s, waited_s;
};

struct sim_outcome {
	struct sim_totals totals;
	struct sim_wait waits;
	uint64_t decisions;
	struct sim_amount *days; /* of the trace, from its begin */
	size_t days_n;
};

/* -1 with err: a mistake in the trace, or a file that cannot be read or written.  In any case o is
 * to be given to sim_outcome_fini(). */
NODISCARD int sim_run(const struct sim_run_conf *, struct sim_outcome *o, struct err *);
void sim_outcome_fini(struct sim_outcome *);

/* How many requests at once an instance works on at full speed. */
double sim_capacity(const struct revision_conf *);

#endif
