/* proxy_header: which bytes are a header of the PROXY protocol, and which client it names.  A part
 * of a header decides nothing. */
#include "test/unit/unit.h"

#include "activator/net/proxy_header.h"

#define MOST 4096

/* Bytes that may hold NUL. */
struct bytes {
	const char *at;
	size_t n;
};
#define BYTES(text)                                                                                \
	{                                                                                          \
		text, sizeof text - 1                                                              \
	}

/* In an allocation of exactly n bytes, so that a sanitiser notices reads beyond it. */
static enum proxy_header_result
parse(struct proxy_header *h, const char *bytes, size_t n)
{
	char *copy = xmalloc(MAX(n, (size_t)1));
	enum proxy_header_result r;

	memcpy(copy, bytes, n);
	r = proxy_header_parse(h, copy, n, MOST);
	free(copy);
	return r;
}

/* "client 192.0.2.1:54321", "client unix: tls", "anonymous", "proxy". */
#define ORIGIN_TEXT (ADDR_TEXT + 16)
static const char *
origin_of(const struct proxy_header *h, char out[ORIGIN_TEXT])
{
	char text[ADDR_TEXT];

	switch (h->origin) {
	case PROXY_HEADER_ANONYMOUS:
		return "anonymous";
	case PROXY_HEADER_PROXY:
		return "proxy";
	case PROXY_HEADER_CLIENT:
		break;
	}
	snprintf(out, ORIGIN_TEXT, "client %s%s", addr_format(&h->client, true, text),
		 h->is_tls ? " tls" : "");
	return out;
}

/* --- whole headers --- */

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define TCP4 "\x21\x11\0\x0c\xc0\0\x02\x01\x0a\0\0\x01\xd4\x31\0\x50"
#define IP6_A "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
#define IP6_B "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
#define MAPPED "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01"
#define PATH                                                                                        \
	"/run/x\0"                                                                                  \
	"-----------------------------------------------------------------------------------------" \
	"------------"

