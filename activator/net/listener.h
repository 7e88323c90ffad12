/* listener - the listening sockets of one thread: accepts connections and gives them to the
 * owner.
 *
 * At the descriptor limit accept(2) fails while the client stays in the queue, so that a
 * level-triggered event would come again and again.  Therefore one descriptor is held in
 * reserve: it is closed for a moment, the connection is accepted in its place, and the
 * owner tells the client that there is no room.  Where even that fails, accepting pauses.
 * Thread: the loop's. */
#ifndef ACTIVATOR_NET_LISTENER_H
#define ACTIVATOR_NET_LISTENER_H

#include "common/settings.h"

struct claim;
struct listener; /* opaque; listener.c */
struct loop;

struct listener_ops {
	/* fd is a connection that was accepted at the address of `spec`, which is a part of the
	 * conf; it does not block, and the callee owns it. */
	void (*on_accept)(int fd, const struct addr *peer, const struct listen_spec *spec,
			  void *arg);
	/* fd is an accepted connection that has the reserved descriptor: the callee may
	 * write to it, and closes it before it returns. */
	void (*on_no_descriptor)(int fd, const struct listen_spec *spec, void *arg);
};

/* Listen on all addresses of the conf: with SO_REUSEPORT, or on a copy of what was claimed
 * (claim_fd()).  ops and arg are borrowed. */
NODISCARD struct listener *listener_new(struct loop *, const struct activator_conf *,
					const struct claim *, const struct listener_ops *ops,
					void *arg, struct err *);
/* Accept all connections whose handshake is done, without waiting for an event. */
void listener_accept_rest(struct listener *);
void listener_free(struct listener **); /* closes the sockets; *listener may be NULL */

#endif
