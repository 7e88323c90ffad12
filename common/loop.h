/* loop - one event base with what every thread of ours needs on it: timers,
 * signals, a mailbox that other threads post to, and freeing at the tail of a
 * round, so that no callback frees what its caller still holds.
 * Thread: the one that runs the loop; only loop_post() and loop_stop() may be
 * called from others. */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/err.h"

struct loop; /* opaque; loop.c */

/* Timers run out at the next whole millisecond (epoll_wait(2) counts in these). */
NODISCARD struct loop *loop_new(struct err *);
/* Timers run out within microseconds (timerfd), for one system call more in each round. */
NODISCARD struct loop *loop_new_precise(struct err *);
void loop_free(struct loop **);
struct event_base *loop_base(struct loop *);

/* Run until loop_stop().  Each round: events, then the tail (what was deferred). */
void loop_run(struct loop *);
/* One round; waits for an event unless `nowait`.  For tests and shutdown. */
void loop_once(struct loop *, bool nowait);
void loop_stop(struct loop *); /* any thread */
/* Counts the rounds: who does something for many in one of them lets the others have
 * their turn by going on in the next. */
uint64_t loop_round(const struct loop *);

/* Mailbox.  A mail is embedded in what it is about; it is the loop's from post to
 * the call of fn, which runs on the loop's thread, in the order of posting.  The
 * eventfd is written only where the mailbox was empty. */
struct loop_mail {
	struct loop_mail *next;
	void (*fn)(struct loop_mail *);
};
void loop_post(struct loop *, struct loop_mail *);
/* The same without a mail of one's own: allocates one. */
void loop_call(struct loop *, void (*fn)(void *arg), void *arg);

/* Timers, monotonic.  fn runs once for each set; it may set again or fini. */
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

/* Watch a descriptor (level-triggered): fn gets EV_READ and/or EV_WRITE. */
struct loop_fd {
	struct event ev;
	void (*fn)(int fd, short what, void *arg);
	void *arg;
	bool is_added;
};
void loop_fd_init(struct loop_fd *);
void loop_fd_set(struct loop_fd *, struct loop *, int fd, short what,
		 void (*fn)(int fd, short what, void *arg), void *arg);
void loop_fd_clear(struct loop_fd *);

/* Call fn(arg) on this loop when the signal arrives.  Main thread's loop only. */
NODISCARD int loop_signal(struct loop *, int signo, void (*fn)(int signo, void *arg), void *arg,
			  struct err *);

/* Call fn(ptr) at the tail of this round (or of the next, if none is running). */
void loop_defer(struct loop *, void *ptr, void (*fn)(void *ptr));

/* Run fn(arg) at the tail of each round; one hook per loop. */
void loop_on_tail(struct loop *, void (*fn)(void *arg), void *arg);
/* From the tail hook, which has more to do: the next round does not wait for an event. */
void loop_go_on(struct loop *);

#endif
