#include "activator/codec.h"

#include <string.h>

#include "activator/cold.h"
#include "activator/conn_h1.h"
#include "activator/http/chunked.h"
#include "activator/http/framed.h"
#include "activator/http/reason.h"
#include "activator/http/response.h"
#include "activator/net/tcp.h"
#include "activator/upstream.h"
#include "common/strbuf.h"

#define COPY_MOST 2048 /* bytes of a body copied behind the head: one write */

/* --- the body of the request --- */

/* Have bytes in c->in. */
static enum next
read_more(struct conn *c, size_t most)
{
	ssize_t got;

	if (most == 0)
		return NEXT_NONE;
	got = io_read(&c->io, c->w->read_buf, most);
	if (got == IO_NOTHING)
		return NEXT_NONE;
	if (got == IO_EOF && c->x->state == XFER_TUNNEL)
		return NEXT_PIECE; /* the end of the tunnel */
	if (got < 0)
		return NEXT_GONE;
	c->in = (struct inbuf){.data = c->w->read_buf, .n = (uint32_t)got, .is_borrowed = true};
	return NEXT_PIECE;
}

/* Take the framing off c->in, in place. */
static enum next
unframe_chunked(struct xfer *x, struct piece *piece)
{
	struct inbuf *in = &x->conn->in;
	ssize_t used = chunked_feed(x->chunked, in->data, in->n, &piece->n);

	if (used < 0)
		return NEXT_MALFORMED;
	piece->used = (size_t)used;
	piece->is_last = chunked_done(x->chunked);
	if (piece->is_last)
		piece->trailers = chunked_trailers(x->chunked);
	return NEXT_PIECE;
}

static enum next
next(struct xfer *x, size_t most, struct piece *piece)
{
	struct conn *c = x->conn;

	if (c->in.n == 0) {
		enum next there = read_more(c, most);

		if (there != NEXT_PIECE)
			return there;
	}
	*piece = (struct piece){.data = c->in.data};
	if (x->state != XFER_TUNNEL && x->framing == FRAMING_CHUNKED)
		return unframe_chunked(x, piece);
	piece->n = c->in.n;
	if (x->state == XFER_TUNNEL) {
		piece->is_last = piece->n == 0;
	} else {
		piece->n = (size_t)MIN((uint64_t)piece->n, x->remaining);
		piece->is_last = piece->n == x->remaining;
	}
	piece->used = piece->n;
	return NEXT_PIECE;
}

static void
begin_body(struct xfer *x)
{
	io_expect_more(&x->conn->io);
}

static void
took(struct xfer *x, const struct piece *piece)
{
	inbuf_consume(&x->conn->in, piece->used);
	if (!x->is_sent_whole || (x->state == XFER_TUNNEL && !piece->is_last))
		io_expect_more(&x->conn->io);
}

static void
yield(struct xfer *x)
{
	io_yield(&x->conn->io);
}

static void
keep(struct xfer *x)
{
	inbuf_keep(&x->conn->in);
}

static void
unread_head(struct xfer *x, char *buf, size_t head_n)
{
	struct conn *c = x->conn;

	c->in = (struct inbuf){.data = buf, .n = (uint32_t)head_n + c->in.n, .is_borrowed = true};
	inbuf_keep(&c->in);
}

static size_t
kept_bytes(const struct xfer *x)
{
	return sizeof *x->conn + x->conn->in.n;
}

/* It has no other request. */
static bool
may_park(const struct xfer *x)
{
	(void)x;
	return true;
}

/* --- heads --- */

/* The head that the client gets, into w->write_buf.  Returns its size. */
static size_t
make_head(struct xfer *x, const struct response *r)
{
	struct worker *w = x->w;
	char timing[COLD_TIMING];
	struct response_hop hop = {
		.is_http10 = x->is_http10,
		.is_persistent = conn_h1_may_persist(x),
		.says_keep_alive = x->says_keep_alive,
		.takes_trailers = x->takes_trailers,
		.has_via = xfer_limits(x)->via,
		.date = date_text(&w->date, w->now),
		.server_timing = cold_timing(x, timing),
	};
	size_t room;

	if (r->status >= 200) {
		x->framing_out = response_framing(r, &hop);
		x->is_persistent = hop.is_persistent && x->framing_out != FRAMING_CLOSE;
	}
	room = response_size(r, &hop);
	return response_write(r, &hop, worker_write_buf(w, room + COPY_MOST), room);
}

