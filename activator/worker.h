/* worker - one thread of the data plane: its event loop, listening sockets (SO_REUSEPORT),
 * connections, pools and counters.  A request whose revision has a free slot never leaves
 * the thread that accepted its connection.
 * Thread: main makes all of these calls.  worker_post_*() post mail to the worker's loop and
 * return at once; what only the worker's thread touches stands in worker_impl.h. */
#ifndef ACTIVATOR_WORKER_H
#define ACTIVATOR_WORKER_H

#include <stdatomic.h>

#include "common/err.h"

struct access_log;
struct bounds;
struct instance;
struct instance_set;
struct loop;
struct listen_set;
struct revision;
struct routes;
struct request_counts;
struct tally;
struct tls_counters;
struct tls_state;
struct worker; /* opaque; worker_impl.h */
struct worker_conf;

/* What a worker reports; all run on the control loop.  An instance comes with a reference,
 * which the callee drops. */
struct worker_ops {
	/* The instance refused a connection or reset one.  No request goes to it any more
	 * (SLOTS_UNREADY is set): it is to be probed. */
	void (*on_refused)(struct instance *, void *arg);
	/* The first response of the instance has begun. */
	void (*on_served)(struct instance *, void *arg);
	/* After worker_post_drain(): the last connection has ended. */
	void (*on_drained)(struct worker *, void *arg);
	/* A request waits for a connection to the instance, whose limit idle connections use
	 * up: every worker is to close its own (worker_post_shed()). */
	void (*on_shed)(struct instance *, void *arg);
};

/* index counts from 0; bounds, ops, arg are borrowed; the worker takes a reference to the conf. */
NODISCARD struct worker *worker_new(unsigned index, unsigned workers_n, struct worker_conf *,
				    struct bounds *, struct loop *control_loop,
				    const struct worker_ops *, void *arg, struct err *);
/* Before worker_start(): put lines there for the access log, and spans for the collector (NULL:
 * there is none); both outlive the worker. */
void worker_set_access_log(struct worker *, struct access_log *, struct access_log *spans);
/* Accept connections at the addresses of the set. */
void worker_post_listen(struct worker *, const struct listen_set *);
NODISCARD int worker_start(struct worker *, struct err *);
/* Stop the loop, join the thread, and close every connection.  What the worker reports by that
 * is mail on the control loop which refers to the worker: let it arrive (loop_settle()) before
 * worker_free(). */
void worker_stop(struct worker *);
/* Of a worker that is stopped, or was never started. */
void worker_free(struct worker **);

/* Route by this table from now on; the worker takes a reference.  Requests that came before
 * the first table are routed now, and so are parked ones whose revision gets no more requests
 * (reroute.h).  Then on_swapped(arg) runs on the control loop, unless it is NULL. */
void worker_post_routes(struct worker *, struct routes *, void (*on_swapped)(void *arg), void *arg);
/* Use these instances of rev from now on; idle connections to others are closed. */
void worker_post_set(struct worker *, struct revision *, struct instance_set *);
/* TLS handshakes use this from now on; the worker takes a reference.  Also before worker_start().
 */
void worker_post_tls(struct worker *, struct tls_state *);
/* SIGTERM: stop accepting, close what is idle, and answer what is under way with
 * `connection: close`; on_drained when all connections have ended. */
void worker_post_drain(struct worker *);
/* Another process accepts from now on: accept no more, and answer with `connection: close`;
 * on_drained when all connections have ended.  Idle connections stay until their next response, or
 * until worker_post_drain(). */
void worker_post_replaced(struct worker *);
/* The drain time is over: end both sides of upgraded requests. */
void worker_post_end_tunnels(struct worker *);
/* The drain time is over: refuse requests that have no response yet (503 shutting_down), and
 * cut off all others. */
void worker_post_end(struct worker *);
/* Close idle connections to inst. */
void worker_post_shed(struct worker *, struct instance *);
/* Is the worker alive?  fn runs on the control loop once the worker has answered. */
void worker_post_echo(struct worker *, void (*fn)(void *arg), void *arg);

