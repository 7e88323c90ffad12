#include "activator/conn.h"

#include "activator/arrive.h"
#include "activator/deadline.h"
#include "activator/dispatch.h"
#include "activator/upstream.h"
#include "common/clk.h"

/* Of one connection in one turn, so that the others of the worker have theirs. */
#define HEADS_A_TURN 32
#define LINGER_READS 4

#define LINGER_NS (2 * CLK_S) /* how long a client may go on sending after its answer */

static void on_ready(struct io *);
static bool may_wait(struct io *);
static bool is_head_next(struct io *);
static void on_unsent(struct io *, const char *data, size_t n, int error);
static void on_timer(struct timeq_entry *, int64_t now);
static void arm(struct conn *);

static const struct io_ops ops = {
	.on_ready = on_ready,
	.may_wait = may_wait,
	.is_head_next = is_head_next,
	.on_unsent = on_unsent,
};

void
conn_open(struct worker *w, int fd, const struct addr *peer)
{
	struct conn *c = slab_get(&w->conn_slab);

	c->w = w;
	c->peer = *peer;
	c->is_peer_v6 = peer->ss.ss_family == AF_INET6;
	addr_format(peer, false, c->peer_text);
	c->since_ns = w->now;
	c->timer.fn = on_timer;
	c->idle_timeout = w->conf->limits.idle_timeout;
	c->body_timeout = w->conf->limits.body_timeout;
	c->x.waiter.fd = -1;
	c->x.waiter.inbox = &w->inbox;
	list_push(&w->conns, &c->node);
	metric_add(&w->counters.connections, 1);
	atomic_fetch_add_explicit(&w->bounds->connections, 1, memory_order_relaxed);
	io_open(&c->io, w->round, fd, false, &ops);
	arm(c);
}

static void
drop_input(struct conn *c)
{
	inbuf_clear(&c->in);
	c->is_in_partial = false;
	c->in_seen = 0;
}

static void
free_conn(void *arg)
{
	struct conn *c = arg;

	slab_put(&c->w->conn_slab, c);
}

void
conn_close(struct conn *c, bool abort)
{
	struct worker *w = c->w;

	if (!io_is_open(&c->io))
		return;
	CHECK(c->x.up == NULL && !c->x.is_counted && c->x.snap == NULL);
	CHECK(!list_linked(&c->x.node));
	drop_input(c);
	timeq_clear(&w->timeq, &c->timer);
	io_settle(&c->io);
	/* What it has not taken of an answer is cut off, and that must be seen. */
	io_close(&c->io, abort || io_is_blocked(&c->io));
	list_remove(&w->conns, &c->node);
	clients_leave(&w->clients, c->peer_text);
	metric_add(&w->counters.connections, (uint64_t)-1);
	atomic_fetch_sub_explicit(&w->bounds->connections, 1, memory_order_relaxed);
	loop_defer(w->loop, c, free_conn);
}

/* The client is gone: whatever it asked for ends with it. */
static void
lost(struct conn *c)
{
	if (c->x.state != XFER_IDLE && c->x.state != XFER_CLOSING)
		xfer_client_gone(c);
	conn_close(c, c->x.state == XFER_CUT && c->x.is_reset);
}

/* --- heads in --- */

