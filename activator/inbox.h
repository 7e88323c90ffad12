/* inbox - brings waiters back to their worker when they were granted a slot, a permit, or a
 * refusal (limiter.h).  Any thread grants, under the mutex of the revision; only the request's
 * own worker goes on with the request, at the tail of a turn of its loop.
 * Thread: each block of members says which threads may touch it. */
#ifndef ACTIVATOR_INBOX_H
#define ACTIVATOR_INBOX_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/list.h"
#include "common/loop.h"

struct instance;
struct revision;

enum waiter_state {
	WAITER_IDLE,	/* does not wait */
	WAITER_QUEUED,	/* in rev->queue, for a slot */
	WAITER_PERMIT,	/* in inst->permit_queue: has a slot, waits for a permit */
	WAITER_GRANTED, /* in inbox->granted */
	WAITER_TAKEN,	/* in inbox->taken: inbox_next() returns it soon */
};

/* Embedded in the request that waits.  The request's worker owns it; while its state is
 * QUEUED, PERMIT or GRANTED, its members belong to rev->lock. */
struct waiter {
	struct list_node node;
	struct inbox *inbox;
	struct revision *rev;
	struct instance *inst; /* once granted: a reference, and a slot of it */
	enum waiter_state state;
	bool is_failed;	    /* granted a refusal: the revision cannot be started */
	bool is_paced;	    /* released under pacing: limiter_head_seen() must follow */
	bool has_permit;    /* a permit of inst was granted, too */
	bool is_first;	    /* the queue was empty when it was queued */
	bool is_serve_only; /* set by the owner: this request must not wake the revision */
	int fd;		    /* a connection to inst, granted with its permit; -1: none */
	uint64_t seq;	    /* when it first entered the queue; 0: it never did */
	int64_t since_ns;   /* the time of that */
};

struct inbox {
	/* lock; taken while a revision's lock is held, never the other way round */
	pthread_mutex_t lock;
	struct list granted; /* of struct waiter, in the order of the grants */
	bool is_posted;	     /* mail is in the loop's mailbox */
	/* atomic, so that the worker need not lock to find granted empty */
	_Atomic bool is_filled;
	/* the worker */
	struct list taken; /* from granted, in the same order */
	struct loop_mail mail;
	struct loop *loop;
};

/* --- the worker's thread --- */
/* A grant by another thread wakes loop.  The tail of each turn must call inbox_next(). */
void inbox_init(struct inbox *, struct loop *);
void inbox_fini(struct inbox *);
/* The inbox of this thread.  A grant that the thread itself makes wakes no loop: the tail of
 * the turn follows anyway. */
void inbox_set_current(struct inbox *);
/* The next waiter that was granted, in state WAITER_IDLE; NULL: there is none. */
struct waiter *inbox_next(struct inbox *);

/* --- the limiter, with w->rev->lock held --- */
/* w is granted; any thread. */
void inbox_put(struct inbox *, struct waiter *w);
/* Take out w, which was granted and which inbox_next() has not returned; w's worker. */
void inbox_remove(struct inbox *, struct waiter *w);

#endif
