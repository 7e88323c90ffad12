/* reload - the conf file, read again while we run.  With a mistake in it, or a change
 * that only a restart can make, nothing changes and the log says why.
 * Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_RELOAD_H
#define AUTOSCALER_RELOAD_H

#include "common/base.h"

struct settings;

/* Read file; current: what holds now.  The new settings, the caller's; NULL: to be
 * kept as it is, and logged. */
NODISCARD struct settings *reload_read(const char *file, const struct settings *current);

#endif
