/* revision - what all workers share of one revision: its instances with their
 * slots, and the queue of parked requests.
 *
 * A slot is the right to have one request in flight at one instance.  Slots live in
 * one atomic word per instance, so that a request which finds one free touches
 * nothing else; only where it finds none, or gives one back while others wait, the
 * revision's mutex and queue come in (limiter.c has the memory-order argument).
 * Critical sections are O(instances), without I/O, log or callback; what a worker is
 * to learn goes to its inbox.
 * Thread: each block of members says whose it is. */
#ifndef ACTIVATOR_REVISION_H
#define ACTIVATOR_REVISION_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/addr.h"
#include "common/list.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metric.h"
#include "common/msg.h"

/* The word `slots` of an instance: requests in flight, and why no new one may come. */
#define SLOTS_COUNT UINT32_C(0x00ffffff)
#define SLOTS_UNREADY UINT32_C(0x80000000) /* not seen to answer (yet, or any more) */
#define SLOTS_STOPPING                                                                             \
	UINT32_C(0x40000000)		 /* the autoscaler says so, or it is gone from the list */
#define SLOTS_DRAIN UINT32_C(0x20000000) /* a drain of it */
#define SLOTS_REV_DRAIN UINT32_C(0x10000000) /* a drain of its revision */
#define SLOTS_CLOSED (SLOTS_UNREADY | SLOTS_STOPPING | SLOTS_DRAIN | SLOTS_REV_DRAIN)

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
	_Atomic uint32_t slots;		 /* SLOTS_* and the count */
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

/* Where a worker gets what was decided under a revision's mutex. */
struct inbox {
	/* lock (taken inside a revision's, never the other way round) */
	pthread_mutex_t lock;
	struct list granted; /* of struct waiter */
	bool is_posted;	     /* mail is in the mailbox */
	/* atomic: something may be in granted; the worker need not lock to see that not */
	_Atomic bool is_filled;
	/* the worker's */
	struct list taken; /* of struct waiter, in the order of the grants */
	struct loop_mail mail;
	struct loop *loop;
};

enum waiter_state {
	WAITER_IDLE,
	WAITER_QUEUED,	/* in rev->queue */
	WAITER_PERMIT,	/* in inst->permit_queue: slot held, no connection yet */
	WAITER_GRANTED, /* in its inbox */
	WAITER_TAKEN,	/* in inbox->taken: its worker has it, and looks at it next */
};

/* Embedded in the request that waits.  The request's worker owns it; while it is
 * queued or granted its members belong to rev->lock. */
struct waiter {
	struct list_node node;
	struct inbox *inbox;
	struct revision *rev;
	struct instance *inst; /* granted: with a reference and a slot */
	enum waiter_state state;
	bool is_failed;	 /* granted, but to hear that activation failed */
	bool is_paced;	 /* released under pacing: limiter_head_seen() is due */
	bool has_permit; /* the right to open a connection comes with the grant */
	bool is_first;	 /* queued, and nobody was before it */
	bool is_unseen;	 /* set by its owner: its waiting wakes nobody */
	int fd;		 /* the prober's open connection, or -1; implies has_permit */
	uint64_t seq;	 /* order of entry into the queue; 0: it has not been in one */
};

/* The autoscaler's word that nothing can be started; immutable, refcounted. */
struct failure {
	_Atomic uint32_t refs;
	char *reason, *message;
	int64_t until_ns; /* clk_now() at which the back-off is over */
	bool is_parking;  /* it may pass: refuses nobody before his time is over */
};

/* Phases of a cold start; each ends at what it is named by. */
#define COLD_PHASES(X)                                                                             \
	X(SIGNAL, "signal")                                                                        \
	X(ACK, "ack")                                                                              \
	X(ADDRESS, "address")                                                                      \
	X(CONNECT, "connect")                                                                      \
	X(SEND, "send")                                                                            \
	X(FIRST_BYTE, "first_byte")
