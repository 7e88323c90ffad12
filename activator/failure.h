/* failure - why a revision cannot be started, as the autoscaler says it.  Immutable and counted
 * by references: a worker may still answer with its text when the main thread has replaced it.
 * Thread: any. */
#ifndef ACTIVATOR_FAILURE_H
#define ACTIVATOR_FAILURE_H

#include <stdatomic.h>

#include "common/base.h"

struct msg_failure;

struct failure {
	_Atomic uint32_t refs;
	char *reason, *message;
	int64_t until_ns; /* clk_now() at which the back-off is over */
	bool is_parking;  /* requests stay parked, because the cause may pass by itself */
	bool is_gone;	  /* the service was removed: there is no route */
};

/* A copy of the message, with one reference. */
NODISCARD struct failure *failure_new(const struct msg_failure *, int64_t now_ns);
struct failure *failure_ref(struct failure *); /* NULL: NULL */
void failure_unref(struct failure **);	       /* the last reference frees */

/* Is a request that comes now to be refused because of f?  NULL: there is no failure. */
bool failure_is_refusing(const struct failure *f, int64_t now_ns);

#endif
