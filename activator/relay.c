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
relay_note_request(struct xfer *x, const struct piece *piece)
{
	if (x->framing == FRAMING_LENGTH)
		x->remaining -= piece->n;
	x->is_sent_whole = piece->is_last;
	x->has_given_body |= piece->n > 0 || piece->is_last;
	x->is_expecting = false;
	metric_add(&x->shard->bytes_in, piece->n);
}

/* Write a piece of the request's body to the instance. */
static void
write_request(struct xfer *x, const struct piece *piece)
{
	struct framed f;

	framed_init(&f);
	if (x->framing == FRAMING_LENGTH) {
		framed_add(&f, piece->data, piece->n);
	} else {
		framed_chunk(&f, piece->data, piece->n);
		if (piece->is_last)
			framed_last_chunk(&f, piece->trailers);
	}
	relay_note_request(x, piece);
	if (!x->upstream->is_broken && io_write(&x->upstream->io, f.iov, f.n) < 0)
		upstream_broken(x->upstream);
}

struct relay_result
relay_request(struct xfer *x)
{
	const struct codec *codec = x->conn->codec;
	struct upstream *u = x->upstream;
	int turn = 0;

	while (!x->is_sent_whole && !io_is_blocked(&u->io) && !u->is_broken) {
		struct piece piece;
		enum next next;

		if (turn++ == READS_A_TURN) {
			codec->yield(x);
			break;
		}
		next = codec->next(x, u->read_size, &piece);
		if (next == NEXT_GONE)
			return result(RELAY_CLIENT_GONE);
		if (next == NEXT_NONE)
			break;
		x->since_ns = x->progress_ns = x->w->now;
		if (next == NEXT_MALFORMED)
			return (struct relay_result){.end = RELAY_BAD_REQUEST,
						     .why = "the chunked body is malformed"};
		write_request(x, &piece);
		codec->took(x, &piece);
	}
	codec->keep(x); /* the response is read into the same buffer next */
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

	if (used < 0)
		return bad_response("its chunked body is malformed");
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
	upstream_read_raw(u);
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
		enum outcome out;

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
		if (u->is_upgrade && (out = x->conn->codec->judge(x, &r)) != OUT_OK)
			return out == OUT_METHOD
				       ? result(RELAY_NO_UPGRADE)
				       : bad_response("it does not accept the WebSocket's key");
		if (r.status == 101)
			return upgrade(u, &r, buf, n);
		if (r.status >= 200)
			return pass_final(u, &r, buf, n);
		if (pass_interim(x, &r) < 0) {
			upstream_read_keep(u, buf, n); /* for upstream_abandon() */
			return result(RELAY_CLIENT_GONE);
		}
		if (x->is_client_blocked) {
			x->since_ns = x->w->now;
			u->is_in_whole = n > 0;
			upstream_read_keep(u, buf, n);
			return result(RELAY_GOES_ON);
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
		if (u->is_in_whole) {
			u->is_in_whole = false;
			r = pass_heads(u, have);
			if (r.end != RELAY_GOES_ON)
				return r;
			continue;
		}
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

enum copy_result {
	COPY_OK,
	COPY_SOURCE_BROKEN, /* the side that is read */
	COPY_SINK_BROKEN,   /* the side that is written to */
};

/* What the client has sent, for as long as bytes come and the instance takes them.  (The client's
 * codec notices a reset while the instance takes none.) */
static enum copy_result
copy_to_instance(struct xfer *x)
{
	const struct codec *codec = x->conn->codec;
	struct io *to = &x->upstream->io;
	int turn = 0;

	while (!x->is_eof_read && !io_is_blocked(to)) {
		struct piece piece;
		struct iovec iov;
		enum next next;

		if (turn++ == READS_A_TURN) {
			codec->yield(x);
			break;
		}
		next = codec->next(x, WORKER_BUFFER, &piece);
		if (next == NEXT_NONE)
			break;
		if (next != NEXT_PIECE)
			return COPY_SOURCE_BROKEN;
		x->is_eof_read = piece.is_last;
		if (piece.n > 0)
			x->since_ns = x->w->now;
		metric_add(&x->shard->bytes_in, piece.n);
		memcpy(&iov.iov_base, &piece.data, sizeof piece.data);
		iov.iov_len = piece.n;
		if (io_write(to, &iov, piece.n > 0) < 0)
			return COPY_SINK_BROKEN;
		codec->took(x, &piece);
		if (piece.is_last)
			io_shutdown(to);
	}
	return COPY_OK;
}

static enum copy_result
copy_to_client(struct xfer *x)
{
	const struct codec *codec = x->conn->codec;
	struct upstream *u = x->upstream;
	int turn = 0;

	if (x->is_client_blocked && u->io.can_read && io_is_reset(&u->io))
		return COPY_SOURCE_BROKEN;
	while (!u->is_eof_read && !x->is_client_blocked) {
		ssize_t got;

		if (turn++ == READS_A_TURN) {
			io_yield(&u->io);
			break;
		}
		got = io_read(&u->io, x->w->read_buf, WORKER_BUFFER);
		if (got == IO_NOTHING)
			break;
		if (got == IO_ERROR)
			return COPY_SOURCE_BROKEN;
		if (got == IO_EOF) {
			u->is_eof_read = true;
			return codec->tunnel(x, NULL, 0) < 0 ? COPY_SINK_BROKEN : COPY_OK;
		}
		x->since_ns = x->w->now;
		metric_add(&x->shard->bytes_out, (uint64_t)got);
		if (codec->tunnel(x, x->w->read_buf, (size_t)got) < 0)
			return COPY_SINK_BROKEN;
		io_expect_more(&u->io);
	}
	return COPY_OK;
}

struct relay_result
relay_tunnel(struct xfer *x)
{
	struct upstream *u = x->upstream;
	enum copy_result to_instance, to_client;

	if (u->is_broken)
		return result(RELAY_BROKEN);
	to_instance = copy_to_instance(x);
	to_client = copy_to_client(x);
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
