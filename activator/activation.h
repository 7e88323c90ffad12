/* activation - when the phases of a revision's activation ended.  The log line of a cold start,
 * its histograms and its server-timing are made of these times.
 * Thread: the main thread writes, workers read, relaxed: a time that is seen late only moves
 * some of it from one phase to the next. */
#ifndef ACTIVATOR_ACTIVATION_H
#define ACTIVATOR_ACTIVATION_H

#include <stdatomic.h>

#include "common/base.h"
#include "common/cold_phases.h"

/* clk_now() at which the first four phases of the newest activation ended; 0: not yet. */
struct activation {
	_Atomic int64_t signalled_ns, acked_ns, addressed_ns, connected_ns;
};

/* A cold start, as the first request that waited for it saw it. */
struct cold_start {
	int64_t end_ns; /* clk_now() when its response head came */
	int64_t phases_ns[COLD_PHASES_N];
};

/* A new activation begins.  If there is an instance already, the phase of the address is over. */
void activation_begin(struct activation *, bool has_instance);
/* A phase has ended now, unless it had ended before. */
void activation_stamp(_Atomic int64_t *end_ns);

#endif
