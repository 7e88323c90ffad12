#include "test/fuzz/h2_instance.h"

#include <arpa/inet.h>
#include <string.h>

#include "activator/http/h2.h"

#define FRAME_HEAD 9
#define FRAME_MOST 16384 /* RFC 9113 4.2: no instance here allows more */

const char h2_marks[ASKS + 1] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
struct asked_h1 asked[CLIENTS][ASKS];

void
h2_instance_init(struct h2_instance *in, struct peer *p)
{
	memset(in, 0, sizeof *in);
	in->peer = p;
	CHECK(nghttp2_hd_inflate_new(&in->inflater) == 0);
}

/* --- what it gets --- */

static struct asked_h1 *
asked_by(const char mark[MARK])
{
	size_t client = (size_t)(mark[0] - '0');
	const char *at = strchr(h2_marks, mark[1]);

	CHECK(client < CLIENTS && at != NULL && *at != '\0');
	return &asked[client][at - h2_marks];
}

static void
field_came(struct h2_got *got, const nghttp2_nv *nv)
{
	if (nv->namelen == 5 && memcmp(nv->name, ":path", 5) == 0) {
		CHECK(nv->valuelen == 1 + MARK);
		memcpy(got->mark, nv->value + 1, MARK);
	}
	if (nv->namelen == 7 && memcmp(nv->name, ":method", 7) == 0)
		got->is_tunnel = nv->valuelen == 7 && memcmp(nv->value, "CONNECT", 7) == 0;
}

/* A header block; got: NULL: of trailers. */
static void
inflate(struct h2_instance *in, struct h2_got *got, const uint8_t *data, size_t n)
{
	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t used = nghttp2_hd_inflate_hd2(in->inflater, &nv, &flags, data, n, 1);

		CHECK(used >= 0);
		data += used;
		n -= (size_t)used;
		if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0 && got != NULL)
			field_came(got, &nv);
		if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) {
			nghttp2_hd_inflate_end_headers(in->inflater);
			return;
		}
	}
}

static struct h2_got *
stream_of(struct h2_instance *in, int32_t id)
{
	size_t i;

	for (i = 0; i < in->n; i++)
		if (in->streams[i].id == id)
			return &in->streams[i];
	return NULL;
}

/* A request has ended: it must be whole. */
static void
ended(struct h2_got *got)
{
	const struct asked_h1 *a = asked_by(got->mark);

	got->is_ended = true;
	if (!got->is_tunnel)
		CHECK(a->is_whole && a->body_n == got->body_n);
}

static void
headers_came(struct h2_instance *in, int32_t id, uint8_t flags, const uint8_t *data, size_t n)
{
	struct h2_got *got = stream_of(in, id), *new = NULL;

	CHECK((flags & (NGHTTP2_FLAG_PADDED | NGHTTP2_FLAG_PRIORITY)) == 0);
	if (got == NULL) {
		CHECK(id % 2 == 1 && in->n < H2_STREAMS);
		CHECK(in->n == 0 || id > in->streams[in->n - 1].id);
		new = &in->streams[in->n++];
		*new = (struct h2_got){.id = id};
	} else {
		CHECK(!got->is_ended && (flags & NGHTTP2_FLAG_END_STREAM) != 0);
	}
	/* No head and no trailers of these clients need a CONTINUATION. */
	CHECK((flags & NGHTTP2_FLAG_END_HEADERS) != 0);
	inflate(in, new, data, n);
	if (new != NULL)
		CHECK(asked_by(new->mark) != NULL);
	if ((flags & NGHTTP2_FLAG_END_STREAM) != 0)
		ended(new != NULL ? new : got);
}

static void
data_came(struct h2_instance *in, int32_t id, uint8_t flags, size_t n)
{
	struct h2_got *got = stream_of(in, id);

	CHECK(got != NULL && !got->is_ended && (flags & NGHTTP2_FLAG_PADDED) == 0);
	got->body_n += n;
	if (!got->is_tunnel)
		CHECK(got->body_n <= asked_by(got->mark)->body_n);
	if ((flags & NGHTTP2_FLAG_END_STREAM) != 0)
		ended(got);
}

