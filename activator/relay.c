/* relay - bytes between a client and an instance: bodies in both directions with
 * back-pressure, response heads, tunnels.  What was read is written in the same
 * wake-up; while one side does not take it, the other is not read. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "activator/http/put.h"
#include "activator/plane.h"
#include "common/clk.h"

#define SMALL 2048			/* copied behind a head rather than sent as a vector */
#define READ_LEAST ((uint32_t)16 << 10) /* towards a peer that does not keep up */

/* Reads in one turn: who never runs dry must not keep the others of its worker waiting. */
#define TURN 4

static const char crlf[] = "\r\n", last_chunk[] = "0\r\n";

/* A chunk around data, and the end of the body where is_last. */
struct framed {
	struct iovec iov[7];
	int n;
	char size[20];
};

static void
add(struct framed *f, const char *s, size_t n)
{
	if (n == 0)
		return;
	/* sendmsg(2) does not write there. */
	memcpy(&f->iov[f->n].iov_base, &s, sizeof s);
	f->iov[f->n++].iov_len = n;
}

static void
add_chunk(struct framed *f, const char *data, size_t n)
{
	char *end;

	if (n == 0)
		return;
	end = put(put_hex(f->size, n), crlf, 2);
	add(f, f->size, (size_t)(end - f->size));
	add(f, data, n);
	add(f, crlf, 2);
}

static void
add_last_chunk(struct framed *f, const char *trailers)
{
	add(f, last_chunk, 3);
	add(f, trailers, strlen(trailers));
	add(f, crlf, 2);
}

/* --- request bodies --- */

/* One piece of the request's body to the instance.  Returns how much was consumed, or
 * -1: the framing is broken. */
static ssize_t
pass_request(struct conn *c, char *buf, size_t n)
{
	struct xfer *x = &c->x;
	struct framed f = {.n = 0};
	size_t data_n = n;
	ssize_t used;

	if (x->framing == FRAMING_LENGTH) {
		used = (ssize_t)MIN((uint64_t)n, x->left);
		x->left -= (uint64_t)used;
		x->is_sent_whole = x->left == 0;
		add(&f, buf, (size_t)used);
	} else {
		used = chunked_feed(x->chunked, buf, n, &data_n);
		if (used < 0)
			return -1;
		add_chunk(&f, buf, data_n);
		x->is_sent_whole = chunked_done(x->chunked);
		if (x->is_sent_whole)
			add_last_chunk(&f, chunked_trailers(x->chunked));
	}
	x->has_given_body |= used > 0;
	x->is_expecting = false;
	metric_add(&x->shard->bytes_in, (uint64_t)used);
	if (!x->up->is_broken && io_write(&x->up->io, f.iov, f.n) < 0)
		upstream_broken(x->up);
	return used;
}

/* What is there of the body: kept input first.  False: nothing, or the client left. */
static bool
more_request(struct conn *c)
{
	ssize_t got;

	if (c->in.n > 0)
		return true;
	got = io_read(&c->io, c->w->buf, c->x.up->read_size);
	if (got == IO_NOTHING)
		return false;
	if (got < 0) {
		xfer_client_gone(c);
		return false;
	}
	c->in = (struct inbuf){.data = c->w->buf, .n = (uint32_t)got, .is_borrowed = true};
	return true;
}

void
relay_request(struct conn *c)
{
	struct xfer *x = &c->x;
	int turn = 0;

	while (!x->is_sent_whole && !io_is_blocked(&x->up->io) && !x->up->is_broken &&
	       turn++ < TURN && more_request(c)) {
		ssize_t used = pass_request(c, c->in.data, c->in.n);

		c->since_ns = x->up_ns = c->w->now;
		if (used < 0) {
			x->is_persistent = false;
			xfer_refuse(c, OUT_BAD_REQUEST, "the chunked body is malformed");
			return;
		}
		inbuf_consume(&c->in, (size_t)used);
		if (!x->is_sent_whole)
			io_expect(&c->io);
	}
	inbuf_keep(&c->in);
	if (turn > TURN)
		io_yield(&c->io);
}

