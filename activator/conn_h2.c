#include "activator/conn_h2.h"

#include <stdlib.h>
#include <string.h>

#include "activator/bounds.h"
#include "activator/call.h"
#include "common/clk.h"

/* So that the other connections of the worker have their turn.  A frame may be of ten bytes, and
 * costs about as much as one of a thousand. */
#define READS_A_TURN 4
#define BYTES_A_TURN ((size_t)64 << 10)
#define FRAMES_A_TURN 500
#define READ_FIRST ((uint32_t)16 << 10)
#define READ_MOST ((uint32_t)32 << 10) /* however large the frames were until now */
#define WRITES_A_ROUND 4
#define TRIM_AFTER CLK_S  /* without a stream */
#define GOAWAY_WAIT CLK_S /* for the answer to the PING between two GOAWAYs */

static void on_timer(struct timeq_entry *, int64_t now);
static void arm(struct conn *);

/* --- the connection's end --- */

/* Let the connection end when its streams have.  The first GOAWAY names no last stream.  The second
 * does, once a PING has shown that the client has seen the first, and all that it had opened by
 * then has come: RFC 9113 6.8. */
void
conn_h2_begin_goaway(struct conn_h2 *h2, enum h2_ended why)
{
	struct conn *c = h2->c;

	if (h2->is_ending)
		return;
	h2->end = why;
	h2->is_ending = h2->is_pinged = true;
	h2->goaway_ns = c->w->now + GOAWAY_WAIT;
	h2_begin_goaway(h2->session);
	conn_h2_want_write(h2);
}

/* Break the connection off, with a GOAWAY that says so. */
void
conn_h2_terminate(struct conn_h2 *h2, enum h2_ended why, enum h2_code code)
{
	if (!h2->is_ending || h2->end == H2_ENDED_DRAIN || h2->end == H2_ENDED_IDLE)
		h2->end = why;
	h2->is_ending = h2->is_terminated = true;
	h2_terminate(h2->session, code);
	conn_h2_want_write(h2);
}

/* End all requests.  The session ends with the connection, and needs no resets. */
static void
end_streams(struct conn_h2 *h2)
{
	struct list_node *node;

	while ((node = list_first(&h2->streams)) != NULL) {
		struct h2_stream *st = container_of(node, struct h2_stream, node);

		if (st->x != NULL) {
			xfer_client_gone(st->x);
			xfer_free(&st->x);
		}
		stream_free(st);
	}
}

/* Free all that makes it HTTP/2. */
static void
drop_session(struct conn *c)
{
	struct conn_h2 *h2 = c->h2;
	struct list_node *node;

	end_streams(h2);
	while ((node = list_pop(&h2->abandoned)) != NULL)
		container_of(node, struct call, abandoned_node)->abandoned = NULL;
	if (list_linked(&h2->to_write))
		list_remove(&c->w->to_write, &h2->to_write);
	bounds_drop_stream_bytes(c->w->bounds, H2_CONN_BYTES);
	metric_add(&c->w->counters.h2_ended[h2->end], 1);
	metric_add(&c->w->counters.h2_connections, (uint64_t)-1);
	h2_free(&h2->session);
	free(h2);
	c->h2 = NULL;
}

/* End it: all requests, and the connection, at once if abort; else once all that was written is
 * taken. */
static void
finish(struct conn *c, enum h2_ended why, bool abort)
{
	if (c->h2 != NULL) {
		if (!c->h2->is_ending)
			c->h2->end = why;
		drop_session(c);
	}
	if (!io_is_open(&c->io))
		return;
	c->state = CONN_CLOSING;
	c->since_ns = c->w->now;
	if (abort || io_flush_deferred(&c->io) < 0 || conn_linger(c) < 0)
		conn_close(c, abort);
	else
		arm(c);
}

/* Why the session has come to its end. */
static enum h2_ended
end_of(const struct conn_h2 *h2)
{
	if (h2->is_ending)
		return h2->end;
	switch (h2_error(h2->session)) {
	case H2_NO_ERROR:
		return H2_ENDED_CLIENT; /* its GOAWAY */
	case H2_ENHANCE_YOUR_CALM:
		return H2_ENDED_FLOOD;
	default:
		return H2_ENDED_PROTOCOL;
	}
}