enum cold_phase {
#define X(id, name) COLD_##id,
	COLD_PHASES(X)
#undef X
		COLD_PHASES_N
};

/* When the phases of the running activation ended; 0: not yet.  Written by the main
 * thread, read by workers as a request is granted; relaxed. */
struct activation {
	_Atomic int64_t signalled_ns, acked_ns, addressed_ns, connected_ns;
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

	/* atomics */
	_Atomic uint32_t refs;
	_Atomic uint32_t waiting;	 /* entries of queue; changed under lock, seq_cst */
	_Atomic uint32_t waiting_unseen; /* those of them with is_unseen; written under lock */
	_Atomic uint32_t limit;		 /* container_concurrency; 0: none */
	_Atomic uint32_t cold_start_ms;	 /* for retry-after and the waiting page; 0: unknown */
	_Atomic bool is_external;	 /* of `addresses` */
	_Atomic bool is_demand_posted;	 /* demand_mail is on its way */
	_Atomic bool is_asked;		 /* revision_ask(); the main thread clears it */
	_Atomic bool is_end_awaited;	 /* revision_await_end(); who ends it clears it */
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
	bool has_all;		  /* at the last revision_tick(): as many open as wanted */
	bool is_pace_over;	  /* at the last two: no others are coming to wait for */
	uint32_t rotor;		  /* for choices under the lock */

	/* main thread: world.c, scaler.c */
	struct list instances;	      /* of struct instance: listed, or gone but not ended */
	struct loop_mail demand_mail; /* carries a reference */
	void *control;		      /* the scaler's own state for it; NULL: none */
	bool is_described;	      /* in the newest begin … end */
	struct limits limits;

	struct shard *shards; /* one for each worker */
};

/* --- lifetime; any thread --- */
/* on_demand runs on control_loop when requests began to wait for rev, and as
 * revision_await_end() says; the callee calls
 * revision_demand_taken(mail) first and drops the reference that this returns. */
NODISCARD struct revision *revision_new(const char *name, unsigned workers_n,
					struct loop *control_loop,
					void (*on_demand)(struct loop_mail *));
struct revision *revision_ref(struct revision *);
void revision_unref(struct revision **);
NODISCARD struct instance *instance_new(struct revision *, const char *id, const struct addr *);
struct instance *instance_ref(struct instance *);
void instance_unref(struct instance **);
NODISCARD struct instance_set *instance_set_new(struct instance *const *v, uint32_t n);
struct instance_set *instance_set_ref(struct instance_set *);
void instance_set_unref(struct instance_set **);

/* --- control; main thread --- */
/* What the autoscaler says of it now: `set` becomes the shared list (its reference is
 * taken), and what can be granted is granted.  The workers' copies are the caller's to
 * post (worker_post_set()). */
struct revision_wish {
	uint32_t wanted;
	uint32_t container_concurrency;
	uint32_t pace; /* target x release_burst, rounded up; 0: no pacing */
	bool is_external;
};
void revision_publish(struct revision *, struct instance_set *set, const struct revision_wish *);
/* Set or clear SLOTS_* bits; clearing the last wakes waiters.  Any thread. */
void instance_close_slots(struct instance *, uint32_t why);
void instance_open_slots(struct instance *, uint32_t why);
uint32_t instance_in_flight(const struct instance *);
bool instance_is_open(const struct instance *);
bool instance_is_closed_by(const struct instance *, uint32_t why); /* any of SLOTS_* */
/* Drain of a revision: test-and-close.  True: nothing was in flight or parked, and all
 * slots are closed by SLOTS_REV_DRAIN.  False: busy, all as before. */
NODISCARD bool revision_try_close(struct revision *);
void revision_reopen(struct revision *);
/* It cannot be started (NULL: it can again); f is borrowed.  All that are parked hear it,
 * unless an instance is open or they are to stay parked. */
void revision_set_failure(struct revision *, const struct msg_failure *f, int64_t now_ns);
/* The prober's connected descriptor: hand it to the head of the queue with a slot.
 * True: taken, and with it the permit.  False: the caller keeps both.  The caller has
 * not opened SLOTS_UNREADY yet: this opens it. */
