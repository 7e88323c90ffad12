/* takeover - the newer side of an upgrade: this process was started by an activator that is to
 * give way to it (upgrade.h).  It opens its addresses with the sockets of the older one, and
 * accepts from them only once it has its services and the older one has said go.
 *
 * The older one may end at any time: then this process accepts at once.  If the older one gives
 * the upgrade up, this process ends.
 * Thread: main. */
#ifndef ACTIVATOR_TAKEOVER_H
#define ACTIVATOR_TAKEOVER_H

#include "activator/bounds.h"

struct elders;
struct inherited;
struct loop;
struct takeover; /* opaque; takeover.c */
struct tls_ticket_keys;

/* The descriptor of the socket to the older one stands in this variable of the environment. */
#define TAKEOVER_VARIABLE "ACTIVATOR_TAKEOVER"

struct takeover_ops {
	/* Accept from now on, and then call takeover_accepting(). */
	void (*on_go)(void *arg);
	/* The older one goes on: end. */
	void (*on_given_up)(void *arg);
};

/* NULL: no upgrade has started this process.  Removes the variable. */
struct takeover *takeover_new(void);
/* *tp may be NULL. */
void takeover_free(struct takeover **tp);

/* Receive what the older one hands over; its sockets go into the set.  Waits some seconds at most.
 * If the older one ends meanwhile, what has come so far has to do. */
NODISCARD int takeover_receive(struct takeover *, struct inherited *, struct err *);
/* Join the bounds of the older one, or open bounds of our own if it has ended too soon. */
NODISCARD int takeover_bounds(struct takeover *, struct bounds *, struct err *);
/* The keys of session tickets.  False: it had none. */
bool takeover_tickets(const struct takeover *, struct tls_ticket_keys *, int64_t *rotated_ns);
/* This process cannot start: tell the older one why, which goes on. */
void takeover_fail(struct takeover *, const char *why);

/* From here on its messages are read on the loop.  The older ones are added to elders, which call
 * takeover_on_ended().  ops and arg are borrowed. */
void takeover_start(struct takeover *, struct loop *, struct elders *, const struct takeover_ops *,
		    void *arg);
/* The services are known: the older one may say go. */
void takeover_ready(struct takeover *);
/* The addresses are accepted from. */
void takeover_accepting(struct takeover *);
/* An older activator has ended. */
void takeover_on_ended(struct takeover *, pid_t);

#endif
