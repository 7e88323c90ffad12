/* revision - the objects that all workers share: a revision with its queue of parked
 * requests, its instances with their slots, and each worker's part of a revision.
 *
 * These are data and lifetimes; limiter.h is what happens to slots and queue.  All objects
 * are counted by references, because each outlives its place in the registry: a request
 * in flight keeps its instance, an instance its revision.
 * Thread: each block of members says which threads may touch it. */
#ifndef ACTIVATOR_REVISION_H
#define ACTIVATOR_REVISION_H

#include <pthread.h>
#include <stdatomic.h>

#include "activator/activation.h"
#include "activator/slots.h"
#include "common/addr.h"
#include "common/hmap.h"
#include "common/list.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metric.h"
#include "common/msg.h"

struct access_conf;
struct activation_span;
struct failure;
struct tls_session;
struct tls_trust;
struct share;
struct request_counts;
struct tally;

/* In revision.waiting: slots that are given back may be owed to another activator … */
#define WAITING_WATCHED (UINT32_C(1) << 31)
/* … or with max_requests each request is counted, under the mutex. */
#define WAITING_COUNTED (UINT32_C(1) << 30)
#define WAITING_FLAGS (WAITING_WATCHED | WAITING_COUNTED)

/* The limits of a revision's requests, as the autoscaler described them.  Immutable: the
 * revision has the newest, each route table those that it was built with. */
struct revision_limits {
	_Atomic uint32_t refs;
	struct limits v;
	struct access_conf *access; /* NULL: no access log */
	/* With upstream_tls; NULL: one of its files cannot be used.  revision_check_trust()
	 * replaces it under trust_lock, under which workers take their references. */
	struct tls_trust *_Atomic trust;
	pthread_mutex_t trust_lock;
};

/* One worker's connections to one instance that a request can use.  Only that worker touches them.
 */
struct instance_pool {
	struct list idle;		 /* of struct upstream, most recently used first */
	struct list open;		 /* of struct upstream_h2: carry requests, and take more */
	bool knows_streams;		 /* the instance has said … */
	uint32_t streams_most;		 /* … how many streams it takes on a connection */
	struct tls_session *tls_session; /* for the next connection; NULL: there is none */
} __attribute__((aligned(64)));

/* Where an instance is, or was.  Immutable but for older, which is the main thread's. */
struct instance_address {
	struct addr addr;
	char text[ADDR_TEXT]; /* "127.0.0.1:20001", for log lines */
	struct instance_address *older;
};

/* One for each id: its slots, permits, drains and health are counted here until its last user
 * has ended, whether the autoscaler lists it or not, and wherever it moves. */
struct instance {
	/* immutable after instance_new() */
	struct revision *rev; /* a reference */
	char *id;
	uint32_t id_n; /* its bytes */
	struct log_tag tag;

	/* atomics */
	_Atomic uint32_t refs;			    /* of lists, sets, connections, grants */
	_Atomic(struct instance_address *) address; /* the newest; connections may use older ones */
	_Atomic uint64_t slots; /* in flight, limit, why it is closed: slots.h */
	_Atomic uint64_t conns; /* connections open or being opened, and limit: slots.h, permits */
	_Atomic uint32_t permits_waited; /* length of permit_queue; changed under rev->lock */
	_Atomic bool has_share_fallen;	 /* since idle connections above it were last closed */
	_Atomic bool has_served;	 /* a response of it has begun, now or earlier */
	_Atomic bool is_set_aside;	 /* has refused a connection, and has not answered since;
					  * the main thread sets it */
	_Atomic int64_t busy_until;	 /* x-activator-busy: clk_now() until when; 0: none */

	/* rev->lock */
	struct list permit_queue; /* of struct waiter: has a slot, waits for a permit */
	uint32_t paced;		  /* requests released under pacing, response head not seen */

	/* main thread: registry.c, probe.c */
	struct list_node node;	/* in rev->instances, or in rev->unlisted */
	void *probe;		/* the prober's state; NULL: not probed */
	char *probe_spec;	/* msg_instance.probe; NULL: as the limits say */
	struct addr *alternate; /* where it may listen instead of at its address; NULL: nowhere */
	enum instance_state state;
	bool is_listed;	   /* by the newest `instances` message */
	bool is_unlisted;  /* in rev->unlisted */
	bool is_answering; /* as last reported to the autoscaler */
	enum { SPENT_NOT, SPENT_NEARLY, SPENT_ALL } spent_reported; /* to the autoscaler */