NODISCARD bool revision_offer_fd(struct instance *, int fd);
/* May the prober open a connection to it?  Pair with limiter_permit_back(). */
NODISCARD bool instance_try_permit(struct instance *);
NODISCARD struct revision *revision_demand_taken(struct loop_mail *);
/* Post demand once more when nobody waits any more.  Who looks at whether anybody does looks
 * after this. */
void revision_await_end(struct revision *);
uint32_t revision_parked(const struct revision *);
uint32_t revision_wakers(const struct revision *); /* the parked that are no is_unseen */

/* --- requests; worker threads --- */
/* A slot at once, or NULL.  `set` is the worker's copy; random decides between equals.
 * The instance is borrowed from the set: take a reference before returning to the loop. */
NODISCARD struct instance *limiter_try_take(struct revision *, const struct instance_set *set,
					    uint32_t random);
/* The slow way.  A slot (with a reference), or NULL: then w is queued (at the head where
 * `at_head`: its connect failed), or *failed is the driver's word, a reference, why it
 * must not wait.  Posts demand where the queue was empty.  w is borrowed until it is
 * granted or cancelled: it must not move. */
NODISCARD struct instance *limiter_take_or_wait(struct revision *, struct waiter *w, bool at_head,
						int64_t now_ns, struct failure **failed);
/* Wake it without being parked: its client got the waiting page. */
void revision_ask(struct revision *);
/* Leave before inbox_next() has returned w; what was granted and not looked at goes to the next in
 * line.  w->fd >= 0 afterwards: a descriptor that is the caller's to close. */
void limiter_cancel(struct waiter *w);
/* inbox_next() has returned w with a grant that is of no use to it: back with all of it, to
 * the next in line.  w->fd >= 0 afterwards: as above. */
void limiter_decline(struct waiter *w);
/* Give a slot back; hands it to the head of the queue if anyone waits. */
void limiter_give_back(struct instance *);
/* A paced request has its response head, or has ended without one. */
void limiter_head_seen(struct instance *);
/* Main thread, each second: where there have been as many instances as are wanted since the
 * last one, what is parked is no longer paced. */
void revision_tick(struct revision *);
/* May w, which holds a slot of w->inst, open a connection?  Always where there is no
 * limit.  False: w waits for its inbox, and idle connections of all workers to w->inst are
 * to be shed (worker_post_shed()). */
NODISCARD bool limiter_permit(struct waiter *w);
/* A connection that was permitted is closed (or was never opened). */
void limiter_permit_back(struct instance *);
/* A connection may be kept idle: nobody waits for a permit. */
bool limiter_may_idle(const struct instance *);
/* Why it cannot start, a reference, or NULL: what a waiter with is_failed tells. */
NODISCARD struct failure *limiter_failure(struct revision *);
void failure_unref(struct failure **);

/* --- inboxes; the worker's thread --- */
/* A grant from another thread wakes loop, whose tail is to look (inbox_next()). */
void inbox_init(struct inbox *, struct loop *);
void inbox_fini(struct inbox *);
/* This thread's own inbox: grants to it need no mail, its loop's tail looks. */
void inbox_set_current(struct inbox *);
/* The next waiter that was granted, WAITER_IDLE again, or NULL. */
struct waiter *inbox_next(struct inbox *);

/* What must agree when nothing moves (tests, /status): queued and open_free are never both
 * above 0, slots_most and conns_most within the limit. */
struct limiter_count {
	uint32_t queued;
	uint32_t slots, slots_most; /* taken: in all, and at one instance */
	uint32_t conns, conns_most; /* connections that were permitted (limit > 0) */
	uint32_t permits_queued;    /* slots of these wait for a connection */
	uint32_t paced;		    /* released, response head not seen */
	uint32_t open_free;	    /* slots that could be taken now; no limit: one an instance */
};
void limiter_count(struct revision *, struct limiter_count *);

#endif
