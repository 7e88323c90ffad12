/* clients - how many connections each client address has, where the conf bounds that.
 * Without a bound nothing is counted.  Clients without an IP address (ADDR_UNIX, ADDR_UNKNOWN)
 * never are.
 * Thread: the owner's. */
#ifndef ACTIVATOR_CLIENTS_H
#define ACTIVATOR_CLIENTS_H

#include "common/hmap.h"

struct clients {
	struct hmap connections; /* address -> how many, as an integer */
	size_t most;		 /* connections of one address; 0: no bound */
};

void clients_init(struct clients *, size_t most);
void clients_fini(struct clients *);
/* From here on the bound is another one; all connections that are open are to be counted again, by
 * clients_add(). */
void clients_restart(struct clients *, size_t most);
/* Count a connection from address (without port), whatever the bound is. */
void clients_add(struct clients *, const char *address);
/* One connection more from address (without port).  False: it has as many as it may. */
NODISCARD bool clients_enter(struct clients *, const char *address);
void clients_leave(struct clients *, const char *address);

#endif
