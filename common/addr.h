/* addr - `host:port`, `[v6]:port`, `:port` as socket addresses, and networks in
 * CIDR form.  Numeric only, but for `localhost`: no resolver is ever asked.
 * Thread: any. */
#ifndef COMMON_ADDR_H
#define COMMON_ADDR_H

#include <sys/socket.h>

#include "common/err.h"

struct addr {
	struct sockaddr_storage ss;
	socklen_t len;
};

#define ADDR_TEXT 64 /* room for addr_format() */

NODISCARD int addr_parse(struct addr *, const char *text, struct err *);
NODISCARD int addr_set(struct addr *, const char *ip, uint16_t port, struct err *);
uint16_t addr_port(const struct addr *);
void addr_set_port(struct addr *, uint16_t port);
bool addr_equal(const struct addr *, const struct addr *); /* address and port */

/* "127.0.0.1:80", "[::1]:80"; with_port false: the bare address.  Returns buf. */
const char *addr_format(const struct addr *, bool with_port, char buf[ADDR_TEXT]);

struct addr_net {
	int family;	      /* AF_INET or AF_INET6 */
	unsigned char ip[16]; /* network order, host bits zero */
	uint32_t prefix;      /* bits */
};
NODISCARD int addr_net_parse(struct addr_net *, const char *text, struct err *);
/* IPv4 in IPv6 (::ffff:1.2.3.4) matches IPv4 networks. */
bool addr_net_contains(const struct addr_net *, const struct addr *);

#endif
