/* inherited - sockets that listen already when a set of listening sockets is opened: those that
 * systemd passes (LISTEN_FDS), those of the process that an upgrade replaces, and those of the
 * settings before a reload.  Each is found by the address that it is bound to.
 * Thread: main. */
#ifndef COMMON_INHERITED_H
#define COMMON_INHERITED_H

#include "common/addr.h"

struct inherited; /* opaque; inherited.c */

struct inherited *inherited_new(void);
/* Close the sockets that were not taken. */
void inherited_free(struct inherited **);

/* Add a socket.  fd becomes ours; it is closed if -1 is returned: it does not listen for stream
 * connections.  is_foreign: systemd has made it, and keeps it open and its file in place.  name:
 * for messages; NULL: none. */
NODISCARD int inherited_add(struct inherited *, int fd, bool is_foreign, const char *name,
			    struct err *);
/* Add the sockets that systemd passes, as sd_listen_fds(3) says, if there are any, and remove
 * LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES from the environment. */
NODISCARD int inherited_add_environment(struct inherited *, struct err *);

/* Take a socket that is bound to addr; the caller owns it.  -1: there is none (any more). */
NODISCARD int inherited_take(struct inherited *, const struct addr *, bool *is_foreign);

/* Has it, or had it, a socket of TCP with the port of addr? */
bool inherited_has_port(const struct inherited *, const struct addr *);

/* Warn of each socket that was not taken. */
void inherited_warn_left(const struct inherited *);

#endif
