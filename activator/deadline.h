/* deadline - the time limit that a request runs into next, but for activation_timeout of a PARKED
 * request, for which its revision has one timer (park.c).  Pure.  Thread: the worker's. */
#ifndef ACTIVATOR_DEADLINE_H
#define ACTIVATOR_DEADLINE_H

#include "activator/outcome.h"

struct xfer;

/* When the request runs into its next time limit, on clk_now()'s clock; INT64_MAX:
 * there is none.  *out is how that limit ends it; UPSTREAM_FAILED may be tried again. */
int64_t deadline_of(const struct xfer *x, enum outcome *out);
/* response_start_timeout is over. */
bool deadline_is_start_over(const struct xfer *);

#endif
