#include "activator/net/claim.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/holder.h"

static int
claim(const char *text, struct err *e)
{
	struct addr addr;
	char holder[HOLDER_TEXT];
	int on = 1, fd, rc = 0;

	if (addr_parse(&addr, text, e) < 0)
		return -1;
	fd = socket(addr.ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(e, "cannot listen on %s", text);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (addr.ss.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&addr.ss, addr.len) < 0) {
		rc = errno == EADDRINUSE ? err_set(e, errno, "cannot listen on %s: held by %s",
						   text, holder_of(&addr, holder))
					 : err_errno(e, "cannot listen on %s", text);
	}
	close(fd);
	return rc;
}

int
claim_addresses(const struct str_list *addresses, struct err *e)
{
	size_t i;

	for (i = 0; i < addresses->n; i++)
		if (claim(addresses->v[i], e) < 0)
			return -1;
	return 0;
}
