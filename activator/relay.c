#include "activator/relay.h"

#include <string.h>

#include "activator/codec.h"
#include "activator/conn.h"
#include "activator/http/chunked.h"
#include "activator/http/framed.h"
#include "activator/notice.h"
#include "activator/upstream.h"
#include "activator/upstream_read.h"

#define READ_LEAST ((uint32_t)16 << 10) /* bytes of one read for a client that is slow */
#define READS_A_TURN 4 /* so that the other connections of the worker have their turn */

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
write_request(struct xfer *x, char *buf, size_t n)
{
	struct framed f;
	size_t data_n = n;
	ssize_t used;

	framed_init(&f);
	if (x->framing == FRAMING_LENGTH) {
		used = (ssize_t)MIN((uint64_t)n, x->remaining);
		framed_add(&f, buf, (size_t)used);
	} else {
		used = chunked_feed(x->chunked, buf, n, &data_n);
		if (used < 0)
			return -1;
		framed_chunk(&f, buf, data_n);
		x->is_sent_whole = chunked_done(x->chunked);
		if (x->is_sent_whole)
			framed_last_chunk(&f, chunked_trailers(x->chunked));
	}
	relay_note_request(x, (size_t)used);
	if (!x->upstream->is_broken && io_write(&x->upstream->io, f.iov, f.n) < 0)
		upstream_broken(x->upstream);
	return used;
}

/* Have a piece of the body in x->conn->in.  Returns its size, or IO_NOTHING, or < 0: the client is
 * gone. */
static ssize_t
read_request(struct xfer *x)
{
	struct conn *c = x->conn;
	ssize_t got;

	if (c->in.n > 0)
		return c->in.n;
	got = io_read(&c->io, x->w->read_buf, x->upstream->read_size);
	if (got > 0)
		c->in = (struct inbuf){
			.data = x->w->read_buf, .n = (uint32_t)got, .is_borrowed = true};
	return got;
}

