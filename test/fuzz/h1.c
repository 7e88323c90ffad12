/* libFuzzer: any bytes as a head or a chunked body, as the first byte says.  If they are
 * accepted, what we write for the other side must be parsed as the same message: two readers
 * must never see two messages. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "activator/http/chunked.h"
#include "activator/http/h1.h"
#include "activator/http/request.h"
#include "activator/http/response.h"
#include "common/addr.h"

#define FIELDS_MAX 100
/* All that the proxy adds is as long as it can be: the buffer holds that, too. */
#define LONGEST_PEER "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"
#define TIMING "queue;dur=1, start;dur=2"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct h1_head head, again;

/* The size of the head in buf, which must be the same if it is found byte by byte. */
static ssize_t
scan(const char *buf, size_t n)
{
	size_t seen = 0, seen_slow = 0, i;
	ssize_t size = h1_scan(buf, n, &seen), slow = 0;

	for (i = 1; i <= n && slow == 0; i++)
		slow = h1_scan(buf, i, &seen_slow);
	CHECK(slow == size);
	CHECK(size <= (ssize_t)n);
	return size;
}

/* What we write is one whole head, without a byte that could end it early. */
static void
check_written(const char *out, size_t n)
{
	size_t seen = 0, i;

	CHECK(h1_scan(out, n, &seen) == (ssize_t)n);
	for (i = 0; i < n; i++) {
		CHECK(out[i] != '\0');
		CHECK(out[i] != '\n' || (i > 0 && out[i - 1] == '\r'));
		CHECK(out[i] != '\r' || (i + 1 < n && out[i + 1] == '\n'));
	}
}

static bool
same(const char *a, size_t an, const char *b, size_t bn)
{
	return an == bn && (an == 0 || memcmp(a, b, an) == 0);
}

static void
request(const char *buf, size_t n, bool is_trusted, bool is_knative)
{
	static const struct request_knative knative = {
		.drops_inner = true, .tag = "tag", .is_default_route = true};
	struct request req, req_again;
	struct request_hop hop = {
		.peer = is_trusted ? LONGEST_PEER : "192.0.2.1",
		.is_peer_v6 = is_trusted,
		.is_peer_trusted = is_trusted,
		.has_via = is_trusted,
		.knative = is_knative ? &knative : NULL,
	};
	ssize_t size = scan(buf, n);
	enum outcome read_again;
	char *out;
	size_t out_n;

	if (size <= 0 || h1_parse_request(&head, buf, (size_t)size, FIELDS_MAX) != H1_OK ||
	    request_read(&req, &head) != OUT_OK)
		return;
	out = xmalloc(request_size(&req, &hop));
	out_n = request_write(&req, &hop, out, request_size(&req, &hop));
	CHECK(out_n <= request_size(&req, &hop));
	check_written(out, out_n);
	CHECK(h1_parse_request(&again, out, out_n, H1_FIELDS_MAX) == H1_OK);
	read_again = request_read(&req_again, &again);
	CHECK(read_again == OUT_OK ||
	      read_again == OUT_MAX_FORWARDS); /* Max-Forwards was lowered */
	CHECK(req_again.framing == req.framing && req_again.length == req.length);
	CHECK(same(head.method, head.method_n, again.method, again.method_n));
	CHECK(same(req.path, req.path_n, req_again.path, req_again.path_n) || req.path_n == 0);
	CHECK(same(req.authority, req.authority_n, req_again.authority, req_again.authority_n));
	free(out);
}

static void
response(const char *buf, size_t n, bool is_head_method)
{
	struct response resp, resp_again;
	struct response_hop hop = {.is_persistent = true,
				   .has_via = true,
				   .takes_trailers = true,
				   .date = "Sun, 06 Nov 1994 08:49:37 GMT",
				   .server_timing = is_head_method ? TIMING : NULL};
	ssize_t size = scan(buf, n);
	enum framing framing;
	char *out;
	size_t out_n;

	if (size <= 0 || h1_parse_response(&head, buf, (size_t)size, FIELDS_MAX) != H1_OK ||
	    response_read(&resp, &head, is_head_method, false) < 0)
		return;
	framing = response_framing(&resp, &hop);
	out = xmalloc(response_size(&resp, &hop));
	out_n = response_write(&resp, &hop, out, response_size(&resp, &hop));
	CHECK(out_n <= response_size(&resp, &hop));
	check_written(out, out_n);
	CHECK(h1_parse_response(&again, out, out_n, H1_FIELDS_MAX) == H1_OK);
	CHECK(response_read(&resp_again, &again, is_head_method, false) == 0);
	CHECK(resp_again.status == resp.status && resp_again.is_bodyless == resp.is_bodyless);
	CHECK(resp.is_bodyless || resp_again.framing == framing);
	CHECK(resp.framing != FRAMING_LENGTH || resp_again.length == resp.length);
	free(out);
}

/* Decode in pieces of `step` bytes; out: the data.  Returns its size, or -1. */
static ssize_t
decode(const char *buf, size_t n, size_t step, char *out, size_t *consumed)
{
	struct chunked *c;
	size_t at = 0, data_n = 0;
	bool is_wrong = false;

	head = (struct h1_head){.n = 1,
				.fields = {{.value = "x-sum", .value_n = 5, .id = FIELD_TRAILER}}};
	c = chunked_new(&head, 64, 4); /* so low that small inputs reach the bound */
	while (at < n && !is_wrong && !chunked_done(c)) {
		size_t len = MIN(step, n - at), got = 0;
		char *piece = xmalloc(len);
		ssize_t used;

		memcpy(piece, buf + at, len);
		used = chunked_feed(c, piece, len, &got);
		CHECK(used < 0 || ((size_t)used == len || chunked_done(c)));
		CHECK(used < 0 || got <= (size_t)used);
		is_wrong = used < 0;
		if (!is_wrong) {
			memcpy(out + data_n, piece, got);
			data_n += got;
			at += (size_t)used;
		}
		free(piece);
	}
	*consumed = at;
	chunked_free(&c);
	return is_wrong ? -1 : (ssize_t)data_n;
}

static void
chunked(const char *buf, size_t n, size_t step)
{
	char *whole = xmalloc(n + 1), *pieces = xmalloc(n + 1);
	size_t whole_at, pieces_at;
	ssize_t whole_n = decode(buf, n, n + 1, whole, &whole_at);
	ssize_t pieces_n = decode(buf, n, step, pieces, &pieces_at);

	CHECK(whole_n == pieces_n);
	if (whole_n >= 0) {
		CHECK(whole_at == pieces_at);
		CHECK(memcmp(whole, pieces, (size_t)whole_n) == 0);
	}
	free(whole);
	free(pieces);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *buf = (const char *)data + 1;

	if (size == 0 || size > 20000)
		return 0;
	switch (data[0] % 8) {
	case 0:
	case 1:
	case 2:
		request(buf, size - 1, data[0] % 8 != 0, data[0] % 8 == 2);
		break;
	case 3:
	case 4:
	case 5:
		response(buf, size - 1, data[0] % 8 == 4);
		break;
	default:
		chunked(buf, size - 1, data[0] % 8 == 6 ? 1 : 3);
		break;
	}
	return 0;
}
