/* park - requests that wait: in the queue of their revision, or for the first route table.
 * What is parked keeps its head exact-sized and what was read behind it, and counts in the
 * bounds.  One timer per revision and worker ends what has waited to its deadline.
 * Thread: the worker's. */
#ifndef ACTIVATOR_PARK_H
#define ACTIVATOR_PARK_H

#include "common/base.h"

struct conn;

/* PARKED: the limiter has queued it.  It is held (xfer_hold()). */
void park_queued(struct conn *);
/* UNROUTED: no route table has come yet.  It is kept as it was read: buf[0..head_n), and
 * c->in behind it.  Refused where a bound does not allow it. */
void park_unrouted(struct conn *, char *buf, size_t head_n);
/* UNROUTED: a route table has come.  IDLE: conn_advance() reads it again. */
void park_unrouted_end(struct conn *);

#endif
