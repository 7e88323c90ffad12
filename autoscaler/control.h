/* control - puts the autoscaler together: lock, drivers, services, reconciler, hub, admin
 * endpoint, the tick of each second, and signals.
 * SIGTERM or SIGINT: an orderly stop, in which the driver `process` stops all instances; a
 * second one exits at once.  SIGHUP: reload_now().  SIGUSR2: relaunch_begin().
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_CONTROL_H
#define AUTOSCALER_CONTROL_H

#include "common/err.h"

struct loop;
struct settings;

struct autoscaler; /* opaque */

/* Take the lock, open all parts, begin.  settings is taken over, also on failure.  argv: of this
 * process; borrowed. */
NODISCARD struct autoscaler *control_open(struct loop *, struct settings **, char *const *argv,
					  struct err *);
/* To be called after the loop has stopped.  True: relaunch_exec() is to follow. */
bool control_close(struct autoscaler **);

#endif
