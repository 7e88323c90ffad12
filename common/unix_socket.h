/* unix_socket - Unix stream sockets by their path: to connect, and to listen where a stale
 * socket, of a process that has died, may be in the way.  All of them are non-blocking and
 * closed on exec.  Thread: any. */
#ifndef COMMON_UNIX_SOCKET_H
#define COMMON_UNIX_SOCKET_H

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "common/err.h"

#define UNIX_SOCKET_PATH_MAX (sizeof((struct sockaddr_un *)0)->sun_path - 1) /* bytes */

NODISCARD int unix_socket_address(struct sockaddr_un *, const char *path, struct err *);
/* A connected socket, or -1. */
NODISCARD int unix_socket_connect(const char *path, struct err *);
/* A socket that listens at path with this mode, or -1.  It has the mode before it listens, so
 * that no process without the right to it can connect.  A socket at path where no process
 * listens is removed; one where a process listens (EADDRINUSE), and any other file (EEXIST),
 * is an error. */
NODISCARD int unix_socket_listen(const char *path, mode_t mode, struct err *);

#endif
