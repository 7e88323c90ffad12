/* inbox - where a worker gets the requests that were granted a slot, a connection or a
 * refusal while they waited.  Any thread grants, under the revision's mutex; the request is
 * touched again only by its own worker, at the tail of the worker's loop.
 * Thread: each block of members says whose it is. */
#ifndef ACTIVATOR_INBOX_H
#define ACTIVATOR_INBOX_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/list.h"
#include "common/loop.h"

struct instance;
struct revision;

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

/* --- the worker's thread --- */
/* A grant from another thread wakes loop, whose tail is to look (inbox_next()). */
void inbox_init(struct inbox *, struct loop *);
void inbox_fini(struct inbox *);
/* This thread's own inbox: grants to it need no mail, its loop's tail looks. */
void inbox_set_current(struct inbox *);
/* The next waiter that was granted, WAITER_IDLE again, or NULL. */
struct waiter *inbox_next(struct inbox *);

/* --- any thread, with w->rev->lock held --- */
/* w is granted: its worker is to look at it. */
void inbox_put(struct inbox *, struct waiter *w);
/* It was granted, and its worker has not looked yet: take it back. */
void inbox_remove(struct inbox *, struct waiter *w);

#endif
