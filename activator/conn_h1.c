#include "activator/conn_h1.h"

#include <string.h>

#include "activator/access_note.h"
#include "activator/arrive.h"
#include "activator/codec.h"
#include "activator/conn_h2.h"
#include "activator/deadline.h"
#include "activator/dispatch.h"
#include "activator/http/grpc.h"
#include "activator/upstream.h"
#include "common/clk.h"

/* What one connection may do in one turn, so that the others of the worker have theirs. */
#define HEADS_A_TURN 32

static void advance(struct conn *);
static void on_timer(struct timeq_entry *, int64_t now);
static void arm(struct conn *);

void
conn_h1_begin(struct conn *c)
{
	c->codec = &codec_h1;
	c->timer.fn = on_timer;
	arm(c);
}

static void
drop_input(struct conn *c)
{
	inbuf_clear(&c->in);
	c->is_in_partial = false;
	c->in_seen = 0;
}

/* Close now; abort: with a reset, which the client cannot take for a clean end. */
static void
close_conn(struct conn *c, bool abort)
{
	if (!io_is_open(&c->io))
		return;
	if (c->x != NULL)
		xfer_free(&c->x);
	drop_input(c);
	conn_close(c, abort);
}

/* The client is gone, and a request of it that is under way ends. */
static void
client_gone(struct conn *c)
{
	if (c->x != NULL)
		xfer_client_gone(c->x);
	close_conn(c, c->x != NULL && c->x->is_reset);
}

/* May the next request begin? */
static bool
is_idle(const struct conn *c)
{
	return c->state == CONN_OPEN &&
	       (__builtin_expect(c->x == NULL, 1) || c->x->state == XFER_NEW);
}

/* --- reading heads --- */

/* Have bytes in c->in that may hold a head, at the front of w->read_buf.  False: there are none
 * now, or the client is gone. */
static bool
fill(struct conn *c, size_t most)
{
	bool needs_more = c->in.n == 0 || c->is_in_partial;
	ssize_t got;

	if (needs_more && !c->io.can_read)
		return false;
	inbuf_move(&c->in, c->w->read_buf);
	if (!needs_more)
		return true;
	/* No more than a head may have: if the request is parked, what follows its head is
	 * kept in memory. */
	got = io_read(&c->io, c->w->read_buf + c->in.n, most - c->in.n);
	if (got == IO_NOTHING)
		return false;
	if (got < 0) {
		client_gone(c);
		return false;
	}
	if (c->in.n == 0)
		c->since_ns = c->w->now;
	c->in.n += (uint32_t)got;
	c->is_in_partial = false;
	return true;
}

static enum outcome
outcome_of(enum h1_result r)
{
	switch (r) {
	case H1_OK:
		return OUT_OK;
	case H1_FIELDS:
		return OUT_HEAD_TOO_LARGE;
	case H1_VERSION:
		return OUT_VERSION;
	case H1_MALFORMED:
		break;
	}
	return OUT_BAD_REQUEST;
}

/* The head is not parsed: the client is answered as well as it can be known. */
static void
refuse_head(struct conn *c, enum outcome out)
{
	if (c->x == NULL)
		c->x = xfer_new(c);
	access_note_raw(c->x, c->in.data, c->in.n);
	c->x->is_grpc = grpc_is_in_head(c->in.data, c->in.n);
	drop_input(c);
	xfer_refuse(c->x, out, NULL);
}

/* Does the client begin to speak HTTP/2? */
static bool
is_preface(const struct conn *c, size_t head_n)
{
	return c->requests == 0 && c->x == NULL && head_n == H2_PREFACE_HEAD &&
	       memcmp(c->w->read_buf, H2_PREFACE, head_n) == 0 && c->w->conf->http2;
}

/* Begin the request whose head stands at the front of w->read_buf, if it is there in whole. */
static void
read_head(struct conn *c, const struct limits *limits)
{
	struct worker *w = c->w;
	/* More may be there, if it came behind a body: it is judged as if it came now. */
	ssize_t n = h1_scan(w->read_buf, MIN(c->in.n, limits->max_head), &c->in_seen);
	enum outcome out;

	if (n < 0) {
		refuse_head(c, OUT_BAD_REQUEST);
		return;
	}
	if (n == 0) {
		if (c->in.n >= limits->max_head) {
			refuse_head(c, c->in_seen == 0 ? OUT_URI_TOO_LONG : OUT_HEAD_TOO_LARGE);
			return;
		}
		c->is_in_partial = true;
		io_expect_more(&c->io);
		return;
	}
	out = outcome_of(h1_parse_request(&w->head, w->read_buf, (size_t)n, limits->max_fields));
	if (out == OUT_VERSION && is_preface(c, (size_t)n)) {
		conn_h2_begin(c);
		return;
	}
	if (out != OUT_OK) {
		refuse_head(c, out);
		return;
	}
	inbuf_consume(&c->in, (size_t)n);
	c->in_seen = 0;
	if (c->x == NULL) { /* else it was UNROUTED, and is read again */
		c->x = xfer_new(c);
		c->requests++;
	}
	arrive_request(c->x, w->read_buf, (size_t)n);
}