/* rc: of a write to the client.  What the client does not take at once, the io keeps. */
static int
sent(struct xfer *x, int rc)
{
	x->is_client_blocked = io_is_blocked(&x->conn->io);
	return rc;
}

static int
send_out(struct xfer *x, const struct iovec *iov, int n)
{
	return sent(x, io_write(&x->conn->io, iov, n));
}

static enum outcome
judge(const struct xfer *x, const struct response *r)
{
	(void)x;
	(void)r;
	return OUT_OK;
}

static int
interim(struct xfer *x, const struct response *r)
{
	struct iovec iov;

	if (x->is_http10) /* does not know interim responses (RFC 9110 15.2) */
		return sent(x, 0);
	iov.iov_len = make_head(x, r);
	iov.iov_base = x->w->write_buf;
	return send_out(x, &iov, 1);
}

/* --- an instance's response --- */

static int
pass(struct xfer *x, const struct response *head, const char *data, size_t n, const char *trailers)
{
	struct framed f;
	bool is_last = trailers != NULL;

	framed_init(&f);
	if (head != NULL) {
		size_t head_n = make_head(x, head);

		if (n <= COPY_MOST && x->framing_out != FRAMING_CHUNKED) {
			put(x->w->write_buf + head_n, data, n);
			head_n += n;
			n = 0;
		}
		framed_add(&f, x->w->write_buf, head_n);
	}
	if (x->framing_out == FRAMING_CHUNKED) {
		framed_chunk(&f, data, n);
		if (is_last)
			framed_last_chunk(&f, trailers);
	} else {
		framed_add(&f, data, n);
	}
	if (!is_last)
		return send_out(x, f.iov, f.n);
	return sent(x, io_write_deferred(&x->conn->io, f.iov, f.n, 0));
}

/* --- tunnels --- */

/* A tunnel may be silent for a long time, so only the kernel can tell that the client's machine is
 * gone. */
static int
upgrade(struct xfer *x, const struct response *r, const char *data, size_t n)
{
	struct framed f;
	size_t head_n = make_head(x, r);

	tcp_limit_unacknowledged(x->conn->io.fd, xfer_limits(x)->tcp_user_timeout);
	framed_init(&f);
	framed_add(&f, x->w->write_buf, head_n);
	framed_add(&f, data, n);
	return send_out(x, f.iov, f.n);
}

static int
tunnel(struct xfer *x, const char *data, size_t n)
{
	struct framed f;

	if (n == 0) {
		io_shutdown(&x->conn->io);
		return sent(x, 0);
	}
	framed_init(&f);
	framed_add(&f, data, n);
	return send_out(x, f.iov, f.n);
}

/* --- our own responses --- */

static int
answer(struct xfer *x, const struct answer *a)
{
	struct strbuf b;
	struct iovec iov;
	int rc;

	strbuf_init(&b, 0);
	strbuf_addf(&b, "HTTP/1.1 %u %s\r\n%s", a->status, reason_of(a->status), a->fields);
	if (a->body != NULL)
		strbuf_addf(&b, "Content-Length: %zu\r\n", a->body_n);
	strbuf_addf(&b, "Date: %s\r\n", date_text(&x->w->date, x->w->now));
	x->is_persistent = conn_h1_may_persist(x);
	if (!x->is_persistent)
		strbuf_adds(&b, "Connection: close\r\n");
	else if (x->says_keep_alive)
		strbuf_adds(&b, "Connection: keep-alive\r\n");
	strbuf_adds(&b, "\r\n");
	if (a->body != NULL && !x->is_head_method)
		strbuf_add(&b, a->body, a->body_n);
	iov = (struct iovec){.iov_base = b.data, .iov_len = b.len};
	rc = send_out(x, &iov, 1);
	strbuf_fini(&b);
	return rc;
}

const struct codec codec_h1 = {
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
	.advance = conn_h1_advance,
	.drain = conn_h1_drain,
	.end_tunnels = conn_h1_end_tunnels,
	.end = conn_h1_end,
	.cut = conn_h1_cut,
};
