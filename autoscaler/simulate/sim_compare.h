/* sim_compare - several simulations of one trace, side by side: the settings of the conf file, each
 * brain alone, Knative's rules and what could have been known in hindsight (sim_compare());
 * and one key with several values (sim_sweep()).
 * Thread: the caller's. */
#ifndef AUTOSCALER_SIMULATE_SIM_COMPARE_H
#define AUTOSCALER_SIMULATE_SIM_COMPARE_H

#include "autoscaler/simulate/sim_run.h"

struct strbuf;

#define SIM_WAIT_COSTS 8

struct sim_compare_conf {
	struct sim_run_conf run; /* run.class and run.timeline are not looked at */
	double wait_costs[SIM_WAIT_COSTS];
	size_t wait_costs_n;
	size_t from_day; /* days before it are simulated and not counted; 0: the first one */
};

/* Append one JSON object. */
NODISCARD int sim_compare(const struct sim_compare_conf *, struct strbuf *out, struct err *);

/* sweep: "KEY=VALUE,VALUE,…", a key of scaling.  Append a CSV table, and write the curve to the
 * file svg unless that is NULL. */
NODISCARD int sim_sweep(const struct sim_compare_conf *, const char *sweep, const char *svg,
			struct strbuf *out, struct err *);

#endif
