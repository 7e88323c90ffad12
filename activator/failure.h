/* failure - the autoscaler's message that a revision cannot be started: immutable and
 * counted by references, so that a worker may answer with its text after the main thread
 * has replaced it.  Thread: any. */
#ifndef ACTIVATOR_FAILURE_H
#define ACTIVATOR_FAILURE_H

#include <stdatomic.h>

#include "common/base.h"

struct msg_failure;

struct failure {
	_Atomic uint32_t refs;
	char *reason, *message;
	int64_t until_ns; /* clk_now() at which the back-off is over */
	bool is_parking;  /* requests stay parked: what is in the way may pass by itself */
};

/* A copy of what the link brought, with one reference. */
NODISCARD struct failure *failure_new(const struct msg_failure *, int64_t now_ns);
struct failure *failure_ref(struct failure *); /* NULL stays NULL */
void failure_unref(struct failure **);	       /* the last reference frees */

/* Is a request that comes now refused for it?  f may be NULL: no failure. */
bool failure_is_refusing(const struct failure *f, int64_t now_ns);

#endif