/* --- response bodies --- */

/* head_n bytes of w->out and a piece of the body to the client.  -1: it is gone. */
static int
emit(struct conn *c, size_t head_n, const char *data, size_t n, bool is_last)
{
	struct xfer *x = &c->x;
	struct upstream *u = x->up;
	struct framed f = {.n = 0};

	if (head_n > 0 && n > 0 && n <= SMALL && x->framing_out != FRAMING_CHUNKED) {
		memcpy(c->w->out + head_n, data, n);
		head_n += n;
		metric_add(&x->shard->bytes_out, n);
		n = 0;
	}
	add(&f, c->w->out, head_n);
	if (x->framing_out == FRAMING_CHUNKED) {
		add_chunk(&f, data, n);
		if (is_last)
			add_last_chunk(&f, u->chunked != NULL && x->takes_trailers
						   ? chunked_trailers(u->chunked)
						   : "");
	} else {
		add(&f, data, n);
	}
	metric_add(&x->shard->bytes_out, n);
	if ((is_last ? io_send(&c->io, f.iov, f.n) : io_write(&c->io, f.iov, f.n)) < 0)
		return -1;
	if (io_is_blocked(&c->io)) {
		c->since_ns = c->w->now;
		u->read_size = MAX(u->read_size / 2, READ_LEAST);
	} else {
		u->read_size = MIN(u->read_size * 2, (uint32_t)PLANE_BUFFER);
	}
	return 0;
}

/* Take the framing off a piece of the response's body, in place.  Returns how much was
 * consumed, or -1. */
static ssize_t
unframe(struct upstream *u, char *buf, size_t n, size_t *data_n, bool *is_done)
{
	ssize_t used;

	switch (u->framing) {
	case FRAMING_NONE:
		*data_n = 0;
		*is_done = true;
		return 0;
	case FRAMING_LENGTH:
		used = (ssize_t)MIN((uint64_t)n, u->left);
		u->left -= (uint64_t)used;
		*data_n = (size_t)used;
		*is_done = u->left == 0;
		return used;
	case FRAMING_CHUNKED:
		used = chunked_feed(u->chunked, buf, n, data_n);
		*is_done = used >= 0 && chunked_done(u->chunked);
		return used;
	case FRAMING_CLOSE:
		break;
	}
	*data_n = n;
	*is_done = false;
	return (ssize_t)n;
}

/* Nothing more is to come on it: a byte or an end behind the response is not fine. */
static bool
is_quiet(struct upstream *u)
{
	char byte;

	return !u->io.is_hup && (!u->io.can_read || io_read(&u->io, &byte, 1) == IO_NOTHING);
}

static void
response_done(struct upstream *u, bool is_surplus)
{
	struct conn *c = u->conn;
	bool is_reusable = u->is_persistent && !is_surplus && c->x.is_sent_whole && !u->is_broken &&
			   !io_is_blocked(&u->io) && is_quiet(u);

	if (c->x.framing_out == FRAMING_CLOSE)
		c->x.is_persistent = false;
	c->x.up = NULL;
	upstream_release(u, is_reusable);
	xfer_end(c, OUT_OK);
}

/* It broke off: the client must see that, too. */
static void
response_broken(struct upstream *u, enum outcome out)
{
	struct conn *c = u->conn;

	c->x.up = NULL;
	u->conn = NULL;
	upstream_close(u, true);
	xfer_cut(c, out, true);
}

