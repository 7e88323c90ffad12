/* worker - one thread of the data plane: an event loop, a listener on each address
 * (SO_REUSEPORT), its connections, pools and counters.  Nothing on the path of a
 * request whose revision has a free slot leaves its thread.
 * Thread: all calls here are the main thread's; a worker's insides are its own
 * (worker_impl.h). */
#ifndef ACTIVATOR_WORKER_H
#define ACTIVATOR_WORKER_H

#include "activator/bounds.h"
#include "activator/revision.h"
#include "common/settings.h"

struct routes;
struct worker; /* opaque; worker_impl.h */

struct worker_ops {
	/* All run on the control loop. */
	/* A connection to it was refused or reset: it is set aside (SLOTS_UNREADY is set)
	 * and shall be probed.  A reference comes with it. */
	void (*on_refused)(struct instance *, void *arg);
	/* After worker_post_drain(): no connection is left. */
	void (*on_drained)(struct worker *, void *arg);
	/* Requests wait for a connection to inst while others' idle ones count: tell every
	 * worker (worker_post_shed()).  A reference comes with it. */
	void (*on_shed)(struct instance *, void *arg);
};

/* Opens the listeners.  index counts from 0; conf, bounds, ops, arg are borrowed. */
NODISCARD struct worker *worker_new(unsigned index, unsigned workers_n,
				    const struct activator_conf *, struct bounds *,
				    struct loop *control_loop, const struct worker_ops *, void *arg,
				    struct err *);
NODISCARD int worker_start(struct worker *, struct err *);
/* Stop the loop and join the thread; every connection is closed. */
void worker_stop(struct worker *);
void worker_free(struct worker **);

/* The new table, of which the worker keeps a reference.  The first one also routes
 * all that has been parked without one. */
void worker_post_routes(struct worker *, struct routes *);
/* The worker's copy of rev's instances; idle connections to those that are gone are
 * closed. */
void worker_post_set(struct worker *, struct revision *, struct instance_set *);
/* SIGTERM: stop accepting, `connection: close` on responses, close what is idle;
 * on_drained when nothing is left. */
void worker_post_drain(struct worker *);
/* The drain time is over: 503 shutting_down to what has no answer yet, cut the rest. */
void worker_post_end(struct worker *);
/* Close idle connections to inst. */
void worker_post_shed(struct worker *, struct instance *);

/* One period's figures of one revision at one worker. */
struct shard_period {
	struct revision *rev; /* a reference */
	double load_s;	      /* requests in flight and parked, over time … */
	double waiting_s;     /* … and what of it was parked */
	uint32_t peak, in_flight, parked;
	uint64_t requests, completed;
	double latency_s; /* sum over completed */
};
struct worker_period {
	struct worker *worker;
	int64_t period_ns;
	struct shard_period *v; /* revisions with anything to tell */
	size_t n;
};
/* Ask for the period since the last ask; fn runs on the control loop and owns the
 * answer (worker_period_free()). */
void worker_post_collect(struct worker *, void (*fn)(struct worker_period *, void *arg), void *arg);
void worker_period_free(struct worker_period **);

/* Counters of the worker as a whole; relaxed reads by the main thread. */
struct worker_counters {
	_Atomic uint64_t accepted, connections, connections_refused;
	_Atomic uint64_t upstream_connects, upstream_reuses, upstream_connections;
	_Atomic uint64_t outcomes[64]; /* by enum outcome (outcome.h) */
};
const struct worker_counters *worker_counters(const struct worker *);

#endif
