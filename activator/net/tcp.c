#include "activator/net/tcp.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "common/clk.h"

#define PROBES 4 /* keep-alive probes before the connection ends */

static void
set(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof value);
}

static void
turn_on(int fd, int level, int option)
{
	set(fd, level, option, 1);
}

/* Whole seconds, one at least. */
static int
seconds(int64_t ns)
{
	return (int)((ns - 1) / CLK_S + 1);
}

void
tcp_no_delay(int fd)
{
	turn_on(fd, IPPROTO_TCP, TCP_NODELAY);
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
	tcp_no_delay(fd);
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

	if (fd >= 0 && !addr_is_unix(addr))
		tcp_no_delay(fd);
	return fd;
}

int
tcp_connect(int fd, const struct addr *addr)
{
	return connect(fd, sockaddr_of(addr), addr->len) < 0 && errno != EINPROGRESS ? -1 : 0;
}

void
tcp_keep_alive(int fd, int64_t idle_ns)
{
	if (idle_ns == 0)
		return;
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds(idle_ns));
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds(idle_ns / PROBES));
	set(fd, IPPROTO_TCP, TCP_KEEPCNT, PROBES);
	turn_on(fd, SOL_SOCKET, SO_KEEPALIVE);
}

void
tcp_change_keep_alive(int fd, int64_t idle_ns)
{
	if (idle_ns == 0)
		set(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
	tcp_keep_alive(fd, idle_ns);
}

void
tcp_limit_unacknowledged(int fd, int64_t limit_ns)
{
	if (limit_ns > 0)
		set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)MAX(limit_ns / CLK_MS, 1));
}

bool
tcp_is_self_connected(int fd, const struct addr *peer)
{
	struct addr own = {.len = sizeof own.ss};

	if (addr_is_unix(peer))
		return false;
	return getsockname(fd, (struct sockaddr *)&own.ss, &own.len) < 0 || addr_equal(&own, peer);
}

void
tcp_close(int fd)
{
	shutdown(fd, SHUT_RDWR);
	close(fd);
}

void
tcp_abort(int fd)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};

	if (connect(fd, &none, sizeof none) < 0) /* no TCP */
		shutdown(fd, SHUT_RDWR);
	close(fd);
}
