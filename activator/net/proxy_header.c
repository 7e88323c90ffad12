#include "activator/net/proxy_header.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/text.h"

/* --- version 1: a line --- */

#define V1_PREFIX "PROXY "
#define V1_MOST 107 /* bytes of the longest line, CR LF included */
#define V1_FIELDS 5 /* protocol, two addresses, two ports */

static bool
v1_port(const char *text, uint16_t *out)
{
	uint32_t port;

	/* No leading zeros, which some programs read as octal. */
	if ((text[0] == '0' && text[1] != '\0') ||
	    !text_number(text, strlen(text), UINT16_MAX, &port))
		return false;
	*out = (uint16_t)port;
	return true;
}

/* Of the fields "TCP4", source, destination, source port, destination port. */
static bool
v1_addresses(struct proxy_header *h, char *const fields[V1_FIELDS])
{
	int family = strcmp(fields[0], "TCP4") == 0   ? AF_INET
		     : strcmp(fields[0], "TCP6") == 0 ? AF_INET6
						      : AF_UNSPEC;
	unsigned char source[16], destination[16];
	uint16_t port, destination_port;

	if (family == AF_UNSPEC || inet_pton(family, fields[1], source) != 1 ||
	    inet_pton(family, fields[2], destination) != 1 || !v1_port(fields[3], &port) ||
	    !v1_port(fields[4], &destination_port))
		return false;
	h->origin = PROXY_HEADER_CLIENT;
	addr_set_bytes(&h->client, source, family == AF_INET ? 4 : 16, port);
	return true;
}

/* Split a line with one blank between its fields.  False: it has more, or fewer. */
static bool
v1_split(char *line, char *fields[V1_FIELDS])
{
	size_t i;

	for (i = 0; i < V1_FIELDS; i++) {
		fields[i] = line;
		line += strcspn(line, " ");
		if ((*line == '\0') != (i == V1_FIELDS - 1))
			return false;
		*line++ = '\0';
	}
	return true;
}

/* line: without the prefix and CR LF; it is changed. */
static bool
v1_line(struct proxy_header *h, char *line)
{
	char *fields[V1_FIELDS];

	if (strcmp(line, "UNKNOWN") == 0 || strncmp(line, "UNKNOWN ", 8) == 0) {
		h->origin = PROXY_HEADER_ANONYMOUS; /* whatever follows is to be ignored */
		return true;
	}
	return v1_split(line, fields) && v1_addresses(h, fields);
}

static enum proxy_header_result
v1_parse(struct proxy_header *h, const char *buf, size_t n)
{
	static const size_t prefix_n = sizeof V1_PREFIX - 1;
	size_t most = MIN(n, V1_MOST), end;
	struct proxy_header found = {.origin = PROXY_HEADER_ANONYMOUS};
	char line[V1_MOST + 1];

	for (end = prefix_n; end < most && buf[end] != '\r'; end++)
		if (buf[end] == '\n' || buf[end] == '\0')
			return PROXY_HEADER_MALFORMED;
	if (end + 2 > V1_MOST)
		return PROXY_HEADER_TOO_LONG;
	if (end + 2 > n)
		return PROXY_HEADER_PARTIAL;
	if (buf[end + 1] != '\n')
		return PROXY_HEADER_MALFORMED;
	memcpy(line, buf + prefix_n, end - prefix_n);
	line[end - prefix_n] = '\0';
	if (!v1_line(&found, line))
		return PROXY_HEADER_MALFORMED;
	found.size = end + 2;
	*h = found;
	return PROXY_HEADER_WHOLE;
}

/* --- version 2: binary --- */

static const char v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";
#define V2_SIGNATURE (sizeof v2_signature - 1)
#define V2_FIXED 16 /* bytes before the addresses: signature, command, family, length */
#define V2_TLV 3    /* bytes before the value of a TLV: its type, its length */
#define V2_TYPE_CRC32C 0x03
#define V2_TYPE_SSL 0x20
#define V2_SSL_FIXED 5	   /* bytes before the TLVs in its value: flags, result of a verification */
#define V2_SSL_CLIENT 0x01 /* of the flags: the client speaks TLS */

enum { V2_LOCAL, V2_PROXY };
enum { V2_UNSPEC, V2_INET, V2_INET6, V2_UNIX, V2_FAMILIES };
enum { V2_NO_TRANSPORT, V2_STREAM, V2_DGRAM, V2_TRANSPORTS };

/* Bytes of both addresses, and of both ports. */
static const size_t v2_addresses[V2_FAMILIES] = {
	[V2_INET] = 4 + 4 + 2 + 2, [V2_INET6] = 16 + 16 + 2 + 2, [V2_UNIX] = 108 + 108};

static unsigned
byte_at(const char *buf, size_t at)
{
	return (unsigned char)buf[at];
}

static size_t
two_bytes_at(const char *buf, size_t at)
{
	return byte_at(buf, at) << 8 | byte_at(buf, at + 1);
}

static unsigned
v2_command(const char *buf)
{
	return byte_at(buf, 12) & 15;
}

static unsigned
v2_family(const char *buf)
{
	return byte_at(buf, 13) >> 4;
}

static unsigned
v2_transport(const char *buf)
{
	return byte_at(buf, 13) & 15;
}

