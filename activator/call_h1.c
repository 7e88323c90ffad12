/* Calls of HTTP/1: one on a connection at a time.  The connection is u, the call &u->call. */
#include <string.h>

#include "activator/codec.h"
#include "activator/conn_h2.h"
#include "activator/http/chunked.h"
#include "activator/http/framed.h"
#include "activator/limiter.h"
#include "activator/shard.h"
#include "activator/upstream.h"
#include "activator/upstream_read.h"
#include "activator/worker_impl.h"
#include "activator/xfer.h"

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

/* --- the request --- */

void
call_h1_broken(struct upstream *u)
{
	u->call.is_broken = true;
	io_drop_unsent(&u->io); /* else each of its events would try that write again */
	io_yield(&u->io);	/* no other event may come */
}

/* In one write.  A whole request may be deferred to the end of the round. */
static int
send_request(struct call *call, const char *head, size_t n, const struct piece *piece)
{
	struct io *io = &call->upstream->io;
	struct iovec iov[2];
	int count = 1, rc;

	memcpy(&iov[0].iov_base, &head, sizeof head);
	iov[0].iov_len = n;
	if (piece->n > 0) {
		memcpy(&iov[1].iov_base, &piece->data, sizeof piece->data);
		iov[1].iov_len = piece->n;
		count = 2;
	}
	rc = call->xfer->is_sent_whole && call->xfer->kept_body == NULL
		     ? io_write_deferred(io, iov, count, UPSTREAM_REQUEST)
		     : io_write(io, iov, count);
	if (rc < 0)
		call_h1_broken(call->upstream);
	return rc;
}

static void
write_piece(struct call *call, const struct piece *piece)
{
	struct upstream *u = call->upstream;
	struct framed f;

	framed_init(&f);
	if (call->xfer->framing == FRAMING_LENGTH) {
		framed_add(&f, piece->data, piece->n);
	} else {
		framed_chunk(&f, piece->data, piece->n);
		if (piece->is_last)
			framed_last_chunk(&f, piece->trailers);
	}
	if (!call->is_broken && io_write(&u->io, f.iov, f.n) < 0)
		call_h1_broken(u);
}

static bool
flush(struct call *call)
{
	struct upstream *u = call->upstream;
	int rc = io_flush(&u->io);

	if (rc < 0)
		call_h1_broken(u);
	return rc == 1;
}

/* --- the body of the response --- */

/* Pass a piece of it to the client; head: as in codec.h.  -1: the client is gone. */
static int
pass(struct upstream *u, const struct response *head, const char *data, size_t n)
{
	struct call *call = &u->call;
	struct xfer *x = call->xfer;
	const char *trailers = NULL;

	if (call->is_done)
		trailers = call->chunked != NULL && x->takes_trailers
				   ? chunked_trailers(call->chunked)
				   : "";
	if (relay_pass(x, head, data, n, trailers) < 0)
		return -1;
	u->read_size = x->is_client_blocked ? MAX(u->read_size / 2, READ_LEAST)
					    : MIN(u->read_size * 2, (uint32_t)WORKER_BUFFER);
	return 0;
}

/* The response is complete: may the connection carry another request?  Not if the instance has
 * sent anything behind the response, or closed.  surplus: bytes that were read behind it. */
static bool
is_reusable(struct upstream *u, size_t surplus)
{
	return u->call.is_persistent && surplus == 0 && u->call.xfer->is_sent_whole &&
	       !u->call.is_broken && !io_is_blocked(&u->io) && io_is_quiet(&u->io);
}

/* Pass on the bytes buf[0..n) of the response's body, behind its head (NULL: that was passed on
 * already). */
