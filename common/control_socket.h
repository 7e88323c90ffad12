/* control_socket - where the socket is that `activatorctl` connects to.
 * Thread: any. */
#ifndef COMMON_CONTROL_SOCKET_H
#define COMMON_CONTROL_SOCKET_H

#include "common/base.h"

/* The values of the keys control_socket (NULL: unset) and socket.  Unset, it is beside `socket`:
 * "/run/activator/autoscaler.sock" makes "/run/activator/autoscaler-control.sock".  The path is the
 * caller's. */
NODISCARD char *control_socket_path(const char *control_socket, const char *socket);

#endif
