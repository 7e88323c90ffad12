#include "activator/net/claim.h"

#include <errno.h>
#include <unistd.h>

#include "activator/net/tcp.h"
#include "common/holder.h"

static int
claim(const char *text, struct err *e)
{
	struct addr addr;
	char holder[HOLDER_TEXT];
	int fd;

	if (addr_parse(&addr, text, e) < 0)
		return -1;
	fd = tcp_bind(&addr, false);
	if (fd < 0 && errno == EADDRINUSE)
		return err_set(e, errno, "cannot listen on %s: held by %s", text,
			       holder_of(&addr, holder));
	if (fd < 0)
		return err_errno(e, "cannot listen on %s", text);
	close(fd);
	return 0;
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
