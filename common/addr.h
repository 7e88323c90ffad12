/* addr - socket addresses from `host:port`, `[v6]:port` and `:port`, and networks in CIDR
 * form.  Hosts are numeric, or `localhost`: the resolver is never asked.
 * Thread: any. */
#ifndef COMMON_ADDR_H
#define COMMON_ADDR_H

#include <sys/socket.h>

#include "common/err.h"

struct addr {
	struct sockaddr_storage ss;
	socklen_t len;
};

#define ADDR_TEXT 64 /* bytes that addr_format() needs */

NODISCARD int addr_parse(struct addr *, const char *text, struct err *);
NODISCARD int addr_set(struct addr *, const char *ip, uint16_t port, struct err *);
uint16_t addr_port(const struct addr *);
void addr_set_port(struct addr *, uint16_t port);
bool addr_equal(const struct addr *, const struct addr *); /* address and port */

/* Write "127.0.0.1:80" or "[::1]:80" into buf; without the port, "127.0.0.1" or "::1".
 * Returns buf. */
const char *addr_format(const struct addr *, bool with_port, char buf[ADDR_TEXT]);

struct addr_net {
	int family;	      /* AF_INET or AF_INET6 */
	unsigned char ip[16]; /* network order, host bits zero */
	uint32_t prefix;      /* bits */
};
NODISCARD int addr_net_parse(struct addr_net *, const char *text, struct err *);
/* An IPv4-mapped address (::ffff:1.2.3.4) is looked for in IPv4 networks. */
bool addr_net_contains(const struct addr_net *, const struct addr *);

#endif
