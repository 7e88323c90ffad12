/* dispatch - takes a request from its route to its end: it gets a slot and a connection, sends
 * the head, acts on what relay.c reports, and tries again if an instance failed the request
 * (promise 2, README).
 *
 * Each call may end the request (DONE, CUT).  The caller then calls conn_advance(), which begins
 * the next request; no function here does.
 * Thread: the worker's. */
#ifndef ACTIVATOR_DISPATCH_H
#define ACTIVATOR_DISPATCH_H

#include "activator/outcome.h"
#include "activator/upstream.h"

struct worker;
struct xfer;

/* ROUTED, its head is in w->write_buf or kept: get a slot, or be parked.  is_back: it has been
 * in the queue or at an instance before.  Then it goes before all requests that were not sent
 * anywhere yet, among the others in their first order. */
void dispatch_admit(struct xfer *, bool is_back);
/* PARKED, PERMIT: inbox_next() has returned its waiter. */
void dispatch_granted(struct xfer *);
/* PARKED past its deadline. */
void dispatch_late(struct xfer *);
/* Try the first STARVED request again: of those that wait for a descriptor, or for room for a
 * handshake.  Returns it, or NULL: none waits for that, or there is still none. */
struct xfer *dispatch_next_starved(struct worker *);
struct xfer *dispatch_next_crowded(struct worker *);

/* Send the first PAUSED request again, if its time has come.  Returns it, or NULL: there is none
 * now. */
struct xfer *dispatch_next_paused(struct worker *);

/* CONNECTING: what has become of its connection. */
void dispatch_connected(struct xfer *, enum upstream_reached);
/* EXCHANGE, TUNNEL: the client has sent something, or has taken what waited for room. */
void dispatch_client_readable(struct xfer *);
void dispatch_client_drained(struct xfer *);
/* CONNECTING, EXCHANGE, TUNNEL: an event of the connection to the instance. */
void dispatch_upstream_ready(struct xfer *);
/* Its time limit has passed; the outcome is that of deadline_of() (deadline.h). */
void dispatch_timed_out(struct xfer *, enum outcome);

#endif
