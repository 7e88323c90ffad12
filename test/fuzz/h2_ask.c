/* libFuzzer: any bytes as what an instance answers to a probe by HTTP/2.  The first byte says in
 * which pieces they come.  Whatever they are, the probe ends in a verdict or waits for more, and
 * sends no more than a few bytes for each that it gets; and grpc-timeout and the health message are
 * read from the same bytes. */
#include <stdint.h>
#include <string.h>

#include "activator/http/grpc.h"
#include "common/grpc_health.h"
#include "common/h2_ask.h"

#define SENT_MOST 64 /* for each byte that has come: a SETTINGS of 9 bytes is answered by 9 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All that it sends now; false: it cannot go on. */
static bool
drain(struct h2_ask *h, size_t *sent)
{
	const char *bytes;
	ssize_t n;

	while ((n = h2_ask_send(h, &bytes)) > 0)
		*sent += (size_t)n;
	return n == 0;
}

static void
talk(const char *data, size_t size, size_t step)
{
	struct h2_ask *h = grpc_health_new("http", "127.0.0.1:1", "a", 1);
	size_t at, sent = 0, first;
	bool goes_on = drain(h, &sent);

	CHECK(goes_on);
	first = sent;
	for (at = 0; at < size && goes_on && !h2_ask_is_over(h); at += step) {
		goes_on = h2_ask_feed(h, data + at, MIN(step, size - at)) == 0;
		goes_on = drain(h, &sent) && goes_on;
	}
	CHECK(goes_on || h2_ask_trouble(h) != NULL);
	CHECK(sent <= first + 256 + SENT_MOST * size);
	if (h2_ask_is_over(h))
		(void)grpc_health_problem(h);
	h2_ask_free(&h);
}

static void
read_timeout(const char *data, size_t size)
{
	char text[GRPC_TIMEOUT_SIZE];
	int64_t ns = grpc_timeout(data, size), again;
	size_t blanks = 0;

	if (ns < 0)
		return;
	grpc_put_timeout(text, ns);
	while (text[blanks] == ' ')
		blanks++;
	again = grpc_timeout(text + blanks, sizeof text - blanks);
	CHECK(again > 0 && again <= MAX(ns, 1));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	size_t i;

	if (size == 0)
		return 0;
	talk(text + 1, size - 1, 1 + data[0] % 32);
	(void)grpc_health_status(text + 1, size - 1);
	for (i = 2; i <= MIN(size, 10); i++)
		read_timeout(text + 1, i - 1);
	return 0;
}