/* head_n bytes of w->out go before it. */
static void
pass_response(struct upstream *u, size_t head_n, char *buf, size_t n)
{
	struct conn *c = u->conn;
	size_t data_n = 0;
	bool is_done = false;
	ssize_t used = unframe(u, buf, n, &data_n, &is_done);

	if (used < 0) {
		if (!c->x.is_head_written)
			xfer_refuse(c, OUT_UPSTREAM_PROTOCOL, "its chunked body is malformed");
		else
			response_broken(u, OUT_UPSTREAM_BROKEN);
		return;
	}
	c->x.is_head_written = true;
	if ((head_n > 0 || data_n > 0 || is_done) && emit(c, head_n, buf, data_n, is_done) < 0)
		xfer_client_gone(c);
	else if (is_done)
		response_done(u, (size_t)used < n);
}

/* --- response heads --- */

static size_t
write_head(struct conn *c, const struct response *r)
{
	struct xfer *x = &c->x;
	struct worker *w = c->w;
	char timing[256];
	struct response_hop hop = {
		.is_http10 = x->is_http10,
		.is_persistent = x->is_persistent && x->is_sent_whole && !w->is_draining,
		.is_keep_alive_told = x->is_keep_alive_told,
		.takes_trailers = x->takes_trailers,
		.has_via = conn_limits(c)->via,
		.date = date_text(&w->date, w->now),
		.server_timing = cold_timing(c, timing, sizeof timing),
	};

	if (r->status >= 200) {
		x->is_persistent = hop.is_persistent;
		x->framing_out = response_framing(r, &hop);
	}
	worker_out(w, response_size(r, &hop) + SMALL);
	return response_write(r, &hop, w->out);
}

static void
note_response(struct upstream *u, const struct response *r)
{
	if (r->busy_s >= 0)
		atomic_store_explicit(&u->inst->busy_until, u->w->now + r->busy_s * CLK_S,
				      memory_order_relaxed);
	if (r->keep_alive_s >= 0) /* ours is to end first */
		u->idle_ns = MIN(u->idle_ns, MAX(r->keep_alive_s * CLK_S - CLK_S / 2, 0));
	u->is_persistent = r->is_persistent;
	u->is_small = r->framing == FRAMING_NONE ||
		      (r->framing == FRAMING_LENGTH && r->length <= IO_AHEAD / 2);
	u->framing = r->framing;
	u->left = r->length;
	u->is_head_read = true;
	if (r->framing == FRAMING_CHUNKED)
		u->chunked = chunked_new(r->head, u->w->conf->limits.max_head);
}

/* 101: what follows is no HTTP any more. */
static void
begin_tunnel(struct upstream *u, size_t head_n, const char *early, size_t n)
{
	struct conn *c = u->conn;
	struct framed f = {.n = 0};

	add(&f, c->w->out, head_n);
	add(&f, early, n);
	if (io_write(&c->io, f.iov, f.n) < 0) {
		xfer_client_gone(c);
		return;
	}
	c->x.is_head_written = true;
	c->since_ns = c->x.up_ns = c->w->now;
	xfer_set_state(&c->x, XFER_TUNNEL);
	conn_arm(c);
	relay_tunnel(c);
}

/* One head at buf.  Returns what is left behind it, or -1: the exchange goes on (or
 * ended) without. */
static ssize_t
take_head(struct upstream *u, char *buf, size_t head_n, size_t rest)
{
	struct conn *c = u->conn;
	struct worker *w = u->w;
	struct response r;

	if (h1_parse_response(&w->head, buf, head_n, conn_limits(c)->max_fields) != H1_OK ||
	    response_read(&r, &w->head, u->is_head_method, u->is_upgrade) < 0) {
		xfer_refuse(c, OUT_UPSTREAM_PROTOCOL, NULL);
		return -1;
	}
	if (r.status == 101) {
		if (!c->x.is_sent_whole) { /* where the request ends is not where the tunnel begins
					    */
			xfer_refuse(c, OUT_UPSTREAM_PROTOCOL,
				    "it switched protocols before it had read the request body");
			return -1;
		}
		xfer_head_seen(c);
		begin_tunnel(u, write_head(c, &r), buf + head_n, rest);
		return -1;
	}
	if (r.status < 200) { /* passed on, to whom can understand it (RFC 9110 15.2) */
		struct iovec iov = {.iov_base = w->out};

		xfer_interim_seen(c, r.status);
		if (c->x.is_http10)
			return (ssize_t)rest;
		iov.iov_len = write_head(c, &r);
		iov.iov_base = w->out;
		if (io_write(&c->io, &iov, 1) < 0) {
			xfer_client_gone(c);
			return -1;
		}
		return (ssize_t)rest;
	}
	note_response(u, &r);
	xfer_head_seen(c);
	pass_response(u, write_head(c, &r), buf + head_n, rest);
	if (u->conn == c) /* there is more to come of it, within another time limit */
		conn_arm(c);
	return -1;
}

