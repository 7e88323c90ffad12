/* park - requests that wait: in the queue of their revision, or for the first route table.
 * Such a request keeps its head, exact-sized, and what was read behind it.  One timer for each
 * revision and worker ends PARKED requests at their deadlines.  An UNROUTED request has the timer
 * of its connection (deadline.h).  Both count in bounds.h.
 * Thread: the worker's. */
#ifndef ACTIVATOR_PARK_H
#define ACTIVATOR_PARK_H

#include "common/base.h"

struct xfer;

/* The limiter has queued the request: PARKED.  xfer_hold() has counted it. */
void park_queued(struct xfer *);
/* No route table has come yet: UNROUTED.  The request is kept as it was read: buf[0..head_n) is
 * the head.  It is refused if the bounds are reached. */
void park_unrouted(struct xfer *, char *buf, size_t head_n);
/* A route table has come: NEW, so that conn_advance() reads the request again. */
void park_unrouted_end(struct xfer *);

#endif
