#include <stdlib.h>
#include <string.h>

#include "activator/codec.h"
#include "activator/cold.h"
#include "activator/conn_h2.h"
#include "activator/http/chunked.h"
#include "activator/http/response.h"
#include "activator/http/websocket.h"
#include "common/strbuf.h"

/* Bytes of a response that one stream keeps for its client: then its instance is not read on. */
#define OUT_MOST ((size_t)128 << 10)
#define OUT_MOST_CROWDED ((size_t)12 << 10) /* less than one read gives */
/* Likewise, interim heads: the session keeps them. */
#define INTERIMS_MOST 4
/* A piece of a response so large is written at once, without a copy for the end of the round. */
#define DIRECT_LEAST ((size_t)4 << 10)

/* --- the body of the request --- */

static void
begin_body(struct xfer *x)
{
	h2_set_window(x->stream->h2->session, x->stream->id,
		      (uint32_t)x->w->conf->h2_stream_window);
}

/* The trailers are judged as those of a chunked body: the decoder reads its last chunk. */
static enum next
read_trailers(struct xfer *x, struct piece *piece)
{
	const char *trailers = x->stream->in_trailers;
	struct strbuf b;
	size_t n;
	bool is_good;

	strbuf_init(&b, 0);
	strbuf_addf(&b, "0\r\n%s\r\n", trailers == NULL ? "" : trailers);
	is_good = chunked_feed(x->chunked, b.data, b.len, &n) == (ssize_t)b.len &&
		  chunked_done(x->chunked);
	strbuf_fini(&b);
	piece->trailers = chunked_trailers(x->chunked);
	return is_good ? NEXT_PIECE : NEXT_MALFORMED;
}

static enum next
next(struct xfer *x, size_t most, struct piece *piece)
{
	const struct h2_stream *st = x->stream;
	bool has_length = x->state != XFER_TUNNEL && x->framing == FRAMING_LENGTH;

	(void)most;
	if (st->is_closed && !st->is_ended)
		return NEXT_GONE;
	*piece = (struct piece){.data = st->in.data == NULL ? NULL : st->in.data + st->in.at,
				.n = st->in.n,
				.is_last = st->is_in_ended};
	if (has_length) { /* the session has compared it with the length that was said */
		piece->n = (size_t)MIN((uint64_t)piece->n, x->remaining);
		piece->is_last = piece->n == x->remaining;
	}
	piece->used = piece->n;
	if (piece->n == 0 && !piece->is_last)
		return NEXT_NONE;
	if (piece->is_last && x->state != XFER_TUNNEL && x->framing == FRAMING_CHUNKED)
		return read_trailers(x, piece);
	return NEXT_PIECE;
}

static void
took(struct xfer *x, const struct piece *piece)
{
	struct h2_stream *st = x->stream;

	if (piece->used == 0)
		return;
	stream_take(st, &st->in, piece->used);
	h2_consumed(st->h2->session, st->id, piece->used);
	conn_h2_want_write(st->h2);
}

static void
yield(struct xfer *x)
{
	conn_h2_yield(x->stream);
}

/* What has come stands in buffers of the stream: head and body. */
static void
keep(struct xfer *x)
{
	(void)x;
}

static void
unread_head(struct xfer *x, char *buf, size_t head_n)
{
	CHECK(buf == x->stream->head && head_n == x->stream->head_n);
}

static size_t
kept_bytes(const struct xfer *x)
{
	return sizeof *x->stream + H2_STREAM_BYTES + x->stream->in.n;
}

/* A quarter of the streams is left to requests that find a slot at once. */
static bool
may_park(const struct xfer *x)
{
	const struct conn_h2 *h2 = x->stream->h2;
	const struct list_node *node;
	uint32_t parked = 0;

	for (node = h2->streams.head.next; node != &h2->streams.head; node = node->next) {
		const struct h2_stream *st = container_of((void *)(uintptr_t)node, struct h2_stream,
							  node);

		parked += st->x != NULL &&
			  (st->x->state == XFER_PARKED || st->x->state == XFER_UNROUTED);
	}
	return parked < h2->streams_most - h2->streams_most / 4;
}

/* --- the response --- */

/* A piece was added to st->out, or its end was set. */
static int
added(struct xfer *x, bool is_below_bound)
{
	struct h2_stream *st = x->stream;
	size_t most = conn_h2_is_crowded(st->h2) ? OUT_MOST_CROWDED : OUT_MOST;

	h2_resume(st->h2->session, st->id);
	conn_h2_want_write(st->h2);
	x->is_client_blocked = st->out.n >= most || (st->out.n > 0 && !is_below_bound) ||
			       st->interims > INTERIMS_MOST;
	return 0;
}

/* A piece of the body.  False: the client is gone.  *is_below_bound: the stream may keep what it
 * keeps. */
static bool
add_data(struct xfer *x, const char *data, size_t n, bool *is_below_bound)
{
	struct h2_stream *st = x->stream;

	if (n >= DIRECT_LEAST && st->out.n == 0) {
		h2_resume(st->h2->session, st->id);
		if (conn_h2_write_direct(st, &data, &n) < 0)
			return false;
	}
	*is_below_bound &= stream_add(st, &st->out, data, n);
	return true;
}

