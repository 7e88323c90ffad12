/* libFuzzer: any bytes as the beginning of a connection at a listener with the word proxy.  What
 * the parser says of the whole must agree with what it says of each shorter beginning: as bytes
 * come one by one, it waits until it has decided, and decides once. */
#include <stdint.h>
#include <string.h>

#include "activator/net/proxy_header.h"

#define MOST 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_header(const struct proxy_header *h, size_t n)
{
	char text[ADDR_TEXT];

	CHECK(h->size > 0 && h->size <= n && h->size <= MOST);
	if (h->origin != PROXY_HEADER_CLIENT)
		return;
	addr_format(&h->client, true, text);
	CHECK(addr_is_ip(&h->client) || strcmp(text, ADDR_UNIX) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *buf = (const char *)data;
	enum proxy_header_result before = PROXY_HEADER_PARTIAL;
	struct proxy_header h = {.size = 0}, first = {.size = 0};
	size_t n;

	for (n = 0; n <= MIN(size, (size_t)2 * MOST); n++) {
		enum proxy_header_result r = proxy_header_parse(&h, buf, n, MOST);

		if (r == PROXY_HEADER_WHOLE)
			check_header(&h, n);
		if (before == PROXY_HEADER_PARTIAL) {
			CHECK(r != PROXY_HEADER_WHOLE || h.size == n);
			first = h;
		} else {
			CHECK(r == before ||
			      (before != PROXY_HEADER_WHOLE && r != PROXY_HEADER_PARTIAL &&
			       r != PROXY_HEADER_WHOLE));
			CHECK(r != PROXY_HEADER_WHOLE || h.size == first.size);
		}
		before = r;
	}
	return 0;
}
