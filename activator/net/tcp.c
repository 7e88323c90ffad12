#include "activator/net/tcp.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

static void
turn_on(int fd, int level, int option)
{
	int on = 1;

	setsockopt(fd, level, option, &on, sizeof on);
}

static const struct sockaddr *
sockaddr_of(const struct addr *addr)
{
	return (const struct sockaddr *)&addr->ss;
}

int
tcp_bind(const struct addr *addr, bool is_shared)
{
	int fd = socket(addr->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int code;

	if (fd < 0)
		return -1;
	turn_on(fd, SOL_SOCKET, SO_REUSEADDR);
	if (is_shared)
		turn_on(fd, SOL_SOCKET, SO_REUSEPORT);
	if (addr->ss.ss_family == AF_INET6)
		turn_on(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	turn_on(fd, IPPROTO_TCP, TCP_NODELAY); /* accepted sockets inherit it */
	if (bind(fd, sockaddr_of(addr), addr->len) == 0)
		return fd;
	code = errno;
	close(fd);
	errno = code;
	return -1;
}

int
tcp_socket(const struct addr *addr)
{
	int fd = socket(addr->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		turn_on(fd, IPPROTO_TCP, TCP_NODELAY);
	return fd;
}

int
tcp_connect(int fd, const struct addr *addr)
{
	return connect(fd, sockaddr_of(addr), addr->len) < 0 && errno != EINPROGRESS ? -1 : 0;
}

bool
tcp_is_self_connected(int fd, const struct addr *peer)
{
	struct addr own = {.len = sizeof own.ss};

	return getsockname(fd, (struct sockaddr *)&own.ss, &own.len) < 0 || addr_equal(&own, peer);
}
