/* sim_hindsight - what the requests of a trace would have cost at least, knowing all of them: by
 * the best fixed policy, and without any mistake (a clairvoyant).
 *
 * The k-th instance is in use while more than k - 1 times its capacity of requests are in
 * progress.  Between two such uses it has an idle time.  A fixed policy treats all idle times
 * alike: an instance is ready again back_after_s after the last use, and stays until kept_s after
 * it.  If the instance is not there at the end of an idle time, it starts then, and all requests
 * that come to it before it is ready wait for it; their work is done after that, so that the next
 * idle time is shorter.  A clairvoyant keeps the instance, or stops it and starts it just in time,
 * whichever is less.  The first start of each instance, and the waiting for it, count for both.
 * So does the waiting of requests for each other while all instances that are allowed are in use.
 * What an instance costs after its last use does not count.
 * Thread: the caller's. */
#ifndef AUTOSCALER_SIMULATE_SIM_HINDSIGHT_H
#define AUTOSCALER_SIMULATE_SIM_HINDSIGHT_H

#include "autoscaler/simulate/sim_run.h"

struct sim_hindsight; /* opaque */

struct sim_hindsight_conf {
	const char *trace;	 /* borrowed for the call */
	double capacity;	 /* requests at once of one instance */
	uint32_t instances_most; /* 0: no limit */
	int64_t start_ns;
	size_t from_day; /* the best policy is that of the days from this one on; 0: the first */
};

/* NULL with err: a mistake in the trace. */
NODISCARD struct sim_hindsight *sim_hindsight_open(const struct sim_hindsight_conf *, struct err *);
void sim_hindsight_close(struct sim_hindsight **);

size_t sim_hindsight_days_n(const struct sim_hindsight *); /* of the trace */

struct sim_policy {
	double back_after_s; /* up to the time of a start, the instance is not stopped */
	double kept_s;	     /* INFINITY: for ever */
};
/* The policy that costs least, if a second of waiting is worth wait_cost instance-seconds. */
struct sim_policy sim_hindsight_best(const struct sim_hindsight *, double wait_cost);
/* What it costs on each of n days, at least one; NULL: the clairvoyant.  What happens after the
 * n-th day counts for that day. */
void sim_hindsight_days(const struct sim_hindsight *, const struct sim_policy *,
			struct sim_amount *days, size_t n);

#endif
