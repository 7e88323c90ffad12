#include "activator/http/websocket.h"

#include <string.h>

#define SHA1_BYTES 20

/* --- SHA-1 (FIPS 180-4), of up to one block and a half.  It protects nothing here: it shows that
 * the instance has read the key. --- */

static uint32_t
rotate(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

static void
sha1_block(uint32_t h[5], const unsigned char block[64])
{
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
	size_t i;

	for (i = 0; i < 16; i++)
		w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
		       (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
	for (; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (i = 0; i < 80; i++) {
		uint32_t f = i < 20   ? ((b & c) | (~b & d)) + 0x5a827999
			     : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1
			     : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
				      : (b ^ c ^ d) + 0xca62c1d6;
		uint32_t next = rotate(a, 5) + f + e + w[i];

		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = next;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

static void
sha1(const char *data, size_t n, unsigned char out[SHA1_BYTES])
{
	uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	unsigned char blocks[128] = {0};
	size_t size = n + 9 <= 64 ? 64 : 128, i;

	CHECK(n + 9 <= sizeof blocks);
	memcpy(blocks, data, n);
	blocks[n] = 0x80;
	blocks[size - 2] = (unsigned char)(n * 8 >> 8);
	blocks[size - 1] = (unsigned char)(n * 8);
	for (i = 0; i < size; i += 64)
		sha1_block(h, blocks + i);
	for (i = 0; i < SHA1_BYTES; i++)
		out[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
}

/* --- */

void
websocket_make_accept(const char *key, char accept[WEBSOCKET_ACCEPT])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 1.3 */
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned char raw[SHA1_BYTES + 1] = {0};
	char text[64];
	size_t n = strlen(key), i;

	CHECK(n + sizeof guid <= sizeof text);
	memcpy(text, key, n);
	memcpy(text + n, guid, sizeof guid);
	sha1(text, n + strlen(guid), raw);
	for (i = 0; i < 7; i++) {
		const unsigned char *in = raw + 3 * i;

		accept[4 * i] = digits[in[0] >> 2];
		accept[4 * i + 1] = digits[(in[0] & 3) << 4 | in[1] >> 4];
		accept[4 * i + 2] = digits[(in[1] & 15) << 2 | in[2] >> 6];
		accept[4 * i + 3] = digits[in[2] & 63];
	}
	accept[WEBSOCKET_ACCEPT - 1] = '=';
}

static const char accept_name[] = "sec-websocket-accept";

bool
websocket_is_accepted(const struct h1_head *h, const char *key)
{
	char accept[WEBSOCKET_ACCEPT];
	uint32_t i;

	websocket_make_accept(key, accept);
	for (i = 0; i < h->n; i++)
		if (field_is(h->fields[i].name, h->fields[i].name_n, accept_name))
			return h->fields[i].value_n == WEBSOCKET_ACCEPT &&
			       memcmp(h->fields[i].value, accept, WEBSOCKET_ACCEPT) == 0;
	return false;
}

size_t
websocket_drop_accept(char *fields, size_t n)
{
	char *at = fields, *end = fields + n;

	while (at < end) {
		char *lf = memchr(at, '\n', (size_t)(end - at));
		char *colon = memchr(at, ':', (size_t)(end - at));
		char *next = lf == NULL ? end : lf + 1;

		if (colon != NULL && colon < next &&
		    field_is(at, (size_t)(colon - at), accept_name)) {
			memmove(at, next, (size_t)(end - next));
			end -= next - at;
		} else {
			at = next;
		}
	}
	return (size_t)(end - fields);
}
