/* simulate - what a conf file would have cost over a recorded load, and how long requests
 * would have waited: it takes the real decisions, on simulated time, for modelled instances.
 * It reads the trace and writes the timeline, and touches nothing else: no socket, no port,
 * no state_dir.
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
	const char *trace;    /* --simulate FILE; NULL: no simulation */
	const char *revision; /* --revision SERVICE/REVISION */
	const char *timeline; /* --timeline FILE; NULL: none */
	int64_t start_ns;     /* --start-time: how long an instance takes to start */
	bool is_knative;      /* --preset knative */
	bool is_compare;      /* --compare */
	const char *sweep;    /* --sweep KEY=VALUE,…; NULL: none */
	const char *svg;      /* --svg FILE, with --sweep */
	double wait_costs[8]; /* --wait-costs; none: 10 and 100 */
	size_t wait_costs_n;
	size_t from_day; /* --from-day, counted from 0 */
};

#define SIMULATE_START_NS INT64_C(1000000000) /* without --start-time */

/* Long options for daemon_args_parse(); simulate_option() fills in ctx, a simulate_args. */
extern const struct option simulate_options[];
NODISCARD int simulate_option(int val, const char *arg, void *ctx, struct err *);

/* Do the options go together?  -1 with err: one of them would have no effect. */
NODISCARD int simulate_check(const struct simulate_args *, struct err *);

/* Simulate, and put one JSON object into out.  -1 with err: a mistake in the arguments or in
 * the trace, or the timeline cannot be written. */
NODISCARD int simulate_run(const struct simulate_args *, const struct settings *,
			   struct strbuf *out, struct err *);

#endif