static struct relay_result
pass_body(struct upstream *u, const struct response *head, char *buf, size_t n)
{
	struct call *call = &u->call;
	size_t data_n = 0;
	ssize_t used = upstream_read_body(u, buf, n, &data_n);

	if (used < 0)
		return bad_response("its chunked body is malformed");
	/* Before the client gets it: if it has left, the connection is no worse for that. */
	if (call->is_done)
		call->is_persistent = is_reusable(u, n - (size_t)used);
	call->xfer->is_head_written = true;
	if ((head != NULL || data_n > 0 || call->is_done) && pass(u, head, buf, data_n) < 0)
		return result(RELAY_CLIENT_GONE);
	return result(call->is_done ? RELAY_DONE : RELAY_GOES_ON);
}

/* --- its head --- */

static struct relay_result
pass_final(struct upstream *u, const struct response *r, char *body, size_t n)
{
	upstream_read_final(u, r);
	relay_final(&u->call, r);
	return pass_body(u, r, body, n);
}

/* Pass on n bytes at the front of w->read_buf: a head, which interim heads may precede, and
 * what there is of the body. */
static struct relay_result
pass_heads(struct upstream *u, size_t n)
{
	struct call *call = &u->call;
	struct xfer *x = call->xfer;
	char *buf = u->w->read_buf;

	for (;;) {
		ssize_t head_n = h1_scan(buf, n, &u->in_seen);
		struct relay_result judged;
		struct response r;

		if (head_n == 0 && n < call->max_head) {
			upstream_read_keep(u, buf, n);
			return result(RELAY_GOES_ON);
		}
		if (head_n == 0 || head_n > (ssize_t)call->max_head)
			return bad_response("its response head is larger than max_head");
		if (head_n < 0 || upstream_read_head(u, buf, (size_t)head_n, &r) < 0)
			return bad_response(NULL);
		buf += head_n;
		n -= (size_t)head_n;
		if (call->is_upgrade && (judged = relay_judge(x, &r)).end != RELAY_GOES_ON)
			return judged;
		if (r.status == 101) {
			upstream_read_raw(u);
			return relay_upgrade(call, &r, buf, n);
		}
		if (r.status >= 200)
			return pass_final(u, &r, buf, n);
		if (relay_interim(x, &r) < 0) {
			upstream_read_keep(u, buf, n); /* for abandon() */
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
	struct call *call = &u->call;

	if (!call->is_head_read)
		return result(RELAY_NO_RESPONSE);
	if (call->framing != FRAMING_CLOSE || got != IO_EOF)
		return result(RELAY_BROKEN);
	call->is_persistent = false;
	call->is_done = true;
	if (pass(u, NULL, NULL, 0) < 0)
		return result(RELAY_CLIENT_GONE);
	return result(RELAY_DONE);
}

/* How much one read may take: the client may have to keep all of it. */
static uint32_t
read_most(const struct upstream *u, const struct xfer *x)
{
	if (__builtin_expect(x->stream != NULL, 0) && conn_h2_is_crowded(x->stream->h2))
		return MIN(u->read_size, READ_LEAST);
	return u->read_size;
}

static struct relay_result
read_response(struct call *call)
{
	struct upstream *u = call->upstream;
	struct xfer *x = call->xfer;
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
			      MIN(read_most(u, x), WORKER_BUFFER - have));
		if (got <= 0) {
			upstream_read_keep(u, u->w->read_buf, have);
			return got < 0 ? response_ended(u, got) : result(RELAY_GOES_ON);
		}
		x->progress_ns = u->w->now;
		r = call->is_head_read ? pass_body(u, NULL, u->w->read_buf, (size_t)got)
				       : pass_heads(u, have + (size_t)got);
		if (r.end != RELAY_GOES_ON)
			return r;
		io_expect_more(&u->io);
	}
	return result(RELAY_GOES_ON);
}

static void
skip(struct call *call)
{
	upstream_read_raw(call->upstream);
}

/* --- tunnels --- */

