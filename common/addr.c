#include "common/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/text.h"
#include "common/unix_socket.h"

/* A sockaddr_storage as what it holds; the union spares casts. */
union any_addr {
	struct sockaddr_storage ss;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

static void
set_v4(struct addr *a, struct in_addr ip, uint16_t port)
{
	union any_addr u = {.in = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = ip}};

	*a = (struct addr){.ss = u.ss, .len = sizeof u.in};
}

static void
set_v6(struct addr *a, struct in6_addr ip, uint16_t port)
{
	union any_addr u = {
		.in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = ip}};

	*a = (struct addr){.ss = u.ss, .len = sizeof u.in6};
}

void
addr_set_bytes(struct addr *a, const void *ip, size_t n, uint16_t port)
{
	struct in_addr v4;
	struct in6_addr v6;

	CHECK(n == sizeof v4 || n == sizeof v6);
	if (n == sizeof v4) {
		memcpy(&v4, ip, n);
		set_v4(a, v4, port);
		return;
	}
	memcpy(&v6, ip, n);
	if (IN6_IS_ADDR_V4MAPPED(&v6))
		addr_set_bytes(a, (const char *)ip + 12, sizeof v4, port);
	else
		set_v6(a, v6, port);
}

int
addr_set(struct addr *a, const char *ip, uint16_t port, struct err *e)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, ip, &v4) == 1)
		set_v4(a, v4, port);
	else if (inet_pton(AF_INET6, ip, &v6) == 1)
		set_v6(a, v6, port);
	else if (strcmp(ip, "localhost") == 0)
		set_v4(a, (struct in_addr){.s_addr = htonl(INADDR_LOOPBACK)}, port);
	else
		return err_set(e, 0, "\"%.100s\" is not a numeric address", ip);
	return 0;
}

int
addr_parse(struct addr *a, const char *text, struct err *e)
{
	const char *colon = strrchr(text, ':'), *host = text;
	size_t n = colon == NULL ? 0 : (size_t)(colon - text);
	char ip[INET6_ADDRSTRLEN];
	uint32_t port;

	if (colon == NULL || !text_number(colon + 1, strlen(colon + 1), UINT16_MAX, &port))
		return err_set(e, 0, "expected address:port, got \"%.100s\"", text);
	if (n == 0) {
		set_v4(a, (struct in_addr){.s_addr = htonl(INADDR_ANY)}, (uint16_t)port);
		return 0;
	}
	if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	} else if (memchr(host, ':', n) != NULL) {
		return err_set(e, 0,
			       "an IPv6 address needs brackets: expected [address]:port, "
			       "got \"%.100s\"",
			       text);
	}
	if (n >= sizeof ip)
		return err_set(e, 0, "\"%.*s\" is not a numeric address", (int)MIN(n, 100), host);
	memcpy(ip, host, n);
	ip[n] = '\0';
	if (host != text && strchr(ip, ':') == NULL)
		return err_set(e, 0, "\"%s\" in brackets is not an IPv6 address", ip);
	return addr_set(a, ip, (uint16_t)port, e);
}

/* --- Unix sockets and names --- */

static bool
has_unix_prefix(const char *text)
{
	return strncmp(text, ADDR_UNIX, sizeof ADDR_UNIX - 1) == 0;
}

static int
set_unix(struct addr *a, const char *text, struct err *e)
{
	const char *path = text + sizeof ADDR_UNIX - 1;
	union any_addr u = {.ss = {0}};

	if (path[0] != '/')
		return err_set(e, 0, "expected an absolute path behind unix:, got \"%.100s\"",
			       text);
	if (unix_socket_address(&u.un, path, e) < 0)
		return -1;
	*a = (struct addr){.ss = u.ss, .len = sizeof u.un};
	return 0;
}

int
addr_parse_any(struct addr *a, const char *text, struct err *e)
{
	return has_unix_prefix(text) ? set_unix(a, text, e) : addr_parse(a, text, e);
}

int
addr_set_any(struct addr *a, const char *host, uint16_t port, struct err *e)
{
	return has_unix_prefix(host) ? set_unix(a, host, e) : addr_set(a, host, port, e);
}

bool
addr_is_unix(const struct addr *a)
{
	return a->ss.ss_family == AF_UNIX;
}

bool
addr_is_ip(const struct addr *a)
{
	return a->ss.ss_family == AF_INET || a->ss.ss_family == AF_INET6;
}

/* Labels of letters, digits, `-` and `_`; container platforms use `_` in names. */
static bool
is_name(const char *name)
{
	static const char digits[] = "0123456789";
	static const char label[] =
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
	const char *s = name;

	for (;;) {
		size_t n = strspn(s, label);

		if (n == 0 || n > 63 || (s[n] != '.' && s[n] != '\0'))
			return false;
		if (s[n] == '\0' || s[n + 1] == '\0') /* the last, maybe with the dot of the root */
			return strspn(s, digits) != n;
		s += n + 1;
	}
}

int
addr_parse_name(const char *text, char name[ADDR_NAME_TEXT], uint16_t *port, struct err *e)
{
	const char *colon = strrchr(text, ':');
	size_t n = colon == NULL ? 0 : (size_t)(colon - text);
	uint32_t number;

	if (n == 0 || n >= ADDR_NAME_TEXT || n > 254 ||
	    !text_number(colon + 1, strlen(colon + 1), UINT16_MAX, &number) || number == 0)
		return err_set(e, 0, "expected name:port, got \"%.100s\"", text);
	memcpy(name, text, n);
	name[n] = '\0';
	if (!is_name(name))
		return err_set(e, 0, "\"%.100s\" is not a host name", name);
	*port = (uint16_t)number;
	return 0;
}