/* --- writing --- */

void
conn_h2_want_write(struct conn_h2 *h2)
{
	if (!list_linked(&h2->to_write))
		list_push(&h2->c->w->to_write, &h2->to_write);
}

int
conn_h2_write_direct(struct h2_stream *st, const char **data, size_t *n)
{
	struct conn_h2 *h2 = st->h2;
	struct conn *c = h2->c;
	struct iovec iov = {.iov_base = c->w->frame_buf};
	ssize_t written;

	if (io_is_blocked(&c->io) || h2->is_broken)
		return 0;
	h2->direct = st;
	h2->direct_data = *data;
	h2->direct_n = *n;
	written = h2_write(h2->session, c->w->frame_buf, WORKER_FRAMES);
	h2->direct = NULL;
	*data = h2->direct_data;
	*n = h2->direct_n;
	iov.iov_len = (size_t)MAX(written, 0);
	h2->is_broken = written < 0 || (written > 0 && io_write(&c->io, &iov, 1) < 0);
	if (io_is_blocked(&c->io))
		h2->blocked_ns = c->w->now;
	return h2->is_broken ? -1 : 0;
}

/* True: the connection has ended. */
static bool
write_frames(struct conn *c)
{
	struct conn_h2 *h2 = c->h2;
	struct worker *w = c->w;
	int writes = 0;

	if (h2->is_broken) {
		finish(c, H2_ENDED_CLIENT, true);
		return true;
	}
	while (!io_is_blocked(&c->io)) {
		struct iovec iov = {.iov_base = w->frame_buf};
		ssize_t n;

		if (writes++ == WRITES_A_ROUND) {
			io_yield(&c->io);
			break;
		}
		n = h2_write(h2->session, w->frame_buf, WORKER_FRAMES);
		iov.iov_len = (size_t)MAX(n, 0);
		if (n < 0 || (n > 0 && io_write_deferred(&c->io, &iov, 1, 0) < 0)) {
			finish(c, H2_ENDED_CLIENT, true);
			return true;
		}
		if (io_is_blocked(&c->io))
			h2->blocked_ns = w->now;
		if (n < (ssize_t)(WORKER_FRAMES - H2_WRITE_LEAST))
			break;
	}
	if (h2_is_over(h2->session) && !io_is_blocked(&c->io)) {
		finish(c, end_of(h2), false);
		return true;
	}
	if (h2->events.n > 0)
		io_yield(&c->io);
	arm(c);
	return false;
}

bool
conn_h2_write_all(struct worker *w)
{
	struct list_node *node;
	bool has_ended = false;

	while ((node = list_pop(&w->to_write)) != NULL)
		has_ended |= write_frames(container_of(node, struct conn_h2, to_write)->c);
	return has_ended;
}

/* --- events --- */

/* What its bytes bring.  -1: the connection has ended. */
static int
feed(struct conn *c, const char *data, size_t n)
{
	struct conn_h2 *h2 = c->h2;
	bool was_in_head = h2_is_in_head(h2->session);
	int rc = h2_feed(h2->session, data, n);

	if (!was_in_head && h2_is_in_head(h2->session))
		c->since_ns = c->w->now; /* head_timeout begins */
	conn_h2_run_events(h2);
	conn_h2_want_write(h2);
	if (rc == 0)
		return 0;
	if (!write_frames(c)) /* the GOAWAY that says why */
		finish(c, end_of(h2), false);
	return -1;
}

/* A read of `got` bytes had so many frames. */
static void
adapt_read_size(struct conn_h2 *h2, size_t got, uint64_t frames)
{
	if (frames > FRAMES_A_TURN / 2)
		h2->read_size = (uint32_t)MAX(got * FRAMES_A_TURN / frames, (size_t)IO_AHEAD);
	else if (got == h2->read_size)
		h2->read_size *= 2;
	h2->read_size = MIN(h2->read_size, READ_MOST);
}