static void
frame_came(struct h2_instance *in, const uint8_t *head, size_t n)
{
	const uint8_t *payload = head + FRAME_HEAD;
	uint32_t id;

	memcpy(&id, head + 5, sizeof id);
	id = ntohl(id);
	switch (head[3]) {
	case NGHTTP2_DATA:
		data_came(in, (int32_t)id, head[4], n);
		break;
	case NGHTTP2_HEADERS:
		headers_came(in, (int32_t)id, head[4], payload, n);
		break;
	case NGHTTP2_RST_STREAM:
		CHECK(n == 4 && stream_of(in, (int32_t)id) != NULL);
		break;
	case NGHTTP2_SETTINGS:
		CHECK(id == 0 && n % 6 == 0);
		break;
	case NGHTTP2_PING:
		CHECK(id == 0 && n == sizeof in->ping);
		if ((head[4] & NGHTTP2_FLAG_ACK) == 0)
			memcpy(in->ping, payload, n);
		break;
	case NGHTTP2_GOAWAY:
		CHECK(id == 0 && n >= 8);
		break;
	default:
		CHECK(head[3] == NGHTTP2_WINDOW_UPDATE && n == 4);
	}
}

static size_t
payload_size(const uint8_t *head)
{
	return (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
}

void
h2_instance_read(struct h2_instance *in)
{
	const struct strbuf *got = &in->peer->got;

	if (in->at == 0 && got->len >= strlen(H2_PREFACE)) {
		CHECK(memcmp(got->data, H2_PREFACE, strlen(H2_PREFACE)) == 0);
		in->at = strlen(H2_PREFACE);
	}
	while (in->at > 0 && got->len - in->at >= FRAME_HEAD) {
		const uint8_t *head = (const uint8_t *)got->data + in->at;
		size_t n = payload_size(head);

		CHECK(n <= FRAME_MOST);
		if (got->len - in->at < FRAME_HEAD + n)
			break;
		frame_came(in, head, n);
		in->at += FRAME_HEAD + n;
	}
}

/* --- what it has said --- */

/* RFC 9113 8.7: has it said that it did not process the request? */
static bool
has_refused(const struct h2_instance *in, int32_t id)
{
	const struct peer *p = in->peer;
	size_t at = 0;

	while (p->taken >= at + FRAME_HEAD + 4) {
		const uint8_t *head = (const uint8_t *)p->sent.data + at;
		uint32_t words[3]; /* [1]: the stream; [2]: the first word of the payload */

		memcpy(words, head + 1, sizeof words);
		if (head[3] == NGHTTP2_RST_STREAM && ntohl(words[1]) == (uint32_t)id &&
		    ntohl(words[2]) == NGHTTP2_REFUSED_STREAM)
			return true;
		if (head[3] == NGHTTP2_GOAWAY && (ntohl(words[2]) & INT32_MAX) < (uint32_t)id)
			return true;
		at += FRAME_HEAD + payload_size(head);
	}
	return false;
}

void
h2_instance_fini(struct h2_instance *in)
{
	size_t i;

	for (i = 0; i < in->n; i++) {
		const struct h2_got *got = &in->streams[i];

		if (!has_refused(in, got->id))
			asked_by(got->mark)->given++;
	}
	nghttp2_hd_inflate_del(in->inflater);
	in->inflater = NULL;
}

/* --- what it sends --- */

void
h2_instance_frame(struct h2_instance *in, uint8_t type, uint8_t flags, int32_t id,
		  const void *payload, size_t n)
{
	uint8_t head[FRAME_HEAD] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, type, flags};
	uint32_t word = htonl((uint32_t)id);

	memcpy(head + 5, &word, sizeof word);
	peer_send(in->peer, head, sizeof head);
	peer_send(in->peer, payload, n);
}

/* RFC 7541 6.2.2: a literal without indexing, whose name is a literal, too. */
static size_t
put_field(uint8_t *to, const char *name, size_t name_n, const char *value, size_t n)
{
	size_t at = 0;

	to[at++] = 0;
	to[at++] = (uint8_t)name_n;
	memcpy(to + at, name, name_n);
	at += name_n;
	to[at++] = (uint8_t)n;
	memcpy(to + at, value, n);
	return at + n;
}

void
h2_instance_head(struct h2_instance *in, int32_t id, const char *fields, const char *mark,
		 bool is_end)
{
	uint8_t block[1024];
	size_t n = 0;

	while (*fields != '\0') {
		const char *colon = strstr(fields, ": "), *end = strchr(fields, '\n');

		n += put_field(block + n, fields, (size_t)(colon - fields), colon + 2,
			       (size_t)(end - colon - 2));
		fields = end + 1;
	}
	if (mark != NULL)
		n += put_field(block + n, "x-mark", 6, mark, MARK);
	h2_instance_frame(in, NGHTTP2_HEADERS,
			  NGHTTP2_FLAG_END_HEADERS | (is_end ? NGHTTP2_FLAG_END_STREAM : 0), id,
			  block, n);
}
