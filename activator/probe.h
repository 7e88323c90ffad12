/* probe - finds out when an instance answers: it tries a TCP connect, a GET, or the health check
 * of gRPC, at once and again until one succeeds.  It does not wait for the platform to find the
 * instance ready, which takes longer, unless the probe is `ready`: then only the platform says so.
 *
 * Time between two tries: while requests wait for the revision, 1/256 of the time since the
 * first try, so that probing adds less than half a percent to a start; otherwise 1 ms,
 * doubling.  In either case at least 1 ms and at most 100 ms, but never less than 0.2 ms for
 * each instance that is being probed: about 5,000 tries a second over all instances.  Tries at
 * the alternate address and second probes come at once.  A try lasts up to connect_timeout, and
 * for a question up to probe_timeout more, or up to what its probe_spec says; no other is made
 * beside it.  While an instance does not answer, a log line says why, less and less often.
 * At most 512 connections are open at a time; a quarter of them is kept for instances whose
 * last try did not time out.
 * Thread: main. */
#ifndef ACTIVATOR_PROBE_H
#define ACTIVATOR_PROBE_H

#include "common/base.h"

struct instance;
struct loop;
struct worker_conf;

struct prober; /* opaque */

struct prober_ops {
	/* Probing has succeeded, and the instance is open already.  Not called if the instance
	 * was opened because the platform calls it ready.  Never called from inside a prober_*()
	 * call. */
	void (*on_answers)(struct instance *, void *arg);
};

/* conf: for probes by TLS; a reference is taken.  NULL: there is no TLS.  The prober has the tail
 * hook of the loop. */
NODISCARD struct prober *prober_new(struct loop *, struct worker_conf *conf,
				    const struct prober_ops *, void *arg);
void prober_free(struct prober **);

/* inst->state, inst->probe_spec or the share of inst may have changed: probe inst, open it because
 * the platform found it ready, stop probing it, or (`ready`) close it until the platform calls it
 * ready.  An instance of which this activator has no share is not probed. */
void prober_watch(struct prober *, struct instance *);
/* inst has refused a connection and is closed by SLOTS_UNREADY: probe it until it answers,
 * even if the platform calls it ready.  An instance whose probe is `ready` is not probed while it
 * is starting; if the platform calls it ready, it is probed by a TCP connect. */
void prober_refused(struct prober *, struct instance *);
/* Stop probing inst. */
void prober_forget(struct prober *, struct instance *);

/* The time to the next try (pure), from the number of tries so far, the time since the first,
 * the number of instances that are being probed, and whether requests wait. */
int64_t prober_delay(unsigned tries, int64_t elapsed_ns, size_t probed, bool is_awaited);

size_t prober_probed(const struct prober *);   /* instances being probed */
uint64_t prober_probes(const struct prober *); /* tries since the start */

#endif
