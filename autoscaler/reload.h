/* reload - reads the conf file again while the autoscaler runs.  If the file has a mistake, or
 * changes a key that only a restart can change, it logs why and nothing changes.  A change that
 * needs a restart of the activator is a warning.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RELOAD_H
#define AUTOSCALER_RELOAD_H

#include "common/base.h"

struct settings;
struct settings_errors;

/* Read file; current: the settings in effect.  Returns the new settings, the caller's; NULL:
 * keep the current ones, the reasons are logged, and errors has a line for each. */
NODISCARD struct settings *reload_read(const char *file, const struct settings *current,
				       struct settings_errors *errors);

#endif
