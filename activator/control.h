/* control - the activator's main thread: makes the workers, ties world, prober and link
 * together, answers signals and the admin endpoint.  Thread: main. */
#ifndef ACTIVATOR_CONTROL_H
#define ACTIVATOR_CONTROL_H

#include "common/settings.h"

struct loop;
struct activator;

/* Everything but running the loop; settings are borrowed until control_close(). */
NODISCARD struct activator *control_open(struct loop *, const struct settings *, struct err *);
/* After the loop has stopped. */
void control_close(struct activator **);

#endif