/* No request follows: close, as soon as the last response is written. */
static void
begin_closing(struct conn *c, bool may_linger)
{
	c->state = CONN_CLOSING;
	c->since_ns = c->w->now;
	drop_input(c);
	if (io_flush_deferred(&c->io) < 0 || (!io_is_blocked(&c->io) && !may_linger))
		close_conn(c, false);
}

/* The response has been handed to the socket in whole: keep the connection for the next
 * request, or begin to close it. */
static void
keep_or_close(struct conn *c)
{
	/* If the drain began after the head was written, the client may send its next request at
	 * once: that one's response says close. */
	bool is_kept = conn_h1_is_persistent(c->x) && (!c->w->is_draining || c->w->keeps_idle);
	bool may_linger = !c->x->is_sent_whole || c->in.n > 0 || c->io.can_read;

	c->had_body = c->x->framing != FRAMING_NONE;
	xfer_free(&c->x);
	if (is_kept)
		c->since_ns = c->w->now;
	else
		begin_closing(c, may_linger);
}

/* Begin requests for as long as each is answered at once. */
static void
read_heads(struct conn *c)
{
	const struct limits *limits = &c->w->conf->limits;
	int turn = 0;

	/* The last response is written before anything is read: if that read finds the client's
	 * end, the response is not cut off. */
	if (io_flush_deferred(&c->io) < 0) {
		client_gone(c);
		return;
	}
	while (io_is_open(&c->io) && is_idle(c) && !io_is_blocked(&c->io) &&
	       turn++ < HEADS_A_TURN && fill(c, limits->max_head)) {
		read_head(c, limits);
		if (c->codec != &codec_h1)
			return;
		if (c->x != NULL && c->x->state == XFER_DONE)
			keep_or_close(c);
	}
	if (turn > HEADS_A_TURN)
		io_yield(&c->io);
}

/* Has the client begun to send a request? */
static bool
has_begun(const struct conn *c)
{
	/* An empty line may stand before a request: RFC 9112 2.2. */
	return c->in.n > 2 || (c->in.n > 0 && c->in.data[0] != '\r');
}

/* --- ending --- */

/* Has the client of a waiting request left?  With half_close a FIN does not mean that, a
 * reset does.  While the body of the request is read, the read finds either. */
static bool
is_leaving(const struct conn *c)
{
	const struct xfer *x = c->x;

	if (c->io.is_hup && !xfer_limits(x)->half_close)
		return true;
	if (x->state == XFER_EXCHANGE && !x->is_sent_whole && !call_is_blocked(x->call) &&
	    !x->call->is_broken)
		return false;
	return c->io.can_read && io_is_reset(&c->io);
}

/* Has the client of a tunnel reset it, while the instance takes no bytes?  Else the next read finds
 * that. */
static bool
is_tunnel_reset(const struct conn *c)
{
	return c->x->state == XFER_TUNNEL && call_is_blocked(c->x->call) && c->io.can_read &&
	       io_is_reset(&c->io);
}

/* --- events --- */

static void
advance(struct conn *c)
{
	if (c->x != NULL && c->x->state == XFER_DONE)
		keep_or_close(c);
	/* Usually the next request has not come yet when a response ends. */
	if (is_idle(c) && (c->in.n > 0 || c->io.can_read) && io_is_open(&c->io)) {
		read_heads(c);
		if (c->codec != &codec_h1)
			return;
		/* The client's end may have come with the head: then it has no other event. */
		if (c->x != NULL && xfer_is_pending(c->x) &&
		    (((c->io.is_hup || c->io.can_read) && is_leaving(c)) ||
		     (c->x->state == XFER_PARKED && io_is_reset(&c->io))))
			client_gone(c);
	}
	if (c->x != NULL && c->x->state == XFER_CUT)
		close_conn(c, c->x->is_reset);
	if (io_is_open(&c->io) && c->state != CONN_OPEN && conn_linger(c) < 0)
		close_conn(c, false);
	if (!io_is_open(&c->io))
		return;
	inbuf_keep(&c->in);
	arm(c);
}

void
conn_h1_advance(struct xfer *x)
{
	advance(x->conn);
}

void
conn_h1_drain(struct conn *c)
{
	if (is_idle(c)) { /* a request that is in the socket already is answered */
		io_expect_more(&c->io);
		advance(c);
	}
	if (c->codec != &codec_h1)
		return;
	if (!io_is_open(&c->io) || !is_idle(c) || has_begun(c))
		return;
	if (io_has_begun_handshake(&c->io)) /* a request follows it */
		return;
	io_flush_deferred(&c->io);
	if (io_is_blocked(&c->io)) {
		begin_closing(c, false); /* closes when the client has taken its response */
		advance(c);
	} else {
		close_conn(c, false);
	}
}

unsigned
conn_h1_end_tunnels(struct conn *c)
{
	if (c->x == NULL || c->x->state != XFER_TUNNEL)
		return 0;
	xfer_cut_tunnel(c->x);
	advance(c);
	return 1;
}

