/* The streams of a client's connection of HTTP/2: their requests, what they keep, and what the
 * session reports of them. */
#include <stdlib.h>
#include <string.h>

#include "activator/access_note.h"
#include "activator/arrive.h"
#include "activator/bounds.h"
#include "activator/call.h"
#include "activator/conn_h2.h"
#include "activator/deadline.h"
#include "activator/dispatch.h"
#include "activator/http/grpc.h"
#include "activator/net/tls.h"
#include "common/clk.h"

/* Glitches that a frame of DATA, or the end of a response, allows.  Clients of gRPC open the
 * windows of stream and connection for each small message, and ask by PING how fast the line is; a
 * call that fails has no DATA. */
#define EARNED_BY_RESPONSE 4
/* Bytes that renew the limit for the client to take the response. */
#define TAKEN_LEAST ((size_t)4 << 10)
/* Of a stream: bytes at which its instance is read again. */
#define OUT_LOW ((size_t)32 << 10)
#define OUT_LOW_CROWDED ((size_t)4 << 10)

static void on_timer(struct timeq_entry *, int64_t now);

/* --- streams --- */

bool
stream_count(struct h2_stream *st, size_t n)
{
	struct conn_h2 *h2 = st->h2;
	struct bounds *b = h2->c->w->bounds;

	h2->bytes += n;
	return bounds_add_stream_bytes(b, n) && bounds_may_keep_stream_bytes(b, h2->bytes);
}

static void
stream_uncount(struct h2_stream *st, size_t n)
{
	st->h2->bytes -= n;
	bounds_drop_stream_bytes(st->h2->c->w->bounds, n);
}

static void
drop_trailers(struct h2_stream *st, char **trailers)
{
	if (*trailers == NULL)
		return;
	stream_uncount(st, strlen(*trailers));
	free(*trailers);
	*trailers = NULL;
}

bool
stream_add(struct h2_stream *st, struct outbuf *to, const char *data, size_t n)
{
	struct iovec iov = {.iov_len = n};

	if (n == 0)
		return true;
	memcpy(&iov.iov_base, &data, sizeof data);
	outbuf_append(to, &iov, 1, 0);
	return stream_count(st, n);
}

void
stream_take(struct h2_stream *st, struct outbuf *from, size_t n)
{
	if (n == 0)
		return;
	stream_uncount(st, n);
	outbuf_consume(from, n);
	if (from->n == 0)
		outbuf_clear(from);
}

static struct h2_stream *
stream_new(struct conn_h2 *h2, int32_t id)
{
	struct worker *w = h2->c->w;
	struct h2_stream *st = slab_get(&w->stream_slab);

	st->h2 = h2;
	st->id = id;
	st->since_ns = w->now;
	st->timer.fn = on_timer;
	list_push(&h2->streams, &st->node);
	h2->is_trimmed = false;
	return st;
}

void
stream_free(struct h2_stream *st)
{
	struct conn_h2 *h2 = st->h2;
	struct worker *w = h2->c->w;

	CHECK(st->x == NULL);
	stream_take(st, &st->in, st->in.n);
	stream_take(st, &st->out, st->out.n);
	free(st->head);
	drop_trailers(st, &st->in_trailers);
	drop_trailers(st, &st->out_trailers);
	free(st->ws_key);
	timeq_clear(&w->timeq, &st->timer);
	if (list_linked(&st->event))
		list_remove(&h2->events, &st->event);
	list_remove(&h2->streams, &st->node);
	if (h2->streams.n == 0)
		h2->c->since_ns = w->now; /* idle_timeout begins */
	slab_put(&w->stream_slab, st);
}

static void
note_event(struct h2_stream *st)
{
	if (!list_linked(&st->event))
		list_push(&st->h2->events, &st->event);
}

void
conn_h2_yield(struct h2_stream *st)
{
	note_event(st);
	io_yield(&st->h2->c->io);
}

/* When the next time limit of the stream is over. */
static int64_t
stream_limit(const struct h2_stream *st, enum outcome *out)
{
	if (st->x != NULL)
		return deadline_of(st->x, out);
	return st->since_ns + st->h2->c->body_timeout; /* for the client to take the response */
}

static void
arm_stream(struct h2_stream *st)
{
	enum outcome out;
	int64_t at = stream_limit(st, &out);

	if (at != INT64_MAX)
		timeq_set(&st->h2->c->w->timeq, &st->timer, at);
}

