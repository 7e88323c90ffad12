/* worker_change - a worker goes over to other settings while it runs, and to the listening sockets
 * and the TLS that belong to them.
 *
 * Connections and requests go on: what they were given before stays theirs, and what they do next
 * goes by the new settings.  An address that is gone is accepted from no more.
 * Thread: main; each worker makes its change between two events. */
#ifndef ACTIVATOR_WORKER_CHANGE_H
#define ACTIVATOR_WORKER_CHANGE_H

#include "common/err.h"

struct listen_set;
struct tls_state;
struct worker;
struct worker_change; /* opaque */
struct worker_conf;

/* All of a change that can fail; the worker does not notice.  state: NULL: the conf has no
 * certificates.  NULL with err. */
NODISCARD struct worker_change *worker_change_new(struct worker *, struct worker_conf *,
						  const struct listen_set *, struct tls_state *,
						  struct err *);
/* Make the changes of all n workers, which run.  It returns when they have gone over: what has
 * ended is closed then.  Only a worker that hangs is not waited for, which the log says. */
void worker_change_make(struct worker_change **v, unsigned n);
/* It is not made. */
void worker_change_free(struct worker_change **);

#endif
