/* sim_load - the requests of a trace (sim_trace), one after the other, as they come.
 *
 * In an open loop they come when the trace says so, however long the answers take.  In a
 * closed loop there are clients: each sends a request, waits for its answer, thinks, and sends
 * the next one.  So less comes where answers take longer, and what waits tells how much
 * would come.  The times to think are random around the trace's (exponential), the same in
 * every run; a client that has just come begins with one.  When the trace has fewer clients,
 * those that are about to send a request leave.
 * Thread: the caller's. */
#ifndef AUTOSCALER_SIMULATE_SIM_LOAD_H
#define AUTOSCALER_SIMULATE_SIM_LOAD_H

#include "autoscaler/simulate/sim_trace.h"

struct sim_load; /* opaque */

/* Of the file of a trace.  NULL with err, as sim_trace_open(). */
NODISCARD struct sim_load *sim_load_open(const char *file, struct err *);
void sim_load_close(struct sim_load **);

/* So many requests were answered by now. */
void sim_load_answered(struct sim_load *, uint64_t n, int64_t now_ns);
/* Put a request that has come by now into *r: 1.  0: there is none.  -1 with err: a line is
 * wrong. */
NODISCARD int sim_load_take(struct sim_load *, int64_t now_ns, struct sim_request *r, struct err *);
/* When the next one comes, unless a request is answered before; INT64_MAX: not before. */
int64_t sim_load_next_ns(const struct sim_load *);
bool sim_load_is_over(const struct sim_load *); /* no more requests come */

#endif