static void
keep_partial(struct upstream *u, const char *buf, size_t n)
{
	u->in = xmalloc(n);
	memcpy(u->in, buf, n);
	u->in_n = (uint32_t)n;
}

/* n bytes at w->buf, of which the first may be 1xx heads. */
static void
read_head(struct upstream *u, size_t n)
{
	struct conn *c = u->conn;
	char *buf = u->w->buf;

	for (;;) {
		ssize_t head_n = h1_scan(buf, n, &u->in_seen), rest;

		if (head_n == 0 && n < conn_limits(c)->max_head) {
			if (n > 0)
				keep_partial(u, buf, n);
			return;
		}
		if (head_n <= 0) {
			xfer_refuse(c, OUT_UPSTREAM_PROTOCOL,
				    head_n == 0 ? "its response head is larger than max_head"
						: NULL);
			return;
		}
		u->in_seen = 0;
		rest = take_head(u, buf, (size_t)head_n, n - (size_t)head_n);
		if (rest < 0)
			return;
		buf += head_n;
		n = (size_t)rest;
	}
}

/* --- events of the instance's side --- */

static void
response_ended(struct upstream *u, ssize_t got)
{
	if (!u->is_head_read)
		xfer_upstream_failed(u->conn, false);
	else if (u->framing == FRAMING_CLOSE && got == IO_EOF) {
		if (emit(u->conn, 0, NULL, 0, true) < 0)
			xfer_client_gone(u->conn);
		else
			response_done(u, false);
	} else
		response_broken(u, OUT_UPSTREAM_BROKEN);
}

static size_t
partial_to_buf(struct upstream *u)
{
	size_t n = u->in_n;

	if (n > 0)
		memcpy(u->w->buf, u->in, n);
	free(u->in);
	u->in = NULL;
	u->in_n = 0;
	return n;
}

void
relay_response(struct upstream *u)
{
	struct conn *c = u->conn;
	int turn = 0;

	while (u->conn == c && io_is_open(&u->io) && u->io.can_read && !io_is_blocked(&c->io) &&
	       c->x.state == XFER_EXCHANGE) {
		size_t have;
		ssize_t got;

		if (turn++ == TURN) {
			io_yield(&u->io);
			return;
		}
		have = partial_to_buf(u);
		got = io_read(&u->io, u->w->buf + have, MIN(u->read_size, PLANE_BUFFER - have));

		if (got <= 0) {
			if (have > 0)
				keep_partial(u, u->w->buf, have);
			if (got < 0)
				response_ended(u, got);
			return;
		}
		c->x.up_ns = u->w->now;
		if (u->is_head_read)
			pass_response(u, 0, u->w->buf, (size_t)got);
		else
			read_head(u, have + (size_t)got);
		if (u->conn == c && io_is_open(&u->io))
			io_expect(&u->io);
	}
}

