/* sim_hindsight - what the requests of a trace would have cost at least, knowing all of them: by
 * the best fixed policy, and without any mistake (a clairvoyant).
 *
 * The k-th instance is in use while more than k - 1 times its capacity of requests are in
 * progress, if none ever waits.  Between two such uses it has an idle time.  A fixed policy treats
 * all idle times alike: an instance is ready again back_after_s after the last use, and stays until
 * kept_s after it.  A clairvoyant keeps the instance, or stops it and starts it just in time,
 * whichever is less.  The first start of each instance, and the waiting for it, count for both.
 * Thread: the caller's. */
#ifndef AUTOSCALER_SIMULATE_SIM_HINDSIGHT_H
#define AUTOSCALER_SIMULATE_SIM_HINDSIGHT_H

#include "autoscaler/simulate/sim_run.h"

struct sim_hindsight; /* opaque */

/* capacity: requests at once of one instance.  Only what happens from from_day on counts (0: the
 * first).  NULL with err: a mistake in the trace. */
NODISCARD struct sim_hindsight *sim_hindsight_open(const char *trace, double capacity,
						   double start_s, size_t from_day, struct err *);
void sim_hindsight_close(struct sim_hindsight **);

size_t sim_hindsight_days_n(const struct sim_hindsight *); /* of the trace */

struct sim_policy {
	double back_after_s, kept_s; /* kept_s INFINITY: for ever */
};
/* The policy that costs least, if a second of waiting is worth wait_cost instance-seconds. */
struct sim_policy sim_hindsight_best(const struct sim_hindsight *, double wait_cost);
/* What it costs on each of n days; NULL: the clairvoyant. */
void sim_hindsight_days(const struct sim_hindsight *, const struct sim_policy *,
			struct sim_amount *days, size_t n);

#endif