/* Its request has ended: answered, or cut off. */
void
stream_end_request(struct h2_stream *st)
{
	struct conn_h2 *h2 = st->h2;
	bool is_cut = st->x->state == XFER_CUT;
	bool is_reset = st->x->is_reset, is_refused = st->x->is_refused;
	bool was_tunnel = st->x->status == 101;

	xfer_free(&st->x);
	if (st->is_closed) {
		stream_free(st);
		return;
	}
	if (st->in.n > 0) {
		h2_consumed(h2->session, st->id, st->in.n);
		stream_take(st, &st->in, st->in.n);
	}
	drop_trailers(st, &st->in_trailers);
	if (is_cut || !st->is_responded) {
		stream_take(st, &st->out, st->out.n);
		h2_reset(h2->session, st->id,
			 is_refused	       ? H2_REFUSED_STREAM
			 : is_reset || !is_cut ? H2_INTERNAL_ERROR
					       : H2_CANCEL);
	} else if (was_tunnel && h2_has_ended(h2->session, st->id)) {
		/* its client is still sending, and no frame follows that would tell it to stop */
		h2_reset(h2->session, st->id, H2_NO_ERROR);
	}
	st->since_ns = h2->c->w->now;
	arm_stream(st);
}

/* --- requests --- */

/* The head is not passed on, nor parsed: the client is answered as well as it can be known. */
static void
refuse_head(struct h2_stream *st, enum outcome out)
{
	access_note_raw(st->x, st->head, st->head_n);
	st->x->is_grpc = grpc_is_in_head(st->head, st->head_n);
	xfer_refuse(st->x, out, NULL);
}

/* Its head is st->head. */
static void
read_request(struct h2_stream *st)
{
	struct conn *c = st->h2->c;
	struct worker *w = c->w;
	const struct limits *l = &w->conf->limits;
	struct xfer *x = st->x;

	x->is_head_method = strncmp(st->head, "HEAD ", 5) == 0; /* also if the rest is malformed */
	if (st->head_n > l->max_head) {
		refuse_head(st, OUT_HEAD_TOO_LARGE);
		return;
	}
	switch (h1_split_request(&w->head, st->head, st->head_n, l->max_fields)) {
	case H1_OK:
		arrive_request(x, st->head, st->head_n);
		break;
	case H1_FIELDS:
		refuse_head(st, OUT_HEAD_TOO_LARGE);
		break;
	default:
		refuse_head(st, OUT_BAD_REQUEST);
	}
}

static void
begin_request(struct h2_stream *st)
{
	struct conn_h2 *h2 = st->h2;
	struct conn *c = h2->c;
	uint32_t most;

	if (!st->is_begun) {
		st->is_begun = true;
		st->x = xfer_new(c);
		st->x->stream = st;
		c->requests++;
	}
	read_request(st);
	if (st->x->state == XFER_UNROUTED)
		return;
	free(st->head);
	st->head = NULL;
	most = xfer_limits(st->x)->requests_per_connection;
	if ((most > 0 && c->requests >= most) || tls_is_outdated(&c->io))
		conn_h2_begin_goaway(h2, H2_ENDED_IDLE);
}

void
conn_h2_abandoned(struct h2_stream *st, struct call *call)
{
	call->abandoned = &st->h2->abandoned;
	list_push(call->abandoned, &call->abandoned_node);
}

/* However its client ended them: by resets, by bodies that stop, by responses not taken. */
static void
bound_abandoned(struct conn_h2 *h2)
{
	if (h2->abandoned.n >= h2->c->w->conf->h2_abandoned && !h2->is_terminated)
		conn_h2_terminate(h2, H2_ENDED_ABANDONED, H2_ENHANCE_YOUR_CALM);
}

void
conn_h2_advance(struct xfer *x)
{
	struct h2_stream *st = x->stream;
	struct conn_h2 *h2 = st->h2;

	if (x->state == XFER_NEW) /* it was UNROUTED */
		begin_request(st);
	if (x->state == XFER_DONE || x->state == XFER_CUT) {
		stream_end_request(st);
		bound_abandoned(h2);
	} else {
		arm_stream(st);
	}
	conn_h2_want_write(h2);
}

static void
stream_closed(struct h2_stream *st)
{
	struct conn_h2 *h2 = st->h2;

	if (st->x == NULL) {
		stream_free(st);
		return;
	}
	xfer_client_gone(st->x);
	stream_end_request(st);
	bound_abandoned(h2);
}

