/* limiter - who may have a request in flight where: the slots of a revision's instances,
 * and the queue of the requests that wait for one.
 *
 * A slot is the right to have one request in flight at one instance.  Slots live in one
 * atomic word per instance, so that a request which finds one free touches nothing else;
 * only where it finds none, or gives one back while others wait, the revision's mutex and
 * queue come in (limiter.c has the memory-order argument).  Critical sections are
 * O(instances), without I/O, log or callback; what a worker is to learn goes to its inbox. */
#ifndef ACTIVATOR_LIMITER_H
#define ACTIVATOR_LIMITER_H

#include "activator/inbox.h"
#include "activator/revision.h"

struct failure;
struct msg_failure;

/* --- control; main thread --- */
/* What the autoscaler says of it now: `set` becomes the shared list (its reference is
 * taken), and what can be granted is granted.  The workers' copies are the caller's to
 * post (worker_post_set()). */
struct limiter_update {
	uint32_t wanted;
	uint32_t container_concurrency; /* the limit of each instance; 0: none */
	uint32_t pace; /* target x release_burst, rounded up; 0: no pacing.  Not where there is a
			  limit */
	bool is_external;
};
void limiter_update(struct revision *, struct instance_set *set, const struct limiter_update *);
/* Set or clear SLOTS_* bits; clearing the last wakes waiters.  Any thread. */
void limiter_close(struct instance *, uint64_t why);
void limiter_open(struct instance *, uint64_t why);
/* Drain of a revision: test-and-close.  True: nothing was in flight or parked, and all
 * slots are closed by SLOTS_REV_DRAIN.  False: busy, all as before. */
NODISCARD bool limiter_try_drain(struct revision *);
void limiter_resume(struct revision *);
/* It cannot be started (NULL: it can again); f is borrowed.  All that are parked hear it,
 * unless an instance is open or they are to stay parked. */
void limiter_set_failure(struct revision *, const struct msg_failure *f, int64_t now_ns);
/* The prober's connected descriptor: hand it to the head of the queue with a slot.
 * True: taken, and with it the permit.  False: the caller keeps both.  The caller has
 * not opened SLOTS_UNREADY yet: this opens it. */
NODISCARD bool limiter_open_with_fd(struct instance *, int fd);
/* May the prober open a connection to it?  Pair with limiter_permit_back(). */
NODISCARD bool limiter_try_permit(struct instance *);
/* Post demand once more when nobody waits any more.  Who looks at whether anybody does looks
 * after this. */
void limiter_notify_when_empty(struct revision *);
uint32_t limiter_parked(const struct revision *);
uint32_t limiter_parked_waking(const struct revision *); /* the parked that are no is_unseen */

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
void limiter_request_wake(struct revision *);
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
void limiter_tick(struct revision *);
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
