/* libFuzzer: any bytes as the frames that a client of HTTP/2 sends behind its preface, in pieces as
 * large as the first byte says.  Each head that comes of it must be one whole head of HTTP/1.1: no
 * field may end it early.  Each request is answered, with a body and trailers. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "activator/http/h1.h"
#include "activator/http/h2.h"
#include "activator/http/request.h"

#define STREAMS 8
#define BODY 3000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct h1_head head, split;

struct stream {
	int32_t id;
	bool is_open, is_ended;
	size_t left; /* of its response's body */
};

struct client {
	struct h2 *session;
	struct stream streams[STREAMS];
	size_t glitches;
};

static void
check_head(const struct h2_head *h)
{
	size_t seen = 0, i;
	struct request r;
	bool is_good;

	CHECK(strlen(h->text) == h->n);
	if (h1_scan(h->text, h->n, &seen) < 0)
		return; /* such as a method that is no token */
	CHECK(seen + 2 == h->n);
	is_good = h1_parse_request(&head, h->text, h->n, 100) == H1_OK &&
		  request_read(&r, &head) == OUT_OK;
	if (is_good)
		CHECK((r.framing == FRAMING_NONE) >= (h->ws_key[0] != '\0'));
	/* The activator takes the text apart without llhttp, and must find the same. */
	CHECK((h1_split_request(&split, h->text, h->n, 100) == H1_OK &&
	       request_read(&r, &split) == OUT_OK) == is_good);
	CHECK(!is_good || (head.n == split.n && head.target_n == split.target_n));
	for (i = 0; is_good && i < head.n; i++)
		CHECK(head.fields[i].name == split.fields[i].name &&
		      head.fields[i].value_n == split.fields[i].value_n);
}

static void *
on_head(void *arg, int32_t id, const struct h2_head *h)
{
	struct client *c = arg;
	size_t i;

	if (h->text != NULL)
		check_head(h);
	free(h->text);
	for (i = 0; i < STREAMS; i++)
		if (!c->streams[i].is_open) {
			c->streams[i] = (struct stream){
				.id = id, .is_open = true, .is_ended = h->is_end, .left = BODY};
			return &c->streams[i];
		}
	h2_reset(c->session, id, H2_REFUSED_STREAM);
	return NULL;
}

static void
on_data(void *arg, void *stream, const char *data, size_t n)
{
	struct client *c = arg;
	const struct stream *st = stream;

	(void)data;
	CHECK(st->is_open && !st->is_ended);
	h2_consumed(c->session, st->id, n);
}

static void
on_end(void *arg, void *stream, char *trailers)
{
	struct stream *st = stream;

	(void)arg;
	CHECK(st->is_open && !st->is_ended);
	st->is_ended = true;
	free(trailers);
}

static void
on_closed(void *arg, void *stream, uint32_t code)
{
	struct stream *st = stream;

	(void)arg;
	(void)code;
	CHECK(st->is_open);
	st->is_open = false;
}

static size_t
on_ready(void *arg, void *stream, size_t n, enum h2_left *left)
{
	static const char trailers[] = "X-Sum: 7\r\n";
	struct client *c = arg;
	struct stream *st = stream;
	char copy[sizeof trailers];
	size_t got = MIN(n, st->left);

	if (st->left > got)
		return got;
	*left = st->id % 4 == 1 ? H2_END_TRAILERS : H2_END;
	memcpy(copy, trailers, sizeof trailers);
	if (*left == H2_END_TRAILERS)
		h2_trailers(c->session, st->id, copy, sizeof trailers - 1);
	return got;
}

static void
on_read(void *arg, void *stream, char *buf, size_t n)
{
	struct stream *st = stream;

	(void)arg;
	memset(buf, 'x', n);
	st->left -= n;
}

static void
on_glitch(void *arg)
{
	struct client *c = arg;

	if (++c->glitches == 50)
		h2_terminate(c->session, H2_ENHANCE_YOUR_CALM);
}

static void
nothing(void *arg)
{
	(void)arg;
}

static uint64_t
on_random(void *arg)
{
	(void)arg;
	return 7;
}

static void
on_head_sent(void *arg, void *stream)
{
	const struct stream *st = stream;

	(void)arg;
	CHECK(st->is_open);
}

static bool
may_send_on(void *arg, void *stream)
{
	(void)arg;
	(void)stream;
	return false;
}

static const struct h2_ops ops = {
	.on_head = on_head,
	.on_data = on_data,
	.on_end = on_end,
	.on_closed = on_closed,
	.ready = on_ready,
	.read = on_read,
	.on_glitch = on_glitch,
	.on_head_sent = on_head_sent,
	.may_send_on = may_send_on,
	.on_progress = nothing,
	.on_pong = nothing,
	.random = on_random,
};

static void
answer(struct client *c, struct stream *st)
{
	char fields[] = "Content-Type: text/plain\r\nX-Empty: \r\n";

	if (!st->is_open || !st->is_ended || st->left != BODY)
		return;
	st->left--;
	CHECK(h2_respond(c->session, st->id, 200, fields, sizeof fields - 1, true) == 0);
}

/* Bytes of frames that the server wants to send; they must not come without end. */
static void
take_frames(struct client *c)
{
	static char buf[1 << 16];
	size_t sum = 0;
	ssize_t n;

	while ((n = h2_write(c->session, buf, sizeof buf)) > 0) {
		sum += (size_t)n;
		CHECK(sum < 1 << 22);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct h2_conf conf = {
		.streams = STREAMS, .window = 16384, .conn_window = 1 << 20, .header_list = 65536};
	struct client c = {0};
	struct h2_shared *shared;
	size_t at, step, i;

	if (size < 2)
		return 0;
	step = data[0] == 0 ? size : data[0];
	shared = h2_shared_new();
	c.session = h2_new(&conf, shared, &ops, &c);
	CHECK(h2_feed(c.session, H2_PREFACE, strlen(H2_PREFACE)) == 0);
	for (at = 1; at < size && !h2_is_over(c.session); at += step) {
		if (h2_feed(c.session, (const char *)data + at, MIN(step, size - at)) < 0)
			break;
		for (i = 0; i < STREAMS; i++)
			answer(&c, &c.streams[i]);
		take_frames(&c);
	}
	h2_free(&c.session);
	h2_shared_free(&shared);
	return 0;
}
