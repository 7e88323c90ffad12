/* control - puts the autoscaler together: lock, drivers, services, reconciler, hub, admin
 * endpoint, the tick of each second, and signals.
 * SIGTERM or SIGINT: an orderly stop, in which the driver `process` stops all instances; a
 * second one exits at once.  SIGHUP: control_reload().
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_CONTROL_H
#define AUTOSCALER_CONTROL_H

#include "common/err.h"

struct loop;
struct settings;
struct settings_errors;

struct autoscaler; /* opaque */

/* Take the lock, open all parts, begin.  settings is taken over, also on failure. */
NODISCARD struct autoscaler *control_open(struct loop *, struct settings **, struct err *);
/* To be called after the loop has stopped. */
void control_close(struct autoscaler **);

/* Read the conf file again: reload_now(), which see. */
int control_reload(struct autoscaler *, const char *cause, struct settings_errors *errors);

#endif
