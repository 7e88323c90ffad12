/* simulate - what a conf file would have cost, and whom it would have made wait, over a
 * recorded load: the same decisions, on simulated time, against modelled instances.
 * Touches no socket, port, directory or state; reads the trace, writes the timeline.
 * Thread: main, alone.
 *
 * Room: autoscaler/simulate replays recorded traffic against the brain on simulated time.  It
 * may use the brain, the reconciler's pure parts and common/, and never touches a socket,
 * a port or the state of a running autoscaler. */
#ifndef AUTOSCALER_SIMULATE_SIMULATE_H
#define AUTOSCALER_SIMULATE_SIMULATE_H

#include <getopt.h>

#include "common/err.h"

struct settings;
struct strbuf;

struct simulate_args {
	const char *trace;    /* --simulate FILE; NULL: not asked for */
	const char *revision; /* --revision SERVICE/REVISION */
	const char *timeline; /* --timeline FILE; NULL: none */
	int64_t start_ns;     /* --start-time: of an instance */
	bool is_knative;      /* --preset knative */
};

#define SIMULATE_START_NS INT64_C(1000000000) /* where the command line does not say */

/* Long options for daemon_args_parse(), which fill in a struct simulate_args as ctx. */
extern const struct option simulate_options[];
NODISCARD int simulate_option(int val, const char *arg, void *ctx);

/* One JSON object in out.  -1 with err: a mistake in the arguments or in the trace, or a
 * timeline that cannot be written. */
NODISCARD int simulate_run(const struct simulate_args *, const struct settings *,
			   struct strbuf *out, struct err *);

#endif
