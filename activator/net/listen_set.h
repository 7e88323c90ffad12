/* listen_set - the addresses that the activator listens on, and their sockets.
 *
 * A TCP address has a socket for each worker (SO_REUSEPORT).  A new address is bound once without
 * SO_REUSEPORT and closed again, before the workers' sockets are bound.  Without this check a
 * second activator could bind the same address, and the kernel would give each of the two a part
 * of the clients.  A Unix socket can be bound only once: all workers accept from the same one.
 *
 * Sockets that are open already (inherited.h) are taken over, all that an address has: to close one
 * of several would reset the clients that wait in its queue.  One that systemd has made is the only
 * one of its address, and all workers accept from it.
 *
 * A set never changes.  For a reload, the next set is made beside the current one and shares with
 * it the sockets of the addresses that both have; then one of the two is freed.  A socket is
 * closed once neither a set nor a worker's listener uses it.
 * Thread: main; a struct listen_socket: any. */
#ifndef ACTIVATOR_NET_LISTEN_SET_H
#define ACTIVATOR_NET_LISTEN_SET_H

#include <sys/types.h>

#include "common/listen_spec.h"

struct inherited;
struct listen_set;    /* opaque; listen_set.c */
struct listen_socket; /* opaque: a descriptor, counted */

struct listen_socket *listen_socket_ref(struct listen_socket *);
void listen_socket_unref(struct listen_socket **); /* the last one closes it */
int listen_socket_fd(const struct listen_socket *);

/* A socket that a worker accepts from, and what the conf says of its address. */
struct listen_use {
	struct listen_socket *socket; /* a reference */
	struct listen_spec spec;
};

struct listen_conf {
	const struct listen_spec *v; /* copied */
	size_t n;
	mode_t mode;	      /* of the Unix sockets */
	int64_t keepalive_ns; /* of accepted connections; 0: none */
	unsigned workers_n;
	struct inherited *inherited; /* what is open already; NULL: nothing */
};

/* The set of these addresses; before: the current set, or NULL.  The sockets of new TCP addresses
 * are bound, but do not listen yet.  NULL: *err names the address, and the process that holds it
 * if one does; `before` is as it was. */
NODISCARD struct listen_set *listen_set_new(const struct listen_conf *,
					    const struct listen_set *before, struct err *);
/* Listen at the new addresses.  -1 with err: free the set. */
NODISCARD int listen_set_start(struct listen_set *, struct err *);
/* From here on mode and keep-alive hold for the addresses of an earlier set and for the sockets
 * that were open already, too.  The file of a Unix socket that was open already is ours to remove
 * only from here on: until then, the activator that has made it may go on. */
void listen_set_settle(struct listen_set *);
/* The sockets of one worker, in *out: an array, which the caller frees, as it does its
 * references.  Returns how many. */
NODISCARD size_t listen_set_of_worker(const struct listen_set *, unsigned worker,
				      struct listen_use **out);
/* Walk over all sockets.  *is_foreign: systemd has made it. */
bool listen_set_each(const struct listen_set *, size_t *place, size_t *at, int *fd,
		     bool *is_foreign);
/* Another process accepts from the sockets from now on: the Unix sockets are its own to remove. */
void listen_set_pass_on(struct listen_set *);
/* Close our sockets, so that clients are refused once the workers stop listening. */
void listen_set_release(struct listen_set *);
/* Remove also the Unix sockets that no other set has, except where another process has made its
 * own in their place. */
void listen_set_free(struct listen_set **);

#endif
