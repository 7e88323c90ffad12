/* control - the activator's main thread: starts the workers, connects registry, prober and
 * the link to the autoscaler with one another, and answers signals and the admin endpoint.
 * Thread: main. */
#ifndef ACTIVATOR_CONTROL_H
#define ACTIVATOR_CONTROL_H

#include "common/settings.h"

struct loop;
struct activator;
struct audit_by;
struct takeover;

/* Starts everything; the caller runs the loop.  Takes the settings over.  argv: of this process;
 * takeover: NULL: no upgrade has started it.  Both are borrowed. */
NODISCARD struct activator *control_open(struct loop *, struct settings **, char *const *argv,
					 struct takeover *takeover, struct err *);
/* After the loop has stopped.  Returns the exit status. */
int control_close(struct activator **);

/* Read the conf file again: reload_now(), which see. */
int control_reload(struct activator *, const struct audit_by *, struct settings_errors *errors);

/* Let the binary on disk take over: upgrade_begin(), which see. */
NODISCARD int control_upgrade(struct activator *, const struct audit_by *,
			      void (*done)(const char *why, void *arg), void *arg, struct err *);

#endif
