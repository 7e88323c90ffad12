/* limiter - decides which request may go to which instance, and when.
 *
 *   slot    the right to have one request in flight at one instance.  An instance has as many
 *           as this activator's share of container_concurrency, or, without that, any number.
 *   permit  the right to have one connection open to one instance, which has as many as
 *           slots: a server that reads one connection at a time must never sit on an idle one
 *           while a request waits on another.  Without a limit connections are counted too,
 *           so that a limit that is set later holds for all of them.
 *   use     with max_requests: the right to send one request to one instance, which has so many
 *           in its life.  A slot is taken together with a use.  An instance without uses is closed
 *           for good (SLOTS_SPENT), and the autoscaler is told.
 *   waiter  a request that waits in its revision's queue for a slot, or, having a slot, for a
 *           permit.
 *   grant   what a waiter waited for.  It reaches the waiter through the inbox of its worker.
 *   pacing  while a revision without a limit starts, an instance gets only a few of the waiting
 *           requests, and more as their response heads come back (limiter.c).
 *
 * A request first asks limiter_try_take(), which takes a free slot by compare-and-swap, and
 * locks the mutex only if another request began to wait meanwhile: then it gives the slot back.
 * If no slot is free, or other requests wait already,
 * limiter_take_or_wait() looks once more under the revision's mutex and then puts the request
 * at the tail of the queue.  limiter_give_back() returns a slot.  The oldest waiter gets it,
 * unless the instance is closed or over its limit; while waiters are paced, the limiter chooses
 * the instance anew.  So a revision serves first come, first served, over all workers.
 *
 * The main thread tells the limiter what the autoscaler, the prober and drains say: shares
 * (share.h: how much of its limit an instance has for this activator), instances, and which of
 * them are open.
 *
 * One exception to the order: a request that comes back goes before those that were not sent
 * anywhere yet.  It comes back if its instance failed it and it may be tried again, or if it
 * declined its grant, as the instance is not to be used any more.
 *
 * Under the mutex the limiter does O(instances) work for each call, and for each waiter that it
 * grants or refuses.  Only a request that comes back costs more: it walks past younger ones in the
 * queue that came back before it.  The limiter does no I/O there (but the eventfd of a mailbox
 * that was empty), no logging and no callback.
 * Thread: any, where a call does not say otherwise. */
#ifndef ACTIVATOR_LIMITER_H
#define ACTIVATOR_LIMITER_H

#include "activator/inbox.h"
#include "activator/revision.h"

struct failure;
struct msg_failure;
struct share;
struct share_offer;

/* --- slots; the requests' workers --- */
/* Take a free slot at once.  The instance is borrowed from set, the worker's copy of the
 * revision's instances: take a reference before the worker returns to its loop.  NULL: no
 * slot is free, or requests wait.  random decides between instances that are equally good. */
NODISCARD struct instance *limiter_try_take(struct revision *, const struct instance_set *set,
					    uint32_t random);
/* Take a slot, or wait for one.  Returns the instance, with a reference; or NULL: then w is
 * in the queue; or *failed is set (a reference), and w is not in the queue: the revision cannot be
 * started, its back-off is not over, and no instance is open.  is_retry: this request comes back,
 * and goes before all that were not sent anywhere yet.  w is borrowed, and must not move, until
 * inbox_next() returns it or limiter_cancel() has taken it out.  If w may wake the revision (not
 * is_serve_only) and no queued waiter may, on_demand is posted to the main thread. */
NODISCARD struct instance *limiter_take_or_wait(struct revision *, struct waiter *w, bool is_retry,
						int64_t now_ns, struct failure **failed);
/* The request is over, or does not need its slot: the oldest waiter gets it, if any. */
void limiter_give_back(struct instance *);
/* A request that has a slot of the instance was not sent there, and is about to give the slot back:
 * the instance can take another one for it (max_requests). */
void limiter_unuse(struct instance *);
/* Requests that may still be sent there; SHARE_NO_USES: they are not counted. */
uint32_t limiter_uses(struct instance *);
/* When so many of its uses are left, an eighth, another instance is to be started in its place. */
#define LIMITER_LAST_USES 8
/* Stop waiting, before inbox_next() has returned w.  If something had been granted, it goes
 * to the next waiter, or a connection (w->fd) is closed. */
void limiter_cancel(struct waiter *w);
/* inbox_next() has returned w, but its request does not use the grant.  The slot goes back as by
 * limiter_give_back(), the permit as by limiter_permit_back().  A connection (w->fd) goes to the
 * oldest waiter together with both; if no waiter may have it, it is closed. */
void limiter_decline(struct waiter *w);
/* The response head of a request with is_paced has come, or will not come. */
void limiter_head_seen(struct instance *);