/* More of it has come than may be kept: end it, unless its instance has taken all. */
static void
stream_over(struct h2_stream *st)
{
	struct xfer *x = st->x;

	st->is_over = false;
	if (st->in.n == 0 && (st->in_trailers == NULL || x->is_sent_whole))
		return;
	if (x->state != XFER_TUNNEL && !xfer_is_pending(x))
		return;
	if (xfer_is_pending(x) && !x->is_head_written)
		xfer_refuse(x, OUT_QUEUE_FULL, "bodies use up max_stream_bytes");
	else
		xfer_client_gone(x);
}

static void
look_at(struct h2_stream *st)
{
	struct xfer *x = st->x;

	if (st->is_closed && !st->is_ended) {
		stream_closed(st);
		return;
	}
	if (!st->is_begun) {
		if (st->h2->is_terminated)
			return;
		begin_request(st);
		x = st->x;
	} else if (x == NULL) {
		return;
	}
	if (st->is_drained) {
		st->is_drained = false;
		x->is_client_blocked = false;
		dispatch_client_drained(x);
	}
	if (x->state == XFER_EXCHANGE || x->state == XFER_TUNNEL)
		dispatch_client_readable(x);
	if (st->is_over)
		stream_over(st);
	st->h2->has_waiting |= !st->is_in_ended || x->state == XFER_PARKED ||
			       x->state == XFER_UNROUTED;
	conn_h2_advance(x);
}

void
conn_h2_run_events(struct conn_h2 *h2)
{
	size_t n;

	for (n = h2->events.n; n > 0 && h2->events.n > 0; n--)
		look_at(container_of(list_pop(&h2->events), struct h2_stream, event));
}

/* --- what the session reports --- */

/* One more of what is legal and useless.  A budget that fills again with time and with the bytes
 * that are sent: clients ask by PING how fast the line is, and open windows for what they got. */
static void
on_glitch(void *arg)
{
	struct conn_h2 *h2 = arg;
	const struct activator_conf *conf = h2->c->w->conf;
	int64_t now = h2->c->w->now;
	uint64_t more = (uint64_t)(now - h2->glitches_ns) / (CLK_S / 1000) * conf->h2_glitch_rate;

	if (more >= 1000) {
		h2->glitches = (uint32_t)MIN(h2->glitches + more / 1000,
					     (uint64_t)conf->h2_glitches);
		h2->glitches_ns = now;
	}
	metric_add(&h2->c->w->counters.h2_glitches, 1);
	if (h2->glitches > 0)
		h2->glitches--;
	else if (!h2->is_terminated)
		conn_h2_terminate(h2, H2_ENDED_GLITCHES, H2_ENHANCE_YOUR_CALM);
}

static void
on_progress(void *arg)
{
	struct conn_h2 *h2 = arg;

	h2->glitches = MIN(h2->glitches + EARNED_BY_RESPONSE, h2->c->w->conf->h2_glitches);
}

static void *
on_head(void *arg, int32_t id, const struct h2_head *head)
{
	struct conn_h2 *h2 = arg;
	struct h2_stream *st;

	if (head->text == NULL) {
		h2_reset(h2->session, id, H2_ENHANCE_YOUR_CALM);
		on_glitch(h2);
		return NULL;
	}
	st = stream_new(h2, id);
	st->head = head->text;
	st->head_n = head->n;
	st->is_in_ended = head->is_end;
	if (head->ws_key[0] != '\0')
		st->ws_key = xstrdup(head->ws_key);
	note_event(st);
	return st;
}

static void
on_data(void *arg, void *stream, const char *data, size_t n)
{
	struct conn_h2 *h2 = arg;
	struct h2_stream *st = stream;

	if (st->is_begun && st->x == NULL) { /* answered: what still comes is thrown away */
		h2_consumed(h2->session, st->id, n);
		return;
	}
	if (!stream_add(st, &st->in, data, n))
		st->is_over = true;
	note_event(st);
}

static void
on_end(void *arg, void *stream, char *trailers)
{
	struct conn_h2 *h2 = arg;
	struct h2_stream *st = stream;
	size_t n = trailers == NULL ? 0 : strlen(trailers);

	/* A few bytes of a header block may name large fields that came before. */
	if (n > h2->c->w->conf->limits.max_head) {
		free(trailers);
		h2_reset(h2->session, st->id, H2_ENHANCE_YOUR_CALM);
		on_glitch(h2);
		return;
	}
	st->is_in_ended = true;
	if (trailers != NULL && st->is_begun && st->x == NULL) {
		free(trailers);
	} else if (trailers != NULL) {
		st->in_trailers = trailers;
		if (!stream_count(st, n))
			st->is_over = true;
	}
	note_event(st);
}

