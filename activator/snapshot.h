/* snapshot - one worker's hold on a route table: the requests that were routed by it point
 * into it, and it is kept while any of them lives.  The table itself counts its workers
 * with atomics; within a worker a plain number is enough.  Thread: the worker's. */
#ifndef ACTIVATOR_SNAPSHOT_H
#define ACTIVATOR_SNAPSHOT_H

#include "activator/route.h"

struct snapshot {
	struct routes *routes; /* a reference */
	uint32_t users;	       /* requests, and the worker while it is the newest */
};

/* With one user.  Takes over the reference to routes. */
NODISCARD struct snapshot *snapshot_new(struct routes *routes);
struct snapshot *snapshot_ref(struct snapshot *);
void snapshot_unref(struct snapshot **); /* the last user frees it; *snapshot may be NULL */

#endif
