/* loop - an event loop: timers, signals, descriptors, a mailbox that other threads post to,
 * and calls deferred to the tail of the round, where an object can be freed that a
 * callback's caller still uses.
 * Thread: the one that runs the loop; other threads may call loop_post(), loop_call() and
 * loop_stop() alone. */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/err.h"
#include "common/list.h"

struct loop; /* opaque; loop.c */

/* Timers fire at the next whole millisecond, the unit of epoll_wait(2). */
NODISCARD struct loop *loop_new(struct err *);
/* Timers fire within microseconds (timerfd), for one more system call in each round. */
NODISCARD struct loop *loop_new_precise(struct err *);
void loop_free(struct loop **);
struct event_base *loop_base(struct loop *);

/* Run rounds until loop_stop().  A round: the callbacks of all events that are due, then
 * its tail: the hook of loop_on_tail(), then the deferred calls. */
void loop_run(struct loop *);
/* Run one round; it waits for an event unless `nowait`.  For tests and shutdown. */
void loop_once(struct loop *, bool nowait);
void loop_stop(struct loop *); /* any thread */
/* Deliver all mail and make all deferred calls, those that they cause included, and look at no
 * event.  For the shutdown: what was sent arrives while its receivers still exist. */
void loop_settle(struct loop *);
/* The number of this round.  Work that is bounded for each round keeps it, to tell whether
 * a new round has begun. */
uint64_t loop_round(const struct loop *);

/* Mailbox.  A mail is embedded in the object that it is about.  From loop_post() until fn is
 * called it belongs to the loop.  fn runs on the loop's thread, in the order of posting.
 * Posting costs a system call only if the mailbox was empty. */
struct loop_mail {
	struct loop_mail *next;
	void (*fn)(struct loop_mail *);
};
void loop_post(struct loop *, struct loop_mail *);
/* As loop_post(), with a mail that the call allocates. */
void loop_call(struct loop *, void (*fn)(void *arg), void *arg);

/* Timers, on the monotonic clock.  fn runs once for each loop_timer_set(); it may set the
 * timer again, or end it by loop_timer_fini(). */
struct loop_timer {
	struct event ev;
	struct loop *loop;
	void (*fn)(void *arg);
	void *arg;
};
void loop_timer_init(struct loop_timer *, struct loop *, void (*fn)(void *arg), void *arg);
void loop_timer_set(struct loop_timer *, int64_t delay_ns); /* replaces an earlier set */
void loop_timer_clear(struct loop_timer *);
bool loop_timer_pending(const struct loop_timer *);
void loop_timer_fini(struct loop_timer *);

/* Watch a descriptor, level-triggered: `what` of fn is EV_READ, EV_WRITE or both.  Where the
 * kernel refuses (fs.epoll.max_user_watches is reached), the loop logs it and tries again
 * until it succeeds. */
struct loop_fd {
	struct event ev;
	struct loop *loop;
	void (*fn)(int fd, short what, void *arg);
	void *arg;
	bool is_added;
	struct list_node refused; /* in the loop's list while the kernel refuses */
};
void loop_fd_init(struct loop_fd *);
void loop_fd_set(struct loop_fd *, struct loop *, int fd, short what,
		 void (*fn)(int fd, short what, void *arg), void *arg);
void loop_fd_clear(struct loop_fd *);

/* Call fn on this loop when the signal arrives.  For the main thread's loop alone. */
NODISCARD int loop_signal(struct loop *, int signo, void (*fn)(int signo, void *arg), void *arg,
			  struct err *);

/* Call fn(ptr) at the tail of this round, or of the next one if no round is running. */
void loop_defer(struct loop *, void *ptr, void (*fn)(void *ptr));

/* Call fn(arg) at the tail of each round; a loop has one such hook; fn NULL: none. */
void loop_on_tail(struct loop *, void (*fn)(void *arg), void *arg);
/* The next round does not wait for an event: for a tail hook that has more work to do. */
void loop_skip_wait(struct loop *);

#endif
