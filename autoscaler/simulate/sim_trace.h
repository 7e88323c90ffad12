/* sim_trace - a recorded (or made up) load, read request by request from a CSV file:
 * `start_ms,duration_ms`, one request a line, sorted; or `minute,count,duration_ms`, where
 * the requests of a minute come at random within it, the same ones in every run.
 * The file is read as it goes: a day of ten million requests needs no memory.
 * Thread: the caller's. */
#ifndef AUTOSCALER_SIMULATE_SIM_TRACE_H
#define AUTOSCALER_SIMULATE_SIM_TRACE_H

#include "common/err.h"

struct sim_trace; /* opaque */

struct sim_request {
	int64_t at_ns;	 /* when it comes, since the begin of the trace */
	int64_t work_ns; /* how long an instance that is not overloaded takes for it */
};

/* NULL with err, which begins with the file's name, and the line of a wrong header. */
NODISCARD struct sim_trace *sim_trace_open(const char *file, struct err *);
void sim_trace_close(struct sim_trace **);

/* The next request.  1: here it is; 0: there is none; -1: a mistake, with
 * "FILE:LINE: …" in err. */
NODISCARD int sim_trace_next(struct sim_trace *, struct sim_request *, struct err *);

#endif