	struct instance_pool *pools; /* one for each worker */
};

/* The instances among which a request's slot is chosen.  Immutable: the revision has the
 * newest, each worker a reference of its own, which it uses without a lock. */
struct instance_set {
	_Atomic uint32_t refs;
	uint32_t n;
	struct instance *v[]; /* references */
};

/* One worker's part of a revision.  Only that worker touches it; the main thread reads the
 * atomics, relaxed. */
struct shard {
	struct revision *rev;		  /* borrowed: the shard is a part of it */
	struct list_node node;		  /* in the worker's list of shards that count */
	struct instance_set *set;	  /* the worker's reference; NULL: no instances */
	struct list parked;		  /* of struct xfer, the next deadline first */
	struct loop_timer deadline_timer; /* for the first of parked */
	bool has_timer;			  /* deadline_timer is initialised */

	/* of the reporting period that runs */
	_Atomic uint32_t in_flight, parked_n;
	uint32_t peak;
	double integral_ns; /* of in_flight + parked_n over time … */
	double waiting_ns;  /* … and of parked_n alone */
	int64_t period_start_ns, changed_ns;
	uint64_t period_requests, period_completed;
	double period_latency_s; /* sum over period_completed */
	struct tally *tally;	 /* of what has ended; NULL: nothing */
	/* What the period adds; requests, bytes and cold_starts are filled in at its end, by how
	 * much the counters below have grown since `counted`.  NULL: nothing yet. */
	struct request_counts *counts;
	struct {
		uint64_t requests, cold_starts, bytes_in, bytes_out;
	} counted;
	struct cold_start *cold_start; /* the last one; NULL: there was none */

	/* since the activator started */
	_Atomic uint64_t requests, cold_starts, retries, bytes_in, bytes_out;
	struct metric_hist duration, parked_for;
	struct metric_hist cold[COLD_PHASES_N];
} __attribute__((aligned(64)));

#define REVISION_TROUBLE 128

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
	_Atomic uint32_t waiting; /* length of queue, and WAITING_FLAGS; changed under lock,
				   * seq_cst */
	_Atomic uint32_t waiting_serve_only; /* of these is_serve_only; changed under lock */
	_Atomic uint32_t cold_start_ms;	     /* median of the last ones; 0: unknown */
	_Atomic bool is_external;	     /* of `addresses`: never started */
	_Atomic bool is_demand_posted;	     /* demand_mail is on its way */
	_Atomic bool is_demand_news;	     /* it is about demand; the main thread clears it … */
	_Atomic bool is_share_news;	     /* … or about share */
	_Atomic bool is_spent_news; /* … or an instance has few uses left, or is spent, or a spent
				     * one has no request left */
	_Atomic bool is_wake_requested; /* by limiter_request_wake(); the main thread clears it */
	_Atomic bool must_notify_when_empty; /* cleared when the queue has become empty */
	struct activation activation;
	/* NULL: none; changed under lock (activation_span.h) */
	_Atomic(struct activation_span *) activation_span;

	/* lock */
	pthread_mutex_t lock;
	struct list queue;	      /* of struct waiter; its order: limiter.c */
	struct list_node *last_retry; /* in queue, of those tried again; NULL: there is none */
	uint64_t last_seq;	      /* the highest waiter.seq */
	struct instance_set *set;     /* all instances listed, open or not */
	struct share *share;	      /* of all instances */
	bool is_counted;	      /* the autoscaler counts what is held: share reports it */
	bool has_limit;		      /* container_concurrency */
	uint32_t max_requests;	      /* of each instance; 0: any number */
	_Atomic bool is_packed;	      /* instances are filled one by one (balance.h) */
	struct hmap by_id;	      /* struct instance: all that there are */
	struct failure *failure;      /* NULL: none */
	/* What the last answer to a probe was that was no good; "": there is none. */
	char probe_trouble[REVISION_TROUBLE];
	uint32_t wanted;     /* instances that the autoscaler wants */
	uint32_t pace;	     /* most of instance.paced; 0: no pacing */
	bool had_all_wanted; /* at the last limiter_tick(): as many open as wanted */
	bool is_pacing_over; /* at the last two: no more instances are coming */
	uint32_t random;     /* for the choice of an instance under the lock */

	/* main thread: registry.c, autoscaler_link.c */
	char *trust_seen; /* tls_trust_source() at the last look, where it has changed; or NULL */
	bool is_trust_tried;	      /* those files were read */
	struct list instances;	      /* of struct instance: all listed */
	struct list unlisted;	      /* of struct instance: not listed any more, still in use */
	int64_t active_ns;	      /* when requests were last reported; 0: never (stats.c) */
	struct tally *tally;	      /* of all workers, since it began; NULL: nothing (stats.c) */
	struct loop_mail demand_mail; /* to control_loop; holds a reference while posted */
	void *demand_tracker;	      /* autoscaler_link.c's; NULL: none */
	bool is_described;	      /* by the newest begin … end; else it is retired */
	bool has_service;	      /* the newest begin … end has described its service */
	bool is_share_reported;	      /* to this autoscaler, by this link */
	uint64_t listed_link;	      /* the newest link by which its instances were listed */
	struct revision_limits *limits; /* a reference */

	struct shard *shards; /* one for each worker */
};