/* The client is gone. */
static int
gone(struct xfer *x)
{
	x->is_client_blocked = false;
	return -1;
}

/* The fields that the client gets, into w->write_buf.  Returns their size. */
static size_t
make_fields(struct xfer *x, const struct response *r)
{
	struct worker *w = x->w;
	char timing[COLD_TIMING];
	const struct response_hop hop = {
		.is_h2 = true,
		.is_persistent = true,
		.takes_trailers = x->takes_trailers,
		.has_via = xfer_limits(x)->via,
		.date = date_text(&w->date, w->now),
		.server_timing = cold_timing(x, timing),
	};
	size_t room = response_size(r, &hop);

	return response_write(r, &hop, worker_write_buf(w, room), room);
}

/* Of an extended CONNECT: a 2xx would say that the tunnel is open (RFC 8441 5). */
static enum outcome
judge(const struct xfer *x, const struct response *r)
{
	const char *key = x->stream->ws_key;

	if (key == NULL)
		return r->status == 101 ? OUT_UPSTREAM_PROTOCOL : OUT_OK;
	if (r->status == 101)
		return websocket_is_accepted(r->head, key) ? OUT_OK : OUT_UPSTREAM_PROTOCOL;
	return r->status / 100 == 2 ? OUT_METHOD : OUT_OK;
}

static int
interim(struct xfer *x, const struct response *r)
{
	struct h2_stream *st = x->stream;
	size_t n;

	if (st->is_closed)
		return gone(x);
	n = make_fields(x, r);
	if (h2_interim(st->h2->session, st->id, r->status, x->w->write_buf, n) < 0)
		return gone(x);
	st->interims++;
	return added(x, true);
}

static int
respond(struct xfer *x, unsigned status, char *fields, size_t n, bool has_body)
{
	struct h2_stream *st = x->stream;

	if (h2_respond(st->h2->session, st->id, status, fields, n, has_body) < 0)
		return -1;
	st->is_responded = true;
	return 0;
}

static int
pass(struct xfer *x, const struct response *head, const char *data, size_t n, const char *trailers)
{
	struct h2_stream *st = x->stream;
	bool is_empty = trailers != NULL && n == 0 && *trailers == '\0';
	bool is_below_bound = true;
	size_t fields_n;

	if (st->is_closed)
		return gone(x);
	if (head != NULL) {
		fields_n = make_fields(x, head);
		if (respond(x, head->status, x->w->write_buf, fields_n, !is_empty) < 0)
			return gone(x);
	}
	if (trailers != NULL) {
		st->is_out_ended = true;
		if (*trailers != '\0') {
			st->out_trailers = xstrdup(trailers);
			is_below_bound = stream_count(st, strlen(trailers));
		}
	}
	if (!add_data(x, data, n, &is_below_bound))
		return gone(x);
	return added(x, is_below_bound);
}

/* RFC 8441: 200 in place of 101.  Sec-WebSocket-Accept is for us: it answers our key. */
static int
upgrade(struct xfer *x, const struct response *r, const char *data, size_t n)
{
	struct h2_stream *st = x->stream;
	size_t fields_n;
	char *fields;

	if (st->is_closed)
		return gone(x);
	fields_n = make_fields(x, r);
	fields = x->w->write_buf;
	if (respond(x, 200, fields, websocket_drop_accept(fields, fields_n), true) < 0)
		return gone(x);
	begin_body(x);
	return added(x, stream_add(st, &st->out, data, n));
}

static int
tunnel(struct xfer *x, const char *data, size_t n)
{
	struct h2_stream *st = x->stream;

	if (st->is_closed)
		return gone(x);
	if (n == 0)
		st->is_out_ended = true;
	return added(x, stream_add(st, &st->out, data, n));
}

static int
answer(struct xfer *x, const struct answer *a)
{
	struct h2_stream *st = x->stream;
	bool has_body = a->body != NULL && a->body_n > 0 && !x->is_head_method;
	struct strbuf b;
	int rc;

	if (st->is_closed)
		return gone(x);
	strbuf_init(&b, 0);
	strbuf_adds(&b, a->fields);
	if (a->body != NULL)
		strbuf_addf(&b, "content-length: %zu\r\n", a->body_n);
	strbuf_addf(&b, "date: %s\r\n", date_text(&x->w->date, x->w->now));
	st->is_out_ended = true;
	rc = respond(x, a->status, b.data, b.len, has_body);
	strbuf_fini(&b);
	if (rc < 0)
		return gone(x);
	return added(x, stream_add(st, &st->out, a->body, has_body ? a->body_n : 0));
}

const struct codec codec_h2 = {
	.begin_body = begin_body,
	.next = next,
	.took = took,
	.yield = yield,
	.keep = keep,
	.unread_head = unread_head,
	.kept_bytes = kept_bytes,
	.may_park = may_park,
	.judge = judge,
	.interim = interim,
	.upgrade = upgrade,
	.tunnel = tunnel,
	.pass = pass,
	.answer = answer,
	.advance = conn_h2_advance,
	.drain = conn_h2_drain,
	.end_tunnels = conn_h2_end_tunnels,
	.end = conn_h2_end,
	.cut = conn_h2_cut,
};