/* Have bytes at w->buf.  False: there is nothing (more) to parse now. */
static bool
fill(struct conn *c, size_t most)
{
	bool is_waiting = c->in.n == 0 || c->is_in_partial;
	ssize_t got;

	if (is_waiting && !c->io.can_read)
		return false;
	inbuf_move(&c->in, c->w->buf);
	if (!is_waiting)
		return true;
	/* No more than a head may have: what stands behind it may have to be kept. */
	got = io_read(&c->io, c->w->buf + c->in.n, most - c->in.n);
	if (got == IO_NOTHING)
		return false;
	if (got < 0) {
		lost(c);
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

static void
refuse_head(struct conn *c, enum outcome out)
{
	drop_input(c);
	/* A request of its own: what the one before it has left says nothing of it. */
	c->x = (struct xfer){.waiter = {.fd = -1, .inbox = &c->w->inbox}, .start_ns = c->w->now};
	xfer_refuse(c, out, NULL);
}

/* One head from c->in, which lies at w->buf. */
static void
read_one(struct conn *c, const struct limits *limits)
{
	struct worker *w = c->w;
	ssize_t n = h1_scan(w->buf, c->in.n, &c->in_seen);
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
		io_expect(&c->io);
		return;
	}
	out = outcome_of(h1_parse_request(&w->head, w->buf, (size_t)n, limits->max_fields));
	if (out != OUT_OK) {
		refuse_head(c, out);
		return;
	}
	inbuf_consume(&c->in, (size_t)n);
	c->in_seen = 0;
	c->requests++;
	arrive_request(c, w->buf, (size_t)n);
}

/* The request is answered (or refused), and all of it is queued to be written: the
 * connection is for the next one, or closes. */
static void
next(struct conn *c)
{
	bool is_kept = c->x.is_persistent && c->x.is_sent_whole && !c->w->is_draining;
	bool may_linger = !c->x.is_sent_whole || c->in.n > 0 || c->io.can_read;

	c->since_ns = c->w->now;
	xfer_set_state(&c->x, is_kept ? XFER_IDLE : XFER_CLOSING);
	if (is_kept)
		return;
	drop_input(c);
	if (io_settle(&c->io) < 0 || (!io_is_blocked(&c->io) && !may_linger))
		conn_close(c, false);
}

static void
read_heads(struct conn *c)
{
	const struct limits *limits = &c->w->conf->limits;
	int turn = 0;

	/* Nothing more is read, be it the client's end, before it has its answer. */
	if ((c->in.n > 0 || c->io.can_read) && io_settle(&c->io) < 0) {
		lost(c);
		return;
	}
	while (io_is_open(&c->io) && c->x.state == XFER_IDLE && !io_is_blocked(&c->io) &&
	       turn++ < HEADS_A_TURN && fill(c, limits->max_head)) {
		read_one(c, limits);
		if (c->x.state == XFER_DONE)
			next(c);
	}
	if (turn > HEADS_A_TURN)
		io_yield(&c->io);
}

static bool
has_begun(const struct conn *c)
{
	/* An empty line before a request is no part of it: RFC 9112 2.2. */
	return c->in.n > 2 || (c->in.n > 0 && c->in.data[0] != '\r');
}

/* --- ending --- */

/* With half_close a FIN says nothing, a reset does; whoever reads its body will find it. */
static bool
is_leaving(const struct conn *c)
{
	if (c->io.is_hup && !conn_limits(c)->half_close)
		return true;
	if (c->x.state == XFER_EXCHANGE && !c->x.is_sent_whole && !io_is_blocked(&c->x.up->io))
		return false;
	return c->io.can_read && io_is_reset(&c->io);
}

/* Read away what still comes, so that our close is not a reset that overtakes the
 * answer (RFC 9112 9.6). */
static void
linger(struct conn *c)
{
	int turn = 0;
	ssize_t got;

	if (io_is_blocked(&c->io))
		return;
	if (!c->is_lingering) {
		c->is_lingering = true;
		io_shutdown(&c->io);
		c->since_ns = c->w->now;
	}
	do {
		got = io_read(&c->io, c->w->buf, WORKER_BUFFER);
		if (got > 0)
			io_expect(&c->io);
	} while (got > 0 && ++turn < LINGER_READS);
	if (got < 0)
		conn_close(c, false);
	else if (got > 0)
		io_yield(&c->io);
}

bool
conn_is_waiting(const struct conn *c)
{
	switch (c->x.state) {
	case XFER_UNROUTED:
	case XFER_PARKED:
	case XFER_PERMIT:
	case XFER_STARVED:
	case XFER_CONNECTING:
	case XFER_EXCHANGE:
		return true;
	default:
		return false;
	}
}

/* --- events --- */

void
conn_advance(struct conn *c)
{
	if (c->x.state == XFER_DONE)
		next(c);
	if (c->x.state == XFER_IDLE && io_is_open(&c->io)) {
		read_heads(c);
		/* Its end may have come with the head: no other event will tell. */
		if (io_is_open(&c->io) && conn_is_waiting(c) &&
		    (is_leaving(c) || (c->x.state == XFER_PARKED && io_is_reset(&c->io))))
			lost(c);
	}
	if (c->x.state == XFER_CUT)
		conn_close(c, c->x.is_reset);
	if (!io_is_open(&c->io))
		return;
	if (c->x.state == XFER_CLOSING)
		linger(c);
	if (!io_is_open(&c->io))
		return;
	inbuf_keep(&c->in);
	arm(c);
}

void
conn_on_late(struct conn *c)
{
	dispatch_late(c);
	conn_advance(c);
}

void
conn_drain(struct conn *c)
{
	if (c->x.state == XFER_IDLE) { /* one more look: a request that has come is answered */
		io_expect(&c->io);
		conn_advance(c);
	}
	if (!io_is_open(&c->io) || c->x.state != XFER_IDLE || has_begun(c))
		return;
	io_settle(&c->io);
	if (io_is_blocked(&c->io)) {
		next(c); /* closes when the client has taken its answer */
		conn_advance(c);
	} else {
		conn_close(c, false);
	}
}

static void
on_client_readable(struct conn *c)
{
	if (conn_is_waiting(c) && is_leaving(c))
		lost(c);
	else if (c->x.state == XFER_EXCHANGE || c->x.state == XFER_TUNNEL)
		dispatch_client_readable(c);
}

static void
on_ready(struct io *io)
{
	struct conn *c = container_of(io, struct conn, io);
	int rc;

	c->w->now = clk_now();
	if (io_is_blocked(io) && io->can_write) { /* else what has come is not room */
		rc = io_flush(io);
		if (rc < 0) {
			lost(c);
			return;
		}
		c->since_ns = c->w->now;
		if (rc == 1)
			dispatch_client_drained(c);
	}
	on_client_readable(c);
	conn_advance(c);
}

static bool
may_wait(struct io *io)
{
	return container_of(io, struct conn, io)->x.state == XFER_IDLE;
}

/* A body behind its last head is taken for one behind its next. */
static bool
is_head_next(struct io *io)
{
	const struct conn *c = container_of(io, struct conn, io);

	return c->x.state == XFER_IDLE && c->in.n == 0 && c->x.framing == FRAMING_NONE &&
	       !io_is_blocked(io) && c->w->conf->limits.max_head >= IO_AHEAD;
}

/* Of the end of an answer. */
static void
on_unsent(struct io *io, const char *data, size_t n, int error)
{
	struct conn *c = container_of(io, struct conn, io);

	(void)data;
	(void)n;
	if (error != 0) {
		lost(c);
		return;
	}
	c->since_ns = c->w->now;
	arm(c);
}

/* --- events of the instance's side, while it carries the request --- */

static void
on_upstream_ready(struct io *io)
{
	struct conn *c = container_of(io, struct upstream, io)->conn;

	c->w->now = clk_now();
	dispatch_upstream_ready(c);
	conn_advance(c);
}

static bool
upstream_may_wait(struct io *io)
{
	(void)io;
	return false;
}

static bool
upstream_is_head_next(struct io *io)
{
	const struct upstream *u = container_of(io, struct upstream, io);

	return u->is_small && !u->is_head_read && u->in_n == 0 && !io_is_blocked(&u->conn->io) &&
	       u->conn->x.state == XFER_EXCHANGE;
}

/* Of a request that is its head alone. */
static void
on_upstream_unsent(struct io *io, const char *data, size_t n, int error)
{
	struct upstream *u = container_of(io, struct upstream, io);

	if (error == 0)
		return;
	if (u->conn->x.state == XFER_EXCHANGE && !u->is_head_read)
		xfer_unsent(u->conn, data, n);
	upstream_broken(u);
}

const struct io_ops conn_upstream_ops = {
	.on_ready = on_upstream_ready,
	.may_wait = upstream_may_wait,
	.is_head_next = upstream_is_head_next,
	.on_unsent = on_upstream_unsent,
};

/* --- time limits --- */

static int64_t
limit(const struct conn *c, enum outcome *out)
{
	const struct limits *l = &c->w->conf->limits;

	switch (c->x.state) {
	case XFER_IDLE:
		if (io_is_blocked(&c->io)) /* it has not taken the last answer yet */
			return c->since_ns + c->body_timeout;
		if (has_begun(c) || c->requests == 0)
			return c->since_ns + l->head_timeout;
		return c->since_ns + c->idle_timeout;
	case XFER_CLOSING:
		return c->since_ns + (c->is_lingering ? LINGER_NS : c->body_timeout);
	default:
		return deadline_of(c, out);
	}
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

	c->w->now = now;
	if (io_settle(&c->io) < 0) {
		lost(c);
		return;
	}
	if (now < limit(c, &out) || io_is_due(&c->io)) { /* due: it may_wait() for a later round */
		arm(c);
		return;
	}
	switch (c->x.state) {
	case XFER_IDLE:
		if (io_is_blocked(&c->io))
			conn_close(c, true);
		else if (has_begun(c))
			refuse_head(c, OUT_HEAD_TIMEOUT);
		else
			conn_close(c, false);
		break;
	case XFER_CLOSING:
		conn_close(c, false);
		break;
	default:
		dispatch_timed_out(c, out);
	}
	conn_advance(c);
}
