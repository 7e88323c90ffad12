#include "autoscaler/process/ports.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define KERNEL_RANGE "/proc/sys/net/ipv4/ip_local_port_range"

unsigned
ports_overlap(uint32_t first, uint32_t last, uint32_t kernel_first, uint32_t kernel_last)
{
	uint32_t from = MAX(first, kernel_first);
	uint32_t to = MIN(last, kernel_last);

	return kernel_first == 0 || from > to ? 0 : to - from + 1;
}

void
ports_init(struct ports *p, uint32_t first, uint32_t last, uint32_t kernel_first,
	   uint32_t kernel_last)
{
	unsigned lost = ports_overlap(first, last, kernel_first, kernel_last);

	CHECK(first > 0 && first <= last && last <= UINT16_MAX);
	*p = (struct ports){.first = (uint16_t)first, .last = (uint16_t)last};
	if (lost > 0 && lost < last - first + 1) {
		p->kernel_first = (uint16_t)kernel_first;
		p->kernel_last = (uint16_t)MIN(kernel_last, UINT16_MAX);
	}
}

int
ports_read_kernel(uint32_t *first, uint32_t *last, struct err *e)
{
	FILE *f = fopen(KERNEL_RANGE, "re");
	int n;

	if (f == NULL)
		return err_errno(e, "cannot read %s", KERNEL_RANGE);
	n = fscanf(f, "%u %u", first, last);
	fclose(f);
	return n == 2 ? 0 : err_set(e, 0, "cannot read %s: not two numbers", KERNEL_RANGE);
}

static bool
is_ephemeral(const struct ports *p, uint32_t port)
{
	return p->kernel_first != 0 && port >= p->kernel_first && port <= p->kernel_last;
}

uint32_t
ports_n(const struct ports *p)
{
	return (uint32_t)p->last - p->first + 1;
}

uint32_t
ports_steps(const struct ports *p, uint32_t place, uint16_t port)
{
	uint32_t n = ports_n(p);

	return ((uint32_t)port - p->first + n - place % n) % n + 1;
}

uint16_t
ports_pick(const struct ports *p, uint32_t place, bool (*is_free)(uint16_t, void *), void *arg)
{
	uint32_t n = ports_n(p), i;

	for (i = 0; i < n; i++) {
		uint16_t port = (uint16_t)(p->first + (place % n + i) % n);

		if (!is_ephemeral(p, port) && is_free(port, arg))
			return port;
	}
	return 0;
}

/* Bind the port, and tell what it was good for.  *is_supported: the machine has this family. */
static enum ports_use
try_bind(int family, const struct sockaddr *sa, socklen_t len, bool *is_supported)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	enum ports_use use = PORTS_IN_USE;
	int no = 0, yes = 1;

	*is_supported = fd >= 0;
	if (fd < 0)
		return PORTS_IN_USE;
	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no) < 0)
		*is_supported = false;
	if (bind(fd, sa, len) == 0)
		use = PORTS_FREE;
	else if (errno == EADDRNOTAVAIL)
		*is_supported = false;
	else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
		 bind(fd, sa, len) == 0)
		use = PORTS_LINGERING;
	close(fd);
	return use;
}

enum ports_use
ports_use(uint16_t port)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
	bool is_supported;
	enum ports_use use = try_bind(AF_INET6, (struct sockaddr *)&six, sizeof six, &is_supported);

	if (is_supported)
		return use;
	return try_bind(AF_INET, (struct sockaddr *)&four, sizeof four, &is_supported);
}