static void
on_closed(void *arg, void *stream, uint32_t code)
{
	struct h2_stream *st = stream;

	(void)arg;
	st->is_closed = true;
	st->is_ended = code == H2_NO_ERROR && st->x != NULL && st->x->state == XFER_TUNNEL &&
		       st->is_in_ended && st->is_out_ended && st->out.n == 0;
	if (st->x == NULL)
		stream_free(st);
	else
		note_event(st);
}

/* The client has taken n bytes of the response.  A few bytes do not renew its limit, unless they
 * are all: else a client that takes one now and then would hold them for ever. */
static void
note_taken(struct h2_stream *st, size_t n)
{
	st->taken += n;
	if (st->taken < TAKEN_LEAST && st->out.n > 0)
		return;
	st->taken = 0;
	st->since_ns = st->h2->c->w->now;
	if (st->x != NULL)
		st->x->since_ns = st->since_ns;
}

/* If the instance waits for the client: has the client taken enough? */
static void
look_if_drained(struct h2_stream *st)
{
	size_t low = conn_h2_is_crowded(st->h2) ? OUT_LOW_CROWDED : OUT_LOW;

	if (st->x == NULL || !st->x->is_client_blocked || st->out.n > low || st->interims > 0)
		return;
	st->is_drained = true;
	note_event(st);
}

/* Interim heads are sent before any other. */
static void
on_head_sent(void *arg, void *stream)
{
	struct h2_stream *st = stream;

	(void)arg;
	if (st->interims == 0)
		return;
	st->interims--;
	note_taken(st, TAKEN_LEAST);
	look_if_drained(st);
}

/* The two directions of a tunnel end each for itself. */
static bool
may_send_on(void *arg, void *stream)
{
	const struct h2_stream *st = stream;

	(void)arg;
	return st->x != NULL && st->x->state == XFER_TUNNEL;
}

static void
on_read(void *arg, void *stream, char *buf, size_t n)
{
	struct h2_stream *st = stream;

	(void)arg;
	if (st->out.n > 0) {
		memcpy(buf, st->out.data + st->out.at, n);
		stream_take(st, &st->out, n);
	} else {
		CHECK(st->h2->direct == st && n <= st->h2->direct_n);
		memcpy(buf, st->h2->direct_data, n);
		st->h2->direct_data += n;
		st->h2->direct_n -= n;
	}
	note_taken(st, n);
	look_if_drained(st);
}

static size_t
on_body_ready(void *arg, void *stream, size_t n, enum h2_left *left)
{
	struct conn_h2 *h2 = arg;
	struct h2_stream *st = stream;
	size_t direct_n = h2->direct == st ? h2->direct_n : 0;
	size_t got = MIN(st->out.n > 0 ? st->out.n : direct_n, n);

	if (got == 0)
		look_if_drained(st);
	if (got < st->out.n + direct_n || !st->is_out_ended)
		return got;
	*left = st->out_trailers == NULL ? H2_END : H2_END_TRAILERS;
	if (st->out_trailers != NULL)
		h2_trailers(h2->session, st->id, st->out_trailers, strlen(st->out_trailers));
	return got;
}

static void
on_pong(void *arg)
{
	struct conn_h2 *h2 = arg;

	if (!h2->is_pinged)
		return;
	h2->is_pinged = false;
	h2_goaway(h2->session);
}

static uint64_t
on_random(void *arg)
{
	struct conn_h2 *h2 = arg;

	return worker_random(h2->c->w);
}

const struct h2_ops conn_h2_session_ops = {
	.on_head = on_head,
	.on_data = on_data,
	.on_end = on_end,
	.on_closed = on_closed,
	.ready = on_body_ready,
	.read = on_read,
	.on_glitch = on_glitch,
	.on_head_sent = on_head_sent,
	.may_send_on = may_send_on,
	.on_progress = on_progress,
	.on_pong = on_pong,
	.random = on_random,
};

/* --- time limits --- */

static void
on_timer(struct timeq_entry *e, int64_t now)
{
	struct h2_stream *st = container_of(e, struct h2_stream, timer);
	struct conn_h2 *h2 = st->h2;
	enum outcome out = OUT_OK;

	worker_limit_fired(h2->c->w, now);
	if (now < stream_limit(st, &out) || io_is_queued(&h2->c->io)) {
		arm_stream(st);
		return;
	}
	if (st->x != NULL) {
		dispatch_timed_out(st->x, out);
		conn_h2_advance(st->x);
		return;
	}
	h2_reset(h2->session, st->id, H2_CANCEL);
	conn_h2_want_write(h2);
}