/* --- permits --- */
/* The right to open a connection to inst, without waiting.  Pair with limiter_permit_back(). */
NODISCARD bool limiter_try_permit(struct instance *);
/* May w, which has a slot of w->inst, open a connection?  False: w waits for a permit; tell
 * all workers to close idle connections to the instance (worker_post_shed()). */
NODISCARD bool limiter_permit_or_wait(struct waiter *w);
/* A connection that had a permit is closed, or could not be opened. */
void limiter_permit_back(struct instance *);
/* May a connection stay open idle?  Not while a waiter needs its permit, and not if there are
 * more connections than the limit, which was lowered. */
bool limiter_may_idle(const struct instance *);
bool limiter_is_permit_waited(const struct instance *);

/* --- what the autoscaler, the prober and drains say; main thread --- */
struct limiter_update {
	uint32_t wanted;		/* instances that the autoscaler wants */
	uint32_t container_concurrency; /* the limit of each instance; 0: none */
	uint32_t pace;			/* most paced requests at one instance: target x
					 * release_burst, rounded up.  0, a limit or is_external: no
					 * pacing */
	uint32_t max_requests;		/* of each instance, in all; 0: no limit */
	bool is_external;		/* of `addresses`: its instances are never started */
	/* The autoscaler counts what is held.  Then, if there is a limit, the shares of instances
	 * are as the offer says; without an offer they stay as they are. */
	bool is_counted;
	const struct share_offer *offer; /* NULL: none */
};
/* New instances (set, whose reference is taken), shares and pace.  Grants what they allow.
 * Left to the caller: to give the workers their copies of set (worker_post_set()), and to
 * have idle connections above a lowered limit closed (worker_post_shed()). */
void limiter_update(struct revision *, struct instance_set *set, const struct limiter_update *);
/* New instances; all else that the last limiter_update() said stays. */
void limiter_set_instances(struct revision *, struct instance_set *set,
			   uint32_t container_concurrency, uint32_t max_requests);
/* Call fn with the revision's share, under the mutex, and grant what it has raised.  fn must not
 * call the limiter. */
void limiter_with_share(struct revision *, void (*fn)(struct share *, void *arg), void *arg);
/* No new request goes to the instance, for a reason of SLOTS_*.  Any thread. */
void limiter_close(struct instance *, uint64_t why);
/* The reason is over.  If it was the last one, waiters get the instance's slots. */
void limiter_open(struct instance *, uint64_t why);
/* The prober has connected: as limiter_open(SLOTS_UNREADY), and the oldest waiter gets the
 * connection, its permit, and a slot.  False: no request waits, or none may go yet; the
 * descriptor and the permit stay the caller's. */
NODISCARD bool limiter_open_with_fd(struct instance *, int fd);
/* Close all listed instances (rev->set) by SLOTS_REV_DRAIN, if no request is parked or in flight,
 * nor in flight at an instance that is not listed any more.  False: there is such a request, and
 * the instances that this call has closed are open again. */
NODISCARD bool limiter_try_drain(struct revision *);
/* The drain is off; set: what it closed. */
void limiter_resume(struct revision *, const struct instance_set *set);
/* The revision cannot be started.  Unless an instance is open, or f says that requests stay parked,
 * all waiters are refused now, and newcomers until the back-off of f is over.  NULL: it can be
 * started again.  f is borrowed. */
void limiter_set_failure(struct revision *, const struct msg_failure *f, int64_t now_ns);
/* Each second.  Waiters are not paced while at least as many instances as wanted were open at
 * the last two calls. */
void limiter_tick(struct revision *);

/* --- what others ask --- */
/* The failure that holds, a reference, or NULL. */
NODISCARD struct failure *limiter_failure(struct revision *);
uint32_t limiter_parked(const struct revision *);
/* The parked requests that may wake the revision (is_serve_only is not set). */
uint32_t limiter_parked_waking(const struct revision *);
/* A client got the waiting page: wake the revision although no request is parked. */
void limiter_request_wake(struct revision *);
/* Call on_demand once when the queue becomes empty.  To learn whether it is empty already,
 * look after this call, not before. */
void limiter_notify_when_empty(struct revision *);

/* Figures for tests and /status.  When nothing moves, `queued` and `free_slots` are not both
 * above 0, and the two maxima are within the limit. */
struct limiter_count {
	uint32_t queued;
	uint32_t slots, slots_most; /* taken: in all, and at one instance */
	uint32_t conns, conns_most; /* with a permit: in all, and to one instance */
	uint32_t permits_queued;    /* waiters that have a slot and need a permit */
	uint32_t paced;		    /* released, response head not seen */
	uint32_t free_slots;	    /* that could be taken now; one an instance without limit */
};
void limiter_count(struct revision *, struct limiter_count *);

#endif