/* ABANDONED: the response matters only in that it ends. */
static bool
drop_piece(struct upstream *u, size_t n)
{
	size_t data_n, head_n = 0;
	bool is_done = false;

	while (!u->is_head_read) {
		ssize_t found = h1_scan(u->w->buf + head_n, n - head_n, &u->in_seen);
		struct response r;

		if (found == 0) {
			if (n - head_n >= u->w->conf->limits.max_head)
				return true;
			keep_partial(u, u->w->buf + head_n, n - head_n);
			return false;
		}
		if (found < 0 ||
		    h1_parse_response(&u->w->head, u->w->buf + head_n, (size_t)found,
				      H1_FIELDS_MAX) != H1_OK ||
		    response_read(&r, &u->w->head, u->is_head_method, u->is_upgrade) < 0)
			return true;
		u->in_seen = 0;
		head_n += (size_t)found;
		if (r.status == 101)
			return true;
		if (r.status >= 200)
			note_response(u, &r);
	}
	return unframe(u, u->w->buf + head_n, n - head_n, &data_n, &is_done) < 0 || is_done;
}

void
relay_drop(struct upstream *u)
{
	int turn = 0;

	while (u->io.can_read) {
		bool had_head = u->is_head_read;
		size_t have;
		ssize_t got;

		if (turn++ == TURN) {
			io_yield(&u->io);
			return;
		}
		have = partial_to_buf(u);
		got = io_read(&u->io, u->w->buf + have, PLANE_BUFFER - have);

		if (got == IO_NOTHING) {
			if (have > 0)
				keep_partial(u, u->w->buf, have);
			return;
		}
		if (got < 0 || drop_piece(u, have + (size_t)got)) {
			upstream_close(u, got > 0);
			return;
		}
		io_expect(&u->io);
		if (!had_head && u->is_head_read) { /* from now on it has abort_timeout */
			u->until_ns = u->w->now + u->abort_ns;
			timeq_set(&u->w->timeq, &u->timer, u->until_ns);
		}
	}
}

/* --- tunnels --- */

/* One direction, as long as it flows.  1: its end was passed on, 0: goes on, -1: broken. */
static int
flow(struct conn *c, struct io *from, struct io *to, bool is_eof)
{
	int turn = 0;

	if (io_is_blocked(to) && from->can_read && io_is_reset(from))
		return -1;
	while (!is_eof && !io_is_blocked(to)) {
		struct iovec iov = {.iov_base = c->w->buf};
		ssize_t got;

		if (turn++ == TURN) {
			io_yield(from);
			return 0;
		}
		got = io_read(from, c->w->buf, PLANE_BUFFER);
		if (got == IO_NOTHING)
			return 0;
		if (got == IO_ERROR)
			return -1;
		if (got == IO_EOF) {
			io_shutdown(to); /* a half-close, passed on */
			return 1;
		}
		c->since_ns = c->w->now;
		iov.iov_len = (size_t)got;
		if (io_write(to, &iov, 1) < 0)
			return -1;
		io_expect(from);
	}
	return is_eof;
}

/* Bytes that came with or before the upgrade. */
static int
flow_early(struct conn *c)
{
	struct iovec iov = {.iov_base = c->in.data, .iov_len = c->in.n};
	int rc = io_write(&c->x.up->io, &iov, c->in.n > 0);

	inbuf_clear(&c->in);
	return rc;
}

void
relay_tunnel(struct conn *c)
{
	struct upstream *u = c->x.up;
	int up, down;

	if (u->is_broken || flow_early(c) < 0) {
		response_broken(u, OUT_UPSTREAM_BROKEN);
		return;
	}
	up = flow(c, &c->io, &u->io, c->is_eof);
	down = flow(c, &u->io, &c->io, u->is_eof);
	if (down < 0) {
		response_broken(u, OUT_UPSTREAM_BROKEN);
		return;
	}
	if (up < 0) {
		xfer_client_gone(c);
		return;
	}
	c->is_eof = up;
	u->is_eof = down;
	if (up && down && !io_is_blocked(&c->io) && !io_is_blocked(&u->io)) {
		c->x.up = NULL;
		c->x.is_persistent = false;
		upstream_release(u, false);
		xfer_end(c, OUT_UPGRADED);
	}
}
