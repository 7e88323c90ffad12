/* claim - the addresses to listen on, claimed before the workers are made.
 *
 * Each TCP address is bound once without SO_REUSEPORT and closed again, before the workers
 * bind it with SO_REUSEPORT.  Without this check a second activator could bind the same
 * address, and the kernel would give each of the two a part of the clients.
 * A Unix socket can be bound only once: it is made here, and each worker listens on a copy of
 * its descriptor.
 * Thread: main. */
#ifndef ACTIVATOR_NET_CLAIM_H
#define ACTIVATOR_NET_CLAIM_H

#include <sys/types.h>

#include "common/listen_spec.h"

struct claim; /* opaque; claim.c */

/* mode: of the Unix sockets.  listeners is borrowed.  NULL: *err names the address and the
 * process that holds it. */
NODISCARD struct claim *claim_new(const struct listen_spec *listeners, size_t n, mode_t mode,
				  struct err *);
/* The descriptor of the i-th address, borrowed, if that is a Unix socket; else -1.  claim may
 * be NULL: -1. */
int claim_fd(const struct claim *, size_t i);
/* Each worker has its copies: close ours, so that clients are refused once the workers stop
 * listening. */
void claim_release(struct claim *);
/* Remove the Unix sockets, except where another process has made its own in their place. */
void claim_free(struct claim **);

#endif