struct relay_result
relay_request(struct xfer *x)
{
	struct conn *c = x->conn;
	int turn = 0;

	while (!x->is_sent_whole && !io_is_blocked(&x->upstream->io) && !x->upstream->is_broken) {
		ssize_t used;

		if (turn++ == READS_A_TURN) {
			io_yield(&c->io);
			break;
		}
		used = read_request(x);
		if (used < 0)
			return result(RELAY_CLIENT_GONE);
		if (used == IO_NOTHING)
			break;
		used = write_request(x, c->in.data, c->in.n);
		x->since_ns = x->progress_ns = x->w->now;
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

/* Pass a piece of the response to the client; head: as in codec.h.  -1: the client is gone. */
static int
write_response(struct upstream *u, const struct response *head, const char *data, size_t n)
{
	struct xfer *x = u->xfer;
	const char *trailers = NULL;

	if (u->is_done)
		trailers = u->chunked != NULL && x->takes_trailers ? chunked_trailers(u->chunked)
								   : "";
	metric_add(&x->shard->bytes_out, n);
	if (x->conn->codec->pass(x, head, data, n, trailers) < 0)
		return -1;
	if (x->is_client_blocked) {
		x->since_ns = x->w->now;
		u->read_size = MAX(u->read_size / 2, READ_LEAST);
	} else {
		u->read_size = MIN(u->read_size * 2, (uint32_t)WORKER_BUFFER);
	}
	return 0;
}

/* The response is complete: may the connection carry another request?  Not if the instance has
 * sent anything behind the response, or closed.  surplus: bytes that were read behind it. */
static bool
is_reusable(struct upstream *u, size_t surplus)
{
	return u->is_persistent && surplus == 0 && u->xfer->is_sent_whole && !u->is_broken &&
	       !io_is_blocked(&u->io) && io_is_quiet(&u->io);
}

/* Pass on the bytes buf[0..n) of the response's body, behind its head (NULL: that was passed on
 * already). */
static struct relay_result
pass_response(struct upstream *u, const struct response *head, char *buf, size_t n)
{
	struct xfer *x = u->xfer;
	size_t data_n = 0;
	ssize_t used = upstream_read_body(u, buf, n, &data_n);

	if (used < 0 && !x->is_head_written)
		return bad_response("its chunked body is malformed");
	if (used < 0)
		return result(RELAY_BROKEN);
	/* Before the client gets it: if it has left, the connection is no worse for that. */
	if (u->is_done)
		u->is_persistent = is_reusable(u, n - (size_t)used);
	x->is_head_written = true;
	if ((head != NULL || data_n > 0 || u->is_done) && write_response(u, head, buf, data_n) < 0)
		return result(RELAY_CLIENT_GONE);
	return result(u->is_done ? RELAY_DONE : RELAY_GOES_ON);
}

/* --- response heads --- */

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
	struct xfer *x = u->xfer;

	if (!x->is_sent_whole) /* body and tunnel could not be told apart */
		return bad_response("it switched protocols before it had read the request body");
	note_served(u);
	upstream_read_tunnel(u);
	xfer_head_seen(x);
	metric_add(&x->shard->bytes_out, n);
	if (x->conn->codec->upgrade(x, r, early, n) < 0)
		return result(RELAY_CLIENT_GONE);
	x->is_head_written = true;
	return result(RELAY_UPGRADED);
}

/* An interim response (1xx).  -1: the client is gone. */
static int
pass_interim(struct xfer *x, const struct response *r)
{
	xfer_interim_seen(x, r->status);
	return x->conn->codec->interim(x, r);
}

static struct relay_result
pass_final(struct upstream *u, const struct response *r, char *body, size_t n)
{
	upstream_read_final(u, r);
	note_served(u);
	xfer_head_seen(u->xfer);
	return pass_response(u, r, body, n);
}

/* Pass on n bytes at the front of w->read_buf: a head, which interim heads may precede, and
 * what there is of the body. */
static struct relay_result
pass_heads(struct upstream *u, size_t n)
{
	struct xfer *x = u->xfer;
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
		if (pass_interim(x, &r) < 0) {
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
	if (write_response(u, NULL, NULL, 0) < 0)
		return result(RELAY_CLIENT_GONE);
	return result(RELAY_DONE);
}

struct relay_result
relay_response(struct xfer *x)
{
	struct upstream *u = x->upstream;
	int turn = 0;

	while (u->io.can_read && !x->is_client_blocked) {
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
		x->progress_ns = u->w->now;
		r = u->is_head_read ? pass_response(u, NULL, u->w->read_buf, (size_t)got)
				    : pass_heads(u, have + (size_t)got);
		if (r.end != RELAY_GOES_ON)
			return r;
		io_expect_more(&u->io);
	}
	return result(RELAY_GOES_ON);
}

/* --- tunnels --- */

struct direction {
	struct xfer *x;
	struct io *from;
	bool is_to_client;
	bool *is_eof_read;	 /* set when that side has ended */
	_Atomic uint64_t *bytes; /* where they are counted */
};

static bool
is_full(const struct direction *d)
{
	return d->is_to_client ? d->x->is_client_blocked : io_is_blocked(&d->x->upstream->io);
}

/* n is 0: the end.  -1: the side that is written to is broken. */
static int
pass_on(const struct direction *d, char *data, size_t n)
{
	struct iovec iov = {.iov_base = data, .iov_len = n};

	if (d->is_to_client)
		return d->x->conn->codec->tunnel(d->x, data, n);
	if (n > 0)
		return io_write(&d->x->upstream->io, &iov, 1);
	io_shutdown(&d->x->upstream->io);
	return 0;
}

enum copy_result {
	COPY_OK,
	COPY_SOURCE_BROKEN, /* the side that is read */
	COPY_SINK_BROKEN,   /* the side that is written to */
};

/* One direction, for as long as bytes come and are taken. */
static enum copy_result
copy(const struct direction *d)
{
	struct xfer *x = d->x;
	int turn = 0;

	if (is_full(d) && d->from->can_read && io_is_reset(d->from))
		return COPY_SOURCE_BROKEN;
	while (!*d->is_eof_read && !is_full(d)) {
		ssize_t got;

		if (turn++ == READS_A_TURN) {
			io_yield(d->from);
			return COPY_OK;
		}
		got = io_read(d->from, x->w->read_buf, WORKER_BUFFER);
		if (got == IO_NOTHING)
			return COPY_OK;
		if (got == IO_ERROR)
			return COPY_SOURCE_BROKEN;
		if (got == IO_EOF) {
			*d->is_eof_read = true;
			return pass_on(d, NULL, 0) < 0 ? COPY_SINK_BROKEN : COPY_OK;
		}
		x->since_ns = x->w->now;
		metric_add(d->bytes, (uint64_t)got);
		if (pass_on(d, x->w->read_buf, (size_t)got) < 0)
			return COPY_SINK_BROKEN;
		io_expect_more(d->from);
	}
	return COPY_OK;
}

/* Bytes that the client sent before it had the 101. */
static int
copy_early(struct xfer *x)
{
	struct conn *c = x->conn;
	struct iovec iov = {.iov_base = c->in.data, .iov_len = c->in.n};
	int rc = io_write(&x->upstream->io, &iov, c->in.n > 0);

	metric_add(&x->shard->bytes_in, c->in.n);
	inbuf_clear(&c->in);
	return rc;
}

struct relay_result
relay_tunnel(struct xfer *x)
{
	struct upstream *u = x->upstream;
	struct direction up = {.x = x,
			       .from = &x->conn->io,
			       .is_eof_read = &x->is_eof_read,
			       .bytes = &x->shard->bytes_in};
	struct direction down = {.x = x,
				 .from = &u->io,
				 .is_to_client = true,
				 .is_eof_read = &u->is_eof_read,
				 .bytes = &x->shard->bytes_out};
	enum copy_result to_instance, to_client;

	if (u->is_broken || copy_early(x) < 0)
		return result(RELAY_BROKEN);
	to_instance = copy(&up);
	to_client = copy(&down);
	if (to_client == COPY_SOURCE_BROKEN)
		return result(RELAY_BROKEN);
	/* Also where the instance takes no more: its end, or its error, is read then. */
	if (to_client == COPY_SINK_BROKEN || to_instance == COPY_SOURCE_BROKEN ||
	    to_instance == COPY_SINK_BROKEN)
		return result(RELAY_CLIENT_GONE);
	if (!x->is_eof_read || !u->is_eof_read || x->is_client_blocked || io_is_blocked(&u->io))
		return result(RELAY_GOES_ON);
	return result(RELAY_DONE);
}
