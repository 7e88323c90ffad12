#include "test/fuzz/path_seen.h"

#include <stdlib.h>
#include <string.h>

#include "activator/http/chunked.h"
#include "activator/http/fields.h"
#include "activator/http/h1.h"
#include "activator/http/request.h"
#include "activator/http/response.h"
#include "common/strbuf.h"

static struct h1_head head;

/* --- what the client has received --- */

/* The size, with its framing, of the body at the beginning of buf; -1: it is not whole. */
static ssize_t
body_size(enum framing framing, uint64_t length, const struct h1_head *h, const char *buf, size_t n)
{
	struct chunked *c;
	char *copy;
	size_t data_n;
	ssize_t used;

	switch (framing) {
	case FRAMING_NONE:
		return 0;
	case FRAMING_LENGTH:
		return length > n ? -1 : (ssize_t)length;
	case FRAMING_CLOSE:
		return -1;
	case FRAMING_CHUNKED:
		break;
	}
	c = chunked_new(h, 1 << 20, H1_FIELDS_MAX);
	copy = xmalloc(n + 1);
	memcpy(copy, buf, n);
	used = chunked_feed(c, copy, n, &data_n);
	if (used >= 0 && !chunked_done(c))
		used = -1;
	free(copy);
	chunked_free(&c);
	return used;
}

struct asked {
	bool is_head, is_upgrade, is_http10;
	char mark[MARK]; /* "": it has none */
};

/* Parse the head at the beginning of buf.  Returns its size, or 0: it is not whole. */
static size_t
next_request(const char *buf, size_t n, struct request *r)
{
	size_t seen = 0;
	ssize_t head_n = h1_scan(buf, n, &seen);

	if (head_n <= 0 || h1_parse_request(&head, buf, (size_t)head_n, H1_FIELDS_MAX) != H1_OK ||
	    request_read(r, &head) != OUT_OK)
		return 0;
	return (size_t)head_n;
}

static void
read_mark(const struct h1_head *h, char mark[MARK])
{
	memset(mark, 0, MARK);
	if (h->target_n == 1 + MARK)
		memcpy(mark, h->target + 1, MARK);
}

/* The requests in order. */
static size_t
read_asked(struct seen *seen, const struct strbuf *sent, struct asked *asked, size_t most)
{
	size_t at = 0, count = 0;

	while (count < most && at < sent->len) {
		const char *buf = sent->data + at;
		struct request r;
		size_t head_n = next_request(buf, sent->len - at, &r);
		ssize_t body_n;

		if (head_n == 0)
			break;
		seen->posts += head.method_n == 4 && memcmp(head.method, "POST", 4) == 0;
		asked[count] = (struct asked){.is_head = r.is_head_method,
					      .is_upgrade = r.is_upgrade,
					      .is_http10 = r.is_http10};
		read_mark(&head, asked[count++].mark);
		body_n = body_size(r.framing, r.length, &head, buf + head_n,
				   sent->len - at - head_n);
		if (body_n < 0)
			break;
		seen->whole_n++;
		at += head_n + (size_t)body_n;
	}
	return count;
}

/* Check that the parsed response belongs to a. */
static void
check_mark(const struct asked *a)
{
	uint32_t i;

	for (i = 0; i < head.n; i++)
		if (field_is(head.fields[i].name, head.fields[i].name_n, "x-mark"))
			CHECK(a != NULL && head.fields[i].value_n == MARK &&
			      memcmp(head.fields[i].value, a->mark, MARK) == 0);
}

/* Check for whole responses in their order, or a visible cut. */
static void
check_responses(struct seen *seen, const struct strbuf *got, bool is_eof, bool is_raw,
		const struct asked *asked, size_t asked_n)
{
	size_t at = 0;
	const char *data = strbuf_str(got);

	while (at < got->len) {
		const struct asked *a = seen->answered_n < asked_n ? &asked[seen->answered_n]
								   : NULL;
		struct response r;
		size_t scanned = 0;
		ssize_t head_n = h1_scan(data + at, got->len - at, &scanned), body_n;

		CHECK(head_n >= 0);
		if (head_n == 0)
			break;
		CHECK(h1_parse_response(&head, data + at, (size_t)head_n, H1_FIELDS_MAX) == H1_OK);
		if (!is_raw)
			check_mark(a);
		CHECK(response_read(&r, &head, a != NULL && a->is_head,
				    a != NULL && a->is_upgrade) == 0);
		seen->is_tunnel = r.status == 101;
		if (seen->is_tunnel)
			return;
		CHECK(r.status >= 200 || (a != NULL && !a->is_http10));
		body_n = body_size(r.framing, r.length, &head, data + at + head_n,
				   got->len - at - (size_t)head_n);
		if (r.framing == FRAMING_CLOSE) {
			CHECK(a != NULL && a->is_http10);
			return;
		}
		if (body_n < 0)
			break;
		at += (size_t)(head_n + body_n);
		seen->answered_n += r.status >= 200;
		CHECK(seen->answered_n <=
		      asked_n + 1); /* and one refusal of bytes that are no request */
	}
	/* Within a response there must be no clean end. */
	seen->is_partial = at < got->len;
	CHECK(!seen->is_partial || !is_eof);
}

/* The client has changed to HTTP/2, and is answered in frames. */
static bool
begins_h2(const struct strbuf *sent)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\n"; /* of the preface, RFC 9113 3.4 */

	return sent->len >= sizeof preface - 1 &&
	       memcmp(strbuf_str(sent), preface, sizeof preface - 1) == 0;
}

void
seen_by_client(struct seen *seen, const struct strbuf *sent, const struct strbuf *got, bool is_eof,
	       bool is_raw)
{
	struct asked asked[64];
	size_t n;

	*seen = (struct seen){.posts = 0};
	n = read_asked(seen, sent, asked, ARRAY_LEN(asked));
	if (n < ARRAY_LEN(asked) && !begins_h2(sent))
		check_responses(seen, got, is_eof, is_raw, asked, n);
}

/* --- what an instance has received --- */

unsigned
seen_by_instance(const struct strbuf *got)
{
	size_t at = 0;
	unsigned posts = 0;

	while (at < got->len) {
		const char *buf = got->data + at;
		size_t n = got->len - at, seen = 0, head_n;
		struct request r;
		ssize_t body_n;

		if (h1_scan(buf, n, &seen) == 0)
			break; /* cut within a head */
		head_n = next_request(buf, n, &r);
		if (head_n == 0) { /* the only head of ours that we would refuse */
			CHECK(request_read(&r, &head) == OUT_MAX_FORWARDS);
			return posts;
		}
		posts += head.method_n == 4 && memcmp(head.method, "POST", 4) == 0;
		body_n = body_size(r.framing, r.length, &head, buf + head_n, n - head_n);
		if (r.is_upgrade || body_n < 0)
			break;
		at += head_n + (size_t)body_n;
	}
	return posts;
}

void
seen_last_mark(const struct strbuf *got, char mark[MARK])
{
	size_t at = 0;
	ssize_t body_n = 0;

	for (memset(mark, 0, MARK); at < got->len && body_n >= 0; at += (size_t)body_n) {
		struct request r;
		size_t head_n = next_request(got->data + at, got->len - at, &r);

		memset(mark, 0, MARK);
		if (head_n == 0)
			return;
		read_mark(&head, mark);
		at += head_n;
		body_n = body_size(r.framing, r.length, &head, got->data + at, got->len - at);
	}
}