/* Figures of one revision at one worker, over a period. */
struct shard_period {
	struct revision *rev; /* a reference */
	double load_s;	      /* integral of requests in flight and parked over time */
	double waiting_s;     /* integral of the parked ones alone */
	uint32_t peak, in_flight, parked;
	uint64_t requests, completed;
	double latency_s;	       /* sum over the completed requests */
	struct tally *tally;	       /* of what has ended, to be freed; NULL: nothing */
	struct request_counts *counts; /* to be freed; NULL: nothing */
	struct cold_start *cold_start; /* the last one, to be freed; NULL: there was none */
};
struct worker_period {
	struct worker *worker;
	int64_t period_ns;
	struct shard_period *v; /* of revisions that had requests */
	size_t n;
};
/* Collect the figures since the last collection.  fn runs on the control loop and owns what
 * it gets (worker_period_free()). */
void worker_post_collect(struct worker *, void (*fn)(struct worker_period *, void *arg), void *arg);
void worker_period_free(struct worker_period **);

/* Why a connection of HTTP/2 ended: X(id, label of the metric). */
#define H2_ENDS(X)                                                                                 \
	X(CLIENT, "client")	  /* its client has closed it, or is gone */                       \
	X(IDLE, "idle")		  /* idle_timeout, or requests_per_connection */                   \
	X(DRAIN, "drain")	  /* the activator shuts down */                                   \
	X(PROTOCOL, "protocol")	  /* its client has broken the rules of HTTP/2 */                  \
	X(FLOOD, "flood")	  /* too many resets, acknowledgements or CONTINUATION frames */   \
	X(GLITCHES, "glitches")	  /* h2_glitches were used up */                                   \
	X(ABANDONED, "abandoned") /* h2_abandoned was reached */                                   \
	X(STALLED, "stalled")	  /* a head or a write made no progress for too long */            \
	X(MEMORY, "memory")	  /* max_stream_bytes was reached when it began */
enum h2_ended {
#define X(id, label) H2_ENDED_##id,
	H2_ENDS(X)
#undef X
		H2_ENDED_N
};

/* Why a connection of HTTP/2 to an instance ended: X(id, label of the metric). */
#define UPSTREAM_ENDS(X)                                                                           \
	X(IDLE, "idle")		/* upstream_idle_timeout, or of no more use */                     \
	X(INSTANCE, "instance") /* the instance has closed it, or is gone */                       \
	X(GOAWAY, "goaway")	/* the instance takes no more requests on it */                    \
	X(CONNECT, "connect")	/* it could not be opened */                                       \
	X(PROTOCOL, "protocol") /* the instance has broken the rules of HTTP/2 */                  \
	X(FLOOD, "flood")	/* too many frames that have to be answered */                     \
	X(SILENT, "silent")	/* a PING was not answered within abort_timeout */
enum upstream_ended {
#define X(id, label) UPSTREAM_ENDED_##id,
	UPSTREAM_ENDS(X)
#undef X
		UPSTREAM_ENDED_N
};

/* Counters of the worker as a whole; main reads them, relaxed. */
struct worker_counters {
	_Atomic uint64_t accepted, connections, connections_refused;
	_Atomic uint64_t upstream_connects, upstream_reuses, upstream_connections;
	_Atomic uint64_t tunnels_cut; /* by a drain that lasted for drain_timeout */
	_Atomic uint64_t upstream_handshakes, upstream_resumptions, upstream_handshake_failures;
	_Atomic uint64_t outcomes[64];	    /* by enum outcome (outcome.h) */
	_Atomic uint64_t proxy_headers[16]; /* by enum accept_header (accept.h) */
	_Atomic uint64_t h2_connections, h2_glitches;
	_Atomic uint64_t h2_ended[H2_ENDED_N];
	_Atomic uint64_t upstream_h2_connections, upstream_refused;
	_Atomic uint64_t upstream_ended[UPSTREAM_ENDED_N];
};
const struct worker_counters *worker_counters(const struct worker *);
/* As exemplars_collect(), of those that the worker has. */
struct metric_exemplar;
void worker_collect_exemplars(const struct worker *, uint64_t series, struct metric_exemplar *);
/* The conf has certificates. */
const struct tls_counters *worker_tls_counters(const struct worker *);

#endif