uint16_t
addr_port(const struct addr *a)
{
	union any_addr u = {.ss = a->ss};

	if (addr_is_unix(a))
		return 0;
	return ntohs(u.ss.ss_family == AF_INET6 ? u.in6.sin6_port : u.in.sin_port);
}

void
addr_set_port(struct addr *a, uint16_t port)
{
	union any_addr u = {.ss = a->ss};

	if (u.ss.ss_family == AF_INET6)
		u.in6.sin6_port = htons(port);
	else if (u.ss.ss_family == AF_INET)
		u.in.sin_port = htons(port);
	a->ss = u.ss;
}

/* The bytes of the IP address; *n: 4 or 16.  Of no use for a Unix socket. */
static const unsigned char *
ip_bytes(const union any_addr *u, size_t *n)
{
	if (u->ss.ss_family == AF_INET6) {
		*n = 16;
		return u->in6.sin6_addr.s6_addr;
	}
	*n = 4;
	return (const unsigned char *)&u->in.sin_addr.s_addr;
}

bool
addr_equal(const struct addr *a, const struct addr *b)
{
	union any_addr ua = {.ss = a->ss}, ub = {.ss = b->ss};
	size_t na, nb;
	const unsigned char *pa = ip_bytes(&ua, &na), *pb = ip_bytes(&ub, &nb);

	if (a->ss.ss_family != b->ss.ss_family)
		return false;
	if (addr_is_unix(a))
		return strcmp(ua.un.sun_path, ub.un.sun_path) == 0;
	return addr_port(a) == addr_port(b) && memcmp(pa, pb, na) == 0;
}

const char *
addr_format_host(const struct addr *a, char buf[ADDR_IP_TEXT])
{
	union any_addr u = {.ss = a->ss};
	size_t n;

	if (addr_is_unix(a))
		snprintf(buf, ADDR_IP_TEXT, "%s", ADDR_UNIX);
	else if (inet_ntop(u.ss.ss_family, ip_bytes(&u, &n), buf, ADDR_IP_TEXT) == NULL)
		snprintf(buf, ADDR_IP_TEXT, ADDR_UNKNOWN);
	return buf;
}

const char *
addr_format(const struct addr *a, bool with_port, char buf[ADDR_TEXT])
{
	union any_addr u = {.ss = a->ss};
	char host[ADDR_IP_TEXT];

	addr_format_host(a, host);
	if (addr_is_unix(a))
		snprintf(buf, ADDR_TEXT, ADDR_UNIX "%s", u.un.sun_path);
	else if (!with_port || !addr_is_ip(a))
		snprintf(buf, ADDR_TEXT, "%s", host);
	else
		snprintf(buf, ADDR_TEXT, u.ss.ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host,
			 addr_port(a));
	return buf;
}

/* Are the first `prefix` bits of a and b the same? */
static bool
same_bits(const unsigned char *a, const unsigned char *b, unsigned prefix)
{
	unsigned bytes = prefix / 8, rest = prefix % 8;

	if (memcmp(a, b, bytes) != 0)
		return false;
	return rest == 0 || (a[bytes] ^ b[bytes]) >> (8 - rest) == 0;
}

int
addr_net_parse(struct addr_net *net, const char *text, struct err *e)
{
	const char *slash = strchr(text, '/');
	size_t n = slash == NULL ? strlen(text) : (size_t)(slash - text);
	char ip[INET6_ADDRSTRLEN], base[INET6_ADDRSTRLEN];
	unsigned char bytes[16] = {0};
	uint32_t max, i;
	int family;

	if (strcmp(text, ADDR_UNIX) == 0) {
		*net = (struct addr_net){.family = AF_UNIX};
		return 0;
	}
	if (n >= sizeof ip)
		return err_set(e, 0, "expected a network such as 10.0.0.0/8, got \"%.100s\"", text);
	memcpy(ip, text, n);
	ip[n] = '\0';
	family = strchr(ip, ':') != NULL ? AF_INET6 : AF_INET;
	max = family == AF_INET6 ? 128 : 32;
	*net = (struct addr_net){.family = family, .prefix = max};
	if (inet_pton(family, ip, bytes) != 1 ||
	    (slash != NULL && !text_number(slash + 1, strlen(slash + 1), max, &net->prefix)))
		return err_set(e, 0, "expected a network such as 10.0.0.0/8, got \"%.100s\"", text);
	memcpy(net->ip, bytes, sizeof net->ip);
	for (i = net->prefix; i < max; i++)
		net->ip[i / 8] &= (unsigned char)~(0x80 >> i % 8);
	if (memcmp(net->ip, bytes, sizeof bytes) != 0)
		return err_set(e, 0, "\"%s\" has bits set beyond its prefix: expected %s/%u", text,
			       inet_ntop(family, net->ip, base, sizeof base), net->prefix);
	return 0;
}

bool
addr_net_contains(const struct addr_net *net, const struct addr *a)
{
	union any_addr u = {.ss = a->ss};
	size_t n;
	const unsigned char *ip = ip_bytes(&u, &n);

	if (net->family == AF_UNIX || !addr_is_ip(a))
		return net->family == AF_UNIX && addr_is_unix(a);
	if (n == 16 && net->family == AF_INET && IN6_IS_ADDR_V4MAPPED(&u.in6.sin6_addr)) {
		ip += 12;
		n = 4;
	}
	return n == (net->family == AF_INET6 ? 16u : 4u) && same_bits(ip, net->ip, net->prefix);
}
