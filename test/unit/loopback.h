/* loopback - a free port of 127.0.0.1 for a test: the kernel picks it. */
#ifndef TEST_UNIT_LOOPBACK_H
#define TEST_UNIT_LOOPBACK_H

#include <sys/socket.h>

#include "common/addr.h"

/* A TCP socket that is bound but does not listen yet; *at: to which address and port.
 * flags: SOCK_NONBLOCK, SOCK_CLOEXEC or 0. */
static inline int
loopback_bind(int flags, struct addr *at)
{
	int fd = socket(AF_INET, SOCK_STREAM | flags, 0);

	CHECK(fd >= 0 && addr_set(at, "127.0.0.1", 0, NULL) == 0);
	CHECK(bind(fd, (const struct sockaddr *)&at->ss, at->len) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&at->ss, &at->len) == 0);
	return fd;
}

static inline int
loopback_listen(int flags, int backlog, struct addr *at)
{
	int fd = loopback_bind(flags, at);

	CHECK(listen(fd, backlog) == 0);
	return fd;
}

#endif
