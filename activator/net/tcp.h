/* tcp - how TCP sockets are made: to listen, and to connect.  Where it connects, a Unix socket
 * may stand in the place of TCP.  All of them are closed on exec.  Thread: any. */
#ifndef ACTIVATOR_NET_TCP_H
#define ACTIVATOR_NET_TCP_H

#include "common/addr.h"

/* A socket that is bound to addr.  is_shared: with SO_REUSEPORT, so that each worker may
 * bind one.  -1: errno says why. */
NODISCARD int tcp_bind(const struct addr *addr, bool is_shared);

/* A non-blocking socket that can connect to addr, without Nagle's delay.  -1: errno. */
NODISCARD int tcp_socket(const struct addr *addr);
/* Send small writes at once.  Accepted sockets inherit it from the one that listens. */
void tcp_no_delay(int fd);
/* Probe a peer that has been silent for idle_ns, so that one whose machine is gone is noticed
 * after about twice that time.  0: never.  Accepted sockets inherit it from the one that
 * listens. */
void tcp_keep_alive(int fd, int64_t idle_ns);
/* As tcp_keep_alive(), of a socket for which something else may have been set before. */
void tcp_change_keep_alive(int fd, int64_t idle_ns);
/* End the connection if the peer does not acknowledge sent bytes, or a keep-alive probe, for
 * limit_ns (TCP_USER_TIMEOUT).  The kernel ends it likewise if the peer acknowledges, but has
 * no room for bytes for so long.  0: the kernel's own limit. */
void tcp_limit_unacknowledged(int fd, int64_t limit_ns);
/* Begin to connect fd to addr.  0: done or under way; -1: errno says why not. */
NODISCARD int tcp_connect(int fd, const struct addr *addr);
/* Close a connection whose peer has to notice at once.  close(2) alone may be noticed later: a
 * process that is being started (upgrade.h) has a copy of each descriptor until its program runs.
 */
void tcp_close(int fd);
/* The same with a reset. */
void tcp_abort(int fd);
/* True where both ends of the connection are fd: for a connect to a loopback port on which
 * nothing listens, the kernel may choose that very port as the local one. */
bool tcp_is_self_connected(int fd, const struct addr *peer);

#endif