static int
write_tunnel(struct call *call, const char *data, size_t n)
{
	struct io *io = &call->upstream->io;
	struct iovec iov = {.iov_len = n};

	if (n == 0) {
		io_shutdown(io);
		return 0;
	}
	memcpy(&iov.iov_base, &data, sizeof data);
	return io_write(io, &iov, 1);
}

static ssize_t
read_tunnel(struct call *call)
{
	struct upstream *u = call->upstream;
	ssize_t got = io_read(&u->io, u->w->read_buf, WORKER_BUFFER);

	if (got > 0)
		io_expect_more(&u->io);
	return got;
}

static bool
is_reset(const struct call *call)
{
	const struct io *io = &call->upstream->io;

	return io->can_read && io_is_reset(io);
}

static void
yield(struct call *call)
{
	io_yield(&call->upstream->io);
}

/* --- the end of the call --- */

static void
release(struct call *call, bool may_pool)
{
	struct upstream *u = call->upstream;

	upstream_release(u, may_pool);
	limiter_give_back(u->inst);
	upstream_shed_waited(u);
}

static void
close_call(struct call *call, bool abort)
{
	struct upstream *u = call->upstream;

	call->xfer = NULL;
	upstream_close(u, abort);
	limiter_give_back(u->inst);
}

/* Throw away the response; its end frees the slot. */
void
call_h1_read_away(struct upstream *u)
{
	struct call *call = &u->call;
	int turn = 0;

	while (u->io.can_read) {
		bool had_head = call->is_head_read;
		size_t have;
		ssize_t got;

		if (turn++ == READS_A_TURN) {
			io_yield(&u->io);
			return;
		}
		have = upstream_read_begin(u);
		got = io_read(&u->io, u->w->read_buf + have, WORKER_BUFFER - have);

		if (got == IO_NOTHING) {
			upstream_read_keep(u, u->w->read_buf, have);
			return;
		}
		if (got < 0 || upstream_read_past(u, have + (size_t)got)) {
			upstream_close(u, got > 0 && !call->is_done);
			return;
		}
		io_expect_more(&u->io);
		if (!had_head && call->is_head_read) { /* abort_timeout begins */
			u->until_ns = u->w->now + call->abort_ns;
			timeq_set(&u->w->timeq, &u->timer, u->until_ns);
		}
	}
}

static bool
abandon(struct call *call, const struct limits *l, struct shard *shard, int64_t sent_ns)
{
	struct upstream *u = call->upstream;
	size_t have;

	call->xfer = NULL;
	call->shard = shard;
	call->abort_ns = l->abort_timeout;
	u->state = UPSTREAM_ABANDONED;
	u->io.ops = &upstream_idle_ops;
	/* Send FIN in any case.  What the instance has not taken of the request is dropped: it
	 * cannot process half a request, so its work ends soonest. */
	io_drop_unsent(&u->io);
	io_shutdown(&u->io);
	have = upstream_read_begin(u);
	if (have > 0 && upstream_read_past(u, have)) {
		upstream_close(u, !call->is_done);
		return false;
	}
	u->until_ns = call->is_head_read ? u->w->now + call->abort_ns
					 : sent_ns + l->response_timeout;
	timeq_set(&u->w->timeq, &u->timer, u->until_ns);
	call_h1_read_away(u);
	return io_is_open(&u->io);
}

void
call_forget_abandoned(struct call *call)
{
	if (call->shard != NULL)
		shard_in_flight(call->shard, call->upstream->w->now, -1);
	call->shard = NULL;
	if (call->abandoned != NULL)
		list_remove(call->abandoned, &call->abandoned_node);
	call->abandoned = NULL;
}

const struct call_codec call_h1_codec = {
	.send = send_request,
	.write = write_piece,
	.flush = flush,
	.read = read_response,
	.skip = skip,
	.write_tunnel = write_tunnel,
	.read_tunnel = read_tunnel,
	.is_reset = is_reset,
	.is_closed = is_reset,
	.yield = yield,
	.release = release,
	.close = close_call,
	.abandon = abandon,
};