/* Are the first V2_FIXED bytes right? */
static bool
v2_is_fixed_right(const char *buf)
{
	if (byte_at(buf, 12) >> 4 != 2 || v2_command(buf) > V2_PROXY)
		return false;
	if (v2_command(buf) == V2_LOCAL) /* all that follows is to be ignored */
		return true;
	return v2_family(buf) < V2_FAMILIES && v2_transport(buf) < V2_TRANSPORTS &&
	       two_bytes_at(buf, 14) >= v2_addresses[v2_family(buf)];
}

/* CRC-32C (Castagnoli, RFC 9260 appendix A), bit by bit: a header is short. */
static uint32_t
crc32c_add(uint32_t crc, unsigned byte)
{
	int i;

	for (crc ^= byte, i = 0; i < 8; i++)
		crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
	return crc;
}

/* The checksum at `at` is that of the header with zeros in its place. */
static bool
v2_is_checksum_right(const char *buf, size_t size, size_t at)
{
	uint32_t crc = UINT32_MAX,
		 said = (uint32_t)two_bytes_at(buf, at) << 16 | (uint32_t)two_bytes_at(buf, at + 2);
	size_t i;

	for (i = 0; i < size; i++)
		crc = crc32c_add(crc, i >= at && i < at + 4 ? 0 : byte_at(buf, i));
	return ~crc == said;
}

/* A TLV of buf[0..size) whose value is buf[value..value + n).  False: it is not right. */
static bool
v2_tlv(struct proxy_header *h, unsigned type, const char *buf, size_t size, size_t value, size_t n)
{
	switch (type) {
	case V2_TYPE_CRC32C:
		return n == 4 && v2_is_checksum_right(buf, size, value);
	case V2_TYPE_SSL:
		h->is_tls = n >= V2_SSL_FIXED && (byte_at(buf, value) & V2_SSL_CLIENT) != 0;
		return n >= V2_SSL_FIXED;
	default:
		return true;
	}
}

/* The TLVs from `at` on.  False: one is not right, or they do not end where the header ends. */
static bool
v2_tlvs(struct proxy_header *h, const char *buf, size_t size, size_t at)
{
	while (at < size) {
		size_t value = at + V2_TLV, n;

		if (value > size)
			return false;
		n = two_bytes_at(buf, at + 1);
		if (n > size - value || !v2_tlv(h, byte_at(buf, at), buf, size, value, n))
			return false;
		at = value + n;
	}
	return true;
}

static enum proxy_header_origin
v2_origin(const char *buf)
{
	if (v2_command(buf) == V2_LOCAL)
		return PROXY_HEADER_PROXY;
	if (v2_family(buf) == V2_UNSPEC || v2_transport(buf) == V2_NO_TRANSPORT)
		return PROXY_HEADER_ANONYMOUS;
	return PROXY_HEADER_CLIENT;
}

/* False: the header is not right. */
static bool
v2_client(struct proxy_header *h, const char *buf, size_t size)
{
	const char *addresses = buf + V2_FIXED;

	switch (v2_family(buf)) {
	case V2_INET:
		addr_set_bytes(&h->client, addresses, 4, (uint16_t)two_bytes_at(addresses, 8));
		break;
	case V2_INET6:
		addr_set_bytes(&h->client, addresses, 16, (uint16_t)two_bytes_at(addresses, 32));
		break;
	default:
		h->client = (struct addr){.ss.ss_family = AF_UNIX, .len = sizeof(sa_family_t)};
	}
	return v2_tlvs(h, buf, size, V2_FIXED + v2_addresses[v2_family(buf)]);
}

static enum proxy_header_result
v2_parse(struct proxy_header *h, const char *buf, size_t n, size_t most)
{
	struct proxy_header found;
	size_t size;

	if (n < V2_FIXED)
		return PROXY_HEADER_PARTIAL;
	if (!v2_is_fixed_right(buf))
		return PROXY_HEADER_MALFORMED;
	size = V2_FIXED + two_bytes_at(buf, 14);
	if (size > most)
		return PROXY_HEADER_TOO_LONG;
	if (size > n)
		return PROXY_HEADER_PARTIAL;
	found = (struct proxy_header){.size = size, .origin = v2_origin(buf)};
	if (found.origin == PROXY_HEADER_CLIENT && !v2_client(&found, buf, size))
		return PROXY_HEADER_MALFORMED;
	*h = found;
	return PROXY_HEADER_WHOLE;
}

/* --- either --- */

/* Are the bytes the beginning of `start`, as far as they go? */
static bool
begins(const char *buf, size_t n, const char *start, size_t start_n)
{
	return memcmp(buf, start, MIN(n, start_n)) == 0;
}

enum proxy_header_result
proxy_header_parse(struct proxy_header *h, const char *buf, size_t n, size_t most)
{
	if (n == 0)
		return PROXY_HEADER_PARTIAL;
	if (begins(buf, n, V1_PREFIX, sizeof V1_PREFIX - 1))
		return n < sizeof V1_PREFIX - 1 ? PROXY_HEADER_PARTIAL : v1_parse(h, buf, n);
	if (begins(buf, n, v2_signature, V2_SIGNATURE))
		return v2_parse(h, buf, n, most);
	return PROXY_HEADER_ABSENT;
}