static const struct {
	struct bytes header;
	const char *origin;
} whole[] = {
	{BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 54321 80\r\n"), "client 192.0.2.1:54321"},
	{BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
	 "client 255.255.255.255:65535"},
	{BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 0 0\r\n"), "client 192.0.2.1:0"},
	{BYTES("PROXY TCP6 2001:db8::1 2001:db8::2 54321 80\r\n"), "client [2001:db8::1]:54321"},
	{BYTES("PROXY TCP6 ::ffff:192.0.2.1 ::1 54321 80\r\n"), "client 192.0.2.1:54321"},
	{BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
	 "client [ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
	{BYTES("PROXY UNKNOWN\r\n"), "anonymous"},
	{BYTES("PROXY UNKNOWN what ever it says\r\n"), "anonymous"},
	/* the longest line: 107 bytes */
	{BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
	 "anonymous"},
	{BYTES(V2 TCP4), "client 192.0.2.1:54321"},
	{BYTES(V2 "\x21\x12\0\x0c\xc0\0\x02\x01\x0a\0\0\x01\xd4\x31\0\x50"),
	 "client 192.0.2.1:54321"}, /* of a datagram */
	{BYTES(V2 "\x21\x21\0\x24" IP6_A IP6_B "\xd4\x31\0\x50"), "client [2001:db8::1]:54321"},
	{BYTES(V2 "\x21\x21\0\x24" MAPPED IP6_B "\xd4\x31\0\x50"), "client 192.0.2.1:54321"},
	{BYTES(V2 "\x21\x31\0\xd8" PATH PATH), "client unix:"},
	{BYTES(V2 "\x20\0\0\0"), "proxy"},
	{BYTES(V2 "\x20\x11\0\x0c\xc0\0\x02\x01\x0a\0\0\x01\xd4\x31\0\x50"), "proxy"},
	{BYTES(V2 "\x20\xff\0\x02xx"), "proxy"}, /* LOCAL: the rest is not looked at */
	{BYTES(V2 "\x21\0\0\0"), "anonymous"},
	{BYTES(V2 "\x21\0\0\x03xyz"), "anonymous"},
	{BYTES(V2 "\x21\x10\0\x0c\xc0\0\x02\x01\x0a\0\0\x01\xd4\x31\0\x50"), "anonymous"},
	/* TLVs: NOOP, an authority, an empty one */
	{BYTES(V2 "\x21\x11\0\x1a\xc0\0\x02\x01\x0a\0\0\x01\xd4\x31\0\x50\x04\0\x02--"
		  "\x02\0\x03"
		  "a.b"
		  "\xee\0\0"),
	 "client 192.0.2.1:54321"},
	/* TLS at the proxy: without and with a certificate of the client, and none */
	{BYTES(V2 "\x21\x11\0\x14\xc0\0\x02\x01\x0a\0\0\x01\xd4\x31\0\x50\x20\0\x05\x01\0\0\0\0"),
	 "client 192.0.2.1:54321 tls"},
	{BYTES(V2 "\x21\x11\0\x18\xc0\0\x02\x01\x0a\0\0\x01\xd4\x31\0\x50\x20\0\x09\x07\0\0\0\0"
		  "\x22\0\x01"
		  "x"),
	 "client 192.0.2.1:54321 tls"},
	{BYTES(V2 "\x21\x11\0\x14\xc0\0\x02\x01\x0a\0\0\x01\xd4\x31\0\x50\x20\0\x05\0\0\0\0\0"),
	 "client 192.0.2.1:54321"},
	/* the checksum */
	{BYTES(V2 "\x21\x11\0\x13\xc0\0\x02\x01\x0a\0\0\x01\xd4\x31\0\x50\x03\0\x04=#\x0cY"),
	 "client 192.0.2.1:54321"},
};

static void
whole_headers(void **state)
{
	char text[ORIGIN_TEXT], more[512];
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(whole); i++) {
		const struct bytes *b = &whole[i].header;
		struct proxy_header h = {.size = 0};

		for (n = 0; n < b->n; n++)
			assert_int_equal(parse(&h, b->at, n), PROXY_HEADER_PARTIAL);
		assert_int_equal(h.size, 0);
		assert_int_equal(parse(&h, b->at, b->n), PROXY_HEADER_WHOLE);
		assert_int_equal(h.size, b->n);
		assert_string_equal(origin_of(&h, text), whole[i].origin);
		/* The first request may be there already, or another header. */
		memcpy(more, b->at, b->n);
		memcpy(more + b->n, "GET / HTTP/1.1\r\n\r\n", 18);
		assert_int_equal(parse(&h, more, b->n + 18), PROXY_HEADER_WHOLE);
		assert_int_equal(h.size, b->n);
		assert_string_equal(origin_of(&h, text), whole[i].origin);
	}
}

/* --- all others --- */

static const struct {
	struct bytes header;
	enum proxy_header_result result;
} others[] = {
	/* no header */
	{BYTES("GET / HTTP/1.1\r\n"), PROXY_HEADER_ABSENT},
	{BYTES("POST / HTTP/1.1\r\n"), PROXY_HEADER_ABSENT},
	{BYTES("PO"), PROXY_HEADER_ABSENT},
	{BYTES("PRI * HTTP/2.0\r\n"), PROXY_HEADER_ABSENT},
	{BYTES("PROXYTCP4"), PROXY_HEADER_ABSENT},
	{BYTES("proxy TCP4 192.0.2.1 10.0.0.1 54321 80\r\n"), PROXY_HEADER_ABSENT},
	{BYTES(" PROXY UNKNOWN\r\n"), PROXY_HEADER_ABSENT},
	{BYTES("\r\nGET / HTTP/1.1\r\n"), PROXY_HEADER_ABSENT},
	{BYTES("\x16\x03\x01\x02"), PROXY_HEADER_ABSENT},
	{BYTES("\r\n\r\n\0\r\nQUIT\r"), PROXY_HEADER_ABSENT},
	/* version 1 */
	{BYTES("PROXY \r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP5 192.0.2.1 10.0.0.1 54321 80\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY tcp4 192.0.2.1 10.0.0.1 54321 80\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY UNKNOWNS\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 54321\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 54321 80 \r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 54321 80 1\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4  192.0.2.1 10.0.0.1 54321 80\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY  TCP4 192.0.2.1 10.0.0.1 54321 80\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4\t192.0.2.1 10.0.0.1 54321 80\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4 192.0.2 10.0.0.1 54321 80\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4 192.0.2.01 10.0.0.1 54321 80\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4 localhost 10.0.0.1 54321 80\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4 192.0.2.1 10.0.0.256 54321 80\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4 ::1 ::1 54321 80\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP6 192.0.2.1 10.0.0.1 54321 80\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP6 fe80::1%lo ::1 54321 80\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 65536 80\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 54321 65536\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 054321 80\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 00 80\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 +1 80\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 -1 80\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 54321 80\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 54321 80\r\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY UNKNOWN\rx"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY UNKNOWN \0\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY TCP4 192.0.2.1\0 10.0.0.1 54321 80\r\n"), PROXY_HEADER_MALFORMED},
	{BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535x\r\n"),
	 PROXY_HEADER_TOO_LONG},
	{BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535x"),
	 PROXY_HEADER_TOO_LONG},
	/* version 2: another version, command, family, transport */
	{BYTES(V2 "\x11\x11\0\x0c"), PROXY_HEADER_MALFORMED},
	{BYTES(V2 "\x31\x11\0\x0c"), PROXY_HEADER_MALFORMED},
	{BYTES(V2 "\x22\x11\0\x0c"), PROXY_HEADER_MALFORMED},
	{BYTES(V2 "\x21\x41\0\x0c"), PROXY_HEADER_MALFORMED},
	{BYTES(V2 "\x21\x13\0\x0c"), PROXY_HEADER_MALFORMED},
	/* fewer bytes than the addresses need */
	{BYTES(V2 "\x21\x11\0\x0b"), PROXY_HEADER_MALFORMED},
	{BYTES(V2 "\x21\x21\0\x23"), PROXY_HEADER_MALFORMED},
	{BYTES(V2 "\x21\x31\0\xd7"), PROXY_HEADER_MALFORMED},
	{BYTES(V2 "\x21\x11\0\0"), PROXY_HEADER_MALFORMED},
	/* more bytes than a header may have */
	{BYTES(V2 "\x21\x11\xff\xff"), PROXY_HEADER_TOO_LONG},
	{BYTES(V2 "\x20\0\x10\0"), PROXY_HEADER_TOO_LONG},
	{BYTES(V2 "\x20\0\x0f\xf0"), PROXY_HEADER_PARTIAL},
	/* TLVs that are cut, or reach beyond the header */
	{BYTES(V2 "\x21\x11\0\x0d\xc0\0\x02\x01\x0a\0\0\x01\xd4\x31\0\x50\x04"),
	 PROXY_HEADER_MALFORMED},
	{BYTES(V2 "\x21\x11\0\x0e\xc0\0\x02\x01\x0a\0\0\x01\xd4\x31\0\x50\x04\0"),
	 PROXY_HEADER_MALFORMED},
	{BYTES(V2 "\x21\x11\0\x10\xc0\0\x02\x01\x0a\0\0\x01\xd4\x31\0\x50\x04\0\x02-"),
	 PROXY_HEADER_MALFORMED},
	{BYTES(V2 "\x21\x11\0\x0f\xc0\0\x02\x01\x0a\0\0\x01\xd4\x31\0\x50\x04\xff\xff"),
	 PROXY_HEADER_MALFORMED},
	/* too few bytes about TLS */
	{BYTES(V2 "\x21\x11\0\x13\xc0\0\x02\x01\x0a\0\0\x01\xd4\x31\0\x50\x20\0\x04\x01\0\0\0"),
	 PROXY_HEADER_MALFORMED},
	/* a wrong checksum, and one of another size */
	{BYTES(V2 "\x21\x11\0\x13\xc0\0\x02\x02\x0a\0\0\x01\xd4\x31\0\x50\x03\0\x04=#\x0cY"),
	 PROXY_HEADER_MALFORMED},
	{BYTES(V2 "\x21\x11\0\x11\xc0\0\x02\x01\x0a\0\0\x01\xd4\x31\0\x50\x03\0\x02=#"),
	 PROXY_HEADER_MALFORMED},
};

static void
other_bytes(void **state)
{
	struct proxy_header h = {.size = 0};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(others); i++) {
		assert_int_equal(parse(&h, others[i].header.at, others[i].header.n),
				 others[i].result);
		assert_int_equal(h.size, 0);
	}
}

/* What is refused at some length is never taken with more. */
static void
a_refusal_is_final(void **state)
{
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(others); i++) {
		const struct bytes *b = &others[i].header;
		struct proxy_header h;
		bool is_over = false;

		for (n = 0; n <= b->n; n++) {
			enum proxy_header_result r = parse(&h, b->at, n);

			assert_true(r != PROXY_HEADER_WHOLE);
			assert_true(!is_over || r != PROXY_HEADER_PARTIAL);
			is_over = r != PROXY_HEADER_PARTIAL;
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_headers),
		cmocka_unit_test(other_bytes),
		cmocka_unit_test(a_refusal_is_final),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