/* --- lifetime; any thread --- */
/* on_demand (NULL: none) is called on control_loop when a request has begun to wait and no
 * other did, after limiter_request_wake(), and as limiter_notify_when_empty() says: then
 * is_demand_news is set.  It is called, too, when share may have something to send: then
 * is_share_news is set; and for is_spent_news. */
NODISCARD struct revision *revision_new(const char *name, unsigned workers_n,
					struct loop *control_loop,
					void (*on_demand)(struct revision *, void *arg), void *arg);
struct revision *revision_ref(struct revision *);
void revision_unref(struct revision **);
/* A copy of these limits holds from here on; until the first call, the defaults.  The files that
 * the keys upstream_* name are read if these keys have changed, or no such files are in use.
 * Main thread. */
void revision_set_limits(struct revision *, const struct limits *);
/* Look at the files that the keys upstream_* name.  True, once: they have changed, and are the same
 * at two looks, so the new ones are whole: use them.  Main thread. */
bool revision_check_trust(struct revision *);
/* -1 with err: they have a mistake, and those before stay in use.  Main thread. */
NODISCARD int revision_use_changed_trust(struct revision *, struct err *);
struct revision_limits *revision_limits_ref(struct revision_limits *);
void revision_limits_unref(struct revision_limits **);
/* A reference to the trust, or NULL. */
struct tls_trust *revision_limits_trust_ref(const struct revision_limits *);
NODISCARD struct instance *instance_new(struct revision *, const char *id, const struct addr *);
struct instance *instance_ref(struct instance *);
/* The instance is at another address from here on.  Main thread. */
void instance_move(struct instance *, const struct addr *);
void instance_unref(struct instance **);
NODISCARD struct instance_set *instance_set_new(struct instance *const *v, uint32_t n);
struct instance_set *instance_set_ref(struct instance_set *);
void instance_set_unref(struct instance_set **);
bool instance_set_holds(const struct instance_set *, const struct instance *);

/* Add the counters of `from` since the activator started, of all its workers, to those of `into`,
 * which no worker uses. */
void revision_add_counters(struct revision *into, const struct revision *from);
/* The first listed instance that is open; NULL: none is.  Main thread. */
const struct instance *revision_first_open(const struct revision *);
/* An instance answers its probe, and says this, which is cut short; NULL: no instance does. */
void revision_set_probe_trouble(struct revision *, const char *);
/* False: there is none. */
bool revision_probe_trouble(struct revision *, char out[REVISION_TROUBLE]);

/* Borrowed; lives as long as the instance. */
static inline const struct instance_address *
instance_address(const struct instance *inst)
{
	return atomic_load_explicit(&inst->address, memory_order_acquire);
}

/* --- what the slots of an instance say; any thread --- */
uint32_t instance_in_flight(const struct instance *);
bool instance_is_open(const struct instance *);
bool instance_is_closed_by(const struct instance *, uint64_t why); /* any of SLOTS_* */
bool instance_has_limit(const struct instance *);		   /* container_concurrency */
/* May it be connected to: is this activator's share of it above 0? */
bool instance_has_share(const struct instance *);

/* This activator may use so many slots of it; SHARE_ALL: any number.  With rev->lock held. */
void instance_set_share_locked(struct instance *, uint32_t slots);

#endif
