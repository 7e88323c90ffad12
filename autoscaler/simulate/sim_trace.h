/* sim_trace - a load, read step by step from a CSV file with one of three headers:
 * `start_ms,duration_ms`, a line for each request, sorted by start;
 * `minute,count,duration_ms`, where the requests of a minute come at random times within it,
 * the same in every run; or
 * `start_ms,clients,duration_ms,think_ms`, where from start_ms on there are so many clients, of
 * which each sends its next request think_ms after the answer to the last one (sim_load.h).
 * The file is never held in memory as a whole.
 * Thread: the caller's. */
#ifndef AUTOSCALER_SIMULATE_SIM_TRACE_H
#define AUTOSCALER_SIMULATE_SIM_TRACE_H

#include "common/err.h"

struct sim_trace; /* opaque */

struct sim_request {
	int64_t at_ns;	 /* when it comes, from the begin of the trace */
	int64_t work_ns; /* its duration at an instance that is not overloaded */
};

/* From at_ns on, so many clients. */
struct sim_clients {
	int64_t at_ns, work_ns, think_ns;
	uint32_t n;
};

/* NULL with err: "FILE: …", or "FILE:1: …" for a wrong header. */
NODISCARD struct sim_trace *sim_trace_open(const char *file, struct err *);
void sim_trace_close(struct sim_trace **);

/* Is it a trace of clients? */
bool sim_trace_has_clients(const struct sim_trace *);
/* Draw a random number in (0, 1]: the same ones in every run. */
double sim_trace_draw(struct sim_trace *);

/* Put the next request into *r: 1.  0: there is none.  -1 with err, "FILE:LINE: …": the line
 * is wrong. */
NODISCARD int sim_trace_next(struct sim_trace *, struct sim_request *, struct err *);
/* The same for a trace of clients.  Its last line has 0 of them. */
NODISCARD int sim_trace_next_clients(struct sim_trace *, struct sim_clients *, struct err *);

#endif
