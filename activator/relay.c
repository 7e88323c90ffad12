#include "activator/relay.h"

#include <string.h>

#include "activator/cold.h"
#include "activator/conn.h"
#include "activator/http/chunked.h"
#include "activator/http/put.h"
#include "activator/notice.h"
#include "activator/upstream.h"
#include "activator/upstream_read.h"

#define COPY_MOST 2048			/* bytes of a body copied behind the head: one write */
#define READ_LEAST ((uint32_t)16 << 10) /* bytes of one read for a client that is slow */
#define READS_A_TURN 4 /* so that the other connections of the worker have their turn */

static const char crlf[] = "\r\n", last_chunk[] = "0\r\n";

static struct relay_result
result(enum relay_end end)
{
	return (struct relay_result){.end = end};
}

static struct relay_result
bad_response(const char *why)
{
	return (struct relay_result){.end = RELAY_BAD_RESPONSE, .why = why};
}

/* What one write consists of: a head, and a piece of a body in its framing. */
struct framed {
	struct iovec iov[7];
	int n;
	char size[20]; /* of the chunk, in hex */
};

static void
add(struct framed *f, const char *s, size_t n)
{
	if (n == 0)
		return;
	/* sendmsg(2) does not change what it sends: const is lost in the type alone. */
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

void
relay_note_request(struct xfer *x, size_t n)
{
	if (x->framing == FRAMING_LENGTH) {
		x->remaining -= n;
		x->is_sent_whole = x->remaining == 0;
	}
	x->has_given_body |= n > 0;
	x->is_expecting = false;
	metric_add(&x->shard->bytes_in, n);
}

/* Write a piece of the request's body to the instance.  Returns how much was consumed, or
 * -1: the framing is broken. */
static ssize_t
write_request(struct conn *c, char *buf, size_t n)
{
	struct xfer *x = &c->x;
	struct framed f = {.n = 0};
	size_t data_n = n;
	ssize_t used;

	if (x->framing == FRAMING_LENGTH) {
		used = (ssize_t)MIN((uint64_t)n, x->remaining);
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
	relay_note_request(x, (size_t)used);
	if (!x->upstream->is_broken && io_write(&x->upstream->io, f.iov, f.n) < 0)
		upstream_broken(x->upstream);
	return used;
}

/* Have a piece of the body in c->in.  Returns its size, or IO_NOTHING, or < 0: the client is
 * gone. */
static ssize_t
read_request(struct conn *c)
{
	ssize_t got;

	if (c->in.n > 0)
		return c->in.n;
	got = io_read(&c->io, c->w->read_buf, c->x.upstream->read_size);
	if (got > 0)
		c->in = (struct inbuf){
			.data = c->w->read_buf, .n = (uint32_t)got, .is_borrowed = true};
	return got;
}

struct relay_result
relay_request(struct conn *c)
{
	struct xfer *x = &c->x;
	int turn = 0;

	while (!x->is_sent_whole && !io_is_blocked(&x->upstream->io) && !x->upstream->is_broken) {
		ssize_t used;

		if (turn++ == READS_A_TURN) {
			io_yield(&c->io);
			break;
		}
		used = read_request(c);
		if (used < 0)
			return result(RELAY_CLIENT_GONE);
		if (used == IO_NOTHING)
			break;
		used = write_request(c, c->in.data, c->in.n);
		c->since_ns = x->progress_ns = c->w->now;
		if (used < 0)
			return (struct relay_result){.end = RELAY_BAD_REQUEST,
						     .why = "the chunked body is malformed"};
		inbuf_consume(&c->in, (size_t)used);
		if (!x->is_sent_whole)
			io_expect_more(&c->io);
	}
	inbuf_keep(&c->in); /* the response is read into the same buffer next */
	return result(RELAY_GOES_ON);
}

/* --- response bodies --- */

/* Write head_n bytes of w->write_buf and a piece of the body to the client.  -1: the client is
 * gone. */
static int
write_response(struct conn *c, size_t head_n, const char *data, size_t n, bool is_last)
{
	struct xfer *x = &c->x;
	struct upstream *u = x->upstream;
	struct framed f = {.n = 0};

	if (head_n > 0 && n > 0 && n <= COPY_MOST && x->framing_out != FRAMING_CHUNKED) {
		memcpy(c->w->write_buf + head_n, data, n);
		head_n += n;
		metric_add(&x->shard->bytes_out, n);
		n = 0;
	}
	add(&f, c->w->write_buf, head_n);
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
	if ((is_last ? io_write_deferred(&c->io, f.iov, f.n) : io_write(&c->io, f.iov, f.n)) < 0)
		return -1;
	if (io_is_blocked(&c->io)) {
		c->since_ns = c->w->now;
		u->read_size = MAX(u->read_size / 2, READ_LEAST);
	} else {
		u->read_size = MIN(u->read_size * 2, (uint32_t)WORKER_BUFFER);
	}
	return 0;
}

/* Has the instance sent nothing behind its response, and not closed either? */
static bool
is_quiet(struct upstream *u)
{
	char byte;

	return !u->io.is_hup && (!u->io.can_read || io_read(&u->io, &byte, 1) == IO_NOTHING);
}

/* The response is complete: may the connection carry another request?  surplus: bytes that
 * were read behind the response. */
static bool
is_reusable(struct upstream *u, size_t surplus)
{
	return u->is_persistent && surplus == 0 && u->conn->x.is_sent_whole && !u->is_broken &&
	       !io_is_blocked(&u->io) && is_quiet(u);
}

/* Pass on the bytes buf[0..n) of the response's body, behind a head of head_n bytes in
 * w->write_buf (0: the head is written already). */
static struct relay_result
pass_response(struct upstream *u, size_t head_n, char *buf, size_t n)
{
	struct conn *c = u->conn;
	size_t data_n = 0;
	ssize_t used = upstream_read_body(u, buf, n, &data_n);

	if (used < 0 && !c->x.is_head_written)
		return bad_response("its chunked body is malformed");
	if (used < 0)
		return result(RELAY_BROKEN);
	/* Before the client gets it: if it has left, the connection is no worse for that. */
	if (u->is_done)
		u->is_persistent = is_reusable(u, n - (size_t)used);
	c->x.is_head_written = true;
	if ((head_n > 0 || data_n > 0 || u->is_done) &&
	    write_response(c, head_n, buf, data_n, u->is_done) < 0)
		return result(RELAY_CLIENT_GONE);
	return result(u->is_done ? RELAY_DONE : RELAY_GOES_ON);
}

/* --- response heads --- */

/* The head that the client gets, into w->write_buf.  Returns its size. */
static size_t
make_head(struct conn *c, const struct response *r)
{
	struct xfer *x = &c->x;
	struct worker *w = c->w;
	char timing[COLD_TIMING];
	struct response_hop hop = {
		.is_http10 = x->is_http10,
		.is_persistent = conn_may_persist(c),
		.says_keep_alive = x->says_keep_alive,
		.takes_trailers = x->takes_trailers,
		.has_via = conn_limits(c)->via,
		.date = date_text(&w->date, w->now),
		.server_timing = cold_timing(c, timing),
	};
	size_t room;

	if (r->status >= 200) {
		x->is_persistent = hop.is_persistent;
		x->framing_out = response_framing(r, &hop);
	}
	room = response_size(r, &hop);
	return response_write(r, &hop, worker_write_buf(w, room + COPY_MOST), room);
}

static void
note_served(struct upstream *u)
{
	if (!atomic_load_explicit(&u->inst->has_served, memory_order_relaxed))
		notice_served(u->w, u->inst);
}

/* 101: the bytes early[0..n), and all that follow, are not HTTP. */
static struct relay_result
upgrade(struct upstream *u, const struct response *r, const char *early, size_t n)
{
	struct conn *c = u->conn;
	struct framed f = {.n = 0};
	size_t head_n;

	if (!c->x.is_sent_whole) /* body and tunnel could not be told apart */
		return bad_response("it switched protocols before it had read the request body");
	note_served(u);
	upstream_read_tunnel(u);
	xfer_head_seen(c);
	head_n = make_head(c, r);
	add(&f, c->w->write_buf, head_n);
	add(&f, early, n);
	metric_add(&c->x.shard->bytes_out, n);
	if (io_write(&c->io, f.iov, f.n) < 0)
		return result(RELAY_CLIENT_GONE);
	c->x.is_head_written = true;
	return result(RELAY_UPGRADED);
}

/* An interim response (1xx).  HTTP/1.0 clients do not know these (RFC 9110 15.2).  -1: the
 * client is gone. */
static int
pass_interim(struct conn *c, const struct response *r)
{
	struct iovec iov;

	xfer_interim_seen(c, r->status);
	if (c->x.is_http10)
		return 0;
	iov.iov_len = make_head(c, r);
	iov.iov_base = c->w->write_buf;
	return io_write(&c->io, &iov, 1);
}

static struct relay_result
pass_final(struct upstream *u, const struct response *r, char *body, size_t n)
{
	upstream_read_final(u, r);
	note_served(u);
	xfer_head_seen(u->conn);
	return pass_response(u, make_head(u->conn, r), body, n);
}

/* Pass on n bytes at the front of w->read_buf: a head, which interim heads may precede, and
 * what there is of the body. */
static struct relay_result
pass_heads(struct upstream *u, size_t n)
{
	struct conn *c = u->conn;
	char *buf = u->w->read_buf;

	for (;;) {
		ssize_t head_n = h1_scan(buf, n, &u->in_seen);
		struct response r;

		if (head_n == 0 && n < u->max_head) {
			upstream_read_keep(u, buf, n);
			return result(RELAY_GOES_ON);
		}
		if (head_n == 0 || head_n > (ssize_t)u->max_head)
			return bad_response("its response head is larger than max_head");
		if (head_n < 0 || upstream_read_head(u, buf, (size_t)head_n, &r) < 0)
			return bad_response(NULL);
		buf += head_n;
		n -= (size_t)head_n;
		if (r.status == 101)
			return upgrade(u, &r, buf, n);
		if (r.status >= 200)
			return pass_final(u, &r, buf, n);
		if (pass_interim(c, &r) < 0) {
			upstream_read_keep(u, buf, n); /* for upstream_abandon() */
			return result(RELAY_CLIENT_GONE);
		}
	}
}

/* The instance has closed its side (IO_EOF), or reset it. */
static struct relay_result
response_ended(struct upstream *u, ssize_t got)
{
	if (!u->is_head_read)
		return result(RELAY_NO_RESPONSE);
	if (u->framing != FRAMING_CLOSE || got != IO_EOF)
		return result(RELAY_BROKEN);
	u->is_persistent = false;
	u->is_done = true;
	if (write_response(u->conn, 0, NULL, 0, true) < 0)
		return result(RELAY_CLIENT_GONE);
	return result(RELAY_DONE);
}

struct relay_result
relay_response(struct conn *c)
{
	struct upstream *u = c->x.upstream;
	int turn = 0;

	while (u->io.can_read && !io_is_blocked(&c->io)) {
		struct relay_result r;
		size_t have;
		ssize_t got;

		if (turn++ == READS_A_TURN) {
			io_yield(&u->io);
			break;
		}
		have = upstream_read_begin(u);
		got = io_read(&u->io, u->w->read_buf + have,
			      MIN(u->read_size, WORKER_BUFFER - have));
		if (got <= 0) {
			upstream_read_keep(u, u->w->read_buf, have);
			return got < 0 ? response_ended(u, got) : result(RELAY_GOES_ON);
		}
		c->x.progress_ns = u->w->now;
		r = u->is_head_read ? pass_response(u, 0, u->w->read_buf, (size_t)got)
				    : pass_heads(u, have + (size_t)got);
		if (r.end != RELAY_GOES_ON)
			return r;
		io_expect_more(&u->io);
	}
	return result(RELAY_GOES_ON);
}

/* --- tunnels --- */

/* One direction, for as long as bytes come and are taken; they are counted in *bytes.  1: its end
 * was passed on, 0: it goes on, -1: one of the two sides is broken. */
static int
copy(struct conn *c, struct io *from, struct io *to, bool is_eof_passed, _Atomic uint64_t *bytes)
{
	int turn = 0;

	if (io_is_blocked(to) && from->can_read && io_is_reset(from))
		return -1;
	while (!is_eof_passed && !io_is_blocked(to)) {
		struct iovec iov = {.iov_base = c->w->read_buf};
		ssize_t got;

		if (turn++ == READS_A_TURN) {
			io_yield(from);
			return 0;
		}
		got = io_read(from, c->w->read_buf, WORKER_BUFFER);
		if (got == IO_NOTHING)
			return 0;
		if (got == IO_ERROR)
			return -1;
		if (got == IO_EOF) {
			io_shutdown(to);
			return 1;
		}
		c->since_ns = c->w->now;
		iov.iov_len = (size_t)got;
		metric_add(bytes, (uint64_t)got);
		if (io_write(to, &iov, 1) < 0)
			return -1;
		io_expect_more(from);
	}
	return is_eof_passed;
}

/* Bytes that the client sent before it had the 101. */
static int
copy_early(struct conn *c)
{
	struct iovec iov = {.iov_base = c->in.data, .iov_len = c->in.n};
	int rc = io_write(&c->x.upstream->io, &iov, c->in.n > 0);

	metric_add(&c->x.shard->bytes_in, c->in.n);
	inbuf_clear(&c->in);
	return rc;
}

struct relay_result
relay_tunnel(struct conn *c)
{
	struct upstream *u = c->x.upstream;
	int to_instance, to_client;

	if (u->is_broken || copy_early(c) < 0)
		return result(RELAY_BROKEN);
	to_instance = copy(c, &c->io, &u->io, c->is_eof_passed, &c->x.shard->bytes_in);
	to_client = copy(c, &u->io, &c->io, u->is_eof_passed, &c->x.shard->bytes_out);
	if (to_client < 0)
		return result(RELAY_BROKEN);
	if (to_instance < 0)
		return result(RELAY_CLIENT_GONE);
	c->is_eof_passed = to_instance;
	u->is_eof_passed = to_client;
	if (!to_instance || !to_client || io_is_blocked(&c->io) || io_is_blocked(&u->io))
		return result(RELAY_GOES_ON);
	return result(RELAY_DONE);
}
