/* revision - what all workers share of one revision: its instances with their slots, and
 * its queue of parked requests.  The objects and their lifetimes; what is done with slots
 * and queue stands in limiter.h.
 * Thread: each block of members says whose it is. */
#ifndef ACTIVATOR_REVISION_H
#define ACTIVATOR_REVISION_H

#include <pthread.h>
#include <stdatomic.h>

#include "activator/activation.h"
#include "activator/slots.h"
#include "common/addr.h"
#include "common/list.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metric.h"
#include "common/msg.h"

struct failure;

/* What a revision's requests are held to, as the autoscaler described it: immutable, with
 * references, so that the revision's newest and the route tables share one object. */
struct revision_limits {
	_Atomic uint32_t refs;
	struct limits v;
};

/* One worker's idle connections to one instance; the worker's alone. */
struct instance_pool {
	struct list idle; /* of struct upstream, most recently used first */
} __attribute__((aligned(64)));

struct instance {
	/* immutable after instance_new() */
	struct revision *rev; /* a reference */
	char *id;
	struct addr addr;
	char address_text[ADDR_TEXT]; /* "127.0.0.1:20001", for log lines */
	struct log_tag tag;

	/* atomics */
	_Atomic uint32_t refs;		 /* lists, sets, connections, grants under way */
	_Atomic uint64_t slots;		 /* slots.h: why it is closed, limit, count */
	_Atomic uint32_t permits_waited; /* entries of permit_queue */
	_Atomic int64_t busy_until;	 /* x-activator-busy: clk_now() until when; 0: none */

	/* rev->lock */
	uint32_t conns;		  /* connections open or being opened (limit > 0) */
	struct list permit_queue; /* of struct waiter: slot held, waits for a connection */
	uint32_t paced;		  /* released from the queue, response head not seen */

	/* main thread: world.c, probe.c */
	struct list_node node; /* in rev->instances */
	void *probe;	       /* the prober's own; NULL: not probed */
	char *probe_spec;      /* as msg_instance.probe; NULL: as the limits say */
	enum instance_state state;
	bool is_listed;	   /* in the newest `instances` */
	bool is_answering; /* what was last reported to the autoscaler */
	bool is_set_aside; /* refused a connection, and has not answered since */

	struct instance_pool *pools; /* one for each worker */
};

/* What a worker's fast path looks through: immutable, refcounted. */
struct instance_set {
	_Atomic uint32_t refs;
	uint32_t n;
	struct instance *v[]; /* references */
};

/* One worker's part of a revision.  The worker's alone; the main thread reads the
 * metrics, relaxed. */
struct shard {
	struct revision *rev;		  /* whose this is */
	struct list_node node;		  /* in its worker's list of live shards */
	struct instance_set *set;	  /* what the fast path looks through; a reference */
	struct list parked;		  /* of struct xfer, by deadline */
	struct loop_timer deadline_timer; /* of the first of parked */
	bool has_timer;			  /* deadline_timer is initialised */

	/* the period that runs */
	_Atomic uint32_t in_flight, parked_n; /* read by /status, too */
	uint32_t peak;
	double integral_ns; /* of in_flight + parked_n over time … */
	double waiting_ns;  /* … and of parked_n alone */
	int64_t period_start_ns, changed_ns;
	uint64_t period_requests, period_completed;
	double period_latency_s;

	/* for ever; one writer */
	_Atomic uint64_t requests, cold_starts, retries, bytes_in, bytes_out;
	struct metric_hist duration, parked_for;
	struct metric_hist cold[COLD_PHASES_N];
} __attribute__((aligned(64)));

struct revision {
	/* immutable after revision_new() */
	char *name; /* "service/revision" */
	struct log_tag tag;
	unsigned workers_n;
	struct loop *control_loop;
	void (*on_demand)(struct revision *, void *arg);
	void *arg;

	/* atomics */
	_Atomic uint32_t refs;
	_Atomic uint32_t waiting;	 /* entries of queue; changed under lock, seq_cst */
	_Atomic uint32_t waiting_unseen; /* those of them with is_unseen; written under lock */
	_Atomic uint32_t cold_start_ms;	 /* for retry-after and the waiting page; 0: unknown */
	_Atomic bool is_external;	 /* of `addresses` */
	_Atomic bool is_demand_posted;	 /* demand_mail is on its way */
	_Atomic bool is_wake_requested;	 /* limiter_request_wake(); the main thread clears it */
	_Atomic bool
		must_notify_when_empty; /* limiter_notify_when_empty(); who ends it clears it */
	struct activation activation;

	/* lock */
	pthread_mutex_t lock;
	struct list
		queue; /* of struct waiter: those that were sent in vain, then first come first */
	struct list_node *last_returned; /* the last of the former; NULL: there is none */
	uint64_t last_seq;
	struct instance_set *set; /* all that are listed, usable or not */
	struct failure *failure;  /* NULL: none */
	uint32_t wanted;	  /* what the autoscaler wants now */
	uint32_t pace;		  /* target x release_burst per instance; 0: no pacing */
	bool has_all;		  /* at the last limiter_tick(): as many open as wanted */
	bool is_pace_over;	  /* at the last two: no others are coming to wait for */
	uint32_t rotor;		  /* for choices under the lock */

	/* main thread: world.c, scaler.c */
	struct list instances;		/* of struct instance: listed, or gone but not ended */
	struct loop_mail demand_mail;	/* carries a reference */
	void *control;			/* the scaler's own state for it; NULL: none */
	bool is_described;		/* in the newest begin … end */
	struct revision_limits *limits; /* the newest; a reference */

	struct shard *shards; /* one for each worker */
};

/* --- lifetime; any thread --- */
/* on_demand runs on control_loop when the demand for rev has changed: requests began to
 * wait, a wake was asked for, or as limiter_notify_when_empty() says.  NULL: nobody is told.
 * rev is borrowed. */
NODISCARD struct revision *revision_new(const char *name, unsigned workers_n,
					struct loop *control_loop,
					void (*on_demand)(struct revision *, void *arg), void *arg);
struct revision *revision_ref(struct revision *);
void revision_unref(struct revision **);
/* Main thread: these are its limits from here on; it starts with the defaults. */
void revision_set_limits(struct revision *, const struct limits *);
struct revision_limits *revision_limits_ref(struct revision_limits *);
void revision_limits_unref(struct revision_limits **);
NODISCARD struct instance *instance_new(struct revision *, const char *id, const struct addr *);
struct instance *instance_ref(struct instance *);
void instance_unref(struct instance **);
NODISCARD struct instance_set *instance_set_new(struct instance *const *v, uint32_t n);
struct instance_set *instance_set_ref(struct instance_set *);
void instance_set_unref(struct instance_set **);
bool instance_set_holds(const struct instance_set *, const struct instance *);

/* --- what an instance's slots say; any thread --- */
uint32_t instance_in_flight(const struct instance *);
bool instance_is_open(const struct instance *);
bool instance_is_closed_by(const struct instance *, uint64_t why); /* any of SLOTS_* */
bool instance_has_limit(const struct instance *);		   /* container_concurrency */

#endif
