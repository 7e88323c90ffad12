/* control - the activator's main thread: starts the workers, connects registry, prober and
 * the link to the autoscaler with one another, and answers signals and the admin endpoint.
 * Thread: main. */
#ifndef ACTIVATOR_CONTROL_H
#define ACTIVATOR_CONTROL_H

#include "common/settings.h"

struct loop;
struct activator;

/* Starts everything; the caller runs the loop.  Takes the settings over. */
NODISCARD struct activator *control_open(struct loop *, struct settings **, struct err *);
/* After the loop has stopped. */
void control_close(struct activator **);

/* Read the conf file again: reload_now(), which see. */
int control_reload(struct activator *, const char *cause, struct settings_errors *errors);

#endif