void
conn_h1_end(struct conn *c)
{
	if (c->x != NULL && xfer_is_pending(c->x) && !c->x->is_head_written) {
		xfer_refuse(c->x, OUT_SHUTTING_DOWN, NULL);
		advance(c);
	}
	if (c->state == CONN_OPEN)
		conn_h1_cut(c);
}

void
conn_h1_cut(struct conn *c)
{
	if (c->x != NULL)
		xfer_client_gone(c->x);
	close_conn(c, c->x != NULL || (c->state == CONN_OPEN && io_is_blocked(&c->io)));
}

static void
on_client_readable(struct conn *c)
{
	struct xfer *x = c->x;

	if (x == NULL)
		return;
	if (xfer_is_pending(x) ? is_leaving(c) : is_tunnel_reset(c))
		client_gone(c);
	else if (x->state == XFER_EXCHANGE || x->state == XFER_TUNNEL)
		dispatch_client_readable(x);
}

/* The client takes bytes again.  -1: it is gone. */
static int
flush(struct conn *c)
{
	struct xfer *x = c->x;
	int rc = io_flush(&c->io);

	if (rc < 0) {
		client_gone(c);
		return -1;
	}
	if (!io_is_handshaking(&c->io)) /* the time of a handshake counts from its beginning */
		c->since_ns = c->w->now;
	if (x != NULL)
		x->since_ns = c->w->now;
	if (x != NULL && rc == 1) {
		x->is_client_blocked = false;
		dispatch_client_drained(x);
	}
	return 0;
}

static void
on_ready(struct io *io)
{
	struct conn *c = container_of(io, struct conn, io);

	c->w->now = clk_now();
	if (io_is_blocked(io) && io->can_write && flush(c) < 0)
		return;
	on_client_readable(c);
	advance(c);
}

static bool
is_new_work(struct io *io)
{
	const struct conn *c = container_of(io, struct conn, io);

	return c->x == NULL && c->state == CONN_OPEN;
}

/* A client whose last request had a body is expected to send another body behind its next
 * head: such a read is not small. */
static bool
is_small_read_next(struct io *io)
{
	const struct conn *c = container_of(io, struct conn, io);

	return c->x == NULL && c->state == CONN_OPEN && c->in.n == 0 && !c->had_body &&
	       !io_is_blocked(io) && c->w->conf->limits.max_head >= IO_AHEAD;
}

/* The write that was deferred is the end of a response. */
static void
on_unsent(struct io *io, uint32_t token, int error)
{
	struct conn *c = container_of(io, struct conn, io);

	(void)token;
	if (error != 0) {
		client_gone(c);
		return;
	}
	c->since_ns = c->w->now;
	arm(c);
}

const struct io_ops conn_h1_ops = {
	.on_ready = on_ready,
	.is_new_work = is_new_work,
	.is_small_read_next = is_small_read_next,
	.on_unsent = on_unsent,
};

/* --- time limits --- */

/* When the next time limit of the connection, or of its request, is over; INT64_MAX: there
 * is none.  *out: how the request ends then; set only while there is a request. */
static int64_t
limit(const struct conn *c, enum outcome *out)
{
	const struct limits *l = &c->w->conf->limits;

	if (c->x != NULL)
		return deadline_of(c->x, out);
	/* First, since what a handshake writes may wait for room, too. */
	if (c->requests == 0 && io_is_handshaking(&c->io))
		return c->since_ns + c->w->conf->tls_handshake_timeout;
	if (c->state != CONN_OPEN || io_is_blocked(&c->io))
		return conn_closing_limit(c);
	/* Its handshake was under way when the drain began: it has the time of a handshake. */
	if (c->requests == 0 && !has_begun(c) && c->w->is_draining)
		return c->since_ns + MIN(l->head_timeout, c->w->conf->tls_handshake_timeout);
	if (has_begun(c) || c->requests == 0)
		return c->since_ns + l->head_timeout;
	return c->since_ns + c->idle_timeout;
}

static void
arm(struct conn *c)
{
	enum outcome out;
	int64_t at = limit(c, &out);

	if (at != INT64_MAX)
		timeq_set(&c->w->timeq, &c->timer, at);
}

static void
on_timer(struct timeq_entry *e, int64_t now)
{
	struct conn *c = container_of(e, struct conn, timer);
	enum outcome out = OUT_OK;

	worker_limit_fired(c->w, now);
	if (io_flush_deferred(&c->io) < 0) {
		client_gone(c);
		return;
	}
	/* A connection that is queued for its turn may have what it waits for in the socket. */
	if (now < limit(c, &out) || io_is_queued(&c->io)) {
		arm(c);
		return;
	}
	if (c->x != NULL)
		dispatch_timed_out(c->x, out);
	else if (c->state != CONN_OPEN)
		close_conn(c, false);
	else if (io_is_blocked(&c->io))
		close_conn(c, true);
	else if (has_begun(c))
		refuse_head(c, OUT_HEAD_TIMEOUT);
	else
		close_conn(c, false);
	advance(c);
}
