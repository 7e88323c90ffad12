/* announce - what activators are told of one revision: its instances, how many are wanted,
 * the target, and why requests that are parked cannot be served (messages `instances` and
 * `service`; DESIGN 7).  No I/O; the time is an argument.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_ANNOUNCE_H
#define AUTOSCALER_RECONCILE_ANNOUNCE_H

#include "autoscaler/reconcile/scaled.h"

/* Fill m.  Its array and failure are for announce_fini(); all texts are borrowed from the
 * revision. */
void announce_fill(const struct scaled_revision *, struct msg_instances *m, int64_t now_ns);
void announce_fini(struct msg_instances *m);

#endif