static void
read_frames(struct conn *c)
{
	uint64_t first = h2_frames(c->h2->session), before;
	size_t total = 0;
	int turn = 0;

	while (c->io.can_read && !c->h2->is_terminated) {
		ssize_t got;

		before = h2_frames(c->h2->session);
		if (turn++ == READS_A_TURN || total >= BYTES_A_TURN ||
		    before - first >= FRAMES_A_TURN) {
			io_yield(&c->io);
			return;
		}
		got = io_read(&c->io, c->w->read_buf, c->h2->read_size);
		if (got == IO_NOTHING)
			return;
		if (got < 0) {
			finish(c, H2_ENDED_CLIENT, true);
			return;
		}
		total += (size_t)got;
		c->h2->is_small = (size_t)got < IO_AHEAD;
		c->h2->has_waiting = false;
		if (feed(c, c->w->read_buf, (size_t)got) < 0)
			return;
		adapt_read_size(c->h2, (size_t)got, h2_frames(c->h2->session) - before);
		/* Else a response is written, which finds out whether the client is gone. */
		if (c->h2->has_waiting || h2_is_in_head(c->h2->session))
			io_expect_more(&c->io);
	}
}

/* CLOSING, LINGERING. */
static void
close_on_ready(struct conn *c)
{
	if ((io_is_blocked(&c->io) && c->io.can_write && io_flush(&c->io) < 0) ||
	    conn_linger(c) < 0)
		conn_close(c, false);
	else
		arm(c);
}

static void
on_ready(struct io *io)
{
	struct conn *c = container_of(io, struct conn, io);

	c->w->now = clk_now();
	if (c->h2 == NULL) {
		close_on_ready(c);
		return;
	}
	if (io_is_blocked(io) && io->can_write) {
		if (io_flush(io) < 0) {
			finish(c, H2_ENDED_CLIENT, true);
			return;
		}
		c->h2->blocked_ns = c->w->now;
	}
	conn_h2_run_events(c->h2);
	conn_h2_want_write(c->h2);
	read_frames(c);
}

static bool
is_new_work(struct io *io)
{
	const struct conn *c = container_of(io, struct conn, io);

	return c->h2 != NULL && c->h2->streams.n == 0;
}

static bool
is_small_read_next(struct io *io)
{
	const struct conn *c = container_of(io, struct conn, io);

	return c->h2 != NULL && c->h2->is_small && !io_is_blocked(io);
}

static void
on_unsent(struct io *io, uint32_t token, int error)
{
	struct conn *c = container_of(io, struct conn, io);

	(void)token;
	if (error != 0) {
		finish(c, H2_ENDED_CLIENT, true);
		return;
	}
	if (c->h2 != NULL)
		c->h2->blocked_ns = c->w->now;
	else
		c->since_ns = c->w->now;
	arm(c);
}

static const struct io_ops ops = {
	.on_ready = on_ready,
	.is_new_work = is_new_work,
	.is_small_read_next = is_small_read_next,
	.on_unsent = on_unsent,
};

void
conn_h2_begin(struct conn *c)
{
	struct worker *w = c->w;
	const struct activator_conf *conf = w->conf;
	const struct h2_conf h2_conf = {
		.streams = conf->h2_streams,
		.window = (uint32_t)conf->h2_window,
		.conn_window = (uint32_t)MAX(conf->h2_stream_window, UINT64_C(1) << 20),
		.header_list = (uint32_t)conf->h2_header_list,
	};
	struct conn_h2 *h2 = xcalloc(1, sizeof *h2);
	struct inbuf in = c->in;

	CHECK(c->x == NULL && in.is_borrowed);
	c->in = (struct inbuf){.data = NULL};
	worker_begin_h2(w);
	h2->c = c;
	h2->session = h2_new(&h2_conf, w->h2_shared, &conn_h2_session_ops, h2);
	list_init(&h2->streams);
	list_init(&h2->events);
	list_init(&h2->abandoned);
	h2->streams_most = conf->h2_streams;
	h2->read_size = READ_FIRST;
	h2->glitches = conf->h2_glitches;
	h2->glitches_ns = w->now;
	c->h2 = h2;
	c->codec = &codec_h2;
	c->io.ops = &ops;
	c->timer.fn = on_timer;
	c->since_ns = w->now;
	metric_add(&w->counters.h2_connections, 1);
	if (!bounds_add_stream_bytes(w->bounds, H2_CONN_BYTES))
		conn_h2_terminate(h2, H2_ENDED_MEMORY, H2_ENHANCE_YOUR_CALM);
	else if (w->is_draining)
		conn_h2_begin_goaway(h2, H2_ENDED_DRAIN);
	if (feed(c, in.data, in.n) == 0)
		read_frames(c);
}

