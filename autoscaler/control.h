/* control - puts the autoscaler together: lock, drivers, services, reconciler, hub, admin
 * endpoint, the tick of each second, and signals.
 * SIGTERM or SIGINT: an orderly stop, in which the driver `process` stops all instances; a
 * second one exits at once.  SIGHUP: control_reload().  SIGUSR2: control_upgrade().
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_CONTROL_H
#define AUTOSCALER_CONTROL_H

#include "common/err.h"

struct loop;
struct settings;
struct settings_errors;

struct autoscaler; /* opaque */

/* Take the lock, open all parts, begin.  settings is taken over, also on failure.  argv: of this
 * process; borrowed. */
NODISCARD struct autoscaler *control_open(struct loop *, struct settings **, char *const *argv,
					  struct err *);
/* To be called after the loop has stopped.  True: relaunch_exec() is to follow. */
bool control_close(struct autoscaler **);

/* Let the binary on disk take this one's place: relaunch_begin(), which see. */
NODISCARD int control_upgrade(struct autoscaler *, void (*done)(const char *why, void *arg),
			      void *arg, struct err *);

/* Read the conf file again: reload_now(), which see. */
int control_reload(struct autoscaler *, const char *cause, struct settings_errors *errors);

#endif
