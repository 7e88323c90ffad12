/* addr - socket addresses from `host:port`, `[v6]:port`, `:port` and `unix:/path`, and networks
 * in CIDR form.  Hosts are numeric, or `localhost` (127.0.0.1): nothing here asks a resolver.
 * Thread: any. */
#ifndef COMMON_ADDR_H
#define COMMON_ADDR_H

#include <sys/socket.h>

#include "common/err.h"

/* The family AF_UNSPEC stands for an address that is unknown. */
struct addr {
	struct sockaddr_storage ss;
	socklen_t len;
};

#define ADDR_UNIX "unix:"      /* before the path of a Unix socket */
#define ADDR_UNKNOWN "unknown" /* an address of no family */
#define ADDR_TEXT 128	       /* bytes that addr_format() needs: a path has 107 at most */
#define ADDR_IP_TEXT 64	       /* bytes that addr_format_host() needs */
#define ADDR_NAME_TEXT 256

NODISCARD int addr_parse(struct addr *, const char *text, struct err *);
NODISCARD int addr_set(struct addr *, const char *ip, uint16_t port, struct err *);
/* From the 4 or 16 bytes of an IP address, in network order.  An IPv4-mapped address
 * (::ffff:1.2.3.4) becomes the IPv4 address. */
void addr_set_bytes(struct addr *, const void *ip, size_t n, uint16_t port);
/* As addr_parse() and addr_set(), where a Unix socket may stand, too: `unix:/path` with an
 * absolute path.  It has no port. */
NODISCARD int addr_parse_any(struct addr *, const char *text, struct err *);
NODISCARD int addr_set_any(struct addr *, const char *host, uint16_t port, struct err *);
bool addr_is_unix(const struct addr *);
bool addr_is_ip(const struct addr *); /* IPv4 or IPv6 */

/* Split "db.internal:8080" into a name for the resolver and a port that is not 0.  -1: it is
 * no name; names whose last label is a number are not, since they are mistyped addresses. */
NODISCARD int addr_parse_name(const char *text, char name[ADDR_NAME_TEXT], uint16_t *port,
			      struct err *);

/* Of a Unix socket, addr_port() is 0, and addr_set_port() does nothing. */
uint16_t addr_port(const struct addr *);
void addr_set_port(struct addr *, uint16_t port);
bool addr_equal(const struct addr *, const struct addr *); /* address and port */

/* Write "127.0.0.1:80", "[::1]:80" or "unix:/path" into buf; without the port, "127.0.0.1",
 * "::1" or "unix:/path".  Returns buf. */
const char *addr_format(const struct addr *, bool with_port, char buf[ADDR_TEXT]);
/* Write the host alone: "127.0.0.1", "::1", ADDR_UNIX without a path, or ADDR_UNKNOWN.  Returns
 * buf. */
const char *addr_format_host(const struct addr *, char buf[ADDR_IP_TEXT]);

struct addr_net {
	int family;	      /* AF_INET or AF_INET6; AF_UNIX: "unix:", all Unix sockets */
	unsigned char ip[16]; /* network order, host bits zero */
	uint32_t prefix;      /* bits */
};
NODISCARD int addr_net_parse(struct addr_net *, const char *text, struct err *);
/* An IPv4-mapped address (::ffff:1.2.3.4) is looked for in IPv4 networks.  An unknown address is
 * in no network. */
bool addr_net_contains(const struct addr_net *, const struct addr *);

#endif
