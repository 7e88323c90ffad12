/* control - the autoscaler put together: lock, drivers, hub, reconcile, admin endpoint,
 * the clock's tick, and signals.  SIGTERM or SIGINT: an orderly stop, which ends all
 * instances of driver process; a second one leaves at once.  SIGHUP: the conf file is
 * read again; with a mistake in it nothing changes.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_CONTROL_H
#define AUTOSCALER_CONTROL_H

#include "common/err.h"

struct loop;
struct settings;

struct autoscaler; /* opaque; control.c */

/* Take the lock, open everything, begin.  settings is taken over (also on failure). */
NODISCARD struct autoscaler *control_open(struct loop *, struct settings **, struct err *);
/* After the loop has stopped. */
void control_close(struct autoscaler **);

#endif