/* --- ends from outside --- */

void
conn_h2_drain(struct conn *c)
{
	if (c->h2 != NULL)
		conn_h2_begin_goaway(c->h2, H2_ENDED_DRAIN);
}

unsigned
conn_h2_end_tunnels(struct conn *c)
{
	struct list_node *node, *tmp;
	unsigned n = 0;

	if (c->h2 == NULL)
		return 0;
	LIST_FOREACH(&c->h2->streams, node, tmp) {
		struct xfer *x = container_of(node, struct h2_stream, node)->x;

		if (x == NULL || x->state != XFER_TUNNEL)
			continue;
		xfer_cut_tunnel(x);
		conn_h2_advance(x);
		n++;
	}
	return n;
}

void
conn_h2_end(struct conn *c)
{
	struct conn_h2 *h2 = c->h2;
	struct list_node *node, *tmp;

	if (h2 == NULL)
		return;
	LIST_FOREACH(&h2->streams, node, tmp) {
		struct h2_stream *st = container_of(node, struct h2_stream, node);

		if (st->x == NULL)
			continue;
		if (xfer_is_pending(st->x) && !st->x->is_head_written)
			xfer_refuse(st->x, OUT_SHUTTING_DOWN, NULL);
		else
			xfer_client_gone(st->x);
		stream_end_request(
			st); /* not the client's doing: it does not count in h2_abandoned */
	}
	if (!h2->is_ending)
		h2->end = H2_ENDED_DRAIN;
	h2->is_ending = true;
	h2->is_pinged = false;
	h2_goaway(h2->session);
	conn_h2_want_write(h2);
}

void
conn_h2_cut(struct conn *c)
{
	finish(c, H2_ENDED_DRAIN, true);
}

/* --- time limits --- */

/* When it has been without a stream for too long. */
static int64_t
idle_limit(const struct conn *c)
{
	return MAX(c->since_ns, c->h2->blocked_ns) + c->idle_timeout;
}

/* When the next time limit of the connection is over; the streams have their own. */
static int64_t
limit(const struct conn *c)
{
	const struct conn_h2 *h2 = c->h2;

	if (h2 == NULL)
		return conn_closing_limit(c);
	if (io_is_blocked(&c->io))
		return h2->blocked_ns + c->body_timeout;
	if (h2->is_pinged)
		return h2->goaway_ns;
	if (h2_is_in_head(h2->session) || c->requests == 0)
		return c->since_ns + c->w->conf->limits.head_timeout;
	if (h2->streams.n > 0)
		return INT64_MAX;
	return h2->is_trimmed ? idle_limit(c) : MIN(idle_limit(c), c->since_ns + TRIM_AFTER);
}

static void
arm(struct conn *c)
{
	int64_t at = limit(c);

	if (at != INT64_MAX)
		timeq_set(&c->w->timeq, &c->timer, at);
}

static void
on_timer(struct timeq_entry *e, int64_t now)
{
	struct conn *c = container_of(e, struct conn, timer);
	struct conn_h2 *h2 = c->h2;

	worker_limit_fired(c->w, now);
	if (now < limit(c) || io_is_queued(&c->io)) {
		arm(c);
		return;
	}
	if (h2 == NULL) {
		conn_close(c, false);
	} else if (io_is_blocked(&c->io)) {
		finish(c, H2_ENDED_STALLED, true);
	} else if (h2->is_pinged) {
		h2->is_pinged = false;
		h2_goaway(h2->session);
		conn_h2_want_write(h2);
	} else if (h2_is_in_head(h2->session) || c->requests == 0) {
		conn_h2_terminate(h2, H2_ENDED_STALLED, H2_ENHANCE_YOUR_CALM);
	} else if (now >= idle_limit(c)) {
		conn_h2_terminate(h2, H2_ENDED_IDLE, H2_NO_ERROR);
	} else {
		h2_trim(h2->session);
		h2->is_trimmed = true;
		arm(c);
	}
}
