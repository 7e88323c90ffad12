/* cold - a cold start taken apart: one log line, a histogram of each phase, and the
 * server-timing field of its response.  Thread: the worker's. */
#ifndef ACTIVATOR_COLD_H
#define ACTIVATOR_COLD_H

#include "activator/activation.h"

struct xfer;

#define COLD_TIMING 256 /* room for cold_timing() */

/* How long each phase took for this request, whose response head comes now. */
void cold_phases(const struct xfer *, int64_t ns[COLD_PHASES_N]);
/* The first response head after a cold start has come: log and count its phases. */
void cold_note(struct xfer *);
/* The value of server-timing in text, or NULL where the response gets none. */
const char *cold_timing(const struct xfer *, char text[COLD_TIMING]);

#endif
