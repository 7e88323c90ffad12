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

#include "common/listen_spec.h"

struct listen_use;
struct listener; /* opaque; listener.c */
struct loop;

struct listener_ops {
	/* fd is a connection that was accepted at the address of `spec`, which is borrowed for the
	 * call; it does not block, and the callee owns it. */
	void (*on_accept)(int fd, const struct addr *peer, const struct listen_spec *spec,
			  void *arg);
	/* fd is an accepted connection that has the reserved descriptor: the callee may
	 * write to it, and closes it before it returns. */
	void (*on_no_descriptor)(int fd, const struct listen_spec *spec, void *arg);
};

/* Without sockets.  ops and arg are borrowed. */
NODISCARD struct listener *listener_new(struct loop *, const struct listener_ops *ops, void *arg);
/* Accept from these sockets, and from no others; takes over their references, v is borrowed.
 * The connections that wait at a socket which goes are accepted first.  Not from an op. */
void listener_use(struct listener *, const struct listen_use *v, size_t n);
/* Accept all connections whose handshake is done, without waiting for an event. */
void listener_accept_rest(struct listener *);
void listener_free(struct listener **); /* closes the sockets; *listener may be NULL */

#endif
