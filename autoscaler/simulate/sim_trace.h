/* sim_trace - a load, read request by request from a CSV file with one of two headers:
 * `start_ms,duration_ms`, a line for each request, sorted by start; or
 * `minute,count,duration_ms`, where the requests of a minute come at random times within it,
 * the same in every run.  The file is never held in memory as a whole.
 * Thread: the caller's. */
#ifndef AUTOSCALER_SIMULATE_SIM_TRACE_H
#define AUTOSCALER_SIMULATE_SIM_TRACE_H

#include "common/err.h"

struct sim_trace; /* opaque */

struct sim_request {
	int64_t at_ns;	 /* when it comes, from the begin of the trace */
	int64_t work_ns; /* its duration at an instance that is not overloaded */
};

/* NULL with err: "FILE: …", or "FILE:1: …" for a wrong header. */
NODISCARD struct sim_trace *sim_trace_open(const char *file, struct err *);
void sim_trace_close(struct sim_trace **);

/* Put the next request into *r: 1.  0: there is none.  -1 with err, "FILE:LINE: …": the line
 * is wrong. */
NODISCARD int sim_trace_next(struct sim_trace *, struct sim_request *, struct err *);

#endif
