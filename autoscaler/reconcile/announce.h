/* announce - what is sent to activators of one revision: its instances, how many are wanted, the
 * target, and why no instance can be started (activator-protocol(7): `instances`, `service`).
 * No I/O; the time is an argument.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RECONCILE_ANNOUNCE_H
#define AUTOSCALER_RECONCILE_ANNOUNCE_H

#include "autoscaler/reconcile/scaled.h"

/* Fill m; announce_fini() frees what it allocates.  The texts are borrowed from the revision. */
void announce_fill(const struct scaled_revision *, struct msg_instances *m, int64_t now_ns);
void announce_fini(struct msg_instances *m);

#endif
